// SPDX-License-Identifier: Apache-2.0
// What the files of the gRPC front end share: the server, its calls, and the way from a method's name to its function.
//
// struct rpc is one call and struct infer (grpc_infer.h) one inference request; a stream has many of the latter.
// Thread: loop, unless said otherwise.
#ifndef NEREID_PROTOCOL_GRPC_RPC_H
#define NEREID_PROTOCOL_GRPC_RPC_H

#include <stdatomic.h>

#include "base/thread.h"
#include "net/grpc.h"
#include "net/listener.h"
#include "net/tls.h"
#include "net/worker.h"
#include "protocol/error.h"
#include "protocol/grpc_server.h"
#include "protocol/restrict.h"
#include "protocol/shm.h"

struct rpc;
struct infer;

enum rpc_kind {
    RPC_UNARY,        // `unary` answers, on the loop
    RPC_UNARY_WORKER, // `unary` answers, on a worker: it may block
    RPC_UNARY_LOADER, // the same, for as long as a load takes: these do not hold up those
    RPC_INFER,
    RPC_STREAM,
};

// The answer of a unary method: a status, or the packed message behind room for the prefix.
struct rpc_answer {
    int status;  // gRPC's number
    char *text;  // owned; NULL: none
    char *bytes; // of server->buffers: GRPC_PREFIX bytes of room, then the message
    size_t size; // of the message
};

struct rpc_method {
    struct slice path;
    enum rpc_kind kind;
    enum restrict_category category;
    // Fills `answer` from the message. Thread: any.
    void (*unary)(struct grpc_server *server, struct slice message, struct rpc_answer *answer);
};

// All of them, ended by a path with ptr NULL.
extern const struct rpc_method rpc_methods[];

struct grpc_lane { // one loop
    struct grpc_server *server;
    struct loop *loop;
    struct http2_home *home;
    struct loop_task drain;
    struct loop_task close;
    struct loop_timer quiet; // looks whether calls have stopped coming
    bool quiet_set;
    bool ending;
    unsigned served;          // calls that ended since it last looked
    unsigned infers;          // given to the core from this loop and not answered
    uint64_t gathered_at;     // turn of the loop in which answers were last gathered
    uint64_t gather_again_ns; // not before
};

struct grpc_server {
    struct grpc_server_options options;
    TRITONSERVER_Server *core;
    TRITONSERVER_ResponseAllocator *allocator;
    struct object_pool *rpcs;
    struct object_pool *infers;
    struct object_pool *answers;
    struct buffer_pool *buffers;
    struct body_locks *locks; // of `buffers`; NULL: none
    struct grpc_service service;
    struct http2_options http2;
    struct http2_user http2_user;
    struct listener *listener;
    struct tls_server *tls; // NULL: plain
    struct loop **loops;
    struct grpc_lane *lanes;
    unsigned lane_count;
    _Atomic unsigned lanes_awake; // whose timer `quiet` runs
    struct worker *worker;
    struct worker *loader;
    struct header_pattern *forward; // NULL: none
    bool started;
    bool drained;
    _Atomic bool refusing;
    _Atomic unsigned inflight; // rpcs that were begun and are not over
    _Atomic unsigned infers_out;
};

struct rpc {
    struct grpc_call call; // first
    struct grpc_server *server;
    const struct rpc_method *method;
    struct grpc_message message; // unary: what came
    bool has_message;
    bool on_worker;           // which reads `message` and frees it
    struct infer *infer;      // unary inference in flight
    struct list_node pending; // streams: struct infer in the order of their requests
    unsigned open;            // streams: requests whose last answer has not been handed over
    bool grpc_error;          // streams: "triton_grpc_error: true"
    struct worker_job job;    // methods on a worker
    struct loop_task done;    // and their way back
    struct loop *loop;
    struct grpc_lane *lane;
    struct rpc_answer answer;
    struct http2_body body; // of the answer of a unary method
    struct iovec part;
};

static inline struct rpc *rpc_of(struct grpc_call *call)
{
    return CONTAINER_OF(call, struct rpc, call);
}

// gRPC's number for an error of the core.
int rpc_status_of(TRITONSERVER_Error *error);
// Finishes the call with the error, which is taken.
void rpc_finish_error(struct rpc *rpc, TRITONSERVER_Error *error);
// As in TRITONSERVER_ErrorNew, with a format.
NRD_PRINTF(2, 3)
TRITONSERVER_Error *rpc_error(TRITONSERVER_Error_Code code, const char *format, ...);
TRITONSERVER_Error *rpc_no_memory(void);
// Logs an error of a call that has nobody to report to, and takes it. NULL is fine.
void rpc_drop_error(TRITONSERVER_Error *error);
#define RPC_TRY(expression)                                                                        \
    do {                                                                                           \
        TRITONSERVER_Error *try_error_ = (expression);                                             \
        if (try_error_ != NULL) {                                                                  \
            return try_error_;                                                                     \
        }                                                                                          \
    } while (0)
// Reads a version as Triton does: "" is -1. Error: INVALID_ARG with Triton's text.
TRITONSERVER_Error *rpc_version(const char *text, int64_t *version);

// grpc_infer.c: a unary inference request has come whole (`message` is taken).
void infer_begin_unary(struct rpc *rpc, struct grpc_message message);
// grpc_stream.c
void stream_begin(struct rpc *rpc);
void stream_message(struct rpc *rpc, struct grpc_message message);
void stream_half_closed(struct rpc *rpc);
void stream_cancel(struct rpc *rpc);
// grpc_infer.c: asks the core to give up; nothing when it is through.
void infer_cancel(struct infer *infer);

#endif
