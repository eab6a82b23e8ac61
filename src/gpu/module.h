// SPDX-License-Identifier: Apache-2.0
// Modules: machine code on a device, and kernels in it.
#ifndef NEREID_GPU_MODULE_H
#define NEREID_GPU_MODULE_H

#include "gpu/nvrtc.h"
#include "gpu/stream.h"

struct gpu_module;

// Loads PTX, a cubin or a fatbin. `image` is terminated where it is PTX text (copied by the driver). NRD_UNSUPPORTED: nothing in
// it for this device; other failures carry the loader's lines. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_module_load(struct gpu_device *device, const void *image,
                                                struct gpu_module **module);
// Compiles CUDA C++ text for the device (gpu/nvrtc.h) and loads it. Returns owned. Thread: any but a loop.
NRD_MUST_USE struct nrd_status *gpu_module_compile(struct gpu_device *device,
                                                   const struct nvrtc_source *source,
                                                   struct gpu_module **module);
// Its kernels must not run any more. NULL is fine. Thread: owner.
void gpu_module_unload(struct gpu_module *module);
// A kernel by its name (extern "C"). NRD_NOT_FOUND names it. Lives as long as the module. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_module_function(struct gpu_module *module, const char *name,
                                                    struct cu_function **function);

struct gpu_grid {
    unsigned blocks[3];
    unsigned threads[3];
    unsigned shared_bytes; // dynamic
};
// Queues the kernel. `params`: one pointer to each argument, read before the call returns. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_launch(struct gpu_stream *stream, struct cu_function *function,
                                           const struct gpu_grid *grid, void **params);

#endif
