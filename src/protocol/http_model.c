// SPDX-License-Identifier: Apache-2.0
// Endpoints that tell: server metadata and health, model readiness, metadata, configuration and statistics.
//
// Health, readiness and metadata are answered where they are asked, on the loop. Configuration and statistics are large and
// may wait for locks of the core, so they go to a worker.
#include "protocol/http_api.h"

#define NAME_SIZE 512

// A model's name as a C string, in `buffer` when it fits; else in the arena. NULL: no memory.
static const char *name_cstr(struct slice name, char *buffer, struct str *spill)
{
    if (name.len < NAME_SIZE) {
        if (name.len > 0) { // "every model" has no name, not even an empty one
            memcpy(buffer, name.ptr, name.len);
        }
        buffer[name.len] = '\0';
        return buffer;
    }
    str_append_slice(spill, name);
    return spill->failed ? NULL : str_cstr(spill);
}

void http_server_metadata(struct http_server *http, struct http1_request *request)
{
    if (http_is_restricted(http, request, RESTRICT_METADATA)) {
        return;
    }
    if (request->head.method != HTTP1_GET) {
        http_reply_not_allowed(request, true);
        return;
    }
    http_reply_text(request, 200, HTTP_TYPE_JSON, str_slice(&http->metadata));
}

void http_health(struct http_server *http, struct http1_request *request, bool ready)
{
    if (http_is_restricted(http, request, RESTRICT_HEALTH)) {
        return;
    }
    if (request->head.method != HTTP1_GET) {
        http_reply_not_allowed(request, false);
        return;
    }
    bool yes = false;
    struct nrd_status *status =
        error_to_status(ready ? TRITONSERVER_ServerIsReady(http->triton, &yes)
                              : TRITONSERVER_ServerIsLive(http->triton, &yes));
    if (status != NULL) {
        http_reply_status(request, false, status);
        return;
    }
    http1_reply(request, yes ? 200 : 400, (struct slice){NULL, 0}, false, NULL);
}

void http_model_ready(struct http_server *http, struct http1_request *request,
                      const struct http_route *route)
{
    if (http_is_restricted(http, request, RESTRICT_HEALTH)) {
        return;
    }
    if (request->head.method != HTTP1_GET) {
        http_reply_not_allowed(request, false);
        return;
    }
    char buffer[NAME_SIZE];
    struct str spill = STR_INIT;
    const char *name = name_cstr(route->model, buffer, &spill);
    int64_t version = -1;
    bool ready = false;
    struct nrd_status *status =
        name == NULL ? status_no_memory() : model_version_parse(route->version, &version);
    if (status == NULL) {
        status =
            error_to_status(TRITONSERVER_ServerModelIsReady(http->triton, name, version, &ready));
    }
    str_fini(&spill);
    if (status != NULL) {
        http_reply_status(request, false, status);
    } else if (!ready) {
        http_reply_error(request, 400, false, "Model version not ready");
    } else {
        http1_reply(request, 200, (struct slice){NULL, 0}, false, NULL);
    }
}

void http_model_metadata(struct http_server *http, struct http1_request *request,
                         const struct http_route *route)
{
    if (http_is_restricted(http, request, RESTRICT_METADATA)) {
        return;
    }
    if (request->head.method != HTTP1_GET) {
        http_reply_not_allowed(request, true);
        return;
    }
    char buffer[NAME_SIZE];
    struct str spill = STR_INIT;
    const char *name = name_cstr(route->model, buffer, &spill);
    int64_t version = -1;
    TRITONSERVER_Message *message = NULL;
    struct nrd_status *status =
        name == NULL ? status_no_memory() : model_version_parse(route->version, &version);
    if (status == NULL) {
        status = error_to_status(
            TRITONSERVER_ServerModelMetadata(http->triton, name, version, &message));
    }
    str_fini(&spill);
    http_reply_message(request, message, status);
}

// Puts a message's text into the job's reply; takes the message.
static struct nrd_status *job_take_message(struct http_job *job, TRITONSERVER_Message *message)
{
    const char *base = NULL;
    size_t size = 0;
    struct nrd_status *status =
        error_to_status(TRITONSERVER_MessageSerializeToJson(message, &base, &size));
    if (status == NULL) {
        str_append(&job->body, base, size);
    }
    http_drop_error(TRITONSERVER_MessageDelete(message), "deleting a message");
    return status;
}

static struct nrd_status *run_config(struct http_job *job)
{
    char buffer[NAME_SIZE];
    struct str spill = STR_INIT;
    const char *name = name_cstr(job->route.model, buffer, &spill);
    int64_t version = -1;
    TRITONSERVER_Message *message = NULL;
    struct nrd_status *status =
        name == NULL ? status_no_memory() : model_version_parse(job->route.version, &version);
    if (status == NULL) {
        status = error_to_status(
            TRITONSERVER_ServerModelConfig(job->http->triton, name, version, 1, &message));
    }
    str_fini(&spill);
    return status != NULL ? status : job_take_message(job, message);
}

void http_model_config(struct http_server *http, struct http1_request *request,
                       const struct http_route *route)
{
    if (http_is_restricted(http, request, RESTRICT_MODEL_CONFIG)) {
        return;
    }
    if (request->head.method != HTTP1_GET) {
        http_reply_not_allowed(request, true);
        return;
    }
    http_offload(http, request, route, run_config, false);
}

static struct nrd_status *run_stats(struct http_job *job)
{
    char buffer[NAME_SIZE];
    struct str spill = STR_INIT;
    const char *name = name_cstr(job->route.model, buffer, &spill);
    int64_t version = -1;
    TRITONSERVER_Message *message = NULL;
    struct nrd_status *status =
        name == NULL ? status_no_memory() : model_version_parse(job->route.version, &version);
    if (status == NULL) {
        status = error_to_status(
            TRITONSERVER_ServerModelStatistics(job->http->triton, name, version, &message));
    }
    str_fini(&spill);
    return status != NULL ? status : job_take_message(job, message);
}

void http_model_stats(struct http_server *http, struct http1_request *request,
                      const struct http_route *route)
{
    if (http_is_restricted(http, request, RESTRICT_STATISTICS)) {
        return;
    }
    if (request->head.method != HTTP1_GET) {
        http_reply_not_allowed(request, true);
        return;
    }
    http_offload(http, request, route, run_stats, false);
}

void http_trace(struct http_server *http, struct http1_request *request)
{
    if (http_is_restricted(http, request, RESTRICT_TRACE)) {
        return;
    }
    if (request->head.method != HTTP1_GET && request->head.method != HTTP1_POST) {
        http_reply_not_allowed(request, true);
        return;
    }
    http_reply_error(request, 501, true, "trace settings are not implemented in this server");
}
