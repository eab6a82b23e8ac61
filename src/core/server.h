// SPDX-License-Identifier: Apache-2.0
// Server: everything that one TRITONSERVER_Server owns. No globals: two servers in one process are strangers.
//
// The control half (repository, life cycle, options) works behind `lifecycle` and takes its time; the data half
// needs only server_find_model(), a look-up in the ready map. The ready map holds exactly the versions that can be
// asked now; it is swapped under a lock that readers hold for a hash look-up and one atomic increment.
// Start at server_create().
#ifndef NEREID_CORE_SERVER_H
#define NEREID_CORE_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "base/status.h"
#include "base/thread.h"
#include "core/backend.h"
#include "core/message.h"
#include "core/options.h"

struct drain;
struct gpus;
struct lifecycle;
struct metrics;
struct model;
struct placer;

enum server_state {
    SERVER_STATE_INITIALIZING,
    SERVER_STATE_READY,
    SERVER_STATE_EXITING,
    SERVER_STATE_EXITED,
};

// The versions of one name that can be asked, highest first.
struct ready_entry {
    size_t count;
    struct model **versions; // one reference each
};

struct server {
    _Atomic int state; // enum server_state
    _Atomic unsigned exit_timeout_s;
    struct server_options *options;
    struct gpus *gpus;
    struct backend_set backends;
    struct lifecycle *lifecycle;
    struct metrics *metrics; // NULL if metrics are off
    struct drain *drain;
    struct placer *placer;
    _Atomic int64_t models_alive;  // created and not yet destroyed
    _Atomic int64_t control_calls; // in flight

    pthread_rwlock_t ready_lock;
    struct map ready; // name -> struct ready_entry

    pthread_mutex_t models_mutex;
    struct list_node models; // all that were made and not yet destroyed, by alive_node

    // The dead models' way out.
    pthread_mutex_t reap_mutex;
    struct list_node reap_list;
    struct parking reap_parking;
    struct thread reaper;
    bool reaper_stop;
};

// Makes a server of a copy of `options` and loads what they say. Errors with Triton's texts; nothing is left then.
// Blocking. Thread: any.
NRD_MUST_USE struct nrd_status *server_create(const struct server_options *options,
                                              struct server **server);
// Refuses new work, unloads all, waits for at most the exit timeout. INTERNAL "Exit timeout expired. Exiting
// immediately." when something was still there. Blocking.
NRD_MUST_USE struct nrd_status *server_stop(struct server *server);
void server_destroy(struct server *server); // NULL is fine

// The version of a model that a request may go to: `version` -1 is the highest ready one. On success `*model` holds a
// reference of the caller's (model_unref). NOT_FOUND and UNAVAILABLE with Triton's texts ("Request for unknown model:
// 'x' is not found"). The success path allocates nothing. Thread: any.
NRD_MUST_USE struct nrd_status *server_find_model(struct server *server, const char *name,
                                                  int64_t version, struct model **model);

// Puts `model` into the ready map, in place of one of the same version; the map takes a reference of its own.
NRD_MUST_USE struct nrd_status *server_publish(struct server *server, struct model *model);
// Takes `model` out; nothing if another one is in its place.
void server_withdraw(struct server *server, struct model *model);

// Whether inference requests are taken: yes, too, while the server is exiting, so that sequences can come to their end
// (stopped schedulers refuse the others). Else UNAVAILABLE "Server not ready". Thread: any; success allocates nothing.
NRD_MUST_USE struct nrd_status *server_accepts(const struct server *server);
// Whether control calls are taken: UNAVAILABLE "Server not ready" unless the server is ready.
NRD_MUST_USE struct nrd_status *server_check_ready(const struct server *server);
// UNAVAILABLE "Server exiting" while exiting.
NRD_MUST_USE struct nrd_status *server_is_live(struct server *server, bool *live);
NRD_MUST_USE struct nrd_status *server_is_ready(struct server *server, bool *ready);

// Gives a model without references to the reaper thread. Thread: any; never blocks.
void server_reap(struct server *server, struct model *model);

// {"<policy>":{setting: value, ...}} of a host policy, NUMA node and cores as given by options. Returns owned.
NRD_MUST_USE struct nrd_status *server_host_policy(const struct server *server, const char *policy,
                                                   struct message **message);

#endif
