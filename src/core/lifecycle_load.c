// SPDX-License-Identifier: Apache-2.0
// Loading: all versions of some models, on a few threads, and the change-over when a model's last version is done.
//
// Threads are made for the occasion and end with it: a server that loads nothing keeps none. They have the system's full
// stack, since backends run on them. Start at lifecycle_run_loads().
#include <stdatomic.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "core/lifecycle_private.h"
#include "core/model.h"
#include "core/server.h"

// ---- versions -------------------------------------------------------------------------------------------------------

void version_unref(struct version *version)
{
    if (version == NULL || --version->refs > 0) {
        return;
    }
    repo_files_unref(version->files);
    mem_free(version->reason);
    mem_free(version);
}

static void set_state(struct version *version, enum model_state state, const char *reason)
{
    mem_free(version->reason);
    version->state = state;
    version->reason = reason == NULL ? NULL : mem_strdup(reason);
}

// The model is gone for good. Thread: the reaper.
static void on_destroyed(struct model *model, void *arg)
{
    struct version *version = arg;
    struct lifecycle *lifecycle = version->lifecycle;
    LOG_NOTE("successfully unloaded '%s' version %s", model->name, model->version_text);
    pthread_mutex_lock(&lifecycle->mutex);
    set_state(version, MODEL_STATE_UNAVAILABLE, "unloaded");
    version_unref(version);
    pthread_mutex_unlock(&lifecycle->mutex);
}

// Drops the life cycle's reference. Thread: holds the mutex; the model is not in the ready map.
static void release(struct version *version)
{
    struct model *model = version->model;
    version->model = NULL;
    set_state(version, MODEL_STATE_UNLOADING, NULL);
    model_unref(model);
}

// Puts `version` into the table, in place of what is shown under its number. Thread: holds the mutex.
static bool show(struct model_entry *entry, struct version *version)
{
    size_t at = 0;
    while (at < entry->version_count && entry->versions[at]->number < version->number) {
        at++;
    }
    if (at < entry->version_count && entry->versions[at]->number == version->number) {
        version->refs++;
        version_unref(entry->versions[at]);
        entry->versions[at] = version;
        return true;
    }
    struct version **grown =
        mem_realloc(entry->versions, (entry->version_count + 1) * sizeof(*grown));
    if (grown == NULL) {
        return false;
    }
    entry->versions = grown;
    memmove(&grown[at + 1], &grown[at], (entry->version_count - at) * sizeof(*grown));
    version->refs++;
    grown[at] = version;
    entry->version_count++;
    return true;
}

static const struct version *shown(const struct model_entry *entry, int64_t number)
{
    for (size_t i = 0; i < entry->version_count; i++) {
        if (entry->versions[i]->number == number) {
            return entry->versions[i];
        }
    }
    return NULL;
}

void lifecycle_retire(struct lifecycle *lifecycle, struct model_entry *entry)
{
    pthread_mutex_lock(&lifecycle->mutex);
    for (size_t i = 0; i < entry->version_count; i++) {
        struct version *version = entry->versions[i];
        if (version->state == MODEL_STATE_READY) {
            server_withdraw(lifecycle->server, version->model);
            release(version);
        }
    }
    pthread_mutex_unlock(&lifecycle->mutex);
}

// ---- one load -------------------------------------------------------------------------------------------------------

// Makes the versions of a load and shows those that replace nothing in service.
static struct nrd_status *prepare(struct lifecycle *lifecycle, struct load *load)
{
    struct model_entry *entry = load->entry;
    int64_t *numbers = NULL;
    size_t count = 0;
    NRD_TRY(
        repo_versions(load->found.directory, entry->name, load->found.config, &numbers, &count));
    load->versions = mem_calloc(count, sizeof(struct version *));
    struct nrd_status *status = load->versions == NULL ? status_no_memory() : NULL;
    pthread_mutex_lock(&lifecycle->mutex);
    for (size_t i = 0; i < count && status == NULL; i++) {
        struct version *version = mem_calloc(1, sizeof(*version));
        if (version == NULL) {
            status = status_no_memory();
            break;
        }
        version->refs = 1;
        version->number = numbers[i];
        version->state = MODEL_STATE_LOADING;
        version->lifecycle = lifecycle;
        version->entry = entry;
        version->files = repo_files_ref(load->found.files);
        load->versions[load->version_count++] = version;
        const struct version *old = shown(entry, version->number);
        if ((old == NULL || old->state != MODEL_STATE_READY) && !show(entry, version)) {
            status = status_no_memory();
        }
        LOG_NOTE("loading: %s:%lld", entry->name, (long long)version->number);
    }
    pthread_mutex_unlock(&lifecycle->mutex);
    mem_free(numbers);
    return status;
}

// Loads one version, with retries.
static void load_version(struct lifecycle *lifecycle, struct load *load, struct version *version)
{
    const struct server_options *options = lifecycle->server->options;
    struct model_source source = {
        .name = load->entry->name,
        .version = version->number,
        .name_space = "",
        .repository = load->found.repository,
        .directory = load->found.directory,
        .config = load->found.config,
        .auto_complete = !options->strict_model_config,
        .config_provided = load->found.config_provided,
        .placed_groups = load->placed_groups,
        .on_destroyed = on_destroyed,
        .on_destroyed_arg = version,
    };
    struct model *model = NULL;
    struct nrd_status *status = NULL;
    for (unsigned tries = 0; model == NULL && tries <= options->load_retry_count; tries++) {
        status_free(status);
        status = model_create(lifecycle->server, &source, &model);
        if (status != NULL) {
            LOG_ERR("failed to load '%s' version %lld: %s: %s", load->entry->name,
                    (long long)version->number, code_name(status_code(status)),
                    status_text(status));
        }
    }
    pthread_mutex_lock(&lifecycle->mutex);
    if (status == NULL) {
        version->refs++; // the model's, until on_destroyed
        version->model = model;
    } else {
        struct str reason = STR_INIT;
        str_printf(&reason, "%s: %s", code_name(status_code(status)), status_text(status));
        set_state(version, MODEL_STATE_UNAVAILABLE, str_cstr(&reason));
        str_fini(&reason);
    }
    pthread_mutex_unlock(&lifecycle->mutex);
    status_free(status);
}

// Why the load as a whole failed; NULL if it did not. Thread: holds the mutex.
static struct nrd_status *collect_failures(const struct load *load)
{
    struct str text = STR_INIT;
    for (size_t i = 0; i < load->version_count; i++) {
        const struct version *version = load->versions[i];
        if (version->model == NULL) {
            str_printf(&text, "version %lld is at %s state: %s;", (long long)version->number,
                       model_state_name(version->state),
                       version->reason == NULL ? "" : version->reason);
        }
    }
    struct nrd_status *status =
        text.len == 0 ? str_status(&text) : status_new_text(NRD_INVALID_ARG, text.ptr, text.len);
    str_fini(&text);
    return status;
}

// Puts the new versions into service, then takes out the old ones that have no successor. Thread: holds the mutex.
static struct nrd_status *change_over(struct lifecycle *lifecycle, struct load *load)
{
    struct model_entry *entry = load->entry;
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < load->version_count && status == NULL; i++) {
        status = server_publish(lifecycle->server, load->versions[i]->model);
    }
    if (status != NULL) {
        return status;
    }
    for (size_t i = 0; i < entry->version_count; i++) {
        struct version *old = entry->versions[i];
        if (old->state == MODEL_STATE_READY) {
            server_withdraw(lifecycle->server, old->model);
            release(old);
        }
    }
    for (size_t i = 0; i < load->version_count; i++) {
        set_state(load->versions[i], MODEL_STATE_READY, NULL);
        if (shown(entry, load->versions[i]->number) != load->versions[i] &&
            !show(entry, load->versions[i])) {
            return status_no_memory();
        }
    }
    return NULL;
}

// Decides about a load whose versions are all done.
static void finish(struct lifecycle *lifecycle, struct load *load)
{
    pthread_mutex_lock(&lifecycle->mutex);
    if (load->status == NULL) {
        load->status = collect_failures(load);
    }
    if (load->status == NULL) {
        load->status = change_over(lifecycle, load);
    }
    for (size_t i = 0; i < load->version_count; i++) {
        struct version *version = load->versions[i];
        if (load->status != NULL && version->model != NULL) {
            server_withdraw(lifecycle->server, version->model);
            release(version);
        } else if (load->status != NULL && version->state == MODEL_STATE_LOADING) {
            set_state(version, MODEL_STATE_UNAVAILABLE, status_text(load->status));
        }
        version_unref(version);
    }
    load->entry->modified_ns = load->status == NULL ? load->found.modified_ns : load->previous_ns;
    pthread_mutex_unlock(&lifecycle->mutex);
    if (load->version_count > 0 && load->status == NULL) {
        LOG_NOTE("successfully loaded '%s'", load->entry->name);
    } else if (load->version_count > 0) {
        LOG_NOTE("failed to load '%s'", load->entry->name);
    } else {
        LOG_ERR("failed to load model '%s': %s", load->entry->name, status_text(load->status));
    }
    mem_free(load->versions);
    load->versions = NULL;
    load->version_count = 0;
}

// ---- threads --------------------------------------------------------------------------------------------------------

struct crew {
    struct lifecycle *lifecycle;
    size_t count;
    void (*fn)(void *arg, size_t i);
    void *arg;
    _Atomic size_t next;
};

static void work(void *arg)
{
    struct crew *crew = arg;
    struct lifecycle *lifecycle = crew->lifecycle;
    pthread_mutex_lock(&lifecycle->mutex);
    while (lifecycle->load_slots == 0) {
        pthread_cond_wait(&lifecycle->changed, &lifecycle->mutex);
    }
    lifecycle->load_slots--;
    pthread_mutex_unlock(&lifecycle->mutex);
    for (size_t i = atomic_fetch_add(&crew->next, 1); i < crew->count;
         i = atomic_fetch_add(&crew->next, 1)) {
        crew->fn(crew->arg, i);
    }
    pthread_mutex_lock(&lifecycle->mutex);
    lifecycle->load_slots++;
    pthread_cond_broadcast(&lifecycle->changed);
    pthread_mutex_unlock(&lifecycle->mutex);
}

#define MAX_LOAD_THREADS 64

void lifecycle_run_parallel(struct lifecycle *lifecycle, size_t count,
                            void (*fn)(void *arg, size_t i), void *arg)
{
    struct crew crew = {.lifecycle = lifecycle, .count = count, .fn = fn, .arg = arg};
    size_t wanted = lifecycle->server->options->load_thread_count;
    wanted = wanted < 1 ? 1 : wanted > MAX_LOAD_THREADS ? MAX_LOAD_THREADS : wanted;
    wanted = count < wanted ? count : wanted;
    struct thread threads[MAX_LOAD_THREADS] = {0};
    size_t started = 0;
    while (started < wanted) {
        struct nrd_status *status = thread_start(&threads[started], "model-load", 0, work, &crew);
        if (status != NULL) {
            status_free(status);
            break;
        }
        started++;
    }
    if (started == 0 && count > 0) {
        work(&crew); // slower, on the caller's thread
    }
    for (size_t i = 0; i < started; i++) {
        thread_join(&threads[i]);
    }
}

// One version of one load.
struct load_step {
    struct load *load;
    struct version *version;
};
struct load_plan {
    struct lifecycle *lifecycle;
    struct load_step *steps;
};

static void run_step(void *arg, size_t i)
{
    const struct load_plan *plan = arg;
    struct load *load = plan->steps[i].load;
    load_version(plan->lifecycle, load, plan->steps[i].version);
    if (atomic_fetch_sub(&load->left, 1) == 1) {
        finish(plan->lifecycle, load);
    }
}

void lifecycle_run_loads(struct lifecycle *lifecycle, struct load *loads, size_t count)
{
    size_t versions = 0;
    for (size_t i = 0; i < count; i++) {
        loads[i].status = prepare(lifecycle, &loads[i]);
        atomic_init(&loads[i].left, loads[i].version_count);
        versions += loads[i].version_count;
    }
    lifecycle_place(lifecycle, loads, count);
    struct load_plan plan = {lifecycle, mem_calloc(versions + 1, sizeof(*plan.steps))};
    size_t steps = 0;
    for (size_t i = 0; i < count; i++) {
        if (plan.steps == NULL && loads[i].status == NULL) {
            loads[i].status = status_no_memory();
        }
        if (loads[i].status != NULL) {
            finish(lifecycle, &loads[i]);
            continue;
        }
        for (size_t k = 0; k < loads[i].version_count; k++) {
            plan.steps[steps++] = (struct load_step){&loads[i], loads[i].versions[k]};
        }
    }
    lifecycle_run_parallel(lifecycle, steps, run_step, &plan);
    mem_free(plan.steps);
}
