// SPDX-License-Identifier: Apache-2.0
// Life cycle: the questions. What is shown here is what the table says at one moment; nothing waits for a load.
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/drain.h"
#include "core/lifecycle_private.h"
#include "core/model.h"

const char *model_state_name(enum model_state state)
{
    switch (state) {
    case MODEL_STATE_UNKNOWN:
        return "UNKNOWN";
    case MODEL_STATE_READY:
        return "READY";
    case MODEL_STATE_UNAVAILABLE:
        return "UNAVAILABLE";
    case MODEL_STATE_LOADING:
        return "LOADING";
    case MODEL_STATE_UNLOADING:
        return "UNLOADING";
    }
    return "<unknown>";
}

// ---- rows -----------------------------------------------------------------------------------------------------------

// A version in service whose GPUs are lost says so; and is not available when nothing is left of it.
static struct nrd_status *tell_losses(struct version_row *row, const struct model *model)
{
    struct str why = STR_INIT;
    enum drain_standing standing = drain_standing(model, &why);
    if (standing == DRAIN_ALL) {
        return NULL;
    }
    row->state = standing == DRAIN_NONE ? MODEL_STATE_UNAVAILABLE : row->state;
    mem_free(row->reason);
    row->reason = str_take(&why);
    return row->reason == NULL ? status_no_memory() : NULL;
}

static struct nrd_status *add_row(struct version_rows *rows, const struct model_entry *entry,
                                  const struct version *version, bool with_models)
{
    struct version_row *grown = mem_realloc(rows->items, (rows->count + 1) * sizeof(*grown));
    if (grown == NULL) {
        return status_no_memory();
    }
    rows->items = grown;
    struct version_row *row = &grown[rows->count];
    *row = (struct version_row){
        .name = entry->name,
        .version = version == NULL ? -1 : version->number,
        .state = version == NULL ? MODEL_STATE_UNKNOWN : version->state,
        .reason = mem_strdup(version == NULL || version->reason == NULL ? "" : version->reason),
    };
    if (row->reason == NULL) {
        return status_no_memory();
    }
    rows->count++;
    if (version == NULL || version->state != MODEL_STATE_READY) {
        return NULL;
    }
    if (with_models) {
        row->model = model_ref(version->model);
    }
    return tell_losses(row, version->model);
}

static struct nrd_status *add_entry(struct version_rows *rows, const struct model_entry *entry,
                                    bool with_models)
{
    if (entry->known && entry->version_count == 0) {
        return add_row(rows, entry, NULL, false);
    }
    for (size_t i = 0; i < entry->version_count; i++) {
        NRD_TRY(add_row(rows, entry, entry->versions[i], with_models));
    }
    return NULL;
}

static int compare_rows(const void *a, const void *b)
{
    const struct version_row *x = a;
    const struct version_row *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : (x->version > y->version) - (x->version < y->version);
}

struct nrd_status *lifecycle_rows(struct lifecycle *lifecycle, const char *name, bool with_models,
                                  struct version_rows *rows)
{
    struct version_rows made = {0};
    struct nrd_status *status = NULL;
    pthread_mutex_lock(&lifecycle->mutex);
    if (name != NULL) {
        const struct model_entry *entry = map_get(&lifecycle->entries, slice_of(name));
        status = entry == NULL ? NULL : add_entry(&made, entry, with_models);
    } else {
        size_t at = 0;
        struct map_entry *slot = NULL;
        while (status == NULL && map_next(&lifecycle->entries, &at, &slot)) {
            status = add_entry(&made, slot->value, with_models);
        }
    }
    pthread_mutex_unlock(&lifecycle->mutex);
    if (status != NULL) {
        version_rows_fini(&made);
        return status;
    }
    if (made.count > 0) {
        qsort(made.items, made.count, sizeof(*made.items), compare_rows);
    }
    *rows = made;
    return NULL;
}

void version_rows_fini(struct version_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        mem_free(rows->items[i].reason);
        model_unref(rows->items[i].model);
    }
    mem_free(rows->items);
    *rows = (struct version_rows){0};
}

struct nrd_status *lifecycle_why_not(struct lifecycle *lifecycle, const char *name, int64_t version)
{
    bool known = false;
    bool found = false;
    pthread_mutex_lock(&lifecycle->mutex);
    const struct model_entry *entry = map_get(&lifecycle->entries, slice_of(name));
    if (entry != NULL) {
        known = entry->known;
        for (size_t i = 0; i < entry->version_count; i++) {
            found = found || entry->versions[i]->number == version;
        }
    }
    pthread_mutex_unlock(&lifecycle->mutex);
    if (!known) {
        return status_new(NRD_NOT_FOUND, "Request for unknown model: '%s' is not found", name);
    }
    if (version == -1) {
        return status_new(NRD_NOT_FOUND,
                          "Request for unknown model: '%s' has no available versions", name);
    }
    if (!found) {
        return status_new(NRD_NOT_FOUND,
                          "Request for unknown model: '%s' version %lld is not found", name,
                          (long long)version);
    }
    return status_new(NRD_UNAVAILABLE,
                      "Request for unknown model: '%s' version %lld is not at ready state", name,
                      (long long)version);
}

// ---- index ----------------------------------------------------------------------------------------------------------

// The name that a directory of a repository goes by.
static const char *mapped_name(const struct repo_set *repos, const char *repository,
                               const char *subdir)
{
    for (size_t i = 0; i < repos->mappings.count; i++) {
        const struct setting *at = &repos->mappings.items[i];
        const char *base = strrchr(at->value, '/');
        if (strcmp(at->group, repository) == 0 &&
            strcmp(base == NULL ? at->value : base + 1, subdir) == 0) {
            return at->key;
        }
    }
    return subdir;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// The names of all models of all repositories, sorted, each as often as it occurs.
static struct nrd_status *list_names(const struct repo_set *repos, struct text_list *names)
{
    for (size_t i = 0; i < repos->paths.count; i++) {
        struct text_list subdirs = {0};
        NRD_TRY(repo_subdirs(repos->paths.items[i], &subdirs));
        struct nrd_status *status = NULL;
        for (size_t k = 0; k < subdirs.count && status == NULL; k++) {
            status =
                text_list_add(names, mapped_name(repos, repos->paths.items[i], subdirs.items[k]));
        }
        text_list_fini(&subdirs);
        NRD_TRY(status);
    }
    if (names->count > 0) {
        qsort(names->items, names->count, sizeof(char *), compare_texts);
    }
    return NULL;
}

static void write_row(struct json_writer *w, const char *name, int64_t version, const char *state,
                      const char *reason)
{
    json_object_begin(w);
    json_key(w, "name");
    json_cstring(w, name);
    if (version >= 0) {
        struct str text = STR_INIT;
        str_append_i64(&text, version);
        json_key(w, "version");
        json_string(w, str_slice(&text));
        str_fini(&text);
    }
    if (state != NULL) {
        json_key(w, "state");
        json_cstring(w, state);
    }
    if (reason[0] != '\0') {
        json_key(w, "reason");
        json_cstring(w, reason);
    }
    json_object_end(w);
}

// All versions of one model, or its name alone if it never was loaded.
static struct nrd_status *write_model(struct lifecycle *lifecycle, const char *name,
                                      bool ready_only, struct json_writer *w)
{
    struct version_rows rows = {0};
    NRD_TRY(lifecycle_rows(lifecycle, name, false, &rows));
    if (rows.count == 0 && !ready_only) {
        write_row(w, name, -1, NULL, "");
    }
    for (size_t i = 0; i < rows.count; i++) {
        const struct version_row *row = &rows.items[i];
        // A model that has no version was looked at and found empty: Triton's index leaves it out.
        if (row->version >= 0 && (!ready_only || row->state == MODEL_STATE_READY)) {
            write_row(w, name, row->version, model_state_name(row->state), row->reason);
        }
    }
    version_rows_fini(&rows);
    return NULL;
}

struct nrd_status *lifecycle_index(struct lifecycle *lifecycle, bool ready_only, struct str *out)
{
    struct repo_set repos = {0};
    pthread_mutex_lock(&lifecycle->mutex);
    struct nrd_status *status = repo_set_copy(&lifecycle->repos, &repos);
    pthread_mutex_unlock(&lifecycle->mutex);
    struct text_list names = {0};
    if (status == NULL) {
        status = list_names(&repos, &names);
    }
    struct json_writer w;
    json_begin(&w, out);
    json_array_begin(&w);
    for (size_t i = 0; i < names.count && status == NULL;) {
        size_t same = 1;
        while (i + same < names.count && strcmp(names.items[i], names.items[i + same]) == 0) {
            same++;
        }
        if (same > 1) {
            write_row(&w, names.items[i], -1, model_state_name(MODEL_STATE_UNAVAILABLE),
                      "model appears in two or more repositories");
        } else {
            status = write_model(lifecycle, names.items[i], ready_only, &w);
        }
        i += same;
    }
    json_array_end(&w);
    text_list_fini(&names);
    repo_set_fini(&repos);
    return status;
}
