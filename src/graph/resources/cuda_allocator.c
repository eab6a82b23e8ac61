// SPDX-License-Identifier: Apache-2.0
// Cuda allocators. Device memory is allocated in the order of a stream of the allocator's own; who allocates for an operator
// lets the operator's stream wait for it (streams.c). It is freed in stream order too, after its last users (gpu/memory.h).
#include "graph/resources/cuda_allocator.h"

#include "base/log.h"
#include "base/mem.h"
#include "gpu/memory.h"
#include "graph/devices.h"

struct cuda_pools {
    struct lender lender;
    struct devices *devices; // shared
    struct gpu_stream *stream;
    struct gpu_async_pool *device; // NULL: no GPU
    struct gpu_pool *pinned;       // NULL: no GPU, or no memory of the host
    struct buffer_pool *host;      // in its place
    _Atomic uint64_t host_used;    // of `host`
    uint64_t host_max;
};

// Blocks of `host` know how large they are.
struct host_block {
    uint64_t size;
    _Alignas(64) char bytes[];
};

static void give_back(struct lender *l, void *block)
{
    struct cuda_pools *p = (struct cuda_pools *)l;
    struct host_block *b = block;
    atomic_fetch_sub_explicit(&p->host_used, b->size, memory_order_relaxed);
    buffer_pool_put(p->host, b);
}

static void destroy_pools(struct lender *l)
{
    struct cuda_pools *p = (struct cuda_pools *)l;
    lender_fini(l);
    gpu_async_pool_destroy(p->device);
    gpu_stream_destroy(p->stream);
    gpu_pool_destroy(p->pinned);
    buffer_pool_destroy(p->host);
    devices_unref(p->devices);
    mem_free(p);
}

static const struct lender_class LENDER = {.give_back = give_back, .destroy = destroy_pools};

static struct nrd_status *make_device_pool(struct cuda_pools *p, const struct cuda_allocator *a,
                                           struct gpu_device *device)
{
    struct gpu_async_pool_options options = {.device = device,
                                             .initial_bytes = a->device_initial,
                                             .max_bytes = a->device_max,
                                             .release_threshold = a->release_threshold};
    NRD_TRY(gpu_stream_create(device, GPU_PRIORITY_NORMAL, &p->stream));
    return gpu_async_pool_create(&options, &p->device);
}

static struct nrd_status *make_host_pool(struct cuda_pools *p, const struct cuda_allocator *a,
                                         struct nrd_resource *resource, struct gpu_device *device)
{
    if (device != NULL) {
        struct gpu_pool_options options = {.kind = NRD_MEMORY_PINNED,
                                           .device = device,
                                           .limit_bytes = a->host_max,
                                           .initial_bytes = a->host_initial,
                                           .numa_node = gpu_device_info(device)->numa_node};
        return gpu_pool_create(&options, &p->pinned);
    }
    pinned_fell_back(resource);
    p->host_max = a->host_max;
    p->host = buffer_pool_create(a->host_max);
    return p->host == NULL ? status_no_memory() : NULL;
}

struct nrd_status *cuda_allocator_create(struct nrd_resource *resource, struct cuda_allocator *a,
                                         bool needs_gpu)
{
    if (a->device_initial > a->device_max || a->host_initial > a->host_max) {
        bool device = a->device_initial > a->device_max;
        return status_new(
            NRD_INVALID_ARG, "%s_memory_initial_size is %llu bytes, %s_memory_max_size only %llu",
            device ? "device" : "host",
            (unsigned long long)(device ? a->device_initial : a->host_initial),
            device ? "device" : "host", (unsigned long long)(device ? a->device_max : a->host_max));
    }
    struct devices *devices = app_devices(resource->fragment->app);
    struct gpu_device *device = NULL;
    struct nrd_status *status = devices_get(devices, a->dev_id, &device);
    if (status != NULL && (needs_gpu || status_code(status) != NRD_UNAVAILABLE || devices == NULL ||
                           devices_any(devices) != NULL)) {
        return status;
    }
    status_free(status);
    struct cuda_pools *p = mem_calloc(1, sizeof(*p));
    if (p == NULL || !lender_init(&p->lender, &LENDER, resource)) {
        mem_free(p);
        return status_no_memory();
    }
    p->devices = devices_ref(devices);
    status = device == NULL ? NULL : make_device_pool(p, a, device);
    if (status == NULL && a->host_max > 0) {
        status = make_host_pool(p, a, resource, device);
    }
    if (status != NULL) {
        destroy_pools(&p->lender);
        return status;
    }
    a->pools = p;
    return NULL;
}

void cuda_allocator_destroy(struct nrd_resource *resource, void *self)
{
    (void)resource;
    lender_close(&((struct cuda_allocator *)self)->pools->lender);
}

// Memory of the system in place of pinned memory, under the same limit.
static struct nrd_status *get_host(struct cuda_pools *p, struct lender_bytes *bytes)
{
    uint64_t used = atomic_load_explicit(&p->host_used, memory_order_relaxed);
    do {
        if (bytes->size > p->host_max || used > p->host_max - bytes->size) {
            return status_new(NRD_UNAVAILABLE,
                              "host memory pool of %llu bytes has no room for %zu bytes (%llu in "
                              "use)",
                              (unsigned long long)p->host_max, bytes->size,
                              (unsigned long long)used);
        }
    } while (!atomic_compare_exchange_weak_explicit(&p->host_used, &used, used + bytes->size,
                                                    memory_order_relaxed, memory_order_relaxed));
    struct host_block *block = buffer_pool_get(p->host, sizeof(*block) + bytes->size, NULL);
    if (block == NULL) {
        atomic_fetch_sub_explicit(&p->host_used, bytes->size, memory_order_relaxed);
        return status_no_memory();
    }
    block->size = bytes->size;
    bytes->block = block;
    bytes->data = block->bytes;
    bytes->memory = NRD_MEMORY_CPU;
    return NULL;
}

static struct nrd_status *get_bytes(const struct cuda_allocator *a, struct lender_bytes *bytes,
                                    int32_t device)
{
    struct cuda_pools *p = a->pools;
    if (bytes->memory == NRD_MEMORY_GPU) {
        if (p->device == NULL) {
            struct gpu_device *none;
            return devices_get(p->devices, device, &none);
        }
        if (device != a->dev_id) {
            return status_new(NRD_INVALID_ARG, "its memory is of GPU %lld, not of GPU %d",
                              (long long)a->dev_id, device);
        }
        bytes->device = device;
        NRD_TRY(gpu_async_pool_get(p->device, p->stream, bytes->size, &bytes->inner));
    } else if (p->pinned != NULL) {
        bytes->memory = NRD_MEMORY_PINNED;
        NRD_TRY(gpu_pool_get(p->pinned, bytes->size, &bytes->inner));
    } else if (p->host != NULL) {
        return get_host(p, bytes);
    } else {
        return status_new(NRD_INVALID_ARG, "it has device memory only, and no %s memory",
                          memory_name(bytes->memory));
    }
    bytes->data = bytes->inner->data;
    return NULL;
}

static struct nrd_status *allocate(struct nrd_resource *resource, void *self, enum nrd_dtype dtype,
                                   const int64_t *dims, uint32_t rank, enum nrd_memory memory,
                                   int32_t device, struct nrd_tensor **tensor)
{
    const struct cuda_allocator *a = self;
    struct lender_bytes bytes = {.memory = memory};
    NRD_TRY(tensor_check_shape(dtype, dims, rank, &bytes.size));
    struct nrd_status *status = get_bytes(a, &bytes, device);
    if (status != NULL) {
        return status_wrap(status, "resource '%s' (%s): ", resource->name, resource->class->type);
    }
    return lender_lend(&a->pools->lender, &bytes, dtype, dims, rank, tensor);
}

// Of the device's memory, as holoscan's; of the host's where there is no device.
static bool available(void *self, uint64_t bytes, uint64_t blocks)
{
    (void)blocks;
    const struct cuda_allocator *a = self;
    struct cuda_pools *p = a->pools;
    lender_watch(&p->lender);
    if (p->device == NULL) {
        uint64_t used = atomic_load_explicit(&p->host_used, memory_order_relaxed);
        return bytes <= p->host_max && used <= p->host_max - bytes;
    }
    struct gpu_pool_usage usage;
    gpu_async_pool_usage(p->device, &usage);
    return usage.limit_bytes == 0 ||
           (bytes <= usage.limit_bytes && usage.used_bytes <= usage.limit_bytes - bytes);
}

const struct allocator_ops cuda_allocator_ops = {.allocate = allocate, .available = available};
