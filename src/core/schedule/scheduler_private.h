// SPDX-License-Identifier: Apache-2.0
// Scheduler, inside: what its files share. scheduler.c has the queue and the wakes, lanes.c the devices, routing.c who takes what
// and the batches in flight, pools.c the objects that are kept for the next request.
#ifndef NEREID_CORE_SCHEDULE_SCHEDULER_PRIVATE_H
#define NEREID_CORE_SCHEDULE_SCHEDULER_PRIVATE_H

#include <pthread.h>

#include "core/request.h"
#include "core/schedule/ordering.h"
#include "core/schedule/policy.h"
#include "core/schedule/route.h"
#include "core/schedule/scheduler.h"

struct pool {
    pthread_mutex_t mutex;
    struct request *requests;
    struct response *responses;
    struct response_factory *factories;
    unsigned request_count;
    unsigned response_count;
    unsigned factory_count;
    size_t request_block; // first block of a request's arena
    size_t response_block;
};

// A device, and the executors that drive it: they are the workers of `device`.
struct lane {
    struct route_device device; // first
    TRITONSERVER_InstanceGroupKind kind;
    int32_t device_id;
    uint32_t seat_count;
    bool retired;
};

// A batch that an executor has, until the last of its requests is released.
struct flight {
    struct flight *next; // among those free
    struct seat *seat;
    _Atomic uint32_t *charge; // what its instance counts its batches by; NULL: does not
    uint64_t began_ns;
    uint64_t expected_ns;
    uint64_t rows;
    _Atomic uint32_t open;
    _Atomic bool failed;
};

struct scheduler {
    struct model *model;
    struct policy_queue queue;
    const char **all_outputs;
    struct ordering ordering;
    bool ordered;

    pthread_mutex_t mutex;
    struct list_node idle; // seats, the last one to become idle first: its cache is warm
    uint64_t waking;
    struct seat *timer; // the idle one that is parked with the earliest deadline
    uint64_t timer_ns;
    uint64_t hold_back; // TRITONSERVER_DELAY_SCHEDULER: nothing is taken before so many are queued
    bool stopped;
    struct route route;     // its devices are the lanes: those that ever had an executor
    bool routed;            // executors sit in more than one lane
    bool any_homes;         // a request had its data on one of the lanes' devices
    uint32_t serving_seats; // of lanes in service
    uint32_t retired_lanes;
    bool none_serves; // nothing can be executed; not meant: a model that has no executors yet
    struct flight *free_flights;
    _Atomic uint32_t wakers;

    // Answers what times out while all executors are busy; only for models whose policy rejects.
    struct thread watcher;
    struct parking watcher_parking;
    _Atomic bool watcher_stop;

    struct pool pool __attribute__((aligned(64)));
};

static inline struct lane *lane_of(struct route_device *device)
{
    return (struct lane *)device;
}
static inline struct seat *seat_of(struct route_worker *worker)
{
    return CONTAINER_OF(worker, struct seat, worker);
}

// ---- scheduler.c: with the mutex held, but for seat_wake -----------------------------------------------------------

// The seat is to park: it may be woken from now on. `*deadline_ns` (0: none) becomes 0 where another one watches the clock.
void seat_become_idle(struct scheduler *scheduler, struct seat *seat, uint64_t *deadline_ns);
void seat_leave_idle(struct scheduler *scheduler, struct seat *seat);
// Chooses whom to wake for what is queued; the caller wakes it after it has let go of the mutex. NULL: nobody. `now_ns` matters only
// where the scheduler is routed.
struct seat *seat_choose(struct scheduler *scheduler, enum push_effect effect, uint64_t now_ns);
// Counts `seat` as one that is being woken by this thread.
void seat_will_wake(struct scheduler *scheduler);
// Wakes what was chosen; NULL is fine. Thread: any, without the mutex.
void seat_wake(struct scheduler *scheduler, struct seat *seat);
// Answers all of `list` with an error and releases it. Without the mutex.
void scheduler_answer(struct list_node *list, enum nrd_code code, const char *text,
                      enum fail_reason reason);

// ---- lanes.c -------------------------------------------------------------------------------------------------------

enum { NO_DEVICE_TEXT = 256 };
// Names the devices that are out of service. Without the mutex.
void lanes_describe_retired(struct scheduler *scheduler, char text[NO_DEVICE_TEXT]);
struct lane *lanes_find(const struct scheduler *scheduler, TRITONSERVER_InstanceGroupKind kind,
                        int32_t device_id);
// The seat leaves its lane.
void lanes_leave(struct scheduler *scheduler, struct seat *seat);
void lanes_fini(struct scheduler *scheduler);

// ---- routing.c: with the mutex held --------------------------------------------------------------------------------

// A request was queued: notes where its data lie, and that it came.
void routing_note(struct scheduler *scheduler, struct request *request);
// Which idle seat takes some of what is queued; NULL: none, `*again_ns` is when to ask again (0: when something happens).
struct seat *routing_pick(struct scheduler *scheduler, uint64_t now_ns, uint64_t *again_ns);
// Takes a batch for `seat` if it is the one to. 0: `*declined` if it is for others, else as policy.take says.
uint32_t routing_take(struct scheduler *scheduler, struct seat *seat, uint64_t now_ns,
                      struct request **batch, struct dropped *dropped, uint64_t *deadline_ns,
                      bool *declined);
// The batch is in flight until it has landed. Without memory for that it is not counted.
void routing_depart(struct scheduler *scheduler, struct seat *seat, struct request *const *batch,
                    uint32_t count, uint64_t now_ns);
void routing_fini(struct scheduler *scheduler);

// ---- pools.c -------------------------------------------------------------------------------------------------------

void pool_init(struct pool *pool, size_t request_block, size_t response_block);
void pool_fini(struct pool *pool);

#endif
