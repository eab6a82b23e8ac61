// SPDX-License-Identifier: Apache-2.0
// Core host: a list of servers under one mutex; loads and ends happen with it held, since they are rare and must not race.
#include "graph/infer/core_host.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/list.h"
#include "base/mem.h"

// A model and how many asked for it.
struct hosted {
    struct hosted *next;
    unsigned users;
    char name[];
};

struct core_host {
    struct core_host *next;
    char *repository; // as realpath() has it
    TRITONSERVER_Server *server;
    struct hosted *models;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct core_host *hosts;

struct nrd_status *core_status(TRITONSERVER_Error *error)
{
    if (error == NULL) {
        return NULL;
    }
    enum nrd_code code = (enum nrd_code)(TRITONSERVER_ErrorCode(error) + 1);
    struct nrd_status *status = status_new(code, "%s", TRITONSERVER_ErrorMessage(error));
    TRITONSERVER_ErrorDelete(error);
    return status;
}

// nereid/backends beside the core's own library, which may be anybody's. Returns owned; NULL when it cannot be told.
static char *backend_directory(void)
{
    const char *given = getenv("NEREID_BACKENDS");
    if (given != NULL && given[0] != '\0') {
        return mem_strdup(given);
    }
    Dl_info info;
    if (dladdr((const void *)(uintptr_t)TRITONSERVER_ServerNew, &info) == 0 ||
        info.dli_fname == NULL) {
        return NULL;
    }
    char library[PATH_MAX];
    if (realpath(info.dli_fname, library) == NULL) {
        return NULL;
    }
    *strrchr(library, '/') = '\0';
    return path_join(library, "nereid/backends");
}

#define SET(call) NRD_TRY(core_status(TRITONSERVER_ServerOptions##call))

static struct nrd_status *set_options(TRITONSERVER_ServerOptions *options, const char *repository,
                                      const char *directory, const struct infer_options *infer)
{
    SET(SetServerId(options, "nereid"));
    SET(SetModelRepositoryPath(options, repository));
    SET(SetModelControlMode(options, TRITONSERVER_MODEL_CONTROL_EXPLICIT));
    SET(SetStrictModelConfig(options, false));
    SET(SetMetrics(options, false));
    SET(SetLogInfo(options, false));
    SET(SetExitTimeout(options, 30));
    if (directory != NULL) {
        SET(SetBackendDirectory(options, directory));
    }
    if (infer->no_batching) {
        SET(SetBackendConfig(options, "", "default-max-batch-size", "0"));
    }
    if (infer->gpu_fallback != NULL) {
        SET(SetBackendConfig(options, "", "nereid-gpu-fallback", infer->gpu_fallback));
    }
    return NULL;
}

static struct nrd_status *make_server(const char *repository, const struct infer_options *infer,
                                      TRITONSERVER_Server **server)
{
    TRITONSERVER_ServerOptions *options = NULL;
    NRD_TRY(core_status(TRITONSERVER_ServerOptionsNew(&options)));
    char *directory = backend_directory();
    struct nrd_status *status = set_options(options, repository, directory, infer);
    if (status == NULL) {
        status = core_status(TRITONSERVER_ServerNew(server, options));
    }
    mem_free(directory);
    status_free(core_status(TRITONSERVER_ServerOptionsDelete(options)));
    return status;
}

static void end_server(TRITONSERVER_Server *server)
{
    if (server == NULL) {
        return;
    }
    status_free(core_status(TRITONSERVER_ServerStop(server)));
    status_free(core_status(TRITONSERVER_ServerDelete(server)));
}

// With the mutex held.
static void destroy(struct core_host *host)
{
    struct core_host **at = &hosts;
    while (*at != host && *at != NULL) {
        at = &(*at)->next;
    }
    if (*at == host) {
        *at = host->next;
    }
    end_server(host->server);
    mem_free(host->repository);
    mem_free(host);
}

static struct nrd_status *find_or_make(const char *repository, const struct infer_options *infer,
                                       struct core_host **out)
{
    for (struct core_host *host = hosts; host != NULL; host = host->next) {
        if (strcmp(host->repository, repository) == 0) {
            *out = host;
            return NULL;
        }
    }
    struct core_host *made = mem_calloc(1, sizeof(*made));
    char *copy = mem_strdup(repository);
    if (made == NULL || copy == NULL) {
        mem_free(made);
        mem_free(copy);
        return status_no_memory();
    }
    made->repository = copy;
    struct nrd_status *status = make_server(repository, infer, &made->server);
    if (status != NULL) {
        mem_free(copy);
        mem_free(made);
        return status;
    }
    made->next = hosts;
    hosts = made;
    *out = made;
    return NULL;
}

static struct hosted **find_hosted(struct core_host *host, const char *model)
{
    struct hosted **at = &host->models;
    while (*at != NULL && strcmp((*at)->name, model) != 0) {
        at = &(*at)->next;
    }
    return at;
}

static struct nrd_status *add_user(struct core_host *host, const char *model)
{
    struct hosted **at = find_hosted(host, model);
    if (*at != NULL) {
        (*at)->users++;
        return NULL;
    }
    size_t length = strlen(model) + 1;
    struct hosted *made = mem_calloc(1, sizeof(*made) + length);
    if (made == NULL) {
        return status_no_memory();
    }
    memcpy(made->name, model, length);
    made->users = 1;
    struct nrd_status *status = core_status(TRITONSERVER_ServerLoadModel(host->server, model));
    if (status != NULL) {
        mem_free(made);
        return status;
    }
    *at = made;
    return NULL;
}

struct nrd_status *core_host_acquire(const struct infer_options *options, struct core_host **host)
{
    const char *repository = options->repository;
    const char *model = options->model;
    char resolved[PATH_MAX];
    if (realpath(repository, resolved) == NULL) {
        return status_new(NRD_NOT_FOUND, "there is no model repository '%s'", repository);
    }
    struct core_host *found = NULL;
    pthread_mutex_lock(&mutex);
    struct nrd_status *status = find_or_make(resolved, options, &found);
    if (status == NULL) {
        status = add_user(found, model);
        if (status != NULL && found->models == NULL) {
            destroy(found);
        }
    }
    pthread_mutex_unlock(&mutex);
    if (status != NULL) {
        return status_wrap(status, "model '%s' of repository '%s': ", model, repository);
    }
    *host = found;
    return NULL;
}

void core_host_release(struct core_host *host, const char *model)
{
    if (host == NULL) {
        return;
    }
    pthread_mutex_lock(&mutex);
    struct hosted **at = find_hosted(host, model);
    struct hosted *hosted = *at;
    if (hosted != NULL && --hosted->users == 0) {
        *at = hosted->next;
        mem_free(hosted);
        if (host->models != NULL) {
            status_free(core_status(TRITONSERVER_ServerUnloadModel(host->server, model)));
        } else {
            destroy(host);
        }
    }
    pthread_mutex_unlock(&mutex);
}

TRITONSERVER_Server *core_host_server(const struct core_host *host)
{
    return host->server;
}
