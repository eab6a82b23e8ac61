// SPDX-License-Identifier: Apache-2.0
// Fake CUDA: streams, events, copies, kernels: calls that put work into streams or ask how far it is.
#include "tests/support/fake_cuda/fake_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN(fn, ordinal)                                                                         \
    do {                                                                                           \
        int begin_ = fake_begin(GPU_FN_##fn, (ordinal));                                           \
        if (begin_ != CU_SUCCESS) {                                                                \
            return fake_end(begin_);                                                               \
        }                                                                                          \
    } while (0)

struct cu_stream *fake_stream(struct cu_stream *stream)
{
    struct fake_device *d = fake_device_at(fake_current());
    return stream != NULL ? stream : d == NULL ? NULL : &d->default_stream;
}

int fake_stream_ordinal(const struct cu_stream *stream)
{
    return stream == NULL ? fake_current() : stream->ordinal;
}

// ---- streams ------------------------------------------------------------------------------------------------------

int cuStreamCreateWithPriority(struct cu_stream **stream, unsigned flags, int priority)
{
    int current = fake_current();
    (void)flags;
    BEGIN(stream_create, current);
    struct cu_stream *s = current < 0 ? NULL : calloc(1, sizeof(*s));
    if (s == NULL) {
        return fake_end(current < 0 ? CU_INVALID_CONTEXT : CU_OUT_OF_MEMORY);
    }
    s->ordinal = current;
    s->priority = priority;
    struct cu_stream **end = &fake.streams;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = s;
    fake.counts.streams++;
    *stream = s;
    return fake_end(CU_SUCCESS);
}

int cuStreamDestroy_v2(struct cu_stream *stream)
{
    BEGIN(stream_destroy, -1);
    stream->destroyed = true;
    fake.counts.streams--;
    fake_progress();
    return fake_end(CU_SUCCESS);
}

static bool stream_is_idle(const void *stream)
{
    return ((const struct cu_stream *)stream)->head == NULL;
}

// A question about a stream that is captured breaks the capture.
static int refuse_captured(struct cu_stream *stream)
{
    if (stream != NULL && stream->capture != NULL) {
        stream->capture_broken = true;
        return CU_STREAM_CAPTURE_UNSUPPORTED;
    }
    return stream == NULL ? CU_INVALID_CONTEXT : CU_SUCCESS;
}

static int wait_idle(struct cu_stream *stream)
{
    int result = refuse_captured(stream);
    if (result == CU_SUCCESS && !fake_wait(stream_is_idle, stream)) {
        fprintf(stderr, "fake CUDA: a stream of GPU %d waits for what nobody will do\n",
                stream->ordinal);
        abort();
    }
    return result == CU_SUCCESS ? fake.devices[stream->ordinal].sticky : result;
}

int cuStreamSynchronize(struct cu_stream *stream)
{
    BEGIN(stream_synchronize, fake_stream_ordinal(stream));
    return fake_end(wait_idle(fake_stream(stream)));
}

int cuCtxSynchronize(void)
{
    int current = fake_current();
    BEGIN(ctx_synchronize, current);
    struct fake_device *d = fake_device_at(current);
    int result = d == NULL ? CU_INVALID_CONTEXT : wait_idle(&d->default_stream);
    for (struct cu_stream *s = fake.streams; s != NULL && result == CU_SUCCESS;) {
        if (s->ordinal != current || s->head == NULL) {
            s = s->next;
            continue;
        }
        result = wait_idle(s);
        s = fake.streams; // the list may have changed meanwhile
    }
    return fake_end(result);
}

int cuStreamQuery(struct cu_stream *stream)
{
    BEGIN(stream_query, fake_stream_ordinal(stream));
    struct cu_stream *s = fake_stream(stream);
    int result = refuse_captured(s);
    if (result != CU_SUCCESS) {
        return fake_end(result);
    }
    fake_progress();
    if (s->head != NULL) {
        fake_polled();
        return fake_end(fake.devices[s->ordinal].sticky != 0 ? fake.devices[s->ordinal].sticky
                                                             : CU_NOT_READY);
    }
    return fake_end(fake.devices[s->ordinal].sticky);
}

int cuLaunchHostFunc(struct cu_stream *stream, cu_host_fn fn, void *arg)
{
    int ordinal = fake_stream_ordinal(stream);
    BEGIN(launch_host_fn, ordinal);
    struct fake_op op = {.kind = FAKE_OP_HOST,
                         .ordinal = ordinal,
                         .engine = FAKE_NO_ENGINE,
                         .host_fn = fn,
                         .host_arg = arg};
    return fake_end(fake_enqueue(fake_stream(stream), &op));
}

// ---- events -------------------------------------------------------------------------------------------------------

int cuEventCreate(struct cu_event **event, unsigned flags)
{
    int current = fake_current();
    BEGIN(event_create, current);
    struct cu_event *e = current < 0 ? NULL : calloc(1, sizeof(*e));
    if (e == NULL) {
        return fake_end(current < 0 ? CU_INVALID_CONTEXT : CU_OUT_OF_MEMORY);
    }
    e->ordinal = current;
    e->timed = (flags & CU_EVENT_FLAG_NO_TIMING) == 0;
    fake.counts.events++;
    *event = e;
    return fake_end(CU_SUCCESS);
}

int cuEventDestroy_v2(struct cu_event *event)
{
    BEGIN(event_destroy, -1);
    fake.counts.events--;
    event->destroyed = true;
    if (event->ops == 0) {
        free(event);
    }
    return fake_end(CU_SUCCESS);
}

int cuEventRecord(struct cu_event *event, struct cu_stream *stream)
{
    BEGIN(event_record, fake_stream_ordinal(stream));
    struct cu_stream *s = fake_stream(stream);
    if (s == NULL || s->ordinal != event->ordinal) {
        return fake_end(CU_INVALID_HANDLE);
    }
    event->captured = s->capture;
    if (s->capture != NULL) {
        return fake_end(CU_SUCCESS);
    }
    struct fake_op op = {.kind = FAKE_OP_RECORD,
                         .ordinal = s->ordinal,
                         .engine = FAKE_NO_ENGINE,
                         .event = event,
                         .event_record = ++event->recorded};
    return fake_end(fake_enqueue(s, &op));
}

int cuStreamWaitEvent(struct cu_stream *stream, struct cu_event *event, unsigned flags)
{
    BEGIN(stream_wait_event, fake_stream_ordinal(stream));
    struct cu_stream *s = fake_stream(stream);
    if (s == NULL || flags != 0) {
        return fake_end(CU_INVALID_VALUE);
    }
    if (event->captured != NULL) {
        s->capture = event->captured; // joins the capture
        return fake_end(CU_SUCCESS);
    }
    if (s->capture != NULL) {
        s->capture_broken = true;
        return fake_end(CU_STREAM_CAPTURE_UNSUPPORTED);
    }
    struct fake_op op = {.kind = FAKE_OP_WAIT,
                         .ordinal = s->ordinal,
                         .engine = FAKE_NO_ENGINE,
                         .event = event,
                         .event_record = event->recorded};
    return fake_end(fake_enqueue(s, &op));
}

static bool event_is_reached(const void *arg)
{
    const struct cu_event *event = arg;
    return event->reached >= event->recorded || fake.devices[event->ordinal].sticky != 0;
}

int cuEventQuery(struct cu_event *event)
{
    BEGIN(event_query, event->ordinal);
    if (event->captured != NULL) {
        return fake_end(CU_CAPTURED_EVENT);
    }
    fake_progress();
    bool reached = event->reached >= event->recorded;
    if (!reached) {
        fake_polled();
    }
    int sticky = fake.devices[event->ordinal].sticky;
    return fake_end(sticky != 0 ? sticky : reached ? CU_SUCCESS : CU_NOT_READY);
}

int cuEventSynchronize(struct cu_event *event)
{
    BEGIN(event_synchronize, event->ordinal);
    if (!fake_wait(event_is_reached, event)) {
        fprintf(stderr, "fake CUDA: an event of GPU %d waits for what nobody will do\n",
                event->ordinal);
        abort();
    }
    return fake_end(fake.devices[event->ordinal].sticky);
}

int cuEventElapsedTime(float *milliseconds, struct cu_event *begin, struct cu_event *end)
{
    BEGIN(event_elapsed, begin->ordinal);
    if (!begin->timed || !end->timed) {
        return fake_end(CU_INVALID_HANDLE);
    }
    if (!event_is_reached(begin) || !event_is_reached(end)) {
        return fake_end(CU_NOT_READY);
    }
    *milliseconds = (float)((double)(int64_t)(end->reached_ns - begin->reached_ns) / 1e6);
    return fake_end(CU_SUCCESS);
}

// ---- copies -------------------------------------------------------------------------------------------------------

// Memory that is not pinned is read when the call is made, as the driver does by its staging; so the caller may use it again.
static void stage(struct fake_op *op, const struct cu_stream *stream)
{
    if (op->engine != FAKE_COPY_IN || op->size == 0 || stream->capture != NULL ||
        fake_is_pinned(op->from)) {
        return;
    }
    op->staged = malloc(op->size);
    if (op->staged == NULL) {
        abort();
    }
    memcpy(op->staged, (const void *)(uintptr_t)op->from, op->size);
    op->from = (uint64_t)(uintptr_t)op->staged;
}

// Queues a copy after checking both ends, as the driver does; -2: either side may be anywhere.
static int copy(struct cu_stream *stream, uint64_t to, int to_wanted, uint64_t from,
                int from_wanted, size_t size)
{
    int to_ordinal;
    int from_ordinal;
    char *bytes;
    if (!fake_resolve(to, size, &to_ordinal, &bytes) ||
        !fake_resolve(from, size, &from_ordinal, &bytes) || to == 0 || from == 0) {
        return CU_INVALID_VALUE;
    }
    if ((to_wanted == -1) != (to_ordinal == -1) && to_wanted != -2) {
        return CU_INVALID_VALUE;
    }
    if ((from_wanted == -1) != (from_ordinal == -1) && from_wanted != -2) {
        return CU_INVALID_VALUE;
    }
    if (stream == NULL) {
        return CU_INVALID_CONTEXT;
    }
    struct fake_op op = {.kind = FAKE_OP_COPY,
                         .ordinal = stream->ordinal,
                         .engine = from_ordinal < 0 ? FAKE_COPY_IN
                                   : to_ordinal < 0 ? FAKE_COPY_OUT
                                                    : FAKE_COPY_WITHIN,
                         .duration_ns = fake_copy_ns(from_ordinal, to_ordinal, size),
                         .to = to,
                         .from = from,
                         .size = size};
    stage(&op, stream);
    return fake_enqueue(stream, &op);
}

int cuMemcpyAsync(uint64_t to, uint64_t from, size_t size, struct cu_stream *stream)
{
    BEGIN(memcpy_async, fake_stream_ordinal(stream));
    return fake_end(copy(fake_stream(stream), to, -2, from, -2, size));
}

int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, struct cu_stream *stream)
{
    BEGIN(memcpy_h2d_async, fake_stream_ordinal(stream));
    return fake_end(copy(fake_stream(stream), to, 0, (uint64_t)(uintptr_t)from, -1, size));
}

int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, struct cu_stream *stream)
{
    BEGIN(memcpy_d2h_async, fake_stream_ordinal(stream));
    return fake_end(copy(fake_stream(stream), (uint64_t)(uintptr_t)to, -1, from, 0, size));
}

int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t size, struct cu_stream *stream)
{
    BEGIN(memcpy_d2d_async, fake_stream_ordinal(stream));
    return fake_end(copy(fake_stream(stream), to, 0, from, 0, size));
}

int cuMemcpyPeerAsync(uint64_t to, struct cu_context *to_context, uint64_t from,
                      struct cu_context *from_context, size_t size, struct cu_stream *stream)
{
    BEGIN(memcpy_peer_async, fake_stream_ordinal(stream));
    if (fake_region_of(to) != to_context->ordinal ||
        fake_region_of(from) != from_context->ordinal) {
        return fake_end(CU_INVALID_VALUE);
    }
    return fake_end(copy(fake_stream(stream), to, 0, from, 0, size));
}

int cuMemsetD8Async(uint64_t to, unsigned char value, size_t size, struct cu_stream *stream)
{
    BEGIN(memset_d8_async, fake_stream_ordinal(stream));
    struct cu_stream *s = fake_stream(stream);
    int ordinal;
    char *bytes;
    if (s == NULL || !fake_resolve(to, size, &ordinal, &bytes) || ordinal < 0) {
        return fake_end(s == NULL ? CU_INVALID_CONTEXT : CU_INVALID_VALUE);
    }
    struct fake_op op = {.kind = FAKE_OP_FILL,
                         .ordinal = s->ordinal,
                         .engine = FAKE_COPY_WITHIN,
                         .duration_ns = fake_copy_ns(ordinal, ordinal, size),
                         .to = to,
                         .size = size,
                         .value = value};
    return fake_end(fake_enqueue(s, &op));
}
