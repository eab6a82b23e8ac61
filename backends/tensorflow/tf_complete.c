// SPDX-License-Identifier: Apache-2.0
// Completes a configuration from the signature of a SavedModel, by Triton's rules: inputs that it
// leaves out are added, outputs only when it names none, types and dimensions that it leaves open
// are filled in; a batch limit of 0 becomes the default where the model can batch and nothing in
// the configuration speaks against it. See tf_model.h.
#include "backends/common/model_complete.h"
#include "backends/tensorflow/tf_model.h"

struct completion {
    const struct tf_model *model;
    bool batching;
};

// Every tensor that has dimensions leaves the first one open.
static bool can_batch(const struct tf_ios *ios)
{
    for (uint32_t i = 0; i < ios->count; i++) {
        const struct tf_io *io = &ios->items[i];
        if (tf_is_scalar(io) || (io->dim_count > 0 && io->dims[0] != -1)) {
            return false;
        }
    }
    return true;
}

// ---- does the configuration speak of a batch dimension? ----

enum hint { HINT_NONE, HINT_YES, HINT_NO };
struct hints {
    bool batching;
    bool ragged;
    enum hint explicit; // what a tensor with dimensions says
};

static TRITONSERVER_Error *look_at(const struct tf_model *m, const struct model_tensor *c,
                                   const struct tf_ios *ios, struct hints *h)
{
    if (c->ragged) {
        h->ragged = true;
        h->batching = true;
        return NULL;
    }
    const struct tf_io *io = tf_find_io(ios, c->name);
    struct model_shape shape = model_tensor_shape(c);
    if (io == NULL || io->dim_count == 0) {
        return NULL;
    }
    if (shape.count == 0) {
        h->batching = h->batching || h->explicit == HINT_NONE;
        return NULL;
    }
    enum hint says = shape.count == io->dim_count - 1 ? HINT_YES : HINT_NO;
    if (h->explicit != HINT_NONE && h->explicit != says) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "unable to autofill for '%s', model tensor configurations are "
                                 "contradicting each other in terms of whether batching is "
                                 "supported",
                                 m->config.name);
    }
    h->explicit = says;
    h->batching = says == HINT_YES;
    return NULL;
}

static TRITONSERVER_Error *configuration_hint(const struct tf_model *m, bool *batching)
{
    const struct model_config *c = &m->config;
    struct hints h = {0};
    if (c->input_count == 0 && c->output_count == 0) {
        *batching = true;
        return NULL;
    }
    for (uint32_t i = 0; i < c->input_count && !h.ragged; i++) {
        BACKEND_TRY(look_at(m, &c->inputs[i], &m->declared.inputs, &h));
    }
    for (uint32_t i = 0; i < c->output_count && !h.ragged; i++) {
        BACKEND_TRY(look_at(m, &c->outputs[i], &m->declared.outputs, &h));
    }
    *batching = h.batching;
    return NULL;
}

static TRITONSERVER_Error *choose_batch_limit(const struct tf_model *m, bool *batching,
                                              uint32_t *limit)
{
    bool able = can_batch(&m->declared.inputs) && can_batch(&m->declared.outputs);
    *limit = m->config.max_batch_size;
    *batching = false;
    if (!able && *limit > 0) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "unable to autofill for '%s', configuration specified max-batch "
                                 "%u but model signature does not support batching",
                                 m->config.name, *limit);
    }
    if (able) {
        BACKEND_TRY(configuration_hint(m, batching));
    }
    int fallback = m->library->default_max_batch_size;
    if (*limit == 0 && *batching && fallback > 0) {
        *limit = (uint32_t)fallback;
        BACKEND_LOG(WARN,
                    "autofilled max_batch_size to %u for model '%s' since batching is supported "
                    "but no max_batch_size is specified in model configuration. Must specify "
                    "max_batch_size to utilize autofill with a larger max batch size",
                    *limit, m->config.name);
    }
    *batching = *batching && *limit > 0;
    return NULL;
}

// ---- tensors ----

// One that the configuration names: what it leaves open is filled in.
static void write_named(struct json_writer *w, const struct json_node *object,
                        const struct model_tensor *c, const struct tf_io *io, bool batching)
{
    bool type = c->dtype == TRITONSERVER_TYPE_INVALID;
    bool dims = c->dims.count == 0 && io->dim_count > 0;
    bool scalar = dims && io->dim_count == (batching ? 1U : 0U);
    json_object_begin(w);
    const struct json_node *key = json_first(object);
    for (uint32_t i = 0; i < object->count; i++) {
        const struct json_node *value = json_next(key);
        struct slice name = json_text(key);
        if (!(type && slice_is(name, "data_type")) && !(dims && slice_is(name, "dims")) &&
            !(scalar && slice_is(name, "reshape"))) {
            json_key_slice(w, name);
            json_write_node(w, value);
        }
        key = json_next(value);
    }
    if (type) {
        json_key(w, "data_type");
        json_cstring(w, model_data_type_name(tf_to_triton(io->type)));
    }
    if (dims) {
        model_write_dims(w, io->dims, io->dim_count, batching);
    }
    json_object_end(w);
}

static void write_io(struct json_writer *w, const struct tf_io *io, bool batching)
{
    model_write_tensor(w, io->name, tf_to_triton(io->type), io->dims, io->dim_count, batching);
}

static void write_all_named(struct json_writer *w, const struct completion *c, const char *key,
                            const struct model_tensor *tensors, const struct tf_ios *ios)
{
    const struct json_node *array = json_get(c->model->config.root, key);
    if (array == NULL || array->type != JSON_ARRAY) {
        return;
    }
    const struct json_node *n = json_first(array);
    for (uint32_t i = 0; i < array->count; i++, n = json_next(n)) {
        const struct tf_io *io = tf_find_io(ios, tensors[i].name);
        if (io == NULL) {
            json_write_node(w, n); // the check tells that the model does not have it
        } else {
            write_named(w, n, &tensors[i], io, c->batching);
        }
    }
}

// Whether an input comes with the configuration in one way or another.
static bool is_named(const struct tf_model *m, const char *name)
{
    for (uint32_t i = 0; i < m->config.input_count; i++) {
        if (strcmp(m->config.inputs[i].name, name) == 0) {
            return true;
        }
    }
    for (uint32_t i = 0; i < m->ragged_count; i++) {
        for (uint32_t k = 0; k < m->ragged[i].target_count; k++) {
            if (strcmp(m->ragged[i].targets[k], name) == 0) {
                return true;
            }
        }
    }
    const struct json_node *sequence = json_get(m->config.root, "sequence_batching");
    const struct json_node *controls =
        sequence == NULL ? NULL : json_get(sequence, "control_input");
    if (controls == NULL || controls->type != JSON_ARRAY) {
        return false;
    }
    const struct json_node *n = json_first(controls);
    for (uint32_t i = 0; i < controls->count; i++, n = json_next(n)) {
        const struct json_node *control = json_get(n, "name");
        if (control != NULL && control->type == JSON_STRING && slice_is(json_text(control), name)) {
            return true;
        }
    }
    return false;
}

static void write_inputs(struct json_writer *w, void *userp)
{
    const struct completion *c = userp;
    const struct tf_model *m = c->model;
    write_all_named(w, c, "input", m->config.inputs, &m->declared.inputs);
    for (uint32_t i = 0; i < m->declared.inputs.count; i++) {
        if (!is_named(m, m->declared.inputs.items[i].name)) {
            write_io(w, &m->declared.inputs.items[i], c->batching);
        }
    }
}

static void write_outputs(struct json_writer *w, void *userp)
{
    const struct completion *c = userp;
    const struct tf_model *m = c->model;
    if (m->config.output_count > 0) {
        write_all_named(w, c, "output", m->config.outputs, &m->declared.outputs);
        return;
    }
    for (uint32_t i = 0; i < m->declared.outputs.count; i++) {
        write_io(w, &m->declared.outputs.items[i], c->batching);
    }
}

// A tensor of any shape whose dimensions the configuration does not give either.
static TRITONSERVER_Error *refuse_unknown(const struct tf_model *m)
{
    const struct model_config *c = &m->config;
    const struct {
        const struct tf_ios *ios;
        const struct model_tensor *tensors;
        uint32_t count;
        bool inputs;
    } sides[] = {{&m->declared.inputs, c->inputs, c->input_count, true},
                 {&m->declared.outputs, c->outputs, c->output_count, false}};
    for (size_t s = 0; s < 2; s++) {
        for (uint32_t i = 0; i < sides[s].ios->count; i++) {
            const struct tf_io *io = &sides[s].ios->items[i];
            if (io->known_rank) {
                continue;
            }
            const struct model_tensor *named = NULL;
            for (uint32_t k = 0; k < sides[s].count; k++) {
                named =
                    strcmp(sides[s].tensors[k].name, io->name) == 0 ? &sides[s].tensors[k] : named;
            }
            bool added = sides[s].inputs ? !is_named(m, io->name) : sides[s].count == 0;
            if (named != NULL ? named->dims.count == 0 : added) {
                return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                         "Unable to autofill for '%s': the rank of model tensor "
                                         "'%s' is 0 and dimensions are not defined",
                                         c->name, io->name);
            }
        }
    }
    return NULL;
}

TRITONSERVER_Error *tf_complete(struct tf_model *m, TRITONBACKEND_Model *handle)
{
    const struct json_node *root = m->config.root;
    struct completion c = {.model = m};
    uint32_t limit = 0;
    BACKEND_TRY(ragged_read(&m->config, &m->ragged, &m->ragged_count));
    BACKEND_TRY(choose_batch_limit(m, &c.batching, &limit));
    BACKEND_TRY(refuse_unknown(m));
    const struct model_completion completion = {
        .write_inputs = write_inputs,
        .write_outputs = write_outputs,
        .userp = &c,
        .max_batch_size = limit,
        .dynamic_batching = limit > 1 && json_get(root, "sequence_batching") == NULL &&
                            json_get(root, "dynamic_batching") == NULL,
    };
    return model_complete(handle, &m->config, &completion);
}
