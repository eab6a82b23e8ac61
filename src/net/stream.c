// SPDX-License-Identifier: Apache-2.0
// Stream: see the header for the contract. The states of one stream:
//
//   init -> started -> (finishing -> lingering) -> closing -> closed()
//
// closing is reached from anywhere; closed() is always called from the loop's deferred calls, so that no user finds
// itself freed under its own feet. In the steady state a stream makes no epoll_ctl: reading stays on, and
// writing is watched only after a short write.
#include "net/stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define READS_PER_TURN 16
#define PARTS_PER_WRITE 64
#define DEFAULT_HIGH_MARK (256 * 1024)
#define DEFAULT_LOW_MARK (64 * 1024)
#define DEFAULT_WRITE_TIMEOUT_MS 60000
#define LINGER_NS 1000000000ull
#define NS_PER_MS 1000000ull

static ssize_t tcp_read(struct stream *stream, void *ptr, size_t size)
{
    for (;;) {
        ssize_t n = recv(stream->fd, ptr, size, 0);
        if (n >= 0) {
            return n;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return STREAM_IO_WANT_READ;
        }
        if (errno != EINTR) {
            return STREAM_IO_BROKEN;
        }
    }
}

static ssize_t tcp_write(struct stream *stream, const struct iovec *parts, int count)
{
    // sendmsg only reads the parts; its struct has no const.
    union {
        const struct iovec *in;
        struct iovec *out;
    } cast = {.in = parts};
    struct msghdr message = {.msg_iov = cast.out, .msg_iovlen = (size_t)count};
    for (;;) {
        ssize_t n = sendmsg(stream->fd, &message, MSG_NOSIGNAL);
        if (n >= 0) {
            return n;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return STREAM_IO_WANT_WRITE;
        }
        if (errno != EINTR) {
            return STREAM_IO_BROKEN;
        }
    }
}

static void tcp_finish(struct stream *stream)
{
    shutdown(stream->fd, SHUT_WR);
}

const struct stream_transport stream_transport_tcp = {
    .read = tcp_read,
    .write = tcp_write,
    .finish = tcp_finish,
};

static void release_chunk(struct stream_chunk *chunk)
{
    if (chunk->release != NULL) {
        chunk->release(chunk);
    }
}

static struct stream_chunk *pop_chunk(struct stream *stream)
{
    struct stream_chunk *chunk = stream->head;
    stream->head = chunk->next;
    if (stream->head == NULL) {
        stream->tail = &stream->head;
    }
    stream->head_sent = 0;
    chunk->next = NULL;
    return chunk;
}

// The end, from the loop's deferred calls.
static void end_stream(struct stream *stream)
{
    loop_deadline_remove(stream->loop, &stream->limit);
    loop_deadline_remove(stream->loop, &stream->write_limit);
    if (stream->transport->close != NULL) {
        stream->transport->close(stream);
    }
    close(stream->fd);
    stream->fd = -1;
    while (stream->head != NULL) {
        release_chunk(pop_chunk(stream));
    }
    stream->pending = 0;
    stream->user->closed(stream, stream->end);
}

void stream_close(struct stream *stream, enum stream_end end)
{
    if (stream->closing) {
        return;
    }
    stream->closing = true;
    stream->end = end;
    loop_watch_stop(&stream->readable);
    loop_watch_stop(&stream->writable);
    loop_watch_stop(&stream->hangup);
    loop_defer(stream->loop, &stream->later);
}

static void pause_reading(struct stream *stream)
{
    stream->paused = true;
    if (!stream->write_wants_read) {
        loop_watch_stop(&stream->readable);
    }
    // A peer that goes away is still noticed.
    if (!loop_watch_start(&stream->hangup)) {
        stream_close(stream, STREAM_END_PEER);
    }
}

static void peer_ended(struct stream *stream)
{
    stream->read_ended = true;
    loop_watch_stop(&stream->readable);
    if (stream->lingering) {
        stream_close(stream, STREAM_END_LOCAL);
    } else if (stream->finishing) {
        return;
    } else if (stream->user->peer_closed != NULL) {
        stream->user->peer_closed(stream);
    } else {
        stream_close(stream, STREAM_END_PEER);
    }
}

// Acts on a read that moved no bytes.
static void read_stopped(struct stream *stream, ssize_t why)
{
    if (why == STREAM_IO_EOF) {
        peer_ended(stream);
    } else if (why == STREAM_IO_WANT_WRITE) {
        stream->read_wants_write = true;
        if (!loop_watch_start(&stream->writable)) {
            stream_close(stream, STREAM_END_PEER);
        }
    } else if (why == STREAM_IO_BROKEN) {
        stream_close(stream, STREAM_END_PEER);
    }
}

static void read_on(struct stream *stream)
{
    stream->read_wants_write = false;
    for (int i = 0; i < READS_PER_TURN; i++) {
        char discarded[4096];
        void *ptr = discarded;
        size_t size = sizeof(discarded);
        if (!stream->finishing) {
            ptr = stream->user->room(stream, &size);
        }
        if (stream->closing) {
            return;
        }
        if (ptr == NULL) {
            pause_reading(stream);
            return;
        }
        ssize_t n = stream->transport->read(stream, ptr, size);
        if (n <= 0) {
            read_stopped(stream, n);
            return;
        }
        stream->enough = false;
        if (!stream->finishing) {
            stream->user->received(stream, (size_t)n);
        }
        if (stream->closing) {
            return;
        }
        if (((size_t)n < size || stream->enough) && !stream->transport->read_until_want) {
            return;
        }
    }
    // TCP is watched level triggered and comes back by itself; bytes inside TLS are not seen by epoll.
    if (stream->transport->read_until_want && !stream->again_posted) {
        stream->again_posted = true;
        loop_post(stream->loop, &stream->again);
    }
}

// Reads, and then writes what a write had left for want of bytes to read: the read may have taken just those (a handshake's last ones), and
// none may come after them before the peer has got what is queued.
static void read_then_write(struct stream *stream)
{
    if (!stream->paused && !stream->read_ended) {
        read_on(stream);
    }
    if (stream->write_wants_read && !stream->closing) {
        stream->write_wants_read = false;
        stream_flush(stream);
    }
}

static void run_again(struct loop_task *task)
{
    struct stream *stream = CONTAINER_OF(task, struct stream, again);
    stream->again_posted = false;
    if (stream->closing) {
        loop_defer(stream->loop, &stream->later);
    } else {
        read_then_write(stream);
    }
}

static void fd_readable(struct loop_watch *watch)
{
    struct stream *stream = CONTAINER_OF(watch, struct stream, readable);
    read_then_write(stream);
    if (!stream->closing && stream->paused && !stream->write_wants_read) {
        loop_watch_stop(watch);
    }
}

static void fd_writable(struct loop_watch *watch)
{
    struct stream *stream = CONTAINER_OF(watch, struct stream, writable);
    loop_watch_stop(watch);
    if (stream->read_wants_write) {
        read_then_write(stream);
    }
    stream_flush(stream);
}

static void fd_hung_up(struct loop_watch *watch)
{
    struct stream *stream = CONTAINER_OF(watch, struct stream, hangup);
    char next;
    if (stream->user->peer_closed != NULL && recv(stream->fd, &next, 1, MSG_PEEK) > 0) {
        // An end in good order, behind bytes that are still to be read: it is met again once reading goes on.
        loop_watch_stop(watch);
        return;
    }
    stream_close(stream, STREAM_END_PEER);
}

static void limit_passed(struct loop_deadline *deadline)
{
    struct stream *stream = CONTAINER_OF(deadline, struct stream, limit);
    if (stream->closing) {
        return;
    }
    if (stream->lingering) {
        stream_close(stream, STREAM_END_LOCAL);
    } else if (stream->user->deadline != NULL) {
        stream->user->deadline(stream);
    } else {
        stream_close(stream, STREAM_END_TIMEOUT);
    }
}

static void write_limit_passed(struct loop_deadline *deadline)
{
    struct stream *stream = CONTAINER_OF(deadline, struct stream, write_limit);
    stream_close(stream, STREAM_END_TIMEOUT);
}

static void run_later(struct loop_defer *defer)
{
    struct stream *stream = CONTAINER_OF(defer, struct stream, later);
    if (!stream->closing) {
        stream_flush(stream);
    } else if (!stream->again_posted) {
        end_stream(stream);
    }
}

void stream_init(struct stream *stream, struct loop *loop, int fd, const struct stream_user *user,
                 const struct stream_transport *transport, void *transport_data)
{
    *stream = (struct stream){
        .loop = loop,
        .fd = fd,
        .user = user,
        .transport = transport,
        .transport_data = transport_data,
        .high_mark = DEFAULT_HIGH_MARK,
        .low_mark = DEFAULT_LOW_MARK,
        .write_timeout_ms = DEFAULT_WRITE_TIMEOUT_MS,
        .limit.fire = limit_passed,
        .write_limit.fire = write_limit_passed,
        .later.run = run_later,
        .again.run = run_again,
    };
    stream->tail = &stream->head;
    loop_watch_init(&stream->readable, loop, fd, LOOP_READ, fd_readable);
    loop_watch_init(&stream->writable, loop, fd, LOOP_WRITE, fd_writable);
    loop_watch_init(&stream->hangup, loop, fd, LOOP_HANGUP, fd_hung_up);
    loop_deadline_add(loop, &stream->limit);
    loop_deadline_add(loop, &stream->write_limit);
}

void stream_start(struct stream *stream)
{
    stream->started = true;
    if (!stream->closing && !loop_watch_start(&stream->readable)) {
        stream_close(stream, STREAM_END_PEER);
    }
}

void stream_resume(struct stream *stream)
{
    if (!stream->paused || stream->closing) {
        return;
    }
    stream->paused = false;
    loop_watch_stop(&stream->hangup);
    if (stream->read_ended) {
        return;
    }
    if (!loop_watch_start(&stream->readable)) {
        stream_close(stream, STREAM_END_PEER);
        return;
    }
    if (stream->transport->read_until_want && !stream->again_posted) {
        stream->again_posted = true;
        loop_post(stream->loop, &stream->again);
    }
}

void stream_queue(struct stream *stream, struct stream_chunk *chunk)
{
    chunk->next = NULL;
    if (stream->closing) {
        release_chunk(chunk);
        return;
    }
    *stream->tail = chunk;
    stream->tail = &chunk->next;
    stream->pending += chunk->len;
    if (stream->pending > stream->high_mark) {
        stream->above = true;
    }
}

static int gather(const struct stream *stream, struct iovec *parts, size_t *total)
{
    union {
        const void *in;
        void *out;
    } cast;
    int count = 0;
    size_t skip = stream->head_sent;
    *total = 0;
    for (const struct stream_chunk *chunk = stream->head; chunk != NULL && count < PARTS_PER_WRITE;
         chunk = chunk->next) {
        if (chunk->len > skip) {
            cast.in = (const char *)chunk->ptr + skip;
            parts[count++] = (struct iovec){.iov_base = cast.out, .iov_len = chunk->len - skip};
            *total += chunk->len - skip;
        }
        skip = 0;
    }
    return count;
}

static void chunks_sent(struct stream *stream, size_t sent)
{
    stream->pending -= sent;
    while (stream->head != NULL) {
        size_t left = stream->head->len - stream->head_sent;
        if (sent < left) {
            stream->head_sent += sent;
            return;
        }
        sent -= left;
        release_chunk(pop_chunk(stream));
        if (sent == 0 && stream->head != NULL && stream->head->len > 0) {
            return;
        }
    }
}

static void wait_writable(struct stream *stream)
{
    if (stream->write_timeout_ms != 0) {
        stream->write_limit.at_ns =
            loop_now_ns(stream->loop) + stream->write_timeout_ms * NS_PER_MS;
    }
    if (!loop_watch_start(stream->write_wants_read ? &stream->readable : &stream->writable)) {
        stream_close(stream, STREAM_END_PEER);
    }
}

// The queue is empty.
static void all_sent(struct stream *stream)
{
    stream->write_limit.at_ns = 0;
    if (!stream->finishing || stream->lingering) {
        return;
    }
    stream->lingering = true;
    if (stream->transport->finish != NULL) {
        stream->transport->finish(stream);
    }
    if (stream->read_ended) {
        stream_close(stream, STREAM_END_LOCAL);
        return;
    }
    stream->limit.at_ns = loop_now_ns(stream->loop) + LINGER_NS;
    stream->paused = true;
    stream_resume(stream);
}

static void write_on(struct stream *stream)
{
    while (stream->head != NULL && !stream->closing) {
        struct iovec parts[PARTS_PER_WRITE];
        size_t total;
        int count = gather(stream, parts, &total);
        ssize_t n = count == 0 ? 0 : stream->transport->write(stream, parts, count);
        if (n < 0 && n != STREAM_IO_BROKEN) {
            stream->write_wants_read = n == STREAM_IO_WANT_READ;
            wait_writable(stream);
            return;
        }
        if (n < 0 || (n == 0 && count > 0)) {
            stream_close(stream, STREAM_END_PEER);
            return;
        }
        chunks_sent(stream, (size_t)n);
        if ((size_t)n < total && !stream->transport->read_until_want) {
            wait_writable(stream);
            return;
        }
    }
}

void stream_flush(struct stream *stream)
{
    if (stream->flushing || stream->closing || stream->writable.active ||
        stream->write_wants_read) {
        return;
    }
    stream->flushing = true;
    write_on(stream);
    stream->flushing = false;
    if (stream->closing) {
        return;
    }
    if (stream->head == NULL) {
        all_sent(stream);
    }
    if (stream->above && stream->pending <= stream->low_mark && !stream->closing) {
        stream->above = false;
        if (stream->user->drained != NULL) {
            stream->user->drained(stream);
        }
    }
}

void stream_flush_later(struct stream *stream)
{
    loop_defer(stream->loop, &stream->later);
}

void stream_finish(struct stream *stream)
{
    if (stream->finishing || stream->closing) {
        return;
    }
    stream->finishing = true;
    stream->limit.at_ns = 0;
    stream_flush(stream);
}
