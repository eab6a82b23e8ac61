// SPDX-License-Identifier: Apache-2.0
// What is found out before anything runs. Thread: owner.
#ifndef NEREID_GRAPH_CHECK_H
#define NEREID_GRAPH_CHECK_H

#include "graph/graph_private.h"

// NRD_INVALID_ARG with all findings, one a line: inputs and outputs that no flow joins and that are not optional, latest-value inputs
// with several writers, queues that can never hold what their reader waits for, cycles that can never begin.
// Once a graph has none of these, what check_rates() says is logged as warnings.
NRD_MUST_USE struct nrd_status *check_graph(struct nrd_app *app);

// Appends what stops nobody, one a line: operators that wait for messages at two rates, those that a PeriodicCondition makes slower than
// what feeds them, and block pools with fewer blocks than messages that can be on their way.
NRD_MUST_USE struct nrd_status *check_rates(struct nrd_app *app, struct str *out);

// Numbers the operators of the whole application; returns how many there are.
uint32_t check_number(struct nrd_app *app);

#endif
