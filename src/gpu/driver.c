// SPDX-License-Identifier: Apache-2.0
// Driver: dlopen, one dlsym a function, cuInit. The table is one of the two globals that style.md 11 allows.
//
// dlsym of the versioned names is used and not cuGetProcAddress: a name fixes its signature for good, the same names work
// from driver 11.4 to 13, and a table of pointers is what a test replaces.
#include "gpu/driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t driver_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gpu_driver loaded_table;
static _Atomic(const struct gpu_driver *) current_table;
static struct nrd_status *open_failure; // under the lock; of the first try, kept for later ones
static _Atomic int open_version;

static const char *const fn_names[GPU_FN_COUNT] = {
#define GPU_DRIVER_NAME(name, symbol, needed, args) #symbol,
    GPU_DRIVER_FUNCTIONS(GPU_DRIVER_NAME)
#undef GPU_DRIVER_NAME
};

const char *gpu_fn_name(enum gpu_fn fn)
{
    return (unsigned)fn < GPU_FN_COUNT ? fn_names[fn] : "unknown call";
}

const struct gpu_driver *gpu_driver(void)
{
    // Acquire: who sees the table sees what is in it.
    return atomic_load_explicit(&current_table, memory_order_acquire);
}

int gpu_driver_version(void)
{
    return atomic_load_explicit(&open_version, memory_order_relaxed);
}

// Reads one function; the pointer is copied because ISO C has no cast from an object's address to a function's.
static bool find_symbol(void *library, const char *symbol, void *member)
{
    void *address = dlsym(library, symbol);
    memcpy(member, &address, sizeof(address));
    return address != NULL;
}

static struct nrd_status *load_table(struct gpu_driver *table)
{
    // The library stays open for good: frameworks use it too, and its threads live until the process ends.
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return status_new(NRD_UNAVAILABLE, "no CUDA driver: %s", dlerror());
    }
    const char *missing = NULL;
#define GPU_DRIVER_LOAD(name, symbol, needed, args)                                                \
    if (!find_symbol(library, #symbol, &table->name) && (needed)) {                                \
        missing = #symbol;                                                                         \
    }
    GPU_DRIVER_FUNCTIONS(GPU_DRIVER_LOAD)
#undef GPU_DRIVER_LOAD
    if (missing != NULL) {
        return status_new(
            NRD_UNAVAILABLE,
            "no CUDA driver that can be used: libcuda.so.1 has no %s (11.4 or later is "
            "needed)",
            missing);
    }
    return NULL;
}

static struct nrd_status *open_table(const struct gpu_driver *table)
{
    int result = table->init(0);
    if (result != CU_SUCCESS) {
        const char *name = NULL;
        const char *text = NULL;
        (void)table->error_name(result, &name);
        (void)table->error_string(result, &text);
        return status_new(NRD_UNAVAILABLE, "no GPU can be used: cuInit: %s (%s)",
                          name == NULL ? "unknown error" : name, text == NULL ? "?" : text);
    }
    int version = 0;
    (void)table->driver_version(&version);
    atomic_store_explicit(&open_version, version, memory_order_relaxed);
    // Release: pairs with gpu_driver().
    atomic_store_explicit(&current_table, table, memory_order_release);
    return NULL;
}

struct nrd_status *gpu_driver_open(void)
{
    if (gpu_driver() != NULL) {
        return NULL;
    }
    pthread_mutex_lock(&driver_lock);
    struct nrd_status *status = NULL;
    if (gpu_driver() == NULL) {
        if (open_failure == NULL) {
            status = load_table(&loaded_table);
            if (status == NULL) {
                status = open_table(&loaded_table);
            }
            open_failure = status;
        }
        status = status_copy(open_failure);
    }
    pthread_mutex_unlock(&driver_lock);
    return status;
}

void gpu_driver_replace(const struct gpu_driver *table)
{
    pthread_mutex_lock(&driver_lock);
    status_free(open_failure);
    open_failure = NULL;
    atomic_store_explicit(&open_version, 0, memory_order_relaxed);
    atomic_store_explicit(&current_table, NULL, memory_order_release);
    if (table != NULL) {
        open_failure = open_table(table);
    }
    pthread_mutex_unlock(&driver_lock);
}

void gpu_result_text(int result, char *text, size_t size)
{
    if (result == GPU_RESULT_MISSING) {
        int version = gpu_driver_version();
        snprintf(text, size, "not in this driver (CUDA %d.%d)", version / 1000,
                 version % 1000 / 10);
        return;
    }
    const char *name = NULL;
    const char *words = NULL;
    const struct gpu_driver *table = gpu_driver();
    if (table == NULL || table->error_name(result, &name) != CU_SUCCESS || name == NULL) {
        snprintf(text, size, "CUresult %d", result);
        return;
    }
    (void)table->error_string(result, &words);
    snprintf(text, size, "%s (%s)", name, words == NULL ? "?" : words);
}

bool gpu_result_is_fault(int result)
{
    switch (result) {
    case CU_ILLEGAL_ADDRESS:
    case CU_LAUNCH_TIMEOUT:
    case CU_ASSERT:
    case CU_HARDWARE_STACK_ERROR:
    case CU_ILLEGAL_INSTRUCTION:
    case CU_MISALIGNED_ADDRESS:
    case CU_INVALID_ADDRESS_SPACE:
    case CU_INVALID_PC:
    case CU_LAUNCH_FAILED:
        return true;
    default:
        return false;
    }
}

bool gpu_result_is_sticky(int result)
{
    switch (result) {
    case CU_DEVICE_UNAVAILABLE:
    case CU_ECC_UNCORRECTABLE:
    case CU_NVLINK_UNCORRECTABLE:
    case CU_CONTAINED:
    case CU_CONTEXT_IS_DESTROYED:
    case CU_UNKNOWN:
        return true;
    default:
        return gpu_result_is_fault(result);
    }
}
