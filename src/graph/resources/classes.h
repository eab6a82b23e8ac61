// SPDX-License-Identifier: Apache-2.0
// The classes of resources, one file each; resource.c has the table of them.
#ifndef NEREID_GRAPH_RESOURCES_CLASSES_H
#define NEREID_GRAPH_RESOURCES_CLASSES_H

#include "graph/resource.h"

extern const struct resource_class resource_unbounded_allocator;
extern const struct resource_class resource_block_memory_pool;
extern const struct resource_class resource_stream_ordered_allocator;
extern const struct resource_class resource_rmm_allocator;
extern const struct resource_class resource_cuda_stream_pool;
extern const struct resource_class resource_realtime_clock;
extern const struct resource_class resource_manual_clock;
extern const struct resource_class resource_synthetic_clock;

#endif
