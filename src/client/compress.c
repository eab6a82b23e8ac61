// SPDX-License-Identifier: Apache-2.0
// See compress.h. Chunks are kept below 2^30 bytes, for zlib counts in 32 bits.
#include "client/compress.h"

#include <zlib.h>

enum { GZIP_BITS = 15 + 16, ANY_BITS = 15 + 32, STEP = 1 << 30, ROOM = 64 * 1024, ALIGNMENT = 64 };

const char *compress_name(enum nrd_client_compression compression)
{
    switch (compression) {
    case NRD_CLIENT_COMPRESSION_DEFLATE:
        return "deflate";
    case NRD_CLIENT_COMPRESSION_GZIP:
        return "gzip";
    case NRD_CLIENT_COMPRESSION_NONE:
        break;
    }
    return NULL;
}

// Runs deflate over what is in z->next_in until it is taken, or with Z_FINISH until the end is written.
static bool squeeze(z_stream *z, int flush, struct str *out)
{
    int rc = Z_OK;
    while (rc == Z_OK && (z->avail_in > 0 || flush == Z_FINISH)) {
        char *to = str_reserve(out, ROOM);
        if (to == NULL) {
            return false;
        }
        z->next_out = (Bytef *)to;
        z->avail_out = ROOM;
        rc = deflate(z, flush);
        out->len += ROOM - z->avail_out;
    }
    return rc == Z_OK || rc == Z_STREAM_END;
}

struct nrd_status *compress_parts(const struct iovec *parts, unsigned count, size_t skip,
                                  enum nrd_client_compression compression, struct str *out)
{
    z_stream z = {0};
    int bits = compression == NRD_CLIENT_COMPRESSION_GZIP ? GZIP_BITS : MAX_WBITS;
    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        return status_no_memory();
    }
    bool good = true;
    for (unsigned i = 0; i < count && good; i++) {
        size_t lead = skip < parts[i].iov_len ? skip : parts[i].iov_len;
        skip -= lead;
        for (size_t at = lead; at < parts[i].iov_len && good;) {
            size_t step = parts[i].iov_len - at < STEP ? parts[i].iov_len - at : STEP;
            z.next_in = (Bytef *)parts[i].iov_base + at;
            z.avail_in = (uInt)step;
            good = squeeze(&z, Z_NO_FLUSH, out);
            at += step;
        }
    }
    good = good && squeeze(&z, Z_FINISH, out);
    (void)deflateEnd(&z);
    if (out->ptr != NULL) {
        out->ptr[out->len] = '\0';
    }
    return good ? NULL : status_no_memory();
}

// A buffer twice as large, with what is in the old one. False: no memory.
static bool grow(struct buffer_pool *pool, char **buffer, size_t *capacity, size_t filled)
{
    size_t have = 0;
    char *larger = buffer_pool_get(pool, *capacity * 2, &have);
    if (larger == NULL) {
        return false;
    }
    memcpy(larger, *buffer, filled);
    buffer_pool_put(pool, *buffer);
    *buffer = larger;
    *capacity = have;
    return true;
}

struct nrd_status *inflate_reply(struct nrd_client_call *call, size_t aligned, size_t most)
{
    struct buffer_pool *pool = call->client->buffers;
    size_t lead = (ALIGNMENT - aligned % ALIGNMENT) % ALIGNMENT;
    size_t capacity = 0;
    char *buffer = buffer_pool_get(pool, call->reply_size * 3 + ROOM, &capacity);
    z_stream z = {.next_in = (Bytef *)call->reply, .avail_in = (uInt)call->reply_size};
    if (buffer == NULL || inflateInit2(&z, ANY_BITS) != Z_OK) {
        buffer_pool_put(pool, buffer);
        return status_no_memory();
    }
    size_t filled = lead;
    int rc = Z_OK;
    while (rc == Z_OK && filled - lead <= most) {
        if (filled + 1 == capacity && !grow(pool, &buffer, &capacity, filled)) {
            rc = Z_MEM_ERROR;
            break;
        }
        size_t step = capacity - 1 - filled < STEP ? capacity - 1 - filled : STEP;
        z.next_out = (Bytef *)buffer + filled;
        z.avail_out = (uInt)step;
        rc = inflate(&z, Z_NO_FLUSH);
        filled += step - z.avail_out;
    }
    (void)inflateEnd(&z);
    if (rc != Z_STREAM_END || filled - lead > most) {
        buffer_pool_put(pool, buffer);
        return rc == Z_MEM_ERROR ? status_no_memory()
               : filled - lead > most
                   ? status_new(NRD_UNAVAILABLE, "the response is larger than allowed")
                   : status_new(NRD_INTERNAL, "malformed answer: its compression is broken");
    }
    buffer_pool_put(pool, call->buffer);
    call->buffer = buffer;
    call->reply = buffer + lead;
    call->reply_size = filled - lead;
    return NULL;
}
