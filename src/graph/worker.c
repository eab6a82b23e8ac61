// SPDX-License-Identifier: Apache-2.0
// What a worker does with one record: start it, look at its conditions, compute, go on or go idle. And how records are woken. The
// loops around it, one for pools of one worker and one for those of several, are in worker_solo.c and worker_shared.c.
#include "graph/worker.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "graph/compute.h"
#include "graph/condition.h"
#include "graph/operator_change.h"
#include "graph/resource.h"
#include "graph/worker_private.h"

int64_t pool_now(const struct pool *pool)
{
    return pool->clock == NULL ? (int64_t)clock_now_ns() : pool->clock->now(pool->clock_self);
}

// ---- conditions ----

// In the order of what counts most.
static unsigned rank(enum nrd_condition_state state)
{
    static const unsigned char RANKS[] = {[NRD_CONDITION_NEVER] = 4,
                                          [NRD_CONDITION_WAIT_EVENT] = 3,
                                          [NRD_CONDITION_WAIT] = 2,
                                          [NRD_CONDITION_WAIT_TIME] = 1,
                                          [NRD_CONDITION_READY] = 0};
    return RANKS[state];
}

// Whether there are messages to deliver, in a run that is to end. One that goes round a cycle would be on its way for ever: for such
// messages alone an operator runs only as often as there could be messages on their way when the stop came.
static bool has_messages(struct nrd_compute *exec)
{
    bool round = false;
    for (uint32_t i = 0; i < exec->flow_count; i++) {
        const struct plan_flow *flow = &exec->flows[i];
        if (!flow->latest && flow_fill(flow) != 0) {
            if (!flow->comes_round) {
                return true;
            }
            round = true;
        }
    }
    return round && exec->count < exec->rounds_end;
}

static enum nrd_condition_state look_at_all(struct nrd_compute *exec, int64_t *target)
{
    int64_t now = exec->is_timed ? pool_now(exec->pool) : 0;
    exec->began_at = now;
    enum nrd_condition_state worst = async_check(exec);
    int64_t latest = INT64_MIN;
    for (uint32_t i = 0; i < exec->condition_count && worst != NRD_CONDITION_NEVER; i++) {
        struct nrd_condition *c = exec->conditions[i];
        int64_t when = now;
        enum nrd_condition_state state = c->type->check(c, c->state, now, &when);
        if (state == NRD_CONDITION_WAIT_TIME && when > latest) {
            latest = when;
        }
        worst = rank(state) > rank(worst) ? state : worst;
    }
    *target = latest;
    return worst;
}

enum nrd_condition_state exec_look(struct nrd_compute *exec, int64_t *target)
{
    if (atomic_load_explicit(&exec->stop_asked, memory_order_relaxed)) {
        return NRD_CONDITION_NEVER;
    }
    uint32_t phase = atomic_load_explicit(&exec->pool->run->phase, memory_order_relaxed);
    if (phase != RUN_DRAINING) {
        return look_at_all(exec, target);
    }
    if (exec->is_source) {
        return NRD_CONDITION_NEVER;
    }
    if (exec->rounds_end == 0) {
        exec->rounds_end = exec->count + exec->plan->room;
    }
    // What is on its way is still delivered, and so is what an operator has asked for elsewhere (a model's answers): an event that is
    // outstanding is waited for, and one that has come lets its operator run. But nothing runs for the sake of time alone.
    enum nrd_condition_state state = look_at_all(exec, target);
    if (state == NRD_CONDITION_NEVER || state == NRD_CONDITION_WAIT_EVENT || has_messages(exec)) {
        return state;
    }
    bool answered = exec->has_own_condition || async_has_come(exec);
    return state == NRD_CONDITION_READY && answered ? state : NRD_CONDITION_WAIT;
}

// ---- one record ----

static void set_status(struct nrd_compute *exec, enum nrd_operator_status status)
{
    atomic_store_explicit(&exec->status, status, memory_order_relaxed);
}

// False: it failed, and the run is over.
static bool start(struct nrd_compute *exec)
{
    struct nrd_operator *op = exec->op;
    set_status(exec, NRD_OPERATOR_START_PENDING);
    struct nrd_status *status = op->class->start == NULL ? NULL : op->class->start(op, exec->self);
    if (status != NULL) {
        exec->retired = true;
        run_fail(exec->pool->run, exec, status);
        return false;
    }
    exec->started = true;
    set_status(exec, NRD_OPERATOR_STARTED);
    return true;
}

static void conditions_executed(struct nrd_compute *exec)
{
    async_executed(exec);
    for (uint32_t i = 0; i < exec->condition_count; i++) {
        struct nrd_condition *c = exec->conditions[i];
        if (c->type->executed != NULL) {
            c->type->executed(c, c->state, exec->began_at);
        }
    }
}

bool exec_execute(struct nrd_compute *exec)
{
    if (atomic_load_explicit(&exec->op->has_changes, memory_order_acquire)) {
        operator_apply_changes(exec->op);
    }
    set_status(exec, NRD_OPERATOR_TICKING);
    struct nrd_status *status = exec_compute(exec);
    if (status != NULL) {
        exec->retired = true;
        run_fail(exec->pool->run, exec, status);
        return false;
    }
    conditions_executed(exec);
    set_status(exec, NRD_OPERATOR_IDLE);
    return true;
}

bool exec_prepare(struct nrd_compute *exec, struct worker *w)
{
    exec->worker = w;
    return exec->started || start(exec);
}

void exec_hold_event(struct nrd_compute *exec, bool hold)
{
    if (hold == exec->holds_event) {
        return;
    }
    exec->holds_event = hold;
    if (hold) {
        token_add(exec->pool->run);
    } else {
        token_release(exec->pool->run); // not the last: the worker has its own
    }
}

// ---- waking ----

void exec_wake(struct nrd_compute *exec, struct worker *by)
{
    struct pool *pool = exec->pool;
    if (pool->solo) {
        if (by != NULL && by->pool == pool) {
            solo_mark(pool, exec->slot);
        } else {
            solo_post(pool, exec);
        }
    } else {
        shared_wake(pool, exec, by);
    }
}

void exec_wake_outside(struct nrd_compute *exec)
{
    struct run *run = exec->pool->run;
    if (!run_enter(run)) {
        return;
    }
    exec_wake(exec, NULL);
    run_leave(run);
}

// ---- pools ----

struct nrd_status *pool_init(struct pool *pool, struct arena *arena)
{
    pool->solo = pool->worker_count == 1;
    uint64_t places = 2;
    while (places < 2 * (uint64_t)pool->exec_count) {
        places *= 2;
    }
    struct nrd_compute **heap = arena_calloc(arena, pool->exec_count + 1, sizeof(*heap));
    pool->ready_words = pool->exec_count / 64 + 1;
    pool->ready = arena_calloc(arena, pool->ready_words, sizeof(uint64_t));
    pool->sleepers = arena_calloc(arena, pool->worker_count, sizeof(struct worker *));
    struct ready_cell *cells = arena_calloc(arena, places, sizeof(*cells));
    if (heap == NULL || pool->ready == NULL || pool->sleepers == NULL || cells == NULL) {
        return status_no_memory();
    }
    timers_init(&pool->timers, heap);
    queue_init(&pool->inbox);
    ready_init(&pool->queue, cells, places);
    for (uint32_t i = 0; i < pool->exec_count; i++) {
        pool->execs[i]->pool = pool;
        pool->execs[i]->slot = i;
    }
    for (uint32_t i = 0; i < pool->worker_count; i++) {
        pool->workers[i].pool = pool;
    }
    return pthread_mutex_init(&pool->lock, NULL) == 0 ? NULL : status_no_memory();
}

void pool_fini(struct pool *pool)
{
    pthread_mutex_destroy(&pool->lock);
}

void pool_reset(struct pool *pool)
{
    timers_init(&pool->timers, pool->timers.heap);
    queue_init(&pool->inbox);
    ready_init(&pool->queue, pool->queue.cells, pool->queue.mask + 1);
    memset(pool->ready, 0, pool->ready_words * sizeof(uint64_t));
    pool->cursor = 0;
    pool->sleeper_count = 0;
    pool->kept_time = INT64_MAX;
    atomic_store(&pool->sleeping, 0);
    atomic_store(&pool->searching, 0);
    atomic_store(&pool->seen_phase, RUN_GOING);
    for (uint32_t i = 0; i < pool->worker_count; i++) {
        struct worker *w = &pool->workers[i];
        w->next = NULL;
        w->next_uses = 0;
        w->soon = true;
        w->clock = 0;
        w->searching = false;
        w->keeps_token = false;
        w->given = false;
        w->keeps_time = INT64_MAX;
        w->seen_phase = RUN_GOING;
        atomic_store(&w->idle, WORKER_AWAKE);
        parking_init(&w->parking);
    }
    // All look once, in topological order.
    for (uint32_t i = 0; i < pool->exec_count; i++) {
        struct nrd_compute *exec = pool->execs[i];
        if (pool->solo) {
            atomic_store(&exec->state, EXEC_IDLE);
            solo_mark(pool, i);
        } else {
            atomic_store(&exec->state, EXEC_NOTIFIED);
            ready_push(&pool->queue, exec);
        }
    }
}

uint64_t pool_deadline(const struct pool *pool, int64_t time)
{
    if (time == INT64_MAX) {
        return 0;
    }
    uint64_t deadline =
        pool->clock == NULL ? (uint64_t)time : pool->clock->deadline(pool->clock_self, time);
    return deadline;
}

void pool_kick(struct pool *pool)
{
    if (pool->solo) {
        solo_kick(&pool->workers[0]);
    } else {
        shared_kick(pool);
    }
}

void worker_run(struct worker *w)
{
    if (w->pool->solo) {
        solo_run(w);
    } else {
        shared_run(w);
    }
}
