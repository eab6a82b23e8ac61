// SPDX-License-Identifier: Apache-2.0
// Metrics of GPUs: what NVML says of each, under Triton's names, read when somebody asks, but not more often than the interval of
// --metrics-interval-ms: a look takes about a millisecond a GPU. What a GPU cannot tell is left out, as Triton does.
#include "core/metrics_gpu.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/gpus.h"
#include "core/metric_family.h"
#include "core/server.h"
#include "gpu/nvml.h"

struct metrics_gpu {
    struct server *server;
    pthread_mutex_t mutex;
    uint64_t looked_ns; // 0: never
    struct nvml_sample samples[GPU_DEVICES_MAX];
    double energy_before[GPU_DEVICES_MAX]; // at the first look
    bool has_before[GPU_DEVICES_MAX];
};

struct metrics_gpu *metrics_gpu_create(struct server *server)
{
    struct metrics_gpu *metrics = mem_calloc(1, sizeof(*metrics));
    if (metrics != NULL) {
        metrics->server = server;
        pthread_mutex_init(&metrics->mutex, NULL);
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
    pthread_mutex_unlock(&metrics->mutex);
    write_lost(metrics, count, out);
}
