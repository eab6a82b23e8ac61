// SPDX-License-Identifier: Apache-2.0
// Watchers: who looks on while a graph runs. Called on the operator's thread, in the order of app.watchers; must not block.
#ifndef NEREID_GRAPH_WATCH_H
#define NEREID_GRAPH_WATCH_H

#include "graph/plan.h"

// Any member may be NULL.
struct watcher_class {
    bool
        marks; // `emitted` writes to messages: one that others hold too is copied first (its head, not its tensors)
    bool hop_times; // `received` and `emitted` want the time: a look at the clock for each
    // Before the first operator starts; the plan is fixed until `end`. An error keeps the run from beginning.
    struct nrd_status *(*begin)(void *self, struct plan *plan);
    // Around each compute; who wants the time asks nrd_compute_now().
    void (*began)(void *self, struct nrd_compute *ctx);
    // `again`: it was received before, as a latest-value flow does. The queue's number among the operator's is flow - ctx->flows.
    void (*received)(void *self, struct nrd_compute *ctx, const struct plan_flow *flow,
                     const struct nrd_message *message, bool again, int64_t now);
    void (*emitted)(void *self, struct nrd_compute *ctx, uint32_t output,
                    struct nrd_message *message, int64_t now);
    // `message`, which goes out on `output`, answers these messages, which earlier executions may have received.
    void (*answered)(void *self, struct nrd_compute *ctx, uint32_t output,
                     struct nrd_message *const *questions, uint32_t count,
                     struct nrd_message *message);
    void (*ended)(void *self, struct nrd_compute *ctx); // also of a compute that failed
    // After the last operator stopped. An error is the run's, if it had none.
    struct nrd_status *(*end)(void *self, struct plan *plan);
    void (*destroy)(void *self); // with the application
};

#endif
