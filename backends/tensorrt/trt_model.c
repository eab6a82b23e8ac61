// SPDX-License-Identifier: Apache-2.0
// Reads a model's settings, finds its plan, loads it on GPUs and shares it. See trt_model.h.
#include "backends/tensorrt/trt_model.h"

#include "backends/common/model_file.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "gpu/stream.h"

#define PLAN_BYTES_MAX (SIZE_MAX / 2)

TRITONSERVER_DataType trt_triton_type(enum trt_type type)
{
    switch (type) {
    case TRT_FLOAT:
        return TRITONSERVER_TYPE_FP32;
    case TRT_HALF:
        return TRITONSERVER_TYPE_FP16;
    case TRT_BF16:
        return TRITONSERVER_TYPE_BF16;
    case TRT_INT8:
        return TRITONSERVER_TYPE_INT8;
    case TRT_UINT8:
        return TRITONSERVER_TYPE_UINT8;
    case TRT_INT32:
        return TRITONSERVER_TYPE_INT32;
    case TRT_INT64:
        return TRITONSERVER_TYPE_INT64;
    case TRT_BOOL:
        return TRITONSERVER_TYPE_BOOL;
    case TRT_FP8:
    case TRT_INT4:
    default:
        return TRITONSERVER_TYPE_INVALID; // Triton's protocol has no such type
    }
}

bool trt_dims_open(const struct trt_dims *dims)
{
    for (int32_t i = 0; i < dims->count; i++) {
        if (dims->d[i] < 0) {
            return true;
        }
    }
    return false;
}

struct trt_io *trt_plan_find(const struct trt_plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->io_count; i++) {
        if (strcmp(plan->ios[i].tensor.name, name) == 0) {
            return &plan->ios[i];
        }
    }
    return NULL;
}

// ---- plans ----

static TRITONSERVER_Error *list_tensors(struct trt_model *m, struct trt_plan *plan)
{
    const struct trt_shim *shim = m->backend->library.shim;
    shim->engine_info(plan->engine, &plan->info);
    if (plan->info.implicit_batch) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "model '%s' is a plan with an implicit batch dimension, which "
                                 "this backend does not run: build it anew from ONNX",
                                 m->config.name);
    }
    plan->io_count = plan->info.tensors;
    plan->ios = mem_calloc((size_t)plan->io_count + 1, sizeof(*plan->ios));
    if (plan->ios == NULL) {
        return backend_no_memory();
    }
    for (uint32_t i = 0; i < plan->io_count; i++) {
        struct trt_io *io = &plan->ios[i];
        shim->engine_tensor(plan->engine, i, &io->tensor);
        io->dtype = trt_triton_type(io->tensor.type);
        if (io->dtype == TRITONSERVER_TYPE_INVALID) {
            return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                     "model '%s': %s '%s' is of a type of TensorRT (%d) that "
                                     "Triton's protocol does not have",
                                     m->config.name, io->tensor.input ? "input" : "output",
                                     io->tensor.name, (int)io->tensor.type);
        }
        io->element = TRITONSERVER_DataTypeByteSize(io->dtype);
        io->open = trt_dims_open(&io->tensor.dims);
        plan->shared = plan->shared && !io->open;
    }
    return NULL;
}

static TRITONSERVER_Error *load_engine(struct trt_model *m, const struct str *bytes,
                                       struct trt_plan *plan)
{
    struct trt_why why = {.text = ""};
    struct gpu_scope scope;
    BACKEND_TRY(backend_error(gpu_device_enter(plan->device, &scope)));
    pthread_mutex_lock(&m->backend->mutex);
    bool loaded = m->backend->library.shim->engine_load(m->backend->runtime, str_cstr(bytes),
                                                        bytes->len, -1, &plan->engine, &why);
    pthread_mutex_unlock(&m->backend->mutex);
    gpu_device_leave(&scope);
    return loaded ? NULL
                  : backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                      "unable to load plan of model '%s': %s", m->config.name,
                                      why.text);
}

static void destroy_plan(struct trt_model *m, struct trt_plan *plan)
{
    struct gpu_scope scope;
    if (plan->engine != NULL && gpu_device_enter_release(plan->device, &scope)) {
        m->backend->library.shim->engine_destroy(plan->engine);
        gpu_device_leave(&scope);
    }
    mem_free(plan->ios);
    mem_free(plan);
}

static TRITONSERVER_Error *load_plan(struct trt_model *m, int gpu, struct trt_plan **plan)
{
    struct gpu_device *device = gpu_system_device(m->gpus, gpu);
    if (device == NULL) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "model '%s' asks for an instance on GPU %d; there are %d GPUs",
                                 m->config.name, gpu, gpu_system_count(m->gpus));
    }
    struct str bytes = STR_INIT;
    struct trt_plan *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return backend_no_memory();
    }
    made->device = device;
    made->gpu = gpu;
    // Before release 10, contexts of one engine that run at once must not be of one profile.
    made->shared = true;
    char *path = NULL;
    TRITONSERVER_Error *error = backend_model_file(&m->config, gpu, "model.plan", &path);
    if (error == NULL) {
        error = backend_error(file_read(path, PLAN_BYTES_MAX, &bytes));
    }
    mem_free(path);
    if (error == NULL) {
        error = load_engine(m, &bytes, made);
    }
    str_fini(&bytes);
    if (error == NULL) {
        error = list_tensors(m, made);
    }
    if (error != NULL) {
        destroy_plan(m, made);
        return error;
    }
    made->shared = made->shared || m->backend->library.major >= 10;
    *plan = made;
    return NULL;
}

// One on that GPU which may be used: nobody's, or shared.
static struct trt_plan *find_plan(const struct trt_model *m, int gpu)
{
    struct trt_plan *p = m->plans;
    while (p != NULL && (p->gpu != gpu || (p->users > 0 && !p->shared))) {
        p = p->next;
    }
    return p;
}

// Loads one if there is none; the caller holds the mutex.
static TRITONSERVER_Error *get_plan(struct trt_model *m, int gpu, struct trt_plan **plan)
{
    *plan = find_plan(m, gpu);
    if (*plan != NULL) {
        return NULL;
    }
    BACKEND_TRY(load_plan(m, gpu, plan));
    (*plan)->next = m->plans;
    m->plans = *plan;
    return NULL;
}

TRITONSERVER_Error *trt_plan_acquire(struct trt_model *m, int gpu, const char *who,
                                     struct trt_plan **plan)
{
    pthread_mutex_lock(&m->mutex);
    struct trt_plan *p = NULL;
    TRITONSERVER_Error *error = get_plan(m, gpu, &p);
    if (error == NULL && !p->checked) {
        error = trt_check(m, p, who);
        p->checked = error == NULL;
    }
    if (error == NULL) {
        p->users++;
        *plan = p;
    }
    pthread_mutex_unlock(&m->mutex);
    return error;
}

void trt_plan_release(struct trt_model *m, struct trt_plan *plan)
{
    pthread_mutex_lock(&m->mutex);
    plan->users--;
    bool last = plan->users == 0;
    struct trt_plan **link = &m->plans;
    while (last && *link != plan) {
        link = &(*link)->next;
    }
    if (last) {
        *link = plan->next;
    }
    pthread_mutex_unlock(&m->mutex);
    if (last) {
        destroy_plan(m, plan);
    }
}

// ---- settings ----

static TRITONSERVER_Error *read_strategy(struct trt_model *m)
{
    struct slice text = {0};
    if (!model_parameter(&m->config, "execution_context_allocation_strategy", &text) ||
        slice_is(text, "STATIC")) {
        return NULL;
    }
    m->on_profile_change = slice_is(text, "ON_PROFILE_CHANGE");
    return m->on_profile_change
               ? NULL
               : backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                   "Invalid value for 'execution_context_allocation_strategy': "
                                   "'%.*s' for model instance '%s'. Supported values are 'STATIC' "
                                   "and 'ON_PROFILE_CHANGE'.",
                                   (int)text.len, text.ptr, m->config.name);
}

static TRITONSERVER_Error *refuse_multi_device(const struct trt_model *m)
{
    bool on = false;
    BACKEND_TRY(model_parameter_bool(&m->config, "enable_multi_device", &on));
    return on ? backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                  "model '%s': enable_multi_device (one plan over several GPUs) "
                                  "is not supported by this build of the tensorrt backend",
                                  m->config.name)
              : NULL;
}

static void read_priority(struct trt_model *m)
{
    const struct json_node *optimization = json_get(m->config.root, "optimization");
    const struct json_node *node = optimization == NULL ? NULL : json_get(optimization, "priority");
    struct slice text =
        node == NULL || node->type != JSON_STRING ? SLICE("PRIORITY_DEFAULT") : json_text(node);
    m->priority = slice_is(text, "PRIORITY_MAX")   ? GPU_PRIORITY_HIGH
                  : slice_is(text, "PRIORITY_MIN") ? GPU_PRIORITY_LOW
                                                   : GPU_PRIORITY_NORMAL;
}

static TRITONSERVER_Error *read_settings(struct trt_model *m)
{
    BACKEND_TRY(ragged_read(&m->config, &m->ragged, &m->ragged_count));
    BACKEND_TRY(read_strategy(m));
    BACKEND_TRY(refuse_multi_device(m));
    read_priority(m);
    return trt_graph_read(m);
}

// ---- completing ----

static TRITONSERVER_Error *complete(struct trt_model *m, TRITONBACKEND_Model *handle)
{
    bool wanted = false;
    bool changed = false;
    struct trt_plan *plan = NULL;
    int gpu = backend_first_gpu(&m->config);
    BACKEND_TRY(TRITONBACKEND_ModelAutoCompleteConfig(handle, &wanted));
    if (!wanted || gpu < 0) {
        return NULL;
    }
    BACKEND_TRY(get_plan(m, gpu, &plan)); // stays for the first instance there
    BACKEND_TRY(trt_complete(m, handle, plan, &changed));
    if (changed) {
        model_config_fini(&m->config);
        TRITONSERVER_Error *error = model_config_init(&m->config, handle);
        if (error != NULL) {
            m->config = (struct model_config){.name = NULL};
            arena_init(&m->config.arena, 0);
            return error;
        }
    }
    return NULL;
}

static TRITONSERVER_Error *load(struct trt_model *m, TRITONBACKEND_Model *handle)
{
    if (m->backend->missing != NULL) {
        return backend_error(
            status_wrap(status_copy(m->backend->missing), "model '%s': ", m->config.name));
    }
    TRITONSERVER_Error *error = backend_error(gpu_system_open(&m->gpus));
    if (error != NULL) {
        TRITONSERVER_Error *named = backend_error_new(
            TRITONSERVER_ERROR_INVALID_ARG,
            "unable to load model '%s', TensorRT backend supports only GPU device: %s",
            m->config.name, TRITONSERVER_ErrorMessage(error));
        TRITONSERVER_ErrorDelete(error);
        return named;
    }
    BACKEND_TRY(complete(m, handle));
    return read_settings(m);
}

static TRITONSERVER_Error *init(void *model, TRITONBACKEND_Model *handle, void *backend)
{
    struct trt_model *m = model;
    m->backend = backend;
    pthread_mutex_init(&m->mutex, NULL);
    BACKEND_TRY(model_config_init(&m->config, handle));
    return load(m, handle);
}

static void fini(void *model)
{
    struct trt_model *m = model;
    while (m->plans != NULL) { // loaded for completion, and no instance came
        struct trt_plan *plan = m->plans;
        m->plans = plan->next;
        destroy_plan(m, plan);
    }
    gpu_system_close(m->gpus);
    model_config_fini(&m->config);
    pthread_mutex_destroy(&m->mutex);
}

const struct model_table trt_models = {
    .size = sizeof(struct trt_model), .init = init, .fini = fini};
