// SPDX-License-Identifier: Apache-2.0
// The part of the CUDA driver's interface that Nereid uses, stated as what it is in memory: names of exported functions,
// their signatures, and constants. No header of the CUDA toolkit is needed to build (docs/decisions/0010-cuda-abi.md).
// Source: NVIDIA's "CUDA Driver API" manual, release 13.0. An exported name never changes its signature; where it had to, a
// name with _v2 was added, so the name alone fixes the ABI. tests/gpu/check_abi.c compares all of this with cuda.h where
// there is one.
//
// GPU_DRIVER_FUNCTIONS: F(name here, exported name, needed, arguments). All return a CUresult, here an int. `needed` 0:
// drivers from 11.4 on may lack it, and the member is NULL then.
#ifndef NEREID_GPU_DRIVER_ABI_H
#define NEREID_GPU_DRIVER_ABI_H

#include <stddef.h>
#include <stdint.h>

struct cu_context;
struct cu_stream;
struct cu_event;
struct cu_module;
struct cu_function;
struct cu_graph;
struct cu_graph_exec;
struct cu_graph_node;
struct cu_mempool;
typedef void (*cu_host_fn)(void *arg);

// CUresult, those that we tell apart.
enum cu_result {
    CU_SUCCESS = 0,
    CU_INVALID_VALUE = 1,
    CU_OUT_OF_MEMORY = 2,
    CU_NOT_INITIALIZED = 3,
    CU_DEINITIALIZED = 4,
    CU_STUB_LIBRARY = 34,
    CU_DEVICE_UNAVAILABLE = 46,
    CU_NO_DEVICE = 100,
    CU_INVALID_DEVICE = 101,
    CU_INVALID_IMAGE = 200,
    CU_INVALID_CONTEXT = 201,
    CU_NO_BINARY_FOR_GPU = 209,
    CU_ECC_UNCORRECTABLE = 214,
    CU_PEER_ACCESS_UNSUPPORTED = 217,
    CU_INVALID_PTX = 218,
    CU_NVLINK_UNCORRECTABLE = 220,
    CU_UNSUPPORTED_PTX_VERSION = 222,
    CU_CONTAINED = 226,
    CU_INVALID_HANDLE = 400,
    CU_ILLEGAL_STATE = 401,
    CU_NOT_FOUND = 500,
    CU_NOT_READY = 600,
    CU_ILLEGAL_ADDRESS = 700,
    CU_LAUNCH_OUT_OF_RESOURCES = 701,
    CU_LAUNCH_TIMEOUT = 702,
    CU_PEER_ACCESS_ALREADY_ENABLED = 704,
    CU_CONTEXT_IS_DESTROYED = 709,
    CU_ASSERT = 710,
    CU_HARDWARE_STACK_ERROR = 714,
    CU_ILLEGAL_INSTRUCTION = 715,
    CU_MISALIGNED_ADDRESS = 716,
    CU_INVALID_ADDRESS_SPACE = 717,
    CU_INVALID_PC = 718,
    CU_LAUNCH_FAILED = 719,
    CU_NOT_SUPPORTED = 801,
    CU_STREAM_CAPTURE_UNSUPPORTED = 900,
    CU_STREAM_CAPTURE_INVALIDATED = 901,
    CU_CAPTURED_EVENT = 907,
    CU_GRAPH_EXEC_UPDATE_FAILURE = 910,
    CU_UNKNOWN = 999,
};

// CUdevice_attribute
enum cu_device_attribute {
    CU_ATTR_CLOCK_RATE = 13, // kHz
    CU_ATTR_MULTIPROCESSOR_COUNT = 16,
    CU_ATTR_INTEGRATED = 18,
    CU_ATTR_MEMORY_CLOCK_RATE = 36,       // kHz
    CU_ATTR_GLOBAL_MEMORY_BUS_WIDTH = 37, // bits
    CU_ATTR_L2_CACHE_SIZE = 38,           // bytes
    CU_ATTR_ASYNC_ENGINE_COUNT = 40,      // copies that may run beside kernels
    CU_ATTR_UNIFIED_ADDRESSING = 41,
    CU_ATTR_COMPUTE_CAPABILITY_MAJOR = 75,
    CU_ATTR_COMPUTE_CAPABILITY_MINOR = 76,
    CU_ATTR_MEMORY_POOLS_SUPPORTED = 115,
};
// CUdevice_P2PAttribute
enum cu_p2p_attribute { CU_P2P_PERFORMANCE_RANK = 1, CU_P2P_ACCESS_SUPPORTED = 2 };

enum { CU_STREAM_FLAG_NON_BLOCKING = 1 };
enum { CU_EVENT_FLAG_DEFAULT = 0, CU_EVENT_FLAG_BLOCKING_SYNC = 1, CU_EVENT_FLAG_NO_TIMING = 2 };
enum { CU_HOST_ALLOC_PORTABLE = 1, CU_HOST_REGISTER_PORTABLE = 1 };
// CUstreamCaptureMode
enum { CU_CAPTURE_GLOBAL = 0, CU_CAPTURE_THREAD_LOCAL = 1, CU_CAPTURE_RELAXED = 2 };
// CUstreamCaptureStatus
enum { CU_CAPTURE_NONE = 0, CU_CAPTURE_ACTIVE = 1, CU_CAPTURE_INVALIDATED = 2 };
// CUpointer_attribute, CUmemorytype
enum { CU_POINTER_MEMORY_TYPE = 2, CU_POINTER_DEVICE_ORDINAL = 9 };
enum { CU_MEMORY_HOST = 1, CU_MEMORY_DEVICE = 2 };
// CUmemPool_attribute
enum {
    CU_MEMPOOL_RELEASE_THRESHOLD = 4, // uint64_t
    CU_MEMPOOL_RESERVED_CURRENT = 5,  // uint64_t
    CU_MEMPOOL_USED_CURRENT = 7,      // uint64_t
};
enum { CU_MEM_LOCATION_DEVICE = 1, CU_MEM_ALLOCATION_PINNED = 1, CU_MEM_ACCESS_READWRITE = 3 };
enum { CU_IPC_LAZY_ENABLE_PEER_ACCESS = 1, CU_IPC_HANDLE_BYTES = 64 };
// CUfunction_attribute
enum { CU_FUNC_MAX_DYNAMIC_SHARED = 8 };
// CUjit_option
enum { CU_JIT_ERROR_LOG = 5, CU_JIT_ERROR_LOG_SIZE = 6 };

struct cu_uuid {
    unsigned char bytes[16];
};
struct cu_ipc_mem_handle {
    char reserved[CU_IPC_HANDLE_BYTES];
};
struct cu_mem_location {
    int type;
    int id;
};
struct cu_mempool_props {
    int alloc_type;
    int handle_types;
    struct cu_mem_location location;
    void *win32_security_attributes;
    size_t max_size; // 0: the system's
    unsigned short usage;
    unsigned char reserved[54];
};
struct cu_mem_access {
    struct cu_mem_location location;
    int flags;
};
struct cu_graph_update_info {
    int result;
    struct cu_graph_node *error_node;
    struct cu_graph_node *error_from_node;
};
_Static_assert(sizeof(void *) != 8 || sizeof(struct cu_mempool_props) == 88, "CUmemPoolProps");
_Static_assert(sizeof(struct cu_mem_access) == 12, "CUmemAccessDesc");
_Static_assert(sizeof(void *) != 8 || sizeof(struct cu_graph_update_info) == 24,
               "CUgraphExecUpdateResultInfo");

// clang-format off
#define GPU_DRIVER_FUNCTIONS(F) \
    F(init, cuInit, 1, (unsigned flags)) \
    F(driver_version, cuDriverGetVersion, 1, (int *version)) \
    F(error_name, cuGetErrorName, 1, (int error, const char **text)) \
    F(error_string, cuGetErrorString, 1, (int error, const char **text)) \
    F(device_count, cuDeviceGetCount, 1, (int *count)) \
    F(device_get, cuDeviceGet, 1, (int *device, int ordinal)) \
    F(device_name, cuDeviceGetName, 1, (char *name, int length, int device)) \
    F(device_uuid, cuDeviceGetUuid_v2, 1, (struct cu_uuid *uuid, int device)) \
    F(device_total_mem, cuDeviceTotalMem_v2, 1, (size_t *bytes, int device)) \
    F(device_attribute, cuDeviceGetAttribute, 1, (int *value, int attribute, int device)) \
    F(device_pci_bus_id, cuDeviceGetPCIBusId, 1, (char *id, int length, int device)) \
    F(device_can_access_peer, cuDeviceCanAccessPeer, 1, (int *can, int device, int peer)) \
    F(device_p2p_attribute, cuDeviceGetP2PAttribute, 1, (int *value, int attribute, int from, int to)) \
    F(primary_retain, cuDevicePrimaryCtxRetain, 1, (struct cu_context **context, int device)) \
    F(primary_release, cuDevicePrimaryCtxRelease_v2, 1, (int device)) \
    F(primary_state, cuDevicePrimaryCtxGetState, 1, (int device, unsigned *flags, int *active)) \
    F(ctx_push, cuCtxPushCurrent_v2, 1, (struct cu_context *context)) \
    F(ctx_pop, cuCtxPopCurrent_v2, 1, (struct cu_context **context)) \
    F(ctx_get_current, cuCtxGetCurrent, 1, (struct cu_context **context)) \
    F(ctx_synchronize, cuCtxSynchronize, 1, (void)) \
    F(ctx_enable_peer, cuCtxEnablePeerAccess, 1, (struct cu_context *peer, unsigned flags)) \
    F(ctx_priority_range, cuCtxGetStreamPriorityRange, 1, (int *least, int *greatest)) \
    F(mem_info, cuMemGetInfo_v2, 1, (size_t *free, size_t *total)) \
    F(mem_alloc, cuMemAlloc_v2, 1, (uint64_t *pointer, size_t size)) \
    F(mem_free, cuMemFree_v2, 1, (uint64_t pointer)) \
    F(mem_host_alloc, cuMemHostAlloc, 1, (void **pointer, size_t size, unsigned flags)) \
    F(mem_free_host, cuMemFreeHost, 1, (void *pointer)) \
    F(mem_host_register, cuMemHostRegister_v2, 1, (void *pointer, size_t size, unsigned flags)) \
    F(mem_host_unregister, cuMemHostUnregister, 1, (void *pointer)) \
    F(mem_address_range, cuMemGetAddressRange_v2, 1, (uint64_t *base, size_t *size, uint64_t pointer)) \
    F(pointer_attribute, cuPointerGetAttribute, 1, (void *value, int attribute, uint64_t pointer)) \
    F(memcpy_async, cuMemcpyAsync, 1, (uint64_t to, uint64_t from, size_t size, struct cu_stream *stream)) \
    F(memcpy_h2d_async, cuMemcpyHtoDAsync_v2, 1, (uint64_t to, const void *from, size_t size, struct cu_stream *stream)) \
    F(memcpy_d2h_async, cuMemcpyDtoHAsync_v2, 1, (void *to, uint64_t from, size_t size, struct cu_stream *stream)) \
    F(memcpy_d2d_async, cuMemcpyDtoDAsync_v2, 1, (uint64_t to, uint64_t from, size_t size, struct cu_stream *stream)) \
    F(memcpy_peer_async, cuMemcpyPeerAsync, 1, (uint64_t to, struct cu_context *to_context, uint64_t from, struct cu_context *from_context, size_t size, struct cu_stream *stream)) \
    F(memset_d8_async, cuMemsetD8Async, 1, (uint64_t to, unsigned char value, size_t size, struct cu_stream *stream)) \
    F(mempool_create, cuMemPoolCreate, 1, (struct cu_mempool **pool, const struct cu_mempool_props *props)) \
    F(mempool_destroy, cuMemPoolDestroy, 1, (struct cu_mempool *pool)) \
    F(mempool_set_attribute, cuMemPoolSetAttribute, 1, (struct cu_mempool *pool, int attribute, void *value)) \
    F(mempool_get_attribute, cuMemPoolGetAttribute, 1, (struct cu_mempool *pool, int attribute, void *value)) \
    F(mempool_trim, cuMemPoolTrimTo, 1, (struct cu_mempool *pool, size_t keep)) \
    F(mempool_set_access, cuMemPoolSetAccess, 1, (struct cu_mempool *pool, const struct cu_mem_access *map, size_t count)) \
    F(mempool_alloc_async, cuMemAllocFromPoolAsync, 1, (uint64_t *pointer, size_t size, struct cu_mempool *pool, struct cu_stream *stream)) \
    F(mem_free_async, cuMemFreeAsync, 1, (uint64_t pointer, struct cu_stream *stream)) \
    F(ipc_get_mem_handle, cuIpcGetMemHandle, 1, (struct cu_ipc_mem_handle *handle, uint64_t pointer)) \
    F(ipc_open_mem_handle, cuIpcOpenMemHandle_v2, 1, (uint64_t *pointer, struct cu_ipc_mem_handle handle, unsigned flags)) \
    F(ipc_close_mem_handle, cuIpcCloseMemHandle, 1, (uint64_t pointer)) \
    F(stream_create, cuStreamCreateWithPriority, 1, (struct cu_stream **stream, unsigned flags, int priority)) \
    F(stream_destroy, cuStreamDestroy_v2, 1, (struct cu_stream *stream)) \
    F(stream_synchronize, cuStreamSynchronize, 1, (struct cu_stream *stream)) \
    F(stream_query, cuStreamQuery, 1, (struct cu_stream *stream)) \
    F(stream_wait_event, cuStreamWaitEvent, 1, (struct cu_stream *stream, struct cu_event *event, unsigned flags)) \
    F(stream_is_capturing, cuStreamIsCapturing, 1, (struct cu_stream *stream, int *status)) \
    F(launch_host_fn, cuLaunchHostFunc, 1, (struct cu_stream *stream, cu_host_fn fn, void *arg)) \
    F(event_create, cuEventCreate, 1, (struct cu_event **event, unsigned flags)) \
    F(event_destroy, cuEventDestroy_v2, 1, (struct cu_event *event)) \
    F(event_record, cuEventRecord, 1, (struct cu_event *event, struct cu_stream *stream)) \
    F(event_query, cuEventQuery, 1, (struct cu_event *event)) \
    F(event_synchronize, cuEventSynchronize, 1, (struct cu_event *event)) \
    F(event_elapsed, cuEventElapsedTime, 1, (float *milliseconds, struct cu_event *begin, struct cu_event *end)) \
    F(thread_capture_mode, cuThreadExchangeStreamCaptureMode, 1, (int *mode)) \
    F(capture_begin, cuStreamBeginCapture_v2, 1, (struct cu_stream *stream, int mode)) \
    F(capture_end, cuStreamEndCapture, 1, (struct cu_stream *stream, struct cu_graph **graph)) \
    F(graph_nodes, cuGraphGetNodes, 1, (struct cu_graph *graph, struct cu_graph_node **nodes, size_t *count)) \
    F(graph_instantiate, cuGraphInstantiateWithFlags, 1, (struct cu_graph_exec **exec, struct cu_graph *graph, unsigned long long flags)) \
    F(graph_exec_update, cuGraphExecUpdate_v2, 0, (struct cu_graph_exec *exec, struct cu_graph *graph, struct cu_graph_update_info *info)) \
    F(graph_upload, cuGraphUpload, 1, (struct cu_graph_exec *exec, struct cu_stream *stream)) \
    F(graph_launch, cuGraphLaunch, 1, (struct cu_graph_exec *exec, struct cu_stream *stream)) \
    F(graph_exec_destroy, cuGraphExecDestroy, 1, (struct cu_graph_exec *exec)) \
    F(graph_destroy, cuGraphDestroy, 1, (struct cu_graph *graph)) \
    F(module_load, cuModuleLoadDataEx, 1, (struct cu_module **module, const void *image, unsigned count, int *options, void **values)) \
    F(module_unload, cuModuleUnload, 1, (struct cu_module *module)) \
    F(module_function, cuModuleGetFunction, 1, (struct cu_function **function, struct cu_module *module, const char *name)) \
    F(function_set_attribute, cuFuncSetAttribute, 1, (struct cu_function *function, int attribute, int value)) \
    F(launch_kernel, cuLaunchKernel, 1, (struct cu_function *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes, struct cu_stream *stream, void **params, void **extra))
// clang-format on

#endif
