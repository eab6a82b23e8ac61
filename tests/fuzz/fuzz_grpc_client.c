// SPDX-License-Identifier: Apache-2.0
// The client side of HTTP/2 and gRPC: any frames from the server while two calls are open. The first byte chooses the size of the
// pieces, the second whether the server's SETTINGS are put before the rest.
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "net/grpc_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CALLS = 2 };
static struct grpc_client_call calls[CALLS];
static unsigned closed;
static unsigned gone;
static unsigned released;
static struct buffer_pool *buffers;

static void got_message(struct grpc_client_call *call, struct grpc_message message)
{
    (void)call;
    for (size_t i = 0; i < message.size; i++) {
        message.bytes[i] ^= 1; // all of it is there
    }
    grpc_message_free(buffers, &message);
}

static void call_closed(struct grpc_client_call *call, int status, struct slice text,
                        bool never_begun)
{
    (void)call, (void)never_begun;
    closed++;
    if (status < 0 || status > 16 || (text.len > 0 && text.ptr == NULL)) {
        abort();
    }
}

static void connection_gone(struct http2_connection *connection)
{
    (void)connection;
    gone++;
}

static void body_released(struct http2_body *body)
{
    (void)body;
    released++;
}

static ssize_t never_read(struct stream *stream, void *ptr, size_t size)
{
    (void)stream, (void)ptr, (void)size;
    return STREAM_IO_WANT_READ;
}

static ssize_t swallow(struct stream *stream, const struct iovec *parts, int count)
{
    (void)stream;
    ssize_t size = 0;
    for (int i = 0; i < count; i++) {
        size += (ssize_t)parts[i].iov_len;
    }
    return size;
}

static const struct stream_transport transport = {.read = never_read, .write = swallow};

static void feed(struct http2_connection *c, const uint8_t *data, size_t size, size_t step)
{
    for (size_t at = 0; at < size; at += step) {
        if (!http2_connection_feed(c, data + at, size - at < step ? size - at : step)) {
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t settings[] = "\0\0\0\4\0\0\0\0";
    static char message[GRPC_PREFIX + 3] = "\0\0\0\0\3abc";
    if (size < 2) {
        return 0;
    }
    struct loop *loop;
    struct nrd_status *status = loop_create(&loop);
    if (status != NULL) {
        status_free(status);
        return 0;
    }
    buffers = buffer_pool_create(1 << 16);
    struct grpc_client_shared shared = {
        .buffers = buffers,
        .max_message = 1 << 20,
        .message = got_message,
        .closed = call_closed,
        .gone = connection_gone,
    };
    static const struct http2_options options = {0};
    static const struct grpc_client_target target = {.path = "/s/m", .timeout_ms = 1000};
    struct iovec part = {message, sizeof(message)};
    struct http2_body bodies[CALLS];
    struct http2_home *home = NULL;
    closed = gone = released = 0;
    unsigned begun = 0;
    status = http2_home_create(loop, &options, &grpc_client_http2_user, &shared, &home);
    struct http2_connection *c =
        status == NULL ? http2_client_create(home, eventfd(0, EFD_NONBLOCK), &transport, NULL, NULL)
                       : NULL;
    for (unsigned i = 0; c != NULL && i < CALLS; i++) {
        if (grpc_client_begin(&shared, c, &calls[begun], &target)) {
            bodies[begun] =
                (struct http2_body){.parts = &part, .part_count = 1, .release = body_released};
            grpc_client_send(&calls[begun], &bodies[begun]);
            grpc_client_half_close(&calls[begun]);
            begun++;
        }
    }
    if (c != NULL) {
        // One feed of nothing: the requests leave before the server's bytes come.
        (void)http2_connection_feed(c, settings, data[1] % 2 == 0 ? sizeof(settings) : 0);
        feed(c, data + 2, size - 2, (size_t)data[0] + 1);
        http2_home_close(home);
    }
    status_free(status);
    loop_destroy(loop);
    if (c != NULL && (closed != begun || released != begun || gone != 1)) {
        abort();
    }
    http2_home_destroy(home);
    buffer_pool_destroy(buffers);
    return 0;
}
