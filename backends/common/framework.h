// SPDX-License-Identifier: Apache-2.0
// Finds and opens the library of a framework at run time. Looked for, in this order; the first two
// are explicit, so if they name something that cannot be opened, that is an error:
//   1. the setting library-path (--backend-config=<backend>,library-path=PATH)
//   2. an environment variable
//   3. the directory of the backend
//   4. <prefix>/lib/nereid/<backend>, seen from there
//   5. the system
//   6. an installed Python package: that of $VIRTUAL_ENV, then the system's
// PATH is the library, a directory that holds it, or the root of a Python environment.
#ifndef NEREID_BACKENDS_COMMON_FRAMEWORK_H
#define NEREID_BACKENDS_COMMON_FRAMEWORK_H

#include "backends/common/backend.h"
#include "base/str.h"

struct framework {
    const char *title;    // "ONNX Runtime"
    const char *file;     // "libonnxruntime.so", for texts
    const char *backend;  // "onnxruntime"
    const char *variable; // "NEREID_ONNXRUNTIME"
    // Where it lies below a directory or a Python environment: patterns of glob(), the best first.
    const char *const *places;
    // Names that the system's linker knows.
    const char *const *names;
    int flags; // of dlopen
};
// `places` and `names` end with NULL. `*path` gets what was opened, `*handle` what dlopen gave;
// nobody closes it: such libraries do not survive being unloaded. Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *framework_open(const struct framework *f,
                                                TRITONBACKEND_Backend *backend,
                                                const struct backend_settings *settings,
                                                struct str *path, void **handle);

#endif
