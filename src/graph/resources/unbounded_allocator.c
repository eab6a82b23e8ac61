// SPDX-License-Identifier: Apache-2.0
// UnboundedAllocator, and what a fragment allocates from by default: any kind of memory on any device, as much as there is.
// What comes back is kept and given out again: the host's by size class (base/pool.h), a GPU's and pinned memory from slabs
// (gpu/memory.h), which give a place out again only after its last users' streams have come by.
#include "base/log.h"
#include "base/mem.h"
#include "gpu/memory.h"
#include "graph/devices.h"
#include "graph/resources/classes.h"
#include "graph/resources/lender.h"

enum { DEVICES_MAX = 64 };
static const size_t HOST_IDLE_MAX = (size_t)1 << 30;
static const uint64_t NO_LIMIT = (uint64_t)1 << 60;

struct unbounded {
    struct lender lender;
    struct devices *devices; // shared
    struct buffer_pool *host;
    pthread_mutex_t lock;    // of the pools while they are made
    struct gpu_pool *pinned; // NULL: not asked for yet
    struct gpu_pool *device[DEVICES_MAX];
    bool warned;
};
struct unbounded_state {
    struct unbounded *pools;
};

static void give_back(struct lender *l, void *block)
{
    buffer_pool_put(((struct unbounded *)l)->host, block);
}

static void destroy_pools(struct lender *l)
{
    struct unbounded *u = (struct unbounded *)l;
    lender_fini(l);
    gpu_pool_destroy(u->pinned);
    for (int i = 0; i < DEVICES_MAX; i++) {
        gpu_pool_destroy(u->device[i]);
    }
    buffer_pool_destroy(u->host);
    pthread_mutex_destroy(&u->lock);
    devices_unref(u->devices);
    mem_free(u);
}

static const struct lender_class LENDER = {.give_back = give_back, .destroy = destroy_pools};

static struct nrd_status *create(struct nrd_resource *resource, void *self)
{
    struct unbounded *u = mem_calloc(1, sizeof(*u));
    if (u == NULL) {
        return status_no_memory();
    }
    u->host = buffer_pool_create(HOST_IDLE_MAX);
    if (u->host == NULL || !lender_init(&u->lender, &LENDER, resource)) {
        buffer_pool_destroy(u->host);
        mem_free(u);
        return status_no_memory();
    }
    pthread_mutex_init(&u->lock, NULL);
    ((struct unbounded_state *)self)->pools = u;
    return NULL;
}

static void destroy(struct nrd_resource *resource, void *self)
{
    (void)resource;
    lender_close(&((struct unbounded_state *)self)->pools->lender);
}

// The devices, looked for when memory of theirs is first asked for. Under the lock; NULL: no memory.
static struct devices *devices_of(struct unbounded *u, struct nrd_resource *resource)
{
    if (u->devices == NULL) {
        struct devices *d = app_devices(resource->fragment->app);
        u->devices = d == NULL ? NULL : devices_ref(d);
    }
    return u->devices;
}

// The pool of a GPU's memory; made at the first use. Borrowed.
static struct nrd_status *device_pool(struct unbounded *u, struct nrd_resource *resource,
                                      int32_t ordinal, struct gpu_pool **pool)
{
    struct gpu_device *device = NULL;
    pthread_mutex_lock(&u->lock);
    struct nrd_status *status = devices_get(devices_of(u, resource), ordinal, &device);
    if (status == NULL && ordinal >= DEVICES_MAX) {
        status = status_new(NRD_UNSUPPORTED, "GPU %d is beyond the first %d", ordinal, DEVICES_MAX);
    }
    if (status == NULL && u->device[ordinal] == NULL) {
        struct gpu_pool_options options = {
            .kind = NRD_MEMORY_GPU, .device = device, .limit_bytes = NO_LIMIT, .numa_node = -1};
        status = gpu_pool_create(&options, &u->device[ordinal]);
    }
    if (status == NULL) {
        *pool = u->device[ordinal];
    }
    pthread_mutex_unlock(&u->lock);
    return status;
}

// The pool of pinned memory; NULL where no GPU could use it, which is said once.
static struct nrd_status *pinned_pool(struct unbounded *u, struct nrd_resource *resource,
                                      struct gpu_pool **pool)
{
    struct nrd_status *status = NULL;
    bool warn = false;
    pthread_mutex_lock(&u->lock);
    struct gpu_device *any = devices_any(devices_of(u, resource));
    if (any != NULL && u->pinned == NULL) {
        struct gpu_pool_options options = {.kind = NRD_MEMORY_PINNED,
                                           .device = any,
                                           .limit_bytes = NO_LIMIT,
                                           .numa_node = gpu_device_info(any)->numa_node};
        status = gpu_pool_create(&options, &u->pinned);
    }
    if (any == NULL) {
        warn = !u->warned;
        u->warned = true;
    }
    *pool = u->pinned;
    pthread_mutex_unlock(&u->lock);
    if (warn) {
        pinned_fell_back(resource);
    }
    return status;
}

static struct nrd_status *get_host(struct unbounded *u, struct lender_bytes *bytes)
{
    bytes->block = buffer_pool_get(u->host, bytes->size == 0 ? 1 : bytes->size, NULL);
    bytes->data = bytes->block;
    bytes->memory = NRD_MEMORY_CPU;
    return bytes->block == NULL ? status_no_memory() : NULL;
}

static struct nrd_status *allocate(struct nrd_resource *resource, void *self, enum nrd_dtype dtype,
                                   const int64_t *dims, uint32_t rank, enum nrd_memory memory,
                                   int32_t device, struct nrd_tensor **tensor)
{
    struct unbounded *u = ((struct unbounded_state *)self)->pools;
    struct lender_bytes bytes = {.memory = memory};
    struct gpu_pool *pool = NULL;
    NRD_TRY(tensor_check_shape(dtype, dims, rank, &bytes.size));
    if (memory == NRD_MEMORY_GPU) {
        bytes.device = device;
        NRD_TRY(device_pool(u, resource, device, &pool));
    } else if (memory == NRD_MEMORY_PINNED) {
        NRD_TRY(pinned_pool(u, resource, &pool));
    }
    if (pool == NULL) {
        NRD_TRY(get_host(u, &bytes));
    } else {
        NRD_TRY(gpu_pool_get(pool, bytes.size, &bytes.inner));
        bytes.data = bytes.inner->data;
    }
    return lender_lend(&u->lender, &bytes, dtype, dims, rank, tensor);
}

static const struct allocator_ops OPS = {.allocate = allocate};

const struct resource_class resource_unbounded_allocator = {
    .type = "UnboundedAllocator",
    .kind = "allocator",
    .state_size = sizeof(struct unbounded_state),
    .create = create,
    .destroy = destroy,
    .ops = &OPS,
};
