// SPDX-License-Identifier: Apache-2.0
// libtorch's data types and Triton's, for the two C++ files of this backend; and libtorch's version.
#ifndef NEREID_BACKENDS_PYTORCH_TORCH_TYPES_HH
#define NEREID_BACKENDS_PYTORCH_TORCH_TYPES_HH

#include <c10/core/ScalarType.h>
#include <torch/version.h>

#include "triton/core/tritonserver.h"

#define TORCH_AT_LEAST(major, minor)                                                               \
    (TORCH_VERSION_MAJOR > (major) ||                                                              \
     (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

struct torch_type_pair {
    TRITONSERVER_DataType triton;
    c10::ScalarType torch;
};
inline constexpr torch_type_pair torch_type_pairs[] = {
    {TRITONSERVER_TYPE_BOOL, c10::kBool},     {TRITONSERVER_TYPE_UINT8, c10::kByte},
    {TRITONSERVER_TYPE_INT8, c10::kChar},     {TRITONSERVER_TYPE_INT16, c10::kShort},
    {TRITONSERVER_TYPE_INT32, c10::kInt},     {TRITONSERVER_TYPE_INT64, c10::kLong},
    {TRITONSERVER_TYPE_FP16, c10::kHalf},     {TRITONSERVER_TYPE_FP32, c10::kFloat},
    {TRITONSERVER_TYPE_FP64, c10::kDouble},   {TRITONSERVER_TYPE_BF16, c10::kBFloat16},
#if TORCH_AT_LEAST(2, 3)
    {TRITONSERVER_TYPE_UINT16, c10::kUInt16}, {TRITONSERVER_TYPE_UINT32, c10::kUInt32},
    {TRITONSERVER_TYPE_UINT64, c10::kUInt64},
#endif
};

// False for a type that libtorch does not have. Thread: any.
inline bool torch_type(TRITONSERVER_DataType dtype, c10::ScalarType *type)
{
    for (const torch_type_pair &pair : torch_type_pairs) {
        if (pair.triton == dtype) {
            *type = pair.torch;
            return true;
        }
    }
    return false;
}

// TRITONSERVER_TYPE_INVALID for one that Triton does not have. Thread: any.
inline TRITONSERVER_DataType triton_type(c10::ScalarType type)
{
    for (const torch_type_pair &pair : torch_type_pairs) {
        if (pair.torch == type) {
            return pair.triton;
        }
    }
    return TRITONSERVER_TYPE_INVALID;
}

#endif
