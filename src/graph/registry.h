// SPDX-License-Identifier: Apache-2.0
// Operator classes by name: those of the library, of extensions, of the program.
#ifndef NEREID_GRAPH_REGISTRY_H
#define NEREID_GRAPH_REGISTRY_H

#include "base/status.h"
#include "base/str.h"
#include "nereid/graph.h"

// The name without "holoscan::ops::", "holoscan::", "nereid::", "nvidia::gxf::" before it. Borrowed from `name`.
const char *registry_bare_name(const char *name);
// Opens a library that exports `nrd_operators` and makes its classes known. NRD_NOT_FOUND: cannot be opened (the system's reason);
// NRD_INVALID_ARG: exports none, or one of another ABI. `*handle` is dlopen's; it may be kept or dropped. Thread: any.
NRD_MUST_USE struct nrd_status *registry_open(const char *path, void **handle);
// Opens a library: a bare name is looked for beside this library, in lib/nereid/operators, then as the system does. NRD_NOT_FOUND with the
// system's reason. `*handle` is dlopen's. Thread: any.
NRD_MUST_USE struct nrd_status *registry_library(const char *name, void **handle);
// NRD_NOT_FOUND: "unknown operator class 'x' (did you mean 'y'?)". Thread: any.
NRD_MUST_USE struct nrd_status *registry_find(const char *name,
                                              const struct nrd_operator_class **table);

#endif
