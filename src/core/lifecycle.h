// SPDX-License-Identifier: Apache-2.0
// Life cycle: which versions of which models are loaded, in what state, and the operations that change that.
//
//            load           all versions of the model succeeded
//   (none) -------> LOADING ------------------------------------> READY --- unload, or replaced ---> UNLOADING
//                      |                                                                                 |
//                      '--- one failed: this one's own reason, or "unloaded" ---> UNAVAILABLE <----------'
//                                                                                          last reference gone
//
// All versions that a load selects succeed or fail together. A version that is READY while it is loaded anew stays in
// service until the new one takes its place; the new one is not seen before. Operations on one model follow one another;
// those on different models run side by side, on at most `model-load-thread-count` threads.
// One mutex guards the table; it is never held while a backend, a file or a callback is busy.
#ifndef NEREID_CORE_LIFECYCLE_H
#define NEREID_CORE_LIFECYCLE_H

#include "base/status.h"
#include "base/str.h"
#include "core/parameter.h"

struct lifecycle;
struct model;
struct server;

enum model_state {
    MODEL_STATE_UNKNOWN,
    MODEL_STATE_READY,
    MODEL_STATE_UNAVAILABLE,
    MODEL_STATE_LOADING,
    MODEL_STATE_UNLOADING,
};
const char *model_state_name(enum model_state state); // "READY", ...

// NULL when memory is out. Returns owned.
struct lifecycle *lifecycle_create(struct server *server);
void lifecycle_destroy(struct lifecycle *lifecycle); // all models are gone; NULL is fine

// Checks the repositories. Errors are those of a server that cannot be made. Thread: owner.
NRD_MUST_USE struct nrd_status *lifecycle_open(struct lifecycle *lifecycle);
// Loads what the options say at the start. INTERNAL "failed to load all models" when something is not served; the reasons
// are in the log. Blocking.
NRD_MUST_USE struct nrd_status *lifecycle_start(struct lifecycle *lifecycle);
// Compares repositories and table, and loads and unloads. UNAVAILABLE "polling is disabled" unless in poll mode. Blocking.
NRD_MUST_USE struct nrd_status *lifecycle_poll(struct lifecycle *lifecycle);
// Loads or reloads one model, explicit mode only. Errors with Triton's texts. Blocking.
NRD_MUST_USE struct nrd_status *lifecycle_load(struct lifecycle *lifecycle, const char *name,
                                               const struct parameter *const *parameters,
                                               size_t parameter_count);
// Takes one model out of service, explicit mode only; does not wait for requests in flight. What is not loaded is fine.
NRD_MUST_USE struct nrd_status *lifecycle_unload(struct lifecycle *lifecycle, const char *name);
// The same for all models, in any mode. False: some were being loaded or unloaded and were left alone; try again.
bool lifecycle_unload_all(struct lifecycle *lifecycle);
NRD_MUST_USE struct nrd_status *lifecycle_register(struct lifecycle *lifecycle, const char *path,
                                                   const struct parameter *const *mappings,
                                                   size_t count);
NRD_MUST_USE struct nrd_status *lifecycle_unregister(struct lifecycle *lifecycle, const char *path);

// What placement by measurement would do with all models of the repositories, as JSON; nothing is loaded for good. UNAVAILABLE without a
// GPU. Blocking.
NRD_MUST_USE struct nrd_status *lifecycle_report_places(struct lifecycle *lifecycle,
                                                        struct str *json);

// ---- questions; Thread: any ---------------------------------------------------------------------------------------

struct version_row {
    const char *name; // lives as long as the life cycle
    int64_t version;  // -1: the model has no version
    enum model_state state;
    char *reason;        // owned; "" if none
    struct model *model; // a reference, in state READY; else NULL
};
struct version_rows {
    struct version_row *items;
    size_t count;
};
// All versions of `name` (NULL: of all models), by name and ascending version; `with_models` also refers to those that
// are READY. Returns owned: version_rows_fini.
NRD_MUST_USE struct nrd_status *lifecycle_rows(struct lifecycle *lifecycle, const char *name,
                                               bool with_models, struct version_rows *rows);
void version_rows_fini(struct version_rows *rows);

// Why `name` and `version` cannot be asked, in Triton's words.
NRD_MUST_USE struct nrd_status *lifecycle_why_not(struct lifecycle *lifecycle, const char *name,
                                                  int64_t version);
// Appends the repository index. {"name":..} rows of what never was loaded; duplicates with their reason.
NRD_MUST_USE struct nrd_status *lifecycle_index(struct lifecycle *lifecycle, bool ready_only,
                                                struct str *out);

// Calls `fn(arg, i)` for each i below `count`, on threads as loads have them, and at most as many as may load. Blocking.
void lifecycle_run_parallel(struct lifecycle *lifecycle, size_t count,
                            void (*fn)(void *arg, size_t i), void *arg);

#endif
