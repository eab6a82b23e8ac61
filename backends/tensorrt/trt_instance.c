// SPDX-License-Identifier: Apache-2.0
// Instances: contexts, slots, and the thread that waits for the GPU and answers. See trt_instance.h.
#include "backends/tensorrt/trt_instance.h"

#include "base/clock.h"
#include "base/mem.h"

TRITONSERVER_Error *trt_failure(const struct trt_instance *s, const char *what,
                                const struct trt_why *why)
{
    return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "%s for %s: %s", what, s->name,
                             why->text);
}

// ---- memory ----

TRITONSERVER_Error *trt_slot_reserve(struct trt_slot *slot, uint32_t tensor, uint64_t size)
{
    struct trt_memory *m = &slot->memory[tensor];
    uint64_t room = (size + TRT_ALIGNMENT) & ~(uint64_t)(TRT_ALIGNMENT - 1);
    if (m->gpu != NULL && m->gpu->size >= size) {
        return NULL;
    }
    // The slot is free, so nothing uses the memory any more.
    buffer_unref(m->gpu);
    m->gpu = NULL;
    slot->generation++;
    TRITONSERVER_Error *error =
        backend_error(gpu_direct_get(slot->instance->device, room, &m->gpu));
    if (error != NULL) {
        const struct trt_io *io = &slot->instance->plan->ios[tensor];
        TRITONSERVER_Error *named = backend_error_new(
            TRITONSERVER_ERROR_INTERNAL, "unable to allocate memory for %s '%s' for %s: %s",
            io->tensor.input ? "input" : "output", io->tensor.name, slot->instance->name,
            TRITONSERVER_ErrorMessage(error));
        TRITONSERVER_ErrorDelete(error);
        return named;
    }
    return NULL;
}

bool trt_byte_size(const struct trt_io *io, const struct trt_dims *dims, uint64_t *size)
{
    int64_t elements = 0;
    if (dims->count < 0 || !model_shape_elements(dims->d, (size_t)dims->count, &elements)) {
        return false;
    }
    *size = (uint64_t)elements * io->element;
    return true;
}

// ---- the thread that answers ----

// The times of the plan alone, on the host's clock: what came after it has just ended.
static void set_times(struct trt_slot *slot)
{
    double plan_ms = 0;
    double rest_ms = 0;
    struct nrd_status *status = gpu_event_elapsed(slot->begin, slot->done, &plan_ms);
    if (status == NULL) {
        status = gpu_event_elapsed(slot->done, slot->copied, &rest_ms);
    }
    if (status != NULL) {
        status_free(status); // the batch's own error says more
        return;
    }
    uint64_t now = clock_now_ns();
    uint64_t end = now - (uint64_t)(rest_ms * 1e6);
    uint64_t begin = end - (uint64_t)(plan_ms * 1e6);
    uint64_t least = slot->batch.exec_start_ns;
    slot->batch.compute_start_ns = begin > least && begin <= now ? begin : least;
    slot->batch.compute_end_ns =
        end > slot->batch.compute_start_ns ? end : slot->batch.compute_start_ns;
}

// The GPU has done all that the batch queued: another one may come while this one is answered.
static void leave_gpu(struct trt_instance *s, const struct trt_slot *slot)
{
    const struct batch *b = &slot->batch;
    pthread_mutex_lock(&s->mutex);
    s->on_gpu--;
    if (slot->computed && b->compute_end_ns > b->compute_start_ns) {
        s->plan_ns = b->compute_end_ns - b->compute_start_ns;
    }
    pthread_cond_signal(&s->freed_one);
    pthread_mutex_unlock(&s->mutex);
}

static void finish(struct trt_instance *s, struct trt_slot *slot)
{
    TRITONSERVER_Error *error = gpu_io_end(slot->io);
    if (error == NULL && slot->computed) {
        set_times(slot);
    }
    leave_gpu(s, slot);
    if (error != NULL) {
        batch_fail_all(&slot->batch, error);
    }
    batch_end(&slot->batch);
}

static void answer(void *arg)
{
    struct trt_instance *s = arg;
    pthread_mutex_lock(&s->mutex);
    for (;;) {
        while (s->queue_count == 0 && !s->stop) {
            pthread_cond_wait(&s->queued_one, &s->mutex);
        }
        if (s->queue_count == 0) {
            break;
        }
        struct trt_slot *slot = s->queue[0];
        pthread_mutex_unlock(&s->mutex);
        finish(s, slot);
        pthread_mutex_lock(&s->mutex);
        s->queue_count--;
        for (uint32_t i = 0; i < s->queue_count; i++) {
            s->queue[i] = s->queue[i + 1];
        }
        slot->busy = false;
        pthread_cond_signal(&s->freed_one);
    }
    pthread_mutex_unlock(&s->mutex);
}

// ---- making ----

static TRITONSERVER_Error *make_events(struct trt_slot *slot)
{
    struct gpu_device *device = gpu_io_device(slot->io);
    BACKEND_TRY(backend_error(gpu_event_get(device, &slot->ready)));
    BACKEND_TRY(backend_error(gpu_event_get_timed(device, &slot->begin)));
    BACKEND_TRY(backend_error(gpu_event_get_timed(device, &slot->done)));
    return backend_error(gpu_event_get_timed(device, &slot->copied));
}

static TRITONSERVER_Error *make_slot(struct trt_instance *s, struct trt_slot *slot)
{
    slot->instance = s;
    batch_init(&slot->batch, s->handle);
    slot->memory = mem_calloc((size_t)s->plan->io_count + 1, sizeof(*slot->memory));
    slot->wishes = mem_calloc((size_t)s->plan->io_count + 1, sizeof(*slot->wishes));
    if (slot->memory == NULL || slot->wishes == NULL) {
        return backend_no_memory();
    }
    BACKEND_TRY(gpu_io_create(s->handle, s->plan->gpu, &slot->io));
    slot->batch.gpu_io = slot->io;
    return make_events(slot);
}

static void destroy_slot(struct trt_slot *slot)
{
    trt_graph_fini(slot);
    gpu_event_unref(slot->ready);
    gpu_event_unref(slot->begin);
    gpu_event_unref(slot->done);
    gpu_event_unref(slot->copied);
    for (uint32_t i = 0; slot->memory != NULL && i < slot->instance->plan->io_count; i++) {
        buffer_unref(slot->memory[i].gpu);
        scratch_fini(&slot->memory[i].host);
    }
    mem_free(slot->memory);
    mem_free(slot->wishes);
    batch_fini(&slot->batch);
    gpu_io_destroy(slot->io);
}

static TRITONSERVER_Error *make_context(struct trt_instance *s, const char *name, int index)
{
    const struct trt_shim *shim = s->model->backend->library.shim;
    struct trt_tuned *t = &s->tuned[s->tuned_count];
    struct trt_why why = {.text = ""};
    for (uint32_t i = 0; i < s->tuned_count; i++) {
        if (s->tuned[i].ranges.index == index) {
            BACKEND_LOG(WARN,
                        "%s maps to profile index %d which has been mapped by %s, existing "
                        "optimization profile will be reused",
                        name, index, s->tuned[i].ranges.name);
            return NULL;
        }
    }
    BACKEND_TRY(trt_profile_init(&t->ranges, s->model, s->plan, name, index));
    s->tuned_count++;
    pthread_mutex_lock(&s->model->backend->mutex);
    bool made =
        shim->context_create(s->plan->engine, s->model->on_profile_change, &t->context, &why);
    pthread_mutex_unlock(&s->model->backend->mutex);
    if (!made) {
        return trt_failure(s, "unable to create TensorRT context", &why);
    }
    return shim->context_profile(t->context, index, gpu_stream_handle(s->compute), &why)
               ? NULL
               : trt_failure(s, "Can not set the specified optimization profile", &why);
}

static TRITONSERVER_Error *make_contexts(struct trt_instance *s)
{
    uint32_t count = 0;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceProfileCount(s->handle, &count));
    s->tuned = mem_calloc((size_t)count + 1, sizeof(*s->tuned));
    if (s->tuned == NULL) {
        return backend_no_memory();
    }
    for (uint32_t i = 0; i < count; i++) {
        const char *name = NULL;
        int index = 0;
        BACKEND_TRY(TRITONBACKEND_ModelInstanceProfileName(s->handle, i, &name));
        BACKEND_TRY(trt_profile_index(name, &index));
        BACKEND_TRY(make_context(s, name, index));
    }
    BACKEND_TRY(count == 0 ? make_context(s, "default", 0) : NULL);
    return backend_error(gpu_stream_sync(s->compute, 0));
}

static TRITONSERVER_Error *refuse_secondary(const struct trt_instance *s)
{
    uint32_t count = 0;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceSecondaryDeviceCount(s->handle, &count));
    return count == 0 ? NULL
                      : backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                          "%s asks for a secondary device (NVDLA), which is not "
                                          "supported by this build of the tensorrt backend",
                                          s->name);
}

static TRITONSERVER_Error *fill(struct trt_instance *s, int gpu)
{
    struct gpu_scope scope;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceName(s->handle, &s->name));
    BACKEND_TRY(refuse_secondary(s));
    BACKEND_TRY(trt_plan_acquire(s->model, gpu, s->name, &s->plan));
    s->device = s->plan->device;
    BACKEND_TRY(backend_error(
        gpu_stream_create(s->device, (enum gpu_priority)s->model->priority, &s->compute)));
    BACKEND_TRY(backend_error(gpu_device_enter(s->device, &scope)));
    TRITONSERVER_Error *error = make_contexts(s);
    for (uint32_t i = 0; i < TRT_SLOTS && error == NULL; i++) {
        error = make_slot(s, &s->slots[i]);
    }
    if (error == NULL) {
        error = trt_graph_warm(s);
    }
    gpu_device_leave(&scope);
    BACKEND_TRY(error);
    s->next = &s->slots[0];
    return backend_error(thread_start(&s->thread, "trt answers", 0, answer, s));
}

static TRITONSERVER_Error *init(void *instance, TRITONBACKEND_ModelInstance *handle, void *model,
                                TRITONSERVER_InstanceGroupKind kind, int32_t gpu)
{
    struct trt_instance *s = instance;
    s->model = model;
    s->handle = handle;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->queued_one, NULL);
    pthread_cond_init(&s->freed_one, NULL);
    if (kind != TRITONSERVER_INSTANCEGROUPKIND_GPU) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unable to load model '%s', TensorRT backend supports only GPU "
                                 "device",
                                 s->model->config.name);
    }
    return fill(s, gpu);
}

static void destroy_contexts(struct trt_instance *s)
{
    const struct trt_shim *shim = s->model->backend->library.shim;
    struct gpu_scope scope;
    bool entered = gpu_device_enter_release(s->device, &scope);
    for (uint32_t i = 0; i < s->tuned_count; i++) {
        if (entered) {
            shim->context_destroy(s->tuned[i].context);
        }
        trt_profile_fini(&s->tuned[i].ranges);
    }
    if (entered) {
        gpu_device_leave(&scope);
    }
}

static void fini(void *instance)
{
    struct trt_instance *s = instance;
    pthread_mutex_lock(&s->mutex);
    s->stop = true; // after what is queued
    pthread_cond_signal(&s->queued_one);
    pthread_mutex_unlock(&s->mutex);
    thread_join(&s->thread);
    for (uint32_t i = 0; i < TRT_SLOTS; i++) {
        if (s->slots[i].instance != NULL) {
            destroy_slot(&s->slots[i]);
        }
    }
    if (s->plan != NULL) {
        destroy_contexts(s);
        gpu_stream_destroy(s->compute);
        trt_plan_release(s->model, s->plan);
    }
    mem_free(s->tuned);
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->queued_one);
    pthread_cond_destroy(&s->freed_one);
}

const struct instance_table trt_instances = {
    .size = sizeof(struct trt_instance), .init = init, .fini = fini, .execute = trt_execute};
