// SPDX-License-Identifier: Apache-2.0
// Devices: one look at the driver an application, whatever it finds.
#include "graph/devices.h"

#include "base/mem.h"
#include "gpu/device.h"

struct devices {
    _Atomic uint32_t references;
    struct gpu_system *system; // NULL: none
    struct nrd_status *why;    // there is none
};

static struct devices *devices_create(void)
{
    struct devices *d = mem_calloc(1, sizeof(*d));
    if (d != NULL) {
        atomic_init(&d->references, 1);
        d->why = gpu_system_open(&d->system);
    }
    return d;
}

struct devices *devices_ref(struct devices *d)
{
    atomic_fetch_add_explicit(&d->references, 1, memory_order_relaxed);
    return d;
}

void devices_unref(struct devices *d)
{
    if (d != NULL && atomic_fetch_sub_explicit(&d->references, 1, memory_order_acq_rel) == 1) {
        gpu_system_close(d->system);
        status_free(d->why);
        mem_free(d);
    }
}

struct devices *app_devices(struct nrd_app *app)
{
    struct devices *seen = atomic_load_explicit(&app->devices, memory_order_acquire);
    if (seen != NULL) {
        return seen;
    }
    struct devices *made = devices_create();
    if (made != NULL &&
        !atomic_compare_exchange_strong_explicit(&app->devices, &seen, made, memory_order_acq_rel,
                                                 memory_order_acquire)) {
        devices_unref(made); // another thread was first
        return seen;
    }
    return made;
}

struct nrd_status *devices_get(struct devices *d, int64_t ordinal, struct gpu_device **device)
{
    if (d == NULL) {
        return status_no_memory();
    }
    if (d->system == NULL) {
        return status_new(NRD_UNAVAILABLE, "there is no GPU %lld: %s", (long long)ordinal,
                          status_text(d->why));
    }
    int count = gpu_system_count(d->system);
    struct gpu_device *found =
        ordinal < 0 || ordinal >= count ? NULL : gpu_system_device(d->system, (int)ordinal);
    if (found == NULL) {
        return status_new(NRD_UNAVAILABLE, "there is no GPU %lld: this machine has %d",
                          (long long)ordinal, count);
    }
    *device = found;
    return NULL;
}

struct gpu_device *devices_any(struct devices *d)
{
    return d == NULL || d->system == NULL ? NULL : gpu_system_device(d->system, 0);
}
