// SPDX-License-Identifier: Apache-2.0
// What is made of looks at a GPU, on a clock that the test holds in its hand.
#include "tests/unit/base/unit.h"

#include "core/gpu_health.h"

enum { MS = 1000000 };

static void gpu_that_works_is_looked_at_once_a_second(void **state)
{
    (void)state;
    struct gpu_health health = {0};
    assert_true(gpu_health_is_due(&health, 0));
    assert_false(gpu_health_seen(&health, GPU_SIGHT_FINE, 5 * MS));
    assert_false(gpu_health_is_due(&health, 1004 * MS));
    assert_true(gpu_health_is_due(&health, 1005 * MS));
    assert_int_equal(health.state, GPU_HEALTH_WORKS);
}

static void broken_context_is_final_at_once(void **state)
{
    (void)state;
    struct gpu_health health = {0};
    assert_true(gpu_health_seen(&health, GPU_SIGHT_BROKEN, 1 * MS));
    assert_int_equal(health.state, GPU_HEALTH_LOST);
    assert_false(gpu_health_is_due(&health, UINT64_MAX - 1));
    assert_false(gpu_health_seen(&health, GPU_SIGHT_FINE, 2 * MS)); // for good, and told once
    assert_false(gpu_health_seen(&health, GPU_SIGHT_BROKEN, 3 * MS));
    assert_int_equal(health.state, GPU_HEALTH_LOST);
}

static void gone_is_believed_when_it_is_said_twice(void **state)
{
    (void)state;
    struct gpu_health health = {0};
    assert_false(gpu_health_seen(&health, GPU_SIGHT_GONE, 100 * MS));
    assert_int_equal(health.state, GPU_HEALTH_DOUBTED);
    assert_false(gpu_health_is_due(&health, 349 * MS)); // and looked at sooner
    assert_true(gpu_health_is_due(&health, 350 * MS));
    assert_false(gpu_health_seen(&health, GPU_SIGHT_FINE, 350 * MS)); // a driver's hiccup
    assert_int_equal(health.state, GPU_HEALTH_WORKS);
    assert_false(gpu_health_seen(&health, GPU_SIGHT_GONE, 1350 * MS));
    assert_true(gpu_health_seen(&health, GPU_SIGHT_GONE, 1600 * MS));
    assert_int_equal(health.state, GPU_HEALTH_LOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpu_that_works_is_looked_at_once_a_second),
        cmocka_unit_test(broken_context_is_final_at_once),
        cmocka_unit_test(gone_is_believed_when_it_is_said_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
