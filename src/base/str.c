// SPDX-License-Identifier: Apache-2.0
// Str: growth doubles, so that n appends cost O(n); every append ends with a NUL behind the text.
#include "base/str.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/number.h"

void str_init(struct str *s)
{
    *s = STR_INIT;
}

void str_fini(struct str *s)
{
    mem_free(s->ptr);
    *s = STR_INIT;
}

void str_clear(struct str *s)
{
    s->len = 0;
    s->failed = false;
    if (s->ptr != NULL) {
        s->ptr[0] = '\0';
    }
}

static bool str_grow(struct str *s, size_t len)
{
    if (len > SIZE_MAX - s->len - 1) {
        s->failed = true;
        return false;
    }
    size_t need = s->len + len + 1;
    size_t cap = s->cap > SIZE_MAX / 2 ? need : s->cap * 2;
    if (cap < need) {
        cap = need;
    }
    if (cap < 64) {
        cap = 64;
    }
    char *ptr = mem_realloc(s->ptr, cap);
    if (ptr == NULL) {
        s->failed = true;
        return false;
    }
    if (s->ptr == NULL) {
        ptr[0] = '\0';
    }
    s->ptr = ptr;
    s->cap = cap;
    return true;
}

char *str_reserve(struct str *s, size_t len)
{
    if (s->ptr == NULL || len >= s->cap - s->len) {
        if (!str_grow(s, len)) {
            return NULL;
        }
    }
    return s->ptr + s->len;
}

void str_append(struct str *s, const void *ptr, size_t len)
{
    char *to = str_reserve(s, len);
    if (to == NULL) {
        return;
    }
    if (len != 0) {
        memcpy(to, ptr, len);
    }
    to[len] = '\0';
    s->len += len;
}

void str_append_slice(struct str *s, struct slice part)
{
    str_append(s, part.ptr, part.len);
}

void str_append_cstr(struct str *s, const char *text)
{
    str_append(s, text, strlen(text));
}

void str_printf(struct str *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char small[256];
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(small, sizeof(small), format, args);
    if (length < 0) {
        s->failed = true;
    } else if ((size_t)length < sizeof(small)) {
        str_append(s, small, (size_t)length);
    } else {
        char *to = str_reserve(s, (size_t)length);
        if (to != NULL) {
            vsnprintf(to, (size_t)length + 1, format, again);
            s->len += (size_t)length;
        }
    }
    va_end(again);
    va_end(args);
}

void str_append_u64(struct str *s, uint64_t value)
{
    char text[NUMBER_U64_MAX];
    str_append(s, text, number_write_u64(text, value));
}

void str_append_i64(struct str *s, int64_t value)
{
    char text[NUMBER_U64_MAX + 1];
    size_t sign = 0;
    uint64_t magnitude = (uint64_t)value;
    if (value < 0) {
        text[0] = '-';
        sign = 1;
        magnitude = 0 - magnitude;
    }
    str_append(s, text, sign + number_write_u64(text + sign, magnitude));
}

void str_append_f64(struct str *s, double value)
{
    char *to = str_reserve(s, NUMBER_F64_MAX);
    if (to != NULL) {
        size_t length = number_write_f64(to, value);
        to[length] = '\0';
        s->len += length;
    }
}

void str_truncate(struct str *s, size_t len)
{
    if (len < s->len) {
        s->len = len;
        s->ptr[len] = '\0';
    }
}

const char *str_cstr(const struct str *s)
{
    return s->ptr == NULL ? "" : s->ptr;
}

struct slice str_slice(const struct str *s)
{
    return (struct slice){str_cstr(s), s->len};
}

char *str_take(struct str *s)
{
    char *text = NULL;
    if (!s->failed) {
        text = s->ptr != NULL ? s->ptr : mem_strndup("", 0);
    } else {
        mem_free(s->ptr);
    }
    *s = STR_INIT;
    return text;
}

struct nrd_status *str_status(const struct str *s)
{
    return s->failed ? status_no_memory() : NULL;
}
