// SPDX-License-Identifier: Apache-2.0
// TRITONSERVER_ServerOptions*: the setters. They store; what the values mean is decided in server_create.
#include "core/abi/abi.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "core/options.h"

#define OPTIONS struct server_options *own = (struct server_options *)options

// Replaces an owned text.
static TRITONSERVER_Error *set_text(char **text, const char *value)
{
    char *copy = mem_strdup(value == NULL ? "" : value);
    if (copy == NULL) {
        return abi_error(status_no_memory());
    }
    mem_free(*text);
    *text = copy;
    return NULL;
}

// Stores a number under a device number.
static TRITONSERVER_Error *set_device(struct setting_list *list, int device, uint64_t value)
{
    char group[24];
    char text[24];
    snprintf(group, sizeof(group), "%d", device);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return abi_error(setting_list_add(list, group, "bytes", text));
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsNew(TRITONSERVER_ServerOptions **options)
{
    struct server_options *made = server_options_create();
    if (made == NULL) {
        return abi_error(status_no_memory());
    }
    *options = (TRITONSERVER_ServerOptions *)made;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsDelete(TRITONSERVER_ServerOptions *options)
{
    server_options_destroy((struct server_options *)options);
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetServerId(TRITONSERVER_ServerOptions *options,
                                                          const char *server_id)
{
    OPTIONS;
    return set_text(&own->server_id, server_id);
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetModelRepositoryPath(TRITONSERVER_ServerOptions *options,
                                                 const char *model_repository_path)
{
    OPTIONS;
    if (text_list_has(&own->repositories, model_repository_path)) {
        return NULL;
    }
    return abi_error(text_list_add(&own->repositories, model_repository_path));
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetModelControlMode(TRITONSERVER_ServerOptions *options,
                                              TRITONSERVER_ModelControlMode mode)
{
    OPTIONS;
    own->control_mode = mode;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetStartupModel(TRITONSERVER_ServerOptions *options,
                                                              const char *model_name)
{
    OPTIONS;
    if (text_list_has(&own->startup_models, model_name)) {
        return NULL;
    }
    return abi_error(text_list_add(&own->startup_models, model_name));
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetStrictModelConfig(TRITONSERVER_ServerOptions *options, bool strict)
{
    OPTIONS;
    own->strict_model_config = strict;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetModelConfigName(TRITONSERVER_ServerOptions *options,
                                             const char *model_config_name)
{
    OPTIONS;
    return set_text(&own->model_config_name, model_config_name);
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetRateLimiterMode(TRITONSERVER_ServerOptions *options,
                                             TRITONSERVER_RateLimitMode mode)
{
    OPTIONS;
    own->rate_limit_mode = mode;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsAddRateLimiterResource(TRITONSERVER_ServerOptions *options,
                                                 const char *resource_name,
                                                 const size_t resource_count, const int device)
{
    OPTIONS;
    // The smaller of two limits on one resource holds.
    for (size_t i = 0; i < own->resource_count; i++) {
        struct resource_limit *at = &own->resources[i];
        if (at->device == device && strcmp(at->name, resource_name) == 0) {
            at->count = resource_count < at->count ? resource_count : at->count;
            return NULL;
        }
    }
    struct resource_limit *grown =
        mem_realloc(own->resources, (own->resource_count + 1) * sizeof(*grown));
    char *name = mem_strdup(resource_name);
    if (grown != NULL) {
        own->resources = grown;
    }
    if (grown == NULL || name == NULL) {
        mem_free(name);
        return abi_error(status_no_memory());
    }
    own->resources[own->resource_count++] = (struct resource_limit){name, resource_count, device};
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetPinnedMemoryPoolByteSize(TRITONSERVER_ServerOptions *options,
                                                      uint64_t size)
{
    OPTIONS;
    own->pinned_pool_bytes = size;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetCudaMemoryPoolByteSize(TRITONSERVER_ServerOptions *options,
                                                    int gpu_device, uint64_t size)
{
    OPTIONS;
    return set_device(&own->cuda_pool_bytes, gpu_device, size);
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetCudaVirtualAddressSize(
    TRITONSERVER_ServerOptions *options, int gpu_device, size_t cuda_virtual_address_size)
{
    OPTIONS;
    return set_device(&own->cuda_virtual_address, gpu_device, cuda_virtual_address_size);
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetResponseCacheByteSize(TRITONSERVER_ServerOptions *options,
                                                   uint64_t size)
{
    if (size == 0) {
        return NULL;
    }
    char json[48];
    snprintf(json, sizeof(json), "{\"size\": %llu}", (unsigned long long)size);
    return TRITONSERVER_ServerOptionsSetCacheConfig(options, "local", json);
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetCacheConfig(TRITONSERVER_ServerOptions *options,
                                                             const char *cache_name,
                                                             const char *config_json)
{
    OPTIONS;
    if (own->cache_name != NULL && strcmp(own->cache_name, cache_name) != 0) {
        return abi_error(status_new(NRD_INVALID_ARG,
                                    "found multiple cache configurations, but only a single cache "
                                    "is currently supported"));
    }
    TRITONSERVER_Error *error = set_text(&own->cache_config, config_json);
    return error != NULL ? error : set_text(&own->cache_name, cache_name);
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetCacheDirectory(TRITONSERVER_ServerOptions *options,
                                                                const char *cache_dir)
{
    OPTIONS;
    return set_text(&own->cache_directory, cache_dir);
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetMinSupportedComputeCapability(TRITONSERVER_ServerOptions *options,
                                                           double cc)
{
    OPTIONS;
    own->min_compute_capability = cc;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetExitOnError(TRITONSERVER_ServerOptions *options,
                                                             bool exit)
{
    OPTIONS;
    own->exit_on_error = exit;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetStrictReadiness(TRITONSERVER_ServerOptions *options, bool strict)
{
    OPTIONS;
    own->strict_readiness = strict;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetExitTimeout(TRITONSERVER_ServerOptions *options,
                                                             unsigned int timeout)
{
    OPTIONS;
    own->exit_timeout_s = timeout;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetBufferManagerThreadCount(TRITONSERVER_ServerOptions *options,
                                                      unsigned int thread_count)
{
    OPTIONS;
    own->buffer_thread_count = thread_count;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetModelLoadThreadCount(TRITONSERVER_ServerOptions *options,
                                                  unsigned int thread_count)
{
    OPTIONS;
    own->load_thread_count = thread_count;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetModelLoadRetryCount(TRITONSERVER_ServerOptions *options,
                                                 unsigned int retry_count)
{
    OPTIONS;
    own->load_retry_count = retry_count;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetModelNamespacing(TRITONSERVER_ServerOptions *options,
                                              bool enable_namespace)
{
    OPTIONS;
    own->model_namespacing = enable_namespace;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetEnablePeerAccess(TRITONSERVER_ServerOptions *options,
                                              bool enable_peer_access)
{
    OPTIONS;
    own->enable_peer_access = enable_peer_access;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetLogFile(TRITONSERVER_ServerOptions *options,
                                                         const char *file)
{
    (void)options; // the log is one a process
    return abi_error(log_set_file(file == NULL ? "" : file));
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetLogInfo(TRITONSERVER_ServerOptions *options,
                                                         bool log)
{
    (void)options; // the log is one a process
    log_set_enabled(LOG_INFO, log);
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetLogWarn(TRITONSERVER_ServerOptions *options,
                                                         bool log)
{
    (void)options; // the log is one a process
    log_set_enabled(LOG_WARNING, log);
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetLogError(TRITONSERVER_ServerOptions *options,
                                                          bool log)
{
    (void)options; // the log is one a process
    log_set_enabled(LOG_ERROR, log);
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetLogFormat(TRITONSERVER_ServerOptions *options,
                                                           const TRITONSERVER_LogFormat format)
{
    (void)options; // the log is one a process
    log_set_format(format == TRITONSERVER_LOG_ISO8601 ? LOG_FORMAT_ISO8601 : LOG_FORMAT_DEFAULT);
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetLogVerbose(TRITONSERVER_ServerOptions *options,
                                                            int level)
{
    (void)options; // the log is one a process
    log_set_verbose(level < 0 ? 0 : (uint32_t)level);
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetMetrics(TRITONSERVER_ServerOptions *options,
                                                         bool metrics)
{
    OPTIONS;
    own->metrics = metrics;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetGpuMetrics(TRITONSERVER_ServerOptions *options,
                                                            bool gpu_metrics)
{
    OPTIONS;
    own->gpu_metrics = gpu_metrics;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetCpuMetrics(TRITONSERVER_ServerOptions *options,
                                                            bool cpu_metrics)
{
    OPTIONS;
    own->cpu_metrics = cpu_metrics;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetMetricsInterval(TRITONSERVER_ServerOptions *options,
                                             uint64_t metrics_interval_ms)
{
    OPTIONS;
    own->metrics_interval_ms = metrics_interval_ms;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetBackendDirectory(TRITONSERVER_ServerOptions *options,
                                              const char *backend_dir)
{
    OPTIONS;
    return set_text(&own->backend_directory, backend_dir);
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetRepoAgentDirectory(TRITONSERVER_ServerOptions *options,
                                                const char *repoagent_dir)
{
    OPTIONS;
    return set_text(&own->agent_directory, repoagent_dir);
}

TRITONSERVER_Error *
TRITONSERVER_ServerOptionsSetModelLoadDeviceLimit(TRITONSERVER_ServerOptions *options,
                                                  const TRITONSERVER_InstanceGroupKind kind,
                                                  const int device_id, const double fraction)
{
    OPTIONS;
    if (device_id < 0) {
        return abi_error(status_new(NRD_INVALID_ARG, "expects device ID >= 0, got %d", device_id));
    }
    if (!(fraction >= 0.0 && fraction <= 1.0)) {
        return abi_error(status_new(
            NRD_INVALID_ARG, "expects limit fraction to be in range [0.0, 1.0], got %f", fraction));
    }
    if (kind != TRITONSERVER_INSTANCEGROUPKIND_GPU) {
        return abi_error(status_new(NRD_INVALID_ARG, "given device kind is not supported, got: %s",
                                    TRITONSERVER_InstanceGroupKindString(kind)));
    }
    // Reaches the backends too, under the name that they know.
    char key[64];
    char text[48];
    snprintf(key, sizeof(key), "model-load-gpu-limit-device-%d", device_id);
    snprintf(text, sizeof(text), "%f", fraction);
    return abi_error(setting_list_add(&own->backend_config, "", key, text));
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetBackendConfig(TRITONSERVER_ServerOptions *options,
                                                               const char *backend_name,
                                                               const char *setting,
                                                               const char *value)
{
    OPTIONS;
    // The settings that are the server's own: where GPU groups go on a machine that has none, or others.
    if (backend_name[0] == '\0' && strcmp(setting, "nereid-gpu-fallback") == 0) {
        own->gpu_fallback_cpu = strcmp(value, "cpu") == 0;
        return own->gpu_fallback_cpu || strcmp(value, "none") == 0
                   ? NULL
                   : abi_error(status_new(NRD_INVALID_ARG,
                                          "unexpected value '%s' for setting "
                                          "'nereid-gpu-fallback', expected 'cpu' or 'none'",
                                          value));
    }
    if (backend_name[0] == '\0' && strcmp(setting, "nereid-placement") == 0) {
        own->place_measured = strcmp(value, "measured") == 0;
        return own->place_measured || strcmp(value, "all") == 0
                   ? NULL
                   : abi_error(status_new(NRD_INVALID_ARG,
                                          "unexpected value '%s' for setting 'nereid-placement', "
                                          "expected 'all' or 'measured'",
                                          value));
    }
    if (backend_name[0] == '\0' && strncmp(setting, "nereid-load:", 12) == 0) {
        return abi_error(setting_list_add(&own->place_loads, setting + 12, "load", value));
    }
    if (backend_name[0] == '\0' && strcmp(setting, "nereid-gpu-map") == 0) {
        return abi_error(config_gpu_map_parse(slice_of(value), &own->gpu_map));
    }
    return abi_error(setting_list_add(&own->backend_config, backend_name, setting, value));
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetHostPolicy(TRITONSERVER_ServerOptions *options,
                                                            const char *policy_name,
                                                            const char *setting, const char *value)
{
    OPTIONS;
    if (strcmp(setting, "numa-node") != 0 && strcmp(setting, "cpu-cores") != 0) {
        return abi_error(status_new(NRD_UNSUPPORTED,
                                    "Unsupported host policy setting '%s' is specified, supported "
                                    "settings are 'numa-node', 'cpu-cores'",
                                    setting));
    }
    return abi_error(setting_list_add(&own->host_policies, policy_name, setting, value));
}

TRITONSERVER_Error *TRITONSERVER_ServerOptionsSetMetricsConfig(TRITONSERVER_ServerOptions *options,
                                                               const char *name,
                                                               const char *setting,
                                                               const char *value)
{
    OPTIONS;
    return abi_error(setting_list_add(&own->metrics_config, name, setting, value));
}
