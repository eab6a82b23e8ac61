// SPDX-License-Identifier: Apache-2.0
// Model: loading and unloading of one version; the order of both is drawn in model.h.
//
// A load that fails half-way is undone by the same model_destroy that ends a model's life, so each member is either
// there or NULL. Start at model_create().
#include "core/model.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/model_config.h"
#include "core/drain.h"
#include "core/gpus.h"
#include "core/instance.h"
#include "core/metrics.h"
#include "core/placement.h"
#include "core/schedule/scheduler.h"
#include "core/server.h"
#include "core/stats.h"

// ---- refusals -------------------------------------------------------------------------------------------------------

// What this server does not have yet is refused by name, before anything is loaded.
static struct nrd_status *refuse_unbuilt(const Inference__ModelConfig *config)
{
    const char *what = NULL;
    switch ((int)config->scheduling_choice_case) {
    case INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_ENSEMBLE_SCHEDULING:
        what = "ensemble_scheduling";
        break;
    case INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_SEQUENCE_BATCHING:
        what = "sequence_batching";
        break;
    default:
        break;
    }
    if (config->model_repository_agents != NULL && config->model_repository_agents->n_agents > 0) {
        what = "model_repository_agents";
    }
    return what == NULL
               ? NULL
               : status_new(NRD_UNSUPPORTED, "model '%s': %s is not built yet", config->name, what);
}

// ---- creating -------------------------------------------------------------------------------------------------------

// The memory of a model with its names and a copy of its configuration.
static struct nrd_status *allocate(struct server *server, const struct model_source *source,
                                   struct model **out)
{
    struct model *model = mem_calloc(1, sizeof(*model));
    if (model == NULL) {
        return status_no_memory();
    }
    atomic_init(&model->refs, 1);
    model->server = server;
    atomic_fetch_add_explicit(&server->models_alive, 1, memory_order_relaxed);
    list_init(&model->reap_node);
    list_init(&model->alive_node);
    list_init(&model->gpu_metrics_node);
    map_init(&model->input_by_name);
    map_init(&model->output_by_name);
    model->version = source->version;
    model->auto_complete = source->auto_complete;
    snprintf(model->version_text, sizeof(model->version_text), "%lld", (long long)source->version);
    model->name = mem_strdup(source->name);
    model->name_space = mem_strdup(source->name_space);
    model->repository = mem_strdup(source->repository);
    model->directory = mem_strdup(source->directory);
    model->version_dir = path_join(source->directory, model->version_text);
    model->config = config_copy(source->config);
    if (model->name == NULL || model->name_space == NULL || model->repository == NULL ||
        model->directory == NULL || model->version_dir == NULL || model->config == NULL) {
        model_destroy(model);
        return status_no_memory();
    }
    *out = model;
    return NULL;
}

// Keeps what the map makes of the model's GPUs, for its statistics.
static struct nrd_status *note_gpu_map(struct model *model, const struct config_devices *devices)
{
    struct str pairs = STR_INIT;
    for (size_t i = 0; i < model->config->n_instance_group && devices->gpu_count > 0; i++) {
        const Inference__ModelInstanceGroup *group = model->config->instance_group[i];
        for (size_t k = 0; k < group->n_gpus; k++) {
            int32_t to = config_map_gpu(devices, group->gpus[k]);
            char key[16];
            snprintf(key, sizeof(key), "\"%d\":", (int)group->gpus[k]);
            if (to != group->gpus[k] && (pairs.len == 0 || strstr(str_cstr(&pairs), key) == NULL)) {
                str_printf(&pairs, "%s%s%d", pairs.len > 0 ? "," : "", key, (int)to);
            }
        }
    }
    if (pairs.len == 0 && !pairs.failed) {
        return NULL;
    }
    model->gpu_map = str_take(&pairs);
    return model->gpu_map == NULL ? status_no_memory() : NULL;
}

static bool has_gpu_group(const Inference__ModelConfig *config)
{
    bool found = false;
    for (size_t i = 0; i < config->n_instance_group; i++) {
        found = found || (int)config->instance_group[i]->kind ==
                             INFERENCE__MODEL_INSTANCE_GROUP__KIND__KIND_GPU;
    }
    return found;
}

// Keeps what the groups leave open, before that is filled in; for when a GPU is lost. True: one of them wants a GPU.
static bool note_groups(struct model *model, uint64_t placed)
{
    const Inference__ModelConfig *config = model->config;
    model->open_groups = config->n_instance_group == 0 ? 1 : 0;
    model->auto_groups = model->open_groups;
    for (size_t i = 0; i < config->n_instance_group && i < 64; i++) {
        const Inference__ModelInstanceGroup *group = config->instance_group[i];
        bool open = group->n_gpus == 0 || ((placed >> i) & 1) != 0;
        bool any = (int)group->kind == INFERENCE__MODEL_INSTANCE_GROUP__KIND__KIND_AUTO;
        model->open_groups |= (uint64_t)open << i;
        model->auto_groups |= (uint64_t)(open && any) << i;
    }
    return has_gpu_group(config);
}

// Loads the backend and gives the model its instance groups.
static struct nrd_status *find_backend(struct model *model, uint64_t placed_groups)
{
    struct server *server = model->server;
    Inference__ModelConfig *config = model->config;
    if (config->backend[0] == '\0') {
        return config->platform[0] != '\0'
                   ? status_new(NRD_INVALID_ARG, "unknown platform '%s'", config->platform)
                   : status_new(NRD_INVALID_ARG, "must specify 'backend' for '%s'", config->name);
    }
    NRD_TRY(backend_set_acquire(&server->backends, server->options, config->backend,
                                config->runtime, config->name, model->directory, model->version_dir,
                                &model->backend));
    struct config_devices devices = gpus_devices(server->gpus);
    bool wants_gpu = note_groups(model, placed_groups);
    bool may_use_gpu = config->n_instance_group == 0;
    for (size_t i = 0; i < config->n_instance_group; i++) {
        int kind = (int)config->instance_group[i]->kind;
        may_use_gpu = may_use_gpu || kind == INFERENCE__MODEL_INSTANCE_GROUP__KIND__KIND_AUTO;
    }
    const char *obstacle = NULL;
    if (devices.gpu_count > 0 && (wants_gpu || may_use_gpu) &&
        model->backend->gpu_obstacle != NULL) {
        obstacle = model->backend->gpu_obstacle(model->backend);
    }
    if ((model->backend->cpu_only || obstacle != NULL) &&
        (!wants_gpu || devices.gpu_fallback_cpu)) {
        devices.gpu_count =
            0; // KIND_AUTO is the processor; a GPU that was asked for is refused by the backend
        if (obstacle != NULL) {
            LOG_WARN("model '%s' runs on the CPU though there are GPUs: %s", config->name,
                     obstacle);
        }
    }
    NRD_TRY(note_gpu_map(model, &devices));
    NRD_TRY(config_normalize_instances(config, &devices, model->backend->groups,
                                       model->backend->group_count));
    if (wants_gpu && devices.gpu_fallback_cpu && !has_gpu_group(config)) {
        model->flags |= MODEL_FLAG_FELL_BACK_TO_CPU;
    }
    if (devices.gpu_count > 0) {
        drain_start(server->drain);
    }
    return config_validate_instances(config, &devices);
}

// Lets the backend look at the model and complete its configuration.
static struct nrd_status *initialize(struct model *model, bool config_provided)
{
    model->stats = stats_create(model);
    if (model->stats == NULL) {
        return status_no_memory();
    }
    if (model->backend->model_initialize != NULL) {
        model->initialize_called = true;
        model->config_settable = true;
        struct nrd_status *status =
            (struct nrd_status *)model->backend->model_initialize((TRITONBACKEND_Model *)model);
        model->config_settable = false;
        NRD_TRY(status);
    }
    if (!config_provided && !model->config_was_set) {
        return status_new(NRD_NOT_FOUND, "model configuration is not provided for model '%s'",
                          model->name);
    }
    NRD_TRY(config_validate(model->config));
    NRD_TRY(config_validate_io(model->config));
    NRD_TRY(refuse_unbuilt(model->config));
    const Inference__ModelConfig *config = model->config;
    if (config->model_transaction_policy != NULL && config->model_transaction_policy->decoupled) {
        model->flags |= MODEL_FLAG_DECOUPLED;
        stats_want_first_response(model->stats,
                                  metrics_want_first_response(model->server->metrics));
    }
    if (config->response_cache != NULL && config->response_cache->enable) {
        LOG_WARN("model '%s' asks for a response cache, which this server does not have; it is "
                 "served without",
                 model->name);
    }
    NRD_TRY(model_compile_io(model));
    struct str json = STR_INIT;
    struct nrd_status *status = config_to_json(config, 1, &json);
    if (status != NULL) {
        str_fini(&json);
        return status;
    }
    message_destroy(model->config_json);
    model->config_json = NULL;
    return message_take(&json, &model->config_json);
}

static uint32_t group_number(const struct model *model, const Inference__ModelInstanceGroup *group)
{
    uint32_t at = 0;
    while (at < model->config->n_instance_group && model->config->instance_group[at] != group) {
        at++;
    }
    return at;
}

// Where the thread of an instance is to run: as its host policy says; without one that says anything, near its GPU.
static void choose_processors(const struct model *model, const struct placement *at, char *local,
                              size_t size, struct instance_spec *spec)
{
    const struct setting_list *policies = &model->server->options->host_policies;
    spec->cpu_cores = setting_list_get(policies, at->policy_name, "cpu-cores");
    spec->numa_node = setting_list_get(policies, at->policy_name, "numa-node");
    if (spec->cpu_cores == NULL && spec->numa_node == NULL &&
        at->kind == TRITONSERVER_INSTANCEGROUPKIND_GPU &&
        gpus_local_cpus(model->server->gpus, at->device_id, local, size)) {
        spec->cpu_cores = local;
        LOG_DEBUG(1, "instance %s on GPU %d runs on the processors near it, %s", at->name,
                  (int)at->device_id, local);
    }
}

struct nrd_status *model_add_instance(struct model *model, const struct placement *at)
{
    const Inference__ModelInstanceGroup *group = at->group;
    uint32_t count = atomic_load_explicit(&model->instance_count, memory_order_relaxed);
    if (count == model->instance_room) {
        return status_new(NRD_INTERNAL, "model '%s' has no room for one more than %u instances",
                          model->name, count);
    }
    struct message *policy = NULL;
    NRD_TRY(server_host_policy(model->server, at->policy_name, &policy));
    struct secondary_device *devices = mem_calloc(group->n_secondary_devices + 1, sizeof(*devices));
    if (devices == NULL) {
        message_destroy(policy);
        return status_no_memory();
    }
    for (size_t i = 0; i < group->n_secondary_devices; i++) {
        devices[i] =
            (struct secondary_device){"KIND_NVDLA", group->secondary_devices[i]->device_id};
    }
    struct instance_spec spec = {
        .name = at->name,
        .kind = at->kind,
        .device_id = at->device_id,
        .passive = group->passive,
        .group = group_number(model, group),
        .host_policy_name = at->policy_name,
        .host_policy = policy,
        .profiles = (const char *const *)group->profile,
        .profile_count = (uint32_t)group->n_profile,
        .secondary_devices = devices,
        .secondary_device_count = (uint32_t)group->n_secondary_devices,
    };
    char local[1024];
    choose_processors(model, at, local, sizeof(local), &spec);
    struct nrd_status *status =
        instance_create(model, &spec, model->instances, count, &model->instances[count]);
    mem_free(devices);
    if (status == NULL) {
        model->passive_count += group->passive ? 1 : 0;
        // Release: who sees the count sees the instance.
        atomic_store_explicit(&model->instance_count, count + 1, memory_order_release);
    }
    return status;
}

static struct nrd_status *create_instances(struct model *model)
{
    NRD_TRY(scheduler_create(model, &model->scheduler));
    struct placement_list list = {0};
    NRD_TRY(placement_expand(model->config, &list));
    // Each GPU that is lost may bring as many again.
    model->instance_room = (uint32_t)list.count * (1 + (uint32_t)gpus_count(model->server->gpus));
    model->instances = mem_calloc((size_t)model->instance_room + 1, sizeof(struct instance *));
    struct nrd_status *status = model->instances == NULL ? status_no_memory() : NULL;
    for (size_t i = 0; i < list.count && status == NULL; i++) {
        status = model_add_instance(model, &list.items[i]);
        if (status != NULL) {
            LOG_ERR("ERROR: Failed to create instance: %s", status_text(status));
        }
    }
    placement_list_fini(&list);
    return status;
}

struct nrd_status *model_create(struct server *server, const struct model_source *source,
                                struct model **out)
{
    NRD_TRY(refuse_unbuilt(source->config));
    uint64_t start = clock_now_ns();
    struct model *model = NULL;
    NRD_TRY(allocate(server, source, &model));
    struct nrd_status *status = find_backend(model, source->placed_groups);
    if (status == NULL) {
        status = initialize(model, source->config_provided);
    }
    if (status == NULL) {
        status = create_instances(model);
    }
    if (status != NULL) {
        model_destroy(model);
        return status;
    }
    model->load_duration_ns = clock_now_ns() - start;
    metrics_model_ready(server->metrics, model);
    model->on_destroyed = source->on_destroyed;
    model->on_destroyed_arg = source->on_destroyed_arg;
    pthread_mutex_lock(&server->models_mutex);
    list_push_back(&server->models, &model->alive_node);
    pthread_mutex_unlock(&server->models_mutex);
    *out = model;
    return NULL;
}

// ---- leaving --------------------------------------------------------------------------------------------------------

void model_unref(struct model *model)
{
    if (model == NULL || atomic_fetch_sub_explicit(&model->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    server_reap(model->server, model);
}

bool model_try_ref(struct model *model)
{
    int64_t refs = atomic_load_explicit(&model->refs, memory_order_relaxed);
    while (refs > 0 &&
           !atomic_compare_exchange_weak_explicit(&model->refs, &refs, refs + 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    return refs > 0;
}

void model_destroy(struct model *model)
{
    struct server *server = model->server;
    pthread_mutex_lock(&server->models_mutex);
    list_remove(&model->alive_node);
    pthread_mutex_unlock(&server->models_mutex);
    if (model->scheduler != NULL) {
        scheduler_stop(model->scheduler);
    }
    metrics_model_gone(server->metrics, model);
    for (uint32_t i = 0; i < model->instance_count; i++) {
        instance_destroy(model->instances[i]);
    }
    mem_free(model->instances);
    // As Triton does, also after a ModelInitialize that failed: it may have left something behind.
    if (model->initialize_called && model->backend->model_finalize != NULL) {
        struct nrd_status *status =
            (struct nrd_status *)model->backend->model_finalize((TRITONBACKEND_Model *)model);
        if (status != NULL) {
            LOG_ERR("failed finalizing model: %s", status_text(status));
            status_free(status);
        }
    }
    scheduler_destroy(model->scheduler);
    stats_destroy(model->stats);
    model_free_io(model);
    message_destroy(model->config_json);
    config_destroy(model->config);
    if (model->on_destroyed != NULL) {
        model->on_destroyed(model, model->on_destroyed_arg);
    }
    mem_free(model->name);
    mem_free(model->name_space);
    mem_free(model->repository);
    mem_free(model->directory);
    mem_free(model->version_dir);
    mem_free(model->gpu_map);
    mem_free(model);
    atomic_fetch_sub_explicit(&server->models_alive, 1, memory_order_release);
}

// ---- configuration, readiness ---------------------------------------------------------------------------------------

struct nrd_status *model_get_config(struct model *model, uint32_t config_version,
                                    struct message **message)
{
    struct message *copy = NULL;
    if (model->config_json != NULL && config_version == 1) {
        copy = message_create(slice_make(model->config_json->text, model->config_json->length));
        if (copy == NULL) {
            return status_no_memory();
        }
        *message = copy;
        return NULL;
    }
    struct str json = STR_INIT;
    struct nrd_status *status = config_to_json(model->config, config_version, &json);
    if (status != NULL) {
        str_fini(&json);
        return status;
    }
    return message_take(&json, message);
}

struct nrd_status *model_set_config(struct model *model, uint32_t config_version, struct slice json)
{
    if (!model->config_settable) {
        return status_new(NRD_UNSUPPORTED,
                          "model '%s': the configuration can be set only while the model is "
                          "initialized",
                          model->name);
    }
    NRD_TRY(config_merge_backend(model->config, json, config_version));
    model->config_was_set = true;
    return NULL;
}

bool model_instances_ready(const struct model *model)
{
    uint32_t count = atomic_load_explicit(&model->instance_count, memory_order_acquire);
    uint32_t lost = 0;
    for (uint32_t i = 0; i < count; i++) {
        lost += instance_is_lost(model->instances[i]) || model->instances[i]->passive;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (lost < count && instance_is_lost(model->instances[i])) {
            continue;
        }
        struct nrd_status *status = instance_ready(model->instances[i]);
        if (status != NULL) {
            LOG_DEBUG(1, "Model '%s' version %s is not ready: %s", model->name, model->version_text,
                      status_text(status));
            status_free(status);
            return false;
        }
    }
    return true;
}
