// SPDX-License-Identifier: Apache-2.0
// nereid_place: where models would go, for the command line (nereid/ext/core.h).
#include "core/abi/abi.h"
#include "core/lifecycle.h"
#include "core/message.h"
#include "core/server.h"
#include "nereid/ext/core.h"

struct TRITONSERVER_Error *nereid_place(struct TRITONSERVER_Server *server,
                                        struct TRITONSERVER_Message **message)
{
    struct str json = STR_INIT;
    struct message *made = NULL;
    struct nrd_status *status =
        lifecycle_report_places(((struct server *)server)->lifecycle, &json);
    if (status == NULL) {
        status = message_take(&json, &made);
    }
    str_fini(&json);
    if (status == NULL) {
        *message = (struct TRITONSERVER_Message *)made;
    }
    return (struct TRITONSERVER_Error *)abi_error(status);
}
