// SPDX-License-Identifier: Apache-2.0
// gpu_echo: a backend for tests. Its one input comes back as its one output, on the processor or by way of a GPU's memory, in
// the order of the instance's stream, as a framework's backend does it: so it runs on the pretended driver, where no framework
// does. A configuration without tensors gets INPUT0 and OUTPUT0, FP32 [-1]. It is built as build/tests/backends/gpu_echo/
// libtriton_gpu_echo.so: set NEREID_BACKENDS or --backend-directory. Start at TRITONBACKEND_ModelInstanceExecute.
#include "backends/common/gpu_batch.h"
#include "backends/common/model_complete.h"
#include "base/mem.h"

struct echo_instance {
    struct model_config *config;
    struct batch batch;
    bool on_gpu;
    struct scratch host;
    struct gpu_scratch device;
};

// ---- a model --------------------------------------------------------------------------------------------------------

static void write_input(struct json_writer *w, void *userp)
{
    static const int64_t dims[] = {-1};
    (void)userp;
    model_write_tensor(w, "INPUT0", TRITONSERVER_TYPE_FP32, dims, 1, false);
}

static void write_output(struct json_writer *w, void *userp)
{
    static const int64_t dims[] = {-1};
    (void)userp;
    model_write_tensor(w, "OUTPUT0", TRITONSERVER_TYPE_FP32, dims, 1, false);
}

static TRITONSERVER_Error *read_config(struct model_config *config, TRITONBACKEND_Model *model)
{
    static const struct model_completion tensors = {.write_inputs = write_input,
                                                    .write_outputs = write_output};
    BACKEND_TRY(model_config_init(config, model));
    if (config->input_count > 0) {
        return NULL;
    }
    TRITONSERVER_Error *error = model_complete(model, config, &tensors);
    model_config_fini(config);
    return error != NULL ? error : model_config_init(config, model);
}

TRITONSERVER_Error *TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model *model)
{
    struct model_config *config = mem_calloc(1, sizeof(*config));
    if (config == NULL) {
        return backend_no_memory();
    }
    TRITONSERVER_Error *error = read_config(config, model);
    if (error != NULL) {
        mem_free(config);
        return error;
    }
    return TRITONBACKEND_ModelSetState(model, config);
}

TRITONSERVER_Error *TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model *model)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelState(model, &state));
    if (state != NULL) {
        model_config_fini(state);
        mem_free(state);
    }
    return NULL;
}

// ---- an instance ----------------------------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance *instance)
{
    TRITONSERVER_InstanceGroupKind kind = TRITONSERVER_INSTANCEGROUPKIND_CPU;
    int32_t device = 0;
    TRITONBACKEND_Model *model = NULL;
    void *config = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceKind(instance, &kind));
    BACKEND_TRY(TRITONBACKEND_ModelInstanceDeviceId(instance, &device));
    BACKEND_TRY(TRITONBACKEND_ModelInstanceModel(instance, &model));
    BACKEND_TRY(TRITONBACKEND_ModelState(model, &config));
    struct echo_instance *s = mem_calloc(1, sizeof(*s));
    if (s == NULL) {
        return backend_no_memory();
    }
    s->config = config;
    s->on_gpu = kind == TRITONSERVER_INSTANCEGROUPKIND_GPU;
    batch_init(&s->batch, instance);
    TRITONSERVER_Error *error =
        s->on_gpu ? gpu_io_create(instance, device, &s->batch.gpu_io) : NULL;
    if (error == NULL) {
        error = TRITONBACKEND_ModelInstanceSetState(instance, s);
    }
    if (error != NULL) {
        gpu_io_destroy(s->batch.gpu_io);
        batch_fini(&s->batch);
        mem_free(s);
    }
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance *instance)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    struct echo_instance *s = state;
    if (s != NULL) {
        if (s->on_gpu) {
            gpu_scratch_fini(s->batch.gpu_io, &s->device);
            gpu_io_destroy(s->batch.gpu_io);
        }
        batch_fini(&s->batch);
        scratch_fini(&s->host);
        mem_free(s);
    }
    return NULL;
}

// ---- execution ------------------------------------------------------------------------------------------------------

static TRITONSERVER_Error *echo(struct echo_instance *s)
{
    struct batch *b = &s->batch;
    const struct model_tensor *output = &s->config->outputs[0];
    bool batching = s->config->max_batch_size > 0;
    struct batch_input in = {0};
    BACKEND_TRY(batch_input_get(b, 0, s->config->inputs[0].name, &in));
    int64_t dims[32];
    if (in.dim_count > sizeof(dims) / sizeof(dims[0])) {
        return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED, "too many dimensions");
    }
    memcpy(dims, in.dims, in.dim_count * sizeof(dims[0]));
    if (batching) {
        dims[0] = (int64_t)b->rows;
    }
    uint64_t size = 0;
    if (s->on_gpu) {
        void *data = NULL;
        BACKEND_TRY(gpu_gather(b, &in, GPU_ALIGNMENT, &s->device, &data, &size));
        gpu_scatter(b, output->name, output->dtype, dims, in.dim_count, batching, data, size);
    } else {
        const void *data = NULL;
        BACKEND_TRY(batch_gather(b, &in, 0, &s->host, &data, &size));
        batch_scatter(b, output->name, output->dtype, dims, in.dim_count, batching, data, size);
    }
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance *instance,
                                                       TRITONBACKEND_Request **requests,
                                                       const uint32_t request_count)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    struct echo_instance *s = state;
    BACKEND_TRY(batch_begin(&s->batch, requests, request_count, s->config->max_batch_size > 0));
    TRITONSERVER_Error *error = echo(s);
    if (error != NULL) {
        batch_fail_all(&s->batch, error);
    }
    batch_end(&s->batch);
    return NULL;
}
