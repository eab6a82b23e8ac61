// SPDX-License-Identifier: Apache-2.0
// Metrics of models: one series a model version, read from its statistics; where it has instances on GPUs, one a device, told
// apart by the label gpu_uuid, as Triton does. Failures, what is queued and the time of loading are the model's, not a device's.
#include "core/metrics_model.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/model_config.h"
#include "core/device_usage.h"
#include "core/gpus.h"
#include "core/instance.h"
#include "core/metric_family.h"
#include "core/model.h"
#include "core/server.h"

// The most devices of a model: the GPUs, the processor, the model's own.
enum { DEVICES_MAX = GPU_DEVICES_MAX + 2 };

// What a model has done on one device, or on all that are no GPUs.
struct device_series {
    struct str labels;
    const char *gpu_uuid; // NULL: no GPU
    struct stats_usage done;
    uint64_t queued;
};

// One model version at the moment of the scrape.
struct model_series {
    const struct model *model;
    struct stats_snapshot stats;
    struct str labels;
    struct device_series *devices; // none: the model is on no GPU, and `stats` are all there is
    uint32_t device_count;
};

static int compare_tags(const void *a, const void *b)
{
    const Inference__ModelConfig__MetricTagsEntry *const *x = a;
    const Inference__ModelConfig__MetricTagsEntry *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

// Tags come first, their names led by an underscore; then the GPU (NULL: none), model and version: sorted, as Triton's.
static void make_labels(const struct model *model, const char *gpu_uuid, struct str *labels)
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
    if (gpu_uuid != NULL) {
        metric_write_label(labels, "gpu_uuid", gpu_uuid);
    }
    metric_write_label(labels, "model", model->name);
    metric_write_label(labels, "version", model->version_text);
}

static double us(uint64_t ns)
{
    return (double)(ns / 1000);
}

enum series_value {
    SERIES_FAILURE, // four lines, one a reason
    SERIES_PENDING,
    SERIES_LOAD,
    SERIES_RETRIED, // not Triton's: on machines with GPUs alone
    // Those of a device:
    SERIES_SUCCESS,
    SERIES_COUNT,
    SERIES_EXEC,
    SERIES_REQUEST_US,
    SERIES_QUEUE_US,
    SERIES_INPUT_US,
    SERIES_INFER_US,
    SERIES_OUTPUT_US,
    SERIES_BUSY_US,
    SERIES_QUEUED,
};

enum series_part {
    PART_ALWAYS,
    PART_LATENCY,     // left out with counter_latencies=false
    PART_GPU_MACHINE, // Nereid's own, on machines with GPUs
    PART_GPU,         // likewise, of GPUs only
};

static const struct {
    enum series_value value;
    enum series_part part;
    const char *type;
    const char *name;
    const char *help;
} families[] = {
    {SERIES_SUCCESS, PART_ALWAYS, "counter", "nv_inference_request_success",
     "Number of successful inference requests, all batch sizes"},
    {SERIES_FAILURE, PART_ALWAYS, "counter", "nv_inference_request_failure",
     "Number of failed inference requests, all batch sizes"},
    {SERIES_COUNT, PART_ALWAYS, "counter", "nv_inference_count",
     "Number of inferences performed (does not include cached requests)"},
    {SERIES_EXEC, PART_ALWAYS, "counter", "nv_inference_exec_count",
     "Number of model executions performed (does not include cached requests)"},
    {SERIES_REQUEST_US, PART_LATENCY, "counter", "nv_inference_request_duration_us",
     "Cumulative inference request duration in microseconds (includes cached requests)"},
    {SERIES_QUEUE_US, PART_LATENCY, "counter", "nv_inference_queue_duration_us",
     "Cumulative inference queuing duration in microseconds (includes cached requests)"},
    {SERIES_INPUT_US, PART_LATENCY, "counter", "nv_inference_compute_input_duration_us",
     "Cumulative compute input duration in microseconds (does not include cached requests)"},
    {SERIES_INFER_US, PART_LATENCY, "counter", "nv_inference_compute_infer_duration_us",
     "Cumulative compute inference duration in microseconds (does not include cached requests)"},
    {SERIES_OUTPUT_US, PART_LATENCY, "counter", "nv_inference_compute_output_duration_us",
     "Cumulative inference compute output duration in microseconds (does not include cached "
     "requests)"},
    {SERIES_PENDING, PART_ALWAYS, "gauge", "nv_inference_pending_request_count",
     "Instantaneous number of pending requests awaiting execution per-model."},
    {SERIES_LOAD, PART_ALWAYS, "gauge", "nv_model_load_duration_secs",
     "Model load time in seconds"},
    {SERIES_RETRIED, PART_GPU_MACHINE, "counter", "nereid_inference_retry_count",
     "Number of inference requests executed again because their GPU was lost"},
    {SERIES_BUSY_US, PART_GPU, "counter", "nereid_gpu_model_busy_duration_us",
     "Cumulative time that the model's instances on the GPU spent in batches, in microseconds; two "
     "at once count twice"},
    {SERIES_QUEUED, PART_GPU, "gauge", "nereid_gpu_model_pending_request_count",
     "Instantaneous number of the model's pending requests that the GPU is expected to execute"},
};

static double device_number(const struct device_series *device, enum series_value value)
{
    const struct stats_usage *done = &device->done;
    switch (value) {
    case SERIES_SUCCESS:
        return (double)done->requests;
    case SERIES_COUNT:
        return (double)done->rows;
    case SERIES_EXEC:
        return (double)done->batches;
    case SERIES_REQUEST_US:
        return us(done->request_ns);
    case SERIES_QUEUE_US:
        return us(done->queue_ns);
    case SERIES_INPUT_US:
        return us(done->input_ns);
    case SERIES_INFER_US:
        return us(done->infer_ns);
    case SERIES_OUTPUT_US:
        return us(done->output_ns);
    case SERIES_BUSY_US:
        return us(done->busy_ns);
    case SERIES_QUEUED:
        return (double)device->queued;
    case SERIES_FAILURE:
    case SERIES_PENDING:
    case SERIES_LOAD:
    case SERIES_RETRIED:
        break;
    }
    return 0;
}

static double model_number(const struct model_series *series, enum series_value value)
{
    const struct stats_snapshot *stats = &series->stats;
    switch (value) {
    case SERIES_SUCCESS:
        return (double)stats->success.count;
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
    case SERIES_FAILURE:
    case SERIES_BUSY_US:
    case SERIES_QUEUED:
        break;
    }
    return 0;
}

// Labels are sorted by name, so the reason goes between model and version.
static void write_failures(struct str *out, const struct model_series *series)
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

static void write_lines(struct str *out, const char *name, const struct model_series *series,
                        enum series_value value, bool gpus_only)
{
    if (value == SERIES_FAILURE) {
        write_failures(out, series);
    } else if (value < SERIES_SUCCESS || (series->device_count == 0 && !gpus_only)) {
        metric_write_line(out, name, str_cstr(&series->labels), model_number(series, value));
    } else {
        for (uint32_t i = 0; i < series->device_count; i++) {
            const struct device_series *device = &series->devices[i];
            if (device->gpu_uuid != NULL || !gpus_only) {
                metric_write_line(out, name, str_cstr(&device->labels),
                                  device_number(device, value));
            }
        }
    }
}

void model_series_write(const struct model_series_list *list, bool latencies, bool has_gpus,
                        struct str *out)
{
    bool gpus = false;
    for (size_t i = 0; i < list->count; i++) {
        gpus = gpus || list->items[i].device_count > 0;
    }
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]) && list->count > 0; f++) {
        bool gpus_only = families[f].part == PART_GPU;
        if ((families[f].part == PART_LATENCY && !latencies) || (gpus_only && !gpus) ||
            (families[f].part == PART_GPU_MACHINE && !has_gpus)) {
            continue;
        }
        metric_write_head(out, families[f].name, families[f].help, families[f].type);
        for (size_t i = 0; i < list->count; i++) {
            write_lines(out, families[f].name, &list->items[i], families[f].value, gpus_only);
        }
    }
}

void model_series_write_first_response(const struct model_series_list *list, struct str *out)
{
    const char *name = "nv_inference_first_response_histogram_ms";
    bool head = false;
    for (size_t i = 0; i < list->count; i++) {
        const struct model_series *at = &list->items[i];
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

// ---- reading --------------------------------------------------------------------------------------------------------

// The series that `from` counts in: that of its GPU, or the one of all that are no GPUs.
static struct device_series *find_device(struct model_series *series, const char *gpu_uuid)
{
    uint32_t i = 0;
    while (i < series->device_count && series->devices[i].gpu_uuid != gpu_uuid) {
        i++;
    }
    if (i == series->device_count) {
        series->devices[i] = (struct device_series){.gpu_uuid = gpu_uuid};
        make_labels(series->model, gpu_uuid, &series->devices[i].labels);
        series->device_count++;
    }
    return &series->devices[i];
}

static struct nrd_status *read_devices(struct model_series *series)
{
    const struct model *model = series->model;
    bool on_gpu = false;
    for (uint32_t i = 0; i < model->instance_count; i++) {
        on_gpu = on_gpu || model->instances[i]->kind == TRITONSERVER_INSTANCEGROUPKIND_GPU;
    }
    if (!on_gpu) {
        return NULL;
    }
    struct device_usage usage[DEVICES_MAX];
    uint32_t count = model_device_usage(model, usage, DEVICES_MAX);
    series->devices = mem_calloc(count, sizeof(*series->devices));
    if (series->devices == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct gpu_device *gpu = usage[i].kind == TRITONSERVER_INSTANCEGROUPKIND_GPU
                                           ? gpus_device(model->server->gpus, usage[i].device_id)
                                           : NULL;
        struct device_series *device =
            find_device(series, gpu == NULL ? NULL : gpu_device_info(gpu)->uuid);
        stats_usage_add(&device->done, &usage[i].done);
        device->queued += usage[i].queued_requests;
    }
    return NULL;
}

struct nrd_status *model_series_read(const struct version_rows *rows,
                                     struct model_series_list *list)
{
    *list = (struct model_series_list){.items = mem_calloc(rows->count + 1, sizeof(*list->items))};
    struct nrd_status *status = list->items == NULL ? status_no_memory() : NULL;
    for (size_t i = 0; i < rows->count && status == NULL; i++) {
        const struct model *model = rows->items[i].model;
        if (model != NULL) {
            struct model_series *series = &list->items[list->count++];
            series->model = model;
            stats_snapshot(model->stats, &series->stats);
            make_labels(model, NULL, &series->labels);
            status = read_devices(series);
        }
    }
    if (status != NULL) {
        model_series_fini(list);
    }
    return status;
}

void model_series_fini(struct model_series_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct model_series *series = &list->items[i];
        for (uint32_t d = 0; d < series->device_count; d++) {
            str_fini(&series->devices[d].labels);
        }
        mem_free(series->devices);
        str_fini(&series->labels);
    }
    mem_free(list->items);
    *list = (struct model_series_list){0};
}
