// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/http_tensor.h"
#include "protocol/model_version.h"

// Reads `text` as `type` into `out`. Returns the error's text in a static buffer, "" on success.
static const char *read_as(TRITONSERVER_DataType type, const char *text, uint64_t count, void *out)
{
    static char error[200];
    struct arena arena;
    arena_init(&arena, 0);
    const struct json_node *root = NULL;
    struct nrd_status *status =
        json_parse_status(&arena, slice_of(text), JSON_NAN, "request", &root);
    if (status == NULL) {
        status = tensor_from_json("IN", type, root, count, out);
    }
    strncpy(error, status_text(status), sizeof(error) - 1);
    status_free(status);
    arena_fini(&arena);
    return error;
}

static void data_is_read_flat_whatever_its_nesting(void **state)
{
    (void)state;
    static const char *const texts[] = {"[1,2,3,4]", "[[1,2],[3,4]]", "[[[1],[2,3]],4]",
                                        "[[],1,[2,[3,[]]],4]"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int32_t out[4] = {0};
        assert_string_equal(read_as(TRITONSERVER_TYPE_INT32, texts[i], 4, out), "");
        for (int k = 0; k < 4; k++) {
            assert_int_equal(out[k], k + 1);
        }
    }
}

static void integers_are_cut_to_their_type(void **state)
{
    (void)state;
    int8_t i8[3];
    assert_string_equal(read_as(TRITONSERVER_TYPE_INT8, "[-1, 300, -129]", 3, i8), "");
    assert_int_equal(i8[0], -1);
    assert_int_equal(i8[1], 44);
    assert_int_equal(i8[2], 127);
    uint64_t u64[1];
    assert_string_equal(read_as(TRITONSERVER_TYPE_UINT64, "[18446744073709551615]", 1, u64), "");
    assert_true(u64[0] == UINT64_MAX);
    float f[3];
    assert_string_equal(read_as(TRITONSERVER_TYPE_FP32, "[1, 0.1, -Infinity]", 3, f), "");
    assert_true(f[0] == 1.0f && f[1] == 0.1f && f[2] < -3e38f);
    uint8_t b[2];
    assert_string_equal(read_as(TRITONSERVER_TYPE_BOOL, "[true,false]", 2, b), "");
    assert_true(b[0] == 1 && b[1] == 0);
}

static void wrong_data_has_tritons_texts(void **state)
{
    (void)state;
    char out[64];
    assert_string_equal(read_as(TRITONSERVER_TYPE_FP32, "[1,2,3]", 2, out),
                        "Unable to parse 'data': Shape does not match true shape of 'data' field");
    assert_string_equal(read_as(TRITONSERVER_TYPE_FP32, "[1]", 2, out),
                        "Failed to parse 'data' field: shape does not match true shape");
    assert_string_equal(read_as(TRITONSERVER_TYPE_UINT8, "[-1]", 1, out),
                        "Unable to parse 'data': attempt to access JSON non-unsigned-integer as "
                        "unsigned-integer");
    assert_string_equal(read_as(TRITONSERVER_TYPE_BOOL, "[1]", 1, out),
                        "Unable to parse 'data': attempt to access JSON non-boolean as boolean");
    assert_string_equal(read_as(TRITONSERVER_TYPE_FP16, "[1]", 1, out),
                        "receiving FP16 data via JSON is not supported. Please use the binary data "
                        "format for input IN");
    assert_string_equal(read_as(TRITONSERVER_TYPE_INVALID, "[1]", 1, out),
                        "invalid datatype for input IN");
}

static void strings_get_their_lengths(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    const struct json_node *root = NULL;
    assert_null(json_parse_status(&arena, SLICE("[\"ab\",[\"\"],\"c\\n\"]"), JSON_NAN, "x", &root));
    size_t size = 0;
    assert_null(tensor_bytes_size(root, &size));
    assert_int_equal(size, 16);
    char out[16];
    assert_null(tensor_from_json("IN", TRITONSERVER_TYPE_BYTES, root, size, out));
    assert_memory_equal(out, "\2\0\0\0ab\0\0\0\0\2\0\0\0c\n", 16);
    struct nrd_status *status = tensor_from_json("IN", TRITONSERVER_TYPE_BYTES, root, 10, out);
    assert_string_equal(status_text(status),
                        "Unable to parse 'data': shape does not match true shape of 'data' field");
    status_free(status);
    assert_null(json_parse_status(&arena, SLICE("[1]"), JSON_NAN, "x", &root));
    status = tensor_bytes_size(root, &size);
    assert_string_equal(
        status_text(status),
        "Unable to parse JSON bytes array: attempt to access JSON non-string as string");
    status_free(status);
    arena_fini(&arena);
}

static void tensors_are_written_as_triton_does(void **state)
{
    (void)state;
    struct str out = STR_INIT;
    struct json_writer writer;
    json_begin(&writer, &out);
    json_array_begin(&writer);
    float f[] = {1.0f, 0.1f, 1e20f};
    uint8_t b[] = {0, 7};
    int16_t i[] = {-3};
    assert_null(tensor_to_json(&writer, "O", TRITONSERVER_TYPE_FP32, f, sizeof(f), 3));
    assert_null(tensor_to_json(&writer, "O", TRITONSERVER_TYPE_BOOL, b, sizeof(b), 2));
    assert_null(tensor_to_json(&writer, "O", TRITONSERVER_TYPE_INT16, i, sizeof(i), 1));
    assert_null(tensor_to_json(&writer, "O", TRITONSERVER_TYPE_BYTES, "\2\0\0\0a\"", 6, 1));
    json_array_end(&writer);
    assert_string_equal(
        str_cstr(&out),
        "[1.0,0.10000000149011612,100000002004087730000.0,false,true,-3,\"a\\\"\"]");
    static const struct {
        TRITONSERVER_DataType type;
        size_t size;
        uint64_t count;
    } bad[] = {
        {TRITONSERVER_TYPE_FP32, 12, 2}, {TRITONSERVER_TYPE_FP32, 12, 1ull << 62},
        {TRITONSERVER_TYPE_BYTES, 5, 1}, {TRITONSERVER_TYPE_BYTES, 3, 1},
        {TRITONSERVER_TYPE_FP16, 2, 1},  {TRITONSERVER_TYPE_INVALID, 0, 0},
    };
    static const char bytes[16] = {2};
    for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
        struct nrd_status *status =
            tensor_to_json(&writer, "O", bad[k].type, bytes, bad[k].size, bad[k].count);
        assert_non_null(status);
        status_free(status);
    }
    str_fini(&out);
}

static void element_counts_tell_what_is_wrong(void **state)
{
    (void)state;
    assert_int_equal(tensor_element_count((int64_t[]){2, 3}, 2), 6);
    assert_int_equal(tensor_element_count(NULL, 0), 0);
    assert_int_equal(tensor_element_count((int64_t[]){2, 0}, 2), 0);
    assert_int_equal(tensor_element_count((int64_t[]){2, -1}, 2), -1);
    assert_int_equal(tensor_element_count((int64_t[]){-2}, 1), -2);
    assert_int_equal(tensor_element_count((int64_t[]){INT64_MAX, 2}, 2), -3);
}

static void versions_are_read_as_triton_does(void **state)
{
    (void)state;
    int64_t version = 0;
    assert_null(model_version_parse(SLICE(""), &version));
    assert_int_equal(version, -1);
    assert_null(model_version_parse(SLICE("12"), &version));
    assert_int_equal(version, 12);
    static const char *const bad[][2] = {
        {"abc", "failed to get model version from specified version string 'abc' (details: stol), "
                "version should be an integral value > 0"},
        {"-1", "invalid model version specified '-1' , version should be an integral value > 0"},
        {"99999999999999999999",
         "failed to get model version from specified version string '99999999999999999999' "
         "(details: stol), version should be an integral value > 0"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct nrd_status *status = model_version_parse(slice_of(bad[i][0]), &version);
        assert_string_equal(status_text(status), bad[i][1]);
        status_free(status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_is_read_flat_whatever_its_nesting),
        cmocka_unit_test(integers_are_cut_to_their_type),
        cmocka_unit_test(wrong_data_has_tritons_texts),
        cmocka_unit_test(strings_get_their_lengths),
        cmocka_unit_test(tensors_are_written_as_triton_does),
        cmocka_unit_test(element_counts_tell_what_is_wrong),
        cmocka_unit_test(versions_are_read_as_triton_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
