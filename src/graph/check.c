// SPDX-License-Identifier: Apache-2.0
// Checks of a whole graph. Names, types and parameters were checked as they were added; here is what only the whole can tell.
#include "graph/check.h"

#include "base/log.h"
#include "base/mem.h"
#include "graph/condition.h"

static void check_ports(const struct nrd_operator *op, const struct graph_list *ports,
                        struct str *out)
{
    for (uint32_t i = 0; i < ports->count; i++) {
        const struct graph_port *port = ports->items[i];
        if (port->flows.count == 0 && (port->table.flags & NRD_PORT_OPTIONAL) == 0) {
            str_printf(out, "operator '%s' (%s): no flow %s '%s'\n", op->name, op->class->name,
                       port->is_output ? "leaves output" : "comes into input", port->table.name);
        }
    }
}

// A queue smaller than what its reader waits for would block for ever.
static void check_queues(const struct graph_port *port, struct str *out)
{
    uint64_t latest = 0;
    uint64_t sum = 0;
    bool each = (port->table.flags & NRD_PORT_ANY_SIZE) != 0;
    for (uint32_t i = 0; i < port->flows.count; i++) {
        const struct graph_flow *flow = port->flows.items[i];
        latest += flow->options.latest;
        sum += flow_capacity(flow);
        if (each && port->condition == PORT_CONDITION_DEFAULT && !flow->options.latest &&
            flow_capacity(flow) < port->table.min_size) {
            str_printf(out,
                       "flow '%s.%s' -> '%s.%s': its queue holds %u messages, its reader waits for "
                       "%u\n",
                       flow->from->op->name, flow->from->table.name, port->op->name,
                       port->table.name, flow_capacity(flow), port->table.min_size);
        }
    }
    if (!each && latest != 0 && port->flows.count > 1) {
        str_printf(out,
                   "operator '%s': input '%s' has a latest-value flow and others: it can have one "
                   "writer\n",
                   port->op->name, port->table.name);
    }
    if (!each && latest == 0 && port->flows.count != 0 &&
        port->condition == PORT_CONDITION_DEFAULT && sum < port->table.min_size) {
        str_printf(out, "operator '%s': input '%s' waits for %u messages, its queues hold %llu\n",
                   port->op->name, port->table.name, port->table.min_size, (unsigned long long)sum);
    }
    if (!each && port->table.min_size > 1) {
        LOG_WARN("operator '%s': input '%s' waits for %u messages: a shorter rest at the end stays "
                 "undelivered",
                 port->op->name, port->table.name, port->table.min_size);
    }
}

static void check_conditions(const struct nrd_operator *op, struct str *out)
{
    for (uint32_t i = 0; i < op->conditions.count; i++) {
        const struct nrd_condition *c = op->conditions.items[i];
        if (c->type->check_flows != NULL) {
            c->type->check_flows(c, c->state, out);
        }
    }
}

// ---- cycles that can never begin ----
//
// By a fixed point: an operator can have a first execution if each input with a default condition is fed by one that can. The rest
// waits for itself. Operators with conditions of their own on an input are given the benefit of the doubt.

static bool can_begin(const struct nrd_operator *op, const bool *begins)
{
    for (uint32_t i = 0; i < op->inputs.count; i++) {
        const struct graph_port *port = op->inputs.items[i];
        if (port->condition != PORT_CONDITION_DEFAULT || port->flows.count == 0) {
            continue;
        }
        bool each = (port->table.flags & NRD_PORT_ANY_SIZE) != 0;
        bool any = false;
        bool all = true;
        for (uint32_t j = 0; j < port->flows.count; j++) {
            const struct graph_flow *flow = port->flows.items[j];
            bool fed = flow->options.latest || begins[flow->from->op->number];
            any |= fed;
            all &= fed;
        }
        if (each ? !all : !any) {
            return false;
        }
    }
    return true;
}

uint32_t check_number(struct nrd_app *app)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < app->fragments.count; i++) {
        const struct nrd_fragment *f = app->fragments.items[i];
        for (uint32_t j = 0; j < f->operators.count; j++) {
            fragment_op(f, j)->number = count++;
        }
    }
    return count;
}

static struct nrd_status *check_cycles(struct nrd_app *app, struct str *out)
{
    uint32_t count = check_number(app);
    bool *begins = mem_calloc(count + 1, sizeof(*begins));
    if (begins == NULL) {
        return status_no_memory();
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < app->fragments.count; i++) {
            const struct nrd_fragment *f = app->fragments.items[i];
            for (uint32_t j = 0; j < f->operators.count; j++) {
                const struct nrd_operator *op = fragment_op(f, j);
                if (!begins[op->number] && can_begin(op, begins)) {
                    begins[op->number] = true;
                    changed = true;
                }
            }
        }
    }
    const char *separator = NULL;
    for (uint32_t i = 0; i < app->fragments.count; i++) {
        const struct nrd_fragment *f = app->fragments.items[i];
        for (uint32_t j = 0; j < f->operators.count; j++) {
            const struct nrd_operator *op = fragment_op(f, j);
            if (!begins[op->number]) {
                if (separator == NULL) {
                    str_printf(out,
                               "operator '%s': operators that wait for each other from the start: ",
                               op->name);
                }
                str_printf(out, "%s'%s'", separator == NULL ? "" : separator, op->name);
                separator = ", ";
            }
        }
    }
    if (separator != NULL) {
        str_append_cstr(out, "; give an input in the cycle no condition (NoneCondition)\n");
    }
    mem_free(begins);
    return NULL;
}

static struct nrd_status *warn_of_rates(struct nrd_app *app)
{
    struct str out = STR_INIT;
    struct nrd_status *status = check_rates(app, &out);
    struct slice rest = str_slice(&out);
    struct slice line;
    while (status == NULL && rest.len > 0 && slice_cut(&rest, '\n', &line)) {
        LOG_WARN("%.*s", (int)line.len, line.ptr);
    }
    str_fini(&out);
    return status;
}

struct nrd_status *check_graph(struct nrd_app *app)
{
    struct str out = STR_INIT;
    for (uint32_t i = 0; i < app->fragments.count; i++) {
        const struct nrd_fragment *f = app->fragments.items[i];
        for (uint32_t j = 0; j < f->operators.count; j++) {
            const struct nrd_operator *op = fragment_op(f, j);
            if (op->setup_failed) {
                str_printf(&out, "operator '%s' (%s): its setup failed\n", op->name,
                           op->class->name);
            }
            check_ports(op, &op->inputs, &out);
            check_ports(op, &op->outputs, &out);
            for (uint32_t k = 0; k < op->inputs.count; k++) {
                check_queues(op->inputs.items[k], &out);
            }
            check_conditions(op, &out);
        }
    }
    struct nrd_status *status = check_cycles(app, &out);
    if (status == NULL && out.failed) {
        status = status_no_memory();
    }
    if (status == NULL && out.len != 0) {
        str_truncate(&out, out.len - 1);
        status = status_new(NRD_INVALID_ARG, "%s", str_cstr(&out));
    }
    str_fini(&out);
    return status == NULL ? warn_of_rates(app) : status;
}
