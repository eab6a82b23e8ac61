// SPDX-License-Identifier: Apache-2.0
// Life cycle: the operations. Start at lifecycle_start(), lifecycle_load(), lifecycle_poll().
//
// Each takes the entries that it changes with lifecycle_begin(), so that operations on one model follow one another;
// only a poll takes several, and only one poll runs at a time, so none waits for another in a circle.
#include "core/lifecycle.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/drain.h"
#include "core/lifecycle_private.h"
#include "core/model.h"
#include "core/server.h"

// ---- the table ------------------------------------------------------------------------------------------------------

struct lifecycle *lifecycle_create(struct server *server)
{
    struct lifecycle *lifecycle = mem_calloc(1, sizeof(*lifecycle));
    if (lifecycle == NULL) {
        return NULL;
    }
    lifecycle->server = server;
    lifecycle->load_slots = server->options->load_thread_count;
    lifecycle->load_slots = lifecycle->load_slots < 1 ? 1 : lifecycle->load_slots;
    pthread_mutex_init(&lifecycle->mutex, NULL);
    pthread_mutex_init(&lifecycle->poll_mutex, NULL);
    pthread_cond_init(&lifecycle->changed, NULL);
    map_init(&lifecycle->entries);
    return lifecycle;
}

void lifecycle_destroy(struct lifecycle *lifecycle)
{
    if (lifecycle == NULL) {
        return;
    }
    size_t at = 0;
    struct map_entry *slot = NULL;
    while (map_next(&lifecycle->entries, &at, &slot)) {
        struct model_entry *entry = slot->value;
        for (size_t i = 0; i < entry->version_count; i++) {
            version_unref(entry->versions[i]);
        }
        mem_free(entry->versions);
        mem_free(entry->name);
        mem_free(entry);
    }
    map_fini(&lifecycle->entries);
    repo_set_fini(&lifecycle->repos);
    pthread_cond_destroy(&lifecycle->changed);
    pthread_mutex_destroy(&lifecycle->poll_mutex);
    pthread_mutex_destroy(&lifecycle->mutex);
    mem_free(lifecycle);
}

struct model_entry *lifecycle_entry(struct lifecycle *lifecycle, const char *name)
{
    struct model_entry *entry = map_get(&lifecycle->entries, slice_of(name));
    if (entry != NULL) {
        return entry;
    }
    entry = mem_calloc(1, sizeof(*entry));
    char *copy = mem_strdup(name);
    struct nrd_status *status = entry == NULL || copy == NULL
                                    ? status_no_memory()
                                    : map_put(&lifecycle->entries, slice_of(name), entry, NULL);
    if (status != NULL) {
        status_free(status);
        mem_free(copy);
        mem_free(entry);
        return NULL;
    }
    entry->name = copy;
    return entry;
}

void lifecycle_begin(struct lifecycle *lifecycle, struct model_entry *entry)
{
    while (entry->busy) {
        pthread_cond_wait(&lifecycle->changed, &lifecycle->mutex);
    }
    entry->busy = true;
}

void lifecycle_end(struct lifecycle *lifecycle, struct model_entry *entry)
{
    entry->busy = false;
    pthread_cond_broadcast(&lifecycle->changed);
}

// ---- looking at one model -------------------------------------------------------------------------------------------

// Loads that one operation is about to run.
struct load_list {
    struct load *items;
    size_t count;
};

static struct load *add_load(struct load_list *list)
{
    struct load *grown = mem_realloc(list->items, (list->count + 1) * sizeof(*grown));
    if (grown == NULL) {
        return NULL;
    }
    list->items = grown;
    memset(&grown[list->count], 0, sizeof(*grown));
    return &grown[list->count++];
}

// Frees the loads and ends their entries.
static void finish_loads(struct lifecycle *lifecycle, struct load_list *list)
{
    pthread_mutex_lock(&lifecycle->mutex);
    for (size_t i = 0; i < list->count; i++) {
        lifecycle_end(lifecycle, list->items[i].entry);
    }
    pthread_mutex_unlock(&lifecycle->mutex);
    for (size_t i = 0; i < list->count; i++) {
        status_free(list->items[i].status);
        repo_model_fini(&list->items[i].found);
    }
    mem_free(list->items);
    *list = (struct load_list){0};
}

// A version whose GPUs are all lost: a load of it is one of something new, modified or not. Thread: holds the mutex.
static bool has_lost_all(const struct model_entry *entry)
{
    bool found = false;
    for (size_t i = 0; i < entry->version_count && !found; i++) {
        struct str why = STR_INIT;
        const struct version *version = entry->versions[i];
        found = version->state == MODEL_STATE_READY &&
                drain_standing(version->model, &why) == DRAIN_NONE;
        str_fini(&why);
    }
    return found;
}

// Reads what `look` points at. If it has to be loaded, it is added to `list` with its entry begun. False, with the reason
// in the log, if it cannot be read; then a model that is known stays as it is.
static bool look_at(struct lifecycle *lifecycle, struct repo_look *look, struct load_list *list)
{
    pthread_mutex_lock(&lifecycle->mutex);
    struct model_entry *entry = lifecycle_entry(lifecycle, look->name);
    if (entry != NULL) {
        lifecycle_begin(lifecycle, entry);
        look->has_previous = entry->polled && !has_lost_all(entry);
        look->previous_ns = entry->modified_ns;
    }
    pthread_mutex_unlock(&lifecycle->mutex);
    struct repo_model found = {0};
    struct nrd_status *status = entry == NULL ? status_no_memory() : repo_read_model(look, &found);
    struct load *load = status == NULL && !found.unmodified ? add_load(list) : NULL;
    if (status == NULL && !found.unmodified && load == NULL) {
        status = status_no_memory();
    }
    if (load != NULL) {
        load->entry = entry;
        load->found = found;
        load->previous_ns = look->has_previous ? look->previous_ns : 0;
        pthread_mutex_lock(&lifecycle->mutex);
        entry->polled = true;
        entry->known = true;
        pthread_mutex_unlock(&lifecycle->mutex);
        return true;
    }
    repo_model_fini(&found);
    if (entry != NULL) {
        pthread_mutex_lock(&lifecycle->mutex);
        lifecycle_end(lifecycle, entry);
        pthread_mutex_unlock(&lifecycle->mutex);
    }
    if (status != NULL) {
        LOG_ERR("Poll failed for model directory '%s': %s", look->name, status_text(status));
        status_free(status);
        return false;
    }
    return true;
}

// Finds one model by name and looks at it. `files` among the parameters stand in for the repository.
static bool look_for(struct lifecycle *lifecycle, const char *name,
                     const struct parameter *const *parameters, size_t count,
                     struct load_list *list)
{
    bool has_files = false;
    for (size_t i = 0; i < count; i++) {
        has_files = has_files || strncmp(parameters[i]->name, "file:", 5) == 0;
    }
    char *repository = NULL;
    char *directory = NULL;
    bool mapped = false;
    if (!has_files) {
        struct repo_set repos = {0};
        pthread_mutex_lock(&lifecycle->mutex);
        struct nrd_status *status = repo_set_copy(&lifecycle->repos, &repos);
        pthread_mutex_unlock(&lifecycle->mutex);
        status_free(status);
        bool found = repo_find(&repos, name, &repository, &directory);
        for (size_t i = 0; i < repos.mappings.count; i++) {
            mapped = mapped || strcmp(repos.mappings.items[i].key, name) == 0;
        }
        repo_set_fini(&repos);
        if (!found) {
            return false;
        }
    }
    struct repo_look look = {
        .options = lifecycle->server->options,
        .gpus = lifecycle->server->gpus,
        .name = name,
        .repository = repository,
        .directory = directory,
        .mapped = mapped,
        .parameters = parameters,
        .parameter_count = count,
    };
    bool good = look_at(lifecycle, &look, list);
    mem_free(repository);
    mem_free(directory);
    return good;
}

// ---- looking at everything ------------------------------------------------------------------------------------------

// A directory of a repository that could be a model.
struct candidate {
    char *name;
    const char *repository;
    bool duplicate;
};
struct candidate_list {
    struct candidate *items;
    size_t count;
    struct map by_name;
};

static bool add_candidate(struct candidate_list *list, const char *name, const char *repository)
{
    size_t known = (size_t)(uintptr_t)map_get(&list->by_name, slice_of(name));
    if (known != 0) {
        list->items[known - 1].duplicate = true;
        return true;
    }
    struct candidate *grown = mem_realloc(list->items, (list->count + 1) * sizeof(*grown));
    if (grown == NULL) {
        return false;
    }
    list->items = grown;
    grown[list->count] = (struct candidate){mem_strdup(name), repository, false};
    if (grown[list->count].name == NULL) {
        return false;
    }
    list->count++;
    struct nrd_status *status =
        map_put(&list->by_name, slice_of(name), (void *)(uintptr_t)list->count, NULL);
    bool good = status == NULL;
    status_free(status);
    return good;
}

static void candidates_fini(struct candidate_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        mem_free(list->items[i].name);
    }
    mem_free(list->items);
    map_fini(&list->by_name);
}

// All directories of all repositories; false if one could not be read.
static bool list_candidates(const struct repo_set *repos, struct candidate_list *list)
{
    bool good = true;
    for (size_t i = 0; i < repos->paths.count; i++) {
        const char *path = repos->paths.items[i];
        struct text_list names = {0};
        struct nrd_status *status = repo_subdirs(path, &names);
        if (status != NULL) {
            LOG_ERR("failed to poll model repository '%s': %s", path, status_text(status));
            status_free(status);
            good = false;
            continue;
        }
        for (size_t k = 0; k < names.count; k++) {
            good = add_candidate(list, names.items[k], path) && good;
        }
        text_list_fini(&names);
    }
    return good;
}

// Takes out of service what is served but no longer (or twice) in the repositories.
static void retire_missing(struct lifecycle *lifecycle, const struct candidate_list *list)
{
    pthread_mutex_lock(&lifecycle->mutex);
    for (size_t at = 0; at < lifecycle->entries.entry_count; at++) {
        struct model_entry *entry = lifecycle->entries.entries[at].key == NULL
                                        ? NULL
                                        : lifecycle->entries.entries[at].value;
        if (entry == NULL || !entry->polled) {
            continue;
        }
        size_t known = (size_t)(uintptr_t)map_get(&list->by_name, slice_of(entry->name));
        if (known != 0 && !list->items[known - 1].duplicate) {
            continue;
        }
        lifecycle_begin(lifecycle, entry);
        entry->polled = false;
        pthread_mutex_unlock(&lifecycle->mutex);
        lifecycle_retire(lifecycle, entry);
        pthread_mutex_lock(&lifecycle->mutex);
        lifecycle_end(lifecycle, entry);
    }
    pthread_mutex_unlock(&lifecycle->mutex);
}

static bool look_at_candidate(struct lifecycle *lifecycle, const struct candidate *candidate,
                              struct load_list *loads)
{
    if (candidate->duplicate) {
        LOG_ERR("failed to poll model '%s': not unique across all model repositories",
                candidate->name);
        return false;
    }
    char *directory = path_join(candidate->repository, candidate->name);
    if (directory == NULL) {
        return false;
    }
    struct repo_look look = {
        .options = lifecycle->server->options,
        .gpus = lifecycle->server->gpus,
        .name = candidate->name,
        .repository = candidate->repository,
        .directory = directory,
    };
    bool good = look_at(lifecycle, &look, loads);
    mem_free(directory);
    return good;
}

struct looks {
    struct lifecycle *lifecycle;
    const struct candidate *candidates;
    struct load_list *found; // one a candidate: nothing, or its load
    _Atomic bool good;
};

static void run_look(void *arg, size_t i)
{
    struct looks *looks = arg;
    if (!look_at_candidate(looks->lifecycle, &looks->candidates[i], &looks->found[i])) {
        atomic_store(&looks->good, false);
    }
}

// Looks at all candidates, on several threads; what has to be loaded goes to `loads`, in their order.
static bool look_at_all(struct lifecycle *lifecycle, const struct candidate_list *candidates,
                        struct load_list *loads)
{
    struct looks looks = {.lifecycle = lifecycle, .candidates = candidates->items};
    looks.found = mem_calloc(candidates->count + 1, sizeof(*looks.found));
    loads->items = mem_calloc(candidates->count + 1, sizeof(*loads->items));
    if (looks.found == NULL || loads->items == NULL) {
        mem_free(looks.found);
        return false;
    }
    atomic_init(&looks.good, true);
    lifecycle_run_parallel(lifecycle, candidates->count, run_look, &looks);
    for (size_t i = 0; i < candidates->count; i++) {
        if (looks.found[i].count > 0) {
            loads->items[loads->count++] = looks.found[i].items[0];
        }
        mem_free(looks.found[i].items);
    }
    mem_free(looks.found);
    return atomic_load(&looks.good);
}

// Brings the table in line with the repositories. False if not all models could be read.
static bool poll_all(struct lifecycle *lifecycle)
{
    pthread_mutex_lock(&lifecycle->poll_mutex);
    struct repo_set repos = {0};
    pthread_mutex_lock(&lifecycle->mutex);
    struct nrd_status *status = repo_set_copy(&lifecycle->repos, &repos);
    pthread_mutex_unlock(&lifecycle->mutex);
    bool good = status == NULL;
    status_free(status);
    struct candidate_list candidates = {0};
    map_init(&candidates.by_name);
    good = list_candidates(&repos, &candidates) && good;
    struct load_list loads = {0};
    good = look_at_all(lifecycle, &candidates, &loads) && good;
    retire_missing(lifecycle, &candidates);
    lifecycle_run_loads(lifecycle, loads.items, loads.count);
    finish_loads(lifecycle, &loads);
    candidates_fini(&candidates);
    repo_set_fini(&repos);
    pthread_mutex_unlock(&lifecycle->poll_mutex);
    return good;
}

struct nrd_status *lifecycle_poll(struct lifecycle *lifecycle)
{
    if (lifecycle->server->options->control_mode != TRITONSERVER_MODEL_CONTROL_POLL) {
        return status_new(NRD_UNAVAILABLE, "polling is disabled");
    }
    poll_all(lifecycle); // what fails is in the log, and in the states
    return NULL;
}

// ---- starting -------------------------------------------------------------------------------------------------------

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct nrd_status *lifecycle_open(struct lifecycle *lifecycle)
{
    const struct text_list *paths = &lifecycle->server->options->repositories;
    for (size_t i = 0; i < paths->count; i++) {
        NRD_TRY(repo_check_path(paths->items[i]));
        NRD_TRY(text_list_add(&lifecycle->repos.paths, paths->items[i]));
    }
    qsort(lifecycle->repos.paths.items, lifecycle->repos.paths.count, sizeof(char *),
          compare_texts);
    return NULL;
}

// "load failed for model 'M': ...\n" for each load that failed.
static struct nrd_status *loads_status(const struct load_list *list)
{
    struct str text = STR_INIT;
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].status != NULL) {
            str_printf(&text, "load failed for model '%s': %s\n", list->items[i].entry->name,
                       status_text(list->items[i].status));
        }
    }
    struct nrd_status *status =
        text.len == 0 ? str_status(&text) : status_new_text(NRD_INVALID_ARG, text.ptr, text.len);
    str_fini(&text);
    return status;
}

static struct nrd_status *load_startup_models(struct lifecycle *lifecycle,
                                              const struct text_list *names, bool *polled)
{
    struct load_list loads = {0};
    for (size_t i = 0; i < names->count; i++) {
        *polled = look_for(lifecycle, names->items[i], NULL, 0, &loads) && *polled;
    }
    lifecycle_run_loads(lifecycle, loads.items, loads.count);
    struct nrd_status *status = loads_status(&loads);
    finish_loads(lifecycle, &loads);
    return status;
}

// Whether each model that the repositories have is served in all its versions.
static bool all_ready(struct lifecycle *lifecycle)
{
    bool good = true;
    pthread_mutex_lock(&lifecycle->mutex);
    size_t at = 0;
    struct map_entry *slot = NULL;
    while (map_next(&lifecycle->entries, &at, &slot)) {
        const struct model_entry *entry = slot->value;
        good = good && (!entry->polled || entry->version_count > 0);
        for (size_t i = 0; entry->polled && i < entry->version_count; i++) {
            good = good && entry->versions[i]->state == MODEL_STATE_READY;
        }
    }
    pthread_mutex_unlock(&lifecycle->mutex);
    return good;
}

struct nrd_status *lifecycle_start(struct lifecycle *lifecycle)
{
    const struct server_options *options = lifecycle->server->options;
    const struct text_list *names = &options->startup_models;
    bool is_explicit = options->control_mode == TRITONSERVER_MODEL_CONTROL_EXPLICIT;
    bool all = is_explicit && text_list_has(names, "*");
    if (all && names->count > 1) {
        return status_new(NRD_INVALID_ARG, "Wildcard model name '*' must be the ONLY startup model "
                                           "if specified at all.");
    }
    bool polled = true;
    if (!is_explicit || all) {
        polled = poll_all(lifecycle);
    } else {
        NRD_TRY(load_startup_models(lifecycle, names, &polled));
    }
    return polled && all_ready(lifecycle) ? NULL
                                          : status_new(NRD_INTERNAL, "failed to load all models");
}

// ---- explicit mode --------------------------------------------------------------------------------------------------

static struct nrd_status *check_explicit(const struct lifecycle *lifecycle)
{
    if (lifecycle->server->options->control_mode == TRITONSERVER_MODEL_CONTROL_EXPLICIT) {
        return NULL;
    }
    return status_new(NRD_UNAVAILABLE,
                      "explicit model load / unload is not allowed if polling is enabled");
}

static struct nrd_status *check_name(const char *name)
{
    struct slice trimmed = slice_of(name);
    const char *blanks = " \t\n\v\f\r";
    while (trimmed.len > 0 && strchr(blanks, trimmed.ptr[0]) != NULL) {
        trimmed.ptr++;
        trimmed.len--;
    }
    while (trimmed.len > 0 && strchr(blanks, trimmed.ptr[trimmed.len - 1]) != NULL) {
        trimmed.len--;
    }
    if (trimmed.len == 0) {
        return status_new(NRD_INVALID_ARG,
                          "Model name cannot be empty. Please enter a valid name to deploy.");
    }
    if (slice_is(trimmed, "..") || memchr(trimmed.ptr, '/', trimmed.len) != NULL) {
        return status_new(NRD_INVALID_ARG,
                          "invalid model name '%s', model name must not contain path traversal "
                          "characters",
                          name);
    }
    return NULL;
}

struct nrd_status *lifecycle_load(struct lifecycle *lifecycle, const char *name,
                                  const struct parameter *const *parameters, size_t parameter_count)
{
    NRD_TRY(check_explicit(lifecycle));
    NRD_TRY(check_name(name));
    struct load_list loads = {0};
    bool polled = look_for(lifecycle, name, parameters, parameter_count, &loads);
    lifecycle_run_loads(lifecycle, loads.items, loads.count);
    struct nrd_status *status = loads_status(&loads);
    finish_loads(lifecycle, &loads);
    if (status != NULL) {
        return status;
    }
    if (!polled) {
        return status_new(NRD_INTERNAL, "failed to load '%s', failed to poll from model repository",
                          name);
    }
    return NULL;
}

struct nrd_status *lifecycle_unload(struct lifecycle *lifecycle, const char *name)
{
    NRD_TRY(check_explicit(lifecycle));
    pthread_mutex_lock(&lifecycle->mutex);
    struct model_entry *entry = map_get(&lifecycle->entries, slice_of(name));
    if (entry != NULL) {
        lifecycle_begin(lifecycle, entry);
        entry->polled = false;
    }
    pthread_mutex_unlock(&lifecycle->mutex);
    if (entry == NULL) {
        return NULL;
    }
    lifecycle_retire(lifecycle, entry);
    pthread_mutex_lock(&lifecycle->mutex);
    lifecycle_end(lifecycle, entry);
    pthread_mutex_unlock(&lifecycle->mutex);
    return NULL;
}

bool lifecycle_unload_all(struct lifecycle *lifecycle)
{
    bool all = true;
    pthread_mutex_lock(&lifecycle->mutex);
    for (size_t at = 0; at < lifecycle->entries.entry_count; at++) {
        struct model_entry *entry = lifecycle->entries.entries[at].key == NULL
                                        ? NULL
                                        : lifecycle->entries.entries[at].value;
        if (entry == NULL || entry->busy) {
            all = all && entry == NULL;
            continue;
        }
        entry->busy = true;
        entry->polled = false;
        pthread_mutex_unlock(&lifecycle->mutex);
        lifecycle_retire(lifecycle, entry);
        pthread_mutex_lock(&lifecycle->mutex);
        lifecycle_end(lifecycle, entry);
    }
    pthread_mutex_unlock(&lifecycle->mutex);
    return all;
}

// ---- repositories ---------------------------------------------------------------------------------------------------

// Adds a repository and its mappings to `repos`; all or nothing is the caller's part.
static struct nrd_status *add_repository(struct repo_set *repos, const char *path,
                                         const struct parameter *const *mappings, size_t count)
{
    if (text_list_has(&repos->paths, path)) {
        return status_new(NRD_ALREADY_EXISTS, "model repository '%s' has already been registered",
                          path);
    }
    for (size_t i = 0; i < count; i++) {
        const char *model = mappings[i]->value.string;
        for (size_t k = 0; k < repos->mappings.count; k++) {
            const struct setting *at = &repos->mappings.items[k];
            if (strcmp(at->key, model) == 0) {
                return strcmp(at->group, path) == 0
                           ? status_new(NRD_INVALID_ARG,
                                        "failed to register '%s', there is a conflicting mapping "
                                        "for '%s'",
                                        path, model)
                           : status_new(NRD_ALREADY_EXISTS,
                                        "failed to register '%s', there is a conflicting mapping "
                                        "for '%s'",
                                        model, model);
            }
        }
        char *directory = path_join(path, mappings[i]->name);
        struct nrd_status *status =
            directory == NULL ? status_no_memory()
                              : setting_list_add(&repos->mappings, path, model, directory);
        mem_free(directory);
        NRD_TRY(status);
    }
    NRD_TRY(text_list_add(&repos->paths, path));
    qsort(repos->paths.items, repos->paths.count, sizeof(char *), compare_texts);
    return NULL;
}

struct nrd_status *lifecycle_register(struct lifecycle *lifecycle, const char *path,
                                      const struct parameter *const *mappings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (mappings[i]->type != TRITONSERVER_PARAMETER_STRING) {
            return status_new(NRD_INVALID_ARG,
                              "Mapped model name must be a string, found another type for %s",
                              mappings[i]->name);
        }
    }
    if (lifecycle->server->options->control_mode != TRITONSERVER_MODEL_CONTROL_EXPLICIT) {
        return status_new(NRD_UNSUPPORTED, "repository registration is not allowed if model "
                                           "control mode is not EXPLICIT");
    }
    struct nrd_status *status = repo_check_path(path);
    if (status != NULL && status_code(status) != NRD_UNSUPPORTED) {
        status_free(status);
        status = status_new(NRD_INVALID_ARG, "failed to register '%s', repository not found", path);
    }
    NRD_TRY(status);
    struct repo_set next = {0};
    pthread_mutex_lock(&lifecycle->mutex);
    status = repo_set_copy(&lifecycle->repos, &next);
    if (status == NULL) {
        status = add_repository(&next, path, mappings, count);
    }
    if (status == NULL) {
        struct repo_set old = lifecycle->repos;
        lifecycle->repos = next;
        next = old;
    }
    pthread_mutex_unlock(&lifecycle->mutex);
    repo_set_fini(&next);
    if (status == NULL) {
        LOG_NOTE("Model repository registered: %s", path);
    }
    return status;
}

struct nrd_status *lifecycle_unregister(struct lifecycle *lifecycle, const char *path)
{
    if (lifecycle->server->options->control_mode != TRITONSERVER_MODEL_CONTROL_EXPLICIT) {
        return status_new(NRD_UNSUPPORTED, "repository unregistration is not allowed if model "
                                           "control mode is not EXPLICIT");
    }
    struct repo_set next = {0};
    pthread_mutex_lock(&lifecycle->mutex);
    const struct repo_set *now = &lifecycle->repos;
    struct nrd_status *status =
        text_list_has(&now->paths, path)
            ? NULL
            : status_new(NRD_INVALID_ARG, "failed to unregister '%s', repository not found", path);
    for (size_t i = 0; i < now->paths.count && status == NULL; i++) {
        if (strcmp(now->paths.items[i], path) != 0) {
            status = text_list_add(&next.paths, now->paths.items[i]);
        }
    }
    for (size_t i = 0; i < now->mappings.count && status == NULL; i++) {
        const struct setting *at = &now->mappings.items[i];
        if (strcmp(at->group, path) != 0) {
            status = setting_list_add(&next.mappings, at->group, at->key, at->value);
        }
    }
    if (status == NULL) {
        struct repo_set old = lifecycle->repos;
        lifecycle->repos = next;
        next = old;
    }
    pthread_mutex_unlock(&lifecycle->mutex);
    repo_set_fini(&next);
    if (status == NULL) {
        LOG_NOTE("Model repository unregistered: %s", path);
    }
    return status;
}
