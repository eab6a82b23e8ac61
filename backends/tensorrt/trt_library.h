// SPDX-License-Identifier: Apache-2.0
// Finds TensorRT at run time, and the shim that was built for its release. Knows base only, so that
// the backend and `nereid build` share it.
//
// libnvinfer is looked for, the newest release first, in this order; the first two are explicit,
// so if they name something that cannot be opened, that is an error:
//   1. `named` (--backend-config=tensorrt,library-path=PATH, or build's --tensorrt=PATH)
//   2. NEREID_TENSORRT
//   3. the directory of the backend, and <prefix>/lib/nereid/tensorrt, seen from there
//   4. the system
//   5. an installed Python package: that of $VIRTUAL_ENV, then the system's
// PATH is the library, a directory that holds it, or the root of a Python environment. The other
// libraries of TensorRT (its ONNX parser, its plugins, the builder's resources) are those beside it.
#ifndef NEREID_BACKENDS_TENSORRT_TRT_LIBRARY_H
#define NEREID_BACKENDS_TENSORRT_TRT_LIBRARY_H

#include "backends/tensorrt/trt_shim.h"
#include "base/slice.h"
#include "base/status.h"
#include "base/str.h"

struct trt_library {
    const struct trt_shim *shim;
    struct trt_symbols symbols;
    int version; // of libnvinfer: 8503, 101600
    int major;
    int minor;
    struct str path;   // of libnvinfer
    struct str plugin; // why there are no standard plugins; "" when there are
    struct str parser; // why there is no ONNX parser; "" when there is
};

struct trt_places {
    struct slice named;    // explicit; empty: none
    const char *directory; // of the backend and its shims
    bool parser;           // whether the ONNX parser and the builder are wanted too
};

// NRD_UNSUPPORTED when no shim was built ("built without TensorRT headers") or none fits the
// library; NRD_NOT_FOUND without a library. On success nothing is ever closed: TensorRT does not
// survive being unloaded. The caller owns `library` (trt_library_fini), in both cases. Thread:
// owner.
NRD_MUST_USE struct nrd_status *trt_library_open(const struct trt_places *places,
                                                 struct trt_library *library);
void trt_library_fini(struct trt_library *library);
// Opens a library of plugins, which register themselves. Thread: owner.
NRD_MUST_USE struct nrd_status *trt_library_open_plugin(const char *path);

// "8.5.3" of 8503. Thread: any.
void trt_version_split(int version, int *major, int *minor, int *patch);

#endif
