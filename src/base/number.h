// SPDX-License-Identifier: Apache-2.0
// Numbers as text, exactly: the shortest form that reads back, and reading that rounds correctly.
// Used by str, slice and json; others go through those. Thread: any.
#ifndef NEREID_BASE_NUMBER_H
#define NEREID_BASE_NUMBER_H

#include "base/slice.h"

// Bytes that the writers below may write (no NUL is written).
#define NUMBER_U64_MAX 20
#define NUMBER_F64_MAX 32

size_t number_write_u64(char *to, uint64_t value);
// The form is described at str_append_f64.
size_t number_write_f64(char *to, double value);

// digits * 10^exponent as the nearest double (half to even); infinity when too large. `text` is the number's
// own text without its sign, looked at only when `truncated` (more digits than `digits` holds) or in rare close calls.
double number_scale(uint64_t digits, int64_t exponent, bool truncated, struct slice text);
// Whole text: [+-] digits [. digits] [e [+-] digits], inf, infinity or nan in any case. Digits on one side of the point
// are enough. False on anything else.
bool number_read_f64(struct slice text, double *value);

#endif
