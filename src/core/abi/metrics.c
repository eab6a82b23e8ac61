// SPDX-License-Identifier: Apache-2.0
// TRITONSERVER_Metric*, MetricFamily*, MetricArgs*, Metrics*, ServerMetrics.
#include "core/abi/abi.h"

#include "base/mem.h"
#include "core/message.h"
#include "core/metric_family.h"
#include "core/metrics.h"
#include "core/server.h"

struct metric_args {
    bool histogram;
    double *bounds;
    size_t count;
};

// ---- all of them ----------------------------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONSERVER_ServerMetrics(TRITONSERVER_Server *server,
                                               TRITONSERVER_Metrics **metrics)
{
    struct metrics *own = ((struct server *)server)->metrics;
    if (own == NULL) {
        *metrics = NULL;
        return abi_error(status_new(NRD_UNSUPPORTED, "metrics not supported"));
    }
    struct str out = STR_INIT;
    struct message *text = NULL;
    struct nrd_status *status = metrics_write(own, &out);
    if (status == NULL) {
        status = message_take(&out, &text);
    }
    str_fini(&out);
    if (status == NULL) {
        *metrics = (TRITONSERVER_Metrics *)text;
    }
    return abi_error(status);
}

TRITONSERVER_Error *TRITONSERVER_MetricsDelete(TRITONSERVER_Metrics *metrics)
{
    message_destroy((struct message *)metrics);
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_MetricsFormatted(TRITONSERVER_Metrics *metrics,
                                                  TRITONSERVER_MetricFormat format,
                                                  const char **base, size_t *byte_size)
{
    if (format != TRITONSERVER_METRIC_PROMETHEUS) {
        return abi_error(status_new(NRD_INVALID_ARG, "unknown metrics format '%d'", (int)format));
    }
    const struct message *text = (const struct message *)metrics;
    *base = text->text;
    *byte_size = text->length;
    return NULL;
}

// ---- families -------------------------------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONSERVER_MetricFamilyNew(TRITONSERVER_MetricFamily **family,
                                                 const TRITONSERVER_MetricKind kind,
                                                 const char *name, const char *description)
{
    struct metric_family *made = NULL;
    struct nrd_status *status = metric_family_acquire(kind, name, description, &made);
    if (status == NULL) {
        *family = (TRITONSERVER_MetricFamily *)made;
    }
    return abi_error(status);
}

TRITONSERVER_Error *TRITONSERVER_MetricFamilyDelete(TRITONSERVER_MetricFamily *family)
{
    return abi_error(metric_family_release((struct metric_family *)family));
}

TRITONSERVER_Error *TRITONSERVER_GetMetricFamilyKind(TRITONSERVER_MetricFamily *family,
                                                     TRITONSERVER_MetricKind *kind)
{
    *kind = metric_family_kind((const struct metric_family *)family);
    return NULL;
}

// ---- arguments ------------------------------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONSERVER_MetricArgsNew(TRITONSERVER_MetricArgs **args)
{
    struct metric_args *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return abi_error(status_no_memory());
    }
    *args = (TRITONSERVER_MetricArgs *)made;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_MetricArgsSetHistogram(TRITONSERVER_MetricArgs *args,
                                                        const double *buckets,
                                                        const uint64_t buckets_count)
{
    struct metric_args *own = (struct metric_args *)args;
    double *bounds = mem_calloc(buckets_count + 1, sizeof(*bounds));
    if (bounds == NULL) {
        return abi_error(status_no_memory());
    }
    for (uint64_t i = 0; i < buckets_count; i++) {
        bounds[i] = buckets[i];
    }
    mem_free(own->bounds);
    *own = (struct metric_args){true, bounds, buckets_count};
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_MetricArgsDelete(TRITONSERVER_MetricArgs *args)
{
    struct metric_args *own = (struct metric_args *)args;
    if (own != NULL) {
        mem_free(own->bounds);
        mem_free(own);
    }
    return NULL;
}

// ---- metrics --------------------------------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONSERVER_MetricNew(TRITONSERVER_Metric **metric,
                                           TRITONSERVER_MetricFamily *family,
                                           const TRITONSERVER_Parameter **labels,
                                           const uint64_t label_count)
{
    return TRITONSERVER_MetricNewWithArgs(metric, family, labels, label_count, NULL);
}

TRITONSERVER_Error *TRITONSERVER_MetricNewWithArgs(TRITONSERVER_Metric **metric,
                                                   TRITONSERVER_MetricFamily *family,
                                                   const TRITONSERVER_Parameter **labels,
                                                   const uint64_t label_count,
                                                   const TRITONSERVER_MetricArgs *args)
{
    struct metric_family *own = (struct metric_family *)family;
    const struct metric_args *bounds = (const struct metric_args *)args;
    if (bounds != NULL && !bounds->histogram &&
        metric_family_kind(own) == TRITONSERVER_METRIC_KIND_HISTOGRAM) {
        return abi_error(status_new(NRD_INVALID_ARG, "Metric args not set to histogram kind."));
    }
    static const double none[1];
    struct metric *made = NULL;
    struct nrd_status *status =
        metric_acquire(own, (const struct parameter *const *)labels, label_count,
                       bounds == NULL           ? NULL
                       : bounds->bounds == NULL ? none
                                                : bounds->bounds,
                       bounds == NULL ? 0 : bounds->count, &made);
    if (status == NULL) {
        *metric = (TRITONSERVER_Metric *)made;
    }
    return abi_error(status);
}

TRITONSERVER_Error *TRITONSERVER_MetricDelete(TRITONSERVER_Metric *metric)
{
    metric_release((struct metric *)metric);
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_MetricValue(TRITONSERVER_Metric *metric, double *value)
{
    return abi_error(metric_value((const struct metric *)metric, value));
}

TRITONSERVER_Error *TRITONSERVER_MetricIncrement(TRITONSERVER_Metric *metric, double value)
{
    return abi_error(metric_increment((struct metric *)metric, value));
}

TRITONSERVER_Error *TRITONSERVER_MetricSet(TRITONSERVER_Metric *metric, double value)
{
    return abi_error(metric_set((struct metric *)metric, value));
}

TRITONSERVER_Error *TRITONSERVER_MetricObserve(TRITONSERVER_Metric *metric, double value)
{
    return abi_error(metric_observe((struct metric *)metric, value));
}

TRITONSERVER_Error *TRITONSERVER_GetMetricKind(TRITONSERVER_Metric *metric,
                                               TRITONSERVER_MetricKind *kind)
{
    *kind = metric_kind((const struct metric *)metric);
    return NULL;
}
