// SPDX-License-Identifier: Apache-2.0
// Flow tracking: for each path from a source to a sink, how long its messages took. Start at struct track_spec.
//
//    source computes       a message carries its ways         sink's compute ends
//    [begin -- emitted] --> {path so far, start, ...} --> [received -- end] --> latency of the whole path
//
// A way is a path so far and the time at which its source began; a message has one for each path that led to it: a
// fan-out shares them, a join adds them up. A path that comes back to an operator it went through is a cycle: it counts up
// to that moment and ends there. Sums are per path, kept by the one thread that ends it; nothing is locked or allocated on a hop.
// What is too much (TRACK_*_MAX) is left out and counted by track_lost().
#ifndef NEREID_GRAPH_TRACK_H
#define NEREID_GRAPH_TRACK_H

#include "base/str.h"
#include "nereid/graph.h"

#define TRACK_PATHS_MAX 1024 // paths that were walked to their end
#define TRACK_NODES_MAX 8192 // beginnings of paths
#define TRACK_WAYS_MAX 64    // ways of one message
#define TRACK_SKIP_LAST_MAX 65536

struct track;          // one run of one application
struct track_operator; // one operator's part; used by the thread that runs it
struct track_way;      // the ways of one message

struct track_spec_operator {
    const char *name;
    size_t input_count; // queues, not ports: an any-size input has several
    size_t output_count;
    const char *const *outputs; // names of its output ports
    bool is_source;             // nothing flows into it
    bool is_sink;               // nothing flows out of it
};
struct track_spec {
    const struct track_spec_operator *operators;
    size_t operator_count;
    struct nrd_track_options options;
    int64_t (*now)(void *arg); // the graph's clock; asked for each hop only while there is a log
    void *now_arg;
};

// Names are copied, `now_arg` is borrowed. NRD_INVALID_ARG: skip_last over its maximum; NRD_INTERNAL: the log cannot be written (names
// it). Returns owned. Thread: owner.
NRD_MUST_USE struct nrd_status *track_create(const struct track_spec *spec, struct track **track);
// Everything counted is forgotten, for another run of the same operators; the log begins anew. Thread: owner.
NRD_MUST_USE struct nrd_status *track_restart(struct track *t);
// Writes out what the log still holds; nothing may be counted any more, reading goes on. Thread: owner.
NRD_MUST_USE struct nrd_status *track_end(struct track *t);
// All ways must have been released. NULL is fine.
void track_destroy(struct track *t);
struct track_operator *track_operator_at(struct track *t, size_t index); // borrowed

// ---- hooks of the core; "Thread: data", that of the operator -------------------------------------------------------

void track_begin(struct track_operator *op, int64_t now_ns); // compute begins
// A message came out of the operator's `input`-th queue; `way` is borrowed (NULL: a message that nobody tracked).
// `again`: it was read before, as a latest-value queue does; its sender's name then ends in "_old".
void track_received(struct track_operator *op, size_t input, const struct track_way *way,
                    bool again);
// Forgets what was received, so that the ways of earlier messages can be: of those that an answer is to. Cycles that these close were
// counted when they came.
void track_answer(struct track_operator *op);
// The ways of a message that is emitted now. Returns owned: track_release() when the message goes; NULL: none.
struct track_way *track_emitted(struct track_operator *op, size_t output)
    __attribute__((warn_unused_result));
void track_end_compute(struct track_operator *op, int64_t now_ns);
void track_release(struct track_way *way); // NULL is fine; Thread: any

// ---- results; Thread: any, each number is exact, not the set of them -----------------------------------------------

size_t track_path_count(const struct track *t);
bool track_path_report(const struct track *t, size_t index, struct nrd_path_report *report);
uint64_t track_lost(const struct track *t); // ways that were left out
// Holoscan's text; or a CSV, a row a path. Paths are sorted by name.
NRD_MUST_USE struct nrd_status *track_print(const struct track *t, bool csv, struct str *out);

#endif
