// SPDX-License-Identifier: Apache-2.0
// Finds and opens ONNX Runtime's library. See ort_library.h.
#include "backends/onnxruntime/ort_library.h"

#include <dlfcn.h>
#include <glob.h>

#include "backends/common/framework.h"
#include "base/mem.h"

// ---- errors and log ----

TRITONSERVER_Error *ort_error(const struct ort_library *library, struct ort_status *status)
{
    if (status == NULL) {
        return NULL;
    }
    TRITONSERVER_Error *error = backend_error_new(
        TRITONSERVER_ERROR_INTERNAL, "onnx runtime error %d: %s",
        library->fn.get_error_code(status), library->fn.get_error_message(status));
    library->fn.release_status(status);
    return error;
}

static void log_line(void *userp, int level, const char *category, const char *log_id,
                     const char *location, const char *message)
{
    (void)userp;
    (void)category;
    (void)log_id;
    TRITONSERVER_LogLevel to = TRITONSERVER_LOG_VERBOSE;
    if (level == ORT_LOG_WARNING) {
        to = TRITONSERVER_LOG_WARN;
    } else if (level > ORT_LOG_WARNING) {
        to = TRITONSERVER_LOG_ERROR;
    }
    backend_log(to, location != NULL && location[0] != '\0' ? location : "onnxruntime", 0, "%s",
                message);
}

static const struct framework onnxruntime = {
    .title = "ONNX Runtime",
    .file = "libonnxruntime.so",
    .backend = "onnxruntime",
    .variable = "NEREID_ONNXRUNTIME",
    .places =
        (const char *const[]){"/libonnxruntime.so", "/libonnxruntime.so.1", "/libonnxruntime.so.*",
                              "/capi/libonnxruntime.so*", "/onnxruntime/capi/libonnxruntime.so*",
                              "/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so*",
                              "/lib/python3*/dist-packages/onnxruntime/capi/libonnxruntime.so*",
                              NULL},
    .names = (const char *const[]){"libonnxruntime.so.1", "libonnxruntime.so", NULL},
    .flags = RTLD_NOW | RTLD_LOCAL,
};

// ---- the table ----

static TRITONSERVER_Error *read_table(struct ort_library *library, void *handle)
{
    const struct ort_base *(*get_base)(void) = NULL;
    void *symbol = dlsym(handle, "OrtGetApiBase");
    memcpy(&get_base, &symbol, sizeof(get_base));
    if (get_base == NULL) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "'%s' is not ONNX Runtime: it has no OrtGetApiBase",
                                 library->path);
    }
    const struct ort_base *base = get_base();
    library->version = base->get_version();
    const void *const *table = base->get_table(ORT_TABLE_VERSION);
    if (table == NULL) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "ONNX Runtime %s at '%s' is too old: 1.%d or newer is needed",
                                 library->version, library->path, ORT_TABLE_VERSION);
    }
    // A function pointer and an object pointer have one form on every system that has dlsym.
#define ORT_READ(place, type, name, args)                                                          \
    memcpy(&library->fn.name, &table[place], sizeof(library->fn.name));
    ORT_FUNCTIONS(ORT_READ)
    table = base->get_table(ORT_NEWER_TABLE_VERSION);
    if (table != NULL) {
        ORT_NEWER_FUNCTIONS(ORT_READ)
    }
#undef ORT_READ
    return NULL;
}

static TRITONSERVER_Error *make_env_with_threads(struct ort_library *library, int level,
                                                 const struct backend_settings *settings)
{
    int intra = 0;
    int inter = 0;
    BACKEND_TRY(backend_setting_int(settings, "intra_op_thread_count", &intra));
    BACKEND_TRY(backend_setting_int(settings, "inter_op_thread_count", &inter));
    struct ort_threading_options *options = NULL;
    ORT_TRY(library, library->fn.create_threading_options(&options));
    struct ort_status *status = NULL;
    if (intra > 0) {
        status = library->fn.set_global_intra_op_threads(options, intra);
    }
    if (status == NULL && inter > 0) {
        status = library->fn.set_global_inter_op_threads(options, inter);
    }
    if (status == NULL) {
        status = library->fn.create_env_with_threads(log_line, NULL, level, "log", options,
                                                     &library->env);
    }
    library->fn.release_threading_options(options);
    return ort_error(library, status);
}

static TRITONSERVER_Error *make_env(struct ort_library *library,
                                    const struct backend_settings *settings)
{
    int level = ORT_LOG_ERROR;
    if (TRITONSERVER_LogIsEnabled(TRITONSERVER_LOG_VERBOSE)) {
        level = ORT_LOG_VERBOSE;
    } else if (TRITONSERVER_LogIsEnabled(TRITONSERVER_LOG_WARN)) {
        level = ORT_LOG_WARNING;
    }
    BACKEND_TRY(
        backend_setting_bool(settings, "enable-global-threadpool", &library->global_threads));
    if (library->global_threads) {
        BACKEND_TRY(make_env_with_threads(library, level, settings));
    } else {
        ORT_TRY(library, library->fn.create_env(log_line, NULL, level, "log", &library->env));
    }
    ORT_TRY(library, library->fn.default_allocator(&library->allocator));
    ORT_TRY(library, library->fn.create_cpu_memory_info(ORT_ALLOCATOR_ARENA, ORT_MEMORY_DEFAULT,
                                                        &library->cpu));
    return NULL;
}

TRITONSERVER_Error *ort_library_init(struct ort_library *library, TRITONBACKEND_Backend *backend,
                                     const struct backend_settings *settings)
{
    *library = (struct ort_library){0};
    pthread_mutex_init(&library->mutex, NULL);
    pthread_rwlock_init(&library->runs, NULL);
    struct str path = STR_INIT;
    void *handle = NULL;
    TRITONSERVER_Error *error = framework_open(&onnxruntime, backend, settings, &path, &handle);
    if (error == NULL) {
        library->path = str_take(&path);
        error = library->path == NULL ? backend_no_memory() : read_table(library, handle);
    }
    str_fini(&path);
    if (error == NULL) {
        error = make_env(library, settings);
    }
    if (error != NULL) {
        ort_library_fini(library);
        return error;
    }
    library->has_cuda = ort_has_provider(library, "CUDAExecutionProvider");
    BACKEND_LOG(INFO, "ONNX Runtime %s from '%s'", library->version, library->path);
    return NULL;
}

// ---- providers ----

void ort_library_fini(struct ort_library *library)
{
    if (library->cpu != NULL) {
        library->fn.release_memory_info(library->cpu);
    }
    if (library->env != NULL) {
        library->fn.release_env(library->env);
    }
    mem_free(library->path);
    mem_free(library->gpu_obstacle);
    pthread_mutex_destroy(&library->mutex);
    pthread_rwlock_destroy(&library->runs);
    *library = (struct ort_library){0};
}

bool ort_has_provider(const struct ort_library *library, const char *name)
{
    char **names = NULL;
    int count = 0;
    struct ort_status *status = library->fn.available_providers(&names, &count);
    if (status != NULL) {
        library->fn.release_status(status);
        return false;
    }
    bool found = false;
    for (int i = 0; i < count; i++) {
        found = found || strcmp(names[i], name) == 0;
    }
    status = library->fn.release_providers(names, count);
    if (status != NULL) {
        library->fn.release_status(status);
    }
    return found;
}

// The provider's library names those of CUDA without a path. Where they lie beside ONNX Runtime's own,
// they are opened from there, and the linker takes what is open. What is missing shows afterwards.
static void open_cuda_libraries(const struct ort_library *library)
{
    // Each behind those that it needs.
    static const char *const names[] = {
        "libcudart.so.*", "libnvJitLink.so.*", "libnvrtc.so.*",  "libcublasLt.so.*",
        "libcublas.so.*", "libcufft.so.*",     "libcurand.so.*", "libcudnn.so.*",
    };
    const char *slash = strrchr(library->path, '/');
    for (size_t i = 0; slash != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
        struct str pattern = STR_INIT;
        glob_t found = {0};
        str_append(&pattern, library->path, (size_t)(slash - library->path) + 1);
        str_append_cstr(&pattern, names[i]);
        if (!pattern.failed && glob(str_cstr(&pattern), 0, NULL, &found) == 0) {
            (void)dlopen(found.gl_pathv[0], RTLD_LAZY | RTLD_LOCAL);
        }
        globfree(&found);
        str_fini(&pattern);
    }
}

// Loads the CUDA provider, as making a session would, and asks for nothing else.
static TRITONSERVER_Error *try_cuda(const struct ort_library *library)
{
    open_cuda_libraries(library);
    static const char *const keys[] = {"device_id"};
    static const char *const values[] = {"0"};
    struct ort_cuda_options *options = NULL;
    ORT_TRY(library, library->fn.create_cuda_options(&options));
    struct ort_status *status = library->fn.update_cuda_options(options, keys, values, 1);
    library->fn.release_cuda_options(options);
    return ort_error(library, status);
}

static void find_obstacle(struct ort_library *library, struct str *text)
{
    if (!library->has_cuda) {
        str_printf(text,
                   "ONNX Runtime %s at '%s' was built without the CUDA execution provider; the "
                   "library of the package onnxruntime-gpu has it (tools/setup.sh onnxruntime-gpu)",
                   library->version, library->path);
        return;
    }
    TRITONSERVER_Error *error = try_cuda(library);
    if (error != NULL) {
        struct slice why = slice_of(TRITONSERVER_ErrorMessage(error));
        while (why.len > 0 && why.ptr[why.len - 1] == '\n') {
            why.len--;
        }
        str_printf(
            text,
            "the CUDA execution provider of ONNX Runtime %s at '%s' cannot be loaded: %.*s (it "
            "needs CUDA and cuDNN: tools/setup.sh onnxruntime-gpu installs them; else name "
            "their folders in LD_LIBRARY_PATH)",
            library->version, library->path, (int)why.len, why.ptr);
        TRITONSERVER_ErrorDelete(error);
    }
}

const char *ort_gpu_obstacle(struct ort_library *library)
{
    pthread_mutex_lock(&library->mutex);
    if (!library->gpu_asked) {
        struct str text = STR_INIT;
        library->gpu_asked = true;
        find_obstacle(library, &text);
        if (text.failed || text.len > 0) {
            library->gpu_obstacle = str_take(&text); // NULL: no memory to say why
            library->gpu_refused = true;
        }
        str_fini(&text);
    }
    const char *obstacle = library->gpu_obstacle;
    if (library->gpu_refused && obstacle == NULL) {
        obstacle = "out of memory";
    }
    pthread_mutex_unlock(&library->mutex);
    return obstacle;
}
