// SPDX-License-Identifier: Apache-2.0
// Runs a batch on a GPU. Inputs are bound to device memory: a single request's own if it lies there,
// else the instance's, to which they are copied. Outputs are bound to the response's memory if that
// is on this GPU and the shape is known, else to the instance's, else ONNX Runtime finds memory when
// it knows the shape. Copies and the run share the session's stream, which is waited for once.
//
// With CUDA graphs a run is recorded once for each number of rows and then launched as a whole: so
// its inputs and outputs have fixed places, and all outputs are computed. See onnx_execute.h.
#include "backends/common/order.h"
#include "backends/onnxruntime/onnx_execute.h"
#include "base/mem.h"

struct graph {
    struct ort_run_options *options;
    bool captured;
};

struct onnx_gpu {
    struct ort_binding *binding;
    // By tensor of the model: inputs, then initializers.
    struct gpu_scratch *inputs;
    bool *input_on_host; // the session reads it on the CPU
    // By response.
    struct gpu_scratch *outputs;
    bool *output_on_host;
    struct graph *graphs; // by rows; NULL where runs are not captured
    uint32_t graph_count;
};

// ---- what a session wants where ----

// `on_host` for the session's inputs, in its order. Without the call all are taken for the GPU's,
// and ONNX Runtime copies what it needs on the CPU.
static TRITONSERVER_Error *find_input_places(struct onnx_instance *s)
{
    const struct ort_library *library = s->model->library;
    uint32_t count = s->model->inputs.count;
    if (library->fn.input_memory == NULL || count == 0) {
        return NULL;
    }
    const struct ort_memory_info **infos = mem_calloc(count, sizeof(*infos));
    if (infos == NULL) {
        return backend_no_memory();
    }
    TRITONSERVER_Error *error =
        ort_error(library, library->fn.input_memory(s->session->handle, infos, count));
    for (uint32_t i = 0; i < count && error == NULL; i++) {
        int device = ORT_MEMORY_OF_GPU;
        if (infos[i] != NULL) {
            library->fn.memory_device(infos[i], &device);
        }
        s->gpu->input_on_host[i] = device == ORT_MEMORY_OF_CPU;
    }
    mem_free(infos);
    return error;
}

static TRITONSERVER_Error *find_output_places(struct onnx_instance *s)
{
    const struct onnx_model *m = s->model;
    uint32_t count = m->outputs.count;
    if (m->library->fn.output_memory == NULL || count == 0) {
        return NULL;
    }
    const struct ort_memory_info **infos = mem_calloc(count, sizeof(*infos));
    if (infos == NULL) {
        return backend_no_memory();
    }
    TRITONSERVER_Error *error =
        ort_error(m->library, m->library->fn.output_memory(s->session->handle, infos, count));
    for (uint32_t i = 0; i < m->response_count && error == NULL; i++) {
        int device = ORT_MEMORY_OF_GPU;
        const struct ort_memory_info *info = infos[m->responses[i].tensor - m->outputs.items];
        if (info != NULL) {
            m->library->fn.memory_device(info, &device);
        }
        s->gpu->output_on_host[i] =
            device == ORT_MEMORY_OF_CPU || m->responses[i].tensor->element == ORT_ELEMENT_STRING;
    }
    mem_free(infos);
    return error;
}

// ---- CUDA graphs ----

static uint32_t most_rows(const struct onnx_model *m)
{
    return m->config.max_batch_size > 0 ? m->config.max_batch_size : 1;
}

// The bytes of a tensor of the largest batch; false where its shape is open.
static bool largest_size(const struct onnx_model *m, const struct onnx_tensor *t, uint64_t *size)
{
    int64_t dims[ONNX_DIMS_MAX];
    int64_t elements = 0;
    if (t->dim_count > ONNX_DIMS_MAX || t->element == ORT_ELEMENT_STRING) {
        return false;
    }
    for (uint32_t i = 0; i < t->dim_count; i++) {
        dims[i] = i == 0 && m->config.max_batch_size > 0 ? (int64_t)most_rows(m) : t->dims[i];
    }
    return model_shape_elements(dims, t->dim_count, &elements) &&
           !__builtin_mul_overflow((uint64_t)elements,
                                   (uint64_t)TRITONSERVER_DataTypeByteSize(t->dtype), size);
}

static const char *why_not_captured(const struct onnx_instance *s)
{
    const struct onnx_model *m = s->model;
    uint64_t size = 0;
    if (m->ragged_count > 0) {
        return "it has ragged inputs";
    }
    for (uint32_t i = 0; i < m->inputs.count; i++) {
        if (s->gpu->input_on_host[i] || !largest_size(m, &m->inputs.items[i], &size)) {
            return "an input has an open shape or is read on the CPU";
        }
    }
    for (uint32_t i = 0; i < m->response_count; i++) {
        if (s->gpu->output_on_host[i] || m->responses[i].scatter_source != NULL ||
            !largest_size(m, m->responses[i].tensor, &size)) {
            return "an output has an open shape or is made on the CPU";
        }
    }
    return NULL;
}

// Gives all tensors their places for good.
static TRITONSERVER_Error *prepare_graphs(struct onnx_instance *s)
{
    const struct onnx_model *m = s->model;
    const char *why = why_not_captured(s);
    void *ptr = NULL;
    uint64_t size = 0;
    if (why != NULL) {
        BACKEND_LOG(WARN, "model '%s' asks for CUDA graphs, but %s: it runs without",
                    m->config.name, why);
        return NULL;
    }
    for (uint32_t i = 0; i < m->inputs.count; i++) {
        (void)largest_size(m, &m->inputs.items[i], &size);
        BACKEND_TRY(gpu_scratch_reserve(s->session->io, &s->gpu->inputs[i], (size_t)size, &ptr));
    }
    for (uint32_t i = 0; i < m->response_count; i++) {
        (void)largest_size(m, m->responses[i].tensor, &size);
        BACKEND_TRY(gpu_scratch_reserve(s->session->io, &s->gpu->outputs[i], (size_t)size, &ptr));
    }
    s->gpu->graphs = mem_calloc((size_t)most_rows(m) + 1, sizeof(*s->gpu->graphs));
    if (s->gpu->graphs == NULL) {
        return backend_no_memory();
    }
    s->gpu->graph_count = most_rows(m) + 1;
    return NULL;
}

// The graph of this batch; NULL where it is run as it is.
static TRITONSERVER_Error *find_graph(struct onnx_instance *s, uint32_t inputs,
                                      struct graph **graph)
{
    *graph = NULL;
    if (s->gpu->graphs == NULL || inputs != s->model->inputs.count ||
        s->batch.rows >= s->gpu->graph_count) {
        return NULL;
    }
    struct graph *g = &s->gpu->graphs[s->batch.rows];
    if (g->options == NULL) {
        BACKEND_TRY(onnx_run_options(s->model, s->session, (int64_t)s->batch.rows, &g->options));
    }
    *graph = g;
    return NULL;
}

// ---- instances ----

TRITONSERVER_Error *onnx_gpu_create(struct onnx_instance *s)
{
    const struct onnx_model *m = s->model;
    struct onnx_gpu *gpu = mem_calloc(1, sizeof(*gpu));
    if (gpu == NULL) {
        return backend_no_memory();
    }
    s->gpu = gpu;
    s->batch.gpu_io = s->session->io;
    gpu->inputs = mem_calloc((size_t)s->input_max + 1, sizeof(*gpu->inputs));
    gpu->input_on_host = mem_calloc((size_t)s->input_max + 1, sizeof(*gpu->input_on_host));
    gpu->outputs = mem_calloc((size_t)m->response_count + 1, sizeof(*gpu->outputs));
    gpu->output_on_host = mem_calloc((size_t)m->response_count + 1, sizeof(*gpu->output_on_host));
    if (gpu->inputs == NULL || gpu->input_on_host == NULL || gpu->outputs == NULL ||
        gpu->output_on_host == NULL) {
        return backend_no_memory();
    }
    for (uint32_t i = 0; i < m->response_count; i++) {
        gpu->output_on_host[i] = m->responses[i].tensor->element == ORT_ELEMENT_STRING;
    }
    BACKEND_TRY(find_input_places(s));
    BACKEND_TRY(find_output_places(s));
    ORT_TRY(m->library, m->library->fn.create_binding(s->session->handle, &gpu->binding));
    return s->session->cuda_graphs ? prepare_graphs(s) : NULL;
}

void onnx_gpu_destroy(struct onnx_instance *s)
{
    struct onnx_gpu *gpu = s->gpu;
    if (gpu == NULL) {
        return;
    }
    const struct ort_functions *fn = &s->model->library->fn;
    if (gpu->binding != NULL) {
        fn->release_binding(gpu->binding);
    }
    for (uint32_t i = 0; i < gpu->graph_count; i++) {
        if (gpu->graphs[i].options != NULL) {
            fn->release_run_options(gpu->graphs[i].options);
        }
    }
    for (uint32_t i = 0; gpu->inputs != NULL && i < s->input_max; i++) {
        gpu_scratch_fini(s->session->io, &gpu->inputs[i]);
    }
    for (uint32_t i = 0; gpu->outputs != NULL && i < s->model->response_count; i++) {
        gpu_scratch_fini(s->session->io, &gpu->outputs[i]);
    }
    mem_free(gpu->inputs);
    mem_free(gpu->input_on_host);
    mem_free(gpu->outputs);
    mem_free(gpu->output_on_host);
    mem_free(gpu->graphs);
    mem_free(gpu);
    s->gpu = NULL;
}

static TRITONSERVER_Error *wrap(struct onnx_instance *s, void *data, uint64_t size,
                                const int64_t *dims, const struct onnx_tensor *t,
                                uint32_t dim_count, struct ort_value **value)
{
    return ort_error(s->model->library,
                     s->model->library->fn.wrap_tensor(s->session->memory, data, (size_t)size, dims,
                                                       dim_count, t->element, value));
}

// ---- inputs ----

static uint32_t tensor_index(const struct onnx_model *m, const struct onnx_tensor *t)
{
    bool input = t >= m->inputs.items && t < m->inputs.items + m->inputs.count;
    return input ? (uint32_t)(t - m->inputs.items)
                 : m->inputs.count + (uint32_t)(t - m->initializers.items);
}

static TRITONSERVER_Error *gather_input(struct onnx_instance *s, const struct batch_input *first,
                                        const struct graph *graph)
{
    const struct onnx_tensor *tensor = onnx_find_input(s->model, first->name);
    int64_t dims[ONNX_DIMS_MAX];
    uint32_t dim_count = 0;
    uint32_t slot = 0;
    uint64_t size = 0;
    void *data = NULL;
    if (tensor == NULL || first->dtype == TRITONSERVER_TYPE_BYTES ||
        s->gpu->input_on_host[tensor_index(s->model, tensor)]) {
        return onnx_gather_input(s, first);
    }
    BACKEND_TRY(onnx_add_input(s, first->name, tensor, &slot));
    BACKEND_TRY(onnx_batch_shape(s, first, tensor, dims, &dim_count));
    BACKEND_TRY(gpu_gather(&s->batch, first, graph != NULL ? 0 : GPU_ALIGNMENT,
                           &s->gpu->inputs[tensor_index(s->model, tensor)], &data, &size));
    return wrap(s, data, size, dims, tensor, dim_count, &s->input_values[slot]);
}

static TRITONSERVER_Error *bind_inputs(struct onnx_instance *s)
{
    const struct ort_functions *fn = &s->model->library->fn;
    fn->clear_bound_inputs(s->gpu->binding);
    for (uint32_t i = 0; i < s->input_count; i++) {
        ORT_TRY(s->model->library,
                fn->bind_input(s->gpu->binding, s->input_names[i], s->input_values[i]));
    }
    return NULL;
}

static TRITONSERVER_Error *gather_inputs(struct onnx_instance *s, struct graph **graph)
{
    // The requests of a batch bring the same inputs; the first one speaks for all.
    uint32_t count = 0;
    BACKEND_TRY(TRITONBACKEND_RequestInputCount(s->batch.items[0].request, &count));
    BACKEND_TRY(find_graph(s, count, graph));
    for (uint32_t i = 0; i < count; i++) {
        struct batch_input first = {0};
        BACKEND_TRY(batch_input_at(&s->batch, 0, i, &first));
        BACKEND_TRY(gather_input(s, &first, *graph));
    }
    for (uint32_t i = 0; i < s->model->ragged_count; i++) {
        BACKEND_TRY(onnx_gather_ragged(s, &s->model->ragged[i]));
    }
    return bind_inputs(s);
}

// ---- outputs ----

// The response's memory, before the run; `out->direct` stays false where it cannot be known.
static TRITONSERVER_Error *find_place(struct onnx_instance *s, struct output_slot *out,
                                      const int64_t *dims)
{
    const struct onnx_tensor *t = out->output->tensor;
    int64_t shown[ONNX_DIMS_MAX];
    uint32_t shown_count = t->dim_count;
    if (s->batch.count != 1) {
        return NULL;
    }
    memcpy(shown, dims, t->dim_count * sizeof(*dims));
    BACKEND_TRY(onnx_shown_shape(out->output, shown, &shown_count));
    BACKEND_TRY(
        gpu_output(&s->batch, 0, t->name, t->dtype, shown, shown_count, out->size, &out->place));
    out->direct = true;
    return NULL;
}

static TRITONSERVER_Error *bind_output(struct onnx_instance *s, uint32_t response, uint32_t slot,
                                       bool may_be_direct, const struct graph *graph)
{
    struct output_slot *out = &s->outputs[slot];
    const struct ort_library *library = s->model->library;
    const struct onnx_tensor *t = out->output->tensor;
    int64_t dims[ONNX_DIMS_MAX];
    bool on_host = s->gpu->output_on_host[response];
    if (on_host || out->output->scatter_source != NULL ||
        !onnx_shape_known(s, t, dims, &out->size)) {
        return ort_error(library, library->fn.bind_output_to_device(s->gpu->binding, t->name,
                                                                    on_host ? library->cpu
                                                                            : s->session->memory));
    }
    if (may_be_direct) {
        BACKEND_TRY(find_place(s, out, dims));
    }
    if (out->direct && graph == NULL && gpu_place_is_direct(&s->batch, out->place, GPU_ALIGNMENT)) {
        out->result = out->place.ptr;
    } else {
        BACKEND_TRY(gpu_scratch_reserve(s->session->io, &s->gpu->outputs[response],
                                        (size_t)out->size, &out->result));
    }
    out->bound = true;
    BACKEND_TRY(wrap(s, out->result, out->size, dims, t, t->dim_count, &s->output_values[slot]));
    return ort_error(library,
                     library->fn.bind_output(s->gpu->binding, t->name, s->output_values[slot]));
}

static TRITONSERVER_Error *plan_outputs(struct onnx_instance *s, const struct graph *graph)
{
    bool direct = true; // as on the CPU: once one has to wait for the run, those after it wait too
    s->model->library->fn.clear_bound_outputs(s->gpu->binding);
    for (uint32_t i = 0; i < s->model->response_count; i++) {
        const struct onnx_output *output = &s->model->responses[i];
        bool wanted = batch_wanted(&s->batch, output->config->name);
        if (!wanted && graph == NULL) {
            continue;
        }
        uint32_t slot = s->output_count++;
        s->outputs[slot] = (struct output_slot){.output = output};
        s->output_names[slot] = output->tensor->name;
        s->output_values[slot] = NULL;
        BACKEND_TRY(bind_output(s, i, slot, direct && wanted, graph));
        direct = direct && (!wanted || s->outputs[slot].direct);
    }
    return NULL;
}

// Takes the values of the outputs from the binding, in place of those that it was given.
static TRITONSERVER_Error *take_outputs(struct onnx_instance *s)
{
    const struct ort_library *library = s->model->library;
    struct ort_value **values = NULL;
    size_t count = 0;
    ORT_TRY(library,
            library->fn.bound_values(s->gpu->binding, library->allocator, &values, &count));
    for (size_t i = 0; i < count; i++) {
        if (i < s->output_count && s->output_values[i] == NULL) {
            s->output_values[i] = values[i];
        } else {
            library->fn.release_value(values[i]);
        }
    }
    ORT_TRY(library, library->fn.allocator_free(library->allocator, values));
    return count == s->output_count
               ? NULL
               : backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                   "ONNX Runtime gave %zu outputs for %u", count, s->output_count);
}

static TRITONSERVER_Error *hand_out(struct onnx_instance *s, struct output_slot *out,
                                    struct ort_value *value)
{
    const struct onnx_tensor *t = out->output->tensor;
    bool batching = s->model->config.max_batch_size > 0;
    int64_t dims[ONNX_DIMS_MAX];
    uint32_t dim_count = 0;
    int64_t elements = 0;
    void *data = out->result;
    void *copy = NULL;
    BACKEND_TRY(onnx_value_shape(s, out->output, value, dims, &dim_count));
    if (!model_shape_elements(dims, dim_count, &elements)) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "output '%s' has a negative shape",
                                 t->name);
    }
    uint64_t size = (uint64_t)elements * TRITONSERVER_DataTypeByteSize(t->dtype);
    if (!out->bound) {
        ORT_TRY(s->model->library, s->model->library->fn.tensor_data(value, &data));
    }
    if (out->direct) {
        struct gpu_place from = gpu_place_of(data, TRITONSERVER_MEMORY_GPU, s->session->device);
        return data == out->place.ptr
                   ? NULL
                   : gpu_io_copy(s->session->io, out->place, from, (size_t)size, 0);
    }
    if (out->output->scatter_source == NULL) {
        gpu_scatter(&s->batch, t->name, t->dtype, dims, dim_count, batching, data, size);
        return NULL;
    }
    BACKEND_TRY(gpu_bring_home(&s->batch, data, size, &s->text, &copy));
    return ragged_scatter(&s->batch, out->output->config, batching, out->output->scatter_source,
                          copy, size);
}

static TRITONSERVER_Error *hand_all_out(struct onnx_instance *s)
{
    bool waited = false;
    for (uint32_t i = 0; i < s->output_count; i++) {
        struct output_slot *out = &s->outputs[i];
        bool on_host = s->gpu->output_on_host[out->output - s->model->responses];
        if (!batch_wanted(&s->batch, out->output->config->name)) {
            continue;
        }
        if (on_host && !waited) {
            BACKEND_TRY(gpu_io_wait_all(s->session->io)); // its bytes are read here, by the CPU
            waited = true;
        }
        BACKEND_TRY(on_host ? onnx_hand_out(s, out, s->output_values[i])
                            : hand_out(s, out, s->output_values[i]));
    }
    return NULL;
}

// ---- the run ----

static TRITONSERVER_Error *run(struct onnx_instance *s, struct graph *graph)
{
    struct ort_library *library = s->model->library;
    bool capture = graph != NULL && !graph->captured;
    (void)(capture ? pthread_rwlock_wrlock(&library->runs) : pthread_rwlock_rdlock(&library->runs));
    struct ort_status *status = library->fn.run_with_binding(
        s->session->handle, graph != NULL ? graph->options : s->session->run_options,
        s->gpu->binding);
    pthread_rwlock_unlock(&library->runs);
    ORT_TRY(library, status);
    if (graph != NULL) {
        graph->captured = true;
    }
    return NULL;
}

// Every output is computed where the client has it, so that ONNX Runtime's memory is done with once its stream has come by.
static bool all_in_place(const struct onnx_instance *s)
{
    for (uint32_t i = 0; i < s->output_count; i++) {
        if (!s->outputs[i].direct || s->outputs[i].result != s->outputs[i].place.ptr) {
            return false;
        }
    }
    return s->output_count > 0;
}

TRITONSERVER_Error *onnx_gpu_work(struct onnx_instance *s)
{
    struct graph *graph = NULL;
    BACKEND_TRY(gather_inputs(s, &graph));
    if (s->batch.alive == 0) {
        return NULL;
    }
    BACKEND_TRY(plan_outputs(s, graph));
    batch_compute_begin(&s->batch);
    if (s->output_count > 0) {
        BACKEND_TRY(run(s, graph));
        BACKEND_TRY(take_outputs(s));
        BACKEND_TRY(hand_all_out(s));
    }
    if (!all_in_place(s) || !batch_is_ordered(&s->batch)) {
        BACKEND_TRY(gpu_io_wait_all(s->session->io));
    }
    batch_compute_end(&s->batch);
    return NULL;
}
