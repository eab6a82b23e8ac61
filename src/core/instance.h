// SPDX-License-Identifier: Apache-2.0
// Instance: one copy of a model that executes batches (TRITONBACKEND_ModelInstance), and the thread that drives it.
//
// Initialize, warm-up, Execute and Finalize of an instance are all called on its executor: a thread of its own
// (execution policy BLOCKING), or one that all instances of the model on one GPU share (DEVICE_BLOCKING). An executor asks
// the scheduler for a batch whenever it is free (scheduler_take) and is parked while there is none.
// Start at instance_create(), executor_run().
#ifndef NEREID_CORE_INSTANCE_H
#define NEREID_CORE_INSTANCE_H

#include "base/status.h"
#include "base/thread.h"
#include "core/departed.h"
#include "core/message.h"
#include "core/schedule/scheduler.h"
#include "core/stats.h"
#include "triton/core/tritonbackend.h"

struct gpu_device;
struct model;

struct secondary_device {
    const char *kind;
    int64_t id;
};

// What an instance is made of; all borrowed and copied, but for host_policy.
struct instance_spec {
    const char *name;
    TRITONSERVER_InstanceGroupKind kind;
    int32_t device_id;
    bool passive;
    uint32_t group; // its number in the configuration
    const char *host_policy_name;
    struct message *host_policy; // taken, on errors too; {"<policy>":{..}}; NULL is {"<name>":{}}
    const char *cpu_cores;       // pins the thread; NULL or "": not
    const char *numa_node;       // binds the thread's memory; NULL or "": not
    const char *const *profiles;
    uint32_t profile_count;
    const struct secondary_device *secondary_devices;
    uint32_t secondary_device_count;
};

struct instance {
    struct model *model; // borrowed: the model owns its instances
    char *name;
    TRITONSERVER_InstanceGroupKind kind;
    int32_t device_id;
    struct gpu_device *gpu; // NULL unless KIND_GPU, and on a machine that has it
    bool passive;
    bool
        left; // its GPU is lost, and another one was made in its place if that could be; core/drain.c's
    uint32_t group;
    bool begun;       // ModelInstanceInitialize was called
    bool initialized; // and has succeeded
    char *host_policy_name;
    struct message *host_policy;
    char *cpu_cores; // "" if any
    char *numa_node; // "" if any
    char **profiles;
    uint32_t profile_count;
    struct secondary_device *secondary_devices;
    uint32_t secondary_device_count;
    void *state; // the backend's own
    struct executor *executor;
    struct instance *next;      // in the ring of its executor's active ones; NULL if not active
    struct stats_shard *shard;  // where this instance counts
    uint32_t stage;             // batches that it may have at once; 0: Execute's return ends one
    _Atomic uint32_t in_flight; // those that it has, where `stage` is set
    _Atomic uint32_t last_ns32; // how long its last Execute took, in ns, saturated
    struct departed_pool departed;
    // What the backend says it holds; guarded by the model's stats.
    struct buffer_attributes *memory_usage;
    uint32_t memory_usage_count;
};

// Makes an instance of `model` (whose stats and scheduler exist already), initializes it on its executor, runs the
// model's warm-up samples there, and then, unless it is passive, lets it take requests. Blocking. `existing` are the
// instances made so far (DEVICE_BLOCKING shares a thread among them). Errors: the backend's own; a failing warm-up is
// INVALID_ARG "failed to run warmup sample 'S': ...". Thread: loader; several at once only if the backend allows it.
NRD_MUST_USE struct nrd_status *instance_create(struct model *model,
                                                const struct instance_spec *spec,
                                                struct instance *const *existing,
                                                size_t existing_count, struct instance **instance);
// Waits for the batch it is executing, finalizes it (on its executor) and frees it. NULL is fine. Blocking.
// Thread: loader or reaper, never an executor.
void instance_destroy(struct instance *instance);
// What TRITONBACKEND_ModelInstanceReady says; NULL if the backend has no such function. Thread: any.
NRD_MUST_USE struct nrd_status *instance_ready(struct instance *instance);

// Runs the samples of model_warmup on `instance`, on this thread, which is its executor's.
NRD_MUST_USE struct nrd_status *warmup_run(struct instance *instance);

// Does the work of a parked executor on this thread: its batches, a handful at most, then wakes it if anything is left to do.
// False, and nothing happens, when it is not parked or must not be left. `seat` was chosen by the scheduler and is not yet
// woken. Thread: any.
bool executor_lend(struct seat *seat);

// Gives `batch` to the backend; answers and releases all of it when Execute fails, or has it executed on another device when its
// own is lost. Thread: its executor.
void instance_execute(struct instance *instance, struct request **batch, uint32_t count);

// Whether its GPU is lost: its executor takes no more batches then. Thread: any.
bool instance_is_lost(const struct instance *instance);
// Wakes its executor, so that it sees that. Thread: any.
void instance_wake(struct instance *instance);

#endif
