// SPDX-License-Identifier: Apache-2.0
// GPUs: found once, under a mutex; and the map from the addresses that backends hold to the buffers behind them.
#include "core/gpus.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "gpu/numa.h"

// Triton's sizes where the command line names none.
#define DEFAULT_CUDA_POOL_BYTES (UINT64_C(64) << 20)

struct gpus {
    const struct server_options *options;
    pthread_mutex_t mutex; // all that follows
    bool looked;
    struct gpu_system *system; // NULL: there are none
    struct gpu_list *list;
    int count;
    struct gpu_pool **pools; // one a device; NULL: not yet made, or none
    struct pinned *pinned;
    struct gpu_numa numa; // once looked
    struct map given;     // the address, as its bytes -> struct tensor_buffer
    bool lock_failure_told;
    bool lock_refusal_told;
    struct gpu_watch watches[GPU_DEVICES_MAX];

    _Atomic uint64_t lost; // a bit a device
    _Atomic(gpus_lost_fn) on_lost;
    void *on_lost_arg; // written before on_lost
};

// What instance groups are told. One is given out without a lock, so a loss makes a new one and keeps the old.
struct gpu_list {
    struct gpu_list *older;
    uint64_t lost; // as of when it was made
    struct config_gpu gpus[];
};

// A pinned pool, in the context of some device; when that is lost another is begun, and the old one takes back what is out. On a
// machine of several NUMA nodes each node that has GPUs has a pool, and they share the limit.
struct pinned {
    struct pinned *older;
    struct gpu_device *device;
    int node; // -1: the only one
    struct gpu_pool *pool;
};

_Static_assert(GPU_DEVICES_MAX <= 64, "a bit a device");

struct gpus *gpus_create(const struct server_options *options)
{
    struct gpus *gpus = mem_calloc(1, sizeof(*gpus));
    if (gpus == NULL) {
        return NULL;
    }
    map_init(&gpus->given);
    gpus->options = options;
    pthread_mutex_init(&gpus->mutex, NULL);
    return gpus;
}

void gpus_destroy(struct gpus *gpus)
{
    if (gpus == NULL) {
        return;
    }
    for (int i = 0; i < gpus->count; i++) {
        gpu_device_unwatch(gpu_system_device(gpus->system, i), &gpus->watches[i]);
        gpu_pool_destroy(gpus->pools[i]);
    }
    while (gpus->pinned != NULL) {
        struct pinned *older = gpus->pinned->older;
        gpu_pool_destroy(gpus->pinned->pool);
        mem_free(gpus->pinned);
        gpus->pinned = older;
    }
    while (gpus->list != NULL) {
        struct gpu_list *older = gpus->list->older;
        mem_free(gpus->list);
        gpus->list = older;
    }
    gpu_system_close(gpus->system);
    map_fini(&gpus->given);
    mem_free(gpus->pools);
    pthread_mutex_destroy(&gpus->mutex);
    mem_free(gpus);
}

// ---- looking ----------------------------------------------------------------------------------------------------------

static void describe(struct gpus *gpus, int ordinal)
{
    const struct gpu_device_info *info = gpu_device_info(gpu_system_device(gpus->system, ordinal));
    gpus->list->gpus[ordinal].id = ordinal;
    gpus->list->gpus[ordinal].compute_capability = info->compute_major + info->compute_minor / 10.0;
    LOG_NOTE("GPU %d: %s, %s, compute capability %d.%d, %llu MiB", ordinal, info->uuid, info->name,
             info->compute_major, info->compute_minor,
             (unsigned long long)(info->memory_bytes >> 20));
}

static struct gpu_list *list_create(int count)
{
    return mem_calloc(1, sizeof(struct gpu_list) + (size_t)count * sizeof(struct config_gpu));
}

// The device was lost. Called from where the failing call was, so with any locks held: it takes none.
static void note_loss(struct gpu_device *device, const char *reason, void *arg)
{
    struct gpus *gpus = arg;
    (void)reason; // gpu_device_health() tells it
    atomic_fetch_or_explicit(&gpus->lost, UINT64_C(1) << gpu_device_info(device)->ordinal,
                             memory_order_release);
    // Acquire: its argument is there.
    gpus_lost_fn fn = atomic_load_explicit(&gpus->on_lost, memory_order_acquire);
    if (fn != NULL) {
        fn(gpus->on_lost_arg);
    }
}

// With the mutex held.
static void look(struct gpus *gpus)
{
    gpus->looked = true;
    struct nrd_status *status = gpu_system_open(&gpus->system);
    if (status != NULL) {
        LOG_DEBUG(1, "no GPUs: %s", status_text(status));
        status_free(status);
        return;
    }
    int count = gpu_system_count(gpus->system);
    gpu_numa_read(&gpus->numa);
    gpus->list = list_create(count);
    gpus->pools = mem_calloc((size_t)count, sizeof(*gpus->pools));
    if (gpus->list == NULL || gpus->pools == NULL) {
        LOG_ERR("no memory to list %d GPUs: none is used", count);
        gpu_system_close(gpus->system);
        gpus->system = NULL;
        return;
    }
    gpus->count = count;
    for (int i = 0; i < count; i++) {
        describe(gpus, i);
        gpus->watches[i] = (struct gpu_watch){.lost = note_loss, .arg = gpus};
        gpu_device_watch(gpu_system_device(gpus->system, i), &gpus->watches[i]);
    }
}

// The list as of now; without memory for a new one, the last. With the mutex held.
static const struct gpu_list *current_list(struct gpus *gpus)
{
    uint64_t lost = atomic_load_explicit(&gpus->lost, memory_order_acquire);
    if (gpus->list != NULL && gpus->list->lost != lost) {
        struct gpu_list *made = list_create(gpus->count);
        if (made != NULL) {
            memcpy(made->gpus, gpus->list->gpus, (size_t)gpus->count * sizeof(*made->gpus));
            for (int i = 0; i < gpus->count; i++) {
                made->gpus[i].lost = (lost >> i & 1) != 0;
            }
            made->lost = lost;
            made->older = gpus->list;
            gpus->list = made;
        }
    }
    return gpus->list;
}

struct config_devices gpus_devices(struct gpus *gpus)
{
    pthread_mutex_lock(&gpus->mutex);
    if (!gpus->looked) {
        look(gpus);
    }
    const struct gpu_list *list = current_list(gpus);
    struct config_devices devices = {
        .gpus = list == NULL ? NULL : list->gpus,
        .gpu_count = (size_t)gpus->count,
        .min_compute_capability = gpus->options->min_compute_capability,
        .gpu_fallback_cpu = gpus->options->gpu_fallback_cpu,
        .map = gpus->options->gpu_map,
    };
    pthread_mutex_unlock(&gpus->mutex);
    return devices;
}

int gpus_count(struct gpus *gpus)
{
    if (gpus == NULL) {
        return 0;
    }
    pthread_mutex_lock(&gpus->mutex);
    int count = gpus->count;
    pthread_mutex_unlock(&gpus->mutex);
    return count;
}

struct gpu_device *gpus_device(struct gpus *gpus, int32_t id)
{
    if (gpus == NULL) {
        return NULL;
    }
    pthread_mutex_lock(&gpus->mutex);
    struct gpu_device *device = gpus->system == NULL ? NULL : gpu_system_device(gpus->system, id);
    pthread_mutex_unlock(&gpus->mutex);
    return device;
}

// ---- health ---------------------------------------------------------------------------------------------------------

uint64_t gpus_lost(const struct gpus *gpus)
{
    return gpus == NULL ? 0 : atomic_load_explicit(&gpus->lost, memory_order_relaxed);
}

bool gpus_is_lost(const struct gpus *gpus, int64_t id)
{
    return id >= 0 && id < GPU_DEVICES_MAX && (gpus_lost(gpus) >> id & 1) != 0;
}

void gpus_tell_losses(struct gpus *gpus, gpus_lost_fn fn, void *arg)
{
    gpus->on_lost_arg = arg;
    atomic_store_explicit(&gpus->on_lost, fn, memory_order_release);
}

struct nrd_status *gpus_report(struct gpus *gpus, int64_t id, int result, const char *text)
{
    struct gpu_device *device = id < 0 || id > INT32_MAX ? NULL : gpus_device(gpus, (int32_t)id);
    if (device == NULL) {
        return status_new(NRD_INVALID_ARG, "there is no GPU %lld", (long long)id);
    }
    if (gpu_result_is_sticky(result)) {
        gpu_device_mark_lost_by(device, result, text);
    }
    return gpu_device_probe(device);
}

void gpus_probe(struct gpus *gpus)
{
    int count = gpus_count(gpus);
    for (int i = 0; i < count; i++) {
        if (!gpus_is_lost(gpus, i)) {
            status_free(gpu_device_probe(gpus_device(gpus, i)));
        }
    }
}

bool gpus_are_poisoned(struct gpus *gpus)
{
    bool faulted = false;
    for (int i = 0; i < gpus_count(gpus); i++) {
        faulted = faulted || gpu_device_is_faulted(gpus_device(gpus, i));
    }
    // A device that nobody has used yet is tried: that it cannot be opened is what tells.
    for (int i = 0; i < gpus_count(gpus) && faulted; i++) {
        struct gpu_scope scope;
        struct nrd_status *status = gpu_device_enter(gpus_device(gpus, i), &scope);
        if (status == NULL) {
            gpu_device_leave(&scope);
            status = gpu_device_probe(gpus_device(gpus, i));
        }
        faulted = status != NULL;
        status_free(status);
    }
    return faulted;
}

// ---- memory ---------------------------------------------------------------------------------------------------------

static uint64_t cuda_pool_bytes(const struct gpus *gpus, int ordinal)
{
    char group[16];
    snprintf(group, sizeof(group), "%d", ordinal);
    const char *text = setting_list_get(&gpus->options->cuda_pool_bytes, group, "bytes");
    uint64_t bytes = DEFAULT_CUDA_POOL_BYTES;
    return text != NULL && slice_to_u64(slice_of(text), &bytes) ? bytes : DEFAULT_CUDA_POOL_BYTES;
}

// The pool of a device, made if need be; NULL where it may have none. With the mutex held.
static struct nrd_status *device_pool(struct gpus *gpus, int ordinal, struct gpu_pool **pool)
{
    if (gpus->pools[ordinal] == NULL) {
        const struct gpu_pool_options options = {.kind = NRD_MEMORY_GPU,
                                                 .device = gpu_system_device(gpus->system, ordinal),
                                                 .limit_bytes = cuda_pool_bytes(gpus, ordinal),
                                                 .numa_node = -1};
        NRD_TRY(gpu_pool_create(&options, &gpus->pools[ordinal]));
    }
    *pool = gpus->pools[ordinal];
    return NULL;
}

// How many nodes have GPUs (0: it does not matter), and whether `node` is one of them.
static int count_nodes(const struct gpus *gpus, int node, bool *has_gpus)
{
    uint64_t seen = 0;
    for (int i = 0; i < gpus->count && gpus->numa.nodes > 1; i++) {
        int at = gpu_device_info(gpu_system_device(gpus->system, i))->numa_node;
        seen |= at >= 0 && at < GPU_NUMA_NODES ? (uint64_t)1 << at : 0;
    }
    *has_gpus = node >= 0 && node < GPU_NUMA_NODES && (seen >> node & 1) != 0;
    return __builtin_popcountll(seen);
}

// A device that works, of that node if it has one.
static struct gpu_device *pinning_device(const struct gpus *gpus, int node)
{
    struct gpu_device *any = gpu_system_device(gpus->system, gpus->count - 1);
    for (int i = gpus->count - 1; i >= 0; i--) {
        struct gpu_device *device = gpu_system_device(gpus->system, i);
        bool near = node < 0 || gpu_device_info(device)->numa_node == node;
        if (!gpu_device_is_lost(device) && (near || gpu_device_is_lost(any))) {
            any = device;
        }
    }
    return any;
}

// With the mutex held.
static struct nrd_status *add_pinned(struct gpus *gpus, int node, int nodes, struct pinned **pinned)
{
    uint64_t share = gpus->options->pinned_pool_bytes / (uint64_t)(node < 0 ? 1 : nodes);
    const struct gpu_pool_options options = {.kind = NRD_MEMORY_PINNED,
                                             .device = pinning_device(gpus, node),
                                             .limit_bytes = share,
                                             .numa_node = node};
    NRD_TRY(gpu_device_health(options.device));
    struct pinned *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = gpu_pool_create(&options, &made->pool);
    if (status != NULL) {
        mem_free(made);
        return status;
    }
    made->device = options.device;
    made->node = node;
    made->older = gpus->pinned;
    gpus->pinned = made;
    *pinned = made;
    return NULL;
}

// The pinned pool of the caller's NUMA node. With the mutex held.
static struct nrd_status *find_pinned(struct gpus *gpus, struct pinned **pinned)
{
    if (gpus->system == NULL) {
        return status_new(NRD_UNSUPPORTED, "Pinned memory allocation not supported");
    }
    if (gpus->options->pinned_pool_bytes == 0) {
        return status_new(NRD_UNAVAILABLE,
                          "failed to allocate pinned system memory: no pinned memory pool");
    }
    bool has_gpus = false;
    int node = gpu_numa_here(&gpus->numa);
    int nodes = count_nodes(gpus, node, &has_gpus);
    if (!has_gpus) {
        // A thread elsewhere takes from the node of the first GPU.
        node = nodes == 0 ? -1 : gpu_device_info(pinning_device(gpus, -1))->numa_node;
    }
    for (struct pinned *p = gpus->pinned; p != NULL; p = p->older) {
        if (p->node == node && !gpu_device_is_lost(p->device)) {
            *pinned = p;
            return NULL;
        }
    }
    return add_pinned(gpus, node, nodes, pinned);
}

static struct nrd_status *take(struct gpus *gpus, enum nrd_memory kind, int64_t id, size_t size,
                               struct tensor_buffer **buffer)
{
    struct gpu_pool *pool = NULL;
    pthread_mutex_lock(&gpus->mutex);
    struct nrd_status *status = NULL;
    if (kind == NRD_MEMORY_PINNED) {
        struct pinned *pinned = NULL;
        status = find_pinned(gpus, &pinned);
        pool = status == NULL ? pinned->pool : NULL;
    } else if (id < 0 || id >= gpus->count) {
        status = status_new(NRD_UNSUPPORTED, "GPU memory allocation not supported");
    } else {
        status = device_pool(gpus, (int)id, &pool);
    }
    pthread_mutex_unlock(&gpus->mutex);
    NRD_TRY(status);
    status = gpu_pool_get(pool, size, buffer);
    if (status != NULL && kind == NRD_MEMORY_GPU) {
        status_free(status); // over the pool's limit: from the device, as long as that has some
        status = gpu_direct_get(gpu_system_device(gpus->system, (int)id), size, buffer);
    } else if (status != NULL) {
        struct nrd_status *why =
            status; // as Triton: what could be pageable as well is the caller's to decide
        status = status_new(status_code(why), "failed to allocate pinned system memory: %s",
                            status_text(why));
        status_free(why);
    }
    return status;
}

static struct slice address_key(void *const *memory)
{
    return (struct slice){(const char *)memory, sizeof(*memory)};
}

struct nrd_status *gpus_allocate(struct gpus *gpus, enum nrd_memory kind, int64_t id, size_t size,
                                 void **memory)
{
    struct tensor_buffer *buffer = NULL;
    NRD_TRY(take(gpus, kind, id, size, &buffer));
    pthread_mutex_lock(&gpus->mutex);
    struct nrd_status *status = map_put(&gpus->given, address_key(&buffer->data), buffer, NULL);
    pthread_mutex_unlock(&gpus->mutex);
    if (status != NULL) {
        buffer_unref(buffer);
        return status;
    }
    *memory = buffer->data;
    return NULL;
}

struct nrd_status *gpus_free(struct gpus *gpus, void *memory)
{
    pthread_mutex_lock(&gpus->mutex);
    struct tensor_buffer *buffer = map_remove(&gpus->given, address_key(&memory));
    pthread_mutex_unlock(&gpus->mutex);
    if (buffer == NULL) {
        return status_new(NRD_INTERNAL, "memory at %p was not given out by this server", memory);
    }
    buffer_unref(buffer);
    return NULL;
}

struct gpus_host_lock {
    struct pinned *pinned; // stays as long as `gpus`
    void *at;
    size_t size;
};

// Says once why memory is not locked: a driver that does not want to warns, a limit that is reached is as things are.
static void tell_unlocked(struct gpus *gpus, struct nrd_status *why, bool failed, size_t size)
{
    pthread_mutex_lock(&gpus->mutex);
    bool *told = failed ? &gpus->lock_failure_told : &gpus->lock_refusal_told;
    bool first = !*told;
    *told = true;
    pthread_mutex_unlock(&gpus->mutex);
    if (first && failed) {
        LOG_WARN("failed to page-lock %zu bytes of request bodies, copies to GPUs are staged: %s",
                 size, status_text(why));
    } else if (first) {
        LOG_NOTE("not all large request bodies are page-locked, copies of others to GPUs are "
                 "staged (--pinned-memory-pool-byte-size): %s",
                 status_text(why));
    }
    status_free(why);
}

struct gpus_host_lock *gpus_lock_host(struct gpus *gpus, void *at, size_t size)
{
    struct pinned *pinned = NULL;
    pthread_mutex_lock(&gpus->mutex);
    struct nrd_status *status = find_pinned(gpus, &pinned);
    pthread_mutex_unlock(&gpus->mutex);
    if (status == NULL) {
        status = gpu_pool_claim(pinned->pool, size);
    }
    if (status != NULL) {
        tell_unlocked(gpus, status, false, size);
        return NULL;
    }
    struct gpus_host_lock *lock = mem_alloc(sizeof(*lock));
    status = lock == NULL ? status_no_memory() : gpu_host_lock(pinned->device, at, size);
    if (status != NULL) {
        gpu_pool_unclaim(pinned->pool, size);
        mem_free(lock);
        tell_unlocked(gpus, status, true, size);
        return NULL;
    }
    *lock = (struct gpus_host_lock){pinned, at, size};
    return lock;
}

void gpus_unlock_host(struct gpus_host_lock *lock)
{
    gpu_host_unlock(lock->pinned->device, lock->at);
    gpu_pool_unclaim(lock->pinned->pool, lock->size);
    mem_free(lock);
}

void gpus_pinned_usage(struct gpus *gpus, struct gpu_pool_usage *usage)
{
    *usage = (struct gpu_pool_usage){0};
    pthread_mutex_lock(&gpus->mutex);
    for (const struct pinned *p = gpus->pinned; p != NULL; p = p->older) {
        struct gpu_pool_usage one;
        gpu_pool_usage(p->pool, &one);
        usage->limit_bytes += one.limit_bytes;
        usage->used_bytes += one.used_bytes;
        usage->pending_bytes += one.pending_bytes;
        usage->reserved_bytes += one.reserved_bytes;
        usage->peak_bytes += one.peak_bytes;
        usage->refused += one.refused;
    }
    pthread_mutex_unlock(&gpus->mutex);
}

bool gpus_local_cpus(struct gpus *gpus, int32_t id, char *text, size_t size)
{
    const struct gpu_device *device = gpus_device(gpus, id);
    return device != NULL && gpu_numa_cpus(&gpus->numa, gpu_device_info(device), text, size);
}
