// SPDX-License-Identifier: Apache-2.0
// A session of ONNX Runtime: a model's file, ready to run on the CPU or on one GPU. On the CPU all
// instances share one (docs/decisions/0004-onnxruntime-one-session.md); on a GPU each has its own,
// since a session works in one stream.
#ifndef NEREID_BACKENDS_ONNXRUNTIME_ONNX_SESSION_H
#define NEREID_BACKENDS_ONNXRUNTIME_ONNX_SESSION_H

#include "backends/onnxruntime/onnx_model.h"

struct onnx_session {
    struct ort_session *handle;
    struct ort_run_options *run_options; // of a run that is not captured
    int device;                          // the GPU, or GPU_IO_HOST
    // Of a GPU:
    struct gpu_io *io;              // its stream is the session's
    struct ort_memory_info *memory; // "Cuda" and its number
    bool cuda_graphs;               // runs are captured where shapes are fixed
    struct arena arena;
};

// Loads the model's file for one device. On a failure that concerns a provider the text names it.
// Returns owned (onnx_session_close). Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *onnx_session_open(struct onnx_model *m, int device,
                                                   struct onnx_session **session);
void onnx_session_close(struct onnx_model *m, struct onnx_session *session);
// Run options for the captured graph of that number, -1 for none. Returns owned. Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *onnx_run_options(const struct onnx_model *m,
                                                  const struct onnx_session *session, int64_t graph,
                                                  struct ort_run_options **options);

#endif
