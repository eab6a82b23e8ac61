// SPDX-License-Identifier: Apache-2.0
// Streams and the pool of them.
#include "gpu/stream.h"

#include "base/mem.h"
#include "gpu/device_private.h"
#include "gpu/wait_private.h"

struct gpu_stream {
    struct gpu_device *device;
    struct cu_stream *handle;
    struct gpu_stream *next; // while idle in a pool
    bool owned;
};

static int priority_number(const struct gpu_device *d, enum gpu_priority priority)
{
    // Smaller numbers go first; 0 is the default, which lies between the two ends or is the lowest.
    switch (priority) {
    case GPU_PRIORITY_LOW:
        return d->least_priority;
    case GPU_PRIORITY_HIGH:
        return d->greatest_priority;
    case GPU_PRIORITY_NORMAL:
        break;
    }
    return (d->least_priority + d->greatest_priority) / 2;
}

static struct nrd_status *stream_new(struct gpu_device *device, struct gpu_stream **stream)
{
    struct gpu_stream *s = mem_calloc(1, sizeof(*s));
    if (s == NULL) {
        return status_no_memory();
    }
    s->device = device;
    *stream = s;
    return NULL;
}

struct nrd_status *gpu_stream_create(struct gpu_device *device, enum gpu_priority priority,
                                     struct gpu_stream **stream)
{
    struct gpu_stream *s = NULL;
    NRD_TRY(stream_new(device, &s));
    struct gpu_scope scope;
    struct nrd_status *status = gpu_device_enter(device, &scope);
    if (status == NULL) {
        status =
            GPU_CALL(device, stream_create,
                     (&s->handle, CU_STREAM_FLAG_NON_BLOCKING, priority_number(device, priority)));
        gpu_device_leave(&scope);
    }
    if (status != NULL) {
        mem_free(s);
        return status;
    }
    s->owned = true;
    *stream = s;
    return NULL;
}

struct nrd_status *gpu_stream_wrap(struct gpu_device *device, struct cu_stream *handle,
                                   struct gpu_stream **stream)
{
    NRD_TRY(gpu_device_open(device));
    NRD_TRY(stream_new(device, stream));
    (*stream)->handle = handle;
    return NULL;
}

void gpu_stream_destroy(struct gpu_stream *stream)
{
    if (stream == NULL) {
        return;
    }
    struct gpu_scope scope;
    if (stream->owned && gpu_device_enter_release(stream->device, &scope)) {
        (void)gpu_driver()->stream_destroy(stream->handle);
        gpu_device_leave(&scope);
    }
    mem_free(stream);
}

struct gpu_device *gpu_stream_device(const struct gpu_stream *stream)
{
    return stream->device;
}

struct cu_stream *gpu_stream_handle(const struct gpu_stream *stream)
{
    return stream->handle;
}

struct nrd_status *gpu_stream_query(struct gpu_stream *stream, bool *done)
{
    struct gpu_scope scope;
    NRD_TRY(gpu_device_enter(stream->device, &scope));
    int result = gpu_driver()->stream_query(stream->handle);
    gpu_device_leave(&scope);
    if (result != CU_SUCCESS && result != CU_NOT_READY) {
        return gpu_status(result, GPU_FN_stream_query, stream->device);
    }
    *done = result == CU_SUCCESS;
    return NULL;
}

struct nrd_status *gpu_stream_sync(struct gpu_stream *stream, uint64_t deadline_ns)
{
    uint64_t begin = clock_now_ns();
    bool done = false;
    for (;;) {
        NRD_TRY(gpu_stream_query(stream, &done));
        if (done) {
            return NULL;
        }
        if (!gpu_wait_step(begin, deadline_ns)) {
            return status_new(NRD_UNAVAILABLE, "GPU %d: waiting for a stream: time-out",
                              stream->device->info.ordinal);
        }
    }
}

struct nrd_status *gpu_stream_call_host(struct gpu_stream *stream, void (*fn)(void *), void *arg)
{
    struct gpu_scope scope;
    NRD_TRY(gpu_device_enter(stream->device, &scope));
    struct nrd_status *status = GPU_CALL(stream->device, launch_host_fn, (stream->handle, fn, arg));
    gpu_device_leave(&scope);
    return status;
}

struct nrd_status *gpu_stream_fill(struct gpu_stream *stream, void *data, uint8_t value,
                                   size_t size)
{
    struct gpu_scope scope;
    NRD_TRY(gpu_device_enter(stream->device, &scope));
    struct nrd_status *status = GPU_CALL(stream->device, memset_d8_async,
                                         ((uint64_t)(uintptr_t)data, value, size, stream->handle));
    gpu_device_leave(&scope);
    return status;
}

// ---- pool ---------------------------------------------------------------------------------------------------------

struct gpu_stream_pool {
    pthread_mutex_t lock;
    struct gpu_device *device;
    enum gpu_priority priority;
    unsigned max; // 0: no limit
    unsigned made;
    struct gpu_stream *idle;
};

struct nrd_status *gpu_stream_pool_create(struct gpu_device *device, enum gpu_priority priority,
                                          unsigned reserved, unsigned max,
                                          struct gpu_stream_pool **pool)
{
    if (max != 0 && reserved > max) {
        return status_new(NRD_INVALID_ARG,
                          "GPU %d: a stream pool of at most %u streams cannot reserve %u",
                          device->info.ordinal, max, reserved);
    }
    struct gpu_stream_pool *p = mem_calloc(1, sizeof(*p));
    if (p == NULL) {
        return status_no_memory();
    }
    pthread_mutex_init(&p->lock, NULL);
    p->device = device;
    p->priority = priority;
    p->max = max;
    for (; p->made < reserved; p->made++) {
        struct gpu_stream *s = NULL;
        struct nrd_status *status = gpu_stream_create(device, priority, &s);
        if (status != NULL) {
            gpu_stream_pool_destroy(p);
            return status;
        }
        s->next = p->idle;
        p->idle = s;
    }
    *pool = p;
    return NULL;
}

void gpu_stream_pool_destroy(struct gpu_stream_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    while (pool->idle != NULL) {
        struct gpu_stream *s = pool->idle;
        pool->idle = s->next;
        gpu_stream_destroy(s);
    }
    pthread_mutex_destroy(&pool->lock);
    mem_free(pool);
}

struct nrd_status *gpu_stream_pool_get(struct gpu_stream_pool *pool, struct gpu_stream **stream)
{
    pthread_mutex_lock(&pool->lock);
    struct gpu_stream *s = pool->idle;
    bool full = pool->max != 0 && pool->made >= pool->max;
    if (s != NULL) {
        pool->idle = s->next;
    } else if (!full) {
        pool->made++;
    }
    pthread_mutex_unlock(&pool->lock);
    if (s != NULL) {
        *stream = s;
        return NULL;
    }
    if (full) {
        return status_new(NRD_UNAVAILABLE, "GPU %d: all %u streams of the pool are in use",
                          pool->device->info.ordinal, pool->max);
    }
    struct nrd_status *status = gpu_stream_create(pool->device, pool->priority, stream);
    if (status != NULL) {
        pthread_mutex_lock(&pool->lock);
        pool->made--;
        pthread_mutex_unlock(&pool->lock);
    }
    return status;
}

void gpu_stream_pool_put(struct gpu_stream_pool *pool, struct gpu_stream *stream)
{
    pthread_mutex_lock(&pool->lock);
    stream->next = pool->idle;
    pool->idle = stream;
    pthread_mutex_unlock(&pool->lock);
}
