// SPDX-License-Identifier: Apache-2.0
// Fallback: what --gpu-fallback=cpu does for a model whose own files are for a GPU.
#ifndef NEREID_CORE_FALLBACK_H
#define NEREID_CORE_FALLBACK_H

#include "config/model_config.h"
#include "core/gpus.h"
#include "core/options.h"

// Where there is no GPU and `options` say cpu: a model of TensorRT, PyTorch or TensorFlow whose own file is in none of its
// versions, while each has a model.onnx, is given to onnxruntime; logged as a warning. Anything else stays as it is.
// `gpus` may be NULL: none. `config` is complete (config_complete). Blocks on files. Thread: loader.
NRD_MUST_USE struct nrd_status *fallback_to_onnx(const struct server_options *options,
                                                 struct gpus *gpus, Inference__ModelConfig *config,
                                                 const char *model_name, const char *directory);

#endif
