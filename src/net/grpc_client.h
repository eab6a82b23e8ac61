// SPDX-License-Identifier: Apache-2.0
// gRPC over HTTP/2, client side: calls on a connection, their messages, their status. Knows no schema.
//
// A call is embedded in its user's struct and begun on a connection of a home whose user is grpc_client_http2_user and whose data is a
// struct grpc_client_shared. Bodies are sent from where they lie and may be on their way after the call is closed: their release() tells.
// Start at grpc_client_begin(). Thread: loop, for everything here.
#ifndef NEREID_NET_GRPC_CLIENT_H
#define NEREID_NET_GRPC_CLIENT_H

#include "net/grpc_message.h"
#include "net/http2.h"

enum { GRPC_CLIENT_TEXT = 1024 };

// One call. Fields are this file's own but those marked.
struct grpc_client_call {
    struct http2_stream stream;
    const struct grpc_client_shared *shared;
    struct grpc_inbox inbox;
    bool heard; // may be read: something of an answer came
    int status; // -1: not known yet
    size_t text_size;
    char text[GRPC_CLIENT_TEXT];
};

struct grpc_client_shared {
    struct buffer_pool *buffers; // of messages
    size_t max_message;          // of an answer; 0: INT32_MAX
    // Takes a message.
    void (*message)(struct grpc_client_call *call, struct grpc_message message);
    // The call is over; the last call for it. `never_begun`: the server has not looked at it, so that it may be made again.
    void (*closed)(struct grpc_client_call *call, int status, struct slice text, bool never_begun);
    // The connection is over, after all its calls.
    void (*gone)(struct http2_connection *connection);
};
extern const struct http2_user grpc_client_http2_user;

// What a call is asked with.
struct grpc_client_target {
    bool tls;
    struct slice authority;
    const char *path;                // "/package.Service/Method"
    uint64_t timeout_ms;             // told to the server; 0: none
    const struct http2_field *extra; // further metadata; names are lower case and outlive the call
    unsigned extra_count;            // at most 16
};
// Begins. False: no memory, or the connection takes no more calls; closed() is not called then.
bool grpc_client_begin(const struct grpc_client_shared *shared, struct http2_connection *connection,
                       struct grpc_client_call *call, const struct grpc_client_target *target);
// Sends a framed message (grpc_prefix()); `body` as in http2_send().
void grpc_client_send(struct grpc_client_call *call, struct http2_body *body);
// No message follows.
void grpc_client_half_close(struct grpc_client_call *call);
// Ends the call, with a status of our own; closed() follows, as soon as the connection can say it.
void grpc_client_cancel(struct grpc_client_call *call, int status, struct slice text);

#endif
