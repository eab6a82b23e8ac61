// SPDX-License-Identifier: Apache-2.0
// Devices: the GPUs as an application sees them. The driver is looked for when something first asks for a GPU; a machine without
// one is a normal machine. Counted, because tensors on a GPU may outlive the application.
#ifndef NEREID_GRAPH_DEVICES_H
#define NEREID_GRAPH_DEVICES_H

#include "graph/graph_private.h"

struct devices;
struct gpu_device;

// The application's, made at the first call; borrowed. NULL: no memory. Thread: any.
struct devices *app_devices(struct nrd_app *app);
struct devices *devices_ref(struct devices *d); // shares; returns `d`. Thread: any
// What was made on the devices must be gone with the last reference. NULL is fine. Thread: any.
void devices_unref(struct devices *d);
// Borrowed. NRD_UNAVAILABLE "there is no GPU 2: this machine has 1", "there is no GPU 0: REASON". `d` may be NULL: no memory.
NRD_MUST_USE struct nrd_status *devices_get(struct devices *d, int64_t ordinal,
                                            struct gpu_device **device);
// Any device, for pinned memory, which all can use; NULL: none. Thread: any.
struct gpu_device *devices_any(struct devices *d);

#endif
