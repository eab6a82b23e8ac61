// SPDX-License-Identifier: Apache-2.0
// Dynamic parameters: values that nrd_operator_set() left for an operator that runs.
#ifndef NEREID_GRAPH_OPERATOR_CHANGE_H
#define NEREID_GRAPH_OPERATOR_CHANGE_H

#include "graph/graph_private.h"

// Moves what was left into the state. Thread: that of the operator, before a compute.
void operator_apply_changes(struct nrd_operator *op);
// Room for the changes of one run. NRD_UNAVAILABLE: no memory. Thread: owner.
NRD_MUST_USE struct nrd_status *operator_changes_prepare(struct nrd_operator *op);
void operator_changes_destroy(struct operator_change *changes); // NULL is fine

#endif
