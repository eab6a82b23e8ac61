// SPDX-License-Identifier: Apache-2.0
// Streams, staging and copies of an instance. See gpu_io.h.
//
// A copy to pageable memory would hold the calling thread up until the stream has come by; so it
// goes to staging memory, and from there by hand once the stream is done. Large copies from pageable
// memory are staged too, in pieces, so that one is on its way while the next is being copied.
#include "backends/common/gpu_io.h"

#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gpu/copy.h"
#include "gpu/event.h"

enum {
    STAGE_BYTES = 1 << 20,   // the least that is taken for staging
    PIECE_BYTES = 512 << 10, // of a copy from pageable memory
    SMALL_BYTES = 16 << 10,  // up to here the driver's own staging is as good
    STAGE_BATCHES = 256,     // after so many batches staging shrinks to four times what they used
};

// Staging memory: blocks filled from the front; all are empty after a batch.
struct stage {
    char *ptr;
    size_t size;
    size_t used;
    bool pinned; // from the host's pool; else the heap's
};

// A copy of bytes that waits for the end of the batch.
struct later {
    struct gpu_place to;
    void *from; // staging
    size_t size;
    uint32_t tag;
};

struct gpu_io {
    TRITONBACKEND_MemoryManager *manager;
    struct gpu_system *system;
    struct gpu_device *device; // of the instance; NULL on the CPU
    int device_id;
    struct gpu_stream **streams; // by GPU
    bool *busy;                  // something was queued there since the last wait
    bool uses_host;              // among it copies from or to host memory that must stay
    struct stage *stages;
    uint32_t stage_count;
    uint32_t stage_batches; // since staging was last looked at
    size_t stage_peak;      // the most that one of them used
    bool no_pinned;         // the host has none, which it said once
    struct later *laters;
    uint32_t later_count;
    uint32_t later_capacity;
    uint64_t usual_wait_ns; // of the last waits, the shorter ones
};

static void drop(TRITONSERVER_Error *error)
{
    if (error != NULL) {
        TRITONSERVER_ErrorDelete(error);
    }
}

// ---- streams ----

static TRITONSERVER_Error *stream_of(struct gpu_io *io, int gpu, struct gpu_stream **stream)
{
    struct gpu_device *device = gpu_system_device(io->system, gpu);
    if (device == NULL) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG, "there is no GPU %d", gpu);
    }
    if (io->streams[gpu] == NULL) {
        BACKEND_TRY(
            backend_error(gpu_stream_create(device, GPU_PRIORITY_NORMAL, &io->streams[gpu])));
    }
    *stream = io->streams[gpu];
    return NULL;
}

static TRITONSERVER_Error *open_device(struct gpu_io *io)
{
    struct gpu_stream *stream = NULL;
    BACKEND_TRY(stream_of(io, io->device_id, &stream));
    io->device = gpu_system_device(io->system, io->device_id);
    return NULL;
}

TRITONSERVER_Error *gpu_io_create(TRITONBACKEND_ModelInstance *instance, int device_id,
                                  struct gpu_io **io)
{
    TRITONBACKEND_Model *model = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceModel(instance, &model));
    return gpu_io_create_for_model(model, device_id, io);
}

TRITONSERVER_Error *gpu_io_create_for_model(TRITONBACKEND_Model *model, int device_id,
                                            struct gpu_io **io)
{
    TRITONBACKEND_Backend *backend = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelBackend(model, &backend));
    struct gpu_io *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return backend_no_memory();
    }
    made->device_id = device_id;
    TRITONSERVER_Error *error = TRITONBACKEND_BackendMemoryManager(backend, &made->manager);
    if (error == NULL) {
        error = backend_error(gpu_system_open(&made->system));
    }
    if (error == NULL) {
        size_t count = (size_t)gpu_system_count(made->system);
        made->streams = mem_calloc(count, sizeof(struct gpu_stream *));
        made->busy = mem_calloc(count, sizeof(*made->busy));
        error = made->streams == NULL || made->busy == NULL ? backend_no_memory() : NULL;
    }
    if (error == NULL && device_id != GPU_IO_HOST) {
        error = open_device(made);
    }
    if (error != NULL) {
        gpu_io_destroy(made);
        return error;
    }
    *io = made;
    return NULL;
}

static void free_stage(struct gpu_io *io, struct stage *stage)
{
    if (stage->pinned) {
        backend_log_error(TRITONBACKEND_MemoryManagerFree(io->manager, stage->ptr,
                                                          TRITONSERVER_MEMORY_CPU_PINNED, 0),
                          "failed to free pinned memory");
    } else {
        mem_free(stage->ptr);
    }
}

static void free_stages(struct gpu_io *io)
{
    for (uint32_t i = 0; i < io->stage_count; i++) {
        free_stage(io, &io->stages[i]);
    }
    io->stage_count = 0;
}

void gpu_io_destroy(struct gpu_io *io)
{
    if (io == NULL) {
        return;
    }
    int count = io->streams == NULL ? 0 : gpu_system_count(io->system);
    if (count > 0 && io->busy != NULL) {
        backend_log_error(gpu_io_wait(io), "failed to wait for a stream");
    }
    for (int i = 0; i < count; i++) {
        gpu_stream_destroy(io->streams[i]);
    }
    free_stages(io);
    gpu_system_close(io->system);
    mem_free(io->streams);
    mem_free(io->busy);
    mem_free(io->stages);
    mem_free(io->laters);
    mem_free(io);
}

int gpu_io_device_id(const struct gpu_io *io)
{
    return io->device_id;
}

struct gpu_device *gpu_io_device(const struct gpu_io *io)
{
    return io->device;
}

struct gpu_stream *gpu_io_stream(const struct gpu_io *io)
{
    return io->device_id == GPU_IO_HOST ? NULL : io->streams[io->device_id];
}

// ---- memory ----

void gpu_scratch_fini(struct gpu_io *io, struct gpu_scratch *scratch)
{
    if (scratch->ptr != NULL) {
        backend_log_error(TRITONBACKEND_MemoryManagerFree(io->manager, scratch->ptr,
                                                          TRITONSERVER_MEMORY_GPU, io->device_id),
                          "failed to free memory of a GPU");
    }
    *scratch = (struct gpu_scratch){0};
}

TRITONSERVER_Error *gpu_scratch_reserve(struct gpu_io *io, struct gpu_scratch *scratch, size_t size,
                                        void **ptr)
{
    if (size > scratch->capacity || scratch->ptr == NULL) {
        size_t room = size == 0 ? 1 : size;
        if (scratch->ptr != NULL) {
            BACKEND_TRY(gpu_io_wait_all(io));
        }
        gpu_scratch_fini(io, scratch);
        BACKEND_TRY(TRITONBACKEND_MemoryManagerAllocate(
            io->manager, &scratch->ptr, TRITONSERVER_MEMORY_GPU, io->device_id, room));
        scratch->capacity = room;
    }
    *ptr = scratch->ptr;
    return NULL;
}

// A new staging block of at least `size` bytes: pinned, or of the heap where that cannot be.
static TRITONSERVER_Error *add_stage(struct gpu_io *io, size_t size)
{
    struct stage *stages =
        mem_realloc(io->stages, ((size_t)io->stage_count + 1) * sizeof(*io->stages));
    if (stages == NULL) {
        return backend_no_memory();
    }
    io->stages = stages;
    struct stage made = {.size = size < STAGE_BYTES ? STAGE_BYTES : size};
    if (!io->no_pinned) {
        void *ptr = NULL;
        TRITONSERVER_Error *error = TRITONBACKEND_MemoryManagerAllocate(
            io->manager, &ptr, TRITONSERVER_MEMORY_CPU_PINNED, 0, made.size);
        io->no_pinned =
            error != NULL && TRITONSERVER_ErrorCode(error) == TRITONSERVER_ERROR_UNSUPPORTED;
        made.pinned = error == NULL;
        made.ptr = error == NULL ? ptr : NULL;
        drop(error);
    }
    if (!made.pinned) {
        made.ptr = mem_aligned(64, made.size);
    }
    if (made.ptr == NULL) {
        return backend_no_memory();
    }
    io->stages[io->stage_count++] = made;
    return NULL;
}

static TRITONSERVER_Error *take_stage(struct gpu_io *io, size_t size, struct gpu_place *place)
{
    size_t room = (size + 63) & ~(size_t)63;
    struct stage *last = io->stage_count == 0 ? NULL : &io->stages[io->stage_count - 1];
    if (last == NULL || last->size - last->used < room) {
        BACKEND_TRY(add_stage(io, room));
        last = &io->stages[io->stage_count - 1];
    }
    *place = (struct gpu_place){last->ptr + last->used, GPU_IO_HOST, last->pinned};
    last->used += room;
    return NULL;
}

// Whether the last batches had far less to stage than there is room for: what was large comes pinned by now, say.
static bool is_oversized(struct gpu_io *io, size_t total, size_t used)
{
    io->stage_peak = used > io->stage_peak ? used : io->stage_peak;
    if (++io->stage_batches < STAGE_BATCHES) {
        return false;
    }
    bool oversized = total > STAGE_BYTES && total / 4 > io->stage_peak;
    io->stage_batches = 0;
    io->stage_peak = 0;
    return oversized;
}

// All staging is free again. Several blocks become one that has room for all at the next need.
static void reset_stages(struct gpu_io *io)
{
    size_t total = 0;
    size_t used = 0;
    for (uint32_t i = 0; i < io->stage_count; i++) {
        total += io->stages[i].size;
        used += io->stages[i].used;
        io->stages[i].used = 0;
    }
    if (is_oversized(io, total, used)) {
        free_stages(io); // the next need makes what it takes
    } else if (io->stage_count > 1) {
        free_stages(io);
        drop(add_stage(io, total)); // if there is no memory, a batch will say so
    }
}

// ---- copies ----

struct gpu_place gpu_place_of(const void *ptr, TRITONSERVER_MemoryType type, int64_t id)
{
    struct gpu_place place = {
        .gpu = type == TRITONSERVER_MEMORY_GPU ? (int)id : GPU_IO_HOST,
        .pinned = type == TRITONSERVER_MEMORY_CPU_PINNED,
    };
    memcpy(&place.ptr, &ptr, sizeof(ptr)); // one type for what is read and what is written
    return place;
}

// Which stream copies between the two: the instance's, if it has one.
static int stream_for(const struct gpu_io *io, struct gpu_place to, struct gpu_place from)
{
    if (io->device_id != GPU_IO_HOST) {
        return io->device_id;
    }
    return to.gpu != GPU_IO_HOST ? to.gpu : from.gpu;
}

static TRITONSERVER_Error *find_device(const struct gpu_io *io, int gpu, struct gpu_device **device)
{
    *device = gpu == GPU_IO_HOST ? NULL : gpu_system_device(io->system, gpu);
    return gpu != GPU_IO_HOST && *device == NULL
               ? backend_error_new(TRITONSERVER_ERROR_INVALID_ARG, "there is no GPU %d", gpu)
               : NULL;
}

// Lets copies between two GPUs go directly where they can; elsewhere the driver takes the host's way.
static TRITONSERVER_Error *join_peers(struct gpu_device *a, struct gpu_device *b)
{
    if (gpu_device_can_access(a, b)) {
        BACKEND_TRY(backend_error(gpu_device_enable_peer(a, b)));
    }
    return gpu_device_can_access(b, a) ? backend_error(gpu_device_enable_peer(b, a)) : NULL;
}

static TRITONSERVER_Error *queue_copy(struct gpu_io *io, struct gpu_place to, struct gpu_place from,
                                      size_t size)
{
    int gpu = stream_for(io, to, from);
    struct gpu_stream *stream = NULL;
    struct gpu_device *to_device = NULL;
    struct gpu_device *from_device = NULL;
    BACKEND_TRY(stream_of(io, gpu, &stream));
    BACKEND_TRY(find_device(io, to.gpu, &to_device));
    BACKEND_TRY(find_device(io, from.gpu, &from_device));
    if (to_device != NULL && from_device != NULL && to_device != from_device) {
        BACKEND_TRY(join_peers(to_device, from_device));
    }
    io->busy[gpu] = true;
    // What comes from pageable memory has been read when the call returns.
    io->uses_host = io->uses_host || to.gpu == GPU_IO_HOST || from.pinned;
    return backend_error(gpu_copy(stream, to.ptr, to_device, from.ptr, from_device, size));
}

static TRITONSERVER_Error *put_off(struct gpu_io *io, struct gpu_place to, void *from, size_t size,
                                   uint32_t tag)
{
    if (io->later_count == io->later_capacity) {
        uint32_t more = io->later_capacity == 0 ? 16 : 2 * io->later_capacity;
        struct later *laters = mem_realloc(io->laters, more * sizeof(*laters));
        if (laters == NULL) {
            return backend_no_memory();
        }
        io->laters = laters;
        io->later_capacity = more;
    }
    io->laters[io->later_count++] = (struct later){to, from, size, tag};
    return NULL;
}

// From pageable memory, in pieces.
static TRITONSERVER_Error *upload(struct gpu_io *io, struct gpu_place to, struct gpu_place from,
                                  size_t size)
{
    struct gpu_place stage = {0};
    BACKEND_TRY(take_stage(io, size, &stage));
    if (!stage.pinned) {
        return queue_copy(io, to, from, size); // nothing is gained by a copy to the heap
    }
    for (size_t at = 0; at < size; at += PIECE_BYTES) {
        size_t piece = size - at < PIECE_BYTES ? size - at : PIECE_BYTES;
        memcpy((char *)stage.ptr + at, (char *)from.ptr + at, piece);
        BACKEND_TRY(queue_copy(io, (struct gpu_place){(char *)to.ptr + at, to.gpu, false},
                               (struct gpu_place){(char *)stage.ptr + at, GPU_IO_HOST, true},
                               piece));
    }
    return NULL;
}

TRITONSERVER_Error *gpu_io_copy(struct gpu_io *io, struct gpu_place to, struct gpu_place from,
                                size_t size, uint32_t tag)
{
    if (size == 0) {
        return NULL;
    }
    if (to.gpu == GPU_IO_HOST && from.gpu == GPU_IO_HOST) {
        memcpy(to.ptr, from.ptr, size);
        return NULL;
    }
    if (from.gpu == GPU_IO_HOST && !from.pinned && size > SMALL_BYTES) {
        return upload(io, to, from, size);
    }
    if (to.gpu == GPU_IO_HOST && !to.pinned) {
        struct gpu_place stage = {0};
        BACKEND_TRY(take_stage(io, size, &stage));
        BACKEND_TRY(queue_copy(io, stage, from, size));
        return put_off(io, to, stage.ptr, size, tag);
    }
    return queue_copy(io, to, from, size);
}

TRITONSERVER_Error *gpu_io_read(struct gpu_io *io, void *to, struct gpu_place from, size_t size)
{
    if (size == 0) {
        return NULL;
    }
    BACKEND_TRY(queue_copy(io, (struct gpu_place){to, GPU_IO_HOST, false}, from, size));
    return gpu_io_wait(io);
}

TRITONSERVER_Error *gpu_io_stand_in(struct gpu_io *io, struct gpu_place to, size_t size,
                                    uint32_t tag, void **stand_in)
{
    struct gpu_place stage = {0};
    BACKEND_TRY(take_stage(io, size, &stage));
    BACKEND_TRY(put_off(io, to, stage.ptr, size, tag));
    *stand_in = stage.ptr;
    return NULL;
}

// ---- waiting ----

// Asks again and again: the driver's own waits have no end where a device is lost. An instance's
// batches resemble each other, so the thread sleeps for most of the usual time and is awake when
// the work is done; the GPU would stand idle while it wakes up.
static TRITONSERVER_Error *wait_for(struct gpu_io *io, struct gpu_stream *stream)
{
    enum { AWAKE_NS = 100000, PAUSE_NS = 50000 };
    uint64_t begin = clock_now_ns();
    bool done = false;
    BACKEND_TRY(backend_error(gpu_stream_query(stream, &done)));
    if (done) {
        return NULL;
    }
    uint64_t usual = io->usual_wait_ns;
    if (usual > 2 * AWAKE_NS) {
        struct timespec nap = {.tv_nsec = (long)((usual - AWAKE_NS) / 10 * 9 % 1000000000)};
        nanosleep(&nap, NULL);
    }
    for (;;) {
        BACKEND_TRY(backend_error(gpu_stream_query(stream, &done)));
        uint64_t waited = clock_now_ns() - begin;
        if (done) {
            // Shorter ones count at once, longer ones by and by: to come late costs more.
            io->usual_wait_ns = waited < usual ? waited : usual + (waited - usual) / 8;
            return NULL;
        }
        if (waited > 2 * (usual + AWAKE_NS)) {
            struct timespec nap = {.tv_nsec = PAUSE_NS};
            nanosleep(&nap, NULL);
        }
    }
}

TRITONSERVER_Error *gpu_io_wait(struct gpu_io *io)
{
    TRITONSERVER_Error *error = NULL;
    io->uses_host = false;
    for (int i = 0; i < gpu_system_count(io->system); i++) {
        if (!io->busy[i]) {
            continue;
        }
        io->busy[i] = false;
        TRITONSERVER_Error *one = wait_for(io, io->streams[i]);
        if (error == NULL) {
            error = one;
        } else {
            drop(one);
        }
    }
    return error;
}

TRITONSERVER_Error *gpu_io_wait_all(struct gpu_io *io)
{
    if (io->device_id != GPU_IO_HOST) {
        io->busy[io->device_id] = true; // what a framework has queued is not seen here
    }
    return gpu_io_wait(io);
}

// Queues what goes up; what comes down has arrived only after the wait.
static TRITONSERVER_Error *send_up(struct gpu_io *io)
{
    for (uint32_t i = 0; i < io->later_count; i++) {
        const struct later *l = &io->laters[i];
        if (l->to.gpu != GPU_IO_HOST) {
            BACKEND_TRY(
                queue_copy(io, l->to, (struct gpu_place){l->from, GPU_IO_HOST, true}, l->size));
        }
    }
    return NULL;
}

TRITONSERVER_Error *gpu_io_end(struct gpu_io *io)
{
    TRITONSERVER_Error *error = send_up(io);
    TRITONSERVER_Error *waited = gpu_io_wait_all(io);
    if (error == NULL) {
        error = waited;
    } else {
        drop(waited);
    }
    for (uint32_t i = 0; error == NULL && i < io->later_count; i++) {
        const struct later *l = &io->laters[i];
        if (l->to.gpu == GPU_IO_HOST) {
            memcpy(l->to.ptr, l->from, l->size);
        }
    }
    io->later_count = 0;
    reset_stages(io);
    return error;
}

bool gpu_io_uses_host(const struct gpu_io *io)
{
    bool staged = io->stage_count > 1 || (io->stage_count == 1 && io->stages[0].used > 0);
    return io->uses_host || io->later_count > 0 || staged;
}

TRITONSERVER_Error *gpu_io_record(struct gpu_io *io, struct gpu_event *event)
{
    io->busy[io->device_id] = true;
    return backend_error(gpu_event_record(event, gpu_io_stream(io)));
}

void gpu_io_cancel(struct gpu_io *io, uint32_t tag)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < io->later_count; i++) {
        if (tag != GPU_IO_ALL && io->laters[i].tag != tag) {
            io->laters[kept++] = io->laters[i];
        }
    }
    io->later_count = kept;
    backend_log_error(gpu_io_wait_all(io), "failed to wait for the copies of a failed request");
}
