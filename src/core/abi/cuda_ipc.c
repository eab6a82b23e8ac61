// SPDX-License-Identifier: Apache-2.0
// nereid_cuda_ipc_*: memory of a GPU that a client shares, for front ends (nereid/ext/core.h).
#include "core/abi/abi.h"
#include "core/gpus.h"
#include "core/server.h"
#include "gpu/copy.h"
#include "nereid/ext/core.h"

static struct nrd_status *open_handle(struct gpus *gpus, struct slice handle, int64_t device_id,
                                      struct tensor_buffer **buffer)
{
    size_t count = gpus_devices(gpus).gpu_count;
    if (count == 0) {
        return status_new(NRD_UNSUPPORTED, "GPUs not supported");
    }
    if (device_id < 0 || (uint64_t)device_id >= count) {
        return status_new(NRD_INVALID_ARG, "there is no GPU %lld", (long long)device_id);
    }
    return gpu_ipc_open(gpus_device(gpus, (int32_t)device_id), handle, buffer);
}

struct TRITONSERVER_Error *nereid_cuda_ipc_open(struct TRITONSERVER_Server *server,
                                                const void *handle, size_t handle_size,
                                                int64_t device_id, void **base, uint64_t *byte_size,
                                                void **region)
{
    struct tensor_buffer *buffer = NULL;
    struct nrd_status *status = open_handle(
        ((struct server *)server)->gpus, (struct slice){handle, handle_size}, device_id, &buffer);
    if (status == NULL) {
        *base = buffer->data;
        *byte_size = buffer->size;
        *region = buffer;
    }
    return (struct TRITONSERVER_Error *)abi_error(status);
}

void nereid_cuda_ipc_close(void *region)
{
    buffer_unref(region);
}
