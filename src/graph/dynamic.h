// SPDX-License-Identifier: Apache-2.0
// Dynamic flows, as compute.c calls them.
#ifndef NEREID_GRAPH_DYNAMIC_H
#define NEREID_GRAPH_DYNAMIC_H

#include "graph/plan.h"

// Lets the operator's function set `chosen` of its flows; only for operators that have one. Thread: the operator's.
void flows_choose(struct nrd_compute *ctx);

#endif
