// SPDX-License-Identifier: Apache-2.0
// Content codings. Inflating starts small and doubles, so that a small body cannot claim much memory by what it says.
#include "protocol/http_compress.h"

#define ZLIB_CONST
#include <zlib.h>

#define INFLATE_FIRST (64 * 1024)
#define DEFLATE_STEP (64 * 1024)
#define ZLIB_MOST ((size_t)1 << 30) // what is shown to zlib at once: its counters are unsigned int

enum coding coding_of(struct slice value)
{
    if (value.len == 0 || slice_equal(value, SLICE("identity"))) {
        return CODING_IDENTITY;
    }
    if (slice_equal(value, SLICE("gzip"))) {
        return CODING_GZIP;
    }
    return slice_equal(value, SLICE("deflate")) ? CODING_DEFLATE : CODING_UNKNOWN;
}

const char *coding_name(enum coding coding)
{
    return coding == CODING_GZIP ? "gzip" : "deflate";
}

// The number at the start of `text`, as std::stod reads it. False: none.
static bool leading_number(struct slice text, double *value)
{
    text = slice_trim(text);
    size_t len = 0;
    while (len < text.len && ((text.ptr[len] >= '0' && text.ptr[len] <= '9') ||
                              text.ptr[len] == '.' || (len == 0 && text.ptr[len] == '-'))) {
        len++;
    }
    return slice_to_f64(slice_make(text.ptr, len), value);
}

enum coding coding_accepted(struct slice value)
{
    enum coding best = CODING_IDENTITY;
    double best_weight = 0;
    struct slice part;
    while (slice_cut(&value, ',', &part)) {
        while (part.len > 0 && part.ptr[0] == ' ') {
            part = slice_make(part.ptr + 1, part.len - 1);
        }
        double weight = 1;
        const char *q = part.len == 0 ? NULL : memmem(part.ptr, part.len, ";q=", 3);
        struct slice name = part;
        if (q != NULL) {
            name.len = (size_t)(q - part.ptr);
            if (!leading_number(slice_make(q + 3, part.len - name.len - 3), &weight)) {
                continue;
            }
        }
        enum coding coding = coding_of(name);
        if (name.len > 0 && coding != CODING_UNKNOWN && weight > best_weight) {
            best = coding;
            best_weight = weight;
        }
    }
    return best;
}

static struct nrd_status *too_large(uint64_t max)
{
    return status_new(NRD_INVALID_ARG,
                      "Decompressed data size exceeds the maximum allowed value of %llu bytes. Use "
                      "--http-max-input-size to increase the limit.",
                      (unsigned long long)max);
}

// The output's memory: a buffer that doubles.
struct growing {
    struct buffer_pool *pool;
    unsigned char *ptr;
    size_t len;
    size_t cap;
};

static bool grow(struct growing *g, size_t cap)
{
    unsigned char *fresh = buffer_pool_get(g->pool, cap, NULL);
    if (fresh == NULL) {
        return false;
    }
    if (g->len > 0) {
        memcpy(fresh, g->ptr, g->len);
    }
    buffer_pool_put(g->pool, g->ptr);
    g->ptr = fresh;
    g->cap = cap;
    return true;
}

static struct nrd_status *inflate_all(z_stream *z, struct growing *g, uint64_t max)
{
    for (;;) {
        if (g->len == g->cap) {
            if (g->cap > max) {
                return too_large(max);
            }
            // One byte more than the limit tells what just fits from what is too large.
            size_t cap = g->cap == 0 ? INFLATE_FIRST : g->cap * 2;
            if (!grow(g, cap <= max ? cap : (size_t)max + 1)) {
                return status_no_memory();
            }
        }
        size_t room = g->cap - g->len < ZLIB_MOST ? g->cap - g->len : ZLIB_MOST;
        z->next_out = g->ptr + g->len;
        z->avail_out = (uInt)room;
        int rc = inflate(z, Z_NO_FLUSH);
        g->len += room - z->avail_out;
        if (rc == Z_STREAM_END) {
            return NULL;
        }
        if (rc != Z_OK && !(rc == Z_BUF_ERROR && z->avail_out == 0)) {
            return status_new(NRD_INVALID_ARG, "unable to decompress the request body: %s",
                              z->msg != NULL ? z->msg : "the data ends too early");
        }
        if (z->avail_in == 0 && z->avail_out > 0) {
            return status_new(NRD_INVALID_ARG,
                              "unable to decompress the request body: the data ends too early");
        }
    }
}

struct nrd_status *coding_inflate(struct buffer_pool *pool, struct slice in, uint64_t max,
                                  void **out, size_t *size)
{
    if (in.len == 0) {
        return status_new(NRD_INVALID_ARG, "nothing to be decompressed");
    }
    // 15 | 32: the largest window, and gzip or zlib by what the data says.
    // One step: a body has at most 2 GiB.
    z_stream z = {.next_in = (const unsigned char *)in.ptr, .avail_in = (uInt)in.len};
    if (inflateInit2(&z, 15 | 32) != Z_OK) {
        return status_new(NRD_INTERNAL, "failed to initialize state for data decompression");
    }
    struct growing g = {.pool = pool};
    struct nrd_status *status = inflate_all(&z, &g, max);
    inflateEnd(&z);
    if (status == NULL && g.len > max) {
        status = too_large(max);
    }
    if (status != NULL) {
        buffer_pool_put(pool, g.ptr);
        return status;
    }
    *out = g.ptr;
    *size = g.len;
    return NULL;
}

static struct nrd_status *deflate_all(z_stream *z, const struct stream_chunk *chunk,
                                      struct str *out)
{
    size_t taken = 0; // of the chunk
    for (;;) {
        size_t left = chunk == NULL ? 0 : chunk->len - taken;
        size_t step = left < ZLIB_MOST ? left : ZLIB_MOST;
        z->next_in = chunk == NULL ? NULL : (const unsigned char *)chunk->ptr + taken;
        z->avail_in = (uInt)step;
        taken += step;
        bool last = step == left && (chunk == NULL || chunk->next == NULL);
        int flush = last ? Z_FINISH : Z_NO_FLUSH;
        do {
            unsigned char *to = (unsigned char *)str_reserve(out, DEFLATE_STEP);
            if (to == NULL) {
                return status_no_memory();
            }
            z->next_out = to;
            z->avail_out = DEFLATE_STEP;
            deflate(z, flush);
            out->len += DEFLATE_STEP - z->avail_out;
        } while (z->avail_out == 0);
        if (last) {
            return NULL;
        }
        if (step == left) {
            chunk = chunk->next;
            taken = 0;
        }
    }
}

struct nrd_status *coding_deflate(enum coding coding, const struct stream_chunk *chunks,
                                  struct str *out)
{
    z_stream z = {0};
    int window = coding == CODING_GZIP ? 15 | 16 : 15;
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
        return status_new(NRD_INTERNAL, "failed to initialize state for %s data compression",
                          coding_name(coding));
    }
    struct nrd_status *status = deflate_all(&z, chunks, out);
    deflateEnd(&z);
    return status;
}
