// SPDX-License-Identifier: Apache-2.0
// Memory: pools of pinned host memory and of a GPU's memory, and the buffers they give out.
//
// A buffer is a tensor_buffer; its last unref gives the bytes back to where they came from, but not before the streams that
// use them have come by: gpu_buffer_use() says "this stream uses it up to here". So who drops a buffer never waits.
//   slab pool   chunks of cuMemAlloc or cuMemHostAlloc memory, made as needed up to a limit, cut up by a suballocator
//   async pool  the driver's stream-ordered allocator, with its own threshold for keeping memory
//   direct      one allocation, freed by itself
// Managed (unified) memory is never used.
#ifndef NEREID_GPU_MEMORY_H
#define NEREID_GPU_MEMORY_H

#include "gpu/event.h"
#include "tensor/buffer.h"

// ---- slab pools ---------------------------------------------------------------------------------------------------

enum { GPU_POOL_CHUNK_BYTES = 16 << 20 };

struct gpu_pool_options {
    enum nrd_memory kind; // NRD_MEMORY_PINNED or NRD_MEMORY_GPU
    struct gpu_device *
        device; // whose memory; for pinned memory, one whose context is there anyway (all can use it), or
                // NULL: no driver, the pool has nothing
    uint64_t limit_bytes;   // 0: the pool has nothing
    uint64_t initial_bytes; // made at once; 0: at the first request
    uint64_t chunk_bytes;   // how much to add at a time; 0: GPU_POOL_CHUNK_BYTES
    int numa_node;          // pinned: take it from this node's memory; -1: any
};
struct gpu_pool_usage {
    uint64_t limit_bytes;    // nv_pinned_memory_pool_total_bytes
    uint64_t used_bytes;     // given out and not yet free again; nv_pinned_memory_pool_used_bytes
    uint64_t pending_bytes;  // of these: given back, but a stream still uses them
    uint64_t reserved_bytes; // taken from the driver
    uint64_t peak_bytes;     // most used_bytes ever
    uint64_t refused;        // requests that did not fit
};
struct gpu_pool;

// NRD_INVALID_ARG: initial_bytes is over the limit. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_pool_create(const struct gpu_pool_options *options,
                                                struct gpu_pool **pool);
// All buffers must have been given back; waits for streams that still use some. NULL is fine. Thread: owner.
void gpu_pool_destroy(struct gpu_pool *pool);
// `size` bytes (0 is one), aligned to 256, not zeroed. NRD_UNAVAILABLE when they do not fit under the limit, or when the
// driver has no more; texts name sizes. Returns owned. Thread: any; may call the driver's allocator.
NRD_MUST_USE struct nrd_status *gpu_pool_get(struct gpu_pool *pool, size_t size,
                                             struct tensor_buffer **buffer);
// The same for pinned memory, but what does not fit is pageable memory (kind NRD_MEMORY_CPU), with a warning the first
// time, as Triton does. Fails only when the heap is out. `pool` NULL is a pool that has nothing. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_pool_get_or_host(struct gpu_pool *pool, size_t size,
                                                     struct tensor_buffer **buffer);
void gpu_pool_usage(struct gpu_pool *pool, struct gpu_pool_usage *usage); // Thread: any
// Counts `size` bytes that the caller locks himself (gpu_host_lock) under a pinned pool's limit, as used and reserved, until
// gpu_pool_unclaim(). All claims together have at most half of the limit: the pool is for others too. NRD_UNAVAILABLE when there is no room.
// Thread: any; may call the driver's allocator.
NRD_MUST_USE struct nrd_status *gpu_pool_claim(struct gpu_pool *pool, uint64_t size);
void gpu_pool_unclaim(struct gpu_pool *pool, uint64_t size);
// Gives the driver back the chunks in which nothing is used. Thread: any.
void gpu_pool_trim(struct gpu_pool *pool);

// ---- stream-ordered pools -----------------------------------------------------------------------------------------

struct gpu_async_pool_options {
    struct gpu_device *device;
    uint64_t initial_bytes; // touched once, so that they are reserved
    uint64_t max_bytes;     // 0: no limit but the device's
    uint64_t
        release_threshold; // reserved bytes above this go back to the device when a stream is idle
};
struct gpu_async_pool;
// NRD_UNSUPPORTED: the device has no memory pools. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_async_pool_create(const struct gpu_async_pool_options *options,
                                                      struct gpu_async_pool **pool);
void gpu_async_pool_destroy(struct gpu_async_pool *pool); // all buffers must be back; NULL is fine
// `size` bytes that may be used by work put into `stream` from now on, and elsewhere after an event of it: the buffer is
// ready (gpu_buffer_wait) from that point on. NRD_UNAVAILABLE as above. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_async_pool_get(struct gpu_async_pool *pool,
                                                   struct gpu_stream *stream, size_t size,
                                                   struct tensor_buffer **buffer);
// limit, used, reserved, peak, refused; pending is 0. Thread: any.
void gpu_async_pool_usage(struct gpu_async_pool *pool, struct gpu_pool_usage *usage);
// Lets other devices read and write what the pool gives out. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_async_pool_allow(struct gpu_async_pool *pool,
                                                     struct gpu_device *peer);

// ---- direct -------------------------------------------------------------------------------------------------------

// One allocation of a GPU's memory; the last unref frees it, which may wait for the device. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_direct_get(struct gpu_device *device, size_t size,
                                               struct tensor_buffer **buffer);
// Locks the caller's memory for direct copies, until gpu_host_unlock(). Thread: any.
NRD_MUST_USE struct nrd_status *gpu_host_lock(struct gpu_device *device, void *data, size_t size);
void gpu_host_unlock(struct gpu_device *device, void *data);

// ---- when a buffer may be used ------------------------------------------------------------------------------------
// For buffers from above; others have no events: using is nothing, and they are always ready.

// What `stream` has queued so far uses the buffer: its bytes are not given out again before that is done. Call it after
// queuing the work, while holding a reference; not while the stream is captured. Thread: any, one at a time a buffer.
NRD_MUST_USE struct nrd_status *gpu_buffer_use(struct tensor_buffer *buffer,
                                               struct gpu_stream *stream);
// The bytes are there once `stream` has done what it has queued so far; it also counts as a use. Thread: the writer's.
NRD_MUST_USE struct nrd_status *gpu_buffer_set_ready(struct tensor_buffer *buffer,
                                                     struct gpu_stream *stream);
// Work put into `stream` from now on waits until the buffer is ready. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_buffer_wait(struct tensor_buffer *buffer,
                                                struct gpu_stream *stream);
// The host waits until then, as gpu_event_wait(). Thread: any but a loop.
NRD_MUST_USE struct nrd_status *gpu_buffer_wait_host(struct tensor_buffer *buffer,
                                                     uint64_t deadline_ns);
// The event after which the bytes may be read; NULL: now. Borrowed from the buffer. Thread: any.
struct gpu_event *gpu_buffer_ready_event(const struct tensor_buffer *buffer);

#endif
