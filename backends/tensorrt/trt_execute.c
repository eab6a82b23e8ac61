// SPDX-License-Identifier: Apache-2.0
// A batch on its way: its inputs to where the plan reads them, the plan, its outputs to where the host
// wants them; all of it queued, nothing waited for, unless a plan has shapes among its outputs. See
// trt_instance.h.
#include "backends/tensorrt/trt_instance.h"

// In place of a request's index, for copies that are nobody's own.
enum { NO_REQUEST = UINT32_MAX - 1 };

static const struct trt_shim *shim_of(const struct trt_slot *slot)
{
    return slot->instance->model->backend->library.shim;
}

static bool batching(const struct trt_slot *slot)
{
    return slot->instance->model->config.max_batch_size > 0;
}

// ---- what the inputs are like ----

static void wish_dims(struct trt_slot *slot, uint32_t i, const int64_t *dims, uint32_t count)
{
    struct trt_memory *m = &slot->memory[i];
    struct trt_wish *wish = &slot->wishes[i];
    m->dims.count = (int32_t)count;
    memcpy(m->dims.d, dims, count * sizeof(*dims));
    wish->count = count;
    memcpy(wish->values, dims, count * sizeof(*dims));
}

static TRITONSERVER_Error *too_many_dims(const char *name, uint32_t count)
{
    return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED, "input '%s' has %u dimensions", name,
                             count);
}

static int64_t read_value(const struct trt_io *io, const char *from)
{
    int32_t narrow = 0;
    int64_t wide = 0;
    if (io->element == sizeof(narrow)) {
        memcpy(&narrow, from, sizeof(narrow));
        return narrow;
    }
    memcpy(&wide, from, sizeof(wide));
    return wide;
}

static void write_value(const struct trt_io *io, char *to, int64_t value)
{
    int32_t narrow = (int32_t)value;
    memcpy(to, io->element == sizeof(narrow) ? (const void *)&narrow : &value, io->element);
}

// Values of a shape: the first request speaks for all, as a batch has one shape. A model that batches
// has the rows in front of what requests bring.
static TRITONSERVER_Error *read_shape_values(struct trt_slot *slot, uint32_t i)
{
    const struct trt_io *io = &slot->instance->plan->ios[i];
    struct trt_memory *m = &slot->memory[i];
    struct trt_wish *wish = &slot->wishes[i];
    struct batch_input in = {0};
    uint32_t count = io->tensor.dims.count == 0 ? 1 : (uint32_t)io->tensor.dims.d[0];
    uint32_t front = batching(slot) ? 1 : 0;
    BACKEND_TRY(batch_input_get(&slot->batch, 0, io->tensor.name, &in));
    uint64_t given = io->element == 0 ? 0 : in.byte_size / io->element;
    if (count > TRT_VALUES_MAX || (given != count && given != count - front)) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "shape tensor for input '%s' expected byte size is %llu [ or %llu "
                                 "if input includes batch shape value] , got %llu",
                                 in.name, (unsigned long long)(count - front) * io->element,
                                 (unsigned long long)count * io->element,
                                 (unsigned long long)in.byte_size);
    }
    char *to = scratch_reserve(&m->host, ((size_t)count + 1) * io->element);
    if (to == NULL) {
        return backend_no_memory();
    }
    size_t skip = given == count ? 0 : front * io->element;
    BACKEND_TRY(batch_input_copy(&in, to + skip));
    if (front != 0) {
        write_value(io, to, (int64_t)slot->batch.rows);
    }
    wish->count = count;
    for (uint32_t k = 0; k < count; k++) {
        wish->values[k] = read_value(io, to + (size_t)k * io->element);
    }
    m->dims = io->tensor.dims;
    m->address = to;
    return NULL;
}

static TRITONSERVER_Error *measure_ragged(struct trt_slot *slot, uint32_t i)
{
    const struct trt_io *io = &slot->instance->plan->ios[i];
    struct trt_memory *m = &slot->memory[i];
    int64_t dims[RAGGED_DIMS_MAX] = {0, 0};
    uint32_t count = 0;
    BACKEND_TRY(
        ragged_fill(&slot->batch, io->ragged, &m->host, dims, &count, &m->address, &m->size));
    if (count == 1 && io->tensor.dims.count == 2) {
        dims[count++] = 1; // Triton asks plans for [-1,1] where other frameworks have [-1]
    }
    wish_dims(slot, i, dims, count);
    return NULL;
}

static TRITONSERVER_Error *measure_input(struct trt_slot *slot, uint32_t i)
{
    const struct trt_io *io = &slot->instance->plan->ios[i];
    struct batch_input in = {0};
    int64_t dims[TRT_DIMS_MAX];
    if (io->ragged != NULL) {
        return measure_ragged(slot, i);
    }
    if (io->tensor.shape_tensor) {
        return read_shape_values(slot, i);
    }
    if (io->config != NULL && io->config->ragged) {
        BACKEND_TRY(ragged_elements(&slot->batch, io->tensor.name, &dims[0]));
        wish_dims(slot, i, dims, 1);
        return NULL;
    }
    BACKEND_TRY(batch_input_get(&slot->batch, 0, io->tensor.name, &in));
    if (in.dim_count > TRT_DIMS_MAX) {
        return too_many_dims(in.name, in.dim_count);
    }
    memcpy(dims, in.dims, in.dim_count * sizeof(*dims));
    if (batching(slot) && in.dim_count > 0) {
        dims[0] = (int64_t)slot->batch.rows;
    }
    // A scalar of the plan is one element of the configuration.
    uint32_t count = io->tensor.dims.count == 0 && in.dim_count == 1 ? 0 : in.dim_count;
    wish_dims(slot, i, dims, count);
    return NULL;
}

static TRITONSERVER_Error *choose_context(const struct trt_slot *slot, uint32_t *chosen)
{
    const struct trt_instance *s = slot->instance;
    int64_t best = -1;
    for (uint32_t i = 0; i < s->tuned_count; i++) {
        int64_t distance = trt_profile_distance(&s->tuned[i].ranges, s->plan, slot->wishes);
        if (distance >= 0 && (best < 0 || distance < best)) {
            best = distance;
            *chosen = i;
        }
    }
    // Triton goes on with the first profile, which then says what does not fit.
    return best >= 0 ? NULL : trt_profile_why(&s->tuned[0].ranges, s->plan, s->name, slot->wishes);
}

// ---- inputs ----

// Where all requests' bytes follow each other on the GPU (coalesce-request-input), the first one's place.
static TRITONSERVER_Error *find_run(struct trt_slot *slot, const char *name, void **start)
{
    struct batch *b = &slot->batch;
    char *end = NULL;
    *start = NULL;
    for (uint32_t i = 0; i < b->count; i++) {
        struct batch_input in = {0};
        const void *data = NULL;
        uint64_t size = 0;
        TRITONSERVER_MemoryType type = TRITONSERVER_MEMORY_GPU;
        int64_t id = slot->instance->plan->gpu;
        BACKEND_TRY(batch_input_get(b, i, name, &in));
        if (in.buffer_count != 1) {
            *start = NULL;
            return NULL;
        }
        BACKEND_TRY(TRITONBACKEND_InputBuffer(in.handle, 0, &data, &size, &type, &id));
        struct gpu_place place = gpu_place_of(data, type, id);
        bool follows = i == 0 || (char *)place.ptr == end;
        if (!follows || !gpu_place_is_direct(b, place, i == 0 ? TRT_ALIGNMENT : 1)) {
            *start = NULL;
            return NULL;
        }
        *start = i == 0 ? place.ptr : *start;
        end = (char *)place.ptr + size;
    }
    return NULL;
}

static TRITONSERVER_Error *wrong_size(const char *name, uint64_t size, uint64_t expected)
{
    return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                             "input byte size mismatch for input '%s'. Expected %llu, got %llu",
                             name, (unsigned long long)expected, (unsigned long long)size);
}

// Bytes of the requests, used where they lie if they can be, unless `fixed` says to use the slot's
// memory.
static TRITONSERVER_Error *gather_input(struct trt_slot *slot, uint32_t i, bool fixed)
{
    const struct trt_io *io = &slot->instance->plan->ios[i];
    struct trt_memory *m = &slot->memory[i];
    struct batch_input first = {0};
    uint64_t size = 0;
    if (!trt_byte_size(io, &m->dims, &m->size)) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG, "input '%s' is too large",
                                 io->tensor.name);
    }
    BACKEND_TRY(trt_slot_reserve(slot, i, m->size));
    if (slot->instance->model->backend->coalesce && !fixed && slot->batch.count > 1) {
        BACKEND_TRY(find_run(slot, io->tensor.name, &m->address));
        if (m->address != NULL) {
            return NULL;
        }
    }
    struct gpu_scratch scratch = {m->gpu->data, m->gpu->size};
    BACKEND_TRY(batch_input_get(&slot->batch, 0, io->tensor.name, &first));
    for (uint32_t k = 0; k < slot->batch.count; k++) {
        struct batch_input in = {0};
        BACKEND_TRY(batch_input_get(&slot->batch, k, io->tensor.name, &in));
        size += in.byte_size;
    }
    if (size != m->size) {
        return wrong_size(io->tensor.name, size, m->size);
    }
    return gpu_gather(&slot->batch, &first, fixed ? 0 : TRT_ALIGNMENT, &scratch, &m->address,
                      &size);
}

// A batch input was computed on the host.
static TRITONSERVER_Error *send_ragged(struct trt_slot *slot, uint32_t i)
{
    struct trt_memory *m = &slot->memory[i];
    struct gpu_place from = gpu_place_of(m->address, TRITONSERVER_MEMORY_CPU, 0);
    BACKEND_TRY(trt_slot_reserve(slot, i, m->size));
    m->address = m->gpu->data;
    return gpu_io_copy(slot->io,
                       gpu_place_of(m->address, TRITONSERVER_MEMORY_GPU, slot->instance->plan->gpu),
                       from, m->size, NO_REQUEST);
}

static TRITONSERVER_Error *gather_inputs(struct trt_slot *slot, bool fixed)
{
    const struct trt_plan *plan = slot->instance->plan;
    for (uint32_t i = 0; i < plan->io_count; i++) {
        const struct trt_io *io = &plan->ios[i];
        if (!io->tensor.input || io->tensor.shape_tensor) {
            continue;
        }
        BACKEND_TRY(io->ragged != NULL ? send_ragged(slot, i) : gather_input(slot, i, fixed));
    }
    return NULL;
}

TRITONSERVER_Error *trt_bind_inputs(struct trt_slot *slot, const struct trt_tuned *tuned)
{
    const struct trt_instance *s = slot->instance;
    struct trt_why why = {.text = ""};
    for (uint32_t i = 0; i < s->plan->io_count; i++) {
        const struct trt_io *io = &s->plan->ios[i];
        const struct trt_memory *m = &slot->memory[i];
        if (!io->tensor.input) {
            continue;
        }
        if (io->open && !io->tensor.shape_tensor &&
            !shim_of(slot)->context_shape(tuned->context, io->tensor.name, &m->dims, &why)) {
            return trt_failure(s, "trt failed to set binding dimension", &why);
        }
        if (!shim_of(slot)->context_address(tuned->context, io->tensor.name, m->address, &why)) {
            return trt_failure(s, "trt failed to set the address of an input", &why);
        }
    }
    return shim_of(slot)->context_infer(tuned->context, &why)
               ? NULL
               : trt_failure(s, "failed to specify the dimensions of all input bindings", &why);
}

// ---- outputs ----

static void *allocate_output(void *arg, const char *name, uint64_t size, uint64_t alignment)
{
    struct trt_slot *slot = arg;
    const struct trt_io *io = trt_plan_find(slot->instance->plan, name);
    (void)alignment; // that of the device's own allocations is the largest
    if (io == NULL) {
        return NULL;
    }
    uint32_t i = (uint32_t)(io - slot->instance->plan->ios);
    TRITONSERVER_Error *error = trt_slot_reserve(slot, i, size);
    if (error != NULL) {
        backend_log_error(error, "an output of unknown size");
        return NULL;
    }
    slot->memory[i].address = slot->memory[i].gpu->data;
    return slot->memory[i].address;
}

static void learn_shape(void *arg, const char *name, const struct trt_dims *dims)
{
    struct trt_slot *slot = arg;
    const struct trt_io *io = trt_plan_find(slot->instance->plan, name);
    if (io != NULL) {
        slot->memory[io - slot->instance->plan->ios].dims = *dims;
    }
}

// Response dims of an output: as the configuration shows a scalar, it is one element.
static uint32_t response_dims(const struct trt_memory *m, int64_t *dims)
{
    memcpy(dims, m->dims.d, (size_t)m->dims.count * sizeof(*dims));
    if (m->dims.count == 0) {
        dims[0] = 1;
        return 1;
    }
    return (uint32_t)m->dims.count;
}

// The one request's output, before the plan runs: the plan then writes straight to it, if it can.
static TRITONSERVER_Error *place_output(struct trt_slot *slot, uint32_t i)
{
    const struct trt_io *io = &slot->instance->plan->ios[i];
    struct trt_memory *m = &slot->memory[i];
    int64_t dims[TRT_DIMS_MAX];
    uint32_t count = response_dims(m, dims);
    BACKEND_TRY(
        gpu_output(&slot->batch, 0, io->tensor.name, io->dtype, dims, count, m->size, &m->place));
    m->placed = true;
    if (gpu_place_is_direct(&slot->batch, m->place, TRT_ALIGNMENT) && m->size > 0) {
        m->address = m->place.ptr;
    }
    return NULL;
}

static TRITONSERVER_Error *prepare_output(struct trt_slot *slot, const struct trt_tuned *tuned,
                                          uint32_t i)
{
    const struct trt_instance *s = slot->instance;
    const struct trt_io *io = &s->plan->ios[i];
    struct trt_memory *m = &slot->memory[i];
    struct trt_why why = {.text = ""};
    bool known = shim_of(slot)->context_dims(tuned->context, io->tensor.name, &m->dims) &&
                 trt_byte_size(io, &m->dims, &m->size);
    m->placed = false;
    m->made = !known;
    if (!known) {
        return shim_of(slot)->context_allocator(tuned->context, io->tensor.name, allocate_output,
                                                learn_shape, slot, &why)
                   ? NULL
                   : trt_failure(s, "unable to allocate memory for an output", &why);
    }
    if (io->tensor.on_host) {
        m->address = scratch_reserve(&m->host, (size_t)m->size + 1);
        BACKEND_TRY(m->address == NULL ? backend_no_memory() : NULL);
    } else {
        m->address = NULL;
        // One request whose rows are the tensor's: a batch of one that is not divided by other shapes.
        if (slot->batch.count == 1 && io->scatter_source == NULL && io->config != NULL &&
            slot->batch.alive == 1 && batch_wants(&slot->batch, 0, io->tensor.name) &&
            (!batching(slot) ||
             (m->dims.count > 0 && (uint64_t)m->dims.d[0] == slot->batch.rows))) {
            BACKEND_TRY(place_output(slot, i));
        }
        if (m->address == NULL) {
            BACKEND_TRY(trt_slot_reserve(slot, i, m->size));
            m->address = m->gpu->data;
        }
    }
    return shim_of(slot)->context_address(tuned->context, io->tensor.name, m->address, &why)
               ? NULL
               : trt_failure(s, "trt failed to set the address of an output", &why);
}

// The values of a shape, on the host: each row of each request gets them, without the batch in front.
static TRITONSERVER_Error *scatter_shape_values(struct trt_slot *slot, uint32_t i)
{
    const struct trt_io *io = &slot->instance->plan->ios[i];
    const struct trt_memory *m = &slot->memory[i];
    struct batch *b = &slot->batch;
    uint32_t front = batching(slot) ? 1 : 0;
    size_t count = (m->dims.count == 0 ? 1 : (size_t)m->dims.d[0]) - front;
    const char *values = (const char *)m->address + front * io->element;
    if (front != 0 && (uint64_t)read_value(io, m->address) != b->rows) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "failed to retrieve the output shape values from binding '%s'",
                                 io->tensor.name);
    }
    for (uint32_t k = 0; k < b->count; k++) {
        int64_t dims[2] = {(int64_t)b->items[k].rows, (int64_t)count};
        size_t copies = front != 0 ? (size_t)b->items[k].rows : 1;
        void *data = NULL;
        if (b->items[k].response == NULL || !batch_wants(b, k, io->tensor.name)) {
            continue;
        }
        TRITONSERVER_Error *error =
            batch_output(b, k, io->tensor.name, io->dtype, front != 0 ? dims : dims + 1, 1 + front,
                         copies * count * io->element, &data);
        if (error != NULL) {
            batch_fail(b, k, error);
            continue;
        }
        for (size_t row = 0; row < copies && count > 0; row++) {
            memcpy((char *)data + row * count * io->element, values, count * io->element);
        }
    }
    return NULL;
}

static TRITONSERVER_Error *scatter_output(struct trt_slot *slot, uint32_t i)
{
    const struct trt_io *io = &slot->instance->plan->ios[i];
    struct trt_memory *m = &slot->memory[i];
    int64_t dims[TRT_DIMS_MAX];
    if (m->made && !trt_byte_size(io, &m->dims, &m->size)) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "output '%s' got no shape",
                                 io->tensor.name);
    }
    if (m->placed) {
        struct gpu_place from =
            gpu_place_of(m->address, TRITONSERVER_MEMORY_GPU, slot->instance->plan->gpu);
        return m->address == m->place.ptr ? NULL
                                          : gpu_io_copy(slot->io, m->place, from, m->size, 0);
    }
    if (io->tensor.on_host) {
        BACKEND_TRY(gpu_io_wait(slot->io));
        return scatter_shape_values(slot, i);
    }
    if (io->scatter_source != NULL) {
        void *copy = NULL;
        BACKEND_TRY(gpu_bring_home(&slot->batch, m->address, m->size, &m->host, &copy));
        return ragged_scatter(&slot->batch, io->config, batching(slot), io->scatter_source, copy,
                              m->size);
    }
    uint32_t count = response_dims(m, dims);
    gpu_scatter(&slot->batch, io->tensor.name, io->dtype, dims, count, batching(slot), m->address,
                m->size);
    return NULL;
}

static TRITONSERVER_Error *scatter_outputs(struct trt_slot *slot)
{
    const struct trt_plan *plan = slot->instance->plan;
    for (uint32_t i = 0; i < plan->io_count; i++) {
        if (!plan->ios[i].tensor.input && batch_wanted(&slot->batch, plan->ios[i].tensor.name)) {
            BACKEND_TRY(scatter_output(slot, i));
        }
    }
    return backend_error(gpu_event_record(slot->copied, gpu_io_stream(slot->io)));
}

// ---- the run ----

// The compute stream goes on when the inputs are there: those that travel, and those that are used where they lie once the event that they
// came with is reached, for which the slot's own stream waits (batch_order_input).
static TRITONSERVER_Error *begin_compute(struct trt_slot *slot)
{
    struct gpu_stream *compute = slot->instance->compute;
    BACKEND_TRY(backend_error(gpu_event_record(slot->ready, gpu_io_stream(slot->io))));
    BACKEND_TRY(backend_error(gpu_stream_wait_event(compute, slot->ready)));
    return backend_error(gpu_event_record(slot->begin, compute));
}

static TRITONSERVER_Error *end_compute(struct trt_slot *slot)
{
    BACKEND_TRY(backend_error(gpu_event_record(slot->done, slot->instance->compute)));
    slot->computed = true;
    return backend_error(gpu_stream_wait_event(gpu_io_stream(slot->io), slot->done));
}

static TRITONSERVER_Error *run_plan(struct trt_slot *slot, const struct trt_tuned *tuned)
{
    const struct trt_instance *s = slot->instance;
    struct trt_why why = {.text = ""};
    BACKEND_TRY(gather_inputs(slot, false));
    BACKEND_TRY(trt_bind_inputs(slot, tuned));
    for (uint32_t i = 0; i < s->plan->io_count; i++) {
        if (!s->plan->ios[i].tensor.input) {
            BACKEND_TRY(prepare_output(slot, tuned, i));
        }
    }
    BACKEND_TRY(begin_compute(slot));
    if (!shim_of(slot)->context_enqueue(tuned->context, gpu_stream_handle(s->compute), &why)) {
        return trt_failure(s, "unable to enqueue", &why);
    }
    return end_compute(slot);
}

// With a graph the plan reads and writes the slot's memory; of a graph of more rows than there are, the
// first are used.
static TRITONSERVER_Error *run_graph(struct trt_slot *slot, struct trt_graph *graph)
{
    const struct trt_plan *plan = slot->instance->plan;
    for (uint32_t i = 0; i < plan->io_count; i++) {
        uint64_t size = 0;
        if (trt_byte_size(&plan->ios[i], &graph->dims[i], &size)) {
            BACKEND_TRY(trt_slot_reserve(slot, i, size));
        }
    }
    BACKEND_TRY(gather_inputs(slot, true));
    BACKEND_TRY(trt_graph_renew(slot, graph));
    for (uint32_t i = 0; i < plan->io_count; i++) {
        struct trt_memory *m = &slot->memory[i];
        if (!plan->ios[i].tensor.input) {
            m->placed = false;
            m->made = false;
            m->dims = graph->dims[i];
            m->address = m->gpu->data;
            if (batching(slot) && m->dims.count > 0) {
                m->dims.d[0] = (int64_t)slot->batch.rows;
            }
            (void)trt_byte_size(&plan->ios[i], &m->dims, &m->size);
        }
    }
    BACKEND_TRY(begin_compute(slot));
    BACKEND_TRY(backend_error(gpu_graph_launch(graph->graph, slot->instance->compute)));
    return end_compute(slot);
}

static TRITONSERVER_Error *work(struct trt_slot *slot)
{
    struct trt_instance *s = slot->instance;
    const struct model_config *config = &s->model->config;
    uint32_t chosen = 0;
    if (slot->batch.rows != 1 && slot->batch.rows > config->max_batch_size) {
        return backend_error_new(
            TRITONSERVER_ERROR_INTERNAL, "batch size %llu for '%s', max allowed is %u",
            (unsigned long long)slot->batch.rows, s->name, config->max_batch_size);
    }
    for (uint32_t i = 0; i < s->plan->io_count; i++) {
        if (s->plan->ios[i].tensor.input) {
            BACKEND_TRY(measure_input(slot, i));
        }
    }
    BACKEND_TRY(choose_context(slot, &chosen));
    struct trt_graph *graph = trt_graph_find(slot, chosen);
    BACKEND_TRY(graph != NULL ? run_graph(slot, graph) : run_plan(slot, &s->tuned[chosen]));
    return scatter_outputs(slot);
}

// ---- slots ----

static struct trt_slot *free_slot(struct trt_instance *s)
{
    for (uint32_t i = 0; i < TRT_SLOTS; i++) {
        if (!s->slots[i].busy) {
            return &s->slots[i]; // the first ones have memory already
        }
    }
    return NULL;
}

static struct trt_slot *wait_for_slot(struct trt_instance *s)
{
    pthread_mutex_lock(&s->mutex);
    struct trt_slot *slot = NULL;
    for (;;) {
        uint32_t limit = s->plan_ns != 0 && s->plan_ns < TRT_SHORT_NS ? 3 : 2;
        slot = s->on_gpu < limit ? free_slot(s) : NULL;
        if (slot != NULL) {
            break;
        }
        pthread_cond_wait(&s->freed_one, &s->mutex);
    }
    pthread_mutex_unlock(&s->mutex);
    return slot;
}

static void put_into_queue(struct trt_instance *s, struct trt_slot *slot)
{
    pthread_mutex_lock(&s->mutex);
    slot->busy = true;
    s->on_gpu++;
    s->queue[s->queue_count++] = slot;
    pthread_cond_signal(&s->queued_one);
    pthread_mutex_unlock(&s->mutex);
}

TRITONSERVER_Error *trt_execute(void *instance, TRITONBACKEND_Request **requests, uint32_t count)
{
    struct trt_instance *s = instance;
    struct trt_slot *slot = s->next;
    struct gpu_scope scope;
    BACKEND_TRY(backend_error(gpu_device_enter(s->device, &scope)));
    TRITONSERVER_Error *error =
        batch_begin(&slot->batch, requests, count, s->model->config.max_batch_size > 0);
    if (error != NULL) {
        gpu_device_leave(&scope);
        return error;
    }
    slot->computed = false;
    error = work(slot);
    if (error != NULL) {
        // What was queued before may still read the memory of requests.
        backend_log_error(backend_error(gpu_stream_sync(s->compute, 0)),
                          "failed to wait for a failed batch");
        batch_fail_all(&slot->batch, error);
        slot->computed = false;
    }
    put_into_queue(s, slot);
    // The next batch is made of what is queued when it can be staged, not before.
    s->next = wait_for_slot(s);
    gpu_device_leave(&scope);
    return NULL;
}
