// SPDX-License-Identifier: Apache-2.0
// A server of our HTTP front end over whatever libtritonserver the loader finds: ours, or the original's by LD_LIBRARY_PATH.
// One of the four wall tests. Usage: front_end REPOSITORY BACKENDS HTTP_PORT METRICS_PORT [MODE]; runs until SIGTERM.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "protocol/http_server.h"
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

static TRITONSERVER_Server *make_server(char **argv, const char *mode)
{
    TRITONSERVER_ServerOptions *options = NULL;
    check(TRITONSERVER_ServerOptionsNew(&options), "options");
    check(TRITONSERVER_ServerOptionsSetServerId(options, "triton"), "id");
    check(TRITONSERVER_ServerOptionsSetModelRepositoryPath(options, argv[1]), "repository");
    check(TRITONSERVER_ServerOptionsSetBackendDirectory(options, argv[2]), "backends");
    check(TRITONSERVER_ServerOptionsSetModelControlMode(
              options, strcmp(mode, "explicit") == 0 ? TRITONSERVER_MODEL_CONTROL_EXPLICIT
                                                     : TRITONSERVER_MODEL_CONTROL_NONE),
          "mode");
    check(TRITONSERVER_ServerOptionsSetStrictModelConfig(options, false), "auto-complete");
    check(TRITONSERVER_ServerOptionsSetExitOnError(options, false), "exit on error");
    TRITONSERVER_Server *server = NULL;
    check(TRITONSERVER_ServerNew(&server, options), "server");
    check(TRITONSERVER_ServerOptionsDelete(options), "options");
    return server;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: front_end REPOSITORY BACKENDS HTTP_PORT METRICS_PORT [MODE]\n");
        return 1;
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    log_set_enabled(LOG_INFO, true);
    TRITONSERVER_Server *server = make_server(argv, argc > 5 ? argv[5] : "none");
    struct shm_manager *shm = shm_manager_create(true);
    struct http_server_options options = {
        .address = "127.0.0.1",
        .port = (int)strtol(argv[3], NULL, 10),
        .threads = 8,
        .header_forward_pattern = "forward.*",
        .shm = shm,
    };
    struct metrics_server_options metrics_options = {
        .address = "127.0.0.1",
        .port = (int)strtol(argv[4], NULL, 10),
    };
    struct http_server *http = NULL;
    struct metrics_server *metrics = NULL;
    check_status(http_server_create(server, &options, &http), "HTTP");
    check_status(metrics_server_create(server, &metrics_options, &metrics), "metrics");
    int number = 0;
    sigwait(&signals, &number);
    unsigned seconds = 2;
    http_server_stop(http, &seconds);
    metrics_server_stop(metrics, &seconds);
    http_server_destroy(http);
    metrics_server_destroy(metrics);
    check(TRITONSERVER_ServerStop(server), "stop");
    check(TRITONSERVER_ServerDelete(server), "delete");
    shm_manager_destroy(shm);
    printf("front_end: ended after signal %d\n", number);
    return 0;
}
