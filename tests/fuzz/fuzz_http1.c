// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1: a head is found at the same place whatever the pieces it comes in, parsing stays inside of it, and a chunked body
// decodes to the same bytes in one piece and in many. The first byte chooses the size of the pieces.
#include <stdint.h>
#include <stdlib.h>

#include "base/str.h"
#include "net/http1_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth) {
        abort();
    }
}

static bool inside(struct slice part, struct slice whole)
{
    return part.ptr == NULL || part.len == 0 ||
           (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static int decode(struct slice text, size_t step, struct str *out)
{
    struct http1_chunked d = {0};
    int result = 0;
    while (text.len > 0 && result == 0) {
        size_t len = step < text.len ? step : text.len;
        struct slice in = slice_make(text.ptr, len);
        while ((result = http1_chunked_next(&d, &in)) == 1) {
            size_t take = in.len < d.left ? in.len : (size_t)d.left;
            if (take == 0) {
                result = 0;
                break;
            }
            str_append(out, in.ptr, take);
            in = slice_make(in.ptr + take, in.len - take);
            http1_chunked_taken(&d, take);
        }
        text = slice_make(text.ptr + (len - in.len), text.len - (len - in.len));
        require(result != 0 || in.len == 0);
    }
    return result;
}

static void check_head(struct slice text, size_t step)
{
    size_t scanned = 0;
    size_t whole = http1_head_length(text, &scanned);
    size_t piecewise = 0;
    scanned = 0;
    for (size_t len = step; piecewise == 0; len += step) {
        len = len < text.len ? len : text.len;
        piecewise = http1_head_length(slice_make(text.ptr, len), &scanned);
        if (len == text.len) {
            break;
        }
    }
    require(whole == piecewise && whole <= text.len);
    if (whole == 0) {
        return;
    }
    struct http1_head head;
    const char *reason = NULL;
    struct slice own = slice_make(text.ptr, whole);
    int refusal = http1_head_parse(own, &head, &reason);
    if (refusal != 0) {
        require(refusal >= 400 && refusal < 600 && reason != NULL);
        return;
    }
    require(inside(head.method_text, own) && inside(head.query, own));
    require(!(head.chunked && head.has_length));
    for (unsigned i = 0; i < head.header_count; i++) {
        require(head.headers[i].name.len > 0);
        require(inside(head.headers[i].name, own) && inside(head.headers[i].value, own));
        require(memchr(head.headers[i].value.ptr, '\n', head.headers[i].value.len) == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    size_t step = 1 + data[0] % 31;
    struct slice text = slice_make(data + 1, size - 1);
    check_head(text, step);
    struct str once = STR_INIT;
    struct str pieces = STR_INIT;
    int a = decode(text, text.len, &once);
    int b = decode(text, step, &pieces);
    require(a == b);
    require(a == -1 || slice_equal(str_slice(&once), str_slice(&pieces)));
    str_fini(&once);
    str_fini(&pieces);
    return 0;
}
