// SPDX-License-Identifier: Apache-2.0
// Shared memory that clients register by name, so that tensors need not travel through a socket.
//
// A manager holds the regions; requests hold leases on them. A region that is unregistered while leased goes
// when its last lease does; until then its name is taken, and it may still be used and shows in the status, as in Triton.
// Memory of a GPU is opened by the core, where that is Nereid's (nereid/ext/core.h). Registering, unregistering and status make system
// calls and driver calls that do not wait for anyone (shm_open, mmap, cuIpcOpenMemHandle): fine on a loop thread.
#ifndef NEREID_PROTOCOL_SHM_H
#define NEREID_PROTOCOL_SHM_H

#include "base/slice.h"
#include "base/status.h"
#include "triton/core/tritonserver.h"

struct shm_manager;
struct shm_region;

enum shm_kind { SHM_SYSTEM, SHM_CUDA };

// `allowed` is --allow-client-shm: without it registering and unregistering are NRD_UNSUPPORTED with Triton's text.
// Returns owned; NULL when memory is out.
struct shm_manager *shm_manager_create(bool allowed);
// Takes the caller's reference. Leased regions live on until they are released. NULL is fine.
void shm_manager_destroy(struct shm_manager *m);
// Names the core that opens memory of GPUs; without it such regions are refused. Borrowed; it must outlive all regions. Thread:
// owner, before the manager is used.
void shm_set_core(struct shm_manager *m, TRITONSERVER_Server *core);
bool shm_allowed(const struct shm_manager *m); // Thread: any
// The status of a call that is not allowed, for front ends that check before they read their arguments. Returns owned.
NRD_MUST_USE struct nrd_status *shm_not_allowed(void);

// Maps [offset, offset + byte_size) of the POSIX object `key` under `name`. Errors with Triton's codes and texts: name
// taken, key invalid or not there, range outside of the object. Thread: any.
NRD_MUST_USE struct nrd_status *shm_register(struct shm_manager *m, struct slice name,
                                             struct slice key, uint64_t offset, uint64_t byte_size);
// Opens the memory of GPU `device_id` that `handle` (of cudaIpcGetMemHandle()) stands for; `byte_size` of it. NRD_INVALID_ARG "failed to
// register CUDA shared memory region: 'NAME', GPUs not supported", or what the driver says; name taken. Thread: any.
NRD_MUST_USE struct nrd_status *shm_register_cuda(struct shm_manager *m, struct slice name,
                                                  struct slice handle, int64_t device_id,
                                                  uint64_t byte_size);
// An unknown name is no error. An empty name stands for all regions of the kind. Thread: any.
NRD_MUST_USE struct nrd_status *shm_unregister(struct shm_manager *m, enum shm_kind kind,
                                               struct slice name);

struct shm_info {
    struct slice name;
    struct slice key;
    uint64_t offset;
    int64_t device_id; // of CUDA regions
    uint64_t byte_size;
};
typedef void (*shm_visit_fn)(void *arg, const struct shm_info *info);
// Calls `visit` for the region `name`, or for all of the kind, sorted by name, when it is empty. The manager is locked
// meanwhile: `visit` only writes down what it is told. NRD_NOT_FOUND with Triton's text. Thread: any.
NRD_MUST_USE struct nrd_status *shm_status(struct shm_manager *m, enum shm_kind kind,
                                           struct slice name, shm_visit_fn visit, void *arg);

struct shm_lease {
    struct shm_region *region;
    void *base; // where the `byte_size` bytes at `offset` are mapped, or lie on the GPU
    TRITONSERVER_MemoryType memory_type;
    int64_t memory_type_id;
};
// Finds a part of a region for a tensor and leases the region. Errors with Triton's codes and texts: not found, offset or
// range outside of it. Thread: any.
NRD_MUST_USE struct nrd_status *shm_lease(struct shm_manager *m, struct slice name, uint64_t offset,
                                          uint64_t byte_size, struct shm_lease *lease);
// Ends a lease. NULL is fine. Thread: any.
void shm_release(struct shm_region *region);

#endif
