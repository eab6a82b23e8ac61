// SPDX-License-Identifier: Apache-2.0
// Backend: one loaded libtriton_<name>.so and what it said about itself.
//
// A backend is loaded when the first model asks for it and stays until the server stops. The same
// library is loaded once, whatever number of models use it. Start at backend_set_acquire().
#ifndef NEREID_CORE_BACKEND_H
#define NEREID_CORE_BACKEND_H

#include <pthread.h>

#include "base/map.h"
#include "base/status.h"
#include "base/str.h"
#include "core/message.h"
#include "triton/core/tritonbackend.h"

struct Inference__ModelInstanceGroup;
struct gpus;
struct server_options;

struct backend {
    char *name;
    char *directory; // of the library
    char *library;   // path of the library
    void *handle;    // of dlopen
    struct message *config;
    struct gpus *gpus; // the server's; what the memory manager takes from
    void *state;       // the backend's own
    TRITONBACKEND_ExecutionPolicy execution_policy;
    bool parallel_instance_loading;
    bool cpu_only; // it exports nereid_backend_cpu_only: GPUs are nothing to it
    const char *(*gpu_obstacle)(void *backend); // nereid_backend_gpu_obstacle; NULL: it has none
    // Groups that the backend would like its models to have when their configuration has none; best first.
    struct Inference__ModelInstanceGroup **groups;
    size_t group_count;

    // What the library exports; all but execute may be NULL.
    TRITONSERVER_Error *(*initialize)(TRITONBACKEND_Backend *);
    TRITONSERVER_Error *(*finalize)(TRITONBACKEND_Backend *);
    TRITONSERVER_Error *(*get_attribute)(TRITONBACKEND_Backend *, TRITONBACKEND_BackendAttribute *);
    TRITONSERVER_Error *(*model_initialize)(TRITONBACKEND_Model *);
    TRITONSERVER_Error *(*model_finalize)(TRITONBACKEND_Model *);
    TRITONSERVER_Error *(*instance_initialize)(TRITONBACKEND_ModelInstance *);
    TRITONSERVER_Error *(*instance_finalize)(TRITONBACKEND_ModelInstance *);
    TRITONSERVER_Error *(*instance_execute)(TRITONBACKEND_ModelInstance *, TRITONBACKEND_Request **,
                                            const uint32_t);
    TRITONSERVER_Error *(*instance_ready)(TRITONBACKEND_ModelInstance *);
    void (*trim)(void); // nereid_backend_trim
};

// All backends of one server, by library path.
struct backend_set {
    pthread_mutex_t mutex;
    struct map by_library; // path -> struct backend
    struct gpus *gpus;     // borrowed
};

// `gpus` is borrowed.
NRD_MUST_USE struct nrd_status *backend_set_init(struct backend_set *set, struct gpus *gpus);
// Finalizes and unloads all; no model may be left. Thread: owner.
void backend_set_fini(struct backend_set *set);
// Finds the library of backend `name` (in `version_dir`, `model_dir`, then the backend directory of
// `options`; `runtime` instead of libtriton_<name>.so when it is not ""), and loads it if it is not loaded yet.
// `*backend` is borrowed from the set. Errors: INVALID_ARG when there is no such library, what dlopen said, what
// the backend's Initialize said. Thread: any.
NRD_MUST_USE struct nrd_status *
backend_set_acquire(struct backend_set *set, const struct server_options *options, const char *name,
                    const char *runtime, const char *model_name, const char *model_dir,
                    const char *version_dir, struct backend **backend);
// Adds a copy of a preferred group; from within get_attribute. `devices` may be NULL. Thread: that of the load.
NRD_MUST_USE struct nrd_status *backend_add_group(struct backend *backend,
                                                  TRITONSERVER_InstanceGroupKind kind,
                                                  uint64_t count, const uint64_t *devices,
                                                  uint64_t device_count);
// Lets every backend that keeps memory of GPUs which it does not use give it back (nereid_backend_trim). Thread: any but a loop.
void backend_set_trim(struct backend_set *set);
// Appends the table Backend/Path/Config that is printed at the start. Thread: any.
void backend_set_print(struct backend_set *set, struct str *out);

#endif
