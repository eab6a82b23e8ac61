// SPDX-License-Identifier: Apache-2.0
// gRPC's messages on their way in: see grpc_message.h.
//
//   prefix ─5 bytes─▶ body ─all there─▶ inflated if it must be ─▶ given away ─▶ prefix ...
#include "net/grpc_message.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum {
    TRUST = 256 * 1024 * 1024, // a claimed length up to this gets its buffer at once, untouched
    ALIGNMENT = 64,
    INFLATE_STEP = 64 * 1024, // the least room that inflating asks for
};

enum grpc_encoding grpc_encoding_of(struct slice name)
{
    if (slice_is(name, "identity")) {
        return GRPC_ENCODING_IDENTITY;
    }
    if (slice_is(name, "gzip")) {
        return GRPC_ENCODING_GZIP;
    }
    return slice_is(name, "deflate") ? GRPC_ENCODING_DEFLATE : GRPC_ENCODING_UNKNOWN;
}

void grpc_prefix(char *at, size_t size)
{
    at[0] = 0;
    at[1] = (char)(size >> 24);
    at[2] = (char)(size >> 16);
    at[3] = (char)(size >> 8);
    at[4] = (char)size;
}

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
    char *buffer = buffer_pool_get_locked(buffers, *capacity + lead + 1, &have);
    if (buffer == NULL) {
        return false;
    }
    size_t usable = have - lead - 1;
    *capacity = usable < size ? usable : size;
    *message = (struct grpc_message){buffer + lead, size, buffer};
    return true;
}

static bool incoming_grow(struct grpc_inbox *inbox)
{
    size_t want = inbox->incoming.size - inbox->filled < inbox->filled ? inbox->incoming.size
                                                                       : inbox->filled * 2;
    struct grpc_message larger;
    if (!message_alloc(inbox->buffers, inbox->incoming.size, &want, &larger)) {
        return false;
    }
    memcpy(larger.bytes, inbox->incoming.bytes, inbox->filled);
    buffer_pool_put(inbox->buffers, inbox->incoming.buffer);
    inbox->incoming = larger;
    inbox->capacity = want;
    return true;
}

// Inflates `in` into a new message. False: `*why` says.
static bool inflate_message(const struct grpc_inbox *inbox, const struct grpc_message *in,
                            struct grpc_message *out, const char **why)
{
    struct buffer_pool *buffers = inbox->buffers;
    size_t most = inbox->max_message;
    z_stream z = {0};
    *why = "out of memory";
    if (inflateInit2(&z, inbox->encoding == GRPC_ENCODING_GZIP ? 15 + 16 : 15) != Z_OK) {
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

void grpc_inbox_init(struct grpc_inbox *inbox, struct buffer_pool *buffers, size_t max_message,
                     const char *role)
{
    *inbox = (struct grpc_inbox){
        .buffers = buffers,
        .max_message = max_message > 0 ? max_message : INT32_MAX,
        .role = role,
    };
}

void grpc_inbox_fini(struct grpc_inbox *inbox)
{
    grpc_message_free(inbox->buffers, &inbox->incoming);
}

static int fail(struct grpc_inbox *inbox, enum grpc_status status, const char *text)
{
    inbox->fault = status;
    snprintf(inbox->fault_text, sizeof(inbox->fault_text), "%s", text);
    return -1;
}

// The message is whole.
static int deliver(struct grpc_inbox *inbox, struct grpc_message *out)
{
    struct grpc_message message = inbox->incoming;
    inbox->incoming = (struct grpc_message){0};
    inbox->filled = 0;
    inbox->prefix_size = 0;
    if (inbox->compressed) {
        struct grpc_message plain;
        const char *why = NULL;
        bool ok = inflate_message(inbox, &message, &plain, &why);
        grpc_message_free(inbox->buffers, &message);
        if (!ok) {
            return fail(inbox, GRPC_INTERNAL, why);
        }
        message = plain;
    }
    *out = message;
    return 1;
}

// The prefix is there: checks it and takes a buffer.
static int begin_message(struct grpc_inbox *inbox)
{
    const uint8_t *p = inbox->prefix;
    size_t size = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    inbox->compressed = p[0] == 1;
    if (p[0] > 1) {
        return fail(inbox, GRPC_INTERNAL, "Bad GRPC frame type");
    }
    if (inbox->compressed && inbox->encoding == GRPC_ENCODING_IDENTITY) {
        return fail(inbox, GRPC_INTERNAL, "compressed flag set with identity or empty encoding");
    }
    if (size > inbox->max_message) {
        char text[GRPC_FAULT_TEXT];
        snprintf(text, sizeof(text), "%s: Received message larger than max (%zu vs. %zu)",
                 inbox->role, size, inbox->max_message);
        return fail(inbox, GRPC_RESOURCE_EXHAUSTED, text);
    }
    inbox->filled = 0;
    inbox->capacity = size < TRUST ? size : TRUST;
    if (!message_alloc(inbox->buffers, size, &inbox->capacity, &inbox->incoming)) {
        return fail(inbox, GRPC_RESOURCE_EXHAUSTED, "out of memory");
    }
    return 0;
}

int grpc_inbox_take(struct grpc_inbox *inbox, struct slice *in, struct grpc_message *out)
{
    while (inbox->prefix_size < GRPC_PREFIX) {
        if (in->len == 0) {
            return 0;
        }
        inbox->prefix[inbox->prefix_size++] = (uint8_t)in->ptr[0];
        *in = slice_make(in->ptr + 1, in->len - 1);
        if (inbox->prefix_size == GRPC_PREFIX && begin_message(inbox) < 0) {
            return -1;
        }
    }
    for (;;) {
        size_t wanted = inbox->incoming.size - inbox->filled;
        size_t n = in->len < wanted ? in->len : wanted;
        if (inbox->capacity - inbox->filled < n && !incoming_grow(inbox)) {
            return fail(inbox, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        }
        size_t there = inbox->capacity - inbox->filled;
        n = n < there ? n : there;
        char *to = inbox->incoming.bytes + inbox->filled;
        if (n > 0 && to != in->ptr) {
            memcpy(to, in->ptr, n);
        }
        inbox->filled += n;
        *in = slice_make(in->ptr + n, in->len - n);
        if (inbox->filled == inbox->incoming.size) {
            return deliver(inbox, out);
        }
        if (in->len == 0) {
            return 0;
        }
    }
}

void *grpc_inbox_room(struct grpc_inbox *inbox, size_t *size)
{
    if (inbox->prefix_size < GRPC_PREFIX || inbox->incoming.buffer == NULL) {
        return NULL;
    }
    if (inbox->filled == inbox->capacity && !incoming_grow(inbox)) {
        return NULL; // grpc_inbox_take() will say so
    }
    *size = inbox->capacity - inbox->filled;
    return inbox->incoming.bytes + inbox->filled;
}
