// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <math.h>

static void slice_compares(void **state)
{
    (void)state;
    assert_true(slice_is(SLICE("abc"), "abc"));
    assert_false(slice_is(SLICE("abc"), "ab"));
    assert_true(slice_equal(slice_of(NULL), SLICE("")));
    assert_true(slice_equal_nocase(SLICE("Content-Type"), SLICE("content-tYPE")));
    assert_false(slice_equal_nocase(SLICE("a["), SLICE("A{")));
    assert_true(slice_starts(SLICE("abc"), SLICE("ab")));
    assert_false(slice_starts(SLICE("a"), SLICE("ab")));
    assert_true(slice_ends(SLICE("abc"), SLICE("bc")));
    assert_true(slice_ends(slice_of(NULL), SLICE("")));
    assert_false(slice_ends(SLICE("c"), SLICE("bc")));
}

static void slice_trim_takes_both_ends(void **state)
{
    (void)state;
    assert_slice(slice_trim(SLICE(" \ta b\t ")), "a b");
    assert_slice(slice_trim(SLICE(" \t ")), "");
}

static void slice_cut_walks_all_parts(void **state)
{
    (void)state;
    struct slice rest = SLICE("a,,b,");
    struct slice part;
    assert_true(slice_cut(&rest, ',', &part));
    assert_slice(part, "a");
    assert_true(slice_cut(&rest, ',', &part));
    assert_slice(part, "");
    assert_true(slice_cut(&rest, ',', &part));
    assert_slice(part, "b");
    assert_true(slice_cut(&rest, ',', &part));
    assert_slice(part, "");
    assert_false(slice_cut(&rest, ',', &part));
}

static void slice_reads_integers_to_their_limits(void **state)
{
    (void)state;
    uint64_t u;
    int64_t i;
    assert_true(slice_to_u64(SLICE("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    assert_false(slice_to_u64(SLICE("18446744073709551616"), &u));
    assert_false(slice_to_u64(SLICE("99999999999999999999"), &u));
    assert_true(slice_to_u64(SLICE("+7"), &u) && u == 7);
    assert_true(slice_to_i64(SLICE("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_true(slice_to_i64(SLICE("9223372036854775807"), &i));
    assert_true(i == INT64_MAX);
    assert_false(slice_to_i64(SLICE("9223372036854775808"), &i));
    assert_false(slice_to_i64(SLICE("-9223372036854775809"), &i));
    static const char *const bad[] = {"", "-", "+", "-+1", "1 ", " 1", "1a", "--1", "0x1"};
    for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
        assert_false(slice_to_i64(slice_of(bad[n]), &i));
        assert_false(slice_to_u64(slice_of(bad[n]), &u));
    }
    assert_false(slice_to_u64(SLICE("-1"), &u));
}

static void slice_reads_doubles(void **state)
{
    (void)state;
    double d;
    assert_true(slice_to_f64(SLICE("1.5"), &d) && d == 1.5);
    assert_true(slice_to_f64(SLICE("-.5e1"), &d) && d == -5.0);
    assert_true(slice_to_f64(SLICE("5."), &d) && d == 5.0);
    assert_true(slice_to_f64(SLICE("1e400"), &d) && isinf(d));
    assert_true(slice_to_f64(SLICE("-inf"), &d) && isinf(d) && d < 0);
    assert_true(slice_to_f64(SLICE("NaN"), &d) && isnan(d));
    static const char *const bad[] = {"", ".", "e1", "1e", "1e+", "1.2.3", "0x1p3", "1 ", "infi"};
    for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
        assert_false(slice_to_f64(slice_of(bad[n]), &d));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slice_compares),
        cmocka_unit_test(slice_trim_takes_both_ends),
        cmocka_unit_test(slice_cut_walks_all_parts),
        cmocka_unit_test(slice_reads_integers_to_their_limits),
        cmocka_unit_test(slice_reads_doubles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
