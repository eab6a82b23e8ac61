// SPDX-License-Identifier: Apache-2.0
// AsyncPingTxOp and AsyncPingRxOp: like the ping pair, but each compute waits for an event that a thread of the operator's own raises
// `delay` milliseconds (of the real clock) after the compute before. They show how asynchronous operators are written.
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/status.h"
#include "base/thread.h"
#include "graph/ops/ops.h"

#define PING_TYPE "int64"

// ---- the thread ------------------------------------------------------------------------------------------------------

struct raiser {
    struct thread thread;
    struct parking parking;
    struct nrd_operator *op;
    int64_t delay_ns;
    _Atomic bool armed, stopping;
};

static void raise_events(void *arg)
{
    struct raiser *r = arg;
    while (!atomic_load_explicit(&r->stopping, memory_order_acquire)) {
        if (!atomic_exchange_explicit(&r->armed, false, memory_order_acq_rel)) {
            parking_wait(&r->parking, 0);
            continue;
        }
        uint64_t due = clock_now_ns() + (uint64_t)r->delay_ns;
        while (!atomic_load_explicit(&r->stopping, memory_order_acquire) && clock_now_ns() < due) {
            parking_wait(&r->parking, due);
        }
        nrd_operator_async(r->op, NRD_ASYNC_EVENT_DONE);
    }
}

static struct nrd_status *raiser_start(struct raiser *r, struct nrd_operator *op, int64_t delay_ms)
{
    r->op = op;
    r->delay_ns = delay_ms * 1000000;
    atomic_store_explicit(&r->armed, false, memory_order_relaxed);
    atomic_store_explicit(&r->stopping, false, memory_order_relaxed);
    parking_init(&r->parking);
    return thread_start(&r->thread, nrd_operator_name(op), 0, raise_events, r);
}

// The operator waits from now on, for one event.
static void raiser_arm(struct raiser *r)
{
    nrd_operator_async(r->op, NRD_ASYNC_EVENT_WAITING);
    atomic_store_explicit(&r->armed, true, memory_order_release);
    parking_wake(&r->parking);
}

static void raiser_stop(struct raiser *r)
{
    if (r->thread.started) {
        atomic_store_explicit(&r->stopping, true, memory_order_release);
        parking_wake(&r->parking);
        thread_join(&r->thread);
        r->thread.started = false;
    }
}

#define DELAY_PARAM(type_)                                                                         \
    {                                                                                              \
        .name = "delay", .type = NRD_PARAM_INT, .offset = offsetof(type_, delay),                  \
        .fallback = "10", .min = 0, .max = 86400000, .unit = "ms",                                 \
        .help = "From a compute to the event that lets the next one run."                          \
    }

// ---- sending ---------------------------------------------------------------------------------------------------------

struct async_ping_tx {
    int64_t delay, count, value;
    struct raiser raiser;
};

static const struct nrd_param tx_params[] = {
    DELAY_PARAM(struct async_ping_tx),
    {.name = "count",
     .type = NRD_PARAM_INT,
     .offset = offsetof(struct async_ping_tx, count),
     .fallback = "0",
     .min = 0,
     .max = 9007199254740992.0,
     .unit = "messages",
     .help = "Messages after which it ends; 0: no limit."},
    {.name = NULL},
};

static const struct nrd_port tx_outputs[] = {
    {.name = "out", .type = PING_TYPE, .policy = NRD_QUEUE_FAULT, .help = "1, 2, 3, ..."},
    {.name = NULL},
};

static struct nrd_status *tx_start(struct nrd_operator *op, void *self)
{
    struct async_ping_tx *tx = self;
    tx->value = 0;
    return raiser_start(&tx->raiser, op, tx->delay);
}

static struct nrd_status *tx_compute(struct nrd_compute *ctx, void *self)
{
    struct async_ping_tx *tx = self;
    tx->value++;
    if (tx->value == tx->count) {
        nrd_operator_async(nrd_compute_operator(ctx), NRD_ASYNC_NEVER);
    } else {
        raiser_arm(&tx->raiser);
    }
    enum nrd_code code = nrd_emit_value(ctx, 0, PING_TYPE, &tx->value, sizeof(tx->value));
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "cannot send");
}

static struct nrd_status *tx_stop(struct nrd_operator *op, void *self)
{
    (void)op;
    raiser_stop(&((struct async_ping_tx *)self)->raiser);
    return NULL;
}

const struct nrd_operator_class async_ping_tx_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "AsyncPingTxOp",
    .summary = "Sends 1, 2, 3, ..., each when an event of a thread of its own has come.",
    .state_size = sizeof(struct async_ping_tx),
    .params = tx_params,
    .outputs = tx_outputs,
    .start = tx_start,
    .compute = tx_compute,
    .stop = tx_stop,
};

// ---- receiving -------------------------------------------------------------------------------------------------------

struct async_ping_rx {
    int64_t delay;
    bool quiet;
    struct raiser raiser;
};

static const struct nrd_param rx_params[] = {
    DELAY_PARAM(struct async_ping_rx),
    {.name = "quiet",
     .type = NRD_PARAM_BOOL,
     .offset = offsetof(struct async_ping_rx, quiet),
     .fallback = "false",
     .help = "Prints nothing."},
    {.name = NULL},
};

static const struct nrd_port rx_inputs[] = {
    {.name = "in", .type = PING_TYPE, .policy = NRD_QUEUE_FAULT, .help = "Numbers."},
    {.name = NULL},
};

static struct nrd_status *rx_start(struct nrd_operator *op, void *self)
{
    struct async_ping_rx *rx = self;
    return raiser_start(&rx->raiser, op, rx->delay);
}

static struct nrd_status *rx_compute(struct nrd_compute *ctx, void *self)
{
    struct async_ping_rx *rx = self;
    struct nrd_message *message = nrd_receive(ctx, 0);
    const int64_t *value = message == NULL ? NULL : nrd_message_value(message, NULL, NULL);
    if (value != NULL && !rx->quiet) {
        printf("Rx message value: %" PRId64 "\n", *value);
    }
    nrd_message_unref(message);
    raiser_arm(&rx->raiser);
    return NULL;
}

static struct nrd_status *rx_stop(struct nrd_operator *op, void *self)
{
    (void)op;
    raiser_stop(&((struct async_ping_rx *)self)->raiser);
    return NULL;
}

const struct nrd_operator_class async_ping_rx_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "AsyncPingRxOp",
    .summary = "Takes numbers, each when an event of a thread of its own has come.",
    .state_size = sizeof(struct async_ping_rx),
    .params = rx_params,
    .inputs = rx_inputs,
    .start = rx_start,
    .compute = rx_compute,
    .stop = rx_stop,
};
