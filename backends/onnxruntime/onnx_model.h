// SPDX-License-Identifier: Apache-2.0
// A model of this backend: one session, shared by all instances, and what is known of its tensors.
//
// One session is enough: ONNX Runtime lets any number of threads run it at once, each run has its
// own values, and the weights and the thread pool exist once instead of once an instance
// (docs/decisions/0004-onnxruntime-one-session.md).
//
//   onnx_model.c     finds the file, makes the session, reads its tensors
//   onnx_complete.c  fills in a configuration that leaves tensors or the batch limit open
//   onnx_check.c     compares the configuration with the model
//   onnx_execute.c   runs a batch
#ifndef NEREID_BACKENDS_ONNXRUNTIME_ONNX_MODEL_H
#define NEREID_BACKENDS_ONNXRUNTIME_ONNX_MODEL_H

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

struct onnx_model {
    struct ort_library *library;
    int default_max_batch_size;
    struct model_config config;
    char *path; // of the file
    struct ort_session *session;
    struct ort_run_options *run_options; // NULL when there is nothing to say
    struct arena arena;                  // owns what follows
    struct onnx_tensors inputs;
    struct onnx_tensors outputs;
    struct onnx_tensors initializers; // that a request may override: the optional inputs
    struct ragged_input *ragged;
    uint32_t ragged_count;
    struct onnx_output *responses;
    uint32_t response_count;
};

// Loads, completes and checks. Returns owned (onnx_model_destroy). Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *onnx_model_create(TRITONBACKEND_Model *handle,
                                                   struct ort_library *library,
                                                   int default_max_batch_size,
                                                   struct onnx_model **model);
void onnx_model_destroy(struct onnx_model *model);

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
struct onnx_instance;
NRD_MUST_USE TRITONSERVER_Error *onnx_instance_create(struct onnx_model *model,
                                                      TRITONBACKEND_ModelInstance *handle,
                                                      struct onnx_instance **instance);
void onnx_instance_destroy(struct onnx_instance *instance);
// TRITONBACKEND_ModelInstanceExecute. Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *onnx_execute(struct onnx_instance *s,
                                              TRITONBACKEND_Request **requests, uint32_t count);

#endif
