// SPDX-License-Identifier: Apache-2.0
// backends/onnxruntime/onnx_gpu_options: Triton's names and values in, those of the execution providers out.
#include "tests/unit/backends/host.h"

#include "backends/onnxruntime/onnx_gpu_options.h"

static struct TRITONBACKEND_Backend backend;
static struct TRITONBACKEND_Model owner = {.backend = &backend, .name = "m", .directory = "/m"};
static struct model_config config;
static struct arena arena;
static struct onnx_gpu_options options;

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    model_config_fini(&config);
    mem_free(owner.config);
    owner.config = NULL;
    host_fini();
    return 0;
}

static TRITONSERVER_Error *read_options(const char *more)
{
    char json[2048];
    (void)snprintf(json, sizeof(json),
                   "{\"name\":\"m\",\"max_batch_size\":0,\"input\":[],\"output\":[]%s}", more);
    owner.config = mem_strdup(json);
    arena_init(&arena, 0);
    assert_host_ok(model_config_init(&config, &owner));
    return onnx_gpu_options_read(&config, &arena, &options);
}

#define ACCELERATORS(list)                                                                         \
    ",\"optimization\":{\"execution_accelerators\":{\"gpu_execution_accelerator\":[" list "]}}"
#define PARAMETER(key, value) "\"" key "\":{\"string_value\":\"" value "\"}"
#define assert_option(options_, key, value)                                                        \
    do {                                                                                           \
        assert_non_null(onnx_option(&(options_), key));                                            \
        assert_string_equal(onnx_option(&(options_), key), value);                                 \
    } while (0)

static void options_are_empty_without_a_word_on_gpus(void **state)
{
    (void)state;
    assert_host_ok(read_options(""));
    assert_false(options.tensorrt || options.cuda_graphs);
    assert_int_equal(options.cuda_options.count, 0);
    assert_int_equal(options.tensorrt_options.count, 0);
}

static void tensorrt_parameters_get_the_providers_names(void **state)
{
    (void)state;
    assert_host_ok(read_options(ACCELERATORS(
        "{\"name\":\"tensorrt\",\"parameters\":{\"precision_mode\":\"FP16\",\"max_workspace_size_"
        "bytes\":"
        "\"1073741824\",\"trt_engine_cache_enable\":\"TRUE\",\"trt_engine_cache_path\":\"/c\","
        "\"int8_use_native_calibration_table\":\"false\",\"trt_auxiliary_streams\":\"-1\","
        "\"trt_newer_than_this_list\":\"x\"}}")));
    assert_true(options.tensorrt);
    assert_option(options.tensorrt_options, "trt_fp16_enable", "1");
    assert_option(options.tensorrt_options, "trt_max_workspace_size", "1073741824");
    assert_option(options.tensorrt_options, "trt_engine_cache_enable", "1");
    assert_option(options.tensorrt_options, "trt_engine_cache_path", "/c");
    assert_option(options.tensorrt_options, "trt_int8_use_native_calibration_table", "0");
    assert_option(options.tensorrt_options, "trt_auxiliary_streams", "-1");
    assert_option(options.tensorrt_options, "trt_newer_than_this_list", "x");
    assert_int_equal(options.tensorrt_options.count, 7);
}

static void older_parameters_win_over_the_accelerators(void **state)
{
    (void)state;
    static const char accelerator[] =
        ACCELERATORS("{\"name\":\"cuda\",\"parameters\":{\"cudnn_conv_algo_search\":\"DEFAULT\","
                     "\"arena_extend_strategy\":\"1\",\"enable_cuda_graph\":\"true\","
                     "\"gpu_mem_limit\":\"5\"}}");
    static const char search[] = PARAMETER("cudnn_conv_algo_search", "1");
    static const char limit[] = PARAMETER("gpu_mem_limit", "18446744073709551615");
    static const char copy[] = PARAMETER("do_copy_in_default_stream", "0");
    char text[1024];
    (void)snprintf(text, sizeof(text), "%s,\"parameters\":{%s,%s,%s}", accelerator, search, limit,
                   copy);
    assert_host_ok(read_options(text));
    assert_option(options.cuda_options, "cudnn_conv_algo_search", "HEURISTIC");
    assert_option(options.cuda_options, "arena_extend_strategy", "kSameAsRequested");
    assert_option(options.cuda_options, "gpu_mem_limit", "18446744073709551615");
    assert_option(options.cuda_options, "do_copy_in_default_stream", "0");
    assert_option(options.cuda_options, "enable_cuda_graph", "1");
    assert_true(options.cuda_graphs);
    assert_int_equal(options.cuda_options.count, 5);
}

static void both_accelerators_keep_their_own_options(void **state)
{
    (void)state;
    assert_host_ok(read_options(ACCELERATORS(
        "{\"name\":\"tensorrt\"},{\"name\":\"cuda\",\"parameters\":{\"use_tf32\":\"0\"}}")));
    assert_true(options.tensorrt);
    assert_int_equal(options.tensorrt_options.count, 0);
    assert_option(options.cuda_options, "use_tf32", "0");
}

static void graphs_may_be_asked_for_as_with_tensorrt(void **state)
{
    (void)state;
    assert_host_ok(read_options(",\"optimization\":{\"cuda\":{\"graphs\":true}}"));
    assert_true(options.cuda_graphs);
    assert_option(options.cuda_options, "enable_cuda_graph", "1");
}

static void too_many_options_are_refused(void **state)
{
    (void)state;
    char names[ONNX_OPTIONS_MAX + 1][8];
    assert_host_ok(read_options(""));
    for (int i = 0; i < ONNX_OPTIONS_MAX; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "k%d", i);
        assert_host_ok(onnx_option_set(&options.cuda_options, names[i], "v"));
    }
    assert_host_ok(onnx_option_set(&options.cuda_options, "k0", "w")); // in an older one's place
    assert_option(options.cuda_options, "k0", "w");
    assert_host_error(onnx_option_set(&options.cuda_options, "one more", "v"), "over 96 options");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(options_are_empty_without_a_word_on_gpus, teardown),
        cmocka_unit_test_teardown(tensorrt_parameters_get_the_providers_names, teardown),
        cmocka_unit_test_teardown(older_parameters_win_over_the_accelerators, teardown),
        cmocka_unit_test_teardown(both_accelerators_keep_their_own_options, teardown),
        cmocka_unit_test_teardown(graphs_may_be_asked_for_as_with_tensorrt, teardown),
        cmocka_unit_test_teardown(too_many_options_are_refused, teardown),
    };
    return cmocka_run_group_tests_name("onnx_gpu_options", tests, NULL, NULL);
}
