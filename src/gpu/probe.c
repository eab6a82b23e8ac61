// SPDX-License-Identifier: Apache-2.0
// Probe: whether a device still works, asked of the driver without waiting for anybody's work.
//
// A context that was poisoned (a kernel's fault in any library of this process) refuses new work for good. So the probe gives
// its own stream a little: it records an event and queries it. Its own, because a query of the default stream would break
// a capture that some framework has under way.
#include "gpu/device_private.h"
#include "gpu/event.h"
#include "gpu/nvml.h"
#include "gpu/stream.h"

void gpu_probe_fini(struct gpu_device *device)
{
    gpu_stream_destroy(device->probe_stream);
    device->probe_stream = NULL;
}

// Whether somebody in this process has made the context; the probe itself must not, for it costs memory of the GPU.
static bool is_in_use(const struct gpu_device *device)
{
    unsigned flags = 0;
    int active = 0;
    return atomic_load_explicit(&device->context, memory_order_acquire) != NULL ||
           gpu_driver()->primary_state(device->handle, &flags, &active) != CU_SUCCESS ||
           active != 0;
}

static struct nrd_status *probe(struct gpu_device *device)
{
    if (device->probe_stream == NULL) {
        NRD_TRY(gpu_stream_create(device, GPU_PRIORITY_NORMAL, &device->probe_stream));
    }
    struct gpu_event *event = NULL;
    bool reached = false;
    struct gpu_scope scope;
    NRD_TRY(gpu_device_enter(device, &scope));
    struct nrd_status *status = gpu_event_after(device->probe_stream, &event);
    if (status == NULL) {
        status = gpu_event_query(event, &reached);
    }
    gpu_event_unref(event);
    gpu_device_leave(&scope);
    return status;
}

struct nrd_status *gpu_device_probe(struct gpu_device *device)
{
    NRD_TRY(gpu_device_health(device));
    if (!is_in_use(device)) {
        return NULL;
    }
    pthread_mutex_lock(&device->probe_lock);
    struct nrd_status *status = probe(device);
    pthread_mutex_unlock(&device->probe_lock);
    // What is not sticky (no memory for a stream, say) tells nothing of the device: who asked is not to know of it.
    status_free(status);
    return gpu_device_health(device);
}
