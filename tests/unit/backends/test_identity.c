// SPDX-License-Identifier: Apache-2.0
// backends/identity, opened as it is built.
#include "tests/unit/backends/plugin.h"

static const char config[] = "{\"name\":\"m\",\"max_batch_size\":4,\"input\":[{\"name\":\"INPUT0\","
                             "\"data_type\":\"TYPE_INT32\",\"dims\":[2]},"
                             "{\"name\":\"INPUT1\",\"data_type\":\"TYPE_STRING\",\"dims\":[-1],"
                             "\"optional\":true}],\"output\":["
                             "{\"name\":\"OUTPUT0\",\"data_type\":\"TYPE_INT32\",\"dims\":[2]},"
                             "{\"name\":\"OUTPUT1\",\"data_type\":\"TYPE_STRING\",\"dims\":[-1]}]}";

static struct plugin plugin;
static struct served served;
static struct TRITONBACKEND_Request requests[2];
static struct TRITONBACKEND_Request *pointers[2] = {&requests[0], &requests[1]};
static const int32_t numbers[6] = {1, 2, 3, 4, 5, 6};

static int open_backend(void **state)
{
    (void)state;
    plugin_open(&plugin, "identity");
    assert_host_ok(plugin.initialize(&served.backend));
    assert_host_ok(plugin_serve(&plugin, &served, "/models/m", config, true));
    return 0;
}
static int close_backend(void **state)
{
    (void)state;
    plugin_unserve(&plugin, &served);
    assert_host_ok(plugin.finalize(&served.backend));
    assert_int_equal(host.errors, 0);
    return 0;
}

static int make_requests(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        host_request_init(&requests[i]);
        struct TRITONBACKEND_Input *in =
            host_add_input(&requests[i], "INPUT0", TRITONSERVER_TYPE_INT32, i + 1, 2);
        host_add_buffer(in, numbers + 2 * i, 4); // in two pieces
        host_add_buffer(in, numbers + 2 * i + 1, (uint64_t)(8 * (i + 1) - 4));
        host_want(&requests[i], "OUTPUT0");
    }
    served.instance.succeeded = 0;
    served.instance.failed = 0;
    return 0;
}
static int end_requests(void **state)
{
    (void)state;
    host_fini();
    return 0;
}

static void identity_echoes_each_request(void **state)
{
    (void)state;
    assert_host_ok(plugin.execute(&served.instance, pointers, 2));
    for (int i = 0; i < 2; i++) {
        const struct TRITONBACKEND_Output *out = host_output(&requests[i], "OUTPUT0");
        assert_string_equal(requests[i].error, "");
        assert_true(requests[i].released);
        assert_int_equal(out->size, 8 * (i + 1));
        assert_int_equal(out->dims[0], i + 1);
        assert_memory_equal(out->data, numbers + 2 * i, out->size);
    }
    assert_int_equal(served.instance.succeeded, 2);
}

static void identity_makes_zeros_of_an_absent_optional_input(void **state)
{
    (void)state;
    host_want(&requests[1], "OUTPUT1");
    assert_host_ok(plugin.execute(&served.instance, pointers, 2));
    const struct TRITONBACKEND_Output *out = host_output(&requests[1], "OUTPUT1");
    assert_int_equal(out->dim_count, 2);
    assert_int_equal(out->dims[0], 2);
    assert_int_equal(out->dims[1], 1);
    assert_memory_equal(out->data, "\0\0\0\0\0\0\0\0", 8);
}

static void identity_answers_every_request_whatever_fails(void **state)
{
    (void)state;
    static const char *const calls[] = {"ResponseOutput", "OutputBuffer", "InputBuffer",
                                        "RequestOutputCount"};
    for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
        host_fail(calls[c], 0);
        assert_host_ok(plugin.execute(&served.instance, pointers, 2));
        assert_non_null(strstr(requests[0].error, calls[c]));
        assert_string_equal(requests[1].error, "");
        assert_true(requests[0].released && requests[1].released);
        assert_int_equal(served.instance.failed, 1);
        end_requests(NULL);
        make_requests(NULL);
    }
    host_want(&requests[0], "NOPE");
    assert_host_ok(plugin.execute(&served.instance, pointers, 2));
    assert_string_equal(requests[0].error, "unexpected inference output 'NOPE' for model 'm'");
}

static void identity_returns_an_error_if_it_took_nothing(void **state)
{
    (void)state;
    host_fail("ResponseNew", 1);
    assert_host_error(plugin.execute(&served.instance, pointers, 2), "made to fail: ResponseNew");
    requests[0].response = NULL;
    assert_false(requests[0].answered || requests[0].released || requests[1].released);
}

static void identity_gives_back_all_when_loading_fails(void **state)
{
    (void)state;
    static const char *const calls[] = {"ModelConfig", "ModelSetState", "ModelInstanceSetState"};
    struct served other = {.backend = served.backend};
    for (size_t c = 0; c < sizeof(calls) / sizeof(calls[0]); c++) {
        host_fail(calls[c], 0);
        assert_host_error(plugin_serve(&plugin, &other, "/models/m", config, true), calls[c]);
    }
    assert_host_error(plugin_serve(&plugin, &other, "/models/m", "{}x", true), "failed to parse");
    other.instance.kind = TRITONSERVER_INSTANCEGROUPKIND_GPU;
    assert_host_error(plugin.instance_initialize(&other.instance), "only supports CPU instances");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(identity_echoes_each_request, make_requests, end_requests),
        cmocka_unit_test_setup_teardown(identity_makes_zeros_of_an_absent_optional_input,
                                        make_requests, end_requests),
        cmocka_unit_test_setup_teardown(identity_answers_every_request_whatever_fails,
                                        make_requests, end_requests),
        cmocka_unit_test_setup_teardown(identity_returns_an_error_if_it_took_nothing, make_requests,
                                        end_requests),
        cmocka_unit_test(identity_gives_back_all_when_loading_fails),
    };
    return cmocka_run_group_tests(tests, open_backend, close_backend);
}
