// SPDX-License-Identifier: Apache-2.0
// A model of this backend: its sessions and what is known of its tensors.
//
//   onnx_model.c        finds the file, opens the first session, reads its tensors
//   onnx_session.c      options of sessions, on the CPU and on GPUs
//   onnx_gpu_options.c  those of the providers of GPUs, out of the configuration
//   onnx_complete.c     fills in a configuration that leaves tensors or the batch limit open
//   onnx_check.c        compares the configuration with the model
//   onnx_execute.c      runs a batch on the CPU, onnx_gpu.c on a GPU, onnx_values.c strings
#ifndef NEREID_BACKENDS_ONNXRUNTIME_ONNX_MODEL_H
#define NEREID_BACKENDS_ONNXRUNTIME_ONNX_MODEL_H

#include "backends/common/entry.h"
#include "backends/common/ragged.h"
#include "backends/onnxruntime/ort_library.h"
#include "base/str.h"

// A tensor as the model declares it: -1 where a dimension is open.
struct onnx_tensor {
    const char *name;
    int element; // enum ort_element
    TRITONSERVER_DataType dtype;
    const int64_t *dims;
    uint32_t dim_count;
};
struct onnx_tensors {
    struct onnx_tensor *items;
    uint32_t count;
};

// An output of the configuration, in the order in which responses get them (by name).
struct onnx_output {
    const struct model_tensor *config;
    const struct onnx_tensor *tensor;
    const char *scatter_source; // batch_output: the input whose shape divides it; else NULL
};

struct onnx_session;

// What all models share.
struct onnx_backend {
    struct ort_library library;
    int default_max_batch_size;
};

struct onnx_model {
    struct ort_library *library;
    int default_max_batch_size;
    struct model_config config;
    TRITONBACKEND_Model *handle;
    pthread_mutex_t mutex;       // what follows
    struct onnx_session *first;  // that the model was read from; NULL once an instance has taken it
    struct onnx_session *shared; // of all instances on the CPU; NULL until there is one
    struct arena arena;          // owns what follows
    struct onnx_tensors inputs;
    struct onnx_tensors outputs;
    struct onnx_tensors initializers; // that a request may override: the optional inputs
    struct ragged_input *ragged;
    uint32_t ragged_count;
    struct onnx_output *responses;
    uint32_t response_count;
};

extern const struct model_table onnx_models;

// The path of the file that instances on `device` load. Returns owned. Thread: any.
NRD_MUST_USE TRITONSERVER_Error *onnx_model_file(const struct onnx_model *m, int device,
                                                 char **path);
// The session of an instance on a GPU, or on the CPU (GPU_IO_HOST). Returns owned
// (onnx_session_release). Thread: any.
NRD_MUST_USE TRITONSERVER_Error *onnx_session_acquire(struct onnx_model *m, int device,
                                                      struct onnx_session **session);
void onnx_session_release(struct onnx_model *m, struct onnx_session *session);

// Completes the configuration and hands it to the host. `*changed` tells whether it must be read
// anew.
NRD_MUST_USE TRITONSERVER_Error *onnx_complete(struct onnx_model *m, TRITONBACKEND_Model *handle,
                                               bool *changed);
// INVALID_ARG with Triton's text where the configuration and the model disagree; then fills in
// `ragged` and `responses`.
NRD_MUST_USE TRITONSERVER_Error *onnx_check(struct onnx_model *m);

// By name; NULL when absent. Thread: any.
const struct onnx_tensor *onnx_find(const struct onnx_tensors *tensors, const char *name);
// An input or an initializer that stands for an optional input. Thread: any.
const struct onnx_tensor *onnx_find_input(const struct onnx_model *m, const char *name);
// Data types, both ways; ORT_ELEMENT_UNDEFINED and TRITONSERVER_TYPE_INVALID where there is none.
TRITONSERVER_DataType onnx_to_triton(int element);
int onnx_from_triton(TRITONSERVER_DataType dtype);

// An instance: a batch and the memory that its executions use again and again.
extern const struct instance_table onnx_instances;

#endif
