// SPDX-License-Identifier: Apache-2.0
// POST .../generate and .../generate_stream: plain JSON in, plain JSON out, one reply or a stream of server-sent events.
//
// A member of the request that is named as an input becomes that input (a value or a flat array), any other becomes a
// parameter; "parameters" is one level deeper. Responses are turned into text on the thread that brings them and queue
// under a lock; the loop sends what has come. The first response decides the status, as a chunked reply must.
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "protocol/core_ext.h"
#include "protocol/http_infer.h"
#include "protocol/http_tensor.h"

#define MAX_DIMS 64

struct part {
    struct part *next;
    struct str text;
};

// What a generate request adds to an infer; in the infer's arena.
struct generate {
    struct loop_task task;
    struct infer *infer;
    bool stream;
    const struct json_node *inputs; // of the model's metadata
    size_t consumed;                // bytes of inputs so far
    // Under the lock:
    pthread_mutex_t lock;
    struct part *head;
    struct part **tail;
    bool posted;
    bool ended;
    bool any;
    int status; // of the first response
    // The loop's:
    bool begun;
};

// ---- the request

static const struct json_node *find_input(const struct generate *g, struct slice name)
{
    const struct json_node *input = json_first(g->inputs);
    for (uint32_t i = 0; i < g->inputs->count; i++, input = json_next(input)) {
        const struct json_node *its_name = json_get(input, "name");
        if (its_name != NULL && slice_equal(json_text(its_name), name)) {
            return input;
        }
    }
    return NULL;
}

static struct nrd_status *no_proper_shape(const char *name)
{
    return status_new(NRD_INVALID_ARG,
                      "The schema can not convert input '%s' to tensor with proper shape", name);
}

// A flat count spread over the model's shape: fixed dimensions first, the rest into the innermost dynamic one.
static struct nrd_status *spread_shape(const char *name, const struct json_node *dims,
                                       uint64_t count, int64_t *shape, uint64_t *dim_count)
{
    if (dims == NULL) {
        return status_new(NRD_INTERNAL,
                          "Unexpected 'shape' not found in model metadata for input '%s'", name);
    }
    NRD_TRY(json_want_array(dims));
    if (dims->count > MAX_DIMS) {
        return no_proper_shape(name);
    }
    *dim_count = dims->count;
    const struct json_node *dim = json_first(dims);
    for (uint32_t i = 0; i < dims->count; i++, dim = json_next(dim)) {
        NRD_TRY(json_want_i64(dim, &shape[i]));
    }
    for (uint64_t i = dims->count; i-- > 0;) {
        if (shape[i] != -1) {
            if (shape[i] <= 0 || count % (uint64_t)shape[i] != 0) {
                return no_proper_shape(name);
            }
            count /= (uint64_t)shape[i];
        }
    }
    for (uint64_t i = dims->count; i-- > 0;) {
        if (shape[i] == -1) {
            shape[i] = (int64_t)count;
            count = 1;
        }
    }
    return count == 1 ? NULL : no_proper_shape(name);
}

static struct nrd_status *input_size(const char *name, const char *type_name,
                                     TRITONSERVER_DataType type, const struct json_node *data,
                                     uint64_t count, size_t *size)
{
    if (type == TRITONSERVER_TYPE_BYTES) {
        return tensor_bytes_size(data, size);
    }
    uint32_t element = TRITONSERVER_DataTypeByteSize(type);
    if (element == 0) {
        return status_new(NRD_INVALID_ARG, "input '%s' has unsupported datatype %s", name,
                          type_name);
    }
    *size = count * element;
    return NULL;
}

static struct nrd_status *check_size(struct generate *g, const char *name, size_t size)
{
    uint64_t max = g->infer->http->max_input_size;
    if (size > max || g->consumed > max - size) {
        return status_new(
            NRD_INVALID_ARG,
            "request size of %zu bytes with input '%s' of size %zu bytes exceeds the "
            "maximum allowed input size of %llu. Use --http-max-input-size to increase "
            "the limit.",
            g->consumed, name, size, (unsigned long long)max);
    }
    g->consumed += size;
    return NULL;
}

static struct nrd_status *set_input(struct generate *g, const struct json_node *input,
                                    const struct json_node *data)
{
    struct infer *infer = g->infer;
    struct slice type_text;
    NRD_TRY(json_want_string(json_get(input, "datatype"), &type_text));
    const char *name = arena_strdup(&infer->arena, json_text(json_get(input, "name")));
    const char *type_name = arena_strdup(&infer->arena, type_text);
    if (name == NULL || type_name == NULL) {
        return status_no_memory();
    }
    TRITONSERVER_DataType type = TRITONSERVER_StringToDataType(type_name);
    uint64_t count = data->type == JSON_ARRAY ? data->count : 1;
    size_t size = 0;
    NRD_TRY(input_size(name, type_name, type, data, count, &size));
    if (size == 0) {
        return error_to_status(
            TRITONSERVER_InferenceRequestAddInput(infer->triton, name, type, NULL, 0));
    }
    NRD_TRY(check_size(g, name, size));
    int64_t shape[MAX_DIMS];
    uint64_t dim_count = 0;
    NRD_TRY(spread_shape(name, json_get(input, "shape"), count, shape, &dim_count));
    void *out = arena_alloc(&infer->arena, size);
    if (out == NULL) {
        return status_no_memory();
    }
    NRD_TRY(
        tensor_from_json(name, type, data, type == TRITONSERVER_TYPE_BYTES ? size : count, out));
    NRD_TRY(error_to_status(
        TRITONSERVER_InferenceRequestAddInput(infer->triton, name, type, shape, dim_count)));
    return error_to_status(TRITONSERVER_InferenceRequestAppendInputData(
        infer->triton, name, out, size, TRITONSERVER_MEMORY_CPU, 0));
}

static struct nrd_status *set_member(struct generate *g, struct slice name,
                                     const struct json_node *value)
{
    const struct json_node *input = find_input(g, name);
    return input == NULL ? infer_set_parameter(g->infer, name, value) : set_input(g, input, value);
}

static struct nrd_status *set_nested(struct generate *g, const struct json_node *object)
{
    if (find_input(g, SLICE("parameters")) != NULL) {
        return status_new(NRD_INVALID_ARG,
                          "Keyword 'parameters' for nested schema also given as input tensor name");
    }
    NRD_TRY(
        status_wrap(json_want_object(object), "Expected JSON object for keyword: 'parameters': "));
    const struct json_node *key = json_first(object);
    for (uint32_t i = 0; i < object->count; i++) {
        const struct json_node *value = json_next(key);
        NRD_TRY(status_wrap(set_member(g, json_text(key), value),
                            "Converting keyword: 'parameters': "));
        key = json_next(value);
    }
    return NULL;
}

static struct nrd_status *read_request(struct generate *g)
{
    struct infer *infer = g->infer;
    const struct json_node *root = NULL;
    NRD_TRY(http_parse_json(infer->http, infer->request, &infer->arena, infer->body, false, &root));
    NRD_TRY(infer_set_id(infer, root));
    NRD_TRY(http_want_members(root));
    const struct json_node *key = json_first(root);
    for (uint32_t i = 0; i < root->count; i++) {
        const struct json_node *value = json_next(key);
        if (slice_is(json_text(key), "parameters")) {
            NRD_TRY(set_nested(g, value));
        } else {
            NRD_TRY(set_member(g, json_text(key), value));
        }
        key = json_next(value);
    }
    return NULL;
}

static struct nrd_status *read_metadata(struct generate *g)
{
    struct infer *infer = g->infer;
    TRITONSERVER_Message *message = NULL;
    NRD_TRY(error_to_status(TRITONSERVER_ServerModelMetadata(infer->http->triton, infer->model,
                                                             infer->version, &message)));
    const char *base = NULL;
    size_t size = 0;
    struct nrd_status *status =
        error_to_status(TRITONSERVER_MessageSerializeToJson(message, &base, &size));
    const struct json_node *root = NULL;
    if (status == NULL) {
        const char *copy = arena_strdup(&infer->arena, slice_make(base, size));
        status = copy == NULL ? status_no_memory()
                              : json_parse_status(&infer->arena, slice_make(copy, size), JSON_NAN,
                                                  "metadata", &root);
    }
    http_drop_error(TRITONSERVER_MessageDelete(message), "deleting a message");
    if (status == NULL) {
        status = json_member(root, "inputs", &g->inputs);
    }
    return status != NULL ? status : json_want_array(g->inputs);
}

// ---- the response

enum entry_kind { ENTRY_TEXT, ENTRY_PARAMETER, ENTRY_OUTPUT };
struct entry {
    const char *name;
    enum entry_kind kind;
    uint32_t index;
    const char *text;
};

static int by_name(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    int order = strcmp(x->name, y->name);
    // The first of equals wins; that is the one of the lower kind, then of the lower index.
    if (order != 0) {
        return order;
    }
    return x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) : (x->index < y->index ? -1 : 1);
}

static struct nrd_status *write_tensor(struct json_writer *writer,
                                       TRITONSERVER_InferenceResponse *response, uint32_t index)
{
    const char *name = NULL;
    TRITONSERVER_DataType type;
    const int64_t *shape = NULL;
    uint64_t dim_count = 0;
    const void *base = NULL;
    size_t byte_size = 0;
    TRITONSERVER_MemoryType memory_type;
    int64_t memory_type_id;
    void *userp = NULL;
    NRD_TRY(error_to_status(TRITONSERVER_InferenceResponseOutput(
        response, index, &name, &type, &shape, &dim_count, &base, &byte_size, &memory_type,
        &memory_type_id, &userp)));
    uint64_t count = 1;
    for (uint64_t i = 0; i < dim_count; i++) {
        count *= (uint64_t)shape[i];
    }
    if (count != 1) {
        json_array_begin(writer);
    }
    NRD_TRY(tensor_to_json(writer, name, type, base, byte_size, count));
    if (count != 1) {
        json_array_end(writer);
    }
    return NULL;
}

static struct nrd_status *write_entry(struct json_writer *writer,
                                      TRITONSERVER_InferenceResponse *response,
                                      const struct entry *entry)
{
    json_key(writer, entry->name);
    if (entry->kind == ENTRY_TEXT) {
        json_cstring(writer, entry->text);
        return NULL;
    }
    if (entry->kind == ENTRY_OUTPUT) {
        return write_tensor(writer, response, entry->index);
    }
    const char *name = NULL;
    TRITONSERVER_ParameterType type;
    const void *value = NULL;
    NRD_TRY(error_to_status(
        TRITONSERVER_InferenceResponseParameter(response, entry->index, &name, &type, &value)));
    if (!infer_write_parameter(writer, type, value)) {
        return status_new(
            NRD_UNSUPPORTED,
            "Response parameter '%s' has type 'TRITONSERVER_PARAMETER_BYTES' which is "
            "not currently supported",
            name);
    }
    return NULL;
}

// All names of a response, sorted, with room for three more in front.
static struct nrd_status *list_entries(TRITONSERVER_InferenceResponse *response,
                                       struct entry **entries, size_t *count)
{
    uint32_t parameters = 0;
    uint32_t outputs = 0;
    NRD_TRY(error_to_status(TRITONSERVER_InferenceResponseParameterCount(response, &parameters)));
    NRD_TRY(error_to_status(TRITONSERVER_InferenceResponseOutputCount(response, &outputs)));
    *entries = mem_calloc((size_t)parameters + outputs + 3, sizeof((*entries)[0]));
    if (*entries == NULL) {
        return status_no_memory();
    }
    const void *value = NULL;
    TRITONSERVER_ParameterType type;
    for (uint32_t i = 0; i < parameters; i++) {
        struct entry *entry = &(*entries)[(*count)++];
        entry->kind = ENTRY_PARAMETER;
        entry->index = i;
        NRD_TRY(error_to_status(
            TRITONSERVER_InferenceResponseParameter(response, i, &entry->name, &type, &value)));
    }
    for (uint32_t i = 0; i < outputs; i++) {
        struct entry *entry = &(*entries)[(*count)++];
        TRITONSERVER_DataType datatype;
        const int64_t *shape = NULL;
        uint64_t dim_count = 0;
        size_t byte_size = 0;
        TRITONSERVER_MemoryType memory_type;
        int64_t memory_type_id;
        void *userp = NULL;
        entry->kind = ENTRY_OUTPUT;
        entry->index = i;
        NRD_TRY(error_to_status(TRITONSERVER_InferenceResponseOutput(
            response, i, &entry->name, &datatype, &shape, &dim_count, &value, &byte_size,
            &memory_type, &memory_type_id, &userp)));
    }
    return NULL;
}

static struct nrd_status *write_response(TRITONSERVER_InferenceResponse *response, struct str *out,
                                         struct entry **entries)
{
    NRD_TRY(error_to_status(TRITONSERVER_InferenceResponseError(response)));
    const char *id = "";
    const char *model = "";
    int64_t version = 0;
    char version_text[24];
    size_t count = 0;
    NRD_TRY(error_to_status(TRITONSERVER_InferenceResponseId(response, &id)));
    NRD_TRY(error_to_status(TRITONSERVER_InferenceResponseModel(response, &model, &version)));
    NRD_TRY(list_entries(response, entries, &count));
    snprintf(version_text, sizeof(version_text), "%lld", (long long)version);
    struct entry *list = *entries;
    if (id != NULL && id[0] != '\0') {
        list[count++] = (struct entry){.name = "id", .text = id};
    }
    list[count++] = (struct entry){.name = "model_name", .text = model};
    list[count++] = (struct entry){.name = "model_version", .text = version_text};
    qsort(list, count, sizeof(list[0]), by_name);
    struct json_writer writer;
    json_begin(&writer, out);
    json_object_begin(&writer);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(list[i].name, list[i - 1].name) != 0) {
            NRD_TRY(write_entry(&writer, response, &list[i]));
        }
    }
    json_object_end(&writer);
    return str_status(out);
}

static void append_error(struct str *out, const char *text)
{
    str_append_slice(out, SLICE("{\"error\":"));
    json_escape(out, slice_of(text));
    str_append_char(out, '}');
}

// A response, or its error, as the text to send. Sets the HTTP status.
static void write_part(struct generate *g, TRITONSERVER_InferenceResponse *response,
                       struct str *out, int *status_number)
{
    struct slice prefix = g->stream ? SLICE("data: ") : (struct slice){NULL, 0};
    struct entry *entries = NULL;
    str_append_slice(out, prefix);
    struct nrd_status *status = write_response(response, out, &entries);
    mem_free(entries);
    if (status != NULL) {
        *status_number = code_http(status_code(status));
        str_clear(out);
        str_append_slice(out, prefix);
        append_error(out, status_text(status));
        status_free(status);
    }
    if (g->stream) {
        str_append_slice(out, SLICE("\n\n"));
    }
}

static void generate_response(TRITONSERVER_InferenceResponse *response, const uint32_t flags,
                              void *userp)
{
    struct infer *infer = userp;
    struct generate *g = infer->generate;
    struct part *part = NULL;
    int status = 200;
    if (response != NULL) {
        part = mem_calloc(1, sizeof(*part));
        if (part != NULL) {
            str_init(&part->text);
            write_part(g, response, &part->text, &status);
        } else {
            status = 503;
        }
        http_drop_error(TRITONSERVER_InferenceResponseDelete(response),
                        "deleting an inference response");
    }
    pthread_mutex_lock(&g->lock);
    if (!g->any) {
        g->any = true;
        g->status = status;
    }
    if (part != NULL) {
        *g->tail = part;
        g->tail = &part->next;
    }
    g->ended = (flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL) != 0;
    bool post = !g->posted;
    g->posted = true;
    pthread_mutex_unlock(&g->lock);
    if (post) {
        core_ext_post(infer->loop, &g->task);
    }
}

// ---- the reply

static void begin_reply(struct generate *g, int status)
{
    struct slice headers =
        g->stream ? SLICE("Content-Type: text/event-stream; charset=utf-8\r\n") : HTTP_TYPE_JSON;
    http1_reply_begin(g->infer->request, status, headers, true);
    g->begun = true;
}

static void free_parts(struct part *part)
{
    while (part != NULL) {
        struct part *next = part->next;
        str_fini(&part->text);
        mem_free(part);
        part = next;
    }
}

// A single reply waits for its end, since only then is it known to be the only one.
static void send_single(struct generate *g, const struct part *parts)
{
    if (parts != NULL && parts->next == NULL) {
        http1_reply_part(g->infer->request, str_slice(&parts->text));
        return;
    }
    struct str text = STR_INIT;
    append_error(&text,
                 "generate expects model to produce exactly 1 response, use generate stream for "
                 "model that generates various number of responses");
    http1_reply_part(g->infer->request, str_slice(&text));
    str_fini(&text);
}

static void generate_on_loop(struct loop_task *task)
{
    struct generate *g = CONTAINER_OF(task, struct generate, task);
    struct http1_request *request = g->infer->request;
    pthread_mutex_lock(&g->lock);
    struct part *parts = NULL;
    bool ended = g->ended;
    int status = g->status;
    if (g->stream || ended) {
        parts = g->head;
        g->head = NULL;
        g->tail = &g->head;
    }
    g->posted = false;
    pthread_mutex_unlock(&g->lock);
    if (!g->begun) {
        begin_reply(g, status);
    }
    if (g->stream) {
        for (const struct part *part = parts; part != NULL; part = part->next) {
            http1_reply_part(request, str_slice(&part->text));
        }
    } else if (ended) {
        send_single(g, parts);
    }
    free_parts(parts);
    if (ended) {
        struct infer *infer = g->infer;
        pthread_mutex_destroy(&g->lock);
        http1_reply_end(request);
        infer_unref(infer);
    }
}

static void fail(struct infer *infer, struct nrd_status *status)
{
    struct http1_request *request = infer->request;
    struct generate *g = infer->generate;
    if (g != NULL) {
        pthread_mutex_destroy(&g->lock);
    }
    infer_unref(infer);
    http_reply_status(request, true, status);
}

static struct nrd_status *start(struct infer *infer, const struct http_route *route, bool stream)
{
    infer->model = arena_strdup(&infer->arena, route->model);
    struct generate *g = arena_calloc(&infer->arena, 1, sizeof(*g));
    if (infer->model == NULL || g == NULL) {
        return status_no_memory();
    }
    infer->generate = g;
    pthread_mutex_init(&g->lock, NULL);
    g->infer = infer;
    g->stream = stream;
    g->tail = &g->head;
    g->task.run = generate_on_loop;
    NRD_TRY(model_version_parse(route->version, &infer->version));
    NRD_TRY(read_metadata(g));
    if (coding_of(http_header(infer->request, SLICE("Content-Encoding"))) != CODING_IDENTITY) {
        return status_new(NRD_INVALID_ARG,
                          "Unsupported content-encoding, only 'identity' is supported.");
    }
    NRD_TRY(error_to_status(TRITONSERVER_InferenceRequestNew(&infer->triton, infer->http->triton,
                                                             infer->model, infer->version)));
    NRD_TRY(read_request(g));
    return infer_start(infer, generate_response);
}

void http_model_generate(struct http_server *http, struct http1_request *request,
                         const struct http_route *route, bool stream)
{
    if (http_is_restricted(http, request, RESTRICT_INFERENCE)) {
        return;
    }
    if (request->head.method != HTTP1_POST) {
        http_reply_not_allowed(request, true);
        return;
    }
    struct infer *infer = infer_get(http, request);
    if (infer == NULL) {
        http_reply_status(request, true, status_no_memory());
        return;
    }
    struct nrd_status *status = start(infer, route, stream);
    if (status != NULL) {
        fail(infer, status);
    }
}
