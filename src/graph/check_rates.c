// SPDX-License-Identifier: Apache-2.0
// Rates and pools: what will run otherwise than it was perhaps meant, though it runs.
//
// Nothing here refuses a graph. A source that is too fast is slowed by back-pressure, a queue without it drops by its policy, a
// limit on the number of messages may keep it from ever filling, and under `fault` Holoscan itself goes on with a warning.
//
// A pace is how long an operator takes from one execution to the next at least, as its PeriodicCondition and those of all that it waits
// for say. It is known only where nothing else has a say: an input with a condition of its own, a source that runs freely, an output that
// is not written to each time or a cycle make it unknown, and what is unknown is never warned of. Start at check_rates().
#include <string.h>

#include "base/mem.h"
#include "graph/check.h"
#include "graph/condition_types.h"

#define NS_PER_MS 1e6
#define NS_PER_S 1e9
// Periods that differ by less are one: 30 Hz and 33.3 ms.
#define TOLERANCE 1.005

struct pace {
    double period;                     // ns; 0: unknown
    const struct nrd_operator *source; // whose condition it is
};

// What an operator waits for in one execution: messages of one flow, or of whichever flow of an input.
struct wait {
    struct pace pace;
    const struct graph_flow *flow; // the only one, or the fastest
};

struct rates {
    struct pace *paces;                // by the operators' numbers
    uint32_t *awaited;                 // flows whose pace is not settled yet
    const struct nrd_operator **ready; // operators that wait for none of these
    uint32_t ready_count;
    struct str *out;
};

static bool waits_for_flow(const struct graph_flow *flow)
{
    return flow->to->condition == PORT_CONDITION_DEFAULT && !flow->options.latest;
}

static void print_pace(struct str *out, struct pace pace)
{
    str_printf(out, "every %.4g ms, %.4g Hz", pace.period / NS_PER_MS, NS_PER_S / pace.period);
}

// "'a' and others (every 5 ms, 200 Hz, 3 at a time)".
static void print_wait(struct str *out, const struct wait *wait)
{
    const struct graph_port *port = wait->flow->to;
    bool sum = (port->table.flags & NRD_PORT_ANY_SIZE) == 0 && port->flows.count > 1;
    str_printf(out, "'%s'%s (", wait->pace.source->name, sum ? " and others" : "");
    print_pace(out, wait->pace);
    if (port->table.min_size > 1) {
        str_printf(out, ", %u at a time", port->table.min_size);
    }
    str_append_cstr(out, ")");
}

// ---- paces ---------------------------------------------------------------------------------------------------------

// Its own conditions: the longest period, or false if others than counts and periods decide.
static bool own_pace(const struct nrd_operator *op, struct pace *pace)
{
    *pace = (struct pace){0};
    for (uint32_t i = 0; i < op->conditions.count; i++) {
        const struct nrd_condition *c = op->conditions.items[i];
        int64_t period = 0;
        if (condition_period(c, &period)) {
            if ((double)period > pace->period) {
                *pace = (struct pace){(double)period, op};
            }
        } else if (c->type != &condition_count && c->type != &condition_boolean &&
                   c->type != &condition_deadline) {
            return false;
        }
    }
    return true;
}

static struct pace flow_pace(const struct rates *rates, const struct graph_flow *flow)
{
    const struct nrd_operator *from = flow->from->op;
    bool each_time = from->choose == NULL && (flow->from->table.flags & NRD_PORT_SPARSE) == 0;
    return each_time ? rates->paces[from->number] : (struct pace){0};
}

// The pace of an input whose flows are read as they come: their rates add up.
static struct wait sum_of_flows(const struct rates *rates, const struct graph_port *port)
{
    struct wait wait = {0};
    double fastest = 0;
    double rate = 0;
    for (uint32_t i = 0; i < port->flows.count; i++) {
        const struct graph_flow *flow = port->flows.items[i];
        struct pace pace = waits_for_flow(flow) ? flow_pace(rates, flow) : (struct pace){0};
        if (pace.period <= 0) {
            return (struct wait){0};
        }
        rate += 1 / pace.period;
        if (wait.flow == NULL || pace.period < fastest) {
            wait.flow = flow;
            wait.pace.source = pace.source;
            fastest = pace.period;
        }
    }
    wait.pace.period = rate > 0 ? port->table.min_size / rate : 0;
    return wait;
}

struct waits {
    struct wait slowest, fastest; // period 0: no known one
    bool unknown;                 // something is waited for at a pace that is unknown
};

static void add_wait(struct waits *waits, struct wait wait)
{
    if (wait.pace.period <= 0) {
        waits->unknown = true;
        return;
    }
    const struct nrd_operator *other = waits->slowest.pace.source;
    if (other != NULL &&
        other->fragment->options.clock != wait.pace.source->fragment->options.clock) {
        waits->unknown = true; // times of two clocks are not compared
        return;
    }
    if (other == NULL || wait.pace.period > waits->slowest.pace.period) {
        waits->slowest = wait;
    }
    if (other == NULL || wait.pace.period < waits->fastest.pace.period) {
        waits->fastest = wait;
    }
}

static struct waits waits_of(const struct rates *rates, const struct nrd_operator *op)
{
    struct waits waits = {0};
    for (uint32_t i = 0; i < op->inputs.count; i++) {
        const struct graph_port *port = op->inputs.items[i];
        if (port->condition != PORT_CONDITION_DEFAULT || port->flows.count == 0) {
            continue;
        }
        if ((port->table.flags & NRD_PORT_ANY_SIZE) == 0) {
            const struct graph_flow *first = port->flows.items[0];
            if (!first->options.latest) {
                add_wait(&waits, sum_of_flows(rates, port));
            }
            continue;
        }
        for (uint32_t j = 0; j < port->flows.count; j++) {
            const struct graph_flow *flow = port->flows.items[j];
            if (!flow->options.latest) {
                struct wait wait = {flow_pace(rates, flow), flow};
                wait.pace.period *= port->table.min_size;
                add_wait(&waits, wait);
            }
        }
    }
    return waits;
}

// ---- what is said of them ------------------------------------------------------------------------------------------

// What becomes of messages that come faster than they are read.
static void print_effect(struct str *out, const struct graph_flow *flow)
{
    const char *from = flow->from->op->name;
    if (flow->from->condition != PORT_CONDITION_NONE) {
        str_printf(out, "'%s' waits for room, so it is slowed down to that\n", from);
        return;
    }
    enum nrd_queue_policy policy = flow_policy(flow);
    str_printf(out, "'%s' does not wait for room, and once the queue of %u is full, ", from,
               flow_capacity(flow));
    str_append_cstr(out, policy == NRD_QUEUE_POP      ? "its oldest message is dropped\n"
                         : policy == NRD_QUEUE_REJECT ? "new messages are dropped\n"
                                                      : "the run ends with an error (fault)\n");
}

static void check_join(const struct nrd_operator *op, const struct waits *waits, struct str *out)
{
    const struct wait *fast = &waits->fastest;
    const struct wait *slow = &waits->slowest;
    if (slow->pace.period <= fast->pace.period * TOLERANCE) {
        return;
    }
    str_printf(out, "operator '%s' waits for messages at two rates: on input '%s' at that of ",
               op->name, fast->flow->to->table.name);
    print_wait(out, fast);
    str_printf(out, ", on input '%s' at that of ", slow->flow->to->table.name);
    print_wait(out, slow);
    str_append_cstr(out, "; ");
    print_effect(out, fast->flow);
}

static void check_reader(const struct nrd_operator *op, struct pace own, const struct waits *waits,
                         struct str *out)
{
    const struct wait *fast = &waits->fastest;
    if (own.period <= 0 || fast->pace.period <= 0 || own.period <= fast->pace.period * TOLERANCE ||
        op->fragment->options.clock != fast->pace.source->fragment->options.clock) {
        return;
    }
    str_printf(out, "operator '%s' is slower (", op->name);
    print_pace(out, own);
    str_printf(out, ") than what comes into its input '%s' at the rate of ",
               fast->flow->to->table.name);
    print_wait(out, fast);
    str_append_cstr(out, "; ");
    print_effect(out, fast->flow);
}

// ---- all operators, those they wait for first ----------------------------------------------------------------------

static void settle(struct rates *rates, const struct nrd_operator *op)
{
    struct pace own;
    bool plain = own_pace(op, &own);
    struct waits waits = waits_of(rates, op);
    check_join(op, &waits, rates->out);
    check_reader(op, own, &waits, rates->out);
    struct pace slowest = waits.slowest.pace;
    if (plain && !waits.unknown) {
        rates->paces[op->number] = own.period >= slowest.period ? own : slowest;
    }
    for (uint32_t i = 0; i < op->outputs.count; i++) {
        const struct graph_port *port = op->outputs.items[i];
        for (uint32_t j = 0; j < port->flows.count; j++) {
            const struct graph_flow *flow = port->flows.items[j];
            const struct nrd_operator *to = flow->to->op;
            if (waits_for_flow(flow) && --rates->awaited[to->number] == 0) {
                rates->ready[rates->ready_count++] = to;
            }
        }
    }
}

static uint32_t count_awaited(const struct nrd_operator *op)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < op->inputs.count; i++) {
        const struct graph_port *port = op->inputs.items[i];
        for (uint32_t j = 0; j < port->flows.count; j++) {
            count += waits_for_flow(port->flows.items[j]) ? 1u : 0u;
        }
    }
    return count;
}

static struct nrd_status *check_paces(struct nrd_app *app, struct str *out)
{
    uint32_t count = check_number(app);
    struct rates rates = {.paces = mem_calloc(count + 1, sizeof(*rates.paces)),
                          .awaited = mem_calloc(count + 1, sizeof(*rates.awaited)),
                          .ready = mem_calloc(count + 1, sizeof(*rates.ready)),
                          .out = out};
    struct nrd_status *status = NULL;
    if (rates.paces == NULL || rates.awaited == NULL || rates.ready == NULL) {
        status = status_no_memory();
        goto done;
    }
    for (uint32_t i = 0; i < app->fragments.count; i++) {
        const struct nrd_fragment *f = app->fragments.items[i];
        for (uint32_t j = 0; j < f->operators.count; j++) {
            const struct nrd_operator *op = fragment_op(f, j);
            rates.awaited[op->number] = count_awaited(op);
            if (rates.awaited[op->number] == 0) {
                rates.ready[rates.ready_count++] = op;
            }
        }
    }
    for (uint32_t i = 0; i < rates.ready_count; i++) {
        settle(&rates, rates.ready[i]);
    }
done:
    mem_free(rates.paces);
    mem_free(rates.awaited);
    mem_free(rates.ready);
    return status;
}

// ---- pools ---------------------------------------------------------------------------------------------------------

// How many messages of an output there can be at once, each with memory of its own. Branches share them, and all branches end at the
// newest, so the longest counts; who waits for room has that room before it makes the next.
static uint64_t messages_of(const struct graph_port *output)
{
    uint64_t longest = 0;
    bool waits = output->condition != PORT_CONDITION_NONE;
    for (uint32_t i = 0; i < output->flows.count; i++) {
        const struct graph_flow *flow = output->flows.items[i];
        uint64_t held =
            flow->options.latest ? 2 : (uint64_t)flow_capacity(flow) + flow->to->table.min_size;
        longest = held > longest ? held : longest;
        waits = waits && !flow->options.latest;
    }
    return longest == 0 ? 0 : longest + output->table.capacity - (waits ? 1 : 0);
}

static bool allocates_from(const struct nrd_operator *op, const struct nrd_resource *pool)
{
    for (uint32_t i = 0; i < op->conditions.count; i++) {
        if (condition_allocator(op->conditions.items[i]) == pool) {
            return false; // it waits for a block
        }
    }
    for (const struct nrd_param *p = op->class->params; p != NULL && p->name != NULL; p++) {
        if (p->type == NRD_PARAM_RESOURCE) {
            const struct nrd_resource *given = NULL;
            memcpy(&given, (const char *)op->state + p->offset, sizeof(given));
            if (given == pool) {
                return true;
            }
        }
    }
    return false;
}

static void check_pool(const struct nrd_app *app, const struct nrd_resource *pool, struct str *out)
{
    const struct nrd_param *blocks = param_find(pool->class->params, "num_blocks");
    if (blocks == NULL) {
        return;
    }
    int64_t has = 0;
    memcpy(&has, (const char *)pool->state + blocks->offset, sizeof(has));
    uint64_t needs = 0;
    struct str users = STR_INIT;
    for (uint32_t i = 0; i < app->fragments.count; i++) {
        const struct nrd_fragment *f = app->fragments.items[i];
        for (uint32_t j = 0; j < f->operators.count; j++) {
            const struct nrd_operator *op = fragment_op(f, j);
            uint64_t messages = 0;
            for (uint32_t k = 0; k < op->outputs.count; k++) {
                messages += messages_of(op->outputs.items[k]);
            }
            if (messages != 0 && allocates_from(op, pool)) {
                needs += messages;
                str_printf(&users, "%s'%s'", users.len == 0 ? "" : ", ", op->name);
            }
        }
    }
    if (needs > (uint64_t)has) {
        str_printf(out,
                   "resource '%s' (%s) has %lld blocks, and %llu messages of %s can be on their "
                   "way at once: an allocation may fail (more blocks, smaller queues, or a "
                   "MemoryAvailableCondition)\n",
                   pool->name, pool->class->type, (long long)has, (unsigned long long)needs,
                   str_cstr(&users));
    }
    if (users.failed) {
        out->failed = true;
    }
    str_fini(&users);
}

struct nrd_status *check_rates(struct nrd_app *app, struct str *out)
{
    NRD_TRY(check_paces(app, out));
    for (uint32_t i = 0; i < app->fragments.count; i++) {
        const struct nrd_fragment *f = app->fragments.items[i];
        for (uint32_t j = 0; j < f->resources.count; j++) {
            check_pool(app, f->resources.items[j], out);
        }
    }
    return out->failed ? status_no_memory() : NULL;
}
