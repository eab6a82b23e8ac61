// SPDX-License-Identifier: Apache-2.0
// Inference: from the caller's structs to a call, and from the call's reply to a response.
#include "client/infer.h"

#include "client/response.h"
#include "tensor/shape.h"

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static struct nrd_status *check_input(const struct nrd_client_input *input)
{
    size_t size = 0;
    if (!given(input->name)) {
        return status_new(NRD_INVALID_ARG, "an input has no name");
    }
    if (nrd_dtype_size(input->dtype) == 0 && input->dtype != NRD_DTYPE_BYTES) {
        return status_new(NRD_INVALID_ARG, "input '%s' has no data type", input->name);
    }
    if (input->rank > 0 && input->shape == NULL) {
        return status_new(NRD_INVALID_ARG, "input '%s' has no shape", input->name);
    }
    if (input->data == NULL && input->size > 0 && input->region == NULL) {
        return status_new(NRD_INVALID_ARG, "input '%s' has no data", input->name);
    }
    bool fits = input->dtype == NRD_DTYPE_BYTES
                    ? shape_count(input->shape, input->rank) >= 0
                    : shape_byte_size(input->dtype, input->shape, input->rank, &size) &&
                          size == input->size;
    if (fits) {
        return NULL;
    }
    struct str shape = STR_INIT;
    shape_print(input->shape, input->rank, &shape);
    struct nrd_status *status =
        status_new(NRD_INVALID_ARG, "input '%s' has %zu bytes, %s of shape %s has %zu", input->name,
                   input->size, nrd_dtype_name(input->dtype), str_cstr(&shape), size);
    str_fini(&shape);
    return status;
}

struct nrd_status *infer_check(const struct nrd_client_request *request)
{
    if (!given(request->model)) {
        return status_new(NRD_INVALID_ARG, "no model is named");
    }
    for (size_t i = 0; i < request->input_count; i++) {
        NRD_TRY(check_input(&request->inputs[i]));
    }
    for (size_t i = 0; i < request->output_count; i++) {
        const struct nrd_client_output *output = &request->outputs[i];
        if (!given(output->name)) {
            return status_new(NRD_INVALID_ARG, "a wanted output has no name");
        }
        if (output->region != NULL && output->classes > 0) {
            return status_new(NRD_INVALID_ARG,
                              "output '%s': classes cannot go to a shared-memory region",
                              output->name);
        }
    }
    for (size_t i = 0; i < request->parameter_count; i++) {
        if (!given(request->parameters[i].name)) {
            return status_new(NRD_INVALID_ARG, "a parameter has no name");
        }
    }
    return NULL;
}

// Notes which outputs go to the caller's memory or to regions.
static struct nrd_status *note_wanted(struct nrd_client_call *call,
                                      const struct nrd_client_request *request)
{
    size_t count = 0;
    for (size_t i = 0; i < request->output_count; i++) {
        count += request->outputs[i].data != NULL || request->outputs[i].region != NULL;
    }
    if (count == 0) {
        return NULL;
    }
    call->wanted = arena_alloc(&call->arena, count * sizeof(*call->wanted));
    if (call->wanted == NULL) {
        return status_no_memory();
    }
    for (size_t i = 0; i < request->output_count; i++) {
        const struct nrd_client_output *output = &request->outputs[i];
        if (output->data == NULL && output->region == NULL) {
            continue;
        }
        struct call_output *wanted = &call->wanted[call->wanted_count++];
        wanted->name = arena_strdup(&call->arena, slice_of(output->name));
        wanted->data = output->data;
        wanted->capacity = output->capacity;
        wanted->region = NULL;
        wanted->region_offset = output->region_offset;
        if (output->region != NULL) {
            wanted->region = arena_strdup(&call->arena, slice_of(output->region));
        }
        if (wanted->name == NULL || (output->region != NULL && wanted->region == NULL)) {
            return status_no_memory();
        }
    }
    return NULL;
}

// Makes the call of a request. Returns owned.
static struct nrd_status *prepare(struct nrd_client *client,
                                  const struct nrd_client_request *request,
                                  struct nrd_client_call **out)
{
    struct nrd_client_call *call = call_create(client, "infer");
    if (call == NULL) {
        return status_no_memory();
    }
    if (given(request->model)) {
        str_printf(&call->subject, "model '%s'", request->model);
        if (given(request->version)) {
            str_printf(&call->subject, " version '%s'", request->version);
        }
    }
    call->timeout_ms = request->timeout_ms > 0 ? request->timeout_ms : call->timeout_ms;
    call->repeatable = request->sequence_id == 0 && !given(request->sequence_name);
    struct nrd_status *status = infer_check(request);
    if (status == NULL) {
        status = note_wanted(call, request);
    }
    if (status == NULL) {
        status =
            client->url.grpc ? infer_write_grpc(call, request) : infer_write_http(call, request);
    }
    if (status != NULL) {
        enum nrd_code code = status_code(status);
        struct nrd_status *named = call_failed(call, code, "%s", status_text(status));
        status_free(status);
        call_unref(call);
        return named;
    }
    *out = call;
    return NULL;
}

// Reads the reply of a call that did not fail.
static struct nrd_status *read_reply(struct nrd_client_call *call, struct nrd_client_response **out)
{
    NRD_TRY(call_server_status(call));
    struct nrd_client_response *response = response_create(call->client);
    if (response == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = NULL;
    if (call->client->url.grpc) {
        status = response_read_grpc(slice_make(call->reply, call->reply_size), response);
        response->buffer = call->buffer;
        call->buffer = NULL;
    } else {
        status = response_read_http(call, response);
    }
    if (status == NULL) {
        status = response_settle(response, call->wanted, call->wanted_count, false);
    }
    if (status != NULL) {
        nrd_client_response_free(response);
        struct nrd_status *named =
            call_failed(call, status_code(status), "%s", status_text(status));
        status_free(status);
        return named;
    }
    *out = response;
    return NULL;
}

struct nrd_status *nrd_client_infer(struct nrd_client *client,
                                    const struct nrd_client_request *request,
                                    struct nrd_client_response **response)
{
    struct nrd_client_call *call = NULL;
    NRD_TRY(prepare(client, request, &call));
    struct nrd_status *status = call_wait(call);
    if (status == NULL) {
        status = read_reply(call, response);
    }
    call_unref(call);
    return status;
}

static void async_done(struct nrd_client_call *call)
{
    struct nrd_client_response *response = NULL;
    struct nrd_status *status = call->error;
    call->error = NULL;
    if (status == NULL) {
        status = read_reply(call, &response);
    }
    call->infer_done(call->user, status, response);
}

struct nrd_status *nrd_client_infer_async(struct nrd_client *client,
                                          const struct nrd_client_request *request,
                                          nrd_client_infer_fn done, void *user,
                                          struct nrd_client_call **out)
{
    struct nrd_client_call *call = NULL;
    NRD_TRY(prepare(client, request, &call));
    call->done = async_done;
    call->infer_done = done;
    call->user = user;
    call_submit(call);
    if (out != NULL) {
        *out = call;
    } else {
        call_unref(call);
    }
    return NULL;
}
