// SPDX-License-Identifier: Apache-2.0
// Batcher: the dynamic batcher's policy, without threads, locks or a clock of its own.
//
// Requests wait in queues by priority level (lower is more urgent). batcher_take() looks at them in order at the moment when
// an executor is free, applies timeouts and cancellations to those it meets, and cuts the batch
//   - before one that would exceed max_batch_size, differs in a shape that must be equal, or in its set of inputs,
//   - at the largest preferred size on the way, if the oldest has not waited for the maximum delay.
// A batch that fits no preferred size waits until the delay is over. Start at batcher_take().
#ifndef NEREID_CORE_SCHEDULE_BATCHER_H
#define NEREID_CORE_SCHEDULE_BATCHER_H

#include "core/request.h"
#include "core/schedule/policy.h"

struct queue_policy {
    bool delay_on_timeout; // timeout_action DELAY, else REJECT
    bool allow_override;
    uint64_t default_timeout_us; // 0: none
    uint64_t max_queue_size;     // 0: no limit
};

// Bits of what must be equal, by input index of the model.
enum equal_need { EQUAL_NEED_NONE = 0, EQUAL_NEED_SHAPE = 1, EQUAL_NEED_CONTENT = 2 };

struct batcher_level {
    uint64_t level;
    struct queue_policy policy;
    struct list_node fresh;   // in order of arrival
    struct list_node delayed; // their timeout is over: after the fresh ones
    uint64_t count;           // both
    bool kept;                // configured; others go when they are empty and room is short
};

struct batcher {
    uint32_t max_batch_size; // rows, at least 1
    uint64_t delay_ns;
    uint32_t *preferred; // ascending, at least one
    uint32_t preferred_count;
    uint8_t *needs; // enum equal_need of each input
    uint32_t input_count;
    bool check_shapes;         // some input needs something
    bool optional;             // the model has optional inputs: batches do not mix sets
    uint64_t least_timeout_us; // of the policies that reject; 0: none does

    uint64_t priority_levels;
    struct queue_policy default_policy;
    struct batcher_level *levels; // ascending; made when first used
    uint32_t level_count;
    uint32_t level_cap;

    uint64_t request_count;
    uint64_t row_count;
};

// Why a batch ended where it did, for tests and statistics.
enum cut_reason { CUT_NONE, CUT_FULL, CUT_SHAPE, CUT_PREFERRED, CUT_DELAY, CUT_QUEUE_EMPTY };

// `batcher` is zeroed but for its configuration (max_batch_size .. least_timeout_us, priorities); it takes the arrays.
void batcher_fini(struct batcher *batcher);
// Adds a level with a policy of its own. Only before the first push.
NRD_MUST_USE struct nrd_status *batcher_add_level(struct batcher *batcher, uint64_t level,
                                                  const struct queue_policy *policy);
// NRD_UNAVAILABLE when its level is full or memory is out.
enum nrd_code batcher_push(struct batcher *batcher, struct request *request, uint64_t now_ns,
                           enum push_effect *effect);
// Takes a request of an earlier batch back, to where its arrival puts it. False when memory is out.
bool batcher_give_back(struct batcher *batcher, struct request *request);
// The next batch (room for max_batch_size requests), or 0 and when to ask again. `pick` NULL: the first.
uint32_t batcher_take(struct batcher *batcher, uint64_t now_ns, struct request **batch,
                      struct dropped *dropped, uint64_t *deadline_ns, enum cut_reason *reason,
                      const struct pick *pick);
// What the batch of `pick` would begin with; NULL: there is nothing. Changes nothing.
const struct request *batcher_front(const struct batcher *batcher, const struct pick *pick);
// Drops the requests that have timed out where the policy is to reject them, and those cancelled among them.
void batcher_expire(struct batcher *batcher, uint64_t now_ns, struct dropped *dropped);
// Moves all requests to the end of `out`, the urgent first.
void batcher_drain(struct batcher *batcher, struct list_node *out);
// Whether `request` may be in one batch with `first`.
bool batcher_same_batch(const struct batcher *batcher, const struct request *first,
                        const struct request *request);

#endif
