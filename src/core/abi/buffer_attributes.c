// SPDX-License-Identifier: Apache-2.0
// TRITONSERVER_BufferAttributes*.
#include "core/abi/abi.h"

#include "base/mem.h"
#include "core/buffer_attributes.h"

static struct buffer_attributes *own(TRITONSERVER_BufferAttributes *attributes)
{
    return (struct buffer_attributes *)attributes;
}

TRITONSERVER_Error *
TRITONSERVER_BufferAttributesNew(TRITONSERVER_BufferAttributes **buffer_attributes)
{
    struct buffer_attributes *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return abi_error(status_no_memory());
    }
    *buffer_attributes = (TRITONSERVER_BufferAttributes *)made;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_BufferAttributesDelete(TRITONSERVER_BufferAttributes *buffer_attributes)
{
    mem_free(buffer_attributes);
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_BufferAttributesSetMemoryTypeId(TRITONSERVER_BufferAttributes *buffer_attributes,
                                             int64_t memory_type_id)
{
    own(buffer_attributes)->memory_type_id = memory_type_id;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_BufferAttributesSetMemoryType(TRITONSERVER_BufferAttributes *buffer_attributes,
                                           TRITONSERVER_MemoryType memory_type)
{
    own(buffer_attributes)->memory_type = memory_type;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_BufferAttributesSetCudaIpcHandle(TRITONSERVER_BufferAttributes *buffer_attributes,
                                              void *cuda_ipc_handle)
{
    own(buffer_attributes)->cuda_ipc_handle = cuda_ipc_handle;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_BufferAttributesSetByteSize(TRITONSERVER_BufferAttributes *buffer_attributes,
                                         size_t byte_size)
{
    own(buffer_attributes)->byte_size = byte_size;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_BufferAttributesMemoryTypeId(TRITONSERVER_BufferAttributes *buffer_attributes,
                                          int64_t *memory_type_id)
{
    *memory_type_id = own(buffer_attributes)->memory_type_id;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_BufferAttributesMemoryType(TRITONSERVER_BufferAttributes *buffer_attributes,
                                        TRITONSERVER_MemoryType *memory_type)
{
    *memory_type = own(buffer_attributes)->memory_type;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_BufferAttributesCudaIpcHandle(TRITONSERVER_BufferAttributes *buffer_attributes,
                                           void **cuda_ipc_handle)
{
    *cuda_ipc_handle = own(buffer_attributes)->cuda_ipc_handle;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_BufferAttributesByteSize(TRITONSERVER_BufferAttributes *buffer_attributes,
                                      size_t *byte_size)
{
    *byte_size = own(buffer_attributes)->byte_size;
    return NULL;
}
