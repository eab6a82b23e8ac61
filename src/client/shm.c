// SPDX-License-Identifier: Apache-2.0
// Shared memory: registering regions with a server, and regions of our own (POSIX shared memory).
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/mem.h"
#include "client/admin.h"
#include "client/reply.h"
#include "proto/grpc_service.pb-c.h"
#include "proto/wire.h"

#define SERVICE "/inference.GRPCInferenceService/"

static void about_region(struct question *q, const char *verb, const char *rpc,
                         const ProtobufCMessageDescriptor *reply, const char *root,
                         const char *name, const char *suffix)
{
    question_init(q, verb, "POST ", rpc, reply);
    str_append_cstr(&q->path, root);
    if (name != NULL && name[0] != '\0') {
        str_printf(&q->subject, "'%s'", name);
        question_name(q, "/region/", name, "");
        wire_put_bytes(&q->message, 1, slice_of(name));
    }
    str_append_cstr(&q->path, suffix);
}

static struct nrd_status *need_name(const char *verb, const char *name)
{
    return name == NULL || name[0] == '\0'
               ? status_new(NRD_INVALID_ARG, "%s: no name is given", verb)
               : NULL;
}

// ---- the protocol's calls -------------------------------------------------------------------------------------------------

struct nrd_status *nrd_client_shm_register(struct nrd_client *client, const char *name,
                                           const char *key, uint64_t offset, uint64_t size)
{
    struct question q;
    NRD_TRY(need_name("register shared memory", name));
    NRD_TRY(need_name("register shared memory", key));
    about_region(&q, "register shared memory", SERVICE "SystemSharedMemoryRegister",
                 &inference__system_shared_memory_register_response__descriptor,
                 "/v2/systemsharedmemory", name, "/register");
    struct json_writer w;
    json_begin(&w, &q.body);
    json_object_begin(&w);
    json_key(&w, "key");
    json_cstring(&w, key);
    json_key(&w, "offset");
    json_u64(&w, offset);
    json_key(&w, "byte_size");
    json_u64(&w, size);
    json_object_end(&w);
    wire_put_bytes(&q.message, 2, slice_of(key));
    wire_put_number(&q.message, 3, offset);
    wire_put_number(&q.message, 4, size);
    return question_text(client, &q, NULL);
}

struct nrd_status *nrd_client_shm_unregister(struct nrd_client *client, const char *name)
{
    struct question q;
    about_region(&q, "unregister shared memory", SERVICE "SystemSharedMemoryUnregister",
                 &inference__system_shared_memory_unregister_response__descriptor,
                 "/v2/systemsharedmemory", name, "/unregister");
    return question_text(client, &q, NULL);
}

// gRPC's {"regions":{"a":{...},...}} as HTTP's [{...},...].
static struct nrd_status *list_regions(struct str *json)
{
    struct arena arena;
    arena_init(&arena, 0);
    const struct json_node *root = NULL;
    struct str list = STR_INIT;
    struct json_writer w;
    struct nrd_status *status = reply_parse(&arena, str_slice(json), &root);
    const struct json_node *regions = status == NULL ? json_get(root, "regions") : NULL;
    const struct json_node *key = regions != NULL ? json_first(regions) : NULL;
    json_begin(&w, &list);
    json_array_begin(&w);
    for (unsigned i = 0; regions != NULL && i < regions->count; i++) {
        const struct json_node *value = json_next(key);
        json_write_node(&w, value);
        key = json_next(value);
    }
    json_array_end(&w);
    arena_fini(&arena);
    str_fini(json);
    *json = list;
    return status != NULL ? status : str_status(json);
}

static struct nrd_status *region_status(struct nrd_client *client, struct question *q, char **json)
{
    q->method = "GET ";
    struct nrd_status *status = question_ask(client, q);
    if (status == NULL && client->url.grpc) {
        status = list_regions(&q->json);
    }
    if (status == NULL) {
        *json = mem_strdup(str_cstr(&q->json));
        status = *json == NULL ? status_no_memory() : NULL;
    }
    question_fini(q);
    return status;
}

struct nrd_status *nrd_client_shm_status(struct nrd_client *client, const char *name, char **json)
{
    struct question q;
    about_region(&q, "ask for shared memory", SERVICE "SystemSharedMemoryStatus",
                 &inference__system_shared_memory_status_response__descriptor,
                 "/v2/systemsharedmemory", name, "/status");
    return region_status(client, &q, json);
}

struct nrd_status *nrd_client_cuda_shm_register(struct nrd_client *client, const char *name,
                                                const void *handle, size_t handle_size,
                                                int64_t device_id, uint64_t size)
{
    struct question q;
    NRD_TRY(need_name("register CUDA shared memory", name));
    about_region(&q, "register CUDA shared memory", SERVICE "CudaSharedMemoryRegister",
                 &inference__cuda_shared_memory_register_response__descriptor,
                 "/v2/cudasharedmemory", name, "/register");
    struct str text = STR_INIT;
    base64_encode(slice_make(handle, handle_size), &text);
    struct json_writer w;
    json_begin(&w, &q.body);
    json_object_begin(&w);
    json_key(&w, "raw_handle");
    json_object_begin(&w);
    json_key(&w, "b64");
    json_string(&w, str_slice(&text));
    json_object_end(&w);
    json_key(&w, "device_id");
    json_i64(&w, device_id);
    json_key(&w, "byte_size");
    json_u64(&w, size);
    json_object_end(&w);
    q.body.failed |= text.failed;
    str_fini(&text);
    wire_put_bytes(&q.message, 2, slice_make(handle, handle_size));
    wire_put_number(&q.message, 3, (uint64_t)device_id);
    wire_put_number(&q.message, 4, size);
    return question_text(client, &q, NULL);
}

struct nrd_status *nrd_client_cuda_shm_unregister(struct nrd_client *client, const char *name)
{
    struct question q;
    about_region(&q, "unregister CUDA shared memory", SERVICE "CudaSharedMemoryUnregister",
                 &inference__cuda_shared_memory_unregister_response__descriptor,
                 "/v2/cudasharedmemory", name, "/unregister");
    return question_text(client, &q, NULL);
}

struct nrd_status *nrd_client_cuda_shm_status(struct nrd_client *client, const char *name,
                                              char **json)
{
    struct question q;
    about_region(&q, "ask for CUDA shared memory", SERVICE "CudaSharedMemoryStatus",
                 &inference__cuda_shared_memory_status_response__descriptor, "/v2/cudasharedmemory",
                 name, "/status");
    return region_status(client, &q, json);
}

// ---- regions of our own ---------------------------------------------------------------------------------------------------

struct nrd_shm {
    struct nrd_client *client; // borrowed
    void *data;
    size_t size;
    char key[64];
};

// Opens a new object under a name that nobody has. -1: errno says why.
static int open_new(char *key, size_t key_size)
{
    static _Atomic unsigned counter;
    for (unsigned tries = 0; tries < 16; tries++) {
        unsigned n = atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed);
        snprintf(key, key_size, "/nereid-%ld-%u-%llx", (long)getpid(), n,
                 (unsigned long long)clock_wall_ns());
        int fd = shm_open(key, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
    }
    return -1;
}

static struct nrd_status *shm_failed(const char *what, size_t size, int error)
{
    return status_new(NRD_UNAVAILABLE, "shared memory of %zu bytes: failed to %s: %s", size, what,
                      strerror(error));
}

static struct nrd_status *make_region(struct nrd_shm *shm, size_t size)
{
    int fd = open_new(shm->key, sizeof(shm->key));
    if (fd < 0) {
        shm->key[0] = '\0';
        return shm_failed("make it", size, errno);
    }
    // Space is taken now: a full /dev/shm is an error here and not a SIGBUS later.
    int error = posix_fallocate(fd, 0, (off_t)size);
    if (error == 0) {
        shm->data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        error = shm->data == MAP_FAILED ? errno : 0;
        shm->data = error != 0 ? NULL : shm->data;
    }
    close(fd);
    shm->size = size;
    return error == 0 ? NULL : shm_failed("allocate it", size, error);
}

static void remove_region(struct nrd_shm *shm)
{
    if (shm->data != NULL) {
        munmap(shm->data, shm->size);
    }
    if (shm->key[0] != '\0') {
        shm_unlink(shm->key);
    }
    mem_free(shm);
}

struct nrd_status *nrd_shm_create(struct nrd_client *client, size_t size, struct nrd_shm **out)
{
    if (size == 0 || size > PTRDIFF_MAX) {
        return status_new(NRD_INVALID_ARG, "shared memory of %zu bytes cannot be made", size);
    }
    struct nrd_shm *shm = mem_calloc(1, sizeof(*shm));
    if (shm == NULL) {
        return status_no_memory();
    }
    shm->client = client;
    struct nrd_status *status = make_region(shm, size);
    if (status == NULL) {
        status = nrd_client_shm_register(client, nrd_shm_name(shm), shm->key, 0, size);
    }
    if (status != NULL) {
        remove_region(shm);
        return status;
    }
    *out = shm;
    return NULL;
}

const char *nrd_shm_name(const struct nrd_shm *shm)
{
    return shm->key + 1; // without the slash, which could not stand in a path
}

void *nrd_shm_data(const struct nrd_shm *shm)
{
    return shm->data;
}

size_t nrd_shm_size(const struct nrd_shm *shm)
{
    return shm->size;
}

void nrd_shm_abandon(struct nrd_shm *shm)
{
    if (shm != NULL) {
        remove_region(shm);
    }
}

void nrd_shm_destroy(struct nrd_shm *shm)
{
    if (shm != NULL) {
        status_free(nrd_client_shm_unregister(shm->client, nrd_shm_name(shm)));
        remove_region(shm);
    }
}
