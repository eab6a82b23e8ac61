// SPDX-License-Identifier: Apache-2.0
// Measure: loads a model where it is to be measured, runs it, looks at what it takes, and lets it go again.
#ifndef NEREID_CORE_PLACE_MEASURE_H
#define NEREID_CORE_PLACE_MEASURE_H

#include "core/model.h"
#include "core/place/record.h"

// Measures `source`, whose configuration puts `instances` instances onto GPU `gpu` and nothing anywhere else. Memory is what the GPU has
// less while they run, or what the backend reports, whichever is more; times are those of requests of 1, 2, 4, .. rows. Further loads
// with two and four times the instances tell how much of the time is the GPU's. Requests that the model refuses leave it untimed. Errors: those of
// loading it. Blocking, a few seconds. Thread: loader.
NRD_MUST_USE struct nrd_status *measure_model(struct server *server,
                                              const struct model_source *source, int32_t gpu,
                                              uint32_t instances, struct place_record *record);

#endif
