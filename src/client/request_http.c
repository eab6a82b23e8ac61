// SPDX-License-Identifier: Apache-2.0
// The HTTP form of requests. An inference is a JSON head and the tensors' bytes behind it, in the order of the inputs
// (Triton's binary tensor data extension).
#include "base/json.h"
#include "client/compress.h"
#include "client/infer.h"

// A name becomes a part of the path as it is: Triton decodes no percent signs.
bool http_name_fits_path(const char *name)
{
    for (const char *c = name; *c != '\0'; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == '/' || *c == '?' || *c == '#') {
            return false;
        }
    }
    return true;
}

struct nrd_status *http_write_model_target(struct nrd_client_call *call, const char *verb,
                                           const char *model, const char *version,
                                           const char *suffix)
{
    bool has_version = version != NULL && version[0] != '\0';
    if (model == NULL || model[0] == '\0') {
        return status_new(NRD_INVALID_ARG, "no model is named");
    }
    if (!http_name_fits_path(model) || (has_version && !http_name_fits_path(version))) {
        return status_new(NRD_INVALID_ARG, "the name cannot be asked for over HTTP");
    }
    struct str *head = &call->head;
    str_append_cstr(head, verb);
    str_append_slice(head, str_slice(&call->client->url.path));
    str_append_cstr(head, "/v2/models/");
    str_append_cstr(head, model);
    if (has_version) {
        str_append_cstr(head, "/versions/");
        str_append_cstr(head, version);
    }
    str_append_cstr(head, suffix);
    return NULL;
}

void http_write_headers(struct nrd_client_call *call, bool has_body, size_t size, size_t json)
{
    struct str *head = &call->head;
    str_append_cstr(head, " HTTP/1.1\r\nHost: ");
    str_append_slice(head, str_slice(&call->client->url.target));
    if (has_body) {
        str_append_cstr(head,
                        json == SIZE_MAX || json == size
                            ? "\r\nContent-Type: application/json\r\nContent-Length: "
                            : "\r\nContent-Type: application/octet-stream\r\nContent-Length: ");
        str_append_u64(head, size);
    }
    if (json != SIZE_MAX) {
        str_append_cstr(head, "\r\nInference-Header-Content-Length: ");
        str_append_u64(head, json);
    }
    const char *wanted = compress_name(call->client->options.response_compression);
    if (wanted != NULL) {
        str_append_cstr(head, "\r\nAccept-Encoding: ");
        str_append_cstr(head, wanted);
    }
    if (call->packed.len > 0) {
        str_append_cstr(head, "\r\nContent-Encoding: ");
        str_append_cstr(head, compress_name(call->client->options.request_compression));
    }
    str_append_cstr(head, "\r\n");
    str_append_slice(head, str_slice(&call->client->headers));
    str_append_cstr(head, "\r\n");
}

static void write_parameter(struct json_writer *w, const struct nrd_client_parameter *p)
{
    json_key(w, p->name);
    switch (p->kind) {
    case NRD_CLIENT_PARAMETER_STRING:
        json_cstring(w, p->as.s != NULL ? p->as.s : "");
        break;
    case NRD_CLIENT_PARAMETER_BOOL:
        json_bool(w, p->as.b);
        break;
    case NRD_CLIENT_PARAMETER_INT:
        json_i64(w, p->as.i);
        break;
    case NRD_CLIENT_PARAMETER_DOUBLE:
        json_f64(w, p->as.d);
        break;
    }
}

static void write_parameters(struct json_writer *w, const struct nrd_client_request *request)
{
    json_key(w, "parameters");
    json_object_begin(w);
    bool named = request->sequence_name != NULL && request->sequence_name[0] != '\0';
    if (named || request->sequence_id != 0) {
        json_key(w, "sequence_id");
        named ? json_cstring(w, request->sequence_name) : json_u64(w, request->sequence_id);
        json_key(w, "sequence_start");
        json_bool(w, request->sequence_start);
        json_key(w, "sequence_end");
        json_bool(w, request->sequence_end);
    }
    if (request->priority != 0) {
        json_key(w, "priority");
        json_u64(w, request->priority);
    }
    if (request->timeout_us != 0) {
        json_key(w, "timeout");
        json_u64(w, request->timeout_us);
    }
    for (size_t i = 0; i < request->parameter_count; i++) {
        write_parameter(w, &request->parameters[i]);
    }
    json_key(w, "binary_data_output");
    json_bool(w, true);
    json_object_end(w);
}

static void write_region(struct json_writer *w, const char *region, uint64_t offset, size_t size)
{
    json_key(w, "shared_memory_region");
    json_cstring(w, region);
    json_key(w, "shared_memory_byte_size");
    json_u64(w, size);
    if (offset != 0) {
        json_key(w, "shared_memory_offset");
        json_u64(w, offset);
    }
}

static void write_input(struct json_writer *w, const struct nrd_client_input *input)
{
    json_object_begin(w);
    json_key(w, "name");
    json_cstring(w, input->name);
    json_key(w, "datatype");
    json_cstring(w, nrd_dtype_name(input->dtype));
    json_key(w, "shape");
    json_array_begin(w);
    for (size_t i = 0; i < input->rank; i++) {
        json_i64(w, input->shape[i]);
    }
    json_array_end(w);
    json_key(w, "parameters");
    json_object_begin(w);
    if (input->region != NULL) {
        write_region(w, input->region, input->region_offset, input->size);
    } else {
        json_key(w, "binary_data_size");
        json_u64(w, input->size);
    }
    json_object_end(w);
    json_object_end(w);
}

static void write_output(struct json_writer *w, const struct nrd_client_output *output)
{
    json_object_begin(w);
    json_key(w, "name");
    json_cstring(w, output->name);
    json_key(w, "parameters");
    json_object_begin(w);
    if (output->region != NULL) {
        write_region(w, output->region, output->region_offset, output->capacity);
    } else {
        json_key(w, "binary_data");
        json_bool(w, true);
    }
    if (output->classes > 0) {
        json_key(w, "classification");
        json_u64(w, output->classes);
    }
    json_object_end(w);
    json_object_end(w);
}

static void write_json(struct json_writer *w, const struct nrd_client_request *request)
{
    json_object_begin(w);
    if (request->id != NULL && request->id[0] != '\0') {
        json_key(w, "id");
        json_cstring(w, request->id);
    }
    write_parameters(w, request);
    json_key(w, "inputs");
    json_array_begin(w);
    for (size_t i = 0; i < request->input_count; i++) {
        write_input(w, &request->inputs[i]);
    }
    json_array_end(w);
    if (request->output_count > 0) {
        json_key(w, "outputs");
        json_array_begin(w);
        for (size_t i = 0; i < request->output_count; i++) {
            write_output(w, &request->outputs[i]);
        }
        json_array_end(w);
    }
    json_object_end(w);
}

struct nrd_status *infer_write_http(struct nrd_client_call *call,
                                    const struct nrd_client_request *request)
{
    NRD_TRY(http_write_model_target(call, "POST ", request->model, request->version, "/infer"));
    struct json_writer w;
    json_begin(&w, &call->body);
    write_json(&w, request);
    NRD_TRY(str_status(&call->body));
    // The head goes first and is written last: its place is kept.
    size_t size = call->body.len;
    bool binary = false;
    bool fits =
        call_add_part(call, &call->head, 1) && call_add_part(call, call->body.ptr, call->body.len);
    for (size_t i = 0; i < request->input_count && fits; i++) {
        const struct nrd_client_input *input = &request->inputs[i];
        if (input->region == NULL) {
            binary = true;
            size += input->size;
            fits = call_add_part(call, input->data, input->size);
        }
    }
    if (!fits) {
        return status_no_memory();
    }
    enum nrd_client_compression compression = call->client->options.request_compression;
    if (compression != NRD_CLIENT_COMPRESSION_NONE) {
        NRD_TRY(
            compress_parts(call->parts + 1, call->part_count - 1, 0, compression, &call->packed));
        size = call->packed.len;
        call->parts[1] = (struct iovec){call->packed.ptr, size};
        call->part_count = 2;
    }
    http_write_headers(call, true, size, binary ? call->body.len : SIZE_MAX);
    NRD_TRY(str_status(&call->head));
    call->parts[0] = (struct iovec){call->head.ptr, call->head.len};
    return NULL;
}
