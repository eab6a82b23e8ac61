// SPDX-License-Identifier: Apache-2.0
// Host kernels: the CUDA text of src/gpu/kernels, compiled for the processor and given to the fake driver, so that tests without
// a GPU run the very code that GPUs run, thread by thread.
#ifndef NEREID_TESTS_HOST_KERNELS_H
#define NEREID_TESTS_HOST_KERNELS_H

#ifdef __cplusplus
extern "C" {
#endif

// Registers every kernel of src/gpu/kernels with the fake driver. After fake_cuda_start().
void host_kernels_register(void);

#ifdef __cplusplus
}
#endif

#endif
