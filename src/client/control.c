// SPDX-License-Identifier: Apache-2.0
// Calls that change the server: loading and unloading models, trace and log settings.
#include "base/base64.h"
#include "base/mem.h"
#include "client/admin.h"
#include "client/reply.h"
#include "proto/grpc_service.pb-c.h"
#include "proto/wire.h"

#define SERVICE "/inference.GRPCInferenceService/"

// ---- models -------------------------------------------------------------------------------------------------------------

// Field numbers: RepositoryModelLoadRequest and its parameters.
enum { LOAD_MODEL = 2, LOAD_PARAMETERS = 3, CHOICE_BOOL = 1, CHOICE_STRING = 3, CHOICE_BYTES = 4 };

static void put_choice(struct str *out, struct slice key, uint32_t choice, struct slice value)
{
    // Written with its lengths known, as files may be large.
    unsigned char bytes[WIRE_VARINT_MAX];
    size_t inner = 1 + wire_varint(bytes, value.len) + value.len;
    size_t entry =
        1 + wire_varint(bytes, key.len) + key.len + 1 + wire_varint(bytes, inner) + inner;
    wire_put_tag(out, LOAD_PARAMETERS, WIRE_BYTES);
    wire_put_varint(out, entry);
    wire_put_bytes(out, 1, key);
    wire_put_tag(out, 2, WIRE_BYTES);
    wire_put_varint(out, inner);
    wire_put_bytes(out, choice, value);
}

static struct nrd_status *about_load(struct question *q, const char *verb, const char *rpc,
                                     const ProtobufCMessageDescriptor *reply, const char *model,
                                     const char *suffix)
{
    question_init(q, verb, "POST ", rpc, reply);
    if (model == NULL || model[0] == '\0') {
        return status_new(NRD_INVALID_ARG, "%s: no model is named", verb);
    }
    str_printf(&q->subject, "model '%s'", model);
    question_name(q, "/v2/repository/models/", model, suffix);
    wire_put_bytes(&q->message, LOAD_MODEL, slice_of(model));
    return NULL;
}

static void write_load_json(struct str *out, const char *config,
                            const struct nrd_client_file *files, size_t file_count)
{
    struct json_writer w;
    struct str key = STR_INIT;
    struct str text = STR_INIT;
    json_begin(&w, out);
    json_object_begin(&w);
    json_key(&w, "parameters");
    json_object_begin(&w);
    if (config != NULL) {
        json_key(&w, "config");
        json_cstring(&w, config);
    }
    for (size_t i = 0; i < file_count; i++) {
        str_clear(&key);
        str_clear(&text);
        str_printf(&key, "file:%s", files[i].path);
        base64_encode(slice_make(files[i].data, files[i].size), &text);
        json_key_slice(&w, str_slice(&key));
        json_string(&w, str_slice(&text));
        out->failed |= key.failed || text.failed;
    }
    json_object_end(&w);
    json_object_end(&w);
    str_fini(&key);
    str_fini(&text);
}

struct nrd_status *nrd_client_model_load(struct nrd_client *client, const char *model,
                                         const char *config, const struct nrd_client_file *files,
                                         size_t file_count)
{
    struct question q;
    NRD_TRY(about_load(&q, "load", SERVICE "RepositoryModelLoad",
                       &inference__repository_model_load_response__descriptor, model, "/load"));
    if (!client->url.grpc) {
        write_load_json(&q.body, config, files, file_count);
        return question_text(client, &q, NULL);
    }
    if (config != NULL) {
        put_choice(&q.message, SLICE("config"), CHOICE_STRING, slice_of(config));
    }
    struct str key = STR_INIT;
    for (size_t i = 0; i < file_count; i++) {
        str_clear(&key);
        str_printf(&key, "file:%s", files[i].path);
        put_choice(&q.message, str_slice(&key), CHOICE_BYTES,
                   slice_make(files[i].data, files[i].size));
        q.message.failed |= key.failed;
    }
    str_fini(&key);
    return question_text(client, &q, NULL);
}

struct nrd_status *nrd_client_model_unload(struct nrd_client *client, const char *model,
                                           bool unload_dependents)
{
    struct question q;
    NRD_TRY(about_load(&q, "unload", SERVICE "RepositoryModelUnload",
                       &inference__repository_model_unload_response__descriptor, model, "/unload"));
    str_append_cstr(&q.body,
                    unload_dependents ? "{\"parameters\":{\"unload_dependents\":true}}" : "{}");
    if (unload_dependents) {
        size_t entry = wire_begin(&q.message, LOAD_PARAMETERS);
        wire_put_bytes(&q.message, 1, SLICE("unload_dependents"));
        size_t value = wire_begin(&q.message, 2);
        wire_put_number(&q.message, CHOICE_BOOL, 1);
        wire_end(&q.message, value);
        wire_end(&q.message, entry);
    }
    return question_text(client, &q, NULL);
}

// ---- settings -----------------------------------------------------------------------------------------------------------

// A setting's value as gRPC has it: trace settings are lists of texts, log settings one of three kinds.
static bool put_trace_value(struct str *out, const struct json_node *value)
{
    if (value->type == JSON_STRING) {
        wire_put_bytes(out, 1, json_text(value));
        return true;
    }
    if (value->type != JSON_ARRAY) {
        return value->type == JSON_NULL; // an empty list clears
    }
    const struct json_node *text = json_first(value);
    for (unsigned i = 0; i < value->count; i++, text = json_next(text)) {
        if (text->type != JSON_STRING) {
            return false;
        }
        wire_put_bytes(out, 1, json_text(text));
    }
    return true;
}

static bool put_log_value(struct str *out, const struct json_node *value)
{
    bool on;
    uint64_t number;
    if (json_as_bool(value, &on)) {
        wire_put_number(out, 1, on);
        return true;
    }
    if (json_as_u64(value, &number)) {
        wire_put_number(out, 2, number);
        return true;
    }
    if (value->type == JSON_STRING) {
        wire_put_bytes(out, 3, json_text(value));
        return true;
    }
    return false;
}

// The JSON object `settings` as entries of field 1.
static struct nrd_status *put_settings(struct str *out, const char *settings,
                                       bool (*put)(struct str *out, const struct json_node *value))
{
    struct arena arena;
    arena_init(&arena, 0);
    const struct json_node *root = NULL;
    struct json_error error;
    bool good = json_parse(&arena, slice_of(settings), JSON_STRICT, &root, &error) &&
                root->type == JSON_OBJECT;
    const struct json_node *key = good ? json_first(root) : NULL;
    for (unsigned i = 0; good && i < root->count; i++) {
        const struct json_node *value = json_next(key);
        size_t entry = wire_begin(out, 1);
        wire_put_bytes(out, 1, json_text(key));
        size_t inner = wire_begin(out, 2);
        good = put(out, value);
        wire_end(out, inner);
        wire_end(out, entry);
        key = json_next(value);
    }
    arena_fini(&arena);
    return good ? NULL
                : status_new(NRD_INVALID_ARG, "settings '%s' are not a JSON object of settings",
                             settings);
}

// gRPC's {"settings":{"trace_rate":{"value":["1000"]},"log_info":{"bool_param":true}}} in HTTP's form.
static void write_flat(const struct json_node *settings, struct json_writer *w)
{
    json_object_begin(w);
    const struct json_node *key = settings != NULL ? json_first(settings) : NULL;
    for (unsigned i = 0; settings != NULL && i < settings->count; i++) {
        const struct json_node *value = json_next(key);
        const struct json_node *inner =
            value->type == JSON_OBJECT && value->count > 0 ? json_next(json_first(value)) : value;
        json_key_slice(w, json_text(key));
        if (inner->type == JSON_ARRAY && inner->count == 1 &&
            !slice_is(json_text(key), "trace_level")) {
            inner = json_first(inner);
        }
        json_write_node(w, inner);
        key = json_next(value);
    }
    json_object_end(w);
}

static struct nrd_status *flatten(struct str *json)
{
    struct arena arena;
    arena_init(&arena, 0);
    const struct json_node *root = NULL;
    struct str flat = STR_INIT;
    struct json_writer w;
    json_begin(&w, &flat);
    struct nrd_status *status = reply_parse(&arena, str_slice(json), &root);
    if (status == NULL) {
        write_flat(json_get(root, "settings"), &w);
        status = str_status(&flat);
    }
    arena_fini(&arena);
    str_fini(json);
    *json = flat;
    return status;
}

static struct nrd_status *ask_settings(struct nrd_client *client, struct question *q,
                                       const char *settings,
                                       bool (*put)(struct str *out, const struct json_node *value),
                                       char **json)
{
    struct nrd_status *status = NULL;
    if (settings != NULL) {
        q->method = "POST ";
        str_append_cstr(&q->body, settings);
        status = client->url.grpc ? put_settings(&q->message, settings, put) : NULL;
    }
    if (status == NULL) {
        status = question_ask(client, q);
    }
    if (status == NULL && client->url.grpc) {
        status = flatten(&q->json);
    }
    if (status == NULL && json != NULL) {
        *json = mem_strdup(str_cstr(&q->json));
        status = *json == NULL ? status_no_memory() : NULL;
    }
    question_fini(q);
    return status;
}

struct nrd_status *nrd_client_trace_settings(struct nrd_client *client, const char *model,
                                             const char *settings, char **json)
{
    struct question q;
    question_init(&q, "trace settings", "GET ", SERVICE "TraceSetting",
                  &inference__trace_setting_response__descriptor);
    str_append_cstr(&q.path, "/v2");
    if (model != NULL && model[0] != '\0') {
        str_printf(&q.subject, "of model '%s'", model);
        question_name(&q, "/models/", model, "");
        wire_put_bytes(&q.message, 2, slice_of(model));
    }
    str_append_cstr(&q.path, "/trace/setting");
    return ask_settings(client, &q, settings, put_trace_value, json);
}

struct nrd_status *nrd_client_log_settings(struct nrd_client *client, const char *settings,
                                           char **json)
{
    struct question q;
    question_init(&q, "log settings", "GET ", SERVICE "LogSettings",
                  &inference__log_settings_response__descriptor);
    str_append_cstr(&q.path, "/v2/logging");
    return ask_settings(client, &q, settings, put_log_value, json);
}
