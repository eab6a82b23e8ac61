// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 server: connections, requests in memory, replies by gathering writes. Knows no route and no model.
//
// A request's body is one contiguous piece of memory: in the block where the head was received when both fit,
// else in a block of its own into which the socket was read. A handler may hold that block after its reply (a backend may
// still read its input), so blocks are counted. One request of a connection is handled at a time; pipelined ones
// wait in the block, so replies keep their order. Start at http1_server_create() and http1_reply().
#ifndef NEREID_NET_HTTP1_H
#define NEREID_NET_HTTP1_H

#include "base/pool.h"
#include "base/str.h"
#include "net/http1_parse.h"
#include "net/stream.h"

struct http1_server;
struct http1_conn;
struct http1_block;

// A request. All slices live until the reply is complete; the body also as long as its block is held.
struct http1_request {
    struct http1_head head;
    struct slice body;
    bool body_refused; // longer than max_body: not read; the connection closes after the reply
    struct loop *loop; // whose thread called the handler, and must reply
    // Set by a handler that replies later. Called once if the client has gone, or three seconds after it ended its half of
    // the connection, which looks the same; the reply must still follow, and the request stays valid until then. Thread: loop.
    void (*cancelled)(struct http1_request *request);
    void *user_data; // the handler's own; NULL at first
};

struct http1_options {
    const char *address;
    int port;
    bool reuse_port;
    unsigned
        threads; // loops; more than the processors allowed to this process are not started. 0: 1
    const char *thread_name;  // of the loops
    uint64_t max_body;        // 0: INT32_MAX
    size_t max_head;          // 0: 64 KiB
    uint64_t head_timeout_ms; // from a head's first byte to its last; 0: 60 000
    uint64_t body_timeout_ms; // for each 64 KiB of a body; 0: 60 000
    uint64_t idle_timeout_ms; // between requests; 0: for ever
    struct buffer_pool *pool; // shared with the handler; outlives the server
    void (*handle)(void *user, struct http1_request *request);
    void *user;
};

// Binds; serves nothing yet. Errors: listener_create()'s, loop_create()'s. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *http1_server_create(const struct http1_options *options,
                                                    struct http1_server **out);
// Starts the loops and accepts.
NRD_MUST_USE struct nrd_status *http1_server_start(struct http1_server *server);
int http1_server_port(const struct http1_server *server);
void http1_server_stop_accepting(struct http1_server *server);
unsigned http1_server_connections(const struct http1_server *server);
// Closes all connections and waits for replies that are owed (at most `wait_ms`). False: a handler still owes a reply;
// it may be called again. The loops run on: threads that have replied may still be on their way out of loop_post, and
// their owner ends them between this and the destroy. NULL is fine. Thread: any but a loop's.
bool http1_server_close(struct http1_server *server, uint64_t wait_ms);
// Closes, and frees. False: as above, and nothing was freed. NULL is fine. Thread: any but a loop's.
bool http1_server_destroy(struct http1_server *server, uint64_t wait_ms);

// ---- replies; each request gets exactly one. Thread: loop.

// The connection's own text buffer, empty at first, for a handler that writes a small body.
struct str *http1_text(struct http1_request *request);
// Sends status, `headers` (complete lines, each with CRLF; Content-Type among them when `has_type`), Content-Length, then what
// http1_text() holds and `chunks` (linked by `next`, NULL: none; released when sent or when the client is gone). Where that text
// has `failed`, the connection ends without a reply.
// `request` is gone when this returns.
void http1_reply(struct http1_request *request, int status, struct slice headers, bool has_type,
                 struct stream_chunk *chunks);
// The same in parts: chunked coding for HTTP/1.1, until close for HTTP/1.0. Parts are copied. False from
// http1_reply_part(): no memory (the connection is closed); http1_reply_end() must follow all the same.
void http1_reply_begin(struct http1_request *request, int status, struct slice headers,
                       bool has_type);
bool http1_reply_part(struct http1_request *request, struct slice part);
void http1_reply_end(struct http1_request *request);
// Bytes of this reply that the client has not taken yet.
size_t http1_reply_pending(const struct http1_request *request);

// Holds the memory of `request->body`; release from any thread.
struct http1_block *http1_hold_body(struct http1_request *request);
void http1_block_release(struct http1_block *block); // NULL is fine
// The buffer of the pool that it lies in.
void *http1_block_buffer(struct http1_block *block);

// "OK", "Bad Request", "Not Allowed" (Triton's name of 405), ...
const char *http1_reason(int status);

#endif
