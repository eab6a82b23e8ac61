// SPDX-License-Identifier: Apache-2.0
// Responses: their stock, and what users ask of them.
#include "client/response.h"

#include "base/mem.h"
#include "tensor/shape.h"

enum { IDLE_RESPONSES = 256, FIRST_BLOCK = 2048 };

static void response_destroy(struct nrd_client_response *response)
{
    arena_fini(&response->arena);
    mem_free(response);
}

void response_stock_fini(struct nrd_client *client)
{
    struct list_node *node;
    while ((node = list_pop_front(&client->idle_responses)) != NULL) {
        response_destroy(CONTAINER_OF(node, struct nrd_client_response, node));
    }
}

struct nrd_client_response *response_create(struct nrd_client *client)
{
    pthread_mutex_lock(&client->lock);
    struct list_node *node = list_pop_front(&client->idle_responses);
    client->idle_response_count -= node != NULL;
    pthread_mutex_unlock(&client->lock);
    struct nrd_client_response *response;
    if (node != NULL) {
        response = CONTAINER_OF(node, struct nrd_client_response, node);
    } else {
        response = mem_calloc(1, sizeof(*response));
        if (response == NULL) {
            return NULL;
        }
        arena_init(&response->arena, FIRST_BLOCK);
        list_init(&response->node);
    }
    client_ref(client);
    response->client = client;
    response->buffer = NULL;
    response->model = response->version = response->id = "";
    response->final = true;
    response->tensors = NULL;
    response->parameters = NULL;
    response->count = response->parameter_count = 0;
    return response;
}

void nrd_client_response_free(struct nrd_client_response *response)
{
    if (response == NULL) {
        return;
    }
    struct nrd_client *client = response->client;
    buffer_pool_put(client->buffers, response->buffer);
    arena_reset(&response->arena);
    pthread_mutex_lock(&client->lock);
    bool keep = client->idle_response_count < IDLE_RESPONSES;
    if (keep) {
        list_push_front(&client->idle_responses, &response->node);
        client->idle_response_count++;
    }
    pthread_mutex_unlock(&client->lock);
    if (!keep) {
        response_destroy(response);
    }
    client_unref(client);
}

bool response_expect(struct nrd_client_response *response, size_t tensors, size_t parameters)
{
    response->tensors =
        arena_calloc(&response->arena, tensors > 0 ? tensors : 1, sizeof(*response->tensors));
    response->parameters = arena_calloc(&response->arena, parameters > 0 ? parameters : 1,
                                        sizeof(*response->parameters));
    return response->tensors != NULL && response->parameters != NULL;
}

bool response_show(struct nrd_client_response *response, struct nrd_client_tensor *tensor,
                   struct slice bytes)
{
    size_t unit = nrd_dtype_size(tensor->dtype);
    tensor->size = bytes.len;
    tensor->data = bytes.ptr;
    if (bytes.len == 0) {
        tensor->data = response->tensors; // somewhere that is not NULL
    } else if (unit > 1 && (uintptr_t)bytes.ptr % unit != 0) {
        char *copy = arena_alloc(&response->arena, bytes.len);
        if (copy == NULL) {
            return false;
        }
        memcpy(copy, bytes.ptr, bytes.len);
        tensor->data = copy;
    }
    return true;
}

static const struct call_output *wanted_of(const struct nrd_client_tensor *tensor,
                                           const struct call_output *wanted, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(wanted[i].name, tensor->name) == 0) {
            return &wanted[i];
        }
    }
    return NULL;
}

// An output without bytes is in the region that was asked for.
static struct nrd_status *settle_region(struct nrd_client_response *response,
                                        struct nrd_client_tensor *tensor, size_t size,
                                        const struct call_output *wanted, bool streamed)
{
    if (wanted != NULL && wanted->region != NULL) {
        tensor->region = arena_strdup(&response->arena, slice_of(wanted->region));
        tensor->region_offset = wanted->region_offset;
        tensor->size = tensor->dtype == NRD_DTYPE_BYTES ? wanted->capacity : size;
        return tensor->region != NULL ? NULL : status_no_memory();
    }
    if (shape_count(tensor->shape, tensor->rank) == 0) {
        tensor->data = response->tensors; // no bytes, but not NULL
        return NULL;
    }
    if (streamed || tensor->region != NULL) {
        return NULL;
    }
    return status_new(NRD_INTERNAL, "malformed answer: output '%s' has no data", tensor->name);
}

static struct nrd_status *settle_one(struct nrd_client_response *response,
                                     struct nrd_client_tensor *tensor,
                                     const struct call_output *wanted, bool streamed)
{
    size_t size = 0;
    bool is_bytes = tensor->dtype == NRD_DTYPE_BYTES;
    if (!is_bytes && !shape_byte_size(tensor->dtype, tensor->shape, tensor->rank, &size)) {
        return status_new(NRD_INTERNAL, "malformed answer: output '%s' has a bad shape",
                          tensor->name);
    }
    if (tensor->data == NULL) {
        return settle_region(response, tensor, size, wanted, streamed);
    }
    if (!is_bytes && size != tensor->size) {
        return status_new(NRD_INTERNAL,
                          "malformed answer: output '%s' has %zu bytes, its shape has %zu",
                          tensor->name, tensor->size, size);
    }
    if (wanted == NULL || wanted->region != NULL) {
        return NULL;
    }
    if (tensor->size > wanted->capacity) {
        return status_new(NRD_INVALID_ARG, "output '%s' has %zu bytes, its memory has %zu",
                          tensor->name, tensor->size, wanted->capacity);
    }
    memcpy(wanted->data, tensor->data, tensor->size);
    tensor->data = wanted->data;
    return NULL;
}

struct nrd_status *response_settle(struct nrd_client_response *response,
                                   const struct call_output *wanted, size_t count, bool streamed)
{
    for (size_t i = 0; i < response->count; i++) {
        struct nrd_client_tensor *tensor = &response->tensors[i];
        NRD_TRY(settle_one(response, tensor, wanted_of(tensor, wanted, count), streamed));
    }
    return NULL;
}

const char *nrd_client_response_model(const struct nrd_client_response *response)
{
    return response->model;
}

const char *nrd_client_response_version(const struct nrd_client_response *response)
{
    return response->version;
}

const char *nrd_client_response_id(const struct nrd_client_response *response)
{
    return response->id;
}

size_t nrd_client_response_count(const struct nrd_client_response *response)
{
    return response->count;
}

const struct nrd_client_tensor *
nrd_client_response_output(const struct nrd_client_response *response, size_t index)
{
    return index < response->count ? &response->tensors[index] : NULL;
}

const struct nrd_client_tensor *nrd_client_response_find(const struct nrd_client_response *response,
                                                         const char *name)
{
    for (size_t i = 0; i < response->count; i++) {
        if (strcmp(response->tensors[i].name, name) == 0) {
            return &response->tensors[i];
        }
    }
    return NULL;
}

size_t nrd_client_response_parameter_count(const struct nrd_client_response *response)
{
    return response->parameter_count;
}

const struct nrd_client_parameter *
nrd_client_response_parameter(const struct nrd_client_response *response, size_t index)
{
    return index < response->parameter_count ? &response->parameters[index] : NULL;
}

bool nrd_client_response_is_final(const struct nrd_client_response *response)
{
    return response->final;
}
