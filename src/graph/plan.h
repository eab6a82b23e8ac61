// SPDX-License-Identifier: Apache-2.0
// The plan: what a graph becomes when it is compiled. One record an operator (struct nrd_compute, which is also what its compute is
// given), one ring a flow, all in arrays; every name has become an index or a pointer. While a graph runs, nothing of this
// is allocated, freed or looked up.
//
//    producer's thread          the flow's ring            consumer's thread
//    emit -> staged -> commit ──tail──▶ [ . m m . ] ──head──▶ receive (up to `visible`)
//                        └─ exec_wake(consumer)      exec_wake(producer) ─┘
//
// Start at struct nrd_compute; how records come to run is worker.h's.
#ifndef NEREID_GRAPH_PLAN_H
#define NEREID_GRAPH_PLAN_H

#include <stdatomic.h>

#include "base/queue.h"
#include "graph/graph_private.h"
#include "graph/message_private.h"

enum { CACHE_LINE = 64 };

struct pool;
struct worker;

// One flow: a ring with one producer and one consumer, or one slot that holds the latest message. Producer and consumer each
// write a line of their own. Under POP the producer takes the oldest out of a full ring, so `head` is moved by compare-and-swap.
struct plan_flow {
    _Atomic(struct nrd_message *) *slots; // mask + 1 of them
    uint32_t mask;
    uint32_t capacity;
    enum nrd_queue_policy policy;
    bool latest;
    bool wakes_consumer; // a condition of the consumer looks at this flow
    bool wakes_producer; // likewise
    bool comes_round;    // closes a cycle: what the consumer sends may come back by it
    struct nrd_compute *producer;
    struct nrd_compute *consumer;
    const struct graph_flow *flow;
    uint32_t input;  // port of the consumer
    uint32_t number; // among the port's flows

    _Alignas(CACHE_LINE) _Atomic uint64_t head; // next to be taken
    uint64_t visible;                           // end of what this execution may take
    struct nrd_message *held;                   // latest: what was taken last
    bool held_before;                           // it was received already

    _Alignas(CACHE_LINE) _Atomic uint64_t tail; // next to be filled
    _Atomic uint64_t dropped;
    bool chosen; // dynamic flows (dynamic.c) use it this time
};

struct plan_input {
    struct plan_flow *flows; // in connection order
    uint32_t flow_count;
    uint32_t next; // where a port with several flows looks first
    bool any_size;
    const struct graph_port *port;
};

struct plan_output {
    struct plan_flow **flows;
    uint32_t flow_count;
    uint32_t capacity; // of one execution
    enum nrd_queue_policy policy;
    struct nrd_message **staged; // a ring of `capacity`
    uint32_t staged_first, staged_count;
    const struct graph_port *port;
};

// How a record stands with its worker (worker.c).
enum exec_state { EXEC_IDLE, EXEC_RUNNING, EXEC_NOTIFIED };
enum { EXEC_SHORTS = 64 }; // computes in a row after which the next is expected to be short

struct nrd_compute {
    struct nrd_operator *op;
    void *self;
    struct nrd_status *(*compute)(struct nrd_compute *ctx, void *self);
    struct plan *plan;
    struct pool *pool;
    uint32_t index; // in plan.execs: in topological order
    uint32_t slot;  // in its pool's ready set
    struct plan_input *inputs;
    struct plan_output *outputs;
    uint32_t input_count, output_count; // with the implicit ones, which are the last
    struct plan_flow *flows;            // of all inputs, in order
    uint32_t flow_count;
    bool is_source;         // ends when the run is asked to stop: nothing feeds it
    bool is_timed;          // a condition needs the time
    bool has_own_condition; // one of the caller\'s, which knows what the operator waits for
    bool metadata_on;
    struct plan_input *exec_input; // the implicit ports of control; NULL: none
    struct plan_output *exec_output;
    enum metadata_policy metadata_policy;
    struct nrd_condition **conditions;
    uint32_t condition_count;

    // The worker's that runs it.
    bool started;
    bool retired;      // a condition said NEVER
    bool holds_event;  // an outstanding event keeps the run alive
    uint32_t heap_at;  // place in the pool's timers + 1; 0: none
    int64_t wake_time; // of that timer
    uint64_t count;    // executions
    uint64_t
        rounds_end; // draining: from this count on not for what comes round alone; 0: not known yet
    struct nrd_value *metadata;
    struct nrd_status *error; // of metadata, of this execution
    enum nrd_code fault;      // of an emit that found no room
    uint32_t fault_port;
    struct worker *worker;  // that runs it now
    uint32_t long_computes; // pools of several: 0 when its last computes were all short
    uint64_t async_seen;    // async_word at the last look
    int64_t began_at;       // graph's time of this execution's begin; only where `is_timed`
    int64_t choice_mark;    // of dynamic flows: see choose.c
    void *watch;            // of flow tracking: its struct track_operator

    // Counters: written by one thread at a time, read by any.
    _Atomic uint64_t computes, received, emitted, busy_ns, late;
    _Atomic uint32_t status; // enum nrd_operator_status

    // What others write.
    _Alignas(CACHE_LINE) _Atomic uint32_t state; // enum exec_state
    _Atomic bool stop_asked;                     // nrd_fragment_stop()
    _Atomic uint64_t async_word; // nrd_operator_async(): times it was set, << 3, and the state
    struct queue_node link;      // in its pool's inbox
};

struct plan {
    struct nrd_app *app;
    struct nrd_compute *execs; // in topological order
    uint32_t exec_count;
    uint32_t exec_room;
    struct plan_flow *flows; // by consumer, input, connection
    uint32_t flow_count;
    uint64_t room; // messages that can be on their way: all queues, and one in each operator's hand
    struct pool **pools;
    uint32_t pool_count;
    struct message_pools messages;
    struct watcher **watchers; // NULL-free; of the app
    uint32_t watcher_count;
    bool watched;   // anybody looks on
    bool marks;     // somebody writes to messages
    bool hop_times; // somebody wants the time of each message
    struct arena arena;
};

// Checks the whole graph and makes its plan. All findings are in the text, one a line. Thread: owner.
NRD_MUST_USE struct nrd_status *plan_create(struct nrd_app *app, struct plan **plan);
void plan_destroy(struct plan *plan);
// Before each run: empties rings, resets conditions and counters.
void plan_reset(struct plan *plan);
// Gives all messages back that are still on their way.
void plan_drain(struct plan *plan);

// Asks for a look at the record's conditions by the worker that is responsible for it. Callers hold a token of activity: they run
// in a worker. `by` is that worker, NULL from within user code. Never blocks.
void exec_wake(struct nrd_compute *exec, struct worker *by);
// The same for those who hold none: other threads, user code. After the run it does nothing. Thread: any.
void exec_wake_outside(struct nrd_compute *exec);

// Messages in a flow, as its consumer (its producer) sees them.
static inline uint64_t flow_fill(const struct plan_flow *flow)
{
    uint64_t head = atomic_load_explicit(&flow->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&flow->tail, memory_order_acquire);
    return tail > head ? tail - head : 0;
}
// Messages that the consumer could take: a latest-value flow always has the last one again. Thread: the consumer's.
static inline uint64_t flow_available(const struct plan_flow *flow)
{
    return !flow->latest ? flow_fill(flow)
                         : flow->held != NULL ||
                               atomic_load_explicit(&flow->slots[0], memory_order_acquire) != NULL;
}

#endif
