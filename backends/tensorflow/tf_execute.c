// SPDX-License-Identifier: Apache-2.0
// Runs a batch: wraps inputs as tensors, runs the session for the outputs that somebody wants,
// hands them out. The memory of one request is fed as it lies (TensorFlow copies it itself where it
// is not aligned to 64 bytes); several requests are joined in memory that the instance keeps.
// Outputs are TensorFlow's own and are copied out once. Start at execute(). See tf_model.h.
#include "backends/tensorflow/tf_model.h"
#include "base/mem.h"

enum { TF_DIMS_MAX = 64 };

// An input that requests may bring, or that the backend computes for a ragged batch.
struct place {
    const char *name;
    struct tf_output tensor;
    bool scalar; // has no dimensions in the model
};

struct tf_instance {
    struct tf_model *model;
    struct tf_session *session;
    struct batch batch;
    struct place *places;
    uint32_t place_count;
    struct tf_output *output_places; // parallel to the model's responses
    // Inputs of the run; parallel arrays of place_count places.
    uint32_t input_count;
    struct scratch *inputs;
    struct tf_output *feeds;
    struct tf_tensor **feed_values;
    // Outputs of the run; parallel arrays of one place a response.
    uint32_t output_count;
    uint32_t *output_slots; // which response
    struct tf_output *fetches;
    struct tf_tensor **fetch_values;
};

// ---- instances ----

static TRITONSERVER_Error *add_place(struct tf_instance *s, const char *name, const char *tensor,
                                     bool scalar)
{
    struct place *p = &s->places[s->place_count];
    *p = (struct place){name, tf_session_find(s->model, s->session, tensor), scalar};
    if (p->tensor.operation == NULL) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "model '%s': the graph does not have the tensor '%s' of input "
                                 "'%s'",
                                 s->model->config.name, tensor, name);
    }
    s->place_count++;
    return NULL;
}

static TRITONSERVER_Error *add_graph_places(struct tf_instance *s)
{
    const struct tf_model *m = s->model;
    for (uint32_t i = 0; i < m->config.input_count; i++) {
        BACKEND_TRY(add_place(s, m->config.inputs[i].name, m->config.inputs[i].name, false));
    }
    for (uint32_t i = 0; i < m->ragged_count; i++) {
        for (uint32_t k = 0; k < m->ragged[i].target_count; k++) {
            BACKEND_TRY(add_place(s, m->ragged[i].targets[k], m->ragged[i].targets[k], false));
        }
    }
    const struct json_node *sequence = json_get(m->config.root, "sequence_batching");
    const struct json_node *controls =
        sequence == NULL ? NULL : json_get(sequence, "control_input");
    if (controls == NULL || controls->type != JSON_ARRAY) {
        return NULL;
    }
    const struct json_node *n = json_first(controls);
    for (uint32_t i = 0; i < controls->count; i++, n = json_next(n)) {
        struct slice name = {0};
        BACKEND_TRY(backend_error(json_want_string(json_get(n, "name"), &name)));
        const char *copy = arena_strdup(&s->model->arena, name);
        BACKEND_TRY(copy == NULL ? backend_no_memory() : add_place(s, copy, copy, false));
    }
    return NULL;
}

static uint32_t places_needed(const struct tf_model *m)
{
    uint32_t count = m->config.input_count + m->declared.inputs.count;
    for (uint32_t i = 0; i < m->ragged_count; i++) {
        count += m->ragged[i].target_count;
    }
    const struct json_node *sequence = json_get(m->config.root, "sequence_batching");
    const struct json_node *controls =
        sequence == NULL ? NULL : json_get(sequence, "control_input");
    return count + (controls != NULL && controls->type == JSON_ARRAY ? controls->count : 0);
}

static TRITONSERVER_Error *find_outputs(struct tf_instance *s)
{
    const struct tf_model *m = s->model;
    for (uint32_t i = 0; i < m->response_count; i++) {
        const char *name = m->responses[i]->name;
        const struct tf_io *io = tf_find_io(&m->declared.outputs, name);
        const char *tensor = io == NULL ? name : io->tensor;
        s->output_places[i] = tf_session_find(m, s->session, tensor);
        if (s->output_places[i].operation == NULL) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                     "model '%s': the graph does not have the tensor '%s' of "
                                     "output '%s'",
                                     m->config.name, tensor, name);
        }
    }
    return NULL;
}

static TRITONSERVER_Error *find_places(struct tf_instance *s)
{
    const struct tf_model *m = s->model;
    if (m->graphdef) {
        BACKEND_TRY(add_graph_places(s));
    }
    for (uint32_t i = 0; i < m->declared.inputs.count; i++) {
        const struct tf_io *io = &m->declared.inputs.items[i];
        BACKEND_TRY(add_place(s, io->name, io->tensor, tf_is_scalar(io)));
    }
    return find_outputs(s);
}

static TRITONSERVER_Error *make_room(struct tf_instance *s)
{
    size_t in = (size_t)places_needed(s->model) + 1;
    size_t out = (size_t)s->model->response_count + 1;
    s->places = mem_calloc(in, sizeof(*s->places));
    s->inputs = mem_calloc(in, sizeof(*s->inputs));
    s->feeds = mem_calloc(in, sizeof(*s->feeds));
    s->feed_values = mem_calloc(in, sizeof(struct tf_tensor *));
    s->output_places = mem_calloc(out, sizeof(*s->output_places));
    s->output_slots = mem_calloc(out, sizeof(*s->output_slots));
    s->fetches = mem_calloc(out, sizeof(*s->fetches));
    s->fetch_values = mem_calloc(out, sizeof(struct tf_tensor *));
    bool ok = s->places != NULL && s->inputs != NULL && s->feeds != NULL &&
              s->feed_values != NULL && s->output_places != NULL && s->output_slots != NULL &&
              s->fetches != NULL && s->fetch_values != NULL;
    return ok ? NULL : backend_no_memory();
}

static TRITONSERVER_Error *init(void *instance, TRITONBACKEND_ModelInstance *handle, void *model,
                                TRITONSERVER_InstanceGroupKind kind, int32_t gpu)
{
    struct tf_instance *s = instance;
    int device = kind == TRITONSERVER_INSTANCEGROUPKIND_MODEL ? TF_DEVICE_MODEL : gpu;
    s->model = model;
    batch_init(&s->batch, handle);
    BACKEND_TRY(make_room(s));
    BACKEND_TRY(tf_session_acquire(s->model, device, &s->session));
    return find_places(s);
}

static void fini(void *instance)
{
    struct tf_instance *s = instance;
    if (s->session != NULL) {
        tf_session_release(s->model, s->session);
    }
    for (uint32_t i = 0; s->inputs != NULL && i < s->place_count; i++) {
        scratch_fini(&s->inputs[i]);
    }
    mem_free(s->places);
    mem_free(s->inputs);
    mem_free(s->feeds);
    mem_free(s->feed_values);
    mem_free(s->output_places);
    mem_free(s->output_slots);
    mem_free(s->fetches);
    mem_free(s->fetch_values);
    batch_fini(&s->batch);
}

// Strings belong to whoever made the tensor. The outputs go first: one may be an input that passed
// through.
static void release_tensors(struct tf_instance *s)
{
    const struct tf_functions *fn = &s->model->library->fn;
    for (uint32_t i = 0; i < s->output_count; i++) {
        if (s->fetch_values[i] != NULL) {
            fn->delete_tensor(s->fetch_values[i]);
            s->fetch_values[i] = NULL;
        }
    }
    for (uint32_t i = 0; i < s->input_count; i++) {
        struct tf_tensor *tensor = s->feed_values[i];
        if (tensor == NULL) {
            continue;
        }
        if (fn->tensor_type(tensor) == TF_TYPE_STRING) {
            struct tf_string *strings = fn->tensor_data(tensor);
            size_t count = fn->tensor_size(tensor) / sizeof(*strings);
            for (size_t k = 0; k < count; k++) {
                fn->string_dealloc(&strings[k]);
            }
        }
        fn->delete_tensor(tensor);
        s->feed_values[i] = NULL;
    }
    s->input_count = 0;
    s->output_count = 0;
}

// ---- inputs ----

static void keep(void *data, size_t length, void *arg)
{
    (void)data; // belongs to the request or to the instance
    (void)length;
    (void)arg;
}

static TRITONSERVER_Error *wrap(struct tf_instance *s, const void *data, uint64_t size, int type,
                                const int64_t *dims, uint32_t dim_count, struct tf_tensor **value)
{
    static const char nothing[1] = {0};
    const void *at = data == NULL ? nothing : data;
    void *writable = NULL; // the interface has one type for what it reads and what it writes
    memcpy(&writable, &at, sizeof(writable));
    *value = s->model->library->fn.new_tensor(type, dims, (int)dim_count, writable, (size_t)size,
                                              keep, NULL);
    return *value == NULL ? backend_no_memory() : NULL;
}

struct string_sink {
    const struct tf_functions *fn;
    struct tf_string *strings;
};

static TRITONSERVER_Error *put_string(void *userp, int64_t index, struct slice element)
{
    const struct string_sink *sink = userp;
    sink->fn->string_copy(&sink->strings[index], element.ptr, element.len);
    return NULL;
}

static TRITONSERVER_Error *gather_strings(struct tf_instance *s, const char *name,
                                          const int64_t *dims, uint32_t dim_count,
                                          struct scratch *scratch, struct tf_tensor **value)
{
    const struct tf_functions *fn = &s->model->library->fn;
    int64_t total = 0;
    size_t size = 0;
    if (!model_shape_elements(dims, dim_count, &total) ||
        __builtin_mul_overflow((size_t)total, sizeof(struct tf_string), &size)) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "input '%s' has a shape that is negative or too large", name);
    }
    *value = fn->allocate_tensor(TF_TYPE_STRING, dims, (int)dim_count, size);
    if (*value == NULL) {
        return backend_no_memory();
    }
    struct string_sink sink = {fn, fn->tensor_data(*value)};
    for (int64_t i = 0; i < total; i++) {
        fn->string_init(&sink.strings[i]);
    }
    return batch_gather_bytes(&s->batch, name, total, scratch, put_string, &sink);
}

static const struct model_tensor *find_config(const struct tf_model *m, const char *name)
{
    for (uint32_t i = 0; i < m->config.input_count; i++) {
        if (strcmp(m->config.inputs[i].name, name) == 0) {
            return &m->config.inputs[i];
        }
    }
    return NULL;
}

// The shape of an input for the whole batch.
static TRITONSERVER_Error *batch_shape(struct tf_instance *s, const struct batch_input *first,
                                       bool scalar, int64_t *dims, uint32_t *dim_count)
{
    const struct model_tensor *config = find_config(s->model, first->name);
    if (scalar) {
        *dim_count = 0;
        return NULL;
    }
    if (config != NULL && config->ragged) {
        *dim_count = 1;
        return ragged_elements(&s->batch, first->name, &dims[0]);
    }
    if (first->dim_count > TF_DIMS_MAX) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED, "input '%s' has %u dimensions",
                                 first->name, first->dim_count);
    }
    *dim_count = first->dim_count;
    memcpy(dims, first->dims, first->dim_count * sizeof(*dims));
    if (s->model->config.max_batch_size > 0 && first->dim_count > 0) {
        dims[0] = (int64_t)s->batch.rows;
    }
    return NULL;
}

// The next place of the run's inputs, for the tensor that clients call `name`.
static TRITONSERVER_Error *take_slot(struct tf_instance *s, const char *name, uint32_t *slot,
                                     const struct place **place)
{
    for (uint32_t i = 0; i < s->place_count; i++) {
        if (strcmp(s->places[i].name, name) == 0 && s->input_count < s->place_count) {
            *place = &s->places[i];
            *slot = s->input_count++;
            s->feeds[*slot] = s->places[i].tensor;
            s->feed_values[*slot] = NULL;
            return NULL;
        }
    }
    return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "unexpected inference input '%s'", name);
}

static TRITONSERVER_Error *gather_input(struct tf_instance *s, const struct batch_input *first)
{
    const struct place *place = NULL;
    uint32_t slot = 0;
    int64_t dims[TF_DIMS_MAX];
    uint32_t dim_count = 0;
    const void *data = NULL;
    uint64_t size = 0;
    BACKEND_TRY(take_slot(s, first->name, &slot, &place));
    BACKEND_TRY(batch_shape(s, first, place->scalar, dims, &dim_count));
    if (first->dtype == TRITONSERVER_TYPE_BYTES) {
        return gather_strings(s, first->name, dims, dim_count, &s->inputs[slot],
                              &s->feed_values[slot]);
    }
    BACKEND_TRY(batch_gather(&s->batch, first, 1, &s->inputs[slot], &data, &size));
    return wrap(s, data, size, tf_from_triton(first->dtype), dims, dim_count,
                &s->feed_values[slot]);
}

static TRITONSERVER_Error *gather_ragged(struct tf_instance *s, const struct ragged_input *ragged)
{
    for (uint32_t i = 0; i < ragged->target_count; i++) {
        const struct place *place = NULL;
        uint32_t slot = 0;
        int64_t dims[RAGGED_DIMS_MAX] = {0, 0};
        uint32_t dim_count = 0;
        void *data = NULL;
        uint64_t size = 0;
        BACKEND_TRY(take_slot(s, ragged->targets[i], &slot, &place));
        BACKEND_TRY(
            ragged_fill(&s->batch, ragged, &s->inputs[slot], dims, &dim_count, &data, &size));
        BACKEND_TRY(wrap(s, data, size, tf_from_triton(ragged->dtype), dims, dim_count,
                         &s->feed_values[slot]));
    }
    return NULL;
}

static TRITONSERVER_Error *gather_inputs(struct tf_instance *s)
{
    const struct model_config *config = &s->model->config;
    if (s->batch.rows != 1 && s->batch.rows > config->max_batch_size) {
        return backend_error_new(
            TRITONSERVER_ERROR_INTERNAL, "batch size %llu for '%s', max allowed is %u",
            (unsigned long long)s->batch.rows, config->name, config->max_batch_size);
    }
    // The requests of a batch bring the same inputs; the first one speaks for all.
    uint32_t count = 0;
    BACKEND_TRY(TRITONBACKEND_RequestInputCount(s->batch.items[0].request, &count));
    for (uint32_t i = 0; i < count; i++) {
        struct batch_input first = {0};
        BACKEND_TRY(batch_input_at(&s->batch, 0, i, &first));
        BACKEND_TRY(gather_input(s, &first));
    }
    for (uint32_t i = 0; i < s->model->ragged_count; i++) {
        BACKEND_TRY(gather_ragged(s, &s->model->ragged[i]));
    }
    return NULL;
}

// ---- outputs ----

static void plan_outputs(struct tf_instance *s)
{
    for (uint32_t i = 0; i < s->model->response_count; i++) {
        if (batch_wanted(&s->batch, s->model->responses[i]->name)) {
            uint32_t slot = s->output_count++;
            s->output_slots[slot] = i;
            s->fetches[slot] = s->output_places[i];
            s->fetch_values[slot] = NULL;
        }
    }
}

struct string_source {
    const struct tf_functions *fn;
    const struct tf_string *strings;
};

static TRITONSERVER_Error *get_string(void *userp, int64_t index, struct slice *element)
{
    const struct string_source *source = userp;
    const struct tf_string *string = &source->strings[index];
    *element = slice_make(source->fn->string_data(string), source->fn->string_size(string));
    return NULL;
}

static TRITONSERVER_Error *read_shape(struct tf_instance *s, const struct tf_tensor *tensor,
                                      const struct model_tensor *config, int64_t *dims,
                                      uint32_t *dim_count)
{
    const struct tf_functions *fn = &s->model->library->fn;
    int count = fn->tensor_dim_count(tensor);
    if (count < 0 || count > TF_DIMS_MAX) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED, "output '%s' has %d dimensions",
                                 config->name, count);
    }
    for (int i = 0; i < count; i++) {
        dims[i] = fn->tensor_dim(tensor, i);
    }
    *dim_count = (uint32_t)count;
    // A scalar has the shape that the configuration gives it.
    struct model_shape shape = config->dims;
    if (count == 0 && shape.count == 1) {
        dims[0] = 1;
        *dim_count = 1;
    }
    return NULL;
}

static TRITONSERVER_Error *hand_out(struct tf_instance *s, uint32_t slot)
{
    const struct tf_functions *fn = &s->model->library->fn;
    const struct tf_tensor *tensor = s->fetch_values[slot];
    const struct model_tensor *config = s->model->responses[s->output_slots[slot]];
    const char *source = s->model->scatter_sources[s->output_slots[slot]];
    bool batching = s->model->config.max_batch_size > 0;
    int64_t dims[TF_DIMS_MAX];
    uint32_t dim_count = 0;
    BACKEND_TRY(read_shape(s, tensor, config, dims, &dim_count));
    const void *data = fn->tensor_data(tensor);
    if (fn->tensor_type(tensor) == TF_TYPE_STRING) {
        struct string_source strings = {fn, data};
        return batch_scatter_bytes(&s->batch, config->name, dims, dim_count, batching, get_string,
                                   &strings);
    }
    if (source != NULL) {
        return ragged_scatter(&s->batch, config, batching, source, data, fn->tensor_size(tensor));
    }
    batch_scatter(&s->batch, config->name, tf_to_triton(fn->tensor_type(tensor)), dims, dim_count,
                  batching, data, fn->tensor_size(tensor));
    return NULL;
}

static TRITONSERVER_Error *run(struct tf_instance *s)
{
    const struct tf_functions *fn = &s->model->library->fn;
    struct tf_status *status = fn->new_status();
    fn->run(s->session->raw, NULL, s->feeds, s->feed_values, (int)s->input_count, s->fetches,
            s->fetch_values, (int)s->output_count, NULL, 0, NULL, status);
    return tf_error(s->model->library, status);
}

static TRITONSERVER_Error *work(struct tf_instance *s)
{
    BACKEND_TRY(gather_inputs(s));
    if (s->batch.alive == 0) {
        return NULL;
    }
    plan_outputs(s);
    batch_compute_begin(&s->batch);
    if (s->output_count > 0) {
        BACKEND_TRY(run(s));
    }
    batch_compute_end(&s->batch);
    for (uint32_t i = 0; i < s->output_count; i++) {
        BACKEND_TRY(hand_out(s, i));
    }
    return NULL;
}

static TRITONSERVER_Error *execute(void *instance, TRITONBACKEND_Request **requests, uint32_t count)
{
    struct tf_instance *s = instance;
    BACKEND_TRY(batch_begin(&s->batch, requests, count, s->model->config.max_batch_size > 0));
    TRITONSERVER_Error *error = work(s);
    if (error != NULL) {
        batch_fail_all(&s->batch, error);
    }
    release_tensors(s);
    batch_end(&s->batch);
    return NULL;
}

const struct instance_table tf_instances = {
    .size = sizeof(struct tf_instance), .init = init, .fini = fini, .execute = execute};
