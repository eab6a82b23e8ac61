// SPDX-License-Identifier: Apache-2.0
// Endpoints of shared memory: status, register, unregister; system and CUDA.
#include "base/base64.h"
#include "protocol/http_api.h"

static void write_region(void *arg, const struct shm_info *info)
{
    struct json_writer *writer = arg;
    json_object_begin(writer);
    json_key(writer, "name");
    json_string(writer, info->name);
    json_key(writer, "key");
    json_string(writer, info->key);
    json_key(writer, "offset");
    json_u64(writer, info->offset);
    json_key(writer, "byte_size");
    json_u64(writer, info->byte_size);
    json_object_end(writer);
}

static void write_cuda_region(void *arg, const struct shm_info *info)
{
    struct json_writer *writer = arg;
    json_object_begin(writer);
    json_key(writer, "name");
    json_string(writer, info->name);
    json_key(writer, "device_id");
    json_i64(writer, info->device_id);
    json_key(writer, "byte_size");
    json_u64(writer, info->byte_size);
    json_object_end(writer);
}

static struct nrd_status *write_status(struct http_server *http, struct http1_request *request,
                                       const struct http_route *route, bool cuda)
{
    struct json_writer writer;
    json_begin(&writer, http1_text(request));
    json_array_begin(&writer);
    NRD_TRY(shm_status(http->shm, cuda ? SHM_CUDA : SHM_SYSTEM, route->region,
                       cuda ? write_cuda_region : write_region, &writer));
    json_array_end(&writer);
    return NULL;
}

// The fields of a system region. `key` is missing before any other is looked at.
static struct nrd_status *register_system(struct http_server *http, struct http1_request *request,
                                          const struct http_route *route, struct arena *arena)
{
    const struct json_node *root = NULL;
    NRD_TRY(http_parse_json(http, request, arena, request->body, false, &root));
    const struct json_node *node = json_get(root, "key");
    if (node == NULL) {
        return status_new(NRD_INVALID_ARG, "Shared memory register request has no 'key' field");
    }
    struct slice key;
    uint64_t offset = 0;
    uint64_t byte_size = 0;
    NRD_TRY(json_want_string(node, &key));
    node = json_get(root, "offset");
    if (node != NULL) {
        NRD_TRY(json_want_u64(node, &offset));
    }
    node = json_get(root, "byte_size");
    if (node == NULL) {
        return status_new(NRD_INVALID_ARG,
                          "Shared memory register request has no 'byte_size' field");
    }
    NRD_TRY(json_want_u64(node, &byte_size));
    return shm_register(http->shm, route->region, key, offset, byte_size);
}

// {"raw_handle":{"b64":"..."},"device_id":N,"byte_size":N}.
static struct nrd_status *register_cuda(struct http_server *http, struct http1_request *request,
                                        const struct http_route *route, struct arena *arena)
{
    static const char missing[] = "Shared memory register request has no '%s' field";
    const struct json_node *root = NULL;
    NRD_TRY(http_parse_json(http, request, arena, request->body, false, &root));
    const struct json_node *handle = json_get(root, "raw_handle");
    const struct json_node *text = handle == NULL ? NULL : json_get(handle, "b64");
    const struct json_node *device = json_get(root, "device_id");
    const struct json_node *size = json_get(root, "byte_size");
    if (text == NULL || device == NULL || size == NULL) {
        return status_new(NRD_INVALID_ARG, missing,
                          text == NULL     ? "raw_handle"
                          : device == NULL ? "device_id"
                                           : "byte_size");
    }
    struct slice encoded;
    int64_t device_id = 0;
    uint64_t byte_size = 0;
    NRD_TRY(json_want_string(text, &encoded));
    NRD_TRY(json_want_i64(device, &device_id));
    NRD_TRY(json_want_u64(size, &byte_size));
    struct str decoded = STR_INIT;
    struct nrd_status *status = base64_decode(encoded, &decoded);
    if (status == NULL) {
        status =
            shm_register_cuda(http->shm, route->region, str_slice(&decoded), device_id, byte_size);
    }
    str_fini(&decoded);
    return status;
}

static struct nrd_status *register_region(struct http_server *http, struct http1_request *request,
                                          const struct http_route *route, bool cuda)
{
    if (route->region.len == 0) {
        return status_new(NRD_INVALID_ARG,
                          "'region name' is necessary to register %s shared memory region",
                          cuda ? "cuda" : "system");
    }
    struct arena arena;
    arena_init(&arena, 0);
    struct nrd_status *status = cuda ? register_cuda(http, request, route, &arena)
                                     : register_system(http, request, route, &arena);
    arena_fini(&arena);
    return status;
}

static struct nrd_status *act(struct http_server *http, struct http1_request *request,
                              const struct http_route *route, bool cuda,
                              enum http_shm_action action)
{
    if (http->shm == NULL) {
        return shm_not_allowed();
    }
    if (action == HTTP_SHM_STATUS) {
        return write_status(http, request, route, cuda);
    }
    if (!shm_allowed(http->shm)) {
        return shm_not_allowed();
    }
    return action == HTTP_SHM_REGISTER
               ? register_region(http, request, route, cuda)
               : shm_unregister(http->shm, cuda ? SHM_CUDA : SHM_SYSTEM, route->region);
}

void http_shm(struct http_server *http, struct http1_request *request,
              const struct http_route *route, bool cuda, enum http_shm_action action)
{
    if (http_is_restricted(http, request, RESTRICT_SHARED_MEMORY)) {
        return;
    }
    enum http1_method method = action == HTTP_SHM_STATUS ? HTTP1_GET : HTTP1_POST;
    if (request->head.method != method) {
        http_reply_not_allowed(request, true);
        return;
    }
    struct nrd_status *status = act(http, request, route, cuda, action);
    if (status != NULL) {
        http_reply_status(request, true, status);
    } else {
        http1_reply(request, 200, HTTP_TYPE_JSON, true, NULL);
    }
}
