// SPDX-License-Identifier: Apache-2.0
// Conditions of ports: messages that came, room that there is. `flows` of a condition are filled in when the graph is compiled, port
// by port. An any-size input has a queue for each flow, and each must have its messages; other inputs count all their flows
// as one queue.
#include <string.h>

#include "graph/condition_types.h"
#include "graph/resource.h"

// ---- MessageAvailable ----

struct message_state {
    int64_t min_size;
    int64_t
        front_stage_max_size; // more than that in the queue: wait for compute to take some; 0: no limit
};

// Whether one port has at least `least` messages (each flow of an any-size one).
static bool port_has(const struct graph_port *port, struct plan_flow *const *flows, uint32_t count,
                     uint64_t least)
{
    if (count == 1) {
        return flow_available(flows[0]) >= least;
    }
    bool each = (port->table.flags & NRD_PORT_ANY_SIZE) != 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t here = flow_available(flows[i]);
        if (each && here < least) {
            return false;
        }
        sum += here;
    }
    return each ? count != 0 : sum >= least;
}

static enum nrd_condition_state message_check(struct nrd_condition *c, void *state, int64_t now,
                                              int64_t *target)
{
    const struct message_state *s = state;
    (void)now;
    (void)target;
    if (!port_has(c->ports[0], c->flows, c->flow_count, (uint64_t)s->min_size)) {
        return NRD_CONDITION_WAIT;
    }
    if (s->front_stage_max_size > 0) {
        for (uint32_t i = 0; i < c->flow_count; i++) {
            if (flow_available(c->flows[i]) > (uint64_t)s->front_stage_max_size) {
                return NRD_CONDITION_WAIT;
            }
        }
    }
    return NRD_CONDITION_READY;
}

static struct nrd_status *need_input(struct nrd_condition *c, void *state)
{
    (void)state;
    for (uint32_t i = 0; i < c->port_count; i++) {
        if (c->ports[i]->is_output) {
            return status_new(NRD_INVALID_ARG, "'%s' is an output, it wants an input",
                              c->ports[i]->table.name);
        }
    }
    return NULL;
}

// A port that says how many it wants is asked for that many, unless the condition says otherwise.
static struct nrd_status *message_prepare(struct nrd_condition *c, void *state)
{
    struct message_state *s = state;
    NRD_TRY(need_input(c, state));
    if (s->min_size == 0) {
        s->min_size = c->ports[0]->table.min_size;
    }
    return NULL;
}

static const struct nrd_param MESSAGE_PARAMS[] = {
    {.name = "min_size",
     .type = NRD_PARAM_INT,
     .offset = offsetof(struct message_state, min_size),
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .help = "Messages that must be there; 0 is what the port wants."},
    {.name = "front_stage_max_size",
     .type = NRD_PARAM_INT,
     .offset = offsetof(struct message_state, front_stage_max_size),
     .fallback = "0",
     .min = 0,
     .max = 1e9,
     .help = "Messages that may be there at most; 0 is any number."},
    {0}};

const struct condition_type condition_message_available = {
    .name = "MessageAvailableCondition",
    .state_size = sizeof(struct message_state),
    .params = MESSAGE_PARAMS,
    .is_port = true,
    .prepare = message_prepare,
    .check = message_check,
};

// ---- DownstreamMessageAffordable ----

struct downstream_state {
    int64_t min_size;
};

static enum nrd_condition_state downstream_check(struct nrd_condition *c, void *state, int64_t now,
                                                 int64_t *target)
{
    const struct downstream_state *s = state;
    (void)now;
    (void)target;
    for (uint32_t i = 0; i < c->flow_count; i++) {
        const struct plan_flow *flow = c->flows[i];
        if (flow->latest || flow->policy != NRD_QUEUE_FAULT) {
            continue; // takes messages always
        }
        if (flow->capacity - flow_fill(flow) < (uint64_t)s->min_size) {
            return NRD_CONDITION_WAIT;
        }
    }
    return NRD_CONDITION_READY;
}

static struct nrd_status *downstream_prepare(struct nrd_condition *c, void *state)
{
    (void)state;
    return c->ports[0]->is_output
               ? NULL
               : status_new(NRD_INVALID_ARG, "'%s' is an input, it wants an output",
                            c->ports[0]->table.name);
}

static const struct nrd_param DOWNSTREAM_PARAMS[] = {
    {.name = "min_size",
     .type = NRD_PARAM_INT,
     .offset = offsetof(struct downstream_state, min_size),
     .fallback = "1",
     .min = 1,
     .max = 1e9,
     .help = "Messages that every queue downstream must have room for."},
    {0}};

const struct condition_type condition_downstream_affordable = {
    .name = "DownstreamMessageAffordableCondition",
    .state_size = sizeof(struct downstream_state),
    .params = DOWNSTREAM_PARAMS,
    .is_port = true,
    .prepare = downstream_prepare,
    .check = downstream_check,
};

// ---- MultiMessageAvailable, with and without a time-out ----

enum { SUM_OF_ALL, PER_RECEIVER };

struct multi_state {
    int sampling_mode;
    int64_t min_sum;
    struct nrd_int_list min_sizes;
    int64_t execution_frequency; // of the time-out: a period
    int64_t last;                // execution, or the first look
    bool began;
};

static bool multi_has(const struct nrd_condition *c, const struct multi_state *s)
{
    uint64_t sum = 0;
    uint32_t at = 0;
    for (uint32_t p = 0; p < c->port_count; p++) {
        uint32_t count = c->ports[p]->flows.count;
        uint64_t here = 0;
        for (uint32_t i = 0; i < count; i++) {
            here += flow_available(c->flows[at + i]);
        }
        at += count;
        sum += here;
        if (s->sampling_mode == PER_RECEIVER) {
            int64_t least = s->min_sizes.count == 0  ? c->ports[p]->table.min_size
                            : p < s->min_sizes.count ? s->min_sizes.items[p]
                                                     : s->min_sizes.items[s->min_sizes.count - 1];
            if (here < (uint64_t)least) {
                return false;
            }
        }
    }
    return s->sampling_mode == PER_RECEIVER || sum >= (uint64_t)s->min_sum;
}

static enum nrd_condition_state multi_check(struct nrd_condition *c, void *state, int64_t now,
                                            int64_t *target)
{
    (void)now;
    (void)target;
    return multi_has(c, state) ? NRD_CONDITION_READY : NRD_CONDITION_WAIT;
}

static struct nrd_status *multi_prepare(struct nrd_condition *c, void *state)
{
    const struct multi_state *s = state;
    NRD_TRY(need_input(c, state));
    for (size_t i = 0; i < s->min_sizes.count; i++) {
        if (s->min_sizes.items[i] < 0) {
            return status_new(NRD_INVALID_ARG, "min_sizes: %lld is negative",
                              (long long)s->min_sizes.items[i]);
        }
    }
    if (s->min_sizes.count > c->port_count) {
        return status_new(NRD_INVALID_ARG, "min_sizes has %zu numbers for %u ports",
                          s->min_sizes.count, c->port_count);
    }
    return NULL;
}

static const char *const SAMPLING_MODES[] = {"SumOfAll", "PerReceiver", NULL};

#define MULTI_PARAMS                                                                               \
    {.name = "sampling_mode",                                                                      \
     .type = NRD_PARAM_CHOICE,                                                                     \
     .offset = offsetof(struct multi_state, sampling_mode),                                        \
     .fallback = "SumOfAll",                                                                       \
     .choices = SAMPLING_MODES,                                                                    \
     .help = "Whether all ports are counted together, or each by itself."},                        \
        {.name = "min_sum",                                                                        \
         .type = NRD_PARAM_INT,                                                                    \
         .offset = offsetof(struct multi_state, min_sum),                                          \
         .fallback = "1",                                                                          \
         .min = 0,                                                                                 \
         .max = 1e9,                                                                               \
         .help = "SumOfAll: messages that must be there in all."},                                 \
    {                                                                                              \
        .name = "min_sizes", .type = NRD_PARAM_INT_LIST, .flags = NRD_PARAM_OPTIONAL,              \
        .offset = offsetof(struct multi_state, min_sizes),                                         \
        .help = "PerReceiver: messages that must be there on each port, in order."                 \
    }

static const struct nrd_param MULTI_TABLE[] = {MULTI_PARAMS, {0}};

const struct condition_type condition_multi_message = {
    .name = "MultiMessageAvailableCondition",
    .state_size = sizeof(struct multi_state),
    .params = MULTI_TABLE,
    .is_multi = true,
    .prepare = multi_prepare,
    .check = multi_check,
};

static void timeout_reset(struct nrd_condition *c, void *state)
{
    struct multi_state *s = state;
    (void)c;
    s->began = false;
}

// The time-out runs from the last execution, and before the first one from the first look.
static enum nrd_condition_state timeout_check(struct nrd_condition *c, void *state, int64_t now,
                                              int64_t *target)
{
    struct multi_state *s = state;
    if (!s->began) {
        s->began = true;
        s->last = now;
    }
    if (multi_has(c, s) || now - s->last >= s->execution_frequency) {
        return NRD_CONDITION_READY;
    }
    *target = s->last + s->execution_frequency;
    return NRD_CONDITION_WAIT_TIME;
}

static void timeout_executed(struct nrd_condition *c, void *state, int64_t now)
{
    struct multi_state *s = state;
    (void)c;
    s->last = now;
}

static const struct nrd_param MULTI_TIMEOUT_TABLE[] = {
    {.name = "execution_frequency",
     .type = NRD_PARAM_DURATION,
     .offset = offsetof(struct multi_state, execution_frequency),
     .unit = "ns",
     .help = "After that long without an execution the operator runs with what there is."},
    MULTI_PARAMS,
    {0}};

const struct condition_type condition_multi_message_timeout = {
    .name = "MultiMessageAvailableTimeoutCondition",
    .state_size = sizeof(struct multi_state),
    .params = MULTI_TIMEOUT_TABLE,
    .is_port = true,
    .is_multi = true,
    .is_timed = true,
    .prepare = multi_prepare,
    .reset = timeout_reset,
    .check = timeout_check,
    .executed = timeout_executed,
};

// ---- FirstPickOver: whichever port has a message first ----

static void first_reset(struct nrd_condition *c, void *state)
{
    struct multi_state *s = state;
    (void)c;
    s->sampling_mode = SUM_OF_ALL;
    s->min_sum = 1;
}

const struct condition_type condition_first_pick_over = {
    .name = "FirstPickOverCondition",
    .state_size = sizeof(struct multi_state),
    .is_multi = true,
    .prepare = need_input,
    .reset = first_reset,
    .check = multi_check,
};

// ---- ExpiringMessageAvailable ----

struct expiring_state {
    int64_t max_batch_size;
    int64_t max_delay_ns;
};

// The acquisition time of the oldest message of a flow; -1: none, or none was given. Only the consumer takes messages, and under
// POP the producer: then what was read may be another's message by now, so POP is refused when the graph is compiled.
static int64_t oldest_time(const struct plan_flow *flow)
{
    uint64_t head = atomic_load_explicit(&flow->head, memory_order_relaxed);
    if (flow_fill(flow) == 0) {
        return -1;
    }
    const struct nrd_message *m =
        atomic_load_explicit(&flow->slots[head & flow->mask], memory_order_relaxed);
    return m->acquired;
}

static enum nrd_condition_state expiring_check(struct nrd_condition *c, void *state, int64_t now,
                                               int64_t *target)
{
    const struct expiring_state *s = state;
    uint64_t total = 0;
    int64_t oldest = -1;
    for (uint32_t i = 0; i < c->flow_count; i++) {
        total += flow_available(c->flows[i]);
        int64_t when = oldest_time(c->flows[i]);
        if (when >= 0 && (oldest < 0 || when < oldest)) {
            oldest = when;
        }
    }
    if (total >= (uint64_t)s->max_batch_size) {
        return NRD_CONDITION_READY;
    }
    if (total == 0 || oldest < 0) {
        return NRD_CONDITION_WAIT;
    }
    *target = oldest + s->max_delay_ns;
    return now >= *target ? NRD_CONDITION_READY : NRD_CONDITION_WAIT_TIME;
}

// The batch must find room in the queues, and its oldest message must stay where it is until it is taken.
static void expiring_check_flows(const struct nrd_condition *c, const void *state, struct str *out)
{
    const struct expiring_state *s = state;
    const struct graph_port *port = c->ports[0];
    uint64_t room = 0;
    for (uint32_t i = 0; i < port->flows.count; i++) {
        const struct graph_flow *flow = port->flows.items[i];
        room += flow_capacity(flow);
        if (flow->options.latest || flow_policy(flow) == NRD_QUEUE_POP) {
            str_printf(out,
                       "operator '%s': condition '%s': flow '%s.%s' -> '%s.%s' %s: there is no "
                       "oldest message to wait for\n",
                       c->op->name, c->name, flow->from->op->name, flow->from->table.name,
                       c->op->name, port->table.name,
                       flow->options.latest ? "holds the latest message"
                                            : "drops its oldest message (policy pop)");
        }
    }
    if (port->flows.count != 0 && (uint64_t)s->max_batch_size > room) {
        str_printf(out,
                   "operator '%s': condition '%s': max_batch_size is %lld, but the queue of input "
                   "'%s' holds %llu\n",
                   c->op->name, c->name, (long long)s->max_batch_size, port->table.name,
                   (unsigned long long)room);
    }
}

static const struct nrd_param EXPIRING_PARAMS[] = {
    {.name = "max_batch_size",
     .type = NRD_PARAM_INT,
     .offset = offsetof(struct expiring_state, max_batch_size),
     .min = 1,
     .max = 1e9,
     .help = "Messages that make the operator run at once."},
    {.name = "max_delay_ns",
     .type = NRD_PARAM_DURATION,
     .offset = offsetof(struct expiring_state, max_delay_ns),
     .unit = "ns",
     .help = "The operator runs when its oldest message was acquired that long ago."},
    {0}};

const struct condition_type condition_expiring_message = {
    .name = "ExpiringMessageAvailableCondition",
    .state_size = sizeof(struct expiring_state),
    .params = EXPIRING_PARAMS,
    .is_port = true,
    .is_timed = true,
    .prepare = need_input,
    .check_flows = expiring_check_flows,
    .check = expiring_check,
};
