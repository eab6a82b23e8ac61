// SPDX-License-Identifier: Apache-2.0
// Finds and opens ONNX Runtime's library, once for the process, and holds its environment.
// framework.h tells where it is looked for (NEREID_ONNXRUNTIME, or library-path).
#ifndef NEREID_BACKENDS_ONNXRUNTIME_ORT_LIBRARY_H
#define NEREID_BACKENDS_ONNXRUNTIME_ORT_LIBRARY_H

#include <pthread.h>

#include "backends/common/backend.h"
#include "backends/onnxruntime/ort_abi.h"

struct ort_library {
    struct ort_functions fn;
    char *path;          // what was opened
    const char *version; // the library's own
    struct ort_env *env;
    struct ort_allocator *allocator; // the library's default; lives as long as it
    struct ort_memory_info *cpu;
    bool global_threads; // sessions share one thread pool
    bool has_cuda;       // it was built with the CUDA execution provider
    // While a run is captured as a CUDA graph no other may allocate memory: capturing runs hold it
    // for writing, all others on GPUs, and loads, for reading.
    pthread_rwlock_t runs;
    pthread_mutex_t mutex; // what follows
    bool gpu_asked;
    bool gpu_refused;
    char *gpu_obstacle;
};

// Opens the library and makes its environment. The caller owns `library` (ort_library_fini).
// Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *ort_library_init(struct ort_library *library,
                                                  TRITONBACKEND_Backend *backend,
                                                  const struct backend_settings *settings);
// Ends the environment; all sessions are gone. The code of the library stays in the process: it
// does not survive being unloaded.
void ort_library_fini(struct ort_library *library);

// Turns a status of the library into an error, "onnx runtime error CODE: TEXT". Takes `status`;
// NULL gives NULL. Thread: any.
NRD_MUST_USE TRITONSERVER_Error *ort_error(const struct ort_library *library,
                                           struct ort_status *status);
// Whether the library was built with an execution provider. Thread: any.
bool ort_has_provider(const struct ort_library *library, const char *name);

// Why there can be no sessions on GPUs: the provider is absent, or cannot be loaded, which names what
// is missing; NULL where there can. The first call loads the provider, which may take a second.
// Borrowed from `library`. Thread: any.
const char *ort_gpu_obstacle(struct ort_library *library);

#define ORT_TRY(library, expression) BACKEND_TRY(ort_error((library), (expression)))

#endif
