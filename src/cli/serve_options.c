// SPDX-License-Identifier: Apache-2.0
// One table of options; see serve_options.h. A row says where a value goes (offset) and how it is read (kind); what does
// not fit a plain kind has a function. A row with `refuse` names what is not built: the option is known, takes
// its argument, and ends the program with that reason unless the value is the one that asks for nothing.
#include "cli/serve_options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum kind {
    KIND_FLAG,     // no argument; sets a bool
    KIND_BOOL,     // true/false/on/off/1/0
    KIND_INT,      // int
    KIND_INT_BOOL, // int, or true/false
    KIND_I64,
    KIND_F64,
    KIND_TEXT,
    KIND_TEXTS,  // struct text_list
    KIND_CUSTOM, // `set`
};

struct option_row;
typedef struct nrd_status *(*set_fn)(struct serve_options *, const struct option_row *,
                                     const char *arg);

struct option_row {
    const char *group; // on the first row of a group
    const char *name;
    const char *argument; // shown in the usage; NULL for flags
    const char *help;
    enum kind kind;
    size_t offset;
    set_fn set;
    const char *refuse;     // what is not built
    const char *refuse_but; // the argument that asks for nothing and so is fine
    const char *deprecated; // what to use instead
};

static struct nrd_status *set_log_format(struct serve_options *, const struct option_row *,
                                         const char *);
static struct nrd_status *set_control_mode(struct serve_options *, const struct option_row *,
                                           const char *);
static struct nrd_status *set_config_name(struct serve_options *, const struct option_row *,
                                          const char *);
static struct nrd_status *set_rate_limit(struct serve_options *, const struct option_row *,
                                         const char *);
static struct nrd_status *set_placement(struct serve_options *, const struct option_row *,
                                        const char *);
static struct nrd_status *set_placement_load(struct serve_options *, const struct option_row *,
                                             const char *);
static struct nrd_status *set_gpu_fault(struct serve_options *, const struct option_row *,
                                        const char *);
static struct nrd_status *set_gpu_fallback(struct serve_options *, const struct option_row *,
                                           const char *);
static struct nrd_status *set_max_input_size(struct serve_options *, const struct option_row *,
                                             const char *);
static struct nrd_status *set_infer_threads(struct serve_options *, const struct option_row *,
                                            const char *);
static struct nrd_status *set_response_pool(struct serve_options *, const struct option_row *,
                                            const char *);
static struct nrd_status *set_compression(struct serve_options *, const struct option_row *,
                                          const char *);
static struct nrd_status *set_ssl_mutual(struct serve_options *, const struct option_row *,
                                         const char *);
static struct nrd_status *set_restricted(struct serve_options *, const struct option_row *,
                                         const char *);
static struct nrd_status *set_metrics_config(struct serve_options *, const struct option_row *,
                                             const char *);
static struct nrd_status *set_backend_config(struct serve_options *, const struct option_row *,
                                             const char *);
static struct nrd_status *set_host_policy(struct serve_options *, const struct option_row *,
                                          const char *);
static struct nrd_status *set_device_value(struct serve_options *, const struct option_row *,
                                           const char *);
static struct nrd_status *set_strict_config(struct serve_options *, const struct option_row *,
                                            const char *);

#define AT(field) offsetof(struct serve_options, field)
#define SAGEMAKER "SageMaker's endpoints are not built"
#define VERTEX "Vertex AI's endpoints are not built"
#define TRACING "tracing is not built"
#define CACHE "response caches are not built"
#define RATE_LIMITER "the rate limiter is not built"
// clang-format off
static const struct option_row rows[] = {
    {NULL, "help", NULL, "Print this text.", KIND_FLAG, AT(help)},

    {"Server", "id", "string", "Name of this server in its metadata. Default: triton.", KIND_TEXT, AT(id)},
    {NULL, "exit-timeout-secs", "integer", "Seconds that running inferences get when the server exits. Default: 30.", KIND_INT, AT(exit_timeout_secs)},

    {"Logging", "log-verbose", "integer", "Level of verbose messages; 0 is none. Default: 0.", KIND_INT_BOOL, AT(log_verbose)},
    {NULL, "log-info", "boolean", "Write messages of level info. Default: true.", KIND_BOOL, AT(log_info)},
    {NULL, "log-warning", "boolean", "Write messages of level warning. Default: true.", KIND_BOOL, AT(log_warning)},
    {NULL, "log-error", "boolean", "Write messages of level error. Default: true.", KIND_BOOL, AT(log_error)},
    {NULL, "log-format", "string", "default (\"LMMDD hh:mm:ss.ssssss\") or ISO8601 (\"YYYY-MM-DDThh:mm:ssZ L\").", KIND_CUSTOM, AT(log_format), set_log_format},
    {NULL, "log-file", "string", "File to append messages to. Default: standard error.", KIND_TEXT, AT(log_file)},

    {"Model Repository", "model-store", "string", "The same as --model-repository.", KIND_TEXTS, AT(model_repositories)},
    {NULL, "model-repository", "string", "Folder of models; may be given several times. A model that stands in two of them is served from neither.", KIND_TEXTS, AT(model_repositories)},
    {NULL, "exit-on-error", "boolean", "Exit when something fails during start-up, a model for one. Default: true.", KIND_BOOL, AT(exit_on_error)},
    {NULL, "disable-auto-complete-config", NULL, "Take model configurations as they are written; complete nothing.", KIND_FLAG, AT(disable_auto_complete_config)},
    {NULL, "strict-readiness", "boolean", "Ready only while every model is. Default: true.", KIND_BOOL, AT(strict_readiness)},
    {NULL, "model-control-mode", "string", "none (load all at start-up), poll (follow changes of the repositories) or explicit (--load-model and the load and unload requests). Default: none.", KIND_CUSTOM, AT(control_mode), set_control_mode},
    {NULL, "repository-poll-secs", "integer", "Seconds between two looks at the repositories in mode poll. Default: 15.", KIND_INT, AT(repository_poll_secs)},
    {NULL, "load-model", "string", "Model to load at start-up in mode explicit; may be given several times; * alone loads all.", KIND_TEXTS, AT(load_models)},
    {NULL, "model-config-name", "string", "Take configs/NAME.pbtxt of a model before its config.pbtxt.", KIND_CUSTOM, AT(model_config_name), set_config_name},
    {NULL, "model-load-thread-count", "integer", "Models loaded at once. Default: 4.", KIND_INT, AT(model_load_thread_count)},
    {NULL, "model-load-retry-count", "integer", "Further tries of a load that failed. Default: 0.", KIND_INT, AT(model_load_retry_count)},
    {NULL, "model-namespacing", "boolean", "Let equal model names of different repositories live side by side. Default: false.", KIND_BOOL, AT(model_namespacing)},
    {NULL, "enable-peer-access", "boolean", "Use peer access between GPUs. Default: true.", KIND_BOOL, AT(enable_peer_access)},
    {NULL, "placement", "string", "Where instances of KIND_GPU or KIND_AUTO go whose group lists no GPUs: all (one or more on each GPU, as Triton does) or measured (where a measurement of their time and memory says). Nereid's own. Default: all.", KIND_CUSTOM, AT(placement), set_placement},
    {NULL, "placement-load", "<string>=<string>", "MODEL=REQUESTS_PER_SECOND[@ROWS]: the load that placement by measurement expects; may be given several times. Nereid's own. Default: alike.", KIND_CUSTOM, AT(placement_loads), set_placement_load},
    {NULL, "gpu-fallback", "string", "What a model that asks for a GPU gets where there is none: none (its load fails) or cpu. Nereid's own. Default: none.", KIND_CUSTOM, AT(gpu_fallback), set_gpu_fallback},
    {NULL, "gpu-fault", "string", "What follows when a kernel's fault has ended CUDA for the whole process: restart (the server begins anew in its place, with its sockets; docs/lost-gpus.md) or stay (models go to the processor where they may, others are refused). Nereid's own. Default: restart; stay with --gpu-fallback=cpu.", KIND_CUSTOM, AT(gpu_fault), set_gpu_fault},
    {NULL, "gpu-map", "string", "What the GPU numbers of configurations mean here: none (as they are; one that is not there is refused), wrap (one that is not there becomes an existing one, modulo their number) or pairs, 2:1,3:0. Nereid's own. Default: none; wrap with --gpu-fallback=cpu.", KIND_TEXT, AT(gpu_map)},

    {"HTTP", "allow-http", "boolean", "Serve HTTP. Default: true.", KIND_BOOL, AT(allow_http)},
    {NULL, "http-address", "string", "Address to serve HTTP on. Default: 0.0.0.0.", KIND_TEXT, AT(http_address)},
    {NULL, "http-port", "integer", "Port to serve HTTP on. Default: 8000.", KIND_INT, AT(http_port)},
    {NULL, "reuse-http-port", "boolean", "Let several servers share the HTTP port. Default: false.", KIND_BOOL, AT(reuse_http_port)},
    {NULL, "http-header-forward-pattern", "string", "Regular expression of request headers to pass on as request parameters.", KIND_TEXT, AT(http_header_forward_pattern)},
    {NULL, "http-thread-count", "integer", "Threads that serve HTTP. Default: 8.", KIND_INT, AT(http_thread_count)},
    {NULL, "http-restricted-api", "<string>:<string>=<string>", "APIs:key=value. Serve these APIs only to requests with header key: value. APIs: health, metadata, inference, shared-memory, model-config, model-repository, statistics, trace, logging.", KIND_CUSTOM, AT(http_restricted_apis), set_restricted},
    {NULL, "http-max-input-size", "integer", "Bytes that JSON, tensors in JSON, raw input and a decompressed body may have; binary tensors are not limited by it. Default: 67108864.", KIND_CUSTOM, AT(http_max_input_size), set_max_input_size},
    {NULL, "allow-client-shm", "boolean", "Let clients register shared memory. Default: false.", KIND_BOOL, AT(allow_client_shm)},

    {"GRPC", "allow-grpc", "boolean", "Serve gRPC. Default: true.", KIND_BOOL, AT(allow_grpc)},
    {NULL, "grpc-address", "string", "Address to serve gRPC on. Default: 0.0.0.0.", KIND_TEXT, AT(grpc_address)},
    {NULL, "grpc-port", "integer", "Port to serve gRPC on. Default: 8001.", KIND_INT, AT(grpc_port)},
    {NULL, "reuse-grpc-port", "boolean", "Let several servers share the gRPC port. Default: false.", KIND_BOOL, AT(reuse_grpc_port)},
    {NULL, "grpc-header-forward-pattern", "string", "Regular expression of request metadata to pass on as request parameters.", KIND_TEXT, AT(grpc_header_forward_pattern)},
    {NULL, "grpc-infer-thread-count", "integer", "Threads that serve gRPC, 2 to 128. Default: 2.", KIND_CUSTOM, AT(grpc_infer_thread_count), set_infer_threads},
    {NULL, "grpc-infer-allocation-pool-size", "integer", "Request objects kept for reuse. Default: 8.", KIND_INT, AT(grpc_infer_allocation_pool_size)},
    {NULL, "grpc-max-response-pool-size", "integer", "Responses that may wait on one stream.", KIND_CUSTOM, AT(grpc_max_response_pool_size), set_response_pool},
    {NULL, "grpc-use-ssl", "boolean", "Serve gRPC over TLS. Default: false.", KIND_BOOL, AT(grpc_use_ssl)},
    {NULL, "grpc-use-ssl-mutual", "boolean", "Ask clients for a certificate too; switches --grpc-use-ssl on. Default: false.", KIND_CUSTOM, AT(grpc_use_ssl_mutual), set_ssl_mutual},
    {NULL, "grpc-server-cert", "string", "PEM file with the server's certificate.", KIND_TEXT, AT(grpc_server_cert)},
    {NULL, "grpc-server-key", "string", "PEM file with the server's key.", KIND_TEXT, AT(grpc_server_key)},
    {NULL, "grpc-root-cert", "string", "PEM file with the certificates that clients are checked against.", KIND_TEXT, AT(grpc_root_cert)},
    {NULL, "grpc-infer-response-compression-level", "string", "none, low, medium or high. Default: none.", KIND_CUSTOM, AT(grpc_compression), set_compression},
    {NULL, "grpc-keepalive-time", "integer", "Milliseconds of silence before the server pings. Default: 7200000.", KIND_INT, AT(grpc_keepalive_time_ms)},
    {NULL, "grpc-keepalive-timeout", "integer", "Milliseconds to wait for the answer to a ping. Default: 20000.", KIND_INT, AT(grpc_keepalive_timeout_ms)},
    {NULL, "grpc-keepalive-permit-without-calls", "boolean", "Ping while no call runs. Default: false.", KIND_BOOL, AT(grpc_keepalive_permit_without_calls)},
    {NULL, "grpc-http2-max-pings-without-data", "integer", "Pings sent while there is nothing else to send; 0 is no limit. Default: 2.", KIND_INT, AT(grpc_max_pings_without_data)},
    {NULL, "grpc-http2-min-recv-ping-interval-without-data", "integer", "Milliseconds that a client has to leave between pings. Default: 300000.", KIND_INT, AT(grpc_min_recv_ping_interval_ms)},
    {NULL, "grpc-http2-max-ping-strikes", "integer", "Pings too early before the connection is closed; 0 is no limit. Default: 2.", KIND_INT, AT(grpc_max_ping_strikes)},
    {NULL, "grpc-max-connection-age", "integer", "Milliseconds that a connection may live. Default: no limit.", KIND_INT, AT(grpc_max_connection_age_ms)},
    {NULL, "grpc-max-connection-age-grace", "integer", "Further milliseconds for the calls of a connection that is too old. Default: no limit.", KIND_INT, AT(grpc_max_connection_age_grace_ms)},
    {NULL, "grpc-restricted-protocol", "<string>:<string>=<string>", "protocols:key=value. Serve these protocols only to calls with metadata triton-grpc-protocol-key: value. Protocols: those of --http-restricted-api.", KIND_CUSTOM, AT(grpc_restricted_protocols), set_restricted},

    {"Sagemaker", "allow-sagemaker", "boolean", "Serve SageMaker's endpoints. Default: false.", KIND_BOOL, 0, NULL, SAGEMAKER, "false"},
    {NULL, "sagemaker-port", "integer", "Port of SageMaker's endpoints.", KIND_INT, 0, NULL, SAGEMAKER},
    {NULL, "sagemaker-safe-port-range", "<integer>-<integer>", "Ports that the other endpoints may use.", KIND_TEXT, 0, NULL, SAGEMAKER},
    {NULL, "sagemaker-thread-count", "integer", "Threads that serve SageMaker's endpoints.", KIND_INT, 0, NULL, SAGEMAKER},
    {"Vertex", "allow-vertex-ai", "boolean", "Serve Vertex AI's endpoints. Default: false.", KIND_BOOL, 0, NULL, VERTEX, "false"},
    {NULL, "vertex-ai-port", "integer", "Port of Vertex AI's endpoints.", KIND_INT, 0, NULL, VERTEX},
    {NULL, "vertex-ai-thread-count", "integer", "Threads that serve Vertex AI's endpoints.", KIND_INT, 0, NULL, VERTEX},
    {NULL, "vertex-ai-default-model", "string", "Model of requests that name none.", KIND_TEXT, 0, NULL, VERTEX},

    {"Metrics", "allow-metrics", "boolean", "Serve metrics for Prometheus. Default: true.", KIND_BOOL, AT(allow_metrics)},
    {NULL, "allow-gpu-metrics", "boolean", "Metrics of GPUs among them. Default: true.", KIND_BOOL, AT(allow_gpu_metrics)},
    {NULL, "allow-cpu-metrics", "boolean", "Metrics of the processor and memory among them. Default: true.", KIND_BOOL, AT(allow_cpu_metrics)},
    {NULL, "metrics-address", "string", "Address to serve metrics on. Default: that of HTTP.", KIND_TEXT, AT(metrics_address)},
    {NULL, "metrics-port", "integer", "Port to serve metrics on. Default: 8002.", KIND_INT, AT(metrics_port)},
    {NULL, "metrics-interval-ms", "float", "Milliseconds between two readings of processor and GPU metrics. Default: 2000.", KIND_F64, AT(metrics_interval_ms)},
    {NULL, "metrics-config", "<string>=<string>", "setting=value; may be given several times. Settings: counter_latencies, summary_latencies, summary_quantiles, histogram_latencies.", KIND_CUSTOM, AT(metrics_config), set_metrics_config},

    {"Tracing", "trace-config", "<string>,<string>=<string>", "mode,setting=value.", KIND_TEXT, 0, NULL, TRACING, "level=OFF"},

    {"Backend", "backend-directory", "string", "Folder of backends: NAME/libtriton_NAME.so. Default: lib/nereid/backends beside this program's bin.", KIND_TEXT, AT(backend_directory)},
    {NULL, "backend-config", "<string>,<string>=<string>", "backend,setting=value, or setting=value for every backend; may be given several times.", KIND_CUSTOM, AT(backend_config), set_backend_config},

    {"Repository Agent", "repoagent-directory", "string", "Folder of repository agents.", KIND_TEXT, 0, NULL, "repository agents are not built"},

    {"Response Cache", "cache-config", "<string>,<string>=<string>", "cache,setting=value.", KIND_TEXT, 0, NULL, CACHE},
    {NULL, "cache-directory", "string", "Folder of caches.", KIND_TEXT, 0, NULL, CACHE},

    {"Rate Limiter", "rate-limit", "string", "off or execution_count. Default: off.", KIND_CUSTOM, 0, set_rate_limit},
    {NULL, "rate-limit-resource", "<string>:<integer>:<integer>", "resource:count or resource:count:device.", KIND_TEXT, 0, NULL, RATE_LIMITER},

    {"Memory/Device Management", "pinned-memory-pool-byte-size", "integer", "Bytes of pinned memory for copies to GPUs. Default: 268435456.", KIND_I64, AT(pinned_memory_pool_byte_size)},
    {NULL, "cuda-memory-pool-byte-size", "<integer>:<integer>", "device:bytes of memory for copies on that GPU; once a GPU. Default: 67108864.", KIND_CUSTOM, AT(cuda_memory_pools), set_device_value},
    {NULL, "cuda-virtual-address-size", "<integer>:<integer>", "device:bytes of address space for a growing state.", KIND_CUSTOM, AT(cuda_virtual_address_sizes), set_device_value},
    {NULL, "min-supported-compute-capability", "float", "GPUs below this compute capability are not used. Default: 6.0.", KIND_F64, AT(min_supported_compute_capability)},
    {NULL, "buffer-manager-thread-count", "integer", "Threads that help to copy tensors. Default: 0.", KIND_INT, AT(buffer_manager_thread_count)},
    {NULL, "host-policy", "<string>,<string>=<string>", "policy,setting=value. Settings: numa-node, cpu-cores.", KIND_CUSTOM, AT(host_policies), set_host_policy},
    {NULL, "model-load-gpu-limit", "<device_id>:<fraction>", "Share of a GPU's memory above which no model is loaded there.", KIND_CUSTOM, AT(model_load_gpu_limits), set_device_value},

    {"DEPRECATED", "strict-model-config", "boolean", "Use --disable-auto-complete-config.", KIND_CUSTOM, 0, set_strict_config, .deprecated = "--disable-auto-complete-config"},
    {NULL, "response-cache-byte-size", "integer", "Use --cache-config.", KIND_INT, 0, NULL, CACHE, "0", "--cache-config"},
    {NULL, "trace-file", "string", "Use --trace-config.", KIND_TEXT, 0, NULL, TRACING, NULL, "--trace-config"},
    {NULL, "trace-level", "string", "Use --trace-config.", KIND_TEXT, 0, NULL, TRACING, "OFF", "--trace-config"},
    {NULL, "trace-rate", "integer", "Use --trace-config.", KIND_INT, 0, NULL, TRACING, NULL, "--trace-config"},
    {NULL, "trace-count", "integer", "Use --trace-config.", KIND_INT, 0, NULL, TRACING, NULL, "--trace-config"},
    {NULL, "trace-log-frequency", "integer", "Use --trace-config.", KIND_INT, 0, NULL, TRACING, NULL, "--trace-config"},
};
// clang-format on
enum { ROW_COUNT = sizeof rows / sizeof rows[0] };
_Static_assert(ROW_COUNT <= 128, "`given` has a bit for each row");

static void set_defaults(struct serve_options *options)
{
    *options = (struct serve_options){
        .id = "triton",
        .exit_timeout_secs = 30,
        .log_info = true,
        .log_warning = true,
        .log_error = true,
        .log_format = "default",
        .log_file = "",
        .exit_on_error = true,
        .strict_readiness = true,
        .repository_poll_secs = 15,
        .model_config_name = "",
        .model_load_thread_count = 4,
        .enable_peer_access = true,
        .placement = "all",
        .gpu_fallback = "none",
        .allow_http = true,
        .http_address = "0.0.0.0",
        .http_port = 8000,
        .http_thread_count = 8,
        .http_header_forward_pattern = "",
        .http_max_input_size = 64 << 20,
        .allow_grpc = true,
        .grpc_address = "0.0.0.0",
        .grpc_port = 8001,
        .grpc_header_forward_pattern = "",
        .grpc_infer_thread_count = 2,
        .grpc_infer_allocation_pool_size = 8,
        .grpc_max_response_pool_size = INT_MAX,
        .grpc_server_cert = "",
        .grpc_server_key = "",
        .grpc_root_cert = "",
        .grpc_keepalive_time_ms = 7200000,
        .grpc_keepalive_timeout_ms = 20000,
        .grpc_max_pings_without_data = 2,
        .grpc_min_recv_ping_interval_ms = 300000,
        .grpc_max_ping_strikes = 2,
        .allow_metrics = true,
        .allow_gpu_metrics = true,
        .allow_cpu_metrics = true,
        .metrics_port = 8002,
        .metrics_interval_ms = 2000,
        .pinned_memory_pool_byte_size = 256 << 20,
        .min_supported_compute_capability = 6.0,
    };
}

// ---- reading values ---------------------------------------------------------------------------------------------

static struct nrd_status *bad_value(const char *arg)
{
    return status_new(NRD_INVALID_ARG, "Invalid option value. Got %s\n", arg);
}

static struct nrd_status *out_of_bound(const char *arg)
{
    return status_new(NRD_INVALID_ARG, "Provided option value is out of bound. Got %s\n", arg);
}

static struct nrd_status *read_i64(const char *arg, int64_t min, int64_t max, int64_t *value)
{
    char *end = NULL;
    errno = 0;
    long long number = strtoll(arg, &end, 10);
    if (end == arg || *end != '\0') {
        return bad_value(arg);
    }
    if (errno == ERANGE || number < min || number > max) {
        return out_of_bound(arg);
    }
    *value = number;
    return NULL;
}

static struct nrd_status *read_int(const char *arg, int *value)
{
    int64_t number = 0;
    NRD_TRY(read_i64(arg, INT_MIN, INT_MAX, &number));
    *value = (int)number;
    return NULL;
}

static struct nrd_status *read_f64(const char *arg, double *value)
{
    char *end = NULL;
    errno = 0;
    double number = strtod(arg, &end);
    if (end == arg || *end != '\0') {
        return bad_value(arg);
    }
    if (errno == ERANGE) {
        return out_of_bound(arg);
    }
    *value = number;
    return NULL;
}

static bool is_word(const char *arg, const char *word)
{
    return slice_equal_nocase(slice_of(arg), slice_of(word));
}

static struct nrd_status *read_bool(const char *arg, bool *value)
{
    if (is_word(arg, "true") || is_word(arg, "on") || is_word(arg, "1")) {
        *value = true;
        return NULL;
    }
    if (is_word(arg, "false") || is_word(arg, "off") || is_word(arg, "0")) {
        *value = false;
        return NULL;
    }
    return status_new(NRD_INVALID_ARG, "invalid value for bool option: %s", arg);
}

// Grows the array whose pointer stands at `items_at` by one; returns the new, zeroed item or NULL.
static void *push_item(void *items_at, unsigned *count, size_t size)
{
    void *items = NULL;
    memcpy(&items, items_at, sizeof items);
    char *grown = mem_realloc(items, (*count + 1) * size);
    if (grown == NULL) {
        return NULL;
    }
    memcpy(items_at, &(void *){grown}, sizeof(void *));
    memset(grown + *count * size, 0, size);
    return grown + (*count)++ * size;
}

static struct nrd_status *push_text(struct text_list *list, const char *text)
{
    const char **item = push_item(&list->items, &list->count, sizeof *item);
    if (item == NULL) {
        return status_no_memory();
    }
    *item = text;
    return NULL;
}

static struct nrd_status *push_setting(struct setting_list *list, struct slice name,
                                       struct slice key, struct slice value)
{
    struct setting *item = push_item(&list->items, &list->count, sizeof *item);
    if (item == NULL) {
        return status_no_memory();
    }
    item->name = mem_strndup(name.ptr == NULL ? "" : name.ptr, name.len);
    item->key = mem_strndup(key.ptr == NULL ? "" : key.ptr, key.len);
    item->value = mem_strndup(value.ptr == NULL ? "" : value.ptr, value.len);
    if (item->name == NULL || item->key == NULL || item->value == NULL) {
        return status_no_memory();
    }
    return NULL;
}

// ---- options with rules of their own ----------------------------------------------------------------------------

static struct nrd_status *set_log_format(struct serve_options *options,
                                         const struct option_row *row, const char *arg)
{
    (void)row;
    if (strcmp(arg, "default") != 0 && strcmp(arg, "ISO8601") != 0) {
        return status_new(NRD_INVALID_ARG, "invalid argument for --log-format");
    }
    options->log_format = arg;
    return NULL;
}

static struct nrd_status *set_control_mode(struct serve_options *options,
                                           const struct option_row *row, const char *arg)
{
    (void)row;
    static const char *const words[] = {"none", "poll", "explicit"};
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (is_word(arg, words[i])) {
            options->control_mode = (enum serve_control_mode)i;
            return NULL;
        }
    }
    return status_new(NRD_INVALID_ARG, "invalid argument for --model-control-mode");
}

static struct nrd_status *set_config_name(struct serve_options *options,
                                          const struct option_row *row, const char *arg)
{
    (void)row;
    if (arg[0] == '\0') {
        return status_new(NRD_INVALID_ARG, "Error: empty argument for --model-config-name");
    }
    options->model_config_name = arg;
    return NULL;
}

static struct nrd_status *set_rate_limit(struct serve_options *options,
                                         const struct option_row *row, const char *arg)
{
    (void)options;
    (void)row;
    if (is_word(arg, "off")) {
        return NULL;
    }
    if (is_word(arg, "execution_count")) {
        return status_new(NRD_UNSUPPORTED, RATE_LIMITER);
    }
    return status_new(NRD_INVALID_ARG, "invalid argument for --rate-limit");
}

static struct nrd_status *set_gpu_fallback(struct serve_options *options,
                                           const struct option_row *row, const char *arg)
{
    (void)row;
    if (strcmp(arg, "none") != 0 && strcmp(arg, "cpu") != 0) {
        return status_new(NRD_INVALID_ARG, "invalid argument for --gpu-fallback");
    }
    options->gpu_fallback = arg;
    return NULL;
}

static struct nrd_status *set_gpu_fault(struct serve_options *options, const struct option_row *row,
                                        const char *arg)
{
    (void)row;
    if (strcmp(arg, "restart") != 0 && strcmp(arg, "stay") != 0) {
        return status_new(NRD_INVALID_ARG, "invalid argument for --gpu-fault");
    }
    options->gpu_fault = arg;
    return NULL;
}

static struct nrd_status *set_placement(struct serve_options *options, const struct option_row *row,
                                        const char *arg)
{
    (void)row;
    if (strcmp(arg, "all") != 0 && strcmp(arg, "measured") != 0) {
        return status_new(NRD_INVALID_ARG, "invalid argument for --placement: all or measured");
    }
    options->placement = arg;
    return NULL;
}

static struct nrd_status *set_placement_load(struct serve_options *options,
                                             const struct option_row *row, const char *arg)
{
    (void)row;
    struct slice rest = slice_of(arg);
    struct slice model;
    // A model's name may have a '=' in it, a load has none.
    const char *last = strrchr(arg, '=');
    if (last == NULL || last == arg || last[1] == '\0') {
        return status_new(
            NRD_INVALID_ARG,
            "invalid argument for --placement-load: MODEL=REQUESTS_PER_SECOND[@ROWS]");
    }
    model = slice_make(arg, (size_t)(last - arg));
    rest = slice_of(last + 1);
    return push_setting(&options->placement_loads, SLICE(""), model, rest);
}

static struct nrd_status *set_max_input_size(struct serve_options *options,
                                             const struct option_row *row, const char *arg)
{
    (void)row;
    int64_t size = 0;
    NRD_TRY(read_i64(arg, INT64_MIN, INT64_MAX, &size));
    if (size <= 0) {
        return status_new(NRD_INVALID_ARG, "Error: --http-max-input-size must be greater than 0.");
    }
    options->http_max_input_size = size;
    return NULL;
}

static struct nrd_status *set_infer_threads(struct serve_options *options,
                                            const struct option_row *row, const char *arg)
{
    (void)row;
    NRD_TRY(read_int(arg, &options->grpc_infer_thread_count));
    if (options->grpc_infer_thread_count < 2 || options->grpc_infer_thread_count > 128) {
        return status_new(NRD_INVALID_ARG, "invalid argument for --grpc_infer_thread_count. Must "
                                           "be in the range 2 to 128.");
    }
    return NULL;
}

static struct nrd_status *set_response_pool(struct serve_options *options,
                                            const struct option_row *row, const char *arg)
{
    (void)row;
    NRD_TRY(read_int(arg, &options->grpc_max_response_pool_size));
    if (options->grpc_max_response_pool_size <= 0) {
        return status_new(NRD_INVALID_ARG,
                          "Error: --grpc-max-response-pool-size must be greater than 0.");
    }
    return NULL;
}

static struct nrd_status *set_compression(struct serve_options *options,
                                          const struct option_row *row, const char *arg)
{
    (void)row;
    static const char *const words[] = {"none", "low", "medium", "high"};
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (is_word(arg, words[i])) {
            options->grpc_compression = (enum serve_grpc_compression)i;
            return NULL;
        }
    }
    return status_new(NRD_INVALID_ARG,
                      "invalid argument for --grpc_infer_response_compression_level");
}

static struct nrd_status *set_ssl_mutual(struct serve_options *options,
                                         const struct option_row *row, const char *arg)
{
    (void)row;
    NRD_TRY(read_bool(arg, &options->grpc_use_ssl_mutual));
    options->grpc_use_ssl = true; // whatever the value, as Triton has it
    return NULL;
}

static struct nrd_status *set_strict_config(struct serve_options *options,
                                            const struct option_row *row, const char *arg)
{
    (void)row;
    bool strict = false;
    NRD_TRY(read_bool(arg, &strict));
    options->disable_auto_complete_config |= strict;
    return NULL;
}

// Cuts "first`a`key`b`value" at the first `a` and the first `b` after it; all three must have text.
static bool cut_setting(const char *arg, char a, char b, struct slice part[3])
{
    const char *first = strchr(arg, a);
    const char *second = first == NULL ? NULL : strchr(first + 1, b);
    if (second == NULL) {
        return false;
    }
    part[0] = slice_make(arg, (size_t)(first - arg));
    part[1] = slice_make(first + 1, (size_t)(second - first - 1));
    part[2] = slice_of(second + 1);
    return part[0].len > 0 && part[1].len > 0 && part[2].len > 0;
}

static struct nrd_status *set_restricted(struct serve_options *options,
                                         const struct option_row *row, const char *arg)
{
    struct slice part[3];
    if (!cut_setting(arg, ':', '=', part)) {
        return status_new(NRD_INVALID_ARG,
                          "--%s option format is '<config name>:<setting>=<value>'. Got %s\n",
                          row->name, arg);
    }
    struct setting_list *list = (struct setting_list *)(void *)((char *)options + row->offset);
    return push_setting(list, part[0], part[1], part[2]);
}

static struct nrd_status *set_host_policy(struct serve_options *options,
                                          const struct option_row *row, const char *arg)
{
    (void)row;
    struct slice part[3];
    if (!cut_setting(arg, ',', '=', part)) {
        return status_new(NRD_INVALID_ARG,
                          "--host-policy option format is '<policy name>,<setting>=<value>'. Got "
                          "%s\n",
                          arg);
    }
    return push_setting(&options->host_policies, part[0], part[1], part[2]);
}

static struct nrd_status *set_metrics_config(struct serve_options *options,
                                             const struct option_row *row, const char *arg)
{
    (void)row;
    struct slice rest = slice_of(arg);
    struct slice key;
    const char *equals = strchr(arg, '=');
    if (equals == NULL || memchr(arg, ',', (size_t)(equals - arg)) != NULL || equals == arg ||
        equals[1] == '\0') {
        return status_new(NRD_INVALID_ARG,
                          "--metrics-config option format is <setting>=<value>. Got %s\n", arg);
    }
    (void)slice_cut(&rest, '=', &key);
    return push_setting(&options->metrics_config, SLICE(""), key, rest);
}

static struct nrd_status *set_backend_config(struct serve_options *options,
                                             const struct option_row *row, const char *arg)
{
    (void)row;
    const char *comma = strchr(arg, ',');
    const char *setting = comma == NULL ? arg : comma + 1;
    const char *equals = strchr(setting, '=');
    if (comma == arg) {
        return status_new(NRD_INVALID_ARG,
                          "No backend specified. --backend-config option format is <backend "
                          "name>,<setting>=<value> or <setting>=<value>. Got %s\n",
                          arg);
    }
    if (equals == NULL || equals == setting || equals[1] == '\0') {
        return status_new(NRD_INVALID_ARG,
                          "--backend-config option format is '<backend name>,<setting>=<value>'. "
                          "Got %s\n",
                          arg);
    }
    struct slice name = slice_make(arg, comma == NULL ? 0 : (size_t)(comma - arg));
    return push_setting(&options->backend_config, name,
                        slice_make(setting, (size_t)(equals - setting)), slice_of(equals + 1));
}

static struct nrd_status *set_device_value(struct serve_options *options,
                                           const struct option_row *row, const char *arg)
{
    const char *colon = strchr(arg, ':');
    if (colon == NULL) {
        return status_new(NRD_INVALID_ARG,
                          "Cannot parse pair option due to incorrect number of inputs.--<pair "
                          "option> argument requires format <first>:<second>. Found: %s\n",
                          arg);
    }
    char *device = mem_strndup(arg, (size_t)(colon - arg));
    if (device == NULL) {
        return status_no_memory();
    }
    struct device_value value = {0};
    struct nrd_status *status = read_int(device, &value.device);
    mem_free(device);
    NRD_TRY(status);
    NRD_TRY(read_f64(colon + 1, &value.number));
    struct device_value_list *list =
        (struct device_value_list *)(void *)((char *)options + row->offset);
    struct device_value *item = push_item(&list->items, &list->count, sizeof *item);
    if (item == NULL) {
        return status_no_memory();
    }
    *item = value;
    return NULL;
}

// ---- parsing ----------------------------------------------------------------------------------------------------

static struct nrd_status *store(struct serve_options *options, const struct option_row *row,
                                const char *arg)
{
    void *at = (char *)options + row->offset;
    switch (row->kind) {
    case KIND_FLAG:
        *(bool *)at = true;
        return NULL;
    case KIND_BOOL:
        return read_bool(arg, at);
    case KIND_INT:
        return read_int(arg, at);
    case KIND_INT_BOOL:
        if (is_word(arg, "true") || is_word(arg, "false")) {
            *(int *)at = is_word(arg, "true");
            return NULL;
        }
        return read_int(arg, at);
    case KIND_I64:
        return read_i64(arg, INT64_MIN, INT64_MAX, at);
    case KIND_F64:
        return read_f64(arg, at);
    case KIND_TEXT:
        *(const char **)at = arg;
        return NULL;
    case KIND_TEXTS:
        return push_text(at, arg);
    case KIND_CUSTOM:
        return row->set(options, row, arg);
    }
    return status_new(NRD_INTERNAL, "option --%s has no kind", row->name);
}

static struct nrd_status *take_option(struct serve_options *options, unsigned index,
                                      const char *arg)
{
    const struct option_row *row = &rows[index];
    options->given[index / 64] |= UINT64_C(1) << (index % 64);
    if (row->deprecated != NULL) {
        fprintf(stderr, "Warning: '--%s' has been deprecated! Please use '%s' instead.\n",
                row->name, row->deprecated);
    }
    if (row->refuse != NULL) {
        if (row->refuse_but != NULL && is_word(arg, row->refuse_but)) {
            return NULL;
        }
        return status_new(NRD_UNSUPPORTED, "Bad option: \"--%s\".\n%s yet", row->name, row->refuse);
    }
    struct nrd_status *status = store(options, row, arg);
    return status_wrap(status, "Bad option: \"--%s\".\n", row->name);
}

// What follows from several options together.
static struct nrd_status *check_together(struct serve_options *options)
{
    if (options->control_mode != SERVE_CONTROL_POLL) {
        options->repository_poll_secs = 0;
    }
    if (options->load_models.count > 0 && options->control_mode != SERVE_CONTROL_EXPLICIT) {
        return status_new(NRD_INVALID_ARG, "Error: Use of '--load-model' requires setting "
                                           "'--model-control-mode=explicit' as well.");
    }
    if (options->metrics_address == NULL) {
        options->metrics_address = options->http_address;
    }
    struct {
        const char *what;
        const char *address;
        int port;
        bool on;
    } const ends[] = {
        {"HTTP requests", options->http_address, options->http_port, options->allow_http},
        {"GRPC requests", options->grpc_address, options->grpc_port, options->allow_grpc},
        {"metrics", options->metrics_address, options->metrics_port, options->allow_metrics},
    };
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned k = i + 1; k < 3; k++) {
            if (ends[i].on && ends[k].on && ends[i].port == ends[k].port && ends[i].port != 0 &&
                strcmp(ends[i].address, ends[k].address) == 0) {
                return status_new(NRD_INVALID_ARG,
                                  "The server cannot listen to %s and %s at the same address and "
                                  "port %s:%d",
                                  ends[i].what, ends[k].what, ends[i].address, ends[i].port);
            }
        }
    }
    return NULL;
}

struct nrd_status *serve_options_parse(struct serve_options *options, int argc, char **argv)
{
    set_defaults(options);
    enum { FIRST_VALUE = 1000 };
    struct option table[ROW_COUNT + 1] = {0};
    for (unsigned i = 0; i < ROW_COUNT; i++) {
        table[i].name = rows[i].name;
        table[i].has_arg = rows[i].argument == NULL ? no_argument : required_argument;
        table[i].val = FIRST_VALUE + (int)i; // all different, or getopt_long sees no ambiguity
    }
    optind = 1;
    int found = 0;
    while ((found = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (found < FIRST_VALUE) { // getopt_long has said what is wrong
            return status_new(NRD_INVALID_ARG, "%s", "");
        }
        NRD_TRY(take_option(options, (unsigned)(found - FIRST_VALUE), optarg));
    }
    if (optind < argc) {
        return status_new(NRD_INVALID_ARG, "Unexpected argument: %s", argv[optind]);
    }
    return check_together(options);
}

bool serve_option_given(const struct serve_options *options, const char *name)
{
    for (unsigned i = 0; i < ROW_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return (options->given[i / 64] >> (i % 64)) & 1;
        }
    }
    return false;
}

static void settings_fini(struct setting_list *list)
{
    for (unsigned i = 0; i < list->count; i++) {
        mem_free(list->items[i].name);
        mem_free(list->items[i].key);
        mem_free(list->items[i].value);
    }
    mem_free(list->items);
}

void serve_options_fini(struct serve_options *options)
{
    mem_free(options->model_repositories.items);
    mem_free(options->load_models.items);
    settings_fini(&options->http_restricted_apis);
    settings_fini(&options->grpc_restricted_protocols);
    settings_fini(&options->metrics_config);
    settings_fini(&options->backend_config);
    settings_fini(&options->host_policies);
    settings_fini(&options->placement_loads);
    mem_free(options->cuda_memory_pools.items);
    mem_free(options->cuda_virtual_address_sizes.items);
    mem_free(options->model_load_gpu_limits.items);
    *options = (struct serve_options){0};
}

// Breaks `text` into lines of at most 72 characters, each after a tab.
static void append_wrapped(struct str *out, const char *text)
{
    enum { WIDTH = 72 };
    size_t left = strlen(text);
    while (left > WIDTH) {
        size_t cut = WIDTH;
        while (cut > 0 && text[cut] != ' ') {
            cut--;
        }
        cut = cut == 0 ? WIDTH : cut;
        str_printf(out, "\t%.*s\n", (int)cut, text);
        text += cut + (text[cut] == ' ');
        left = strlen(text);
    }
    str_printf(out, "\t%s\n", text);
}

void serve_options_usage(struct str *out)
{
    for (unsigned i = 0; i < ROW_COUNT; i++) {
        const struct option_row *row = &rows[i];
        if (row->group != NULL) {
            str_printf(out, "\n%s:\n", row->group);
        }
        str_printf(out, "  --%s", row->name);
        if (row->argument != NULL) {
            str_printf(out, " <%s>", row->argument);
        }
        str_append_char(out, '\n');
        append_wrapped(out, row->help);
        if (row->refuse != NULL) {
            append_wrapped(out, "Known, but refused: not built yet.");
        }
    }
}
