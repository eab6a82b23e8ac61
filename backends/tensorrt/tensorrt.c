// SPDX-License-Identifier: Apache-2.0
// tensorrt: serves TensorRT plans on GPUs. What all models share; the rest is in
// trt_model.h.
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

static TRITONSERVER_Error *open_plugins(const struct backend_settings *settings)
{
    struct slice list = {0};
    struct slice path;
    if (!backend_setting(settings, "plugins", &list)) {
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

static TRITONSERVER_Error *set_policy(TRITONBACKEND_Backend *backend,
                                      const struct backend_settings *settings)
{
    struct slice text = {0};
    if (!backend_setting(settings, "execution-policy", &text)) {
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
static TRITONSERVER_Error *open_library(TRITONBACKEND_Backend *backend, struct trt_backend *b,
                                        const struct backend_settings *settings)
{
    TRITONBACKEND_ArtifactType type = TRITONBACKEND_ARTIFACT_FILESYSTEM;
    struct trt_places places = {.parser = false};
    BACKEND_TRY(TRITONBACKEND_BackendArtifacts(backend, &type, &places.directory));
    (void)backend_setting(settings, "library-path", &places.named);
    b->missing = trt_library_open(&places, &b->library);
    if (b->missing != NULL) {
        BACKEND_LOG(WARN, "%s", status_text(b->missing));
        return NULL;
    }
    BACKEND_TRY(open_plugins(settings));
    return start_runtime(b);
}

// ---- the backend ----

static TRITONSERVER_Error *init(void *backend, TRITONBACKEND_Backend *handle,
                                const struct backend_settings *settings)
{
    struct trt_backend *b = backend;
    pthread_mutex_init(&b->mutex, NULL);
    BACKEND_TRY(backend_setting_bool(settings, "coalesce-request-input", &b->coalesce));
    BACKEND_TRY(backend_setting_bool(settings, "version-compatible", &b->host_code));
    BACKEND_TRY(set_policy(handle, settings));
    return open_library(handle, b, settings);
}

static void fini(void *backend)
{
    struct trt_backend *b = backend;
    if (b->runtime != NULL) {
        b->library.shim->runtime_destroy(b->runtime);
    }
    status_free(b->missing);
    trt_library_fini(&b->library);
    pthread_mutex_destroy(&b->mutex);
}

static TRITONSERVER_InstanceGroupKind preferred_kind(const void *backend)
{
    (void)backend;
    return TRITONSERVER_INSTANCEGROUPKIND_GPU;
}

const struct backend_table this_backend = {.name = "tensorrt",
                                           .size = sizeof(struct trt_backend),
                                           .init = init,
                                           .fini = fini,
                                           .preferred_kind = preferred_kind,
                                           .model = &trt_models,
                                           .instance = &trt_instances};
