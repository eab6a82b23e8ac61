// SPDX-License-Identifier: Apache-2.0
// HTTP/2 and gRPC framing: any bytes after a preface. The service echoes messages, so output, trailers and compression run too.
// The first byte chooses the size of the pieces, the second whether a preface is put before the rest.
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/mem.h"
#include "net/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct echo {
    struct grpc_call call;
};
struct reply {
    struct http2_body body;
    struct iovec parts[2];
    char prefix[GRPC_PREFIX];
    struct grpc_message message;
    struct buffer_pool *buffers;
};

static unsigned begun;
static unsigned closed;

static void released(struct http2_body *body)
{
    struct reply *r = CONTAINER_OF(body, struct reply, body);
    grpc_message_free(r->buffers, &r->message);
    mem_free(r);
}

static bool begin(struct grpc_call *call)
{
    if (call->path.len == 0) {
        return false;
    }
    call->method = call;
    begun++;
    return true;
}

static void message(struct grpc_call *call, struct grpc_message in)
{
    struct reply *r = mem_calloc(1, sizeof(*r));
    if (r == NULL) {
        grpc_message_free(call->service->buffers, &in);
        return;
    }
    grpc_prefix(r->prefix, in.size);
    r->message = in;
    r->buffers = call->service->buffers;
    r->parts[0] = (struct iovec){r->prefix, GRPC_PREFIX};
    r->parts[1] = (struct iovec){in.bytes, in.size};
    r->body = (struct http2_body){.parts = r->parts, .part_count = 2, .release = released};
    grpc_send(call, &r->body);
}

static void half_closed(struct grpc_call *call)
{
    grpc_finish(call, call->path.len % 2 == 0 ? GRPC_OK : GRPC_INTERNAL, call->path);
}

static void cancel(struct grpc_call *call)
{
    (void)call;
}

static void call_closed(struct grpc_call *call)
{
    (void)call;
    closed++;
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
    static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    if (size < 2) {
        return 0;
    }
    struct loop *loop;
    struct nrd_status *status = loop_create(&loop);
    if (status != NULL) {
        status_free(status);
        return 0;
    }
    struct grpc_service service = {
        .calls = object_pool_create(sizeof(struct echo), 4),
        .buffers = buffer_pool_create(1 << 16),
        .max_message = 1 << 20,
        .compression = GRPC_COMPRESSION_LOW,
        .begin = begin,
        .message = message,
        .half_closed = half_closed,
        .cancel = cancel,
        .closed = call_closed,
    };
    static const struct http2_options options = {.max_streams = 16};
    struct http2_home *home = NULL;
    status = http2_home_create(loop, &options, &grpc_http2_user, &service, &home);
    if (status == NULL) {
        begun = closed = 0;
        struct http2_connection *c =
            http2_connection_create(home, eventfd(0, EFD_NONBLOCK), &transport, NULL, NULL);
        if (c != NULL) {
            if (data[1] % 2 == 0) {
                feed(c, preface, sizeof(preface), sizeof(preface));
            }
            feed(c, data + 2, size - 2, (size_t)data[0] + 1);
        }
        http2_home_close(home);
    }
    status_free(status);
    loop_destroy(loop);
    if (home != NULL &&
        (http2_home_connections(home) != 0 || http2_home_streams(home) != 0 || begun != closed)) {
        abort();
    }
    http2_home_destroy(home);
    object_pool_destroy(service.calls);
    buffer_pool_destroy(service.buffers);
    return 0;
}
