// SPDX-License-Identifier: Apache-2.0
// TRITONCACHE_*: the host side of response caches. No cache is loaded by this server yet (server_create refuses one
// by name), so nothing can hold an entry; each function says so.
#include "core/abi/abi.h"

TRITONSERVER_Error *TRITONCACHE_ApiVersion(uint32_t *major, uint32_t *minor)
{
    *major = TRITONCACHE_API_VERSION_MAJOR;
    *minor = TRITONCACHE_API_VERSION_MINOR;
    return NULL;
}

TRITONSERVER_Error *TRITONCACHE_CacheEntryBufferCount(TRITONCACHE_CacheEntry *entry, size_t *count)
{
    (void)entry;
    (void)count;
    return abi_unbuilt(__func__);
}

TRITONSERVER_Error *
TRITONCACHE_CacheEntryAddBuffer(TRITONCACHE_CacheEntry *entry, void *base,
                                TRITONSERVER_BufferAttributes *buffer_attributes)
{
    (void)entry;
    (void)base;
    (void)buffer_attributes;
    return abi_unbuilt(__func__);
}

TRITONSERVER_Error *
TRITONCACHE_CacheEntryGetBuffer(TRITONCACHE_CacheEntry *entry, size_t index, void **base,
                                TRITONSERVER_BufferAttributes *buffer_attributes)
{
    (void)entry;
    (void)index;
    (void)base;
    (void)buffer_attributes;
    return abi_unbuilt(__func__);
}

TRITONSERVER_Error *
TRITONCACHE_CacheEntrySetBuffer(TRITONCACHE_CacheEntry *entry, size_t index, void *new_base,
                                TRITONSERVER_BufferAttributes *buffer_attributes)
{
    (void)entry;
    (void)index;
    (void)new_base;
    (void)buffer_attributes;
    return abi_unbuilt(__func__);
}

TRITONSERVER_Error *TRITONCACHE_Copy(TRITONCACHE_Allocator *allocator,
                                     TRITONCACHE_CacheEntry *entry)
{
    (void)allocator;
    (void)entry;
    return abi_unbuilt(__func__);
}
