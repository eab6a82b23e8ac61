// SPDX-License-Identifier: Apache-2.0
// Routing: the scheduler's use of route.h, and the batches in flight that it learns from.
//
// A batch is in flight from the take until the last of its requests is released, whoever does that and when: a backend may
// return from Execute before. One that goes out with an event is in flight until that is reached (core/departed.h). So the time of each batch is that of its device, also where an executor has several in flight.
// Models on one device come here only if their backend stages batches (nereid_instance_stage).
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/model.h"
#include "core/response.h"
#include "core/schedule/scheduler_private.h"

// So many requests are left to the devices where their data lie; the next one is taken wherever its data are.
#define LEAVE_MAX 16u

// ---- who takes what -----------------------------------------------------------------------------

// How many rows are queued; tells the route about the first request where it matters. `*first` may stay NULL.
static uint64_t look_at_queue(struct scheduler *scheduler, const struct request **first)
{
    const struct policy_queue *queue = &scheduler->queue;
    struct route *route = &scheduler->route;
    uint64_t requests;
    uint64_t rows;
    queue->policy->size(queue->queue, &requests, &rows);
    *first = NULL;
    if ((queue->policy->alone || scheduler->any_homes) && rows > 0) {
        *first = queue->policy->front(queue->queue, &(struct pick){0});
    }
    route->home = *first == NULL || (*first)->home == NULL ? NULL : &(*first)->home->device;
    route->home_bytes = *first == NULL ? 0 : (*first)->home_bytes;
    route->unit = *first == NULL || !queue->policy->alone ? 1 : (*first)->batch_size;
    return rows;
}

// Notes the device of the model's that most of the data lie on.
static void find_home(const struct scheduler *scheduler, struct request *request)
{
    request->home = NULL;
    request->home_bytes = 0;
    for (struct route_device *at = scheduler->route.devices; at != NULL; at = at->next) {
        struct lane *lane = lane_of(at);
        uint64_t bytes = 0;
        for (uint32_t i = 0; i < request->input_count; i++) {
            const struct request_data *data = &request->inputs[i].data;
            for (uint32_t k = 0; k < data->count; k++) {
                const struct buffer_attributes *is = &data->buffers[k].attributes;
                bool here = is->memory_type == TRITONSERVER_MEMORY_GPU &&
                            lane->kind == TRITONSERVER_INSTANCEGROUPKIND_GPU &&
                            is->memory_type_id == lane->device_id;
                bytes += here ? is->byte_size : 0;
            }
        }
        if (bytes > request->home_bytes) {
            request->home = lane;
            request->home_bytes = bytes;
        }
    }
}

void routing_note(struct scheduler *scheduler, struct request *request)
{
    uint64_t rows =
        request->batch_size == 0 || scheduler->queue.policy->alone ? 1 : request->batch_size;
    route_arrive(&scheduler->route, rows, request->queue_ns);
    find_home(scheduler, request);
    scheduler->any_homes = scheduler->any_homes || request->home != NULL;
}

// One who asks for a batch.
struct asking {
    struct scheduler *scheduler;
    const struct route_worker *worker;
    const struct route_choice *choice;
    const struct request
        *first; // in the queue: for it the choice was made, so it is not left to another one
    uint64_t now_ns;
    uint32_t left; // to where their data lie
    bool takes;    // else it only wants to know
};

// A request that is passed has its place in the order of answers before those behind it.
static void keep_order(const struct asking *asking, const struct request *request)
{
    if (asking->takes && asking->scheduler->ordered && request->factory->ordering == NULL) {
        ordering_enter(&asking->scheduler->ordering, request->factory);
    }
}

static bool pass(void *arg, const struct request *request, bool skipped)
{
    struct asking *asking = arg;
    if (!skipped) {
        struct route_device *home = request->home == NULL ? NULL : &request->home->device;
        uint32_t rows = request->batch_size == 0 || asking->scheduler->queue.policy->alone
                            ? 1
                            : request->batch_size;
        if (request == asking->first || asking->left == LEAVE_MAX ||
            !route_leaves(&asking->scheduler->route, asking->worker, asking->choice, home,
                          request->home_bytes, rows, asking->now_ns)) {
            return false;
        }
        asking->left++;
    }
    keep_order(asking, request);
    return true;
}

static struct pick pick_of(struct asking *asking)
{
    const struct scheduler *scheduler = asking->scheduler;
    bool asks = scheduler->any_homes || (scheduler->ordered && asking->takes);
    return (struct pick){.skip_rows = asking->choice->skip_rows,
                         .max_rows = asking->choice->max_rows,
                         .pass = asks ? pass : NULL,
                         .arg = asking};
}

static bool finds(void *arg, const struct route_worker *worker, struct route_choice *choice)
{
    const struct asking *what = arg;
    struct asking asking = {
        .scheduler = what->scheduler, .worker = worker, .choice = choice, .now_ns = what->now_ns};
    const struct policy_queue *queue = &what->scheduler->queue;
    struct pick pick = pick_of(&asking);
    if (queue->policy->front(queue->queue, &pick) == NULL) {
        choice->again_ns = choice->finish_ns;
        return false;
    }
    return true;
}

struct seat *routing_pick(struct scheduler *scheduler, uint64_t now_ns, uint64_t *again_ns)
{
    *again_ns = 0;
    const struct request *first;
    uint64_t rows = look_at_queue(scheduler, &first);
    if (rows == 0) {
        return NULL;
    }
    struct asking what = {.scheduler = scheduler, .first = first, .now_ns = now_ns};
    struct route_worker *worker = route_pick(&scheduler->route, rows, now_ns,
                                             scheduler->any_homes ? finds : NULL, &what, again_ns);
    return worker == NULL ? NULL : seat_of(worker);
}

uint32_t routing_take(struct scheduler *scheduler, struct seat *seat, uint64_t now_ns,
                      struct request **batch, struct dropped *dropped, uint64_t *deadline_ns,
                      bool *declined)
{
    const struct policy_queue *queue = &scheduler->queue;
    const struct request *first;
    uint64_t rows = look_at_queue(scheduler, &first);
    *deadline_ns = 0;
    if (rows == 0) {
        return 0;
    }
    struct route_choice choice;
    route_decide(&scheduler->route, &seat->worker, rows, now_ns, &choice);
    if (!choice.take) {
        *declined = true;
        *deadline_ns = choice.again_ns;
        return 0;
    }
    struct asking asking = {.scheduler = scheduler,
                            .worker = &seat->worker,
                            .choice = &choice,
                            .first = first,
                            .now_ns = now_ns,
                            .takes = true};
    struct pick pick = pick_of(&asking);
    uint32_t count = queue->policy->take(queue->queue, now_ns, batch, dropped, deadline_ns, &pick);
    if (count == 0 && *deadline_ns == 0 && asking.left > 0) {
        *declined = true;
        *deadline_ns = choice.finish_ns;
    }
    return count;
}

// ---- batches in flight --------------------------------------------------------------------------

void routing_depart(struct scheduler *scheduler, struct seat *seat, struct request *const *batch,
                    uint32_t count, uint64_t now_ns)
{
    struct flight *flight = scheduler->free_flights;
    if (flight != NULL) {
        scheduler->free_flights = flight->next;
    } else {
        flight = mem_calloc(1, sizeof(*flight));
        if (flight == NULL) {
            return;
        }
    }
    uint64_t rows = 0;
    for (uint32_t i = 0; i < count; i++) {
        rows += batch[i]->batch_size == 0 ? 1 : batch[i]->batch_size;
        batch[i]->flight = flight;
    }
    flight->seat = seat;
    flight->charge = seat->charge;
    flight->began_ns = now_ns;
    flight->rows = rows;
    flight->expected_ns = route_begin(&seat->worker, rows, now_ns);
    // Relaxed: the requests carry it to other threads.
    atomic_store_explicit(&flight->open, count, memory_order_relaxed);
    atomic_store_explicit(&flight->failed, false, memory_order_relaxed);
    if (flight->charge != NULL) {
        atomic_fetch_add_explicit(flight->charge, 1, memory_order_relaxed);
    }
}

void scheduler_note_failure(struct request *request)
{
    if (request->flight != NULL) {
        atomic_store_explicit(&request->flight->failed, true, memory_order_relaxed);
    }
}

// One less that keeps the batch in flight.
static void leave(struct scheduler *scheduler, struct flight *flight)
{
    // Acquire and release: the last one sees what the others noted.
    if (atomic_fetch_sub_explicit(&flight->open, 1, memory_order_acq_rel) != 1) {
        return;
    }
    struct seat *seat = flight->seat;
    struct seat *leaving = NULL;
    uint64_t now = clock_now_ns();
    pthread_mutex_lock(&scheduler->mutex);
    route_end(&scheduler->route, &seat->worker, flight->rows, flight->began_ns, flight->expected_ns,
              now, atomic_load_explicit(&flight->failed, memory_order_relaxed));
    if (flight->charge != NULL) {
        atomic_fetch_sub_explicit(flight->charge, 1, memory_order_relaxed);
    }
    flight->next = scheduler->free_flights;
    scheduler->free_flights = flight;
    if (seat->leaving) {
        seat_will_wake(scheduler);
        leaving = seat;
    } else if (seat->full && !seat->lane->retired) {
        uint64_t no_deadline = 0;
        seat->full = false;
        seat_become_idle(scheduler, seat, &no_deadline);
    }
    struct seat *next = seat_choose(scheduler, PUSH_READY, now);
    pthread_mutex_unlock(&scheduler->mutex);
    seat_wake(scheduler, leaving);
    seat_wake(scheduler, next);
}

void scheduler_land(struct request *request)
{
    struct flight *flight = request->flight;
    request->flight = NULL;
    leave(request->model->scheduler, flight);
}

struct flight *scheduler_hold_flight(struct request *request)
{
    if (request->flight != NULL) {
        // Relaxed: the request itself keeps it in flight meanwhile.
        atomic_fetch_add_explicit(&request->flight->open, 1, memory_order_relaxed);
    }
    return request->flight;
}

void scheduler_land_flight(struct scheduler *scheduler, struct flight *flight, bool failed)
{
    if (failed) {
        atomic_store_explicit(&flight->failed, true, memory_order_relaxed);
    }
    leave(scheduler, flight);
}

void routing_fini(struct scheduler *scheduler)
{
    while (scheduler->free_flights != NULL) {
        struct flight *next = scheduler->free_flights->next;
        mem_free(scheduler->free_flights);
        scheduler->free_flights = next;
    }
}
