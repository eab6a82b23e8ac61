// SPDX-License-Identifier: Apache-2.0
// A pool of several workers, which share a queue of ready records. A record's `state`:
//
//            wake: queued by whoever woke it              taken by a worker
//     IDLE ────────────────────────────────▶ NOTIFIED ─────────────────────▶ RUNNING
//       ▲                                    (queued)                          │  │
//       └───────── its conditions do not hold (compare-and-swap) ──────────────┘  │ wake, or ready again
//                                            NOTIFIED ◀───────────────────────────┘
//                                            (dirty: its worker looks again, or queues it)
//
// Every change is one atomic exchange, so that a wake is either seen by the look that follows it or makes another look happen.
//
// A worker whose computes are known to be short (their last EXEC_SHORTS all were) runs what they make ready itself: waking another
// thread would cost more than it gains. It wakes one when there is more than it will soon have done, or before a compute that may
// be long, when something is queued or a timer is set that nobody keeps. Nobody is woken while some worker is awake and about to look (`searching`); that one wakes the next when it has found
// something.
#include "base/clock.h"
#include "graph/compute.h"
#include "graph/fence.h"
#include "graph/resource.h"
#include "graph/worker_private.h"

enum {
    NEXT_IN_A_ROW = 32, // then the queue has its turn
    SHORT_NS = 10000,   // a compute below that is short
    BACKLOG_MAX = 8,    // short computes that are not worth another thread
    TIMERS_AT_ONCE = 64,
};

// ---- waking ----

// Under the lock: takes a sleeper off the stack and gives it a token.
static void give(struct pool *pool, struct worker *w)
{
    for (uint32_t i = pool->sleeper_count; i-- > 0;) {
        if (pool->sleepers[i] == w) {
            for (uint32_t j = i + 1; j < pool->sleeper_count; j++) {
                pool->sleepers[j - 1] = pool->sleepers[j];
            }
            pool->sleeper_count--;
            break;
        }
    }
    atomic_store_explicit(&pool->sleeping, pool->sleeper_count, memory_order_relaxed);
    if (!w->keeps_token) {
        token_add(pool->run);
    }
    w->given = true;
}

// Under the lock: takes a sleeper that shall look around, rather one that does not keep the time. NULL: nobody sleeps.
static struct worker *rouse(struct pool *pool)
{
    if (pool->sleeper_count == 0) {
        return NULL;
    }
    struct worker *w = pool->sleepers[pool->sleeper_count - 1];
    for (uint32_t i = pool->sleeper_count; w->keeps_token && i-- > 0;) {
        w = pool->sleepers[i]->keeps_token ? w : pool->sleepers[i];
    }
    give(pool, w);
    w->searching = true;
    atomic_fetch_add_explicit(&pool->searching, 1, memory_order_seq_cst);
    return w;
}

void shared_kick(struct pool *pool)
{
    // Either this sees that a worker sleeps, or that worker, before it sleeps, sees what was put there for it.
    sleep_fence();
    if (atomic_load_explicit(&pool->sleeping, memory_order_relaxed) == 0 ||
        atomic_load_explicit(&pool->searching, memory_order_relaxed) != 0) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    struct worker *w = rouse(pool);
    pthread_mutex_unlock(&pool->lock);
    if (w != NULL) {
        parking_wake(&w->parking);
    }
}

// Before a compute that may be long: what is queued, and timers that no sleeper keeps, must not wait for it. Whoever is woken for a
// timer alone finds nothing, and lies down as the one who keeps it.
static void hand_over(struct pool *pool)
{
    if (!ready_is_empty(&pool->queue)) {
        shared_kick(pool);
        return;
    }
    if (pool->jumps || atomic_load_explicit(&pool->timers.top, memory_order_relaxed) == INT64_MAX) {
        return;
    }
    struct worker *w = NULL;
    pthread_mutex_lock(&pool->lock);
    if (atomic_load_explicit(&pool->timers.top, memory_order_relaxed) < pool->kept_time &&
        atomic_load_explicit(&pool->searching, memory_order_relaxed) == 0) {
        w = rouse(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    if (w != NULL) {
        parking_wake(&w->parking);
    }
}

// Queues a record; `by` is the worker that does it, NULL: somebody else.
static void queue_record(struct pool *pool, struct nrd_compute *exec, const struct worker *by)
{
    bool is_short = exec->long_computes == 0; // once it is queued, it may be another's
    ready_push(&pool->queue, exec);
    if (by != NULL && by->pool == pool && by->soon && is_short &&
        ready_count(&pool->queue) <= BACKLOG_MAX) {
        return; // the worker comes to it before it sleeps
    }
    shared_kick(pool);
}

void shared_wake(struct pool *pool, struct nrd_compute *exec, struct worker *by)
{
    if (atomic_exchange_explicit(&exec->state, EXEC_NOTIFIED, memory_order_acq_rel) != EXEC_IDLE) {
        return;
    }
    if (by != NULL && by->pool == pool && by->next == NULL && by->soon &&
        (by->next_uses < NEXT_IN_A_ROW || ready_is_empty(&pool->queue))) {
        by->next = exec;
    } else {
        queue_record(pool, exec, by);
    }
}

// ---- one record ----

static void set_timer(struct pool *pool, struct nrd_compute *exec, int64_t time)
{
    pthread_mutex_lock(&pool->lock);
    timers_set(&pool->timers, exec, time);
    pthread_mutex_unlock(&pool->lock);
}

static void cancel_timer(struct pool *pool, struct nrd_compute *exec)
{
    if (!exec->is_timed) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    timers_cancel(&pool->timers, exec);
    pthread_mutex_unlock(&pool->lock);
}

static bool execute(struct worker *w, struct nrd_compute *exec)
{
    struct pool *pool = w->pool;
    uint64_t began = w->clock != 0 ? w->clock : clock_now_ns();
    w->soon = exec->long_computes == 0;
    if (!w->soon) {
        hand_over(pool);
    }
    bool went_well = exec_execute(exec);
    w->soon = true;
    w->clock = clock_now_ns();
    if (w->clock - began >= SHORT_NS) {
        exec->long_computes = EXEC_SHORTS;
    } else if (exec->long_computes != 0) {
        exec->long_computes--;
    }
    return went_well;
}

static void run_record(struct worker *w, struct nrd_compute *exec)
{
    struct pool *pool = w->pool;
    bool executed = false;
    for (;;) {
        atomic_exchange_explicit(&exec->state, EXEC_RUNNING, memory_order_acq_rel);
        if (exec->retired || !exec_prepare(exec, w)) {
            return; // stays RUNNING: nobody queues it again
        }
        cancel_timer(pool, exec);
        int64_t target = 0;
        enum nrd_condition_state state = exec_look(exec, &target);
        exec_hold_event(exec, state == NRD_CONDITION_WAIT_EVENT);
        if (state == NRD_CONDITION_NEVER) {
            exec->retired = true;
            return;
        }
        if (state == NRD_CONDITION_READY) {
            if (executed) {
                // Others have their turn first.
                atomic_store_explicit(&exec->state, EXEC_NOTIFIED, memory_order_release);
                queue_record(pool, exec, w);
                return;
            }
            if (!execute(w, exec)) {
                return;
            }
            executed = true;
            continue;
        }
        if (state == NRD_CONDITION_WAIT_TIME) {
            set_timer(pool, exec, target);
        }
        uint32_t running = EXEC_RUNNING;
        if (atomic_compare_exchange_strong_explicit(&exec->state, &running, EXEC_IDLE,
                                                    memory_order_acq_rel, memory_order_relaxed)) {
            return;
        }
    }
}

// ---- the worker ----

static void fire_timers(struct pool *pool)
{
    int64_t top = atomic_load_explicit(&pool->timers.top, memory_order_relaxed);
    if (top == INT64_MAX) {
        return;
    }
    int64_t now = pool_now(pool);
    if (now < top) {
        return;
    }
    struct nrd_compute *due[TIMERS_AT_ONCE];
    uint32_t count = 0;
    pthread_mutex_lock(&pool->lock);
    while (count < TIMERS_AT_ONCE && (due[count] = timers_take_due(&pool->timers, now)) != NULL) {
        count++;
    }
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < count; i++) {
        shared_wake(pool, due[i], NULL);
    }
}

static void end_search(struct worker *w)
{
    if (w->searching) {
        w->searching = false;
        atomic_fetch_sub_explicit(&w->pool->searching, 1, memory_order_seq_cst);
    }
}

static struct nrd_compute *take_ready(struct worker *w)
{
    if (w->next != NULL) {
        struct nrd_compute *exec = w->next;
        w->next = NULL;
        w->next_uses++;
        return exec;
    }
    w->next_uses = 0;
    struct nrd_compute *exec = ready_pop(&w->pool->queue);
    if (exec != NULL && w->searching) {
        end_search(w);
        if (!ready_is_empty(&w->pool->queue)) {
            shared_kick(w->pool); // those who saw that somebody searches did not wake anyone
        }
    }
    return exec;
}

static bool something_came(const struct worker *w)
{
    const struct pool *pool = w->pool;
    return !ready_is_empty(&pool->queue) ||
           atomic_load_explicit(&pool->run->phase, memory_order_relaxed) !=
               atomic_load_explicit(&pool->seen_phase, memory_order_relaxed);
}

static bool spin(struct worker *w)
{
    struct pool *pool = w->pool;
    w->clock = 0;
    if (pool->spin <= 0) {
        return false;
    }
    if (!w->searching) {
        w->searching = true;
        atomic_fetch_add_explicit(&pool->searching, 1, memory_order_seq_cst);
    }
    uint64_t end = clock_now_ns() + (uint64_t)pool->spin;
    do {
        for (int i = 0; i < 32; i++) {
            if (something_came(w)) {
                return true;
            }
            __builtin_ia32_pause();
        }
        fire_timers(pool);
    } while (clock_now_ns() < end);
    return false;
}

// Under the lock: goes to sleep, as the one who keeps the time if nobody keeps the earliest.
static void lie_down(struct worker *w)
{
    struct pool *pool = w->pool;
    int64_t top = atomic_load_explicit(&pool->timers.top, memory_order_relaxed);
    w->given = false;
    w->keeps_token = top != INT64_MAX && !pool->jumps && top < pool->kept_time;
    w->keeps_time = w->keeps_token ? top : INT64_MAX;
    if (w->keeps_token) {
        pool->kept_time = top;
    }
    pool->sleepers[pool->sleeper_count++] = w;
    atomic_store_explicit(&pool->sleeping, pool->sleeper_count, memory_order_seq_cst);
}

// Under the lock: no longer keeps the time.
static void stop_keeping(struct worker *w)
{
    struct pool *pool = w->pool;
    if (w->keeps_token && pool->kept_time == w->keeps_time) {
        pool->kept_time = INT64_MAX;
        for (uint32_t i = 0; i < pool->sleeper_count; i++) {
            const struct worker *other = pool->sleepers[i];
            if (other != w && other->keeps_token && other->keeps_time < pool->kept_time) {
                pool->kept_time = other->keeps_time;
            }
        }
    }
}

// Awake again, by itself or by another. True: it has a token.
static bool get_up(struct worker *w, bool had_released)
{
    struct pool *pool = w->pool;
    pthread_mutex_lock(&pool->lock);
    bool given = w->given;
    if (!given) {
        bool kept = w->keeps_token;
        w->keeps_token = true; // give() shall add none: what it needs is seen to below
        give(pool, w);
        w->keeps_token = kept;
    }
    stop_keeping(w);
    bool kept = w->keeps_token;
    w->keeps_token = false;
    w->given = false;
    pthread_mutex_unlock(&pool->lock);
    if (!had_released) {
        if (given && !kept) {
            token_release(pool->run); // its own, of the two it has now
        }
        return true;
    }
    return given || kept || token_try_acquire(pool->run);
}

static bool sleep_until_woken(struct worker *w)
{
    struct pool *pool = w->pool;
    end_search(w);
    pthread_mutex_lock(&pool->lock);
    lie_down(w);
    bool keeps = w->keeps_token;
    uint64_t deadline = pool_deadline(pool, w->keeps_time);
    pthread_mutex_unlock(&pool->lock);
    sleep_fence();
    if (something_came(w)) {
        return get_up(w, false);
    }
    if (!keeps) {
        token_release(pool->run);
    }
    parking_wait(&w->parking, deadline);
    w->clock = 0;
    return get_up(w, true);
}

// The run entered another phase: everybody looks again. One worker sees to it.
static void take_phase(struct pool *pool, uint32_t phase)
{
    uint32_t before = atomic_exchange_explicit(&pool->seen_phase, phase, memory_order_acq_rel);
    for (uint32_t i = 0; before != phase && i < pool->exec_count; i++) {
        shared_wake(pool, pool->execs[i], NULL);
    }
}

void shared_run(struct worker *w)
{
    struct pool *pool = w->pool;
    for (;;) {
        uint32_t phase = atomic_load_explicit(&pool->run->phase, memory_order_acquire);
        if (phase == RUN_OVER) {
            return;
        }
        if (phase != atomic_load_explicit(&pool->seen_phase, memory_order_relaxed)) {
            take_phase(pool, phase);
        }
        fire_timers(pool);
        struct nrd_compute *exec = take_ready(w);
        if (exec != NULL) {
            run_record(w, exec);
        } else if (!spin(w) && !sleep_until_woken(w)) {
            return;
        }
    }
}
