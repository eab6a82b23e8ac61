// SPDX-License-Identifier: Apache-2.0
// List: an intrusive, circular, doubly linked list. Nothing is allocated. Thread: owner.
#ifndef NEREID_BASE_LIST_H
#define NEREID_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *next;
    struct list_node *prev;
};
#define CONTAINER_OF(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list_node *head)
{
    head->next = head;
    head->prev = head;
}
static inline bool list_empty(const struct list_node *head)
{
    return head->next == head;
}
static inline void list_insert_before(struct list_node *at, struct list_node *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}
static inline void list_push_back(struct list_node *head, struct list_node *node)
{
    list_insert_before(head, node);
}
static inline void list_push_front(struct list_node *head, struct list_node *node)
{
    list_insert_before(head->next, node);
}
static inline void list_remove(struct list_node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node;
    node->prev = node;
}
static inline struct list_node *list_pop_front(struct list_node *head)
{
    struct list_node *node = head->next;
    if (node == head) {
        return NULL;
    }
    list_remove(node);
    return node;
}
// Moves all of `from` behind the last of `head`.
static inline void list_splice_back(struct list_node *head, struct list_node *from)
{
    if (list_empty(from)) {
        return;
    }
    from->next->prev = head->prev;
    head->prev->next = from->next;
    from->prev->next = head;
    head->prev = from->prev;
    list_init(from);
}
#define LIST_FOR(node, head)                                                                       \
    for (struct list_node *node = (head)->next; node != (head); node = node->next)
#define LIST_FOR_SAFE(node, head)                                                                  \
    for (struct list_node *node = (head)->next, *node##_next_ = node->next; node != (head);        \
         node = node##_next_, node##_next_ = node->next)

#endif
