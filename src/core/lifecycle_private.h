// SPDX-License-Identifier: Apache-2.0
// The table of models, shared by lifecycle.c (operations), lifecycle_load.c (loading) and lifecycle_index.c (questions).
#ifndef NEREID_CORE_LIFECYCLE_PRIVATE_H
#define NEREID_CORE_LIFECYCLE_PRIVATE_H

#include <pthread.h>

#include "base/map.h"
#include "core/lifecycle.h"
#include "core/repo.h"

// One load of one version. Referred to by its place in the table and by its model until that is destroyed.
struct version {
    int refs;
    int64_t number;
    enum model_state state;
    char *reason; // NULL: none
    struct model
        *model; // the life cycle's reference; NULL unless loading is done and it is in service
    struct lifecycle *lifecycle;
    struct model_entry *entry;
    struct repo_files *files;
};

// One name. Entries are never removed, so that pointers to them stay good.
struct model_entry {
    char *name;
    struct version **versions; // what is shown, ascending
    size_t version_count;
    bool known;  // a load was tried: it counts for readiness even without versions
    bool busy;   // an operation is under way
    bool polled; // the repositories have it, as of the last look; cleared by unload
    int64_t modified_ns;
};

struct lifecycle {
    struct server *server;
    pthread_mutex_t mutex;  // guards all below
    pthread_cond_t changed; // an entry is no longer busy, a load slot is free
    struct map entries;     // name -> struct model_entry
    struct repo_set repos;
    unsigned load_slots;        // threads that may yet load
    pthread_mutex_t poll_mutex; // one poll at a time
};

// The entry of `name`, made if need be; NULL when memory is out. Thread: holds the mutex.
struct model_entry *lifecycle_entry(struct lifecycle *lifecycle, const char *name);
// Waits until no operation is under way on `entry`, and begins one / ends it. Thread: holds the mutex.
void lifecycle_begin(struct lifecycle *lifecycle, struct model_entry *entry);
void lifecycle_end(struct lifecycle *lifecycle, struct model_entry *entry);

// One model to be loaded: what was found, and afterwards how it went.
struct load {
    struct model_entry *entry; // begun
    struct repo_model found;
    int64_t previous_ns; // restored in the entry if the load fails
    struct nrd_status *status;
    uint64_t placed_groups; // by lifecycle_place()
    // internal to lifecycle_load.c
    struct version **versions;
    size_t version_count;
    _Atomic size_t left; // versions not yet done
};
// Loads all versions of all `loads`; each one's outcome is in its `status`. Blocking; the mutex is not held.
void lifecycle_run_loads(struct lifecycle *lifecycle, struct load *loads, size_t count);
// Gives instance groups that are left open their GPUs, where placement by measurement is asked for (place/placer.h).
void lifecycle_place(struct lifecycle *lifecycle, struct load *loads, size_t count);
// Takes all READY versions of `entry` out of service. Thread: does not hold the mutex; the entry is begun.
void lifecycle_retire(struct lifecycle *lifecycle, struct model_entry *entry);
void version_unref(struct version *version); // Thread: holds the mutex; NULL is fine

#endif
