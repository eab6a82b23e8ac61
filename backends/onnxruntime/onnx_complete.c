// SPDX-License-Identifier: Apache-2.0
// Completes a configuration from the model: inputs or outputs that it leaves out, the batch limit,
// and a dynamic batcher for models that batch. One that names inputs and outputs is left alone. See
// onnx_model.h.
#include "backends/onnxruntime/onnx_model.h"

static uint32_t array_count(const struct json_node *root, const char *key)
{
    const struct json_node *node = json_get(root, key);
    return node != NULL && node->type == JSON_ARRAY ? node->count : 0;
}

static bool first_dims_open(const struct onnx_tensors *tensors)
{
    for (uint32_t i = 0; i < tensors->count; i++) {
        if (tensors->items[i].dim_count == 0 || tensors->items[i].dims[0] != -1) {
            return false;
        }
    }
    return true;
}

// The batch limit that the completed configuration gets.
static TRITONSERVER_Error *choose_batch_limit(const struct onnx_model *m, bool *batches,
                                              uint32_t *limit)
{
    *batches = first_dims_open(&m->inputs) && first_dims_open(&m->outputs);
    *limit = m->config.max_batch_size;
    if (!*batches && *limit != 0) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "autofill failed for model '%s': model does not support batching "
                                 "while non-zero max_batch_size is specified",
                                 m->config.name);
    }
    if (*batches && *limit == 0) {
        *limit = m->default_max_batch_size > 0 ? (uint32_t)m->default_max_batch_size : 0;
        BACKEND_LOG(WARN,
                    "autofilled max_batch_size to %u for model '%s' since batching is supported "
                    "but no max_batch_size is specified in model configuration. Must specify "
                    "max_batch_size to utilize autofill with a larger max batch size",
                    *limit, m->config.name);
    }
    return NULL;
}

static void write_tensor(struct json_writer *w, const struct onnx_tensor *t, bool batching)
{
    json_object_begin(w);
    json_key(w, "name");
    json_cstring(w, t->name);
    json_key(w, "data_type");
    json_cstring(w, model_data_type_name(t->dtype));
    uint32_t first = batching ? 1 : 0;
    bool scalar = t->dim_count <= first;
    if (scalar && batching) {
        // A configuration has no empty shape; the model's is kept by a reshape.
        json_key(w, "reshape");
        json_object_begin(w);
        json_key(w, "shape");
        json_array_begin(w);
        json_array_end(w);
        json_object_end(w);
    }
    json_key(w, "dims");
    json_array_begin(w);
    for (uint32_t i = first; i < t->dim_count; i++) {
        json_i64(w, t->dims[i]);
    }
    if (scalar) {
        json_i64(w, 1);
    }
    json_array_end(w);
    json_object_end(w);
}

static void write_tensors(struct json_writer *w, const char *key,
                          const struct onnx_tensors *tensors, bool batching)
{
    json_key(w, key);
    json_array_begin(w);
    for (uint32_t i = 0; i < tensors->count; i++) {
        write_tensor(w, &tensors->items[i], batching);
    }
    json_array_end(w);
}

// What of the configuration is written anew.
struct completion {
    bool inputs;
    bool outputs;
    bool dynamic_batching;
    uint32_t limit;
};

static bool replaced(const struct completion *c, struct slice key)
{
    return slice_is(key, "max_batch_size") || (c->inputs && slice_is(key, "input")) ||
           (c->outputs && slice_is(key, "output"));
}

static void write_config(struct json_writer *w, const struct onnx_model *m,
                         const struct completion *c)
{
    json_object_begin(w);
    const struct json_node *key = json_first(m->config.root);
    for (uint32_t i = 0; i < m->config.root->count; i++) {
        const struct json_node *value = json_next(key);
        if (!replaced(c, json_text(key))) {
            json_key_slice(w, json_text(key));
            json_write_node(w, value);
        }
        key = json_next(value);
    }
    json_key(w, "max_batch_size");
    json_u64(w, c->limit);
    if (c->inputs) {
        write_tensors(w, "input", &m->inputs, c->limit > 0);
    }
    if (c->outputs) {
        write_tensors(w, "output", &m->outputs, c->limit > 0);
    }
    if (c->dynamic_batching) {
        json_key(w, "dynamic_batching");
        json_object_begin(w);
        json_object_end(w);
    }
    json_object_end(w);
}

static TRITONSERVER_Error *hand_over(TRITONBACKEND_Model *handle, const struct str *json)
{
    BACKEND_TRY(backend_error(str_status(json)));
    TRITONSERVER_Message *message = NULL;
    BACKEND_TRY(TRITONSERVER_MessageNewFromSerializedJson(&message, str_cstr(json), json->len));
    TRITONSERVER_Error *error = TRITONBACKEND_ModelSetConfig(handle, 1, message);
    backend_log_error(TRITONSERVER_MessageDelete(message), "failed to free the configuration");
    return error;
}

TRITONSERVER_Error *onnx_complete(struct onnx_model *m, TRITONBACKEND_Model *handle, bool *changed)
{
    const struct json_node *root = m->config.root;
    uint32_t inputs = array_count(root, "input") + array_count(root, "batch_input");
    uint32_t outputs = array_count(root, "output");
    *changed = false;
    if (inputs > 0 && outputs > 0) {
        BACKEND_LOG(VERBOSE,
                    "skipping model configuration auto-complete for '%s': inputs and outputs "
                    "already specified",
                    m->config.name);
        return NULL;
    }
    struct completion c = {.inputs = inputs == 0, .outputs = outputs == 0};
    bool batches = false;
    BACKEND_TRY(choose_batch_limit(m, &batches, &c.limit));
    c.dynamic_batching = batches && c.limit > 1 && json_get(root, "sequence_batching") == NULL &&
                         json_get(root, "dynamic_batching") == NULL;
    struct str json = STR_INIT;
    struct json_writer w;
    json_begin(&w, &json);
    write_config(&w, m, &c);
    TRITONSERVER_Error *error = hand_over(handle, &json);
    str_fini(&json);
    *changed = error == NULL;
    return error;
}
