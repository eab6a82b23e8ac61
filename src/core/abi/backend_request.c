// SPDX-License-Identifier: Apache-2.0
// TRITONBACKEND_Request*, TRITONBACKEND_Input*, TRITONBACKEND_State*: what a backend reads.
#include "core/abi/abi.h"
#include "core/abi/stream_order.h"

#include <inttypes.h>

#include "core/model.h"
#include "core/request.h"
#include "core/response.h"

static struct request *own(TRITONBACKEND_Request *request)
{
    return (struct request *)request;
}

static const struct request_input *own_input(TRITONBACKEND_Input *input)
{
    return (const struct request_input *)input;
}

static TRITONSERVER_Error *out_of_bounds(const struct request *request, uint32_t index,
                                         uint32_t count, const char *what)
{
    return abi_error(request_error(request, NRD_INVALID_ARG,
                                   "out of bounds index %" PRIu32 ": request has %" PRIu32 " %s",
                                   index, count, what));
}

// ---- scalars ----------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONBACKEND_RequestId(TRITONBACKEND_Request *request, const char **id)
{
    *id = own(request)->id.len == 0 ? "" : own(request)->id.ptr;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_RequestCorrelationId(TRITONBACKEND_Request *request, uint64_t *id)
{
    if (own(request)->correlation_text != NULL) {
        return abi_error(request_error(own(request), NRD_INVALID_ARG,
                                       "correlation ID in request is not an unsigned int"));
    }
    *id = own(request)->correlation_id;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_RequestCorrelationIdString(TRITONBACKEND_Request *request,
                                                             const char **id)
{
    if (own(request)->correlation_text == NULL) {
        return abi_error(request_error(own(request), NRD_INVALID_ARG,
                                       "correlation ID in request is not a string"));
    }
    *id = own(request)->correlation_text;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_RequestFlags(TRITONBACKEND_Request *request, uint32_t *flags)
{
    *flags = own(request)->flags;
    return NULL;
}

TRITONSERVER_Error *
TRITONBACKEND_InferenceRequestTimeoutMicroseconds(TRITONBACKEND_Request *request, uint64_t *timeout)
{
    *timeout = own(request)->timeout_us;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_RequestIsCancelled(TRITONBACKEND_Request *request,
                                                     bool *is_cancelled)
{
    *is_cancelled = request_is_cancelled(own(request));
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_RequestParameterCount(TRITONBACKEND_Request *request,
                                                        uint32_t *count)
{
    *count = own(request)->parameters.count;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_RequestParameter(TRITONBACKEND_Request *request,
                                                   const uint32_t index, const char **key,
                                                   TRITONSERVER_ParameterType *type,
                                                   const void **vvalue)
{
    const struct parameter_list *list = &own(request)->parameters;
    if (index >= list->count) {
        return abi_error(status_new(
            NRD_INVALID_ARG, "out of bounds index %" PRIu32 ": request has %" PRIu32 " parameters",
            index, list->count));
    }
    *key = list->items[index].name;
    *type = list->items[index].type;
    *vvalue = parameter_value(&list->items[index]);
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_RequestTrace(TRITONBACKEND_Request *request,
                                               TRITONSERVER_InferenceTrace **trace)
{
    *trace = (TRITONSERVER_InferenceTrace *)own(request)->trace;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_RequestRelease(TRITONBACKEND_Request *request,
                                                 uint32_t release_flags)
{
    return abi_error(request_release(own(request), release_flags));
}

// ---- inputs and outputs by place and name -----------------------------------------------------

TRITONSERVER_Error *TRITONBACKEND_RequestInputCount(TRITONBACKEND_Request *request, uint32_t *count)
{
    *count = own(request)->input_count;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_RequestInputName(TRITONBACKEND_Request *request,
                                                   const uint32_t index, const char **input_name)
{
    *input_name = NULL;
    if (index >= own(request)->input_count) {
        return out_of_bounds(own(request), index, own(request)->input_count, "inputs");
    }
    *input_name = own(request)->inputs[index].name;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_RequestInput(TRITONBACKEND_Request *request, const char *name,
                                               TRITONBACKEND_Input **input)
{
    *input = (TRITONBACKEND_Input *)request_find_input(own(request), name);
    return *input != NULL ? NULL
                          : abi_error(request_error(own(request), NRD_INVALID_ARG,
                                                    "unknown request input name %s", name));
}

TRITONSERVER_Error *TRITONBACKEND_RequestInputByIndex(TRITONBACKEND_Request *request,
                                                      const uint32_t index,
                                                      TRITONBACKEND_Input **input)
{
    if (index >= own(request)->input_count) {
        *input = NULL;
        return out_of_bounds(own(request), index, own(request)->input_count, "inputs");
    }
    *input = (TRITONBACKEND_Input *)&own(request)->inputs[index];
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_RequestOutputCount(TRITONBACKEND_Request *request,
                                                     uint32_t *count)
{
    *count = own(request)->output_count;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_RequestOutputName(TRITONBACKEND_Request *request,
                                                    const uint32_t index, const char **output_name)
{
    *output_name = NULL;
    if (index >= own(request)->output_count) {
        return out_of_bounds(own(request), index, own(request)->output_count, "requested outputs");
    }
    *output_name = own(request)->outputs[index];
    return NULL;
}

TRITONSERVER_Error *
TRITONBACKEND_RequestOutputBufferProperties(TRITONBACKEND_Request *request, const char *name,
                                            size_t *byte_size, TRITONSERVER_MemoryType *memory_type,
                                            int64_t *memory_type_id)
{
    const struct response_allocator *allocator = own(request)->allocator;
    if (allocator == NULL || allocator->query == NULL) {
        return abi_error(
            request_error(own(request), NRD_UNAVAILABLE, "Output properties are not available"));
    }
    return allocator->query((TRITONSERVER_ResponseAllocator *)(uintptr_t)allocator,
                            own(request)->allocator_userp, name, byte_size, memory_type,
                            memory_type_id);
}

// ---- one input --------------------------------------------------------------------------------

TRITONSERVER_Error *
TRITONBACKEND_InputPropertiesForHostPolicy(TRITONBACKEND_Input *input, const char *host_policy_name,
                                           const char **name, TRITONSERVER_DataType *datatype,
                                           const int64_t **shape, uint32_t *dims_count,
                                           uint64_t *byte_size, uint32_t *buffer_count)
{
    const struct request_input *in = own_input(input);
    const struct request_data *data = request_data_for(in, host_policy_name);
    if (name != NULL) {
        *name = in->name;
    }
    if (datatype != NULL) {
        *datatype = in->datatype;
    }
    if (shape != NULL) {
        *shape = in->full;
    }
    if (dims_count != NULL) {
        *dims_count = in->full_count;
    }
    if (byte_size != NULL) {
        *byte_size = data->byte_size;
    }
    if (buffer_count != NULL) {
        *buffer_count = data->count;
    }
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_InputProperties(TRITONBACKEND_Input *input, const char **name,
                                                  TRITONSERVER_DataType *datatype,
                                                  const int64_t **shape, uint32_t *dims_count,
                                                  uint64_t *byte_size, uint32_t *buffer_count)
{
    return TRITONBACKEND_InputPropertiesForHostPolicy(input, NULL, name, datatype, shape,
                                                      dims_count, byte_size, buffer_count);
}

TRITONSERVER_Error *TRITONBACKEND_InputBufferForHostPolicy(
    TRITONBACKEND_Input *input, const char *host_policy_name, const uint32_t index,
    const void **buffer, uint64_t *buffer_byte_size, TRITONSERVER_MemoryType *memory_type,
    int64_t *memory_type_id)
{
    struct request_input *in = (struct request_input *)input;
    const struct request_data *data = request_data_for(in, host_policy_name);
    // Beyond the last buffer there is an empty one: backends ask for buffer 0 of an empty tensor.
    if (index >= data->count) {
        *buffer = NULL;
        *buffer_byte_size = 0;
        *memory_type = TRITONSERVER_MEMORY_CPU;
        *memory_type_id = 0;
        return NULL;
    }
    const struct request_buffer *at = &data->buffers[index];
    if (in->ready_event != NULL && at->attributes.memory_type == TRITONSERVER_MEMORY_GPU) {
        struct nrd_status *status = input_await(in, at->attributes.memory_type_id);
        if (status != NULL) {
            return abi_error(status);
        }
    }
    *buffer = at->base;
    *buffer_byte_size = at->attributes.byte_size;
    *memory_type = at->attributes.memory_type;
    *memory_type_id = at->attributes.memory_type_id;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_InputBuffer(TRITONBACKEND_Input *input, const uint32_t index,
                                              const void **buffer, uint64_t *buffer_byte_size,
                                              TRITONSERVER_MemoryType *memory_type,
                                              int64_t *memory_type_id)
{
    return TRITONBACKEND_InputBufferForHostPolicy(input, NULL, index, buffer, buffer_byte_size,
                                                  memory_type, memory_type_id);
}

TRITONSERVER_Error *
TRITONBACKEND_InputBufferAttributes(TRITONBACKEND_Input *input, const uint32_t index,
                                    const void **buffer,
                                    TRITONSERVER_BufferAttributes **buffer_attributes)
{
    static const struct buffer_attributes nothing = {0};
    const struct request_data *data = &own_input(input)->data;
    bool there = index < data->count;
    const struct buffer_attributes *found = there ? &data->buffers[index].attributes : &nothing;
    if (there && found->memory_type == TRITONSERVER_MEMORY_GPU) {
        struct nrd_status *status =
            input_await((struct request_input *)input, found->memory_type_id);
        if (status != NULL) {
            return abi_error(status);
        }
    }
    *buffer = there ? data->buffers[index].base : NULL;
    *buffer_attributes = (TRITONSERVER_BufferAttributes *)(uintptr_t)found;
    return NULL;
}

// ---- state of sequences -----------------------------------------------------------------------

TRITONSERVER_Error *TRITONBACKEND_StateNew(TRITONBACKEND_State **state,
                                           TRITONBACKEND_Request *request, const char *name,
                                           const TRITONSERVER_DataType datatype,
                                           const int64_t *shape, const uint32_t dims_count)
{
    (void)datatype;
    (void)shape;
    (void)dims_count;
    *state = NULL;
    return abi_error(status_new(NRD_INVALID_ARG,
                                "unable to add state '%s'. State configuration is missing for "
                                "model '%s'.",
                                name, own(request)->model->name));
}

TRITONSERVER_Error *TRITONBACKEND_StateUpdate(TRITONBACKEND_State *state)
{
    (void)state;
    return abi_unbuilt("TRITONBACKEND_StateUpdate");
}

TRITONSERVER_Error *TRITONBACKEND_StateBuffer(TRITONBACKEND_State *state, void **buffer,
                                              const uint64_t buffer_byte_size,
                                              TRITONSERVER_MemoryType *memory_type,
                                              int64_t *memory_type_id)
{
    (void)state;
    (void)buffer_byte_size;
    (void)memory_type;
    (void)memory_type_id;
    *buffer = NULL;
    return abi_unbuilt("TRITONBACKEND_StateBuffer");
}

TRITONSERVER_Error *
TRITONBACKEND_StateBufferAttributes(TRITONBACKEND_State *state,
                                    TRITONSERVER_BufferAttributes **buffer_attributes)
{
    (void)state;
    *buffer_attributes = NULL;
    return abi_unbuilt("TRITONBACKEND_StateBufferAttributes");
}
