// SPDX-License-Identifier: Apache-2.0
// From the core's responses to answers: the allocator of outputs, and the callbacks that turn a response into the bytes around its
// tensors and post them to the loop. Start at infer_on_response(). Thread: any, but for what runs as a task.
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "protocol/classify.h"
#include "protocol/core_ext.h"
#include "protocol/grpc_infer.h"

enum { STACK_ITEMS = 16 };

// ---- the allocator of outputs (any thread) --------------------------------------------------------------------------

static TRITONSERVER_Error *alloc_output(TRITONSERVER_ResponseAllocator *allocator, const char *name,
                                        size_t size, TRITONSERVER_MemoryType type, int64_t type_id,
                                        void *userp, void **buffer, void **buffer_userp,
                                        TRITONSERVER_MemoryType *actual_type,
                                        int64_t *actual_type_id)
{
    (void)allocator;
    struct infer *infer = userp;
    *buffer = NULL;
    *buffer_userp = NULL;
    *actual_type = type;
    *actual_type_id = type_id;
    if (size == 0) {
        return NULL;
    }
    const struct output_ask *ask = infer->ask_count > 0 ? infer_ask(infer, name) : NULL;
    if (ask != NULL && ask->in_shm) {
        if (size > ask->shm_size) {
            return rpc_error(TRITONSERVER_ERROR_INTERNAL,
                             "shared memory size specified with the request for output '%s' (%zu "
                             "bytes) should be at least %zu bytes to hold the results",
                             name, ask->shm_size, size);
        }
        *buffer = ask->shm.base;
        *actual_type = ask->shm.memory_type;
        *actual_type_id = ask->shm.memory_type_id;
        return NULL;
    }
    *actual_type = TRITONSERVER_MEMORY_CPU;
    *actual_type_id = 0;
    *buffer_userp = infer->server->buffers; // to which it returns; shared memory has none
    *buffer = buffer_pool_get(infer->server->buffers, size, NULL);
    return *buffer == NULL ? rpc_no_memory() : NULL;
}

static TRITONSERVER_Error *query_output(TRITONSERVER_ResponseAllocator *allocator, void *userp,
                                        const char *name, size_t *size,
                                        TRITONSERVER_MemoryType *type, int64_t *type_id)
{
    (void)allocator;
    struct infer *infer = userp;
    const struct output_ask *ask =
        name != NULL && infer->ask_count > 0 ? infer_ask(infer, name) : NULL;
    bool fits = ask != NULL && ask->in_shm && (size == NULL || *size <= ask->shm_size);
    *type = fits ? ask->shm.memory_type : TRITONSERVER_MEMORY_CPU;
    *type_id = fits ? ask->shm.memory_type_id : 0;
    return NULL;
}

static TRITONSERVER_Error *release_output(TRITONSERVER_ResponseAllocator *allocator, void *buffer,
                                          void *buffer_userp, size_t size,
                                          TRITONSERVER_MemoryType type, int64_t type_id)
{
    (void)allocator, (void)size, (void)type, (void)type_id;
    if (buffer_userp != NULL) {
        buffer_pool_put(buffer_userp, buffer);
    }
    return NULL;
}

TRITONSERVER_Error *infer_allocator_new(TRITONSERVER_ResponseAllocator **allocator)
{
    RPC_TRY(TRITONSERVER_ResponseAllocatorNew(allocator, alloc_output, release_output, NULL));
    return TRITONSERVER_ResponseAllocatorSetQueryFunction(*allocator, query_output);
}

// ---- from response to answer (any thread) ---------------------------------------------------------------------------

void infer_on_release(TRITONSERVER_InferenceRequest *request, const uint32_t flags, void *userp)
{
    (void)request;
    struct infer *infer = userp;
    if ((flags & TRITONSERVER_REQUEST_RELEASE_ALL) != 0) {
        infer_release_regions(infer);
        grpc_message_free(infer->server->buffers, &infer->message);
        grpc_infer_unref(infer);
    }
}

static TRITONSERVER_Error *read_param_of(TRITONSERVER_InferenceResponse *response, uint32_t index,
                                         struct infer_param *p)
{
    const char *name;
    TRITONSERVER_ParameterType type;
    const void *value;
    RPC_TRY(TRITONSERVER_InferenceResponseParameter(response, index, &name, &type, &value));
    *p = (struct infer_param){.key = slice_of(name)};
    switch (type) {
    case TRITONSERVER_PARAMETER_BOOL:
        p->kind = INFER_PARAM_BOOL;
        p->as.b = *(const bool *)value;
        return NULL;
    case TRITONSERVER_PARAMETER_INT:
        p->kind = INFER_PARAM_INT64;
        p->as.i = *(const int64_t *)value;
        return NULL;
    case TRITONSERVER_PARAMETER_STRING:
        p->kind = INFER_PARAM_STRING;
        p->text = slice_of((const char *)value);
        return NULL;
    case TRITONSERVER_PARAMETER_DOUBLE:
        p->kind = INFER_PARAM_DOUBLE;
        p->as.d = *(const double *)value;
        return NULL;
    case TRITONSERVER_PARAMETER_BYTES:
        break;
    }
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNSUPPORTED,
                                 "Response parameter of type 'TRITONSERVER_PARAMETER_BYTES' is not "
                                 "currently supported");
}

// Describes one output; a classification's bytes are appended to answer->classes and `bytes` stays NULL until all are there.
static TRITONSERVER_Error *read_output_of(struct answer *a, const char *model, int64_t version,
                                          uint32_t index, struct infer_pb_output *o,
                                          int64_t class_shape[2])
{
    const char *name;
    TRITONSERVER_DataType type;
    const int64_t *shape;
    uint64_t dims;
    const void *base;
    size_t size;
    TRITONSERVER_MemoryType memory;
    int64_t memory_id;
    void *userp;
    RPC_TRY(TRITONSERVER_InferenceResponseOutput(a->response, index, &name, &type, &shape, &dims,
                                                 &base, &size, &memory, &memory_id, &userp));
    const struct infer *infer = a->infer;
    const struct output_ask *ask = infer->ask_count > 0 ? infer_ask(infer, name) : NULL;
    *o = (struct infer_pb_output){
        .name = slice_of(name),
        .datatype = slice_of(TRITONSERVER_DataTypeString(type)),
        .shape = shape,
        .dim_count = (unsigned)dims,
        .bytes = base,
        .size = userp == NULL ? 0 : size, // shared memory needs no bytes here
    };
    if (ask == NULL || ask->classes == 0) {
        return NULL;
    }
    uint32_t flags = 0;
    RPC_TRY(
        TRITONSERVER_ServerModelBatchProperties(infer->server->core, model, version, &flags, NULL));
    struct classify_output in = {
        .response = a->response,
        .index = index,
        .datatype = type,
        .shape = shape,
        .dim_count = dims,
        .base = base,
        .byte_size = size,
        .class_count = ask->classes,
        .batched = (flags & TRITONSERVER_BATCH_FIRST_DIM) != 0,
    };
    struct classify_result result;
    size_t before = a->classes.len;
    struct nrd_status *status = classify(&in, &a->classes, &result);
    if (status != NULL) {
        return status_to_error(status);
    }
    memcpy(class_shape, result.shape, sizeof(result.shape));
    o->datatype = SLICE("BYTES");
    o->shape = class_shape;
    o->dim_count = (unsigned)result.dim_count;
    o->bytes = NULL;
    o->size = a->classes.len - before;
    return NULL;
}

static void body_released(struct http2_body *body)
{
    answer_free(CONTAINER_OF(body, struct answer, body));
}

// Lays the measured response out in the answer: head, parts, prefix, body. False: no memory.
static bool answer_write(struct answer *a, const struct infer_pb_response *response)
{
    struct buffer_pool *buffers = a->infer->server->buffers;
    struct infer_pb_plan plan;
    infer_pb_measure(response, GRPC_PREFIX, &plan);
    char *head = a->head;
    if (plan.head_size > ANSWER_HEAD) {
        head = a->head_buffer = buffer_pool_get(buffers, plan.head_size, NULL);
    }
    if (plan.part_count > ANSWER_PARTS) {
        a->parts = a->parts_buffer =
            buffer_pool_get(buffers, plan.part_count * sizeof(*a->parts), NULL);
    }
    if (head == NULL || a->parts == NULL || plan.message_size > INT32_MAX) {
        return false;
    }
    grpc_prefix(head, plan.message_size);
    a->body.parts = a->parts;
    a->body.part_count = infer_pb_write(response, GRPC_PREFIX, head, a->parts);
    a->body.release = body_released;
    a->has_message = true;
    if (a->response != NULL && a->body.part_count == 1) {
        rpc_drop_error(TRITONSERVER_InferenceResponseDelete(a->response)); // all of it was copied
        a->response = NULL;
    }
    return true;
}

// Reads the response into `r`, whose arrays are the caller's, and writes the answer.
static TRITONSERVER_Error *describe(struct answer *a, bool final, struct infer_pb_response *r,
                                    struct infer_param *params, struct infer_pb_output *outputs,
                                    int64_t (*class_shapes)[2])
{
    TRITONSERVER_InferenceResponse *response = a->response;
    const char *model;
    const char *id;
    int64_t version;
    RPC_TRY(TRITONSERVER_InferenceResponseModel(response, &model, &version));
    RPC_TRY(TRITONSERVER_InferenceResponseId(response, &id));
    for (unsigned i = 0; i < r->param_count; i++) {
        RPC_TRY(read_param_of(response, i, &params[i]));
    }
    if (r->streamed) {
        params[r->param_count++] = (struct infer_param){
            .key = SLICE("triton_final_response"), .kind = INFER_PARAM_BOOL, .as.b = final};
    }
    for (unsigned i = 0; i < r->output_count; i++) {
        RPC_TRY(read_output_of(a, model, version, i, &outputs[i], class_shapes[i]));
    }
    size_t class_at = 0;
    for (unsigned i = 0; i < r->output_count; i++) {
        if (outputs[i].bytes == NULL && outputs[i].size > 0) {
            outputs[i].bytes = str_cstr(&a->classes) + class_at;
            class_at += outputs[i].size;
        }
    }
    char version_text[24];
    int length = snprintf(version_text, sizeof(version_text), "%" PRId64, version);
    r->model_name = slice_of(model);
    r->model_version = slice_make(version_text, (size_t)length);
    r->id = slice_of(id);
    r->params = params;
    r->outputs = outputs;
    return answer_write(a, r) ? NULL : rpc_no_memory();
}

// Makes the answer of a response, which the answer takes. Error: the response's own, or what was wrong with it.
static TRITONSERVER_Error *answer_fill(struct answer *a, TRITONSERVER_InferenceResponse *response,
                                       bool final)
{
    a->response = response;
    TRITONSERVER_Error *own = TRITONSERVER_InferenceResponseError(response);
    if (own != NULL) {
        return own;
    }
    struct infer_pb_response r = {.streamed = a->infer->streamed};
    uint32_t param_count;
    uint32_t output_count;
    RPC_TRY(TRITONSERVER_InferenceResponseParameterCount(response, &param_count));
    RPC_TRY(TRITONSERVER_InferenceResponseOutputCount(response, &output_count));
    r.param_count = param_count;
    r.output_count = output_count;
    if (param_count < STACK_ITEMS && output_count <= STACK_ITEMS) {
        struct infer_param params[STACK_ITEMS];
        struct infer_pb_output outputs[STACK_ITEMS];
        int64_t class_shapes[STACK_ITEMS][2];
        return describe(a, final, &r, params, outputs, class_shapes);
    }
    struct infer_param *params = mem_calloc((size_t)param_count + 1, sizeof(*params));
    struct infer_pb_output *outputs = mem_calloc((size_t)output_count + 1, sizeof(*outputs));
    int64_t(*class_shapes)[2] = mem_calloc((size_t)output_count + 1, sizeof(*class_shapes));
    TRITONSERVER_Error *error = params == NULL || outputs == NULL || class_shapes == NULL
                                    ? rpc_no_memory()
                                    : describe(a, final, &r, params, outputs, class_shapes);
    mem_free(params);
    mem_free(outputs);
    mem_free(class_shapes);
    return error;
}

bool answer_write_plain(struct answer *a, struct slice text, bool described)
{
    const struct infer *infer = a->infer;
    struct infer_param final = {
        .key = SLICE("triton_final_response"), .kind = INFER_PARAM_BOOL, .as.b = a->final};
    struct infer_pb_response r = {.streamed = true, .error = text, .id = infer->id};
    if (described) {
        r.model_name = infer->model_name;
        r.model_version = infer->model_version;
        r.params = &final;
        r.param_count = 1;
    }
    return answer_write(a, &r);
}

static void unary_answered(struct loop_task *task)
{
    struct answer *a = CONTAINER_OF(task, struct answer, task);
    struct infer *infer = a->infer;
    struct rpc *rpc = infer->rpc;
    infer_gather(rpc->lane);
    infer->in_core = false;
    rpc->lane->infers--;
    rpc->infer = NULL;
    if (a->error != NULL) {
        TRITONSERVER_Error *error = a->error;
        a->error = NULL;
        rpc_finish_error(rpc, error);
    }
    if (a->has_message) {
        grpc_send(&rpc->call, &a->body); // releases it at once when the call is over
        grpc_finish(&rpc->call, GRPC_OK, (struct slice){0});
    } else {
        answer_free(a);
    }
    infer_over(infer);
}

static void on_unary_response(struct infer *infer, TRITONSERVER_InferenceResponse *response,
                              bool final)
{
    struct answer *a = infer->held;
    if (a == NULL) {
        a = infer->held = answer_new(infer); // the first is part of the infer: never NULL
    }
    if (response != NULL && infer->responses++ == 0) {
        a->error = answer_fill(a, response, final);
    } else if (response != NULL) {
        rpc_drop_error(TRITONSERVER_InferenceResponseDelete(response));
    }
    if (!final) {
        return;
    }
    if (infer->responses != 1) {
        if (a->error != NULL) {
            TRITONSERVER_ErrorDelete(a->error);
        }
        a->error = rpc_error(TRITONSERVER_ERROR_INTERNAL, "expected a single response, got %u",
                             infer->responses);
    }
    if (a->error != NULL) {
        a->has_message = false;
    }
    a->final = true;
    a->task.run = unary_answered;
    core_ext_post(infer->loop, &a->task);
}

static void stream_task(struct loop_task *task)
{
    stream_answered(CONTAINER_OF(task, struct answer, task));
}

// No memory for the last answer of a stream's request: the first answer's place says so, once it is free.
static void lost(struct loop_task *task)
{
    struct infer *infer = CONTAINER_OF(task, struct infer, lost_task);
    stream_lost(infer);
}

static void on_stream_response(struct infer *infer, TRITONSERVER_InferenceResponse *response,
                               bool final)
{
    bool empty_final = response == NULL && final && infer->decoupled && infer->empty_final;
    if (response == NULL && !final) {
        return;
    }
    struct answer *a = answer_new(infer);
    if (a == NULL) {
        if (response != NULL) {
            rpc_drop_error(TRITONSERVER_InferenceResponseDelete(response));
        }
        infer->lost = true;
        if (final) {
            infer->lost_task.run = lost;
            core_ext_post(infer->loop, &infer->lost_task);
        }
        return;
    }
    a->final = final;
    TRITONSERVER_Error *error = NULL;
    if (response != NULL) {
        infer->responses++;
        error = answer_fill(a, response, final);
    }
    bool ok = true;
    if (error != NULL && infer->grpc_error) {
        a->error = error;
        error = NULL;
    } else if (error != NULL || empty_final) {
        const char *text = error == NULL ? "" : TRITONSERVER_ErrorMessage(error);
        ok = answer_write_plain(a, slice_of(text), true);
    }
    if (error != NULL) {
        TRITONSERVER_ErrorDelete(error);
    }
    if (!ok) {
        a->error = rpc_no_memory();
    }
    a->task.run = stream_task;
    core_ext_post(infer->loop, &a->task);
}

void infer_on_response(TRITONSERVER_InferenceResponse *response, const uint32_t flags, void *userp)
{
    struct infer *infer = userp;
    bool final = (flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL) != 0;
    if (infer->streamed) {
        on_stream_response(infer, response, final);
    } else {
        on_unary_response(infer, response, final);
    }
}
