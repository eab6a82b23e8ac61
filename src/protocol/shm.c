// SPDX-License-Identifier: Apache-2.0
// Shared memory: a map of regions under one lock, and a count of leases in each.
//
//   registered --unregister, no lease--> unmapped
//   registered --unregister, leased----> leaving --last release--> unmapped
//
// A leaving region is still in the map: Triton lets it be used and shown, and keeps its name taken, until then.
// A manager that is destroyed while leases are out is freed by the last release.
#include "protocol/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "protocol/core_ext.h"
#include "protocol/error.h"

#define RESERVED_PREFIX "triton_python_backend_shm_region_"

struct shm_region {
    struct shm_manager *manager;
    char *name;
    char *key;
    uint64_t offset;
    uint64_t byte_size;
    void *base;
    enum shm_kind kind;
    int64_t device_id;
    void *opened; // of the core, for CUDA regions
    uint64_t leases;
    bool leaving;
};

struct shm_manager {
    pthread_mutex_t lock;
    struct map regions; // name -> struct shm_region, owned
    uint64_t leases;    // of all regions
    bool allowed;
    bool destroyed;
    TRITONSERVER_Server *core; // NULL: no memory of GPUs
};

void shm_set_core(struct shm_manager *m, TRITONSERVER_Server *core)
{
    m->core = core;
}

struct shm_manager *shm_manager_create(bool allowed)
{
    struct shm_manager *m = mem_calloc(1, sizeof(*m));
    if (m == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&m->lock, NULL) != 0) {
        mem_free(m);
        return NULL;
    }
    map_init(&m->regions);
    m->allowed = allowed;
    return m;
}

static void region_free(struct shm_region *region)
{
    if (region->opened != NULL) {
        core_ext()->cuda_ipc_close(region->opened);
    } else if (region->base != NULL) {
        munmap(region->base, region->byte_size);
    }
    mem_free(region->name);
    mem_free(region->key);
    mem_free(region);
}

// Takes the region out of the map, or leaves it there until its last lease ends. Under the lock.
static void region_drop(struct shm_region *region)
{
    if (region->leases != 0) {
        region->leaving = true;
        LOG_DEBUG(
            1, "Shared memory region '%s' will be unregistered after in-flight requests complete.",
            region->name);
        return;
    }
    map_remove(&region->manager->regions, slice_of(region->name));
    region_free(region);
}

static void drop_all(struct shm_manager *m, enum shm_kind kind)
{
    size_t at = 0;
    struct map_entry *entry;
    while (map_next(&m->regions, &at, &entry)) {
        struct shm_region *region = entry->value;
        if (region->kind == kind) {
            region_drop(region);
        }
    }
}

static void manager_free(struct shm_manager *m)
{
    map_fini(&m->regions);
    pthread_mutex_destroy(&m->lock);
    mem_free(m);
}

void shm_manager_destroy(struct shm_manager *m)
{
    if (m == NULL) {
        return;
    }
    pthread_mutex_lock(&m->lock);
    m->destroyed = true;
    drop_all(m, SHM_SYSTEM);
    drop_all(m, SHM_CUDA);
    bool last = m->leases == 0;
    pthread_mutex_unlock(&m->lock);
    if (last) {
        manager_free(m);
    }
}

bool shm_allowed(const struct shm_manager *m)
{
    return m->allowed;
}

struct nrd_status *shm_not_allowed(void)
{
    return status_new(NRD_UNSUPPORTED, "Client shared memory is disabled. Start the server with "
                                       "'--allow-client-shm=true' to enable.");
}

static struct nrd_status *check_key(struct slice name, struct slice key)
{
    struct slice rest = key;
    while (rest.len > 0 && rest.ptr[0] == '/') {
        rest.ptr++;
        rest.len--;
    }
    if (rest.len == 0 || memchr(key.ptr, '\0', key.len) != NULL) {
        return status_new(NRD_INVALID_ARG,
                          "cannot register shared memory region '%.*s' - invalid shm key '%.*s'",
                          (int)name.len, name.ptr, (int)key.len, key.ptr);
    }
    if (slice_starts(rest, SLICE(RESERVED_PREFIX))) {
        return status_new(NRD_INVALID_ARG,
                          "cannot register shared memory region '%.*s' with key '%.*s' as the key "
                          "contains the reserved prefix '" RESERVED_PREFIX "'",
                          (int)name.len, name.ptr, (int)key.len, key.ptr);
    }
    return NULL;
}

// Opens the object, checks that the range is in it, and maps it.
static struct nrd_status *region_map(struct shm_region *region, struct slice unused)
{
    (void)unused;
    int fd = shm_open(region->key, O_RDWR, S_IRUSR | S_IWUSR);
    if (fd < 0) {
        return status_new(NRD_INTERNAL, "Unable to open shared memory region: '%s'", region->key);
    }
    struct stat st;
    struct nrd_status *status = NULL;
    uint64_t end;
    if (fstat(fd, &st) != 0 || st.st_size < 0) {
        status = status_new(NRD_INTERNAL, "Invalid shared memory region: '%s'", region->key);
    } else if (__builtin_add_overflow(region->offset, region->byte_size, &end) ||
               end > (uint64_t)st.st_size) {
        status =
            status_new(NRD_INVALID_ARG,
                       "failed to register shared memory region '%s': invalid args", region->name);
    } else {
        void *base = mmap(NULL, region->byte_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                          (off_t)region->offset);
        if (base == MAP_FAILED) {
            status = status_new(NRD_INVALID_ARG,
                                "failed to register shared memory region '%s': unable to process "
                                "address space%s",
                                region->name, strerror(errno));
        } else {
            region->base = base;
        }
    }
    close(fd);
    return status;
}

// Puts the region into the map after `open` has found its memory. Takes it.
static struct nrd_status *region_add(struct shm_manager *m, struct shm_region *region,
                                     bool complete,
                                     struct nrd_status *(*open)(struct shm_region *, struct slice),
                                     struct slice handle)
{
    struct nrd_status *status = NULL;
    pthread_mutex_lock(&m->lock);
    if (!complete) {
        status = status_no_memory();
    } else if (map_has(&m->regions, slice_of(region->name))) {
        status = status_new(NRD_ALREADY_EXISTS, "shared memory region '%s' already in manager",
                            region->name);
    } else {
        status = open(region, handle);
        if (status == NULL) {
            status = map_put(&m->regions, slice_of(region->name), region, NULL);
        }
    }
    pthread_mutex_unlock(&m->lock);
    if (status != NULL) {
        region_free(region);
    }
    return status;
}

struct nrd_status *shm_register(struct shm_manager *m, struct slice name, struct slice key,
                                uint64_t offset, uint64_t byte_size)
{
    if (!m->allowed) {
        return shm_not_allowed();
    }
    NRD_TRY(check_key(name, key));
    struct shm_region *region = mem_calloc(1, sizeof(*region));
    if (region == NULL) {
        return status_no_memory();
    }
    region->manager = m;
    region->kind = SHM_SYSTEM;
    region->name = mem_strndup(name.ptr, name.len);
    region->key = mem_strndup(key.ptr, key.len);
    region->offset = offset;
    region->byte_size = byte_size;
    return region_add(m, region, region->name != NULL && region->key != NULL, region_map,
                      (struct slice){0});
}

static struct nrd_status *region_open(struct shm_region *region, struct slice handle)
{
    uint64_t size = 0;
    NRD_TRY(error_to_status(core_ext()->cuda_ipc_open(region->manager->core, handle.ptr, handle.len,
                                                      region->device_id, &region->base, &size,
                                                      &region->opened)));
    return region->byte_size <= size
               ? NULL
               : status_new(NRD_INVALID_ARG, "the allocation has %llu bytes, fewer than %llu",
                            (unsigned long long)size, (unsigned long long)region->byte_size);
}

struct nrd_status *shm_register_cuda(struct shm_manager *m, struct slice name, struct slice handle,
                                     int64_t device_id, uint64_t byte_size)
{
    if (!m->allowed) {
        return shm_not_allowed();
    }
    struct nrd_status *status = NULL;
    if (m->core == NULL || core_ext()->cuda_ipc_open == NULL ||
        core_ext()->cuda_ipc_close == NULL) {
        status = status_new(NRD_UNSUPPORTED, "GPUs not supported");
    } else {
        struct shm_region *region = mem_calloc(1, sizeof(*region));
        if (region == NULL) {
            return status_no_memory();
        }
        region->manager = m;
        region->kind = SHM_CUDA;
        region->name = mem_strndup(name.ptr, name.len);
        region->key = mem_strdup("");
        region->device_id = device_id;
        region->byte_size = byte_size;
        status =
            region_add(m, region, region->name != NULL && region->key != NULL, region_open, handle);
    }
    if (status == NULL || status_code(status) == NRD_ALREADY_EXISTS) {
        return status;
    }
    struct nrd_status *full =
        status_new(NRD_INVALID_ARG, "failed to register CUDA shared memory region: '%.*s', %s",
                   (int)name.len, name.ptr, status_text(status));
    status_free(status);
    return full;
}

struct nrd_status *shm_unregister(struct shm_manager *m, enum shm_kind kind, struct slice name)
{
    if (!m->allowed) {
        return shm_not_allowed();
    }
    pthread_mutex_lock(&m->lock);
    if (name.len == 0) {
        drop_all(m, kind);
    } else {
        struct shm_region *region = map_get(&m->regions, name);
        if (region != NULL && region->kind == kind) {
            region_drop(region);
        }
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

static void visit_region(const struct shm_region *region, shm_visit_fn visit, void *arg)
{
    struct shm_info info = {.name = slice_of(region->name),
                            .key = slice_of(region->key),
                            .offset = region->offset,
                            .device_id = region->device_id,
                            .byte_size = region->byte_size};
    visit(arg, &info);
}

static int compare_regions(const void *a, const void *b)
{
    const struct shm_region *const *x = a;
    const struct shm_region *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static struct nrd_status *visit_all(struct shm_manager *m, enum shm_kind kind, shm_visit_fn visit,
                                    void *arg)
{
    const struct shm_region **sorted = mem_calloc(m->regions.live, sizeof(const void *));
    if (sorted == NULL) {
        return status_no_memory();
    }
    size_t count = 0;
    size_t at = 0;
    struct map_entry *entry;
    while (map_next(&m->regions, &at, &entry)) {
        const struct shm_region *region = entry->value;
        if (region->kind == kind) {
            sorted[count++] = region;
        }
    }
    qsort(sorted, count, sizeof(const void *), compare_regions);
    for (size_t i = 0; i < count; i++) {
        visit_region(sorted[i], visit, arg);
    }
    mem_free(sorted);
    return NULL;
}

struct nrd_status *shm_status(struct shm_manager *m, enum shm_kind kind, struct slice name,
                              shm_visit_fn visit, void *arg)
{
    struct nrd_status *status = NULL;
    pthread_mutex_lock(&m->lock);
    if (name.len == 0) {
        status = visit_all(m, kind, visit, arg);
    } else {
        const struct shm_region *region = map_get(&m->regions, name);
        if (region == NULL) {
            status = status_new(NRD_NOT_FOUND, "Unable to find %s shared memory region: '%.*s'",
                                kind == SHM_SYSTEM ? "system" : "cuda", (int)name.len, name.ptr);
        } else if (kind != region->kind) {
            static const char *const names[] = {[SHM_SYSTEM] = "system", [SHM_CUDA] = "CUDA"};
            status = status_new(NRD_NOT_FOUND,
                                "The region named '%.*s' is registered as %s shared memory, "
                                "not %s shared memory",
                                (int)name.len, name.ptr, names[region->kind], names[kind]);
        } else {
            visit_region(region, visit, arg);
        }
    }
    pthread_mutex_unlock(&m->lock);
    return status;
}

static struct nrd_status *check_range(const struct shm_region *region, uint64_t offset,
                                      uint64_t byte_size)
{
    uint64_t end;
    if (offset >= region->byte_size) {
        return status_new(NRD_INVALID_ARG, "Invalid offset for shared memory region: '%s'",
                          region->name);
    }
    if (__builtin_add_overflow(offset, byte_size, &end)) {
        return status_new(NRD_INVALID_ARG,
                          "Integer overflow detected: byte_size (%llu) + offset (%llu) exceeds "
                          "maximum value (%llu) for region '%s'",
                          (unsigned long long)byte_size, (unsigned long long)offset,
                          (unsigned long long)UINT64_MAX, region->name);
    }
    if (end > region->byte_size) {
        return status_new(NRD_INVALID_ARG,
                          "Invalid offset + byte size for shared memory region: '%s'",
                          region->name);
    }
    return NULL;
}

struct nrd_status *shm_lease(struct shm_manager *m, struct slice name, uint64_t offset,
                             uint64_t byte_size, struct shm_lease *lease)
{
    struct nrd_status *status;
    pthread_mutex_lock(&m->lock);
    struct shm_region *region = map_get(&m->regions, name);
    if (region == NULL) {
        status = status_new(NRD_NOT_FOUND, "Unable to find shared memory region: '%.*s'",
                            (int)name.len, name.ptr);
    } else {
        status = check_range(region, offset, byte_size);
    }
    if (status == NULL) {
        region->leases++;
        m->leases++;
        *lease =
            (struct shm_lease){.region = region,
                               .base = (char *)region->base + offset,
                               .memory_type = region->kind == SHM_CUDA ? TRITONSERVER_MEMORY_GPU
                                                                       : TRITONSERVER_MEMORY_CPU,
                               .memory_type_id = region->device_id};
    }
    pthread_mutex_unlock(&m->lock);
    return status;
}

void shm_release(struct shm_region *region)
{
    if (region == NULL) {
        return;
    }
    struct shm_manager *m = region->manager;
    pthread_mutex_lock(&m->lock);
    region->leases--;
    m->leases--;
    if (region->leases == 0 && region->leaving) {
        region_drop(region);
    }
    bool last = m->destroyed && m->leases == 0;
    pthread_mutex_unlock(&m->lock);
    if (last) {
        manager_free(m);
    }
}
