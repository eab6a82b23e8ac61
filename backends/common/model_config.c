// SPDX-License-Identifier: Apache-2.0
// Reads a model's configuration. See model_config.h.
#include "backends/common/model_config.h"

#include "base/str.h"

static const struct {
    const char *name;
    TRITONSERVER_DataType type;
} data_types[] = {
    {"TYPE_BOOL", TRITONSERVER_TYPE_BOOL},     {"TYPE_UINT8", TRITONSERVER_TYPE_UINT8},
    {"TYPE_UINT16", TRITONSERVER_TYPE_UINT16}, {"TYPE_UINT32", TRITONSERVER_TYPE_UINT32},
    {"TYPE_UINT64", TRITONSERVER_TYPE_UINT64}, {"TYPE_INT8", TRITONSERVER_TYPE_INT8},
    {"TYPE_INT16", TRITONSERVER_TYPE_INT16},   {"TYPE_INT32", TRITONSERVER_TYPE_INT32},
    {"TYPE_INT64", TRITONSERVER_TYPE_INT64},   {"TYPE_FP16", TRITONSERVER_TYPE_FP16},
    {"TYPE_FP32", TRITONSERVER_TYPE_FP32},     {"TYPE_FP64", TRITONSERVER_TYPE_FP64},
    {"TYPE_STRING", TRITONSERVER_TYPE_BYTES},  {"TYPE_BF16", TRITONSERVER_TYPE_BF16},
};
enum { DATA_TYPE_COUNT = sizeof(data_types) / sizeof(data_types[0]) };

TRITONSERVER_DataType model_data_type(struct slice name)
{
    for (size_t i = 0; i < DATA_TYPE_COUNT; i++) {
        if (slice_is(name, data_types[i].name)) {
            return data_types[i].type;
        }
    }
    return TRITONSERVER_TYPE_INVALID;
}

const char *model_data_type_name(TRITONSERVER_DataType type)
{
    for (size_t i = 0; i < DATA_TYPE_COUNT; i++) {
        if (data_types[i].type == type) {
            return data_types[i].name;
        }
    }
    return "TYPE_INVALID";
}

void model_shape_print(const int64_t *dims, size_t count, struct str *out)
{
    str_append_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            str_append_char(out, ',');
        }
        str_append_i64(out, dims[i]);
    }
    str_append_char(out, ']');
}

bool model_shape_elements(const int64_t *dims, size_t count, int64_t *elements)
{
    int64_t product = 1;
    for (size_t i = 0; i < count; i++) {
        if (dims[i] < 0 || __builtin_mul_overflow(product, dims[i], &product)) {
            return false;
        }
    }
    *elements = product;
    return true;
}

struct model_shape model_tensor_shape(const struct model_tensor *tensor)
{
    return tensor->has_reshape ? tensor->reshape : tensor->dims;
}

static struct nrd_status *read_shape(struct model_config *c, const struct json_node *array,
                                     struct model_shape *shape)
{
    *shape = (struct model_shape){0};
    if (array == NULL) {
        return NULL;
    }
    NRD_TRY(json_want_array(array));
    int64_t *dims = arena_calloc(&c->arena, (size_t)array->count + 1, sizeof(*dims));
    if (dims == NULL) {
        return status_no_memory();
    }
    const struct json_node *n = json_first(array);
    for (uint32_t i = 0; i < array->count; i++, n = json_next(n)) {
        // Some JSON writers make strings of 64-bit numbers.
        if (n->type == JSON_STRING) {
            if (!slice_to_i64(json_text(n), &dims[i])) {
                return status_new(NRD_INTERNAL, "model '%s': a dimension is not a number", c->name);
            }
        } else {
            NRD_TRY(json_want_i64(n, &dims[i]));
        }
    }
    *shape = (struct model_shape){dims, array->count};
    return NULL;
}

static bool read_flag(const struct json_node *object, const char *key)
{
    const struct json_node *node = json_get(object, key);
    return node != NULL && node->type == JSON_TRUE;
}

static struct nrd_status *read_tensor(struct model_config *c, const struct json_node *object,
                                      struct model_tensor *t)
{
    const struct json_node *node = NULL;
    struct slice text = {0};
    NRD_TRY(json_member(object, "name", &node));
    NRD_TRY(json_want_string(node, &text));
    t->name = arena_strdup(&c->arena, text);
    if (t->name == NULL) {
        return status_no_memory();
    }
    NRD_TRY(json_member(object, "data_type", &node));
    NRD_TRY(json_want_string(node, &text));
    t->dtype = model_data_type(text);
    NRD_TRY(read_shape(c, json_get(object, "dims"), &t->dims));
    const struct json_node *reshape = json_get(object, "reshape");
    if (reshape != NULL) {
        t->has_reshape = true;
        NRD_TRY(read_shape(c, json_get(reshape, "shape"), &t->reshape));
    }
    t->optional = read_flag(object, "optional");
    t->ragged = read_flag(object, "allow_ragged_batch");
    return NULL;
}

static struct nrd_status *read_tensors(struct model_config *c, const char *key,
                                       struct model_tensor **tensors, uint32_t *count)
{
    const struct json_node *array = json_get(c->root, key);
    if (array == NULL) {
        return NULL;
    }
    NRD_TRY(json_want_array(array));
    *tensors = arena_calloc(&c->arena, (size_t)array->count + 1, sizeof(**tensors));
    if (*tensors == NULL) {
        return status_no_memory();
    }
    const struct json_node *n = json_first(array);
    for (uint32_t i = 0; i < array->count; i++, n = json_next(n)) {
        NRD_TRY(read_tensor(c, n, &(*tensors)[i]));
    }
    *count = array->count;
    return NULL;
}

static struct nrd_status *read_root(struct model_config *c, struct slice text)
{
    // The message is gone before the configuration is, and strings of the tape borrow the text.
    const char *copy = arena_strdup(&c->arena, text);
    if (copy == NULL) {
        return status_no_memory();
    }
    NRD_TRY(json_parse_status(&c->arena, slice_make(copy, text.len), JSON_STRICT,
                              "model configuration", &c->root));
    const struct json_node *node = json_get(c->root, "max_batch_size");
    if (node != NULL) {
        int64_t value = 0;
        NRD_TRY(json_want_i64(node, &value));
        c->max_batch_size = value > 0 && value <= INT32_MAX ? (uint32_t)value : 0;
    }
    NRD_TRY(read_tensors(c, "input", &c->inputs, &c->input_count));
    return read_tensors(c, "output", &c->outputs, &c->output_count);
}

TRITONSERVER_Error *model_config_init(struct model_config *config, TRITONBACKEND_Model *model)
{
    *config = (struct model_config){0};
    const char *name = NULL;
    const char *directory = NULL;
    TRITONBACKEND_ArtifactType artifact = TRITONBACKEND_ARTIFACT_FILESYSTEM;
    BACKEND_TRY(TRITONBACKEND_ModelName(model, &name));
    BACKEND_TRY(TRITONBACKEND_ModelVersion(model, &config->version));
    BACKEND_TRY(TRITONBACKEND_ModelRepository(model, &artifact, &directory));
    if (artifact != TRITONBACKEND_ARTIFACT_FILESYSTEM) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "unsupported repository artifact type for model '%s'", name);
    }
    TRITONSERVER_Message *message = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelConfig(model, 1, &message));

    arena_init(&config->arena, 0);
    const char *base = NULL;
    size_t size = 0;
    TRITONSERVER_Error *error = TRITONSERVER_MessageSerializeToJson(message, &base, &size);
    if (error == NULL) {
        config->name = arena_strdup(&config->arena, slice_of(name));
        config->directory = arena_strdup(&config->arena, slice_of(directory));
        if (config->name == NULL || config->directory == NULL) {
            error = backend_no_memory();
        } else {
            error = backend_error(read_root(config, slice_make(base, size)));
        }
    }
    backend_log_error(TRITONSERVER_MessageDelete(message), "failed to free the configuration");
    if (error != NULL) {
        model_config_fini(config);
    }
    return error;
}

void model_config_fini(struct model_config *config)
{
    arena_fini(&config->arena);
    *config = (struct model_config){0};
}

bool model_parameter(const struct model_config *config, const char *key, struct slice *value)
{
    const struct json_node *parameters = json_get(config->root, "parameters");
    const struct json_node *entry = parameters == NULL ? NULL : json_get(parameters, key);
    const struct json_node *text = entry == NULL ? NULL : json_get(entry, "string_value");
    if (text == NULL || text->type != JSON_STRING) {
        return false;
    }
    *value = json_text(text);
    return true;
}

TRITONSERVER_Error *model_parameter_int(const struct model_config *config, const char *key,
                                        int *value)
{
    struct slice text = {0};
    return model_parameter(config, key, &text) ? backend_parse_int(key, text, value) : NULL;
}

TRITONSERVER_Error *model_parameter_bool(const struct model_config *config, const char *key,
                                         bool *value)
{
    struct slice text = {0};
    return model_parameter(config, key, &text) ? backend_parse_bool(key, text, value) : NULL;
}
