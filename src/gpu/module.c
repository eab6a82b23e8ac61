// SPDX-License-Identifier: Apache-2.0
// Modules.
#include "gpu/module.h"

#include "base/mem.h"
#include "gpu/device_private.h"

struct gpu_module {
    struct gpu_device *device;
    struct cu_module *handle;
};

struct nrd_status *gpu_module_load(struct gpu_device *device, const void *image,
                                   struct gpu_module **module)
{
    struct gpu_module *m = mem_calloc(1, sizeof(*m));
    if (m == NULL) {
        return status_no_memory();
    }
    m->device = device;
    struct gpu_scope scope;
    struct nrd_status *status = gpu_device_enter(device, &scope);
    if (status == NULL) {
        char log[1024] = "";
        int options[] = {CU_JIT_ERROR_LOG, CU_JIT_ERROR_LOG_SIZE};
        void *values[] = {log, (void *)(uintptr_t)(sizeof(log) - 1)};
        status = GPU_CALL(device, module_load, (&m->handle, image, 2, options, values));
        if (status != NULL && log[0] != '\0') {
            status = status_wrap(status, "%s: ", log);
        }
        gpu_device_leave(&scope);
    }
    if (status != NULL) {
        mem_free(m);
        return status;
    }
    *module = m;
    return NULL;
}

struct nrd_status *gpu_module_compile(struct gpu_device *device, const struct nvrtc_source *source,
                                      struct gpu_module **module)
{
    struct str code = STR_INIT;
    struct nrd_status *status =
        nvrtc_compile(source, device->info.compute_major, device->info.compute_minor, &code);
    if (status == NULL) {
        status =
            status_wrap(gpu_module_load(device, str_cstr(&code), module), "%s: ", source->name);
    }
    str_fini(&code);
    return status;
}

void gpu_module_unload(struct gpu_module *module)
{
    if (module == NULL) {
        return;
    }
    struct gpu_scope scope;
    if (gpu_device_enter_release(module->device, &scope)) {
        (void)gpu_driver()->module_unload(module->handle);
        gpu_device_leave(&scope);
    }
    mem_free(module);
}

struct nrd_status *gpu_module_function(struct gpu_module *module, const char *name,
                                       struct cu_function **function)
{
    struct gpu_scope scope;
    NRD_TRY(gpu_device_enter(module->device, &scope));
    struct nrd_status *status =
        GPU_CALL(module->device, module_function, (function, module->handle, name));
    gpu_device_leave(&scope);
    return status_wrap(status, "kernel %s: ", name);
}

struct nrd_status *gpu_launch(struct gpu_stream *stream, struct cu_function *function,
                              const struct gpu_grid *grid, void **params)
{
    struct gpu_device *device = gpu_stream_device(stream);
    struct gpu_scope scope;
    NRD_TRY(gpu_device_enter(device, &scope));
    const unsigned *b = grid->blocks;
    const unsigned *t = grid->threads;
    struct nrd_status *status =
        GPU_CALL(device, launch_kernel,
                 (function, b[0], b[1], b[2], t[0], t[1], t[2], grid->shared_bytes,
                  gpu_stream_handle(stream), params, NULL));
    gpu_device_leave(&scope);
    return status;
}
