// SPDX-License-Identifier: Apache-2.0
// Finds a model's file, opens its first session and reads its tensors. See onnx_model.h.
#include "backends/onnxruntime/onnx_model.h"

#include "backends/common/model_file.h"
#include "backends/onnxruntime/onnx_session.h"
#include "base/file.h"
#include "base/mem.h"

// ---- data types ----

static const struct {
    int element;
    TRITONSERVER_DataType dtype;
} type_pairs[] = {
    {ORT_ELEMENT_BOOL, TRITONSERVER_TYPE_BOOL},     {ORT_ELEMENT_UINT8, TRITONSERVER_TYPE_UINT8},
    {ORT_ELEMENT_UINT16, TRITONSERVER_TYPE_UINT16}, {ORT_ELEMENT_UINT32, TRITONSERVER_TYPE_UINT32},
    {ORT_ELEMENT_UINT64, TRITONSERVER_TYPE_UINT64}, {ORT_ELEMENT_INT8, TRITONSERVER_TYPE_INT8},
    {ORT_ELEMENT_INT16, TRITONSERVER_TYPE_INT16},   {ORT_ELEMENT_INT32, TRITONSERVER_TYPE_INT32},
    {ORT_ELEMENT_INT64, TRITONSERVER_TYPE_INT64},   {ORT_ELEMENT_FLOAT16, TRITONSERVER_TYPE_FP16},
    {ORT_ELEMENT_FLOAT, TRITONSERVER_TYPE_FP32},    {ORT_ELEMENT_DOUBLE, TRITONSERVER_TYPE_FP64},
    {ORT_ELEMENT_STRING, TRITONSERVER_TYPE_BYTES},  {ORT_ELEMENT_BFLOAT16, TRITONSERVER_TYPE_BF16},
};
enum { TYPE_PAIR_COUNT = sizeof(type_pairs) / sizeof(type_pairs[0]) };

TRITONSERVER_DataType onnx_to_triton(int element)
{
    for (size_t i = 0; i < TYPE_PAIR_COUNT; i++) {
        if (type_pairs[i].element == element) {
            return type_pairs[i].dtype;
        }
    }
    return TRITONSERVER_TYPE_INVALID;
}

int onnx_from_triton(TRITONSERVER_DataType dtype)
{
    for (size_t i = 0; i < TYPE_PAIR_COUNT; i++) {
        if (type_pairs[i].dtype == dtype) {
            return type_pairs[i].element;
        }
    }
    return ORT_ELEMENT_UNDEFINED;
}

const struct onnx_tensor *onnx_find(const struct onnx_tensors *tensors, const char *name)
{
    for (uint32_t i = 0; i < tensors->count; i++) {
        if (strcmp(tensors->items[i].name, name) == 0) {
            return &tensors->items[i];
        }
    }
    return NULL;
}

const struct onnx_tensor *onnx_find_input(const struct onnx_model *m, const char *name)
{
    const struct onnx_tensor *tensor = onnx_find(&m->inputs, name);
    return tensor != NULL ? tensor : onnx_find(&m->initializers, name);
}

// ---- the tensors of a session ----

enum tensor_role { ROLE_INPUT, ROLE_OUTPUT, ROLE_INITIALIZER };

static const char *value_kind_name(int kind)
{
    switch (kind) {
    case ORT_VALUE_TENSOR:
        return "ONNX_TYPE_TENSOR";
    case ORT_VALUE_SEQUENCE:
        return "ONNX_TYPE_SEQUENCE";
    case ORT_VALUE_MAP:
        return "ONNX_TYPE_MAP";
    case ORT_VALUE_OPAQUE:
        return "ONNX_TYPE_OPAQUE";
    case ORT_VALUE_SPARSE_TENSOR:
        return "ONNX_TYPE_SPARSETENSOR";
    default:
        return "ONNX_TYPE_UNKNOWN";
    }
}

static struct ort_status *get_count(const struct onnx_model *m, enum tensor_role role,
                                    size_t *count)
{
    const struct ort_functions *fn = &m->library->fn;
    if (role == ROLE_INPUT) {
        return fn->input_count(m->first->handle, count);
    }
    return role == ROLE_OUTPUT ? fn->output_count(m->first->handle, count)
                               : fn->initializer_count(m->first->handle, count);
}

static TRITONSERVER_Error *read_name(struct onnx_model *m, enum tensor_role role, size_t index,
                                     struct onnx_tensor *t)
{
    const struct ort_functions *fn = &m->library->fn;
    struct ort_allocator *allocator = m->library->allocator;
    char *name = NULL;
    struct ort_status *status = NULL;
    if (role == ROLE_INPUT) {
        status = fn->input_name(m->first->handle, index, allocator, &name);
    } else if (role == ROLE_OUTPUT) {
        status = fn->output_name(m->first->handle, index, allocator, &name);
    } else {
        status = fn->initializer_name(m->first->handle, index, allocator, &name);
    }
    ORT_TRY(m->library, status);
    t->name = arena_strdup(&m->arena, slice_of(name));
    ORT_TRY(m->library, fn->allocator_free(allocator, name));
    return t->name == NULL ? backend_no_memory() : NULL;
}

static TRITONSERVER_Error *read_shape(struct onnx_model *m, const struct ort_type_info *info,
                                      struct onnx_tensor *t)
{
    const struct ort_functions *fn = &m->library->fn;
    int kind = ORT_VALUE_UNKNOWN;
    ORT_TRY(m->library, fn->type_kind(info, &kind));
    if (kind != ORT_VALUE_TENSOR) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "Unsupported ONNX Type '%s' for I/O '%s', expected "
                                 "'ONNX_TYPE_TENSOR'.",
                                 value_kind_name(kind), t->name);
    }
    const struct ort_shape_info *shape = NULL;
    size_t count = 0;
    ORT_TRY(m->library, fn->type_as_tensor(info, &shape));
    ORT_TRY(m->library, fn->shape_element(shape, &t->element));
    ORT_TRY(m->library, fn->shape_dim_count(shape, &count));
    int64_t *dims = arena_calloc(&m->arena, count + 1, sizeof(*dims));
    if (dims == NULL) {
        return backend_no_memory();
    }
    ORT_TRY(m->library, fn->shape_dims(shape, dims, count));
    t->dtype = onnx_to_triton(t->element);
    t->dims = dims;
    t->dim_count = (uint32_t)count;
    return NULL;
}

static TRITONSERVER_Error *read_tensor(struct onnx_model *m, enum tensor_role role, size_t index,
                                       struct onnx_tensor *t)
{
    const struct ort_functions *fn = &m->library->fn;
    BACKEND_TRY(read_name(m, role, index, t));
    struct ort_type_info *info = NULL;
    struct ort_status *status = NULL;
    if (role == ROLE_INPUT) {
        status = fn->input_type(m->first->handle, index, &info);
    } else if (role == ROLE_OUTPUT) {
        status = fn->output_type(m->first->handle, index, &info);
    } else {
        status = fn->initializer_type(m->first->handle, index, &info);
    }
    ORT_TRY(m->library, status);
    TRITONSERVER_Error *error = read_shape(m, info, t);
    fn->release_type_info(info);
    return error;
}

static TRITONSERVER_Error *read_tensors(struct onnx_model *m, enum tensor_role role,
                                        struct onnx_tensors *tensors)
{
    size_t count = 0;
    ORT_TRY(m->library, get_count(m, role, &count));
    tensors->items = arena_calloc(&m->arena, count + 1, sizeof(*tensors->items));
    if (tensors->items == NULL) {
        return backend_no_memory();
    }
    for (size_t i = 0; i < count; i++) {
        BACKEND_TRY(read_tensor(m, role, i, &tensors->items[i]));
    }
    tensors->count = (uint32_t)count;
    return NULL;
}

// ---- the file and the sessions ----

TRITONSERVER_Error *onnx_model_file(const struct onnx_model *m, int device, char **path)
{
    char *found = NULL;
    BACKEND_TRY(backend_model_file(&m->config, device, "model.onnx", &found));
    if (!file_is_dir(found)) {
        *path = found;
        return NULL;
    }
    struct str text = STR_INIT;
    str_printf(&text, "%s/model.onnx", found);
    mem_free(found);
    *path = str_take(&text);
    str_fini(&text);
    return *path == NULL ? backend_no_memory() : NULL;
}

// Where the first instance will be: a GPU of the configuration, or the CPU. The host has decided what
// KIND_AUTO is.
static TRITONSERVER_Error *first_device(const struct onnx_model *m, int *device)
{
    *device = GPU_IO_HOST;
    const struct json_node *groups = json_get(m->config.root, "instance_group");
    if (groups == NULL || groups->type != JSON_ARRAY) {
        return NULL;
    }
    const struct json_node *n = json_first(groups);
    for (uint32_t i = 0; i < groups->count && *device == GPU_IO_HOST; i++, n = json_next(n)) {
        const struct json_node *kind = json_get(n, "kind");
        const struct json_node *gpus = json_get(n, "gpus");
        int64_t gpu = 0;
        if (kind == NULL || kind->type != JSON_STRING || !slice_is(json_text(kind), "KIND_GPU")) {
            continue;
        }
        if (gpus != NULL && gpus->type == JSON_ARRAY && gpus->count > 0) {
            BACKEND_TRY(backend_error(json_want_i64(json_first(gpus), &gpu)));
        }
        *device = (int)gpu;
    }
    const char *obstacle = *device == GPU_IO_HOST ? NULL : ort_gpu_obstacle(m->library);
    return obstacle == NULL
               ? NULL
               : backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                   "model '%s' asks for instances on a GPU (KIND_GPU): %s",
                                   m->config.name, obstacle);
}

// The session that tells what the model is; an instance takes it over.
static TRITONSERVER_Error *open_first(struct onnx_model *m)
{
    int device = GPU_IO_HOST;
    BACKEND_TRY(first_device(m, &device));
    BACKEND_TRY(onnx_session_open(m, device, &m->first));
    if (device == GPU_IO_HOST) {
        m->shared = m->first;
    }
    return NULL;
}

TRITONSERVER_Error *onnx_session_acquire(struct onnx_model *m, int device,
                                         struct onnx_session **session)
{
    TRITONSERVER_Error *error = NULL;
    if (device != GPU_IO_HOST) {
        pthread_mutex_lock(&m->mutex);
        bool spare = m->first != NULL && m->first->device == device;
        *session = spare ? m->first : NULL;
        m->first = spare ? NULL : m->first;
        pthread_mutex_unlock(&m->mutex);
        return spare ? NULL : onnx_session_open(m, device, session);
    }
    pthread_mutex_lock(&m->mutex);
    if (m->shared == NULL) {
        error = onnx_session_open(m, device, &m->shared);
    }
    *session = m->shared;
    pthread_mutex_unlock(&m->mutex);
    return error;
}

void onnx_session_release(struct onnx_model *m, struct onnx_session *session)
{
    if (session != NULL && session->device != GPU_IO_HOST) {
        onnx_session_close(m, session);
    }
}

static TRITONSERVER_Error *load(struct onnx_model *m, TRITONBACKEND_Model *handle)
{
    BACKEND_TRY(open_first(m));
    BACKEND_TRY(read_tensors(m, ROLE_INPUT, &m->inputs));
    BACKEND_TRY(read_tensors(m, ROLE_OUTPUT, &m->outputs));
    BACKEND_TRY(read_tensors(m, ROLE_INITIALIZER, &m->initializers));
    bool complete = false;
    bool changed = false;
    BACKEND_TRY(TRITONBACKEND_ModelAutoCompleteConfig(handle, &complete));
    if (complete) {
        BACKEND_TRY(onnx_complete(m, handle, &changed));
    }
    if (changed) {
        // The host may have filled in more than was handed to it.
        model_config_fini(&m->config);
        BACKEND_TRY(model_config_init(&m->config, handle));
    }
    return onnx_check(m);
}

static TRITONSERVER_Error *init(void *model, TRITONBACKEND_Model *handle, void *backend)
{
    struct onnx_model *m = model;
    struct onnx_backend *b = backend;
    m->library = &b->library;
    m->handle = handle;
    pthread_mutex_init(&m->mutex, NULL);
    m->default_max_batch_size = b->default_max_batch_size;
    arena_init(&m->arena, 0);
    BACKEND_TRY(model_config_init(&m->config, handle));
    return load(m, handle);
}

static void fini(void *model)
{
    struct onnx_model *m = model;
    if (m->first != m->shared) {
        onnx_session_close(m, m->first);
    }
    onnx_session_close(m, m->shared);
    pthread_mutex_destroy(&m->mutex);
    arena_fini(&m->arena);
    model_config_fini(&m->config);
}

const struct model_table onnx_models = {
    .size = sizeof(struct onnx_model), .init = init, .fini = fini};
