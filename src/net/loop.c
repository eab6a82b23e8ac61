// SPDX-License-Identifier: Apache-2.0
// Loop: libevent waits for descriptors and timers; the queue of tasks and the wake are ours.
//
// The wake. `asleep` is set just before the loop blocks and cleared by the first thing that happens
// after, or by the thread that wakes it. A poster pushes, then exchanges `asleep` for false; the loop exchanges it for
// true, then looks at the queue. Exchanges of one variable have one order: whichever came second sees what was done before
// the first, so either the poster wakes the loop or the loop sees the task. The eventfd is watched edge triggered and
// never read: each write is a new edge, which saves a system call a wake.
#include "net/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

// Tasks run in one go before descriptors are looked at again.
#define TASKS_PER_TURN 1024
#define DEADLINE_PERIOD_MS 500
#define LOOP_STACK_SIZE (256 * 1024)

struct loop {
    struct event_base *base;
    struct queue tasks;
    _Atomic bool asleep;
    _Atomic bool stopping;
    _Atomic bool running;
    _Atomic int thread_id;
    int wake_fd;
    struct event *wake_event;
    struct list_node defers;
    struct list_node deadlines;
    struct loop_timer deadline_timer;
    uint64_t now_ns;
    struct thread thread;
};

static void note_awake(struct loop *loop)
{
    if (atomic_load_explicit(&loop->asleep, memory_order_relaxed)) {
        atomic_store_explicit(&loop->asleep, false, memory_order_relaxed);
    }
    if (loop->now_ns == 0) {
        loop->now_ns = clock_now_ns();
    }
}

static void wake_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    note_awake(arg);
}

static void sweep_deadlines(struct loop_timer *timer)
{
    struct loop *loop = CONTAINER_OF(timer, struct loop, deadline_timer);
    uint64_t now = loop_now_ns(loop);
    // A `fire` may remove any deadline of the list, so those that are over are taken out first.
    struct list_node due;
    list_init(&due);
    LIST_FOR_SAFE(node, &loop->deadlines)
    {
        struct loop_deadline *deadline = CONTAINER_OF(node, struct loop_deadline, node);
        if (deadline->at_ns != 0 && deadline->at_ns <= now) {
            list_remove(node);
            list_push_back(&due, node);
        }
    }
    struct list_node *node;
    while ((node = list_pop_front(&due)) != NULL) {
        struct loop_deadline *deadline = CONTAINER_OF(node, struct loop_deadline, node);
        list_push_back(&loop->deadlines, node);
        deadline->at_ns = 0;
        deadline->fire(deadline);
    }
    if (!list_empty(&loop->deadlines)) {
        loop_timer_start(timer, DEADLINE_PERIOD_MS);
    }
}

struct nrd_status *loop_create(struct loop **out)
{
    struct loop *loop = mem_calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return status_no_memory();
    }
    queue_init(&loop->tasks);
    list_init(&loop->defers);
    list_init(&loop->deadlines);
    struct event_config *config = event_config_new();
    if (config != NULL) {
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
        loop->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->base == NULL || loop->wake_fd < 0) {
        struct nrd_status *status =
            status_new(NRD_UNAVAILABLE, "failed to create an event loop: %s", strerror(errno));
        loop_destroy(loop);
        return status;
    }
    loop->wake_event =
        event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST | EV_ET, wake_ready, loop);
    if (loop->wake_event == NULL || event_add(loop->wake_event, NULL) != 0) {
        loop_destroy(loop);
        return status_no_memory();
    }
    loop_timer_init(&loop->deadline_timer, loop, sweep_deadlines);
    *out = loop;
    return NULL;
}

// Returns false when the limit was reached and tasks are left.
static bool run_tasks(struct loop *loop)
{
    for (int i = 0; i < TASKS_PER_TURN; i++) {
        struct queue_node *node = queue_pop(&loop->tasks);
        if (node == NULL) {
            return true;
        }
        struct loop_task *task = CONTAINER_OF(node, struct loop_task, node);
        task->run(task);
    }
    return false;
}

static void run_defers(struct loop *loop)
{
    struct list_node *node;
    while ((node = list_pop_front(&loop->defers)) != NULL) {
        struct loop_defer *defer = CONTAINER_OF(node, struct loop_defer, node);
        defer->queued = false;
        defer->run(defer);
    }
}

// True when the loop may block: nothing is queued and posters know that they have to wake it.
static bool fall_asleep(struct loop *loop)
{
    atomic_exchange_explicit(&loop->asleep, true, memory_order_acq_rel);
    if (queue_is_empty(&loop->tasks) &&
        !atomic_load_explicit(&loop->stopping, memory_order_acquire)) {
        return true;
    }
    atomic_store_explicit(&loop->asleep, false, memory_order_relaxed);
    return false;
}

void loop_run(struct loop *loop)
{
    atomic_store_explicit(&loop->thread_id, thread_self_id(), memory_order_release);
    atomic_store_explicit(&loop->running, true, memory_order_release);
    for (;;) {
        bool drained = run_tasks(loop);
        run_defers(loop);
        bool may_block = drained && fall_asleep(loop);
        if (!may_block && drained && atomic_load_explicit(&loop->stopping, memory_order_acquire) &&
            queue_is_empty(&loop->tasks)) {
            break;
        }
        loop->now_ns = 0;
        if (event_base_loop(loop->base, may_block ? EVLOOP_ONCE : EVLOOP_NONBLOCK) < 0) {
            break;
        }
        note_awake(loop);
    }
    atomic_store_explicit(&loop->running, false, memory_order_release);
    atomic_store_explicit(&loop->thread_id, 0, memory_order_release);
}

static void thread_main(void *arg)
{
    loop_run(arg);
}

struct nrd_status *loop_start(struct loop *loop, const char *name)
{
    atomic_store_explicit(&loop->running, true, memory_order_release);
    struct nrd_status *status =
        thread_start(&loop->thread, name, LOOP_STACK_SIZE, thread_main, loop);
    if (status != NULL) {
        atomic_store_explicit(&loop->running, false, memory_order_release);
    }
    return status;
}

void loop_wake(struct loop *loop)
{
    if (atomic_exchange_explicit(&loop->asleep, false, memory_order_acq_rel)) {
        uint64_t one = 1;
        ssize_t written = write(loop->wake_fd, &one, sizeof(one));
        (void)written; // it can fail only when the counter is full, and then the loop is awake
    }
}

void loop_stop(struct loop *loop)
{
    atomic_store_explicit(&loop->stopping, true, memory_order_release);
    loop_wake(loop);
}

void loop_destroy(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    if (loop->thread.started) {
        loop_stop(loop);
        thread_join(&loop->thread);
    }
    do {
        run_defers(loop);
    } while (!run_tasks(loop) || !list_empty(&loop->defers));
    if (loop->wake_event != NULL) {
        loop_timer_stop(&loop->deadline_timer);
        event_free(loop->wake_event);
    }
    if (loop->base != NULL) {
        event_base_free(loop->base);
    }
    if (loop->wake_fd >= 0) {
        close(loop->wake_fd);
    }
    mem_free(loop);
}

bool loop_is_running(const struct loop *loop)
{
    return atomic_load_explicit(&loop->running, memory_order_acquire);
}

bool loop_is_current(const struct loop *loop)
{
    return atomic_load_explicit(&loop->thread_id, memory_order_acquire) == thread_self_id();
}

uint64_t loop_now_ns(const struct loop *loop)
{
    return loop->now_ns != 0 ? loop->now_ns : clock_now_ns();
}

void loop_post(struct loop *loop, struct loop_task *task)
{
    // A push onto a queue that was not empty follows one that woke the loop or found it awake.
    if (queue_push(&loop->tasks, &task->node)) {
        loop_wake(loop);
    }
}

bool loop_post_quietly(struct loop *loop, struct loop_task *task)
{
    return queue_push(&loop->tasks, &task->node);
}

void loop_defer(struct loop *loop, struct loop_defer *defer)
{
    if (!defer->queued) {
        defer->queued = true;
        list_push_back(&loop->defers, &defer->node);
    }
}

void loop_defer_cancel(struct loop *loop, struct loop_defer *defer)
{
    (void)loop;
    if (defer->queued) {
        defer->queued = false;
        list_remove(&defer->node);
    }
}

static void watch_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop_watch *watch = arg;
    note_awake(watch->loop);
    watch->ready(watch);
}

void loop_watch_init(struct loop_watch *watch, struct loop *loop, int fd, enum loop_event event,
                     void (*ready)(struct loop_watch *watch))
{
    watch->loop = loop;
    watch->ready = ready;
    watch->active = false;
    short what = event == LOOP_READ ? EV_READ : event == LOOP_WRITE ? EV_WRITE : EV_CLOSED;
    event_assign(&watch->event, loop->base, fd, (short)(what | EV_PERSIST), watch_ready, watch);
}

bool loop_watch_start(struct loop_watch *watch)
{
    if (!watch->active) {
        if (event_add(&watch->event, NULL) != 0) {
            return false;
        }
        watch->active = true;
    }
    return true;
}

void loop_watch_stop(struct loop_watch *watch)
{
    if (watch->active) {
        watch->active = false;
        event_del(&watch->event);
    }
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop_timer *timer = arg;
    note_awake(timer->loop);
    timer->fire(timer);
}

void loop_timer_init(struct loop_timer *timer, struct loop *loop,
                     void (*fire)(struct loop_timer *timer))
{
    timer->loop = loop;
    timer->fire = fire;
    event_assign(&timer->event, loop->base, -1, 0, timer_fired, timer);
}

void loop_timer_start(struct loop_timer *timer, uint64_t delay_ms)
{
    struct timeval delay = {
        .tv_sec = (time_t)(delay_ms / 1000),
        .tv_usec = (suseconds_t)(delay_ms % 1000 * 1000),
    };
    event_add(&timer->event, &delay);
}

void loop_timer_stop(struct loop_timer *timer)
{
    event_del(&timer->event);
}

void loop_deadline_add(struct loop *loop, struct loop_deadline *deadline)
{
    if (list_empty(&loop->deadlines)) {
        loop_timer_start(&loop->deadline_timer, DEADLINE_PERIOD_MS);
    }
    list_push_back(&loop->deadlines, &deadline->node);
}

void loop_deadline_remove(struct loop *loop, struct loop_deadline *deadline)
{
    list_remove(&deadline->node);
    if (list_empty(&loop->deadlines)) {
        loop_timer_stop(&loop->deadline_timer);
    }
}
