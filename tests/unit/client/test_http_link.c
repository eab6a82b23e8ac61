// SPDX-License-Identifier: Apache-2.0
// HTTP calls against a server whose every byte the test writes: framing, dead and hostile connections, what is kept and repeated.
#include "client_unit.h"

#include <pthread.h>

#include "base/mem.h"

#define JSON                                                                                       \
    "{\"model_name\":\"m\",\"model_version\":\"1\",\"outputs\":[{\"name\":\"OUT\",\"datatype\":"   \
    "\"FP32\",\"shape\":[4],\"parameters\":{\"binary_data_size\":16}}]}"
#define FLOATS "\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40"
#define END_OF_REQUEST "\x80\x40" // of the last float

struct fixture {
    int listener;
    int port;
    struct nrd_client *client;
};

static int setup(void **state)
{
    static struct fixture f;
    f.listener = listen_somewhere(&f.port);
    const struct nrd_client_options options = {.timeout_ms = 20000, .max_response = 1 << 20};
    f.client = client_of_port("http", f.port, &options);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    nrd_client_destroy(f->client);
    close(f->listener);
    return 0;
}

static size_t whole_answer(char *out, size_t size)
{
    int n = snprintf(out, size,
                     "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                     "Inference-Header-Content-Length: %zu\r\nContent-Length: %zu\r\n\r\n%s",
                     sizeof(JSON) - 1, sizeof(JSON) - 1 + 16, JSON);
    memcpy(out + n, FLOATS, 16);
    return (size_t)n + 16;
}

static void answer(int fd)
{
    char bytes[1024];
    read_until(fd, END_OF_REQUEST);
    write_all(fd, bytes, whole_answer(bytes, sizeof(bytes)));
}

static void answer_in_single_bytes_is_whole(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    char bytes[1024];
    size_t size = whole_answer(bytes, sizeof(bytes));
    begin(f->client, &unit_request, &o);
    int fd = accept_one(f->listener);
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));
    read_until(fd, END_OF_REQUEST);
    for (size_t i = 0; i < size; i++) {
        write_all(fd, bytes + i, 1);
    }
    expect_values(&o);
    close(fd);
}

static void answer_comes_in_any_framing(void **state)
{
    struct fixture *f = *state;
    char chunked[1024];
    int n =
        snprintf(chunked, sizeof(chunked),
                 "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                 "Inference-Header-Content-Length: %zu\r\n\r\n%zx;ext=1\r\n%s\r\n10\r\n",
                 sizeof(JSON) - 1, sizeof(JSON) - 1, JSON);
    memcpy(chunked + n, FLOATS, 16);
    memcpy(chunked + n + 16, "\r\n0\r\nTrailer: x\r\n\r\n", 19);
    char open_end[1024];
    int m = snprintf(open_end, sizeof(open_end),
                     "HTTP/1.0 200 OK\r\nInference-Header-Content-Length: %zu\r\n\r\n%s",
                     sizeof(JSON) - 1, JSON);
    memcpy(open_end + m, FLOATS, 16);
    struct outcome o;
    begin(f->client, &unit_request, &o);
    int fd = accept_one(f->listener);
    read_until(fd, END_OF_REQUEST);
    write_all(fd, chunked, (size_t)n + 16 + 19);
    expect_values(&o);
    begin(f->client, &unit_request, &o); // the same connection
    read_until(fd, END_OF_REQUEST);
    write_all(fd, open_end, (size_t)m + 16);
    close(fd);
    expect_values(&o);
}

static void connection_is_kept_and_its_death_is_mended(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    begin(f->client, &unit_request, &o);
    int fd = accept_one(f->listener);
    answer(fd);
    expect_values(&o);
    begin(f->client, &unit_request, &o);
    read_until(fd, END_OF_REQUEST);
    close(fd); // no byte of an answer
    fd = accept_one(f->listener);
    answer(fd);
    expect_values(&o);
    close(fd);
}

static void request_of_a_sequence_is_not_repeated(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    struct nrd_client_request request = unit_request;
    request.sequence_id = 7;
    begin(f->client, &request, &o);
    int fd = accept_one(f->listener);
    answer(fd);
    expect_values(&o);
    begin(f->client, &request, &o);
    read_until(fd, END_OF_REQUEST);
    close(fd);
    expect_failure(&o, NRD_UNAVAILABLE, "without an answer");
}

static void new_connection_that_dies_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    begin(f->client, &unit_request, &o);
    int fd = accept_one(f->listener);
    read_until(fd, END_OF_REQUEST);
    close(fd);
    expect_failure(&o, NRD_UNAVAILABLE, "the server closed the connection without an answer");
    begin(f->client, &unit_request, &o);
    fd = accept_one(f->listener);
    read_until(fd, END_OF_REQUEST);
    write_all(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 42);
    close(fd);
    expect_failure(&o, NRD_UNAVAILABLE, "in the middle of its answer");
}

static void hostile_answers_are_named(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *bytes;
        enum nrd_code code;
        const char *text;
    } cases[] = {
        {"HTTP/1.1 200 OK\nContent-Length: 0\n\n", NRD_UNAVAILABLE, "malformed response: line"},
        {"HTTP/2 200\r\n\r\n", NRD_UNAVAILABLE, "malformed status line"},
        {"HTTP/1.1 99 OK\r\n\r\n", NRD_UNAVAILABLE, "malformed status line"},
        {"HTTP/1.1 20x OK\r\n\r\n", NRD_UNAVAILABLE, "malformed status line"},
        {"SSH-2.0-OpenSSH\r\n\r\n", NRD_UNAVAILABLE, "malformed status line"},
        {"HTTP/1.1 101 Switch\r\n\r\n", NRD_UNAVAILABLE, "another protocol"},
        {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", NRD_UNAVAILABLE,
         "malformed Content-Length"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", NRD_UNAVAILABLE,
         "differ"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         NRD_UNAVAILABLE, "both Content-Length"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", NRD_UNAVAILABLE,
         "bad chunk"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n", NRD_UNAVAILABLE,
         "larger than allowed"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n", NRD_UNAVAILABLE,
         "larger than allowed"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{]}", NRD_INTERNAL, "JSON"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nInference-Header-Content-Length: 9\r\n\r\n{}",
         NRD_INTERNAL, "beyond the reply's end"},
        {"HTTP/1.1 204 None\r\n\r\n", NRD_INTERNAL, "JSON"},
        {"HTTP/1.1 404 No\r\nContent-Length: 20\r\n\r\n{\"error\":\"not here\"}", NRD_NOT_FOUND,
         "not here (HTTP status 404)"},
        {"HTTP/1.1 502 Bad\r\nContent-Length: 10\r\n\r\n<html>\rno\n", NRD_UNAVAILABLE,
         "<html> no (HTTP status 502)"},
        {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", NRD_INTERNAL,
         "compression is broken"},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct outcome o;
        begin(f->client, &unit_request, &o);
        int fd = accept_one(f->listener);
        read_until(fd, END_OF_REQUEST);
        write_all(fd, cases[i].bytes, strlen(cases[i].bytes));
        expect_failure(&o, cases[i].code, cases[i].text);
        // Whatever it was, the client says goodbye to such a connection, or may use it again.
        shutdown(fd, SHUT_WR);
        char rest[64];
        while (recv(fd, rest, sizeof(rest), 0) > 0) {
        }
        close(fd);
    }
}

static void bytes_behind_an_answer_end_the_connection(void **state)
{
    struct fixture *f = *state;
    char bytes[1024];
    size_t size = whole_answer(bytes, sizeof(bytes));
    struct outcome o;
    begin(f->client, &unit_request, &o);
    int fd = accept_one(f->listener);
    read_until(fd, END_OF_REQUEST);
    memcpy(bytes + size, "HTTP/1.1 200 OK\r\n\r\n", 19); // an answer that was not asked for
    write_all(fd, bytes, size + 19);
    expect_values(&o);
    begin(f->client, &unit_request, &o);
    int second = accept_one(f->listener);
    answer(second);
    expect_values(&o);
    close(fd);
    close(second);
}

static void early_refusal_of_a_large_request_is_heard(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 4 << 20 };
    float *values = mem_calloc(COUNT, sizeof(float));
    const int64_t shape[1] = {COUNT};
    struct nrd_client_input input = unit_input;
    input.data = values;
    input.size = COUNT * sizeof(float);
    input.shape = shape;
    struct nrd_client_request request = unit_request;
    request.inputs = &input;
    struct outcome o;
    begin(f->client, &request, &o);
    int fd = accept_one(f->listener);
    read_until(fd, "\r\n\r\n");
    static const char refusal[] =
        "HTTP/1.1 413 Large\r\nConnection: close\r\nContent-Length: 19\r\n\r\n{\"error\":\"too "
        "big\"} ";
    write_all(fd, refusal, sizeof(refusal) - 1);
    expect_failure(&o, NRD_INVALID_ARG, "too big (HTTP status 413)");
    mem_free(values); // no longer read by anyone: a sanitizer would see
    close(fd);
}

static void nobody_there_is_said_after_the_retries(void **state)
{
    (void)state;
    int port = 0;
    close(listen_somewhere(&port));
    const struct nrd_client_options options = {.retries = 2, .backoff_ms = 1};
    struct nrd_client *client = client_of_port("http", port, &options);
    struct outcome o;
    begin(client, &unit_request, &o);
    expect_failure(&o, NRD_UNAVAILABLE, "infer model 'm': cannot connect: Connection refused");
    nrd_client_destroy(client);
}

static void destruction_ends_calls_under_way(void **state)
{
    struct fixture *f = *state;
    const struct nrd_client_options options = {.max_connections = 1};
    struct nrd_client *client = client_of_port("http", f->port, &options);
    struct outcome under_way;
    struct outcome waiting;
    begin(client, &unit_request, &under_way);
    begin(client, &unit_request, &waiting);
    int fd = accept_one(f->listener);
    read_until(fd, END_OF_REQUEST);
    nrd_client_destroy(client);
    expect_failure(&under_way, NRD_CANCELLED, "the client is being destroyed");
    expect_failure(&waiting, NRD_CANCELLED, "the client is being destroyed");
    close(fd);
}

static void handles_and_responses_outlive_their_client(void **state)
{
    struct fixture *f = *state;
    struct nrd_client *client = client_of_port("http", f->port, NULL);
    struct outcome o = {0};
    parking_init(&o.parked);
    struct nrd_client_call *call = NULL;
    assert_ok(nrd_client_infer_async(client, &unit_request, outcome_done, &o, &call));
    int fd = accept_one(f->listener);
    answer(fd);
    await(&o);
    nrd_client_destroy(client);
    nrd_client_call_cancel(call);
    nrd_client_call_release(call);
    assert_ok(o.status);
    assert_string_equal(nrd_client_response_output(o.response, 0)->name, "OUT");
    nrd_client_response_free(o.response);
    close(fd);
}

struct nested {
    struct nrd_client *client;
    struct outcome inner;
    struct nrd_status *waiting;
    struct parking parked;
};

static void begin_another(void *user, struct nrd_status *status,
                          struct nrd_client_response *response)
{
    struct nested *n = user;
    status_free(status);
    nrd_client_response_free(response);
    struct nrd_client_response *none = NULL;
    n->waiting = nrd_client_infer(n->client, &unit_request, &none);
    assert_ok(nrd_client_infer_async(n->client, &unit_request, outcome_done, &n->inner, NULL));
}

static void callback_may_begin_calls_but_not_wait(void **state)
{
    struct fixture *f = *state;
    struct nested n = {.client = f->client};
    parking_init(&n.inner.parked);
    assert_ok(nrd_client_infer_async(f->client, &unit_request, begin_another, &n, NULL));
    int fd = accept_one(f->listener);
    answer(fd);
    answer(fd);
    expect_values(&n.inner);
    assert_int_equal(status_code(n.waiting), NRD_INVALID_ARG);
    assert_non_null(strstr(status_text(n.waiting), "the client's own loop"));
    status_free(n.waiting);
    close(fd);
}

// ---- a server of its own thread, for tests that do not know what will be asked ----------------------------------------

static const char metadata_answer[] =
    "HTTP/1.1 200 OK\r\nContent-Length: 127\r\n\r\n"
    "{\"name\":\"m\",\"versions\":[\"1\"],\"platform\":\"p\",\"inputs\":[{\"name\":\"IN\","
    "\"datatype\":\"FP32\",\"shape\":[4,-1]}],\"outputs\":[],\"more\":0}   ";

static void serve_connection(int fd)
{
    char bytes[1024];
    char seen[4096];
    size_t filled = 0;
    for (;;) {
        ssize_t n = recv(fd, seen + filled, sizeof(seen) - filled, 0);
        if (n <= 0) {
            break;
        }
        filled += (size_t)n;
        if (memmem(seen, filled, "GET ", 4) != NULL &&
            memmem(seen, filled, "\r\n\r\n", 4) != NULL) {
            filled = 0;
            write_all(fd, metadata_answer, sizeof(metadata_answer) - 1);
        } else if (memmem(seen, filled, END_OF_REQUEST, 2) != NULL) {
            filled = 0;
            write_all(fd, bytes, whole_answer(bytes, sizeof(bytes)));
        }
    }
    close(fd);
}

static void *serve(void *arg)
{
    const struct fixture *f = arg;
    for (int fd; (fd = accept(f->listener, NULL, NULL)) >= 0;) {
        serve_connection(fd); // one after the other: the client of the test has one
    }
    return NULL;
}

static struct nrd_status *ask_both(struct fixture *f)
{
    char url[64];
    struct nrd_client *client = NULL;
    struct nrd_client_response *response = NULL;
    struct nrd_client_model_metadata *metadata = NULL;
    const struct nrd_client_options options = {.max_connections = 1};
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", f->port);
    NRD_TRY(nrd_client_create(url, &options, &client));
    struct nrd_status *status = nrd_client_infer(client, &unit_request, &response);
    if (status == NULL) {
        status = nrd_client_model_metadata(client, "m", NULL, &metadata);
    }
    if (status == NULL) {
        assert_int_equal(metadata->inputs[0].shape[1], -1);
    }
    nrd_client_model_metadata_free(metadata);
    nrd_client_response_free(response);
    nrd_client_destroy(client);
    return status;
}

static void any_allocation_may_fail(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, serve, f), 0);
    assert_ok(ask_both(f));
    unsigned failures = 0;
    unsigned successes = 0;
    for (uint64_t n = 1; n < 400 && successes < 3; n++) {
        mem_fail_after(n);
        struct nrd_status *status = ask_both(f);
        mem_fail_after(0);
        if (status != NULL) {
            failures++;
            assert_int_equal(status_code(status), NRD_UNAVAILABLE);
            assert_non_null(strstr(status_text(status), "out of memory"));
        } else {
            successes++; // a failure that is made up for, or none was left
        }
        status_free(status);
    }
    assert_true(failures > 20);
    shutdown(f->listener, SHUT_RDWR);
    pthread_join(thread, NULL);
}

static void steady_state_allocates_nothing(void **state)
{
    struct fixture *f = *state;
    struct outcome o;
    begin(f->client, &unit_request, &o);
    int fd = accept_one(f->listener);
    answer(fd);
    expect_values(&o);
    uint64_t before = 0;
    // What one thread takes and another gives back goes round by way of both threads' caches of 32: they fill first.
    for (unsigned i = 0; i < 400; i++) {
        before = i == 200 ? mem_count() : before;
        begin(f->client, &unit_request, &o);
        answer(fd);
        expect_values(&o);
    }
    assert_int_equal(mem_count() - before, 0);
    close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(answer_in_single_bytes_is_whole),
        TEST(answer_comes_in_any_framing),
        TEST(connection_is_kept_and_its_death_is_mended),
        TEST(request_of_a_sequence_is_not_repeated),
        TEST(new_connection_that_dies_is_an_error),
        TEST(hostile_answers_are_named),
        TEST(bytes_behind_an_answer_end_the_connection),
        TEST(early_refusal_of_a_large_request_is_heard),
        TEST(nobody_there_is_said_after_the_retries),
        TEST(destruction_ends_calls_under_way),
        TEST(handles_and_responses_outlive_their_client),
        TEST(callback_may_begin_calls_but_not_wait),
        TEST(any_allocation_may_fail),
        TEST(steady_state_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
