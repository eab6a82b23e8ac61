// SPDX-License-Identifier: Apache-2.0
// Streams of operators: one for each GPU that an operator works on, made when it first asks. Tensors on a GPU travel with the
// event after which they may be read, so that a hop between two operators on GPUs waits for nothing on the CPU:
//
//    producer's stream:  [kernels] event ─────────────┐ (carried by the tensor's memory)
//    consumer's stream:              wait for event ◀─┘ [kernels] event: the memory may be given out again after it
//
// nrd_compute_stream, nrd_stream_wait_tensor and nrd_tensor_synchronize are here; the core calls what is below, only for
// operators that have streams (op->streams is not NULL).
#ifndef NEREID_GRAPH_STREAMS_H
#define NEREID_GRAPH_STREAMS_H

#include "graph/plan.h"

struct tensor_buffer;

// The operator's own stream on a GPU as src/gpu has it, made at the first call; what nrd_compute_stream() gives the handle of.
// Borrowed. NRD_UNAVAILABLE where there is no such GPU. Thread: the operator's.
struct gpu_stream;
NRD_MUST_USE struct nrd_status *streams_get(struct nrd_operator *op, int32_t device,
                                            struct gpu_stream **stream);
// After a compute, before what it emitted is sent: what the operator's streams have to do counts as a use of the tensors that it
// waited for. `sends`: the compute succeeded, and GPU tensors of its staged messages get their streams' event.
// Thread: the operator's.
NRD_MUST_USE struct nrd_status *streams_end(struct nrd_compute *ctx, bool sends);
// Gives the operator `stream` (borrowed) for a GPU, while that is captured: what it allocates and waits for is held until
// streams_destroy(), and no events are recorded. Thread: owner.
NRD_MUST_USE struct nrd_status *streams_capture(struct nrd_operator *op, int32_t device,
                                                struct gpu_stream *stream);
// With the operator, or after a capture. NULL-safe. Thread: owner.
void streams_destroy(struct nrd_operator *op);
// A tensor was just allocated for the operator, which may write it from now on. Thread: any.
NRD_MUST_USE struct nrd_status *streams_adopt(struct nrd_operator *op, struct nrd_tensor *tensor);

// The buffer of src/gpu behind a tensor's memory, for gpu_buffer_use() and its like; NULL: it is not of src/gpu. Borrowed from
// the tensor. Thread: any.
struct tensor_buffer *tensor_gpu_buffer(const struct nrd_tensor *tensor);
// Whether the tensor's bytes are there now. Thread: any.
NRD_MUST_USE struct nrd_status *tensor_is_ready(const struct nrd_tensor *tensor, bool *ready);
// Makes a stream wait until they are. Thread: any.
NRD_MUST_USE struct nrd_status *tensor_wait_on(const struct nrd_tensor *tensor,
                                               struct gpu_stream *stream);

#endif
