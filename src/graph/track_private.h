// SPDX-License-Identifier: Apache-2.0
// What track.c (ways and paths) and track_report.c (texts and the log) share.
#ifndef NEREID_GRAPH_TRACK_PRIVATE_H
#define NEREID_GRAPH_TRACK_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/pool.h"
#include "graph/latency.h"
#include "graph/track.h"

struct track_path {
    char *name; // "source,filter,sink"
    struct latency latency;
    uint64_t skipped; // of skip_first
    int64_t *held;    // the last skip_last latencies, a ring
    uint64_t held_count;
};

// The beginning of a path: `op` after `parent`. Nodes are added and never change, but for `path`.
struct track_node {
    uint32_t parent; // 0: none
    uint32_t op;
    uint32_t depth; // operators up to here
    bool again;     // `op` read a message of `parent` once more
    bool is_cycle;  // `op` is further up too: the path ends here
    _Atomic(struct track_path *) path;
};

struct track_entry {
    uint32_t node;
    int64_t start_ns;
    int64_t times[]; // only with a log: received and published, of each operator
};

enum { TRACK_BLOCK_WAYS = 4 };
struct track_way {
    struct track_way *next;
    struct track *track;
    uint32_t count;
    // Then TRACK_BLOCK_WAYS entries of track->stride bytes.
};

struct track_operator {
    struct track *track;
    uint32_t index;
    bool is_source, is_sink;
    uint32_t root; // its node as a source; 0: not made yet
    int64_t begin_ns;
    bool received; // in this compute
    bool answering;
    bool emitted; // since the ways were gathered
    size_t input_count;
    struct track_gathered {
        struct track_way *ways;
        bool fresh; // of this compute
    } * inputs;
    size_t output_count;
    const char *const *output_names;
    _Atomic uint64_t *output_counts; // messages
};

struct track {
    struct nrd_track_options options;
    int64_t (*now)(void *arg);
    void *now_arg;
    bool logs;
    size_t stride;
    struct object_pool *pool; // of track_way
    struct track_operator *operators;
    size_t operator_count;
    const char **names; // of the operators
    struct arena arena; // texts: results are read when the graph may be another already
    struct track_path **paths;
    _Atomic uint32_t path_count;
    struct track_node *nodes; // from 1
    uint32_t node_count;
    _Atomic uint32_t *slots; // hash table of nodes by parent, operator and again; 0 is empty
    pthread_mutex_t lock;    // node_count, slots and paths while they grow
    _Atomic uint64_t lost;
    struct {
        pthread_mutex_t lock;
        int fd;
        uint64_t number;
        struct str text;
        uint32_t *nodes; // scratch: the nodes of one path
        bool failed;
    } log;
};

static inline struct track_entry *track_entry_at(const struct track_way *way, uint32_t index)
{
    return (struct track_entry *)((uintptr_t)(way + 1) + index * way->track->stride);
}

NRD_MUST_USE struct nrd_status *track_log_open(struct track *t);
NRD_MUST_USE struct nrd_status *track_log_close(struct track *t);
// Begins one message of the log, adds a path to it, ends it: the log is locked in between.
void track_log_begin(struct track *t);
void track_log_way(struct track *t, const struct track_entry *entry);
void track_log_end(struct track *t);
// "source,filter,sink"; returns owned, NULL when memory is out.
char *track_path_name(const struct track *t, uint32_t node);

#endif
