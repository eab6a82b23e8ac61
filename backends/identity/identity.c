// SPDX-License-Identifier: Apache-2.0
// identity: answers each request with its own inputs. For tests, and for benchmarks of what lies
// around a backend; so the way of a request through it is a handful of calls and one copy.
//
// INPUT<n> comes back as OUTPUT<n>; where names are not of that form, the n-th input of the
// configuration comes back as the n-th output. Each pair has one data type and one shape. An
// optional input that a request does not bring, but whose output it wants, comes back as zeros
// (open dimensions as 1). Parameters of the model:
//   execute_delay_ms                sleep that long in each execution
//   instance_wise_delay_multiplier  instance n (from 0) sleeps max(1, n * this) times as long
//   creation_delay_sec              sleep that long in loading
//   response_parameters             "true": responses carry param0 (string), param1 (int), param2
//   input_byte_size_counter         "true": a metric of that name counts the bytes that came in
// Start at this_backend.
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "backends/common/batch.h"
#include "backends/common/entry.h"
#include "backends/common/model_config.h"
#include "base/str.h"
#include "nereid/ext/core.h"

NEREID_BACKEND_CPU_ONLY;

struct pair {
    const struct model_tensor *input;
    const struct model_tensor *output;
};

struct identity_model {
    struct model_config config;
    struct pair *pairs; // by output, in the configuration's order
    uint32_t pair_count;
    bool response_parameters;
    uint64_t delay_ns;
    uint64_t delay_multiplier;
    _Atomic uint32_t instance_count;
    TRITONSERVER_Metric *counter; // NULL unless asked for
};

struct identity_instance {
    struct identity_model *model;
    struct batch batch;
    uint64_t delay_ns;
};

// The metric family is one for all models of the backend, made by the first that wants it.
struct identity_backend {
    pthread_mutex_t mutex;
    TRITONSERVER_MetricFamily *family;
};

static void sleep_ns(uint64_t ns)
{
    struct timespec left = {.tv_sec = (time_t)(ns / 1000000000),
                            .tv_nsec = (long)(ns % 1000000000)};
    while (nanosleep(&left, &left) != 0) {
    }
}

static bool shapes_equal(struct model_shape a, struct model_shape b)
{
    return a.count == b.count &&
           (a.count == 0 || memcmp(a.dims, b.dims, a.count * sizeof(*a.dims)) == 0);
}

// The part of a name after its prefix; NULL when it has another prefix.
static const char *suffix(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(name, prefix, length) == 0 ? name + length : NULL;
}

static const struct model_tensor *find_input(const struct model_config *c, uint32_t output_index)
{
    const char *number = suffix(c->outputs[output_index].name, "OUTPUT");
    for (uint32_t i = 0; number != NULL && i < c->input_count; i++) {
        const char *other = suffix(c->inputs[i].name, "INPUT");
        if (other != NULL && strcmp(other, number) == 0) {
            return &c->inputs[i];
        }
    }
    return &c->inputs[output_index];
}

static TRITONSERVER_Error *check_pair(const struct pair *p)
{
    if (p->input->dtype != p->output->dtype) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "expected input and output datatype to match, got %s and %s",
                                 model_data_type_name(p->input->dtype),
                                 model_data_type_name(p->output->dtype));
    }
    struct model_shape in = model_tensor_shape(p->input);
    struct model_shape out = model_tensor_shape(p->output);
    if (shapes_equal(in, out)) {
        return NULL;
    }
    struct str a = STR_INIT;
    struct str b = STR_INIT;
    model_shape_print(in.dims, in.count, &a);
    model_shape_print(out.dims, out.count, &b);
    TRITONSERVER_Error *error = backend_error_new(
        TRITONSERVER_ERROR_INVALID_ARG, "expected input and output shape to match, got %s and %s",
        str_cstr(&a), str_cstr(&b));
    str_fini(&a);
    str_fini(&b);
    return error;
}

static TRITONSERVER_Error *make_pairs(struct identity_model *m)
{
    struct model_config *c = &m->config;
    if (c->input_count != c->output_count) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "model configuration must have equal input/output pairs");
    }
    m->pairs = arena_calloc(&c->arena, (size_t)c->output_count + 1, sizeof(*m->pairs));
    if (m->pairs == NULL) {
        return backend_no_memory();
    }
    for (uint32_t i = 0; i < c->output_count; i++) {
        m->pairs[i] = (struct pair){find_input(c, i), &c->outputs[i]};
        BACKEND_TRY(check_pair(&m->pairs[i]));
    }
    m->pair_count = c->output_count;
    return NULL;
}

static TRITONSERVER_Error *make_counter(struct identity_backend *backend, struct identity_model *m)
{
    TRITONSERVER_Error *error = NULL;
    pthread_mutex_lock(&backend->mutex);
    if (backend->family == NULL) {
        error = TRITONSERVER_MetricFamilyNew(
            &backend->family, TRITONSERVER_METRIC_KIND_COUNTER, "input_byte_size_counter",
            "Cumulative input byte size of all requests received by the model");
    }
    pthread_mutex_unlock(&backend->mutex);
    if (error != NULL) {
        return error;
    }
    struct str version = STR_INIT;
    str_append_u64(&version, m->config.version);
    TRITONSERVER_Parameter *labels[2] = {
        TRITONSERVER_ParameterNew("model", TRITONSERVER_PARAMETER_STRING, m->config.name),
        TRITONSERVER_ParameterNew("version", TRITONSERVER_PARAMETER_STRING, str_cstr(&version)),
    };
    const TRITONSERVER_Parameter *borrowed[2] = {labels[0], labels[1]};
    error = TRITONSERVER_MetricNew(&m->counter, backend->family, borrowed, 2);
    TRITONSERVER_ParameterDelete(labels[0]);
    TRITONSERVER_ParameterDelete(labels[1]);
    str_fini(&version);
    return error;
}

static TRITONSERVER_Error *read_parameters(struct identity_backend *backend,
                                           struct identity_model *m)
{
    struct slice value = {0};
    if (model_parameter(&m->config, "enable_custom_tracing", &value) && !slice_is(value, "false")) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "model '%s': parameter 'enable_custom_tracing' is not supported "
                                 "by the identity backend",
                                 m->config.name);
    }
    int delay_ms = 0;
    int multiplier = 0;
    int creation_sec = 0;
    bool counter = false;
    BACKEND_TRY(model_parameter_int(&m->config, "execute_delay_ms", &delay_ms));
    BACKEND_TRY(model_parameter_int(&m->config, "instance_wise_delay_multiplier", &multiplier));
    BACKEND_TRY(model_parameter_int(&m->config, "creation_delay_sec", &creation_sec));
    BACKEND_TRY(model_parameter_bool(&m->config, "response_parameters", &m->response_parameters));
    BACKEND_TRY(model_parameter_bool(&m->config, "input_byte_size_counter", &counter));
    m->delay_ns = delay_ms > 0 ? (uint64_t)delay_ms * 1000000 : 0;
    m->delay_multiplier = multiplier > 0 ? (uint64_t)multiplier : 0;
    if (creation_sec > 0) {
        sleep_ns((uint64_t)creation_sec * 1000000000);
    }
    return counter ? make_counter(backend, m) : NULL;
}

static TRITONSERVER_Error *refuse_decoupled(const struct model_config *config)
{
    const struct json_node *policy = json_get(config->root, "model_transaction_policy");
    const struct json_node *decoupled = policy == NULL ? NULL : json_get(policy, "decoupled");
    if (decoupled != NULL && decoupled->type == JSON_TRUE) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "model '%s': the identity backend does not support the decoupled "
                                 "transaction policy",
                                 config->name);
    }
    return NULL;
}

// ---- the backend, its models and instances ----

static TRITONSERVER_Error *backend_init(void *backend, TRITONBACKEND_Backend *handle,
                                        const struct backend_settings *settings)
{
    struct identity_backend *b = backend;
    (void)handle;
    (void)settings;
    pthread_mutex_init(&b->mutex, NULL);
    return NULL;
}

static void backend_fini(void *backend)
{
    struct identity_backend *b = backend;
    if (b->family != NULL) {
        backend_log_error(TRITONSERVER_MetricFamilyDelete(b->family),
                          "failed to delete the metric family");
    }
    pthread_mutex_destroy(&b->mutex);
}

static TRITONSERVER_Error *model_init(void *model, TRITONBACKEND_Model *handle, void *backend)
{
    struct identity_model *m = model;
    BACKEND_TRY(model_config_init(&m->config, handle));
    BACKEND_TRY(refuse_decoupled(&m->config));
    BACKEND_TRY(make_pairs(m));
    return read_parameters(backend, m);
}

static void model_fini(void *model)
{
    struct identity_model *m = model;
    if (m->counter != NULL) {
        backend_log_error(TRITONSERVER_MetricDelete(m->counter), "failed to delete the metric");
    }
    model_config_fini(&m->config);
}

static TRITONSERVER_Error *instance_init(void *instance, TRITONBACKEND_ModelInstance *handle,
                                         void *model, TRITONSERVER_InstanceGroupKind kind,
                                         int32_t gpu)
{
    struct identity_instance *s = instance;
    (void)gpu;
    s->model = model;
    batch_init(&s->batch, handle);
    if (kind != TRITONSERVER_INSTANCEGROUPKIND_CPU) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "'identity' backend only supports CPU instances");
    }
    uint64_t number = atomic_fetch_add_explicit(&s->model->instance_count, 1, memory_order_relaxed);
    uint64_t times = s->model->delay_multiplier * number;
    s->delay_ns = s->model->delay_ns * (times > 1 ? times : 1);
    return NULL;
}

static void instance_fini(void *instance)
{
    struct identity_instance *s = instance;
    batch_fini(&s->batch);
}

// ---- execution ----

static const struct pair *find_pair(const struct identity_model *m, const char *output)
{
    for (uint32_t i = 0; i < m->pair_count; i++) {
        if (strcmp(m->pairs[i].output->name, output) == 0) {
            return &m->pairs[i];
        }
    }
    return NULL;
}

static bool request_brings(TRITONBACKEND_Request *request, const char *name)
{
    uint32_t count = 0;
    TRITONSERVER_Error *error = TRITONBACKEND_RequestInputCount(request, &count);
    for (uint32_t i = 0; error == NULL && i < count; i++) {
        const char *input = NULL;
        error = TRITONBACKEND_RequestInputName(request, i, &input);
        if (error == NULL && strcmp(input, name) == 0) {
            return true;
        }
    }
    backend_log_error(error, "failed to read the inputs of a request");
    return false;
}

// The stand-in for an optional input that the request left out.
static TRITONSERVER_Error *echo_zeros(struct identity_instance *s, uint32_t index,
                                      const struct pair *pair)
{
    enum { MAX_DIMS = 64 };
    int64_t dims[MAX_DIMS];
    uint32_t count = 0;
    struct model_shape shape = model_tensor_shape(pair->input);
    if (shape.count >= MAX_DIMS) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED, "input '%s' has %u dimensions",
                                 pair->input->name, shape.count);
    }
    if (s->model->config.max_batch_size > 0) {
        dims[count++] = (int64_t)s->batch.items[index].rows;
    }
    for (uint32_t i = 0; i < shape.count; i++) {
        dims[count++] = shape.dims[i] < 0 ? 1 : shape.dims[i];
    }
    int64_t elements = 0;
    uint64_t element_size = TRITONSERVER_DataTypeByteSize(pair->input->dtype);
    if (element_size == 0) {
        element_size = sizeof(uint32_t); // an empty string is its length
    }
    if (!model_shape_elements(dims, count, &elements) ||
        (uint64_t)elements > SIZE_MAX / element_size) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG, "input '%s' is too large",
                                 pair->input->name);
    }
    uint64_t size = (uint64_t)elements * element_size;
    void *data = NULL;
    BACKEND_TRY(batch_output(&s->batch, index, pair->output->name, pair->output->dtype, dims, count,
                             size, &data));
    if (size > 0) {
        memset(data, 0, size);
    }
    return NULL;
}

static TRITONSERVER_Error *echo_output(struct identity_instance *s, uint32_t index,
                                       const char *name)
{
    const struct identity_model *m = s->model;
    const struct pair *pair = find_pair(m, name);
    if (pair == NULL) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unexpected inference output '%s' for model '%s'", name,
                                 m->config.name);
    }
    struct batch_input input = {0};
    if (m->pair_count == 1 && !pair->input->optional) {
        BACKEND_TRY(batch_input_at(&s->batch, index, 0, &input));
    } else if (pair->input->optional &&
               !request_brings(s->batch.items[index].request, pair->input->name)) {
        return echo_zeros(s, index, pair);
    } else {
        BACKEND_TRY(batch_input_get(&s->batch, index, pair->input->name, &input));
    }
    if (m->counter != NULL) {
        BACKEND_TRY(TRITONSERVER_MetricIncrement(m->counter, (double)input.byte_size));
    }
    void *data = NULL;
    BACKEND_TRY(batch_output(&s->batch, index, name, input.dtype, input.dims, input.dim_count,
                             input.byte_size, &data));
    return batch_input_copy(&input, data);
}

static TRITONSERVER_Error *echo_request(struct identity_instance *s, uint32_t index)
{
    TRITONBACKEND_Request *request = s->batch.items[index].request;
    uint32_t count = 0;
    BACKEND_TRY(TRITONBACKEND_RequestOutputCount(request, &count));
    for (uint32_t i = 0; i < count; i++) {
        const char *name = NULL;
        BACKEND_TRY(TRITONBACKEND_RequestOutputName(request, i, &name));
        BACKEND_TRY(echo_output(s, index, name));
    }
    if (s->model->response_parameters) {
        TRITONBACKEND_Response *response = s->batch.items[index].response;
        BACKEND_TRY(TRITONBACKEND_ResponseSetStringParameter(response, "param0",
                                                             "an example string parameter"));
        BACKEND_TRY(TRITONBACKEND_ResponseSetIntParameter(response, "param1", 42));
        BACKEND_TRY(TRITONBACKEND_ResponseSetBoolParameter(response, "param2", false));
    }
    return NULL;
}

static TRITONSERVER_Error *execute(void *instance, TRITONBACKEND_Request **requests, uint32_t count)
{
    struct identity_instance *s = instance;
    BACKEND_TRY(batch_begin(&s->batch, requests, count, s->model->config.max_batch_size > 0));
    if (s->delay_ns > 0) {
        sleep_ns(s->delay_ns);
    }
    for (uint32_t i = 0; i < count; i++) {
        TRITONSERVER_Error *error = echo_request(s, i);
        if (error != NULL) {
            batch_fail(&s->batch, i, error);
        }
    }
    batch_end(&s->batch);
    return NULL;
}

static const struct model_table models = {
    .size = sizeof(struct identity_model), .init = model_init, .fini = model_fini};
static const struct instance_table instances = {.size = sizeof(struct identity_instance),
                                                .init = instance_init,
                                                .fini = instance_fini,
                                                .execute = execute};
const struct backend_table this_backend = {.name = "identity",
                                           .size = sizeof(struct identity_backend),
                                           .init = backend_init,
                                           .fini = backend_fini,
                                           .model = &models,
                                           .instance = &instances};
