// SPDX-License-Identifier: Apache-2.0
// The functions that a host calls, for the table of the backend that this is linked into. See entry.h.
#include "backends/common/entry.h"

#include "base/mem.h"

// ---- the backend ----

static void end_backend(void *state)
{
    if (this_backend.fini != NULL) {
        this_backend.fini(state);
    }
    mem_free(state);
}

static TRITONSERVER_Error *begin_backend(TRITONBACKEND_Backend *backend,
                                         const struct backend_settings *settings)
{
    void *state = mem_calloc(1, this_backend.size);
    if (state == NULL) {
        return backend_no_memory();
    }
    TRITONSERVER_Error *error =
        this_backend.init == NULL ? NULL : this_backend.init(state, backend, settings);
    if (error == NULL) {
        error = TRITONBACKEND_BackendSetState(backend, state);
    }
    if (error != NULL) {
        end_backend(state);
    }
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_Initialize(TRITONBACKEND_Backend *backend)
{
    struct backend_settings settings;
    BACKEND_TRY(backend_check_version(this_backend.name));
    BACKEND_TRY(backend_settings_init(&settings, backend));
    TRITONSERVER_Error *error = begin_backend(backend, &settings);
    backend_settings_fini(&settings);
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_Finalize(TRITONBACKEND_Backend *backend)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_BackendState(backend, &state));
    if (state != NULL) { // NVIDIA's server finalizes a backend that failed to initialize, too
        end_backend(state);
    }
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_GetBackendAttribute(TRITONBACKEND_Backend *backend,
                                                      TRITONBACKEND_BackendAttribute *attributes)
{
    void *state = NULL;
    TRITONSERVER_InstanceGroupKind kind = TRITONSERVER_INSTANCEGROUPKIND_CPU;
    BACKEND_TRY(TRITONBACKEND_BackendState(backend, &state));
    if (this_backend.preferred_kind != NULL) {
        kind = this_backend.preferred_kind(state);
    }
    if (kind != TRITONSERVER_INSTANCEGROUPKIND_AUTO) {
        BACKEND_TRY(
            TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup(attributes, kind, 0, NULL, 0));
    }
    return TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(attributes, true);
}

// ---- models ----

static void end_model(void *state)
{
    this_backend.model->fini(state);
    mem_free(state);
}

TRITONSERVER_Error *TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model *model)
{
    TRITONBACKEND_Backend *backend = NULL;
    void *shared = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelBackend(model, &backend));
    BACKEND_TRY(TRITONBACKEND_BackendState(backend, &shared));
    void *state = mem_calloc(1, this_backend.model->size);
    if (state == NULL) {
        return backend_no_memory();
    }
    TRITONSERVER_Error *error = this_backend.model->init(state, model, shared);
    if (error == NULL) {
        error = TRITONBACKEND_ModelSetState(model, state);
    }
    if (error != NULL) {
        end_model(state);
    }
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model *model)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelState(model, &state));
    if (state != NULL) {
        end_model(state);
    }
    return NULL;
}

// ---- instances ----

static void end_instance(void *state)
{
    this_backend.instance->fini(state);
    mem_free(state);
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance *instance)
{
    TRITONBACKEND_Model *model = NULL;
    void *of_model = NULL;
    TRITONSERVER_InstanceGroupKind kind = TRITONSERVER_INSTANCEGROUPKIND_CPU;
    int32_t gpu = -1;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceKind(instance, &kind));
    if (kind == TRITONSERVER_INSTANCEGROUPKIND_GPU) {
        BACKEND_TRY(TRITONBACKEND_ModelInstanceDeviceId(instance, &gpu));
    }
    BACKEND_TRY(TRITONBACKEND_ModelInstanceModel(instance, &model));
    BACKEND_TRY(TRITONBACKEND_ModelState(model, &of_model));
    void *state = mem_calloc(1, this_backend.instance->size);
    if (state == NULL) {
        return backend_no_memory();
    }
    TRITONSERVER_Error *error = this_backend.instance->init(state, instance, of_model, kind, gpu);
    if (error == NULL) {
        error = TRITONBACKEND_ModelInstanceSetState(instance, state);
    }
    if (error != NULL) {
        end_instance(state);
    }
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance *instance)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    if (state != NULL) {
        end_instance(state);
    }
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceReady(TRITONBACKEND_ModelInstance *instance)
{
    void *state = NULL;
    if (this_backend.instance->ready == NULL) {
        return NULL;
    }
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    return state == NULL ? NULL : this_backend.instance->ready(state);
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance *instance,
                                                       TRITONBACKEND_Request **requests,
                                                       const uint32_t request_count)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    return request_count == 0 ? NULL
                              : this_backend.instance->execute(state, requests, request_count);
}
