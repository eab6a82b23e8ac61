// SPDX-License-Identifier: Apache-2.0
// Instance groups: from what the configuration says (often nothing) to kinds, counts and GPU ids;
// and the check of the result against the GPUs of this machine. Start at
// config_normalize_instances.
//
// A group of kind AUTO goes to the GPUs when there are any and all that it lists are supported.
// Triton refuses KIND_GPU without a GPU; `gpu_fallback_cpu` moves such a group to the CPU instead,
// in the open: a warning says so. Numbers of GPUs that are not there are looked up in the map first
// (gpu_map.c).
#include <inttypes.h>

#include "base/log.h"
#include "config/model_config.h"
#include "config/platform.h"
#include "proto/message.h"

#define KIND(name) INFERENCE__MODEL_INSTANCE_GROUP__KIND__KIND_##name

static size_t supported_count(const struct config_devices *devices)
{
    size_t count = 0;
    for (size_t i = 0; i < devices->gpu_count; i++) {
        count += config_gpu_supported(devices, devices->gpus[i].id);
    }
    return count;
}

static bool is_ensemble(const Inference__ModelConfig *config)
{
    return config->scheduling_choice_case ==
           INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_ENSEMBLE_SCHEDULING;
}

// ---- defaults -----------------------------------------------------------------------------------------------------

static struct nrd_status *add_gpu(Inference__ModelInstanceGroup *group, int32_t id)
{
    int32_t *place = proto_grow(&group->gpus, &group->n_gpus, sizeof(*place));
    if (place == NULL) {
        return status_no_memory();
    }
    *place = id;
    return NULL;
}

// Adds the GPUs that `preferred` lists; those that are not supported are left out when
// `supported_only`.
static struct nrd_status *add_gpus(Inference__ModelInstanceGroup *group,
                                   const Inference__ModelInstanceGroup *preferred,
                                   const struct config_devices *devices, bool supported_only)
{
    for (size_t i = 0; i < preferred->n_gpus; i++) {
        if (!supported_only || config_gpu_supported(devices, preferred->gpus[i])) {
            NRD_TRY(add_gpu(group, preferred->gpus[i]));
        }
    }
    return NULL;
}

// The one group of a model that lists none: named like the model, otherwise as the backend prefers.
static struct nrd_status *add_default_group(Inference__ModelConfig *config,
                                            const struct config_devices *devices,
                                            Inference__ModelInstanceGroup *const *preferred,
                                            size_t preferred_count)
{
    Inference__ModelInstanceGroup **place =
        proto_open(&config->base, proto_field(config->base.descriptor, SLICE("instance_group")));
    if (place == NULL) {
        return status_no_memory();
    }
    Inference__ModelInstanceGroup *group = *place;
    if (!proto_set_string(&group->name, slice_of(config->name))) {
        return status_no_memory();
    }
    for (size_t i = 0; i < preferred_count; i++) {
        bool gpu = (int)preferred[i]->kind == KIND(GPU);
        if (gpu && supported_count(devices) == 0) {
            continue;
        }
        if (gpu || (int)preferred[i]->kind == KIND(AUTO)) {
            NRD_TRY(add_gpus(group, preferred[i], devices, gpu));
        }
        group->kind = preferred[i]->kind;
        group->count = preferred[i]->count;
        break;
    }
    return NULL;
}

static struct nrd_status *normalize_name(const Inference__ModelConfig *config,
                                         Inference__ModelInstanceGroup *group, size_t index)
{
    if (group->name[0] != '\0') {
        return NULL;
    }
    struct str name = STR_INIT;
    str_printf(&name, "%s_%zu", config->name, index);
    bool done = !name.failed && proto_set_string(&group->name, str_slice(&name));
    str_fini(&name);
    return done ? NULL : status_no_memory();
}

static void resolve_auto(Inference__ModelInstanceGroup *group, const struct config_devices *devices)
{
    if ((int)group->kind != KIND(AUTO)) {
        return;
    }
    bool gpu = supported_count(devices) > 0;
    for (size_t i = 0; i < group->n_gpus && gpu; i++) {
        gpu = config_gpu_supported(devices, group->gpus[i]);
    }
    group->kind = gpu ? KIND(GPU) : KIND(CPU);
}

// A count holds for each GPU, so the CPU gets one share for each GPU that was listed. A group of
// kind AUTO that lists GPUs counts as one that wants them: left as it is, it would be refused as a
// CPU group with GPUs.
static void fall_back(const Inference__ModelConfig *config, Inference__ModelInstanceGroup *group,
                      const struct config_devices *devices)
{
    bool wants_gpu =
        (int)group->kind == KIND(GPU) || ((int)group->kind == KIND(AUTO) && group->n_gpus > 0);
    if (!wants_gpu || !devices->gpu_fallback_cpu || supported_count(devices) > 0) {
        return;
    }
    if (group->n_gpus > 0) {
        int64_t count = (group->count < 1 ? 1 : group->count) * (int64_t)group->n_gpus;
        group->count = count > INT32_MAX ? INT32_MAX : (int32_t)count;
    }
    group->kind = KIND(CPU);
    group->n_gpus = 0;
    LOG_WARN("instance group %s of model %s asks for a GPU but no GPUs are available; it is placed "
             "on the CPU",
             group->name, config->name);
}

// Puts the map's numbers into the group. Two listed GPUs that become one are one: the group asked for `count` instances on each
// GPU, not for several times as many on one.
static void map_gpus(const Inference__ModelConfig *config, Inference__ModelInstanceGroup *group,
                     const struct config_devices *devices)
{
    size_t kept = 0;
    for (size_t i = 0; i < group->n_gpus && supported_count(devices) > 0; i++) {
        int32_t from = group->gpus[i];
        int32_t to = config_map_gpu(devices, from);
        if (to != from) {
            LOG_WARN("instance group %s of model %s asks for GPU %" PRId32 "; %s: it is placed on "
                     "GPU %" PRId32,
                     group->name, config->name, from,
                     devices->map.kind == CONFIG_GPU_MAP_PAIRS
                         ? "the GPU map has another for it"
                         : "this machine has no such GPU that could be used",
                     to);
        }
        bool known = false;
        for (size_t k = 0; k < kept && to != from; k++) {
            known = known || group->gpus[k] == to;
        }
        if (!known) {
            group->gpus[kept++] = to;
        }
    }
    if (supported_count(devices) > 0) {
        group->n_gpus = kept;
    }
}

// Fills count and GPUs from the preferred groups of the same kind, the first that has them.
static struct nrd_status *apply_preferred(Inference__ModelInstanceGroup *group,
                                          const struct config_devices *devices,
                                          Inference__ModelInstanceGroup *const *preferred,
                                          size_t preferred_count)
{
    for (size_t i = 0; i < preferred_count; i++) {
        if (group->kind != preferred[i]->kind) {
            continue;
        }
        if ((int)group->kind == KIND(GPU) && group->n_gpus == 0 && preferred[i]->n_gpus > 0) {
            NRD_TRY(add_gpus(group, preferred[i], devices, true));
            if (group->n_gpus == 0) {
                continue;
            }
        }
        if (group->count < 1 && preferred[i]->count > 0) {
            group->count = preferred[i]->count;
        }
    }
    return NULL;
}

// Two instances are the default only on the CPU, and only for the two backends that gain by it.
static int32_t default_count(const Inference__ModelInstanceGroup *group, const char *backend)
{
    bool two = (int)group->kind == KIND(CPU) && (strcmp(backend, BACKEND_TENSORFLOW) == 0 ||
                                                 strcmp(backend, BACKEND_ONNXRUNTIME) == 0);
    return two ? 2 : 1;
}

struct nrd_status *config_normalize_instances(Inference__ModelConfig *config,
                                              const struct config_devices *devices,
                                              Inference__ModelInstanceGroup *const *preferred,
                                              size_t preferred_count)
{
    if (is_ensemble(config)) {
        return NULL;
    }
    if (config->n_instance_group == 0) {
        NRD_TRY(add_default_group(config, devices, preferred, preferred_count));
    }
    for (size_t i = 0; i < config->n_instance_group; i++) {
        Inference__ModelInstanceGroup *group = config->instance_group[i];
        NRD_TRY(normalize_name(config, group, i));
        map_gpus(config, group, devices);
        fall_back(config, group, devices);
        resolve_auto(group, devices);
        NRD_TRY(apply_preferred(group, devices, preferred, preferred_count));
        if (group->count < 1) {
            group->count = default_count(group, config->backend);
        }
        bool all_gpus = (int)group->kind == KIND(GPU) && group->n_gpus == 0;
        for (size_t g = 0; all_gpus && g < devices->gpu_count; g++) {
            if (config_gpu_supported(devices, devices->gpus[g].id)) {
                NRD_TRY(add_gpu(group, devices->gpus[g].id));
            }
        }
    }
    return NULL;
}

// ---- checks -------------------------------------------------------------------------------------------------------

static struct nrd_status *refuse(const Inference__ModelConfig *config,
                                 const Inference__ModelInstanceGroup *group, const char *why)
{
    return status_new(NRD_INVALID_ARG, "instance group %s of model %s %s", group->name,
                      config->name, why);
}

static struct nrd_status *refuse_gpu(const Inference__ModelConfig *config,
                                     const Inference__ModelInstanceGroup *group, int32_t id,
                                     const struct config_devices *devices)
{
    bool lost = false;
    for (size_t i = 0; i < devices->gpu_count; i++) {
        lost = lost || (devices->gpus[i].id == id && devices->gpus[i].lost);
    }
    struct str text = STR_INIT;
    str_printf(&text,
               lost ? "is for GPU %" PRId32 ", which is lost"
                    : "specifies invalid or unsupported gpu id %" PRId32,
               id);
    str_printf(&text,
               ". GPUs with at least the minimum required CUDA compute compatibility of %f are: ",
               devices->min_compute_capability);
    const char *separator = "";
    for (size_t i = 0; i < devices->gpu_count; i++) {
        if (config_gpu_supported(devices, devices->gpus[i].id)) {
            str_printf(&text, "%s%" PRId32, separator, devices->gpus[i].id);
            separator = ", ";
        }
    }
    struct nrd_status *status = refuse(config, group, str_cstr(&text));
    str_fini(&text);
    return status;
}

static struct nrd_status *check_gpus(const Inference__ModelConfig *config,
                                     const Inference__ModelInstanceGroup *group,
                                     const struct config_devices *devices)
{
    if (group->n_gpus == 0) {
        return refuse(config, group,
                      supported_count(devices) == 0 ? "has kind KIND_GPU but no GPUs are available"
                                                    : "has kind KIND_GPU but specifies no GPUs");
    }
    for (size_t i = 0; i < group->n_gpus; i++) {
        if (!config_gpu_supported(devices, group->gpus[i])) {
            return refuse_gpu(config, group, group->gpus[i], devices);
        }
    }
    return NULL;
}

static struct nrd_status *check_kind(const Inference__ModelConfig *config,
                                     const Inference__ModelInstanceGroup *group,
                                     const struct config_devices *devices)
{
    switch ((int)group->kind) {
    case KIND(GPU):
        return check_gpus(config, group, devices);
    case KIND(MODEL):
        return group->n_gpus == 0
                   ? NULL
                   : refuse(config, group, "has kind KIND_MODEL but specifies one or more GPUs");
    case KIND(CPU):
        return group->n_gpus == 0
                   ? NULL
                   : refuse(config, group, "has kind KIND_CPU but specifies one or more GPUs");
    case KIND(AUTO):
    default:
        return status_new(NRD_INTERNAL,
                          "instance group %s of model %s has unexpected kind KIND_AUTO",
                          group->name, config->name);
    }
}

// A profile is named by its index. As in Triton, what follows the digits does not matter.
static struct nrd_status *check_profile(const Inference__ModelConfig *config,
                                        const Inference__ModelInstanceGroup *group,
                                        const char *profile)
{
    if (profile[0] == '\0') {
        return status_new(NRD_INVALID_ARG, "profile name must not be empty");
    }
    struct slice digits = {profile, 0};
    digits.ptr += strspn(profile, " \t\n\v\f\r");
    digits.len = strspn(digits.ptr, "+-");
    digits.len += strspn(digits.ptr + digits.len, "0123456789");
    int64_t index;
    if (!slice_to_i64(digits, &index) || index < INT32_MIN || index > INT32_MAX) {
        return status_new(NRD_INVALID_ARG, "unable to parse '%s': stoi", profile);
    }
    if (index < 0) {
        return status_new(NRD_INVALID_ARG,
                          "instance group %s of model %s and platform %s specifies invalid profile "
                          "%s. The field should contain the string representation of a "
                          "non-negative integer.",
                          group->name, config->name, config->platform, profile);
    }
    return NULL;
}

static struct nrd_status *check_profiles(const Inference__ModelConfig *config,
                                         const Inference__ModelInstanceGroup *group)
{
    if (group->n_profile > 0 && strcmp(config->platform, PLATFORM_TENSORRT) != 0) {
        // The missing blank is Triton's.
        return status_new(NRD_INVALID_ARG,
                          "instance group %s of model %s and platform %sspecifies profile field "
                          "which is only supported for TensorRT models",
                          group->name, config->name, config->platform);
    }
    for (size_t i = 0; i < group->n_profile; i++) {
        NRD_TRY(check_profile(config, group, group->profile[i]));
    }
    return NULL;
}

struct nrd_status *config_validate_instances(const Inference__ModelConfig *config,
                                             const struct config_devices *devices)
{
    if (is_ensemble(config)) {
        return NULL;
    }
    if (config->n_instance_group == 0) {
        return status_new(NRD_INVALID_ARG, "must specify one or more 'instance group's for %s",
                          config->name);
    }
    for (size_t i = 0; i < config->n_instance_group; i++) {
        NRD_TRY(check_kind(config, config->instance_group[i], devices));
        NRD_TRY(check_profiles(config, config->instance_group[i]));
    }
    return NULL;
}
