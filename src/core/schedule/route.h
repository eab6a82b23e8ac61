// SPDX-License-Identifier: Apache-2.0
// Route: which of a model's devices is to execute what is queued, and when. Without threads, locks or a clock of its own.
//
// The queue is common and nothing in it is promised to a device, so there is nothing to steal back. Whenever a worker (an
// executor) could begin a batch, route_decide() sets beside the moment at which this worker would finish it what all
// other workers would have finished by then, taking from the front of the queue batch after batch. So many rows are theirs: the
// worker takes what lies behind them, or nothing. That is the assignment by expected finish of per-device queues,
// computed anew from what is so at every decision. Start at route_decide(); docs/decisions/0020 says why.
#ifndef NEREID_CORE_SCHEDULE_ROUTE_H
#define NEREID_CORE_SCHEDULE_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

// Sizes of batches are told apart by powers of two; larger ones count as the largest.
enum { ROUTE_SIZES = 16 };
// No worker looks for its batch farther from the front of the queue.
enum { ROUTE_SKIP_MAX = 4096 };

// How long one device takes for a batch, as measured.
struct route_speed {
    uint64_t ns[ROUTE_SIZES];
    uint64_t at_ns[ROUTE_SIZES]; // route.work_ns when it was last measured
    uint8_t samples[ROUTE_SIZES];
    uint8_t tries; // batches measured, of all sizes, as far as they matter
};

// One executor.
struct route_worker {
    struct list_node node; // of its device; those that became idle last come first
    struct route_device *device;
    bool idle;          // parked, and to be woken for work
    uint64_t until_ns;  // when it is expected to be done with what it has
    uint64_t load_ns;   // the sum of what its batches are expected to take
    uint64_t landed_ns; // end of its last batch
    uint32_t flights;   // batches that it has
};

struct route_device {
    struct route_device *next;
    struct list_node workers;
    struct route_speed speed;
    uint32_t flights;
    bool serves;
    uint64_t left_rows; // of one decision: what is left to it
};

// All zero but for max_rows to begin with; unit, home and home_bytes are what is so when a decision is asked for.
struct route {
    struct route_device *devices;
    uint64_t work_ns;  // measured on all devices together: by this estimates age
    uint32_t max_rows; // of a batch
    uint32_t unit;     // what is queued is counted in so many rows; 0: one
    const struct route_device
        *home;             // where the data of the first request lie; NULL: on none of them
    uint64_t home_bytes;   // how many
    double rows_per_ns;    // how fast requests come
    uint64_t counted_rows; // since counted_ns
    uint64_t counted_ns;
};

struct route_choice {
    bool take;
    uint32_t skip_rows; // that are left to others
    uint32_t max_rows;  // of the batch
    uint64_t start_ns;
    uint64_t finish_ns;
    uint64_t copy_ns;  // of that, for bringing the data of the first request
    uint64_t again_ns; // !take: when to decide again if nothing happens; 0: when something does
};

void route_add(struct route *route, struct route_device *device);
void route_add_worker(struct route_device *device, struct route_worker *worker);
void route_remove_worker(struct route_worker *worker);
void route_set_idle(struct route_worker *worker, bool idle);

// So many rows have come.
void route_arrive(struct route *route, uint64_t rows, uint64_t now_ns);
// What `worker`, which could begin a batch, is to do while `rows` (at least 1) are queued.
void route_decide(struct route *route, const struct route_worker *worker, uint64_t rows,
                  uint64_t now_ns, struct route_choice *choice);
// Which idle worker is to be woken for the `rows` that are queued: of those that would take some the one that finishes first.
// NULL: none; then `*again_ns` is when to ask again if nothing else happens (0: when something does). `finds`, where not
// NULL, is asked whether the queue has a request for a worker that would take one, and may put off choice->finish_ns.
typedef bool (*route_finds_fn)(void *arg, const struct route_worker *worker,
                               struct route_choice *choice);
struct route_worker *route_pick(struct route *route, uint64_t rows, uint64_t now_ns,
                                route_finds_fn finds, void *arg, uint64_t *again_ns);
// After route_decide() said to take: whether a batch is rather not begun with a request of `rows`, not the first one queued, whose
// data, `bytes` long, lie on the device `home` (NULL: none of these), because `home` finishes it sooner. Counts it as left to it.
bool route_leaves(const struct route *route, const struct route_worker *worker,
                  const struct route_choice *choice, struct route_device *home, uint64_t bytes,
                  uint32_t rows, uint64_t now_ns);
// What it is expected to cost to bring so many bytes from one device to another.
uint64_t route_copy_ns(uint64_t bytes);

// `worker` begins a batch. Returns what to give to route_end().
uint64_t route_begin(struct route_worker *worker, uint64_t rows, uint64_t now_ns);
// It has ended: `began_ns` and `expected_ns` are of its begin. What has failed says nothing of the device's speed.
void route_end(struct route *route, struct route_worker *worker, uint64_t rows, uint64_t began_ns,
               uint64_t expected_ns, uint64_t now_ns, bool failed);

// How long a batch is expected to take; 0: nothing is known.
uint64_t route_estimate(const struct route_speed *speed, uint64_t rows);

#endif
