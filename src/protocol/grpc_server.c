// SPDX-License-Identifier: Apache-2.0
// The gRPC front end's life, its loops, and the dispatch of calls to methods.
//
// Ending has an order: no new connections, GOAWAY, wait, close connections (which cancels what is left), wait until the core
// has given every request back, stop loops, free. Start at grpc_server_create() and begin().
#include "protocol/grpc_server.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "protocol/body_locks.h"
#include "protocol/grpc_infer.h"
#include "protocol/model_version.h"

enum {
    RPCS_IDLE = 256,
    INFERS_IDLE = 256,
    ANSWERS_IDLE = 256,
    QUIET_MS = 1000,
    QUIET_KEEP_BYTES = 4 * 1024 * 1024,
    WORKERS = 16,
    LANES_MAX = 64,
    MESSAGES_HELD = 1024, // text of a formatted error
};

// ---- errors ---------------------------------------------------------------------------------------------------------

int rpc_status_of(TRITONSERVER_Error *error)
{
    return code_grpc(error_code(error));
}

void rpc_finish_error(struct rpc *rpc, TRITONSERVER_Error *error)
{
    grpc_finish(&rpc->call, rpc_status_of(error), slice_of(TRITONSERVER_ErrorMessage(error)));
    TRITONSERVER_ErrorDelete(error);
}

TRITONSERVER_Error *rpc_error(TRITONSERVER_Error_Code code, const char *format, ...)
{
    char text[MESSAGES_HELD];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (length < (int)sizeof(text)) {
        return TRITONSERVER_ErrorNew(code, text);
    }
    va_start(args, format);
    char *longer = mem_alloc((size_t)length + 1);
    if (longer != NULL) {
        (void)vsnprintf(longer, (size_t)length + 1, format, args);
    }
    va_end(args);
    TRITONSERVER_Error *error = TRITONSERVER_ErrorNew(code, longer != NULL ? longer : text);
    mem_free(longer);
    return error;
}

TRITONSERVER_Error *rpc_no_memory(void)
{
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNAVAILABLE, "out of memory");
}

void rpc_drop_error(TRITONSERVER_Error *error)
{
    if (error != NULL) {
        LOG_ERR("%s", TRITONSERVER_ErrorMessage(error));
        TRITONSERVER_ErrorDelete(error);
    }
}

TRITONSERVER_Error *rpc_version(const char *text, int64_t *version)
{
    return status_to_error(model_version_parse(slice_of(text), version));
}

// ---- unary methods --------------------------------------------------------------------------------------------------

static void answer_released(struct http2_body *body)
{
    struct rpc *rpc = CONTAINER_OF(body, struct rpc, body);
    buffer_pool_put(rpc->server->buffers, rpc->answer.bytes);
    rpc->answer.bytes = NULL;
    grpc_call_unref(&rpc->call);
}

static void send_unary(struct rpc *rpc)
{
    struct rpc_answer *answer = &rpc->answer;
    if (answer->status == GRPC_OK && answer->bytes != NULL) {
        grpc_prefix(answer->bytes, answer->size);
        rpc->part = (struct iovec){answer->bytes, GRPC_PREFIX + answer->size};
        rpc->body =
            (struct http2_body){.parts = &rpc->part, .part_count = 1, .release = answer_released};
        grpc_call_ref(&rpc->call);
        grpc_send(&rpc->call, &rpc->body);
    }
    grpc_finish(&rpc->call, answer->status, slice_of(answer->text));
    mem_free(answer->text);
    answer->text = NULL;
}

static void run_unary(struct rpc *rpc)
{
    rpc->answer = (struct rpc_answer){.status = GRPC_OK};
    rpc->method->unary(rpc->server, slice_make(rpc->message.bytes, rpc->message.size),
                       &rpc->answer);
    grpc_message_free(rpc->server->buffers, &rpc->message);
    if (rpc->answer.status == GRPC_OK && rpc->answer.bytes == NULL) {
        rpc->answer.status = GRPC_RESOURCE_EXHAUSTED;
    }
}

static void unary_done(struct loop_task *task)
{
    struct rpc *rpc = CONTAINER_OF(task, struct rpc, done);
    struct grpc_server *server = rpc->server;
    send_unary(rpc);
    grpc_call_unref(&rpc->call);
    atomic_fetch_sub_explicit(&server->infers_out, 1, memory_order_release);
}

static void unary_job(struct worker_job *job)
{
    struct rpc *rpc = CONTAINER_OF(job, struct rpc, job);
    run_unary(rpc);
    rpc->done.run = unary_done;
    loop_post(rpc->loop, &rpc->done);
}

static void start_unary(struct rpc *rpc)
{
    if (rpc->method->kind == RPC_UNARY) {
        run_unary(rpc);
        send_unary(rpc);
        return;
    }
    grpc_call_ref(&rpc->call);
    atomic_fetch_add_explicit(&rpc->server->infers_out, 1, memory_order_relaxed);
    rpc->job.run = unary_job;
    rpc->on_worker = true;
    bool slow = rpc->method->kind == RPC_UNARY_LOADER;
    if (!worker_post(slow ? rpc->server->loader : rpc->server->worker, &rpc->job)) {
        atomic_fetch_sub_explicit(&rpc->server->infers_out, 1, memory_order_release);
        grpc_finish(&rpc->call, GRPC_RESOURCE_EXHAUSTED, SLICE("no thread for the call"));
        rpc->on_worker = false;
        grpc_call_unref(&rpc->call);
    }
}

// ---- the service's callbacks ----------------------------------------------------------------------------------------

static const struct rpc_method *find_method(struct slice path)
{
    for (const struct rpc_method *m = rpc_methods; m->path.ptr != NULL; m++) {
        if (slice_equal(m->path, path)) {
            return m;
        }
    }
    return NULL;
}

static bool begin(struct grpc_call *call)
{
    struct rpc *rpc = rpc_of(call);
    const struct rpc_method *method = find_method(call->path);
    if (method == NULL) {
        return false;
    }
    struct grpc_lane *lane = http2_connection_data(call->stream.connection);
    struct grpc_server *server = lane->server;
    call->method = rpc;
    rpc->server = server;
    rpc->method = method;
    rpc->message = (struct grpc_message){0};
    rpc->has_message = rpc->on_worker = false;
    rpc->infer = NULL;
    rpc->open = 0;
    rpc->loop = lane->loop;
    rpc->lane = lane;
    rpc->answer = (struct rpc_answer){0};
    atomic_fetch_add_explicit(&server->inflight, 1, memory_order_relaxed);
    const struct restrict_rule *rule =
        server->options.restricted == NULL
            ? NULL
            : restrict_rule(server->options.restricted, method->category);
    if (rule != NULL) {
        struct slice value = {0};
        (void)http2_header_get(&call->stream, slice_of(rule->key), &value);
        if (!restrict_passes(rule, value)) {
            char text[512];
            int length = snprintf(text, sizeof(text),
                                  "This protocol is restricted, expecting header '%s'", rule->key);
            grpc_finish(
                call, GRPC_UNAVAILABLE,
                slice_make(text, length < (int)sizeof(text) ? (size_t)length : sizeof(text) - 1));
        }
    }
    if (method->kind == RPC_STREAM) {
        stream_begin(rpc);
    }
    return true;
}

static void message(struct grpc_call *call, struct grpc_message received)
{
    struct rpc *rpc = rpc_of(call);
    if (rpc->method->kind == RPC_STREAM) {
        stream_message(rpc, received);
        return;
    }
    if (rpc->has_message) {
        grpc_message_free(rpc->server->buffers, &received);
        grpc_finish(call, GRPC_INTERNAL, SLICE("more than one message for a unary call"));
        return;
    }
    rpc->message = received;
    rpc->has_message = true;
}

static void half_closed(struct grpc_call *call)
{
    struct rpc *rpc = rpc_of(call);
    if (rpc->method->kind == RPC_STREAM) {
        stream_half_closed(rpc);
        return;
    }
    if (!rpc->has_message) {
        grpc_finish(call, GRPC_INTERNAL, SLICE("no message for a unary call"));
        return;
    }
    if (rpc->method->kind == RPC_INFER) {
        struct grpc_message received = rpc->message;
        rpc->message = (struct grpc_message){0};
        infer_begin_unary(rpc, received);
        return;
    }
    start_unary(rpc);
}

static void cancel(struct grpc_call *call)
{
    struct rpc *rpc = rpc_of(call);
    if (rpc->method->kind == RPC_STREAM) {
        stream_cancel(rpc);
    } else if (rpc->infer != NULL) {
        infer_cancel(rpc->infer);
    }
}

// Memory that a burst of large tensors took goes back when calls have stopped coming.
static void look_for_quiet(struct loop_timer *timer)
{
    struct grpc_lane *lane = CONTAINER_OF(timer, struct grpc_lane, quiet);
    if (lane->served > 0) {
        lane->served = 0;
        loop_timer_start(timer, QUIET_MS);
        return;
    }
    lane->quiet_set = false;
    // The last lane to fall quiet: the others would have to fetch the pages again.
    if (atomic_fetch_sub_explicit(&lane->server->lanes_awake, 1, memory_order_relaxed) == 1) {
        buffer_pool_trim(lane->server->buffers, QUIET_KEEP_BYTES);
    }
}

static void note_served(struct grpc_lane *lane)
{
    lane->served++;
    if (!lane->quiet_set && !lane->ending) {
        lane->quiet_set = true;
        atomic_fetch_add_explicit(&lane->server->lanes_awake, 1, memory_order_relaxed);
        loop_timer_start(&lane->quiet, QUIET_MS);
    }
}

static void closed(struct grpc_call *call)
{
    struct rpc *rpc = rpc_of(call);
    note_served(rpc->lane);
    if (!rpc->on_worker) {
        grpc_message_free(rpc->server->buffers, &rpc->message);
    }
    atomic_fetch_sub_explicit(&rpc->server->inflight, 1, memory_order_release);
}

// ---- connections ----------------------------------------------------------------------------------------------------

static void connection_gone(struct http2_connection *connection)
{
    struct grpc_lane *lane = http2_connection_data(connection);
    listener_connection_ended(lane->server->listener, (unsigned)(lane - lane->server->lanes));
}

static void accepted(void *user, struct loop *loop, unsigned index, int fd)
{
    (void)loop;
    struct grpc_server *server = user;
    struct grpc_lane *lane = &server->lanes[index];
    const struct stream_transport *transport = &stream_transport_tcp;
    void *session = NULL;
    if (server->tls != NULL) {
        transport = &stream_transport_tls;
        session = tls_session_create(server->tls, fd);
        if (session == NULL) {
            (void)close(fd);
            listener_connection_ended(server->listener, index);
            return;
        }
    }
    if (http2_connection_create(lane->home, fd, transport, session, lane) == NULL) {
        listener_connection_ended(server->listener, index);
    }
}

// ---- life -----------------------------------------------------------------------------------------------------------

void grpc_server_options_init(struct grpc_server_options *o)
{
    *o = (struct grpc_server_options){
        .port = 8001,
        .infer_thread_count = 2,
        .infer_allocation_pool_size = 8,
        .max_response_pool_size = INT_MAX,
        .keepalive_time_ms = 7200000,
        .keepalive_timeout_ms = 20000,
        .max_pings_without_data = 2,
        .min_recv_ping_interval_ms = 300000,
        .max_ping_strikes = 2,
    };
}

static struct nrd_status *refuse_unbuilt(const struct grpc_server_options *o)
{
    if (o->max_response_pool_size != INT_MAX) {
        return status_new(NRD_UNSUPPORTED, "--grpc-max-response-pool-size is not built yet");
    }
    return NULL;
}

static struct nrd_status *make_tls(struct grpc_server *server)
{
    const struct grpc_server_options *o = &server->options;
    if (!o->use_ssl && !o->use_ssl_mutual) {
        return NULL;
    }
    struct tls_options tls = {o->server_cert, o->server_key, o->root_cert, o->use_ssl_mutual};
    return tls_server_create(&tls, &server->tls);
}

static void set_http2_options(struct grpc_server *server)
{
    const struct grpc_server_options *o = &server->options;
    server->http2 = (struct http2_options){
        .keepalive_ms = o->keepalive_time_ms,
        .keepalive_timeout_ms = o->keepalive_timeout_ms,
        .keepalive_without_calls = o->keepalive_permit_without_calls,
        .max_pings_without_data =
            o->max_pings_without_data > 0 ? (unsigned)o->max_pings_without_data : 0,
        .min_ping_interval_ms = o->min_recv_ping_interval_ms,
        .max_ping_strikes = o->max_ping_strikes > 0 ? (unsigned)o->max_ping_strikes : 0,
        .max_age_ms = o->max_connection_age_ms,
        .max_age_grace_ms = o->max_connection_age_grace_ms,
    };
}

static unsigned lane_count(const struct grpc_server_options *o)
{
    cpu_set_t cpus;
    int count = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    if (o->infer_thread_count < count) {
        count = o->infer_thread_count;
    }
    return count < 1 ? 1 : count > LANES_MAX ? LANES_MAX : (unsigned)count;
}

static struct nrd_status *make_lanes(struct grpc_server *server)
{
    unsigned count = lane_count(&server->options);
    server->lanes = mem_calloc(count, sizeof(*server->lanes));
    server->loops = mem_calloc(count, sizeof(struct loop *));
    if (server->lanes == NULL || server->loops == NULL) {
        return status_no_memory();
    }
    for (unsigned i = 0; i < count; i++) {
        struct grpc_lane *lane = &server->lanes[i];
        lane->server = server;
        NRD_TRY(loop_create(&lane->loop));
        loop_timer_init(&lane->quiet, lane->loop, look_for_quiet);
        server->loops[i] = lane->loop;
        server->lane_count++;
        NRD_TRY(http2_home_create(lane->loop, &server->http2, &server->http2_user, &server->service,
                                  &lane->home));
    }
    return NULL;
}

static struct nrd_status *make_pools(struct grpc_server *server)
{
    server->rpcs = object_pool_create(sizeof(struct rpc), RPCS_IDLE);
    server->infers = object_pool_create(sizeof(struct infer), INFERS_IDLE);
    server->answers = object_pool_create(sizeof(struct answer), ANSWERS_IDLE);
    server->buffers = buffer_pool_create(buffer_pool_body_limit());
    if (server->rpcs == NULL || server->infers == NULL || server->answers == NULL ||
        server->buffers == NULL) {
        return status_no_memory();
    }
    NRD_TRY(body_locks_attach(server->buffers, server->core, &server->locks));
    server->service = (struct grpc_service){
        .calls = server->rpcs,
        .buffers = server->buffers,
        .compression = (enum grpc_compression)server->options.compression,
        .begin = begin,
        .message = message,
        .half_closed = half_closed,
        .cancel = cancel,
        .closed = closed,
    };
    server->http2_user = grpc_http2_user;
    server->http2_user.gone = connection_gone;
    return NULL;
}

static struct nrd_status *serve(struct grpc_server *server)
{
    const struct grpc_server_options *o = &server->options;
    struct listener_options listen = {
        .address = o->address,
        .port = o->port,
        .reuse_port = o->reuse_port,
        .accepted = accepted,
        .user = server,
    };
    NRD_TRY(listener_create(&listen, server->loops, server->lane_count, &server->listener));
    for (unsigned i = 0; i < server->lane_count; i++) {
        NRD_TRY(loop_start(server->loops[i], "grpc"));
        server->started = true;
    }
    listener_start(server->listener);
    LOG_NOTE("Started GRPCInferenceService at %s:%d", o->address, listener_port(server->listener));
    return NULL;
}

static struct nrd_status *make(struct grpc_server *server,
                               const struct grpc_server_options *options)
{
    server->options = *options;
    if (options->address == NULL) {
        server->options.address = "0.0.0.0";
    }
    NRD_TRY(refuse_unbuilt(options));
    NRD_TRY(header_pattern_create(
        options->header_forward_pattern == NULL ? "" : options->header_forward_pattern,
        &server->forward));
    NRD_TRY(make_tls(server));
    set_http2_options(server);
    NRD_TRY(make_pools(server));
    NRD_TRY(error_to_status(infer_allocator_new(&server->allocator)));
    NRD_TRY(worker_create("grpc-worker", WORKERS, &server->worker));
    NRD_TRY(worker_create("grpc-load", WORKERS, &server->loader));
    NRD_TRY(make_lanes(server));
    return serve(server);
}

struct nrd_status *grpc_server_create(TRITONSERVER_Server *core,
                                      const struct grpc_server_options *options,
                                      struct grpc_server **out)
{
    struct grpc_server *server = mem_calloc(1, sizeof(*server));
    if (server == NULL) {
        return status_no_memory();
    }
    server->core = core;
    struct nrd_status *status = make(server, options);
    // Nothing reads the caller's strings from here on.
    server->options.address = server->options.header_forward_pattern = NULL;
    server->options.server_cert = server->options.server_key = server->options.root_cert = NULL;
    if (status != NULL) {
        grpc_server_destroy(server);
        return status;
    }
    *out = server;
    return NULL;
}

int grpc_server_port(const struct grpc_server *server)
{
    return listener_port(server->listener);
}

void grpc_server_refuse_new(struct grpc_server *server)
{
    atomic_store_explicit(&server->refusing, true, memory_order_relaxed);
    listener_stop(server->listener);
}

static void sleep_ms(long ms)
{
    struct timespec span = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&span, NULL);
}

static void drain_task(struct loop_task *task)
{
    http2_home_drain(CONTAINER_OF(task, struct grpc_lane, drain)->home);
}

static void close_task(struct loop_task *task)
{
    struct grpc_lane *lane = CONTAINER_OF(task, struct grpc_lane, close);
    lane->ending = true;
    loop_timer_stop(&lane->quiet);
    http2_home_close(lane->home);
}

static void on_lanes(struct grpc_server *server, bool close)
{
    for (unsigned i = 0; i < server->lane_count; i++) {
        struct grpc_lane *lane = &server->lanes[i];
        struct loop_task *task = close ? &lane->close : &lane->drain;
        task->run = close ? close_task : drain_task;
        loop_post(lane->loop, task);
    }
}

void grpc_server_stop(struct grpc_server *server, unsigned *seconds)
{
    if (!server->started) {
        return;
    }
    grpc_server_refuse_new(server);
    if (!server->drained) {
        server->drained = true;
        on_lanes(server, false);
    }
    enum { STEP_MS = 20, STEPS = 1000 / STEP_MS };
    for (unsigned step = 1; *seconds > 0; step++) {
        unsigned inflight = atomic_load_explicit(&server->inflight, memory_order_acquire);
        if (inflight == 0) {
            return;
        }
        if (step % STEPS == 1) {
            LOG_NOTE("Timeout %u: Found %u GRPC service connections and inference handlers",
                     *seconds, inflight);
        }
        sleep_ms(STEP_MS);
        if (step % STEPS == 0) {
            (*seconds)--;
        }
    }
}

void grpc_server_destroy(struct grpc_server *server)
{
    if (server == NULL) {
        return;
    }
    if (server->started) {
        listener_stop(server->listener);
        on_lanes(server, true);
        while (atomic_load_explicit(&server->infers_out, memory_order_acquire) > 0 ||
               listener_connections(server->listener) > 0) {
            sleep_ms(1); // the core gives every request back: it was told to cancel them
        }
    }
    worker_destroy(server->loader);
    worker_destroy(server->worker);
    listener_destroy(server->listener);
    for (unsigned i = 0; i < server->lane_count; i++) {
        loop_destroy(server->loops[i]);
        http2_home_destroy(server->lanes[i].home);
    }
    if (server->allocator != NULL) {
        TRITONSERVER_Error *error = TRITONSERVER_ResponseAllocatorDelete(server->allocator);
        if (error != NULL) {
            TRITONSERVER_ErrorDelete(error);
        }
    }
    object_pool_destroy(server->rpcs);
    object_pool_destroy(server->infers);
    object_pool_destroy(server->answers);
    body_locks_finish(server->locks);
    buffer_pool_destroy(server->buffers);
    body_locks_free(server->locks);
    header_pattern_destroy(server->forward);
    tls_server_destroy(server->tls);
    mem_free(server->lanes);
    mem_free(server->loops);
    mem_free(server);
}
