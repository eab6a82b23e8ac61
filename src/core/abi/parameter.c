// SPDX-License-Identifier: Apache-2.0
// TRITONSERVER_Parameter*.
#include "core/abi/abi.h"

#include <string.h>

#include "base/mem.h"
#include "core/parameter.h"

const char *TRITONSERVER_ParameterTypeString(TRITONSERVER_ParameterType paramtype)
{
    switch (paramtype) {
    case TRITONSERVER_PARAMETER_STRING:
        return "STRING";
    case TRITONSERVER_PARAMETER_INT:
        return "INT";
    case TRITONSERVER_PARAMETER_BOOL:
        return "BOOL";
    case TRITONSERVER_PARAMETER_DOUBLE:
        return "DOUBLE";
    case TRITONSERVER_PARAMETER_BYTES:
        return "BYTES";
    }
    return "<invalid>";
}

// An empty parameter of that name; NULL when memory is out.
static struct parameter *parameter_create(const char *name, TRITONSERVER_ParameterType type)
{
    struct parameter *parameter = mem_calloc(1, sizeof(*parameter));
    if (parameter == NULL) {
        return NULL;
    }
    parameter->type = type;
    parameter->name = mem_strdup(name);
    if (parameter->name == NULL) {
        mem_free(parameter);
        return NULL;
    }
    return parameter;
}

TRITONSERVER_Parameter *TRITONSERVER_ParameterNew(const char *name,
                                                  const TRITONSERVER_ParameterType type,
                                                  const void *value)
{
    if ((unsigned)type > TRITONSERVER_PARAMETER_DOUBLE) {
        return NULL;
    }
    struct parameter *parameter = parameter_create(name, type);
    if (parameter == NULL) {
        return NULL;
    }
    switch (type) {
    case TRITONSERVER_PARAMETER_STRING:
        parameter->value.string = mem_strdup((const char *)value);
        if (parameter->value.string == NULL) {
            TRITONSERVER_ParameterDelete((TRITONSERVER_Parameter *)parameter);
            return NULL;
        }
        parameter->byte_size = strlen(parameter->value.string);
        break;
    case TRITONSERVER_PARAMETER_INT:
        parameter->value.integer = *(const int64_t *)value;
        break;
    case TRITONSERVER_PARAMETER_BOOL:
        parameter->value.boolean = *(const bool *)value;
        break;
    case TRITONSERVER_PARAMETER_DOUBLE:
        parameter->value.real = *(const double *)value;
        break;
    case TRITONSERVER_PARAMETER_BYTES:
        break;
    }
    return (TRITONSERVER_Parameter *)parameter;
}

TRITONSERVER_Parameter *TRITONSERVER_ParameterBytesNew(const char *name, const void *byte_ptr,
                                                       const uint64_t size)
{
    struct parameter *parameter = parameter_create(name, TRITONSERVER_PARAMETER_BYTES);
    if (parameter != NULL) {
        parameter->value.bytes = byte_ptr;
        parameter->byte_size = size;
    }
    return (TRITONSERVER_Parameter *)parameter;
}

void TRITONSERVER_ParameterDelete(TRITONSERVER_Parameter *parameter)
{
    struct parameter *own = (struct parameter *)parameter;
    if (own == NULL) {
        return;
    }
    if (own->type == TRITONSERVER_PARAMETER_STRING) {
        mem_free(own->value.string);
    }
    mem_free(own->name);
    mem_free(own);
}
