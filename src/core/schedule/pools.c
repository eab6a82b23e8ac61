// SPDX-License-Identifier: Apache-2.0
// Pools of a model's requests, responses and factories: what was used comes back with the room that it had.
#include "base/mem.h"
#include "core/request.h"
#include "core/response.h"
#include "core/schedule/scheduler_private.h"

// Of each kind of object, so many are kept for the next request.
#define POOL_IDLE_MAX 2048u

void pool_init(struct pool *pool, size_t request_block, size_t response_block)
{
    pthread_mutex_init(&pool->mutex, NULL);
    pool->request_block = request_block;
    pool->response_block = response_block;
}

void pool_fini(struct pool *pool)
{
    while (pool->requests != NULL) {
        struct request *request = pool->requests;
        pool->requests = request->pool_next;
        arena_fini(&request->arena);
        mem_free(request);
    }
    while (pool->responses != NULL) {
        struct response *response = pool->responses;
        pool->responses = response->next;
        arena_fini(&response->arena);
        mem_free(response);
    }
    while (pool->factories != NULL) {
        struct response_factory *factory = pool->factories;
        pool->factories = factory->pool_next;
        mem_free(factory);
    }
    pthread_mutex_destroy(&pool->mutex);
}

struct request *scheduler_get_request(struct scheduler *scheduler)
{
    struct pool *pool = &scheduler->pool;
    pthread_mutex_lock(&pool->mutex);
    struct request *request = pool->requests;
    if (request != NULL) {
        pool->requests = request->pool_next;
        pool->request_count--;
    }
    pthread_mutex_unlock(&pool->mutex);
    if (request == NULL) {
        request = mem_calloc(1, sizeof(*request));
        if (request == NULL) {
            return NULL;
        }
        arena_init(&request->arena, pool->request_block);
    }
    request->pool_next = NULL;
    return request;
}

void scheduler_put_request(struct scheduler *scheduler, struct request *request)
{
    struct pool *pool = &scheduler->pool;
    pthread_mutex_lock(&pool->mutex);
    bool keep = pool->request_count < POOL_IDLE_MAX;
    if (keep) {
        request->pool_next = pool->requests;
        pool->requests = request;
        pool->request_count++;
    }
    pthread_mutex_unlock(&pool->mutex);
    if (!keep) {
        arena_fini(&request->arena);
        mem_free(request);
    }
}

struct response *scheduler_get_response(struct scheduler *scheduler)
{
    struct pool *pool = &scheduler->pool;
    pthread_mutex_lock(&pool->mutex);
    struct response *response = pool->responses;
    if (response != NULL) {
        pool->responses = response->next;
        pool->response_count--;
    }
    pthread_mutex_unlock(&pool->mutex);
    if (response == NULL) {
        response = mem_calloc(1, sizeof(*response));
        if (response == NULL) {
            return NULL;
        }
        arena_init(&response->arena, pool->response_block);
    }
    response->next = NULL;
    return response;
}

void scheduler_put_response(struct scheduler *scheduler, struct response *response)
{
    struct pool *pool = &scheduler->pool;
    pthread_mutex_lock(&pool->mutex);
    bool keep = pool->response_count < POOL_IDLE_MAX;
    if (keep) {
        response->next = pool->responses;
        pool->responses = response;
        pool->response_count++;
    }
    pthread_mutex_unlock(&pool->mutex);
    if (!keep) {
        arena_fini(&response->arena);
        mem_free(response);
    }
}

struct response_factory *scheduler_get_factory(struct scheduler *scheduler)
{
    struct pool *pool = &scheduler->pool;
    pthread_mutex_lock(&pool->mutex);
    struct response_factory *factory = pool->factories;
    if (factory != NULL) {
        pool->factories = factory->pool_next;
        pool->factory_count--;
    }
    pthread_mutex_unlock(&pool->mutex);
    return factory != NULL ? factory : mem_calloc(1, sizeof(*factory));
}

void scheduler_put_factory(struct scheduler *scheduler, struct response_factory *factory)
{
    struct pool *pool = &scheduler->pool;
    pthread_mutex_lock(&pool->mutex);
    bool keep = pool->factory_count < POOL_IDLE_MAX;
    if (keep) {
        factory->pool_next = pool->factories;
        pool->factories = factory;
        pool->factory_count++;
    }
    pthread_mutex_unlock(&pool->mutex);
    if (!keep) {
        mem_free(factory);
    }
}
