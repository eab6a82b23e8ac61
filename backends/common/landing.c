// SPDX-License-Identifier: Apache-2.0
// Departed batches and the thread that lands them. See landing.h.
//
// The driver's clock and the host's have no common point, so a batch's end on the host's clock is that of the one before it and
// the span between their events. It is held between two moments that are known: the last at which the thread found the stream not
// so far, and now.
#include "backends/common/landing.h"

#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/thread.h"

enum { NAP_LEAST_NS = 50000, NAP_MOST_NS = 5000000 };

struct landing {
    struct gpu_device *device;
    nereid_batch_land_fn land;
    struct thread thread;
    struct parking parking;
    _Atomic bool stop;
    _Atomic uint32_t under_way;
    pthread_mutex_t mutex; // the lists
    struct departure *free;
    struct departure *first; // under way
    struct departure *last;
    // The thread's:
    struct departure *landed; // the last one; the events of the next are measured from its `done`
    uint64_t landed_ns;       // its end
    uint64_t not_before_ns;   // the stream had something left to do then
    uint64_t usual_ns;        // how long a batch takes
};

// ---- the thread ---------------------------------------------------------------------------------

static void nap(const struct landing *l, const struct departure *d, uint64_t now)
{
    uint64_t from = l->landed_ns > d->compute_start_ns ? l->landed_ns : d->compute_start_ns;
    uint64_t expected = from + l->usual_ns;
    uint64_t ns = expected > now ? expected - now : 0;
    ns = ns < NAP_LEAST_NS ? NAP_LEAST_NS : ns > NAP_MOST_NS ? NAP_MOST_NS : ns;
    struct timespec time = {.tv_nsec = (long)ns};
    nanosleep(&time, NULL);
}

// False: the GPU has failed.
static bool await(struct landing *l, struct departure *d)
{
    for (;;) {
        bool reached = false;
        struct nrd_status *status = gpu_event_query(d->done, &reached);
        if (status != NULL) {
            backend_log_error(backend_error(status), "a batch that was answered has failed");
            return false;
        }
        uint64_t now = clock_now_ns();
        if (reached) {
            return true;
        }
        l->not_before_ns = now;
        nap(l, d, now);
    }
}

static bool span_ns(struct gpu_event *from, struct gpu_event *to, uint64_t *ns)
{
    double ms = 0;
    struct nrd_status *status = gpu_event_elapsed(from, to, &ms);
    if (status != NULL) {
        status_free(status);
        return false;
    }
    *ns = ms > 0 ? (uint64_t)(ms * 1e6) : 0;
    return true;
}

// When the batch was done, on the host's clock.
static uint64_t find_end(const struct landing *l, const struct departure *d, uint64_t took)
{
    uint64_t now = clock_now_ns();
    uint64_t end = d->compute_start_ns + took;
    uint64_t since = 0;
    if (l->landed != NULL && span_ns(l->landed->done, d->done, &since)) {
        end = l->landed_ns + since;
    }
    end = end < l->not_before_ns ? l->not_before_ns : end;
    return end > now ? now : end;
}

static void report(struct landing *l, struct departure *d, bool reached)
{
    uint64_t took = 0;
    reached = reached && span_ns(d->begin, d->done, &took);
    uint64_t end = reached ? find_end(l, d, took) : clock_now_ns();
    uint64_t begin = end - took;
    uint64_t waited = begin > d->compute_start_ns ? begin - d->compute_start_ns : 0;
    uint64_t start = d->exec_start_ns + waited;
    l->landed_ns = end;
    l->usual_ns = took;
    l->land(d->handle, reached, start < begin ? start : begin, begin, end, end);
}

static void put_free(struct landing *l, struct departure *d)
{
    pthread_mutex_lock(&l->mutex);
    d->next = l->free;
    l->free = d;
    pthread_mutex_unlock(&l->mutex);
}

static struct departure *first_of(struct landing *l)
{
    pthread_mutex_lock(&l->mutex);
    struct departure *d = l->first;
    pthread_mutex_unlock(&l->mutex);
    return d;
}

static void land_first(struct landing *l, struct departure *d)
{
    bool reached = await(l, d);
    report(l, d, reached);
    pthread_mutex_lock(&l->mutex);
    l->first = d->next;
    if (l->first == NULL) {
        l->last = NULL;
    }
    pthread_mutex_unlock(&l->mutex);
    if (l->landed != NULL) {
        put_free(l, l->landed);
    }
    l->landed = d;
    atomic_fetch_sub_explicit(&l->under_way, 1, memory_order_relaxed);
}

static void run(void *arg)
{
    struct landing *l = arg;
    for (;;) {
        struct departure *d = first_of(l);
        if (d != NULL) {
            land_first(l, d);
            continue;
        }
        // Acquire: what was given before the stop is seen.
        if (atomic_load_explicit(&l->stop, memory_order_acquire)) {
            if (first_of(l) == NULL) {
                return;
            }
            continue;
        }
        parking_wait(&l->parking, 0);
    }
}

// ---- life ---------------------------------------------------------------------------------------

TRITONSERVER_Error *landing_create(struct gpu_device *device, nereid_batch_land_fn land,
                                   struct landing **landing)
{
    struct landing *l = mem_calloc(1, sizeof(*l));
    if (l == NULL) {
        return backend_no_memory();
    }
    l->device = device;
    l->land = land;
    parking_init(&l->parking);
    pthread_mutex_init(&l->mutex, NULL);
    TRITONSERVER_Error *error = backend_error(thread_start(&l->thread, "landing", 0, run, l));
    if (error != NULL) {
        landing_destroy(l);
        return error;
    }
    *landing = l;
    return NULL;
}

static void destroy(struct departure *d)
{
    if (d != NULL) {
        gpu_event_unref(d->begin);
        gpu_event_unref(d->done);
        mem_free(d->requests);
        mem_free(d);
    }
}

void landing_destroy(struct landing *l)
{
    if (l == NULL) {
        return;
    }
    // Release: with all that departed.
    atomic_store_explicit(&l->stop, true, memory_order_release);
    parking_wake(&l->parking);
    thread_join(&l->thread);
    while (l->free != NULL) {
        struct departure *next = l->free->next;
        destroy(l->free);
        l->free = next;
    }
    destroy(l->landed);
    pthread_mutex_destroy(&l->mutex);
    mem_free(l);
}

bool landing_is_busy(const struct landing *l)
{
    // Relaxed: who departs is who asks; that one has landed meanwhile does no harm.
    return atomic_load_explicit(&l->under_way, memory_order_relaxed) > 0;
}

// ---- batches ------------------------------------------------------------------------------------

static TRITONSERVER_Error *make(struct landing *l, struct departure **departure)
{
    struct departure *d = mem_calloc(1, sizeof(*d));
    if (d == NULL) {
        return backend_no_memory();
    }
    TRITONSERVER_Error *error = backend_error(gpu_event_get_timed(l->device, &d->begin));
    if (error == NULL) {
        error = backend_error(gpu_event_get_timed(l->device, &d->done));
    }
    if (error != NULL) {
        destroy(d);
        return error;
    }
    *departure = d;
    return NULL;
}

TRITONSERVER_Error *landing_begin(struct landing *l, struct gpu_stream *stream,
                                  uint64_t compute_start_ns, struct departure **departure)
{
    pthread_mutex_lock(&l->mutex);
    struct departure *d = l->free;
    if (d != NULL) {
        l->free = d->next;
    }
    pthread_mutex_unlock(&l->mutex);
    if (d == NULL) {
        BACKEND_TRY(make(l, &d));
    }
    d->next = NULL;
    d->handle = NULL;
    d->compute_start_ns = compute_start_ns;
    TRITONSERVER_Error *error = backend_error(gpu_event_record(d->begin, stream));
    if (error != NULL) {
        put_free(l, d);
        return error;
    }
    *departure = d;
    return NULL;
}

void landing_depart(struct landing *l, struct departure *d)
{
    atomic_fetch_add_explicit(&l->under_way, 1, memory_order_relaxed);
    pthread_mutex_lock(&l->mutex);
    if (l->last == NULL) {
        l->first = d;
    } else {
        l->last->next = d;
    }
    l->last = d;
    pthread_mutex_unlock(&l->mutex);
    parking_wake(&l->parking);
}

void landing_cancel(struct landing *l, struct departure *d)
{
    put_free(l, d);
}
