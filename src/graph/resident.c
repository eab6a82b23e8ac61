// SPDX-License-Identifier: Apache-2.0
// GPU-resident graphs: see include/nereid/resident.h for what they are.
//
// The capture is one ordinary execution of each operator, in the plan's order, on the calling thread and without a scheduler:
// messages go through the plan's rings as ever, but nobody is woken. The operators' stream is the captured one, their
// tensors' memory is held by their streams (streams.c) until tear-down, since the captured work has its addresses in it.
#include "nereid/resident.h"

#include "base/clock.h"
#include "base/mem.h"
#include "gpu/graph_capture.h"
#include "graph/compute.h"
#include "graph/condition.h"
#include "graph/devices.h"
#include "graph/streams.h"

static const int64_t DEFAULT_TIMEOUT_NS = 10 * 1000000000ll;

struct nrd_resident {
    struct nrd_app *app;
    struct devices *devices; // shared
    int32_t device;
    int64_t timeout_ns;
    struct gpu_stream *stream;
    struct gpu_graph *graph;
    uint32_t started; // operators of the plan that were started, the first of its order
    uint64_t passes;
};

// ---- what can be captured ------------------------------------------------------------------------------------------

static struct nrd_status *check_operator(const struct nrd_operator *op)
{
    if (op->conditions.count != 0) {
        const struct nrd_condition *c = op->conditions.items[0];
        return status_new(NRD_UNSUPPORTED,
                          "operator '%s': in a resident graph it computes once a pass, so its %s "
                          "cannot be kept",
                          op->name, c->type->name);
    }
    if (op->choose != NULL) {
        return status_new(NRD_UNSUPPORTED,
                          "operator '%s': in a resident graph flows cannot be chosen", op->name);
    }
    return NULL;
}

static struct nrd_status *check_flow(const struct plan_flow *flow)
{
    if (flow->latest) {
        return status_new(NRD_UNSUPPORTED,
                          "operator '%s': a resident graph has no latest-value flows, as on '%s'",
                          flow->consumer->op->name, flow->flow->to->table.name);
    }
    // The plan is in topological order but for flows that close a cycle.
    if (flow->producer->index >= flow->consumer->index) {
        return status_new(NRD_UNSUPPORTED,
                          "a resident graph has no cycles, as by the flow '%s' -> '%s'",
                          flow->producer->op->name, flow->consumer->op->name);
    }
    return NULL;
}

static struct nrd_status *check(const struct nrd_app *app)
{
    const struct plan *plan = app->plan;
    if (app->fragments.count != 1) {
        return status_new(NRD_UNSUPPORTED,
                          "application '%s': a resident graph is one fragment, it has %u",
                          app->name, app->fragments.count);
    }
    for (uint32_t i = 0; i < plan->exec_count; i++) {
        NRD_TRY(check_operator(plan->execs[i].op));
    }
    for (uint32_t i = 0; i < plan->flow_count; i++) {
        NRD_TRY(check_flow(&plan->flows[i]));
    }
    return NULL;
}

// ---- the capture ---------------------------------------------------------------------------------------------------

static struct nrd_status *start_operators(struct nrd_resident *r)
{
    const struct plan *plan = r->app->plan;
    for (; r->started < plan->exec_count; r->started++) {
        struct nrd_operator *op = plan->execs[r->started].op;
        struct nrd_status *status =
            op->class->start == NULL ? NULL : op->class->start(op, op->state);
        if (status != NULL) {
            return status_wrap(status, "operator '%s': ", op->name);
        }
    }
    return NULL;
}

static struct nrd_status *stop_operators(struct nrd_resident *r)
{
    struct nrd_status *first = NULL;
    for (uint32_t i = 0; i < r->started; i++) {
        struct nrd_operator *op = r->app->plan->execs[i].op;
        struct nrd_status *status = op->class->stop == NULL ? NULL : op->class->stop(op, op->state);
        if (first == NULL) {
            first = status_wrap(status, "operator '%s': ", op->name);
        } else {
            status_free(status);
        }
    }
    r->started = 0;
    return first;
}

static struct nrd_status *check_inputs(const struct nrd_compute *exec)
{
    for (uint32_t i = 0; i < exec->flow_count; i++) {
        const struct plan_flow *flow = &exec->flows[i];
        if (flow_fill(flow) == 0) {
            return status_new(NRD_UNSUPPORTED,
                              "operator '%s': nothing came to its input '%s' in the pass that is "
                              "captured",
                              exec->op->name, flow->flow->to->table.name);
        }
    }
    return NULL;
}

// One pass of all operators while the stream is captured.
static struct nrd_status *compute_all(struct nrd_resident *r)
{
    struct plan *plan = r->app->plan;
    for (uint32_t i = 0; i < plan->exec_count; i++) {
        struct nrd_compute *exec = &plan->execs[i];
        NRD_TRY(check_inputs(exec));
        struct nrd_status *status = exec_compute(exec);
        if (status != NULL) {
            return status_wrap(status, "operator '%s': ", exec->op->name);
        }
    }
    return NULL;
}

static struct nrd_status *capture(struct nrd_resident *r)
{
    NRD_TRY(gpu_capture_begin(r->stream));
    struct nrd_status *status = compute_all(r);
    if (status != NULL) {
        gpu_capture_abort(r->stream);
        return status;
    }
    return gpu_capture_end(r->stream, &r->graph);
}

static struct nrd_status *lend_streams(struct nrd_resident *r)
{
    struct plan *plan = r->app->plan;
    for (uint32_t i = 0; i < plan->flow_count; i++) {
        plan->flows[i].wakes_consumer = false;
        plan->flows[i].wakes_producer = false;
    }
    for (uint32_t i = 0; i < plan->exec_count; i++) {
        NRD_TRY(streams_capture(plan->execs[i].op, r->device, r->stream));
    }
    return NULL;
}

static struct nrd_status *prepare(struct nrd_resident *r)
{
    struct gpu_device *gpu = NULL;
    NRD_TRY(nrd_app_compile(r->app));
    NRD_TRY(check(r->app));
    struct devices *devices = app_devices(r->app);
    NRD_TRY(devices_get(devices, r->device, &gpu));
    r->devices = devices_ref(devices);
    NRD_TRY(gpu_stream_create(gpu, GPU_PRIORITY_NORMAL, &r->stream));
    plan_reset(r->app->plan);
    NRD_TRY(lend_streams(r));
    NRD_TRY(start_operators(r));
    NRD_TRY(capture(r));
    plan_drain(r->app->plan);
    return NULL;
}

// ---- life ----------------------------------------------------------------------------------------------------------

static void destroy(struct nrd_resident *r)
{
    gpu_graph_destroy(r->graph);
    if (r->app->plan != NULL) {
        plan_drain(r->app->plan);
        for (uint32_t i = 0; i < r->app->plan->exec_count; i++) {
            streams_destroy(r->app->plan->execs[i].op);
        }
    }
    gpu_stream_destroy(r->stream);
    app_invalidate(r->app); // its flows wake nobody any more
    devices_unref(r->devices);
    atomic_store(&r->app->running, false);
    mem_free(r);
}

struct nrd_status *nrd_resident_create(struct nrd_app *app,
                                       const struct nrd_resident_options *options,
                                       struct nrd_resident **resident)
{
    bool running = false;
    struct nrd_resident *r = mem_calloc(1, sizeof(*r));
    if (r == NULL) {
        return status_no_memory();
    }
    r->app = app;
    r->device = options == NULL ? 0 : options->device;
    r->timeout_ns =
        options == NULL || options->timeout_ns <= 0 ? DEFAULT_TIMEOUT_NS : options->timeout_ns;
    if (!atomic_compare_exchange_strong(&app->running, &running, true)) {
        mem_free(r);
        return status_new(NRD_ALREADY_EXISTS, "application '%s' is running already", app->name);
    }
    struct nrd_status *status = prepare(r);
    if (status != NULL) {
        status_free(stop_operators(r));
        destroy(r);
        return status;
    }
    *resident = r;
    return NULL;
}

struct nrd_status *nrd_resident_data_ready(struct nrd_resident *resident)
{
    NRD_TRY(gpu_graph_launch(resident->graph, resident->stream));
    resident->passes++;
    return NULL;
}

struct nrd_status *nrd_resident_result_ready(struct nrd_resident *resident, bool *ready)
{
    return gpu_stream_query(resident->stream, ready);
}

struct nrd_status *nrd_resident_wait(struct nrd_resident *resident)
{
    return gpu_stream_sync(resident->stream, clock_now_ns() + (uint64_t)resident->timeout_ns);
}

void *nrd_resident_stream(const struct nrd_resident *resident)
{
    return gpu_stream_handle(resident->stream);
}

size_t nrd_resident_node_count(const struct nrd_resident *resident)
{
    return gpu_graph_node_count(resident->graph);
}

uint64_t nrd_resident_pass_count(const struct nrd_resident *resident)
{
    return resident->passes;
}

struct nrd_status *nrd_resident_tear_down(struct nrd_resident *resident)
{
    if (resident == NULL) {
        return NULL;
    }
    struct nrd_status *status = nrd_resident_wait(resident);
    struct nrd_status *stopped = stop_operators(resident);
    destroy(resident);
    if (status == NULL) {
        return stopped;
    }
    status_free(stopped);
    return status;
}
