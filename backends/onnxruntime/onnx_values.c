// SPDX-License-Identifier: Apache-2.0
// String tensors and ragged batches. See onnx_execute.h.
//
// ONNX Runtime keeps strings as objects: in, each is asked for its memory; out, all are copied once
// to the instance's and from there to the responses.
#include "backends/onnxruntime/onnx_execute.h"

static TRITONSERVER_Error *negative(const char *name)
{
    return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                             "negative shape for inference input '%s'", name);
}

// ---- strings in ----

struct string_sink {
    struct ort_library *library;
    struct ort_value *value;
};

static TRITONSERVER_Error *put_string(void *userp, int64_t index, struct slice element)
{
    const struct string_sink *sink = userp;
    char *to = NULL;
    ORT_TRY(sink->library,
            sink->library->fn.string_buffer(sink->value, (size_t)index, element.len, &to));
    if (element.len > 0) {
        memcpy(to, element.ptr, element.len);
    }
    return NULL;
}

TRITONSERVER_Error *onnx_gather_strings(struct onnx_instance *s, const char *name,
                                        const int64_t *dims, uint32_t dim_count,
                                        struct scratch *scratch, struct ort_value **value)
{
    struct ort_library *library = s->model->library;
    int64_t total = 0;
    if (!model_shape_elements(dims, dim_count, &total)) {
        return negative(name);
    }
    ORT_TRY(library, library->fn.create_tensor(library->allocator, dims, dim_count,
                                               ORT_ELEMENT_STRING, value));
    struct string_sink sink = {library, *value};
    return batch_gather_bytes(&s->batch, name, total, scratch, put_string, &sink);
}

// ---- strings out ----

struct string_source {
    const char *text;
    const size_t *offsets;
};

static TRITONSERVER_Error *get_string(void *userp, int64_t index, struct slice *element)
{
    const struct string_source *source = userp;
    const size_t *at = source->offsets + index;
    *element = slice_make(source->text + at[0], at[1] - at[0]);
    return NULL;
}

TRITONSERVER_Error *onnx_scatter_strings(struct onnx_instance *s, const char *name,
                                         const struct ort_value *value, int64_t *dims,
                                         uint32_t dim_count, bool batching)
{
    struct ort_library *library = s->model->library;
    int64_t total = 0;
    size_t size = 0;
    if (!model_shape_elements(dims, dim_count, &total)) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "output '%s' has a negative shape",
                                 name);
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
    struct string_source source = {text, offsets};
    return batch_scatter_bytes(&s->batch, name, dims, dim_count, batching, get_string, &source);
}

// ---- ragged batches ----

TRITONSERVER_Error *onnx_gather_ragged(struct onnx_instance *s, const struct ragged_input *ragged)
{
    for (uint32_t i = 0; i < ragged->target_count; i++) {
        if (s->input_count >= s->input_max) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "too many inputs for model '%s'",
                                     s->model->config.name);
        }
        uint32_t slot = s->input_count++;
        s->input_names[slot] = ragged->targets[i];
        s->input_values[slot] = NULL;
        int64_t dims[RAGGED_DIMS_MAX] = {0, 0};
        uint32_t dim_count = 0;
        void *data = NULL;
        uint64_t size = 0;
        BACKEND_TRY(
            ragged_fill(&s->batch, ragged, &s->inputs[slot], dims, &dim_count, &data, &size));
        BACKEND_TRY(onnx_wrap(s, data, size, dims, dim_count, onnx_from_triton(ragged->dtype),
                              &s->input_values[slot]));
    }
    return NULL;
}
