// SPDX-License-Identifier: Apache-2.0
// Server: start, the ready map, the reaper, stop. Start at server_create().
#include "core/server.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/drain.h"
#include "core/gpus.h"
#include "core/lifecycle.h"
#include "core/metrics.h"
#include "core/model.h"
#include "core/place/placer.h"
#include "core/schedule/scheduler.h"
#include "core/server_report.h"

// ---- the ready map --------------------------------------------------------------------------------------------------

struct nrd_status *server_find_model(struct server *server, const char *name, int64_t version,
                                     struct model **model)
{
    struct model *found = NULL;
    pthread_rwlock_rdlock(&server->ready_lock);
    const struct ready_entry *entry = map_get(&server->ready, slice_of(name));
    for (size_t i = 0; entry != NULL && i < entry->count; i++) {
        if (version == -1 || entry->versions[i]->version == version) {
            found = model_ref(entry->versions[i]);
            break;
        }
    }
    pthread_rwlock_unlock(&server->ready_lock);
    if (found == NULL) {
        return lifecycle_why_not(server->lifecycle, name, version);
    }
    *model = found;
    return NULL;
}

// The entry of a name, made if need be. Thread: holds the lock for writing.
static struct ready_entry *ready_entry(struct server *server, const char *name)
{
    struct ready_entry *entry = map_get(&server->ready, slice_of(name));
    if (entry != NULL) {
        return entry;
    }
    entry = mem_calloc(1, sizeof(*entry));
    if (entry == NULL) {
        return NULL;
    }
    struct nrd_status *status = map_put(&server->ready, slice_of(name), entry, NULL);
    if (status != NULL) {
        status_free(status);
        mem_free(entry);
        return NULL;
    }
    return entry;
}

struct nrd_status *server_publish(struct server *server, struct model *model)
{
    struct model *replaced = NULL;
    struct nrd_status *status = NULL;
    pthread_rwlock_wrlock(&server->ready_lock);
    struct ready_entry *entry = ready_entry(server, model->name);
    struct model **grown =
        entry == NULL ? NULL
                      : mem_realloc(entry->versions, (entry->count + 1) * sizeof(struct model *));
    if (grown == NULL) {
        status = status_no_memory();
    } else {
        entry->versions = grown;
        size_t at = 0;
        while (at < entry->count && grown[at]->version > model->version) {
            at++;
        }
        if (at < entry->count && grown[at]->version == model->version) {
            replaced = grown[at];
        } else {
            memmove(&grown[at + 1], &grown[at], (entry->count - at) * sizeof(struct model *));
            entry->count++;
        }
        grown[at] = model_ref(model);
    }
    pthread_rwlock_unlock(&server->ready_lock);
    model_unref(replaced);
    return status;
}

void server_withdraw(struct server *server, struct model *model)
{
    bool found = false;
    pthread_rwlock_wrlock(&server->ready_lock);
    struct ready_entry *entry = map_get(&server->ready, slice_of(model->name));
    for (size_t i = 0; entry != NULL && i < entry->count && !found; i++) {
        if (entry->versions[i] == model) {
            found = true;
            entry->count--;
            memmove(&entry->versions[i], &entry->versions[i + 1],
                    (entry->count - i) * sizeof(struct model *));
        }
    }
    pthread_rwlock_unlock(&server->ready_lock);
    if (found) {
        model_unref(model);
    }
}

// ---- the reaper -----------------------------------------------------------------------------------------------------

void server_reap(struct server *server, struct model *model)
{
    pthread_mutex_lock(&server->reap_mutex);
    list_push_back(&server->reap_list, &model->reap_node);
    pthread_mutex_unlock(&server->reap_mutex);
    parking_wake(&server->reap_parking);
}

static void reap(void *arg)
{
    struct server *server = arg;
    for (;;) {
        pthread_mutex_lock(&server->reap_mutex);
        struct list_node *node = list_pop_front(&server->reap_list);
        bool stop = server->reaper_stop;
        pthread_mutex_unlock(&server->reap_mutex);
        if (node != NULL) {
            model_destroy(CONTAINER_OF(node, struct model, reap_node));
        } else if (stop) {
            return;
        } else {
            parking_wait(&server->reap_parking, 0);
        }
    }
}

static void stop_reaper(struct server *server)
{
    pthread_mutex_lock(&server->reap_mutex);
    server->reaper_stop = true;
    pthread_mutex_unlock(&server->reap_mutex);
    parking_wake(&server->reap_parking);
    thread_join(&server->reaper);
}

// ---- start ----------------------------------------------------------------------------------------------------------

// What options ask for and this server does not have is refused by name.
static struct nrd_status *refuse_unbuilt(const struct server_options *options)
{
    const char *what = NULL;
    if (options->cache_name != NULL) {
        what = "response cache (--cache-config)";
    } else if (options->model_namespacing) {
        what = "model namespacing (--model-namespacing)";
    } else if (options->rate_limit_mode != TRITONSERVER_RATE_LIMIT_OFF) {
        what = "rate limiter (--rate-limit)";
    }
    return what == NULL ? NULL : status_new(NRD_UNSUPPORTED, "%s is not built yet", what);
}

static struct nrd_status *check_options(const struct server_options *options)
{
    if (options->repositories.count == 0) {
        return status_new(NRD_INVALID_ARG, "--model-repository must be specified");
    }
    if (options->agent_directory[0] == '\0') {
        return status_new(NRD_INVALID_ARG, "--repoagent-directory can not be empty");
    }
    return refuse_unbuilt(options);
}

static struct nrd_status *allocate(const struct server_options *options, struct server **out)
{
    struct server *server = mem_calloc(1, sizeof(*server));
    if (server == NULL) {
        return status_no_memory();
    }
    atomic_init(&server->state, SERVER_STATE_INITIALIZING);
    atomic_init(&server->exit_timeout_s, options->exit_timeout_s);
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    // A load must not wait for ever because requests keep coming.
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&server->ready_lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    map_init(&server->ready);
    pthread_mutex_init(&server->models_mutex, NULL);
    list_init(&server->models);
    pthread_mutex_init(&server->reap_mutex, NULL);
    list_init(&server->reap_list);
    parking_init(&server->reap_parking);
    server->options = server_options_copy(options);
    server->gpus = server->options == NULL ? NULL : gpus_create(server->options);
    struct nrd_status *status = backend_set_init(&server->backends, server->gpus);
    if (status == NULL && server->gpus == NULL) {
        status = status_no_memory();
    }
    if (status == NULL) {
        server->lifecycle = lifecycle_create(server);
        server->placer = placer_create(server);
        status = server->lifecycle == NULL || server->placer == NULL ? status_no_memory() : NULL;
    }
    if (status == NULL) {
        server->drain = drain_create(server);
        status = server->drain == NULL ? status_no_memory() : NULL;
    }
    if (status == NULL && options->metrics) {
        status = metrics_create(server, &server->metrics);
    }
    if (status == NULL) {
        status = thread_start(&server->reaper, "model-reaper", 0, reap, server);
    }
    if (status != NULL) {
        server_destroy(server);
        return status;
    }
    *out = server;
    return NULL;
}

struct nrd_status *server_create(const struct server_options *options, struct server **out)
{
    struct server *server = NULL;
    NRD_TRY(allocate(options, &server));
    struct nrd_status *status = check_options(server->options);
    if (status == NULL) {
        status = lifecycle_open(server->lifecycle);
    }
    if (status == NULL) {
        status = lifecycle_start(server->lifecycle);
        // A model that does not load leaves a server that works; only the options decide whether that is enough.
        atomic_store_explicit(&server->state, SERVER_STATE_READY, memory_order_release);
        server_print_summary(server);
    }
    server_print_options(server);
    if (status != NULL && server->options->exit_on_error) {
        status_free(server_stop(server));
        server_destroy(server);
        return status;
    }
    if (status != NULL) {
        LOG_ERR("%s: %s", code_name(status_code(status)), status_text(status));
        status_free(status);
    }
    *out = server;
    return NULL;
}

// ---- stop -----------------------------------------------------------------------------------------------------------

static void stop_schedulers(struct server *server)
{
    struct version_rows rows = {0};
    status_free(lifecycle_rows(server->lifecycle, NULL, true, &rows));
    for (size_t i = 0; i < rows.count; i++) {
        if (rows.items[i].model != NULL) {
            scheduler_stop(rows.items[i].model->scheduler);
        }
    }
    version_rows_fini(&rows);
}

// Models that still have requests in flight; logged one by one if `log`.
static size_t count_inflight(struct server *server, bool log, unsigned left_s)
{
    struct version_rows rows = {0};
    status_free(lifecycle_rows(server->lifecycle, NULL, true, &rows));
    size_t count = 0;
    for (size_t i = 0; i < rows.count; i++) {
        const struct model *model = rows.items[i].model;
        count += model != NULL && atomic_load(&model->inflight) > 0;
    }
    if (log) {
        LOG_NOTE("Timeout %u: Found %zu model versions that have in-flight inferences", left_s,
                 count);
    }
    for (size_t i = 0; log && i < rows.count; i++) {
        const struct model *model = rows.items[i].model;
        if (model != NULL && atomic_load(&model->inflight) > 0) {
            LOG_NOTE("Model '%s' (version %s) has %lld in-flight inferences", model->name,
                     model->version_text, (long long)atomic_load(&model->inflight));
        }
    }
    version_rows_fini(&rows);
    return count;
}

static void nap(void)
{
    struct timespec time = {0, 2000000};
    nanosleep(&time, NULL);
}

// Waits until `server` is empty or the time is over. What is waited for is logged once a second.
static bool drain(struct server *server)
{
    uint64_t start = clock_now_ns();
    uint64_t reported = UINT64_MAX;
    bool unloading = false;
    for (;;) {
        uint64_t passed = (clock_now_ns() - start) / 1000000000u;
        unsigned limit = atomic_load(&server->exit_timeout_s);
        unsigned left = passed >= limit ? 0 : limit - (unsigned)passed;
        bool log = passed != reported;
        reported = passed;
        if (!unloading && count_inflight(server, log, left) == 0) {
            unloading = lifecycle_unload_all(server->lifecycle);
            if (unloading) {
                LOG_NOTE("All models are stopped, unloading models");
                log = true;
            }
        }
        long long alive = (long long)atomic_load(&server->models_alive);
        long long calls = (long long)atomic_load(&server->control_calls);
        if (unloading && (log || (alive == 0 && calls == 0))) {
            LOG_NOTE("Timeout %u: Found %lld live models and %lld in-flight non-inference requests",
                     left, alive, calls);
        }
        if (unloading && alive == 0 && calls == 0) {
            return true;
        }
        if (passed >= limit) {
            return false;
        }
        nap();
    }
}

struct nrd_status *server_stop(struct server *server)
{
    int state = SERVER_STATE_READY;
    // A stop whose time was over may be tried again: only a server that has nothing left may be freed.
    if (!atomic_compare_exchange_strong(&server->state, &state, SERVER_STATE_EXITING) &&
        state != SERVER_STATE_EXITING) {
        return NULL;
    }
    LOG_NOTE("Waiting for in-flight requests to complete.");
    drain_close(server->drain);
    stop_schedulers(server);
    if (!drain(server)) {
        return status_new(NRD_INTERNAL, "Exit timeout expired. Exiting immediately.");
    }
    atomic_store_explicit(&server->state, SERVER_STATE_EXITED, memory_order_release);
    return NULL;
}

void server_destroy(struct server *server)
{
    if (server == NULL) {
        return;
    }
    if (server->reaper.started) {
        if (server->lifecycle != NULL) {
            lifecycle_unload_all(server->lifecycle);
        }
        while (atomic_load(&server->models_alive) > 0) {
            nap(); // somebody still holds a model; its memory and the server's go together
        }
        drain_destroy(server->drain);
        stop_reaper(server);
    } else {
        drain_destroy(server->drain);
    }
    placer_destroy(server->placer);
    lifecycle_destroy(server->lifecycle);
    metrics_destroy(server->metrics);
    backend_set_fini(&server->backends);
    size_t at = 0;
    struct map_entry *slot = NULL;
    while (map_next(&server->ready, &at, &slot)) {
        struct ready_entry *entry = slot->value;
        mem_free(entry->versions);
        mem_free(entry);
    }
    map_fini(&server->ready);
    pthread_rwlock_destroy(&server->ready_lock);
    pthread_mutex_destroy(&server->models_mutex);
    pthread_mutex_destroy(&server->reap_mutex);
    gpus_destroy(server->gpus);
    server_options_destroy(server->options);
    mem_free(server);
}

// ---- state ----------------------------------------------------------------------------------------------------------

struct nrd_status *server_accepts(const struct server *server)
{
    int state = atomic_load_explicit(&server->state, memory_order_acquire);
    return state == SERVER_STATE_READY || state == SERVER_STATE_EXITING
               ? NULL
               : status_new(NRD_UNAVAILABLE, "Server not ready");
}

struct nrd_status *server_check_ready(const struct server *server)
{
    return atomic_load_explicit(&server->state, memory_order_acquire) == SERVER_STATE_READY
               ? NULL
               : status_new(NRD_UNAVAILABLE, "Server not ready");
}

static struct nrd_status *check_not_exiting(const struct server *server)
{
    int state = atomic_load_explicit(&server->state, memory_order_acquire);
    return state == SERVER_STATE_EXITING || state == SERVER_STATE_EXITED
               ? status_new(NRD_UNAVAILABLE, "Server exiting")
               : NULL;
}

struct nrd_status *server_is_live(struct server *server, bool *live)
{
    *live = false;
    NRD_TRY(check_not_exiting(server));
    *live = atomic_load_explicit(&server->state, memory_order_acquire) == SERVER_STATE_READY;
    return NULL;
}

// Strict readiness: all versions of all models that were ever asked for are ready, but for those unloaded on purpose.
static bool all_models_ready(struct server *server)
{
    struct version_rows rows = {0};
    struct nrd_status *status = lifecycle_rows(server->lifecycle, NULL, true, &rows);
    bool ready = status == NULL;
    status_free(status);
    for (size_t i = 0; i < rows.count && ready; i++) {
        const struct version_row *row = &rows.items[i];
        ready = row->state == MODEL_STATE_READY ? model_instances_ready(row->model)
                                                : strcmp(row->reason, "unloaded") == 0;
    }
    version_rows_fini(&rows);
    return ready;
}

struct nrd_status *server_is_ready(struct server *server, bool *ready)
{
    *ready = false;
    NRD_TRY(check_not_exiting(server));
    *ready = atomic_load_explicit(&server->state, memory_order_acquire) == SERVER_STATE_READY &&
             (!server->options->strict_readiness || all_models_ready(server));
    return NULL;
}
