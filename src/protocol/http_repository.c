// SPDX-License-Identifier: Apache-2.0
// Endpoints of the model repository: index, load, unload. All of them on a worker, since loading takes as long as it takes.
#include "base/base64.h"
#include "base/mem.h"
#include "protocol/http_api.h"

#define NAME_SIZE 512
#define MAX_LOAD_PARAMETERS 1024

static struct nrd_status *index_flags(struct http_job *job, struct arena *arena, uint32_t *flags)
{
    const struct json_node *root = NULL;
    NRD_TRY(http_parse_json(job->http, job->request, arena, job->request->body, true, &root));
    const struct json_node *ready = root == NULL ? NULL : json_get(root, "ready");
    if (ready == NULL) {
        return NULL;
    }
    bool yes = false;
    if (!json_as_bool(ready, &yes)) {
        return status_new(NRD_INVALID_ARG, "Invalid value for 'ready': expected a boolean");
    }
    *flags = yes ? TRITONSERVER_INDEX_FLAG_READY : 0;
    return NULL;
}

static struct nrd_status *run_index(struct http_job *job)
{
    struct arena arena;
    arena_init(&arena, 0);
    uint32_t flags = 0;
    struct nrd_status *status = index_flags(job, &arena, &flags);
    arena_fini(&arena);
    TRITONSERVER_Message *message = NULL;
    if (status == NULL) {
        status = error_to_status(TRITONSERVER_ServerModelIndex(job->http->triton, flags, &message));
    }
    if (status != NULL) {
        return status;
    }
    const char *base = NULL;
    size_t size = 0;
    status = error_to_status(TRITONSERVER_MessageSerializeToJson(message, &base, &size));
    if (status == NULL) {
        str_append(&job->body, base, size);
    }
    http_drop_error(TRITONSERVER_MessageDelete(message), "deleting a message");
    return status;
}

void http_repository_index(struct http_server *http, struct http1_request *request,
                           const struct http_route *route)
{
    if (http_is_restricted(http, request, RESTRICT_MODEL_REPOSITORY)) {
        return;
    }
    if (request->head.method != HTTP1_POST) {
        http_reply_not_allowed(request, true);
        return;
    }
    http_offload(http, request, route, run_index, false);
}

// The parameters of a load. Decoded files live in `files` until the load has returned.
struct load_parameters {
    const TRITONSERVER_Parameter **items;
    struct str *files;
    unsigned count;
};

static struct nrd_status *add_parameter(struct load_parameters *p, struct arena *arena,
                                        const struct json_node *key, const struct json_node *value)
{
    struct slice text;
    NRD_TRY(json_want_string(value, &text));
    const char *name = arena_strdup(arena, json_text(key));
    if (name == NULL) {
        return status_no_memory();
    }
    TRITONSERVER_Parameter *parameter = NULL;
    if (strcmp(name, "config") == 0) {
        const char *config = arena_strdup(arena, text);
        if (config == NULL) {
            return status_no_memory();
        }
        parameter = TRITONSERVER_ParameterNew(name, TRITONSERVER_PARAMETER_STRING, config);
    } else if (strncmp(name, "file:", 5) == 0) {
        struct str *file = &p->files[p->count];
        NRD_TRY(base64_decode(text, file));
        parameter = TRITONSERVER_ParameterBytesNew(name, str_cstr(file), file->len);
    }
    if (parameter == NULL) {
        return status_new(NRD_INTERNAL, "unexpected error on creating Triton parameter");
    }
    p->items[p->count++] = parameter;
    return NULL;
}

static struct nrd_status *read_parameters(struct http_job *job, struct arena *arena,
                                          struct load_parameters *p)
{
    const struct json_node *root = NULL;
    NRD_TRY(http_parse_json(job->http, job->request, arena, job->request->body, true, &root));
    const struct json_node *parameters = root == NULL ? NULL : json_get(root, "parameters");
    if (parameters == NULL) {
        return NULL;
    }
    NRD_TRY(http_want_members(parameters));
    if (parameters->count > MAX_LOAD_PARAMETERS) {
        return status_new(NRD_INVALID_ARG, "more than %d load parameters", MAX_LOAD_PARAMETERS);
    }
    p->items = arena_calloc(arena, parameters->count + 1, sizeof(p->items[0]));
    p->files = arena_calloc(arena, parameters->count + 1, sizeof(p->files[0]));
    if (p->items == NULL || p->files == NULL) {
        return status_no_memory();
    }
    const struct json_node *key = json_first(parameters);
    for (uint32_t i = 0; i < parameters->count; i++) {
        const struct json_node *value = json_next(key);
        NRD_TRY(add_parameter(p, arena, key, value));
        key = json_next(value);
    }
    return NULL;
}

static struct nrd_status *run_load(struct http_job *job)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct load_parameters p = {0};
    struct nrd_status *status = read_parameters(job, &arena, &p);
    const char *name = arena_strdup(&arena, job->route.model);
    if (status == NULL && name == NULL) {
        status = status_no_memory();
    }
    if (status == NULL) {
        status = error_to_status(
            TRITONSERVER_ServerLoadModelWithParameters(job->http->triton, name, p.items, p.count));
    }
    for (unsigned i = 0; i < p.count; i++) {
        union {
            const TRITONSERVER_Parameter *in;
            TRITONSERVER_Parameter *out;
        } cast = {.in = p.items[i]};
        TRITONSERVER_ParameterDelete(cast.out);
    }
    for (unsigned i = 0; p.files != NULL && i <= p.count; i++) {
        str_fini(&p.files[i]);
    }
    arena_fini(&arena);
    return status;
}

static struct nrd_status *read_dependents(struct http_job *job, struct arena *arena, bool *yes)
{
    const struct json_node *root = NULL;
    NRD_TRY(http_parse_json(job->http, job->request, arena, job->request->body, true, &root));
    const struct json_node *parameters = root == NULL ? NULL : json_get(root, "parameters");
    const struct json_node *dependents =
        parameters == NULL ? NULL : json_get(parameters, "unload_dependents");
    if (dependents == NULL) {
        return NULL;
    }
    return status_wrap(json_want_bool(dependents, yes), "Unable to parse 'unload_dependents': ");
}

static struct nrd_status *run_unload(struct http_job *job)
{
    struct arena arena;
    arena_init(&arena, 0);
    bool dependents = false;
    struct nrd_status *status = read_dependents(job, &arena, &dependents);
    const char *name = arena_strdup(&arena, job->route.model);
    if (status == NULL && name == NULL) {
        status = status_no_memory();
    }
    if (status == NULL) {
        status = error_to_status(
            dependents ? TRITONSERVER_ServerUnloadModelAndDependents(job->http->triton, name)
                       : TRITONSERVER_ServerUnloadModel(job->http->triton, name));
    }
    arena_fini(&arena);
    return status;
}

void http_repository_load(struct http_server *http, struct http1_request *request,
                          const struct http_route *route, bool load)
{
    if (http_is_restricted(http, request, RESTRICT_MODEL_REPOSITORY)) {
        return;
    }
    if (request->head.method != HTTP1_POST) {
        http_reply_not_allowed(request, true);
        return;
    }
    if (route->repository.len > 0) {
        http_reply_error(request, 501, true, "'repository_name' specification is not supported");
        return;
    }
    http_offload(http, request, route, load ? run_load : run_unload, true);
}
