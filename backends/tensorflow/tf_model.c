// SPDX-License-Identifier: Apache-2.0
// Reads a model's parameters and makes it ready for instances. See tf_model.h.
#include "backends/tensorflow/tf_model.h"

#include "base/file.h"
#include "base/mem.h"

// ---- parameters ----

static TRITONSERVER_Error *positive(const struct tf_model *m, const char *key, int least,
                                    const char *word, int *value)
{
    BACKEND_TRY(model_parameter_int(&m->config, key, value));
    if (*value < least) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "parameter '%s' must be %s number for TensorFlow model '%s'", key,
                                 word, m->config.name);
    }
    return NULL;
}

// Triton's table of truths for this parameter is wider than for the others.
static TRITONSERVER_Error *per_session_threads(struct tf_model *m)
{
    struct slice text = {0};
    if (!model_parameter(&m->config, "TF_USE_PER_SESSION_THREADS", &text)) {
        return NULL;
    }
    if (slice_equal_nocase(text, SLICE("on")) || slice_equal_nocase(text, SLICE("yes"))) {
        m->per_session_threads = true;
        return NULL;
    }
    if (slice_equal_nocase(text, SLICE("off")) || slice_equal_nocase(text, SLICE("no"))) {
        return NULL;
    }
    return backend_parse_bool("TF_USE_PER_SESSION_THREADS", text, &m->per_session_threads);
}

static TRITONSERVER_Error *text_parameter(struct tf_model *m, const char *key, const char **value)
{
    struct slice text = {0};
    if (model_parameter(&m->config, key, &text) && text.len > 0) {
        *value = arena_strdup(&m->arena, text);
        return *value == NULL ? backend_no_memory() : NULL;
    }
    return NULL;
}

// In the folder of the version, else in that of the model.
static TRITONSERVER_Error *find_init_ops(struct tf_model *m)
{
    const char *name = NULL;
    BACKEND_TRY(text_parameter(m, "TF_INIT_OPS_FILE", &name));
    if (name == NULL) {
        return NULL;
    }
    struct str path = STR_INIT;
    str_printf(&path, "%s/%llu/%s", m->config.directory, (unsigned long long)m->config.version,
               name);
    if (!file_exists(str_cstr(&path))) {
        str_clear(&path);
        str_printf(&path, "%s/%s", m->config.directory, name);
    }
    m->init_ops = arena_strdup(&m->arena, str_slice(&path));
    bool failed = path.failed || m->init_ops == NULL;
    str_fini(&path);
    return failed ? backend_no_memory() : NULL;
}

static TRITONSERVER_Error *read_parameters(struct tf_model *m)
{
    m->share_count = 1;
    m->tag = "serve";
    m->signature = "";
    BACKEND_TRY(positive(m, "MAX_SESSION_SHARE_COUNT", 1, "positive", &m->share_count));
    BACKEND_TRY(positive(m, "TF_NUM_INTRA_THREADS", 0, "non-negative", &m->intra_op_threads));
    BACKEND_TRY(model_parameter_int(&m->config, "TF_NUM_INTER_THREADS", &m->inter_op_threads));
    BACKEND_TRY(per_session_threads(m));
    BACKEND_TRY(text_parameter(m, "TF_GRAPH_TAG", &m->tag));
    BACKEND_TRY(text_parameter(m, "TF_SIGNATURE_DEF", &m->signature));
    return find_init_ops(m);
}

static TRITONSERVER_Error *read_gpu_accelerators(struct tf_model *m, const struct json_node *list)
{
    const struct json_node *n = json_first(list);
    for (uint32_t i = 0; i < list->count; i++, n = json_next(n)) {
        const struct json_node *node = json_get(n, "name");
        struct slice name =
            node != NULL && node->type == JSON_STRING ? json_text(node) : (struct slice){0};
        if (slice_is(name, "auto_mixed_precision")) {
            m->auto_mixed_precision = true;
        } else if (slice_is(name, "gpu_io")) {
            BACKEND_LOG(WARN,
                        "model '%s' asks for the accelerator 'gpu_io', which TensorFlow's C API "
                        "does not offer: inputs and outputs pass through the host",
                        m->config.name);
        } else if (slice_is(name, "tensorrt")) {
            return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                     "model '%s': the accelerator 'tensorrt' (TF-TRT) is not "
                                     "supported by this build of the tensorflow backend",
                                     m->config.name);
        } else {
            return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                     "unknown Execution Accelerator '%.*s' is requested",
                                     (int)name.len, name.ptr);
        }
    }
    return NULL;
}

static TRITONSERVER_Error *read_optimization(struct tf_model *m, int device)
{
    const struct json_node *optimization = json_get(m->config.root, "optimization");
    const struct json_node *graph = optimization == NULL ? NULL : json_get(optimization, "graph");
    const struct json_node *level = graph == NULL ? NULL : json_get(graph, "level");
    int64_t asked = 0;
    if (level != NULL && json_as_i64(level, &asked)) {
        m->jit_level = asked < -1 ? 0 : asked > 2 ? 2 : (int)asked;
    }
    const struct json_node *all =
        optimization == NULL ? NULL : json_get(optimization, "execution_accelerators");
    if (all == NULL) {
        return NULL;
    }
    const struct json_node *cpu = json_get(all, "cpu_execution_accelerator");
    if (cpu != NULL && cpu->type == JSON_ARRAY && cpu->count > 0) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "CPU Execution Accelerator is not supported in TensorFlow "
                                 "backend");
    }
    const struct json_node *gpu = json_get(all, "gpu_execution_accelerator");
    if (gpu == NULL || gpu->type != JSON_ARRAY || gpu->count == 0) {
        return NULL;
    }
    if (device == TF_DEVICE_CPU) {
        BACKEND_LOG(WARN, "GPU Execution Accelerator will be ignored for model instance on CPU");
        return NULL;
    }
    return read_gpu_accelerators(m, gpu);
}

static TRITONSERVER_Error *load_plugins(const struct tf_model *m)
{
    const struct json_node *operations = json_get(m->config.root, "model_operations");
    const struct json_node *files =
        operations == NULL ? NULL : json_get(operations, "op_library_filename");
    if (files == NULL || files->type != JSON_ARRAY) {
        return NULL;
    }
    const struct json_node *n = json_first(files);
    for (uint32_t i = 0; i < files->count; i++, n = json_next(n)) {
        struct slice text = {0};
        BACKEND_TRY(backend_error(json_want_string(n, &text)));
        char *path = mem_strndup(text.ptr, text.len);
        if (path == NULL) {
            return backend_no_memory();
        }
        struct tf_status *status = m->library->fn.new_status();
        (void)m->library->fn.load_plugin(path, status); // stays open for as long as the process
        mem_free(path);
        BACKEND_TRY(tf_error(m->library, status));
    }
    return NULL;
}

// ---- the file ----

static TRITONSERVER_Error *read_platform(struct tf_model *m)
{
    const struct json_node *node = json_get(m->config.root, "platform");
    struct slice platform =
        node != NULL && node->type == JSON_STRING ? json_text(node) : (struct slice){0};
    m->graphdef = slice_is(platform, "tensorflow_graphdef");
    if (!m->graphdef && !slice_is(platform, "tensorflow_savedmodel")) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "platform %.*s not supported for TensorFlow model '%s'",
                                 (int)platform.len, platform.ptr, m->config.name);
    }
    return NULL;
}

// The device of the first instance, whose session is loaded first.
static int first_device(const struct tf_model *m)
{
    const struct json_node *groups = json_get(m->config.root, "instance_group");
    if (groups == NULL || groups->type != JSON_ARRAY || groups->count == 0) {
        return TF_DEVICE_CPU;
    }
    const struct json_node *kind = json_get(json_first(groups), "kind");
    const struct json_node *gpus = json_get(json_first(groups), "gpus");
    if (kind == NULL || kind->type != JSON_STRING) {
        return TF_DEVICE_CPU;
    }
    if (slice_is(json_text(kind), "KIND_MODEL")) {
        return TF_DEVICE_MODEL;
    }
    int64_t gpu = 0;
    if (gpus != NULL && gpus->type == JSON_ARRAY && gpus->count > 0) {
        (void)json_as_i64(json_first(gpus), &gpu);
    }
    return slice_is(json_text(kind), "KIND_GPU") ? (int)gpu : TF_DEVICE_CPU;
}

static TRITONSERVER_Error *load(struct tf_model *m, TRITONBACKEND_Model *handle)
{
    int device = first_device(m);
    BACKEND_TRY(read_platform(m));
    BACKEND_TRY(load_plugins(m));
    BACKEND_TRY(read_parameters(m));
    BACKEND_TRY(read_optimization(m, device));
    BACKEND_TRY(tf_session_prepare(m, device));
    BACKEND_TRY(tf_check_declared(m));
    bool complete = false;
    BACKEND_TRY(TRITONBACKEND_ModelAutoCompleteConfig(handle, &complete));
    // A GraphDef does not say which of its operations are inputs and outputs.
    if (complete && !m->graphdef) {
        BACKEND_TRY(tf_complete(m, handle));
        model_config_fini(&m->config);
        BACKEND_TRY(model_config_init(&m->config, handle));
    }
    return tf_check(m);
}

static TRITONSERVER_Error *init(void *model, TRITONBACKEND_Model *handle, void *backend)
{
    struct tf_model *m = model;
    m->library = backend;
    pthread_mutex_init(&m->mutex, NULL);
    arena_init(&m->arena, 0);
    BACKEND_TRY(model_config_init(&m->config, handle));
    return load(m, handle);
}

static void fini(void *model)
{
    struct tf_model *m = model;
    tf_sessions_fini(m);
    arena_fini(&m->arena);
    model_config_fini(&m->config);
    pthread_mutex_destroy(&m->mutex);
}

const struct model_table tf_models = {.size = sizeof(struct tf_model), .init = init, .fini = fini};
