// SPDX-License-Identifier: Apache-2.0
// Units: what of this folder's CUDA is compiled together, and the texts and binaries that the program carries of it.
//
// The text of every unit is in the program, and is compiled by NVRTC at first use (kept on disk). Where the build found nvcc,
// each unit is there as PTX too (compressed; for compute capability 7.5 and up), which the driver finishes without NVRTC.
// The unit convert_A_B is convert.cu for the types A and B; others are the file of their name. The Makefile reads the
// names of GPU_KERNEL_UNITS below.
#ifndef NEREID_GPU_KERNELS_UNITS_H
#define NEREID_GPU_KERNELS_UNITS_H

#include <stddef.h>

// clang-format off
#define GPU_KERNEL_UNITS(U) \
    U(convert_u8_u8) U(convert_u8_f32) U(convert_f32_u8) U(convert_f32_f32) \
    U(convert_u16_u8) U(convert_u16_u16) U(convert_u16_f32) \
    U(yuv) U(demosaic) U(classes) U(blend)
// clang-format on

enum gpu_kernel_unit {
#define GPU_KERNEL_UNIT_ENUM(name) GPU_UNIT_##name,
    GPU_KERNEL_UNITS(GPU_KERNEL_UNIT_ENUM)
#undef GPU_KERNEL_UNIT_ENUM
        GPU_UNIT_COUNT
};

const char *gpu_unit_name(enum gpu_kernel_unit unit);
// The terminated text of the unit's file, and of what it includes. Static.
const char *gpu_unit_text(enum gpu_kernel_unit unit);
const char *gpu_unit_common_text(void); // common.cuh
const char *gpu_unit_params_text(void); // params.h
// The unit as a fatbin; NULL: built without nvcc. Static.
const void *gpu_unit_binary(enum gpu_kernel_unit unit);

#endif
