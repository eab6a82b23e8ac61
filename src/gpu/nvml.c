// SPDX-License-Identifier: Apache-2.0
// NVML: dlopen and a table, as in driver.c; then one function a question. What the GPU does not support is left out.
#include "gpu/nvml.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t nvml_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gpu_nvml loaded_table;
static _Atomic(const struct gpu_nvml *) current_table;
static struct nrd_status *open_failure; // under the lock

static const struct gpu_nvml *nvml(void)
{
    return atomic_load_explicit(&current_table, memory_order_acquire);
}

static struct nrd_status *nvml_status(int result, const char *call, const char *uuid)
{
    if (result == NVML_OK) {
        return NULL;
    }
    enum nrd_code code = result == NVML_NOT_FOUND       ? NRD_NOT_FOUND
                         : result == NVML_NOT_SUPPORTED ? NRD_UNSUPPORTED
                                                        : NRD_UNAVAILABLE;
    const char *words = nvml() == NULL ? NULL : nvml()->error_string(result);
    return status_new(code, "%s%s%s: %s", call, uuid == NULL ? "" : " of ",
                      uuid == NULL ? "" : uuid, words == NULL ? "unknown error" : words);
}

static bool find_symbol(void *library, const char *symbol, void *member)
{
    void *address = dlsym(library, symbol);
    memcpy(member, &address, sizeof(address));
    return address != NULL;
}

static struct nrd_status *load_table(struct gpu_nvml *table)
{
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return status_new(NRD_UNAVAILABLE, "no NVML: %s", dlerror());
    }
#define GPU_NVML_LOAD(type, name, symbol, needed, args)                                            \
    if (!find_symbol(library, #symbol, &table->name) && (needed)) {                                \
        return status_new(NRD_UNAVAILABLE, "no NVML: libnvidia-ml.so.1 has no " #symbol);          \
    }
    GPU_NVML_FUNCTIONS(GPU_NVML_LOAD)
#undef GPU_NVML_LOAD
    return NULL;
}

static struct nrd_status *open_table(const struct gpu_nvml *table)
{
    int result = table->init();
    if (result != NVML_OK) {
        const char *words = table->error_string(result);
        return status_new(NRD_UNAVAILABLE, "no NVML: nvmlInit_v2: %s",
                          words == NULL ? "unknown error" : words);
    }
    atomic_store_explicit(&current_table, table, memory_order_release);
    return NULL;
}

struct nrd_status *nvml_open(void)
{
    if (nvml() != NULL) {
        return NULL;
    }
    pthread_mutex_lock(&nvml_lock);
    struct nrd_status *status = NULL;
    if (nvml() == NULL) {
        if (open_failure == NULL) {
            status = load_table(&loaded_table);
            open_failure = status != NULL ? status : open_table(&loaded_table);
        }
        status = status_copy(open_failure);
    }
    pthread_mutex_unlock(&nvml_lock);
    return status;
}

void nvml_replace(const struct gpu_nvml *table)
{
    pthread_mutex_lock(&nvml_lock);
    status_free(open_failure);
    open_failure = NULL;
    atomic_store_explicit(&current_table, NULL, memory_order_release);
    if (table != NULL) {
        open_failure = open_table(table);
    }
    pthread_mutex_unlock(&nvml_lock);
}

static struct nrd_status *find_device(const char *uuid, struct nvml_device **device)
{
    NRD_TRY(nvml_open());
    return nvml_status(nvml()->by_uuid(uuid, device), "nvmlDeviceGetHandleByUUID", uuid);
}

bool nvml_knows(const char *uuid)
{
    struct nvml_device *device = NULL;
    struct nrd_status *status = find_device(uuid, &device);
    bool known = status == NULL;
    status_free(status);
    return known;
}

struct nrd_status *nvml_check_lost(const char *uuid)
{
    struct nrd_status *status = nvml_open();
    if (status != NULL) {
        status_free(status);
        return NULL;
    }
    struct nvml_device *device = NULL;
    struct nvml_memory memory;
    const char *call = "nvmlDeviceGetHandleByUUID";
    int result = nvml()->by_uuid(uuid, &device);
    if (result == NVML_OK) {
        call = "nvmlDeviceGetMemoryInfo";
        result = nvml()->memory(device, &memory);
    }
    return result == NVML_GPU_IS_LOST ? nvml_status(result, call, uuid) : NULL;
}

struct nrd_status *nvml_read(const char *uuid, struct nvml_sample *sample)
{
    struct nvml_device *device = NULL;
    NRD_TRY(find_device(uuid, &device));
    const struct gpu_nvml *table = nvml();
    struct nvml_device *whole = device; // power is measured for the GPU, not for a slice of it
    if (strncmp(uuid, "MIG-", 4) == 0 && table->mig_parent != NULL &&
        table->mig_parent(device, &whole) != NVML_OK) {
        whole = device;
    }
    struct nvml_sample out = {0};
    struct nvml_utilization rates;
    struct nvml_memory memory;
    unsigned milliwatts = 0;
    unsigned long long millijoules = 0;
    int result = table->utilization(device, &rates);
    if (result == NVML_GPU_IS_LOST) {
        return nvml_status(result, "nvmlDeviceGetUtilizationRates", uuid);
    }
    out.has_utilization = result == NVML_OK;
    out.utilization = out.has_utilization ? rates.gpu / 100.0 : 0;
    out.has_memory = table->memory(device, &memory) == NVML_OK;
    if (out.has_memory) {
        out.memory_total_bytes = memory.total;
        out.memory_used_bytes = memory.used;
    }
    out.has_power_usage = table->power_usage(whole, &milliwatts) == NVML_OK;
    out.power_usage_watts = out.has_power_usage ? milliwatts / 1000.0 : 0;
    out.has_power_limit = table->power_limit(whole, &milliwatts) == NVML_OK;
    out.power_limit_watts = out.has_power_limit ? milliwatts / 1000.0 : 0;
    out.has_energy = table->energy != NULL && table->energy(whole, &millijoules) == NVML_OK;
    out.energy_joules = out.has_energy ? (double)millijoules / 1000.0 : 0;
    *sample = out;
    return NULL;
}

static struct nrd_status *read_slice(struct nvml_device *device, struct nvml_slice *slice)
{
    const struct gpu_nvml *table = nvml();
    struct nvml_attributes attributes = {0};
    NRD_TRY(nvml_status(table->uuid(device, slice->uuid, sizeof(slice->uuid)), "nvmlDeviceGetUUID",
                        NULL));
    NRD_TRY(nvml_status(table->mig_gpu_instance(device, &slice->gpu_instance),
                        "nvmlDeviceGetGpuInstanceId", slice->uuid));
    NRD_TRY(nvml_status(table->mig_compute_instance(device, &slice->compute_instance),
                        "nvmlDeviceGetComputeInstanceId", slice->uuid));
    if (table->mig_attributes != NULL && table->mig_attributes(device, &attributes) == NVML_OK) {
        slice->multiprocessors = attributes.multiprocessors;
        slice->memory_bytes = (uint64_t)attributes.memory_mb << 20;
    }
    return NULL;
}

struct nrd_status *nvml_slices(const char *uuid, struct nvml_slice *slices, size_t capacity,
                               size_t *count)
{
    struct nvml_device *device = NULL;
    NRD_TRY(find_device(uuid, &device));
    const struct gpu_nvml *table = nvml();
    unsigned current = 0;
    unsigned pending = 0;
    unsigned max = 0;
    size_t found = 0;
    bool able = table->mig_mode != NULL && table->mig_max != NULL && table->mig_by_index != NULL &&
                table->mig_gpu_instance != NULL && table->mig_compute_instance != NULL;
    if (able && table->mig_mode(device, &current, &pending) == NVML_OK && current != 0) {
        NRD_TRY(nvml_status(table->mig_max(device, &max), "nvmlDeviceGetMaxMigDeviceCount", uuid));
    }
    for (unsigned i = 0; i < max; i++) {
        struct nvml_device *slice = NULL;
        if (table->mig_by_index(device, i, &slice) != NVML_OK) {
            continue; // a place without a slice
        }
        if (found < capacity) {
            memset(&slices[found], 0, sizeof(slices[found]));
            NRD_TRY(read_slice(slice, &slices[found]));
        }
        found++;
    }
    *count = found;
    return NULL;
}
