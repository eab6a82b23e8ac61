// SPDX-License-Identifier: Apache-2.0
// Repo: directories, times, configurations, versions.
#include "core/repo.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/fallback.h"
#include "proto/message.h"

#define FILE_PREFIX "file:"
enum { LINKS_FOLLOWED = 2 };

// ---- repositories ---------------------------------------------------------------------------------------------------

struct nrd_status *repo_check_path(const char *path)
{
    static const struct {
        const char *prefix;
        const char *name;
    } remote[] = {{"s3://", "S3"}, {"gs://", "Google Cloud Storage"}, {"as://", "Azure Storage"}};
    for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++) {
        if (strncmp(path, remote[i].prefix, strlen(remote[i].prefix)) == 0) {
            return status_new(NRD_UNSUPPORTED, "model repository '%s': %s is not built yet", path,
                              remote[i].name);
        }
    }
    struct file_info info;
    struct nrd_status *status = file_stat(path, &info);
    if (status != NULL) {
        status_free(status);
        return status_new(NRD_INTERNAL, "failed to stat file %s", path);
    }
    if (!info.is_dir) {
        return status_new(NRD_INVALID_ARG, "repository path is not a valid directory");
    }
    return NULL;
}

struct nrd_status *repo_subdirs(const char *path, struct text_list *names)
{
    struct file_list list = {0};
    NRD_TRY(file_list(path, &list));
    struct text_list made = {0};
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < list.count && status == NULL; i++) {
        char *full = path_join(path, list.names[i]);
        if (full == NULL) {
            status = status_no_memory();
        } else if (file_is_dir(full)) {
            status = text_list_add(&made, list.names[i]);
        }
        mem_free(full);
    }
    file_list_fini(&list);
    if (status != NULL) {
        text_list_fini(&made);
        return status;
    }
    *names = made;
    return NULL;
}

static const struct setting *find_mapping(const struct repo_set *set, const char *name)
{
    for (size_t i = 0; i < set->mappings.count; i++) {
        if (strcmp(set->mappings.items[i].key, name) == 0) {
            return &set->mappings.items[i];
        }
    }
    return NULL;
}

static bool is_mapped_directory(const struct repo_set *set, const char *directory)
{
    for (size_t i = 0; i < set->mappings.count; i++) {
        if (strcmp(set->mappings.items[i].value, directory) == 0) {
            return true;
        }
    }
    return false;
}

// Looks under the model's own name in each repository.
static bool find_plain(const struct repo_set *set, const char *name, char **repository,
                       char **directory)
{
    for (size_t i = 0; i < set->paths.count; i++) {
        char *full = path_join(set->paths.items[i], name);
        if (full == NULL || !file_exists(full) || is_mapped_directory(set, full)) {
            mem_free(full);
            continue;
        }
        if (*directory != NULL) {
            LOG_ERR("failed to poll model '%s': not unique across all model repositories", name);
            mem_free(full);
            return false;
        }
        *directory = full;
        *repository = mem_strdup(set->paths.items[i]);
    }
    return *directory != NULL && *repository != NULL;
}

bool repo_find(const struct repo_set *set, const char *name, char **repository, char **directory)
{
    *repository = NULL;
    *directory = NULL;
    const struct setting *mapping = find_mapping(set, name);
    bool found = false;
    if (mapping == NULL) {
        found = find_plain(set, name, repository, directory);
    } else if (file_exists(mapping->value)) {
        *repository = mem_strdup(mapping->group);
        *directory = mem_strdup(mapping->value);
        found = *repository != NULL && *directory != NULL;
    } else {
        LOG_ERR("mapped path '%s' does not exist for model '%s'", mapping->value, name);
    }
    if (!found) {
        LOG_ERR("failed to poll model '%s': model not found in any model repository.", name);
        mem_free(*repository);
        mem_free(*directory);
        *repository = NULL;
        *directory = NULL;
    }
    return found;
}

struct nrd_status *repo_set_copy(const struct repo_set *from, struct repo_set *to)
{
    struct repo_set made = {0};
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < from->paths.count && status == NULL; i++) {
        status = text_list_add(&made.paths, from->paths.items[i]);
    }
    for (size_t i = 0; i < from->mappings.count && status == NULL; i++) {
        const struct setting *at = &from->mappings.items[i];
        status = setting_list_add(&made.mappings, at->group, at->key, at->value);
    }
    if (status != NULL) {
        repo_set_fini(&made);
        return status;
    }
    *to = made;
    return NULL;
}

void repo_set_fini(struct repo_set *set)
{
    text_list_fini(&set->paths);
    setting_list_fini(&set->mappings);
}

// ---- files given with a load ----------------------------------------------------------------------------------------

struct repo_files {
    _Atomic int refs;
    char *path;
};

struct repo_files *repo_files_ref(struct repo_files *files)
{
    if (files != NULL) {
        atomic_fetch_add_explicit(&files->refs, 1, memory_order_relaxed);
    }
    return files;
}

void repo_files_unref(struct repo_files *files)
{
    if (files == NULL || atomic_fetch_sub_explicit(&files->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    status_free(file_remove_tree(files->path));
    mem_free(files->path);
    mem_free(files);
}

static struct nrd_status *files_create(struct repo_files **out)
{
    const char *base = getenv("TMPDIR");
    struct repo_files *files = mem_calloc(1, sizeof(*files));
    struct str path = STR_INIT;
    str_printf(&path, "%s/nereid-model-XXXXXX", base == NULL || base[0] == '\0' ? "/tmp" : base);
    char *text = str_take(&path);
    if (files == NULL || text == NULL) {
        mem_free(files);
        mem_free(text);
        return status_no_memory();
    }
    if (mkdtemp(text) == NULL) {
        struct nrd_status *status =
            status_new(NRD_INTERNAL, "Failed to create local temp folder: %s", text);
        mem_free(files);
        mem_free(text);
        return status;
    }
    atomic_init(&files->refs, 1);
    files->path = text;
    *out = files;
    return NULL;
}

// Whether a relative path stays below where it starts.
static bool stays_inside(const char *path)
{
    int depth = 0;
    struct slice rest = slice_of(path);
    struct slice part;
    while (slice_cut(&rest, '/', &part)) {
        if (slice_is(part, "..")) {
            if (--depth < 0) {
                return false;
            }
        } else if (part.len > 0 && !slice_is(part, ".")) {
            depth++;
        }
    }
    return depth > 0;
}

static struct nrd_status *write_file(const char *root, const struct parameter *parameter)
{
    if (parameter->type != TRITONSERVER_PARAMETER_BYTES) {
        return status_new(NRD_INVALID_ARG, "File parameter '%s' must have bytes type for its value",
                          parameter->name);
    }
    const char *relative = parameter->name + strlen(FILE_PREFIX);
    char *path = path_join(root, relative);
    if (path == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = NULL;
    if (!stays_inside(relative)) {
        status = status_new(NRD_INVALID_ARG,
                            "Invalid file parameter '%s' with normalized path '%s' must stay "
                            "within model directory.",
                            parameter->name, path);
    } else {
        char *directory = mem_strndup(path, (size_t)(path_base(path) - path));
        status = directory == NULL ? status_no_memory() : file_make_dirs(directory);
        mem_free(directory);
    }
    if (status == NULL) {
        status = file_write(path, slice_make(parameter->value.bytes, parameter->byte_size));
    }
    mem_free(path);
    return status;
}

// Writes the files and the configuration that came with a load into a directory.
static struct nrd_status *localize(const struct repo_look *look, struct repo_files *files)
{
    bool found_config = false;
    for (size_t i = 0; i < look->parameter_count; i++) {
        const struct parameter *at = look->parameters[i];
        if (strcmp(at->name, "config") == 0) {
            if (at->type != TRITONSERVER_PARAMETER_STRING) {
                return status_new(NRD_INVALID_ARG,
                                  "Config parameter 'config' must have string type for its value");
            }
            found_config = true;
        } else if (strncmp(at->name, FILE_PREFIX, strlen(FILE_PREFIX)) == 0) {
            NRD_TRY(write_file(files->path, at));
        }
    }
    return found_config ? NULL
                        : status_new(NRD_INVALID_ARG, "Load parameter 'config' must be specified "
                                                      "for model file override");
}

// ---- one model ------------------------------------------------------------------------------------------------------

static bool is_link(const char *path)
{
    struct stat found;
    return lstat(path, &found) == 0 && S_ISLNK(found.st_mode);
}

// The newest time of anything in `path`; 0 if it cannot be told, which counts as not modified. Directories are entered through
// `links` symbolic links on the way down at most: a model's files may lie elsewhere, a link to a directory above has no end.
static int64_t newest(const char *path, unsigned links)
{
    struct file_info info;
    struct nrd_status *status = file_stat(path, &info);
    if (status != NULL) {
        LOG_ERR("Failed to determine modification time for '%s': %s", path, status_text(status));
        status_free(status);
        return 0;
    }
    int64_t time = info.mtime_ns;
    struct file_list list = {0};
    if (!info.is_dir) {
        return time;
    }
    status = file_list(path, &list);
    if (status != NULL) {
        status_free(status);
        return time;
    }
    for (size_t i = 0; i < list.count; i++) {
        char *child = path_join(path, list.names[i]);
        bool link = child != NULL && is_link(child);
        int64_t at = child == NULL || (link && links == 0) ? 0 : newest(child, links - link);
        time = at > time ? at : time;
        mem_free(child);
    }
    file_list_fini(&list);
    return time;
}

// The configuration among the parameters of a load, if there is one.
static struct nrd_status *read_override(const struct repo_look *look,
                                        Inference__ModelConfig **config)
{
    for (size_t i = 0; i < look->parameter_count; i++) {
        const struct parameter *at = look->parameters[i];
        if (strcmp(at->name, "config") == 0 && at->type == TRITONSERVER_PARAMETER_STRING) {
            struct nrd_status *status =
                config_from_json(slice_make(at->value.string, at->byte_size), 1, config);
            return status_wrap(status, "Invalid config override: ");
        }
        if (strncmp(at->name, FILE_PREFIX, strlen(FILE_PREFIX)) != 0) {
            return status_new(NRD_INVALID_ARG, "Unrecognized load parameter '%s' with type '%s'",
                              at->name, TRITONSERVER_ParameterTypeString(at->type));
        }
    }
    return NULL;
}

static struct nrd_status *complete(const struct repo_look *look, struct repo_model *model)
{
    NRD_TRY(config_complete(model->config, look->name, model->directory));
    NRD_TRY(
        fallback_to_onnx(look->options, look->gpus, model->config, look->name, model->directory));
    NRD_TRY(config_validate(model->config));
    if (look->options->strict_model_config) {
        NRD_TRY(config_validate_io(model->config));
    }
    if (look->mapped) {
        return proto_set_string(&model->config->name, slice_of(look->name)) ? NULL
                                                                            : status_no_memory();
    }
    return config_check_directory(model->config, look->name);
}

// Fills `model` as far as it gets; the caller finishes it on an error.
static struct nrd_status *read_model(const struct repo_look *look, struct repo_model *model)
{
    model->name = mem_strdup(look->name);
    model->repository = mem_strdup(look->repository == NULL ? "" : look->repository);
    if (look->directory == NULL) {
        NRD_TRY(files_create(&model->files));
        NRD_TRY(localize(look, model->files));
    }
    const char *directory = look->directory == NULL ? model->files->path : look->directory;
    model->directory = mem_strdup(directory);
    if (model->name == NULL || model->repository == NULL || model->directory == NULL) {
        return status_no_memory();
    }
    if (look->directory != NULL) {
        model->modified_ns = newest(directory, LINKS_FOLLOWED);
        model->unmodified = look->has_previous && model->modified_ns <= look->previous_ns;
    }
    NRD_TRY(read_override(look, &model->config));
    if (model->config != NULL) {
        // Files that come later than this load win again; files that came with it never do.
        model->config_provided = true;
        model->modified_ns = look->directory == NULL ? 0 : (int64_t)clock_wall_ns();
        model->unmodified = false;
    } else if (model->unmodified) {
        return NULL;
    } else {
        NRD_TRY(config_load(directory, look->options->model_config_name,
                            !look->options->strict_model_config, &model->config,
                            &model->config_provided));
    }
    return complete(look, model);
}

struct nrd_status *repo_read_model(const struct repo_look *look, struct repo_model *model)
{
    struct repo_model made = {0};
    struct nrd_status *status = read_model(look, &made);
    if (status != NULL) {
        repo_model_fini(&made);
        return status;
    }
    *model = made;
    return NULL;
}

void repo_model_fini(struct repo_model *model)
{
    mem_free(model->name);
    mem_free(model->repository);
    mem_free(model->directory);
    config_destroy(model->config);
    repo_files_unref(model->files);
    *model = (struct repo_model){0};
}

// ---- versions -------------------------------------------------------------------------------------------------------

static int descending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

// Whether a directory's name is a version; those that are neither version nor known are warned of.
static bool parse_version(const char *name, int64_t *version)
{
    if (strcmp(name, "warmup") == 0 || strcmp(name, "initial_state") == 0 ||
        strcmp(name, "configs") == 0) {
        return false;
    }
    if (name[0] == '0' && name[1] != '\0') {
        LOG_WARN("ignore version directory '%s' which contains leading zeros in its directory name",
                 name);
        return false;
    }
    if (!isdigit((unsigned char)name[0]) || !slice_to_i64(slice_of(name), version)) {
        LOG_WARN("ignore version directory '%s' which fails to convert to integral number", name);
        return false;
    }
    return true;
}

// Keeps of `present` (descending) what the policy selects; returns how many.
static size_t select_versions(const Inference__ModelVersionPolicy *policy, const char *name,
                              int64_t *present, size_t count)
{
    int choice = policy == NULL ? INFERENCE__MODEL_VERSION_POLICY__POLICY_CHOICE__NOT_SET
                                : (int)policy->policy_choice_case;
    if (choice == INFERENCE__MODEL_VERSION_POLICY__POLICY_CHOICE_LATEST) {
        size_t limit = policy->latest->num_versions;
        return count < limit ? count : limit;
    }
    if (choice != INFERENCE__MODEL_VERSION_POLICY__POLICY_CHOICE_SPECIFIC) {
        return count;
    }
    size_t kept = 0;
    for (size_t i = 0; i < policy->specific->n_versions; i++) {
        int64_t wanted = policy->specific->versions[i];
        size_t at = kept;
        while (at < count && present[at] != wanted) {
            at++;
        }
        if (at < count) {
            present[at] = present[kept];
            present[kept++] = wanted;
        } else {
            LOG_ERR("version %lld is specified for model '%s', but the version directory is not "
                    "present",
                    (long long)wanted, name);
        }
    }
    return kept;
}

struct nrd_status *repo_versions(const char *directory, const char *name,
                                 const Inference__ModelConfig *config, int64_t **versions,
                                 size_t *count)
{
    struct text_list names = {0};
    NRD_TRY(repo_subdirs(directory, &names));
    int64_t *present = mem_calloc(names.count + 1, sizeof(*present));
    if (present == NULL) {
        text_list_fini(&names);
        return status_no_memory();
    }
    size_t found = 0;
    for (size_t i = 0; i < names.count; i++) {
        found += parse_version(names.items[i], &present[found]);
    }
    text_list_fini(&names);
    qsort(present, found, sizeof(*present), descending);
    size_t kept = select_versions(config->version_policy, name, present, found);
    if (kept == 0) {
        mem_free(present);
        return status_new(NRD_INVALID_ARG,
                          "at least one version must be available under the version policy of "
                          "model '%s'",
                          name);
    }
    qsort(present, kept, sizeof(*present), descending);
    for (size_t i = 0; i < kept / 2; i++) { // ascending, as everybody wants to see it
        int64_t swap = present[i];
        present[i] = present[kept - 1 - i];
        present[kept - 1 - i] = swap;
    }
    *versions = present;
    *count = kept;
    return NULL;
}
