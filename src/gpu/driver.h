// SPDX-License-Identifier: Apache-2.0
// Driver: the CUDA driver as a table of functions, opened at run time.
//
// The program does not link libcuda: gpu_driver_open() looks for libcuda.so.1 once. A machine without it, or without a
// GPU, is a normal machine: the call says so in a status and nothing else happens.
// Start with device.h; only files of this folder (and backends that need a raw call) use the table itself, always through
// GPU_CALL, which names the failing call, the error and the device.
#ifndef NEREID_GPU_DRIVER_H
#define NEREID_GPU_DRIVER_H

#include "base/status.h"
#include "gpu/driver_abi.h"

struct gpu_device;

struct gpu_driver {
#define GPU_DRIVER_MEMBER(name, symbol, needed, args) int(*name) args;
    GPU_DRIVER_FUNCTIONS(GPU_DRIVER_MEMBER)
#undef GPU_DRIVER_MEMBER
};

enum gpu_fn {
#define GPU_DRIVER_ENUM(name, symbol, needed, args) GPU_FN_##name,
    GPU_DRIVER_FUNCTIONS(GPU_DRIVER_ENUM)
#undef GPU_DRIVER_ENUM
        GPU_FN_COUNT
};

// Opens the driver and initialises it, once a process; later calls repeat the first one's answer. NRD_UNAVAILABLE, with
// the reason: no library, a library without a needed function (names it), no device, or what cuInit() said. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_driver_open(void);
// The table. Only after gpu_driver_open() succeeded. Thread: any.
const struct gpu_driver *gpu_driver(void);
// The driver's version, as 1000 * major + 10 * minor ("CUDA 13.0" is 13000); 0 when it is not open. Thread: any.
int gpu_driver_version(void);
// Tests: from now on the table is `table` (borrowed), and open; NULL goes back to not yet opened. Thread: owner, while
// nobody else uses the driver.
void gpu_driver_replace(const struct gpu_driver *table);

// "cuMemAlloc_v2". Static. Thread: any.
const char *gpu_fn_name(enum gpu_fn fn);
// "CUDA_ERROR_OUT_OF_MEMORY (out of memory)" into `text`; "CUresult 1234" when the driver does not know it. Thread: any.
void gpu_result_text(int result, char *text, size_t size);
// True for errors after which a context never works again (a kernel's fault, a lost or broken device). Thread: any.
bool gpu_result_is_sticky(int result);
// True for those of them that are a kernel's doing and not the device's. Thread: any.
bool gpu_result_is_fault(int result);

// What a call of a function that this driver lacks gives in place of a CUresult.
enum { GPU_RESULT_MISSING = -1 };
#define GPU_RESULT(fn, args) (gpu_driver()->fn == NULL ? GPU_RESULT_MISSING : gpu_driver()->fn args)
// Calls `fn` with `args` (in parentheses); `device` may be NULL. A sticky error marks the device as lost (device.h).
#define GPU_CALL(device, fn, args) gpu_status(GPU_RESULT(fn, args), GPU_FN_##fn, (device))

// NULL for CU_SUCCESS; else "GPU 1: cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY (out of memory)" with NRD_UNAVAILABLE (out of
// memory, lost), NRD_UNSUPPORTED, NRD_NOT_FOUND or NRD_INTERNAL. Marks the device as lost by a sticky error. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_status(int result, enum gpu_fn fn, struct gpu_device *device);

#endif
