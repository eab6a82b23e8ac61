// SPDX-License-Identifier: Apache-2.0
// Response: what a backend fills and a client takes (TRITONBACKEND_Response, TRITONSERVER_InferenceResponse).
//
// A response hangs on the response factory of its request: a small, counted thing that knows whom to answer and which
// outlives the request. Both come from the model's pools. Sending calls the client's callback on the sender's thread, with no
// lock held. With preserve_ordering, a response that is early waits in its factory for those before it.
// Start at response_create(), response_send().
#ifndef NEREID_CORE_RESPONSE_H
#define NEREID_CORE_RESPONSE_H

#include "core/request.h"

struct gpu_device;
struct ordering;

// TRITONSERVER_ResponseAllocator. Owned by the client, which keeps it until all responses are gone.
struct response_allocator {
    TRITONSERVER_ResponseAllocatorAllocFn_t alloc;
    TRITONSERVER_ResponseAllocatorReleaseFn_t release;
    TRITONSERVER_ResponseAllocatorStartFn_t start;                        // may be NULL
    TRITONSERVER_ResponseAllocatorBufferAttributesFn_t buffer_attributes; // may be NULL
    TRITONSERVER_ResponseAllocatorQueryFn_t query;                        // may be NULL
};

struct response;

// Whom to answer. References: the request, each response, each TRITONBACKEND_ResponseFactory.
struct response_factory {
    _Atomic uint32_t refs;
    _Atomic bool cancelled;
    _Atomic uint64_t next_index; // of response statistics
    _Atomic uint64_t sent;       // responses so far
    struct model *model;         // holds a reference
    const struct response_allocator *allocator;
    void *allocator_userp;
    TRITONSERVER_InferenceResponseCompleteFn_t response_fn;
    void *response_userp;
    uint64_t start_ns;

    struct ordering *ordering; // NULL unless responses must keep the order
    struct list_node order_node;
    struct response *early; // waiting for its turn, oldest first
    struct response *early_last;
    bool finished; // the final one is here

    _Atomic int retry;      // enum retry_state
    struct gpu_device *gpu; // that executes the request, unless RETRY_OFF
    struct response *held;  // while RETRY_HELD

    char *id_long; // owned; when the id does not fit
    struct slice id;
    struct response_factory *pool_next;
    char id_inline[64];
};

// TRITONBACKEND_Output.
struct response_output {
    struct response *response;
    const char *name;
    TRITONSERVER_DataType datatype;
    const struct model_io *io;
    int64_t *shape;
    uint32_t dim_count;
    void *buffer;
    void *buffer_userp;
    struct buffer_attributes attributes;
    struct response_output *next;
};

struct response {
    struct response_factory *factory; // holds a reference
    struct nrd_status *status;        // owned; NULL is success
    struct response_output *outputs;  // in the order in which they were made
    struct response_output *last;
    uint32_t output_count;
    bool flags_only; // stands for TRITONBACKEND_ResponseFactorySendFlags in the ordering
    uint32_t send_flags;
    void *event; // CUevent after which the outputs are there; NULL: they are
    struct parameter_list parameters;
    struct arena arena;
    struct response *next; // in the pool, or among the early ones
};

// Makes the factory of a request about to be enqueued, or takes the one of its last run if nobody else uses it.
NRD_MUST_USE struct nrd_status *response_factory_renew(struct request *request);
struct response_factory *response_factory_ref(struct response_factory *factory);
void response_factory_unref(struct response_factory *factory); // NULL is fine. Thread: any

// A response of this factory; tells the allocator (start_fn). NULL when memory is out. Thread: any.
struct response *response_create(struct response_factory *factory);
// Gives its buffers back to the allocator. NULL is fine. Thread: any.
void response_destroy(struct response *response);
NRD_MUST_USE struct nrd_status *response_add_output(struct response *response, const char *name,
                                                    TRITONSERVER_DataType datatype,
                                                    const int64_t *shape, uint32_t dim_count,
                                                    struct response_output **output);
// Asks the client's allocator for a buffer of `byte_size`; `*memory_type` and `*memory_type_id` are a wish that the
// answer replaces. Errors: ALREADY_EXISTS for a second one, and the allocator's own (taken over).
TRITONSERVER_Error *response_output_buffer(struct response_output *output, uint64_t byte_size,
                                           void **buffer, TRITONSERVER_MemoryType *memory_type,
                                           int64_t *memory_type_id) NRD_MUST_USE;
struct response_output *response_output_at(const struct response *response, uint32_t index);

// Sends; takes `response`. Thread: any.
void response_send(struct response *response, uint32_t flags);
// Sends flags without a response. Thread: any.
NRD_MUST_USE struct nrd_status *response_factory_send_flags(struct response_factory *factory,
                                                            uint32_t flags);

#endif
