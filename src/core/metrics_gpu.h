// SPDX-License-Identifier: Apache-2.0
// Metrics of GPUs: nv_gpu_* and nv_energy_consumption, by NVML; and nereid_gpu_*, what this server's models did on each.
#ifndef NEREID_CORE_METRICS_GPU_H
#define NEREID_CORE_METRICS_GPU_H

#include "base/str.h"

struct metrics_gpu;
struct model;
struct server;

// Returns owned; NULL when memory is out.
struct metrics_gpu *metrics_gpu_create(struct server *server);
void metrics_gpu_destroy(struct metrics_gpu *metrics); // NULL is fine
// See metrics_model_ready() and metrics_model_gone(). Thread: loader, reaper.
void metrics_gpu_model_ready(struct metrics_gpu *metrics, struct model *model);
void metrics_gpu_model_gone(struct metrics_gpu *metrics, struct model *model);
// Appends the families; nothing on a machine without GPUs, and before the server has looked for them. Takes a millisecond a GPU, at
// most once an interval. Thread: any but a loop.
void metrics_gpu_write(struct metrics_gpu *metrics, struct str *out);

#endif
