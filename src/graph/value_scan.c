// SPDX-License-Identifier: Apache-2.0
// What a plain scalar is. The spellings are YAML 1.1's as yaml-cpp reads them, which is what Holoscan's users have written:
// y, yes, on and true in lower, Capitalised and UPPER case; 0x1F, 0o17 and 017; .inf and .nan; no sexagesimals, no underscores.
#include <math.h>

#include "graph/value.h"

static bool lower_equal(const char *text, const char *lower)
{
    for (; *text != '\0' && *lower != '\0'; text++, lower++) {
        char c = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
        if (c != *lower) {
            return false;
        }
    }
    return *text == *lower;
}

// lower, Capitalised or UPPER, nothing between.
static bool even_case(const char *text)
{
    size_t upper = 0;
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        upper += text[i] >= 'A' && text[i] <= 'Z';
    }
    return upper == 0 || upper == length || (upper == 1 && text[0] >= 'A' && text[0] <= 'Z');
}

static bool scan_bool(const char *text, bool *truth)
{
    static const char *const words[2][4] = {{"n", "no", "off", "false"},
                                            {"y", "yes", "on", "true"}};
    for (int value = 0; value < 2; value++) {
        for (int i = 0; i < 4; i++) {
            if (lower_equal(text, words[value][i]) && even_case(text)) {
                *truth = value == 1;
                return true;
            }
        }
    }
    return false;
}

// Digits of base 8 or 16, all of them; false when there are none or they do not fit.
static bool scan_digits(const char *digits, unsigned base, uint64_t *value)
{
    uint64_t sum = 0;
    if (*digits == '\0') {
        return false;
    }
    for (; *digits != '\0'; digits++) {
        char c = *digits;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : base;
        if (digit >= base || sum > (UINT64_MAX - digit) / base) {
            return false;
        }
        sum = sum * base + digit;
    }
    *value = sum;
    return true;
}

static bool scan_int(const char *text, int64_t *value)
{
    bool negative = text[0] == '-';
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    uint64_t sum = 0;
    if (digits[0] == '0' && digits[1] != '\0') {
        bool hex = digits[1] == 'x' || digits[1] == 'X';
        bool octal = digits[1] == 'o';
        if (!scan_digits(digits + (hex || octal ? 2 : 1), hex ? 16 : 8, &sum) ||
            sum > (uint64_t)INT64_MAX) {
            return false;
        }
        *value = negative ? -(int64_t)sum : (int64_t)sum;
        return true;
    }
    return slice_to_i64(slice_of(text), value);
}

static bool scan_real(const char *text, double *value)
{
    bool negative = text[0] == '-';
    const char *rest = text + (text[0] == '-' || text[0] == '+');
    if (lower_equal(rest, ".inf") && even_case(rest + 1)) {
        *value = negative ? -INFINITY : INFINITY;
        return true;
    }
    if (lower_equal(text, ".nan")) {
        *value = NAN;
        return true;
    }
    bool begins = (rest[0] >= '0' && rest[0] <= '9') ||
                  (rest[0] == '.' && rest[1] >= '0' && rest[1] <= '9'); // not the words inf and nan
    return begins && slice_to_f64(slice_of(text), value);
}

void value_scan(const char *text, struct value_scalar *out)
{
    *out = (struct value_scalar){.kind = NRD_VALUE_STRING};
    if (text[0] == '\0' || strcmp(text, "~") == 0 ||
        (lower_equal(text, "null") && even_case(text))) {
        out->kind = NRD_VALUE_NULL;
    } else if (scan_bool(text, &out->truth)) {
        out->kind = NRD_VALUE_BOOL;
    } else if (scan_int(text, &out->integer)) {
        out->kind = NRD_VALUE_INT;
    } else if (scan_real(text, &out->real)) {
        out->kind = NRD_VALUE_REAL;
    }
}
