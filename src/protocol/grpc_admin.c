// SPDX-License-Identifier: Apache-2.0
// The methods that carry no tensors: health, metadata, configuration, statistics, repository, shared memory, settings.
//
// The core describes itself in JSON whose names are those of the messages, so one conversion by descriptor serves them all. Each
// function takes the request's bytes and fills an answer. The table of all methods is at the end.
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "proto/grpc_service.pb-c.h"
#include "proto/health.pb-c.h"
#include "proto/json.h"
#include "proto/message.h"
#include "protocol/grpc_rpc.h"

static void fail_text(struct rpc_answer *answer, int status, const char *text)
{
    answer->status = status;
    answer->text = mem_strdup(text);
}

// Takes the error.
static void fail(struct rpc_answer *answer, TRITONSERVER_Error *error)
{
    fail_text(answer, rpc_status_of(error), TRITONSERVER_ErrorMessage(error));
    TRITONSERVER_ErrorDelete(error);
}

// Takes the status.
static void fail_status(struct rpc_answer *answer, struct nrd_status *status)
{
    fail_text(answer, code_grpc(status_code(status)), status_text(status));
    status_free(status);
}

// The request, or NULL and a failed answer.
static void *unpack(const ProtobufCMessageDescriptor *type, struct slice message,
                    struct rpc_answer *answer)
{
    void *request = protobuf_c_message_unpack(type, proto_allocator(), message.len,
                                              (const uint8_t *)message.ptr);
    if (request == NULL) {
        fail_text(answer, GRPC_INTERNAL, "failed to parse the request message");
    }
    return request;
}

static void pack(struct grpc_server *server, const void *response, struct rpc_answer *answer)
{
    const ProtobufCMessage *message = response;
    answer->size = protobuf_c_message_get_packed_size(message);
    answer->bytes = buffer_pool_get(server->buffers, GRPC_PREFIX + answer->size, NULL);
    if (answer->bytes == NULL) {
        fail_text(answer, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    (void)protobuf_c_message_pack(message, (uint8_t *)answer->bytes + GRPC_PREFIX);
}

// A message of one small varint field 1, or the empty message when `value` is 0.
static void pack_small(struct grpc_server *server, unsigned char value, struct rpc_answer *answer)
{
    answer->bytes = buffer_pool_get(server->buffers, GRPC_PREFIX + 2, NULL);
    if (answer->bytes == NULL) {
        fail_text(answer, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    answer->size = value == 0 ? 0 : 2;
    answer->bytes[GRPC_PREFIX] = 1 << 3;
    answer->bytes[GRPC_PREFIX + 1] = (char)value;
}

// Answers with the message of `type` that `json` describes, inside `before` and `after`. Takes `json` and `error`.
static void pack_json(struct grpc_server *server, const ProtobufCMessageDescriptor *type,
                      const char *before, TRITONSERVER_Message *json, const char *after,
                      TRITONSERVER_Error *error, struct rpc_answer *answer)
{
    const char *base = NULL;
    size_t size = 0;
    if (error == NULL) {
        error = TRITONSERVER_MessageSerializeToJson(json, &base, &size);
    }
    if (error != NULL) {
        fail(answer, error);
    } else {
        struct str text = STR_INIT;
        str_append_cstr(&text, before);
        str_append(&text, base, size);
        str_append_cstr(&text, after);
        ProtobufCMessage *response = proto_create(type);
        struct nrd_status *status = str_status(&text);
        if (status == NULL) {
            status =
                response == NULL ? status_no_memory() : proto_json_read(str_slice(&text), response);
        }
        if (status != NULL) {
            fail_text(answer, GRPC_INTERNAL, status_text(status));
            status_free(status);
        } else {
            pack(server, response, answer);
        }
        proto_destroy(response);
        str_fini(&text);
    }
    if (json != NULL) {
        TRITONSERVER_Error *ignored = TRITONSERVER_MessageDelete(json);
        if (ignored != NULL) {
            TRITONSERVER_ErrorDelete(ignored);
        }
    }
}

// ---- health ---------------------------------------------------------------------------------------------------------

static void server_live(struct grpc_server *server, struct slice message, struct rpc_answer *answer)
{
    (void)message;
    bool live = false;
    TRITONSERVER_Error *error = TRITONSERVER_ServerIsLive(server->core, &live);
    if (error != NULL) {
        fail(answer, error);
    } else {
        pack_small(server, live, answer);
    }
}

static void server_ready(struct grpc_server *server, struct slice message,
                         struct rpc_answer *answer)
{
    (void)message;
    bool ready = false;
    TRITONSERVER_Error *error = TRITONSERVER_ServerIsReady(server->core, &ready);
    if (error != NULL) {
        fail(answer, error);
    } else {
        pack_small(server, ready, answer);
    }
}

static void health_check(struct grpc_server *server, struct slice message,
                         struct rpc_answer *answer)
{
    (void)message;
    bool ready = false;
    TRITONSERVER_Error *error = TRITONSERVER_ServerIsReady(server->core, &ready);
    if (error != NULL) {
        fail(answer, error);
    } else {
        pack_small(server,
                   ready ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
                         : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING,
                   answer);
    }
}

static void model_ready(struct grpc_server *server, struct slice message, struct rpc_answer *answer)
{
    Inference__ModelReadyRequest *q =
        unpack(&inference__model_ready_request__descriptor, message, answer);
    if (q == NULL) {
        return;
    }
    bool ready = false;
    int64_t version;
    TRITONSERVER_Error *error = rpc_version(q->version, &version);
    if (error == NULL) {
        error = TRITONSERVER_ServerModelIsReady(server->core, q->name, version, &ready);
    }
    if (error != NULL) {
        fail(answer, error);
    } else {
        pack_small(server, ready, answer);
    }
    inference__model_ready_request__free_unpacked(q, proto_allocator());
}

// ---- descriptions ---------------------------------------------------------------------------------------------------

static void server_metadata(struct grpc_server *server, struct slice message,
                            struct rpc_answer *answer)
{
    (void)message;
    TRITONSERVER_Message *json = NULL;
    TRITONSERVER_Error *error = TRITONSERVER_ServerMetadata(server->core, &json);
    pack_json(server, &inference__server_metadata_response__descriptor, "", json, "", error,
              answer);
}

static void model_metadata(struct grpc_server *server, struct slice message,
                           struct rpc_answer *answer)
{
    Inference__ModelMetadataRequest *q =
        unpack(&inference__model_metadata_request__descriptor, message, answer);
    if (q == NULL) {
        return;
    }
    TRITONSERVER_Message *json = NULL;
    int64_t version;
    TRITONSERVER_Error *error = rpc_version(q->version, &version);
    if (error == NULL) {
        error = TRITONSERVER_ServerModelMetadata(server->core, q->name, version, &json);
    }
    pack_json(server, &inference__model_metadata_response__descriptor, "", json, "", error, answer);
    inference__model_metadata_request__free_unpacked(q, proto_allocator());
}

static void model_config(struct grpc_server *server, struct slice message,
                         struct rpc_answer *answer)
{
    Inference__ModelConfigRequest *q =
        unpack(&inference__model_config_request__descriptor, message, answer);
    if (q == NULL) {
        return;
    }
    TRITONSERVER_Message *json = NULL;
    int64_t version;
    TRITONSERVER_Error *error = rpc_version(q->version, &version);
    if (error == NULL) {
        error = TRITONSERVER_ServerModelConfig(server->core, q->name, version,
                                               1 /* of the configuration's form */, &json);
    }
    pack_json(server, &inference__model_config_response__descriptor, "{\"config\":", json, "}",
              error, answer);
    inference__model_config_request__free_unpacked(q, proto_allocator());
}

static void model_statistics(struct grpc_server *server, struct slice message,
                             struct rpc_answer *answer)
{
    Inference__ModelStatisticsRequest *q =
        unpack(&inference__model_statistics_request__descriptor, message, answer);
    if (q == NULL) {
        return;
    }
    TRITONSERVER_Message *json = NULL;
    int64_t version;
    TRITONSERVER_Error *error = rpc_version(q->version, &version);
    if (error == NULL) {
        error = TRITONSERVER_ServerModelStatistics(server->core, q->name, version, &json);
    }
    pack_json(server, &inference__model_statistics_response__descriptor, "", json, "", error,
              answer);
    inference__model_statistics_request__free_unpacked(q, proto_allocator());
}

// ---- repository -----------------------------------------------------------------------------------------------------

static const char no_repository_name[] = "'repository_name' specification is not supported";

static void repository_index(struct grpc_server *server, struct slice message,
                             struct rpc_answer *answer)
{
    Inference__RepositoryIndexRequest *q =
        unpack(&inference__repository_index_request__descriptor, message, answer);
    if (q == NULL) {
        return;
    }
    if (q->repository_name[0] != '\0') {
        fail_text(answer, GRPC_UNIMPLEMENTED, no_repository_name);
    } else {
        TRITONSERVER_Message *json = NULL;
        TRITONSERVER_Error *error = TRITONSERVER_ServerModelIndex(
            server->core, q->ready ? TRITONSERVER_INDEX_FLAG_READY : 0, &json);
        pack_json(server, &inference__repository_index_response__descriptor, "{\"models\":", json,
                  "}", error, answer);
    }
    inference__repository_index_request__free_unpacked(q, proto_allocator());
}

static TRITONSERVER_Error *
load_parameter(const Inference__RepositoryModelLoadRequest__ParametersEntry *entry,
               TRITONSERVER_Parameter **parameter)
{
    static const char wrong[] = "invalid value type for load parameter '%s', expected %s.";
    const Inference__ModelRepositoryParameter *value = entry->value;
    int kind = value == NULL ? 0 : (int)value->parameter_choice_case;
    if (slice_is(slice_of(entry->key), "config")) {
        if (kind != INFERENCE__MODEL_REPOSITORY_PARAMETER__PARAMETER_CHOICE_STRING_PARAM) {
            return rpc_error(TRITONSERVER_ERROR_INVALID_ARG, wrong, entry->key, "string_param");
        }
        *parameter = TRITONSERVER_ParameterNew(entry->key, TRITONSERVER_PARAMETER_STRING,
                                               value->string_param);
    } else if (slice_starts(slice_of(entry->key), SLICE("file:"))) {
        if (kind != INFERENCE__MODEL_REPOSITORY_PARAMETER__PARAMETER_CHOICE_BYTES_PARAM) {
            return rpc_error(TRITONSERVER_ERROR_INVALID_ARG, wrong, entry->key, "bytes_param");
        }
        *parameter = TRITONSERVER_ParameterBytesNew(entry->key, value->bytes_param.data,
                                                    value->bytes_param.len);
    } else {
        return rpc_error(TRITONSERVER_ERROR_INVALID_ARG, "unrecognized load parameter '%s'.",
                         entry->key);
    }
    return *parameter != NULL
               ? NULL
               : TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL,
                                       "unexpected error on creating Triton parameter");
}

static TRITONSERVER_Error *load(struct grpc_server *server,
                                const Inference__RepositoryModelLoadRequest *q)
{
    TRITONSERVER_Parameter **parameters = mem_calloc(q->n_parameters + 1, sizeof(*parameters));
    const TRITONSERVER_Parameter **shown = mem_calloc(q->n_parameters + 1, sizeof(*shown));
    TRITONSERVER_Error *error = NULL;
    if (parameters == NULL || shown == NULL) {
        error = TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNAVAILABLE, "out of memory");
    }
    unsigned count = 0;
    while (error == NULL && count < q->n_parameters) {
        error = load_parameter(q->parameters[count], &parameters[count]);
        if (error == NULL) {
            shown[count] = parameters[count];
            count++;
        }
    }
    if (error == NULL) {
        error =
            TRITONSERVER_ServerLoadModelWithParameters(server->core, q->model_name, shown, count);
    }
    for (unsigned i = 0; i < count; i++) {
        TRITONSERVER_ParameterDelete(parameters[i]);
    }
    mem_free(parameters);
    mem_free(shown);
    return error;
}

static void repository_model_load(struct grpc_server *server, struct slice message,
                                  struct rpc_answer *answer)
{
    Inference__RepositoryModelLoadRequest *q =
        unpack(&inference__repository_model_load_request__descriptor, message, answer);
    if (q == NULL) {
        return;
    }
    if (q->repository_name[0] != '\0') {
        fail_text(answer, GRPC_UNIMPLEMENTED, no_repository_name);
    } else {
        TRITONSERVER_Error *error = load(server, q);
        if (error != NULL) {
            fail(answer, error);
        } else {
            pack_small(server, 0, answer);
        }
    }
    inference__repository_model_load_request__free_unpacked(q, proto_allocator());
}

static TRITONSERVER_Error *unload(struct grpc_server *server,
                                  const Inference__RepositoryModelUnloadRequest *q)
{
    bool dependents = false;
    for (size_t i = 0; i < q->n_parameters; i++) {
        const Inference__ModelRepositoryParameter *value = q->parameters[i]->value;
        if (!slice_is(slice_of(q->parameters[i]->key), "unload_dependents")) {
            continue;
        }
        if (value == NULL ||
            value->parameter_choice_case !=
                INFERENCE__MODEL_REPOSITORY_PARAMETER__PARAMETER_CHOICE_BOOL_PARAM) {
            return TRITONSERVER_ErrorNew(
                TRITONSERVER_ERROR_INVALID_ARG,
                "invalid value type for 'unload_dependents' parameter, expected bool_param.");
        }
        dependents = value->bool_param != 0;
    }
    return dependents ? TRITONSERVER_ServerUnloadModelAndDependents(server->core, q->model_name)
                      : TRITONSERVER_ServerUnloadModel(server->core, q->model_name);
}

static void repository_model_unload(struct grpc_server *server, struct slice message,
                                    struct rpc_answer *answer)
{
    Inference__RepositoryModelUnloadRequest *q =
        unpack(&inference__repository_model_unload_request__descriptor, message, answer);
    if (q == NULL) {
        return;
    }
    if (q->repository_name[0] != '\0') {
        fail_text(answer, GRPC_UNIMPLEMENTED, no_repository_name);
    } else {
        TRITONSERVER_Error *error = unload(server, q);
        if (error != NULL) {
            fail(answer, error);
        } else {
            pack_small(server, 0, answer);
        }
    }
    inference__repository_model_unload_request__free_unpacked(q, proto_allocator());
}

// ---- shared memory --------------------------------------------------------------------------------------------------

// A status as the empty message or as a failure; takes it.
static void empty_or_status(struct grpc_server *server, struct nrd_status *status,
                            struct rpc_answer *answer)
{
    if (status != NULL) {
        fail_status(answer, status);
    } else {
        pack_small(server, 0, answer);
    }
}

struct status_list {
    Inference__SystemSharedMemoryStatusResponse *response;
    bool failed;
};

static void visit_region(void *arg, const struct shm_info *info)
{
    struct status_list *list = arg;
    Inference__SystemSharedMemoryStatusResponse *r = list->response;
    const ProtobufCFieldDescriptor *field = proto_field(r->base.descriptor, SLICE("regions"));
    Inference__SystemSharedMemoryStatusResponse__RegionsEntry **entry = proto_open(&r->base, field);
    if (entry == NULL || !proto_close_entry(&r->base, field) ||
        !proto_set_string(&(*entry)->key, info->name) ||
        !proto_set_string(&(*entry)->value->name, info->name) ||
        !proto_set_string(&(*entry)->value->key, info->key)) {
        list->failed = true;
        return;
    }
    (*entry)->value->offset = info->offset;
    (*entry)->value->byte_size = info->byte_size;
}

static void system_shm_status(struct grpc_server *server, struct slice message,
                              struct rpc_answer *answer)
{
    Inference__SystemSharedMemoryStatusRequest *q =
        unpack(&inference__system_shared_memory_status_request__descriptor, message, answer);
    if (q == NULL) {
        return;
    }
    struct status_list list = {(Inference__SystemSharedMemoryStatusResponse *)proto_create(
                                   &inference__system_shared_memory_status_response__descriptor),
                               false};
    struct nrd_status *status = list.response == NULL ? status_no_memory() : NULL;
    if (status == NULL && server->options.shm != NULL) {
        status =
            shm_status(server->options.shm, SHM_SYSTEM, slice_of(q->name), visit_region, &list);
    }
    if (status == NULL && list.failed) {
        status = status_no_memory();
    }
    if (status != NULL) {
        fail_status(answer, status);
    } else {
        pack(server, list.response, answer);
    }
    proto_destroy(list.response == NULL ? NULL : &list.response->base);
    inference__system_shared_memory_status_request__free_unpacked(q, proto_allocator());
}

static void system_shm_register(struct grpc_server *server, struct slice message,
                                struct rpc_answer *answer)
{
    Inference__SystemSharedMemoryRegisterRequest *q =
        unpack(&inference__system_shared_memory_register_request__descriptor, message, answer);
    if (q != NULL) {
        struct shm_manager *shm = server->options.shm;
        empty_or_status(server,
                        shm == NULL ? shm_not_allowed()
                                    : shm_register(shm, slice_of(q->name), slice_of(q->key),
                                                   q->offset, q->byte_size),
                        answer);
        inference__system_shared_memory_register_request__free_unpacked(q, proto_allocator());
    }
}

static void system_shm_unregister(struct grpc_server *server, struct slice message,
                                  struct rpc_answer *answer)
{
    Inference__SystemSharedMemoryUnregisterRequest *q =
        unpack(&inference__system_shared_memory_unregister_request__descriptor, message, answer);
    if (q != NULL) {
        struct shm_manager *shm = server->options.shm;
        empty_or_status(server,
                        shm == NULL ? shm_not_allowed()
                                    : shm_unregister(shm, SHM_SYSTEM, slice_of(q->name)),
                        answer);
        inference__system_shared_memory_unregister_request__free_unpacked(q, proto_allocator());
    }
}

struct cuda_status_list {
    Inference__CudaSharedMemoryStatusResponse *response;
    bool failed;
};

static void visit_cuda_region(void *arg, const struct shm_info *info)
{
    struct cuda_status_list *list = arg;
    Inference__CudaSharedMemoryStatusResponse *r = list->response;
    const ProtobufCFieldDescriptor *field = proto_field(r->base.descriptor, SLICE("regions"));
    Inference__CudaSharedMemoryStatusResponse__RegionsEntry **entry = proto_open(&r->base, field);
    if (entry == NULL || !proto_close_entry(&r->base, field) ||
        !proto_set_string(&(*entry)->key, info->name) ||
        !proto_set_string(&(*entry)->value->name, info->name)) {
        list->failed = true;
        return;
    }
    (*entry)->value->device_id = (uint64_t)info->device_id;
    (*entry)->value->byte_size = info->byte_size;
}

static void cuda_shm_status(struct grpc_server *server, struct slice message,
                            struct rpc_answer *answer)
{
    Inference__CudaSharedMemoryStatusRequest *q =
        unpack(&inference__cuda_shared_memory_status_request__descriptor, message, answer);
    if (q == NULL) {
        return;
    }
    struct cuda_status_list list = {(Inference__CudaSharedMemoryStatusResponse *)proto_create(
                                        &inference__cuda_shared_memory_status_response__descriptor),
                                    false};
    struct nrd_status *status = list.response == NULL ? status_no_memory() : NULL;
    if (status == NULL && server->options.shm != NULL) {
        status =
            shm_status(server->options.shm, SHM_CUDA, slice_of(q->name), visit_cuda_region, &list);
    }
    if (status == NULL && list.failed) {
        status = status_no_memory();
    }
    if (status != NULL) {
        fail_status(answer, status);
    } else {
        pack(server, list.response, answer);
    }
    proto_destroy(list.response == NULL ? NULL : &list.response->base);
    inference__cuda_shared_memory_status_request__free_unpacked(q, proto_allocator());
}

static void cuda_shm_register(struct grpc_server *server, struct slice message,
                              struct rpc_answer *answer)
{
    Inference__CudaSharedMemoryRegisterRequest *q =
        unpack(&inference__cuda_shared_memory_register_request__descriptor, message, answer);
    if (q != NULL) {
        struct shm_manager *shm = server->options.shm;
        empty_or_status(server,
                        shm == NULL
                            ? shm_not_allowed()
                            : shm_register_cuda(shm, slice_of(q->name),
                                                (struct slice){(const char *)q->raw_handle.data,
                                                               q->raw_handle.len},
                                                q->device_id, q->byte_size),
                        answer);
        inference__cuda_shared_memory_register_request__free_unpacked(q, proto_allocator());
    }
}

static void cuda_shm_unregister(struct grpc_server *server, struct slice message,
                                struct rpc_answer *answer)
{
    Inference__CudaSharedMemoryUnregisterRequest *q =
        unpack(&inference__cuda_shared_memory_unregister_request__descriptor, message, answer);
    if (q != NULL) {
        struct shm_manager *shm = server->options.shm;
        empty_or_status(server,
                        shm == NULL ? shm_not_allowed()
                                    : shm_unregister(shm, SHM_CUDA, slice_of(q->name)),
                        answer);
        inference__cuda_shared_memory_unregister_request__free_unpacked(q, proto_allocator());
    }
}

// ---- settings -------------------------------------------------------------------------------------------------------

static void trace_setting(struct grpc_server *server, struct slice message,
                          struct rpc_answer *answer)
{
    (void)server, (void)message;
    fail_text(answer, GRPC_UNIMPLEMENTED, "trace settings are not supported yet");
}

typedef Inference__LogSettingsRequest__SettingValue log_value;

// Each log setting goes to the core's log and to this program's: they are two copies of one library.
static TRITONSERVER_Error *set_level(enum log_level level, bool on)
{
    log_set_enabled(level, on);
    switch (level) {
    case LOG_INFO:
        return TRITONSERVER_ServerOptionsSetLogInfo(NULL, on);
    case LOG_WARNING:
        return TRITONSERVER_ServerOptionsSetLogWarn(NULL, on);
    case LOG_ERROR:
        return TRITONSERVER_ServerOptionsSetLogError(NULL, on);
    case LOG_VERBOSE:
        break;
    }
    return NULL;
}

static TRITONSERVER_Error *set_log_format(const char *name)
{
    bool iso = slice_is(slice_of(name), "ISO8601");
    if (!iso && !slice_is(slice_of(name), "default")) {
        return rpc_error(TRITONSERVER_ERROR_INVALID_ARG, "invalid argument for log_format, got: %s",
                         name);
    }
    log_set_format(iso ? LOG_FORMAT_ISO8601 : LOG_FORMAT_DEFAULT);
    return TRITONSERVER_ServerOptionsSetLogFormat(NULL, iso ? TRITONSERVER_LOG_ISO8601
                                                            : TRITONSERVER_LOG_DEFAULT);
}

static const log_value *log_setting(const Inference__LogSettingsRequest *q, const char *name)
{
    for (size_t i = q->n_settings; i-- > 0;) {
        if (slice_is(slice_of(q->settings[i]->key), name)) {
            static const log_value none = INFERENCE__LOG_SETTINGS_REQUEST__SETTING_VALUE__INIT;
            return q->settings[i]->value != NULL ? q->settings[i]->value : &none;
        }
    }
    return NULL;
}

static TRITONSERVER_Error *apply_log_settings(const Inference__LogSettingsRequest *q)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {{"log_info", LOG_INFO}, {"log_warning", LOG_WARNING}, {"log_error", LOG_ERROR}};
    if (log_setting(q, "log_file") != NULL) {
        return TRITONSERVER_ErrorNew(
            TRITONSERVER_ERROR_UNSUPPORTED,
            "log file location can not be updated through network protocol");
    }
    TRITONSERVER_Error *error = NULL;
    const log_value *value;
    for (size_t i = 0; error == NULL && i < sizeof(levels) / sizeof(levels[0]); i++) {
        value = log_setting(q, levels[i].name);
        if (value == NULL) {
            continue;
        }
        if (value->parameter_choice_case !=
            INFERENCE__LOG_SETTINGS_REQUEST__SETTING_VALUE__PARAMETER_CHOICE_BOOL_PARAM) {
            return rpc_error(TRITONSERVER_ERROR_INVALID_ARG, "expect boolean for '%s'",
                             levels[i].name);
        }
        error = set_level(levels[i].level, value->bool_param != 0);
    }
    value = error == NULL ? log_setting(q, "log_verbose_level") : NULL;
    if (value != NULL) {
        if (value->parameter_choice_case !=
            INFERENCE__LOG_SETTINGS_REQUEST__SETTING_VALUE__PARAMETER_CHOICE_UINT32_PARAM) {
            return rpc_error(TRITONSERVER_ERROR_INVALID_ARG, "expect int32 for '%s'",
                             "log_verbose_level");
        }
        log_set_verbose(value->uint32_param);
        error = TRITONSERVER_ServerOptionsSetLogVerbose(NULL, (int)value->uint32_param);
    }
    value = error == NULL ? log_setting(q, "log_format") : NULL;
    if (value != NULL) {
        if (value->parameter_choice_case !=
            INFERENCE__LOG_SETTINGS_REQUEST__SETTING_VALUE__PARAMETER_CHOICE_STRING_PARAM) {
            return rpc_error(TRITONSERVER_ERROR_INVALID_ARG, "expect string for '%s'",
                             "log_format");
        }
        error = set_log_format(value->string_param);
    }
    return error;
}

enum { LOG_SETTINGS = 6 };

static void pack_log_settings(struct grpc_server *server, struct rpc_answer *answer)
{
    typedef Inference__LogSettingsResponse__SettingValue setting_value;
    typedef Inference__LogSettingsResponse__SettingsEntry setting_entry;
    static const char *const names[LOG_SETTINGS] = {"log_file",  "log_info",          "log_warning",
                                                    "log_error", "log_verbose_level", "log_format"};
    setting_value values[LOG_SETTINGS];
    setting_entry entries[LOG_SETTINGS];
    setting_entry *list[LOG_SETTINGS];
    for (int i = 0; i < LOG_SETTINGS; i++) {
        values[i] = (setting_value)INFERENCE__LOG_SETTINGS_RESPONSE__SETTING_VALUE__INIT;
        values[i].parameter_choice_case =
            INFERENCE__LOG_SETTINGS_RESPONSE__SETTING_VALUE__PARAMETER_CHOICE_BOOL_PARAM;
        inference__log_settings_response__settings_entry__init(&entries[i]);
        entries[i].key = (char *)(uintptr_t)names[i];
        entries[i].value = &values[i];
        list[i] = &entries[i];
    }
    values[0].parameter_choice_case = values[5].parameter_choice_case =
        INFERENCE__LOG_SETTINGS_RESPONSE__SETTING_VALUE__PARAMETER_CHOICE_STRING_PARAM;
    values[0].string_param = (char *)(uintptr_t)log_get_file();
    values[1].bool_param = log_get_enabled(LOG_INFO);
    values[2].bool_param = log_get_enabled(LOG_WARNING);
    values[3].bool_param = log_get_enabled(LOG_ERROR);
    values[4].parameter_choice_case =
        INFERENCE__LOG_SETTINGS_RESPONSE__SETTING_VALUE__PARAMETER_CHOICE_UINT32_PARAM;
    values[4].uint32_param = log_get_verbose();
    values[5].string_param =
        (char *)(uintptr_t)(log_get_format() == LOG_FORMAT_ISO8601 ? "ISO8601" : "default");
    Inference__LogSettingsResponse response = INFERENCE__LOG_SETTINGS_RESPONSE__INIT;
    response.n_settings = LOG_SETTINGS;
    response.settings = list;
    pack(server, &response, answer);
}

static void log_settings(struct grpc_server *server, struct slice message,
                         struct rpc_answer *answer)
{
    Inference__LogSettingsRequest *q =
        unpack(&inference__log_settings_request__descriptor, message, answer);
    if (q == NULL) {
        return;
    }
    TRITONSERVER_Error *error = apply_log_settings(q);
    if (error != NULL) {
        fail(answer, error);
    } else {
        pack_log_settings(server, answer);
    }
    inference__log_settings_request__free_unpacked(q, proto_allocator());
}

// ---- the table ------------------------------------------------------------------------------------------------------

#define SERVICE(name)                                                                              \
    {                                                                                              \
        "/inference.GRPCInferenceService/" name,                                                   \
            sizeof("/inference.GRPCInferenceService/" name) - 1                                    \
    }
#define HEALTH(name)                                                                               \
    {                                                                                              \
        "/grpc.health.v1.Health/" name, sizeof("/grpc.health.v1.Health/" name) - 1                 \
    }

const struct rpc_method rpc_methods[] = {
    {SERVICE("ModelInfer"), RPC_INFER, RESTRICT_INFERENCE, NULL},
    {SERVICE("ModelStreamInfer"), RPC_STREAM, RESTRICT_INFERENCE, NULL},
    {SERVICE("ServerLive"), RPC_UNARY, RESTRICT_HEALTH, server_live},
    {SERVICE("ServerReady"), RPC_UNARY, RESTRICT_HEALTH, server_ready},
    {SERVICE("ModelReady"), RPC_UNARY, RESTRICT_HEALTH, model_ready},
    {HEALTH("Check"), RPC_UNARY, RESTRICT_HEALTH, health_check},
    {SERVICE("ServerMetadata"), RPC_UNARY, RESTRICT_METADATA, server_metadata},
    {SERVICE("ModelMetadata"), RPC_UNARY_WORKER, RESTRICT_METADATA, model_metadata},
    {SERVICE("ModelConfig"), RPC_UNARY_WORKER, RESTRICT_MODEL_CONFIG, model_config},
    {SERVICE("ModelStatistics"), RPC_UNARY_WORKER, RESTRICT_STATISTICS, model_statistics},
    {SERVICE("RepositoryIndex"), RPC_UNARY_WORKER, RESTRICT_MODEL_REPOSITORY, repository_index},
    {SERVICE("RepositoryModelLoad"), RPC_UNARY_LOADER, RESTRICT_MODEL_REPOSITORY,
     repository_model_load},
    {SERVICE("RepositoryModelUnload"), RPC_UNARY_LOADER, RESTRICT_MODEL_REPOSITORY,
     repository_model_unload},
    {SERVICE("SystemSharedMemoryStatus"), RPC_UNARY, RESTRICT_SHARED_MEMORY, system_shm_status},
    {SERVICE("SystemSharedMemoryRegister"), RPC_UNARY, RESTRICT_SHARED_MEMORY, system_shm_register},
    {SERVICE("SystemSharedMemoryUnregister"), RPC_UNARY, RESTRICT_SHARED_MEMORY,
     system_shm_unregister},
    {SERVICE("CudaSharedMemoryStatus"), RPC_UNARY, RESTRICT_SHARED_MEMORY, cuda_shm_status},
    {SERVICE("CudaSharedMemoryRegister"), RPC_UNARY, RESTRICT_SHARED_MEMORY, cuda_shm_register},
    {SERVICE("CudaSharedMemoryUnregister"), RPC_UNARY, RESTRICT_SHARED_MEMORY, cuda_shm_unregister},
    {SERVICE("TraceSetting"), RPC_UNARY, RESTRICT_TRACE, trace_setting},
    {SERVICE("LogSettings"), RPC_UNARY, RESTRICT_LOGGING, log_settings},
    {{NULL, 0}, RPC_UNARY, RESTRICT_HEALTH, NULL},
};
