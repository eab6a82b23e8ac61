// SPDX-License-Identifier: Apache-2.0
// Tensor: what stands behind struct nrd_tensor of include/nereid/tensor.h. Each lies in a box, which also has room for the buffer
// that holds its bytes, so that a tensor and its memory are one allocation, or one piece of an allocator's pool.
// Start at tensor_box_init().
#ifndef NEREID_TENSOR_TENSOR_H
#define NEREID_TENSOR_TENSOR_H

#include "base/status.h"
#include "nereid/tensor.h"
#include "tensor/buffer.h"

struct tensor_box {
    struct nrd_tensor tensor; // first: a tensor's address is its box's
    // Gets tensor.event back when the tensor is gone; NULL: nothing to do.
    void (*release_event)(void *event, void *arg);
    void *release_event_arg;
    struct tensor_buffer own; // in use when tensor.buffer points here
};

// Makes the tensor of a box that an allocator keeps, over `byte_size` bytes at `data`, with one reference. When the last reference to
// the bytes is gone (of the tensor, or of views of it), release(data, byte_size, arg) gets the bytes, and the box with them: neither
// is touched after that call. Shape and type are the caller's to have checked. Thread: any.
void tensor_box_init(struct tensor_box *box, void *data, size_t byte_size, enum nrd_dtype dtype,
                     const int64_t *dims, uint32_t rank, enum nrd_memory memory, int32_t device,
                     nrd_release_fn release, void *release_arg);
// NRD_INVALID_ARG: what nrd_tensor_create() refuses, by name. Sets `*byte_size`. Thread: any.
NRD_MUST_USE struct nrd_status *tensor_check_shape(enum nrd_dtype dtype, const int64_t *dims,
                                                   uint32_t rank, size_t *byte_size);

#endif
