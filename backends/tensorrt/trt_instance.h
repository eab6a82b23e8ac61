// SPDX-License-Identifier: Apache-2.0
// An instance from inside. Slots take turns: while the batch of one computes, the next one's inputs
// travel to another's memory, so that the GPU goes from one to the next without a gap.
//
//   executor's thread             slot's stream            compute stream         instance's thread
//   gather inputs       ───────▶  copies ── ready ───────▶ waits
//   enqueue the plan    ───────────────────────────────▶  begin ─ plan ─ done
//   scatter outputs     ───────▶  waits for done ◀──────────────────┘
//   put into the queue  ─────────────────────────────────────────────────────────▶ waits for the slot's
//   return when another may come                                                  stream, sends answers
//
// Another may come when fewer than two batches (three, if they are short) are still on the GPU and a
// slot is free: so a batch is cut as late as it can be without the GPU standing idle.
// Contexts, memory and graphs are the executor's; a queued slot is the instance's thread's until it is
// free again, which the mutex hands over.
#ifndef NEREID_BACKENDS_TENSORRT_TRT_INSTANCE_H
#define NEREID_BACKENDS_TENSORRT_TRT_INSTANCE_H

#include "backends/common/gpu_batch.h"
#include "backends/tensorrt/trt_profile.h"
#include "base/thread.h"
#include "gpu/event.h"
#include "gpu/graph_capture.h"
#include "gpu/memory.h"

enum { TRT_SLOTS = 3, TRT_ALIGNMENT = 256 };
// Below this a plan is short: its thread may be later than its end.
enum { TRT_SHORT_NS = 1000000 };

// A tensor of a slot: its memory, which only grows, and where this batch has it.
struct trt_memory {
    struct tensor_buffer *gpu; // NULL until needed
    struct scratch host;       // shape tensors, batch inputs
    void *address;             // what the plan reads or writes
    struct trt_dims dims;
    uint64_t size;
    struct gpu_place place; // of an output made before the plan ran
    bool placed;
    bool made; // by the plan's allocator: dims and size are known after enqueue
};

struct trt_slot;
// A captured run of fixed shapes.
struct trt_graph {
    uint32_t tuned;        // of which context
    struct trt_dims *dims; // by tensor
    struct trt_dims *lower;
    struct gpu_graph *graph;
    uint64_t generation; // of the slot's memory
};

struct trt_slot {
    struct trt_instance *instance;
    struct batch batch;
    struct gpu_io *io;
    struct gpu_event *ready;
    struct gpu_event *begin; // these three are timed
    struct gpu_event *done;
    struct gpu_event *copied;
    struct trt_memory *memory; // by tensor
    struct trt_wish *wishes;   // by tensor
    struct trt_graph *graphs;
    uint32_t graph_count;
    uint64_t generation; // counts moves of the memory
    bool computed;       // the plan was queued
    bool busy;           // not free; under the instance's mutex
};

// A context for each profile of the instance.
struct trt_tuned {
    struct trt_profile_ranges ranges;
    struct trt_context *context;
};

struct trt_instance {
    struct trt_model *model;
    TRITONBACKEND_ModelInstance *handle;
    const char *name; // borrowed from the host
    struct trt_plan *plan;
    struct gpu_device *device;
    struct trt_tuned *tuned;
    uint32_t tuned_count;
    struct gpu_stream *compute;
    struct trt_slot slots[TRT_SLOTS];
    struct trt_slot *next; // of the next batch; free. The executor's
    struct thread thread;
    pthread_mutex_t mutex;
    pthread_cond_t queued_one; // for the instance's thread
    pthread_cond_t freed_one;  // for the executor
    struct trt_slot *queue[TRT_SLOTS];
    uint32_t queue_count;
    uint32_t on_gpu;  // queued batches whose work is not yet known to be done
    uint64_t plan_ns; // how long the last plan took; 0: none has run
    bool stop;
};

// `execute` of the table: returns when the batch is queued and another may come; the instance's thread
// answers. Thread: executor.
NRD_MUST_USE TRITONSERVER_Error *trt_execute(void *instance, TRITONBACKEND_Request **requests,
                                             uint32_t count);
// Memory on the GPU for a tensor of the slot; what was there is lost, and graphs with it. Thread:
// executor, as all that follow.
NRD_MUST_USE TRITONSERVER_Error *trt_slot_reserve(struct trt_slot *slot, uint32_t tensor,
                                                  uint64_t size);
// Sets the shapes and addresses of a batch, or of a graph to be captured, in a context.
NRD_MUST_USE TRITONSERVER_Error *trt_bind_inputs(struct trt_slot *slot,
                                                 const struct trt_tuned *tuned);
// An error with the shim's reason.
NRD_MUST_USE TRITONSERVER_Error *trt_failure(const struct trt_instance *s, const char *what,
                                             const struct trt_why *why);
// Bytes of a tensor; false when a dimension is open or the number too large.
bool trt_byte_size(const struct trt_io *io, const struct trt_dims *dims, uint64_t *size);

// Captures what the configuration asks for, in all slots. What cannot be captured is logged and left
// out, as Triton does.
NRD_MUST_USE TRITONSERVER_Error *trt_graph_warm(struct trt_instance *s);
// The graph that fits the slot's wishes on context `tuned`; NULL: none.
struct trt_graph *trt_graph_find(struct trt_slot *slot, uint32_t tuned);
// Makes the graph anew if the slot's memory has moved since.
NRD_MUST_USE TRITONSERVER_Error *trt_graph_renew(struct trt_slot *slot, struct trt_graph *graph);
void trt_graph_fini(struct trt_slot *slot);

#endif
