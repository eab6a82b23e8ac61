// SPDX-License-Identifier: Apache-2.0
// Compares a configuration with its model, in Triton's words where they disagree, and collects what
// execution needs: the outputs in response order and the batch inputs. See onnx_model.h.
#include "backends/onnxruntime/onnx_model.h"

#include <stdlib.h>

// An error whose text ends in a printed shape.
static TRITONSERVER_Error *shape_error(struct str *text)
{
    TRITONSERVER_Error *error =
        TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INVALID_ARG, str_cstr(text));
    str_fini(text);
    return error;
}

static bool dims_agree(const struct onnx_tensor *t, uint32_t skip, struct model_shape shape,
                       bool exact)
{
    if (t->dim_count != shape.count + skip) {
        return false;
    }
    for (uint32_t i = 0; i < shape.count; i++) {
        int64_t dim = t->dims[i + skip];
        if ((exact || dim != -1) && dim != shape.dims[i]) {
            return false;
        }
    }
    return true;
}

static TRITONSERVER_Error *dims_disagree(const struct onnx_model *m, const struct onnx_tensor *t,
                                         struct model_shape shape, bool batching)
{
    struct str text = STR_INIT;
    str_printf(&text, "model '%s', tensor '%s': the model expects %u dimensions (shape ",
               m->config.name, t->name, t->dim_count);
    model_shape_print(t->dims, t->dim_count, &text);
    str_printf(&text, ") but the model configuration specifies %u dimensions (",
               shape.count + (batching ? 1 : 0));
    if (batching) {
        str_append_cstr(&text, "an initial batch dimension because max_batch_size > 0 followed by "
                               "the explicit tensor shape, making complete shape [-1");
        for (uint32_t i = 0; i < shape.count; i++) {
            str_printf(&text, ",%lld", (long long)shape.dims[i]);
        }
        str_append_cstr(&text, "])");
    } else {
        str_append_cstr(&text, "shape ");
        model_shape_print(shape.dims, shape.count, &text);
        str_append_char(&text, ')');
    }
    return shape_error(&text);
}

static TRITONSERVER_Error *check_dims(const struct onnx_model *m, const struct onnx_tensor *t,
                                      struct model_shape shape, bool exact)
{
    bool batching = m->config.max_batch_size > 0;
    if (batching && (t->dim_count == 0 || t->dims[0] != -1)) {
        struct str text = STR_INIT;
        str_printf(&text,
                   "model '%s', tensor '%s': for the model to support batching the shape should "
                   "have at least 1 dimension and the first dimension must be -1; but shape "
                   "expected by the model is ",
                   m->config.name, t->name);
        model_shape_print(t->dims, t->dim_count, &text);
        return shape_error(&text);
    }
    return dims_agree(t, batching ? 1 : 0, shape, exact) ? NULL
                                                         : dims_disagree(m, t, shape, batching);
}

static TRITONSERVER_Error *check_scalar(const struct onnx_model *m, const struct onnx_tensor *t,
                                        struct model_shape shape)
{
    for (uint32_t i = 0; i < shape.count; i++) {
        if (shape.dims[i] != 1) {
            struct str text = STR_INIT;
            str_printf(&text,
                       "unable to load model '%s', scalar tensor '%s', should only provide 1 in "
                       "the model configuration when the model doesn't support batching. Model "
                       "configuration provided: ",
                       m->config.name, t->name);
            model_shape_print(shape.dims, shape.count, &text);
            str_append_char(&text, '.');
            return shape_error(&text);
        }
    }
    return NULL;
}

static TRITONSERVER_Error *check_type(const struct onnx_model *m, const struct model_tensor *c,
                                      const struct onnx_tensor *t, const char *role)
{
    if (onnx_from_triton(c->dtype) == ORT_ELEMENT_UNDEFINED) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "unsupported datatype %s for %s '%s' for model '%s'",
                                 model_data_type_name(c->dtype), role, c->name, m->config.name);
    }
    if (onnx_from_triton(c->dtype) != t->element) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unable to load model '%s', configuration expects datatype %s for "
                                 "%s '%s', model provides TYPE_%s",
                                 m->config.name, model_data_type_name(c->dtype), role, c->name,
                                 TRITONSERVER_DataTypeString(t->dtype));
    }
    return NULL;
}

// "unexpected inference input 'x', allowed inputs are: a, b" with the names sorted.
static int compare_names(const void *a, const void *b)
{
    const struct onnx_tensor *const *x = a;
    const struct onnx_tensor *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static TRITONSERVER_Error *unknown_tensor(struct onnx_model *m, const char *name, const char *role,
                                          const struct onnx_tensors *first,
                                          const struct onnx_tensors *second)
{
    size_t count = (size_t)first->count + (second == NULL ? 0 : second->count);
    const struct onnx_tensor **all = arena_calloc(&m->arena, count + 1, sizeof(*all));
    if (all == NULL) {
        return backend_no_memory();
    }
    for (uint32_t i = 0; i < first->count; i++) {
        all[i] = &first->items[i];
    }
    for (uint32_t i = 0; second != NULL && i < second->count; i++) {
        all[first->count + i] = &second->items[i];
    }
    qsort(all, count, sizeof(*all), compare_names);
    struct str text = STR_INIT;
    str_printf(&text, "unexpected inference %s '%s', allowed %ss are: ", role, name, role);
    for (size_t i = 0; i < count; i++) {
        str_append_cstr(&text, i == 0 ? "" : ", ");
        str_append_cstr(&text, all[i]->name);
    }
    return shape_error(&text);
}

// ---- inputs ----

static TRITONSERVER_Error *check_optional(const struct onnx_model *m, const struct model_tensor *c)
{
    if (m->config.max_batch_size > 0) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unable to load model '%s', optional input '%s' is not supported "
                                 "for models that support batching",
                                 m->config.name, c->name);
    }
    if (c->ragged) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unable to load model '%s', configuration expects model provides "
                                 "input with shape [-1] for ragged input '%s', which is not "
                                 "supported for optional input",
                                 m->config.name, c->name);
    }
    return NULL;
}

static TRITONSERVER_Error *check_input(struct onnx_model *m, const struct model_tensor *c)
{
    if (c->optional) {
        BACKEND_TRY(check_optional(m, c));
    }
    const struct onnx_tensor *t = onnx_find_input(m, c->name);
    if (t == NULL) {
        return unknown_tensor(m, c->name, "input", &m->inputs, &m->initializers);
    }
    BACKEND_TRY(check_type(m, c, t, "input"));
    if (c->ragged) {
        if (t->dim_count == 1 && t->dims[0] == -1) {
            return NULL;
        }
        struct str text = STR_INIT;
        str_printf(&text,
                   "unable to load model '%s', configuration expects model provides input with "
                   "shape [-1]  for ragged input '%s', model provides ",
                   m->config.name, c->name);
        model_shape_print(t->dims, t->dim_count, &text);
        return shape_error(&text);
    }
    struct model_shape shape = model_tensor_shape(c);
    return t->dim_count == 0 ? check_scalar(m, t, shape) : check_dims(m, t, shape, false);
}

// START, END, READY and CORRID of a sequence batcher come as inputs that the configuration's list
// of inputs does not have.
static TRITONSERVER_Error *count_sequence_inputs(const struct onnx_model *m, uint32_t *count)
{
    const struct json_node *sequence = json_get(m->config.root, "sequence_batching");
    if (sequence == NULL) {
        return NULL;
    }
    const struct json_node *states = json_get(sequence, "state");
    if (states != NULL && states->type == JSON_ARRAY && states->count > 0) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "model '%s': sequence_batching.state (implicit state) is not "
                                 "supported by this build of the onnxruntime backend",
                                 m->config.name);
    }
    const struct json_node *controls = json_get(sequence, "control_input");
    if (controls == NULL || controls->type != JSON_ARRAY) {
        return NULL;
    }
    const struct json_node *n = json_first(controls);
    for (uint32_t i = 0; i < controls->count; i++, n = json_next(n)) {
        const struct json_node *name = json_get(n, "name");
        struct slice text = {0};
        BACKEND_TRY(backend_error(json_want_string(name == NULL ? n : name, &text)));
        bool found = false;
        for (uint32_t k = 0; k < m->inputs.count && !found; k++) {
            found = slice_is(text, m->inputs.items[k].name);
        }
        if (!found) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                     "configuration specified sequence control '%.*s', but model "
                                     "does not provide that input",
                                     (int)text.len, text.ptr);
        }
    }
    *count += controls->count;
    return NULL;
}

static TRITONSERVER_Error *check_inputs(struct onnx_model *m)
{
    uint32_t expected = 0;
    for (uint32_t i = 0; i < m->config.input_count; i++) {
        expected += m->config.inputs[i].optional ? 0 : 1;
    }
    for (uint32_t i = 0; i < m->ragged_count; i++) {
        expected += m->ragged[i].target_count;
    }
    BACKEND_TRY(count_sequence_inputs(m, &expected));
    if (m->inputs.count != expected) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unable to load model '%s', configuration expects %u inputs, "
                                 "model provides %u",
                                 m->config.name, expected, m->inputs.count);
    }
    for (uint32_t i = 0; i < m->config.input_count; i++) {
        BACKEND_TRY(check_input(m, &m->config.inputs[i]));
    }
    return NULL;
}

// ---- batch inputs and batch outputs ----

static TRITONSERVER_Error *read_names(struct onnx_model *m, const struct json_node *array,
                                      const char ***names, uint32_t *count)
{
    BACKEND_TRY(backend_error(
        array == NULL
            ? status_new(NRD_INVALID_ARG, "model '%s': incomplete batch_input", m->config.name)
            : json_want_array(array)));
    *names = arena_calloc(&m->arena, (size_t)array->count + 1, sizeof(**names));
    if (*names == NULL) {
        return backend_no_memory();
    }
    const struct json_node *n = json_first(array);
    for (uint32_t i = 0; i < array->count; i++, n = json_next(n)) {
        struct slice text = {0};
        BACKEND_TRY(backend_error(json_want_string(n, &text)));
        (*names)[i] = arena_strdup(&m->arena, text);
        if ((*names)[i] == NULL) {
            return backend_no_memory();
        }
    }
    *count = array->count;
    return NULL;
}

static TRITONSERVER_Error *read_ragged(struct onnx_model *m, const struct json_node *n,
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
            "model '%s': batch input data type must be TYPE_INT32 or TYPE_FP32", m->config.name);
    }
    const char **sources = NULL;
    uint32_t source_count = 0;
    BACKEND_TRY(read_names(m, json_get(n, "source_input"), &sources, &source_count));
    BACKEND_TRY(read_names(m, json_get(n, "target_name"), &r->targets, &r->target_count));
    if (source_count != 1) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "model '%s': a batch input must have exactly 1 source_input",
                                 m->config.name);
    }
    r->source = sources[0];
    return NULL;
}

static TRITONSERVER_Error *read_all_ragged(struct onnx_model *m)
{
    const struct json_node *array = json_get(m->config.root, "batch_input");
    if (array == NULL || array->type != JSON_ARRAY || array->count == 0) {
        return NULL;
    }
    m->ragged = arena_calloc(&m->arena, array->count, sizeof(*m->ragged));
    if (m->ragged == NULL) {
        return backend_no_memory();
    }
    const struct json_node *n = json_first(array);
    for (uint32_t i = 0; i < array->count; i++, n = json_next(n)) {
        BACKEND_TRY(read_ragged(m, n, &m->ragged[i]));
    }
    m->ragged_count = array->count;
    return NULL;
}

// The input by whose shape an output is divided, NULL for the usual division by rows.
static TRITONSERVER_Error *find_scatter(struct onnx_model *m, const char *output,
                                        const char **source)
{
    *source = NULL;
    const struct json_node *array = json_get(m->config.root, "batch_output");
    if (array == NULL || array->type != JSON_ARRAY) {
        return NULL;
    }
    const struct json_node *n = json_first(array);
    for (uint32_t i = 0; i < array->count; i++, n = json_next(n)) {
        const char **targets = NULL;
        const char **sources = NULL;
        uint32_t target_count = 0;
        uint32_t source_count = 0;
        BACKEND_TRY(read_names(m, json_get(n, "target_name"), &targets, &target_count));
        BACKEND_TRY(read_names(m, json_get(n, "source_input"), &sources, &source_count));
        for (uint32_t k = 0; k < target_count; k++) {
            if (strcmp(targets[k], output) == 0 && source_count > 0) {
                *source = sources[0];
            }
        }
    }
    return NULL;
}

// ---- outputs ----

static int compare_outputs(const void *a, const void *b)
{
    const struct onnx_output *x = a;
    const struct onnx_output *y = b;
    return strcmp(x->config->name, y->config->name);
}

static TRITONSERVER_Error *check_output(struct onnx_model *m, const struct model_tensor *c,
                                        struct onnx_output *out)
{
    const struct onnx_tensor *t = onnx_find(&m->outputs, c->name);
    if (t == NULL) {
        return unknown_tensor(m, c->name, "output", &m->outputs, NULL);
    }
    BACKEND_TRY(check_type(m, c, t, "output"));
    *out = (struct onnx_output){.config = c, .tensor = t};
    BACKEND_TRY(find_scatter(m, c->name, &out->scatter_source));
    if (out->scatter_source != NULL) {
        return NULL; // its shape in the model is that of the whole ragged batch
    }
    struct model_shape shape = model_tensor_shape(c);
    return t->dim_count == 0 ? check_scalar(m, t, shape) : check_dims(m, t, shape, true);
}

TRITONSERVER_Error *onnx_check(struct onnx_model *m)
{
    BACKEND_TRY(read_all_ragged(m));
    BACKEND_TRY(check_inputs(m));
    m->responses =
        arena_calloc(&m->arena, (size_t)m->config.output_count + 1, sizeof(*m->responses));
    if (m->responses == NULL) {
        return backend_no_memory();
    }
    for (uint32_t i = 0; i < m->config.output_count; i++) {
        BACKEND_TRY(check_output(m, &m->config.outputs[i], &m->responses[i]));
    }
    m->response_count = m->config.output_count;
    qsort(m->responses, m->response_count, sizeof(*m->responses), compare_outputs);
    return NULL;
}
