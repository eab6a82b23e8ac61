// SPDX-License-Identifier: Apache-2.0
// The gRPC front end alone, on whatever libtritonserver.so the loader finds: ours, or the original's (LD_LIBRARY_PATH), which proves that
// the front end needs nothing but TRITONSERVER_*. Prints "port N" when it serves; ends on SIGTERM or SIGINT.
// Usage: grpc_front_end REPOSITORY BACKENDS [key=value...]; keys are those of options().
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "protocol/grpc_server.h"
#include "protocol/restrict.h"
#include "protocol/shm.h"

static void check(TRITONSERVER_Error *error, const char *what)
{
    if (error != NULL) {
        fprintf(stderr, "%s: %s\n", what, TRITONSERVER_ErrorMessage(error));
        exit(1);
    }
}

static void check_status(struct nrd_status *status, const char *what)
{
    if (status != NULL) {
        fprintf(stderr, "%s: %s\n", what, status_text(status));
        exit(1);
    }
}

static struct restrict_rules rules;
static bool explicit_mode;
static bool allow_shm = true;

// key=value: the options of the front end that tests set.
static void option(struct grpc_server_options *o, const char *key, const char *value)
{
    long number = strtol(value, NULL, 10);
    if (strcmp(key, "port") == 0) {
        o->port = (int)number;
    } else if (strcmp(key, "threads") == 0) {
        o->infer_thread_count = (int)number;
    } else if (strcmp(key, "forward") == 0) {
        o->header_forward_pattern = value;
    } else if (strcmp(key, "compression") == 0) {
        o->compression = (enum grpc_server_compression)number;
    } else if (strcmp(key, "max-age") == 0) {
        o->max_connection_age_ms = number;
    } else if (strcmp(key, "max-age-grace") == 0) {
        o->max_connection_age_grace_ms = number;
    } else if (strcmp(key, "keepalive") == 0) {
        o->keepalive_time_ms = number;
    } else if (strcmp(key, "keepalive-timeout") == 0) {
        o->keepalive_timeout_ms = number;
    } else if (strcmp(key, "ping-interval") == 0) {
        o->min_recv_ping_interval_ms = number;
    } else if (strcmp(key, "verbose") == 0) {
        log_set_verbose((uint32_t)number);
    } else if (strcmp(key, "explicit") == 0) {
        explicit_mode = number != 0;
    } else if (strcmp(key, "shm") == 0) {
        allow_shm = number != 0;
    } else if (strcmp(key, "restrict") == 0) { // one key for "inference"
        check_status(restrict_add(&rules, "protocol", "triton-grpc-protocol-", SLICE("inference"),
                                  SLICE("secret"), slice_of(value)),
                     "restrict");
        o->restricted = &rules;
    } else {
        fprintf(stderr, "unknown option %s\n", key);
        exit(1);
    }
}

static void read_options(struct grpc_server_options *o, int argc, char **argv)
{
    for (int i = 3; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (equals != NULL) {
            *equals = '\0';
            option(o, argv[i], equals + 1);
        }
    }
}

static TRITONSERVER_Server *make_core(const char *repository, const char *backends)
{
    TRITONSERVER_ServerOptions *options;
    TRITONSERVER_Server *core = NULL;
    check(TRITONSERVER_ServerOptionsNew(&options), "options");
    check(TRITONSERVER_ServerOptionsSetModelRepositoryPath(options, repository), "repository");
    check(TRITONSERVER_ServerOptionsSetBackendDirectory(options, backends), "backends");
    check(TRITONSERVER_ServerOptionsSetExitOnError(options, false), "exit on error");
    check(TRITONSERVER_ServerOptionsSetMinSupportedComputeCapability(options, 6.0), "capability");
    if (explicit_mode) {
        check(TRITONSERVER_ServerOptionsSetModelControlMode(options,
                                                            TRITONSERVER_MODEL_CONTROL_EXPLICIT),
              "mode");
        check(TRITONSERVER_ServerOptionsSetStartupModel(options, "*"), "startup model");
    }
    check(TRITONSERVER_ServerNew(&core, options), "server");
    check(TRITONSERVER_ServerOptionsDelete(options), "options");
    return core;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s REPOSITORY BACKENDS [key=value...]\n", argv[0]);
        return 2;
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct grpc_server_options o;
    grpc_server_options_init(&o);
    restrict_init(&rules);
    o.port = 0;
    o.address = "127.0.0.1";
    read_options(&o, argc, argv);
    struct shm_manager *shm = shm_manager_create(allow_shm);
    o.shm = shm;
    TRITONSERVER_Server *core = make_core(argv[1], argv[2]);
    struct grpc_server *server = NULL;
    check_status(grpc_server_create(core, &o, &server), "grpc server");
    printf("port %d\n", grpc_server_port(server));
    fflush(stdout);
    int got = 0;
    (void)sigwait(&signals, &got);
    unsigned seconds = 10;
    grpc_server_stop(server, &seconds);
    grpc_server_destroy(server);
    check(TRITONSERVER_ServerStop(core), "stop");
    check(TRITONSERVER_ServerDelete(core), "delete");
    shm_manager_destroy(shm);
    restrict_fini(&rules);
    puts("ended");
    return 0;
}
