// SPDX-License-Identifier: Apache-2.0
// Instance: its life, and the executor that drives it.
//
// Whatever the backend is asked for an instance happens on the executor's thread: the loader posts a job and waits. Between
// jobs the executor takes batches from the scheduler. Wake-ups that response callbacks defer (nereid/ext/core.h)
// are made up for when the executor has nothing more to do, or has held them back long enough.
//
//        post job                    scheduler_take() > 0
//   +--> run jobs --> any instance active? --yes--> execute --+
//   |                     | no, or nothing queued             |
//   +---- woken ---- flush, park <----------------------------+
//
// While an executor is parked, a thread that would only wait for it may lend itself (nereid_uncork_here): whoever holds
// `drive` is the executor.
#include "core/instance.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "core/gpus.h"
#include "core/model.h"
#include "core/request.h"
#include "core/response.h"
#include "core/retry.h"
#include "core/server.h"
#include "nereid/ext/core.h"

// A response's wake-up is held back for at most this many Executes, and only while they are this short.
#define DEFER_EXECUTES 8u
#define DEFER_SHORT_NS 20000u
#define DEFER_MAX 16u
// A lender runs at most this many batches: what is queued behind its own is not its business for ever.
#define LEND_EXECUTES 4u

struct job {
    struct nrd_status *(*fn)(struct instance *instance);
    struct instance *instance;
    struct nrd_status *status;
    struct parking done;
    struct job *next;
};

struct deferred {
    struct {
        nereid_flush_fn fn;
        void *userp;
    } items[DEFER_MAX];
    unsigned count;
    unsigned executes; // since the oldest of them
};

struct executor {
    struct seat seat;
    struct thread thread;
    struct model *model;
    pthread_mutex_t drive;  // held by whoever runs it: its thread while not parked, or a lender
    bool lendable;          // set before the first instance is active
    struct gpu_device *gpu; // of all its instances; NULL: none
    pthread_mutex_t mutex;  // the jobs
    struct job *jobs;
    _Atomic bool has_jobs;
    bool stop;                // its own
    struct instance *active;  // those that take requests, in a ring by instance.next; the driver's
    unsigned active_count;    // the driver's
    unsigned users;           // instances, active or not; the loader's
    struct request **batch;   // the driver's
    struct deferred deferred; // the driver's
};

static _Thread_local struct executor *current_executor;

// ---- deferred wake-ups --------------------------------------------------------------------------

static void flush(struct executor *executor)
{
    struct deferred *deferred = &executor->deferred;
    for (unsigned i = 0; i < deferred->count; i++) {
        deferred->items[i].fn(deferred->items[i].userp);
    }
    deferred->count = 0;
    deferred->executes = 0;
}

bool nereid_defer(nereid_flush_fn fn, void *userp)
{
    struct executor *executor = current_executor;
    if (executor == NULL) {
        return false;
    }
    struct deferred *deferred = &executor->deferred;
    for (unsigned i = 0; i < deferred->count; i++) {
        if (deferred->items[i].fn == fn && deferred->items[i].userp == userp) {
            return true;
        }
    }
    if (deferred->count == DEFER_MAX) {
        return false;
    }
    deferred->items[deferred->count].fn = fn;
    deferred->items[deferred->count++].userp = userp;
    return true;
}

// Before the next Execute: waiting for it must cost a waiting client next to nothing.
static void flush_if_due(struct executor *executor, const struct instance *next)
{
    if (executor->deferred.count == 0) {
        return;
    }
    uint32_t last = atomic_load_explicit(&next->last_ns32, memory_order_relaxed);
    executor->deferred.executes++;
    if (last > DEFER_SHORT_NS || executor->deferred.executes >= DEFER_EXECUTES) {
        flush(executor);
    }
}

// ---- executing ----------------------------------------------------------------------------------

TRITONSERVER_Error *nereid_instance_stage(TRITONBACKEND_ModelInstance *instance, uint32_t batches)
{
    // Read by its executor, which is the thread that is in Initialize.
    ((struct instance *)instance)->stage = batches;
    return NULL;
}

void instance_execute(struct instance *instance, struct request **batch, uint32_t count)
{
    if (gpus_lost(instance->model->server->gpus) != 0) {
        count = retry_weed(batch, count);
        if (count == 0) {
            return;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        batch[i]->state = REQUEST_STATE_EXECUTING;
        retry_arm(instance, batch[i]);
    }
    struct nrd_status *status = (struct nrd_status *)instance->model->backend->instance_execute(
        (TRITONBACKEND_ModelInstance *)instance, (TRITONBACKEND_Request **)(uintptr_t)batch, count);
    if (status == NULL) {
        return;
    }
    // The backend has kept none of them.
    scheduler_note_failure(batch[0]);
    for (uint32_t i = 0; i < count; i++) {
        if (retry_failed(batch[i])) {
            continue;
        }
        request_respond_error(batch[i], status, FAIL_REASON_BACKEND);
        status_free(request_release(batch[i], TRITONSERVER_REQUEST_RELEASE_ALL));
    }
    status_free(status);
}

static void run_jobs(struct executor *executor)
{
    pthread_mutex_lock(&executor->mutex);
    struct job *job = executor->jobs;
    executor->jobs = NULL;
    atomic_store_explicit(&executor->has_jobs, false, memory_order_relaxed);
    pthread_mutex_unlock(&executor->mutex);
    while (job != NULL) {
        struct job *next = job->next;
        job->status = job->fn(job->instance);
        parking_wake(&job->done); // the job is the poster's again, and gone
        job = next;
    }
}

// The next of the active instances that may have a batch; NULL: each has as many as it may.
static struct instance *next_instance(const struct executor *executor)
{
    struct instance *instance = executor->active;
    for (unsigned i = 0; i < executor->active_count; i++) {
        // Relaxed: only this thread counts up.
        if (instance->stage == 0 ||
            atomic_load_explicit(&instance->in_flight, memory_order_relaxed) < instance->stage) {
            return instance;
        }
        instance = instance->next;
    }
    return NULL;
}

// How many batches the executor may have at once.
static void set_limit(struct executor *executor)
{
    uint32_t limit = 0;
    struct instance *instance = executor->active;
    for (unsigned i = 0; i < executor->active_count; i++) {
        if (instance->stage == 0) {
            limit = 0;
            break;
        }
        limit += instance->stage;
        instance = instance->next;
    }
    executor->seat.limit = limit;
}

// Takes a batch and executes it. False: nothing was queued, and the seat is idle until `*deadline_ns` (0: until woken).
// Thread: the driver.
static bool drive(struct executor *executor, uint64_t *deadline_ns)
{
    *deadline_ns = 0;
    uint32_t count = 0;
    struct instance *instance = executor->active;
    if (executor->gpu != NULL && gpu_device_is_lost(executor->gpu)) {
        if (executor->seat.lane != NULL) { // what it was woken for is for another one
            scheduler_detach(executor->model->scheduler, &executor->seat);
        }
    } else if (instance != NULL) {
        if (executor->seat.limit != 0) {
            struct instance *roomy = next_instance(executor);
            instance = roomy == NULL ? instance : roomy; // then the scheduler gives none
            executor->seat.charge = &instance->in_flight;
        }
        count = scheduler_take(executor->model->scheduler, &executor->seat, executor->batch,
                               deadline_ns);
    }
    if (count == 0) {
        return false;
    }
    executor->active = instance->next;
    flush_if_due(executor, instance);
    instance_execute(instance, executor->batch, count);
    return true;
}

static void executor_run(void *arg)
{
    struct executor *executor = arg;
    current_executor = executor;
    pthread_mutex_lock(&executor->drive);
    while (!executor->stop) {
        // Relaxed: the mutex in run_jobs() orders what the job holds, and its post ends with a wake.
        if (atomic_load_explicit(&executor->has_jobs, memory_order_relaxed)) {
            run_jobs(executor);
            continue;
        }
        uint64_t deadline_ns;
        if (!drive(executor, &deadline_ns)) {
            flush(executor);
            pthread_mutex_unlock(&executor->drive);
            parking_wait(&executor->seat.parking, deadline_ns);
            pthread_mutex_lock(&executor->drive);
        }
    }
    flush(executor);
    pthread_mutex_unlock(&executor->drive);
}

bool executor_lend(struct seat *seat)
{
    struct executor *executor = CONTAINER_OF(seat, struct executor, seat);
    if (!executor->lendable || pthread_mutex_trylock(&executor->drive) != 0) {
        return false;
    }
    struct executor *own = current_executor;
    current_executor = executor;
    uint64_t deadline_ns = 0;
    bool more = true;
    for (unsigned i = 0; i < LEND_EXECUTES && more; i++) {
        // Relaxed: who posts a job wakes the thread, which waits for `drive`.
        if (atomic_load_explicit(&executor->has_jobs, memory_order_relaxed)) {
            break;
        }
        more = drive(executor, &deadline_ns);
    }
    flush(executor);
    current_executor = own;
    pthread_mutex_unlock(&executor->drive);
    if (more || deadline_ns != 0) {
        parking_wake(&seat->parking);
    }
    return true;
}

// ---- executors ----------------------------------------------------------------------------------

static void executor_destroy(struct executor *executor)
{
    if (executor == NULL) {
        return;
    }
    thread_join(&executor->thread);
    pthread_mutex_destroy(&executor->mutex);
    pthread_mutex_destroy(&executor->drive);
    mem_free(executor->batch);
    mem_free(executor);
}

static struct nrd_status *executor_create(struct model *model, const char *name, bool lendable,
                                          struct gpu_device *gpu, struct executor **executor)
{
    struct executor *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return status_no_memory();
    }
    seat_init(&made->seat);
    made->model = model;
    made->lendable = lendable;
    made->gpu = gpu;
    pthread_mutex_init(&made->mutex, NULL);
    pthread_mutex_init(&made->drive, NULL);
    made->batch = mem_calloc(scheduler_max_batch(model->scheduler), sizeof(*made->batch));
    struct nrd_status *status = made->batch == NULL
                                    ? status_no_memory()
                                    : thread_start(&made->thread, name, 0, executor_run, made);
    if (status != NULL) {
        executor_destroy(made);
        return status;
    }
    *executor = made;
    return NULL;
}

// Runs `fn` on the instance's executor and waits for it.
static struct nrd_status *run_on_executor(struct instance *instance,
                                          struct nrd_status *(*fn)(struct instance *))
{
    struct executor *executor = instance->executor;
    struct job job = {.fn = fn, .instance = instance};
    parking_init(&job.done);
    pthread_mutex_lock(&executor->mutex);
    struct job **last = &executor->jobs;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = &job;
    atomic_store_explicit(&executor->has_jobs, true, memory_order_relaxed);
    pthread_mutex_unlock(&executor->mutex);
    parking_wake(&executor->seat.parking);
    while (!parking_wait(&job.done, 0)) {
    }
    return job.status;
}

static void activate(struct instance *instance)
{
    struct executor *executor = instance->executor;
    if (executor->active == NULL) {
        instance->next = instance;
        executor->active = instance;
    } else {
        instance->next = executor->active->next;
        executor->active->next = instance;
    }
    executor->active_count++;
    set_limit(executor);
}

static void deactivate(struct instance *instance)
{
    struct executor *executor = instance->executor;
    if (instance->next == NULL) {
        return; // never was active
    }
    struct instance *before = instance;
    while (before->next != instance) {
        before = before->next;
    }
    before->next = instance->next;
    executor->active_count--;
    executor->active = executor->active_count == 0 ? NULL : instance->next;
    instance->next = NULL;
    set_limit(executor);
    if (executor->active == NULL) {
        scheduler_detach(executor->model->scheduler, &executor->seat);
    }
}

// ---- jobs ---------------------------------------------------------------------------------------

static struct nrd_status *job_pin(struct instance *instance)
{
    if (instance->cpu_cores[0] != '\0') {
        NRD_TRY(thread_pin_self(instance->cpu_cores));
    }
    return instance->numa_node[0] == '\0' ? NULL : thread_bind_memory(instance->numa_node);
}

static struct nrd_status *job_initialize(struct instance *instance)
{
    const struct backend *backend = instance->model->backend;
    if (backend->instance_initialize == NULL) {
        return NULL;
    }
    return (struct nrd_status *)backend->instance_initialize(
        (TRITONBACKEND_ModelInstance *)instance);
}

static struct nrd_status *job_activate(struct instance *instance)
{
    NRD_TRY(scheduler_attach(instance->model->scheduler, &instance->executor->seat, instance->kind,
                             instance->device_id));
    activate(instance);
    return NULL;
}

static struct nrd_status *job_finalize(struct instance *instance)
{
    const struct backend *backend = instance->model->backend;
    deactivate(instance);
    // Also after a failed Initialize: backends free there what they have set as state.
    if (backend->instance_finalize != NULL) {
        struct nrd_status *status = (struct nrd_status *)backend->instance_finalize(
            (TRITONBACKEND_ModelInstance *)instance);
        if (status != NULL) {
            LOG_ERR("failed finalizing model instance: %s", status_text(status));
            status_free(status);
        }
    }
    return NULL;
}

static struct nrd_status *job_stop(struct instance *instance)
{
    instance->executor->stop = true;
    return NULL;
}

// ---- life ---------------------------------------------------------------------------------------

static struct nrd_status *copy_lists(struct instance *instance, const struct instance_spec *spec)
{
    instance->profiles = mem_calloc(spec->profile_count + 1, sizeof(char *));
    instance->secondary_devices =
        mem_calloc(spec->secondary_device_count + 1, sizeof(*instance->secondary_devices));
    if (instance->profiles == NULL || instance->secondary_devices == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 0; i < spec->profile_count; i++) {
        instance->profiles[i] = mem_strdup(spec->profiles[i]);
        if (instance->profiles[i] == NULL) {
            return status_no_memory();
        }
        instance->profile_count++;
    }
    for (uint32_t i = 0; i < spec->secondary_device_count; i++) {
        char *kind = mem_strdup(spec->secondary_devices[i].kind);
        if (kind == NULL) {
            return status_no_memory();
        }
        instance->secondary_devices[i] =
            (struct secondary_device){kind, spec->secondary_devices[i].id};
        instance->secondary_device_count++;
    }
    return NULL;
}

static struct nrd_status *fill(struct instance *instance, struct model *model,
                               const struct instance_spec *spec)
{
    instance->model = model;
    instance->kind = spec->kind;
    instance->device_id = spec->device_id;
    instance->passive = spec->passive;
    instance->group = spec->group;
    if (spec->kind == TRITONSERVER_INSTANCEGROUPKIND_GPU) {
        instance->gpu = gpus_device(model->server->gpus, spec->device_id);
    }
    // Nothing is known of how long an Execute takes.
    atomic_init(&instance->last_ns32, UINT32_MAX);
    instance->name = mem_strdup(spec->name);
    instance->host_policy_name =
        mem_strdup(spec->host_policy_name == NULL ? "" : spec->host_policy_name);
    instance->cpu_cores = mem_strdup(spec->cpu_cores == NULL ? "" : spec->cpu_cores);
    instance->numa_node = mem_strdup(spec->numa_node == NULL ? "" : spec->numa_node);
    instance->shard = stats_add_shard(model->stats);
    if (instance->name == NULL || instance->host_policy_name == NULL ||
        instance->cpu_cores == NULL || instance->numa_node == NULL || instance->shard == NULL) {
        return status_no_memory();
    }
    if (instance->host_policy == NULL) {
        struct str json = STR_INIT;
        str_printf(&json, "{\"%s\":{}}", instance->host_policy_name);
        NRD_TRY(message_take(&json, &instance->host_policy));
    }
    return copy_lists(instance, spec);
}

// The executor of another instance on the same GPU, if the backend blocks by device.
static struct executor *shared_executor(const struct instance *instance,
                                        struct instance *const *existing, size_t count)
{
    bool by_device =
        instance->model->backend->execution_policy == TRITONBACKEND_EXECUTION_DEVICE_BLOCKING &&
        instance->kind == TRITONSERVER_INSTANCEGROUPKIND_GPU;
    for (size_t i = 0; i < count && by_device; i++) {
        if (existing[i]->kind == instance->kind && existing[i]->device_id == instance->device_id &&
            existing[i]->executor != NULL) {
            return existing[i]->executor;
        }
    }
    return NULL;
}

static struct nrd_status *bring_up(struct instance *instance, struct instance *const *existing,
                                   size_t existing_count)
{
    instance->executor = shared_executor(instance, existing, existing_count);
    if (instance->executor == NULL) {
        // A GPU's context is its thread's, and so is where that thread may run.
        bool lendable = instance->kind != TRITONSERVER_INSTANCEGROUPKIND_GPU &&
                        instance->cpu_cores[0] == '\0' && instance->numa_node[0] == '\0';
        NRD_TRY(executor_create(instance->model, instance->name, lendable, instance->gpu,
                                &instance->executor));
    }
    instance->executor->users++;
    if (instance->cpu_cores[0] != '\0' || instance->numa_node[0] != '\0') {
        NRD_TRY(run_on_executor(instance, job_pin));
    }
    instance->begun = true;
    NRD_TRY(run_on_executor(instance, job_initialize));
    instance->initialized = true;
    if (instance->passive) {
        return NULL;
    }
    NRD_TRY(run_on_executor(instance, warmup_run));
    return run_on_executor(instance, job_activate);
}

struct nrd_status *instance_create(struct model *model, const struct instance_spec *spec,
                                   struct instance *const *existing, size_t existing_count,
                                   struct instance **instance)
{
    struct instance *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        message_destroy(spec->host_policy);
        return status_no_memory();
    }
    made->host_policy = spec->host_policy;
    departed_pool_init(&made->departed);
    struct nrd_status *status = fill(made, model, spec);
    if (status == NULL) {
        status = bring_up(made, existing, existing_count);
    }
    if (status != NULL) {
        instance_destroy(made);
        return status;
    }
    *instance = made;
    return NULL;
}

static void leave_executor(struct instance *instance)
{
    struct executor *executor = instance->executor;
    if (instance->begun) {
        status_free(run_on_executor(instance, job_finalize));
    }
    if (--executor->users == 0) {
        status_free(run_on_executor(instance, job_stop));
        executor_destroy(executor);
    }
}

void instance_destroy(struct instance *instance)
{
    if (instance == NULL) {
        return;
    }
    if (instance->executor != NULL) {
        leave_executor(instance);
    }
    for (uint32_t i = 0; i < instance->profile_count; i++) {
        mem_free(instance->profiles[i]);
    }
    for (uint32_t i = 0; i < instance->secondary_device_count; i++) {
        mem_free((char *)(uintptr_t)instance->secondary_devices[i].kind);
    }
    mem_free(instance->profiles);
    mem_free(instance->secondary_devices);
    mem_free(instance->memory_usage);
    departed_pool_fini(&instance->departed);
    message_destroy(instance->host_policy);
    mem_free(instance->cpu_cores);
    mem_free(instance->numa_node);
    mem_free(instance->host_policy_name);
    mem_free(instance->name);
    mem_free(instance);
}

bool instance_is_lost(const struct instance *instance)
{
    return instance->gpu != NULL && gpu_device_is_lost(instance->gpu);
}

void instance_wake(struct instance *instance)
{
    parking_wake(&instance->executor->seat.parking);
}

struct nrd_status *instance_ready(struct instance *instance)
{
    if (instance_is_lost(instance)) {
        return gpu_device_health(instance->gpu);
    }
    const struct backend *backend = instance->model->backend;
    return backend->instance_ready == NULL ? NULL
                                           : (struct nrd_status *)backend->instance_ready(
                                                 (TRITONBACKEND_ModelInstance *)instance);
}
