// SPDX-License-Identifier: Apache-2.0
// tensorrt: serves TensorRT plans on GPUs. The entry points; what they do is in trt_model.h.
//
// A model is <model>/<version>/model.plan (platform tensorrt_plan), or default_model_filename, or
// cc_model_filenames by the GPU's compute capability. Settings of the command line
// (--backend-config=tensorrt,...): library-path, plugins, version-compatible, coalesce-request-input,
// execution-policy. Of a configuration: optimization.cuda, profile of an instance group, and the
// parameter execution_context_allocation_strategy.
#include "backends/tensorrt/trt_model.h"
#include "base/mem.h"

static void on_log(void *arg, enum trt_severity severity, const char *text)
{
    (void)arg;
    TRITONSERVER_LogLevel level = severity <= TRT_LOG_ERROR     ? TRITONSERVER_LOG_ERROR
                                  : severity == TRT_LOG_WARNING ? TRITONSERVER_LOG_WARN
                                                                : TRITONSERVER_LOG_VERBOSE;
    backend_log(level, "tensorrt", 0, "%s", text);
}

// ---- settings ----

static TRITONSERVER_Error *open_plugins(const struct trt_backend *b)
{
    struct slice list = {0};
    struct slice path;
    if (!backend_setting(&b->settings, "plugins", &list)) {
        return NULL;
    }
    while (slice_cut(&list, ';', &path)) {
        char *name = mem_strndup(path.ptr, path.len);
        if (name == NULL) {
            return backend_no_memory();
        }
        TRITONSERVER_Error *error =
            path.len == 0 ? NULL : backend_error(trt_library_open_plugin(name));
        mem_free(name);
        BACKEND_TRY(error);
    }
    return NULL;
}

static TRITONSERVER_Error *set_policy(TRITONBACKEND_Backend *backend, const struct trt_backend *b)
{
    struct slice text = {0};
    if (!backend_setting(&b->settings, "execution-policy", &text)) {
        return NULL;
    }
    bool by_device = slice_is(text, "DEVICE_BLOCKING");
    if (!by_device && !slice_is(text, "BLOCKING")) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "invalid value for 'execution-policy': '%.*s', expected "
                                 "'DEVICE_BLOCKING' or 'BLOCKING'",
                                 (int)text.len, text.ptr);
    }
    return TRITONBACKEND_BackendSetExecutionPolicy(
        backend,
        by_device ? TRITONBACKEND_EXECUTION_DEVICE_BLOCKING : TRITONBACKEND_EXECUTION_BLOCKING);
}

static TRITONSERVER_Error *read_switch(const struct trt_backend *b, const char *key, bool *value)
{
    struct slice text = {0};
    return backend_setting(&b->settings, key, &text) ? backend_parse_bool(key, text, value) : NULL;
}

static TRITONSERVER_Error *start_runtime(struct trt_backend *b)
{
    struct trt_why why = {.text = ""};
    int major = 0;
    int minor = 0;
    int patch = 0;
    const struct trt_shim *shim = b->library.shim;
    if (!shim->runtime_create(&b->library.symbols, on_log, NULL, &b->runtime, &why)) {
        b->missing = status_new(NRD_UNAVAILABLE, "%s", why.text);
        BACKEND_LOG(WARN, "%s", why.text);
        return NULL;
    }
    trt_version_split(b->library.version, &major, &minor, &patch);
    BACKEND_LOG(INFO, "TensorRT %d.%d.%d at '%s'", major, minor, patch, str_cstr(&b->library.path));
    if (b->library.plugin.len > 0) {
        BACKEND_LOG(VERBOSE, "no standard plugins: %s", str_cstr(&b->library.plugin));
    }
    if (b->host_code && !shim->runtime_allow_host_code(b->runtime)) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "version-compatible plans need TensorRT 8.6, this is %d.%d.%d",
                                 major, minor, patch);
    }
    return NULL;
}

// Without TensorRT the backend stays, so that each model says what it lacks.
static TRITONSERVER_Error *open_library(TRITONBACKEND_Backend *backend, struct trt_backend *b)
{
    TRITONBACKEND_ArtifactType type = TRITONBACKEND_ARTIFACT_FILESYSTEM;
    struct trt_places places = {.parser = false};
    BACKEND_TRY(TRITONBACKEND_BackendArtifacts(backend, &type, &places.directory));
    (void)backend_setting(&b->settings, "library-path", &places.named);
    b->missing = trt_library_open(&places, &b->library);
    if (b->missing != NULL) {
        BACKEND_LOG(WARN, "%s", status_text(b->missing));
        return NULL;
    }
    BACKEND_TRY(open_plugins(b));
    return start_runtime(b);
}

static void destroy(struct trt_backend *b)
{
    if (b->runtime != NULL) {
        b->library.shim->runtime_destroy(b->runtime);
    }
    status_free(b->missing);
    trt_library_fini(&b->library);
    backend_settings_fini(&b->settings);
    pthread_mutex_destroy(&b->mutex);
    mem_free(b);
}

TRITONSERVER_Error *TRITONBACKEND_Initialize(TRITONBACKEND_Backend *backend)
{
    BACKEND_TRY(backend_check_version("tensorrt"));
    struct trt_backend *b = mem_calloc(1, sizeof(*b));
    if (b == NULL) {
        return backend_no_memory();
    }
    pthread_mutex_init(&b->mutex, NULL);
    TRITONSERVER_Error *error = backend_settings_init(&b->settings, backend);
    if (error != NULL) {
        pthread_mutex_destroy(&b->mutex);
        mem_free(b);
        return error;
    }
    error = read_switch(b, "coalesce-request-input", &b->coalesce);
    if (error == NULL) {
        error = read_switch(b, "version-compatible", &b->host_code);
    }
    if (error == NULL) {
        error = set_policy(backend, b);
    }
    if (error == NULL) {
        error = open_library(backend, b);
    }
    if (error == NULL) {
        error = TRITONBACKEND_BackendSetState(backend, b);
    }
    if (error != NULL) {
        destroy(b);
    }
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_Finalize(TRITONBACKEND_Backend *backend)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_BackendState(backend, &state));
    destroy(state);
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_GetBackendAttribute(TRITONBACKEND_Backend *backend,
                                                      TRITONBACKEND_BackendAttribute *attributes)
{
    (void)backend;
    BACKEND_TRY(TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup(
        attributes, TRITONSERVER_INSTANCEGROUPKIND_GPU, 0, NULL, 0));
    return TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(attributes, true);
}

// ---- models and instances ----

TRITONSERVER_Error *TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model *model)
{
    TRITONBACKEND_Backend *backend = NULL;
    void *state = NULL;
    struct trt_model *m = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelBackend(model, &backend));
    BACKEND_TRY(TRITONBACKEND_BackendState(backend, &state));
    BACKEND_TRY(trt_model_create(model, state, &m));
    TRITONSERVER_Error *error = TRITONBACKEND_ModelSetState(model, m);
    if (error != NULL) {
        trt_model_destroy(m);
    }
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model *model)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelState(model, &state));
    trt_model_destroy(state);
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance *instance)
{
    TRITONBACKEND_Model *model = NULL;
    TRITONSERVER_InstanceGroupKind kind = TRITONSERVER_INSTANCEGROUPKIND_CPU;
    void *state = NULL;
    int32_t gpu = 0;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceKind(instance, &kind));
    BACKEND_TRY(TRITONBACKEND_ModelInstanceModel(instance, &model));
    BACKEND_TRY(TRITONBACKEND_ModelState(model, &state));
    if (kind != TRITONSERVER_INSTANCEGROUPKIND_GPU) {
        const struct trt_model *m = state;
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unable to load model '%s', TensorRT backend supports only GPU "
                                 "device",
                                 m->config.name);
    }
    BACKEND_TRY(TRITONBACKEND_ModelInstanceDeviceId(instance, &gpu));
    struct trt_instance *s = NULL;
    BACKEND_TRY(trt_instance_create(state, instance, gpu, &s));
    TRITONSERVER_Error *error = TRITONBACKEND_ModelInstanceSetState(instance, s);
    if (error != NULL) {
        trt_instance_destroy(s);
    }
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance *instance)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    trt_instance_destroy(state);
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceReady(TRITONBACKEND_ModelInstance *instance)
{
    (void)instance; // a lost GPU shows at the next batch
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance *instance,
                                                       TRITONBACKEND_Request **requests,
                                                       const uint32_t request_count)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    return trt_execute(state, requests, request_count);
}
