// SPDX-License-Identifier: Apache-2.0
// See text_token.h. The first malformed token ends the input: protobuf goes on and reports more,
// but its result is a failure all the same, and the first message is the one that helps.
#include "proto/text_token.h"

#include <stdio.h>

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int hex_value(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// The byte `ahead` places from here; 0 at the end.
static char peek(const struct text_tokenizer *t, size_t ahead)
{
    return (size_t)(t->end - t->at) > ahead ? t->at[ahead] : '\0';
}

static void advance(struct text_tokenizer *t)
{
    char c = *t->at++;
    if (c == '\n') {
        t->line++;
        t->column = 0;
    } else if (c == '\t') {
        t->column += 8 - t->column % 8;
    } else {
        t->column++;
    }
}

static bool take(struct text_tokenizer *t, char c)
{
    if (t->at < t->end && *t->at == c) {
        advance(t);
        return true;
    }
    return false;
}

static void set_error(struct text_tokenizer *t, unsigned line, unsigned column, const char *text)
{
    if (t->error->len == 0) {
        str_printf(t->error, "%u:%u: %s", line + 1, column + 1, text);
    }
}

// An error at the byte that is looked at.
static void lexical_error(struct text_tokenizer *t, const char *text)
{
    set_error(t, t->line, t->column, text);
}

void text_token_error(struct text_tokenizer *t, const char *format, ...)
{
    struct str text = STR_INIT;
    va_list args;
    va_start(args, format);
    char small[512];
    vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    str_append_cstr(&text, small);
    set_error(t, t->current.line, t->current.column, str_cstr(&text));
    str_fini(&text);
}

void text_tokenizer_init(struct text_tokenizer *t, struct slice text, struct str *error)
{
    *t = (struct text_tokenizer){
        .at = text.ptr,
        .end = text.ptr == NULL ? NULL : text.ptr + text.len,
        .error = error,
    };
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip_space_and_comments(struct text_tokenizer *t)
{
    while (t->at < t->end) {
        if (is_space(*t->at)) {
            advance(t);
        } else if (*t->at == '#') {
            while (t->at < t->end && *t->at != '\n') {
                advance(t);
            }
        } else {
            return;
        }
    }
}

static void take_digits(struct text_tokenizer *t)
{
    while (is_digit(peek(t, 0))) {
        advance(t);
    }
}

// Decimal digits with an optional fraction, exponent and 'f'. True when it is a floating number.
static bool scan_decimal(struct text_tokenizer *t, bool after_dot)
{
    bool is_float = after_dot;
    take_digits(t);
    if (!after_dot && take(t, '.')) {
        is_float = true;
        take_digits(t);
    }
    if (take(t, 'e') || take(t, 'E')) {
        is_float = true;
        (void)(take(t, '-') || take(t, '+'));
        if (!is_digit(peek(t, 0))) {
            lexical_error(t, "\"e\" must be followed by exponent.");
        }
        take_digits(t);
    }
    return take(t, 'f') || take(t, 'F') || is_float;
}

static enum text_token_type scan_number(struct text_tokenizer *t)
{
    bool is_float = false;
    if (take(t, '.')) {
        is_float = scan_decimal(t, true);
    } else if (peek(t, 0) == '0' && (peek(t, 1) == 'x' || peek(t, 1) == 'X')) {
        advance(t);
        advance(t);
        if (hex_value(peek(t, 0)) < 0) {
            lexical_error(t, "\"0x\" must be followed by hex digits.");
        }
        while (hex_value(peek(t, 0)) >= 0) {
            advance(t);
        }
    } else if (peek(t, 0) == '0' && is_digit(peek(t, 1))) {
        while (peek(t, 0) >= '0' && peek(t, 0) <= '7') {
            advance(t);
        }
        if (is_digit(peek(t, 0))) {
            lexical_error(t, "Numbers starting with leading zero must be in octal.");
            take_digits(t);
        }
    } else {
        is_float = scan_decimal(t, false);
    }
    if (is_letter(peek(t, 0))) {
        lexical_error(t, "Need space between number and identifier.");
    } else if (peek(t, 0) == '.') {
        lexical_error(t, is_float ? "Already saw decimal point or exponent; can't have another one."
                                  : "Hex and octal numbers must be integers.");
    }
    return is_float ? TEXT_TOKEN_FLOAT : TEXT_TOKEN_INTEGER;
}

// True when `count` hex digits follow; they are taken.
static bool take_hex(struct text_tokenizer *t, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (hex_value(peek(t, 0)) < 0) {
            return false;
        }
        advance(t);
    }
    return true;
}

// After a backslash. Only checks the shape; text_token_string gives it a meaning.
static void scan_escape(struct text_tokenizer *t)
{
    char c = peek(t, 0);
    if (c != '\0' && strchr("abfnrtv\\?'\"", c) != NULL) {
        advance(t);
    } else if (c >= '0' && c <= '7') {
        advance(t);
    } else if (c == 'x' || c == 'X') {
        advance(t);
        if (!take_hex(t, 1)) {
            lexical_error(t, "Expected hex digits for escape sequence.");
        }
    } else if (c == 'u') {
        advance(t);
        if (!take_hex(t, 4)) {
            lexical_error(t, "Expected four hex digits for \\u escape sequence.");
        }
    } else if (c == 'U') {
        advance(t);
        if (!take(t, '0') || !take(t, '0') || !(take(t, '0') || take(t, '1')) || !take_hex(t, 5)) {
            lexical_error(t, "Expected eight hex digits up to 10ffff for \\U escape sequence");
        }
    } else {
        lexical_error(t, "Invalid escape sequence in string literal.");
    }
}

static void scan_string(struct text_tokenizer *t, char quote)
{
    advance(t);
    while (t->error->len == 0) {
        if (t->at == t->end || *t->at == '\0') {
            lexical_error(t, "Unexpected end of string.");
        } else if (*t->at == '\n') {
            lexical_error(t, "String literals cannot cross line boundaries.");
        } else if (take(t, '\\')) {
            scan_escape(t);
        } else if (*t->at == quote) {
            advance(t);
            return;
        } else {
            advance(t);
        }
    }
}

void text_token_next(struct text_tokenizer *t)
{
    bool after_identifier = t->current.type == TEXT_TOKEN_IDENTIFIER;
    const char *previous_end = t->current.text.ptr + t->current.text.len;
    skip_space_and_comments(t);
    const char *start = t->at;
    t->current = (struct text_token){
        .type = TEXT_TOKEN_END, .text = {start, 0}, .line = t->line, .column = t->column};
    if (t->at == t->end || t->error->len > 0) {
        return;
    }
    char c = *t->at;
    if ((unsigned char)c < ' ') {
        lexical_error(t, "Invalid control characters encountered in text.");
    } else if (is_letter(c)) {
        while (is_letter(peek(t, 0)) || is_digit(peek(t, 0))) {
            advance(t);
        }
        t->current.type = TEXT_TOKEN_IDENTIFIER;
    } else if (c == '.' && is_digit(peek(t, 1)) && after_identifier && previous_end == start) {
        lexical_error(t, "Need space between identifier and decimal point.");
    } else if (is_digit(c) || (c == '.' && is_digit(peek(t, 1)))) {
        t->current.type = scan_number(t);
    } else if (c == '"' || c == '\'') {
        scan_string(t, c);
        t->current.type = TEXT_TOKEN_STRING;
    } else {
        if ((unsigned char)c >= 0x80) {
            char text[64];
            snprintf(text, sizeof(text), "Interpreting non ascii codepoint %d.", (unsigned char)c);
            lexical_error(t, text);
        }
        advance(t);
        t->current.type = TEXT_TOKEN_SYMBOL;
    }
    t->current.text.len = (size_t)(t->at - start);
    if (t->error->len > 0) {
        t->current.type = TEXT_TOKEN_END;
        t->at = t->end;
    }
}

bool text_token_integer(struct slice text, uint64_t max, uint64_t *value)
{
    uint64_t base = 10;
    size_t at = 0;
    if (text.len > 1 && text.ptr[0] == '0') {
        bool hex = text.ptr[1] == 'x' || text.ptr[1] == 'X';
        base = hex ? 16 : 8;
        at = hex ? 2 : 1;
    }
    uint64_t sum = 0;
    for (; at < text.len; at++) {
        int digit = hex_value(text.ptr[at]);
        if (digit < 0 || (uint64_t)digit >= base || (uint64_t)digit > max ||
            sum > (max - (uint64_t)digit) / base) {
            return false;
        }
        sum = sum * base + (uint64_t)digit;
    }
    *value = sum;
    return true;
}

static void append_utf8(struct str *out, uint32_t code)
{
    if (code < 0x80) {
        str_append_char(out, (char)code);
        return;
    }
    unsigned tail = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xC0, 0xE0, 0xF0};
    str_append_char(out, (char)(lead[tail] | code >> (6 * tail)));
    while (tail-- > 0) {
        str_append_char(out, (char)(0x80 | ((code >> (6 * tail)) & 0x3F)));
    }
}

// Reads up to `count` digits of `base` from `*at`.
static uint32_t read_digits(const char **at, const char *end, int base, unsigned count)
{
    uint32_t value = 0;
    while (count-- > 0 && *at < end && hex_value(**at) >= 0 && hex_value(**at) < base) {
        value = value * (uint32_t)base + (uint32_t)hex_value(**at);
        ++*at;
    }
    return value;
}

static void append_code_point(const char **at, const char *end, unsigned digits, struct str *out)
{
    uint32_t code = read_digits(at, end, 16, digits);
    bool is_head = code >= 0xD800 && code < 0xDC00;
    if (is_head && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        const char *low = *at + 2;
        uint32_t second = read_digits(&low, end, 16, 4);
        if (second >= 0xDC00 && second < 0xE000) {
            code = 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00);
            *at = low;
        }
    }
    append_utf8(out, code);
}

void text_token_string(struct slice text, struct str *out)
{
    static const char codes[] = "abfnrtv";
    static const char values[] = "\a\b\f\n\r\t\v";
    const char *at = text.ptr + 1;
    const char *end = text.ptr + text.len - 1;
    while (at < end) {
        char c = *at++;
        if (c != '\\') {
            str_append_char(out, c);
            continue;
        }
        c = *at++;
        const char *code = strchr(codes, c);
        if (c >= '0' && c <= '7') {
            at--;
            str_append_char(out, (char)read_digits(&at, end, 8, 3));
        } else if (c == 'x' || c == 'X') {
            str_append_char(out, (char)read_digits(&at, end, 16, 2));
        } else if (c == 'u' || c == 'U') {
            append_code_point(&at, end, c == 'u' ? 4 : 8, out);
        } else {
            str_append_char(out, code == NULL ? c : values[code - codes]);
        }
    }
}
