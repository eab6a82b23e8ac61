// SPDX-License-Identifier: Apache-2.0
// AsyncConsoleLogger: an operator's thread only puts a reference of the message into a queue; a worker makes lines of them.
//
//   operators ──▶ data queue (max_queue_size) ───────────▶ worker: shapes, values, metadata
//             └─▶ large data queue (its own maximum) ─────▶ worker: elements of tensors too
//
// What does not fit the large queue goes to the data queue without its elements; what does not fit there is counted. A message
// that waits here is held: its memory comes back when its line is written, and meanwhile nobody may change it in place.
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/queue.h"
#include "base/thread.h"
#include "graph/logger.h"

struct entry {
    struct queue_node node;
    const char *id;
    struct nrd_message *message; // a reference
    int64_t now_ns;
    bool emitted;
};
struct line_queue {
    struct logger *logger;
    struct queue queue;
    struct parking parking; // of the worker
    struct thread thread;
    struct object_pool *entries;
    _Atomic int64_t waiting; // entries that were put in and not yet written
    int64_t max;
    _Atomic uint64_t logged, dropped;
    _Atomic bool stop; // the worker ends when nothing waits
    _Atomic bool drop; // what waits is dropped
    bool content;
    int policy;
    _Atomic bool complained;
};
struct async_logger {
    struct logger logger;
    struct line_queue data, large;
    bool has_large;
};

// ---- the worker ----------------------------------------------------------------------------------------------------

static void write_entry(struct line_queue *q, struct entry *e, struct str *text)
{
    if (!atomic_load_explicit(&q->drop, memory_order_relaxed)) {
        struct logger_line line = {.id = e->id,
                                   .message = e->message,
                                   .emitted = e->emitted,
                                   .content = q->content,
                                   .now_ns = e->now_ns};
        str_clear(text);
        logger_print(q->logger, &line, text);
        log_write(LOG_INFO, __FILE__, __LINE__, str_slice(text));
        atomic_fetch_add_explicit(&q->logged, 1, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(&q->dropped, 1, memory_order_relaxed);
    }
    nrd_message_unref(e->message);
    object_pool_put(q->entries, e);
    atomic_fetch_sub_explicit(&q->waiting, 1, memory_order_release);
}

static void work(void *arg)
{
    struct line_queue *q = arg;
    struct str text = STR_INIT;
    for (;;) {
        struct queue_node *node = queue_pop(&q->queue);
        if (node != NULL) {
            write_entry(q, CONTAINER_OF(node, struct entry, node), &text);
        } else if (atomic_load_explicit(&q->stop, memory_order_acquire)) {
            break;
        } else {
            (void)parking_wait(&q->parking, 0); // stop() wakes it too
        }
    }
    str_fini(&text);
}

static struct nrd_status *queue_start(struct line_queue *q, const char *name)
{
    queue_init(&q->queue);
    parking_init(&q->parking);
    atomic_store_explicit(&q->stop, false, memory_order_relaxed);
    atomic_store_explicit(&q->drop, false, memory_order_relaxed);
    atomic_store_explicit(&q->complained, false, memory_order_relaxed);
    atomic_store_explicit(&q->logged, 0, memory_order_relaxed);
    atomic_store_explicit(&q->dropped, 0, memory_order_relaxed);
    return thread_start(&q->thread, name, 0, work, q);
}

// Asks the worker to end; what waits is written before, or from `deadline_ns` on dropped (0: never).
static void queue_stop(struct line_queue *q, bool drop_now, uint64_t deadline_ns)
{
    if (!q->thread.started) {
        return;
    }
    atomic_store_explicit(&q->drop, drop_now, memory_order_relaxed);
    atomic_store_explicit(&q->stop, true, memory_order_release);
    parking_wake(&q->parking);
    while (deadline_ns != 0 && atomic_load_explicit(&q->waiting, memory_order_acquire) != 0) {
        struct timespec pause = {.tv_nsec = 100000};
        if (clock_now_ns() >= deadline_ns) {
            atomic_store_explicit(&q->drop, true, memory_order_relaxed);
            break;
        }
        nanosleep(&pause, NULL);
    }
    thread_join(&q->thread);
    q->thread.started = false;
}

// ---- the operators' side -------------------------------------------------------------------------------------------

static bool put(struct line_queue *q, const char *id, const struct nrd_message *message,
                bool emitted, int64_t now)
{
    struct entry *e = NULL;
    if (atomic_fetch_add_explicit(&q->waiting, 1, memory_order_relaxed) < q->max) {
        e = object_pool_get(q->entries);
    }
    if (e == NULL) {
        atomic_fetch_sub_explicit(&q->waiting, 1, memory_order_relaxed);
        return false;
    }
    *e = (struct entry){.id = id,
                        .message = nrd_message_ref((struct nrd_message *)(uintptr_t)message),
                        .now_ns = now,
                        .emitted = emitted};
    if (queue_push(&q->queue, &e->node)) {
        parking_wake(&q->parking);
    }
    return true;
}

static void complain(struct line_queue *q)
{
    if (q->policy == LOGGER_RAISE &&
        !atomic_exchange_explicit(&q->complained, true, memory_order_relaxed)) {
        LOG_ERR("%s: its %squeue of %lld messages is full, what does not fit is not logged",
                q->logger->name, q->content ? "large data " : "", (long long)q->max);
    }
}

static void log_message(struct async_logger *a, const char *id, const struct nrd_message *message,
                        bool emitted, int64_t now)
{
    now = logger_time(&a->logger, now);
    if (a->has_large && logger_has_content(message)) {
        if (put(&a->large, id, message, emitted, now)) {
            return;
        }
        atomic_fetch_add_explicit(&a->large.dropped, 1, memory_order_relaxed);
        complain(&a->large);
    }
    if (!put(&a->data, id, message, emitted, now)) {
        atomic_fetch_add_explicit(&a->data.dropped, 1, memory_order_relaxed);
        complain(&a->data);
    }
}

static void received(void *self, struct nrd_compute *ctx, const struct plan_flow *flow,
                     const struct nrd_message *message, bool again, int64_t now)
{
    (void)again;
    struct async_logger *a = self;
    const char *id = logger_input_id(&a->logger, ctx, flow);
    if (id != NULL) {
        log_message(a, id, message, false, now);
    }
}

static void emitted(void *self, struct nrd_compute *ctx, uint32_t output,
                    struct nrd_message *message, int64_t now)
{
    struct async_logger *a = self;
    const char *id = logger_output_id(&a->logger, ctx, output);
    if (id != NULL) {
        log_message(a, id, message, true, now);
    }
}

// ---- life ----------------------------------------------------------------------------------------------------------

static struct nrd_status *begin(void *self, struct plan *plan)
{
    struct async_logger *a = self;
    NRD_TRY(logger_prepare(&a->logger, plan));
    NRD_TRY(queue_start(&a->data, "log data"));
    if (!a->has_large) {
        return NULL;
    }
    struct nrd_status *status = queue_start(&a->large, "log large data");
    if (status != NULL) {
        queue_stop(&a->data, true, 0);
    }
    return status;
}

static struct nrd_status *end(void *self, struct plan *plan)
{
    (void)plan;
    struct async_logger *a = self;
    int64_t wait = a->logger.options.shutdown_wait_period_ms;
    uint64_t deadline = wait > 0 ? clock_now_ns() + (uint64_t)wait * 1000000 : 0;
    queue_stop(&a->data, wait == 0, deadline);
    queue_stop(&a->large, wait == 0, deadline);
    uint64_t dropped = atomic_load_explicit(&a->data.dropped, memory_order_relaxed);
    if (dropped != 0) {
        LOG_WARN("%s: %llu messages were not logged", a->logger.name, (unsigned long long)dropped);
    }
    return NULL;
}

static void destroy(void *self)
{
    struct async_logger *a = self;
    queue_stop(&a->data, true, 0);
    queue_stop(&a->large, true, 0);
    object_pool_destroy(a->data.entries);
    object_pool_destroy(a->large.entries);
    logger_fini(&a->logger);
    mem_free(a);
}

static const struct watcher_class ASYNC = {.hop_times = true,
                                           .begin = begin,
                                           .received = received,
                                           .emitted = emitted,
                                           .end = end,
                                           .destroy = destroy};

static bool queue_make(struct line_queue *q, struct logger *l, int64_t max, int policy,
                       bool content)
{
    q->logger = l;
    q->max = max;
    q->policy = policy;
    q->content = content;
    q->entries = object_pool_create(sizeof(struct entry), (size_t)max);
    return q->entries != NULL;
}

struct nrd_status *logger_async_create(struct nrd_fragment *f, const struct nrd_value *params)
{
    struct async_logger *a = mem_calloc(1, sizeof(*a));
    if (a == NULL) {
        return status_no_memory();
    }
    struct logger *l = &a->logger;
    struct nrd_status *status =
        logger_init(l, f, "AsyncConsoleLogger", logger_async_params, params);
    if (status != NULL) {
        mem_free(a);
        return status;
    }
    const struct logger_options *o = &l->options;
    a->has_large = o->enable_large_data_queue && o->log_tensor_data_content;
    if (!queue_make(&a->data, l, o->max_queue_size, o->queue_policy, false) ||
        !queue_make(&a->large, l, o->large_data_max_queue_size, o->large_data_queue_policy, true)) {
        status = status_no_memory();
    } else {
        status = app_add_watcher(f->app, f, &ASYNC, a);
    }
    if (status != NULL) {
        destroy(a);
    }
    return status;
}
