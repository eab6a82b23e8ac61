// SPDX-License-Identifier: Apache-2.0
// Content codings of bodies: gzip and deflate (RFC 1950's, as Triton means it), by zlib. Thread: any.
#ifndef NEREID_PROTOCOL_HTTP_COMPRESS_H
#define NEREID_PROTOCOL_HTTP_COMPRESS_H

#include "base/pool.h"
#include "base/str.h"
#include "net/stream.h"

enum coding { CODING_IDENTITY, CODING_GZIP, CODING_DEFLATE, CODING_UNKNOWN };

// What a Content-Encoding header says. Nothing, "" and "identity" are CODING_IDENTITY. The comparison is exact, as Triton's.
enum coding coding_of(struct slice value);
// What an Accept-Encoding header wants: the highest q, ties to the first; never CODING_UNKNOWN.
enum coding coding_accepted(struct slice value);
// "gzip" or "deflate".
const char *coding_name(enum coding coding);

// Inflates `in` into a buffer of `pool`, which the caller gives back. INVALID_ARG: no input, more than `max` bytes of output
// (Triton's text), damaged data.
NRD_MUST_USE struct nrd_status *coding_inflate(struct buffer_pool *pool, struct slice in,
                                               uint64_t max, void **out, size_t *size);
// Appends the compressed form of all chunks to `out`.
NRD_MUST_USE struct nrd_status *coding_deflate(enum coding coding,
                                               const struct stream_chunk *chunks, struct str *out);

#endif
