// SPDX-License-Identifier: Apache-2.0
// onnxruntime: serves ONNX models on ONNX Runtime, on the CPU and on GPUs. The entry points; what they
// do is in onnx_model.h.
//
// A model is <model>/<version>/model.onnx (or default_model_filename), a file or a directory that
// holds model.onnx. Parameters of the model, as Triton's own backend takes them:
//   intra_op_thread_count, inter_op_thread_count, execution_mode (0 sequential, 1 parallel)
//   enable_mem_arena, enable_mem_pattern, memory.enable_memory_arena_shrinkage
//   session.*, optimization.*, ep.*   passed to ONNX Runtime under their names
//   cudnn_conv_algo_search, gpu_mem_limit, arena_extend_strategy, do_copy_in_default_stream
// and the execution accelerators of onnx_gpu_options.h.
// Settings of the command line: library-path, default-max-batch-size, enable-global-threadpool with
// intra_op_thread_count and inter_op_thread_count.
#include "backends/onnxruntime/onnx_model.h"
#include "base/mem.h"
#include "nereid/ext/core.h"

struct onnx_backend {
    struct ort_library library;
    int default_max_batch_size;
};

TRITONSERVER_Error *TRITONBACKEND_Initialize(TRITONBACKEND_Backend *backend)
{
    BACKEND_TRY(backend_check_version("onnxruntime"));
    struct backend_settings settings;
    BACKEND_TRY(backend_settings_init(&settings, backend));
    struct onnx_backend *b = mem_calloc(1, sizeof(*b));
    TRITONSERVER_Error *error =
        b == NULL ? backend_no_memory() : ort_library_init(&b->library, backend, &settings);
    struct slice text = {0};
    if (error == NULL && backend_setting(&settings, "default-max-batch-size", &text)) {
        error = backend_parse_int("default-max-batch-size", text, &b->default_max_batch_size);
    }
    if (error == NULL) {
        error = TRITONBACKEND_BackendSetState(backend, b);
    }
    if (error != NULL && b != NULL) {
        ort_library_fini(&b->library);
        mem_free(b);
    }
    backend_settings_fini(&settings);
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_Finalize(TRITONBACKEND_Backend *backend)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_BackendState(backend, &state));
    struct onnx_backend *b = state;
    if (b != NULL) {
        ort_library_fini(&b->library);
        mem_free(b);
    }
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_GetBackendAttribute(TRITONBACKEND_Backend *backend,
                                                      TRITONBACKEND_BackendAttribute *attributes)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_BackendState(backend, &state));
    const struct onnx_backend *b = state;
    if (b != NULL && !b->library.has_cuda) {
        // Where there are GPUs, a model that names no instance group would be given to them.
        BACKEND_TRY(TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup(
            attributes, TRITONSERVER_INSTANCEGROUPKIND_CPU, 0, NULL, 0));
    }
    return TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(attributes, true);
}

const char *nereid_backend_gpu_obstacle(void *backend)
{
    void *state = NULL;
    TRITONSERVER_Error *error = TRITONBACKEND_BackendState(backend, &state);
    if (error != NULL || state == NULL) {
        backend_log_error(error, "failed to find the state of the backend");
        return "the backend is not there";
    }
    struct onnx_backend *b = state;
    return ort_gpu_obstacle(&b->library);
}

TRITONSERVER_Error *TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model *model)
{
    TRITONBACKEND_Backend *backend = NULL;
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelBackend(model, &backend));
    BACKEND_TRY(TRITONBACKEND_BackendState(backend, &state));
    struct onnx_backend *b = state;
    struct onnx_model *m = NULL;
    BACKEND_TRY(onnx_model_create(model, &b->library, b->default_max_batch_size, &m));
    TRITONSERVER_Error *error = TRITONBACKEND_ModelSetState(model, m);
    if (error != NULL) {
        onnx_model_destroy(m);
    }
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model *model)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelState(model, &state));
    onnx_model_destroy(state);
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance *instance)
{
    TRITONBACKEND_Model *model = NULL;
    void *state = NULL;
    TRITONSERVER_InstanceGroupKind kind = TRITONSERVER_INSTANCEGROUPKIND_CPU;
    int32_t device = GPU_IO_HOST;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceKind(instance, &kind));
    if (kind == TRITONSERVER_INSTANCEGROUPKIND_GPU) {
        BACKEND_TRY(TRITONBACKEND_ModelInstanceDeviceId(instance, &device));
    }
    BACKEND_TRY(TRITONBACKEND_ModelInstanceModel(instance, &model));
    BACKEND_TRY(TRITONBACKEND_ModelState(model, &state));
    struct onnx_instance *s = NULL;
    BACKEND_TRY(onnx_instance_create(state, instance, device, &s));
    TRITONSERVER_Error *error = TRITONBACKEND_ModelInstanceSetState(instance, s);
    if (error != NULL) {
        onnx_instance_destroy(s);
    }
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance *instance)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    onnx_instance_destroy(state);
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceReady(TRITONBACKEND_ModelInstance *instance)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    return state == NULL ? NULL : onnx_instance_ready(state);
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance *instance,
                                                       TRITONBACKEND_Request **requests,
                                                       const uint32_t request_count)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    return onnx_execute(state, requests, request_count);
}
