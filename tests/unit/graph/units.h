// SPDX-License-Identifier: Apache-2.0
// Operators for tests of graphs: each notes what it did, and can be told to do something else. Ports are named after their count:
// a source has "out", a sink "in", a join any number of flows on "in", a pair "a" and "b".
#ifndef NEREID_TESTS_UNIT_GRAPH_UNITS_H
#define NEREID_TESTS_UNIT_GRAPH_UNITS_H

#include <stdatomic.h>
#include <stdio.h>

#include "app_unit.h"

enum { UNIT_NOTES = 4096 };
enum unit_phase { UNIT_NOTHING, UNIT_INITIALIZE, UNIT_START, UNIT_COMPUTE, UNIT_STOP };

struct unit {
    // What a compute does instead of its class's usual thing; NULL: the usual.
    struct nrd_status *(*act)(struct nrd_compute *ctx, struct unit *u);
    void *arg;
    enum unit_phase fails_in;
    int64_t fails_at; // the compute that fails, from 0
    int64_t sent;
    int64_t values[UNIT_NOTES]; // received
    int64_t times[UNIT_NOTES];  // of each compute, on the graph's clock
    size_t value_count, time_count;
    int starts, stops, computes;
    _Atomic int *order; // shared: a number for each start or stop, to see who was when; NULL: none
    int started_as, stopped_as;
};

static inline struct unit *unit_of(struct nrd_operator *op)
{
    return nrd_operator_state(op);
}

static inline struct nrd_status *unit_fail(const struct unit *u, enum unit_phase phase)
{
    return u->fails_in == phase ? status_new(NRD_INTERNAL, "told to fail") : NULL;
}

static inline struct nrd_status *unit_initialize(struct nrd_operator *op, void *self)
{
    (void)op;
    return unit_fail(self, UNIT_INITIALIZE);
}

static inline struct nrd_status *unit_start(struct nrd_operator *op, void *self)
{
    struct unit *u = self;
    (void)op;
    NRD_TRY(unit_fail(u, UNIT_START));
    u->starts++;
    u->value_count = 0;
    u->time_count = 0;
    u->sent = 0;
    u->computes = 0;
    u->started_as = u->order == NULL ? 0 : (*u->order)++;
    return NULL;
}

static inline struct nrd_status *unit_stop(struct nrd_operator *op, void *self)
{
    struct unit *u = self;
    (void)op;
    u->stops++;
    u->stopped_as = u->order == NULL ? 0 : (*u->order)++;
    return unit_fail(u, UNIT_STOP);
}

// Takes one message of an input and notes its number. False: there was none.
static inline bool unit_take(struct nrd_compute *ctx, struct unit *u, size_t input)
{
    struct nrd_message *m = nrd_receive(ctx, input);
    if (m == NULL) {
        return false;
    }
    const int64_t *value = nrd_message_value(m, NULL, NULL);
    if (u->value_count < UNIT_NOTES) {
        u->values[u->value_count++] = value == NULL ? -1 : *value;
    }
    nrd_message_unref(m);
    return true;
}

static inline enum nrd_code unit_send(struct nrd_compute *ctx, struct unit *u, size_t output)
{
    u->sent++;
    return nrd_emit_value(ctx, output, "number", &u->sent, sizeof(u->sent));
}

static inline struct nrd_status *unit_code(struct nrd_compute *ctx, enum nrd_code code)
{
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "cannot send");
}

// Notes the time, fails when told to; then `*done` says whether that was all.
static inline struct nrd_status *unit_begin(struct nrd_compute *ctx, struct unit *u, bool *done)
{
    if (u->time_count < UNIT_NOTES) {
        u->times[u->time_count++] = nrd_compute_now(ctx);
    }
    *done = true;
    if (u->fails_in == UNIT_COMPUTE && u->computes == u->fails_at) {
        return unit_fail(u, UNIT_COMPUTE);
    }
    u->computes++;
    if (u->act != NULL) {
        return u->act(ctx, u);
    }
    *done = false;
    return NULL;
}

// One message of each input, one on each output.
static inline struct nrd_status *unit_usual(struct nrd_compute *ctx, void *self, size_t inputs,
                                            size_t outputs)
{
    bool done;
    struct nrd_status *status = unit_begin(ctx, self, &done);
    if (done) {
        return status;
    }
    for (size_t i = 0; i < inputs; i++) {
        unit_take(ctx, self, i);
    }
    for (size_t i = 0; i < outputs; i++) {
        enum nrd_code code = unit_send(ctx, self, i);
        if (code != NRD_OK) {
            return unit_code(ctx, code);
        }
    }
    return NULL;
}

static inline struct nrd_status *unit_source_compute(struct nrd_compute *ctx, void *self)
{
    return unit_usual(ctx, self, 0, 1);
}
static inline struct nrd_status *unit_sink_compute(struct nrd_compute *ctx, void *self)
{
    return unit_usual(ctx, self, 1, 0);
}
static inline struct nrd_status *unit_pass_compute(struct nrd_compute *ctx, void *self)
{
    return unit_usual(ctx, self, 1, 1);
}
static inline struct nrd_status *unit_pair_compute(struct nrd_compute *ctx, void *self)
{
    return unit_usual(ctx, self, 2, 0);
}
static inline struct nrd_status *unit_loner_compute(struct nrd_compute *ctx, void *self)
{
    return unit_usual(ctx, self, 0, 0);
}
// One of each flow.
static inline struct nrd_status *unit_join_compute(struct nrd_compute *ctx, void *self)
{
    bool done;
    struct nrd_status *status = unit_begin(ctx, self, &done);
    size_t flows = nrd_operator_input_flows(nrd_compute_operator(ctx), 0);
    for (size_t i = 0; !done && i < flows; i++) {
        unit_take(ctx, self, 0);
    }
    return status;
}

#define UNIT_PORT(text)                                                                            \
    {                                                                                              \
        .name = text, .type = "number", .policy = NRD_QUEUE_FAULT                                  \
    }
#define UNIT_CLASS(variable, text, in_ports, out_ports, function)                                  \
    static const struct nrd_operator_class variable = {.abi = NRD_OPERATOR_ABI,                    \
                                                       .name = text,                               \
                                                       .state_size = sizeof(struct unit),          \
                                                       .inputs = in_ports,                         \
                                                       .outputs = out_ports,                       \
                                                       .initialize = unit_initialize,              \
                                                       .start = unit_start,                        \
                                                       .compute = function,                        \
                                                       .stop = unit_stop}

static const struct nrd_port UNIT_IN[] = {UNIT_PORT("in"), {0}};
static const struct nrd_port UNIT_OUT[] = {UNIT_PORT("out"), {0}};
static const struct nrd_port UNIT_AB[] = {UNIT_PORT("a"), UNIT_PORT("b"), {0}};
static const struct nrd_port UNIT_ANY[] = {
    {.name = "in", .policy = NRD_QUEUE_FAULT, .flags = NRD_PORT_ANY_SIZE}, {0}};
static const struct nrd_port UNIT_THREE[] = {
    {.name = "in", .policy = NRD_QUEUE_FAULT, .capacity = 3, .min_size = 3}, {0}};
static const struct nrd_port UNIT_FREE[] = {
    {.name = "in", .policy = NRD_QUEUE_FAULT, .flags = NRD_PORT_NO_CONDITION | NRD_PORT_OPTIONAL},
    {0}};

UNIT_CLASS(UNIT_SOURCE, "Source", NULL, UNIT_OUT, unit_source_compute);
UNIT_CLASS(UNIT_SINK, "Sink", UNIT_IN, NULL, unit_sink_compute);
UNIT_CLASS(UNIT_PASS, "Pass", UNIT_IN, UNIT_OUT, unit_pass_compute);
UNIT_CLASS(UNIT_PAIR, "Pair", UNIT_AB, NULL, unit_pair_compute);
UNIT_CLASS(UNIT_JOIN, "Join", UNIT_ANY, NULL, unit_join_compute);
UNIT_CLASS(UNIT_BATCH, "Batch", UNIT_THREE, NULL, unit_sink_compute);
UNIT_CLASS(UNIT_READER, "Reader", UNIT_FREE, NULL, unit_sink_compute); // runs whether or not
UNIT_CLASS(UNIT_LONER, "Loner", NULL, NULL, unit_loner_compute);

// A source that ends after `count` computes.
static inline struct nrd_operator *add_source(struct nrd_fragment *f, const char *name, int count)
{
    char text[32];
    struct nrd_operator *op = add(f, &UNIT_SOURCE, name, NULL);
    snprintf(text, sizeof(text), "{count: %d}", count);
    add_condition(op, "CountCondition", text);
    return op;
}

// A manual clock for the fragment, with a scheduler on it.
static inline struct nrd_resource *use_manual_clock(struct nrd_fragment *f, const char *scheduler)
{
    struct nrd_resource *clock = NULL;
    ok(nrd_add_resource(f, "ManualClock", "clock", NULL, &clock));
    set_scheduler(f, scheduler, "{clock: clock}");
    return clock;
}

static inline void add_flow(struct nrd_operator *from, const char *output, struct nrd_operator *to,
                            const char *input)
{
    ok(nrd_add_flow(from, output, to, input, NULL));
}

static inline void add_flow_of(struct nrd_operator *from, struct nrd_operator *to,
                               uint32_t capacity, int policy, bool latest)
{
    struct nrd_flow_options options = {.capacity = capacity, .policy = policy, .latest = latest};
    ok(nrd_add_flow(from, "", to, "", &options));
}

// What a unit received, as "1 2 3".
static inline const char *received(struct nrd_operator *op)
{
    static char text[1024];
    const struct unit *u = unit_of(op);
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < u->value_count && length + 24 < sizeof(text); i++) {
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%lld",
                                   i == 0 ? "" : " ", (long long)u->values[i]);
    }
    return text;
}

// When it computed, in milliseconds from the first time.
static inline const char *ticks(struct nrd_operator *op)
{
    static char text[1024];
    const struct unit *u = unit_of(op);
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < u->time_count && length + 24 < sizeof(text); i++) {
        length +=
            (size_t)snprintf(text + length, sizeof(text) - length, "%s%lld", i == 0 ? "" : " ",
                             (long long)((u->times[i] - u->times[0]) / 1000000));
    }
    return text;
}

// All schedulers, and the thread pools of a two-operator graph.
static const char *const UNIT_SCHEDULERS[][2] = {
    {"GreedyScheduler", NULL},
    {"EventBasedScheduler", NULL},
    {"EventBasedScheduler", "{worker_thread_number: 2}"},
    {"MultiThreadScheduler", "{worker_thread_number: 3}"},
    {"EventBasedScheduler", "{worker_thread_number: 2, spin: 5us}"},
};
enum { UNIT_SCHEDULER_COUNT = sizeof(UNIT_SCHEDULERS) / sizeof(UNIT_SCHEDULERS[0]) };

#endif
