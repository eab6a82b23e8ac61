// SPDX-License-Identifier: Apache-2.0
// Fake CUDA: time, and what the engines of the GPUs do in it.
//
//   stream:  op ▸ op ▸ op         the first op of a stream starts when its engine is free (lower priority numbers first,
//            │                    then older ones), and ends duration later; only then it has an effect
//   engine:  compute, copy in, copy out, copy within: one op at a time each
// fake_progress() does what is due. Functions of the host run only where time is moved: in fake_cuda_advance(), a driver's
// wait, or the clock's thread; never in a call that queues work, whose caller may hold a lock that they want.
#include "tests/support/fake_cuda/fake_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// ---- ops ----------------------------------------------------------------------------------------------------------

static void event_release(struct cu_event *event)
{
    if (--event->ops == 0 && event->destroyed) {
        free(event);
    }
}

void fake_op_fini(struct fake_op *op)
{
    free(op->launch);
    free(op->staged);
    if (op->event != NULL) {
        event_release(op->event);
    }
}

struct fake_op *fake_op_copy(const struct fake_op *op)
{
    struct fake_op *copy = malloc(sizeof(*copy));
    if (copy == NULL) {
        abort();
    }
    *copy = *op;
    copy->next = NULL;
    if (op->launch != NULL) {
        copy->launch = malloc(sizeof(*copy->launch));
        if (copy->launch == NULL) {
            abort();
        }
        *copy->launch = *op->launch;
        copy->launch->launch.params = copy->launch->params;
    }
    if (op->event != NULL) {
        op->event->ops++;
    }
    return copy;
}

uint64_t fake_copy_ns(int from, int to, size_t size)
{
    const struct fake_cuda_options *o = &fake.options;
    double rate = o->host_gbytes_s; // bytes a ns
    if (from >= 0 && from == to) {
        rate = o->device_gbytes_s;
    } else if (from >= 0 && to >= 0 &&
               (fake.devices[to].peers >> from & 1 || fake.devices[from].peers >> to & 1)) {
        rate = o->peer_gbytes_s;
    }
    return 1000 + (uint64_t)((double)size / rate);
}

void fake_poison(int ordinal, int result)
{
    struct fake_device *d = &fake.devices[ordinal];
    if (d->sticky == 0) {
        d->sticky = result;
    }
    for (int i = 0; i < FAKE_ENGINES; i++) {
        d->engines[i] = NULL;
    }
    pthread_cond_broadcast(&fake.changed);
}

int fake_enqueue(struct cu_stream *stream, const struct fake_op *op)
{
    if (stream == NULL) {
        return CU_INVALID_CONTEXT;
    }
    if (stream->capture != NULL) {
        fake_graph_add(stream->capture, op);
        return CU_SUCCESS;
    }
    fake_progress(); // so that work begins now and not when the clock was last looked at
    struct fake_op *copy = fake_op_copy(op);
    copy->sequence = fake.sequence++;
    copy->started = false;
    if (stream->tail == NULL) {
        stream->head = copy;
    } else {
        stream->tail->next = copy;
    }
    stream->tail = copy;
    fake_progress();
    pthread_cond_broadcast(&fake.changed);
    return CU_SUCCESS;
}

static void op_pop(struct cu_stream *stream)
{
    struct fake_op *op = stream->head;
    stream->head = op->next;
    if (stream->head == NULL) {
        stream->tail = NULL;
    }
    fake_op_fini(op);
    free(op);
}

// The effect of a copy or fill, whose memory must still be there: if not, the GPU is lost, as a real one would be.
static void do_bytes(const struct fake_op *op)
{
    int to_ordinal;
    int from_ordinal = -1;
    char *to;
    char *from = NULL;
    if (!fake_resolve(op->to, op->size, &to_ordinal, &to) ||
        (op->kind == FAKE_OP_COPY && !fake_resolve(op->from, op->size, &from_ordinal, &from))) {
        fprintf(stderr, "fake CUDA: GPU %d copies memory that was freed\n", op->ordinal);
        fake_poison(op->ordinal, CU_ILLEGAL_ADDRESS);
        return;
    }
    if (op->kind == FAKE_OP_FILL) {
        memset(to, op->value, op->size);
    } else {
        memmove(to, from, op->size);
        if (to_ordinal >= 0 && to_ordinal != from_ordinal) {
            fake.devices[to_ordinal].copied_bytes += op->size;
        }
        if (from_ordinal >= 0) {
            fake.devices[from_ordinal].copied_bytes += op->size;
        }
    }
}

static void do_fault(int ordinal, int result)
{
    fake_poison(ordinal, result);
    for (int i = 0; i < fake.options.count && fake.options.faults_are_shared; i++) {
        fake_poison(i, result);
    }
}

static void do_kernel(const struct fake_op *op)
{
    struct fake_device *d = &fake.devices[op->ordinal];
    const struct fake_launch_state *state = op->launch;
    d->launches++;
    d->busy_ns += op->duration_ns;
    if (state->is_fault) {
        int result;
        memcpy(&result, state->params, sizeof(result));
        do_fault(op->ordinal, result);
    } else if (d->launches == d->gpu.fault_at) {
        do_fault(op->ordinal, CU_ILLEGAL_ADDRESS);
    } else if (d->launches == d->gpu.unplug_at) {
        d->unplugged = true;
        fake_poison(op->ordinal, CU_UNKNOWN);
    } else if (state->kernel.run != NULL) {
        struct fake_launch launch = state->launch;
        pthread_mutex_unlock(&fake.lock); // it may peek
        state->kernel.run(&launch);
        pthread_mutex_lock(&fake.lock);
    }
}

// ---- progress -----------------------------------------------------------------------------------------------------

static bool wait_is_over(const struct fake_op *op)
{
    // A lost GPU reaches nothing any more; who waits for it goes on.
    return op->event->reached >= op->event_record || fake.devices[op->event->ordinal].sticky != 0;
}

// Does the first op of a stream if it needs no engine. True when something happened.
static bool do_instant(struct cu_stream *stream, bool host)
{
    struct fake_op *op = stream->head;
    if (op == NULL || op->engine != FAKE_NO_ENGINE || op->started ||
        (op->kind == FAKE_OP_HOST && !host)) {
        return false;
    }
    switch (op->kind) {
    case FAKE_OP_WAIT:
        if (!wait_is_over(op)) {
            return false;
        }
        break;
    case FAKE_OP_RECORD:
        if (op->event->reached < op->event_record) {
            op->event->reached = op->event_record;
            op->event->reached_ns = fake.now_ns;
        }
        break;
    case FAKE_OP_FREE:
        (void)fake_free(op->to);
        break;
    case FAKE_OP_HOST:
        op->started = true; // holds the stream up, and nobody runs it twice
        fake.host_calls++;
        pthread_mutex_unlock(&fake.lock);
        op->host_fn(op->host_arg);
        pthread_mutex_lock(&fake.lock);
        fake.host_calls--;
        break;
    case FAKE_OP_COPY:
    case FAKE_OP_FILL:
    case FAKE_OP_KERNEL:
        break;
    }
    op_pop(stream);
    pthread_cond_broadcast(&fake.changed);
    return true;
}

// The op that an engine should do next; NULL: none is ready.
static struct fake_op *next_for(int ordinal, enum fake_engine engine)
{
    struct cu_stream *best = NULL;
    struct cu_stream *at = &fake.devices[ordinal].default_stream;
    for (bool first = true; at != NULL; at = first ? fake.streams : at->next, first = false) {
        struct fake_op *op = at->head;
        if (op != NULL && !op->started && op->engine == engine && op->ordinal == ordinal &&
            (best == NULL || at->priority < best->priority ||
             (at->priority == best->priority && op->sequence < best->head->sequence))) {
            best = at;
        }
    }
    return best == NULL ? NULL : best->head;
}

static bool start_engines(void)
{
    bool any = false;
    for (int i = 0; i < fake.options.count; i++) {
        struct fake_device *d = &fake.devices[i];
        for (int e = 0; e < FAKE_ENGINES && d->sticky == 0; e++) {
            struct fake_op *op = d->engines[e] == NULL ? next_for(i, (enum fake_engine)e) : NULL;
            if (op != NULL) {
                op->started = true;
                op->finish_ns = fake.now_ns + op->duration_ns;
                d->engines[e] = op;
                any = true;
            }
        }
    }
    return any;
}

// Ends what an engine has done by now.
static bool finish_op(struct cu_stream *stream)
{
    struct fake_op *op = stream->head;
    if (op == NULL || !op->started || op->engine == FAKE_NO_ENGINE || op->finish_ns > fake.now_ns) {
        return false;
    }
    struct fake_device *d = &fake.devices[op->ordinal];
    if (d->sticky != 0 || d->engines[op->engine] != op) {
        return false;
    }
    if (op->kind == FAKE_OP_KERNEL) {
        op->finish_ns = UINT64_MAX; // its lock is let go meanwhile: nobody ends it twice
        do_kernel(op);
    } else {
        do_bytes(op);
    }
    if (d->engines[op->engine] == op) {
        d->engines[op->engine] = NULL;
    }
    op_pop(stream);
    pthread_cond_broadcast(&fake.changed);
    return true;
}

// A lost GPU's streams drop what they have: nothing of it is done.
static void drop_lost(struct cu_stream *stream)
{
    while (stream->head != NULL && fake.devices[stream->ordinal].sticky != 0 &&
           !(stream->head->kind == FAKE_OP_HOST && stream->head->started) &&
           stream->head->finish_ns != UINT64_MAX) {
        if (stream->head->kind == FAKE_OP_FREE) {
            (void)fake_free(stream->head->to);
        }
        op_pop(stream);
    }
}

static bool progress_stream(struct cu_stream *stream, bool host)
{
    bool any = false;
    drop_lost(stream);
    while (finish_op(stream) || do_instant(stream, host)) {
        any = true;
        drop_lost(stream);
    }
    return any;
}

static void progress(bool host)
{
    bool any = true;
    while (any) {
        any = start_engines();
        for (int i = 0; i < fake.options.count; i++) {
            any = progress_stream(&fake.devices[i].default_stream, host) || any;
        }
        // The lock may be let go on the way, and a stream may go: begin anew after each change.
        bool changed = true;
        while (changed) {
            changed = false;
            for (struct cu_stream **at = &fake.streams; *at != NULL && !changed;) {
                struct cu_stream *stream = *at;
                changed = progress_stream(stream, host);
                if (!changed && stream->destroyed && stream->head == NULL) {
                    *at = stream->next;
                    free(stream);
                } else {
                    at = &stream->next;
                }
            }
            any = any || changed;
        }
    }
}

// When the next op ends; 0: nothing runs.
static uint64_t next_finish(void)
{
    uint64_t next = 0;
    for (int i = 0; i < fake.options.count; i++) {
        for (int e = 0; e < FAKE_ENGINES; e++) {
            const struct fake_op *op = fake.devices[i].engines[e];
            if (op != NULL && op->finish_ns != UINT64_MAX && (next == 0 || op->finish_ns < next)) {
                next = op->finish_ns;
            }
        }
    }
    return next;
}

static void advance_to(uint64_t target, bool host)
{
    for (;;) {
        progress(host);
        uint64_t next = next_finish();
        if (next == 0 || next > target) {
            break;
        }
        if (next > fake.now_ns) {
            fake.now_ns = next;
        }
    }
    if (target > fake.now_ns) {
        fake.now_ns = target;
    }
}

void fake_progress(void)
{
    if (fake.options.time == FAKE_TIME_REAL) {
        advance_to(monotonic_ns() - fake.clock_start_ns, false);
    } else {
        progress(false);
    }
}

uint64_t fake_cuda_now(void)
{
    pthread_mutex_lock(&fake.lock);
    uint64_t now = fake.now_ns;
    pthread_mutex_unlock(&fake.lock);
    return now;
}

void fake_cuda_advance(uint64_t ns)
{
    pthread_mutex_lock(&fake.lock);
    advance_to(fake.now_ns + ns, true);
    pthread_mutex_unlock(&fake.lock);
}

void fake_cuda_run(void)
{
    pthread_mutex_lock(&fake.lock);
    advance_to(fake.now_ns, true);
    for (uint64_t next; (next = next_finish()) != 0;) {
        advance_to(next, true);
    }
    pthread_mutex_unlock(&fake.lock);
}

void fake_polled(void)
{
    if (fake.options.time == FAKE_TIME_MANUAL && fake.options.poll_ns > 0) {
        advance_to(fake.now_ns + fake.options.poll_ns, true);
    }
}

bool fake_wait(bool (*done)(const void *arg), const void *arg)
{
    if (fake.options.time == FAKE_TIME_MANUAL) {
        advance_to(fake.now_ns, true);
    }
    while (!done(arg)) {
        uint64_t next = next_finish();
        if (fake.options.time == FAKE_TIME_MANUAL && next != 0) {
            advance_to(next, true);
        } else if (fake.options.time == FAKE_TIME_MANUAL && fake.host_calls == 0) {
            return false;
        } else {
            pthread_cond_wait(&fake.changed, &fake.lock);
        }
    }
    return true;
}

// ---- the clock's thread -------------------------------------------------------------------------------------------

static void *clock_main(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&fake.lock);
    while (!fake.stopping) {
        advance_to(monotonic_ns() - fake.clock_start_ns, true);
        uint64_t next = next_finish();
        if (next == 0) {
            pthread_cond_wait(&fake.changed, &fake.lock);
            continue;
        }
        uint64_t at = next + fake.clock_start_ns;
        struct timespec until = {.tv_sec = (time_t)(at / 1000000000u),
                                 .tv_nsec = (long)(at % 1000000000u)};
        pthread_cond_clockwait(&fake.changed, &fake.lock, CLOCK_MONOTONIC, &until);
    }
    pthread_mutex_unlock(&fake.lock);
    return NULL;
}

void fake_clock_start(void)
{
    if (fake.options.time != FAKE_TIME_REAL) {
        return;
    }
    fake.clock_start_ns = monotonic_ns();
    if (pthread_create(&fake.clock_thread, NULL, clock_main, NULL) != 0) {
        abort();
    }
}

void fake_clock_stop(void)
{
    pthread_mutex_lock(&fake.lock);
    bool runs = fake.started && fake.options.time == FAKE_TIME_REAL && !fake.stopping;
    fake.stopping = true;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    if (runs) {
        pthread_join(fake.clock_thread, NULL);
    }
}
