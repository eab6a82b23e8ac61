// SPDX-License-Identifier: Apache-2.0
// Layered layout of a directed graph, left to right: boxes in columns, edges between them, few crossings. Knows nothing of what the
// boxes are. Pixels. Thread: owner of the arena.
#ifndef NEREID_GRAPH_SVG_LAYOUT_H
#define NEREID_GRAPH_SVG_LAYOUT_H

#include "base/arena.h"
#include "base/status.h"

struct layout_node {
    double width, height; // given
    double x, y;          // made: the upper left corner
    size_t layer;         // made: its column, from 0
};
struct layout_point {
    double x, y;
};
struct layout_edge {
    size_t from, to; // given: indices of nodes
    bool back;       // made: it closes a cycle, and is left out of the columns
    struct layout_point
        *via; // made, in the arena: where it crosses the columns between (two points each)
    size_t via_count;
};
struct layout {
    struct layout_node *nodes;
    size_t node_count;
    struct layout_edge *edges;
    size_t edge_count;
    double width, height; // made: of the whole
};

// Places everything. NRD_UNAVAILABLE: no memory.
NRD_MUST_USE struct nrd_status *layout_run(struct layout *l, struct arena *arena);

#endif
