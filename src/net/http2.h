// SPDX-License-Identifier: Apache-2.0
// HTTP/2: nghttp2 keeps the state of the protocol, this file moves the bytes.
//
// Input: the payload of a large DATA frame is received straight into the memory that its stream's user names (room), so it is
// never copied in user space; everything else goes through one buffer that all connections of a loop share. Output:
// small payloads and all other frames are packed into blocks, large payloads are written from where they lie; whatever one
// turn of the loop produced leaves in one gathering write. Streams are embedded in their user's calls. Connections defend
// themselves: limits on header lists, on reset and ping rates, on slow senders and on readers that stall.
// Servers start at http2_connection_create(), clients at http2_client_create(); both at struct http2_user. Thread: loop, for everything here.
#ifndef NEREID_NET_HTTP2_H
#define NEREID_NET_HTTP2_H

#include "base/slice.h"
#include "net/stream.h"

struct http2_home;
struct http2_connection;
struct http2_stream;
struct buffer_pool;

// Error codes of RFC 9113 section 7 that users need.
enum http2_error {
    HTTP2_NO_ERROR = 0,
    HTTP2_PROTOCOL_ERROR = 1,
    HTTP2_INTERNAL_ERROR = 2,
    HTTP2_REFUSED_STREAM = 7,
    HTTP2_CANCEL = 8,
    HTTP2_ENHANCE_YOUR_CALM = 11,
};

struct http2_header {
    struct slice name; // lower case; borrowed until the stream is released
    struct slice value;
    void *references[2]; // nghttp2's counted buffers behind them
};
enum { HTTP2_MAX_HEADERS = 48 };

// Payload to be sent as DATA. Memory, and what `parts` points to, are the owner's until `release`, which is called
// exactly once: when the last byte was sent, or when the stream or the connection ended.
struct http2_body {
    const struct iovec *parts;
    unsigned part_count;
    void (*release)(struct http2_body *body);
    // The rest is http2's.
    struct http2_body *next;
    size_t left;        // bytes not yet in a frame
    unsigned part_at;   // first part that is not used up
    size_t part_offset; // used bytes of that part
    unsigned references;
};

struct http2_field {
    struct slice name;
    struct slice value;
};

// One request and its answer. Embedded in the user's call; all fields are http2's own but those marked.
struct http2_stream {
    struct http2_connection *connection; // may be read; NULL once the stream is closed
    struct list_node node;
    int32_t id;
    unsigned header_count; // may be read
    size_t header_bytes;   // names, values and 32 a header, as SETTINGS counts
    struct http2_header headers[HTTP2_MAX_HEADERS]; // may be read; pseudo-headers too
    bool headers_over;                              // may be read: more came than the limits allow
    bool request_ended;                             // may be read: the peer half-closed
    bool awaiting;                                  // counted in the connection's `awaiting`
    bool responded;
    bool has_trailers;
    bool deferred; // nghttp2 waits for http2_send() or http2_end()
    bool
        refused; // may be read in closed(): a client's request that the server has not begun to handle
    const struct http2_field *trailers;
    unsigned trailer_count;
    struct http2_body *bodies; // not yet in frames, oldest first
    struct http2_body **bodies_tail;
    size_t body_bytes;
};

struct http2_user {
    // A server's only: a request begins. Memory for its stream, owned by the user until it is released; NULL refuses the stream.
    struct http2_stream *(*begin)(struct http2_connection *connection);
    // The header block is complete.
    void (*headers)(struct http2_stream *stream);
    // Where the next payload bytes are to go; sets `*size`. NULL: they come by data() in some buffer.
    void *(*room)(struct http2_stream *stream, size_t *size);
    // Payload, in order. `ptr` is what room() returned when the bytes are already there.
    void (*data)(struct http2_stream *stream, const void *ptr, size_t size);
    // The peer half-closed.
    void (*ended)(struct http2_stream *stream);
    // The stream is over, for whatever reason; the last call for it. Bodies that are still on their way to the socket are
    // released later, so the memory is free when they are. `complete`: the answer was handed over whole.
    void (*closed)(struct http2_stream *stream, bool complete);
    // The connection is over, after all its streams; the last call for it. May be NULL.
    void (*gone)(struct http2_connection *connection);
};

struct http2_options {
    uint32_t max_streams;       // concurrent, a connection; 0: 1024
    uint32_t stream_window;     // 0: 16 MiB
    uint32_t connection_window; // 0: 64 MiB
    uint32_t max_frame_size;    // 0: the largest, 16 MiB - 1
    uint32_t header_list_bytes; // of one request; 0: 16 KiB
    uint64_t preface_ms;        // from accepting to the first SETTINGS; 0: 10 000
    uint64_t slow_ms; // a peer that owes us bytes sends 1 KiB in this time, or goes; 0: 60 000
    uint64_t
        stall_ms; // a peer whose windows are shut for this long with output waiting goes; 0: 300 000
    // gRPC's keep-alive; times in ms. Negative or 0 keepalive_ms: no pings of ours.
    int64_t keepalive_ms;
    int64_t keepalive_timeout_ms;
    bool keepalive_without_calls;
    unsigned max_pings_without_data; // 0: any number
    int64_t min_ping_interval_ms;    // of the peer's pings, when no data flows
    unsigned max_ping_strikes;       // 0: any number
    int64_t max_age_ms;              // 0: none
    int64_t max_age_grace_ms;        // 0: no limit
};

// What the connections of one loop share. `options`, `user` are borrowed for its life. Returns owned.
NRD_MUST_USE struct nrd_status *http2_home_create(struct loop *loop,
                                                  const struct http2_options *options,
                                                  const struct http2_user *user, void *data,
                                                  struct http2_home **out);
void http2_home_destroy(struct http2_home *home); // all connections must be gone; NULL is fine
struct loop *http2_home_loop(const struct http2_home *home);
unsigned http2_home_connections(const struct http2_home *home);
unsigned http2_home_streams(const struct http2_home *home); // open ones, of all connections
// GOAWAY on every connection; each closes when its streams are over.
void http2_home_drain(struct http2_home *home);
// Ends every connection now. gone() follows for each, from the loop.
void http2_home_close(struct http2_home *home);

// Serves a connected descriptor, which is taken. `transport_data` is given to the transport (and freed by it, also on
// failure). `data` is the user's. NULL: no memory (the descriptor is closed).
struct http2_connection *http2_connection_create(struct http2_home *home, int fd,
                                                 const struct stream_transport *transport,
                                                 void *transport_data, void *data);
void *http2_connection_data(const struct http2_connection *connection);
struct http2_home *http2_connection_home(const struct http2_connection *connection);
void *http2_home_data(const struct http2_home *home);
// Feeds bytes as if they had been received: for scripted peers in tests and fuzzing. False: the connection is ending.
bool http2_connection_feed(struct http2_connection *connection, const void *bytes, size_t size);
void http2_connection_close(struct http2_connection *connection, enum http2_error error);
// Ends a connection now, without a word; all that it holds of its users is let go. gone() follows, from the loop.
void http2_connection_abort(struct http2_connection *connection);

// The other side: a connection that we made, over the connected descriptor; all else as above. The server's push is refused.
struct http2_connection *http2_client_create(struct http2_home *home, int fd,
                                             const struct stream_transport *transport,
                                             void *transport_data, void *data);
// Whether requests may be begun: not once the server has said goodbye.
bool http2_client_open(const struct http2_connection *connection);
// Begins a request on a stream of the user's, as http2_user.begin does for servers; http2_send() and http2_end() without fields follow. Response
// headers and trailers come into stream->headers; headers() is called for the former. Fields are copied but their names. False:
// no memory, or not open; closed() is not called then.
bool http2_request(struct http2_connection *connection, struct http2_stream *stream,
                   const struct http2_field *fields, unsigned count);

// Tells that the user waits for more of this request (a message has begun): http2 then insists on progress. Cheap.
void http2_stream_await(struct http2_stream *stream, bool awaiting);
// Answers. `end`: nothing follows, neither payload nor trailers. Fields are copied unless their bytes are static, which all
// names must be; values that are not static set `copy_values`. Nothing on a closed stream.
void http2_respond(struct http2_stream *stream, const struct http2_field *fields, unsigned count,
                   bool copy_values, bool end);
// Queues payload behind what is queued; after http2_respond(). On a closed stream the body is released at once.
void http2_send(struct http2_stream *stream, struct http2_body *body);
// Ends the answer with trailers when the payload is out. `fields` are borrowed until the stream is closed.
void http2_end(struct http2_stream *stream, const struct http2_field *fields, unsigned count);
void http2_reset(struct http2_stream *stream, enum http2_error error);
// Bytes queued on the stream and not yet in frames (for back-pressure).
static inline size_t http2_stream_pending(const struct http2_stream *stream)
{
    return stream->body_bytes;
}
// Lets go of the header buffers: the names and values are invalid afterwards. Users call it once a call, when they need
// the request's headers no more.
void http2_stream_release_headers(struct http2_stream *stream);
// The header's value; false when absent.
bool http2_header_get(const struct http2_stream *stream, struct slice name, struct slice *value);

#endif
