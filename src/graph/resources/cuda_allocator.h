// SPDX-License-Identifier: Apache-2.0
// Cuda allocators: what StreamOrderedAllocator and RMMAllocator have in common: a limited stream-ordered pool of one GPU, and,
// for the second, a limited pool of pinned memory.
#ifndef NEREID_GRAPH_RESOURCES_CUDA_ALLOCATOR_H
#define NEREID_GRAPH_RESOURCES_CUDA_ALLOCATOR_H

#include "graph/resources/lender.h"

struct cuda_pools;

struct cuda_allocator {
    uint64_t device_initial, device_max;
    uint64_t release_threshold;
    uint64_t host_initial, host_max; // 0: no memory of the host
    int64_t dev_id;
    struct cuda_pools *pools;
};

// `needs_gpu`: refuse without one; else device memory is refused when it is asked for, and pinned memory is the system's.
NRD_MUST_USE struct nrd_status *cuda_allocator_create(struct nrd_resource *resource,
                                                      struct cuda_allocator *a, bool needs_gpu);
void cuda_allocator_destroy(struct nrd_resource *resource, void *self);
extern const struct allocator_ops cuda_allocator_ops;

#endif
