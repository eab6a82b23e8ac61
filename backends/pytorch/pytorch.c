// SPDX-License-Identifier: Apache-2.0
// pytorch: serves TorchScript models, and packages of torch.export, on libtorch. The entry points;
// what they do is in torch_model.h.
//
// A model is <model>/<version>/model.pt (platform pytorch_libtorch), model.pt2 (torch_aoti), or
// default_model_filename. Parameters of the model, as Triton's own backend takes them:
//   DISABLE_OPTIMIZED_EXECUTION, INFERENCE_MODE, DISABLE_CUDNN, ENABLE_CACHE_CLEANING
//   ENABLE_WEIGHT_SHARING, ENABLE_JIT_PROFILING, ENABLE_JIT_EXECUTOR, ENABLE_TENSOR_FUSER
//   INTRA_OP_THREAD_COUNT, INTER_OP_THREAD_COUNT (also NUM_THREADS, NUM_INTEROP_THREADS)
#include "backends/pytorch/torch_model.h"
#include "base/mem.h"
#include "nereid/ext/core.h"

TRITONSERVER_Error *TRITONBACKEND_Initialize(TRITONBACKEND_Backend *backend)
{
    (void)backend;
    BACKEND_TRY(backend_check_version("pytorch"));
    BACKEND_LOG(INFO, "libtorch %s, %d GPUs", torch_shim_version(), torch_shim_gpus());
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_Finalize(TRITONBACKEND_Backend *backend)
{
    (void)backend;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_GetBackendAttribute(TRITONBACKEND_Backend *backend,
                                                      TRITONBACKEND_BackendAttribute *attributes)
{
    (void)backend;
    if (torch_shim_gpus() == 0) {
        // Where there are GPUs, a model that names no instance group would be given to them.
        BACKEND_TRY(TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup(
            attributes, TRITONSERVER_INSTANCEGROUPKIND_CPU, 0, NULL, 0));
    }
    return TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(attributes, true);
}

TRITONSERVER_Error *TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model *model)
{
    struct torch_model *m = NULL;
    BACKEND_TRY(torch_model_create(model, &m));
    TRITONSERVER_Error *error = TRITONBACKEND_ModelSetState(model, m);
    if (error != NULL) {
        torch_model_destroy(m);
    }
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model *model)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelState(model, &state));
    torch_model_destroy(state);
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance *instance)
{
    TRITONBACKEND_Model *model = NULL;
    TRITONSERVER_InstanceGroupKind kind = TRITONSERVER_INSTANCEGROUPKIND_CPU;
    void *state = NULL;
    int32_t device = TORCH_CPU;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceKind(instance, &kind));
    if (kind == TRITONSERVER_INSTANCEGROUPKIND_GPU) {
        BACKEND_TRY(TRITONBACKEND_ModelInstanceDeviceId(instance, &device));
    }
    BACKEND_TRY(TRITONBACKEND_ModelInstanceModel(instance, &model));
    BACKEND_TRY(TRITONBACKEND_ModelState(model, &state));
    struct torch_instance *s = NULL;
    BACKEND_TRY(torch_instance_create(state, instance, device,
                                      kind == TRITONSERVER_INSTANCEGROUPKIND_MODEL, &s));
    TRITONSERVER_Error *error = TRITONBACKEND_ModelInstanceSetState(instance, s);
    if (error != NULL) {
        torch_instance_destroy(s);
    }
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance *instance)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    torch_instance_destroy(state);
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceReady(TRITONBACKEND_ModelInstance *instance)
{
    (void)instance; // what a module lacks shows at its next run
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance *instance,
                                                       TRITONBACKEND_Request **requests,
                                                       const uint32_t request_count)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    return torch_execute(state, requests, request_count);
}

NEREID_BACKEND_TRIM
{
    torch_trim();
}
