// SPDX-License-Identifier: Apache-2.0
// Fake CUDA: a driver and an NVML of up to 8 pretended GPUs, for tests of what is built on them: scheduling, placement,
// memory limits, lost devices, the order of streams.
//
// It is true where tests need it to be: device memory has bytes (but a host read of a device pointer is a fault, as on a real
// machine), copies happen when their time has come and not before, memory is accounted and runs out, an error of a kernel
// poisons its device for good, a use after free is found. Time is virtual: work takes as long as its bytes and its GPU's
// speed say, and kernels of one GPU take turns.
// As a library it is linked into a test, which calls fake_cuda_start() (see tests/unit/gpu). As libcuda.so.1 and
// libnvidia-ml.so.1 in build/tests/fake it is found by any program started with that folder in LD_LIBRARY_PATH, and set up
// by the variable FAKE_CUDA (fake_env.c).
#ifndef NEREID_TESTS_FAKE_CUDA_H
#define NEREID_TESTS_FAKE_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gpu/driver.h"
#include "gpu/nvml.h"

enum { FAKE_GPUS_MAX = 8, FAKE_SLICES_MAX = 7 };

enum fake_time {
    FAKE_TIME_MANUAL, // moves by fake_cuda_advance(), by the driver's own waits, and by poll_ns with every unanswered query
    FAKE_TIME_REAL,   // follows the clock, in a thread of the fake's own
};

struct fake_gpu {
    const char *name;      // NULL: "Fake GPU"
    uint64_t memory_bytes; // 0: 1 GiB
    double speed;          // kernels take their cost divided by this; 0: 1
    int compute_major;     // 0: 9.0
    int compute_minor;
    const char *pci_bus_id; // NULL: made up, so that no NUMA node is found
    unsigned slices;        // MIG slices that NVML shows of it
    bool is_slice;          // the device itself is one: NVML knows its UUID as "MIG-..."
    uint64_t
        fault_at; // its kernel of this number (1 = the first) faults: CU_ILLEGAL_ADDRESS; 0: none does
    uint64_t unplug_at; // with its kernel of this number it falls off the bus; 0: it does not
};
struct fake_cuda_options {
    int count; // of GPUs
    struct fake_gpu gpus[FAKE_GPUS_MAX];
    bool no_peers;      // no GPU reaches another; else all do
    bool peers_by_pair; // only 0-1, 2-3, ... do
    bool
        faults_are_shared; // a kernel's fault breaks the contexts of all GPUs, as driver 580 does; else its GPU's alone
    double host_gbytes_s;   // copies between host and device; 0: 16
    double device_gbytes_s; // within a device; 0: 1000
    double peer_gbytes_s;   // between devices with access; 0: 100
    enum fake_time time;
    uint64_t poll_ns;   // manual time: how far a query that finds work unfinished moves it
    int driver_version; // 0: 13000
};

// Sets the pretended machine up. One at a time a process. Thread: owner.
void fake_cuda_start(const struct fake_cuda_options *options);
// Takes it down. The number of things that were made and not given back (memory, streams, events, modules, graphs, pools,
// contexts); names each kind on standard error. Thread: owner.
unsigned fake_cuda_stop(void);
// Tables to give to gpu_driver_replace() and nvml_replace(). Static.
const struct gpu_driver *fake_cuda_driver(void);
const struct gpu_nvml *fake_cuda_nvml(void);

// ---- time ---------------------------------------------------------------------------------------------------------
uint64_t fake_cuda_now(void); // virtual ns since the start. Thread: any
void fake_cuda_advance(
    uint64_t ns); // manual: moves time and does what is due meanwhile. Thread: any
void fake_cuda_run(
    void); // manual: moves time until nothing is left that could be done. Thread: any

// ---- what happens -------------------------------------------------------------------------------------------------
// The `nth` call from now on (1 = the next) of `fn` that concerns GPU `ordinal` (-1: any) gives `result`, once; then it is as
// before. A call concerns the GPU of its stream, event, pointer or current context. At most 16 are kept.
void fake_cuda_fail(enum gpu_fn fn, int ordinal, unsigned nth, int result);
// From now on every call that concerns the GPU gives `result`, and its work is not done. As a kernel's fault does.
void fake_cuda_lose(int ordinal, int result);
// The GPU falls off the bus: calls give CU_UNKNOWN, and NVML says that it is lost.
void fake_cuda_unplug(int ordinal);
// Takes memory away from the GPU, as another process would.
void fake_cuda_set_used_by_others(int ordinal, uint64_t bytes);

// A kernel that modules have under `name`. At its time `run` (may be NULL) gets a copy of the first argument (`param_bytes`
// long); pointers in it are device pointers, which fake_cuda_peek() makes readable. It takes `cost_ns` at speed 1, or what
// `cost` says. Built in are "fake_busy" (uint64_t ns) and "fake_fault" (int result: the device is lost then).
struct fake_launch {
    int ordinal;
    unsigned grid[3];
    unsigned block[3];
    const void *params;
};
struct fake_kernel {
    const char *name;
    size_t param_bytes;
    void (*run)(const struct fake_launch *launch);
    uint64_t (*cost)(const struct fake_launch *launch);
    uint64_t cost_ns;
};
void fake_cuda_kernel(const struct fake_kernel *kernel); // copied; at most 64

// ---- what happened ------------------------------------------------------------------------------------------------
// The bytes behind a device pointer, for the test to read and write; NULL when it is not one of live memory.
void *fake_cuda_peek(const void *pointer);
uint64_t fake_cuda_memory_used(int ordinal);
uint64_t fake_cuda_busy_ns(int ordinal);      // in kernels
uint64_t fake_cuda_launches(int ordinal);     // kernels done
uint64_t fake_cuda_copied_bytes(int ordinal); // to, from or within
uint64_t fake_cuda_calls(enum gpu_fn fn);
unsigned fake_cuda_live(void); // what fake_cuda_stop() would count now

#endif
