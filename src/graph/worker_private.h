// SPDX-License-Identifier: Apache-2.0
// What worker.c shares with the two kinds of pools: worker_solo.c (one worker) and worker_shared.c (several).
#ifndef NEREID_GRAPH_WORKER_PRIVATE_H
#define NEREID_GRAPH_WORKER_PRIVATE_H

#include "graph/worker.h"

// Starts the record if it has not been. False: it failed, and the run is over.
bool exec_prepare(struct nrd_compute *exec, struct worker *w);
// One compute with what goes around it. False: it failed, and the run is over.
bool exec_execute(struct nrd_compute *exec);
// Keeps the run alive while an event is outstanding, or no longer.
void exec_hold_event(struct nrd_compute *exec, bool hold);
// When `time` of the pool's clock comes on clock_now_ns(); 0: never by itself, or `time` is INT64_MAX.
uint64_t pool_deadline(const struct pool *pool, int64_t time);

void solo_run(struct worker *w);
void solo_kick(struct worker *w);
void solo_post(struct pool *pool, struct nrd_compute *exec);
static inline void solo_mark(struct pool *pool, uint32_t slot)
{
    pool->ready[slot / 64] |= (uint64_t)1 << slot % 64;
}

void shared_run(struct worker *w);
void shared_kick(struct pool *pool);
void shared_wake(struct pool *pool, struct nrd_compute *exec, struct worker *by);

#endif
