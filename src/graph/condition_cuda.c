// SPDX-License-Identifier: Apache-2.0
// Conditions on work of GPUs: CudaStream, CudaEvent and CudaBufferAvailable. A message counts once the bytes of its tensors on GPUs
// are there; so compute may read them from the host, or start work that would only hold a stream up.
//
// Nobody polls: a stream of the condition's own waits for the event and then calls back. For operators that work on GPUs none
// of this is needed: nrd_stream_wait_tensor() lets the stream wait.
// The messages that wait in a queue are looked at in place, which a queue that drops its oldest (POP) or holds the latest does not
// allow: there, and where there is no GPU, only the message itself is waited for.
#include "gpu/event.h"
#include "graph/condition_types.h"
#include "graph/devices.h"
#include "graph/streams.h"

struct cuda_state {
    const char *event_name; // only the tensor of that name; NULL or "": all
    bool check_all_messages;
    struct nrd_condition *condition;
    struct gpu_stream *stream; // NULL: not needed yet
    struct gpu_watch watch;    // its GPU may be lost, and then nobody calls back
    _Atomic bool armed;        // a call back is outstanding
};

static const struct nrd_param STREAM_PARAMS[] = {
    {.name = "check_all_messages",
     .type = NRD_PARAM_BOOL,
     .offset = offsetof(struct cuda_state, check_all_messages),
     .fallback = "false",
     .help = "Wait for all messages in the queue, not only for the next."},
    {0},
};
static const struct nrd_param EVENT_PARAMS[] = {
    {.name = "event_name",
     .type = NRD_PARAM_STRING,
     .offset = offsetof(struct cuda_state, event_name),
     .fallback = "\"\"",
     .help = "The tensor whose event counts; empty: those of all tensors."},
    {0},
};

static struct nrd_status *prepare(struct nrd_condition *c, void *state)
{
    struct cuda_state *s = state;
    s->condition = c;
    return NULL;
}

// ---- being told ----------------------------------------------------------------------------------------------------

static void reached(void *arg)
{
    struct cuda_state *s = arg;
    atomic_store_explicit(&s->armed, false, memory_order_release);
    nrd_condition_notify(s->condition);
}

static void lost(struct gpu_device *device, const char *reason, void *arg)
{
    (void)device;
    (void)reason;
    reached(arg);
}

static struct nrd_status *make_stream(struct cuda_state *s, int32_t ordinal)
{
    struct gpu_device *device = NULL;
    if (s->stream != NULL) {
        return NULL;
    }
    NRD_TRY(devices_get(app_devices(s->condition->op->fragment->app), ordinal, &device));
    NRD_TRY(gpu_stream_create(device, GPU_PRIORITY_HIGH, &s->stream));
    s->watch.lost = lost;
    s->watch.arg = s;
    gpu_device_watch(device, &s->watch);
    return NULL;
}

// Asks to be told when the tensor is there. False: that cannot be had (its GPU is lost), so compute shall find out.
static bool arm(struct cuda_state *s, const struct nrd_tensor *tensor)
{
    if (atomic_load_explicit(&s->armed, memory_order_acquire)) {
        return true;
    }
    struct nrd_status *status = make_stream(s, tensor->device);
    if (status == NULL) {
        status = tensor_wait_on(tensor, s->stream);
    }
    if (status == NULL) {
        atomic_store_explicit(&s->armed, true, memory_order_release);
        status = gpu_stream_call_host(s->stream, reached, s);
        if (status != NULL) {
            atomic_store_explicit(&s->armed, false, memory_order_release);
        }
    }
    bool ok = status == NULL;
    status_free(status);
    return ok;
}

static void fini(struct nrd_condition *c, void *state)
{
    (void)c;
    struct cuda_state *s = state;
    if (s->stream != NULL) {
        struct gpu_device *device = gpu_stream_device(s->stream);
        if (!gpu_device_is_lost(device)) {
            status_free(gpu_stream_sync(s->stream, 0)); // the call back has come by then
        }
        gpu_device_unwatch(device, &s->watch);
        gpu_stream_destroy(s->stream);
    }
}

// ---- looking -------------------------------------------------------------------------------------------------------

// The first tensor whose bytes are not there; NULL: all are.
static const struct nrd_tensor *find_waiting(const struct cuda_state *s,
                                             const struct nrd_message *m)
{
    bool all = s->event_name == NULL || s->event_name[0] == '\0';
    for (size_t i = 0; i < nrd_message_tensor_count(m); i++) {
        const char *name;
        const struct nrd_tensor *t = nrd_message_tensor_at(m, i, &name);
        bool ready = true;
        if (t->memory == NRD_MEMORY_GPU && (all || strcmp(name, s->event_name) == 0)) {
            status_free(
                tensor_is_ready(t, &ready)); // a GPU that failed leaves it ready: compute finds out
        }
        if (!ready) {
            return t;
        }
    }
    return NULL;
}

static bool may_look(const struct plan_flow *flow)
{
    return !flow->latest && flow->policy != NRD_QUEUE_POP;
}

static enum nrd_condition_state check_flow(struct cuda_state *s, const struct plan_flow *flow)
{
    uint64_t count = flow_available(flow);
    if (count == 0) {
        return NRD_CONDITION_WAIT;
    }
    if (!may_look(flow)) {
        return NRD_CONDITION_READY;
    }
    uint64_t head = atomic_load_explicit(&flow->head, memory_order_relaxed);
    for (uint64_t i = 0; i < (s->check_all_messages ? count : 1); i++) {
        const struct nrd_message *m =
            atomic_load_explicit(&flow->slots[(head + i) & flow->mask], memory_order_acquire);
        const struct nrd_tensor *waiting = find_waiting(s, m);
        if (waiting != NULL && arm(s, waiting)) {
            return NRD_CONDITION_WAIT_EVENT;
        }
    }
    return NRD_CONDITION_READY;
}

static enum nrd_condition_state check(struct nrd_condition *c, void *state, int64_t now,
                                      int64_t *target)
{
    (void)now;
    (void)target;
    enum nrd_condition_state worst = NRD_CONDITION_READY;
    for (uint32_t i = 0; i < c->flow_count; i++) {
        enum nrd_condition_state one = check_flow(state, c->flows[i]);
        if (one == NRD_CONDITION_WAIT_EVENT || worst == NRD_CONDITION_READY) {
            worst = one;
        }
    }
    return worst;
}

const struct condition_type condition_cuda_stream = {
    .name = "CudaStreamCondition",
    .state_size = sizeof(struct cuda_state),
    .params = STREAM_PARAMS,
    .is_port = true,
    .prepare = prepare,
    .check = check,
    .fini = fini,
};
const struct condition_type condition_cuda_event = {
    .name = "CudaEventCondition",
    .state_size = sizeof(struct cuda_state),
    .params = EVENT_PARAMS,
    .is_port = true,
    .prepare = prepare,
    .check = check,
    .fini = fini,
};
const struct condition_type condition_cuda_buffer_available = {
    .name = "CudaBufferAvailableCondition",
    .state_size = sizeof(struct cuda_state),
    .is_port = true,
    .prepare = prepare,
    .check = check,
    .fini = fini,
};
