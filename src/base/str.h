// SPDX-License-Identifier: Apache-2.0
// Str: a growable byte string, always followed by a NUL that its length does not count.
//
// init/fini on memory given. A failed append leaves the string as it was and marks it `failed`, so a
// writer may append many times and look once, at the end, with str_status(). Thread: owner.
#ifndef NEREID_BASE_STR_H
#define NEREID_BASE_STR_H

#include "base/slice.h"
#include "base/status.h"

struct str {
    char *ptr; // NULL until the first append; use str_cstr() for a C string
    size_t len;
    size_t cap;
    bool failed;
};

#define STR_INIT ((struct str){0})

void str_init(struct str *s);
void str_fini(struct str *s);
void str_clear(struct str *s); // keeps the memory and clears `failed`
void str_append(struct str *s, const void *ptr, size_t len);
void str_append_slice(struct str *s, struct slice part);
void str_append_cstr(struct str *s, const char *text);
static inline void str_append_char(struct str *s, char c)
{
    if (s->cap - s->len > 1) {
        s->ptr[s->len++] = c;
        s->ptr[s->len] = '\0';
    } else {
        str_append(s, &c, 1);
    }
}
NRD_PRINTF(2, 3) void str_printf(struct str *s, const char *format, ...);
void str_append_i64(struct str *s, int64_t value);
void str_append_u64(struct str *s, uint64_t value);
// Shortest decimal form that reads back as the same double, in the style of Triton's JSON writer:
// 1 -> 1.0, 1e20f widened -> 100000002004087730000.0, 1e22 -> 1e22, NaN -> NaN, inf -> Infinity.
void str_append_f64(struct str *s, double value);
// Room for `len` more bytes; returns where to write them (then add to s->len), NULL when out of memory.
char *str_reserve(struct str *s, size_t len);
void str_truncate(struct str *s, size_t len);
const char *str_cstr(const struct str *s); // "" when empty; borrowed
struct slice str_slice(const struct str *s);
// Gives the memory away as a C string (mem_free it); NULL when `failed`. `s` is empty afterwards.
char *str_take(struct str *s);
// NULL, or the out-of-memory status when an append failed.
NRD_MUST_USE struct nrd_status *str_status(const struct str *s);

#endif
