// SPDX-License-Identifier: Apache-2.0
// Options: what a server is made of (TRITONSERVER_ServerOptions). Filled by setters, copied by the server.
#ifndef NEREID_CORE_OPTIONS_H
#define NEREID_CORE_OPTIONS_H

#include "base/map.h"
#include "base/status.h"
#include "base/str.h"
#include "config/model_config.h"
#include "triton/core/tritonserver.h"

// A growable list of owned texts; duplicates are the caller's business.
struct text_list {
    char **items;
    size_t count;
};
NRD_MUST_USE struct nrd_status *text_list_add(struct text_list *list, const char *text);
bool text_list_has(const struct text_list *list, const char *text);
void text_list_fini(struct text_list *list);

// Settings in the order in which they came: group ("" is for all), key, value.
struct setting {
    char *group;
    char *key;
    char *value;
};
struct setting_list {
    struct setting *items;
    size_t count;
};
NRD_MUST_USE struct nrd_status *setting_list_add(struct setting_list *list, const char *group,
                                                 const char *key, const char *value);
// The last value of `key` in `group`; NULL if there is none. Borrowed.
const char *setting_list_get(const struct setting_list *list, const char *group, const char *key);
void setting_list_fini(struct setting_list *list);

struct resource_limit {
    char *name;
    uint64_t count;
    int device; // -1: each device
};

struct server_options {
    char *server_id;
    struct text_list repositories;
    TRITONSERVER_ModelControlMode control_mode;
    struct text_list startup_models;
    bool strict_model_config; // true: auto-completion off
    char *model_config_name;  // "" if not set
    TRITONSERVER_RateLimitMode rate_limit_mode;
    struct resource_limit *resources;
    size_t resource_count;
    uint64_t pinned_pool_bytes;
    struct setting_list cuda_pool_bytes;      // group: device number, key "bytes"
    struct setting_list cuda_virtual_address; // group: device number, key "bytes"
    char *cache_name;                         // NULL if none was asked for
    char *cache_config;                       // JSON
    char *cache_directory;
    double min_compute_capability;
    bool exit_on_error;
    bool strict_readiness;
    unsigned exit_timeout_s;
    unsigned buffer_thread_count;
    unsigned load_thread_count;
    unsigned load_retry_count;
    bool model_namespacing;
    bool enable_peer_access;
    bool metrics;
    bool gpu_metrics;
    bool cpu_metrics;
    uint64_t metrics_interval_ms;
    char *backend_directory;
    char *agent_directory;
    struct setting_list backend_config;
    struct setting_list host_policies;
    struct setting_list metrics_config;
    bool
        place_measured; // instance groups left open go where a placement by measurement says, not to all GPUs
    struct setting_list place_loads; // group: model, key "load": "REQUESTS/S" or "REQUESTS/S@ROWS"
    bool gpu_fallback_cpu;           // KIND_GPU groups go to the CPU where there is no GPU
    struct config_gpu_map gpu_map;
};

// Returns owned, with the defaults; NULL when memory is out.
struct server_options *server_options_create(void);
// A deep copy. Returns owned; NULL when memory is out.
struct server_options *server_options_copy(const struct server_options *options);
void server_options_destroy(struct server_options *options);

#endif
