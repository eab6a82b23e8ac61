// SPDX-License-Identifier: Apache-2.0
// Fake CUDA: memory. A device's memory is a file without a name, as large as the pretended memory and empty until touched,
// mapped twice: once without any access, at what the fake calls device addresses, and once readable, at what it calls the
// shadow. So a device pointer is a fault to the host, and copies have real bytes.
#include "tests/support/fake_cuda/fake_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GRAIN = 512 }; // sizes and addresses are multiples, as the driver's are
#define PAGES ((uint64_t)2 << 20)

#define BEGIN(fn, ordinal)                                                                         \
    do {                                                                                           \
        int begin_ = fake_begin(GPU_FN_##fn, (ordinal));                                           \
        if (begin_ != CU_SUCCESS) {                                                                \
            return fake_end(begin_);                                                               \
        }                                                                                          \
    } while (0)

// Memory of another process, opened by its handle.
struct import {
    struct import *next;
    int ordinal;
    char *base;
    char *shadow;
    uint64_t size;
    unsigned opened;
    unsigned char key[CU_IPC_HANDLE_BYTES];
};
static struct import *imports;

struct cu_mempool {
    int ordinal;
    struct fake_pool_counts counts;
};

struct ipc_handle {
    char magic[8];
    int pid;
    int fd;
    int ordinal;
    uint64_t offset;
    uint64_t size;
};
_Static_assert(sizeof(struct ipc_handle) <= CU_IPC_HANDLE_BYTES, "fits a handle");

// Maps `size` bytes of a file twice; false when the system refuses.
static bool map_twice(int fd, uint64_t offset, uint64_t size, char **base, char **shadow)
{
    *base = mmap(NULL, size, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, (off_t)offset);
    if (*base == MAP_FAILED) {
        return false;
    }
    *shadow =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, (off_t)offset);
    if (*shadow == MAP_FAILED) {
        munmap(*base, size);
        return false;
    }
    return true;
}

void fake_memory_start(struct fake_device *d)
{
    d->region_bytes = (d->gpu.memory_bytes + PAGES - 1) / PAGES * PAGES;
    d->memory_fd = memfd_create("fake-gpu", MFD_CLOEXEC);
    if (d->memory_fd < 0 || ftruncate(d->memory_fd, (off_t)d->region_bytes) != 0 ||
        !map_twice(d->memory_fd, 0, d->region_bytes, &d->base, &d->shadow)) {
        perror("fake CUDA: device memory");
        abort();
    }
}

void fake_memory_stop(struct fake_device *d)
{
    while (d->allocations != NULL) {
        struct fake_allocation *a = d->allocations;
        d->allocations = a->next;
        free(a);
    }
    munmap(d->base, d->region_bytes);
    munmap(d->shadow, d->region_bytes);
    close(d->memory_fd);
}

static struct import *import_of(uint64_t pointer)
{
    for (struct import *i = imports; i != NULL; i = i->next) {
        if (pointer >= (uint64_t)(uintptr_t)i->base &&
            pointer < (uint64_t)(uintptr_t)i->base + i->size) {
            return i;
        }
    }
    return NULL;
}

int fake_region_of(uint64_t pointer)
{
    for (int i = 0; i < fake.options.count; i++) {
        const struct fake_device *d = &fake.devices[i];
        if (pointer >= (uint64_t)(uintptr_t)d->base &&
            pointer < (uint64_t)(uintptr_t)d->base + d->region_bytes) {
            return i;
        }
    }
    const struct import *i = import_of(pointer);
    return i == NULL ? -1 : i->ordinal;
}

static struct fake_allocation *allocation_of(const struct fake_device *d, uint64_t offset)
{
    for (struct fake_allocation *a = d->allocations; a != NULL; a = a->next) {
        if (offset >= a->offset && offset < a->offset + a->size) {
            return a;
        }
    }
    return NULL;
}

bool fake_resolve(uint64_t pointer, size_t size, int *ordinal, char **bytes)
{
    *ordinal = fake_region_of(pointer);
    if (*ordinal < 0) {
        *bytes = (char *)(uintptr_t)pointer;
        return true;
    }
    const struct import *i = import_of(pointer);
    if (i != NULL) {
        uint64_t at = pointer - (uint64_t)(uintptr_t)i->base;
        *bytes = i->shadow + at;
        return size <= i->size - at;
    }
    const struct fake_device *d = &fake.devices[*ordinal];
    uint64_t offset = pointer - (uint64_t)(uintptr_t)d->base;
    const struct fake_allocation *a = allocation_of(d, offset);
    *bytes = d->shadow + offset;
    return a != NULL && size <= a->offset + a->size - offset;
}

void *fake_cuda_peek(const void *pointer)
{
    int ordinal;
    char *bytes;
    pthread_mutex_lock(&fake.lock);
    bool live = fake_resolve((uint64_t)(uintptr_t)pointer, 1, &ordinal, &bytes) && ordinal >= 0;
    pthread_mutex_unlock(&fake.lock);
    return live ? bytes : NULL;
}

uint64_t fake_cuda_memory_used(int ordinal)
{
    pthread_mutex_lock(&fake.lock);
    uint64_t used = fake.devices[ordinal].used;
    pthread_mutex_unlock(&fake.lock);
    return used;
}

// First fit, in the order of addresses.
static int allocate(struct fake_device *d, size_t size, struct cu_mempool *pool, uint64_t *pointer)
{
    uint64_t wanted = ((uint64_t)size + GRAIN - 1) / GRAIN * GRAIN;
    if (size == 0) {
        return CU_INVALID_VALUE;
    }
    uint64_t taken = d->used + d->used_by_others;
    if (wanted < size || wanted > d->gpu.memory_bytes || taken > d->gpu.memory_bytes - wanted) {
        return CU_OUT_OF_MEMORY;
    }
    uint64_t at = 0;
    struct fake_allocation **link = &d->allocations;
    while (*link != NULL && (*link)->offset - at < wanted) {
        at = (*link)->offset + (*link)->size;
        link = &(*link)->next;
    }
    if (*link == NULL && wanted > d->region_bytes - at) {
        return CU_OUT_OF_MEMORY;
    }
    struct fake_allocation *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return CU_OUT_OF_MEMORY;
    }
    *a = (struct fake_allocation){*link, at, wanted, pool};
    *link = a;
    d->used += wanted;
    fake.counts.allocations++;
    *pointer = (uint64_t)(uintptr_t)(d->base + at);
    // What was there before must not be taken for zeros.
    memset(d->shadow + at, 0xcd, wanted < 4096 ? wanted : 4096);
    return CU_SUCCESS;
}

int fake_free(uint64_t pointer)
{
    int ordinal = fake_region_of(pointer);
    struct fake_device *d = fake_device_at(ordinal);
    if (d == NULL || import_of(pointer) != NULL) {
        return CU_INVALID_VALUE;
    }
    uint64_t offset = pointer - (uint64_t)(uintptr_t)d->base;
    for (struct fake_allocation **link = &d->allocations; *link != NULL; link = &(*link)->next) {
        struct fake_allocation *a = *link;
        if (a->offset == offset) {
            *link = a->next;
            d->used -= a->size;
            fake.counts.allocations--;
            if (a->pool != NULL) {
                fake_pool_returned(a->pool, a->size);
            }
            free(a);
            return CU_SUCCESS;
        }
    }
    return CU_INVALID_VALUE;
}

int cuMemGetInfo_v2(size_t *available, size_t *total)
{
    int current = fake_current();
    BEGIN(mem_info, current);
    const struct fake_device *d = fake_device_at(current);
    if (d == NULL) {
        return fake_end(CU_INVALID_CONTEXT);
    }
    uint64_t taken = d->used + d->used_by_others;
    *total = d->gpu.memory_bytes;
    *available = taken > d->gpu.memory_bytes ? 0 : d->gpu.memory_bytes - taken;
    return fake_end(CU_SUCCESS);
}

int cuMemAlloc_v2(uint64_t *pointer, size_t size)
{
    int current = fake_current();
    BEGIN(mem_alloc, current);
    return fake_end(current < 0 ? CU_INVALID_CONTEXT
                                : allocate(&fake.devices[current], size, NULL, pointer));
}

int cuMemFree_v2(uint64_t pointer)
{
    BEGIN(mem_free, -1); // a lost device's memory can be counted home
    return fake_end(pointer == 0 ? CU_SUCCESS : fake_free(pointer));
}

int cuMemGetAddressRange_v2(uint64_t *base, size_t *size, uint64_t pointer)
{
    BEGIN(mem_address_range, fake_region_of(pointer));
    const struct import *i = import_of(pointer);
    const struct fake_device *d = fake_device_at(fake_region_of(pointer));
    if (i != NULL) {
        *base = (uint64_t)(uintptr_t)i->base;
        *size = i->size;
        return fake_end(CU_SUCCESS);
    }
    const struct fake_allocation *a =
        d == NULL ? NULL : allocation_of(d, pointer - (uint64_t)(uintptr_t)d->base);
    if (a == NULL) {
        return fake_end(CU_NOT_FOUND);
    }
    *base = (uint64_t)(uintptr_t)(d->base + a->offset);
    *size = a->size;
    return fake_end(CU_SUCCESS);
}

int cuPointerGetAttribute(void *value, int attribute, uint64_t pointer)
{
    int ordinal = fake_region_of(pointer);
    BEGIN(pointer_attribute, ordinal);
    if (ordinal < 0) {
        return fake_end(CU_INVALID_VALUE);
    }
    *(int *)value = attribute == CU_POINTER_DEVICE_ORDINAL ? ordinal : CU_MEMORY_DEVICE;
    return fake_end(CU_SUCCESS);
}

// ---- the host's ---------------------------------------------------------------------------------------------------

// Pinned memory, and memory that was registered.
struct pinned {
    struct pinned *next;
    uint64_t at;
    size_t size;
};
static struct pinned *pinned_list; // under fake.lock

static void pin(const void *pointer, size_t size)
{
    struct pinned *p = malloc(sizeof(*p));
    if (p == NULL) {
        abort();
    }
    *p = (struct pinned){pinned_list, (uint64_t)(uintptr_t)pointer, size};
    pinned_list = p;
}

static void unpin(const void *pointer)
{
    for (struct pinned **at = &pinned_list; *at != NULL; at = &(*at)->next) {
        if ((*at)->at == (uint64_t)(uintptr_t)pointer) {
            struct pinned *gone = *at;
            *at = gone->next;
            free(gone);
            return;
        }
    }
}

bool fake_is_pinned(uint64_t pointer)
{
    for (const struct pinned *p = pinned_list; p != NULL; p = p->next) {
        if (pointer - p->at < p->size) {
            return true;
        }
    }
    return false;
}

int cuMemHostAlloc(void **pointer, size_t size, unsigned flags)
{
    int current = fake_current();
    (void)flags;
    BEGIN(mem_host_alloc, current);
    if (fake_breaks_capture()) {
        return fake_end(CU_STREAM_CAPTURE_UNSUPPORTED);
    }
    if (current < 0) {
        return fake_end(CU_INVALID_CONTEXT);
    }
    *pointer = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    fake.counts.host_allocations += *pointer != NULL;
    if (*pointer != NULL) {
        pin(*pointer, size);
    }
    return fake_end(*pointer == NULL ? CU_OUT_OF_MEMORY : CU_SUCCESS);
}

int cuMemFreeHost(void *pointer)
{
    BEGIN(mem_free_host, -1);
    if (fake_breaks_capture()) {
        return fake_end(CU_STREAM_CAPTURE_UNSUPPORTED);
    }
    unpin(pointer);
    free(pointer);
    fake.counts.host_allocations--;
    return fake_end(CU_SUCCESS);
}

int cuMemHostRegister_v2(void *pointer, size_t size, unsigned flags)
{
    (void)flags;
    BEGIN(mem_host_register, fake_current());
    if (fake_breaks_capture()) {
        return fake_end(CU_STREAM_CAPTURE_UNSUPPORTED);
    }
    if (pointer == NULL || size == 0) {
        return fake_end(CU_INVALID_VALUE);
    }
    fake.counts.host_allocations++;
    pin(pointer, size);
    return fake_end(CU_SUCCESS);
}

int cuMemHostUnregister(void *pointer)
{
    BEGIN(mem_host_unregister, -1);
    if (fake_breaks_capture()) {
        return fake_end(CU_STREAM_CAPTURE_UNSUPPORTED);
    }
    fake.counts.host_allocations -= pointer != NULL;
    unpin(pointer);
    return fake_end(CU_SUCCESS);
}

// ---- stream-ordered -----------------------------------------------------------------------------------------------

int cuMemPoolCreate(struct cu_mempool **pool, const struct cu_mempool_props *props)
{
    BEGIN(mempool_create, props->location.id);
    if (props->alloc_type != CU_MEM_ALLOCATION_PINNED ||
        props->location.type != CU_MEM_LOCATION_DEVICE ||
        fake_device_at(props->location.id) == NULL) {
        return fake_end(CU_INVALID_VALUE);
    }
    *pool = calloc(1, sizeof(**pool));
    if (*pool == NULL) {
        return fake_end(CU_OUT_OF_MEMORY);
    }
    (*pool)->ordinal = props->location.id;
    fake.counts.pools++;
    return fake_end(CU_SUCCESS);
}

int cuMemPoolDestroy(struct cu_mempool *pool)
{
    BEGIN(mempool_destroy, -1);
    struct fake_device *d = &fake.devices[pool->ordinal];
    for (struct fake_allocation *a = d->allocations; a != NULL; a = a->next) {
        if (a->pool == pool) {
            a->pool = NULL;
        }
    }
    free(pool);
    fake.counts.pools--;
    return fake_end(CU_SUCCESS);
}

int cuMemPoolSetAttribute(struct cu_mempool *pool, int attribute, void *value)
{
    BEGIN(mempool_set_attribute, pool->ordinal);
    if (attribute != CU_MEMPOOL_RELEASE_THRESHOLD) {
        return fake_end(CU_INVALID_VALUE);
    }
    memcpy(&pool->counts.threshold, value, sizeof(uint64_t));
    return fake_end(CU_SUCCESS);
}

int cuMemPoolGetAttribute(struct cu_mempool *pool, int attribute, void *value)
{
    BEGIN(mempool_get_attribute, pool->ordinal);
    const struct fake_pool_counts *c = &pool->counts;
    uint64_t number = attribute == CU_MEMPOOL_RELEASE_THRESHOLD ? c->threshold
                      : attribute == CU_MEMPOOL_USED_CURRENT    ? c->used
                                                                : c->reserved;
    memcpy(value, &number, sizeof(number));
    return fake_end(CU_SUCCESS);
}

int cuMemPoolTrimTo(struct cu_mempool *pool, size_t keep)
{
    BEGIN(mempool_trim, pool->ordinal);
    if (pool->counts.reserved > keep) {
        pool->counts.reserved = pool->counts.used > keep ? pool->counts.used : keep;
    }
    return fake_end(CU_SUCCESS);
}

int cuMemPoolSetAccess(struct cu_mempool *pool, const struct cu_mem_access *map, size_t count)
{
    BEGIN(mempool_set_access, pool->ordinal);
    for (size_t i = 0; i < count; i++) {
        if (fake_device_at(map[i].location.id) == NULL) {
            return fake_end(CU_INVALID_DEVICE);
        }
    }
    return fake_end(CU_SUCCESS);
}

int cuMemAllocFromPoolAsync(uint64_t *pointer, size_t size, struct cu_mempool *pool,
                            struct cu_stream *stream)
{
    (void)stream; // what was freed in order is free already: nothing can be given out twice
    BEGIN(mempool_alloc_async, pool->ordinal);
    int result = allocate(&fake.devices[pool->ordinal], size, pool, pointer);
    if (result == CU_SUCCESS) {
        pool->counts.used += ((uint64_t)size + GRAIN - 1) / GRAIN * GRAIN;
        if (pool->counts.reserved < pool->counts.used) {
            pool->counts.reserved = pool->counts.used;
        }
    }
    return fake_end(result);
}

void fake_pool_returned(struct cu_mempool *pool, uint64_t size)
{
    struct fake_pool_counts *c = &pool->counts;
    c->used -= size;
    if (c->reserved > c->threshold) {
        c->reserved = c->used > c->threshold ? c->used : c->threshold;
    }
}

int cuMemFreeAsync(uint64_t pointer, struct cu_stream *stream)
{
    BEGIN(mem_free_async, -1);
    int ordinal = fake_region_of(pointer);
    if (ordinal < 0) {
        return fake_end(CU_INVALID_VALUE);
    }
    if (fake.devices[ordinal].sticky != 0) {
        return fake_end(fake_free(pointer)); // counted home, as the context's end would
    }
    struct fake_op op = {
        .kind = FAKE_OP_FREE, .ordinal = ordinal, .engine = FAKE_NO_ENGINE, .to = pointer};
    return fake_end(fake_enqueue(fake_stream(stream), &op));
}

// ---- between processes --------------------------------------------------------------------------------------------

int cuIpcGetMemHandle(struct cu_ipc_mem_handle *handle, uint64_t pointer)
{
    int ordinal = fake_region_of(pointer);
    BEGIN(ipc_get_mem_handle, ordinal);
    const struct fake_device *d = fake_device_at(ordinal);
    const struct fake_allocation *a =
        d == NULL ? NULL : allocation_of(d, pointer - (uint64_t)(uintptr_t)d->base);
    if (a == NULL || a->pool != NULL) {
        return fake_end(CU_INVALID_VALUE);
    }
    struct ipc_handle h = {"fakeipc", getpid(), d->memory_fd, ordinal, a->offset, a->size};
    memset(handle, 0, sizeof(*handle));
    memcpy(handle, &h, sizeof(h));
    return fake_end(CU_SUCCESS);
}

static int import_open(const struct ipc_handle *h, struct import **out)
{
    char path[64];
    uint64_t first = h->offset / 4096 * 4096; // mappings begin at pages
    uint64_t size = h->offset - first + h->size;
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", h->pid, h->fd);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct import *i = fd < 0 ? NULL : calloc(1, sizeof(*i));
    if (i == NULL || !map_twice(fd, first, size, &i->base, &i->shadow)) {
        free(i);
        if (fd >= 0) {
            close(fd);
        }
        return CU_INVALID_VALUE;
    }
    close(fd);
    i->ordinal = h->ordinal;
    i->size = size;
    memcpy(i->key, h, sizeof(*h));
    i->next = imports;
    imports = i;
    *out = i;
    return CU_SUCCESS;
}

int cuIpcOpenMemHandle_v2(uint64_t *pointer, struct cu_ipc_mem_handle handle, unsigned flags)
{
    int current = fake_current();
    BEGIN(ipc_open_mem_handle, current);
    struct ipc_handle h;
    memcpy(&h, &handle, sizeof(h));
    (void)flags;
    // As in the driver, a process cannot open its own.
    if (memcmp(h.magic, "fakeipc", 8) != 0 || h.pid == getpid() ||
        fake_device_at(h.ordinal) == NULL) {
        return fake_end(CU_INVALID_VALUE);
    }
    struct import *i = imports;
    while (i != NULL && memcmp(i->key, &h, sizeof(h)) != 0) {
        i = i->next;
    }
    int result = i == NULL ? import_open(&h, &i) : CU_SUCCESS;
    if (result == CU_SUCCESS) {
        i->opened++;
        fake.counts.imports++;
        *pointer = (uint64_t)(uintptr_t)i->base + h.offset % 4096;
    }
    return fake_end(result);
}

int cuIpcCloseMemHandle(uint64_t pointer)
{
    BEGIN(ipc_close_mem_handle, -1);
    struct import *i = import_of(pointer);
    if (i == NULL) {
        return fake_end(CU_INVALID_VALUE);
    }
    fake.counts.imports--;
    if (--i->opened == 0) {
        struct import **link = &imports;
        while (*link != i) {
            link = &(*link)->next;
        }
        *link = i->next;
        munmap(i->base, i->size);
        munmap(i->shadow, i->size);
        free(i);
    }
    return fake_end(CU_SUCCESS);
}
