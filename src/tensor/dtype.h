// SPDX-License-Identifier: Apache-2.0
// Data types: Triton's, in the numbering of TRITONSERVER_DataType, so that a cast converts. Thread: any.
#ifndef NEREID_TENSOR_DTYPE_H
#define NEREID_TENSOR_DTYPE_H

#include "base/slice.h"

enum nrd_dtype {
    NRD_DTYPE_INVALID = 0,
    NRD_DTYPE_BOOL,
    NRD_DTYPE_U8,
    NRD_DTYPE_U16,
    NRD_DTYPE_U32,
    NRD_DTYPE_U64,
    NRD_DTYPE_I8,
    NRD_DTYPE_I16,
    NRD_DTYPE_I32,
    NRD_DTYPE_I64,
    NRD_DTYPE_F16,
    NRD_DTYPE_F32,
    NRD_DTYPE_F64,
    NRD_DTYPE_BYTES, // elements of any length: in a buffer, each a 32-bit little-endian length and its bytes
    NRD_DTYPE_BF16,
};
#define NRD_DTYPE_COUNT 15

// Bytes of an element; 0 for BYTES and INVALID.
size_t dtype_size(enum nrd_dtype dtype);
// The protocol's name: "FP32", "BYTES"; "<invalid>".
const char *dtype_name(enum nrd_dtype dtype);
// The model configuration's name: "TYPE_FP32", "TYPE_STRING"; "TYPE_INVALID".
const char *dtype_config_name(enum nrd_dtype dtype);
// NRD_DTYPE_INVALID for a name that is not one. Case counts.
enum nrd_dtype dtype_from_name(struct slice name);
enum nrd_dtype dtype_from_config_name(struct slice name);

#endif
