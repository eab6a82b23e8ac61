// SPDX-License-Identifier: Apache-2.0
// The gRPC form of an inference request: a ModelInferRequest whose raw_input_contents are written from where they lie. All
// that is around them is written into call->head, in order; the parts of the call alternate between it and the tensors.
#include "client/compress.h"
#include "client/infer.h"
#include "net/grpc_message.h"
#include "proto/wire.h"

// Field numbers of src/proto/grpc_service.proto.
enum {
    REQUEST_MODEL_NAME = 1,
    REQUEST_MODEL_VERSION = 2,
    REQUEST_ID = 3,
    REQUEST_PARAMETERS = 4,
    REQUEST_INPUTS = 5,
    REQUEST_OUTPUTS = 6,
    REQUEST_RAW = 7,
    INPUT_NAME = 1,
    INPUT_DATATYPE = 2,
    INPUT_SHAPE = 3,
    INPUT_PARAMETERS = 4,
    OUTPUT_NAME = 1,
    OUTPUT_PARAMETERS = 2,
    ENTRY_KEY = 1,
    ENTRY_VALUE = 2,
    PARAMETER_BOOL = 1,
    PARAMETER_INT64 = 2,
    PARAMETER_STRING = 3,
    PARAMETER_DOUBLE = 4,
    PARAMETER_UINT64 = 5,
};

static void put_text(struct str *out, uint32_t field, const char *text)
{
    if (text != NULL && text[0] != '\0') {
        wire_put_bytes(out, field, slice_of(text));
    }
}

// ---- parameters: entries of a map -------------------------------------------------------------------------------------

static size_t begin_entry(struct str *out, uint32_t field, const char *key, size_t *value)
{
    size_t entry = wire_begin(out, field);
    wire_put_bytes(out, ENTRY_KEY, slice_of(key));
    *value = wire_begin(out, ENTRY_VALUE);
    return entry;
}

static void end_entry(struct str *out, size_t entry, size_t value)
{
    wire_end(out, value);
    wire_end(out, entry);
}

static void put_number(struct str *out, uint32_t field, const char *key, uint32_t kind,
                       uint64_t number)
{
    size_t value;
    size_t entry = begin_entry(out, field, key, &value);
    wire_put_number(out, kind, number);
    end_entry(out, entry, value);
}

static void put_string(struct str *out, uint32_t field, const char *key, const char *text)
{
    size_t value;
    size_t entry = begin_entry(out, field, key, &value);
    wire_put_bytes(out, PARAMETER_STRING, slice_of(text));
    end_entry(out, entry, value);
}

static void put_double(struct str *out, uint32_t field, const char *key, double number)
{
    size_t value;
    size_t entry = begin_entry(out, field, key, &value);
    wire_put_tag(out, PARAMETER_DOUBLE, WIRE_FIXED64);
    str_append(out, &number, sizeof(number));
    end_entry(out, entry, value);
}

static void put_region(struct str *out, uint32_t field, const char *region, uint64_t offset,
                       size_t size)
{
    put_string(out, field, "shared_memory_region", region);
    put_number(out, field, "shared_memory_byte_size", PARAMETER_INT64, size);
    if (offset != 0) {
        put_number(out, field, "shared_memory_offset", PARAMETER_INT64, offset);
    }
}

static void put_parameter(struct str *out, const struct nrd_client_parameter *p)
{
    switch (p->kind) {
    case NRD_CLIENT_PARAMETER_STRING:
        put_string(out, REQUEST_PARAMETERS, p->name, p->as.s != NULL ? p->as.s : "");
        break;
    case NRD_CLIENT_PARAMETER_BOOL:
        put_number(out, REQUEST_PARAMETERS, p->name, PARAMETER_BOOL, p->as.b);
        break;
    case NRD_CLIENT_PARAMETER_INT:
        put_number(out, REQUEST_PARAMETERS, p->name, PARAMETER_INT64, (uint64_t)p->as.i);
        break;
    case NRD_CLIENT_PARAMETER_DOUBLE:
        put_double(out, REQUEST_PARAMETERS, p->name, p->as.d);
        break;
    }
}

static void put_parameters(struct str *out, const struct nrd_client_request *request)
{
    bool named = request->sequence_name != NULL && request->sequence_name[0] != '\0';
    if (named || request->sequence_id != 0) {
        if (named) {
            put_string(out, REQUEST_PARAMETERS, "sequence_id", request->sequence_name);
        } else {
            put_number(out, REQUEST_PARAMETERS, "sequence_id", PARAMETER_INT64,
                       request->sequence_id);
        }
        put_number(out, REQUEST_PARAMETERS, "sequence_start", PARAMETER_BOOL,
                   request->sequence_start);
        put_number(out, REQUEST_PARAMETERS, "sequence_end", PARAMETER_BOOL, request->sequence_end);
    }
    if (request->priority != 0) {
        put_number(out, REQUEST_PARAMETERS, "priority", PARAMETER_UINT64, request->priority);
    }
    if (request->timeout_us != 0) {
        put_number(out, REQUEST_PARAMETERS, "timeout", PARAMETER_INT64, request->timeout_us);
    }
    if (request->empty_final_response) {
        put_number(out, REQUEST_PARAMETERS, "triton_enable_empty_final_response", PARAMETER_BOOL,
                   1);
    }
    for (size_t i = 0; i < request->parameter_count; i++) {
        put_parameter(out, &request->parameters[i]);
    }
}

// ---- tensors ----------------------------------------------------------------------------------------------------------

static void put_input(struct str *out, const struct nrd_client_input *input)
{
    size_t begin = wire_begin(out, REQUEST_INPUTS);
    put_text(out, INPUT_NAME, input->name);
    put_text(out, INPUT_DATATYPE, nrd_dtype_name(input->dtype));
    size_t shape = wire_begin(out, INPUT_SHAPE);
    for (size_t i = 0; i < input->rank; i++) {
        wire_put_varint(out, (uint64_t)input->shape[i]);
    }
    wire_end(out, shape);
    if (input->region != NULL) {
        put_region(out, INPUT_PARAMETERS, input->region, input->region_offset, input->size);
    }
    wire_end(out, begin);
}

static void put_output(struct str *out, const struct nrd_client_output *output)
{
    size_t begin = wire_begin(out, REQUEST_OUTPUTS);
    put_text(out, OUTPUT_NAME, output->name);
    if (output->classes > 0) {
        put_number(out, OUTPUT_PARAMETERS, "classification", PARAMETER_INT64, output->classes);
    }
    if (output->region != NULL) {
        put_region(out, OUTPUT_PARAMETERS, output->region, output->region_offset, output->capacity);
    }
    wire_end(out, begin);
}

// Writes what is around the tensors' bytes; notes in `ends` where each tensor belongs. Returns the size of the tensors.
static size_t put_request(struct str *out, const struct nrd_client_request *request, size_t *ends)
{
    static const char prefix[GRPC_PREFIX] = {0};
    str_append(out, prefix, sizeof(prefix)); // filled in when the size is known
    put_text(out, REQUEST_MODEL_NAME, request->model);
    put_text(out, REQUEST_MODEL_VERSION, request->version);
    put_text(out, REQUEST_ID, request->id);
    put_parameters(out, request);
    for (size_t i = 0; i < request->input_count; i++) {
        put_input(out, &request->inputs[i]);
    }
    for (size_t i = 0; i < request->output_count; i++) {
        put_output(out, &request->outputs[i]);
    }
    size_t bytes = 0;
    for (size_t i = 0; i < request->input_count; i++) {
        const struct nrd_client_input *input = &request->inputs[i];
        if (input->region == NULL) {
            wire_put_tag(out, REQUEST_RAW, WIRE_BYTES);
            wire_put_varint(out, input->size);
            bytes += input->size;
        }
        ends[i] = out->len;
    }
    return bytes;
}

// Puts the compressed message in the place of the parts, where the client is to compress.
static struct nrd_status *compress_message(struct nrd_client_call *call)
{
    enum nrd_client_compression compression = call->client->options.request_compression;
    if (compression == NRD_CLIENT_COMPRESSION_NONE) {
        return NULL;
    }
    NRD_TRY(compress_parts(call->parts, call->part_count, GRPC_PREFIX, compression, &call->packed));
    char *prefix = call->head.ptr;
    grpc_prefix(prefix, call->packed.len);
    prefix[0] = 1;
    call->parts[0] = (struct iovec){prefix, GRPC_PREFIX};
    call->part_count = 1;
    return call_add_part(call, call->packed.ptr, call->packed.len) ? NULL : status_no_memory();
}

struct nrd_status *infer_write_grpc(struct nrd_client_call *call,
                                    const struct nrd_client_request *request)
{
    call->path = "/inference.GRPCInferenceService/ModelInfer";
    struct str *head = &call->head;
    size_t *ends = arena_alloc(&call->arena, (request->input_count + 1) * sizeof(*ends));
    if (ends == NULL) {
        return status_no_memory();
    }
    size_t bytes = put_request(head, request, ends);
    NRD_TRY(str_status(head));
    size_t size = head->len - GRPC_PREFIX + bytes;
    if (size > INT32_MAX) {
        return status_new(NRD_INVALID_ARG, "the request has %zu bytes, gRPC takes at most %d", size,
                          INT32_MAX);
    }
    grpc_prefix(head->ptr, size);
    size_t at = 0;
    bool fits = true;
    for (size_t i = 0; i < request->input_count && fits; i++) {
        const struct nrd_client_input *input = &request->inputs[i];
        if (input->region == NULL && input->size > 0) {
            fits = call_add_part(call, head->ptr + at, ends[i] - at) &&
                   call_add_part(call, input->data, input->size);
            at = ends[i];
        }
    }
    fits = fits && call_add_part(call, head->ptr + at, head->len - at);
    return fits ? compress_message(call) : status_no_memory();
}
