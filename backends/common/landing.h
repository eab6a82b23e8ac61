// SPDX-License-Identifier: Apache-2.0
// Batches that went out with an event, until it is reached: then their times are known, and reported. Nobody waits for that but a
// thread of the instance's own, which is made for the first of them and sleeps for most of a batch.
//
//   executor's thread                    stream                landing's thread
//   landing_begin  ── begin (timed) ───▶ begin
//   run, queued    ────────────────────▶ work
//   landing_end    ── done (timed) ────▶ done ───────────────▶ reports what lies between
//   answers, releases
//
// The spans between two timed events of one stream do not overlap; so the computing of an instance's batches never adds up to more
// than the time that passed. What a batch waited for those before it counts as time in the queue.
#ifndef NEREID_BACKENDS_COMMON_LANDING_H
#define NEREID_BACKENDS_COMMON_LANDING_H

#include "backends/common/backend.h"
#include "gpu/event.h"
#include "nereid/ext/core.h"

struct landing;

// A batch's work on a stream. `begin` and `done` are timed and kept for the next batch; `done` may be given to clients.
struct departure {
    struct departure *next;
    struct gpu_event *begin;
    struct gpu_event *done;
    void *handle;           // the host's (nereid_batch_depart), set by the caller ..
    uint64_t exec_start_ns; // .. as are these two: the latter is when `begin` was recorded
    uint64_t compute_start_ns;
    TRITONBACKEND_Request **requests; // room for the caller
    uint32_t capacity;
};

// For an instance on a GPU, borrowed; `land` is the host's nereid_batch_land(). Returns owned. Thread: owner, as all but what the
// landing's own thread does.
NRD_MUST_USE TRITONSERVER_Error *
landing_create(struct gpu_device *device, nereid_batch_land_fn land, struct landing **landing);
// Waits until all have landed. NULL is fine.
void landing_destroy(struct landing *landing);
// Whether a batch is still under way.
bool landing_is_busy(const struct landing *landing);

// The work of a batch begins here, `compute_start_ns` being now. `*departure` is to be given to one of the two below.
NRD_MUST_USE TRITONSERVER_Error *landing_begin(struct landing *landing, struct gpu_stream *stream,
                                               uint64_t compute_start_ns,
                                               struct departure **departure);
// The batch, whose `done` was recorded, is reported when that is reached. Takes `departure`.
void landing_depart(struct landing *landing, struct departure *departure);
// The batch does not depart. Takes `departure`.
void landing_cancel(struct landing *landing, struct departure *departure);

#endif
