// SPDX-License-Identifier: Apache-2.0
// Scheduler: the queue's mutex, who is idle, who is woken.
//
// An executor that finds nothing counts itself idle (under the mutex) before it parks, so a push either sees it there or
// it sees the push. A woken executor counts as `waking` until it asks again: while the batches of those on their way cover
// what is queued, nobody else is woken. Wakes happen outside the mutex; `wakers` lets detach and destroy wait until the
// last of them is over, since a request that was just queued keeps nothing alive for the thread that queued it.
#include "core/schedule/scheduler.h"

#include <pthread.h>
#include <sched.h>
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
#include "core/schedule/scheduler_private.h"
#include "core/stats.h"
#include "nereid/ext/core.h"
#include "proto/model_config.pb-c.h"

// How often an empty queue is looked at for timeouts.
#define WATCH_IDLE_NS 500000000u
// A clock that is watched is not set earlier for less than this.
#define WATCH_EARLIER_NS 1000000u

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

void scheduler_answer(struct list_node *list, enum nrd_code code, const char *text,
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
    if (!list_empty(&dropped->rejected)) {
        scheduler_answer(&dropped->rejected, NRD_UNAVAILABLE, "Request timeout expired",
                         FAIL_REASON_REJECTED);
    }
    if (!list_empty(&dropped->cancelled)) {
        scheduler_answer(&dropped->cancelled, NRD_CANCELLED, "", FAIL_REASON_CANCELED);
    }
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
    pool_init(&made->pool, 768 + model->input_count * 384 + model->output_count * 16,
              256 + model->output_count * 256);
    bool dynamic = model->config->scheduling_choice_case ==
                   INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_DYNAMIC_BATCHING;
    struct nrd_status *status =
        dynamic ? dynamic_create(model, &made->queue) : direct_create(model, &made->queue);
    if (status == NULL) {
        made->route.max_rows = made->queue.max_rows;
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
    routing_fini(scheduler);
    lanes_fini(scheduler);
    pool_fini(&scheduler->pool);
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

void seat_leave_idle(struct scheduler *scheduler, struct seat *seat)
{
    if (seat->idle) {
        list_remove(&seat->idle_node);
        seat->idle = false;
        seat->worker.idle = false;
    }
    if (scheduler->timer == seat) {
        scheduler->timer = NULL;
    }
}

void seat_become_idle(struct scheduler *scheduler, struct seat *seat, uint64_t *deadline_ns)
{
    list_push_front(&scheduler->idle, &seat->idle_node);
    seat->idle = true;
    if (scheduler->routed) {
        route_set_idle(&seat->worker, true);
    }
    if (*deadline_ns != 0 && (scheduler->timer == NULL || *deadline_ns < scheduler->timer_ns)) {
        scheduler->timer = seat;
        scheduler->timer_ns = *deadline_ns;
    } else {
        *deadline_ns = 0; // another one watches the clock
    }
}

void seat_will_wake(struct scheduler *scheduler)
{
    // Relaxed: the mutex orders it; wait_for_wakers() is called when no new ones can come.
    atomic_fetch_add_explicit(&scheduler->wakers, 1, memory_order_relaxed);
}

// The idle seat for what is queued. Where there is a choice of devices it may be none, while a busy one is the better; then
// somebody is to watch whether that one keeps its time.
static struct seat *find_seat(const struct scheduler *scheduler, struct seat *routed,
                              uint64_t again_ns)
{
    if (routed != NULL) {
        return routed;
    }
    if (again_ns == 0 ||
        (scheduler->timer != NULL && again_ns + WATCH_EARLIER_NS >= scheduler->timer_ns)) {
        return NULL;
    }
    return scheduler->timer != NULL ? scheduler->timer
                                    : CONTAINER_OF(scheduler->idle.next, struct seat, idle_node);
}

struct seat *seat_choose(struct scheduler *scheduler, enum push_effect effect, uint64_t now_ns)
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
    struct seat *seat;
    if (scheduler->routed) {
        uint64_t again_ns;
        seat = routing_pick(scheduler, now_ns, &again_ns);
        seat = find_seat(scheduler, seat, again_ns);
    } else {
        // The one that already watches the clock has the batch in hand.
        seat = scheduler->timer != NULL
                   ? scheduler->timer
                   : CONTAINER_OF(scheduler->idle.next, struct seat, idle_node);
    }
    if (seat == NULL) {
        return NULL;
    }
    seat_leave_idle(scheduler, seat);
    seat->waking = true;
    scheduler->waking++;
    seat_will_wake(scheduler);
    return seat;
}

void seat_wake(struct scheduler *scheduler, struct seat *seat)
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
        seat_wake(cork.wakes[i].scheduler, cork.wakes[i].seat);
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
        seat_wake(scheduler, seat);
        return;
    }
    // Release: the seat is not touched after this.
    atomic_fetch_sub_explicit(&scheduler->wakers, 1, memory_order_release);
}

// The wake that a request brings. `scheduler` is alive until then: `wakers` says so.
static void wake_by_request(struct scheduler *scheduler, struct seat *seat)
{
    if (!cork.on || cork.count == CORK_WAKES) {
        seat_wake(scheduler, seat);
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
    seat_leave_idle(scheduler, seat);
    if (seat->waking) {
        seat->waking = false;
        scheduler->waking--;
    }
}

void scheduler_detach(struct scheduler *scheduler, struct seat *seat)
{
    uint64_t now = clock_now_ns();
    pthread_mutex_lock(&scheduler->mutex);
    arrive(scheduler, seat);
    seat->full = false;
    seat->leaving = true;
    while (seat->worker.flights > 0) {
        pthread_mutex_unlock(&scheduler->mutex);
        parking_wait(&seat->parking, 0);
        pthread_mutex_lock(&scheduler->mutex);
        arrive(scheduler, seat);
    }
    seat->leaving = false;
    lanes_leave(scheduler, seat);
    // What it was woken for is somebody else's now.
    struct seat *other = seat_choose(scheduler, PUSH_READY, now);
    pthread_mutex_unlock(&scheduler->mutex);
    seat_wake(scheduler, other);
    wait_for_wakers(scheduler);
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
    bool served = !scheduler->none_serves;
    if (!stopped && served) {
        code = scheduler->queue.policy->push(scheduler->queue.queue, request, request->queue_ns,
                                             &effect);
    }
    if (!stopped && served && code == NRD_OK) {
        if (scheduler->routed) {
            routing_note(scheduler, request);
        }
        seat = seat_choose(scheduler, effect, request->queue_ns);
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
        lanes_describe_retired(scheduler, text);
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
    uint64_t now = clock_now_ns();
    if (request->flight != NULL) {
        scheduler_note_failure(request);
        scheduler_land(request);
    }
    request->state = REQUEST_STATE_PENDING;
    pthread_mutex_lock(&scheduler->mutex);
    bool taken = !scheduler->none_serves &&
                 scheduler->queue.policy->give_back(scheduler->queue.queue, request);
    if (taken) {
        seat = seat_choose(scheduler, PUSH_READY, now);
    }
    pthread_mutex_unlock(&scheduler->mutex);
    seat_wake(scheduler, seat);
    return taken;
}

// What is queued is for others: one that is idle is woken, or the clock is watched for those that are busy.
static struct seat *decline(struct scheduler *scheduler, struct seat *seat, uint64_t now,
                            uint64_t *deadline_ns)
{
    uint64_t again_ns;
    struct seat *other = routing_pick(scheduler, now, &again_ns);
    if (other != NULL) {
        seat_leave_idle(scheduler, other);
        other->waking = true;
        scheduler->waking++;
        seat_will_wake(scheduler);
    }
    if (again_ns != 0 && (*deadline_ns == 0 || again_ns < *deadline_ns)) {
        *deadline_ns = again_ns;
    }
    seat_become_idle(scheduler, seat, deadline_ns);
    return other;
}

// TRITONSERVER_DELAY_SCHEDULER: whether that many requests have come. With the mutex held.
static bool still_held_back(struct scheduler *scheduler)
{
    uint64_t requests;
    uint64_t rows;
    scheduler->queue.policy->size(scheduler->queue.queue, &requests, &rows);
    if (requests >= scheduler->hold_back || scheduler->stopped) {
        scheduler->hold_back = 0;
    }
    return scheduler->hold_back != 0;
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
    bool waits = false; // for what comes
    bool declined = false;
    struct seat *next = NULL;

    pthread_mutex_lock(&scheduler->mutex);
    arrive(scheduler, seat);
    bool routed = scheduler->routed;
    bool tracked = routed || seat->limit != 0;
    if (tracked && now == 0) {
        now = clock_now_ns();
    }
    bool serves = seat->lane != NULL && seat->lane->device.serves;
    seat->full = seat->limit != 0 && serves && seat->worker.flights >= seat->limit;
    if (serves && !seat->full) {
        if (scheduler->hold_back != 0 && still_held_back(scheduler)) {
            // Nothing is given yet.
        } else if (routed) {
            count = routing_take(scheduler, seat, now, batch, &dropped, deadline_ns, &declined);
        } else {
            count = queue->policy->take(queue->queue, now, batch, &dropped, deadline_ns, NULL);
        }
        waits = count == 0;
    }
    for (uint32_t i = 0; i < count && scheduler->ordered; i++) {
        if (batch[i]->factory->ordering == NULL) { // one that was given back has its place
            ordering_enter(&scheduler->ordering, batch[i]->factory);
        }
    }
    if (tracked && count > 0) {
        routing_depart(scheduler, seat, batch, count, now);
    }
    if (declined) {
        next = decline(scheduler, seat, now, deadline_ns);
    } else if (waits) {
        seat_become_idle(scheduler, seat, deadline_ns);
    } else {
        next = seat_choose(scheduler, PUSH_READY, now); // what is left is for another one
    }
    pthread_mutex_unlock(&scheduler->mutex);

    seat_wake(scheduler, next);
    answer_dropped(&dropped);
    return count;
}
