// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "protocol/model_version.h"

struct nrd_status *model_version_parse(struct slice text, int64_t *version)
{
    if (text.len == 0) {
        *version = -1;
        return NULL;
    }
    // Leading blanks and a sign are passed over and what follows the digits is ignored, as std::stol does.
    size_t at = 0;
    while (at < text.len &&
           (text.ptr[at] == ' ' || (text.ptr[at] >= '\t' && text.ptr[at] <= '\r'))) {
        at++;
    }
    bool negative = at < text.len && text.ptr[at] == '-';
    at += at < text.len && (text.ptr[at] == '-' || text.ptr[at] == '+');
    size_t first = at;
    int64_t value = 0;
    bool fits = true;
    for (; at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9'; at++) {
        fits = fits && !__builtin_mul_overflow(value, 10, &value) &&
               !__builtin_add_overflow(value, text.ptr[at] - '0', &value);
    }
    if (at == first || !fits) {
        return status_new(
            NRD_INVALID_ARG,
            "failed to get model version from specified version string '%.*s' (details: "
            "stol), version should be an integral value > 0",
            (int)text.len, text.ptr);
    }
    if (negative && value != 0) {
        return status_new(
            NRD_INVALID_ARG,
            "invalid model version specified '%.*s' , version should be an integral value "
            "> 0",
            (int)text.len, text.ptr);
    }
    *version = value;
    return NULL;
}
