// SPDX-License-Identifier: Apache-2.0
// Completing a configuration by what the model's directory holds: name, platform, backend, file.
// Start at config_complete.
//
// The rules and their order are Triton's, its quirks too, since what is filled in shows in the
// model's configuration and metadata. Each rule stops where the configuration says something else;
// only the lexically first directory is looked into. One rule is ours: a plan under another name
// than model.plan is found when it is the only one.
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/model_config.h"
#include "config/platform.h"
#include "proto/message.h"

#define PYTHON_ENVIRONMENT "EXECUTION_ENV_PATH"

// The first version directory, if there is one.
struct version_dir {
    char *path; // NULL: there is none
    struct file_list content;
};

static void version_dir_fini(struct version_dir *dir)
{
    mem_free(dir->path);
    file_list_fini(&dir->content);
}

static struct nrd_status *version_dir_open(const char *model_dir, struct version_dir *dir)
{
    struct file_list entries;
    NRD_TRY(file_list(model_dir, &entries));
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < entries.count && dir->path == NULL && status == NULL; i++) {
        char *path = path_join(model_dir, entries.names[i]);
        if (path == NULL) {
            status = status_no_memory();
        } else if (file_is_dir(path)) {
            dir->path = path;
        } else {
            mem_free(path);
        }
    }
    file_list_fini(&entries);
    NRD_TRY(status);
    return dir->path == NULL ? NULL : file_list(dir->path, &dir->content);
}

static bool has_name(const struct version_dir *dir, const char *name)
{
    for (size_t i = 0; i < dir->content.count; i++) {
        if (strcmp(dir->content.names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

// `*found` when the directory has an entry of that name and form.
static struct nrd_status *look_for(const struct version_dir *dir, const char *name,
                                   enum model_form form, bool *found)
{
    *found = has_name(dir, name);
    if (!*found || form == MODEL_FORM_ANY) {
        return NULL;
    }
    char *path = path_join(dir->path, name);
    if (path == NULL) {
        return status_no_memory();
    }
    *found = file_is_dir(path) == (form == MODEL_FORM_DIR);
    mem_free(path);
    return NULL;
}

static struct nrd_status *set(char **member, const char *text)
{
    return proto_set_string(member, slice_of(text)) ? NULL : status_no_memory();
}

static struct nrd_status *set_if_empty(char **member, const char *text)
{
    return (*member)[0] != '\0' ? NULL : set(member, text);
}

// ---- the backend --------------------------------------------------------------------------------------------------

static bool is_silent(const Inference__ModelConfig *config)
{
    return config->platform[0] == '\0' && config->default_model_filename[0] == '\0';
}

// Whether the configuration itself names the framework, by its platform or by its file.
static bool is_named(const struct platform *known, const Inference__ModelConfig *config)
{
    if (platform_is(known, config->platform)) {
        return true;
    }
    // TensorFlow alone is not told by its file where a platform is set.
    bool by_file = config->platform[0] == '\0' || strcmp(known->backend, BACKEND_TENSORFLOW) != 0;
    return by_file && strcmp(known->file, config->default_model_filename) == 0;
}

// The first framework that the configuration names or, where it says nothing, whose file is there.
// NULL in `*known`: none.
static struct nrd_status *tell_platform(const Inference__ModelConfig *config,
                                        const struct version_dir *dir,
                                        const struct platform **known)
{
    bool silent = is_silent(config);
    *known = NULL;
    for (size_t i = 0; i < platform_count; i++) {
        bool found = false;
        if (silent) {
            NRD_TRY(look_for(dir, platforms[i].file, platforms[i].form, &found));
        } else {
            found = is_named(&platforms[i], config);
        }
        if (found) {
            *known = &platforms[i];
            return NULL;
        }
    }
    return NULL;
}

// A model directory named X.BACKEND.
static struct nrd_status *complete_custom(Inference__ModelConfig *config, const char *model_name)
{
    const char *dot = strchr(model_name, '.');
    if (dot == NULL) {
        return status_new(NRD_INVALID_ARG,
                          "Invalid model name: Could not determine backend for model '%s' with no "
                          "backend in model configuration. Expected model name of the form "
                          "'model.<backend_name>'.",
                          model_name);
    }
    NRD_TRY(set(&config->backend, dot + 1));
    struct str file = STR_INIT;
    str_printf(&file, "model.%s", dot + 1);
    struct nrd_status *status = str_status(&file);
    if (status == NULL) {
        status = set(&config->default_model_filename, str_cstr(&file));
    }
    str_fini(&file);
    return status;
}

// ---- what follows from the backend --------------------------------------------------------------------------------

static const struct platform *of_platform(const char *platform)
{
    for (size_t i = 0; i < platform_count; i++) {
        if (platform_is(&platforms[i], platform)) {
            return &platforms[i];
        }
    }
    return NULL;
}

// TensorFlow's two platforms share a backend, so the backend alone does not fill the file.
static struct nrd_status *complete_tensorflow(Inference__ModelConfig *config,
                                              const struct version_dir *dir)
{
    if (config->platform[0] == '\0') {
        const struct platform *known;
        NRD_TRY(tell_platform(config, dir, &known));
        if (known != NULL && strcmp(known->backend, BACKEND_TENSORFLOW) == 0) {
            NRD_TRY(set(&config->platform, known->platform));
        }
    }
    const struct platform *known = of_platform(config->platform);
    return known == NULL || strcmp(known->backend, BACKEND_TENSORFLOW) != 0
               ? NULL
               : set_if_empty(&config->default_model_filename, known->file);
}

// LibTorch is the platform unless the configuration or the content says otherwise; a file's name
// alone does not.
static struct nrd_status *complete_pytorch(Inference__ModelConfig *config,
                                           const struct platform *told_by_content)
{
    NRD_TRY(set_if_empty(&config->platform,
                         told_by_content != NULL ? told_by_content->platform : PLATFORM_LIBTORCH));
    const struct platform *known = of_platform(config->platform);
    return known == NULL || strcmp(known->backend, BACKEND_PYTORCH) != 0
               ? NULL
               : set_if_empty(&config->default_model_filename, known->file);
}

static bool is_plan_name(const char *name)
{
    static const char *const ends[] = {".trt", ".engine", ".plan"};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        if (slice_ends(slice_of(name), slice_of(ends[i]))) {
            return true;
        }
    }
    return false;
}

// The only file that looks like a plan; NULL when there are several or none. `*sole` is borrowed
// from `dir`.
static struct nrd_status *find_sole_plan(const struct version_dir *dir, const char **sole)
{
    size_t count = 0;
    *sole = NULL;
    for (size_t i = 0; i < dir->content.count; i++) {
        bool is_file = false;
        if (is_plan_name(dir->content.names[i])) {
            NRD_TRY(look_for(dir, dir->content.names[i], MODEL_FORM_FILE, &is_file));
        }
        count += is_file;
        *sole = !is_file ? *sole : count > 1 ? NULL : dir->content.names[i];
    }
    return NULL;
}

static struct nrd_status *complete_tensorrt(Inference__ModelConfig *config,
                                            const struct version_dir *dir)
{
    const char *sole;
    NRD_TRY(find_sole_plan(dir, &sole));
    NRD_TRY(set_if_empty(&config->platform, PLATFORM_TENSORRT));
    return set_if_empty(&config->default_model_filename, sole == NULL ? "model.plan" : sole);
}

static struct nrd_status *complete_others(Inference__ModelConfig *config)
{
    for (size_t i = 0; i < platform_count; i++) {
        if (strcmp(platforms[i].backend, config->backend) == 0) {
            NRD_TRY(set_if_empty(&config->platform, platforms[i].platform));
            return set_if_empty(&config->default_model_filename, platforms[i].file);
        }
    }
    return NULL;
}

// Fills the backend of a configuration without one. `*known` is the framework where it is one of
// the table.
static struct nrd_status *complete_backend(Inference__ModelConfig *config, const char *model_name,
                                           const struct version_dir *dir,
                                           const struct platform **known)
{
    bool silent = is_silent(config);
    NRD_TRY(tell_platform(config, dir, known));
    if (*known != NULL) {
        return set(&config->backend, (*known)->backend);
    }
    if (!silent) {
        return NULL;
    }
    // A name with a dot in it names a backend, so there the plan is not looked for.
    const char *sole = NULL;
    if (strchr(model_name, '.') == NULL) {
        NRD_TRY(find_sole_plan(dir, &sole));
    }
    return sole != NULL ? set(&config->backend, BACKEND_TENSORRT)
                        : complete_custom(config, model_name);
}

static struct nrd_status *complete_fields(Inference__ModelConfig *config, const char *model_name,
                                          const struct version_dir *dir)
{
    bool silent = is_silent(config);
    const struct platform *known = NULL;
    NRD_TRY(set_if_empty(&config->name, model_name));
    if (config->backend[0] == '\0') {
        NRD_TRY(complete_backend(config, model_name, dir, &known));
    }
    const struct platform *of = of_platform(config->platform);
    if (strcmp(config->backend, BACKEND_TENSORFLOW) == 0 ||
        (of != NULL && strcmp(of->backend, BACKEND_TENSORFLOW) == 0)) {
        return complete_tensorflow(config, dir);
    }
    if (strcmp(config->backend, BACKEND_TENSORRT) == 0) {
        return complete_tensorrt(config, dir);
    }
    if (strcmp(config->backend, BACKEND_PYTORCH) == 0) {
        return complete_pytorch(config, silent ? known : NULL);
    }
    return complete_others(config);
}

struct nrd_status *config_complete(Inference__ModelConfig *config, const char *model_name,
                                   const char *model_dir)
{
    struct version_dir dir = {0};
    struct nrd_status *status = version_dir_open(model_dir, &dir);
    if (status == NULL) {
        status = complete_fields(config, model_name, &dir);
    }
    version_dir_fini(&dir);
    NRD_TRY(status);
    if (LOG_VERBOSE_ON(1)) {
        struct str text = STR_INIT;
        config_to_text(config, &text);
        LOG_DEBUG(1, "Server side auto-completed config: %s", str_cstr(&text));
        str_fini(&text);
    }
    return config_normalize(config);
}

// ---- Python's environment -----------------------------------------------------------------------------------------

static struct nrd_status *set_environment(Inference__ModelConfig *config, const char *path)
{
    const ProtobufCFieldDescriptor *field =
        proto_field(config->base.descriptor, SLICE("parameters"));
    Inference__ModelConfig__ParametersEntry **entry = proto_open(&config->base, field);
    if (entry == NULL) {
        return status_no_memory();
    }
    // There is no such key yet, so the entry that is closed stays the last.
    Inference__ModelConfig__ParametersEntry *added = *entry;
    bool done = proto_set_string(&added->key, SLICE(PYTHON_ENVIRONMENT)) &&
                proto_close_entry(&config->base, field) &&
                proto_set_string(&added->value->string_value, slice_of(path));
    if (!done) {
        proto_destroy(&added->base);
        config->n_parameters--;
    }
    return done ? NULL : status_no_memory();
}

struct nrd_status *config_set_python_environment(Inference__ModelConfig *config,
                                                 const char *backend_dir)
{
    for (size_t i = 0; i < config->n_parameters; i++) {
        if (strcmp(config->parameters[i]->key, PYTHON_ENVIRONMENT) == 0) {
            return NULL;
        }
    }
    struct str name = STR_INIT;
    str_printf(&name, "pb_exec_env_%s.tar.gz", config->runtime);
    char *path = name.failed ? NULL : path_join(backend_dir, str_cstr(&name));
    str_fini(&name);
    if (path == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = file_exists(path) ? set_environment(config, path) : NULL;
    mem_free(path);
    return status;
}
