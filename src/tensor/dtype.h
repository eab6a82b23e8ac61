// SPDX-License-Identifier: Apache-2.0
// Data types: Triton's, in the numbering of TRITONSERVER_DataType, so that a cast converts. Thread: any.
#ifndef NEREID_TENSOR_DTYPE_H
#define NEREID_TENSOR_DTYPE_H

#include "base/slice.h"
#include "nereid/types.h"

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
