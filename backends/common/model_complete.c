// SPDX-License-Identifier: Apache-2.0
// Completes configurations. See model_complete.h.
#include "backends/common/model_complete.h"

#include "base/str.h"

uint32_t model_array_count(const struct json_node *root, const char *key)
{
    const struct json_node *node = json_get(root, key);
    return node != NULL && node->type == JSON_ARRAY ? node->count : 0;
}

void model_write_dims(struct json_writer *w, const int64_t *dims, uint32_t dim_count, bool batching)
{
    uint32_t first = batching ? 1 : 0;
    bool scalar = dim_count <= first;
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
    for (uint32_t i = first; i < dim_count; i++) {
        json_i64(w, dims[i]);
    }
    if (scalar) {
        json_i64(w, 1);
    }
    json_array_end(w);
}

void model_write_tensor(struct json_writer *w, const char *name, TRITONSERVER_DataType dtype,
                        const int64_t *dims, uint32_t dim_count, bool batching)
{
    json_object_begin(w);
    json_key(w, "name");
    json_cstring(w, name);
    json_key(w, "data_type");
    json_cstring(w, model_data_type_name(dtype));
    model_write_dims(w, dims, dim_count, batching);
    json_object_end(w);
}

static bool replaced(const struct model_completion *c, struct slice key)
{
    return slice_is(key, "max_batch_size") || (c->write_inputs != NULL && slice_is(key, "input")) ||
           (c->write_outputs != NULL && slice_is(key, "output"));
}

static void write_array(struct json_writer *w, const char *key,
                        void (*write)(struct json_writer *, void *), void *userp)
{
    if (write != NULL) {
        json_key(w, key);
        json_array_begin(w);
        write(w, userp);
        json_array_end(w);
    }
}

static void write_config(struct json_writer *w, const struct json_node *root,
                         const struct model_completion *c)
{
    json_object_begin(w);
    const struct json_node *key = json_first(root);
    for (uint32_t i = 0; i < root->count; i++) {
        const struct json_node *value = json_next(key);
        if (!replaced(c, json_text(key))) {
            json_key_slice(w, json_text(key));
            json_write_node(w, value);
        }
        key = json_next(value);
    }
    json_key(w, "max_batch_size");
    json_u64(w, c->max_batch_size);
    write_array(w, "input", c->write_inputs, c->userp);
    write_array(w, "output", c->write_outputs, c->userp);
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

TRITONSERVER_Error *model_complete(TRITONBACKEND_Model *handle, const struct model_config *config,
                                   const struct model_completion *completion)
{
    struct str json = STR_INIT;
    struct json_writer w;
    json_begin(&w, &json);
    write_config(&w, config->root, completion);
    TRITONSERVER_Error *error = hand_over(handle, &json);
    str_fini(&json);
    return error;
}
