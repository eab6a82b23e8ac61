/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs: applications of operators that are composed, checked, compiled and run.

      nrd_app_create -> add operators, flows, conditions, resources, a scheduler -> nrd_app_compile -> nrd_app_run -> results

   compile checks names, port types, rates, cycles, capacities and pool sizes and makes a fixed plan: who may wake whom, which queue is
   where. A run ends because every source has said so and everything in flight was counted home, never because nothing seemed to
   happen. An application may be run again. Composing is for one thread; what may be called during a run says "Thread: any". */
#ifndef NEREID_GRAPH_H
#define NEREID_GRAPH_H

#include "nereid/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

struct nrd_app;
struct nrd_fragment;  /* one graph with a scheduler of its own; every application has a first one */
struct nrd_condition; /* a term of one operator */
struct nrd_thread_pool; /* threads that operators are pinned to */

/* ---- applications ----------------------------------------------------------------------------------------------- */

/* Returns owned; destroy ends with all that was added. Thread: owner. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_app_create(const char *name, struct nrd_app **app);
/* Stops a run that is going on and waits for it. NULL is fine. */
NRD_API void nrd_app_destroy(struct nrd_app *app);
NRD_API const char *nrd_app_name(const struct nrd_app *app);
/* The first fragment, which is there from the start. */
NRD_API struct nrd_fragment *nrd_app_fragment(struct nrd_app *app);
NRD_API NRD_MUST_USE struct nrd_status *nrd_app_add_fragment(struct nrd_app *app, const char *name,
                                                             struct nrd_fragment **fragment);

/* Opens a library that exports `nrd_operators`; its classes can then be named. It stays open. A bare name is looked for beside this
   library, in lib/nereid/operators, then as the system does. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_app_load_extension(struct nrd_app *app,
                                                               const char *path);
/* Makes one class known by its name, from here on in every application of the process. Borrows: static tables. Thread: any. */
NRD_API NRD_MUST_USE struct nrd_status *
nrd_register_operator(const struct nrd_operator_class *table);
/* By name, with or without "holoscan::", "holoscan::ops::", "nereid::" before it; opens the built-in library that has it if needed. NULL:
   none. The index-th of those known (loads all built-in libraries at index 0). Thread: any. */
NRD_API const struct nrd_operator_class *nrd_find_operator(const char *name);
NRD_API const struct nrd_operator_class *nrd_operator_class_at(size_t index);

/* ---- composing -------------------------------------------------------------------------------------------------- */

/* Adds an operator. `params` (a map, or NULL) is copied. Names are unique in a fragment among operators, resources and schedulers.
   Errors name the operator, the parameter, the value, and the file position if it has one. `op` is borrowed from the fragment. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_add_operator(struct nrd_fragment *fragment,
                                                         const char *class_name, const char *name,
                                                         const struct nrd_value *params,
                                                         struct nrd_operator **op);
NRD_API NRD_MUST_USE struct nrd_status *
nrd_add_operator_class(struct nrd_fragment *fragment, const struct nrd_operator_class *table,
                       const char *name, const struct nrd_value *params, struct nrd_operator **op);
/* The same with parameters as YAML text ("{rate: 30Hz, count: 10}"). */
NRD_API NRD_MUST_USE struct nrd_status *nrd_add_operator_yaml(struct nrd_fragment *fragment,
                                                              const char *class_name,
                                                              const char *name, const char *params,
                                                              struct nrd_operator **op);
NRD_API struct nrd_operator *nrd_fragment_operator(struct nrd_fragment *fragment,
                                                   const char *name); /* NULL: none */
/* Sets one NRD_PARAM_DYNAMIC parameter while the graph runs (any parameter before compile). Thread: any. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_operator_set(struct nrd_operator *op, const char *param,
                                                         const struct nrd_value *value);

/* A flow from an output to an input; "" means the only one there is that is not optional (else the only one). Operators of different fragments may be joined. With neither
   name, and operators that have no ports to join, it is a flow of control (__output_exec__ to __input_exec__). Errors list
   the ports there are. The options may be NULL. */
struct nrd_flow_options {
    uint32_t capacity; /* of the queue; 0: the input port's */
    int policy;        /* enum nrd_queue_policy; -1: the input port's */
    bool
        latest; /* one slot that holds the newest message, read again and again (an asynchronous buffer) */
};
NRD_API NRD_MUST_USE struct nrd_status *nrd_add_flow(struct nrd_operator *from, const char *output,
                                                     struct nrd_operator *to, const char *input,
                                                     const struct nrd_flow_options *options);

/* Adds a condition: `type` as "CountCondition"; `params` as in holoscan, `receiver`/`transmitter` naming the port of a port's condition.
   A condition on a port replaces the port's default one. "NoneCondition" removes it. Types: Count, Boolean, Periodic, Asynchronous,
   MessageAvailable, DownstreamMessageAffordable, MultiMessageAvailable, MultiMessageAvailableTimeout, ExpiringMessageAvailable,
   MemoryAvailable, CudaStream, CudaEvent, CudaBufferAvailable, Timeout, Deadline, FirstPickOver, None (each + "Condition"). */
NRD_API NRD_MUST_USE struct nrd_status *nrd_add_condition(struct nrd_operator *op, const char *type,
                                                          const char *name,
                                                          const struct nrd_value *params,
                                                          struct nrd_condition **condition);
/* A condition of the caller's: `check` is asked when `now` has come or after nrd_condition_notify(). */
enum nrd_condition_state {
    NRD_CONDITION_NEVER, /* no more, ever */
    NRD_CONDITION_READY,
    NRD_CONDITION_WAIT,       /* until something changes: a message, or nrd_condition_notify() */
    NRD_CONDITION_WAIT_TIME,  /* until *target_ns */
    NRD_CONDITION_WAIT_EVENT, /* until nrd_condition_notify(); keeps the run alive */
};
struct nrd_condition_class {
    const char *name;
    enum nrd_condition_state (*check)(void *self, int64_t now_ns, int64_t *target_ns);
    void (*executed)(void *self,
                     int64_t now_ns); /* after compute, with the time it began; NULL: nothing */
};
NRD_API NRD_MUST_USE struct nrd_status *
nrd_add_condition_class(struct nrd_operator *op, const struct nrd_condition_class *table,
                        void *self, struct nrd_condition **condition);
NRD_API void nrd_condition_notify(struct nrd_condition *condition); /* Thread: any */
/* BooleanCondition. False is NEVER; once the scheduler has seen it, it is final. Thread: any. */
NRD_API void nrd_condition_set_enabled(struct nrd_condition *condition, bool enabled);
/* Joins the conditions of some ports by "or" (any NEVER still is NEVER). */
NRD_API NRD_MUST_USE struct nrd_status *nrd_combine_or(struct nrd_operator *op,
                                                       const char *const *ports, size_t count);
/* A condition over several inputs at once (MultiMessageAvailable...), instead of their own. */
NRD_API NRD_MUST_USE struct nrd_status *
nrd_add_multi_port_condition(struct nrd_operator *op, const char *type, const char *const *ports,
                             size_t count, const struct nrd_value *params);

/* Adds a resource. Types: UnboundedAllocator, BlockMemoryPool, StreamOrderedAllocator, RMMAllocator, CudaStreamPool, RealtimeClock,
   ManualClock, SyntheticClock. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_add_resource(struct nrd_fragment *fragment,
                                                         const char *type, const char *name,
                                                         const struct nrd_value *params,
                                                         struct nrd_resource **resource);
NRD_API struct nrd_resource *nrd_fragment_resource(struct nrd_fragment *fragment,
                                                   const char *name); /* NULL: none */
/* ManualClock and SyntheticClock: sets time forward by hand. Thread: any. */
NRD_API void nrd_clock_advance(struct nrd_resource *clock, int64_t by_ns);
NRD_API int64_t nrd_clock_now(const struct nrd_resource *clock);

/* GreedyScheduler (the default), MultiThreadScheduler, EventBasedScheduler; parameters as holoscan's (worker_thread_number, pin_cores,
   stop_on_deadlock, stop_on_deadlock_timeout, max_duration_ms, check_recession_period_ms, clock) and ours (spin: 10us). */
NRD_API NRD_MUST_USE struct nrd_status *
nrd_set_scheduler(struct nrd_fragment *fragment, const char *type, const struct nrd_value *params);
/* Threads for operators: EventBased and MultiThread. `priority` 0 is the default policy; `policy` one of "", "fifo", "rr", "deadline". */
NRD_API NRD_MUST_USE struct nrd_status *nrd_add_thread_pool(struct nrd_fragment *fragment,
                                                            const char *name, uint32_t threads,
                                                            struct nrd_thread_pool **pool);
struct nrd_thread_options {
    bool pin;           /* the operator always runs on the same thread of the pool */
    const char *policy; /* real-time policy of that thread; "" or NULL: none */
    int priority;       /* 1..99 with fifo and rr */
    const char *cores;  /* "0-3,8"; NULL: any */
    int64_t runtime_ns, deadline_ns, period_ns; /* with deadline */
};
NRD_API NRD_MUST_USE struct nrd_status *
nrd_thread_pool_add(struct nrd_thread_pool *pool, struct nrd_operator *op,
                    const struct nrd_thread_options *options);

/* Metadata: on by default; `policy` "reject", "update" or "raise" (the default). For an application, a fragment, an operator: the
   nearest that was set counts. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_app_set_metadata(struct nrd_app *app, bool enabled,
                                                             const char *policy);
NRD_API NRD_MUST_USE struct nrd_status *nrd_fragment_set_metadata(struct nrd_fragment *fragment,
                                                                  bool enabled, const char *policy);
NRD_API NRD_MUST_USE struct nrd_status *nrd_operator_set_metadata(struct nrd_operator *op,
                                                                  bool enabled, const char *policy);

/* Dynamic flows: after each compute `choose` picks where control goes next, among the flows that were added with nrd_add_flow(). */
struct nrd_flow_choice;
typedef void (*nrd_choose_fn)(struct nrd_operator *op, struct nrd_flow_choice *choice, void *arg);
NRD_API NRD_MUST_USE struct nrd_status *nrd_set_dynamic_flows(struct nrd_operator *op,
                                                              nrd_choose_fn choose, void *arg);
NRD_API NRD_MUST_USE struct nrd_status *nrd_flow_choose(struct nrd_flow_choice *choice,
                                                        const char *to_operator);
/* The operator that is there in every fragment to start dynamic flows: "<|start|>", which runs once. */
NRD_API struct nrd_operator *nrd_start_operator(struct nrd_fragment *fragment);

/* Subgraphs: `compose` adds operators whose names get "INSTANCE_" before them, and exposes some of their ports. */
struct nrd_subgraph;
typedef struct nrd_status *(*nrd_compose_fn)(struct nrd_subgraph *subgraph,
                                             struct nrd_fragment *fragment, void *arg);
NRD_API NRD_MUST_USE struct nrd_status *nrd_add_subgraph(struct nrd_fragment *fragment,
                                                         const char *instance,
                                                         nrd_compose_fn compose, void *arg,
                                                         struct nrd_subgraph **subgraph);
NRD_API NRD_MUST_USE struct nrd_status *nrd_subgraph_expose_input(struct nrd_subgraph *subgraph,
                                                                  const char *name,
                                                                  struct nrd_operator *op,
                                                                  const char *port);
NRD_API NRD_MUST_USE struct nrd_status *nrd_subgraph_expose_output(struct nrd_subgraph *subgraph,
                                                                   const char *name,
                                                                   struct nrd_operator *op,
                                                                   const char *port);
/* The operator and port behind an exposed name, for nrd_add_flow(). NRD_NOT_FOUND lists those there are. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_subgraph_port(struct nrd_subgraph *subgraph,
                                                          const char *name,
                                                          struct nrd_operator **op,
                                                          const char **port);

/* ---- running ---------------------------------------------------------------------------------------------------- */

/* Checks and compiles; run does it where it was not done. Every finding is in the text, one a line. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_app_compile(struct nrd_app *app);
/* Runs to the end on the calling thread (and those of the schedulers). The first error that an operator returned, with its name. NULL after a
   stop. NRD_UNAVAILABLE "deadlock: ..." where operators wait for each other with messages left, unless stop_on_deadlock is false. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_app_run(struct nrd_app *app);
/* The same on a thread of its own; nrd_app_wait() returns what the run returned. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_app_run_async(struct nrd_app *app);
NRD_API NRD_MUST_USE struct nrd_status *nrd_app_wait(struct nrd_app *app);
/* Ends a run: sources stop; `drain` lets what is in flight arrive. Returns at once. Async-signal-safe. Thread: any. */
NRD_API void nrd_app_stop(struct nrd_app *app, bool drain);
NRD_API void nrd_fragment_stop(struct nrd_fragment *fragment,
                               const char *operator_name); /* "": the whole fragment; Thread: any */

enum nrd_operator_status {
    NRD_OPERATOR_NOT_STARTED,
    NRD_OPERATOR_START_PENDING,
    NRD_OPERATOR_STARTED,
    NRD_OPERATOR_TICK_PENDING,
    NRD_OPERATOR_TICKING,
    NRD_OPERATOR_IDLE,
    NRD_OPERATOR_STOP_PENDING,
    NRD_OPERATOR_STOPPED,
};
NRD_API enum nrd_operator_status
nrd_operator_get_status(const struct nrd_operator *op); /* Thread: any */

/* Counters of one operator since the run began. Thread: any; each number is exact, not the set of them. */
struct nrd_operator_counts {
    uint64_t computes;
    uint64_t received;
    uint64_t emitted;
    uint64_t dropped; /* by queues of its inputs under POP and REJECT */
    uint64_t busy_ns; /* in compute; counted where tracking or a progress line asks for it */
    uint64_t late;    /* periodic ticks that came after the next one was due */
};
NRD_API void nrd_operator_get_counts(const struct nrd_operator *op,
                                     struct nrd_operator_counts *counts);
/* Where the operator says that it works: "unet_model on GPU 0" of one that asks a model; "" of one that says nothing. Known once a
   run has begun; borrowed until the next one does. Thread: owner. */
NRD_API const char *nrd_operator_place(const struct nrd_operator *op);
/* Whether the next runs fill busy_ns, which costs two looks at the clock for each compute. Off at first. Thread: owner. */
NRD_API void nrd_app_time_computes(struct nrd_app *app, bool on);
/* The index-th fragment, the first one at 0; NULL past the end. */
NRD_API struct nrd_fragment *nrd_app_fragment_at(const struct nrd_app *app, size_t index);
NRD_API size_t nrd_fragment_operator_count(const struct nrd_fragment *fragment);
NRD_API struct nrd_operator *nrd_fragment_operator_at(struct nrd_fragment *fragment, size_t index);

/* ---- watching --------------------------------------------------------------------------------------------------- */

/* Flow tracking, from the next run on: end-to-end latency for each path from a source to a sink. */
struct nrd_track_options {
    uint64_t skip_first, skip_last; /* messages that are not counted (holoscan: 10 and 10) */
    int64_t threshold_ns;           /* only latencies over it; 0: all */
    const char *log_path; /* each message's way, as holoscan's logger writes it; NULL: none */
};
NRD_API NRD_MUST_USE struct nrd_status *nrd_app_track(struct nrd_app *app,
                                                      const struct nrd_track_options *options);
struct nrd_path_report {
    const char *path; /* "source,filter,sink" */
    uint64_t count;
    int64_t min_ns, mean_ns, max_ns, p50_ns, p90_ns, p99_ns, p999_ns;
    uint64_t min_message, max_message; /* their numbers */
};
NRD_API size_t nrd_app_path_count(const struct nrd_app *app);
NRD_API bool nrd_app_path_report(const struct nrd_app *app, size_t index,
                                 struct nrd_path_report *report);
/* Holoscan's text ("Data Flow Tracking Results:"), and a CSV with one row a path. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_app_write_tracking(const struct nrd_app *app,
                                                               const char *path, bool csv);

/* A data logger: sees every message that is received and emitted. Called on the operator's thread; must not block. */
struct nrd_logger_class {
    const char *name;
    void (*logged)(void *self, const struct nrd_operator *op, const char *port, bool emitted,
                   const struct nrd_message *message, int64_t now_ns);
};
NRD_API NRD_MUST_USE struct nrd_status *
nrd_app_add_logger(struct nrd_app *app, const struct nrd_logger_class *table, void *self);
/* BasicConsoleLogger and AsyncConsoleLogger with holoscan's parameters (allowlist_patterns, denylist_patterns, log_inputs, log_outputs,
   log_metadata, log_tensor_data_content, max_queue_size ...). */
NRD_API NRD_MUST_USE struct nrd_status *nrd_add_data_logger(struct nrd_fragment *fragment,
                                                            const char *type,
                                                            const struct nrd_value *params);

/* What this library logs to standard error from now on: messages of `level` and graver ones; -1: nothing. NRD_LOG_INFO at first.
   Thread: any. */
NRD_API void nrd_log_set_level(int level);

/* ---- YAML ------------------------------------------------------------------------------------------------------- */

/* Adds what a YAML file says to a fresh application: the full form (`operators:`, `flows:` ...) or the seed's (`gxf_application:`). Every
   error carries file, line and column; all findings are in the text, one a line. `options` (a map, or NULL) overrides the file:
   {source: "PATH|camera|pattern", set: {"operator.parameter": value}, scheduler: {type, worker_thread_number, ...}}. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_app_load_yaml(struct nrd_app *app, const char *path,
                                                          const struct nrd_value *options);
/* The graph drawn, after compile: an SVG file. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_app_write_svg(struct nrd_app *app, const char *path);

#ifdef __cplusplus
}
#endif

#endif
