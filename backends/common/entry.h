// SPDX-License-Identifier: Apache-2.0
// What a backend is, as a table: it defines `this_backend`, and entry.c exports the TRITONBACKEND_*
// functions for it. A backend, a model and an instance have a state each: memory of the size that
// the table says, zeroed, allocated before `init` and freed after `fini` by entry.c.
//
//   this_backend ──▶ init(backend) ─▶ model->init(model, backend) ─▶ instance->init(instance, model)
//                                                                         │ execute, again and again
//                    fini(backend) ◀─ model->fini(model) ◀─────────── instance->fini(instance)
//
// `fini` is also called when `init` has failed, on what that left. Each function takes its state as a
// void pointer and names its type in its first line.
#ifndef NEREID_BACKENDS_COMMON_ENTRY_H
#define NEREID_BACKENDS_COMMON_ENTRY_H

#include "backends/common/backend.h"

struct model_table {
    size_t size; // of the state
    // Reads the model's configuration and file, completes the one, checks it with the other. `backend`
    // is the backend's state. Thread: owner.
    TRITONSERVER_Error *(*init)(void *model, TRITONBACKEND_Model *handle, void *backend);
    void (*fini)(void *model);
};

struct instance_table {
    size_t size; // of the state
    // `model` is the model's state, which outlives the instance. `gpu` is -1 unless `kind` is GPU.
    // Thread: any; instances of a model may be made at once.
    TRITONSERVER_Error *(*init)(void *instance, TRITONBACKEND_ModelInstance *handle, void *model,
                                TRITONSERVER_InstanceGroupKind kind, int32_t gpu);
    void (*fini)(void *instance);
    // Why it can execute nothing any more; NULL while it can. Optional. Thread: any.
    TRITONSERVER_Error *(*ready)(const void *instance);
    // TRITONBACKEND_ModelInstanceExecute of one request or more: an error gives the requests back to
    // the host, NULL says that each is answered and released, or will be (batch.h). Thread: owner.
    TRITONSERVER_Error *(*execute)(void *instance, TRITONBACKEND_Request **requests,
                                   uint32_t count);
};

struct backend_table {
    const char *name;
    size_t size; // of the state, which is what all models share; may be 0
    // `settings` are those of the command line, there until it returns. Optional, both. Thread: owner.
    TRITONSERVER_Error *(*init)(void *backend, TRITONBACKEND_Backend *handle,
                                const struct backend_settings *settings);
    void (*fini)(void *backend);
    // Where a model goes whose configuration names no instance group; AUTO leaves it to the host,
    // which takes GPUs if there are any. NULL: the processor. Thread: any.
    TRITONSERVER_InstanceGroupKind (*preferred_kind)(const void *backend);
    const struct model_table *model;
    const struct instance_table *instance;
};

// Defined once in each backend.
extern const struct backend_table this_backend;

#endif
