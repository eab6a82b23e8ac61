// SPDX-License-Identifier: Apache-2.0
// Reads a model's parameters, finds its file, loads and shares modules. See torch_model.h.
#include "backends/pytorch/torch_model.h"

#include <stdlib.h>

#include "backends/common/model_check.h"
#include "backends/common/model_file.h"
#include "base/mem.h"
#include "base/str.h"

// ---- parameters ----

// -1 when it is absent: libtorch's own setting stays.
static TRITONSERVER_Error *switch_parameter(const struct torch_model *m, const char *key,
                                            int *value)
{
    bool on = false;
    struct slice text = {0};
    *value = -1;
    if (model_parameter(&m->config, key, &text)) {
        BACKEND_TRY(backend_parse_bool(key, text, &on));
        *value = on ? 1 : 0;
    }
    return NULL;
}

static TRITONSERVER_Error *set_threads(const struct torch_model *m)
{
    int intra = 0;
    int inter = 0;
    BACKEND_TRY(model_parameter_int(&m->config, "NUM_THREADS", &intra));
    BACKEND_TRY(model_parameter_int(&m->config, "NUM_INTEROP_THREADS", &inter));
    BACKEND_TRY(model_parameter_int(&m->config, "INTRA_OP_THREAD_COUNT", &intra));
    BACKEND_TRY(model_parameter_int(&m->config, "INTER_OP_THREAD_COUNT", &inter));
    if (!torch_shim_threads(intra, inter)) {
        BACKEND_LOG(WARN,
                    "model '%s' asks for INTRA_OP_THREAD_COUNT %d and INTER_OP_THREAD_COUNT %d, "
                    "which are the process's: the first model that set them has decided",
                    m->config.name, intra, inter);
    }
    return NULL;
}

static TRITONSERVER_Error *read_parameters(struct torch_model *m)
{
    const struct model_config *c = &m->config;
    bool no_optimization = false;
    bool no_cudnn = false;
    m->mode = (struct torch_mode){.inference_mode = true};
    BACKEND_TRY(model_parameter_bool(c, "DISABLE_OPTIMIZED_EXECUTION", &no_optimization));
    BACKEND_TRY(model_parameter_bool(c, "INFERENCE_MODE", &m->mode.inference_mode));
    BACKEND_TRY(model_parameter_bool(c, "DISABLE_CUDNN", &no_cudnn));
    BACKEND_TRY(model_parameter_bool(c, "ENABLE_CACHE_CLEANING", &m->mode.clean_cache));
    BACKEND_TRY(model_parameter_bool(c, "ENABLE_WEIGHT_SHARING", &m->share_weights));
    BACKEND_TRY(switch_parameter(m, "ENABLE_JIT_PROFILING", &m->mode.jit_profiling));
    BACKEND_TRY(switch_parameter(m, "ENABLE_JIT_EXECUTOR", &m->mode.jit_executor));
    BACKEND_TRY(switch_parameter(m, "ENABLE_TENSOR_FUSER", &m->mode.tensor_fuser));
    m->mode.optimized = !no_optimization;
    m->mode.cudnn = !no_cudnn;
    return set_threads(m);
}

// ---- the file ----

static bool config_text(const struct torch_model *m, const char *key, struct slice *text)
{
    const struct json_node *node = json_get(m->config.root, key);
    if (node == NULL || node->type != JSON_STRING || json_text(node).len == 0) {
        return false;
    }
    *text = json_text(node);
    return true;
}

// The file for instances on `device`. Returns owned.
static TRITONSERVER_Error *find_file(const struct torch_model *m, int device, char **path)
{
    struct slice platform = {0};
    bool aoti = config_text(m, "platform", &platform) && slice_is(platform, "torch_aoti");
    return backend_model_file(&m->config, device, aoti ? "model.pt2" : "model.pt", path);
}

// Fails where there is no file for the first instance, and tells what it is by its name.
static TRITONSERVER_Error *read_file_kind(struct torch_model *m)
{
    struct slice platform = {0};
    char *path = NULL;
    BACKEND_TRY(find_file(m, backend_first_gpu(&m->config), &path));
    m->package = (config_text(m, "platform", &platform) && slice_is(platform, "torch_aoti")) ||
                 slice_ends(slice_of(path), SLICE(".pt2"));
    mem_free(path);
    return NULL;
}

// ---- inputs and outputs ----

static TRITONSERVER_Error *check_tensors(const struct torch_model *m,
                                         const struct model_tensor *tensors, uint32_t count,
                                         const char *role)
{
    if (count == 0) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "model configuration must contain at least one %s, none were "
                                 "specified.",
                                 role);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct model_tensor *t = &tensors[i];
        bool strings = t->dtype == TRITONSERVER_TYPE_BYTES;
        if (!strings && !torch_shim_has_type(t->dtype)) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                     "unsupported datatype %s for %s '%s' for model '%s'",
                                     model_data_type_name(t->dtype), role, t->name, m->config.name);
        }
        uint32_t rank = model_tensor_shape(t).count + (m->config.max_batch_size > 0 ? 1 : 0);
        if (strings && rank > 1) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                     "Triton only supports 1 dimensional List of String as %s for "
                                     "'%s' for model '%s'",
                                     role, t->name, m->config.name);
        }
    }
    return NULL;
}

static TRITONSERVER_Error *list_inputs(struct torch_model *m)
{
    struct model_config *c = &m->config;
    const struct json_node *sequence = json_get(c->root, "sequence_batching");
    const struct json_node *controls =
        sequence == NULL ? NULL : json_get(sequence, "control_input");
    uint32_t count = c->input_count;
    BACKEND_TRY(ragged_read(c, &m->ragged, &m->ragged_count));
    for (uint32_t i = 0; i < m->ragged_count; i++) {
        count += m->ragged[i].target_count;
    }
    BACKEND_TRY(model_check_sequence(c, "pytorch", NULL, NULL, &count));
    m->inputs = arena_calloc(&c->arena, (size_t)count + 1, sizeof(*m->inputs));
    if (m->inputs == NULL) {
        return backend_no_memory();
    }
    for (uint32_t i = 0; i < c->input_count; i++) {
        m->inputs[m->input_count++] = c->inputs[i].name;
    }
    for (uint32_t i = 0; i < m->ragged_count; i++) {
        for (uint32_t k = 0; k < m->ragged[i].target_count; k++) {
            m->inputs[m->input_count++] = m->ragged[i].targets[k];
        }
    }
    const struct json_node *n = m->input_count < count ? json_first(controls) : NULL;
    for (; m->input_count < count; n = json_next(n)) {
        struct slice name = {0};
        BACKEND_TRY(backend_error(json_want_string(json_get(n, "name"), &name)));
        m->inputs[m->input_count] = arena_strdup(&c->arena, name);
        if (m->inputs[m->input_count++] == NULL) {
            return backend_no_memory();
        }
    }
    return NULL;
}

static int compare_outputs(const void *a, const void *b)
{
    const struct model_tensor *const *x = a;
    const struct model_tensor *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static TRITONSERVER_Error *list_outputs(struct torch_model *m)
{
    struct model_config *c = &m->config;
    m->responses = arena_calloc(&c->arena, (size_t)c->output_count + 1, sizeof(*m->responses));
    m->scatter_sources =
        arena_calloc(&c->arena, (size_t)c->output_count + 1, sizeof(*m->scatter_sources));
    if (m->responses == NULL || m->scatter_sources == NULL) {
        return backend_no_memory();
    }
    for (uint32_t i = 0; i < c->output_count; i++) {
        m->responses[i] = &c->outputs[i];
    }
    qsort(m->responses, c->output_count, sizeof(*m->responses), compare_outputs);
    for (uint32_t i = 0; i < c->output_count; i++) {
        BACKEND_TRY(ragged_scatter_source(c, m->responses[i]->name, &m->scatter_sources[i]));
    }
    return NULL;
}

// A package tells its tensors' names but not their types; a TorchScript file may be tried.
static TRITONSERVER_Error *complete(struct torch_model *m, TRITONBACKEND_Model *handle)
{
    bool wanted = false;
    bool changed = false;
    BACKEND_TRY(TRITONBACKEND_ModelAutoCompleteConfig(handle, &wanted));
    if (!wanted || m->package) {
        return NULL;
    }
    char *path = NULL;
    BACKEND_TRY(find_file(m, backend_first_gpu(&m->config), &path));
    TRITONSERVER_Error *error = torch_complete(m, handle, path, &changed);
    mem_free(path);
    if (error == NULL && changed) {
        struct model_config again;
        BACKEND_TRY(model_config_init(&again, handle));
        model_config_fini(&m->config);
        m->config = again;
    }
    return error;
}

static TRITONSERVER_Error *load(struct torch_model *m, TRITONBACKEND_Model *handle)
{
    BACKEND_TRY(read_file_kind(m));
    BACKEND_TRY(complete(m, handle));
    BACKEND_TRY(read_parameters(m));
    BACKEND_TRY(check_tensors(m, m->config.inputs, m->config.input_count, "input"));
    BACKEND_TRY(check_tensors(m, m->config.outputs, m->config.output_count, "output"));
    BACKEND_TRY(list_inputs(m));
    return list_outputs(m);
}

static TRITONSERVER_Error *init(void *model, TRITONBACKEND_Model *handle, void *backend)
{
    struct torch_model *m = model;
    (void)backend;
    pthread_mutex_init(&m->mutex, NULL);
    BACKEND_TRY(model_config_init(&m->config, handle));
    return load(m, handle);
}

static void fini(void *model)
{
    struct torch_model *m = model;
    model_config_fini(&m->config);
    pthread_mutex_destroy(&m->mutex);
}

const struct model_table torch_models = {
    .size = sizeof(struct torch_model), .init = init, .fini = fini};

// ---- modules ----

static TRITONSERVER_Error *load_module(const struct torch_model *m, int device, bool keep_devices,
                                       struct torch_module **module)
{
    struct torch_why why;
    int gpus = device < 0 ? 0 : torch_shim_gpus();
    if (device >= gpus && device >= 0) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "model '%s' asks for an instance on GPU %d; libtorch %s sees %d "
                                 "GPUs",
                                 m->config.name, device, torch_shim_version(), gpus);
    }
    char *path = NULL;
    BACKEND_TRY(find_file(m, device, &path));
    bool loaded = m->package
                      ? torch_module_load_package(path, device, module, &why)
                      : torch_module_load(path, device, keep_devices, &m->mode, module, &why);
    mem_free(path);
    if (!loaded) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "failed to load model '%s': %s",
                                 m->config.name, why.text);
    }
    return NULL;
}

static TRITONSERVER_Error *add_module(struct torch_model *m, int device, bool keep_devices,
                                      struct torch_shared **shared)
{
    struct torch_shared *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return backend_no_memory();
    }
    made->device = device;
    made->keep_devices = keep_devices;
    TRITONSERVER_Error *error = load_module(m, device, keep_devices, &made->module);
    if (error != NULL) {
        mem_free(made);
        return error;
    }
    made->next = m->modules;
    m->modules = made;
    *shared = made;
    return NULL;
}

TRITONSERVER_Error *torch_model_acquire(struct torch_model *m, int device, bool keep_devices,
                                        struct torch_shared **shared)
{
    TRITONSERVER_Error *error = NULL;
    pthread_mutex_lock(&m->mutex);
    struct torch_shared *s = m->share_weights ? m->modules : NULL;
    while (s != NULL && (s->device != device || s->keep_devices != keep_devices)) {
        s = s->next;
    }
    if (s == NULL) {
        error = add_module(m, device, keep_devices, &s);
    }
    if (error == NULL) {
        s->users++;
        *shared = s;
    }
    pthread_mutex_unlock(&m->mutex);
    return error;
}

void torch_model_release(struct torch_model *m, struct torch_shared *shared)
{
    pthread_mutex_lock(&m->mutex);
    shared->users--;
    bool last = shared->users == 0;
    struct torch_shared **link = &m->modules;
    while (last && *link != shared) {
        link = &(*link)->next;
    }
    if (last) {
        *link = shared->next;
    }
    pthread_mutex_unlock(&m->mutex);
    if (last) {
        torch_module_destroy(shared->module);
        mem_free(shared);
    }
}
