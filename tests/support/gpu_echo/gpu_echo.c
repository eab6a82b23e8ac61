// SPDX-License-Identifier: Apache-2.0
// gpu_echo: a backend for tests. Its one input comes back as its one output, on the processor or by way of a GPU's memory, in
// the order of the instance's stream, as a framework's backend does it: so it runs on the pretended driver, where no framework
// does. A configuration without tensors gets INPUT0 and OUTPUT0, FP32 [-1]. It is built as build/tests/backends/gpu_echo/
// libtriton_gpu_echo.so: set NEREID_BACKENDS or --backend-directory. Parameters of the model, for tests of placement and scheduling:
//   gpu_memory_mib   so much of its GPU each instance holds
//   gpu_us           so long a kernel keeps the GPU for each row, at speed 1 (pretended driver only)
//   host_us          so long the instance sleeps for each batch, in which the GPU is free for others
//   max_rows         more rows in a request are an error
// GPU_ECHO_US in the environment is the gpu_us of models that say none, as those of an InferenceOp.
// Start at TRITONBACKEND_ModelInstanceExecute.
#include <stdlib.h>
#include <time.h>

#include "backends/common/gpu_batch.h"
#include "backends/common/model_complete.h"
#include "base/mem.h"
#include "gpu/memory.h"
#include "gpu/module.h"

struct echo_instance {
    struct model_config *config;
    struct tensor_buffer *held; // NULL: nothing
    struct gpu_module *module;  // NULL: no kernel
    struct cu_function *kernel;
    int gpu_us;
    int host_us;
    int max_rows; // 0: any
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

// ---- what it takes ----------------------------------------------------------------------------------------------------

static TRITONSERVER_Error *take(struct echo_instance *s)
{
    int mib = 0;
    BACKEND_TRY(model_parameter_int(s->config, "gpu_memory_mib", &mib));
    const char *gpu_us = getenv("GPU_ECHO_US");
    s->gpu_us = gpu_us == NULL ? 0 : (int)strtol(gpu_us, NULL, 10);
    BACKEND_TRY(model_parameter_int(s->config, "gpu_us", &s->gpu_us));
    BACKEND_TRY(model_parameter_int(s->config, "host_us", &s->host_us));
    BACKEND_TRY(model_parameter_int(s->config, "max_rows", &s->max_rows));
    if (!s->on_gpu) {
        return NULL;
    }
    struct gpu_device *device = gpu_io_device(s->batch.gpu_io);
    struct nrd_status *status = NULL;
    if (mib > 0) {
        status = gpu_direct_get(device, (size_t)mib << 20, &s->held);
    }
    if (status == NULL && s->gpu_us > 0) {
        status = gpu_module_load(device, "fake_busy", &s->module);
    }
    if (status == NULL && s->gpu_us > 0) {
        status = gpu_module_function(s->module, "fake_busy", &s->kernel);
    }
    return backend_error(status);
}

static void give_back(struct echo_instance *s)
{
    gpu_module_unload(s->module);
    buffer_unref(s->held);
}

static TRITONSERVER_Error *work(struct echo_instance *s, uint64_t rows)
{
    struct timespec nap = {.tv_sec = 0, .tv_nsec = (long)s->host_us * 1000};
    if (s->host_us > 0) {
        nanosleep(&nap, NULL);
    }
    if (s->kernel == NULL) {
        return NULL;
    }
    uint64_t ns = (uint64_t)s->gpu_us * 1000 * (rows == 0 ? 1 : rows);
    void *params[] = {&ns};
    const struct gpu_grid grid = {.blocks = {1, 1, 1}, .threads = {1, 1, 1}};
    return backend_error(gpu_launch(gpu_io_stream(s->batch.gpu_io), s->kernel, &grid, params));
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
        error = take(s);
    }
    if (error == NULL) {
        error = TRITONBACKEND_ModelInstanceSetState(instance, s);
    }
    if (error != NULL) {
        give_back(s);
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
        struct gpu_io *io = s->on_gpu ? s->batch.gpu_io : NULL;
        batch_fini(&s->batch); // first: batches that were answered may still be at work
        give_back(s);
        if (io != NULL) {
            gpu_scratch_fini(io, &s->device);
            gpu_io_destroy(io);
        }
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
    if (s->max_rows > 0 && b->rows > (uint64_t)s->max_rows) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG, "%d rows at most", s->max_rows);
    }
    if (s->on_gpu) {
        void *data = NULL;
        BACKEND_TRY(gpu_gather(b, &in, GPU_ALIGNMENT, &s->device, &data, &size));
        batch_compute_begin(b);
        BACKEND_TRY(work(s, b->rows));
        gpu_scatter(b, output->name, output->dtype, dims, in.dim_count, batching, data, size);
    } else {
        const void *data = NULL;
        BACKEND_TRY(batch_gather(b, &in, 0, &s->host, &data, &size));
        batch_compute_begin(b);
        BACKEND_TRY(work(s, b->rows));
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
