// SPDX-License-Identifier: Apache-2.0
// Devices: the GPUs of this machine, their contexts, who can reach whom, and which of them are lost.
//
//                     first use                    sticky error, or gpu_device_mark_lost()
//   found (no context) ─────────▶ open (context) ─────────────────────────────────────────▶ lost (for good)
//
// Devices live from gpu_system_open() to gpu_system_close(). A context costs a tenth of a second and some hundred MB of
// the GPU, so a device gets its primary context (shared with the frameworks of this process) when it is first used.
// What needs a current context is put between gpu_device_enter() and gpu_device_leave(); all of this folder does so itself.
#ifndef NEREID_GPU_DEVICE_H
#define NEREID_GPU_DEVICE_H

#include <stdatomic.h>

#include "base/list.h"
#include "base/slice.h"
#include "gpu/driver.h"

enum { GPU_DEVICES_MAX = 64 };

// What does not change while the process lives.
struct gpu_device_info {
    int ordinal;         // CUDA's number, which is also Triton's device id
    char uuid[48];       // "GPU-...", or "MIG-..." where CUDA shows a slice as a device
    char name[128];      // "NVIDIA H100 80GB HBM3"
    char pci_bus_id[16]; // "0000:3b:00.0"
    char cpus
        [1024]; // processors near it, as thread_pin_self() takes them ("0-15,32-47"); "" when not known
    int numa_node;     // -1 when not known
    int compute_major; // compute capability
    int compute_minor;
    int multiprocessors;
    int clock_khz;
    int copy_engines;
    int l2_bytes;
    int memory_bus_bits;
    int memory_clock_khz;
    uint64_t memory_bytes;
    bool is_mig;
    bool integrated;       // shares its memory with the host
    bool has_memory_pools; // stream-ordered allocation works
};

struct gpu_system;

// Finds the GPUs. NRD_UNAVAILABLE without a driver or without a GPU: the caller decides what that means. Returns owned.
// Thread: any.
NRD_MUST_USE struct nrd_status *gpu_system_open(struct gpu_system **system);
// Gives the contexts back. Everything made on the devices must be gone. NULL is fine. Thread: owner.
void gpu_system_close(struct gpu_system *system);
int gpu_system_count(const struct gpu_system *system); // Thread: any
// NULL for an ordinal that there is not. Thread: any.
struct gpu_device *gpu_system_device(const struct gpu_system *system, int ordinal);
// By "GPU-..." or by a beginning of it that only one device has; NULL else. Thread: any.
struct gpu_device *gpu_system_find(const struct gpu_system *system, struct slice uuid);

const struct gpu_device_info *gpu_device_info(const struct gpu_device *device); // Thread: any
// Makes the context now instead of at first use. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_device_open(struct gpu_device *device);
// The context (CUcontext), made if need be; NULL when that fails. For frameworks that want it. Thread: any.
struct cu_context *gpu_device_context(struct gpu_device *device);
// Bytes of the device's memory. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_device_memory(struct gpu_device *device, uint64_t *free_bytes,
                                                  uint64_t *total_bytes);
// Waits for all work on the device, without a deadline: for tests and the end of a process. Thread: any but a loop.
NRD_MUST_USE struct nrd_status *gpu_device_synchronize(struct gpu_device *device);

// A stretch of one thread's work during which the device's context is current. Costs one call when it already is.
struct gpu_scope {
    struct gpu_device *device;
    bool pushed;
};
// On failure nothing is to be left. A lost device is refused: NRD_UNAVAILABLE. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_device_enter(struct gpu_device *device,
                                                 struct gpu_scope *scope);
// The same for giving memory and handles back, which a lost device does not refuse. False: no context, nothing to give
// back to. Thread: any.
bool gpu_device_enter_release(struct gpu_device *device, struct gpu_scope *scope);
void gpu_device_leave(struct gpu_scope *scope); // Thread: the one that entered

// ---- peers --------------------------------------------------------------------------------------------------------
// True when `device` can read `peer`'s memory directly (NVLink or PCIe); also for itself. Thread: any.
bool gpu_device_can_access(const struct gpu_device *device, const struct gpu_device *peer);
// How fast the link is, in the driver's relative rank (lower is faster; 0 is the fastest); -1 without peer access.
int gpu_device_link_rank(const struct gpu_device *device,
                         const struct gpu_device *peer); // Thread: any
// Lets `device` reach `peer`; a second time is fine. NRD_UNSUPPORTED where it cannot. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_device_enable_peer(struct gpu_device *device,
                                                       struct gpu_device *peer);

// ---- health -------------------------------------------------------------------------------------------------------
bool gpu_device_is_lost(const struct gpu_device *device); // one relaxed load. Thread: any
// Lost by what a kernel did (an illegal address, a trap, ...): the GPU is sound, and so is another process on it, but CUDA is not usable
// any more in this one, on any GPU. Thread: any.
bool gpu_device_is_faulted(const struct gpu_device *device);
// Marks it; the first reason stays. Watchers are told in the calling thread, without a lock. Thread: any.
void gpu_device_mark_lost(struct gpu_device *device, const char *reason);
// The same with the CUresult that it was seen by, and that CUresult; CU_SUCCESS when it was something else. Thread: any.
void gpu_device_mark_lost_by(struct gpu_device *device, int result, const char *reason);
int gpu_device_lost_result(const struct gpu_device *device);
// Asks the driver now, in some microseconds, without waiting for any work: the health (see there) after that. A sticky error that a
// framework of this process ran into shows here, since all share the primary context. A device that nobody uses yet is not
// asked. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_device_probe(struct gpu_device *device);
// NULL for a device that works; else NRD_UNAVAILABLE "GPU 1 (GPU-...) is lost: REASON". Thread: any.
NRD_MUST_USE struct nrd_status *gpu_device_health(const struct gpu_device *device);

// Told once when its device is lost. The caller keeps the memory.
struct gpu_watch {
    struct list_node link;
    void (*lost)(struct gpu_device *device, const char *reason, void *arg);
    void *arg;
    bool told;
};
// Told at once (in this call) when the device is lost already. Thread: any.
void gpu_device_watch(struct gpu_device *device, struct gpu_watch *watch);
// Afterwards `lost` does not run any more; waits for one that runs in another thread. Thread: any, but not from `lost`.
void gpu_device_unwatch(struct gpu_device *device, struct gpu_watch *watch);

#endif
