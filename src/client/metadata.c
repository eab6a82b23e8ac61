// SPDX-License-Identifier: Apache-2.0
// Health, metadata, configuration, statistics, the repository's index: what is asked, and the structs that JSON answers become.
#include "base/mem.h"
#include "client/admin.h"
#include "client/reply.h"
#include "proto/grpc_service.pb-c.h"
#include "proto/wire.h"
#include "tensor/dtype.h"

#define SERVICE "/inference.GRPCInferenceService/"

// ---- structs out of JSON ------------------------------------------------------------------------------------------------

// A public struct and what it points to, in one arena that holds the arena itself.
struct box {
    struct arena arena;
    union {
        struct nrd_client_server_metadata server;
        struct nrd_client_model_metadata model;
        struct nrd_client_index index;
    } as;
};

static void box_free(struct box *box)
{
    arena_fini(&box->arena);
    mem_free(box);
}

// A box and the parsed answer, which the box's strings do not borrow.
static struct nrd_status *open_box(struct nrd_client *client, const struct question *q,
                                   struct arena *scratch, const struct json_node **root,
                                   struct box **out)
{
    struct nrd_status *status = reply_parse(scratch, str_slice(&q->json), root);
    if (status != NULL) {
        return status_wrap(status, "%s: %s %s: ", str_cstr(&client->url.text), q->verb,
                           str_cstr(&q->subject));
    }
    struct box *box = mem_calloc(1, sizeof(*box));
    if (box == NULL) {
        return status_no_memory();
    }
    arena_init(&box->arena, 0);
    *out = box;
    return NULL;
}

// The text of a member; "" when it is absent. False: no memory.
static bool take_text(struct box *box, const struct json_node *object, const char *key,
                      const char **out)
{
    const struct json_node *node = json_get(object, key);
    *out = "";
    if (node != NULL && node->type == JSON_STRING) {
        *out = arena_strdup(&box->arena, json_text(node));
    }
    return *out != NULL;
}

static bool take_texts(struct box *box, const struct json_node *array, const char *const **out,
                       size_t *count)
{
    *count = 0;
    *out = NULL;
    if (array == NULL || array->type != JSON_ARRAY) {
        return true;
    }
    const char **texts = arena_calloc(&box->arena, array->count + 1u, sizeof(*texts));
    if (texts == NULL) {
        return false;
    }
    const struct json_node *node = json_first(array);
    for (unsigned i = 0; i < array->count; i++, node = json_next(node)) {
        if (node->type == JSON_STRING &&
            (texts[(*count)++] = arena_strdup(&box->arena, json_text(node))) == NULL) {
            return false;
        }
    }
    *out = texts;
    return true;
}

static bool take_dims(struct box *box, const struct json_node *array,
                      struct nrd_client_tensor_metadata *out)
{
    if (array == NULL || array->type != JSON_ARRAY) {
        return true;
    }
    int64_t *shape = arena_calloc(&box->arena, array->count + 1u, sizeof(*shape));
    if (shape == NULL) {
        return false;
    }
    const struct json_node *node = json_first(array);
    for (unsigned i = 0; i < array->count; i++, node = json_next(node)) {
        (void)json_as_i64(node, &shape[i]);
    }
    out->shape = shape;
    out->rank = array->count;
    return true;
}

static bool take_tensors(struct box *box, const struct json_node *array,
                         const struct nrd_client_tensor_metadata **out, size_t *count)
{
    *count = 0;
    *out = NULL;
    if (array == NULL || array->type != JSON_ARRAY) {
        return true;
    }
    struct nrd_client_tensor_metadata *tensors =
        arena_calloc(&box->arena, array->count + 1u, sizeof(*tensors));
    if (tensors == NULL) {
        return false;
    }
    const struct json_node *node = json_first(array);
    for (unsigned i = 0; i < array->count; i++, node = json_next(node)) {
        const struct json_node *datatype = json_get(node, "datatype");
        if (datatype != NULL && datatype->type == JSON_STRING) {
            tensors[i].dtype = dtype_from_name(json_text(datatype));
        }
        if (!take_text(box, node, "name", &tensors[i].name) ||
            !take_dims(box, json_get(node, "shape"), &tensors[i])) {
            return false;
        }
    }
    *out = tensors;
    *count = array->count;
    return true;
}

// ---- health -------------------------------------------------------------------------------------------------------------

// Whether the server answered "no" instead of yes or an error.
static bool says_no(const struct nrd_client *client, const struct question *q)
{
    return client->url.grpc ? q->status == 5 || q->status == 3
                            : q->status == 400 || q->status == 404 || q->status == 503;
}

// gRPC's answer is {"ready":true}, HTTP's is its status.
static struct nrd_status *ask_yes(struct nrd_client *client, struct question *q, const char *key,
                                  bool *yes)
{
    struct nrd_status *status = question_ask(client, q);
    if (status != NULL && says_no(client, q)) {
        status_free(status);
        status = NULL;
        *yes = false;
    } else if (status == NULL && client->url.grpc) {
        char wanted[32];
        snprintf(wanted, sizeof(wanted), "{\"%s\":true}", key);
        *yes = slice_is(str_slice(&q->json), wanted);
    } else if (status == NULL) {
        *yes = true;
    }
    question_fini(q);
    return status;
}

struct nrd_status *nrd_client_server_live(struct nrd_client *client, bool *live)
{
    struct question q;
    question_init(&q, "ask whether the server is live", "GET ", SERVICE "ServerLive",
                  &inference__server_live_response__descriptor);
    str_append_cstr(&q.path, "/v2/health/live");
    return ask_yes(client, &q, "live", live);
}

struct nrd_status *nrd_client_server_ready(struct nrd_client *client, bool *ready)
{
    struct question q;
    question_init(&q, "ask whether the server is ready", "GET ", SERVICE "ServerReady",
                  &inference__server_ready_response__descriptor);
    str_append_cstr(&q.path, "/v2/health/ready");
    return ask_yes(client, &q, "ready", ready);
}

// ---- models -------------------------------------------------------------------------------------------------------------

// A question about a model: "/v2/models/NAME/versions/V" and {1: name, 2: version}.
static struct nrd_status *about_model(struct question *q, const char *verb, const char *rpc,
                                      const ProtobufCMessageDescriptor *reply, const char *model,
                                      const char *version, const char *suffix)
{
    question_init(q, verb, "GET ", rpc, reply);
    bool has_version = version != NULL && version[0] != '\0';
    if (model == NULL || model[0] == '\0') {
        return status_new(NRD_INVALID_ARG, "%s: no model is named", verb);
    }
    str_printf(&q->subject, "model '%s'", model);
    question_name(q, "/v2/models/", model, "");
    wire_put_bytes(&q->message, 1, slice_of(model));
    if (has_version) {
        str_printf(&q->subject, " version '%s'", version);
        question_name(q, "/versions/", version, "");
        wire_put_bytes(&q->message, 2, slice_of(version));
    }
    str_append_cstr(&q->path, suffix);
    return NULL;
}

struct nrd_status *nrd_client_model_ready(struct nrd_client *client, const char *model,
                                          const char *version, bool *ready)
{
    struct question q;
    NRD_TRY(about_model(&q, "ask for readiness of", SERVICE "ModelReady",
                        &inference__model_ready_response__descriptor, model, version, "/ready"));
    return ask_yes(client, &q, "ready", ready);
}

struct nrd_status *nrd_client_server_metadata(struct nrd_client *client,
                                              struct nrd_client_server_metadata **out)
{
    struct question q;
    question_init(&q, "ask for the server's metadata", "GET ", SERVICE "ServerMetadata",
                  &inference__server_metadata_response__descriptor);
    str_append_cstr(&q.path, "/v2");
    struct arena scratch;
    arena_init(&scratch, 0);
    const struct json_node *root = NULL;
    struct box *box = NULL;
    struct nrd_status *status = question_ask(client, &q);
    if (status == NULL) {
        status = open_box(client, &q, &scratch, &root, &box);
    }
    if (status == NULL) {
        struct nrd_client_server_metadata *m = &box->as.server;
        if (take_text(box, root, "name", &m->name) &&
            take_text(box, root, "version", &m->version) &&
            take_texts(box, json_get(root, "extensions"), &m->extensions, &m->extension_count)) {
            *out = m;
        } else {
            box_free(box);
            status = status_no_memory();
        }
    }
    arena_fini(&scratch);
    question_fini(&q);
    return status;
}

void nrd_client_server_metadata_free(struct nrd_client_server_metadata *metadata)
{
    if (metadata != NULL) {
        box_free(CONTAINER_OF(metadata, struct box, as.server));
    }
}

static bool fill_model(struct box *box, const struct json_node *root)
{
    struct nrd_client_model_metadata *m = &box->as.model;
    return take_text(box, root, "name", &m->name) &&
           take_text(box, root, "platform", &m->platform) &&
           take_texts(box, json_get(root, "versions"), &m->versions, &m->version_count) &&
           take_tensors(box, json_get(root, "inputs"), &m->inputs, &m->input_count) &&
           take_tensors(box, json_get(root, "outputs"), &m->outputs, &m->output_count);
}

struct nrd_status *nrd_client_model_metadata(struct nrd_client *client, const char *model,
                                             const char *version,
                                             struct nrd_client_model_metadata **out)
{
    struct question q;
    NRD_TRY(about_model(&q, "ask for metadata of", SERVICE "ModelMetadata",
                        &inference__model_metadata_response__descriptor, model, version, ""));
    struct arena scratch;
    arena_init(&scratch, 0);
    const struct json_node *root = NULL;
    struct box *box = NULL;
    struct nrd_status *status = question_ask(client, &q);
    if (status == NULL) {
        status = open_box(client, &q, &scratch, &root, &box);
    }
    if (status == NULL) {
        if (fill_model(box, root)) {
            *out = &box->as.model;
        } else {
            box_free(box);
            status = status_no_memory();
        }
    }
    arena_fini(&scratch);
    question_fini(&q);
    return status;
}

void nrd_client_model_metadata_free(struct nrd_client_model_metadata *metadata)
{
    if (metadata != NULL) {
        box_free(CONTAINER_OF(metadata, struct box, as.model));
    }
}

struct nrd_status *nrd_client_model_config(struct nrd_client *client, const char *model,
                                           const char *version, char **json)
{
    struct question q;
    NRD_TRY(about_model(&q, "ask for the configuration of", SERVICE "ModelConfig",
                        &inference__model_config_response__descriptor, model, version, "/config"));
    struct nrd_status *status = question_ask(client, &q);
    struct slice text = str_slice(&q.json);
    struct slice before = SLICE("{\"config\":");
    if (status == NULL && client->url.grpc) {
        // {"config":{...}}: the inner object alone.
        text = slice_starts(text, before)
                   ? slice_make(text.ptr + before.len, text.len - before.len - 1)
                   : SLICE("{}");
    }
    if (status == NULL) {
        *json = mem_strndup(text.ptr, text.len);
        status = *json == NULL ? status_no_memory() : NULL;
    }
    question_fini(&q);
    return status;
}

struct nrd_status *nrd_client_model_statistics(struct nrd_client *client, const char *model,
                                               const char *version, char **json)
{
    struct question q;
    if (model != NULL && model[0] != '\0') {
        NRD_TRY(about_model(&q, "ask for statistics of", SERVICE "ModelStatistics",
                            &inference__model_statistics_response__descriptor, model, version,
                            "/stats"));
    } else {
        question_init(&q, "ask for statistics", "GET ", SERVICE "ModelStatistics",
                      &inference__model_statistics_response__descriptor);
        str_append_cstr(&q.path, "/v2/models/stats");
    }
    return question_text(client, &q, json);
}

// ---- the index ------------------------------------------------------------------------------------------------------------

static bool fill_index(struct box *box, const struct json_node *rows)
{
    struct nrd_client_index *index = &box->as.index;
    unsigned count = rows != NULL && rows->type == JSON_ARRAY ? rows->count : 0;
    struct nrd_client_index_entry *entries =
        arena_calloc(&box->arena, count + 1u, sizeof(*entries));
    if (entries == NULL) {
        return false;
    }
    const struct json_node *row = count > 0 ? json_first(rows) : NULL;
    for (unsigned i = 0; i < count; i++, row = json_next(row)) {
        if (!take_text(box, row, "name", &entries[i].name) ||
            !take_text(box, row, "version", &entries[i].version) ||
            !take_text(box, row, "state", &entries[i].state) ||
            !take_text(box, row, "reason", &entries[i].reason)) {
            return false;
        }
    }
    index->entries = entries;
    index->count = count;
    return true;
}

struct nrd_status *nrd_client_repository_index(struct nrd_client *client, bool ready_only,
                                               struct nrd_client_index **out)
{
    struct question q;
    question_init(&q, "ask for the repository's index", "POST ", SERVICE "RepositoryIndex",
                  &inference__repository_index_response__descriptor);
    str_append_cstr(&q.path, "/v2/repository/index");
    str_append_cstr(&q.body, ready_only ? "{\"ready\":true}" : "{}");
    if (ready_only) {
        wire_put_number(&q.message, 2, 1);
    }
    struct arena scratch;
    arena_init(&scratch, 0);
    const struct json_node *root = NULL;
    struct box *box = NULL;
    struct nrd_status *status = question_ask(client, &q);
    if (status == NULL) {
        status = open_box(client, &q, &scratch, &root, &box);
    }
    if (status == NULL) {
        // gRPC's rows are in {"models":[...]}.
        if (fill_index(box, client->url.grpc ? json_get(root, "models") : root)) {
            *out = &box->as.index;
        } else {
            box_free(box);
            status = status_no_memory();
        }
    }
    arena_fini(&scratch);
    question_fini(&q);
    return status;
}

void nrd_client_index_free(struct nrd_client_index *index)
{
    if (index != NULL) {
        box_free(CONTAINER_OF(index, struct box, as.index));
    }
}
