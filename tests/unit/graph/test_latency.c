// SPDX-License-Identifier: Apache-2.0
#include "../base/unit.h"

#include <stdlib.h>

#include "graph/latency.h"

static struct latency l;

static int by_value(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

static void latency_of_nothing_is_zero(void **state)
{
    (void)state;
    latency_clear(&l);
    assert_int_equal(latency_percentile(&l, 0.5), 0);
    assert_int_equal(latency_mean(&l), 0);
}

static void latency_of_one_is_that_one_everywhere(void **state)
{
    (void)state;
    latency_clear(&l);
    latency_add(&l, 123456789);
    assert_int_equal(latency_percentile(&l, 0), 123456789);
    assert_int_equal(latency_percentile(&l, 0.5), 123456789);
    assert_int_equal(latency_percentile(&l, 1), 123456789);
    assert_int_equal(latency_mean(&l), 123456789);
}

static void latency_below_128_ns_is_exact(void **state)
{
    (void)state;
    latency_clear(&l);
    for (int64_t ns = 127; ns >= 0; ns--) {
        latency_add(&l, ns);
    }
    for (int64_t rank = 1; rank <= 128; rank++) {
        assert_int_equal(latency_percentile(&l, (double)rank / 128), rank - 1);
    }
    assert_int_equal(l.min_number, 128);
    assert_int_equal(l.max_number, 1);
}

static void latency_percentiles_are_within_their_error_of_the_sorted_truth(void **state)
{
    (void)state;
    enum { N = 20000 };
    int64_t *all = mem_alloc(N * sizeof(*all));
    assert_non_null(all);
    uint64_t seed = 42;
    latency_clear(&l);
    int64_t sum = 0;
    for (int i = 0; i < N; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        all[i] = (int64_t)((seed >> 20) >> (seed >> 58) % 44); // all sizes from 1 ns to hours
        latency_add(&l, all[i]);
        sum += all[i];
    }
    qsort(all, N, sizeof(*all), by_value);
    const double shares[] = {0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1};
    for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++) {
        int64_t rank = (int64_t)(shares[i] * N + 0.999999);
        int64_t truth = all[rank < 1 ? 0 : rank - 1];
        int64_t answer = latency_percentile(&l, shares[i]);
        assert_true(llabs(answer - truth) * 128 <= truth + 128);
    }
    assert_int_equal(latency_percentile(&l, 1), all[N - 1]);
    assert_int_equal(latency_mean(&l), sum / N);
    mem_free(all);
}

static void latency_of_a_clock_set_back_is_zero_and_of_days_is_kept(void **state)
{
    (void)state;
    latency_clear(&l);
    latency_add(&l, -5);
    latency_add(&l, INT64_MAX / 2);
    assert_int_equal(latency_percentile(&l, 0.5), 0);
    assert_int_equal(latency_percentile(&l, 1), INT64_MAX / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(latency_of_nothing_is_zero),
        cmocka_unit_test(latency_of_one_is_that_one_everywhere),
        cmocka_unit_test(latency_below_128_ns_is_exact),
        cmocka_unit_test(latency_percentiles_are_within_their_error_of_the_sorted_truth),
        cmocka_unit_test(latency_of_a_clock_set_back_is_zero_and_of_days_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
