// SPDX-License-Identifier: Apache-2.0
// Compiling: the graph is checked (check.c), operators are initialised, and then laid out as arrays: records in topological order,
// flows by their consumers, conditions by their operators, threads by pools (plan_threads.c).
#include "graph/plan.h"

#include <string.h>

#include "base/mem.h"
#include "graph/check.h"
#include "graph/condition.h"
#include "graph/condition_types.h"
#include "graph/metadata.h"
#include "graph/operator_change.h"
#include "graph/plan_build.h"
#include "graph/watch.h"
#include "graph/worker.h"

enum { MESSAGES_TO_SPARE = 64 };

// ---- order ----

// Flows into an operator that come from one that has no place yet. What it hands to itself does not count.
static uint32_t waits_for(const struct nrd_operator *op)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < op->inputs.count; i++) {
        const struct graph_port *port = op->inputs.items[i];
        for (uint32_t j = 0; j < port->flows.count; j++) {
            const struct graph_flow *flow = port->flows.items[j];
            count += flow->from->op->exec == NULL && flow->from->op != op;
        }
    }
    return count;
}

// Gives every operator its record, in topological order; of those that could be next, the one that was added first. Where only
// cycles are left, the first of them is taken for their root.
static void order(struct nrd_app *app, struct plan *plan)
{
    while (plan->exec_count < plan->exec_room) {
        struct nrd_operator *next = NULL;
        struct nrd_operator *root = NULL;
        for (uint32_t i = 0; i < app->fragments.count && next == NULL; i++) {
            const struct nrd_fragment *f = app->fragments.items[i];
            for (uint32_t j = 0; j < f->operators.count && next == NULL; j++) {
                struct nrd_operator *op = fragment_op(f, j);
                if (op->exec == NULL) {
                    root = root == NULL ? op : root;
                    next = waits_for(op) == 0 ? op : NULL;
                }
            }
        }
        next = next == NULL ? root : next;
        struct nrd_compute *exec = &plan->execs[plan->exec_count];
        exec->index = plan->exec_count++;
        exec->op = next;
        next->exec = exec;
    }
}

// ---- flows ----

static uint32_t power_of_two(uint32_t least)
{
    uint32_t size = 1;
    while (size < least) {
        size *= 2;
    }
    return size;
}

static bool lay_flow(struct plan *plan, struct plan_flow *flow, struct graph_flow *from,
                     uint32_t number)
{
    flow->flow = from;
    from->index = (uint32_t)(flow - plan->flows);
    flow->producer = from->from->op->exec;
    flow->consumer = from->to->op->exec;
    flow->input = from->to->index;
    flow->number = number;
    flow->latest = from->options.latest;
    flow->policy = flow_policy(from);
    flow->capacity = flow->latest ? 1 : flow_capacity(from);
    uint32_t size = power_of_two(flow->capacity);
    flow->mask = size - 1;
    // Slots of one flow share no cache line with those of another.
    size_t bytes = size * sizeof(*flow->slots);
    bytes = (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    char *slots = arena_calloc(&plan->arena, 1, bytes + CACHE_LINE);
    if (slots == NULL) {
        return false;
    }
    flow->slots = (void *)(slots + (CACHE_LINE - (uintptr_t)slots % CACHE_LINE));
    return true;
}

static struct nrd_status *lay_inputs(struct plan *plan, struct nrd_compute *exec)
{
    const struct nrd_operator *op = exec->op;
    exec->input_count = op->inputs.count;
    exec->inputs = arena_calloc(&plan->arena, exec->input_count + 1, sizeof(*exec->inputs));
    if (exec->inputs == NULL) {
        return status_no_memory();
    }
    exec->flows = &plan->flows[plan->flow_count];
    exec->is_source = true;
    for (uint32_t i = 0; i < exec->input_count; i++) {
        struct graph_port *port = op->inputs.items[i];
        struct plan_input *in = &exec->inputs[i];
        in->port = port;
        in->any_size = (port->table.flags & NRD_PORT_ANY_SIZE) != 0;
        in->flows = &plan->flows[plan->flow_count];
        in->flow_count = port->flows.count;
        for (uint32_t j = 0; j < port->flows.count; j++) {
            if (!lay_flow(plan, &plan->flows[plan->flow_count++], port->flows.items[j], j)) {
                return status_no_memory();
            }
        }
        exec->flow_count += in->flow_count;
        exec->is_source &= in->flow_count == 0;
        if (port->is_exec) {
            exec->exec_input = in;
        }
    }
    return NULL;
}

static struct nrd_status *lay_outputs(struct plan *plan, struct nrd_compute *exec)
{
    const struct nrd_operator *op = exec->op;
    exec->output_count = op->outputs.count;
    exec->outputs = arena_calloc(&plan->arena, exec->output_count + 1, sizeof(*exec->outputs));
    if (exec->outputs == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 0; i < exec->output_count; i++) {
        const struct graph_port *port = op->outputs.items[i];
        struct plan_output *out = &exec->outputs[i];
        out->port = port;
        out->capacity = port->table.capacity;
        out->policy = port->table.policy;
        out->flow_count = port->flows.count;
        out->flows = arena_calloc(&plan->arena, out->flow_count + 1, sizeof(*out->flows));
        out->staged = arena_calloc(&plan->arena, out->capacity, sizeof(*out->staged));
        if (out->flows == NULL || out->staged == NULL) {
            return status_no_memory();
        }
        for (uint32_t j = 0; j < out->flow_count; j++) {
            const struct graph_flow *flow = port->flows.items[j];
            out->flows[j] = &plan->flows[flow->index];
        }
        if (port->is_exec) {
            exec->exec_output = out;
        }
    }
    return NULL;
}

// ---- cycles ----

// Marks whom messages of `from` can reach. Flows are by consumer in topological order, so that mostly two passes do.
static void mark_reached(const struct plan *plan, const struct nrd_compute *from, bool *reached)
{
    memset(reached, 0, plan->exec_count * sizeof(*reached));
    reached[from->index] = true;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < plan->flow_count; i++) {
            const struct plan_flow *flow = &plan->flows[i];
            if (reached[flow->producer->index] && !reached[flow->consumer->index]) {
                reached[flow->consumer->index] = true;
                changed = true;
            }
        }
    }
}

// Of each cycle at least one flow goes against the order. (So may a flow out of a cycle, which comes back to nobody.)
static struct nrd_status *find_rounds(struct plan *plan)
{
    bool *reached = NULL;
    plan->room = plan->exec_count;
    for (uint32_t i = 0; i < plan->flow_count; i++) {
        struct plan_flow *flow = &plan->flows[i];
        plan->room += flow->capacity;
        if (flow->producer->index < flow->consumer->index) {
            continue;
        }
        if (reached == NULL) {
            reached = arena_alloc(&plan->arena, plan->exec_count * sizeof(*reached));
            if (reached == NULL) {
                return status_no_memory();
            }
        }
        mark_reached(plan, flow->consumer, reached);
        flow->comes_round = reached[flow->producer->index];
    }
    return NULL;
}

// ---- conditions ----

// A default condition of a port. It belongs to the plan.
static struct nrd_condition *default_condition(struct plan *plan, struct graph_port *port)
{
    const struct condition_type *type =
        port->is_output ? &condition_downstream_affordable : &condition_message_available;
    struct nrd_condition *c = arena_calloc(&plan->arena, 1, sizeof(*c));
    struct graph_port **ports = arena_calloc(&plan->arena, 1, sizeof(struct graph_port *));
    void *state = arena_calloc(&plan->arena, 1, type->state_size);
    if (c == NULL || ports == NULL || state == NULL) {
        return NULL;
    }
    ports[0] = port;
    *c = (struct nrd_condition){.type = type,
                                .op = port->op,
                                .name = type->name,
                                .state = state,
                                .ports = ports,
                                .port_count = 1};
    // One number, how many messages, is all that either has.
    *(int64_t *)state = port->is_output ? 1 : port->table.min_size;
    return c;
}

static struct nrd_status *bind_condition(struct plan *plan, struct nrd_compute *exec,
                                         struct nrd_condition *c)
{
    c->exec = exec;
    c->flow_count = 0;
    for (uint32_t i = 0; i < c->port_count; i++) {
        c->flow_count += c->ports[i]->flows.count;
    }
    c->flows = arena_calloc(&plan->arena, c->flow_count + 1, sizeof(*c->flows));
    if (c->flows == NULL) {
        return status_no_memory();
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < c->port_count; i++) {
        for (uint32_t j = 0; j < c->ports[i]->flows.count; j++) {
            const struct graph_flow *flow = c->ports[i]->flows.items[j];
            struct plan_flow *laid = &plan->flows[flow->index];
            c->flows[at++] = laid;
            if (c->ports[i]->is_output) {
                laid->wakes_producer = !laid->latest;
            } else {
                laid->wakes_consumer = true;
            }
        }
    }
    for (uint32_t i = 0; c->type->looks_at_all && i < exec->input_count; i++) {
        for (uint32_t j = 0; j < exec->inputs[i].flow_count; j++) {
            exec->inputs[i].flows[j].wakes_consumer = true;
        }
    }
    exec->is_timed |= c->type->is_timed;
    exec->has_own_condition |= c->type->looks_at_all;
    if (c->any == NULL) {
        exec->conditions[exec->condition_count++] = c;
    }
    return NULL;
}

// Whether a port has the default condition: it has flows, and reading a latest-value flow waits for nothing.
static bool wants_default(const struct graph_port *port)
{
    if (port->condition != PORT_CONDITION_DEFAULT || port->flows.count == 0) {
        return false;
    }
    for (uint32_t i = 0; i < port->flows.count && !port->is_output; i++) {
        const struct graph_flow *flow = port->flows.items[i];
        if (!flow->options.latest) {
            return true;
        }
    }
    return port->is_output;
}

static struct nrd_status *add_defaults(struct plan *plan, struct nrd_compute *exec,
                                       const struct graph_list *ports)
{
    for (uint32_t i = 0; i < ports->count; i++) {
        struct graph_port *port = ports->items[i];
        if (wants_default(port)) {
            struct nrd_condition *c = default_condition(plan, port);
            if (c == NULL) {
                return status_no_memory();
            }
            NRD_TRY(bind_condition(plan, exec, c));
        }
    }
    return NULL;
}

// Combiners first, then what stands by itself, then the ports' defaults.
static struct nrd_status *lay_conditions(struct plan *plan, struct nrd_compute *exec)
{
    const struct nrd_operator *op = exec->op;
    size_t most = op->conditions.count + op->inputs.count + op->outputs.count + 1;
    exec->conditions = arena_calloc(&plan->arena, most, sizeof(*exec->conditions));
    if (exec->conditions == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 0; i < op->conditions.count; i++) {
        NRD_TRY(bind_condition(plan, exec, op->conditions.items[i]));
    }
    NRD_TRY(add_defaults(plan, exec, &op->inputs));
    return add_defaults(plan, exec, &op->outputs);
}

// ---- the whole ----

static struct nrd_status *lay_record(struct plan *plan, struct nrd_compute *exec)
{
    struct nrd_operator *op = exec->op;
    exec->self = op->state;
    exec->compute = op->class->compute;
    exec->plan = plan;
    metadata_resolve(op, &exec->metadata_on, &exec->metadata_policy);
    NRD_TRY(operator_changes_prepare(op));
    return lay_inputs(plan, exec);
}

static struct nrd_status *lay_watchers(struct nrd_app *app, struct plan *plan)
{
    plan->watcher_count = app->watchers.count;
    plan->watchers = arena_calloc(&plan->arena, plan->watcher_count + 1, sizeof(*plan->watchers));
    if (plan->watchers == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 0; i < plan->watcher_count; i++) {
        plan->watchers[i] = app->watchers.items[i];
        plan->marks |= plan->watchers[i]->class->marks;
        plan->hop_times |= plan->watchers[i]->class->hop_times;
    }
    plan->watched = plan->watcher_count != 0;
    return NULL;
}

static struct nrd_status *lay_out(struct nrd_app *app, struct plan *plan)
{
    for (uint32_t i = 0; i < plan->exec_count; i++) {
        NRD_TRY(lay_record(plan, &plan->execs[i]));
    }
    size_t messages = MESSAGES_TO_SPARE;
    for (uint32_t i = 0; i < plan->exec_count; i++) {
        struct nrd_compute *exec = &plan->execs[i];
        NRD_TRY(lay_outputs(plan, exec));
        for (uint32_t o = 0; o < exec->output_count; o++) {
            messages += nrd_operator_messages_in_flight(exec->op, o);
        }
    }
    NRD_TRY(find_rounds(plan));
    for (uint32_t i = 0; i < plan->exec_count; i++) {
        NRD_TRY(lay_conditions(plan, &plan->execs[i]));
    }
    NRD_TRY(lay_watchers(app, plan));
    NRD_TRY(plan_lay_threads(app, plan));
    for (uint32_t i = 0; i < plan->pool_count; i++) {
        messages += (size_t)plan->pools[i]->worker_count * MESSAGES_TO_SPARE;
    }
    return message_pools_init(&plan->messages, messages);
}

static void forget_records(struct nrd_app *app)
{
    for (uint32_t i = 0; i < app->fragments.count; i++) {
        const struct nrd_fragment *f = app->fragments.items[i];
        for (uint32_t j = 0; j < f->operators.count; j++) {
            struct nrd_operator *op = fragment_op(f, j);
            op->exec = NULL;
            for (uint32_t k = 0; k < op->conditions.count; k++) {
                ((struct nrd_condition *)op->conditions.items[k])->exec = NULL;
            }
        }
    }
}

// Memory for all records and flows, aligned to cache lines.
static struct nrd_status *allocate(struct nrd_app *app, struct plan *plan)
{
    uint32_t flows = 0;
    for (uint32_t i = 0; i < app->fragments.count; i++) {
        const struct nrd_fragment *f = app->fragments.items[i];
        plan->exec_room += f->operators.count;
        for (uint32_t j = 0; j < f->operators.count; j++) {
            const struct nrd_operator *op = fragment_op(f, j);
            for (uint32_t k = 0; k < op->inputs.count; k++) {
                flows += ((const struct graph_port *)op->inputs.items[k])->flows.count;
            }
        }
    }
    size_t exec_bytes = (plan->exec_room + 1) * sizeof(*plan->execs);
    size_t flow_bytes = (flows + 1) * sizeof(*plan->flows);
    plan->execs = mem_aligned(CACHE_LINE, exec_bytes);
    plan->flows = mem_aligned(CACHE_LINE, flow_bytes);
    if (plan->execs == NULL || plan->flows == NULL) {
        return status_no_memory();
    }
    memset(plan->execs, 0, exec_bytes);
    memset(plan->flows, 0, flow_bytes);
    return NULL;
}

static struct nrd_status *initialize(struct nrd_app *app)
{
    for (uint32_t i = 0; i < app->fragments.count; i++) {
        const struct nrd_fragment *f = app->fragments.items[i];
        for (uint32_t j = 0; j < f->operators.count; j++) {
            struct nrd_operator *op = fragment_op(f, j);
            if (op->was_initialized) {
                continue;
            }
            struct nrd_status *status =
                op->class->initialize == NULL ? NULL : op->class->initialize(op, op->state);
            if (status != NULL) {
                return status_wrap(status, "operator '%s': ", op->name);
            }
            op->was_initialized = true;
        }
    }
    return NULL;
}

struct nrd_status *plan_create(struct nrd_app *app, struct plan **plan)
{
    NRD_TRY(check_graph(app));
    NRD_TRY(initialize(app));
    struct plan *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return status_no_memory();
    }
    made->app = app;
    arena_init(&made->arena, 8192);
    struct nrd_status *status = allocate(app, made);
    if (status == NULL) {
        order(app, made);
        status = lay_out(app, made);
    }
    if (status != NULL) {
        plan_destroy(made);
        return status;
    }
    *plan = made;
    return NULL;
}

void plan_destroy(struct plan *plan)
{
    if (plan == NULL) {
        return;
    }
    forget_records(plan->app);
    for (uint32_t i = 0; i < plan->pool_count; i++) {
        if (plan->pools[i] != NULL) {
            pool_fini(plan->pools[i]);
            mem_free(plan->pools[i]->workers);
            mem_free(plan->pools[i]);
        }
    }
    message_pools_fini(&plan->messages);
    mem_free(plan->execs);
    mem_free(plan->flows);
    arena_fini(&plan->arena);
    mem_free(plan);
}

// ---- before and after a run ----

static void reset_record(struct nrd_compute *exec)
{
    exec->started = false;
    exec->retired = false;
    exec->holds_event = false;
    exec->heap_at = 0;
    exec->count = 0;
    exec->rounds_end = 0;
    exec->fault = NRD_OK;
    exec->worker = NULL;
    exec->long_computes = EXEC_SHORTS; // nothing is known yet
    atomic_store(&exec->stop_asked, false);
    atomic_store(&exec->async_word, (uint64_t)exec->op->async_initial);
    atomic_store(&exec->computes, 0);
    atomic_store(&exec->received, 0);
    atomic_store(&exec->emitted, 0);
    atomic_store(&exec->busy_ns, 0);
    atomic_store(&exec->late, 0);
    atomic_store(&exec->status, NRD_OPERATOR_NOT_STARTED);
    for (uint32_t i = 0; i < exec->input_count; i++) {
        exec->inputs[i].next = 0;
    }
    for (uint32_t i = 0; i < exec->condition_count; i++) {
        struct nrd_condition *c = exec->conditions[i];
        if (c->type->reset != NULL) {
            c->type->reset(c, c->state);
        }
    }
    for (uint32_t i = 0; i < exec->op->conditions.count; i++) {
        struct nrd_condition *c = exec->op->conditions.items[i];
        if (c->any != NULL && c->type->reset != NULL) {
            c->type->reset(c, c->state);
        }
    }
}

void plan_reset(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->exec_count; i++) {
        reset_record(&plan->execs[i]);
    }
    for (uint32_t i = 0; i < plan->flow_count; i++) {
        struct plan_flow *flow = &plan->flows[i];
        atomic_store(&flow->head, 0);
        atomic_store(&flow->tail, 0);
        atomic_store(&flow->dropped, 0);
        flow->visible = 0;
        flow->held_before = false;
    }
}

static void drain_flow(struct plan_flow *flow)
{
    if (flow->latest) {
        nrd_message_unref(atomic_exchange(&flow->slots[0], NULL));
        nrd_message_unref(flow->held);
        flow->held = NULL;
        return;
    }
    uint64_t tail = atomic_load(&flow->tail);
    for (uint64_t at = atomic_load(&flow->head); at < tail; at++) {
        nrd_message_unref(atomic_load(&flow->slots[at & flow->mask]));
    }
    atomic_store(&flow->head, tail);
}

void plan_drain(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->flow_count; i++) {
        drain_flow(&plan->flows[i]);
    }
}
