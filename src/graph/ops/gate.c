// SPDX-License-Identifier: Apache-2.0
// GateOp: lets messages through while it is open, and drops them while it is not. `open` may be set while the graph runs.
#include "graph/ops/ops.h"

struct gate {
    bool open;
    uint64_t dropped;
};

static const struct nrd_param params[] = {
    {.name = "open",
     .type = NRD_PARAM_BOOL,
     .flags = NRD_PARAM_DYNAMIC,
     .offset = offsetof(struct gate, open),
     .fallback = "true",
     .help = "Whether messages pass; what comes while it is false is dropped."},
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
     .help = "The same messages."},
    {.name = NULL},
};

static struct nrd_status *start(struct nrd_operator *op, void *self)
{
    (void)op;
    ((struct gate *)self)->dropped = 0;
    return NULL;
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct gate *g = self;
    struct nrd_message *message = nrd_receive(ctx, 0);
    if (message == NULL) {
        return NULL;
    }
    if (!g->open) {
        nrd_message_unref(message);
        g->dropped++;
        return NULL;
    }
    enum nrd_code code = nrd_emit(ctx, 0, message);
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "cannot send");
}

static struct nrd_status *stop(struct nrd_operator *op, void *self)
{
    const struct gate *g = self;
    if (g->dropped > 0) {
        nrd_operator_log(op, NRD_LOG_INFO, "%llu messages came while it was closed",
                         (unsigned long long)g->dropped);
    }
    return NULL;
}

const struct nrd_operator_class gate_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "GateOp",
    .summary = "Lets messages through while it is open, drops them while it is not.",
    .state_size = sizeof(struct gate),
    .params = params,
    .inputs = inputs,
    .outputs = outputs,
    .start = start,
    .compute = compute,
    .stop = stop,
};
