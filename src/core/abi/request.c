// SPDX-License-Identifier: Apache-2.0
// TRITONSERVER_InferenceRequest*, TRITONSERVER_ServerInferAsync.
#include "core/abi/abi.h"

#include <inttypes.h>
#include <string.h>

#include "core/model.h"
#include "core/request.h"
#include "core/response.h"
#include "core/server.h"
#include "core/trace.h"

static struct request *own(TRITONSERVER_InferenceRequest *request)
{
    return (struct request *)request;
}

// ---- life -------------------------------------------------------------------------------------

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestNew(TRITONSERVER_InferenceRequest **inference_request,
                                 TRITONSERVER_Server *server, const char *model_name,
                                 const int64_t model_version)
{
    struct model *model = NULL;
    struct nrd_status *status =
        server_find_model((struct server *)server, model_name, model_version, &model);
    if (status != NULL) {
        return abi_error(status);
    }
    struct request *request = request_create(model, model_version);
    if (request == NULL) {
        model_unref(model);
        return abi_error(status_no_memory());
    }
    *inference_request = (TRITONSERVER_InferenceRequest *)request;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestDelete(TRITONSERVER_InferenceRequest *inference_request)
{
    request_destroy(own(inference_request));
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ServerInferAsync(TRITONSERVER_Server *server,
                                                  TRITONSERVER_InferenceRequest *inference_request,
                                                  TRITONSERVER_InferenceTrace *trace)
{
    return abi_error(
        infer_async((struct server *)server, own(inference_request), (struct trace *)trace));
}

// ---- scalars ----------------------------------------------------------------------------------

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestId(TRITONSERVER_InferenceRequest *inference_request, const char **id)
{
    const struct request *request = own(inference_request);
    *id = request->id.len == 0 ? "" : request->id.ptr;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestSetId(TRITONSERVER_InferenceRequest *inference_request, const char *id)
{
    return abi_error(request_set_id(own(inference_request), id));
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestFlags(TRITONSERVER_InferenceRequest *inference_request,
                                   uint32_t *flags)
{
    *flags = own(inference_request)->flags;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestSetFlags(TRITONSERVER_InferenceRequest *inference_request,
                                      uint32_t flags)
{
    own(inference_request)->flags = flags;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestCorrelationId(TRITONSERVER_InferenceRequest *inference_request,
                                           uint64_t *correlation_id)
{
    const struct request *request = own(inference_request);
    if (request->correlation_text != NULL) {
        return abi_error(
            status_new(NRD_INVALID_ARG, "given request's correlation id is not an unsigned int"));
    }
    *correlation_id = request->correlation_id;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestCorrelationIdString(TRITONSERVER_InferenceRequest *inference_request,
                                                 const char **correlation_id)
{
    const struct request *request = own(inference_request);
    if (request->correlation_text == NULL) {
        return abi_error(
            status_new(NRD_INVALID_ARG, "given request's correlation id is not a string"));
    }
    *correlation_id = request->correlation_text;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestSetCorrelationId(TRITONSERVER_InferenceRequest *inference_request,
                                              uint64_t correlation_id)
{
    own(inference_request)->correlation_id = correlation_id;
    own(inference_request)->correlation_text = NULL;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_InferenceRequestSetCorrelationIdString(
    TRITONSERVER_InferenceRequest *inference_request, const char *correlation_id)
{
    return abi_error(request_set_correlation_text(own(inference_request), correlation_id));
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestCancel(TRITONSERVER_InferenceRequest *inference_request)
{
    struct request *request = own(inference_request);
    if (request->factory == NULL) {
        return abi_error(status_new(NRD_INTERNAL,
                                    "It is not possible to cancel an inference request before "
                                    "calling TRITONSERVER_InferAsync."));
    }
    atomic_store_explicit(&request->factory->cancelled, true, memory_order_relaxed);
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestIsCancelled(TRITONSERVER_InferenceRequest *inference_request,
                                         bool *is_cancelled)
{
    const struct request *request = own(inference_request);
    if (request->factory == NULL) {
        return abi_error(status_new(NRD_INTERNAL,
                                    "It is not possible to query cancellation status before "
                                    "calling TRITONSERVER_InferAsync."));
    }
    *is_cancelled = request_is_cancelled(request);
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestPriority(TRITONSERVER_InferenceRequest *inference_request,
                                      uint32_t *priority)
{
    uint64_t value = own(inference_request)->priority;
    if (value > UINT32_MAX) {
        return abi_error(
            status_new(NRD_INVALID_ARG,
                       "request priority overflows uint32_t, use "
                       "TRITONSERVER_InferenceRequestPriorityUInt64, priority=%" PRIu64,
                       value));
    }
    *priority = (uint32_t)value;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestPriorityUInt64(TRITONSERVER_InferenceRequest *inference_request,
                                            uint64_t *priority)
{
    *priority = own(inference_request)->priority;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestSetPriority(TRITONSERVER_InferenceRequest *inference_request,
                                         uint32_t priority)
{
    request_set_priority(own(inference_request), priority);
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestSetPriorityUInt64(TRITONSERVER_InferenceRequest *inference_request,
                                               uint64_t priority)
{
    request_set_priority(own(inference_request), priority);
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestTimeoutMicroseconds(TRITONSERVER_InferenceRequest *inference_request,
                                                 uint64_t *timeout_us)
{
    *timeout_us = own(inference_request)->timeout_us;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_InferenceRequestSetTimeoutMicroseconds(
    TRITONSERVER_InferenceRequest *inference_request, uint64_t timeout_us)
{
    own(inference_request)->timeout_us = timeout_us;
    return NULL;
}

// ---- inputs and outputs -----------------------------------------------------------------------

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestAddInput(TRITONSERVER_InferenceRequest *inference_request,
                                      const char *name, const TRITONSERVER_DataType datatype,
                                      const int64_t *shape, uint64_t dim_count)
{
    return abi_error(request_add_input(own(inference_request), name, datatype, shape, dim_count));
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestAddRawInput(TRITONSERVER_InferenceRequest *inference_request,
                                         const char *name)
{
    return abi_error(request_add_raw_input(own(inference_request), name));
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestRemoveInput(TRITONSERVER_InferenceRequest *inference_request,
                                         const char *name)
{
    return abi_error(request_remove_input(own(inference_request), name));
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestRemoveAllInputs(TRITONSERVER_InferenceRequest *inference_request)
{
    request_remove_inputs(own(inference_request));
    return NULL;
}

static TRITONSERVER_Error *append(TRITONSERVER_InferenceRequest *inference_request,
                                  const char *name, const char *host_policy, const void *base,
                                  const struct buffer_attributes *attributes)
{
    struct request *request = own(inference_request);
    struct request_input *input = request_find_input(request, name);
    return abi_error(input == NULL ? request_error(request, NRD_INVALID_ARG,
                                                   "input '%s' does not exist in request", name)
                                   : request_append(request, input, host_policy, base, attributes));
}

TRITONSERVER_Error *TRITONSERVER_InferenceRequestAppendInputData(
    TRITONSERVER_InferenceRequest *inference_request, const char *name, const void *base,
    size_t byte_size, TRITONSERVER_MemoryType memory_type, int64_t memory_type_id)
{
    struct buffer_attributes attributes = {byte_size, memory_type, memory_type_id, NULL};
    return append(inference_request, name, NULL, base, &attributes);
}

TRITONSERVER_Error *TRITONSERVER_InferenceRequestAppendInputDataWithHostPolicy(
    TRITONSERVER_InferenceRequest *inference_request, const char *name, const void *base,
    size_t byte_size, TRITONSERVER_MemoryType memory_type, int64_t memory_type_id,
    const char *host_policy_name)
{
    struct buffer_attributes attributes = {byte_size, memory_type, memory_type_id, NULL};
    return append(inference_request, name, host_policy_name, base, &attributes);
}

TRITONSERVER_Error *TRITONSERVER_InferenceRequestAppendInputDataWithBufferAttributes(
    TRITONSERVER_InferenceRequest *inference_request, const char *name, const void *base,
    TRITONSERVER_BufferAttributes *buffer_attributes)
{
    return append(inference_request, name, NULL, base,
                  (const struct buffer_attributes *)buffer_attributes);
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestRemoveAllInputData(TRITONSERVER_InferenceRequest *inference_request,
                                                const char *name)
{
    struct request *request = own(inference_request);
    struct request_input *input = request_find_input(request, name);
    if (input == NULL) {
        return abi_error(
            request_error(request, NRD_INVALID_ARG, "input '%s' does not exist in request", name));
    }
    request_clear_data(input);
    request->normalized = false;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestAddRequestedOutput(TRITONSERVER_InferenceRequest *inference_request,
                                                const char *name)
{
    return abi_error(request_add_output(own(inference_request), name));
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestRemoveRequestedOutput(TRITONSERVER_InferenceRequest *inference_request,
                                                   const char *name)
{
    request_remove_output(own(inference_request), name);
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_InferenceRequestRemoveAllRequestedOutputs(
    TRITONSERVER_InferenceRequest *inference_request)
{
    request_remove_outputs(own(inference_request));
    return NULL;
}

// ---- callbacks and parameters -----------------------------------------------------------------

TRITONSERVER_Error *TRITONSERVER_InferenceRequestSetReleaseCallback(
    TRITONSERVER_InferenceRequest *inference_request,
    TRITONSERVER_InferenceRequestReleaseFn_t request_release_fn, void *request_release_userp)
{
    own(inference_request)->release_fn = request_release_fn;
    own(inference_request)->release_userp = request_release_userp;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_InferenceRequestSetResponseCallback(
    TRITONSERVER_InferenceRequest *inference_request,
    TRITONSERVER_ResponseAllocator *response_allocator, void *response_allocator_userp,
    TRITONSERVER_InferenceResponseCompleteFn_t response_fn, void *response_userp)
{
    struct request *request = own(inference_request);
    request->allocator = (const struct response_allocator *)response_allocator;
    request->allocator_userp = response_allocator_userp;
    request->response_fn = response_fn;
    request->response_userp = response_userp;
    return NULL;
}

static TRITONSERVER_Error *add_parameter(TRITONSERVER_InferenceRequest *request,
                                         const struct request_parameter *parameter)
{
    return abi_error(
        parameter_list_add(&own(request)->parameters, &own(request)->arena, parameter));
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestSetStringParameter(TRITONSERVER_InferenceRequest *request,
                                                const char *key, const char *value)
{
    return add_parameter(request, &(struct request_parameter){
                                      key, TRITONSERVER_PARAMETER_STRING, {.string = value}});
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestSetIntParameter(TRITONSERVER_InferenceRequest *request,
                                             const char *key, const int64_t value)
{
    return add_parameter(
        request, &(struct request_parameter){key, TRITONSERVER_PARAMETER_INT, {.integer = value}});
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestSetBoolParameter(TRITONSERVER_InferenceRequest *request,
                                              const char *key, const bool value)
{
    return add_parameter(
        request, &(struct request_parameter){key, TRITONSERVER_PARAMETER_BOOL, {.boolean = value}});
}

TRITONSERVER_Error *
TRITONSERVER_InferenceRequestSetDoubleParameter(TRITONSERVER_InferenceRequest *request,
                                                const char *key, const double value)
{
    return add_parameter(
        request, &(struct request_parameter){key, TRITONSERVER_PARAMETER_DOUBLE, {.real = value}});
}
