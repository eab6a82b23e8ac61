// SPDX-License-Identifier: Apache-2.0
// HTTP/2: see http2.h.
//
//   socket ──room/received──▶ nghttp2_session_mem_recv ──callbacks──▶ user
//   user ──respond/send/end──▶ nghttp2 ──flush(): mem_send, send_data──▶ blocks and body parts ──▶ socket
//
// nghttp2 sees every byte, but copies none of a DATA frame: its callback is handed a pointer into what it was fed, and when
// we received into the user's own memory, that pointer is already where the bytes belong. Output is pulled
// from nghttp2 only while the socket's queue is short, so that nghttp2's own limits (acknowledgements that pile up) work and
// a connection that does not read cannot make us buffer without end.
// Start at received(), flush() and tick().
#include "net/http2_private.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
    INPUT_SIZE = 64 * 1024, // shared by the connections of a loop
    COPY_MAX = 2048,        // payload up to this is packed rather than pointed to
    DIRECT_MIN = 8 * 1024,  // the rest of a DATA frame from which receiving it in place pays
    HEADER_OVERHEAD = 32,   // RFC 9113 section 6.5.2
    SLOW_BYTES = 1024,      // what a peer that owes us bytes sends in slow_ms at least
    FRAME_HEADER = 9,       // RFC 9113 section 4.1
    RESET_BURST = 1000,     // resets by the peer: a bucket of this size,
    RESET_RATE = 200,       // refilled so many times a second
    HIGH_MARK = 4 * 1024 * 1024,
    LOW_MARK = 1024 * 1024,
};
#define MS UINT64_C(1000000)
#define IDLE_PING_NS (UINT64_C(7200) * 1000 * MS) // between a peer's pings when it has no calls

static void schedule(struct http2_connection *c);
static void flush(struct http2_connection *c);

static uint64_t ms_to_ns(int64_t ms)
{
    return ms <= 0 ? 0 : (uint64_t)ms > UINT64_MAX / 2 / MS ? UINT64_MAX / 2 : (uint64_t)ms * MS;
}

void http2_want_flush(struct http2_connection *c)
{
    if (!c->flushing && !c->gone) {
        loop_defer(c->home->loop, &c->later);
    }
}

// ---- bodies ---------------------------------------------------------------------------------------------------------

static void body_unref(struct http2_body *body)
{
    if (--body->references == 0) {
        body->release(body);
    }
}

static void body_sent(void *body)
{
    body_unref(body);
}

// The next run of bytes of the oldest body, at most `most`; the body stays referenced.
static struct iovec body_run(const struct http2_body *body, size_t most)
{
    const struct iovec *part = &body->parts[body->part_at];
    size_t size = part->iov_len - body->part_offset;
    return (struct iovec){(char *)part->iov_base + body->part_offset, size < most ? size : most};
}

static void body_advance(struct http2_body *body, size_t size)
{
    body->left -= size;
    body->part_offset += size;
    while (body->part_at < body->part_count &&
           body->part_offset == body->parts[body->part_at].iov_len) {
        body->part_at++;
        body->part_offset = 0;
    }
}

static void bodies_pop(struct http2_stream *s)
{
    struct http2_body *body = s->bodies;
    s->bodies = body->next;
    if (s->bodies == NULL) {
        s->bodies_tail = &s->bodies;
    }
    body_unref(body);
}

// ---- nghttp2's callbacks: output ------------------------------------------------------------------------------------

// How long the next DATA frame may be. nghttp2 makes room for as much, though the payload does not pass through it: so no
// more than there is to send.
static ssize_t frame_length(nghttp2_session *session, uint8_t type, int32_t id,
                            int32_t session_window, int32_t stream_window, uint32_t max_frame,
                            void *user)
{
    (void)type, (void)user;
    const struct http2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    size_t length = s != NULL && s->body_bytes > 0 ? s->body_bytes : 1;
    size_t window = (size_t)(session_window < stream_window ? session_window : stream_window);
    length = length < window ? length : window;
    return (ssize_t)(length < max_frame ? length : max_frame);
}

unsigned http2_make_nv(const struct http2_field *fields, unsigned count, bool copy_values,
                       nghttp2_nv nv[HTTP2_MAX_FIELDS])
{
    count = count < HTTP2_MAX_FIELDS ? count : HTTP2_MAX_FIELDS;
    uint8_t flags =
        NGHTTP2_NV_FLAG_NO_COPY_NAME | (copy_values ? 0 : NGHTTP2_NV_FLAG_NO_COPY_VALUE);
    for (unsigned i = 0; i < count; i++) {
        const struct http2_field *f = &fields[i];
        nv[i] = (nghttp2_nv){(uint8_t *)(uintptr_t)f->name.ptr, (uint8_t *)(uintptr_t)f->value.ptr,
                             f->name.len, f->value.len, flags};
    }
    return count;
}

static void submit_trailers(struct http2_stream *s)
{
    nghttp2_nv nv[HTTP2_MAX_FIELDS];
    unsigned count = http2_make_nv(s->trailers, s->trailer_count, true, nv);
    (void)nghttp2_submit_trailer(s->connection->session, s->id, nv, count);
}

ssize_t http2_read_payload(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t length,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session, (void)id, (void)buffer, (void)user;
    struct http2_stream *s = source->ptr;
    if (s->body_bytes == 0 && !s->has_trailers) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t size = s->body_bytes < length ? s->body_bytes : length;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (size == s->body_bytes && s->has_trailers) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->trailer_count > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(s);
        }
    }
    return (ssize_t)size;
}

static int send_payload(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t length, nghttp2_data_source *source, void *user)
{
    (void)session, (void)frame;
    struct http2_connection *c = user;
    struct http2_stream *s = source->ptr;
    bool copy = length <= COPY_MAX;
    char *at = packer_room(&c->packer, FRAME_HEADER + (copy ? length : 0));
    if (at == NULL) {
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    memcpy(at, head, FRAME_HEADER);
    at += FRAME_HEADER;
    c->data_seen = true;
    s->body_bytes -= length;
    c->body_bytes -= length;
    c->stall_due = 0;
    while (length > 0) {
        struct http2_body *body = s->bodies;
        struct iovec run = body_run(body, length);
        if (copy) {
            memcpy(at, run.iov_base, run.iov_len);
            at += run.iov_len;
        } else {
            body->references++;
            if (!packer_point(&c->packer, run.iov_base, run.iov_len, body_sent, body)) {
                body->references--;
                return NGHTTP2_ERR_CALLBACK_FAILURE;
            }
        }
        body_advance(body, run.iov_len);
        length -= run.iov_len;
        if (body->left == 0) {
            bodies_pop(s);
        }
    }
    return 0;
}

// A connection whose session has failed: nothing more can be said on it.
static void fail(struct http2_connection *c)
{
    c->ending = true;
    stream_close(&c->stream, STREAM_END_LOCAL);
}

// Looks at a frame that is not DATA on its way out.
static void frame_packed(struct http2_connection *c, const uint8_t *frame)
{
    c->data_seen |= frame[3] == NGHTTP2_HEADERS || frame[3] == NGHTTP2_WINDOW_UPDATE;
    if (!c->client && frame[3] == NGHTTP2_HEADERS && (frame[4] & NGHTTP2_FLAG_END_STREAM) != 0) {
        int32_t id = (int32_t)((uint32_t)(frame[5] & 0x7f) << 24 | (uint32_t)frame[6] << 16 |
                               (uint32_t)frame[7] << 8 | frame[8]);
        struct http2_stream *s = nghttp2_session_get_stream_user_data(c->session, id);
        if (s != NULL && !s->request_ended) {
            // The answer is whole and the request is not: tell the peer to stop (RFC 9113 section 8.1).
            (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
        }
    }
}

static void flush(struct http2_connection *c)
{
    if (c->gone || c->flushing || stream_is_closing(&c->stream)) {
        return;
    }
    c->flushing = true;
    while (stream_pending(&c->stream) + packer_pending(&c->packer) < HIGH_MARK) {
        const uint8_t *data = NULL;
        ssize_t size = nghttp2_session_mem_send(c->session, &data);
        if (size == 0) {
            break;
        }
        char *at = size > 0 ? packer_room(&c->packer, (size_t)size) : NULL;
        if (at == NULL) {
            c->flushing = false;
            fail(c);
            return;
        }
        memcpy(at, data, (size_t)size);
        frame_packed(c, data);
    }
    if (c->data_seen) {
        c->data_seen = false;
        c->ping_strikes = 0;
        c->peer_ping_ns = 0;
        c->pings_sent = 0;
    }
    if (!packer_seal(&c->packer)) {
        c->flushing = false;
        fail(c);
        return;
    }
    stream_flush(&c->stream);
    packer_tidy(&c->packer);
    c->flushing = false;
    if (c->body_bytes > 0 && c->stall_due == 0) {
        c->stall_due = loop_now_ns(c->home->loop) + ms_to_ns((int64_t)c->home->options.stall_ms);
        schedule(c);
    }
    if (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session)) {
        c->ending = true;
        stream_finish(&c->stream);
    }
}

static void flush_deferred(struct loop_defer *defer)
{
    flush(CONTAINER_OF(defer, struct http2_connection, later));
}

// ---- nghttp2's callbacks: input -------------------------------------------------------------------------------------

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *head, void *user)
{
    struct http2_connection *c = user;
    c->data_stream = NULL;
    c->data_left = 0;
    if (head->type == NGHTTP2_DATA) {
        c->data_stream = nghttp2_session_get_stream_user_data(session, head->stream_id);
        c->data_left = head->length;
        c->direct_ok = (head->flags & NGHTTP2_FLAG_PADDED) == 0;
    }
    return 0;
}

void http2_stream_enter(struct http2_connection *c, struct http2_stream *s, int32_t id)
{
    s->connection = c;
    s->id = id;
    s->header_count = 0;
    s->header_bytes = 0;
    s->headers_over = s->request_ended = s->awaiting = s->responded = false;
    s->has_trailers = s->deferred = s->refused = false;
    s->trailers = NULL;
    s->trailer_count = 0;
    s->bodies = NULL;
    s->bodies_tail = &s->bodies;
    s->body_bytes = 0;
    list_push_back(&c->streams, &s->node);
    c->stream_count++;
    c->home->stream_count++;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2_connection *c = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    struct http2_stream *s = c->home->user->begin(c);
    if (s == NULL) {
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                        NGHTTP2_REFUSED_STREAM);
        return 0;
    }
    http2_stream_enter(c, s, frame->hd.stream_id);
    (void)nghttp2_session_set_stream_user_data(session, s->id, s);
    http2_stream_await(s, true);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *user)
{
    (void)flags;
    struct http2_connection *c = user;
    struct http2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    // A server passes trailers over; a client finds gRPC's status there.
    if (s == NULL || frame->hd.type != NGHTTP2_HEADERS ||
        (frame->headers.cat != NGHTTP2_HCAT_REQUEST && !c->client)) {
        return 0;
    }
    nghttp2_vec n = nghttp2_rcbuf_get_buf(name);
    nghttp2_vec v = nghttp2_rcbuf_get_buf(value);
    s->header_bytes += n.len + v.len + HEADER_OVERHEAD;
    if (s->header_count == HTTP2_MAX_HEADERS ||
        s->header_bytes > c->home->options.header_list_bytes) {
        s->headers_over = true;
        return 0;
    }
    struct http2_header *header = &s->headers[s->header_count++];
    nghttp2_rcbuf_incref(name);
    nghttp2_rcbuf_incref(value);
    header->references[0] = name;
    header->references[1] = value;
    header->name = slice_make(n.base, n.len);
    header->value = slice_make(v.base, v.len);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *user)
{
    (void)flags;
    struct http2_connection *c = user;
    c->data_left -= size < c->data_left ? size : c->data_left;
    struct http2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (s != NULL) {
        c->home->user->data(s, data, size);
    }
    return 0;
}

static void peer_pinged(struct http2_connection *c)
{
    const struct http2_options *o = &c->home->options;
    uint64_t now = loop_now_ns(c->home->loop);
    bool idle = !o->keepalive_without_calls && c->stream_count == 0;
    uint64_t interval = idle ? IDLE_PING_NS : ms_to_ns(o->min_ping_interval_ms);
    bool early = c->peer_ping_ns != 0 && now - c->peer_ping_ns < interval;
    c->peer_ping_ns = now;
    if (early && ++c->ping_strikes > o->max_ping_strikes && o->max_ping_strikes > 0) {
        static const char reason[] = "too_many_pings";
        (void)nghttp2_submit_goaway(
            c->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(c->session),
            NGHTTP2_ENHANCE_YOUR_CALM, (const uint8_t *)reason, sizeof(reason) - 1);
        (void)nghttp2_session_terminate_session(c->session, NGHTTP2_ENHANCE_YOUR_CALM);
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2_connection *c = user;
    const struct http2_user *u = c->home->user;
    if (frame->hd.type == NGHTTP2_PING) {
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
            c->pong_due = 0;
        } else {
            peer_pinged(c);
        }
        return 0;
    }
    if (frame->hd.type == NGHTTP2_SETTINGS && !c->preface_done) {
        c->preface_done = true;
        c->preface_due = 0;
        schedule(c);
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    struct http2_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (s == NULL) {
        return 0;
    }
    if (frame->hd.type == NGHTTP2_HEADERS &&
        frame->headers.cat == (c->client ? NGHTTP2_HCAT_RESPONSE : NGHTTP2_HCAT_REQUEST)) {
        u->headers(s);
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && s->connection != NULL &&
        !s->request_ended) {
        s->request_ended = true;
        http2_stream_await(s, false);
        u->ended(s);
    }
    return 0;
}

void http2_stream_over(struct http2_stream *s, bool complete)
{
    struct http2_connection *c = s->connection;
    http2_stream_await(s, false);
    list_remove(&s->node);
    c->stream_count--;
    c->home->stream_count--;
    c->body_bytes -= s->body_bytes;
    if (c->data_stream == s) {
        c->data_stream = NULL;
    }
    s->body_bytes = 0;
    s->connection = NULL;
    while (s->bodies != NULL) {
        s->bodies->left = 0;
        bodies_pop(s);
    }
    c->home->user->closed(s, complete);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    const struct http2_connection *connection = user;
    struct http2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (s != NULL) {
        (void)nghttp2_session_set_stream_user_data(session, id, NULL);
        s->refused = error == NGHTTP2_REFUSED_STREAM;
        bool whole = connection->client ? s->request_ended : s->has_trailers && s->body_bytes == 0;
        http2_stream_over(s, error == NGHTTP2_NO_ERROR && whole);
    }
    return 0;
}

// ---- the stream's callbacks -----------------------------------------------------------------------------------------

static struct http2_connection *connection_of(struct stream *stream)
{
    return CONTAINER_OF(stream, struct http2_connection, stream);
}

static void *room(struct stream *stream, size_t *size)
{
    struct http2_connection *c = connection_of(stream);
    if (c->ending || stream_pending(stream) >= HIGH_MARK) {
        return NULL;
    }
    c->landing = c->home->input;
    *size = INPUT_SIZE;
    if (c->data_left >= DIRECT_MIN && c->direct_ok && c->data_stream != NULL) {
        size_t there = 0;
        void *at = c->home->user->room(c->data_stream, &there);
        if (at != NULL && there >= DIRECT_MIN) {
            c->landing = at;
            *size = there < c->data_left ? there : c->data_left;
        }
    }
    return c->landing;
}

static void take(struct http2_connection *c, const void *bytes, size_t size)
{
    uint64_t now = loop_now_ns(c->home->loop);
    c->last_read_ns = now;
    c->slow_bytes += size;
    ssize_t used = nghttp2_session_mem_recv(c->session, bytes, size);
    if (used < 0) {
        // nghttp2 says goodbye by itself where it can (a GOAWAY is queued then); a wrong preface gets none.
        c->ending = true;
        if (!c->gone) {
            flush(c);
            stream_finish(&c->stream);
        }
        return;
    }
    if (c->awaiting > 0 && c->slow_due == 0) {
        c->slow_due = now + ms_to_ns((int64_t)c->home->options.slow_ms);
        c->slow_bytes = 0;
        schedule(c);
    }
    http2_want_flush(c);
}

static void received(struct stream *stream, size_t size)
{
    struct http2_connection *c = connection_of(stream);
    take(c, c->landing, size);
}

bool http2_connection_feed(struct http2_connection *c, const void *bytes, size_t size)
{
    if (!c->ending && !stream_is_closing(&c->stream)) {
        take(c, bytes, size);
        flush(c);
    }
    return !c->ending && !stream_is_closing(&c->stream);
}

static void drained(struct stream *stream)
{
    struct http2_connection *c = connection_of(stream);
    http2_want_flush(c);
    stream_resume(stream);
}

static void stream_gone(struct stream *stream, enum stream_end end)
{
    (void)end;
    struct http2_connection *c = connection_of(stream);
    struct http2_home *home = c->home;
    c->gone = true;
    c->ending = true;
    loop_defer_cancel(home->loop, &c->later);
    while (!list_empty(&c->streams)) {
        http2_stream_over(CONTAINER_OF(c->streams.next, struct http2_stream, node), false);
    }
    packer_fini(&c->packer);
    nghttp2_session_del(c->session);
    list_remove(&c->node);
    home->connection_count--;
    if (home->user->gone != NULL) {
        home->user->gone(c);
    }
    mem_free(c);
}

// ---- clocks ---------------------------------------------------------------------------------------------------------

static void earliest(uint64_t *at, uint64_t due)
{
    if (due != 0 && (*at == 0 || due < *at)) {
        *at = due;
    }
}

static void schedule(struct http2_connection *c)
{
    uint64_t at = c->preface_due;
    earliest(&at, c->slow_due);
    earliest(&at, c->ping_due);
    earliest(&at, c->pong_due);
    earliest(&at, c->age_due);
    earliest(&at, c->grace_due);
    earliest(&at, c->stall_due);
    stream_set_deadline(&c->stream, at);
}

static bool passed(uint64_t due, uint64_t now)
{
    return due != 0 && due <= now;
}

static void ping_when_due(struct http2_connection *c, uint64_t now)
{
    const struct http2_options *o = &c->home->options;
    uint64_t due = c->last_read_ns + ms_to_ns(o->keepalive_ms);
    if (due > now) {
        c->ping_due = due; // something was heard since the clock was set
        return;
    }
    c->ping_due = now + ms_to_ns(o->keepalive_ms);
    bool idle = c->stream_count == 0 && !o->keepalive_without_calls;
    bool many = o->max_pings_without_data > 0 && c->pings_sent >= o->max_pings_without_data;
    if (!idle && !many) {
        c->pings_sent++;
        c->pong_due = now + ms_to_ns(o->keepalive_timeout_ms);
        (void)nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
    }
}

static void drain(struct http2_connection *c)
{
    (void)nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(c->session),
                                NGHTTP2_NO_ERROR, NULL, 0);
    http2_want_flush(c);
}

static void tick(struct stream *stream)
{
    struct http2_connection *c = connection_of(stream);
    const struct http2_options *o = &c->home->options;
    uint64_t now = clock_now_ns();
    if (passed(c->preface_due, now) || passed(c->pong_due, now) || passed(c->grace_due, now)) {
        fail(c);
        return;
    }
    if (passed(c->slow_due, now)) {
        c->slow_due = 0;
        if (c->awaiting > 0 && c->slow_bytes < SLOW_BYTES) {
            http2_connection_close(c, HTTP2_ENHANCE_YOUR_CALM);
            return;
        }
        if (c->awaiting > 0) {
            c->slow_due = now + ms_to_ns((int64_t)o->slow_ms);
            c->slow_bytes = 0;
        }
    }
    if (passed(c->stall_due, now)) {
        c->stall_due = 0;
        if (c->body_bytes > 0) {
            http2_connection_close(c, HTTP2_ENHANCE_YOUR_CALM);
            return;
        }
    }
    if (passed(c->ping_due, now)) {
        ping_when_due(c, now);
    }
    if (passed(c->age_due, now)) {
        c->age_due = 0;
        c->grace_due = o->max_age_grace_ms > 0 ? now + ms_to_ns(o->max_age_grace_ms) : 0;
        drain(c);
    }
    http2_want_flush(c);
    schedule(c);
}

static const struct stream_user stream_callbacks = {
    .room = room,
    .received = received,
    .drained = drained,
    .deadline = tick,
    .closed = stream_gone,
};

// ---- homes and connections ------------------------------------------------------------------------------------------

static void set_defaults(struct http2_options *o)
{
    o->max_streams = o->max_streams > 0 ? o->max_streams : 1024;
    o->stream_window = o->stream_window > 0 ? o->stream_window : 16u << 20;
    o->connection_window = o->connection_window > 0 ? o->connection_window : 64u << 20;
    o->max_frame_size = o->max_frame_size > 0 ? o->max_frame_size : (1u << 24) - 1;
    o->header_list_bytes = o->header_list_bytes > 0 ? o->header_list_bytes : 16 * 1024;
    o->preface_ms = o->preface_ms > 0 ? o->preface_ms : 10000;
    o->slow_ms = o->slow_ms > 0 ? o->slow_ms : 60000;
    o->stall_ms = o->stall_ms > 0 ? o->stall_ms : 300000;
}

struct nrd_status *http2_home_create(struct loop *loop, const struct http2_options *options,
                                     const struct http2_user *user, void *data,
                                     struct http2_home **out)
{
    struct http2_home *home = mem_calloc(1, sizeof(*home));
    if (home == NULL) {
        return status_no_memory();
    }
    home->loop = loop;
    home->options = *options;
    set_defaults(&home->options);
    home->user = user;
    home->data = data;
    list_init(&home->connections);
    home->input = mem_alloc(INPUT_SIZE);
    if (home->input == NULL || nghttp2_session_callbacks_new(&home->callbacks) != 0 ||
        nghttp2_option_new(&home->option) != 0) {
        http2_home_destroy(home);
        return status_no_memory();
    }
    nghttp2_session_callbacks *cb = home->callbacks;
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, http2_client_not_sent);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_payload);
    nghttp2_session_callbacks_set_data_source_read_length_callback(cb, frame_length);
    nghttp2_option_set_no_closed_streams(home->option, 1);
    nghttp2_option_set_stream_reset_rate_limit(home->option, RESET_BURST, RESET_RATE);
    *out = home;
    return NULL;
}

void http2_home_destroy(struct http2_home *home)
{
    if (home == NULL) {
        return;
    }
    packer_stock_fini(&home->stock);
    nghttp2_option_del(home->option);
    nghttp2_session_callbacks_del(home->callbacks);
    mem_free(home->input);
    mem_free(home);
}

struct loop *http2_home_loop(const struct http2_home *home)
{
    return home->loop;
}

unsigned http2_home_connections(const struct http2_home *home)
{
    return home->connection_count;
}

unsigned http2_home_streams(const struct http2_home *home)
{
    return home->stream_count;
}

void *http2_home_data(const struct http2_home *home)
{
    return home->data;
}

void http2_home_drain(struct http2_home *home)
{
    LIST_FOR(node, &home->connections)
    {
        drain(CONTAINER_OF(node, struct http2_connection, node));
    }
}

void http2_home_close(struct http2_home *home)
{
    LIST_FOR_SAFE(node, &home->connections)
    {
        fail(CONTAINER_OF(node, struct http2_connection, node));
    }
}

static bool open_session(struct http2_connection *c)
{
    if (c->client) {
        return http2_client_session(c);
    }
    const struct http2_options *o = &c->home->options;
    if (nghttp2_session_server_new2(&c->session, c->home->callbacks, c, c->home->option) != 0) {
        return false;
    }
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o->max_streams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, o->stream_window},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, o->max_frame_size},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, o->header_list_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    return nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
                                   sizeof(settings) / sizeof(settings[0])) == 0 &&
           nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                 (int32_t)o->connection_window) == 0;
}

static struct http2_connection *create(struct http2_home *home, int fd,
                                       const struct stream_transport *transport,
                                       void *transport_data, void *data, bool client)
{
    struct http2_connection *c = mem_calloc(1, sizeof(*c));
    if (c != NULL) {
        c->home = home;
        c->client = client;
        c->data = data;
        list_init(&c->streams);
        c->packer = (struct packer){.stock = &home->stock, .stream = &c->stream};
    }
    if (c == NULL || !open_session(c)) {
        if (transport->close != NULL) {
            struct stream stub = {.fd = fd, .transport_data = transport_data};
            transport->close(&stub);
        }
        (void)close(fd);
        if (c != NULL) {
            nghttp2_session_del(c->session);
        }
        mem_free(c);
        return NULL;
    }
    // Only now: the loop knows a stream from its beginning on.
    stream_init(&c->stream, home->loop, fd, &stream_callbacks, transport, transport_data);
    const struct http2_options *o = &home->options;
    uint64_t now = loop_now_ns(home->loop);
    c->stream.high_mark = HIGH_MARK;
    c->stream.low_mark = LOW_MARK;
    c->later.run = flush_deferred;
    c->last_read_ns = now;
    c->preface_due = now + ms_to_ns((int64_t)o->preface_ms);
    c->ping_due = o->keepalive_ms > 0 ? now + ms_to_ns(o->keepalive_ms) : 0;
    c->age_due = o->max_age_ms > 0 ? now + ms_to_ns(o->max_age_ms) : 0;
    list_push_back(&home->connections, &c->node);
    home->connection_count++;
    stream_start(&c->stream);
    schedule(c);
    http2_want_flush(c);
    return c;
}

struct http2_connection *http2_connection_create(struct http2_home *home, int fd,
                                                 const struct stream_transport *transport,
                                                 void *transport_data, void *data)
{
    return create(home, fd, transport, transport_data, data, false);
}

struct http2_connection *http2_client_create(struct http2_home *home, int fd,
                                             const struct stream_transport *transport,
                                             void *transport_data, void *data)
{
    return create(home, fd, transport, transport_data, data, true);
}

void *http2_connection_data(const struct http2_connection *connection)
{
    return connection->data;
}

struct http2_home *http2_connection_home(const struct http2_connection *connection)
{
    return connection->home;
}

void http2_connection_close(struct http2_connection *c, enum http2_error error)
{
    (void)nghttp2_session_terminate_session(c->session, (uint32_t)error);
    http2_want_flush(c);
    schedule(c);
}

void http2_connection_abort(struct http2_connection *c)
{
    fail(c);
}

// ---- streams --------------------------------------------------------------------------------------------------------

void http2_stream_await(struct http2_stream *s, bool awaiting)
{
    if (s->awaiting != awaiting && s->connection != NULL) {
        s->awaiting = awaiting;
        if (awaiting) {
            s->connection->awaiting++;
        } else {
            s->connection->awaiting--;
        }
    }
}

void http2_respond(struct http2_stream *s, const struct http2_field *fields, unsigned count,
                   bool copy_values, bool end)
{
    if (s->connection == NULL || s->responded) {
        return;
    }
    nghttp2_nv nv[HTTP2_MAX_FIELDS];
    count = http2_make_nv(fields, count, copy_values, nv);
    s->responded = true;
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = http2_read_payload};
    if (end) {
        s->has_trailers = true; // in the sense of on_stream_close: the answer is whole
    }
    if (nghttp2_submit_response(s->connection->session, s->id, nv, count, end ? NULL : &provider) !=
        0) {
        http2_reset(s, HTTP2_INTERNAL_ERROR);
    }
    http2_want_flush(s->connection);
}

static void wake(struct http2_stream *s)
{
    if (s->deferred) {
        s->deferred = false;
        (void)nghttp2_session_resume_data(s->connection->session, s->id);
    }
    http2_want_flush(s->connection);
}

void http2_send(struct http2_stream *s, struct http2_body *body)
{
    body->next = NULL;
    body->left = 0;
    body->part_at = 0;
    body->part_offset = 0;
    body->references = 1;
    for (unsigned i = 0; i < body->part_count; i++) {
        body->left += body->parts[i].iov_len;
    }
    if (s->connection == NULL || body->left == 0) {
        body_unref(body);
        return;
    }
    body_advance(body, 0); // past leading empty parts
    *s->bodies_tail = body;
    s->bodies_tail = &body->next;
    s->body_bytes += body->left;
    s->connection->body_bytes += body->left;
    wake(s);
}

void http2_end(struct http2_stream *s, const struct http2_field *fields, unsigned count)
{
    if (s->connection == NULL || s->has_trailers) {
        return;
    }
    s->trailers = fields;
    s->trailer_count = count;
    s->has_trailers = true;
    wake(s);
}

void http2_reset(struct http2_stream *s, enum http2_error error)
{
    if (s->connection != NULL) {
        (void)nghttp2_submit_rst_stream(s->connection->session, NGHTTP2_FLAG_NONE, s->id,
                                        (uint32_t)error);
        http2_want_flush(s->connection);
    }
}

void http2_stream_release_headers(struct http2_stream *s)
{
    for (unsigned i = 0; i < s->header_count; i++) {
        nghttp2_rcbuf_decref(s->headers[i].references[0]);
        nghttp2_rcbuf_decref(s->headers[i].references[1]);
    }
    s->header_count = 0;
}

bool http2_header_get(const struct http2_stream *s, struct slice name, struct slice *value)
{
    for (unsigned i = 0; i < s->header_count; i++) {
        if (slice_equal(s->headers[i].name, name)) {
            *value = s->headers[i].value;
            return true;
        }
    }
    return false;
}
