// SPDX-License-Identifier: Apache-2.0
// nereid_device_lost, nereid_on_gpus_poisoned: what a backend says of its GPU, and what the core says of all (nereid/ext/core.h).
#include "base/log.h"
#include "core/abi/abi.h"
#include "core/drain.h"
#include "core/gpus.h"
#include "core/instance.h"
#include "core/model.h"
#include "core/server.h"
#include "nereid/ext/core.h"

void nereid_device_lost(struct TRITONBACKEND_ModelInstance *instance, int64_t device_id, int code,
                        const char *text)
{
    const struct instance *of = (const struct instance *)instance;
    int64_t id = device_id < 0 ? of->device_id : device_id;
    struct nrd_status *status = gpus_report(of->model->server->gpus, id, code, text);
    if (status == NULL) {
        LOG_WARN("model '%s': its backend says that GPU %lld is lost (%s), and it works",
                 of->model->name, (long long)id, text);
    }
    status_free(status);
}

struct TRITONSERVER_Error *nereid_on_gpus_poisoned(struct TRITONSERVER_Server *server,
                                                   nereid_gpus_poisoned_fn fn, void *arg)
{
    drain_tell_poisoned(((struct server *)server)->drain, fn, arg);
    return NULL;
}
