// SPDX-License-Identifier: Apache-2.0
// From a ModelInferRequest to the core's request. The order of checks and the texts are Triton's.
//
// Names and tensors stay in the message; only what is needed after the core has let go of it is copied. Start at
// grpc_infer_start(). Thread: loop.
#include "protocol/body_locks.h"
#include "protocol/core_ext.h"
#include "protocol/grpc_infer.h"

static TRITONSERVER_Error *invalid(const char *text)
{
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INVALID_ARG, text);
}

static TRITONSERVER_Error *bad_kind(const char *name, const char *expected)
{
    return rpc_error(TRITONSERVER_ERROR_INVALID_ARG,
                     "invalid value type for '%s' parameter, expected %s.", name, expected);
}

static TRITONSERVER_Error *set_sequence_id(TRITONSERVER_InferenceRequest *q,
                                           const struct infer_param *p)
{
    if (p->kind == INFER_PARAM_INT64) {
        return TRITONSERVER_InferenceRequestSetCorrelationId(q, p->as.u);
    }
    if (p->kind == INFER_PARAM_STRING) {
        return TRITONSERVER_InferenceRequestSetCorrelationIdString(q, p->text.ptr);
    }
    return bad_kind("sequence_id", "int64_param or string_param");
}

static TRITONSERVER_Error *set_priority(TRITONSERVER_InferenceRequest *q,
                                        const struct infer_param *p)
{
    if (p->kind != INFER_PARAM_INT64 && p->kind != INFER_PARAM_UINT64) {
        return bad_kind("priority", "int64_param or uint64_param");
    }
    if (p->kind == INFER_PARAM_INT64 && p->as.i < 0) {
        return invalid("invalid value for 'priority', expected value >= 0.");
    }
    return TRITONSERVER_InferenceRequestSetPriorityUInt64(q, p->as.u);
}

static TRITONSERVER_Error *set_flag(const struct infer_param *p, uint32_t flag, uint32_t *flags)
{
    if (p->kind != INFER_PARAM_BOOL) {
        return bad_kind(p->key.ptr, "bool_param");
    }
    *flags |= p->as.b ? flag : 0;
    return NULL;
}

static TRITONSERVER_Error *set_custom(TRITONSERVER_InferenceRequest *q, const struct infer_param *p)
{
    switch (p->kind) {
    case INFER_PARAM_INT64:
        return TRITONSERVER_InferenceRequestSetIntParameter(q, p->key.ptr, p->as.i);
    case INFER_PARAM_BOOL:
        return TRITONSERVER_InferenceRequestSetBoolParameter(q, p->key.ptr, p->as.b);
    case INFER_PARAM_STRING:
        return TRITONSERVER_InferenceRequestSetStringParameter(q, p->key.ptr, p->text.ptr);
    case INFER_PARAM_DOUBLE:
        return TRITONSERVER_InferenceRequestSetDoubleParameter(q, p->key.ptr, p->as.d);
    case INFER_PARAM_UINT64:
    case INFER_PARAM_NONE:
        break;
    }
    return bad_kind(p->key.ptr, "int64_param, bool_param, or string_param");
}

static TRITONSERVER_Error *set_param(struct infer *infer, const struct infer_param *p,
                                     uint32_t *flags)
{
    TRITONSERVER_InferenceRequest *q = infer->request;
    if (slice_is(p->key, "sequence_id")) {
        return set_sequence_id(q, p);
    }
    if (slice_is(p->key, "sequence_start")) {
        return set_flag(p, TRITONSERVER_REQUEST_FLAG_SEQUENCE_START, flags);
    }
    if (slice_is(p->key, "sequence_end")) {
        return set_flag(p, TRITONSERVER_REQUEST_FLAG_SEQUENCE_END, flags);
    }
    if (slice_is(p->key, "priority")) {
        return set_priority(q, p);
    }
    if (slice_is(p->key, "timeout")) {
        return p->kind == INFER_PARAM_INT64
                   ? TRITONSERVER_InferenceRequestSetTimeoutMicroseconds(q, p->as.u)
                   : bad_kind("timeout", "int64_param");
    }
    if (!slice_starts(p->key, SLICE("triton_"))) {
        return set_custom(q, p);
    }
    if (!slice_is(p->key, "triton_enable_empty_final_response")) {
        return invalid("parameter keys starting with 'triton_' are reserved for Triton usage. Only "
                       "the following keys starting with 'triton_' are allowed: "
                       "triton_enable_empty_final_response");
    }
    if (p->kind != INFER_PARAM_BOOL) {
        return bad_kind(p->key.ptr, "bool_param");
    }
    infer->empty_final = p->as.b;
    return NULL;
}

static TRITONSERVER_Error *set_description(struct infer *infer)
{
    const struct infer_request *r = &infer->parsed;
    TRITONSERVER_InferenceRequest *q = infer->request;
    if (r->id.len > 0) {
        RPC_TRY(TRITONSERVER_InferenceRequestSetId(q, r->id.ptr));
    }
    uint32_t flags = 0;
    for (unsigned i = 0; i < r->params.count; i++) {
        RPC_TRY(set_param(infer, &r->params.items[i], &flags));
    }
    if (flags != 0) {
        RPC_TRY(TRITONSERVER_InferenceRequestSetFlags(q, flags));
    }
    for (unsigned i = 0; i < r->input_count; i++) {
        const struct infer_input *in = &r->inputs[i];
        RPC_TRY(TRITONSERVER_InferenceRequestAddInput(
            q, in->name.ptr, TRITONSERVER_StringToDataType(in->datatype.ptr), in->shape,
            in->dim_count));
    }
    for (unsigned i = 0; i < r->output_count; i++) {
        RPC_TRY(TRITONSERVER_InferenceRequestAddRequestedOutput(q, r->outputs[i].name.ptr));
    }
    return NULL;
}

// A terminated copy in the arena.
static const char *c_string(struct infer *infer, struct slice text)
{
    return arena_strdup(&infer->arena, text);
}

static TRITONSERVER_Error *forward_headers(struct infer *infer)
{
    const struct header_pattern *pattern = infer->server->forward;
    const struct http2_stream *s = &infer->rpc->call.stream;
    for (unsigned i = 0; pattern != NULL && i < s->header_count; i++) {
        struct slice name = s->headers[i].name;
        if (name.len == 0 || name.ptr[0] == ':' || slice_starts(name, SLICE("grpc-")) ||
            slice_is(name, "te") || slice_is(name, "content-type") ||
            !header_pattern_matches(pattern, name)) {
            continue;
        }
        RPC_TRY(status_to_error(header_check_forward(name)));
        const char *key = c_string(infer, name);
        const char *value = c_string(infer, s->headers[i].value);
        if (key == NULL || value == NULL) {
            return rpc_no_memory();
        }
        RPC_TRY(TRITONSERVER_InferenceRequestSetStringParameter(infer->request, key, value));
    }
    return NULL;
}

struct shm_ask {
    bool present;
    struct slice region;
    int64_t offset;
    int64_t size;
};

static TRITONSERVER_Error *shm_misplaced(const char *what, struct slice tensor)
{
    return rpc_error(TRITONSERVER_ERROR_INVALID_ARG,
                     "'%s' can not be specified without 'shared_memory_region' parameter for "
                     "tensor '%s'",
                     what, tensor.ptr);
}

static TRITONSERVER_Error *shm_bad_kind(const char *what, struct slice tensor, const char *expected)
{
    return rpc_error(TRITONSERVER_ERROR_INVALID_ARG,
                     "invalid value type for '%s' parameter for tensor '%s', expected %s.", what,
                     tensor.ptr, expected);
}

static TRITONSERVER_Error *read_shm(const struct infer_params *params, struct slice tensor,
                                    struct shm_ask *ask)
{
    static const char offset_key[] = "shared_memory_offset";
    static const char size_key[] = "shared_memory_byte_size";
    *ask = (struct shm_ask){0};
    if (params->count == 0) {
        return NULL;
    }
    const struct infer_param *p = infer_params_get(params, "shared_memory_region");
    if (p != NULL) {
        if (p->kind != INFER_PARAM_STRING) {
            return shm_bad_kind("shared_memory_region", tensor, "string_param");
        }
        ask->present = true;
        ask->region = p->text;
    }
    p = infer_params_get(params, offset_key);
    if (p != NULL) {
        if (!ask->present) {
            return shm_misplaced(offset_key, tensor);
        }
        if (p->kind != INFER_PARAM_INT64) {
            return shm_bad_kind(offset_key, tensor, "int64_param");
        }
        ask->offset = p->as.i;
    }
    p = infer_params_get(params, size_key);
    if (p != NULL) {
        if (!ask->present) {
            return shm_misplaced(size_key, tensor);
        }
        if (p->kind != INFER_PARAM_INT64) {
            return shm_bad_kind(size_key, tensor, "int64_param");
        }
        ask->size = p->as.i;
    } else if (ask->present) {
        return rpc_error(TRITONSERVER_ERROR_INVALID_ARG,
                         "'shared_memory_byte_size' must be specified along with "
                         "'shared_memory_region' parameter for tensor '%s'",
                         tensor.ptr);
    }
    return NULL;
}

static TRITONSERVER_Error *lease(struct infer *infer, const struct shm_ask *ask,
                                 struct shm_lease *lease)
{
    struct shm_manager *shm = infer->server->options.shm;
    if (shm == NULL) {
        return rpc_error(TRITONSERVER_ERROR_NOT_FOUND, "Unable to find shared memory region: '%s'",
                         ask->region.ptr);
    }
    if (infer->regions == NULL) {
        unsigned most = infer->parsed.input_count + infer->parsed.output_count;
        infer->regions = arena_calloc(&infer->arena, most, sizeof(*infer->regions));
        if (infer->regions == NULL) {
            return rpc_no_memory();
        }
    }
    struct nrd_status *status =
        shm_lease(shm, ask->region, (uint64_t)ask->offset, (uint64_t)ask->size, lease);
    if (status != NULL) {
        return status_to_error(status);
    }
    infer->regions[infer->region_count++] = lease->region;
    return NULL;
}

// The datatype that each typed array stands for when the input does not say otherwise.
static TRITONSERVER_DataType array_type(enum infer_contents_kind kind, TRITONSERVER_DataType input)
{
    switch (kind) {
    case INFER_CONTENTS_BOOL:
        return TRITONSERVER_TYPE_BOOL;
    case INFER_CONTENTS_INT:
        return input == TRITONSERVER_TYPE_INT8 || input == TRITONSERVER_TYPE_INT16
                   ? input
                   : TRITONSERVER_TYPE_INT32;
    case INFER_CONTENTS_INT64:
        return TRITONSERVER_TYPE_INT64;
    case INFER_CONTENTS_UINT:
        return input == TRITONSERVER_TYPE_UINT8 || input == TRITONSERVER_TYPE_UINT16
                   ? input
                   : TRITONSERVER_TYPE_UINT32;
    case INFER_CONTENTS_UINT64:
        return TRITONSERVER_TYPE_UINT64;
    case INFER_CONTENTS_FP32:
        return TRITONSERVER_TYPE_FP32;
    case INFER_CONTENTS_FP64:
        return TRITONSERVER_TYPE_FP64;
    case INFER_CONTENTS_BYTES:
        return TRITONSERVER_TYPE_BYTES;
    case INFER_CONTENTS_KINDS:
        break;
    }
    return TRITONSERVER_TYPE_INVALID;
}

static TRITONSERVER_Error *typed_data(struct infer *infer, const struct infer_input *in,
                                      struct slice *out)
{
    TRITONSERVER_DataType type = TRITONSERVER_StringToDataType(in->datatype.ptr);
    const char *model = infer->parsed.model_name.ptr;
    *out = (struct slice){"", 0};
    for (int k = 0; k < INFER_CONTENTS_KINDS; k++) {
        const struct infer_array *array = &in->contents->arrays[k];
        if (array->count == 0) {
            continue;
        }
        if (out->len > 0) {
            return rpc_error(TRITONSERVER_ERROR_INVALID_ARG,
                             "unexpected explicit tensor data for input tensor '%s' for model "
                             "'%s', binary data was already supplied.",
                             in->name.ptr, model);
        }
        TRITONSERVER_DataType given = array_type((enum infer_contents_kind)k, type);
        if (given != type) {
            return rpc_error(TRITONSERVER_ERROR_INVALID_ARG,
                             "unexpected explicit tensor data for input tensor '%s' for model "
                             "'%s' of type '%s', expected datatype '%s'",
                             in->name.ptr, model, TRITONSERVER_DataTypeString(given),
                             TRITONSERVER_DataTypeString(type));
        }
        if (!infer_array_tensor(&infer->arena, array, (enum infer_contents_kind)k,
                                TRITONSERVER_DataTypeByteSize(type), out)) {
            return rpc_no_memory();
        }
    }
    return NULL;
}

static TRITONSERVER_Error *input_data(struct infer *infer, const struct infer_input *in,
                                      unsigned *raw_at)
{
    const struct infer_request *r = &infer->parsed;
    struct slice data;
    TRITONSERVER_MemoryType type = TRITONSERVER_MEMORY_CPU;
    int64_t type_id = 0;
    struct shm_ask ask;
    RPC_TRY(read_shm(&in->params, in->name, &ask));
    if (ask.present) {
        if (in->contents != NULL) {
            return rpc_error(TRITONSERVER_ERROR_INVALID_ARG,
                             "unexpected 'content' provided when using shared memory for input "
                             "tensor '%s' for model '%s'",
                             in->name.ptr, r->model_name.ptr);
        }
        struct shm_lease found;
        RPC_TRY(lease(infer, &ask, &found));
        data = slice_make(found.base, (size_t)ask.size);
        type = found.memory_type;
        type_id = found.memory_type_id;
    } else if (in->contents != NULL) {
        if (r->raw.count > 0) {
            return rpc_error(TRITONSERVER_ERROR_INVALID_ARG,
                             "contents field must not be specified when using raw_input_contents "
                             "for '%s' for model '%s'",
                             in->name.ptr, r->model_name.ptr);
        }
        RPC_TRY(typed_data(infer, in, &data));
    } else if (*raw_at < r->raw.count) {
        data = r->raw.items[(*raw_at)++];
        type = body_memory_type(infer->request, infer->message.buffer, data.len);
    } else {
        return rpc_error(TRITONSERVER_ERROR_INVALID_ARG,
                         "unable to find data for input tensor '%s' for model '%s' in request.",
                         in->name.ptr, r->model_name.ptr);
    }
    return TRITONSERVER_InferenceRequestAppendInputData(infer->request, in->name.ptr, data.ptr,
                                                        data.len, type, type_id);
}

static TRITONSERVER_Error *read_classification(const struct infer_output *out, uint32_t *classes)
{
    *classes = 0;
    const struct infer_param *p = infer_params_get(&out->params, "classification");
    if (p == NULL) {
        return NULL;
    }
    if (p->kind != INFER_PARAM_INT64) {
        return invalid("invalid value type for 'classification' parameter, expected int64_param");
    }
    if (p->as.i <= 0) {
        return invalid("invalid value for 'classification' parameter, expected >= 0");
    }
    *classes = (uint32_t)p->as.i;
    return NULL;
}

static TRITONSERVER_Error *output_asks(struct infer *infer)
{
    const struct infer_request *r = &infer->parsed;
    for (unsigned i = 0; i < r->output_count; i++) {
        const struct infer_output *out = &r->outputs[i];
        struct shm_ask shm;
        uint32_t classes = 0;
        if (out->params.count == 0) {
            continue;
        }
        RPC_TRY(read_shm(&out->params, out->name, &shm));
        RPC_TRY(read_classification(out, &classes));
        if (shm.present && classes > 0) {
            return invalid("output can't set both 'shared_memory_region' and 'classification'");
        }
        if (!shm.present && classes == 0) {
            continue;
        }
        if (infer->asks == NULL) {
            infer->asks = arena_calloc(&infer->arena, r->output_count, sizeof(*infer->asks));
            if (infer->asks == NULL) {
                return rpc_no_memory();
            }
        }
        const char *name = c_string(infer, out->name); // the message may go before the answer comes
        if (name == NULL) {
            return rpc_no_memory();
        }
        struct output_ask *ask = &infer->asks[infer->ask_count++];
        ask->name = slice_make(name, out->name.len);
        ask->classes = classes;
        if (shm.present) {
            RPC_TRY(lease(infer, &shm, &ask->shm));
            ask->in_shm = true;
            ask->shm_size = (size_t)shm.size;
        }
    }
    return NULL;
}

const struct output_ask *infer_ask(const struct infer *infer, const char *name)
{
    for (unsigned i = 0; i < infer->ask_count; i++) {
        if (slice_is(infer->asks[i].name, name)) {
            return &infer->asks[i];
        }
    }
    return NULL;
}

static bool keep_names(struct infer *infer)
{
    const struct infer_request *r = &infer->parsed;
    const char *id = c_string(infer, r->id);
    const char *name = c_string(infer, r->model_name);
    const char *version = c_string(infer, r->model_version);
    if (id == NULL || name == NULL || version == NULL) {
        return false;
    }
    infer->id = slice_make(id, r->id.len);
    infer->model_name = slice_make(name, r->model_name.len);
    infer->model_version = slice_make(version, r->model_version.len);
    return true;
}

TRITONSERVER_Error *grpc_infer_start(struct infer *infer)
{
    struct grpc_server *server = infer->server;
    struct infer_request *r = &infer->parsed;
    if (atomic_load_explicit(&server->refusing, memory_order_relaxed)) {
        return TRITONSERVER_ErrorNew(
            TRITONSERVER_ERROR_UNAVAILABLE,
            "GRPC server is shutting down and has stopped accepting new requests.");
    }
    int64_t version;
    uint32_t txn = 0;
    RPC_TRY(rpc_version(r->model_version.ptr, &version));
    RPC_TRY(TRITONSERVER_ServerModelTransactionProperties(server->core, r->model_name.ptr, version,
                                                          &txn, NULL));
    infer->decoupled = (txn & TRITONSERVER_TXN_DECOUPLED) != 0;
    if (infer->decoupled && !infer->streamed) {
        return TRITONSERVER_ErrorNew(
            TRITONSERVER_ERROR_UNSUPPORTED,
            "ModelInfer RPC doesn't support models with decoupled transaction policy");
    }
    RPC_TRY(TRITONSERVER_InferenceRequestNew(&infer->request, server->core, r->model_name.ptr,
                                             version));
    RPC_TRY(set_description(infer));
    RPC_TRY(forward_headers(infer));
    unsigned raw_at = 0;
    for (unsigned i = 0; i < r->input_count; i++) {
        RPC_TRY(input_data(infer, &r->inputs[i], &raw_at));
    }
    RPC_TRY(output_asks(infer));
    RPC_TRY(
        TRITONSERVER_InferenceRequestSetReleaseCallback(infer->request, infer_on_release, infer));
    RPC_TRY(TRITONSERVER_InferenceRequestSetResponseCallback(infer->request, server->allocator,
                                                             infer, infer_on_response, infer));
    // The callbacks may run before the call returns: nothing of the infer but in_core is touched after it.
    atomic_fetch_add_explicit(&infer->references, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&infer->region_holds, 1, memory_order_relaxed);
    infer->in_core = true;
    infer->rpc->lane->infers++;
    core_ext_cork(infer->loop);
    TRITONSERVER_Error *error = TRITONSERVER_ServerInferAsync(server->core, infer->request, NULL);
    if (error != NULL) {
        infer->in_core = false;
        infer->rpc->lane->infers--;
        atomic_fetch_sub_explicit(&infer->region_holds, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&infer->references, 1, memory_order_relaxed);
    }
    return error;
}

// Parses the message. False: malformed.
bool infer_parse(struct infer *infer)
{
    return infer_pb_read(&infer->arena, infer->message.bytes, infer->message.size,
                         &infer->parsed) &&
           (!infer->streamed || keep_names(infer));
}
