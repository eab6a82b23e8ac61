// SPDX-License-Identifier: Apache-2.0
// DLPack to and from our buffers. An export is one allocation: the tensor, what it shares, and the dims.
#include "tensor/dlpack.h"

#include "base/mem.h"
#include "tensor/shape.h"

enum { DLPACK_MAJOR = 1, DLPACK_MINOR = 0, RANK_MAX = 64 };

static const struct {
    enum nrd_dtype dtype;
    struct dl_type type;
} types[] = {
    {NRD_DTYPE_BOOL, {DL_BOOL, 8, 1}},    {NRD_DTYPE_U8, {DL_UINT, 8, 1}},
    {NRD_DTYPE_U16, {DL_UINT, 16, 1}},    {NRD_DTYPE_U32, {DL_UINT, 32, 1}},
    {NRD_DTYPE_U64, {DL_UINT, 64, 1}},    {NRD_DTYPE_I8, {DL_INT, 8, 1}},
    {NRD_DTYPE_I16, {DL_INT, 16, 1}},     {NRD_DTYPE_I32, {DL_INT, 32, 1}},
    {NRD_DTYPE_I64, {DL_INT, 64, 1}},     {NRD_DTYPE_F16, {DL_FLOAT, 16, 1}},
    {NRD_DTYPE_F32, {DL_FLOAT, 32, 1}},   {NRD_DTYPE_F64, {DL_FLOAT, 64, 1}},
    {NRD_DTYPE_BF16, {DL_BFLOAT, 16, 1}},
};
enum { TYPE_COUNT = sizeof(types) / sizeof(types[0]) };

static bool to_dl_type(enum nrd_dtype dtype, struct dl_type *type)
{
    for (unsigned i = 0; i < TYPE_COUNT; i++) {
        if (types[i].dtype == dtype) {
            *type = types[i].type;
            return true;
        }
    }
    return false;
}

static enum nrd_dtype from_dl_type(struct dl_type type)
{
    for (unsigned i = 0; i < TYPE_COUNT; i++) {
        if (types[i].type.code == type.code && types[i].type.bits == type.bits &&
            types[i].type.lanes == type.lanes) {
            return types[i].dtype;
        }
    }
    return NRD_DTYPE_INVALID;
}

static struct dl_device to_dl_device(const struct tensor_buffer *buffer)
{
    static const int32_t kinds[] = {
        [NRD_MEMORY_CPU] = DL_CPU, [NRD_MEMORY_PINNED] = DL_CUDA_HOST, [NRD_MEMORY_GPU] = DL_CUDA};
    int32_t id = buffer->kind == NRD_MEMORY_GPU ? (int32_t)buffer->device_id : 0;
    return (struct dl_device){.device_type = kinds[buffer->kind], .device_id = id};
}

struct exported {
    struct dl_managed_tensor_versioned managed;
    struct tensor_buffer *buffer;
    int64_t dims[];
};

static void exported_delete(struct dl_managed_tensor_versioned *self)
{
    struct exported *exported = self->manager_ctx;
    buffer_unref(exported->buffer);
    mem_free(exported);
}

struct nrd_status *dlpack_export(const struct dlpack_view *view,
                                 struct dl_managed_tensor_versioned **tensor)
{
    struct dl_type type;
    size_t bytes;
    if (!to_dl_type(view->dtype, &type)) {
        return status_new(NRD_UNSUPPORTED, "DLPack has no type for %s", dtype_name(view->dtype));
    }
    if (view->rank > RANK_MAX || !shape_byte_size(view->dtype, view->dims, view->rank, &bytes) ||
        view->offset > view->buffer->size || bytes > view->buffer->size - view->offset) {
        return status_new(NRD_INVALID_ARG,
                          "the tensor's shape does not fit its buffer of %zu bytes",
                          view->buffer->size);
    }
    struct exported *exported =
        mem_alloc(sizeof(*exported) + view->rank * sizeof(exported->dims[0]));
    if (exported == NULL) {
        return status_no_memory();
    }
    if (view->rank != 0) {
        memcpy(exported->dims, view->dims, view->rank * sizeof(exported->dims[0]));
    }
    exported->buffer = buffer_ref(view->buffer);
    exported->managed = (struct dl_managed_tensor_versioned){
        .version = {DLPACK_MAJOR, DLPACK_MINOR},
        .manager_ctx = exported,
        .deleter = exported_delete,
        .tensor = {.data = view->buffer->data,
                   .device = to_dl_device(view->buffer),
                   .ndim = (int32_t)view->rank,
                   .dtype = type,
                   .shape = exported->dims,
                   .byte_offset = view->offset},
    };
    *tensor = &exported->managed;
    return NULL;
}

// Row-major without gaps? The stride of a dimension of one element says nothing.
static bool is_dense(const struct dl_tensor *t)
{
    if (t->strides == NULL) {
        return true;
    }
    int64_t expected = 1;
    for (int32_t i = t->ndim; i-- > 0;) {
        if (t->shape[i] == 0) {
            return true;
        }
        if (t->shape[i] != 1 && t->strides[i] != expected) {
            return false;
        }
        expected *= t->shape[i]; // the count was checked for overflow
    }
    return true;
}

static bool from_dl_device(struct dl_device device, enum nrd_memory *kind, int64_t *id)
{
    *id = 0;
    switch (device.device_type) {
    case DL_CPU:
        *kind = NRD_MEMORY_CPU;
        return true;
    case DL_CUDA_HOST:
        *kind = NRD_MEMORY_PINNED;
        return true;
    case DL_CUDA:
    case DL_CUDA_MANAGED:
        *kind = NRD_MEMORY_GPU;
        *id = device.device_id;
        return true;
    default:
        return false;
    }
}

static void imported_release(void *data, size_t size, void *arg)
{
    struct dl_managed_tensor_versioned *tensor = arg;
    (void)data;
    (void)size;
    if (tensor->deleter != NULL) {
        tensor->deleter(tensor);
    }
}

struct nrd_status *dlpack_import(struct dl_managed_tensor_versioned *tensor,
                                 struct dlpack_view *view)
{
    const struct dl_tensor *t = &tensor->tensor;
    enum nrd_memory kind;
    int64_t id;
    size_t bytes;
    if (tensor->version.major != DLPACK_MAJOR) {
        return status_new(NRD_UNSUPPORTED, "DLPack version %u.%u is not supported, expected %d.x",
                          tensor->version.major, tensor->version.minor, DLPACK_MAJOR);
    }
    enum nrd_dtype dtype = from_dl_type(t->dtype);
    if (dtype == NRD_DTYPE_INVALID) {
        return status_new(NRD_UNSUPPORTED,
                          "DLPack type code %u, %u bits, %u lanes is not supported", t->dtype.code,
                          t->dtype.bits, t->dtype.lanes);
    }
    if (!from_dl_device(t->device, &kind, &id)) {
        return status_new(NRD_UNSUPPORTED, "DLPack device type %d is not supported",
                          (int)t->device.device_type);
    }
    if (t->ndim < 0 || t->ndim > RANK_MAX ||
        !shape_byte_size(dtype, t->shape, (size_t)t->ndim, &bytes)) {
        return status_new(NRD_INVALID_ARG, "the DLPack tensor's shape is invalid");
    }
    if (!is_dense(t)) {
        return status_new(NRD_UNSUPPORTED, "DLPack tensors with strides are not supported");
    }
    if (t->byte_offset > SIZE_MAX - bytes) {
        return status_new(NRD_INVALID_ARG, "the DLPack tensor's offset is invalid");
    }
    size_t offset = (size_t)t->byte_offset;
    struct tensor_buffer *buffer =
        buffer_wrap(t->data, offset + bytes, kind, id, imported_release, tensor);
    if (buffer == NULL) {
        return status_no_memory();
    }
    *view = (struct dlpack_view){.buffer = buffer,
                                 .offset = offset,
                                 .dtype = dtype,
                                 .rank = (size_t)t->ndim,
                                 .dims = t->shape};
    return NULL;
}
