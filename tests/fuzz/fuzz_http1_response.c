// SPDX-License-Identifier: Apache-2.0
// The client side of HTTP/1.1: any bytes as the answer to a request, then the end of the connection. The first byte chooses the size of
// the pieces, the second whether the request was HEAD and where the body is aligned.
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "net/http1_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *left;
static size_t left_size;
static size_t piece;
static size_t aligned;
static unsigned done;
static unsigned gone;
static struct loop *loop;
static struct buffer_pool *buffers;

static ssize_t give(struct stream *stream, void *ptr, size_t size)
{
    (void)stream;
    size = size < piece ? size : piece;
    size = size < left_size ? size : left_size;
    if (size > 0) {
        memcpy(ptr, left, size);
        left += size;
        left_size -= size;
    }
    return (ssize_t)size; // 0: the end
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

static const struct stream_transport transport = {.read = give, .write = swallow};

static size_t place(struct http1_exchange *x, const struct http1_head *head)
{
    (void)x;
    return head->status == 200 ? aligned : 0;
}

static void exchange_done(struct http1_client *client, struct http1_exchange *x, const char *why)
{
    (void)client;
    done++;
    if (why == NULL && x->status < 200) {
        abort();
    }
    if (x->body != NULL && x->size > 0 && x->status == 200 && aligned <= x->size &&
        ((uintptr_t)x->body + aligned) % 64 != 0) {
        abort();
    }
    for (size_t i = 0; i < x->size; i++) {
        x->body[i] ^= 1; // all of it is there
    }
    buffer_pool_put(buffers, x->buffer);
    x->buffer = NULL;
}

static void connection_gone(struct http1_client *client)
{
    (void)client;
    gone++;
    loop_stop(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http1_client_user user = {.done = exchange_done, .gone = connection_gone};
    static struct http1_client_shared shared;
    if (size < 2) {
        return 0;
    }
    struct nrd_status *status = loop_create(&loop);
    if (status != NULL) {
        status_free(status);
        return 0;
    }
    buffers = buffer_pool_create(1 << 20);
    piece = (size_t)data[0] + 1;
    aligned = data[1] >> 1;
    left = data + 2;
    left_size = size - 2;
    done = gone = 0;
    shared = (struct http1_client_shared){
        .loop = loop, .buffers = buffers, .user = &user, .max_body = 1 << 20};
    struct http1_client *client =
        http1_client_create(&shared, eventfd(1, EFD_NONBLOCK), &transport, NULL, NULL, NULL);
    if (client != NULL) {
        struct stream_chunk chunk = {.ptr = "x", .len = 1};
        struct http1_exchange x = {
            .chunks = &chunk, .chunk_count = 1, .bodiless = data[1] % 2 == 1, .head = place};
        http1_client_send(client, &x);
        loop_run(loop);
        if (done != 1 || gone != 1) {
            abort();
        }
    }
    loop_destroy(loop);
    buffer_pool_destroy(buffers);
    return 0;
}
