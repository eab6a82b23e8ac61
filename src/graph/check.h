// SPDX-License-Identifier: Apache-2.0
// What is found out before anything runs. Thread: owner.
#ifndef NEREID_GRAPH_CHECK_H
#define NEREID_GRAPH_CHECK_H

#include "graph/graph_private.h"

// NRD_INVALID_ARG with all findings, one a line: inputs and outputs that no flow joins and that are not optional, latest-value inputs
// with several writers, queues that can never hold what their reader waits for, cycles that can never begin.
NRD_MUST_USE struct nrd_status *check_graph(struct nrd_app *app);

#endif
