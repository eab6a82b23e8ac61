// SPDX-License-Identifier: Apache-2.0
// `nereid serve`: a core, its three front ends, and the wait for a signal. Endpoints come up only after the core has loaded
// what it loads at start-up, gRPC first, then HTTP, then metrics; they go in the order that lets running
// inferences end. Start at cli_serve().
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/serve_options.h"
#include "cli/serve_restart.h"
#include "nereid/ext/core.h"
#include "net/inherit.h"
#include "protocol/error.h"
#include "protocol/grpc_server.h"
#include "protocol/http_server.h"
#include "protocol/restrict.h"
#include "protocol/shm.h"

struct serve {
    struct serve_options options;
    TRITONSERVER_Server *core;
    struct shm_manager *shm;
    struct restrict_rules http_rules;
    struct restrict_rules grpc_rules;
    struct grpc_server *grpc;
    struct http_server *http;
    struct metrics_server *metrics;
};

// ---- the core's options -------------------------------------------------------------------------------------------

// lib/nereid/backends beside the program's own bin/. Returns owned; NULL when the program's path cannot be told.
static char *own_backend_directory(void)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0) {
        return NULL;
    }
    path[length] = '\0';
    for (int i = 0; i < 2; i++) { // the program's name, then bin
        char *slash = strrchr(path, '/');
        if (slash == NULL) {
            return NULL;
        }
        *slash = '\0';
    }
    return path_join(path, "lib/nereid/backends");
}

#define SET(call) NRD_TRY(error_to_status(TRITONSERVER_ServerOptions##call))

static struct nrd_status *set_repository_options(TRITONSERVER_ServerOptions *core,
                                                 const struct serve_options *o)
{
    static const TRITONSERVER_ModelControlMode modes[] = {TRITONSERVER_MODEL_CONTROL_NONE,
                                                          TRITONSERVER_MODEL_CONTROL_POLL,
                                                          TRITONSERVER_MODEL_CONTROL_EXPLICIT};
    for (unsigned i = 0; i < o->model_repositories.count; i++) {
        SET(SetModelRepositoryPath(core, o->model_repositories.items[i]));
    }
    SET(SetModelControlMode(core, modes[o->control_mode]));
    for (unsigned i = 0; i < o->load_models.count; i++) {
        SET(SetStartupModel(core, o->load_models.items[i]));
    }
    SET(SetStrictModelConfig(core, o->disable_auto_complete_config));
    if (serve_option_given(o, "model-config-name")) {
        SET(SetModelConfigName(core, o->model_config_name));
    }
    SET(SetModelLoadThreadCount(
        core, (unsigned)(o->model_load_thread_count < 1 ? 1 : o->model_load_thread_count)));
    SET(SetModelLoadRetryCount(
        core, (unsigned)(o->model_load_retry_count < 0 ? 0 : o->model_load_retry_count)));
    if (serve_option_given(o, "model-namespacing")) {
        SET(SetModelNamespacing(core, o->model_namespacing));
    }
    return NULL;
}

static struct nrd_status *set_device_options(TRITONSERVER_ServerOptions *core,
                                             const struct serve_options *o)
{
    if (serve_option_given(o, "enable-peer-access")) {
        SET(SetEnablePeerAccess(core, o->enable_peer_access));
    }
    if (serve_option_given(o, "pinned-memory-pool-byte-size")) {
        SET(SetPinnedMemoryPoolByteSize(core, o->pinned_memory_pool_byte_size < 0
                                                  ? 0
                                                  : (uint64_t)o->pinned_memory_pool_byte_size));
    }
    for (unsigned i = 0; i < o->cuda_memory_pools.count; i++) {
        SET(SetCudaMemoryPoolByteSize(core, o->cuda_memory_pools.items[i].device,
                                      (uint64_t)o->cuda_memory_pools.items[i].number));
    }
    for (unsigned i = 0; i < o->cuda_virtual_address_sizes.count; i++) {
        SET(SetCudaVirtualAddressSize(core, o->cuda_virtual_address_sizes.items[i].device,
                                      (size_t)o->cuda_virtual_address_sizes.items[i].number));
    }
    for (unsigned i = 0; i < o->model_load_gpu_limits.count; i++) {
        SET(SetModelLoadDeviceLimit(core, TRITONSERVER_INSTANCEGROUPKIND_GPU,
                                    o->model_load_gpu_limits.items[i].device,
                                    o->model_load_gpu_limits.items[i].number));
    }
    if (serve_option_given(o, "min-supported-compute-capability")) {
        SET(SetMinSupportedComputeCapability(core, o->min_supported_compute_capability));
    }
    if (serve_option_given(o, "buffer-manager-thread-count")) {
        SET(SetBufferManagerThreadCount(
            core,
            (unsigned)(o->buffer_manager_thread_count < 0 ? 0 : o->buffer_manager_thread_count)));
    }
    for (unsigned i = 0; i < o->host_policies.count; i++) {
        const struct setting *s = &o->host_policies.items[i];
        SET(SetHostPolicy(core, s->name, s->key, s->value));
    }
    return NULL;
}

static struct nrd_status *set_backend_options(TRITONSERVER_ServerOptions *core,
                                              const struct serve_options *o)
{
    char *own = o->backend_directory == NULL ? own_backend_directory() : NULL;
    const char *directory = o->backend_directory != NULL ? o->backend_directory : own;
    struct nrd_status *status = NULL;
    if (directory != NULL) {
        status = error_to_status(TRITONSERVER_ServerOptionsSetBackendDirectory(core, directory));
    }
    mem_free(own);
    NRD_TRY(status);
    for (unsigned i = 0; i < o->backend_config.count; i++) {
        const struct setting *s = &o->backend_config.items[i];
        SET(SetBackendConfig(core, s->name, s->key, s->value));
    }
    if (serve_option_given(o, "gpu-fallback")) { // the interface's one open door for settings
        SET(SetBackendConfig(core, "", "nereid-gpu-fallback", o->gpu_fallback));
    }
    if (serve_option_given(o, "placement")) {
        SET(SetBackendConfig(core, "", "nereid-placement", o->placement));
    }
    for (unsigned i = 0; i < o->placement_loads.count; i++) {
        const struct setting *s = &o->placement_loads.items[i];
        char key[512];
        if (snprintf(key, sizeof key, "nereid-load:%s", s->key) < (int)sizeof key) {
            SET(SetBackendConfig(core, "", key, s->value));
        }
    }
    if (o->gpu_map != NULL) {
        SET(SetBackendConfig(core, "", "nereid-gpu-map", o->gpu_map));
    }
    return NULL;
}

static struct nrd_status *set_server_options(TRITONSERVER_ServerOptions *core,
                                             const struct serve_options *o)
{
    SET(SetServerId(core, o->id));
    SET(SetExitTimeout(core, (unsigned)(o->exit_timeout_secs < 0 ? 0 : o->exit_timeout_secs)));
    SET(SetExitOnError(core, o->exit_on_error));
    SET(SetStrictReadiness(core, o->strict_readiness));
    SET(SetMetrics(core, o->allow_metrics));
    SET(SetGpuMetrics(core, o->allow_metrics && o->allow_gpu_metrics));
    SET(SetCpuMetrics(core, o->allow_metrics && o->allow_cpu_metrics));
    SET(SetMetricsInterval(
        core, (uint64_t)(o->metrics_interval_ms < 1 ? 1 : llround(o->metrics_interval_ms))));
    for (unsigned i = 0; i < o->metrics_config.count; i++) {
        const struct setting *s = &o->metrics_config.items[i];
        SET(SetMetricsConfig(core, s->name, s->key, s->value));
    }
    return NULL;
}

// The core has a log of its own in another library; both are told the same.
static struct nrd_status *set_log_options(TRITONSERVER_ServerOptions *core,
                                          const struct serve_options *o)
{
    bool iso = strcmp(o->log_format, "ISO8601") == 0;
    SET(SetLogFile(core, o->log_file));
    SET(SetLogInfo(core, o->log_info));
    SET(SetLogWarn(core, o->log_warning));
    SET(SetLogError(core, o->log_error));
    SET(SetLogVerbose(core, o->log_verbose));
    SET(SetLogFormat(core, iso ? TRITONSERVER_LOG_ISO8601 : TRITONSERVER_LOG_DEFAULT));
    log_set_enabled(LOG_INFO, o->log_info);
    log_set_enabled(LOG_WARNING, o->log_warning);
    log_set_enabled(LOG_ERROR, o->log_error);
    log_set_verbose(o->log_verbose < 0 ? 0 : (uint32_t)o->log_verbose);
    log_set_format(iso ? LOG_FORMAT_ISO8601 : LOG_FORMAT_DEFAULT);
    return log_set_file(o->log_file);
}

struct nrd_status *serve_core_options(const struct serve_options *o,
                                      TRITONSERVER_ServerOptions *core)
{
    NRD_TRY(set_log_options(core, o));
    NRD_TRY(set_server_options(core, o));
    NRD_TRY(set_repository_options(core, o));
    NRD_TRY(set_device_options(core, o));
    return set_backend_options(core, o);
}

// ---- front ends ---------------------------------------------------------------------------------------------------

static struct nrd_status *build_rules(struct restrict_rules *rules, const char *feature,
                                      const char *prefix, const struct setting_list *list)
{
    for (unsigned i = 0; i < list->count; i++) {
        const struct setting *s = &list->items[i];
        NRD_TRY(restrict_add(rules, feature, prefix, slice_of(s->name), slice_of(s->key),
                             slice_of(s->value)));
    }
    return NULL;
}

static struct nrd_status *start_grpc(struct serve *s)
{
    const struct serve_options *o = &s->options;
    struct grpc_server_options options;
    grpc_server_options_init(&options);
    options.address = o->grpc_address;
    options.port = o->grpc_port;
    options.reuse_port = o->reuse_grpc_port;
    options.infer_thread_count = o->grpc_infer_thread_count;
    options.infer_allocation_pool_size = o->grpc_infer_allocation_pool_size;
    options.max_response_pool_size = o->grpc_max_response_pool_size;
    options.use_ssl = o->grpc_use_ssl;
    options.use_ssl_mutual = o->grpc_use_ssl_mutual;
    options.server_cert = o->grpc_server_cert;
    options.server_key = o->grpc_server_key;
    options.root_cert = o->grpc_root_cert;
    options.compression = (enum grpc_server_compression)o->grpc_compression;
    options.keepalive_time_ms = o->grpc_keepalive_time_ms;
    options.keepalive_timeout_ms = o->grpc_keepalive_timeout_ms;
    options.keepalive_permit_without_calls = o->grpc_keepalive_permit_without_calls;
    options.max_pings_without_data = o->grpc_max_pings_without_data;
    options.min_recv_ping_interval_ms = o->grpc_min_recv_ping_interval_ms;
    options.max_ping_strikes = o->grpc_max_ping_strikes;
    options.max_connection_age_ms = o->grpc_max_connection_age_ms;
    options.max_connection_age_grace_ms = o->grpc_max_connection_age_grace_ms;
    options.header_forward_pattern = o->grpc_header_forward_pattern;
    options.restricted = &s->grpc_rules;
    options.shm = s->shm;
    return grpc_server_create(s->core, &options, &s->grpc);
}

static struct nrd_status *start_http(struct serve *s)
{
    const struct serve_options *o = &s->options;
    struct http_server_options options = {
        .address = o->http_address,
        .port = o->http_port,
        .threads = (unsigned)(o->http_thread_count < 1 ? 1 : o->http_thread_count),
        .reuse_port = o->reuse_http_port,
        .max_input_size = (uint64_t)o->http_max_input_size,
        .header_forward_pattern = o->http_header_forward_pattern,
        .restricted = &s->http_rules,
        .shm = s->shm,
    };
    return http_server_create(s->core, &options, &s->http);
}

static struct nrd_status *start_endpoints(struct serve *s)
{
    const struct serve_options *o = &s->options;
    s->shm = shm_manager_create(o->allow_client_shm);
    if (s->shm == NULL) {
        return status_no_memory();
    }
    shm_set_core(s->shm, s->core);
    if (o->allow_grpc) {
        NRD_TRY(status_wrap(start_grpc(s), "failed to start gRPC service: "));
    }
    if (o->allow_http) {
        NRD_TRY(status_wrap(start_http(s), "failed to start HTTP service: "));
    }
    if (o->allow_metrics) {
        struct metrics_server_options options = {.address = o->metrics_address,
                                                 .port = o->metrics_port};
        NRD_TRY(status_wrap(metrics_server_create(s->core, &options, &s->metrics),
                            "failed to start Metrics service: "));
    }
    return NULL;
}

// ---- signals ------------------------------------------------------------------------------------------------------

// Where the handler writes the signal's number; the only thing that a handler can reach is a global.
static int signal_pipe[2] = {-1, -1};

static void on_signal(int number)
{
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    if (write(signal_pipe[1], &byte, 1) < 0) { // full: signals enough are waiting already
    }
    errno = saved;
}

// From here on SIGINT and SIGTERM are requests to end well. Not before: during start-up they end the program at once, as
// with Triton. A handler, not signalfd: threads that frameworks start need not block anything then.
static struct nrd_status *watch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0 || sigaction(SIGINT, &action, NULL) != 0 ||
        sigaction(SIGTERM, &action, NULL) != 0) {
        return status_new(NRD_INTERNAL, "failed to register signal handler: %s", strerror(errno));
    }
    return NULL;
}

// Not a signal's number: the core says that no GPU can be used in this process any more.
#define GPUS_POISONED 255

static void on_poisoned(void *arg)
{
    (void)arg;
    on_signal(GPUS_POISONED);
}

// Where the processor takes over, service goes on as it is.
static bool is_to_restart(const struct serve_options *o)
{
    return o->gpu_fault == NULL ? strcmp(o->gpu_fallback, "cpu") != 0
                                : strcmp(o->gpu_fault, "restart") == 0;
}

static void watch_gpus(const struct serve *s, bool on)
{
    nereid_on_gpus_poisoned_fn tell = NULL;
    void *symbol = dlsym(RTLD_DEFAULT, "nereid_on_gpus_poisoned");
    memcpy(&tell, &symbol, sizeof(tell));
    if (tell != NULL && is_to_restart(&s->options)) {
        status_free(error_to_status(tell(s->core, on ? on_poisoned : NULL, NULL)));
    }
}

// Waits for SIGINT, SIGTERM or GPUS_POISONED, and looks at the repositories meanwhile in mode poll.
static int wait_for_signal(const struct serve *s)
{
    int every_s = s->options.repository_poll_secs;
    uint64_t every_ns = every_s > 0 ? (uint64_t)every_s * 1000000000u : 0; // never, as in Triton
    uint64_t next_ns = clock_now_ns() + every_ns;
    for (;;) {
        int timeout_ms = -1;
        if (every_ns > 0) {
            uint64_t now = clock_now_ns();
            uint64_t ms = next_ns <= now ? 0 : (next_ns - now + 999999) / 1000000;
            timeout_ms = ms > INT_MAX ? INT_MAX : (int)ms;
        }
        struct pollfd wait = {.fd = signal_pipe[0], .events = POLLIN};
        unsigned char number = 0;
        if (poll(&wait, 1, timeout_ms) > 0 && read(signal_pipe[0], &number, 1) == 1) {
            return number;
        }
        if (every_ns > 0 && clock_now_ns() >= next_ns) {
            struct nrd_status *status =
                error_to_status(TRITONSERVER_ServerPollModelRepository(s->core));
            if (status != NULL) {
                LOG_ERR("failed to poll model repository: %s", status_text(status));
                status_free(status);
            }
            next_ns = clock_now_ns() + every_ns;
        }
    }
}

// New requests are refused, running ones get what is left of the exit timeout. False: some did not end.
static bool shut_down(struct serve *s)
{
    unsigned left = (unsigned)(s->options.exit_timeout_secs < 0 ? 0 : s->options.exit_timeout_secs);
    if (s->grpc != NULL) {
        grpc_server_refuse_new(s->grpc);
    }
    if (s->http != NULL) {
        http_server_stop(s->http, &left);
    }
    struct nrd_status *status = error_to_status(TRITONSERVER_ServerSetExitTimeout(s->core, left));
    status_free(status);
    status = error_to_status(TRITONSERVER_ServerStop(s->core));
    bool stopped = status == NULL;
    if (!stopped) {
        LOG_ERR("failed to stop server: %s", status_text(status));
    }
    status_free(status);
    return stopped;
}

static void serve_fini(struct serve *s)
{
    grpc_server_destroy(s->grpc);
    http_server_destroy(s->http);
    metrics_server_destroy(s->metrics);
    if (s->core != NULL) {
        status_free(error_to_status(TRITONSERVER_ServerDelete(s->core)));
    }
    shm_manager_destroy(s->shm);
    restrict_fini(&s->http_rules);
    restrict_fini(&s->grpc_rules);
    serve_options_fini(&s->options);
}

// ---- beginning anew -----------------------------------------------------------------------------------------------

// What the command line does not say by itself: the ports that the system chose, and what was loaded by request.
static struct nrd_status *complete_arguments(const struct serve *s,
                                             struct restart_arguments *arguments)
{
    const struct serve_options *o = &s->options;
    const struct {
        const char *name;
        int asked;
        int bound;
    } ports[] = {
        {"grpc-port", o->grpc_port, s->grpc == NULL ? 0 : grpc_server_port(s->grpc)},
        {"http-port", o->http_port, s->http == NULL ? 0 : http_server_port(s->http)},
        {"metrics-port", o->metrics_port, s->metrics == NULL ? 0 : metrics_server_port(s->metrics)},
    };
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        char number[16];
        snprintf(number, sizeof(number), "%d", ports[i].bound);
        if (ports[i].asked == 0 && ports[i].bound != 0) {
            restart_arguments_add(arguments, ports[i].name, number);
        }
    }
    return o->control_mode == SERVE_CONTROL_EXPLICIT
               ? restart_arguments_add_models(arguments, s->core)
               : NULL;
}

// Returns only when it cannot be: the server then stays as it is, or, once its endpoints have ended, ends.
static void begin_anew(struct serve *s)
{
    struct restart_arguments arguments = {0};
    struct nrd_status *status = restart_may();
    if (status == NULL) {
        status = restart_arguments_own(&arguments);
    }
    if (status == NULL) {
        status = complete_arguments(s, &arguments);
    }
    if (status == NULL) {
        status = inherit_keep();
    }
    if (status != NULL) {
        LOG_ERR("the server does not begin anew, and stays without GPUs: %s", status_text(status));
        status_free(status);
        restart_arguments_fini(&arguments);
        return;
    }
    LOG_WARN("the server begins anew in its place, with the same sockets (--gpu-fault=restart); "
             "statistics, registered "
             "shared memory and what loads overrode are gone");
    watch_gpus(s, false);
    shut_down(s);
    // What they have to say yet is said here. Of the core only the models that still hold a request are left.
    grpc_server_destroy(s->grpc);
    http_server_destroy(s->http);
    metrics_server_destroy(s->metrics);
    status = restart_exec(&arguments);
    LOG_ERR("failed to begin anew: %s", status_text(status));
    _exit(1);
}

// Until the program is to end: its exit status.
static int serve_until_told(struct serve *s)
{
    for (;;) {
        int number = wait_for_signal(s);
        if (number == GPUS_POISONED) {
            begin_anew(s);
            continue;
        }
        printf("Signal (%d) received.\n", number);
        fflush(stdout);
        if (!shut_down(s)) {
            _exit(1); // threads may still be at work on what they hold: leave at once
        }
        return 0;
    }
}

// ---- start --------------------------------------------------------------------------------------------------------

// Reads the command line; -1 when the program is to go on, else its exit status.
static int read_command_line(struct serve *s, int argc, char **argv)
{
    struct nrd_status *status = serve_options_parse(&s->options, argc, argv);
    if (status == NULL) {
        status = build_rules(&s->http_rules, "api", "", &s->options.http_restricted_apis);
    }
    if (status == NULL) {
        status = build_rules(&s->grpc_rules, "protocol", "triton-grpc-protocol-",
                             &s->options.grpc_restricted_protocols);
    }
    if (status == NULL && !s->options.help) {
        return -1;
    }
    struct str usage = STR_INIT;
    serve_options_usage(&usage);
    fprintf(stderr, "Usage: %s [options]\n%s\n%s\n", path_base(argv[0]), str_cstr(&usage),
            status_text(status));
    str_fini(&usage);
    status_free(status);
    return 1;
}

static struct nrd_status *create_core(struct serve *s)
{
    TRITONSERVER_ServerOptions *options = NULL;
    NRD_TRY(error_to_status(TRITONSERVER_ServerOptionsNew(&options)));
    struct nrd_status *status = serve_core_options(&s->options, options);
    if (status != NULL) {
        status = status_wrap(status, "Failed to build Triton option:\n");
    } else {
        status = error_to_status(TRITONSERVER_ServerNew(&s->core, options));
        if (status != NULL) {
            enum nrd_code code = status_code(status);
            status = status_wrap(status, "error: creating server: %s - ", code_name(code));
        }
    }
    status_free(error_to_status(TRITONSERVER_ServerOptionsDelete(options)));
    return status;
}

int cli_serve(int argc, char **argv)
{
    // Few arenas: a thread's arena keeps what it once had, and a server has many threads that allocate little.
    mallopt(M_ARENA_MAX, 2);
    signal(SIGPIPE, SIG_IGN);
    struct serve s = {0};
    restrict_init(&s.http_rules);
    restrict_init(&s.grpc_rules);
    int result = read_command_line(&s, argc, argv);
    if (result >= 0) {
        serve_fini(&s);
        return result;
    }
    struct nrd_status *status = create_core(&s);
    if (status == NULL) {
        status = watch_signals();
        if (status == NULL) {
            status = start_endpoints(&s);
        }
        if (status == NULL) {
            watch_gpus(&s, true);
            result = serve_until_told(&s);
        }
    }
    if (status != NULL) {
        fprintf(stderr, "%s\n", status_text(status));
        status_free(status);
        result = 1;
    }
    serve_fini(&s);
    return result;
}
