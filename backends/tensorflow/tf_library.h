// SPDX-License-Identifier: Apache-2.0
// Finds and opens TensorFlow's library, once for the process. framework.h tells where it is looked
// for (NEREID_TENSORFLOW, or library-path). It is libtensorflow_cc.so.2 as the Python packages
// carry it (with libtensorflow_framework.so.2 beside it), or libtensorflow.so.2 of the C API's own
// distribution.
#ifndef NEREID_BACKENDS_TENSORFLOW_TF_LIBRARY_H
#define NEREID_BACKENDS_TENSORFLOW_TF_LIBRARY_H

#include "backends/common/backend.h"
#include "backends/tensorflow/tf_abi.h"

struct tf_library {
    struct tf_functions fn;
    char *path;          // what was opened
    const char *version; // the library's own
    bool cuda;           // it was built for GPUs
    // Settings that all models share.
    bool soft_placement;
    double gpu_memory_fraction; // 0: memory grows as needed
    int default_max_batch_size;
};

// Opens the library and reads the settings. The caller owns `library` (tf_library_fini). Thread:
// owner.
NRD_MUST_USE TRITONSERVER_Error *tf_library_init(struct tf_library *library,
                                                 TRITONBACKEND_Backend *backend,
                                                 const struct backend_settings *settings);
// The code of the library stays in the process: it does not survive being unloaded.
void tf_library_fini(struct tf_library *library);

// Turns a status into an error (INTERNAL, TensorFlow's own text) and frees it; NULL when it is OK.
// Takes `status`. Thread: any.
NRD_MUST_USE TRITONSERVER_Error *tf_error(const struct tf_library *library,
                                          struct tf_status *status);

// Data types, both ways; TRITONSERVER_TYPE_INVALID and TF_TYPE_INVALID where there is none. Thread:
// any.
TRITONSERVER_DataType tf_to_triton(int type);
int tf_from_triton(TRITONSERVER_DataType dtype);

#endif
