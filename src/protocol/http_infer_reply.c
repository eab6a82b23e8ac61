// SPDX-License-Identifier: Apache-2.0
// From a TRITONSERVER_InferenceResponse to a reply: the allocator that gives outputs their memory, the JSON head, and the
// chunks that send both. The response callback runs on an instance's thread and does all the writing; the loop only sends.
// Output memory is ours, not the response's, so the response goes back to the core at once and a slow client
// holds no model.
#include "base/log.h"
#include "protocol/classify.h"
#include "protocol/core_ext.h"
#include "protocol/http_infer.h"
#include "protocol/http_tensor.h"

// ---- the allocator

static const struct infer_wanted *find_wanted(const struct infer *infer, const char *name)
{
    for (unsigned i = 0; i < infer->wanted_count; i++) {
        if (strcmp(infer->wanted[i].name, name) == 0) {
            return &infer->wanted[i];
        }
    }
    return NULL;
}

static TRITONSERVER_Error *allocate(TRITONSERVER_ResponseAllocator *allocator,
                                    const char *tensor_name, size_t byte_size,
                                    TRITONSERVER_MemoryType memory_type, int64_t memory_type_id,
                                    void *userp, void **buffer, void **buffer_userp,
                                    TRITONSERVER_MemoryType *actual_memory_type,
                                    int64_t *actual_memory_type_id)
{
    (void)allocator;
    (void)memory_type;
    (void)memory_type_id;
    struct infer *infer = userp;
    const struct infer_wanted *wanted = find_wanted(infer, tensor_name);
    enum output_kind kind = wanted == NULL ? infer->default_kind : wanted->kind;
    *buffer = NULL;
    *buffer_userp = NULL;
    if (kind == OUTPUT_SHM && byte_size > wanted->byte_size) {
        return status_to_error(status_new(
            NRD_INTERNAL,
            "shared memory size specified with the request for output '%s' (%llu bytes) should be "
            "at least %zu bytes to hold the results",
            tensor_name, (unsigned long long)wanted->byte_size, byte_size));
    }
    size_t own = kind == OUTPUT_SHM ? 0 : byte_size;
    struct infer_output *output =
        buffer_pool_get(infer->http->pool, sizeof(struct infer_output) + own, NULL);
    if (output == NULL) {
        return status_to_error(status_new(
            NRD_INTERNAL, "failed to reserve %zu bytes in output tensor buffer", byte_size));
    }
    output->pool = infer->http->pool;
    output->kind = kind;
    output->class_count = wanted == NULL ? 0 : wanted->class_count;
    output->kept = false;
    *actual_memory_type = kind == OUTPUT_SHM ? wanted->memory_type : TRITONSERVER_MEMORY_CPU;
    *actual_memory_type_id = kind == OUTPUT_SHM ? wanted->memory_type_id : 0;
    // Not NULL for no bytes either: the core gives back only what has an address.
    *buffer = kind == OUTPUT_SHM ? wanted->base : output->data;
    *buffer_userp = output;
    return NULL;
}

static TRITONSERVER_Error *release(TRITONSERVER_ResponseAllocator *allocator, void *buffer,
                                   void *buffer_userp, size_t byte_size,
                                   TRITONSERVER_MemoryType memory_type, int64_t memory_type_id)
{
    (void)allocator;
    (void)buffer;
    (void)byte_size;
    (void)memory_type;
    (void)memory_type_id;
    struct infer_output *output = buffer_userp;
    if (output != NULL && !output->kept) {
        buffer_pool_put(output->pool, output);
    }
    return NULL;
}

static TRITONSERVER_Error *query(TRITONSERVER_ResponseAllocator *allocator, void *userp,
                                 const char *tensor_name, size_t *byte_size,
                                 TRITONSERVER_MemoryType *memory_type, int64_t *memory_type_id)
{
    (void)allocator;
    *memory_type = TRITONSERVER_MEMORY_CPU;
    *memory_type_id = 0;
    const struct infer_wanted *wanted =
        tensor_name == NULL ? NULL : find_wanted(userp, tensor_name);
    // Too small a region becomes an error when memory is asked for, not here.
    if (wanted != NULL && wanted->kind == OUTPUT_SHM &&
        (byte_size == NULL || *byte_size <= wanted->byte_size)) {
        *memory_type = wanted->memory_type;
        *memory_type_id = wanted->memory_type_id;
    }
    return NULL;
}

struct nrd_status *infer_allocator_create(TRITONSERVER_ResponseAllocator **out)
{
    TRITONSERVER_ResponseAllocator *allocator = NULL;
    NRD_TRY(
        error_to_status(TRITONSERVER_ResponseAllocatorNew(&allocator, allocate, release, NULL)));
    struct nrd_status *status =
        error_to_status(TRITONSERVER_ResponseAllocatorSetQueryFunction(allocator, query));
    if (status != NULL) {
        http_drop_error(TRITONSERVER_ResponseAllocatorDelete(allocator), "deleting an allocator");
        return status;
    }
    *out = allocator;
    return NULL;
}

// ---- the JSON head

bool infer_write_parameter(struct json_writer *writer, TRITONSERVER_ParameterType type,
                           const void *value)
{
    switch (type) {
    case TRITONSERVER_PARAMETER_STRING:
        json_cstring(writer, value);
        return true;
    case TRITONSERVER_PARAMETER_INT:
        json_i64(writer, *(const int64_t *)value);
        return true;
    case TRITONSERVER_PARAMETER_BOOL:
        json_bool(writer, *(const bool *)value);
        return true;
    case TRITONSERVER_PARAMETER_DOUBLE:
        json_f64(writer, *(const double *)value);
        return true;
    case TRITONSERVER_PARAMETER_BYTES:
        break;
    }
    return false;
}

// A key that is written with its quotes and colon: most of a small reply is keys, so they are not looked through.
static void put_key(struct json_writer *writer, struct slice quoted)
{
    if (writer->comma) {
        str_append_char(writer->out, ',');
    }
    str_append_slice(writer->out, quoted);
    writer->comma = false;
}

static struct nrd_status *write_parameters(struct json_writer *writer,
                                           TRITONSERVER_InferenceResponse *response)
{
    uint32_t count = 0;
    NRD_TRY(error_to_status(TRITONSERVER_InferenceResponseParameterCount(response, &count)));
    if (count == 0) {
        return NULL;
    }
    put_key(writer, SLICE("\"parameters\":"));
    json_object_begin(writer);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = NULL;
        TRITONSERVER_ParameterType type;
        const void *value = NULL;
        NRD_TRY(error_to_status(
            TRITONSERVER_InferenceResponseParameter(response, i, &name, &type, &value)));
        json_key(writer, name);
        if (!infer_write_parameter(writer, type, value)) {
            return status_new(NRD_UNSUPPORTED,
                              "Response parameter of type 'TRITONSERVER_PARAMETER_BYTES' is not "
                              "currently supported");
        }
    }
    json_object_end(writer);
    return NULL;
}

// An output as the response tells it.
struct told_output {
    const char *name;
    TRITONSERVER_DataType type;
    const int64_t *shape;
    uint64_t dim_count;
    const void *base;
    size_t byte_size;
    struct infer_output *memory;
};

static void write_shape(struct json_writer *writer, const int64_t *shape, uint64_t dim_count,
                        uint64_t *count)
{
    put_key(writer, SLICE("\"shape\":"));
    json_array_begin(writer);
    *count = 1;
    for (uint64_t i = 0; i < dim_count; i++) {
        json_u64(writer, (uint64_t)shape[i]);
        *count *= (uint64_t)shape[i];
    }
    json_array_end(writer);
}

static void release_output(struct stream_chunk *chunk)
{
    struct infer_output *output = CONTAINER_OF(chunk, struct infer_output, chunk);
    buffer_pool_put(output->pool, output);
}

// Puts memory at the end of the reply, which owns it from then on.
static void keep_output(struct infer *infer, struct infer_output *output, size_t size)
{
    output->kept = true;
    output->chunk =
        (struct stream_chunk){.ptr = output->data, .len = size, .release = release_output};
    *infer->chunks_end = &output->chunk;
    infer->chunks_end = &output->chunk.next;
}

static struct nrd_status *write_data(struct infer *infer, struct json_writer *writer,
                                     const struct told_output *told, uint64_t count)
{
    enum output_kind kind = told->memory == NULL ? OUTPUT_SHM : told->memory->kind;
    if (kind == OUTPUT_BINARY) {
        put_key(writer, SLICE("\"parameters\":"));
        json_object_begin(writer);
        put_key(writer, SLICE("\"binary_data_size\":"));
        json_u64(writer, told->byte_size);
        json_object_end(writer);
        if (told->byte_size > 0) {
            keep_output(infer, told->memory, told->byte_size);
        }
    } else if (kind == OUTPUT_JSON) {
        put_key(writer, SLICE("\"data\":"));
        json_array_begin(writer);
        NRD_TRY(tensor_to_json(writer, told->name, told->type, told->base, told->byte_size, count));
        json_array_end(writer);
    }
    return NULL;
}

// The classes replace the output: another type, another shape, other bytes.
static struct nrd_status *write_classes(struct infer *infer, struct json_writer *writer,
                                        struct told_output *told, const struct str *classes,
                                        const struct classify_result *result)
{
    uint64_t count = 0;
    told->type = TRITONSERVER_TYPE_BYTES;
    put_key(writer, SLICE("\"datatype\":"));
    json_cstring(writer, "BYTES");
    write_shape(writer, result->shape, result->dim_count, &count);
    told->base = str_cstr(classes);
    told->byte_size = classes->len;
    if (told->memory->kind != OUTPUT_BINARY || classes->len == 0) {
        return write_data(infer, writer, told, count);
    }
    struct infer_output *fresh =
        buffer_pool_get(infer->http->pool, sizeof(*fresh) + classes->len, NULL);
    if (fresh == NULL) {
        return status_no_memory();
    }
    fresh->pool = infer->http->pool;
    fresh->kind = OUTPUT_BINARY;
    memcpy(fresh->data, classes->ptr, classes->len);
    told->memory = fresh;
    return write_data(infer, writer, told, count);
}

static struct nrd_status *write_classified(struct infer *infer, struct json_writer *writer,
                                           TRITONSERVER_InferenceResponse *response, uint32_t index,
                                           struct told_output *told)
{
    const char *model = NULL;
    int64_t version = 0;
    uint32_t flags = 0;
    NRD_TRY(error_to_status(TRITONSERVER_InferenceResponseModel(response, &model, &version)));
    NRD_TRY(error_to_status(TRITONSERVER_ServerModelBatchProperties(infer->http->triton, model,
                                                                    version, &flags, NULL)));
    struct classify_output output = {
        .response = response,
        .index = index,
        .datatype = told->type,
        .shape = told->shape,
        .dim_count = told->dim_count,
        .base = told->base,
        .byte_size = told->byte_size,
        .class_count = told->memory->class_count,
        .batched = (flags & TRITONSERVER_BATCH_FIRST_DIM) != 0,
    };
    struct str classes = STR_INIT;
    struct classify_result result;
    struct nrd_status *status = classify(&output, &classes, &result);
    if (status == NULL) {
        status = write_classes(infer, writer, told, &classes, &result);
    }
    str_fini(&classes);
    return status;
}

static struct nrd_status *write_output(struct infer *infer, struct json_writer *writer,
                                       TRITONSERVER_InferenceResponse *response, uint32_t index)
{
    struct told_output told = {0};
    TRITONSERVER_MemoryType memory_type;
    int64_t memory_type_id;
    void *userp = NULL;
    NRD_TRY(error_to_status(TRITONSERVER_InferenceResponseOutput(
        response, index, &told.name, &told.type, &told.shape, &told.dim_count, &told.base,
        &told.byte_size, &memory_type, &memory_type_id, &userp)));
    told.memory = userp;
    json_object_begin(writer);
    put_key(writer, SLICE("\"name\":"));
    json_cstring(writer, told.name);
    if (told.memory != NULL && told.memory->class_count > 0) {
        NRD_TRY(write_classified(infer, writer, response, index, &told));
    } else {
        uint64_t count = 0;
        put_key(writer, SLICE("\"datatype\":"));
        json_cstring(writer, TRITONSERVER_DataTypeString(told.type));
        write_shape(writer, told.shape, told.dim_count, &count);
        NRD_TRY(write_data(infer, writer, &told, count));
    }
    json_object_end(writer);
    return NULL;
}

static struct nrd_status *write_reply(struct infer *infer, TRITONSERVER_InferenceResponse *response)
{
    NRD_TRY(error_to_status(TRITONSERVER_InferenceResponseError(response)));
    const char *id = "";
    const char *model = "";
    int64_t version = 0;
    NRD_TRY(error_to_status(TRITONSERVER_InferenceResponseId(response, &id)));
    NRD_TRY(error_to_status(TRITONSERVER_InferenceResponseModel(response, &model, &version)));
    struct json_writer writer;
    json_begin(&writer, &infer->json);
    json_object_begin(&writer);
    if (id != NULL && id[0] != '\0') {
        put_key(&writer, SLICE("\"id\":"));
        json_cstring(&writer, id);
    }
    put_key(&writer, SLICE("\"model_name\":"));
    json_cstring(&writer, model);
    put_key(&writer, SLICE("\"model_version\":"));
    str_append_char(&infer->json, '"');
    str_append_i64(&infer->json, version);
    str_append_char(&infer->json, '"');
    writer.comma = true;
    NRD_TRY(write_parameters(&writer, response));
    uint32_t count = 0;
    NRD_TRY(error_to_status(TRITONSERVER_InferenceResponseOutputCount(response, &count)));
    put_key(&writer, SLICE("\"outputs\":"));
    json_array_begin(&writer);
    for (uint32_t i = 0; i < count; i++) {
        NRD_TRY(write_output(infer, &writer, response, i));
    }
    json_array_end(&writer);
    json_object_end(&writer);
    return str_status(&infer->json);
}

// ---- the reply

static void drop_chunks(struct infer *infer)
{
    struct stream_chunk *chunk = infer->chunks;
    infer->chunks = NULL;
    infer->chunks_end = &infer->chunks;
    while (chunk != NULL) {
        struct stream_chunk *next = chunk->next;
        chunk->release(chunk);
        chunk = next;
    }
}

// Replaces head and tensors by their compressed form; leaves them as they are when that fails, as Triton does.
static void compress_reply(struct infer *infer)
{
    struct str out = STR_INIT;
    infer->json_chunk = (struct stream_chunk){
        .next = infer->chunks, .ptr = infer->json.ptr, .len = infer->json.len};
    struct nrd_status *status = coding_deflate(infer->coding, &infer->json_chunk, &out);
    if (status != NULL) {
        LOG_DEBUG(1, "unable to compress response: %s", status_text(status));
        status_free(status);
        infer->coding = CODING_IDENTITY;
        str_fini(&out);
        return;
    }
    drop_chunks(infer);
    str_fini(&infer->json);
    infer->json = out;
}

static void finish_head(struct infer *infer)
{
    str_clear(&infer->headers);
    if (infer->chunks != NULL) {
        str_append_slice(&infer->headers, SLICE("Content-Type: application/octet-stream\r\n"
                                                "Inference-Header-Content-Length: "));
        str_append_u64(&infer->headers, infer->json.len);
        str_append_slice(&infer->headers, SLICE("\r\n"));
    } else {
        str_append_slice(&infer->headers, HTTP_TYPE_JSON);
    }
    if (infer->coding != CODING_IDENTITY) {
        compress_reply(infer);
    }
    if (infer->coding != CODING_IDENTITY) {
        str_printf(&infer->headers, "Content-Encoding: %s\r\n", coding_name(infer->coding));
    }
}

static void set_error(struct infer *infer, struct nrd_status *status)
{
    drop_chunks(infer);
    infer->status = code_http(status_code(status));
    str_clear(&infer->headers);
    str_clear(&infer->json);
    str_append_slice(&infer->json, SLICE("{\"error\":"));
    json_escape(&infer->json, slice_of(status_text(status)));
    str_append_char(&infer->json, '}');
    status_free(status);
}

static void json_sent(struct stream_chunk *chunk)
{
    infer_unref(CONTAINER_OF(chunk, struct infer, json_chunk));
}

static void reply_on_loop(struct loop_task *task)
{
    struct infer *infer = CONTAINER_OF(task, struct infer, task);
    if (infer->headers.failed || infer->json.failed) {
        http1_text(infer->request)->failed =
            true; // half a head misleads: the connection ends instead
    }
    // The JSON goes last to the free list: the headers that http1_reply() copies are the infer's too.
    infer->json_chunk = (struct stream_chunk){.next = infer->chunks,
                                              .ptr = infer->json.ptr,
                                              .len = infer->json.len,
                                              .release = json_sent};
    http1_reply(infer->request, infer->status, str_slice(&infer->headers), infer->headers.len > 0,
                &infer->json_chunk);
}

void infer_response(TRITONSERVER_InferenceResponse *response, const uint32_t flags, void *userp)
{
    struct infer *infer = userp;
    struct nrd_status *status = NULL;
    infer->responses += response != NULL;
    if (infer->responses != 1) {
        status = status_new(NRD_INTERNAL, "expected a single response, got %u", infer->responses);
    } else if (response != NULL) {
        status = write_reply(infer, response);
    }
    // The response goes first: from here on what was kept of its memory is the reply's alone.
    if (response != NULL) {
        http_drop_error(TRITONSERVER_InferenceResponseDelete(response),
                        "deleting an inference response");
    }
    if (status != NULL) {
        set_error(infer, status);
    } else if (response != NULL) {
        finish_head(infer);
    }
    if ((flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL) != 0) {
        infer->task.run = reply_on_loop;
        core_ext_post(infer->loop, &infer->task);
    }
}
