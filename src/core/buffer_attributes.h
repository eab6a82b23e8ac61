// SPDX-License-Identifier: Apache-2.0
// Buffer attributes: where a buffer lies and how large it is (TRITONSERVER_BufferAttributes).
//
// A plain value that may be embedded wherever a buffer is described; abi/buffer_attributes.c makes the ones
// that callers own.
#ifndef NEREID_CORE_BUFFER_ATTRIBUTES_H
#define NEREID_CORE_BUFFER_ATTRIBUTES_H

#include "triton/core/tritonserver.h"

struct buffer_attributes {
    size_t byte_size;
    TRITONSERVER_MemoryType memory_type;
    int64_t memory_type_id;
    void *cuda_ipc_handle; // borrowed; NULL if none
};

#endif
