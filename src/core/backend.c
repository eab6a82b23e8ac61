// SPDX-License-Identifier: Apache-2.0
// Backend: finding, opening and closing of libtriton_<name>.so.
//
// One mutex covers the set while a library is opened and initialized: two models that ask for one backend at the same
// time must get the same one. Libraries are opened with RTLD_LOCAL, so that two backends may carry two versions of one
// framework. A library is finalized at the end of the server but never unmapped: frameworks leave threads behind.
// Start at backend_set_acquire().
#include "core/backend.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/options.h"
#include "proto/model_config.pb-c.h"

struct nrd_status *backend_set_init(struct backend_set *set, struct gpus *gpus)
{
    set->gpus = gpus;
    pthread_mutex_init(&set->mutex, NULL);
    map_init(&set->by_library);
    return NULL;
}

// ---- configuration --------------------------------------------------------------------------------------------------

// Whether a later setting in the same scope (for all, or for this backend) replaces settings[i].
static bool is_overridden(const struct setting_list *list, size_t i, const char *name)
{
    const struct setting *at = &list->items[i];
    bool global = at->group[0] == '\0';
    for (size_t k = 0; k < list->count; k++) {
        const struct setting *other = &list->items[k];
        if (strcmp(other->key, at->key) != 0) {
            continue;
        }
        bool other_global = other->group[0] == '\0';
        if (!other_global && strcmp(other->group, name) != 0) {
            continue;
        }
        if ((global && !other_global) || (global == other_global && k > i)) {
            return true;
        }
    }
    return false;
}

static int compare_settings(const void *a, const void *b)
{
    const struct setting *const *x = a;
    const struct setting *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

// Settings that the server itself adds for all backends, and that only a setting for one backend replaces.
static bool is_own_key(const char *key)
{
    return strcmp(key, "auto-complete-config") == 0 || strcmp(key, "min-compute-capability") == 0 ||
           strcmp(key, "backend-directory") == 0;
}

// {"cmdline":{...}}: settings for all backends and for `name`, by key, with what the server adds itself.
static struct nrd_status *make_config(const struct server_options *options, const char *name,
                                      struct message **config)
{
    const struct setting_list *list = &options->backend_config;
    char capability[32];
    snprintf(capability, sizeof(capability), "%f", options->min_compute_capability);
    char auto_complete[] = "auto-complete-config", min_capability[] = "min-compute-capability";
    char directory[] = "backend-directory", batch[] = "default-max-batch-size";
    char yes[] = "true", no[] = "false", four[] = "4", all[] = "";
    struct setting own[] = {
        {all, auto_complete, options->strict_model_config ? no : yes},
        {all, min_capability, capability},
        {all, directory, options->backend_directory},
    };
    struct setting default_batch = {all, batch, four};
    const struct setting **rows = mem_calloc(list->count + 4, sizeof(const struct setting *));
    if (rows == NULL) {
        return status_no_memory();
    }
    size_t count = 0;
    bool has_batch = false;
    for (size_t i = 0; i < list->count; i++) {
        const struct setting *at = &list->items[i];
        if ((at->group[0] == '\0' || strcmp(at->group, name) == 0) &&
            !is_overridden(list, i, name) && !(at->group[0] == '\0' && is_own_key(at->key))) {
            rows[count++] = at;
            has_batch = has_batch || strcmp(at->key, batch) == 0;
        }
    }
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (setting_list_get(list, name, own[i].key) == NULL) {
            rows[count++] = &own[i];
        }
    }
    qsort(rows, count, sizeof(const struct setting *), compare_settings);
    if (!has_batch) {
        rows[count++] = &default_batch; // last, as Triton has it
    }
    struct str out = STR_INIT;
    struct json_writer w;
    json_begin(&w, &out);
    json_object_begin(&w);
    json_key(&w, "cmdline");
    json_object_begin(&w);
    for (size_t i = 0; i < count; i++) {
        json_key(&w, rows[i]->key);
        json_cstring(&w, rows[i]->value);
    }
    json_object_end(&w);
    json_object_end(&w);
    mem_free(rows);
    return message_take(&out, config);
}

// ---- preferred groups -----------------------------------------------------------------------------------------------

static void group_destroy(Inference__ModelInstanceGroup *group)
{
    if (group != NULL) {
        mem_free(group->gpus);
        mem_free(group);
    }
}

struct nrd_status *backend_add_group(struct backend *backend, TRITONSERVER_InstanceGroupKind kind,
                                     uint64_t count, const uint64_t *devices, uint64_t device_count)
{
    static const Inference__ModelInstanceGroup__Kind kinds[] = {
        [TRITONSERVER_INSTANCEGROUPKIND_AUTO] = INFERENCE__MODEL_INSTANCE_GROUP__KIND__KIND_AUTO,
        [TRITONSERVER_INSTANCEGROUPKIND_CPU] = INFERENCE__MODEL_INSTANCE_GROUP__KIND__KIND_CPU,
        [TRITONSERVER_INSTANCEGROUPKIND_GPU] = INFERENCE__MODEL_INSTANCE_GROUP__KIND__KIND_GPU,
        [TRITONSERVER_INSTANCEGROUPKIND_MODEL] = INFERENCE__MODEL_INSTANCE_GROUP__KIND__KIND_MODEL,
    };
    if ((unsigned)kind >= sizeof(kinds) / sizeof(kinds[0])) {
        return status_new(NRD_INVALID_ARG, "backend %s: unknown kind %d of a preferred group",
                          backend->name, (int)kind);
    }
    Inference__ModelInstanceGroup *group = mem_calloc(1, sizeof(*group));
    Inference__ModelInstanceGroup **groups =
        mem_realloc(backend->groups, (backend->group_count + 1) * sizeof(*groups));
    if (groups != NULL) {
        backend->groups = groups;
    }
    if (group == NULL || groups == NULL) {
        group_destroy(group);
        return status_no_memory();
    }
    inference__model_instance_group__init(group);
    group->kind = kinds[kind];
    group->count = (int32_t)count;
    if (device_count > 0) {
        group->gpus = mem_calloc(device_count, sizeof(*group->gpus));
        if (group->gpus == NULL) {
            group_destroy(group);
            return status_no_memory();
        }
        for (uint64_t i = 0; i < device_count; i++) {
            group->gpus[i] = (int32_t)devices[i];
        }
        group->n_gpus = device_count;
    }
    backend->groups[backend->group_count++] = group;
    return NULL;
}

// ---- opening and closing --------------------------------------------------------------------------------------------

static void backend_destroy(struct backend *backend)
{
    if (backend == NULL) {
        return;
    }
    if (backend->finalize != NULL) {
        struct nrd_status *status =
            (struct nrd_status *)backend->finalize((TRITONBACKEND_Backend *)backend);
        if (status != NULL) {
            LOG_ERR("failed finalizing backend: %s", status_text(status));
            status_free(status);
        }
    }
    for (size_t i = 0; i < backend->group_count; i++) {
        group_destroy(backend->groups[i]);
    }
    mem_free(backend->groups);
    message_destroy(backend->config);
    mem_free(backend->name);
    mem_free(backend->directory);
    mem_free(backend->library);
    mem_free(backend);
}

void backend_set_fini(struct backend_set *set)
{
    size_t at = 0;
    struct map_entry *entry = NULL;
    while (map_next(&set->by_library, &at, &entry)) {
        backend_destroy(entry->value);
    }
    map_fini(&set->by_library);
    pthread_mutex_destroy(&set->mutex);
}

// POSIX makes a data pointer of dlsym a function pointer; C wants that said by a copy.
static void find_symbol(void *handle, const char *name, void *function)
{
    void *symbol = dlsym(handle, name);
    memcpy(function, &symbol, sizeof(symbol));
}

static struct nrd_status *open_library(struct backend *backend)
{
    backend->handle = dlopen(backend->library, RTLD_NOW | RTLD_LOCAL);
    if (backend->handle == NULL) {
        const char *reason = dlerror();
        return status_new(NRD_NOT_FOUND, "unable to load shared library: %s",
                          reason == NULL ? "unknown error" : reason);
    }
    find_symbol(backend->handle, "TRITONBACKEND_ModelInstanceExecute", &backend->instance_execute);
    if (backend->instance_execute == NULL) {
        return status_new(NRD_NOT_FOUND,
                          "unable to find required entrypoint "
                          "'TRITONBACKEND_ModelInstanceExecute' in shared library: %s",
                          backend->library);
    }
    find_symbol(backend->handle, "TRITONBACKEND_Initialize", &backend->initialize);
    find_symbol(backend->handle, "TRITONBACKEND_GetBackendAttribute", &backend->get_attribute);
    find_symbol(backend->handle, "TRITONBACKEND_ModelInitialize", &backend->model_initialize);
    find_symbol(backend->handle, "TRITONBACKEND_ModelFinalize", &backend->model_finalize);
    find_symbol(backend->handle, "TRITONBACKEND_ModelInstanceInitialize",
                &backend->instance_initialize);
    find_symbol(backend->handle, "TRITONBACKEND_ModelInstanceFinalize",
                &backend->instance_finalize);
    find_symbol(backend->handle, "TRITONBACKEND_ModelInstanceReady", &backend->instance_ready);
    find_symbol(backend->handle, "nereid_backend_trim", &backend->trim);
    backend->cpu_only = dlsym(backend->handle, "nereid_backend_cpu_only") != NULL;
    find_symbol(backend->handle, "nereid_backend_gpu_obstacle", &backend->gpu_obstacle);
    return NULL;
}

// Opens the library and lets it initialize; nothing is left of it on an error.
static struct nrd_status *backend_create(const struct server_options *options, struct gpus *gpus,
                                         const char *name, const char *directory,
                                         const char *library, struct backend **out)
{
    struct backend *backend = mem_calloc(1, sizeof(*backend));
    if (backend == NULL) {
        return status_no_memory();
    }
    backend->name = mem_strdup(name);
    backend->directory = mem_strdup(directory);
    backend->library = mem_strdup(library);
    backend->gpus = gpus;
    struct nrd_status *status =
        backend->name == NULL || backend->directory == NULL || backend->library == NULL
            ? status_no_memory()
            : make_config(options, name, &backend->config);
    if (status == NULL) {
        status = open_library(backend);
    }
    if (status == NULL && backend->initialize != NULL) {
        status = (struct nrd_status *)backend->initialize((TRITONBACKEND_Backend *)backend);
    }
    if (status == NULL) {
        find_symbol(backend->handle, "TRITONBACKEND_Finalize", &backend->finalize);
    }
    if (status == NULL && backend->get_attribute != NULL) {
        // An error here is the backend's way to say that it has no wishes.
        status_free((struct nrd_status *)backend->get_attribute(
            (TRITONBACKEND_Backend *)backend, (TRITONBACKEND_BackendAttribute *)backend));
    }
    if (status != NULL) {
        backend_destroy(backend);
        return status;
    }
    *out = backend;
    return NULL;
}

// ---- finding --------------------------------------------------------------------------------------------------------

#define SEARCH_DIRS 3

// The first of `dirs` that holds `file`; NULL path if none does. Returns owned.
static char *find_library(const char *const *dirs, const char *file, const char **directory)
{
    for (size_t i = 0; i < SEARCH_DIRS; i++) {
        char *path = path_join(dirs[i], file);
        if (path != NULL && file_exists(path)) {
            *directory = dirs[i];
            return path;
        }
        mem_free(path);
    }
    return NULL;
}

// Whether a file name climbs out of the directory that it is looked for in.
static bool climbs(const char *file)
{
    for (const char *at = file; (at = strstr(at, "..")) != NULL; at += 2) {
        if ((at == file || at[-1] == '/') && (at[2] == '/' || at[2] == '\0')) {
            return true;
        }
    }
    return false;
}

static struct nrd_status *not_found(const char *name, const char *runtime, const char *model_name,
                                    const char *const *dirs)
{
    if (runtime[0] == '\0') {
        return status_new(NRD_INVALID_ARG,
                          "unable to find backend library for backend '%s', try specifying runtime "
                          "on the model configuration.",
                          name);
    }
    return status_new(NRD_INVALID_ARG,
                      "unable to find backend library '%s' for model '%s', searched: '%s' '%s' "
                      "'%s' ",
                      runtime, model_name, dirs[0], dirs[1], dirs[2]);
}

// Where the library is. `*path` is owned, `*directory` one of `dirs`.
static struct nrd_status *locate(const char *name, const char *runtime, const char *model_name,
                                 const char *const *dirs, char **path, const char **directory)
{
    struct str file = STR_INIT;
    if (runtime[0] != '\0') {
        str_append_cstr(&file, runtime);
    } else {
        str_printf(&file, "libtriton_%s.so", name);
    }
    struct nrd_status *status = str_status(&file);
    if (status == NULL) {
        *path = find_library(dirs, str_cstr(&file), directory);
        if (*path == NULL) {
            char *python = path_join(dirs[SEARCH_DIRS - 1], "model.py");
            bool is_python = strcmp(str_cstr(&file), "model.py") == 0 ||
                             (runtime[0] == '\0' && python != NULL && file_exists(python));
            mem_free(python);
            status = is_python
                         ? status_new(NRD_UNSUPPORTED,
                                      "backend '%s' is written in Python; Python-based backends "
                                      "are not built yet",
                                      name)
                         : not_found(name, runtime, model_name, dirs);
        } else if (climbs(str_cstr(&file))) {
            mem_free(*path);
            *path = NULL;
            status = status_new(NRD_INVALID_ARG,
                                "backend library name '%s' escapes backend directory '%s', for "
                                "model '%s', check model config runtime field",
                                str_cstr(&file), *directory, model_name);
        }
    }
    str_fini(&file);
    return status;
}

// The directory of backend `name`: a setting of its own, else <backend directory>/<name>. Returns owned.
static char *backend_home(const struct server_options *options, const char *name)
{
    const char *root = setting_list_get(&options->backend_config, "", "backend-directory");
    return path_join(root != NULL ? root : options->backend_directory, name);
}

struct nrd_status *backend_set_acquire(struct backend_set *set,
                                       const struct server_options *options, const char *name,
                                       const char *runtime, const char *model_name,
                                       const char *model_dir, const char *version_dir,
                                       struct backend **backend)
{
    char *home = backend_home(options, name);
    if (home == NULL) {
        return status_no_memory();
    }
    const char *dirs[SEARCH_DIRS] = {version_dir, model_dir, home};
    const char *directory = NULL;
    char *path = NULL;
    struct nrd_status *status = locate(name, runtime, model_name, dirs, &path, &directory);
    if (status == NULL) {
        pthread_mutex_lock(&set->mutex);
        struct backend *known = map_get(&set->by_library, slice_of(path));
        if (known == NULL) {
            status = backend_create(options, set->gpus, name, directory, path, &known);
            if (status == NULL) {
                status = map_put(&set->by_library, slice_of(path), known, NULL);
                if (status != NULL) {
                    backend_destroy(known);
                }
            }
        }
        pthread_mutex_unlock(&set->mutex);
        if (status == NULL) {
            *backend = known;
        }
    }
    mem_free(path);
    mem_free(home);
    return status;
}

void backend_set_trim(struct backend_set *set)
{
    pthread_mutex_lock(&set->mutex);
    size_t at = 0;
    struct map_entry *entry = NULL;
    while (map_next(&set->by_library, &at, &entry)) {
        const struct backend *backend = entry->value;
        if (backend->trim != NULL) {
            backend->trim();
        }
    }
    pthread_mutex_unlock(&set->mutex);
}

void backend_set_print(struct backend_set *set, struct str *out)
{
    struct table *table = table_create(3);
    if (table == NULL) {
        return;
    }
    table_add(table, SLICE("Backend"));
    table_add(table, SLICE("Path"));
    table_add(table, SLICE("Config"));
    pthread_mutex_lock(&set->mutex);
    size_t at = 0;
    struct map_entry *entry = NULL;
    while (map_next(&set->by_library, &at, &entry)) {
        const struct backend *backend = entry->value;
        table_add(table, slice_of(backend->name));
        table_add(table, slice_of(backend->library));
        table_add(table, slice_make(backend->config->text, backend->config->length));
    }
    pthread_mutex_unlock(&set->mutex);
    table_print(table, out);
    table_destroy(table);
}
