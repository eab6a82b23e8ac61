// SPDX-License-Identifier: Apache-2.0
// Errors across the wall. The codes are the same but for the shift that makes room for NRD_OK.
#include "protocol/error.h"

_Static_assert((int)NRD_UNKNOWN == TRITONSERVER_ERROR_UNKNOWN + 1, "codes are shifted by one");
_Static_assert((int)NRD_CANCELLED == TRITONSERVER_ERROR_CANCELLED + 1, "codes are shifted by one");

enum nrd_code error_code(TRITONSERVER_Error *error)
{
    return (enum nrd_code)((int)TRITONSERVER_ErrorCode(error) + 1);
}

struct nrd_status *error_to_status(TRITONSERVER_Error *error)
{
    if (error == NULL) {
        return NULL;
    }
    struct nrd_status *status =
        status_new(error_code(error), "%s", TRITONSERVER_ErrorMessage(error));
    TRITONSERVER_ErrorDelete(error);
    return status;
}

TRITONSERVER_Error *status_to_error(struct nrd_status *status)
{
    if (status == NULL) {
        return NULL;
    }
    TRITONSERVER_Error *error = TRITONSERVER_ErrorNew(
        (TRITONSERVER_Error_Code)((int)status_code(status) - 1), status_text(status));
    status_free(status);
    return error;
}
