// SPDX-License-Identifier: Apache-2.0
#include "small_ops.h"

#include <stdlib.h>

#include "base/clock.h"
#include "graph/resource.h"

static struct nrd_status *try_add(struct nrd_fragment *f, const char *type, const char *name,
                                  const char *params)
{
    struct nrd_value *map = yaml(params);
    struct nrd_status *status = nrd_add_resource(f, type, name, map, NULL);
    nrd_value_free(map);
    return status;
}

static void resource_is_found_by_its_name_and_destroyed_with_the_application(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_resource *clock = add_resource(f, "holoscan::ManualClock", "clock", NULL);
    struct nrd_resource *pool = add_resource(
        f, "BlockMemoryPool", "pool", "{storage_type: system, block_size: 1KB, num_blocks: 2}");
    assert_ptr_equal(nrd_fragment_resource(f, "clock"), clock);
    assert_ptr_equal(nrd_fragment_resource(f, "pool"), pool);
    assert_null(nrd_fragment_resource(f, "other"));
    nrd_app_destroy(app);
}

static void resource_errors_name_it_and_leave_its_name_free(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    assert_fails(try_add(f, "BlockMemoryPol", "pool", "{}"), NRD_NOT_FOUND,
                 "resource 'pool': there is no resource type 'BlockMemoryPol' (did you mean "
                 "'BlockMemoryPool'?)");
    fails(try_add(f, "BlockMemoryPool", "pool", "{storage_type: 2, block_size: 1, blocks: 3}"),
          "resource 'pool' (BlockMemoryPool): there is no parameter 'blocks'");
    assert_fails(
        try_add(f, "BlockMemoryPool", "pool", "{storage_type: 2, block_size: 0, num_blocks: 3}"),
        NRD_INVALID_ARG,
        "resource 'pool' (BlockMemoryPool): 3 blocks of 0 bytes are no amount of memory");
    add_resource(f, "UnboundedAllocator", "pool", NULL);
    fails(try_add(f, "UnboundedAllocator", "pool", "{}"), "'pool'");
    fails(try_add(f, "CudaStreamPool", "s", "{reserved_size: 3, max_size: 2}"),
          "reserved_size is 3, max_size only 2");
    fails(try_add(f, "RMMAllocator", "r", "{device_memory_initial_size: 64MB}"),
          "device_memory_initial_size is 67108864 bytes, device_memory_max_size only 33554432");
    nrd_app_destroy(app);
}

static void resource_is_resolved_by_kind_with_the_names_there_are(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_resource *r = NULL;
    assert_fails(fragment_resolve_resource(f, "a", "allocator", &r), NRD_NOT_FOUND,
                 "there is no resource 'a'; the fragment has no allocator");
    struct nrd_resource *a = add_resource(f, "UnboundedAllocator", "a", NULL);
    add_resource(f, "ManualClock", "c", NULL);
    ok(fragment_resolve_resource(f, "a", "allocator", &r));
    assert_ptr_equal(r, a);
    assert_fails(fragment_resolve_resource(f, "c", "allocator", &r), NRD_INVALID_ARG,
                 "resource 'c' is a ManualClock, and no allocator");
    assert_fails(fragment_resolve_resource(f, "b", "allocator", &r), NRD_NOT_FOUND,
                 "there is no resource 'b'; the fragment has 'a'");
    nrd_app_destroy(app);
}

static void clock_manual_and_synthetic_move_by_hand_only(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_resource *manual = add_resource(f, "ManualClock", "m", "{initial_timestamp: 100}");
    struct nrd_resource *synthetic = add_resource(f, "SyntheticClock", "s", NULL);
    assert_int_equal(nrd_clock_now(manual), 100);
    assert_int_equal(nrd_clock_now(synthetic), 0);
    nrd_clock_advance(manual, 50);
    nrd_clock_advance(synthetic, 7);
    nrd_clock_advance(synthetic, -7); // never back
    assert_int_equal(nrd_clock_now(manual), 150);
    assert_int_equal(nrd_clock_now(synthetic), 7);
    nrd_app_destroy(app);
}

static void clock_real_runs_from_its_offset_at_its_scale(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_resource *c = add_resource(f, "RealtimeClock", "c",
                                          "{initial_time_offset: 1000, initial_time_scale: 1e6}");
    struct nrd_resource *epoch =
        add_resource(f, "RealtimeClock", "e", "{use_time_since_epoch: true}");
    int64_t first = nrd_clock_now(c);
    uint64_t began = clock_now_ns();
    while (clock_now_ns() < began + 2000) {
    }
    int64_t second = nrd_clock_now(c);
    assert_true(first >= 1000000000000);
    assert_true(second - first >= 2000000000); // 2 us of ours are 2 s of its
    const struct clock_ops *ops = c->class->ops;
    uint64_t due = ops->deadline(c->state, second + 1000000000);
    assert_true(due > began + 2000 && due <= clock_now_ns() + 1001);
    assert_true(llabs(nrd_clock_now(epoch) - (int64_t)clock_wall_ns()) < 1000000000);
    nrd_app_destroy(app);
}

static void clock_of_the_scheduler_is_what_operators_see(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    add_resource(f, "ManualClock", "clock", NULL);
    set_scheduler(f, "GreedyScheduler", "{clock: clock}");
    struct nrd_operator *tx = add(f, &source_op, "tx", NULL);
    add_condition(tx, "CountCondition", "{count: 3}");
    add_condition(tx, "PeriodicCondition", "{recess_period: 1h}");
    struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
    flow(tx, rx);
    ok(nrd_app_run(app));
    assert_int_equal(small(rx)->got, 3);
    assert_int_equal(nrd_clock_now(nrd_fragment_resource(f, "clock")), 2 * 3600 * 1000000000ll);
    nrd_app_destroy(app);
}

static void resource_survives_each_failing_allocation(void **state)
{
    (void)state;
    static const char *const TYPES[][2] = {
        {"UnboundedAllocator", "{}"},
        {"BlockMemoryPool", "{storage_type: 2, block_size: 64, num_blocks: 2}"},
        {"CudaStreamPool", "{}"},
        {"RealtimeClock", "{}"},
        {"ManualClock", "{}"}};
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(*TYPES); i++) {
        struct nrd_app *app = make_app();
        struct nrd_value *params = yaml(TYPES[i][1]);
        for (uint64_t n = 1;; n++) {
            mem_fail_after(n);
            struct nrd_status *status =
                nrd_add_resource(nrd_app_fragment(app), TYPES[i][0], "r", params, NULL);
            mem_fail_after(0);
            if (status == NULL) {
                break;
            }
            assert_null(nrd_fragment_resource(nrd_app_fragment(app), "r"));
            status_free(status);
            assert_true(n < 100);
        }
        nrd_value_free(params);
        nrd_app_destroy(app);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resource_is_found_by_its_name_and_destroyed_with_the_application),
        cmocka_unit_test(resource_errors_name_it_and_leave_its_name_free),
        cmocka_unit_test(resource_is_resolved_by_kind_with_the_names_there_are),
        cmocka_unit_test(clock_manual_and_synthetic_move_by_hand_only),
        cmocka_unit_test(clock_real_runs_from_its_offset_at_its_scale),
        cmocka_unit_test(clock_of_the_scheduler_is_what_operators_see),
        cmocka_unit_test(resource_survives_each_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
