// SPDX-License-Identifier: Apache-2.0
// The HTTP front end: its life, its routes, and the replies that all endpoints share.
//
// Routes are exact: what a client wrote is compared as it is, percent signs and trailing slashes included, because that is
// what Triton's full-match expressions do. Methods are looked at by the endpoints, after the restriction.
#include "protocol/http_server.h"

#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/body_locks.h"
#include "protocol/http_api.h"
#include "protocol/http_infer.h"

#define DEFAULT_MAX_INPUT (64 * 1024 * 1024)
#define MAX_WORKERS 8
#define DESTROY_WAIT_MS 10000

// ---- replies

void http_reply_text(struct http1_request *request, int status, struct slice headers,
                     struct slice body)
{
    str_append_slice(http1_text(request), body);
    http1_reply(request, status, headers, headers.len > 0, NULL);
}

void http_reply_error(struct http1_request *request, int status, bool json_type, const char *text)
{
    struct str *out = http1_text(request);
    str_clear(out);
    str_append_slice(out, SLICE("{\"error\":"));
    json_escape(out, slice_of(text));
    str_append_char(out, '}');
    struct slice headers = json_type ? HTTP_TYPE_JSON : (struct slice){NULL, 0};
    http1_reply(request, status, headers, json_type, NULL);
}

void http_reply_status(struct http1_request *request, bool json_type, struct nrd_status *status)
{
    http_reply_error(request, code_http(status_code(status)), json_type, status_text(status));
    status_free(status);
}

void http_reply_not_allowed(struct http1_request *request, bool json_type)
{
    http_reply_error(request, 405, json_type, "Method Not Allowed");
}

void http_reply_message(struct http1_request *request, TRITONSERVER_Message *message,
                        struct nrd_status *status)
{
    const char *base = NULL;
    size_t size = 0;
    if (status == NULL) {
        status = error_to_status(TRITONSERVER_MessageSerializeToJson(message, &base, &size));
    }
    if (status == NULL) {
        http_reply_text(request, 200, HTTP_TYPE_JSON, slice_make(base, size));
    } else {
        http_reply_status(request, true, status);
    }
    if (message != NULL) {
        http_drop_error(TRITONSERVER_MessageDelete(message), "deleting a message");
    }
}

// ---- help for endpoints

struct slice http_header(const struct http1_request *request, struct slice name)
{
    return http1_find(request->head.headers, request->head.header_count, name);
}

bool http_is_restricted(struct http_server *http, struct http1_request *request,
                        enum restrict_category category)
{
    const struct restrict_rule *rule =
        http->restricted == NULL ? NULL : restrict_rule(http->restricted, category);
    if (rule == NULL || restrict_passes(rule, http_header(request, slice_of(rule->key)))) {
        return false;
    }
    struct str text = STR_INIT;
    str_printf(&text, "This API is restricted, expecting header '%s'", rule->key);
    http_reply_error(request, 403, false, str_cstr(&text));
    str_fini(&text);
    return true;
}

void http_drop_error(TRITONSERVER_Error *error, const char *what)
{
    if (error != NULL) {
        LOG_DEBUG(1, "%s: %s", what, TRITONSERVER_ErrorMessage(error));
        TRITONSERVER_ErrorDelete(error);
    }
}

struct nrd_status *http_parse_json(struct http_server *http, struct http1_request *request,
                                   struct arena *arena, struct slice body, bool may_be_empty,
                                   const struct json_node **root)
{
    *root = NULL;
    if (request->body_refused || body.len > http->max_input_size) {
        uint64_t size = request->body_refused ? request->head.length : body.len;
        return status_new(
            NRD_INVALID_ARG,
            "request JSON size of %llu bytes exceeds the maximum allowed input size of "
            "%llu bytes. Use --http-max-input-size to increase the limit.",
            (unsigned long long)size, (unsigned long long)http->max_input_size);
    }
    if (body.len == 0 && may_be_empty) {
        return NULL;
    }
    return json_parse_status(arena, body, JSON_NAN, "request", root);
}

struct nrd_status *http_want_members(const struct json_node *node)
{
    if (node->type == JSON_OBJECT) {
        return NULL;
    }
    return status_new(NRD_INTERNAL, "attempt to get members for non-object");
}

static void job_reply(struct loop_task *task)
{
    struct http_job *job = CONTAINER_OF(task, struct http_job, task);
    struct nrd_status *status = str_status(&job->body);
    if (status == NULL) {
        http_reply_text(job->request, 200, HTTP_TYPE_JSON, str_slice(&job->body));
    } else {
        http_reply_status(job->request, !job->text_type, status);
    }
    str_fini(&job->body);
    mem_free(job);
}

static void job_reply_error(struct loop_task *task)
{
    struct http_job *job = CONTAINER_OF(task, struct http_job, task);
    http_reply_error(job->request, job->work_status, !job->text_type, str_cstr(&job->body));
    str_fini(&job->body);
    mem_free(job);
}

static void job_work(struct worker_job *work)
{
    struct http_job *job = CONTAINER_OF(work, struct http_job, work);
    struct nrd_status *status = job->run(job);
    job->task.run = job_reply;
    if (status != NULL) {
        str_clear(&job->body);
        str_append_cstr(&job->body, status_text(status));
        job->work_status = code_http(status_code(status));
        job->task.run = job_reply_error;
        status_free(status);
    }
    loop_post(job->request->loop, &job->task);
}

void http_offload(struct http_server *http, struct http1_request *request,
                  const struct http_route *route, struct nrd_status *(*run)(struct http_job *job),
                  bool slow)
{
    struct http_job *job = mem_calloc(1, sizeof(*job));
    if (job == NULL) {
        http_reply_status(request, true, status_no_memory());
        return;
    }
    job->work.run = job_work;
    job->http = http;
    job->request = request;
    job->route = *route;
    job->run = run;
    if (!worker_post(slow ? http->loaders : http->workers, &job->work)) {
        job_work(&job->work);
    }
}

// ---- routes

// Takes "/SEGMENT" off the front of `*rest`. False when there is none or it is empty.
static bool take_segment(struct slice *rest, struct slice *segment)
{
    if (rest->len < 2 || rest->ptr[0] != '/') {
        return false;
    }
    const char *start = rest->ptr + 1;
    const char *slash = memchr(start, '/', rest->len - 1);
    size_t len = slash == NULL ? rest->len - 1 : (size_t)(slash - start);
    *segment = slice_make(start, len);
    *rest = slice_make(start + len, rest->len - 1 - len);
    return len > 0;
}

static bool take_prefix(struct slice *rest, struct slice prefix)
{
    if (!slice_starts(*rest, prefix)) {
        return false;
    }
    *rest = slice_make(rest->ptr + prefix.len, rest->len - prefix.len);
    return true;
}

static bool all_digits(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
    }
    return text.len > 0;
}

// "/NAME[/versions/N][/KIND]" after /v2/models.
static bool route_model(struct http_server *http, struct http1_request *request, struct slice rest)
{
    struct http_route route = {0};
    if (!take_segment(&rest, &route.model)) {
        return false;
    }
    struct slice after = rest;
    struct slice version;
    if (take_prefix(&after, SLICE("/versions")) && take_segment(&after, &version) &&
        all_digits(version)) {
        route.version = version;
        rest = after;
    }
    if (slice_equal(rest, SLICE("/infer"))) {
        http_model_infer(http, request, &route);
    } else if (rest.len == 0) {
        http_model_metadata(http, request, &route);
    } else if (slice_equal(rest, SLICE("/ready"))) {
        http_model_ready(http, request, &route);
    } else if (slice_equal(rest, SLICE("/config"))) {
        http_model_config(http, request, &route);
    } else if (slice_equal(rest, SLICE("/stats"))) {
        http_model_stats(http, request, &route);
    } else if (slice_equal(rest, SLICE("/generate"))) {
        http_model_generate(http, request, &route, false);
    } else if (slice_equal(rest, SLICE("/generate_stream"))) {
        http_model_generate(http, request, &route, true);
    } else if (slice_equal(rest, SLICE("/trace/setting")) && route.version.len == 0) {
        http_trace(http, request);
    } else {
        return false;
    }
    return true;
}

// "[/REPOSITORY]/index" or "[/REPOSITORY]/models/NAME/(load|unload)" after /v2/repository.
static bool route_repository(struct http_server *http, struct http1_request *request,
                             struct slice rest)
{
    struct slice segments[5];
    unsigned count = 0;
    while (rest.len > 0) {
        if (count == 5 || !take_segment(&rest, &segments[count])) {
            return false;
        }
        count++;
    }
    struct http_route route = {0};
    if (count == 1 || count == 2) {
        if (!slice_equal(segments[count - 1], SLICE("index"))) {
            return false;
        }
        http_repository_index(http, request, &route);
        return true;
    }
    if ((count != 3 && count != 4) || !slice_equal(segments[count - 3], SLICE("models"))) {
        return false;
    }
    if (count == 4) {
        route.repository = segments[0];
    }
    route.model = segments[count - 2];
    bool load = slice_equal(segments[count - 1], SLICE("load"));
    if (!load && !slice_equal(segments[count - 1], SLICE("unload"))) {
        return false;
    }
    http_repository_load(http, request, &route, load);
    return true;
}

// "[/region/NAME]/(status|register|unregister)" after /v2/systemsharedmemory or /v2/cudasharedmemory.
static bool route_shm(struct http_server *http, struct http1_request *request, struct slice rest,
                      bool cuda)
{
    struct http_route route = {0};
    struct slice after = rest;
    if (take_prefix(&after, SLICE("/region"))) {
        if (!take_segment(&after, &route.region)) {
            return false;
        }
        rest = after;
    }
    if (slice_equal(rest, SLICE("/status"))) {
        http_shm(http, request, &route, cuda, HTTP_SHM_STATUS);
    } else if (slice_equal(rest, SLICE("/register"))) {
        http_shm(http, request, &route, cuda, HTTP_SHM_REGISTER);
    } else if (slice_equal(rest, SLICE("/unregister"))) {
        http_shm(http, request, &route, cuda, HTTP_SHM_UNREGISTER);
    } else {
        return false;
    }
    return true;
}

static bool route_rest(struct http_server *http, struct http1_request *request, struct slice rest)
{
    if (slice_equal(rest, SLICE("/models/stats"))) {
        struct http_route route = {0};
        http_model_stats(http, request, &route);
    } else if (take_prefix(&rest, SLICE("/models"))) {
        return route_model(http, request, rest);
    } else if (rest.len == 0) {
        http_server_metadata(http, request);
    } else if (slice_equal(rest, SLICE("/health/live"))) {
        http_health(http, request, false);
    } else if (slice_equal(rest, SLICE("/health/ready"))) {
        http_health(http, request, true);
    } else if (slice_equal(rest, SLICE("/logging"))) {
        http_logging(http, request);
    } else if (slice_equal(rest, SLICE("/trace/setting"))) {
        http_trace(http, request);
    } else if (take_prefix(&rest, SLICE("/repository"))) {
        return route_repository(http, request, rest);
    } else if (take_prefix(&rest, SLICE("/systemsharedmemory"))) {
        return route_shm(http, request, rest, false);
    } else if (take_prefix(&rest, SLICE("/cudasharedmemory"))) {
        return route_shm(http, request, rest, true);
    } else {
        return false;
    }
    return true;
}

static void handle(void *user, struct http1_request *request)
{
    struct http_server *http = user;
    struct slice rest = request->head.path;
    LOG_DEBUG(1, "HTTP request: %.*s %.*s", (int)request->head.method_text.len,
              request->head.method_text.ptr, (int)rest.len, rest.ptr);
    if (!take_prefix(&rest, SLICE("/v2")) || !route_rest(http, request, rest)) {
        http_reply_error(request, 404, false, "Not Found");
    }
}

// ---- life

static struct nrd_status *read_metadata(struct http_server *http)
{
    TRITONSERVER_Message *message = NULL;
    NRD_TRY(error_to_status(TRITONSERVER_ServerMetadata(http->triton, &message)));
    const char *base = NULL;
    size_t size = 0;
    struct nrd_status *status =
        error_to_status(TRITONSERVER_MessageSerializeToJson(message, &base, &size));
    if (status == NULL) {
        str_append(&http->metadata, base, size);
        status = str_status(&http->metadata);
    }
    http_drop_error(TRITONSERVER_MessageDelete(message), "deleting a message");
    return status;
}

static struct nrd_status *set_up(struct http_server *http,
                                 const struct http_server_options *options, const char *address)
{
    http->pool = buffer_pool_create(buffer_pool_body_limit());
    http->infers = infer_pool_create(http);
    if (http->pool == NULL || http->infers == NULL) {
        return status_no_memory();
    }
    NRD_TRY(body_locks_attach(http->pool, http->triton, &http->locks));
    NRD_TRY(worker_create("http-work", MAX_WORKERS, &http->workers));
    NRD_TRY(worker_create("http-load", MAX_WORKERS, &http->loaders));
    NRD_TRY(infer_allocator_create(&http->allocator));
    NRD_TRY(header_pattern_create(
        options->header_forward_pattern == NULL ? "" : options->header_forward_pattern,
        &http->forward));
    NRD_TRY(read_metadata(http));
    struct http1_options net = {
        .address = address,
        .port = options->port,
        .reuse_port = options->reuse_port,
        .threads = options->threads,
        .thread_name = "http",
        .pool = http->pool,
        .handle = handle,
        .user = http,
    };
    NRD_TRY(http1_server_create(&net, &http->net));
    return http1_server_start(http->net);
}

struct nrd_status *http_server_create(TRITONSERVER_Server *server,
                                      const struct http_server_options *options,
                                      struct http_server **out)
{
    struct http_server *http = mem_calloc(1, sizeof(*http));
    if (http == NULL) {
        return status_no_memory();
    }
    const char *address = options->address == NULL ? "0.0.0.0" : options->address;
    http->triton = server;
    http->shm = options->shm;
    http->restricted = options->restricted;
    http->max_input_size =
        options->max_input_size == 0 ? DEFAULT_MAX_INPUT : options->max_input_size;
    struct nrd_status *status = set_up(http, options, address);
    if (status != NULL) {
        http_server_destroy(http);
        return status;
    }
    LOG_NOTE("Started HTTPService at %s:%d", address, http1_server_port(http->net));
    *out = http;
    return NULL;
}

int http_server_port(const struct http_server *http)
{
    return http1_server_port(http->net);
}

void http_server_stop(struct http_server *http, unsigned *seconds)
{
    http1_server_stop_accepting(http->net);
    unsigned count;
    while (*seconds > 0 && (count = http1_server_connections(http->net)) > 0) {
        LOG_NOTE("Timeout %u: Found %u HTTP service connections", *seconds, count);
        sleep(1);
        (*seconds)--;
    }
}

// The core may hold a request longer than its client had to wait for the reply.
static bool wait_for_infers(struct http_server *http)
{
    for (unsigned ms = 0; http->infers != NULL && infer_pool_live(http->infers) > 0; ms++) {
        if (ms == DESTROY_WAIT_MS) {
            return false;
        }
        usleep(1000);
    }
    return true;
}

void http_server_destroy(struct http_server *http)
{
    if (http == NULL) {
        return;
    }
    if (!http1_server_close(http->net, DESTROY_WAIT_MS) || !wait_for_infers(http)) {
        // Freeing what a request under way still uses would be worse than leaving it to the end of the process.
        LOG_ERR("HTTP service: requests are still under way, their memory is left behind");
        return;
    }
    worker_destroy(http->loaders);
    worker_destroy(http->workers); // a worker that has replied may still be waking its loop
    if (!http1_server_destroy(http->net, DESTROY_WAIT_MS)) {
        return;
    }
    infer_pool_destroy(http->infers);
    if (http->allocator != NULL) {
        http_drop_error(TRITONSERVER_ResponseAllocatorDelete(http->allocator),
                        "deleting the response allocator");
    }
    body_locks_finish(http->locks);
    buffer_pool_destroy(http->pool);
    body_locks_free(http->locks);
    header_pattern_destroy(http->forward);
    str_fini(&http->metadata);
    mem_free(http);
}
