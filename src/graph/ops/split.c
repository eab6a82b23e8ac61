// SPDX-License-Identifier: Apache-2.0
// SplitOp: the tensors of one message go their own ways, each on an output of its own. Bytes are shared, not copied.
#include "base/status.h"
#include "graph/ops/ops.h"

struct split {
    struct nrd_string_list outputs, tensors;
};

static const struct nrd_param params[] = {
    {.name = "outputs",
     .type = NRD_PARAM_STRING_LIST,
     .offset = offsetof(struct split, outputs),
     .help = "Names of the outputs."},
    {.name = "tensors",
     .type = NRD_PARAM_STRING_LIST,
     .offset = offsetof(struct split, tensors),
     .fallback = "[]",
     .help = "The tensor of each output; empty: those named like the outputs."},
    {.name = NULL},
};

static const struct nrd_port inputs[] = {
    {.name = "in", .type = "tensors", .policy = NRD_QUEUE_FAULT, .help = "Tensors."},
    {.name = NULL},
};

static struct nrd_status *setup(struct nrd_operator *op, void *self)
{
    struct split *s = self;
    if (s->outputs.count == 0) {
        return status_new(NRD_INVALID_ARG, "outputs is empty");
    }
    if (s->tensors.count != 0 && s->tensors.count != s->outputs.count) {
        return status_new(NRD_INVALID_ARG, "there are %zu tensors for %zu outputs",
                          s->tensors.count, s->outputs.count);
    }
    for (size_t i = 0; i < s->outputs.count; i++) {
        const struct nrd_port port = {.name = s->outputs.items[i],
                                      .type = "tensors",
                                      .policy = NRD_QUEUE_FAULT,
                                      .help = "One tensor."};
        size_t index;
        NRD_TRY(nrd_operator_add_output(op, &port, &index));
    }
    return NULL;
}

static struct nrd_status *send_tensor(struct nrd_compute *ctx, const struct split *s, size_t output,
                                      const struct nrd_message *from)
{
    const char *name = s->tensors.count > 0 ? s->tensors.items[output] : s->outputs.items[output];
    struct nrd_tensor *tensor = NULL;
    NRD_TRY(nrd_message_find_tensor(from, name, &tensor));
    struct nrd_message *message = nrd_message_new(ctx);
    if (message == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = nrd_message_add_tensor(message, name, nrd_tensor_ref(tensor));
    if (status != NULL) {
        nrd_tensor_unref(tensor);
        nrd_message_unref(message);
        return status;
    }
    nrd_message_set_acquired(message, nrd_message_acquired(from));
    enum nrd_code code = nrd_emit(ctx, output, message);
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "cannot send");
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    const struct split *s = self;
    struct nrd_message *message = nrd_receive(ctx, 0);
    struct nrd_status *status = NULL;
    for (size_t i = 0; message != NULL && i < s->outputs.count && status == NULL; i++) {
        status = send_tensor(ctx, s, i, message);
    }
    nrd_message_unref(message);
    return status;
}

const struct nrd_operator_class split_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "SplitOp",
    .summary = "Sends each tensor of a message on an output of its own.",
    .state_size = sizeof(struct split),
    .params = params,
    .inputs = inputs,
    .setup = setup,
    .compute = compute,
};
