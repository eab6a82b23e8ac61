// SPDX-License-Identifier: Apache-2.0
// JoinOp: one message of each of its inputs becomes one message with the tensors of all.
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "graph/ops/ops.h"

struct join {
    struct nrd_string_list names;
};

static const struct nrd_param params[] = {
    {.name = "names",
     .type = NRD_PARAM_STRING_LIST,
     .offset = offsetof(struct join, names),
     .fallback = "[]",
     .help = "One a flow, in the order they were connected: the name of a flow's only tensor in "
             "the result, or NAME.tensor for each of "
             "several; empty: names stay."},
    {.name = NULL},
};

static const struct nrd_port inputs[] = {
    {.name = "in",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .flags = NRD_PORT_ANY_SIZE,
     .help = "Any number of flows; it waits for a message of each."},
    {.name = NULL},
};
static const struct nrd_port outputs[] = {
    {.name = "out",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .help = "All tensors; acquired when the oldest was."},
    {.name = NULL},
};

static struct nrd_status *initialize(struct nrd_operator *op, void *self)
{
    const struct join *j = self;
    size_t flows = nrd_operator_input_flows(op, 0);
    return j->names.count == 0 || j->names.count == flows
               ? NULL
               : status_new(NRD_INVALID_ARG, "there are %zu names for %zu flows", j->names.count,
                            flows);
}

static struct nrd_status *add_tensors(const struct join *j, size_t flow,
                                      const struct nrd_message *from, struct nrd_message *to)
{
    size_t count = nrd_message_tensor_count(from);
    for (size_t i = 0; i < count; i++) {
        const char *name = "";
        char joined[128];
        struct nrd_tensor *tensor = nrd_message_tensor_at(from, i, &name);
        if (j->names.count > 0 && j->names.items[flow][0] != '\0') {
            snprintf(joined, sizeof(joined), "%s%s%s", j->names.items[flow], count == 1 ? "" : ".",
                     count == 1 ? "" : name);
            name = joined;
        }
        if (nrd_message_tensor(to, name) != NULL) {
            return status_new(NRD_INVALID_ARG,
                              "flow %zu has a tensor '%s', and one before it too: give 'names'",
                              flow, name);
        }
        struct nrd_status *status = nrd_message_add_tensor(to, name, nrd_tensor_ref(tensor));
        if (status != NULL) {
            nrd_tensor_unref(tensor);
            return status;
        }
    }
    return NULL;
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct nrd_message *joined = nrd_message_new(ctx);
    size_t flows = nrd_operator_input_flows(nrd_compute_operator(ctx), 0);
    struct nrd_status *status = joined == NULL ? status_no_memory() : NULL;
    int64_t acquired = -1;
    for (size_t flow = 0; flow < flows && status == NULL; flow++) {
        struct nrd_message *part = nrd_receive_from(ctx, 0, flow);
        if (part == NULL) {
            continue;
        }
        int64_t at = nrd_message_acquired(part);
        acquired = at >= 0 && (acquired < 0 || at < acquired) ? at : acquired;
        status = add_tensors(self, flow, part, joined);
        nrd_message_unref(part);
    }
    if (status != NULL) {
        nrd_message_unref(joined);
        return status;
    }
    nrd_message_set_acquired(joined, acquired);
    enum nrd_code code = nrd_emit(ctx, 0, joined);
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "cannot send");
}

const struct nrd_operator_class join_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "JoinOp",
    .summary = "Joins one message of each input into one with all their tensors.",
    .state_size = sizeof(struct join),
    .params = params,
    .inputs = inputs,
    .outputs = outputs,
    .initialize = initialize,
    .compute = compute,
};
