// SPDX-License-Identifier: Apache-2.0
// RealtimeClock: the time that passes, from an offset on and at a scale. It begins when it is added:
//   now = initial_time_offset (+ time since the epoch) + passed * initial_time_scale
#include "base/clock.h"
#include "graph/resources/classes.h"

struct realtime_clock {
    double offset_s;
    double scale;
    bool since_epoch;
    int64_t origin_ns; // of this clock, at `began`
    uint64_t began;    // on clock_now_ns()
};

static const struct nrd_param PARAMS[] = {
    {"initial_time_offset", NRD_PARAM_REAL, 0, offsetof(struct realtime_clock, offset_s), "0.0",
     .min = -9e9, .max = 9e9, .unit = "s", .help = "The clock's time when it is added."},
    {"initial_time_scale", NRD_PARAM_REAL, 0, offsetof(struct realtime_clock, scale), "1.0",
     .min = 1e-6, .max = 1e6, .help = "How fast it runs; 2 is twice as fast."},
    {"use_time_since_epoch", NRD_PARAM_BOOL, 0, offsetof(struct realtime_clock, since_epoch),
     "false", .help = "Adds the time since 1970 to the offset."},
    {0},
};

static struct nrd_status *create(struct nrd_resource *resource, void *self)
{
    (void)resource;
    struct realtime_clock *clock = self;
    clock->began = clock_now_ns();
    clock->origin_ns = (int64_t)(clock->offset_s * 1e9);
    if (clock->since_epoch) {
        clock->origin_ns += (int64_t)clock_wall_ns();
    }
    return NULL;
}

static int64_t now(const void *self)
{
    const struct realtime_clock *clock = self;
    uint64_t passed = clock_now_ns() - clock->began;
    return clock->origin_ns +
           (clock->scale == 1.0 ? (int64_t)passed : (int64_t)((double)passed * clock->scale));
}

static uint64_t deadline(const void *self, int64_t target)
{
    const struct realtime_clock *clock = self;
    int64_t wait = target - clock->origin_ns;
    if (wait <= 0) {
        return clock->began;
    }
    // One nanosecond more, so that rounding never wakes anybody too early.
    return clock->began +
           (clock->scale == 1.0 ? (uint64_t)wait : (uint64_t)((double)wait / clock->scale) + 1);
}

static const struct clock_ops OPS = {.now = now, .deadline = deadline};

const struct resource_class resource_realtime_clock = {
    .type = "RealtimeClock",
    .kind = "clock",
    .state_size = sizeof(struct realtime_clock),
    .params = PARAMS,
    .create = create,
    .ops = &OPS,
};
