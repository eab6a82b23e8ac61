// SPDX-License-Identifier: Apache-2.0
// Streams of operators: see streams.h for the picture.
//
// Which tensors get an event when they are sent: those that the operator allocated and has not sent yet, and those that nobody
// else holds, since only these can have been written. A tensor that was received and is passed on as it came keeps the
// event it has. Memory of nrd_tensor_wrap() has no place for uses: whoever wrapped it waits for its own streams.
#include "graph/streams.h"

#include "base/mem.h"
#include "gpu/memory.h"
#include "graph/devices.h"
#include "graph/resources/cuda_stream_pool.h"
#include "graph/resources/lender.h"

enum { DEVICES_MAX = 64 };

// Memory that a stream waited for, or that was allocated: what the stream has to do by the end of the compute uses it.
struct stream_use {
    struct gpu_stream *stream; // NULL: the one on `device`, if there is one then
    int32_t device;
    struct tensor_buffer *inner; // a reference
    struct lender *lender;       // a reference: its lock is for the uses of its memory
};
struct operator_streams {
    struct devices *devices;                           // shared
    _Atomic(struct gpu_stream *) streams[DEVICES_MAX]; // set once, by the operator's thread
    struct nrd_resource *pools[DEVICES_MAX];           // where it goes back to; NULL: nowhere
    struct gpu_stream *captured;                       // borrowed; NULL: nothing is captured
    pthread_mutex_t lock;                              // of the uses: any thread may allocate
    struct stream_use *uses;
    size_t use_count, use_capacity;
};

// ---- making streams ------------------------------------------------------------------------------------------------

static bool is_pool_of(const struct nrd_resource *r, int32_t device)
{
    return r != NULL && strcmp(r->class->kind, "cuda_stream_pool") == 0 &&
           cuda_stream_pool_device(r) == device;
}

// The pool that the operator names by a parameter, else the fragment's, else any of the fragment's resources that is one of
// that GPU; NULL: none.
static struct nrd_resource *find_pool(const struct nrd_operator *op, int32_t device)
{
    const struct nrd_param *p = op->class->params;
    for (; p != NULL && p->name != NULL; p++) {
        if (p->type == NRD_PARAM_RESOURCE) {
            struct nrd_resource *r;
            memcpy(&r, (const char *)op->state + p->offset, sizeof(r));
            if (is_pool_of(r, device)) {
                return r;
            }
        }
    }
    const struct nrd_fragment *f = op->fragment;
    if (is_pool_of(f->stream_pool, device)) {
        return f->stream_pool;
    }
    for (uint32_t i = 0; i < f->resources.count; i++) {
        if (is_pool_of(f->resources.items[i], device)) {
            return f->resources.items[i];
        }
    }
    return NULL;
}

static struct nrd_status *make_stream(struct nrd_operator *op, struct operator_streams *s,
                                      int32_t device, struct gpu_stream **stream)
{
    struct nrd_resource *pool = find_pool(op, device);
    if (pool != NULL) {
        NRD_TRY(cuda_stream_pool_get(pool, stream));
    } else {
        struct gpu_device *gpu = NULL;
        NRD_TRY(devices_get(s->devices, device, &gpu));
        NRD_TRY(gpu_stream_create(gpu, GPU_PRIORITY_NORMAL, stream));
    }
    s->pools[device] = pool;
    atomic_store_explicit(&s->streams[device], *stream, memory_order_release);
    return NULL;
}

static void streams_free(struct operator_streams *s)
{
    devices_unref(s->devices);
    pthread_mutex_destroy(&s->lock);
    mem_free(s->uses);
    mem_free(s);
}

static struct nrd_status *streams_of(struct nrd_operator *op, struct operator_streams **streams)
{
    void *seen = __atomic_load_n(&op->streams, __ATOMIC_ACQUIRE);
    if (seen == NULL) {
        struct devices *devices = app_devices(op->fragment->app);
        struct operator_streams *s = mem_calloc(1, sizeof(*s));
        if (s == NULL || devices == NULL) {
            mem_free(s);
            return status_no_memory();
        }
        s->devices = devices_ref(devices);
        pthread_mutex_init(&s->lock, NULL);
        if (__atomic_compare_exchange_n(&op->streams, &seen, s, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
            seen = s;
        } else {
            streams_free(s); // another thread was first
        }
    }
    *streams = seen;
    return NULL;
}

struct nrd_status *streams_get(struct nrd_operator *op, int32_t device, struct gpu_stream **stream)
{
    struct operator_streams *s;
    NRD_TRY(streams_of(op, &s));
    if (device < 0 || device >= DEVICES_MAX) {
        struct gpu_device *none;
        return devices_get(s->devices, device < 0 ? device : INT32_MAX, &none);
    }
    *stream = atomic_load_explicit(&s->streams[device], memory_order_acquire);
    return *stream != NULL ? NULL : make_stream(op, s, device, stream);
}

struct nrd_status *nrd_compute_stream(struct nrd_compute *ctx, int32_t device, void **stream)
{
    struct gpu_stream *found = NULL;
    NRD_TRY(streams_get(ctx->op, device, &found));
    *stream = gpu_stream_handle(found);
    return NULL;
}

void streams_destroy(struct nrd_operator *op)
{
    struct operator_streams *s = op->streams;
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->use_count; i++) {
        buffer_unref(s->uses[i].inner);
        lender_unref(s->uses[i].lender);
    }
    for (int i = 0; i < DEVICES_MAX; i++) {
        struct gpu_stream *stream = atomic_load_explicit(&s->streams[i], memory_order_relaxed);
        if (stream != NULL && stream == s->captured) {
            continue;
        }
        if (stream != NULL && s->pools[i] != NULL) {
            cuda_stream_pool_put(s->pools[i], stream);
        } else {
            gpu_stream_destroy(stream);
        }
    }
    streams_free(s);
    op->streams = NULL;
}

struct nrd_status *streams_capture(struct nrd_operator *op, int32_t device,
                                   struct gpu_stream *stream)
{
    struct operator_streams *s;
    streams_destroy(op); // those of a run before
    NRD_TRY(streams_of(op, &s));
    s->captured = stream;
    atomic_store_explicit(&s->streams[device], stream, memory_order_release);
    return NULL;
}

// ---- events of tensors ---------------------------------------------------------------------------------------------

struct tensor_buffer *tensor_gpu_buffer(const struct nrd_tensor *tensor)
{
    struct lease *lease = lease_of(tensor);
    return lease == NULL ? NULL : lease->inner;
}

// The event of memory that was wrapped.
static struct gpu_event *wrapped_event(const struct nrd_tensor *tensor)
{
    return tensor->event == NULL ? NULL : ((const struct tensor_box *)tensor)->release_event_arg;
}

struct nrd_status *tensor_is_ready(const struct nrd_tensor *tensor, bool *ready)
{
    struct tensor_buffer *inner = tensor_gpu_buffer(tensor);
    struct gpu_event *event = inner != NULL ? gpu_buffer_ready_event(inner) : wrapped_event(tensor);
    *ready = true;
    return event == NULL ? NULL : gpu_event_query(event, ready);
}

struct nrd_status *tensor_wait_on(const struct nrd_tensor *tensor, struct gpu_stream *stream)
{
    struct tensor_buffer *inner = tensor_gpu_buffer(tensor);
    if (inner != NULL) {
        return gpu_buffer_wait(inner, stream);
    }
    struct gpu_event *event = wrapped_event(tensor);
    return event == NULL ? NULL : gpu_stream_wait_event(stream, event);
}

struct nrd_status *nrd_tensor_synchronize(const struct nrd_tensor *tensor)
{
    if (tensor->memory != NRD_MEMORY_GPU) {
        return NULL;
    }
    struct tensor_buffer *inner = tensor_gpu_buffer(tensor);
    if (inner != NULL) {
        return gpu_buffer_wait_host(inner, 0);
    }
    struct gpu_event *event = wrapped_event(tensor);
    return event == NULL ? NULL : gpu_event_wait(event, 0);
}

// ---- waiting and using ---------------------------------------------------------------------------------------------

static struct gpu_stream *find_stream(const struct operator_streams *s, const void *handle)
{
    for (int i = 0; s != NULL && i < DEVICES_MAX; i++) {
        struct gpu_stream *stream = atomic_load_explicit(&s->streams[i], memory_order_relaxed);
        if (stream != NULL && gpu_stream_handle(stream) == handle) {
            return stream;
        }
    }
    return NULL;
}

// Remembers until the end of this compute that the memory is used.
static struct nrd_status *note_use(struct operator_streams *s, struct gpu_stream *stream,
                                   int32_t device, const struct lease *lease)
{
    struct nrd_status *status = NULL;
    pthread_mutex_lock(&s->lock);
    if (s->use_count == s->use_capacity) {
        size_t capacity = s->use_capacity == 0 ? 16 : s->use_capacity * 2;
        struct stream_use *uses = mem_realloc(s->uses, capacity * sizeof(*uses));
        if (uses == NULL) {
            status = status_no_memory();
        } else {
            s->uses = uses;
            s->use_capacity = capacity;
        }
    }
    if (status == NULL) {
        lender_ref(lease->lender);
        s->uses[s->use_count++] = (struct stream_use){.stream = stream,
                                                      .device = device,
                                                      .inner = buffer_ref(lease->inner),
                                                      .lender = lease->lender};
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

struct nrd_status *nrd_stream_wait_tensor(struct nrd_compute *ctx, void *stream,
                                          const struct nrd_tensor *tensor)
{
    if (tensor->memory != NRD_MEMORY_GPU) {
        return NULL;
    }
    struct operator_streams *s = __atomic_load_n(&ctx->op->streams, __ATOMIC_ACQUIRE);
    struct gpu_stream *found = find_stream(s, stream);
    if (found == NULL) {
        return status_new(NRD_INVALID_ARG,
                          "the stream to wait is none that nrd_compute_stream() gave to '%s'",
                          ctx->op->name);
    }
    const struct lease *lease = lease_of(tensor);
    if (lease != NULL && lease->inner != NULL) {
        NRD_TRY(note_use(s, found, tensor->device, lease));
    }
    // Within a capture order is that of the stream.
    return found == s->captured ? NULL : tensor_wait_on(tensor, found);
}

struct nrd_status *streams_adopt(struct nrd_operator *op, struct nrd_tensor *tensor)
{
    struct lease *lease = lease_of(tensor);
    if (tensor->device < 0 || tensor->device >= DEVICES_MAX) {
        return NULL;
    }
    struct operator_streams *s;
    NRD_TRY(streams_of(op, &s));
    NRD_TRY(note_use(s, NULL, tensor->device, lease));
    lease->writer = op;
    // Most memory is there at once; what a stream-ordered pool gives out is there in the order of its stream.
    if (gpu_buffer_ready_event(lease->inner) == NULL) {
        return NULL;
    }
    struct gpu_stream *stream =
        atomic_load_explicit(&s->streams[tensor->device], memory_order_acquire);
    return stream == NULL || stream == s->captured ? gpu_buffer_wait_host(lease->inner, 0)
                                                   : gpu_buffer_wait(lease->inner, stream);
}

// ---- the end of a compute ------------------------------------------------------------------------------------------

static void keep_first(struct nrd_status **first, struct nrd_status *status)
{
    if (*first == NULL) {
        *first = status;
    } else {
        status_free(status);
    }
}

static struct nrd_status *end_uses(struct operator_streams *s)
{
    struct nrd_status *first = NULL;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->use_count; i++) {
        struct stream_use *use = &s->uses[i];
        struct gpu_stream *stream =
            use->stream != NULL
                ? use->stream
                : atomic_load_explicit(&s->streams[use->device], memory_order_relaxed);
        if (stream != NULL) {
            pthread_mutex_lock(&use->lender->lock);
            keep_first(&first, gpu_buffer_use(use->inner, stream));
            pthread_mutex_unlock(&use->lender->lock);
        }
        buffer_unref(use->inner);
        lender_tell(use->lender);
        lender_unref(use->lender);
    }
    s->use_count = 0;
    pthread_mutex_unlock(&s->lock);
    return first;
}

static void release_event(void *event, void *arg)
{
    (void)event;
    gpu_event_unref(arg);
}

static struct nrd_status *mark_wrapped(struct nrd_tensor *tensor, struct gpu_stream *stream)
{
    struct tensor_box *box = (struct tensor_box *)tensor;
    struct gpu_event *event = NULL;
    NRD_TRY(gpu_event_after(stream, &event));
    gpu_event_unref(wrapped_event(tensor));
    tensor->event = gpu_event_handle(event);
    box->release_event = release_event;
    box->release_event_arg = event;
    return NULL;
}

static struct nrd_status *mark_tensor(const struct nrd_operator *op, struct nrd_tensor *tensor)
{
    const struct operator_streams *s = __atomic_load_n(&op->streams, __ATOMIC_ACQUIRE);
    if (tensor->memory != NRD_MEMORY_GPU || tensor->device < 0 || tensor->device >= DEVICES_MAX) {
        return NULL;
    }
    struct gpu_stream *stream =
        atomic_load_explicit(&s->streams[tensor->device], memory_order_relaxed);
    struct lease *lease = lease_of(tensor);
    bool fresh = lease != NULL && lease->writer == op;
    if (stream == NULL || (!fresh && !nrd_tensor_is_writable(tensor))) {
        return NULL;
    }
    if (lease == NULL) {
        return mark_wrapped(tensor, stream);
    }
    lease->writer = NULL;
    pthread_mutex_lock(&lease->lender->lock);
    struct nrd_status *status = gpu_buffer_set_ready(lease->inner, stream);
    pthread_mutex_unlock(&lease->lender->lock);
    if (status == NULL) {
        tensor->event = gpu_event_handle(gpu_buffer_ready_event(lease->inner));
    }
    return status;
}

static struct nrd_status *mark_staged(const struct nrd_compute *ctx)
{
    struct nrd_status *first = NULL;
    for (uint32_t o = 0; o < ctx->output_count; o++) {
        const struct plan_output *out = &ctx->outputs[o];
        for (uint32_t i = 0; i < out->staged_count; i++) {
            const struct nrd_message *m = out->staged[(out->staged_first + i) % out->capacity];
            for (size_t t = 0; t < m->tensor_count; t++) {
                keep_first(&first, mark_tensor(ctx->op, nrd_message_tensor_at(m, t, NULL)));
            }
        }
    }
    return first;
}

struct nrd_status *streams_end(struct nrd_compute *ctx, bool sends)
{
    struct operator_streams *s = __atomic_load_n(&ctx->op->streams, __ATOMIC_ACQUIRE);
    if (s->captured != NULL) {
        return NULL;
    }
    struct nrd_status *first = sends ? mark_staged(ctx) : NULL;
    keep_first(&first, end_uses(s));
    return first;
}
