// SPDX-License-Identifier: Apache-2.0
// backends/onnxruntime, opened as it is built. Needs ONNX Runtime's library, as NEREID_ONNXRUNTIME
// names it or where the backend finds it; without, all of it is skipped.
#include "tests/unit/backends/plugin.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/slice.h"

// Y = X + X, both FLOAT [-1,3].
static const unsigned char double_model[] = {
    0x08, 0x08, 0x12, 0x00, 0x3a, 0x39, 0x0a, 0x0e, 0x0a, 0x01, 0x58, 0x0a, 0x01, 0x58,
    0x12, 0x01, 0x59, 0x22, 0x03, 0x41, 0x64, 0x64, 0x12, 0x01, 0x67, 0x5a, 0x11, 0x0a,
    0x01, 0x58, 0x12, 0x0c, 0x0a, 0x0a, 0x08, 0x01, 0x12, 0x06, 0x0a, 0x00, 0x0a, 0x02,
    0x08, 0x03, 0x62, 0x11, 0x0a, 0x01, 0x59, 0x12, 0x0c, 0x0a, 0x0a, 0x08, 0x01, 0x12,
    0x06, 0x0a, 0x00, 0x0a, 0x02, 0x08, 0x03, 0x42, 0x04, 0x0a, 0x00, 0x10, 0x11,
};
// T = S, both STRING [-1,1].
static const unsigned char string_model[] = {
    0x08, 0x08, 0x12, 0x00, 0x3a, 0x3b, 0x0a, 0x10, 0x0a, 0x01, 0x53, 0x12, 0x01, 0x54, 0x22,
    0x08, 0x49, 0x64, 0x65, 0x6e, 0x74, 0x69, 0x74, 0x79, 0x12, 0x01, 0x67, 0x5a, 0x11, 0x0a,
    0x01, 0x53, 0x12, 0x0c, 0x0a, 0x0a, 0x08, 0x08, 0x12, 0x06, 0x0a, 0x00, 0x0a, 0x02, 0x08,
    0x01, 0x62, 0x11, 0x0a, 0x01, 0x54, 0x12, 0x0c, 0x0a, 0x0a, 0x08, 0x08, 0x12, 0x06, 0x0a,
    0x00, 0x0a, 0x02, 0x08, 0x01, 0x42, 0x04, 0x0a, 0x00, 0x10, 0x11,
};

#define CONFIG(batch, more)                                                                        \
    "{\"name\":\"m\",\"max_batch_size\":" batch ",\"input\":[],\"output\":[]" more "}"

static struct plugin plugin;
static struct served served;
static bool present;
static char directory[] = "/tmp/nereid-onnx-XXXXXX";
static struct TRITONBACKEND_Request requests[3];
static struct TRITONBACKEND_Request *pointers[3] = {&requests[0], &requests[1], &requests[2]};

static int open_backend(void **state)
{
    (void)state;
    plugin_open(&plugin, "onnxruntime");
    served.backend.directory = plugin.directory;
    static char settings[] = "{\"cmdline\":{\"default-max-batch-size\":\"4\"}}";
    served.backend.settings.json = settings;
    TRITONSERVER_Error *error = plugin.initialize(&served.backend);
    present = error == NULL;
    if (!present) {
        print_message("SKIPPED, no ONNX Runtime: %s\n", error->text);
        TRITONSERVER_ErrorDelete(error);
    }
    return mkdtemp(directory) == NULL;
}
static int close_backend(void **state)
{
    (void)state;
    if (present) {
        assert_host_ok(plugin.finalize(&served.backend));
    }
    assert_null(file_remove_tree(directory));
    assert_int_equal(host.errors, 0);
    return 0;
}

static void write_model(const unsigned char *bytes, size_t size)
{
    char path[HOST_TEXT];
    (void)snprintf(path, sizeof(path), "%s/1", directory);
    assert_null(file_make_dirs(path));
    (void)snprintf(path, sizeof(path), "%s/1/model.onnx", directory);
    assert_null(file_write(path, slice_make(bytes, size)));
}

static void serve(const unsigned char *bytes, size_t size, const char *config)
{
    if (!present) {
        skip();
    }
    write_model(bytes, size);
    assert_host_ok(plugin_serve(&plugin, &served, directory, config, true));
}

static const float numbers[18] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};

// 1, 2 and 3 rows of three numbers.
static void make_requests(void)
{
    const float *at = numbers;
    for (int i = 0; i < 3; i++) {
        host_request_init(&requests[i]);
        struct TRITONBACKEND_Input *in =
            host_add_input(&requests[i], "X", TRITONSERVER_TYPE_FP32, i + 1, 3);
        host_add_buffer(in, at, (uint64_t)(i + 1) * 3 * sizeof(float));
        host_want(&requests[i], "Y");
        at += (i + 1) * 3;
    }
}

static void assert_doubled(int index, const float *from)
{
    const struct TRITONBACKEND_Output *out = host_output(&requests[index], "Y");
    assert_string_equal(requests[index].error, "");
    assert_non_null(out);
    assert_int_equal(out->dims[0], index + 1);
    const float *got = out->data;
    for (int i = 0; i < (index + 1) * 3; i++) {
        assert_true(got[i] == 2 * from[i]);
    }
}

static void onnx_completes_the_configuration(void **state)
{
    (void)state;
    serve(double_model, sizeof(double_model), CONFIG("0", ""));
    assert_non_null(strstr(served.model.config, "\"max_batch_size\":4"));
    assert_non_null(strstr(served.model.config, "\"dynamic_batching\":{}"));
    assert_non_null(
        strstr(served.model.config, "{\"name\":\"X\",\"data_type\":\"TYPE_FP32\",\"dims\":[3]}"));
    plugin_unserve(&plugin, &served);
}

static void onnx_runs_one_request_in_place(void **state)
{
    (void)state;
    serve(double_model, sizeof(double_model), CONFIG("8", ""));
    for (int misaligned = 0; misaligned < 2; misaligned++) {
        static char shifted[sizeof(numbers) + 1];
        make_requests();
        memcpy(shifted + 1, numbers + 3, sizeof(float) * 6);
        if (misaligned != 0) {
            requests[1].inputs[0].buffers[0].ptr = shifted + 1;
        }
        assert_host_ok(plugin.execute(&served.instance, &pointers[1], 1));
        assert_doubled(1, numbers + 3);
        requests[0].response = NULL;
        host_fini();
    }
    plugin_unserve(&plugin, &served);
}

static void onnx_joins_and_divides_a_batch(void **state)
{
    (void)state;
    serve(double_model, sizeof(double_model), CONFIG("8", ""));
    for (int round = 0; round < 2; round++) {
        make_requests();
        requests[1].wanted_count = 0;
        assert_host_ok(plugin.execute(&served.instance, pointers, 3));
        assert_doubled(0, numbers);
        assert_null(host_output(&requests[1], "Y"));
        assert_doubled(2, numbers + 9);
        host_fini();
    }
    assert_int_equal(served.instance.rows, 12);
    plugin_unserve(&plugin, &served);
}

static void onnx_keeps_the_others_when_an_input_is_broken(void **state)
{
    (void)state;
    serve(double_model, sizeof(double_model), CONFIG("8", ""));
    make_requests();
    requests[1].inputs[0].buffers[0].type = TRITONSERVER_MEMORY_GPU;
    assert_host_ok(plugin.execute(&served.instance, pointers, 3));
    assert_non_null(strstr(requests[1].error, "GPU"));
    assert_doubled(0, numbers);
    assert_doubled(2, numbers + 9);
    host_fini();
    make_requests();
    requests[0].inputs[0].buffers[0].size = 4; // fewer bytes than its shape says
    assert_host_ok(plugin.execute(&served.instance, pointers, 1));
    assert_non_null(strstr(requests[0].error, "has 4 bytes, its shape needs 12"));
    host_fini();
    plugin_unserve(&plugin, &served);
}

static void onnx_answers_every_request_whatever_fails(void **state)
{
    (void)state;
    static const char *const calls[] = {"RequestInput",   "InputProperties", "InputBuffer",
                                        "ResponseOutput", "OutputBuffer",    "RequestOutputCount"};
    serve(double_model, sizeof(double_model), CONFIG("8", ""));
    for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
        // Behind the calls of batch_begin, in which nothing is taken yet.
        for (uint32_t after = 3; after < 12; after++) {
            make_requests();
            host_fail(calls[c], after);
            assert_host_ok(plugin.execute(&served.instance, pointers, 3));
            for (int i = 0; i < 3; i++) {
                assert_true(requests[i].answered && requests[i].released);
            }
            host_fini();
        }
    }
    plugin_unserve(&plugin, &served);
}

static void onnx_passes_strings_with_zeros_in_them(void **state)
{
    (void)state;
    static const char first[] = "\3\0\0\0a\0b";
    static const char second[] = "\0\0\0\0\2\0\0\0xy";
    static const char broken[] = "\377\0\0\0a";
    serve(string_model, sizeof(string_model), CONFIG("8", ""));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++) {
            host_request_init(&requests[i]);
            struct TRITONBACKEND_Input *in =
                host_add_input(&requests[i], "S", TRITONSERVER_TYPE_BYTES, i == 1 ? 2 : 1, 1);
            host_add_buffer(in,
                            i == 0   ? first
                            : i == 1 ? second
                                     : broken,
                            i == 0   ? 7
                            : i == 1 ? 10
                                     : 5);
            host_want(&requests[i], "T");
        }
        assert_host_ok(plugin.execute(&served.instance, pointers, 3));
        const struct TRITONBACKEND_Output *a = host_output(&requests[0], "T");
        const struct TRITONBACKEND_Output *b = host_output(&requests[1], "T");
        assert_int_equal(a->size, 7);
        assert_memory_equal(a->data, first, 7);
        assert_int_equal(b->size, 10);
        assert_memory_equal(b->data, second, 10);
        assert_non_null(strstr(requests[2].error, "incomplete string data"));
        host_fini();
    }
    plugin_unserve(&plugin, &served);
}

static void onnx_gives_back_all_when_loading_fails(void **state)
{
    (void)state;
    if (!present) {
        skip();
    }
    static const char *const calls[] = {"ModelConfig", "ModelSetConfig", "ModelSetState",
                                        "ModelInstanceSetState", "MessageNewFromSerializedJson"};
    write_model(double_model, sizeof(double_model));
    for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
        host_fail(calls[c], 0);
        assert_host_error(plugin_serve(&plugin, &served, directory, CONFIG("0", ""), true),
                          calls[c]);
    }
    for (size_t size = 0; size < sizeof(double_model) - 1; size += 7) {
        write_model(double_model, size);
        TRITONSERVER_Error *error =
            plugin_serve(&plugin, &served, directory, CONFIG("0", ""), true);
        if (error != NULL) {
            TRITONSERVER_ErrorDelete(error);
        } else {
            plugin_unserve(&plugin, &served);
        }
    }
    write_model(double_model, sizeof(double_model));
    assert_host_error(plugin_serve(&plugin, &served, directory,
                                   CONFIG("0", ",\"instance_group\":[{\"kind\":\"KIND_GPU\"}]"),
                                   true),
                      "(KIND_GPU): ONNX Runtime");
    assert_host_error(plugin_serve(&plugin, &served, "/nonexistent", CONFIG("0", ""), true),
                      "unable to find '/nonexistent/1/model.onnx'");
    assert_int_equal(host.errors, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(onnx_completes_the_configuration),
        cmocka_unit_test(onnx_runs_one_request_in_place),
        cmocka_unit_test(onnx_joins_and_divides_a_batch),
        cmocka_unit_test(onnx_keeps_the_others_when_an_input_is_broken),
        cmocka_unit_test(onnx_answers_every_request_whatever_fails),
        cmocka_unit_test(onnx_passes_strings_with_zeros_in_them),
        cmocka_unit_test(onnx_gives_back_all_when_loading_fails),
    };
    return cmocka_run_group_tests(tests, open_backend, close_backend);
}
