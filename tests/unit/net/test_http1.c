// SPDX-License-Identifier: Apache-2.0
// A server with a handler that echoes, driven by raw sockets: whole, byte by byte, pipelined, broken off.
#include "net_unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/http1.h"

#define MAX_BODY 4000000

struct fixture {
    struct http1_server *server;
    struct buffer_pool *pool;
    int port;
};
static struct fixture f;
static _Atomic int cancelled;
static _Atomic int handled;
static struct loop_timer late_timer;
static struct http1_request *late_request;

static void on_cancel(struct http1_request *request)
{
    (void)request;
    atomic_fetch_add(&cancelled, 1);
}

static void reply_when_cancelled(struct http1_request *request)
{
    on_cancel(request);
    http1_reply(request, 200, (struct slice){NULL, 0}, false, NULL);
}

struct held {
    struct stream_chunk chunk;
    struct http1_block *block;
};

static void release_held(struct stream_chunk *chunk)
{
    struct held *held = CONTAINER_OF(chunk, struct held, chunk);
    http1_block_release(held->block);
    mem_free(held);
}

static void reply_late(struct loop_timer *timer)
{
    (void)timer;
    str_append_cstr(http1_text(late_request), "late");
    http1_reply(late_request, 200, (struct slice){NULL, 0}, false, NULL);
}

// /echo: the body, from its block. /late: after 100 ms. /hold: when it is cancelled. /parts: in parts. Else: the method and the body's length.
static void handle(void *user, struct http1_request *request)
{
    (void)user;
    atomic_fetch_add(&handled, 1);
    if (slice_is(request->head.path, "/echo")) {
        struct held *held = mem_calloc(1, sizeof(*held));
        held->block = http1_hold_body(request);
        held->chunk = (struct stream_chunk){
            .ptr = request->body.ptr, .len = request->body.len, .release = release_held};
        http1_reply(request, 200, SLICE("Content-Type: a/b\r\n"), true, &held->chunk);
    } else if (slice_is(request->head.path, "/late")) {
        late_request = request;
        request->cancelled = on_cancel;
        loop_timer_init(&late_timer, request->loop, reply_late);
        loop_timer_start(&late_timer, 100);
    } else if (slice_is(request->head.path, "/hold")) {
        request->cancelled = reply_when_cancelled;
    } else if (slice_is(request->head.path, "/parts")) {
        http1_reply_begin(request, 200, SLICE("Content-Type: a/b\r\n"), true);
        assert_true(http1_reply_part(request, SLICE("one")));
        assert_true(http1_reply_part(request, SLICE("twotwo")));
        http1_reply_end(request);
    } else if (request->body_refused) {
        str_append_cstr(http1_text(request), "refused");
        http1_reply(request, 400, (struct slice){NULL, 0}, false, NULL);
    } else {
        str_printf(http1_text(request), "%.*s %zu", (int)request->head.method_text.len,
                   request->head.method_text.ptr, request->body.len);
        http1_reply(request, 200, (struct slice){NULL, 0}, false, NULL);
    }
}

static int set_up(void **state)
{
    (void)state;
    f.pool = buffer_pool_create(64 << 20);
    struct http1_options options = {
        .address = "127.0.0.1",
        .threads = 2,
        .max_body = MAX_BODY,
        .head_timeout_ms = 300,
        .body_timeout_ms = 300,
        .pool = f.pool,
        .handle = handle,
    };
    assert_ok(http1_server_create(&options, &f.server));
    assert_ok(http1_server_start(f.server));
    f.port = http1_server_port(f.server);
    assert_true(f.port > 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_true(http1_server_destroy(f.server, 5000));
    buffer_pool_destroy(f.pool);
    return 0;
}

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (const struct sockaddr *)(const void *)&to, sizeof(to)), 0);
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void put(int fd, const void *ptr, size_t len)
{
    const char *at = ptr;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        assert_true(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

// Reads until `want` bytes, the peer's end, or silence. Returns what came; `*ended` tells which.
static size_t take(int fd, char *out, size_t want, bool *ended)
{
    size_t len = 0;
    *ended = false;
    while (len < want) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 3000) <= 0) {
            break;
        }
        ssize_t n = recv(fd, out + len, want - len, 0);
        if (n <= 0) {
            *ended = true;
            break;
        }
        len += (size_t)n;
    }
    return len;
}

static void expect_exactly(int fd, const char *text)
{
    char *out = malloc(strlen(text) + 1);
    bool ended;
    size_t len = take(fd, out, strlen(text), &ended);
    out[len] = '\0';
    assert_string_equal(out, text);
    free(out);
}

static void expect_end(int fd)
{
    char c;
    bool ended;
    assert_int_equal(take(fd, &c, 1, &ended), 0);
    assert_true(ended);
    close(fd);
}

#define GET_A "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
#define REPLY_A "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nGET 0"
#define POST_B "POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
#define REPLY_B "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Type: text/plain\r\n\r\nPOST 3"
#define POST_C                                                                                     \
    "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
#define REPLY_C "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nabcde"
#define GET_P "GET /parts HTTP/1.1\r\n\r\n"
#define REPLY_P                                                                                    \
    "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n6\r\n"  \
    "twotwo\r\n0\r\n\r\n"

static void requests_of_all_kinds_on_one_connection(void **state)
{
    (void)state;
    int fd = dial();
    for (int i = 0; i < 3; i++) {
        put(fd, GET_A, strlen(GET_A));
        expect_exactly(fd, REPLY_A);
        put(fd, POST_B, strlen(POST_B));
        expect_exactly(fd, REPLY_B);
        put(fd, POST_C, strlen(POST_C));
        expect_exactly(fd, REPLY_C);
        put(fd, GET_P, strlen(GET_P));
        expect_exactly(fd, REPLY_P);
    }
    close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    int fd = dial();
    static const char late[] = "GET /late HTTP/1.1\r\n\r\n";
    put(fd, GET_A POST_B POST_C, strlen(GET_A POST_B POST_C));
    put(fd, late, strlen(late));
    put(fd, "\r\n" GET_P GET_A, strlen("\r\n" GET_P GET_A));
    expect_exactly(fd, REPLY_A REPLY_B REPLY_C);
    expect_exactly(fd,
                   "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: text/plain\r\n\r\nlate");
    expect_exactly(fd, REPLY_P REPLY_A);
    close(fd);
}

static void requests_may_come_byte_by_byte(void **state)
{
    (void)state;
    int fd = dial();
    static const char text[] = GET_A POST_B POST_C;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        put(fd, text + i, 1);
    }
    expect_exactly(fd, REPLY_A REPLY_B REPLY_C);
    close(fd);
}

static void many_pipelined_requests_cross_the_block(void **state)
{
    (void)state;
    int fd = dial();
    enum { COUNT = 3000 };
    struct str text = STR_INIT;
    struct str replies = STR_INIT;
    for (int i = 0; i < COUNT; i++) {
        str_append_cstr(&text, i % 3 == 0 ? GET_A : i % 3 == 1 ? POST_B : POST_C);
        str_append_cstr(&replies, i % 3 == 0 ? REPLY_A : i % 3 == 1 ? REPLY_B : REPLY_C);
    }
    put(fd, text.ptr, text.len);
    expect_exactly(fd, str_cstr(&replies));
    str_fini(&text);
    str_fini(&replies);
    close(fd);
}

// Bodies around the sizes where the block ends, with a length and chunked, echoed.
static void bodies_of_all_sizes_come_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,     1,     1000,  15000, 16000,  16200,  16300,
                                   16384, 16385, 32768, 65536, 100000, 602112, 3999999};
    int fd = dial();
    char *body = malloc(MAX_BODY);
    char *out = malloc(MAX_BODY + 1024);
    for (size_t i = 0; i < MAX_BODY; i++) {
        body[i] = (char)('a' + i % 23);
    }
    for (int chunked = 0; chunked < 2; chunked++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            char head[200];
            size_t size = sizes[i];
            if (!chunked) {
                snprintf(head, sizeof(head), "POST /echo HTTP/1.1\r\nContent-Length: %zu\r\n\r\n",
                         size);
                put(fd, head, strlen(head));
                put(fd, body, size);
            } else {
                put(fd, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 51);
                for (size_t at = 0; at < size;) {
                    size_t part = at % 2 == 0 ? 70001 : 333;
                    part = part < size - at ? part : size - at;
                    snprintf(head, sizeof(head), "%zx\r\n", part);
                    put(fd, head, strlen(head));
                    put(fd, body + at, part);
                    put(fd, "\r\n", 2);
                    at += part;
                }
                put(fd, "0\r\n\r\n", 5);
            }
            bool ended;
            snprintf(head, sizeof(head),
                     "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: %zu\r\n\r\n", size);
            assert_int_equal(take(fd, out, strlen(head), &ended), strlen(head));
            assert_memory_equal(out, head, strlen(head));
            assert_int_equal(take(fd, out, size, &ended), size);
            assert_memory_equal(out, body, size);
        }
    }
    free(body);
    free(out);
    close(fd);
}

static void expect_continue_is_answered_before_the_body(void **state)
{
    (void)state;
    int fd = dial();
    static const char head[] =
        "POST /b HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    put(fd, head, strlen(head));
    expect_exactly(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    put(fd, "abc", 3);
    expect_exactly(fd, REPLY_B);
    close(fd);
}

static void too_long_a_body_is_refused_unread(void **state)
{
    (void)state;
    int fd = dial();
    static const char head[] = "POST /b HTTP/1.1\r\nContent-Length: 4000001\r\n\r\n";
    put(fd, head, strlen(head));
    expect_exactly(fd, "HTTP/1.1 400 Bad Request\r\nContent-Length: 7\r\nConnection: close\r\n"
                       "Content-Type: text/plain\r\n\r\nrefused");
    expect_end(fd);
}

static void chunks_are_counted(void **state)
{
    (void)state;
    int fd = dial();
    put(fd, "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 48);
    struct str text = STR_INIT;
    for (int i = 0; i < 65537; i++) {
        str_append_cstr(&text, "1\r\na\r\n");
    }
    put(fd, text.ptr, text.len);
    str_fini(&text);
    expect_exactly(fd,
                   "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
                   "Content-Length: 109\r\nConnection: close\r\n\r\n{\"error\":\"Chunked request "
                   "body exceeds maximum of 65536 non-empty chunks. Send fewer or larger HTTP "
                   "chunks.\"}");
    expect_end(fd);
}

static void malformed_requests_are_refused_and_closed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *status;
    } cases[] = {
        {"BAD\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
        {"GET / HTTP/1.1\nA: b\n\n", "HTTP/1.1 400 Bad Request\r\n"},
        {"PRI * HTTP/2.0\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported\r\n"},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
         "HTTP/1.1 400 Bad Request\r\n"},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffff\r\n",
         "HTTP/1.1 413 Payload Too Large\r\n"},
        {"POST / HTTP/1.1\r\nTransfer-Encoding: br\r\n\r\n", "HTTP/1.1 501 Not Implemented\r\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = dial();
        put(fd, cases[i].text, strlen(cases[i].text));
        expect_exactly(fd, cases[i].status);
        char rest[1000];
        bool ended;
        take(fd, rest, sizeof(rest), &ended);
        assert_true(ended);
        close(fd);
    }
}

static void too_long_a_head_is_refused(void **state)
{
    (void)state;
    int fd = dial();
    struct str text = STR_INIT;
    str_append_cstr(&text, "GET / HTTP/1.1\r\nA: ");
    while (text.len < 70000) {
        str_append_char(&text, 'a');
    }
    put(fd, text.ptr, text.len);
    expect_exactly(fd, "HTTP/1.1 431 ");
    close(fd);
    // Just below the limit it is served.
    fd = dial();
    text.len = 60000;
    str_append_cstr(&text, "\r\n\r\n");
    put(fd, text.ptr, text.len);
    expect_exactly(fd, REPLY_A);
    close(fd);
    str_fini(&text);
}

static void a_head_has_no_body(void **state)
{
    (void)state;
    int fd = dial();
    put(fd, "HEAD /a HTTP/1.1\r\n\r\n" GET_A, 20 + strlen(GET_A));
    expect_exactly(
        fd, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Type: text/plain\r\n\r\n" REPLY_A);
    close(fd);
}

static void old_and_closing_clients_are_closed(void **state)
{
    (void)state;
    int fd = dial();
    put(fd, "GET /a HTTP/1.0\r\n\r\n", 19);
    expect_exactly(fd,
                   "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nGET 0");
    expect_end(fd);
    fd = dial();
    put(fd, "GET /a HTTP/1.1\r\nConnection: close\r\n\r\n" GET_A, 38 + strlen(GET_A));
    expect_exactly(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n"
                       "Content-Type: text/plain\r\n\r\nGET 0");
    expect_end(fd);
    fd = dial();
    put(fd, "GET /parts HTTP/1.0\r\n\r\n", 23);
    expect_exactly(fd, "HTTP/1.0 200 OK\r\nContent-Type: a/b\r\n\r\nonetwotwo");
    expect_end(fd);
}

static void a_trickled_head_and_body_time_out(void **state)
{
    (void)state;
    int head = dial();
    int body = dial();
    int chunked = dial();
    put(head, "GET / HT", 8);
    put(body, "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc", 42);
    put(chunked, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 51);
    expect_exactly(head, "HTTP/1.1 408 Request Timeout\r\n");
    expect_exactly(body, "HTTP/1.1 408 Request Timeout\r\n");
    expect_exactly(chunked, "HTTP/1.1 408 Request Timeout\r\n");
    close(head);
    close(body);
    close(chunked);
}

// With a reset at once, with an end in good order a little later.
static void a_client_that_vanishes_cancels_its_request(void **state)
{
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        int before = atomic_load(&cancelled);
        int handled_before = atomic_load(&handled);
        int fd = dial();
        put(fd, "GET /hold HTTP/1.1\r\n\r\n", 22);
        for (int i = 0; i < 1000 && atomic_load(&handled) == handled_before; i++) {
            usleep(1000);
        }
        const struct linger linger = {.l_onoff = reset, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        close(fd);
        for (int i = 0; i < 10000 && atomic_load(&cancelled) == before; i++) {
            usleep(1000);
        }
        assert_int_equal(atomic_load(&cancelled), before + 1);
    }
}

// What a client has asked before it ended its half is answered, as Triton does.
static void a_half_closed_client_gets_its_answers(void **state)
{
    (void)state;
    static const char request[] = "GET /late HTTP/1.1\r\n\r\n";
    static const char late[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: text/plain\r\n\r\nlate";
    int before = atomic_load(&cancelled);
    int fd = dial();
    put(fd, request, sizeof(request) - 1);
    put(fd, GET_A POST_B "GET /unfini", strlen(GET_A POST_B) + 11);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    expect_exactly(fd, late);
    expect_exactly(fd, REPLY_A);
    expect_exactly(fd, REPLY_B);
    expect_end(fd);
    assert_int_equal(atomic_load(&cancelled), before);

    // More behind it than a block holds: reading has paused when the end comes.
    enum { MANY = 1000 };
    fd = dial();
    put(fd, request, sizeof(request) - 1);
    for (int i = 0; i < MANY; i++) {
        put(fd, GET_A, strlen(GET_A));
    }
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    expect_exactly(fd, late);
    for (int i = 0; i < MANY; i++) {
        expect_exactly(fd, REPLY_A);
    }
    expect_end(fd);
}

static void a_reply_is_not_lost_to_a_slow_reader(void **state)
{
    (void)state;
    int fd = dial();
    int small = 65536;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    enum { SIZE = 2000000 };
    char *body = malloc(SIZE);
    memset(body, 'x', SIZE);
    char head[100];
    snprintf(head, sizeof(head), "POST /echo HTTP/1.1\r\nContent-Length: %d\r\n\r\n", SIZE);
    put(fd, head, strlen(head));
    put(fd, body, SIZE);
    usleep(50000);
    put(fd, GET_A, strlen(GET_A));
    char *out = malloc(SIZE + 100);
    bool ended;
    snprintf(head, sizeof(head),
             "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: %d\r\n\r\n", SIZE);
    assert_int_equal(take(fd, out, strlen(head), &ended), strlen(head));
    assert_int_equal(take(fd, out, SIZE, &ended), SIZE);
    assert_memory_equal(out, body, SIZE);
    expect_exactly(fd, REPLY_A);
    free(body);
    free(out);
    close(fd);
}

// On a server of its own, which has never looked for quiet.
static void broken_off_bodies_do_not_stay_in_the_pool(void **state)
{
    enum { CLIENTS = 3, BODY = 3900000 };
    static const char head[] =
        "POST /b HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3900000\r\n\r\n";
    struct fixture others = f;
    set_up(state);
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = dial();
        put(fds[i], head, sizeof(head) - 1);
        expect_exactly(fds[i], "HTTP/1.1 100 Continue\r\n\r\n"); // the body has its block
    }
    for (int i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
    for (int i = 0; i < 5000 && buffer_pool_idle_bytes(f.pool) < CLIENTS * BODY; i++) {
        usleep(1000);
    }
    assert_true(buffer_pool_idle_bytes(f.pool) >= CLIENTS * BODY);
    for (int i = 0; i < 10000 && buffer_pool_idle_bytes(f.pool) > 4 << 20; i++) {
        usleep(1000);
    }
    assert_true(buffer_pool_idle_bytes(f.pool) <= 4 << 20);
    tear_down(state);
    f = others;
}

static void steady_state_allocates_nothing(void **state)
{
    (void)state;
    int fd = dial();
    uint64_t before = 0;
    for (int i = 0; i < 200; i++) {
        if (i == 100) {
            before = mem_count();
        }
        put(fd, GET_A, strlen(GET_A));
        expect_exactly(fd, REPLY_A);
        put(fd, POST_B, strlen(POST_B));
        expect_exactly(fd, REPLY_B);
    }
    assert_int_equal(mem_count(), before);
    close(fd);
}

// Whatever allocation fails, at most the connection is lost; the next one is served.
static void an_allocation_that_fails_costs_at_most_its_connection(void **state)
{
    (void)state;
    static char body[40000];
    static const char *const heads[] = {
        "POST /b HTTP/1.1\r\nContent-Length: 40000\r\n\r\n",
        "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9C40\r\n",
        "GET /parts HTTP/1.1\r\n\r\n",
    };
    memset(body, 'x', sizeof(body));
    for (uint64_t n = 1; n <= 12; n++) {
        for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
            mem_fail_after(n);
            int fd = dial();
            send(fd, heads[i], strlen(heads[i]), MSG_NOSIGNAL);
            if (i < 2) {
                send(fd, body, sizeof(body), MSG_NOSIGNAL);
                send(fd, "\r\n0\r\n\r\n", i == 1 ? 7 : 0, MSG_NOSIGNAL);
            }
            char out[1000];
            bool ended;
            size_t came = take(fd, out, 9, &ended);
            assert_true(came == 9 || ended);
            assert_memory_equal(out, "HTTP/1.1 ", came);
            mem_fail_after(0);
            close(fd);
            fd = dial();
            put(fd, GET_A, strlen(GET_A));
            expect_exactly(fd, REPLY_A);
            close(fd);
        }
    }
    // And none when the server is made.
    for (uint64_t n = 1; n < 60; n++) {
        struct http1_options options = {.address = "127.0.0.1", .pool = f.pool, .handle = handle};
        struct http1_server *server = NULL;
        mem_fail_after(n);
        struct nrd_status *status = http1_server_create(&options, &server);
        mem_fail_after(0);
        if (status == NULL) {
            assert_true(http1_server_destroy(server, 1000));
        }
        status_free(status);
    }
}

static void an_address_in_use_is_named(void **state)
{
    (void)state;
    struct http1_options options = {
        .address = "127.0.0.1", .port = f.port, .pool = f.pool, .handle = handle};
    struct http1_server *second = NULL;
    struct nrd_status *status = http1_server_create(&options, &second);
    char text[100];
    snprintf(text, sizeof(text), "Socket '127.0.0.1:%d' already in use ", f.port);
    assert_string_equal(status_text(status), text);
    status_free(status);
    options.address = "256.0.0.1.invalid";
    status = http1_server_create(&options, &second);
    assert_non_null(strstr(status_text(status), "256.0.0.1.invalid"));
    status_free(status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_of_all_kinds_on_one_connection),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(requests_may_come_byte_by_byte),
        cmocka_unit_test(many_pipelined_requests_cross_the_block),
        cmocka_unit_test(bodies_of_all_sizes_come_back),
        cmocka_unit_test(expect_continue_is_answered_before_the_body),
        cmocka_unit_test(too_long_a_body_is_refused_unread),
        cmocka_unit_test(chunks_are_counted),
        cmocka_unit_test(malformed_requests_are_refused_and_closed),
        cmocka_unit_test(too_long_a_head_is_refused),
        cmocka_unit_test(a_head_has_no_body),
        cmocka_unit_test(old_and_closing_clients_are_closed),
        cmocka_unit_test(a_trickled_head_and_body_time_out),
        cmocka_unit_test(a_client_that_vanishes_cancels_its_request),
        cmocka_unit_test(a_half_closed_client_gets_its_answers),
        cmocka_unit_test(a_reply_is_not_lost_to_a_slow_reader),
        cmocka_unit_test(broken_off_bodies_do_not_stay_in_the_pool),
        cmocka_unit_test(steady_state_allocates_nothing),
        cmocka_unit_test(an_allocation_that_fails_costs_at_most_its_connection),
        cmocka_unit_test(an_address_in_use_is_named),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
