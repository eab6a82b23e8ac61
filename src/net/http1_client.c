// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 client: see http1_client.h.
//
//   IDLE ─send─▶ HEAD ─▶ LENGTH | CHUNKED | UNTIL_CLOSE ─▶ IDLE, or closing
//                 └─1xx─▶ HEAD
//
// A response that is whole before its request has been sent, and one whose end only the connection's end can tell, close the
// connection; done() then waits for closed(), when the stream has let go of the request's memory. Start at received().
#include "net/http1_client.h"

#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    BLOCK_SIZE = 16 * 1024, // where heads are received, and bodies of chunks
    HEAD_MAX = 64 * 1024,
    FIRST_BODY = 64 * 1024, // of a body whose length is not told
    ALIGNMENT = 64,
    WHY_SIZE = 192,
};

enum state { STATE_IDLE, STATE_HEAD, STATE_LENGTH, STATE_CHUNKED, STATE_UNTIL_CLOSE };

struct http1_client {
    struct stream stream;
    struct http1_client_shared *shared;
    void *data;
    const char *reason;
    enum state state;
    struct http1_exchange *exchange;
    bool keep;  // the connection may carry another exchange
    bool whole; // the response is whole; done() waits for the stream's end
    char *block;
    size_t block_size;
    size_t used;
    size_t scanned;
    struct http1_chunked chunked;
    size_t lead;     // before the body in its buffer
    size_t capacity; // of the body
    size_t length;   // of the body, where it was told
    char why[WHY_SIZE];
};

static struct http1_client *client_of(struct stream *stream)
{
    return CONTAINER_OF(stream, struct http1_client, stream);
}

// ---- ends -----------------------------------------------------------------------------------------------------------

static void broken(struct http1_client *c, const char *why)
{
    if (c->why[0] == '\0') {
        snprintf(c->why, sizeof(c->why), "%s", why);
    }
    stream_close(&c->stream, STREAM_END_LOCAL);
}

static void malformed(struct http1_client *c, const char *reason)
{
    char why[WHY_SIZE];
    snprintf(why, sizeof(why), "malformed response: %s", reason);
    broken(c, why);
}

// The response is whole.
static void finish(struct http1_client *c)
{
    if (!c->keep || stream_pending(&c->stream) > 0) {
        c->whole = true;
        stream_close(&c->stream, STREAM_END_LOCAL);
        return;
    }
    struct http1_exchange *x = c->exchange;
    c->exchange = NULL;
    c->state = STATE_IDLE;
    stream_enough(&c->stream);
    c->shared->user->done(c, x, NULL);
}

// ---- bodies ---------------------------------------------------------------------------------------------------------

// A buffer for a body of `size` bytes, what was received so far moves. False: the connection is broken.
static bool body_room(struct http1_client *c, size_t size)
{
    struct http1_exchange *x = c->exchange;
    size_t have = 0;
    char *buffer = buffer_pool_get(c->shared->buffers, c->lead + size + 1, &have);
    if (buffer == NULL) {
        broken(c, "out of memory for the response");
        return false;
    }
    if (x->size > 0) {
        memcpy(buffer + c->lead, x->body, x->size);
    }
    buffer_pool_put(c->shared->buffers, x->buffer);
    x->buffer = buffer;
    x->body = buffer + c->lead;
    c->capacity = have - c->lead - 1;
    return true;
}

static bool body_append(struct http1_client *c, const char *bytes, size_t size)
{
    struct http1_exchange *x = c->exchange;
    if (size > c->shared->max_body - x->size) {
        broken(c, "the response is larger than allowed");
        return false;
    }
    if (size > c->capacity - x->size) {
        size_t want = c->capacity < FIRST_BODY ? FIRST_BODY : c->capacity * 2;
        if (!body_room(c, want > x->size + size ? want : x->size + size)) {
            return false;
        }
    }
    memcpy(x->body + x->size, bytes, size);
    x->size += size;
    return true;
}

static void take_chunks(struct http1_client *c, struct slice in)
{
    for (;;) {
        int next = http1_chunked_next(&c->chunked, &in);
        if (next < 0) {
            malformed(c, "bad chunk");
            return;
        }
        if (next == 0) {
            return;
        }
        if (next == 2) {
            c->keep = c->keep && in.len == 0;
            finish(c);
            return;
        }
        size_t size = in.len < c->chunked.left ? in.len : (size_t)c->chunked.left;
        if (size == 0) {
            return;
        }
        if (!body_append(c, in.ptr, size)) {
            return;
        }
        http1_chunked_taken(&c->chunked, size);
        in = slice_make(in.ptr + size, in.len - size);
    }
}

// Begins the body; `rest` is what came behind the head.
static void begin_body(struct http1_client *c, const struct http1_head *head, struct slice rest)
{
    struct http1_exchange *x = c->exchange;
    size_t aligned = x->head != NULL ? x->head(x, head) : 0;
    c->lead = (ALIGNMENT - aligned % ALIGNMENT) % ALIGNMENT;
    c->capacity = 0;
    c->length = 0;
    bool none = x->bodiless || head->status == 204 || head->status == 304;
    if (!none && head->chunked) {
        c->state = STATE_CHUNKED;
        c->chunked = (struct http1_chunked){0};
        take_chunks(c, rest);
        return;
    }
    if (!none && !head->has_length) {
        c->state = STATE_UNTIL_CLOSE;
        c->keep = false;
        (void)body_append(c, rest.ptr, rest.len);
        return;
    }
    if (!none && head->length > c->shared->max_body) {
        broken(c, "the response is larger than allowed");
        return;
    }
    c->state = STATE_LENGTH;
    c->length = none ? 0 : (size_t)head->length;
    c->keep = c->keep && rest.len <= c->length;
    size_t size = rest.len < c->length ? rest.len : c->length;
    if (c->length > 0 && !body_room(c, c->length)) {
        return;
    }
    if (size > 0) {
        memcpy(x->body, rest.ptr, size);
        x->size = size;
    }
    if (size == c->length) {
        finish(c);
    }
}

// ---- heads ----------------------------------------------------------------------------------------------------------

// Looks for a whole head in the block. Informational ones are passed over.
static void take_head(struct http1_client *c)
{
    struct http1_head *head = &c->shared->head;
    size_t at = 0;
    for (;;) {
        struct slice bytes = slice_make(c->block + at, c->used - at);
        size_t size = http1_head_length(bytes, &c->scanned);
        if (size == 0) {
            memmove(c->block, c->block + at, c->used - at);
            c->used -= at;
            if (c->used >= HEAD_MAX) {
                malformed(c, "the head is too large");
            }
            return;
        }
        c->scanned = 0;
        at += size;
        const char *reason = NULL;
        if (!http1_response_parse(slice_make(bytes.ptr, size), head, &reason)) {
            malformed(c, reason);
            return;
        }
        if (head->status == 101) {
            malformed(c, "the server changes to another protocol");
            return;
        }
        if (head->status < 200) {
            continue;
        }
        c->exchange->status = head->status;
        c->keep = head->keep_alive;
        struct slice rest = slice_make(c->block + at, c->used - at);
        c->used = 0;
        begin_body(c, head, rest);
        return;
    }
}

// ---- the stream's callbacks -----------------------------------------------------------------------------------------

static void *room(struct stream *stream, size_t *size)
{
    struct http1_client *c = client_of(stream);
    struct http1_exchange *x = c->exchange;
    if (c->state == STATE_LENGTH) {
        *size = c->length - x->size;
        return x->body + x->size;
    }
    if (c->state == STATE_HEAD && c->used == c->block_size) {
        size_t have = 0;
        char *larger = buffer_pool_get(c->shared->buffers, HEAD_MAX, &have);
        if (larger == NULL) {
            broken(c, "out of memory for the response");
            return NULL;
        }
        memcpy(larger, c->block, c->used);
        buffer_pool_put(c->shared->buffers, c->block);
        c->block = larger;
        c->block_size = have;
    }
    size_t used = c->state == STATE_HEAD ? c->used : 0;
    *size = c->block_size - used;
    return c->block + used;
}

static void received(struct stream *stream, size_t size)
{
    struct http1_client *c = client_of(stream);
    switch (c->state) {
    case STATE_IDLE:
        // Nothing was asked: whatever it is (a farewell, as a rule), the connection is of no more use.
        broken(c, "the server spoke unasked");
        return;
    case STATE_HEAD:
        c->exchange->heard = true;
        c->used += size;
        take_head(c);
        return;
    case STATE_LENGTH:
        c->exchange->size += size;
        if (c->exchange->size == c->length) {
            finish(c);
        }
        return;
    case STATE_CHUNKED:
        take_chunks(c, slice_make(c->block, size));
        return;
    case STATE_UNTIL_CLOSE:
        (void)body_append(c, c->block, size);
        return;
    }
}

static void peer_closed(struct stream *stream)
{
    struct http1_client *c = client_of(stream);
    if (c->state == STATE_UNTIL_CLOSE) {
        finish(c);
        return;
    }
    broken(c, c->exchange != NULL && c->exchange->heard
                  ? "the server closed the connection in the middle of its answer"
                  : "the server closed the connection without an answer");
}

static const char *reason_of(const struct http1_client *c, enum stream_end end)
{
    if (c->reason != NULL && c->reason[0] != '\0') {
        return c->reason;
    }
    if (c->why[0] != '\0') {
        return c->why;
    }
    return end == STREAM_END_TIMEOUT ? "the server takes no more bytes"
                                     : "the connection was reset by the server";
}

static void closed(struct stream *stream, enum stream_end end)
{
    struct http1_client *c = client_of(stream);
    struct http1_exchange *x = c->exchange;
    c->exchange = NULL;
    if (x != NULL) {
        c->shared->user->done(c, x, c->whole ? NULL : reason_of(c, end));
    }
    c->shared->user->gone(c);
    buffer_pool_put(c->shared->buffers, c->block);
    mem_free(c);
}

static const struct stream_user callbacks = {
    .room = room,
    .received = received,
    .peer_closed = peer_closed,
    .closed = closed,
};

// ---- what users call ------------------------------------------------------------------------------------------------

struct http1_client *http1_client_create(struct http1_client_shared *shared, int fd,
                                         const struct stream_transport *transport,
                                         void *transport_data, const char *reason, void *data)
{
    struct http1_client *c = mem_calloc(1, sizeof(*c));
    if (c == NULL ||
        (c->block = buffer_pool_get(shared->buffers, BLOCK_SIZE, &c->block_size)) == NULL) {
        if (transport->close != NULL) {
            struct stream stub = {.fd = fd, .transport_data = transport_data};
            transport->close(&stub);
        }
        close(fd);
        mem_free(c);
        return NULL;
    }
    c->shared = shared;
    c->data = data;
    c->reason = reason;
    stream_init(&c->stream, shared->loop, fd, &callbacks, transport, transport_data);
    stream_start(&c->stream);
    return c;
}

void *http1_client_data(const struct http1_client *client)
{
    return client->data;
}

bool http1_client_ready(const struct http1_client *client)
{
    return client->exchange == NULL && !stream_is_closing(&client->stream);
}

void http1_client_send(struct http1_client *client, struct http1_exchange *x)
{
    client->exchange = x;
    client->state = STATE_HEAD;
    client->used = 0;
    client->scanned = 0;
    x->status = 0;
    x->heard = false;
    x->body = NULL;
    x->size = 0;
    x->buffer = NULL;
    for (unsigned i = 0; i < x->chunk_count; i++) {
        x->chunks[i].release = NULL;
        stream_queue(&client->stream, &x->chunks[i]);
    }
    stream_flush(&client->stream);
}

void http1_client_close(struct http1_client *client, const char *why)
{
    broken(client, why);
}

struct http1_exchange *http1_client_exchange(const struct http1_client *client)
{
    return client->exchange;
}
