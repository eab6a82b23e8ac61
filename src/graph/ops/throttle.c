// SPDX-License-Identifier: Apache-2.0
// ThrottleOp: at most so many messages a second. What comes too early is dropped (drop), or waits in the queue, which slows the sender
// down (wait).
#include "graph/ops/ops.h"
#include "graph/ops/pacer.h"

struct throttle {
    int64_t period_ns;
    int mode;

    struct pacer pacer;
    bool sent_any;
    int64_t due_ns;
    uint64_t dropped;
};

enum { MODE_DROP, MODE_WAIT };
static const char *const modes[] = {[MODE_DROP] = "drop", [MODE_WAIT] = "wait", NULL};

static const struct nrd_param params[] = {
    {.name = "rate",
     .type = NRD_PARAM_DURATION,
     .offset = offsetof(struct throttle, period_ns),
     .min = 1,
     .max = 1e18,
     .unit = "ns",
     .help = "The shortest time between two messages: \"30Hz\", \"20ms\"."},
    {.name = "mode",
     .type = NRD_PARAM_CHOICE,
     .offset = offsetof(struct throttle, mode),
     .fallback = "drop",
     .choices = modes,
     .help = "What happens to messages that come too early."},
    {.name = NULL},
};

static const struct nrd_port inputs[] = {
    {.name = "in", .policy = NRD_QUEUE_FAULT, .help = "Messages of any type."},
    {.name = NULL},
};
static const struct nrd_port outputs[] = {
    {.name = "out",
     .policy = NRD_QUEUE_FAULT,
     .flags = NRD_PORT_SPARSE,
     .help = "The same messages, fewer or later."},
    {.name = NULL},
};

static struct nrd_status *setup(struct nrd_operator *op, void *self)
{
    struct throttle *t = self;
    return t->mode == MODE_WAIT ? pacer_add(op, &t->pacer) : NULL;
}

static struct nrd_status *start(struct nrd_operator *op, void *self)
{
    (void)op;
    struct throttle *t = self;
    t->sent_any = false;
    t->dropped = 0;
    pacer_begin(&t->pacer);
    return NULL;
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct throttle *t = self;
    struct nrd_message *message = nrd_receive(ctx, 0);
    int64_t now = nrd_compute_now(ctx);
    if (message == NULL) {
        return NULL;
    }
    if (t->mode == MODE_DROP && t->sent_any && now < t->due_ns) {
        nrd_message_unref(message);
        t->dropped++;
        return NULL;
    }
    // A message that is a little late does not make all later ones late; after a pause the count begins anew.
    bool in_step = t->sent_any && now - t->due_ns < t->period_ns;
    t->due_ns = (in_step ? t->due_ns : now) + t->period_ns;
    t->sent_any = true;
    pacer_due(&t->pacer, t->due_ns);
    enum nrd_code code = nrd_emit(ctx, 0, message);
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "cannot send");
}

static struct nrd_status *stop(struct nrd_operator *op, void *self)
{
    struct throttle *t = self;
    if (t->dropped > 0) {
        nrd_operator_log(op, NRD_LOG_INFO, "%llu messages came too early",
                         (unsigned long long)t->dropped);
    }
    pacer_reset(&t->pacer);
    return NULL;
}

const struct nrd_operator_class throttle_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "ThrottleOp",
    .summary = "Lets at most so many messages through a second.",
    .state_size = sizeof(struct throttle),
    .params = params,
    .inputs = inputs,
    .outputs = outputs,
    .setup = setup,
    .start = start,
    .compute = compute,
    .stop = stop,
};
