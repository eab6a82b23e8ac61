// SPDX-License-Identifier: Apache-2.0
// Numbers with units: "20ms", "10Hz", "16MB". The units are those of Holoscan's parameters: MB is 2^20 bytes there.
#include <math.h>
#include <string.h>

#include "base/slice.h"
#include "graph/param.h"

struct unit {
    const char *name;
    double factor;
};

static const struct unit times[] = {
    {"ns", 1},   {"us", 1e3},   {"\xc2\xb5s", 1e3}, {"ms", 1e6}, {"s", 1e9},
    {"m", 60e9}, {"min", 60e9}, {"h", 3600e9},      {NULL, 0},
};
static const struct unit sizes[] = {
    {"", 1},
    {"B", 1},
    {"K", 1024},
    {"KB", 1024},
    {"KiB", 1024},
    {"M", 1048576},
    {"MB", 1048576},
    {"MiB", 1048576},
    {"G", 1073741824},
    {"GB", 1073741824},
    {"GiB", 1073741824},
    {"T", 1099511627776},
    {"TB", 1099511627776},
    {"TiB", 1099511627776},
    {NULL, 0},
};

// Splits "20 ms" into its number and its unit (spaces between are fine).
static bool split(const char *text, double *number, struct slice *unit)
{
    struct slice all = slice_trim(slice_of(text));
    size_t end = 0;
    while (end < all.len && strchr("+-.0123456789eE", all.ptr[end]) != NULL) {
        end++;
    }
    while (end > 0 && (all.ptr[end - 1] == 'e' || all.ptr[end - 1] == 'E')) {
        end--; // "1e" is no number: the letter belongs to the unit
    }
    *unit = slice_trim(slice_make(all.ptr + end, all.len - end));
    return end > 0 && slice_to_f64(slice_make(all.ptr, end), number) && isfinite(*number);
}

static bool nocase(struct slice unit, const char *name)
{
    return slice_equal_nocase(unit, slice_of(name));
}

bool param_read_duration(const char *text, const char *unit, int64_t *ns)
{
    double number;
    struct slice written;
    if (!split(text, &number, &written)) {
        return false;
    }
    if (nocase(written, "hz") || nocase(written, "khz")) {
        double rate = number * (nocase(written, "khz") ? 1e3 : 1);
        if (!(rate > 0) || 1e9 / rate > 9.2e18) {
            return false;
        }
        *ns = (int64_t)llround(1e9 / rate);
        return true;
    }
    if (written.len == 0) {
        written = slice_of(unit == NULL ? "ns" : unit);
    }
    for (const struct unit *u = times; u->name != NULL; u++) {
        if (slice_is(written, u->name)) {
            double value = number * u->factor;
            if (fabs(value) > 9.2e18) {
                return false;
            }
            *ns = (int64_t)llround(value);
            return true;
        }
    }
    return false;
}

bool param_read_bytes(const char *text, uint64_t *bytes)
{
    double number;
    struct slice written;
    if (slice_to_u64(slice_of(text), bytes)) {
        return true;
    }
    if (!split(text, &number, &written) || number < 0) {
        return false;
    }
    for (const struct unit *u = sizes; u->name != NULL; u++) {
        if (nocase(written, u->name)) {
            double value = number * u->factor;
            if (value > 1.8e19) {
                return false;
            }
            *bytes = (uint64_t)value;
            return true;
        }
    }
    return false;
}
