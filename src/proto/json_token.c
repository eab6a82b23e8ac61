// SPDX-License-Identifier: Apache-2.0
// See json_token.h. The texts are protobuf's; each is followed by a piece of the input and a caret
// at the place.
#include "proto/json_token.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

enum { CONTEXT = 20 };

void json_scanner_init(struct json_scanner *s, struct slice text)
{
    const char *start = text.len == 0 ? "" : text.ptr;
    *s = (struct json_scanner){.begin = start, .at = start, .end = start + text.len};
}

void json_scanner_fini(struct json_scanner *s)
{
    str_fini(&s->text);
    str_fini(&s->error);
}

// Shows up to `before` bytes of what is before the place, and up to 20 after it.
static bool fail_after(struct json_scanner *s, const char *what, ptrdiff_t before)
{
    if (s->error.len > 0) {
        return false;
    }
    if (s->at == s->end) {
        // protobuf has thrown the text away by then, so it shows an empty context.
        bool in_string = strncmp(what, "Closing", 7) == 0;
        str_printf(&s->error, "%s%s\n\n^", in_string ? "" : "Unexpected end of string. ", what);
        return false;
    }
    const char *from = s->at - s->begin > before ? s->at - before : s->begin;
    const char *to = s->end - s->at > CONTEXT ? s->at + CONTEXT : s->end;
    str_printf(&s->error, "%s\n", what);
    str_append(&s->error, from, (size_t)(to - from));
    str_append_char(&s->error, '\n');
    for (; from < s->at; from++) {
        str_append_char(&s->error, ' ');
    }
    str_append_char(&s->error, '^');
    return false;
}

static bool fail(struct json_scanner *s, const char *what)
{
    return fail_after(s, what, CONTEXT);
}

// Where a token cannot start here at all, protobuf shows only what follows.
static bool fail_here(struct json_scanner *s, const char *what)
{
    return fail_after(s, what, 0);
}

static void skip_space(struct json_scanner *s)
{
    while (s->at < s->end && (*s->at == ' ' || (*s->at >= '\t' && *s->at <= '\r'))) {
        s->at++;
    }
}

static bool take(struct json_scanner *s, char c)
{
    if (s->at < s->end && *s->at == c) {
        s->at++;
        return true;
    }
    return false;
}

static bool is_key_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
}

static bool is_key_part(char c)
{
    return is_key_start(c) || (c >= '0' && c <= '9');
}

static void append_utf8(struct str *out, uint32_t code)
{
    static const unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
    if (code < 0x80) {
        str_append_char(out, (char)code);
        return;
    }
    unsigned tail = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    str_append_char(out, (char)(lead[tail] | code >> (6 * tail)));
    while (tail-- > 0) {
        str_append_char(out, (char)(0x80 | ((code >> (6 * tail)) & 0x3F)));
    }
}

static bool scan_hex4(struct json_scanner *s, uint32_t *code)
{
    uint32_t value = 0;
    if (s->end - s->at < 4) {
        return fail(s, "Illegal hex string.");
    }
    for (int i = 0; i < 4; i++) {
        char c = s->at[i];
        char lower = (char)(c | 0x20);
        if (c >= '0' && c <= '9') {
            value = value * 16 + (uint32_t)(c - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            value = value * 16 + (uint32_t)(lower - 'a' + 10);
        } else {
            return fail(s, "Invalid escape sequence.");
        }
    }
    s->at += 4;
    *code = value;
    return true;
}

static bool scan_unicode(struct json_scanner *s)
{
    uint32_t code;
    if (!scan_hex4(s, &code)) {
        return false;
    }
    if (code >= 0xD800 && code < 0xDC00) {
        uint32_t low;
        if (s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u') {
            return fail(s, "Missing low surrogate.");
        }
        s->at += 2;
        if (!scan_hex4(s, &low)) {
            return false;
        }
        if (low < 0xDC00 || low >= 0xE000) {
            return fail(s, "Invalid low surrogate.");
        }
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xDC00 && code < 0xE000) {
        return fail(s, "Invalid unicode code point.");
    }
    append_utf8(&s->text, code);
    return true;
}

static bool scan_string(struct json_scanner *s, char quote)
{
    static const char codes[] = "bfnrtv";
    static const char values[] = "\b\f\n\r\t\v";
    s->at++;
    str_clear(&s->text);
    while (s->at < s->end) {
        char c = *s->at++;
        if (c == quote) {
            return !s->text.failed;
        }
        if (c != '\\') {
            str_append_char(&s->text, c);
            continue;
        }
        if (s->at == s->end) {
            break;
        }
        c = *s->at++;
        const char *code = c == '\0' ? NULL : strchr(codes, c);
        if (c == 'u') {
            if (!scan_unicode(s)) {
                return false;
            }
        } else {
            str_append_char(&s->text, code == NULL ? c : values[code - codes]);
        }
    }
    return fail(s, "Closing quote expected in string.");
}

static bool scan_number(struct json_scanner *s, struct json_value *value)
{
    const char *start = s->at;
    bool negative = take(s, '-');
    if (s->end - s->at > 1 && s->at[0] == '0' &&
        ((s->at[1] >= '0' && s->at[1] <= '9') || s->at[1] == 'x' || s->at[1] == 'X')) {
        return fail(s, "Octal/hex numbers are not valid JSON values.");
    }
    bool is_double = false;
    while (s->at < s->end && strchr("0123456789.eE+-", *s->at) != NULL && *s->at != '\0') {
        is_double = is_double || *s->at < '0' || *s->at > '9';
        s->at++;
    }
    struct slice text = {start, (size_t)(s->at - start)};
    if (!is_double && negative && slice_to_i64(text, &value->as.i)) {
        value->type = JSON_VALUE_INT;
        return true;
    }
    if (!is_double && !negative && slice_to_u64(text, &value->as.u)) {
        value->type = JSON_VALUE_UINT;
        return true;
    }
    str_clear(&s->text);
    str_append_slice(&s->text, text);
    char *stop = NULL;
    value->type = JSON_VALUE_DOUBLE;
    value->as.d = strtod(str_cstr(&s->text), &stop);
    if (s->text.failed || stop == str_cstr(&s->text) || *stop != '\0') {
        s->at = start;
        return fail(s, "Unable to parse number.");
    }
    if (isinf(value->as.d)) {
        s->at = start;
        return fail(s, "Number exceeds the range of double.");
    }
    return true;
}

static bool scan_literal(struct json_scanner *s, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(s->end - s->at) < length || memcmp(s->at, word, length) != 0) {
        return false;
    }
    s->at += length;
    return true;
}

// Whether protobuf knows the byte as the start of some token.
static bool is_token_start(char c)
{
    return is_key_start(c) ||
           (c != '\0' && (strchr("{}[],:\"'-", c) != NULL || (c >= '0' && c <= '9')));
}

bool json_scan_value(struct json_scanner *s, struct json_value *value)
{
    skip_space(s);
    char c = s->at < s->end ? *s->at : '\0';
    value->type = JSON_VALUE_NULL;
    if (c == '"' || c == '\'') {
        value->type = JSON_VALUE_STRING;
        return scan_string(s, c);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        return scan_number(s, value);
    }
    if (take(s, '{')) {
        value->type = JSON_VALUE_OBJECT;
        return true;
    }
    if (take(s, '[')) {
        value->type = JSON_VALUE_ARRAY;
        return true;
    }
    if (scan_literal(s, "true") || scan_literal(s, "false")) {
        value->type = JSON_VALUE_BOOL;
        value->as.b = c == 't';
        return true;
    }
    if (scan_literal(s, "null")) {
        return true;
    }
    return fail_here(s, is_token_start(c) ? "Unexpected token." : "Expected a value.");
}

bool json_scan_key(struct json_scanner *s, bool first, bool *closed)
{
    skip_space(s);
    *closed = take(s, '}');
    if (*closed) {
        return true;
    }
    if (!first) {
        if (!take(s, ',')) {
            return fail(s, "Expected , or } after key:value pair.");
        }
        skip_space(s);
        *closed = take(s, '}');
        if (*closed) {
            return true;
        }
    }
    char c = s->at < s->end ? *s->at : '\0';
    if (c == '"' || c == '\'') {
        if (!scan_string(s, c)) {
            return false;
        }
    } else if (is_key_start(c)) {
        str_clear(&s->text);
        while (s->at < s->end && is_key_part(*s->at)) {
            str_append_char(&s->text, *s->at++);
        }
    } else {
        return is_token_start(c) ? fail(s, "Expected an object key or }.")
                                 : fail_here(s, "Expected an object key or }.");
    }
    skip_space(s);
    return take(s, ':') || fail(s, "Expected : between key:value pair.");
}

bool json_scan_element(struct json_scanner *s, bool first, bool *closed)
{
    skip_space(s);
    *closed = take(s, ']');
    if (*closed) {
        return true;
    }
    if (!first) {
        if (!take(s, ',')) {
            return fail(s, "Expected , or ] after array value.");
        }
        skip_space(s);
        *closed = take(s, ']');
    }
    return *closed || (s->at < s->end && is_token_start(*s->at)) ||
           fail_here(s, "Expected a value or ] within an array.");
}

bool json_scan_end(struct json_scanner *s)
{
    skip_space(s);
    return s->at == s->end || fail(s, "Parsing terminated before end of input.");
}

bool json_scan_skip(struct json_scanner *s, unsigned depth)
{
    struct json_value value;
    if (!json_scan_value(s, &value)) {
        return false;
    }
    if (value.type != JSON_VALUE_OBJECT && value.type != JSON_VALUE_ARRAY) {
        return true;
    }
    if (depth == 0) {
        return fail(s, "Message too deep.");
    }
    bool closed = false;
    for (bool first = true;; first = false) {
        bool ok = value.type == JSON_VALUE_OBJECT ? json_scan_key(s, first, &closed)
                                                  : json_scan_element(s, first, &closed);
        if (!ok || closed) {
            return ok;
        }
        if (!json_scan_skip(s, depth - 1)) {
            return false;
        }
    }
}
