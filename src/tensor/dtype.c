// SPDX-License-Identifier: Apache-2.0
// Data types: one table. The configuration's names are the protocol's with "TYPE_" before, but for TYPE_STRING.
#include "tensor/dtype.h"

static const struct {
    const char *name;
    const char *config_name;
    size_t size;
} dtypes[NRD_DTYPE_COUNT] = {
    [NRD_DTYPE_INVALID] = {"<invalid>", "TYPE_INVALID", 0},
    [NRD_DTYPE_BOOL] = {"BOOL", "TYPE_BOOL", 1},
    [NRD_DTYPE_U8] = {"UINT8", "TYPE_UINT8", 1},
    [NRD_DTYPE_U16] = {"UINT16", "TYPE_UINT16", 2},
    [NRD_DTYPE_U32] = {"UINT32", "TYPE_UINT32", 4},
    [NRD_DTYPE_U64] = {"UINT64", "TYPE_UINT64", 8},
    [NRD_DTYPE_I8] = {"INT8", "TYPE_INT8", 1},
    [NRD_DTYPE_I16] = {"INT16", "TYPE_INT16", 2},
    [NRD_DTYPE_I32] = {"INT32", "TYPE_INT32", 4},
    [NRD_DTYPE_I64] = {"INT64", "TYPE_INT64", 8},
    [NRD_DTYPE_F16] = {"FP16", "TYPE_FP16", 2},
    [NRD_DTYPE_F32] = {"FP32", "TYPE_FP32", 4},
    [NRD_DTYPE_F64] = {"FP64", "TYPE_FP64", 8},
    [NRD_DTYPE_BYTES] = {"BYTES", "TYPE_STRING", 0},
    [NRD_DTYPE_BF16] = {"BF16", "TYPE_BF16", 2},
};

static enum nrd_dtype known(enum nrd_dtype dtype)
{
    return (unsigned)dtype < NRD_DTYPE_COUNT ? dtype : NRD_DTYPE_INVALID;
}

size_t dtype_size(enum nrd_dtype dtype)
{
    return dtypes[known(dtype)].size;
}

const char *dtype_name(enum nrd_dtype dtype)
{
    return dtypes[known(dtype)].name;
}

const char *dtype_config_name(enum nrd_dtype dtype)
{
    return dtypes[known(dtype)].config_name;
}

enum nrd_dtype dtype_from_name(struct slice name)
{
    for (unsigned i = 1; i < NRD_DTYPE_COUNT; i++) {
        if (slice_is(name, dtypes[i].name)) {
            return (enum nrd_dtype)i;
        }
    }
    return NRD_DTYPE_INVALID;
}

enum nrd_dtype dtype_from_config_name(struct slice name)
{
    for (unsigned i = 1; i < NRD_DTYPE_COUNT; i++) {
        if (slice_is(name, dtypes[i].config_name)) {
            return (enum nrd_dtype)i;
        }
    }
    return NRD_DTYPE_INVALID;
}
