// SPDX-License-Identifier: Apache-2.0
// Statistics of one model version: counted without locks, merged when somebody reads.
//
// Each instance counts in a shard of its own, which nobody else usually writes; all counters are relaxed atomics, so that
// a backend that reports from several threads is counted right too. A snapshot adds the shards up: counters that belong
// together may be one request apart in it. Metrics (metrics.c) and the statistics document both read the snapshot.
#ifndef NEREID_CORE_STATS_H
#define NEREID_CORE_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"
#include "core/request.h"

struct instance;
struct model;
struct model_stats;
struct stats_shard;

struct stats_duration {
    uint64_t count;
    uint64_t ns;
};
struct stats_batch {
    uint64_t batch_size;
    uint64_t count;
    uint64_t input_ns;
    uint64_t infer_ns;
    uint64_t output_ns;
};
struct stats_response {
    uint64_t index;
    struct stats_duration compute_infer;
    struct stats_duration compute_output;
    struct stats_duration success;
    struct stats_duration fail;
    struct stats_duration empty_response;
    struct stats_duration cancel;
};

// All counters at one moment. Metrics use: success.count, failures[reason], inference_count, execution_count, the
// durations (in ns; metrics print us), pending.
struct stats_snapshot {
    uint64_t last_inference_ms; // wall clock
    uint64_t inference_count;   // rows
    uint64_t execution_count;
    struct stats_duration success; // whole requests
    struct stats_duration fail;
    struct stats_duration queue;
    struct stats_duration compute_input;
    struct stats_duration compute_infer;
    struct stats_duration compute_output;
    struct stats_duration cache_hit;
    struct stats_duration cache_miss;
    uint64_t failures[FAIL_REASON_COUNT];
    uint64_t pending; // queued and not yet executing
    uint64_t first_response_sum_ns;
};

// Before the scheduler and the instances. NULL when memory is out. Returns owned. Thread: loader.
struct model_stats *stats_create(struct model *model);
void stats_destroy(struct model_stats *stats); // NULL is fine; after all instances

// The shard of a new instance; it lives as long as the stats. NULL when memory is out. Thread: loader.
struct stats_shard *stats_add_shard(struct model_stats *stats);

// What one instance has done.
struct stats_usage {
    uint64_t batches;
    uint64_t requests; // answered without an error
    uint64_t rows;
    uint64_t busy_ns; // in its batches, from start to end as the backend reports them
    // Of the requests, added up:
    uint64_t request_ns;
    uint64_t queue_ns;
    uint64_t input_ns;
    uint64_t infer_ns;
    uint64_t output_ns;
};
// Adds it to `usage`. Thread: any. Never blocks.
void stats_add_usage(const struct stats_shard *shard, struct stats_usage *usage);
// Adds one to another.
void stats_usage_add(struct stats_usage *sum, const struct stats_usage *more);

// Thread: any. Never blocks.
void stats_snapshot(const struct model_stats *stats, struct stats_snapshot *out);
// Appends the document of one model version, {"name":..,"version":..,"last_inference":..,"inference_stats":{..},..},
// as an element of Triton's "model_stats". Failure shows in `out`.
void stats_json(const struct model_stats *stats, struct str *out);
// "OTHER", "BACKEND", "CANCELED", "REJECTED".
const char *fail_reason_name(enum fail_reason reason);

// ---- counting -----------------------------------------------------------------------------------------------------

// The four moments of an execution, ns of the steady clock.
struct stats_times {
    uint64_t exec_start_ns;
    uint64_t compute_start_ns;
    uint64_t compute_end_ns;
    uint64_t exec_end_ns;
};
void stats_count_success(struct stats_shard *shard, uint64_t rows, uint64_t start_ns,
                         uint64_t queue_ns, const struct stats_times *times, uint64_t end_ns);
void stats_count_batch(struct stats_shard *shard, uint64_t rows, const struct stats_times *times);
void stats_count_failure(struct model_stats *stats, enum fail_reason reason, uint64_t duration_ns);
// Off unless asked for, since it costs a look at the clock a request (--metrics-config histogram_latencies).
void stats_want_first_response(struct model_stats *stats, bool want);
bool stats_wants_first_response(const struct model_stats *stats);
void stats_count_first_response(struct model_stats *stats, uint64_t duration_ns);
// The bounds of its histogram in ms, those of the configuration (model_metrics) or Triton's own, and how many there are.
uint32_t stats_first_response_bounds(const struct model_stats *stats, const double **bounds_ms);
// How many took at most bound `i`; all of them where `i` is the number of bounds.
uint64_t stats_first_response_count(const struct model_stats *stats, uint32_t i);
// One response of a decoupled model. `output_ns` 0: no outputs. Errors: moments out of order.
NRD_MUST_USE struct nrd_status *stats_count_response(struct model_stats *stats, uint64_t index,
                                                     uint64_t start_ns, uint64_t output_ns,
                                                     uint64_t end_ns,
                                                     const struct nrd_status *error);
// What the backend reports to hold, of the model (`instance` NULL) or of one instance; replaces what it said before.
NRD_MUST_USE struct nrd_status *stats_set_memory_usage(struct model_stats *stats,
                                                       struct instance *instance,
                                                       const struct buffer_attributes *const *usage,
                                                       uint32_t count);
// What all of them together say they hold of GPU `device_id`, in bytes. Thread: any.
uint64_t stats_gpu_memory(struct model_stats *stats, struct instance *const *instances,
                          uint32_t instance_count, int64_t device_id);

#endif
