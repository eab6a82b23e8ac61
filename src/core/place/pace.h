// SPDX-License-Identifier: Apache-2.0
// Pace: how fast a loaded model answers requests that never stop coming, with made-up inputs of its configuration's shapes.
//
// Requests go the way of any client's, through the model's queue, so that what is measured is what will be served: batches as the
// scheduler makes them, copies as the backend overlaps them. The model need not be published.
#ifndef NEREID_CORE_PLACE_PACE_H
#define NEREID_CORE_PLACE_PACE_H

#include "base/status.h"
#include "core/model.h"

struct pace_options {
    uint32_t rows; // of one request; ignored where the model does not batch
    uint32_t
        outstanding; // requests at any time; at least one more than instances keeps the queue from running dry
    // Not counted: turns of at least this long, and of two requests in each place, until two are alike.
    uint64_t settle_ns;
    uint64_t run_ns;   // counted: at the least this long, and eight requests
    uint64_t limit_ns; // of either; then what was counted so far holds
};

// Whether requests can be made up: NULL, or why not (UNSUPPORTED: decoupled answers, sequences, inputs whose form is not plain).
NRD_MUST_USE struct nrd_status *pace_check(const struct model *model);

// Seconds from one answer to the next, on average. Open dimensions are those of the model's first warm-up sample that names the input,
// else 1 for a lone one and 224 otherwise. Errors: the model's own answer; UNAVAILABLE when nothing was answered within the limit.
// Blocking. Thread: loader.
NRD_MUST_USE struct nrd_status *pace_measure(struct model *model,
                                             const struct pace_options *options, double *seconds);

#endif
