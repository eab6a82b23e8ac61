// SPDX-License-Identifier: Apache-2.0
// The parts of plan_create(). Thread: owner.
#ifndef NEREID_GRAPH_PLAN_BUILD_H
#define NEREID_GRAPH_PLAN_BUILD_H

#include "graph/plan.h"

// Pools and workers for all records (plan_threads.c). Records are in order; plan->pools is filled as far as it came on failure.
NRD_MUST_USE struct nrd_status *plan_lay_threads(struct nrd_app *app, struct plan *plan);

#endif
