// SPDX-License-Identifier: Apache-2.0
// Queue: intrusive, lock-free, many producers, one consumer, first in first out per producer.
//
// Producers push onto a stack with one compare-and-swap (release); the consumer takes the whole stack
// with one exchange (acquire) and turns it round. No node is touched after it was popped, so a node may
// be freed or pushed again by whoever popped it.
#ifndef NEREID_BASE_QUEUE_H
#define NEREID_BASE_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct queue_node {
    struct queue_node *next;
};
struct queue {
    _Atomic(struct queue_node *) pushed; // newest first
    struct queue_node *taken;            // consumer's own, oldest first
};

void queue_init(struct queue *q);
// True when the queue was empty of fresh nodes before: the push that has to wake the consumer. Thread: any.
bool queue_push(struct queue *q, struct queue_node *node);
// NULL when empty. Thread: the consumer.
struct queue_node *queue_pop(struct queue *q);
// Thread: the consumer.
bool queue_is_empty(const struct queue *q);

#endif
