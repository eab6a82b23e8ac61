// SPDX-License-Identifier: Apache-2.0
// Model files: which ending is whose, and the links; see model_files.h.
#include "graph/infer/model_files.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

// What a path's ending says: the backend, and the name under which that backend looks for its file.
static const struct ending {
    const char *ending;
    const char *backend;
    const char *file;
} endings[] = {
    {".onnx", "onnxruntime", "model.onnx"},
    {".plan", "tensorrt", "model.plan"},
    {".trt", "tensorrt", "model.plan"},
    {".engine", "tensorrt", "model.plan"},
    {".pt2", "pytorch", "model.pt2"},
    {".pt", "pytorch", "model.pt"},
    {".pth", "pytorch", "model.pt"},
    {".ts", "pytorch", "model.pt"},
    {".savedmodel", "tensorflow", "model.savedmodel"},
    {".graphdef", "tensorflow", "model.graphdef"},
    {".pb", "tensorflow", "model.graphdef"},
};

// What Holoscan calls the backends, and Triton.
static const struct {
    const char *name;
    const char *backend;
} aliases[] = {
    {"trt", "tensorrt"},
    {"onnxrt", "onnxruntime"},
    {"torch", "pytorch"},
    {"tf", "tensorflow"},
};

void model_files_init(struct model_files *files)
{
    *files = (struct model_files){0};
}

void model_files_fini(struct model_files *files)
{
    if (files->directory != NULL) {
        status_free(file_remove_tree(files->directory));
        mem_free(files->directory);
    }
    *files = (struct model_files){0};
}

static struct nrd_status *make_directory(struct model_files *files)
{
    if (files->directory != NULL) {
        return NULL;
    }
    const char *parent = getenv("TMPDIR");
    char *pattern =
        path_join(parent != NULL && parent[0] == '/' ? parent : "/tmp", "nereid-XXXXXX");
    if (pattern == NULL) {
        return status_no_memory();
    }
    if (mkdtemp(pattern) == NULL) {
        struct nrd_status *status = status_new(NRD_INTERNAL, "cannot make the directory '%s': %s",
                                               pattern, strerror(errno));
        mem_free(pattern);
        return status;
    }
    files->directory = pattern;
    return NULL;
}

static const struct ending *ending_of(const char *path)
{
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        size_t tail = strlen(endings[i].ending);
        if (length > tail && strcmp(path + length - tail, endings[i].ending) == 0) {
            return &endings[i];
        }
    }
    return NULL;
}

static const char *backend_named(const char *name)
{
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        if (strcmp(aliases[i].name, name) == 0) {
            return aliases[i].backend;
        }
    }
    return name;
}

// A directory of somebody's repository: it has a configuration, or a version.
static bool is_model_directory(const char *path)
{
    char *config = path_join(path, "config.pbtxt");
    char *version = path_join(path, "1");
    bool is = file_is_dir(path) && ((config != NULL && file_exists(config)) ||
                                    (version != NULL && file_is_dir(version)));
    mem_free(config);
    mem_free(version);
    return is;
}

static struct nrd_status *link_to(const char *target, const char *directory, const char *name)
{
    char *link = path_join(directory, name);
    if (link == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = NULL;
    if (symlink(target, link) != 0) {
        status =
            status_new(NRD_INTERNAL, "cannot link '%s' to '%s': %s", link, target, strerror(errno));
    }
    mem_free(link);
    return status;
}

static struct nrd_status *write_config(const char *directory, const struct model_file *file,
                                       const char *backend)
{
    struct str text = STR_INIT;
    str_printf(&text, "name: \"%s\"\nbackend: \"%s\"\n", file->model, backend);
    if (file->device >= 0) {
        str_printf(&text, "instance_group { kind: KIND_GPU gpus: [ %d ] }\n", file->device);
    } else if (file->device == MODEL_DEVICE_CPU) {
        str_append_cstr(&text, "instance_group { kind: KIND_CPU count: 1 }\n");
    }
    char *path = path_join(directory, "config.pbtxt");
    struct nrd_status *status = path == NULL ? status_no_memory() : str_status(&text);
    if (status == NULL) {
        status = file_write(path, str_slice(&text));
    }
    mem_free(path);
    str_fini(&text);
    return status;
}

static struct nrd_status *add_file(const char *repository, const struct model_file *file,
                                   const char *target)
{
    const struct ending *ending = ending_of(file->path);
    const char *backend = ending == NULL ? NULL : ending->backend;
    bool onnx = backend != NULL && strcmp(backend, "onnxruntime") == 0;
    if (file->backend != NULL && file->backend[0] != '\0') {
        backend = backend_named(file->backend);
    }
    if (backend == NULL) {
        return status_new(NRD_INVALID_ARG,
                          "its ending says no framework, and none is named (backend)");
    }
    if (onnx && strcmp(backend, "tensorrt") == 0) {
        // Holoscan would build an engine from it; the model runs where it can.
        backend = "onnxruntime";
    }
    if (ending != NULL && strcmp(backend, ending->backend) != 0) {
        return status_new(NRD_INVALID_ARG, "it is a file of %s, and the backend is '%s'",
                          ending->backend, backend);
    }
    char *directory = path_join(repository, file->model);
    char *version = directory == NULL ? NULL : path_join(directory, "1");
    struct nrd_status *status = version == NULL ? status_no_memory() : file_make_dirs(version);
    if (status == NULL) {
        status = link_to(target, version, ending != NULL ? ending->file : path_base(file->path));
    }
    if (status == NULL) {
        status = write_config(directory, file, backend);
    }
    mem_free(version);
    mem_free(directory);
    return status;
}

struct nrd_status *model_files_add(struct model_files *files, const struct model_file *file)
{
    if (file->model[0] == '\0' || file->model[0] == '.' || strchr(file->model, '/') != NULL) {
        return status_new(NRD_INVALID_ARG, "'%s' cannot be the name of a model", file->model);
    }
    char target[PATH_MAX];
    if (realpath(file->path, target) == NULL) {
        return status_new(NRD_NOT_FOUND, "model '%s': there is no '%s'", file->model, file->path);
    }
    NRD_TRY(make_directory(files));
    struct nrd_status *status = is_model_directory(target)
                                    ? link_to(target, files->directory, file->model)
                                    : add_file(files->directory, file, target);
    return status_wrap(status, "model '%s', '%s': ", file->model, file->path);
}
