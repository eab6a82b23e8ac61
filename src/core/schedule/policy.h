// SPDX-License-Identifier: Apache-2.0
// Policy: what differs between schedulers, as one table. A policy is a queue without threads or locks: the scheduler calls it
// with its mutex held and tells it the time, so that tests can.
#ifndef NEREID_CORE_SCHEDULE_POLICY_H
#define NEREID_CORE_SCHEDULE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/status.h"

struct model;
struct request;

// What a take removed without executing it: lists of request.queue_node.
struct dropped {
    struct list_node rejected;  // timed out
    struct list_node cancelled; // by the client
};

// Which batch a take is for, where it is not for the first.
struct pick {
    uint32_t skip_rows; // left where they are, at the front
    uint32_t max_rows;  // of the batch
    // May be NULL. Told of each request that is skipped, and asked whether also the next one, which would begin the batch, is to be
    // left where it is.
    bool (*pass)(void *arg, const struct request *request, bool skipped);
    void *arg;
};
// Whether a batch does not begin with `request`. `*skipped_rows` is 0 to begin with.
static inline bool pick_passes(const struct pick *pick, const struct request *request,
                               uint32_t rows, uint64_t *skipped_rows)
{
    bool skipped = *skipped_rows < pick->skip_rows;
    *skipped_rows += skipped ? rows : 0;
    bool left = pick->pass != NULL && pick->pass(pick->arg, request, skipped);
    return skipped || left;
}

// What the request just pushed means for idle executors.
enum push_effect {
    PUSH_READY, // a batch may be taken now
    PUSH_WAIT,  // one of them has to watch the clock, if none does
};

struct policy {
    void (*destroy)(void *queue);
    // NRD_OK, or NRD_UNAVAILABLE when the queue is full. Owns the request while it is queued.
    enum nrd_code (*push)(void *queue, struct request *request, uint64_t now_ns,
                          enum push_effect *effect);
    // Takes back a request that take() gave out, to where its arrival puts it; its timeout is as it was, and no queue is too full for
    // it. False: memory is out, and the request is still the caller's.
    bool (*give_back)(void *queue, struct request *request);
    // The next batch, or 0; then `*deadline_ns` is when to ask again (0: after the next push). `pick` NULL: the first.
    uint32_t (*take)(void *queue, uint64_t now_ns, struct request **batch, struct dropped *dropped,
                     uint64_t *deadline_ns, const struct pick *pick);
    // The request that take() would begin a batch with, were it to give one; NULL: none. Changes nothing.
    const struct request *(*front)(const void *queue, const struct pick *pick);
    // Drops what has timed out or was cancelled, when no executor comes by to do so. NULL: there is no such thing.
    void (*expire)(void *queue, uint64_t now_ns, struct dropped *dropped);
    // Moves all that is queued to the end of `out`.
    void (*drain)(void *queue, struct list_node *out);
    // Requests, and rows, that are queued.
    void (*size)(const void *queue, uint64_t *requests, uint64_t *rows);
    bool timed; // take wants to know the time
    bool alone; // one request an Execute: rows are requests
};

// Where in `list`, which is in order of arrival, one that arrived at `queue_ns` goes: before the node returned.
struct list_node *request_after(struct list_node *list, uint64_t queue_ns);

// A queue and its table.
struct policy_queue {
    const struct policy *policy;
    void *queue;
    uint32_t max_batch; // requests that one take may return
    uint32_t max_rows;  // rows of one batch
    uint64_t priority_levels;
    uint64_t default_priority;
    bool preserve_ordering;
    uint64_t watch_ns; // how often to call expire while requests are queued; 0: never
};

// Each makes the queue that the configuration of `model` asks for.
NRD_MUST_USE struct nrd_status *direct_create(const struct model *model, struct policy_queue *out);
NRD_MUST_USE struct nrd_status *dynamic_create(const struct model *model, struct policy_queue *out);

#endif
