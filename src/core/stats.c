// SPDX-License-Identifier: Apache-2.0
// Statistics: shards, their sum, and the document that clients read.
//
// Counters of a shard are added to with relaxed atomics: they order nothing, they only must not be lost. What happens
// off the hot path (failures, responses of decoupled models, odd batch sizes, memory reports) is under one mutex.
#include "core/stats.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/instance.h"
#include "core/model.h"
#include "core/schedule/scheduler.h"
#include "proto/model_config.pb-c.h"

// Batch sizes up to this one have counters of their own in each shard; larger ones share a list.
#define TABLE_BATCH_MAX 64u

struct batch_counters {
    _Atomic uint64_t count;
    _Atomic uint64_t input_ns;
    _Atomic uint64_t infer_ns;
    _Atomic uint64_t output_ns;
};

struct stats_shard {
    _Alignas(64) _Atomic uint64_t success_count;
    _Atomic uint64_t success_ns;
    _Atomic uint64_t queue_ns;
    _Atomic uint64_t input_ns;
    _Atomic uint64_t infer_ns;
    _Atomic uint64_t output_ns;
    _Atomic uint64_t rows;
    _Atomic uint64_t last_ns; // end of the last execution, steady clock
    struct model_stats *stats;
    struct stats_shard *next;
    _Atomic uint64_t big_count; // of batches that the table has no place for
    _Atomic uint64_t big_ns;
    struct batch_counters batches[TABLE_BATCH_MAX + 1];
};

struct big_batch {
    struct big_batch *next;
    struct stats_batch sums;
};

struct model_stats {
    struct model *model;
    _Atomic(struct stats_shard *) shards;
    int64_t wall_minus_steady_ns;
    _Atomic bool want_first_response;
    _Atomic uint64_t failures[FAIL_REASON_COUNT];
    _Atomic uint64_t fail_ns;
    double *bounds_ms;                // of the histogram of first responses
    _Atomic uint64_t *first_response; // at most that long; one more, behind the bounds, for all
    uint32_t bound_count;
    _Atomic uint64_t first_response_ns;
    pthread_mutex_t mutex; // what is below, and instance.memory_usage
    struct big_batch *big_batches;
    struct stats_response *responses; // by index
    size_t response_count;
    size_t response_cap;
    struct buffer_attributes *memory_usage;
    uint32_t memory_usage_count;
};

static const char *const reason_names[FAIL_REASON_COUNT] = {
    [FAIL_REASON_OTHER] = "OTHER",
    [FAIL_REASON_BACKEND] = "BACKEND",
    [FAIL_REASON_CANCELED] = "CANCELED",
    [FAIL_REASON_REJECTED] = "REJECTED",
};

const char *fail_reason_name(enum fail_reason reason)
{
    return reason_names[reason];
}

static void add(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}
static uint64_t get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}
// Moments that come from a backend may be out of order or missing.
static uint64_t span(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

// ---- life ---------------------------------------------------------------------------------------

// The bounds of first responses: Triton's, unless the configuration has others. False when memory is out.
static bool make_bounds(struct model_stats *stats, const Inference__ModelMetrics *config)
{
    static const double usual[] = {100, 500, 2000, 5000, 10000};
    const double *bounds = usual;
    size_t bound_count = sizeof(usual) / sizeof(usual[0]);
    for (size_t i = 0; config != NULL && i < config->n_metric_control; i++) {
        const Inference__ModelMetrics__MetricControl *at = config->metric_control[i];
        const char *family = at->metric_identifier == NULL ? "" : at->metric_identifier->family;
        if (strcmp(family, "nv_inference_first_response_histogram_ms") != 0) {
            LOG_WARN("Metric family '%s' in 'metric_identifier' is not a customizable metric in "
                     "Triton core.",
                     family);
        } else if (at->metric_options_case ==
                   INFERENCE__MODEL_METRICS__METRIC_CONTROL__METRIC_OPTIONS_HISTOGRAM_OPTIONS) {
            bounds = at->histogram_options->buckets;
            bound_count = at->histogram_options->n_buckets;
        }
    }
    stats->bounds_ms = mem_calloc(bound_count, sizeof(*stats->bounds_ms));
    stats->first_response = mem_calloc(bound_count + 1, sizeof(*stats->first_response));
    if (stats->bounds_ms == NULL || stats->first_response == NULL) {
        return false;
    }
    for (size_t i = 0; i < bound_count; i++) {
        stats->bounds_ms[i] = bounds[i];
    }
    stats->bound_count = (uint32_t)bound_count;
    return true;
}

struct model_stats *stats_create(struct model *model)
{
    struct model_stats *stats = mem_calloc(1, sizeof(*stats));
    if (stats == NULL) {
        return NULL;
    }
    stats->model = model;
    stats->wall_minus_steady_ns = (int64_t)clock_wall_ns() - (int64_t)clock_now_ns();
    pthread_mutex_init(&stats->mutex, NULL);
    if (!make_bounds(stats, model->config->model_metrics)) {
        stats_destroy(stats);
        return NULL;
    }
    return stats;
}

void stats_destroy(struct model_stats *stats)
{
    if (stats == NULL) {
        return;
    }
    struct stats_shard *shard = atomic_load_explicit(&stats->shards, memory_order_relaxed);
    while (shard != NULL) {
        struct stats_shard *next = shard->next;
        mem_free(shard);
        shard = next;
    }
    while (stats->big_batches != NULL) {
        struct big_batch *next = stats->big_batches->next;
        mem_free(stats->big_batches);
        stats->big_batches = next;
    }
    mem_free(stats->responses);
    mem_free(stats->bounds_ms);
    mem_free(stats->first_response);
    mem_free(stats->memory_usage);
    pthread_mutex_destroy(&stats->mutex);
    mem_free(stats);
}

struct stats_shard *stats_add_shard(struct model_stats *stats)
{
    struct stats_shard *shard = mem_aligned(64, sizeof(*shard));
    if (shard == NULL) {
        return NULL;
    }
    memset(shard, 0, sizeof(*shard));
    shard->stats = stats;
    pthread_mutex_lock(&stats->mutex);
    shard->next = atomic_load_explicit(&stats->shards, memory_order_relaxed);
    // Release: readers of the list see the shard complete.
    atomic_store_explicit(&stats->shards, shard, memory_order_release);
    pthread_mutex_unlock(&stats->mutex);
    return shard;
}

// ---- counting -----------------------------------------------------------------------------------

void stats_count_success(struct stats_shard *shard, uint64_t rows, uint64_t start_ns,
                         uint64_t queue_ns, const struct stats_times *times, uint64_t end_ns)
{
    add(&shard->success_count, 1);
    add(&shard->success_ns, span(start_ns, end_ns));
    add(&shard->queue_ns, span(queue_ns, times->exec_start_ns));
    add(&shard->input_ns, span(times->exec_start_ns, times->compute_start_ns));
    add(&shard->infer_ns, span(times->compute_start_ns, times->compute_end_ns));
    add(&shard->output_ns, span(times->compute_end_ns, times->exec_end_ns));
    add(&shard->rows, rows);
}

static void count_big_batch(struct model_stats *stats, uint64_t rows,
                            const struct stats_times *times)
{
    pthread_mutex_lock(&stats->mutex);
    struct big_batch *entry = stats->big_batches;
    while (entry != NULL && entry->sums.batch_size != rows) {
        entry = entry->next;
    }
    if (entry == NULL) {
        entry = mem_calloc(1, sizeof(*entry));
        if (entry != NULL) {
            entry->sums.batch_size = rows;
            entry->next = stats->big_batches;
            stats->big_batches = entry;
        }
    }
    if (entry != NULL) {
        entry->sums.count++;
        entry->sums.input_ns += span(times->exec_start_ns, times->compute_start_ns);
        entry->sums.infer_ns += span(times->compute_start_ns, times->compute_end_ns);
        entry->sums.output_ns += span(times->compute_end_ns, times->exec_end_ns);
    }
    pthread_mutex_unlock(&stats->mutex);
}

void stats_count_batch(struct stats_shard *shard, uint64_t rows, const struct stats_times *times)
{
    atomic_store_explicit(&shard->last_ns, times->exec_end_ns, memory_order_relaxed);
    if (rows > TABLE_BATCH_MAX) {
        add(&shard->big_count, 1);
        add(&shard->big_ns, span(times->exec_start_ns, times->exec_end_ns));
        count_big_batch(shard->stats, rows, times);
        return;
    }
    struct batch_counters *batch = &shard->batches[rows];
    add(&batch->count, 1);
    add(&batch->input_ns, span(times->exec_start_ns, times->compute_start_ns));
    add(&batch->infer_ns, span(times->compute_start_ns, times->compute_end_ns));
    add(&batch->output_ns, span(times->compute_end_ns, times->exec_end_ns));
}

void stats_count_failure(struct model_stats *stats, enum fail_reason reason, uint64_t duration_ns)
{
    add(&stats->failures[reason], 1);
    add(&stats->fail_ns, duration_ns);
}

void stats_want_first_response(struct model_stats *stats, bool want)
{
    atomic_store_explicit(&stats->want_first_response, want, memory_order_relaxed);
}

bool stats_wants_first_response(const struct model_stats *stats)
{
    return atomic_load_explicit(&stats->want_first_response, memory_order_relaxed);
}

void stats_count_first_response(struct model_stats *stats, uint64_t duration_ns)
{
    for (uint32_t i = 0; i < stats->bound_count; i++) {
        if ((double)duration_ns <= stats->bounds_ms[i] * 1e6) {
            add(&stats->first_response[i], 1);
        }
    }
    add(&stats->first_response[stats->bound_count], 1);
    add(&stats->first_response_ns, duration_ns);
}

uint32_t stats_first_response_bounds(const struct model_stats *stats, const double **bounds_ms)
{
    *bounds_ms = stats->bounds_ms;
    return stats->bound_count;
}

uint64_t stats_first_response_count(const struct model_stats *stats, uint32_t i)
{
    return get(&stats->first_response[i]);
}

// The entry of a response index; NULL when memory is out. With the mutex held. Indexes are counted up, so there are no gaps
// worth saving; a long stream must not search a list for each of its responses.
static struct stats_response *response_entry(struct model_stats *stats, uint64_t index)
{
    if (index >= stats->response_cap) {
        uint64_t cap = index < 8 ? 8 : index * 2;
        struct stats_response *grown = cap > SIZE_MAX / sizeof(*grown)
                                           ? NULL
                                           : mem_realloc(stats->responses, cap * sizeof(*grown));
        if (grown == NULL) {
            return NULL;
        }
        stats->responses = grown;
        stats->response_cap = cap;
    }
    for (; stats->response_count <= index; stats->response_count++) {
        stats->responses[stats->response_count] =
            (struct stats_response){.index = stats->response_count};
    }
    return &stats->responses[index];
}

static void count(struct stats_duration *duration, uint64_t ns)
{
    duration->count++;
    duration->ns += ns;
}

// Adds one response that is known to have its moments in order.
static void add_response(struct stats_response *entry, uint64_t start_ns, uint64_t output_ns,
                         uint64_t end_ns, const struct nrd_status *error)
{
    if (error != NULL && status_code(error) == NRD_CANCELLED) {
        count(&entry->cancel, end_ns - start_ns);
        return;
    }
    count(&entry->compute_infer, (output_ns != 0 ? output_ns : end_ns) - start_ns);
    if (output_ns != 0 && (error == NULL || end_ns > output_ns)) {
        count(&entry->compute_output, end_ns - output_ns);
    }
    count(error != NULL    ? &entry->fail
          : output_ns != 0 ? &entry->success
                           : &entry->empty_response,
          end_ns - start_ns);
}

struct nrd_status *stats_count_response(struct model_stats *stats, uint64_t index,
                                        uint64_t start_ns, uint64_t output_ns, uint64_t end_ns,
                                        const struct nrd_status *error)
{
    bool outputs = output_ns != 0 && status_code(error) != NRD_CANCELLED;
    if (outputs && start_ns > output_ns) {
        return status_new(NRD_INVALID_ARG,
                          "Response start cannot happen after compute output start");
    }
    if (outputs && output_ns > end_ns) {
        return status_new(NRD_INVALID_ARG, "Compute output start cannot happen after response end");
    }
    if (start_ns > end_ns) {
        return status_new(NRD_INVALID_ARG, "Response start cannot happen after response end");
    }
    pthread_mutex_lock(&stats->mutex);
    struct stats_response *entry = response_entry(stats, index);
    if (entry != NULL) {
        add_response(entry, start_ns, output_ns, end_ns, error);
    }
    pthread_mutex_unlock(&stats->mutex);
    return entry == NULL ? status_no_memory() : NULL;
}

struct nrd_status *stats_set_memory_usage(struct model_stats *stats, struct instance *instance,
                                          const struct buffer_attributes *const *usage,
                                          uint32_t usage_count)
{
    struct buffer_attributes *copy = mem_calloc(usage_count + 1, sizeof(*copy));
    if (copy == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 0; i < usage_count; i++) {
        copy[i] = *usage[i];
    }
    pthread_mutex_lock(&stats->mutex);
    struct buffer_attributes **to =
        instance == NULL ? &stats->memory_usage : &instance->memory_usage;
    uint32_t *to_count =
        instance == NULL ? &stats->memory_usage_count : &instance->memory_usage_count;
    mem_free(*to);
    *to = copy;
    *to_count = usage_count;
    pthread_mutex_unlock(&stats->mutex);
    return NULL;
}

static uint64_t gpu_bytes(const struct buffer_attributes *usage, uint32_t count, int64_t device_id)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool there =
            usage[i].memory_type == TRITONSERVER_MEMORY_GPU && usage[i].memory_type_id == device_id;
        bytes += there ? usage[i].byte_size : 0;
    }
    return bytes;
}

uint64_t stats_gpu_memory(struct model_stats *stats, struct instance *const *instances,
                          uint32_t instance_count, int64_t device_id)
{
    pthread_mutex_lock(&stats->mutex);
    uint64_t bytes = gpu_bytes(stats->memory_usage, stats->memory_usage_count, device_id);
    for (uint32_t i = 0; i < instance_count; i++) {
        bytes += gpu_bytes(instances[i]->memory_usage, instances[i]->memory_usage_count, device_id);
    }
    pthread_mutex_unlock(&stats->mutex);
    return bytes;
}

// ---- reading ------------------------------------------------------------------------------------

void stats_add_usage(const struct stats_shard *shard, struct stats_usage *usage)
{
    usage->requests += get(&shard->success_count);
    usage->rows += get(&shard->rows);
    usage->request_ns += get(&shard->success_ns);
    usage->queue_ns += get(&shard->queue_ns);
    usage->input_ns += get(&shard->input_ns);
    usage->infer_ns += get(&shard->infer_ns);
    usage->output_ns += get(&shard->output_ns);
    usage->batches += get(&shard->big_count);
    usage->busy_ns += get(&shard->big_ns);
    for (uint32_t i = 0; i <= TABLE_BATCH_MAX; i++) {
        const struct batch_counters *batch = &shard->batches[i];
        usage->batches += get(&batch->count);
        usage->busy_ns += get(&batch->input_ns) + get(&batch->infer_ns) + get(&batch->output_ns);
    }
}

void stats_usage_add(struct stats_usage *sum, const struct stats_usage *more)
{
    sum->batches += more->batches;
    sum->requests += more->requests;
    sum->rows += more->rows;
    sum->busy_ns += more->busy_ns;
    sum->request_ns += more->request_ns;
    sum->queue_ns += more->queue_ns;
    sum->input_ns += more->input_ns;
    sum->infer_ns += more->infer_ns;
    sum->output_ns += more->output_ns;
}

void stats_snapshot(const struct model_stats *stats, struct stats_snapshot *out)
{
    *out = (struct stats_snapshot){0};
    uint64_t last_ns = 0;
    // Acquire: pairs with the release of stats_add_shard().
    for (const struct stats_shard *s = atomic_load_explicit(&stats->shards, memory_order_acquire);
         s != NULL; s = s->next) {
        out->success.count += get(&s->success_count);
        out->success.ns += get(&s->success_ns);
        out->queue.ns += get(&s->queue_ns);
        out->compute_input.ns += get(&s->input_ns);
        out->compute_infer.ns += get(&s->infer_ns);
        out->compute_output.ns += get(&s->output_ns);
        out->inference_count += get(&s->rows);
        for (uint32_t i = 0; i <= TABLE_BATCH_MAX; i++) {
            out->execution_count += get(&s->batches[i].count);
        }
        uint64_t last = get(&s->last_ns);
        last_ns = last > last_ns ? last : last_ns;
    }
    pthread_mutex_t *mutex = (pthread_mutex_t *)(uintptr_t)&stats->mutex;
    pthread_mutex_lock(mutex);
    for (const struct big_batch *b = stats->big_batches; b != NULL; b = b->next) {
        out->execution_count += b->sums.count;
    }
    pthread_mutex_unlock(mutex);
    out->queue.count = out->success.count;
    out->compute_input.count = out->success.count;
    out->compute_infer.count = out->success.count;
    out->compute_output.count = out->success.count;
    for (int i = 0; i < FAIL_REASON_COUNT; i++) {
        out->failures[i] = get(&stats->failures[i]);
        out->fail.count += out->failures[i];
    }
    out->fail.ns = get(&stats->fail_ns);
    out->first_response_sum_ns = get(&stats->first_response_ns);
    out->last_inference_ms =
        last_ns == 0 ? 0 : (uint64_t)((int64_t)last_ns + stats->wall_minus_steady_ns) / 1000000;
    out->pending = stats->model->scheduler == NULL ? 0 : scheduler_pending(stats->model->scheduler);
}

static void write_duration(struct str *out, const char *before, const char *name,
                           struct stats_duration d)
{
    str_printf(out, "%s\"%s\":{\"count\":%llu,\"ns\":%llu}", before, name,
               (unsigned long long)d.count, (unsigned long long)d.ns);
}

static void write_responses(const struct model_stats *stats, struct str *out)
{
    const char *comma = "";
    for (size_t i = 0; i < stats->response_count; i++) {
        const struct stats_response *at = &stats->responses[i];
        str_printf(out, "%s\"%llu\":{", comma, (unsigned long long)at->index);
        write_duration(out, "", "compute_infer", at->compute_infer);
        write_duration(out, ",", "compute_output", at->compute_output);
        write_duration(out, ",", "success", at->success);
        write_duration(out, ",", "fail", at->fail);
        write_duration(out, ",", "empty_response", at->empty_response);
        write_duration(out, ",", "cancel", at->cancel);
        str_append_char(out, '}');
        comma = ",";
    }
}

static void write_batch(struct str *out, const char *comma, const struct stats_batch *b)
{
    str_printf(out, "%s{\"batch_size\":%llu,", comma, (unsigned long long)b->batch_size);
    write_duration(out, "", "compute_input", (struct stats_duration){b->count, b->input_ns});
    write_duration(out, ",", "compute_infer", (struct stats_duration){b->count, b->infer_ns});
    write_duration(out, ",", "compute_output", (struct stats_duration){b->count, b->output_ns});
    str_append_char(out, '}');
}

// Ascending sizes: those of the tables, then the large ones by repeated search for the next (there are few).
static void write_batches(const struct model_stats *stats, struct str *out)
{
    const char *comma = "";
    for (uint32_t size = 0; size <= TABLE_BATCH_MAX; size++) {
        struct stats_batch sum = {.batch_size = size};
        for (const struct stats_shard *s =
                 atomic_load_explicit(&stats->shards, memory_order_acquire);
             s != NULL; s = s->next) {
            sum.count += get(&s->batches[size].count);
            sum.input_ns += get(&s->batches[size].input_ns);
            sum.infer_ns += get(&s->batches[size].infer_ns);
            sum.output_ns += get(&s->batches[size].output_ns);
        }
        if (sum.count > 0) {
            write_batch(out, comma, &sum);
            comma = ",";
        }
    }
    uint64_t done = TABLE_BATCH_MAX;
    for (;;) {
        const struct big_batch *next = NULL;
        for (const struct big_batch *b = stats->big_batches; b != NULL; b = b->next) {
            if (b->sums.batch_size > done &&
                (next == NULL || b->sums.batch_size < next->sums.batch_size)) {
                next = b;
            }
        }
        if (next == NULL) {
            return;
        }
        write_batch(out, comma, &next->sums);
        comma = ",";
        done = next->sums.batch_size;
    }
}

static const char *write_usage(struct str *out, const char *comma,
                               const struct buffer_attributes *usage, uint32_t usage_count)
{
    for (uint32_t i = 0; i < usage_count; i++) {
        str_printf(out, "%s{\"type\":\"%s\",\"id\":%lld,\"byte_size\":%zu}", comma,
                   TRITONSERVER_MemoryTypeString(usage[i].memory_type),
                   (long long)usage[i].memory_type_id, usage[i].byte_size);
        comma = ",";
    }
    return comma;
}

void stats_json(const struct model_stats *stats, struct str *out)
{
    const struct model *model = stats->model;
    struct stats_snapshot now;
    stats_snapshot(stats, &now);
    struct json_writer name;
    str_append_cstr(out, "{\"name\":");
    json_begin(&name, out);
    json_cstring(&name, model->name);
    str_printf(out,
               ",\"version\":\"%lld\",\"last_inference\":%llu,\"inference_count\":%llu,"
               "\"execution_count\":%llu,\"inference_stats\":{",
               (long long)model->version, (unsigned long long)now.last_inference_ms,
               (unsigned long long)now.inference_count, (unsigned long long)now.execution_count);
    write_duration(out, "", "success", now.success);
    write_duration(out, ",", "fail", now.fail);
    write_duration(out, ",", "queue", now.queue);
    write_duration(out, ",", "compute_input", now.compute_input);
    write_duration(out, ",", "compute_infer", now.compute_infer);
    write_duration(out, ",", "compute_output", now.compute_output);
    write_duration(out, ",", "cache_hit", now.cache_hit);
    write_duration(out, ",", "cache_miss", now.cache_miss);
    str_append_cstr(out, "},\"response_stats\":{");
    pthread_mutex_t *mutex = (pthread_mutex_t *)(uintptr_t)&stats->mutex;
    pthread_mutex_lock(mutex);
    write_responses(stats, out);
    str_append_cstr(out, "},\"batch_stats\":[");
    write_batches(stats, out);
    str_append_cstr(out, "],\"memory_usage\":[");
    const char *comma = write_usage(out, "", stats->memory_usage, stats->memory_usage_count);
    for (uint32_t i = 0; i < model->instance_count; i++) {
        const struct instance *instance = model->instances[i];
        comma = write_usage(out, comma, instance->memory_usage, instance->memory_usage_count);
    }
    pthread_mutex_unlock(mutex);
    str_append_cstr(out, "]}");
}
