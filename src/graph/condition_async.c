// SPDX-License-Identifier: Apache-2.0
// Conditions that others decide: Asynchronous and MemoryAvailable.
//
// Every operator has an asynchronous state, which is one word of its record: the number of times it was set and the state. So
// nrd_operator_async() may be called at any time from any thread, and "compute runs once for an EVENT_DONE" is exact: after the
// compute the word goes to WAIT only if nobody has set it since the look that found EVENT_DONE.
#include "graph/condition_types.h"
#include "graph/resource.h"

enum { ASYNC_BITS = 3, ASYNC_MASK = 7 };

enum nrd_condition_state async_check(struct nrd_compute *exec)
{
    uint64_t word = atomic_load_explicit(&exec->async_word, memory_order_acquire);
    exec->async_seen = word;
    switch ((enum nrd_async_state)(word & ASYNC_MASK)) {
    case NRD_ASYNC_READY:
    case NRD_ASYNC_EVENT_DONE:
        return NRD_CONDITION_READY;
    case NRD_ASYNC_WAIT:
        return NRD_CONDITION_WAIT;
    case NRD_ASYNC_EVENT_WAITING:
        return NRD_CONDITION_WAIT_EVENT;
    case NRD_ASYNC_NEVER:
        return NRD_CONDITION_NEVER;
    }
    return NRD_CONDITION_NEVER;
}

bool async_has_come(const struct nrd_compute *exec)
{
    return (exec->async_seen & ASYNC_MASK) == NRD_ASYNC_EVENT_DONE;
}

void async_executed(struct nrd_compute *exec)
{
    uint64_t word = exec->async_seen;
    if ((word & ASYNC_MASK) == NRD_ASYNC_EVENT_DONE) {
        atomic_compare_exchange_strong_explicit(&exec->async_word, &word,
                                                (word & ~(uint64_t)ASYNC_MASK) | NRD_ASYNC_WAIT,
                                                memory_order_relaxed, memory_order_relaxed);
    }
}

void nrd_operator_async(struct nrd_operator *op, enum nrd_async_state state)
{
    struct nrd_compute *exec = op->exec;
    if (!atomic_load_explicit(&op->fragment->app->running, memory_order_acquire)) {
        op->async_initial = state;
    }
    if (exec == NULL) {
        return;
    }
    uint64_t word = atomic_load_explicit(&exec->async_word, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(
        &exec->async_word, &word, ((word >> ASYNC_BITS) + 1) << ASYNC_BITS | (uint64_t)state,
        memory_order_release, memory_order_relaxed)) {
    }
    exec_wake_outside(exec);
}

// The condition by its name: what it says is the operator's word, which is looked at for every operator.
static enum nrd_condition_state asynchronous_check(struct nrd_condition *c, void *state,
                                                   int64_t now, int64_t *target)
{
    (void)c;
    (void)state;
    (void)now;
    (void)target;
    return NRD_CONDITION_READY;
}

const struct condition_type condition_asynchronous = {
    .name = "AsynchronousCondition",
    .check = asynchronous_check,
};

// ---- MemoryAvailable ----

static const int64_t SETTLE_NS = 100000;

struct memory_state {
    struct nrd_resource *allocator;
    uint64_t min_bytes;
    int64_t min_blocks;
};

static struct nrd_status *memory_prepare(struct nrd_condition *c, void *state)
{
    const struct memory_state *s = state;
    if ((s->min_bytes == 0) == (s->min_blocks == 0)) {
        return status_new(NRD_INVALID_ARG, "it needs one of min_bytes and min_blocks");
    }
    return graph_list_add(c->op->fragment->app, &s->allocator->waiters, c) ? NULL
                                                                           : status_no_memory();
}

static enum nrd_condition_state memory_check(struct nrd_condition *c, void *state, int64_t now,
                                             int64_t *target)
{
    const struct memory_state *s = state;
    (void)c;
    const struct allocator_ops *ops = s->allocator->class->ops;
    if (ops->available == NULL ||
        ops->available(s->allocator->state, s->min_bytes, (uint64_t)s->min_blocks)) {
        return NRD_CONDITION_READY;
    }
    if (ops->settling == NULL || !ops->settling(s->allocator->state)) {
        return NRD_CONDITION_WAIT; // until resource_changed()
    }
    // Memory was given back that a GPU still uses, of which nobody will tell.
    *target = now + SETTLE_NS;
    return NRD_CONDITION_WAIT_TIME;
}

const struct nrd_resource *condition_allocator(const struct nrd_condition *c)
{
    return c->type == &condition_memory_available
               ? ((const struct memory_state *)c->state)->allocator
               : NULL;
}

static const char *const ALLOCATOR_KIND[] = {"allocator", NULL};
static const struct nrd_param MEMORY_PARAMS[] = {
    {.name = "allocator",
     .type = NRD_PARAM_RESOURCE,
     .offset = offsetof(struct memory_state, allocator),
     .choices = ALLOCATOR_KIND,
     .help = "The allocator that must have memory."},
    {.name = "min_bytes",
     .type = NRD_PARAM_BYTES,
     .offset = offsetof(struct memory_state, min_bytes),
     .fallback = "0",
     .unit = "bytes",
     .help = "Bytes that must be there."},
    {.name = "min_blocks",
     .type = NRD_PARAM_INT,
     .offset = offsetof(struct memory_state, min_blocks),
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .help = "Or blocks."},
    {0}};

const struct condition_type condition_memory_available = {
    .name = "MemoryAvailableCondition",
    .is_timed = true,
    .state_size = sizeof(struct memory_state),
    .params = MEMORY_PARAMS,
    .prepare = memory_prepare,
    .check = memory_check,
};

void resource_changed(struct nrd_resource *resource)
{
    for (uint32_t i = 0; i < resource->waiters.count; i++) {
        nrd_condition_notify(resource->waiters.items[i]);
    }
}
