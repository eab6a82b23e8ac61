// SPDX-License-Identifier: Apache-2.0
// TRITONBACKEND_Response*, TRITONBACKEND_ResponseFactory*, TRITONBACKEND_Output*: what a backend makes.
#include "core/abi/abi.h"

#include <inttypes.h>
#include <string.h>

#include "core/model.h"
#include "core/response.h"

static struct response *own(TRITONBACKEND_Response *response)
{
    return (struct response *)response;
}

static struct response_factory *own_factory(TRITONBACKEND_ResponseFactory *factory)
{
    return (struct response_factory *)factory;
}

// ---- factories --------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONBACKEND_ResponseFactoryNew(TRITONBACKEND_ResponseFactory **factory,
                                                     TRITONBACKEND_Request *request)
{
    struct response_factory *made = ((struct request *)request)->factory;
    *factory = (TRITONBACKEND_ResponseFactory *)response_factory_ref(made);
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ResponseFactoryDelete(TRITONBACKEND_ResponseFactory *factory)
{
    response_factory_unref(own_factory(factory));
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ResponseFactorySendFlags(TRITONBACKEND_ResponseFactory *factory,
                                                           const uint32_t send_flags)
{
    return abi_error(response_factory_send_flags(own_factory(factory), send_flags));
}

TRITONSERVER_Error *TRITONBACKEND_ResponseFactoryIsCancelled(TRITONBACKEND_ResponseFactory *factory,
                                                             bool *is_cancelled)
{
    *is_cancelled = atomic_load_explicit(&own_factory(factory)->cancelled, memory_order_relaxed);
    return NULL;
}

// ---- life -------------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONBACKEND_ResponseNewFromFactory(TRITONBACKEND_Response **response,
                                                         TRITONBACKEND_ResponseFactory *factory)
{
    *response = (TRITONBACKEND_Response *)response_create(own_factory(factory));
    return *response == NULL ? abi_error(status_no_memory()) : NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ResponseNew(TRITONBACKEND_Response **response,
                                              TRITONBACKEND_Request *request)
{
    *response = (TRITONBACKEND_Response *)response_create(((struct request *)request)->factory);
    return *response == NULL ? abi_error(status_no_memory()) : NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ResponseDelete(TRITONBACKEND_Response *response)
{
    response_destroy(own(response));
    return NULL;
}

static TRITONSERVER_Error *no_response(void)
{
    return abi_error(status_new(NRD_INVALID_ARG, "response was nullptr"));
}

TRITONSERVER_Error *TRITONBACKEND_ResponseSend(TRITONBACKEND_Response *response,
                                               const uint32_t send_flags, TRITONSERVER_Error *error)
{
    if (response == NULL) {
        return no_response();
    }
    own(response)->status = status_copy(abi_status(error));
    response_send(own(response), send_flags);
    return NULL;
}

// ---- parameters -------------------------------------------------------------------------------

static TRITONSERVER_Error *add_parameter(TRITONBACKEND_Response *response,
                                         const struct request_parameter *parameter)
{
    return response == NULL ? no_response()
                            : abi_error(parameter_list_add(&own(response)->parameters,
                                                           &own(response)->arena, parameter));
}

TRITONSERVER_Error *TRITONBACKEND_ResponseSetStringParameter(TRITONBACKEND_Response *response,
                                                             const char *name, const char *value)
{
    return add_parameter(response, &(struct request_parameter){
                                       name, TRITONSERVER_PARAMETER_STRING, {.string = value}});
}

TRITONSERVER_Error *TRITONBACKEND_ResponseSetIntParameter(TRITONBACKEND_Response *response,
                                                          const char *name, const int64_t value)
{
    return add_parameter(response, &(struct request_parameter){
                                       name, TRITONSERVER_PARAMETER_INT, {.integer = value}});
}

TRITONSERVER_Error *TRITONBACKEND_ResponseSetBoolParameter(TRITONBACKEND_Response *response,
                                                           const char *name, const bool value)
{
    return add_parameter(response, &(struct request_parameter){
                                       name, TRITONSERVER_PARAMETER_BOOL, {.boolean = value}});
}

TRITONSERVER_Error *TRITONBACKEND_ResponseSetDoubleParameter(TRITONBACKEND_Response *response,
                                                             const char *name, const double value)
{
    return add_parameter(response, &(struct request_parameter){
                                       name, TRITONSERVER_PARAMETER_DOUBLE, {.real = value}});
}

// ---- outputs ----------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONBACKEND_ResponseOutput(TRITONBACKEND_Response *response,
                                                 TRITONBACKEND_Output **output, const char *name,
                                                 const TRITONSERVER_DataType datatype,
                                                 const int64_t *shape, const uint32_t dims_count)
{
    if (response == NULL) {
        return no_response();
    }
    struct response_output *made = NULL;
    struct nrd_status *status =
        response_add_output(own(response), name, datatype, shape, dims_count, &made);
    *output = (TRITONBACKEND_Output *)made;
    return abi_error(status);
}

TRITONSERVER_Error *TRITONBACKEND_OutputBuffer(TRITONBACKEND_Output *output, void **buffer,
                                               const uint64_t buffer_byte_size,
                                               TRITONSERVER_MemoryType *memory_type,
                                               int64_t *memory_type_id)
{
    return response_output_buffer((struct response_output *)output, buffer_byte_size, buffer,
                                  memory_type, memory_type_id);
}

TRITONSERVER_Error *
TRITONBACKEND_OutputBufferAttributes(TRITONBACKEND_Output *output,
                                     TRITONSERVER_BufferAttributes **buffer_attributes)
{
    struct buffer_attributes *attributes = &((struct response_output *)output)->attributes;
    *buffer_attributes = (TRITONSERVER_BufferAttributes *)attributes;
    return NULL;
}

static TRITONSERVER_Error *describe(const struct response_output *output,
                                    TRITONSERVER_DataType *datatype, const int64_t **shape,
                                    uint64_t *dim_count)
{
    *datatype = output->datatype;
    *shape = output->shape;
    *dim_count = output->dim_count;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_InferenceResponseOutputByName(TRITONBACKEND_Response *response,
                                                                const char *name,
                                                                TRITONSERVER_DataType *datatype,
                                                                const int64_t **shape,
                                                                uint64_t *dim_count)
{
    for (const struct response_output *o = own(response)->outputs; o != NULL; o = o->next) {
        if (strcmp(o->name, name) == 0) {
            return describe(o, datatype, shape, dim_count);
        }
    }
    // Triton's text, blank and all.
    return abi_error(status_new(NRD_NOT_FOUND, "Output name %snot found.", name));
}

TRITONSERVER_Error *TRITONBACKEND_InferenceResponseOutput(TRITONBACKEND_Response *response,
                                                          const uint32_t index, const char **name,
                                                          TRITONSERVER_DataType *datatype,
                                                          const int64_t **shape,
                                                          uint64_t *dim_count)
{
    const struct response_output *output = response_output_at(own(response), index);
    if (output == NULL) {
        return abi_error(status_new(
            NRD_INVALID_ARG, "out of bounds index %" PRIu32 ": response has %" PRIu32 " outputs",
            index, own(response)->output_count));
    }
    *name = output->name;
    return describe(output, datatype, shape, dim_count);
}
