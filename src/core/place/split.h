// SPDX-License-Identifier: Apache-2.0
// Split: how the requests of models that stand on several GPUs are best divided: min max of linear functions, by the simplex
// method on a dense dictionary. Models on one GPU are constants, so the program has a variable for each further copy only.
#ifndef NEREID_CORE_PLACE_SPLIT_H
#define NEREID_CORE_PLACE_SPLIT_H

#include "core/place/solve.h"

// Memory for the programs of one problem, used again and again.
struct split {
    double *cells; // the dictionary, row by row
    double *row;
    unsigned *basic;    // [row] variable
    unsigned *nonbasic; // [column - 1] variable; column 0 is the constant
    unsigned *owner;    // [variable] item * gpu_count + gpu, of the variables that are shares
    double *base;       // [gpu]
    uint64_t work;      // multiplications done, about
};

// NULL members on failure: fini either way.
NRD_MUST_USE struct nrd_status *split_init(struct split *split,
                                           const struct place_problem *problem);
void split_fini(struct split *split);

// The level of `on`, of the first `count` items; those without a GPU count nothing. `shares` ([item * gpu_count + gpu], may be NULL) are
// those that reach it. Thread: owner.
double split_level(struct split *split, const struct place_problem *problem, const uint64_t *on,
                   unsigned count, double *shares);

#endif
