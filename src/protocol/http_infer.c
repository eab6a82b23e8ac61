// SPDX-License-Identifier: Apache-2.0
// POST .../infer: from a body in memory to a TRITONSERVER_InferenceRequest that borrows it.
//
// The order of checks is Triton's, since it decides which error a client sees, and of which type: until the request
// object exists, errors are text/plain, from then on application/json.
#include "protocol/http_infer.h"
#include "protocol/body_locks.h"
#include "protocol/core_ext.h"

#include <pthread.h>

#include "base/log.h"
#include "base/mem.h"
#include "protocol/http_tensor.h"

#define MAX_IDLE_INFERS 256
#define TEXT_KEEP (64 * 1024)

struct infer_pool {
    pthread_mutex_t lock;
    struct infer *idle;
    unsigned idle_count;
    _Atomic unsigned live;
};

// ---- life

struct infer_pool *infer_pool_create(struct http_server *http)
{
    (void)http;
    struct infer_pool *pool = mem_calloc(1, sizeof(*pool));
    if (pool != NULL) {
        pthread_mutex_init(&pool->lock, NULL);
    }
    return pool;
}

static void free_infer(struct infer *infer)
{
    arena_fini(&infer->arena);
    str_fini(&infer->json);
    str_fini(&infer->headers);
    mem_free(infer);
}

void infer_pool_destroy(struct infer_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    while (pool->idle != NULL) {
        struct infer *infer = pool->idle;
        pool->idle = infer->next_free;
        free_infer(infer);
    }
    pthread_mutex_destroy(&pool->lock);
    mem_free(pool);
}

unsigned infer_pool_live(const struct infer_pool *pool)
{
    return atomic_load_explicit(&pool->live, memory_order_acquire);
}

struct infer *infer_get(struct http_server *http, struct http1_request *request)
{
    struct infer_pool *pool = http->infers;
    pthread_mutex_lock(&pool->lock);
    struct infer *infer = pool->idle;
    if (infer != NULL) {
        pool->idle = infer->next_free;
        pool->idle_count--;
    }
    pthread_mutex_unlock(&pool->lock);
    if (infer == NULL) {
        infer = mem_calloc(1, sizeof(*infer));
        if (infer == NULL) {
            return NULL;
        }
        arena_init(&infer->arena, 0);
        str_init(&infer->json);
        str_init(&infer->headers);
    }
    atomic_fetch_add_explicit(&pool->live, 1, memory_order_relaxed);
    infer->http = http;
    infer->request = request;
    infer->loop = request->loop;
    infer->triton = NULL;
    infer->held = http1_hold_body(request);
    infer->inflated = NULL;
    infer->body = request->body;
    atomic_store_explicit(&infer->refs, 1, memory_order_relaxed);
    infer->coding = CODING_IDENTITY;
    infer->default_kind = OUTPUT_JSON;
    infer->wanted = NULL;
    infer->wanted_count = 0;
    infer->leases = NULL;
    infer->lease_count = 0;
    infer->lease_cap = 0;
    infer->responses = 0;
    infer->status = 200;
    infer->json_type = true;
    infer->chunks = NULL;
    infer->chunks_end = &infer->chunks;
    infer->generate = NULL;
    infer->early = NULL;
    return infer;
}

void infer_drop_inputs(struct infer *infer)
{
    http1_block_release(infer->held);
    infer->held = NULL;
    buffer_pool_put(infer->http->pool, infer->inflated);
    infer->inflated = NULL;
}

static void keep_or_fini(struct str *s)
{
    if (s->cap > TEXT_KEEP) {
        str_fini(s);
        str_init(s);
    } else {
        str_clear(s);
    }
}

void infer_unref(struct infer *infer)
{
    if (atomic_fetch_sub_explicit(&infer->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    struct infer_pool *pool = infer->http->infers;
    infer_drop_inputs(infer);
    for (unsigned i = 0; i < infer->lease_count; i++) {
        shm_release(infer->leases[i]);
    }
    if (infer->triton != NULL) {
        http_drop_error(TRITONSERVER_InferenceRequestDelete(infer->triton),
                        "deleting an HTTP inference request");
    }
    status_free(infer->early);
    arena_reset(&infer->arena);
    keep_or_fini(&infer->json);
    keep_or_fini(&infer->headers);
    pthread_mutex_lock(&pool->lock);
    bool keep = pool->idle_count < MAX_IDLE_INFERS;
    if (keep) {
        infer->next_free = pool->idle;
        pool->idle = infer;
        pool->idle_count++;
    }
    pthread_mutex_unlock(&pool->lock);
    if (!keep) {
        free_infer(infer);
    }
    atomic_fetch_sub_explicit(&pool->live, 1, memory_order_release);
}

// ---- headers

enum stoi { STOI_OK, STOI_NOT_A_NUMBER, STOI_OUT_OF_RANGE };

// As std::stoi: blanks and a sign before, anything behind.
static enum stoi parse_stoi(struct slice text, int *value)
{
    size_t at = 0;
    while (at < text.len && (text.ptr[at] == ' ' || text.ptr[at] == '\t')) {
        at++;
    }
    bool negative = at < text.len && text.ptr[at] == '-';
    at += at < text.len && (text.ptr[at] == '-' || text.ptr[at] == '+');
    size_t first = at;
    int64_t number = 0;
    while (at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9') {
        if (number <= INT32_MAX) {
            number = number * 10 + (text.ptr[at] - '0');
        }
        at++;
    }
    if (at == first) {
        return STOI_NOT_A_NUMBER;
    }
    number = negative ? -number : number;
    if (number > INT32_MAX || number < INT32_MIN) {
        return STOI_OUT_OF_RANGE;
    }
    *value = (int)number;
    return STOI_OK;
}

static struct nrd_status *header_number(const char *name, struct slice text, int *value)
{
    switch (parse_stoi(text, value)) {
    case STOI_OK:
        break;
    case STOI_NOT_A_NUMBER:
        return status_new(NRD_INVALID_ARG, "Unable to parse %s, got: %.*s", name, (int)text.len,
                          text.ptr);
    case STOI_OUT_OF_RANGE:
        return status_new(NRD_INVALID_ARG,
                          "Unable to parse %s, value is out of range [ %d, %d ], got: %.*s", name,
                          INT32_MIN, INT32_MAX, (int)text.len, text.ptr);
    }
    return NULL;
}

// Where the JSON ends and binary data begins.
static struct nrd_status *header_length(const struct infer *infer, size_t *length)
{
    const struct http1_request *request = infer->request;
    int content = (int)infer->body.len;
    struct slice text = http_header(request, SLICE("Content-Length"));
    if (infer->inflated == NULL && text.ptr != NULL) {
        NRD_TRY(header_number("Content-Length", text, &content));
    }
    *length = (size_t)content;
    text = http_header(request, SLICE("Inference-Header-Content-Length"));
    if (text.ptr == NULL) {
        return NULL;
    }
    int value = 0;
    NRD_TRY(header_number("Inference-Header-Content-Length", text, &value));
    if (value < 0 || value > content) {
        return status_new(NRD_INVALID_ARG,
                          "inference header size should be in range (0, %d), got: %.*s", content,
                          (int)text.len, text.ptr);
    }
    *length = (size_t)value;
    return NULL;
}

struct nrd_status *infer_forward_headers(struct infer *infer)
{
    if (infer->http->forward == NULL) {
        return NULL;
    }
    const struct http1_head *head = &infer->request->head;
    for (unsigned i = 0; i < head->header_count; i++) {
        struct slice name = head->headers[i].name;
        if (!header_pattern_matches(infer->http->forward, name)) {
            continue;
        }
        NRD_TRY(header_check_forward(name));
        const char *key = arena_strdup(&infer->arena, name);
        const char *value = arena_strdup(&infer->arena, head->headers[i].value);
        if (key == NULL || value == NULL) {
            return status_no_memory();
        }
        NRD_TRY(error_to_status(
            TRITONSERVER_InferenceRequestSetStringParameter(infer->triton, key, value)));
    }
    return NULL;
}

// ---- parameters

struct nrd_status *infer_set_id(struct infer *infer, const struct json_node *root)
{
    const struct json_node *id = json_get(root, "id");
    if (id == NULL) {
        return NULL;
    }
    struct slice text;
    NRD_TRY(status_wrap(json_want_string(id, &text), "Unable to parse 'id': "));
    const char *copy = arena_strdup(&infer->arena, text);
    if (copy == NULL) {
        return status_no_memory();
    }
    return error_to_status(TRITONSERVER_InferenceRequestSetId(infer->triton, copy));
}

struct nrd_status *infer_set_parameter(struct infer *infer, struct slice name,
                                       const struct json_node *value)
{
    const char *key = arena_strdup(&infer->arena, name);
    if (key == NULL) {
        return status_no_memory();
    }
    TRITONSERVER_InferenceRequest *triton = infer->triton;
    int64_t integer;
    double number;
    if (value->type == JSON_STRING) {
        const char *text = arena_strdup(&infer->arena, json_text(value));
        if (text == NULL) {
            return status_no_memory();
        }
        return error_to_status(TRITONSERVER_InferenceRequestSetStringParameter(triton, key, text));
    }
    if (value->type != JSON_DOUBLE && json_as_i64(value, &integer)) {
        return error_to_status(TRITONSERVER_InferenceRequestSetIntParameter(triton, key, integer));
    }
    if (value->type == JSON_TRUE || value->type == JSON_FALSE) {
        return error_to_status(
            TRITONSERVER_InferenceRequestSetBoolParameter(triton, key, value->type == JSON_TRUE));
    }
    if (json_as_f64(value, &number)) {
        return error_to_status(
            TRITONSERVER_InferenceRequestSetDoubleParameter(triton, key, number));
    }
    return status_new(NRD_INVALID_ARG,
                      "parameter '%s' has invalid type. It should be either 'int', 'bool', or "
                      "'string'.",
                      key);
}

static struct nrd_status *set_sequence_id(struct infer *infer, const struct json_node *value)
{
    uint64_t number;
    if (json_as_u64(value, &number)) {
        return error_to_status(
            TRITONSERVER_InferenceRequestSetCorrelationId(infer->triton, number));
    }
    struct slice text;
    NRD_TRY(status_wrap(json_want_string(value, &text), "Unable to parse 'sequence_id': "));
    const char *copy = arena_strdup(&infer->arena, text);
    if (copy == NULL) {
        return status_no_memory();
    }
    return error_to_status(
        TRITONSERVER_InferenceRequestSetCorrelationIdString(infer->triton, copy));
}

static struct nrd_status *want_flag(const struct json_node *value, const char *name, bool *flag)
{
    return status_wrap(json_want_bool(value, flag), "Unable to parse '%s': ", name);
}

static struct nrd_status *want_number(const struct json_node *value, const char *name,
                                      uint64_t *number)
{
    return status_wrap(json_want_u64(value, number), "Unable to parse '%s': ", name);
}

static struct nrd_status *read_parameter(struct infer *infer, struct slice name,
                                         const struct json_node *value, uint32_t *flags)
{
    bool yes = false;
    uint64_t number = 0;
    if (slice_is(name, "binary_data_output")) {
        NRD_TRY(want_flag(value, "binary_data_output", &yes));
        infer->default_kind = yes ? OUTPUT_BINARY : OUTPUT_JSON;
        return NULL;
    }
    if (slice_is(name, "sequence_id")) {
        return set_sequence_id(infer, value);
    }
    if (slice_is(name, "sequence_start")) {
        NRD_TRY(want_flag(value, "sequence_start", &yes));
        *flags |= yes ? (uint32_t)TRITONSERVER_REQUEST_FLAG_SEQUENCE_START : 0;
        return NULL;
    }
    if (slice_is(name, "sequence_end")) {
        NRD_TRY(want_flag(value, "sequence_end", &yes));
        *flags |= yes ? (uint32_t)TRITONSERVER_REQUEST_FLAG_SEQUENCE_END : 0;
        return NULL;
    }
    if (slice_is(name, "priority")) {
        NRD_TRY(want_number(value, "priority", &number));
        return error_to_status(
            TRITONSERVER_InferenceRequestSetPriorityUInt64(infer->triton, number));
    }
    if (slice_is(name, "timeout")) {
        NRD_TRY(want_number(value, "timeout", &number));
        return error_to_status(
            TRITONSERVER_InferenceRequestSetTimeoutMicroseconds(infer->triton, number));
    }
    if (slice_starts(name, SLICE("triton_"))) {
        return status_new(
            NRD_INVALID_ARG,
            "parameter keys starting with 'triton_' are reserved for Triton usage and "
            "should not be specified.");
    }
    return infer_set_parameter(infer, name, value);
}

static struct nrd_status *read_parameters(struct infer *infer, const struct json_node *root)
{
    const struct json_node *parameters = json_get(root, "parameters");
    if (parameters == NULL) {
        return NULL;
    }
    NRD_TRY(status_wrap(http_want_members(parameters), "failed to get request params.: "));
    uint32_t flags = 0;
    const struct json_node *key = json_first(parameters);
    for (uint32_t i = 0; i < parameters->count; i++) {
        const struct json_node *value = json_next(key);
        NRD_TRY(read_parameter(infer, json_text(key), value, &flags));
        key = json_next(value);
    }
    return error_to_status(TRITONSERVER_InferenceRequestSetFlags(infer->triton, flags));
}

// ---- inputs

// Where an input's bytes come from: exactly one of three.
struct io_source {
    const struct json_node *parameters;
    const struct json_node *data;
    const struct json_node *binary_size;
    const struct json_node *region;
};

static struct nrd_status *read_source(const struct json_node *io, struct io_source *source)
{
    source->parameters = json_get(io, "parameters");
    source->data = json_get(io, "data");
    source->binary_size = NULL;
    source->region = NULL;
    if (source->parameters != NULL) {
        source->binary_size = json_get(source->parameters, "binary_data_size");
        source->region = json_get(source->parameters, "shared_memory_region");
    }
    int count = (source->data != NULL) + (source->binary_size != NULL) + (source->region != NULL);
    if (count == 1) {
        return NULL;
    }
    return status_new(
        NRD_INVALID_ARG,
        "Input must set only one of the following fields: 'data', 'binary_data_size' in "
        "'parameters', 'shared_memory_region' in 'parameters'. But%s%s%s%s",
        count == 0 ? " no field is set" : " set", source->data != NULL ? " 'data'" : "",
        source->binary_size != NULL ? " 'binary_data_size'" : "",
        source->region != NULL ? " 'shared_memory_region'" : "");
}

// Keeps a lease until the infer ends.
static struct nrd_status *keep_lease(struct infer *infer, struct shm_region *region)
{
    if (infer->lease_count == infer->lease_cap) {
        unsigned cap = infer->lease_cap == 0 ? 4 : infer->lease_cap * 2;
        struct shm_region **fresh = arena_calloc(&infer->arena, cap, sizeof(fresh[0]));
        if (fresh == NULL) {
            shm_release(region);
            return status_no_memory();
        }
        if (infer->lease_count > 0) {
            memcpy(fresh, infer->leases, infer->lease_count * sizeof(fresh[0]));
        }
        infer->leases = fresh;
        infer->lease_cap = cap;
    }
    infer->leases[infer->lease_count++] = region;
    return NULL;
}

static struct nrd_status *lease_region(struct infer *infer, const struct io_source *source,
                                       struct shm_lease *lease, uint64_t *byte_size)
{
    struct slice name;
    uint64_t offset = 0;
    *byte_size = 0;
    NRD_TRY(status_wrap(json_want_string(source->region, &name),
                        "Unable to parse 'shared_memory_region': "));
    const struct json_node *node = json_get(source->parameters, "shared_memory_offset");
    if (node != NULL) {
        NRD_TRY(want_number(node, "shared_memory_offset", &offset));
    }
    node = json_get(source->parameters, "shared_memory_byte_size");
    if (node != NULL) {
        NRD_TRY(want_number(node, "shared_memory_byte_size", byte_size));
    }
    if (infer->http->shm == NULL) {
        return shm_not_allowed();
    }
    NRD_TRY(shm_lease(infer->http->shm, name, offset, *byte_size, lease));
    return keep_lease(infer, lease->region);
}

static struct nrd_status *append_data(struct infer *infer, const char *name, const void *base,
                                      size_t size)
{
    return error_to_status(TRITONSERVER_InferenceRequestAppendInputData(
        infer->triton, name, base, size, TRITONSERVER_MEMORY_CPU, 0));
}

// The same for data within the body.
static struct nrd_status *append_body(struct infer *infer, const char *name, struct slice data)
{
    void *buffer = infer->inflated != NULL ? infer->inflated : http1_block_buffer(infer->held);
    TRITONSERVER_MemoryType type = body_memory_type(infer->triton, buffer, data.len);
    return error_to_status(TRITONSERVER_InferenceRequestAppendInputData(
        infer->triton, name, data.len == 0 ? NULL : data.ptr, data.len, type, 0));
}

static void append_shape(struct str *out, const int64_t *shape, uint64_t dim_count)
{
    str_append_char(out, '[');
    for (uint64_t i = 0; i < dim_count; i++) {
        if (i > 0) {
            str_append_char(out, ',');
        }
        str_append_i64(out, shape[i]);
    }
    str_append_char(out, ']');
}

static struct nrd_status *bad_shape(const char *name, const int64_t *shape, uint64_t dim_count,
                                    bool too_large)
{
    struct str text = STR_INIT;
    append_shape(&text, shape, dim_count);
    struct nrd_status *status =
        too_large
            ? status_new(NRD_INVALID_ARG,
                         "invalid shape for input '%s': shape %s causes total element count to "
                         "exceed maximum size of %lld",
                         name, str_cstr(&text), (long long)INT64_MAX)
            : status_new(NRD_INVALID_ARG,
                         "invalid shape for input '%s': shape %s contains one or more invalid "
                         "dimensions",
                         name, str_cstr(&text));
    str_fini(&text);
    return status;
}

// The size in bytes of an input that comes as JSON.
static struct nrd_status *json_input_size(const struct infer *infer, const char *name,
                                          TRITONSERVER_DataType type, const struct json_node *data,
                                          int64_t count, size_t *size)
{
    if (type == TRITONSERVER_TYPE_BYTES) {
        NRD_TRY(tensor_bytes_size(data, size));
    } else {
        uint32_t element = TRITONSERVER_DataTypeByteSize(type);
        if (element > 1 && count > INT64_MAX / element) {
            return status_new(NRD_INVALID_ARG,
                              "byte size overflow for input '%s': element count (%lld) * data type "
                              "size (%u) exceeds maximum allowed size (%lld)",
                              name, (long long)count, element, (long long)INT64_MAX);
        }
        *size = (size_t)count * element;
    }
    if (*size > infer->http->max_input_size) {
        return status_new(NRD_INVALID_ARG,
                          "JSON input '%s' has a byte_size (%zu bytes) that exceeds the maximum "
                          "allowed value of %llu bytes. Use --http-max-input-size to increase the "
                          "limit.",
                          name, *size, (unsigned long long)infer->http->max_input_size);
    }
    return NULL;
}

static struct nrd_status *json_input(struct infer *infer, const char *name,
                                     TRITONSERVER_DataType type, const int64_t *shape,
                                     uint64_t dim_count, const struct json_node *data)
{
    int64_t count = tensor_element_count(shape, dim_count);
    if (count == 0) {
        return append_data(infer, name, NULL, 0);
    }
    if (count < -1) {
        return bad_shape(name, shape, dim_count, count == -3);
    }
    NRD_TRY(status_wrap(json_want_array(data), "Unable to parse 'data': "));
    size_t size = 0;
    NRD_TRY(json_input_size(infer, name, type, data, count, &size));
    // Room for at least a byte, so that an empty tensor has a place too.
    void *out = arena_alloc(&infer->arena, size + 1);
    if (out == NULL) {
        return status_no_memory();
    }
    uint64_t expected = type == TRITONSERVER_TYPE_BYTES ? size : (uint64_t)count;
    NRD_TRY(tensor_from_json(name, type, data, expected, out));
    return append_data(infer, name, out, size);
}

static struct nrd_status *binary_input(struct infer *infer, const char *name,
                                       const struct json_node *size_node, struct slice *rest)
{
    uint64_t size = 0;
    NRD_TRY(want_number(size_node, "binary_data_size", &size));
    if (size == 0) {
        return append_data(infer, name, NULL, 0);
    }
    if (size > rest->len) {
        return status_new(
            NRD_INVALID_ARG,
            "unexpected size for input '%s', expecting %llu additional bytes for model "
            "'%s'",
            name, (unsigned long long)(size - rest->len), infer->model);
    }
    struct slice data = slice_make(rest->ptr, (size_t)size);
    *rest = slice_make(rest->ptr + size, rest->len - (size_t)size);
    return append_body(infer, name, data);
}

static struct nrd_status *read_shape(struct infer *infer, const struct json_node *input,
                                     int64_t **shape, uint64_t *dim_count)
{
    const struct json_node *node = NULL;
    struct nrd_status *status = json_member(input, "shape", &node);
    if (status == NULL) {
        status = json_want_array(node);
    }
    NRD_TRY(status_wrap(status, "Unable to parse 'shape': "));
    *dim_count = node->count;
    *shape = arena_alloc(&infer->arena, (node->count + 1) * sizeof(int64_t));
    if (*shape == NULL) {
        return status_no_memory();
    }
    const struct json_node *dim = json_first(node);
    for (uint32_t i = 0; i < node->count; i++, dim = json_next(dim)) {
        uint64_t value = 0;
        NRD_TRY(want_number(dim, "shape", &value));
        (*shape)[i] = (int64_t)value;
    }
    return NULL;
}

// A string member as a C string.
static struct nrd_status *read_text(struct infer *infer, const struct json_node *object,
                                    const char *key, const char **text)
{
    const struct json_node *node = NULL;
    struct slice value = {NULL, 0};
    struct nrd_status *status = json_member(object, key, &node);
    if (status == NULL) {
        status = json_want_string(node, &value);
    }
    NRD_TRY(status_wrap(status, "Unable to parse '%s': ", key));
    *text = arena_strdup(&infer->arena, value);
    return *text == NULL ? status_no_memory() : NULL;
}

static struct nrd_status *read_input(struct infer *infer, const struct json_node *input,
                                     struct slice *rest)
{
    struct io_source source;
    const char *name = NULL;
    const char *type_name = NULL;
    int64_t *shape = NULL;
    uint64_t dim_count = 0;
    NRD_TRY(read_source(input, &source));
    NRD_TRY(read_text(infer, input, "name", &name));
    NRD_TRY(read_text(infer, input, "datatype", &type_name));
    TRITONSERVER_DataType type = TRITONSERVER_StringToDataType(type_name);
    NRD_TRY(read_shape(infer, input, &shape, &dim_count));
    NRD_TRY(error_to_status(
        TRITONSERVER_InferenceRequestAddInput(infer->triton, name, type, shape, dim_count)));
    if (source.binary_size != NULL) {
        return binary_input(infer, name, source.binary_size, rest);
    }
    if (source.data != NULL) {
        return json_input(infer, name, type, shape, dim_count, source.data);
    }
    struct shm_lease lease;
    uint64_t byte_size = 0;
    NRD_TRY(lease_region(infer, &source, &lease, &byte_size));
    return error_to_status(TRITONSERVER_InferenceRequestAppendInputData(
        infer->triton, name, lease.base, byte_size, lease.memory_type, lease.memory_type_id));
}

static struct nrd_status *read_inputs(struct infer *infer, const struct json_node *root,
                                      struct slice rest)
{
    const struct json_node *inputs = NULL;
    struct nrd_status *status = json_member(root, "inputs", &inputs);
    if (status == NULL) {
        status = json_want_array(inputs);
    }
    NRD_TRY(status_wrap(status, "Unable to parse 'inputs': "));
    const struct json_node *input = json_first(inputs);
    for (uint32_t i = 0; i < inputs->count; i++, input = json_next(input)) {
        NRD_TRY(read_input(infer, input, &rest));
    }
    if (rest.len != 0) {
        return status_new(NRD_INVALID_ARG, "unexpected additional input data for model '%s'",
                          infer->model);
    }
    return NULL;
}

// ---- outputs

static struct nrd_status *check_output(const struct io_source *source)
{
    if (source->region == NULL) {
        return NULL;
    }
    if (json_get(source->parameters, "classification") != NULL) {
        return status_new(NRD_INVALID_ARG,
                          "Output can't set both 'shared_memory_region' and 'classification'");
    }
    const struct json_node *binary = json_get(source->parameters, "binary_data");
    bool yes = false;
    if (binary != NULL) {
        NRD_TRY(status_wrap(json_want_bool(binary, &yes), "Unable to set 'binary_data': "));
    }
    if (yes) {
        return status_new(NRD_INVALID_ARG,
                          "Output can't set both 'shared_memory_region' and 'binary_data'");
    }
    return NULL;
}

static struct nrd_status *output_kind(const struct io_source *source, struct infer_wanted *wanted)
{
    if (source->parameters == NULL) {
        return NULL;
    }
    bool yes = false;
    const struct json_node *node = json_get(source->parameters, "binary_data");
    if (node != NULL) {
        NRD_TRY(want_flag(node, "binary_data", &yes));
    }
    wanted->kind = yes ? OUTPUT_BINARY : OUTPUT_JSON;
    return NULL;
}

static struct nrd_status *read_output(struct infer *infer, const struct json_node *output,
                                      struct infer_wanted *wanted)
{
    struct io_source source = {.parameters = json_get(output, "parameters")};
    if (source.parameters != NULL) {
        source.region = json_get(source.parameters, "shared_memory_region");
    }
    NRD_TRY(check_output(&source));
    NRD_TRY(read_text(infer, output, "name", &wanted->name));
    NRD_TRY(error_to_status(
        TRITONSERVER_InferenceRequestAddRequestedOutput(infer->triton, wanted->name)));
    const struct json_node *classes =
        source.parameters == NULL ? NULL : json_get(source.parameters, "classification");
    if (classes != NULL) {
        uint64_t count = 0;
        NRD_TRY(status_wrap(json_want_u64(classes, &count), "Unable to set 'classification': "));
        wanted->class_count = (uint32_t)count;
    }
    if (source.region == NULL) {
        return output_kind(&source, wanted);
    }
    struct shm_lease lease;
    NRD_TRY(lease_region(infer, &source, &lease, &wanted->byte_size));
    wanted->kind = OUTPUT_SHM;
    wanted->base = lease.base;
    wanted->memory_type = lease.memory_type;
    wanted->memory_type_id = lease.memory_type_id;
    return NULL;
}

static struct nrd_status *read_outputs(struct infer *infer, const struct json_node *root)
{
    const struct json_node *outputs = json_get(root, "outputs");
    if (outputs == NULL) {
        return NULL;
    }
    NRD_TRY(status_wrap(json_want_array(outputs), "Unable to parse 'outputs': "));
    infer->wanted = arena_calloc(&infer->arena, outputs->count + 1, sizeof(infer->wanted[0]));
    if (infer->wanted == NULL) {
        return status_no_memory();
    }
    const struct json_node *output = json_first(outputs);
    for (uint32_t i = 0; i < outputs->count; i++, output = json_next(output)) {
        NRD_TRY(read_output(infer, output, &infer->wanted[i]));
        infer->wanted_count++;
    }
    return NULL;
}

// ---- the request

static struct nrd_status *raw_request(struct infer *infer)
{
    static const char name[] = "raw_input";
    NRD_TRY(error_to_status(TRITONSERVER_InferenceRequestAddRawInput(infer->triton, name)));
    if (infer->body.len > infer->http->max_input_size) {
        return status_new(NRD_INVALID_ARG,
                          "Raw input has a byte_size (%zu bytes) that exceeds the maximum allowed "
                          "value of %llu bytes. Use --http-max-input-size to increase the limit.",
                          infer->body.len, (unsigned long long)infer->http->max_input_size);
    }
    infer->default_kind = OUTPUT_BINARY;
    return append_body(infer, name, infer->body);
}

static struct nrd_status *json_request(struct infer *infer, size_t length)
{
    const struct json_node *root = NULL;
    NRD_TRY(http_parse_json(infer->http, infer->request, &infer->arena,
                            slice_make(infer->body.ptr, length), false, &root));
    NRD_TRY(infer_set_id(infer, root));
    NRD_TRY(read_parameters(infer, root));
    NRD_TRY(
        read_inputs(infer, root, slice_make(infer->body.ptr + length, infer->body.len - length)));
    return read_outputs(infer, root);
}

static void request_released(TRITONSERVER_InferenceRequest *request, const uint32_t flags,
                             void *userp)
{
    (void)request;
    struct infer *infer = userp;
    if ((flags & TRITONSERVER_REQUEST_RELEASE_ALL) != 0) {
        infer_drop_inputs(infer);
        infer_unref(infer);
    }
}

static void client_gone(struct http1_request *request)
{
    struct infer *infer = request->user_data;
    http_drop_error(TRITONSERVER_InferenceRequestCancel(infer->triton), "cancelling a request");
}

struct nrd_status *infer_start(struct infer *infer,
                               TRITONSERVER_InferenceResponseCompleteFn_t response_fn)
{
    NRD_TRY(error_to_status(
        TRITONSERVER_InferenceRequestSetReleaseCallback(infer->triton, request_released, infer)));
    NRD_TRY(error_to_status(TRITONSERVER_InferenceRequestSetResponseCallback(
        infer->triton, infer->http->allocator, infer, response_fn, infer)));
    infer->request->user_data = infer;
    infer->request->cancelled = client_gone;
    atomic_fetch_add_explicit(&infer->refs, 1, memory_order_relaxed);
    core_ext_cork(infer->loop);
    struct nrd_status *status =
        error_to_status(TRITONSERVER_ServerInferAsync(infer->http->triton, infer->triton, NULL));
    if (status != NULL) {
        infer->request->cancelled = NULL;
        atomic_fetch_sub_explicit(&infer->refs, 1, memory_order_relaxed);
    }
    return status;
}

// Replies with an error and ends the infer, which the core does not have.
static void fail(struct infer *infer, bool json_type, struct nrd_status *status)
{
    struct http1_request *request = infer->request;
    infer_unref(infer);
    http_reply_status(request, json_type, status);
}

// The body is at hand as the client meant it.
static void infer_continue(struct infer *infer)
{
    size_t length = 0;
    struct nrd_status *status = header_length(infer, &length);
    if (status == NULL) {
        status = error_to_status(TRITONSERVER_InferenceRequestNew(
            &infer->triton, infer->http->triton, infer->model, infer->version));
    }
    if (status != NULL) {
        fail(infer, false, status);
        return;
    }
    status = length == 0 ? raw_request(infer) : json_request(infer, length);
    if (status == NULL) {
        status = infer_forward_headers(infer);
    }
    if (status == NULL) {
        status = infer_start(infer, infer_response);
    }
    if (status != NULL) {
        LOG_DEBUG(1, "Infer failed: %s", status_text(status));
        fail(infer, true, status);
    }
}

static void inflated_on_loop(struct loop_task *task)
{
    struct infer *infer = CONTAINER_OF(task, struct infer, task);
    if (infer->early != NULL) {
        struct nrd_status *status = infer->early;
        infer->early = NULL;
        fail(infer, false, status);
        return;
    }
    infer_continue(infer);
}

static void inflate_on_worker(struct worker_job *job)
{
    struct infer *infer = CONTAINER_OF(job, struct infer, job);
    size_t size = 0;
    infer->early = coding_inflate(infer->http->pool, infer->body, infer->http->max_input_size,
                                  &infer->inflated, &size);
    if (infer->early == NULL) {
        infer->body = slice_make(infer->inflated, size);
    }
    infer->task.run = inflated_on_loop;
    loop_post(infer->loop, &infer->task);
}

// Refuses models whose responses do not fit into one reply.
static struct nrd_status *check_policy(struct infer *infer)
{
    uint32_t flags = 0;
    NRD_TRY(error_to_status(TRITONSERVER_ServerModelTransactionProperties(
        infer->http->triton, infer->model, infer->version, &flags, NULL)));
    if ((flags & TRITONSERVER_TXN_DECOUPLED) != 0) {
        return status_new(
            NRD_UNSUPPORTED,
            "HTTP end point doesn't support models with decoupled transaction policy");
    }
    return NULL;
}

void http_model_infer(struct http_server *http, struct http1_request *request,
                      const struct http_route *route)
{
    if (http_is_restricted(http, request, RESTRICT_INFERENCE)) {
        return;
    }
    if (request->head.method != HTTP1_POST) {
        http_reply_not_allowed(request, false);
        return;
    }
    struct infer *infer = infer_get(http, request);
    if (infer == NULL) {
        http_reply_status(request, false, status_no_memory());
        return;
    }
    infer->model = arena_strdup(&infer->arena, route->model);
    struct nrd_status *status = infer->model == NULL
                                    ? status_no_memory()
                                    : model_version_parse(route->version, &infer->version);
    if (status == NULL) {
        status = check_policy(infer);
    }
    if (status != NULL) {
        fail(infer, false, status);
        return;
    }
    struct slice accept = http_header(request, SLICE("Accept-Encoding"));
    infer->coding = accept.ptr == NULL ? CODING_IDENTITY : coding_accepted(accept);
    switch (coding_of(http_header(request, SLICE("Content-Encoding")))) {
    case CODING_IDENTITY:
        infer_continue(infer);
        break;
    case CODING_GZIP:
    case CODING_DEFLATE:
        infer->job.run = inflate_on_worker;
        if (!worker_post(http->workers, &infer->job)) {
            inflate_on_worker(&infer->job);
        }
        break;
    case CODING_UNKNOWN:
        infer_unref(infer);
        str_append_slice(http1_text(request),
                         SLICE("{\"error\":\"Unsupported compression type\"}"));
        http1_reply(request, 501, SLICE("Accept-Encoding: gzip, deflate\r\n"), false, NULL);
        break;
    }
}
