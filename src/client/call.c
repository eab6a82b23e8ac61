// SPDX-License-Identifier: Apache-2.0
// Calls: their stock, their way to the loop and back, and the words of their errors.
//
//   create ─▶ (the caller writes it down) ─▶ submit ─post─▶ link ─▶ finish ─▶ done() ─▶ unref ─▶ stock
//                                              └── cancel, time over, client destroyed ─▶ link.cancel ─┘
#include "client/client.h"

#include "base/mem.h"
#include "client/compress.h"
#include "client/reply.h"

enum { IDLE_CALLS = 256, KEEP_BYTES = 256 * 1024 };
#define MS UINT64_C(1000000)

// ---- the stock ------------------------------------------------------------------------------------------------------

static void call_free(struct nrd_client_call *call)
{
    str_fini(&call->subject);
    str_fini(&call->head);
    str_fini(&call->body);
    str_fini(&call->packed);
    str_fini(&call->text);
    arena_fini(&call->arena);
    mem_free(call->parts);
    mem_free(call->chunks);
    mem_free(call);
}

void call_stock_fini(struct nrd_client *client)
{
    struct list_node *node;
    while ((node = list_pop_front(&client->idle_calls)) != NULL) {
        call_free(CONTAINER_OF(node, struct nrd_client_call, node));
    }
}

static struct nrd_client_call *take_idle(struct nrd_client *client)
{
    pthread_mutex_lock(&client->lock);
    struct list_node *node = list_pop_front(&client->idle_calls);
    client->idle_call_count -= node != NULL;
    pthread_mutex_unlock(&client->lock);
    return node == NULL ? NULL : CONTAINER_OF(node, struct nrd_client_call, node);
}

static void run_submit(struct loop_task *task);
static void run_cancel(struct loop_task *task);

struct nrd_client_call *call_create(struct nrd_client *client, const char *verb)
{
    struct nrd_client_call *call = take_idle(client);
    if (call == NULL) {
        call = mem_calloc(1, sizeof(*call));
        if (call == NULL) {
            return NULL;
        }
        arena_init(&call->arena, 0);
        list_init(&call->node);
        list_init(&call->pending);
        call->submit_task.run = run_submit;
        call->cancel_task.run = run_cancel;
    }
    client_ref(client);
    call->client = client;
    call->verb = verb;
    call->timeout_ms = client->options.timeout_ms;
    call->json_size = SIZE_MAX;
    atomic_init(&call->references, 1);
    atomic_init(&call->cancel_asked, false);
    parking_init(&call->parked);
    return call;
}

static void keep_small(struct str *s)
{
    if (s->cap > KEEP_BYTES) {
        str_fini(s);
    }
    str_clear(s);
}

void call_unref(struct nrd_client_call *call)
{
    if (call == NULL ||
        atomic_fetch_sub_explicit(&call->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    struct nrd_client *client = call->client;
    buffer_pool_put(client->buffers, call->buffer);
    status_free(call->error);
    status_free(call->ending);
    keep_small(&call->subject);
    keep_small(&call->head);
    keep_small(&call->body);
    keep_small(&call->packed);
    keep_small(&call->text);
    arena_reset(&call->arena);
    call->part_count = 0;
    call->inflate = false;
    call->repeatable = false;
    call->repeats = 0;
    call->ending = call->error = NULL;
    call->status = 0;
    call->reply = NULL;
    call->reply_size = 0;
    call->buffer = NULL;
    call->done = NULL;
    call->infer_done = NULL;
    call->user = NULL;
    call->wanted = NULL;
    call->wanted_count = 0;
    call->conn = NULL;
    call->path = NULL;
    call->stream = NULL;
    call->exchange = (struct http1_exchange){0};
    pthread_mutex_lock(&client->lock);
    bool keep = client->idle_call_count < IDLE_CALLS;
    if (keep) {
        list_push_front(&client->idle_calls, &call->node);
        client->idle_call_count++;
    }
    pthread_mutex_unlock(&client->lock);
    if (!keep) {
        call_free(call);
    }
    client_unref(client);
}

bool call_add_part(struct nrd_client_call *call, const void *ptr, size_t size)
{
    if (size == 0) {
        return true;
    }
    if (call->part_count == call->part_capacity) {
        unsigned more = call->part_capacity == 0 ? 8 : call->part_capacity * 2;
        struct iovec *parts = mem_realloc(call->parts, more * sizeof(*parts));
        if (parts == NULL) {
            return false;
        }
        call->parts = parts;
        call->part_capacity = more;
    }
    // The bytes are only read; the struct of the system has no const.
    union {
        const void *in;
        void *out;
    } cast = {.in = ptr};
    call->parts[call->part_count++] = (struct iovec){cast.out, size};
    return true;
}

// ---- errors ---------------------------------------------------------------------------------------------------------

struct nrd_status *call_failed(const struct nrd_client_call *call, enum nrd_code code,
                               const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct nrd_status *status = status_newv(code, format, args);
    va_end(args);
    bool subject = call->subject.len > 0;
    return status_wrap(status, "%s: %s%s%s: ", str_cstr(&call->client->url.text), call->verb,
                       subject ? " " : "", str_cstr(&call->subject));
}

struct nrd_status *call_server_status(struct nrd_client_call *call)
{
    if (call->inflate) {
        call->inflate = false;
        struct nrd_status *status =
            inflate_reply(call, call->json_size == SIZE_MAX ? 0 : call->json_size,
                          (size_t)call->client->options.max_response);
        if (status != NULL) {
            struct nrd_status *named =
                call_failed(call, status_code(status), "%s", status_text(status));
            status_free(status);
            return named;
        }
    }
    if (call->client->url.grpc) {
        if (call->status == 0) {
            return NULL;
        }
        return call_failed(call, code_from_grpc(call->status), "%s (gRPC status %d)",
                           call->text.len > 0 ? str_cstr(&call->text) : "no message", call->status);
    }
    if (call->status >= 200 && call->status < 300) {
        return NULL;
    }
    struct str text = STR_INIT;
    reply_error_text(slice_make(call->reply, call->reply_size), &text);
    struct nrd_status *status =
        call_failed(call, code_from_http(call->status), "%s (HTTP status %d)",
                    text.len > 0 ? str_cstr(&text) : "no message", call->status);
    str_fini(&text);
    return status;
}

// ---- the way --------------------------------------------------------------------------------------------------------

// Ends the call for a reason (taken) that is not its own.
static void end_call(struct nrd_client_call *call, struct nrd_status *why)
{
    if (call->ending != NULL) {
        status_free(why);
        return;
    }
    call->ending = why;
    call->client->link->cancel(call->client->link, call);
}

static void time_over(struct loop_timer *timer)
{
    struct nrd_client_call *call = CONTAINER_OF(timer, struct nrd_client_call, timer);
    end_call(call, call_failed(call, NRD_UNAVAILABLE, "no answer within %llu ms",
                               (unsigned long long)call->timeout_ms));
}

static void run_submit(struct loop_task *task)
{
    struct nrd_client_call *call = CONTAINER_OF(task, struct nrd_client_call, submit_task);
    struct nrd_client *client = call->client;
    list_push_back(&client->calls, &call->node);
    call->has_timer = false;
    if (client->stopping) {
        call_finish(call, call_failed(call, NRD_CANCELLED, "the client is being destroyed"));
        return;
    }
    if (call->timeout_ms > 0) {
        call->has_timer = true;
        loop_timer_init(&call->timer, client->loop, time_over);
        loop_timer_start(&call->timer, call->timeout_ms);
    }
    client->link->submit(client->link, call);
}

void call_submit(struct nrd_client_call *call)
{
    atomic_fetch_add_explicit(&call->references, 1, memory_order_relaxed);
    loop_post(call->client->loop, &call->submit_task);
}

static void run_cancel(struct loop_task *task)
{
    struct nrd_client_call *call = CONTAINER_OF(task, struct nrd_client_call, cancel_task);
    // Alone in its list: finished. A cancel is posted by someone who saw the call submitted, so it is not before that.
    if (!list_empty(&call->node)) {
        end_call(call, call_failed(call, NRD_CANCELLED, "cancelled by the caller"));
    }
    call_unref(call);
}

void nrd_client_call_cancel(struct nrd_client_call *call)
{
    if (!atomic_exchange_explicit(&call->cancel_asked, true, memory_order_acq_rel)) {
        atomic_fetch_add_explicit(&call->references, 1, memory_order_relaxed);
        loop_post(call->client->loop, &call->cancel_task);
    }
}

void nrd_client_call_release(struct nrd_client_call *call)
{
    call_unref(call);
}

void call_finish(struct nrd_client_call *call, struct nrd_status *error)
{
    list_remove(&call->node);
    if (call->has_timer) {
        loop_timer_stop(&call->timer);
        call->has_timer = false;
    }
    if (call->ending != NULL) {
        status_free(error);
        error = call->ending;
        call->ending = NULL;
    }
    call->error = error;
    // A later cancel has nothing to do, and no loop to go to, perhaps.
    atomic_store_explicit(&call->cancel_asked, true, memory_order_release);
    call->done(call);
    call_unref(call);
}

void call_end_all(struct nrd_client *client)
{
    struct list_node ending;
    list_init(&ending);
    struct list_node *node;
    while ((node = list_pop_front(&client->calls)) != NULL) {
        list_push_back(&ending, node);
    }
    while ((node = list_pop_front(&ending)) != NULL) {
        struct nrd_client_call *call = CONTAINER_OF(node, struct nrd_client_call, node);
        list_push_back(&client->calls, node);
        end_call(call, call_failed(call, NRD_CANCELLED, "the client is being destroyed"));
    }
}

static void wake_caller(struct nrd_client_call *call)
{
    parking_wake(&call->parked);
}

struct nrd_status *call_wait(struct nrd_client_call *call)
{
    NRD_TRY(client_may_wait(call->client));
    call->done = wake_caller;
    call_submit(call);
    (void)parking_wait(&call->parked, 0); // the loop keeps the time
    struct nrd_status *error = call->error;
    call->error = NULL;
    return error;
}
