// SPDX-License-Identifier: Apache-2.0
// See alloc.h. protobuf-c takes the allocator by a pointer to non-const, but only reads it.
#include "proto/alloc.h"

#include "base/mem.h"

static void *allocate(void *data, size_t size)
{
    (void)data;
    return mem_alloc(size);
}

static void release(void *data, void *pointer)
{
    (void)data;
    mem_free(pointer);
}

ProtobufCAllocator *proto_allocator(void)
{
    static ProtobufCAllocator allocator = {.alloc = allocate, .free = release};
    return &allocator;
}
