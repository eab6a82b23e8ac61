// SPDX-License-Identifier: Apache-2.0
// A plan of TensorRT runs on the kind of GPU that it was made for and nowhere else; the ONNX file that it was made from runs
// everywhere. So a repository that gives each model a GPU can be tried on a machine without one: put model.onnx
// where the plan would be, leave the configurations alone.
#include "core/fallback.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/placement.h"
#include "core/repo.h"
#include "proto/message.h"

static bool is_gpu_framework(const char *backend)
{
    static const char *const names[] = {"tensorrt", "pytorch", "tensorflow"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(backend, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_file(const char *version_dir, const char *name)
{
    char *path = path_join(version_dir, name);
    bool found = path != NULL && file_exists(path);
    mem_free(path);
    return found;
}

// A GPU that works: a lost one is none.
static bool has_gpu(struct gpus *gpus)
{
    struct config_devices devices = {0};
    if (gpus != NULL) {
        devices = gpus_devices(gpus);
    }
    bool found = false;
    for (size_t i = 0; i < devices.gpu_count; i++) {
        found = found || !devices.gpus[i].lost;
    }
    return found;
}

// True when each version of the model has a model.onnx and none has `own_file`.
static bool only_onnx(const char *directory, const struct text_list *names, const char *own_file)
{
    size_t versions = 0;
    for (size_t i = 0; i < names->count; i++) {
        uint64_t number = 0;
        if (!slice_to_u64(slice_of(names->items[i]), &number)) {
            continue; // warmup, configs, ...
        }
        char *version_dir = path_join(directory, names->items[i]);
        bool fits = version_dir != NULL && has_file(version_dir, "model.onnx") &&
                    !has_file(version_dir, own_file);
        mem_free(version_dir);
        if (!fits) {
            return false;
        }
        versions++;
    }
    return versions > 0;
}

struct nrd_status *fallback_to_onnx(const struct server_options *options, struct gpus *gpus,
                                    Inference__ModelConfig *config, const char *model_name,
                                    const char *directory)
{
    if (!options->gpu_fallback_cpu || !is_gpu_framework(config->backend) || has_gpu(gpus)) {
        return NULL;
    }
    struct text_list names = {0};
    NRD_TRY(repo_subdirs(directory, &names));
    const char *own_file = config->default_model_filename;
    bool fits = own_file[0] != '\0' && only_onnx(directory, &names, own_file);
    text_list_fini(&names);
    if (!fits) {
        return NULL;
    }
    LOG_WARN("model '%s' is for %s on a GPU, and there is no GPU and no file '%s': its model.onnx "
             "runs on the CPU by onnxruntime instead",
             model_name, config->backend, own_file);
    if (!proto_set_string(&config->platform, SLICE("onnxruntime_onnx")) ||
        !proto_set_string(&config->backend, SLICE("onnxruntime")) ||
        !proto_set_string(&config->default_model_filename, SLICE("model.onnx"))) {
        return status_no_memory();
    }
    return NULL;
}
