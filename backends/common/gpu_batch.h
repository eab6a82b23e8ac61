// SPDX-License-Identifier: Apache-2.0
// A batch on a GPU: inputs as one run of bytes in device memory, and outputs from there to wherever
// the host wants them. The counterpart of gather.h and of batch_scatter for frameworks that compute
// on a GPU; all copies are queued into the instance's stream and waited for by batch_end(). The batch
// has its instance's gpu_io (batch.h). Thread: owner (the instance's thread) for all functions.
#ifndef NEREID_BACKENDS_COMMON_GPU_BATCH_H
#define NEREID_BACKENDS_COMMON_GPU_BATCH_H

#include "backends/common/batch.h"
#include "backends/common/gather.h"

// What the CUDA allocators give and what frameworks may count on.
enum { GPU_ALIGNMENT = 256 };

// All requests' bytes of the numeric input that `first` shows of the first request, one behind the
// other on the instance's GPU. One request's bytes that lie there in one piece, aligned to
// `alignment` (a power of two; 0: never), are used in place; all else is copied to `scratch`. A
// request that fails is answered and leaves what was there. `*data` is borrowed, not NULL.
NRD_MUST_USE TRITONSERVER_Error *gpu_gather(struct batch *b, const struct batch_input *first,
                                            size_t alignment, struct gpu_scratch *scratch,
                                            void **data, uint64_t *size);

// Adds an output to a response and finds memory for it, on the instance's GPU if the host can. What
// is not there is filled by gpu_io_copy().
NRD_MUST_USE TRITONSERVER_Error *gpu_output(struct batch *b, uint32_t index, const char *name,
                                            TRITONSERVER_DataType dtype, const int64_t *dims,
                                            uint32_t dim_count, uint64_t byte_size,
                                            struct gpu_place *place);
// Whether a framework can compute straight into `place`.
bool gpu_place_is_direct(const struct batch *b, struct gpu_place place, size_t alignment);

// Hands each item that wants the output its rows of one tensor on the instance's GPU that covers the
// whole batch. `dims` as in batch_scatter. Items that fail are answered.
void gpu_scatter(struct batch *b, const char *name, TRITONSERVER_DataType dtype, int64_t *dims,
                 uint32_t dim_count, bool batching, const void *data, uint64_t byte_size);

// Brings bytes of the instance's GPU to the host, and waits. `*copy` is borrowed from `scratch`.
NRD_MUST_USE TRITONSERVER_Error *gpu_bring_home(struct batch *b, const void *data, uint64_t size,
                                                struct scratch *scratch, void **copy);

#endif
