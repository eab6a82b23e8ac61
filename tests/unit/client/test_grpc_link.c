// SPDX-License-Identifier: Apache-2.0
// gRPC calls and streams against our own server side of gRPC, whose answers the method's name chooses: whole, wrong, late or none.
#include "client_unit.h"

#include "base/mem.h"
#include "base/str.h"
#include "net/grpc.h"
#include "net/listener.h"

// ---- the server: the model's name says what it does ------------------------------------------------------------------

struct served {
    struct grpc_call call;
    struct str model;
};

struct reply {
    struct http2_body body;
    struct iovec part;
    char bytes[256];
};

struct server {
    struct loop *loop;
    struct listener *listener;
    struct http2_home *home;
    struct grpc_service service;
    struct loop_task close_task;
    struct parking closed;
    _Atomic unsigned begun;
    _Atomic unsigned cancelled;
};
static struct server *s;

static void reply_released(struct http2_body *body)
{
    mem_free(CONTAINER_OF(body, struct reply, body));
}

// {outputs: {name OUT, datatype FP32, shape [4]}, raw: 16 bytes}; in a ModelStreamInferResponse for streams.
static size_t answer_bytes(char *out, bool streamed)
{
    static const char output[] = "\x2a\x0e\x0a\x03OUT\x12\x04"
                                 "FP32\x1a\x01\x04\x32\x10";
    size_t head = sizeof(output) - 1;
    size_t at = 0;
    if (streamed) {
        out[at++] = 0x12;
        out[at++] = (char)(head + 16);
    }
    memcpy(out + at, output, head);
    memcpy(out + at + head, unit_values, 16);
    return at + head + 16;
}

static void send_bytes(struct grpc_call *call, const char *bytes, size_t size)
{
    struct reply *r = mem_calloc(1, sizeof(*r));
    grpc_prefix(r->bytes, size);
    memcpy(r->bytes + GRPC_PREFIX, bytes, size);
    r->part = (struct iovec){r->bytes, GRPC_PREFIX + size};
    r->body = (struct http2_body){.parts = &r->part, .part_count = 1, .release = reply_released};
    grpc_send(call, &r->body);
}

static bool is_stream(const struct grpc_call *call)
{
    return slice_ends(call->path, SLICE("/ModelStreamInfer"));
}

static bool server_begin(struct grpc_call *call)
{
    struct served *served = CONTAINER_OF(call, struct served, call);
    str_init(&served->model);
    call->method = call;
    atomic_fetch_add(&s->begun, 1);
    return true;
}

static bool model_is(const struct served *served, const char *name)
{
    return strcmp(str_cstr(&served->model), name) == 0;
}

static void server_message(struct grpc_call *call, struct grpc_message message)
{
    struct served *served = CONTAINER_OF(call, struct served, call);
    // Field 1 comes first: the model's name.
    str_clear(&served->model);
    str_append(&served->model, message.bytes + 2, (size_t)message.bytes[1]);
    grpc_message_free(call->service->buffers, &message);
    char bytes[128];
    size_t size = answer_bytes(bytes, is_stream(call));
    if (model_is(served, "twice")) {
        send_bytes(call, bytes, size);
    }
    if (model_is(served, "garbage")) {
        memset(bytes, 0xff, size);
    }
    if (model_is(served, "cut")) {
        bytes[size - 17] = 0x7f; // longer than the message
    }
    if (model_is(served, "reset")) {
        http2_reset(&call->stream, HTTP2_INTERNAL_ERROR);
    } else if (model_is(served, "break")) {
        http2_home_close(s->home);
    } else if (model_is(served, "refused")) {
        grpc_finish(call, 7, SLICE("100% no"));
    } else if (!model_is(served, "silent") && !model_is(served, "empty")) {
        send_bytes(call, bytes, size);
    }
}

static void server_half_closed(struct grpc_call *call)
{
    struct served *served = CONTAINER_OF(call, struct served, call);
    if (model_is(served, "late error")) {
        grpc_finish(call, 13, SLICE("after all"));
    } else if (!model_is(served, "silent")) {
        grpc_finish(call, GRPC_OK, (struct slice){0});
    }
}

static void server_cancel(struct grpc_call *call)
{
    (void)call;
    atomic_fetch_add(&s->cancelled, 1);
}

static void server_closed(struct grpc_call *call)
{
    str_fini(&CONTAINER_OF(call, struct served, call)->model);
}

static void accepted(void *user, struct loop *loop, unsigned index, int fd)
{
    (void)user, (void)loop, (void)index;
    (void)http2_connection_create(s->home, fd, &stream_transport_tcp, NULL, NULL);
}

static void close_all(struct loop_task *task)
{
    (void)task;
    http2_home_close(s->home);
    parking_wake(&s->closed);
}

static void drain_all(struct loop_task *task)
{
    (void)task;
    http2_home_drain(s->home);
    parking_wake(&s->closed);
}

static void on_server(void (*run)(struct loop_task *task))
{
    s->close_task.run = run;
    loop_post(s->loop, &s->close_task);
    assert_true(parking_wait(&s->closed, clock_now_ns() + 20 * NS_PER_S));
}

struct fixture {
    struct nrd_client *client;
    int port;
};

static int setup(void **state)
{
    static struct server server;
    static struct fixture f;
    static const struct http2_options http2 = {.max_streams = 8};
    server = (struct server){
        .service =
            {
                .calls = object_pool_create(sizeof(struct served), 64),
                .buffers = buffer_pool_create(1 << 20),
                .begin = server_begin,
                .message = server_message,
                .half_closed = server_half_closed,
                .cancel = server_cancel,
                .closed = server_closed,
            },
    };
    s = &server;
    parking_init(&s->closed);
    assert_ok(loop_create(&s->loop));
    assert_ok(http2_home_create(s->loop, &http2, &grpc_http2_user, &s->service, &s->home));
    const struct listener_options options = {.address = "127.0.0.1", .accepted = accepted};
    assert_ok(listener_create(&options, &s->loop, 1, &s->listener));
    assert_ok(loop_start(s->loop, "test-server"));
    listener_start(s->listener);
    f.port = listener_port(s->listener);
    const struct nrd_client_options client = {.timeout_ms = 20000};
    f.client = client_of_port("grpc", f.port, &client);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    nrd_client_destroy(f->client);
    listener_stop(s->listener);
    on_server(close_all);
    loop_destroy(s->loop);
    listener_destroy(s->listener);
    http2_home_destroy(s->home);
    object_pool_destroy(s->service.calls);
    buffer_pool_destroy(s->service.buffers);
    return 0;
}

static struct nrd_client_request ask(const char *model)
{
    struct nrd_client_request request = unit_request;
    request.model = model;
    return request;
}

static void infer_named(struct fixture *f, const char *model, struct outcome *o)
{
    const struct nrd_client_request request = ask(model);
    begin(f->client, &request, o);
}

// ---- calls ----------------------------------------------------------------------------------------------------------

static void call_is_answered(void **state)
{
    struct outcome o;
    infer_named(*state, "m", &o);
    expect_values(&o);
}

static void bad_answers_are_named(void **state)
{
    static const struct {
        const char *model;
        enum nrd_code code;
        const char *text;
    } cases[] = {
        {"refused", NRD_UNAVAILABLE, "infer model 'refused': 100% no (gRPC status 7)"},
        {"late error", NRD_INTERNAL, "after all (gRPC status 13)"},
        {"garbage", NRD_INTERNAL, "malformed answer"},
        {"cut", NRD_INTERNAL, "malformed answer"},
        {"twice", NRD_INTERNAL, "several answers"},
        {"empty", NRD_INTERNAL, "ended the call without an answer"},
        {"reset", NRD_UNAVAILABLE, "the connection broke"},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct outcome o;
        infer_named(*state, cases[i].model, &o);
        expect_failure(&o, cases[i].code, cases[i].text);
    }
    struct outcome o;
    infer_named(*state, "m", &o); // the connection is still good
    expect_values(&o);
}

static void broken_connection_ends_its_calls_and_is_replaced(void **state)
{
    struct outcome silent;
    struct outcome o;
    infer_named(*state, "silent", &silent);
    infer_named(*state, "break", &o);
    expect_failure(&silent, NRD_UNAVAILABLE, "the connection broke without an answer");
    expect_failure(&o, NRD_UNAVAILABLE, "the connection broke without an answer");
    infer_named(*state, "m", &o);
    expect_values(&o);
}

static void dead_connection_is_mended_unseen(void **state)
{
    struct outcome o;
    for (unsigned i = 0; i < 3; i++) {
        infer_named(*state, "m", &o);
        expect_values(&o);
        on_server(close_all);
    }
}

static void goodbye_is_heeded(void **state)
{
    struct outcome o;
    infer_named(*state, "m", &o);
    expect_values(&o);
    on_server(drain_all);
    infer_named(*state, "m", &o);
    expect_values(&o);
}

static void more_calls_than_streams_wait_their_turn(void **state)
{
    static struct outcome o[100];
    for (unsigned i = 0; i < 100; i++) {
        infer_named(*state, "m", &o[i]);
    }
    for (unsigned i = 0; i < 100; i++) {
        expect_values(&o[i]);
    }
}

static void cancel_and_time_end_a_call(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct nrd_client_call *call = NULL;
    parking_init(&o.parked);
    struct nrd_client_request request = ask("silent");
    assert_ok(nrd_client_infer_async(f->client, &request, outcome_done, &o, &call));
    nrd_client_call_cancel(call);
    nrd_client_call_cancel(call);
    expect_failure(&o, NRD_CANCELLED, "cancelled by the caller");
    nrd_client_call_cancel(call);
    nrd_client_call_release(call);
    request.timeout_ms = 20;
    begin(f->client, &request, &o);
    expect_failure(&o, NRD_UNAVAILABLE, "");
}

static void server_that_reads_nothing_loses_the_connection_when_time_is_over(void **state)
{
    (void)state;
    int port = 0;
    int listener = listen_somewhere(&port);
    struct nrd_client *client = client_of_port("grpc", port, NULL);
    // A server with large windows that then reads nothing: SETTINGS (initial window), WINDOW_UPDATE of the connection.
    static const char settings[] = "\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff"
                                   "\0\0\x04\x08\0\0\0\0\0\x7f\0\0\0";
    enum { COUNT = 8 << 20 };
    float *values = mem_calloc(COUNT, sizeof(float));
    const int64_t shape[1] = {COUNT};
    struct nrd_client_input input = unit_input;
    input.data = values;
    input.size = COUNT * sizeof(float);
    input.shape = shape;
    struct nrd_client_request request = unit_request;
    request.inputs = &input;
    request.timeout_ms = 50;
    struct outcome o;
    begin(client, &request, &o);
    int fd = accept_one(listener);
    write_all(fd, settings, sizeof(settings) - 1);
    expect_failure(&o, NRD_UNAVAILABLE, "no answer within 50 ms");
    mem_free(values); // nobody reads them any more
    nrd_client_destroy(client);
    close(fd);
    close(listener);
}

static void no_http2_is_no_crash(void **state)
{
    (void)state;
    int port = 0;
    int listener = listen_somewhere(&port);
    struct nrd_client *client = client_of_port("grpc", port, NULL);
    struct outcome o;
    begin(client, &unit_request, &o);
    int fd = accept_one(listener);
    write_all(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    expect_failure(&o, NRD_UNAVAILABLE, "the connection broke");
    nrd_client_destroy(client);
    close(fd);
    close(listener);
}

static void destruction_ends_calls_under_way(void **state)
{
    struct fixture *f = *state;
    struct nrd_client *client = client_of_port("grpc", f->port, NULL);
    const struct nrd_client_request request = ask("silent");
    static struct outcome o[20];
    for (unsigned i = 0; i < 20; i++) {
        begin(client, &request, &o[i]);
    }
    nrd_client_destroy(client);
    for (unsigned i = 0; i < 20; i++) {
        expect_failure(&o[i], NRD_CANCELLED, "the client is being destroyed");
    }
}

static void steady_state_allocates_nothing_of_ours(void **state)
{
    struct outcome o;
    uint64_t before = 0;
    for (unsigned i = 0; i < 60; i++) {
        before = i == 40 ? mem_count() : before;
        infer_named(*state, "m", &o);
        expect_values(&o);
    }
    // The server of this test makes a name and a reply for each call; the client nothing (nghttp2's own are not counted).
    assert_in_range(mem_count() - before, 0, 2 * 20);
}

// ---- streams --------------------------------------------------------------------------------------------------------

struct heard {
    struct parking over;
    unsigned responses;
    unsigned errors;
    unsigned sent;
    unsigned closed;
    struct nrd_status *end;
};

static void got_response(void *user, struct nrd_status *status,
                         struct nrd_client_response *response)
{
    struct heard *h = user;
    h->responses += status == NULL && nrd_client_response_count(response) == 1;
    h->errors += status != NULL;
    status_free(status);
    nrd_client_response_free(response);
}

static void got_end(void *user, struct nrd_status *status)
{
    struct heard *h = user;
    h->end = status;
    h->closed++;
    parking_wake(&h->over);
}

static void got_back(void *user, void *request_user)
{
    struct heard *h = user;
    h->sent += request_user == h;
}

static struct nrd_client_stream *open_stream(struct nrd_client *client, struct heard *h,
                                             bool borrow)
{
    *h = (struct heard){0};
    parking_init(&h->over);
    const struct nrd_client_stream_options options = {
        .response = got_response,
        .closed = got_end,
        .sent = borrow ? got_back : NULL,
        .user = h,
    };
    struct nrd_client_stream *stream = NULL;
    assert_ok(nrd_client_stream_open(client, &options, &stream));
    return stream;
}

static void stream_is_answered_and_ends(void **state)
{
    struct fixture *f = *state;
    struct heard h;
    const struct nrd_client_request request = ask("m");
    struct nrd_client_stream *stream = open_stream(f->client, &h, true);
    for (unsigned i = 0; i < 50; i++) {
        assert_ok(nrd_client_stream_send(stream, &request, &h));
    }
    nrd_client_stream_finish(stream);
    struct nrd_status *late = nrd_client_stream_send(stream, &request, &h);
    assert_int_equal(status_code(late), NRD_CANCELLED);
    status_free(late);
    assert_true(parking_wait(&h.over, clock_now_ns() + 20 * NS_PER_S));
    nrd_client_stream_release(stream);
    assert_ok(h.end);
    assert_int_equal(h.responses, 50);
    assert_int_equal(h.sent, 50);
    assert_int_equal(h.closed, 1);
}

static void stream_tells_why_it_ended(void **state)
{
    static const struct {
        const char *model;
        enum nrd_code code;
        unsigned responses, errors;
    } cases[] = {
        {"refused", NRD_UNAVAILABLE, 0, 0},
        {"break", NRD_UNAVAILABLE, 0, 0},
        {"garbage", NRD_OK, 0, 1},
        {"twice", NRD_OK, 2, 0},
    };
    struct fixture *f = *state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct heard h;
        const struct nrd_client_request request = ask(cases[i].model);
        struct nrd_client_stream *stream = open_stream(f->client, &h, false);
        assert_ok(nrd_client_stream_send(stream, &request, &h));
        nrd_client_stream_finish(stream);
        assert_true(parking_wait(&h.over, clock_now_ns() + 20 * NS_PER_S));
        nrd_client_stream_release(stream);
        assert_int_equal(status_code(h.end), cases[i].code);
        assert_int_equal(h.responses, cases[i].responses);
        assert_int_equal(h.errors, cases[i].errors);
        status_free(h.end);
    }
}

static void stream_that_is_let_go_is_cancelled(void **state)
{
    struct fixture *f = *state;
    struct heard h;
    const struct nrd_client_request request = ask("silent");
    struct nrd_client_stream *stream = open_stream(f->client, &h, true);
    assert_ok(nrd_client_stream_send(stream, &request, &h));
    nrd_client_stream_release(stream);
    assert_true(parking_wait(&h.over, clock_now_ns() + 20 * NS_PER_S));
    assert_int_equal(status_code(h.end), NRD_CANCELLED);
    assert_int_equal(h.sent, 1);
    status_free(h.end);
}

static void stream_of_a_destroyed_client_is_over(void **state)
{
    struct fixture *f = *state;
    struct nrd_client *client = client_of_port("grpc", f->port, NULL);
    struct heard h;
    const struct nrd_client_request request = ask("silent");
    struct nrd_client_stream *stream = open_stream(client, &h, true);
    assert_ok(nrd_client_stream_send(stream, &request, &h));
    nrd_client_destroy(client);
    assert_int_equal(h.closed, 1);
    assert_int_equal(h.sent, 1);
    assert_int_equal(status_code(h.end), NRD_CANCELLED);
    struct nrd_status *late = nrd_client_stream_send(stream, &request, &h);
    assert_int_equal(status_code(late), NRD_CANCELLED);
    status_free(late);
    nrd_client_stream_finish(stream);
    nrd_client_stream_release(stream);
    status_free(h.end);
}

static void stream_without_a_server_ends(void **state)
{
    (void)state;
    int port = 0;
    close(listen_somewhere(&port));
    struct nrd_client *client = client_of_port("grpc", port, NULL);
    struct heard h;
    const struct nrd_client_request request = ask("m");
    struct nrd_client_stream *stream = open_stream(client, &h, true);
    struct nrd_status *status = nrd_client_stream_send(stream, &request, &h);
    bool taken = status == NULL; // or the end came first
    status_free(status);
    assert_true(parking_wait(&h.over, clock_now_ns() + 20 * NS_PER_S));
    assert_non_null(strstr(status_text(h.end), "stream: cannot connect: Connection refused"));
    nrd_client_destroy(client);
    assert_int_equal(h.sent, taken);
    nrd_client_stream_release(stream);
    status_free(h.end);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(call_is_answered),
        TEST(bad_answers_are_named),
        TEST(broken_connection_ends_its_calls_and_is_replaced),
        TEST(dead_connection_is_mended_unseen),
        TEST(goodbye_is_heeded),
        TEST(more_calls_than_streams_wait_their_turn),
        TEST(cancel_and_time_end_a_call),
        TEST(server_that_reads_nothing_loses_the_connection_when_time_is_over),
        TEST(no_http2_is_no_crash),
        TEST(destruction_ends_calls_under_way),
        TEST(steady_state_allocates_nothing_of_ours),
        TEST(stream_is_answered_and_ends),
        TEST(stream_tells_why_it_ended),
        TEST(stream_that_is_let_go_is_cancelled),
        TEST(stream_of_a_destroyed_client_is_over),
        TEST(stream_without_a_server_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
