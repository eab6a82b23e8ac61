// SPDX-License-Identifier: Apache-2.0
#include "config_fixture.h"

#define PINNED                                                                                     \
    "optimization { input_pinned_memory { enable: true } output_pinned_memory { enable: true } }"
#define LATEST "version_policy { latest { num_versions: 1 } }"

static const struct {
    const char *before;
    const char *after;
} rows[] = {
    {"", LATEST PINNED},
    {"version_policy { all {} }", "version_policy { all {} }" PINNED},
    {"version_policy { latest { num_versions: 3 } }",
     "version_policy { latest { num_versions: 3 } }" PINNED},
    {"optimization { input_pinned_memory { enable: false } priority: PRIORITY_MAX }",
     LATEST "optimization { input_pinned_memory {} output_pinned_memory { enable: true } "
            "priority: PRIORITY_MAX }"},
    {"max_batch_size: 8 dynamic_batching {}",
     "max_batch_size: 8 dynamic_batching { preferred_batch_size: 8 }" LATEST PINNED},
    {"dynamic_batching {}", "dynamic_batching {}" LATEST PINNED},
    {"max_batch_size: 8 dynamic_batching { preferred_batch_size: [2, 4] }",
     "max_batch_size: 8 dynamic_batching { preferred_batch_size: [2, 4] }" LATEST PINNED},
    {"max_batch_size: 8 sequence_batching { oldest {} }",
     "max_batch_size: 8 sequence_batching { max_sequence_idle_microseconds: 1000000 "
     "oldest { preferred_batch_size: 8 } }" LATEST PINNED},
    {"max_batch_size: 8 sequence_batching { direct {} max_sequence_idle_microseconds: 5 }",
     "max_batch_size: 8 sequence_batching { direct {} max_sequence_idle_microseconds: 5 }" LATEST
         PINNED},
    {"platform: 'ensemble' ensemble_scheduling {}",
     "platform: 'ensemble' ensemble_scheduling {}" LATEST},
};

static void normalize_fills_what_is_not_said(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        Inference__ModelConfig *config = config_of(rows[i].before);
        Inference__ModelConfig *after = config_of(rows[i].after);
        for (int again = 0; again < 2; again++) { // the second time changes nothing
            assert_refused(config_normalize(config), NULL, rows[i].before);
            if (!config_equal(config, after)) {
                struct str text = STR_INIT;
                config_to_text(config, &text);
                fail_msg("%s became %s", rows[i].before, str_cstr(&text));
            }
        }
        config_destroy(config);
        config_destroy(after);
    }
}

static void normalize_survives_any_failed_allocation(void **state)
{
    (void)state;
    const char *text = "max_batch_size: 8 sequence_batching { oldest {} }";
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        Inference__ModelConfig *config = config_of(text);
        mem_fail_after(n);
        struct nrd_status *status = config_normalize(config);
        mem_fail_after(0);
        done = status == NULL;
        status_free(status);
        assert_refused(config_normalize(config), NULL, text);
        assert_int_equal(config->sequence_batching->oldest->n_preferred_batch_size, 1);
        assert_true(config->optimization->output_pinned_memory->enable);
        config_destroy(config);
        assert_true(n < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalize_fills_what_is_not_said),
        cmocka_unit_test(normalize_survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
