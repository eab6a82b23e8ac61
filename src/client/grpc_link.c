// SPDX-License-Identifier: Apache-2.0
// gRPC calls: spread over one or a few HTTP/2 connections (channels), fewest calls first.
//
//   begin ─▶ waiting ─channel open─▶ open ─closed─▶ over()
//
// A channel whose server says goodbye takes no more calls and ends with its last one; the next call opens another. A call that
// was not looked at (refused, or its kept channel was dead) may be made again by its user. Memory of a message is
// the caller's again when its body is released, which may be after the call is over; a server that does not take it for
// GRACE_MS loses the connection. Start at grpc_link_begin() and pump().
#include "client/client.h"
#include "client/compress.h"
#include "client/redial.h"

#include "base/mem.h"

enum { REPEATS_MAX = 2, GRACE_MS = 1000, EXTRA_MAX = 15 };

struct grpc_link {
    struct client_link link;
    struct nrd_client *client;
    struct grpc_client_shared shared;
    struct http2_home *home;
    struct list_node channels;
    struct list_node waiting; // struct grpc_rpc
    unsigned total;           // channels
    unsigned connecting;
    struct redial redial;
    struct str names; // of `extra`
    struct http2_field extra[EXTRA_MAX + 1];
    unsigned extra_count;
};

struct grpc_channel {
    struct list_node node;
    struct grpc_link *link;
    struct connect_attempt attempt;
    struct http2_connection *connection; // NULL: connecting
    unsigned calls;
    bool used; // a call has come to its end on it
    char reason[TLS_REASON];
};

static void pump(struct grpc_link *link);

static struct grpc_link *link_of(struct client_link *base)
{
    return CONTAINER_OF(base, struct grpc_link, link);
}

static struct grpc_rpc *rpc_of(struct grpc_client_call *call)
{
    return CONTAINER_OF(call, struct grpc_rpc, call);
}

static void check_stopped(struct grpc_link *link)
{
    if (link->client->stopping && link->total == 0) {
        client_link_stopped(link->client);
    }
}

static void forget_channel(struct grpc_channel *channel)
{
    struct grpc_link *link = channel->link;
    list_remove(&channel->node);
    link->total--;
    mem_free(channel);
    check_stopped(link);
}

// ---- connecting -----------------------------------------------------------------------------------------------------

static void fail_waiting(struct grpc_link *link, int status, struct slice text)
{
    struct list_node failing;
    list_init(&failing);
    struct list_node *node;
    while ((node = list_pop_front(&link->waiting)) != NULL) {
        list_push_back(&failing, node);
    }
    while ((node = list_pop_front(&failing)) != NULL) {
        struct grpc_rpc *rpc = CONTAINER_OF(node, struct grpc_rpc, node);
        rpc->over(rpc, status, text, false);
    }
}

static void connect_failed(struct grpc_link *link, const char *why)
{
    if (link->client->stopping || redial_failed(&link->redial) || link->connecting > 0) {
        return;
    }
    struct str text = STR_INIT;
    str_printf(&text, "cannot connect: %s", why);
    fail_waiting(link, GRPC_UNAVAILABLE, str_slice(&text));
    str_fini(&text);
}

static void dial_again(struct redial *redial)
{
    pump(CONTAINER_OF(redial, struct grpc_link, redial));
}

static struct http2_connection *open_connection(struct grpc_channel *channel, int fd)
{
    struct grpc_link *link = channel->link;
    struct nrd_client *client = link->client;
    if (client->tls == NULL) {
        return http2_client_create(link->home, fd, &stream_transport_tcp, NULL, channel);
    }
    void *session =
        tls_client_session_create(client->tls, fd, str_cstr(&client->tls_name), channel->reason);
    if (session == NULL) { // made only to have the descriptor closed
        struct http2_connection *none =
            http2_client_create(link->home, fd, &stream_transport_tcp, NULL, channel);
        if (none != NULL) {
            http2_connection_abort(none);
        }
        return none;
    }
    return http2_client_create(link->home, fd, &stream_transport_tls, session, channel);
}

static void connected(struct connect_attempt *attempt, int fd, const char *why)
{
    struct grpc_channel *channel = CONTAINER_OF(attempt, struct grpc_channel, attempt);
    struct grpc_link *link = channel->link;
    link->connecting--;
    if (fd >= 0) {
        channel->connection = open_connection(channel, fd);
        why = "out of memory";
    }
    if (channel->connection == NULL) {
        forget_channel(channel);
        connect_failed(link, why);
        return;
    }
    redial_connected(&link->redial);
    pump(link);
}

static void open_channel(struct grpc_link *link)
{
    struct grpc_channel *channel = mem_calloc(1, sizeof(*channel));
    if (channel == NULL) {
        connect_failed(link, "out of memory");
        return;
    }
    channel->link = link;
    channel->attempt.done = connected;
    list_push_back(&link->channels, &channel->node);
    link->total++;
    link->connecting++;
    connector_begin(link->client->connector, &channel->attempt);
}

// ---- calls ----------------------------------------------------------------------------------------------------------

// The open channel with the fewest calls; `*open` counts those that take calls.
static struct grpc_channel *best_channel(struct grpc_link *link, unsigned *open)
{
    struct grpc_channel *best = NULL;
    *open = 0;
    LIST_FOR(node, &link->channels)
    {
        struct grpc_channel *channel = CONTAINER_OF(node, struct grpc_channel, node);
        if (channel->connection != NULL && http2_client_open(channel->connection)) {
            (*open)++;
            if (best == NULL || channel->calls < best->calls) {
                best = channel;
            }
        }
    }
    return best;
}

static bool begin_on(struct grpc_channel *channel, struct grpc_rpc *rpc)
{
    struct grpc_link *link = channel->link;
    const struct grpc_client_target target = {
        .tls = link->client->url.tls,
        .authority = str_slice(&link->client->url.target),
        .path = rpc->path,
        .timeout_ms = rpc->timeout_ms,
        .extra = link->extra,
        .extra_count = link->extra_count,
    };
    if (!grpc_client_begin(&link->shared, channel->connection, &rpc->call, &target)) {
        return false;
    }
    rpc->channel = channel;
    rpc->open = true;
    channel->calls++;
    rpc->begun(rpc);
    return true;
}

static void pump(struct grpc_link *link)
{
    unsigned open = 0;
    struct grpc_channel *best;
    while (!list_empty(&link->waiting) && (best = best_channel(link, &open)) != NULL) {
        struct grpc_rpc *rpc = CONTAINER_OF(list_pop_front(&link->waiting), struct grpc_rpc, node);
        bool spread = best->calls > 0;
        if (!begin_on(best, rpc)) {
            rpc->over(rpc, GRPC_UNAVAILABLE, SLICE("out of memory"), false);
        }
        if (spread && link->connecting == 0 && open < link->client->options.max_connections &&
            !link->redial.waiting && !link->client->stopping) {
            open_channel(link);
        }
    }
    if (!list_empty(&link->waiting) && link->connecting == 0 && !link->redial.waiting &&
        !link->client->stopping) {
        open_channel(link);
    }
}

void grpc_link_begin(struct client_link *base, struct grpc_rpc *rpc)
{
    struct grpc_link *link = link_of(base);
    rpc->channel = NULL;
    rpc->open = false;
    rpc->call.heard = false;
    if (link->client->stopping) {
        rpc->over(rpc, GRPC_CANCELLED, SLICE("the client is being destroyed"), false);
        return;
    }
    list_push_back(&link->waiting, &rpc->node);
    pump(link);
}

void grpc_link_cancel(struct client_link *base, struct grpc_rpc *rpc, int status, struct slice text)
{
    (void)base;
    if (rpc->open) {
        grpc_client_cancel(&rpc->call, status, text);
    } else if (!list_empty(&rpc->node)) {
        list_remove(&rpc->node);
        rpc->over(rpc, status, text, false);
    }
}

void grpc_link_break(struct grpc_rpc *rpc)
{
    if (rpc->channel != NULL && rpc->channel->connection != NULL) {
        http2_connection_abort(rpc->channel->connection);
    }
}

static void call_message(struct grpc_client_call *call, struct grpc_message message)
{
    struct grpc_rpc *rpc = rpc_of(call);
    rpc->message(rpc, message);
}

static void call_closed(struct grpc_client_call *call, int status, struct slice text,
                        bool never_begun)
{
    struct grpc_rpc *rpc = rpc_of(call);
    struct grpc_channel *channel = rpc->channel;
    bool broke = status == GRPC_UNAVAILABLE && !call->heard;
    bool repeatable = never_begun || (broke && channel->used);
    rpc->open = false;
    channel->calls--;
    channel->used |= call->heard;
    if (broke && channel->reason[0] != '\0') {
        text = slice_of(channel->reason);
        repeatable = false;
    }
    rpc->over(rpc, status, text, repeatable && !channel->link->client->stopping);
}

static void connection_gone(struct http2_connection *connection)
{
    struct grpc_channel *channel = http2_connection_data(connection);
    struct grpc_link *link = channel->link;
    forget_channel(channel);
    if (!link->client->stopping) {
        pump(link);
    }
}

// ---- calls of one request ---------------------------------------------------------------------------------------------

static struct nrd_client_call *call_of(struct grpc_rpc *rpc)
{
    return CONTAINER_OF(rpc, struct nrd_client_call, rpc);
}

static void settle(struct nrd_client_call *call)
{
    if (!call->rpc_over || call->sending) {
        return;
    }
    if (call->again && call->ending == NULL) {
        call->again = call->rpc_over = false;
        buffer_pool_put(call->client->buffers, call->buffer);
        call->buffer = NULL;
        call->repeats++;
        grpc_link_begin(call->client->link, &call->rpc);
        return;
    }
    // What was not heard from the server is no status of its.
    bool ours = call->status != GRPC_OK && !call->rpc.call.heard;
    call_finish(call,
                ours ? call_failed(call, code_from_grpc(call->status), "%s", str_cstr(&call->text))
                     : NULL);
}

// The call is over and the server does not take what was on its way.
static void grace_over(struct loop_timer *timer)
{
    struct nrd_client_call *call = CONTAINER_OF(timer, struct nrd_client_call, timer);
    grpc_link_break(&call->rpc);
}

static void start_grace(struct nrd_client_call *call)
{
    if (call->has_timer) {
        loop_timer_stop(&call->timer);
    }
    call->has_timer = true;
    loop_timer_init(&call->timer, call->client->loop, grace_over);
    loop_timer_start(&call->timer, GRACE_MS);
}

static void message_released(struct http2_body *body)
{
    struct nrd_client_call *call = CONTAINER_OF(body, struct nrd_client_call, message);
    call->sending = false;
    settle(call);
}

static void unary_begun(struct grpc_rpc *rpc)
{
    struct nrd_client_call *call = call_of(rpc);
    call->message = (struct http2_body){
        .parts = call->parts, .part_count = call->part_count, .release = message_released};
    call->sending = true;
    grpc_client_send(&rpc->call, &call->message);
    grpc_client_half_close(&rpc->call);
}

static void unary_message(struct grpc_rpc *rpc, struct grpc_message message)
{
    struct nrd_client_call *call = call_of(rpc);
    if (call->buffer != NULL) {
        grpc_message_free(call->client->buffers, &message);
        grpc_client_cancel(&rpc->call, GRPC_INTERNAL,
                           SLICE("the server sent several answers to one request"));
        return;
    }
    call->reply = message.bytes;
    call->reply_size = message.size;
    call->buffer = message.buffer;
}

static void unary_over(struct grpc_rpc *rpc, int status, struct slice text, bool repeatable)
{
    struct nrd_client_call *call = call_of(rpc);
    if (status == GRPC_OK && call->buffer == NULL) {
        status = GRPC_INTERNAL;
        text = SLICE("the server ended the call without an answer");
    }
    call->again = repeatable && call->repeatable && call->repeats < REPEATS_MAX;
    call->rpc_over = true;
    call->status = status;
    str_clear(&call->text);
    str_append_slice(&call->text, text);
    if (call->sending && call->ending == NULL) {
        start_grace(call);
    }
    settle(call);
}

static void submit(struct client_link *base, struct nrd_client_call *call)
{
    call->rpc.path = call->path;
    call->rpc.timeout_ms = call->timeout_ms;
    call->rpc.begun = unary_begun;
    call->rpc.message = unary_message;
    call->rpc.over = unary_over;
    list_init(&call->rpc.node);
    call->sending = call->rpc_over = call->again = false;
    grpc_link_begin(base, &call->rpc);
}

static void cancel(struct client_link *base, struct nrd_client_call *call)
{
    if (call->rpc.open || call->sending) {
        start_grace(call);
    }
    grpc_link_cancel(base, &call->rpc, GRPC_CANCELLED, SLICE("cancelled"));
}

// ---- life -----------------------------------------------------------------------------------------------------------

static void stop(struct client_link *base)
{
    struct grpc_link *link = link_of(base);
    redial_stop(&link->redial);
    fail_waiting(link, GRPC_CANCELLED, SLICE("the client is being destroyed"));
    LIST_FOR_SAFE(node, &link->channels)
    {
        struct grpc_channel *channel = CONTAINER_OF(node, struct grpc_channel, node);
        if (channel->connection == NULL) {
            connector_cancel(&channel->attempt);
            link->connecting--;
            list_remove(&channel->node);
            link->total--;
            mem_free(channel);
        }
    }
    http2_home_close(link->home);
    check_stopped(link);
}

static void destroy(struct client_link *base)
{
    struct grpc_link *link = link_of(base);
    http2_home_destroy(link->home);
    str_fini(&link->names);
    mem_free(link);
}

// The caller's headers ("name: value" lines) as metadata, names in lower case.
static struct nrd_status *take_metadata(struct grpc_link *link)
{
    struct nrd_client *client = link->client;
    str_append_slice(&link->names, str_slice(&client->headers));
    NRD_TRY(str_status(&link->names));
    struct slice rest = str_slice(&link->names);
    struct slice line;
    while (slice_cut(&rest, '\n', &line) && line.len > 0) {
        const char *colon = memchr(line.ptr, ':', line.len);
        size_t length = (size_t)(colon - line.ptr);
        if (link->extra_count == EXTRA_MAX) {
            return status_new(NRD_INVALID_ARG, "%s: more than %d headers",
                              str_cstr(&client->url.text), EXTRA_MAX);
        }
        char *name = link->names.ptr + (line.ptr - link->names.ptr);
        for (size_t i = 0; i < length; i++) {
            name[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
        }
        line.len -= line.ptr[line.len - 1] == '\r';
        link->extra[link->extra_count++] = (struct http2_field){
            slice_make(name, length),
            slice_trim(slice_make(colon + 1, line.len - length - 1)),
        };
    }
    const char *encoding = compress_name(client->options.request_compression);
    if (encoding != NULL) {
        link->extra[link->extra_count++] =
            (struct http2_field){SLICE("grpc-encoding"), slice_of(encoding)};
    }
    return NULL;
}

struct nrd_status *grpc_link_create(struct nrd_client *client, struct client_link **out)
{
    struct grpc_link *link = mem_calloc(1, sizeof(*link));
    if (link == NULL) {
        return status_no_memory();
    }
    link->link =
        (struct client_link){.submit = submit, .cancel = cancel, .stop = stop, .destroy = destroy};
    link->client = client;
    link->shared = (struct grpc_client_shared){
        .buffers = client->buffers,
        .max_message = (size_t)client->options.max_response,
        .message = call_message,
        .closed = call_closed,
        .gone = connection_gone,
    };
    list_init(&link->channels);
    list_init(&link->waiting);
    redial_init(&link->redial, client->loop, client->options.retries, client->options.backoff_ms,
                dial_again);
    static const struct http2_options options = {.min_ping_interval_ms = 0};
    struct nrd_status *status = take_metadata(link);
    if (status == NULL) {
        status = http2_home_create(client->loop, &options, &grpc_client_http2_user, &link->shared,
                                   &link->home);
    }
    if (status != NULL) {
        destroy(&link->link);
        return status;
    }
    *out = &link->link;
    return NULL;
}
