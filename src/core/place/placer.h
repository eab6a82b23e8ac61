// SPDX-License-Identifier: Apache-2.0
// Placer: a server's placement by measurement: of what is loaded together, around what is served already.
//
// Triton puts a model whose configuration names no GPUs onto all of them, and clients rely on it; so that stays unless it is asked for
// otherwise (--placement=measured, or the model's parameter nereid_placement). Then each model that is to be loaded is measured once for each
// kind of GPU (record.h keeps it), a plan is made (plan.h), and the configuration gets its GPUs as if the user had written them.
// What is served stays where it is. One placement at a time. Start at placer_choose().
#ifndef NEREID_CORE_PLACE_PLACER_H
#define NEREID_CORE_PLACE_PLACER_H

#include "base/status.h"
#include "base/str.h"
#include "config/model_config.h"

struct model;
struct placer;
struct server;

// Of `server`, which outlives it. NULL when memory is out. Returns owned.
struct placer *placer_create(struct server *server);
void placer_destroy(struct placer *placer); // NULL is fine

// A model that is about to be loaded.
struct placer_load {
    const char *name;
    int64_t version; // the highest of those to be loaded
    uint32_t version_count;
    const char *repository;
    const char *directory;
    Inference__ModelConfig *config; // as read; instance groups left open get their GPUs
    bool config_provided;
    uint64_t placed_groups; // out: a bit each group that got its GPUs here
};

// Whether any of `loads` is to be placed by measurement. Thread: loader.
bool placer_wanted(const struct placer *placer, const struct placer_load *loads, size_t count);
// Measures and places. What cannot be measured or placed stays as the configuration has it, and the log says why; loading it then
// tells what is wrong with it. Blocking: seconds for a model that is not in the cache. Thread: loader.
void placer_choose(struct placer *placer, struct placer_load *loads, size_t count);
// The same without loading anything: the plan as JSON (plan_json), all models placed whatever the server's options say. UNAVAILABLE
// without a GPU. Blocking. Thread: loader.
NRD_MUST_USE struct nrd_status *placer_report(struct placer *placer, struct placer_load *loads,
                                              size_t count, struct str *json);

// Where an instance of `model`, which was placed by measurement, may go instead of to GPU `lost`: of the GPUs that work and have the
// memory, the one where the least is to be done. -1 where there is none, where the model was not placed by measurement, or while
// a placement is under way. Does not wait. Thread: any but a loop.
int32_t placer_refuge(struct placer *placer, const struct model *model, int32_t lost);

#endif
