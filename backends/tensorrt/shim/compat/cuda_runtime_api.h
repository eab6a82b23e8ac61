// SPDX-License-Identifier: Apache-2.0
// TensorRT's headers want CUDA's for these two names alone; the shim passes handles on and calls
// nothing. Used where CUDA's own header is not found.
#ifndef NEREID_BACKENDS_TENSORRT_COMPAT_CUDA_RUNTIME_API_H
#define NEREID_BACKENDS_TENSORRT_COMPAT_CUDA_RUNTIME_API_H

struct CUstream_st;
struct CUevent_st;
typedef struct CUstream_st *cudaStream_t;
typedef struct CUevent_st *cudaEvent_t;

#endif
