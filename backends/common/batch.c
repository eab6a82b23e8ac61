// SPDX-License-Identifier: Apache-2.0
// A batch on its way through a backend. See batch.h.
#include "backends/common/batch.h"

#include "backends/common/landing.h"
#include "backends/common/order.h"

#include "base/clock.h"
#include "base/mem.h"

void batch_init(struct batch *b, TRITONBACKEND_ModelInstance *instance)
{
    *b = (struct batch){.instance = instance};
}

void batch_fini(struct batch *b)
{
    landing_destroy(b->landing);
    if (b->own_gpu_io) {
        gpu_io_destroy(b->gpu_io);
    }
    mem_free(b->items);
    *b = (struct batch){0};
}

static TRITONSERVER_Error *reserve(struct batch *b, uint32_t count)
{
    if (count <= b->capacity) {
        return NULL;
    }
    struct batch_item *items = mem_realloc(b->items, (size_t)count * sizeof(*items));
    if (items == NULL) {
        return backend_no_memory();
    }
    b->items = items;
    b->capacity = count;
    return NULL;
}

// All inputs of a request agree on the first dimension; the host has checked it.
static TRITONSERVER_Error *count_rows(TRITONBACKEND_Request *request, uint64_t *rows)
{
    TRITONBACKEND_Input *input = NULL;
    const int64_t *dims = NULL;
    uint32_t dim_count = 0;
    BACKEND_TRY(TRITONBACKEND_RequestInputByIndex(request, 0, &input));
    BACKEND_TRY(TRITONBACKEND_InputProperties(input, NULL, NULL, &dims, &dim_count, NULL, NULL));
    *rows = dim_count > 0 && dims[0] > 0 ? (uint64_t)dims[0] : 1;
    return NULL;
}

static TRITONSERVER_Error *begin_item(struct batch_item *item, TRITONBACKEND_Request *request,
                                      bool batching)
{
    *item = (struct batch_item){.request = request, .rows = 1};
    if (request == NULL) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "null request given to the backend");
    }
    if (batching) {
        BACKEND_TRY(count_rows(request, &item->rows));
    }
    return TRITONBACKEND_ResponseNew(&item->response, request);
}

TRITONSERVER_Error *batch_begin(struct batch *b, TRITONBACKEND_Request **requests, uint32_t count,
                                bool batching)
{
    b->exec_start_ns = clock_now_ns();
    b->compute_start_ns = b->exec_start_ns;
    b->compute_end_ns = 0;
    b->rows = 0;
    BACKEND_TRY(reserve(b, count));
    for (uint32_t i = 0; i < count; i++) {
        TRITONSERVER_Error *error = begin_item(&b->items[i], requests[i], batching);
        if (error != NULL) {
            for (uint32_t k = 0; k < i; k++) {
                backend_log_error(TRITONBACKEND_ResponseDelete(b->items[k].response),
                                  "failed to delete a response");
            }
            return error;
        }
        b->rows += b->items[i].rows;
    }
    b->count = count;
    b->alive = count;
    return NULL;
}

void batch_compute_begin(struct batch *b)
{
    b->compute_start_ns = clock_now_ns();
    batch_order_begin(b);
}

void batch_compute_end(struct batch *b)
{
    b->compute_end_ns = clock_now_ns();
}

void batch_fail(struct batch *b, uint32_t index, TRITONSERVER_Error *error)
{
    struct batch_item *item = &b->items[index];
    if (b->gpu_io != NULL) {
        gpu_io_cancel(b->gpu_io, index); // its memory goes with the answer
    }
    if (item->response != NULL) {
        backend_log_error(
            TRITONBACKEND_ResponseSend(item->response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, error),
            "failed to send an error response");
        item->response = NULL;
        b->alive--;
    }
    TRITONSERVER_ErrorDelete(error);
}

void batch_fail_all(struct batch *b, TRITONSERVER_Error *error)
{
    if (b->gpu_io != NULL) {
        gpu_io_cancel(b->gpu_io, GPU_IO_ALL);
    }
    for (uint32_t i = 0; i < b->count; i++) {
        struct batch_item *item = &b->items[i];
        if (item->response != NULL) {
            backend_log_error(TRITONBACKEND_ResponseSend(
                                  item->response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, error),
                              "failed to send an error response");
            item->response = NULL;
        }
    }
    b->alive = 0;
    TRITONSERVER_ErrorDelete(error);
}

static void report_request(const struct batch *b, const struct batch_item *item, uint64_t end)
{
    backend_log_error(TRITONBACKEND_ModelInstanceReportStatistics(
                          b->instance, item->request, item->response != NULL, b->exec_start_ns,
                          b->compute_start_ns, b->compute_end_ns, end),
                      "failed to report the statistics of a request");
}

// Answers first: the client waits for them, nobody waits for the statistics.
static void send_all(const struct batch *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->items[i].response != NULL) {
            backend_log_error(TRITONBACKEND_ResponseSend(
                                  b->items[i].response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, NULL),
                              "failed to send a response");
        }
    }
}

void batch_end(struct batch *b)
{
    bool departs = false;
    TRITONSERVER_Error *error = batch_order_end(b, &departs);
    if (error != NULL) {
        batch_fail_all(b, error);
    }
    uint64_t end = clock_now_ns();
    if (b->compute_end_ns == 0) {
        b->compute_end_ns = end;
    }
    send_all(b);
    for (uint32_t i = 0; i < b->count; i++) {
        if (!departs) {
            report_request(b, &b->items[i], end);
        }
        backend_log_error(
            TRITONBACKEND_RequestRelease(b->items[i].request, TRITONSERVER_REQUEST_RELEASE_ALL),
            "failed to release a request");
    }
    if (departs) {
        batch_order_depart(b);
    } else if (b->alive > 0) {
        backend_log_error(TRITONBACKEND_ModelInstanceReportBatchStatistics(
                              b->instance, b->rows, b->exec_start_ns, b->compute_start_ns,
                              b->compute_end_ns, end),
                          "failed to report the statistics of a batch");
    }
    b->count = 0;
    b->alive = 0;
}

static TRITONSERVER_Error *read_input(struct batch_input *input)
{
    return TRITONBACKEND_InputProperties(input->handle, &input->name, &input->dtype, &input->dims,
                                         &input->dim_count, &input->byte_size,
                                         &input->buffer_count);
}

TRITONSERVER_Error *batch_input_get(struct batch *b, uint32_t index, const char *name,
                                    struct batch_input *input)
{
    input->batch = b;
    BACKEND_TRY(TRITONBACKEND_RequestInput(b->items[index].request, name, &input->handle));
    return read_input(input);
}

TRITONSERVER_Error *batch_input_at(struct batch *b, uint32_t index, uint32_t at,
                                   struct batch_input *input)
{
    input->batch = b;
    BACKEND_TRY(TRITONBACKEND_RequestInputByIndex(b->items[index].request, at, &input->handle));
    return read_input(input);
}

TRITONSERVER_Error *batch_input_view(const struct batch_input *input, size_t alignment,
                                     const void **data)
{
    *data = NULL;
    if (input->buffer_count != 1) {
        return NULL;
    }
    const void *at = NULL;
    uint64_t size = 0;
    TRITONSERVER_MemoryType type = TRITONSERVER_MEMORY_CPU;
    int64_t id = 0;
    BACKEND_TRY(TRITONBACKEND_InputBuffer(input->handle, 0, &at, &size, &type, &id));
    if (type != TRITONSERVER_MEMORY_GPU && size == input->byte_size &&
        ((uintptr_t)at & (alignment - 1)) == 0) {
        *data = at;
    }
    return NULL;
}

// What reaches GPUs, made at the first need. `text` names the tensor and where it is, for the error.
static TRITONSERVER_Error *need_gpu_io(struct batch *b, const char *text, const char *name, int gpu)
{
    if (b->gpu_io != NULL) {
        return NULL;
    }
    TRITONSERVER_Error *why = gpu_io_create(b->instance, GPU_IO_HOST, &b->gpu_io);
    if (why == NULL) {
        b->own_gpu_io = true;
        return NULL;
    }
    TRITONSERVER_Error *error =
        backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                          "%s '%s' is in the memory of GPU %d, which this server "
                          "cannot reach: %s",
                          text, name, gpu, TRITONSERVER_ErrorMessage(why));
    TRITONSERVER_ErrorDelete(why);
    return error;
}

static TRITONSERVER_Error *copy_buffer(const struct batch_input *input, void *to,
                                       struct gpu_place from, uint64_t size)
{
    if (from.gpu == GPU_IO_HOST) {
        memcpy(to, from.ptr, size);
        return NULL;
    }
    BACKEND_TRY(need_gpu_io(input->batch, "input", input->name, from.gpu));
    return gpu_io_read(input->batch->gpu_io, to, from, size);
}

TRITONSERVER_Error *batch_input_copy(const struct batch_input *input, void *to)
{
    char *out = to;
    uint64_t left = input->byte_size;
    for (uint32_t i = 0; i < input->buffer_count; i++) {
        const void *at = NULL;
        uint64_t size = 0;
        TRITONSERVER_MemoryType type = TRITONSERVER_MEMORY_CPU;
        int64_t id = 0;
        BACKEND_TRY(TRITONBACKEND_InputBuffer(input->handle, i, &at, &size, &type, &id));
        if (size > left) {
            return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                     "buffer size for input '%s' exceeds batch byte size %llu",
                                     input->name, (unsigned long long)input->byte_size);
        }
        if (size > 0) {
            BACKEND_TRY(copy_buffer(input, out, gpu_place_of(at, type, id), size));
            out += size;
            left -= size;
        }
    }
    if (left != 0) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "input '%s' has %llu bytes fewer than its size says", input->name,
                                 (unsigned long long)left);
    }
    return NULL;
}

bool batch_wants(const struct batch *b, uint32_t index, const char *name)
{
    TRITONBACKEND_Request *request = b->items[index].request;
    uint32_t count = 0;
    TRITONSERVER_Error *error = TRITONBACKEND_RequestOutputCount(request, &count);
    for (uint32_t i = 0; error == NULL && i < count; i++) {
        const char *asked = NULL;
        error = TRITONBACKEND_RequestOutputName(request, i, &asked);
        if (error == NULL && strcmp(asked, name) == 0) {
            return true;
        }
    }
    backend_log_error(error, "failed to read the requested outputs");
    return false;
}

TRITONSERVER_Error *batch_output(struct batch *b, uint32_t index, const char *name,
                                 TRITONSERVER_DataType dtype, const int64_t *dims,
                                 uint32_t dim_count, uint64_t byte_size, void **data)
{
    TRITONBACKEND_Output *output = NULL;
    TRITONSERVER_MemoryType type = TRITONSERVER_MEMORY_CPU;
    int64_t id = 0;
    BACKEND_TRY(TRITONBACKEND_ResponseOutput(b->items[index].response, &output, name, dtype, dims,
                                             dim_count));
    BACKEND_TRY(TRITONBACKEND_OutputBuffer(output, data, byte_size, &type, &id));
    if (type == TRITONSERVER_MEMORY_GPU && byte_size > 0) {
        struct gpu_place place = gpu_place_of(*data, type, id);
        BACKEND_TRY(need_gpu_io(b, "output", name, place.gpu));
        return gpu_io_stand_in(b->gpu_io, place, byte_size, index, data);
    }
    return NULL;
}

void batch_scatter_by(struct batch *b, const char *name, TRITONSERVER_DataType dtype, int64_t *dims,
                      uint32_t dim_count, bool batching, const void *data, uint64_t byte_size,
                      batch_hand_fn hand)
{
    if (batching && (dim_count == 0 || dims[0] < 0 || (uint64_t)dims[0] != b->rows)) {
        batch_fail_all(b, backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                            "output '%s' has %lld rows for a batch of %llu", name,
                                            dim_count == 0 ? 0LL : (long long)dims[0],
                                            (unsigned long long)b->rows));
        return;
    }
    uint64_t row_size = b->rows == 0 ? 0 : byte_size / b->rows;
    const char *at = data;
    for (uint32_t i = 0; i < b->count; i++) {
        uint64_t size = batching ? row_size * b->items[i].rows : byte_size;
        if (b->items[i].response != NULL && batch_wants(b, i, name)) {
            if (batching) {
                dims[0] = (int64_t)b->items[i].rows;
            }
            TRITONSERVER_Error *error = hand(b, i, name, dtype, dims, dim_count, at, size);
            if (error != NULL) {
                batch_fail(b, i, error);
            }
        }
        if (batching) {
            at += size;
        }
    }
    if (batching) {
        dims[0] = (int64_t)b->rows;
    }
}

static TRITONSERVER_Error *hand_from_host(struct batch *b, uint32_t index, const char *name,
                                          TRITONSERVER_DataType dtype, const int64_t *dims,
                                          uint32_t dim_count, const char *from, uint64_t size)
{
    void *out = NULL;
    BACKEND_TRY(batch_output(b, index, name, dtype, dims, dim_count, size, &out));
    if (size > 0) {
        memcpy(out, from, size);
    }
    return NULL;
}

void batch_scatter(struct batch *b, const char *name, TRITONSERVER_DataType dtype, int64_t *dims,
                   uint32_t dim_count, bool batching, const void *data, uint64_t byte_size)
{
    batch_scatter_by(b, name, dtype, dims, dim_count, batching, data, byte_size, hand_from_host);
}
