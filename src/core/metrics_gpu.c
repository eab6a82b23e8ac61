// SPDX-License-Identifier: Apache-2.0
// Metrics of GPUs: what NVML says of each, under Triton's names, read when somebody asks, but not more often than the interval of
// --metrics-interval-ms: a look takes about a millisecond a GPU. What a GPU cannot tell is left out, as Triton does. Beside them what
// the models of this server did on each GPU: those that are loaded, and those that were, so that the counters never go back.
#include "core/metrics_gpu.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/device_usage.h"
#include "core/gpus.h"
#include "core/metric_family.h"
#include "core/model.h"
#include "core/server.h"
#include "gpu/nvml.h"

struct metrics_gpu {
    struct server *server;
    pthread_mutex_t mutex;
    uint64_t looked_ns; // 0: never
    struct nvml_sample samples[GPU_DEVICES_MAX];
    double energy_before[GPU_DEVICES_MAX]; // at the first look
    bool has_before[GPU_DEVICES_MAX];
    struct list_node models;                  // by gpu_metrics_node
    struct stats_usage gone[GPU_DEVICES_MAX]; // what models did that are no more
};

struct metrics_gpu *metrics_gpu_create(struct server *server)
{
    struct metrics_gpu *metrics = mem_calloc(1, sizeof(*metrics));
    if (metrics != NULL) {
        metrics->server = server;
        pthread_mutex_init(&metrics->mutex, NULL);
        list_init(&metrics->models);
    }
    return metrics;
}

void metrics_gpu_destroy(struct metrics_gpu *metrics)
{
    if (metrics != NULL) {
        pthread_mutex_destroy(&metrics->mutex);
        mem_free(metrics);
    }
}

// With the mutex held.
static void look(struct metrics_gpu *metrics, int count)
{
    uint64_t interval_ns = metrics->server->options->metrics_interval_ms * 1000000u;
    uint64_t now = clock_now_ns();
    if (metrics->looked_ns != 0 && now - metrics->looked_ns < interval_ns) {
        return;
    }
    metrics->looked_ns = now;
    for (int i = 0; i < count; i++) {
        struct nvml_sample *sample = &metrics->samples[i];
        *sample = (struct nvml_sample){0};
        const struct gpu_device *device = gpus_device(metrics->server->gpus, i);
        status_free(nvml_read(gpu_device_info(device)->uuid, sample)); // what failed is absent
        if (sample->has_energy && !metrics->has_before[i]) {
            metrics->energy_before[i] = sample->energy_joules;
            metrics->has_before[i] = true;
        }
    }
}

enum gpu_value {
    GPU_UTILIZATION,
    GPU_MEMORY_TOTAL,
    GPU_MEMORY_USED,
    GPU_POWER_USAGE,
    GPU_POWER_LIMIT,
    GPU_ENERGY
};

static const struct {
    enum gpu_value value;
    const char *type;
    const char *name;
    const char *help;
} families[] = {
    {GPU_UTILIZATION, "gauge", "nv_gpu_utilization", "GPU utilization rate [0.0 - 1.0)"},
    {GPU_MEMORY_TOTAL, "gauge", "nv_gpu_memory_total_bytes", "GPU total memory, in bytes"},
    {GPU_MEMORY_USED, "gauge", "nv_gpu_memory_used_bytes", "GPU used memory, in bytes"},
    {GPU_POWER_USAGE, "gauge", "nv_gpu_power_usage", "GPU power usage in watts"},
    {GPU_POWER_LIMIT, "gauge", "nv_gpu_power_limit", "GPU power management limit in watts"},
    {GPU_ENERGY, "counter", "nv_energy_consumption",
     "GPU energy consumption in joules since the Triton Server started"},
};

static bool number(const struct metrics_gpu *metrics, int gpu, enum gpu_value value, double *out)
{
    const struct nvml_sample *sample = &metrics->samples[gpu];
    switch (value) {
    case GPU_UTILIZATION:
        *out = sample->utilization;
        return sample->has_utilization;
    case GPU_MEMORY_TOTAL:
        *out = (double)sample->memory_total_bytes;
        return sample->has_memory;
    case GPU_MEMORY_USED:
        *out = (double)sample->memory_used_bytes;
        return sample->has_memory;
    case GPU_POWER_USAGE:
        *out = sample->power_usage_watts;
        return sample->has_power_usage;
    case GPU_POWER_LIMIT:
        *out = sample->power_limit_watts;
        return sample->has_power_limit;
    case GPU_ENERGY:
        *out = sample->energy_joules - metrics->energy_before[gpu];
        return sample->has_energy;
    }
    return false;
}

// Ours alone: whether a GPU is lost to this server. NVML does not know of contexts.
static void write_lost(struct metrics_gpu *metrics, int count, struct str *out)
{
    metric_write_head(out, "nereid_gpu_lost",
                      "1 when the GPU is lost to this server, which then uses it no more", "gauge");
    for (int i = 0; i < count; i++) {
        struct str labels = STR_INIT;
        metric_write_label(&labels, "gpu_uuid",
                           gpu_device_info(gpus_device(metrics->server->gpus, i))->uuid);
        metric_write_line(out, "nereid_gpu_lost", str_cstr(&labels),
                          gpus_is_lost(metrics->server->gpus, i) ? 1 : 0);
        str_fini(&labels);
    }
}

// ---- what models do ---------------------------------------------------------------------------------------------------

// What a GPU does for all models.
struct gpu_work {
    struct stats_usage done;
    uint64_t queued;
};

static void add_work(const struct model *model, struct gpu_work *work)
{
    struct device_usage usage[GPU_DEVICES_MAX + 2];
    uint32_t count = model_device_usage(model, usage, GPU_DEVICES_MAX + 2);
    for (uint32_t i = 0; i < count; i++) {
        int32_t id = usage[i].device_id;
        if (usage[i].kind == TRITONSERVER_INSTANCEGROUPKIND_GPU && id >= 0 &&
            id < GPU_DEVICES_MAX) {
            stats_usage_add(&work[id].done, &usage[i].done);
            work[id].queued += usage[i].queued_requests;
        }
    }
}

void metrics_gpu_model_ready(struct metrics_gpu *metrics, struct model *model)
{
    pthread_mutex_lock(&metrics->mutex);
    list_push_back(&metrics->models, &model->gpu_metrics_node);
    pthread_mutex_unlock(&metrics->mutex);
}

void metrics_gpu_model_gone(struct metrics_gpu *metrics, struct model *model)
{
    struct gpu_work work[GPU_DEVICES_MAX] = {0};
    pthread_mutex_lock(&metrics->mutex);
    if (!list_empty(&model->gpu_metrics_node)) {
        list_remove(&model->gpu_metrics_node);
        add_work(model, work);
        for (int i = 0; i < GPU_DEVICES_MAX; i++) {
            stats_usage_add(&metrics->gone[i], &work[i].done);
        }
    }
    pthread_mutex_unlock(&metrics->mutex);
}

enum work_value {
    WORK_REQUESTS,
    WORK_ROWS,
    WORK_BATCHES,
    WORK_QUEUE_US,
    WORK_BUSY_US,
    WORK_QUEUED
};

static const struct {
    enum work_value value;
    const char *type;
    const char *name;
    const char *help;
} work_families[] = {
    {WORK_REQUESTS, "counter", "nereid_gpu_request_success",
     "Number of successful inference requests that the GPU executed, of all models since the "
     "start"},
    {WORK_ROWS, "counter", "nereid_gpu_inference_count",
     "Number of inferences (rows of batches) that the GPU executed, of all models since the start"},
    {WORK_BATCHES, "counter", "nereid_gpu_exec_count",
     "Number of batches that the GPU executed, of all models since the start"},
    {WORK_QUEUE_US, "counter", "nereid_gpu_queue_duration_us",
     "Cumulative time that the GPU's requests were queued, in microseconds"},
    {WORK_BUSY_US, "counter", "nereid_gpu_busy_duration_us",
     "Cumulative time that instances on the GPU spent in batches, in microseconds; two at once "
     "count twice"},
    {WORK_QUEUED, "gauge", "nereid_gpu_pending_request_count",
     "Instantaneous number of pending requests that the GPU is expected to execute"},
};

static double work_number(const struct gpu_work *work, enum work_value value)
{
    switch (value) {
    case WORK_REQUESTS:
        return (double)work->done.requests;
    case WORK_ROWS:
        return (double)work->done.rows;
    case WORK_BATCHES:
        return (double)work->done.batches;
    case WORK_QUEUE_US:
        return (double)(work->done.queue_ns / 1000);
    case WORK_BUSY_US:
        return (double)(work->done.busy_ns / 1000);
    case WORK_QUEUED:
        return (double)work->queued;
    }
    return 0;
}

// With the mutex held.
static void write_work(struct metrics_gpu *metrics, int count, struct str *out)
{
    struct gpu_work work[GPU_DEVICES_MAX] = {0};
    struct gpus *gpus = metrics->server->gpus;
    for (int i = 0; i < count; i++) {
        work[i].done = metrics->gone[i];
    }
    LIST_FOR(node, &metrics->models)
    {
        add_work(CONTAINER_OF(node, struct model, gpu_metrics_node), work);
    }
    for (size_t f = 0; f < sizeof(work_families) / sizeof(work_families[0]); f++) {
        metric_write_head(out, work_families[f].name, work_families[f].help, work_families[f].type);
        for (int i = 0; i < count; i++) {
            struct str labels = STR_INIT;
            metric_write_label(&labels, "gpu_uuid", gpu_device_info(gpus_device(gpus, i))->uuid);
            metric_write_line(out, work_families[f].name, str_cstr(&labels),
                              work_number(&work[i], work_families[f].value));
            str_fini(&labels);
        }
    }
}

void metrics_gpu_write(struct metrics_gpu *metrics, struct str *out)
{
    int count = gpus_count(metrics->server->gpus);
    if (count == 0) {
        return;
    }
    pthread_mutex_lock(&metrics->mutex);
    look(metrics, count);
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        metric_write_head(out, families[f].name, families[f].help, families[f].type);
        for (int i = 0; i < count; i++) {
            double value;
            if (!number(metrics, i, families[f].value, &value)) {
                continue;
            }
            struct str labels = STR_INIT;
            metric_write_label(&labels, "gpu_uuid",
                               gpu_device_info(gpus_device(metrics->server->gpus, i))->uuid);
            metric_write_line(out, families[f].name, str_cstr(&labels), value);
            str_fini(&labels);
        }
    }
    write_work(metrics, count, out);
    pthread_mutex_unlock(&metrics->mutex);
    write_lost(metrics, count, out);
}
