// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/queue.h"
#include "base/thread.h"

enum { PRODUCERS = 4, EACH = 20000 };

struct item {
    struct queue_node node;
    int producer;
    int number;
};

struct shared {
    struct queue queue;
    struct parking parking;
    _Atomic int next_producer;
};

static void queue_is_first_in_first_out(void **state)
{
    (void)state;
    struct queue q;
    struct item items[5];
    queue_init(&q);
    assert_true(queue_is_empty(&q));
    assert_null(queue_pop(&q));
    assert_true(queue_push(&q, &items[0].node));
    assert_false(queue_push(&q, &items[1].node));
    assert_ptr_equal(queue_pop(&q), &items[0].node);
    assert_true(
        queue_push(&q, &items[2].node)); // no fresh node was there: the consumer has to look again
    assert_false(queue_is_empty(&q));
    assert_ptr_equal(queue_pop(&q), &items[1].node);
    assert_ptr_equal(queue_pop(&q), &items[2].node);
    assert_null(queue_pop(&q));
    assert_true(queue_is_empty(&q));
}

static void produce(void *arg)
{
    struct shared *shared = arg;
    int producer = atomic_fetch_add(&shared->next_producer, 1);
    for (int i = 0; i < EACH; i++) {
        struct item *item = mem_alloc(sizeof(*item));
        item->producer = producer;
        item->number = i;
        if (queue_push(&shared->queue, &item->node)) {
            parking_wake(&shared->parking);
        }
    }
}

static void queue_keeps_each_producers_order_and_loses_no_wake(void **state)
{
    (void)state;
    struct shared shared;
    struct thread threads[PRODUCERS];
    int seen[PRODUCERS] = {0};
    queue_init(&shared.queue);
    parking_init(&shared.parking);
    atomic_init(&shared.next_producer, 0);
    for (int i = 0; i < PRODUCERS; i++) {
        assert_null(thread_start(&threads[i], "producer", 0, produce, &shared));
    }
    for (int left = PRODUCERS * EACH; left > 0;) {
        struct queue_node *node = queue_pop(&shared.queue);
        if (node == NULL) {
            parking_wait(&shared.parking, 0);
            continue;
        }
        struct item *item = (struct item *)node;
        assert_int_equal(item->number, seen[item->producer]);
        seen[item->producer]++;
        mem_free(item);
        left--;
    }
    for (int i = 0; i < PRODUCERS; i++) {
        thread_join(&threads[i]);
    }
    assert_true(queue_is_empty(&shared.queue));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queue_is_first_in_first_out),
        cmocka_unit_test(queue_keeps_each_producers_order_and_loses_no_wake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
