// SPDX-License-Identifier: Apache-2.0
// The batcher's policy on a clock that the test holds in its hand.
#include "tests/unit/base/unit.h"

#include "core/schedule/batcher.h"
#include "tests/unit/core/hot_fixture.h"

enum { MS = 1000000 };

// A batcher with requests that were never given to anybody.
struct bench {
    struct batcher batcher;
    struct request requests[64];
    struct request_input inputs[64];
    struct response_factory factories[64];
    struct model_io io;
    int64_t shapes[64];
    unsigned used;
    struct request *batch[64];
    struct dropped dropped;
    uint64_t deadline;
    enum cut_reason reason;
};

static void bench_init(struct bench *b, uint32_t max, const uint32_t *preferred, uint32_t count,
                       uint64_t delay_ns)
{
    memset(b, 0, sizeof(*b));
    b->batcher.max_batch_size = max;
    b->batcher.delay_ns = delay_ns;
    b->batcher.preferred = mem_calloc(count == 0 ? 1 : count, sizeof(uint32_t));
    b->batcher.preferred_count = count == 0 ? 1 : count;
    b->batcher.preferred[0] = max;
    for (uint32_t i = 0; i < count; i++) {
        b->batcher.preferred[i] = preferred[i];
    }
    b->batcher.needs = mem_calloc(1, 1);
    list_init(&b->dropped.rejected);
    list_init(&b->dropped.cancelled);
    fixture_check(batcher_add_level(&b->batcher, 0, &(struct queue_policy){0}));
}

static struct request *add(struct bench *b, uint32_t rows, int64_t shape, uint64_t priority,
                           uint64_t now)
{
    unsigned i = b->used++;
    struct request *r = &b->requests[i];
    b->shapes[i] = shape;
    b->inputs[i] =
        (struct request_input){.name = "X", .io = &b->io, .shape = &b->shapes[i], .shape_count = 1};
    r->inputs = &b->inputs[i];
    r->input_count = 1;
    r->batch_size = rows;
    r->priority = priority;
    r->queue_ns = now;
    r->factory = &b->factories[i];
    enum push_effect effect;
    return batcher_push(&b->batcher, r, now, &effect) == NRD_OK ? r : NULL;
}

static uint32_t take(struct bench *b, uint64_t now)
{
    return batcher_take(&b->batcher, now, b->batch, &b->dropped, &b->deadline, &b->reason, NULL);
}

static unsigned length(struct list_node *list)
{
    unsigned count = 0;
    LIST_FOR(node, list)
    {
        count++;
    }
    return count;
}

static void batcher_takes_all_that_is_queued_without_delay(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 8, NULL, 0, 0);
    for (int i = 0; i < 5; i++) {
        add(&b, 1, 4, 0, 10);
    }
    assert_int_equal(take(&b, 10), 5);
    assert_int_equal(b.reason, CUT_QUEUE_EMPTY);
    for (int i = 0; i < 5; i++) {
        assert_ptr_equal(b.batch[i], &b.requests[i]);
    }
    assert_int_equal(take(&b, 10), 0);
    assert_int_equal(b.deadline, 0);
    batcher_fini(&b.batcher);
}

static void batcher_cuts_at_max_batch_size(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 8, NULL, 0, 0);
    add(&b, 5, 4, 0, 1);
    add(&b, 4, 4, 0, 2);
    add(&b, 4, 4, 0, 3);
    assert_int_equal(take(&b, 4), 1);
    assert_int_equal(take(&b, 4), 2);
    assert_int_equal(b.batcher.row_count, 0);
    batcher_fini(&b.batcher);
}

static void batcher_cuts_on_shape_mismatch(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 8, NULL, 0, 5 * MS);
    b.batcher.check_shapes = true;
    b.batcher.needs[0] = EQUAL_NEED_SHAPE;
    add(&b, 1, 4, 0, 1);
    add(&b, 1, 4, 0, 1);
    add(&b, 1, 7, 0, 1);
    assert_int_equal(take(&b, 2), 2);
    assert_int_equal(b.reason, CUT_SHAPE);
    // The odd one waits for company until the delay is over.
    assert_int_equal(take(&b, 2), 0);
    assert_int_equal(b.deadline, 1 + 5 * MS);
    assert_int_equal(take(&b, 1 + 5 * MS), 1);
    assert_int_equal(b.reason, CUT_DELAY);
    batcher_fini(&b.batcher);
}

static void batcher_mixes_shapes_when_ragged(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 8, NULL, 0, 0);
    add(&b, 1, 4, 0, 1);
    add(&b, 1, 7, 0, 1);
    assert_int_equal(take(&b, 2), 2);
    batcher_fini(&b.batcher);
}

static void batcher_cuts_on_other_set_of_inputs(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 8, NULL, 0, 0);
    b.batcher.optional = true;
    add(&b, 1, 4, 0, 1);
    add(&b, 1, 4, 0, 1)->input_count = 0;
    assert_int_equal(take(&b, 2), 1);
    assert_int_equal(b.reason, CUT_SHAPE);
    assert_int_equal(take(&b, 2), 1);
    batcher_fini(&b.batcher);
}

static void batcher_waits_for_preferred_until_delay(void **state)
{
    (void)state;
    const uint32_t preferred[] = {4, 8};
    struct bench b;
    bench_init(&b, 16, preferred, 2, 10 * MS);
    add(&b, 1, 4, 0, 100);
    add(&b, 1, 4, 0, 200);
    add(&b, 1, 4, 0, 300);
    assert_int_equal(take(&b, 400), 0);
    assert_int_equal(b.deadline, 100 + 10 * MS);
    add(&b, 1, 4, 0, 500);
    assert_int_equal(take(&b, 500), 4);
    assert_int_equal(b.reason, CUT_PREFERRED);
    add(&b, 1, 4, 0, 600);
    assert_int_equal(take(&b, 700), 0);
    assert_int_equal(take(&b, 600 + 10 * MS), 1);
    assert_int_equal(b.reason, CUT_DELAY);
    batcher_fini(&b.batcher);
}

static void batcher_cuts_back_to_the_best_preferred_size(void **state)
{
    (void)state;
    const uint32_t preferred[] = {4, 8};
    struct bench b;
    bench_init(&b, 16, preferred, 2, 0);
    for (int i = 0; i < 6; i++) {
        add(&b, 1, 4, 0, 1);
    }
    assert_int_equal(take(&b, 2), 4);
    assert_int_equal(take(&b, 2), 2);
    batcher_fini(&b.batcher);
}

static void batcher_counts_the_largest_below_preferred_as_preferred(void **state)
{
    (void)state;
    const uint32_t preferred[] = {4};
    struct bench b;
    bench_init(&b, 16, preferred, 1, 10 * MS);
    add(&b, 3, 4, 0, 1);
    add(&b, 3, 4, 0, 1);
    assert_int_equal(take(&b, 2), 1);
    batcher_fini(&b.batcher);
}

static void priorities_run_urgent_first(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 2, NULL, 0, 0);
    struct request *late = add(&b, 1, 4, 3, 1);
    struct request *middle = add(&b, 1, 4, 2, 2);
    struct request *urgent = add(&b, 1, 4, 1, 3);
    assert_int_equal(take(&b, 4), 2);
    assert_ptr_equal(b.batch[0], urgent);
    assert_ptr_equal(b.batch[1], middle);
    assert_int_equal(take(&b, 4), 1);
    assert_ptr_equal(b.batch[0], late);
    batcher_fini(&b.batcher);
}

static void levels_nobody_configured_are_forgotten(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 2, NULL, 0, 0);
    for (uint64_t level = 1; level <= 60; level++) {
        add(&b, 1, 4, level << 40, level);
        assert_int_equal(take(&b, level), 1);
    }
    assert_true(b.batcher.level_cap <= 4);
    batcher_fini(&b.batcher);
}

static void queue_rejects_when_full(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 8, NULL, 0, 0);
    b.batcher.levels[0].policy.max_queue_size = 2;
    assert_non_null(add(&b, 1, 4, 0, 1));
    assert_non_null(add(&b, 1, 4, 0, 1));
    assert_null(add(&b, 1, 4, 0, 1));
    assert_int_equal(take(&b, 1), 2);
    assert_non_null(add(&b, 1, 4, 0, 1));
    batcher_fini(&b.batcher);
}

static void timeout_rejects_or_delays_by_policy(void **state)
{
    (void)state;
    for (int delay = 0; delay < 2; delay++) {
        struct bench b;
        bench_init(&b, 1, NULL, 0, 0);
        b.batcher.levels[0].policy =
            (struct queue_policy){.default_timeout_us = 5, .delay_on_timeout = delay == 1};
        struct request *old = add(&b, 1, 4, 0, 1);
        struct request *young = add(&b, 1, 4, 0, 3000);
        assert_int_equal(take(&b, 5002), 1);
        assert_ptr_equal(b.batch[0], young);
        assert_int_equal(length(&b.dropped.rejected), delay == 0 ? 1 : 0);
        assert_int_equal(take(&b, 5002), delay);
        if (delay == 1) {
            assert_ptr_equal(b.batch[0], old);
        }
        assert_int_equal(b.batcher.request_count, 0);
        batcher_fini(&b.batcher);
    }
}

static void timeout_of_a_request_only_shortens(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 8, NULL, 0, 0);
    b.batcher.levels[0].policy = (struct queue_policy){.default_timeout_us = 5};
    b.batcher.levels[0].policy.allow_override = true;
    b.requests[0].timeout_us = 2;
    b.requests[1].timeout_us = 99;
    assert_int_equal(add(&b, 1, 4, 0, 0)->timeout_ns, 2000);
    assert_int_equal(add(&b, 1, 4, 0, 0)->timeout_ns, 5000);
    b.batcher.levels[0].policy.default_timeout_us = 0;
    b.requests[2].timeout_us = 7;
    assert_int_equal(add(&b, 1, 4, 0, 0)->timeout_ns, 0);
    batcher_fini(&b.batcher);
}

static void waiting_ends_with_the_closest_timeout(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 8, NULL, 0, 10 * MS);
    b.batcher.levels[0].policy = (struct queue_policy){.default_timeout_us = 1000};
    add(&b, 1, 4, 0, 100);
    assert_int_equal(take(&b, 200), 0);
    assert_int_equal(b.deadline, 100 + MS + 1);
    assert_int_equal(take(&b, b.deadline), 0);
    assert_int_equal(length(&b.dropped.rejected), 1);
    batcher_fini(&b.batcher);
}

static bool pass_shape_three(void *arg, const struct request *request, bool skipped)
{
    unsigned *asked = arg;
    *asked += skipped ? 100 : 1;
    return request->inputs[0].shape[0] == 3;
}

// A slow device takes from behind what the others will have done, and no more than it can.
static void pick_leaves_the_front_where_it_is(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 8, NULL, 0, 0);
    struct request *r[8];
    for (unsigned i = 0; i < 8; i++) {
        r[i] = add(&b, 2, i == 3 ? 3 : 1, 0, 0);
    }
    unsigned asked = 0;
    struct pick pick = {.skip_rows = 5, .max_rows = 4, .pass = pass_shape_three, .arg = &asked};
    assert_ptr_equal(batcher_front(&b.batcher, &pick), r[4]);
    assert_int_equal(asked, 302); // three are skipped, one is left for its shape
    assert_int_equal(
        batcher_take(&b.batcher, 0, b.batch, &b.dropped, &b.deadline, &b.reason, &pick), 2);
    assert_ptr_equal(b.batch[0], r[4]);
    assert_ptr_equal(b.batch[1], r[5]);
    assert_int_equal(b.reason, CUT_FULL);
    pick = (struct pick){.skip_rows = 100, .max_rows = 8};
    assert_null(batcher_front(&b.batcher, &pick));
    assert_int_equal(
        batcher_take(&b.batcher, 0, b.batch, &b.dropped, &b.deadline, &b.reason, &pick), 0);
    assert_int_equal(take(&b, 0), 4);
    assert_ptr_equal(b.batch[0], r[0]);
    assert_int_equal(take(&b, 0), 2);
    assert_int_equal(b.batcher.row_count, 0);
    batcher_fini(&b.batcher);
}

// Behind what is skipped the rules are what they are: a batch waits for its preferred size until the delay is over.
static void picked_batch_waits_like_any_other(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 8, (uint32_t[]){4}, 1, 10 * MS);
    for (unsigned i = 0; i < 6; i++) {
        add(&b, 1, 1, 0, i * MS);
    }
    struct pick pick = {.skip_rows = 3, .max_rows = 8};
    assert_int_equal(
        batcher_take(&b.batcher, 6 * MS, b.batch, &b.dropped, &b.deadline, &b.reason, &pick), 0);
    assert_int_equal(b.deadline, 13 * MS);
    assert_int_equal(
        batcher_take(&b.batcher, 13 * MS, b.batch, &b.dropped, &b.deadline, &b.reason, &pick), 3);
    batcher_fini(&b.batcher);
}

static void cancelled_requests_are_dropped(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 8, NULL, 0, 0);
    add(&b, 1, 4, 0, 1);
    struct request *gone = add(&b, 1, 4, 0, 1);
    add(&b, 1, 4, 0, 1);
    atomic_store(&gone->factory->cancelled, true);
    assert_int_equal(take(&b, 2), 2);
    assert_int_equal(length(&b.dropped.cancelled), 1);
    assert_int_equal(b.batcher.request_count, 0);
    batcher_fini(&b.batcher);
}

static void given_back_requests_go_where_their_arrival_puts_them(void **state)
{
    (void)state;
    struct bench b;
    struct request *r[5];
    bench_init(&b, 2, NULL, 0, 0);
    b.batcher.levels[0].policy.max_queue_size = 2;
    r[0] = add(&b, 1, 4, 0, 1);
    r[1] = add(&b, 1, 4, 0, 2);
    assert_int_equal(take(&b, 10), 2);
    r[2] = add(&b, 1, 4, 0, 3);
    assert_int_equal(take(&b, 10), 1);
    r[3] = add(&b, 1, 4, 0, 4);
    r[4] = add(&b, 1, 4, 0, 5);
    assert_null(add(&b, 1, 4, 0, 6)); // full, but not for those that were in it
    assert_true(batcher_give_back(&b.batcher, r[2]));
    assert_true(batcher_give_back(&b.batcher, r[0]));
    assert_true(batcher_give_back(&b.batcher, r[1]));
    assert_int_equal(b.batcher.row_count, 5);
    for (int i = 0; i < 5; i++) {
        if (i % 2 == 0) {
            assert_int_equal(take(&b, 10), i == 4 ? 1 : 2);
        }
        assert_ptr_equal(b.batch[i % 2], r[i]);
    }
    assert_int_equal(b.batcher.row_count, 0);
    batcher_fini(&b.batcher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batcher_takes_all_that_is_queued_without_delay),
        cmocka_unit_test(batcher_cuts_at_max_batch_size),
        cmocka_unit_test(batcher_cuts_on_shape_mismatch),
        cmocka_unit_test(batcher_mixes_shapes_when_ragged),
        cmocka_unit_test(batcher_cuts_on_other_set_of_inputs),
        cmocka_unit_test(batcher_waits_for_preferred_until_delay),
        cmocka_unit_test(batcher_cuts_back_to_the_best_preferred_size),
        cmocka_unit_test(batcher_counts_the_largest_below_preferred_as_preferred),
        cmocka_unit_test(priorities_run_urgent_first),
        cmocka_unit_test(levels_nobody_configured_are_forgotten),
        cmocka_unit_test(queue_rejects_when_full),
        cmocka_unit_test(timeout_rejects_or_delays_by_policy),
        cmocka_unit_test(timeout_of_a_request_only_shortens),
        cmocka_unit_test(waiting_ends_with_the_closest_timeout),
        cmocka_unit_test(pick_leaves_the_front_where_it_is),
        cmocka_unit_test(picked_batch_waits_like_any_other),
        cmocka_unit_test(cancelled_requests_are_dropped),
        cmocka_unit_test(given_back_requests_go_where_their_arrival_puts_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
