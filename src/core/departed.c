// SPDX-License-Identifier: Apache-2.0
// Departed batches. See departed.h; start at nereid_batch_depart().
#include "core/departed.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/instance.h"
#include "core/model.h"
#include "core/request.h"
#include "core/schedule/scheduler.h"
#include "nereid/ext/core.h"

struct departed_request {
    uint64_t rows;
    uint64_t start_ns;
    uint64_t queue_ns;
};

struct departed {
    struct departed *next; // among the idle ones
    struct instance *instance;
    struct flight *flight; // held; NULL: it is not counted
    uint64_t rows;
    uint32_t count;
    uint32_t capacity;
    struct departed_request *requests;
};

// ---- the pool -----------------------------------------------------------------------------------

void departed_pool_init(struct departed_pool *pool)
{
    pthread_mutex_init(&pool->mutex, NULL);
    pool->idle = NULL;
}

static void destroy(struct departed *batch)
{
    mem_free(batch->requests);
    mem_free(batch);
}

void departed_pool_fini(struct departed_pool *pool)
{
    while (pool->idle != NULL) {
        struct departed *next = pool->idle->next;
        destroy(pool->idle);
        pool->idle = next;
    }
    pthread_mutex_destroy(&pool->mutex);
}

static struct departed *get(struct departed_pool *pool, uint32_t count)
{
    pthread_mutex_lock(&pool->mutex);
    struct departed *batch = pool->idle;
    if (batch != NULL) {
        pool->idle = batch->next;
    }
    pthread_mutex_unlock(&pool->mutex);
    if (batch == NULL) {
        batch = mem_calloc(1, sizeof(*batch));
    }
    if (batch == NULL || count <= batch->capacity) {
        return batch;
    }
    struct departed_request *requests =
        mem_realloc(batch->requests, (size_t)count * sizeof(*requests));
    if (requests == NULL) {
        destroy(batch);
        return NULL;
    }
    batch->requests = requests;
    batch->capacity = count;
    return batch;
}

static void put(struct departed_pool *pool, struct departed *batch)
{
    pthread_mutex_lock(&pool->mutex);
    batch->next = pool->idle;
    pool->idle = batch;
    pthread_mutex_unlock(&pool->mutex);
}

// ---- from departure to landing ------------------------------------------------------------------

void *nereid_batch_depart(TRITONBACKEND_ModelInstance *handle,
                          TRITONBACKEND_Request *const *requests, uint32_t count,
                          uint64_t exec_start_ns)
{
    struct instance *instance = (struct instance *)handle;
    struct departed *batch = get(&instance->departed, count);
    if (batch == NULL) {
        return NULL;
    }
    batch->instance = instance;
    batch->flight = NULL;
    batch->rows = 0;
    batch->count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct request *request = (struct request *)requests[i];
        uint64_t rows = request->batch_size == 0 ? 1 : request->batch_size;
        batch->requests[i] = (struct departed_request){
            .rows = rows, .start_ns = request->start_ns, .queue_ns = request->queue_ns};
        batch->rows += rows;
        if (batch->flight == NULL) {
            batch->flight = scheduler_hold_flight(request);
        }
    }
    uint64_t took = clock_now_ns() - exec_start_ns;
    atomic_store_explicit(&instance->last_ns32, took < UINT32_MAX ? (uint32_t)took : UINT32_MAX,
                          memory_order_relaxed);
    return batch;
}

void nereid_batch_land(void *departed, bool success, uint64_t exec_start_ns,
                       uint64_t compute_start_ns, uint64_t compute_end_ns, uint64_t exec_end_ns)
{
    struct departed *batch = departed;
    struct instance *instance = batch->instance;
    struct stats_times times = {exec_start_ns, compute_start_ns, compute_end_ns, exec_end_ns};
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct departed_request *request = &batch->requests[i];
        if (success) {
            stats_count_success(instance->shard, request->rows, request->start_ns,
                                request->queue_ns, &times, exec_end_ns);
        } else {
            stats_count_failure(instance->model->stats, FAIL_REASON_BACKEND,
                                exec_end_ns - request->start_ns);
        }
    }
    if (success) {
        stats_count_batch(instance->shard, batch->rows, &times);
    }
    struct scheduler *scheduler = instance->model->scheduler;
    struct flight *flight = batch->flight;
    put(&instance->departed, batch);
    if (flight != NULL) { // last: the instance may be finalized then
        scheduler_land_flight(scheduler, flight, !success);
    }
}
