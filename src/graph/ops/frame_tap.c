// SPDX-License-Identifier: Apache-2.0
// FrameTapOp: passes every message on, and shows every n-th of them on a second output when there is room there: a viewer that is slow,
// or a recorder on a full disk, never slows the line down.
#include "graph/ops/ops.h"

struct frame_tap {
    int64_t every;
    uint64_t count, missed;
};

enum { OUT, TAP };

static const struct nrd_param params[] = {
    {.name = "every",
     .type = NRD_PARAM_INT,
     .offset = offsetof(struct frame_tap, every),
     .fallback = "1",
     .min = 1,
     .max = 1e9,
     .unit = "messages",
     .help = "Every so many messages one is shown."},
    {.name = NULL},
};

static const struct nrd_port inputs[] = {
    {.name = "in", .policy = NRD_QUEUE_FAULT, .help = "Messages of any type."},
    {.name = NULL},
};
static const struct nrd_port outputs[] = {
    {.name = "out", .policy = NRD_QUEUE_FAULT, .help = "Every message."},
    {.name = "tap",
     .policy = NRD_QUEUE_FAULT,
     .flags = NRD_PORT_NO_CONDITION | NRD_PORT_OPTIONAL,
     .help = "Some of them, as there is room."},
    {.name = NULL},
};

static struct nrd_status *start(struct nrd_operator *op, void *self)
{
    (void)op;
    struct frame_tap *t = self;
    t->count = t->missed = 0;
    return NULL;
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct frame_tap *t = self;
    struct nrd_message *message = nrd_receive(ctx, 0);
    if (message == NULL) {
        return NULL;
    }
    enum nrd_code code = NRD_OK;
    if (t->count++ % (uint64_t)t->every == 0) {
        if (nrd_can_emit(ctx, TAP)) {
            code = nrd_emit(ctx, TAP, nrd_message_ref(message));
        } else {
            t->missed++;
        }
    }
    if (code == NRD_OK) {
        code = nrd_emit(ctx, OUT, message);
    } else {
        nrd_message_unref(message);
    }
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "cannot send");
}

static struct nrd_status *stop(struct nrd_operator *op, void *self)
{
    const struct frame_tap *t = self;
    if (t->missed > 0) {
        nrd_operator_log(op, NRD_LOG_INFO, "%llu messages were not shown: there was no room",
                         (unsigned long long)t->missed);
    }
    return NULL;
}

const struct nrd_operator_class frame_tap_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "FrameTapOp",
    .summary =
        "Passes messages on and shows some of them on a second output, never waiting for it.",
    .state_size = sizeof(struct frame_tap),
    .params = params,
    .inputs = inputs,
    .outputs = outputs,
    .start = start,
    .compute = compute,
    .stop = stop,
};
