// SPDX-License-Identifier: Apache-2.0
// Life, forms, merging and comparing of configurations: see model_config.h. Completing and checking
// have files of their own.
#include "config/model_config.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/json.h"
#include "proto/message.h"
#include "proto/text.h"

// ---- life ---------------------------------------------------------------------------------------------------------

Inference__ModelConfig *config_create(void)
{
    return (Inference__ModelConfig *)proto_create(&inference__model_config__descriptor);
}

void config_destroy(Inference__ModelConfig *config)
{
    proto_destroy((ProtobufCMessage *)config);
}

Inference__ModelConfig *config_copy(const Inference__ModelConfig *config)
{
    return (Inference__ModelConfig *)proto_copy(&config->base);
}

// ---- forms --------------------------------------------------------------------------------------------------------

struct nrd_status *config_from_text(struct slice text, const char *path,
                                    Inference__ModelConfig **config)
{
    Inference__ModelConfig *made = config_create();
    if (made == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = proto_text_read(text, &made->base);
    if (status == NULL) {
        *config = made;
        return NULL;
    }
    config_destroy(made);
    if (status_code(status) != NRD_INVALID_ARG) {
        return status;
    }
    LOG_ERR("Error parsing text-format %s: %s", inference__model_config__descriptor.name,
            status_text(status));
    status_free(status);
    return status_new(NRD_INTERNAL, "failed to read text proto from %s", path);
}

void config_to_text(const Inference__ModelConfig *config, struct str *out)
{
    proto_text_write(&config->base, out);
}

static struct nrd_status *check_version(uint32_t version)
{
    return version == 1 ? NULL
                        : status_new(NRD_INVALID_ARG,
                                     "model configuration version %u not supported, supported "
                                     "versions are: 1",
                                     version);
}

struct nrd_status *config_from_json(struct slice json, uint32_t version,
                                    Inference__ModelConfig **config)
{
    NRD_TRY(check_version(version));
    Inference__ModelConfig *made = config_create();
    if (made == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = proto_json_read(json, &made->base);
    if (status != NULL) {
        config_destroy(made);
        return status;
    }
    *config = made;
    return NULL;
}

// Triton turns protobuf's quoted 64-bit integers into numbers field by field, and forgets three.
// Backends that were built for it read those as strings, so they stay strings.
static bool is_quoted(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field)
{
    (void)field;
    return type == &inference__model_sequence_batching__initial_state__descriptor ||
           type == &inference__model_instance_group__secondary_device__descriptor ||
           type == &inference__model_optimization_policy__cuda__graph_spec__shape__descriptor;
}

struct nrd_status *config_to_json(const Inference__ModelConfig *config, uint32_t version,
                                  struct str *out)
{
    NRD_TRY(check_version(version));
    if (!proto_is_empty(&config->base)) {
        proto_json_write(&config->base, is_quoted, out);
    }
    return str_status(out);
}

char *config_file_path(const char *model_dir, const char *config_name)
{
    if (config_name != NULL && config_name[0] != '\0') {
        struct str path = STR_INIT;
        str_printf(&path, "%s/configs/%s.pbtxt", model_dir, config_name);
        if (!path.failed && file_exists(str_cstr(&path))) {
            return str_take(&path);
        }
        bool failed = path.failed;
        str_fini(&path);
        if (failed) {
            return NULL;
        }
    }
    return path_join(model_dir, "config.pbtxt");
}

static struct nrd_status *load_file(const char *path, bool allow_missing,
                                    Inference__ModelConfig **config, bool *provided)
{
    if (allow_missing && !file_exists(path)) {
        *config = config_create();
        *provided = false;
        return *config == NULL ? status_no_memory() : NULL;
    }
    struct str text = STR_INIT;
    struct nrd_status *status = file_read(path, 0, &text);
    if (status == NULL) {
        status = config_from_text(str_slice(&text), path, config);
    }
    str_fini(&text);
    if (status == NULL) {
        *provided = true;
    }
    return status;
}

struct nrd_status *config_load(const char *model_dir, const char *config_name, bool allow_missing,
                               Inference__ModelConfig **config, bool *provided)
{
    char *path = config_file_path(model_dir, config_name);
    if (path == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = load_file(path, allow_missing, config, provided);
    mem_free(path);
    return status;
}

// ---- merging ------------------------------------------------------------------------------------------------------

// Exchanges the contents of two messages of one type.
static void swap_configs(Inference__ModelConfig *a, Inference__ModelConfig *b)
{
    Inference__ModelConfig kept = *a;
    *a = *b;
    *b = kept;
}

// Exchanges inputs and outputs: what was there is freed with `update`.
static void take_tensors(Inference__ModelConfig *config, Inference__ModelConfig *update)
{
    Inference__ModelConfig kept = *config;
    config->n_input = update->n_input;
    config->input = update->input;
    config->n_output = update->n_output;
    config->output = update->output;
    update->n_input = kept.n_input;
    update->input = kept.input;
    update->n_output = kept.n_output;
    update->output = kept.output;
}

static struct nrd_status *take_scheduler(Inference__ModelConfig *config,
                                         Inference__ModelConfig *update)
{
    int mine = (int)config->scheduling_choice_case;
    int theirs = (int)update->scheduling_choice_case;
    if (mine == theirs) {
        return NULL;
    }
    if (mine != 0) {
        // Triton prints the configured one twice.
        return status_new(NRD_INTERNAL,
                          "Cannot update scheduling choice from %d to %d when auto-completing.",
                          mine, mine);
    }
    // The members of the union are pointers all, so one exchange moves any of them.
    config->scheduling_choice_case = update->scheduling_choice_case;
    config->dynamic_batching = update->dynamic_batching;
    update->scheduling_choice_case = INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE__NOT_SET;
    update->dynamic_batching = NULL;
    return NULL;
}

static struct nrd_status *take_decoupled(Inference__ModelConfig *config,
                                         const Inference__ModelConfig *update)
{
    if (update->model_transaction_policy == NULL) {
        return NULL;
    }
    if (config->model_transaction_policy == NULL) {
        const ProtobufCFieldDescriptor *field =
            proto_field(config->base.descriptor, SLICE("model_transaction_policy"));
        if (proto_open(&config->base, field) == NULL) {
            return status_no_memory();
        }
    }
    config->model_transaction_policy->decoupled = update->model_transaction_policy->decoupled;
    return NULL;
}

// `config` is a copy that is thrown away on error.
static struct nrd_status *merge_into(Inference__ModelConfig *config, Inference__ModelConfig *update)
{
    config->max_batch_size = update->max_batch_size;
    take_tensors(config, update);
    NRD_TRY(take_scheduler(config, update));
    NRD_TRY(take_decoupled(config, update));
    return config_normalize(config);
}

struct nrd_status *config_merge_backend(Inference__ModelConfig *config, struct slice json,
                                        uint32_t version)
{
    Inference__ModelConfig *update = NULL;
    NRD_TRY(config_from_json(json, version, &update));
    Inference__ModelConfig *merged = config_copy(config);
    struct nrd_status *status = merged == NULL ? status_no_memory() : merge_into(merged, update);
    if (status == NULL) {
        swap_configs(config, merged);
    }
    config_destroy(merged);
    config_destroy(update);
    return status;
}

// ---- comparing ----------------------------------------------------------------------------------------------------

bool config_change_needs_reload(const Inference__ModelConfig *before,
                                const Inference__ModelConfig *after)
{
    static const uint32_t ignored[] = {7, 3}; // instance_group, version_policy
    return !proto_equal(&before->base, &after->base, ignored, 2);
}

bool config_equal(const Inference__ModelConfig *a, const Inference__ModelConfig *b)
{
    return proto_equal(&a->base, &b->base, NULL, 0);
}

bool config_same_instances(const Inference__ModelInstanceGroup *a,
                           const Inference__ModelInstanceGroup *b)
{
    static const uint32_t ignored[] = {1, 2}; // name, count
    return proto_equal(&a->base, &b->base, ignored, 2);
}

void config_instance_signature(const Inference__ModelInstanceGroup *group, struct str *out)
{
    Inference__ModelInstanceGroup plain = *group;
    static char name[] = "[Normalized]";
    plain.name = name;
    plain.count = 1;
    size_t size = protobuf_c_message_get_packed_size(&plain.base);
    char *place = str_reserve(out, size);
    if (place != NULL) {
        out->len += protobuf_c_message_pack(&plain.base, (uint8_t *)place);
        out->ptr[out->len] = '\0';
    }
}
