// SPDX-License-Identifier: Apache-2.0
// What onnx_execute.c, onnx_gpu.c and onnx_values.c share: the state of an instance. Thread: owner (the
// instance's thread).
#ifndef NEREID_BACKENDS_ONNXRUNTIME_ONNX_EXECUTE_H
#define NEREID_BACKENDS_ONNXRUNTIME_ONNX_EXECUTE_H

#include "backends/common/gpu_batch.h"
#include "backends/onnxruntime/onnx_session.h"

enum { ONNX_DIMS_MAX = 64 };

// An output that some request of the batch wants.
struct output_slot {
    const struct onnx_output *output;
    bool direct; // the response's memory was found before the run ..
    bool bound;  // .. and the run writes to it
    void *data;  // that memory
    uint64_t size;
    // On a GPU:
    struct gpu_place place; // with `direct`: the response's memory
    void *result;           // what the run writes to, with `bound`
};
struct onnx_gpu;

struct onnx_instance {
    struct onnx_model *model;
    struct onnx_session *session;
    struct onnx_gpu *gpu; // NULL on the CPU
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

// ---- onnx_execute.c ----
// A tensor over memory that is borrowed until the value is released.
NRD_MUST_USE TRITONSERVER_Error *onnx_wrap(struct onnx_instance *s, const void *data, uint64_t size,
                                           const int64_t *dims, uint32_t dim_count, int element,
                                           struct ort_value **value);
// Starts an input of the run: `*slot` is its place. `tensor` may be NULL, which is an error.
NRD_MUST_USE TRITONSERVER_Error *onnx_add_input(struct onnx_instance *s, const char *name,
                                                const struct onnx_tensor *tensor, uint32_t *slot);
// The shape of an input for the whole batch; `dims` has room for ONNX_DIMS_MAX.
NRD_MUST_USE TRITONSERVER_Error *onnx_batch_shape(struct onnx_instance *s,
                                                  const struct batch_input *first,
                                                  const struct onnx_tensor *tensor, int64_t *dims,
                                                  uint32_t *dim_count);
// A numeric input of the whole batch, on the CPU.
NRD_MUST_USE TRITONSERVER_Error *onnx_gather_input(struct onnx_instance *s,
                                                   const struct batch_input *first);
// The shape of an output if it is known before the run, and its bytes.
bool onnx_shape_known(const struct onnx_instance *s, const struct onnx_tensor *t, int64_t *dims,
                      uint64_t *size);
// The shape that a response shows: the run's, or for a scalar the configuration's. `*dims` has room
// for ONNX_DIMS_MAX.
NRD_MUST_USE TRITONSERVER_Error *onnx_shown_shape(const struct onnx_output *output, int64_t *dims,
                                                  uint32_t *dim_count);
// The shape of a value, as a response shows it.
NRD_MUST_USE TRITONSERVER_Error *onnx_value_shape(struct onnx_instance *s,
                                                  const struct onnx_output *output,
                                                  const struct ort_value *value, int64_t *dims,
                                                  uint32_t *dim_count);
// Hands an output that lies on the CPU to the responses.
NRD_MUST_USE TRITONSERVER_Error *
onnx_hand_out(struct onnx_instance *s, const struct output_slot *out, struct ort_value *value);

// ---- onnx_gpu.c ----
NRD_MUST_USE TRITONSERVER_Error *onnx_gpu_create(struct onnx_instance *s);
void onnx_gpu_destroy(struct onnx_instance *s);
// Gathers, runs and hands out, all queued into the session's stream; waits before it returns.
NRD_MUST_USE TRITONSERVER_Error *onnx_gpu_work(struct onnx_instance *s);

// ---- onnx_values.c ----
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
// Makes the tensors of one batch_input, on the CPU, and adds them to the inputs of the run.
NRD_MUST_USE TRITONSERVER_Error *onnx_gather_ragged(struct onnx_instance *s,
                                                    const struct ragged_input *ragged);

#endif
