// SPDX-License-Identifier: Apache-2.0
// Finds a model's file, makes its session and reads its tensors. See onnx_model.h.
#include "backends/onnxruntime/onnx_model.h"

#include <sched.h>

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
        return fn->input_count(m->session, count);
    }
    return role == ROLE_OUTPUT ? fn->output_count(m->session, count)
                               : fn->initializer_count(m->session, count);
}

static TRITONSERVER_Error *read_name(struct onnx_model *m, enum tensor_role role, size_t index,
                                     struct onnx_tensor *t)
{
    const struct ort_functions *fn = &m->library->fn;
    struct ort_allocator *allocator = m->library->allocator;
    char *name = NULL;
    struct ort_status *status = NULL;
    if (role == ROLE_INPUT) {
        status = fn->input_name(m->session, index, allocator, &name);
    } else if (role == ROLE_OUTPUT) {
        status = fn->output_name(m->session, index, allocator, &name);
    } else {
        status = fn->initializer_name(m->session, index, allocator, &name);
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
        status = fn->input_type(m->session, index, &info);
    } else if (role == ROLE_OUTPUT) {
        status = fn->output_type(m->session, index, &info);
    } else {
        status = fn->initializer_type(m->session, index, &info);
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

// ---- session options ----

static TRITONSERVER_Error *set_optimization(struct onnx_model *m, struct ort_session_options *o)
{
    int level = ORT_OPTIMIZE_ALL;
    const struct json_node *optimization = json_get(m->config.root, "optimization");
    const struct json_node *graph = optimization == NULL ? NULL : json_get(optimization, "graph");
    const struct json_node *node = graph == NULL ? NULL : json_get(graph, "level");
    int64_t asked = 0;
    if (node != NULL && json_as_i64(node, &asked)) {
        // Triton's levels: 0 is the best, 1 less, 2 none, -1 the basics.
        if (asked == -1) {
            level = ORT_OPTIMIZE_BASIC;
        } else if (asked == 1) {
            level = ORT_OPTIMIZE_EXTENDED;
        } else if (asked == 2) {
            level = ORT_OPTIMIZE_NONE;
        }
    }
    return ort_error(m->library, m->library->fn.set_optimization(o, level));
}

// How many processors this process may use, as pinned or confined; ONNX Runtime itself counts those
// of the machine, and pins its threads to them.
static int usable_processors(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? count : 1;
}

static TRITONSERVER_Error *set_threads(struct onnx_model *m, struct ort_session_options *o)
{
    const struct ort_functions *fn = &m->library->fn;
    int mode = 0;
    BACKEND_TRY(model_parameter_int(&m->config, "execution_mode", &mode));
    if (mode != ORT_EXECUTION_SEQUENTIAL && mode != ORT_EXECUTION_PARALLEL) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "Invalid configuration value provided. Expected values for  "
                                 "execution_mode are 0 or 1 but got %d .",
                                 mode);
    }
    ORT_TRY(m->library, fn->set_execution_mode(o, mode));
    if (m->library->global_threads) {
        return ort_error(m->library, fn->disable_session_threads(o));
    }
    int intra = 0;
    int inter = 0;
    BACKEND_TRY(model_parameter_int(&m->config, "intra_op_thread_count", &intra));
    BACKEND_TRY(model_parameter_int(&m->config, "inter_op_thread_count", &inter));
    ORT_TRY(m->library, fn->set_intra_op_threads(o, intra > 0 ? intra : usable_processors()));
    if (inter > 0) {
        ORT_TRY(m->library, fn->set_inter_op_threads(o, inter));
    }
    // Threads that spin between two operators take the processor from the other models of this
    // server: three small models at once on two processors are fifteen times slower with it. A
    // model may ask for it again by these names.
    ORT_TRY(m->library, fn->set_session_entry(o, "session.intra_op.allow_spinning", "0"));
    return ort_error(m->library, fn->set_session_entry(o, "session.inter_op.allow_spinning", "0"));
}

static TRITONSERVER_Error *set_memory(struct onnx_model *m, struct ort_session_options *o)
{
    const struct ort_functions *fn = &m->library->fn;
    struct slice text = {0};
    bool on = false;
    if (model_parameter(&m->config, "enable_mem_arena", &text)) {
        BACKEND_TRY(backend_parse_bool("enable_mem_arena", text, &on));
        ORT_TRY(m->library, on ? fn->enable_cpu_mem_arena(o) : fn->disable_cpu_mem_arena(o));
    }
    if (model_parameter(&m->config, "enable_mem_pattern", &text)) {
        BACKEND_TRY(backend_parse_bool("enable_mem_pattern", text, &on));
        ORT_TRY(m->library, on ? fn->enable_mem_pattern(o) : fn->disable_mem_pattern(o));
    }
    return NULL;
}

// Parameters named as ONNX Runtime names its own ("session.", "optimization.", "ep.") go to it as
// they are.
static TRITONSERVER_Error *set_entries(struct onnx_model *m, struct ort_session_options *o)
{
    const struct json_node *parameters = json_get(m->config.root, "parameters");
    if (parameters == NULL || parameters->type != JSON_OBJECT) {
        return NULL;
    }
    const struct json_node *key = json_first(parameters);
    for (uint32_t i = 0; i < parameters->count; i++) {
        const struct json_node *value = json_next(key);
        struct slice name = json_text(key);
        struct slice text = {0};
        if (slice_starts(name, SLICE("session.")) || slice_starts(name, SLICE("optimization.")) ||
            slice_starts(name, SLICE("ep."))) {
            const char *k = arena_strdup(&m->arena, name);
            const char *v = NULL;
            if (k != NULL && model_parameter(&m->config, k, &text)) {
                v = arena_strdup(&m->arena, text);
            }
            if (k == NULL || v == NULL) {
                return backend_no_memory();
            }
            ORT_TRY(m->library, m->library->fn.set_session_entry(o, k, v));
        }
        key = json_next(value);
    }
    return NULL;
}

static TRITONSERVER_Error *add_cpu_accelerator(struct onnx_model *m, struct ort_session_options *o,
                                               struct slice name)
{
    if (!slice_is(name, "openvino")) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unknown Execution Accelerator '%.*s' is requested", (int)name.len,
                                 name.ptr);
    }
    if (!ort_has_provider(m->library, "OpenVINOExecutionProvider")) {
        BACKEND_LOG(WARN,
                    "model '%s' asks for the execution accelerator 'openvino', which ONNX Runtime "
                    "%s at '%s' was built without; it runs on the CPU provider",
                    m->config.name, m->library->version, m->library->path);
        return NULL;
    }
    static const char *const keys[] = {"device_type"};
    static const char *const values[] = {"CPU"};
    return ort_error(m->library, m->library->fn.append_provider(o, "OpenVINO", keys, values, 1));
}

static TRITONSERVER_Error *set_accelerators(struct onnx_model *m, struct ort_session_options *o)
{
    const struct json_node *optimization = json_get(m->config.root, "optimization");
    const struct json_node *accelerators =
        optimization == NULL ? NULL : json_get(optimization, "execution_accelerators");
    if (accelerators == NULL) {
        return NULL;
    }
    const struct json_node *gpu = json_get(accelerators, "gpu_execution_accelerator");
    if (gpu != NULL && gpu->type == JSON_ARRAY && gpu->count > 0) {
        BACKEND_LOG(INFO,
                    "model '%s' names accelerators for GPUs; its instances are on the CPU, which "
                    "they do not concern",
                    m->config.name);
    }
    const struct json_node *cpu = json_get(accelerators, "cpu_execution_accelerator");
    if (cpu == NULL || cpu->type != JSON_ARRAY) {
        return NULL;
    }
    const struct json_node *n = json_first(cpu);
    for (uint32_t i = 0; i < cpu->count; i++, n = json_next(n)) {
        const struct json_node *name = json_get(n, "name");
        BACKEND_TRY(add_cpu_accelerator(
            m, o, name != NULL && name->type == JSON_STRING ? json_text(name) : (struct slice){0}));
    }
    return NULL;
}

static TRITONSERVER_Error *set_custom_ops(struct onnx_model *m, struct ort_session_options *o)
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
        const char *path = arena_strdup(&m->arena, text);
        if (path == NULL) {
            return backend_no_memory();
        }
        void *library = NULL; // stays open for as long as the process
        ORT_TRY(m->library, m->library->fn.register_custom_ops(o, path, &library));
    }
    return NULL;
}

static TRITONSERVER_Error *make_run_options(struct onnx_model *m)
{
    static const char key[] = "memory.enable_memory_arena_shrinkage";
    struct slice text = {0};
    if (!model_parameter(&m->config, key, &text)) {
        return NULL;
    }
    const char *value = arena_strdup(&m->arena, text);
    if (value == NULL) {
        return backend_no_memory();
    }
    ORT_TRY(m->library, m->library->fn.create_run_options(&m->run_options));
    return ort_error(m->library, m->library->fn.set_run_entry(m->run_options, key, value));
}

// ---- the file and the session ----

static TRITONSERVER_Error *find_file(struct onnx_model *m)
{
    struct slice name = SLICE("model.onnx");
    const struct json_node *given = json_get(m->config.root, "default_model_filename");
    if (given != NULL && given->type == JSON_STRING && given->span > 0) {
        name = json_text(given);
    }
    struct str path = STR_INIT;
    str_printf(&path, "%s/%llu/", m->config.directory, (unsigned long long)m->config.version);
    str_append_slice(&path, name);
    if (!path.failed && file_is_dir(str_cstr(&path))) {
        str_append_cstr(&path, "/model.onnx");
    }
    m->path = str_take(&path);
    str_fini(&path);
    if (m->path == NULL) {
        return backend_no_memory();
    }
    if (!file_exists(m->path)) {
        return backend_error_new(TRITONSERVER_ERROR_UNAVAILABLE,
                                 "unable to find '%s' for model instance '%s'", m->path,
                                 m->config.name);
    }
    return NULL;
}

static TRITONSERVER_Error *refuse_gpu(const struct onnx_model *m)
{
    const struct json_node *groups = json_get(m->config.root, "instance_group");
    if (groups == NULL || groups->type != JSON_ARRAY) {
        return NULL;
    }
    const struct json_node *n = json_first(groups);
    for (uint32_t i = 0; i < groups->count; i++, n = json_next(n)) {
        const struct json_node *kind = json_get(n, "kind");
        if (kind != NULL && kind->type == JSON_STRING && slice_is(json_text(kind), "KIND_GPU")) {
            return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                     "model '%s' asks for instances on a GPU (KIND_GPU); this "
                                     "build of the onnxruntime backend runs on the CPU only",
                                     m->config.name);
        }
    }
    return NULL;
}

typedef TRITONSERVER_Error *(*option_fn)(struct onnx_model *m, struct ort_session_options *o);

static TRITONSERVER_Error *make_session(struct onnx_model *m)
{
    struct ort_session_options *o = NULL;
    ORT_TRY(m->library, m->library->fn.create_session_options(&o));
    TRITONSERVER_Error *error = set_optimization(m, o);
    static const option_fn steps[] = {set_threads, set_memory, set_entries, set_accelerators,
                                      set_custom_ops};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && error == NULL; i++) {
        error = steps[i](m, o);
    }
    if (error == NULL) {
        error = ort_error(m->library,
                          m->library->fn.create_session(m->library->env, m->path, o, &m->session));
    }
    m->library->fn.release_session_options(o);
    return error;
}

static TRITONSERVER_Error *load(struct onnx_model *m, TRITONBACKEND_Model *handle)
{
    BACKEND_TRY(refuse_gpu(m));
    BACKEND_TRY(find_file(m));
    BACKEND_TRY(make_session(m));
    BACKEND_TRY(make_run_options(m));
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

TRITONSERVER_Error *onnx_model_create(TRITONBACKEND_Model *handle, struct ort_library *library,
                                      int default_max_batch_size, struct onnx_model **model)
{
    struct onnx_model *m = mem_calloc(1, sizeof(*m));
    if (m == NULL) {
        return backend_no_memory();
    }
    m->library = library;
    m->default_max_batch_size = default_max_batch_size;
    arena_init(&m->arena, 0);
    TRITONSERVER_Error *error = model_config_init(&m->config, handle);
    if (error == NULL) {
        error = load(m, handle);
    }
    if (error != NULL) {
        onnx_model_destroy(m);
        return error;
    }
    *model = m;
    return NULL;
}

void onnx_model_destroy(struct onnx_model *model)
{
    if (model == NULL) {
        return;
    }
    if (model->run_options != NULL) {
        model->library->fn.release_run_options(model->run_options);
    }
    if (model->session != NULL) {
        model->library->fn.release_session(model->session);
    }
    mem_free(model->path);
    arena_fini(&model->arena);
    model_config_fini(&model->config);
    mem_free(model);
}
