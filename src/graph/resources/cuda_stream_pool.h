// SPDX-License-Identifier: Apache-2.0
// CudaStreamPool, as streams.c uses it.
#ifndef NEREID_GRAPH_RESOURCES_CUDA_STREAM_POOL_H
#define NEREID_GRAPH_RESOURCES_CUDA_STREAM_POOL_H

#include "gpu/stream.h"
#include "graph/resource.h"

// The GPU that its streams are on. Thread: any.
int64_t cuda_stream_pool_device(const struct nrd_resource *pool);
// A stream; NRD_UNAVAILABLE: no such GPU, or max_size are out (with the pool's name). Thread: any.
NRD_MUST_USE struct nrd_status *cuda_stream_pool_get(struct nrd_resource *pool,
                                                     struct gpu_stream **stream);
void cuda_stream_pool_put(struct nrd_resource *pool, struct gpu_stream *stream); // Thread: any

#endif
