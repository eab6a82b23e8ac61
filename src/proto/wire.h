// SPDX-License-Identifier: Apache-2.0
// Protobuf's wire format by hand, for the messages whose tensors must not be copied. Reading borrows; groups are malformed.
// Writing appends to a str, whose failure shows at the end (str_status). Thread: owner.
#ifndef NEREID_PROTO_WIRE_H
#define NEREID_PROTO_WIRE_H

#include "base/str.h"

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

// ---- reading --------------------------------------------------------------------------------------------------------

struct wire_reader {
    const unsigned char *at;
    const unsigned char *end;
};

static inline struct wire_reader wire_reader_of(struct slice bytes)
{
    const unsigned char *at = (const unsigned char *)bytes.ptr;
    return (struct wire_reader){at, at + bytes.len};
}

static inline bool wire_read_varint(struct wire_reader *r, uint64_t *value)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (r->at == r->end) {
            return false;
        }
        unsigned char c = *r->at++;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (c < 0x80) {
            *value = v;
            return true;
        }
    }
    return false;
}

static inline bool wire_read_bytes(struct wire_reader *r, struct slice *bytes)
{
    uint64_t size;
    if (!wire_read_varint(r, &size) || size > (uint64_t)(r->end - r->at)) {
        return false;
    }
    *bytes = slice_make(r->at, (size_t)size);
    r->at += size;
    return true;
}

static inline bool wire_read_tag(struct wire_reader *r, uint32_t *field, enum wire *wire)
{
    uint64_t tag;
    if (!wire_read_varint(r, &tag) || tag > UINT32_MAX || tag >> 3 == 0) {
        return false;
    }
    *field = (uint32_t)(tag >> 3);
    *wire = (enum wire)(tag & 7);
    return true;
}

static inline bool wire_skip_fixed(struct wire_reader *r, size_t size)
{
    if ((size_t)(r->end - r->at) < size) {
        return false;
    }
    r->at += size;
    return true;
}

static inline bool wire_skip(struct wire_reader *r, enum wire wire)
{
    uint64_t value;
    struct slice bytes;
    switch (wire) {
    case WIRE_VARINT:
        return wire_read_varint(r, &value);
    case WIRE_FIXED64:
        return wire_skip_fixed(r, 8);
    case WIRE_BYTES:
        return wire_read_bytes(r, &bytes);
    case WIRE_FIXED32:
        return wire_skip_fixed(r, 4);
    default:
        return false;
    }
}

// ---- writing --------------------------------------------------------------------------------------------------------

enum { WIRE_VARINT_MAX = 10 };

// Returns the bytes written.
static inline size_t wire_varint(unsigned char out[WIRE_VARINT_MAX], uint64_t value)
{
    size_t n = 0;
    while (value >= 0x80) {
        out[n++] = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    out[n++] = (unsigned char)value;
    return n;
}

static inline void wire_put_varint(struct str *out, uint64_t value)
{
    unsigned char bytes[WIRE_VARINT_MAX];
    str_append(out, bytes, wire_varint(bytes, value));
}

static inline void wire_put_tag(struct str *out, uint32_t field, enum wire wire)
{
    wire_put_varint(out, (uint64_t)field << 3 | (unsigned)wire);
}

static inline void wire_put_number(struct str *out, uint32_t field, uint64_t value)
{
    wire_put_tag(out, field, WIRE_VARINT);
    wire_put_varint(out, value);
}

static inline void wire_put_bytes(struct str *out, uint32_t field, struct slice bytes)
{
    wire_put_tag(out, field, WIRE_BYTES);
    wire_put_varint(out, bytes.len);
    str_append_slice(out, bytes);
}

// A message inside: what is written between begin and end is its content. Content is moved by its length's bytes, so keep it small.
static inline size_t wire_begin(struct str *out, uint32_t field)
{
    wire_put_tag(out, field, WIRE_BYTES);
    return out->len;
}
static inline void wire_end(struct str *out, size_t begin)
{
    unsigned char bytes[WIRE_VARINT_MAX];
    size_t size = out->len - begin;
    size_t n = wire_varint(bytes, size);
    if (out->failed || str_reserve(out, n) == NULL) {
        return;
    }
    memmove(out->ptr + begin + n, out->ptr + begin, size);
    memcpy(out->ptr + begin, bytes, n);
    out->len += n;
    out->ptr[out->len] = '\0';
}

#endif
