// SPDX-License-Identifier: Apache-2.0
// ABI: where opaque types of the C interfaces become the core's own structs, by a cast and nothing else.
//
// Every file of this folder includes this one first: it also switches the headers of include/triton/core to export.
#ifndef NEREID_CORE_ABI_ABI_H
#define NEREID_CORE_ABI_ABI_H

#define _COMPILING_TRITONSERVER 1
#define _COMPILING_TRITONBACKEND 1
#define _COMPILING_TRITONCACHE 1
#define _COMPILING_TRITONREPOAGENT 1
#include "triton/core/tritonbackend.h"
#include "triton/core/tritoncache.h"
#include "triton/core/tritonrepoagent.h"
#include "triton/core/tritonserver.h"

#include "base/status.h"

// An error of the ABI is a status. Takes and returns owned; NULL stays NULL.
static inline TRITONSERVER_Error *abi_error(struct nrd_status *status)
{
    return (TRITONSERVER_Error *)status;
}
// The other way: what a backend returned. Takes and returns owned.
static inline struct nrd_status *abi_status(TRITONSERVER_Error *error)
{
    return (struct nrd_status *)error;
}
// What a function answers that this server does not have yet.
static inline TRITONSERVER_Error *abi_unbuilt(const char *function)
{
    return abi_error(status_new(NRD_UNSUPPORTED, "%s is not built yet", function));
}

#endif
