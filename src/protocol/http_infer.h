// SPDX-License-Identifier: Apache-2.0
// One inference on its way through the HTTP front end: what its request borrows, what its reply gathers.
//
// Two parties hold an infer: the core, until it has released the request (the input bytes are read until then), and the
// reply, until its last byte is sent or the client is gone. http_infer.c makes requests, http_infer_reply.c replies;
// http_generate.c uses both.
#ifndef NEREID_PROTOCOL_HTTP_INFER_H
#define NEREID_PROTOCOL_HTTP_INFER_H

#include <stdatomic.h>

#include "protocol/http_api.h"
#include "protocol/http_compress.h"

struct infer;

enum output_kind { OUTPUT_JSON, OUTPUT_BINARY, OUTPUT_SHM };

// What the request says about an output.
struct infer_wanted {
    const char *name;
    enum output_kind kind;
    uint32_t class_count; // 0: no classification
    void *base;           // shared memory
    uint64_t byte_size;
    TRITONSERVER_MemoryType memory_type;
    int64_t memory_type_id;
};

// An output's memory, from the buffer pool; the core's buffer_userp.
struct infer_output {
    struct stream_chunk chunk;
    struct buffer_pool *pool;
    enum output_kind kind;
    uint32_t class_count;
    bool kept; // the reply owns it: it outlives the response
    _Alignas(64) char data[];
};

struct infer {
    struct loop_task task;
    struct worker_job job;
    struct infer *next_free;
    struct http_server *http;
    struct http1_request *request;
    struct loop *loop;
    TRITONSERVER_InferenceRequest *triton;
    struct http1_block *held; // the memory of the body
    void *inflated;           // the body, when it came compressed
    struct slice body;
    const char *model;
    int64_t version;
    struct arena arena; // the request's JSON, names, tensors read from JSON
    _Atomic unsigned refs;
    enum coding coding; // of the reply
    enum output_kind default_kind;
    struct infer_wanted *wanted;
    unsigned wanted_count;
    struct shm_region **leases;
    unsigned lease_count;
    unsigned lease_cap;
    // The reply, written by the response callback.
    unsigned responses;
    int status;
    bool json_type;
    struct str json;
    struct str headers;
    struct stream_chunk json_chunk;
    struct stream_chunk *chunks;      // of outputs, in order
    struct stream_chunk **chunks_end; // where the next goes
    void *generate;                   // http_generate.c's own
    struct nrd_status *early;         // found by a worker, before the request was made
};

struct infer_pool *infer_pool_create(struct http_server *http);
// All must have come back. NULL is fine.
void infer_pool_destroy(struct infer_pool *pool);
unsigned infer_pool_live(const struct infer_pool *pool); // Thread: any

// An infer for a request, with one reference. NULL: no memory. Thread: loop.
struct infer *infer_get(struct http_server *http, struct http1_request *request);
// Drops a reference; the last frees all that is held. Thread: any.
void infer_unref(struct infer *infer);
// Drops what the core has read: the body. Thread: any.
void infer_drop_inputs(struct infer *infer);

// The allocator of all HTTP requests; its userp is a struct infer.
NRD_MUST_USE struct nrd_status *infer_allocator_create(TRITONSERVER_ResponseAllocator **out);

// Sets the callbacks (with `response_fn`, whose userp is the infer) and hands the request to the core. On success the core holds
// a reference of its own. Thread: loop.
NRD_MUST_USE struct nrd_status *infer_start(struct infer *infer,
                                            TRITONSERVER_InferenceResponseCompleteFn_t response_fn);
// Forwards the headers that the pattern matches, as parameters.
NRD_MUST_USE struct nrd_status *infer_forward_headers(struct infer *infer);
// "id" of the request's JSON.
NRD_MUST_USE struct nrd_status *infer_set_id(struct infer *infer, const struct json_node *root);
// A JSON value as a parameter.
NRD_MUST_USE struct nrd_status *infer_set_parameter(struct infer *infer, struct slice name,
                                                    const struct json_node *value);

// The response callback of infer requests. Thread: data.
void infer_response(TRITONSERVER_InferenceResponse *response, const uint32_t flags, void *userp);
// Writes a response's parameter as a JSON value. `*supported` is false for bytes.
bool infer_write_parameter(struct json_writer *writer, TRITONSERVER_ParameterType type,
                           const void *value);

#endif
