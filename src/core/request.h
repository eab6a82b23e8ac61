// SPDX-License-Identifier: Apache-2.0
// Request: one inference on its way through the core (TRITONSERVER_InferenceRequest, TRITONBACKEND_Request).
//
// A request comes from its model's pool and goes back there; what it needs beyond its own struct lies in its arena,
// which the pool keeps warm. Input data is borrowed from the client until the release callback.
//
//   request_create -> INITIALIZED -> (infer) PENDING -> EXECUTING -> RELEASED -> request_destroy, or infer again
//                          ^------------- FAILED <------'
//
// What outlives the request (responses, response factories, cancellation) hangs on its response_factory.
// Start at request_create(), request_normalize(), infer_async().
#ifndef NEREID_CORE_REQUEST_H
#define NEREID_CORE_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/slice.h"
#include "base/status.h"
#include "core/buffer_attributes.h"
#include "triton/core/tritonbackend.h"

struct flight;
struct lane;
struct model;
struct model_io;
struct response_factory;
struct server;
struct trace;

// A parameter of a request or a response; the memory is its arena's.
struct request_parameter {
    const char *name;
    TRITONSERVER_ParameterType type;
    union {
        const char *string;
        int64_t integer;
        bool boolean;
        double real;
    } value;
};
struct parameter_list {
    struct request_parameter *items;
    uint32_t count;
    uint32_t cap;
};

struct request_buffer {
    const void *base; // borrowed
    struct buffer_attributes attributes;
};
// The buffers of one input, in order.
struct request_data {
    struct request_buffer *buffers;
    uint32_t count;
    uint32_t cap;
    uint64_t byte_size;
};
// Data given for one host policy only.
struct policy_data {
    struct policy_data *next;
    const char *policy;
    struct request_data data;
};

// An array of dimensions that keeps its room when it is emptied.
struct dims {
    int64_t *at;
    uint32_t count;
    uint32_t cap;
};

// TRITONBACKEND_Input. Its place in memory is fixed once the request is enqueued.
struct request_input {
    const char *name;
    uint32_t name_len;
    TRITONSERVER_DataType datatype;
    const struct model_io *io; // what the model says of this name; NULL when it says nothing
    struct dims original;      // as the client gave it
    struct dims reshaped;      // storage of `full` where it is not `original`
    const int64_t *full;       // with the batch dimension: what the backend sees
    const int64_t *shape;      // without it
    uint32_t full_count;
    uint32_t shape_count;
    struct request_data data;
    struct policy_data *policies; // usually NULL
    void *ready_event;            // CUevent after which the data may be read; NULL: now
    struct gpus *event_gpus;      // of the server, for waiting on the host
    bool event_taken;             // the backend waits for it
};

enum request_state {
    REQUEST_STATE_INITIALIZED,
    REQUEST_STATE_PENDING,
    REQUEST_STATE_EXECUTING,
    REQUEST_STATE_RELEASED,
    REQUEST_STATE_FAILED,
};

// Why a request failed, as metrics count it.
enum fail_reason {
    FAIL_REASON_OTHER,
    FAIL_REASON_BACKEND,
    FAIL_REASON_CANCELED,
    FAIL_REASON_REJECTED,
    FAIL_REASON_COUNT,
};

struct request {
    struct list_node queue_node; // in a queue of the scheduler, while PENDING
    struct model *model;         // holds a reference
    struct flight *flight;       // the batch in flight that it is of; NULL: not counted
    struct lane *home;   // the device of the model's that most of its data lie on; NULL: none
    uint64_t home_bytes; // how many
    struct response_factory *factory;
    enum request_state state;
    uint32_t flags;      // TRITONSERVER_RequestFlag
    uint32_t batch_size; // 0 when the model does not batch
    bool normalized;     // nothing has changed since request_normalize()
    bool warm_up;        // given to the instance directly, not by infer_async()
    bool delayed;        // in the delayed part of its queue: its timeout is over
    bool retried;        // was executing on a GPU that was lost, and is queued once more
    bool takes_event;    // the response may come with an event (nereid_request_take_event)
    bool raw;            // its one input is raw: type and shape follow from the model
    uint64_t priority;   // level, 0 when the model has none
    uint64_t timeout_us;
    uint64_t start_ns;   // given to infer_async
    uint64_t queue_ns;   // given to the scheduler
    uint64_t timeout_ns; // when the queue policy strikes; 0: never

    struct request_input *inputs;
    uint32_t input_count;
    uint32_t input_used; // slots of `inputs` that have been initialised: they keep their room
    uint32_t input_cap;
    const char **asked; // outputs that the client named, sorted
    uint32_t asked_count;
    uint32_t asked_cap;
    bool asked_unknown;         // one of them may be unknown to the model
    const char *const *outputs; // what the backend is asked for: those, or all of the model
    uint32_t output_count;
    struct parameter_list parameters;

    struct slice id; // terminated; in `id_inline` or the arena
    uint64_t correlation_id;
    const char *correlation_text; // NULL: the numeric one counts
    int64_t requested_version;

    TRITONSERVER_InferenceRequestReleaseFn_t release_fn;
    void *release_userp;
    const struct response_allocator *allocator;
    void *allocator_userp;
    TRITONSERVER_InferenceResponseCompleteFn_t response_fn;
    void *response_userp;
    struct trace *trace; // NULL when not traced; released with the request

    uint32_t raw_size; // the length word put before raw BYTES
    struct arena arena;
    struct request *pool_next;
    char id_inline[64];
    char correlation_inline[136];
};

// ---- the client's side (TRITONSERVER_*) ---------------------------------------------------------------------------

// Takes a request of the model's pool. `model` is taken: the request holds that reference until request_destroy().
// NULL when memory is out (the reference is then still the caller's). Thread: any.
struct request *request_create(struct model *model, int64_t requested_version);
// Gives the request back; it must not be queued or executing. NULL is fine. Thread: any.
void request_destroy(struct request *request);

NRD_MUST_USE struct nrd_status *request_set_id(struct request *request, const char *id);
NRD_MUST_USE struct nrd_status *request_set_correlation_text(struct request *request,
                                                             const char *id);
void request_set_priority(struct request *request, uint64_t priority);
// Errors: INVALID_ARG "input 'X' already exists in request".
NRD_MUST_USE struct nrd_status *request_add_input(struct request *request, const char *name,
                                                  TRITONSERVER_DataType datatype,
                                                  const int64_t *shape, uint64_t dim_count);
NRD_MUST_USE struct nrd_status *request_add_raw_input(struct request *request, const char *name);
NRD_MUST_USE struct nrd_status *request_remove_input(struct request *request, const char *name);
void request_remove_inputs(struct request *request);
// NULL when there is none.
struct request_input *request_find_input(const struct request *request, const char *name);
// Adds a buffer to the input; nothing when it is empty. The bytes are borrowed until the request is released.
NRD_MUST_USE struct nrd_status *request_append(struct request *request, struct request_input *input,
                                               const char *host_policy, const void *base,
                                               const struct buffer_attributes *attributes);
void request_clear_data(struct request_input *input);
// What is given for `host_policy` (may be NULL), or for all where nothing is.
const struct request_data *request_data_for(const struct request_input *input,
                                            const char *host_policy);
NRD_MUST_USE struct nrd_status *request_add_output(struct request *request, const char *name);
void request_remove_output(struct request *request, const char *name);
void request_remove_outputs(struct request *request);

// Appends a parameter to `list`, its texts copied into `arena`.
NRD_MUST_USE struct nrd_status *parameter_list_add(struct parameter_list *list, struct arena *arena,
                                                   const struct request_parameter *parameter);

// The value as the ABI shows it: of a text the text itself, else a pointer to the value.
static inline const void *parameter_value(const struct request_parameter *parameter)
{
    return parameter->type == TRITONSERVER_PARAMETER_STRING ? (const void *)parameter->value.string
                                                            : (const void *)&parameter->value;
}

// A status that begins with "[request id: ID] ", as Triton's texts about requests do. Returns owned.
NRD_MUST_USE NRD_PRINTF(3, 4) struct nrd_status *request_error(const struct request *request,
                                                               enum nrd_code code,
                                                               const char *format, ...);

// ---- the way through ----------------------------------------------------------------------------------------------

// Checks the request against its model, in Triton's order and with Triton's texts, and gives each input its shape. Done
// once, until something is changed. Thread: owner.
NRD_MUST_USE struct nrd_status *request_normalize(struct request *request);

// Starts the inference: normalizes, makes the response factory and enqueues. On success the request belongs to the core
// until its release callback; on an error it stays the caller's. `trace` may be NULL; taken on success.
// Thread: any.
NRD_MUST_USE struct nrd_status *infer_async(struct server *server, struct request *request,
                                            struct trace *trace);

// The same, whatever state the server is in: for the server's own questions to a model that is not published.
NRD_MUST_USE struct nrd_status *infer_enqueue(struct request *request, struct trace *trace);

// Gives the request back to the client: its release callback is called on this thread; but one whose GPU was lost is executed
// once more instead (core/retry.h). INVALID_ARG (and nothing happens)
// for TRITONSERVER_REQUEST_RELEASE_RESCHEDULE. Thread: any.
NRD_MUST_USE struct nrd_status *request_release(struct request *request, uint32_t flags);

// Answers with an error (final) and counts it. `status` is borrowed. The request is not released.
void request_respond_error(struct request *request, const struct nrd_status *status,
                           enum fail_reason reason);
bool request_is_cancelled(const struct request *request);

#endif
