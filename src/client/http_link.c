// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 calls: a pool of connections, each with one call at a time; calls beyond them wait in their order.
//
// A kept connection may have died unseen. If it ends before a byte of the answer and the call may be repeated, all idle connections
// are dropped (they died with it, as a rule) and the call goes first again, on a new one. Connecting is tried
// `retries` more times with growing pauses; when that fails and no connection is left, every waiting call fails.
// Start at submit() and pump().
#include "client/client.h"
#include "client/redial.h"

#include "base/mem.h"

enum { REPEATS_MAX = 2 };

struct http_link {
    struct client_link link;
    struct nrd_client *client;
    struct http1_client_shared shared;
    struct list_node idle;    // connections, last used first
    struct list_node others;  // connecting or busy
    struct list_node waiting; // calls
    unsigned waiting_count;
    unsigned total; // connections
    unsigned connecting;
    struct redial redial;
};

struct http_conn {
    struct list_node node;
    struct http_link *link;
    struct connect_attempt attempt;
    struct http1_client *client; // NULL: connecting
    bool used;                   // it has carried a call to its end
    char reason[TLS_REASON];
};

static void pump(struct http_link *link);

static struct nrd_client_call *call_of(struct http1_exchange *x)
{
    return CONTAINER_OF(x, struct nrd_client_call, exchange);
}

static void check_stopped(struct http_link *link)
{
    if (link->client->stopping && link->total == 0) {
        client_link_stopped(link->client);
    }
}

static void forget_conn(struct http_conn *conn)
{
    struct http_link *link = conn->link;
    list_remove(&conn->node);
    link->total--;
    mem_free(conn);
    check_stopped(link);
}

// ---- connecting -----------------------------------------------------------------------------------------------------

static void fail_waiting(struct http_link *link, const char *why)
{
    struct list_node failing;
    list_init(&failing);
    struct list_node *node;
    while ((node = list_pop_front(&link->waiting)) != NULL) {
        list_push_back(&failing, node);
    }
    link->waiting_count = 0;
    while ((node = list_pop_front(&failing)) != NULL) {
        struct nrd_client_call *call = CONTAINER_OF(node, struct nrd_client_call, pending);
        call_finish(call, call_failed(call, NRD_UNAVAILABLE, "cannot connect: %s", why));
    }
}

static void connect_failed(struct http_link *link, const char *why)
{
    if (!link->client->stopping && !redial_failed(&link->redial) && link->total == 0) {
        fail_waiting(link, why);
    }
}

static void dial_again(struct redial *redial)
{
    pump(CONTAINER_OF(redial, struct http_link, redial));
}

// Makes an HTTP connection of a connected socket. NULL: no memory.
static struct http1_client *open_client(struct http_conn *conn, int fd)
{
    struct http_link *link = conn->link;
    struct nrd_client *client = link->client;
    if (client->tls == NULL) {
        return http1_client_create(&link->shared, fd, &stream_transport_tcp, NULL, NULL, conn);
    }
    void *session =
        tls_client_session_create(client->tls, fd, str_cstr(&client->tls_name), conn->reason);
    const struct stream_transport *transport = &stream_transport_tls;
    if (session == NULL) {
        transport = &stream_transport_tcp; // to have the descriptor closed
        struct http1_client *none =
            http1_client_create(&link->shared, fd, transport, NULL, NULL, conn);
        if (none != NULL) {
            http1_client_close(none, "out of memory for a TLS session");
        }
        return none;
    }
    return http1_client_create(&link->shared, fd, transport, session, conn->reason, conn);
}

static void connected(struct connect_attempt *attempt, int fd, const char *why)
{
    struct http_conn *conn = CONTAINER_OF(attempt, struct http_conn, attempt);
    struct http_link *link = conn->link;
    link->connecting--;
    if (fd >= 0) {
        conn->client = open_client(conn, fd);
        why = "out of memory";
    }
    if (conn->client == NULL) {
        char text[192];
        size_t length = strnlen(why, sizeof(text) - 1);
        memcpy(text, why, length);
        text[length] = '\0';
        forget_conn(conn);
        connect_failed(link, text);
        return;
    }
    redial_connected(&link->redial);
    list_remove(&conn->node);
    list_push_front(&link->idle, &conn->node);
    pump(link);
}

static void open_conn(struct http_link *link)
{
    struct http_conn *conn = mem_calloc(1, sizeof(*conn));
    if (conn == NULL) {
        connect_failed(link, "out of memory");
        return;
    }
    conn->link = link;
    conn->attempt.done = connected;
    list_push_back(&link->others, &conn->node);
    link->total++;
    link->connecting++;
    connector_begin(link->client->connector, &conn->attempt);
}

// ---- calls ----------------------------------------------------------------------------------------------------------

static void send_call(struct http_conn *conn, struct nrd_client_call *call)
{
    list_remove(&conn->node);
    list_push_back(&conn->link->others, &conn->node);
    call->conn = conn;
    http1_client_send(conn->client, &call->exchange);
}

// Gives waiting calls to idle connections, and opens new ones for the rest.
static void pump(struct http_link *link)
{
    while (!list_empty(&link->waiting) && !list_empty(&link->idle)) {
        struct http_conn *conn = CONTAINER_OF(link->idle.next, struct http_conn, node);
        if (!http1_client_ready(conn->client)) { // it is closing
            list_remove(&conn->node);
            list_push_back(&link->others, &conn->node);
            continue;
        }
        struct list_node *node = list_pop_front(&link->waiting);
        link->waiting_count--;
        send_call(conn, CONTAINER_OF(node, struct nrd_client_call, pending));
    }
    while (link->waiting_count > link->connecting &&
           link->total < link->client->options.max_connections && !link->redial.waiting &&
           !link->client->stopping) {
        if (link->redial.failures > 0 && link->connecting > 0) {
            return; // a server that was not there is knocked at by one
        }
        unsigned before = link->connecting;
        open_conn(link);
        if (link->connecting == before) {
            return;
        }
    }
}

static size_t head_came(struct http1_exchange *x, const struct http1_head *head)
{
    struct nrd_client_call *call = call_of(x);
    uint64_t size;
    struct slice text =
        http1_find(head->headers, head->header_count, SLICE("Inference-Header-Content-Length"));
    call->json_size = text.ptr != NULL && slice_to_u64(text, &size) ? (size_t)size : SIZE_MAX;
    text = http1_find(head->headers, head->header_count, SLICE("Content-Encoding"));
    call->inflate = text.len > 0 && !slice_equal_nocase(text, SLICE("identity"));
    return call->json_size == SIZE_MAX ? 0 : call->json_size;
}

static void submit(struct client_link *base, struct nrd_client_call *call)
{
    struct http_link *link = CONTAINER_OF(base, struct http_link, link);
    if (call->chunk_capacity < call->part_count) {
        struct stream_chunk *chunks =
            mem_realloc(call->chunks, call->part_capacity * sizeof(*chunks));
        if (chunks == NULL) {
            call_finish(call, status_no_memory());
            return;
        }
        call->chunks = chunks;
        call->chunk_capacity = call->part_capacity;
    }
    for (unsigned i = 0; i < call->part_count; i++) {
        call->chunks[i] =
            (struct stream_chunk){.ptr = call->parts[i].iov_base, .len = call->parts[i].iov_len};
    }
    call->exchange = (struct http1_exchange){
        .chunks = call->chunks, .chunk_count = call->part_count, .head = head_came};
    call->conn = NULL;
    list_push_back(&link->waiting, &call->pending);
    link->waiting_count++;
    pump(link);
}

static void drop_idle(struct http_link *link)
{
    while (!list_empty(&link->idle)) {
        struct http_conn *conn = CONTAINER_OF(list_pop_front(&link->idle), struct http_conn, node);
        list_push_back(&link->others, &conn->node);
        http1_client_close(conn->client, "the connection is old");
    }
}

static void exchange_done(struct http1_client *client, struct http1_exchange *x, const char *why)
{
    struct http_conn *conn = http1_client_data(client);
    struct http_link *link = conn->link;
    struct nrd_client_call *call = call_of(x);
    bool stale = why != NULL && !x->heard && conn->used && call->ending == NULL &&
                 call->repeatable && call->repeats < REPEATS_MAX && !link->client->stopping;
    call->conn = NULL;
    conn->used = true;
    if (http1_client_ready(client)) {
        list_remove(&conn->node);
        list_push_front(&link->idle, &conn->node);
    }
    if (stale) {
        buffer_pool_put(link->client->buffers, x->buffer);
        drop_idle(link);
        call->repeats++;
        list_push_front(&link->waiting, &call->pending);
        link->waiting_count++;
    } else {
        call->status = (int)x->status;
        call->reply = x->body;
        call->reply_size = x->size;
        call->buffer = x->buffer;
        call_finish(call, why == NULL ? NULL : call_failed(call, NRD_UNAVAILABLE, "%s", why));
    }
    pump(link);
}

static void connection_gone(struct http1_client *client)
{
    struct http_conn *conn = http1_client_data(client);
    struct http_link *link = conn->link;
    forget_conn(conn);
    if (!link->client->stopping) {
        pump(link);
    }
}

static const struct http1_client_user user = {.done = exchange_done, .gone = connection_gone};

static void cancel(struct client_link *base, struct nrd_client_call *call)
{
    struct http_link *link = CONTAINER_OF(base, struct http_link, link);
    if (call->conn != NULL) {
        // The answer to come has no other way to be told from the next one.
        http1_client_close(call->conn->client, "cancelled");
        return;
    }
    list_remove(&call->pending);
    link->waiting_count--;
    call_finish(call, NULL);
}

// ---- life -----------------------------------------------------------------------------------------------------------

static void stop(struct client_link *base)
{
    struct http_link *link = CONTAINER_OF(base, struct http_link, link);
    redial_stop(&link->redial);
    drop_idle(link);
    LIST_FOR_SAFE(node, &link->others)
    {
        struct http_conn *conn = CONTAINER_OF(node, struct http_conn, node);
        if (conn->client == NULL) {
            connector_cancel(&conn->attempt);
            link->connecting--;
            list_remove(&conn->node);
            link->total--;
            mem_free(conn);
        } else {
            http1_client_close(conn->client, "the client is being destroyed");
        }
    }
    check_stopped(link);
}

static void destroy(struct client_link *base)
{
    mem_free(CONTAINER_OF(base, struct http_link, link));
}

struct nrd_status *http_link_create(struct nrd_client *client, struct client_link **out)
{
    struct http_link *link = mem_calloc(1, sizeof(*link));
    if (link == NULL) {
        return status_no_memory();
    }
    link->link =
        (struct client_link){.submit = submit, .cancel = cancel, .stop = stop, .destroy = destroy};
    link->client = client;
    link->shared.loop = client->loop;
    link->shared.buffers = client->buffers;
    link->shared.user = &user;
    link->shared.max_body = (size_t)client->options.max_response;
    list_init(&link->idle);
    list_init(&link->others);
    list_init(&link->waiting);
    redial_init(&link->redial, client->loop, client->options.retries, client->options.backoff_ms,
                dial_again);
    *out = &link->link;
    return NULL;
}
