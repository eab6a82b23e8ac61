// SPDX-License-Identifier: Apache-2.0
// The reply to an HTTP inference: a JSON head, then the binary tensors in the order of the outputs. Outputs that a server sends as
// JSON all the same are turned into tensors.
#include "client/reply.h"
#include "client/response.h"
#include "tensor/shape.h"

// Text of a member, terminated; `fallback` when it is absent. NULL: no memory.
static const char *text_of(struct nrd_client_response *r, const struct json_node *object,
                           const char *key, const char *fallback)
{
    const struct json_node *node = json_get(object, key);
    if (node == NULL || node->type != JSON_STRING) {
        return fallback;
    }
    return arena_strdup(&r->arena, json_text(node));
}

// A member that is a number; 0 when it is absent.
static uint64_t number_of(const struct json_node *object, const char *key)
{
    const struct json_node *node = json_get(object, key);
    uint64_t value = 0;
    return node != NULL && json_as_u64(node, &value) ? value : 0;
}

static struct nrd_status *malformed(const char *what)
{
    return status_new(NRD_INTERNAL, "malformed answer: %s", what);
}

// ---- outputs as JSON ------------------------------------------------------------------------------------------------

// What is written of a tensor, or, with `at` NULL, only counted.
struct json_tensor {
    enum nrd_dtype dtype;
    char *at;
    size_t size;
};

static void put(struct json_tensor *t, const void *bytes, size_t size)
{
    if (t->at != NULL && size > 0) {
        memcpy(t->at + t->size, bytes, size);
    }
    t->size += size;
}

static bool put_integer(struct json_tensor *t, const struct json_node *node)
{
    int64_t i = 0;
    uint64_t u = 0;
    if (!json_as_i64(node, &i) && !json_as_u64(node, &u)) {
        return false;
    }
    u |= (uint64_t)i; // one of them is 0
    // The low bytes, as two's complement has it; hosts that this is built for are little-endian.
    put(t, &u, nrd_dtype_size(t->dtype));
    return true;
}

static bool put_element(struct json_tensor *t, const struct json_node *node)
{
    double d = 0;
    float f;
    bool b = false;
    uint32_t length;
    switch (t->dtype) {
    case NRD_DTYPE_F32:
        if (!json_as_f64(node, &d)) {
            return false;
        }
        f = (float)d;
        put(t, &f, sizeof(f));
        return true;
    case NRD_DTYPE_F64:
        if (!json_as_f64(node, &d)) {
            return false;
        }
        put(t, &d, sizeof(d));
        return true;
    case NRD_DTYPE_BOOL:
        if (!json_as_bool(node, &b)) {
            return false;
        }
        put(t, &b, 1);
        return true;
    case NRD_DTYPE_BYTES:
        if (node->type != JSON_STRING) {
            return false;
        }
        length = node->span;
        put(t, &length, sizeof(length));
        put(t, node->as.s, length);
        return true;
    case NRD_DTYPE_U8:
    case NRD_DTYPE_U16:
    case NRD_DTYPE_U32:
    case NRD_DTYPE_U64:
    case NRD_DTYPE_I8:
    case NRD_DTYPE_I16:
    case NRD_DTYPE_I32:
    case NRD_DTYPE_I64:
        return put_integer(t, node);
    case NRD_DTYPE_INVALID:
    case NRD_DTYPE_F16:
    case NRD_DTYPE_BF16:
        break;
    }
    return false;
}

// The tape lists elements in order whatever their nesting, so one walk over the nodes below `data` does.
static bool put_data(struct json_tensor *t, const struct json_node *data)
{
    const struct json_node *end = data + data->span;
    for (const struct json_node *node = data + 1; node < end; node++) {
        if (node->type != JSON_ARRAY && !put_element(t, node)) {
            return false;
        }
    }
    return true;
}

static struct nrd_status *read_json_data(struct nrd_client_response *r,
                                         struct nrd_client_tensor *tensor,
                                         const struct json_node *data)
{
    struct json_tensor t = {.dtype = tensor->dtype};
    if (data->type != JSON_ARRAY || !put_data(&t, data)) {
        return malformed("an output's 'data' does not fit its datatype");
    }
    size_t size = t.size;
    t.at = arena_alloc(&r->arena, size > 0 ? size : 1);
    if (t.at == NULL) {
        return status_no_memory();
    }
    t.size = 0;
    (void)put_data(&t, data);
    tensor->data = t.at;
    tensor->size = size;
    return NULL;
}

// ---- outputs --------------------------------------------------------------------------------------------------------

static struct nrd_status *read_shape(struct nrd_client_response *r, const struct json_node *node,
                                     struct nrd_client_tensor *tensor)
{
    if (node == NULL || node->type != JSON_ARRAY) {
        return malformed("an output without 'shape'");
    }
    int64_t *shape = arena_alloc(&r->arena, (node->count + 1u) * sizeof(*shape));
    if (shape == NULL) {
        return status_no_memory();
    }
    const struct json_node *dim = json_first(node);
    for (unsigned i = 0; i < node->count; i++, dim = json_next(dim)) {
        if (!json_as_i64(dim, &shape[i]) || shape[i] < 0) {
            return malformed("an output with a bad 'shape'");
        }
    }
    tensor->shape = shape;
    tensor->rank = node->count;
    return NULL;
}

// `rest` is what is left of the binary part.
static struct nrd_status *read_output(struct nrd_client_response *r, const struct json_node *node,
                                      struct nrd_client_tensor *tensor, struct slice *rest)
{
    tensor->name = text_of(r, node, "name", "");
    const struct json_node *datatype = json_get(node, "datatype");
    if (tensor->name == NULL) {
        return status_no_memory();
    }
    if (datatype == NULL || datatype->type != JSON_STRING) {
        return malformed("an output without 'datatype'");
    }
    tensor->dtype = dtype_from_name(json_text(datatype));
    if (tensor->dtype == NRD_DTYPE_INVALID) {
        return malformed("an output with an unknown 'datatype'");
    }
    NRD_TRY(read_shape(r, json_get(node, "shape"), tensor));
    const struct json_node *parameters = json_get(node, "parameters");
    const struct json_node *region = json_get(parameters, "shared_memory_region");
    const struct json_node *binary = json_get(parameters, "binary_data_size");
    uint64_t size = 0;
    if (region != NULL && region->type == JSON_STRING) {
        tensor->region = arena_strdup(&r->arena, json_text(region));
        tensor->region_offset = number_of(parameters, "shared_memory_offset");
        tensor->size = (size_t)number_of(parameters, "shared_memory_byte_size");
        return tensor->region == NULL ? status_no_memory() : NULL;
    }
    if (binary != NULL) {
        if (!json_as_u64(binary, &size) || size > rest->len) {
            return malformed("an output with a 'binary_data_size' beyond the reply's end");
        }
        struct slice bytes = slice_make(rest->ptr, (size_t)size);
        *rest = slice_make(rest->ptr + size, rest->len - (size_t)size);
        return response_show(r, tensor, bytes) ? NULL : status_no_memory();
    }
    const struct json_node *data = json_get(node, "data");
    return data == NULL ? NULL : read_json_data(r, tensor, data);
}

static bool read_parameter(struct nrd_client_response *r, struct slice key,
                           const struct json_node *value, struct nrd_client_parameter *p)
{
    const char *text = NULL;
    p->name = arena_strdup(&r->arena, key);
    if (value->type == JSON_STRING) {
        p->kind = NRD_CLIENT_PARAMETER_STRING;
        p->as.s = text = arena_strdup(&r->arena, json_text(value));
        return p->name != NULL && text != NULL;
    }
    if (json_as_bool(value, &p->as.b)) {
        p->kind = NRD_CLIENT_PARAMETER_BOOL;
    } else if (json_as_i64(value, &p->as.i)) {
        p->kind = NRD_CLIENT_PARAMETER_INT;
    } else if (json_as_f64(value, &p->as.d)) {
        p->kind = NRD_CLIENT_PARAMETER_DOUBLE;
    } else {
        p->kind = NRD_CLIENT_PARAMETER_STRING;
        p->as.s = "";
    }
    return p->name != NULL;
}

static unsigned members(const struct json_node *node, enum json_type type)
{
    return node != NULL && node->type == type ? node->count : 0;
}

struct nrd_status *response_read_http(struct nrd_client_call *call, struct nrd_client_response *r)
{
    struct slice reply = slice_make(call->reply, call->reply_size);
    struct slice head = reply;
    if (call->json_size != SIZE_MAX) {
        if (call->json_size > reply.len) {
            return malformed("Inference-Header-Content-Length is beyond the reply's end");
        }
        head.len = call->json_size;
    }
    struct slice rest = slice_make(reply.ptr + head.len, reply.len - head.len);
    const struct json_node *root = NULL;
    NRD_TRY(reply_parse(&r->arena, head, &root));
    r->model = text_of(r, root, "model_name", "");
    r->version = text_of(r, root, "model_version", "");
    r->id = text_of(r, root, "id", "");
    const struct json_node *outputs = json_get(root, "outputs");
    const struct json_node *parameters = json_get(root, "parameters");
    if (r->model == NULL || r->version == NULL || r->id == NULL ||
        !response_expect(r, members(outputs, JSON_ARRAY), members(parameters, JSON_OBJECT))) {
        return status_no_memory();
    }
    const struct json_node *node = outputs == NULL ? NULL : json_first(outputs);
    for (unsigned i = 0; i < members(outputs, JSON_ARRAY); i++, node = json_next(node)) {
        NRD_TRY(read_output(r, node, &r->tensors[i], &rest));
        r->count++;
    }
    node = parameters == NULL ? NULL : json_first(parameters);
    for (unsigned i = 0; i < members(parameters, JSON_OBJECT); i++) {
        const struct json_node *value = json_next(node);
        if (!read_parameter(r, json_text(node), value, &r->parameters[i])) {
            return status_no_memory();
        }
        r->parameter_count++;
        node = json_next(value);
    }
    r->buffer = call->buffer;
    call->buffer = NULL;
    return NULL;
}
