// SPDX-License-Identifier: Apache-2.0
// Optimization profiles: the ranges of shapes (and of shape tensors' values) that a plan was tuned
// for, and which of an instance's fits a batch best.
#ifndef NEREID_BACKENDS_TENSORRT_TRT_PROFILE_H
#define NEREID_BACKENDS_TENSORRT_TRT_PROFILE_H

#include "backends/tensorrt/trt_model.h"

enum { TRT_VALUES_MAX = 64 }; // of a shape tensor

// What a profile takes for one input: dimensions, or a shape tensor's values.
struct trt_range {
    bool known; // false: outputs
    uint32_t count;
    int64_t bounds[3][TRT_VALUES_MAX]; // by trt_select
};
struct trt_profile_ranges {
    int index;
    const char *name;         // as the configuration has it, or "default"
    struct trt_range *inputs; // by the number of the tensor
};

// The caller owns `ranges` (trt_profile_fini). Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *trt_profile_init(struct trt_profile_ranges *ranges,
                                                  const struct trt_model *m,
                                                  const struct trt_plan *plan, const char *name,
                                                  int index);
void trt_profile_fini(struct trt_profile_ranges *ranges);

// What an input has in a batch, in the same order of numbers.
struct trt_wish {
    uint32_t count;
    int64_t values[TRT_VALUES_MAX];
};
// How far `wishes` (by the number of the tensor) are from what the profile is tuned for; -1 when one
// is out of its range (trt_profile_why). Thread: any.
int64_t trt_profile_distance(const struct trt_profile_ranges *ranges, const struct trt_plan *plan,
                             const struct trt_wish *wishes);
// The error of a wish out of range. Thread: any.
NRD_MUST_USE TRITONSERVER_Error *trt_profile_why(const struct trt_profile_ranges *ranges,
                                                 const struct trt_plan *plan, const char *who,
                                                 const struct trt_wish *wishes);

#endif
