// SPDX-License-Identifier: Apache-2.0
// The part of NVIDIA's management library (NVML) that Nereid reads, stated as what it is in memory, so that its header is
// not needed to build (docs/decisions/0010-cuda-abi.md). Source: NVIDIA's "NVML API Reference", release 13. Only functions
// that read are here: Nereid changes no setting of a GPU.
//
// GPU_NVML_FUNCTIONS: F(return type, name here, exported name, needed, arguments). nvmlReturn_t is an int here.
#ifndef NEREID_GPU_NVML_ABI_H
#define NEREID_GPU_NVML_ABI_H

#include <stddef.h>
#include <stdint.h>

struct nvml_device;

// nvmlReturn_t, those that we tell apart.
enum nvml_result { NVML_OK = 0, NVML_NOT_SUPPORTED = 3, NVML_NOT_FOUND = 6, NVML_GPU_IS_LOST = 15 };

struct nvml_utilization {
    unsigned gpu;    // percent of the last sample period in which a kernel ran
    unsigned memory; // percent in which memory was read or written
};
struct nvml_memory {
    unsigned long long total; // bytes
    unsigned long long free;
    unsigned long long used;
};
struct nvml_attributes {
    unsigned multiprocessors;
    unsigned shared_copy_engines;
    unsigned shared_decoders;
    unsigned shared_encoders;
    unsigned shared_jpeg;
    unsigned shared_ofa;
    unsigned gpu_slices;
    unsigned compute_slices;
    unsigned long long memory_mb;
};
_Static_assert(sizeof(struct nvml_memory) == 24, "nvmlMemory_t");
_Static_assert(sizeof(struct nvml_attributes) == 40, "nvmlDeviceAttributes_t");

enum { NVML_UUID_SIZE = 96 };

// clang-format off
#define GPU_NVML_FUNCTIONS(F) \
    F(int, init, nvmlInit_v2, 1, (void)) \
    F(const char *, error_string, nvmlErrorString, 1, (int result)) \
    F(int, by_uuid, nvmlDeviceGetHandleByUUID, 1, (const char *uuid, struct nvml_device **device)) \
    F(int, uuid, nvmlDeviceGetUUID, 1, (struct nvml_device *device, char *uuid, unsigned length)) \
    F(int, utilization, nvmlDeviceGetUtilizationRates, 1, (struct nvml_device *device, struct nvml_utilization *rates)) \
    F(int, memory, nvmlDeviceGetMemoryInfo, 1, (struct nvml_device *device, struct nvml_memory *memory)) \
    F(int, power_usage, nvmlDeviceGetPowerUsage, 1, (struct nvml_device *device, unsigned *milliwatts)) \
    F(int, power_limit, nvmlDeviceGetEnforcedPowerLimit, 1, (struct nvml_device *device, unsigned *milliwatts)) \
    F(int, energy, nvmlDeviceGetTotalEnergyConsumption, 0, (struct nvml_device *device, unsigned long long *millijoules)) \
    F(int, temperature, nvmlDeviceGetTemperature, 0, (struct nvml_device *device, int sensor, unsigned *celsius)) \
    F(int, mig_mode, nvmlDeviceGetMigMode, 0, (struct nvml_device *device, unsigned *current, unsigned *pending)) \
    F(int, mig_max, nvmlDeviceGetMaxMigDeviceCount, 0, (struct nvml_device *device, unsigned *count)) \
    F(int, mig_by_index, nvmlDeviceGetMigDeviceHandleByIndex, 0, (struct nvml_device *device, unsigned index, struct nvml_device **slice)) \
    F(int, mig_parent, nvmlDeviceGetDeviceHandleFromMigDeviceHandle, 0, (struct nvml_device *slice, struct nvml_device **device)) \
    F(int, mig_gpu_instance, nvmlDeviceGetGpuInstanceId, 0, (struct nvml_device *slice, unsigned *id)) \
    F(int, mig_compute_instance, nvmlDeviceGetComputeInstanceId, 0, (struct nvml_device *slice, unsigned *id)) \
    F(int, mig_attributes, nvmlDeviceGetAttributes_v2, 0, (struct nvml_device *slice, struct nvml_attributes *attributes))
// clang-format on

#endif
