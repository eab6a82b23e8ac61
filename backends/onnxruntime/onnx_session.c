// SPDX-License-Identifier: Apache-2.0
// Sessions: the options that a configuration and a device give them. See onnx_session.h.
#include "backends/onnxruntime/onnx_session.h"

#include <sched.h>

#include "backends/onnxruntime/onnx_gpu_options.h"
#include "base/mem.h"

// ---- options that hold everywhere ----

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

static TRITONSERVER_Error *set_cpu_accelerators(struct onnx_model *m, struct ort_session_options *o)
{
    const struct json_node *optimization = json_get(m->config.root, "optimization");
    const struct json_node *accelerators =
        optimization == NULL ? NULL : json_get(optimization, "execution_accelerators");
    if (accelerators == NULL) {
        return NULL;
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

// ---- a GPU ----

static TRITONSERVER_Error *add_tensorrt(struct onnx_model *m, const struct onnx_session *session,
                                        struct ort_session_options *o,
                                        const struct onnx_options *options)
{
    const struct ort_functions *fn = &m->library->fn;
    struct ort_tensorrt_options *made = NULL;
    if (!ort_has_provider(m->library, "TensorrtExecutionProvider")) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "model '%s' asks for the execution accelerator 'tensorrt', which "
                                 "ONNX Runtime %s at '%s' was built without",
                                 m->config.name, m->library->version, m->library->path);
    }
    ORT_TRY(m->library, fn->create_tensorrt_options(&made));
    struct ort_status *status =
        fn->update_tensorrt_options(made, options->keys, options->values, options->count);
    if (status == NULL) {
        status = fn->update_tensorrt_value(made, "user_compute_stream",
                                           gpu_stream_handle(gpu_io_stream(session->io)));
    }
    if (status == NULL) {
        status = fn->append_tensorrt(o, made);
    }
    fn->release_tensorrt_options(made);
    TRITONSERVER_Error *why = ort_error(m->library, status);
    if (why == NULL) {
        return NULL;
    }
    TRITONSERVER_Error *error = backend_error_new(
        TRITONSERVER_ErrorCode(why),
        "model '%s' asks for the execution accelerator 'tensorrt', whose provider cannot be used: "
        "%s (its library needs TensorRT's libnvinfer and libnvonnxparser: name their folders in "
        "LD_LIBRARY_PATH)",
        m->config.name, TRITONSERVER_ErrorMessage(why));
    TRITONSERVER_ErrorDelete(why);
    return error;
}

static TRITONSERVER_Error *add_cuda(struct onnx_model *m, const struct onnx_session *session,
                                    struct ort_session_options *o,
                                    const struct onnx_options *options)
{
    const struct ort_functions *fn = &m->library->fn;
    struct ort_cuda_options *made = NULL;
    ORT_TRY(m->library, fn->create_cuda_options(&made));
    struct ort_status *status =
        fn->update_cuda_options(made, options->keys, options->values, options->count);
    if (status == NULL) {
        status = fn->update_cuda_value(made, "user_compute_stream",
                                       gpu_stream_handle(gpu_io_stream(session->io)));
    }
    if (status == NULL) {
        status = fn->append_cuda(o, made);
    }
    fn->release_cuda_options(made);
    return ort_error(m->library, status);
}

static TRITONSERVER_Error *add_gpu_providers(struct onnx_model *m, struct onnx_session *session,
                                             struct ort_session_options *o)
{
    struct onnx_gpu_options *options = mem_calloc(1, sizeof(*options));
    struct str device = STR_INIT;
    str_append_i64(&device, session->device);
    TRITONSERVER_Error *error = options == NULL || device.failed
                                    ? backend_no_memory()
                                    : onnx_gpu_options_read(&m->config, &session->arena, options);
    if (error == NULL && options->tensorrt) {
        error = onnx_option_set(&options->tensorrt_options, "device_id", str_cstr(&device));
        if (error == NULL) {
            error = add_tensorrt(m, session, o, &options->tensorrt_options);
        }
    }
    if (error == NULL) {
        error = onnx_option_set(&options->cuda_options, "device_id", str_cstr(&device));
    }
    if (error == NULL) {
        session->cuda_graphs = options->cuda_graphs;
        error = add_cuda(m, session, o, &options->cuda_options);
    }
    str_fini(&device);
    mem_free(options);
    return error;
}

static TRITONSERVER_Error *open_gpu(struct onnx_model *m, struct onnx_session *session)
{
    BACKEND_TRY(gpu_io_create_for_model(m->handle, session->device, &session->io));
    return ort_error(
        m->library, m->library->fn.create_memory_info("Cuda", ORT_ALLOCATOR_DEVICE, session->device,
                                                      ORT_MEMORY_DEFAULT, &session->memory));
}

// ---- run options ----

TRITONSERVER_Error *onnx_run_options(const struct onnx_model *m, const struct onnx_session *session,
                                     int64_t graph, struct ort_run_options **options)
{
    static const char shrink[] = "memory.enable_memory_arena_shrinkage";
    const struct ort_functions *fn = &m->library->fn;
    struct ort_run_options *made = NULL;
    struct str text = STR_INIT;
    struct slice value = {0};
    ORT_TRY(m->library, fn->create_run_options(&made));
    struct ort_status *status = NULL;
    if (model_parameter(&m->config, shrink, &value)) {
        str_append_slice(&text, value);
        status = fn->set_run_entry(made, shrink, str_cstr(&text));
    }
    if (status == NULL && session->device != GPU_IO_HOST) {
        // The instance's stream is waited for once, behind the copies of the outputs.
        status = fn->set_run_entry(made, "disable_synchronize_execution_providers", "1");
    }
    if (status == NULL && session->cuda_graphs) {
        str_clear(&text);
        str_append_i64(&text, graph);
        status = fn->set_run_entry(made, "gpu_graph_id", str_cstr(&text));
    }
    bool failed = text.failed;
    str_fini(&text);
    if (status != NULL || failed) {
        fn->release_run_options(made);
        return status != NULL ? ort_error(m->library, status) : backend_no_memory();
    }
    *options = made;
    return NULL;
}

// ---- opening ----

typedef TRITONSERVER_Error *(*option_fn)(struct onnx_model *m, struct ort_session_options *o);

static TRITONSERVER_Error *make_session(struct onnx_model *m, struct onnx_session *session)
{
    static const option_fn steps[] = {set_optimization, set_threads, set_memory, set_entries};
    const struct ort_functions *fn = &m->library->fn;
    struct ort_session_options *o = NULL;
    char *path = NULL;
    BACKEND_TRY(onnx_model_file(m, session->device, &path));
    TRITONSERVER_Error *error = ort_error(m->library, fn->create_session_options(&o));
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && error == NULL; i++) {
        error = steps[i](m, o);
    }
    if (error == NULL && session->device != GPU_IO_HOST) {
        error = add_gpu_providers(m, session, o);
    }
    if (error == NULL) {
        error = set_cpu_accelerators(m, o);
    }
    if (error == NULL) {
        error = set_custom_ops(m, o);
    }
    if (error == NULL) {
        pthread_rwlock_rdlock(&m->library->runs);
        error =
            ort_error(m->library, fn->create_session(m->library->env, path, o, &session->handle));
        pthread_rwlock_unlock(&m->library->runs);
    }
    if (o != NULL) {
        fn->release_session_options(o);
    }
    mem_free(path);
    return error;
}

TRITONSERVER_Error *onnx_session_open(struct onnx_model *m, int device,
                                      struct onnx_session **session)
{
    struct onnx_session *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return backend_no_memory();
    }
    made->device = device;
    arena_init(&made->arena, 0);
    TRITONSERVER_Error *error = device == GPU_IO_HOST ? NULL : open_gpu(m, made);
    if (error == NULL) {
        error = make_session(m, made);
    }
    if (error == NULL) {
        error = onnx_run_options(m, made, -1, &made->run_options);
    }
    if (error != NULL) {
        onnx_session_close(m, made);
        return error;
    }
    *session = made;
    return NULL;
}

void onnx_session_close(struct onnx_model *m, struct onnx_session *session)
{
    const struct ort_functions *fn = &m->library->fn;
    if (session == NULL) {
        return;
    }
    if (session->run_options != NULL) {
        fn->release_run_options(session->run_options);
    }
    if (session->handle != NULL) {
        fn->release_session(session->handle);
    }
    if (session->memory != NULL) {
        fn->release_memory_info(session->memory);
    }
    gpu_io_destroy(session->io);
    arena_fini(&session->arena);
    mem_free(session);
}
