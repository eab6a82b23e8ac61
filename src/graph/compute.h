// SPDX-License-Identifier: Apache-2.0
// One execution of an operator, as its worker does it. Thread: the worker that has the operator.
#ifndef NEREID_GRAPH_COMPUTE_H
#define NEREID_GRAPH_COMPUTE_H

#include "graph/plan.h"

// Fixes what the execution may receive: what arrives from now on is for the next one.
void exec_begin(struct nrd_compute *ctx);
// Begins, computes, sends what was emitted and wakes those who wait for it. An error: what was emitted is gone.
NRD_MUST_USE struct nrd_status *exec_compute(struct nrd_compute *ctx);
// Sends what was emitted. An error: a queue was full under NRD_QUEUE_FAULT.
NRD_MUST_USE struct nrd_status *exec_commit(struct nrd_compute *ctx);
void exec_drop_staged(struct nrd_compute *ctx);
// Hands control on: one signal on each flow out of the operator's control output, of which commit then uses those that were chosen.
void exec_signal(struct nrd_compute *ctx);
// Before nrd_emit(): the message answers these ones, which earlier executions may have received, for those who watch. Without it, it
// comes of what this execution received.
void compute_answer(struct nrd_compute *ctx, size_t output, struct nrd_message *const *questions,
                    uint32_t count, struct nrd_message *message);

#endif
