// SPDX-License-Identifier: Apache-2.0
// Compares a configuration with its model, in Triton's words where they disagree, and collects the
// outputs in the order in which responses get them. A SavedModel declares its tensors; of a
// GraphDef any placeholder may be an input and any other operation an output. See tf_model.h.
#include "backends/common/model_check.h"
#include "backends/tensorflow/tf_model.h"

#include <stdlib.h>

#include "base/mem.h"

const struct tf_io *tf_find_io(const struct tf_ios *ios, const char *name)
{
    for (uint32_t i = 0; i < ios->count; i++) {
        if (strcmp(ios->items[i].name, name) == 0) {
            return &ios->items[i];
        }
    }
    return NULL;
}

bool tf_is_scalar(const struct tf_io *io)
{
    return io->known_rank && io->dim_count == 0;
}

static TRITONSERVER_Error *check_declared(const struct tf_model *m, const struct tf_ios *ios,
                                          const char *role)
{
    for (uint32_t i = 0; i < ios->count; i++) {
        const struct tf_io *io = &ios->items[i];
        if (io->tensor[0] == '\0') {
            return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                     "unable to process %s '%s' for '%s', only dense tensors are "
                                     "supported",
                                     role, io->name, m->config.name);
        }
        if (tf_to_triton(io->type) == TRITONSERVER_TYPE_INVALID) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                     "unable to process %s '%s' for '%s', unsupported datatype "
                                     "'%s'",
                                     role, io->name, m->config.name, tf_type_name(io->type));
        }
    }
    return NULL;
}

TRITONSERVER_Error *tf_check_declared(const struct tf_model *m)
{
    BACKEND_TRY(check_declared(m, &m->declared.inputs, "input"));
    return check_declared(m, &m->declared.outputs, "output");
}

static TRITONSERVER_Error *check_types(const struct tf_model *m, const struct model_tensor *tensors,
                                       uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (tf_from_triton(tensors[i].dtype) == TF_TYPE_INVALID) {
            return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                     "unsupported datatype '%s' for tensor '%s' for model '%s'",
                                     model_data_type_name(tensors[i].dtype), tensors[i].name,
                                     m->config.name);
        }
    }
    return NULL;
}

static TRITONSERVER_Error *check_type(const struct tf_model *m, const struct model_tensor *c,
                                      int type, const char *role)
{
    if (tf_from_triton(c->dtype) == type) {
        return NULL;
    }
    return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                             "unable to load model '%s', configuration expects datatype %s for %s "
                             "'%s', model provides TYPE_%s",
                             m->config.name, model_data_type_name(c->dtype), role, c->name,
                             TRITONSERVER_DataTypeString(tf_to_triton(type)));
}

// ---- SavedModel ----

static TRITONSERVER_Error *unknown_tensor(struct tf_model *m, const char *name, const char *role,
                                          const struct tf_ios *ios)
{
    const char **all = arena_calloc(&m->arena, (size_t)ios->count + 1, sizeof(*all));
    if (all == NULL) {
        return backend_no_memory();
    }
    for (uint32_t i = 0; i < ios->count; i++) {
        all[i] = ios->items[i].name;
    }
    return model_check_unknown(role, name, all, ios->count);
}

static TRITONSERVER_Error *check_scalar(const struct tf_model *m, const struct tf_io *io,
                                        struct model_shape shape)
{
    int64_t elements = 0;
    if (m->config.max_batch_size == 0 && model_shape_elements(shape.dims, shape.count, &elements) &&
        elements == 1) {
        return NULL;
    }
    struct str text = STR_INIT;
    str_printf(&text,
               "unable to load model '%s', scalar tensor '%s' needs a model that does not "
               "batch and the dimensions [1]; model configuration provided: ",
               m->config.name, io->name);
    model_shape_print(shape.dims, shape.count, &text);
    TRITONSERVER_Error *error =
        TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INVALID_ARG, str_cstr(&text));
    str_fini(&text);
    return error;
}

static TRITONSERVER_Error *check_ragged(const struct tf_model *m, const struct tf_io *io)
{
    if (io->dim_count == 1 && io->dims[0] == -1) {
        return NULL;
    }
    struct str text = STR_INIT;
    str_printf(&text,
               "unable to load model '%s', configuration expects model provides input with shape "
               "[-1]  for ragged input '%s', model provides ",
               m->config.name, io->name);
    model_shape_print(io->dims, io->dim_count, &text);
    TRITONSERVER_Error *error =
        TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INVALID_ARG, str_cstr(&text));
    str_fini(&text);
    return error;
}

static TRITONSERVER_Error *check_io(struct tf_model *m, const struct model_tensor *c,
                                    const struct tf_io *io, const char *role, bool exact)
{
    struct model_shape shape = model_tensor_shape(c);
    if (tf_is_scalar(io)) {
        BACKEND_TRY(check_scalar(m, io, shape));
    } else if (io->known_rank && c->ragged) {
        BACKEND_TRY(check_ragged(m, io));
    } else if (io->known_rank) {
        BACKEND_TRY(model_check_dims(m->config.name, io->name, io->dims, io->dim_count, shape,
                                     m->config.max_batch_size > 0, exact));
    }
    return check_type(m, c, io->type, role);
}

static bool knows_declared(void *userp, struct slice name)
{
    const struct tf_model *m = userp;
    for (uint32_t i = 0; i < m->declared.inputs.count; i++) {
        if (slice_is(name, m->declared.inputs.items[i].name)) {
            return true;
        }
    }
    return false;
}

static TRITONSERVER_Error *check_saved_inputs(struct tf_model *m)
{
    const struct model_config *c = &m->config;
    const struct tf_ios *ios = &m->declared.inputs;
    uint32_t expected = c->input_count;
    for (uint32_t i = 0; i < m->ragged_count; i++) {
        expected += m->ragged[i].target_count;
    }
    BACKEND_TRY(model_check_sequence(c, "tensorflow", knows_declared, m, &expected));
    for (uint32_t i = 0; i < c->input_count; i++) {
        if (tf_find_io(ios, c->inputs[i].name) == NULL) {
            return unknown_tensor(m, c->inputs[i].name, "input", ios);
        }
    }
    if (ios->count != expected) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unable to load model '%s', configuration expects %u inputs, "
                                 "model provides %u",
                                 c->name, expected, ios->count);
    }
    for (uint32_t i = 0; i < c->input_count; i++) {
        BACKEND_TRY(check_io(m, &c->inputs[i], tf_find_io(ios, c->inputs[i].name), "input", false));
    }
    return NULL;
}

static TRITONSERVER_Error *check_saved_output(struct tf_model *m, const struct model_tensor *c,
                                              const char *scatter_source)
{
    const struct tf_io *io = tf_find_io(&m->declared.outputs, c->name);
    if (io == NULL) {
        return unknown_tensor(m, c->name, "output", &m->declared.outputs);
    }
    // An output that is as long as the whole ragged batch has another shape in the model.
    return scatter_source != NULL ? check_type(m, c, io->type, "output")
                                  : check_io(m, c, io, "output", true);
}

// ---- GraphDef ----

static bool is_placeholder(const struct tf_model *m, struct tf_operation *operation)
{
    const char *kind = m->library->fn.operation_kind(operation);
    return strcmp(kind, "Placeholder") == 0 || strcmp(kind, "PlaceholderWithDefault") == 0;
}

// Names of all placeholders, or of all others. Taken (mem_free).
static const char **operation_names(const struct tf_model *m, bool placeholders, size_t *count)
{
    const struct tf_functions *fn = &m->library->fn;
    struct tf_graph *graph = m->sessions->graph;
    struct tf_operation *operation = NULL;
    size_t total = 0;
    for (size_t at = 0; fn->next_operation(graph, &at) != NULL;) {
        total++;
    }
    const char **names = mem_calloc(total + 1, sizeof(*names));
    *count = 0;
    for (size_t at = 0; names != NULL && (operation = fn->next_operation(graph, &at)) != NULL;) {
        if (is_placeholder(m, operation) == placeholders) {
            names[(*count)++] = fn->operation_name(operation);
        }
    }
    return names;
}

static TRITONSERVER_Error *check_graph_tensor(const struct tf_model *m,
                                              const struct model_tensor *c, bool input)
{
    struct tf_output place = tf_session_find(m, m->sessions, c->name);
    if (place.operation != NULL && is_placeholder(m, place.operation) == input) {
        return check_type(m, c, m->library->fn.output_type(place), input ? "input" : "output");
    }
    size_t count = 0;
    const char **names = operation_names(m, input, &count);
    if (names == NULL) {
        return backend_no_memory();
    }
    TRITONSERVER_Error *error =
        model_check_unknown(input ? "input" : "output", c->name, names, count);
    mem_free(names);
    return error;
}

static bool knows_placeholder(void *userp, struct slice name)
{
    const struct tf_model *m = userp;
    char *text = mem_strndup(name.ptr, name.len);
    struct tf_output place = {NULL, 0};
    if (text != NULL) {
        place = tf_session_find(m, m->sessions, text);
        mem_free(text);
    }
    return place.operation != NULL && is_placeholder(m, place.operation);
}

static TRITONSERVER_Error *check_graph_inputs(struct tf_model *m)
{
    const struct model_config *c = &m->config;
    size_t placeholders = 0;
    uint32_t controls = 0;
    const char **names = operation_names(m, true, &placeholders);
    if (names == NULL) {
        return backend_no_memory();
    }
    mem_free(names);
    if (placeholders < c->input_count) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unable to load model '%s', configuration expects %u inputs, "
                                 "model provides at most %zu",
                                 c->name, c->input_count, placeholders);
    }
    BACKEND_TRY(model_check_sequence(c, "tensorflow", knows_placeholder, m, &controls));
    for (uint32_t i = 0; i < c->input_count; i++) {
        BACKEND_TRY(check_graph_tensor(m, &c->inputs[i], true));
    }
    return NULL;
}

// ---- both ----

static int compare_outputs(const void *a, const void *b)
{
    const struct model_tensor *const *x = a;
    const struct model_tensor *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static TRITONSERVER_Error *check_outputs(struct tf_model *m)
{
    struct model_config *c = &m->config;
    m->responses = arena_calloc(&c->arena, (size_t)c->output_count + 1, sizeof(*m->responses));
    m->scatter_sources =
        arena_calloc(&c->arena, (size_t)c->output_count + 1, sizeof(*m->scatter_sources));
    if (m->responses == NULL || m->scatter_sources == NULL) {
        return backend_no_memory();
    }
    for (uint32_t i = 0; i < c->output_count; i++) {
        m->responses[i] = &c->outputs[i];
    }
    m->response_count = c->output_count;
    qsort(m->responses, m->response_count, sizeof(*m->responses), compare_outputs);
    for (uint32_t i = 0; i < m->response_count; i++) {
        const struct model_tensor *output = m->responses[i];
        BACKEND_TRY(ragged_scatter_source(c, output->name, &m->scatter_sources[i]));
        BACKEND_TRY(m->graphdef ? check_graph_tensor(m, output, false)
                                : check_saved_output(m, output, m->scatter_sources[i]));
    }
    return NULL;
}

TRITONSERVER_Error *tf_check(struct tf_model *m)
{
    struct model_config *c = &m->config;
    m->ragged_count = 0;
    BACKEND_TRY(ragged_read(c, &m->ragged, &m->ragged_count));
    BACKEND_TRY(check_types(m, c->inputs, c->input_count));
    BACKEND_TRY(check_types(m, c->outputs, c->output_count));
    BACKEND_TRY(m->graphdef ? check_graph_inputs(m) : check_saved_inputs(m));
    return check_outputs(m);
}
