// SPDX-License-Identifier: Apache-2.0
// Compares a configuration with its model, in Triton's words where they disagree, and collects what
// execution needs: the outputs in response order and the batch inputs. See onnx_model.h.
#include "backends/common/model_check.h"
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

static TRITONSERVER_Error *check_dims(const struct onnx_model *m, const struct onnx_tensor *t,
                                      struct model_shape shape, bool exact)
{
    return model_check_dims(m->config.name, t->name, t->dims, t->dim_count, shape,
                            m->config.max_batch_size > 0, exact);
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

static TRITONSERVER_Error *unknown_tensor(struct onnx_model *m, const char *name, const char *role,
                                          const struct onnx_tensors *first,
                                          const struct onnx_tensors *second)
{
    size_t count = (size_t)first->count + (second == NULL ? 0 : second->count);
    const char **all = arena_calloc(&m->arena, count + 1, sizeof(*all));
    if (all == NULL) {
        return backend_no_memory();
    }
    for (uint32_t i = 0; i < first->count; i++) {
        all[i] = first->items[i].name;
    }
    for (uint32_t i = 0; second != NULL && i < second->count; i++) {
        all[first->count + i] = second->items[i].name;
    }
    return model_check_unknown(role, name, all, count);
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

static bool knows_input(void *userp, struct slice name)
{
    const struct onnx_model *m = userp;
    for (uint32_t k = 0; k < m->inputs.count; k++) {
        if (slice_is(name, m->inputs.items[k].name)) {
            return true;
        }
    }
    return false;
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
    BACKEND_TRY(model_check_sequence(&m->config, "onnxruntime", knows_input, m, &expected));
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
    BACKEND_TRY(ragged_scatter_source(&m->config, c->name, &out->scatter_source));
    if (out->scatter_source != NULL) {
        return NULL; // its shape in the model is that of the whole ragged batch
    }
    struct model_shape shape = model_tensor_shape(c);
    return t->dim_count == 0 ? check_scalar(m, t, shape) : check_dims(m, t, shape, true);
}

TRITONSERVER_Error *onnx_check(struct onnx_model *m)
{
    BACKEND_TRY(ragged_read(&m->config, &m->ragged, &m->ragged_count));
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
