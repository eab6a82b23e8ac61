// SPDX-License-Identifier: Apache-2.0
// ManualClock and SyntheticClock: time that does not pass by itself.
// A manual clock jumps to the next time that somebody waits for when nothing else can happen: an hour of periodic ticks is over as
// fast as it computes. A synthetic clock stands still until nrd_clock_advance().
#include <stdatomic.h>

#include "graph/resources/classes.h"

struct manual_clock {
    int64_t initial_ns;
    _Atomic int64_t now_ns;
};

static const struct nrd_param PARAMS[] = {
    {"initial_timestamp", NRD_PARAM_INT, 0, offsetof(struct manual_clock, initial_ns), "0",
     .unit = "ns", .help = "The clock's time when it is added."},
    {0},
};

static struct nrd_status *create(struct nrd_resource *resource, void *self)
{
    (void)resource;
    struct manual_clock *clock = self;
    atomic_store_explicit(&clock->now_ns, clock->initial_ns, memory_order_relaxed);
    return NULL;
}

static int64_t now(const void *self)
{
    const struct manual_clock *clock = self;
    return atomic_load_explicit(&clock->now_ns, memory_order_acquire);
}

static uint64_t deadline(const void *self, int64_t target)
{
    (void)self;
    (void)target;
    return 0;
}

// Never back: of two that jump at once, the later time stays.
static void jump(void *self, int64_t target)
{
    struct manual_clock *clock = self;
    int64_t seen = atomic_load_explicit(&clock->now_ns, memory_order_relaxed);
    while (seen < target &&
           !atomic_compare_exchange_weak_explicit(&clock->now_ns, &seen, target,
                                                  memory_order_acq_rel, memory_order_relaxed)) {
    }
}

static void advance(void *self, int64_t by)
{
    struct manual_clock *clock = self;
    atomic_fetch_add_explicit(&clock->now_ns, by, memory_order_acq_rel);
}

static const struct clock_ops MANUAL = {
    .now = now, .deadline = deadline, .jump = jump, .advance = advance};
static const struct clock_ops SYNTHETIC = {.now = now, .deadline = deadline, .advance = advance};

const struct resource_class resource_manual_clock = {
    .type = "ManualClock",
    .kind = "clock",
    .state_size = sizeof(struct manual_clock),
    .params = PARAMS,
    .create = create,
    .ops = &MANUAL,
};

const struct resource_class resource_synthetic_clock = {
    .type = "SyntheticClock",
    .kind = "clock",
    .state_size = sizeof(struct manual_clock),
    .params = PARAMS,
    .create = create,
    .ops = &SYNTHETIC,
};
