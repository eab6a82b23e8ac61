// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 parsing. A head is parsed once, when it is complete; until then only line ends are looked for (memchr).
#include "net/http1_parse.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define MAX_EXTENSION 4096
#define MAX_TRAILER 16384
#define MAX_SIZE_DIGITS 15

// RFC 9110 5.6.2: what a method or a header name is made of.
static const bool token_char[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
    ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,  ['~'] = 1, ['0'] = 1,
    ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1,  ['7'] = 1, ['8'] = 1,
    ['9'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1,  ['f'] = 1, ['g'] = 1,
    ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1,  ['n'] = 1, ['o'] = 1,
    ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1, ['u'] = 1,  ['v'] = 1, ['w'] = 1,
    ['x'] = 1, ['y'] = 1, ['z'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1,  ['D'] = 1, ['E'] = 1,
    ['F'] = 1, ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1,  ['L'] = 1, ['M'] = 1,
    ['N'] = 1, ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1,  ['T'] = 1, ['U'] = 1,
    ['V'] = 1, ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1,
};

size_t http1_head_length(struct slice bytes, size_t *scanned)
{
    size_t at = *scanned;
    while (at < bytes.len) {
        const char *lf = memchr(bytes.ptr + at, '\n', bytes.len - at);
        if (lf == NULL) {
            *scanned = bytes.len;
            return 0;
        }
        size_t i = (size_t)(lf - bytes.ptr);
        at = i + 1;
        // A bare LF pair ends the head too: the parser then refuses it, instead of waiting for ever.
        bool crlf = i >= 3 && bytes.ptr[i - 1] == '\r' && bytes.ptr[i - 2] == '\n';
        bool bare = i >= 1 && bytes.ptr[i - 1] == '\n';
        if (crlf || bare) {
            return at;
        }
    }
    *scanned = bytes.len;
    return 0;
}

// Control characters other than tab have no place in a line.
static bool has_control(const char *ptr, size_t len)
{
    size_t i = 0;
#ifdef __SSE2__
    const __m128i tab = _mm_set1_epi8('\t');
    const __m128i del = _mm_set1_epi8(0x7f);
    const __m128i low = _mm_set1_epi8(0x1f);
    for (; i + 16 <= len; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(ptr + i));
        __m128i is_low = _mm_cmpeq_epi8(_mm_min_epu8(v, low), v);
        __m128i bad =
            _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(v, tab), is_low), _mm_cmpeq_epi8(v, del));
        if (_mm_movemask_epi8(bad) != 0) {
            return true;
        }
    }
#endif
    for (; i < len; i++) {
        unsigned char c = (unsigned char)ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return true;
        }
    }
    return false;
}

static enum http1_method method_of(struct slice text)
{
    if (slice_equal(text, SLICE("GET"))) {
        return HTTP1_GET;
    }
    if (slice_equal(text, SLICE("POST"))) {
        return HTTP1_POST;
    }
    return slice_equal(text, SLICE("HEAD")) ? HTTP1_HEAD : HTTP1_OTHER;
}

// Cuts the absolute form's scheme and authority off, and the query.
static void set_target(struct http1_head *out, struct slice target)
{
    if (target.len > 0 && target.ptr[0] != '/') {
        const char *colon = memchr(target.ptr, ':', target.len);
        size_t at = colon == NULL ? target.len : (size_t)(colon - target.ptr);
        if (at + 3 <= target.len && colon != NULL && colon[1] == '/' && colon[2] == '/') {
            const char *slash = memchr(colon + 3, '/', target.len - at - 3);
            if (slash == NULL) {
                target = SLICE("/");
            } else {
                target = slice_make(slash, target.len - (size_t)(slash - target.ptr));
            }
        }
    }
    const char *mark = memchr(target.ptr, '?', target.len);
    out->path = target;
    out->query = (struct slice){NULL, 0};
    if (mark != NULL) {
        out->path.len = (size_t)(mark - target.ptr);
        out->query = slice_make(mark + 1, target.len - out->path.len - 1);
    }
}

bool http1_may_begin(char first)
{
    return token_char[(unsigned char)first];
}

static int parse_request_line(struct slice line, struct http1_head *out, const char **reason)
{
    size_t i = 0;
    while (i < line.len && token_char[(unsigned char)line.ptr[i]]) {
        i++;
    }
    out->method_text = slice_make(line.ptr, i);
    if (i == 0 || i >= line.len || line.ptr[i] != ' ') {
        *reason = "malformed request line";
        return 400;
    }
    size_t start = i + 1;
    const char *blank = memchr(line.ptr + start, ' ', line.len - start);
    if (blank == NULL || blank == line.ptr + start) {
        *reason = "malformed request line";
        return 400;
    }
    size_t end = (size_t)(blank - line.ptr);
    struct slice version = slice_make(blank + 1, line.len - end - 1);
    if (memchr(line.ptr, '\t', line.len) != NULL || has_control(line.ptr, line.len) ||
        version.len != 8 || memcmp(version.ptr, "HTTP/", 5) != 0 || version.ptr[6] != '.' ||
        version.ptr[5] < '0' || version.ptr[5] > '9' || version.ptr[7] < '0' ||
        version.ptr[7] > '9') {
        *reason = "malformed request line";
        return 400;
    }
    if (version.ptr[5] != '1') {
        *reason = "HTTP version not supported";
        return 505;
    }
    out->minor = version.ptr[7] == '0' ? 0 : 1;
    out->method = method_of(out->method_text);
    set_target(out, slice_make(line.ptr + start, end - start));
    return 0;
}

static int take_length(struct http1_head *out, struct slice value, const char **reason)
{
    uint64_t length = 0;
    bool fits = value.len > 0;
    for (size_t i = 0; i < value.len && fits; i++) {
        unsigned digit = (unsigned char)value.ptr[i] - (unsigned)'0';
        fits = digit <= 9 && length <= (UINT64_MAX - digit) / 10;
        length = length * 10 + digit;
    }
    if (!fits) {
        *reason = "malformed Content-Length";
        return 400;
    }
    if (out->has_length && out->length != length) {
        *reason = "several Content-Length headers that differ";
        return 400;
    }
    out->has_length = true;
    out->length = length;
    return 0;
}

static void take_connection(struct http1_head *out, struct slice value)
{
    struct slice part;
    while (slice_cut(&value, ',', &part)) {
        part = slice_trim(part);
        if (slice_equal_nocase(part, SLICE("close"))) {
            out->keep_alive = false;
        } else if (out->minor == 0 && slice_equal_nocase(part, SLICE("keep-alive"))) {
            out->keep_alive = true;
        }
    }
}

// What the connection itself must know.
static int take_header(struct http1_head *out, const struct http1_header *header,
                       const char **reason)
{
    struct slice name = header->name;
    switch (name.len) {
    case 6:
        if (slice_equal_nocase(name, SLICE("Expect"))) {
            out->expect_continue = slice_equal_nocase(header->value, SLICE("100-continue"));
        }
        return 0;
    case 10:
        if (slice_equal_nocase(name, SLICE("Connection"))) {
            take_connection(out, header->value);
        }
        return 0;
    case 14:
        if (slice_equal_nocase(name, SLICE("Content-Length"))) {
            return take_length(out, header->value, reason);
        }
        return 0;
    case 17:
        if (!slice_equal_nocase(name, SLICE("Transfer-Encoding"))) {
            return 0;
        }
        if (out->chunked || !slice_equal_nocase(header->value, SLICE("chunked"))) {
            *reason = "Transfer-Encoding other than 'chunked' is not supported";
            return 501;
        }
        out->chunked = true;
        return 0;
    default:
        return 0;
    }
}

static int parse_header_line(struct slice line, struct http1_head *out, const char **reason)
{
    size_t i = 0;
    while (i < line.len && token_char[(unsigned char)line.ptr[i]]) {
        i++;
    }
    if (i == 0 || i >= line.len || line.ptr[i] != ':') {
        *reason = "malformed header line";
        return 400;
    }
    struct slice value = slice_trim(slice_make(line.ptr + i + 1, line.len - i - 1));
    if (has_control(value.ptr, value.len)) {
        *reason = "control character in a header value";
        return 400;
    }
    if (out->header_count == HTTP1_MAX_HEADERS) {
        *reason = "too many headers";
        return 431;
    }
    struct http1_header *header = &out->headers[out->header_count++];
    header->name = slice_make(line.ptr, i);
    header->value = value;
    return take_header(out, header, reason);
}

// Parses the lines of a head, the first by `first_line`.
static int parse_lines(struct slice head, struct http1_head *out, const char **reason,
                       int (*first_line)(struct slice line, struct http1_head *out,
                                         const char **reason))
{
    out->keep_alive = false;
    out->chunked = false;
    out->has_length = false;
    out->expect_continue = false;
    out->length = 0;
    out->header_count = 0;
    bool first = true;
    while (head.len > 0) {
        const char *lf = memchr(head.ptr, '\n', head.len);
        size_t len = lf == NULL ? head.len : (size_t)(lf - head.ptr);
        if (lf == NULL || len == 0 || head.ptr[len - 1] != '\r') {
            *reason = "line without CRLF";
            return 400;
        }
        struct slice line = slice_make(head.ptr, len - 1);
        head = slice_make(lf + 1, head.len - len - 1);
        int refusal;
        if (first) {
            refusal = first_line(line, out, reason);
            out->keep_alive = out->minor == 1;
            first = false;
        } else if (line.len == 0) {
            break;
        } else {
            refusal = parse_header_line(line, out, reason);
        }
        if (refusal != 0) {
            return refusal;
        }
    }
    if (first) {
        *reason = "empty head";
        return 400;
    }
    if (out->chunked && (out->has_length || out->minor == 0)) {
        *reason = out->has_length ? "both Content-Length and Transfer-Encoding"
                                  : "Transfer-Encoding in an HTTP/1.0 message";
        return 400;
    }
    return 0;
}

int http1_head_parse(struct slice head, struct http1_head *out, const char **reason)
{
    return parse_lines(head, out, reason, parse_request_line);
}

// HTTP/1.x, a blank, three digits, and a phrase behind a blank or nothing (RFC 9112 section 4).
static int parse_status_line(struct slice line, struct http1_head *out, const char **reason)
{
    *reason = "malformed status line";
    if (line.len < 12 || memcmp(line.ptr, "HTTP/1.", 7) != 0 || line.ptr[8] != ' ' ||
        (line.len > 12 && line.ptr[12] != ' ') || has_control(line.ptr, line.len)) {
        return 400;
    }
    unsigned status = 0;
    for (unsigned i = 9; i < 12; i++) {
        unsigned digit = (unsigned char)line.ptr[i] - (unsigned)'0';
        if (digit > 9) {
            return 400;
        }
        status = status * 10 + digit;
    }
    if ((line.ptr[7] != '0' && line.ptr[7] != '1') || status < 100) {
        return 400;
    }
    out->minor = line.ptr[7] == '0' ? 0 : 1;
    out->status = status;
    out->phrase = slice_trim(slice_make(line.ptr + 12, line.len - 12));
    return 0;
}

bool http1_response_parse(struct slice head, struct http1_head *out, const char **reason)
{
    return parse_lines(head, out, reason, parse_status_line) == 0;
}

struct slice http1_find(const struct http1_header *headers, unsigned count, struct slice name)
{
    for (unsigned i = 0; i < count; i++) {
        // Length and first letter tell nearly all apart.
        if (headers[i].name.len == name.len && name.len > 0 &&
            ((headers[i].name.ptr[0] ^ name.ptr[0]) & ~0x20) == 0 &&
            slice_equal_nocase(headers[i].name, name)) {
            return headers[i].value;
        }
    }
    return (struct slice){NULL, 0};
}

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// One byte of the size line. False: malformed.
static bool size_byte(struct http1_chunked *d, unsigned char c)
{
    int digit = hex_value(c);
    if (digit >= 0) {
        if (++d->digits > MAX_SIZE_DIGITS) {
            return false;
        }
        d->left = d->left << 4 | (unsigned)digit;
        return true;
    }
    if (d->digits == 0) {
        return false;
    }
    d->line = 0;
    if (c == '\r') {
        d->state = HTTP1_CHUNK_SIZE_LF;
        return true;
    }
    d->state = HTTP1_CHUNK_EXTENSION;
    return c == ';' || c == ' ' || c == '\t';
}

static bool extension_byte(struct http1_chunked *d, unsigned char c)
{
    if (c == '\r') {
        d->state = HTTP1_CHUNK_SIZE_LF;
        return true;
    }
    return (c >= 0x20 || c == '\t') && c != 0x7f && ++d->line <= MAX_EXTENSION;
}

static bool size_line_end(struct http1_chunked *d, unsigned char c)
{
    d->digits = 0;
    if (d->left > 0) {
        d->state = HTTP1_CHUNK_DATA;
        d->chunks++;
    } else {
        // The CRLF that ended this line counts as the first half of the end.
        d->state = HTTP1_CHUNK_TRAILER;
        d->trailer_end = 2;
        d->line = 0;
    }
    return c == '\n';
}

// Trailer fields are passed over; the body ends at an empty line.
static bool trailer_byte(struct http1_chunked *d, unsigned char c)
{
    static const char end[] = "\r\n\r\n";
    if (c == (unsigned char)end[d->trailer_end]) {
        if (++d->trailer_end == 4) {
            d->state = HTTP1_CHUNK_DONE;
        }
    } else if (c == '\n' || c == '\0' || d->trailer_end == 1 || d->trailer_end == 3) {
        return false;
    } else {
        d->trailer_end = c == '\r' ? 1 : 0;
    }
    return ++d->line <= MAX_TRAILER;
}

static bool framing_byte(struct http1_chunked *d, unsigned char c)
{
    switch (d->state) {
    case HTTP1_CHUNK_SIZE:
        return size_byte(d, c);
    case HTTP1_CHUNK_EXTENSION:
        return extension_byte(d, c);
    case HTTP1_CHUNK_SIZE_LF:
        return size_line_end(d, c);
    case HTTP1_CHUNK_DATA_CR:
        d->state = HTTP1_CHUNK_DATA_LF;
        return c == '\r';
    case HTTP1_CHUNK_DATA_LF:
        d->state = HTTP1_CHUNK_SIZE;
        return c == '\n';
    case HTTP1_CHUNK_TRAILER:
        return trailer_byte(d, c);
    case HTTP1_CHUNK_DATA:
    case HTTP1_CHUNK_DONE:
        break;
    }
    return false;
}

int http1_chunked_next(struct http1_chunked *d, struct slice *in)
{
    for (;;) {
        if (d->state == HTTP1_CHUNK_DATA) {
            return 1;
        }
        if (d->state == HTTP1_CHUNK_DONE) {
            return 2;
        }
        if (in->len == 0) {
            return 0;
        }
        unsigned char c = (unsigned char)in->ptr[0];
        in->ptr++;
        in->len--;
        if (!framing_byte(d, c)) {
            return -1;
        }
    }
}

void http1_chunked_taken(struct http1_chunked *d, uint64_t count)
{
    d->left -= count;
    if (d->left == 0) {
        d->state = HTTP1_CHUNK_DATA_CR;
    }
}
