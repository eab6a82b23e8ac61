// SPDX-License-Identifier: Apache-2.0
// BYTES tensors: each element is a 32-bit little-endian length and its bytes.
#include "base/status.h"
#include "nereid/client.h"

#include <string.h>

enum { LENGTH_SIZE = 4 };

size_t nrd_bytes_packed_size(const struct nrd_bytes *items, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += LENGTH_SIZE + items[i].size;
    }
    return size;
}

struct nrd_status *nrd_bytes_pack(const struct nrd_bytes *items, size_t count, void *out,
                                  size_t capacity, size_t *size)
{
    unsigned char *at = out;
    size_t left = capacity;
    for (size_t i = 0; i < count; i++) {
        size_t n = items[i].size;
        if (n > UINT32_MAX) {
            return status_new(NRD_INVALID_ARG, "BYTES element %zu has %zu bytes, above 4 GiB", i,
                              n);
        }
        if (left < LENGTH_SIZE || left - LENGTH_SIZE < n) {
            return status_new(NRD_INVALID_ARG, "BYTES element %zu does not fit: %zu bytes are left",
                              i, left);
        }
        for (unsigned k = 0; k < LENGTH_SIZE; k++) {
            at[k] = (unsigned char)(n >> (8 * k));
        }
        if (n > 0) {
            memcpy(at + LENGTH_SIZE, items[i].data, n);
        }
        at += LENGTH_SIZE + n;
        left -= LENGTH_SIZE + n;
    }
    *size = capacity - left;
    return NULL;
}

bool nrd_bytes_next(const void *data, size_t size, size_t *at, struct nrd_bytes *item)
{
    const unsigned char *bytes = data;
    if (*at > size || size - *at < LENGTH_SIZE) {
        return false;
    }
    size_t n = 0;
    for (unsigned k = 0; k < LENGTH_SIZE; k++) {
        n |= (size_t)bytes[*at + k] << (8 * k);
    }
    if (size - *at - LENGTH_SIZE < n) {
        return false;
    }
    *item = (struct nrd_bytes){bytes + *at + LENGTH_SIZE, n};
    *at += LENGTH_SIZE + n;
    return true;
}
