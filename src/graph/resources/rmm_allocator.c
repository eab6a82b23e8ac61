// SPDX-License-Identifier: Apache-2.0
// RMMAllocator: by holoscan's name and parameters, one GPU's memory and pinned memory of the host, each within a limit. It uses no
// RMM: the pools are those of src/gpu.
#include "graph/resources/classes.h"
#include "graph/resources/cuda_allocator.h"

static const struct nrd_param PARAMS[] = {
    {"device_memory_initial_size", NRD_PARAM_BYTES, 0,
     offsetof(struct cuda_allocator, device_initial), "16MB", .unit = "bytes",
     .help = "Memory that is taken from the GPU at once."},
    {"device_memory_max_size", NRD_PARAM_BYTES, 0, offsetof(struct cuda_allocator, device_max),
     "32MB", .unit = "bytes", .help = "The most of the GPU's memory that may be in use."},
    {"host_memory_initial_size", NRD_PARAM_BYTES, 0, offsetof(struct cuda_allocator, host_initial),
     "16MB", .unit = "bytes", .help = "Pinned memory that is taken at once."},
    {"host_memory_max_size", NRD_PARAM_BYTES, 0, offsetof(struct cuda_allocator, host_max), "32MB",
     .unit = "bytes", .help = "The most pinned memory that may be in use."},
    {"dev_id", NRD_PARAM_INT, 0, offsetof(struct cuda_allocator, dev_id), "0", .min = 0, .max = 63,
     .help = "The GPU."},
    {0},
};

static struct nrd_status *create(struct nrd_resource *resource, void *self)
{
    struct cuda_allocator *a = self;
    a->release_threshold = a->device_max; // what is idle is kept: the limit is the user's
    return cuda_allocator_create(resource, a, false);
}

const struct resource_class resource_rmm_allocator = {
    .type = "RMMAllocator",
    .kind = "allocator",
    .state_size = sizeof(struct cuda_allocator),
    .params = PARAMS,
    .create = create,
    .destroy = cuda_allocator_destroy,
    .ops = &cuda_allocator_ops,
};
