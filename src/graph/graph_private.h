// SPDX-License-Identifier: Apache-2.0
// What a graph is while it is composed: applications, fragments, operators, ports, flows, conditions, thread pools. All of it lies in
// the application's arena and goes with it; what needs more than memory to go (operators' states, resources, watchers) is
// destroyed first, newest first. What the graph becomes when it is compiled is plan.h's.
//
// Composing is for one thread. Start at struct nrd_app.
#ifndef NEREID_GRAPH_GRAPH_PRIVATE_H
#define NEREID_GRAPH_GRAPH_PRIVATE_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/status.h"
#include "base/thread.h"
#include "graph/param.h"
#include "nereid/graph.h"

struct devices;
struct plan;
struct run;
struct watcher_class;
struct resource_class;

// A growing array of pointers in the application's arena.
struct graph_list {
    void **items;
    uint32_t count;
    uint32_t capacity;
};
// False: no memory.
bool graph_list_add(struct nrd_app *app, struct graph_list *list, void *item)
    __attribute__((warn_unused_result));

enum metadata_policy { METADATA_INHERIT, METADATA_REJECT, METADATA_UPDATE, METADATA_RAISE };
enum metadata_switch { METADATA_AS_ABOVE, METADATA_ON, METADATA_OFF };
struct metadata_setting {
    enum metadata_switch enabled;
    enum metadata_policy policy;
};

// Looks on while a graph runs: flow tracking, data loggers, a progress line. Members may be NULL.
struct watcher {
    const struct watcher_class *class;
    void *self;
    struct nrd_fragment *fragment; // only what its operators do; NULL: all
};

struct nrd_app {
    struct arena arena;
    char *name;
    struct graph_list fragments;  // struct nrd_fragment; [0] is always there
    struct graph_list watchers;   // struct watcher
    struct graph_list extensions; // handles of dlopen
    struct metadata_setting metadata;
    struct nrd_value *labels; // metadata {labels: {tensor: [names]}} of its models; NULL: none
    bool count_busy; // fill nrd_operator_counts.busy_ns: costs two looks at the clock a compute
    void *track;     // flow tracking's own (watch_track.c)
    _Atomic(struct devices *) devices; // GPUs; NULL until somebody asks (devices.c)
    struct plan *plan;                 // NULL until compiled, and again after something was added
    struct run *run;                   // made with the plan, kept for further runs
    // A run that nrd_app_run_async() began.
    struct thread async;
    struct nrd_status *async_result;
    _Atomic bool running;
};

enum scheduler_kind { SCHEDULER_GREEDY, SCHEDULER_MULTI_THREAD, SCHEDULER_EVENT_BASED };

struct scheduler_options {
    bool stop_on_deadlock;
    int64_t stop_on_deadlock_timeout; // ns after the last activity
    int64_t max_duration;             // ns; negative: no limit
    int64_t spin;                     // ns that a thread looks for work before it parks
    int64_t worker_thread_number;
    struct nrd_int_list pin_cores;
    struct nrd_resource *clock; // NULL: the real one
};

struct nrd_fragment {
    struct nrd_app *app;
    char *name;
    uint32_t index;
    struct graph_list operators; // struct nrd_operator, in the order they were added
    struct graph_list resources; // struct nrd_resource
    struct graph_list pools;     // struct nrd_thread_pool
    struct graph_list subgraphs; // of subgraph.c
    struct map names;            // operators, resources, schedulers, pools: one space
    const char *prefix;          // put before names while a subgraph composes; NULL: none
    struct metadata_setting metadata;
    enum scheduler_kind scheduler;
    struct scheduler_options options;
    struct param_store options_store;
    struct nrd_operator *start; // "<|start|>"; NULL until asked for
    _Atomic(struct nrd_resource *)
        allocator;                    // behind nrd_allocate(NULL); NULL until it is asked for
    struct nrd_resource *stream_pool; // the one behind nrd_compute_stream(); NULL: the default
};

struct graph_flow; // one nrd_add_flow()

enum port_condition {
    PORT_CONDITION_DEFAULT,  // message available; downstream affordable
    PORT_CONDITION_NONE,     // removed
    PORT_CONDITION_REPLACED, // by one of the operator's conditions
};

struct graph_port {
    struct nrd_port table; // texts are the arena's
    struct nrd_operator *op;
    uint32_t index;
    bool is_output;
    bool is_exec; // __input_exec__, __output_exec__
    enum port_condition condition;
    struct graph_list flows; // struct graph_flow, in the order they were connected
};

struct graph_flow {
    struct graph_port *from;
    struct graph_port *to;
    struct nrd_flow_options options; // as given; capacity 0 and policy -1: the input port's
    uint32_t index;                  // in plan.flows, once compiled
};
// What its queue holds and does when it is full: as the flow says, else as the input port does.
static inline uint32_t flow_capacity(const struct graph_flow *flow)
{
    return flow->options.capacity != 0 ? flow->options.capacity : flow->to->table.capacity;
}
static inline enum nrd_queue_policy flow_policy(const struct graph_flow *flow)
{
    return flow->options.policy >= 0 ? (enum nrd_queue_policy)flow->options.policy
                                     : flow->to->table.policy;
}

struct nrd_operator {
    const struct nrd_operator_class *class;
    struct nrd_fragment *fragment;
    char *name;
    void *state; // aligned to 64
    struct param_store store;
    struct graph_list inputs;           // struct graph_port
    struct graph_list outputs;          // struct graph_port
    struct graph_list conditions;       // struct nrd_condition, those that were added
    struct nrd_condition *async;        // its AsynchronousCondition; NULL: none was added
    enum nrd_async_state async_initial; // what was set before the run
    struct nrd_thread_pool *pool;       // NULL: the scheduler's own threads
    struct nrd_thread_options thread;
    struct metadata_setting metadata;
    bool in_setup;
    bool setup_failed;
    bool was_initialized;
    uint32_t index;           // in fragment.operators
    uint32_t number;          // in the whole application, while it is checked
    struct nrd_compute *exec; // its record in the plan; NULL until compiled
    nrd_choose_fn choose;     // dynamic flows
    void *choose_arg;
    void *streams;                   // CUDA streams of its own (streams.c)
    char *place;                     // nrd_operator_set_place(); NULL: it said nothing
    struct operator_change *changes; // dynamic parameters that wait for the next compute
    _Atomic bool has_changes;
};

struct nrd_thread_pool {
    struct nrd_fragment *fragment;
    char *name;
    uint32_t threads;
    struct graph_list operators; // struct nrd_operator
};

// ---- resources ----

// A resource's class: like an operator's table, for allocators, clocks and the like.
struct resource_class {
    const char *type; // "BlockMemoryPool"
    const char *kind; // "allocator", "clock", "cuda_stream_pool"
    size_t state_size;
    const struct nrd_param *params;
    struct nrd_status *(*create)(struct nrd_resource *resource, void *self); // NULL: nothing
    void (*destroy)(struct nrd_resource *resource,
                    void *self); // only after a create that succeeded
    const void *ops;             // by kind: struct clock_ops, struct allocator_ops (resource.h)
};

struct nrd_resource {
    const struct resource_class *class;
    struct nrd_fragment *fragment;
    char *name;
    void *state;
    struct param_store store;
    // Conditions to ask again when the resource has changed (memory came back, time was set forward).
    struct graph_list waiters; // struct nrd_condition; fixed while a graph runs
};

// ---- helpers of the folder ----

// Puts the fragment's prefix before `name`, checks that it is free among the fragment's names, and takes it for `item`.
NRD_MUST_USE struct nrd_status *fragment_claim_name(struct nrd_fragment *f, const char *what,
                                                    const char *name, void *item, char **full);
// "operator 'x' (PingTxOp)" into the app's arena; never NULL.
const char *operator_title(const struct nrd_operator *op);
// Finds a port: "" is the only one that is not optional, else the only one. Errors list the ports there are.
NRD_MUST_USE struct nrd_status *operator_find_port(struct nrd_operator *op, const char *name,
                                                   bool output, struct graph_port **port);
// The resolver that param_apply() wants; `arg` is the fragment.
struct nrd_status *fragment_resolve_resource(void *arg, const char *name, const char *kind,
                                             struct nrd_resource **resource);
// Something was added: a plan that was made before is no longer this graph's.
void app_invalidate(struct nrd_app *app);
// Adds a watcher, called from the next run on. `self` is the class's to destroy.
NRD_MUST_USE struct nrd_status *app_add_watcher(struct nrd_app *app, struct nrd_fragment *fragment,
                                                const struct watcher_class *class, void *self);
static inline struct nrd_operator *fragment_op(const struct nrd_fragment *f, uint32_t index)
{
    return f->operators.items[index];
}

#endif
