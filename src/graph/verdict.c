// SPDX-License-Identifier: Apache-2.0
// How a run ended that went quiet. Everybody sleeps and nothing can happen; was that the end, or do operators wait for each other?
//
// An operator is through when a condition said NEVER, or when something it waits for can never come any more: a message from those
// who are all through, or room in the queue of one who is. That is a least fixed point. Who is not through after it waits, directly
// or by others, only for those who are not through either. If messages lie between them, that is a deadlock. (An operator
// that waits for somebody outside, which may say something or not, is through as well: nobody is left who could hear it.)
#include "base/log.h"
#include "base/mem.h"
#include "graph/condition.h"
#include "graph/condition_types.h"
#include "graph/worker.h"

static bool all_through(const struct plan_flow *const *flows, uint32_t count, const bool *through)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!through[flows[i]->producer->index]) {
            return false;
        }
    }
    return true;
}

// Whether an input that has too few messages will not get more.
static bool input_dried_up(const struct nrd_condition *c, const bool *through)
{
    const struct graph_port *port = c->ports[0];
    if (c->port_count == 1 && (port->table.flags & NRD_PORT_ANY_SIZE) != 0) {
        for (uint32_t i = 0; i < c->flow_count; i++) {
            // The flow that holds it up: nothing in it, and nobody to send.
            if (flow_fill(c->flows[i]) == 0 && through[c->flows[i]->producer->index]) {
                return true;
            }
        }
    }
    return all_through((const struct plan_flow *const *)c->flows, c->flow_count, through);
}

static bool output_stays_full(const struct nrd_condition *c, const bool *through)
{
    for (uint32_t i = 0; i < c->flow_count; i++) {
        const struct plan_flow *flow = c->flows[i];
        if (!flow->latest && flow->policy == NRD_QUEUE_FAULT && flow_fill(flow) >= flow->capacity &&
            through[flow->consumer->index]) {
            return true;
        }
    }
    return false;
}

// Whether what the condition waits for can never come.
static bool hopeless(struct nrd_condition *c, const bool *through)
{
    int64_t target = 0;
    enum nrd_condition_state state = c->type->check(c, c->state, pool_now(c->exec->pool), &target);
    if (state != NRD_CONDITION_WAIT) {
        return state == NRD_CONDITION_NEVER;
    }
    if (c->port_count == 0) {
        return true; // outside, or an "or"
    }
    return c->ports[0]->is_output ? output_stays_full(c, through) : input_dried_up(c, through);
}

static bool is_through(struct nrd_compute *exec, const bool *through)
{
    if (exec->retired || async_check(exec) != NRD_CONDITION_READY) {
        return true;
    }
    for (uint32_t i = 0; i < exec->condition_count; i++) {
        if (hopeless(exec->conditions[i], through)) {
            return true;
        }
    }
    return false;
}

static void find_through(struct plan *plan, bool *through)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < plan->exec_count; i++) {
            if (!through[i] && is_through(&plan->execs[i], through)) {
                through[i] = true;
                changed = true;
            }
        }
    }
}

static void describe_wait(struct nrd_compute *exec, struct str *out)
{
    const char *separator = "";
    str_printf(out, "'%s' waits for ", exec->op->name);
    for (uint32_t i = 0; i < exec->condition_count; i++) {
        struct nrd_condition *c = exec->conditions[i];
        int64_t target = 0;
        if (c->type->check(c, c->state, pool_now(exec->pool), &target) != NRD_CONDITION_READY) {
            str_append_cstr(out, separator);
            condition_describe(c, out);
            separator = " and ";
        }
    }
}

static void describe_left(const struct plan_flow *flow, struct str *out)
{
    str_printf(out, "%llu in '%s.%s' -> '%s.%s'", (unsigned long long)flow_fill(flow),
               flow->producer->op->name, flow->flow->from->table.name, flow->consumer->op->name,
               flow->flow->to->table.name);
}

static struct nrd_status *deadlock(struct plan *plan, const bool *through)
{
    struct str text = STR_INIT;
    const char *separator = "";
    for (uint32_t i = 0; i < plan->exec_count; i++) {
        if (!through[i]) {
            str_append_cstr(&text, separator);
            describe_wait(&plan->execs[i], &text);
            separator = "; ";
        }
    }
    separator = "; messages left: ";
    for (uint32_t i = 0; i < plan->flow_count; i++) {
        if (flow_fill(&plan->flows[i]) != 0) {
            str_append_cstr(&text, separator);
            describe_left(&plan->flows[i], &text);
            separator = ", ";
        }
    }
    struct nrd_status *status = status_new(NRD_UNAVAILABLE, "deadlock: %s", str_cstr(&text));
    str_fini(&text);
    return status;
}

// What a normal end leaves behind: the rest of a batch, what came after the shortest source of a join, what a counted reader did not
// want. For the log: nobody has to wonder where messages went.
static void note_left(struct plan *plan)
{
    for (uint32_t i = 0; i < plan->flow_count; i++) {
        if (flow_fill(&plan->flows[i]) != 0 && !plan->flows[i].consumer->retired) {
            struct str text = STR_INIT;
            describe_left(&plan->flows[i], &text);
            LOG_NOTE("messages left at the end: %s", str_cstr(&text));
            str_fini(&text);
        }
    }
}

struct nrd_status *run_verdict(struct run *run)
{
    struct plan *plan = run->plan;
    bool *through = mem_calloc(plan->exec_count + 1, sizeof(*through));
    if (through == NULL) {
        return status_no_memory();
    }
    find_through(plan, through);
    bool stuck = false;
    for (uint32_t i = 0; i < plan->flow_count; i++) {
        const struct plan_flow *flow = &plan->flows[i];
        stuck |= flow_fill(flow) != 0 && !through[flow->producer->index] &&
                 !through[flow->consumer->index];
    }
    struct nrd_status *status = NULL;
    if (stuck && !run->was_drained) {
        status = deadlock(plan, through);
    } else {
        note_left(plan);
    }
    mem_free(through);
    return status;
}
