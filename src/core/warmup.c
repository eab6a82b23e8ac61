// SPDX-License-Identifier: Apache-2.0
// Warm-up: runs the samples of model_warmup on a fresh instance, before anybody else may use it.
//
// A sample is batch_size requests of one row each, given to the backend in one Execute, `count` times (at least once). They go
// straight to the instance, past the scheduler, but are otherwise requests like any other, so that the backend and the
// statistics see no difference (Triton's way). Runs on the executor, which waits for the answers.
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/instance.h"
#include "core/model.h"
#include "core/request.h"
#include "core/response.h"
#include "proto/model_config.pb-c.h"
#include "tensor/dtype.h"

// One sample on its way.
struct sample {
    const Inference__ModelWarmup *config;
    struct model *model;
    struct arena arena; // synthetic data
    struct str *files;  // data read from files
    size_t file_count;
    struct request **requests;
    uint32_t request_count;
    pthread_mutex_t mutex; // what is below
    uint32_t open;         // releases and final responses to come
    struct str errors;
    struct parking done;
};

// ---- callbacks ----------------------------------------------------------------------------------

static TRITONSERVER_Error *allocate(TRITONSERVER_ResponseAllocator *allocator,
                                    const char *tensor_name, size_t byte_size,
                                    TRITONSERVER_MemoryType memory_type, int64_t memory_type_id,
                                    void *userp, void **buffer, void **buffer_userp,
                                    TRITONSERVER_MemoryType *actual_type, int64_t *actual_id)
{
    (void)allocator;
    (void)tensor_name;
    (void)memory_type;
    (void)memory_type_id;
    (void)userp;
    *buffer_userp = NULL;
    *actual_type = TRITONSERVER_MEMORY_CPU;
    *actual_id = 0;
    *buffer = byte_size == 0 ? NULL : mem_alloc(byte_size);
    return *buffer != NULL || byte_size == 0
               ? NULL
               : (TRITONSERVER_Error *)status_new(NRD_INTERNAL,
                                                  "failed to allocate output buffer for warmup.");
}

static TRITONSERVER_Error *release(TRITONSERVER_ResponseAllocator *allocator, void *buffer,
                                   void *buffer_userp, size_t byte_size,
                                   TRITONSERVER_MemoryType memory_type, int64_t memory_type_id)
{
    (void)allocator;
    (void)buffer_userp;
    (void)byte_size;
    (void)memory_type;
    (void)memory_type_id;
    mem_free(buffer);
    return NULL;
}

static const struct response_allocator warmup_allocator = {.alloc = allocate, .release = release};

static void one_less(struct sample *sample)
{
    pthread_mutex_lock(&sample->mutex);
    bool last = --sample->open == 0;
    if (last) {
        parking_wake(&sample->done); // under the mutex: afterwards the sample may be gone
    }
    pthread_mutex_unlock(&sample->mutex);
}

static void on_response(TRITONSERVER_InferenceResponse *response, const uint32_t flags, void *userp)
{
    struct sample *sample = userp;
    struct response *own = (struct response *)response;
    if (own != NULL && own->status != NULL) {
        pthread_mutex_lock(&sample->mutex);
        str_printf(&sample->errors, "%s; ", status_text(own->status));
        pthread_mutex_unlock(&sample->mutex);
    }
    response_destroy(own);
    if ((flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL) != 0) {
        one_less(sample);
    }
}

static void on_release(TRITONSERVER_InferenceRequest *request, const uint32_t flags, void *userp)
{
    (void)request; // kept for the next iteration
    (void)flags;
    one_less(userp);
}

// ---- data ---------------------------------------------------------------------------------------

static struct nrd_status *read_data_file(struct sample *sample, const char *name,
                                         struct slice *bytes)
{
    struct str *files =
        mem_realloc(sample->files, (sample->file_count + 1) * sizeof(*sample->files));
    if (files == NULL) {
        return status_no_memory();
    }
    sample->files = files;
    struct str *file = &files[sample->file_count++];
    str_init(file);
    struct str path = STR_INIT;
    str_printf(&path, "%s/warmup/%s", sample->model->directory, name);
    struct nrd_status *status = str_status(&path);
    if (status == NULL) {
        status = file_read(str_cstr(&path), 0, file);
    }
    str_fini(&path);
    *bytes = str_slice(file);
    return status;
}

// The bytes of one input: `size` of them for anything but a BYTES file, which has what it has.
static struct nrd_status *make_data(struct sample *sample, const char *name,
                                    const Inference__ModelWarmup__Input *input, bool text,
                                    size_t size, struct slice *bytes)
{
    if (input->input_data_type_case ==
        INFERENCE__MODEL_WARMUP__INPUT__INPUT_DATA_TYPE_INPUT_DATA_FILE) {
        NRD_TRY(read_data_file(sample, input->input_data_file, bytes));
        if (!text && bytes->len < size) {
            return status_new(
                NRD_INVALID_ARG,
                "[request id: <id_unknown>] warmup setting expects %zu bytes, but the "
                "data provided from %sonly has %zu bytes",
                size, input->input_data_file, bytes->len);
        }
        bytes->len = text ? bytes->len : size;
        return NULL;
    }
    bool random_data =
        input->input_data_type_case == INFERENCE__MODEL_WARMUP__INPUT__INPUT_DATA_TYPE_RANDOM_DATA;
    if (!random_data &&
        input->input_data_type_case != INFERENCE__MODEL_WARMUP__INPUT__INPUT_DATA_TYPE_ZERO_DATA) {
        return status_new(NRD_INVALID_ARG,
                          "[request id: <id_unknown>] warmup setting expects input '%s' to have "
                          "input_data_type set",
                          name);
    }
    char *made = arena_calloc(&sample->arena, 1, size + 1);
    if (made == NULL) {
        return status_no_memory();
    }
    // Random lengths would not make BYTES elements: those stay empty.
    for (size_t i = 0; i < size && random_data && !text; i++) {
        made[i] = (char)(random() >> 7);
    }
    *bytes = slice_make(made, size);
    return NULL;
}

static struct nrd_status *data_size(const char *name, const Inference__ModelWarmup__Input *input,
                                    TRITONSERVER_DataType type, size_t *size)
{
    int64_t product = input->n_dims == 0 ? 0 : 1;
    for (size_t i = 0; i < input->n_dims; i++) {
        if (input->dims[i] < 0) {
            return status_new(NRD_INVALID_ARG,
                              "warmup setting expects all variable-size dimensions are specified "
                              "for input '%s'",
                              name);
        }
        if (__builtin_mul_overflow(product, input->dims[i], &product)) {
            return status_new(NRD_INVALID_ARG,
                              "element count for tensor '%s' exceeds maximum size of %" PRId64,
                              name, INT64_MAX);
        }
    }
    uint32_t element =
        type == TRITONSERVER_TYPE_BYTES ? sizeof(uint32_t) : TRITONSERVER_DataTypeByteSize(type);
    if (__builtin_mul_overflow(product, (int64_t)element, &product)) {
        return status_new(NRD_INVALID_ARG,
                          "byte size for tensor '%s' exceeds maximum size of %" PRId64, name,
                          INT64_MAX);
    }
    *size = (size_t)product;
    return NULL;
}

static struct nrd_status *add_input(struct sample *sample, struct request *request,
                                    const char *name, const Inference__ModelWarmup__Input *input)
{
    // Both enumerations number the types alike.
    TRITONSERVER_DataType type = (TRITONSERVER_DataType)input->data_type;
    size_t size = 0;
    struct slice bytes = {0};
    NRD_TRY(data_size(name, input, type, &size));
    NRD_TRY(make_data(sample, name, input, type == TRITONSERVER_TYPE_BYTES, size, &bytes));
    int64_t *shape = arena_alloc(&sample->arena, (input->n_dims + 1) * sizeof(*shape));
    if (shape == NULL) {
        return status_no_memory();
    }
    size_t count = 0;
    if (sample->model->max_batch_size != 0) {
        shape[count++] = 1;
    }
    for (size_t i = 0; i < input->n_dims; i++) {
        shape[count++] = input->dims[i];
    }
    NRD_TRY(request_add_input(request, name, type, shape, count));
    struct buffer_attributes attributes = {.byte_size = bytes.len};
    return request_append(request, request_find_input(request, name), NULL, bytes.ptr, &attributes);
}

static struct nrd_status *add_request(struct sample *sample)
{
    struct request *request = request_create(model_ref(sample->model), sample->model->version);
    if (request == NULL) {
        model_unref(sample->model);
        return status_no_memory();
    }
    sample->requests[sample->request_count++] = request;
    request->warm_up = true;
    request->release_fn = on_release;
    request->release_userp = sample;
    request->allocator = &warmup_allocator;
    request->response_fn = on_response;
    request->response_userp = sample;
    for (size_t i = 0; i < sample->config->n_inputs; i++) {
        const Inference__ModelWarmup__InputsEntry *entry = sample->config->inputs[i];
        NRD_TRY(add_input(sample, request, entry->key, entry->value));
    }
    return request_normalize(request);
}

// ---- running ------------------------------------------------------------------------------------

static struct nrd_status *run_once(struct sample *sample, struct instance *instance)
{
    uint64_t now = clock_now_ns();
    sample->open = 2 * sample->request_count;
    for (uint32_t i = 0; i < sample->request_count; i++) {
        struct request *request = sample->requests[i];
        NRD_TRY(response_factory_renew(request));
        request->start_ns = now;
        request->queue_ns = now;
    }
    instance_execute(instance, sample->requests, sample->request_count);
    bool over = false;
    while (!over) {
        parking_wait(&sample->done, 0);
        pthread_mutex_lock(&sample->mutex);
        over = sample->open == 0;
        pthread_mutex_unlock(&sample->mutex);
    }
    if (sample->errors.len == 0) {
        return str_status(&sample->errors);
    }
    return status_new(NRD_INVALID_ARG, "failed to run warmup sample '%s': %s", sample->config->name,
                      str_cstr(&sample->errors));
}

static struct nrd_status *run_sample(struct instance *instance, struct sample *sample)
{
    const Inference__ModelWarmup *config = sample->config;
    sample->requests = mem_calloc(config->batch_size, sizeof(struct request *));
    if (sample->requests == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 0; i < config->batch_size; i++) {
        NRD_TRY(add_request(sample));
    }
    uint32_t count = config->count == 0 ? 1 : config->count;
    for (uint32_t i = 0; i < count; i++) {
        LOG_DEBUG(1, "model '%s' instance %s is running warmup sample '%s' for iteration %" PRIu32,
                  sample->model->name, instance->name, config->name, i + 1);
        NRD_TRY(run_once(sample, instance));
    }
    return NULL;
}

static void sample_fini(struct sample *sample)
{
    for (uint32_t i = 0; i < sample->request_count; i++) {
        request_destroy(sample->requests[i]);
    }
    for (size_t i = 0; i < sample->file_count; i++) {
        str_fini(&sample->files[i]);
    }
    mem_free(sample->requests);
    mem_free(sample->files);
    str_fini(&sample->errors);
    arena_fini(&sample->arena);
    pthread_mutex_destroy(&sample->mutex);
}

struct nrd_status *warmup_run(struct instance *instance)
{
    const Inference__ModelConfig *config = instance->model->config;
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < config->n_model_warmup && status == NULL; i++) {
        struct sample sample = {.config = config->model_warmup[i], .model = instance->model};
        if (sample.config->batch_size == 0) {
            LOG_DEBUG(1, "Skipping batch 0 warmup sample '%s'", sample.config->name);
            continue;
        }
        arena_init(&sample.arena, 0);
        pthread_mutex_init(&sample.mutex, NULL);
        parking_init(&sample.done);
        status = run_sample(instance, &sample);
        sample_fini(&sample);
    }
    return status;
}
