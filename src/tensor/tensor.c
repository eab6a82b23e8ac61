// SPDX-License-Identifier: Apache-2.0
// Tensors in boxes (tensor.h). A tensor whose buffer is its box's own goes when the buffer goes: views may outlive it. A view is
// a box whose buffer is another's.
#include "tensor/tensor.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "tensor/dlpack.h"
#include "tensor/shape.h"

enum {
    DATA_ALIGN = 64,
    BOX_BYTES = (sizeof(struct tensor_box) + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN
};

static void fill(struct tensor_box *box, void *data, size_t byte_size, enum nrd_dtype dtype,
                 const int64_t *dims, uint32_t rank, enum nrd_memory memory, int32_t device,
                 struct tensor_buffer *buffer)
{
    struct nrd_tensor *t = &box->tensor;
    t->data = data;
    t->byte_size = byte_size;
    t->dtype = dtype;
    t->memory = memory;
    t->device = device;
    t->rank = rank;
    if (rank != 0) {
        memcpy(t->dims, dims, rank * sizeof(*dims));
    }
    t->event = NULL;
    t->buffer = buffer;
    __atomic_store_n(&t->references, 1, __ATOMIC_RELAXED);
    box->release_event = NULL;
    box->release_event_arg = NULL;
}

void tensor_box_init(struct tensor_box *box, void *data, size_t byte_size, enum nrd_dtype dtype,
                     const int64_t *dims, uint32_t rank, enum nrd_memory memory, int32_t device,
                     nrd_release_fn release, void *release_arg)
{
    box->own = (struct tensor_buffer){.data = data,
                                      .size = byte_size,
                                      .device_id = device,
                                      .kind = memory,
                                      .release = release,
                                      .release_arg = release_arg,
                                      .placed = true};
    atomic_init(&box->own.references, 1);
    fill(box, data, byte_size, dtype, dims, rank, memory, device, &box->own);
}

struct nrd_status *tensor_check_shape(enum nrd_dtype dtype, const int64_t *dims, uint32_t rank,
                                      size_t *byte_size)
{
    if (rank > NRD_RANK_MAX) {
        return status_new(NRD_INVALID_ARG, "tensor has %u dimensions, the most is %d", rank,
                          NRD_RANK_MAX);
    }
    size_t bytes = 0;
    if (shape_byte_size(dtype, dims, rank, &bytes)) {
        *byte_size = bytes;
        return NULL;
    }
    struct str text = STR_INIT;
    shape_print(dims, rank, &text);
    struct nrd_status *status =
        status_new(NRD_INVALID_ARG, "no tensor of type %s can have the shape %s", dtype_name(dtype),
                   str_cstr(&text));
    str_fini(&text);
    return status;
}

static void free_box(void *data, size_t size, void *arg)
{
    (void)data;
    (void)size;
    mem_free(arg);
}

struct nrd_status *nrd_tensor_create(enum nrd_dtype dtype, const int64_t *dims, uint32_t rank,
                                     struct nrd_tensor **tensor)
{
    size_t bytes = 0;
    NRD_TRY(tensor_check_shape(dtype, dims, rank, &bytes));
    struct tensor_box *box =
        bytes > SIZE_MAX - BOX_BYTES ? NULL : mem_aligned(DATA_ALIGN, BOX_BYTES + bytes);
    if (box == NULL) {
        return status_no_memory();
    }
    tensor_box_init(box, (char *)box + BOX_BYTES, bytes, dtype, dims, rank, NRD_MEMORY_CPU, 0,
                    free_box, box);
    *tensor = &box->tensor;
    return NULL;
}

// A box over memory of someone else, with what gives it back.
struct wrapped {
    struct tensor_box box;
    nrd_release_fn release;
    void *release_arg;
};

static void release_wrapped(void *data, size_t size, void *arg)
{
    struct wrapped *w = arg;
    if (w->release != NULL) {
        w->release(data, size, w->release_arg);
    }
    mem_free(w);
}

struct nrd_status *nrd_tensor_wrap(void *data, size_t byte_size, enum nrd_dtype dtype,
                                   const int64_t *dims, uint32_t rank, enum nrd_memory memory,
                                   int32_t device, nrd_release_fn release, void *release_arg,
                                   struct nrd_tensor **tensor)
{
    size_t bytes = byte_size;
    if (dtype != NRD_DTYPE_BYTES) {
        NRD_TRY(tensor_check_shape(dtype, dims, rank, &bytes));
    } else if (rank > NRD_RANK_MAX || shape_count(dims, rank) < 0) {
        return tensor_check_shape(dtype, dims, rank, &bytes);
    }
    if (bytes != byte_size) {
        return status_new(NRD_INVALID_ARG, "tensor has %zu bytes, its shape and type need %zu",
                          byte_size, bytes);
    }
    struct wrapped *w = mem_alloc(sizeof(*w));
    if (w == NULL) {
        return status_no_memory();
    }
    w->release = release;
    w->release_arg = release_arg;
    tensor_box_init(&w->box, data, byte_size, dtype, dims, rank, memory, device, release_wrapped,
                    w);
    *tensor = &w->box.tensor;
    return NULL;
}

struct nrd_status *nrd_tensor_view(struct nrd_tensor *of, size_t offset, enum nrd_dtype dtype,
                                   const int64_t *dims, uint32_t rank, struct nrd_tensor **tensor)
{
    size_t bytes = 0;
    NRD_TRY(tensor_check_shape(dtype, dims, rank, &bytes));
    if (offset > of->byte_size || bytes > of->byte_size - offset) {
        return status_new(NRD_INVALID_ARG,
                          "a view of %zu bytes at %zu does not lie within a tensor of %zu bytes",
                          bytes, offset, of->byte_size);
    }
    struct tensor_box *box = mem_alloc(sizeof(*box));
    if (box == NULL) {
        return status_no_memory();
    }
    fill(box, (char *)of->data + offset, bytes, dtype, dims, rank, of->memory, of->device,
         buffer_ref(of->buffer));
    *tensor = &box->tensor;
    return NULL;
}

struct nrd_tensor *nrd_tensor_ref(struct nrd_tensor *tensor)
{
    __atomic_fetch_add(&tensor->references, 1, __ATOMIC_RELAXED);
    return tensor;
}

void nrd_tensor_unref(struct nrd_tensor *tensor)
{
    if (tensor == NULL || __atomic_fetch_sub(&tensor->references, 1, __ATOMIC_ACQ_REL) != 1) {
        return;
    }
    struct tensor_box *box = (struct tensor_box *)tensor;
    if (tensor->event != NULL && box->release_event != NULL) {
        box->release_event(tensor->event, box->release_event_arg);
    }
    struct tensor_buffer *buffer = tensor->buffer;
    bool own = buffer == &box->own;
    if (!own) {
        mem_free(box);
    }
    buffer_unref(buffer);
}

bool nrd_tensor_is_writable(const struct nrd_tensor *tensor)
{
    return __atomic_load_n(&tensor->references, __ATOMIC_ACQUIRE) == 1 &&
           buffer_is_writable(tensor->buffer);
}

int64_t nrd_tensor_elements(const struct nrd_tensor *tensor)
{
    return shape_count(tensor->dims, tensor->rank);
}

// ---- DLPack ----

struct nrd_status *nrd_tensor_to_dlpack(struct nrd_tensor *tensor, void **managed)
{
    struct tensor_buffer *buffer = tensor->buffer;
    struct dlpack_view view = {
        .buffer = buffer,
        .offset = (size_t)((const char *)tensor->data - (const char *)buffer->data),
        .dtype = tensor->dtype,
        .rank = tensor->rank,
        .dims = tensor->dims};
    struct dl_managed_tensor_versioned *made = NULL;
    NRD_TRY(dlpack_export(&view, &made));
    *managed = made;
    return NULL;
}

struct nrd_status *nrd_tensor_from_dlpack(void *managed, struct nrd_tensor **tensor)
{
    struct dl_managed_tensor_versioned *from = managed;
    if (from->tensor.ndim > NRD_RANK_MAX) {
        return status_new(NRD_INVALID_ARG, "tensor has %d dimensions, the most is %d",
                          from->tensor.ndim, NRD_RANK_MAX);
    }
    struct tensor_box *box = mem_alloc(sizeof(*box));
    if (box == NULL) {
        return status_no_memory();
    }
    struct dlpack_view view;
    struct nrd_status *status = dlpack_import(from, &view);
    if (status != NULL) {
        mem_free(box);
        return status;
    }
    size_t bytes = 0;
    if (!shape_byte_size(view.dtype, view.dims, view.rank, &bytes)) {
        bytes = view.buffer->size - view.offset;
    }
    fill(box, (char *)view.buffer->data + view.offset, bytes, view.dtype, view.dims,
         (uint32_t)view.rank, view.buffer->kind, (int32_t)view.buffer->device_id, view.buffer);
    *tensor = &box->tensor;
    return NULL;
}
