// SPDX-License-Identifier: Apache-2.0
// JSON reader: one pass, a tape of 16-byte nodes, an explicit stack of open containers.
//
//            value ──▶ in array:  ',' value | ']' closes          A closed container is a value of the one around it;
//   start ──▶      ──▶ in object: ',' key ':' value | '}' closes   with none around it, the document is over.
//
// What is an error, its text and its offset follow rapidjson's iterative parser, which Triton uses: a NUL ends the text; a
// document that begins with one of ] } , : is "empty"; escapes are blamed at their backslash, literals where they
// differ, numbers out of range at their start. Bytes of 0x80 and above are not looked at. Start at json_parse().
#include "base/json.h"

#include <math.h>

#include "base/json_scan.h"
#include "base/number.h"

enum { DEPTH_MAX = 1000 };

#define REASON_EMPTY "The document is empty."
#define REASON_ROOT "The document root must not be followed by other values."
#define REASON_VALUE "Invalid value."
#define REASON_NAME "Missing a name for object member."
#define REASON_COLON "Missing a colon after a name of object member."
#define REASON_MEMBER_END "Missing a comma or '}' after an object member."
#define REASON_ELEMENT_END "Missing a comma or ']' after an array element."
#define REASON_HEX "Incorrect hex digit after \\u escape in string."
#define REASON_SURROGATE "The surrogate pair in string is invalid."
#define REASON_ESCAPE "Invalid escape character in string."
#define REASON_QUOTE "Missing a closing quotation mark in string."
#define REASON_TOO_BIG "Number too big to be stored in double."
#define REASON_FRACTION "Miss fraction part in number."
#define REASON_EXPONENT "Miss exponent in number."
#define REASON_DEPTH "The nesting is deeper than 1000 levels."
#define REASON_SIZE "The document is larger than 4 GiB."
#define REASON_MEMORY "Out of memory."

struct reader {
    const char *begin;
    const char *at;
    const char *end; // a NUL in the text ends it too
    struct arena *arena;
    struct json_node *tape;
    size_t count;
    size_t cap;
    struct json_error error;
    unsigned flags;
    uint32_t depth;
    uint32_t open[DEPTH_MAX]; // tape indexes of the open containers
};

static bool fail_at(struct reader *r, const char *reason, const char *at)
{
    r->error = (struct json_error){.reason = reason, .offset = (size_t)(at - r->begin)};
    return false;
}

static bool fail(struct reader *r, const char *reason)
{
    return fail_at(r, reason, r->at);
}

static inline char peek(const struct reader *r)
{
    return r->at < r->end ? *r->at : '\0';
}

static inline bool consume(struct reader *r, char c)
{
    if (r->at < r->end && *r->at == c) {
        r->at++;
        return true;
    }
    return false;
}

static inline void skip_space(struct reader *r)
{
    while (r->at < r->end &&
           (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t')) {
        r->at++;
    }
}

static bool grow_tape(struct reader *r)
{
    size_t cap = r->cap * 2;
    struct json_node *tape =
        arena_grow(r->arena, r->tape, r->cap * sizeof(*tape), cap * sizeof(*tape));
    if (tape == NULL) {
        return fail(r, REASON_MEMORY);
    }
    r->tape = tape;
    r->cap = cap;
    return true;
}

// The next node of the tape, NULL when memory is out.
static inline struct json_node *add_node(struct reader *r, enum json_type type)
{
    if (r->count == r->cap && !grow_tape(r)) {
        return NULL;
    }
    struct json_node *node = &r->tape[r->count++];
    *node = (struct json_node){.type = type, .span = 1};
    return node;
}

// ---- strings ----

static bool read_hex4(struct reader *r, const char *escape, uint32_t *code)
{
    uint32_t sum = 0;
    for (int i = 0; i < 4; i++) {
        char c = peek(r);
        uint32_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            digit = (uint32_t)((c | 0x20) - 'a' + 10);
        } else {
            return fail_at(r, REASON_HEX, escape);
        }
        sum = sum << 4 | digit;
        r->at++;
    }
    *code = sum;
    return true;
}

static char *put_utf8(char *to, uint32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xf0 | code >> 18);
        *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

// After "\u": four hex digits, and a second escape when they are the first half of a pair.
static bool read_unicode(struct reader *r, const char *escape, uint32_t *code)
{
    uint32_t low;
    if (!read_hex4(r, escape, code)) {
        return false;
    }
    if (*code < 0xd800 || *code > 0xdfff) {
        return true;
    }
    if (*code > 0xdbff || !consume(r, '\\') || !consume(r, 'u')) {
        return fail_at(r, REASON_SURROGATE, escape);
    }
    if (!read_hex4(r, escape, &low)) {
        return false;
    }
    if (low < 0xdc00 || low > 0xdfff) {
        return fail_at(r, REASON_SURROGATE, escape);
    }
    *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

// At a backslash; writes what the escape stands for.
static bool read_escape(struct reader *r, char **to)
{
    static const char plain[256] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                    ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
    const char *escape = r->at++;
    char c = peek(r);
    char meaning = plain[(unsigned char)c];
    if (meaning != '\0') {
        r->at++;
        *(*to)++ = meaning;
        return true;
    }
    uint32_t code;
    if (c != 'u') {
        return fail_at(r, REASON_ESCAPE, escape);
    }
    r->at++;
    if (!read_unicode(r, escape, &code)) {
        return false;
    }
    *to = put_utf8(*to, code);
    return true;
}

// The rest of a string that has an escape: unescaped into the arena. No escape is shorter than what it stands for, so
// the raw length up to the closing quote is enough room.
static bool unescape(struct reader *r, const char *start, struct json_node *node)
{
    const char *close = r->at;
    while (close < r->end && *close != '"' && (unsigned char)*close >= 0x20) {
        close += *close == '\\' && r->end - close > 1 ? 2 : 1;
        close = json_scan_plain(close, r->end);
    }
    char *text = arena_alloc(r->arena, (size_t)(close - start));
    if (text == NULL) {
        return fail(r, REASON_MEMORY);
    }
    char *to = text;
    for (;;) {
        size_t plain = (size_t)(r->at - start);
        memcpy(to, start, plain);
        to += plain;
        if (r->at == r->end || *r->at == '\0') {
            return fail(r, REASON_QUOTE);
        }
        if (*r->at == '"') {
            r->at++;
            node->as.s = text;
            node->span = (uint32_t)(to - text);
            return true;
        }
        if (*r->at != '\\') { // a control character, for which the peer has this text
            return fail(r, REASON_ESCAPE);
        }
        if (!read_escape(r, &to)) {
            return false;
        }
        start = r->at;
        r->at = json_scan_plain(r->at, r->end);
    }
}

// At the opening quote.
static bool read_string(struct reader *r)
{
    struct json_node *node = add_node(r, JSON_STRING);
    if (node == NULL) {
        return false;
    }
    const char *start = ++r->at;
    r->at = json_scan_plain(start, r->end);
    if (r->at < r->end && *r->at == '"') {
        node->as.s = start;
        node->span = (uint32_t)(r->at - start);
        r->at++;
        return true;
    }
    return unescape(r, start, node);
}

// ---- numbers and literals ----

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') <= 9;
}

struct digits {
    uint64_t value;
    int64_t exponent; // of the last digit kept
    bool truncated;   // a digit that is not zero did not fit
};

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
static inline bool eight_digits(const char *at, uint64_t *value)
{
    uint64_t bytes;
    memcpy(&bytes, at, sizeof(bytes));
    if (((bytes & UINT64_C(0xf0f0f0f0f0f0f0f0)) |
         (((bytes + UINT64_C(0x0606060606060606)) & UINT64_C(0xf0f0f0f0f0f0f0f0)) >> 4)) !=
        UINT64_C(0x3333333333333333)) {
        return false;
    }
    // Neighbours are joined pairwise: digits to tens, tens to hundreds, and so on.
    bytes -= UINT64_C(0x3030303030303030);
    bytes = bytes * 10 + (bytes >> 8);
    *value = ((bytes & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x000f424000000064) +
              (bytes >> 16 & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x0000271000000001)) >>
             32;
    return true;
}
#else
static inline bool eight_digits(const char *at, uint64_t *value)
{
    (void)at;
    (void)value;
    return false;
}
#endif

// Takes a run of digits. `step` is 1 after the point, 0 before it.
static inline void read_digits(struct reader *r, struct digits *d, int step)
{
    uint64_t eight;
    const char *at = r->at;
    while (r->end - at >= 8 && d->value < UINT64_C(100000000000) && eight_digits(at, &eight)) {
        d->value = d->value * 100000000 + eight;
        d->exponent -= 8 * step;
        at += 8;
    }
    for (; at < r->end && is_digit(*at); at++) {
        if (d->value < UINT64_C(1000000000000000000)) {
            d->value = d->value * 10 + (uint64_t)(*at - '0');
            d->exponent -= step;
        } else if (step == 0 && !d->truncated && d->value <= UINT64_MAX / 10 &&
                   d->value * 10 <= UINT64_MAX - (uint64_t)(*at - '0') && d->exponent == 0) {
            d->value = d->value * 10 + (uint64_t)(*at - '0'); // the twentieth digit of an integer
        } else {
            d->truncated = d->truncated || *at != '0';
            d->exponent += 1 - step;
        }
    }
    r->at = at;
}

// After 'e' or 'E'. `fraction` is the number of digits after the point.
static bool read_exponent(struct reader *r, const char *start, int64_t fraction, int64_t *exponent)
{
    bool minus = false;
    if (!consume(r, '+')) {
        minus = consume(r, '-');
    }
    if (!is_digit(peek(r))) {
        return fail(r, REASON_EXPONENT);
    }
    int64_t sum = 0;
    for (; r->at < r->end && is_digit(*r->at); r->at++) {
        if (sum < INT64_C(1) << 40) {
            sum = sum * 10 + (*r->at - '0');
        }
        if (!minus && sum > 308 + fraction) {
            return fail_at(r, REASON_TOO_BIG, start);
        }
    }
    *exponent += minus ? -sum : sum;
    return true;
}

static bool add_double(struct reader *r, double value)
{
    struct json_node *node = add_node(r, JSON_DOUBLE);
    if (node == NULL) {
        return false;
    }
    node->as.d = value;
    return true;
}

// NaN, Inf, Infinity; the sign was taken.
static bool read_word(struct reader *r, bool minus)
{
    if (consume(r, 'N')) {
        if (consume(r, 'a') && consume(r, 'N')) {
            return add_double(r, (double)NAN);
        }
    } else if (consume(r, 'I') && consume(r, 'n') && consume(r, 'f')) {
        if (peek(r) != 'i' || (consume(r, 'i') && consume(r, 'n') && consume(r, 'i') &&
                               consume(r, 't') && consume(r, 'y'))) {
            return add_double(r, minus ? -(double)INFINITY : (double)INFINITY);
        }
    }
    return fail(r, REASON_VALUE);
}

static bool read_integer(struct reader *r, uint64_t magnitude, bool minus)
{
    struct json_node *node = add_node(r, minus && magnitude != 0 ? JSON_INT : JSON_UINT);
    if (node == NULL) {
        return false;
    }
    node->as.u = minus ? 0 - magnitude : magnitude;
    return true;
}

static bool read_number(struct reader *r)
{
    const char *start = r->at;
    bool minus = consume(r, '-');
    const char *first = r->at;
    struct digits d = {0};
    if (!is_digit(peek(r))) {
        return (r->flags & JSON_NAN) != 0 ? read_word(r, minus) : fail(r, REASON_VALUE);
    }
    if (!consume(r, '0')) {
        read_digits(r, &d, 0);
    }
    char next = peek(r);
    if (next != '.' && next != 'e' && next != 'E' && d.exponent == 0 && !d.truncated &&
        (!minus || d.value <= UINT64_C(1) << 63)) {
        return read_integer(r, d.value, minus);
    }
    int64_t fraction = 0;
    if (consume(r, '.')) {
        const char *point = r->at;
        if (!is_digit(peek(r))) {
            return fail(r, REASON_FRACTION);
        }
        read_digits(r, &d, 1);
        fraction = r->at - point;
    }
    if ((consume(r, 'e') || consume(r, 'E')) && !read_exponent(r, start, fraction, &d.exponent)) {
        return false;
    }
    double value =
        number_scale(d.value, d.exponent, d.truncated, slice_make(first, (size_t)(r->at - first)));
    if (isinf(value)) {
        return fail_at(r, REASON_TOO_BIG, start);
    }
    return add_double(r, minus ? -value : value);
}

static bool read_literal(struct reader *r, const char *word, enum json_type type)
{
    for (; *word != '\0'; word++) {
        if (!consume(r, *word)) {
            return fail(r, REASON_VALUE);
        }
    }
    return add_node(r, type) != NULL;
}

static bool read_scalar(struct reader *r)
{
    switch (peek(r)) {
    case '"':
        return read_string(r);
    case 't':
        return read_literal(r, "true", JSON_TRUE);
    case 'f':
        return read_literal(r, "false", JSON_FALSE);
    case 'n':
        return read_literal(r, "null", JSON_NULL);
    default:
        return read_number(r);
    }
}

// ---- containers ----

static bool open_container(struct reader *r, enum json_type type)
{
    if (r->depth == DEPTH_MAX) {
        return fail(r, REASON_DEPTH);
    }
    r->open[r->depth] = (uint32_t)r->count;
    if (add_node(r, type) == NULL) {
        return false;
    }
    r->depth++;
    r->at++;
    skip_space(r);
    return true;
}

static void close_container(struct reader *r)
{
    r->at++;
    uint32_t index = r->open[--r->depth];
    r->tape[index].span = (uint32_t)(r->count - index);
}

// A member's name and its colon.
static bool read_key(struct reader *r)
{
    if (peek(r) != '"') {
        return fail(r, REASON_NAME);
    }
    if (!read_string(r)) {
        return false;
    }
    skip_space(r);
    if (!consume(r, ':')) {
        return fail(r, REASON_COLON);
    }
    skip_space(r);
    return true;
}

// After a value: what closes or continues the containers around it. `*more` when another value follows.
static bool after_value(struct reader *r, bool *more)
{
    while (r->depth > 0) {
        struct json_node *around = &r->tape[r->open[r->depth - 1]];
        bool object = around->type == JSON_OBJECT;
        if (around->count < (1u << 28) - 1) {
            around->count++;
        }
        skip_space(r);
        if (consume(r, ',')) {
            skip_space(r);
            *more = true;
            return object ? read_key(r) : true;
        }
        if (peek(r) != (object ? '}' : ']')) {
            return fail(r, object ? REASON_MEMBER_END : REASON_ELEMENT_END);
        }
        close_container(r);
    }
    *more = false;
    return true;
}

static bool read_document(struct reader *r)
{
    bool more = true;
    while (more) {
        char c = peek(r);
        if (c == '{' || c == '[') {
            bool object = c == '{';
            if (!open_container(r, object ? JSON_OBJECT : JSON_ARRAY)) {
                return false;
            }
            if (peek(r) != (object ? '}' : ']')) {
                if (object && !read_key(r)) {
                    return false;
                }
                continue;
            }
            close_container(r);
        } else if (!read_scalar(r)) {
            return false;
        }
        if (!after_value(r, &more)) {
            return false;
        }
    }
    skip_space(r);
    return peek(r) == '\0' || fail(r, REASON_ROOT);
}

bool json_parse(struct arena *arena, struct slice text, unsigned flags,
                const struct json_node **root, struct json_error *error)
{
    struct reader r;
    r.begin = text.ptr;
    r.at = text.ptr;
    r.end = text.ptr + text.len;
    r.arena = arena;
    r.count = 0;
    r.cap = text.len / 8 + 16; // a request's head has about one value in eight bytes
    r.flags = flags;
    r.depth = 0;
    if (text.len > UINT32_MAX) {
        *error = (struct json_error){.reason = REASON_SIZE};
        return false;
    }
    for (const char *mark = "\xef\xbb\xbf"; *mark != '\0'; mark++) {
        consume(&r, *mark); // a byte order mark, whole or in part, as the peer takes it
    }
    skip_space(&r);
    char first = peek(&r);
    if (first == '\0' || first == ']' || first == '}' || first == ',' || first == ':') {
        fail(&r, REASON_EMPTY);
        *error = r.error;
        return false;
    }
    r.tape = arena_alloc(arena, r.cap * sizeof(*r.tape));
    if (r.tape == NULL) {
        *error = (struct json_error){.reason = REASON_MEMORY};
        return false;
    }
    if (!read_document(&r)) {
        *error = r.error;
        return false;
    }
    *root = r.tape;
    return true;
}

struct nrd_status *json_parse_status(struct arena *arena, struct slice text, unsigned flags,
                                     const char *what, const struct json_node **root)
{
    struct json_error error;
    if (json_parse(arena, text, flags, root, &error)) {
        return NULL;
    }
    return status_new(NRD_INTERNAL, "failed to parse the %s JSON buffer: %s at %zu", what,
                      error.reason, error.offset);
}

// ---- access ----

const struct json_node *json_get(const struct json_node *object, const char *key)
{
    if (object == NULL || object->type != JSON_OBJECT) {
        return NULL;
    }
    size_t length = strlen(key);
    const struct json_node *end = object + object->span;
    for (const struct json_node *name = object + 1; name < end; name = json_next(name + 1)) {
        if (name->span == length && memcmp(name->as.s, key, length) == 0) {
            return name + 1;
        }
    }
    return NULL;
}

bool json_is_number(const struct json_node *node)
{
    return node->type == JSON_UINT || node->type == JSON_INT || node->type == JSON_DOUBLE;
}

bool json_as_u64(const struct json_node *node, uint64_t *value)
{
    if (node->type != JSON_UINT) {
        return false;
    }
    *value = node->as.u;
    return true;
}

bool json_as_i64(const struct json_node *node, int64_t *value)
{
    if (node->type != JSON_INT && (node->type != JSON_UINT || node->as.u > INT64_MAX)) {
        return false;
    }
    *value = node->as.i;
    return true;
}

bool json_as_f64(const struct json_node *node, double *value)
{
    if (node->type == JSON_DOUBLE) {
        *value = node->as.d;
    } else if (node->type == JSON_UINT) {
        *value = (double)node->as.u;
    } else if (node->type == JSON_INT) {
        *value = (double)node->as.i;
    } else {
        return false;
    }
    return true;
}

bool json_as_bool(const struct json_node *node, bool *value)
{
    if (node->type != JSON_TRUE && node->type != JSON_FALSE) {
        return false;
    }
    *value = node->type == JSON_TRUE;
    return true;
}

struct nrd_status *json_member(const struct json_node *object, const char *key,
                               const struct json_node **value)
{
    const struct json_node *found = json_get(object, key);
    if (found == NULL) {
        return status_new(NRD_INTERNAL, "attempt to access non-existing object member '%s'", key);
    }
    *value = found;
    return NULL;
}

static struct nrd_status *refuse(const char *name, const char *as)
{
    return status_new(NRD_INTERNAL, "attempt to access JSON non-%s as %s", name, as);
}

struct nrd_status *json_want_string(const struct json_node *node, struct slice *value)
{
    if (node->type != JSON_STRING) {
        return refuse("string", "string");
    }
    *value = json_text(node);
    return NULL;
}

struct nrd_status *json_want_u64(const struct json_node *node, uint64_t *value)
{
    return json_as_u64(node, value) ? NULL : refuse("unsigned-integer", "unsigned-integer");
}

struct nrd_status *json_want_i64(const struct json_node *node, int64_t *value)
{
    return json_as_i64(node, value) ? NULL : refuse("signed-integer", "signed-integer");
}

struct nrd_status *json_want_f64(const struct json_node *node, double *value)
{
    return json_as_f64(node, value) ? NULL : refuse("number", "double");
}

struct nrd_status *json_want_bool(const struct json_node *node, bool *value)
{
    return json_as_bool(node, value) ? NULL : refuse("boolean", "boolean");
}

struct nrd_status *json_want_array(const struct json_node *node)
{
    return node->type == JSON_ARRAY ? NULL : refuse("array", "array");
}

struct nrd_status *json_want_object(const struct json_node *node)
{
    return node->type == JSON_OBJECT ? NULL : refuse("object", "object");
}
