// SPDX-License-Identifier: Apache-2.0
// Timers of a pool: a binary heap of records by the time they wait for. Not safe by itself; `top` may be read by any thread.
#ifndef NEREID_GRAPH_TIMERS_H
#define NEREID_GRAPH_TIMERS_H

#include <stdatomic.h>
#include <stdint.h>

struct nrd_compute;

struct timers {
    struct nrd_compute **heap; // room for all of the pool's records
    uint32_t count;
    _Atomic int64_t top; // the earliest time; INT64_MAX: none
};

void timers_init(struct timers *t, struct nrd_compute **room);
void timers_set(struct timers *t, struct nrd_compute *exec, int64_t time); // it has none
void timers_cancel(struct timers *t, struct nrd_compute *exec); // nothing when it has none
// Takes the earliest out if it is due; NULL: none is.
struct nrd_compute *timers_take_due(struct timers *t, int64_t now);

#endif
