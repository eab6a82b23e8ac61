// SPDX-License-Identifier: Apache-2.0
// Loads sessions and shares them among instances. See tf_model.h.
#include "backends/common/model_file.h"
#include "backends/tensorflow/tf_model.h"
#include "base/file.h"
#include "base/mem.h"

enum { INIT_OPS_MAX = 1 << 20 };

// ---- options ----

static TRITONSERVER_Error *make_options(const struct tf_model *m, int device,
                                        struct tf_session_options **options)
{
    const struct tf_functions *fn = &m->library->fn;
    const struct tf_config config = {
        .intra_op_threads = m->intra_op_threads,
        .inter_op_threads = m->inter_op_threads,
        .per_session_threads = m->per_session_threads,
        .soft_placement = m->library->soft_placement,
        .no_gpu = device == TF_DEVICE_CPU,
        .gpu_memory_fraction = m->library->gpu_memory_fraction,
        .gpu_allow_growth = m->library->gpu_memory_fraction == 0,
        .jit_level = m->jit_level,
        .auto_mixed_precision = m->auto_mixed_precision,
    };
    struct str proto = STR_INIT;
    tf_write_config(&config, &proto);
    TRITONSERVER_Error *error = backend_error(str_status(&proto));
    struct tf_session_options *made = error == NULL ? fn->new_session_options() : NULL;
    struct tf_status *status = made == NULL ? NULL : fn->new_status();
    if (status != NULL) {
        fn->set_config(made, proto.ptr, proto.len, status);
        error = tf_error(m->library, status);
    } else if (error == NULL) {
        error = backend_no_memory();
    }
    str_fini(&proto);
    if (error != NULL) {
        if (made != NULL) {
            fn->delete_session_options(made);
        }
        return error;
    }
    *options = made;
    return NULL;
}

// ---- loading ----

static TRITONSERVER_Error *no_such_signature(const struct tf_model *m)
{
    return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                             "unable to load model '%s', expected '%s' signature", m->config.name,
                             m->signature[0] == '\0' ? "serving_default" : m->signature);
}

// The first session tells what the model declares; the others are of the same file.
static TRITONSERVER_Error *read_meta_graph(struct tf_model *m, struct slice meta_graph)
{
    bool found = false;
    if (m->declared.key != NULL) {
        return NULL;
    }
    BACKEND_TRY(backend_error(
        tf_read_signature(&m->arena, meta_graph, m->signature, &found, &m->declared)));
    if (!found) {
        return no_such_signature(m);
    }
    if (m->signature[0] == '\0' && strcmp(m->declared.key, "serving_default") != 0) {
        BACKEND_LOG(WARN, "model '%s' has no signature 'serving_default': using '%s'",
                    m->config.name, m->declared.key);
    }
    return NULL;
}

static TRITONSERVER_Error *load_saved_model(struct tf_model *m,
                                            const struct tf_session_options *options,
                                            const char *path, struct tf_session *session)
{
    const struct tf_functions *fn = &m->library->fn;
    struct tf_buffer *meta_graph = fn->new_buffer();
    struct tf_status *status = fn->new_status();
    const char *const tags[] = {m->tag};
    session->raw =
        fn->load_saved_model(options, NULL, path, tags, 1, session->graph, meta_graph, status);
    TRITONSERVER_Error *error = tf_error(m->library, status);
    if (error == NULL) {
        error = read_meta_graph(m, slice_make(meta_graph->data, meta_graph->length));
    }
    fn->delete_buffer(meta_graph);
    return error;
}

static TRITONSERVER_Error *import_graph(struct tf_model *m, struct slice bytes, int device,
                                        struct tf_session *session)
{
    const struct tf_functions *fn = &m->library->fn;
    struct tf_import_options *options = fn->new_import_options();
    struct tf_buffer buffer = {bytes.ptr, bytes.len, NULL};
    struct tf_status *status = fn->new_status();
    struct str name = STR_INIT;
    if (device >= 0) {
        str_printf(&name, "/device:GPU:%d", device);
        fn->set_default_device(options, str_cstr(&name));
    }
    fn->import_graph(session->graph, &buffer, options, status);
    fn->delete_import_options(options);
    str_fini(&name);
    return tf_error(m->library, status);
}

static TRITONSERVER_Error *load_graphdef(struct tf_model *m,
                                         const struct tf_session_options *options, const char *path,
                                         struct tf_session *session)
{
    const struct tf_functions *fn = &m->library->fn;
    struct str bytes = STR_INIT;
    TRITONSERVER_Error *error = backend_error(file_read(path, SIZE_MAX, &bytes));
    if (error == NULL) {
        error = import_graph(m, str_slice(&bytes), session->device, session);
    }
    str_fini(&bytes);
    if (error != NULL) {
        return error;
    }
    size_t position = 0;
    if (fn->next_operation(session->graph, &position) == NULL) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "model %s has an empty network",
                                 m->config.name);
    }
    struct tf_status *status = fn->new_status();
    session->raw = fn->new_session(session->graph, options, status);
    return tf_error(m->library, status);
}

// Whether the library sees that GPU; with a library for the CPU it sees none.
static TRITONSERVER_Error *check_device(const struct tf_model *m, const struct tf_session *session)
{
    const struct tf_functions *fn = &m->library->fn;
    if (session->device < 0) {
        return NULL;
    }
    struct tf_status *status = fn->new_status();
    struct tf_device_list *list = fn->list_devices(session->raw, status);
    BACKEND_TRY(tf_error(m->library, status));
    int gpus = 0;
    for (int i = 0; i < fn->device_count(list); i++) {
        struct tf_status *each = fn->new_status();
        const char *type = fn->device_type(list, i, each);
        gpus += fn->get_code(each) == TF_CODE_OK && strcmp(type, "GPU") == 0 ? 1 : 0;
        fn->delete_status(each);
    }
    fn->delete_device_list(list);
    if (session->device < gpus) {
        return NULL;
    }
    return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                             "model '%s' asks for an instance on GPU %d; TensorFlow %s at '%s' "
                             "sees %d GPUs",
                             m->config.name, session->device, m->library->version, m->library->path,
                             gpus);
}

// ---- TF_INIT_OPS_FILE ----

static TRITONSERVER_Error *run_init_op(const struct tf_model *m, const struct tf_session *session,
                                       struct slice name)
{
    const struct tf_functions *fn = &m->library->fn;
    char *text = mem_strndup(name.ptr, name.len);
    if (text == NULL) {
        return backend_no_memory();
    }
    const struct tf_operation *operation = fn->find_operation(session->graph, text);
    mem_free(text);
    if (operation == NULL) {
        return backend_error_new(
            TRITONSERVER_ERROR_INVALID_ARG,
            "model '%s': '%s' names the operation '%.*s', which the graph does "
            "not have",
            m->config.name, m->init_ops, (int)name.len, name.ptr);
    }
    struct tf_status *status = fn->new_status();
    fn->run(session->raw, NULL, NULL, NULL, 0, NULL, NULL, 0, &operation, 1, NULL, status);
    return tf_error(m->library, status);
}

static TRITONSERVER_Error *run_init_list(const struct tf_model *m, const struct tf_session *session,
                                         struct arena *arena, struct slice text)
{
    const struct json_node *root = NULL;
    const struct json_node *list = NULL;
    BACKEND_TRY(backend_error(json_parse_status(arena, text, JSON_STRICT, m->init_ops, &root)));
    BACKEND_TRY(backend_error(json_member(root, "init_ops", &list)));
    BACKEND_TRY(backend_error(json_want_array(list)));
    const struct json_node *n = json_first(list);
    for (uint32_t i = 0; i < list->count; i++, n = json_next(n)) {
        struct slice name = {0};
        BACKEND_TRY(backend_error(json_want_string(n, &name)));
        BACKEND_TRY(run_init_op(m, session, name));
    }
    return NULL;
}

static TRITONSERVER_Error *run_init_ops(const struct tf_model *m, const struct tf_session *session)
{
    if (m->init_ops == NULL) {
        return NULL;
    }
    struct str text = STR_INIT;
    struct arena arena;
    arena_init(&arena, 0);
    TRITONSERVER_Error *error = backend_error(file_read(m->init_ops, INIT_OPS_MAX, &text));
    if (error == NULL) {
        error = run_init_list(m, session, &arena, str_slice(&text));
    }
    arena_fini(&arena);
    str_fini(&text);
    return error;
}

// ---- sessions ----

static void destroy(const struct tf_model *m, struct tf_session *session)
{
    const struct tf_functions *fn = &m->library->fn;
    if (session->raw != NULL) {
        struct tf_status *status = fn->new_status();
        fn->close_session(session->raw, status);
        backend_log_error(tf_error(m->library, status), "failed to close a session");
        status = fn->new_status();
        fn->delete_session(session->raw, status);
        backend_log_error(tf_error(m->library, status), "failed to delete a session");
    }
    if (session->graph != NULL) {
        fn->delete_graph(session->graph);
    }
    mem_free(session);
}

static TRITONSERVER_Error *load(struct tf_model *m, struct tf_session *session)
{
    struct tf_session_options *options = NULL;
    char *path = NULL;
    BACKEND_TRY(backend_model_file(&m->config, session->device,
                                   m->graphdef ? "model.graphdef" : "model.savedmodel", &path));
    session->graph = m->library->fn.new_graph();
    TRITONSERVER_Error *error = make_options(m, session->device, &options);
    if (error == NULL) {
        error = m->graphdef ? load_graphdef(m, options, path, session)
                            : load_saved_model(m, options, path, session);
        m->library->fn.delete_session_options(options);
    }
    mem_free(path);
    if (error == NULL) {
        error = check_device(m, session);
    }
    return error != NULL ? error : run_init_ops(m, session);
}

static TRITONSERVER_Error *create(struct tf_model *m, int device, struct tf_session **session)
{
    if (device > 0 && !m->graphdef) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "model '%s' asks for an instance on GPU %d: TensorFlow's C API "
                                 "loads a SavedModel to GPU 0 only; use KIND_MODEL and place the "
                                 "operations in the model, or a GraphDef",
                                 m->config.name, device);
    }
    struct tf_session *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return backend_no_memory();
    }
    made->device = device;
    TRITONSERVER_Error *error = load(m, made);
    if (error != NULL) {
        destroy(m, made);
        return error;
    }
    made->next = m->sessions;
    m->sessions = made;
    *session = made;
    return NULL;
}

TRITONSERVER_Error *tf_session_prepare(struct tf_model *m, int device)
{
    struct tf_session *session = NULL;
    pthread_mutex_lock(&m->mutex);
    TRITONSERVER_Error *error = create(m, device, &session);
    pthread_mutex_unlock(&m->mutex);
    return error;
}

TRITONSERVER_Error *tf_session_acquire(struct tf_model *m, int device, struct tf_session **session)
{
    TRITONSERVER_Error *error = NULL;
    pthread_mutex_lock(&m->mutex);
    struct tf_session *s = m->sessions;
    while (s != NULL && (s->device != device || s->users >= m->share_count)) {
        s = s->next;
    }
    if (s == NULL) {
        error = create(m, device, &s);
    }
    if (error == NULL) {
        s->users++;
        *session = s;
    }
    pthread_mutex_unlock(&m->mutex);
    return error;
}

void tf_session_release(struct tf_model *m, struct tf_session *session)
{
    pthread_mutex_lock(&m->mutex);
    session->users--;
    struct tf_session **link = &m->sessions;
    while (*link != session) {
        link = &(*link)->next;
    }
    bool last = session->users == 0;
    if (last) {
        *link = session->next;
    }
    pthread_mutex_unlock(&m->mutex);
    if (last) {
        destroy(m, session);
    }
}

void tf_sessions_fini(struct tf_model *m)
{
    while (m->sessions != NULL) {
        struct tf_session *session = m->sessions;
        m->sessions = session->next;
        destroy(m, session);
    }
}

struct tf_output tf_session_find(const struct tf_model *m, const struct tf_session *session,
                                 const char *tensor)
{
    const struct tf_functions *fn = &m->library->fn;
    struct tf_output out = {NULL, 0};
    struct slice name = slice_of(tensor);
    const char *colon = strrchr(tensor, ':');
    int64_t index = 0;
    if (colon != NULL && slice_to_i64(slice_of(colon + 1), &index)) {
        name.len = (size_t)(colon - tensor);
    }
    char *operation = mem_strndup(name.ptr, name.len);
    if (operation != NULL) {
        out.operation = fn->find_operation(session->graph, operation);
        mem_free(operation);
    }
    if (out.operation != NULL && (index < 0 || index >= fn->operation_outputs(out.operation))) {
        out.operation = NULL;
    }
    out.index = (int)index;
    return out;
}
