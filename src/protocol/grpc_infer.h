// SPDX-License-Identifier: Apache-2.0
// One inference request of the gRPC front end, from message to answers.
//
//   message ─grpc_infer_start()─▶ core ─release callback─▶ message freed
//                             └──response callback─▶ struct answer ─posted to the loop─▶ infer_answered / stream_answered
//
// References keep a struct infer: one of the loop until the last answer was handed over, one of the core until it releases the
// request, one of each answer until its bytes are sent. Whoever drops the last deletes the request, on whatever thread.
#ifndef NEREID_PROTOCOL_GRPC_INFER_H
#define NEREID_PROTOCOL_GRPC_INFER_H

#include "base/str.h"
#include "protocol/grpc_infer_pb.h"
#include "protocol/grpc_rpc.h"

enum { ANSWER_PARTS = 8, ANSWER_HEAD = 768 };

// One response, ready to be sent.
struct answer {
    struct loop_task task;
    struct http2_body body;
    struct infer *infer;
    struct answer *next;                      // streams: waiting for its turn
    TRITONSERVER_InferenceResponse *response; // kept while `parts` points into it
    TRITONSERVER_Error *error;                // unary or triton_grpc_error: the call fails with it
    bool has_message;
    bool final;
    void *head_buffer; // of the pool when `head` does not suffice
    struct iovec *parts;
    void *parts_buffer; // of the pool when `inline_parts` does not suffice
    struct str classes; // all outputs asked for as classification, one behind the other
    struct iovec inline_parts[ANSWER_PARTS];
    char head[ANSWER_HEAD];
};

// What was asked of one output beyond its name.
struct output_ask {
    struct slice name; // terminated
    uint32_t classes;  // 0: none
    bool in_shm;
    size_t shm_size;
    struct shm_lease shm;
};

struct infer {
    struct grpc_server *server;
    struct loop *loop;
    struct rpc *rpc; // holds a reference of the call until the last answer was handed over
    _Atomic unsigned references;
    TRITONSERVER_InferenceRequest *request;
    struct grpc_message message;
    struct arena arena;
    struct infer_request parsed; // valid until the message is freed
    struct slice id;             // copies in the arena, for answers without a response (streams)
    struct slice model_name;
    struct slice model_version;
    struct output_ask *asks;
    unsigned ask_count;
    struct shm_region *
        *regions; // leased until the last answer and until the core is through with the inputs
    unsigned region_count;
    _Atomic unsigned region_holds; // the loop, and the core while it has the request
    unsigned responses;            // response callbacks with a response so far
    bool streamed;
    bool decoupled;
    bool empty_final; // triton_enable_empty_final_response
    bool grpc_error;
    bool in_core; // loop: between a successful ServerInferAsync and the last answer
    bool over;    // loop: the last answer has come
    bool first_used;
    bool lost;           // an answer could not be made for lack of memory
    struct answer *held; // unary: the first answer, until FINAL
    struct loop_task lost_task;
    struct list_node pending; // in rpc->pending
    struct answer *ready;     // streams: answers that wait for earlier requests
    struct answer **ready_tail;
    struct answer first;
};

// For the first answer that a turn of the loop sees: lets the threads that are making more answers go first, so that one write
// carries them all. Nothing when no more are due, or when giving way has lately cost too much.
void infer_gather(struct grpc_lane *lane);
// Makes an infer for the rpc and takes the message. NULL: no memory (the message is freed).
struct infer *infer_new(struct rpc *rpc, struct grpc_message message);
void grpc_infer_unref(struct infer *infer);
// Parses the message. False: malformed, or no memory.
bool infer_parse(struct infer *infer);
// Gives the parsed request to the core. Error: nothing was given; the caller still owns its reference.
TRITONSERVER_Error *grpc_infer_start(struct infer *infer);
// The loop is through with the infer: lets go of the call and of the loop's reference.
void infer_over(struct infer *infer);
// Drops one hold on the leases of shared memory; they end with the last. Thread: any.
void infer_release_regions(struct infer *infer);
// What was asked of the output beyond its name; NULL: nothing.
const struct output_ask *infer_ask(const struct infer *infer, const char *name);
// The core's callbacks; userp is the infer. Thread: any.
void infer_on_release(TRITONSERVER_InferenceRequest *request, const uint32_t flags, void *userp);
void infer_on_response(TRITONSERVER_InferenceResponse *response, const uint32_t flags, void *userp);
// An answer of the infer with one reference; NULL: no memory. Thread: any, one at a time for an infer.
struct answer *answer_new(struct infer *infer);
// Frees what the answer holds and drops its reference. Also the release of its body.
void answer_free(struct answer *answer);
// Fills an answer for a stream whose response has no tensors: `text` is its error_message ("" none), the id is there, with `described`
// also the model and triton_final_response. False: no memory.
bool answer_write_plain(struct answer *answer, struct slice text, bool described);
// grpc_stream.c: an answer has come to the loop.
void stream_answered(struct answer *answer);
// grpc_stream.c: the last answer was lost for lack of memory.
void stream_lost(struct infer *infer);
// The allocator of all outputs. Its userp is the infer.
TRITONSERVER_Error *infer_allocator_new(TRITONSERVER_ResponseAllocator **allocator);

#endif
