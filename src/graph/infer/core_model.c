// SPDX-License-Identifier: Apache-2.0
// A model of the core in this process, by TRITONSERVER_* alone: no socket and no copy. Inputs are borrowed where the tensors lie,
// outputs are computed into tensors of the operator's allocator. A call keeps its request and fills it again. Where the core
// is ours, a call that nobody else waits for runs on the caller's thread (nereid_uncork_here).
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/number.h"
#include "graph/infer/core_host.h"
#include "graph/infer/infer.h"
#include "graph/streams.h"
#include "nereid/ext/core.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

struct core_model {
    struct infer_model base;
    struct core_host *host;
    TRITONSERVER_ResponseAllocator *allocator;
};

struct core_call {
    TRITONSERVER_InferenceRequest *request;
    // What the request's inputs were stated with: the same shapes again cost no statement.
    struct infer_spec stated[INFER_TENSORS_MAX];
    bool has_inputs;
    // The answer, and the request's own return: whichever comes last finishes the call.
    _Atomic unsigned awaited;
    struct nrd_status *status;
};

// The extension, if the core has it.
static struct {
    pthread_once_t once;
    nereid_cork_fn cork;
    nereid_cork_fn uncork_here;
    nereid_request_input_after_fn input_after;
    nereid_request_take_event_fn take_event;
    nereid_response_event_fn response_event;
} extension = {.once = PTHREAD_ONCE_INIT};

static void find_extension(void)
{
    // By way of an integer: ISO C has no cast from an object pointer to a function.
    extension.cork = (nereid_cork_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_cork");
    extension.uncork_here = (nereid_cork_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_uncork_here");
    extension.input_after =
        (nereid_request_input_after_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_request_input_after");
    extension.take_event =
        (nereid_request_take_event_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_request_take_event");
    extension.response_event =
        (nereid_response_event_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_response_event");
}

static bool knows_events(void)
{
    return extension.input_after != NULL && extension.take_event != NULL &&
           extension.response_event != NULL;
}

// ---- outputs --------------------------------------------------------------------------------------------------------

// A tensor of so many bytes; type and shape are stated when the response is read.
static TRITONSERVER_Error *allocate(TRITONSERVER_ResponseAllocator *allocator, const char *name,
                                    size_t byte_size, TRITONSERVER_MemoryType type, int64_t id,
                                    void *userp, void **buffer, void **buffer_userp,
                                    TRITONSERVER_MemoryType *actual_type, int64_t *actual_id)
{
    struct infer_call *call = userp;
    struct nrd_tensor *tensor = NULL;
    const int64_t dims[1] = {(int64_t)byte_size};
    (void)allocator;
    struct nrd_status *status = nrd_allocate(call->op, call->allocator, NRD_DTYPE_U8, dims, 1,
                                             (enum nrd_memory)type, (int32_t)id, &tensor);
    if (status != NULL && type != TRITONSERVER_MEMORY_CPU) {
        status_free(status); // the wish is not met: the backend copies
        type = TRITONSERVER_MEMORY_CPU;
        id = 0;
        status = nrd_allocate(call->op, call->allocator, NRD_DTYPE_U8, dims, 1, NRD_MEMORY_CPU, 0,
                              &tensor);
    }
    if (status != NULL) {
        TRITONSERVER_Error *error = TRITONSERVER_ErrorNew(
            (TRITONSERVER_Error_Code)(status_code(status) - 1), status_text(status));
        (void)name;
        status_free(status);
        return error;
    }
    *buffer = tensor->data;
    *buffer_userp = tensor;
    *actual_type = (TRITONSERVER_MemoryType)tensor->memory;
    *actual_id = tensor->device;
    return NULL;
}

static TRITONSERVER_Error *give_back(TRITONSERVER_ResponseAllocator *allocator, void *buffer,
                                     void *buffer_userp, size_t byte_size,
                                     TRITONSERVER_MemoryType type, int64_t id)
{
    (void)allocator;
    (void)buffer;
    (void)byte_size;
    (void)type;
    (void)id;
    nrd_tensor_unref(buffer_userp);
    return NULL;
}

static struct nrd_status *take_output(struct infer_call *call,
                                      TRITONSERVER_InferenceResponse *response, uint32_t index)
{
    const char *name;
    TRITONSERVER_DataType dtype;
    const int64_t *dims;
    uint64_t rank;
    const void *base;
    size_t size;
    TRITONSERVER_MemoryType type;
    int64_t id;
    void *userp = NULL;
    NRD_TRY(core_status(TRITONSERVER_InferenceResponseOutput(
        response, index, &name, &dtype, &dims, &rank, &base, &size, &type, &id, &userp)));
    int at = infer_find_output(call->model, name);
    if (at < 0 || userp == NULL) {
        return NULL; // not an output that the model states; or an empty one without memory
    }
    struct nrd_tensor *tensor = userp;
    if (rank > NRD_RANK_MAX) {
        return status_new(NRD_UNSUPPORTED, "model '%s': output '%s' has %llu dimensions",
                          call->model->name, name, (unsigned long long)rank);
    }
    // The response's reference is the only other one, and goes with it.
    tensor->dtype = (enum nrd_dtype)dtype;
    tensor->rank = (uint32_t)rank;
    memcpy(tensor->dims, dims, rank * sizeof(dims[0]));
    tensor->byte_size = size;
    nrd_tensor_unref(call->outputs[at]);
    call->outputs[at] = nrd_tensor_ref(tensor);
    return NULL;
}

// The event after which outputs are there, and the GPU that it is of.
static void take_event(struct infer_call *call, TRITONSERVER_InferenceResponse *response)
{
    void *event = call->model->ordered ? extension.response_event(response) : NULL;
    const struct nrd_tensor *on_gpu = NULL;
    for (uint32_t i = 0; i < INFER_TENSORS_MAX && event != NULL && on_gpu == NULL; i++) {
        if (call->outputs[i] != NULL && call->outputs[i]->memory == NRD_MEMORY_GPU) {
            on_gpu = call->outputs[i];
        } else if (call->inputs[i] != NULL && call->inputs[i]->memory == NRD_MEMORY_GPU) {
            on_gpu = call->inputs[i];
        }
    }
    if (on_gpu != NULL) {
        call->event = event;
        call->event_device = on_gpu->device;
    }
}

static struct nrd_status *take_outputs(struct infer_call *call,
                                       TRITONSERVER_InferenceResponse *response)
{
    NRD_TRY(core_status(TRITONSERVER_InferenceResponseError(response)));
    uint32_t count = 0;
    NRD_TRY(core_status(TRITONSERVER_InferenceResponseOutputCount(response, &count)));
    for (uint32_t i = 0; i < count; i++) {
        NRD_TRY(take_output(call, response, i));
    }
    return NULL;
}

// ---- a call's way -----------------------------------------------------------------------------------------------------

static void arrived(struct infer_call *call)
{
    struct core_call *own = call->state;
    // Acquire and release: what the other callback wrote is seen by whoever comes last.
    if (atomic_fetch_sub_explicit(&own->awaited, 1, memory_order_acq_rel) == 1) {
        struct nrd_status *status = own->status;
        own->status = NULL;
        infer_call_finish(call,
                          status_wrap(status, "model '%s' (in process): ", call->model->name));
    }
}

static void on_response(TRITONSERVER_InferenceResponse *response, const uint32_t flags, void *userp)
{
    struct infer_call *call = userp;
    struct core_call *own = call->state;
    if (response != NULL) {
        struct nrd_status *status = take_outputs(call, response);
        take_event(call, response);
        if (own->status == NULL) {
            own->status = status;
        } else {
            status_free(status);
        }
        status_free(core_status(TRITONSERVER_InferenceResponseDelete(response)));
    }
    if ((flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL) != 0) {
        arrived(call);
    }
}

static void on_release(TRITONSERVER_InferenceRequest *request, const uint32_t flags, void *userp)
{
    (void)request;
    if ((flags & TRITONSERVER_REQUEST_RELEASE_ALL) != 0) {
        arrived(userp);
    }
}

static bool same_shapes(const struct infer_call *call, const struct core_call *own)
{
    for (uint32_t i = 0; i < call->model->input_count; i++) {
        const struct nrd_tensor *tensor = call->inputs[i];
        if (!shape_equal(tensor->dims, tensor->rank, own->stated[i].dims, own->stated[i].rank)) {
            return false;
        }
    }
    return own->has_inputs;
}

static struct nrd_status *state_inputs(struct infer_call *call, struct core_call *own)
{
    own->has_inputs = false;
    NRD_TRY(core_status(TRITONSERVER_InferenceRequestRemoveAllInputs(own->request)));
    for (uint32_t i = 0; i < call->model->input_count; i++) {
        const struct nrd_tensor *tensor = call->inputs[i];
        NRD_TRY(core_status(TRITONSERVER_InferenceRequestAddInput(
            own->request, call->model->inputs[i].name, (TRITONSERVER_DataType)tensor->dtype,
            tensor->dims, tensor->rank)));
        own->stated[i].rank = tensor->rank;
        memcpy(own->stated[i].dims, tensor->dims, sizeof(tensor->dims));
    }
    own->has_inputs = true;
    return NULL;
}

// An input on a GPU that is not there yet goes with the event after which it is.
static struct nrd_status *order_input(struct core_call *own, const char *name,
                                      const struct nrd_tensor *tensor)
{
    bool ready = true;
    NRD_TRY(tensor_is_ready(tensor, &ready));
    if (ready) {
        return NULL;
    }
    return tensor->event == NULL
               ? nrd_tensor_synchronize(tensor)
               : core_status(extension.input_after(own->request, name, tensor->event));
}

static struct nrd_status *fill(struct infer_call *call, struct core_call *own)
{
    if (!same_shapes(call, own)) {
        NRD_TRY(state_inputs(call, own));
    }
    for (uint32_t i = 0; i < call->model->input_count; i++) {
        const char *name = call->model->inputs[i].name;
        const struct nrd_tensor *tensor = call->inputs[i];
        NRD_TRY(core_status(TRITONSERVER_InferenceRequestRemoveAllInputData(own->request, name)));
        NRD_TRY(core_status(TRITONSERVER_InferenceRequestAppendInputData(
            own->request, name, tensor->data, tensor->byte_size,
            (TRITONSERVER_MemoryType)tensor->memory, tensor->device)));
        if (call->model->ordered && tensor->memory == NRD_MEMORY_GPU) {
            NRD_TRY(order_input(own, name, tensor));
        }
    }
    return NULL;
}

static struct nrd_status *core_call_send(struct infer_call *call, bool here)
{
    struct core_call *own = call->state;
    const struct core_model *model = (const struct core_model *)call->model;
    NRD_TRY(fill(call, own));
    // Relaxed: giving the request to the core orders it.
    atomic_store_explicit(&own->awaited, 2, memory_order_relaxed);
    bool lend = here && extension.cork != NULL && extension.uncork_here != NULL;
    if (lend) {
        extension.cork();
    }
    struct nrd_status *status = core_status(
        TRITONSERVER_ServerInferAsync(core_host_server(model->host), own->request, NULL));
    if (lend) {
        extension.uncork_here();
    }
    return status;
}

static void core_call_cancel(struct infer_call *call)
{
    struct core_call *own = call->state;
    status_free(core_status(TRITONSERVER_InferenceRequestCancel(own->request)));
}

static struct nrd_status *core_call_init(struct infer_call *call)
{
    const struct core_model *model = (const struct core_model *)call->model;
    struct core_call *own = mem_calloc(1, sizeof(*own));
    if (own == NULL) {
        return status_no_memory();
    }
    call->state = own;
    NRD_TRY(core_status(TRITONSERVER_InferenceRequestNew(
        &own->request, core_host_server(model->host), model->base.name, model->base.version)));
    if (model->base.ordered) {
        extension.take_event(own->request, true);
    }
    NRD_TRY(core_status(
        TRITONSERVER_InferenceRequestSetReleaseCallback(own->request, on_release, call)));
    return core_status(TRITONSERVER_InferenceRequestSetResponseCallback(
        own->request, model->allocator, call, on_response, call));
}

static void core_call_fini(struct infer_call *call)
{
    struct core_call *own = call->state;
    if (own->request != NULL) {
        status_free(core_status(TRITONSERVER_InferenceRequestDelete(own->request)));
    }
    status_free(own->status);
    mem_free(own);
}

// ---- models ---------------------------------------------------------------------------------------------------------

static void core_model_close(struct infer_model *base)
{
    struct core_model *model = (struct core_model *)base;
    if (model->allocator != NULL) {
        status_free(core_status(TRITONSERVER_ResponseAllocatorDelete(model->allocator)));
    }
    if (base->name != NULL) {
        core_host_release(model->host, base->name);
    }
    infer_model_free(base);
}

static const struct infer_table table = {
    .close = core_model_close,
    .call_init = core_call_init,
    .call_fini = core_call_fini,
    .send = core_call_send,
    .cancel = core_call_cancel,
};

// Takes `message` (made unless `status`) and gives its text to `read`.
static struct nrd_status *
read_message(struct core_model *model, struct nrd_status *status, TRITONSERVER_Message *message,
             struct nrd_status *(*read)(struct infer_model *, const char *, size_t))
{
    const char *text = NULL;
    size_t length = 0;
    if (status == NULL) {
        status = core_status(TRITONSERVER_MessageSerializeToJson(message, &text, &length));
    }
    if (status == NULL) {
        status = read(&model->base, text, length);
    }
    if (message != NULL) {
        status_free(core_status(TRITONSERVER_MessageDelete(message)));
    }
    return status;
}

static struct nrd_status *read_model(struct core_model *model)
{
    TRITONSERVER_Server *server = core_host_server(model->host);
    const struct infer_model *base = &model->base;
    TRITONSERVER_Message *message = NULL;
    struct nrd_status *status =
        core_status(TRITONSERVER_ServerModelMetadata(server, base->name, base->version, &message));
    NRD_TRY(read_message(model, status, message, infer_read_metadata));
    message = NULL;
    status =
        core_status(TRITONSERVER_ServerModelConfig(server, base->name, base->version, 1, &message));
    return read_message(model, status, message, infer_read_config);
}

// An output's labels, one a line of its file, which the core has read too: what keeps us from it only leaves classes without names.
static struct nrd_status *read_labels(const char *directory, struct infer_spec *spec)
{
    enum { LABELS_BYTES_MAX = 1 << 20 };
    struct str text = STR_INIT;
    struct slice line;
    char *path = path_join(directory, spec->label_file);
    spec->labels = nrd_value_list();
    struct nrd_status *status = path == NULL || spec->labels == NULL ? status_no_memory() : NULL;
    if (status == NULL) {
        status = file_read(path, LABELS_BYTES_MAX, &text);
    }
    if (status != NULL) {
        LOG_WARN("labels of output '%s': %s", spec->name, status_text(status));
        status_free(status);
        status = NULL;
    }
    struct slice rest = str_slice(&text);
    while (status == NULL && rest.len > 0 && slice_cut(&rest, '\n', &line)) {
        line.len -= slice_ends(line, SLICE("\r")) ? 1 : 0;
        struct str name = STR_INIT;
        str_append(&name, line.ptr, line.len);
        status = str_status(&name);
        if (status == NULL) {
            status = nrd_value_append(spec->labels, nrd_value_string(str_cstr(&name)));
        }
        str_fini(&name);
    }
    str_fini(&text);
    mem_free(path);
    return status;
}

static struct nrd_status *read_all_labels(const struct core_model *model, const char *repository)
{
    const struct infer_model *base = &model->base;
    char *directory = path_join(repository, base->name);
    struct nrd_status *status = directory == NULL ? status_no_memory() : NULL;
    for (uint32_t i = 0; i < base->output_count && status == NULL; i++) {
        if (base->outputs[i].label_file != NULL) {
            status = read_labels(directory, &base->outputs[i]);
        }
    }
    mem_free(directory);
    return status;
}

static struct nrd_status *open_model(struct core_model *model, const struct infer_options *options)
{
    model->base.table = &table;
    model->base.ordered = knows_events();
    model->base.version = -1;
    if (options->version != NULL && options->version[0] != '\0' &&
        !slice_to_i64(slice_of(options->version), &model->base.version)) {
        return status_new(NRD_INVALID_ARG, "model '%s': version '%s' is not a number",
                          options->model, options->version);
    }
    model->base.place = mem_strdup("in process");
    char *name = mem_strdup(options->model);
    if (model->base.place == NULL || name == NULL) {
        mem_free(name);
        return status_no_memory();
    }
    struct nrd_status *status =
        options->repository == NULL
            ? status_new(NRD_INVALID_ARG,
                         "model '%s': a model in this process needs a model repository",
                         options->model)
            : core_host_acquire(options, &model->host);
    if (status != NULL) {
        mem_free(name);
        return status;
    }
    model->base.name = name;
    NRD_TRY(core_status(
        TRITONSERVER_ResponseAllocatorNew(&model->allocator, allocate, give_back, NULL)));
    NRD_TRY(read_model(model));
    return read_all_labels(model, options->repository);
}

struct nrd_status *core_model_open(const struct infer_options *options, struct infer_model **out)
{
    pthread_once(&extension.once, find_extension);
    struct core_model *model = mem_calloc(1, sizeof(*model));
    if (model == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = open_model(model, options);
    if (status != NULL) {
        core_model_close(&model->base);
        return status;
    }
    *out = &model->base;
    return NULL;
}
