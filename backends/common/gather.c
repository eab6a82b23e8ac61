// SPDX-License-Identifier: Apache-2.0
// Joins inputs, divides strings. See gather.h.
#include "backends/common/gather.h"

#include "backends/common/model_config.h"
#include "base/mem.h"

void *scratch_reserve(struct scratch *s, size_t size)
{
    enum { ALIGNMENT = 64 };
    if (size > s->capacity) {
        mem_free(s->ptr);
        s->capacity = 0;
        s->ptr = mem_aligned(ALIGNMENT, size);
        if (s->ptr != NULL) {
            s->capacity = size;
        }
    }
    return s->ptr;
}

void scratch_fini(struct scratch *s)
{
    mem_free(s->ptr);
    *s = (struct scratch){0};
}

// ---- numbers ----

TRITONSERVER_Error *batch_input_size(const struct batch_input *in, uint64_t *size)
{
    int64_t elements = 0;
    uint64_t element_size = TRITONSERVER_DataTypeByteSize(in->dtype);
    if (!model_shape_elements(in->dims, in->dim_count, &elements) ||
        __builtin_mul_overflow((uint64_t)elements, element_size, size)) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "input '%s' has a shape that is negative or too large", in->name);
    }
    if (*size != in->byte_size) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "input '%s' has %llu bytes, its shape needs %llu", in->name,
                                 (unsigned long long)in->byte_size, (unsigned long long)*size);
    }
    return NULL;
}

// One request: in place if possible, else copied.
static TRITONSERVER_Error *gather_one(const struct batch_input *in, size_t alignment,
                                      struct scratch *scratch, const void **data, uint64_t *size)
{
    BACKEND_TRY(batch_input_size(in, size));
    BACKEND_TRY(batch_input_view(in, alignment, data));
    if (*data != NULL || *size == 0) {
        return NULL;
    }
    void *copy = scratch_reserve(scratch, (size_t)*size);
    if (copy == NULL) {
        return backend_no_memory();
    }
    *data = copy;
    return batch_input_copy(in, copy);
}

// Several requests, one behind the other. What a failed one leaves is zeros.
static TRITONSERVER_Error *gather_many(struct batch *b, const char *name, struct scratch *scratch,
                                       const void **data, uint64_t *size)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        struct batch_input in = {0};
        uint64_t part = 0;
        BACKEND_TRY(batch_input_get(b, i, name, &in));
        BACKEND_TRY(batch_input_size(&in, &part));
        total += part;
    }
    char *to = scratch_reserve(scratch, (size_t)total + 1);
    if (to == NULL) {
        return backend_no_memory();
    }
    *data = to;
    *size = total;
    for (uint32_t i = 0; i < b->count; i++) {
        struct batch_input in = {0};
        BACKEND_TRY(batch_input_get(b, i, name, &in));
        TRITONSERVER_Error *error = batch_input_copy(&in, to);
        if (error != NULL) {
            memset(to, 0, (size_t)in.byte_size);
            batch_fail(b, i, error);
        }
        to += in.byte_size;
    }
    return NULL;
}

TRITONSERVER_Error *batch_gather(struct batch *b, const struct batch_input *first, size_t alignment,
                                 struct scratch *scratch, const void **data, uint64_t *size)
{
    if (b->count > 1) {
        return gather_many(b, first->name, scratch, data, size);
    }
    size_t element = TRITONSERVER_DataTypeByteSize(first->dtype);
    if (alignment == 0) {
        alignment = element == 0 ? 1 : element;
    }
    return gather_one(first, alignment, scratch, data, size);
}

bool batch_wanted(const struct batch *b, const char *name)
{
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->items[i].response != NULL && batch_wants(b, i, name)) {
            return true;
        }
    }
    return false;
}

// ---- strings ----

static TRITONSERVER_Error *broken(const char *what, const char *name)
{
    return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG, "%s for inference input '%s'", what,
                             name);
}

// Puts the strings of one request at `first` and behind.
static TRITONSERVER_Error *put_request(const struct batch_input *in, const char *bytes,
                                       int64_t count, int64_t first, bytes_put_fn put, void *userp)
{
    const char *at = bytes;
    uint64_t left = in->byte_size;
    for (int64_t i = 0; i < count; i++) {
        uint32_t length = 0;
        if (left < sizeof(length)) {
            return broken("incomplete string length indicator", in->name);
        }
        memcpy(&length, at, sizeof(length));
        at += sizeof(length);
        left -= sizeof(length);
        if (length > left) {
            return broken("incomplete string data", in->name);
        }
        BACKEND_TRY(put(userp, first + i, slice_make(at, length)));
        at += length;
        left -= length;
    }
    return left == 0 ? NULL : broken("unexpected number of string elements", in->name);
}

static TRITONSERVER_Error *gather_request(const struct batch_input *in, int64_t count,
                                          int64_t first, struct scratch *scratch, bytes_put_fn put,
                                          void *userp)
{
    const void *bytes = NULL;
    BACKEND_TRY(batch_input_view(in, 1, &bytes));
    if (bytes == NULL) {
        void *copy = scratch_reserve(scratch, (size_t)in->byte_size + 1);
        if (copy == NULL) {
            return backend_no_memory();
        }
        BACKEND_TRY(batch_input_copy(in, copy));
        bytes = copy;
    }
    return put_request(in, bytes, count, first, put, userp);
}

TRITONSERVER_Error *batch_gather_bytes(struct batch *b, const char *name, int64_t total,
                                       struct scratch *scratch, bytes_put_fn put, void *userp)
{
    int64_t first = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        struct batch_input in = {0};
        int64_t count = 0;
        BACKEND_TRY(batch_input_get(b, i, name, &in));
        if (!model_shape_elements(in.dims, in.dim_count, &count) || count > total - first) {
            return broken("unexpected shape", name);
        }
        TRITONSERVER_Error *error = gather_request(&in, count, first, scratch, put, userp);
        if (error != NULL) {
            batch_fail(b, i, error);
        }
        first += count;
    }
    return NULL;
}

static TRITONSERVER_Error *scatter_request(struct batch *b, uint32_t index, const char *name,
                                           const int64_t *dims, uint32_t dim_count, int64_t first,
                                           int64_t count, bytes_get_fn get, void *userp)
{
    uint64_t size = (uint64_t)count * sizeof(uint32_t);
    for (int64_t i = 0; i < count; i++) {
        struct slice element = {0};
        BACKEND_TRY(get(userp, first + i, &element));
        if (element.len > UINT32_MAX) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                     "output '%s' has a string of over 4 GiB", name);
        }
        size += element.len;
    }
    void *data = NULL;
    BACKEND_TRY(
        batch_output(b, index, name, TRITONSERVER_TYPE_BYTES, dims, dim_count, size, &data));
    char *to = data;
    for (int64_t i = 0; i < count; i++) {
        struct slice element = {0};
        BACKEND_TRY(get(userp, first + i, &element));
        uint32_t word = (uint32_t)element.len;
        memcpy(to, &word, sizeof(word));
        to += sizeof(word);
        if (element.len > 0) {
            memcpy(to, element.ptr, element.len);
        }
        to += element.len;
    }
    return NULL;
}

TRITONSERVER_Error *batch_scatter_bytes(struct batch *b, const char *name, int64_t *dims,
                                        uint32_t dim_count, bool batching, bytes_get_fn get,
                                        void *userp)
{
    int64_t total = 0;
    if (!model_shape_elements(dims, dim_count, &total) ||
        (batching && (dim_count == 0 || (uint64_t)dims[0] != b->rows))) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "output '%s' has a shape that does not fit the batch", name);
    }
    int64_t row = b->rows == 0 ? 0 : total / (int64_t)b->rows;
    int64_t first = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        int64_t count = batching ? row * (int64_t)b->items[i].rows : total;
        if (b->items[i].response != NULL && batch_wants(b, i, name)) {
            if (batching) {
                dims[0] = (int64_t)b->items[i].rows;
            }
            TRITONSERVER_Error *error =
                scatter_request(b, i, name, dims, dim_count, first, count, get, userp);
            if (error != NULL) {
                batch_fail(b, i, error);
            }
        }
        first += batching ? count : 0;
    }
    if (batching) {
        dims[0] = (int64_t)b->rows;
    }
    return NULL;
}
