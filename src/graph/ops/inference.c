// SPDX-License-Identifier: Apache-2.0
// InferenceOp: runs models in this process, on devices that the application chooses. Holoscan's parameters; the models run in the core,
// so every backend that it loads will do (`backend` takes Holoscan's names and Triton's). See graph/infer/lane.h for how messages go.
//
// What Holoscan does otherwise: models are given as files and stay where they are, read-only folders included; a model whose
// device is not there goes to the processor, and the log says so; several messages may be on their way (max_in_flight).
#include <string.h>

#include "base/slice.h"
#include "graph/infer/lane.h"
#include "graph/infer/model_files.h"

struct inference {
    int64_t in_flight;
    const char *backend;
    const struct nrd_value *backend_map;
    const struct nrd_value *paths;
    const struct nrd_value *pre_processor;
    const struct nrd_value *inference;
    const struct nrd_value *devices;
    const struct nrd_value *temporal;
    const struct nrd_value *activation;
    struct nrd_string_list in_names;
    struct nrd_string_list out_names;
    bool in_parallel;
    bool on_cpu;
    bool strict_shapes;
    const char *fallback;
    struct nrd_resource *allocator;
    // What Holoscan has and this backend decides by itself, or does not need.
    bool input_on_cuda, output_on_cuda, transmit_on_cuda, fp16, cuda_graphs, engine_path,
        dynamic_dims;
    struct nrd_resource *streams;
    const struct nrd_value *profile;
    const struct nrd_value *dla, *dla_map;
    bool dla_fallback;

    struct model_files files;
    struct lane lane;
};

#define AT(field) offsetof(struct inference, field)
static const char *const allocator_kind[] = {"allocator", NULL};
static const char *const stream_pool_kind[] = {"cuda_stream_pool", NULL};

static const struct nrd_param params[] = {
    {.name = "backend",
     .type = NRD_PARAM_STRING,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(backend),
     .help = "Framework of all models: trt, onnxrt, torch, or a Triton backend; by each file's "
             "ending when absent."},
    {.name = "backend_map",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(backend_map),
     .help = "Framework by model, where they differ."},
    {.name = "model_path_map",
     .type = NRD_PARAM_VALUE,
     .offset = AT(paths),
     .help = "File of each model, or its directory in a model repository."},
    {.name = "pre_processor_map",
     .type = NRD_PARAM_VALUE,
     .offset = AT(pre_processor),
     .help = "Tensors that go into each model, in the order of its inputs."},
    {.name = "inference_map",
     .type = NRD_PARAM_VALUE,
     .offset = AT(inference),
     .help = "Names of the tensors that come out of each model, in the order of its outputs."},
    {.name = "in_tensor_names",
     .type = NRD_PARAM_STRING_LIST,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(in_names),
     .help = "Tensors that are expected; those of pre_processor_map when absent."},
    {.name = "out_tensor_names",
     .type = NRD_PARAM_STRING_LIST,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(out_names),
     .help = "Tensors that are sent; all of inference_map when absent."},
    {.name = "device_map",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(devices),
     .help = "Number of the GPU of each model. (A model that is named by its directory in a "
             "repository is where its own instance groups say.)"},
    {.name = "temporal_map",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(temporal),
     .help =
         "A model runs with every n-th message only; in between its last answer is sent again."},
    {.name = "activation_map",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(activation),
     .help = "0: the model does not run, and its last answer is sent again. Changed by messages on "
             "model_activation_specs."},
    {.name = "parallel_inference",
     .type = NRD_PARAM_BOOL,
     .offset = AT(in_parallel),
     .fallback = "true",
     .help = "Models run at once; otherwise one after the other."},
    {.name = "infer_on_cpu",
     .type = NRD_PARAM_BOOL,
     .offset = AT(on_cpu),
     .fallback = "false",
     .help = "All models run on the processor."},
    {.name = "gpu_fallback",
     .type = NRD_PARAM_STRING,
     .offset = AT(fallback),
     .fallback = "cpu",
     .help =
         "cpu: a model whose GPU is not there runs on another one, or on the processor where there "
         "is none; none: it is refused."},
    {.name = "max_in_flight",
     .type = NRD_PARAM_INT,
     .offset = AT(in_flight),
     .fallback = "1",
     .min = 1,
     .max = 64,
     .unit = "messages",
     .help = "Messages that may be in the models at once; they leave in order."},
    {.name = "strict_shapes",
     .type = NRD_PARAM_BOOL,
     .offset = AT(strict_shapes),
     .fallback = "false",
     .help = "A tensor must have the model's shape; otherwise one of as many elements will do, as "
             "in Holoscan."},
    {.name = "allocator",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(allocator),
     .choices = allocator_kind,
     .help = "Memory of the outputs."},
    {.name = "cuda_stream_pool",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(streams),
     .choices = stream_pool_kind,
     .help = "Taken for compatibility: backends have streams of their own."},
    {.name = "input_on_cuda",
     .type = NRD_PARAM_BOOL,
     .offset = AT(input_on_cuda),
     .fallback = "true",
     .help = "Taken for compatibility: tensors say themselves where they are."},
    {.name = "output_on_cuda",
     .type = NRD_PARAM_BOOL,
     .offset = AT(output_on_cuda),
     .fallback = "true",
     .help = "Taken for compatibility: outputs stay where the backend computed them."},
    {.name = "transmit_on_cuda",
     .type = NRD_PARAM_BOOL,
     .offset = AT(transmit_on_cuda),
     .fallback = "true",
     .help = "Taken for compatibility: outputs stay where the backend computed them."},
    {.name = "enable_fp16",
     .type = NRD_PARAM_BOOL,
     .offset = AT(fp16),
     .fallback = "false",
     .help = "Taken for compatibility: precision is the model file's."},
    {.name = "enable_cuda_graphs",
     .type = NRD_PARAM_BOOL,
     .offset = AT(cuda_graphs),
     .fallback = "true",
     .help = "Taken for compatibility: the backend's own setting counts."},
    {.name = "is_engine_path",
     .type = NRD_PARAM_BOOL,
     .offset = AT(engine_path),
     .fallback = "false",
     .help = "Taken for compatibility: a file's ending says what it is."},
    {.name = "dynamic_input_dims",
     .type = NRD_PARAM_BOOL,
     .offset = AT(dynamic_dims),
     .fallback = "false",
     .help = "Taken for compatibility: shapes may always change where the model allows it."},
    {.name = "trt_opt_profile",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(profile),
     .help = "Taken for compatibility: a plan brings its profiles."},
    {.name = "dla_core",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(dla),
     .help = "Refused unless -1: deep learning accelerators are not built."},
    {.name = "dla_core_map",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(dla_map),
     .help = "The same by model."},
    {.name = "dla_gpu_fallback",
     .type = NRD_PARAM_BOOL,
     .offset = AT(dla_fallback),
     .fallback = "true",
     .help = "Taken for compatibility: where there is no such accelerator, nothing falls back from "
             "it."},
    {0},
};

enum { IN_RECEIVERS, IN_ACTIVATION };
static const struct nrd_port inputs[] = {
    {.name = "receivers",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .flags = NRD_PORT_ANY_SIZE | NRD_PORT_NO_CONDITION,
     .help = "Messages whose tensors go into the models; one of each flow at a time."},
    {.name = "model_activation_specs",
     .policy = NRD_QUEUE_POP,
     .flags = NRD_PORT_OPTIONAL | NRD_PORT_NO_CONDITION,
     .help = "Metadata or tensors named as models: 0 turns a model off, 1 on."},
    {0},
};
static const struct nrd_port outputs[] = {
    {.name = "transmitter",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .help = "The models' outputs."},
    {0},
};

// ---- setup ----------------------------------------------------------------------------------------------------------

static struct nrd_status *bad(const struct nrd_value *at, const char *param, const char *model,
                              const char *what)
{
    if (nrd_value_line(at) > 0) {
        return status_new(NRD_INVALID_ARG, "%s:%d:%d: %s: model '%s' %s", nrd_value_file(at),
                          nrd_value_line(at), nrd_value_column(at), param, model, what);
    }
    return status_new(NRD_INVALID_ARG, "%s: model '%s' %s", param, model, what);
}

// The entries of a map that names tensors: a list, or one text.
static struct nrd_status *read_names(const struct nrd_value *map, const char *param,
                                     const char *model, const char **names, uint32_t expected,
                                     const char *what)
{
    const struct nrd_value *entry = nrd_value_get(map, model);
    if (entry == NULL) {
        return bad(map, param, model, "has no entry");
    }
    bool list = nrd_value_kind(entry) == NRD_VALUE_LIST;
    size_t count = list ? nrd_value_count(entry) : 1;
    if (count != expected) {
        struct nrd_status *status = status_new(
            NRD_INVALID_ARG, "names %zu tensors, and the model has %u %s", count, expected, what);
        struct nrd_status *full = bad(entry, param, model, status_text(status));
        status_free(status);
        return full;
    }
    for (size_t i = 0; i < count; i++) {
        names[i] = nrd_value_text(list ? nrd_value_at(entry, i) : entry);
    }
    return NULL;
}

static struct nrd_status *read_number(const struct nrd_value *map, const char *param,
                                      const char *model, int64_t min, int64_t max, int64_t *number)
{
    const struct nrd_value *entry = nrd_value_get(map, model);
    if (entry == NULL || nrd_value_kind(entry) == NRD_VALUE_NULL) {
        return NULL;
    }
    // Holoscan's maps hold texts: device_map: {"unet": "1"}.
    int64_t value = 0;
    if (!nrd_value_get_int(entry, &value) &&
        !slice_to_i64(slice_of(nrd_value_text(entry)), &value)) {
        return bad(entry, param, model, "has an entry that is no number");
    }
    if (value < min || value > max) {
        return bad(entry, param, model, "has a number that is out of range");
    }
    *number = value;
    return NULL;
}

static bool sends(const struct inference *self, const char *name)
{
    for (size_t i = 0; i < self->out_names.count; i++) {
        if (strcmp(self->out_names.items[i], name) == 0) {
            return true;
        }
    }
    return self->out_names.count == 0;
}

static struct nrd_status *open_model(struct inference *self, const char *name, const char *path)
{
    struct lane_model *m = &self->lane.models[self->lane.model_count];
    int64_t device = self->on_cpu ? MODEL_DEVICE_CPU : MODEL_DEVICE_ANY;
    int64_t period = 1;
    int64_t active = 1;
    if (!self->on_cpu) {
        NRD_TRY(read_number(self->devices, "device_map", name, 0, 1023, &device));
    }
    NRD_TRY(read_number(self->temporal, "temporal_map", name, 1, UINT32_MAX, &period));
    NRD_TRY(read_number(self->activation, "activation_map", name, 0, 1, &active));
    const struct nrd_value *backend = nrd_value_get(self->backend_map, name);
    const struct model_file file = {.model = name,
                                    .path = path,
                                    .backend =
                                        backend != NULL ? nrd_value_text(backend) : self->backend,
                                    .device = (int)device};
    NRD_TRY(model_files_add(&self->files, &file));
    const struct infer_options options = {.url = "inprocess",
                                          .repository = self->files.directory,
                                          .model = name,
                                          .gpu_fallback = self->fallback,
                                          .no_batching = true};
    NRD_TRY(infer_model_open(&options, &m->model));
    self->lane.model_count++;
    m->period = (uint32_t)period;
    m->wanted_gpu = device >= 0 ? (int)device : -1;
    m->idle = active == 0;
    NRD_TRY(read_names(self->pre_processor, "pre_processor_map", name, m->inputs,
                       m->model->input_count, "inputs"));
    NRD_TRY(read_names(self->inference, "inference_map", name, m->outputs, m->model->output_count,
                       "outputs"));
    for (uint32_t i = 0; i < m->model->output_count; i++) {
        m->outputs[i] = sends(self, m->outputs[i]) ? m->outputs[i] : NULL;
    }
    return NULL;
}

static struct nrd_status *setup(struct nrd_operator *op, void *state)
{
    struct inference *self = state;
    model_files_init(&self->files);
    self->lane.in_parallel = self->in_parallel;
    self->lane.reshape = !self->strict_shapes;
    self->lane.allocator = self->allocator;
    return lane_setup(&self->lane, op);
}

static struct nrd_status *refuse_accelerators(const struct inference *self)
{
    int64_t core = -1;
    if (self->dla != NULL && (!nrd_value_get_int(self->dla, &core) || core != -1)) {
        return status_new(NRD_UNSUPPORTED, "dla_core: deep learning accelerators are not built");
    }
    for (size_t i = 0; i < nrd_value_count(self->dla_map); i++) {
        const char *model = nrd_value_key(self->dla_map, i);
        NRD_TRY(read_number(self->dla_map, "dla_core_map", model, -1, 1023, &core));
        if (core != -1) {
            return bad(nrd_value_at(self->dla_map, i), "dla_core_map", model,
                       "asks for a deep learning accelerator, and those are not built");
        }
    }
    return NULL;
}

static struct nrd_status *initialize(struct nrd_operator *op, void *state)
{
    struct inference *self = state;
    (void)op;
    // What an initialize before that failed has left.
    lane_fini(&self->lane);
    model_files_fini(&self->files);
    NRD_TRY(refuse_accelerators(self));
    size_t count = nrd_value_kind(self->paths) == NRD_VALUE_MAP ? nrd_value_count(self->paths) : 0;
    if (count == 0 || count > LANE_MODELS_MAX) {
        return status_new(NRD_INVALID_ARG, "model_path_map names %zu models, expected 1 to %u",
                          count, LANE_MODELS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        NRD_TRY(open_model(self, nrd_value_key(self->paths, i),
                           nrd_value_text(nrd_value_at(self->paths, i))));
    }
    return lane_init(&self->lane, (uint32_t)self->in_flight);
}

// ---- running --------------------------------------------------------------------------------------------------------

static void set_active(struct inference *self, const char *model, bool active)
{
    for (uint32_t i = 0; i < self->lane.model_count; i++) {
        if (strcmp(self->lane.models[i].model->name, model) == 0) {
            self->lane.models[i].idle = !active;
        }
    }
}

// Metadata {model: 0 or 1}, or one-element tensors named so.
static void read_activation(struct inference *self, const struct nrd_message *message)
{
    const struct nrd_value *metadata = nrd_message_metadata(message);
    for (size_t i = 0; i < nrd_value_count(metadata); i++) {
        const char *text = nrd_value_text(nrd_value_at(metadata, i));
        set_active(self, nrd_value_key(metadata, i),
                   strcmp(text, "0") != 0 && strcmp(text, "false") != 0);
    }
    for (size_t i = 0; i < nrd_message_tensor_count(message); i++) {
        const char *name;
        const struct nrd_tensor *tensor = nrd_message_tensor_at(message, i, &name);
        if (tensor->memory != NRD_MEMORY_GPU && tensor->byte_size > 0) {
            set_active(self, name, *(const unsigned char *)tensor->data != 0);
        }
    }
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *state)
{
    struct inference *self = state;
    struct nrd_message *message;
    while ((message = nrd_receive(ctx, IN_ACTIVATION)) != NULL) {
        read_activation(self, message);
        nrd_message_unref(message);
        nrd_metadata_clear(ctx); // it was an instruction, not a part of the answers
    }
    return lane_compute(&self->lane, ctx, IN_RECEIVERS, 0);
}

static struct nrd_status *stop(struct nrd_operator *op, void *state)
{
    struct inference *self = state;
    (void)op;
    lane_stop(&self->lane);
    return NULL;
}

static void destroy(struct nrd_operator *op, void *state)
{
    struct inference *self = state;
    (void)op;
    lane_fini(&self->lane);
    model_files_fini(&self->files);
}

const struct nrd_operator_class inference_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "InferenceOp",
    .summary = "Runs models in this process, each on the device that is chosen for it.",
    .state_size = sizeof(struct inference),
    .params = params,
    .inputs = inputs,
    .outputs = outputs,
    .setup = setup,
    .initialize = initialize,
    .compute = compute,
    .stop = stop,
    .destroy = destroy,
};
