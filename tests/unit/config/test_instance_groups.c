// SPDX-License-Identifier: Apache-2.0
#include "config_fixture.h"

#include "base/log.h"

static const struct config_gpu three[] = {{0, 9.0}, {1, 5.2}, {3, 9.0}};
static const struct config_devices no_gpu = {.min_compute_capability = 6.0};
static const struct config_devices no_gpu_fallback = {.min_compute_capability = 6.0,
                                                      .gpu_fallback_cpu = true};
static const struct config_gpu lost[] = {{0, 9.0, true}, {3, 9.0}};
static const struct config_devices one_lost = {lost, 2, 6.0, false};
static const struct config_devices one_lost_wrap = {lost, 2, 6.0, true};
static const struct config_devices two_of_three = {three, 3, 6.0, false};
static const struct config_devices two_of_three_fallback = {three, 3, 6.0, true,
                                                            .map.kind = CONFIG_GPU_MAP_NONE};
static const struct config_gpu eight[] = {{0, 9.0}, {1, 9.0}, {2, 9.0}, {3, 9.0},
                                          {4, 9.0}, {5, 9.0}, {6, 9.0}, {7, 9.0}};
#define WRAPPING(n)                                                                                \
    {                                                                                              \
        eight, n, 6.0, .map.kind = CONFIG_GPU_MAP_WRAP                                             \
    }
static const struct config_devices wrap_0 = WRAPPING(0), wrap_1 = WRAPPING(1), wrap_2 = WRAPPING(2),
                                   wrap_3 = WRAPPING(3), wrap_8 = WRAPPING(8);
// Without a word about the map, the fallback wraps; GPU 1 is too old, so the two that count are 0 and 3.
static const struct config_devices by_fallback = {three, 3, 6.0, true};
static const struct config_devices pairs = {eight, 2, 6.0, true,
                                            .map = {CONFIG_GPU_MAP_PAIRS, {{2, 1}, {0, 7}}, 2}};

#define GROUP(fields) "instance_group { " fields " }"

static const struct {
    const struct config_devices *devices;
    const char *before;
    const char *preferred; // a configuration whose groups are those preferred; NULL: none
    const char *after;     // the groups alone
    const char *refused;   // by the check that follows; NULL: accepted
} rows[] = {
    // none said
    {&no_gpu, "backend: 'b'", NULL, GROUP("name: 'm' kind: KIND_CPU count: 1"), NULL},
    {&no_gpu, "backend: 'onnxruntime'", NULL, GROUP("name: 'm' kind: KIND_CPU count: 2"), NULL},
    {&no_gpu, "backend: 'tensorflow'", NULL, GROUP("name: 'm' kind: KIND_CPU count: 2"), NULL},
    {&two_of_three, "backend: 'onnxruntime'", NULL,
     GROUP("name: 'm' kind: KIND_GPU count: 1 gpus: [0, 3]"), NULL},
    // some said
    {&no_gpu, GROUP("count: 3") GROUP("name: 'x' kind: KIND_MODEL"), NULL,
     GROUP("name: 'm_0' kind: KIND_CPU count: 3") GROUP("name: 'x' kind: KIND_MODEL count: 1"),
     NULL},
    {&two_of_three, GROUP("gpus: [0]"), NULL, GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: 0"),
     NULL},
    {&two_of_three, GROUP("gpus: [0, 1]"), NULL,
     GROUP("name: 'm_0' kind: KIND_CPU count: 1 gpus: [0, 1]"),
     "instance group m_0 of model m has kind KIND_CPU but specifies one or more GPUs"},
    {&two_of_three, GROUP("kind: KIND_GPU"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: [0, 3]"), NULL},
    {&two_of_three, GROUP("kind: KIND_GPU gpus: [1]"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: 1"),
     "instance group m_0 of model m specifies invalid or unsupported gpu id 1. GPUs with at least "
     "the minimum required CUDA compute compatibility of 6.000000 are: 0, 3"},
    {&two_of_three, GROUP("kind: KIND_MODEL gpus: [0]"), NULL,
     GROUP("name: 'm_0' kind: KIND_MODEL count: 1 gpus: 0"),
     "instance group m_0 of model m has kind KIND_MODEL but specifies one or more GPUs"},
    // no GPU on this machine
    {&no_gpu, GROUP("kind: KIND_GPU"), NULL, GROUP("name: 'm_0' kind: KIND_GPU count: 1"),
     "instance group m_0 of model m has kind KIND_GPU but no GPUs are available"},
    {&no_gpu, GROUP("kind: KIND_GPU count: 1 gpus: [0]"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: 0"),
     "instance group m_0 of model m specifies invalid or unsupported gpu id 0. GPUs with at least "
     "the minimum required CUDA compute compatibility of 6.000000 are: "},
    {&no_gpu_fallback, GROUP("kind: KIND_GPU count: 1 gpus: [2]"), NULL,
     GROUP("name: 'm_0' kind: KIND_CPU count: 1"), NULL},
    {&no_gpu_fallback, GROUP("kind: KIND_GPU count: 2 gpus: [0, 1]"), NULL,
     GROUP("name: 'm_0' kind: KIND_CPU count: 4"), NULL},
    {&no_gpu_fallback, "backend: 'onnxruntime'" GROUP("kind: KIND_GPU"), NULL,
     GROUP("name: 'm_0' kind: KIND_CPU count: 2"), NULL},
    {&no_gpu_fallback, GROUP("gpus: [0]"), NULL, GROUP("name: 'm_0' kind: KIND_CPU count: 1"),
     NULL},
    {&two_of_three_fallback, GROUP("kind: KIND_GPU gpus: [2]"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: 2"),
     "instance group m_0 of model m specifies invalid or unsupported gpu id 2. GPUs with at least "
     "the minimum required CUDA compute compatibility of 6.000000 are: 0, 3"},
    // GPUs by the map
    {&wrap_8, GROUP("kind: KIND_GPU gpus: [2]"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: 2"), NULL},
    {&wrap_3, GROUP("kind: KIND_GPU gpus: [2]"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: 2"), NULL},
    {&wrap_2, GROUP("kind: KIND_GPU gpus: [2]"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: 0"), NULL},
    {&wrap_1, GROUP("kind: KIND_GPU gpus: [2]"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: 0"), NULL},
    {&wrap_2, GROUP("kind: KIND_GPU count: 2 gpus: [0, 1, 2, 3]"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 2 gpus: [0, 1]"), NULL},
    {&wrap_2, GROUP("gpus: [5]"), NULL, GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: 1"), NULL},
    {&wrap_2, GROUP("kind: KIND_GPU gpus: [-1]"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: -1"),
     "instance group m_0 of model m specifies invalid or unsupported gpu id -1. GPUs with at least "
     "the minimum required CUDA compute compatibility of 6.000000 are: 0, 1"},
    {&wrap_0, GROUP("kind: KIND_GPU gpus: [2]"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: 2"),
     "instance group m_0 of model m specifies invalid or unsupported gpu id 2. GPUs with at least "
     "the minimum required CUDA compute compatibility of 6.000000 are: "},
    {&by_fallback, GROUP("kind: KIND_GPU gpus: [1, 2]"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: [3, 0]"), NULL},
    {&pairs, GROUP("kind: KIND_GPU gpus: [2]"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: 1"), NULL},
    {&pairs, GROUP("kind: KIND_GPU gpus: [3]"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: 3"),
     "instance group m_0 of model m specifies invalid or unsupported gpu id 3. GPUs with at least "
     "the minimum required CUDA compute compatibility of 6.000000 are: 0, 1"},
    {&pairs, GROUP("kind: KIND_GPU gpus: [0]"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: 7"),
     "instance group m_0 of model m specifies invalid or unsupported gpu id 7. GPUs with at least "
     "the minimum required CUDA compute compatibility of 6.000000 are: 0, 1"},
    // a lost one
    {&one_lost, GROUP("kind: KIND_GPU"), NULL, GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: 3"),
     NULL},
    {&one_lost, GROUP("kind: KIND_GPU gpus: [3, 0]"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: [3, 0]"),
     "instance group m_0 of model m is for GPU 0, which is lost. GPUs with at least the minimum "
     "required CUDA compute compatibility of 6.000000 are: 3"},
    {&one_lost_wrap, GROUP("kind: KIND_GPU gpus: 0"), NULL,
     GROUP("name: 'm_0' kind: KIND_GPU count: 1 gpus: 3"), NULL},
    // what the backend prefers
    {&no_gpu, "backend: 'b'", GROUP("kind: KIND_GPU count: 4") GROUP("kind: KIND_CPU count: 3"),
     GROUP("name: 'm' kind: KIND_CPU count: 3"), NULL},
    {&two_of_three, "backend: 'b'",
     GROUP("kind: KIND_GPU count: 4 gpus: [1, 3]") GROUP("kind: KIND_CPU count: 3"),
     GROUP("name: 'm' kind: KIND_GPU count: 4 gpus: 3"), NULL},
    {&two_of_three, "backend: 'b'", GROUP("kind: KIND_AUTO count: 2 gpus: 3"),
     GROUP("name: 'm' kind: KIND_GPU count: 2 gpus: 3"), NULL},
    {&two_of_three, GROUP("kind: KIND_GPU"),
     GROUP("kind: KIND_GPU gpus: 1 count: 9") GROUP("kind: KIND_GPU gpus: 3 count: 2"),
     GROUP("name: 'm_0' kind: KIND_GPU count: 2 gpus: 3"), NULL},
    {&two_of_three, GROUP("kind: KIND_CPU count: 5"), GROUP("kind: KIND_CPU count: 2"),
     GROUP("name: 'm_0' kind: KIND_CPU count: 5"), NULL},
    // profiles
    {&no_gpu, "platform: 'onnxruntime_onnx'" GROUP("profile: '0'"), NULL,
     GROUP("name: 'm_0' kind: KIND_CPU count: 1 profile: '0'"),
     "instance group m_0 of model m and platform onnxruntime_onnxspecifies profile field which is "
     "only supported for TensorRT models"},
    {&no_gpu, "platform: 'tensorrt_plan'" GROUP("profile: ['0', '12']"), NULL,
     GROUP("name: 'm_0' kind: KIND_CPU count: 1 profile: ['0', '12']"), NULL},
    {&no_gpu, "platform: 'tensorrt_plan'" GROUP("profile: '-1'"), NULL,
     GROUP("name: 'm_0' kind: KIND_CPU count: 1 profile: '-1'"),
     "instance group m_0 of model m and platform tensorrt_plan specifies invalid profile -1. The "
     "field should contain the string representation of a non-negative integer."},
    {&no_gpu, "platform: 'tensorrt_plan'" GROUP("profile: 'x'"), NULL,
     GROUP("name: 'm_0' kind: KIND_CPU count: 1 profile: 'x'"), "unable to parse 'x': stoi"},
    {&no_gpu, "platform: 'tensorrt_plan'" GROUP("profile: ''"), NULL,
     GROUP("name: 'm_0' kind: KIND_CPU count: 1 profile: ''"), "profile name must not be empty"},
    // ensembles have no groups
    {&no_gpu, "ensemble_scheduling {}", NULL, "", NULL},
};

static bool same_groups(const Inference__ModelConfig *a, const Inference__ModelConfig *b)
{
    bool same = a->n_instance_group == b->n_instance_group;
    for (size_t i = 0; same && i < a->n_instance_group; i++) {
        same = strcmp(a->instance_group[i]->name, b->instance_group[i]->name) == 0 &&
               a->instance_group[i]->count == b->instance_group[i]->count &&
               config_same_instances(a->instance_group[i], b->instance_group[i]);
    }
    return same;
}

static void instances_are_normalised_and_checked(void **state)
{
    (void)state;
    log_set_enabled(LOG_WARNING, false);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[512];
        snprintf(text, sizeof(text), "name: 'm' %s", rows[i].before);
        Inference__ModelConfig *config = config_of(text);
        Inference__ModelConfig *after = config_of(rows[i].after);
        Inference__ModelConfig *preferred =
            config_of(rows[i].preferred == NULL ? "" : rows[i].preferred);
        for (int again = 0; again < 2; again++) { // the second time changes nothing
            assert_refused(config_normalize_instances(config, rows[i].devices,
                                                      preferred->instance_group,
                                                      preferred->n_instance_group),
                           NULL, text);
            if (!same_groups(config, after)) {
                struct str got = STR_INIT;
                config_to_text(config, &got);
                fail_msg("row %zu: %s became %s", i, text, str_cstr(&got));
            }
        }
        assert_refused(config_validate_instances(config, rows[i].devices), rows[i].refused, text);
        config_destroy(config);
        config_destroy(after);
        config_destroy(preferred);
    }
    log_set_enabled(LOG_WARNING, true);
}

static void instances_that_were_not_normalised_are_refused(void **state)
{
    (void)state;
    Inference__ModelConfig *config = config_of("name: 'm'");
    assert_refused(config_validate_instances(config, &no_gpu),
                   "must specify one or more 'instance group's for m", "");
    config_destroy(config);
    config = config_of("name: 'm' instance_group { name: 'g' }");
    struct nrd_status *status = config_validate_instances(config, &no_gpu);
    assert_int_equal(status_code(status), NRD_INTERNAL);
    assert_refused(status, "instance group g of model m has unexpected kind KIND_AUTO", "");
    config_destroy(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instances_are_normalised_and_checked),
        cmocka_unit_test(instances_that_were_not_normalised_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
