// SPDX-License-Identifier: Apache-2.0
// CudaStreamPool: streams of one GPU that operators take theirs from. The GPU is looked for at the first stream, so that a
// graph which names a pool and uses no GPU runs anywhere.
// Our streams never wait for the legacy default stream: stream_flags 0 and 1 are the same.
#include "graph/resources/cuda_stream_pool.h"

#include <pthread.h>

#include "graph/devices.h"
#include "graph/resources/classes.h"

struct cuda_stream_pool {
    int64_t dev_id;
    int64_t stream_flags;
    int64_t stream_priority;
    int64_t reserved_size;
    int64_t max_size;
    struct devices *devices;      // shared; NULL: not looked for yet
    struct gpu_stream_pool *pool; // likewise
    pthread_mutex_t lock;         // of both while they are made
};

static const struct nrd_param PARAMS[] = {
    {"dev_id", NRD_PARAM_INT, 0, offsetof(struct cuda_stream_pool, dev_id), "0", .min = 0,
     .max = 63, .help = "The GPU."},
    {"stream_flags", NRD_PARAM_INT, 0, offsetof(struct cuda_stream_pool, stream_flags), "0",
     .min = 0, .max = 1, .help = "0 and 1 are taken; the streams never wait for the default one."},
    {"stream_priority", NRD_PARAM_INT, 0, offsetof(struct cuda_stream_pool, stream_priority), "0",
     .min = -1000, .max = 1000, .help = "Below 0: before others; above: after them."},
    {"reserved_size", NRD_PARAM_INT, 0, offsetof(struct cuda_stream_pool, reserved_size), "1",
     .min = 0, .max = 65536, .help = "Streams that are made at once."},
    {"max_size", NRD_PARAM_INT, 0, offsetof(struct cuda_stream_pool, max_size), "0", .min = 0,
     .max = 65536, .help = "The most streams there may be; 0: any number."},
    {0},
};

static struct nrd_status *create(struct nrd_resource *resource, void *self)
{
    (void)resource;
    struct cuda_stream_pool *p = self;
    if (p->max_size != 0 && p->reserved_size > p->max_size) {
        return status_new(NRD_INVALID_ARG, "reserved_size is %lld, max_size only %lld",
                          (long long)p->reserved_size, (long long)p->max_size);
    }
    pthread_mutex_init(&p->lock, NULL);
    return NULL;
}

static void destroy(struct nrd_resource *resource, void *self)
{
    (void)resource;
    struct cuda_stream_pool *p = self;
    gpu_stream_pool_destroy(p->pool);
    devices_unref(p->devices);
    pthread_mutex_destroy(&p->lock);
}

int64_t cuda_stream_pool_device(const struct nrd_resource *pool)
{
    return ((const struct cuda_stream_pool *)pool->state)->dev_id;
}

// Makes the pool if need be. Under the lock.
static struct nrd_status *make_pool(struct nrd_resource *resource, struct cuda_stream_pool *p)
{
    struct gpu_device *device;
    if (p->pool != NULL) {
        return NULL;
    }
    struct devices *devices = app_devices(resource->fragment->app);
    NRD_TRY(devices_get(devices, p->dev_id, &device));
    enum gpu_priority priority = p->stream_priority < 0   ? GPU_PRIORITY_HIGH
                                 : p->stream_priority > 0 ? GPU_PRIORITY_LOW
                                                          : GPU_PRIORITY_NORMAL;
    NRD_TRY(gpu_stream_pool_create(device, priority, (unsigned)p->reserved_size,
                                   (unsigned)p->max_size, &p->pool));
    p->devices = devices_ref(devices);
    return NULL;
}

struct nrd_status *cuda_stream_pool_get(struct nrd_resource *pool, struct gpu_stream **stream)
{
    struct cuda_stream_pool *p = pool->state;
    pthread_mutex_lock(&p->lock);
    struct nrd_status *status = make_pool(pool, p);
    pthread_mutex_unlock(&p->lock);
    if (status == NULL) {
        status = gpu_stream_pool_get(p->pool, stream);
    }
    return status_wrap(status, "resource '%s' (CudaStreamPool): ", pool->name);
}

void cuda_stream_pool_put(struct nrd_resource *pool, struct gpu_stream *stream)
{
    gpu_stream_pool_put(((struct cuda_stream_pool *)pool->state)->pool, stream);
}

const struct resource_class resource_cuda_stream_pool = {
    .type = "CudaStreamPool",
    .kind = "cuda_stream_pool",
    .state_size = sizeof(struct cuda_stream_pool),
    .params = PARAMS,
    .create = create,
    .destroy = destroy,
};
