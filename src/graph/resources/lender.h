// SPDX-License-Identifier: Apache-2.0
// Lenders: what all allocators have in common. A tensor that is lent is one lease: its box and where its bytes go back to,
// from a pool, so that steady state allocates nothing from the heap.
//
//    resource ──▶ lender ◀── lease ◀── tensor, views
//
// A lender lives until its resource is gone and all leases are back, whichever comes last: a tensor may outlive its application.
#ifndef NEREID_GRAPH_RESOURCES_LENDER_H
#define NEREID_GRAPH_RESOURCES_LENDER_H

#include <pthread.h>

#include "base/pool.h"
#include "graph/resource.h"
#include "tensor/tensor.h"

struct lender;

struct lease {
    struct tensor_box box;
    struct lender *lender;
    struct tensor_buffer
        *inner;  // of src/gpu: its unref gives it back once its streams have come by; else NULL
    void *block; // of the host, for the lender's give_back
    const struct nrd_operator *writer; // that allocated it and has not sent it yet; NULL: sent
};

struct lender_class {
    void (*give_back)(struct lender *l, void *block); // where there is no inner; Thread: any
    void (*destroy)(struct lender *l);                // all is back: frees `l` itself
};

struct lender {
    const struct lender_class *class;
    _Atomic uint32_t references; // the resource's, and one of each lease
    struct object_pool *leases;
    pthread_mutex_t lock;          // of `resource`, while somebody is told
    struct nrd_resource *resource; // NULL: gone
    _Atomic bool watched;          // somebody waits for memory
};

// False: no memory. `resource` may be NULL.
bool lender_init(struct lender *l, const struct lender_class *class, struct nrd_resource *resource)
    __attribute__((warn_unused_result));
// Frees what init made: from destroy, or when a creation fails before anything was lent.
void lender_fini(struct lender *l);
// The resource is gone; NULL is fine. Thread: owner.
void lender_close(struct lender *l);

void lender_ref(struct lender *l);   // shares. Thread: any
void lender_unref(struct lender *l); // Thread: any

// A tensor over `size` bytes at `data`, in the shape given: takes one of `inner` and `block` (the other is NULL), also on
// failure. Returns owned. Thread: any.
struct lender_bytes {
    void *data;
    size_t size;
    enum nrd_memory memory;
    int32_t device;
    struct tensor_buffer *inner;
    void *block;
};
NRD_MUST_USE struct nrd_status *lender_lend(struct lender *l, const struct lender_bytes *bytes,
                                            enum nrd_dtype dtype, const int64_t *dims,
                                            uint32_t rank, struct nrd_tensor **tensor);

// The lease that a tensor's (a view's) bytes are of; NULL: they are somebody else's. Thread: any.
struct lease *lease_of(const struct nrd_tensor *tensor);
// Tells those who wait for memory that some came back. Thread: any.
void lender_tell(struct lender *l);
// Somebody will wait for memory: from now on they are told when some comes back. Thread: any.
void lender_watch(struct lender *l);
// "pinned", "device", "system": what people read.
const char *memory_name(enum nrd_memory memory);
// Warns that a resource's pinned memory is the system's, since there is no GPU. Once a resource: the caller sees to it.
void pinned_fell_back(const struct nrd_resource *resource);

#endif
