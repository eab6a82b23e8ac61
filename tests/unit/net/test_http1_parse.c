// SPDX-License-Identifier: Apache-2.0
#include "net_unit.h"

#include "net/http1_parse.h"

struct refusal {
    const char *head;
    int status;
};

static void head_parse_takes_what_is_right(void **state)
{
    (void)state;
    struct slice text =
        SLICE("POST /v2/models/a%20b/infer?x=1 HTTP/1.1\r\nHost: h\r\ncontent-LENGTH:  12 \r\n"
              "Empty:\r\nExpect: 100-continue\r\n\r\n");
    struct http1_head head;
    const char *reason = NULL;
    assert_int_equal(http1_head_parse(text, &head, &reason), 0);
    assert_int_equal(head.method, HTTP1_POST);
    assert_true(slice_is(head.path, "/v2/models/a%20b/infer"));
    assert_true(slice_is(head.query, "x=1"));
    assert_int_equal(head.minor, 1);
    assert_true(head.keep_alive);
    assert_true(head.has_length);
    assert_int_equal(head.length, 12);
    assert_true(head.expect_continue);
    assert_false(head.chunked);
    assert_int_equal(head.header_count, 4);
    assert_true(slice_is(http1_find(head.headers, head.header_count, SLICE("HOST")), "h"));
    assert_int_equal(http1_find(head.headers, head.header_count, SLICE("Empty")).len, 0);
    assert_non_null(http1_find(head.headers, head.header_count, SLICE("Empty")).ptr);
    assert_null(http1_find(head.headers, head.header_count, SLICE("None")).ptr);
}

static void head_parse_reads_targets_and_connections(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        const char *path;
        bool keep_alive;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", "/", true},
        {"GET / HTTP/1.0\r\n\r\n", "/", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", true},
        {"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", "/", false},
        {"GET / HTTP/1.1\r\nConnection: upgrade, close\r\n\r\n", "/", false},
        {"GET http://host:80/v2?q HTTP/1.1\r\n\r\n", "/v2", true},
        {"GET http://host HTTP/1.1\r\n\r\n", "/", true},
        {"OPTIONS * HTTP/1.1\r\n\r\n", "*", true},
        {"CONNECT host:1 HTTP/1.1\r\n\r\n", "host:1", true},
        {"GET /? HTTP/1.1\r\n\r\n", "/", true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http1_head head;
        const char *reason = NULL;
        assert_int_equal(http1_head_parse(slice_of(cases[i].head), &head, &reason), 0);
        assert_true(slice_is(head.path, cases[i].path));
        assert_int_equal(head.keep_alive, cases[i].keep_alive);
    }
}

static void head_parse_refuses_what_two_parties_could_read_differently(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"\r\n", 400},
        {"GET\r\n\r\n", 400},
        {"GET /\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1 \r\n\r\n", 400},
        {"G(T / HTTP/1.1\r\n\r\n", 400},
        {" GET / HTTP/1.1\r\n\r\n", 400},
        {"GET /\x01 HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\n\r\n", 505},
        {"GET / HTTX/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: x\n\n", 400},
        {"GET / HTTP/1.1\r\nA: b\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: 0123456789abcdef0123456789abcdef\x7f\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nContent-Length: \r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http1_head head;
        const char *reason = NULL;
        int status = http1_head_parse(slice_of(cases[i].head), &head, &reason);
        if (status != cases[i].status) {
            fail_msg("case %zu: %d instead of %d", i, status, cases[i].status);
        }
        assert_non_null(reason);
    }
    struct http1_head head;
    const char *reason = NULL;
    assert_int_equal(http1_head_parse(SLICE("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n"), &head, &reason),
                     400);
}

static void head_parse_counts_headers(void **state)
{
    (void)state;
    char text[2048] = "GET / HTTP/1.1\r\n";
    size_t len = strlen(text);
    for (int i = 0; i < HTTP1_MAX_HEADERS + 1; i++) {
        memcpy(text + len, "a: b\r\n", 6);
        len += 6;
    }
    memcpy(text + len, "\r\n", 2);
    struct http1_head head;
    const char *reason = NULL;
    assert_int_equal(http1_head_parse(slice_make(text, len + 2), &head, &reason), 431);
    memcpy(text + len - 6, "\r\n", 2);
    assert_int_equal(http1_head_parse(slice_make(text, len - 4), &head, &reason), 0);
    assert_int_equal(head.header_count, HTTP1_MAX_HEADERS);
}

static void response_parse_reads_status_and_framing(void **state)
{
    (void)state;
    static const struct {
        const char *text, *phrase;
        unsigned status, minor;
        bool keep_alive, chunked;
        uint64_t length;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", "OK", 200, 1, true, false, 7},
        {"HTTP/1.1 404 Not at all\r\nConnection: close\r\n\r\n", "Not at all", 404, 1, false, false,
         0},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", "OK", 200, 0, true, false, 0},
        {"HTTP/1.1 599 \r\nTransfer-Encoding: chunked\r\n\r\n", "", 599, 1, true, true, 0},
        {"HTTP/1.1 200\r\n\r\n", "", 200, 1, true, false, 0},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http1_head head;
        const char *reason = NULL;
        assert_true(http1_response_parse(slice_of(cases[i].text), &head, &reason));
        assert_int_equal(head.status, cases[i].status);
        assert_true(slice_is(head.phrase, cases[i].phrase));
        assert_int_equal(head.minor, cases[i].minor);
        assert_int_equal(head.keep_alive, cases[i].keep_alive);
        assert_int_equal(head.chunked, cases[i].chunked);
        assert_int_equal(head.length, cases[i].length);
    }
}

static void response_parse_refuses_what_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 -20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 O\001K\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    };
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct http1_head head;
        const char *reason = NULL;
        if (http1_response_parse(slice_of(texts[i]), &head, &reason) || reason == NULL) {
            fail_msg("'%s' is taken", texts[i]);
        }
    }
}

static void head_length_finds_the_end_byte_by_byte(void **state)
{
    (void)state;
    static const char text[] = "GET / HTTP/1.1\r\nA: b\r\n\r\nrest";
    size_t whole = sizeof(text) - 1 - 4;
    size_t scanned = 0;
    for (size_t len = 0; len < whole; len++) {
        assert_int_equal(http1_head_length(slice_make(text, len), &scanned), 0);
    }
    assert_int_equal(http1_head_length(slice_make(text, sizeof(text) - 1), &scanned), whole);
    scanned = 0;
    assert_int_equal(http1_head_length(SLICE("GET / HTTP/1.1\n\nx"), &scanned), 16);
}

// Decodes `text`, given in pieces of `step` bytes. Returns the last result of http1_chunked_next().
static int decode(struct slice text, size_t step, char *out, size_t *out_len, uint64_t *chunks,
                  size_t *left)
{
    struct http1_chunked d = {0};
    int result = 0;
    *out_len = 0;
    while (text.len > 0 && result == 0) {
        size_t len = step < text.len ? step : text.len;
        struct slice in = slice_make(text.ptr, len);
        while ((result = http1_chunked_next(&d, &in)) == 1) {
            size_t take = in.len < d.left ? in.len : (size_t)d.left;
            if (take == 0) {
                result = 0;
                break;
            }
            memcpy(out + *out_len, in.ptr, take);
            *out_len += take;
            in = slice_make(in.ptr + take, in.len - take);
            http1_chunked_taken(&d, take);
        }
        text = slice_make(text.ptr + len - in.len, text.len - len + in.len);
    }
    *chunks = d.chunks;
    *left = text.len;
    return result;
}

static void chunked_decodes_whatever_the_pieces(void **state)
{
    (void)state;
    static const char text[] =
        "5\r\nhello\r\n1;a=b\r\n,\r\n00A ; x\r\n 123456789\r\n0\r\nTrailer: t\r\nB:\r\n\r\nNEXT";
    for (size_t step = 1; step < sizeof(text); step++) {
        char out[64];
        size_t len = 0;
        size_t left = 0;
        uint64_t chunks = 0;
        assert_int_equal(decode(SLICE(text), step, out, &len, &chunks, &left), 2);
        assert_int_equal(len, 16);
        assert_memory_equal(out, "hello, 123456789", 16);
        assert_int_equal(chunks, 3);
        assert_int_equal(left, 4);
    }
}

static void chunked_refuses_what_is_malformed(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "zz\r\n",           "\r\n",
        "-1\r\n",           "1\n",
        "1\r\nab\r\n",      "1\r\na\n",
        "1\r\nax\n",        "0\r\n\n",
        "0\r\nA: b\n\r\n",  "0\r\nA: b\r\r",
        "1 \x01\r\na\r\n",  "1000000000000000\r\n",
        " 1\r\na\r\n0\r\n", "0x1\r\na\r\n0\r\n",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 1; step < 20; step += 18) {
            char out[64];
            size_t len = 0;
            size_t left = 0;
            uint64_t chunks = 0;
            int result = decode(slice_of(cases[i]), step, out, &len, &chunks, &left);
            if (result != -1) {
                fail_msg("case %zu: %d", i, result);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_parse_takes_what_is_right),
        cmocka_unit_test(head_parse_reads_targets_and_connections),
        cmocka_unit_test(head_parse_refuses_what_two_parties_could_read_differently),
        cmocka_unit_test(head_parse_counts_headers),
        cmocka_unit_test(response_parse_reads_status_and_framing),
        cmocka_unit_test(response_parse_refuses_what_is_none),
        cmocka_unit_test(head_length_finds_the_end_byte_by_byte),
        cmocka_unit_test(chunked_decodes_whatever_the_pieces),
        cmocka_unit_test(chunked_refuses_what_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
