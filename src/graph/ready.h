// SPDX-License-Identifier: Apache-2.0
// The ready queue of a pool with several workers: bounded, lock-free, many producers, many consumers, first in first out. A record is
// in it at most once, so with room for all of the pool's records it is never full.
//
// Each cell has a sequence number that says whose turn it is: `at` to fill it for the at-th time, `at + 1` to take it.
#ifndef NEREID_GRAPH_READY_H
#define NEREID_GRAPH_READY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct nrd_compute;

struct ready_cell {
    _Atomic uint64_t sequence;
    struct nrd_compute *exec;
};
struct ready_queue {
    struct ready_cell *cells;
    uint64_t mask;
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic uint64_t tail;
};

// `cells` has `count` places, a power of two.
void ready_init(struct ready_queue *q, struct ready_cell *cells, uint64_t count);
void ready_push(struct ready_queue *q, struct nrd_compute *exec);
struct nrd_compute *ready_pop(struct ready_queue *q); // NULL: empty
bool ready_is_empty(const struct ready_queue *q);
uint64_t ready_count(const struct ready_queue *q); // about

#endif
