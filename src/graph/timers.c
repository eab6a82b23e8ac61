// SPDX-License-Identifier: Apache-2.0
// A binary heap whose members know their place (heap_at, from 1), so that one that is woken early can be taken out.
#include "graph/timers.h"

#include "graph/plan.h"

void timers_init(struct timers *t, struct nrd_compute **room)
{
    t->heap = room;
    t->count = 0;
    atomic_store_explicit(&t->top, INT64_MAX, memory_order_relaxed);
}

static void place(struct timers *t, uint32_t at, struct nrd_compute *exec)
{
    t->heap[at] = exec;
    exec->heap_at = at + 1;
}

static void sift_up(struct timers *t, uint32_t at, struct nrd_compute *exec)
{
    while (at > 0) {
        uint32_t parent = (at - 1) / 2;
        if (t->heap[parent]->wake_time <= exec->wake_time) {
            break;
        }
        place(t, at, t->heap[parent]);
        at = parent;
    }
    place(t, at, exec);
}

static void sift_down(struct timers *t, uint32_t at, struct nrd_compute *exec)
{
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child >= t->count) {
            break;
        }
        if (child + 1 < t->count && t->heap[child + 1]->wake_time < t->heap[child]->wake_time) {
            child++;
        }
        if (t->heap[child]->wake_time >= exec->wake_time) {
            break;
        }
        place(t, at, t->heap[child]);
        at = child;
    }
    place(t, at, exec);
}

static void publish(struct timers *t)
{
    atomic_store_explicit(&t->top, t->count == 0 ? INT64_MAX : t->heap[0]->wake_time,
                          memory_order_relaxed);
}

void timers_set(struct timers *t, struct nrd_compute *exec, int64_t time)
{
    exec->wake_time = time;
    sift_up(t, t->count++, exec);
    publish(t);
}

void timers_cancel(struct timers *t, struct nrd_compute *exec)
{
    if (exec->heap_at == 0) {
        return;
    }
    uint32_t at = exec->heap_at - 1;
    exec->heap_at = 0;
    struct nrd_compute *last = t->heap[--t->count];
    if (last != exec) {
        if (at > 0 && t->heap[(at - 1) / 2]->wake_time > last->wake_time) {
            sift_up(t, at, last);
        } else {
            sift_down(t, at, last);
        }
    }
    publish(t);
}

struct nrd_compute *timers_take_due(struct timers *t, int64_t now)
{
    if (t->count == 0 || t->heap[0]->wake_time > now) {
        return NULL;
    }
    struct nrd_compute *exec = t->heap[0];
    timers_cancel(t, exec);
    return exec;
}
