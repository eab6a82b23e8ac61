// SPDX-License-Identifier: Apache-2.0
// A pool of one worker: all that its records need from each other stays in one thread.
//
// The ready set is a bit for each record, looked through in a circle in topological order: so a message is followed down the graph,
// and nobody starves. A record is
//
//     idle ──marked──▶ queued ──taken──▶ running ──done, marked again by whoever woke it meanwhile──▶ queued
//       ▲                                   └──its conditions do not hold──▶ idle
//
// where "marked" is one plain write by this worker. Others put the record into the inbox (its `state` says whether it is in there)
// and wake the worker; the worker moves it to the ready set.
#include "base/clock.h"
#include "base/list.h"
#include "graph/fence.h"
#include "graph/resource.h"
#include "graph/worker_private.h"

// ---- from others ----

// The worker goes from asleep to awake at the hand of exactly one: who does it sees to its token. The token is added first, so
// that there is no moment in which the worker is awake and not counted.
void solo_kick(struct worker *w)
{
    struct run *run = w->pool->run;
    // Either this sees the worker asleep, or the worker, before it sleeps, sees what was put there for it.
    sleep_fence();
    uint32_t idle = atomic_load_explicit(&w->idle, memory_order_relaxed);
    if (idle == WORKER_AWAKE) {
        return;
    }
    bool needs_token = idle == WORKER_ASLEEP;
    if (needs_token) {
        token_add(run);
    }
    if (atomic_compare_exchange_strong_explicit(&w->idle, &idle, WORKER_AWAKE, memory_order_acq_rel,
                                                memory_order_relaxed)) {
        parking_wake(&w->parking);
    } else if (needs_token) {
        token_release(run); // it woke by itself; not the last: the caller has one
    }
}

void solo_post(struct pool *pool, struct nrd_compute *exec)
{
    if (atomic_exchange_explicit(&exec->state, EXEC_NOTIFIED, memory_order_acq_rel) == EXEC_IDLE) {
        queue_push(&pool->inbox, &exec->link);
        solo_kick(&pool->workers[0]);
    }
}

// ---- the worker ----

static bool take_inbox(struct pool *pool)
{
    bool any = false;
    struct queue_node *node;
    while ((node = queue_pop(&pool->inbox)) != NULL) {
        struct nrd_compute *exec = CONTAINER_OF(node, struct nrd_compute, link);
        // From here on a wake posts it again: what it is about is seen by the look that follows, or posts anew.
        atomic_exchange_explicit(&exec->state, EXEC_IDLE, memory_order_acq_rel);
        solo_mark(pool, exec->slot);
        any = true;
    }
    return any;
}

static bool fire_timers(struct pool *pool)
{
    if (pool->timers.count == 0) {
        return false;
    }
    bool any = false;
    int64_t now = pool_now(pool);
    struct nrd_compute *exec;
    while ((exec = timers_take_due(&pool->timers, now)) != NULL) {
        solo_mark(pool, exec->slot);
        any = true;
    }
    return any;
}

// The next of the ready set from the cursor on, in a circle; NULL: none is ready.
static struct nrd_compute *take_ready(struct pool *pool)
{
    uint32_t word = pool->cursor / 64;
    uint64_t bits = pool->ready[word] & (~(uint64_t)0 << pool->cursor % 64);
    for (uint32_t i = 0; i <= pool->ready_words; i++) {
        if (bits != 0) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(bits);
            pool->ready[word] &= ~((uint64_t)1 << slot % 64);
            pool->cursor = slot + 1;
            if (pool->cursor >= pool->exec_count) {
                pool->cursor = 0;
            }
            return pool->execs[slot];
        }
        word = word + 1 == pool->ready_words ? 0 : word + 1;
        bits = pool->ready[word];
    }
    return NULL;
}

static void run_record(struct worker *w, struct nrd_compute *exec)
{
    struct pool *pool = w->pool;
    if (exec->retired || !exec_prepare(exec, w)) {
        return;
    }
    timers_cancel(&pool->timers, exec);
    int64_t target = 0;
    enum nrd_condition_state state = exec_look(exec, &target);
    exec_hold_event(exec, state == NRD_CONDITION_WAIT_EVENT);
    switch (state) {
    case NRD_CONDITION_READY:
        if (exec_execute(exec)) {
            solo_mark(pool, exec->slot); // the next look is the next time round
        }
        break;
    case NRD_CONDITION_WAIT_TIME:
        timers_set(&pool->timers, exec, target);
        break;
    case NRD_CONDITION_NEVER:
        exec->retired = true;
        break;
    case NRD_CONDITION_WAIT:
    case NRD_CONDITION_WAIT_EVENT:
        break;
    }
}

// The run entered another phase: everybody looks again.
static void take_phase(struct worker *w, uint32_t phase)
{
    w->seen_phase = phase;
    for (uint32_t i = 0; i < w->pool->exec_count; i++) {
        solo_mark(w->pool, i);
    }
}

static bool something_came(const struct worker *w)
{
    return !queue_is_empty(&w->pool->inbox) ||
           atomic_load_explicit(&w->pool->run->phase, memory_order_relaxed) != w->seen_phase;
}

// Looks for work without sleeping, for as long as the pool's `spin` says. True: something came.
static bool spin(struct worker *w)
{
    if (w->pool->spin <= 0) {
        return false;
    }
    uint64_t end = clock_now_ns() + (uint64_t)w->pool->spin;
    do {
        for (int i = 0; i < 32; i++) {
            if (something_came(w)) {
                return true;
            }
            __builtin_ia32_pause();
        }
        if (fire_timers(w->pool)) {
            return true;
        }
    } while (clock_now_ns() < end);
    return false;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a == 0 ? b : b == 0 || a < b ? a : b;
}

// Sleeps until something comes. False: the run is over.
static bool sleep_until_woken(struct worker *w)
{
    struct pool *pool = w->pool;
    struct run *run = pool->run;
    int64_t top = atomic_load_explicit(&pool->timers.top, memory_order_relaxed);
    // A clock that jumps is asked for its timers when the run is out of tokens.
    bool keeps = top != INT64_MAX && !pool->jumps;
    uint32_t asleep = keeps ? WORKER_ASLEEP_WITH_TOKEN : WORKER_ASLEEP;
    atomic_exchange_explicit(&w->idle, asleep, memory_order_seq_cst);
    if (!something_came(w)) {
        if (!keeps) {
            token_release(run);
        }
        uint64_t deadline = keeps ? pool_deadline(pool, top) : 0;
        if (run->lead == w) {
            deadline = earlier(deadline, run_alarm_time(run));
        }
        parking_wait(&w->parking, deadline);
        uint32_t before = atomic_exchange_explicit(&w->idle, WORKER_AWAKE, memory_order_acq_rel);
        if (before == WORKER_ASLEEP) {
            return token_try_acquire(run); // nobody saw to it
        }
        return true;
    }
    if (atomic_exchange_explicit(&w->idle, WORKER_AWAKE, memory_order_acq_rel) == WORKER_AWAKE &&
        !keeps) {
        token_release(run); // somebody brought another one meanwhile
    }
    return true;
}

void solo_run(struct worker *w)
{
    struct pool *pool = w->pool;
    struct run *run = pool->run;
    for (;;) {
        uint32_t phase = atomic_load_explicit(&run->phase, memory_order_acquire);
        if (phase != w->seen_phase) {
            if (phase == RUN_OVER) {
                return;
            }
            take_phase(w, phase);
        }
        take_inbox(pool);
        fire_timers(pool);
        if (run->lead == w) {
            uint64_t alarm = run_alarm_time(run);
            if (alarm != 0 && clock_now_ns() >= alarm) {
                run_alarm(run);
            }
        }
        struct nrd_compute *exec = take_ready(pool);
        if (exec != NULL) {
            run_record(w, exec);
        } else if (!spin(w) && !sleep_until_woken(w)) {
            return;
        }
    }
}
