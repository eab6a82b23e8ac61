// SPDX-License-Identifier: Apache-2.0
// Numbers as text.
//
// Writing uses Schubfach (R. Giulietti, "The Schubfach way to render doubles", 2020): of all decimals that round to the
// double, the shortest, and of those the closest. rapidjson's Grisu2 gives the same digits except in about one double
// of a thousand, where it is a digit longer or not the closest; there we prefer the shorter. The layout (where the
// point goes, when an exponent is used) is rapidjson's.
// Reading multiplies the digits with a 128-bit power of ten; the product's error is below one unit in its 128th bit, so
// only a remainder of exactly one half is undecided, and that goes to strtod in the C locale (D. Lemire, "Number parsing
// at a gigabyte per second", 2021, has the idea). Start at number_write_f64() and number_scale().
#include "base/number.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/number_table.h"

__extension__ typedef unsigned __int128 uint128;

static const char digit_pairs[] = "00010203040506070809101112131415161718192021222324"
                                  "25262728293031323334353637383940414243444546474849"
                                  "50515253545556575859606162636465666768697071727374"
                                  "75767778798081828384858687888990919293949596979899";

static unsigned digit_count(uint64_t value)
{
    static const uint64_t limits[20] = {0,
                                        10u,
                                        100u,
                                        1000u,
                                        10000u,
                                        100000u,
                                        1000000u,
                                        10000000u,
                                        100000000u,
                                        1000000000u,
                                        10000000000u,
                                        100000000000u,
                                        1000000000000u,
                                        10000000000000u,
                                        100000000000000u,
                                        1000000000000000u,
                                        10000000000000000u,
                                        100000000000000000u,
                                        1000000000000000000u,
                                        10000000000000000000u};
    // 1233 / 4096 is a little above log10(2): an estimate that is at most one too small.
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    unsigned guess = bits * 1233 >> 12;
    return guess + (value >= limits[guess] ? 1 : 0);
}

// Writes exactly `count` digits.
static void write_digits(char *to, uint64_t value, unsigned count)
{
    char *at = to + count;
    while (count >= 2) {
        at -= 2;
        memcpy(at, &digit_pairs[value % 100 * 2], 2);
        value /= 100;
        count -= 2;
    }
    if (count != 0) {
        at[-1] = (char)('0' + value % 10);
    }
}

size_t number_write_u64(char *to, uint64_t value)
{
    unsigned count = value == 0 ? 1 : digit_count(value);
    write_digits(to, value, count);
    return count;
}

// ---- shortest decimal ----

// floor(value / 2^bits); what a shift of a negative value does is left to the compiler by the standard.
static int floor_div_pow2(int value, unsigned bits)
{
    return value >= 0 ? value >> bits : -1 - ((-1 - value) >> bits);
}

// floor(log2(10^e)), for |e| up to 1233.
static int floor_log2_pow10(int e)
{
    return floor_div_pow2(e * 1741647, 19);
}

// The upper 64 bits of g * c / 2^64, the lowest of them set when any bit below is: "round to odd".
static uint64_t round_to_odd(uint64_t high, uint64_t low, uint64_t c)
{
    uint128 x = (uint128)low * c;
    uint128 y = (uint128)high * c + (uint64_t)(x >> 64);
    return (uint64_t)(y >> 64) | ((uint64_t)y > 1 ? 1 : 0);
}

struct decimal {
    uint64_t digits;
    int exponent;
};

// The decimal of a finite, positive double given by its bits.
static struct decimal shortest(uint64_t fraction, unsigned biased)
{
    uint64_t c = biased == 0 ? fraction : fraction | (UINT64_C(1) << 52);
    int q = (biased == 0 ? 1 : (int)biased) - 1075;
    bool even = (c & 1) == 0;
    bool closer_below = fraction == 0 && biased > 1; // the gap below is half of that above

    // The interval of what rounds to the double, times 4 and 10^-k, where 10^k is about its width.
    int k = floor_div_pow2(q * 1262611 - (closer_below ? 524031 : 0), 22);
    int h = q + floor_log2_pow10(-k) + 1;
    uint64_t high = number_pow10[-k - NUMBER_POW10_MIN].high;
    uint64_t low = number_pow10[-k - NUMBER_POW10_MIN].low;
    uint64_t below = round_to_odd(high, low, (4 * c - 2 + (closer_below ? 1 : 0)) << h);
    uint64_t middle = round_to_odd(high, low, (4 * c) << h);
    uint64_t above = round_to_odd(high, low, (4 * c + 2) << h);
    below += even ? 0 : 1; // an odd double does not own the ends of its interval
    above -= even ? 0 : 1;

    uint64_t s = middle / 4;
    if (s >= 10) {
        uint64_t tens = s / 10;
        bool down_inside = below <= 40 * tens;
        bool up_inside = 40 * tens + 40 <= above;
        if (down_inside != up_inside) {
            return (struct decimal){tens + (up_inside ? 1 : 0), k + 1};
        }
    }
    bool down_inside = below <= 4 * s;
    bool up_inside = 4 * s + 4 <= above;
    if (down_inside != up_inside) {
        return (struct decimal){s + (up_inside ? 1 : 0), k};
    }
    uint64_t half = 4 * s + 2;
    bool up = middle > half || (middle == half && (s & 1) != 0);
    return (struct decimal){s + (up ? 1 : 0), k};
}

static size_t write_exponent(char *to, int exponent)
{
    size_t at = 0;
    if (exponent < 0) {
        to[at++] = '-';
        exponent = -exponent;
    }
    return at + number_write_u64(to + at, (uint64_t)exponent);
}

// Lays `count` digits, worth digits * 10^exponent, out: plain while the point is within 21 digits, else with an exponent.
static size_t lay_out(char *to, struct decimal value)
{
    unsigned count = digit_count(value.digits);
    int point = (int)count + value.exponent; // digits before the point
    write_digits(to, value.digits, count);
    if (value.exponent >= 0 && point <= 21) {
        memset(to + count, '0', (size_t)value.exponent);
        memcpy(to + point, ".0", 2);
        return (size_t)point + 2;
    }
    if (point > 0 && point <= 21) {
        memmove(to + point + 1, to + point, (size_t)((int)count - point));
        to[point] = '.';
        return count + 1;
    }
    if (point > -6 && point <= 0) {
        size_t shift = 2 + (size_t)-point;
        memmove(to + shift, to, count);
        memset(to, '0', shift);
        to[1] = '.';
        return shift + count;
    }
    size_t at = 1;
    if (count > 1) {
        memmove(to + 2, to + 1, count - 1);
        to[1] = '.';
        at = count + 1;
    }
    to[at++] = 'e';
    return at + write_exponent(to + at, point - 1);
}

size_t number_write_f64(char *to, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    unsigned biased = (unsigned)(bits >> 52) & 0x7ff;
    size_t at = 0;
    if (biased == 0x7ff && fraction != 0) {
        memcpy(to, "NaN", 3);
        return 3;
    }
    if (bits >> 63 != 0) {
        to[at++] = '-';
        value = -value;
    }
    if (biased == 0x7ff) {
        memcpy(to + at, "Infinity", 8);
        return at + 8;
    }
    if (value < 9007199254740992.0 && value == (double)(uint64_t)value) {
        at += number_write_u64(to + at, (uint64_t)value);
        memcpy(to + at, ".0", 2);
        return at + 2;
    }
    struct decimal decimal = shortest(fraction, biased);
    while (decimal.digits % 10 == 0) {
        decimal.digits /= 10;
        decimal.exponent++;
    }
    return at + lay_out(to + at, decimal);
}

// ---- reading ----

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static double string_to_double(const char *text)
{
    pthread_once(&c_locale_once, make_c_locale);
    return c_locale == (locale_t)0 ? strtod(text, NULL) : strtod_l(text, NULL, c_locale);
}

// Reads the number's text by the C library. A double's exact boundary has at most 768 digits, so that what follows the
// first 800 significant ones can be told by one digit: is any of it not zero?
static double scale_slowly(struct slice text)
{
    enum { KEPT = 800 };
    char digits[KEPT + 32];
    size_t count = 0;
    int64_t exponent = 0;
    bool after_point = false;
    bool rest = false;
    size_t at = 0;
    for (; at < text.len; at++) {
        char c = text.ptr[at];
        if (c == '.') {
            after_point = true;
            continue;
        }
        if (c < '0' || c > '9') {
            break;
        }
        if (count < KEPT) {
            if (count != 0 || c != '0') {
                digits[count++] = c;
            }
            exponent -= after_point ? 1 : 0;
        } else {
            rest = rest || c != '0';
            exponent += after_point ? 0 : 1;
        }
    }
    if (rest) {
        digits[count++] = '1';
        exponent--;
    }
    if (count == 0) {
        return 0.0;
    }
    if (at < text.len) { // at the 'e'
        bool minus = at + 1 < text.len && text.ptr[at + 1] == '-';
        int64_t written = 0;
        for (at++; at < text.len; at++) {
            char c = text.ptr[at];
            if (c >= '0' && c <= '9' && written < INT64_C(1) << 40) {
                written = written * 10 + (c - '0');
            }
        }
        exponent += minus ? -written : written;
    }
    if (exponent > 400) {
        return (double)INFINITY;
    }
    if (exponent < -2000) {
        return 0.0;
    }
    digits[count++] = 'e';
    count += write_exponent(digits + count, (int)exponent);
    digits[count] = '\0';
    return string_to_double(digits);
}

// digits * 10^exponent where the product decides it and the result is a normal double.
static bool scale_by_product(uint64_t digits, int exponent, double *value)
{
    if (exponent < NUMBER_POW10_MIN || exponent > NUMBER_POW10_MAX) {
        return false;
    }
    unsigned shift = (unsigned)__builtin_clzll(digits);
    uint64_t w = digits << shift;
    uint64_t high = number_pow10[exponent - NUMBER_POW10_MIN].high;
    uint64_t low = number_pow10[exponent - NUMBER_POW10_MIN].low;
    uint128 x = (uint128)low * w;
    uint128 y = (uint128)high * w + (uint64_t)(x >> 64);
    // The product is y * 2^64 + the lower half of x; the true one is at most 2^64 below it, and exact tables lose nothing.
    unsigned lead = (y >> 127) != 0 ? 0 : 1;
    y <<= lead;
    uint64_t top = (uint64_t)(y >> 64);
    uint64_t significand = top >> 11;
    uint128 rest = y & (((uint128)1 << 75) - 1);
    uint128 half = (uint128)1 << 74;
    // Units of y were shifted by `lead`, so "one below" may be 2.
    if (rest >= half && rest - half <= 2) {
        return false;
    }
    // value = y * 2^(exponent of y); y has 128 bits
    int power = floor_log2_pow10(exponent) + 64 - (int)shift - (int)lead; // of bit 127 of y
    significand += rest > half ? 1 : 0;
    if (significand == UINT64_C(1) << 53) {
        significand >>= 1;
        power++;
    }
    if (power < -1022 || power > 1023) {
        return false;
    }
    uint64_t bits = (significand & ((UINT64_C(1) << 52) - 1)) | ((uint64_t)(power + 1023) << 52);
    memcpy(value, &bits, sizeof(bits));
    return true;
}

double number_scale(uint64_t digits, int64_t exponent, bool truncated, struct slice text)
{
    static const double exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (!truncated) {
        if (digits == 0) {
            return 0.0;
        }
        // Both factors are exact doubles, so that one rounding is the right one.
        if (digits <= UINT64_C(1) << 53 && exponent >= -22 && exponent <= 22) {
            double value = (double)digits;
            return exponent < 0 ? value / exact[-exponent] : value * exact[exponent];
        }
    }
    if (digits != 0 && exponent >= NUMBER_POW10_MIN && exponent <= NUMBER_POW10_MAX) {
        double value;
        double next;
        if (scale_by_product(digits, (int)exponent, &value)) {
            if (!truncated) {
                return value;
            }
            // The true digits lie between these and one more: when both round alike, so does what is between.
            if (digits != UINT64_MAX && scale_by_product(digits + 1, (int)exponent, &next) &&
                memcmp(&value, &next, sizeof(value)) == 0) {
                return value;
            }
        }
    }
    return scale_slowly(text);
}

static bool word_is(struct slice text, const char *word)
{
    return slice_equal_nocase(text, slice_of(word));
}

bool number_read_f64(struct slice text, double *value)
{
    bool minus = text.len > 0 && text.ptr[0] == '-';
    if (minus || (text.len > 0 && text.ptr[0] == '+')) {
        text.ptr++;
        text.len--;
    }
    if (word_is(text, "inf") || word_is(text, "infinity") || word_is(text, "nan")) {
        double word = word_is(text, "nan") ? (double)NAN : (double)INFINITY;
        *value = minus ? -word : word;
        return true;
    }
    uint64_t digits = 0;
    int64_t exponent = 0;
    bool any = false;
    bool truncated = false;
    bool after_point = false;
    size_t at = 0;
    for (; at < text.len; at++) {
        char c = text.ptr[at];
        if (c == '.' && !after_point) {
            after_point = true;
            continue;
        }
        if (c < '0' || c > '9') {
            break;
        }
        any = true;
        if (digits < UINT64_C(1000000000000000000)) {
            digits = digits * 10 + (uint64_t)(c - '0');
            exponent -= after_point ? 1 : 0;
        } else {
            truncated = truncated || c != '0';
            exponent += after_point ? 0 : 1;
        }
    }
    if (!any) {
        return false;
    }
    if (at < text.len) {
        if (text.ptr[at] != 'e' && text.ptr[at] != 'E') {
            return false;
        }
        at++;
        bool below = at < text.len && text.ptr[at] == '-';
        at += below || (at < text.len && text.ptr[at] == '+') ? 1 : 0;
        if (at == text.len) {
            return false;
        }
        int64_t written = 0;
        for (; at < text.len; at++) {
            if (text.ptr[at] < '0' || text.ptr[at] > '9') {
                return false;
            }
            if (written < INT64_C(1) << 40) {
                written = written * 10 + (text.ptr[at] - '0');
            }
        }
        exponent += below ? -written : written;
    }
    double magnitude = number_scale(digits, exponent, truncated, text);
    *value = minus ? -magnitude : magnitude;
    return true;
}
