// SPDX-License-Identifier: Apache-2.0
// backends/pytorch, opened as it is built, on models that tests/tools/torch_models makes. Where there
// is no libtorch to build it with, all of it is skipped.
#include "tests/unit/backends/plugin.h"

#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/slice.h"

#define CONFIG(more)                                                                               \
    "{\"name\":\"m\",\"platform\":\"pytorch_libtorch\",\"max_batch_size\":8,\"input\":[{\"name\":" \
    "\"X\",\"data_type\":\"TYPE_FP32\",\"dims\":[3]}],\"output\":[{\"name\":\"Y\",\"data_type\":"  \
    "\"TYPE_FP32\",\"dims\":[3]}]" more "}"
#define STRINGS                                                                                    \
    "{\"name\":\"m\",\"platform\":\"pytorch_libtorch\",\"max_batch_size\":8,\"input\":[{\"name\":" \
    "\"S\",\"data_type\":\"TYPE_STRING\",\"dims\":[1],\"reshape\":{\"shape\":[]}}],\"output\":[{"  \
    "\"name\":\"T\",\"data_type\":\"TYPE_STRING\",\"dims\":[1],\"reshape\":{\"shape\":[]}}]}"

static struct plugin plugin;
static struct served served;
static bool present;
static char directory[] = "/tmp/nereid-torch-XXXXXX";
static struct TRITONBACKEND_Request requests[3];
static struct TRITONBACKEND_Request *pointers[3] = {&requests[0], &requests[1], &requests[2]};

// <directory>/<name>.pt, by the program beside this build's tests.
static void make_models(void)
{
    extern char **environ;
    char self[HOST_TEXT] = {0};
    char program[2 * HOST_TEXT];
    assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    for (int i = 0; i < 3; i++) {
        *strrchr(self, '/') = '\0';
    }
    (void)snprintf(program, sizeof(program), "%s/tools/torch_models", self);
    char make[] = "make";
    char *const arguments[] = {program, make, directory, NULL};
    pid_t child = 0;
    int status = -1;
    assert_int_equal(posix_spawn(&child, program, NULL, NULL, arguments, environ), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int open_backend(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL) {
        return 1;
    }
    present = plugin_is_built("pytorch");
    if (!present) {
        print_message("SKIPPED, the pytorch backend is not built: no libtorch\n");
        return 0;
    }
    plugin_open(&plugin, "pytorch");
    served.backend.directory = plugin.directory;
    assert_host_ok(plugin.initialize(&served.backend));
    make_models();
    return 0;
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

static void place_model(const char *name, size_t most)
{
    char path[HOST_TEXT];
    struct str bytes = STR_INIT;
    (void)snprintf(path, sizeof(path), "%s/1", directory);
    assert_null(file_make_dirs(path));
    (void)snprintf(path, sizeof(path), "%s/%s.pt", directory, name);
    assert_null(file_read(path, SIZE_MAX, &bytes));
    (void)snprintf(path, sizeof(path), "%s/1/model.pt", directory);
    assert_null(file_write(path, slice_make(bytes.ptr, bytes.len < most ? bytes.len : most)));
    str_fini(&bytes);
}

static void serve(const char *name, const char *config)
{
    if (!present) {
        skip();
    }
    place_model(name, SIZE_MAX);
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

static void torch_runs_one_request_in_place(void **state)
{
    (void)state;
    serve("twice", CONFIG(""));
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

static void torch_joins_and_divides_a_batch(void **state)
{
    (void)state;
    serve("twice", CONFIG(""));
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

static void torch_keeps_the_others_when_an_input_is_broken(void **state)
{
    (void)state;
    serve("twice", CONFIG(""));
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

static void torch_answers_every_request_whatever_fails(void **state)
{
    (void)state;
    static const char *const calls[] = {"RequestInput",   "InputProperties", "InputBuffer",
                                        "ResponseOutput", "OutputBuffer",    "RequestOutputCount"};
    serve("twice", CONFIG(""));
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

static void torch_passes_strings_with_zeros_in_them(void **state)
{
    (void)state;
    static const char first[] = "\3\0\0\0a\0b";
    static const char second[] = "\0\0\0\0\2\0\0\0xy";
    static const char broken[] = "\377\0\0\0a";
    serve("strings", STRINGS);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++) {
            host_request_init(&requests[i]);
            struct TRITONBACKEND_Input *in =
                host_add_input(&requests[i], "S", TRITONSERVER_TYPE_BYTES, i == 1 ? 2 : 1, 0);
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

static void torch_leaves_the_memory_of_a_request_to_its_client(void **state)
{
    (void)state;
    float mine[6] = {1, 2, 3, 4, 5, 6};
    serve("in_place", CONFIG(""));
    make_requests();
    requests[1].inputs[0].buffers[0].ptr = mine;
    assert_host_ok(plugin.execute(&served.instance, &pointers[1], 1));
    const float *got = host_output(&requests[1], "Y")->data;
    for (int i = 0; i < 6; i++) {
        assert_true(mine[i] == (float)(i + 1) && got[i] == (float)(i + 2));
    }
    requests[0].response = NULL;
    host_fini();
    plugin_unserve(&plugin, &served);
}

static void torch_refuses_a_gpu_that_libtorch_does_not_see(void **state)
{
    (void)state;
    serve("twice", CONFIG(""));
    struct TRITONBACKEND_ModelInstance other = {
        .model = &served.model, .kind = TRITONSERVER_INSTANCEGROUPKIND_GPU, .device = 99};
    assert_host_error(plugin.instance_initialize(&other), "asks for an instance on GPU 99");
    plugin_unserve(&plugin, &served);
}

static void torch_gives_back_all_when_loading_fails(void **state)
{
    (void)state;
    if (!present) {
        skip();
    }
    static const char *const calls[] = {"ModelConfig", "ModelSetState", "ModelInstanceSetState"};
    place_model("twice", SIZE_MAX);
    for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
        host_fail(calls[c], 0);
        assert_host_error(plugin_serve(&plugin, &served, directory, CONFIG(""), true), calls[c]);
    }
    for (size_t size = 0; size < 1200; size += 97) {
        place_model("twice", size);
        assert_host_error(plugin_serve(&plugin, &served, directory, CONFIG(""), true),
                          "failed to load model 'm'");
    }
    assert_host_error(plugin_serve(&plugin, &served, "/nonexistent", CONFIG(""), true),
                      "unable to find '/nonexistent/1/model.pt'");
    place_model("add_sub", SIZE_MAX);
    assert_host_error(plugin_serve(&plugin, &served, directory, CONFIG(""), true),
                      "configuration expects 1 inputs, model provides 2");
    assert_int_equal(host.errors, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(torch_runs_one_request_in_place),
        cmocka_unit_test(torch_joins_and_divides_a_batch),
        cmocka_unit_test(torch_keeps_the_others_when_an_input_is_broken),
        cmocka_unit_test(torch_answers_every_request_whatever_fails),
        cmocka_unit_test(torch_passes_strings_with_zeros_in_them),
        cmocka_unit_test(torch_leaves_the_memory_of_a_request_to_its_client),
        cmocka_unit_test(torch_refuses_a_gpu_that_libtorch_does_not_see),
        cmocka_unit_test(torch_gives_back_all_when_loading_fails),
    };
    return cmocka_run_group_tests(tests, open_backend, close_backend);
}
