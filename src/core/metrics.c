// SPDX-License-Identifier: Apache-2.0
// Metrics: families in Triton's order, with its names, help texts and labels. Start at metrics_write().
#include "core/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "config/model_config.h"
#include "core/gpus.h"
#include "core/lifecycle.h"
#include "core/metric_family.h"
#include "core/metrics_gpu.h"
#include "core/model.h"
#include "core/server.h"
#include "core/stats.h"

struct metrics {
    struct server *server;
    bool counter_latencies;
    bool histogram_latencies;
    // Processor times as of the last look, and what followed from the two looks before.
    pthread_mutex_t cpu_mutex;
    uint64_t cpu_looked_ns;
    uint64_t cpu_busy;
    uint64_t cpu_total;
    double cpu_utilization;
    struct metrics_gpu *gpu; // NULL: not asked for
};

// ---- processor and memory -------------------------------------------------------------------------------------------

// A small file of /proc. False if it cannot be read.
static bool read_proc(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t length = fread(text, 1, size - 1, file);
    text[length] = '\0';
    fclose(file);
    return length > 0;
}

// Jiffies since the start of the system, of all processors together.
static bool read_cpu(uint64_t *busy, uint64_t *total)
{
    char text[512];
    if (!read_proc("/proc/stat", text, sizeof(text)) || strncmp(text, "cpu ", 4) != 0) {
        return false;
    }
    uint64_t fields[8] = {0}; // user nice system idle iowait irq softirq steal
    char *at = text + 4;
    for (size_t i = 0; i < 8; i++) {
        fields[i] = strtoull(at, &at, 10);
    }
    uint64_t idle = fields[3] + fields[4];
    *total = 0;
    for (size_t i = 0; i < 8; i++) {
        *total += fields[i];
    }
    *busy = *total - idle;
    return true;
}

// The share of busy time between two looks that are at least an interval apart.
static double cpu_utilization(struct metrics *metrics)
{
    uint64_t interval_ns = metrics->server->options->metrics_interval_ms * 1000000u;
    pthread_mutex_lock(&metrics->cpu_mutex);
    uint64_t now = clock_now_ns();
    uint64_t busy = 0;
    uint64_t total = 0;
    bool due = metrics->cpu_utilization < 0 || now - metrics->cpu_looked_ns >= interval_ns;
    if (due && read_cpu(&busy, &total) && total > metrics->cpu_total) {
        metrics->cpu_utilization =
            (double)(busy - metrics->cpu_busy) / (double)(total - metrics->cpu_total);
        metrics->cpu_busy = busy;
        metrics->cpu_total = total;
        metrics->cpu_looked_ns = now;
    }
    double value = metrics->cpu_utilization < 0 ? 0 : metrics->cpu_utilization;
    pthread_mutex_unlock(&metrics->cpu_mutex);
    return value;
}

// A line of /proc/meminfo in bytes.
static double meminfo(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at == NULL ? 0 : (double)strtoull(at + strlen(key), NULL, 10) * 1024.0;
}

static void write_gauge(struct str *out, const char *name, const char *help, double value)
{
    metric_write_head(out, name, help, "gauge");
    metric_write_line(out, name, "", value);
}

static void write_system(struct metrics *metrics, struct str *out)
{
    const struct server_options *options = metrics->server->options;
    struct gpu_pool_usage pinned;
    gpus_pinned_usage(metrics->server->gpus, &pinned);
    // The pool counts as what was asked for, also where there is no GPU to pin memory for.
    write_gauge(out, "nv_pinned_memory_pool_total_bytes",
                "Pinned memory pool total memory size, in bytes",
                (double)options->pinned_pool_bytes);
    write_gauge(out, "nv_pinned_memory_pool_used_bytes",
                "Pinned memory pool used memory size, in bytes", (double)pinned.used_bytes);
    char text[4096];
    if (!options->cpu_metrics) {
        return;
    }
    write_gauge(out, "nv_cpu_utilization", "CPU utilization rate [0.0 - 1.0]",
                cpu_utilization(metrics));
    if (!read_proc("/proc/meminfo", text, sizeof(text))) {
        return;
    }
    double total = meminfo(text, "MemTotal:");
    write_gauge(out, "nv_cpu_memory_total_bytes", "CPU total memory (RAM), in bytes", total);
    write_gauge(out, "nv_cpu_memory_used_bytes", "CPU used memory (RAM), in bytes",
                total - meminfo(text, "MemAvailable:"));
}

// ---- models ---------------------------------------------------------------------------------------------------------

// One model version at the moment of the scrape.
struct series {
    const struct model *model;
    struct stats_snapshot stats;
    struct str labels;
};

static int compare_tags(const void *a, const void *b)
{
    const Inference__ModelConfig__MetricTagsEntry *const *x = a;
    const Inference__ModelConfig__MetricTagsEntry *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

// Tags come first, their names led by an underscore; then model and version.
static void make_labels(const struct model *model, struct str *labels)
{
    const Inference__ModelConfig *config = model->config;
    Inference__ModelConfig__MetricTagsEntry **tags =
        mem_calloc(config->n_metric_tags + 1, sizeof(*tags));
    for (size_t i = 0; tags != NULL && i < config->n_metric_tags; i++) {
        tags[i] = config->metric_tags[i];
    }
    if (tags != NULL) {
        qsort(tags, config->n_metric_tags, sizeof(*tags), compare_tags);
    }
    for (size_t i = 0; tags != NULL && i < config->n_metric_tags; i++) {
        struct str name = STR_INIT;
        str_printf(&name, "_%s", tags[i]->key);
        metric_write_label(labels, str_cstr(&name), tags[i]->value);
        str_fini(&name);
    }
    mem_free(tags);
    metric_write_label(labels, "model", model->name);
    metric_write_label(labels, "version", model->version_text);
}

static double us(uint64_t ns)
{
    return (double)(ns / 1000);
}

enum series_value {
    SERIES_SUCCESS,
    SERIES_FAILURE, // four lines, one a reason
    SERIES_COUNT,
    SERIES_EXEC,
    SERIES_REQUEST_US,
    SERIES_QUEUE_US,
    SERIES_INPUT_US,
    SERIES_INFER_US,
    SERIES_OUTPUT_US,
    SERIES_PENDING,
    SERIES_LOAD,
    SERIES_RETRIED, // not Triton's: on machines with GPUs alone
};

static const struct {
    enum series_value value;
    bool latency; // left out with counter_latencies=false
    const char *type;
    const char *name;
    const char *help;
} families[] = {
    {SERIES_SUCCESS, false, "counter", "nv_inference_request_success",
     "Number of successful inference requests, all batch sizes"},
    {SERIES_FAILURE, false, "counter", "nv_inference_request_failure",
     "Number of failed inference requests, all batch sizes"},
    {SERIES_COUNT, false, "counter", "nv_inference_count",
     "Number of inferences performed (does not include cached requests)"},
    {SERIES_EXEC, false, "counter", "nv_inference_exec_count",
     "Number of model executions performed (does not include cached requests)"},
    {SERIES_REQUEST_US, true, "counter", "nv_inference_request_duration_us",
     "Cumulative inference request duration in microseconds (includes cached requests)"},
    {SERIES_QUEUE_US, true, "counter", "nv_inference_queue_duration_us",
     "Cumulative inference queuing duration in microseconds (includes cached requests)"},
    {SERIES_INPUT_US, true, "counter", "nv_inference_compute_input_duration_us",
     "Cumulative compute input duration in microseconds (does not include cached requests)"},
    {SERIES_INFER_US, true, "counter", "nv_inference_compute_infer_duration_us",
     "Cumulative compute inference duration in microseconds (does not include cached requests)"},
    {SERIES_OUTPUT_US, true, "counter", "nv_inference_compute_output_duration_us",
     "Cumulative inference compute output duration in microseconds (does not include cached "
     "requests)"},
    {SERIES_PENDING, false, "gauge", "nv_inference_pending_request_count",
     "Instantaneous number of pending requests awaiting execution per-model."},
    {SERIES_LOAD, false, "gauge", "nv_model_load_duration_secs", "Model load time in seconds"},
    {SERIES_RETRIED, false, "counter", "nereid_inference_retry_count",
     "Number of inference requests executed again because their GPU was lost"},
};

static double series_number(const struct series *series, enum series_value value)
{
    const struct stats_snapshot *stats = &series->stats;
    switch (value) {
    case SERIES_SUCCESS:
        return (double)stats->success.count;
    case SERIES_FAILURE:
        break;
    case SERIES_COUNT:
        return (double)stats->inference_count;
    case SERIES_EXEC:
        return (double)stats->execution_count;
    case SERIES_REQUEST_US:
        return us(stats->success.ns);
    case SERIES_QUEUE_US:
        return us(stats->queue.ns);
    case SERIES_INPUT_US:
        return us(stats->compute_input.ns);
    case SERIES_INFER_US:
        return us(stats->compute_infer.ns);
    case SERIES_OUTPUT_US:
        return us(stats->compute_output.ns);
    case SERIES_PENDING:
        return (double)stats->pending;
    case SERIES_LOAD:
        return (double)series->model->load_duration_ns / 1e9;
    case SERIES_RETRIED:
        return (double)atomic_load_explicit(&series->model->retried_requests, memory_order_relaxed);
    }
    return 0;
}

// Labels are sorted by name, so the reason goes between model and version.
static void write_failures(struct str *out, const struct series *series)
{
    const char *version = strstr(str_cstr(&series->labels), ",version=\"");
    for (const char *next = version; next != NULL;) {
        version = next;
        next = strstr(next + 1, ",version=\"");
    }
    size_t head =
        version == NULL ? series->labels.len : (size_t)(version - str_cstr(&series->labels));
    for (int reason = 0; reason < FAIL_REASON_COUNT; reason++) {
        str_printf(out, "nv_inference_request_failure{%.*s,reason=\"%s\"%s} %llu\n", (int)head,
                   str_cstr(&series->labels), fail_reason_name((enum fail_reason)reason),
                   version == NULL ? "" : version,
                   (unsigned long long)series->stats.failures[reason]);
    }
}

static void write_first_response(struct str *out, const struct series *series, size_t count)
{
    const char *name = "nv_inference_first_response_histogram_ms";
    bool head = false;
    for (size_t i = 0; i < count; i++) {
        const struct series *at = &series[i];
        if ((at->model->flags & MODEL_FLAG_DECOUPLED) == 0) {
            continue;
        }
        if (!head) {
            metric_write_head(out, name, "Duration from request to first response in milliseconds",
                              "histogram");
            head = true;
        }
        const char *labels = str_cstr(&at->labels);
        const struct model_stats *stats = at->model->stats;
        const double *bounds = NULL;
        uint32_t bound_count = stats_first_response_bounds(stats, &bounds);
        str_printf(out, "%s_count{%s} %llu\n", name, labels,
                   (unsigned long long)stats_first_response_count(stats, bound_count));
        str_printf(out, "%s_sum{%s} %llu\n", name, labels,
                   (unsigned long long)(at->stats.first_response_sum_ns / 1000000u));
        for (uint32_t k = 0; k <= bound_count; k++) {
            str_printf(out, "%s_bucket{%s,le=\"", name, labels);
            if (k < bound_count) {
                str_printf(out, "%.17g", bounds[k]);
            } else {
                str_append_cstr(out, "+Inf");
            }
            str_printf(out, "\"} %llu\n", (unsigned long long)stats_first_response_count(stats, k));
        }
    }
}

static void write_models(const struct metrics *metrics, const struct series *series, size_t count,
                         struct str *out)
{
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]) && count > 0; f++) {
        bool gpus = gpus_count(metrics->server->gpus) > 0;
        if ((families[f].latency && !metrics->counter_latencies) ||
            (families[f].value == SERIES_RETRIED && !gpus)) {
            continue;
        }
        metric_write_head(out, families[f].name, families[f].help, families[f].type);
        for (size_t i = 0; i < count; i++) {
            if (families[f].value == SERIES_FAILURE) {
                write_failures(out, &series[i]);
            } else {
                metric_write_line(out, families[f].name, str_cstr(&series[i].labels),
                                  series_number(&series[i], families[f].value));
            }
        }
    }
}

// ---- the whole ------------------------------------------------------------------------------------------------------

static struct nrd_status *read_settings(struct metrics *metrics)
{
    const struct setting_list *list = &metrics->server->options->metrics_config;
    for (size_t i = 0; i < list->count; i++) {
        const struct setting *at = &list->items[i];
        bool on = strcmp(at->value, "true") == 0;
        if (strcmp(at->key, "counter_latencies") == 0) {
            metrics->counter_latencies = strcmp(at->value, "false") != 0;
        } else if (strcmp(at->key, "histogram_latencies") == 0) {
            metrics->histogram_latencies = on;
        } else if (strcmp(at->key, "summary_latencies") == 0 && on) {
            return status_new(NRD_UNSUPPORTED,
                              "--metrics-config summary_latencies=true is not built yet");
        }
    }
    return NULL;
}

struct nrd_status *metrics_create(struct server *server, struct metrics **out)
{
    struct metrics *metrics = mem_calloc(1, sizeof(*metrics));
    if (metrics == NULL) {
        return status_no_memory();
    }
    metrics->server = server;
    metrics->counter_latencies = true;
    metrics->cpu_utilization = -1;
    struct nrd_status *status = read_settings(metrics);
    if (status != NULL) {
        mem_free(metrics);
        return status;
    }
    pthread_mutex_init(&metrics->cpu_mutex, NULL);
    metrics->cpu_looked_ns = clock_now_ns();
    if (server->options->cpu_metrics) {
        read_cpu(&metrics->cpu_busy, &metrics->cpu_total);
    }
    if (server->options->gpu_metrics) {
        metrics->gpu = metrics_gpu_create(server);
        if (metrics->gpu == NULL) {
            metrics_destroy(metrics);
            return status_no_memory();
        }
    }
    *out = metrics;
    return NULL;
}

bool metrics_want_first_response(const struct metrics *metrics)
{
    return metrics != NULL && metrics->histogram_latencies;
}

void metrics_destroy(struct metrics *metrics)
{
    if (metrics != NULL) {
        metrics_gpu_destroy(metrics->gpu);
        pthread_mutex_destroy(&metrics->cpu_mutex);
        mem_free(metrics);
    }
}

struct nrd_status *metrics_write(struct metrics *metrics, struct str *out)
{
    struct version_rows rows = {0};
    NRD_TRY(lifecycle_rows(metrics->server->lifecycle, NULL, true, &rows));
    struct series *series = mem_calloc(rows.count + 1, sizeof(*series));
    size_t count = 0;
    for (size_t i = 0; series != NULL && i < rows.count; i++) {
        if (rows.items[i].model != NULL) {
            series[count].model = rows.items[i].model;
            stats_snapshot(rows.items[i].model->stats, &series[count].stats);
            make_labels(rows.items[i].model, &series[count].labels);
            count++;
        }
    }
    if (series != NULL) {
        write_models(metrics, series, count, out);
        if (metrics->gpu != NULL) {
            metrics_gpu_write(metrics->gpu, out);
        }
        write_system(metrics, out);
        if (metrics->histogram_latencies) {
            write_first_response(out, series, count);
        }
        metric_families_write(out);
    }
    for (size_t i = 0; i < count; i++) {
        str_fini(&series[i].labels);
    }
    version_rows_fini(&rows);
    if (series == NULL) {
        return status_no_memory();
    }
    mem_free(series);
    return str_status(out);
}
