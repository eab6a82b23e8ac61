// SPDX-License-Identifier: Apache-2.0
// Devices: found once; contexts are the primary ones, retained once a device and pushed where they are needed.
//
// Why the primary context: every framework in this process uses it, so memory and streams of ours and theirs mix freely.
// Why pushed and popped: a framework's own idea of the current device must be what it left, after any call of ours.
#include "gpu/device_private.h"

#include <ctype.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "gpu/numa.h"
#include "gpu/nvml.h"

struct gpu_system {
    int count;
    struct gpu_device devices[];
};

// ---- what a device is ---------------------------------------------------------------------------------------------

static void format_uuid(const struct cu_uuid *uuid, const char *prefix, char *text, size_t size)
{
    const unsigned char *b = uuid->bytes;
    snprintf(text, size, "%s-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             prefix, b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11],
             b[12], b[13], b[14], b[15]);
}

// A file of the device under /sys.
static void read_pci(const char *bus_id, const char *leaf, char *text, size_t size)
{
    char path[128];
    char id[16] = "";
    for (size_t i = 0; bus_id[i] != '\0' && i + 1 < sizeof(id); i++) {
        id[i] = (char)tolower((unsigned char)bus_id[i]);
    }
    snprintf(path, sizeof(path), "bus/pci/devices/%s/%s", id, leaf);
    gpu_sysfs_read(path, text, size);
}

static int attribute(const struct gpu_device *d, int which)
{
    int value = 0;
    return gpu_driver()->device_attribute(&value, which, d->handle) == CU_SUCCESS ? value : 0;
}

static struct nrd_status *read_info(struct gpu_device *d, int ordinal)
{
    struct gpu_device_info *info = &d->info;
    info->ordinal = ordinal;
    info->numa_node = -1;
    NRD_TRY(GPU_CALL(d, device_get, (&d->handle, ordinal)));
    NRD_TRY(GPU_CALL(d, device_name, (info->name, (int)sizeof(info->name), d->handle)));
    struct cu_uuid uuid;
    NRD_TRY(GPU_CALL(d, device_uuid, (&uuid, d->handle)));
    format_uuid(&uuid, "GPU", info->uuid, sizeof(info->uuid));
    char slice_uuid[sizeof(info->uuid)];
    format_uuid(&uuid, "MIG", slice_uuid, sizeof(slice_uuid));
    info->is_mig = nvml_knows(slice_uuid);
    if (info->is_mig) {
        snprintf(info->uuid, sizeof(info->uuid), "%s", slice_uuid);
    }
    size_t bytes = 0;
    NRD_TRY(GPU_CALL(d, device_total_mem, (&bytes, d->handle)));
    info->memory_bytes = bytes;
    NRD_TRY(GPU_CALL(d, device_pci_bus_id,
                     (info->pci_bus_id, (int)sizeof(info->pci_bus_id), d->handle)));
    info->compute_major = attribute(d, CU_ATTR_COMPUTE_CAPABILITY_MAJOR);
    info->compute_minor = attribute(d, CU_ATTR_COMPUTE_CAPABILITY_MINOR);
    info->multiprocessors = attribute(d, CU_ATTR_MULTIPROCESSOR_COUNT);
    info->clock_khz = attribute(d, CU_ATTR_CLOCK_RATE);
    info->copy_engines = attribute(d, CU_ATTR_ASYNC_ENGINE_COUNT);
    info->l2_bytes = attribute(d, CU_ATTR_L2_CACHE_SIZE);
    info->memory_bus_bits = attribute(d, CU_ATTR_GLOBAL_MEMORY_BUS_WIDTH);
    info->memory_clock_khz = attribute(d, CU_ATTR_MEMORY_CLOCK_RATE);
    info->integrated = attribute(d, CU_ATTR_INTEGRATED) != 0;
    info->has_memory_pools = attribute(d, CU_ATTR_MEMORY_POOLS_SUPPORTED) != 0;
    char node[16];
    int64_t number;
    read_pci(info->pci_bus_id, "numa_node", node, sizeof(node));
    if (slice_to_i64(slice_of(node), &number) && number >= 0 && number < 4096) {
        info->numa_node = (int)number;
    }
    read_pci(info->pci_bus_id, "local_cpulist", info->cpus, sizeof(info->cpus));
    return NULL;
}

static void device_init(struct gpu_device *d, struct gpu_system *system)
{
    d->system = system;
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->watch_lock, NULL);
    pthread_mutex_init(&d->probe_lock, NULL);
    pthread_mutex_init(&d->event_lock, NULL);
    pthread_mutex_init(&d->kernel_lock, NULL);
    pthread_cond_init(&d->watch_idle, NULL);
    list_init(&d->watches);
}

struct nrd_status *gpu_system_open(struct gpu_system **system)
{
    NRD_TRY(gpu_driver_open());
    int count = 0;
    NRD_TRY(GPU_CALL(NULL, device_count, (&count)));
    if (count <= 0) {
        return status_new(NRD_UNAVAILABLE, "no GPU: the CUDA driver shows none");
    }
    if (count > GPU_DEVICES_MAX) {
        LOG_WARN("%d GPUs found, the first %d are used", count, GPU_DEVICES_MAX);
        count = GPU_DEVICES_MAX;
    }
    struct gpu_system *s = mem_calloc(1, sizeof(*s) + (size_t)count * sizeof(s->devices[0]));
    if (s == NULL) {
        return status_no_memory();
    }
    s->count = count;
    for (int i = 0; i < count; i++) {
        device_init(&s->devices[i], s);
    }
    for (int i = 0; i < count; i++) {
        struct nrd_status *status = read_info(&s->devices[i], i);
        if (status != NULL) {
            gpu_system_close(s);
            return status;
        }
    }
    *system = s;
    return NULL;
}

void gpu_system_close(struct gpu_system *system)
{
    if (system == NULL) {
        return;
    }
    for (int i = 0; i < system->count; i++) {
        struct gpu_device *d = &system->devices[i];
        gpu_probe_fini(d);
        gpu_event_pool_fini(d);
        if (d->kernels != NULL) {
            d->kernels_destroy(d->kernels);
        }
        if (atomic_load_explicit(&d->context, memory_order_acquire) != NULL) {
            (void)gpu_driver()->primary_release(d->handle);
        }
        pthread_mutex_destroy(&d->lock);
        pthread_mutex_destroy(&d->watch_lock);
        pthread_mutex_destroy(&d->probe_lock);
        pthread_mutex_destroy(&d->event_lock);
        pthread_mutex_destroy(&d->kernel_lock);
        pthread_cond_destroy(&d->watch_idle);
    }
    mem_free(system);
}

int gpu_system_count(const struct gpu_system *system)
{
    return system->count;
}

struct gpu_device *gpu_system_device(const struct gpu_system *system, int ordinal)
{
    if (ordinal < 0 || ordinal >= system->count) {
        return NULL;
    }
    // The array is const only through this pointer: devices are changed by who holds one.
    return (struct gpu_device *)(uintptr_t)&system->devices[ordinal];
}

struct gpu_device *gpu_system_find(const struct gpu_system *system, struct slice uuid)
{
    struct gpu_device *found = NULL;
    for (int i = 0; uuid.len > 0 && i < system->count; i++) {
        struct gpu_device *d = gpu_system_device(system, i);
        if (slice_starts(slice_of(d->info.uuid), uuid)) {
            if (found != NULL) {
                return NULL;
            }
            found = d;
        }
    }
    return found;
}

const struct gpu_device_info *gpu_device_info(const struct gpu_device *device)
{
    return &device->info;
}

// ---- contexts -----------------------------------------------------------------------------------------------------

static struct nrd_status *retain_context(struct gpu_device *d)
{
    struct cu_context *context = NULL;
    NRD_TRY(GPU_CALL(d, primary_retain, (&context, d->handle)));
    struct nrd_status *status = GPU_CALL(d, ctx_push, (context));
    if (status == NULL) {
        status = GPU_CALL(d, ctx_priority_range, (&d->least_priority, &d->greatest_priority));
        struct cu_context *popped;
        (void)gpu_driver()->ctx_pop(&popped);
    }
    if (status != NULL) {
        (void)gpu_driver()->primary_release(d->handle);
        return status;
    }
    // Release: the priorities are seen with the context.
    atomic_store_explicit(&d->context, context, memory_order_release);
    return NULL;
}

struct nrd_status *gpu_device_open(struct gpu_device *device)
{
    if (atomic_load_explicit(&device->context, memory_order_acquire) != NULL) {
        return NULL;
    }
    NRD_TRY(gpu_device_health(device));
    pthread_mutex_lock(&device->lock);
    struct nrd_status *status = NULL;
    if (atomic_load_explicit(&device->context, memory_order_relaxed) == NULL) {
        status = retain_context(device);
    }
    pthread_mutex_unlock(&device->lock);
    return status;
}

struct cu_context *gpu_device_context(struct gpu_device *device)
{
    status_free(gpu_device_open(device));
    return atomic_load_explicit(&device->context, memory_order_acquire);
}

static int push_context(struct gpu_device *device, struct gpu_scope *scope)
{
    struct cu_context *context = atomic_load_explicit(&device->context, memory_order_acquire);
    struct cu_context *current = NULL;
    scope->device = device;
    scope->pushed = false;
    if (gpu_driver()->ctx_get_current(&current) == CU_SUCCESS && current == context) {
        return CU_SUCCESS;
    }
    int result = gpu_driver()->ctx_push(context);
    scope->pushed = result == CU_SUCCESS;
    return result;
}

struct nrd_status *gpu_device_enter(struct gpu_device *device, struct gpu_scope *scope)
{
    if (gpu_device_is_lost(device)) {
        return gpu_device_health(device);
    }
    NRD_TRY(gpu_device_open(device));
    return gpu_status(push_context(device, scope), GPU_FN_ctx_push, device);
}

bool gpu_device_enter_release(struct gpu_device *device, struct gpu_scope *scope)
{
    return atomic_load_explicit(&device->context, memory_order_acquire) != NULL &&
           push_context(device, scope) == CU_SUCCESS;
}

void gpu_device_leave(struct gpu_scope *scope)
{
    if (scope->pushed) {
        struct cu_context *popped;
        (void)gpu_driver()->ctx_pop(&popped);
    }
}

struct nrd_status *gpu_device_memory(struct gpu_device *device, uint64_t *free_bytes,
                                     uint64_t *total_bytes)
{
    struct gpu_scope scope;
    NRD_TRY(gpu_device_enter(device, &scope));
    size_t available = 0;
    size_t total = 0;
    struct nrd_status *status = GPU_CALL(device, mem_info, (&available, &total));
    gpu_device_leave(&scope);
    if (status == NULL) {
        *free_bytes = available;
        *total_bytes = total;
    }
    return status;
}

struct nrd_status *gpu_device_synchronize(struct gpu_device *device)
{
    struct gpu_scope scope;
    NRD_TRY(gpu_device_enter(device, &scope));
    struct nrd_status *status = GPU_CALL(device, ctx_synchronize, ());
    gpu_device_leave(&scope);
    return status;
}

// ---- peers --------------------------------------------------------------------------------------------------------

bool gpu_device_can_access(const struct gpu_device *device, const struct gpu_device *peer)
{
    int can = 0;
    return device == peer || (gpu_driver()->device_can_access_peer(&can, device->handle,
                                                                   peer->handle) == CU_SUCCESS &&
                              can != 0);
}

int gpu_device_link_rank(const struct gpu_device *device, const struct gpu_device *peer)
{
    int rank = 0;
    if (device == peer) {
        return 0;
    }
    if (!gpu_device_can_access(device, peer) ||
        gpu_driver()->device_p2p_attribute(&rank, CU_P2P_PERFORMANCE_RANK, device->handle,
                                           peer->handle) != CU_SUCCESS) {
        return -1;
    }
    return rank;
}

struct nrd_status *gpu_device_enable_peer(struct gpu_device *device, struct gpu_device *peer)
{
    uint64_t bit = (uint64_t)1 << peer->info.ordinal;
    if (device == peer ||
        (atomic_load_explicit(&device->peers_enabled, memory_order_acquire) & bit) != 0) {
        return NULL;
    }
    if (!gpu_device_can_access(device, peer)) {
        return status_new(NRD_UNSUPPORTED, "GPU %d cannot access the memory of GPU %d",
                          device->info.ordinal, peer->info.ordinal);
    }
    struct cu_context *other = gpu_device_context(peer);
    struct gpu_scope scope;
    NRD_TRY(gpu_device_health(peer));
    NRD_TRY(gpu_device_enter(device, &scope));
    int result = gpu_driver()->ctx_enable_peer(other, 0);
    // A framework of this process may have done it before us.
    struct nrd_status *status = result == CU_PEER_ACCESS_ALREADY_ENABLED
                                    ? NULL
                                    : gpu_status(result, GPU_FN_ctx_enable_peer, device);
    gpu_device_leave(&scope);
    if (status == NULL) {
        atomic_fetch_or_explicit(&device->peers_enabled, bit, memory_order_release);
    }
    return status;
}

// ---- health -------------------------------------------------------------------------------------------------------

bool gpu_device_is_lost(const struct gpu_device *device)
{
    return atomic_load_explicit(&device->lost, memory_order_relaxed);
}

bool gpu_device_is_faulted(const struct gpu_device *device)
{
    return gpu_device_is_lost(device) && gpu_result_is_fault(gpu_device_lost_result(device));
}

struct nrd_status *gpu_device_health(const struct gpu_device *device)
{
    // Acquire: the reason was written before.
    if (!atomic_load_explicit(&device->lost, memory_order_acquire)) {
        return NULL;
    }
    return status_new(NRD_UNAVAILABLE, "GPU %d (%s) is lost: %s", device->info.ordinal,
                      device->info.uuid, device->lost_reason);
}

// Tells every watcher that has not been told. Called with the lock held, which is let go around each call.
static void tell_watchers(struct gpu_device *d)
{
    if (d->telling != NULL && pthread_equal(d->teller, pthread_self())) {
        return; // called from a `lost`: the loop that called it goes on to the others
    }
    for (;;) {
        while (d->telling != NULL) {
            pthread_cond_wait(&d->watch_idle, &d->watch_lock);
        }
        struct gpu_watch *next = NULL;
        LIST_FOR(node, &d->watches)
        {
            struct gpu_watch *watch = CONTAINER_OF(node, struct gpu_watch, link);
            if (!watch->told) {
                next = watch;
                break;
            }
        }
        if (next == NULL) {
            return;
        }
        next->told = true;
        d->telling = next;
        d->teller = pthread_self();
        pthread_mutex_unlock(&d->watch_lock);
        next->lost(d, d->lost_reason, next->arg);
        pthread_mutex_lock(&d->watch_lock);
        d->telling = NULL;
        pthread_cond_broadcast(&d->watch_idle);
    }
}

void gpu_device_mark_lost(struct gpu_device *device, const char *reason)
{
    gpu_device_mark_lost_by(device, CU_SUCCESS, reason);
}

int gpu_device_lost_result(const struct gpu_device *device)
{
    // Acquire: it was written before.
    return atomic_load_explicit(&device->lost, memory_order_acquire) ? device->lost_result
                                                                     : CU_SUCCESS;
}

void gpu_device_mark_lost_by(struct gpu_device *device, int result, const char *reason)
{
    pthread_mutex_lock(&device->watch_lock);
    if (atomic_load_explicit(&device->lost, memory_order_relaxed)) {
        pthread_mutex_unlock(&device->watch_lock);
        return;
    }
    snprintf(device->lost_reason, sizeof(device->lost_reason), "%s", reason);
    device->lost_result = result;
    atomic_store_explicit(&device->lost, true, memory_order_release);
    LOG_ERR("GPU %d (%s) is lost: %s", device->info.ordinal, device->info.uuid, reason);
    tell_watchers(device);
    pthread_mutex_unlock(&device->watch_lock);
}

void gpu_device_watch(struct gpu_device *device, struct gpu_watch *watch)
{
    pthread_mutex_lock(&device->watch_lock);
    watch->told = false;
    list_push_back(&device->watches, &watch->link);
    if (atomic_load_explicit(&device->lost, memory_order_relaxed)) {
        tell_watchers(device);
    }
    pthread_mutex_unlock(&device->watch_lock);
}

void gpu_device_unwatch(struct gpu_device *device, struct gpu_watch *watch)
{
    pthread_mutex_lock(&device->watch_lock);
    list_remove(&watch->link);
    while (device->telling == watch) {
        pthread_cond_wait(&device->watch_idle, &device->watch_lock);
    }
    pthread_mutex_unlock(&device->watch_lock);
}

static enum nrd_code code_of(int result)
{
    switch (result) {
    case CU_OUT_OF_MEMORY:
    case CU_NO_DEVICE:
        return NRD_UNAVAILABLE;
    case CU_INVALID_VALUE:
        return NRD_INVALID_ARG;
    case CU_NOT_FOUND:
        return NRD_NOT_FOUND;
    case GPU_RESULT_MISSING:
    case CU_NOT_SUPPORTED:
    case CU_PEER_ACCESS_UNSUPPORTED:
    case CU_NO_BINARY_FOR_GPU:
        return NRD_UNSUPPORTED;
    default:
        return gpu_result_is_sticky(result) ? NRD_UNAVAILABLE : NRD_INTERNAL;
    }
}

struct nrd_status *gpu_status(int result, enum gpu_fn fn, struct gpu_device *device)
{
    if (result == CU_SUCCESS) {
        return NULL;
    }
    char words[160];
    gpu_result_text(result, words, sizeof(words));
    if (device == NULL) {
        return status_new(code_of(result), "%s: %s", gpu_fn_name(fn), words);
    }
    if (gpu_result_is_sticky(result)) {
        char reason[256];
        snprintf(reason, sizeof(reason), "%s: %s", gpu_fn_name(fn), words);
        gpu_device_mark_lost_by(device, result, reason);
    }
    return status_new(code_of(result), "GPU %d: %s: %s", device->info.ordinal, gpu_fn_name(fn),
                      words);
}
