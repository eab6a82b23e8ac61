// SPDX-License-Identifier: Apache-2.0
// Metrics: the server's own, written when somebody asks.
//
// Nothing is counted twice: series of models are read from their statistics, CPU and memory from the system, at the
// moment of the request. So there is no polling thread, and a model's series come and go with the model.
#ifndef NEREID_CORE_METRICS_H
#define NEREID_CORE_METRICS_H

#include <stdbool.h>

#include "base/status.h"
#include "base/str.h"

struct metrics;
struct model;
struct server;

// UNSUPPORTED for settings of the options that are not built (summary_latencies). Returns owned. Thread: owner.
NRD_MUST_USE struct nrd_status *metrics_create(struct server *server, struct metrics **metrics);
void metrics_destroy(struct metrics *metrics); // NULL is fine
// Whether the time to the first response of decoupled models is to be counted; false for NULL. Thread: any.
bool metrics_want_first_response(const struct metrics *metrics);
// A model can be asked from now on; it is gone before its instances are. What GPUs have done counts both. NULL is fine. A model that
// never was ready may be gone. Thread: loader, reaper.
void metrics_model_ready(struct metrics *metrics, struct model *model);
void metrics_model_gone(struct metrics *metrics, struct model *model);
// Appends all metrics, those of callers and backends last, in Prometheus's text form. Thread: any; reads files.
NRD_MUST_USE struct nrd_status *metrics_write(struct metrics *metrics, struct str *out);

#endif
