// SPDX-License-Identifier: Apache-2.0
// Inputs to a GPU, outputs from it. See gpu_batch.h.
#include "backends/common/gpu_batch.h"

#include "backends/common/order.h"

static struct gpu_place device_place(const struct batch *b, const void *ptr)
{
    return gpu_place_of(ptr, TRITONSERVER_MEMORY_GPU, gpu_io_device_id(b->gpu_io));
}

// ---- inputs ----

static TRITONSERVER_Error *buffer_of(const struct batch *b, const struct batch_input *in,
                                     uint32_t at, struct gpu_place *place, uint64_t *size)
{
    const void *data = NULL;
    TRITONSERVER_MemoryType type = TRITONSERVER_MEMORY_GPU;
    int64_t id = gpu_io_device_id(b->gpu_io);
    BACKEND_TRY(batch_order_input(b, in->handle));
    BACKEND_TRY(TRITONBACKEND_InputBuffer(in->handle, at, &data, size, &type, &id));
    *place = gpu_place_of(data, type, id);
    return NULL;
}

static TRITONSERVER_Error *copy_request(struct batch *b, uint32_t index,
                                        const struct batch_input *in, char *to)
{
    uint64_t left = in->byte_size;
    for (uint32_t i = 0; i < in->buffer_count; i++) {
        struct gpu_place from = {0};
        uint64_t size = 0;
        BACKEND_TRY(buffer_of(b, in, i, &from, &size));
        if (size > left) {
            return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                     "input '%s' has more bytes than its size says", in->name);
        }
        BACKEND_TRY(gpu_io_copy(b->gpu_io, device_place(b, to), from, (size_t)size, index));
        to += size;
        left -= size;
    }
    return left == 0 ? NULL
                     : backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                         "input '%s' has %llu bytes fewer than its size says",
                                         in->name, (unsigned long long)left);
}

// One request's bytes where they lie; `*data` stays NULL where they cannot be used there.
static TRITONSERVER_Error *in_place(const struct batch *b, const struct batch_input *in,
                                    size_t alignment, void **data)
{
    struct gpu_place place = {0};
    uint64_t size = 0;
    if (b->count != 1 || in->buffer_count != 1 || alignment == 0 || in->byte_size == 0) {
        return NULL;
    }
    BACKEND_TRY(buffer_of(b, in, 0, &place, &size));
    if (size == in->byte_size && gpu_place_is_direct(b, place, alignment)) {
        *data = place.ptr;
    }
    return NULL;
}

TRITONSERVER_Error *gpu_gather(struct batch *b, const struct batch_input *first, size_t alignment,
                               struct gpu_scratch *scratch, void **data, uint64_t *size)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        struct batch_input in = {0};
        uint64_t part = 0;
        BACKEND_TRY(batch_input_get(b, i, first->name, &in));
        BACKEND_TRY(batch_input_size(&in, &part));
        total += part;
    }
    *size = total;
    *data = NULL;
    BACKEND_TRY(in_place(b, first, alignment, data));
    if (*data != NULL) {
        return NULL;
    }
    BACKEND_TRY(gpu_scratch_reserve(b->gpu_io, scratch, (size_t)total, data));
    char *to = *data;
    for (uint32_t i = 0; i < b->count; i++) {
        struct batch_input in = {0};
        BACKEND_TRY(batch_input_get(b, i, first->name, &in));
        TRITONSERVER_Error *error = copy_request(b, i, &in, to);
        if (error != NULL) {
            batch_fail(b, i, error);
        }
        to += in.byte_size;
    }
    return NULL;
}

// ---- outputs ----

TRITONSERVER_Error *gpu_output(struct batch *b, uint32_t index, const char *name,
                               TRITONSERVER_DataType dtype, const int64_t *dims, uint32_t dim_count,
                               uint64_t byte_size, struct gpu_place *place)
{
    TRITONBACKEND_Output *output = NULL;
    TRITONSERVER_MemoryType type = TRITONSERVER_MEMORY_GPU;
    int64_t id = gpu_io_device_id(b->gpu_io);
    void *data = NULL;
    BACKEND_TRY(TRITONBACKEND_ResponseOutput(b->items[index].response, &output, name, dtype, dims,
                                             dim_count));
    BACKEND_TRY(TRITONBACKEND_OutputBuffer(output, &data, byte_size, &type, &id));
    *place = gpu_place_of(data, type, id);
    return NULL;
}

bool gpu_place_is_direct(const struct batch *b, struct gpu_place place, size_t alignment)
{
    return place.gpu == gpu_io_device_id(b->gpu_io) &&
           ((uintptr_t)place.ptr & (alignment - 1)) == 0;
}

static TRITONSERVER_Error *scatter_item(struct batch *b, uint32_t index, const char *name,
                                        TRITONSERVER_DataType dtype, const int64_t *dims,
                                        uint32_t dim_count, const char *from, uint64_t size)
{
    struct gpu_place to = {0};
    BACKEND_TRY(gpu_output(b, index, name, dtype, dims, dim_count, size, &to));
    return gpu_io_copy(b->gpu_io, to, device_place(b, from), (size_t)size, index);
}

void gpu_scatter(struct batch *b, const char *name, TRITONSERVER_DataType dtype, int64_t *dims,
                 uint32_t dim_count, bool batching, const void *data, uint64_t byte_size)
{
    batch_scatter_by(b, name, dtype, dims, dim_count, batching, data, byte_size, scatter_item);
}

TRITONSERVER_Error *gpu_bring_home(struct batch *b, const void *data, uint64_t size,
                                   struct scratch *scratch, void **copy)
{
    *copy = scratch_reserve(scratch, (size_t)size + 1);
    if (*copy == NULL) {
        return backend_no_memory();
    }
    return gpu_io_read(b->gpu_io, *copy, device_place(b, data), (size_t)size);
}
