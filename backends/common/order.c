// SPDX-License-Identifier: Apache-2.0
// Events in place of waits. See order.h.
#include "backends/common/order.h"

#include <dlfcn.h>
#include <pthread.h>

#include "gpu/event.h"
#include "nereid/ext/core.h"

static struct {
    pthread_once_t once;
    nereid_input_event_fn input_event;
    nereid_request_takes_event_fn takes_event;
    nereid_response_set_event_fn set_event;
} extension = {.once = PTHREAD_ONCE_INIT};

static void find_extension(void)
{
    extension.input_event =
        (nereid_input_event_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_input_event");
    extension.takes_event =
        (nereid_request_takes_event_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_request_takes_event");
    extension.set_event =
        (nereid_response_set_event_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_response_set_event");
}

TRITONSERVER_Error *batch_order_input(const struct batch *b, TRITONBACKEND_Input *input)
{
    pthread_once(&extension.once, find_extension);
    struct gpu_stream *stream = b->gpu_io == NULL ? NULL : gpu_io_stream(b->gpu_io);
    if (extension.input_event == NULL || stream == NULL) {
        return NULL;
    }
    struct cu_event *event = extension.input_event(input);
    return event == NULL ? NULL : backend_error(gpu_stream_wait_handle(stream, event));
}

bool batch_is_ordered(const struct batch *b)
{
    pthread_once(&extension.once, find_extension);
    if (extension.takes_event == NULL || extension.set_event == NULL || b->gpu_io == NULL ||
        gpu_io_stream(b->gpu_io) == NULL || gpu_io_uses_host(b->gpu_io)) {
        return false;
    }
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->items[i].response == NULL || !extension.takes_event(b->items[i].request)) {
            return false;
        }
    }
    return true;
}

TRITONSERVER_Error *batch_order_end(struct batch *b)
{
    if (b->gpu_io == NULL) {
        return NULL;
    }
    if (!batch_is_ordered(b)) {
        return gpu_io_end(b->gpu_io);
    }
    void *event = NULL;
    BACKEND_TRY(gpu_io_record(b->gpu_io, &event));
    for (uint32_t i = 0; i < b->count; i++) {
        extension.set_event(b->items[i].response, event);
    }
    return NULL;
}
