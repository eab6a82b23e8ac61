// SPDX-License-Identifier: Apache-2.0
// Queue: a Treiber stack that is only ever taken whole, so that it has no ABA problem.
//
// The consumer's exchange acquires; each producer's compare-and-swap releases and continues the release
// sequences of those below it in the stack, so that one acquire is enough for all nodes taken.
#include "base/queue.h"

void queue_init(struct queue *q)
{
    atomic_init(&q->pushed, NULL);
    q->taken = NULL;
}

bool queue_push(struct queue *q, struct queue_node *node)
{
    struct queue_node *head = atomic_load_explicit(&q->pushed, memory_order_relaxed);
    do {
        node->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&q->pushed, &head, node, memory_order_release,
                                                    memory_order_relaxed));
    return head == NULL;
}

struct queue_node *queue_pop(struct queue *q)
{
    if (q->taken == NULL) {
        if (atomic_load_explicit(&q->pushed, memory_order_relaxed) == NULL) {
            return NULL; // without taking the producers' cache line for writing
        }
        struct queue_node *node = atomic_exchange_explicit(&q->pushed, NULL, memory_order_acquire);
        while (node != NULL) {
            struct queue_node *next = node->next;
            node->next = q->taken;
            q->taken = node;
            node = next;
        }
    }
    struct queue_node *first = q->taken;
    if (first != NULL) {
        q->taken = first->next;
    }
    return first;
}

bool queue_is_empty(const struct queue *q)
{
    return q->taken == NULL && atomic_load_explicit(&q->pushed, memory_order_relaxed) == NULL;
}
