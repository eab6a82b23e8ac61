// SPDX-License-Identifier: Apache-2.0
// What a request must be, and with which words it is refused.
#include "tests/unit/base/unit.h"

#include "tests/unit/core/hot_fixture.h"

static struct fixture fixture;
static char data[4096];

static struct request *make(void)
{
    return request_create(model_ref(&fixture.model), -1);
}

static void add(struct request *request, const char *name, TRITONSERVER_DataType type,
                size_t byte_size, uint64_t dim_count, const int64_t *shape)
{
    fixture_check(request_add_input(request, name, type, shape, dim_count));
    struct buffer_attributes attributes = {.byte_size = byte_size};
    fixture_check(
        request_append(request, request_find_input(request, name), NULL, data, &attributes));
}
#define DIMS(...)                                                                                  \
    sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (const int64_t[])                    \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

// Checks the request, which goes; `text` NULL: it is fine.
static void expect(struct request *request, const char *text)
{
    struct nrd_status *status = request_normalize(request);
    assert_string_equal(status_text(status), text == NULL ? "" : text);
    if (text != NULL) {
        assert_int_equal(status_code(status), NRD_INVALID_ARG);
    }
    status_free(status);
    request_destroy(request);
}

// Two inputs, A of [-1,2] floats and the optional B of [4] strings; outputs Z and Y. Batches up to 4.
static int set_up(void **state)
{
    (void)state;
    memset(data, 0, sizeof(data));
    fixture_init(&fixture, 4);
    fixture_input(&fixture, "A", TRITONSERVER_TYPE_FP32, 2, (const int64_t[]){-1, 2});
    fixture_input(&fixture, "B", TRITONSERVER_TYPE_BYTES, 1, (const int64_t[]){4})->optional = true;
    fixture_output(&fixture, "Z", TRITONSERVER_TYPE_FP32, 1, (const int64_t[]){1});
    fixture_output(&fixture, "Y", TRITONSERVER_TYPE_FP32, 1, (const int64_t[]){1});
    return 0;
}
static int compile(void **state)
{
    set_up(state);
    fixture_compile(&fixture);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    fixture_stop(&fixture);
    return 0;
}

#define RID "[request id: <id_unknown>] "

static void good_request_gets_its_shapes(void **state)
{
    (void)state;
    struct request *r = make();
    add(r, "A", TRITONSERVER_TYPE_FP32, 48, DIMS(2, 3, 2));
    assert_null(request_normalize(r));
    assert_int_equal(r->batch_size, 2);
    assert_int_equal(r->inputs[0].full_count, 3);
    assert_int_equal(r->inputs[0].shape_count, 2);
    assert_int_equal(r->inputs[0].shape[0], 3);
    // All outputs, sorted by name.
    assert_int_equal(r->output_count, 2);
    assert_string_equal(r->outputs[0], "Y");
    assert_string_equal(r->outputs[1], "Z");
    request_destroy(r);
}

static void names_are_refused(void **state)
{
    (void)state;
    struct request *r = make();
    fixture_check(request_add_output(r, "Z"));
    struct nrd_status *status = request_add_output(r, "Z");
    assert_string_equal(status_text(status), RID "output 'Z' already exists in request");
    status_free(status);
    fixture_check(request_add_output(r, "NOPE"));
    fixture_check(request_set_id(r, "7"));
    add(r, "A", TRITONSERVER_TYPE_FP32, 16, DIMS(1, 2, 2));
    status = request_add_input(r, "A", TRITONSERVER_TYPE_FP32, NULL, 0);
    assert_string_equal(status_text(status), "[request id: 7] input 'A' already exists in request");
    status_free(status);
    expect(r, "unexpected inference output 'NOPE' for model 'm'");

    r = make();
    add(r, "XX", TRITONSERVER_TYPE_FP32, 16, DIMS(1, 2, 2));
    expect(r, "unexpected inference input 'XX' for model 'm'");
}

static void count_is_checked_before_names(void **state)
{
    (void)state;
    expect(make(),
           RID "expected number of inputs between 1 and 2 but got 0 inputs for model 'm'. Got "
               "input(s) [], but missing required input(s) ['A']. Please provide all required "
               "input(s).");
    struct request *r = make();
    add(r, "X", TRITONSERVER_TYPE_FP32, 16, DIMS(1, 2, 2));
    add(r, "A", TRITONSERVER_TYPE_FP32, 16, DIMS(1, 2, 2));
    add(r, "V", TRITONSERVER_TYPE_FP32, 16, DIMS(1, 2, 2));
    expect(r, RID "expected number of inputs between 1 and 2 but got 3 inputs for model 'm'. Got "
                  "input(s) ['X','A','V'], but missing required input(s) ]. Please provide all "
                  "required input(s).");
}

static void names_without_end_are_refused(void **state)
{
    (void)state;
    struct request *r = make();
    char name[16];
    struct nrd_status *status = NULL;
    uint32_t count = 0;
    for (; status == NULL && count < 5000; count++) {
        snprintf(name, sizeof(name), "I%u", count);
        status = request_add_input(r, name, TRITONSERVER_TYPE_FP32, NULL, 0);
    }
    assert_int_equal(count, 1027);
    assert_string_equal(status_text(status),
                        RID "expected 2 inputs but got more than 1026 inputs for model 'm'");
    status_free(status);
    status = NULL;
    for (count = 0; status == NULL && count < 5000; count++) {
        snprintf(name, sizeof(name), "O%u", count);
        status = request_add_output(r, name);
    }
    assert_int_equal(count, 1027);
    assert_string_equal(status_text(status),
                        RID "more than 1026 outputs are asked for, model 'm' has 2");
    status_free(status);
    request_destroy(r);
}

static void batch_is_checked(void **state)
{
    (void)state;
    struct request *r = make();
    add(r, "A", TRITONSERVER_TYPE_FP32, 80, DIMS(5, 2, 2));
    expect(r, RID "inference request batch-size must be <= 4 for 'm'");
    r = make();
    add(r, "A", TRITONSERVER_TYPE_FP32, 16, DIMS(1, 2, 2));
    add(r, "B", TRITONSERVER_TYPE_BYTES, 16, DIMS(2, 4));
    expect(r, RID "input 'B' batch size does not match other inputs for 'm'");
    r = make();
    add(r, "A", TRITONSERVER_TYPE_FP32, 0, 0, NULL);
    expect(r, RID "input 'A' has no shape but model requires batch dimension for 'm'");
    r = make(); // 2^32 + 1 rows of nothing are not one row
    add(r, "A", TRITONSERVER_TYPE_FP32, 0, DIMS(INT64_C(4294967297), 0, 2));
    expect(r, RID "inference request batch-size must be <= 4 for 'm'");
    r = make(); // an input without rows has as many as the next one says
    add(r, "A", TRITONSERVER_TYPE_FP32, 0, DIMS(0, 1, 2));
    add(r, "B", TRITONSERVER_TYPE_BYTES, 48, DIMS(3, 4));
    expect(r, RID "input byte size mismatch for input 'A' for model 'm'. Expected 24, got 0");
    r = make(); // no legal empty batch
    add(r, "A", TRITONSERVER_TYPE_FP32, 0, DIMS(0, 1, 2));
    expect(r, RID "input byte size mismatch for input 'A' for model 'm'. Expected 8, got 0");
}

static void type_shape_and_size_are_checked(void **state)
{
    (void)state;
    struct request *r = make();
    add(r, "A", TRITONSERVER_TYPE_INT32, 16, DIMS(1, 2, 2));
    expect(r, RID "inference input 'A' data-type is 'INT32', but model 'm' expects 'FP32'");
    r = make();
    add(r, "A", TRITONSERVER_TYPE_FP32, 16, DIMS(2, 2));
    expect(r,
           RID "unexpected shape for input 'A' for model 'm'. Expected [-1,-1,2], got [2,2]. NOTE: "
               "Setting a non-zero max_batch_size in the model config requires a batch dimension "
               "to be prepended to each input shape. If you want to specify the full shape "
               "including the batch dim in your input dims config, try setting max_batch_size to "
               "zero. See the model configuration docs for more info on max_batch_size.");
    r = make();
    add(r, "A", TRITONSERVER_TYPE_FP32, 16, DIMS(1, -1, 2));
    expect(r, RID "All input dimensions should be specified for input 'A' for model 'm', got "
                  "[1,-1,2]");
    r = make();
    add(r, "A", TRITONSERVER_TYPE_FP32, 15, DIMS(1, 2, 2));
    expect(r, RID "input byte size mismatch for input 'A' for model 'm'. Expected 16, got 15");
    r = make();
    add(r, "A", TRITONSERVER_TYPE_FP32, 16, DIMS(1, INT64_MAX, 2));
    expect(r, "byte size for tensor 'A' exceeds maximum size of 9223372036854775807");
}

static void strings_are_walked(void **state)
{
    (void)state;
    memcpy(data, "\3\0\0\0abc\0\0\0\0\0\0\0\0\1\0\0\0z", 20);
    struct request *r = make();
    add(r, "A", TRITONSERVER_TYPE_FP32, 8, DIMS(1, 1, 2));
    add(r, "B", TRITONSERVER_TYPE_BYTES, 20, DIMS(1, 4));
    expect(r, NULL);
    const struct {
        size_t size;
        const char *text;
    } cases[] = {
        {15, RID "expected 4 string elements for inference input 'B' for model 'm', got 3"},
        {18, RID
         "incomplete string length indicator for inference input 'B' for model 'm', expecting 4 "
         "bytes but only 3 bytes available. Please make sure the string length indicator is in "
         "one buffer."},
        {24, RID "unexpected number of string elements 5 for inference input 'B' for model 'm', "
                 "expecting 4"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        r = make();
        add(r, "A", TRITONSERVER_TYPE_FP32, 8, DIMS(1, 1, 2));
        add(r, "B", TRITONSERVER_TYPE_BYTES, cases[i].size, DIMS(1, 4));
        expect(r, cases[i].text);
    }
}

static void strings_may_run_over_buffers(void **state)
{
    (void)state;
    memcpy(data, "\3\0\0\0abc\0\0\0\0\0\0\0\0\1\0\0\0z", 20);
    struct request *r = make();
    add(r, "A", TRITONSERVER_TYPE_FP32, 8, DIMS(1, 1, 2));
    add(r, "B", TRITONSERVER_TYPE_BYTES, 5, DIMS(1, 4));
    struct buffer_attributes rest = {.byte_size = 15};
    fixture_check(request_append(r, request_find_input(r, "B"), NULL, data + 5, &rest));
    assert_int_equal(request_find_input(r, "B")->data.count, 2);
    expect(r, NULL);
}

static void model_without_batching_says_so_by_a_blank(void **state)
{
    set_up(state);
    fixture.config.max_batch_size = 0;
    fixture_compile(&fixture);
    struct request *r = make();
    add(r, "A", TRITONSERVER_TYPE_FP32, 12, DIMS(3));
    expect(r, RID "unexpected shape for input 'A' for model 'm'. Expected [-1,2], got [3]. ");
}

static void reshape_is_applied_both_ways(void **state)
{
    set_up(state);
    int64_t to[] = {-1, 1, 2};
    Inference__ModelTensorReshape reshape;
    inference__model_tensor_reshape__init(&reshape);
    reshape.shape = to;
    reshape.n_shape = 3;
    fixture.inputs[0].reshape = &reshape;
    int64_t from[] = {1, 1};
    Inference__ModelTensorReshape back;
    inference__model_tensor_reshape__init(&back);
    back.shape = from;
    back.n_shape = 2;
    fixture.outputs[0].reshape = &back;
    fixture_compile(&fixture);
    struct request *r = make();
    add(r, "A", TRITONSERVER_TYPE_FP32, 80, DIMS(2, 5, 2));
    assert_null(request_normalize(r));
    assert_int_equal(r->inputs[0].full_count, 4);
    assert_memory_equal(r->inputs[0].full, ((const int64_t[]){2, 5, 1, 2}), 32);
    r->allocator = &(struct response_allocator){0};
    fixture_check(response_factory_renew(r));
    struct response *response = response_create(r->factory);
    struct response_output *output;
    fixture_check(response_add_output(response, "Z", TRITONSERVER_TYPE_FP32,
                                      (const int64_t[]){2, 1, 1}, 3, &output));
    assert_int_equal(output->dim_count, 2);
    assert_memory_equal(output->shape, ((const int64_t[]){2, 1}), 16);
    response_destroy(response);
    request_destroy(r);
}

static void raw_input_takes_type_and_shape_from_the_model(void **state)
{
    (void)state;
    fixture_init(&fixture, 4);
    fixture_input(&fixture, "A", TRITONSERVER_TYPE_FP32, 2, (const int64_t[]){-1, 2});
    fixture_compile(&fixture);
    struct request *r = make();
    fixture_check(request_add_raw_input(r, "raw"));
    struct buffer_attributes attributes = {.byte_size = 24};
    fixture_check(request_append(r, &r->inputs[0], NULL, data, &attributes));
    assert_null(request_normalize(r));
    assert_string_equal(r->inputs[0].name, "A");
    assert_memory_equal(r->inputs[0].full, ((const int64_t[]){1, 3, 2}), 24);
    request_destroy(r);
}

static void raw_string_gets_its_length_word(void **state)
{
    (void)state;
    fixture_init(&fixture, 0);
    fixture_input(&fixture, "A", TRITONSERVER_TYPE_BYTES, 1, (const int64_t[]){1});
    fixture_compile(&fixture);
    struct request *r = make();
    fixture_check(request_add_raw_input(r, "raw"));
    struct buffer_attributes attributes = {.byte_size = 5};
    fixture_check(request_append(r, &r->inputs[0], NULL, "hello", &attributes));
    assert_null(request_normalize(r));
    assert_int_equal(r->inputs[0].data.count, 2);
    assert_int_equal(*(const uint32_t *)r->inputs[0].data.buffers[0].base, 5);
    assert_null(request_normalize(r)); // not twice
    assert_int_equal(r->inputs[0].data.count, 2);
    request_destroy(r);
}

static void raw_request_needs_a_model_of_one_input(void **state)
{
    (void)state;
    struct request *r = make();
    fixture_check(request_add_raw_input(r, "raw"));
    expect(r,
           RID "Raw request must only have 1 input (found 1) to be deduced but got 2 inputs in 'm' "
               "model configuration");
}

static void refilled_request_does_not_grow(void **state)
{
    (void)state;
    struct request *r = make();
    uint64_t before = 0;
    for (int i = 0; i < 1000; i++) {
        request_remove_inputs(r);
        request_remove_outputs(r);
        add(r, "B", TRITONSERVER_TYPE_BYTES, 16, DIMS(1, 4));
        add(r, "A", TRITONSERVER_TYPE_FP32, 16, DIMS(1, 2, 2));
        fixture_check(request_remove_input(r, "B"));
        fixture_check(request_add_output(r, "Y"));
        assert_null(request_normalize(r));
        before = i == 10 ? mem_count() : before;
    }
    assert_int_equal(mem_count(), before);
    request_destroy(r);
}

static void data_for_a_host_policy_is_found(void **state)
{
    (void)state;
    struct request *r = make();
    add(r, "A", TRITONSERVER_TYPE_FP32, 16, DIMS(1, 2, 2));
    struct request_input *input = request_find_input(r, "A");
    struct buffer_attributes attributes = {.byte_size = 16};
    fixture_check(request_append(r, input, "gpu_0", data + 16, &attributes));
    assert_ptr_equal(request_data_for(input, "gpu_0")->buffers[0].base, data + 16);
    assert_ptr_equal(request_data_for(input, "cpu")->buffers[0].base, data);
    assert_ptr_equal(request_data_for(input, NULL)->buffers[0].base, data);
    expect(r, NULL);
}

static void priority_out_of_range_is_the_default(void **state)
{
    set_up(state);
    fixture_dynamic(&fixture);
    fixture.dynamic.priority_levels = 3;
    fixture.dynamic.default_priority_level = 2;
    fixture_compile(&fixture);
    struct request *r = make();
    const uint64_t cases[][2] = {{0, 2}, {1, 1}, {3, 3}, {4, 2}, {99, 2}};
    assert_int_equal(r->priority, 2);
    for (size_t i = 0; i < 5; i++) {
        request_set_priority(r, cases[i][0]);
        assert_int_equal(r->priority, cases[i][1]);
    }
    request_destroy(r);
}

static void memory_failure_is_a_status(void **state)
{
    (void)state;
    TORTURE(n)
    {
        model_ref(&fixture.model);
        struct request *r = request_create(&fixture.model, -1);
        if (r == NULL) {
            model_unref(&fixture.model);
            continue;
        }
        char long_id[200];
        memset(long_id, 'i', sizeof(long_id));
        long_id[199] = '\0';
        status_free(request_set_id(r, long_id));
        status_free(
            request_add_input(r, "A", TRITONSERVER_TYPE_FP32, (const int64_t[]){1, 2, 2}, 3));
        status_free(request_add_output(r, "unheard of"));
        status_free(request_normalize(r));
        status_free(response_factory_renew(r));
        request_destroy(r);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, compile, tear_down)
#define OWN(name) cmocka_unit_test_setup_teardown(name, NULL, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(good_request_gets_its_shapes),
        TEST(names_are_refused),
        TEST(count_is_checked_before_names),
        TEST(names_without_end_are_refused),
        TEST(batch_is_checked),
        TEST(type_shape_and_size_are_checked),
        TEST(strings_are_walked),
        TEST(strings_may_run_over_buffers),
        OWN(model_without_batching_says_so_by_a_blank),
        OWN(reshape_is_applied_both_ways),
        OWN(raw_input_takes_type_and_shape_from_the_model),
        OWN(raw_string_gets_its_length_word),
        TEST(raw_request_needs_a_model_of_one_input),
        TEST(refilled_request_does_not_grow),
        TEST(data_for_a_host_policy_is_found),
        OWN(priority_out_of_range_is_the_default),
        TEST(memory_failure_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
