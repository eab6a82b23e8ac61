// SPDX-License-Identifier: Apache-2.0
// TRITONBACKEND_Model*: what a backend asks about a model of its own.
#include "core/abi/abi.h"

#include "base/mem.h"
#include "core/buffer_attributes.h"
#include "core/model.h"
#include "core/stats.h"

static struct model *own(TRITONBACKEND_Model *model)
{
    return (struct model *)model;
}

TRITONSERVER_Error *TRITONBACKEND_ModelName(TRITONBACKEND_Model *model, const char **name)
{
    *name = own(model)->name;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelVersion(TRITONBACKEND_Model *model, uint64_t *version)
{
    *version = (uint64_t)own(model)->version;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelRepository(TRITONBACKEND_Model *model,
                                                  TRITONBACKEND_ArtifactType *artifact_type,
                                                  const char **location)
{
    *artifact_type = TRITONBACKEND_ARTIFACT_FILESYSTEM;
    *location = own(model)->directory;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelConfig(TRITONBACKEND_Model *model,
                                              const uint32_t config_version,
                                              TRITONSERVER_Message **model_config)
{
    struct message *message = NULL;
    struct nrd_status *status = model_get_config(own(model), config_version, &message);
    if (status != NULL) {
        return abi_error(status);
    }
    *model_config = (TRITONSERVER_Message *)message;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelAutoCompleteConfig(TRITONBACKEND_Model *model,
                                                          bool *auto_complete_config)
{
    *auto_complete_config = own(model)->auto_complete;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelSetConfig(TRITONBACKEND_Model *model,
                                                 const uint32_t config_version,
                                                 TRITONSERVER_Message *model_config)
{
    const struct message *message = (const struct message *)model_config;
    return abi_error(
        model_set_config(own(model), config_version, slice_make(message->text, message->length)));
}

TRITONSERVER_Error *TRITONBACKEND_ModelServer(TRITONBACKEND_Model *model,
                                              TRITONSERVER_Server **server)
{
    *server = (TRITONSERVER_Server *)own(model)->server;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelBackend(TRITONBACKEND_Model *model,
                                               TRITONBACKEND_Backend **backend)
{
    *backend = (TRITONBACKEND_Backend *)own(model)->backend;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelState(TRITONBACKEND_Model *model, void **state)
{
    *state = own(model)->backend_state;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelSetState(TRITONBACKEND_Model *model, void *state)
{
    own(model)->backend_state = state;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelReportMemoryUsage(TRITONBACKEND_Model *model,
                                                         TRITONSERVER_BufferAttributes **usage,
                                                         uint32_t usage_size)
{
    return abi_error(stats_set_memory_usage(
        own(model)->stats, NULL, (const struct buffer_attributes *const *)usage, usage_size));
}
