// SPDX-License-Identifier: Apache-2.0
// What http1.c (connections) and http1_server.c (their server) share; nobody else includes it.
#ifndef NEREID_NET_HTTP1_PRIVATE_H
#define NEREID_NET_HTTP1_PRIVATE_H

#include <stdatomic.h>

#include "net/http1.h"
#include "net/listener.h"

#define HTTP1_QUIET_MS 2000

enum conn_state { CONN_HEAD, CONN_LENGTH, CONN_CHUNKED, CONN_HANDLING, CONN_LAST };

struct http1_conn {
    struct stream stream;
    struct http1_server *server;
    struct list_node node; // of the loop's connections
    unsigned loop_index;
    enum conn_state state;
    bool advancing;            // inside advance()
    bool owed;                 // the handler owes a reply
    bool replied;              // the reply is queued, not all sent
    bool gone;                 // the stream has ended
    bool half_closed;          // the client sends no more
    bool last;                 // close after this reply
    bool parted;               // the reply is in parts
    struct http1_block *block; // heads, and bodies that fit
    size_t start;              // of what is not parsed yet
    size_t end;
    size_t scanned;
    size_t framing_at;        // where chunk framing is received, behind the head
    struct http1_block *body; // a body that does not fit into `block`
    uint64_t received;        // bytes of the body so far
    uint64_t progress;        // bytes since the deadline was set
    struct http1_chunked chunked;
    struct http1_request request;
    struct str head;
    struct str text;
    struct stream_chunk head_chunk;
    struct stream_chunk text_chunk;
    struct stream_chunk continue_chunk;
    struct stream_chunk done_chunk;
};

struct conn_list {
    struct list_node head;
    struct loop_task close_task;
    struct loop_timer quiet; // runs while requests come or connections go, and once after
    bool quiet_set;
    unsigned served; // requests and ends of connections since it was set
    struct http1_server *server;
};

struct http1_server {
    struct http1_options options;
    struct listener *listener;
    struct object_pool *conns;
    struct loop **loops;
    struct conn_list *lists;      // one a loop, touched by its thread
    _Atomic unsigned lists_awake; // whose timer `quiet` runs
    unsigned loop_count;
    _Atomic bool closing;
    _Atomic unsigned alive; // connections not freed
};

// The listener's callback: begins a connection on its loop. Takes `fd`.
void http1_accepted(void *user, struct loop *loop, unsigned loop_index, int fd);

#endif
