// SPDX-License-Identifier: Apache-2.0
// An instance's way to and from the memory of GPUs: a stream, memory out of the host's pools, and
// copies that are queued during a batch and waited for once, at its end.
//
//   instance on a GPU        one stream there; what the framework queues into it comes in order
//                            with the copies
//   instance on the CPU      made by its batch when a request brings or wants memory of a GPU; one
//                            stream a GPU that it meets
//
// Host memory that is not pinned goes by a pinned staging area, so that a copy of it neither waits
// nor makes the stream wait. Contexts are the devices' primary ones, which frameworks use too. The
// batch functions on it are in gpu_batch.h. Thread: owner (the instance's thread) for all functions.
#ifndef NEREID_BACKENDS_COMMON_GPU_IO_H
#define NEREID_BACKENDS_COMMON_GPU_IO_H

#include "backends/common/backend.h"
#include "gpu/event.h"

enum { GPU_IO_HOST = -1 }; // in place of a GPU's number

struct gpu_io;

// `device_id`: the GPU of the instance, or GPU_IO_HOST. UNAVAILABLE without a driver, INVALID_ARG
// for a GPU that there is not. Borrows `instance`. Returns owned.
NRD_MUST_USE TRITONSERVER_Error *gpu_io_create(TRITONBACKEND_ModelInstance *instance, int device_id,
                                               struct gpu_io **io);
// The same before there is an instance.
NRD_MUST_USE TRITONSERVER_Error *gpu_io_create_for_model(TRITONBACKEND_Model *model, int device_id,
                                                         struct gpu_io **io);
// Waits for what is queued. All memory must have been given back. NULL is fine.
void gpu_io_destroy(struct gpu_io *io);

// Of an instance on a GPU. Borrowed.
int gpu_io_device_id(const struct gpu_io *io);
struct gpu_device *gpu_io_device(const struct gpu_io *io);
struct gpu_stream *gpu_io_stream(const struct gpu_io *io);

// ---- memory -----------------------------------------------------------------------------------
// Memory of the instance's GPU that grows to the largest need and is used again.
struct gpu_scratch {
    void *ptr;
    size_t capacity;
};
// Room for `size` bytes (0 is one), aligned to 256; what was there is lost. Growing waits for the
// stream. `*ptr` is borrowed from `scratch`.
NRD_MUST_USE TRITONSERVER_Error *gpu_scratch_reserve(struct gpu_io *io, struct gpu_scratch *scratch,
                                                     size_t size, void **ptr);
void gpu_scratch_fini(struct gpu_io *io, struct gpu_scratch *scratch);

// ---- copies -----------------------------------------------------------------------------------
// Where bytes lie. `gpu` is GPU_IO_HOST for host memory.
struct gpu_place {
    void *ptr;
    int gpu;
    bool pinned; // host memory that copies reach directly
};
struct gpu_place gpu_place_of(const void *ptr, TRITONSERVER_MemoryType type, int64_t id);

// Queues a copy between host and GPU, within a GPU or between two. The host memory of `from` may be
// used again at once unless it is pinned; that of `to` is written by gpu_io_end(). `tag` is the
// index of the request that the bytes are for (gpu_io_cancel).
NRD_MUST_USE TRITONSERVER_Error *gpu_io_copy(struct gpu_io *io, struct gpu_place to,
                                             struct gpu_place from, size_t size, uint32_t tag);
// Copies from a GPU to the host and waits.
NRD_MUST_USE TRITONSERVER_Error *gpu_io_read(struct gpu_io *io, void *to, struct gpu_place from,
                                             size_t size);
// Host memory that stands for `to`, which is a GPU's: what is written there until gpu_io_end() goes
// to `to` then. `*stand_in` is borrowed.
NRD_MUST_USE TRITONSERVER_Error *gpu_io_stand_in(struct gpu_io *io, struct gpu_place to,
                                                 size_t size, uint32_t tag, void **stand_in);

// Waits until the copies are done that were queued here; gpu_io_wait_all() for all that is in the
// instance's stream, a framework's work too.
NRD_MUST_USE TRITONSERVER_Error *gpu_io_wait(struct gpu_io *io);
NRD_MUST_USE TRITONSERVER_Error *gpu_io_wait_all(struct gpu_io *io);
// The end of a batch: does what was put off, and waits. Afterwards nothing of the batch is used.
NRD_MUST_USE TRITONSERVER_Error *gpu_io_end(struct gpu_io *io);
// Nothing is written any more to what was given with `tag` (GPU_IO_ALL: to anything).
#define GPU_IO_ALL UINT32_MAX
// Whether host memory is still to be read or written by what was queued since the last wait.
bool gpu_io_uses_host(const struct gpu_io *io);
// What was queued is done once `event`, of the instance's GPU, is reached; nothing is waited for.
NRD_MUST_USE TRITONSERVER_Error *gpu_io_record(struct gpu_io *io, struct gpu_event *event);
void gpu_io_cancel(struct gpu_io *io, uint32_t tag);

#endif
