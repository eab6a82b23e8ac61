// SPDX-License-Identifier: Apache-2.0
// lossy: a backend that breaks its GPU when a request asks for it. For tests of what the server does then.
//
// INPUT (FP32, 4 numbers) goes to the GPU and comes back as OUTPUT; GPU (INT32, 1 number) tells by which, -1 the processor.
// INPUT[1] is an order: n breaks GPU n-1, and does nothing on another; 100 breaks whichever it is; 200 fails without harm. What is
// broken is the device's context, by a kernel that writes where nothing is; the pretended driver of tests/support/fake_cuda has
// kernels of the same names. Parameters of the model:
//   busy_us      each batch keeps the GPU busy for so long
//   by_execute   "true": a batch that fails is handed back by Execute instead of being answered
//   report       "true": instead of a fault the backend tells the host of one (nereid_device_lost)
//   load_ms      an instance takes so long to be made
// Start at run_on_gpu().
#include <dlfcn.h>
#include <time.h>

#include "backends/common/batch.h"
#include "backends/common/model_config.h"
#include "base/mem.h"
#include "gpu/module.h"
#include "nereid/ext/core.h"

enum { NUMBERS = 4, ROW = NUMBERS * sizeof(float), ORDER_ANY = 100, ORDER_FAIL = 200 };

// fake_busy spins for so many nanoseconds; fake_fault writes to an address that is not mapped.
static const char kernels[] = ".version 7.0\n"
                              ".target sm_60\n"
                              ".address_size 64\n"
                              ".visible .entry fake_busy(.param .u64 ns)\n"
                              "{\n"
                              "  .reg .u64 %rd<4>;\n"
                              "  .reg .pred %p<2>;\n"
                              "  ld.param.u64 %rd0, [ns];\n"
                              "  mov.u64 %rd1, %globaltimer;\n"
                              "again:\n"
                              "  mov.u64 %rd2, %globaltimer;\n"
                              "  sub.u64 %rd3, %rd2, %rd1;\n"
                              "  setp.lt.u64 %p1, %rd3, %rd0;\n"
                              "  @%p1 bra again;\n"
                              "  ret;\n"
                              "}\n"
                              ".visible .entry fake_fault(.param .u32 result)\n"
                              "{\n"
                              "  .reg .u64 %rd<2>;\n"
                              "  .reg .u32 %r<2>;\n"
                              "  ld.param.u32 %r1, [result];\n"
                              "  mov.u64 %rd1, 64;\n"
                              "  st.global.u32 [%rd1], %r1;\n"
                              "  ret;\n"
                              "}\n";

struct lossy_model {
    struct model_config config;
    uint64_t busy_ns;
    int load_ms;
    bool by_execute;
    bool report;
};

struct lossy_instance {
    struct lossy_model *model;
    TRITONBACKEND_ModelInstance *handle;
    struct batch batch;
    int32_t gpu; // -1: the processor
    struct gpu_io *io;
    struct gpu_module *module;
    struct cu_function *busy;
    struct cu_function *fault;
    struct gpu_scratch scratch;
    float *host; // the batch; and behind it, what came back
    float *back;
    size_t host_rows;
};

static void sleep_ms(int ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    while (nanosleep(&left, &left) != 0) {
    }
}

static TRITONSERVER_Error *launch(struct lossy_instance *s, struct cu_function *kernel, void *value)
{
    const struct gpu_grid grid = {.blocks = {1, 1, 1}, .threads = {1, 1, 1}};
    void *params[] = {value};
    return backend_error(gpu_launch(gpu_io_stream(s->io), kernel, &grid, params));
}

static TRITONSERVER_Error *report_loss(struct lossy_instance *s)
{
    nereid_device_lost_fn tell = NULL;
    void *found = dlsym(RTLD_DEFAULT, "nereid_device_lost");
    memcpy(&tell, &found, sizeof(found));
    if (tell != NULL) {
        tell(s->handle, -1, CU_LAUNCH_FAILED, "the lossy backend says so");
    }
    return backend_error_new(TRITONSERVER_ERROR_INTERNAL, "the lossy backend lost its GPU");
}

static bool is_ordered(const struct lossy_instance *s)
{
    bool ordered = false;
    for (uint64_t i = 0; i < s->batch.rows; i++) {
        int order = (int)s->host[i * NUMBERS + 1];
        ordered = ordered || order == ORDER_ANY || (order > 0 && order - 1 == s->gpu);
    }
    return ordered;
}

// There and back; a fault shows in what comes after it.
static TRITONSERVER_Error *run_on_gpu(struct lossy_instance *s)
{
    size_t size = s->batch.rows * ROW;
    void *memory = NULL;
    BACKEND_TRY(gpu_scratch_reserve(s->io, &s->scratch, 2 * size, &memory));
    struct gpu_place in = {.ptr = memory, .gpu = s->gpu};
    struct gpu_place out = {.ptr = (char *)memory + size, .gpu = s->gpu};
    struct gpu_place host = {.ptr = s->host, .gpu = GPU_IO_HOST};
    BACKEND_TRY(gpu_io_copy(s->io, in, host, size, GPU_IO_ALL));
    if (s->model->busy_ns > 0) {
        BACKEND_TRY(launch(s, s->busy, &s->model->busy_ns));
    }
    if (is_ordered(s)) {
        int result = CU_ILLEGAL_ADDRESS;
        if (s->model->report) {
            return report_loss(s);
        }
        BACKEND_TRY(launch(s, s->fault, &result));
    }
    BACKEND_TRY(gpu_io_copy(s->io, out, in, size, GPU_IO_ALL));
    return gpu_io_read(s->io, s->back, out, size);
}

static TRITONSERVER_Error *gather(struct lossy_instance *s)
{
    if (s->batch.rows > s->host_rows) {
        float *grown = mem_realloc(s->host, 2 * s->batch.rows * ROW);
        if (grown == NULL) {
            return backend_no_memory();
        }
        s->host = grown;
        s->host_rows = s->batch.rows;
    }
    s->back = s->gpu < 0 ? s->host : s->host + s->host_rows * NUMBERS;
    float *to = s->host;
    for (uint32_t i = 0; i < s->batch.count; i++) {
        struct batch_input input;
        BACKEND_TRY(batch_input_get(&s->batch, i, "INPUT", &input));
        BACKEND_TRY(batch_input_copy(&input, to));
        to += s->batch.items[i].rows * NUMBERS;
    }
    return NULL;
}

// One answer: its rows, and for each the GPU that they went through.
static TRITONSERVER_Error *answer_one(struct lossy_instance *s, uint32_t index, const float *rows)
{
    int64_t count = (int64_t)s->batch.items[index].rows;
    int64_t dims[2] = {count, NUMBERS};
    int64_t one[2] = {count, 1};
    void *to = NULL;
    if ((int)rows[1] == ORDER_FAIL) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG, "the request asked to fail");
    }
    BACKEND_TRY(batch_output(&s->batch, index, "OUTPUT", TRITONSERVER_TYPE_FP32, dims, 2,
                             (uint64_t)count * ROW, &to));
    memcpy(to, rows, (size_t)count * ROW);
    BACKEND_TRY(batch_output(&s->batch, index, "GPU", TRITONSERVER_TYPE_INT32, one, 2,
                             (uint64_t)count * sizeof(s->gpu), &to));
    for (int64_t i = 0; i < count; i++) {
        memcpy((int32_t *)to + i, &s->gpu, sizeof(s->gpu));
    }
    return NULL;
}

static void answer(struct lossy_instance *s)
{
    const float *rows = s->back;
    for (uint32_t i = 0; i < s->batch.count; i++) {
        TRITONSERVER_Error *error = answer_one(s, i, rows);
        if (error != NULL) {
            batch_fail(&s->batch, i, error);
        }
        rows += s->batch.items[i].rows * NUMBERS;
    }
}

// ---- the entry points -----------------------------------------------------------------------------

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance *instance,
                                                       TRITONBACKEND_Request **requests,
                                                       const uint32_t count)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    struct lossy_instance *s = state;
    BACKEND_TRY(batch_begin(&s->batch, requests, count, true));
    TRITONSERVER_Error *error = gather(s);
    batch_compute_begin(&s->batch);
    if (error == NULL && s->gpu >= 0) {
        error = run_on_gpu(s);
    }
    batch_compute_end(&s->batch);
    if (error != NULL && s->model->by_execute) {
        for (uint32_t i = 0; i < count; i++) {
            backend_log_error(TRITONBACKEND_ResponseDelete(s->batch.items[i].response),
                              "failed to delete a response");
        }
        s->batch.count = 0;
        return error;
    }
    if (error != NULL) {
        batch_fail_all(&s->batch, error);
    } else {
        answer(s);
    }
    batch_end(&s->batch);
    return NULL;
}

static TRITONSERVER_Error *read_parameters(struct lossy_model *m)
{
    int busy_us = 0;
    BACKEND_TRY(model_parameter_int(&m->config, "busy_us", &busy_us));
    BACKEND_TRY(model_parameter_int(&m->config, "load_ms", &m->load_ms));
    BACKEND_TRY(model_parameter_bool(&m->config, "by_execute", &m->by_execute));
    BACKEND_TRY(model_parameter_bool(&m->config, "report", &m->report));
    m->busy_ns = (uint64_t)busy_us * 1000;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model *model)
{
    struct lossy_model *m = mem_calloc(1, sizeof(*m));
    if (m == NULL) {
        return backend_no_memory();
    }
    TRITONSERVER_Error *error = model_config_init(&m->config, model);
    if (error != NULL) {
        mem_free(m);
        return error;
    }
    error = read_parameters(m);
    if (error == NULL) {
        error = TRITONBACKEND_ModelSetState(model, m);
    }
    if (error != NULL) {
        model_config_fini(&m->config);
        mem_free(m);
    }
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model *model)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelState(model, &state));
    struct lossy_model *m = state;
    if (m != NULL) {
        model_config_fini(&m->config);
        mem_free(m);
    }
    return NULL;
}

static void destroy_instance(struct lossy_instance *s)
{
    if (s->io != NULL) {
        gpu_scratch_fini(s->io, &s->scratch);
        gpu_module_unload(s->module);
    }
    batch_fini(&s->batch);
    gpu_io_destroy(s->io);
    mem_free(s->host);
    mem_free(s);
}

static TRITONSERVER_Error *begin_on_gpu(struct lossy_instance *s)
{
    BACKEND_TRY(gpu_io_create(s->handle, s->gpu, &s->io));
    s->batch.gpu_io = s->io;
    BACKEND_TRY(backend_error(gpu_module_load(gpu_io_device(s->io), kernels, &s->module)));
    BACKEND_TRY(backend_error(gpu_module_function(s->module, "fake_busy", &s->busy)));
    return backend_error(gpu_module_function(s->module, "fake_fault", &s->fault));
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance *instance)
{
    TRITONSERVER_InstanceGroupKind kind = TRITONSERVER_INSTANCEGROUPKIND_CPU;
    TRITONBACKEND_Model *model = NULL;
    void *state = NULL;
    int32_t id = 0;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceKind(instance, &kind));
    BACKEND_TRY(TRITONBACKEND_ModelInstanceDeviceId(instance, &id));
    BACKEND_TRY(TRITONBACKEND_ModelInstanceModel(instance, &model));
    BACKEND_TRY(TRITONBACKEND_ModelState(model, &state));
    struct lossy_instance *s = mem_calloc(1, sizeof(*s));
    if (s == NULL) {
        return backend_no_memory();
    }
    s->model = state;
    s->handle = instance;
    s->gpu = kind == TRITONSERVER_INSTANCEGROUPKIND_GPU ? id : -1;
    sleep_ms(s->model->load_ms);
    batch_init(&s->batch, instance);
    TRITONSERVER_Error *error = s->gpu >= 0 ? begin_on_gpu(s) : NULL;
    if (error == NULL) {
        error = TRITONBACKEND_ModelInstanceSetState(instance, s);
    }
    if (error != NULL) {
        destroy_instance(s);
    }
    return error;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance *instance)
{
    void *state = NULL;
    BACKEND_TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    if (state != NULL) {
        destroy_instance(state);
    }
    return NULL;
}
