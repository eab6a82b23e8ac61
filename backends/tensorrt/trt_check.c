// SPDX-License-Identifier: Apache-2.0
// Compares a configuration with its plan, in Triton's words where they disagree, and ties each tensor
// of the plan to what fills or takes it. See trt_model.h.
#include "backends/common/model_check.h"
#include "backends/common/model_complete.h"
#include "backends/tensorrt/trt_model.h"
#include "base/str.h"

struct checking {
    struct trt_model *m;
    struct trt_plan *plan;
    const char *who; // the instance
};

static TRITONSERVER_Error *print_error(TRITONSERVER_Error_Code code, struct str *text)
{
    TRITONSERVER_Error *error = TRITONSERVER_ErrorNew(code, str_cstr(text));
    str_fini(text);
    return error;
}

// ---- one tensor ----

// A flag of a tensor that the common configuration does not break out.
static bool config_flag(const struct trt_model *m, const char *list, const char *name,
                        const char *flag)
{
    bool value = false;
    const struct json_node *tensors = json_get(m->config.root, list);
    const struct json_node *n =
        model_array_count(m->config.root, list) > 0 ? json_first(tensors) : NULL;
    for (uint32_t i = 0; n != NULL && i < tensors->count; i++, n = json_next(n)) {
        const struct json_node *own = json_get(n, "name");
        const struct json_node *node = json_get(n, flag);
        if (own != NULL && own->type == JSON_STRING && slice_is(json_text(own), name) &&
            node != NULL) {
            (void)json_as_bool(node, &value);
        }
    }
    return value;
}

static TRITONSERVER_Error *check_flags(const struct checking *c, const struct trt_io *io,
                                       const char *role)
{
    const char *name = io->tensor.name;
    const char *model = c->m->config.name;
    bool shape = config_flag(c->m, role, name, "is_shape_tensor");
    bool padded = config_flag(c->m, role, name, "is_non_linear_format_io");
    if (io->tensor.shape_tensor != shape) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "%s '%s' for model '%s' is %s", role,
                                 name, model,
                                 shape ? "incorrectly marked as a shape tensor in the model "
                                         "configuration."
                                       : "a shape tensor but the model configuration doesn't mark "
                                         "it as a shape tensor.");
    }
    if (io->tensor.linear == padded) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "%s '%s' for model '%s' uses a %slinear IO format, but "
                                 "'is_non_linear_format_io' is incorrectly set to %s in the model "
                                 "configuration.",
                                 role, name, model, padded ? "" : "non-",
                                 padded ? "true" : "false");
    }
    if (!io->tensor.linear) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "%s '%s' of model '%s' is laid out as %s; only LINEAR tensors are "
                                 "supported by this build of the tensorrt backend",
                                 role, name, model, io->tensor.format);
    }
    return NULL;
}

static TRITONSERVER_Error *check_type(const struct checking *c, const struct model_tensor *t,
                                      const struct trt_io *io, const char *role)
{
    if (io->dtype == TRITONSERVER_TYPE_INVALID || io->dtype != t->dtype) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unexpected datatype TYPE_%s for inference %s '%s', expecting "
                                 "TYPE_%s for %s",
                                 TRITONSERVER_DataTypeString(io->dtype), role, t->name,
                                 TRITONSERVER_DataTypeString(t->dtype), c->who);
    }
    return NULL;
}

static bool type_supported(TRITONSERVER_DataType dtype)
{
    for (int type = TRT_FLOAT; type <= TRT_INT64; type++) {
        if (trt_triton_type((enum trt_type)type) == dtype) {
            return dtype != TRITONSERVER_TYPE_INVALID;
        }
    }
    return false;
}

// Both may leave a dimension open; the batch dimension is the plan's own affair.
static TRITONSERVER_Error *check_dims(const struct checking *c, const struct model_tensor *t,
                                      const struct trt_io *io)
{
    const struct model_config *config = &c->m->config;
    bool batching = config->max_batch_size > 0;
    struct model_shape shape = model_tensor_shape(t);
    const struct trt_dims *dims = &io->tensor.dims;
    uint32_t skip = batching ? 1 : 0;
    if (batching && dims->count == 0) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "model '%s', tensor '%s': for the model to support batching the "
                                 "shape should have at least 1 dimension; but shape expected by "
                                 "the model is []",
                                 config->name, t->name);
    }
    bool agree = (uint32_t)dims->count == shape.count + skip;
    for (uint32_t i = 0; agree && i < shape.count; i++) {
        int64_t dim = dims->d[i + skip];
        agree = dim == -1 || shape.dims[i] == -1 || dim == shape.dims[i];
    }
    return agree ? NULL
                 : model_check_dims_differ(config->name, t->name, dims->d, (uint32_t)dims->count,
                                           shape, batching);
}

// A shape tensor of a batching model has the batch in front of the configuration's values.
static TRITONSERVER_Error *check_shape_dims(const struct checking *c, const struct model_tensor *t,
                                            const struct trt_io *io)
{
    struct model_shape shape = model_tensor_shape(t);
    const struct trt_dims *dims = &io->tensor.dims;
    int64_t batch = c->m->config.max_batch_size > 0 ? 1 : 0;
    struct str text = STR_INIT;
    if (dims->count > 1) {
        str_printf(&text,
                   "unable to load model '%s', shape binding '%s' can only be 0-d or 1-D "
                   "tensor, got ",
                   c->who, t->name);
        model_shape_print(dims->d, (size_t)dims->count, &text);
        return print_error(TRITONSERVER_ERROR_INTERNAL, &text);
    }
    if ((uint32_t)dims->count == shape.count &&
        (dims->count == 0 || (shape.dims[0] != -1 && shape.dims[0] + batch == dims->d[0]))) {
        return NULL;
    }
    str_printf(&text, "unable to load model '%s', binding '%s' shape expected by framework ",
               c->who, t->name);
    model_shape_print(dims->d, (size_t)dims->count, &text);
    str_append_cstr(&text, " doesn't match model configuration shape ");
    model_shape_print(shape.dims, shape.count, &text);
    return print_error(TRITONSERVER_ERROR_INTERNAL, &text);
}

static TRITONSERVER_Error *check_ragged(const struct checking *c, const struct model_tensor *t,
                                        const struct trt_io *io)
{
    const struct trt_dims *dims = &io->tensor.dims;
    struct model_shape shape = model_tensor_shape(t);
    if (dims->count == 1 && shape.count > 0 && dims->d[0] == shape.dims[0]) {
        return NULL;
    }
    struct str text = STR_INIT;
    str_printf(&text,
               "model '%s', tensor '%s': for the model to support ragged input, the engine shape "
               "is: ",
               c->m->config.name, t->name);
    model_shape_print(dims->d, (size_t)dims->count, &text);
    str_append_cstr(&text, " while the model config shape is: ");
    model_shape_print(shape.dims, shape.count, &text);
    return print_error(TRITONSERVER_ERROR_INVALID_ARG, &text);
}

// ---- names ----

static TRITONSERVER_Error *unknown_tensor(const struct checking *c, const char *name,
                                          const char *role, bool inputs)
{
    const char **all =
        arena_calloc(&c->m->config.arena, (size_t)c->plan->io_count + 1, sizeof(*all));
    size_t count = 0;
    if (all == NULL) {
        return backend_no_memory();
    }
    for (uint32_t i = 0; i < c->plan->io_count; i++) {
        if (c->plan->ios[i].tensor.input == inputs) {
            all[count++] = c->plan->ios[i].tensor.name;
        }
    }
    return model_check_unknown(role, name, all, count);
}

static TRITONSERVER_Error *check_tensor(const struct checking *c, const struct model_tensor *t,
                                        bool input)
{
    const char *role = input ? "input" : "output";
    struct trt_io *io = trt_plan_find(c->plan, t->name);
    if (io == NULL || io->tensor.input != input) {
        return unknown_tensor(c, t->name, role, input);
    }
    if (!type_supported(t->dtype)) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "unsupported datatype %s for %s '%s' for model '%s'",
                                 model_data_type_name(t->dtype), role, t->name, c->m->config.name);
    }
    BACKEND_TRY(check_flags(c, io, role));
    BACKEND_TRY(check_type(c, t, io, role));
    io->config = t;
    if (!input) {
        BACKEND_TRY(ragged_scatter_source(&c->m->config, t->name, &io->scatter_source));
        if (io->scatter_source != NULL) {
            return NULL; // its shape in the plan is that of the whole ragged batch
        }
    }
    if (io->tensor.shape_tensor) {
        return check_shape_dims(c, t, io);
    }
    return input && t->ragged ? check_ragged(c, t, io) : check_dims(c, t, io);
}

static bool knows_input(void *userp, struct slice name)
{
    const struct trt_plan *plan = userp;
    for (uint32_t i = 0; i < plan->io_count; i++) {
        if (plan->ios[i].tensor.input && slice_is(name, plan->ios[i].tensor.name)) {
            return true;
        }
    }
    return false;
}

static TRITONSERVER_Error *tie_batch_inputs(const struct checking *c)
{
    for (uint32_t i = 0; i < c->m->ragged_count; i++) {
        const struct ragged_input *ragged = &c->m->ragged[i];
        for (uint32_t k = 0; k < ragged->target_count; k++) {
            struct trt_io *io = trt_plan_find(c->plan, ragged->targets[k]);
            if (io == NULL || !io->tensor.input) {
                return backend_error_new(TRITONSERVER_ERROR_NOT_FOUND,
                                         "input '%s' not found for %s", ragged->targets[k], c->who);
            }
            if (io->dtype != ragged->dtype && ragged->kind != BATCH_MAX_ELEMENT_COUNT_AS_SHAPE) {
                return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                         "unexpected datatype TYPE_%s for inference input '%s', "
                                         "expecting TYPE_%s for %s",
                                         TRITONSERVER_DataTypeString(io->dtype), ragged->targets[k],
                                         TRITONSERVER_DataTypeString(ragged->dtype), c->who);
            }
            io->ragged = ragged;
        }
    }
    return NULL;
}

// Whether the sequence batcher adds the input to requests.
static bool is_control(const struct trt_model *m, const char *name)
{
    const struct json_node *sequence = json_get(m->config.root, "sequence_batching");
    uint32_t count = sequence == NULL ? 0 : model_array_count(sequence, "control_input");
    const struct json_node *n = count == 0 ? NULL : json_first(json_get(sequence, "control_input"));
    for (uint32_t i = 0; i < count; i++, n = json_next(n)) {
        const struct json_node *own = json_get(n, "name");
        if (own != NULL && own->type == JSON_STRING && slice_is(json_text(own), name)) {
            return true;
        }
    }
    return false;
}

static TRITONSERVER_Error *check_all_tied(const struct checking *c)
{
    for (uint32_t i = 0; i < c->plan->io_count; i++) {
        const struct trt_io *io = &c->plan->ios[i];
        if (io->config == NULL && io->ragged == NULL && !is_control(c->m, io->tensor.name)) {
            return backend_error_new(
                TRITONSERVER_ERROR_INVALID_ARG, "expected configuration for %s '%s' for %s",
                io->tensor.input ? "input" : "output", io->tensor.name, c->who);
        }
    }
    return NULL;
}

TRITONSERVER_Error *trt_check(struct trt_model *m, struct trt_plan *plan, const char *who)
{
    const struct checking c = {m, plan, who};
    uint32_t inputs = 0;
    uint32_t controls = 0;
    for (uint32_t i = 0; i < plan->io_count; i++) {
        inputs += plan->ios[i].tensor.input ? 1 : 0;
    }
    if (inputs < m->config.input_count) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unable to load model '%s', configuration expects %u inputs, "
                                 "model provides at most %u",
                                 m->config.name, m->config.input_count, inputs);
    }
    for (uint32_t i = 0; i < m->config.input_count; i++) {
        BACKEND_TRY(check_tensor(&c, &m->config.inputs[i], true));
    }
    for (uint32_t i = 0; i < m->config.output_count; i++) {
        BACKEND_TRY(check_tensor(&c, &m->config.outputs[i], false));
    }
    BACKEND_TRY(model_check_sequence(&m->config, "tensorrt", knows_input, plan, &controls));
    BACKEND_TRY(tie_batch_inputs(&c));
    return check_all_tied(&c);
}
