// SPDX-License-Identifier: Apache-2.0
// Solve: which models go to which GPUs, as a pure function of numbers: no I/O, no clock, the same answer every time.
//
// A placement gives each model a set of GPUs. Its requests are split over them as is best, which is a small linear program
// (split.h): the *level* is how busy the busiest GPU, or the busiest instance, is when every model gets its demand. One over the level
// is the share of the demand that can be served for ever: throughput in the mix that was asked for. What is minimised is
//
//     ln(level) + 0.005 an instance + 1e-4 x the squares of the parts of memory taken     (1000 for a model without a place)
//
// so a further copy of a model must be worth half a per cent, and what is as good by time is spread by memory. Few models
// and GPUs are searched whole (branch and bound), more by improvement of a good start, within a stated effort. Start at place_solve().
#ifndef NEREID_CORE_PLACE_SOLVE_H
#define NEREID_CORE_PLACE_SOLVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { PLACE_GPUS_MAX = 64 };

// A model's cost on one GPU, all its instances there together.
struct place_cost {
    double busy_s; // of the GPU's time for one request, when the GPU is never idle
    double
        serial_s; // between two requests when the model's instances there have nothing else to wait for; at least busy_s, or 0: equal
    uint64_t memory_bytes;
};

struct place_item {
    double
        demand; // requests a second, or in any unit that all models share; 0: only its memory counts
    uint64_t allowed; // bit a GPU
    bool fixed; // it is on all of `allowed`: the configuration says so, or it is there already
    const struct place_cost *costs; // one a GPU
};

struct place_gpu {
    uint64_t free_bytes;  // that may be used
    double busy;          // by what is not among the items, in the unit of demand x seconds
    uint64_t total_bytes; // for spreading; 0: free_bytes
};

struct place_problem {
    const struct place_gpu *gpus;
    unsigned gpu_count; // 1..PLACE_GPUS_MAX
    const struct place_item *items;
    unsigned item_count;
};

// How good a placement is.
struct place_rating {
    double score; // what is minimised
    double level; // busiest GPU or instance at the full demand; 0 without demand
    unsigned instances;
    unsigned unplaced; // models without a place
    bool fits;         // each GPU's memory holds what is to be there
};

struct place_answer {
    uint64_t *on;   // [item] bit a GPU; 0: there is no place for it
    double *shares; // [item * gpu_count + gpu] of its requests
    double *load;   // [gpu] how busy at the full demand
    struct place_rating rating;
    bool exact; // nothing is better; else it is the best that was found
};

// The default of `effort`, and what the improvement may take: about half a second.
#define PLACE_EFFORT UINT64_C(400000000)

// Solves; `effort` (multiplications, about) is what branch and bound may take after the improvement; 0: none. INVALID_ARG for no or too many GPUs or a
// cost that is no number. `answer` is owned: place_answer_fini. Thread: any.
NRD_MUST_USE struct nrd_status *place_solve(const struct place_problem *problem, uint64_t effort,
                                            struct place_answer *answer);
void place_answer_fini(struct place_answer *answer);

// Rates the placement `on` (one set a model). `shares` and `load` (may be NULL) as in an answer. Thread: any.
NRD_MUST_USE struct nrd_status *place_rate(const struct place_problem *problem, const uint64_t *on,
                                           struct place_rating *rating, double *shares,
                                           double *load);

#endif
