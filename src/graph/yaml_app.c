// SPDX-License-Identifier: Apache-2.0
// An application from a YAML file: reads it and what it includes, tells its form, and walks the root's sections in the order in
// which they need each other: extensions, resources and operators of all fragments, then flows. Start at nrd_app_load_yaml().
#include "graph/yaml_app.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "graph/nearest.h"

enum { INCLUDES_MAX = 16 }; // files, nested or not

static const char *const root_keys[] = {
    "application",  "operators", "flows",      "conditions",      "scheduler", "resources",
    "thread_pools", "fragments", "extensions", "subgraphs",       "tracking",  "include",
    "data_loggers", "metadata",  "source",     "gxf_application", NULL,
};

// ---- what all files of the loader use -------------------------------------------------------------------------------

void yaml_scope_init(struct yaml_scope *scope, const char *name, struct nrd_fragment *fragment)
{
    *scope = (struct yaml_scope){.name = name, .fragment = fragment};
    map_init(&scope->operators);
    map_init(&scope->subgraphs);
    map_init(&scope->failed);
    map_init(&scope->flowing);
}

void yaml_scope_fini(struct yaml_scope *scope)
{
    map_fini(&scope->operators);
    map_fini(&scope->subgraphs);
    map_fini(&scope->failed);
    map_fini(&scope->flowing);
}

void yaml_find(struct yaml_loader *l, const struct nrd_value *at, struct nrd_status *status)
{
    if (status == NULL) {
        return;
    }
    const char *file = nrd_value_file(at);
    size_t length = strlen(file);
    bool placed =
        at == NULL || nrd_value_line(at) == 0 ||
        (strncmp(status_text(status), file, length) == 0 && status_text(status)[length] == ':');
    str_append_cstr(&l->findings, l->findings.len == 0 ? "" : "\n");
    if (!placed) {
        str_printf(&l->findings, "%s:%d:%d: ", file, nrd_value_line(at), nrd_value_column(at));
    }
    str_append_cstr(&l->findings, status_text(status));
    status_free(status);
}

void yaml_each(struct yaml_loader *l, struct yaml_scope *scope, const struct nrd_value *section,
               const char *what, yaml_entry_fn fn)
{
    enum nrd_value_kind kind = nrd_value_kind(section);
    if (kind == NRD_VALUE_NULL) {
        return;
    }
    if (kind != NRD_VALUE_LIST && kind != NRD_VALUE_MAP) {
        yaml_find(l, section,
                  status_new(NRD_INVALID_ARG, "'%s' must be a list, or a map by name", what));
        return;
    }
    for (size_t i = 0; i < nrd_value_count(section); i++) {
        const struct nrd_value *entry = nrd_value_at(section, i);
        if (nrd_value_kind(entry) != NRD_VALUE_MAP) {
            yaml_find(l, entry,
                      status_new(NRD_INVALID_ARG, "an entry of '%s' must be a map", what));
            continue;
        }
        const char *name =
            kind == NRD_VALUE_MAP ? nrd_value_key(section, i) : yaml_text(l, entry, "name");
        fn(l, scope, name, entry);
    }
}

void yaml_check_keys(struct yaml_loader *l, const struct nrd_value *map, const char *what,
                     const char *const *known)
{
    for (size_t i = 0; i < nrd_value_count(map); i++) {
        struct nearest near;
        char hint[160];
        bool found = false;
        nearest_init(&near, nrd_value_key(map, i));
        for (const char *const *key = known; *key != NULL && !found; key++) {
            found = strcmp(*key, nrd_value_key(map, i)) == 0;
            nearest_offer(&near, *key);
        }
        if (!found) {
            yaml_find(l, map,
                      value_key_error(NRD_INVALID_ARG, map, i, "%s: there is no key '%s'%s", what,
                                      nrd_value_key(map, i),
                                      nearest_hint(&near, hint, sizeof hint)));
        }
    }
}

const char *yaml_text(struct yaml_loader *l, const struct nrd_value *map, const char *key)
{
    const struct nrd_value *value = nrd_value_get(map, key);
    enum nrd_value_kind kind = nrd_value_kind(value);
    if (kind == NRD_VALUE_LIST || kind == NRD_VALUE_MAP) {
        yaml_find(l, value, status_new(NRD_INVALID_ARG, "'%s' must be a text", key));
        return "";
    }
    return kind == NRD_VALUE_NULL ? "" : nrd_value_text(value);
}

struct nrd_status *yaml_overlay(struct nrd_value *to, const struct nrd_value *from)
{
    for (size_t i = 0; i < nrd_value_count(from); i++) {
        NRD_TRY(value_add(to, nrd_value_key(from, i), value_key_position(from, i),
                          nrd_value_copy(nrd_value_at(from, i))));
    }
    return NULL;
}

// An empty map that says it is where `at` is.
static struct nrd_value *map_like(const struct nrd_value *at)
{
    struct nrd_value *map = nrd_value_map();
    if (map != NULL && at != NULL) {
        map->position = at->position;
        map->file = value_file_ref(at->file);
    }
    return map;
}

struct nrd_value *yaml_parameters(const struct nrd_value *entry, const char *const *reserved)
{
    const struct nrd_value *own = nrd_value_get(entry, "parameters");
    if (nrd_value_kind(own) != NRD_VALUE_NULL) {
        return nrd_value_copy(own);
    }
    struct nrd_value *map = map_like(entry);
    for (size_t i = 0; map != NULL && i < nrd_value_count(entry); i++) {
        const char *key = nrd_value_key(entry, i);
        bool keep = strcmp(key, "parameters") != 0;
        for (const char *const *r = reserved; *r != NULL; r++) {
            keep = keep && strcmp(*r, key) != 0;
        }
        struct nrd_status *status = !keep ? NULL
                                          : value_add(map, key, value_key_position(entry, i),
                                                      nrd_value_copy(nrd_value_at(entry, i)));
        if (status != NULL) {
            status_free(status);
            nrd_value_free(map);
            return NULL;
        }
    }
    return map;
}

// ---- the file -------------------------------------------------------------------------------------------------------

// GXF's own form: several documents, or entities (a `name:` with `components:`) at the root.
static bool is_gxf(const struct nrd_value *root, bool more)
{
    const struct nrd_value *entity =
        nrd_value_kind(root) == NRD_VALUE_LIST ? nrd_value_at(root, 0) : root;
    return more || (nrd_value_get(entity, "components") != NULL &&
                    nrd_value_get(entity, "operators") == NULL);
}

static struct nrd_status *read_file(const char *path, struct nrd_value **root)
{
    struct str text = STR_INIT;
    bool more = false;
    if (!file_exists(path)) {
        return status_new(NRD_NOT_FOUND, "there is no file '%s'", path);
    }
    if (file_is_dir(path)) {
        return status_new(NRD_INVALID_ARG, "'%s' is a directory, not an application", path);
    }
    struct nrd_status *status = file_read(path, VALUE_FILE_MAX, &text);
    if (status == NULL) {
        status = value_parse_first(str_cstr(&text), text.len, path, root, &more);
    }
    str_fini(&text);
    if (status != NULL) {
        return status;
    }
    if (is_gxf(*root, more)) {
        status = value_error(NRD_UNSUPPORTED, *root,
                             "this is a GXF graph (%s), which is not read: an application has "
                             "'operators:' and 'flows:', or 'gxf_application:'",
                             more ? "several documents" : "entities with components");
    } else if (nrd_value_kind(*root) != NRD_VALUE_MAP) {
        status = value_error(NRD_INVALID_ARG, *root, "an application must be a map");
    }
    if (status != NULL) {
        nrd_value_free(*root);
        *root = NULL;
    }
    return status;
}

// Puts what an included file says below what is there: lists are joined, maps filled, other keys stay.
static struct nrd_status *merge_root(struct nrd_value *to, const struct nrd_value *from)
{
    for (size_t i = 0; i < nrd_value_count(from); i++) {
        const char *key = nrd_value_key(from, i);
        const struct nrd_value *theirs = nrd_value_at(from, i);
        const struct nrd_value *ours = nrd_value_get(to, key);
        if (strcmp(key, "include") == 0) {
            continue;
        }
        if (ours == NULL) {
            NRD_TRY(value_add(to, key, value_key_position(from, i), nrd_value_copy(theirs)));
        } else if (ours->kind == NRD_VALUE_LIST && theirs->kind == NRD_VALUE_LIST) {
            struct nrd_value *list = nrd_value_copy(ours);
            for (size_t j = 0; list != NULL && j < nrd_value_count(theirs); j++) {
                NRD_TRY(nrd_value_append(list, nrd_value_copy(nrd_value_at(theirs, j))));
            }
            NRD_TRY(value_add(to, key, value_key_position(from, i), list));
        } else if (ours->kind == NRD_VALUE_MAP && theirs->kind == NRD_VALUE_MAP) {
            struct nrd_value *map = nrd_value_copy(theirs);
            struct nrd_status *status = map == NULL ? status_no_memory() : yaml_overlay(map, ours);
            if (status != NULL) {
                nrd_value_free(map);
                return status;
            }
            NRD_TRY(value_add(to, key, value_key_position(from, i), map));
        }
    }
    return NULL;
}

// A path in the directory of another file.
static char *beside(const char *file, const char *path)
{
    size_t length = (size_t)(path_base(file) - file);
    struct str joined = STR_INIT;
    if (path[0] != '/') {
        str_append(&joined, file, length);
    }
    str_append_cstr(&joined, path);
    return str_take(&joined);
}

static void include(struct yaml_loader *l, const struct nrd_value *item, size_t *files);

// `include: [file, ...]` of one file; each may include more.
static void include_all(struct yaml_loader *l, const struct nrd_value *root, size_t *files)
{
    const struct nrd_value *list = nrd_value_get(root, "include");
    if (nrd_value_kind(list) == NRD_VALUE_STRING) {
        include(l, list, files);
    }
    for (size_t i = 0; i < nrd_value_count(list); i++) {
        include(l, nrd_value_at(list, i), files);
    }
}

static void include(struct yaml_loader *l, const struct nrd_value *item, size_t *files)
{
    struct nrd_value *root = NULL;
    if (++*files > INCLUDES_MAX) {
        yaml_find(l, item,
                  status_new(NRD_INVALID_ARG, "more than %d files are included", INCLUDES_MAX));
        return;
    }
    char *path = beside(nrd_value_file(item), nrd_value_text(item));
    struct nrd_status *status = path == NULL ? status_no_memory() : read_file(path, &root);
    mem_free(path);
    if (status != NULL) {
        yaml_find(l, item, status);
        return;
    }
    include_all(l, root, files);
    yaml_find(l, item, merge_root(l->root, root));
    nrd_value_free(root);
}

// ---- the root's sections --------------------------------------------------------------------------------------------

static void load_extension(struct yaml_loader *l, const struct nrd_value *item)
{
    const char *path = nrd_value_text(item);
    if (nrd_value_kind(item) != NRD_VALUE_STRING) {
        yaml_find(l, item, status_new(NRD_INVALID_ARG, "an extension is the path of a library"));
    } else if (strstr(path_base(path), "libgxf_") != NULL) {
        LOG_WARN("%s:%d: '%s' is an extension of GXF, which is not loaded", nrd_value_file(item),
                 nrd_value_line(item), path);
    } else {
        yaml_find(l, item, nrd_app_load_extension(l->app, path));
    }
}

// One, or a list of them.
static void load_extensions(struct yaml_loader *l)
{
    const struct nrd_value *list = nrd_value_get(l->root, "extensions");
    if (nrd_value_kind(list) != NRD_VALUE_LIST && nrd_value_kind(list) != NRD_VALUE_NULL) {
        load_extension(l, list);
        return;
    }
    for (size_t i = 0; i < nrd_value_count(list); i++) {
        load_extension(l, nrd_value_at(list, i));
    }
}

static void load_fragment(struct yaml_loader *l, struct yaml_scope *outer, const char *name,
                          const struct nrd_value *entry)
{
    (void)outer;
    static const char *const keys[] = {"name",         "operators", "flows",    "conditions",
                                       "scheduler",    "resources", "metadata", "thread_pools",
                                       "data_loggers", NULL};
    struct nrd_fragment *fragment = NULL;
    if (name[0] == '\0') {
        yaml_find(l, entry, status_new(NRD_INVALID_ARG, "a fragment needs a name"));
        return;
    }
    struct nrd_status *status = nrd_app_add_fragment(l->app, name, &fragment);
    struct yaml_scope *scope = status != NULL ? NULL : mem_calloc(1, sizeof(*scope));
    if (status == NULL && scope == NULL) {
        status = status_no_memory();
    }
    if (status == NULL) {
        yaml_scope_init(scope, name, fragment);
        status = map_put(&l->fragments, slice_of(name), scope, NULL);
    }
    if (status != NULL) {
        mem_free(scope);
        yaml_find(l, entry, status);
        return;
    }
    yaml_check_keys(l, entry, "fragment", keys);
    yaml_load_section(l, scope, entry);
}

static void load_fragment_flows(struct yaml_loader *l, struct yaml_scope *outer, const char *name,
                                const struct nrd_value *entry)
{
    (void)outer;
    struct yaml_scope *scope = map_get(&l->fragments, slice_of(name));
    if (scope != NULL) {
        yaml_load_flows(l, scope, nrd_value_get(entry, "flows"));
    }
}

struct tracking {
    const char *log;
    int64_t skip_first, skip_last, threshold;
};
static const struct nrd_param tracking_params[] = {
    {"log", NRD_PARAM_STRING, NRD_PARAM_OPTIONAL, offsetof(struct tracking, log)},
    {"skip_first", NRD_PARAM_INT, 0, offsetof(struct tracking, skip_first), "10", NULL, 0, 1e15},
    {"skip_last", NRD_PARAM_INT, 0, offsetof(struct tracking, skip_last), "10", NULL, 0, 1e15},
    {"threshold", NRD_PARAM_DURATION, 0, offsetof(struct tracking, threshold), "0"},
    {NULL},
};

static void load_tracking(struct yaml_loader *l, const struct nrd_value *entry)
{
    struct tracking t = {0};
    bool on = true;
    struct param_scope scope = {"tracking", &l->store, NULL, NULL};
    if (entry == NULL || (nrd_value_get_bool(entry, &on) && !on)) {
        return;
    }
    struct nrd_status *status = param_apply(
        &scope, tracking_params, nrd_value_kind(entry) == NRD_VALUE_BOOL ? NULL : entry, &t);
    if (status == NULL) {
        struct nrd_track_options options = {(uint64_t)t.skip_first, (uint64_t)t.skip_last,
                                            t.threshold, t.log};
        status = nrd_app_track(l->app, &options);
    }
    yaml_find(l, entry, status);
}

static bool is_root_key(const char *key)
{
    for (const char *const *known = root_keys; *known != NULL; known++) {
        if (strcmp(*known, key) == 0) {
            return true;
        }
    }
    return false;
}

// A key of the root that is neither a section nor a group that somebody named is a misspelt section, or unused.
static void check_groups(struct yaml_loader *l)
{
    for (size_t i = 0; i < nrd_value_count(l->root); i++) {
        const char *key = nrd_value_key(l->root, i);
        struct nearest near;
        char hint[160];
        if (is_root_key(key) || map_has(&l->groups, slice_of(key))) {
            continue;
        }
        nearest_init(&near, key);
        for (const char *const *known = root_keys; *known != NULL; known++) {
            nearest_offer(&near, *known);
        }
        if (near.best != NULL) {
            yaml_find(l, NULL,
                      value_key_error(NRD_INVALID_ARG, l->root, i, "there is no section '%s'%s",
                                      key, nearest_hint(&near, hint, sizeof hint)));
        } else {
            LOG_WARN("%s:%d: the parameters '%s' are not used ('parameters_from: %s' would)",
                     nrd_value_file(l->root), value_key_position(l->root, i).line, key, key);
        }
    }
}

// Overrides of the command line that nothing took.
static void check_sets(struct yaml_loader *l)
{
    const struct nrd_value *sets = nrd_value_get(l->options, "set");
    for (size_t i = 0; i < nrd_value_count(sets); i++) {
        const char *key = nrd_value_key(sets, i);
        if (!map_has(&l->sets, slice_of(key))) {
            yaml_find(l, NULL,
                      status_new(NRD_INVALID_ARG, "--set %s: there is no such operator", key));
        }
    }
}

static void load_root(struct yaml_loader *l)
{
    const struct nrd_value *root = l->root;
    const struct nrd_value *fragments = nrd_value_get(root, "fragments");
    const struct nrd_value *seed = nrd_value_get(root, "gxf_application");
    if (nrd_value_get(root, "operators") == NULL && fragments == NULL && seed == NULL) {
        yaml_find(l, root,
                  status_new(NRD_INVALID_ARG,
                             "there are no operators: an application has 'operators:' and "
                             "'flows:', or 'fragments:', or 'gxf_application:'"));
        return;
    }
    load_extensions(l);
    yaml_load_section(l, &l->first, root);
    yaml_each(l, &l->first, fragments, "fragments", load_fragment);
    if (seed != NULL) {
        yaml_load_seed(l, seed);
    }
    yaml_load_flows(l, &l->first, nrd_value_get(root, "flows"));
    yaml_each(l, &l->first, fragments, "fragments", load_fragment_flows);
    if (seed != NULL) {
        yaml_complete_seed(l, seed);
    }
    load_tracking(l, nrd_value_get(root, "tracking"));
    check_groups(l);
    check_sets(l);
}

static void loader_fini(struct yaml_loader *l)
{
    struct map_entry *entry;
    for (size_t at = 0; map_next(&l->fragments, &at, &entry);) {
        yaml_scope_fini(entry->value);
        mem_free(entry->value);
    }
    map_fini(&l->fragments);
    map_fini(&l->groups);
    map_fini(&l->sets);
    yaml_scope_fini(&l->first);
    param_store_fini(&l->store);
    nrd_value_free(l->root);
    str_fini(&l->findings);
}

struct nrd_status *nrd_app_load_yaml(struct nrd_app *app, const char *path,
                                     const struct nrd_value *options)
{
    struct yaml_loader l = {.app = app, .options = options};
    size_t files = 1;
    map_init(&l.fragments);
    map_init(&l.groups);
    map_init(&l.sets);
    param_store_init(&l.store);
    yaml_scope_init(&l.first, "", nrd_app_fragment(app));
    struct nrd_status *status = read_file(path, &l.root);
    if (status == NULL) {
        include_all(&l, l.root, &files);
        load_root(&l);
        if (l.findings.failed) {
            status = status_no_memory();
        } else if (l.findings.len > 0) {
            status = status_new_text(NRD_INVALID_ARG, str_cstr(&l.findings), l.findings.len);
        }
    }
    loader_fini(&l);
    return status;
}
