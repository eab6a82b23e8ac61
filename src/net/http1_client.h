// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 client: one connection, one request under way at a time. Knows no route; who keeps many connections is its user.
//
// A request is chunks that are written from where they lie, by one gathering write. Its response's body is one contiguous
// piece of pooled memory, placed so that a byte of the user's choice lies on a multiple of 64 (a tensor behind a head, say), into
// which the socket is read. Memory of the request is the user's again at done(), never earlier: a connection that still holds
// some is closed first. Start at http1_client_create() and http1_client_send(). Thread: loop, for everything here.
#ifndef NEREID_NET_HTTP1_CLIENT_H
#define NEREID_NET_HTTP1_CLIENT_H

#include "base/pool.h"
#include "net/http1_parse.h"
#include "net/stream.h"

struct http1_client;

// One request and its response. Embedded in its user; zeroed but for what the user sets.
struct http1_exchange {
    // The user's.
    struct stream_chunk *chunks; // ptr and len are set
    unsigned chunk_count;
    bool bodiless; // the response has no body whatever its head says (HEAD)
    // The head of the final response is here; borrowed during the call. Returns the place in the body that is to lie on a
    // multiple of 64 bytes. NULL: 0.
    size_t (*head)(struct http1_exchange *x, const struct http1_head *head);
    // Results, complete at done().
    unsigned status; // 0: no head came
    bool heard;      // a byte of the response came
    char *body;      // one more byte behind it may be written
    size_t size;
    void *
        buffer; // where `body` lies: the user's from done() on, buffer_pool_put() it. NULL: no body
};

struct http1_client_user {
    // An exchange is over: `why` is NULL when its response is whole, else what went wrong (valid during the call). The connection may
    // be given another one if http1_client_ready().
    void (*done)(struct http1_client *client, struct http1_exchange *x, const char *why);
    // The connection is over; the last call for it.
    void (*gone)(struct http1_client *client);
};

// What the connections to one server share; borrowed for their lives. `max_body` bytes are taken of a response.
struct http1_client_shared {
    struct loop *loop;
    struct buffer_pool *buffers;
    const struct http1_client_user *user;
    size_t max_body;
    struct http1_head head; // of the response that is being looked at
};

// Over the connected `fd`, which is taken with `transport_data`, also on failure (NULL: no memory). `reason` (may be NULL) is where the
// transport says why it broke, as in tls.h; borrowed.
struct http1_client *http1_client_create(struct http1_client_shared *shared, int fd,
                                         const struct stream_transport *transport,
                                         void *transport_data, const char *reason, void *data);
void *http1_client_data(const struct http1_client *client);
// Whether a request may be sent now.
bool http1_client_ready(const struct http1_client *client);
// Sends; done() follows, not before this returns. The connection must be ready.
void http1_client_send(struct http1_client *client, struct http1_exchange *x);
// Ends the connection: done() with `why` if an exchange is under way, then gone(), from the loop. `why` is static.
void http1_client_close(struct http1_client *client, const char *why);
// The exchange under way, or NULL.
struct http1_exchange *http1_client_exchange(const struct http1_client *client);

#endif
