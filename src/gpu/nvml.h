// SPDX-License-Identifier: Apache-2.0
// NVML: what the management library knows of a GPU: how busy, how full, how much power. Found by UUID, because its own
// order of devices is not CUDA's. Opened at run time like the driver, at first use; it only reads.
//
// Units are the metrics' (nv_gpu_utilization and the others of Triton): shares of 1, bytes, watts, joules.
#ifndef NEREID_GPU_NVML_H
#define NEREID_GPU_NVML_H

#include "base/status.h"
#include "gpu/nvml_abi.h"

struct gpu_nvml {
#define GPU_NVML_MEMBER(type, name, symbol, needed, args) type(*name) args;
    GPU_NVML_FUNCTIONS(GPU_NVML_MEMBER)
#undef GPU_NVML_MEMBER
};

// Opens the library, once a process; later calls repeat the first one's answer. NRD_UNAVAILABLE with the reason. The other
// calls do this themselves. Thread: any.
NRD_MUST_USE struct nrd_status *nvml_open(void);
// Tests: from now on the table is `table` (borrowed); NULL goes back to not yet opened. Thread: owner.
void nvml_replace(const struct gpu_nvml *table);
// True when the library is there and has a device of this UUID. Thread: any.
bool nvml_knows(const char *uuid);

// What a GPU cannot tell is absent (its `has_` is false), as Triton leaves such metrics out.
struct nvml_sample {
    bool has_utilization;
    bool has_memory;
    bool has_power_usage;
    bool has_power_limit;
    bool has_energy;
    double utilization; // 0 to 1
    uint64_t memory_total_bytes;
    uint64_t memory_used_bytes;
    double power_usage_watts;
    double power_limit_watts;
    double energy_joules; // since the driver was loaded
};
// Reads all of it for the GPU of that UUID; for a MIG slice, power and energy are the whole GPU's. NRD_UNAVAILABLE without
// the library, NRD_NOT_FOUND for a UUID it does not know. Takes about a millisecond: not on a loop. Thread: any.
NRD_MUST_USE struct nrd_status *nvml_read(const char *uuid, struct nvml_sample *sample);

// NRD_UNAVAILABLE with NVML's words when it says that the GPU of that UUID is lost (it fell off the bus); NULL when it says nothing
// of the kind, or cannot be asked. A context's fault does not concern NVML. Takes about 0.1 ms. Thread: any but a loop.
NRD_MUST_USE struct nrd_status *nvml_check_lost(const char *uuid);

struct nvml_slice {
    char uuid[NVML_UUID_SIZE]; // "MIG-..."
    unsigned gpu_instance;
    unsigned compute_instance;
    unsigned multiprocessors;
    uint64_t memory_bytes;
};
// The MIG slices of a GPU: at most `capacity` into `slices`, `*count` how many there are. 0 where MIG is off or unknown to
// the GPU. Errors as above. Thread: any.
NRD_MUST_USE struct nrd_status *nvml_slices(const char *uuid, struct nvml_slice *slices,
                                            size_t capacity, size_t *count);

#endif
