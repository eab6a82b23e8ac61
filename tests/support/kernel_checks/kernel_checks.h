// SPDX-License-Identifier: Apache-2.0
// Kernel checks: each kernel of src/gpu/kernels against src/image on random pictures of odd sizes, strides and alignments.
// The same checks run on the fake driver (tests/unit/gpu/test_kernels.c) and on real GPUs (tests/gpu).
#ifndef NEREID_TESTS_KERNEL_CHECKS_H
#define NEREID_TESTS_KERNEL_CHECKS_H

#include "gpu/kernels/kernels.h"

struct kernel_check {
    struct gpu_device *device;
    struct gpu_stream *stream;
    uint32_t seed;
    unsigned cases;     // to run; larger pictures come last
    uint32_t max_width; // of random pictures
    uint32_t max_height;
    char message[512]; // of the first failure
};

// False: `message` says what differed. Bytes around the pictures are checked too.
bool kernel_check_convert(struct kernel_check *check); // to the bit
bool kernel_check_resize(
    struct kernel_check
        *check); // nearest to the bit; linear 1 of integers, 2e-4 of a float's range
bool kernel_check_yuv(struct kernel_check *check);      // to the bit, both ways
bool kernel_check_demosaic(struct kernel_check *check); // to the bit
bool kernel_check_classes(
    struct kernel_check *check);                     // maps to the bit; softmax 1e-5, sigmoid 1e-6
bool kernel_check_blend(struct kernel_check *check); // to the bit
bool kernel_check_refusals(
    struct kernel_check *check); // wrong arguments are named and reach no GPU

#endif
