// SPDX-License-Identifier: Apache-2.0
// TRITONBACKEND_Backend*, BackendAttribute*, MemoryManager*: what a backend asks about itself.
#include "core/abi/abi.h"

#include "base/mem.h"
#include "core/backend.h"
#include "core/gpus.h"

static struct backend *own(TRITONBACKEND_Backend *backend)
{
    return (struct backend *)backend;
}

TRITONSERVER_Error *TRITONBACKEND_BackendName(TRITONBACKEND_Backend *backend, const char **name)
{
    *name = own(backend)->name;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_BackendConfig(TRITONBACKEND_Backend *backend,
                                                TRITONSERVER_Message **backend_config)
{
    *backend_config = (TRITONSERVER_Message *)own(backend)->config;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_BackendExecutionPolicy(TRITONBACKEND_Backend *backend,
                                                         TRITONBACKEND_ExecutionPolicy *policy)
{
    *policy = own(backend)->execution_policy;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_BackendSetExecutionPolicy(TRITONBACKEND_Backend *backend,
                                                            TRITONBACKEND_ExecutionPolicy policy)
{
    own(backend)->execution_policy = policy;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_BackendArtifacts(TRITONBACKEND_Backend *backend,
                                                   TRITONBACKEND_ArtifactType *artifact_type,
                                                   const char **location)
{
    *artifact_type = TRITONBACKEND_ARTIFACT_FILESYSTEM;
    *location = own(backend)->directory;
    return NULL;
}

// The manager has no state of its own on a machine without a GPU; its address only has to be one.
TRITONSERVER_Error *TRITONBACKEND_BackendMemoryManager(TRITONBACKEND_Backend *backend,
                                                       TRITONBACKEND_MemoryManager **manager)
{
    *manager = (TRITONBACKEND_MemoryManager *)backend;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_BackendState(TRITONBACKEND_Backend *backend, void **state)
{
    *state = own(backend)->state;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_BackendSetState(TRITONBACKEND_Backend *backend, void *state)
{
    own(backend)->state = state;
    return NULL;
}

// ---- attributes -----------------------------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup(
    TRITONBACKEND_BackendAttribute *backend_attributes, const TRITONSERVER_InstanceGroupKind kind,
    const uint64_t count, const uint64_t *device_ids, const uint64_t id_count)
{
    return abi_error(
        backend_add_group((struct backend *)backend_attributes, kind, count, device_ids, id_count));
}

TRITONSERVER_Error *TRITONBACKEND_BackendAttributeSetParallelModelInstanceLoading(
    TRITONBACKEND_BackendAttribute *backend_attributes, bool enabled)
{
    ((struct backend *)backend_attributes)->parallel_instance_loading = enabled;
    return NULL;
}

// ---- memory ---------------------------------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONBACKEND_MemoryManagerAllocate(TRITONBACKEND_MemoryManager *manager,
                                                        void **buffer,
                                                        const TRITONSERVER_MemoryType memory_type,
                                                        const int64_t memory_type_id,
                                                        const uint64_t byte_size)
{
    const struct backend *backend = (const struct backend *)manager;
    switch (memory_type) {
    case TRITONSERVER_MEMORY_CPU: {
        void *memory = mem_aligned(64, byte_size == 0 ? 1 : byte_size);
        if (memory == NULL) {
            return abi_error(status_new(NRD_UNAVAILABLE, "CPU memory allocation failed"));
        }
        *buffer = memory;
        return NULL;
    }
    case TRITONSERVER_MEMORY_CPU_PINNED:
    case TRITONSERVER_MEMORY_GPU:
        return abi_error(gpus_allocate(backend->gpus, (enum nrd_memory)memory_type, memory_type_id,
                                       byte_size, buffer));
    }
    return abi_error(status_new(NRD_INVALID_ARG, "unknown memory type %d", (int)memory_type));
}

TRITONSERVER_Error *TRITONBACKEND_MemoryManagerFree(TRITONBACKEND_MemoryManager *manager,
                                                    void *buffer,
                                                    const TRITONSERVER_MemoryType memory_type,
                                                    const int64_t memory_type_id)
{
    const struct backend *backend = (const struct backend *)manager;
    (void)memory_type_id;
    switch (memory_type) {
    case TRITONSERVER_MEMORY_CPU:
        mem_free(buffer);
        return NULL;
    case TRITONSERVER_MEMORY_CPU_PINNED:
    case TRITONSERVER_MEMORY_GPU:
        return abi_error(gpus_free(backend->gpus, buffer));
    }
    return abi_error(status_new(NRD_INVALID_ARG, "unknown memory type %d", (int)memory_type));
}
