// SPDX-License-Identifier: Apache-2.0
#include "net_unit.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "net/loop.h"

#define PRODUCERS 4
#define TASKS 20000

static _Atomic unsigned ran;
static unsigned last_seen[PRODUCERS];

struct numbered {
    struct loop_task task;
    unsigned producer;
    unsigned number;
};

static void count_task(struct loop_task *task)
{
    struct numbered *n = CONTAINER_OF(task, struct numbered, task);
    assert_true(n->number == last_seen[n->producer] + 1);
    last_seen[n->producer] = n->number;
    atomic_fetch_add(&ran, 1);
}

struct producer {
    struct loop *loop;
    struct numbered tasks[TASKS];
    unsigned index;
};

static void produce(void *arg)
{
    struct producer *p = arg;
    for (unsigned i = 0; i < TASKS; i++) {
        p->tasks[i] =
            (struct numbered){.task.run = count_task, .producer = p->index, .number = i + 1};
        loop_post(p->loop, &p->tasks[i].task);
    }
}

static void post_loses_nothing_and_keeps_each_producers_order(void **state)
{
    (void)state;
    static struct producer producers[PRODUCERS];
    struct thread threads[PRODUCERS] = {0};
    struct loop *loop = NULL;
    assert_ok(loop_create(&loop));
    assert_ok(loop_start(loop, "test"));
    for (unsigned i = 0; i < PRODUCERS; i++) {
        producers[i].loop = loop;
        producers[i].index = i;
        assert_ok(thread_start(&threads[i], "producer", 0, produce, &producers[i]));
    }
    for (unsigned i = 0; i < PRODUCERS; i++) {
        thread_join(&threads[i]);
    }
    for (int i = 0; i < 5000 && atomic_load(&ran) < PRODUCERS * TASKS; i++) {
        usleep(1000);
    }
    assert_int_equal(atomic_load(&ran), PRODUCERS * TASKS);
    loop_destroy(loop);
}

static _Atomic int pings;
static struct loop *ping_loop;

static void ping(struct loop_task *task)
{
    (void)task;
    assert_true(loop_is_current(ping_loop));
    atomic_fetch_add(&pings, 1);
}

static void post_wakes_a_sleeping_loop(void **state)
{
    (void)state;
    assert_ok(loop_create(&ping_loop));
    assert_false(loop_is_running(ping_loop));
    assert_ok(loop_start(ping_loop, "test"));
    assert_true(loop_is_running(ping_loop));
    assert_false(loop_is_current(ping_loop));
    struct loop_task task = {.run = ping};
    for (int i = 1; i <= 200; i++) {
        loop_post(ping_loop, &task);
        for (int wait = 0; wait < 20000 && atomic_load(&pings) < i; wait++) {
            usleep(50);
        }
        assert_int_equal(atomic_load(&pings), i);
        if (i % 10 == 0) {
            usleep(500); // so that it sleeps
        }
    }
    loop_destroy(ping_loop);
}

static void tasks_posted_before_the_end_are_run(void **state)
{
    (void)state;
    atomic_store(&pings, 0);
    assert_ok(loop_create(&ping_loop));
    struct loop_task task = {.run = ping};
    loop_post(ping_loop, &task);
    loop_stop(ping_loop);
    loop_run(ping_loop);
    assert_int_equal(atomic_load(&pings), 1);
    loop_destroy(ping_loop);
    loop_destroy(NULL);
}

struct timers {
    struct loop *loop;
    struct loop_timer timer;
    struct loop_timer never;
    struct loop_deadline deadline;
    struct loop_deadline unset;
    struct loop_defer defer;
    uint64_t start;
    int fired;
    int deferred;
    int late;
};

static void on_defer(struct loop_defer *defer)
{
    CONTAINER_OF(defer, struct timers, defer)->deferred++;
}

static void on_timer(struct loop_timer *timer)
{
    struct timers *t = CONTAINER_OF(timer, struct timers, timer);
    t->fired++;
    loop_defer(t->loop, &t->defer);
    loop_defer(t->loop, &t->defer);
}

static void on_never(struct loop_timer *timer)
{
    (void)timer;
    fail();
}

static void on_deadline(struct loop_deadline *deadline)
{
    struct timers *t = CONTAINER_OF(deadline, struct timers, deadline);
    t->late++;
    assert_int_equal(deadline->at_ns, 0);
    loop_deadline_remove(t->loop, &t->deadline);
    loop_deadline_remove(t->loop, &t->unset);
    loop_stop(t->loop);
}

static void on_unset(struct loop_deadline *deadline)
{
    (void)deadline;
    fail();
}

static void timers_deadlines_and_defers_fire(void **state)
{
    (void)state;
    struct timers t = {.defer.run = on_defer, .deadline.fire = on_deadline, .unset.fire = on_unset};
    assert_ok(loop_create(&t.loop));
    loop_timer_init(&t.timer, t.loop, on_timer);
    loop_timer_init(&t.never, t.loop, on_never);
    loop_timer_start(&t.timer, 10);
    loop_timer_start(&t.never, 50);
    loop_timer_stop(&t.never);
    loop_deadline_add(t.loop, &t.deadline);
    loop_deadline_add(t.loop, &t.unset);
    t.deadline.at_ns = clock_now_ns() + 100 * 1000000ull;
    uint64_t start = clock_now_ns();
    loop_run(t.loop);
    assert_int_equal(t.fired, 1);
    assert_int_equal(t.deferred, 1);
    assert_int_equal(t.late, 1);
    assert_true(clock_now_ns() - start >= 100 * 1000000ull);
    loop_destroy(t.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(post_loses_nothing_and_keeps_each_producers_order),
        cmocka_unit_test(post_wakes_a_sleeping_loop),
        cmocka_unit_test(tasks_posted_before_the_end_are_run),
        cmocka_unit_test(timers_deadlines_and_defers_fire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
