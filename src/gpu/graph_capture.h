// SPDX-License-Identifier: Apache-2.0
// Captured graphs: a stream's work recorded once and then launched as a whole, for a fraction of the calls' cost.
//
//   gpu_capture_begin(s) ─▶ queue work on s, and on streams that wait for its events ─▶ gpu_capture_end(s, &graph)
//   gpu_graph_launch(graph, any stream of the device), again and again
// While a stream is captured nothing runs: no query, no wait, no allocation on it; gpu_buffer_use() comes after a launch. Only
// the capturing thread is bound by that.
#ifndef NEREID_GPU_GRAPH_CAPTURE_H
#define NEREID_GPU_GRAPH_CAPTURE_H

#include "gpu/stream.h"

struct gpu_graph;

// Thread: any; end or abort in the same one.
NRD_MUST_USE struct nrd_status *gpu_capture_begin(struct gpu_stream *stream);
// Ends the capture and makes it launchable. On failure the capture is over and nothing was made: NRD_INTERNAL with what CUDA
// says of a broken capture. Returns owned.
NRD_MUST_USE struct nrd_status *gpu_capture_end(struct gpu_stream *stream,
                                                struct gpu_graph **graph);
// Ends the capture and makes `graph` do this from now on: in place where only arguments changed, by making it anew where the
// work is another (`*anew`, may be NULL, says which). On failure `graph` is as before. The graph must not be running.
NRD_MUST_USE struct nrd_status *gpu_capture_update(struct gpu_stream *stream,
                                                   struct gpu_graph *graph, bool *anew);
void gpu_capture_abort(
    struct gpu_stream *stream); // after a failure on the way: throws the capture away
bool gpu_stream_is_capturing(struct gpu_stream *stream); // Thread: any

// Queues all of it in `stream`. Launches of one graph run one after the other. Thread: any, one at a time a graph.
NRD_MUST_USE struct nrd_status *gpu_graph_launch(struct gpu_graph *graph,
                                                 struct gpu_stream *stream);
size_t
gpu_graph_node_count(const struct gpu_graph *graph); // kernels, copies and so on in it. Thread: any
void gpu_graph_destroy(struct gpu_graph *graph);     // NULL is fine. Thread: owner

#endif
