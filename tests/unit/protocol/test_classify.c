// SPDX-License-Identifier: Apache-2.0
// The label function is this file's own: it stands in front of the core's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "base/mem.h"
#include "protocol/classify.h"
#include "protocol/error.h"

static const char *const labels[] = {"cat", "dog", NULL, ""};
static bool labels_fail;

TRITONSERVER_Error *TRITONSERVER_InferenceResponseOutputClassificationLabel(
    TRITONSERVER_InferenceResponse *inference_response, const uint32_t index,
    const size_t class_index, const char **label)
{
    assert_null(inference_response);
    assert_int_equal(index, 3);
    if (labels_fail) {
        return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_NOT_FOUND, "no labels");
    }
    *label = class_index < 4 ? labels[class_index] : NULL;
    return NULL;
}

// Classifies and turns the result into "a|b|c".
static struct nrd_status *run(TRITONSERVER_DataType datatype, const void *base, size_t byte_size,
                              const int64_t *shape, uint64_t dims, bool batched, uint32_t k,
                              struct str *text, struct classify_result *result)
{
    struct classify_output output = {.index = 3,
                                     .datatype = datatype,
                                     .shape = shape,
                                     .dim_count = dims,
                                     .base = base,
                                     .byte_size = byte_size,
                                     .class_count = k,
                                     .batched = batched};
    struct str out = STR_INIT;
    struct nrd_status *status = classify(&output, &out, result);
    for (size_t at = 0; status == NULL && at < out.len;) {
        uint32_t length;
        memcpy(&length, out.ptr + at, 4);
        str_append(text, out.ptr + at + 4, length);
        str_append_char(text, '|');
        at += 4 + length;
        assert_true(at <= out.len);
    }
    assert_true(status == NULL || out.len == 0);
    str_fini(&out);
    return status;
}

static void assert_classes(TRITONSERVER_DataType datatype, const void *base, size_t byte_size,
                           const int64_t *shape, uint64_t dims, bool batched, uint32_t k,
                           const char *expected, const int64_t *result_shape, uint64_t result_dims)
{
    struct str text = STR_INIT;
    struct classify_result result;
    assert_null(run(datatype, base, byte_size, shape, dims, batched, k, &text, &result));
    assert_string_equal(str_cstr(&text), expected);
    assert_int_equal(result.dim_count, result_dims);
    assert_memory_equal(result.shape, result_shape, result_dims * sizeof(int64_t));
    str_fini(&text);
}

static void classify_gives_the_best_with_labels(void **state)
{
    (void)state;
    const float values[] = {0.5f, 2.0f, -1.0f, 0.25f, 3.0f};
    assert_classes(TRITONSERVER_TYPE_FP32, values, sizeof(values), (const int64_t[]){5}, 1, false,
                   3, "3.000000:4|2.000000:1:dog|0.500000:0:cat|", (const int64_t[]){3}, 1);
    assert_classes(TRITONSERVER_TYPE_FP32, values, sizeof(values), (const int64_t[]){5}, 1, false,
                   100, "3.000000:4|2.000000:1:dog|0.500000:0:cat|0.250000:3:|-1.000000:2|",
                   (const int64_t[]){5}, 1);
}

static void classify_handles_each_row_of_a_batch(void **state)
{
    (void)state;
    const double values[] = {5, 6, 7, 9, 8, 7};
    assert_classes(TRITONSERVER_TYPE_FP64, values, sizeof(values), (const int64_t[]){2, 3, 1}, 3,
                   true, 1, "7.000000:2|9.000000:0:cat|", (const int64_t[]){2, 1}, 2);
    assert_classes(TRITONSERVER_TYPE_FP64, values, sizeof(values), (const int64_t[]){2, 3}, 2,
                   false, 1, "9.000000:3:|", (const int64_t[]){1}, 1);
}

static void classify_prints_every_type_as_triton_does(void **state)
{
    (void)state;
    const int64_t shape[] = {3};
    const int64_t one[] = {2};
#define CASE(type, name, expected, ...)                                                            \
    do {                                                                                           \
        const type values_[] = {__VA_ARGS__};                                                      \
        assert_classes(TRITONSERVER_TYPE_##name, values_, sizeof(values_), shape, 1, false, 2,     \
                       expected, one, 1);                                                          \
    } while (0)
    CASE(uint8_t, UINT8, "255:1:dog|7:2|", 0, 255, 7);
    CASE(uint16_t, UINT16, "65535:1:dog|7:2|", 0, 65535, 7);
    CASE(uint32_t, UINT32, "4294967295:1:dog|7:2|", 0, UINT32_MAX, 7);
    CASE(uint64_t, UINT64, "18446744073709551615:1:dog|7:2|", 0, UINT64_MAX, 7);
    CASE(int8_t, INT8, "7:2|0:0:cat|", 0, -128, 7);
    CASE(int16_t, INT16, "7:2|0:0:cat|", 0, -32768, 7);
    CASE(int32_t, INT32, "7:2|0:0:cat|", 0, INT32_MIN, 7);
    CASE(int64_t, INT64, "7:2|0:0:cat|", 0, INT64_MIN, 7);
    CASE(float, FP32, "1234567.125000:2|0.000000:1:dog|", -1.5f, 1e-9f, 1234567.125f);
#undef CASE
}

static void classify_orders_ties_and_nan(void **state)
{
    (void)state;
    const float values[] = {(float)NAN, 1.0f, 1.0f, -(float)INFINITY, 1.0f};
    assert_classes(TRITONSERVER_TYPE_FP32, values, sizeof(values), (const int64_t[]){5}, 1, false,
                   5, "1.000000:1:dog|1.000000:2|1.000000:4|-inf:3:|nan:0:cat|",
                   (const int64_t[]){5}, 1);
}

static void classify_finds_the_best_of_many(void **state)
{
    (void)state;
    enum { N = 5000 };
    int32_t *values = mem_alloc(N * sizeof(*values));
    for (int i = 0; i < N; i++) {
        values[i] = (int32_t)((unsigned)i * 2654435761u >> 8) % 1000;
    }
    struct str text = STR_INIT;
    struct classify_result result;
    assert_null(run(TRITONSERVER_TYPE_INT32, values, N * sizeof(*values), (const int64_t[]){N}, 1,
                    false, N, &text, &result));
    // Taken apart again: values never rise, and indexes rise among equals.
    long last_value = 1000;
    long last_index = -1;
    int seen = 0;
    struct slice rest = str_slice(&text);
    struct slice part;
    while (slice_cut(&rest, '|', &part) && part.len > 0) {
        struct slice number;
        int64_t value;
        int64_t index;
        assert_true(slice_cut(&part, ':', &number));
        assert_true(slice_to_i64(number, &value));
        assert_true(slice_cut(&part, ':', &number));
        assert_true(slice_to_i64(number, &index));
        assert_int_equal(values[index], value);
        assert_true(value < last_value || (value == last_value && index > last_index));
        last_value = value;
        last_index = index;
        seen++;
    }
    assert_int_equal(seen, N);
    str_fini(&text);
    mem_free(values);
}

static void classify_refuses_with_tritons_texts(void **state)
{
    (void)state;
    static const TRITONSERVER_DataType types[] = {TRITONSERVER_TYPE_BYTES, TRITONSERVER_TYPE_BOOL,
                                                  TRITONSERVER_TYPE_FP16, TRITONSERVER_TYPE_BF16};
    static const char *const names[] = {"BYTES", "BOOL", "FP16", "BF16"};
    struct classify_result result;
    struct str text = STR_INIT;
    for (int i = 0; i < 4; i++) {
        char expected[128] = "class result not available for output due to unsupported type '";
        memcpy(expected + strlen(expected), names[i], strlen(names[i]) + 1);
        memcpy(expected + strlen(expected), "'", 2);
        struct nrd_status *status =
            run(types[i], "abcdefgh", 8, (const int64_t[]){8}, 1, false, 1, &text, &result);
        assert_string_equal(status_text(status), expected);
        assert_int_equal(status_code(status), NRD_INVALID_ARG);
        status_free(status);
    }
    char *large = mem_calloc(1000001, 1);
    struct nrd_status *status = run(TRITONSERVER_TYPE_UINT8, large, 1000001,
                                    (const int64_t[]){1000001}, 1, false, 1, &text, &result);
    assert_string_equal(status_text(status), "classification output tensor too large");
    status_free(status);
    mem_free(large);

    labels_fail = true;
    status =
        run(TRITONSERVER_TYPE_UINT8, "ab", 2, (const int64_t[]){2}, 1, false, 1, &text, &result);
    labels_fail = false;
    assert_string_equal(status_text(status), "no labels");
    assert_int_equal(status_code(status), NRD_NOT_FOUND);
    status_free(status);
    str_fini(&text);
}

static void classify_of_nothing_is_empty(void **state)
{
    (void)state;
    assert_classes(TRITONSERVER_TYPE_FP32, "", 0, (const int64_t[]){0}, 1, false, 3, "",
                   (const int64_t[]){0}, 1);
}

static void errors_keep_code_and_text_both_ways(void **state)
{
    (void)state;
    for (int code = NRD_UNKNOWN; code <= NRD_CANCELLED; code++) {
        TRITONSERVER_Error *error = status_to_error(status_new((enum nrd_code)code, "text %%"));
        assert_int_equal((int)TRITONSERVER_ErrorCode(error), code - 1);
        struct nrd_status *status = error_to_status(error);
        assert_int_equal(status_code(status), code);
        assert_string_equal(status_text(status), "text %");
        status_free(status);
    }
    assert_null(status_to_error(NULL));
    assert_null(error_to_status(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classify_gives_the_best_with_labels),
        cmocka_unit_test(classify_handles_each_row_of_a_batch),
        cmocka_unit_test(classify_prints_every_type_as_triton_does),
        cmocka_unit_test(classify_orders_ties_and_nan),
        cmocka_unit_test(classify_finds_the_best_of_many),
        cmocka_unit_test(classify_refuses_with_tritons_texts),
        cmocka_unit_test(classify_of_nothing_is_empty),
        cmocka_unit_test(errors_keep_code_and_text_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
