// SPDX-License-Identifier: Apache-2.0
// Checks of a whole configuration, in Triton's order and with its texts; schedulers have files of
// their own (validate_schedule.c, validate_ensemble.c), so have inputs and outputs (validate_io.c)
// and instance groups (instance_groups.c). Start at config_validate.
#include "config/validate.h"

#include "config/platform.h"

static struct nrd_status *check_backend(const Inference__ModelConfig *config)
{
    bool ensemble = strcmp(config->platform, PLATFORM_ENSEMBLE) == 0;
    if (config->backend[0] == '\0' && !ensemble) {
        return status_new(NRD_INVALID_ARG, "unexpected platform type '%s' for %s", config->platform,
                          config->name);
    }
    if (config->backend[0] != '\0' && ensemble) {
        return status_new(NRD_INVALID_ARG,
                          "Ensemble model '%s' must have platform type '%s' and empty backend type",
                          config->name, config->platform);
    }
    // Triton's table knows one platform a backend and so refuses "torch_aoti" and "libtorch", which
    // it documents. Here they are accepted.
    if (!platform_fits_backend(config->platform, config->backend)) {
        return status_new(NRD_INVALID_ARG, "unexpected 'platform' and 'backend' pair, got:%s, %s",
                          config->platform, config->backend);
    }
    return NULL;
}

static struct nrd_status *check_scheduler(const Inference__ModelConfig *config)
{
    switch ((int)config->scheduling_choice_case) {
    case INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_DYNAMIC_BATCHING:
        NRD_TRY(validate_dynamic(config));
        break;
    case INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_SEQUENCE_BATCHING:
        NRD_TRY(validate_sequence(config));
        break;
    case INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_ENSEMBLE_SCHEDULING:
        return validate_ensemble(config);
    case INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE__NOT_SET:
    default:
        break;
    }
    if (strcmp(config->platform, PLATFORM_ENSEMBLE) == 0) {
        return status_new(NRD_INVALID_ARG,
                          "ensemble scheduling must be set for ensemble %s whose platform is %s",
                          config->name, PLATFORM_ENSEMBLE);
    }
    return NULL;
}

static struct nrd_status *check_metrics(const Inference__ModelMetrics *metrics)
{
    for (size_t i = 0; i < metrics->n_metric_control; i++) {
        const Inference__ModelMetrics__MetricControl *control = metrics->metric_control[i];
        if (control->metric_identifier == NULL) {
            return status_new(NRD_INVALID_ARG, "metric control must specify 'metric_identifier'");
        }
        if (control->metric_identifier->family[0] == '\0') {
            return status_new(NRD_INVALID_ARG, "metric identifier must specify non-empty 'family'");
        }
        if (control->metric_options_case !=
            INFERENCE__MODEL_METRICS__METRIC_CONTROL__METRIC_OPTIONS_HISTOGRAM_OPTIONS) {
            return status_new(NRD_INVALID_ARG, "metric control must specify 'histogram_options'");
        }
        if (control->histogram_options->n_buckets == 0) {
            return status_new(NRD_INVALID_ARG,
                              "histogram options must specify non-empty 'buckets'");
        }
    }
    return NULL;
}

struct nrd_status *config_validate(const Inference__ModelConfig *config)
{
    if (config->name[0] == '\0') {
        return status_new(NRD_INVALID_ARG, "model configuration must specify 'name'");
    }
    NRD_TRY(check_backend(config));
    if (config->max_batch_size < 0) {
        return status_new(NRD_INVALID_ARG, "'max_batch_size' must be non-negative value for %s",
                          config->name);
    }
    if (config->version_policy == NULL) {
        return status_new(NRD_INVALID_ARG, "must specify 'version policy' for %s", config->name);
    }
    NRD_TRY(check_scheduler(config));
    bool decoupled =
        config->model_transaction_policy != NULL && config->model_transaction_policy->decoupled;
    if (decoupled && config->response_cache != NULL && config->response_cache->enable) {
        return status_new(NRD_INVALID_ARG,
                          "Response Cache does not currently support model %s with 'decoupled' "
                          "transaction policy. Please disable the response cache.",
                          config->name);
    }
    return config->model_metrics == NULL ? NULL : check_metrics(config->model_metrics);
}

struct nrd_status *config_check_directory(const Inference__ModelConfig *config,
                                          const char *directory_name)
{
    if (strcmp(config->name, directory_name) == 0) {
        return NULL;
    }
    return status_new(NRD_INVALID_ARG,
                      "unexpected directory name '%s' for model '%s', directory name must equal "
                      "model name",
                      directory_name, config->name);
}
