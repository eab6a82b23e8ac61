// SPDX-License-Identifier: Apache-2.0
// pytorch: serves TorchScript models, and packages of torch.export, on libtorch. The rest is
// in torch_model.h.
//
// A model is <model>/<version>/model.pt (platform pytorch_libtorch), model.pt2 (torch_aoti), or
// default_model_filename. Parameters of the model, as Triton's own backend takes them:
//   DISABLE_OPTIMIZED_EXECUTION, INFERENCE_MODE, DISABLE_CUDNN, ENABLE_CACHE_CLEANING
//   ENABLE_WEIGHT_SHARING, ENABLE_JIT_PROFILING, ENABLE_JIT_EXECUTOR, ENABLE_TENSOR_FUSER
//   INTRA_OP_THREAD_COUNT, INTER_OP_THREAD_COUNT (also NUM_THREADS, NUM_INTEROP_THREADS)
#include "backends/pytorch/torch_model.h"
#include "nereid/ext/core.h"

static TRITONSERVER_Error *init(void *backend, TRITONBACKEND_Backend *handle,
                                const struct backend_settings *settings)
{
    (void)backend;
    (void)handle;
    (void)settings;
    BACKEND_LOG(INFO, "libtorch %s, %d GPUs", torch_shim_version(), torch_shim_gpus());
    return NULL;
}

static TRITONSERVER_InstanceGroupKind preferred_kind(const void *backend)
{
    (void)backend;
    return torch_shim_gpus() > 0 ? TRITONSERVER_INSTANCEGROUPKIND_AUTO
                                 : TRITONSERVER_INSTANCEGROUPKIND_CPU;
}

const struct backend_table this_backend = {.name = "pytorch",
                                           .init = init,
                                           .preferred_kind = preferred_kind,
                                           .model = &torch_models,
                                           .instance = &torch_instances};

NEREID_BACKEND_TRIM
{
    torch_trim();
}
