// SPDX-License-Identifier: Apache-2.0
// A model of this backend: its plan on each GPU that an instance of it is on, and instances that keep
// two batches on their way, so that one's inputs travel while the other computes.
//
//   trt_library.c    finds libnvinfer and the shim for it (trt_shim.h)
//   trt_model.c      settings, the plan's file, engines and who shares them
//   trt_complete.c   writes what a configuration leaves out from the plan
//   trt_check.c      compares a configuration with the plan, in Triton's words
//   trt_profile.c    optimization profiles: what they take, which one fits best
//   trt_graph.c      CUDA graphs: which are wanted, capture, choice
//   trt_instance.c   slots, streams, memory, the thread that sends answers
//   trt_execute.c    a batch: gathered, bound, queued, scattered
#ifndef NEREID_BACKENDS_TENSORRT_TRT_MODEL_H
#define NEREID_BACKENDS_TENSORRT_TRT_MODEL_H

#include <pthread.h>

#include "backends/common/entry.h"
#include "backends/common/ragged.h"
#include "backends/tensorrt/trt_library.h"
#include "gpu/device.h"

// What all models share.
struct trt_backend {
    struct trt_library library;
    struct nrd_status *missing; // why there is no TensorRT; models then fail with it
    struct trt_runtime *runtime;
    pthread_mutex_t mutex; // of the runtime: it reads one plan at a time
    bool coalesce;         // coalesce-request-input
    bool host_code;        // version-compatible
};

// A tensor of the plan, and what the configuration says of it.
struct trt_io {
    struct trt_tensor tensor; // its name is the plan's, owned by the model's arena
    TRITONSERVER_DataType dtype;
    uint32_t element;                  // bytes
    bool open;                         // its shape has -1
    const struct model_tensor *config; // NULL: a control of the sequence batcher, or a batch input
    const struct ragged_input *ragged; // that computes it; NULL: requests bring it
    const char *scatter_source;        // outputs: divided by that input's shape; NULL: by rows
};

// A plan on one GPU.
struct trt_plan {
    struct trt_plan *next;
    struct gpu_device *device;
    int gpu;
    struct trt_engine *engine;
    struct trt_engine_info info;
    struct trt_io *ios;
    uint32_t io_count;
    bool checked; // against the configuration
    bool shared;  // by all instances on the GPU
    int users;
};

// A CUDA graph that the configuration asks for; dims without the batch dimension.
struct trt_graph_input {
    const char *name;
    struct trt_dims dims;
    struct trt_dims lower;
};
struct trt_graph_spec {
    int64_t batch;
    int64_t lower_batch;
    const struct trt_graph_input *inputs;
    uint32_t input_count;
};

struct trt_model {
    struct trt_backend *backend;
    struct model_config config;
    struct gpu_system *gpus;
    struct ragged_input *ragged;
    uint32_t ragged_count;
    bool on_profile_change; // execution_context_allocation_strategy
    bool graphs;
    struct trt_graph_spec *specs;
    uint32_t spec_count;
    int priority;          // enum gpu_priority
    pthread_mutex_t mutex; // guards plans
    struct trt_plan *plans;
};

extern const struct model_table trt_models;

// The plan for an instance on GPU `gpu`, loaded or shared, and checked (`who` names the instance in
// texts); give it back with trt_plan_release. Thread: any.
NRD_MUST_USE TRITONSERVER_Error *trt_plan_acquire(struct trt_model *m, int gpu, const char *who,
                                                  struct trt_plan **plan);
void trt_plan_release(struct trt_model *m, struct trt_plan *plan);
// NULL when the plan has no such tensor. Thread: any.
struct trt_io *trt_plan_find(const struct trt_plan *plan, const char *name);

// "TYPE_INVALID" for types that Triton does not have. Thread: any.
TRITONSERVER_DataType trt_triton_type(enum trt_type type);
// Whether some dimension is -1. Thread: any.
bool trt_dims_open(const struct trt_dims *dims);

// Writes what the configuration leaves out, from `plan`. Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *trt_complete(struct trt_model *m, TRITONBACKEND_Model *handle,
                                              const struct trt_plan *plan, bool *changed);
// INVALID_ARG or INTERNAL where configuration and plan disagree; fills in the plan's ios. Thread:
// owner.
NRD_MUST_USE TRITONSERVER_Error *trt_check(struct trt_model *m, struct trt_plan *plan,
                                           const char *who);

// The number in an optimization profile's name. Thread: any.
NRD_MUST_USE TRITONSERVER_Error *trt_profile_index(const char *name, int *index);
// The largest batch that the profiles of the configuration's instance groups take. Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *
trt_profile_batch_limit(const struct trt_model *m, const struct trt_plan *plan, int64_t *limit);

// Reads optimization.cuda. Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *trt_graph_read(struct trt_model *m);

// An instance: contexts of one plan, and the slots of its batches.
extern const struct instance_table trt_instances;

#endif
