// SPDX-License-Identifier: Apache-2.0
// TRITONSERVER_Server*: all but ServerInferAsync, which is a request's business (abi/request.c).
#include "core/abi/abi.h"

#include "base/log.h"
#include "core/lifecycle.h"
#include "core/metrics.h"
#include "core/model.h"
#include "core/server.h"
#include "core/server_report.h"

static struct server *own(TRITONSERVER_Server *server)
{
    return (struct server *)server;
}

// Hands a message out.
static TRITONSERVER_Error *give(struct nrd_status *status, struct message *message,
                                TRITONSERVER_Message **out)
{
    if (status == NULL) {
        *out = (TRITONSERVER_Message *)message;
    }
    return abi_error(status);
}

// ---- life -----------------------------------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONSERVER_ServerNew(TRITONSERVER_Server **server,
                                           TRITONSERVER_ServerOptions *options)
{
    struct server *made = NULL;
    struct nrd_status *status = server_create((const struct server_options *)options, &made);
    if (status == NULL) {
        *server = (TRITONSERVER_Server *)made;
    }
    return abi_error(status);
}

TRITONSERVER_Error *TRITONSERVER_ServerDelete(TRITONSERVER_Server *server)
{
    if (server == NULL) {
        return NULL;
    }
    struct nrd_status *status = server_stop(own(server));
    if (status != NULL) {
        return abi_error(status); // something is in flight: the memory stays
    }
    server_destroy(own(server));
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ServerStop(TRITONSERVER_Server *server)
{
    return server == NULL ? NULL : abi_error(server_stop(own(server)));
}

TRITONSERVER_Error *TRITONSERVER_ServerSetExitTimeout(TRITONSERVER_Server *server,
                                                      unsigned int timeout)
{
    if (server != NULL) {
        atomic_store(&own(server)->exit_timeout_s, timeout);
    }
    return NULL;
}

// ---- state ----------------------------------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONSERVER_ServerIsLive(TRITONSERVER_Server *server, bool *live)
{
    return abi_error(server_is_live(own(server), live));
}

TRITONSERVER_Error *TRITONSERVER_ServerIsReady(TRITONSERVER_Server *server, bool *ready)
{
    return abi_error(server_is_ready(own(server), ready));
}

TRITONSERVER_Error *TRITONSERVER_ServerModelIsReady(TRITONSERVER_Server *server,
                                                    const char *model_name,
                                                    const int64_t model_version, bool *ready)
{
    struct model *model = NULL;
    struct nrd_status *status = server_find_model(own(server), model_name, model_version, &model);
    if (status != NULL) {
        return abi_error(status);
    }
    *ready = false;
    status = server_check_ready(own(server));
    if (status == NULL) {
        *ready = model_instances_ready(model);
    }
    model_unref(model);
    return abi_error(status);
}

TRITONSERVER_Error *TRITONSERVER_ServerModelBatchProperties(TRITONSERVER_Server *server,
                                                            const char *model_name,
                                                            const int64_t model_version,
                                                            uint32_t *flags, void **voidp)
{
    if (voidp != NULL) {
        *voidp = NULL;
    }
    struct model *model = NULL;
    struct nrd_status *status = server_find_model(own(server), model_name, model_version, &model);
    if (status == NULL) {
        *flags =
            model->max_batch_size > 0 ? TRITONSERVER_BATCH_FIRST_DIM : TRITONSERVER_BATCH_UNKNOWN;
        model_unref(model);
    }
    return abi_error(status);
}

TRITONSERVER_Error *TRITONSERVER_ServerModelTransactionProperties(TRITONSERVER_Server *server,
                                                                  const char *model_name,
                                                                  const int64_t model_version,
                                                                  uint32_t *txn_flags, void **voidp)
{
    if (voidp != NULL) {
        *voidp = NULL;
    }
    *txn_flags = 0;
    struct model *model = NULL;
    struct nrd_status *status = server_find_model(own(server), model_name, model_version, &model);
    if (status == NULL) {
        *txn_flags = (model->flags & MODEL_FLAG_DECOUPLED) != 0 ? TRITONSERVER_TXN_DECOUPLED
                                                                : TRITONSERVER_TXN_ONE_TO_ONE;
        model_unref(model);
    }
    return abi_error(status);
}

// ---- documents ------------------------------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONSERVER_ServerMetadata(TRITONSERVER_Server *server,
                                                TRITONSERVER_Message **out)
{
    struct message *message = NULL;
    struct nrd_status *status = server_metadata(own(server), &message);
    return give(status, message, out);
}

TRITONSERVER_Error *TRITONSERVER_ServerModelMetadata(TRITONSERVER_Server *server,
                                                     const char *model_name,
                                                     const int64_t model_version,
                                                     TRITONSERVER_Message **model_metadata)
{
    struct message *message = NULL;
    struct nrd_status *status =
        server_model_metadata(own(server), model_name, model_version, &message);
    return give(status, message, model_metadata);
}

TRITONSERVER_Error *TRITONSERVER_ServerModelStatistics(TRITONSERVER_Server *server,
                                                       const char *model_name,
                                                       const int64_t model_version,
                                                       TRITONSERVER_Message **model_stats)
{
    struct message *message = NULL;
    struct nrd_status *status =
        server_model_statistics(own(server), model_name, model_version, &message);
    return give(status, message, model_stats);
}

TRITONSERVER_Error *TRITONSERVER_ServerModelConfig(TRITONSERVER_Server *server,
                                                   const char *model_name,
                                                   const int64_t model_version,
                                                   const uint32_t config_version,
                                                   TRITONSERVER_Message **model_config)
{
    struct model *model = NULL;
    struct nrd_status *status = server_find_model(own(server), model_name, model_version, &model);
    struct message *message = NULL;
    if (status == NULL) {
        status = model_get_config(model, config_version, &message);
        model_unref(model);
    }
    return give(status, message, model_config);
}

TRITONSERVER_Error *TRITONSERVER_ServerModelIndex(TRITONSERVER_Server *server, uint32_t flags,
                                                  TRITONSERVER_Message **model_index)
{
    struct nrd_status *status = server_check_ready(own(server));
    struct message *message = NULL;
    struct str out = STR_INIT;
    if (status == NULL) {
        status = lifecycle_index(own(server)->lifecycle,
                                 (flags & TRITONSERVER_INDEX_FLAG_READY) != 0, &out);
    }
    if (status == NULL) {
        status = message_take(&out, &message);
    }
    str_fini(&out);
    return give(status, message, model_index);
}

// ---- control --------------------------------------------------------------------------------------------------------

// Counts a control call, so that a server that stops waits for it.
static struct nrd_status *begin_control(struct server *server)
{
    // Counted before the look: a stop that comes after the look sees the call.
    atomic_fetch_add(&server->control_calls, 1);
    struct nrd_status *status = server_check_ready(server);
    if (status != NULL) {
        atomic_fetch_sub(&server->control_calls, 1);
    }
    return status;
}

static TRITONSERVER_Error *end_control(struct server *server, struct nrd_status *status)
{
    atomic_fetch_sub(&server->control_calls, 1);
    return abi_error(status);
}

TRITONSERVER_Error *TRITONSERVER_ServerLoadModel(TRITONSERVER_Server *server,
                                                 const char *model_name)
{
    return TRITONSERVER_ServerLoadModelWithParameters(server, model_name, NULL, 0);
}

TRITONSERVER_Error *
TRITONSERVER_ServerLoadModelWithParameters(TRITONSERVER_Server *server, const char *model_name,
                                           const TRITONSERVER_Parameter **parameters,
                                           const uint64_t parameter_count)
{
    if (parameters == NULL && parameter_count != 0) {
        return abi_error(status_new(NRD_INVALID_ARG, "load parameters are not provided while "
                                                     "parameter count is non-zero"));
    }
    struct nrd_status *status = begin_control(own(server));
    if (status != NULL) {
        return abi_error(status);
    }
    status = lifecycle_load(own(server)->lifecycle, model_name,
                            (const struct parameter *const *)parameters, parameter_count);
    return end_control(own(server), status);
}

TRITONSERVER_Error *TRITONSERVER_ServerUnloadModel(TRITONSERVER_Server *server,
                                                   const char *model_name)
{
    struct nrd_status *status = begin_control(own(server));
    if (status != NULL) {
        return abi_error(status);
    }
    return end_control(own(server), lifecycle_unload(own(server)->lifecycle, model_name));
}

// Only ensembles have dependents, and there are none yet: this unloads just the model.
TRITONSERVER_Error *TRITONSERVER_ServerUnloadModelAndDependents(TRITONSERVER_Server *server,
                                                                const char *model_name)
{
    return TRITONSERVER_ServerUnloadModel(server, model_name);
}

TRITONSERVER_Error *TRITONSERVER_ServerPollModelRepository(TRITONSERVER_Server *server)
{
    LOG_DEBUG(1, "Polling model repository");
    struct nrd_status *status = begin_control(own(server));
    if (status != NULL) {
        status_free(status); // a server that starts or stops is not polled, which is no error
        return NULL;
    }
    return end_control(own(server), lifecycle_poll(own(server)->lifecycle));
}

TRITONSERVER_Error *
TRITONSERVER_ServerRegisterModelRepository(TRITONSERVER_Server *server, const char *repository_path,
                                           const TRITONSERVER_Parameter **name_mapping,
                                           const uint32_t mapping_count)
{
    if (name_mapping == NULL && mapping_count != 0) {
        return abi_error(status_new(NRD_INVALID_ARG, "model mappings are not provided while "
                                                     "mapping count is non-zero"));
    }
    return abi_error(lifecycle_register(own(server)->lifecycle, repository_path,
                                        (const struct parameter *const *)name_mapping,
                                        mapping_count));
}

TRITONSERVER_Error *TRITONSERVER_ServerUnregisterModelRepository(TRITONSERVER_Server *server,
                                                                 const char *repository_path)
{
    return abi_error(lifecycle_unregister(own(server)->lifecycle, repository_path));
}
