// SPDX-License-Identifier: Apache-2.0
// Shapes: arrays of 64-bit dimensions, outermost first; -1 is a dimension of any size. Thread: any.
#ifndef NEREID_TENSOR_SHAPE_H
#define NEREID_TENSOR_SHAPE_H

#include "base/str.h"
#include "tensor/dtype.h"

#define SHAPE_ANY (-1)      // a dimension of any size; and the count of a shape that has one
#define SHAPE_INVALID (-2)  // the count of a shape with a dimension below -1
#define SHAPE_OVERFLOW (-3) // the count of a shape whose count does not fit

// Elements of a tensor of that shape (1 for no dimensions), or one of the three above.
int64_t shape_count(const int64_t *dims, size_t rank);
// Bytes of a tensor of that shape. False: BYTES, a dimension below 0, or more than fits.
bool shape_byte_size(enum nrd_dtype dtype, const int64_t *dims, size_t rank, size_t *bytes);
bool shape_equal(const int64_t *a, size_t a_rank, const int64_t *b, size_t b_rank);
// Equal, where a -1 on either side equals everything.
bool shape_matches(const int64_t *a, size_t a_rank, const int64_t *b, size_t b_rank);
// Appends "[-1,2]".
void shape_print(const int64_t *dims, size_t rank, struct str *out);

#endif
