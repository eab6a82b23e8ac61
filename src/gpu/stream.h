// SPDX-License-Identifier: Apache-2.0
// Streams: queues of work of one device, done in order. Ours never wait for the legacy default stream.
// A stream of a framework is wrapped; a few streams that many users take turns with are a pool.
#ifndef NEREID_GPU_STREAM_H
#define NEREID_GPU_STREAM_H

#include "gpu/device.h"

struct gpu_stream;

// Where a device has fewer levels, neighbours fall together.
enum gpu_priority { GPU_PRIORITY_LOW, GPU_PRIORITY_NORMAL, GPU_PRIORITY_HIGH };

// Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_stream_create(struct gpu_device *device,
                                                  enum gpu_priority priority,
                                                  struct gpu_stream **stream);
// A view of somebody else's CUstream, which it does not destroy. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_stream_wrap(struct gpu_device *device, struct cu_stream *handle,
                                                struct gpu_stream **stream);
// What is queued is still done. NULL is fine. Thread: owner.
void gpu_stream_destroy(struct gpu_stream *stream);

struct gpu_device *gpu_stream_device(const struct gpu_stream *stream); // Thread: any
struct cu_stream *gpu_stream_handle(const struct gpu_stream *stream);  // CUstream. Thread: any

// Whether everything queued so far is done. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_stream_query(struct gpu_stream *stream, bool *done);
// Waits for it, or until `deadline_ns` of clock_now_ns() (0: none): then NRD_UNAVAILABLE. Thread: any but a loop.
NRD_MUST_USE struct nrd_status *gpu_stream_sync(struct gpu_stream *stream, uint64_t deadline_ns);
// Runs `fn(arg)` in a thread of the driver when what is queued is done, and holds the stream up meanwhile. `fn` must not
// call the driver or block. When the device is lost before, it may never run: watch the device too. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_stream_call_host(struct gpu_stream *stream, void (*fn)(void *),
                                                     void *arg);
// Bytes to one value, in order. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_stream_fill(struct gpu_stream *stream, void *data,
                                                uint8_t value, size_t size);

// ---- pool ---------------------------------------------------------------------------------------------------------
// At most `max` streams (0: no limit) of one device and priority; `reserved` are made at once.
struct gpu_stream_pool;
// Returns owned. NRD_INVALID_ARG when `reserved` is over `max`. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_stream_pool_create(struct gpu_device *device,
                                                       enum gpu_priority priority,
                                                       unsigned reserved, unsigned max,
                                                       struct gpu_stream_pool **pool);
void gpu_stream_pool_destroy(
    struct gpu_stream_pool *pool); // all streams must be back; NULL is fine
// An idle stream or a new one; NRD_UNAVAILABLE when `max` are out. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_stream_pool_get(struct gpu_stream_pool *pool,
                                                    struct gpu_stream **stream);
// Takes it back; work may still be queued. Thread: any.
void gpu_stream_pool_put(struct gpu_stream_pool *pool, struct gpu_stream *stream);

#endif
