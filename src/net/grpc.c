// SPDX-License-Identifier: Apache-2.0
// gRPC: see grpc.h. The protocol is gRPC's doc/PROTOCOL-HTTP2.md.
//
//   begin ─headers ok─▶ prefix ─5 bytes─▶ body ─all there─▶ message() ─▶ prefix ...
//     └─bad headers──▶ finished                                └─half-close─▶ half_closed()
//
// Start at on_data() and grpc_finish().
#include "net/grpc.h"

#include <stdint.h>
#include <stdio.h>
#include <zlib.h>

#include "base/mem.h"

enum {
    TEXT_MAX = 7000, // encoded grpc-message
};

#define FIELD(n, v)                                                                                \
    {                                                                                              \
        {n, sizeof(n) - 1},                                                                        \
        {                                                                                          \
            v, sizeof(v) - 1                                                                       \
        }                                                                                          \
    }
static const struct http2_field headers_plain[] = {
    FIELD(":status", "200"),
    FIELD("content-type", "application/grpc"),
    FIELD("grpc-accept-encoding", "identity, deflate, gzip"),
};
static const struct http2_field headers_deflate[] = {
    FIELD(":status", "200"),
    FIELD("content-type", "application/grpc"),
    FIELD("grpc-encoding", "deflate"),
    FIELD("grpc-accept-encoding", "identity, deflate, gzip"),
};
static const struct http2_field headers_gzip[] = {
    FIELD(":status", "200"),
    FIELD("content-type", "application/grpc"),
    FIELD("grpc-encoding", "gzip"),
    FIELD("grpc-accept-encoding", "identity, deflate, gzip"),
};
static const struct http2_field trailers_ok[] = {FIELD("grpc-status", "0")};
static const struct http2_field status_415[] = {FIELD(":status", "415")};
static const struct http2_field status_405[] = {FIELD(":status", "405"), FIELD("allow", "POST")};

static struct grpc_call *call_of(struct http2_stream *stream)
{
    return CONTAINER_OF(stream, struct grpc_call, stream);
}

// ---- small parsers --------------------------------------------------------------------------------------------------

bool grpc_parse_timeout(struct slice text, uint64_t *ns)
{
    if (text.len < 2 || text.len > 9) { // at most 8 digits and a unit
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    uint64_t unit;
    switch (text.ptr[text.len - 1]) {
    case 'H':
        unit = UINT64_C(3600000000000);
        break;
    case 'M':
        unit = UINT64_C(60000000000);
        break;
    case 'S':
        unit = UINT64_C(1000000000);
        break;
    case 'm':
        unit = UINT64_C(1000000);
        break;
    case 'u':
        unit = UINT64_C(1000);
        break;
    case 'n':
        unit = 1;
        break;
    default:
        return false;
    }
    *ns = value > UINT64_MAX / unit ? UINT64_MAX : value * unit;
    return true;
}

size_t grpc_encode_text(struct slice text, char *out, size_t most)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t size = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            if (size + 1 > most) {
                break;
            }
            out[size++] = (char)c;
        } else {
            if (size + 3 > most) {
                break;
            }
            out[size++] = '%';
            out[size++] = hex[c >> 4];
            out[size++] = hex[c & 15];
        }
    }
    return size;
}

// The best encoding of those that the client accepts.
static enum grpc_encoding accepted_encoding(struct slice list)
{
    enum grpc_encoding best = GRPC_ENCODING_IDENTITY;
    struct slice part;
    while (slice_cut(&list, ',', &part)) {
        enum grpc_encoding e = grpc_encoding_of(slice_trim(part));
        if (e != GRPC_ENCODING_UNKNOWN && e > best) {
            best = e;
        }
    }
    return best;
}

// ---- messages -------------------------------------------------------------------------------------------------------

static void on_data(struct http2_stream *stream, const void *ptr, size_t size)
{
    struct grpc_call *call = call_of(stream);
    struct slice in = slice_make(ptr, size);
    while (in.len > 0 && !call->finished) {
        struct grpc_message message;
        http2_stream_await(stream, true);
        int taken = grpc_inbox_take(&call->inbox, &in, &message);
        if (taken < 0) {
            grpc_finish(call, (int)call->inbox.fault, slice_of(call->inbox.fault_text));
        } else if (taken > 0) {
            http2_stream_await(stream, false);
            call->service->message(call, message);
        }
    }
}

static void *on_room(struct http2_stream *stream, size_t *size)
{
    struct grpc_call *call = call_of(stream);
    return call->finished ? NULL : grpc_inbox_room(&call->inbox, size);
}

// ---- calls ----------------------------------------------------------------------------------------------------------

static struct http2_stream *on_begin(struct http2_connection *connection)
{
    const struct grpc_service *service = http2_home_data(http2_connection_home(connection));
    struct grpc_call *call = object_pool_get(service->calls);
    if (call == NULL) {
        return NULL;
    }
    call->service = service;
    call->method = NULL;
    call->path = (struct slice){0};
    call->references = 1;
    call->finished = call->cancelled = call->half_closed = call->complete = false;
    call->answer_encoding = GRPC_ENCODING_IDENTITY;
    call->has_timer = false;
    grpc_inbox_init(&call->inbox, service->buffers, service->max_message, "SERVER");
    call->message_text = call->inline_text;
    return &call->stream;
}

static void cancel(struct grpc_call *call)
{
    if (!call->cancelled) {
        call->cancelled = true;
        if (call->method != NULL) {
            call->service->cancel(call);
        }
    }
}

static void deadline_passed(struct loop_timer *timer)
{
    struct grpc_call *call = CONTAINER_OF(timer, struct grpc_call, timer);
    if (!call->finished) {
        grpc_call_ref(call);
        grpc_finish(call, GRPC_DEADLINE_EXCEEDED, SLICE("Deadline Exceeded"));
        cancel(call);
        grpc_call_unref(call);
    }
}

static void start_timer(struct grpc_call *call, uint64_t ns)
{
    uint64_t ms = ns / 1000000 + (ns % 1000000 != 0);
    call->has_timer = true;
    loop_timer_init(&call->timer, grpc_call_loop(call), deadline_passed);
    loop_timer_start(&call->timer, ms);
}

// Reads what gRPC itself needs of the headers. False: the call was refused.
static bool read_headers(struct grpc_call *call)
{
    struct slice content_type = {0}, method = {0}, timeout = {0}, encoding = {0}, accepted = {0};
    for (unsigned i = 0; i < call->stream.header_count; i++) {
        const struct http2_header *h = &call->stream.headers[i];
        switch (h->name.len) {
        case 5:
            call->path = slice_is(h->name, ":path") ? h->value : call->path;
            break;
        case 7:
            method = slice_is(h->name, ":method") ? h->value : method;
            break;
        case 12:
            content_type = slice_is(h->name, "content-type") ? h->value : content_type;
            timeout = slice_is(h->name, "grpc-timeout") ? h->value : timeout;
            break;
        case 13:
            encoding = slice_is(h->name, "grpc-encoding") ? h->value : encoding;
            break;
        case 20:
            accepted = slice_is(h->name, "grpc-accept-encoding") ? h->value : accepted;
            break;
        default:
            break;
        }
    }
    if (call->stream.headers_over) {
        grpc_finish(call, GRPC_RESOURCE_EXHAUSTED,
                    SLICE("received metadata size exceeds hard limit"));
        return false;
    }
    if (!slice_is(method, "POST")) {
        call->finished = true;
        http2_respond(&call->stream, status_405, 2, false, true);
        return false;
    }
    struct slice grpc = SLICE("application/grpc");
    if (!slice_starts(content_type, grpc) ||
        (content_type.len > grpc.len && content_type.ptr[grpc.len] != '+' &&
         content_type.ptr[grpc.len] != ';')) {
        call->finished = true;
        http2_respond(&call->stream, status_415, 1, false, true);
        return false;
    }
    enum grpc_encoding e =
        encoding.ptr == NULL ? GRPC_ENCODING_IDENTITY : grpc_encoding_of(encoding);
    if (e == GRPC_ENCODING_UNKNOWN) {
        grpc_finish(call, GRPC_UNIMPLEMENTED, SLICE("Compression algorithm is unknown"));
        return false;
    }
    call->inbox.encoding = (uint8_t)e;
    if (call->service->compression != GRPC_COMPRESSION_NONE && accepted.ptr != NULL) {
        call->answer_encoding = (uint8_t)accepted_encoding(accepted);
    }
    uint64_t ns;
    if (timeout.ptr != NULL) {
        if (!grpc_parse_timeout(timeout, &ns)) {
            grpc_finish(call, GRPC_INTERNAL, SLICE("malformed grpc-timeout header"));
            return false;
        }
        start_timer(call, ns);
    }
    return true;
}

static void on_headers(struct http2_stream *stream)
{
    struct grpc_call *call = call_of(stream);
    if (!read_headers(call)) {
        return;
    }
    if (!call->service->begin(call)) {
        call->method = NULL;
        grpc_finish(call, GRPC_UNIMPLEMENTED, (struct slice){0});
    }
}

static void on_ended(struct http2_stream *stream)
{
    struct grpc_call *call = call_of(stream);
    call->half_closed = true;
    if (call->finished) {
        return;
    }
    if (grpc_inbox_is_inside(&call->inbox)) {
        grpc_finish(call, GRPC_INTERNAL, SLICE("the request ends inside a message"));
        return;
    }
    call->service->half_closed(call);
}

static void on_closed(struct http2_stream *stream, bool complete)
{
    struct grpc_call *call = call_of(stream);
    call->complete = complete;
    if (call->has_timer) {
        loop_timer_stop(&call->timer);
        call->has_timer = false;
    }
    if (!call->finished || !complete) {
        call->finished = true;
        cancel(call);
    }
    grpc_inbox_fini(&call->inbox);
    if (call->method != NULL) {
        call->service->closed(call);
    }
    grpc_call_unref(call);
}

const struct http2_user grpc_http2_user = {
    .begin = on_begin,
    .headers = on_headers,
    .room = on_room,
    .data = on_data,
    .ended = on_ended,
    .closed = on_closed,
};

void grpc_call_ref(struct grpc_call *call)
{
    call->references++;
}

void grpc_call_unref(struct grpc_call *call)
{
    if (--call->references == 0) {
        http2_stream_release_headers(&call->stream);
        if (call->message_text != call->inline_text) {
            mem_free(call->message_text);
        }
        object_pool_put(call->service->calls, call);
    }
}

// ---- answers --------------------------------------------------------------------------------------------------------

struct squeezed {
    struct http2_body body;
    struct iovec part;
    struct buffer_pool *buffers;
};

static void squeezed_release(struct http2_body *body)
{
    struct squeezed *s = CONTAINER_OF(body, struct squeezed, body);
    buffer_pool_put(s->buffers, s);
}

// Compresses a framed message into a body of its own. NULL: no memory, or it does not get smaller: send it as it is.
static struct http2_body *squeeze(const struct grpc_call *call, const struct http2_body *in)
{
    static const int levels[] = {0, 1, 6, 9};
    struct buffer_pool *buffers = call->service->buffers;
    size_t size = 0;
    for (unsigned i = 0; i < in->part_count; i++) {
        size += in->parts[i].iov_len;
    }
    z_stream z = {0};
    if (size <= GRPC_PREFIX || size >= UINT32_MAX / 2 ||
        deflateInit2(&z, levels[call->service->compression], Z_DEFLATED,
                     call->answer_encoding == GRPC_ENCODING_GZIP ? 15 + 16 : 15, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return NULL;
    }
    struct squeezed *s = buffer_pool_get(buffers, sizeof(*s) + size, NULL);
    char *bytes = (char *)(s + 1);
    int rc = s == NULL ? Z_MEM_ERROR : Z_OK;
    z.next_out = (Bytef *)bytes + GRPC_PREFIX;
    z.avail_out = (uInt)(size - GRPC_PREFIX);
    size_t skip = GRPC_PREFIX;
    for (unsigned i = 0; rc == Z_OK && i < in->part_count; i++) {
        size_t lead = skip < in->parts[i].iov_len ? skip : in->parts[i].iov_len;
        skip -= lead;
        z.next_in = (Bytef *)in->parts[i].iov_base + lead;
        z.avail_in = (uInt)(in->parts[i].iov_len - lead);
        rc = z.avail_in > 0 ? deflate(&z, Z_NO_FLUSH) : Z_OK;
        rc = rc == Z_OK && z.avail_in > 0 ? Z_BUF_ERROR : rc;
    }
    rc = rc == Z_OK ? deflate(&z, Z_FINISH) : rc;
    size_t out = z.total_out;
    (void)deflateEnd(&z);
    if (rc != Z_STREAM_END) {
        buffer_pool_put(buffers, s);
        return NULL;
    }
    grpc_prefix(bytes, out);
    bytes[0] = 1;
    s->buffers = buffers;
    s->part = (struct iovec){bytes, GRPC_PREFIX + out};
    s->body = (struct http2_body){.parts = &s->part, .part_count = 1, .release = squeezed_release};
    return &s->body;
}

void grpc_send(struct grpc_call *call, struct http2_body *body)
{
    if (call->finished) {
        body->release(body);
        return;
    }
    if (!call->stream.responded) {
        bool gzip = call->answer_encoding == GRPC_ENCODING_GZIP;
        if (call->answer_encoding == GRPC_ENCODING_IDENTITY) {
            http2_respond(&call->stream, headers_plain, 3, false, false);
        } else {
            http2_respond(&call->stream, gzip ? headers_gzip : headers_deflate, 4, false, false);
        }
    }
    if (call->answer_encoding != GRPC_ENCODING_IDENTITY) {
        struct http2_body *smaller = squeeze(call, body);
        if (smaller != NULL) {
            body->release(body);
            body = smaller;
        }
    }
    http2_send(&call->stream, body);
}

void grpc_finish(struct grpc_call *call, int status, struct slice text)
{
    if (call->finished) {
        return;
    }
    call->finished = true;
    if (call->has_timer) {
        loop_timer_stop(&call->timer);
        call->has_timer = false;
    }
    if (status == GRPC_OK && call->stream.responded) {
        http2_end(&call->stream, trailers_ok, 1);
        return;
    }
    int digits = snprintf(call->status_text, sizeof(call->status_text), "%d", status & 31);
    call->trailers[0] =
        (struct http2_field){SLICE("grpc-status"), {call->status_text, (size_t)digits}};
    unsigned count = 1;
    if (text.len > 0) {
        size_t most = text.len * 3 < TEXT_MAX ? text.len * 3 : TEXT_MAX;
        if (most > GRPC_MESSAGE_TEXT) {
            char *larger = mem_alloc(most);
            call->message_text = larger != NULL ? larger : call->inline_text;
            most = larger != NULL ? most : GRPC_MESSAGE_TEXT;
        }
        size_t size = grpc_encode_text(text, call->message_text, most);
        call->trailers[1] = (struct http2_field){SLICE("grpc-message"), {call->message_text, size}};
        count = 2;
    }
    if (call->stream.responded) {
        http2_end(&call->stream, call->trailers, count);
        return;
    }
    struct http2_field only[4] = {headers_plain[0], headers_plain[1], call->trailers[0],
                                  call->trailers[1]};
    http2_respond(&call->stream, only, 2 + count, true, true);
}
