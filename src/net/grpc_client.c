// SPDX-License-Identifier: Apache-2.0
// gRPC's client: see grpc_client.h. The protocol is gRPC's doc/PROTOCOL-HTTP2.md.
//
// A call's status is the first of: what we decided ourselves (a cancel, a malformed answer), grpc-status of the trailers or of a
// response that is trailers alone, what the HTTP status stands for, UNAVAILABLE.
#include "net/grpc_client.h"

#include <stdio.h>

enum { EXTRA_MAX = 16 };

static struct grpc_client_call *call_of(struct http2_stream *stream)
{
    return CONTAINER_OF(stream, struct grpc_client_call, stream);
}

static void decide(struct grpc_client_call *call, int status, struct slice text)
{
    if (call->status >= 0) {
        return;
    }
    call->status = status;
    call->text_size = text.len < sizeof(call->text) ? text.len : sizeof(call->text);
    if (call->text_size > 0) {
        memcpy(call->text, text.ptr, call->text_size);
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// grpc-message is percent-encoded; what is not well encoded is kept as it is.
static void decide_decoded(struct grpc_client_call *call, int status, struct slice text)
{
    if (call->status >= 0) {
        return;
    }
    call->status = status;
    call->text_size = 0;
    for (size_t i = 0; i < text.len && call->text_size < sizeof(call->text); i++) {
        char c = text.ptr[i];
        if (c == '%' && text.len - i > 2) {
            int high = hex_value(text.ptr[i + 1]);
            int low = hex_value(text.ptr[i + 2]);
            if (high >= 0 && low >= 0) {
                c = (char)(high << 4 | low);
                i += 2;
            }
        }
        call->text[call->text_size++] = c == '\0' ? ' ' : c;
    }
}

// gRPC's doc/http-grpc-status-mapping.md.
static int status_of_http(uint64_t http)
{
    switch (http) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return 7;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

static void drop(struct grpc_client_call *call)
{
    http2_reset(&call->stream, HTTP2_CANCEL);
}

static void on_headers(struct http2_stream *stream)
{
    struct grpc_client_call *call = call_of(stream);
    struct slice value;
    char text[64];
    call->heard = true;
    uint64_t http = 0;
    if (!http2_header_get(stream, SLICE(":status"), &value) || !slice_to_u64(value, &http) ||
        http != 200) {
        int n =
            snprintf(text, sizeof(text), "the server answered with HTTP status %u", (unsigned)http);
        decide(call, status_of_http(http), slice_make(text, (size_t)n));
        drop(call);
        return;
    }
    if (!http2_header_get(stream, SLICE("content-type"), &value) ||
        !slice_starts(value, SLICE("application/grpc"))) {
        decide(call, GRPC_UNKNOWN, SLICE("the server's answer is not gRPC"));
        drop(call);
        return;
    }
    if (http2_header_get(stream, SLICE("grpc-encoding"), &value)) {
        call->inbox.encoding = (uint8_t)grpc_encoding_of(value);
        if (call->inbox.encoding == GRPC_ENCODING_UNKNOWN) {
            decide(call, GRPC_UNIMPLEMENTED, SLICE("the answer's compression is unknown"));
            drop(call);
        }
    }
}

static void *on_room(struct http2_stream *stream, size_t *size)
{
    struct grpc_client_call *call = call_of(stream);
    return call->status >= 0 ? NULL : grpc_inbox_room(&call->inbox, size);
}

static void on_data(struct http2_stream *stream, const void *ptr, size_t size)
{
    struct grpc_client_call *call = call_of(stream);
    struct slice in = slice_make(ptr, size);
    call->heard = true;
    while (in.len > 0 && call->status < 0) {
        struct grpc_message message;
        int taken = grpc_inbox_take(&call->inbox, &in, &message);
        if (taken < 0) {
            decide(call, (int)call->inbox.fault, slice_of(call->inbox.fault_text));
            drop(call);
        } else if (taken > 0) {
            call->shared->message(call, message);
        }
    }
}

static void on_ended(struct http2_stream *stream)
{
    struct grpc_client_call *call = call_of(stream);
    struct slice value;
    uint64_t status = 0;
    if (!http2_header_get(stream, SLICE("grpc-status"), &value) || !slice_to_u64(value, &status) ||
        status > 16) {
        decide(call, GRPC_UNKNOWN, SLICE("the server's answer ended without a status"));
        return;
    }
    if (status == 0 && grpc_inbox_is_inside(&call->inbox)) {
        decide(call, GRPC_INTERNAL, SLICE("the server's answer ended inside a message"));
        return;
    }
    struct slice text = {NULL, 0};
    (void)http2_header_get(stream, SLICE("grpc-message"), &text);
    decide_decoded(call, (int)status, text);
}

static void on_closed(struct http2_stream *stream, bool complete)
{
    struct grpc_client_call *call = call_of(stream);
    bool never_begun = stream->refused && call->status < 0;
    (void)complete;
    if (call->status < 0) {
        decide(call, GRPC_UNAVAILABLE,
               stream->refused ? SLICE("the server refused the call")
               : call->heard   ? SLICE("the connection broke in the middle of the answer")
                               : SLICE("the connection broke without an answer"));
    }
    grpc_inbox_fini(&call->inbox);
    http2_stream_release_headers(stream);
    call->shared->closed(call, call->status, slice_make(call->text, call->text_size), never_begun);
}

static void on_gone(struct http2_connection *connection)
{
    const struct grpc_client_shared *shared = http2_home_data(http2_connection_home(connection));
    shared->gone(connection);
}

static struct http2_stream *refuse(struct http2_connection *connection)
{
    (void)connection; // servers begin no streams
    return NULL;
}

const struct http2_user grpc_client_http2_user = {
    .begin = refuse,
    .headers = on_headers,
    .room = on_room,
    .data = on_data,
    .ended = on_ended,
    .closed = on_closed,
    .gone = on_gone,
};

bool grpc_client_begin(const struct grpc_client_shared *shared, struct http2_connection *connection,
                       struct grpc_client_call *call, const struct grpc_client_target *target)
{
    struct http2_field fields[9 + EXTRA_MAX] = {
        {SLICE(":method"), SLICE("POST")},
        {SLICE(":scheme"), target->tls ? SLICE("https") : SLICE("http")},
        {SLICE(":path"), slice_of(target->path)},
        {SLICE(":authority"), target->authority},
        {SLICE("te"), SLICE("trailers")},
        {SLICE("content-type"), SLICE("application/grpc")},
        {SLICE("user-agent"), SLICE("grpc-c-nereid/" NEREID_VERSION)},
        {SLICE("grpc-accept-encoding"), SLICE("identity, deflate, gzip")},
    };
    unsigned count = 8;
    char timeout[24];
    if (target->timeout_ms > 0) {
        // At most 8 digits: seconds where milliseconds take more.
        bool short_one = target->timeout_ms < 100000000;
        int n = snprintf(
            timeout, sizeof(timeout), short_one ? "%llum" : "%lluS",
            (unsigned long long)(short_one ? target->timeout_ms : target->timeout_ms / 1000));
        fields[count++] =
            (struct http2_field){SLICE("grpc-timeout"), slice_make(timeout, (size_t)n)};
    }
    for (unsigned i = 0; i < target->extra_count && i < EXTRA_MAX; i++) {
        fields[count++] = target->extra[i];
    }
    call->shared = shared;
    call->heard = false;
    call->status = -1;
    call->text_size = 0;
    grpc_inbox_init(&call->inbox, shared->buffers, shared->max_message, "CLIENT");
    return http2_request(connection, &call->stream, fields, count);
}

void grpc_client_send(struct grpc_client_call *call, struct http2_body *body)
{
    http2_send(&call->stream, body);
}

void grpc_client_half_close(struct grpc_client_call *call)
{
    http2_end(&call->stream, NULL, 0);
}

void grpc_client_cancel(struct grpc_client_call *call, int status, struct slice text)
{
    decide(call, status, text);
    drop(call);
}
