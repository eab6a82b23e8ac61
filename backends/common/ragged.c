// SPDX-License-Identifier: Apache-2.0
// Ragged batches. See ragged.h.
#include "backends/common/ragged.h"

enum { DIMS_MAX = 64 };

// ---- configuration ----

static TRITONSERVER_Error *read_names(struct model_config *c, const struct json_node *array,
                                      const char ***names, uint32_t *count)
{
    BACKEND_TRY(backend_error(
        array == NULL ? status_new(NRD_INVALID_ARG, "model '%s': incomplete batch_input", c->name)
                      : json_want_array(array)));
    *names = arena_calloc(&c->arena, (size_t)array->count + 1, sizeof(**names));
    if (*names == NULL) {
        return backend_no_memory();
    }
    const struct json_node *n = json_first(array);
    for (uint32_t i = 0; i < array->count; i++, n = json_next(n)) {
        struct slice text = {0};
        BACKEND_TRY(backend_error(json_want_string(n, &text)));
        (*names)[i] = arena_strdup(&c->arena, text);
        if ((*names)[i] == NULL) {
            return backend_no_memory();
        }
    }
    *count = array->count;
    return NULL;
}

static TRITONSERVER_Error *read_ragged(struct model_config *c, const struct json_node *n,
                                       struct ragged_input *r)
{
    static const char *const kinds[] = {
        [BATCH_ELEMENT_COUNT] = "BATCH_ELEMENT_COUNT",
        [BATCH_ACCUMULATED_ELEMENT_COUNT] = "BATCH_ACCUMULATED_ELEMENT_COUNT",
        [BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO] = "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
        [BATCH_MAX_ELEMENT_COUNT_AS_SHAPE] = "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE",
        [BATCH_ITEM_SHAPE] = "BATCH_ITEM_SHAPE",
        [BATCH_ITEM_SHAPE_FLATTEN] = "BATCH_ITEM_SHAPE_FLATTEN",
    };
    const struct json_node *kind = json_get(n, "kind");
    const struct json_node *type = json_get(n, "data_type");
    struct slice kind_name =
        kind != NULL && kind->type == JSON_STRING ? json_text(kind) : SLICE("BATCH_ELEMENT_COUNT");
    size_t k = 0;
    while (k < sizeof(kinds) / sizeof(kinds[0]) && !slice_is(kind_name, kinds[k])) {
        k++;
    }
    if (k == sizeof(kinds) / sizeof(kinds[0])) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unexpected batch input kind '%.*s'", (int)kind_name.len,
                                 kind_name.ptr);
    }
    r->kind = (enum batch_input_kind)k;
    r->dtype = type != NULL && type->type == JSON_STRING ? model_data_type(json_text(type))
                                                         : TRITONSERVER_TYPE_INVALID;
    if (r->dtype != TRITONSERVER_TYPE_INT32 && r->dtype != TRITONSERVER_TYPE_FP32) {
        return backend_error_new(
            TRITONSERVER_ERROR_INVALID_ARG,
            "model '%s': batch input data type must be TYPE_INT32 or TYPE_FP32", c->name);
    }
    const char **sources = NULL;
    uint32_t source_count = 0;
    BACKEND_TRY(read_names(c, json_get(n, "source_input"), &sources, &source_count));
    BACKEND_TRY(read_names(c, json_get(n, "target_name"), &r->targets, &r->target_count));
    if (source_count != 1) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "model '%s': a batch input must have exactly 1 source_input",
                                 c->name);
    }
    r->source = sources[0];
    return NULL;
}

TRITONSERVER_Error *ragged_read(struct model_config *config, struct ragged_input **list,
                                uint32_t *count)
{
    const struct json_node *array = json_get(config->root, "batch_input");
    if (array == NULL || array->type != JSON_ARRAY || array->count == 0) {
        return NULL;
    }
    struct ragged_input *all = arena_calloc(&config->arena, array->count, sizeof(*all));
    if (all == NULL) {
        return backend_no_memory();
    }
    const struct json_node *n = json_first(array);
    for (uint32_t i = 0; i < array->count; i++, n = json_next(n)) {
        BACKEND_TRY(read_ragged(config, n, &all[i]));
    }
    *list = all;
    *count = array->count;
    return NULL;
}

TRITONSERVER_Error *ragged_scatter_source(struct model_config *config, const char *output,
                                          const char **source)
{
    *source = NULL;
    const struct json_node *array = json_get(config->root, "batch_output");
    if (array == NULL || array->type != JSON_ARRAY) {
        return NULL;
    }
    const struct json_node *n = json_first(array);
    for (uint32_t i = 0; i < array->count; i++, n = json_next(n)) {
        const char **targets = NULL;
        const char **sources = NULL;
        uint32_t target_count = 0;
        uint32_t source_count = 0;
        BACKEND_TRY(read_names(config, json_get(n, "target_name"), &targets, &target_count));
        BACKEND_TRY(read_names(config, json_get(n, "source_input"), &sources, &source_count));
        for (uint32_t k = 0; k < target_count; k++) {
            if (strcmp(targets[k], output) == 0 && source_count > 0) {
                *source = sources[0];
            }
        }
    }
    return NULL;
}

// ---- inputs ----

static TRITONSERVER_Error *broken(const char *what, const char *name)
{
    return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG, "%s for inference input '%s'", what,
                             name);
}

static TRITONSERVER_Error *count_elements(struct batch *b, uint32_t index, const char *name,
                                          struct batch_input *in, int64_t *elements)
{
    BACKEND_TRY(batch_input_get(b, index, name, in));
    return model_shape_elements(in->dims, in->dim_count, elements) ? NULL
                                                                   : broken("negative shape", name);
}

TRITONSERVER_Error *ragged_elements(struct batch *b, const char *name, int64_t *elements)
{
    *elements = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        struct batch_input in = {0};
        int64_t part = 0;
        BACKEND_TRY(count_elements(b, i, name, &in, &part));
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

static TRITONSERVER_Error *input_shape(struct batch *b, const struct ragged_input *r, int64_t *dims,
                                       uint32_t *dim_count)
{
    *dim_count = 1;
    dims[0] = r->kind == BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO ? 1 : 0;
    for (uint32_t i = 0; i < b->count; i++) {
        struct batch_input in = {0};
        int64_t elements = 0;
        BACKEND_TRY(count_elements(b, i, r->source, &in, &elements));
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

static TRITONSERVER_Error *input_numbers(struct batch *b, const struct ragged_input *r,
                                         struct numbers *out)
{
    int64_t sum = 0;
    if (r->kind == BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO) {
        put_number(out, 0);
    }
    for (uint32_t i = 0; i < b->count; i++) {
        struct batch_input in = {0};
        int64_t elements = 0;
        BACKEND_TRY(count_elements(b, i, r->source, &in, &elements));
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

TRITONSERVER_Error *ragged_fill(struct batch *b, const struct ragged_input *ragged,
                                struct scratch *scratch, int64_t *dims, uint32_t *dim_count,
                                void **data, uint64_t *size)
{
    int64_t elements = 0;
    BACKEND_TRY(input_shape(b, ragged, dims, dim_count));
    if (!model_shape_elements(dims, *dim_count, &elements)) {
        return broken("negative shape", ragged->source);
    }
    *size = (uint64_t)elements * sizeof(int32_t);
    *data = scratch_reserve(scratch, (size_t)*size + 1);
    if (*data == NULL) {
        return backend_no_memory();
    }
    memset(*data, 0, (size_t)*size);
    struct numbers out = {*data, ragged->dtype == TRITONSERVER_TYPE_FP32};
    return input_numbers(b, ragged, &out);
}

// ---- outputs ----

static TRITONSERVER_Error *part_shape(struct batch *b, uint32_t index,
                                      const struct model_tensor *output, bool batching,
                                      const char *source, int64_t *dims, uint32_t *dim_count)
{
    struct batch_input in = {0};
    BACKEND_TRY(batch_input_get(b, index, source, &in));
    struct model_shape shape = model_tensor_shape(output);
    uint32_t count = 0;
    if (batching) {
        dims[count++] = -1;
    }
    for (uint32_t i = 0; i < shape.count && count < DIMS_MAX; i++) {
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

TRITONSERVER_Error *ragged_scatter(struct batch *b, const struct model_tensor *output,
                                   bool batching, const char *source, const void *data,
                                   uint64_t size)
{
    const char *at = data;
    uint64_t left = size;
    for (uint32_t i = 0; i < b->count; i++) {
        int64_t dims[DIMS_MAX];
        uint32_t dim_count = 0;
        int64_t elements = 0;
        BACKEND_TRY(part_shape(b, i, output, batching, source, dims, &dim_count));
        if (!model_shape_elements(dims, dim_count, &elements)) {
            return broken("unexpected shape", source);
        }
        uint64_t part = (uint64_t)elements * TRITONSERVER_DataTypeByteSize(output->dtype);
        if (part > left) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                     "output '%s' is shorter than its batch", output->name);
        }
        if (b->items[i].response != NULL && batch_wants(b, i, output->name)) {
            void *to = NULL;
            TRITONSERVER_Error *error =
                batch_output(b, i, output->name, output->dtype, dims, dim_count, part, &to);
            if (error != NULL) {
                batch_fail(b, i, error);
            } else if (part > 0) {
                memcpy(to, at, part);
            }
        }
        at += part;
        left -= part;
    }
    return NULL;
}
