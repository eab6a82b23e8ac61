// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 parsing: pure functions over bytes, without a connection, so that tables and fuzzers reach all of it.
//
// Strict where leniency lets two parties disagree about where a request ends (RFC 9112 section 11.2): a bare LF,
// a folded header, a blank before a colon, a NUL, Content-Length beside Transfer-Encoding, two lengths that
// differ and codings other than "chunked" are refused. Names and values borrow the input. Thread: any.
#ifndef NEREID_NET_HTTP1_PARSE_H
#define NEREID_NET_HTTP1_PARSE_H

#include "base/slice.h"

#define HTTP1_MAX_HEADERS 100

enum http1_method { HTTP1_GET, HTTP1_POST, HTTP1_HEAD, HTTP1_OTHER };

struct http1_header {
    struct slice name;
    struct slice value; // without blanks at its ends
};

struct http1_head {
    enum http1_method method; // these four: of requests
    struct slice method_text;
    struct slice path;  // what the client wrote, percent signs and all, without query and authority
    struct slice query; // without '?'
    unsigned status;    // these two: of responses
    struct slice phrase; // behind the status; may be empty
    unsigned minor;      // of HTTP/1.x: 0 or 1
    bool keep_alive;
    bool chunked;
    bool has_length;
    bool expect_continue;
    uint64_t length;
    unsigned header_count;
    struct http1_header headers[HTTP1_MAX_HEADERS];
};

// The length of the head at the start of `bytes`, blank line included; 0 while it is incomplete. `*scanned` (0 at first) is
// where to go on when more bytes have come, so that slow clients cost no more than quick ones.
size_t http1_head_length(struct slice bytes, size_t *scanned);

// Whether a request may start with this byte: no TLS hello does, which may never hold the end of a head.
bool http1_may_begin(char first);

// Parses a complete head. Returns 0, or the HTTP status of the refusal (400, 431, 501, 505) with a static text in `*reason`.
int http1_head_parse(struct slice head, struct http1_head *out, const char **reason);

// The same for a response: false with a static text in `*reason` when it is malformed, or framed in a way that is refused.
bool http1_response_parse(struct slice head, struct http1_head *out, const char **reason);

// The value of a header, by name without regard to case; ptr NULL when absent. The first of several.
struct slice http1_find(const struct http1_header *headers, unsigned count, struct slice name);

// Chunked bodies. One decoder per body; start zeroed.
enum http1_chunk_state {
    HTTP1_CHUNK_SIZE,
    HTTP1_CHUNK_EXTENSION,
    HTTP1_CHUNK_SIZE_LF,
    HTTP1_CHUNK_DATA,
    HTTP1_CHUNK_DATA_CR,
    HTTP1_CHUNK_DATA_LF,
    HTTP1_CHUNK_TRAILER,
    HTTP1_CHUNK_DONE,
};
struct http1_chunked {
    enum http1_chunk_state state;
    uint64_t left;        // data bytes of this chunk to come
    uint64_t chunks;      // chunks with data begun so far
    unsigned digits;      // of this size line
    unsigned line;        // bytes of this extension or of the trailer so far
    unsigned trailer_end; // how much of the final CRLF CRLF was seen
};
// Eats framing from `*in` up to the next data or the end. Returns 1 when data is next (d->left bytes, in *in first), 2 when the body is
// complete, 0 when more input is needed, -1 when it is malformed.
int http1_chunked_next(struct http1_chunked *d, struct slice *in);
// Tells that `count` (at most d->left) data bytes were taken.
void http1_chunked_taken(struct http1_chunked *d, uint64_t count);

#endif
