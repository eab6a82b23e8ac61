// SPDX-License-Identifier: Apache-2.0
// Body locks: between base/pool.h, which knows when, and the core, which knows how. See body_locks.h.
#include "protocol/body_locks.h"

#include "base/mem.h"
#include "net/worker.h"
#include "protocol/core_ext.h"

struct body_locks {
    struct TRITONSERVER_Server *core;
    struct worker *worker; // one thread, while there is something to do
};

struct errand {
    struct worker_job job;
    void (*run)(void *arg);
    void *arg;
};

static bool is_offered(void)
{
    const struct core_ext *ext = core_ext();
    return ext->request_is_staged != NULL && ext->host_lock != NULL && ext->host_unlock != NULL;
}

static void *lock(void *user, void *at, size_t size)
{
    return core_ext()->host_lock(((struct body_locks *)user)->core, at, size);
}

static void unlock(void *user, void *lock)
{
    (void)user;
    core_ext()->host_unlock(lock);
}

static void run_errand(struct worker_job *job)
{
    struct errand *errand = CONTAINER_OF(job, struct errand, job);
    errand->run(errand->arg);
    mem_free(errand);
}

static bool post(void *user, void (*run)(void *arg), void *arg)
{
    struct body_locks *locks = user;
    struct errand *errand = mem_alloc(sizeof(*errand));
    if (errand == NULL) {
        return false;
    }
    *errand = (struct errand){.job = {.run = run_errand}, .run = run, .arg = arg};
    if (!worker_post(locks->worker, &errand->job)) {
        mem_free(errand);
        return false;
    }
    return true;
}

struct nrd_status *body_locks_attach(struct buffer_pool *pool, TRITONSERVER_Server *core,
                                     struct body_locks **locks)
{
    *locks = NULL;
    if (!is_offered()) {
        return NULL;
    }
    struct body_locks *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return status_no_memory();
    }
    made->core = (struct TRITONSERVER_Server *)core;
    struct nrd_status *status = worker_create("body-locks", 1, &made->worker);
    if (status != NULL) {
        mem_free(made);
        return status;
    }
    const struct buffer_locker locker = {made, lock, unlock, post};
    buffer_pool_lock_by(pool, &locker);
    *locks = made;
    return NULL;
}

void body_locks_finish(struct body_locks *locks)
{
    if (locks != NULL) {
        worker_destroy(locks->worker);
        locks->worker = NULL;
    }
}

void body_locks_free(struct body_locks *locks)
{
    if (locks != NULL) {
        worker_destroy(locks->worker);
        mem_free(locks);
    }
}

TRITONSERVER_MemoryType body_memory_type(TRITONSERVER_InferenceRequest *request, void *buffer,
                                         size_t size)
{
    if (size == 0 || buffer == NULL) {
        return TRITONSERVER_MEMORY_CPU;
    }
    if (buffer_pool_is_locked(buffer)) {
        return TRITONSERVER_MEMORY_CPU_PINNED;
    }
    if (size >= BUFFER_LOCK_MIN && is_offered() &&
        core_ext()->request_is_staged((struct TRITONSERVER_InferenceRequest *)request)) {
        buffer_pool_goes_to_device(buffer);
    }
    return TRITONSERVER_MEMORY_CPU;
}
