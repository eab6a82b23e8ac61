// SPDX-License-Identifier: Apache-2.0
// The metrics endpoint: a server of its own on its own port, with one loop, on which formatting may take its time.
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/http_api.h"

#define POOL_MAX_IDLE (1024 * 1024)
#define MAX_BODY (64 * 1024)
#define DESTROY_WAIT_MS 5000

struct metrics_server {
    TRITONSERVER_Server *triton;
    struct http1_server *net;
    struct buffer_pool *pool;
};

#define TYPE_METRICS SLICE("Content-Type: text/plain; charset=utf-8\r\n")

static struct nrd_status *format(TRITONSERVER_Server *triton, struct str *out)
{
    TRITONSERVER_Metrics *metrics = NULL;
    NRD_TRY(error_to_status(TRITONSERVER_ServerMetrics(triton, &metrics)));
    const char *base = NULL;
    size_t size = 0;
    struct nrd_status *status = error_to_status(
        TRITONSERVER_MetricsFormatted(metrics, TRITONSERVER_METRIC_PROMETHEUS, &base, &size));
    if (status == NULL) {
        str_append(out, base, size);
    }
    http_drop_error(TRITONSERVER_MetricsDelete(metrics), "deleting metrics");
    return status;
}

static void handle(void *user, struct http1_request *request)
{
    struct metrics_server *server = user;
    struct slice path = request->head.path;
    if (request->head.method != HTTP1_GET) {
        http_reply_not_allowed(request, false);
        return;
    }
    // Any other path is 200 without a body, as it is with Triton.
    struct nrd_status *status = NULL;
    if (slice_equal(path, SLICE("/metrics")) || slice_equal(path, SLICE("/metrics/"))) {
        status = format(server->triton, http1_text(request));
    }
    if (status == NULL) {
        http1_reply(request, 200, TYPE_METRICS, true, NULL);
        return;
    }
    struct str *out = http1_text(request);
    str_clear(out);
    str_append_slice(out, SLICE("{\"error\":"));
    json_escape(out, slice_of(status_text(status)));
    str_append_char(out, '}');
    http1_reply(request, code_http(status_code(status)), TYPE_METRICS, true, NULL);
    status_free(status);
}

struct nrd_status *metrics_server_create(TRITONSERVER_Server *server,
                                         const struct metrics_server_options *options,
                                         struct metrics_server **out)
{
    struct metrics_server *metrics = mem_calloc(1, sizeof(*metrics));
    if (metrics == NULL) {
        return status_no_memory();
    }
    const char *address = options->address == NULL ? "0.0.0.0" : options->address;
    metrics->triton = server;
    metrics->pool = buffer_pool_create(POOL_MAX_IDLE);
    struct nrd_status *status = metrics->pool == NULL ? status_no_memory() : NULL;
    if (status == NULL) {
        struct http1_options net = {
            .address = address,
            .port = options->port,
            .threads = 1,
            .thread_name = "metrics",
            .max_body = MAX_BODY,
            .pool = metrics->pool,
            .handle = handle,
            .user = metrics,
        };
        status = http1_server_create(&net, &metrics->net);
    }
    if (status == NULL) {
        status = http1_server_start(metrics->net);
    }
    if (status != NULL) {
        metrics_server_destroy(metrics);
        return status;
    }
    LOG_NOTE("Started Metrics Service at %s:%d", address, http1_server_port(metrics->net));
    *out = metrics;
    return NULL;
}

int metrics_server_port(const struct metrics_server *metrics)
{
    return http1_server_port(metrics->net);
}

void metrics_server_stop(struct metrics_server *metrics, unsigned *seconds)
{
    http1_server_stop_accepting(metrics->net);
    unsigned count;
    while (*seconds > 0 && (count = http1_server_connections(metrics->net)) > 0) {
        LOG_NOTE("Timeout %u: Found %u Metrics service connections", *seconds, count);
        sleep(1);
        (*seconds)--;
    }
}

void metrics_server_destroy(struct metrics_server *metrics)
{
    if (metrics == NULL || !http1_server_destroy(metrics->net, DESTROY_WAIT_MS)) {
        return;
    }
    if (metrics->pool != NULL) {
        buffer_pool_destroy(metrics->pool);
    }
    mem_free(metrics);
}
