// SPDX-License-Identifier: Apache-2.0
// What onnx_execute.c and onnx_values.c share: the state of an instance. Thread: owner (the
// instance's thread).
#ifndef NEREID_BACKENDS_ONNXRUNTIME_ONNX_EXECUTE_H
#define NEREID_BACKENDS_ONNXRUNTIME_ONNX_EXECUTE_H

#include "backends/onnxruntime/onnx_model.h"

enum { ONNX_DIMS_MAX = 64 };

// An output that some request of the batch wants.
struct output_slot {
    const struct onnx_output *output;
    bool direct; // the response's memory was found before the run ..
    bool bound;  // .. and the run writes to it
    void *data;  // that memory
    uint64_t size;
};

struct onnx_instance {
    struct onnx_model *model;
    struct batch batch;
    // Inputs of the run; parallel arrays of input_max places.
    uint32_t input_max;
    uint32_t input_count;
    struct scratch *inputs;
    const char **input_names;
    struct ort_value **input_values;
    // Outputs of the run; parallel arrays of one place a response.
    uint32_t output_count;
    struct output_slot *outputs;
    const char **output_names;
    struct ort_value **output_values;
    struct scratch text;    // string outputs: their bytes
    struct scratch offsets; // and where each begins
};

// A tensor over memory that is borrowed until the value is released.
NRD_MUST_USE TRITONSERVER_Error *onnx_wrap(struct onnx_instance *s, const void *data, uint64_t size,
                                           const int64_t *dims, uint32_t dim_count, int element,
                                           struct ort_value **value);
// A string tensor of the whole batch. A request whose strings are broken is answered; its place has
// empty strings.
NRD_MUST_USE TRITONSERVER_Error *onnx_gather_strings(struct onnx_instance *s, const char *name,
                                                     const int64_t *dims, uint32_t dim_count,
                                                     struct scratch *scratch,
                                                     struct ort_value **value);
// Hands each request its rows of a string tensor. `dims` as in batch_scatter.
NRD_MUST_USE TRITONSERVER_Error *onnx_scatter_strings(struct onnx_instance *s, const char *name,
                                                      const struct ort_value *value, int64_t *dims,
                                                      uint32_t dim_count, bool batching);
// Makes the tensors of one batch_input and adds them to the inputs of the run.
NRD_MUST_USE TRITONSERVER_Error *onnx_gather_ragged(struct onnx_instance *s,
                                                    const struct ragged_input *ragged);

#endif
