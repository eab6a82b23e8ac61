// SPDX-License-Identifier: Apache-2.0
// Inputs of a batch as one run of bytes, and outputs back: for frameworks that take a batch as one
// tensor. One request's input is used where it lies if it can be; several are joined in memory that
// the instance keeps. Thread: owner (the instance's thread) for all functions.
#ifndef NEREID_BACKENDS_COMMON_GATHER_H
#define NEREID_BACKENDS_COMMON_GATHER_H

#include "backends/common/batch.h"

// Memory that grows to the largest need and is used again.
struct scratch {
    void *ptr;
    size_t capacity;
};
// Room for `size` bytes, aligned to 64; what was there is lost. NULL: no memory. Borrowed.
void *scratch_reserve(struct scratch *s, size_t size);
void scratch_fini(struct scratch *s);

// The bytes that a numeric input's shape calls for. INVALID_ARG if it brings another number of
// them.
NRD_MUST_USE TRITONSERVER_Error *batch_input_size(const struct batch_input *in, uint64_t *size);

// All requests' bytes of the numeric input that `first` shows of the first request, one behind the
// other. `alignment` (a power of two, 0 for the size of an element) decides whether a single
// request's bytes may be used in place. A request that fails is answered and leaves zeros. `*data`
// is borrowed from the request or from `scratch`; it may be NULL when `*size` is 0.
NRD_MUST_USE TRITONSERVER_Error *batch_gather(struct batch *b, const struct batch_input *first,
                                              size_t alignment, struct scratch *scratch,
                                              const void **data, uint64_t *size);

// Whether some request that is not answered wants this output.
bool batch_wanted(const struct batch *b, const char *name);

// BYTES: elements led by their length in four bytes (little endian). Bytes pass as they are, zeros
// among them. `index` counts over the whole batch.
typedef TRITONSERVER_Error *(*bytes_put_fn)(void *userp, int64_t index, struct slice element);
typedef TRITONSERVER_Error *(*bytes_get_fn)(void *userp, int64_t index, struct slice *element);
// Calls `put` for each element of an input that has `total` of them over all requests. A request
// whose bytes are broken is answered; elements that were not put stay as the caller made them.
NRD_MUST_USE TRITONSERVER_Error *batch_gather_bytes(struct batch *b, const char *name,
                                                    int64_t total, struct scratch *scratch,
                                                    bytes_put_fn put, void *userp);
// Hands each item that wants the output its rows of a tensor of strings. `dims` as in
// batch_scatter.
NRD_MUST_USE TRITONSERVER_Error *batch_scatter_bytes(struct batch *b, const char *name,
                                                     int64_t *dims, uint32_t dim_count,
                                                     bool batching, bytes_get_fn get, void *userp);

#endif
