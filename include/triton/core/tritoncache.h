// SPDX-License-Identifier: Apache-2.0
// TRITONCACHE: the C interface between the server and a response cache, a shared library.
//
// This is this project's own statement of an ABI that the field already knows, version 0.1: names
// and signatures are those of NVIDIA's, so a cache built against either header loads into either
// server. The words are ours. The rules of tritonserver.h hold.
//
// A cache entry is a list of buffers. On an insert the server knows the sizes, the cache finds the
// memory, and TRITONCACHE_Copy fills it; on a lookup the cache shows its buffers, and
// TRITONCACHE_Copy lets the server take them. Start at TRITONCACHE_CacheInsert.
#ifndef TRITON_CORE_TRITONCACHE_H
#define TRITON_CORE_TRITONCACHE_H

#include <stddef.h>
#include <stdint.h>

#include "triton/core/tritonserver.h"

#ifdef __cplusplus
extern "C" {
#endif

// TRITONCACHE_DECLSPEC marks what the server exports, TRITONCACHE_ISPEC what a cache exports. The
// server's own build defines _COMPILING_TRITONCACHE.
#if defined(_MSC_VER)
#ifdef _COMPILING_TRITONCACHE
#define TRITONCACHE_DECLSPEC __declspec(dllexport)
#define TRITONCACHE_ISPEC __declspec(dllimport)
#else
#define TRITONCACHE_DECLSPEC __declspec(dllimport)
#define TRITONCACHE_ISPEC __declspec(dllexport)
#endif
#elif defined(__GNUC__)
#ifdef _COMPILING_TRITONCACHE
#define TRITONCACHE_DECLSPEC __attribute__((__visibility__("default")))
#define TRITONCACHE_ISPEC
#else
#define TRITONCACHE_DECLSPEC
#define TRITONCACHE_ISPEC __attribute__((__visibility__("default")))
#endif
#else
#define TRITONCACHE_DECLSPEC
#define TRITONCACHE_ISPEC
#endif

// A Cache is the library's own; entries and allocators are the server's.
typedef struct TRITONCACHE_Cache TRITONCACHE_Cache;
typedef struct TRITONCACHE_CacheEntry TRITONCACHE_CacheEntry;
typedef struct TRITONCACHE_Allocator TRITONCACHE_Allocator;

// A server suits a cache when the major numbers are equal and its minor number is not lower.
#define TRITONCACHE_API_VERSION_MAJOR 0
#define TRITONCACHE_API_VERSION_MINOR 1

// Tells the version of the server, to be compared with the two macros above.
TRITONCACHE_DECLSPEC TRITONSERVER_Error *TRITONCACHE_ApiVersion(uint32_t *major, uint32_t *minor);

// The number of buffers of an entry.
TRITONCACHE_DECLSPEC TRITONSERVER_Error *
TRITONCACHE_CacheEntryBufferCount(TRITONCACHE_CacheEntry *entry, size_t *count);

// Adds a buffer to an entry. The bytes are borrowed, the attributes copied. CPU memory only.
TRITONCACHE_DECLSPEC TRITONSERVER_Error *
TRITONCACHE_CacheEntryAddBuffer(TRITONCACHE_CacheEntry *entry, void *base,
                                TRITONSERVER_BufferAttributes *buffer_attributes);

// Lends the buffer at `index`, until the entry is gone; its attributes are written to
// `buffer_attributes`, an object of the caller's. INVALID_ARG if `index` is out of range.
TRITONCACHE_DECLSPEC TRITONSERVER_Error *
TRITONCACHE_CacheEntryGetBuffer(TRITONCACHE_CacheEntry *entry, size_t index, void **base,
                                TRITONSERVER_BufferAttributes *buffer_attributes);

// Puts other memory in the place of the buffer at `index`: where TRITONCACHE_Copy is to write. The
// memory is borrowed; `buffer_attributes` may be NULL if they stay the same.
TRITONCACHE_DECLSPEC TRITONSERVER_Error *
TRITONCACHE_CacheEntrySetBuffer(TRITONCACHE_CacheEntry *entry, size_t index, void *new_base,
                                TRITONSERVER_BufferAttributes *buffer_attributes);

// Copies between the buffers of the entry and the server's own, whichever way the call at hand
// goes.
TRITONCACHE_DECLSPEC TRITONSERVER_Error *TRITONCACHE_Copy(TRITONCACHE_Allocator *allocator,
                                                          TRITONCACHE_CacheEntry *entry);

//
// What a cache exports, all of it. Thread: any, several at once.
//

// Makes the cache of this configuration, which is JSON as the user wrote it; returned owned.
TRITONCACHE_ISPEC TRITONSERVER_Error *TRITONCACHE_CacheInitialize(TRITONCACHE_Cache **cache,
                                                                  const char *config);

// Frees the cache.
TRITONCACHE_ISPEC TRITONSERVER_Error *TRITONCACHE_CacheFinalize(TRITONCACHE_Cache *cache);

// Stores an entry under a key. The entry ends with the call, so the bytes are copied: set its
// buffers to the cache's memory, then TRITONCACHE_Copy. ALREADY_EXISTS if the key is there and
// kept.
TRITONCACHE_ISPEC TRITONSERVER_Error *TRITONCACHE_CacheInsert(TRITONCACHE_Cache *cache,
                                                              const char *key,
                                                              TRITONCACHE_CacheEntry *entry,
                                                              TRITONCACHE_Allocator *allocator);

// Finds the entry of a key: add its buffers to `entry`, then TRITONCACHE_Copy. NOT_FOUND if it is
// not there.
TRITONCACHE_ISPEC TRITONSERVER_Error *TRITONCACHE_CacheLookup(TRITONCACHE_Cache *cache,
                                                              const char *key,
                                                              TRITONCACHE_CacheEntry *entry,
                                                              TRITONCACHE_Allocator *allocator);

#ifdef __cplusplus
}
#endif

#endif
