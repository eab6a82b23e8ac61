// SPDX-License-Identifier: Apache-2.0
// PingTxOp sends 1, 2, 3, ... and PingRxOp takes them: the smallest graph.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "graph/ops/ops.h"

#define PING_TYPE "int64"

struct ping_tx {
    int64_t value;
};

static struct nrd_status *tx_start(struct nrd_operator *op, void *self)
{
    struct ping_tx *tx = self;
    (void)op;
    tx->value = 0;
    return NULL;
}

static struct nrd_status *tx_compute(struct nrd_compute *ctx, void *self)
{
    struct ping_tx *tx = self;
    tx->value++;
    enum nrd_code code = nrd_emit_value(ctx, 0, PING_TYPE, &tx->value, sizeof(tx->value));
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "cannot send");
}

static const struct nrd_port TX_OUTPUTS[] = {
    {.name = "out", .type = PING_TYPE, .policy = NRD_QUEUE_FAULT, .help = "The numbers."}, {0}};

const struct nrd_operator_class ping_tx_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "PingTxOp",
    .summary = "Sends 1, 2, 3, ...",
    .state_size = sizeof(struct ping_tx),
    .outputs = TX_OUTPUTS,
    .start = tx_start,
    .compute = tx_compute,
};

struct ping_rx {
    bool quiet;
    int64_t last;
};

static struct nrd_status *rx_compute(struct nrd_compute *ctx, void *self)
{
    struct ping_rx *rx = self;
    struct nrd_message *message = nrd_receive(ctx, 0);
    struct nrd_status *status = NULL;
    const void *value = message == NULL ? NULL : nrd_message_value(message, NULL, NULL);
    if (value != NULL) {
        rx->last = *(const int64_t *)value;
        if (!rx->quiet && printf("Rx message value: %lld\n", (long long)rx->last) < 0) {
            status =
                status_new(NRD_UNAVAILABLE, "cannot write to standard output: %s", strerror(errno));
        }
    }
    nrd_message_unref(message);
    return status;
}

static const struct nrd_port RX_INPUTS[] = {
    {.name = "in", .type = PING_TYPE, .policy = NRD_QUEUE_FAULT, .help = "The numbers."}, {0}};
static const struct nrd_param RX_PARAMS[] = {{.name = "quiet",
                                              .type = NRD_PARAM_BOOL,
                                              .offset = offsetof(struct ping_rx, quiet),
                                              .fallback = "false",
                                              .help = "Prints nothing."},
                                             {0}};

const struct nrd_operator_class ping_rx_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "PingRxOp",
    .summary = "Takes numbers and prints them.",
    .state_size = sizeof(struct ping_rx),
    .params = RX_PARAMS,
    .inputs = RX_INPUTS,
    .compute = rx_compute,
};
