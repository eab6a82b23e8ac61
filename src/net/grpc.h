// SPDX-License-Identifier: Apache-2.0
// gRPC over HTTP/2, server side: calls, messages, deadlines, status.
//
// Knows no schema: it hands over whole messages, each in one contiguous pooled buffer into which the socket was read, and
// sends bodies that its user has framed (grpc_prefix). A call is embedded in the user's own struct, which the pool of the
// service makes; it lives until the HTTP/2 stream is closed and the user's references are gone. Start at struct grpc_service.
// Thread: loop, for everything here.
#ifndef NEREID_NET_GRPC_H
#define NEREID_NET_GRPC_H

#include "base/pool.h"
#include "net/http2.h"

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
};

enum { GRPC_PREFIX = 5 }; // bytes before each message: compressed flag, length
// How hard answers are compressed, when the client accepts gzip or deflate.
enum grpc_compression {
    GRPC_COMPRESSION_NONE,
    GRPC_COMPRESSION_LOW,
    GRPC_COMPRESSION_MEDIUM,
    GRPC_COMPRESSION_HIGH,
};

// One received message. Its last byte is followed by at least one that may be written; it ends on a multiple of 64
// bytes, so that a tensor that comes last is aligned. Owned by whoever has it: grpc_message_free().
struct grpc_message {
    char *bytes;
    size_t size;
    void *buffer; // of the service's pool; NULL when nothing is owned
};

enum { GRPC_MESSAGE_TEXT = 512 };

// One call. The user embeds it first in its own struct. Fields are grpc's own but those marked.
struct grpc_call {
    struct http2_stream stream; // headers may be read
    const struct grpc_service *service;
    void *method;      // the user's, for begin() to set
    struct slice path; // may be read until the call is freed
    unsigned references;
    bool finished;           // may be read: a status was given, or the peer is gone
    bool cancelled;          // may be read: the peer is gone or the deadline has passed
    bool half_closed;        // may be read
    bool complete;           // the client has been handed everything
    uint8_t encoding;        // of request messages
    uint8_t answer_encoding; // of response messages
    bool has_timer;
    struct loop_timer timer;
    // The message that is being received.
    struct grpc_message incoming;
    size_t filled;
    size_t capacity; // bytes of `incoming` that its buffer has room for
    bool compressed;
    uint8_t prefix[GRPC_PREFIX];
    uint8_t prefix_size;
    // Trailers.
    struct http2_field trailers[2];
    char status_text[4];
    char *message_text; // percent-encoded; inline_text or of the heap
    char inline_text[GRPC_MESSAGE_TEXT];
};

// What a server offers: the callbacks of its calls. All must be set.
struct grpc_service {
    struct object_pool *calls;   // of structs that begin with a struct grpc_call
    struct buffer_pool *buffers; // of messages
    size_t max_message;          // 0: INT32_MAX
    enum grpc_compression compression;
    // Headers have come; `path` and the headers may be read. True: messages follow. False: unknown method. May finish at once.
    bool (*begin)(struct grpc_call *call);
    // Takes a message.
    void (*message)(struct grpc_call *call, struct grpc_message message);
    // The client sends no more messages.
    void (*half_closed)(struct grpc_call *call);
    // The peer went away or the deadline passed, before the call was finished.
    void (*cancel)(struct grpc_call *call);
    // The call is over; called once for each begin() that returned true. The user drops its references now or later.
    void (*closed)(struct grpc_call *call);
};

// The callbacks that make a home of http2 speak gRPC; its data must be the struct grpc_service.
extern const struct http2_user grpc_http2_user;

static inline struct loop *grpc_call_loop(const struct grpc_call *call)
{
    return call->stream.connection == NULL
               ? NULL
               : http2_home_loop(http2_connection_home(call->stream.connection));
}
void grpc_call_ref(struct grpc_call *call);
void grpc_call_unref(struct grpc_call *call);
// Writes the five bytes before an uncompressed message of `size` bytes.
void grpc_prefix(char *at, size_t size);
// Sends one framed message; `body` as in http2_send(). On a finished call it is released at once.
void grpc_send(struct grpc_call *call, struct http2_body *body);
// Ends the call. Text is cut at about 7000 encoded bytes, so that clients' header limits hold. Nothing when finished.
void grpc_finish(struct grpc_call *call, int status, struct slice text);
void grpc_message_free(struct buffer_pool *buffers, struct grpc_message *message);

// Parses grpc-timeout ("100m") into nanoseconds; false: malformed.
bool grpc_parse_timeout(struct slice text, uint64_t *ns);
// Appends `text` percent-encoded for grpc-message: at most `most` bytes; returns the length.
size_t grpc_encode_text(struct slice text, char *out, size_t most);

#endif
