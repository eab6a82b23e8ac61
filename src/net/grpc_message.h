// SPDX-License-Identifier: Apache-2.0
// gRPC's messages on their way in: the same for servers and clients.
//
// An inbox turns the payload of a stream into whole messages, each in one contiguous pooled buffer into which the socket was read. The
// buffer is taken when the five bytes before a message tell its length; lengths above 256 MiB are only believed as the bytes
// come. Thread: loop.
#ifndef NEREID_NET_GRPC_MESSAGE_H
#define NEREID_NET_GRPC_MESSAGE_H

#include "base/pool.h"
#include "base/slice.h"

// Status codes of gRPC that the transport itself needs.
enum grpc_status {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16,
};

enum { GRPC_PREFIX = 5 }; // bytes before each message: compressed flag, length

enum grpc_encoding {
    GRPC_ENCODING_IDENTITY,
    GRPC_ENCODING_DEFLATE,
    GRPC_ENCODING_GZIP,
    GRPC_ENCODING_UNKNOWN
};
enum grpc_encoding grpc_encoding_of(struct slice name);

// One received message. Its last byte is followed by at least one that may be written; it ends on a multiple of 64
// bytes, so that a tensor that comes last is aligned. Owned by whoever has it: grpc_message_free().
struct grpc_message {
    char *bytes;
    size_t size;
    void *buffer; // of the pool; NULL when nothing is owned
};
void grpc_message_free(struct buffer_pool *buffers, struct grpc_message *message);
// Writes the five bytes before an uncompressed message of `size` bytes.
void grpc_prefix(char *at, size_t size);

enum { GRPC_FAULT_TEXT = 128 };
struct grpc_inbox {
    struct buffer_pool *buffers; // borrowed
    size_t max_message;
    const char *role; // "SERVER" or "CLIENT", for texts
    uint8_t encoding; // enum grpc_encoding, of the headers
    bool compressed;  // the message under way
    uint8_t prefix[GRPC_PREFIX];
    uint8_t prefix_size;
    struct grpc_message incoming;
    size_t filled;
    size_t capacity; // bytes of `incoming` that its buffer has room for
    // Why grpc_inbox_take() failed.
    enum grpc_status fault;
    char fault_text[GRPC_FAULT_TEXT];
};

// `max_message` 0: INT32_MAX.
void grpc_inbox_init(struct grpc_inbox *inbox, struct buffer_pool *buffers, size_t max_message,
                     const char *role);
void grpc_inbox_fini(struct grpc_inbox *inbox);
// Takes bytes from `*in`, which lie where grpc_inbox_room() said or anywhere. 1: `*out` is a whole message, given away; 0: all bytes are
// taken and more are needed; -1: `fault` and `fault_text` say why not, and nothing more may be given.
int grpc_inbox_take(struct grpc_inbox *inbox, struct slice *in, struct grpc_message *out);
// Where the next payload bytes are to go; NULL: anywhere.
void *grpc_inbox_room(struct grpc_inbox *inbox, size_t *size);
// Whether a message has begun and is not whole.
static inline bool grpc_inbox_is_inside(const struct grpc_inbox *inbox)
{
    return inbox->prefix_size > 0;
}

#endif
