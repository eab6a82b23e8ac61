// SPDX-License-Identifier: Apache-2.0
// TritonInferenceOp: asks one model of a model repository that is served here, on this machine or elsewhere, by one parameter:
// `server_url` is "localhost:8000" (HTTP), "grpc://host:8001", or "inprocess" with `model_repository`. A server on this machine gets
// tensors through shared memory where it takes them so. Pictures may go in as they are: `preprocess: auto` brings 8-bit ones to
// the size, layout and range that the model's input has.
#include <string.h>

#include "base/status.h"
#include "graph/infer/lane.h"
#include "graph/infer/picture.h"

struct triton_inference {
    const char *model;
    const char *url;
    const char *version;
    const char *repository;
    const char *fallback;
    struct nrd_string_list in_names;
    struct nrd_string_list out_names;
    int64_t timeout_ns;
    int64_t retries;
    int64_t retry_delay_ns;
    int64_t in_flight;
    bool shared_memory;
    int on_error;
    int preprocess;
    bool strict_shapes;
    struct nrd_resource *allocator;

    struct lane lane;
    struct picture_fit fit;
};

#define AT(field) offsetof(struct triton_inference, field)
static const char *const allocator_kind[] = {"allocator", NULL};
static const char *const on_error_choices[] = {[LANE_STOP] = "stop", [LANE_DROP] = "drop", NULL};
enum { PREPROCESS_NONE, PREPROCESS_AUTO };
static const char *const preprocess_choices[] = {
    [PREPROCESS_NONE] = "none", [PREPROCESS_AUTO] = "auto", NULL};

static const struct nrd_param params[] = {
    {.name = "model_name", .type = NRD_PARAM_STRING, .offset = AT(model), .help = "The model."},
    {.name = "server_url",
     .type = NRD_PARAM_STRING,
     .offset = AT(url),
     .fallback = "localhost:8000",
     .help =
         "host:port or http://host:port, grpc://host:port (https, grpcs with TLS), or inprocess."},
    {.name = "model_version",
     .type = NRD_PARAM_STRING,
     .offset = AT(version),
     .fallback = "''",
     .help = "The version; the highest that is ready when empty."},
    {.name = "model_repository",
     .type = NRD_PARAM_STRING,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(repository),
     .help = "With inprocess: the model repository."},
    {.name = "gpu_fallback",
     .type = NRD_PARAM_STRING,
     .offset = AT(fallback),
     .fallback = "cpu",
     .help = "With inprocess: cpu, or none, for models whose GPU is not there."},
    {.name = "in_tensor_names",
     .type = NRD_PARAM_STRING_LIST,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(in_names),
     .help = "Tensors for the model's inputs, in order; by the inputs' names, or the only one, "
             "when absent."},
    {.name = "out_tensor_names",
     .type = NRD_PARAM_STRING_LIST,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(out_names),
     .help = "Names of the tensors that are sent, in the order of the model's outputs; the "
             "outputs' names when absent."},
    {.name = "preprocess",
     .type = NRD_PARAM_CHOICE,
     .offset = AT(preprocess),
     .fallback = "none",
     .choices = preprocess_choices,
     .help = "auto: an 8-bit picture is scaled to the input's size and brought to its layout, and "
             "to 0..1 where it is floating."},
    {.name = "strict_shapes",
     .type = NRD_PARAM_BOOL,
     .offset = AT(strict_shapes),
     .fallback = "true",
     .help = "A tensor must have the model's shape, but for the batch dimension."},
    {.name = "timeout",
     .type = NRD_PARAM_DURATION,
     .offset = AT(timeout_ns),
     .fallback = "30s",
     .unit = "ns",
     .help = "How long an answer of a server may take; 0: for ever."},
    {.name = "retries",
     .type = NRD_PARAM_INT,
     .offset = AT(retries),
     .fallback = "3",
     .min = 0,
     .max = 1000,
     .help = "How often a server that cannot be reached is tried again."},
    {.name = "retry_delay",
     .type = NRD_PARAM_DURATION,
     .offset = AT(retry_delay_ns),
     .fallback = "100ms",
     .unit = "ns",
     .help = "Before the first of these; doubles each time."},
    {.name = "max_in_flight",
     .type = NRD_PARAM_INT,
     .offset = AT(in_flight),
     .fallback = "0",
     .min = 0,
     .max = 64,
     .unit = "messages",
     .help = "Messages that may be with the model at once; they leave in order. 0: 1 in process, 4 "
             "to a server."},
    {.name = "shared_memory",
     .type = NRD_PARAM_BOOL,
     .offset = AT(shared_memory),
     .fallback = "true",
     .help = "Use shared memory with a server on this machine, where it allows that."},
    {.name = "on_error",
     .type = NRD_PARAM_CHOICE,
     .offset = AT(on_error),
     .fallback = "stop",
     .choices = on_error_choices,
     .help = "stop: an error ends the run; drop: it is logged, and its message goes no further."},
    {.name = "allocator",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(allocator),
     .choices = allocator_kind,
     .help = "Memory of the outputs."},
    {0},
};

static const struct nrd_port inputs[] = {
    {.name = "receivers",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .flags = NRD_PORT_ANY_SIZE | NRD_PORT_NO_CONDITION,
     .help = "Messages whose tensors go into the model; one of each flow at a time."},
    {0},
};
static const struct nrd_port outputs[] = {
    {.name = "transmitter",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .help = "The model's outputs."},
    {0},
};

static struct nrd_status *prepare(struct nrd_operator *op, const struct infer_spec *spec,
                                  struct nrd_tensor *tensor, struct nrd_tensor **prepared)
{
    struct triton_inference *self = nrd_operator_state(op);
    return picture_fit_apply(&self->fit, op, spec, tensor, prepared);
}

static struct nrd_status *setup(struct nrd_operator *op, void *state)
{
    struct triton_inference *self = state;
    self->lane.in_parallel = true;
    self->lane.reshape = !self->strict_shapes;
    self->lane.on_error = (enum lane_on_error)self->on_error;
    self->lane.allocator = self->allocator;
    self->lane.prepare = self->preprocess == PREPROCESS_AUTO ? prepare : NULL;
    return lane_setup(&self->lane, op);
}

static struct nrd_status *name_tensors(struct triton_inference *self, struct lane_model *m)
{
    const struct infer_model *model = m->model;
    if (self->in_names.count != 0 && self->in_names.count != model->input_count) {
        return status_new(NRD_INVALID_ARG,
                          "in_tensor_names has %zu names, and model '%s' has %u inputs",
                          self->in_names.count, model->name, model->input_count);
    }
    if (self->out_names.count > model->output_count) {
        return status_new(NRD_INVALID_ARG,
                          "out_tensor_names has %zu names, and model '%s' has %u outputs",
                          self->out_names.count, model->name, model->output_count);
    }
    for (uint32_t i = 0; i < model->input_count; i++) {
        // A model of one input takes the only tensor, whatever its name.
        m->inputs[i] = self->in_names.count > 0  ? self->in_names.items[i]
                       : model->input_count == 1 ? ""
                                                 : model->inputs[i].name;
    }
    for (uint32_t i = 0; i < model->output_count; i++) {
        m->outputs[i] = self->out_names.count == 0  ? model->outputs[i].name
                        : i < self->out_names.count ? self->out_names.items[i]
                                                    : NULL;
    }
    return NULL;
}

static struct nrd_status *initialize(struct nrd_operator *op, void *state)
{
    struct triton_inference *self = state;
    (void)op;
    lane_fini(&self->lane); // what an initialize before that failed has left
    bool here = strcmp(self->url, "inprocess") == 0;
    const struct infer_options options = {
        .url = self->url,
        .repository = self->repository,
        .model = self->model,
        .version = self->version,
        .timeout_ns = self->timeout_ns,
        .retries = (uint32_t)self->retries,
        .retry_delay_ns = self->retry_delay_ns,
        .shared_memory = self->shared_memory,
        .gpu_fallback = self->fallback,
    };
    struct lane_model *m = &self->lane.models[0];
    NRD_TRY(infer_model_open(&options, &m->model));
    self->lane.model_count = 1;
    m->wanted_gpu = -1;
    NRD_TRY(name_tensors(self, m));
    int64_t depth = self->in_flight != 0 ? self->in_flight : here ? 1 : 4;
    return lane_init(&self->lane, (uint32_t)depth);
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *state)
{
    struct triton_inference *self = state;
    return lane_compute(&self->lane, ctx, 0, 0);
}

static struct nrd_status *stop(struct nrd_operator *op, void *state)
{
    struct triton_inference *self = state;
    if (self->lane.dropped > 0) {
        nrd_operator_log(op, NRD_LOG_WARNING, "%llu messages were dropped",
                         (unsigned long long)self->lane.dropped);
    }
    lane_stop(&self->lane);
    return NULL;
}

static void destroy(struct nrd_operator *op, void *state)
{
    struct triton_inference *self = state;
    (void)op;
    lane_fini(&self->lane);
    picture_fit_fini(&self->fit);
}

const struct nrd_operator_class triton_inference_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "TritonInferenceOp",
    .summary = "Asks a model of a server, or of a model repository in this process.",
    .state_size = sizeof(struct triton_inference),
    .params = params,
    .inputs = inputs,
    .outputs = outputs,
    .setup = setup,
    .initialize = initialize,
    .compute = compute,
    .stop = stop,
    .destroy = destroy,
};
