// SPDX-License-Identifier: Apache-2.0
// Serve, restart: the server begins anew in its own place when a kernel's fault has ended CUDA for its process (--gpu-fault=restart).
//
// The process stays the same to whoever started it: same number, same command line, same listening sockets; connections that
// come meanwhile wait. What was only in memory is gone: statistics, shared-memory registrations, overrides of a load. The
// order: restart_may() and restart_keep() while all still runs, the end of the endpoints, restart_exec().
#ifndef NEREID_CLI_SERVE_RESTART_H
#define NEREID_CLI_SERVE_RESTART_H

#include "base/str.h"

// Whether one more restart is not one too many: at most RESTARTS_MAX in RESTARTS_WINDOW_S seconds, over all that came before in this
// place. What breaks its GPU at each start must not go round for ever. Counts it. Thread: owner.
enum { RESTARTS_MAX = 5, RESTARTS_WINDOW_S = 60 };
NRD_MUST_USE struct nrd_status *restart_may(void);

// One argument after another, each with its end, as in /proc/self/cmdline.
struct restart_arguments {
    struct str text;
};
// This program's own, as it was started. Errors: they cannot be read. `arguments` is then empty, else owned: restart_arguments_fini.
NRD_MUST_USE struct nrd_status *restart_arguments_own(struct restart_arguments *arguments);
// "--NAME=VALUE" at the end, where it has the last word.
void restart_arguments_add(struct restart_arguments *arguments, const char *name,
                           const char *value);
// --load-model for each model that was loaded by request and is not unloaded. Thread: any but a loop.
struct TRITONSERVER_Server;
NRD_MUST_USE struct nrd_status *restart_arguments_add_models(struct restart_arguments *arguments,
                                                             struct TRITONSERVER_Server *core);
void restart_arguments_fini(struct restart_arguments *arguments);

// Executes this program again with the sockets that inherit_keep() kept; returns only on failure. Thread: owner.
NRD_MUST_USE struct nrd_status *restart_exec(const struct restart_arguments *arguments);

#endif
