// SPDX-License-Identifier: Apache-2.0
// What the tests of the client share: a server that is a socket in the test's own hands, and one call of an FP32 model.
#ifndef NEREID_TESTS_CLIENT_UNIT_H
#define NEREID_TESTS_CLIENT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/status.h"
#include "base/thread.h"
#include "nereid/client.h"

#define assert_ok(expression)                                                                      \
    do {                                                                                           \
        struct nrd_status *status_ = (expression);                                                 \
        if (status_ != NULL) {                                                                     \
            fail_msg("%s", status_text(status_));                                                  \
        }                                                                                          \
    } while (0)

#define NS_PER_S UINT64_C(1000000000)

// A listening socket on a port of the system's choice.
static inline int listen_somewhere(int *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
                listen(fd, 16) == 0 && getsockname(fd, (struct sockaddr *)&at, &size) == 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static inline int accept_one(int listener)
{
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    return fd;
}

// Reads until `text` was seen (and takes what came with it).
static inline void read_until(int fd, const char *text)
{
    static char seen[1 << 16];
    size_t filled = 0;
    for (;;) {
        ssize_t n = recv(fd, seen + filled, sizeof(seen) - 1 - filled, 0);
        assert_true(n > 0);
        filled += (size_t)n;
        seen[filled] = '\0';
        if (memmem(seen, filled, text, strlen(text)) != NULL) {
            return;
        }
        if (filled > sizeof(seen) / 2) { // large requests: the end is what counts
            memmove(seen, seen + filled - 64, 64);
            filled = 64;
        }
    }
}

static inline void write_all(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        assert_true(n > 0);
        at += n;
        size -= (size_t)n;
    }
}

// What a call came to.
struct outcome {
    struct parking parked;
    struct nrd_status *status;
    struct nrd_client_response *response;
    unsigned count;
};

static inline void outcome_done(void *user, struct nrd_status *status,
                                struct nrd_client_response *response)
{
    struct outcome *o = user;
    o->status = status;
    o->response = response;
    o->count++;
    parking_wake(&o->parked);
}

static const float unit_values[4] = {1, 2, 3, 4};
static const int64_t unit_shape[1] = {4};
static const struct nrd_client_input unit_input = {
    .name = "IN",
    .dtype = NRD_DTYPE_F32,
    .shape = unit_shape,
    .rank = 1,
    .data = unit_values,
    .size = sizeof(unit_values),
};
static const struct nrd_client_request unit_request = {
    .model = "m", .inputs = &unit_input, .input_count = 1};

static inline void begin(struct nrd_client *client, const struct nrd_client_request *request,
                         struct outcome *o)
{
    *o = (struct outcome){0};
    parking_init(&o->parked);
    assert_ok(nrd_client_infer_async(client, request, outcome_done, o, NULL));
}

static inline void await(struct outcome *o)
{
    if (!parking_wait(&o->parked, clock_now_ns() + 20 * NS_PER_S)) {
        fail_msg("the call does not end");
    }
}

static inline void expect_failure(struct outcome *o, enum nrd_code code, const char *text)
{
    await(o);
    if (o->status == NULL || status_code(o->status) != code ||
        strstr(status_text(o->status), text) == NULL) {
        fail_msg("expected %s '%s', got %s '%s'", code_name(code), text,
                 code_name(status_code(o->status)), status_text(o->status));
    }
    assert_null(o->response);
    status_free(o->status);
}

static inline void expect_values(struct outcome *o)
{
    await(o);
    assert_ok(o->status);
    const struct nrd_client_tensor *t = nrd_client_response_output(o->response, 0);
    assert_non_null(t);
    assert_int_equal(t->size, sizeof(unit_values));
    assert_memory_equal(t->data, unit_values, sizeof(unit_values));
    assert_int_equal((uintptr_t)t->data % 4, 0);
    nrd_client_response_free(o->response);
}

static inline struct nrd_client *client_of_port(const char *scheme, int port,
                                                const struct nrd_client_options *options)
{
    char url[64];
    struct nrd_client *client = NULL;
    snprintf(url, sizeof(url), "%s://127.0.0.1:%d", scheme, port);
    assert_ok(nrd_client_create(url, options, &client));
    return client;
}

#endif
