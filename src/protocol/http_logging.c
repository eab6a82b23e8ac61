// SPDX-License-Identifier: Apache-2.0
// GET and POST /v2/logging. The program and the core each have a logger (the core is a library of its own); both are set, and the
// program's is shown.
#include "base/log.h"
#include "protocol/http_api.h"

// A member that is there and not null.
static const struct json_node *setting(const struct json_node *root, const char *key)
{
    const struct json_node *node = root == NULL ? NULL : json_get(root, key);
    return node == NULL || node->type == JSON_NULL ? NULL : node;
}

static struct nrd_status *set_level(const struct json_node *node, enum log_level level,
                                    TRITONSERVER_Error *(*set)(TRITONSERVER_ServerOptions *, bool))
{
    if (node == NULL) {
        return NULL;
    }
    bool on = false;
    NRD_TRY(json_want_bool(node, &on));
    log_set_enabled(level, on);
    return error_to_status(set(NULL, on));
}

static struct nrd_status *set_verbose(const struct json_node *node)
{
    uint64_t level = 0;
    if (node == NULL) {
        return NULL;
    }
    NRD_TRY(json_want_u64(node, &level));
    log_set_verbose((uint32_t)(int32_t)level);
    return error_to_status(TRITONSERVER_ServerOptionsSetLogVerbose(NULL, (int)level));
}

static struct nrd_status *set_format(const struct json_node *node)
{
    struct slice name;
    if (node == NULL) {
        return NULL;
    }
    NRD_TRY(json_want_string(node, &name));
    bool iso = slice_is(name, "ISO8601");
    if (!iso && !slice_is(name, "default")) {
        return status_new(NRD_UNAVAILABLE, "invalid argument for --log_format, got: %.*s",
                          (int)name.len, name.ptr);
    }
    log_set_format(iso ? LOG_FORMAT_ISO8601 : LOG_FORMAT_DEFAULT);
    return error_to_status(TRITONSERVER_ServerOptionsSetLogFormat(
        NULL, iso ? TRITONSERVER_LOG_ISO8601 : TRITONSERVER_LOG_DEFAULT));
}

static struct nrd_status *apply(struct http_server *http, struct http1_request *request,
                                struct arena *arena)
{
    const struct json_node *root = NULL;
    NRD_TRY(http_parse_json(http, request, arena, request->body, false, &root));
    if (setting(root, "log_file") != NULL) {
        return status_new(NRD_UNSUPPORTED,
                          "log file location can not be updated through network protocol");
    }
    NRD_TRY(set_level(setting(root, "log_info"), LOG_INFO, TRITONSERVER_ServerOptionsSetLogInfo));
    NRD_TRY(
        set_level(setting(root, "log_warning"), LOG_WARNING, TRITONSERVER_ServerOptionsSetLogWarn));
    NRD_TRY(
        set_level(setting(root, "log_error"), LOG_ERROR, TRITONSERVER_ServerOptionsSetLogError));
    NRD_TRY(set_verbose(setting(root, "log_verbose_level")));
    return set_format(setting(root, "log_format"));
}

static void write_settings(struct str *out)
{
    struct json_writer writer;
    json_begin(&writer, out);
    json_object_begin(&writer);
    json_key(&writer, "log_file");
    json_cstring(&writer, log_get_file());
    json_key(&writer, "log_info");
    json_bool(&writer, log_get_enabled(LOG_INFO));
    json_key(&writer, "log_warning");
    json_bool(&writer, log_get_enabled(LOG_WARNING));
    json_key(&writer, "log_error");
    json_bool(&writer, log_get_enabled(LOG_ERROR));
    json_key(&writer, "log_verbose_level");
    json_i64(&writer, (int32_t)log_get_verbose());
    json_key(&writer, "log_format");
    json_cstring(&writer, log_get_format() == LOG_FORMAT_ISO8601 ? "ISO8601" : "default");
    json_object_end(&writer);
}

void http_logging(struct http_server *http, struct http1_request *request)
{
    if (http_is_restricted(http, request, RESTRICT_LOGGING)) {
        return;
    }
    if (request->head.method != HTTP1_GET && request->head.method != HTTP1_POST) {
        http_reply_not_allowed(request, true);
        return;
    }
    if (request->head.method == HTTP1_POST) {
        struct arena arena;
        arena_init(&arena, 0);
        struct nrd_status *status = apply(http, request, &arena);
        arena_fini(&arena);
        if (status != NULL) {
            http_reply_status(request, true, status);
            return;
        }
    }
    write_settings(http1_text(request));
    http1_reply(request, 200, HTTP_TYPE_JSON, true, NULL);
}
