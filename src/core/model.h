// SPDX-License-Identifier: Apache-2.0
// Model: one loaded version of one model.
//
// Made by the life cycle on a loader thread (model_create), then never changed but for its counters: the data path
// reads it without a lock. Whoever keeps a pointer holds a reference. The life cycle's own reference is dropped at
// unload; the last reference to go hands the model to the server's reaper thread, which stops the scheduler,
// finalizes the instances and the backend's model, in that order. So model_unref never blocks and may be called
// from an instance thread or a response callback.
//
//   create: backend -> ModelInitialize (may call ModelSetConfig) -> I/O compiled -> stats -> scheduler -> instances
//           -> warm-up -> published in the server's ready map
#ifndef NEREID_CORE_MODEL_H
#define NEREID_CORE_MODEL_H

#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "base/status.h"
#include "core/backend.h"
#include "core/message.h"
#include "triton/core/tritonbackend.h"

struct Inference__ModelConfig;
struct instance;
struct model_metrics;
struct model_stats;
struct scheduler;
struct server;

// Labels of an output's classes, one a line of its label file.
struct label_list {
    char *text; // the file, line ends turned into NUL
    const char **lines;
    size_t count;
};

// One input or output, compiled from the configuration.
struct model_io {
    const char *name; // borrowed from the configuration
    uint32_t name_len;
    uint32_t index; // place in model->inputs or ->outputs
    TRITONSERVER_DataType datatype;
    uint32_t element_size; // 0 for BYTES
    // As configured: without the batch dimension.
    uint32_t dim_count;
    const int64_t *dims;
    // As a request has it: a leading -1 if the model batches (not for shape tensors); no reshape applied.
    uint32_t full_dim_count;
    int64_t *full_dims;
    // What the backend sees instead of dims, if has_reshape; also without the batch dimension.
    bool has_reshape;
    uint32_t reshape_count;
    const int64_t *reshape;
    bool optional;
    bool ragged; // allow_ragged_batch
    bool shape_tensor;
    bool non_linear;           // is_non_linear_format_io
    bool variable;             // a dimension of dims is -1
    int64_t fixed_elements;    // product of dims; -1 if variable
    struct label_list *labels; // outputs with a label file, else NULL
};

enum model_flags {
    MODEL_FLAG_DECOUPLED = 1,
    MODEL_FLAG_FELL_BACK_TO_CPU = 2, // a KIND_GPU group was put on the CPU
};

struct model {
    _Atomic int64_t refs;
    _Atomic int64_t
        inflight;            // requests enqueued and not yet released; kept by the scheduler's side
    struct server *server;   // outlives the model
    struct backend *backend; // outlives the model
    void *backend_state;     // TRITONBACKEND_ModelSetState

    char *name;
    int64_t version;
    char version_text[24];
    char *name_space;  // "" unless models are told apart by repository
    char *repository;  // path of the model's repository
    char *directory;   // of the model
    char *version_dir; // of this version

    struct Inference__ModelConfig *config; // normalised and complete
    struct message *config_json; // the same as JSON, config version 1; NULL until it is final
    bool auto_complete;          // what TRITONBACKEND_ModelAutoCompleteConfig answers
    bool config_settable;        // within TRITONBACKEND_ModelInitialize
    bool config_was_set;         // the backend has completed the configuration
    bool initialize_called;

    uint32_t max_batch_size; // 0: does not batch
    _Atomic unsigned flags;  // enum model_flags
    char *gpu_map;           // GPUs that became others, as JSON's members: "\"2\":1"; NULL: none
    struct model_io *inputs; // in the order of the configuration
    uint32_t input_count;
    uint32_t required_input_count; // those not optional
    struct model_io *outputs;
    uint32_t output_count;
    struct map input_by_name;  // -> struct model_io
    struct map output_by_name; // -> struct model_io
    int64_t *dims_memory;      // behind full_dims

    struct instance **instances; // room for those that take a lost GPU's place, too
    uint32_t instance_room;
    _Atomic uint32_t instance_count;   // only grows; an instance is whole when it is counted
    uint32_t passive_count;            // of them, never scheduled; of the first load
    _Atomic uint64_t retried_requests; // that were executing on a GPU when it was lost
    _Atomic uint64_t drained; // the lost GPUs that this model was last seen to (core/drain.h)
    uint64_t
        open_groups; // a bit an instance group, of the first 64: the configuration does not say which GPUs
    uint64_t auto_groups; // of these: nor that it has to be a GPU
    struct scheduler *scheduler;
    struct model_stats *stats;
    struct model_metrics
        *metrics; // per-model series that are not statistics; NULL if metrics are off
    uint64_t load_duration_ns;
    struct list_node gpu_metrics_node; // in what the metrics of GPUs count; their own

    struct list_node alive_node;                          // in the server's list of all models
    struct list_node reap_node;                           // in the server's list of the dead
    void (*on_destroyed)(struct model *model, void *arg); // told just before the memory goes
    void *on_destroyed_arg;
};

// Where a version of a model comes from.
struct model_source {
    const char *name;
    int64_t version;
    const char *name_space;
    const char *repository;
    const char *directory;
    const struct Inference__ModelConfig *config; // normalised; copied
    bool auto_complete;
    bool config_provided; // there was a file or an override
    uint64_t
        placed_groups; // a bit an instance group: its GPUs are the placer's choice, not the user's
    void (*on_destroyed)(struct model *model,
                         void *arg); // see struct model; not called if the load fails
    void *on_destroyed_arg;
};

// Loads one version: everything in the drawing above but the publishing. `*model` holds one reference. Errors: what
// the backend said (code kept, text as it was), or what the configuration lacks. Blocking. Thread: loader.
NRD_MUST_USE struct nrd_status *
model_create(struct server *server, const struct model_source *source, struct model **model);
// Thread: any; never blocks.
static inline struct model *model_ref(struct model *model)
{
    atomic_fetch_add_explicit(&model->refs, 1, memory_order_relaxed);
    return model;
}
void model_unref(struct model *model); // NULL is fine
// A reference, unless the last one has gone; for who found the model in the server's list. Thread: any; never blocks.
bool model_try_ref(struct model *model);
// One more instance of a model in service, in the place of one that was lost. `place` is borrowed. Blocking. Thread: one at a time
// for a model.
struct placement;
NRD_MUST_USE struct nrd_status *model_add_instance(struct model *model,
                                                   const struct placement *place);

// Borrowed; NULL if there is no such input or output. Thread: any.
const struct model_io *model_input(const struct model *model, struct slice name);
const struct model_io *model_output(const struct model *model, struct slice name);
// The label of class `index`; NULL if the output has none. Borrowed.
const char *model_io_label(const struct model_io *output, size_t index);

// Tells whether each instance says that it is ready (TRITONBACKEND_ModelInstanceReady, where there is one). Of those whose GPU is lost
// nothing is asked as long as there are others.
bool model_instances_ready(const struct model *model);

// The configuration as JSON, complete so far. Returns owned. INVALID_ARG unless `config_version` is 1.
NRD_MUST_USE struct nrd_status *model_get_config(struct model *model, uint32_t config_version,
                                                 struct message **message);
// Takes over what a backend completed (TRITONBACKEND_ModelSetConfig).
NRD_MUST_USE struct nrd_status *model_set_config(struct model *model, uint32_t config_version,
                                                 struct slice json);

// Stops and frees a model without references. Blocking. Thread: the reaper, or the loader of a failed load.
void model_destroy(struct model *model);

// ---- inputs and outputs (model_io.c) ------------------------------------------------------------------------------

// Compiles inputs and outputs from the configuration, reads label files. Thread: loader.
NRD_MUST_USE struct nrd_status *model_compile_io(struct model *model);
void model_free_io(struct model *model);

#endif
