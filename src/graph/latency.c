// SPDX-License-Identifier: Apache-2.0
// Latency: see the head of latency.h for the buckets and their error.
// There is one writer, so its updates are a relaxed load and a relaxed store: no locked instruction on a hop.
#include "graph/latency.h"

#include <math.h>

enum { LINEAR_BITS = 7, STEP_BITS = 6 };

#define LOAD(at) atomic_load_explicit(&(at), memory_order_relaxed)
#define STORE(at, value) atomic_store_explicit(&(at), (value), memory_order_relaxed)

static uint32_t bucket_of(uint64_t ns)
{
    if (ns < LATENCY_LINEAR) {
        return (uint32_t)ns;
    }
    uint32_t power = 63u - (uint32_t)__builtin_clzll(ns);
    uint32_t step = (uint32_t)(ns >> (power - STEP_BITS)) & (LATENCY_STEPS - 1);
    uint32_t bucket = LATENCY_LINEAR + (power - LINEAR_BITS) * LATENCY_STEPS + step;
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

static int64_t middle_of(uint32_t bucket)
{
    if (bucket < LATENCY_LINEAR) {
        return bucket;
    }
    uint32_t power = LINEAR_BITS + (bucket - LATENCY_LINEAR) / LATENCY_STEPS;
    uint64_t step = (bucket - LATENCY_LINEAR) % LATENCY_STEPS;
    uint64_t width = 1ull << (power - STEP_BITS);
    return (int64_t)((1ull << power) + step * width + width / 2);
}

void latency_clear(struct latency *l)
{
    STORE(l->count, 0);
    STORE(l->min_ns, 0);
    STORE(l->max_ns, 0);
    STORE(l->sum_ns, 0);
    STORE(l->min_number, 0);
    STORE(l->max_number, 0);
    for (uint32_t i = 0; i < LATENCY_BUCKETS; i++) {
        STORE(l->buckets[i], 0);
    }
}

void latency_add(struct latency *l, int64_t ns)
{
    ns = ns < 0 ? 0 : ns;
    uint64_t number = LOAD(l->count) + 1;
    if (number == 1 || ns < LOAD(l->min_ns)) {
        STORE(l->min_ns, ns);
        STORE(l->min_number, number);
    }
    if (number == 1 || ns > LOAD(l->max_ns)) {
        STORE(l->max_ns, ns);
        STORE(l->max_number, number);
    }
    STORE(l->sum_ns, LOAD(l->sum_ns) + ns);
    uint32_t bucket = bucket_of((uint64_t)ns);
    STORE(l->buckets[bucket], LOAD(l->buckets[bucket]) + 1);
    STORE(l->count, number);
}

int64_t latency_percentile(const struct latency *l, double share)
{
    uint64_t count = LOAD(l->count);
    if (count == 0) {
        return 0;
    }
    double wanted = ceil(share * (double)count);
    uint64_t rank = wanted < 1 ? 1 : wanted > (double)count ? count : (uint64_t)wanted;
    int64_t least = LOAD(l->min_ns);
    int64_t greatest = LOAD(l->max_ns);
    if (rank == 1 || rank == count) {
        return rank == 1 ? least : greatest;
    }
    uint64_t seen = 0;
    for (uint32_t i = 0; i < LATENCY_BUCKETS; i++) {
        seen += LOAD(l->buckets[i]);
        if (seen >= rank) {
            int64_t middle = i == LATENCY_BUCKETS - 1 ? greatest : middle_of(i);
            return middle < least ? least : middle > greatest ? greatest : middle;
        }
    }
    return greatest;
}

int64_t latency_mean(const struct latency *l)
{
    uint64_t count = LOAD(l->count);
    return count == 0 ? 0 : LOAD(l->sum_ns) / (int64_t)count;
}
