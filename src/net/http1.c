// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 connections. The states of one:
//
//   HEAD -> (LENGTH | CHUNKED) -> HANDLING -> HEAD ... -> LAST
//
// HANDLING lasts until the last byte of the reply has left, so there is one reply buffer a connection, and a client that
// pipelines without reading holds nobody up but itself. In the steady state a request costs one read, one write
// and no allocation.
#include "net/http1_private.h"

#include <stdio.h>
#include <unistd.h>

#define BLOCK_SIZE (16 * 1024)
#define BLOCK_MIN_ROOM 1024
#define TEXT_KEEP (64 * 1024)
#define MAX_CHUNKS 65536
#define PROGRESS_BYTES (64 * 1024)
#define HALF_CLOSED_MS                                                                             \
    1000 // that a client which sends no more has for its answer before it counts as gone
#define NS_PER_MS 1000000ull

struct http1_block {
    _Atomic uint32_t refs;
    struct buffer_pool *pool;
    size_t cap;
    _Alignas(64) char data[];
};

// ---- blocks

static struct http1_block *block_get(struct buffer_pool *pool, size_t size)
{
    size_t cap = 0;
    struct http1_block *block = buffer_pool_get_locked(pool, sizeof(*block) + size, &cap);
    if (block == NULL) {
        return NULL;
    }
    atomic_init(&block->refs, 1);
    block->pool = pool;
    block->cap = cap - sizeof(*block);
    return block;
}

void http1_block_release(struct http1_block *block)
{
    if (block != NULL && atomic_fetch_sub_explicit(&block->refs, 1, memory_order_acq_rel) == 1) {
        buffer_pool_put(block->pool, block);
    }
}

void *http1_block_buffer(struct http1_block *block)
{
    return block;
}

static bool block_is_shared(const struct http1_block *block)
{
    return atomic_load_explicit(&block->refs, memory_order_acquire) != 1;
}

static struct http1_conn *conn_of(struct http1_request *request)
{
    return CONTAINER_OF(request, struct http1_conn, request);
}

struct http1_block *http1_hold_body(struct http1_request *request)
{
    struct http1_conn *conn = conn_of(request);
    struct http1_block *block = conn->body != NULL ? conn->body : conn->block;
    atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    return block;
}

// Makes room for `want` bytes from `start` on, in a block that nobody else holds. False: no memory.
static bool block_make_room(struct http1_conn *conn, size_t want)
{
    size_t used = conn->end - conn->start;
    bool shared = conn->block != NULL && block_is_shared(conn->block);
    if (conn->block == NULL || shared || conn->block->cap < want) {
        struct http1_block *fresh =
            block_get(conn->server->options.pool,
                      want > BLOCK_SIZE - sizeof(*fresh) ? want : BLOCK_SIZE - sizeof(*fresh));
        if (fresh == NULL) {
            return false;
        }
        if (used > 0) {
            memcpy(fresh->data, conn->block->data + conn->start, used);
        }
        http1_block_release(conn->block);
        conn->block = fresh;
    } else if (conn->start > 0 && used > 0) {
        memmove(conn->block->data, conn->block->data + conn->start, used);
    }
    conn->start = 0;
    conn->end = used;
    return true;
}

// ---- the reply

static const struct {
    int status;
    const char *reason;
    struct slice line; // of HTTP/1.1
} reasons[] = {
#define REASON(status, reason)                                                                     \
    {                                                                                              \
        status, reason, SLICE_INIT("HTTP/1.1 " #status " " reason "\r\n")                          \
    }
#define SLICE_INIT(literal)                                                                        \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }
    REASON(200, "OK"),
    REASON(400, "Bad Request"),
    REASON(403, "Forbidden"),
    REASON(404, "Not Found"),
    REASON(405, "Not Allowed"),
    REASON(408, "Request Timeout"),
    REASON(413, "Payload Too Large"),
    REASON(431, "Request Header Fields Too Large"),
    REASON(500, "Internal Server Error"),
    REASON(501, "Not Implemented"),
    REASON(503, "Service Unavailable"),
    REASON(505, "HTTP Version Not Supported"),
};

const char *http1_reason(int status)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Unknown";
}

static void append_status_line(struct str *head, int status, unsigned minor)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]) && minor == 1; i++) {
        if (reasons[i].status == status) {
            str_append_slice(head, reasons[i].line);
            return;
        }
    }
    str_printf(head, "HTTP/1.%u %d %s\r\n", minor, status, http1_reason(status));
}

// Header order is libevhtp's, which is what Triton's clients have always seen: the handler's own, then Content-Length of a
// body, then Connection, Content-Length of an empty body, and at last the default Content-Type.
static void write_head(struct http1_conn *conn, int status, struct slice headers, bool has_type,
                       uint64_t length)
{
    struct str *head = &conn->head;
    unsigned minor = conn->request.head.minor;
    str_clear(head);
    append_status_line(head, status, minor);
    str_append_slice(head, headers);
    if (length > 0 && !conn->parted) {
        str_append_slice(head, SLICE("Content-Length: "));
        str_append_u64(head, length);
        str_append_slice(head, SLICE("\r\n"));
    }
    if (conn->parted && minor == 1) {
        str_append_slice(head, SLICE("Transfer-Encoding: chunked\r\n"));
    }
    if (conn->last && minor == 1) {
        str_append_slice(head, SLICE("Connection: close\r\n"));
    } else if (!conn->last && minor == 0) {
        str_append_slice(head, SLICE("Connection: keep-alive\r\n"));
    }
    if (length == 0 && !conn->parted) {
        str_append_slice(head, SLICE("Content-Length: 0\r\n"));
    }
    if (!has_type) {
        str_append_slice(head, SLICE("Content-Type: text/plain\r\n"));
    }
    str_append_slice(head, SLICE("\r\n"));
}

static void advance(struct http1_conn *conn);

// Looks for quiet from here on, so that memory which comes back to the pool does not stay there.
static void note_activity(struct http1_conn *conn)
{
    struct conn_list *list = &conn->server->lists[conn->loop_index];
    list->served++;
    if (!list->quiet_set) {
        list->quiet_set = true;
        atomic_fetch_add_explicit(&list->server->lists_awake, 1, memory_order_relaxed);
        loop_timer_start(&list->quiet, HTTP1_QUIET_MS);
    }
}

static void free_conn(struct http1_conn *conn)
{
    struct http1_server *server = conn->server;
    http1_block_release(conn->block);
    http1_block_release(conn->body);
    note_activity(conn); // a body that was broken off, or the blocks of many that were idle
    str_fini(&conn->head);
    str_fini(&conn->text);
    object_pool_put(server->conns, conn);
    atomic_fetch_sub_explicit(&server->alive, 1, memory_order_release);
}

static void trim_text(struct str *text)
{
    if (text->cap > TEXT_KEEP) {
        str_fini(text);
        str_init(text);
    } else {
        str_clear(text);
    }
}

// The request and its reply are over.
static void reply_done(struct stream_chunk *chunk)
{
    struct http1_conn *conn = CONTAINER_OF(chunk, struct http1_conn, done_chunk);
    conn->replied = false;
    http1_block_release(conn->body);
    conn->body = NULL;
    trim_text(&conn->text);
    note_activity(conn);
    if (conn->last || stream_is_closing(&conn->stream)) {
        conn->state = CONN_LAST;
        return;
    }
    conn->state = CONN_HEAD;
    if (conn->server->options.idle_timeout_ms != 0 && conn->start == conn->end) {
        stream_set_deadline(&conn->stream, loop_now_ns(conn->stream.loop) +
                                               conn->server->options.idle_timeout_ms * NS_PER_MS);
    }
    advance(conn);
}

static void release_chunks(struct stream_chunk *chunks)
{
    while (chunks != NULL) {
        struct stream_chunk *next = chunks->next;
        if (chunks->release != NULL) {
            chunks->release(chunks);
        }
        chunks = next;
    }
}

struct str *http1_text(struct http1_request *request)
{
    return &conn_of(request)->text;
}

static void queue_text(struct http1_conn *conn)
{
    if (conn->text.len > 0) {
        conn->text_chunk = (struct stream_chunk){.ptr = conn->text.ptr, .len = conn->text.len};
        stream_queue(&conn->stream, &conn->text_chunk);
    }
}

// The reply is owed no more: queues its end and sends.
static void finish_reply(struct http1_conn *conn)
{
    conn->owed = false;
    conn->replied = true;
    conn->done_chunk = (struct stream_chunk){.release = reply_done};
    stream_queue(&conn->stream, &conn->done_chunk);
    if (conn->last) {
        stream_finish(&conn->stream);
    } else {
        stream_flush(&conn->stream);
    }
}

// The client has gone before its reply was ready.
static bool drop_if_gone(struct http1_conn *conn, struct stream_chunk *chunks)
{
    if (!conn->gone) {
        return false;
    }
    release_chunks(chunks);
    free_conn(conn);
    return true;
}

void http1_reply(struct http1_request *request, int status, struct slice headers, bool has_type,
                 struct stream_chunk *chunks)
{
    struct http1_conn *conn = conn_of(request);
    if (drop_if_gone(conn, chunks)) {
        return;
    }
    uint64_t length = conn->text.len;
    for (const struct stream_chunk *chunk = chunks; chunk != NULL; chunk = chunk->next) {
        length += chunk->len;
    }
    conn->parted = false;
    write_head(conn, status, headers, has_type, length);
    if (conn->head.failed || conn->text.failed) {
        stream_close(&conn->stream, STREAM_END_LOCAL);
    }
    conn->head_chunk = (struct stream_chunk){.ptr = conn->head.ptr, .len = conn->head.len};
    stream_queue(&conn->stream, &conn->head_chunk);
    if (request->head.method == HTTP1_HEAD) {
        release_chunks(chunks);
        chunks = NULL;
    } else {
        queue_text(conn);
    }
    while (chunks != NULL) {
        struct stream_chunk *next = chunks->next;
        stream_queue(&conn->stream, chunks);
        chunks = next;
    }
    finish_reply(conn);
}

void http1_reply_begin(struct http1_request *request, int status, struct slice headers,
                       bool has_type)
{
    struct http1_conn *conn = conn_of(request);
    if (conn->gone) {
        return;
    }
    conn->parted = true;
    conn->last = conn->last || request->head.minor == 0;
    write_head(conn, status, headers, has_type, 0);
    if (conn->head.failed) {
        stream_close(&conn->stream, STREAM_END_LOCAL);
    }
    conn->head_chunk = (struct stream_chunk){.ptr = conn->head.ptr, .len = conn->head.len};
    stream_queue(&conn->stream, &conn->head_chunk);
    stream_flush_later(&conn->stream);
}

struct part {
    struct stream_chunk chunk;
    struct buffer_pool *pool;
    char data[];
};

static void release_part(struct stream_chunk *chunk)
{
    struct part *part = CONTAINER_OF(chunk, struct part, chunk);
    buffer_pool_put(part->pool, part);
}

bool http1_reply_part(struct http1_request *request, struct slice bytes)
{
    struct http1_conn *conn = conn_of(request);
    if (conn->gone || bytes.len == 0 || request->head.method == HTTP1_HEAD) {
        return true;
    }
    struct buffer_pool *pool = conn->server->options.pool;
    struct part *part = buffer_pool_get(pool, sizeof(*part) + bytes.len + 32, NULL);
    if (part == NULL) {
        stream_close(&conn->stream, STREAM_END_LOCAL);
        return false;
    }
    size_t at = 0;
    if (request->head.minor == 1) {
        at = (size_t)snprintf(part->data, 32, "%zx\r\n", bytes.len);
    }
    memcpy(part->data + at, bytes.ptr, bytes.len);
    at += bytes.len;
    if (request->head.minor == 1) {
        memcpy(part->data + at, "\r\n", 2);
        at += 2;
    }
    part->pool = pool;
    part->chunk = (struct stream_chunk){.ptr = part->data, .len = at, .release = release_part};
    stream_queue(&conn->stream, &part->chunk);
    stream_flush_later(&conn->stream);
    return true;
}

void http1_reply_end(struct http1_request *request)
{
    static const char end[] = "0\r\n\r\n";
    struct http1_conn *conn = conn_of(request);
    if (drop_if_gone(conn, NULL)) {
        return;
    }
    if (request->head.minor == 1 && request->head.method != HTTP1_HEAD) {
        conn->text_chunk = (struct stream_chunk){.ptr = end, .len = sizeof(end) - 1};
        stream_queue(&conn->stream, &conn->text_chunk);
    }
    finish_reply(conn);
}

size_t http1_reply_pending(const struct http1_request *request)
{
    const struct http1_conn *conn =
        (const struct http1_conn *)(const void *)((const char *)request -
                                                  offsetof(struct http1_conn, request));
    return conn->gone ? 0 : stream_pending(&conn->stream);
}

// Answers what the parser refuses, and closes. `text` has nothing that JSON must escape but what is quoted here.
static void refuse(struct http1_conn *conn, int status, const char *text)
{
    if (status == 505 || conn->state == CONN_HEAD) {
        conn->request.head.minor = 1;
        conn->request.head.method = HTTP1_OTHER;
    }
    conn->state = CONN_HANDLING;
    conn->last = true;
    conn->owed = true;
    stream_set_deadline(&conn->stream, 0);
    str_clear(&conn->text);
    str_printf(&conn->text, "{\"error\":\"%s\"}", text);
    http1_reply(&conn->request, status, SLICE("Content-Type: application/json\r\n"), true, NULL);
}

// ---- the request

static void await_cancel(struct http1_conn *conn)
{
    stream_set_deadline(&conn->stream, loop_now_ns(conn->stream.loop) + HALF_CLOSED_MS * NS_PER_MS);
}

static void dispatch(struct http1_conn *conn, struct slice body)
{
    struct http1_request *request = &conn->request;
    conn->state = CONN_HANDLING;
    conn->owed = true;
    stream_set_deadline(&conn->stream, 0);
    if (conn->half_closed) {
        await_cancel(conn);
    }
    request->body = body;
    request->cancelled = NULL;
    request->user_data = NULL;
    conn->server->options.handle(conn->server->options.user, request);
}

static void body_deadline(struct http1_conn *conn)
{
    conn->progress = 0;
    stream_set_deadline(&conn->stream, loop_now_ns(conn->stream.loop) +
                                           conn->server->options.body_timeout_ms * NS_PER_MS);
}

static void send_continue(struct http1_conn *conn)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (conn->request.head.expect_continue && conn->request.head.minor == 1) {
        conn->continue_chunk = (struct stream_chunk){.ptr = text, .len = sizeof(text) - 1};
        stream_queue(&conn->stream, &conn->continue_chunk);
        stream_flush(&conn->stream);
    }
}

// A body of known length follows. Returns false when more input is needed.
static bool begin_length(struct http1_conn *conn)
{
    struct http1_request *request = &conn->request;
    uint64_t length = request->head.length;
    size_t here = conn->end - conn->start;
    if (length > conn->server->options.max_body) {
        request->body_refused = true;
        conn->last = true;
        dispatch(conn, (struct slice){NULL, 0});
        return true;
    }
    conn->state = CONN_LENGTH;
    if (here >= length) {
        return true;
    }
    if (length > conn->block->cap - conn->start) {
        conn->body = block_get(conn->server->options.pool, (size_t)length);
        if (conn->body == NULL) {
            refuse(conn, 503, "out of memory for the request body");
            return true;
        }
        memcpy(conn->body->data, conn->block->data + conn->start, here);
        conn->received = here;
        conn->end = conn->start;
    }
    if (here == 0) {
        send_continue(conn);
    }
    body_deadline(conn);
    return false;
}

static bool begin_chunked(struct http1_conn *conn)
{
    conn->state = CONN_CHUNKED;
    conn->chunked = (struct http1_chunked){0};
    conn->framing_at = conn->start;
    if (conn->end == conn->start) {
        send_continue(conn);
    }
    body_deadline(conn);
    return true;
}

// Room for a head is asked for with the head at `start`. False: wait for input.
static bool step_head(struct http1_conn *conn)
{
    char *data = conn->block == NULL ? NULL : conn->block->data;
    while (conn->start < conn->end && (data[conn->start] == '\r' || data[conn->start] == '\n')) {
        conn->start++; // RFC 9112 2.2: empty lines before a request are passed over
        conn->scanned = 0;
    }
    if (conn->start == conn->end) {
        return false;
    }
    struct slice bytes = slice_make(data + conn->start, conn->end - conn->start);
    size_t length = http1_head_length(bytes, &conn->scanned);
    if (length > conn->server->options.max_head ||
        (length == 0 && bytes.len > conn->server->options.max_head)) {
        refuse(conn, 431, "request header is too large");
        return true;
    }
    if (length == 0) {
        if (!http1_may_begin(bytes.ptr[0])) {
            refuse(conn, 400, "malformed request line");
            return true;
        }
        if (conn->stream.limit.at_ns == 0) {
            stream_set_deadline(&conn->stream,
                                loop_now_ns(conn->stream.loop) +
                                    conn->server->options.head_timeout_ms * NS_PER_MS);
        }
        return false;
    }
    conn->scanned = 0;
    if (conn->block->cap - conn->start - length < BLOCK_MIN_ROOM) {
        // The head keeps its place from here on, so there must be room behind it for chunk framing.
        if (!block_make_room(conn, conn->end - conn->start + BLOCK_MIN_ROOM)) {
            stream_close(&conn->stream, STREAM_END_LOCAL);
            return false;
        }
        bytes.ptr = data = conn->block->data;
    }
    const char *reason = "";
    struct http1_request *request = &conn->request;
    int refusal = http1_head_parse(slice_make(bytes.ptr, length), &request->head, &reason);
    if (refusal != 0) {
        refuse(conn, refusal, reason);
        return true;
    }
    conn->start += length;
    conn->last = !request->head.keep_alive;
    conn->received = 0;
    request->body_refused = false;
    if (request->head.chunked) {
        return begin_chunked(conn);
    }
    if (request->head.length > 0) {
        return begin_length(conn);
    }
    dispatch(conn, (struct slice){data + conn->start, 0});
    return true;
}

static bool step_length(struct http1_conn *conn)
{
    uint64_t length = conn->request.head.length;
    if (conn->body != NULL) {
        if (conn->received < length) {
            return false;
        }
        stream_enough(&conn->stream);
        dispatch(conn, slice_make(conn->body->data, (size_t)length));
        return true;
    }
    if (conn->end - conn->start < length) {
        return false;
    }
    struct slice body = slice_make(conn->block->data + conn->start, (size_t)length);
    conn->start += (size_t)length;
    dispatch(conn, body);
    return true;
}

// Enlarges the block of a chunked body so that `extra` bytes more fit.
static bool grow_body(struct http1_conn *conn, uint64_t extra)
{
    uint64_t want = conn->received + extra;
    if (conn->body != NULL && want <= conn->body->cap) {
        return true;
    }
    uint64_t cap = conn->body == NULL ? BLOCK_SIZE / 2 : (uint64_t)conn->body->cap * 2;
    struct http1_block *fresh =
        block_get(conn->server->options.pool, (size_t)(want > cap ? want : cap));
    if (fresh == NULL) {
        return false;
    }
    if (conn->body != NULL) {
        memcpy(fresh->data, conn->body->data, (size_t)conn->received);
        http1_block_release(conn->body);
    }
    conn->body = fresh;
    return true;
}

// The chunk at hand is acceptable: not one too many, and within the body's limit.
static bool check_chunk(struct http1_conn *conn)
{
    if (conn->chunked.chunks > MAX_CHUNKS) {
        refuse(conn, 400,
               "Chunked request body exceeds maximum of 65536 non-empty chunks. Send fewer or "
               "larger HTTP chunks.");
        return false;
    }
    if (conn->chunked.left > conn->server->options.max_body - conn->received) {
        refuse(conn, 413, "chunked request body is too large");
        return false;
    }
    return true;
}

static bool step_chunked(struct http1_conn *conn)
{
    for (;;) {
        struct slice in = slice_make(conn->block->data + conn->start, conn->end - conn->start);
        int next = http1_chunked_next(&conn->chunked, &in);
        conn->start = conn->end - in.len;
        if (next < 0) {
            refuse(conn, 400, "malformed chunked body");
            return true;
        }
        if (next == 0) {
            return false;
        }
        if (next == 2) {
            const char *data = conn->body == NULL ? conn->block->data : conn->body->data;
            dispatch(conn, slice_make(data, (size_t)conn->received));
            return true;
        }
        if (!check_chunk(conn)) {
            return true;
        }
        // Memory is taken for what has come, not for what a size line promises.
        size_t take = in.len < conn->chunked.left ? in.len : (size_t)conn->chunked.left;
        if (take == 0) {
            return false;
        }
        if (!grow_body(conn, take)) {
            refuse(conn, 503, "out of memory for the request body");
            return true;
        }
        memcpy(conn->body->data + conn->received, in.ptr, take);
        conn->received += take;
        conn->start += take;
        http1_chunked_taken(&conn->chunked, take);
    }
}

// True when something changed that may let the next step go on.
static bool step(struct http1_conn *conn)
{
    switch (conn->state) {
    case CONN_HEAD:
        return step_head(conn);
    case CONN_LENGTH:
        return step_length(conn);
    case CONN_CHUNKED:
        return step_chunked(conn);
    case CONN_HANDLING:
    case CONN_LAST:
        break;
    }
    return false;
}

static void advance(struct http1_conn *conn)
{
    if (conn->advancing) {
        return;
    }
    conn->advancing = true;
    while (!stream_is_closing(&conn->stream) && step(conn)) {
    }
    conn->advancing = false;
    if (conn->half_closed && conn->state != CONN_HANDLING && conn->state != CONN_LAST) {
        conn->state = CONN_LAST; // what is left of a request will never be whole
        stream_finish(&conn->stream);
        return;
    }
    stream_resume(&conn->stream);
}

// ---- the stream's calls

static struct http1_conn *conn_of_stream(struct stream *stream)
{
    return CONTAINER_OF(stream, struct http1_conn, stream);
}

static void *body_room(struct http1_conn *conn, size_t *size)
{
    if (conn->state == CONN_LENGTH) {
        *size = (size_t)(conn->request.head.length - conn->received);
        return conn->body->data + conn->received;
    }
    // A long chunk is read straight to where it stays.
    uint64_t free_bytes = conn->body->cap - conn->received;
    *size = (size_t)(conn->chunked.left < free_bytes ? conn->chunked.left : free_bytes);
    return conn->body->data + conn->received;
}

static bool reads_body(const struct http1_conn *conn)
{
    if (conn->body == NULL) {
        return false;
    }
    return conn->state == CONN_LENGTH ||
           (conn->state == CONN_CHUNKED && conn->chunked.state == HTTP1_CHUNK_DATA &&
            conn->start == conn->end && conn->chunked.left > BLOCK_SIZE);
}

static void *conn_room(struct stream *stream, size_t *size)
{
    struct http1_conn *conn = conn_of_stream(stream);
    if (conn->state == CONN_LAST) {
        return NULL;
    }
    if (reads_body(conn)) {
        if (conn->state == CONN_CHUNKED && conn->received == conn->body->cap &&
            !grow_body(conn, 1)) {
            stream_close(stream, STREAM_END_LOCAL);
            return NULL;
        }
        return body_room(conn, size);
    }
    if (conn->state == CONN_HEAD) {
        // Rewind, or leave a block that a backend still reads, or grow for a long head.
        size_t used = conn->end - conn->start;
        if (conn->block == NULL || conn->block->cap - conn->end < BLOCK_MIN_ROOM ||
            block_is_shared(conn->block) || (used == 0 && conn->start > 0)) {
            if (!block_make_room(conn, used + BLOCK_MIN_ROOM)) {
                stream_close(stream, STREAM_END_LOCAL);
                return NULL;
            }
        }
    } else if (conn->state == CONN_CHUNKED) {
        // All framing was eaten; the head stays, its headers are borrowed.
        conn->start = conn->framing_at;
        conn->end = conn->framing_at;
    }
    *size = conn->block->cap - conn->end;
    return *size == 0 ? NULL : conn->block->data + conn->end;
}

static void conn_received(struct stream *stream, size_t size)
{
    struct http1_conn *conn = conn_of_stream(stream);
    if (reads_body(conn)) {
        conn->received += size;
        if (conn->state == CONN_CHUNKED) {
            http1_chunked_taken(&conn->chunked, size);
        }
    } else {
        conn->end += size;
    }
    if (conn->state == CONN_LENGTH || conn->state == CONN_CHUNKED) {
        conn->progress += size;
        if (conn->progress >= PROGRESS_BYTES) {
            body_deadline(conn);
        }
    }
    advance(conn);
}

// Tells the handler, once, that its client has gone.
static void cancel_request(struct http1_conn *conn)
{
    void (*cancelled)(struct http1_request * request) = conn->request.cancelled;
    if (conn->owed && cancelled != NULL) {
        conn->request.cancelled = NULL;
        cancelled(&conn->request);
    }
}

// A client that has closed looks like one that has only ended its half and still reads: the requests that are here are
// answered, but one that takes long is cancelled then, and whatever comes of it is sent.
static void conn_peer_closed(struct stream *stream)
{
    struct http1_conn *conn = conn_of_stream(stream);
    conn->half_closed = true;
    if (conn->state != CONN_HANDLING) {
        stream_close(stream, STREAM_END_PEER);
    } else if (conn->owed) {
        await_cancel(conn);
    }
}

static void conn_deadline(struct stream *stream)
{
    struct http1_conn *conn = conn_of_stream(stream);
    bool idle = conn->state == CONN_HEAD && conn->start == conn->end;
    if (conn->state == CONN_HANDLING && conn->half_closed) {
        cancel_request(conn);
    } else if (idle || conn->state == CONN_HANDLING || conn->state == CONN_LAST) {
        stream_close(stream, STREAM_END_TIMEOUT);
    } else {
        refuse(conn, 408, "the request took too long to arrive");
    }
}

static void conn_closed(struct stream *stream, enum stream_end end)
{
    (void)end;
    struct http1_conn *conn = conn_of_stream(stream);
    conn->gone = true;
    list_remove(&conn->node);
    listener_connection_ended(conn->server->listener, conn->loop_index);
    if (conn->owed) {
        cancel_request(conn);
    } else {
        free_conn(conn);
    }
}

static const struct stream_user conn_user = {
    .room = conn_room,
    .received = conn_received,
    .peer_closed = conn_peer_closed,
    .deadline = conn_deadline,
    .closed = conn_closed,
};

void http1_accepted(void *user, struct loop *loop, unsigned loop_index, int fd)
{
    struct http1_server *server = user;
    struct http1_conn *conn = NULL;
    if (!atomic_load_explicit(&server->closing, memory_order_acquire)) {
        conn = object_pool_get(server->conns);
    }
    if (conn == NULL) {
        close(fd);
        listener_connection_ended(server->listener, loop_index);
        return;
    }
    // The request holds a hundred headers; only what is read before it is written needs a value.
    memset(conn, 0, offsetof(struct http1_conn, request));
    conn->request.loop = loop;
    conn->request.head.minor = 1;
    conn->request.head.method = HTTP1_OTHER;
    str_init(&conn->head);
    str_init(&conn->text);
    conn->server = server;
    conn->loop_index = loop_index;
    atomic_fetch_add_explicit(&server->alive, 1, memory_order_relaxed);
    list_push_back(&server->lists[loop_index].head, &conn->node);
    stream_init(&conn->stream, loop, fd, &conn_user, &stream_transport_tcp, NULL);
    stream_start(&conn->stream);
}
