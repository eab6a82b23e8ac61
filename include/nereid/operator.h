/* SPDX-License-Identifier: Apache-2.0 */
/* Operators, as their authors see them: one const table an operator class. An instance's life:

      setup -> initialize -> start -> compute* -> stop -> destroy
      (compose)  (compile)    (run)     (run)     (run)    (with the graph)

   setup may add ports that depend on parameters; initialize gets the memory that the run needs; start runs on the thread of the
   scheduler before the first compute; compute runs when all conditions hold, on one thread at a time; stop runs once for each start
   that succeeded, whatever went wrong in between. A run may be followed by another: start again. While it computes, an
   operator allocates nothing from the heap, looks no name up and formats no log line. Start at struct nrd_operator_class. */
#ifndef NEREID_OPERATOR_H
#define NEREID_OPERATOR_H

#include "nereid/message.h"

#ifdef __cplusplus
extern "C" {
#endif

struct nrd_operator; /* one operator of a graph */
struct nrd_compute;  /* one execution of compute */
struct nrd_resource; /* an allocator, clock, stream pool ... of a graph */

/* ---- parameters ------------------------------------------------------------------------------------------------- */

struct nrd_int_list {
    const int64_t *items;
    size_t count;
};
struct nrd_real_list {
    const double *items;
    size_t count;
};
struct nrd_string_list {
    const char *const *items;
    size_t count;
};

/* How a parameter's text becomes a field of the operator's state. What a field points to lives as long as the operator. */
enum nrd_param_type {
    NRD_PARAM_BOOL,   /* bool */
    NRD_PARAM_INT,    /* int64_t, within [min, max] when they differ */
    NRD_PARAM_REAL,   /* double, likewise */
    NRD_PARAM_STRING, /* const char *; NULL when optional and absent */
    NRD_PARAM_DURATION, /* int64_t nanoseconds: "20ms", "1.5s", "500us", "10Hz" (its period), "1m", or a number of them */
    NRD_PARAM_BYTES, /* uint64_t: "16MB" and "16MiB" (both 2^20 bytes, as the field has it), "4KB", or a number */
    NRD_PARAM_CHOICE,      /* int: the index in `choices`; numbers are taken as an index too */
    NRD_PARAM_INT_LIST,    /* struct nrd_int_list; a scalar is a list of one */
    NRD_PARAM_REAL_LIST,   /* struct nrd_real_list */
    NRD_PARAM_STRING_LIST, /* struct nrd_string_list */
    NRD_PARAM_VALUE,       /* const struct nrd_value *: any tree; NULL when absent */
    NRD_PARAM_RESOURCE, /* struct nrd_resource *: by its name in the fragment; `choices[0]` is the kind it must have
                              ("allocator", "clock", "cuda_stream_pool"); NULL when optional and absent */
};
enum nrd_param_flags {
    NRD_PARAM_OPTIONAL = 1, /* may be absent without a fallback: the field stays zero */
    NRD_PARAM_DYNAMIC =
        2, /* may be set while the graph runs (bool, int, real, duration, choice): takes effect before a compute */
};

struct nrd_param {
    const char *name;
    enum nrd_param_type type;
    unsigned flags;
    size_t offset;        /* of the field in the state */
    const char *fallback; /* the default as YAML text; NULL: none (required unless optional) */
    const char *const *choices; /* ends with NULL */
    double min, max;
    const char *unit; /* "ns", "pixels"; NULL: none */
    const char *help; /* one sentence */
};

/* ---- ports ------------------------------------------------------------------------------------------------------ */

enum nrd_queue_policy {
    NRD_QUEUE_POP,    /* a full queue drops its oldest message */
    NRD_QUEUE_REJECT, /* a full queue drops the new message */
    NRD_QUEUE_FAULT, /* a full queue ends the run with an error (the default: the conditions keep it from happening) */
};
enum nrd_port_flags {
    NRD_PORT_OPTIONAL = 1, /* may be left without a flow */
    NRD_PORT_ANY_SIZE =
        2, /* input: any number of flows, each with a queue and a condition of its own (IOSpec::kAnySize) */
    NRD_PORT_NO_CONDITION =
        4, /* no default condition: compute may run while the input is empty, or the output is full */
    NRD_PORT_SPARSE =
        8, /* output: by design not each compute writes to it, so its rate is not its operator's */
};
struct nrd_port {
    const char *name;
    const char *
        type; /* what its messages carry: "tensors", the type name of a plain value or object, or NULL (any) */
    uint32_t capacity; /* 0 is 1; for an input with N > 1, compute waits for min_size messages */
    uint32_t min_size; /* 0 is 1 */
    enum nrd_queue_policy policy;
    unsigned flags;
    const char *help;
};
/* `policy` of a table left zero would be POP; the tables of operators say NRD_QUEUE_FAULT. */

/* ---- the class -------------------------------------------------------------------------------------------------- */

#define NRD_OPERATOR_ABI 1

struct nrd_operator_class {
    uint32_t abi;     /* NRD_OPERATOR_ABI */
    const char *name; /* "PingTxOp"; YAML finds it also as "holoscan::ops::PingTxOp" and the like */
    const char *summary; /* one sentence */
    size_t state_size;   /* bytes of an instance's state, zeroed, then filled from the parameters */
    const struct nrd_param *params; /* ends with a NULL name; NULL: none */
    const struct nrd_port *inputs;  /* likewise. compute knows a port by its index in the table */
    const struct nrd_port *outputs;
    /* Any of these but compute may be NULL. `self` is the state. An error of setup or initialize refuses the graph; one of start,
       compute or stop ends the run: it is returned by the run with "operator 'NAME': " before it. */
    struct nrd_status *(*setup)(struct nrd_operator *op, void *self);
    struct nrd_status *(*initialize)(struct nrd_operator *op, void *self);
    struct nrd_status *(*start)(struct nrd_operator *op, void *self);
    struct nrd_status *(*compute)(struct nrd_compute *ctx, void *self);
    struct nrd_status *(*stop)(struct nrd_operator *op, void *self);
    void (*destroy)(struct nrd_operator *op,
                    void *self); /* once for each setup that was called, also of one that failed */
};

/* A library of operators (YAML `extensions: [libmine.so]`) exports `nrd_operators`: tables, ended by NULL. */
#define NRD_OPERATORS_SYMBOL "nrd_operators"
#define NRD_EXPORT_OPERATORS(...)                                                                  \
    NRD_API extern const struct nrd_operator_class *const nrd_operators[];                         \
    const struct nrd_operator_class *const nrd_operators[] = {__VA_ARGS__, NULL}

/* ---- in setup: ports that depend on parameters ------------------------------------------------------------------ */

/* Adds a port after those of the table and sets `*index`. `port` and its texts are copied. NRD_ALREADY_EXISTS, NRD_INVALID_ARG ('.', ':'
   or '/' in the name). Thread: owner, within setup. */
NRD_API NRD_MUST_USE struct nrd_status *
nrd_operator_add_input(struct nrd_operator *op, const struct nrd_port *port, size_t *index);
NRD_API NRD_MUST_USE struct nrd_status *
nrd_operator_add_output(struct nrd_operator *op, const struct nrd_port *port, size_t *index);

/* ---- anywhere --------------------------------------------------------------------------------------------------- */

NRD_API const char *nrd_operator_name(const struct nrd_operator *op);
NRD_API void *nrd_operator_state(struct nrd_operator *op);
/* Flows into an input (out of an output): known from compile on. */
NRD_API size_t nrd_operator_input_flows(const struct nrd_operator *op, size_t port);
NRD_API size_t nrd_operator_output_flows(const struct nrd_operator *op, size_t port);
/* Messages that wait in the queue of one flow of an input, for conditions of the operator's own. Thread: that of check() and
 * compute(). */
NRD_API size_t nrd_operator_queued(const struct nrd_operator *op, size_t port, size_t flow);
/* How many messages may be on their way at once out of this port's flows (capacities, and one in each hand): what a pool of output
   buffers needs so that it never runs dry. Known from initialize on. */
NRD_API size_t nrd_operator_messages_in_flight(const struct nrd_operator *op, size_t port);

/* Asynchronous work. The operator's AsynchronousCondition (made on the first call if there is none) says when it may run again:
   WAIT: not now (somebody will say READY); EVENT_WAITING: an event is outstanding, which keeps the run alive; EVENT_DONE: it has come,
   compute runs once; NEVER: no more. Thread: any. */
enum nrd_async_state {
    NRD_ASYNC_READY,
    NRD_ASYNC_WAIT,
    NRD_ASYNC_EVENT_WAITING,
    NRD_ASYNC_EVENT_DONE,
    NRD_ASYNC_NEVER,
};
NRD_API void nrd_operator_async(struct nrd_operator *op, enum nrd_async_state state);

/* Asks the whole run to stop as if every source had ended now; in-flight messages are still delivered when `drain`. Thread: any. */
NRD_API void nrd_operator_stop_run(struct nrd_operator *op, bool drain);

/* A log line of the operator ("name: text"). Not from compute in steady state. Thread: any. */
enum nrd_log_level { NRD_LOG_ERROR, NRD_LOG_WARNING, NRD_LOG_INFO, NRD_LOG_DEBUG };
NRD_API NRD_PRINTF(3, 4) void nrd_operator_log(const struct nrd_operator *op,
                                               enum nrd_log_level level, const char *format, ...);

/* States where this operator does its work, in words for people: "unet_model on GPU 0". Shown when a run is over, and what
   nrd_operator_place() returns. `text` is copied; an empty one takes it back. In initialize. Thread: owner. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_operator_set_place(struct nrd_operator *op,
                                                               const char *text);

/* ---- in compute ------------------------------------------------------------------------------------------------- */

NRD_API struct nrd_operator *nrd_compute_operator(struct nrd_compute *ctx);
/* The clock of the graph, nanoseconds; and the number of this execution, from 0. */
NRD_API int64_t nrd_compute_now(struct nrd_compute *ctx);
NRD_API uint64_t nrd_compute_count(struct nrd_compute *ctx);

/* Takes the oldest message of an input: returns owned, NULL when it is empty. Its metadata is merged into this execution's. What arrives
   while compute runs is seen by the next one. On an any-size input: of the first flow that has one, in connection order. */
NRD_API NRD_MUST_USE struct nrd_message *nrd_receive(struct nrd_compute *ctx, size_t input);
/* The same of one flow of an any-size input. */
NRD_API NRD_MUST_USE struct nrd_message *nrd_receive_from(struct nrd_compute *ctx, size_t input,
                                                          size_t flow);
/* How many nrd_receive() calls would return one. */
NRD_API size_t nrd_available(struct nrd_compute *ctx, size_t input);
NRD_API size_t nrd_available_from(struct nrd_compute *ctx, size_t input, size_t flow);

/* A message of the plan's pool, empty. Returns owned; NULL when memory is out. */
NRD_API NRD_MUST_USE struct nrd_message *nrd_message_new(struct nrd_compute *ctx);
/* Sends on all flows of an output when compute returns success; takes `message`, also on failure. NRD_UNAVAILABLE: this execution
   has sent more than the port's capacity under NRD_QUEUE_FAULT, which ends the run even if compute goes on. Metadata of the execution is
   attached, and tensors of a GPU get the event of the operator's stream. */
NRD_API NRD_MUST_USE enum nrd_code nrd_emit(struct nrd_compute *ctx, size_t output,
                                            struct nrd_message *message);
/* Whether nrd_emit() would find room. */
NRD_API bool nrd_can_emit(struct nrd_compute *ctx, size_t output);

/* nrd_message_new, set_value and nrd_emit in one. */
NRD_API NRD_MUST_USE enum nrd_code nrd_emit_value(struct nrd_compute *ctx, size_t output,
                                                  const char *type, const void *value, size_t size);

/* Metadata of this execution: empty at its start, merged from what is received by the operator's policy (reject: the first stays;
   update: the last wins; raise: two different values of one key are an error), attached to what is emitted. `value` is taken. */
NRD_API const struct nrd_value *nrd_metadata(struct nrd_compute *ctx); /* a map; NULL when empty */
NRD_API NRD_MUST_USE struct nrd_status *nrd_metadata_set(struct nrd_compute *ctx, const char *key,
                                                         struct nrd_value *value);
NRD_API void nrd_metadata_clear(struct nrd_compute *ctx);

/* The status for a compute that must fail; like nrd_status_new, and the run adds the operator's name. A bare code as a status: */
NRD_API NRD_MUST_USE struct nrd_status *nrd_compute_fail(struct nrd_compute *ctx,
                                                         enum nrd_code code, const char *what);

/* ---- memory and streams ----------------------------------------------------------------------------------------- */

/* A tensor from an allocator resource (NULL: the fragment's default, which keeps and reuses what comes back). NRD_UNAVAILABLE: a
   pool that is used up, with its numbers. Steady state allocates nothing from the heap. Returns owned. Thread: any. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_allocate(struct nrd_operator *op,
                                                     struct nrd_resource *allocator,
                                                     enum nrd_dtype dtype, const int64_t *dims,
                                                     uint32_t rank, enum nrd_memory memory,
                                                     int32_t device, struct nrd_tensor **tensor);

/* The operator's own CUDA stream (a CUstream) on `device`, made at the first call from the fragment's stream pool; NRD_UNAVAILABLE
   where there is no such GPU. Work on tensors of a GPU goes on it. Thread: the operator's. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_compute_stream(struct nrd_compute *ctx, int32_t device,
                                                           void **stream);
/* Makes that stream wait for the tensor's event, without waiting on the CPU; nothing for tensors that are there. */
NRD_API NRD_MUST_USE struct nrd_status *
nrd_stream_wait_tensor(struct nrd_compute *ctx, void *stream, const struct nrd_tensor *tensor);
/* Waits on the CPU until a tensor's bytes are there; nothing for those of the host. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_tensor_synchronize(const struct nrd_tensor *tensor);

#ifdef __cplusplus
}
#endif

#endif
