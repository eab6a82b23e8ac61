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
#include "net/grpc_message.h"
#include "net/http2.h"

// How hard answers are compressed, when the client accepts gzip or deflate.
enum grpc_compression {
    GRPC_COMPRESSION_NONE,
    GRPC_COMPRESSION_LOW,
    GRPC_COMPRESSION_MEDIUM,
    GRPC_COMPRESSION_HIGH,
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
    uint8_t answer_encoding; // of response messages
    bool has_timer;
    struct loop_timer timer;
    struct grpc_inbox inbox; // of request messages
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
// Sends one framed message; `body` as in http2_send(). On a finished call it is released at once.
void grpc_send(struct grpc_call *call, struct http2_body *body);
// Ends the call. Text is cut at about 7000 encoded bytes, so that clients' header limits hold. Nothing when finished.
void grpc_finish(struct grpc_call *call, int status, struct slice text);

// Parses grpc-timeout ("100m") into nanoseconds; false: malformed.
bool grpc_parse_timeout(struct slice text, uint64_t *ns);
// Appends `text` percent-encoded for grpc-message: at most `most` bytes; returns the length.
size_t grpc_encode_text(struct slice text, char *out, size_t most);

#endif
