// SPDX-License-Identifier: Apache-2.0
// Worker: see worker.h. One mutex and one condition; these jobs are rare and long. A thread that ends by itself leaves its
// place to be joined by whoever next needs one.
#include "net/worker.h"

#include <pthread.h>
#include <time.h>

#include "base/mem.h"
#include "base/thread.h"

enum { IDLE_SECONDS = 10, MAX_THREADS = 64 };
enum place_state { PLACE_EMPTY, PLACE_RUNNING, PLACE_ENDED };

struct place {
    struct worker *worker;
    struct thread thread;
    enum place_state state;
};

struct worker {
    pthread_mutex_t mutex;
    pthread_cond_t come;
    struct list_node jobs;
    unsigned queued;
    unsigned idle;
    unsigned running;
    bool stopping;
    const char *name;
    unsigned max;
    struct place places[MAX_THREADS];
};

static void work(void *arg)
{
    struct place *place = arg;
    struct worker *w = place->worker;
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        struct list_node *node = list_pop_front(&w->jobs);
        if (node != NULL) {
            w->queued--;
            struct worker_job *job = CONTAINER_OF(node, struct worker_job, node);
            pthread_mutex_unlock(&w->mutex);
            job->run(job);
            pthread_mutex_lock(&w->mutex);
            continue;
        }
        if (w->stopping) {
            break;
        }
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += IDLE_SECONDS;
        w->idle++;
        int rc = pthread_cond_timedwait(&w->come, &w->mutex, &until);
        w->idle--;
        if (rc != 0 && list_empty(&w->jobs)) {
            break;
        }
    }
    place->state = PLACE_ENDED;
    w->running--;
    pthread_mutex_unlock(&w->mutex);
}

// With the mutex held. A place whose thread has ended is joined: that thread holds the mutex no more.
static bool start_one(struct worker *w)
{
    for (unsigned i = 0; i < w->max; i++) {
        struct place *place = &w->places[i];
        if (place->state == PLACE_RUNNING) {
            continue;
        }
        if (place->state == PLACE_ENDED) {
            thread_join(&place->thread);
            place->state = PLACE_EMPTY;
        }
        place->worker = w;
        struct nrd_status *status = thread_start(&place->thread, w->name, 0, work, place);
        if (status != NULL) {
            status_free(status);
            return false;
        }
        place->state = PLACE_RUNNING;
        w->running++;
        return true;
    }
    return false;
}

struct nrd_status *worker_create(const char *name, unsigned max_threads, struct worker **out)
{
    struct worker *w = mem_calloc(1, sizeof(*w));
    if (w == NULL) {
        return status_no_memory();
    }
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->come, NULL);
    list_init(&w->jobs);
    w->name = name;
    w->max = max_threads < 1 ? 1 : max_threads > MAX_THREADS ? MAX_THREADS : max_threads;
    *out = w;
    return NULL;
}

bool worker_post(struct worker *w, struct worker_job *job)
{
    pthread_mutex_lock(&w->mutex);
    list_push_back(&w->jobs, &job->node);
    w->queued++;
    pthread_cond_signal(&w->come);
    if (w->queued > w->idle) {
        (void)start_one(w);
    }
    bool taken = w->running > 0;
    if (!taken) {
        list_remove(&job->node);
        w->queued--;
    }
    pthread_mutex_unlock(&w->mutex);
    return taken;
}

void worker_destroy(struct worker *w)
{
    if (w == NULL) {
        return;
    }
    pthread_mutex_lock(&w->mutex);
    w->stopping = true;
    pthread_cond_broadcast(&w->come);
    pthread_mutex_unlock(&w->mutex);
    for (unsigned i = 0; i < w->max; i++) {
        thread_join(&w->places[i].thread); // nothing where none was started
    }
    pthread_cond_destroy(&w->come);
    pthread_mutex_destroy(&w->mutex);
    mem_free(w);
}
