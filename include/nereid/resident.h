/* SPDX-License-Identifier: Apache-2.0 */
/* GPU-resident graphs: a whole application's work on one GPU, captured once as one CUDA graph and then launched as one, for the
   price of one call instead of one a kernel and one hop an operator.

      nrd_resident_create: compile, start, every operator computes once while its stream is captured
      nrd_resident_data_ready -> the captured work runs -> nrd_resident_result_ready        again and again
      nrd_resident_tear_down: stop

   What operators queue on nrd_compute_stream() is captured; what they do on the host happens once, at the capture. So each pass
   reads and writes the same memory: that of the tensors that went through the graph, which stay where they are until tear-down,
   and what operators allocate in start. Input is put where the first operator reads it, output is read where the last one
   writes it, both in the order of nrd_resident_stream() or between result_ready and the next data_ready. */
#ifndef NEREID_RESIDENT_H
#define NEREID_RESIDENT_H

#include "nereid/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

struct nrd_resident;

struct nrd_resident_options {
    int32_t device;     /* the GPU that all operators work on */
    int64_t timeout_ns; /* how long a wait lasts at most; 0: ten seconds */
};

/* Captures an application. Until tear-down it cannot be run or changed. NRD_UNAVAILABLE: no such GPU; NRD_UNSUPPORTED: what cannot
   be captured (cycles, several fragments, conditions but the ports' own, latest-value flows), by name; NRD_INTERNAL: an operator
   did during the capture what CUDA forbids then. `options` may be NULL. Returns owned. Thread: owner. */
NRD_API NRD_MUST_USE struct nrd_status *
nrd_resident_create(struct nrd_app *app, const struct nrd_resident_options *options,
                    struct nrd_resident **resident);
/* Input is there: starts one pass, behind those that were started before, and returns at once. Thread: owner. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_resident_data_ready(struct nrd_resident *resident);
/* Whether all passes that were started are done. Thread: owner. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_resident_result_ready(struct nrd_resident *resident,
                                                                  bool *ready);
/* Waits for that; NRD_UNAVAILABLE after the timeout. Thread: owner. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_resident_wait(struct nrd_resident *resident);
/* The stream (a CUstream) on which the passes run. */
NRD_API void *nrd_resident_stream(const struct nrd_resident *resident);
/* Kernels, copies and so on of one pass; passes that were started. */
NRD_API size_t nrd_resident_node_count(const struct nrd_resident *resident);
NRD_API uint64_t nrd_resident_pass_count(const struct nrd_resident *resident);
/* Waits for what was started, stops the operators and frees `resident`, whatever it returns: the first error of the wait or of
   a stop. NULL is fine. The application may then be run, or captured again. Thread: owner. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_resident_tear_down(struct nrd_resident *resident);

#ifdef __cplusplus
}
#endif

#endif
