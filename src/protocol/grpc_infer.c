// SPDX-License-Identifier: Apache-2.0
// The life of an inference request: see grpc_infer.h for who holds it. Start at infer_begin_unary().
#include "protocol/grpc_infer.h"

#include <sched.h>

#include "base/clock.h"
#include "base/log.h"

enum { ARENA_BLOCK = 960 };

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
        rpc_drop_error(TRITONSERVER_InferenceRequestDelete(infer->request));
    }
    grpc_message_free(server->buffers, &infer->message);
    arena_fini(&infer->arena);
    object_pool_put(server->infers, infer);
    atomic_fetch_sub_explicit(&server->infers_out, 1, memory_order_release);
}

// A backend may read inputs after it has answered, until it releases the request: who lets go last ends the leases.
void infer_release_regions(struct infer *infer)
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
    infer_release_regions(infer);
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
        rpc_drop_error(TRITONSERVER_InferenceResponseDelete(a->response));
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

// ---- the unary method -----------------------------------------------------------------------------------------------

void infer_begin_unary(struct rpc *rpc, struct grpc_message message)
{
    struct infer *infer = infer_new(rpc, message);
    if (infer == NULL) {
        rpc_finish_error(rpc, rpc_no_memory());
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
