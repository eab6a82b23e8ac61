// SPDX-License-Identifier: Apache-2.0
// Fake NVML: what the fake's GPUs would say of themselves. Utilisation is the share of virtual time in kernels since the last
// question; power is 50 W idle and 300 W busy of 350 W; energy follows from it.
#include "tests/support/fake_cuda/fake_private.h"

#include <stdio.h>
#include <string.h>

#define FAKE_PROTOTYPE_NVML(type, name, symbol, needed, args) FAKE_EXPORT type symbol args;
GPU_NVML_FUNCTIONS(FAKE_PROTOTYPE_NVML)
#undef FAKE_PROTOTYPE_NVML

// A handle is a pointer into this table: [gpu][0] the GPU, [gpu][1 + n] its slice n.
struct nvml_device {
    int gpu;
    int slice; // -1: the GPU
};
static struct nvml_device handles[FAKE_GPUS_MAX][1 + FAKE_SLICES_MAX];

static void uuid_text(const struct nvml_device *d, char *text, size_t size)
{
    bool is_slice = d->slice >= 0 || fake.devices[d->gpu].gpu.is_slice;
    int tail = d->slice >= 0 ? 0x10 + d->slice : 0xfa;
    snprintf(text, size, "%s-%02xfafafa-fafa-fafa-fafa-fafafafafa%02x", is_slice ? "MIG" : "GPU",
             (unsigned)d->gpu, (unsigned)tail);
}

static void fill_handles(void)
{
    for (int i = 0; i < FAKE_GPUS_MAX; i++) {
        for (int j = 0; j <= FAKE_SLICES_MAX; j++) {
            handles[i][j] = (struct nvml_device){i, j - 1};
        }
    }
}

int nvmlInit_v2(void)
{
    pthread_mutex_lock(&fake.lock);
    bool start = !fake.started && fake_autostart != NULL;
    fill_handles();
    pthread_mutex_unlock(&fake.lock);
    if (start) {
        fake_autostart();
    }
    return NVML_OK;
}

const char *nvmlErrorString(int result)
{
    return result == NVML_OK              ? "Success"
           : result == NVML_NOT_FOUND     ? "Not Found"
           : result == NVML_GPU_IS_LOST   ? "GPU is lost"
           : result == NVML_NOT_SUPPORTED ? "Not Supported"
                                          : "Unknown Error";
}

int nvmlDeviceGetHandleByUUID(const char *uuid, struct nvml_device **device)
{
    int result = NVML_NOT_FOUND;
    pthread_mutex_lock(&fake.lock);
    for (int i = 0; i < fake.options.count && result != NVML_OK; i++) {
        for (unsigned j = 0; j <= fake.devices[i].gpu.slices; j++) {
            char text[NVML_UUID_SIZE];
            uuid_text(&handles[i][j], text, sizeof(text));
            if (strcmp(text, uuid) == 0) {
                *device = &handles[i][j];
                result = NVML_OK;
            }
        }
    }
    pthread_mutex_unlock(&fake.lock);
    return result;
}

int nvmlDeviceGetUUID(struct nvml_device *device, char *uuid, unsigned length)
{
    uuid_text(device, uuid, length);
    return NVML_OK;
}

int nvmlDeviceGetUtilizationRates(struct nvml_device *device, struct nvml_utilization *rates)
{
    if (device->slice >= 0) {
        return NVML_NOT_SUPPORTED;
    }
    pthread_mutex_lock(&fake.lock);
    struct fake_device *d = &fake.devices[device->gpu];
    uint64_t passed = fake.now_ns - d->sampled_at_ns;
    uint64_t busy = d->busy_ns - d->sampled_busy_ns;
    *rates = (struct nvml_utilization){.gpu = passed == 0      ? 0
                                              : busy >= passed ? 100
                                                               : (unsigned)(busy * 100 / passed)};
    d->sampled_at_ns = fake.now_ns;
    d->sampled_busy_ns = d->busy_ns;
    int result = d->unplugged ? NVML_GPU_IS_LOST : NVML_OK;
    pthread_mutex_unlock(&fake.lock);
    return result;
}

int nvmlDeviceGetMemoryInfo(struct nvml_device *device, struct nvml_memory *memory)
{
    pthread_mutex_lock(&fake.lock);
    const struct fake_device *d = &fake.devices[device->gpu];
    memory->total = d->gpu.memory_bytes;
    memory->used = d->used + d->used_by_others;
    memory->free = memory->used > memory->total ? 0 : memory->total - memory->used;
    int result = d->unplugged ? NVML_GPU_IS_LOST : NVML_OK;
    pthread_mutex_unlock(&fake.lock);
    return result;
}

int nvmlDeviceGetPowerUsage(struct nvml_device *device, unsigned *milliwatts)
{
    pthread_mutex_lock(&fake.lock);
    const struct fake_device *d = &fake.devices[device->gpu];
    *milliwatts = d->engines[FAKE_COMPUTE] != NULL ? 300000 : 50000;
    pthread_mutex_unlock(&fake.lock);
    return device->slice < 0 ? NVML_OK : NVML_NOT_SUPPORTED;
}

int nvmlDeviceGetEnforcedPowerLimit(struct nvml_device *device, unsigned *milliwatts)
{
    *milliwatts = 350000;
    return device->slice < 0 ? NVML_OK : NVML_NOT_SUPPORTED;
}

int nvmlDeviceGetTotalEnergyConsumption(struct nvml_device *device, unsigned long long *millijoules)
{
    pthread_mutex_lock(&fake.lock);
    const struct fake_device *d = &fake.devices[device->gpu];
    *millijoules = (fake.now_ns * 50 + d->busy_ns * 250) / 1000000;
    pthread_mutex_unlock(&fake.lock);
    return device->slice < 0 ? NVML_OK : NVML_NOT_SUPPORTED;
}

int nvmlDeviceGetTemperature(struct nvml_device *device, int sensor, unsigned *celsius)
{
    (void)sensor;
    *celsius = 40;
    return device->slice < 0 ? NVML_OK : NVML_NOT_SUPPORTED;
}

int nvmlDeviceGetMigMode(struct nvml_device *device, unsigned *current, unsigned *pending)
{
    *current = fake.devices[device->gpu].gpu.slices > 0;
    *pending = *current;
    return NVML_OK;
}

int nvmlDeviceGetMaxMigDeviceCount(struct nvml_device *device, unsigned *count)
{
    (void)device;
    *count = FAKE_SLICES_MAX;
    return NVML_OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(struct nvml_device *device, unsigned index,
                                        struct nvml_device **slice)
{
    if (index >= fake.devices[device->gpu].gpu.slices) {
        return NVML_NOT_FOUND;
    }
    *slice = &handles[device->gpu][1 + index];
    return NVML_OK;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(struct nvml_device *slice,
                                                 struct nvml_device **device)
{
    *device = &handles[slice->gpu][0];
    return NVML_OK;
}

int nvmlDeviceGetGpuInstanceId(struct nvml_device *slice, unsigned *id)
{
    *id = (unsigned)slice->slice + 1;
    return NVML_OK;
}

int nvmlDeviceGetComputeInstanceId(struct nvml_device *slice, unsigned *id)
{
    (void)slice;
    *id = 0;
    return NVML_OK;
}

int nvmlDeviceGetAttributes_v2(struct nvml_device *slice, struct nvml_attributes *attributes)
{
    unsigned slices = fake.devices[slice->gpu].gpu.slices;
    *attributes = (struct nvml_attributes){
        .multiprocessors = 14,
        .memory_mb = slices == 0 ? 0 : (fake.devices[slice->gpu].gpu.memory_bytes >> 20) / slices};
    return NVML_OK;
}

const struct gpu_nvml *fake_cuda_nvml(void)
{
    static const struct gpu_nvml table = {
#define FAKE_MEMBER_NVML(type, name, symbol, needed, args) .name = symbol,
        GPU_NVML_FUNCTIONS(FAKE_MEMBER_NVML)
#undef FAKE_MEMBER_NVML
    };
    return &table;
}
