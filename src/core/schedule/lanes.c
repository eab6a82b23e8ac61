// SPDX-License-Identifier: Apache-2.0
// Lanes: the devices of a model, who sits in which, and which are out of service.
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/model.h"
#include "core/schedule/scheduler_private.h"

void scheduler_describe_device(TRITONSERVER_InstanceGroupKind kind, int32_t device_id, char *text,
                               size_t size)
{
    if (kind == TRITONSERVER_INSTANCEGROUPKIND_GPU) {
        snprintf(text, size, "GPU %d", (int)device_id);
    } else {
        snprintf(text, size, "%s",
                 kind == TRITONSERVER_INSTANCEGROUPKIND_CPU ? "the processor" : "the model's own");
    }
}

void lanes_describe_retired(struct scheduler *scheduler, char text[NO_DEVICE_TEXT])
{
    size_t length = (size_t)snprintf(
        text, NO_DEVICE_TEXT, "model '%.96s' has no device in service: ", scheduler->model->name);
    const char *comma = "";
    uint32_t named = 0;
    pthread_mutex_lock(&scheduler->mutex);
    for (struct route_device *at = scheduler->route.devices;
         at != NULL && length < NO_DEVICE_TEXT - 40; at = at->next) {
        const struct lane *lane = lane_of(at);
        if (lane->retired) {
            char name[24];
            scheduler_describe_device(lane->kind, lane->device_id, name, sizeof(name));
            length += (size_t)snprintf(text + length, NO_DEVICE_TEXT - length, "%s%s", comma, name);
            comma = ", ";
            named++;
        }
    }
    pthread_mutex_unlock(&scheduler->mutex);
    snprintf(text + length, NO_DEVICE_TEXT - length, " %s out of service",
             named == 1 ? "is" : "are");
}

struct lane *lanes_find(const struct scheduler *scheduler, TRITONSERVER_InstanceGroupKind kind,
                        int32_t device_id)
{
    struct route_device *at = scheduler->route.devices;
    while (at != NULL && (lane_of(at)->kind != kind || lane_of(at)->device_id != device_id)) {
        at = at->next;
    }
    return at == NULL ? NULL : lane_of(at);
}

// Decides anew what follows from who sits where. With one device there is no choice, and nothing is measured.
static void set_flags(struct scheduler *scheduler)
{
    uint32_t used = 0;
    scheduler->none_serves = scheduler->serving_seats == 0 && scheduler->retired_lanes > 0;
    for (struct route_device *at = scheduler->route.devices; at != NULL; at = at->next) {
        used += lane_of(at)->seat_count > 0 ? 1 : 0;
        at->serves = lane_of(at)->seat_count > 0 && !lane_of(at)->retired;
        LIST_FOR(node, &at->workers)
        {
            struct route_worker *worker = CONTAINER_OF(node, struct route_worker, node);
            worker->idle = seat_of(worker)->idle;
        }
    }
    scheduler->routed = used > 1;
}

struct nrd_status *scheduler_attach(struct scheduler *scheduler, struct seat *seat,
                                    TRITONSERVER_InstanceGroupKind kind, int32_t device_id)
{
    if (seat->lane != NULL) {
        return NULL; // another of its instances did so
    }
    struct lane *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return status_no_memory();
    }
    made->kind = kind;
    made->device_id = device_id;
    pthread_mutex_lock(&scheduler->mutex);
    struct lane *lane = lanes_find(scheduler, kind, device_id);
    if (lane == NULL) {
        lane = made;
        made = NULL;
        route_add(&scheduler->route, &lane->device);
    }
    seat->lane = lane;
    route_add_worker(&lane->device, &seat->worker);
    lane->seat_count++;
    scheduler->serving_seats += lane->retired ? 0 : 1;
    set_flags(scheduler);
    pthread_mutex_unlock(&scheduler->mutex);
    mem_free(made);
    return NULL;
}

void lanes_leave(struct scheduler *scheduler, struct seat *seat)
{
    struct lane *lane = seat->lane;
    if (lane == NULL) {
        return;
    }
    seat->lane = NULL;
    route_remove_worker(&seat->worker);
    lane->seat_count--;
    scheduler->serving_seats -= lane->retired ? 0 : 1;
    set_flags(scheduler);
}

void lanes_fini(struct scheduler *scheduler)
{
    while (scheduler->route.devices != NULL) {
        struct route_device *next = scheduler->route.devices->next;
        mem_free(lane_of(scheduler->route.devices));
        scheduler->route.devices = next;
    }
}

void scheduler_retire_device(struct scheduler *scheduler, TRITONSERVER_InstanceGroupKind kind,
                             int32_t device_id)
{
    struct list_node left;
    list_init(&left);
    struct seat *other = NULL;
    uint64_t now = clock_now_ns();
    pthread_mutex_lock(&scheduler->mutex);
    struct lane *lane = lanes_find(scheduler, kind, device_id);
    if (lane != NULL && !lane->retired) {
        lane->retired = true;
        scheduler->retired_lanes++;
        scheduler->serving_seats -= lane->seat_count;
        set_flags(scheduler);
        // Leaving changes the order of nothing but the idle list.
        LIST_FOR(node, &lane->device.workers)
        {
            seat_leave_idle(scheduler, seat_of(CONTAINER_OF(node, struct route_worker, node)));
        }
    }
    if (scheduler->none_serves) {
        scheduler->queue.policy->drain(scheduler->queue.queue, &left);
    } else {
        other = seat_choose(scheduler, PUSH_READY, now);
    }
    pthread_mutex_unlock(&scheduler->mutex);
    seat_wake(scheduler, other);
    if (!list_empty(&left)) {
        char text[NO_DEVICE_TEXT];
        lanes_describe_retired(scheduler, text);
        scheduler_answer(&left, NRD_UNAVAILABLE, text, FAIL_REASON_OTHER);
    }
}

void scheduler_restore_device(struct scheduler *scheduler, TRITONSERVER_InstanceGroupKind kind,
                              int32_t device_id)
{
    pthread_mutex_lock(&scheduler->mutex);
    struct lane *lane = lanes_find(scheduler, kind, device_id);
    if (lane != NULL && lane->retired) {
        lane->retired = false;
        scheduler->retired_lanes--;
        scheduler->serving_seats += lane->seat_count;
        set_flags(scheduler);
        // Each is parked, or about to ask; with the mutex held none of them goes away.
        LIST_FOR(node, &lane->device.workers)
        {
            parking_wake(&seat_of(CONTAINER_OF(node, struct route_worker, node))->parking);
        }
    }
    pthread_mutex_unlock(&scheduler->mutex);
}

// How much of the queue a lane is expected to take: by how fast its executors are.
static double weight(const struct route_device *device, uint64_t rows)
{
    uint64_t ns = route_estimate(&device->speed, rows);
    const struct lane *lane = (const struct lane *)device;
    return !device->serves ? 0 : (double)lane->seat_count / (ns == 0 ? 1 : (double)ns);
}

void scheduler_read_device(struct scheduler *scheduler, TRITONSERVER_InstanceGroupKind kind,
                           int32_t device_id, bool *in_service, uint64_t *queued)
{
    uint64_t requests;
    uint64_t rows;
    double own = 0;
    double all = 0;
    bool known = true;
    pthread_mutex_lock(&scheduler->mutex);
    const struct lane *lane = lanes_find(scheduler, kind, device_id);
    scheduler->queue.policy->size(scheduler->queue.queue, &requests, &rows);
    *in_service = lane == NULL || !lane->retired;
    for (struct route_device *at = scheduler->route.devices; at != NULL; at = at->next) {
        known = known && (!at->serves || route_estimate(&at->speed, 1) != 0);
    }
    for (struct route_device *at = scheduler->route.devices; at != NULL; at = at->next) {
        // As long as one is not measured all count the same.
        double part = known ? weight(at, scheduler->route.max_rows)
                            : (at->serves ? lane_of(at)->seat_count : 0);
        all += part;
        own += lane_of(at) == lane ? part : 0;
    }
    *queued = all > 0 ? (uint64_t)((double)requests * own / all + 0.5) : 0;
    pthread_mutex_unlock(&scheduler->mutex);
}

void scheduler_count_devices(struct scheduler *scheduler, uint32_t *all, uint32_t *in_service)
{
    *all = 0;
    *in_service = 0;
    pthread_mutex_lock(&scheduler->mutex);
    for (struct route_device *at = scheduler->route.devices; at != NULL; at = at->next) {
        *all += lane_of(at)->seat_count > 0 ? 1 : 0;
        *in_service += at->serves ? 1 : 0;
    }
    pthread_mutex_unlock(&scheduler->mutex);
}
