// SPDX-License-Identifier: Apache-2.0
// Finds and opens TensorFlow's library. See tf_library.h.
#include "backends/tensorflow/tf_library.h"

#include <dlfcn.h>

#include "backends/common/framework.h"
#include "base/mem.h"

TRITONSERVER_Error *tf_error(const struct tf_library *library, struct tf_status *status)
{
    TRITONSERVER_Error *error = NULL;
    if (library->fn.get_code(status) != TF_CODE_OK) {
        error = TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, library->fn.message(status));
    }
    library->fn.delete_status(status);
    return error;
}

// ---- data types ----

static const struct {
    int type;
    TRITONSERVER_DataType dtype;
} type_pairs[] = {
    {TF_TYPE_BOOL, TRITONSERVER_TYPE_BOOL},     {TF_TYPE_UINT8, TRITONSERVER_TYPE_UINT8},
    {TF_TYPE_UINT16, TRITONSERVER_TYPE_UINT16}, {TF_TYPE_UINT32, TRITONSERVER_TYPE_UINT32},
    {TF_TYPE_UINT64, TRITONSERVER_TYPE_UINT64}, {TF_TYPE_INT8, TRITONSERVER_TYPE_INT8},
    {TF_TYPE_INT16, TRITONSERVER_TYPE_INT16},   {TF_TYPE_INT32, TRITONSERVER_TYPE_INT32},
    {TF_TYPE_INT64, TRITONSERVER_TYPE_INT64},   {TF_TYPE_HALF, TRITONSERVER_TYPE_FP16},
    {TF_TYPE_FLOAT, TRITONSERVER_TYPE_FP32},    {TF_TYPE_DOUBLE, TRITONSERVER_TYPE_FP64},
    {TF_TYPE_STRING, TRITONSERVER_TYPE_BYTES},  {TF_TYPE_BFLOAT16, TRITONSERVER_TYPE_BF16},
};
enum { TYPE_PAIR_COUNT = sizeof(type_pairs) / sizeof(type_pairs[0]) };

TRITONSERVER_DataType tf_to_triton(int type)
{
    for (size_t i = 0; i < TYPE_PAIR_COUNT; i++) {
        if (type_pairs[i].type == type) {
            return type_pairs[i].dtype;
        }
    }
    return TRITONSERVER_TYPE_INVALID;
}

int tf_from_triton(TRITONSERVER_DataType dtype)
{
    for (size_t i = 0; i < TYPE_PAIR_COUNT; i++) {
        if (type_pairs[i].dtype == dtype) {
            return type_pairs[i].type;
        }
    }
    return TF_TYPE_INVALID;
}

// The library has some 350000 symbols: to bind them all at once takes a second, as they are needed
// a quarter of it.
static const struct framework tensorflow = {
    .title = "TensorFlow",
    .file = "libtensorflow_cc.so.2",
    .backend = "tensorflow",
    .variable = "NEREID_TENSORFLOW",
    .places =
        (const char *const[]){"/libtensorflow_cc.so.2", "/libtensorflow.so.2",
                              "/tensorflow/libtensorflow_cc.so.2",
                              "/lib/python3*/site-packages/tensorflow/libtensorflow_cc.so.2",
                              "/lib/python3*/dist-packages/tensorflow/libtensorflow_cc.so.2", NULL},
    .names = (const char *const[]){"libtensorflow_cc.so.2", "libtensorflow.so.2", NULL},
    .flags = RTLD_LAZY | RTLD_LOCAL,
};

// ---- the table ----

// A function pointer and an object pointer have one form on every system that has dlsym.
static TRITONSERVER_Error *find_symbol(const struct tf_library *library, void *handle,
                                       const char *symbol, void *place)
{
    void *found = dlsym(handle, symbol);
    if (found == NULL) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "'%s' is not TensorFlow 2 of version 2.4 or newer: it has no %s",
                                 library->path, symbol);
    }
    memcpy(place, &found, sizeof(found));
    return NULL;
}

static TRITONSERVER_Error *read_table(struct tf_library *library, void *handle)
{
#define TF_READ(name, symbol, result, args)                                                        \
    BACKEND_TRY(find_symbol(library, handle, symbol, &library->fn.name));
    TF_FUNCTIONS(TF_READ)
#undef TF_READ
    library->version = library->fn.version();
    // The C API does not tell what the library was built for; this function of its does.
    bool (*cuda)(void) = NULL;
    void *symbol = dlsym(handle, "_ZN10tensorflow19IsGoogleCudaEnabledEv");
    memcpy(&cuda, &symbol, sizeof(cuda));
    library->cuda = cuda != NULL && cuda();
    return NULL;
}

static TRITONSERVER_Error *read_settings(struct tf_library *library,
                                         const struct backend_settings *settings)
{
    struct slice text = {0};
    library->soft_placement = true;
    library->default_max_batch_size = 0;
    BACKEND_TRY(backend_setting_bool(settings, "allow-soft-placement", &library->soft_placement));
    if (backend_setting(settings, "gpu-memory-fraction", &text) &&
        (!slice_to_f64(text, &library->gpu_memory_fraction) || library->gpu_memory_fraction < 0 ||
         library->gpu_memory_fraction > 1)) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "failed to convert '%.*s' to a fraction for 'gpu-memory-fraction'",
                                 (int)text.len, text.ptr);
    }
    if (backend_setting(settings, "version", &text) && !slice_is(text, "2")) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "setting 'version': TensorFlow %.*s is not supported, only 2",
                                 (int)text.len, text.ptr);
    }
    return backend_setting_int(settings, "default-max-batch-size",
                               &library->default_max_batch_size);
}

TRITONSERVER_Error *tf_library_init(struct tf_library *library, TRITONBACKEND_Backend *backend,
                                    const struct backend_settings *settings)
{
    *library = (struct tf_library){0};
    struct str path = STR_INIT;
    void *handle = NULL;
    TRITONSERVER_Error *error = read_settings(library, settings);
    if (error == NULL) {
        error = framework_open(&tensorflow, backend, settings, &path, &handle);
    }
    if (error == NULL) {
        library->path = str_take(&path);
        error = library->path == NULL ? backend_no_memory() : read_table(library, handle);
    }
    str_fini(&path);
    if (error != NULL) {
        tf_library_fini(library);
        return error;
    }
    BACKEND_LOG(INFO, "TensorFlow %s from '%s'", library->version, library->path);
    return NULL;
}

void tf_library_fini(struct tf_library *library)
{
    mem_free(library->path);
    *library = (struct tf_library){0};
}
