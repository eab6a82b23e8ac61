// SPDX-License-Identifier: Apache-2.0
// Scheduler: a model's queue, and the policy by which executors take from it.
//
// There is no batcher thread. infer_async() puts a request into the queue under the queue's mutex and wakes at most one idle
// executor; an executor that becomes free takes a batch, made at that moment from what is queued then. A batch that is
// worth waiting for is waited for by one idle executor, parked with a deadline. Only a model whose queue policy rejects by
// timeout has one more thread, which answers what times out while all executors are busy.
//
//   direct:  first in, first out, one request an Execute           (no dynamic_batching in the configuration)
//   dynamic: priorities, queue policies, preferred sizes, delay     (schedule/batcher.h holds the policy, without threads)
//
// Executors sit in *lanes*, one for each device that the model has instances on. A lane can be taken out of service
// (scheduler_retire_device): the queue is common, so what waits is then for the others.
//
// Also here: the model's pools of requests, responses and factories. Start at scheduler_create().
#ifndef NEREID_CORE_SCHEDULE_SCHEDULER_H
#define NEREID_CORE_SCHEDULE_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/status.h"
#include "base/thread.h"
#include "core/schedule/route.h"
#include "triton/core/tritonserver.h"

struct lane;
struct model;
struct request;
struct response;
struct response_factory;
struct scheduler;

// Makes the scheduler that the model's configuration asks for; before any instance. Errors: UNSUPPORTED, naming what is not
// built (sequence_batching, ensemble_scheduling, TRITON_BATCH_STRATEGY_PATH). Thread: loader.
NRD_MUST_USE struct nrd_status *scheduler_create(struct model *model, struct scheduler **scheduler);
// Refuses new requests from now on: UNAVAILABLE "Server is stopping, scheduler for model has stopped accepting new
// inference requests". What is queued is still executed. Thread: any.
void scheduler_stop(struct scheduler *scheduler);
// After all instances are destroyed and all requests, responses and factories are gone. NULL is fine.
void scheduler_destroy(struct scheduler *scheduler);

// Queues the request of this model; on success the scheduler owns it. Errors: stopped (above); UNAVAILABLE "Exceeds
// maximum queue size", counted as REJECTED. Thread: any; the mutex is held for a few instructions.
NRD_MUST_USE struct nrd_status *scheduler_enqueue(struct model *model, struct request *request);
// Takes a request back that an executor took and that nobody has answered, to where its arrival puts it; also while the scheduler
// is stopped. False when no device is in service (or memory is out): it is still the caller's. Thread: any.
bool scheduler_give_back(struct scheduler *scheduler, struct request *request);
// How many are queued and not yet executing. Thread: any.
uint64_t scheduler_pending(struct scheduler *scheduler);
// The number of priority levels and the level of a request that asks for none (both 0 without priorities).
uint64_t scheduler_priority_levels(const struct scheduler *scheduler);
uint64_t scheduler_default_priority(const struct scheduler *scheduler);

// ---- devices ------------------------------------------------------------------------------------------------------

// Takes a device out of service: its executors take no more batches, and what is queued goes to the model's other devices.
// What they are executing they finish, or fail. Where no device is left, everything that is queued, and every request from
// then on, is answered UNAVAILABLE "model 'm' has no device in service: GPU 0 is out of service". A device that the
// model has no executor on is left alone, so a caller may tell every model. Twice is once. Thread: any; may answer
// requests, so no lock that a response callback takes may be held.
void scheduler_retire_device(struct scheduler *scheduler, TRITONSERVER_InstanceGroupKind kind,
                             int32_t device_id);
// Takes it into service again. Thread: any.
void scheduler_restore_device(struct scheduler *scheduler, TRITONSERVER_InstanceGroupKind kind,
                              int32_t device_id);
// "GPU 0", "the processor", "the model's own".
void scheduler_describe_device(TRITONSERVER_InstanceGroupKind kind, int32_t device_id, char *text,
                               size_t size);
// Whether a device is in service (true where the model has no executor on it), and how many of the queued requests it
// is expected to take. Thread: any.
void scheduler_read_device(struct scheduler *scheduler, TRITONSERVER_InstanceGroupKind kind,
                           int32_t device_id, bool *in_service, uint64_t *queued);
// How many devices the model has executors on, and how many of them are in service. Thread: any.
void scheduler_count_devices(struct scheduler *scheduler, uint32_t *all, uint32_t *in_service);

// The names of all the model's outputs, sorted: what a request that names none asks for. Borrowed.
const char *const *scheduler_all_outputs(const struct scheduler *scheduler);

// ---- for executors ------------------------------------------------------------------------------------------------

// An executor's place at the scheduler; embedded in the executor.
struct seat {
    struct parking parking;
    struct list_node idle_node;
    struct route_worker worker;
    struct lane *lane; // NULL: takes nothing
    uint32_t limit; // batches that it may have at once; 0: as many as it asks for. The executor's
    _Atomic uint32_t *
        charge; // counts the batches of the instance that is to have the next one; NULL: nobody does. The executor's
    bool idle;  // among those that may be woken
    bool waking;  // was woken, and has not asked since
    bool full;    // asked for more than it may have: idle as soon as one has landed
    bool leaving; // waits for its last batch
};
void seat_init(struct seat *seat);
// From now on the executor may take batches, for that device. Thread: the executor.
NRD_MUST_USE struct nrd_status *scheduler_attach(struct scheduler *scheduler, struct seat *seat,
                                                 TRITONSERVER_InstanceGroupKind kind,
                                                 int32_t device_id);
// The executor will take no more; waits for the batches that it has. On return nobody touches its seat any more. Thread: the executor.
void scheduler_detach(struct scheduler *scheduler, struct seat *seat);
// The most requests that scheduler_take() may return.
uint32_t scheduler_max_batch(const struct scheduler *scheduler);
// Takes the next batch into `batch` (room for scheduler_max_batch()), and answers what the queue policy drops on the way.
// 0: none now; the executor is to park until it is woken or `*deadline_ns` (0: no deadline).
// Thread: the executor.
uint32_t scheduler_take(struct scheduler *scheduler, struct seat *seat, struct request **batch,
                        uint64_t *deadline_ns);

// A request of a batch in flight (request.flight) is done with: with the last of them the batch has landed, its time is measured,
// and its executor may have another. Thread: any.
void scheduler_land(struct request *request);
// The batch that `request` is of stays in flight when its requests are released, until scheduler_land_flight(); `failed`: its time says
// nothing. NULL: it is not counted. Thread: any, while the request is not released.
struct flight;
struct flight *scheduler_hold_flight(struct request *request);
void scheduler_land_flight(struct scheduler *scheduler, struct flight *flight,
                           bool failed); // Thread: any
// The batch that `request` is of failed: its time says nothing. Thread: any.
void scheduler_note_failure(struct request *request);

// ---- pools --------------------------------------------------------------------------------------------------------

// Each hands out an object with the room it had before, or a zeroed one; NULL when memory is out. Thread: any.
struct request *scheduler_get_request(struct scheduler *scheduler);
void scheduler_put_request(struct scheduler *scheduler, struct request *request);
struct response *scheduler_get_response(struct scheduler *scheduler);
void scheduler_put_response(struct scheduler *scheduler, struct response *response);
struct response_factory *scheduler_get_factory(struct scheduler *scheduler);
void scheduler_put_factory(struct scheduler *scheduler, struct response_factory *factory);

#endif
