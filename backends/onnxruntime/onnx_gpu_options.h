// SPDX-License-Identifier: Apache-2.0
// What a configuration says about a model on a GPU, as the options of ONNX Runtime's execution
// providers: Triton's names in, the providers' names out.
//
//   optimization.execution_accelerators.gpu_execution_accelerator   "tensorrt", "cuda"
//   optimization.cuda.graphs                                        CUDA graphs
//   parameters cudnn_conv_algo_search, gpu_mem_limit, arena_extend_strategy,
//   do_copy_in_default_stream                                       the older way; they win
#ifndef NEREID_BACKENDS_ONNXRUNTIME_ONNX_GPU_OPTIONS_H
#define NEREID_BACKENDS_ONNXRUNTIME_ONNX_GPU_OPTIONS_H

#include "backends/common/model_config.h"

enum { ONNX_OPTIONS_MAX = 96 };

// Keys and values side by side, as the providers take them.
struct onnx_options {
    const char *keys[ONNX_OPTIONS_MAX];
    const char *values[ONNX_OPTIONS_MAX];
    size_t count;
};
struct onnx_gpu_options {
    bool tensorrt; // before the CUDA provider, which takes what TensorRT cannot
    struct onnx_options tensorrt_options;
    struct onnx_options cuda_options;
    bool cuda_graphs;
};

// Reads them; strings go to `arena`. INVALID_ARG, with Triton's texts, for an accelerator or a
// parameter that there is not and for values that cannot be. Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *onnx_gpu_options_read(const struct model_config *config,
                                                       struct arena *arena,
                                                       struct onnx_gpu_options *options);
// The value of a key; NULL when it is not set. Thread: any.
const char *onnx_option(const struct onnx_options *options, const char *key);
// Sets one, in the place of an older value. INVALID_ARG beyond ONNX_OPTIONS_MAX. Borrows both texts.
// Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *onnx_option_set(struct onnx_options *options, const char *key,
                                                 const char *value);

#endif
