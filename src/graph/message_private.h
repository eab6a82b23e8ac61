// SPDX-License-Identifier: Apache-2.0
// What a message is. Those of a run come from the plan's pools and go back there with the last reference; those of
// nrd_message_create() come from the heap (`pools` is NULL).
#ifndef NEREID_GRAPH_MESSAGE_PRIVATE_H
#define NEREID_GRAPH_MESSAGE_PRIVATE_H

#include <stdatomic.h>

#include "base/pool.h"
#include "nereid/message.h"

enum { MESSAGE_NAME_MAX = 63, MESSAGE_TENSORS_HERE = 3, MESSAGE_TENSORS_MORE = 12 };

struct message_tensor {
    struct nrd_tensor *tensor;
    char name[MESSAGE_NAME_MAX + 1];
};
// Further tensors.
struct message_more {
    struct message_more *next;
    struct message_tensor items[MESSAGE_TENSORS_MORE];
};
struct message_pools {
    struct object_pool *messages;
    struct object_pool *more;
};
struct track_way;

struct nrd_message {
    const struct message_pools *pools;
    _Atomic uint32_t references;
    uint32_t tensor_count;
    size_t value_size;
    const char *value_type;
    const char *object_type;
    void *object;
    void (*object_release)(void *object);
    struct nrd_value *metadata;
    struct track_way *way; // of flow tracking; NULL: none
    bool way_is_given;     // to an answer that was not sent yet: see compute_answer()
    struct message_more *more;
    int64_t acquired;
    _Alignas(16) unsigned char value[NRD_MESSAGE_VALUE_MAX];
    struct message_tensor tensors[MESSAGE_TENSORS_HERE];
};

// Room for `count` messages before the first allocation. NRD_UNAVAILABLE: no memory.
NRD_MUST_USE struct nrd_status *message_pools_init(struct message_pools *pools, size_t count);
void message_pools_fini(struct message_pools *pools); // all messages must have come back
// An empty message; NULL when memory is out. Thread: any.
struct nrd_message *message_get(const struct message_pools *pools)
    __attribute__((warn_unused_result));
// A message of the same content: shares the tensors, copies value and metadata, and not the object (which has one owner).
// NULL when memory is out, or when there is an object. Thread: any.
struct nrd_message *message_copy(const struct message_pools *pools,
                                 const struct nrd_message *message)
    __attribute__((warn_unused_result));

#endif
