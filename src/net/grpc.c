// SPDX-License-Identifier: Apache-2.0
// gRPC: see grpc.h. The protocol is gRPC's doc/PROTOCOL-HTTP2.md.
//
//   begin ─headers ok─▶ prefix ─5 bytes─▶ body ─all there─▶ message() ─▶ prefix ...
//     └─bad headers──▶ finished                                └─half-close─▶ half_closed()
//
// A message's buffer is taken when its length is known, and the rest of the message is received into it. Lengths are only claims
// until the bytes come, so above 64 MiB the buffer grows with them. Start at on_data() and grpc_finish().
#include "net/grpc.h"

#include <stdint.h>
#include <stdio.h>
#include <zlib.h>

#include "base/mem.h"

enum encoding { ENCODING_IDENTITY, ENCODING_DEFLATE, ENCODING_GZIP, ENCODING_UNKNOWN };
enum {
    TRUST = 64 * 1024 * 1024, // a claimed length up to this gets its buffer at once
    TEXT_MAX = 7000,          // encoded grpc-message
    ALIGNMENT = 64,
    INFLATE_STEP = 64 * 1024, // the least room that inflating asks for
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

static enum encoding encoding_of(struct slice name)
{
    if (slice_is(name, "identity")) {
        return ENCODING_IDENTITY;
    }
    if (slice_is(name, "gzip")) {
        return ENCODING_GZIP;
    }
    return slice_is(name, "deflate") ? ENCODING_DEFLATE : ENCODING_UNKNOWN;
}

// The best encoding of those that the client accepts.
static enum encoding accepted_encoding(struct slice list)
{
    enum encoding best = ENCODING_IDENTITY;
    struct slice part;
    while (slice_cut(&list, ',', &part)) {
        enum encoding e = encoding_of(slice_trim(part));
        if (e != ENCODING_UNKNOWN && e > best) {
            best = e;
        }
    }
    return best;
}

void grpc_prefix(char *at, size_t size)
{
    at[0] = 0;
    at[1] = (char)(size >> 24);
    at[2] = (char)(size >> 16);
    at[3] = (char)(size >> 8);
    at[4] = (char)size;
}

// ---- messages -------------------------------------------------------------------------------------------------------

void grpc_message_free(struct buffer_pool *buffers, struct grpc_message *message)
{
    buffer_pool_put(buffers, message->buffer);
    *message = (struct grpc_message){0};
}

// A buffer in which a message of `size` bytes ends on a multiple of ALIGNMENT, with a byte to spare; room for its first
// `*capacity` bytes at least.
static bool message_alloc(struct buffer_pool *buffers, size_t size, size_t *capacity,
                          struct grpc_message *message)
{
    size_t lead = (ALIGNMENT - size % ALIGNMENT) % ALIGNMENT;
    size_t have = 0;
    char *buffer = buffer_pool_get(buffers, *capacity + lead + 1, &have);
    if (buffer == NULL) {
        return false;
    }
    size_t usable = have - lead - 1;
    *capacity = usable < size ? usable : size;
    *message = (struct grpc_message){buffer + lead, size, buffer};
    return true;
}

static bool incoming_grow(struct grpc_call *call)
{
    size_t want =
        call->incoming.size - call->filled < call->filled ? call->incoming.size : call->filled * 2;
    struct grpc_message larger;
    if (!message_alloc(call->service->buffers, call->incoming.size, &want, &larger)) {
        return false;
    }
    memcpy(larger.bytes, call->incoming.bytes, call->filled);
    buffer_pool_put(call->service->buffers, call->incoming.buffer);
    call->incoming = larger;
    call->capacity = want;
    return true;
}

// Inflates `in` into a new message. False: `*why` says.
static bool inflate_message(const struct grpc_call *call, const struct grpc_message *in,
                            size_t most, struct grpc_message *out, const char **why)
{
    struct buffer_pool *buffers = call->service->buffers;
    z_stream z = {0};
    *why = "out of memory";
    if (inflateInit2(&z, call->encoding == ENCODING_GZIP ? 15 + 16 : 15) != Z_OK) {
        return false;
    }
    size_t capacity = 0;
    size_t filled = 0;
    char *buffer = buffer_pool_get(buffers, in->size * 3 + INFLATE_STEP, &capacity);
    int rc = buffer == NULL ? Z_MEM_ERROR : Z_OK;
    size_t used = 0;
    while (rc == Z_OK) {
        if (filled + 1 >= capacity) {
            size_t larger_capacity = 0;
            char *larger = buffer_pool_get(buffers, capacity * 2, &larger_capacity);
            if (larger == NULL) {
                rc = Z_MEM_ERROR;
                break;
            }
            memcpy(larger, buffer, filled);
            buffer_pool_put(buffers, buffer);
            buffer = larger;
            capacity = larger_capacity;
        }
        size_t in_step = in->size - used < UINT32_MAX / 2 ? in->size - used : UINT32_MAX / 2;
        size_t out_step =
            capacity - 1 - filled < UINT32_MAX / 2 ? capacity - 1 - filled : UINT32_MAX / 2;
        z.next_in = (Bytef *)in->bytes + used;
        z.avail_in = (uInt)in_step;
        z.next_out = (Bytef *)buffer + filled;
        z.avail_out = (uInt)out_step;
        rc = inflate(&z, Z_NO_FLUSH);
        used += in_step - z.avail_in;
        filled += out_step - z.avail_out;
        if (filled > most) {
            *why = "message is too large once decompressed";
            rc = Z_BUF_ERROR;
        }
    }
    (void)inflateEnd(&z);
    if (rc != Z_STREAM_END) {
        if (rc == Z_DATA_ERROR || (rc == Z_BUF_ERROR && filled <= most)) {
            *why = "failed to decompress the message";
        }
        buffer_pool_put(buffers, buffer);
        return false;
    }
    *out = (struct grpc_message){buffer, filled, buffer};
    return true;
}

static size_t max_message(const struct grpc_call *call)
{
    return call->service->max_message > 0 ? call->service->max_message : INT32_MAX;
}

static void deliver(struct grpc_call *call)
{
    struct grpc_message message = call->incoming;
    call->incoming = (struct grpc_message){0};
    call->filled = 0;
    call->prefix_size = 0;
    if (call->compressed) {
        struct grpc_message plain;
        const char *why = NULL;
        bool ok = inflate_message(call, &message, max_message(call), &plain, &why);
        grpc_message_free(call->service->buffers, &message);
        if (!ok) {
            grpc_finish(call, GRPC_INTERNAL, slice_of(why));
            return;
        }
        message = plain;
    }
    call->service->message(call, message);
}

// The prefix is there: checks it and takes a buffer. False: the call is finished.
static bool begin_message(struct grpc_call *call)
{
    const uint8_t *p = call->prefix;
    size_t size = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    call->compressed = p[0] == 1;
    if (p[0] > 1 || (call->compressed && call->encoding == ENCODING_IDENTITY)) {
        grpc_finish(call, GRPC_INTERNAL,
                    p[0] > 1 ? SLICE("Bad GRPC frame type")
                             : SLICE("compressed flag set with identity or empty encoding"));
        return false;
    }
    if (size > max_message(call)) {
        char text[128];
        int len =
            snprintf(text, sizeof(text), "SERVER: Received message larger than max (%zu vs. %zu)",
                     size, max_message(call));
        grpc_finish(call, GRPC_RESOURCE_EXHAUSTED, slice_make(text, (size_t)len));
        return false;
    }
    call->filled = 0;
    call->capacity = size < TRUST ? size : TRUST;
    if (!message_alloc(call->service->buffers, size, &call->capacity, &call->incoming)) {
        grpc_finish(call, GRPC_RESOURCE_EXHAUSTED, SLICE("out of memory"));
        return false;
    }
    return true;
}

static void on_data(struct http2_stream *stream, const void *ptr, size_t size)
{
    struct grpc_call *call = call_of(stream);
    const char *at = ptr;
    while (size > 0 && !call->finished) {
        if (call->prefix_size < GRPC_PREFIX) {
            http2_stream_await(stream, true);
            call->prefix[call->prefix_size++] = (uint8_t)*at++;
            size--;
            if (call->prefix_size < GRPC_PREFIX || !begin_message(call)) {
                continue;
            }
        }
        size_t wanted = call->incoming.size - call->filled;
        size_t n = size < wanted ? size : wanted;
        if (call->capacity - call->filled < n && !incoming_grow(call)) {
            grpc_finish(call, GRPC_RESOURCE_EXHAUSTED, SLICE("out of memory"));
            return;
        }
        n = n < call->capacity - call->filled ? n : call->capacity - call->filled;
        char *to = call->incoming.bytes + call->filled;
        if (to != at && n > 0) {
            memcpy(to, at, n);
        }
        call->filled += n;
        at += n;
        size -= n;
        if (call->filled == call->incoming.size) {
            http2_stream_await(stream, false);
            deliver(call);
        }
    }
}

static void *on_room(struct http2_stream *stream, size_t *size)
{
    struct grpc_call *call = call_of(stream);
    if (call->finished || call->prefix_size < GRPC_PREFIX || call->incoming.buffer == NULL) {
        return NULL;
    }
    if (call->filled == call->capacity && !incoming_grow(call)) {
        return NULL; // on_data() will say so
    }
    *size = call->capacity - call->filled;
    return call->incoming.bytes + call->filled;
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
    call->encoding = call->answer_encoding = ENCODING_IDENTITY;
    call->has_timer = false;
    call->incoming = (struct grpc_message){0};
    call->filled = call->capacity = 0;
    call->compressed = false;
    call->prefix_size = 0;
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
    enum encoding e = encoding.ptr == NULL ? ENCODING_IDENTITY : encoding_of(encoding);
    if (e == ENCODING_UNKNOWN) {
        grpc_finish(call, GRPC_UNIMPLEMENTED, SLICE("Compression algorithm is unknown"));
        return false;
    }
    call->encoding = (uint8_t)e;
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
    if (call->prefix_size > 0) {
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
    grpc_message_free(call->service->buffers, &call->incoming);
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
                     call->answer_encoding == ENCODING_GZIP ? 15 + 16 : 15, 8,
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
        bool gzip = call->answer_encoding == ENCODING_GZIP;
        if (call->answer_encoding == ENCODING_IDENTITY) {
            http2_respond(&call->stream, headers_plain, 3, false, false);
        } else {
            http2_respond(&call->stream, gzip ? headers_gzip : headers_deflate, 4, false, false);
        }
    }
    if (call->answer_encoding != ENCODING_IDENTITY) {
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
