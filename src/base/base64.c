// SPDX-License-Identifier: Apache-2.0
// Base64: four characters carry three bytes. Padding may be left out, as the decoders of Triton's users allow.
#include "base/base64.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// The six bits of a letter; -1 for none.
static int letter_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct nrd_status *refuse(struct str *out, size_t at, const char *what)
{
    out->ptr[out->len] = '\0'; // what was decoded so far lies behind the end
    return status_new(NRD_INVALID_ARG, "invalid base64: %s at %zu", what, at);
}

struct nrd_status *base64_decode(struct slice text, struct str *out)
{
    char *to = str_reserve(out, text.len / 4 * 3 + 3);
    if (to == NULL) {
        return status_no_memory();
    }
    size_t wrote = 0;
    uint32_t bits = 0;
    unsigned have = 0;   // letters in `bits`
    unsigned padded = 0; // '=' seen
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_space(c)) {
            continue;
        }
        if (c == '=') {
            padded++;
            continue;
        }
        int value = letter_value(c);
        if (value < 0 || padded != 0) {
            return refuse(out, i, "unexpected character");
        }
        bits = bits << 6 | (uint32_t)value;
        if (++have == 4) {
            to[wrote++] = (char)(bits >> 16);
            to[wrote++] = (char)(bits >> 8);
            to[wrote++] = (char)bits;
            bits = 0;
            have = 0;
        }
    }
    if (have == 1 || (padded != 0 && (have < 2 || have + padded != 4))) {
        return refuse(out, text.len, "unexpected end");
    }
    if (have >= 2) {
        bits <<= 6 * (4 - have);
        to[wrote++] = (char)(bits >> 16);
        if (have == 3) {
            to[wrote++] = (char)(bits >> 8);
        }
    }
    to[wrote] = '\0';
    out->len += wrote;
    return NULL;
}

void base64_encode(struct slice bytes, struct str *out)
{
    if (bytes.len > SIZE_MAX / 4 * 3 - 3) {
        out->failed = true;
        return;
    }
    size_t length = (bytes.len + 2) / 3 * 4;
    char *to = str_reserve(out, length);
    if (to == NULL) {
        return;
    }
    const unsigned char *from = (const unsigned char *)bytes.ptr;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t bits = (uint32_t)from[i] << 16;
        bits |= left > 1 ? (uint32_t)from[i + 1] << 8 : 0;
        bits |= left > 2 ? from[i + 2] : 0;
        *to++ = letters[bits >> 18];
        *to++ = letters[bits >> 12 & 63];
        *to++ = left > 1 ? letters[bits >> 6 & 63] : '=';
        *to++ = left > 2 ? letters[bits & 63] : '=';
    }
    *to = '\0';
    out->len += length;
}
