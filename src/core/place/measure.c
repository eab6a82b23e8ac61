// SPDX-License-Identifier: Apache-2.0
// Measure: see measure.h. The GPU's context is made before its memory is looked at, and backends give back what they only keep.
#include "core/place/measure.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "config/model_config.h"
#include "core/gpus.h"
#include "core/place/pace.h"
#include "core/server.h"
#include "core/stats.h"

#define SETTLE_NS UINT64_C(60000000)
#define RUN_NS UINT64_C(300000000)
#define LIMIT_NS UINT64_C(20000000000)
// Loading it again costs more than it tells.
#define SLOW_LOAD_S 20.0
// At most this many requests wait.
enum { OUTSTANDING_MAX = 512 };

static void on_destroyed(struct model *model, void *arg)
{
    (void)model;
    parking_wake(arg);
}

struct trial {
    struct server *server;
    struct gpu_device *device;
    struct model *model;
    struct parking gone;
    uint32_t instances;
    uint64_t free_before;
    uint64_t most; // bytes that were taken at any time
    double load_s;
};

static uint64_t free_bytes(struct gpu_device *device)
{
    uint64_t left = 0;
    uint64_t total = 0;
    struct nrd_status *status = gpu_device_memory(device, &left, &total);
    if (status != NULL) {
        LOG_WARN("%s", status_text(status));
        status_free(status);
    }
    return left;
}

static void look_at_memory(struct trial *trial)
{
    uint64_t now = free_bytes(trial->device);
    uint64_t taken = now < trial->free_before ? trial->free_before - now : 0;
    uint64_t reported =
        stats_gpu_memory(trial->model->stats, trial->model->instances, trial->model->instance_count,
                         gpu_device_info(trial->device)->ordinal);
    taken = reported > taken ? reported : taken;
    trial->most = taken > trial->most ? taken : trial->most;
}

static struct nrd_status *begin(struct trial *trial, const struct model_source *source)
{
    struct model_source own = *source;
    own.on_destroyed = on_destroyed;
    own.on_destroyed_arg = &trial->gone;
    parking_init(&trial->gone);
    NRD_TRY(gpu_device_open(trial->device));
    backend_set_trim(&trial->server->backends);
    trial->free_before = free_bytes(trial->device);
    uint64_t start = clock_now_ns();
    NRD_TRY(model_create(trial->server, &own, &trial->model));
    trial->load_s = (double)(clock_now_ns() - start) / 1e9;
    look_at_memory(trial);
    return NULL;
}

static void end(struct trial *trial)
{
    model_unref(trial->model);
    while (!parking_wait(&trial->gone, 0)) {
    }
    backend_set_trim(&trial->server->backends);
}

// So many requests that no instance waits for one, and that batches get as large as they may.
static uint32_t outstanding(const struct trial *trial, uint32_t rows)
{
    const struct model *model = trial->model;
    uint32_t batch = 1;
    if (model->config->scheduling_choice_case ==
            INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_DYNAMIC_BATCHING &&
        model->max_batch_size > rows) {
        batch = model->max_batch_size / rows;
    }
    uint64_t all = (uint64_t)(trial->instances + 1) * batch;
    return all < OUTSTANDING_MAX ? (uint32_t)all : OUTSTANDING_MAX;
}

static struct nrd_status *measure_rows(struct trial *trial, uint32_t rows, double *seconds)
{
    const struct pace_options options = {.rows = rows,
                                         .outstanding = outstanding(trial, rows),
                                         .settle_ns = SETTLE_NS,
                                         .run_ns = RUN_NS,
                                         .limit_ns = LIMIT_NS};
    struct nrd_status *status = pace_measure(trial->model, &options, seconds);
    look_at_memory(trial);
    return status;
}

// Requests of 1, 2, 4, .. rows, and of as many as the model takes at once.
static struct nrd_status *measure_points(struct trial *trial, struct place_record *record)
{
    uint32_t max = trial->model->max_batch_size == 0 ? 1 : trial->model->max_batch_size;
    for (uint32_t rows = 1;
         record->point_count<RECORD_POINTS_MAX; rows = rows> max / 2 ? max : rows * 2) {
        double seconds = 0;
        NRD_TRY(measure_rows(trial, rows, &seconds));
        record->points[record->point_count++] =
            (struct record_point){.rows = rows, .serial_s = seconds, .busy_s = seconds};
        if (rows == max) {
            break;
        }
    }
    return NULL;
}

// With so many times the instances: what is quicker then was not the GPU's time. True when it was so much quicker that more instances
// may tell more.
static bool measure_busy(struct server *server, const struct model_source *source,
                         struct gpu_device *device, uint32_t times, struct place_record *record)
{
    uint64_t left = free_bytes(device);
    Inference__ModelConfig *config = config_copy(source->config);
    if (record->load_s > SLOW_LOAD_S || left / 5 * 4 / times < record->memory_bytes ||
        config == NULL) {
        LOG_DEBUG(1, "model '%s' is not loaded with more instances to measure it", source->name);
        config_destroy(config);
        return false;
    }
    for (size_t i = 0; i < config->n_instance_group; i++) {
        config->instance_group[i]->count *= (int32_t)times;
    }
    bool quicker = false;
    struct model_source doubled = *source;
    doubled.config = config;
    struct trial trial = {
        .server = server, .device = device, .instances = times * record->instances};
    struct nrd_status *status = begin(&trial, &doubled);
    for (unsigned i = 0; i < record->point_count && status == NULL; i++) {
        double seconds = 0;
        status = measure_rows(&trial, record->points[i].rows, &seconds);
        if (status == NULL && seconds < record->points[i].busy_s) {
            quicker = quicker || seconds < 0.87 * record->points[i].busy_s;
            record->points[i].busy_s = seconds;
        }
    }
    if (status != NULL) {
        quicker = false;
        LOG_DEBUG(1, "model '%s' with more instances: %s", source->name, status_text(status));
        status_free(status);
    }
    if (trial.model != NULL) {
        end(&trial);
    }
    config_destroy(config);
    return quicker;
}

struct nrd_status *measure_model(struct server *server, const struct model_source *source,
                                 int32_t gpu, uint32_t instances, struct place_record *record)
{
    struct trial trial = {
        .server = server, .device = gpus_device(server->gpus, gpu), .instances = instances};
    struct place_record made = {.instances = instances};
    if (trial.device == NULL) {
        return status_new(NRD_INTERNAL, "there is no GPU %d", (int)gpu);
    }
    NRD_TRY(begin(&trial, source));
    struct nrd_status *status = measure_points(&trial, &made);
    made.memory_bytes = trial.most;
    made.load_s = trial.load_s;
    end(&trial);
    if (status != NULL) {
        snprintf(made.untimed, sizeof(made.untimed), "%s", status_text(status));
        made.point_count = 0;
        status_free(status);
    } else if (measure_busy(server, source, trial.device, 2, &made)) {
        (void)measure_busy(server, source, trial.device, 4, &made);
    }
    *record = made;
    return NULL;
}
