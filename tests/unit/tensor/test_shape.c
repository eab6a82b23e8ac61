// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tensor/shape.h"

#define DIMS(...) (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / 8

static void shape_count_tells_the_four_cases_apart(void **state)
{
    (void)state;
    assert_int_equal(shape_count(NULL, 0), 1);
    assert_int_equal(shape_count(DIMS(3, 4, 5)), 60);
    assert_int_equal(shape_count(DIMS(3, 0, 5)), 0);
    assert_int_equal(shape_count(DIMS(3, -1, 5)), SHAPE_ANY);
    assert_int_equal(shape_count(DIMS(3, -2, 5)), SHAPE_INVALID);
    assert_int_equal(shape_count(DIMS(INT64_MAX, 2)), SHAPE_OVERFLOW);
    assert_int_equal(shape_count(DIMS(INT64_MAX, 1)), INT64_MAX);
    assert_int_equal(shape_count(DIMS(INT64_MAX, 2, 0)), 0);
    assert_int_equal(shape_count(DIMS(INT64_MAX, 2, -1)), SHAPE_ANY);
    assert_int_equal(shape_count(DIMS(INT64_C(1) << 32, INT64_C(1) << 32)), SHAPE_OVERFLOW);
}

static void shape_byte_size_is_checked(void **state)
{
    (void)state;
    size_t bytes = 7;
    assert_true(shape_byte_size(NRD_DTYPE_F32, DIMS(3, 224, 224), &bytes));
    assert_int_equal(bytes, 602112);
    assert_true(shape_byte_size(NRD_DTYPE_F64, DIMS(0, 4), &bytes));
    assert_int_equal(bytes, 0);
    assert_false(shape_byte_size(NRD_DTYPE_BYTES, DIMS(1), &bytes));
    assert_false(shape_byte_size(NRD_DTYPE_F32, DIMS(-1), &bytes));
    assert_false(shape_byte_size(NRD_DTYPE_F32, DIMS(INT64_MAX), &bytes));
    assert_int_equal(bytes, 0);
}

static void shape_matches_where_either_side_is_any(void **state)
{
    (void)state;
    assert_true(shape_matches(DIMS(-1, 3), DIMS(8, 3)));
    assert_true(shape_matches(DIMS(8, 3), DIMS(8, -1)));
    assert_false(shape_matches(DIMS(-1, 3), DIMS(8, 4)));
    assert_false(shape_matches(DIMS(-1), DIMS(8, 4)));
    assert_true(shape_matches(NULL, 0, NULL, 0));
    assert_true(shape_equal(DIMS(-1, 3), DIMS(-1, 3)));
    assert_false(shape_equal(DIMS(-1, 3), DIMS(8, 3)));
    assert_false(shape_equal(DIMS(3), DIMS(3, 3)));
    assert_true(shape_equal(NULL, 0, NULL, 0));
}

static void shape_prints_as_triton_does(void **state)
{
    (void)state;
    struct str out = STR_INIT;
    shape_print(DIMS(-1, 2, 30), &out);
    shape_print(NULL, 0, &out);
    assert_string_equal(str_cstr(&out), "[-1,2,30][]");
    str_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shape_count_tells_the_four_cases_apart),
        cmocka_unit_test(shape_byte_size_is_checked),
        cmocka_unit_test(shape_matches_where_either_side_is_any),
        cmocka_unit_test(shape_prints_as_triton_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
