// SPDX-License-Identifier: Apache-2.0
// backends/onnxruntime on a pretended GPU (tests/support/fake_cuda) with an ONNX Runtime that has a CUDA provider for it
// (tests/support/fake_ort): that every request is answered and all memory comes back, whatever call of the host fails. Both are
// libraries that the backend finds as it would find the real ones, so the program starts itself anew with their places in its
// environment. Results are tests/api/test_backend_onnxruntime.py's.
#include "tests/unit/backends/plugin.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/slice.h"
#include "gpu/memory.h"

// Y = X + X, both FLOAT [-1,3].
static const unsigned char double_model[] = {
    0x08, 0x08, 0x12, 0x00, 0x3a, 0x39, 0x0a, 0x0e, 0x0a, 0x01, 0x58, 0x0a, 0x01, 0x58,
    0x12, 0x01, 0x59, 0x22, 0x03, 0x41, 0x64, 0x64, 0x12, 0x01, 0x67, 0x5a, 0x11, 0x0a,
    0x01, 0x58, 0x12, 0x0c, 0x0a, 0x0a, 0x08, 0x01, 0x12, 0x06, 0x0a, 0x00, 0x0a, 0x02,
    0x08, 0x03, 0x62, 0x11, 0x0a, 0x01, 0x59, 0x12, 0x0c, 0x0a, 0x0a, 0x08, 0x01, 0x12,
    0x06, 0x0a, 0x00, 0x0a, 0x02, 0x08, 0x03, 0x42, 0x04, 0x0a, 0x00, 0x10, 0x11,
};

#define CONFIG(more)                                                                               \
    "{\"name\":\"m\",\"max_batch_size\":8,\"input\":[],\"output\":[],\"instance_group\":[{"        \
    "\"kind\":"                                                                                    \
    "\"KIND_GPU\",\"gpus\":[0]}]" more "}"
static const char *const configs[] = {CONFIG(""),
                                      CONFIG(",\"optimization\":{\"cuda\":{\"graphs\":true}}")};

static struct plugin plugin;
static struct served served = {.on_gpu = true};
static bool present;
static char directory[] = "/tmp/nereid-onnx-XXXXXX";
static struct TRITONBACKEND_Request requests[3];
static struct TRITONBACKEND_Request *pointers[3] = {&requests[0], &requests[1], &requests[2]};
static struct gpu_system *gpus; // the test's own view of the machine
static struct tensor_buffer *buffers[64];
static const float numbers[18] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};

static void *take(int64_t gpu, size_t size)
{
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        if (buffers[i] == NULL) {
            assert_null(gpu_direct_get(gpu_system_device(gpus, (int)gpu), size, &buffers[i]));
            return buffers[i]->data;
        }
    }
    fail_msg("too many buffers");
    return NULL;
}

static void give(int64_t gpu, void *data)
{
    (void)gpu;
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        if (buffers[i] != NULL && buffers[i]->data == data) {
            buffer_unref(buffers[i]);
            buffers[i] = NULL;
            return;
        }
    }
    fail_msg("this memory was not given out");
}

static int open_backend(void **state)
{
    (void)state;
    static char settings[] = "{\"cmdline\":{}}";
    char path[HOST_TEXT];
    host.gpu_allocate = take;
    host.gpu_free = give;
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/1", directory);
    assert_null(file_make_dirs(path));
    (void)snprintf(path, sizeof(path), "%s/1/model.onnx", directory);
    assert_null(file_write(path, slice_make(double_model, sizeof(double_model))));
    plugin_open(&plugin, "onnxruntime");
    served.backend.directory = plugin.directory;
    served.backend.settings.json = settings;
    present = getenv("FAKE_ORT_REAL") != NULL;
    if (!present) {
        print_message("SKIPPED, no ONNX Runtime, or not the pretended one\n");
        return 0;
    }
    assert_null(gpu_system_open(&gpus));
    assert_host_ok(plugin.initialize(&served.backend));
    return 0;
}
static int close_backend(void **state)
{
    (void)state;
    if (present) {
        assert_host_ok(plugin.finalize(&served.backend));
        gpu_system_close(gpus);
    }
    assert_null(file_remove_tree(directory));
    assert_int_equal(host.errors, 0);
    assert_int_equal(host.memory, 0);
    return 0;
}

static void serve(const char *config)
{
    if (!present) {
        skip();
    }
    assert_host_ok(plugin_serve(&plugin, &served, directory, config, true));
}

// 1, 2 and 3 rows of three numbers, in the host's memory; their answers are wanted there or on the GPU.
static void make_requests(bool outputs_on_gpu)
{
    const float *at = numbers;
    host.outputs_on_gpu = outputs_on_gpu;
    for (int i = 0; i < 3; i++) {
        host_request_init(&requests[i]);
        struct TRITONBACKEND_Input *in =
            host_add_input(&requests[i], "X", TRITONSERVER_TYPE_FP32, i + 1, 3);
        host_add_buffer(in, at, (uint64_t)(i + 1) * 3 * sizeof(float));
        host_want(&requests[i], "Y");
        at += (i + 1) * 3;
    }
}

static void onnx_joins_and_divides_a_batch_on_a_gpu(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof(configs) / sizeof(configs[0]); c++) {
        serve(configs[c]);
        for (int round = 0; round < 3; round++) {
            make_requests(false);
            assert_host_ok(plugin.execute(&served.instance, pointers, 3));
            const float *at = numbers;
            for (int i = 0; i < 3; i++) {
                const struct TRITONBACKEND_Output *out = host_output(&requests[i], "Y");
                assert_string_equal(requests[i].error, "");
                assert_non_null(out);
                float got[9];
                memcpy(got, out->data, (size_t)(i + 1) * 3 * sizeof(float));
                for (int k = 0; k < (i + 1) * 3; k++) {
                    assert_true(got[k] == 2 * *at++);
                }
            }
            host_fini();
        }
        plugin_unserve(&plugin, &served);
    }
}

static void onnx_answers_every_request_on_a_gpu_whatever_fails(void **state)
{
    (void)state;
    static const char *const calls[] = {
        "RequestInput", "InputProperties",    "InputBuffer",          "ResponseOutput",
        "OutputBuffer", "RequestOutputCount", "MemoryManagerAllocate"};
    for (size_t c = 0; c < sizeof(configs) / sizeof(configs[0]); c++) {
        serve(configs[c]);
        for (uint32_t after = 0; after < 7 * 12; after++) {
            // One alone is bound to the response's memory, three are divided.
            for (uint32_t count = 1; count <= 3; count += 2) {
                make_requests(after % 2 == 0);
                host_fail(calls[after / 12], 3 + after % 12);
                TRITONSERVER_Error *error = plugin.execute(&served.instance, pointers, count);
                assert_null(error);
                for (uint32_t i = 0; i < count; i++) {
                    assert_true(requests[i].answered && requests[i].released);
                }
                for (uint32_t i = count; i < 3; i++) {
                    requests[i].response = NULL;
                    requests[i].answered = requests[i].released = true;
                }
                host_fini();
            }
        }
        plugin_unserve(&plugin, &served);
        assert_int_equal(host.memory, 0);
    }
}

static void onnx_gives_back_all_when_loading_on_a_gpu_fails(void **state)
{
    (void)state;
    static const char *const calls[] = {"ModelConfig", "ModelSetState", "ModelInstanceSetState",
                                        "MemoryManagerAllocate"};
    if (!present) {
        skip();
    }
    for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
        host_fail(calls[c], 0);
        // Fixed places for captured runs are taken when an instance is made.
        assert_host_error(plugin_serve(&plugin, &served, directory, configs[1], true), calls[c]);
        assert_int_equal(host.memory, 0);
    }
}

// The folder that holds `file`, given from this program's build folder.
static bool find(const char *build, const char *file, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/%s", build, file);
    return access(path, F_OK) == 0;
}

static void start_anew(char **argv)
{
    char build[HOST_TEXT] = {0};
    char cuda[2 * HOST_TEXT], ort[2 * HOST_TEXT], real[2 * HOST_TEXT];
    ssize_t length = readlink("/proc/self/exe", build, sizeof(build) - 1);
    for (int i = 0; i < 4 && length > 0; i++) {
        *strrchr(build, '/') = '\0';
    }
    if (!find(build, "tests/fake/libcuda.so.1", cuda, sizeof(cuda)) ||
        !find(build, "tests/fake_ort/libonnxruntime.so", ort, sizeof(ort)) ||
        !find(build, "lib/nereid/onnxruntime/libonnxruntime.so.1", real, sizeof(real))) {
        return;
    }
    *strrchr(cuda, '/') = '\0';
    (void)setenv("LD_LIBRARY_PATH", cuda, 1);
    (void)setenv("FAKE_CUDA", "gpus=1", 1);
    (void)setenv("NEREID_ONNXRUNTIME", ort, 1);
    (void)setenv("FAKE_ORT_REAL", real, 1);
    (void)execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
    (void)argc;
    if (getenv("FAKE_ORT_REAL") == NULL) {
        start_anew(argv);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(onnx_joins_and_divides_a_batch_on_a_gpu),
        cmocka_unit_test(onnx_answers_every_request_on_a_gpu_whatever_fails),
        cmocka_unit_test(onnx_gives_back_all_when_loading_on_a_gpu_fails),
    };
    return cmocka_run_group_tests_name("onnxruntime_gpu", tests, open_backend, close_backend);
}
