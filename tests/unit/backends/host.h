// SPDX-License-Identifier: Apache-2.0
// A host in a few hundred lines: the part of the Triton interfaces that our backends call, over
// plain structs that a test fills and inspects. Any call can be made to fail (host_fail). Each test
// program includes this once; it is linked with -rdynamic, so a backend that it opens finds these
// functions as it would find the server's.
#ifndef NEREID_TESTS_UNIT_BACKENDS_HOST_H
#define NEREID_TESTS_UNIT_BACKENDS_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "triton/core/tritonbackend.h"

enum { HOST_MAX = 16, HOST_TEXT = 512 };

struct TRITONSERVER_Error {
    TRITONSERVER_Error_Code code;
    char text[HOST_TEXT];
};
struct TRITONSERVER_Message {
    char *json;
};
struct TRITONBACKEND_Backend {
    void *state;
    struct TRITONSERVER_Message settings;
    const char *directory;
};
struct TRITONBACKEND_Model {
    void *state;
    struct TRITONBACKEND_Backend *backend;
    const char *name;
    const char *directory;
    char *config; // mem_alloc
    bool auto_complete;
};
struct TRITONBACKEND_ModelInstance {
    void *state;
    struct TRITONBACKEND_Model *model;
    TRITONSERVER_InstanceGroupKind kind;
    int32_t device;
    uint32_t succeeded; // reported
    uint32_t failed;
    uint32_t executions;
    uint64_t rows;
};
struct host_buffer {
    const void *ptr;
    uint64_t size;
    TRITONSERVER_MemoryType type;
    int64_t id;
};
struct TRITONBACKEND_Input {
    const char *name;
    TRITONSERVER_DataType dtype;
    int64_t dims[HOST_MAX];
    uint32_t dim_count;
    uint64_t byte_size; // 0: the sum of the buffers
    struct host_buffer buffers[HOST_MAX];
    uint32_t buffer_count;
};
struct TRITONBACKEND_Output {
    char name[64];
    TRITONSERVER_DataType dtype;
    int64_t dims[HOST_MAX];
    uint32_t dim_count;
    void *data; // mem_alloc; of a GPU: host.gpu's
    uint64_t size;
    bool on_gpu;
    int64_t gpu;
};
struct TRITONBACKEND_Response {
    struct TRITONBACKEND_Output outputs[HOST_MAX];
    uint32_t output_count;
    uint32_t parameter_count;
};
struct TRITONBACKEND_Request {
    struct TRITONBACKEND_Input inputs[HOST_MAX];
    uint32_t input_count;
    const char *wanted[HOST_MAX];
    uint32_t wanted_count;
    // what came of it
    bool released;
    bool answered;
    TRITONSERVER_Error_Code code;
    char error[HOST_TEXT]; // "" on success
    struct TRITONBACKEND_Response *response;
};

// The call of that name fails, once, after so many that pass. NULL turns it off.
static struct {
    const char *name;
    uint32_t after;
    int errors; // alive
    int responses;
    // Memory of GPUs, for tests that have some; without, there is none to allocate.
    void *(*gpu_allocate)(int64_t gpu, size_t size);
    void (*gpu_free)(int64_t gpu, void *data);
    bool outputs_on_gpu; // clients want theirs on `output_gpu`
    int64_t output_gpu;
    int memory;            // allocations alive
    uint64_t pinned_bytes; // of the newest pinned one
} host;

static inline void host_fail(const char *name, uint32_t after)
{
    host.name = name;
    host.after = after;
}

TRITONSERVER_Error *TRITONSERVER_ErrorNew(TRITONSERVER_Error_Code code, const char *msg)
{
    TRITONSERVER_Error *error = mem_calloc(1, sizeof(*error));
    assert_non_null(error);
    error->code = code;
    (void)snprintf(error->text, sizeof(error->text), "%s", msg);
    host.errors++;
    return error;
}

#define HOST_FAILS(call)                                                                           \
    do {                                                                                           \
        if (host.name != NULL && strcmp(host.name, call) == 0 && host.after-- == 0) {              \
            host.name = NULL;                                                                      \
            return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, "made to fail: " call);      \
        }                                                                                          \
    } while (0)

void TRITONSERVER_ErrorDelete(TRITONSERVER_Error *error)
{
    assert_non_null(error);
    host.errors--;
    mem_free(error);
}
TRITONSERVER_Error_Code TRITONSERVER_ErrorCode(TRITONSERVER_Error *error)
{
    return error->code;
}
const char *TRITONSERVER_ErrorCodeString(TRITONSERVER_Error *error)
{
    return error->code == TRITONSERVER_ERROR_INTERNAL ? "Internal" : "Other";
}
const char *TRITONSERVER_ErrorMessage(TRITONSERVER_Error *error)
{
    return error->text;
}
bool TRITONSERVER_LogIsEnabled(TRITONSERVER_LogLevel level)
{
    return level == TRITONSERVER_LOG_ERROR || level == TRITONSERVER_LOG_WARN;
}
TRITONSERVER_Error *TRITONSERVER_LogMessage(TRITONSERVER_LogLevel level, const char *filename,
                                            const int line, const char *msg)
{
    print_message("    log %d %s:%d %s\n", (int)level, filename, line, msg);
    return NULL;
}

static const struct {
    const char *name;
    uint32_t size;
} host_types[] = {{"<invalid>", 0}, {"BOOL", 1}, {"UINT8", 1}, {"UINT16", 2}, {"UINT32", 4},
                  {"UINT64", 8},    {"INT8", 1}, {"INT16", 2}, {"INT32", 4},  {"INT64", 8},
                  {"FP16", 2},      {"FP32", 4}, {"FP64", 8},  {"BYTES", 0},  {"BF16", 2}};
uint32_t TRITONSERVER_DataTypeByteSize(TRITONSERVER_DataType datatype)
{
    return host_types[datatype].size;
}
const char *TRITONSERVER_DataTypeString(TRITONSERVER_DataType datatype)
{
    return host_types[datatype].name;
}

// ---- messages ----

TRITONSERVER_Error *TRITONSERVER_MessageNewFromSerializedJson(TRITONSERVER_Message **message,
                                                              const char *base, size_t byte_size)
{
    HOST_FAILS("MessageNewFromSerializedJson");
    *message = mem_calloc(1, sizeof(**message));
    assert_non_null(*message);
    (*message)->json = mem_strndup(base, byte_size);
    return NULL;
}
TRITONSERVER_Error *TRITONSERVER_MessageDelete(TRITONSERVER_Message *message)
{
    mem_free(message->json);
    mem_free(message);
    return NULL;
}
TRITONSERVER_Error *TRITONSERVER_MessageSerializeToJson(TRITONSERVER_Message *message,
                                                        const char **base, size_t *byte_size)
{
    HOST_FAILS("MessageSerializeToJson");
    *base = message->json;
    *byte_size = message->json == NULL ? 0 : strlen(message->json);
    return NULL;
}

// ---- metrics: not offered ----

TRITONSERVER_Parameter *TRITONSERVER_ParameterNew(const char *name,
                                                  const TRITONSERVER_ParameterType type,
                                                  const void *value)
{
    (void)name;
    (void)type;
    (void)value;
    return NULL;
}
void TRITONSERVER_ParameterDelete(TRITONSERVER_Parameter *parameter)
{
    (void)parameter;
}
TRITONSERVER_Error *TRITONSERVER_MetricFamilyNew(TRITONSERVER_MetricFamily **family,
                                                 const TRITONSERVER_MetricKind kind,
                                                 const char *name, const char *description)
{
    (void)family;
    (void)kind;
    (void)name;
    (void)description;
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNSUPPORTED, "metrics not supported");
}
TRITONSERVER_Error *TRITONSERVER_MetricFamilyDelete(TRITONSERVER_MetricFamily *family)
{
    (void)family;
    return NULL;
}
TRITONSERVER_Error *TRITONSERVER_MetricNew(TRITONSERVER_Metric **metric,
                                           TRITONSERVER_MetricFamily *family,
                                           const TRITONSERVER_Parameter **labels,
                                           const uint64_t label_count)
{
    (void)metric;
    (void)family;
    (void)labels;
    (void)label_count;
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNSUPPORTED, "metrics not supported");
}
TRITONSERVER_Error *TRITONSERVER_MetricDelete(TRITONSERVER_Metric *metric)
{
    (void)metric;
    return NULL;
}
TRITONSERVER_Error *TRITONSERVER_MetricIncrement(TRITONSERVER_Metric *metric, double value)
{
    (void)metric;
    (void)value;
    return NULL;
}

// ---- backend, model, instance ----

TRITONSERVER_Error *TRITONBACKEND_ApiVersion(uint32_t *major, uint32_t *minor)
{
    *major = TRITONBACKEND_API_VERSION_MAJOR;
    *minor = TRITONBACKEND_API_VERSION_MINOR;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_BackendArtifacts(TRITONBACKEND_Backend *backend,
                                                   TRITONBACKEND_ArtifactType *artifact_type,
                                                   const char **location)
{
    *artifact_type = TRITONBACKEND_ARTIFACT_FILESYSTEM;
    *location = backend->directory;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_BackendConfig(TRITONBACKEND_Backend *backend,
                                                TRITONSERVER_Message **backend_config)
{
    *backend_config = &backend->settings;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_BackendState(TRITONBACKEND_Backend *backend, void **state)
{
    *state = backend->state;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_BackendSetState(TRITONBACKEND_Backend *backend, void *state)
{
    HOST_FAILS("BackendSetState");
    backend->state = state;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(
    TRITONBACKEND_BackendAttribute *backend_attributes, bool enabled)
{
    (void)backend_attributes;
    (void)enabled;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup(
    TRITONBACKEND_BackendAttribute *backend_attributes, const TRITONSERVER_InstanceGroupKind kind,
    const uint64_t count, const uint64_t *device_ids, const uint64_t id_count)
{
    (void)backend_attributes;
    (void)kind;
    (void)count;
    (void)device_ids;
    (void)id_count;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ModelName(TRITONBACKEND_Model *model, const char **name)
{
    *name = model->name;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ModelVersion(TRITONBACKEND_Model *model, uint64_t *version)
{
    (void)model;
    *version = 1;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ModelRepository(TRITONBACKEND_Model *model,
                                                  TRITONBACKEND_ArtifactType *artifact_type,
                                                  const char **location)
{
    *artifact_type = TRITONBACKEND_ARTIFACT_FILESYSTEM;
    *location = model->directory;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ModelConfig(TRITONBACKEND_Model *model,
                                              const uint32_t config_version,
                                              TRITONSERVER_Message **model_config)
{
    HOST_FAILS("ModelConfig");
    assert_int_equal(config_version, 1);
    return TRITONSERVER_MessageNewFromSerializedJson(model_config, model->config,
                                                     strlen(model->config));
}
TRITONSERVER_Error *TRITONBACKEND_ModelSetConfig(TRITONBACKEND_Model *model,
                                                 const uint32_t config_version,
                                                 TRITONSERVER_Message *model_config)
{
    HOST_FAILS("ModelSetConfig");
    assert_int_equal(config_version, 1);
    mem_free(model->config);
    model->config = mem_strdup(model_config->json);
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ModelAutoCompleteConfig(TRITONBACKEND_Model *model,
                                                          bool *auto_complete_config)
{
    *auto_complete_config = model->auto_complete;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ModelBackend(TRITONBACKEND_Model *model,
                                               TRITONBACKEND_Backend **backend)
{
    *backend = model->backend;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ModelState(TRITONBACKEND_Model *model, void **state)
{
    *state = model->state;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ModelSetState(TRITONBACKEND_Model *model, void *state)
{
    HOST_FAILS("ModelSetState");
    model->state = state;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ModelInstanceKind(TRITONBACKEND_ModelInstance *instance,
                                                    TRITONSERVER_InstanceGroupKind *kind)
{
    *kind = instance->kind;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ModelInstanceDeviceId(TRITONBACKEND_ModelInstance *instance,
                                                        int32_t *device_id)
{
    *device_id = instance->device;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ModelInstanceModel(TRITONBACKEND_ModelInstance *instance,
                                                     TRITONBACKEND_Model **model)
{
    *model = instance->model;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ModelInstanceState(TRITONBACKEND_ModelInstance *instance,
                                                     void **state)
{
    *state = instance->state;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ModelInstanceSetState(TRITONBACKEND_ModelInstance *instance,
                                                        void *state)
{
    HOST_FAILS("ModelInstanceSetState");
    instance->state = state;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ModelInstanceReportStatistics(
    TRITONBACKEND_ModelInstance *instance, TRITONBACKEND_Request *request, const bool success,
    const uint64_t exec_start_ns, const uint64_t compute_start_ns, const uint64_t compute_end_ns,
    const uint64_t exec_end_ns)
{
    assert_false(request->released);
    assert_true(exec_start_ns > 0 && exec_start_ns <= compute_start_ns &&
                compute_start_ns <= compute_end_ns && compute_end_ns <= exec_end_ns);
    instance->succeeded += success ? 1 : 0;
    instance->failed += success ? 0 : 1;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ModelInstanceReportBatchStatistics(
    TRITONBACKEND_ModelInstance *instance, const uint64_t batch_size, const uint64_t exec_start_ns,
    const uint64_t compute_start_ns, const uint64_t compute_end_ns, const uint64_t exec_end_ns)
{
    assert_true(exec_start_ns <= compute_start_ns && compute_start_ns <= compute_end_ns &&
                compute_end_ns <= exec_end_ns);
    instance->executions++;
    instance->rows += batch_size;
    return NULL;
}

// ---- requests ----

TRITONSERVER_Error *TRITONBACKEND_RequestInputCount(TRITONBACKEND_Request *request, uint32_t *count)
{
    *count = request->input_count;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_RequestInputName(TRITONBACKEND_Request *request,
                                                   const uint32_t index, const char **input_name)
{
    *input_name = request->inputs[index].name;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_RequestInput(TRITONBACKEND_Request *request, const char *name,
                                               TRITONBACKEND_Input **input)
{
    HOST_FAILS("RequestInput");
    for (uint32_t i = 0; i < request->input_count; i++) {
        if (strcmp(request->inputs[i].name, name) == 0) {
            *input = &request->inputs[i];
            return NULL;
        }
    }
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INVALID_ARG, "unknown request input name");
}
TRITONSERVER_Error *TRITONBACKEND_RequestInputByIndex(TRITONBACKEND_Request *request,
                                                      const uint32_t index,
                                                      TRITONBACKEND_Input **input)
{
    HOST_FAILS("RequestInputByIndex");
    assert_true(index < request->input_count);
    *input = &request->inputs[index];
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_RequestOutputCount(TRITONBACKEND_Request *request,
                                                     uint32_t *count)
{
    HOST_FAILS("RequestOutputCount");
    *count = request->wanted_count;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_RequestOutputName(TRITONBACKEND_Request *request,
                                                    const uint32_t index, const char **output_name)
{
    *output_name = request->wanted[index];
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_RequestRelease(TRITONBACKEND_Request *request,
                                                 uint32_t release_flags)
{
    assert_int_equal(release_flags, TRITONSERVER_REQUEST_RELEASE_ALL);
    assert_false(request->released);
    request->released = true;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_InputProperties(TRITONBACKEND_Input *input, const char **name,
                                                  TRITONSERVER_DataType *datatype,
                                                  const int64_t **shape, uint32_t *dims_count,
                                                  uint64_t *byte_size, uint32_t *buffer_count)
{
    HOST_FAILS("InputProperties");
    uint64_t size = input->byte_size;
    for (uint32_t i = 0; input->byte_size == 0 && i < input->buffer_count; i++) {
        size += input->buffers[i].size;
    }
    if (name != NULL) {
        *name = input->name;
    }
    if (datatype != NULL) {
        *datatype = input->dtype;
    }
    if (shape != NULL) {
        *shape = input->dims;
    }
    if (dims_count != NULL) {
        *dims_count = input->dim_count;
    }
    if (byte_size != NULL) {
        *byte_size = size;
    }
    if (buffer_count != NULL) {
        *buffer_count = input->buffer_count;
    }
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_InputBuffer(TRITONBACKEND_Input *input, const uint32_t index,
                                              const void **buffer, uint64_t *buffer_byte_size,
                                              TRITONSERVER_MemoryType *memory_type,
                                              int64_t *memory_type_id)
{
    HOST_FAILS("InputBuffer");
    assert_true(index < input->buffer_count);
    *buffer = input->buffers[index].ptr;
    *buffer_byte_size = input->buffers[index].size;
    *memory_type = input->buffers[index].type;
    *memory_type_id = input->buffers[index].id;
    return NULL;
}

// ---- memory ----

TRITONSERVER_Error *TRITONBACKEND_BackendMemoryManager(TRITONBACKEND_Backend *backend,
                                                       TRITONBACKEND_MemoryManager **manager)
{
    (void)backend;
    *manager = NULL;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_MemoryManagerAllocate(TRITONBACKEND_MemoryManager *manager,
                                                        void **buffer,
                                                        const TRITONSERVER_MemoryType memory_type,
                                                        const int64_t memory_type_id,
                                                        const uint64_t byte_size)
{
    (void)manager;
    HOST_FAILS("MemoryManagerAllocate");
    if (memory_type == TRITONSERVER_MEMORY_GPU && host.gpu_allocate == NULL) {
        return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNSUPPORTED,
                                     "GPU memory allocation not supported");
    }
    *buffer = memory_type == TRITONSERVER_MEMORY_GPU
                  ? host.gpu_allocate(memory_type_id, (size_t)byte_size)
                  : mem_alloc((size_t)byte_size);
    host.memory++;
    host.pinned_bytes =
        memory_type == TRITONSERVER_MEMORY_CPU_PINNED ? byte_size : host.pinned_bytes;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_MemoryManagerFree(TRITONBACKEND_MemoryManager *manager,
                                                    void *buffer,
                                                    const TRITONSERVER_MemoryType memory_type,
                                                    const int64_t memory_type_id)
{
    (void)manager;
    host.memory--;
    if (memory_type == TRITONSERVER_MEMORY_GPU) {
        host.gpu_free(memory_type_id, buffer);
    } else {
        mem_free(buffer);
    }
    return NULL;
}

// ---- responses ----

TRITONSERVER_Error *TRITONBACKEND_ResponseNew(TRITONBACKEND_Response **response,
                                              TRITONBACKEND_Request *request)
{
    HOST_FAILS("ResponseNew");
    *response = mem_calloc(1, sizeof(**response));
    assert_non_null(*response);
    request->response = *response;
    host.responses++;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ResponseDelete(TRITONBACKEND_Response *response)
{
    for (uint32_t i = 0; i < response->output_count; i++) {
        if (response->outputs[i].on_gpu) {
            host.gpu_free(response->outputs[i].gpu, response->outputs[i].data);
        } else {
            mem_free(response->outputs[i].data);
        }
    }
    mem_free(response);
    host.responses--;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ResponseOutput(TRITONBACKEND_Response *response,
                                                 TRITONBACKEND_Output **output, const char *name,
                                                 const TRITONSERVER_DataType datatype,
                                                 const int64_t *shape, const uint32_t dims_count)
{
    HOST_FAILS("ResponseOutput");
    *output = &response->outputs[response->output_count++];
    (void)snprintf((*output)->name, sizeof((*output)->name), "%s", name);
    (*output)->dtype = datatype;
    (*output)->dim_count = dims_count;
    memcpy((*output)->dims, shape, dims_count * sizeof(*shape));
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_OutputBuffer(TRITONBACKEND_Output *output, void **buffer,
                                               const uint64_t buffer_byte_size,
                                               TRITONSERVER_MemoryType *memory_type,
                                               int64_t *memory_type_id)
{
    HOST_FAILS("OutputBuffer");
    output->on_gpu = host.outputs_on_gpu;
    output->gpu = host.output_gpu;
    output->data = output->on_gpu ? host.gpu_allocate(output->gpu, (size_t)buffer_byte_size)
                                  : mem_calloc(1, buffer_byte_size + 1);
    output->size = buffer_byte_size;
    *buffer = output->data;
    *memory_type = output->on_gpu ? TRITONSERVER_MEMORY_GPU : TRITONSERVER_MEMORY_CPU;
    *memory_type_id = output->gpu;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ResponseSetStringParameter(TRITONBACKEND_Response *response,
                                                             const char *name, const char *value)
{
    (void)name;
    (void)value;
    response->parameter_count++;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ResponseSetIntParameter(TRITONBACKEND_Response *response,
                                                          const char *name, const int64_t value)
{
    (void)name;
    (void)value;
    response->parameter_count++;
    return NULL;
}
TRITONSERVER_Error *TRITONBACKEND_ResponseSetBoolParameter(TRITONBACKEND_Response *response,
                                                           const char *name, const bool value)
{
    (void)name;
    (void)value;
    response->parameter_count++;
    return NULL;
}

// The response stays readable through its request until host_request_fini; sending only marks it.
static struct TRITONBACKEND_Request *host_all[HOST_MAX];
static uint32_t host_all_count;

TRITONSERVER_Error *TRITONBACKEND_ResponseSend(TRITONBACKEND_Response *response,
                                               const uint32_t send_flags, TRITONSERVER_Error *error)
{
    assert_int_equal(send_flags, TRITONSERVER_RESPONSE_COMPLETE_FINAL);
    for (uint32_t i = 0; i < host_all_count; i++) {
        struct TRITONBACKEND_Request *request = host_all[i];
        if (request->response == response) {
            assert_false(request->answered);
            assert_false(request->released);
            request->answered = true;
            if (error != NULL) {
                request->code = error->code;
                (void)snprintf(request->error, sizeof(request->error), "%s", error->text);
            }
        }
    }
    return NULL;
}

// ---- making and ending requests ----

static inline void host_request_init(struct TRITONBACKEND_Request *r)
{
    memset(r, 0, sizeof(*r));
    assert_true(host_all_count < HOST_MAX);
    host_all[host_all_count++] = r;
}
static inline struct TRITONBACKEND_Input *host_add_input(struct TRITONBACKEND_Request *r,
                                                         const char *name,
                                                         TRITONSERVER_DataType dtype, int64_t rows,
                                                         int64_t columns)
{
    struct TRITONBACKEND_Input *in = &r->inputs[r->input_count++];
    in->name = name;
    in->dtype = dtype;
    in->dims[0] = rows;
    in->dims[1] = columns;
    in->dim_count = columns == 0 ? 1 : 2;
    return in;
}
static inline void host_add_buffer(struct TRITONBACKEND_Input *in, const void *ptr, uint64_t size)
{
    in->buffers[in->buffer_count++] = (struct host_buffer){ptr, size, TRITONSERVER_MEMORY_CPU, 0};
}
static inline void host_want(struct TRITONBACKEND_Request *r, const char *name)
{
    r->wanted[r->wanted_count++] = name;
}
static inline const struct TRITONBACKEND_Output *host_output(const struct TRITONBACKEND_Request *r,
                                                             const char *name)
{
    for (uint32_t i = 0; r->response != NULL && i < r->response->output_count; i++) {
        if (strcmp(r->response->outputs[i].name, name) == 0) {
            return &r->response->outputs[i];
        }
    }
    return NULL;
}
// Frees all responses and checks that nothing was lost.
static inline void host_fini(void)
{
    for (uint32_t i = 0; i < host_all_count; i++) {
        if (host_all[i]->response != NULL && host_all[i]->answered) {
            (void)TRITONBACKEND_ResponseDelete(host_all[i]->response);
            host_all[i]->response = NULL;
        }
    }
    host_all_count = 0;
    host_fail(NULL, 0);
    assert_int_equal(host.errors, 0);
    assert_int_equal(host.responses, 0);
}
#define assert_host_error(error, text_)                                                            \
    do {                                                                                           \
        TRITONSERVER_Error *error_ = (error);                                                      \
        assert_non_null(error_);                                                                   \
        if (strstr(error_->text, (text_)) == NULL) {                                               \
            fail_msg("'%s' is not in '%s'", (text_), error_->text);                                \
        }                                                                                          \
        TRITONSERVER_ErrorDelete(error_);                                                          \
    } while (0)
#define assert_host_ok(error) assert_null(error)

#endif
