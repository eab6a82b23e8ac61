// SPDX-License-Identifier: Apache-2.0
// The handle: made of a URL and options, counted, destroyed.
//
// The order of destruction: the loop ends all calls and the link closes its connections; then the worker (a name may still be looked
// up) and the loop end; what is left, the stocks, goes with the last response or call handle that someone holds.
#include "client/client.h"

#include "base/mem.h"
#include "client/response.h"

enum {
    CONNECT_MS = 10000,
    BACKOFF_MS = 100,
    HTTP_CONNECTIONS = 64,
    IDLE_BYTES = 64 * 1024 * 1024, // of buffers for answers
    LOOKUP_THREADS = 1,
};

void client_ref(struct nrd_client *client)
{
    atomic_fetch_add_explicit(&client->references, 1, memory_order_relaxed);
}

void client_unref(struct nrd_client *client)
{
    if (atomic_fetch_sub_explicit(&client->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    call_stock_fini(client);
    response_stock_fini(client);
    buffer_pool_destroy(client->buffers);
    client_url_fini(&client->url);
    str_fini(&client->headers);
    str_fini(&client->tls_name);
    if (client->lock_made) {
        pthread_mutex_destroy(&client->lock);
    }
    mem_free(client);
}

struct nrd_status *client_may_wait(const struct nrd_client *client)
{
    if (!loop_is_current(client->loop)) {
        return NULL;
    }
    return status_new(NRD_INVALID_ARG,
                      "%s: a call that waits was made on the client's own loop, in a callback",
                      str_cstr(&client->url.text));
}

// ---- options --------------------------------------------------------------------------------------------------------

// RFC 9110 5.6.2 names, and values without control characters: so that a header stays one line.
static bool header_is_plain(const struct nrd_client_header *header)
{
    if (header->name == NULL || header->name[0] == '\0' || header->value == NULL) {
        return false;
    }
    for (const char *c = header->name; *c != '\0'; c++) {
        bool alnum = (*c >= '0' && *c <= '9') || ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z');
        if (!alnum && strchr("!#$%&'*+-.^_`|~", *c) == NULL) {
            return false;
        }
    }
    for (const char *c = header->value; *c != '\0'; c++) {
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f) {
            return false;
        }
    }
    return true;
}

static struct nrd_status *take_headers(struct nrd_client *client,
                                       const struct nrd_client_options *o)
{
    for (size_t i = 0; i < o->header_count; i++) {
        const struct nrd_client_header *header = &o->headers[i];
        if (!header_is_plain(header)) {
            return status_new(NRD_INVALID_ARG, "%s: header %zu ('%s') is malformed",
                              str_cstr(&client->url.text), i,
                              header->name == NULL ? "" : header->name);
        }
        str_printf(&client->headers, "%s: %s\r\n", header->name, header->value);
    }
    return str_status(&client->headers);
}

static struct nrd_status *take_options(struct nrd_client *client,
                                       const struct nrd_client_options *given)
{
    if (given != NULL) {
        client->options = *given;
    }
    struct nrd_client_options *o = &client->options;
    o->connect_timeout_ms = o->connect_timeout_ms > 0 ? o->connect_timeout_ms : CONNECT_MS;
    o->backoff_ms = o->backoff_ms > 0 ? o->backoff_ms : BACKOFF_MS;
    if (o->max_connections == 0) {
        o->max_connections = client->url.grpc ? 1 : HTTP_CONNECTIONS;
    }
    if (o->max_response == 0 || o->max_response > INT32_MAX) {
        o->max_response = INT32_MAX;
    }
    NRD_TRY(take_headers(client, o));
    o->headers = NULL;
    if (client->url.tls) {
        const struct tls_client_options tls = {
            .certificate = o->tls_certificate,
            .key = o->tls_key,
            .root = o->tls_ca,
            .insecure = o->tls_insecure,
            .http2 = client->url.grpc,
        };
        NRD_TRY(tls_client_create(&tls, &client->tls));
        str_append_cstr(&client->tls_name,
                        o->tls_name != NULL ? o->tls_name : str_cstr(&client->url.host));
    }
    return str_status(&client->tls_name);
}

// ---- life -----------------------------------------------------------------------------------------------------------

static void run_stop(struct loop_task *task)
{
    struct nrd_client *client = CONTAINER_OF(task, struct nrd_client, stop_task);
    client->stopping = true;
    call_end_all(client);
    stream_end_all(client);
    client->link->stop(client->link);
}

void client_link_stopped(struct nrd_client *client)
{
    if (!client->link_stopped) {
        client->link_stopped = true;
        parking_wake(&client->stopped);
    }
}

static struct nrd_status *start(struct nrd_client *client)
{
    const struct nrd_client_options *o = &client->options;
    NRD_TRY(loop_create(&client->loop));
    NRD_TRY(worker_create("nrd-lookup", LOOKUP_THREADS, &client->worker));
    NRD_TRY(connector_create(client->loop, client->worker, str_cstr(&client->url.host),
                             client->url.port, o->connect_timeout_ms, &client->connector));
    NRD_TRY(client->url.grpc ? grpc_link_create(client, &client->link)
                             : http_link_create(client, &client->link));
    return loop_start(client->loop, "nrd-client");
}

struct nrd_status *nrd_client_create(const char *url, const struct nrd_client_options *options,
                                     struct nrd_client **out)
{
    struct nrd_client *client = mem_calloc(1, sizeof(*client));
    if (client == NULL) {
        return status_no_memory();
    }
    atomic_init(&client->references, 1);
    list_init(&client->calls);
    list_init(&client->streams);
    list_init(&client->idle_calls);
    list_init(&client->idle_responses);
    parking_init(&client->stopped);
    client->stop_task.run = run_stop;
    client->lock_made = pthread_mutex_init(&client->lock, NULL) == 0;
    client->buffers = buffer_pool_create(IDLE_BYTES);
    struct nrd_status *status =
        client->lock_made && client->buffers != NULL ? NULL : status_no_memory();
    if (status == NULL) {
        status = client_url_parse(url, &client->url);
    }
    if (status == NULL) {
        status = take_options(client, options);
    }
    if (status == NULL) {
        status = start(client);
    }
    if (status != NULL) {
        nrd_client_destroy(client);
        return status;
    }
    *out = client;
    return NULL;
}

void nrd_client_destroy(struct nrd_client *client)
{
    if (client == NULL) {
        return;
    }
    if (client->loop != NULL && loop_is_running(client->loop)) {
        loop_post(client->loop, &client->stop_task);
        (void)parking_wait(&client->stopped, 0);
    }
    worker_destroy(client->worker);
    loop_destroy(client->loop);
    client->loop = NULL;
    if (client->link != NULL) {
        client->link->destroy(client->link);
    }
    connector_destroy(client->connector);
    tls_client_destroy(client->tls);
    client_unref(client);
}

const char *nrd_client_url(const struct nrd_client *client)
{
    return str_cstr(&client->url.text);
}

bool nrd_client_is_grpc(const struct nrd_client *client)
{
    return client->url.grpc;
}

bool nrd_client_is_local(const struct nrd_client *client)
{
    return connector_is_local(str_cstr(&client->url.host), client->url.port);
}
