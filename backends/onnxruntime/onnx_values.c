// SPDX-License-Identifier: Apache-2.0
// String tensors and ragged batches. See onnx_execute.h.
//
// A BYTES tensor is a run of elements, each led by its length in four bytes (little endian); ONNX
// Runtime keeps strings as objects. Bytes pass through as they are, zeros among them.
#include "backends/onnxruntime/onnx_execute.h"

// ---- strings in ----

static TRITONSERVER_Error *broken(const char *what, const char *name)
{
    return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG, "%s for inference input '%s'", what,
                             name);
}

// Puts the strings of one request at `first` and behind.
static TRITONSERVER_Error *put_strings(struct onnx_instance *s, const struct batch_input *in,
                                       const char *bytes, int64_t count, size_t first,
                                       struct ort_value *value)
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
        char *to = NULL;
        ORT_TRY(s->model->library,
                s->model->library->fn.string_buffer(value, first + (size_t)i, length, &to));
        if (length > 0) {
            memcpy(to, at, length);
        }
        at += length;
        left -= length;
    }
    return left == 0 ? NULL : broken("unexpected number of string elements", in->name);
}

static TRITONSERVER_Error *gather_request_strings(struct onnx_instance *s,
                                                  const struct batch_input *in, int64_t count,
                                                  size_t first, struct scratch *scratch,
                                                  struct ort_value *value)
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
    return put_strings(s, in, bytes, count, first, value);
}

TRITONSERVER_Error *onnx_gather_strings(struct onnx_instance *s, const char *name,
                                        const int64_t *dims, uint32_t dim_count,
                                        struct scratch *scratch, struct ort_value **value)
{
    struct ort_library *library = s->model->library;
    int64_t total = 0;
    if (!model_shape_elements(dims, dim_count, &total)) {
        return broken("negative shape", name);
    }
    ORT_TRY(library, library->fn.create_tensor(library->allocator, dims, dim_count,
                                               ORT_ELEMENT_STRING, value));
    int64_t first = 0;
    for (uint32_t i = 0; i < s->batch.count; i++) {
        struct batch_input in = {0};
        int64_t count = 0;
        BACKEND_TRY(batch_input_get(&s->batch, i, name, &in));
        if (!model_shape_elements(in.dims, in.dim_count, &count) || count > total - first) {
            return broken("unexpected shape", name);
        }
        TRITONSERVER_Error *error =
            gather_request_strings(s, &in, count, (size_t)first, scratch, *value);
        if (error != NULL) {
            batch_fail(&s->batch, i, error);
        }
        first += count;
    }
    return NULL;
}

// ---- strings out ----

static TRITONSERVER_Error *write_strings(struct onnx_instance *s, uint32_t index, const char *name,
                                         const int64_t *dims, uint32_t dim_count, const char *text,
                                         const size_t *offsets, int64_t count)
{
    uint64_t size = (offsets[count] - offsets[0]) + (uint64_t)count * sizeof(uint32_t);
    void *data = NULL;
    BACKEND_TRY(batch_output(&s->batch, index, name, TRITONSERVER_TYPE_BYTES, dims, dim_count, size,
                             &data));
    char *to = data;
    for (int64_t i = 0; i < count; i++) {
        size_t length = offsets[i + 1] - offsets[i];
        uint32_t word = (uint32_t)length;
        if (length > UINT32_MAX) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                     "output '%s' has a string of over 4 GiB", name);
        }
        memcpy(to, &word, sizeof(word));
        to += sizeof(word);
        if (length > 0) {
            memcpy(to, text + offsets[i], length);
        }
        to += length;
    }
    return NULL;
}

TRITONSERVER_Error *onnx_scatter_strings(struct onnx_instance *s, const char *name,
                                         const struct ort_value *value, int64_t *dims,
                                         uint32_t dim_count, bool batching)
{
    struct ort_library *library = s->model->library;
    struct batch *b = &s->batch;
    int64_t total = 0;
    size_t size = 0;
    if (!model_shape_elements(dims, dim_count, &total) ||
        (batching && (dim_count == 0 || (uint64_t)dims[0] != b->rows))) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "output '%s' has a shape that does not fit the batch", name);
    }
    ORT_TRY(library, library->fn.string_bytes(value, &size));
    char *text = scratch_reserve(&s->text, size + 1);
    size_t *offsets = scratch_reserve(&s->offsets, ((size_t)total + 1) * sizeof(*offsets));
    if (text == NULL || offsets == NULL) {
        return backend_no_memory();
    }
    offsets[0] = 0;
    if (total > 0) {
        ORT_TRY(library, library->fn.string_content(value, text, size, offsets, (size_t)total));
    }
    offsets[total] = size;
    int64_t row = b->rows == 0 ? 0 : total / (int64_t)b->rows;
    int64_t first = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        int64_t count = batching ? row * (int64_t)b->items[i].rows : total;
        if (b->items[i].response != NULL && batch_wants(b, i, name)) {
            if (batching) {
                dims[0] = (int64_t)b->items[i].rows;
            }
            TRITONSERVER_Error *error =
                write_strings(s, i, name, dims, dim_count, text, offsets + first, count);
            if (error != NULL) {
                batch_fail(b, i, error);
            }
        }
        first += batching ? count : 0;
    }
    return NULL;
}

// ---- ragged batches ----

static TRITONSERVER_Error *count_elements(struct onnx_instance *s, uint32_t index, const char *name,
                                          struct batch_input *in, int64_t *elements)
{
    BACKEND_TRY(batch_input_get(&s->batch, index, name, in));
    return model_shape_elements(in->dims, in->dim_count, elements) ? NULL
                                                                   : broken("negative shape", name);
}

TRITONSERVER_Error *onnx_ragged_elements(struct onnx_instance *s, const char *name,
                                         int64_t *elements)
{
    *elements = 0;
    for (uint32_t i = 0; i < s->batch.count; i++) {
        struct batch_input in = {0};
        int64_t part = 0;
        BACKEND_TRY(count_elements(s, i, name, &in, &part));
        *elements += part;
    }
    return NULL;
}

// A column of 32-bit numbers, integers or floats.
struct numbers {
    char *at;
    bool floats;
};

static void put_number(struct numbers *n, int64_t value)
{
    if (n->floats) {
        float f = (float)value;
        memcpy(n->at, &f, sizeof(f));
    } else {
        int32_t i = (int32_t)value;
        memcpy(n->at, &i, sizeof(i));
    }
    n->at += sizeof(int32_t);
}

// The shape of a batch input; model_config.proto describes the kinds.
static TRITONSERVER_Error *ragged_shape(struct onnx_instance *s, const struct ragged_input *r,
                                        int64_t *dims, uint32_t *dim_count)
{
    *dim_count = 1;
    dims[0] = r->kind == BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO ? 1 : 0;
    for (uint32_t i = 0; i < s->batch.count; i++) {
        struct batch_input in = {0};
        int64_t elements = 0;
        BACKEND_TRY(count_elements(s, i, r->source, &in, &elements));
        int64_t rows = in.dim_count > 0 ? in.dims[0] : 1;
        int64_t rank = in.dim_count > 0 ? in.dim_count - 1 : 0;
        switch (r->kind) {
        case BATCH_ELEMENT_COUNT:
        case BATCH_ACCUMULATED_ELEMENT_COUNT:
        case BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO:
            dims[0] += 1;
            break;
        case BATCH_MAX_ELEMENT_COUNT_AS_SHAPE:
            dims[0] = elements > dims[0] ? elements : dims[0];
            break;
        case BATCH_ITEM_SHAPE:
            dims[0] += rows;
            dims[1] = rank;
            *dim_count = 2;
            break;
        case BATCH_ITEM_SHAPE_FLATTEN:
            dims[0] += rows * rank;
            break;
        }
    }
    return NULL;
}

static TRITONSERVER_Error *ragged_numbers(struct onnx_instance *s, const struct ragged_input *r,
                                          struct numbers *out)
{
    int64_t sum = 0;
    if (r->kind == BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO) {
        put_number(out, 0);
    }
    for (uint32_t i = 0; i < s->batch.count; i++) {
        struct batch_input in = {0};
        int64_t elements = 0;
        BACKEND_TRY(count_elements(s, i, r->source, &in, &elements));
        sum += elements;
        switch (r->kind) {
        case BATCH_ELEMENT_COUNT:
            put_number(out, elements);
            break;
        case BATCH_ACCUMULATED_ELEMENT_COUNT:
        case BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO:
            put_number(out, sum);
            break;
        case BATCH_MAX_ELEMENT_COUNT_AS_SHAPE:
            break; // only its shape speaks; its numbers are zeros
        case BATCH_ITEM_SHAPE:
        case BATCH_ITEM_SHAPE_FLATTEN:
            for (int64_t row = 0; in.dim_count > 0 && row < in.dims[0]; row++) {
                for (uint32_t d = 1; d < in.dim_count; d++) {
                    put_number(out, in.dims[d]);
                }
            }
            break;
        }
    }
    return NULL;
}

TRITONSERVER_Error *onnx_gather_ragged(struct onnx_instance *s, const struct ragged_input *ragged)
{
    int64_t dims[2] = {0, 0};
    uint32_t dim_count = 0;
    int64_t elements = 0;
    BACKEND_TRY(ragged_shape(s, ragged, dims, &dim_count));
    if (!model_shape_elements(dims, dim_count, &elements)) {
        return broken("negative shape", ragged->source);
    }
    for (uint32_t i = 0; i < ragged->target_count; i++) {
        if (s->input_count >= s->input_max) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "too many inputs for model '%s'",
                                     s->model->config.name);
        }
        uint32_t slot = s->input_count++;
        s->input_names[slot] = ragged->targets[i];
        s->input_values[slot] = NULL;
        size_t size = (size_t)elements * sizeof(int32_t);
        void *data = scratch_reserve(&s->inputs[slot], size + 1);
        if (data == NULL) {
            return backend_no_memory();
        }
        memset(data, 0, size);
        struct numbers out = {data, ragged->dtype == TRITONSERVER_TYPE_FP32};
        BACKEND_TRY(ragged_numbers(s, ragged, &out));
        BACKEND_TRY(onnx_wrap(s, data, size, dims, dim_count, onnx_from_triton(ragged->dtype),
                              &s->input_values[slot]));
    }
    return NULL;
}

// The shape of one request's part: the configuration's, open dimensions taken from the source
// input.
static TRITONSERVER_Error *scatter_shape(struct onnx_instance *s, uint32_t index,
                                         const struct onnx_output *output, int64_t *dims,
                                         uint32_t *dim_count)
{
    struct batch_input in = {0};
    BACKEND_TRY(batch_input_get(&s->batch, index, output->scatter_source, &in));
    struct model_shape shape = model_tensor_shape(output->config);
    uint32_t count = 0;
    if (s->model->config.max_batch_size > 0) {
        dims[count++] = -1;
    }
    for (uint32_t i = 0; i < shape.count && count < ONNX_DIMS_MAX; i++) {
        dims[count++] = shape.dims[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        if (i < in.dim_count && dims[i] == -1) {
            dims[i] = in.dims[i];
        }
    }
    *dim_count = count;
    return NULL;
}

TRITONSERVER_Error *onnx_scatter_ragged(struct onnx_instance *s, const struct onnx_output *output,
                                        const void *data, uint64_t size)
{
    const struct onnx_tensor *t = output->tensor;
    const char *at = data;
    uint64_t left = size;
    for (uint32_t i = 0; i < s->batch.count; i++) {
        int64_t dims[ONNX_DIMS_MAX];
        uint32_t dim_count = 0;
        int64_t elements = 0;
        BACKEND_TRY(scatter_shape(s, i, output, dims, &dim_count));
        if (!model_shape_elements(dims, dim_count, &elements)) {
            return broken("unexpected shape", output->scatter_source);
        }
        uint64_t part = (uint64_t)elements * TRITONSERVER_DataTypeByteSize(t->dtype);
        if (part > left) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                     "output '%s' is shorter than its batch", t->name);
        }
        if (s->batch.items[i].response != NULL && batch_wants(&s->batch, i, t->name)) {
            void *to = NULL;
            TRITONSERVER_Error *error =
                batch_output(&s->batch, i, t->name, t->dtype, dims, dim_count, part, &to);
            if (error != NULL) {
                batch_fail(&s->batch, i, error);
            } else if (part > 0) {
                memcpy(to, at, part);
            }
        }
        at += part;
        left -= part;
    }
    return NULL;
}
