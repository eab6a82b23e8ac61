// SPDX-License-Identifier: Apache-2.0
// Slice: the helpers that are too long to inline. Numbers are read whole and never past the end.
#include "base/slice.h"

#include "base/number.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len) {
        return false;
    }
    size_t i = 0;
    for (; i + 8 <= a.len; i += 8) {
        // Eight at a time: equal, or not even but for the bit that is the case of letters.
        uint64_t x;
        uint64_t y;
        memcpy(&x, a.ptr + i, 8);
        memcpy(&y, b.ptr + i, 8);
        if (((x ^ y) & ~0x2020202020202020u) != 0) {
            return false;
        }
        if (x != y) {
            break;
        }
    }
    for (; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

bool slice_starts(struct slice a, struct slice prefix)
{
    return a.len >= prefix.len && slice_equal((struct slice){a.ptr, prefix.len}, prefix);
}

bool slice_ends(struct slice a, struct slice suffix)
{
    if (suffix.len == 0) {
        return true;
    }
    return a.len >= suffix.len &&
           slice_equal((struct slice){a.ptr + (a.len - suffix.len), suffix.len}, suffix);
}

struct slice slice_trim(struct slice a)
{
    while (a.len > 0 && (a.ptr[0] == ' ' || a.ptr[0] == '\t')) {
        a.ptr++;
        a.len--;
    }
    while (a.len > 0 && (a.ptr[a.len - 1] == ' ' || a.ptr[a.len - 1] == '\t')) {
        a.len--;
    }
    return a;
}

bool slice_cut(struct slice *rest, char separator, struct slice *part)
{
    if (rest->ptr == NULL) {
        return false;
    }
    const char *found = rest->len == 0 ? NULL : memchr(rest->ptr, separator, rest->len);
    if (found == NULL) {
        *part = *rest;
        *rest = (struct slice){NULL, 0};
        return true;
    }
    size_t before = (size_t)(found - rest->ptr);
    *part = (struct slice){rest->ptr, before};
    *rest = (struct slice){found + 1, rest->len - before - 1};
    return true;
}

bool slice_to_u64(struct slice a, uint64_t *value)
{
    size_t at = a.len > 0 && a.ptr[0] == '+' ? 1 : 0;
    if (at == a.len) {
        return false;
    }
    uint64_t sum = 0;
    for (; at < a.len; at++) {
        unsigned digit = (unsigned)(unsigned char)a.ptr[at] - '0';
        if (digit > 9 || sum > UINT64_MAX / 10 || sum * 10 > UINT64_MAX - digit) {
            return false;
        }
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

bool slice_to_i64(struct slice a, int64_t *value)
{
    bool minus = a.len > 0 && a.ptr[0] == '-';
    if (minus) {
        a.ptr++;
        a.len--;
        if (a.len > 0 && a.ptr[0] == '+') {
            return false;
        }
    }
    uint64_t magnitude;
    uint64_t limit = (uint64_t)INT64_MAX + (minus ? 1 : 0);
    if (!slice_to_u64(a, &magnitude) || magnitude > limit) {
        return false;
    }
    *value = minus ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

bool slice_to_f64(struct slice a, double *value)
{
    return number_read_f64(a, value);
}
