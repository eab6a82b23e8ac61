// SPDX-License-Identifier: Apache-2.0
// Copies, and CUDA's handles for memory of other processes.
#include "gpu/copy.h"

#include "base/mem.h"
#include "gpu/block_private.h"
#include "gpu/device_private.h"

static uint64_t address_of(const void *data)
{
    return (uint64_t)(uintptr_t)data;
}

struct nrd_status *gpu_copy(struct gpu_stream *stream, void *to, struct gpu_device *to_device,
                            const void *from, struct gpu_device *from_device, size_t size)
{
    struct gpu_device *device = gpu_stream_device(stream);
    struct cu_stream *handle = gpu_stream_handle(stream);
    struct cu_context *to_context = NULL;
    struct cu_context *from_context = NULL;
    struct gpu_scope scope;
    struct nrd_status *status;
    if (size == 0) {
        return NULL;
    }
    if (to_device != NULL && from_device != NULL && to_device != from_device) {
        NRD_TRY(gpu_device_open(to_device));
        NRD_TRY(gpu_device_open(from_device));
        to_context = gpu_device_context(to_device);
        from_context = gpu_device_context(from_device);
    }
    NRD_TRY(gpu_device_enter(device, &scope));
    if (to_context != NULL) {
        status =
            GPU_CALL(device, memcpy_peer_async,
                     (address_of(to), to_context, address_of(from), from_context, size, handle));
    } else if (to_device != NULL && from_device != NULL) {
        status =
            GPU_CALL(device, memcpy_d2d_async, (address_of(to), address_of(from), size, handle));
    } else if (to_device != NULL) {
        status = GPU_CALL(device, memcpy_h2d_async, (address_of(to), from, size, handle));
    } else if (from_device != NULL) {
        status = GPU_CALL(device, memcpy_d2h_async, (to, address_of(from), size, handle));
    } else {
        status = GPU_CALL(device, memcpy_async, (address_of(to), address_of(from), size, handle));
    }
    gpu_device_leave(&scope);
    return status;
}

static struct nrd_status *find_part(const struct gpu_system *system, struct tensor_buffer *buffer,
                                    size_t offset, size_t size, struct gpu_device **device)
{
    if (offset > buffer->size || size > buffer->size - offset) {
        return status_new(NRD_INVALID_ARG, "bytes %zu to %zu are not in a buffer of %zu", offset,
                          offset + size, buffer->size);
    }
    *device = NULL;
    if (buffer->kind == NRD_MEMORY_GPU) {
        *device = gpu_system_device(system, (int)buffer->device_id);
        if (*device == NULL) {
            return status_new(NRD_INVALID_ARG, "a buffer is on GPU %lld, which there is not",
                              (long long)buffer->device_id);
        }
    }
    return NULL;
}

struct nrd_status *gpu_copy_buffer(struct gpu_stream *stream, struct tensor_buffer *to,
                                   size_t to_offset, struct tensor_buffer *from, size_t from_offset,
                                   size_t size)
{
    const struct gpu_system *system = gpu_stream_device(stream)->system;
    struct gpu_device *to_device;
    struct gpu_device *from_device;
    NRD_TRY(find_part(system, to, to_offset, size, &to_device));
    NRD_TRY(find_part(system, from, from_offset, size, &from_device));
    NRD_TRY(gpu_buffer_wait(from, stream));
    NRD_TRY(gpu_buffer_wait(to, stream));
    NRD_TRY(gpu_copy(stream, (char *)to->data + to_offset, to_device,
                     (const char *)from->data + from_offset, from_device, size));
    NRD_TRY(gpu_buffer_use(from, stream));
    return gpu_buffer_set_ready(to, stream);
}

// ---- between processes --------------------------------------------------------------------------------------------

struct nrd_status *gpu_ipc_export(struct gpu_device *device, const void *data,
                                  struct cu_ipc_mem_handle *handle, uint64_t *offset)
{
    struct gpu_scope scope;
    uint64_t base = 0;
    size_t size = 0;
    NRD_TRY(gpu_device_enter(device, &scope));
    struct nrd_status *status =
        GPU_CALL(device, mem_address_range, (&base, &size, address_of(data)));
    if (status == NULL) {
        status = GPU_CALL(device, ipc_get_mem_handle, (handle, base));
    }
    gpu_device_leave(&scope);
    if (status == NULL) {
        *offset = address_of(data) - base;
    }
    return status;
}

static void ipc_give_back(struct gpu_block *block)
{
    struct gpu_scope scope;
    block_wait_idle(block);
    if (gpu_device_enter_release(block->owner, &scope)) {
        (void)gpu_driver()->ipc_close_mem_handle(address_of(block->buffer.data));
        gpu_device_leave(&scope);
    }
    block_drop_events(block);
    mem_free(block);
}

static struct nrd_status *ipc_map(struct gpu_device *device, const struct cu_ipc_mem_handle *handle,
                                  uint64_t *pointer, size_t *size)
{
    uint64_t base = 0;
    size_t range = 0;
    struct gpu_scope scope;
    NRD_TRY(gpu_device_enter(device, &scope));
    struct nrd_status *status =
        GPU_CALL(device, ipc_open_mem_handle, (pointer, *handle, CU_IPC_LAZY_ENABLE_PEER_ACCESS));
    if (status == NULL) {
        status = GPU_CALL(device, mem_address_range, (&base, &range, *pointer));
        if (status == NULL) {
            *size = range - (size_t)(*pointer - base);
        } else {
            (void)gpu_driver()->ipc_close_mem_handle(*pointer);
        }
    }
    gpu_device_leave(&scope);
    return status;
}

struct nrd_status *gpu_ipc_open(struct gpu_device *device, struct slice handle,
                                struct tensor_buffer **buffer)
{
    struct cu_ipc_mem_handle raw;
    uint64_t pointer = 0;
    size_t size = 0;
    if (handle.len != sizeof(raw)) {
        return status_new(NRD_INVALID_ARG, "a CUDA memory handle has %zu bytes, not %zu",
                          sizeof(raw), handle.len);
    }
    memcpy(&raw, handle.ptr, sizeof(raw));
    struct gpu_block *block = mem_alloc(sizeof(*block));
    if (block == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = ipc_map(device, &raw, &pointer, &size);
    if (status != NULL) {
        mem_free(block);
        return status;
    }
    block_init(block, (void *)(uintptr_t)pointer, size, NRD_MEMORY_GPU, device->info.ordinal,
               ipc_give_back, device);
    *buffer = &block->buffer;
    return NULL;
}
