// SPDX-License-Identifier: Apache-2.0
// backends/common: a batch on its way, and the reading of configurations, in a host made of plain
// structs.
#include "tests/unit/backends/host.h"

#include "backends/common/batch.h"
#include "backends/common/model_config.h"
#include "base/str.h"

static struct TRITONBACKEND_Backend backend;
static struct TRITONBACKEND_Model owner = {.backend = &backend};
static struct TRITONBACKEND_ModelInstance instance;
static struct TRITONBACKEND_Request requests[3];
static struct TRITONBACKEND_Request *pointers[3] = {&requests[0], &requests[1], &requests[2]};
static const float numbers[6] = {1, 2, 3, 4, 5, 6};

// Three requests of 1, 2 and 3 rows of one float; the second does not want the output.
static int setup(void **state)
{
    (void)state;
    memset(&instance, 0, sizeof(instance));
    instance.model = &owner;
    const float *at = numbers;
    for (int i = 0; i < 3; i++) {
        host_request_init(&requests[i]);
        struct TRITONBACKEND_Input *in =
            host_add_input(&requests[i], "IN", TRITONSERVER_TYPE_FP32, i + 1, 1);
        host_add_buffer(in, at, (uint64_t)(i + 1) * sizeof(float));
        at += i + 1;
        if (i != 1) {
            host_want(&requests[i], "OUT");
        }
    }
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    host_fini();
    return 0;
}

static void batch_counts_rows_and_gives_all_back(void **state)
{
    (void)state;
    struct batch b;
    batch_init(&b, &instance);
    for (int round = 0; round < 2; round++) {
        assert_host_ok(batch_begin(&b, pointers, 3, true));
        assert_int_equal(b.rows, 6);
        batch_compute_begin(&b);
        batch_compute_end(&b);
        batch_end(&b);
        for (int i = 0; i < 3; i++) {
            assert_true(requests[i].answered && requests[i].released);
            assert_string_equal(requests[i].error, "");
        }
        host_fini();
        setup(NULL);
    }
    batch_fini(&b);
}

static void batch_that_cannot_begin_takes_nothing(void **state)
{
    (void)state;
    static const char *const calls[] = {"ResponseNew", "RequestInputByIndex", "InputProperties"};
    struct batch b;
    batch_init(&b, &instance);
    for (size_t c = 0; c < 3; c++) {
        for (uint32_t after = 0; after < 3; after++) {
            host_fail(calls[c], after);
            assert_host_error(batch_begin(&b, pointers, 3, true), "made to fail");
            assert_int_equal(host.responses, 0);
            for (int i = 0; i < 3; i++) {
                requests[i].response = NULL;
                assert_false(requests[i].answered || requests[i].released);
            }
        }
    }
    batch_fini(&b);
}

static void batch_divides_an_output_by_rows(void **state)
{
    (void)state;
    const double data[6] = {10, 20, 30, 40, 50, 60};
    int64_t dims[2] = {6, 1};
    struct batch b;
    batch_init(&b, &instance);
    assert_host_ok(batch_begin(&b, pointers, 3, true));
    batch_scatter(&b, "OUT", TRITONSERVER_TYPE_FP64, dims, 2, true, data, sizeof(data));
    assert_int_equal(dims[0], 6);
    batch_end(&b);
    const struct TRITONBACKEND_Output *first = host_output(&requests[0], "OUT");
    const struct TRITONBACKEND_Output *third = host_output(&requests[2], "OUT");
    assert_non_null(first);
    assert_non_null(third);
    assert_null(host_output(&requests[1], "OUT"));
    assert_memory_equal(first->data, data, sizeof(double));
    assert_int_equal(third->dims[0], 3);
    assert_memory_equal(third->data, data + 3, 3 * sizeof(double));
    assert_int_equal(instance.rows, 6);
    assert_int_equal(instance.succeeded, 3);
    batch_fini(&b);
}

static void batch_keeps_the_others_when_one_fails(void **state)
{
    (void)state;
    const double data[6] = {10, 20, 30, 40, 50, 60};
    int64_t dims[2] = {6, 1};
    struct batch b;
    batch_init(&b, &instance);
    assert_host_ok(batch_begin(&b, pointers, 3, true));
    host_fail("OutputBuffer", 0);
    batch_scatter(&b, "OUT", TRITONSERVER_TYPE_FP64, dims, 2, true, data, sizeof(data));
    batch_end(&b);
    assert_string_equal(requests[0].error, "made to fail: OutputBuffer");
    assert_string_equal(requests[2].error, "");
    assert_memory_equal(host_output(&requests[2], "OUT")->data, data + 3, 3 * sizeof(double));
    assert_int_equal(instance.failed, 1);
    assert_int_equal(instance.succeeded, 2);
    batch_fini(&b);
}

static void batch_refuses_an_output_of_other_rows(void **state)
{
    (void)state;
    const double data[5] = {0};
    int64_t dims[2] = {5, 1};
    struct batch b;
    batch_init(&b, &instance);
    assert_host_ok(batch_begin(&b, pointers, 3, true));
    batch_scatter(&b, "OUT", TRITONSERVER_TYPE_FP64, dims, 2, true, data, sizeof(data));
    batch_end(&b);
    assert_string_equal(requests[0].error, "output 'OUT' has 5 rows for a batch of 6");
    assert_int_equal(instance.failed, 3);
    assert_int_equal(instance.executions, 0);
    batch_fini(&b);
}

static void input_is_used_where_it_lies_if_it_can_be(void **state)
{
    (void)state;
    struct batch b;
    struct batch_input in = {0};
    const void *data = NULL;
    batch_init(&b, &instance);
    assert_host_ok(batch_begin(&b, pointers, 3, true));
    assert_host_ok(batch_input_get(&b, 2, "IN", &in));
    assert_int_equal(in.byte_size, 12);
    assert_host_ok(batch_input_view(&in, sizeof(float), &data));
    assert_ptr_equal(data, numbers + 3);
    requests[2].inputs[0].buffers[0].ptr = (const char *)numbers + 1;
    assert_host_ok(batch_input_view(&in, sizeof(float), &data));
    assert_null(data);
    assert_host_ok(batch_input_view(&in, 1, &data));
    assert_non_null(data);
    batch_end(&b);
    batch_fini(&b);
}

static void input_in_pieces_is_joined_and_checked(void **state)
{
    (void)state;
    struct batch b;
    struct batch_input in = {0};
    char joined[7] = {0};
    struct TRITONBACKEND_Input *pieces =
        host_add_input(&requests[0], "PIECES", TRITONSERVER_TYPE_UINT8, 1, 6);
    host_add_buffer(pieces, "ab", 2);
    host_add_buffer(pieces, "", 0);
    host_add_buffer(pieces, "cdef", 4);
    batch_init(&b, &instance);
    assert_host_ok(batch_begin(&b, pointers, 3, true));
    assert_host_ok(batch_input_get(&b, 0, "PIECES", &in));
    assert_host_ok(batch_input_copy(&in, joined));
    assert_string_equal(joined, "abcdef");
    in.byte_size = 5;
    assert_host_error(batch_input_copy(&in, joined),
                      "buffer size for input 'PIECES' exceeds batch byte size 5");
    in.byte_size = 7;
    assert_host_error(batch_input_copy(&in, joined), "has 1 bytes fewer");
    pieces->buffers[2].type = TRITONSERVER_MEMORY_GPU;
    in.byte_size = 6;
    assert_host_error(batch_input_copy(&in, joined), "is in the memory of GPU 0");
    assert_host_error(batch_input_get(&b, 0, "ABSENT", &in), "unknown request input name");
    batch_end(&b);
    batch_fini(&b);
}

// ---- configurations ----

static TRITONSERVER_Error *read(const char *json, struct model_config *config)
{
    static struct TRITONBACKEND_Model model = {.name = "m", .directory = "/models/m"};
    mem_free(model.config);
    model.config = json == NULL ? NULL : mem_strdup(json);
    return json == NULL ? NULL : model_config_init(config, &model);
}

static void config_is_read_with_its_tensors(void **state)
{
    (void)state;
    struct model_config c;
    assert_host_ok(read(
        "{\"name\":\"m\",\"max_batch_size\":4,\"input\":[{\"name\":\"A\",\"data_type\":\"TYPE_"
        "FP16\",\"dims\":"
        "[3,-1],\"optional\":true},{\"name\":\"B\",\"data_type\":\"TYPE_STRING\",\"dims\":[\"7\"],"
        "\"reshape\":{\"shape\":[]},\"allow_ragged_batch\":true}],\"output\":[],\"parameters\":{"
        "\"n\":"
        "{\"string_value\":\"12\"},\"yes\":{\"string_value\":\"TRUE\"}}}",
        &c));
    assert_string_equal(c.name, "m");
    assert_string_equal(c.directory, "/models/m");
    assert_int_equal(c.max_batch_size, 4);
    assert_int_equal(c.input_count, 2);
    assert_int_equal(c.inputs[0].dtype, TRITONSERVER_TYPE_FP16);
    assert_true(c.inputs[0].optional && !c.inputs[0].ragged);
    assert_int_equal(model_tensor_shape(&c.inputs[0]).dims[1], -1);
    assert_int_equal(c.inputs[1].dims.dims[0], 7);
    assert_true(c.inputs[1].ragged);
    assert_int_equal(model_tensor_shape(&c.inputs[1]).count, 0);
    int n = 5;
    bool yes = false;
    assert_host_ok(model_parameter_int(&c, "n", &n));
    assert_host_ok(model_parameter_bool(&c, "yes", &yes));
    assert_host_ok(model_parameter_int(&c, "absent", &n));
    assert_true(n == 12 && yes);
    assert_host_error(model_parameter_int(&c, "yes", &n), "failed to convert 'TRUE' to int");
    assert_host_error(model_parameter_bool(&c, "n", &yes), "failed to convert '12' to boolean");
    model_config_fini(&c);
    read(NULL, NULL);
}

static void config_that_is_broken_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    struct model_config c;
    assert_host_error(read("{", &c), "failed to parse the model configuration JSON buffer");
    assert_host_error(read("{\"input\":7}", &c), "non-array as array");
    assert_host_error(read("{\"input\":[{}]}", &c), "non-existing object member 'name'");
    assert_host_error(
        read("{\"input\":[{\"name\":\"x\",\"data_type\":\"TYPE_INT8\",\"dims\":[\"q\"]}]}", &c),
        "a dimension is not a number");
    host_fail("ModelConfig", 0);
    assert_host_error(read("{}", &c), "made to fail");
    host_fail("MessageSerializeToJson", 0);
    assert_host_error(read("{}", &c), "made to fail");
    read(NULL, NULL);
}

static void status_becomes_the_same_error(void **state)
{
    (void)state;
    assert_null(backend_error(NULL));
    TRITONSERVER_Error *error = backend_error(status_new(NRD_NOT_FOUND, "no %s", "x"));
    assert_int_equal(TRITONSERVER_ErrorCode(error), TRITONSERVER_ERROR_NOT_FOUND);
    assert_host_error(error, "no x");
    error = backend_error(status_no_memory());
    assert_int_equal(TRITONSERVER_ErrorCode(error), TRITONSERVER_ERROR_UNAVAILABLE);
    TRITONSERVER_ErrorDelete(error);
}

static void shape_elements_refuse_overflow(void **state)
{
    (void)state;
    int64_t n = 0;
    const int64_t large[] = {INT64_MAX / 2, 3};
    const int64_t open[] = {2, -1};
    const int64_t fine[] = {2, 0, 5};
    assert_false(model_shape_elements(large, 2, &n));
    assert_false(model_shape_elements(open, 2, &n));
    assert_true(model_shape_elements(fine, 3, &n) && n == 0);
    assert_true(model_shape_elements(fine, 0, &n) && n == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(batch_counts_rows_and_gives_all_back, setup, teardown),
        cmocka_unit_test_setup_teardown(batch_that_cannot_begin_takes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(batch_divides_an_output_by_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(batch_keeps_the_others_when_one_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(batch_refuses_an_output_of_other_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(input_is_used_where_it_lies_if_it_can_be, setup, teardown),
        cmocka_unit_test_setup_teardown(input_in_pieces_is_joined_and_checked, setup, teardown),
        cmocka_unit_test(config_is_read_with_its_tensors),
        cmocka_unit_test(config_that_is_broken_is_an_error_and_leaks_nothing),
        cmocka_unit_test(status_becomes_the_same_error),
        cmocka_unit_test(shape_elements_refuse_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
