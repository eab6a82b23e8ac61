// SPDX-License-Identifier: Apache-2.0
// Core host: the inference servers of this process, one for each repository, shared by all operators that name it.
//
// A server is made when the first model of its repository is asked for and goes with the last. Models are loaded one by one
// when they are asked for (explicit control), never the whole repository. Only TRITONSERVER_* is used, so any core that exports
// it will do. Start at core_host_acquire().
#ifndef NEREID_GRAPH_INFER_CORE_HOST_H
#define NEREID_GRAPH_INFER_CORE_HOST_H

#include "base/status.h"
#include "graph/infer/infer.h"
#include "triton/core/tritonserver.h"

// Turns an error of the core into a status. Takes `error`; NULL gives NULL. Returns owned.
NRD_MUST_USE struct nrd_status *core_status(TRITONSERVER_Error *error);

struct core_host;

// The server of the options' repository, with their model loaded. gpu_fallback and no_batching count for the server that is made, not
// for one that is there. Errors: what the core says, with repository and model named. Returns owned: core_host_release().
// Blocks. Thread: any.
NRD_MUST_USE struct nrd_status *core_host_acquire(const struct infer_options *options,
                                                  struct core_host **host);
// Unloads `model` with the last that asked for it, and ends the server with its last model. NULL is fine. Blocks. Thread: any.
void core_host_release(struct core_host *host, const char *model);
TRITONSERVER_Server *core_host_server(const struct core_host *host);

#endif
