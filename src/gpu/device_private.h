// SPDX-License-Identifier: Apache-2.0
// What a device is inside this folder.
#ifndef NEREID_GPU_DEVICE_PRIVATE_H
#define NEREID_GPU_DEVICE_PRIVATE_H

#include <pthread.h>

#include "gpu/device.h"

struct gpu_event;
struct gpu_kernel_set;
struct gpu_stream;

struct gpu_device {
    struct gpu_system *system;
    struct gpu_device_info info;
    int handle;                           // CUdevice
    _Atomic(struct cu_context *) context; // set once, under `lock`
    int least_priority;                   // valid once `context` is set
    int greatest_priority;
    pthread_mutex_t lock;
    _Atomic uint64_t peers_enabled; // a bit an ordinal

    _Atomic bool lost;
    char lost_reason[256]; // written before `lost` is set
    int lost_result;       // as well
    pthread_mutex_t watch_lock;
    pthread_cond_t watch_idle;
    struct list_node watches;
    struct gpu_watch *telling; // whose `lost` runs now
    pthread_t teller;

    pthread_mutex_t probe_lock;
    struct gpu_stream *probe_stream; // made by the first probe

    pthread_mutex_t event_lock;
    struct gpu_event *idle_events; // without timing
    unsigned idle_event_count;

    pthread_mutex_t kernel_lock;
    struct gpu_kernel_set *
        kernels; // kernels/kernels.c; made at the first launch, with what ends it: so that only who
    void (*kernels_destroy)(struct gpu_kernel_set *set); // launches kernels links them
};

// Frees the idle events; in event.c.
void gpu_event_pool_fini(struct gpu_device *device);
// Frees what the probe made; in probe.c.
void gpu_probe_fini(struct gpu_device *device);

#endif
