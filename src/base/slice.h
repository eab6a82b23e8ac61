// SPDX-License-Identifier: Apache-2.0
// Slice: borrowed bytes with a length; and the few text helpers that the C library lacks.
#ifndef NEREID_BASE_SLICE_H
#define NEREID_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *ptr; // not terminated; may be NULL only when len is 0
    size_t len;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, text == NULL ? 0 : strlen(text)};
}
static inline struct slice slice_make(const void *ptr, size_t len)
{
    return (struct slice){(const char *)ptr, len};
}
static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool slice_is(struct slice a, const char *text)
{
    return slice_equal(a, slice_of(text));
}
// ASCII case is ignored (HTTP header names).
bool slice_equal_nocase(struct slice a, struct slice b);
bool slice_starts(struct slice a, struct slice prefix);
bool slice_ends(struct slice a, struct slice suffix);
struct slice slice_trim(struct slice a); // spaces and tabs at both ends
// Cuts `*rest` at the first `separator`: returns what is before, leaves what is after (empty, ptr NULL at the
// end). False when `*rest` was already used up (ptr NULL).
bool slice_cut(struct slice *rest, char separator, struct slice *part);
// Whole slice as a number: digits with an optional sign, nothing else. False on anything else or overflow.
bool slice_to_i64(struct slice a, int64_t *value);
bool slice_to_u64(struct slice a, uint64_t *value);
// Whole slice as a decimal floating number (also inf, nan). False on anything else.
bool slice_to_f64(struct slice a, double *value);

#endif
