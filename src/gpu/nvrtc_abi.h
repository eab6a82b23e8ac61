// SPDX-License-Identifier: Apache-2.0
// The part of NVIDIA's run-time compiler (NVRTC) that Nereid uses, stated as what it is in memory (docs/decisions/0010-cuda-abi.md).
// Source: NVIDIA's "NVRTC" manual, release 13.0.
//
// GPU_NVRTC_FUNCTIONS: F(return type, name here, exported name, arguments). nvrtcResult is an int here; 0 is success. All are
// in releases from 11.2 on.
#ifndef NEREID_GPU_NVRTC_ABI_H
#define NEREID_GPU_NVRTC_ABI_H

#include <stddef.h>

struct nvrtc_program;

enum nvrtc_result { NVRTC_OK = 0, NVRTC_COMPILATION_FAILED = 6 };

// clang-format off
#define GPU_NVRTC_FUNCTIONS(F) \
    F(int, version, nvrtcVersion, (int *major, int *minor)) \
    F(const char *, error_string, nvrtcGetErrorString, (int result)) \
    F(int, arch_count, nvrtcGetNumSupportedArchs, (int *count)) \
    F(int, archs, nvrtcGetSupportedArchs, (int *archs)) \
    F(int, create, nvrtcCreateProgram, (struct nvrtc_program **program, const char *source, const char *name, int header_count, const char *const *headers, const char *const *header_names)) \
    F(int, destroy, nvrtcDestroyProgram, (struct nvrtc_program **program)) \
    F(int, compile, nvrtcCompileProgram, (struct nvrtc_program *program, int option_count, const char *const *options)) \
    F(int, log_size, nvrtcGetProgramLogSize, (struct nvrtc_program *program, size_t *size)) \
    F(int, log, nvrtcGetProgramLog, (struct nvrtc_program *program, char *log)) \
    F(int, cubin_size, nvrtcGetCUBINSize, (struct nvrtc_program *program, size_t *size)) \
    F(int, cubin, nvrtcGetCUBIN, (struct nvrtc_program *program, char *cubin)) \
    F(int, ptx_size, nvrtcGetPTXSize, (struct nvrtc_program *program, size_t *size)) \
    F(int, ptx, nvrtcGetPTX, (struct nvrtc_program *program, char *ptx))
// clang-format on

#endif
