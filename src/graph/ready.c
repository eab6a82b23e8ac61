// SPDX-License-Identifier: Apache-2.0
// A bounded queue of many producers and consumers; see ready.h for the cells.
#include "graph/ready.h"

#include <stddef.h>

void ready_init(struct ready_queue *q, struct ready_cell *cells, uint64_t count)
{
    q->cells = cells;
    q->mask = count - 1;
    for (uint64_t i = 0; i < count; i++) {
        atomic_init(&cells[i].sequence, i);
        cells[i].exec = NULL;
    }
    atomic_init(&q->head, 0);
    atomic_init(&q->tail, 0);
}

void ready_push(struct ready_queue *q, struct nrd_compute *exec)
{
    uint64_t at = atomic_load_explicit(&q->tail, memory_order_relaxed);
    for (;;) {
        struct ready_cell *cell = &q->cells[at & q->mask];
        uint64_t sequence = atomic_load_explicit(&cell->sequence, memory_order_acquire);
        if (sequence == at) {
            if (atomic_compare_exchange_weak_explicit(&q->tail, &at, at + 1, memory_order_relaxed,
                                                      memory_order_relaxed)) {
                cell->exec = exec;
                atomic_store_explicit(&cell->sequence, at + 1, memory_order_release);
                return;
            }
        } else {
            // Somebody else filled it, or whoever empties it is about to say so: there is room.
            at = atomic_load_explicit(&q->tail, memory_order_relaxed);
        }
    }
}

struct nrd_compute *ready_pop(struct ready_queue *q)
{
    uint64_t at = atomic_load_explicit(&q->head, memory_order_relaxed);
    for (;;) {
        struct ready_cell *cell = &q->cells[at & q->mask];
        uint64_t sequence = atomic_load_explicit(&cell->sequence, memory_order_acquire);
        if (sequence == at + 1) {
            if (atomic_compare_exchange_weak_explicit(&q->head, &at, at + 1, memory_order_relaxed,
                                                      memory_order_relaxed)) {
                struct nrd_compute *exec = cell->exec;
                atomic_store_explicit(&cell->sequence, at + q->mask + 1, memory_order_release);
                return exec;
            }
        } else if (sequence < at + 1) {
            return NULL;
        } else {
            at = atomic_load_explicit(&q->head, memory_order_relaxed);
        }
    }
}

bool ready_is_empty(const struct ready_queue *q)
{
    uint64_t head = atomic_load_explicit(&q->head, memory_order_seq_cst);
    return atomic_load_explicit(&q->tail, memory_order_seq_cst) == head;
}

uint64_t ready_count(const struct ready_queue *q)
{
    uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    return tail > head ? tail - head : 0;
}
