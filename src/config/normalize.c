// SPDX-License-Identifier: Apache-2.0
// The defaults of a configuration that need neither a file nor a device. Values are Triton's, and
// are written into the configuration so that clients who ask for it see what is in force.
#include "config/model_config.h"
#include "proto/message.h"

enum { SEQUENCE_IDLE_MICROSECONDS = 1000 * 1000 };

// Sets the empty message field `name` of `message`; NULL when memory is out.
static void *open_field(ProtobufCMessage *message, const char *name)
{
    void *place = proto_open(message, proto_field(message->descriptor, slice_of(name)));
    return place == NULL ? NULL : *(void **)place;
}

static struct nrd_status *normalize_version_policy(Inference__ModelConfig *config)
{
    if (config->version_policy != NULL) {
        return NULL;
    }
    Inference__ModelVersionPolicy *policy = open_field(&config->base, "version_policy");
    Inference__ModelVersionPolicy__Latest *latest =
        policy == NULL ? NULL : open_field(&policy->base, "latest");
    if (latest == NULL) {
        return status_no_memory();
    }
    latest->num_versions = 1;
    return NULL;
}

// A batcher that prefers no size prefers the largest.
static struct nrd_status *normalize_preferred(int32_t max_batch_size, int32_t **sizes,
                                              size_t *count)
{
    if (*count > 0 || max_batch_size <= 0) {
        return NULL;
    }
    int32_t *size = proto_grow(sizes, count, sizeof(*size));
    if (size == NULL) {
        return status_no_memory();
    }
    *size = max_batch_size;
    return NULL;
}

static struct nrd_status *normalize_sequence(Inference__ModelSequenceBatching *batching,
                                             int32_t max_batch_size)
{
    if (batching->max_sequence_idle_microseconds == 0) {
        batching->max_sequence_idle_microseconds = SEQUENCE_IDLE_MICROSECONDS;
    }
    if (batching->strategy_choice_case !=
        INFERENCE__MODEL_SEQUENCE_BATCHING__STRATEGY_CHOICE_OLDEST) {
        return NULL;
    }
    return normalize_preferred(max_batch_size, &batching->oldest->preferred_batch_size,
                               &batching->oldest->n_preferred_batch_size);
}

static struct nrd_status *normalize_pinned(Inference__ModelOptimizationPolicy *optimization,
                                           const char *name)
{
    Inference__ModelOptimizationPolicy__PinnedMemoryBuffer *buffer =
        open_field(&optimization->base, name);
    if (buffer == NULL) {
        return status_no_memory();
    }
    buffer->enable = true;
    return NULL;
}

static struct nrd_status *normalize_optimization(Inference__ModelConfig *config)
{
    if (config->optimization == NULL && open_field(&config->base, "optimization") == NULL) {
        return status_no_memory();
    }
    if (config->optimization->input_pinned_memory == NULL) {
        NRD_TRY(normalize_pinned(config->optimization, "input_pinned_memory"));
    }
    if (config->optimization->output_pinned_memory == NULL) {
        NRD_TRY(normalize_pinned(config->optimization, "output_pinned_memory"));
    }
    return NULL;
}

struct nrd_status *config_normalize(Inference__ModelConfig *config)
{
    NRD_TRY(normalize_version_policy(config));
    switch ((int)config->scheduling_choice_case) {
    case INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_DYNAMIC_BATCHING:
        NRD_TRY(normalize_preferred(config->max_batch_size,
                                    &config->dynamic_batching->preferred_batch_size,
                                    &config->dynamic_batching->n_preferred_batch_size));
        break;
    case INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_SEQUENCE_BATCHING:
        NRD_TRY(normalize_sequence(config->sequence_batching, config->max_batch_size));
        break;
    case INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_ENSEMBLE_SCHEDULING:
        return NULL; // an ensemble must not have an optimization
    case INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE__NOT_SET:
    default:
        break;
    }
    return normalize_optimization(config);
}
