// SPDX-License-Identifier: Apache-2.0
// Copies between host and devices and between devices, in the order of a stream; and memory shared with other processes.
#ifndef NEREID_GPU_COPY_H
#define NEREID_GPU_COPY_H

#include "gpu/memory.h"

// Copies `size` bytes; a NULL device is the host. Host memory that is not pinned is copied through the driver's own buffer,
// and the call may then take as long as the copy. Between two GPUs the bytes go directly where peer access was enabled
// (gpu_device_enable_peer) and through the host otherwise. The memory must stay until the stream has come by. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_copy(struct gpu_stream *stream, void *to,
                                         struct gpu_device *to_device, const void *from,
                                         struct gpu_device *from_device, size_t size);
// The same for parts of two buffers, with their events: waits until `from` is ready, counts as a use of both, and `to` is
// ready afterwards. NRD_INVALID_ARG: a part outside its buffer, or a GPU that there is not. Thread: any, one at a time a
// buffer.
NRD_MUST_USE struct nrd_status *gpu_copy_buffer(struct gpu_stream *stream, struct tensor_buffer *to,
                                                size_t to_offset, struct tensor_buffer *from,
                                                size_t from_offset, size_t size);

// ---- between processes --------------------------------------------------------------------------------------------

// The handle by which another process opens the allocation that `data` lies in, and `data`'s offset in it. For memory of
// slab pools and direct allocations. NRD_INVALID_ARG: not such memory. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_ipc_export(struct gpu_device *device, const void *data,
                                               struct cu_ipc_mem_handle *handle, uint64_t *offset);
// Opens another process's allocation: the buffer spans what was exported to its end, and its last unref closes it. `handle` is
// CU_IPC_HANDLE_BYTES bytes, as clients send them. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *gpu_ipc_open(struct gpu_device *device, struct slice handle,
                                             struct tensor_buffer **buffer);

#endif
