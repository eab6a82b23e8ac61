// SPDX-License-Identifier: Apache-2.0
// A model of a server, by the client library. Inputs are sent from where the tensors lie, or, to a server on this machine that takes
// it so, through a shared-memory region that the call keeps; outputs are copied once, into tensors of the operator's allocator. A
// question whose server went away is asked again, as often and as long as the options say; one whose server came back without its
// region goes through the socket, and the next one registers a region anew.
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/status.h"
#include "graph/infer/infer.h"
#include "nereid/client.h"
#include "tensor/dtype.h"

// Below this many bytes a socket is as quick as a region.
enum { REGION_MIN = 32768, REGION_ALIGN = 64 };

struct remote_model {
    struct infer_model base;
    struct nrd_client *client;
    char *version;
    int64_t timeout_ns;
    uint32_t retries;
    bool regions;     // the server is local, and has not refused a region yet
    atomic_bool gone; // the last call found no server, or one that does not answer
};

struct remote_call {
    struct nrd_client_input inputs[INFER_TENSORS_MAX];
    struct nrd_client_output outputs[INFER_TENSORS_MAX];
    struct nrd_shm *region; // inputs' bytes; NULL: none
    bool by_region;         // this question's inputs are there
    bool lost;              // the server does not know the region
    uint32_t tries;
    uint64_t deadline_ns; // of all tries; 0: none
};

// ---- outputs --------------------------------------------------------------------------------------------------------

static struct nrd_status *take_output(struct infer_call *call, const struct nrd_client_tensor *from)
{
    int at = infer_find_output(call->model, from->name);
    if (at < 0) {
        return NULL;
    }
    if (from->rank > NRD_RANK_MAX) {
        return status_new(NRD_UNSUPPORTED, "output '%s' has %zu dimensions", from->name,
                          from->rank);
    }
    struct nrd_tensor *tensor = NULL;
    const int64_t dims[1] = {(int64_t)from->size};
    NRD_TRY(
        nrd_allocate(call->op, call->allocator, NRD_DTYPE_U8, dims, 1, NRD_MEMORY_CPU, 0, &tensor));
    if (from->size > 0) {
        memcpy(tensor->data, from->data, from->size);
    }
    tensor->dtype = from->dtype;
    tensor->rank = (uint32_t)from->rank;
    memcpy(tensor->dims, from->shape, from->rank * sizeof(from->shape[0]));
    nrd_tensor_unref(call->outputs[at]);
    call->outputs[at] = tensor;
    return NULL;
}

static struct nrd_status *take_outputs(struct infer_call *call,
                                       const struct nrd_client_response *response)
{
    size_t count = nrd_client_response_count(response);
    for (size_t i = 0; i < count; i++) {
        NRD_TRY(take_output(call, nrd_client_response_output(response, i)));
    }
    return NULL;
}

// ---- a server that is not there ---------------------------------------------------------------------------------------

static bool no_server(const struct nrd_status *status)
{
    return status_code(status) == NRD_UNAVAILABLE;
}

// ---- inputs ---------------------------------------------------------------------------------------------------------

static size_t align(size_t size)
{
    return (size + REGION_ALIGN - 1) / REGION_ALIGN * REGION_ALIGN;
}

// The server may be gone: then one call at most waits for it.
static void give_region_up(struct remote_model *model, struct remote_call *own)
{
    if (own->region != NULL && !own->lost && !atomic_load(&model->gone)) {
        struct nrd_status *status =
            nrd_client_shm_unregister(model->client, nrd_shm_name(own->region));
        atomic_store(&model->gone, no_server(status));
        status_free(status);
    }
    nrd_shm_abandon(own->region);
    own->region = NULL;
    own->lost = false;
}

// A region with room for the inputs, made or kept. NULL: they go through the socket.
static struct nrd_shm *want_region(struct infer_call *call, struct remote_call *own)
{
    struct remote_model *model = (struct remote_model *)call->model;
    size_t size = 0;
    for (uint32_t i = 0; i < model->base.input_count; i++) {
        size += align(call->inputs[i]->byte_size);
    }
    if (!model->regions || size < REGION_MIN) {
        return NULL;
    }
    if (own->region != NULL && !own->lost && nrd_shm_size(own->region) >= size) {
        return own->region;
    }
    give_region_up(model, own);
    struct nrd_status *status = nrd_shm_create(model->client, size, &own->region);
    if (status != NULL) {
        nrd_operator_log(call->op, NRD_LOG_INFO, "tensors go through the socket: %s",
                         status_text(status));
        status_free(status);
        model->regions = false;
    }
    return own->region;
}

// Into the region; NULL: they are sent from where they lie.
static void fill_inputs(struct infer_call *call, struct remote_call *own, struct nrd_shm *region)
{
    uint64_t offset = 0;
    own->by_region = region != NULL;
    for (uint32_t i = 0; i < call->model->input_count; i++) {
        const struct nrd_tensor *tensor = call->inputs[i];
        struct nrd_client_input *input = &own->inputs[i];
        *input = (struct nrd_client_input){.name = call->model->inputs[i].name,
                                           .dtype = tensor->dtype,
                                           .shape = tensor->dims,
                                           .rank = tensor->rank,
                                           .data = tensor->data,
                                           .size = tensor->byte_size};
        if (region != NULL) {
            memcpy((char *)nrd_shm_data(region) + offset, tensor->data, tensor->byte_size);
            input->data = NULL;
            input->region = nrd_shm_name(region);
            input->region_offset = offset;
            offset += align(tensor->byte_size);
        }
    }
}

// ---- a call's way -----------------------------------------------------------------------------------------------------

static struct nrd_status *ask(struct infer_call *call);

// Whether a question that failed so may be asked again: its server could not be reached, and there are tries and time left (a
// time-out, which may come a little early, leaves none).
static bool ask_again(struct infer_call *call, const struct nrd_status *status)
{
    const struct remote_model *model = (const struct remote_model *)call->model;
    struct remote_call *own = call->state;
    if (status_code(status) != NRD_UNAVAILABLE || own->tries >= model->retries ||
        (own->deadline_ns != 0 &&
         clock_now_ns() + (uint64_t)model->timeout_ns / 16 >= own->deadline_ns)) {
        return false;
    }
    own->tries++;
    struct nrd_status *again = ask(call);
    bool asked = again == NULL;
    status_free(again);
    return asked;
}

// A server that came back does not know the regions of the one before.
static bool ask_by_socket(struct infer_call *call, const struct nrd_status *status)
{
    struct remote_call *own = call->state;
    if (!own->by_region || status_code(status) != NRD_NOT_FOUND) {
        return false;
    }
    own->lost = true;
    fill_inputs(call, own, NULL);
    struct nrd_status *again = ask(call);
    bool asked = again == NULL;
    status_free(again);
    return asked;
}

static void on_done(void *user, struct nrd_status *status, struct nrd_client_response *response)
{
    struct infer_call *call = user;
    atomic_store(&((struct remote_model *)call->model)->gone, no_server(status));
    if (status != NULL && (ask_again(call, status) || ask_by_socket(call, status))) {
        status_free(status);
        return;
    }
    if (status == NULL) {
        status = take_outputs(call, response);
    }
    nrd_client_response_free(response);
    infer_call_finish(call, status);
}

static struct nrd_status *ask(struct infer_call *call)
{
    struct remote_call *own = call->state;
    const struct remote_model *model = (const struct remote_model *)call->model;
    struct nrd_client_request request = {.model = model->base.name,
                                         .version = model->version,
                                         .inputs = own->inputs,
                                         .input_count = model->base.input_count,
                                         .outputs = own->outputs,
                                         .output_count = model->base.output_count};
    if (own->deadline_ns != 0) {
        uint64_t now = clock_now_ns();
        uint64_t left_ms = own->deadline_ns > now ? (own->deadline_ns - now + 999999) / 1000000 : 1;
        request.timeout_ms = left_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)left_ms;
    }
    return nrd_client_infer_async(model->client, &request, on_done, call, NULL);
}

static struct nrd_status *remote_call_send(struct infer_call *call, bool here)
{
    const struct remote_model *model = (const struct remote_model *)call->model;
    struct remote_call *own = call->state;
    (void)here;
    for (uint32_t i = 0; i < model->base.input_count; i++) {
        if (call->inputs[i]->memory == NRD_MEMORY_GPU) {
            return status_new(NRD_UNSUPPORTED,
                              "model '%s': input '%s' is on a GPU, and %s wants it on the host",
                              model->base.name, model->base.inputs[i].name, model->base.place);
        }
    }
    fill_inputs(call, own, want_region(call, own));
    own->tries = 0;
    own->deadline_ns = model->timeout_ns == 0 ? 0 : clock_now_ns() + (uint64_t)model->timeout_ns;
    return ask(call);
}

static void remote_call_cancel(struct infer_call *call)
{
    // A call ends by its time-out, or with the client.
    (void)call;
}

static struct nrd_status *remote_call_init(struct infer_call *call)
{
    struct remote_call *own = mem_calloc(1, sizeof(*own));
    if (own == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 0; i < call->model->output_count; i++) {
        own->outputs[i].name = call->model->outputs[i].name;
    }
    call->state = own;
    return NULL;
}

static void remote_call_fini(struct infer_call *call)
{
    struct remote_call *own = call->state;
    give_region_up((struct remote_model *)call->model, own);
    mem_free(own);
}

// ---- models ---------------------------------------------------------------------------------------------------------

static void remote_model_close(struct infer_model *base)
{
    struct remote_model *model = (struct remote_model *)base;
    nrd_client_destroy(model->client);
    mem_free(model->version);
    infer_model_free(base);
}

static const struct infer_table table = {
    .close = remote_model_close,
    .call_init = remote_call_init,
    .call_fini = remote_call_fini,
    .send = remote_call_send,
    .cancel = remote_call_cancel,
};

static struct nrd_status *copy_specs(const struct nrd_client_tensor_metadata *from, size_t count,
                                     struct infer_spec **specs, uint32_t *copied)
{
    if (count == 0 || count > INFER_TENSORS_MAX) {
        return status_new(NRD_UNSUPPORTED, "it has %zu inputs or outputs, expected 1 to %u", count,
                          INFER_TENSORS_MAX);
    }
    *specs = mem_calloc(count, sizeof(**specs));
    if (*specs == NULL) {
        return status_no_memory();
    }
    for (size_t i = 0; i < count; i++) {
        struct infer_spec *spec = &(*specs)[i];
        *copied = (uint32_t)i + 1;
        spec->name = mem_strdup(from[i].name);
        if (spec->name == NULL) {
            return status_no_memory();
        }
        if (from[i].rank > NRD_RANK_MAX) {
            return status_new(NRD_UNSUPPORTED, "tensor '%s' has %zu dimensions", from[i].name,
                              from[i].rank);
        }
        spec->dtype = from[i].dtype;
        spec->rank = (uint32_t)from[i].rank;
        memcpy(spec->dims, from[i].shape, from[i].rank * sizeof(spec->dims[0]));
    }
    return NULL;
}

static struct nrd_status *read_model(struct remote_model *model)
{
    struct infer_model *base = &model->base;
    struct nrd_client_model_metadata *metadata = NULL;
    NRD_TRY(nrd_client_model_metadata(model->client, base->name, model->version, &metadata));
    struct nrd_status *status =
        copy_specs(metadata->inputs, metadata->input_count, &base->inputs, &base->input_count);
    if (status == NULL) {
        status = copy_specs(metadata->outputs, metadata->output_count, &base->outputs,
                            &base->output_count);
    }
    nrd_client_model_metadata_free(metadata);
    NRD_TRY(status);
    char *config = NULL;
    NRD_TRY(nrd_client_model_config(model->client, base->name, model->version, &config));
    status = infer_read_config(base, config, strlen(config));
    nrd_client_text_free(config);
    return status;
}

static struct nrd_status *open_model(struct remote_model *model,
                                     const struct infer_options *options)
{
    model->base.table = &table;
    model->base.version = -1;
    atomic_init(&model->gone, false);
    model->timeout_ns = options->timeout_ns;
    model->retries = options->retries;
    model->base.name = mem_strdup(options->model);
    model->base.place = mem_strdup(options->url);
    model->version = mem_strdup(options->version == NULL ? "" : options->version);
    if (model->base.name == NULL || model->base.place == NULL || model->version == NULL) {
        return status_no_memory();
    }
    int64_t timeout_ms = options->timeout_ns / 1000000;
    const struct nrd_client_options client = {
        .timeout_ms = timeout_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)timeout_ms,
        .retries = options->retries,
        .backoff_ms = (uint32_t)(options->retry_delay_ns / 1000000),
    };
    NRD_TRY(nrd_client_create(options->url, &client, &model->client));
    NRD_TRY(read_model(model));
    model->regions = options->shared_memory && nrd_client_is_local(model->client);
    return NULL;
}

struct nrd_status *remote_model_open(const struct infer_options *options, struct infer_model **out)
{
    struct remote_model *model = mem_calloc(1, sizeof(*model));
    if (model == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = open_model(model, options);
    if (status != NULL) {
        remote_model_close(&model->base);
        return status;
    }
    *out = &model->base;
    return NULL;
}
