// SPDX-License-Identifier: Apache-2.0
// Parameter: a named, typed value as an object of its own (TRITONSERVER_Parameter), as loads, metric labels and
// repository mappings take it. Requests and responses keep their parameters in their own arenas.
#ifndef NEREID_CORE_PARAMETER_H
#define NEREID_CORE_PARAMETER_H

#include "triton/core/tritonserver.h"

struct parameter {
    char *name;
    TRITONSERVER_ParameterType type;
    union {
        char *string; // owned
        int64_t integer;
        bool boolean;
        double real;
        const void *bytes; // borrowed
    } value;
    uint64_t byte_size; // of bytes and string
};

#endif
