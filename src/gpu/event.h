// SPDX-License-Identifier: Apache-2.0
// Events: a point in a stream's work, which other streams and the host can wait for. Counted, and kept by their device when
// the last reference goes, so that steady state creates none. Without timing, which makes recording cheap.
//
// An event that was never recorded counts as reached.
#ifndef NEREID_GPU_EVENT_H
#define NEREID_GPU_EVENT_H

#include "gpu/stream.h"

struct gpu_event;

// An event of `device`, from its idle ones. Returns owned (one reference). Thread: any.
NRD_MUST_USE struct nrd_status *gpu_event_get(struct gpu_device *device, struct gpu_event **event);
// One that can be timed; not kept when it goes. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_event_get_timed(struct gpu_device *device,
                                                    struct gpu_event **event);
struct gpu_event *gpu_event_ref(struct gpu_event *event); // shares; returns `event`. Thread: any
// Gives one reference up; the event may still be on its way: who waits for it goes on waiting. NULL is fine. Thread: any.
void gpu_event_unref(struct gpu_event *event);

// Moves the event to the end of what `stream` has to do now. The stream is one of the event's device. Thread: one at a
// time an event.
NRD_MUST_USE struct nrd_status *gpu_event_record(struct gpu_event *event,
                                                 struct gpu_stream *stream);
// Get and record in one. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_event_after(struct gpu_stream *stream,
                                                struct gpu_event **event);
// Work put into `stream` from now on waits for the event, also across devices; the host does not. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_stream_wait_event(struct gpu_stream *stream,
                                                      struct gpu_event *event);
// Whether the stream has come by. An error is the device's. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_event_query(struct gpu_event *event, bool *reached);
// Waits until then, or until `deadline_ns` of clock_now_ns() (0: none): then NRD_UNAVAILABLE "... time-out". Spins for some
// microseconds, then sleeps in steps. Thread: any but a loop.
NRD_MUST_USE struct nrd_status *gpu_event_wait(struct gpu_event *event, uint64_t deadline_ns);
// Milliseconds between two timed events that were reached. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_event_elapsed(struct gpu_event *begin, struct gpu_event *end,
                                                  double *milliseconds);

// ---- events of somebody else --------------------------------------------------------------------------------------
// A CUevent that a framework or another library made on `device`: what is above for ours, without a wrapper to allocate.
NRD_MUST_USE struct nrd_status *gpu_stream_wait_handle(struct gpu_stream *stream,
                                                       struct cu_event *handle); // Thread: any
// As gpu_event_wait(). Thread: any but a loop.
NRD_MUST_USE struct nrd_status *gpu_handle_wait(struct gpu_device *device, struct cu_event *handle,
                                                uint64_t deadline_ns);

struct gpu_device *gpu_event_device(const struct gpu_event *event); // Thread: any
struct cu_event *gpu_event_handle(const struct gpu_event *event);   // CUevent. Thread: any

#endif
