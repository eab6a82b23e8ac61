// SPDX-License-Identifier: Apache-2.0
// Inference: see grpc_infer.h. The order of checks and the texts are Triton's.
//
// The request is made on the loop; callbacks of the core run on its threads, turn a response into the bytes around its tensors,
// and post the answer to the loop. Start at grpc_infer_start() and on_response().
#include "protocol/grpc_infer.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "protocol/classify.h"
#include "protocol/core_ext.h"

enum { ARENA_BLOCK = 960, STACK_ITEMS = 16 };

#define TRY(expression)                                                                            \
    do {                                                                                           \
        TRITONSERVER_Error *try_error_ = (expression);                                             \
        if (try_error_ != NULL) {                                                                  \
            return try_error_;                                                                     \
        }                                                                                          \
    } while (0)

static TRITONSERVER_Error *no_memory(void)
{
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNAVAILABLE, "out of memory");
}

static TRITONSERVER_Error *invalid(const char *text)
{
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INVALID_ARG, text);
}

static void drop_error(TRITONSERVER_Error *error)
{
    if (error != NULL) {
        LOG_ERR("%s", TRITONSERVER_ErrorMessage(error));
        TRITONSERVER_ErrorDelete(error);
    }
}

// ---- life -----------------------------------------------------------------------------------------------------------

struct infer *infer_new(struct rpc *rpc, struct grpc_message message)
{
    struct grpc_server *server = rpc->server;
    struct infer *infer = object_pool_get(server->infers);
    if (infer == NULL) {
        grpc_message_free(server->buffers, &message);
        return NULL;
    }
    memset(infer, 0, offsetof(struct infer, first));
    infer->server = server;
    infer->loop = rpc->loop;
    infer->rpc = rpc;
    infer->message = message;
    infer->ready_tail = &infer->ready;
    atomic_init(&infer->references, 1);
    atomic_init(&infer->region_holds, 1);
    arena_init(&infer->arena, ARENA_BLOCK);
    grpc_call_ref(&rpc->call);
    atomic_fetch_add_explicit(&server->infers_out, 1, memory_order_relaxed);
    return infer;
}

void grpc_infer_unref(struct infer *infer)
{
    if (atomic_fetch_sub_explicit(&infer->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    struct grpc_server *server = infer->server;
    if (infer->request != NULL) {
        drop_error(TRITONSERVER_InferenceRequestDelete(infer->request));
    }
    grpc_message_free(server->buffers, &infer->message);
    arena_fini(&infer->arena);
    object_pool_put(server->infers, infer);
    atomic_fetch_sub_explicit(&server->infers_out, 1, memory_order_release);
}

// A backend may read inputs after it has answered, until it releases the request: who lets go last ends the leases.
static void release_regions(struct infer *infer)
{
    if (atomic_fetch_sub_explicit(&infer->region_holds, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (unsigned i = 0; i < infer->region_count; i++) {
        shm_release(infer->regions[i]);
    }
}

void infer_over(struct infer *infer)
{
    struct rpc *rpc = infer->rpc;
    infer->rpc = NULL;
    release_regions(infer);
    grpc_infer_unref(infer);
    grpc_call_unref(&rpc->call);
}

void infer_cancel(struct infer *infer)
{
    if (infer->in_core) {
        TRITONSERVER_Error *error = TRITONSERVER_InferenceRequestCancel(infer->request);
        if (error != NULL) {
            TRITONSERVER_ErrorDelete(error); // it was through already
        }
    }
}

// On one processor the kernel runs this loop as soon as the first answer is posted, before the core's thread makes the next: each
// answer then costs two switches and a write of its own. Giving way once a turn halves the cost of a small request. Where other
// work takes the processor meanwhile, giving way costs milliseconds; then it rests for a while.
void infer_gather(struct grpc_lane *lane)
{
    enum { DEAR_NS = 300 * 1000, REST_NS = 50 * 1000 * 1000 };
    uint64_t now = loop_now_ns(lane->loop);
    if (lane->infers < 2 || lane->gathered_at == now || now < lane->gather_again_ns) {
        return;
    }
    lane->gathered_at = now;
    uint64_t before = clock_now_ns();
    (void)sched_yield();
    uint64_t after = clock_now_ns();
    if (after - before > DEAR_NS) {
        lane->gather_again_ns = after + REST_NS;
    }
}

struct answer *answer_new(struct infer *infer)
{
    struct answer *a = &infer->first;
    if (infer->first_used) {
        a = object_pool_get(infer->server->answers);
        if (a == NULL) {
            return NULL;
        }
    }
    infer->first_used = true;
    memset(a, 0, offsetof(struct answer, inline_parts));
    a->infer = infer;
    a->parts = a->inline_parts;
    str_init(&a->classes);
    atomic_fetch_add_explicit(&infer->references, 1, memory_order_relaxed);
    return a;
}

void answer_free(struct answer *a)
{
    struct infer *infer = a->infer;
    struct grpc_server *server = infer->server;
    if (a->response != NULL) {
        drop_error(TRITONSERVER_InferenceResponseDelete(a->response));
    }
    if (a->error != NULL) {
        TRITONSERVER_ErrorDelete(a->error);
    }
    buffer_pool_put(server->buffers, a->head_buffer);
    buffer_pool_put(server->buffers, a->parts_buffer);
    str_fini(&a->classes);
    if (a != &infer->first) {
        object_pool_put(server->answers, a);
    }
    grpc_infer_unref(infer);
}

static void body_released(struct http2_body *body)
{
    answer_free(CONTAINER_OF(body, struct answer, body));
}

// ---- from message to request ----------------------------------------------------------------------------------------

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
        TRY(TRITONSERVER_InferenceRequestSetId(q, r->id.ptr));
    }
    uint32_t flags = 0;
    for (unsigned i = 0; i < r->params.count; i++) {
        TRY(set_param(infer, &r->params.items[i], &flags));
    }
    if (flags != 0) {
        TRY(TRITONSERVER_InferenceRequestSetFlags(q, flags));
    }
    for (unsigned i = 0; i < r->input_count; i++) {
        const struct infer_input *in = &r->inputs[i];
        TRY(TRITONSERVER_InferenceRequestAddInput(q, in->name.ptr,
                                                  TRITONSERVER_StringToDataType(in->datatype.ptr),
                                                  in->shape, in->dim_count));
    }
    for (unsigned i = 0; i < r->output_count; i++) {
        TRY(TRITONSERVER_InferenceRequestAddRequestedOutput(q, r->outputs[i].name.ptr));
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
    static const char *const reserved[] = {"sequence_id",       "sequence_start", "sequence_end",
                                           "priority",          "timeout",        "headers",
                                           "binary_data_output"};
    const struct header_pattern *pattern = infer->server->forward;
    const struct http2_stream *s = &infer->rpc->call.stream;
    for (unsigned i = 0; pattern != NULL && i < s->header_count; i++) {
        struct slice name = s->headers[i].name;
        if (name.len == 0 || name.ptr[0] == ':' || slice_starts(name, SLICE("grpc-")) ||
            slice_is(name, "te") || slice_is(name, "content-type") ||
            !header_pattern_matches(pattern, name)) {
            continue;
        }
        bool taken = slice_starts(name, SLICE("triton_"));
        for (size_t k = 0; k < sizeof(reserved) / sizeof(reserved[0]); k++) {
            taken |= slice_is(name, reserved[k]);
        }
        if (taken) {
            return rpc_error(TRITONSERVER_ERROR_INVALID_ARG,
                             "Header '%.*s' is reserved for Triton usage and cannot be forwarded.",
                             (int)name.len, name.ptr);
        }
        const char *key = c_string(infer, name);
        const char *value = c_string(infer, s->headers[i].value);
        if (key == NULL || value == NULL) {
            return no_memory();
        }
        TRY(TRITONSERVER_InferenceRequestSetStringParameter(infer->request, key, value));
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
            return no_memory();
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
            return no_memory();
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
    TRY(read_shm(&in->params, in->name, &ask));
    if (ask.present) {
        if (in->contents != NULL) {
            return rpc_error(TRITONSERVER_ERROR_INVALID_ARG,
                             "unexpected 'content' provided when using shared memory for input "
                             "tensor '%s' for model '%s'",
                             in->name.ptr, r->model_name.ptr);
        }
        struct shm_lease found;
        TRY(lease(infer, &ask, &found));
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
        TRY(typed_data(infer, in, &data));
    } else if (*raw_at < r->raw.count) {
        data = r->raw.items[(*raw_at)++];
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
        TRY(read_shm(&out->params, out->name, &shm));
        TRY(read_classification(out, &classes));
        if (shm.present && classes > 0) {
            return invalid("output can't set both 'shared_memory_region' and 'classification'");
        }
        if (!shm.present && classes == 0) {
            continue;
        }
        if (infer->asks == NULL) {
            infer->asks = arena_calloc(&infer->arena, r->output_count, sizeof(*infer->asks));
            if (infer->asks == NULL) {
                return no_memory();
            }
        }
        const char *name = c_string(infer, out->name); // the message may go before the answer comes
        if (name == NULL) {
            return no_memory();
        }
        struct output_ask *ask = &infer->asks[infer->ask_count++];
        ask->name = slice_make(name, out->name.len);
        ask->classes = classes;
        if (shm.present) {
            TRY(lease(infer, &shm, &ask->shm));
            ask->in_shm = true;
            ask->shm_size = (size_t)shm.size;
        }
    }
    return NULL;
}

static const struct output_ask *ask_of(const struct infer *infer, const char *name)
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

static void on_release(TRITONSERVER_InferenceRequest *request, const uint32_t flags, void *userp);
static void on_response(TRITONSERVER_InferenceResponse *response, const uint32_t flags,
                        void *userp);

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
    TRY(rpc_version(r->model_version.ptr, &version));
    TRY(TRITONSERVER_ServerModelTransactionProperties(server->core, r->model_name.ptr, version,
                                                      &txn, NULL));
    infer->decoupled = (txn & TRITONSERVER_TXN_DECOUPLED) != 0;
    if (infer->decoupled && !infer->streamed) {
        return TRITONSERVER_ErrorNew(
            TRITONSERVER_ERROR_UNSUPPORTED,
            "ModelInfer RPC doesn't support models with decoupled transaction policy");
    }
    TRY(TRITONSERVER_InferenceRequestNew(&infer->request, server->core, r->model_name.ptr,
                                         version));
    TRY(set_description(infer));
    TRY(forward_headers(infer));
    unsigned raw_at = 0;
    for (unsigned i = 0; i < r->input_count; i++) {
        TRY(input_data(infer, &r->inputs[i], &raw_at));
    }
    TRY(output_asks(infer));
    TRY(TRITONSERVER_InferenceRequestSetReleaseCallback(infer->request, on_release, infer));
    TRY(TRITONSERVER_InferenceRequestSetResponseCallback(infer->request, server->allocator, infer,
                                                         on_response, infer));
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
    const struct output_ask *ask = infer->ask_count > 0 ? ask_of(infer, name) : NULL;
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
    return *buffer == NULL ? no_memory() : NULL;
}

static TRITONSERVER_Error *query_output(TRITONSERVER_ResponseAllocator *allocator, void *userp,
                                        const char *name, size_t *size,
                                        TRITONSERVER_MemoryType *type, int64_t *type_id)
{
    (void)allocator;
    struct infer *infer = userp;
    const struct output_ask *ask =
        name != NULL && infer->ask_count > 0 ? ask_of(infer, name) : NULL;
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
    TRY(TRITONSERVER_ResponseAllocatorNew(allocator, alloc_output, release_output, NULL));
    return TRITONSERVER_ResponseAllocatorSetQueryFunction(*allocator, query_output);
}

// ---- from response to answer (any thread) ---------------------------------------------------------------------------

static void on_release(TRITONSERVER_InferenceRequest *request, const uint32_t flags, void *userp)
{
    (void)request;
    struct infer *infer = userp;
    if ((flags & TRITONSERVER_REQUEST_RELEASE_ALL) != 0) {
        release_regions(infer);
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
    TRY(TRITONSERVER_InferenceResponseParameter(response, index, &name, &type, &value));
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
    TRY(TRITONSERVER_InferenceResponseOutput(a->response, index, &name, &type, &shape, &dims, &base,
                                             &size, &memory, &memory_id, &userp));
    const struct infer *infer = a->infer;
    const struct output_ask *ask = infer->ask_count > 0 ? ask_of(infer, name) : NULL;
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
    TRY(TRITONSERVER_ServerModelBatchProperties(infer->server->core, model, version, &flags, NULL));
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
        drop_error(TRITONSERVER_InferenceResponseDelete(a->response)); // all of it was copied
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
    TRY(TRITONSERVER_InferenceResponseModel(response, &model, &version));
    TRY(TRITONSERVER_InferenceResponseId(response, &id));
    for (unsigned i = 0; i < r->param_count; i++) {
        TRY(read_param_of(response, i, &params[i]));
    }
    if (r->streamed) {
        params[r->param_count++] = (struct infer_param){
            .key = SLICE("triton_final_response"), .kind = INFER_PARAM_BOOL, .as.b = final};
    }
    for (unsigned i = 0; i < r->output_count; i++) {
        TRY(read_output_of(a, model, version, i, &outputs[i], class_shapes[i]));
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
    return answer_write(a, r) ? NULL : no_memory();
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
    TRY(TRITONSERVER_InferenceResponseParameterCount(response, &param_count));
    TRY(TRITONSERVER_InferenceResponseOutputCount(response, &output_count));
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
                                    ? no_memory()
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
        drop_error(TRITONSERVER_InferenceResponseDelete(response));
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
            drop_error(TRITONSERVER_InferenceResponseDelete(response));
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
        a->error = no_memory();
    }
    a->task.run = stream_task;
    core_ext_post(infer->loop, &a->task);
}

static void on_response(TRITONSERVER_InferenceResponse *response, const uint32_t flags, void *userp)
{
    struct infer *infer = userp;
    bool final = (flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL) != 0;
    if (infer->streamed) {
        on_stream_response(infer, response, final);
    } else {
        on_unary_response(infer, response, final);
    }
}

// ---- the unary method -----------------------------------------------------------------------------------------------

void infer_begin_unary(struct rpc *rpc, struct grpc_message message)
{
    struct infer *infer = infer_new(rpc, message);
    if (infer == NULL) {
        rpc_finish_error(rpc, no_memory());
        return;
    }
    if (!infer_parse(infer)) {
        grpc_finish(&rpc->call, GRPC_INTERNAL, SLICE("failed to parse ModelInferRequest"));
        infer_over(infer);
        return;
    }
    rpc->infer = infer;
    TRITONSERVER_Error *error = grpc_infer_start(infer);
    if (error != NULL) {
        rpc->infer = NULL;
        LOG_DEBUG(1, "[request id: %s] Infer failed: %s",
                  infer->parsed.id.len > 0 ? infer->parsed.id.ptr : "<id_unknown>",
                  TRITONSERVER_ErrorMessage(error));
        rpc_finish_error(rpc, error);
        infer_over(infer);
    }
}
