// SPDX-License-Identifier: Apache-2.0
// The data flow of an ensemble: every tensor is written once, every output can be reached from the
// inputs, and nothing is left over. Texts are Triton's. Start at validate_ensemble.
//
// A tensor is written by one step at most, so the graph needs no edges: the tensors before a tensor
// are the inputs of the step that writes it. Maps in a configuration never hold a key twice
// (proto/message.h), so neither does a step.
#include "base/map.h"
#include "base/mem.h"
#include "config/platform.h"
#include "config/validate.h"

struct tensor {
    const char *name;                               // borrowed from the configuration
    const Inference__ModelEnsembling__Step *writer; // NULL: no step writes it
    bool is_read;
    bool is_ready;  // an input of the ensemble, or written by a step whose inputs are all ready
    bool is_output; // of the ensemble
    bool is_seen;   // while looking for what is missing
};
struct flow {
    const Inference__ModelConfig *config;
    struct tensor *tensors; // in the order of first mention
    size_t count;
    struct map by_name; // to elements of `tensors`
};

static struct tensor *find(const struct flow *flow, const char *name)
{
    return map_get(&flow->by_name, slice_of(name));
}

// Finds or adds; `tensors` has room for all.
static struct nrd_status *mention(struct flow *flow, const char *name, struct tensor **out)
{
    *out = find(flow, name);
    if (*out != NULL) {
        return NULL;
    }
    struct tensor *tensor = &flow->tensors[flow->count];
    NRD_TRY(map_put(&flow->by_name, slice_of(name), tensor, NULL));
    flow->count++;
    tensor->name = name;
    *out = tensor;
    return NULL;
}

// ---- building -----------------------------------------------------------------------------------------------------

static struct nrd_status *add_step(struct flow *flow, size_t index)
{
    const char *ensemble = flow->config->name;
    const Inference__ModelEnsembling__Step *step = flow->config->ensemble_scheduling->step[index];
    const char *missing = step->model_name[0] == '\0' ? "model_name"
                          : step->n_input_map == 0    ? "input_map"
                          : step->n_output_map == 0   ? "output_map"
                                                      : NULL;
    if (missing != NULL) {
        return status_new(NRD_INVALID_ARG, "must specify '%s' in step %zu of ensemble '%s'",
                          missing, index, ensemble);
    }
    struct tensor *tensor;
    for (size_t i = 0; i < step->n_output_map; i++) {
        NRD_TRY(mention(flow, step->output_map[i]->value, &tensor));
        if (tensor->writer != NULL) {
            return status_new(NRD_INVALID_ARG,
                              "ensemble tensor '%s' can appear in an output map only once for "
                              "ensemble '%s' step %zu",
                              tensor->name, ensemble, index);
        }
        tensor->writer = step;
    }
    for (size_t i = 0; i < step->n_input_map; i++) {
        NRD_TRY(mention(flow, step->input_map[i]->value, &tensor));
        tensor->is_read = true;
    }
    return NULL;
}

static struct nrd_status *flow_build(struct flow *flow)
{
    const Inference__ModelEnsembling *ensemble = flow->config->ensemble_scheduling;
    size_t room = 0;
    for (size_t i = 0; i < ensemble->n_step; i++) {
        room += ensemble->step[i]->n_input_map + ensemble->step[i]->n_output_map;
    }
    flow->tensors = mem_calloc(room + 1, sizeof(*flow->tensors));
    if (flow->tensors == NULL) {
        return status_no_memory();
    }
    for (size_t i = 0; i < ensemble->n_step; i++) {
        NRD_TRY(add_step(flow, i));
    }
    return NULL;
}

// ---- following ----------------------------------------------------------------------------------------------------

static bool inputs_are_ready(const struct flow *flow, const Inference__ModelEnsembling__Step *step)
{
    for (size_t i = 0; i < step->n_input_map; i++) {
        if (!find(flow, step->input_map[i]->value)->is_ready) {
            return false;
        }
    }
    return true;
}

// Runs each step that can be run, until none is left that tells something new.
static void flow_run(struct flow *flow)
{
    const Inference__ModelEnsembling *ensemble = flow->config->ensemble_scheduling;
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < ensemble->n_step; i++) {
            const Inference__ModelEnsembling__Step *step = ensemble->step[i];
            if (!inputs_are_ready(flow, step)) {
                continue;
            }
            for (size_t j = 0; j < step->n_output_map; j++) {
                struct tensor *tensor = find(flow, step->output_map[j]->value);
                changed = changed || !tensor->is_ready;
                tensor->is_ready = true;
            }
        }
    }
}

static struct tensor *unready_input(const struct flow *flow,
                                    const Inference__ModelEnsembling__Step *step)
{
    for (size_t i = 0; step != NULL && i < step->n_input_map; i++) {
        struct tensor *tensor = find(flow, step->input_map[i]->value);
        if (!tensor->is_ready && !tensor->is_seen) {
            return tensor;
        }
    }
    return NULL;
}

// Names the farthest tensor that keeps `output` from being written. In a circle that may be
// `output` itself.
static struct nrd_status *refuse_output(struct flow *flow, const struct tensor *output)
{
    const struct tensor *last = output;
    struct tensor *before;
    while ((before = unready_input(flow, last->writer)) != NULL) {
        before->is_seen = true;
        last = before;
    }
    if (last == output) {
        return status_new(NRD_INVALID_ARG, "output '%s' for ensemble '%s' is not written",
                          output->name, flow->config->name);
    }
    return status_new(NRD_INVALID_ARG,
                      "output '%s' for ensemble '%s' is not written: at least one of its depending "
                      "tensors, '%s', is not connected",
                      output->name, flow->config->name, last->name);
}

// The unpaired quote in two of these texts is Triton's.
static struct nrd_status *flow_check(struct flow *flow)
{
    const Inference__ModelConfig *config = flow->config;
    for (size_t i = 0; i < config->n_input; i++) {
        struct tensor *tensor = find(flow, config->input[i]->name);
        if (tensor == NULL) {
            return status_new(NRD_INVALID_ARG, "ensemble input '%s' for ensemble %s' is not used",
                              config->input[i]->name, config->name);
        }
        tensor->is_ready = true;
    }
    flow_run(flow);
    for (size_t i = 0; i < config->n_output; i++) {
        struct tensor *tensor = find(flow, config->output[i]->name);
        if (tensor == NULL) {
            return status_new(NRD_INVALID_ARG, "ensemble output '%s' for ensemble %s' is not used",
                              config->output[i]->name, config->name);
        }
        if (!tensor->is_ready) {
            return refuse_output(flow, tensor);
        }
        tensor->is_output = true;
    }
    for (size_t i = 0; i < flow->count; i++) {
        const struct tensor *tensor = &flow->tensors[i];
        if (!tensor->is_output && (!tensor->is_ready || !tensor->is_read)) {
            return status_new(NRD_INVALID_ARG, "ensemble tensor '%s' is unused in ensemble '%s'",
                              tensor->name, config->name);
        }
    }
    return NULL;
}

// ---- the whole ----------------------------------------------------------------------------------------------------

static struct nrd_status *check_fields(const Inference__ModelConfig *config)
{
    const char *name = config->name;
    if (strcmp(config->platform, PLATFORM_ENSEMBLE) != 0) {
        return status_new(
            NRD_INVALID_ARG,
            "ensemble scheduling cannot be set for model '%s' whose platform is not %s", name,
            PLATFORM_ENSEMBLE);
    }
    if (config->n_instance_group != 0) {
        return status_new(NRD_INVALID_ARG,
                          "instance group should not be specified for ensemble '%s'", name);
    }
    if (config->optimization != NULL) {
        return status_new(NRD_INVALID_ARG, "optimization should not be specified for ensemble '%s'",
                          name);
    }
    if (config->n_model_warmup != 0) {
        return status_new(NRD_INVALID_ARG, "model_warmup can not be specified for ensemble '%s'",
                          name);
    }
    if (config->ensemble_scheduling->n_step == 0) {
        return status_new(NRD_INVALID_ARG, "must specify 'step' for ensemble '%s'", name);
    }
    return NULL;
}

struct nrd_status *validate_ensemble(const Inference__ModelConfig *config)
{
    NRD_TRY(check_fields(config));
    struct flow flow = {.config = config};
    map_init(&flow.by_name);
    struct nrd_status *status = flow_build(&flow);
    if (status == NULL) {
        status = flow_check(&flow);
    }
    map_fini(&flow.by_name);
    mem_free(flow.tensors);
    return status;
}
