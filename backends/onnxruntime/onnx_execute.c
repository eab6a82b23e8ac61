// SPDX-License-Identifier: Apache-2.0
// Runs a batch: gathers inputs, runs the session, hands out the outputs.
//
// Copies are made only where there is no other way. The input of a batch of one request is used
// where it lies, if it is in one piece and aligned for its type; the output of one request is
// computed straight into the response's memory, if its shape is known before the run (the batch
// dimension may be open). Otherwise inputs are joined in memory that the instance keeps, and ONNX
// Runtime's outputs are copied out once. Start at execute(). See onnx_model.h; strings and
// ragged batches are in onnx_values.c.
#include "backends/onnxruntime/onnx_execute.h"

#include "base/mem.h"

// ---- instances ----

static TRITONSERVER_Error *init(void *instance, TRITONBACKEND_ModelInstance *handle, void *model,
                                TRITONSERVER_InstanceGroupKind kind, int32_t gpu)
{
    struct onnx_instance *s = instance;
    struct onnx_model *m = model;
    (void)kind;
    s->model = m;
    batch_init(&s->batch, handle);
    s->input_max = m->inputs.count + m->initializers.count;
    s->inputs = mem_calloc((size_t)s->input_max + 1, sizeof(*s->inputs));
    s->input_names = mem_calloc((size_t)s->input_max + 1, sizeof(*s->input_names));
    s->input_values = mem_calloc((size_t)s->input_max + 1, sizeof(*s->input_values));
    s->outputs = mem_calloc((size_t)m->response_count + 1, sizeof(*s->outputs));
    s->output_names = mem_calloc((size_t)m->response_count + 1, sizeof(*s->output_names));
    s->output_values = mem_calloc((size_t)m->response_count + 1, sizeof(*s->output_values));
    if (s->inputs == NULL || s->input_names == NULL || s->input_values == NULL ||
        s->outputs == NULL || s->output_names == NULL || s->output_values == NULL) {
        return backend_no_memory();
    }
    BACKEND_TRY(onnx_session_acquire(m, gpu, &s->session));
    return gpu == GPU_IO_HOST ? NULL : onnx_gpu_create(s);
}

static void fini(void *instance)
{
    struct onnx_instance *s = instance;
    batch_fini(&s->batch); // first: batches that were answered may still be at work
    for (uint32_t i = 0; s->inputs != NULL && i < s->input_max; i++) {
        scratch_fini(&s->inputs[i]);
    }
    mem_free(s->inputs);
    mem_free(s->input_names);
    mem_free(s->input_values);
    mem_free(s->outputs);
    mem_free(s->output_names);
    mem_free(s->output_values);
    scratch_fini(&s->text);
    scratch_fini(&s->offsets);
    onnx_gpu_destroy(s);
    onnx_session_release(s->model, s->session);
}

static TRITONSERVER_Error *ready(const void *instance)
{
    const struct onnx_instance *s = instance;
    const struct gpu_io *io = s->session->io;
    return io == NULL ? NULL : backend_error(gpu_device_health(gpu_io_device(io)));
}

static void release_values(struct onnx_instance *s)
{
    for (uint32_t i = 0; i < s->input_count; i++) {
        if (s->input_values[i] != NULL) {
            s->model->library->fn.release_value(s->input_values[i]);
            s->input_values[i] = NULL;
        }
    }
    for (uint32_t i = 0; i < s->output_count; i++) {
        if (s->output_values[i] != NULL) {
            s->model->library->fn.release_value(s->output_values[i]);
            s->output_values[i] = NULL;
        }
    }
    s->input_count = 0;
    s->output_count = 0;
}

// ---- inputs ----

static const struct model_tensor *find_config(const struct onnx_model *m, const char *name)
{
    for (uint32_t i = 0; i < m->config.input_count; i++) {
        if (strcmp(m->config.inputs[i].name, name) == 0) {
            return &m->config.inputs[i];
        }
    }
    return NULL;
}

TRITONSERVER_Error *onnx_wrap(struct onnx_instance *s, const void *data, uint64_t size,
                              const int64_t *dims, uint32_t dim_count, int element,
                              struct ort_value **value)
{
    static const char nothing[1] = {0};
    const void *at = data == NULL ? nothing : data;
    void *writable = NULL; // the interface has one type for what it reads and what it writes
    memcpy(&writable, &at, sizeof(writable));
    return ort_error(s->model->library, s->model->library->fn.wrap_tensor(
                                            s->model->library->cpu, writable, (size_t)size, dims,
                                            dim_count, element, value));
}

// How memory of the given element type must be aligned for the run to write to it.
static size_t needed_alignment(TRITONSERVER_DataType dtype)
{
    size_t size = TRITONSERVER_DataTypeByteSize(dtype);
    return size == 0 ? 1 : size;
}

TRITONSERVER_Error *onnx_batch_shape(struct onnx_instance *s, const struct batch_input *first,
                                     const struct onnx_tensor *tensor, int64_t *dims,
                                     uint32_t *dim_count)
{
    if (tensor->dim_count == 0) {
        *dim_count = 0;
        return NULL;
    }
    const struct model_tensor *config = find_config(s->model, first->name);
    if (config != NULL && config->ragged) {
        *dim_count = 1;
        return ragged_elements(&s->batch, first->name, &dims[0]);
    }
    if (first->dim_count > ONNX_DIMS_MAX) {
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

TRITONSERVER_Error *onnx_add_input(struct onnx_instance *s, const char *name,
                                   const struct onnx_tensor *tensor, uint32_t *slot)
{
    if (tensor == NULL || s->input_count >= s->input_max) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "Failed to retrieve the ONNX input tensor info from '%s'.", name);
    }
    *slot = s->input_count++;
    s->input_names[*slot] = tensor->name;
    s->input_values[*slot] = NULL;
    return NULL;
}

TRITONSERVER_Error *onnx_gather_input(struct onnx_instance *s, const struct batch_input *first)
{
    const struct onnx_tensor *tensor = onnx_find_input(s->model, first->name);
    int64_t dims[ONNX_DIMS_MAX];
    uint32_t dim_count = 0;
    uint32_t slot = 0;
    BACKEND_TRY(onnx_add_input(s, first->name, tensor, &slot));
    BACKEND_TRY(onnx_batch_shape(s, first, tensor, dims, &dim_count));
    if (first->dtype == TRITONSERVER_TYPE_BYTES) {
        return onnx_gather_strings(s, first->name, dims, dim_count, &s->inputs[slot],
                                   &s->input_values[slot]);
    }
    const void *data = NULL;
    uint64_t size = 0;
    BACKEND_TRY(batch_gather(&s->batch, first, 0, &s->inputs[slot], &data, &size));
    return onnx_wrap(s, data, size, dims, dim_count, tensor->element, &s->input_values[slot]);
}

static TRITONSERVER_Error *check_rows(const struct onnx_instance *s)
{
    const struct model_config *config = &s->model->config;
    if (s->batch.rows != 1 && s->batch.rows > config->max_batch_size) {
        return backend_error_new(
            TRITONSERVER_ERROR_INTERNAL, "batch size %llu for '%s', max allowed is %u",
            (unsigned long long)s->batch.rows, config->name, config->max_batch_size);
    }
    return NULL;
}

static TRITONSERVER_Error *gather_inputs(struct onnx_instance *s)
{
    // The requests of a batch bring the same inputs; the first one speaks for all.
    uint32_t count = 0;
    BACKEND_TRY(TRITONBACKEND_RequestInputCount(s->batch.items[0].request, &count));
    for (uint32_t i = 0; i < count; i++) {
        struct batch_input first = {0};
        BACKEND_TRY(batch_input_at(&s->batch, 0, i, &first));
        BACKEND_TRY(onnx_gather_input(s, &first));
    }
    for (uint32_t i = 0; i < s->model->ragged_count; i++) {
        BACKEND_TRY(onnx_gather_ragged(s, &s->model->ragged[i]));
    }
    return NULL;
}

// ---- outputs ----

bool onnx_shape_known(const struct onnx_instance *s, const struct onnx_tensor *t, int64_t *dims,
                      uint64_t *size)
{
    bool batching = s->model->config.max_batch_size > 0;
    int64_t elements = 0;
    if (t->dim_count > ONNX_DIMS_MAX || t->element == ORT_ELEMENT_STRING) {
        return false;
    }
    for (uint32_t i = 0; i < t->dim_count; i++) {
        dims[i] = batching && i == 0 ? (int64_t)s->batch.rows : t->dims[i];
        if (dims[i] < 0) {
            return false;
        }
    }
    return model_shape_elements(dims, t->dim_count, &elements) && elements > 0 &&
           !__builtin_mul_overflow((uint64_t)elements,
                                   (uint64_t)TRITONSERVER_DataTypeByteSize(t->dtype), size);
}

TRITONSERVER_Error *onnx_shown_shape(const struct onnx_output *output, int64_t *dims,
                                     uint32_t *dim_count)
{
    struct model_shape shape = model_tensor_shape(output->config);
    if (*dim_count != 0) {
        return NULL;
    }
    if (shape.count > ONNX_DIMS_MAX) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED, "output '%s' has %u dimensions",
                                 output->tensor->name, shape.count);
    }
    memcpy(dims, shape.dims, shape.count * sizeof(*dims));
    *dim_count = shape.count;
    return NULL;
}

// Lets the run write an output into the response itself. Leaves `out->direct` false where that
// cannot be.
static TRITONSERVER_Error *try_direct(struct onnx_instance *s, struct output_slot *out,
                                      struct ort_value **value)
{
    const struct onnx_tensor *t = out->output->tensor;
    int64_t dims[ONNX_DIMS_MAX];
    int64_t shown[ONNX_DIMS_MAX];
    uint32_t shown_count = t->dim_count;
    uint64_t size = 0;
    if (s->batch.count != 1 || out->output->scatter_source != NULL ||
        !onnx_shape_known(s, t, dims, &size)) {
        return NULL;
    }
    memcpy(shown, dims, t->dim_count * sizeof(*dims));
    BACKEND_TRY(onnx_shown_shape(out->output, shown, &shown_count));
    BACKEND_TRY(
        batch_output(&s->batch, 0, t->name, t->dtype, shown, shown_count, size, &out->data));
    out->size = size;
    out->direct = true;
    if (((uintptr_t)out->data & (needed_alignment(t->dtype) - 1)) != 0) {
        return NULL; // the memory is there, but the run cannot write to it: copied afterwards
    }
    return onnx_wrap(s, out->data, size, dims, t->dim_count, t->element, value);
}

static TRITONSERVER_Error *plan_outputs(struct onnx_instance *s)
{
    // Responses list their outputs in the order in which they were made; so once one has to wait
    // for the run, those after it wait too.
    bool direct = true;
    for (uint32_t i = 0; i < s->model->response_count; i++) {
        const struct onnx_output *output = &s->model->responses[i];
        if (!batch_wanted(&s->batch, output->config->name)) {
            continue;
        }
        uint32_t slot = s->output_count++;
        s->outputs[slot] = (struct output_slot){.output = output};
        s->output_names[slot] = output->tensor->name;
        s->output_values[slot] = NULL;
        if (direct) {
            BACKEND_TRY(try_direct(s, &s->outputs[slot], &s->output_values[slot]));
            direct = s->outputs[slot].direct;
        }
    }
    return NULL;
}

static TRITONSERVER_Error *read_shape(struct onnx_instance *s, const struct ort_value *value,
                                      int64_t *dims, uint32_t *dim_count)
{
    const struct ort_functions *fn = &s->model->library->fn;
    struct ort_shape_info *info = NULL;
    ORT_TRY(s->model->library, fn->value_shape(value, &info));
    size_t count = 0;
    struct ort_status *status = fn->shape_dim_count(info, &count);
    if (status == NULL && count <= ONNX_DIMS_MAX) {
        status = fn->shape_dims(info, dims, count);
    }
    fn->release_shape_info(info);
    ORT_TRY(s->model->library, status);
    if (count > ONNX_DIMS_MAX) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED, "an output has %zu dimensions",
                                 count);
    }
    *dim_count = (uint32_t)count;
    return NULL;
}

TRITONSERVER_Error *onnx_value_shape(struct onnx_instance *s, const struct onnx_output *output,
                                     const struct ort_value *value, int64_t *dims,
                                     uint32_t *dim_count)
{
    BACKEND_TRY(read_shape(s, value, dims, dim_count));
    return onnx_shown_shape(output, dims, dim_count);
}

TRITONSERVER_Error *onnx_hand_out(struct onnx_instance *s, const struct output_slot *out,
                                  struct ort_value *value)
{
    const struct onnx_tensor *t = out->output->tensor;
    int64_t dims[ONNX_DIMS_MAX];
    uint32_t dim_count = 0;
    bool batching = s->model->config.max_batch_size > 0;
    BACKEND_TRY(onnx_value_shape(s, out->output, value, dims, &dim_count));
    if (t->element == ORT_ELEMENT_STRING) {
        return onnx_scatter_strings(s, t->name, value, dims, dim_count, batching);
    }
    void *data = NULL;
    ORT_TRY(s->model->library, s->model->library->fn.tensor_data(value, &data));
    int64_t elements = 0;
    if (!model_shape_elements(dims, dim_count, &elements)) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "output '%s' has a negative shape",
                                 t->name);
    }
    uint64_t size = (uint64_t)elements * TRITONSERVER_DataTypeByteSize(t->dtype);
    if (out->direct) {
        if (size != out->size) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                     "output '%s' has another size than its shape says", t->name);
        }
        memcpy(out->data, data, size);
        return NULL;
    }
    if (out->output->scatter_source != NULL) {
        return ragged_scatter(&s->batch, out->output->config, batching, out->output->scatter_source,
                              data, size);
    }
    batch_scatter(&s->batch, t->name, t->dtype, dims, dim_count, batching, data, size);
    return NULL;
}

static TRITONSERVER_Error *run(struct onnx_instance *s)
{
    const struct ort_value *inputs[64];
    const struct ort_value **list = inputs;
    if (s->input_count > sizeof(inputs) / sizeof(inputs[0])) {
        list = mem_calloc(s->input_count, sizeof(*list));
        if (list == NULL) {
            return backend_no_memory();
        }
    }
    for (uint32_t i = 0; i < s->input_count; i++) {
        list[i] = s->input_values[i];
    }
    // Which of the outputs the run has to write itself is lost once it has filled in the others.
    for (uint32_t i = 0; i < s->output_count; i++) {
        s->outputs[i].bound = s->output_values[i] != NULL;
    }
    struct onnx_model *m = s->model;
    struct ort_status *status =
        m->library->fn.run(s->session->handle, s->session->run_options, s->input_names, list,
                           s->input_count, s->output_names, s->output_count, s->output_values);
    if (list != inputs) {
        mem_free(list);
    }
    return ort_error(m->library, status);
}

static TRITONSERVER_Error *work(struct onnx_instance *s)
{
    BACKEND_TRY(check_rows(s));
    if (s->gpu != NULL) {
        return onnx_gpu_work(s);
    }
    BACKEND_TRY(gather_inputs(s));
    if (s->batch.alive == 0) {
        return NULL;
    }
    BACKEND_TRY(plan_outputs(s));
    batch_compute_begin(&s->batch);
    if (s->output_count > 0) {
        BACKEND_TRY(run(s));
    }
    batch_compute_end(&s->batch);
    for (uint32_t i = 0; i < s->output_count; i++) {
        if (!s->outputs[i].bound) {
            BACKEND_TRY(onnx_hand_out(s, &s->outputs[i], s->output_values[i]));
        }
    }
    return NULL;
}

static TRITONSERVER_Error *execute(void *instance, TRITONBACKEND_Request **requests, uint32_t count)
{
    struct onnx_instance *s = instance;
    BACKEND_TRY(batch_begin(&s->batch, requests, count, s->model->config.max_batch_size > 0));
    TRITONSERVER_Error *error = work(s);
    if (error != NULL) {
        batch_fail_all(&s->batch, error);
    }
    release_values(s);
    batch_end(&s->batch);
    return NULL;
}

const struct instance_table onnx_instances = {.size = sizeof(struct onnx_instance),
                                              .init = init,
                                              .fini = fini,
                                              .ready = ready,
                                              .execute = execute};
