// SPDX-License-Identifier: Apache-2.0
// What the two sides of HTTP/2 share: http2.c moves the bytes and serves, http2_client.c asks.
#ifndef NEREID_NET_HTTP2_PRIVATE_H
#define NEREID_NET_HTTP2_PRIVATE_H

#include <nghttp2/nghttp2.h>

#include "net/http2.h"
#include "net/packer.h"

struct http2_home {
    struct loop *loop;
    struct http2_options options;
    const struct http2_user *user;
    void *data;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    struct list_node connections;
    unsigned connection_count;
    unsigned stream_count;
    struct packer_stock stock;
    char *input;
};

struct http2_connection {
    struct stream stream;
    struct http2_home *home;
    void *data;
    struct list_node node;
    struct list_node streams;
    unsigned stream_count;
    unsigned awaiting; // streams whose peer owes us bytes
    nghttp2_session *session;
    bool client; // we made the connection
    struct loop_defer later;
    // Input: the DATA frame that is being received.
    struct http2_stream *data_stream;
    size_t data_left;
    bool direct_ok;
    char *landing; // where the last room() pointed
    // Output.
    struct packer packer;
    // Clocks; 0: not set.
    uint64_t preface_due, slow_due, ping_due, pong_due, age_due, grace_due, stall_due;
    uint64_t last_read_ns;
    uint64_t slow_bytes;   // received since slow_due was set
    uint64_t peer_ping_ns; // the peer's last ping
    unsigned ping_strikes;
    unsigned pings_sent; // since data was last sent
    size_t body_bytes;   // of all streams, not yet in frames
    bool data_seen;      // frames were sent that forgive pings
    bool preface_done;
    bool ending;   // no more input is looked at
    bool flushing; // inside flush()
    bool gone;     // the stream's last call has come
};

// Sends at the end of this turn what nghttp2 has to say.
void http2_want_flush(struct http2_connection *c);
// Puts a stream, whose memory is its user's, among those of the connection.
void http2_stream_enter(struct http2_connection *c, struct http2_stream *s, int32_t id);
// Detaches a stream from its connection and tells its user.
void http2_stream_over(struct http2_stream *s, bool complete);
// nghttp2's call for the next payload of a stream (`source->ptr`).
ssize_t http2_read_payload(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t length,
                           uint32_t *flags, nghttp2_data_source *source, void *user);
// The parts of nghttp2_nv for fields; `copy_values` as in http2_respond().
enum { HTTP2_MAX_FIELDS = 32 };
unsigned http2_make_nv(const struct http2_field *fields, unsigned count, bool copy_values,
                       nghttp2_nv nv[HTTP2_MAX_FIELDS]);
// The client's session, and the callback that only it needs.
bool http2_client_session(struct http2_connection *c);
int http2_client_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error,
                          void *user);

#endif
