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
#include "core/gpus.h"
#include "core/lifecycle.h"
#include "core/metric_family.h"
#include "core/metrics_gpu.h"
#include "core/metrics_model.h"
#include "core/server.h"

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
    struct model_series_list series;
    NRD_TRY(lifecycle_rows(metrics->server->lifecycle, NULL, true, &rows));
    struct nrd_status *status = model_series_read(&rows, &series);
    if (status != NULL) {
        version_rows_fini(&rows);
        return status;
    }
    model_series_write(&series, metrics->counter_latencies, gpus_count(metrics->server->gpus) > 0,
                       out);
    if (metrics->gpu != NULL) {
        metrics_gpu_write(metrics->gpu, out);
    }
    write_system(metrics, out);
    if (metrics->histogram_latencies) {
        model_series_write_first_response(&series, out);
    }
    metric_families_write(out);
    model_series_fini(&series);
    version_rows_fini(&rows);
    return str_status(out);
}

void metrics_model_ready(struct metrics *metrics, struct model *model)
{
    if (metrics != NULL && metrics->gpu != NULL) {
        metrics_gpu_model_ready(metrics->gpu, model);
    }
}

void metrics_model_gone(struct metrics *metrics, struct model *model)
{
    if (metrics != NULL && metrics->gpu != NULL) {
        metrics_gpu_model_gone(metrics->gpu, model);
    }
}
