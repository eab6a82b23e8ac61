// SPDX-License-Identifier: Apache-2.0
// Which processors a worker's thread may use, and its real-time policy.
#ifndef NEREID_GRAPH_THREAD_POLICY_H
#define NEREID_GRAPH_THREAD_POLICY_H

#include "base/status.h"
#include "nereid/graph.h"

struct worker;

// NRD_INVALID_ARG: an unknown policy, a priority outside 1..99, no period for "deadline". Thread: any.
NRD_MUST_USE struct nrd_status *thread_policy_check(const struct nrd_thread_options *options);
// Applies what the worker has to the calling thread. Errors name the thread, the policy, and what permits it.
NRD_MUST_USE struct nrd_status *thread_policy_apply(const struct worker *worker);

#endif
