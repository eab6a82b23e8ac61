// SPDX-License-Identifier: Apache-2.0
// Metric families: the registry. One mutex guards its structure; values are atomics, so counting takes no lock.
#include "core/metric_family.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

struct metric {
    struct metric_family *family;
    unsigned holders;
    char *labels;           // as written
    _Atomic uint64_t value; // the bits of a double: a counter's or gauge's value, a histogram's sum
    double *bounds;
    size_t bound_count;
    _Atomic uint64_t *buckets; // one more than bounds; each counts its own range only
};

struct metric_family {
    char *name;
    char *help;
    TRITONSERVER_MetricKind kind;
    unsigned holders;
    struct map metrics; // labels -> struct metric
    size_t shares;      // of metrics
};

// The one registry of the process: the ABI names no server here.
static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct map registry; // name -> struct metric_family; zeroed is empty

static double to_double(uint64_t bits)
{
    double value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint64_t to_bits(double value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static void add_to(_Atomic uint64_t *target, double value)
{
    uint64_t old = atomic_load_explicit(target, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(target, &old, to_bits(to_double(old) + value),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

// ---- families -------------------------------------------------------------------------------------------------------

static bool is_metric_name(const char *name)
{
    for (const char *at = name; *at != '\0'; at++) {
        bool letter =
            (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || *at == '_' || *at == ':';
        if (!letter && !(at != name && *at >= '0' && *at <= '9')) {
            return false;
        }
    }
    return name[0] != '\0';
}

static void family_free(struct metric_family *family)
{
    if (family != NULL) {
        map_fini(&family->metrics);
        mem_free(family->name);
        mem_free(family->help);
        mem_free(family);
    }
}

// A family that is not known yet. Thread: holds the mutex.
static struct nrd_status *family_create(TRITONSERVER_MetricKind kind, const char *name,
                                        const char *help, struct metric_family **out)
{
    struct metric_family *family = mem_calloc(1, sizeof(*family));
    if (family == NULL) {
        return status_no_memory();
    }
    map_init(&family->metrics);
    family->kind = kind;
    family->name = mem_strdup(name);
    family->help = mem_strdup(help);
    struct nrd_status *status = family->name == NULL || family->help == NULL
                                    ? status_no_memory()
                                    : map_put(&registry, slice_of(name), family, NULL);
    if (status != NULL) {
        family_free(family);
        return status;
    }
    *out = family;
    return NULL;
}

struct nrd_status *metric_family_acquire(TRITONSERVER_MetricKind kind, const char *name,
                                         const char *help, struct metric_family **out)
{
    if ((unsigned)kind > TRITONSERVER_METRIC_KIND_HISTOGRAM) {
        return status_new(NRD_INVALID_ARG, "Unsupported kind passed to MetricFamily constructor.");
    }
    if (!is_metric_name(name)) {
        return status_new(NRD_INVALID_ARG, "Invalid metric name '%s'", name);
    }
    pthread_mutex_lock(&registry_mutex);
    struct metric_family *family = map_get(&registry, slice_of(name));
    struct nrd_status *status = NULL;
    if (family == NULL) {
        status = family_create(kind, name, help == NULL ? "" : help, &family);
    } else if (family->kind != kind) {
        status = status_new(NRD_INVALID_ARG,
                            "Metric name '%s' is already registered as another "
                            "kind",
                            name);
    }
    if (status == NULL) {
        family->holders++;
        *out = family;
    }
    pthread_mutex_unlock(&registry_mutex);
    return status;
}

struct nrd_status *metric_family_release(struct metric_family *family)
{
    if (family == NULL) {
        return NULL;
    }
    struct nrd_status *status = NULL;
    pthread_mutex_lock(&registry_mutex);
    if (family->shares > 0 && family->holders <= 1) {
        status = status_new(NRD_INTERNAL, "Must call MetricDelete on all dependent metrics before "
                                          "calling MetricFamilyDelete.");
    } else if (--family->holders == 0) {
        map_remove(&registry, slice_of(family->name));
        family_free(family);
    }
    pthread_mutex_unlock(&registry_mutex);
    return status;
}

TRITONSERVER_MetricKind metric_family_kind(const struct metric_family *family)
{
    return family->kind;
}

// ---- metrics --------------------------------------------------------------------------------------------------------

static int compare_labels(const void *a, const void *b)
{
    const struct parameter *const *x = a;
    const struct parameter *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

// The written form, labels sorted by name.
static struct nrd_status *write_labels(const struct parameter *const *labels, size_t count,
                                       struct str *out)
{
    const struct parameter **sorted = mem_calloc(count + 1, sizeof(const struct parameter *));
    if (sorted == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < count; i++) {
        sorted[i] = labels[i];
        if (labels[i]->type != TRITONSERVER_PARAMETER_STRING && status == NULL) {
            status = status_new(NRD_INVALID_ARG,
                                "Parameter [%s] must have a type of TRITONSERVER_PARAMETER_STRING "
                                "to be added as a label.",
                                labels[i]->name);
        }
    }
    if (status == NULL) {
        qsort(sorted, count, sizeof(const struct parameter *), compare_labels);
        for (size_t i = 0; i < count; i++) {
            metric_write_label(out, sorted[i]->name, sorted[i]->value.string);
        }
        status = str_status(out);
    }
    mem_free(sorted);
    return status;
}

static void metric_free(struct metric *metric)
{
    if (metric != NULL) {
        mem_free(metric->labels);
        mem_free(metric->bounds);
        mem_free(metric->buckets);
        mem_free(metric);
    }
}

static struct metric *metric_create(struct metric_family *family, const char *labels,
                                    const double *bounds, size_t bound_count)
{
    struct metric *metric = mem_calloc(1, sizeof(*metric));
    if (metric == NULL) {
        return NULL;
    }
    metric->family = family;
    metric->labels = mem_strdup(labels);
    atomic_init(&metric->value, to_bits(0));
    if (family->kind == TRITONSERVER_METRIC_KIND_HISTOGRAM) {
        metric->bounds = mem_calloc(bound_count + 1, sizeof(double));
        metric->buckets = mem_calloc(bound_count + 1, sizeof(_Atomic uint64_t));
        if (metric->bounds == NULL || metric->buckets == NULL) {
            metric_free(metric);
            return NULL;
        }
        for (size_t i = 0; i < bound_count; i++) {
            metric->bounds[i] = bounds[i];
        }
        metric->bound_count = bound_count;
    }
    if (metric->labels == NULL) {
        metric_free(metric);
        return NULL;
    }
    return metric;
}

static struct nrd_status *check_bounds(const struct metric_family *family, const double *bounds,
                                       size_t count)
{
    if (family->kind != TRITONSERVER_METRIC_KIND_HISTOGRAM) {
        return bounds == NULL
                   ? NULL
                   : status_new(NRD_INVALID_ARG, "Unexpected args found in %s Metric constructor.",
                                family->kind == TRITONSERVER_METRIC_KIND_GAUGE ? "gauge"
                                                                               : "counter");
    }
    if (bounds == NULL) {
        return status_new(NRD_INVALID_ARG, "Bucket boundaries not found in Metric args.");
    }
    for (size_t i = 1; i < count; i++) {
        if (!(bounds[i - 1] < bounds[i])) {
            return status_new(NRD_INVALID_ARG, "Bucket Boundaries must be strictly sorted");
        }
    }
    return NULL;
}

struct nrd_status *metric_acquire(struct metric_family *family,
                                  const struct parameter *const *labels, size_t label_count,
                                  const double *bounds, size_t bound_count, struct metric **out)
{
    NRD_TRY(check_bounds(family, bounds, bound_count));
    struct str text = STR_INIT;
    struct nrd_status *status = write_labels(labels, label_count, &text);
    if (status != NULL) {
        str_fini(&text);
        return status;
    }
    pthread_mutex_lock(&registry_mutex);
    struct metric *metric = map_get(&family->metrics, str_slice(&text));
    if (metric == NULL) {
        metric = metric_create(family, str_cstr(&text), bounds, bound_count);
        status = metric == NULL ? status_no_memory()
                                : map_put(&family->metrics, str_slice(&text), metric, NULL);
        if (status != NULL) {
            metric_free(metric);
        }
    }
    if (status == NULL) {
        metric->holders++;
        family->shares++;
        *out = metric;
    }
    pthread_mutex_unlock(&registry_mutex);
    str_fini(&text);
    return status;
}

void metric_release(struct metric *metric)
{
    if (metric == NULL) {
        return;
    }
    pthread_mutex_lock(&registry_mutex);
    metric->family->shares--;
    if (--metric->holders == 0) {
        map_remove(&metric->family->metrics, slice_of(metric->labels));
        metric_free(metric);
    }
    pthread_mutex_unlock(&registry_mutex);
}

TRITONSERVER_MetricKind metric_kind(const struct metric *metric)
{
    return metric->family->kind;
}

static const char *kind_name(TRITONSERVER_MetricKind kind)
{
    switch (kind) {
    case TRITONSERVER_METRIC_KIND_COUNTER:
        return "TRITONSERVER_METRIC_KIND_COUNTER";
    case TRITONSERVER_METRIC_KIND_GAUGE:
        return "TRITONSERVER_METRIC_KIND_GAUGE";
    case TRITONSERVER_METRIC_KIND_HISTOGRAM:
        return "TRITONSERVER_METRIC_KIND_HISTOGRAM";
    }
    return "<invalid>";
}

static struct nrd_status *refuse(const struct metric *metric, const char *operation)
{
    return status_new(NRD_UNSUPPORTED, "%s does not support %s", kind_name(metric->family->kind),
                      operation);
}

struct nrd_status *metric_value(const struct metric *metric, double *value)
{
    if (metric->family->kind == TRITONSERVER_METRIC_KIND_HISTOGRAM) {
        return refuse(metric, "Value");
    }
    *value = to_double(atomic_load_explicit(&metric->value, memory_order_relaxed));
    return NULL;
}

struct nrd_status *metric_increment(struct metric *metric, double value)
{
    if (metric->family->kind == TRITONSERVER_METRIC_KIND_HISTOGRAM) {
        return refuse(metric, "Increment");
    }
    if (metric->family->kind == TRITONSERVER_METRIC_KIND_COUNTER && value < 0.0) {
        return status_new(NRD_INVALID_ARG,
                          "TRITONSERVER_METRIC_KIND_COUNTER can only be incremented monotonically "
                          "by non-negative values.");
    }
    add_to(&metric->value, value);
    return NULL;
}

struct nrd_status *metric_set(struct metric *metric, double value)
{
    if (metric->family->kind != TRITONSERVER_METRIC_KIND_GAUGE) {
        return refuse(metric, "Set");
    }
    atomic_store_explicit(&metric->value, to_bits(value), memory_order_relaxed);
    return NULL;
}

struct nrd_status *metric_observe(struct metric *metric, double value)
{
    if (metric->family->kind != TRITONSERVER_METRIC_KIND_HISTOGRAM) {
        return refuse(metric, "Observe");
    }
    size_t at = 0;
    while (at < metric->bound_count && value > metric->bounds[at]) {
        at++;
    }
    atomic_fetch_add_explicit(&metric->buckets[at], 1, memory_order_relaxed);
    add_to(&metric->value, value);
    return NULL;
}

// ---- the text form --------------------------------------------------------------------------------------------------

static void append_escaped(struct str *out, const char *text, bool quotes)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\n') {
            str_append_cstr(out, "\\n");
        } else if (*at == '\\' || (quotes && *at == '"')) {
            str_append_char(out, '\\');
            str_append_char(out, *at);
        } else {
            str_append_char(out, *at);
        }
    }
}

// 17 digits at most, so that the value reads back as the same double.
static void append_number(struct str *out, double value)
{
    if (isnan(value)) {
        str_append_cstr(out, "Nan");
    } else if (isinf(value)) {
        str_append_cstr(out, value < 0 ? "-Inf" : "+Inf");
    } else {
        str_printf(out, "%.17g", value);
    }
}

void metric_write_head(struct str *out, const char *name, const char *help, const char *type)
{
    if (help[0] != '\0') {
        str_printf(out, "# HELP %s ", name);
        append_escaped(out, help, false);
        str_append_char(out, '\n');
    }
    str_printf(out, "# TYPE %s %s\n", name, type);
}

void metric_write_line(struct str *out, const char *name, const char *labels, double value)
{
    str_append_cstr(out, name);
    if (labels[0] != '\0') {
        str_printf(out, "{%s}", labels);
    }
    str_append_char(out, ' ');
    append_number(out, value);
    str_append_char(out, '\n');
}

void metric_write_label(struct str *labels, const char *name, const char *value)
{
    str_printf(labels, "%s%s=\"", labels->len > 0 ? "," : "", name);
    append_escaped(labels, value, true);
    str_append_char(labels, '"');
}

static void write_histogram(struct str *out, const struct metric *metric)
{
    const char *name = metric->family->name;
    const char *comma = metric->labels[0] == '\0' ? "" : ",";
    uint64_t total = 0;
    struct str buckets = STR_INIT; // written first, so that the count is that of the last bucket
    for (size_t i = 0; i <= metric->bound_count; i++) {
        total += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
        str_printf(&buckets, "%s_bucket{%s%sle=\"", name, metric->labels, comma);
        append_number(&buckets, i < metric->bound_count ? metric->bounds[i] : INFINITY);
        str_printf(&buckets, "\"} %llu\n", (unsigned long long)total);
    }
    str_printf(out, "%s_count", name);
    metric_write_line(out, "", metric->labels, (double)total);
    str_printf(out, "%s_sum", name);
    metric_write_line(out, "", metric->labels,
                      to_double(atomic_load_explicit(&metric->value, memory_order_relaxed)));
    str_append_slice(out, str_slice(&buckets));
    str_fini(&buckets);
}

void metric_families_write(struct str *out)
{
    static const char *const types[] = {
        [TRITONSERVER_METRIC_KIND_COUNTER] = "counter",
        [TRITONSERVER_METRIC_KIND_GAUGE] = "gauge",
        [TRITONSERVER_METRIC_KIND_HISTOGRAM] = "histogram",
    };
    pthread_mutex_lock(&registry_mutex);
    size_t at = 0;
    struct map_entry *slot = NULL;
    while (map_next(&registry, &at, &slot)) {
        const struct metric_family *family = slot->value;
        if (family->metrics.live == 0) {
            continue;
        }
        metric_write_head(out, family->name, family->help, types[family->kind]);
        size_t inner = 0;
        struct map_entry *entry = NULL;
        while (map_next(&family->metrics, &inner, &entry)) {
            const struct metric *metric = entry->value;
            if (family->kind == TRITONSERVER_METRIC_KIND_HISTOGRAM) {
                write_histogram(out, metric);
            } else {
                metric_write_line(
                    out, family->name, metric->labels,
                    to_double(atomic_load_explicit(&metric->value, memory_order_relaxed)));
            }
        }
    }
    pthread_mutex_unlock(&registry_mutex);
}
