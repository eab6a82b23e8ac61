// SPDX-License-Identifier: Apache-2.0
// GPUs: what one server uses of this machine's GPUs: which there are, and the pools that its backends take memory from.
//
// They are looked for when the first model is loaded, not before: a server of models for the processor need not wait for a driver.
// A machine without a driver or without a GPU is one with none. Pools are made at their first use, within the limits of
// --pinned-memory-pool-byte-size and --cuda-memory-pool-byte-size. A GPU can be lost (gpu/device.h), for good: what follows from
// that is gpu_watch.h's. Start at gpus_create(), gpus_devices().
#ifndef NEREID_CORE_GPUS_H
#define NEREID_CORE_GPUS_H

#include "base/status.h"
#include "config/model_config.h"
#include "core/options.h"
#include "gpu/device.h"
#include "gpu/memory.h"

struct gpus;

// Of `options`, which outlive it. Returns owned; NULL when memory is out. Thread: any.
struct gpus *gpus_create(const struct server_options *options);
// All memory must have been freed. NULL is fine. Thread: owner.
void gpus_destroy(struct gpus *gpus);

// What instance groups may go to. Looks for GPUs the first time, which may take a second where there are some. Borrowed from
// `gpus`. Thread: loader.
struct config_devices gpus_devices(struct gpus *gpus);
// The devices themselves; 0 and NULL before gpus_devices() was called, and of no `gpus` at all. Borrowed. Thread: any.
int gpus_count(struct gpus *gpus);
struct gpu_device *gpus_device(struct gpus *gpus, int32_t id);

// The processors near a GPU, for threads that feed it; false where that does not matter or is not known (gpu_numa_cpus).
// Thread: any.
bool gpus_local_cpus(struct gpus *gpus, int32_t id, char *text, size_t size);

// ---- health ---------------------------------------------------------------------------------------------------------

// Which are lost, a bit a GPU: one relaxed load; 0 of no `gpus`. Thread: any.
uint64_t gpus_lost(const struct gpus *gpus);
bool gpus_is_lost(const struct gpus *gpus, int64_t id);
// Somebody met an error on that GPU: `result`, a CUresult, marks it as lost if it is one that lasts; else, or when it is
// not known (0), the driver is asked. NULL: it works; else UNAVAILABLE "GPU 0 (GPU-...) is lost: REASON"; INVALID_ARG for a
// GPU that there is not. Some microseconds. Thread: any.
NRD_MUST_USE struct nrd_status *gpus_report(struct gpus *gpus, int64_t id, int result,
                                            const char *text);
// Asks the driver for all that are in use and not known to be lost. Some microseconds a GPU. Thread: any.
void gpus_probe(struct gpus *gpus);
// Whether a kernel's fault has made CUDA unusable in this process: one GPU is lost by a fault, and none works any more. The driver does so
// to all GPUs of a process (seen with release 580; the CUDA manual says "the process must be terminated and relaunched").
// May make contexts. Thread: any but a loop.
bool gpus_are_poisoned(struct gpus *gpus);
// Whom to tell of each loss, from within the call that met it: `fn` takes no lock and does not wait. Thread: owner, once.
typedef void (*gpus_lost_fn)(void *arg);
void gpus_tell_losses(struct gpus *gpus, gpus_lost_fn fn, void *arg);

// ---- memory ---------------------------------------------------------------------------------------------------------

// TRITONBACKEND_MemoryManagerAllocate for pinned and GPU memory, with Triton's texts: UNSUPPORTED where there is no such device or
// memory. What does not fit into a GPU's pool is taken from the device directly, as Triton does. `*memory` is aligned to 256.
// Thread: any.
NRD_MUST_USE struct nrd_status *gpus_allocate(struct gpus *gpus, enum nrd_memory kind, int64_t id,
                                              size_t size, void **memory);
// Takes what gpus_allocate() gave. INTERNAL for anything else. Thread: any.
NRD_MUST_USE struct nrd_status *gpus_free(struct gpus *gpus, void *memory);

// Page-locks the caller's memory for direct copies by all GPUs. It counts under the limit of pinned memory and has at most half of it
// (gpu_pool_claim). Returned owned: gpus_unlock_host(), before gpus_destroy(); NULL where that cannot be, which is logged once.
// Thread: any but a loop: takes milliseconds for a large one.
struct gpus_host_lock;
struct gpus_host_lock *gpus_lock_host(struct gpus *gpus, void *at, size_t size);
void gpus_unlock_host(struct gpus_host_lock *lock);

// What the pinned pool holds, for nv_pinned_memory_pool_*; all zero where there is none. Thread: any.
void gpus_pinned_usage(struct gpus *gpus, struct gpu_pool_usage *usage);

#endif
