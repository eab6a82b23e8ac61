// SPDX-License-Identifier: Apache-2.0
// Request: making, filling and giving back. What makes it fit for its model is in request_check.c.
//
// Slots of inputs keep their room (dimensions, buffer lists) when an input is removed, so that a client
// that fills one request again and again does not make its arena grow.
#include "core/request.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/gpus.h"
#include "core/model.h"
#include "core/response.h"
#include "core/retry.h"
#include "core/schedule/scheduler.h"
#include "core/server.h"
#include "core/stats.h"
#include "core/trace.h"

// With few inputs, comparing names beats hashing one.
#define LINEAR_LOOKUP_MAX 8
// Names are looked for among those there are, so a client must not give any number of them: so many more than the model has
// are taken, to be named in the error, and then no more.
#define SURPLUS_MAX 1024

struct nrd_status *request_error(const struct request *request, enum nrd_code code,
                                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct nrd_status *status = status_newv(code, format, args);
    va_end(args);
    return status_wrap(status, "[request id: %s] ",
                       request->id.len == 0 ? "<id_unknown>" : request->id.ptr);
}

// ---- life ---------------------------------------------------------------------------------------

struct request *request_create(struct model *model, int64_t requested_version)
{
    struct request *request = scheduler_get_request(model->scheduler);
    if (request == NULL) {
        return NULL;
    }
    request->model = model;
    request->requested_version = requested_version;
    request->priority = scheduler_default_priority(model->scheduler);
    return request;
}

// Everything but the memory that the pool keeps warm: the arena and an unshared factory.
static void forget(struct request *request)
{
    struct arena arena = request->arena;
    struct response_factory *factory = request->factory;
    arena_reset(&arena);
    memset(request, 0, offsetof(struct request, id_inline));
    request->arena = arena;
    request->factory = factory;
}

void request_destroy(struct request *request)
{
    if (request == NULL) {
        return;
    }
    struct model *model = request->model;
    response_factory_unref(request->factory);
    request->factory = NULL;
    forget(request);
    scheduler_put_request(model->scheduler, request);
    model_unref(model);
}

// ---- names and scalars --------------------------------------------------------------------------

struct nrd_status *request_set_id(struct request *request, const char *id)
{
    size_t length = id == NULL ? 0 : strlen(id);
    if (length < sizeof(request->id_inline)) {
        memcpy(request->id_inline, id == NULL ? "" : id, length);
        request->id_inline[length] = '\0';
        request->id = slice_make(request->id_inline, length);
        return NULL;
    }
    char *copy = arena_strdup(&request->arena, slice_make(id, length));
    if (copy == NULL) {
        return status_no_memory();
    }
    request->id = slice_make(copy, length);
    return NULL;
}

struct nrd_status *request_set_correlation_text(struct request *request, const char *id)
{
    size_t length = strlen(id);
    if (length > 128) {
        return status_new(NRD_UNSUPPORTED,
                          "string correlation ID cannot be longer than 128 characters");
    }
    memcpy(request->correlation_inline, id, length + 1);
    request->correlation_text = request->correlation_inline;
    request->correlation_id = 0;
    return NULL;
}

void request_set_priority(struct request *request, uint64_t priority)
{
    const struct scheduler *scheduler = request->model->scheduler;
    bool valid = priority != 0 && priority <= scheduler_priority_levels(scheduler);
    request->priority = valid ? priority : scheduler_default_priority(scheduler);
}

// ---- inputs -------------------------------------------------------------------------------------

static const struct model_io *find_io(const struct model *model, struct slice name, bool output)
{
    const struct model_io *ios = output ? model->outputs : model->inputs;
    uint32_t count = output ? model->output_count : model->input_count;
    if (count > LINEAR_LOOKUP_MAX) {
        return output ? model_output(model, name) : model_input(model, name);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (ios[i].name_len == name.len && memcmp(ios[i].name, name.ptr, name.len) == 0) {
            return &ios[i];
        }
    }
    return NULL;
}

static struct request_input *find_input(const struct request *request, struct slice name)
{
    for (uint32_t i = 0; i < request->input_count; i++) {
        struct request_input *input = &request->inputs[i];
        if (input->name_len == name.len && memcmp(input->name, name.ptr, name.len) == 0) {
            return input;
        }
    }
    return NULL;
}

struct request_input *request_find_input(const struct request *request, const char *name)
{
    return find_input(request, slice_of(name));
}

// Room for one more element in an array of the arena; false when memory is out.
static bool grow(struct arena *arena, void *array, uint32_t count, uint32_t *cap, size_t size,
                 uint32_t first_cap)
{
    if (count < *cap) {
        return true;
    }
    uint32_t cap_new = *cap == 0 ? first_cap : *cap * 2;
    void *old = *(void **)array;
    void *at = arena_grow(arena, old, *cap * size, cap_new * size);
    if (at == NULL) {
        return false;
    }
    *(void **)array = at;
    *cap = cap_new;
    return true;
}

static bool set_dims(struct arena *arena, struct dims *dims, const int64_t *from, uint64_t count)
{
    if (count > dims->cap || dims->at == NULL) {
        uint64_t cap = count < 6 ? 6 : count;
        int64_t *at = arena_alloc(arena, cap * sizeof(*at));
        if (at == NULL || cap > UINT32_MAX) {
            return false;
        }
        dims->at = at;
        dims->cap = (uint32_t)cap;
    }
    if (count > 0) {
        memcpy(dims->at, from, count * sizeof(*from));
    }
    dims->count = (uint32_t)count;
    return true;
}

// A fresh slot at the end, not counted yet; NULL when memory is out.
static struct request_input *new_slot(struct request *request)
{
    uint32_t first = request->model->input_count;
    if (!grow(&request->arena, &request->inputs, request->input_count, &request->input_cap,
              sizeof(*request->inputs), first == 0 ? 1 : first)) {
        return NULL;
    }
    struct request_input *slot = &request->inputs[request->input_count];
    if (request->input_count == request->input_used) {
        memset(slot, 0, sizeof(*slot));
        request->input_used++;
    }
    request_clear_data(slot);
    return slot;
}

static struct nrd_status *name_slot(struct request *request, struct request_input *slot,
                                    struct slice name)
{
    slot->io = find_io(request->model, name, false);
    slot->name = slot->io != NULL ? slot->io->name : arena_strdup(&request->arena, name);
    slot->name_len = (uint32_t)name.len;
    return slot->name == NULL ? status_no_memory() : NULL;
}

struct nrd_status *request_add_input(struct request *request, const char *name,
                                     TRITONSERVER_DataType datatype, const int64_t *shape,
                                     uint64_t dim_count)
{
    struct slice wanted = slice_of(name);
    if (find_input(request, wanted) != NULL) {
        return request_error(request, NRD_INVALID_ARG, "input '%s' already exists in request",
                             name);
    }
    if (request->input_count >= request->model->input_count + SURPLUS_MAX) {
        return request_error(request, NRD_INVALID_ARG,
                             "expected %u inputs but got more than %u inputs for model '%s'",
                             request->model->input_count, request->input_count,
                             request->model->name);
    }
    struct request_input *slot = new_slot(request);
    if (slot == NULL || !set_dims(&request->arena, &slot->original, shape, dim_count)) {
        return status_no_memory();
    }
    NRD_TRY(name_slot(request, slot, wanted));
    slot->datatype = datatype;
    slot->full = slot->original.at;
    slot->full_count = slot->original.count;
    request->input_count++;
    request->normalized = false;
    return NULL;
}

struct nrd_status *request_add_raw_input(struct request *request, const char *name)
{
    if (request->input_count != 0) {
        return request_error(request, NRD_INVALID_ARG,
                             "raw input '%s' can't be added to request with other inputs", name);
    }
    NRD_TRY(request_add_input(request, name, TRITONSERVER_TYPE_INVALID, NULL, 0));
    request->raw = true;
    return NULL;
}

struct nrd_status *request_remove_input(struct request *request, const char *name)
{
    struct request_input *input = request_find_input(request, name);
    if (input == NULL) {
        return request_error(request, NRD_INVALID_ARG, "input '%s' does not exist in request",
                             name);
    }
    // The slot goes behind the others, with its room.
    struct request_input removed = *input;
    size_t after = (size_t)(&request->inputs[request->input_count] - input) - 1;
    memmove(input, input + 1, after * sizeof(*input));
    request->input_count--;
    request->inputs[request->input_count] = removed;
    request->raw = request->raw && request->input_count > 0;
    request->normalized = false;
    return NULL;
}

void request_remove_inputs(struct request *request)
{
    request->input_count = 0;
    request->raw = false;
    request->normalized = false;
}

// ---- data ---------------------------------------------------------------------------------------

void request_clear_data(struct request_input *input)
{
    input->data.count = 0;
    input->data.byte_size = 0;
    input->policies = NULL;
    input->ready_event = NULL;
    input->event_taken = false;
}

// The data that is for `policy` alone, made if it is not there; NULL when memory is out.
static struct request_data *policy_slot(struct request *request, struct request_input *input,
                                        const char *policy)
{
    for (struct policy_data *p = input->policies; p != NULL; p = p->next) {
        if (strcmp(p->policy, policy) == 0) {
            return &p->data;
        }
    }
    struct policy_data *made = arena_calloc(&request->arena, 1, sizeof(*made));
    char *name = arena_strdup(&request->arena, slice_of(policy));
    if (made == NULL || name == NULL) {
        return NULL;
    }
    made->policy = name;
    made->next = input->policies;
    input->policies = made;
    return &made->data;
}

struct nrd_status *request_append(struct request *request, struct request_input *input,
                                  const char *host_policy, const void *base,
                                  const struct buffer_attributes *attributes)
{
    struct request_data *data =
        host_policy == NULL ? &input->data : policy_slot(request, input, host_policy);
    if (data == NULL) {
        return status_no_memory();
    }
    if (attributes->byte_size == 0) {
        return NULL;
    }
    if (!grow(&request->arena, &data->buffers, data->count, &data->cap, sizeof(*data->buffers),
              1)) {
        return status_no_memory();
    }
    data->buffers[data->count++] = (struct request_buffer){base, *attributes};
    data->byte_size += attributes->byte_size;
    request->normalized = false;
    return NULL;
}

const struct request_data *request_data_for(const struct request_input *input,
                                            const char *host_policy)
{
    for (const struct policy_data *p = input->policies; p != NULL && host_policy != NULL;
         p = p->next) {
        if (strcmp(p->policy, host_policy) == 0) {
            return &p->data;
        }
    }
    return &input->data;
}

// ---- outputs and parameters ---------------------------------------------------------------------

// Where `name` is among the asked outputs, or would be.
static uint32_t output_place(const struct request *request, const char *name, bool *found)
{
    uint32_t at = 0;
    int order = 1;
    while (at < request->asked_count && (order = strcmp(request->asked[at], name)) < 0) {
        at++;
    }
    *found = at < request->asked_count && order == 0;
    return at;
}

struct nrd_status *request_add_output(struct request *request, const char *name)
{
    bool found = false;
    uint32_t at = output_place(request, name, &found);
    if (found) {
        return request_error(request, NRD_INVALID_ARG, "output '%s' already exists in request",
                             name);
    }
    uint32_t first = request->model->output_count;
    if (request->asked_count >= first + SURPLUS_MAX) {
        return request_error(request, NRD_INVALID_ARG,
                             "more than %u outputs are asked for, model '%s' has %u",
                             request->asked_count, request->model->name, first);
    }
    if (!grow(&request->arena, &request->asked, request->asked_count, &request->asked_cap,
              sizeof(*request->asked), first == 0 ? 1 : first)) {
        return status_no_memory();
    }
    // The configuration's own text, where it has one: it lives as long as the model.
    const struct model_io *io = find_io(request->model, slice_of(name), true);
    const char *text = io != NULL ? io->name : arena_strdup(&request->arena, slice_of(name));
    if (text == NULL) {
        return status_no_memory();
    }
    memmove(request->asked + at + 1, request->asked + at,
            (request->asked_count - at) * sizeof(*request->asked));
    request->asked[at] = text;
    request->asked_count++;
    request->asked_unknown = request->asked_unknown || io == NULL;
    request->normalized = false;
    return NULL;
}

void request_remove_output(struct request *request, const char *name)
{
    bool found = false;
    uint32_t at = output_place(request, name, &found);
    if (found) {
        request->asked_count--;
        memmove(request->asked + at, request->asked + at + 1,
                (request->asked_count - at) * sizeof(*request->asked));
    }
    request->normalized = false;
}

void request_remove_outputs(struct request *request)
{
    request->asked_count = 0;
    request->asked_unknown = false;
    request->normalized = false;
}

struct nrd_status *parameter_list_add(struct parameter_list *list, struct arena *arena,
                                      const struct request_parameter *parameter)
{
    struct request_parameter copy = *parameter;
    copy.name = arena_strdup(arena, slice_of(parameter->name));
    bool text = parameter->type == TRITONSERVER_PARAMETER_STRING;
    if (text) {
        copy.value.string = arena_strdup(arena, slice_of(parameter->value.string));
    }
    if (copy.name == NULL || (text && copy.value.string == NULL) ||
        !grow(arena, &list->items, list->count, &list->cap, sizeof(*list->items), 4)) {
        return status_no_memory();
    }
    list->items[list->count++] = copy;
    return NULL;
}

// ---- the way through ----------------------------------------------------------------------------

bool request_is_cancelled(const struct request *request)
{
    return request->factory != NULL &&
           atomic_load_explicit(&request->factory->cancelled, memory_order_relaxed);
}

static struct nrd_status *prepare(struct request *request)
{
    if (request->state == REQUEST_STATE_PENDING || request->state == REQUEST_STATE_EXECUTING) {
        return request_error(request, NRD_INVALID_ARG,
                             "the request is in flight and can't be given again");
    }
    if (request->response_fn == NULL || request->release_fn == NULL || request->allocator == NULL) {
        return request_error(request, NRD_INVALID_ARG,
                             "the request has no response callback, allocator or release callback");
    }
    NRD_TRY(response_factory_renew(request));
    if (!request->normalized) {
        NRD_TRY(request_normalize(request));
        request->normalized = true;
    }
    if (gpus_lost(request->model->server->gpus) != 0) {
        NRD_TRY(retry_check_inputs(request));
    }
    request->retried = false;
    request->state = REQUEST_STATE_INITIALIZED;
    return NULL;
}

// `refusal` is the server's, taken; NULL: it accepts.
static struct nrd_status *enqueue(struct request *request, struct trace *trace,
                                  struct nrd_status *refusal)
{
    request->trace = trace;
    struct nrd_status *status = refusal;
    if (status == NULL) {
        struct model *model = request->model;
        uint64_t now = clock_now_ns();
        request->start_ns = now;
        request->queue_ns = now;
        request->factory->start_ns = now;
        if (trace != NULL) {
            trace_begin(trace, request);
        }
        request->state = REQUEST_STATE_PENDING;
        atomic_fetch_add_explicit(&model->inflight, 1, memory_order_relaxed);
        status = scheduler_enqueue(model, request);
        if (status == NULL) {
            return NULL; // the request may be gone already
        }
        atomic_fetch_sub_explicit(&model->inflight, 1, memory_order_release);
        request->state = REQUEST_STATE_FAILED;
    }
    request->trace = NULL;
    trace_release(trace);
    return status;
}

struct nrd_status *infer_async(struct server *server, struct request *request, struct trace *trace)
{
    NRD_TRY(prepare(request));
    return enqueue(request, trace, server_accepts(server));
}

struct nrd_status *infer_enqueue(struct request *request, struct trace *trace)
{
    NRD_TRY(prepare(request));
    return enqueue(request, trace, NULL);
}

struct nrd_status *request_release(struct request *request, uint32_t flags)
{
    if ((flags & TRITONSERVER_REQUEST_RELEASE_RESCHEDULE) != 0) {
        return status_new(NRD_INVALID_ARG,
                          "Request is released with TRITONSERVER_REQUEST_RELEASE_RESCHEDULE, while "
                          "the model is not configured to handle such a flag.");
    }
    if (retry_again(request)) {
        return NULL;
    }
    if (request->flight != NULL) {
        scheduler_land(request);
    }
    if (request->trace != NULL) {
        trace_report(request->trace, clock_now_ns(), TRITONSERVER_TRACE_REQUEST_END);
        trace_release(request->trace);
        request->trace = NULL;
    }
    request->state = REQUEST_STATE_RELEASED;
    if (!request->warm_up) {
        // Release: whoever sees zero sees all that this request did.
        atomic_fetch_sub_explicit(&request->model->inflight, 1, memory_order_release);
    }
    request->release_fn((TRITONSERVER_InferenceRequest *)request, flags, request->release_userp);
    return NULL;
}

void request_respond_error(struct request *request, const struct nrd_status *status,
                           enum fail_reason reason)
{
    struct response *response = response_create(request->factory);
    if (response != NULL) {
        response->status = status_copy(status);
        response_send(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL);
    } else {
        LOG_ERR("[request id: %s] failed to create error response: out of memory",
                request->id.len == 0 ? "<id_unknown>" : request->id.ptr);
        status_free(
            response_factory_send_flags(request->factory, TRITONSERVER_RESPONSE_COMPLETE_FINAL));
    }
    stats_count_failure(request->model->stats, reason, clock_now_ns() - request->start_ns);
}
