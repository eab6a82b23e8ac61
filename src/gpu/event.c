// SPDX-License-Identifier: Apache-2.0
// Events. Idle ones are linked in their device, at most EVENTS_IDLE_MAX of them. An idle event may still be on its way: the
// driver lets it be recorded again, and waits that were queued before keep the old point.
#include "gpu/event.h"

#include "base/mem.h"
#include "gpu/device_private.h"
#include "gpu/wait_private.h"

enum { EVENTS_IDLE_MAX = 1024 };

struct gpu_event {
    struct gpu_device *device;
    struct cu_event *handle;
    struct gpu_event *next; // while idle
    _Atomic uint32_t references;
    bool timed;
};

static struct nrd_status *event_create(struct gpu_device *device, bool timed,
                                       struct gpu_event **event)
{
    struct gpu_event *e = mem_calloc(1, sizeof(*e));
    if (e == NULL) {
        return status_no_memory();
    }
    struct gpu_scope scope;
    struct nrd_status *status = gpu_device_enter(device, &scope);
    if (status == NULL) {
        unsigned flags = timed ? CU_EVENT_FLAG_DEFAULT : CU_EVENT_FLAG_NO_TIMING;
        status = GPU_CALL(device, event_create, (&e->handle, flags));
        gpu_device_leave(&scope);
    }
    if (status != NULL) {
        mem_free(e);
        return status;
    }
    e->device = device;
    e->timed = timed;
    atomic_init(&e->references, 1);
    *event = e;
    return NULL;
}

static void event_destroy(struct gpu_event *e)
{
    struct gpu_scope scope;
    if (gpu_device_enter_release(e->device, &scope)) {
        (void)gpu_driver()->event_destroy(e->handle);
        gpu_device_leave(&scope);
    }
    mem_free(e);
}

struct nrd_status *gpu_event_get(struct gpu_device *device, struct gpu_event **event)
{
    NRD_TRY(gpu_device_health(device));
    pthread_mutex_lock(&device->event_lock);
    struct gpu_event *e = device->idle_events;
    if (e != NULL) {
        device->idle_events = e->next;
        device->idle_event_count--;
    }
    pthread_mutex_unlock(&device->event_lock);
    if (e == NULL) {
        return event_create(device, false, event);
    }
    atomic_store_explicit(&e->references, 1, memory_order_relaxed);
    *event = e;
    return NULL;
}

struct nrd_status *gpu_event_get_timed(struct gpu_device *device, struct gpu_event **event)
{
    return event_create(device, true, event);
}

struct gpu_event *gpu_event_ref(struct gpu_event *event)
{
    atomic_fetch_add_explicit(&event->references, 1, memory_order_relaxed);
    return event;
}

void gpu_event_unref(struct gpu_event *event)
{
    if (event == NULL ||
        atomic_fetch_sub_explicit(&event->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    struct gpu_device *d = event->device;
    bool kept = false;
    pthread_mutex_lock(&d->event_lock);
    if (!event->timed && d->idle_event_count < EVENTS_IDLE_MAX && !gpu_device_is_lost(d)) {
        event->next = d->idle_events;
        d->idle_events = event;
        d->idle_event_count++;
        kept = true;
    }
    pthread_mutex_unlock(&d->event_lock);
    if (!kept) {
        event_destroy(event);
    }
}

void gpu_event_pool_fini(struct gpu_device *device)
{
    while (device->idle_events != NULL) {
        struct gpu_event *e = device->idle_events;
        device->idle_events = e->next;
        event_destroy(e);
    }
    device->idle_event_count = 0;
}

struct nrd_status *gpu_event_record(struct gpu_event *event, struct gpu_stream *stream)
{
    return GPU_CALL(event->device, event_record, (event->handle, gpu_stream_handle(stream)));
}

struct nrd_status *gpu_event_after(struct gpu_stream *stream, struct gpu_event **event)
{
    struct gpu_event *e = NULL;
    NRD_TRY(gpu_event_get(gpu_stream_device(stream), &e));
    struct nrd_status *status = gpu_event_record(e, stream);
    if (status != NULL) {
        gpu_event_unref(e);
        return status;
    }
    *event = e;
    return NULL;
}

struct nrd_status *gpu_stream_wait_handle(struct gpu_stream *stream, struct cu_event *handle)
{
    return GPU_CALL(gpu_stream_device(stream), stream_wait_event,
                    (gpu_stream_handle(stream), handle, 0));
}

struct nrd_status *gpu_stream_wait_event(struct gpu_stream *stream, struct gpu_event *event)
{
    return gpu_stream_wait_handle(stream, event->handle);
}

static struct nrd_status *query(struct gpu_device *device, struct cu_event *handle, bool *reached)
{
    int result = gpu_driver()->event_query(handle);
    if (result != CU_SUCCESS && result != CU_NOT_READY) {
        return gpu_status(result, GPU_FN_event_query, device);
    }
    *reached = result == CU_SUCCESS;
    return NULL;
}

struct nrd_status *gpu_event_query(struct gpu_event *event, bool *reached)
{
    return query(event->device, event->handle, reached);
}

struct nrd_status *gpu_handle_wait(struct gpu_device *device, struct cu_event *handle,
                                   uint64_t deadline_ns)
{
    uint64_t begin = clock_now_ns();
    bool reached = false;
    for (;;) {
        NRD_TRY(gpu_device_health(device));
        NRD_TRY(query(device, handle, &reached));
        if (reached) {
            return NULL;
        }
        if (!gpu_wait_step(begin, deadline_ns)) {
            return status_new(NRD_UNAVAILABLE, "GPU %d: waiting for an event: time-out",
                              device->info.ordinal);
        }
    }
}

struct nrd_status *gpu_event_wait(struct gpu_event *event, uint64_t deadline_ns)
{
    return gpu_handle_wait(event->device, event->handle, deadline_ns);
}

struct nrd_status *gpu_event_elapsed(struct gpu_event *begin, struct gpu_event *end,
                                     double *milliseconds)
{
    float value = 0;
    NRD_TRY(GPU_CALL(begin->device, event_elapsed, (&value, begin->handle, end->handle)));
    *milliseconds = (double)value;
    return NULL;
}

struct gpu_device *gpu_event_device(const struct gpu_event *event)
{
    return event->device;
}

struct cu_event *gpu_event_handle(const struct gpu_event *event)
{
    return event->handle;
}
