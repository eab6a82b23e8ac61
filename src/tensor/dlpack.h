// SPDX-License-Identifier: Apache-2.0
// DLPack: our own statement of the ABI by which frameworks hand tensors to each other, version 1; and the way to and
// from our buffers. Layouts are frozen below by assertions. Source: the DLPack specification, dmlc.github.io/dlpack.
#ifndef NEREID_TENSOR_DLPACK_H
#define NEREID_TENSOR_DLPACK_H

#include "base/status.h"
#include "tensor/buffer.h"
#include "tensor/dtype.h"

enum dl_device_type { DL_CPU = 1, DL_CUDA = 2, DL_CUDA_HOST = 3, DL_CUDA_MANAGED = 13 };
enum dl_type_code { DL_INT = 0, DL_UINT = 1, DL_FLOAT = 2, DL_BFLOAT = 4, DL_BOOL = 6 };
enum dl_flags { DL_READ_ONLY = 1, DL_IS_COPIED = 2 };

struct dl_device {
    int32_t device_type;
    int32_t device_id;
};
struct dl_type {
    uint8_t code;
    uint8_t bits;
    uint16_t lanes;
};
struct dl_tensor {
    void *data;
    struct dl_device device;
    int32_t ndim;
    struct dl_type dtype;
    int64_t *shape;
    int64_t *strides; // in elements; NULL: row-major without gaps
    uint64_t byte_offset;
};
// Before version 1.0.
struct dl_managed_tensor {
    struct dl_tensor tensor;
    void *manager_ctx;
    void (*deleter)(struct dl_managed_tensor *self);
};
struct dl_version {
    uint32_t major;
    uint32_t minor;
};
// From version 1.0 on.
struct dl_managed_tensor_versioned {
    struct dl_version version;
    void *manager_ctx;
    void (*deleter)(struct dl_managed_tensor_versioned *self);
    uint64_t flags; // enum dl_flags
    struct dl_tensor tensor;
};
_Static_assert(sizeof(void *) != 8 || sizeof(struct dl_tensor) == 48, "DLTensor");
_Static_assert(sizeof(void *) != 8 || offsetof(struct dl_tensor, shape) == 24, "DLTensor");
_Static_assert(sizeof(void *) != 8 || sizeof(struct dl_managed_tensor) == 64, "DLManagedTensor");
_Static_assert(sizeof(void *) != 8 || offsetof(struct dl_managed_tensor_versioned, tensor) == 32,
               "DLManagedTensorVersioned");

// What a hand-over is about: a row-major tensor in a part of a buffer.
struct dlpack_view {
    struct tensor_buffer *buffer;
    size_t offset; // bytes from the buffer's start
    enum nrd_dtype dtype;
    size_t rank;
    int64_t *dims;
};

// Wraps a view: shares the buffer, copies the dims. Returns owned: whoever is done calls the result's deleter.
// BYTES is NRD_UNSUPPORTED; dims that do not fit the buffer are NRD_INVALID_ARG. Thread: any.
NRD_MUST_USE struct nrd_status *dlpack_export(const struct dlpack_view *view,
                                              struct dl_managed_tensor_versioned **tensor);
// Unwraps: takes `tensor`; `view->buffer` (owned by the caller now) calls its deleter at the last unref and holds the
// dims, which live as long. On failure `tensor` stays the caller's. NRD_UNSUPPORTED: types that Triton does not have,
// lanes, devices other than CPU and CUDA, strides with gaps, a major version other than 1. Thread: any.
NRD_MUST_USE struct nrd_status *dlpack_import(struct dl_managed_tensor_versioned *tensor,
                                              struct dlpack_view *view);

#endif
