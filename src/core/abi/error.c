// SPDX-License-Identifier: Apache-2.0
// Errors, versions and the names of things: the parts of the ABIs that need no object.
//
// The four interfaces answer with the versions that their headers state, which are NVIDIA's, so that backends and
// programs built against either side accept the other.
#include "core/abi/abi.h"

#include <string.h>

TRITONSERVER_Error *TRITONSERVER_ApiVersion(uint32_t *major, uint32_t *minor)
{
    *major = TRITONSERVER_API_VERSION_MAJOR;
    *minor = TRITONSERVER_API_VERSION_MINOR;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ApiVersion(uint32_t *major, uint32_t *minor)
{
    *major = TRITONBACKEND_API_VERSION_MAJOR;
    *minor = TRITONBACKEND_API_VERSION_MINOR;
    return NULL;
}

// ---- errors ---------------------------------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONSERVER_ErrorNew(TRITONSERVER_Error_Code code, const char *msg)
{
    enum nrd_code own = code >= TRITONSERVER_ERROR_UNKNOWN && code <= TRITONSERVER_ERROR_CANCELLED
                            ? (enum nrd_code)((int)code + 1)
                            : NRD_UNKNOWN;
    return abi_error(status_new_text(own, msg == NULL ? "" : msg, msg == NULL ? 0 : strlen(msg)));
}

void TRITONSERVER_ErrorDelete(TRITONSERVER_Error *error)
{
    status_free(abi_status(error));
}

TRITONSERVER_Error_Code TRITONSERVER_ErrorCode(TRITONSERVER_Error *error)
{
    enum nrd_code code = status_code(abi_status(error));
    return code == NRD_OK ? TRITONSERVER_ERROR_UNKNOWN : (TRITONSERVER_Error_Code)((int)code - 1);
}

const char *TRITONSERVER_ErrorCodeString(TRITONSERVER_Error *error)
{
    return code_name(status_code(abi_status(error)));
}

const char *TRITONSERVER_ErrorMessage(TRITONSERVER_Error *error)
{
    return status_text(abi_status(error));
}

// ---- data types -----------------------------------------------------------------------------------------------------

static const struct {
    const char *name;
    uint32_t size;
} data_types[] = {
    [TRITONSERVER_TYPE_INVALID] = {"<invalid>", 0}, [TRITONSERVER_TYPE_BOOL] = {"BOOL", 1},
    [TRITONSERVER_TYPE_UINT8] = {"UINT8", 1},       [TRITONSERVER_TYPE_UINT16] = {"UINT16", 2},
    [TRITONSERVER_TYPE_UINT32] = {"UINT32", 4},     [TRITONSERVER_TYPE_UINT64] = {"UINT64", 8},
    [TRITONSERVER_TYPE_INT8] = {"INT8", 1},         [TRITONSERVER_TYPE_INT16] = {"INT16", 2},
    [TRITONSERVER_TYPE_INT32] = {"INT32", 4},       [TRITONSERVER_TYPE_INT64] = {"INT64", 8},
    [TRITONSERVER_TYPE_FP16] = {"FP16", 2},         [TRITONSERVER_TYPE_FP32] = {"FP32", 4},
    [TRITONSERVER_TYPE_FP64] = {"FP64", 8},         [TRITONSERVER_TYPE_BYTES] = {"BYTES", 0},
    [TRITONSERVER_TYPE_BF16] = {"BF16", 2},
};
#define DATA_TYPE_COUNT (sizeof(data_types) / sizeof(data_types[0]))

const char *TRITONSERVER_DataTypeString(TRITONSERVER_DataType datatype)
{
    return data_types[(size_t)datatype < DATA_TYPE_COUNT ? (size_t)datatype : 0].name;
}

TRITONSERVER_DataType TRITONSERVER_StringToDataType(const char *dtype)
{
    for (size_t i = 1; dtype != NULL && i < DATA_TYPE_COUNT; i++) {
        if (strcmp(dtype, data_types[i].name) == 0) {
            return (TRITONSERVER_DataType)i;
        }
    }
    return TRITONSERVER_TYPE_INVALID;
}

uint32_t TRITONSERVER_DataTypeByteSize(TRITONSERVER_DataType datatype)
{
    return data_types[(size_t)datatype < DATA_TYPE_COUNT ? (size_t)datatype : 0].size;
}

// ---- other names ----------------------------------------------------------------------------------------------------

const char *TRITONSERVER_MemoryTypeString(TRITONSERVER_MemoryType memtype)
{
    switch (memtype) {
    case TRITONSERVER_MEMORY_CPU:
        return "CPU";
    case TRITONSERVER_MEMORY_CPU_PINNED:
        return "CPU_PINNED";
    case TRITONSERVER_MEMORY_GPU:
        return "GPU";
    }
    return "<invalid>";
}

const char *TRITONSERVER_InstanceGroupKindString(TRITONSERVER_InstanceGroupKind kind)
{
    switch (kind) {
    case TRITONSERVER_INSTANCEGROUPKIND_AUTO:
        return "AUTO";
    case TRITONSERVER_INSTANCEGROUPKIND_CPU:
        return "CPU";
    case TRITONSERVER_INSTANCEGROUPKIND_GPU:
        return "GPU";
    case TRITONSERVER_INSTANCEGROUPKIND_MODEL:
        return "MODEL";
    }
    return "<invalid>";
}
