// SPDX-License-Identifier: Apache-2.0
// Placer: gathers what a plan needs (which GPUs, what is open, what was measured, what is served), and acts on it.
//
// Records are kept for as long as the server: a model that is loaded later is planned around those that are served. Start at
// placer_choose(); the plan itself is plan.c's.
#include "core/place/placer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/backend.h"
#include "core/gpus.h"
#include "core/instance.h"
#include "core/lifecycle.h"
#include "core/place/measure.h"
#include "core/place/plan.h"
#include "core/server.h"
#include "core/stats.h"
#include "proto/message.h"

#define KIND(name) INFERENCE__MODEL_INSTANCE_GROUP__KIND__KIND_##name

// A model that was placed.
struct known {
    uint64_t allowed; // bit a GPU's id: where its open groups may go
    uint64_t since_ns;
    const struct place_record *records[PLACE_GPUS_MAX]; // by the GPU's id
};

struct placer {
    struct server *server;
    pthread_mutex_t mutex; // one placement at a time; all that follows
    struct map records;    // key -> struct place_record
    struct map known;      // name -> struct known
};

// A model on its way into a plan.
struct candidate {
    struct placer_load *load;       // NULL: it is served
    Inference__ModelConfig *config; // a copy with complete instance groups
    enum plan_ground ground;
    uint64_t allowed; // bit an index of the plan's GPUs
    uint32_t instances;
    char refusal[RECORD_TEXT_MAX]; // why it could not be measured on some GPU; "" if it could
    const struct place_record *records[PLACE_GPUS_MAX]; // by that index
};

struct gathering {
    struct placer *placer;
    struct config_devices devices;
    struct plan_gpu gpus[PLACE_GPUS_MAX];
    char kinds[PLACE_GPUS_MAX][192]; // what is measured once: name, multiprocessors, clock
    unsigned gpu_count;
    struct candidate *candidates;
    struct plan_model *models; // one a candidate
    unsigned count;
};

// ---- life ---------------------------------------------------------------------------------------------------------

struct placer *placer_create(struct server *server)
{
    struct placer *placer = mem_calloc(1, sizeof(*placer));
    if (placer != NULL) {
        placer->server = server;
        pthread_mutex_init(&placer->mutex, NULL);
        map_init(&placer->records);
        map_init(&placer->known);
    }
    return placer;
}

static void free_values(struct map *map)
{
    size_t at = 0;
    struct map_entry *entry = NULL;
    while (map_next(map, &at, &entry)) {
        mem_free(entry->value);
    }
    map_fini(map);
}

void placer_destroy(struct placer *placer)
{
    if (placer != NULL) {
        free_values(&placer->records);
        free_values(&placer->known);
        pthread_mutex_destroy(&placer->mutex);
        mem_free(placer);
    }
}

// ---- what is asked for --------------------------------------------------------------------------------------------

static const char *parameter_of(const Inference__ModelConfig *config, const char *key)
{
    for (size_t i = 0; i < config->n_parameters; i++) {
        if (strcmp(config->parameters[i]->key, key) == 0) {
            return config->parameters[i]->value->string_value;
        }
    }
    return NULL;
}

// The model's own word, else the server's.
static bool is_wanted(const struct placer *placer, const Inference__ModelConfig *config)
{
    const char *own = parameter_of(config, "nereid_placement");
    if (own != NULL && strcmp(own, "measured") != 0 && strcmp(own, "all") != 0) {
        LOG_WARN("model '%s': parameter nereid_placement is '%s', expected 'all' or 'measured'",
                 config->name, own);
        own = NULL;
    }
    return own != NULL ? strcmp(own, "measured") == 0 : placer->server->options->place_measured;
}

bool placer_wanted(const struct placer *placer, const struct placer_load *loads, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_wanted(placer, loads[i].config)) {
            return true;
        }
    }
    return false;
}

// "RATE" or "RATE@ROWS".
static bool read_load(struct slice text, double *requests_s, uint32_t *rows)
{
    struct slice rate = text;
    uint64_t wide = 1;
    const char *at = memchr(text.ptr, '@', text.len);
    if (at != NULL) {
        rate.len = (size_t)(at - text.ptr);
        if (!slice_to_u64(slice_make(at + 1, text.len - rate.len - 1), &wide) || wide == 0 ||
            wide > UINT32_MAX) {
            return false;
        }
    }
    double value = 0;
    if (!slice_to_f64(rate, &value) || !(value >= 0) || value > 1e12) {
        return false;
    }
    *requests_s = value;
    *rows = (uint32_t)wide;
    return true;
}

static void set_demand(const struct placer *placer, const Inference__ModelConfig *config,
                       struct plan_model *model)
{
    const char *text = setting_list_get(&placer->server->options->place_loads, model->name, "load");
    text = text != NULL ? text : parameter_of(config, "nereid_load");
    model->requests_s = -1;
    model->rows = 1;
    if (text != NULL && !read_load(slice_of(text), &model->requests_s, &model->rows)) {
        LOG_WARN(
            "model '%s': the load '%s' is not requests a second, as in 200 or 200@8 (of 8 rows)",
            model->name, text);
    }
    if (config->max_batch_size > 0 && model->rows > (uint32_t)config->max_batch_size) {
        model->rows = (uint32_t)config->max_batch_size;
    }
}

// ---- GPUs ---------------------------------------------------------------------------------------------------------

static void look_at_gpus(struct gathering *all)
{
    struct server *server = all->placer->server;
    all->devices = gpus_devices(server->gpus);
    for (size_t i = 0; i < all->devices.gpu_count && all->gpu_count < PLACE_GPUS_MAX; i++) {
        struct plan_gpu *gpu = &all->gpus[all->gpu_count++];
        gpu->id = all->devices.gpus[i].id;
        const struct gpu_device_info *info = gpu_device_info(gpus_device(server->gpus, gpu->id));
        gpu->name = info->name;
        snprintf(all->kinds[i], sizeof(all->kinds[i]), "%s, %d multiprocessors, %d MHz, %d MiB",
                 info->name, info->multiprocessors, info->clock_khz / 1000,
                 (int)(info->memory_bytes >> 20));
    }
}

static void look_at_memory(struct gathering *all)
{
    backend_set_trim(&all->placer->server->backends);
    for (unsigned g = 0; g < all->gpu_count; g++) {
        struct gpu_device *device = gpus_device(all->placer->server->gpus, all->gpus[g].id);
        struct nrd_status *status =
            gpu_device_memory(device, &all->gpus[g].free_bytes, &all->gpus[g].total_bytes);
        if (status != NULL) {
            LOG_WARN("GPU %d gets no model: %s", (int)all->gpus[g].id, status_text(status));
            status_free(status);
            all->gpus[g].free_bytes = 0;
            all->gpus[g].total_bytes = 0;
        }
    }
}

static unsigned index_of(const struct gathering *all, int32_t id)
{
    unsigned g = 0;
    while (g < all->gpu_count && all->gpus[g].id != id) {
        g++;
    }
    return g;
}

static uint64_t group_set(const struct gathering *all, const Inference__ModelInstanceGroup *group)
{
    uint64_t set = 0;
    for (size_t i = 0; i < group->n_gpus; i++) {
        unsigned g = index_of(all, group->gpus[i]);
        set |= g < all->gpu_count ? UINT64_C(1) << g : 0;
    }
    return set;
}

// ---- what is open -------------------------------------------------------------------------------------------------

// Whether group `i` of the complete configuration is on GPUs because nobody said which.
static bool is_open(const Inference__ModelConfig *as_read, const Inference__ModelConfig *complete,
                    size_t i)
{
    return (int)complete->instance_group[i]->kind == KIND(GPU) &&
           (as_read->n_instance_group == 0 || as_read->instance_group[i]->n_gpus == 0);
}

// The backend, loaded if need be; NULL where it cannot use GPUs or is not to be had, which the load itself will say.
static const struct backend *find_backend(const struct placer *placer,
                                          const struct placer_load *load)
{
    struct str version = STR_INIT;
    struct backend *backend = NULL;
    str_printf(&version, "%s/%lld", load->directory, (long long)load->version);
    struct nrd_status *status = NULL;
    if (!version.failed && load->config->backend[0] != '\0') {
        status =
            backend_set_acquire(&placer->server->backends, placer->server->options,
                                load->config->backend, load->config->runtime, load->config->name,
                                load->directory, str_cstr(&version), &backend);
    }
    str_fini(&version);
    status_free(status);
    bool able = backend != NULL && !backend->cpu_only &&
                (backend->gpu_obstacle == NULL || backend->gpu_obstacle(backend) == NULL);
    return able ? backend : NULL;
}

// Fills all of a candidate but its records. False: it has no instance on a GPU.
static bool classify(struct gathering *all, struct placer_load *load, bool always,
                     struct candidate *candidate)
{
    const struct backend *backend = find_backend(all->placer, load);
    *candidate = (struct candidate){.load = load, .ground = PLAN_FIXED};
    candidate->config = backend == NULL ? NULL : config_copy(load->config);
    if (candidate->config == NULL) {
        return false;
    }
    struct nrd_status *status = config_normalize_instances(candidate->config, &all->devices,
                                                           backend->groups, backend->group_count);
    if (status != NULL) {
        status_free(status); // the load will say it
        return false;
    }
    bool wanted = always || is_wanted(all->placer, load->config);
    uint64_t open = UINT64_MAX;
    uint32_t open_instances = 0;
    for (size_t i = 0; i < candidate->config->n_instance_group; i++) {
        const Inference__ModelInstanceGroup *group = candidate->config->instance_group[i];
        if ((int)group->kind != KIND(GPU)) {
            continue;
        }
        candidate->allowed |= group_set(all, group);
        candidate->instances += (uint32_t)group->count;
        if (wanted && is_open(load->config, candidate->config, i)) {
            open &= group_set(all, group);
            open_instances += (uint32_t)group->count;
        }
    }
    if (open_instances > 0) {
        candidate->ground = PLAN_OPEN;
        candidate->allowed = open;
        candidate->instances = open_instances;
    }
    return candidate->allowed != 0 && candidate->instances > 0;
}

// ---- measuring ----------------------------------------------------------------------------------------------------

// The configuration with nothing but `instances` instances on one GPU. Returns owned; NULL when memory is out.
static Inference__ModelConfig *config_on(const struct candidate *candidate, int32_t gpu)
{
    Inference__ModelConfig *config = config_copy(candidate->config);
    if (config == NULL) {
        return NULL;
    }
    bool have = false;
    size_t kept = 0;
    for (size_t i = 0; i < config->n_instance_group; i++) {
        Inference__ModelInstanceGroup *group = config->instance_group[i];
        if (have || (int)group->kind != KIND(GPU) || group->n_gpus == 0) {
            proto_destroy(&group->base);
            continue;
        }
        have = true;
        group->n_gpus = 1;
        group->gpus[0] = gpu;
        group->count = (int32_t)candidate->instances;
        group->passive = false;
        config->instance_group[kept++] = group;
    }
    config->n_instance_group = kept;
    return config;
}

// What the record is of: the files of the version, the configuration less its places, the backend, this program, and the instances.
static struct nrd_status *hash_model(const struct candidate *candidate, struct record_hash *hash)
{
    const struct placer_load *load = candidate->load;
    Inference__ModelConfig *config = config_on(candidate, 0);
    struct str text = STR_INIT;
    struct str version = STR_INIT;
    if (config == NULL) {
        return status_no_memory();
    }
    record_hash_init(hash);
    struct nrd_status *status = config_to_json(config, 1, &text);
    str_printf(&version, "%s/%lld", load->directory, (long long)load->version);
    if (status == NULL && (text.failed || version.failed)) {
        status = status_no_memory();
    }
    if (status == NULL) {
        record_hash_add(hash, str_slice(&text));
        record_hash_add(hash, SLICE(NEREID_VERSION));
        status = record_hash_add_tree(hash, str_cstr(&version));
    }
    str_fini(&text);
    str_fini(&version);
    config_destroy(config);
    return status;
}

static struct nrd_status *measure(struct gathering *all, const struct candidate *candidate,
                                  unsigned gpu, struct place_record *record)
{
    const struct placer_load *load = candidate->load;
    Inference__ModelConfig *config = config_on(candidate, all->gpus[gpu].id);
    if (config == NULL) {
        return status_no_memory();
    }
    struct server *server = all->placer->server;
    const struct model_source source = {
        .name = load->name,
        .version = load->version,
        .name_space = "",
        .repository = load->repository,
        .directory = load->directory,
        .config = config,
        .auto_complete = !server->options->strict_model_config,
        .config_provided = load->config_provided,
    };
    LOG_NOTE("measuring model '%s' on GPU %d (%s)", load->name, (int)all->gpus[gpu].id,
             all->gpus[gpu].name);
    struct nrd_status *status =
        measure_model(server, &source, all->gpus[gpu].id, candidate->instances, record);
    config_destroy(config);
    return status;
}

// The GPU of the same kind with most memory left, of those that the model may go to.
static unsigned roomiest_alike(struct gathering *all, const struct candidate *candidate,
                               unsigned kind)
{
    unsigned best = kind;
    look_at_memory(all);
    for (unsigned g = 0; g < all->gpu_count; g++) {
        bool alike =
            strcmp(all->kinds[g], all->kinds[kind]) == 0 && ((candidate->allowed >> g) & 1) != 0;
        best = alike && all->gpus[g].free_bytes > all->gpus[best].free_bytes ? g : best;
    }
    return best;
}

// The record of a key, measured if it is neither known nor in the cache. On an error it cannot be loaded there.
static struct nrd_status *find_record(struct gathering *all, const struct candidate *candidate,
                                      const struct record_hash *model, unsigned kind,
                                      const struct place_record **out)
{
    struct record_hash hash = *model;
    char key[33];
    record_hash_add(&hash, slice_of(all->kinds[kind]));
    record_hash_text(&hash, key);
    struct place_record *record = map_get(&all->placer->records, slice_of(key));
    if (record != NULL) {
        *out = record;
        return NULL;
    }
    record = mem_calloc(1, sizeof(*record));
    if (record == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = NULL;
    if (!record_find(key, record)) {
        status = measure(all, candidate, roomiest_alike(all, candidate, kind), record);
        if (status == NULL) {
            record_store(key, record, candidate->load->name, all->kinds[kind]);
        }
    }
    if (status == NULL) {
        status = map_put(&all->placer->records, slice_of(key), record, NULL);
    }
    if (status != NULL) {
        mem_free(record);
        return status;
    }
    *out = record;
    return NULL;
}

static void find_records(struct gathering *all, struct candidate *candidate)
{
    struct record_hash hash;
    struct nrd_status *status = hash_model(candidate, &hash);
    for (unsigned g = 0; g < all->gpu_count; g++) {
        if (((candidate->allowed >> g) & 1) == 0) {
            continue;
        }
        if (status == NULL) {
            status = find_record(all, candidate, &hash, g, &candidate->records[g]);
        }
        if (status != NULL) { // where it cannot be loaded it cannot be served
            LOG_WARN("model '%s' cannot be measured on GPU %d: %s", candidate->load->name,
                     (int)all->gpus[g].id, status_text(status));
            snprintf(candidate->refusal, sizeof(candidate->refusal), "%s", status_text(status));
            candidate->allowed &= candidate->ground == PLAN_OPEN ? ~(UINT64_C(1) << g) : UINT64_MAX;
            status_free(status);
            status = NULL;
        }
    }
}

// ---- what is served -----------------------------------------------------------------------------------------------

static void observe(const struct model *model, const struct known *known,
                    struct plan_model *planned)
{
    struct stats_snapshot stats;
    stats_snapshot(model->stats, &stats);
    double seconds = (double)(clock_now_ns() - known->since_ns) / 1e9;
    if (planned->requests_s < 0 && stats.success.count > 0 && seconds > 0) {
        planned->requests_s = (double)stats.success.count / seconds;
        planned->rows = (uint32_t)(stats.inference_count / stats.success.count);
        planned->rows = planned->rows == 0 ? 1 : planned->rows;
    }
}

// A served model that was placed by measurement; others are not known by their times, and their memory is taken already.
static bool add_live(struct gathering *all, const struct model *model, const char *name)
{
    const struct known *known = map_get(&all->placer->known, slice_of(name));
    struct candidate *candidate = &all->candidates[all->count];
    *candidate = (struct candidate){.ground = PLAN_LIVE};
    for (uint32_t i = 0; i < model->instance_count; i++) {
        const struct instance *instance = model->instances[i];
        unsigned g = instance->kind == TRITONSERVER_INSTANCEGROUPKIND_GPU
                         ? index_of(all, instance->device_id)
                         : all->gpu_count;
        candidate->allowed |= g < all->gpu_count ? UINT64_C(1) << g : 0;
    }
    if (known == NULL || candidate->allowed == 0) {
        return false;
    }
    candidate->instances =
        model->instance_count / (uint32_t)__builtin_popcountll(candidate->allowed);
    candidate->instances = candidate->instances == 0 ? 1 : candidate->instances;
    for (unsigned g = 0; g < all->gpu_count; g++) {
        candidate->records[g] = known->records[all->gpus[g].id];
    }
    struct plan_model *planned = &all->models[all->count];
    *planned = (struct plan_model){.name = name, .directory = "", .versions = 1};
    set_demand(all->placer, model->config, planned);
    observe(model, known, planned);
    all->count++;
    return true;
}

static bool is_among(const struct gathering *all, const char *name)
{
    for (unsigned i = 0; i < all->count; i++) {
        if (strcmp(all->models[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void add_all_live(struct gathering *all, const struct version_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        const struct version_row *row = &rows->items[i];
        if (row->model != NULL && !is_among(all, row->name)) {
            add_live(all, row->model, row->name);
        }
    }
}

// ---- gathering ----------------------------------------------------------------------------------------------------

static void add_load(struct gathering *all, struct placer_load *load, bool always)
{
    struct candidate *candidate = &all->candidates[all->count];
    struct plan_model *planned = &all->models[all->count];
    if (!classify(all, load, always, candidate)) {
        config_destroy(candidate->config);
        return;
    }
    *planned = (struct plan_model){.name = load->name,
                                   .directory = load->directory,
                                   .versions = load->version_count,
                                   .own_groups = load->config->n_instance_group > 0};
    set_demand(all->placer, candidate->config, planned);
    find_records(all, candidate);
    all->count++;
}

static struct nrd_status *gather(struct gathering *all, struct placer_load *loads, size_t count,
                                 bool always, const struct version_rows *rows)
{
    all->candidates = mem_calloc(count + rows->count + 1, sizeof(*all->candidates));
    all->models = mem_calloc(count + rows->count + 1, sizeof(*all->models));
    if (all->candidates == NULL || all->models == NULL) {
        return status_no_memory();
    }
    for (size_t i = 0; i < count; i++) {
        add_load(all, &loads[i], always);
    }
    add_all_live(all, rows);
    for (unsigned i = 0; i < all->count; i++) {
        const struct candidate *candidate = &all->candidates[i];
        all->models[i].ground = candidate->ground;
        all->models[i].allowed = candidate->allowed;
        all->models[i].instances = candidate->instances;
        all->models[i].records = candidate->records;
        all->models[i].refusal = candidate->refusal;
    }
    look_at_memory(all);
    return NULL;
}

static void gathering_fini(struct gathering *all)
{
    for (unsigned i = 0; i < all->count && all->candidates != NULL; i++) {
        config_destroy(all->candidates[i].config);
    }
    mem_free(all->candidates);
    mem_free(all->models);
}

// ---- acting -------------------------------------------------------------------------------------------------------

// Writes the GPUs of `set` into the groups of `load` that are open.
static struct nrd_status *write_set(const struct gathering *all, const struct candidate *candidate,
                                    uint64_t set)
{
    Inference__ModelConfig *config = candidate->load->config;
    bool had_none = config->n_instance_group == 0;
    for (size_t i = 0; i < candidate->config->n_instance_group; i++) {
        if (!had_none && !is_open(config, candidate->config, i)) {
            continue;
        }
        Inference__ModelInstanceGroup *group = NULL;
        if (had_none) { // the one that it gets by default
            Inference__ModelInstanceGroup **place = proto_open(
                &config->base, proto_field(config->base.descriptor, SLICE("instance_group")));
            if (place == NULL) {
                return status_no_memory();
            }
            group = *place;
            group->count = candidate->config->instance_group[i]->count;
            if (!proto_set_string(&group->name,
                                  slice_of(candidate->config->instance_group[i]->name))) {
                return status_no_memory();
            }
        } else {
            group = config->instance_group[i];
        }
        candidate->load->placed_groups |= i < 64 ? UINT64_C(1) << i : 0;
        for (unsigned g = 0; g < all->gpu_count; g++) {
            int32_t *place = ((set >> g) & 1) != 0
                                 ? proto_grow(&group->gpus, &group->n_gpus, sizeof(*place))
                                 : NULL;
            if (place != NULL) {
                *place = all->gpus[g].id;
            } else if (((set >> g) & 1) != 0) {
                return status_no_memory();
            }
        }
    }
    return NULL;
}

// What a later placement and placer_refuge() want to know.
static struct nrd_status *remember(struct gathering *all, const struct candidate *candidate)
{
    struct known *known = mem_calloc(1, sizeof(*known));
    if (known == NULL) {
        return status_no_memory();
    }
    known->since_ns = clock_now_ns();
    for (unsigned g = 0; g < all->gpu_count; g++) {
        int32_t id = all->gpus[g].id;
        bool open = candidate->ground == PLAN_OPEN && ((candidate->allowed >> g) & 1) != 0;
        if (id >= 0 && id < PLACE_GPUS_MAX) {
            known->allowed |= open ? UINT64_C(1) << id : 0;
            known->records[id] = candidate->records[g];
        }
    }
    void *old = NULL;
    struct nrd_status *status =
        map_put(&all->placer->known, slice_of(candidate->load->name), known, &old);
    mem_free(status == NULL ? old : known);
    return status;
}

static void act_on(struct gathering *all, const struct plan *plan, unsigned i)
{
    const struct candidate *candidate = &all->candidates[i];
    struct str words = STR_INIT;
    struct nrd_status *status = NULL;
    plan_describe(plan, i, &words);
    if (plan->answer.on[i] == 0) {
        LOG_WARN("%s; its load is tried as the configuration has it", str_cstr(&words));
    } else {
        LOG_NOTE("%s", str_cstr(&words));
    }
    for (uint64_t set = 0; plan_next_set(plan, i, &set);) {
        struct plan_verdict verdict;
        str_clear(&words);
        struct nrd_status *failed = plan_alternative(plan, i, set, &verdict, &words);
        if (failed == NULL) {
            LOG_DEBUG(1, "model '%s' elsewhere (GPUs by bits: %llx): %.1f %%, %s",
                      plan->models[i].name, (unsigned long long)set, 100 * verdict.throughput,
                      str_cstr(&words));
        }
        status_free(failed);
    }
    str_fini(&words);
    if (candidate->load != NULL && candidate->ground == PLAN_OPEN && plan->answer.on[i] != 0) {
        status = write_set(all, candidate, plan->answer.on[i]);
    }
    if (status == NULL && candidate->load != NULL) {
        status = remember(all, candidate);
    }
    if (status != NULL) {
        LOG_ERR("model '%s' could not be placed: %s", plan->models[i].name, status_text(status));
        status_free(status);
    }
}

static void log_whole(const struct plan *plan)
{
    double level = plan->answer.rating.level;
    const char *how = plan->answer.exact ? "" : ", the best that was found in time";
    if (plan->in_requests) {
        LOG_NOTE("placement of %u models on %u GPUs: sustains %.2f times the expected load%s",
                 plan->model_count, plan->gpu_count, level > 0 ? 1 / level : 0, how);
    } else {
        LOG_NOTE("placement of %u models on %u GPUs: sustains %.1f requests/s of each, asked for "
                 "alike%s",
                 plan->model_count, plan->gpu_count, level > 0 ? 1 / level : 0, how);
    }
}

// Gathers and plans. plan and gathering are to be finished either way. With the mutex held.
static struct nrd_status *make_plan(struct gathering *all, struct placer_load *loads, size_t count,
                                    bool always, const struct version_rows *rows, struct plan *plan)
{
    look_at_gpus(all);
    if (all->gpu_count == 0) {
        return status_new(NRD_UNAVAILABLE, "there is no GPU here, so there is nothing to place");
    }
    NRD_TRY(gather(all, loads, count, always, rows));
    *plan = (struct plan){.gpus = all->gpus,
                          .gpu_count = all->gpu_count,
                          .models = all->models,
                          .model_count = all->count};
    return plan_solve(plan);
}

void placer_choose(struct placer *placer, struct placer_load *loads, size_t count)
{
    struct gathering all = {.placer = placer};
    struct plan plan = {0};
    struct version_rows rows = {0};
    struct nrd_status *status = lifecycle_rows(placer->server->lifecycle, NULL, true, &rows);
    pthread_mutex_lock(&placer->mutex);
    if (status == NULL) {
        status = make_plan(&all, loads, count, false, &rows, &plan);
    }
    if (status != NULL) {
        LOG_NOTE("no placement by measurement: %s", status_text(status));
        status_free(status);
    } else if (plan.model_count > 0) {
        for (unsigned i = 0; i < plan.model_count; i++) {
            act_on(&all, &plan, i);
        }
        log_whole(&plan);
    }
    plan_fini(&plan);
    gathering_fini(&all);
    pthread_mutex_unlock(&placer->mutex);
    version_rows_fini(&rows);
}

struct nrd_status *placer_report(struct placer *placer, struct placer_load *loads, size_t count,
                                 struct str *json)
{
    struct gathering all = {.placer = placer};
    struct plan plan = {0};
    struct version_rows rows = {0};
    NRD_TRY(lifecycle_rows(placer->server->lifecycle, NULL, true, &rows));
    pthread_mutex_lock(&placer->mutex);
    struct nrd_status *status = make_plan(&all, loads, count, true, &rows, &plan);
    if (status == NULL) {
        status = plan_json(&plan, json);
    }
    plan_fini(&plan);
    gathering_fini(&all);
    pthread_mutex_unlock(&placer->mutex);
    version_rows_fini(&rows);
    return status;
}

// ---- a refuge -----------------------------------------------------------------------------------------------------

static uint64_t sets_of(const struct model *model)
{
    uint64_t set = 0;
    for (uint32_t i = 0; i < model->instance_count; i++) {
        const struct instance *instance = model->instances[i];
        bool on_gpu = instance->kind == TRITONSERVER_INSTANCEGROUPKIND_GPU &&
                      instance->device_id >= 0 && instance->device_id < PLACE_GPUS_MAX;
        set |= on_gpu ? UINT64_C(1) << instance->device_id : 0;
    }
    return set;
}

int32_t placer_refuge(struct placer *placer, const struct model *model, int32_t lost)
{
    struct gathering all = {.placer = placer};
    struct version_rows rows = {0};
    status_free(lifecycle_rows(placer->server->lifecycle, NULL, true, &rows));
    if (pthread_mutex_trylock(&placer->mutex) != 0) {
        version_rows_fini(&rows);
        return -1;
    }
    const struct known *known = map_get(&placer->known, slice_of(model->name));
    uint64_t open = known == NULL ? 0 : known->allowed & ~sets_of(model);
    look_at_gpus(&all);
    look_at_memory(&all);
    int32_t best = -1;
    double least = 0;
    for (unsigned g = 0; g < all.gpu_count; g++) {
        int32_t id = all.gpus[g].id;
        const struct place_record *record =
            known == NULL || id >= PLACE_GPUS_MAX ? NULL : known->records[id];
        if (record == NULL || id == lost || ((open >> id) & 1) == 0 ||
            gpus_is_lost(placer->server->gpus, id) ||
            record->memory_bytes > all.gpus[g].free_bytes) {
            continue;
        }
        double busy = 0; // instances there, weighed by what each takes of the GPU's time
        for (size_t i = 0; i < rows.count; i++) {
            const struct known *other = rows.items[i].model == NULL
                                            ? NULL
                                            : map_get(&placer->known, slice_of(rows.items[i].name));
            double serial_s = 0;
            double busy_s = 0;
            if (other != NULL && ((sets_of(rows.items[i].model) >> id) & 1) != 0 &&
                other->records[id] != NULL &&
                record_cost(other->records[id], 1, &serial_s, &busy_s)) {
                busy += busy_s / __builtin_popcountll(sets_of(rows.items[i].model));
            }
        }
        if (best < 0 || busy < least) {
            best = id;
            least = busy;
        }
    }
    pthread_mutex_unlock(&placer->mutex);
    version_rows_fini(&rows);
    return best;
}
