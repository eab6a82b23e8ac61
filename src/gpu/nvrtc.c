// SPDX-License-Identifier: Apache-2.0
// NVRTC: the library's table, one compilation, and the cache.
//
// A cached file is named after a 128-bit hash of everything that decides the code: text, headers, options, target, version
// of the library. It begins with a hash of its own bytes, so half a file is no file. Written beside and renamed.
#include "gpu/nvrtc.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

static pthread_mutex_t nvrtc_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gpu_nvrtc loaded_table;
static _Atomic(const struct gpu_nvrtc *) current_table;
static struct nrd_status *open_failure; // under the lock

static const struct gpu_nvrtc *nvrtc(void)
{
    return atomic_load_explicit(&current_table, memory_order_acquire);
}

static struct nrd_status *nvrtc_status(int result, const char *call, const char *name)
{
    if (result == NVRTC_OK) {
        return NULL;
    }
    const char *words = nvrtc()->error_string(result);
    return status_new(NRD_INTERNAL, "%s: %s: %s", name, call, words == NULL ? "?" : words);
}

static bool find_symbol(void *library, const char *symbol, void *member)
{
    void *address = dlsym(library, symbol);
    memcpy(member, &address, sizeof(address));
    return address != NULL;
}

static struct nrd_status *load_table(struct gpu_nvrtc *table)
{
    static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2",
                                        "libnvrtc.so"};
    void *library = NULL;
    for (size_t i = 0; library == NULL && i < sizeof(names) / sizeof(names[0]); i++) {
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    }
    if (library == NULL) {
        return status_new(NRD_UNAVAILABLE, "no CUDA compiler: %s", dlerror());
    }
#define GPU_NVRTC_LOAD(type, name, symbol, args)                                                   \
    if (!find_symbol(library, #symbol, &table->name)) {                                            \
        return status_new(NRD_UNAVAILABLE, "no CUDA compiler: libnvrtc has no " #symbol            \
                                           " (11.2 or later is needed)");                          \
    }
    GPU_NVRTC_FUNCTIONS(GPU_NVRTC_LOAD)
#undef GPU_NVRTC_LOAD
    return NULL;
}

struct nrd_status *nvrtc_open(void)
{
    if (nvrtc() != NULL) {
        return NULL;
    }
    pthread_mutex_lock(&nvrtc_lock);
    struct nrd_status *status = NULL;
    if (nvrtc() == NULL) {
        if (open_failure == NULL) {
            open_failure = load_table(&loaded_table);
        }
        status = status_copy(open_failure);
        if (open_failure == NULL) {
            atomic_store_explicit(&current_table, &loaded_table, memory_order_release);
        }
    }
    pthread_mutex_unlock(&nvrtc_lock);
    return status;
}

void nvrtc_replace(const struct gpu_nvrtc *table)
{
    pthread_mutex_lock(&nvrtc_lock);
    status_free(open_failure);
    open_failure = NULL;
    atomic_store_explicit(&current_table, table, memory_order_release);
    pthread_mutex_unlock(&nvrtc_lock);
}

// ---- the cache ----------------------------------------------------------------------------------------------------

struct hash128 {
    uint64_t a;
    uint64_t b;
};
#define HASH_START ((struct hash128){0xcbf29ce484222325u, 0x84222325cbf29ce4u})

// FNV-1a twice, with different starts and a twist between, so that the halves differ: a name for a file, not a seal.
static struct hash128 hash_bytes(struct hash128 h, const void *bytes, size_t size)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < size; i++) {
        h.a = (h.a ^ p[i]) * 0x100000001b3u;
        h.b = (h.b ^ p[i] ^ (h.a >> 57)) * 0x100000001b3u;
    }
    return h;
}

static struct hash128 hash_text(struct hash128 h, const char *text)
{
    return hash_bytes(h, text, strlen(text) + 1);
}

enum { CACHE_HEAD = sizeof(struct hash128), CACHE_MAX_BYTES = 64 << 20 };

// Appends the cache's folder; leaves `path` empty where there is none.
static void cache_folder(struct str *path)
{
    const char *own = getenv("NEREID_CACHE_DIR");
    const char *user = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    if (own != NULL) {
        str_append_cstr(path, own);
    } else if (user != NULL && user[0] == '/') {
        str_printf(path, "%s/nereid", user);
    } else if (home != NULL && home[0] == '/') {
        str_printf(path, "%s/.cache/nereid", home);
    }
    if (path->len > 0) {
        str_append_cstr(path, "/kernels");
    }
}

static bool cache_read(const char *path, struct str *code)
{
    struct str content = STR_INIT;
    struct hash128 head;
    bool good = false;
    struct nrd_status *status = file_exists(path) ? file_read(path, CACHE_MAX_BYTES, &content)
                                                  : status_new(NRD_NOT_FOUND, "no file");
    if (status == NULL && content.len > CACHE_HEAD) {
        struct hash128 h =
            hash_bytes(HASH_START, content.ptr + CACHE_HEAD, content.len - CACHE_HEAD);
        memcpy(&head, content.ptr, sizeof(head));
        good = h.a == head.a && h.b == head.b;
        if (good) {
            str_append(code, content.ptr + CACHE_HEAD, content.len - CACHE_HEAD);
        }
    }
    status_free(status);
    str_fini(&content);
    return good;
}

static struct nrd_status *cache_write(const char *folder, const char *path, struct slice code)
{
    struct str content = STR_INIT;
    struct str beside = STR_INIT;
    struct hash128 head = hash_bytes(HASH_START, code.ptr, code.len);
    str_append(&content, &head, sizeof(head));
    str_append_slice(&content, code);
    str_printf(&beside, "%s.%d", path, (int)getpid());
    struct nrd_status *status = str_status(&content);
    if (status == NULL) {
        status = str_status(&beside);
    }
    if (status == NULL) {
        status = file_make_dirs(folder);
    }
    if (status == NULL) {
        status = file_write(str_cstr(&beside), str_slice(&content));
    }
    if (status == NULL && rename(str_cstr(&beside), path) != 0) {
        status = status_new(NRD_INTERNAL, "failed to rename to %s", path);
    }
    str_fini(&content);
    str_fini(&beside);
    return status;
}

// ---- compiling ----------------------------------------------------------------------------------------------------

enum { OPTIONS_MAX = 32 };

struct target {
    char option[40]; // --gpu-architecture=...
    bool is_ptx;
};

static struct nrd_status *choose_target(const char *name, int major, int minor,
                                        struct target *target)
{
    int wanted = major * 10 + minor;
    int newest = 0;
    int count = 0;
    int archs[128];
    NRD_TRY(nvrtc_status(nvrtc()->arch_count(&count), "nvrtcGetNumSupportedArchs", name));
    if (count > (int)(sizeof(archs) / sizeof(archs[0]))) {
        return status_new(NRD_INTERNAL, "%s: the CUDA compiler knows %d targets", name, count);
    }
    NRD_TRY(nvrtc_status(nvrtc()->archs(archs), "nvrtcGetSupportedArchs", name));
    for (int i = 0; i < count; i++) {
        newest = archs[i] > newest && archs[i] <= wanted ? archs[i] : newest;
    }
    if (newest == 0) {
        return status_new(NRD_UNSUPPORTED,
                          "%s: the CUDA compiler has no target for compute capability %d.%d", name,
                          major, minor);
    }
    target->is_ptx = newest != wanted;
    snprintf(target->option, sizeof(target->option), "--gpu-architecture=%s_%d",
             target->is_ptx ? "compute" : "sm", newest);
    return NULL;
}

static struct nrd_status *compile_failure(struct nvrtc_program *program, const char *name)
{
    size_t size = 0;
    char *log = NULL;
    if (nvrtc()->log_size(program, &size) == NVRTC_OK && size > 1) {
        log = mem_calloc(1, size + 1);
    }
    if (log != NULL) {
        (void)nvrtc()->log(program, log);
    }
    struct nrd_status *status = status_new(NRD_INVALID_ARG, "%s does not compile: %s", name,
                                           log == NULL ? "no reason given" : log);
    mem_free(log);
    return status;
}

static struct nrd_status *read_code(struct nvrtc_program *program, const char *name, bool is_ptx,
                                    struct str *code)
{
    size_t size = 0;
    NRD_TRY(nvrtc_status(is_ptx ? nvrtc()->ptx_size(program, &size)
                                : nvrtc()->cubin_size(program, &size),
                         is_ptx ? "nvrtcGetPTXSize" : "nvrtcGetCUBINSize", name));
    char *to = str_reserve(code, size);
    if (to == NULL) {
        return status_no_memory();
    }
    NRD_TRY(nvrtc_status(is_ptx ? nvrtc()->ptx(program, to) : nvrtc()->cubin(program, to),
                         is_ptx ? "nvrtcGetPTX" : "nvrtcGetCUBIN", name));
    code->len += size;
    code->ptr[code->len] = '\0'; // str_reserve() has room for it
    return NULL;
}

static struct nrd_status *compile(const struct nvrtc_source *source, const struct target *target,
                                  struct str *code)
{
    struct nvrtc_program *program = NULL;
    const char *options[OPTIONS_MAX + 2] = {target->option, "--std=c++17"};
    for (size_t i = 0; i < source->option_count; i++) {
        options[2 + i] = source->options[i];
    }
    NRD_TRY(nvrtc_status(nvrtc()->create(&program, source->text, source->name,
                                         (int)source->header_count, source->headers,
                                         source->header_names),
                         "nvrtcCreateProgram", source->name));
    int result = nvrtc()->compile(program, (int)source->option_count + 2, options);
    struct nrd_status *status = result == NVRTC_COMPILATION_FAILED
                                    ? compile_failure(program, source->name)
                                    : nvrtc_status(result, "nvrtcCompileProgram", source->name);
    if (status == NULL) {
        status = read_code(program, source->name, target->is_ptx, code);
    }
    (void)nvrtc()->destroy(&program);
    return status;
}

static struct hash128 key_of(const struct nvrtc_source *source, const struct target *target)
{
    int major = 0;
    int minor = 0;
    (void)nvrtc()->version(&major, &minor);
    struct hash128 h = hash_text(HASH_START, target->option);
    h = hash_bytes(h, &major, sizeof(major));
    h = hash_bytes(h, &minor, sizeof(minor));
    h = hash_text(h, source->text);
    for (size_t i = 0; i < source->header_count; i++) {
        h = hash_text(hash_text(h, source->header_names[i]), source->headers[i]);
    }
    for (size_t i = 0; i < source->option_count; i++) {
        h = hash_text(h, source->options[i]);
    }
    return h;
}

struct nrd_status *nvrtc_compile(const struct nvrtc_source *source, int compute_major,
                                 int compute_minor, struct str *code)
{
    struct target target;
    if (source->option_count > OPTIONS_MAX) {
        return status_new(NRD_INVALID_ARG, "%s: %zu compiler options, at most %d", source->name,
                          source->option_count, OPTIONS_MAX);
    }
    NRD_TRY(nvrtc_open());
    NRD_TRY(choose_target(source->name, compute_major, compute_minor, &target));
    struct str folder = STR_INIT;
    struct str path = STR_INIT;
    struct hash128 key = key_of(source, &target);
    cache_folder(&folder);
    str_printf(&path, "%s/%016llx%016llx", str_cstr(&folder), (unsigned long long)key.a,
               (unsigned long long)key.b);
    struct nrd_status *status = str_status(&path);
    bool cached = folder.len > 0;
    size_t before = code->len;
    if (status == NULL && !(cached && cache_read(str_cstr(&path), code))) {
        status = compile(source, &target, code);
        if (status == NULL && cached) {
            struct nrd_status *kept =
                cache_write(str_cstr(&folder), str_cstr(&path),
                            slice_make(code->ptr + before, code->len - before));
            if (kept != NULL) {
                LOG_DEBUG(1, "compiled kernels are not kept: %s", status_text(kept));
                status_free(kept);
            }
        }
    }
    if (status == NULL) {
        status = str_status(code);
    }
    str_fini(&folder);
    str_fini(&path);
    return status;
}
