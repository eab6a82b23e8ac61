// SPDX-License-Identifier: Apache-2.0
#include "net_unit.h"

#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"
#include "net/stream.h"

// A transport with a handshake of one byte from the peer, as TLS has one: until it is there a write wants to read. Only a read takes it here, so
// that what is a race in TLS (the last bytes come between the attempt to write and the one to read) happens each time.
static struct loop *loop;
static bool shaken;
static bool written;
static struct stream tested;
static struct loop_timer limit;

static ssize_t shaking_read(struct stream *stream, void *ptr, size_t size)
{
    char byte;
    (void)ptr, (void)size;
    shaken = shaken || recv(stream->fd, &byte, 1, MSG_DONTWAIT) == 1;
    return STREAM_IO_WANT_READ;
}

static ssize_t shaking_write(struct stream *stream, const struct iovec *parts, int count)
{
    (void)stream;
    assert_int_equal(count, 1);
    if (!shaken) {
        return STREAM_IO_WANT_READ;
    }
    written = true;
    loop_timer_start(&limit, 0);
    return (ssize_t)parts[0].iov_len;
}

static const struct stream_transport transport = {
    .read = shaking_read, .write = shaking_write, .read_until_want = true};

static void *room(struct stream *stream, size_t *size)
{
    static char bytes[64];
    (void)stream;
    *size = sizeof(bytes);
    return bytes;
}

static void received(struct stream *stream, size_t size)
{
    (void)stream, (void)size;
}

static void on_closed(struct stream *stream, enum stream_end end)
{
    (void)stream, (void)end;
    loop_stop(loop);
}

static void end(struct loop_timer *timer)
{
    (void)timer;
    stream_close(&tested, STREAM_END_LOCAL);
}

static void queued_bytes_go_once_a_read_has_ended_the_handshake(void **state)
{
    (void)state;
    static const struct stream_user user = {
        .room = room, .received = received, .closed = on_closed};
    int ends[2];
    struct stream_chunk chunk = {.ptr = "settings", .len = 8};
    shaken = written = false;
    assert_ok(loop_create(&loop));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    stream_init(&tested, loop, ends[0], &user, &transport, NULL);
    stream_start(&tested);
    stream_queue(&tested, &chunk);
    stream_flush(&tested);
    assert_false(written);
    assert_int_equal(write(ends[1], "!", 1), 1);
    loop_timer_init(&limit, loop, end);
    loop_timer_start(&limit, 5000);
    loop_run(loop);
    assert_true(shaken);
    assert_true(written);
    close(ends[1]);
    loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queued_bytes_go_once_a_read_has_ended_the_handshake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
