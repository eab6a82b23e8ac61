// SPDX-License-Identifier: Apache-2.0
// Custom kernels: CUDA C++ of the application's own, run on a tensor by InferenceProcessorOp's operation "custom_cuda_kernel-<id>", or
// several, one after the other: "custom_cuda_kernel-1:custom_cuda_kernel-2". As in Holoscan, `custom_kernels` is a map:
//
//   cuda_kernel-<id>         the text, or the path of a .cu file; it has extern "C" __global__ void customKernel<id>
//   out_dtype-<id>           kFloat32 (the default), kInt32, kInt8, kUInt8, kInt64, kFloat16
//   output_dimensions-<id>   "1,256"; given for all kernels of the application or for none: then results have the input's shape
//   thread_per_block-<id>    "256" (the default), "16,16" or "8,8,4"
//
// A kernel's arguments are (input, output, number of elements), (input, output, X, Y) or (input, output, X, Y, Z), by the count of
// numbers in thread_per_block; X, Y, Z are its input's first dimensions. Kernels are compiled by NVRTC when the first tensor comes.
#ifndef NEREID_GRAPH_OPS_CUSTOM_KERNELS_H
#define NEREID_GRAPH_OPS_CUSTOM_KERNELS_H

#include "nereid/operator.h"

struct custom_kernels;

// Reads an operation; needs no GPU. Errors name the key that is missing or wrong. Returns owned. Thread: owner.
NRD_MUST_USE struct nrd_status *custom_kernels_create(const struct nrd_value *map,
                                                      const char *operation,
                                                      struct custom_kernels **kernels);
// Waits until what was queued is done: at the end of a run. NULL is fine.
NRD_MUST_USE struct nrd_status *custom_kernels_finish(struct custom_kernels *kernels);
// After custom_kernels_finish(). NULL is fine.
void custom_kernels_destroy(struct custom_kernels *kernels);
// Queues them for a tensor; one of the host is brought to GPU 0 first. The result is on the GPU. NRD_UNAVAILABLE: there is no GPU, or no
// compiler. Returns owned. Thread: the operator's.
NRD_MUST_USE struct nrd_status *custom_kernels_run(struct custom_kernels *kernels,
                                                   struct nrd_compute *ctx,
                                                   struct nrd_resource *allocator,
                                                   struct nrd_tensor *in, struct nrd_tensor **out);

#endif
