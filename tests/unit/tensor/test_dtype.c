// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tensor/dtype.h"
#include "triton/core/tritonserver.h"

static void dtype_numbers_are_tritons(void **state)
{
    (void)state;
    static const struct {
        enum nrd_dtype own;
        TRITONSERVER_DataType triton;
        const char *name;
        size_t size;
    } rows[] = {
        {NRD_DTYPE_BOOL, TRITONSERVER_TYPE_BOOL, "BOOL", 1},
        {NRD_DTYPE_U8, TRITONSERVER_TYPE_UINT8, "UINT8", 1},
        {NRD_DTYPE_U16, TRITONSERVER_TYPE_UINT16, "UINT16", 2},
        {NRD_DTYPE_U32, TRITONSERVER_TYPE_UINT32, "UINT32", 4},
        {NRD_DTYPE_U64, TRITONSERVER_TYPE_UINT64, "UINT64", 8},
        {NRD_DTYPE_I8, TRITONSERVER_TYPE_INT8, "INT8", 1},
        {NRD_DTYPE_I16, TRITONSERVER_TYPE_INT16, "INT16", 2},
        {NRD_DTYPE_I32, TRITONSERVER_TYPE_INT32, "INT32", 4},
        {NRD_DTYPE_I64, TRITONSERVER_TYPE_INT64, "INT64", 8},
        {NRD_DTYPE_F16, TRITONSERVER_TYPE_FP16, "FP16", 2},
        {NRD_DTYPE_F32, TRITONSERVER_TYPE_FP32, "FP32", 4},
        {NRD_DTYPE_F64, TRITONSERVER_TYPE_FP64, "FP64", 8},
        {NRD_DTYPE_BYTES, TRITONSERVER_TYPE_BYTES, "BYTES", 0},
        {NRD_DTYPE_BF16, TRITONSERVER_TYPE_BF16, "BF16", 2},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(rows[i].own, rows[i].triton);
        assert_string_equal(dtype_name(rows[i].own), rows[i].name);
        assert_int_equal(dtype_size(rows[i].own), rows[i].size);
        assert_int_equal(dtype_from_name(slice_of(rows[i].name)), rows[i].own);
        const char *config = dtype_config_name(rows[i].own);
        assert_int_equal(dtype_from_config_name(slice_of(config)), rows[i].own);
    }
    assert_string_equal(dtype_config_name(NRD_DTYPE_BYTES), "TYPE_STRING");
    assert_string_equal(dtype_config_name(NRD_DTYPE_F16), "TYPE_FP16");
}

static void dtype_unknown_is_invalid(void **state)
{
    (void)state;
    static const char *const names[] = {"", "fp32", "FP3", "FP322", "STRING", "<invalid>"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(dtype_from_name(slice_of(names[i])), NRD_DTYPE_INVALID);
        assert_int_equal(dtype_from_config_name(slice_of(names[i])), NRD_DTYPE_INVALID);
    }
    assert_string_equal(dtype_name(NRD_DTYPE_INVALID), "<invalid>");
    assert_string_equal(dtype_config_name((enum nrd_dtype)99), "TYPE_INVALID");
    assert_int_equal(dtype_size((enum nrd_dtype)99), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dtype_numbers_are_tritons),
        cmocka_unit_test(dtype_unknown_is_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
