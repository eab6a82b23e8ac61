// SPDX-License-Identifier: Apache-2.0
// Stream-ordered pools: the driver's own allocator (cuMemPool), with a limit of ours.
//
// The limit is counted here and not by the driver's maxSize, which drivers before 12.2 ignore. What is freed is freed in a
// stream of the pool's own that waits for the last users, since the stream it was got on may be gone by then.
#include <pthread.h>

#include "base/mem.h"
#include "base/pool.h"
#include "gpu/block_private.h"
#include "gpu/device_private.h"

enum { BLOCKS_IDLE_MAX = 256 };

struct gpu_async_pool {
    pthread_mutex_t lock; // of `usage`
    struct gpu_device *device;
    struct cu_mempool *handle;
    struct gpu_stream *release_stream;
    struct object_pool *blocks;
    struct gpu_pool_usage usage;
};

static void pool_free(struct gpu_async_pool *p, uint64_t pointer)
{
    struct gpu_scope scope;
    if (gpu_device_enter_release(p->device, &scope)) {
        (void)gpu_driver()->mem_free_async(pointer, gpu_stream_handle(p->release_stream));
        gpu_device_leave(&scope);
    }
}

static void count_back(struct gpu_async_pool *p, uint64_t size)
{
    pthread_mutex_lock(&p->lock);
    p->usage.used_bytes -= size;
    pthread_mutex_unlock(&p->lock);
}

static void async_give_back(struct gpu_block *block)
{
    struct gpu_async_pool *p = block->owner;
    // An error here is a lost device's, where order does not matter any more.
    status_free(block_wait_uses(block, p->release_stream));
    pool_free(p, (uint64_t)(uintptr_t)block->buffer.data);
    count_back(p, block->buffer.size);
    block_drop_events(block);
    object_pool_put(p->blocks, block);
}

// Takes `size` off the limit; false when it does not fit.
static bool count_out(struct gpu_async_pool *p, uint64_t size)
{
    pthread_mutex_lock(&p->lock);
    struct gpu_pool_usage *usage = &p->usage;
    bool fits = usage->limit_bytes == 0 ||
                (size <= usage->limit_bytes && usage->used_bytes <= usage->limit_bytes - size);
    if (fits) {
        usage->used_bytes += size;
        if (usage->used_bytes > usage->peak_bytes) {
            usage->peak_bytes = usage->used_bytes;
        }
    } else {
        usage->refused++;
    }
    pthread_mutex_unlock(&p->lock);
    return fits;
}

static struct nrd_status *pool_alloc(struct gpu_async_pool *p, struct gpu_stream *stream,
                                     size_t size, uint64_t *pointer)
{
    struct gpu_scope scope;
    NRD_TRY(gpu_device_enter(p->device, &scope));
    struct nrd_status *status =
        GPU_CALL(p->device, mempool_alloc_async,
                 (pointer, size == 0 ? 1 : size, p->handle, gpu_stream_handle(stream)));
    gpu_device_leave(&scope);
    return status;
}

struct nrd_status *gpu_async_pool_get(struct gpu_async_pool *pool, struct gpu_stream *stream,
                                      size_t size, struct tensor_buffer **buffer)
{
    if (!count_out(pool, size)) {
        struct gpu_pool_usage usage;
        gpu_async_pool_usage(pool, &usage);
        return status_new(
            NRD_UNAVAILABLE,
            "GPU %d: memory pool of %llu bytes has no room for %zu bytes (%llu in use)",
            pool->device->info.ordinal, (unsigned long long)usage.limit_bytes, size,
            (unsigned long long)usage.used_bytes);
    }
    uint64_t pointer = 0;
    struct gpu_block *block = object_pool_get(pool->blocks);
    struct nrd_status *status =
        block == NULL ? status_no_memory() : pool_alloc(pool, stream, size, &pointer);
    if (status != NULL) {
        count_back(pool, size);
        if (block != NULL) {
            object_pool_put(pool->blocks, block);
        }
        return status;
    }
    block_init(block, (void *)(uintptr_t)pointer, size, NRD_MEMORY_GPU, pool->device->info.ordinal,
               async_give_back, pool);
    status = gpu_buffer_set_ready(&block->buffer, stream);
    if (status != NULL) {
        buffer_unref(&block->buffer);
        return status;
    }
    *buffer = &block->buffer;
    return NULL;
}

void gpu_async_pool_usage(struct gpu_async_pool *pool, struct gpu_pool_usage *usage)
{
    uint64_t reserved = 0;
    if (gpu_driver()->mempool_get_attribute(pool->handle, CU_MEMPOOL_RESERVED_CURRENT, &reserved) !=
        CU_SUCCESS) {
        reserved = 0;
    }
    pthread_mutex_lock(&pool->lock);
    *usage = pool->usage;
    pthread_mutex_unlock(&pool->lock);
    usage->reserved_bytes = reserved;
}

struct nrd_status *gpu_async_pool_allow(struct gpu_async_pool *pool, struct gpu_device *peer)
{
    struct cu_mem_access access = {{CU_MEM_LOCATION_DEVICE, peer->handle}, CU_MEM_ACCESS_READWRITE};
    return GPU_CALL(pool->device, mempool_set_access, (pool->handle, &access, 1));
}

static struct nrd_status *pool_setup(struct gpu_async_pool *p,
                                     const struct gpu_async_pool_options *options)
{
    struct cu_mempool_props props = {
        .alloc_type = CU_MEM_ALLOCATION_PINNED,
        .location = {CU_MEM_LOCATION_DEVICE, p->device->handle},
    };
    uint64_t threshold = options->release_threshold;
    p->blocks = object_pool_create(sizeof(struct gpu_block), BLOCKS_IDLE_MAX);
    if (p->blocks == NULL) {
        return status_no_memory();
    }
    NRD_TRY(gpu_stream_create(p->device, GPU_PRIORITY_NORMAL, &p->release_stream));
    NRD_TRY(GPU_CALL(p->device, mempool_create, (&p->handle, &props)));
    NRD_TRY(GPU_CALL(p->device, mempool_set_attribute,
                     (p->handle, CU_MEMPOOL_RELEASE_THRESHOLD, &threshold)));
    if (options->initial_bytes > 0) {
        uint64_t pointer = 0;
        NRD_TRY(pool_alloc(p, p->release_stream, options->initial_bytes, &pointer));
        pool_free(p, pointer);
    }
    return NULL;
}

struct nrd_status *gpu_async_pool_create(const struct gpu_async_pool_options *options,
                                         struct gpu_async_pool **pool)
{
    struct gpu_device *device = options->device;
    if (!device->info.has_memory_pools) {
        return status_new(NRD_UNSUPPORTED, "GPU %d has no stream-ordered memory pools",
                          device->info.ordinal);
    }
    if (options->max_bytes != 0 && options->initial_bytes > options->max_bytes) {
        return status_new(NRD_INVALID_ARG,
                          "GPU %d: a memory pool of at most %llu bytes cannot begin with %llu",
                          device->info.ordinal, (unsigned long long)options->max_bytes,
                          (unsigned long long)options->initial_bytes);
    }
    struct gpu_async_pool *p = mem_calloc(1, sizeof(*p));
    if (p == NULL) {
        return status_no_memory();
    }
    pthread_mutex_init(&p->lock, NULL);
    p->device = device;
    p->usage.limit_bytes = options->max_bytes;
    struct nrd_status *status = pool_setup(p, options);
    if (status != NULL) {
        gpu_async_pool_destroy(p);
        return status;
    }
    *pool = p;
    return NULL;
}

void gpu_async_pool_destroy(struct gpu_async_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    if (pool->release_stream != NULL && !gpu_device_is_lost(pool->device)) {
        status_free(gpu_stream_sync(pool->release_stream, 0));
    }
    if (pool->handle != NULL) {
        (void)gpu_driver()->mempool_destroy(pool->handle);
    }
    gpu_stream_destroy(pool->release_stream);
    object_pool_destroy(pool->blocks);
    pthread_mutex_destroy(&pool->lock);
    mem_free(pool);
}
