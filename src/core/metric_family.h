// SPDX-License-Identifier: Apache-2.0
// Metric families: counters, gauges and histograms that backends and callers make themselves, and the writing of the
// Prometheus text form.
//
// The ABI names no server when a family is made, so the registry is one a process. A family lives for ever once made,
// as do its name and kind; a metric lives until the last holder of its labels deletes it.
#ifndef NEREID_CORE_METRIC_FAMILY_H
#define NEREID_CORE_METRIC_FAMILY_H

#include "base/status.h"
#include "base/str.h"
#include "core/parameter.h"
#include "triton/core/tritonserver.h"

struct metric;
struct metric_family;

// A family of that name and kind, a new one or the known one. INVALID_ARG when the name is known with another kind, or
// is no metric name. Returns a holder's share: metric_family_release. Thread: any.
NRD_MUST_USE struct nrd_status *metric_family_acquire(TRITONSERVER_MetricKind kind,
                                                      const char *name, const char *help,
                                                      struct metric_family **family);
// INTERNAL while metrics made through this share are left.
NRD_MUST_USE struct nrd_status *metric_family_release(struct metric_family *family);
TRITONSERVER_MetricKind metric_family_kind(const struct metric_family *family);

// The metric of `family` under these labels, a new one or the known one. `bounds` are a histogram's, ascending; others
// have none (NULL). INVALID_ARG when that does not fit. Returns a holder's share: metric_release. Thread: any.
NRD_MUST_USE struct nrd_status *metric_acquire(struct metric_family *family,
                                               const struct parameter *const *labels,
                                               size_t label_count, const double *bounds,
                                               size_t bound_count, struct metric **metric);
void metric_release(struct metric *metric);
TRITONSERVER_MetricKind metric_kind(const struct metric *metric);
// UNSUPPORTED where the kind has no such operation. Thread: any; never blocks.
NRD_MUST_USE struct nrd_status *metric_value(const struct metric *metric, double *value);
NRD_MUST_USE struct nrd_status *metric_increment(struct metric *metric, double value);
NRD_MUST_USE struct nrd_status *metric_set(struct metric *metric, double value);
NRD_MUST_USE struct nrd_status *metric_observe(struct metric *metric, double value);

// Appends all families that have metrics.
void metric_families_write(struct str *out);

// ---- the text form --------------------------------------------------------------------------------------------------

void metric_write_head(struct str *out, const char *name, const char *help, const char *type);
// `labels` are written ones, without braces ("a=\"b\",c=\"d\""), "" for none.
void metric_write_line(struct str *out, const char *name, const char *labels, double value);
// Appends one label, escaped, with a comma before it if `labels` has some.
void metric_write_label(struct str *labels, const char *name, const char *value);

#endif
