// SPDX-License-Identifier: Apache-2.0
// StreamOrderedAllocator: one GPU's memory from the driver's stream-ordered allocator, within a limit.
#include "graph/resources/classes.h"
#include "graph/resources/cuda_allocator.h"

static const struct nrd_param PARAMS[] = {
    {"device_memory_initial_size", NRD_PARAM_BYTES, 0,
     offsetof(struct cuda_allocator, device_initial), "16MB", .unit = "bytes",
     .help = "Memory that is taken from the GPU at once."},
    {"device_memory_max_size", NRD_PARAM_BYTES, 0, offsetof(struct cuda_allocator, device_max),
     "32MB", .unit = "bytes", .help = "The most that may be in use."},
    {"release_threshold", NRD_PARAM_BYTES, 0, offsetof(struct cuda_allocator, release_threshold),
     "4MB", .unit = "bytes", .help = "What is kept of memory that nobody uses."},
    {"dev_id", NRD_PARAM_INT, 0, offsetof(struct cuda_allocator, dev_id), "0", .min = 0, .max = 63,
     .help = "The GPU."},
    {0},
};

static struct nrd_status *create(struct nrd_resource *resource, void *self)
{
    return cuda_allocator_create(resource, self, true);
}

const struct resource_class resource_stream_ordered_allocator = {
    .type = "StreamOrderedAllocator",
    .kind = "allocator",
    .state_size = sizeof(struct cuda_allocator),
    .params = PARAMS,
    .create = create,
    .destroy = cuda_allocator_destroy,
    .ops = &cuda_allocator_ops,
};
