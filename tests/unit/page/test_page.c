// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "page/page.h"

#define assert_ok(expression)                                                                      \
    do {                                                                                           \
        struct nrd_status *status_ = (expression);                                                 \
        if (status_ != NULL) {                                                                     \
            fail_msg("%s", status_text(status_));                                                  \
        }                                                                                          \
    } while (0)

static struct page *open_page(double max_rate)
{
    struct page_options options = {"127.0.0.1", 0, 80, max_rate};
    struct page *page = NULL;
    assert_ok(page_create(&options, &page));
    return page;
}

static int connect_to(struct page *page)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)page_port(page))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval limit = {.tv_sec = 20}; // a test that hangs fails
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void ask(int fd, const char *method, const char *path)
{
    char text[256];
    int length = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, path);
    assert_int_equal(write(fd, text, (size_t)length), length);
}

// Reads until `part` has come `times` times since the start of `to`.
static void read_until(int fd, struct str *to, const char *part, int times)
{
    for (;;) {
        int found = 0;
        for (size_t i = 0; i + strlen(part) <= to->len; i++) {
            found += memcmp(to->ptr + i, part, strlen(part)) == 0;
        }
        if (found >= times) {
            return;
        }
        char *room = str_reserve(to, 65536);
        ssize_t n = read(fd, room, 65536);
        if (n <= 0) {
            fail_msg("no more bytes, %d of %d times '%s' in %zu bytes", found, times, part,
                     to->len);
        }
        to->len += (size_t)n;
    }
}

// One whole reply of a request.
static void fetch(struct page *page, const char *method, const char *path, struct str *to)
{
    int fd = connect_to(page);
    ask(fd, method, path);
    str_clear(to);
    read_until(fd, to, "\r\n\r\n", 1);
    const char *length = strstr(str_cstr(to), "Content-Length: ");
    assert_non_null(length);
    size_t wanted = (size_t)(strstr(to->ptr, "\r\n\r\n") + 4 - to->ptr);
    unsigned long long body = 0;
    assert_int_equal(sscanf(length, "Content-Length: %llu", &body), 1);
    wanted += strcmp(method, "HEAD") == 0 ? 0 : (size_t)body;
    while (to->len < wanted) {
        char *room = str_reserve(to, 65536);
        ssize_t n = read(fd, room, 65536);
        assert_true(n > 0);
        to->len += (size_t)n;
    }
    close(fd);
}

static _Atomic int released;
static void count_release(void *arg)
{
    (void)arg;
    atomic_fetch_add(&released, 1);
}
static uint8_t pixels[64 * 48 * 4];
static void publish(struct page *page, uint8_t gray)
{
    memset(pixels, gray, sizeof(pixels));
    struct image picture = image_of(pixels, 64, 48, 4, NRD_DTYPE_U8);
    page_publish(page, &picture, count_release, NULL);
}

static void page_serves_itself_and_its_stats(void **state)
{
    (void)state;
    struct page *page = open_page(0.0);
    struct str reply = STR_INIT;
    fetch(page, "GET", "/", &reply);
    assert_non_null(strstr(str_cstr(&reply), "HTTP/1.1 200"));
    assert_non_null(strstr(str_cstr(&reply), "</html>"));
    fetch(page, "GET", "/stats.json", &reply);
    assert_non_null(strstr(str_cstr(&reply), "\r\n\r\n{}"));
    page_set_stats(page, SLICE("{\"frames\":3}"));
    fetch(page, "GET", "/stats.json?x", &reply);
    assert_non_null(strstr(str_cstr(&reply), "\r\n\r\n{\"frames\":3}"));
    fetch(page, "GET", "/other", &reply);
    assert_non_null(strstr(str_cstr(&reply), " 404 "));
    fetch(page, "POST", "/", &reply);
    assert_non_null(strstr(str_cstr(&reply), " 405 "));
    fetch(page, "HEAD", "/", &reply);
    assert_non_null(strstr(str_cstr(&reply), " 200 "));
    str_fini(&reply);
    page_destroy(page);
}

static void stream_sends_each_new_picture(void **state)
{
    (void)state;
    atomic_store(&released, 0);
    struct page *page = open_page(0.0);
    int fd = connect_to(page);
    struct str got = STR_INIT;
    ask(fd, "GET", "/stream");
    read_until(fd, &got, "\r\n\r\n", 1);
    assert_non_null(strstr(str_cstr(&got), "multipart/x-mixed-replace; boundary=nereid-frame"));
    assert_int_equal(page_viewers(page), 1);
    for (int i = 1; i <= 5; i++) {
        publish(page, (uint8_t)(i * 40));
        read_until(fd, &got, "\xff\xd9\r\n", i); // the end of a JPEG
    }
    close(fd);
    str_fini(&got);
    page_destroy(page);
    assert_int_equal(atomic_load(&released), 5);
}

static void a_viewer_that_comes_late_gets_the_newest_picture(void **state)
{
    (void)state;
    struct page *page = open_page(0.0);
    publish(page, 10);
    publish(page, 200);
    struct str got = STR_INIT;
    fetch(page, "GET", "/frame.jpg", &got);
    assert_non_null(strstr(str_cstr(&got), "image/jpeg"));
    fetch(page, "GET", "/frame.png", &got);
    assert_non_null(strstr(str_cstr(&got), "image/png"));
    fetch(page, "GET", "/frame.png", &got); // of the same picture, again
    assert_non_null(strstr(str_cstr(&got), "image/png"));
    str_fini(&got);
    page_destroy(page);
}

static void nobody_watches_and_nothing_is_kept(void **state)
{
    (void)state;
    atomic_store(&released, 0);
    struct page *page = open_page(30.0);
    for (int i = 0; i < 100; i++) {
        publish(page, (uint8_t)i);
    }
    assert_int_equal(atomic_load(&released), 99); // all but the newest
    assert_int_equal(page_viewers(page), 0);
    page_destroy(page);
    assert_int_equal(atomic_load(&released), 100);
}

static void page_ends_while_viewers_wait(void **state)
{
    (void)state;
    struct page *page = open_page(0.0);
    int first = connect_to(page), second = connect_to(page);
    struct str got = STR_INIT;
    ask(first, "GET", "/stream");
    read_until(first, &got, "\r\n\r\n", 1);
    ask(second, "GET", "/frame.png"); // there is none
    page_destroy(page);
    char rest[256];
    ssize_t n;
    while ((n = read(first, rest, sizeof(rest))) > 0) { // the end of the stream, and no time-out
    }
    assert_true(n == 0 || errno == ECONNRESET);
    str_fini(&got);
    close(first);
    close(second);
}

// Publishes as fast as it can while viewers come and go: for the sanitizers.
struct publisher {
    struct page *page;
    _Atomic bool stop;
};
static void publish_much(void *arg)
{
    struct publisher *p = arg;
    for (uint32_t i = 0; !atomic_load(&p->stop); i++) {
        static uint8_t frame[16 * 16 * 3];
        struct image picture = image_of(frame, 16, 16, 3, NRD_DTYPE_U8);
        page_publish(p->page, &picture, count_release, NULL);
        page_set_stats(p->page, SLICE("{\"x\":1}"));
    }
}
static void viewers_come_and_go_while_pictures_come(void **state)
{
    (void)state;
    struct publisher p = {.page = open_page(0.0)};
    struct thread thread = {0};
    assert_ok(thread_start(&thread, "publisher", 0, publish_much, &p));
    struct str got = STR_INIT;
    for (int i = 0; i < 30; i++) {
        int fd = connect_to(p.page);
        ask(fd, "GET", i % 3 == 2 ? "/frame.png" : "/stream");
        str_clear(&got);
        read_until(fd, &got, "\r\n\r\n", i % 3 == 2 ? 1 : 3);
        close(fd);
        fetch(p.page, "GET", i % 2 == 0 ? "/frame.jpg" : "/frame.png", &got);
    }
    atomic_store(&p.stop, true);
    thread_join(&thread);
    str_fini(&got);
    page_destroy(p.page);
}

static void addresses_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *address;
        int port;
    } good[] = {
        {"8080", "127.0.0.1", 8080},
        {"127.0.0.1:0", "127.0.0.1", 0},
        {"http://host:80/", "host", 80},
        {"[::1]:65535", "::1", 65535},
        {":9000", "", 9000},
    };
    char address[PAGE_ADDRESS_MAX];
    int port;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_ok(page_parse_address(good[i].text, address, &port));
        assert_string_equal(address, good[i].address);
        assert_int_equal(port, good[i].port);
    }
    static const char *const bad[] = {"", "host", "host:", "1:70000", "a:b", "8080x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct nrd_status *status = page_parse_address(bad[i], address, &port);
        assert_int_equal(status_code(status), NRD_INVALID_ARG);
        assert_non_null(strstr(status_text(status), bad[i]));
        status_free(status);
    }
}

static void a_port_in_use_is_named(void **state)
{
    (void)state;
    struct page *page = open_page(0.0), *other = NULL;
    struct page_options options = {"127.0.0.1", page_port(page), 80, 0.0};
    struct nrd_status *status = page_create(&options, &other);
    assert_int_equal(status_code(status), NRD_UNAVAILABLE);
    assert_non_null(strstr(status_text(status), "already in use"));
    status_free(status);
    page_destroy(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_serves_itself_and_its_stats),
        cmocka_unit_test(stream_sends_each_new_picture),
        cmocka_unit_test(a_viewer_that_comes_late_gets_the_newest_picture),
        cmocka_unit_test(nobody_watches_and_nothing_is_kept),
        cmocka_unit_test(page_ends_while_viewers_wait),
        cmocka_unit_test(viewers_come_and_go_while_pictures_come),
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(a_port_in_use_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
