// SPDX-License-Identifier: Apache-2.0
// Latency: counts of durations in buckets that grow with them, so that fixed memory gives percentiles of a known error.
//
// Durations below 128 ns have a bucket each; above, each power of two has 64 buckets. A percentile is the middle of
// its bucket, held within the least and the greatest that were counted: at most 1/128 (0.8 %) off. 2^47 ns (39 hours) and more
// share the last bucket. One thread counts, any may read meanwhile: each number is exact, not the set of them.
#ifndef NEREID_GRAPH_LATENCY_H
#define NEREID_GRAPH_LATENCY_H

#include <stdatomic.h>
#include <stdint.h>

#define LATENCY_LINEAR 128 // a power of two; one bucket a nanosecond below it
#define LATENCY_STEPS 64   // buckets of each power of two from there on
#define LATENCY_BUCKETS (LATENCY_LINEAR + (47 - 7) * LATENCY_STEPS)

struct latency {
    _Atomic uint64_t count;
    _Atomic int64_t min_ns, max_ns; // meaningless while count is 0
    _Atomic int64_t sum_ns;
    _Atomic uint64_t min_number,
        max_number; // the number of the duration that was the least (the greatest)
    _Atomic uint64_t buckets[LATENCY_BUCKETS];
};

// All zero is empty; this makes it so again. Thread: owner.
void latency_clear(struct latency *l);
// A negative duration (a clock that was set back) counts as 0. Thread: owner.
void latency_add(struct latency *l, int64_t ns);
// The least duration that `share` (0..1) of all do not exceed; 0 when nothing was counted. Thread: any.
int64_t latency_percentile(const struct latency *l, double share);
// 0 when nothing was counted. Thread: any.
int64_t latency_mean(const struct latency *l);

#endif
