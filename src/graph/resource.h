// SPDX-License-Identifier: Apache-2.0
// Resources: what the kinds of them can do. A class (graph_private.h) is found by its type's name in the table of resource.c.
#ifndef NEREID_GRAPH_RESOURCE_H
#define NEREID_GRAPH_RESOURCE_H

#include "graph/graph_private.h"

// ---- clocks ----

struct clock_ops {
    int64_t (*now)(const void *self); // Thread: any
    // When, on clock_now_ns(), `target` will have come if nothing else happens; 0: never by itself. Thread: any.
    uint64_t (*deadline)(const void *self, int64_t target);
    // A clock that has nobody to wait for jumps to the next time that somebody waits for (ManualClock). NULL: it does not.
    void (*jump)(void *self, int64_t target);
    void (*advance)(void *self, int64_t by); // nrd_clock_advance(); NULL: it cannot be set forward
    void (*start)(void *self);               // a run begins; NULL: nothing
};
// The clock of a fragment: its scheduler's, else the real one. Thread: any.
int64_t fragment_now(const struct nrd_fragment *f);

// ---- allocators ----

struct allocator_ops {
    struct nrd_status *(*allocate)(struct nrd_resource *resource, void *self, enum nrd_dtype dtype,
                                   const int64_t *dims, uint32_t rank, enum nrd_memory memory,
                                   int32_t device, struct nrd_tensor **tensor);
    // Whether that many bytes (or, when `blocks` is not 0, blocks) could be had now. NULL: always. Thread: any.
    bool (*available)(void *self, uint64_t bytes, uint64_t blocks);
    // Whether memory was given back that a GPU still uses, so that more will be there without anybody saying so. NULL: never.
    // Thread: any.
    bool (*settling)(void *self);
};
// Destroys the fragment's default allocator, which nrd_allocate() made. Thread: owner.
void fragment_drop_allocator(struct nrd_fragment *f);
// What an allocator calls when memory came back, so that those who wait for it look again. Cheap when nobody does. Thread: any.
void resource_changed(struct nrd_resource *resource);

// NULL: none of that type. `type` may have "holoscan::" or "nereid::" before it.
const struct resource_class *resource_class_find(const char *type);
const struct resource_class *resource_class_at(size_t index); // NULL past the end
// Destroys a resource's state. Thread: owner.
void resource_fini(struct nrd_resource *resource);

#endif
