// SPDX-License-Identifier: Apache-2.0
// gRPC over HTTP/2 against nghttp2's client, without sockets: what one side writes is fed to the other, in pieces of any size.
#include "net_unit.h"

#include <nghttp2/nghttp2.h>
#include <string.h>
#include <sys/eventfd.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/grpc.h"

// ---- an echo service ------------------------------------------------------------------------------------------------

struct echo {
    struct grpc_call call;
    struct grpc_message held;
};

struct reply {
    struct http2_body body;
    struct iovec parts[3];
    char prefix[GRPC_PREFIX];
    struct grpc_message message;
};

struct fixture {
    struct loop *loop;
    struct http2_home *home;
    struct grpc_service service;
    struct http2_connection *connection;
    struct str to_client;
    nghttp2_session *client;
    unsigned begun, closed, cancelled, replies, released;
    // What the client got for the newest stream.
    struct str body;
    char status[8];
    char text[256];
    char http_status[8];
    char encoding[16];
    uint32_t stream_error;
    bool stream_over;
    bool goaway;
    // What the client sends.
    const char *out;
    size_t out_size;
    size_t out_at;
    bool hold_end;
};
static struct fixture *f;

static void reply_released(struct http2_body *body)
{
    struct reply *r = CONTAINER_OF(body, struct reply, body);
    grpc_message_free(f->service.buffers, &r->message);
    mem_free(r);
    f->released++;
}

static bool echo_begin(struct grpc_call *call)
{
    if (slice_is(call->path, "/unknown")) {
        return false;
    }
    call->method = call;
    f->begun++;
    return true;
}

static void echo_message(struct grpc_call *call, struct grpc_message message)
{
    struct reply *r = mem_calloc(1, sizeof(*r));
    if (r == NULL) {
        grpc_message_free(f->service.buffers, &message);
        grpc_finish(call, GRPC_RESOURCE_EXHAUSTED, SLICE("out of memory"));
        return;
    }
    assert_int_equal(
        (uintptr_t)(message.bytes + message.size) % 64 == 0 || call->inbox.encoding != 0, 1);
    grpc_prefix(r->prefix, message.size);
    r->message = message;
    size_t half = message.size / 2;
    r->parts[0] = (struct iovec){r->prefix, GRPC_PREFIX};
    r->parts[1] = (struct iovec){message.bytes, half};
    r->parts[2] = (struct iovec){message.bytes + half, message.size - half};
    r->body = (struct http2_body){.parts = r->parts, .part_count = 3, .release = reply_released};
    f->replies++;
    grpc_send(call, &r->body);
}

static void echo_half_closed(struct grpc_call *call)
{
    if (slice_is(call->path, "/error")) {
        grpc_finish(call, 5, SLICE("100% not\nfound"));
    } else if (!slice_is(call->path, "/hang")) {
        grpc_finish(call, GRPC_OK, (struct slice){0});
    }
}

static void echo_cancel(struct grpc_call *call)
{
    (void)call;
    f->cancelled++;
}

static void echo_closed(struct grpc_call *call)
{
    (void)call;
    f->closed++;
}

// ---- a socket that is none -----------------------------------------------------------------------------------------

static ssize_t never_read(struct stream *stream, void *ptr, size_t size)
{
    (void)stream, (void)ptr, (void)size;
    return STREAM_IO_WANT_READ;
}

static ssize_t to_client(struct stream *stream, const struct iovec *parts, int count)
{
    (void)stream;
    size_t taken = 0;
    for (int i = 0; i < count; i++) {
        str_append(&f->to_client, parts[i].iov_base, parts[i].iov_len);
        taken += parts[i].iov_len;
    }
    return (ssize_t)taken;
}

static const struct stream_transport transport = {.read = never_read, .write = to_client};

// ---- the client -----------------------------------------------------------------------------------------------------

static void copy_value(char *to, size_t size, const uint8_t *value, size_t length)
{
    length = length < size - 1 ? length : size - 1;
    memcpy(to, value, length);
    to[length] = '\0';
}

static int got_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                      size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                      void *user)
{
    (void)session, (void)frame, (void)flags, (void)user;
    struct slice n = slice_make(name, name_size);
    if (slice_is(n, "grpc-status")) {
        copy_value(f->status, sizeof(f->status), value, value_size);
    } else if (slice_is(n, "grpc-message")) {
        copy_value(f->text, sizeof(f->text), value, value_size);
    } else if (slice_is(n, ":status")) {
        copy_value(f->http_status, sizeof(f->http_status), value, value_size);
    } else if (slice_is(n, "grpc-encoding")) {
        copy_value(f->encoding, sizeof(f->encoding), value, value_size);
    }
    return 0;
}

static int got_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                    size_t size, void *user)
{
    (void)session, (void)flags, (void)id, (void)user;
    str_append(&f->body, data, size);
    return 0;
}

static int got_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    (void)session, (void)id, (void)user;
    f->stream_error = error;
    f->stream_over = true;
    return 0;
}

static int got_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session, (void)user;
    f->goaway |= frame->hd.type == NGHTTP2_GOAWAY;
    return 0;
}

static ssize_t give_data(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t size,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session, (void)id, (void)source, (void)user;
    size_t left = f->out_size - f->out_at;
    size_t n = left < size ? left : size;
    if (n > 0) {
        memcpy(buffer, f->out + f->out_at, n);
    }
    f->out_at += n;
    if (f->out_at == f->out_size) {
        if (f->hold_end && n == 0) {
            return NGHTTP2_ERR_DEFERRED;
        }
        *flags |= f->hold_end ? 0 : NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

static int setup(void **state)
{
    static struct fixture fixture;
    memset(&fixture, 0, sizeof(fixture));
    f = &fixture;
    *state = f;
    assert_ok(loop_create(&f->loop));
    f->service = (struct grpc_service){
        .calls = object_pool_create(sizeof(struct echo), 16),
        .buffers = buffer_pool_create(1 << 20),
        .begin = echo_begin,
        .message = echo_message,
        .half_closed = echo_half_closed,
        .cancel = echo_cancel,
        .closed = echo_closed,
    };
    static const struct http2_options options = {
        .max_streams = 0, .min_ping_interval_ms = 300000, .max_ping_strikes = 2};
    assert_ok(http2_home_create(f->loop, &options, &grpc_http2_user, &f->service, &f->home));
    nghttp2_session_callbacks *cb;
    assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
    nghttp2_session_callbacks_set_on_header_callback(cb, got_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, got_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, got_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, got_frame);
    assert_int_equal(nghttp2_session_client_new(&f->client, cb, f), 0);
    nghttp2_session_callbacks_del(cb);
    assert_int_equal(nghttp2_submit_settings(f->client, 0, NULL, 0), 0);
    f->connection =
        http2_connection_create(f->home, eventfd(0, EFD_NONBLOCK), &transport, NULL, NULL);
    assert_non_null(f->connection);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http2_home_close(f->home);
    loop_destroy(f->loop);
    assert_int_equal(http2_home_connections(f->home), 0);
    assert_int_equal(http2_home_streams(f->home), 0);
    http2_home_destroy(f->home);
    assert_int_equal(f->begun, f->closed);
    assert_int_equal(f->replies, f->released);
    object_pool_destroy(f->service.calls);
    buffer_pool_destroy(f->service.buffers);
    nghttp2_session_del(f->client);
    str_fini(&f->to_client);
    str_fini(&f->body);
    return 0;
}

// Carries bytes both ways, `step` at a time, until there are none.
static void talk(size_t step)
{
    for (int idle = 0; idle < 3;) {
        const uint8_t *data;
        ssize_t size = nghttp2_session_mem_send(f->client, &data);
        assert_true(size >= 0);
        for (size_t at = 0; at < (size_t)size;) {
            size_t n = (size_t)size - at < step ? (size_t)size - at : step;
            (void)http2_connection_feed(f->connection, data + at, n);
            at += n;
        }
        if (f->to_client.len > 0) {
            ssize_t used = nghttp2_session_mem_recv(f->client, (const uint8_t *)f->to_client.ptr,
                                                    f->to_client.len);
            assert_int_equal(used, f->to_client.len);
            str_clear(&f->to_client);
            idle = 0;
        } else if (size == 0) {
            (void)http2_connection_feed(f->connection, "", 0);
            idle++;
        }
    }
}

#define NV(n, v)                                                                                   \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0              \
    }

static void call(const char *path, const char *bytes, size_t size, const char *name,
                 const char *value)
{
    nghttp2_nv nv[] = {NV(":method", "POST"),
                       NV(":scheme", "http"),
                       NV(":path", path),
                       NV(":authority", "x"),
                       NV("content-type", "application/grpc+proto"),
                       NV("te", "trailers"),
                       NV("grpc-accept-encoding", "identity, gzip"),
                       NV(name == NULL ? "x" : name, name == NULL ? "y" : value)};
    nghttp2_data_provider provider = {.read_callback = give_data};
    f->out = bytes;
    f->out_size = size;
    f->out_at = 0;
    f->stream_over = false;
    str_clear(&f->body);
    f->status[0] = f->text[0] = f->encoding[0] = '\0';
    assert_true(nghttp2_submit_request(f->client, NULL, nv, 8, &provider, NULL) > 0);
}

static char *framed(size_t size)
{
    char *bytes = mem_alloc(size + GRPC_PREFIX);
    assert_non_null(bytes);
    grpc_prefix(bytes, size);
    for (size_t i = 0; i < size; i++) {
        bytes[GRPC_PREFIX + i] = (char)(i * 31 + i / 251);
    }
    return bytes;
}

static void expect_echo(const char *bytes, size_t size)
{
    assert_true(f->stream_over);
    assert_int_equal(f->stream_error, 0);
    assert_string_equal(f->status, "0");
    assert_int_equal(f->body.len, size);
    assert_memory_equal(f->body.ptr, bytes, size);
}

// ---- tests ----------------------------------------------------------------------------------------------------------

static void messages_of_any_size_in_pieces_of_any_size_come_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 63, 64, 2000, 16379, 70000, 3000000};
    static const size_t steps[] = {1, 7, 100, 65536};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
            if (sizes[i] > 100000 && steps[k] < 100) {
                continue;
            }
            char *bytes = framed(sizes[i]);
            call("/echo", bytes, sizes[i] + GRPC_PREFIX, NULL, NULL);
            talk(steps[k]);
            expect_echo(bytes, sizes[i] + GRPC_PREFIX);
            mem_free(bytes);
        }
    }
}

static void a_stream_of_messages_in_one_frame_is_taken_apart(void **state)
{
    (void)state;
    struct str all = STR_INIT;
    for (size_t i = 0; i < 50; i++) {
        char *bytes = framed(i);
        str_append(&all, bytes, i + GRPC_PREFIX);
        mem_free(bytes);
    }
    call("/echo", all.ptr, all.len, NULL, NULL);
    talk(65536);
    expect_echo(all.ptr, all.len);
    assert_int_equal(f->replies, 50);
    str_fini(&all);
}

static void status_and_text_are_in_the_trailers(void **state)
{
    (void)state;
    call("/error", "", 0, NULL, NULL);
    talk(65536);
    assert_string_equal(f->http_status, "200");
    assert_string_equal(f->status, "5");
    assert_string_equal(f->text, "100%25 not%0Afound");
}

static void an_unknown_method_is_unimplemented(void **state)
{
    (void)state;
    call("/unknown", "", 0, NULL, NULL);
    talk(65536);
    assert_string_equal(f->status, "12");
    assert_int_equal(f->begun, 0);
}

static void bad_prefixes_end_the_call(void **state)
{
    (void)state;
    call("/echo", "\2\0\0\0\0", 5, NULL, NULL);
    talk(65536);
    assert_string_equal(f->status, "13");
    call("/echo", "\1\0\0\0\0", 5, NULL, NULL);
    talk(65536);
    assert_string_equal(f->status, "13");
    call("/echo", "\0\xff\xff\xff\xff", 5, NULL, NULL);
    talk(65536);
    assert_string_equal(f->status, "8");
    call("/echo", "\0\0\0\0\5ab", 7, NULL, NULL);
    talk(65536);
    assert_string_equal(f->status, "13");
    assert_string_equal(f->text, "the request ends inside a message");
}

static void compressed_messages_are_inflated(void **state)
{
    (void)state;
    char plain[10000];
    memset(plain, 'a', sizeof(plain));
    unsigned char packed[1000];
    uLongf size = sizeof(packed) - GRPC_PREFIX;
    assert_int_equal(compress(packed + GRPC_PREFIX, &size, (unsigned char *)plain, sizeof(plain)),
                     Z_OK);
    grpc_prefix((char *)packed, size);
    packed[0] = 1;
    call("/echo", (char *)packed, size + GRPC_PREFIX, "grpc-encoding", "deflate");
    talk(65536);
    assert_string_equal(f->status, "0");
    assert_int_equal(f->body.len, sizeof(plain) + GRPC_PREFIX);
    assert_memory_equal(f->body.ptr + GRPC_PREFIX, plain, sizeof(plain));
    packed[20] ^= 0x55;
    call("/echo", (char *)packed, size + GRPC_PREFIX, "grpc-encoding", "deflate");
    talk(65536);
    assert_string_equal(f->status, "13");
    call("/echo", "", 0, "grpc-encoding", "snappy");
    talk(65536);
    assert_string_equal(f->status, "12");
}

static void answers_are_compressed_when_the_service_does_and_the_client_may(void **state)
{
    (void)state;
    f->service.compression = GRPC_COMPRESSION_LOW;
    char *bytes = framed(100000);
    memset(bytes + GRPC_PREFIX, 0, 100000);
    call("/echo", bytes, 100005, NULL, NULL);
    talk(65536);
    assert_string_equal(f->encoding, "gzip");
    assert_true(f->body.len < 10000);
    assert_int_equal(f->body.ptr[0], 1);
    mem_free(bytes);
}

static void a_reset_cancels(void **state)
{
    (void)state;
    call("/hang", "\0\0\0\0\0", 5, NULL, NULL);
    talk(65536);
    assert_false(f->stream_over);
    assert_int_equal(nghttp2_submit_rst_stream(f->client, 0, 1, NGHTTP2_CANCEL), 0);
    talk(65536);
    assert_int_equal(f->cancelled, 1);
    assert_int_equal(f->closed, 1);
}

static void closing_the_connection_cancels(void **state)
{
    (void)state;
    call("/hang", "\0\0\0\0\0", 5, NULL, NULL);
    talk(65536);
    http2_home_close(f->home);
    assert_int_equal(f->cancelled, 0); // from the loop, later: teardown looks at the counts
}

static void an_answer_before_the_request_ends_stops_the_client(void **state)
{
    (void)state;
    f->hold_end = true;
    call("/unknown", "\0\0\0\0\0", 5, NULL, NULL);
    talk(65536);
    assert_string_equal(f->status, "12");
    assert_true(f->stream_over);
}

static void draining_says_goaway_and_lets_calls_end(void **state)
{
    (void)state;
    f->hold_end = true;
    call("/echo", "\0\0\0\0\0", 5, NULL, NULL);
    talk(65536);
    http2_home_drain(f->home);
    talk(65536);
    assert_true(f->goaway);
    assert_false(f->stream_over);
    f->hold_end = false;
    assert_int_equal(nghttp2_session_resume_data(f->client, 1), 0);
    talk(65536);
    assert_string_equal(f->status, "0");
}

static void too_many_pings_end_the_connection(void **state)
{
    (void)state;
    talk(65536);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(nghttp2_submit_ping(f->client, 0, NULL), 0);
        talk(65536);
    }
    assert_true(f->goaway);
}

static void garbage_ends_the_connection(void **state)
{
    (void)state;
    assert_false(http2_connection_feed(f->connection, "GET / HTTP/1.1\r\n\r\n", 18));
}

static void any_allocation_may_fail(void **state)
{
    char *bytes = framed(5000);
    for (uint64_t n = 1; n < 40; n++) {
        assert_int_equal(setup(state), 0);
        talk(65536);
        assert_non_null(str_reserve(&f->to_client, 1 << 20)); // what the test itself needs
        assert_non_null(str_reserve(&f->body, 1 << 16));
        mem_fail_after(n);
        call("/echo", bytes, 5005, NULL, NULL);
        talk(100);
        mem_fail_after(0);
        if (http2_connection_feed(f->connection, "", 0)) { // else it was given up, which is fine
            call("/echo", bytes, 5005, NULL, NULL);
            talk(65536);
            expect_echo(bytes, 5005);
        }
        assert_int_equal(teardown(state), 0);
    }
    mem_free(bytes);
}

static void timeouts_are_parsed(void **state)
{
    (void)state;
    uint64_t ns;
    assert_true(grpc_parse_timeout(SLICE("100m"), &ns));
    assert_int_equal(ns, 100000000);
    assert_true(grpc_parse_timeout(SLICE("1H"), &ns));
    assert_int_equal(ns, UINT64_C(3600000000000));
    assert_true(grpc_parse_timeout(SLICE("99999999H"), &ns));
    assert_int_equal(ns, UINT64_MAX);
    assert_true(grpc_parse_timeout(SLICE("0n"), &ns));
    assert_int_equal(ns, 0);
    assert_false(grpc_parse_timeout(SLICE(""), &ns));
    assert_false(grpc_parse_timeout(SLICE("5"), &ns));
    assert_false(grpc_parse_timeout(SLICE("m"), &ns));
    assert_false(grpc_parse_timeout(SLICE("-5m"), &ns));
    assert_false(grpc_parse_timeout(SLICE("123456789m"), &ns));
    assert_false(grpc_parse_timeout(SLICE("5x"), &ns));
}

static void texts_are_percent_encoded(void **state)
{
    (void)state;
    char out[16];
    assert_int_equal(grpc_encode_text(SLICE("a%\xc3\xbc"), out, sizeof(out)), 10);
    assert_memory_equal(out, "a%25%C3%BC", 10);
    assert_int_equal(grpc_encode_text(SLICE("\n\n\n"), out, 8), 6); // no half escapes
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void stop_loop(struct loop_timer *timer)
{
    loop_stop(timer->loop);
}

// A window that HTTP/2 does not have stands for memory that nghttp2 does not get.
static void a_connection_that_cannot_be_made_leaves_nothing_in_its_loop(void **state)
{
    (void)state;
    static const struct http2_options options = {.stream_window = 1u << 31};
    struct loop *loop;
    struct http2_home *home;
    assert_ok(loop_create(&loop));
    assert_ok(http2_home_create(loop, &options, &grpc_http2_user, NULL, &home));
    assert_null(http2_connection_create(home, eventfd(0, EFD_NONBLOCK), &transport, NULL, NULL));
    assert_int_equal(http2_home_connections(home), 0);
    struct loop_timer timer; // behind the loop's look at its deadlines
    loop_timer_init(&timer, loop, stop_loop);
    loop_timer_start(&timer, 700);
    loop_run(loop);
    loop_destroy(loop);
    http2_home_destroy(home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages_of_any_size_in_pieces_of_any_size_come_back),
        TEST(a_stream_of_messages_in_one_frame_is_taken_apart),
        TEST(status_and_text_are_in_the_trailers),
        TEST(an_unknown_method_is_unimplemented),
        TEST(bad_prefixes_end_the_call),
        TEST(compressed_messages_are_inflated),
        TEST(answers_are_compressed_when_the_service_does_and_the_client_may),
        TEST(a_reset_cancels),
        TEST(closing_the_connection_cancels),
        TEST(an_answer_before_the_request_ends_stops_the_client),
        TEST(draining_says_goaway_and_lets_calls_end),
        TEST(too_many_pings_end_the_connection),
        TEST(garbage_ends_the_connection),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(a_connection_that_cannot_be_made_leaves_nothing_in_its_loop),
        cmocka_unit_test(timeouts_are_parsed),
        cmocka_unit_test(texts_are_percent_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
