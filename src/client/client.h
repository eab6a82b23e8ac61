// SPDX-License-Identifier: Apache-2.0
// The client's own structs: the handle, calls and the links that carry them.
//
// A call is made and written down by its caller's thread, posted to the loop, carried by the client's link (HTTP/1.1 or gRPC),
// and finished on the loop by call->done(). Calls and responses come from stocks of the client and keep their memory, so that
// the steady state allocates nothing. The handle itself is counted: responses and call handles may outlive nrd_client_destroy().
// Start at struct nrd_client_call and struct client_link.
#ifndef NEREID_CLIENT_CLIENT_H
#define NEREID_CLIENT_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/pool.h"
#include "base/str.h"
#include "base/thread.h"
#include "client/url.h"
#include "nereid/client.h"
#include "net/connector.h"
#include "net/grpc_client.h"
#include "net/http1_client.h"
#include "net/loop.h"
#include "net/tls.h"
#include "net/worker.h"

struct nrd_client_call;

// How calls travel. All functions but `create`: on the loop.
struct client_link {
    // Takes a call, and finishes it sooner or later by call_finish().
    void (*submit)(struct client_link *link, struct nrd_client_call *call);
    // Ends a call that was submitted and is not finished: call_finish() with call->ending follows, when no memory of the request is in use.
    void (*cancel)(struct client_link *link, struct nrd_client_call *call);
    // Closes connections, all calls being finished or cancelled; client_link_stopped() follows.
    void (*stop)(struct client_link *link);
    // Frees; the loop is gone. Thread: any.
    void (*destroy)(struct client_link *link);
};

struct nrd_client {
    _Atomic uint32_t references;
    struct client_url url;
    struct nrd_client_options options; // defaults filled in; its pointers are not to be followed
    struct str headers;                // "name: value\r\n" of each of the caller's
    struct str tls_name;
    struct loop *loop;
    struct worker *worker;
    struct connector *connector;
    struct tls_client *tls; // NULL: none
    struct buffer_pool *buffers;
    struct client_link *link;
    struct list_node calls;   // submitted and not finished. Loop
    struct list_node streams; // opened and not over. Loop
    bool stopping;            // loop
    bool link_stopped;        // loop
    struct loop_task stop_task;
    struct parking stopped;
    pthread_mutex_t lock; // of the stocks
    struct list_node idle_calls;
    struct list_node idle_responses;
    unsigned idle_call_count;
    unsigned idle_response_count;
    bool lock_made;
};

// One gRPC call, of one request or of a stream, as the link carries it. The user sets the upper part.
struct grpc_rpc {
    const char *path;    // static
    uint64_t timeout_ms; // told to the server; 0: none
    // The call is open: send. Not called if it never opens. Thread of all: loop.
    void (*begun)(struct grpc_rpc *rpc);
    // Takes a message.
    void (*message)(struct grpc_rpc *rpc, struct grpc_message message);
    // The last call for it, but for bodies that are still to be released. `repeatable`: nothing was heard of it, because the server
    // refused it unseen or because a connection that had worked was dead.
    void (*over)(struct grpc_rpc *rpc, int status, struct slice text, bool repeatable);
    // The link's.
    struct grpc_client_call call;
    struct list_node node; // waiting, or alone
    struct grpc_channel
        *channel; // it is open on; valid as long as the call is open or bodies are on their way
    bool open;
};

// One request under way. The parts of its bytes are in order; they point into `head`, `body` and the caller's memory.
struct nrd_client_call {
    struct nrd_client *client;
    _Atomic uint32_t references; // the loop's, and the handle's or the waiting caller's
    struct list_node node;       // idle, or in client->calls
    struct loop_task submit_task;
    struct loop_task cancel_task;
    _Atomic bool cancel_asked;
    struct loop_timer timer;
    bool has_timer;
    uint64_t timeout_ms; // 0: none
    // What it is, for errors: "infer", and "model 'x' version '1'" or "".
    const char *verb;
    struct str subject;
    // The request.
    struct str head;
    struct str body;
    struct str packed; // what is sent instead of the rest, when requests are compressed
    struct iovec *parts;
    unsigned part_count;
    unsigned part_capacity;
    bool repeatable;  // may be sent again when nothing was heard of it
    unsigned repeats; // how often it was
    // The outcome: `error`, or a reply.
    struct nrd_status *ending; // why it is being cancelled
    struct nrd_status *error;
    int status;       // HTTP or gRPC
    struct str text;  // gRPC: the message beside the status
    size_t json_size; // HTTP: Inference-Header-Content-Length, else SIZE_MAX
    bool inflate;     // HTTP: the reply is compressed
    char *reply;      // in `buffer`
    size_t reply_size;
    void *buffer;
    // Whom to tell. Thread: loop.
    void (*done)(struct nrd_client_call *call);
    struct parking parked;
    nrd_client_infer_fn infer_done;
    void *user;
    struct arena arena; // of `wanted`
    struct call_output *wanted;
    size_t wanted_count;
    // HTTP.
    struct list_node pending; // in the link's queue, or alone
    struct http1_exchange exchange;
    struct stream_chunk *chunks;
    unsigned chunk_capacity;
    struct http_conn *conn; // NULL: waits
    // gRPC.
    const char *path; // "/inference.GRPCInferenceService/ModelInfer"
    struct grpc_rpc rpc;
    struct http2_body message;
    bool sending;  // `message` is not released yet
    bool rpc_over; // waits for that
    bool again;    // and is then made once more
    // A request of a stream: on its way to it.
    struct nrd_client_stream *stream;
    struct loop_task stream_task;
};

// An output that goes to the caller's memory, or to a region: servers do not say so again in their replies.
struct call_output {
    const char *name;
    void *data;
    size_t capacity;
    const char *region; // NULL: `data`
    uint64_t region_offset;
};

// ---- client.c -------------------------------------------------------------------------------------------------------

void client_ref(struct nrd_client *client);   // Thread: any
void client_unref(struct nrd_client *client); // Thread: any
// The link has closed all it had. Thread: loop.
void client_link_stopped(struct nrd_client *client);
// NRD_INVALID_ARG when the caller is the loop, which must not wait for itself. Thread: any.
NRD_MUST_USE struct nrd_status *client_may_wait(const struct nrd_client *client);

// ---- call.c ---------------------------------------------------------------------------------------------------------

// An empty call. Returns owned (call_unref); NULL: no memory. Thread: any.
struct nrd_client_call *call_create(struct nrd_client *client, const char *verb);
void call_unref(struct nrd_client_call *call); // Thread: any
// Appends bytes to the request; nothing when `size` is 0. False: no memory. Thread: owner.
bool call_add_part(struct nrd_client_call *call, const void *ptr, size_t size)
    __attribute__((warn_unused_result));
// Gives the call to the loop; done() follows, exactly once. Shares. Thread: any.
void call_submit(struct nrd_client_call *call);
// Submits, waits, and tells a failure of the transport; what the server said is in call->status. Thread: any but the loop.
NRD_MUST_USE struct nrd_status *call_wait(struct nrd_client_call *call);
// Ends the call by `error` (taken) or, NULL, with its reply. The link's last word about it. Thread: loop.
void call_finish(struct nrd_client_call *call, struct nrd_status *error);
// "URL: VERB SUBJECT: text". Returns owned.
NRD_MUST_USE NRD_PRINTF(3, 4) struct nrd_status *call_failed(const struct nrd_client_call *call,
                                                             enum nrd_code code, const char *format,
                                                             ...);
// For client.c: what idle calls hold; and the end of all calls under way, when the client is destroyed. Thread: loop.
void call_stock_fini(struct nrd_client *client);
void call_end_all(struct nrd_client *client);
// NULL when the server answered with success, else what it said. Inflates the reply first, where it must be. Thread: owner.
NRD_MUST_USE struct nrd_status *call_server_status(struct nrd_client_call *call);

// ---- stream.c -------------------------------------------------------------------------------------------------------

// Ends all streams, when the client is destroyed. Thread: loop.
void stream_end_all(struct nrd_client *client);

// ---- links ----------------------------------------------------------------------------------------------------------

NRD_MUST_USE struct nrd_status *http_link_create(struct nrd_client *client,
                                                 struct client_link **out);

NRD_MUST_USE struct nrd_status *grpc_link_create(struct nrd_client *client,
                                                 struct client_link **out);
// Begins a call, when there is a connection. Thread: loop.
void grpc_link_begin(struct client_link *link, struct grpc_rpc *rpc);
// Ends it with that status: over() follows, now if it was waiting. Thread: loop.
void grpc_link_cancel(struct client_link *link, struct grpc_rpc *rpc, int status,
                      struct slice text);
// Breaks the connection that the call is, or was, on: for bodies that a server does not take. Thread: loop.
void grpc_link_break(struct grpc_rpc *rpc);

#endif
