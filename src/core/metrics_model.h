// SPDX-License-Identifier: Apache-2.0
// Metrics of models: nv_inference_*, nv_model_load_*, and nereid_gpu_model_*.
#ifndef NEREID_CORE_METRICS_MODEL_H
#define NEREID_CORE_METRICS_MODEL_H

#include "base/status.h"
#include "base/str.h"
#include "core/lifecycle.h"

struct model_series;
struct model_series_list {
    struct model_series *items;
    size_t count;
};

// Reads what the models of `rows` count, at this moment. `rows` are borrowed until model_series_fini(), the caller's to call
// on success. Thread: any.
NRD_MUST_USE struct nrd_status *model_series_read(const struct version_rows *rows,
                                                  struct model_series_list *list);
void model_series_fini(struct model_series_list *list);
// Appends the families; those of durations with `latencies` only, and Nereid's own with `has_gpus`, on a machine with GPUs.
void model_series_write(const struct model_series_list *list, bool latencies, bool has_gpus,
                        struct str *out);
// Appends the histogram of first responses of decoupled models.
void model_series_write_first_response(const struct model_series_list *list, struct str *out);

#endif
