// SPDX-License-Identifier: Apache-2.0
// A model of this backend. Each instance loads its own module, as a TorchScript module may keep
// state in its attributes; with ENABLE_WEIGHT_SHARING those on one device share one.
//
//   torch_shim.cc    libtorch, as C
//   torch_model.c    reads parameters, finds the file, loads and shares modules
//   torch_names.c    which input is which argument, which output is which result
//   torch_spec.c     the same for packages (model.pt2), which say it in JSON
//   torch_execute.c  instances, and running a batch
#ifndef NEREID_BACKENDS_PYTORCH_TORCH_MODEL_H
#define NEREID_BACKENDS_PYTORCH_TORCH_MODEL_H

#include <pthread.h>

#include "backends/common/entry.h"
#include "backends/common/ragged.h"
#include "backends/pytorch/torch_shim.h"

// A loaded module and who uses it.
struct torch_shared {
    struct torch_shared *next;
    struct torch_module *module;
    int device;
    bool keep_devices;
    int users;
};

struct torch_model {
    struct model_config config;
    bool package; // model.pt2
    bool share_weights;
    struct torch_mode mode;
    struct ragged_input *ragged;
    uint32_t ragged_count;
    // What requests may bring, in the order of the configuration: its inputs, the targets of its
    // batch inputs, the controls of its sequence batcher.
    const char **inputs;
    uint32_t input_count;
    const struct model_tensor **responses; // outputs of the configuration, sorted by name
    const char **scatter_sources;          // parallel: batch_output's source, or NULL
    pthread_mutex_t mutex;                 // guards modules
    struct torch_shared *modules;
};

extern const struct model_table torch_models;

// Gives the host a configuration with the inputs or outputs that it left out, if the TorchScript file at
// `path` lets them be found out; says in the log what they became, or why not. `*changed` tells whether
// the configuration is to be read anew. Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *torch_complete(const struct torch_model *m,
                                                TRITONBACKEND_Model *handle, const char *path,
                                                bool *changed);

// The module of an instance on `device`, loaded or shared; give it back with torch_model_release.
// `keep_devices` as in torch_module_load. Thread: any.
NRD_MUST_USE TRITONSERVER_Error *torch_model_acquire(struct torch_model *m, int device,
                                                     bool keep_devices,
                                                     struct torch_shared **shared);
void torch_model_release(struct torch_model *m, struct torch_shared *shared);

// Which argument each input is and which result each output, as indexes parallel to the model's
// `inputs` and `responses`.
struct torch_names {
    uint32_t *arguments;
    uint32_t argument_count; // that forward() takes
    uint32_t *results;
    bool dict; // the inputs are the members of one dict, under their names
};
// Follows Triton's naming conventions: names of forward()'s arguments, <name>__<index>, or the
// order of the configuration; for packages ARGS[..], KWARGS[..], RESULT[..], INPUT__<n> and
// OUTPUT__<n>. INVALID_ARG where configuration and module disagree. The caller owns `names`
// (torch_names_fini). Thread: any.
NRD_MUST_USE TRITONSERVER_Error *torch_names_init(struct torch_names *names,
                                                  const struct torch_model *m,
                                                  const struct torch_module *module);
void torch_names_fini(struct torch_names *names);

// The leaves of a call specification in order, as ARGS[0], KWARGS[x][y] and so on; `inputs` tells
// which of the two it is. INVALID_ARG where it cannot be read. Names are owned by `arena`. Knows
// base only. Thread: any.
NRD_MUST_USE struct nrd_status *torch_spec_read(struct arena *arena, const char *spec, bool inputs,
                                                const char ***names, uint32_t *count);

// An instance: a module, a batch, and the memory that its executions use again and again.
extern const struct instance_table torch_instances;

#endif
