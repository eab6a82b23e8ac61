// SPDX-License-Identifier: Apache-2.0
// tensorflow: serves SavedModels and GraphDefs on TensorFlow 2. The entry points; what they do is
// in tf_model.h.
//
// A model is <model>/<version>/model.savedmodel (platform tensorflow_savedmodel) or
// <model>/<version>/model.graphdef (tensorflow_graphdef), or default_model_filename. Parameters of
// the model, as Triton's own backend takes them:
//   TF_NUM_INTRA_THREADS, TF_NUM_INTER_THREADS, TF_USE_PER_SESSION_THREADS
//   TF_GRAPH_TAG, TF_SIGNATURE_DEF, TF_INIT_OPS_FILE, MAX_SESSION_SHARE_COUNT
// Settings of the command line: library-path, default-max-batch-size, allow-soft-placement,
// gpu-memory-fraction, version (2).
#include "backends/tensorflow/tf_model.h"
#include "base/mem.h"

TRITONSERVER_Error *TRITONBACKEND_Initialize(TRITONBACKEND_Backend *backend)
{
    BACKEND_TRY(backend_check_version("tensorflow"));
    struct backend_settings settings;
    BACKEND_TRY(backend_settings_init(&settings, backend));
    struct tf_library *library = mem_calloc(1, sizeof(*library));
    TRITONSERVER_Error *error =
        library == NULL ? backend_no_memory() : tf_library_init(library, backend, &settings);
    if (error == NULL) {
        error = TRITONBACKEND_BackendSetState(backend, library);
        if (error != NULL) {
            tf_library_fini(library);
        }
    }
    if (error != NULL) {
        mem_free(library);
    }
    backend_settings_fini(&settings);
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_Finalize(TRITONBACKEND_Backend *backend)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_BackendState(backend, &state));
    struct tf_library *library = state;
    if (library != NULL) {
        tf_library_fini(library);
        mem_free(library);
    }
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_GetBackendAttribute(TRITONBACKEND_Backend *backend,
                                                      TRITONBACKEND_BackendAttribute *attributes)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_BackendState(backend, &state));
    const struct tf_library *library = state;
    if (!library->cuda) {
        // Where there are GPUs, a model that names no instance group would be given to them.
        BACKEND_TRY(TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup(
            attributes, TRITONSERVER_INSTANCEGROUPKIND_CPU, 0, NULL, 0));
    }
    return TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(attributes, true);
}

TRITONSERVER_Error *TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model *model)
{
    TRITONBACKEND_Backend *backend = NULL;
    void *state = NULL;
    struct tf_model *m = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelBackend(model, &backend));
    BACKEND_TRY(TRITONBACKEND_BackendState(backend, &state));
    BACKEND_TRY(tf_model_create(model, state, &m));
    TRITONSERVER_Error *error = TRITONBACKEND_ModelSetState(model, m);
    if (error != NULL) {
        tf_model_destroy(m);
    }
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model *model)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelState(model, &state));
    tf_model_destroy(state);
    return NULL;
}

static TRITONSERVER_Error *instance_device(TRITONBACKEND_ModelInstance *instance, int *device)
{
    TRITONSERVER_InstanceGroupKind kind = TRITONSERVER_INSTANCEGROUPKIND_CPU;
    int32_t id = 0;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceKind(instance, &kind));
    *device = kind == TRITONSERVER_INSTANCEGROUPKIND_MODEL ? TF_DEVICE_MODEL : TF_DEVICE_CPU;
    if (kind == TRITONSERVER_INSTANCEGROUPKIND_GPU) {
        BACKEND_TRY(TRITONBACKEND_ModelInstanceDeviceId(instance, &id));
        *device = id;
    }
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance *instance)
{
    TRITONBACKEND_Model *model = NULL;
    void *state = NULL;
    int device = TF_DEVICE_CPU;
    BACKEND_TRY(instance_device(instance, &device));
    BACKEND_TRY(TRITONBACKEND_ModelInstanceModel(instance, &model));
    BACKEND_TRY(TRITONBACKEND_ModelState(model, &state));
    struct tf_instance *s = NULL;
    BACKEND_TRY(tf_instance_create(state, instance, device, &s));
    TRITONSERVER_Error *error = TRITONBACKEND_ModelInstanceSetState(instance, s);
    if (error != NULL) {
        tf_instance_destroy(s);
    }
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance *instance)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    tf_instance_destroy(state);
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceReady(TRITONBACKEND_ModelInstance *instance)
{
    (void)instance; // a session does not get lost
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance *instance,
                                                       TRITONBACKEND_Request **requests,
                                                       const uint32_t request_count)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    return tf_execute(state, requests, request_count);
}
