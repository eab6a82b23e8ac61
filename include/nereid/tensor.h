/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors: shaped bytes that are passed by reference. A tensor is row-major without gaps; it shares its memory with whoever else
   holds it, and may be written by a holder of the only reference (nrd_tensor_is_writable). A tensor on a GPU carries the
   event after which its bytes may be read: handing it on waits for nothing. */
#ifndef NEREID_TENSOR_H
#define NEREID_TENSOR_H

#include "nereid/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NRD_RANK_MAX 8

struct nrd_tensor {
    void *data; /* an address of the device when memory is NRD_MEMORY_GPU */
    size_t byte_size;
    enum nrd_dtype dtype;
    enum nrd_memory memory;
    int32_t device; /* number of the GPU; 0 for the host */
    uint32_t rank;
    int64_t dims[NRD_RANK_MAX]; /* outermost first, none negative */
    /* What follows is the library's own. */
    void *event;         /* CUevent after which the bytes are there; NULL: they are */
    void *buffer;        /* shared */
    uint32_t references; /* atomic */
};

typedef void (*nrd_release_fn)(void *data, size_t byte_size, void *arg);

/* A tensor in the host's memory, aligned to 64 bytes, not zeroed. NRD_INVALID_ARG: a rank over NRD_RANK_MAX, a negative
   dimension, more bytes than fit, BYTES. Returns owned. Thread: any. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_tensor_create(enum nrd_dtype dtype, const int64_t *dims,
                                                          uint32_t rank,
                                                          struct nrd_tensor **tensor);
/* A tensor over memory of someone else: takes `data`, which `release` (NULL: borrows) gets back after the last reference is
   gone. On failure `data` stays the caller's. `byte_size` must be that of the shape, but for BYTES. Thread: any. */
NRD_API NRD_MUST_USE struct nrd_status *
nrd_tensor_wrap(void *data, size_t byte_size, enum nrd_dtype dtype, const int64_t *dims,
                uint32_t rank, enum nrd_memory memory, int32_t device, nrd_release_fn release,
                void *release_arg, struct nrd_tensor **tensor);
/* A second view of the same bytes in another shape (and type, of the same size in all): shares the memory. `offset` in bytes.
   NRD_INVALID_ARG when it does not lie within. Returns owned. Thread: any. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_tensor_view(struct nrd_tensor *of, size_t offset,
                                                        enum nrd_dtype dtype, const int64_t *dims,
                                                        uint32_t rank, struct nrd_tensor **tensor);
/* Shares; returns `tensor`. Thread: any. */
NRD_API struct nrd_tensor *nrd_tensor_ref(struct nrd_tensor *tensor);
/* Gives a reference up; the last one releases. NULL is fine. Thread: any. */
NRD_API void nrd_tensor_unref(struct nrd_tensor *tensor);
/* True when the caller's is the only reference to the tensor and the tensor's the only one to its memory. Thread: any. */
NRD_API bool nrd_tensor_is_writable(const struct nrd_tensor *tensor);
NRD_API int64_t nrd_tensor_elements(const struct nrd_tensor *tensor);

/* DLPack (dmlc.github.io/dlpack, version 1): `managed` is a DLManagedTensorVersioned *. Out: shares the memory, returns owned
   (whoever is done calls its deleter). In: takes it on success, calls its deleter after the last reference. NRD_UNSUPPORTED: types
   that are not in nrd_dtype, strides with gaps, devices other than CPU and CUDA. Thread: any. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_tensor_to_dlpack(struct nrd_tensor *tensor,
                                                             void **managed);
NRD_API NRD_MUST_USE struct nrd_status *nrd_tensor_from_dlpack(void *managed,
                                                               struct nrd_tensor **tensor);

#ifdef __cplusplus
}
#endif

#endif
