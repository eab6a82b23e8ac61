// SPDX-License-Identifier: Apache-2.0
// Drain: what follows when a GPU is lost. One thread a server watches its GPUs, and moves their load.
//
//   lost ──▶ its executors take no more (instance.c) ──▶ what they had goes to the queue again (retry.h)
//        └─▶ each model: instances left elsewhere? yes ──▶ its lane is out of service, the others go on
//                                                  no ───▶ instances are made where the configuration allows it, requests wait
//                                                          meanwhile; not possible: what waits, and what comes, is refused
//
// Nothing here is on a request's way: the executors see a loss by themselves. Start at drain_start(), leave_gpus() in drain.c.
#ifndef NEREID_CORE_DRAIN_H
#define NEREID_CORE_DRAIN_H

#include <stdbool.h>

#include "base/str.h"

struct drain;
struct model;
struct server;

// NULL when memory is out. Returns owned. Thread: owner.
struct drain *drain_create(struct server *server);
// There are GPUs: from now on they are watched. Later calls do nothing. Thread: any.
void drain_start(struct drain *drain);
// The server is stopping: no instance is made any more, but what waits for a lost GPU is answered. Thread: any.
void drain_close(struct drain *drain);
void drain_destroy(struct drain *drain); // NULL is fine. Blocking
// Whom to tell, once and from the watching thread, when a fault has made CUDA unusable in this process (gpus_are_poisoned) and the models
// that may have gone to the processor: `fn` does not wait. NULL: nobody. Thread: any.
typedef void (*drain_poisoned_fn)(void *arg);
void drain_tell_poisoned(struct drain *drain, drain_poisoned_fn fn, void *arg);

// How a model stands: with all its instances, with some of them on lost GPUs, or with all of them there. `why` gets what to tell
// of it, "" for ALL: "GPU 0 (GPU-...) is lost: REASON; 1 of 2 instances are left". Thread: any; does not wait.
enum drain_standing { DRAIN_ALL, DRAIN_SOME, DRAIN_NONE };
enum drain_standing drain_standing(const struct model *model, struct str *why);

#endif
