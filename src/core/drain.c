// SPDX-License-Identifier: Apache-2.0
// Drain: see the header. Models are found in the server's list of all that live, since one that is leaving may have requests, too.
#include "core/drain.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "core/gpu_health.h"
#include "core/gpus.h"
#include "core/instance.h"
#include "core/lifecycle.h"
#include "core/model.h"
#include "core/place/placer.h"
#include "core/placement.h"
#include "core/schedule/scheduler.h"
#include "core/server.h"
#include "gpu/nvml.h"
#include "proto/model_config.pb-c.h"

struct drain {
    struct server *server;
    pthread_mutex_t mutex; // of the start
    struct thread thread;
    struct parking parking;
    _Atomic bool closing; // no instance is made any more
    _Atomic bool stop;
    struct gpu_health health[GPU_DEVICES_MAX]; // the thread's
    uint64_t judged;                           // the losses that were asked about; the thread's
    bool poisoned;                             // the thread's
    drain_poisoned_fn tell;                    // whom to tell of it; with the mutex, and `told`
    void *tell_arg;
    bool told;
};

// ---- how a model stands -----------------------------------------------------------------------------------------------

static void describe_lost(const struct model *model, struct str *why)
{
    uint64_t lost = gpus_lost(model->server->gpus);
    uint64_t told = 0;
    uint32_t count = atomic_load_explicit(&model->instance_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        const struct instance *instance = model->instances[i];
        uint64_t bit = UINT64_C(1) << ((unsigned)instance->device_id % 64);
        if (instance->gpu == NULL || (lost & bit) == 0 || (told & bit) != 0) {
            continue;
        }
        struct nrd_status *status = gpu_device_health(instance->gpu);
        str_append_cstr(why, told != 0 ? "; " : "");
        str_append_cstr(why, status_text(status));
        status_free(status);
        told |= bit;
    }
}

enum drain_standing drain_standing(const struct model *model, struct str *why)
{
    uint32_t gone = 0;
    uint32_t left = 0;
    uint32_t count = atomic_load_explicit(&model->instance_count, memory_order_acquire);
    for (uint32_t i = 0; i < count && gpus_lost(model->server->gpus) != 0; i++) {
        const struct instance *instance = model->instances[i];
        gone += instance_is_lost(instance);
        left += !instance_is_lost(instance) && !instance->passive;
    }
    if (gone == 0) {
        return DRAIN_ALL;
    }
    describe_lost(model, why);
    if (left == 0) {
        str_append_cstr(why, "; no instance is left");
        return DRAIN_NONE;
    }
    str_printf(why, "; %u of %u instances are left", left, left + gone);
    return DRAIN_SOME;
}

// ---- other instances --------------------------------------------------------------------------------------------------

// How many instances of all models a GPU has that works; so that load goes to the GPU that has the least.
static uint32_t instances_on(struct server *server, int32_t gpu)
{
    uint32_t found = 0;
    pthread_mutex_lock(&server->models_mutex);
    LIST_FOR(node, &server->models)
    {
        const struct model *model = CONTAINER_OF(node, struct model, alive_node);
        uint32_t count = atomic_load_explicit(&model->instance_count, memory_order_acquire);
        for (uint32_t i = 0; i < count; i++) {
            found += model->instances[i]->gpu != NULL && model->instances[i]->device_id == gpu;
        }
    }
    pthread_mutex_unlock(&server->models_mutex);
    return found;
}

// What was placed by measurement goes by what was measured; of other models nothing is known.
static int32_t least_used_gpu(const struct model *model, const struct config_devices *devices,
                              int32_t lost_gpu)
{
    struct server *server = model->server;
    int32_t best = placer_refuge(server->placer, model, lost_gpu);
    if (best >= 0) {
        return best;
    }
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < devices->gpu_count; i++) {
        int32_t id = devices->gpus[i].id;
        uint32_t used = config_gpu_supported(devices, id) ? instances_on(server, id) : UINT32_MAX;
        if (used < least) {
            best = id;
            least = used;
        }
    }
    return best;
}

// Where an instance of that group may go instead of to the lost GPU; false: nowhere.
static bool other_place(const struct model *model, size_t group, int32_t lost_gpu,
                        struct placement *place)
{
    struct config_devices devices = gpus_devices(model->server->gpus);
    uint64_t bit = group < 64 ? UINT64_C(1) << group : 0;
    bool open = (model->open_groups & bit) != 0;
    int32_t gpu =
        open ? least_used_gpu(model, &devices, lost_gpu) : config_map_gpu(&devices, lost_gpu);
    if (gpu >= 0 && gpu != lost_gpu && config_gpu_supported(&devices, gpu)) {
        place->kind = TRITONSERVER_INSTANCEGROUPKIND_GPU;
        place->device_id = gpu;
        return true;
    }
    place->kind = TRITONSERVER_INSTANCEGROUPKIND_CPU;
    place->device_id = 0;
    return devices.gpu_fallback_cpu || (model->auto_groups & bit) != 0;
}

static struct nrd_status *make_one(struct model *model, const struct instance *lost, size_t group)
{
    char policy[32];
    struct placement place = {
        .group = model->config->instance_group[group], .name = lost->name, .policy_name = policy};
    if (!other_place(model, group, lost->device_id, &place)) {
        return status_new(NRD_UNAVAILABLE,
                          "instance group %s of model %s may go nowhere else than to GPU %d",
                          place.group->name, model->name, (int)lost->device_id);
    }
    bool gpu = place.kind == TRITONSERVER_INSTANCEGROUPKIND_GPU;
    if (gpu) {
        snprintf(policy, sizeof(policy), "gpu_%d", (int)place.device_id);
    } else {
        snprintf(policy, sizeof(policy), "cpu");
    }
    if (place.group->host_policy[0] != '\0') {
        place.policy_name = place.group->host_policy;
    }
    char where[32];
    scheduler_describe_device(place.kind, place.device_id, where, sizeof(where));
    LOG_WARN("model '%s' version %s: instance %s of GPU %d is made anew on %s", model->name,
             model->version_text, lost->name, (int)lost->device_id, where);
    NRD_TRY(model_add_instance(model, &place));
    if (!gpu) {
        atomic_fetch_or_explicit(&model->flags, MODEL_FLAG_FELL_BACK_TO_CPU, memory_order_relaxed);
    }
    return NULL;
}

static void retire_gpus(struct model *model, uint64_t lost)
{
    for (int gpu = 0; gpu < GPU_DEVICES_MAX; gpu++) {
        if ((lost >> gpu & 1) != 0) {
            scheduler_retire_device(model->scheduler, TRITONSERVER_INSTANCEGROUPKIND_GPU, gpu);
        }
    }
}

// A model without instances gets others; what of it is not possible is said, and then it serves no more.
static void make_others(struct drain *drain, struct model *model)
{
    uint64_t lost = gpus_lost(drain->server->gpus);
    uint32_t count = atomic_load_explicit(&model->instance_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        const struct instance *instance = model->instances[i];
        bool current = instance_is_lost(instance) && !instance->passive && !instance->left;
        if (!current || atomic_load_explicit(&drain->closing, memory_order_relaxed)) {
            continue;
        }
        model->instances[i]->left = true;
        struct nrd_status *status = make_one(model, instance, instance->group);
        if (status != NULL) {
            LOG_ERR("model '%s' version %s: no instance in place of %s: %s", model->name,
                    model->version_text, instance->name, status_text(status));
            status_free(status);
        }
    }
    retire_gpus(model, lost);
    atomic_store_explicit(&model->drained, lost, memory_order_relaxed);
    struct str why = STR_INIT;
    if (drain_standing(model, &why) == DRAIN_NONE) {
        LOG_ERR("model '%s' version %s is not served any more: %s", model->name,
                model->version_text, str_cstr(&why));
    }
    str_fini(&why);
}

// ---- leaving ------------------------------------------------------------------------------------------------------------

struct model_set {
    struct drain *drain;
    struct model **items; // one reference each
    size_t count;
};

static void make_others_of(void *arg, size_t i)
{
    const struct model_set *set = arg;
    make_others(set->drain, set->items[i]);
}

static void model_set_fini(struct model_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        model_unref(set->items[i]);
    }
    mem_free(set->items);
    *set = (struct model_set){0};
}

static void add_model(struct model_set *set, struct model *model)
{
    struct model **grown = mem_realloc(set->items, (set->count + 1) * sizeof(*grown));
    if (grown == NULL) {
        model_unref(model); // the next look finds it
        return;
    }
    set->items = grown;
    grown[set->count++] = model;
}

// Those that have not been seen to since a GPU was lost.
static void find_models(struct drain *drain, uint64_t lost, struct model_set *set)
{
    struct server *server = drain->server;
    pthread_mutex_lock(&server->models_mutex);
    LIST_FOR(node, &server->models)
    {
        struct model *model = CONTAINER_OF(node, struct model, alive_node);
        if (atomic_load_explicit(&model->drained, memory_order_relaxed) != lost &&
            model_try_ref(model)) {
            add_model(set, model);
        }
    }
    pthread_mutex_unlock(&server->models_mutex);
}

static bool is_served(struct server *server, const struct model *model)
{
    struct model *found = NULL;
    struct nrd_status *status = server_find_model(server, model->name, model->version, &found);
    status_free(status);
    model_unref(found);
    return found == model;
}

// True when the model needs other instances; else it was seen to.
static bool leave_gpus(struct drain *drain, struct model *model, uint64_t lost)
{
    struct str why = STR_INIT;
    enum drain_standing standing = drain_standing(model, &why);
    uint32_t count = atomic_load_explicit(&model->instance_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        if (instance_is_lost(model->instances[i])) {
            instance_wake(model->instances[i]);
        }
    }
    bool served = !atomic_load_explicit(&drain->closing, memory_order_relaxed) &&
                  is_served(model->server, model);
    if (standing == DRAIN_SOME) {
        LOG_WARN("model '%s' version %s goes on: %s", model->name, model->version_text,
                 str_cstr(&why));
    }
    str_fini(&why);
    if (standing == DRAIN_NONE && served) {
        return true;
    }
    // One on its way in has no requests yet and is looked at again; one on its way out may have some, and gets no new instances.
    if (standing != DRAIN_NONE ||
        atomic_load_explicit(&model->inflight, memory_order_relaxed) > 0) {
        retire_gpus(model, lost);
    }
    if (standing != DRAIN_NONE) {
        atomic_store_explicit(&model->drained, lost, memory_order_relaxed);
    }
    return false;
}

static void leave_lost_gpus(struct drain *drain)
{
    struct model_set all = {.drain = drain};
    struct model_set without = {.drain = drain};
    if (gpus_lost(drain->server->gpus) == 0) {
        return;
    }
    gpus_probe(drain->server->gpus); // a kernel's fault may have broken them all
    uint64_t lost = gpus_lost(drain->server->gpus);
    find_models(drain, lost, &all);
    for (size_t i = 0; i < all.count; i++) {
        if (leave_gpus(drain, all.items[i], lost)) {
            add_model(&without, model_ref(all.items[i]));
        }
    }
    lifecycle_run_parallel(drain->server->lifecycle, without.count, make_others_of, &without);
    model_set_fini(&without);
    model_set_fini(&all);
}

// ---- watching -----------------------------------------------------------------------------------------------------------

static void look(struct drain *drain, int gpu, uint64_t now_ns)
{
    struct gpu_device *device = gpus_device(drain->server->gpus, gpu);
    enum gpu_sight sight = GPU_SIGHT_FINE;
    struct nrd_status *status = gpu_device_probe(device);
    if (status != NULL) {
        sight = GPU_SIGHT_BROKEN;
    } else {
        status = nvml_check_lost(gpu_device_info(device)->uuid);
        sight = status == NULL ? GPU_SIGHT_FINE : GPU_SIGHT_GONE;
    }
    if (gpu_health_seen(&drain->health[gpu], sight, now_ns)) {
        gpu_device_mark_lost(device, status_text(status));
    }
    status_free(status);
}

static void tell_poisoned(struct drain *drain)
{
    pthread_mutex_lock(&drain->mutex);
    drain_poisoned_fn tell = drain->told ? NULL : drain->tell;
    void *arg = drain->tell_arg;
    drain->told = drain->told || tell != NULL;
    pthread_mutex_unlock(&drain->mutex);
    if (tell != NULL) {
        tell(arg);
    }
}

// Once for each loss: asking makes contexts.
static void judge(struct drain *drain)
{
    uint64_t lost = gpus_lost(drain->server->gpus);
    if (lost != drain->judged && !drain->poisoned) {
        drain->poisoned = gpus_are_poisoned(drain->server->gpus);
        drain->judged = lost;
        if (drain->poisoned) {
            LOG_ERR("no GPU can be used in this process any more: a kernel's fault ends CUDA for "
                    "all of it");
        }
    }
    if (drain->poisoned) {
        tell_poisoned(drain);
    }
}

void drain_tell_poisoned(struct drain *drain, drain_poisoned_fn fn, void *arg)
{
    pthread_mutex_lock(&drain->mutex);
    drain->tell = fn;
    drain->tell_arg = arg;
    pthread_mutex_unlock(&drain->mutex);
    parking_wake(&drain->parking);
}

static void watch(void *arg)
{
    struct drain *drain = arg;
    int count = gpus_count(drain->server->gpus);
    while (!atomic_load_explicit(&drain->stop, memory_order_relaxed)) {
        uint64_t next_ns = UINT64_MAX;
        for (int i = 0; i < count; i++) {
            uint64_t now_ns = clock_now_ns();
            if (gpu_health_is_due(&drain->health[i], now_ns)) {
                look(drain, i, now_ns);
            }
            next_ns = drain->health[i].next_ns < next_ns ? drain->health[i].next_ns : next_ns;
        }
        leave_lost_gpus(drain);
        judge(drain);
        // A model that is loaded while a GPU is lost is found by the next look.
        uint64_t latest_ns = clock_now_ns() + GPU_HEALTH_PERIOD_NS;
        parking_wait(&drain->parking, next_ns < latest_ns ? next_ns : latest_ns);
    }
}

static void wake(void *arg)
{
    struct drain *drain = arg;
    parking_wake(&drain->parking);
}

// ---- life -----------------------------------------------------------------------------------------------------------------

struct drain *drain_create(struct server *server)
{
    struct drain *drain = mem_calloc(1, sizeof(*drain));
    if (drain != NULL) {
        drain->server = server;
        pthread_mutex_init(&drain->mutex, NULL);
        parking_init(&drain->parking);
        gpus_tell_losses(server->gpus, wake, drain);
    }
    return drain;
}

void drain_start(struct drain *drain)
{
    pthread_mutex_lock(&drain->mutex);
    if (!drain->thread.started && !atomic_load_explicit(&drain->stop, memory_order_relaxed)) {
        struct nrd_status *status = thread_start(&drain->thread, "gpu-watch", 0, watch, drain);
        if (status != NULL) {
            LOG_ERR("the GPUs are not watched: %s", status_text(status));
            status_free(status);
        }
    }
    pthread_mutex_unlock(&drain->mutex);
}

void drain_close(struct drain *drain)
{
    atomic_store_explicit(&drain->closing, true, memory_order_relaxed);
}

void drain_destroy(struct drain *drain)
{
    if (drain == NULL) {
        return;
    }
    drain_close(drain);
    pthread_mutex_lock(&drain->mutex);
    atomic_store_explicit(&drain->stop, true, memory_order_relaxed);
    pthread_mutex_unlock(&drain->mutex);
    parking_wake(&drain->parking);
    thread_join(&drain->thread);
    gpus_tell_losses(drain->server->gpus, NULL, NULL);
    pthread_mutex_destroy(&drain->mutex);
    mem_free(drain);
}
