// SPDX-License-Identifier: Apache-2.0
// Errors across the wall: our statuses and the interface's TRITONSERVER_Error carry the same codes and texts. Thread: any.
#ifndef NEREID_PROTOCOL_ERROR_H
#define NEREID_PROTOCOL_ERROR_H

#include "base/status.h"
#include "triton/core/tritonserver.h"

// The code of `error`, which is not NULL, as ours.
enum nrd_code error_code(TRITONSERVER_Error *error);
// Takes `error` and returns owned. NULL stays NULL.
NRD_MUST_USE struct nrd_status *error_to_status(TRITONSERVER_Error *error);
// Takes `status` and returns owned. NULL stays NULL.
NRD_MUST_USE TRITONSERVER_Error *status_to_error(struct nrd_status *status);

#endif
