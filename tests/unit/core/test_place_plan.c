// SPDX-License-Identifier: Apache-2.0
// Plans: demand, memory, copies for bursts, and the words and the document of it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "core/place/plan.h"

enum { GPUS = 2, MODELS = 3, MIB = 1 << 20 };

struct fixture {
    struct plan_gpu gpus[GPUS];
    struct place_record records[MODELS];
    const struct place_record *by_gpu[MODELS][GPUS];
    struct plan_model models[MODELS];
    struct plan plan;
};

// `count` models of 1, 2, 3 ms and 100, 200, 300 MiB on two GPUs of `mib`.
static void set_up(struct fixture *f, unsigned count, uint64_t mib)
{
    static const char *const names[] = {"a", "b", "c"};
    memset(f, 0, sizeof(*f));
    for (unsigned g = 0; g < GPUS; g++) {
        f->gpus[g] = (struct plan_gpu){
            .id = (int32_t)g, .name = "G", .free_bytes = mib * MIB, .total_bytes = mib * MIB};
    }
    for (unsigned i = 0; i < count; i++) {
        double seconds = 0.001 * (i + 1);
        f->records[i] = (struct place_record){.instances = 1,
                                              .memory_bytes = (uint64_t)(i + 1) * 100 * MIB,
                                              .points = {{1, seconds, seconds}},
                                              .point_count = 1};
        f->by_gpu[i][0] = f->by_gpu[i][1] = &f->records[i];
        f->models[i] = (struct plan_model){.name = names[i],
                                           .directory = "/d",
                                           .allowed = 3,
                                           .instances = 1,
                                           .versions = 1,
                                           .requests_s = -1,
                                           .rows = 1,
                                           .refusal = "",
                                           .records = f->by_gpu[i]};
    }
    f->plan = (struct plan){
        .gpus = f->gpus, .gpu_count = GPUS, .models = f->models, .model_count = count};
}

static unsigned copies(const struct plan *plan, unsigned model)
{
    return (unsigned)__builtin_popcountll(plan->answer.on[model]);
}

static void models_of_unknown_demand_are_asked_for_alike(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f, 3, 400);
    assert_null(plan_solve(&f.plan));
    assert_false(f.plan.in_requests);
    assert_float_equal(f.plan.answer.rating.level, 0.003, 1e-9); // 1 + 2 beside 3
    assert_int_equal(f.plan.answer.on[0], f.plan.answer.on[1]);
    plan_fini(&f.plan);
}

static void model_without_a_load_gets_the_mean_of_the_others(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f, 3, 400);
    f.models[0].requests_s = 30;
    f.models[1].requests_s = 10;
    assert_null(plan_solve(&f.plan));
    assert_true(f.plan.in_requests);
    assert_true(f.models[2].requests_s == 20);
    plan_fini(&f.plan);
}

static void copies_for_bursts_leave_half_of_the_memory(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f, 3, 4000);
    assert_null(plan_solve(&f.plan));
    assert_int_equal(copies(&f.plan, 0) + copies(&f.plan, 1) + copies(&f.plan, 2), 6);
    plan_fini(&f.plan);
    set_up(&f, 3, 600);
    assert_null(plan_solve(&f.plan));
    for (unsigned g = 0; g < GPUS; g++) {
        uint64_t used = 0;
        bool spare = false;
        for (unsigned i = 0; i < 3; i++) {
            used += ((f.plan.answer.on[i] >> g) & 1) != 0 ? f.records[i].memory_bytes : 0;
            spare = spare || ((f.plan.spare[i] >> g) & 1) != 0;
        }
        assert_true(!spare || used <= 300u * MIB);
    }
    plan_fini(&f.plan);
}

static void memory_counts_instances_and_versions_and_not_what_is_served(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f, 2, 1000);
    f.models[0].instances = 2;
    f.models[0].versions = 3;
    f.models[1].ground = PLAN_LIVE;
    f.models[1].allowed = 1;
    assert_null(plan_solve(&f.plan));
    assert_int_equal(f.plan.costs[0].memory_bytes, 600u * MIB);
    assert_int_equal(f.plan.costs[GPUS].memory_bytes, 0);
    assert_int_equal(f.plan.answer.on[1], 1);
    plan_fini(&f.plan);
}

static void unknown_times_count_as_the_mean_of_the_known(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f, 3, 1000);
    f.records[1].point_count = 0;
    snprintf(f.records[1].untimed, sizeof(f.records[1].untimed), "it says no");
    assert_null(plan_solve(&f.plan));
    assert_float_equal(f.plan.costs[GPUS].busy_s, 0.002, 1e-12);
    struct str words = STR_INIT;
    plan_describe(&f.plan, 1, &words);
    assert_non_null(strstr(str_cstr(&words), "its times are not known: it says no"));
    str_fini(&words);
    plan_fini(&f.plan);
}

static void alternatives_say_what_they_lose_and_why(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f, 2, 310); // of 310 MiB, 6 stay free: 100 + 200 fit together
    assert_null(plan_solve(&f.plan));
    unsigned seen = 0;
    for (uint64_t set = 0; plan_next_set(&f.plan, 1, &set); seen++) {
        struct plan_verdict verdict;
        struct str why = STR_INIT;
        assert_null(plan_alternative(&f.plan, 1, set, &verdict, &why));
        assert_true(why.len > 0);
        if (copies(&f.plan, 0) == 1 && set == f.plan.answer.on[0]) {
            assert_true(verdict.fits);
            assert_float_equal(verdict.throughput, 0.5, 0.01); // 3 ms there instead of 1.5 on each
            assert_non_null(strstr(str_cstr(&why), "is the limit"));
        }
        str_fini(&why);
    }
    assert_int_equal(seen, 2);
    plan_fini(&f.plan);
}

static void model_without_room_is_named_with_what_it_needs(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f, 3, 250);
    assert_null(plan_solve(&f.plan));
    assert_int_equal(f.plan.answer.on[2], 0);
    struct str words = STR_INIT;
    plan_describe(&f.plan, 2, &words);
    assert_string_equal(str_cstr(&words), "model 'c' has no place: it needs 300 MiB of a GPU");
    str_fini(&words);
    plan_fini(&f.plan);
}

static void document_can_be_read_and_holds_each_model(void **unused)
{
    (void)unused;
    struct fixture f;
    set_up(&f, 3, 400);
    assert_null(plan_solve(&f.plan));
    struct str text = STR_INIT;
    assert_null(plan_json(&f.plan, &text));
    struct arena arena;
    const struct json_node *root = NULL;
    arena_init(&arena, 0);
    assert_null(json_parse_status(&arena, str_slice(&text), JSON_STRICT, "plan", &root));
    assert_int_equal(json_get(root, "models")->count, 3);
    assert_int_equal(json_get(root, "gpus")->count, 2);
    double sustains = 0;
    assert_true(json_as_f64(json_get(root, "sustains"), &sustains));
    assert_float_equal(sustains, 1 / 0.003, 0.01);
    arena_fini(&arena);
    str_fini(&text);
    plan_fini(&f.plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_of_unknown_demand_are_asked_for_alike),
        cmocka_unit_test(model_without_a_load_gets_the_mean_of_the_others),
        cmocka_unit_test(copies_for_bursts_leave_half_of_the_memory),
        cmocka_unit_test(memory_counts_instances_and_versions_and_not_what_is_served),
        cmocka_unit_test(unknown_times_count_as_the_mean_of_the_known),
        cmocka_unit_test(alternatives_say_what_they_lose_and_why),
        cmocka_unit_test(model_without_room_is_named_with_what_it_needs),
        cmocka_unit_test(document_can_be_read_and_holds_each_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
