// SPDX-License-Identifier: Apache-2.0
// TRITONSERVER_InferenceResponse*, TRITONSERVER_ResponseAllocator*.
#include "core/abi/abi.h"

#include <inttypes.h>

#include "base/mem.h"
#include "core/model.h"
#include "core/response.h"

static struct response *own(TRITONSERVER_InferenceResponse *response)
{
    return (struct response *)response;
}

// ---- allocators -------------------------------------------------------------------------------

TRITONSERVER_Error *
TRITONSERVER_ResponseAllocatorNew(TRITONSERVER_ResponseAllocator **allocator,
                                  TRITONSERVER_ResponseAllocatorAllocFn_t alloc_fn,
                                  TRITONSERVER_ResponseAllocatorReleaseFn_t release_fn,
                                  TRITONSERVER_ResponseAllocatorStartFn_t start_fn)
{
    struct response_allocator *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return abi_error(status_no_memory());
    }
    made->alloc = alloc_fn;
    made->release = release_fn;
    made->start = start_fn;
    *allocator = (TRITONSERVER_ResponseAllocator *)made;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ResponseAllocatorSetBufferAttributesFunction(
    TRITONSERVER_ResponseAllocator *allocator,
    TRITONSERVER_ResponseAllocatorBufferAttributesFn_t buffer_attributes_fn)
{
    ((struct response_allocator *)allocator)->buffer_attributes = buffer_attributes_fn;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_ResponseAllocatorSetQueryFunction(TRITONSERVER_ResponseAllocator *allocator,
                                               TRITONSERVER_ResponseAllocatorQueryFn_t query_fn)
{
    ((struct response_allocator *)allocator)->query = query_fn;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ResponseAllocatorDelete(TRITONSERVER_ResponseAllocator *allocator)
{
    mem_free(allocator);
    return NULL;
}

// ---- responses --------------------------------------------------------------------------------

TRITONSERVER_Error *
TRITONSERVER_InferenceResponseDelete(TRITONSERVER_InferenceResponse *inference_response)
{
    response_destroy(own(inference_response));
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceResponseError(TRITONSERVER_InferenceResponse *inference_response)
{
    return abi_error(status_copy(own(inference_response)->status));
}

TRITONSERVER_Error *
TRITONSERVER_InferenceResponseModel(TRITONSERVER_InferenceResponse *inference_response,
                                    const char **model_name, int64_t *model_version)
{
    const struct model *model = own(inference_response)->factory->model;
    *model_name = model->name;
    *model_version = model->version;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceResponseId(TRITONSERVER_InferenceResponse *inference_response,
                                 const char **request_id)
{
    *request_id = own(inference_response)->factory->id.ptr;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceResponseParameterCount(TRITONSERVER_InferenceResponse *inference_response,
                                             uint32_t *count)
{
    *count = own(inference_response)->parameters.count;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceResponseParameter(TRITONSERVER_InferenceResponse *inference_response,
                                        const uint32_t index, const char **name,
                                        TRITONSERVER_ParameterType *type, const void **vvalue)
{
    const struct parameter_list *list = &own(inference_response)->parameters;
    if (index >= list->count) {
        return abi_error(status_new(
            NRD_INVALID_ARG, "out of bounds index %" PRIu32 ": response has %" PRIu32 " parameters",
            index, list->count));
    }
    const struct request_parameter *parameter = &list->items[index];
    *name = parameter->name;
    *type = parameter->type;
    *vvalue = parameter_value(parameter);
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceResponseOutputCount(TRITONSERVER_InferenceResponse *inference_response,
                                          uint32_t *count)
{
    *count = own(inference_response)->output_count;
    return NULL;
}

static struct nrd_status *find_output(TRITONSERVER_InferenceResponse *response, uint32_t index,
                                      const struct response_output **output)
{
    *output = response_output_at(own(response), index);
    return *output != NULL
               ? NULL
               : status_new(NRD_INVALID_ARG,
                            "out of bounds index %" PRIu32 ": response has %" PRIu32 " outputs",
                            index, own(response)->output_count);
}

TRITONSERVER_Error *TRITONSERVER_InferenceResponseOutput(
    TRITONSERVER_InferenceResponse *inference_response, const uint32_t index, const char **name,
    TRITONSERVER_DataType *datatype, const int64_t **shape, uint64_t *dim_count, const void **base,
    size_t *byte_size, TRITONSERVER_MemoryType *memory_type, int64_t *memory_type_id, void **userp)
{
    const struct response_output *output;
    struct nrd_status *status = find_output(inference_response, index, &output);
    if (status != NULL) {
        return abi_error(status);
    }
    *name = output->name;
    *datatype = output->datatype;
    *shape = output->shape;
    *dim_count = output->dim_count;
    *base = output->buffer;
    *byte_size = output->attributes.byte_size;
    *memory_type = output->attributes.memory_type;
    *memory_type_id = output->attributes.memory_type_id;
    *userp = output->buffer_userp;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_InferenceResponseOutputClassificationLabel(
    TRITONSERVER_InferenceResponse *inference_response, const uint32_t index,
    const size_t class_index, const char **label)
{
    const struct response_output *output;
    struct nrd_status *status = find_output(inference_response, index, &output);
    if (status == NULL) {
        *label = model_io_label(output->io, class_index);
    }
    return abi_error(status);
}
