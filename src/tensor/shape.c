// SPDX-License-Identifier: Apache-2.0
// Shapes: products are checked; nothing else can go wrong.
#include "tensor/shape.h"

int64_t shape_count(const int64_t *dims, size_t rank)
{
    int64_t count = 1;
    bool any = false;
    bool zero = false;
    bool overflow = false;
    for (size_t i = 0; i < rank; i++) {
        if (dims[i] < SHAPE_ANY) {
            return SHAPE_INVALID;
        }
        any = any || dims[i] == SHAPE_ANY;
        zero = zero || dims[i] == 0;
        // A later zero makes up for an overflow, and a later -1 hides it.
        if (dims[i] > 0 && !overflow) {
            overflow = __builtin_mul_overflow(count, dims[i], &count);
        }
    }
    if (any) {
        return SHAPE_ANY;
    }
    if (zero) {
        return 0;
    }
    return overflow ? SHAPE_OVERFLOW : count;
}

bool shape_byte_size(enum nrd_dtype dtype, const int64_t *dims, size_t rank, size_t *bytes)
{
    int64_t count = shape_count(dims, rank);
    size_t size = dtype_size(dtype);
    size_t product;
    if (count < 0 || size == 0 || __builtin_mul_overflow((size_t)count, size, &product)) {
        return false;
    }
    *bytes = product;
    return true;
}

bool shape_equal(const int64_t *a, size_t a_rank, const int64_t *b, size_t b_rank)
{
    return a_rank == b_rank && (a_rank == 0 || memcmp(a, b, a_rank * sizeof(*a)) == 0);
}

bool shape_matches(const int64_t *a, size_t a_rank, const int64_t *b, size_t b_rank)
{
    if (a_rank != b_rank) {
        return false;
    }
    for (size_t i = 0; i < a_rank; i++) {
        if (a[i] != b[i] && a[i] != SHAPE_ANY && b[i] != SHAPE_ANY) {
            return false;
        }
    }
    return true;
}

void shape_print(const int64_t *dims, size_t rank, struct str *out)
{
    str_append_char(out, '[');
    for (size_t i = 0; i < rank; i++) {
        if (i != 0) {
            str_append_char(out, ',');
        }
        str_append_i64(out, dims[i]);
    }
    str_append_char(out, ']');
}
