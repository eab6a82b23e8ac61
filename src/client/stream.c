// SPDX-License-Identifier: Apache-2.0
// Streams: one ModelStreamInfer call of gRPC. Requests are calls of the client's stock, written by the sender's thread and posted to the
// stream; what comes back are ModelStreamInferResponses.
//
//   open ─▶ waiting for a connection (requests queue) ─▶ begun ─▶ over ─all bodies released─▶ closed()
//
// The handle and the loop share the stream; `closed` is what the user hears last. Start at nrd_client_stream_send() and over().
#include "client/infer.h"
#include "client/response.h"

#include "base/mem.h"
#include "proto/wire.h"

enum { GRACE_MS = 1000, STREAM_ERROR = 1, STREAM_RESPONSE = 2 };

struct nrd_client_stream {
    struct nrd_client *client; // shared
    _Atomic uint32_t references;
    struct nrd_client_stream_options options;
    _Atomic bool ended;    // half closed, cancelled or over: nothing more is taken
    _Atomic bool stopping; // cancel was asked for
    struct loop_task open_task;
    struct loop_task finish_task;
    struct loop_task cancel_task;
    // The loop's.
    struct list_node node; // in the client's streams
    struct grpc_rpc rpc;
    struct list_node queued; // requests that wait for the connection
    unsigned sending;        // requests whose bytes are not released
    bool begun;
    bool finished; // half closed
    bool over;
    bool told; // closed() was called
    int status;
    struct str text;
    bool has_timer;
    struct loop_timer timer;
};

static void stream_unref(struct nrd_client_stream *stream)
{
    if (atomic_fetch_sub_explicit(&stream->references, 1, memory_order_acq_rel) == 1) {
        struct nrd_client *client = stream->client;
        str_fini(&stream->text);
        mem_free(stream);
        client_unref(client);
    }
}

static void stream_ref(struct nrd_client_stream *stream)
{
    atomic_fetch_add_explicit(&stream->references, 1, memory_order_relaxed);
}

static NRD_PRINTF(3, 4) struct nrd_status *stream_failed(const struct nrd_client_stream *stream,
                                                         enum nrd_code code, const char *format,
                                                         ...)
{
    va_list args;
    va_start(args, format);
    struct nrd_status *status = status_newv(code, format, args);
    va_end(args);
    return status_wrap(status, "%s: stream: ", str_cstr(&stream->client->url.text));
}

// ---- the end --------------------------------------------------------------------------------------------------------

static void stop_timer(struct nrd_client_stream *stream)
{
    if (stream->has_timer) {
        stream->has_timer = false;
        loop_timer_stop(&stream->timer);
    }
}

static void settle(struct nrd_client_stream *stream)
{
    if (!stream->over || stream->sending > 0 || stream->told) {
        return;
    }
    stream->told = true;
    // A later cancel has no loop to go to, perhaps.
    atomic_store_explicit(&stream->stopping, true, memory_order_release);
    stop_timer(stream);
    list_remove(&stream->node);
    struct nrd_status *status = NULL;
    if (stream->status != GRPC_OK) {
        status = stream_failed(stream, code_from_grpc(stream->status), "%s",
                               stream->text.len > 0 ? str_cstr(&stream->text) : "no message");
    }
    stream->options.closed(stream->options.user, status);
    stream_unref(stream);
}

static void grace_over(struct loop_timer *timer)
{
    struct nrd_client_stream *stream = CONTAINER_OF(timer, struct nrd_client_stream, timer);
    grpc_link_break(&stream->rpc);
}

static void start_timer(struct nrd_client_stream *stream, uint64_t ms,
                        void (*fire)(struct loop_timer *timer))
{
    stop_timer(stream);
    stream->has_timer = true;
    loop_timer_init(&stream->timer, stream->client->loop, fire);
    loop_timer_start(&stream->timer, ms);
}

// The bytes of a request are its sender's again.
static void request_done(struct nrd_client_call *call)
{
    const struct nrd_client_stream_options *o = &call->stream->options;
    if (o->sent != NULL) {
        o->sent(o->user, call->user);
    }
    call_unref(call);
}

static void drop_queued(struct nrd_client_stream *stream)
{
    struct list_node *node;
    while ((node = list_pop_front(&stream->queued)) != NULL) {
        request_done(CONTAINER_OF(node, struct nrd_client_call, pending));
    }
}

static void over(struct grpc_rpc *rpc, int status, struct slice text, bool repeatable)
{
    struct nrd_client_stream *stream = CONTAINER_OF(rpc, struct nrd_client_stream, rpc);
    (void)repeatable; // what was sent is forgotten: a stream is not made again
    atomic_store_explicit(&stream->ended, true, memory_order_release);
    stream->over = true;
    stream->status = status;
    str_append_slice(&stream->text, text);
    drop_queued(stream);
    if (stream->sending > 0) {
        start_timer(stream, GRACE_MS, grace_over);
    }
    settle(stream);
}

static void end_now(struct nrd_client_stream *stream, int status, struct slice text)
{
    atomic_store_explicit(&stream->ended, true, memory_order_release);
    if (!stream->over) {
        // Should the server take no bytes, not even the farewell, the connection goes.
        start_timer(stream, GRACE_MS, grace_over);
        grpc_link_cancel(stream->client->link, &stream->rpc, status, text);
    }
}

static void time_over(struct loop_timer *timer)
{
    struct nrd_client_stream *stream = CONTAINER_OF(timer, struct nrd_client_stream, timer);
    struct str text = STR_INIT;
    str_printf(&text, "not over within %u ms", stream->options.timeout_ms);
    stream->has_timer = false;
    end_now(stream, GRPC_DEADLINE_EXCEEDED, str_slice(&text));
    str_fini(&text);
}

void stream_end_all(struct nrd_client *client)
{
    LIST_FOR_SAFE(node, &client->streams)
    {
        struct nrd_client_stream *stream = CONTAINER_OF(node, struct nrd_client_stream, node);
        end_now(stream, GRPC_CANCELLED, SLICE("the client is being destroyed"));
    }
}

// ---- requests -------------------------------------------------------------------------------------------------------

static void request_released(struct http2_body *body)
{
    struct nrd_client_call *call = CONTAINER_OF(body, struct nrd_client_call, message);
    struct nrd_client_stream *stream = call->stream;
    stream->sending--;
    request_done(call);
    settle(stream);
}

static void send_request(struct nrd_client_stream *stream, struct nrd_client_call *call)
{
    call->message = (struct http2_body){
        .parts = call->parts, .part_count = call->part_count, .release = request_released};
    stream->sending++;
    grpc_client_send(&stream->rpc.call, &call->message);
}

static void run_request(struct loop_task *task)
{
    struct nrd_client_call *call = CONTAINER_OF(task, struct nrd_client_call, stream_task);
    struct nrd_client_stream *stream = call->stream;
    if (stream->over || stream->finished) {
        request_done(call);
    } else if (stream->begun) {
        send_request(stream, call);
    } else {
        list_push_back(&stream->queued, &call->pending);
    }
    stream_unref(stream);
}

static void begun(struct grpc_rpc *rpc)
{
    struct nrd_client_stream *stream = CONTAINER_OF(rpc, struct nrd_client_stream, rpc);
    stream->begun = true;
    struct list_node *node;
    while ((node = list_pop_front(&stream->queued)) != NULL) {
        send_request(stream, CONTAINER_OF(node, struct nrd_client_call, pending));
    }
    if (stream->finished) {
        grpc_client_half_close(&rpc->call);
    }
}

// ---- responses ------------------------------------------------------------------------------------------------------

// Splits a ModelStreamInferResponse. False: malformed.
static bool split(struct slice message, struct slice *error, struct slice *response)
{
    struct wire_reader in = wire_reader_of(message);
    while (in.at < in.end) {
        uint32_t field;
        enum wire wire;
        struct slice value;
        if (!wire_read_tag(&in, &field, &wire)) {
            return false;
        }
        if (wire != WIRE_BYTES) {
            if (!wire_skip(&in, wire)) {
                return false;
            }
            continue;
        }
        if (!wire_read_bytes(&in, &value)) {
            return false;
        }
        *error = field == STREAM_ERROR ? value : *error;
        *response = field == STREAM_RESPONSE ? value : *response;
    }
    return true;
}

static struct nrd_status *read_message(struct nrd_client_stream *stream,
                                       struct grpc_message *message,
                                       struct nrd_client_response **out)
{
    struct slice error = {NULL, 0};
    struct slice body = {NULL, 0};
    if (!split(slice_make(message->bytes, message->size), &error, &body)) {
        return stream_failed(stream, NRD_INTERNAL, "malformed answer");
    }
    struct nrd_client_response *response = response_create(stream->client);
    if (response == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = response_read_grpc(body, response);
    if (status == NULL) {
        status = response_settle(response, NULL, 0, true);
    }
    if (status != NULL) {
        nrd_client_response_free(response);
        return status_wrap(status, "%s: stream: ", str_cstr(&stream->client->url.text));
    }
    response->buffer = message->buffer;
    message->buffer = NULL;
    *out = response;
    if (error.len == 0) {
        return NULL;
    }
    // The protocol has no code beside the text.
    return stream_failed(stream, NRD_UNKNOWN, "%.*s", (int)error.len, error.ptr);
}

static void got_message(struct grpc_rpc *rpc, struct grpc_message message)
{
    struct nrd_client_stream *stream = CONTAINER_OF(rpc, struct nrd_client_stream, rpc);
    struct nrd_client_response *response = NULL;
    struct nrd_status *status = read_message(stream, &message, &response);
    grpc_message_free(stream->client->buffers, &message);
    stream->options.response(stream->options.user, status, response);
}

// ---- what users call ------------------------------------------------------------------------------------------------

static void run_open(struct loop_task *task)
{
    struct nrd_client_stream *stream = CONTAINER_OF(task, struct nrd_client_stream, open_task);
    list_push_back(&stream->client->streams, &stream->node);
    if (stream->options.timeout_ms > 0) {
        start_timer(stream, stream->options.timeout_ms, time_over);
    }
    grpc_link_begin(stream->client->link, &stream->rpc);
}

static void run_finish(struct loop_task *task)
{
    struct nrd_client_stream *stream = CONTAINER_OF(task, struct nrd_client_stream, finish_task);
    stream->finished = true;
    if (stream->begun && !stream->over) {
        grpc_client_half_close(&stream->rpc.call);
    }
    stream_unref(stream);
}

static void run_cancel(struct loop_task *task)
{
    struct nrd_client_stream *stream = CONTAINER_OF(task, struct nrd_client_stream, cancel_task);
    end_now(stream, GRPC_CANCELLED, SLICE("cancelled by the caller"));
    stream_unref(stream);
}

struct nrd_status *nrd_client_stream_open(struct nrd_client *client,
                                          const struct nrd_client_stream_options *options,
                                          struct nrd_client_stream **out)
{
    if (!client->url.grpc) {
        return status_new(NRD_UNSUPPORTED, "%s: stream: only grpc:// and grpcs:// have streams",
                          str_cstr(&client->url.text));
    }
    if (options->response == NULL || options->closed == NULL) {
        return status_new(NRD_INVALID_ARG, "%s: stream: no function for responses or for the end",
                          str_cstr(&client->url.text));
    }
    struct nrd_client_stream *stream = mem_calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return status_no_memory();
    }
    client_ref(client);
    stream->client = client;
    stream->options = *options;
    atomic_init(&stream->references, 2); // the handle's, and the loop's until the end was told
    list_init(&stream->node);
    list_init(&stream->queued);
    list_init(&stream->rpc.node);
    stream->open_task.run = run_open;
    stream->finish_task.run = run_finish;
    stream->cancel_task.run = run_cancel;
    stream->rpc.path = "/inference.GRPCInferenceService/ModelStreamInfer";
    stream->rpc.timeout_ms = options->timeout_ms;
    stream->rpc.begun = begun;
    stream->rpc.message = got_message;
    stream->rpc.over = over;
    loop_post(client->loop, &stream->open_task);
    *out = stream;
    return NULL;
}

static bool lies_in(const char *at, const struct str *s)
{
    return s->len > 0 && (uintptr_t)at - (uintptr_t)s->ptr < s->len;
}

// Copies the tensors of a written request, so that the caller has them back at once.
static bool copy_parts(struct nrd_client_call *call)
{
    for (unsigned i = 0; i < call->part_count; i++) {
        struct iovec *part = &call->parts[i];
        if (lies_in(part->iov_base, &call->head) || lies_in(part->iov_base, &call->packed)) {
            continue;
        }
        void *copy = arena_alloc(&call->arena, part->iov_len);
        if (copy == NULL) {
            return false;
        }
        memcpy(copy, part->iov_base, part->iov_len);
        part->iov_base = copy;
    }
    return true;
}

struct nrd_status *nrd_client_stream_send(struct nrd_client_stream *stream,
                                          const struct nrd_client_request *request,
                                          void *request_user)
{
    if (atomic_load_explicit(&stream->ended, memory_order_acquire)) {
        return stream_failed(stream, NRD_CANCELLED, "the stream has ended");
    }
    struct nrd_client_call *call = call_create(stream->client, "stream");
    if (call == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = infer_check(request);
    if (status == NULL) {
        status = infer_write_grpc(call, request);
    }
    if (status == NULL && stream->options.sent == NULL && !copy_parts(call)) {
        status = status_no_memory();
    }
    if (status != NULL) {
        call_unref(call);
        return status_wrap(status, "%s: stream: model '%s': ", str_cstr(&stream->client->url.text),
                           request->model == NULL ? "" : request->model);
    }
    call->stream = stream;
    call->user = request_user;
    call->stream_task.run = run_request;
    stream_ref(stream);
    loop_post(stream->client->loop, &call->stream_task);
    return NULL;
}

void nrd_client_stream_finish(struct nrd_client_stream *stream)
{
    if (!atomic_exchange_explicit(&stream->ended, true, memory_order_acq_rel)) {
        stream_ref(stream);
        loop_post(stream->client->loop, &stream->finish_task);
    }
}

void nrd_client_stream_cancel(struct nrd_client_stream *stream)
{
    atomic_store_explicit(&stream->ended, true, memory_order_release);
    if (!atomic_exchange_explicit(&stream->stopping, true, memory_order_acq_rel)) {
        stream_ref(stream);
        loop_post(stream->client->loop, &stream->cancel_task);
    }
}

void nrd_client_stream_release(struct nrd_client_stream *stream)
{
    if (stream != NULL) {
        nrd_client_stream_cancel(stream);
        stream_unref(stream);
    }
}
