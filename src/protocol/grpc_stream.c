// SPDX-License-Identifier: Apache-2.0
// ModelStreamInfer: many requests and their answers on one call.
//
// Requests of models with one answer each are answered in the order in which they came, however the core orders them; answers of
// decoupled models leave as they are ready. rpc->pending has every request that is not through, in order. The call ends when the
// client has half-closed and nothing is pending; with triton_grpc_error, at the first error.
#include "base/log.h"
#include "protocol/grpc_infer.h"

void stream_begin(struct rpc *rpc)
{
    struct slice value;
    list_init(&rpc->pending);
    rpc->open = 0;
    // Between messages, and before the first, a stream may be silent for as long as it likes.
    http2_stream_await(&rpc->call.stream, false);
    rpc->grpc_error = http2_header_get(&rpc->call.stream, SLICE("triton_grpc_error"), &value) &&
                      slice_is(value, "true");
}

static void finish_if_through(struct rpc *rpc)
{
    if (rpc->call.half_closed && rpc->open == 0) {
        grpc_finish(&rpc->call, GRPC_OK, (struct slice){0});
    }
}

// Sends what the answer holds, or frees it.
static void send_answer(struct rpc *rpc, struct answer *a)
{
    TRITONSERVER_Error *error = a->error;
    a->error = NULL;
    if (a->has_message && error == NULL) {
        grpc_send(&rpc->call, &a->body);
    } else {
        answer_free(a);
    }
    if (error != NULL && rpc->call.finished) {
        TRITONSERVER_ErrorDelete(error);
    } else if (error != NULL) {
        rpc_finish_error(rpc, error);
        stream_cancel(rpc);
    }
}

static void request_over(struct rpc *rpc, struct infer *infer)
{
    list_remove(&infer->pending);
    rpc->open--;
    infer_over(infer);
}

// Sends what the oldest requests have ready, up to the first that is not through.
static void advance(struct rpc *rpc)
{
    LIST_FOR_SAFE(node, &rpc->pending)
    {
        struct infer *infer = CONTAINER_OF(node, struct infer, pending);
        if (infer->decoupled) {
            continue; // has no place in the order
        }
        if (!infer->over) {
            break;
        }
        while (infer->ready != NULL) {
            struct answer *a = infer->ready;
            infer->ready = a->next;
            send_answer(rpc, a);
        }
        infer->ready_tail = &infer->ready;
        request_over(rpc, infer);
    }
}

static void left_core(struct infer *infer)
{
    if (infer->in_core) {
        infer->in_core = false;
        infer->rpc->lane->infers--;
    }
}

void stream_answered(struct answer *a)
{
    struct infer *infer = a->infer;
    struct rpc *rpc = infer->rpc;
    bool final = a->final;
    grpc_call_ref(&rpc->call);
    infer_gather(rpc->lane);
    if (final) {
        left_core(infer);
        infer->over = true;
    }
    if (infer->decoupled) {
        send_answer(rpc, a);
        if (final) {
            request_over(rpc, infer);
        }
    } else {
        a->next = NULL;
        *infer->ready_tail = a;
        infer->ready_tail = &a->next;
        advance(rpc);
    }
    finish_if_through(rpc);
    grpc_call_unref(&rpc->call);
}

void stream_lost(struct infer *infer)
{
    struct rpc *rpc = infer->rpc;
    left_core(infer);
    infer->over = true;
    grpc_call_ref(&rpc->call);
    grpc_finish(&rpc->call, GRPC_RESOURCE_EXHAUSTED, SLICE("out of memory"));
    if (infer->decoupled) {
        request_over(rpc, infer);
    } else {
        advance(rpc);
    }
    grpc_call_unref(&rpc->call);
}

void stream_message(struct rpc *rpc, struct grpc_message message)
{
    struct infer *infer = infer_new(rpc, message);
    if (infer == NULL) {
        grpc_finish(&rpc->call, GRPC_RESOURCE_EXHAUSTED, SLICE("out of memory"));
        return;
    }
    infer->streamed = true;
    infer->grpc_error = rpc->grpc_error;
    if (!infer_parse(infer)) {
        grpc_finish(&rpc->call, GRPC_INTERNAL, SLICE("failed to parse ModelInferRequest"));
        infer_over(infer);
        stream_cancel(rpc);
        return;
    }
    list_push_back(&rpc->pending, &infer->pending);
    rpc->open++;
    TRITONSERVER_Error *error = grpc_infer_start(infer);
    if (error == NULL) {
        return;
    }
    LOG_DEBUG(1, "[request id: %s] Infer failed: %s",
              infer->id.len > 0 ? infer->id.ptr : "<id_unknown>", TRITONSERVER_ErrorMessage(error));
    struct answer *a = answer_new(infer); // the first: never NULL
    a->final = true;
    if (!answer_write_plain(a, slice_of(TRITONSERVER_ErrorMessage(error)), false)) {
        a->error = error;
        error = NULL;
    }
    if (error != NULL) {
        TRITONSERVER_ErrorDelete(error);
    }
    stream_answered(a);
}

void stream_half_closed(struct rpc *rpc)
{
    finish_if_through(rpc);
}

void stream_cancel(struct rpc *rpc)
{
    LIST_FOR(node, &rpc->pending)
    {
        infer_cancel(CONTAINER_OF(node, struct infer, pending));
    }
}
