// SPDX-License-Identifier: Apache-2.0
// Control: after each compute, an operator with flows of control signals those who come next by an empty message.
#include "graph/compute.h"

void exec_signal(struct nrd_compute *ctx)
{
    struct nrd_message *signal = message_get(&ctx->plan->messages);
    if (nrd_emit(ctx, ctx->exec_output->port->index, signal) != NRD_OK) {
        ctx->fault = NRD_OK; // a signal that cannot be made is no second message of the operator's
    }
}
