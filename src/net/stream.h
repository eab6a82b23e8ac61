// SPDX-License-Identifier: Apache-2.0
// Stream: a non-blocking byte stream that reads where its user wants the bytes and writes from where they lie.
//
// Reading: the stream asks its user for room and receives straight into it, again and again until a read comes back
// short; no room means "not now" (back-pressure), and stream_resume() asks again. Writing: chunks are queued, sent by
// gathering writes, and each is released exactly once, when it was sent or when the stream ended. The transport below is a
// table, so TLS is another table. Embed `struct stream` in a connection and use CONTAINER_OF. No call of this header
// calls the user back before it returns, except stream_flush() and stream_finish(), which may release chunks and call
// drained(), and stream_queue() on a stream that is closing. Thread: loop.
#ifndef NEREID_NET_STREAM_H
#define NEREID_NET_STREAM_H

#include <sys/types.h>
#include <sys/uio.h>

#include "net/loop.h"

struct stream;

enum stream_end {
    STREAM_END_LOCAL,   // stream_close() or a stream_finish() that is complete
    STREAM_END_PEER,    // the peer reset the connection or it broke
    STREAM_END_TIMEOUT, // output made no progress for write_timeout_ms
};

// Bytes to be written. The memory and what `ptr` points to are the owner's until `release`.
struct stream_chunk {
    struct stream_chunk *next; // the stream's while queued
    const void *ptr;
    size_t len;
    void (*release)(struct stream_chunk *chunk); // NULL: the owner need not know
};

// What the user does. Only room, received and closed must be set.
struct stream_user {
    // Where the next bytes go; sets `*size` (at least 1). NULL: none now, reading stops until stream_resume().
    void *(*room)(struct stream *stream, size_t *size);
    // `size` bytes lie where room() said.
    void (*received)(struct stream *stream, size_t size);
    // The peer will send no more; writing is still possible. NULL: the stream ends (STREAM_END_PEER).
    void (*peer_closed)(struct stream *stream);
    // The queue has fallen to low_mark or below after having been above high_mark.
    void (*drained)(struct stream *stream);
    // The deadline set by stream_set_deadline() has passed. NULL: the stream ends (STREAM_END_TIMEOUT).
    void (*deadline)(struct stream *stream);
    // The last call: descriptor closed, chunks released; the memory of the stream is the user's again.
    void (*closed)(struct stream *stream, enum stream_end end);
};

// The bytes' way: plain TCP, or TLS on it. read and write return the bytes moved (> 0) or one of these.
enum stream_io {
    STREAM_IO_EOF = 0,        // read only: the peer ended in good order
    STREAM_IO_WANT_READ = -1, // try again when the descriptor is readable
    STREAM_IO_WANT_WRITE = -2,
    STREAM_IO_BROKEN = -3,
};
struct stream_transport {
    ssize_t (*read)(struct stream *stream, void *ptr, size_t size);
    ssize_t (*write)(struct stream *stream, const struct iovec *parts, int count);
    // Bytes may be left inside the transport after a short read (TLS): read until WANT_READ.
    bool read_until_want;
    // Ends the writing half in good order: shutdown(SHUT_WR), TLS close_notify. May be NULL.
    void (*finish)(struct stream *stream);
    // Frees what `transport_data` is, not the descriptor. May be NULL.
    void (*close)(struct stream *stream);
};
extern const struct stream_transport stream_transport_tcp;

// All fields are the stream's own but those marked.
struct stream {
    struct loop *loop;              // may be read
    int fd;                         // may be read
    const struct stream_user *user; // may be changed (a protocol switch) while no call is under way
    const struct stream_transport *transport; // may be read
    void *transport_data;                     // the transport's
    size_t high_mark;                         // may be set; default 256 KiB
    size_t low_mark;                          // may be set; default 64 KiB
    uint64_t write_timeout_ms;                // may be set; 0: none; default 60 000
    struct loop_watch readable;
    struct loop_watch writable;
    struct loop_watch hangup;
    struct loop_deadline limit; // the user's deadline
    struct loop_deadline write_limit;
    struct loop_defer later;   // a flush or the end, due at the end of this turn
    struct loop_task again;    // reading on in the next turn
    struct stream_chunk *head; // not sent yet, oldest first
    struct stream_chunk **tail;
    size_t head_sent; // bytes of `head` that are sent
    size_t pending;   // bytes queued and not sent
    enum stream_end end;
    bool started;
    bool flushing;   // inside stream_flush()
    bool paused;     // room() gave none
    bool above;      // pending went above high_mark
    bool read_ended; // the peer ended its half
    bool finishing;  // close once the queue is empty
    bool lingering;  // the queue is empty and our half is ended
    bool closing;    // closed() is due
    bool enough;     // no further read in this turn
    bool again_posted;
    bool read_wants_write;
    bool write_wants_read;
};

// Prepares a stream over a connected, non-blocking `fd`, which it takes. `transport_data` is given to the transport.
void stream_init(struct stream *stream, struct loop *loop, int fd, const struct stream_user *user,
                 const struct stream_transport *transport, void *transport_data);
// Begins to read. From here on closed() will be called, once, from the loop.
void stream_start(struct stream *stream);
// Asks room() again. Free when reading is not paused. The read itself happens later in the loop.
void stream_resume(struct stream *stream);
// From inside received(): what was expected is complete, so do not ask the socket again in this turn (saves the read that
// finds it empty).
static inline void stream_enough(struct stream *stream)
{
    stream->enough = true;
}
// Appends a chunk (shares nothing, copies nothing). Sends nothing by itself: follow with stream_flush() or stream_flush_later().
// On a stream that is closing, the chunk is released at once. A chunk of length 0 is released in its turn.
void stream_queue(struct stream *stream, struct stream_chunk *chunk);
// Sends what the socket takes now; the rest goes when it can. Errors end the stream, by closed(), later.
void stream_flush(struct stream *stream);
// Sends at the end of this turn of the loop: many small answers leave in one system call.
void stream_flush_later(struct stream *stream);
// Bytes queued and not sent yet.
static inline size_t stream_pending(const struct stream *stream)
{
    return stream->pending;
}
// Fires user->deadline up to half a second after `at_ns` of clock_now_ns(); 0: no deadline. One store.
static inline void stream_set_deadline(struct stream *stream, uint64_t at_ns)
{
    stream->limit.at_ns = at_ns;
}
// Reads no more, sends what is queued, ends the writing half, waits shortly for the peer's end (so that the last answer is
// not lost to a reset), then closes. closed() follows.
void stream_finish(struct stream *stream);
// Ends at once: queued chunks are released unsent. closed() follows, from the loop.
void stream_close(struct stream *stream, enum stream_end end);
static inline bool stream_is_closing(const struct stream *stream)
{
    return stream->closing;
}

#endif
