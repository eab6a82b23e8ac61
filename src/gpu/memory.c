// SPDX-License-Identifier: Apache-2.0
// Slab pools, and direct allocations.
//
// get:  free places ─▶ blocks whose streams have come by ─▶ a new chunk ─▶ idle chunks given back, a chunk of the right size
// put:  no stream uses it ─▶ free place; else the pending list, which the next get looks through
// The driver's allocator is only called when the pool grows: cuMemAlloc may wait for the whole device.
#include "gpu/memory.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "gpu/block_private.h"
#include "gpu/suballoc.h"

enum { BLOCKS_IDLE_MAX = 256, REAP_TRIES = 8 };

struct pool_chunk {
    struct pool_chunk *next;
    uint64_t base;
    uint64_t size;
    struct suballoc_place *first;
};

struct gpu_pool {
    pthread_mutex_t lock;
    struct gpu_pool_options options;
    struct suballoc places;
    struct pool_chunk *chunks;
    struct object_pool *blocks;
    struct gpu_block *pending; // oldest first
    struct gpu_block **pending_end;
    struct gpu_pool_usage usage;
    uint64_t claimed_bytes; // of usage.reserved_bytes: locked by others
    bool warned;
};

// ---- chunks -------------------------------------------------------------------------------------------------------

// Lets the kernel take pages for the calling thread from one node first, while `fn` of the caller runs between the two calls.
struct node_policy {
    int mode;
    unsigned long mask[16];
    bool changed;
};

static void node_prefer(struct node_policy *before, int node)
{
    enum { MPOL_PREFERRED_MODE = 1 };
    unsigned long mask[16] = {0};
    const unsigned bits = 8 * sizeof(mask[0]);
    const unsigned long max = 8 * sizeof(mask);
    before->changed = false;
    if (node < 0 || (unsigned long)node >= max ||
        syscall(SYS_get_mempolicy, &before->mode, before->mask, max, NULL, 0) != 0) {
        return;
    }
    mask[(unsigned)node / bits] = 1ul << ((unsigned)node % bits);
    before->changed = syscall(SYS_set_mempolicy, MPOL_PREFERRED_MODE, mask, max) == 0;
}

static void node_restore(const struct node_policy *before)
{
    if (before->changed) {
        (void)syscall(SYS_set_mempolicy, before->mode, before->mask, 8 * sizeof(before->mask));
    }
}

// To allocate or lock memory spoils a capture of any thread that began in the driver's strictest mode, as frameworks' do, unless the caller is
// in the relaxed one. What is done here concerns no stream, so it is done in that mode, in the device's context.
struct memory_scope {
    struct gpu_scope device;
    int capture_mode; // the thread's own
};

static void capture_let(struct memory_scope *scope)
{
    scope->capture_mode = CU_CAPTURE_RELAXED;
    if (gpu_driver()->thread_capture_mode(&scope->capture_mode) != CU_SUCCESS) {
        scope->capture_mode = CU_CAPTURE_GLOBAL; // where every thread begins
    }
}

static struct nrd_status *memory_enter(struct gpu_device *device, struct memory_scope *scope)
{
    NRD_TRY(gpu_device_enter(device, &scope->device));
    capture_let(scope);
    return NULL;
}

// As gpu_device_enter_release().
static bool memory_enter_release(struct gpu_device *device, struct memory_scope *scope)
{
    if (!gpu_device_enter_release(device, &scope->device)) {
        return false;
    }
    capture_let(scope);
    return true;
}

static void memory_leave(struct memory_scope *scope)
{
    (void)gpu_driver()->thread_capture_mode(&scope->capture_mode);
    gpu_device_leave(&scope->device);
}

static struct nrd_status *driver_alloc(const struct gpu_pool_options *options, uint64_t size,
                                       uint64_t *base)
{
    struct gpu_device *device = options->device;
    struct memory_scope scope;
    NRD_TRY(memory_enter(device, &scope));
    struct nrd_status *status;
    if (options->kind == NRD_MEMORY_GPU) {
        status = GPU_CALL(device, mem_alloc, (base, size));
    } else {
        void *data = NULL;
        struct node_policy policy;
        node_prefer(&policy, options->numa_node);
        status = GPU_CALL(device, mem_host_alloc, (&data, size, CU_HOST_ALLOC_PORTABLE));
        node_restore(&policy);
        *base = (uint64_t)(uintptr_t)data;
    }
    memory_leave(&scope);
    return status;
}

static void driver_free(const struct gpu_pool_options *options, uint64_t base)
{
    struct memory_scope scope;
    if (!memory_enter_release(options->device, &scope)) {
        return;
    }
    // On a lost device this fails, and its memory is gone with the context.
    if (options->kind == NRD_MEMORY_GPU) {
        (void)gpu_driver()->mem_free(base);
    } else {
        (void)gpu_driver()->mem_free_host((void *)(uintptr_t)base);
    }
    memory_leave(&scope);
}

static struct nrd_status *chunk_add(struct gpu_pool *p, uint64_t size)
{
    struct pool_chunk *chunk = mem_alloc(sizeof(*chunk));
    if (chunk == NULL) {
        return status_no_memory();
    }
    chunk->size = size;
    struct nrd_status *status = driver_alloc(&p->options, size, &chunk->base);
    if (status == NULL) {
        chunk->first = suballoc_add_stretch(&p->places, chunk->base, size);
        if (chunk->first == NULL) {
            driver_free(&p->options, chunk->base);
            status = status_no_memory();
        }
    }
    if (status != NULL) {
        mem_free(chunk);
        return status;
    }
    chunk->next = p->chunks;
    p->chunks = chunk;
    p->usage.reserved_bytes += size;
    return NULL;
}

static void chunks_free_idle(struct gpu_pool *p)
{
    for (struct pool_chunk **at = &p->chunks; *at != NULL;) {
        struct pool_chunk *chunk = *at;
        if (!suballoc_remove_stretch(&p->places, chunk->first)) {
            at = &chunk->next;
            continue;
        }
        *at = chunk->next;
        p->usage.reserved_bytes -= chunk->size;
        driver_free(&p->options, chunk->base);
        mem_free(chunk);
    }
}

// What the limit leaves, after a look for chunks that nobody needs if that is less than `size`.
static uint64_t pool_room(struct gpu_pool *p, uint64_t size)
{
    if (size > p->usage.limit_bytes - p->usage.reserved_bytes) {
        chunks_free_idle(p);
    }
    return p->usage.limit_bytes - p->usage.reserved_bytes;
}

// Adds a chunk in which `size` bytes fit, a whole one if the limit allows it.
static struct nrd_status *pool_grow(struct gpu_pool *p, uint64_t size)
{
    uint64_t chunk = p->options.chunk_bytes;
    uint64_t room = pool_room(p, size);
    if (size > room) {
        return status_new(NRD_UNAVAILABLE,
                          "%s memory pool of %llu bytes has no room for %llu bytes (%llu in use)",
                          p->options.kind == NRD_MEMORY_GPU ? "CUDA" : "pinned",
                          (unsigned long long)p->usage.limit_bytes, (unsigned long long)size,
                          (unsigned long long)p->usage.used_bytes);
    }
    if (chunk < size) {
        chunk = size;
    }
    if (chunk > room) {
        chunk = room & ~(uint64_t)(SUBALLOC_ALIGN - 1);
    }
    struct nrd_status *status = chunk_add(p, chunk);
    if (status != NULL && chunk > size && status_code(status) == NRD_UNAVAILABLE) {
        status_free(status);
        status = chunk_add(p, size); // the device is nearly full: take only what is needed
    }
    return status;
}

// ---- give and take ------------------------------------------------------------------------------------------------

static void block_free(struct gpu_pool *p, struct gpu_block *block)
{
    uint64_t size = suballoc_size(block->place);
    suballoc_put(&p->places, block->place);
    p->usage.used_bytes -= size;
    block_drop_events(block);
    object_pool_put(p->blocks, block);
}

// Frees pending blocks that no stream uses any more; gives up after `tries` that are still used.
static void pool_reap(struct gpu_pool *p, unsigned tries)
{
    for (struct gpu_block **at = &p->pending; *at != NULL && tries > 0;) {
        struct gpu_block *block = *at;
        if (!block_is_idle(block)) {
            at = &block->next;
            tries--;
            continue;
        }
        *at = block->next;
        if (*at == NULL) {
            p->pending_end = at;
        }
        p->usage.pending_bytes -= suballoc_size(block->place);
        block_free(p, block);
    }
}

static void pool_give_back(struct gpu_block *block)
{
    struct gpu_pool *p = block->owner;
    pthread_mutex_lock(&p->lock);
    if (block_is_idle(block)) {
        block_free(p, block);
    } else {
        block->next = NULL;
        *p->pending_end = block;
        p->pending_end = &block->next;
        p->usage.pending_bytes += suballoc_size(block->place);
    }
    pthread_mutex_unlock(&p->lock);
}

static struct nrd_status *place_get(struct gpu_pool *p, uint64_t size,
                                    struct suballoc_place **place)
{
    pool_reap(p, REAP_TRIES);
    if (suballoc_get(&p->places, size, place)) {
        return NULL;
    }
    pool_reap(p, UINT32_MAX);
    if (suballoc_get(&p->places, size, place)) {
        return NULL;
    }
    NRD_TRY(pool_grow(p, suballoc_rounded(size)));
    return suballoc_get(&p->places, size, place) ? NULL : status_no_memory();
}

static void count_used(struct gpu_pool_usage *usage, uint64_t size)
{
    usage->used_bytes += size;
    if (usage->used_bytes > usage->peak_bytes) {
        usage->peak_bytes = usage->used_bytes;
    }
}

struct nrd_status *gpu_pool_get(struct gpu_pool *pool, size_t size, struct tensor_buffer **buffer)
{
    struct gpu_block *block = object_pool_get(pool->blocks);
    if (block == NULL) {
        return status_no_memory();
    }
    struct suballoc_place *place = NULL;
    pthread_mutex_lock(&pool->lock);
    struct nrd_status *status =
        size > pool->usage.limit_bytes
            ? status_new(NRD_UNAVAILABLE, "%s memory pool of %llu bytes has no room for %zu bytes",
                         pool->options.kind == NRD_MEMORY_GPU ? "CUDA" : "pinned",
                         (unsigned long long)pool->usage.limit_bytes, size)
            : place_get(pool, size, &place);
    if (status == NULL) {
        count_used(&pool->usage, suballoc_size(place));
    } else {
        pool->usage.refused++;
    }
    pthread_mutex_unlock(&pool->lock);
    if (status != NULL) {
        object_pool_put(pool->blocks, block);
        return pool->options.device == NULL
                   ? status
                   : status_wrap(status,
                                 "GPU %d: ", gpu_device_info(pool->options.device)->ordinal);
    }
    int64_t id =
        pool->options.kind == NRD_MEMORY_GPU ? gpu_device_info(pool->options.device)->ordinal : 0;
    block_init(block, (void *)(uintptr_t)suballoc_address(place), size, pool->options.kind, id,
               pool_give_back, pool);
    block->place = place;
    *buffer = &block->buffer;
    return NULL;
}

struct nrd_status *gpu_pool_get_or_host(struct gpu_pool *pool, size_t size,
                                        struct tensor_buffer **buffer)
{
    if (pool != NULL) {
        struct nrd_status *status = gpu_pool_get(pool, size, buffer);
        if (status == NULL) {
            return NULL;
        }
        pthread_mutex_lock(&pool->lock);
        bool first = !pool->warned;
        pool->warned = true;
        pthread_mutex_unlock(&pool->lock);
        if (first) {
            LOG_WARN("failed to allocate pinned system memory: %s, falling back to non-pinned "
                     "system memory",
                     status_text(status));
        }
        status_free(status);
    }
    struct tensor_buffer *b = buffer_create(size);
    if (b == NULL) {
        return status_no_memory();
    }
    *buffer = b;
    return NULL;
}

void gpu_pool_usage(struct gpu_pool *pool, struct gpu_pool_usage *usage)
{
    pthread_mutex_lock(&pool->lock);
    pool_reap(pool, UINT32_MAX);
    *usage = pool->usage;
    pthread_mutex_unlock(&pool->lock);
}

struct nrd_status *gpu_pool_claim(struct gpu_pool *pool, uint64_t size)
{
    struct nrd_status *status = NULL;
    pthread_mutex_lock(&pool->lock);
    pool_reap(pool, UINT32_MAX);
    uint64_t most = pool->usage.limit_bytes / 2;
    if (size > most || pool->claimed_bytes > most - size || size > pool_room(pool, size)) {
        pool->usage.refused++;
        status = status_new(NRD_UNAVAILABLE,
                            "pinned memory pool of %llu bytes has no room to lock %llu bytes (%llu "
                            "in use, %llu locked)",
                            (unsigned long long)pool->usage.limit_bytes, (unsigned long long)size,
                            (unsigned long long)pool->usage.used_bytes,
                            (unsigned long long)pool->claimed_bytes);
    } else {
        pool->claimed_bytes += size;
        pool->usage.reserved_bytes += size;
        count_used(&pool->usage, size);
    }
    pthread_mutex_unlock(&pool->lock);
    return status;
}

void gpu_pool_unclaim(struct gpu_pool *pool, uint64_t size)
{
    pthread_mutex_lock(&pool->lock);
    pool->claimed_bytes -= size;
    pool->usage.reserved_bytes -= size;
    pool->usage.used_bytes -= size;
    pthread_mutex_unlock(&pool->lock);
}

void gpu_pool_trim(struct gpu_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool_reap(pool, UINT32_MAX);
    chunks_free_idle(pool);
    pthread_mutex_unlock(&pool->lock);
}

// ---- life ---------------------------------------------------------------------------------------------------------

struct nrd_status *gpu_pool_create(const struct gpu_pool_options *options, struct gpu_pool **pool)
{
    uint64_t limit = options->device == NULL ? 0 : options->limit_bytes;
    if (options->initial_bytes > limit) {
        return status_new(NRD_INVALID_ARG,
                          "a memory pool of at most %llu bytes cannot begin with %llu",
                          (unsigned long long)limit, (unsigned long long)options->initial_bytes);
    }
    struct gpu_pool *p = mem_calloc(1, sizeof(*p));
    struct object_pool *blocks =
        p == NULL ? NULL : object_pool_create(sizeof(struct gpu_block), BLOCKS_IDLE_MAX);
    if (blocks == NULL) {
        mem_free(p);
        return status_no_memory();
    }
    pthread_mutex_init(&p->lock, NULL);
    p->options = *options;
    p->options.chunk_bytes = suballoc_rounded(
        options->chunk_bytes == 0 ? (uint64_t)GPU_POOL_CHUNK_BYTES : options->chunk_bytes);
    p->usage.limit_bytes = limit;
    p->blocks = blocks;
    p->pending_end = &p->pending;
    suballoc_init(&p->places);
    struct nrd_status *status = NULL;
    if (options->initial_bytes > 0) {
        status = chunk_add(p, suballoc_rounded(options->initial_bytes));
    }
    if (status != NULL) {
        gpu_pool_destroy(p);
        return status;
    }
    *pool = p;
    return NULL;
}

void gpu_pool_destroy(struct gpu_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    for (struct gpu_block *block = pool->pending; block != NULL; block = block->next) {
        block_wait_idle(block);
    }
    pool_reap(pool, UINT32_MAX);
    chunks_free_idle(pool);
    suballoc_fini(&pool->places);
    object_pool_destroy(pool->blocks);
    pthread_mutex_destroy(&pool->lock);
    mem_free(pool);
}

// ---- direct -------------------------------------------------------------------------------------------------------

static void direct_give_back(struct gpu_block *block)
{
    struct gpu_pool_options options = {.kind = NRD_MEMORY_GPU, .device = block->owner};
    block_wait_idle(block);
    driver_free(&options, (uint64_t)(uintptr_t)block->buffer.data);
    block_drop_events(block);
    mem_free(block);
}

struct nrd_status *gpu_direct_get(struct gpu_device *device, size_t size,
                                  struct tensor_buffer **buffer)
{
    struct gpu_pool_options options = {.kind = NRD_MEMORY_GPU, .device = device};
    uint64_t base = 0;
    struct gpu_block *block = mem_alloc(sizeof(*block));
    if (block == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = driver_alloc(&options, size == 0 ? 1 : size, &base);
    if (status != NULL) {
        mem_free(block);
        return status;
    }
    block_init(block, (void *)(uintptr_t)base, size, NRD_MEMORY_GPU,
               gpu_device_info(device)->ordinal, direct_give_back, device);
    *buffer = &block->buffer;
    return NULL;
}

struct nrd_status *gpu_host_lock(struct gpu_device *device, void *data, size_t size)
{
    struct memory_scope scope;
    NRD_TRY(memory_enter(device, &scope));
    struct nrd_status *status =
        GPU_CALL(device, mem_host_register, (data, size, CU_HOST_REGISTER_PORTABLE));
    memory_leave(&scope);
    return status;
}

void gpu_host_unlock(struct gpu_device *device, void *data)
{
    struct memory_scope scope;
    if (memory_enter_release(device, &scope)) {
        (void)gpu_driver()->mem_host_unregister(data);
        memory_leave(&scope);
    }
}
