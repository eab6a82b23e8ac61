// SPDX-License-Identifier: Apache-2.0
// Events in place of waits. See order.h.
#include "backends/common/order.h"

#include <dlfcn.h>
#include <pthread.h>

#include "backends/common/landing.h"
#include "base/clock.h"
#include "base/mem.h"
#include "nereid/ext/core.h"

static struct {
    pthread_once_t once;
    nereid_input_event_fn input_event;
    nereid_request_takes_event_fn takes_event;
    nereid_response_set_event_fn set_event;
    nereid_batch_depart_fn depart;
    nereid_batch_land_fn land;
    bool answers_early; // all that a batch needs to go out with an event
} extension = {.once = PTHREAD_ONCE_INIT};

static void find_extension(void)
{
    extension.input_event =
        (nereid_input_event_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_input_event");
    extension.takes_event =
        (nereid_request_takes_event_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_request_takes_event");
    extension.set_event =
        (nereid_response_set_event_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_response_set_event");
    extension.depart =
        (nereid_batch_depart_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_batch_depart");
    extension.land = (nereid_batch_land_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_batch_land");
    extension.answers_early = extension.takes_event != NULL && extension.set_event != NULL &&
                              extension.depart != NULL && extension.land != NULL;
}

static struct gpu_stream *stream_of(const struct batch *b)
{
    return b->gpu_io == NULL ? NULL : gpu_io_stream(b->gpu_io);
}

TRITONSERVER_Error *batch_order_input(const struct batch *b, TRITONBACKEND_Input *input)
{
    pthread_once(&extension.once, find_extension);
    struct gpu_stream *stream = stream_of(b);
    if (extension.input_event == NULL || stream == NULL) {
        return NULL;
    }
    struct cu_event *event = extension.input_event(input);
    return event == NULL ? NULL : backend_error(gpu_stream_wait_handle(stream, event));
}

static bool all_take_events(const struct batch *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->items[i].response == NULL || !extension.takes_event(b->items[i].request)) {
            return false;
        }
    }
    return true;
}

void batch_order_begin(struct batch *b)
{
    pthread_once(&extension.once, find_extension);
    struct gpu_stream *stream = stream_of(b);
    if (!extension.answers_early || stream == NULL || b->departure != NULL) {
        return;
    }
    bool may_depart = all_take_events(b);
    bool follows = b->landing != NULL && landing_is_busy(b->landing);
    if (!may_depart && !follows) {
        return;
    }
    TRITONSERVER_Error *error =
        b->landing == NULL ? landing_create(gpu_io_device(b->gpu_io), extension.land, &b->landing)
                           : NULL;
    if (error == NULL) {
        error = landing_begin(b->landing, stream, b->compute_start_ns, &b->departure);
    }
    // It is waited for, then.
    backend_log_error(error, "a batch cannot go out with an event");
}

bool batch_is_ordered(const struct batch *b)
{
    return b->departure != NULL && !gpu_io_uses_host(b->gpu_io) && all_take_events(b);
}

// What the batch waited for those that departed before it was not computing.
static void correct_times(struct batch *b)
{
    double ms = 0;
    struct departure *d = b->departure;
    struct nrd_status *status = gpu_event_elapsed(d->begin, d->done, &ms);
    if (status != NULL) {
        status_free(status);
        return;
    }
    uint64_t end = b->compute_end_ns == 0 ? clock_now_ns() : b->compute_end_ns;
    uint64_t begin = end - (uint64_t)(ms * 1e6);
    if (begin > b->compute_start_ns && begin <= end) {
        b->exec_start_ns += begin - b->compute_start_ns;
        b->compute_start_ns = begin;
    }
}

static TRITONSERVER_Error *wait_for_all(struct batch *b)
{
    TRITONSERVER_Error *error = gpu_io_end(b->gpu_io);
    if (error == NULL && b->departure != NULL) {
        correct_times(b);
    }
    return error;
}

// The host's handle of a batch that departs; NULL: it cannot.
static void *host_depart(struct batch *b)
{
    struct departure *d = b->departure;
    if (b->count > d->capacity) {
        TRITONBACKEND_Request **requests =
            mem_realloc(d->requests, (size_t)b->count * sizeof(*requests));
        if (requests == NULL) {
            return NULL;
        }
        d->requests = requests;
        d->capacity = b->count;
    }
    for (uint32_t i = 0; i < b->count; i++) {
        d->requests[i] = b->items[i].request;
    }
    return extension.depart(b->instance, d->requests, b->count, b->exec_start_ns);
}

static void cancel(struct batch *b)
{
    if (b->departure != NULL) {
        landing_cancel(b->landing, b->departure);
        b->departure = NULL;
    }
}

TRITONSERVER_Error *batch_order_end(struct batch *b, bool *departs)
{
    *departs = false;
    if (b->gpu_io == NULL) {
        return NULL;
    }
    TRITONSERVER_Error *error =
        b->departure == NULL ? NULL : gpu_io_record(b->gpu_io, b->departure->done);
    if (error == NULL && batch_is_ordered(b)) {
        b->departure->handle = host_depart(b);
        *departs = b->departure->handle != NULL;
    }
    if (!*departs) {
        TRITONSERVER_Error *waited = wait_for_all(b);
        cancel(b);
        if (error == NULL) {
            return waited;
        }
        backend_log_error(waited, "failed to wait for a failed batch");
        return error;
    }
    for (uint32_t i = 0; i < b->count; i++) {
        extension.set_event(b->items[i].response, gpu_event_handle(b->departure->done));
    }
    return NULL;
}

void batch_order_depart(struct batch *b)
{
    b->departure->exec_start_ns = b->exec_start_ns;
    landing_depart(b->landing, b->departure);
    b->departure = NULL;
}
