// SPDX-License-Identifier: Apache-2.0
// onnxruntime: serves ONNX models on ONNX Runtime, on the CPU and on GPUs. What all models share; the
// rest is in onnx_model.h.
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
#include "nereid/ext/core.h"

static TRITONSERVER_Error *init(void *backend, TRITONBACKEND_Backend *handle,
                                const struct backend_settings *settings)
{
    struct onnx_backend *b = backend;
    BACKEND_TRY(ort_library_init(&b->library, handle, settings));
    return backend_setting_int(settings, "default-max-batch-size", &b->default_max_batch_size);
}

static void fini(void *backend)
{
    struct onnx_backend *b = backend;
    ort_library_fini(&b->library);
}

static TRITONSERVER_InstanceGroupKind preferred_kind(const void *backend)
{
    const struct onnx_backend *b = backend;
    return b->library.has_cuda ? TRITONSERVER_INSTANCEGROUPKIND_AUTO
                               : TRITONSERVER_INSTANCEGROUPKIND_CPU;
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

const struct backend_table this_backend = {.name = "onnxruntime",
                                           .size = sizeof(struct onnx_backend),
                                           .init = init,
                                           .fini = fini,
                                           .preferred_kind = preferred_kind,
                                           .model = &onnx_models,
                                           .instance = &onnx_instances};
