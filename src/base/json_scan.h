// SPDX-License-Identifier: Apache-2.0
// The scan that reader and writer of JSON share: how long is the run of bytes that a string holds as they are?
#ifndef NEREID_BASE_JSON_SCAN_H
#define NEREID_BASE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static inline bool json_byte_is_plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}

// The first byte in [at, end) that is a quote, a backslash or below 0x20; `end` when there is none.
static inline const char *json_scan_plain(const char *at, const char *end)
{
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i control = _mm_set1_epi8(0x1f);
    while (end - at >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash));
        hit = _mm_or_si128(hit, _mm_cmpeq_epi8(_mm_min_epu8(bytes, control), bytes));
        unsigned mask = (unsigned)_mm_movemask_epi8(hit);
        if (mask != 0) {
            return at + __builtin_ctz(mask);
        }
        at += 16;
    }
#else
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = UINT64_C(0x8080808080808080);
    while (end - at >= 8) {
        uint64_t bytes;
        memcpy(&bytes, at, sizeof(bytes));
        uint64_t quote = bytes ^ ones * '"';
        uint64_t backslash = bytes ^ ones * '\\';
        // A byte of (x - 1) & ~x has its top bit set where x is 0; borrows can only add hits above a true one.
        uint64_t hit = ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) |
                       ((bytes - ones * 0x20) & ~bytes);
        if ((hit & tops) != 0) {
            break;
        }
        at += 8;
    }
#endif
    while (at < end && json_byte_is_plain((unsigned char)*at)) {
        at++;
    }
    return at;
}

#endif
