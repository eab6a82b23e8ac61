// SPDX-License-Identifier: Apache-2.0
// Plan: from what was measured and what is asked for to a placement and the reasons for it, in words and in JSON. No I/O.
//
// Start at plan_solve(); plan_alternative() says what another place for one model would have cost.
#ifndef NEREID_CORE_PLACE_PLAN_H
#define NEREID_CORE_PLACE_PLAN_H

#include "base/str.h"
#include "core/place/record.h"
#include "core/place/solve.h"

struct plan_gpu {
    int32_t id;
    const char *name; // "NVIDIA H100 80GB HBM3"
    uint64_t free_bytes;
    uint64_t total_bytes;
    double busy; // by what the plan does not know; of one, in requests a second only
};

// Why a model is where it is.
enum plan_ground {
    PLAN_OPEN,  // the configuration leaves it open: it is placed
    PLAN_FIXED, // the configuration says where, or nobody asked for placement
    PLAN_LIVE,  // it is served already: it stays, and its memory is taken
};

struct plan_model {
    const char *name;
    const char *directory;
    enum plan_ground ground;
    uint64_t allowed;   // bit an index into plan.gpus
    uint32_t instances; // on each GPU
    uint32_t versions;  // that are loaded
    double
        requests_s; // below 0: nothing is known, it gets the mean of the others, or 1 where nobody knows
    uint32_t rows;       // of a request
    const char *refusal; // why it could not be measured where it might have gone; "" if it could
    bool own_groups;     // the configuration has instance groups, without GPUs
    const struct place_record *const *records; // [gpu]; NULL: not measured there
};

struct plan {
    const struct plan_gpu *gpus;
    unsigned gpu_count;
    struct plan_model *models;
    unsigned model_count;
    // What plan_solve() makes.
    bool in_requests; // demand is requests a second; else only its proportions are meant
    uint64_t *spare;  // [model] of its GPUs, those where it is only because memory is plenty
    struct place_item *items;
    struct place_cost *costs;
    struct place_gpu *rooms;
    struct place_problem problem;
    struct place_answer answer;
};

// Solves. The plan's lists are borrowed. plan_fini() either way.
NRD_MUST_USE struct nrd_status *plan_solve(struct plan *plan);
void plan_fini(struct plan *plan); // what plan_solve() made

// One line: "model 'm' goes to GPU 1: ..." Failure shows in `out`.
void plan_describe(const struct plan *plan, unsigned model, struct str *out);
// How the whole would do with model `model` on `set`: of the throughput of the plan, and why it was not chosen.
struct plan_verdict {
    double throughput; // 1: as much
    bool fits;
    unsigned instances; // of all models then
};
NRD_MUST_USE struct nrd_status *plan_alternative(const struct plan *plan, unsigned model,
                                                 uint64_t set, struct plan_verdict *verdict,
                                                 struct str *why);
// Another set that is worth looking at: `*set` starts at 0. False at the end.
bool plan_next_set(const struct plan *plan, unsigned model, uint64_t *set);
// The whole document (docs/placement.md).
NRD_MUST_USE struct nrd_status *plan_json(const struct plan *plan, struct str *out);

#endif
