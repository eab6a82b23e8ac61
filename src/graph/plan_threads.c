// SPDX-License-Identifier: Apache-2.0
// Who runs what. Each fragment has its scheduler's own threads, which share the operators that are in no thread pool: one for
// the greedy scheduler, worker_thread_number for the others. A thread pool with pinned operators becomes a pool of one worker
// for each of the threads that they are spread over, and a pool of the remaining threads for those that are not pinned.
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "graph/plan_build.h"
#include "graph/resource.h"
#include "graph/worker.h"

// Adds a pool of `workers` threads with room for all records.
static struct nrd_status *add_pool(struct plan *plan, struct nrd_fragment *f, const char *name,
                                   uint32_t workers, struct pool **pool)
{
    struct pool *made = mem_aligned(CACHE_LINE, sizeof(*made));
    if (made == NULL) {
        return status_no_memory();
    }
    memset(made, 0, sizeof(*made));
    size_t bytes = workers * sizeof(*made->workers);
    made->workers = mem_aligned(CACHE_LINE, bytes);
    made->execs = arena_calloc(&plan->arena, plan->exec_count + 1, sizeof(*made->execs));
    if (made->workers == NULL || made->execs == NULL) {
        mem_free(made->workers);
        mem_free(made);
        return status_no_memory();
    }
    memset(made->workers, 0, bytes);
    made->run = plan->app->run;
    made->fragment = f;
    made->name = name;
    made->worker_count = workers;
    made->spin = f->options.spin;
    if (f->options.clock != NULL) {
        made->clock = f->options.clock->class->ops;
        made->clock_self = f->options.clock->state;
        made->jumps = made->clock->jump != NULL;
    }
    for (uint32_t i = 0; i < workers; i++) {
        snprintf(made->workers[i].name, sizeof(made->workers[i].name), "%.10s-%hu",
                 name[0] == 0 ? "nereid" : name, (unsigned short)i);
    }
    plan->pools[plan->pool_count++] = made;
    *pool = made;
    return NULL;
}

// In topological order, since records are added in that order.
static void add_record(struct pool *pool, struct nrd_compute *exec)
{
    pool->execs[pool->exec_count++] = exec;
}

// Hands the processors of `pin_cores` out, one a thread, in turn.
static struct nrd_status *pin_workers(struct plan *plan, struct pool *pool,
                                      const struct nrd_int_list *cores)
{
    for (uint32_t i = 0; i < pool->worker_count && cores->count != 0; i++) {
        char *text = arena_alloc(&plan->arena, 24);
        if (text == NULL) {
            return status_no_memory();
        }
        snprintf(text, 24, "%lld", (long long)cores->items[i % cores->count]);
        pool->workers[i].cores = text;
    }
    return NULL;
}

// A thread of its own for pinned operators gets their policy and processors; the first that says something counts.
static void take_options(struct pool *pool, const struct nrd_operator *op)
{
    for (uint32_t i = 0; i < pool->worker_count; i++) {
        struct worker *w = &pool->workers[i];
        if (op->thread.policy != NULL && w->options == NULL) {
            w->options = &op->thread;
        }
        if (op->thread.cores != NULL && w->cores == NULL) {
            w->cores = op->thread.cores;
        }
    }
}

static struct nrd_status *lay_thread_pool(struct plan *plan, const struct nrd_thread_pool *from)
{
    uint32_t pinned = 0;
    for (uint32_t i = 0; i < from->operators.count; i++) {
        pinned += ((const struct nrd_operator *)from->operators.items[i])->thread.pin;
    }
    uint32_t loose = from->operators.count - pinned;
    uint32_t own = pinned; // threads that pinned operators are spread over
    if (own + (loose != 0) > from->threads) {
        own = from->threads > 1 ? from->threads - (loose != 0) : (loose == 0 || pinned != 0);
    }
    uint32_t first = plan->pool_count;
    for (uint32_t i = 0; i < own; i++) {
        struct pool *pool;
        NRD_TRY(add_pool(plan, from->fragment, from->name, 1, &pool));
    }
    struct pool *shared = NULL;
    if (loose != 0 && own < from->threads) {
        NRD_TRY(add_pool(plan, from->fragment, from->name, from->threads - own, &shared));
    } else if (loose != 0) {
        shared = plan->pools[first]; // one thread for all
    }
    uint32_t next = 0;
    for (uint32_t i = 0; i < plan->exec_count; i++) {
        struct nrd_compute *exec = &plan->execs[i];
        if (exec->op->pool == from) {
            struct pool *pool = exec->op->thread.pin ? plan->pools[first + next++ % own] : shared;
            add_record(pool, exec);
            take_options(pool, exec->op);
        }
    }
    return NULL;
}

static struct nrd_status *lay_fragment(struct plan *plan, struct nrd_fragment *f)
{
    bool greedy = f->scheduler == SCHEDULER_GREEDY;
    if (greedy && f->pools.count != 0) {
        LOG_WARN("fragment '%s': the greedy scheduler has one thread: thread pools are not used",
                 f->name);
    }
    uint32_t workers = greedy ? 1 : (uint32_t)f->options.worker_thread_number;
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->operators.count; i++) {
        count += greedy || fragment_op(f, i)->pool == NULL;
    }
    if (count != 0) {
        struct pool *own;
        NRD_TRY(add_pool(plan, f, f->name, workers, &own));
        for (uint32_t i = 0; i < plan->exec_count; i++) {
            struct nrd_compute *exec = &plan->execs[i];
            if (exec->op->fragment == f && (greedy || exec->op->pool == NULL)) {
                add_record(own, exec);
            }
        }
        NRD_TRY(pin_workers(plan, own, &f->options.pin_cores));
    }
    for (uint32_t i = 0; i < f->pools.count && !greedy; i++) {
        NRD_TRY(lay_thread_pool(plan, f->pools.items[i]));
    }
    return NULL;
}

struct nrd_status *plan_lay_threads(struct nrd_app *app, struct plan *plan)
{
    size_t most = 1;
    for (uint32_t i = 0; i < app->fragments.count; i++) {
        const struct nrd_fragment *f = app->fragments.items[i];
        most += 1 + f->operators.count + f->pools.count;
    }
    plan->pools = arena_calloc(&plan->arena, most, sizeof(*plan->pools));
    if (plan->pools == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 0; i < app->fragments.count; i++) {
        NRD_TRY(lay_fragment(plan, app->fragments.items[i]));
    }
    for (uint32_t i = 0; i < plan->pool_count; i++) {
        NRD_TRY(pool_init(plan->pools[i], &plan->arena));
    }
    return NULL;
}
