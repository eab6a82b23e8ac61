// SPDX-License-Identifier: Apache-2.0
// Response: factories, outputs, sending.
#include "core/response.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/model.h"
#include "core/retry.h"
#include "core/schedule/ordering.h"
#include "core/schedule/scheduler.h"
#include "core/stats.h"

// ---- factories ----------------------------------------------------------------------------------

static struct nrd_status *copy_id(struct response_factory *factory, struct slice id)
{
    char *to = factory->id_inline;
    if (id.len >= sizeof(factory->id_inline)) {
        factory->id_long = mem_alloc(id.len + 1);
        to = factory->id_long;
        if (to == NULL) {
            return status_no_memory();
        }
    }
    if (id.len > 0) {
        memcpy(to, id.ptr, id.len);
    }
    to[id.len] = '\0';
    factory->id = slice_make(to, id.len);
    return NULL;
}

struct nrd_status *response_factory_renew(struct request *request)
{
    struct response_factory *factory = request->factory;
    // Acquire: what others did before they let go of it is over.
    if (factory != NULL && atomic_load_explicit(&factory->refs, memory_order_acquire) != 1) {
        response_factory_unref(factory);
        request->factory = NULL;
        factory = NULL;
    }
    if (factory == NULL) {
        factory = scheduler_get_factory(request->model->scheduler);
        if (factory == NULL) {
            return status_no_memory();
        }
        atomic_store_explicit(&factory->refs, 1, memory_order_relaxed);
        factory->model = model_ref(request->model);
        factory->id_long = NULL;
        request->factory = factory;
    }
    atomic_store_explicit(&factory->cancelled, false, memory_order_relaxed);
    atomic_store_explicit(&factory->next_index, 0, memory_order_relaxed);
    atomic_store_explicit(&factory->sent, 0, memory_order_relaxed);
    atomic_store_explicit(&factory->retry, RETRY_OFF, memory_order_relaxed);
    factory->allocator = request->allocator;
    factory->allocator_userp = request->allocator_userp;
    factory->response_fn = request->response_fn;
    factory->response_userp = request->response_userp;
    factory->ordering = NULL;
    factory->early = NULL;
    factory->early_last = NULL;
    factory->finished = false;
    mem_free(factory->id_long);
    factory->id_long = NULL;
    return copy_id(factory, request->id);
}

struct response_factory *response_factory_ref(struct response_factory *factory)
{
    atomic_fetch_add_explicit(&factory->refs, 1, memory_order_relaxed);
    return factory;
}

void response_factory_unref(struct response_factory *factory)
{
    // Release what this holder did; the last one acquires what all did.
    if (factory == NULL ||
        atomic_fetch_sub_explicit(&factory->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    struct model *model = factory->model;
    mem_free(factory->id_long);
    factory->id_long = NULL;
    factory->model = NULL;
    scheduler_put_factory(model->scheduler, factory);
    model_unref(model);
}

// ---- responses ----------------------------------------------------------------------------------

struct response *response_create(struct response_factory *factory)
{
    struct response *response = scheduler_get_response(factory->model->scheduler);
    if (response == NULL) {
        return NULL;
    }
    response->factory = response_factory_ref(factory);
    const struct response_allocator *allocator = factory->allocator;
    if (allocator->start != NULL) {
        struct nrd_status *status = (struct nrd_status *)allocator->start(
            (TRITONSERVER_ResponseAllocator *)(uintptr_t)allocator, factory->allocator_userp);
        if (status != NULL) {
            LOG_ERR("response allocation start failed: %s", status_text(status));
            status_free(status);
        }
    }
    return response;
}

static void release_buffer(struct response_output *output)
{
    const struct response_factory *factory = output->response->factory;
    if (output->buffer == NULL) {
        return;
    }
    struct nrd_status *status = (struct nrd_status *)factory->allocator->release(
        (TRITONSERVER_ResponseAllocator *)(uintptr_t)factory->allocator, output->buffer,
        output->buffer_userp, output->attributes.byte_size, output->attributes.memory_type,
        output->attributes.memory_type_id);
    if (status != NULL) {
        LOG_ERR("failed to release buffer for output '%s': %s", output->name, status_text(status));
        status_free(status);
    }
}

void response_destroy(struct response *response)
{
    if (response == NULL) {
        return;
    }
    for (struct response_output *o = response->outputs; o != NULL; o = o->next) {
        release_buffer(o);
    }
    struct response_factory *factory = response->factory;
    struct arena arena = response->arena;
    status_free(response->status);
    arena_reset(&arena);
    *response = (struct response){.arena = arena};
    scheduler_put_response(factory->model->scheduler, response);
    response_factory_unref(factory);
}

// ---- outputs ------------------------------------------------------------------------------------

static const struct model_io *find_output(const struct model *model, struct slice name)
{
    for (uint32_t i = 0; i < model->output_count && i < 8; i++) {
        const struct model_io *io = &model->outputs[i];
        if (io->name_len == name.len && memcmp(io->name, name.ptr, name.len) == 0) {
            return io;
        }
    }
    return model->output_count <= 8 ? NULL : model_output(model, name);
}

// The shape that the client is to see: the configured dims where the model works on a reshape of them, the variable ones
// taken in turn from what the model made.
static void undo_reshape(struct response_output *output, const struct model_io *io, bool batched)
{
    uint32_t offset = batched && output->dim_count > 0 ? 1 : 0;
    int64_t *made = output->shape + offset;
    uint32_t made_count = output->dim_count - offset;
    int64_t variable[32];
    uint32_t variable_count = 0;
    for (uint32_t i = 0; i < io->reshape_count && i < made_count && variable_count < 32; i++) {
        if (io->reshape[i] == -1) {
            variable[variable_count++] = made[i];
        }
    }
    uint32_t used = 0;
    for (uint32_t i = 0; i < io->dim_count; i++) {
        int64_t dim = io->dims[i];
        if (dim == -1) {
            dim = used < variable_count ? variable[used] : 0;
            used++;
        }
        made[i] = dim;
    }
    output->dim_count = io->dim_count + offset;
}

struct nrd_status *response_add_output(struct response *response, const char *name,
                                       TRITONSERVER_DataType datatype, const int64_t *shape,
                                       uint32_t dim_count, struct response_output **output)
{
    const struct model *model = response->factory->model;
    const struct model_io *io = find_output(model, slice_of(name));
    if (io == NULL) {
        return status_new(NRD_INVALID_ARG, "unexpected inference output '%s' for model '%s'", name,
                          model->name);
    }
    // Room for the shape before and after the reshape.
    uint32_t room = dim_count > io->dim_count + 1 ? dim_count : io->dim_count + 1;
    struct response_output *made =
        arena_alloc(&response->arena, sizeof(*made) + room * sizeof(*made->shape));
    if (made == NULL) {
        return status_no_memory();
    }
    *made = (struct response_output){.response = response,
                                     .name = io->name,
                                     .datatype = datatype,
                                     .io = io,
                                     .shape = (int64_t *)(void *)(made + 1),
                                     .dim_count = dim_count};
    if (dim_count > 0) {
        memcpy(made->shape, shape, dim_count * sizeof(*shape));
    }
    if (io->has_reshape) {
        undo_reshape(made, io, model->max_batch_size > 0);
    }
    if (response->last == NULL) {
        response->outputs = made;
    } else {
        response->last->next = made;
    }
    response->last = made;
    response->output_count++;
    *output = made;
    return NULL;
}

TRITONSERVER_Error *response_output_buffer(struct response_output *output, uint64_t byte_size,
                                           void **buffer, TRITONSERVER_MemoryType *memory_type,
                                           int64_t *memory_type_id)
{
    *buffer = NULL;
    if (output->buffer != NULL) {
        return (TRITONSERVER_Error *)status_new(
            NRD_ALREADY_EXISTS, "allocated buffer for output '%s' already exists", output->name);
    }
    const struct response_factory *factory = output->response->factory;
    TRITONSERVER_ResponseAllocator *allocator =
        (TRITONSERVER_ResponseAllocator *)(uintptr_t)factory->allocator;
    TRITONSERVER_MemoryType actual_type = *memory_type;
    int64_t actual_id = *memory_type_id;
    void *at = NULL;
    void *userp = NULL;
    TRITONSERVER_Error *error =
        factory->allocator->alloc(allocator, output->name, byte_size, *memory_type, *memory_type_id,
                                  factory->allocator_userp, &at, &userp, &actual_type, &actual_id);
    if (error != NULL) {
        return error;
    }
    if (at == NULL && byte_size > 0) {
        return (TRITONSERVER_Error *)status_new(
            NRD_INTERNAL, "the response allocator gave no buffer for output '%s'", output->name);
    }
    // From here on the buffer is given back with the response, whatever happens.
    output->buffer = at;
    output->buffer_userp = userp;
    output->attributes = (struct buffer_attributes){
        .byte_size = byte_size, .memory_type = actual_type, .memory_type_id = actual_id};
    if (factory->allocator->buffer_attributes != NULL) {
        struct buffer_attributes *attributes = &output->attributes;
        error = factory->allocator->buffer_attributes(allocator, output->name,
                                                      (TRITONSERVER_BufferAttributes *)attributes,
                                                      factory->allocator_userp, userp);
        attributes->byte_size = byte_size;
        attributes->memory_type = actual_type;
        attributes->memory_type_id = actual_id;
        if (error != NULL) {
            return error;
        }
    }
    *buffer = at;
    *memory_type = actual_type;
    *memory_type_id = actual_id;
    return NULL;
}

struct response_output *response_output_at(const struct response *response, uint32_t index)
{
    struct response_output *output = response->outputs;
    while (output != NULL && index > 0) {
        output = output->next;
        index--;
    }
    return output;
}

// ---- sending ------------------------------------------------------------------------------------

// Calls the client. The response is the client's from here on.
static void deliver(struct response *response)
{
    struct response_factory *factory = response->factory;
    TRITONSERVER_InferenceResponseCompleteFn_t fn = factory->response_fn;
    void *userp = factory->response_userp;
    uint32_t flags = response->send_flags;
    if (response->flags_only) {
        response_destroy(response);
        response = NULL;
    }
    fn((TRITONSERVER_InferenceResponse *)response, flags, userp);
}

void response_send(struct response *response, uint32_t flags)
{
    struct response_factory *factory = response->factory;
    struct model_stats *stats = factory->model->stats;
    if (response->status != NULL && retry_holds(response, flags)) {
        return;
    }
    retry_forget(factory);
    response->send_flags = flags;
    if (!response->flags_only && stats_wants_first_response(stats) &&
        atomic_fetch_add_explicit(&factory->sent, 1, memory_order_relaxed) == 0) {
        stats_count_first_response(stats, clock_now_ns() - factory->start_ns);
    }
    if (factory->ordering != NULL) {
        ordering_send(factory->ordering, response);
    } else {
        deliver(response);
    }
}

struct nrd_status *response_factory_send_flags(struct response_factory *factory, uint32_t flags)
{
    retry_forget(factory);
    if (factory->ordering == NULL) {
        factory->response_fn(NULL, flags, factory->response_userp);
        return NULL;
    }
    struct response *response = scheduler_get_response(factory->model->scheduler);
    if (response == NULL) {
        return status_no_memory();
    }
    response->factory = response_factory_ref(factory);
    response->flags_only = true;
    response_send(response, flags);
    return NULL;
}

// ---- ordering -----------------------------------------------------------------------------------

struct nrd_status *ordering_init(struct ordering *ordering)
{
    list_init(&ordering->factories);
    ordering->sending = false;
    return pthread_mutex_init(&ordering->mutex, NULL) == 0 ? NULL : status_no_memory();
}

void ordering_fini(struct ordering *ordering)
{
    pthread_mutex_destroy(&ordering->mutex);
}

void ordering_enter(struct ordering *ordering, struct response_factory *factory)
{
    response_factory_ref(factory);
    factory->ordering = ordering;
    pthread_mutex_lock(&ordering->mutex);
    list_push_back(&ordering->factories, &factory->order_node);
    pthread_mutex_unlock(&ordering->mutex);
}

// Takes the next response that may go out; the factory that is done with it is handed back to be let go.
static struct response *next_out(struct ordering *ordering, struct response_factory **done)
{
    *done = NULL;
    if (list_empty(&ordering->factories)) {
        return NULL;
    }
    struct response_factory *first =
        CONTAINER_OF(ordering->factories.next, struct response_factory, order_node);
    struct response *response = first->early;
    if (response != NULL) {
        first->early = response->next;
        response->next = NULL;
        if (first->early == NULL) {
            first->early_last = NULL;
            if (first->finished) {
                list_remove(&first->order_node);
                *done = first;
            }
        }
    }
    return response;
}

void ordering_send(struct ordering *ordering, struct response *response)
{
    struct response_factory *factory = response->factory;
    // Its destruction must not end the ordering while this thread still looks at it.
    struct model *model = model_ref(factory->model);
    pthread_mutex_lock(&ordering->mutex);
    if (factory->early_last == NULL) {
        factory->early = response;
    } else {
        factory->early_last->next = response;
    }
    factory->early_last = response;
    if ((response->send_flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL) != 0) {
        factory->finished = true;
    }
    bool mine = !ordering->sending;
    ordering->sending = true;
    while (mine) {
        struct response_factory *done;
        struct response *out = next_out(ordering, &done);
        if (out == NULL) {
            ordering->sending = false;
            break;
        }
        pthread_mutex_unlock(&ordering->mutex);
        deliver(out);
        response_factory_unref(done);
        pthread_mutex_lock(&ordering->mutex);
    }
    pthread_mutex_unlock(&ordering->mutex);
    model_unref(model);
}
