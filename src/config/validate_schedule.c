// SPDX-License-Identifier: Apache-2.0
// The dynamic batcher and the sequence batcher of a configuration, and the sequence batcher's
// control tensors, which the scheduler reads by the same functions that check them. Texts are
// Triton's.
#include <inttypes.h>

#include "config/validate.h"
#include "proto/message.h"

#define CONTROL(name) INFERENCE__MODEL_SEQUENCE_BATCHING__CONTROL__KIND__CONTROL_SEQUENCE_##name

// ---- dynamic batcher ----------------------------------------------------------------------------------------------

static struct nrd_status *check_preferred(const Inference__ModelConfig *config, const char *what,
                                          const int32_t *sizes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] <= 0) {
            return status_new(NRD_INVALID_ARG, "%s must be positive for %s", what, config->name);
        }
        if (sizes[i] > config->max_batch_size) {
            return status_new(NRD_INVALID_ARG, "%s must be <= max batch size for %s", what,
                              config->name);
        }
    }
    return NULL;
}

static struct nrd_status *check_priorities(const Inference__ModelConfig *config)
{
    const Inference__ModelDynamicBatching *batching = config->dynamic_batching;
    uint64_t levels = batching->priority_levels;
    if (levels == 0) {
        return NULL;
    }
    if (batching->default_priority_level == 0 || batching->default_priority_level > levels) {
        return status_new(NRD_INVALID_ARG,
                          "default priority level must be in range [1, %" PRIu64 "] for %s", levels,
                          config->name);
    }
    for (size_t i = 0; i < batching->n_priority_queue_policy; i++) {
        uint64_t level = batching->priority_queue_policy[i]->key;
        if (level == 0 || level > levels) {
            return status_new(NRD_INVALID_ARG,
                              "priority queue policy must have priority level in range [1, %" PRIu64
                              "] for %s",
                              levels, config->name);
        }
    }
    return NULL;
}

// A policy may be absent: then it rejects.
static bool policy_delays(const Inference__ModelQueuePolicy *policy)
{
    return policy != NULL && policy->default_timeout_microseconds != 0 &&
           (int)policy->timeout_action == INFERENCE__MODEL_QUEUE_POLICY__TIMEOUT_ACTION__DELAY;
}

// Order cannot be kept where a request may be overtaken: by a more urgent one, or once it is late.
static struct nrd_status *check_ordering(const Inference__ModelConfig *config)
{
    const Inference__ModelDynamicBatching *batching = config->dynamic_batching;
    if (!batching->preserve_ordering) {
        return NULL;
    }
    if (batching->priority_levels > 1) {
        return status_new(
            NRD_INVALID_ARG,
            "Only one priority level is allowed when 'preserve_ordering' is true for %s",
            config->name);
    }
    bool delays = policy_delays(batching->default_queue_policy);
    for (size_t i = 0; i < batching->n_priority_queue_policy && !delays; i++) {
        delays = policy_delays(batching->priority_queue_policy[i]->value);
    }
    if (delays) {
        return status_new(NRD_INVALID_ARG,
                          "Queue policy can not have DELAY as timeout action when "
                          "'preserve_ordering' is true for %s",
                          config->name);
    }
    return NULL;
}

struct nrd_status *validate_dynamic(const Inference__ModelConfig *config)
{
    NRD_TRY(check_preferred(config, "dynamic batching preferred size",
                            config->dynamic_batching->preferred_batch_size,
                            config->dynamic_batching->n_preferred_batch_size));
    NRD_TRY(check_priorities(config));
    return check_ordering(config);
}

// ---- controls of the sequence batcher -----------------------------------------------------------------------------

static const char *kind_name(Inference__ModelSequenceBatching__Control__Kind kind)
{
    const char *name =
        proto_enum_name(&inference__model_sequence_batching__control__kind__descriptor, (int)kind);
    return name == NULL ? "" : name;
}

// Whether an earlier control input has the name of number `index`.
static bool is_repeated(const Inference__ModelSequenceBatching *batching, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(batching->control_input[i]->name, batching->control_input[index]->name) == 0) {
            return true;
        }
    }
    return false;
}

typedef struct nrd_status *read_control_fn(const Inference__ModelSequenceBatching__Control *message,
                                           const char *model_name, struct config_control *control);

// Walks all control inputs; `read` takes the control of that kind into `control`.
static struct nrd_status *find_control(const Inference__ModelSequenceBatching *batching,
                                       const char *model_name,
                                       Inference__ModelSequenceBatching__Control__Kind kind,
                                       bool required, read_control_fn *read,
                                       struct config_control *control)
{
    struct config_control found = {0};
    for (size_t i = 0; i < batching->n_control_input; i++) {
        const Inference__ModelSequenceBatching__ControlInput *input = batching->control_input[i];
        if (input->name[0] == '\0') {
            return status_new(NRD_INVALID_ARG,
                              "sequence batching control tensor must have a name for %s",
                              model_name);
        }
        if (is_repeated(batching, i)) {
            return status_new(NRD_INVALID_ARG,
                              "sequence batching control tensor '%s' is specified for multiple "
                              "control kinds for %s",
                              input->name, model_name);
        }
        for (size_t j = 0; j < input->n_control; j++) {
            if (input->control[j]->kind != kind) {
                continue;
            }
            if (found.tensor_name != NULL) {
                return status_new(NRD_INVALID_ARG,
                                  "sequence batching specifies multiple %s tensors for %s",
                                  kind_name(kind), model_name);
            }
            found.tensor_name = input->name;
            // cppcheck-suppress returnDanglingLifetime ; a status never points into what was read
            NRD_TRY(read(input->control[j], model_name, &found));
        }
    }
    if (found.tensor_name == NULL && required) {
        return status_new(NRD_INVALID_ARG,
                          "sequence batching control tensor must specify a %s value for %s",
                          kind_name(kind), model_name);
    }
    *control = found;
    return NULL;
}

static struct nrd_status *refuse_pair(const Inference__ModelSequenceBatching__Control *message,
                                      const char *model_name, const char *list)
{
    return status_new(NRD_INVALID_ARG,
                      "sequence batching control '%s' must have exactly 2 entries for %s for %s",
                      list, kind_name(message->kind), model_name);
}

static struct nrd_status *read_boolean(const Inference__ModelSequenceBatching__Control *message,
                                       const char *model_name, struct config_control *control)
{
    bool int32 = message->n_int32_false_true > 0;
    bool fp32 = message->n_fp32_false_true > 0;
    bool boolean = message->n_bool_false_true > 0;
    if (!int32 && !fp32 && !boolean) {
        return status_new(NRD_INVALID_ARG,
                          "sequence batching must specify either 'int32_false_true', "
                          "'fp32_false_true' or 'bool_false_true' for %s for %s",
                          kind_name(message->kind), model_name);
    }
    if (int32 + fp32 + boolean > 1) {
        return status_new(NRD_INVALID_ARG,
                          "sequence batching specifies more than one from 'int32_false_true', "
                          "'fp32_false_true' and 'bool_false_true' for %s for %s",
                          kind_name(message->kind), model_name);
    }
    if (int32 && message->n_int32_false_true != 2) {
        return refuse_pair(message, model_name, "int32_false_true");
    }
    if (fp32 && message->n_fp32_false_true != 2) {
        return refuse_pair(message, model_name, "fp32_false_true");
    }
    if (boolean && message->n_bool_false_true != 2) {
        return refuse_pair(message, model_name, "bool_false_true");
    }
    control->data_type = int32  ? INFERENCE__DATA_TYPE__TYPE_INT32
                         : fp32 ? INFERENCE__DATA_TYPE__TYPE_FP32
                                : INFERENCE__DATA_TYPE__TYPE_BOOL;
    for (int i = 0; i < 2; i++) {
        control->int32_false_true[i] = int32 ? message->int32_false_true[i] : 0;
        control->fp32_false_true[i] = fp32 ? message->fp32_false_true[i] : 0;
        control->bool_false_true[i] = boolean && message->bool_false_true[i];
    }
    return NULL;
}

static struct nrd_status *read_typed(const Inference__ModelSequenceBatching__Control *message,
                                     const char *model_name, struct config_control *control)
{
    if (message->n_int32_false_true > 0 || message->n_fp32_false_true > 0 ||
        message->n_bool_false_true > 0) {
        return status_new(NRD_INVALID_ARG,
                          "sequence batching must not specify either 'int32_false_true', "
                          "'fp32_false_true' or 'bool_false_true' for %s for %s",
                          kind_name(message->kind), model_name);
    }
    control->data_type = message->data_type;
    return NULL;
}

struct nrd_status *config_boolean_control(const Inference__ModelSequenceBatching *batching,
                                          const char *model_name,
                                          Inference__ModelSequenceBatching__Control__Kind kind,
                                          bool required, struct config_control *control)
{
    return find_control(batching, model_name, kind, required, read_boolean, control);
}

struct nrd_status *config_typed_control(const Inference__ModelSequenceBatching *batching,
                                        const char *model_name,
                                        Inference__ModelSequenceBatching__Control__Kind kind,
                                        bool required, struct config_control *control)
{
    return find_control(batching, model_name, kind, required, read_typed, control);
}

// ---- sequence batcher ---------------------------------------------------------------------------------------------

static struct nrd_status *check_correlation_id(const Inference__ModelConfig *config)
{
    struct config_control control;
    NRD_TRY(config_typed_control(config->sequence_batching, config->name, CONTROL(CORRID), false,
                                 &control));
    int type = (int)control.data_type;
    if (control.tensor_name == NULL || type == INFERENCE__DATA_TYPE__TYPE_UINT64 ||
        type == INFERENCE__DATA_TYPE__TYPE_INT64 || type == INFERENCE__DATA_TYPE__TYPE_UINT32 ||
        type == INFERENCE__DATA_TYPE__TYPE_INT32 || type == INFERENCE__DATA_TYPE__TYPE_STRING) {
        return NULL;
    }
    return status_new(NRD_INVALID_ARG,
                      "unexpected data type for control %s for %s. Allowed data types are "
                      "TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32 and TYPE_STRING",
                      kind_name(CONTROL(CORRID)), config->name);
}

static struct nrd_status *check_strategy(const Inference__ModelConfig *config)
{
    const Inference__ModelSequenceBatching *batching = config->sequence_batching;
    if (batching->strategy_choice_case ==
        INFERENCE__MODEL_SEQUENCE_BATCHING__STRATEGY_CHOICE_OLDEST) {
        return check_preferred(config, "sequence batching preferred batch size",
                               batching->oldest->preferred_batch_size,
                               batching->oldest->n_preferred_batch_size);
    }
    if (batching->strategy_choice_case ==
        INFERENCE__MODEL_SEQUENCE_BATCHING__STRATEGY_CHOICE_DIRECT) {
        float used = batching->direct->minimum_slot_utilization;
        if (used < 0.0F || used > 1.0F) {
            return status_new(NRD_INVALID_ARG,
                              "sequence batching minimum slot utilization must be in range (0.0, "
                              "1.0] for %s",
                              config->name);
        }
    }
    return NULL;
}

struct nrd_status *validate_sequence(const Inference__ModelConfig *config)
{
    static const Inference__ModelSequenceBatching__Control__Kind booleans[] = {
        CONTROL(START), CONTROL(END), CONTROL(READY)};
    if (config->response_cache != NULL && config->response_cache->enable) {
        return status_new(NRD_INVALID_ARG,
                          "Response Cache does not currently support model %s with sequence "
                          "batching scheduler. Please disable the response cache.",
                          config->name);
    }
    for (size_t i = 0; i < sizeof(booleans) / sizeof(booleans[0]); i++) {
        struct config_control control;
        NRD_TRY(config_boolean_control(config->sequence_batching, config->name, booleans[i], false,
                                       &control));
    }
    NRD_TRY(check_correlation_id(config));
    return check_strategy(config);
}
