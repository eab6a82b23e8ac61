// SPDX-License-Identifier: Apache-2.0
// The command line of `nereid serve`, which is `tritonserver`'s, option for option.
//
// One table (serve_options.c) holds each option's name, argument, group, help and how it is stored; the usage text, the
// parser and the refusals are made from it. Names may be cut to an unambiguous prefix and take
// "--name=value" or "--name value", as getopt_long has it. Start at serve_options_parse().
#ifndef NEREID_CLI_SERVE_OPTIONS_H
#define NEREID_CLI_SERVE_OPTIONS_H

#include "base/status.h"
#include "base/str.h"

// A text option that may be given several times.
struct text_list {
    const char **items; // borrowed from argv
    unsigned count;
};

// "name,key=value" and its kin, cut up; each part owned.
struct setting {
    char *name; // "" where the option has none or it was left out
    char *key;
    char *value;
};
struct setting_list {
    struct setting *items;
    unsigned count;
};

// "device:number".
struct device_value {
    int device;
    double number;
};
struct device_value_list {
    struct device_value *items;
    unsigned count;
};

enum serve_control_mode { SERVE_CONTROL_NONE, SERVE_CONTROL_POLL, SERVE_CONTROL_EXPLICIT };
enum serve_grpc_compression {
    SERVE_COMPRESSION_NONE,
    SERVE_COMPRESSION_LOW,
    SERVE_COMPRESSION_MEDIUM,
    SERVE_COMPRESSION_HIGH
};

// Every field holds its default until an option sets it. `given` tells which options were on the command line
// (serve_option_given), for settings that are passed on only when asked for.
struct serve_options {
    bool help;
    const char *id;
    int exit_timeout_secs;

    int log_verbose;
    bool log_info, log_warning, log_error;
    const char *log_format; // "default" or "ISO8601"
    const char *log_file;

    struct text_list model_repositories;
    bool exit_on_error;
    bool disable_auto_complete_config;
    bool strict_readiness;
    enum serve_control_mode control_mode;
    int repository_poll_secs;
    struct text_list load_models;
    const char *model_config_name;
    int model_load_thread_count;
    int model_load_retry_count;
    bool model_namespacing;
    bool enable_peer_access;
    const char *placement;               // "all" or "measured"; Nereid's own
    struct setting_list placement_loads; // name = "", key = the model
    const char *gpu_fallback;            // "none" or "cpu"; Nereid's own
    const char *gpu_fault;               // "restart", "stay" or NULL: not given; Nereid's own
    const char *gpu_map;                 // "none", "wrap" or pairs; NULL: not given; Nereid's own

    bool allow_http;
    const char *http_address;
    int http_port;
    bool reuse_http_port;
    int http_thread_count;
    const char *http_header_forward_pattern;
    struct setting_list http_restricted_apis; // name = the list of APIs
    int64_t http_max_input_size;
    bool allow_client_shm;

    bool allow_grpc;
    const char *grpc_address;
    int grpc_port;
    bool reuse_grpc_port;
    const char *grpc_header_forward_pattern;
    int grpc_infer_thread_count;
    int grpc_infer_allocation_pool_size;
    int grpc_max_response_pool_size;
    bool grpc_use_ssl, grpc_use_ssl_mutual;
    const char *grpc_server_cert, *grpc_server_key, *grpc_root_cert;
    enum serve_grpc_compression grpc_compression;
    int grpc_keepalive_time_ms, grpc_keepalive_timeout_ms;
    bool grpc_keepalive_permit_without_calls;
    int grpc_max_pings_without_data, grpc_min_recv_ping_interval_ms, grpc_max_ping_strikes;
    int grpc_max_connection_age_ms, grpc_max_connection_age_grace_ms; // 0: not set
    struct setting_list grpc_restricted_protocols;

    bool allow_metrics, allow_gpu_metrics, allow_cpu_metrics;
    const char *metrics_address; // NULL: http_address
    int metrics_port;
    double metrics_interval_ms;
    struct setting_list metrics_config; // name = ""

    const char *backend_directory; // NULL: beside the program
    struct setting_list backend_config;
    const char *repoagent_directory;
    struct setting_list host_policies;
    int64_t pinned_memory_pool_byte_size;
    struct device_value_list cuda_memory_pools;
    struct device_value_list cuda_virtual_address_sizes;
    struct device_value_list model_load_gpu_limits;
    double min_supported_compute_capability;
    int buffer_manager_thread_count;

    uint64_t given[2]; // bit per row of the option table
};

// Fills `options` (which serve_options_fini releases, on failure too). Warnings about deprecated options go to standard
// error. Errors: NRD_INVALID_ARG with Triton's text; NRD_UNSUPPORTED for an option that is known
// but not built, naming it. `argv` is borrowed for as long as `options` lives. Thread: main.
NRD_MUST_USE struct nrd_status *serve_options_parse(struct serve_options *options, int argc,
                                                    char **argv);
void serve_options_fini(struct serve_options *options);
// Whether `name` (without dashes) stood on the command line.
bool serve_option_given(const struct serve_options *options, const char *name);
// Gives the core what `options` say (serve.c). Errors: the core's. Thread: main.
struct TRITONSERVER_ServerOptions;
NRD_MUST_USE struct nrd_status *serve_core_options(const struct serve_options *options,
                                                   struct TRITONSERVER_ServerOptions *core);
// The usage text, group by group.
void serve_options_usage(struct str *out);

#endif
