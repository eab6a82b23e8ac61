// SPDX-License-Identifier: Apache-2.0
// What compute may do: receive, make messages, emit. And what is done around each compute: which messages it may see (exec_begin), and
// that what it emitted goes out only when it succeeded (exec_commit).
#include "graph/compute.h"

#include <string.h>

#include "base/clock.h"
#include "graph/dynamic.h"
#include "graph/metadata.h"
#include "graph/resource.h"
#include "graph/streams.h"
#include "graph/watch.h"
#include "graph/worker.h"

static void count(_Atomic uint64_t *counter, uint64_t by)
{
    // One writer at a time: a load and a store, no locked addition.
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

struct nrd_operator *nrd_compute_operator(struct nrd_compute *ctx)
{
    return ctx->op;
}

int64_t nrd_compute_now(struct nrd_compute *ctx)
{
    return fragment_now(ctx->op->fragment);
}

uint64_t nrd_compute_count(struct nrd_compute *ctx)
{
    return ctx->count;
}

struct nrd_status *nrd_compute_fail(struct nrd_compute *ctx, enum nrd_code code, const char *what)
{
    (void)ctx;
    return status_new(code == NRD_OK ? NRD_UNKNOWN : code, "%s",
                      what == NULL || what[0] == '\0' ? code_name(code) : what);
}

// ---- rings ----

// Takes the oldest message before `end`; NULL: there is none. Under POP the producer may take it first.
static struct nrd_message *flow_take(struct plan_flow *flow, uint64_t end)
{
    uint64_t head = atomic_load_explicit(&flow->head, memory_order_relaxed);
    if (flow->policy != NRD_QUEUE_POP) {
        if (head >= end) {
            return NULL;
        }
        struct nrd_message *m =
            atomic_load_explicit(&flow->slots[head & flow->mask], memory_order_relaxed);
        atomic_store_explicit(&flow->head, head + 1, memory_order_release);
        return m;
    }
    while (head < end) {
        // A slot is filled again only after `head` has passed it, and then the exchange fails.
        struct nrd_message *m =
            atomic_load_explicit(&flow->slots[head & flow->mask], memory_order_acquire);
        if (atomic_compare_exchange_weak_explicit(&flow->head, &head, head + 1,
                                                  memory_order_acq_rel, memory_order_relaxed)) {
            return m;
        }
    }
    return NULL;
}

// Puts a message into a flow, whose reference it takes. False: the queue was full and its policy is to fault.
static bool flow_put(struct plan_flow *flow, struct nrd_message *m)
{
    if (flow->latest) {
        struct nrd_message *old =
            atomic_exchange_explicit(&flow->slots[0], m, memory_order_acq_rel);
        if (old != NULL) {
            nrd_message_unref(old);
        }
        return true;
    }
    uint64_t tail = atomic_load_explicit(&flow->tail, memory_order_relaxed);
    while (tail - atomic_load_explicit(&flow->head, memory_order_acquire) >= flow->capacity) {
        if (flow->policy == NRD_QUEUE_FAULT) {
            nrd_message_unref(m);
            return false;
        }
        if (flow->policy == NRD_QUEUE_REJECT) {
            count(&flow->dropped, 1);
            nrd_message_unref(m);
            return true;
        }
        struct nrd_message *oldest = flow_take(flow, tail - flow->capacity + 1);
        if (oldest != NULL) {
            count(&flow->dropped, 1);
            nrd_message_unref(oldest);
        }
    }
    atomic_store_explicit(&flow->slots[tail & flow->mask], m, memory_order_release);
    atomic_store_explicit(&flow->tail, tail + 1, memory_order_release);
    return true;
}

// ---- receiving ----

static struct nrd_message *take_latest(struct plan_flow *flow, bool *again)
{
    struct nrd_message *fresh =
        atomic_load_explicit(&flow->slots[0], memory_order_relaxed) == NULL
            ? NULL
            : atomic_exchange_explicit(&flow->slots[0], NULL, memory_order_acq_rel);
    if (fresh != NULL) {
        nrd_message_unref(flow->held);
        flow->held = fresh;
        flow->held_before = false;
    }
    *again = flow->held_before;
    flow->held_before = true;
    return flow->held == NULL ? NULL : nrd_message_ref(flow->held);
}

static void watch_received(struct nrd_compute *ctx, const struct plan_flow *flow,
                           const struct nrd_message *m, bool again)
{
    int64_t now = ctx->plan->hop_times ? nrd_compute_now(ctx) : 0;
    for (uint32_t i = 0; i < ctx->plan->watcher_count; i++) {
        const struct watcher *w = ctx->plan->watchers[i];
        if (w->class->received != NULL &&
            (w->fragment == NULL || w->fragment == ctx->op->fragment)) {
            w->class->received(w->self, ctx, flow, m, again, now);
        }
    }
}

static struct nrd_message *receive_flow(struct nrd_compute *ctx, struct plan_flow *flow)
{
    bool again = false;
    struct nrd_message *m =
        flow->latest ? take_latest(flow, &again) : flow_take(flow, flow->visible);
    if (m == NULL) {
        return NULL;
    }
    count(&ctx->received, 1);
    if (flow->wakes_producer) {
        exec_wake(flow->producer, ctx->worker);
    }
    if (m->metadata != NULL && ctx->metadata_on && ctx->error == NULL) {
        ctx->error = metadata_merge(ctx, m);
    }
    if (ctx->plan->watched) {
        watch_received(ctx, flow, m, again);
    }
    return m;
}

struct nrd_message *nrd_receive(struct nrd_compute *ctx, size_t input)
{
    if (input >= ctx->input_count) {
        return NULL;
    }
    struct plan_input *in = &ctx->inputs[input];
    if (in->flow_count == 1) {
        return receive_flow(ctx, in->flows);
    }
    // Any size: in connection order. Several flows into one queue: in turn, so that none starves.
    uint32_t first = in->any_size ? 0 : in->next;
    for (uint32_t i = 0; i < in->flow_count; i++) {
        uint32_t at = (first + i) % in->flow_count;
        struct nrd_message *m = receive_flow(ctx, &in->flows[at]);
        if (m != NULL) {
            in->next = (at + 1) % in->flow_count;
            return m;
        }
    }
    return NULL;
}

struct nrd_message *nrd_receive_from(struct nrd_compute *ctx, size_t input, size_t flow)
{
    if (input >= ctx->input_count || flow >= ctx->inputs[input].flow_count) {
        return NULL;
    }
    return receive_flow(ctx, &ctx->inputs[input].flows[flow]);
}

// What this execution may take out of a flow.
static size_t flow_visible(const struct plan_flow *flow)
{
    if (flow->latest) {
        return flow_available(flow);
    }
    uint64_t head = atomic_load_explicit(&flow->head, memory_order_relaxed);
    return flow->visible > head ? flow->visible - head : 0;
}

size_t nrd_available(struct nrd_compute *ctx, size_t input)
{
    size_t total = 0;
    if (input >= ctx->input_count) {
        return 0;
    }
    const struct plan_input *in = &ctx->inputs[input];
    for (uint32_t i = 0; i < in->flow_count; i++) {
        total += flow_visible(&in->flows[i]);
    }
    return total;
}

size_t nrd_available_from(struct nrd_compute *ctx, size_t input, size_t flow)
{
    if (input >= ctx->input_count || flow >= ctx->inputs[input].flow_count) {
        return 0;
    }
    return flow_visible(&ctx->inputs[input].flows[flow]);
}

size_t nrd_operator_queued(const struct nrd_operator *op, size_t port, size_t flow)
{
    const struct nrd_compute *exec = op->exec;
    if (exec == NULL || port >= exec->input_count || flow >= exec->inputs[port].flow_count) {
        return 0;
    }
    return flow_available(&exec->inputs[port].flows[flow]);
}

// ---- emitting ----

struct nrd_message *nrd_message_new(struct nrd_compute *ctx)
{
    return message_get(&ctx->plan->messages);
}

static struct nrd_message **staged_at(struct plan_output *out, uint32_t index)
{
    uint32_t at = out->staged_first + index;
    return &out->staged[at >= out->capacity ? at - out->capacity : at];
}

// A message that this execution writes to, when others hold it too: a copy of its head. Takes and returns owned.
static struct nrd_message *own_message(struct nrd_compute *ctx, struct nrd_message *m)
{
    if (nrd_message_is_writable(m)) {
        return m;
    }
    struct nrd_message *copy = message_copy(&ctx->plan->messages, m);
    if (copy == NULL) {
        return m; // out of memory, or an object that cannot be copied: it goes as it is
    }
    nrd_message_unref(m);
    return copy;
}

enum nrd_code nrd_emit(struct nrd_compute *ctx, size_t output, struct nrd_message *message)
{
    if (message == NULL) {
        return NRD_UNAVAILABLE; // what nrd_message_new() returned when memory was out
    }
    if (output >= ctx->output_count) {
        nrd_message_unref(message);
        return NRD_INVALID_ARG;
    }
    struct plan_output *out = &ctx->outputs[output];
    if (out->staged_count == out->capacity) {
        if (out->policy == NRD_QUEUE_FAULT) {
            ctx->fault = NRD_UNAVAILABLE;
            ctx->fault_port = (uint32_t)output;
            nrd_message_unref(message);
            return NRD_UNAVAILABLE;
        }
        if (out->policy == NRD_QUEUE_REJECT) {
            nrd_message_unref(message);
            return NRD_OK;
        }
        nrd_message_unref(*staged_at(out, 0));
        out->staged_first = out->staged_first + 1 == out->capacity ? 0 : out->staged_first + 1;
        out->staged_count--;
    }
    if (ctx->plan->marks || (ctx->metadata != NULL && ctx->metadata_on)) {
        message = own_message(ctx, message);
    }
    if (ctx->metadata != NULL && ctx->metadata_on && nrd_message_is_writable(message)) {
        struct nrd_status *status = metadata_attach(ctx, message);
        if (status != NULL) {
            if (ctx->error == NULL) {
                ctx->error = status;
            } else {
                status_free(status);
            }
        }
    }
    *staged_at(out, out->staged_count++) = message;
    return NRD_OK;
}

bool nrd_can_emit(struct nrd_compute *ctx, size_t output)
{
    if (output >= ctx->output_count) {
        return false;
    }
    const struct plan_output *out = &ctx->outputs[output];
    if (out->policy == NRD_QUEUE_FAULT && out->staged_count == out->capacity) {
        return false;
    }
    for (uint32_t i = 0; i < out->flow_count; i++) {
        const struct plan_flow *flow = out->flows[i];
        if (!flow->latest && flow->policy == NRD_QUEUE_FAULT &&
            flow_fill(flow) + out->staged_count >= flow->capacity) {
            return false;
        }
    }
    return true;
}

enum nrd_code nrd_emit_value(struct nrd_compute *ctx, size_t output, const char *type,
                             const void *value, size_t size)
{
    struct nrd_message *m = nrd_message_new(ctx);
    if (m == NULL) {
        return NRD_UNAVAILABLE;
    }
    enum nrd_code code = nrd_message_set_value(m, type, value, size);
    if (code != NRD_OK) {
        nrd_message_unref(m);
        return code;
    }
    return nrd_emit(ctx, output, m);
}

// ---- around a compute ----

// All signals of control that have come are answered by this one execution.
static void take_signals(struct nrd_compute *ctx)
{
    struct nrd_message *signal;
    while ((signal = nrd_receive(ctx, ctx->exec_input->port->index)) != NULL) {
        nrd_message_unref(signal);
    }
}

void exec_begin(struct nrd_compute *ctx)
{
    for (uint32_t i = 0; i < ctx->flow_count; i++) {
        struct plan_flow *flow = &ctx->flows[i];
        if (!flow->latest) {
            flow->visible = atomic_load_explicit(&flow->tail, memory_order_acquire);
        }
    }
    if (ctx->exec_input != NULL) {
        take_signals(ctx);
    }
}

static void watch_emitted(struct nrd_compute *ctx, uint32_t output, struct nrd_message *m)
{
    int64_t now = ctx->plan->hop_times ? nrd_compute_now(ctx) : 0;
    for (uint32_t i = 0; i < ctx->plan->watcher_count; i++) {
        const struct watcher *w = ctx->plan->watchers[i];
        if (w->class->emitted != NULL &&
            (w->fragment == NULL || w->fragment == ctx->op->fragment)) {
            w->class->emitted(w->self, ctx, output, m, now);
        }
    }
}

void compute_answer(struct nrd_compute *ctx, size_t output, struct nrd_message *const *questions,
                    uint32_t count, struct nrd_message *message)
{
    for (uint32_t i = 0; i < ctx->plan->watcher_count; i++) {
        const struct watcher *w = ctx->plan->watchers[i];
        if (w->class->answered != NULL &&
            (w->fragment == NULL || w->fragment == ctx->op->fragment)) {
            w->class->answered(w->self, ctx, (uint32_t)output, questions, count, message);
        }
    }
}

static uint32_t count_chosen(const struct plan_output *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < out->flow_count; i++) {
        count += out->flows[i]->chosen;
    }
    return count;
}

// One message onto all flows of an output, or those that were chosen; takes it. NULL, or the first flow that faulted.
static const struct plan_flow *send(struct nrd_compute *ctx, struct plan_output *out,
                                    struct nrd_message *m)
{
    const struct plan_flow *fault = NULL;
    bool chooses = ctx->op->choose != NULL;
    uint32_t flow_count = chooses ? count_chosen(out) : out->flow_count;
    if (flow_count == 0) {
        nrd_message_unref(m);
        return NULL;
    }
    if (flow_count > 1) {
        // All references at once: a branch may be done with its own before the next has one.
        atomic_fetch_add_explicit(&m->references, flow_count - 1, memory_order_relaxed);
    }
    for (uint32_t i = 0; i < out->flow_count; i++) {
        struct plan_flow *flow = out->flows[i];
        if (chooses && !flow->chosen) {
            continue;
        }
        if (!flow_put(flow, m)) {
            fault = fault == NULL ? flow : fault;
        } else if (flow->wakes_consumer) {
            exec_wake(flow->consumer, ctx->worker);
        }
    }
    return fault;
}

struct nrd_status *exec_commit(struct nrd_compute *ctx)
{
    const struct plan_flow *fault = NULL;
    for (uint32_t o = 0; o < ctx->output_count; o++) {
        struct plan_output *out = &ctx->outputs[o];
        while (out->staged_count != 0) {
            struct nrd_message *m = *staged_at(out, 0);
            out->staged_first = out->staged_first + 1 == out->capacity ? 0 : out->staged_first + 1;
            out->staged_count--;
            count(&ctx->emitted, 1);
            if (ctx->plan->watched) {
                watch_emitted(ctx, o, m);
            }
            const struct plan_flow *here = send(ctx, out, m);
            fault = fault == NULL ? here : fault;
        }
    }
    if (fault == NULL) {
        return NULL;
    }
    return status_new(NRD_UNAVAILABLE,
                      "the queue of '%s.%s' is full (capacity %u, policy fault) for a message from "
                      "output '%s'",
                      fault->consumer->op->name, fault->flow->to->table.name, fault->capacity,
                      fault->flow->from->table.name);
}

void exec_drop_staged(struct nrd_compute *ctx)
{
    for (uint32_t o = 0; o < ctx->output_count; o++) {
        struct plan_output *out = &ctx->outputs[o];
        for (; out->staged_count != 0; out->staged_count--) {
            nrd_message_unref(*staged_at(out, 0));
            out->staged_first = out->staged_first + 1 == out->capacity ? 0 : out->staged_first + 1;
        }
    }
}

static void watch_span(struct nrd_compute *ctx, bool begin)
{
    for (uint32_t i = 0; i < ctx->plan->watcher_count; i++) {
        const struct watcher *w = ctx->plan->watchers[i];
        void (*hook)(void *self, struct nrd_compute *ctx) =
            begin ? w->class->began : w->class->ended;
        if (hook != NULL && (w->fragment == NULL || w->fragment == ctx->op->fragment)) {
            hook(w->self, ctx);
        }
    }
}

// What went wrong in a compute that may itself have returned success.
static struct nrd_status *compute_result(struct nrd_compute *ctx, struct nrd_status *status)
{
    if (status == NULL && ctx->error != NULL) {
        status = ctx->error;
    } else {
        status_free(ctx->error);
    }
    ctx->error = NULL;
    if (status == NULL && ctx->fault != NRD_OK) {
        const struct plan_output *out = &ctx->outputs[ctx->fault_port];
        status = status_new(NRD_UNAVAILABLE,
                            "more messages were emitted on output '%s' in one compute than it can "
                            "hold (capacity %u, policy fault)",
                            out->port->table.name, out->capacity);
    }
    ctx->fault = NRD_OK;
    return status;
}

struct nrd_status *exec_compute(struct nrd_compute *ctx)
{
    bool watched = ctx->plan->watched;
    uint64_t began = 0;
    if (watched) {
        watch_span(ctx, true);
    }
    if (ctx->plan->app->count_busy) {
        began = clock_now_ns();
    }
    exec_begin(ctx);
    struct nrd_status *status = compute_result(ctx, ctx->compute(ctx, ctx->self));
    if (ctx->plan->app->count_busy) {
        count(&ctx->busy_ns, clock_now_ns() - began);
    }
    ctx->count++;
    count(&ctx->computes, 1);
    // Acquire: an allocation on another thread may be what made them.
    if (__atomic_load_n(&ctx->op->streams, __ATOMIC_ACQUIRE) != NULL) {
        struct nrd_status *gpu = streams_end(ctx, status == NULL);
        if (status == NULL) {
            status = gpu;
        } else {
            status_free(gpu);
        }
    }
    if (status != NULL) {
        exec_drop_staged(ctx);
    } else {
        if (ctx->exec_output != NULL) {
            exec_signal(ctx);
        }
        if (ctx->op->choose != NULL) {
            flows_choose(ctx);
        }
        status = exec_commit(ctx);
    }
    if (ctx->metadata != NULL) {
        nrd_metadata_clear(ctx);
    }
    if (watched) {
        watch_span(ctx, false);
    }
    return status;
}
