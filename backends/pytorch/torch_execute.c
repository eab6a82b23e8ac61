// SPDX-License-Identifier: Apache-2.0
// Instances, and running a batch: inputs are given to libtorch where they lie, if they lie in one
// piece on the instance's device; else they are joined there. Outputs are libtorch's own and are
// copied out once, on a GPU by the instance's stream, straight to the memory that the host offers.
// Start at execute(). See torch_model.h.
#include "backends/pytorch/torch_model.h"
#include "base/mem.h"

enum { TORCH_DIMS_MAX = 64 };

struct torch_instance {
    struct torch_model *model;
    struct torch_shared *shared;
    struct torch_names names;
    struct torch_run *run;
    struct batch batch;
    int device;             // of the inputs; TORCH_CPU for KIND_MODEL
    const char **keys;      // of the dict, by slot; NULL without one
    struct scratch *inputs; // by slot
    struct scratch output;
    struct torch_piece *pieces; // of one input
    size_t piece_count;
    size_t piece_capacity;
};

// ---- instances ----

static TRITONSERVER_Error *make_room(struct torch_instance *s)
{
    size_t slots = (size_t)s->names.argument_count + 1;
    s->inputs = mem_calloc(slots, sizeof(*s->inputs));
    if (s->inputs == NULL) {
        return backend_no_memory();
    }
    if (s->names.dict) {
        s->keys = mem_calloc(slots, sizeof(*s->keys));
        if (s->keys == NULL) {
            return backend_no_memory();
        }
        for (uint32_t i = 0; i < s->model->input_count; i++) {
            s->keys[s->names.arguments[i]] = s->model->inputs[i];
        }
    }
    return NULL;
}

static TRITONSERVER_Error *init(void *instance, TRITONBACKEND_ModelInstance *handle, void *model,
                                TRITONSERVER_InstanceGroupKind kind, int32_t gpu)
{
    struct torch_instance *s = instance;
    struct torch_why why;
    bool keep_devices = kind == TRITONSERVER_INSTANCEGROUPKIND_MODEL;
    s->model = model;
    s->device = gpu;
    batch_init(&s->batch, handle);
    BACKEND_TRY(torch_model_acquire(s->model, s->device, keep_devices, &s->shared));
    BACKEND_TRY(torch_names_init(&s->names, s->model, s->shared->module));
    BACKEND_TRY(make_room(s));
    if (!torch_run_create(s->device, &s->model->mode, &s->run, &why)) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "failed to load model '%s': %s",
                                 s->model->config.name, why.text);
    }
    return NULL;
}

static void fini(void *instance)
{
    struct torch_instance *s = instance;
    torch_run_destroy(s->run);
    for (uint32_t i = 0; s->inputs != NULL && i < s->names.argument_count; i++) {
        scratch_fini(&s->inputs[i]);
    }
    scratch_fini(&s->output);
    mem_free(s->inputs);
    mem_free(s->keys);
    mem_free(s->pieces);
    torch_names_fini(&s->names);
    if (s->shared != NULL) {
        torch_model_release(s->model, s->shared);
    }
    batch_fini(&s->batch);
}

static TRITONSERVER_Error *failure(const struct torch_why *why)
{
    return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "PyTorch execute failure: %s", why->text);
}

// ---- pieces: where the bytes of an input lie ----

static TRITONSERVER_Error *add_piece(struct torch_instance *s, const void *data, size_t size,
                                     int device)
{
    if (s->piece_count == s->piece_capacity) {
        size_t more = s->piece_capacity == 0 ? 16 : 2 * s->piece_capacity;
        struct torch_piece *pieces = mem_realloc(s->pieces, more * sizeof(*pieces));
        if (pieces == NULL) {
            return backend_no_memory();
        }
        s->pieces = pieces;
        s->piece_capacity = more;
    }
    s->pieces[s->piece_count++] = (struct torch_piece){data, size, device};
    return NULL;
}

// On the CPU, one: in place or joined.
static TRITONSERVER_Error *cpu_pieces(struct torch_instance *s, const struct batch_input *first,
                                      uint32_t slot)
{
    const void *data = NULL;
    uint64_t size = 0;
    BACKEND_TRY(batch_gather(&s->batch, first, 0, &s->inputs[slot], &data, &size));
    return add_piece(s, data, (size_t)size, TORCH_CPU);
}

// For a GPU, all buffers of all requests, wherever they are: the stream joins them.
static TRITONSERVER_Error *gpu_pieces(struct torch_instance *s, const struct batch_input *first)
{
    for (uint32_t i = 0; i < s->batch.count; i++) {
        struct batch_input in = {0};
        uint64_t expected = 0;
        BACKEND_TRY(batch_input_get(&s->batch, i, first->name, &in));
        BACKEND_TRY(batch_input_size(&in, &expected));
        for (uint32_t k = 0; k < in.buffer_count; k++) {
            const void *data = NULL;
            uint64_t size = 0;
            TRITONSERVER_MemoryType type = TRITONSERVER_MEMORY_GPU;
            int64_t id = s->device;
            BACKEND_TRY(TRITONBACKEND_InputBuffer(in.handle, k, &data, &size, &type, &id));
            if (size > expected) {
                return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                         "input '%s' has more bytes than its size says", in.name);
            }
            expected -= size;
            BACKEND_TRY(add_piece(s, data, (size_t)size,
                                  type == TRITONSERVER_MEMORY_GPU ? (int)id : TORCH_CPU));
        }
        if (expected != 0) {
            return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                     "input '%s' has %llu bytes fewer than its size says", in.name,
                                     (unsigned long long)expected);
        }
    }
    return NULL;
}

// ---- inputs ----

struct string_sink {
    struct torch_run *run;
    uint32_t slot;
};

static TRITONSERVER_Error *put_string(void *userp, int64_t index, struct slice element)
{
    const struct string_sink *sink = userp;
    struct torch_why why;
    return torch_run_set_string(sink->run, sink->slot, index, element.ptr, element.len, &why)
               ? NULL
               : failure(&why);
}

static TRITONSERVER_Error *gather_strings(struct torch_instance *s, const char *name, uint32_t slot)
{
    struct torch_why why;
    int64_t total = 0;
    BACKEND_TRY(ragged_elements(&s->batch, name, &total));
    if (!torch_run_strings(s->run, slot, total, &why)) {
        return failure(&why);
    }
    struct string_sink sink = {s->run, slot};
    return batch_gather_bytes(&s->batch, name, total, &s->inputs[slot], put_string, &sink);
}

static const struct model_tensor *find_config(const struct torch_model *m, const char *name)
{
    for (uint32_t i = 0; i < m->config.input_count; i++) {
        if (strcmp(m->config.inputs[i].name, name) == 0) {
            return &m->config.inputs[i];
        }
    }
    return NULL;
}

// The shape of an input for the whole batch.
static TRITONSERVER_Error *batch_shape(struct torch_instance *s, const struct batch_input *first,
                                       int64_t *dims, uint32_t *dim_count)
{
    const struct model_tensor *config = find_config(s->model, first->name);
    if (config != NULL && config->ragged) {
        *dim_count = 1;
        return ragged_elements(&s->batch, first->name, &dims[0]);
    }
    if (first->dim_count > TORCH_DIMS_MAX) {
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

static TRITONSERVER_Error *find_slot(const struct torch_instance *s, const char *name,
                                     uint32_t *slot)
{
    for (uint32_t i = 0; i < s->model->input_count; i++) {
        if (strcmp(s->model->inputs[i], name) == 0) {
            *slot = s->names.arguments[i];
            return NULL;
        }
    }
    return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "unexpected inference input '%s'", name);
}

// Memory of a request is the client's: a model that writes to its arguments gets a copy.
static bool must_copy(const struct torch_instance *s, uint32_t slot)
{
    const struct torch_module *module = s->shared->module;
    if (s->model->package) {
        return false; // torch.export has made such models functional
    }
    uint32_t argument = s->names.dict ? 0 : slot;
    return s->batch.count == 1 && torch_module_argument(module, argument)->written;
}

static TRITONSERVER_Error *gather_input(struct torch_instance *s, const struct batch_input *first)
{
    struct torch_why why;
    uint32_t slot = 0;
    int64_t dims[TORCH_DIMS_MAX];
    uint32_t dim_count = 0;
    BACKEND_TRY(find_slot(s, first->name, &slot));
    if (first->dtype == TRITONSERVER_TYPE_BYTES) {
        return gather_strings(s, first->name, slot);
    }
    s->piece_count = 0;
    BACKEND_TRY(batch_shape(s, first, dims, &dim_count));
    BACKEND_TRY(s->device < 0 ? cpu_pieces(s, first, slot) : gpu_pieces(s, first));
    return torch_run_tensor(s->run, slot, first->dtype, dims, dim_count, s->pieces, s->piece_count,
                            must_copy(s, slot), &why)
               ? NULL
               : failure(&why);
}

static TRITONSERVER_Error *gather_ragged(struct torch_instance *s,
                                         const struct ragged_input *ragged)
{
    for (uint32_t i = 0; i < ragged->target_count; i++) {
        struct torch_why why;
        uint32_t slot = 0;
        int64_t dims[RAGGED_DIMS_MAX] = {0, 0};
        uint32_t dim_count = 0;
        void *data = NULL;
        uint64_t size = 0;
        BACKEND_TRY(find_slot(s, ragged->targets[i], &slot));
        BACKEND_TRY(
            ragged_fill(&s->batch, ragged, &s->inputs[slot], dims, &dim_count, &data, &size));
        const struct torch_piece piece = {data, (size_t)size, TORCH_CPU};
        if (!torch_run_tensor(s->run, slot, ragged->dtype, dims, dim_count, &piece, 1, false,
                              &why)) {
            return failure(&why);
        }
    }
    return NULL;
}

static TRITONSERVER_Error *gather_inputs(struct torch_instance *s)
{
    const struct model_config *config = &s->model->config;
    if (s->batch.rows != 1 && s->batch.rows > config->max_batch_size) {
        return backend_error_new(
            TRITONSERVER_ERROR_INTERNAL, "batch size %llu for '%s', max allowed is %u",
            (unsigned long long)s->batch.rows, config->name, config->max_batch_size);
    }
    torch_run_reset(s->run, s->names.argument_count);
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

// An output on its way to the responses.
struct leaving {
    const struct model_tensor *config;
    const char *scatter_source;
    uint32_t index; // among the results
    struct torch_output output;
    int64_t dims[TORCH_DIMS_MAX];
    uint32_t dim_count;
};

static TRITONSERVER_Error *read_output(struct torch_instance *s, uint32_t response,
                                       struct leaving *out)
{
    struct torch_why why;
    bool batching = s->model->config.max_batch_size > 0;
    out->config = s->model->responses[response];
    out->scatter_source = s->model->scatter_sources[response];
    out->index = s->names.results[response];
    if (out->index >= torch_run_outputs(s->run)) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "output '%s' is result %u of model '%s', which gives %u",
                                 out->config->name, out->index, s->model->config.name,
                                 torch_run_outputs(s->run));
    }
    if (!torch_run_output(s->run, out->index, &out->output, &why)) {
        return failure(&why);
    }
    if (out->output.dtype != out->config->dtype) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "configuration expects datatype TYPE_%s for output '%s', model "
                                 "provides TYPE_%s",
                                 TRITONSERVER_DataTypeString(out->config->dtype), out->config->name,
                                 TRITONSERVER_DataTypeString(out->output.dtype));
    }
    if (out->output.dim_count > TORCH_DIMS_MAX) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED, "output '%s' has %u dimensions",
                                 out->config->name, out->output.dim_count);
    }
    out->dim_count = out->output.dim_count;
    memcpy(out->dims, out->output.dims, out->dim_count * sizeof(*out->dims));
    if (out->dim_count == 0 && (batching || out->config->dims.count != 1)) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "output '%s' is a scalar which is not supported.",
                                 out->config->name);
    }
    if (out->dim_count == 0) {
        out->dims[out->dim_count++] = 1; // as the configuration shows it
    }
    return NULL;
}

struct string_source {
    struct torch_run *run;
    uint32_t index;
};

static TRITONSERVER_Error *get_string(void *userp, int64_t index, struct slice *element)
{
    const struct string_source *source = userp;
    struct torch_why why;
    const char *text = NULL;
    size_t length = 0;
    if (!torch_run_string(source->run, source->index, index, &text, &length, &why)) {
        return failure(&why);
    }
    *element = slice_make(text, length);
    return NULL;
}

// One request's rows of an output on a GPU, to wherever the host wants them.
static TRITONSERVER_Error *copy_rows(struct torch_instance *s, const struct leaving *out,
                                     uint32_t item, size_t offset, size_t size)
{
    struct torch_why why;
    TRITONBACKEND_Output *output = NULL;
    TRITONSERVER_MemoryType type = TRITONSERVER_MEMORY_GPU;
    int64_t id = out->output.device;
    void *to = NULL;
    BACKEND_TRY(TRITONBACKEND_ResponseOutput(s->batch.items[item].response, &output,
                                             out->config->name, out->output.dtype, out->dims,
                                             out->dim_count));
    BACKEND_TRY(TRITONBACKEND_OutputBuffer(output, &to, size, &type, &id));
    return torch_run_copy(s->run, out->index, offset, size, to,
                          type == TRITONSERVER_MEMORY_GPU ? (int)id : TORCH_CPU, &why)
               ? NULL
               : failure(&why);
}

static TRITONSERVER_Error *scatter_from_gpu(struct torch_instance *s, struct leaving *out)
{
    struct batch *b = &s->batch;
    bool batching = s->model->config.max_batch_size > 0;
    if (batching && (uint64_t)out->dims[0] != b->rows) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "output '%s' has %lld rows for a batch of %llu", out->config->name,
                                 (long long)out->dims[0], (unsigned long long)b->rows);
    }
    size_t row = b->rows == 0 ? 0 : out->output.size / b->rows;
    size_t offset = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        size_t size = batching ? row * b->items[i].rows : out->output.size;
        if (b->items[i].response != NULL && batch_wants(b, i, out->config->name)) {
            if (batching) {
                out->dims[0] = (int64_t)b->items[i].rows;
            }
            TRITONSERVER_Error *error = copy_rows(s, out, i, offset, size);
            if (error != NULL) {
                batch_fail(b, i, error);
            }
        }
        offset += batching ? size : 0;
    }
    return NULL;
}

// A ragged output on a GPU is divided on the CPU.
static TRITONSERVER_Error *bring_home(struct torch_instance *s, struct leaving *out)
{
    struct torch_why why;
    void *copy = scratch_reserve(&s->output, out->output.size + 1);
    if (copy == NULL) {
        return backend_no_memory();
    }
    if (!torch_run_copy(s->run, out->index, 0, out->output.size, copy, TORCH_CPU, &why) ||
        !torch_run_wait(s->run, &why)) {
        return failure(&why);
    }
    out->output.data = copy;
    return NULL;
}

static TRITONSERVER_Error *hand_out(struct torch_instance *s, uint32_t response)
{
    struct leaving out;
    bool batching = s->model->config.max_batch_size > 0;
    BACKEND_TRY(read_output(s, response, &out));
    if (out.output.kind == TORCH_OUTPUT_STRINGS) {
        struct string_source source = {s->run, out.index};
        return batch_scatter_bytes(&s->batch, out.config->name, out.dims, out.dim_count, batching,
                                   get_string, &source);
    }
    if (out.scatter_source != NULL) {
        BACKEND_TRY(out.output.device < 0 ? NULL : bring_home(s, &out));
        return ragged_scatter(&s->batch, out.config, batching, out.scatter_source, out.output.data,
                              out.output.size);
    }
    if (out.output.device >= 0) {
        return scatter_from_gpu(s, &out);
    }
    batch_scatter(&s->batch, out.config->name, out.output.dtype, out.dims, out.dim_count, batching,
                  out.output.data, out.output.size);
    return NULL;
}

static TRITONSERVER_Error *wait_for_all(struct torch_instance *s)
{
    struct torch_why why;
    return torch_run_wait(s->run, &why) ? NULL : failure(&why);
}

static TRITONSERVER_Error *work(struct torch_instance *s)
{
    struct torch_why why;
    BACKEND_TRY(gather_inputs(s));
    if (s->batch.alive == 0) {
        return NULL;
    }
    batch_compute_begin(&s->batch);
    if (!torch_run_forward(s->run, s->shared->module, s->keys, &why)) {
        return failure(&why);
    }
    BACKEND_TRY(wait_for_all(s)); // else its time would count as the outputs'
    batch_compute_end(&s->batch);
    for (uint32_t i = 0; i < s->model->config.output_count; i++) {
        if (batch_wanted(&s->batch, s->model->responses[i]->name)) {
            BACKEND_TRY(hand_out(s, i));
        }
    }
    return wait_for_all(s);
}

static TRITONSERVER_Error *execute(void *instance, TRITONBACKEND_Request **requests, uint32_t count)
{
    struct torch_instance *s = instance;
    BACKEND_TRY(batch_begin(&s->batch, requests, count, s->model->config.max_batch_size > 0));
    TRITONSERVER_Error *error = work(s);
    if (error != NULL) {
        // What was queued before may still read the memory of requests.
        backend_log_error(wait_for_all(s), "failed to wait for a failed batch");
        batch_fail_all(&s->batch, error);
    }
    torch_run_reset(s->run, s->names.argument_count);
    batch_end(&s->batch);
    return NULL;
}

const struct instance_table torch_instances = {
    .size = sizeof(struct torch_instance), .init = init, .fini = fini, .execute = execute};
