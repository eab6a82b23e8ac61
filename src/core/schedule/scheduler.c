// SPDX-License-Identifier: Apache-2.0
// Scheduler: the queue's mutex, who is idle, who is woken; and the pools.
//
// An executor that finds nothing counts itself idle (under the mutex) before it parks, so a push either sees it there or
// it sees the push. A woken executor counts as `waking` until it asks again: while the batches of those on their way cover
// what is queued, nobody else is woken. Wakes happen outside the mutex; `wakers` lets detach and destroy wait until the
// last of them is over, since a request that was just queued keeps nothing alive for the thread that queued it.
#include "core/schedule/scheduler.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/instance.h"
#include "core/model.h"
#include "core/request.h"
#include "core/response.h"
#include "core/schedule/ordering.h"
#include "core/schedule/policy.h"
#include "core/stats.h"
#include "nereid/ext/core.h"
#include "proto/model_config.pb-c.h"

// Of each kind of object, so many are kept for the next request.
#define POOL_IDLE_MAX 2048u
// How often an empty queue is looked at for timeouts.
#define WATCH_IDLE_NS 500000000u

struct pool {
    pthread_mutex_t mutex;
    struct request *requests;
    struct response *responses;
    struct response_factory *factories;
    unsigned request_count;
    unsigned response_count;
    unsigned factory_count;
    size_t request_block; // first block of a request's arena
    size_t response_block;
};

// A device, and the executors that drive it.
struct lane {
    struct lane *next;
    TRITONSERVER_InstanceGroupKind kind;
    int32_t device_id;
    struct list_node seats;
    uint32_t seat_count;
    bool retired;
};

struct scheduler {
    struct model *model;
    struct policy_queue queue;
    const char **all_outputs;
    struct ordering ordering;
    bool ordered;

    pthread_mutex_t mutex;
    struct list_node idle; // seats, the last one to become idle first: its cache is warm
    uint64_t waking;
    struct seat *timer; // the idle one that is parked with the earliest deadline
    uint64_t timer_ns;
    uint64_t hold_back; // TRITONSERVER_DELAY_SCHEDULER: nothing is taken before so many are queued
    bool stopped;
    struct lane *lanes;     // those that ever had an executor
    uint32_t serving_seats; // of lanes in service
    uint32_t retired_lanes;
    _Atomic uint32_t wakers;

    // Answers what times out while all executors are busy; only for models whose policy rejects.
    struct thread watcher;
    struct parking watcher_parking;
    _Atomic bool watcher_stop;

    struct pool pool __attribute__((aligned(64)));
};

// ---- life ---------------------------------------------------------------------------------------

static struct nrd_status *refuse_unbuilt(const struct model *model)
{
    const Inference__ModelConfig *config = model->config;
    const char *what = NULL;
    if (config->scheduling_choice_case ==
        INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_SEQUENCE_BATCHING) {
        what = "sequence_batching";
    } else if (config->scheduling_choice_case ==
               INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_ENSEMBLE_SCHEDULING) {
        what = "ensemble_scheduling";
    }
    for (size_t i = 0; i < config->n_parameters && what == NULL; i++) {
        if (strcmp(config->parameters[i]->key, "TRITON_BATCH_STRATEGY_PATH") == 0) {
            what = "a custom batching strategy (TRITON_BATCH_STRATEGY_PATH)";
        }
    }
    return what == NULL ? NULL
                        : status_new(NRD_UNSUPPORTED, "%s is not built yet, required by model '%s'",
                                     what, model->name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static struct nrd_status *sort_outputs(struct scheduler *scheduler)
{
    const struct model *model = scheduler->model;
    scheduler->all_outputs = mem_calloc(model->output_count + 1, sizeof(char *));
    if (scheduler->all_outputs == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 0; i < model->output_count; i++) {
        scheduler->all_outputs[i] = model->outputs[i].name;
    }
    qsort(scheduler->all_outputs, model->output_count, sizeof(char *), compare_names);
    return NULL;
}

static uint64_t read_hold_back(void)
{
    const char *text = getenv("TRITONSERVER_DELAY_SCHEDULER");
    uint64_t count = 0;
    return text != NULL && slice_to_u64(slice_of(text), &count) ? count : 0;
}

// ---- dropped requests ---------------------------------------------------------------------------

static void answer_list(struct list_node *list, enum nrd_code code, const char *text,
                        enum fail_reason reason)
{
    struct list_node *node;
    while ((node = list_pop_front(list)) != NULL) {
        struct request *request = CONTAINER_OF(node, struct request, queue_node);
        struct nrd_status *status = status_new(code, "%s", text);
        request_respond_error(request, status, reason);
        status_free(status);
        status_free(request_release(request, TRITONSERVER_REQUEST_RELEASE_ALL));
    }
}

static void answer_dropped(struct dropped *dropped)
{
    answer_list(&dropped->rejected, NRD_UNAVAILABLE, "Request timeout expired",
                FAIL_REASON_REJECTED);
    answer_list(&dropped->cancelled, NRD_CANCELLED, "", FAIL_REASON_CANCELED);
}

// Looks often while requests are queued, seldom otherwise: a push does not wake it.
static void watch_queue(void *arg)
{
    struct scheduler *scheduler = arg;
    const struct policy_queue *queue = &scheduler->queue;
    uint64_t period_ns = queue->watch_ns;
    while (!atomic_load_explicit(&scheduler->watcher_stop, memory_order_relaxed)) {
        uint64_t requests;
        uint64_t rows;
        struct dropped dropped;
        list_init(&dropped.rejected);
        list_init(&dropped.cancelled);
        pthread_mutex_lock(&scheduler->mutex);
        queue->policy->expire(queue->queue, clock_now_ns(), &dropped);
        queue->policy->size(queue->queue, &requests, &rows);
        pthread_mutex_unlock(&scheduler->mutex);
        answer_dropped(&dropped);
        period_ns = requests > 0 ? queue->watch_ns : period_ns * 2;
        period_ns = period_ns > WATCH_IDLE_NS ? WATCH_IDLE_NS : period_ns;
        parking_wait(&scheduler->watcher_parking, clock_now_ns() + period_ns);
    }
}

struct nrd_status *scheduler_create(struct model *model, struct scheduler **scheduler)
{
    NRD_TRY(refuse_unbuilt(model));
    struct scheduler *made = mem_aligned(64, sizeof(*made));
    if (made == NULL) {
        return status_no_memory();
    }
    memset(made, 0, sizeof(*made));
    made->model = model;
    list_init(&made->idle);
    pthread_mutex_init(&made->mutex, NULL);
    pthread_mutex_init(&made->pool.mutex, NULL);
    made->pool.request_block = 768 + model->input_count * 384 + model->output_count * 16;
    made->pool.response_block = 256 + model->output_count * 256;
    bool dynamic = model->config->scheduling_choice_case ==
                   INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_DYNAMIC_BATCHING;
    struct nrd_status *status =
        dynamic ? dynamic_create(model, &made->queue) : direct_create(model, &made->queue);
    if (status == NULL) {
        made->hold_back = dynamic ? read_hold_back() : 0;
        status = sort_outputs(made);
    }
    if (status == NULL && made->queue.preserve_ordering) {
        status = ordering_init(&made->ordering);
        made->ordered = status == NULL;
    }
    parking_init(&made->watcher_parking);
    if (status == NULL && made->queue.watch_ns != 0) {
        status = thread_start(&made->watcher, "queue-watch", 0, watch_queue, made);
    }
    if (status != NULL) {
        scheduler_destroy(made);
        return status;
    }
    *scheduler = made;
    return NULL;
}

void scheduler_stop(struct scheduler *scheduler)
{
    pthread_mutex_lock(&scheduler->mutex);
    scheduler->stopped = true;
    pthread_mutex_unlock(&scheduler->mutex);
}

static void wait_for_wakers(const struct scheduler *scheduler)
{
    // Acquire: what the wakers did with the seat is over.
    while (atomic_load_explicit(&scheduler->wakers, memory_order_acquire) != 0) {
        sched_yield();
    }
}

static void free_pool(struct pool *pool)
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

void scheduler_destroy(struct scheduler *scheduler)
{
    if (scheduler == NULL) {
        return;
    }
    atomic_store_explicit(&scheduler->watcher_stop, true, memory_order_relaxed);
    parking_wake(&scheduler->watcher_parking);
    thread_join(&scheduler->watcher);
    wait_for_wakers(scheduler);
    if (scheduler->queue.policy != NULL) {
        scheduler->queue.policy->destroy(scheduler->queue.queue);
    }
    if (scheduler->ordered) {
        ordering_fini(&scheduler->ordering);
    }
    while (scheduler->lanes != NULL) {
        struct lane *next = scheduler->lanes->next;
        mem_free(scheduler->lanes);
        scheduler->lanes = next;
    }
    free_pool(&scheduler->pool);
    pthread_mutex_destroy(&scheduler->mutex);
    mem_free(scheduler->all_outputs);
    mem_free(scheduler);
}

uint64_t scheduler_priority_levels(const struct scheduler *scheduler)
{
    return scheduler->queue.priority_levels;
}
uint64_t scheduler_default_priority(const struct scheduler *scheduler)
{
    return scheduler->queue.default_priority;
}
const char *const *scheduler_all_outputs(const struct scheduler *scheduler)
{
    return scheduler->all_outputs;
}
uint32_t scheduler_max_batch(const struct scheduler *scheduler)
{
    return scheduler->queue.max_batch;
}

uint64_t scheduler_pending(struct scheduler *scheduler)
{
    uint64_t requests;
    uint64_t rows;
    pthread_mutex_lock(&scheduler->mutex);
    scheduler->queue.policy->size(scheduler->queue.queue, &requests, &rows);
    pthread_mutex_unlock(&scheduler->mutex);
    return requests;
}

// ---- idle executors -----------------------------------------------------------------------------

void seat_init(struct seat *seat)
{
    *seat = (struct seat){0};
    parking_init(&seat->parking);
}

static void leave_idle(struct scheduler *scheduler, struct seat *seat)
{
    if (seat->idle) {
        list_remove(&seat->idle_node);
        seat->idle = false;
    }
    if (scheduler->timer == seat) {
        scheduler->timer = NULL;
    }
}

// Chooses whom to wake; the caller wakes it by wake() after it has let go of the mutex. NULL: nobody.
static struct seat *choose(struct scheduler *scheduler, enum push_effect effect)
{
    if (list_empty(&scheduler->idle)) {
        return NULL;
    }
    uint64_t requests;
    uint64_t rows;
    scheduler->queue.policy->size(scheduler->queue.queue, &requests, &rows);
    bool covered = rows <= scheduler->waking * scheduler->queue.max_rows;
    bool watched = scheduler->timer != NULL || scheduler->waking > 0;
    if (requests == 0 || covered || requests < scheduler->hold_back ||
        (effect == PUSH_WAIT && watched)) {
        return NULL;
    }
    // The one that already watches the clock has the batch in hand.
    struct seat *seat = scheduler->timer != NULL
                            ? scheduler->timer
                            : CONTAINER_OF(scheduler->idle.next, struct seat, idle_node);
    leave_idle(scheduler, seat);
    seat->waking = true;
    scheduler->waking++;
    // Relaxed: the mutex orders it; wait_for_wakers() is called when no new ones can come.
    atomic_fetch_add_explicit(&scheduler->wakers, 1, memory_order_relaxed);
    return seat;
}

static void wake(struct scheduler *scheduler, struct seat *seat)
{
    if (seat != NULL) {
        parking_wake(&seat->parking);
        // Release: the seat is not touched after this.
        atomic_fetch_sub_explicit(&scheduler->wakers, 1, memory_order_release);
    }
}

// ---- corks --------------------------------------------------------------------------------------

// Wakes that this thread has put off. Few: one executor takes what a whole turn of a loop brings.
#define CORK_WAKES 4u
#define CORK_REQUESTS 16u

static _Thread_local struct {
    bool on;
    unsigned requests; // since the last wakes
    unsigned count;
    struct {
        struct scheduler *scheduler;
        struct seat *seat;
    } wakes[CORK_WAKES];
} cork;

static void pull_cork(void)
{
    for (unsigned i = 0; i < cork.count; i++) {
        wake(cork.wakes[i].scheduler, cork.wakes[i].seat);
    }
    cork.count = 0;
    cork.requests = 0;
}

void nereid_cork(void)
{
    cork.on = true;
}

void nereid_uncork(void)
{
    cork.on = false;
    pull_cork();
}

void nereid_uncork_here(void)
{
    cork.on = false;
    // Others are woken first: they work while this thread does. What is lent may cork again from a callback.
    unsigned last = cork.count;
    if (last == 0) {
        cork.requests = 0;
        return;
    }
    struct scheduler *scheduler = cork.wakes[last - 1].scheduler;
    struct seat *seat = cork.wakes[last - 1].seat;
    cork.count = last - 1;
    pull_cork();
    if (!executor_lend(seat)) {
        wake(scheduler, seat);
        return;
    }
    // Release: the seat is not touched after this.
    atomic_fetch_sub_explicit(&scheduler->wakers, 1, memory_order_release);
}

// The wake that a request brings. `scheduler` is alive until then: `wakers` says so.
static void wake_by_request(struct scheduler *scheduler, struct seat *seat)
{
    if (!cork.on || cork.count == CORK_WAKES) {
        wake(scheduler, seat);
        return;
    }
    if (seat != NULL) {
        cork.wakes[cork.count].scheduler = scheduler;
        cork.wakes[cork.count++].seat = seat;
    }
    if (++cork.requests >= CORK_REQUESTS) {
        pull_cork();
    }
}

// The seat has asked: it is not on its way any more, nor idle.
static void arrive(struct scheduler *scheduler, struct seat *seat)
{
    leave_idle(scheduler, seat);
    if (seat->waking) {
        seat->waking = false;
        scheduler->waking--;
    }
}

void scheduler_detach(struct scheduler *scheduler, struct seat *seat)
{
    pthread_mutex_lock(&scheduler->mutex);
    arrive(scheduler, seat);
    if (seat->lane != NULL) {
        list_remove(&seat->lane_node);
        seat->lane->seat_count--;
        scheduler->serving_seats -= seat->lane->retired ? 0 : 1;
        seat->lane = NULL;
    }
    // What it was woken for is somebody else's now.
    struct seat *other = choose(scheduler, PUSH_READY);
    pthread_mutex_unlock(&scheduler->mutex);
    wake(scheduler, other);
    wait_for_wakers(scheduler);
}

// ---- devices ------------------------------------------------------------------------------------

enum { NO_DEVICE_TEXT = 256 };

void scheduler_describe_device(TRITONSERVER_InstanceGroupKind kind, int32_t device_id, char *text,
                               size_t size)
{
    if (kind == TRITONSERVER_INSTANCEGROUPKIND_GPU) {
        snprintf(text, size, "GPU %d", (int)device_id);
    } else {
        snprintf(text, size, "%s",
                 kind == TRITONSERVER_INSTANCEGROUPKIND_CPU ? "the processor" : "the model's own");
    }
}

// Nothing can be executed any more. While a model is being made it has no executors either: that is not meant.
static bool none_serves(const struct scheduler *scheduler)
{
    return scheduler->serving_seats == 0 && scheduler->retired_lanes > 0;
}

// Names the devices that are out of service.
static void no_device_text(struct scheduler *scheduler, char text[NO_DEVICE_TEXT])
{
    size_t length = (size_t)snprintf(
        text, NO_DEVICE_TEXT, "model '%.96s' has no device in service: ", scheduler->model->name);
    const char *comma = "";
    uint32_t named = 0;
    pthread_mutex_lock(&scheduler->mutex);
    for (const struct lane *lane = scheduler->lanes; lane != NULL && length < NO_DEVICE_TEXT - 40;
         lane = lane->next) {
        if (lane->retired) {
            char name[24];
            scheduler_describe_device(lane->kind, lane->device_id, name, sizeof(name));
            length += (size_t)snprintf(text + length, NO_DEVICE_TEXT - length, "%s%s", comma, name);
            comma = ", ";
            named++;
        }
    }
    pthread_mutex_unlock(&scheduler->mutex);
    snprintf(text + length, NO_DEVICE_TEXT - length, " %s out of service",
             named == 1 ? "is" : "are");
}

static struct lane *find_lane(const struct scheduler *scheduler,
                              TRITONSERVER_InstanceGroupKind kind, int32_t device_id)
{
    struct lane *lane = scheduler->lanes;
    while (lane != NULL && (lane->kind != kind || lane->device_id != device_id)) {
        lane = lane->next;
    }
    return lane;
}

struct nrd_status *scheduler_attach(struct scheduler *scheduler, struct seat *seat,
                                    TRITONSERVER_InstanceGroupKind kind, int32_t device_id)
{
    if (seat->lane != NULL) {
        return NULL; // another of its instances did so
    }
    struct lane *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return status_no_memory();
    }
    made->kind = kind;
    made->device_id = device_id;
    list_init(&made->seats);
    pthread_mutex_lock(&scheduler->mutex);
    struct lane *lane = find_lane(scheduler, kind, device_id);
    if (lane == NULL) {
        struct lane **last = &scheduler->lanes;
        while (*last != NULL) {
            last = &(*last)->next;
        }
        lane = *last = made;
        made = NULL;
    }
    seat->lane = lane;
    list_push_back(&lane->seats, &seat->lane_node);
    lane->seat_count++;
    scheduler->serving_seats += lane->retired ? 0 : 1;
    pthread_mutex_unlock(&scheduler->mutex);
    mem_free(made);
    return NULL;
}

void scheduler_retire_device(struct scheduler *scheduler, TRITONSERVER_InstanceGroupKind kind,
                             int32_t device_id)
{
    struct list_node left;
    list_init(&left);
    struct seat *other = NULL;
    pthread_mutex_lock(&scheduler->mutex);
    struct lane *lane = find_lane(scheduler, kind, device_id);
    if (lane != NULL && !lane->retired) {
        lane->retired = true;
        scheduler->retired_lanes++;
        scheduler->serving_seats -= lane->seat_count;
        LIST_FOR(node, &lane->seats)
        {
            leave_idle(scheduler, CONTAINER_OF(node, struct seat, lane_node));
        }
    }
    if (none_serves(scheduler)) {
        scheduler->queue.policy->drain(scheduler->queue.queue, &left);
    } else {
        other = choose(scheduler, PUSH_READY);
    }
    pthread_mutex_unlock(&scheduler->mutex);
    wake(scheduler, other);
    if (!list_empty(&left)) {
        char text[NO_DEVICE_TEXT];
        no_device_text(scheduler, text);
        answer_list(&left, NRD_UNAVAILABLE, text, FAIL_REASON_OTHER);
    }
}

void scheduler_restore_device(struct scheduler *scheduler, TRITONSERVER_InstanceGroupKind kind,
                              int32_t device_id)
{
    pthread_mutex_lock(&scheduler->mutex);
    struct lane *lane = find_lane(scheduler, kind, device_id);
    if (lane != NULL && lane->retired) {
        lane->retired = false;
        scheduler->retired_lanes--;
        scheduler->serving_seats += lane->seat_count;
        // Each is parked, or about to ask; with the mutex held none of them goes away.
        LIST_FOR(node, &lane->seats)
        {
            parking_wake(&CONTAINER_OF(node, struct seat, lane_node)->parking);
        }
    }
    pthread_mutex_unlock(&scheduler->mutex);
}

void scheduler_read_device(struct scheduler *scheduler, TRITONSERVER_InstanceGroupKind kind,
                           int32_t device_id, bool *in_service, uint64_t *queued)
{
    uint64_t requests;
    uint64_t rows;
    pthread_mutex_lock(&scheduler->mutex);
    const struct lane *lane = find_lane(scheduler, kind, device_id);
    scheduler->queue.policy->size(scheduler->queue.queue, &requests, &rows);
    *in_service = lane == NULL || !lane->retired;
    bool shares = lane != NULL && !lane->retired && scheduler->serving_seats > 0;
    *queued = shares ? requests * lane->seat_count / scheduler->serving_seats : 0;
    pthread_mutex_unlock(&scheduler->mutex);
}

void scheduler_count_devices(struct scheduler *scheduler, uint32_t *all, uint32_t *in_service)
{
    *all = 0;
    *in_service = 0;
    pthread_mutex_lock(&scheduler->mutex);
    for (const struct lane *lane = scheduler->lanes; lane != NULL; lane = lane->next) {
        *all += lane->seat_count > 0 ? 1 : 0;
        *in_service += lane->seat_count > 0 && !lane->retired ? 1 : 0;
    }
    pthread_mutex_unlock(&scheduler->mutex);
}

// ---- queue --------------------------------------------------------------------------------------

struct nrd_status *scheduler_enqueue(struct model *model, struct request *request)
{
    struct scheduler *scheduler = model->scheduler;
    enum push_effect effect = PUSH_READY;
    enum nrd_code code = NRD_OK;
    struct seat *seat = NULL;
    pthread_mutex_lock(&scheduler->mutex);
    bool stopped = scheduler->stopped;
    bool served = !none_serves(scheduler);
    if (!stopped && served) {
        code = scheduler->queue.policy->push(scheduler->queue.queue, request, request->queue_ns,
                                             &effect);
    }
    if (!stopped && served && code == NRD_OK) {
        seat = choose(scheduler, effect);
    }
    pthread_mutex_unlock(&scheduler->mutex);
    wake_by_request(scheduler, seat);
    if (stopped) {
        return request_error(request, NRD_UNAVAILABLE,
                             "Server is stopping, scheduler for model has stopped accepting new "
                             "inference requests");
    }
    if (!served) {
        stats_count_failure(model->stats, FAIL_REASON_OTHER, clock_now_ns() - request->start_ns);
        char text[NO_DEVICE_TEXT];
        no_device_text(scheduler, text);
        return request_error(request, NRD_UNAVAILABLE, "%s", text);
    }
    if (code != NRD_OK) {
        stats_count_failure(model->stats, FAIL_REASON_REJECTED, clock_now_ns() - request->start_ns);
        return request_error(request, code, "Exceeds maximum queue size");
    }
    return NULL;
}

bool scheduler_give_back(struct scheduler *scheduler, struct request *request)
{
    struct seat *seat = NULL;
    request->state = REQUEST_STATE_PENDING;
    pthread_mutex_lock(&scheduler->mutex);
    bool taken = !none_serves(scheduler) &&
                 scheduler->queue.policy->give_back(scheduler->queue.queue, request);
    if (taken) {
        seat = choose(scheduler, PUSH_READY);
    }
    pthread_mutex_unlock(&scheduler->mutex);
    wake(scheduler, seat);
    return taken;
}

// The seat is to park: it may be woken from now on.
static void become_idle(struct scheduler *scheduler, struct seat *seat, uint64_t *deadline_ns)
{
    list_push_front(&scheduler->idle, &seat->idle_node);
    seat->idle = true;
    if (*deadline_ns != 0 && (scheduler->timer == NULL || *deadline_ns < scheduler->timer_ns)) {
        scheduler->timer = seat;
        scheduler->timer_ns = *deadline_ns;
    } else {
        *deadline_ns = 0; // another one watches the clock
    }
}

uint32_t scheduler_take(struct scheduler *scheduler, struct seat *seat, struct request **batch,
                        uint64_t *deadline_ns)
{
    struct dropped dropped;
    list_init(&dropped.rejected);
    list_init(&dropped.cancelled);
    const struct policy_queue *queue = &scheduler->queue;
    uint64_t now = queue->policy->timed ? clock_now_ns() : 0;
    *deadline_ns = 0;
    uint32_t count = 0;

    pthread_mutex_lock(&scheduler->mutex);
    arrive(scheduler, seat);
    bool serves = !seat->lane->retired;
    uint64_t requests = 0;
    uint64_t rows;
    if (scheduler->hold_back > 0) {
        queue->policy->size(queue->queue, &requests, &rows);
    }
    if (!serves) {
        // Its part of the work is for the others.
    } else if (requests >= scheduler->hold_back || scheduler->stopped) {
        scheduler->hold_back = 0;
        count = queue->policy->take(queue->queue, now, batch, &dropped, deadline_ns);
    }
    for (uint32_t i = 0; i < count && scheduler->ordered; i++) {
        if (batch[i]->factory->ordering == NULL) { // one that was given back has its place
            ordering_enter(&scheduler->ordering, batch[i]->factory);
        }
    }
    struct seat *next = NULL;
    if (count == 0 && serves) {
        become_idle(scheduler, seat, deadline_ns);
    } else {
        next = choose(scheduler, PUSH_READY); // what is left is for another one
    }
    pthread_mutex_unlock(&scheduler->mutex);

    wake(scheduler, next);
    answer_dropped(&dropped);
    return count;
}

// ---- pools --------------------------------------------------------------------------------------

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
