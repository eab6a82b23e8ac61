// SPDX-License-Identifier: Apache-2.0
// Finds libnvinfer, what lies beside it, and the shim for its release. See trt_library.h.
#include "backends/tensorrt/trt_library.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

enum { SHIMS_MAX = 32, OLDEST = 8, NEWEST = 11 };

// The shims that there are, by the release in their names.
struct shims {
    struct shim_file {
        int major;
        int minor;
        char *path;
    } items[SHIMS_MAX];
    size_t count;
};

void trt_version_split(int version, int *major, int *minor, int *patch)
{
    // TensorRT 10 began to count in steps of ten thousand.
    int step = version >= 100000 ? 10000 : 1000;
    *major = version / step;
    *minor = version % step / 100;
    *patch = version % 100;
}

// ---- shims ----

static struct nrd_status *list_shims(const char *directory, struct shims *shims)
{
    glob_t found = {0};
    struct str pattern = STR_INIT;
    struct nrd_status *status = NULL;
    str_printf(&pattern, "%s/libnereid_trt_*.so", directory);
    bool any = !pattern.failed && glob(str_cstr(&pattern), 0, NULL, &found) == 0;
    for (size_t i = 0; any && i < found.gl_pathc && shims->count < SHIMS_MAX; i++) {
        struct shim_file *shim = &shims->items[shims->count];
        if (sscanf(path_base(found.gl_pathv[i]), "libnereid_trt_%d.%d.so", &shim->major,
                   &shim->minor) != 2) {
            continue;
        }
        shim->path = mem_strdup(found.gl_pathv[i]);
        if (shim->path == NULL) {
            status = status_no_memory();
            break;
        }
        shims->count++;
    }
    if (any) {
        globfree(&found);
    }
    str_fini(&pattern);
    return status;
}

static void free_shims(struct shims *shims)
{
    for (size_t i = 0; i < shims->count; i++) {
        mem_free(shims->items[i].path);
    }
}

// Interfaces of one major release only grow: the newest headers that are not newer than the library.
static const struct shim_file *choose_shim(const struct shims *shims, int major, int minor)
{
    const struct shim_file *best = NULL;
    for (size_t i = 0; i < shims->count; i++) {
        const struct shim_file *s = &shims->items[i];
        if (s->major == major && s->minor <= minor && (best == NULL || s->minor > best->minor)) {
            best = s;
        }
    }
    return best;
}

static struct nrd_status *open_shim(const struct shim_file *file, const struct trt_shim **shim)
{
    void *handle = dlopen(file->path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        return status_new(NRD_UNAVAILABLE, "unable to open the TensorRT shim: %s", dlerror());
    }
    void *symbol = dlsym(handle, "nereid_trt_shim");
    trt_shim_fn get = NULL;
    memcpy(&get, &symbol, sizeof(get));
    const struct trt_shim *table = get == NULL ? NULL : get();
    if (table == NULL || table->abi != TRT_SHIM_ABI || table->size != sizeof(*table)) {
        return status_new(NRD_UNSUPPORTED, "'%s' is not of this build of Nereid", file->path);
    }
    *shim = table;
    return NULL;
}

// ---- the library ----

// In a directory, or in a Python environment whose root it is; of one release.
static bool find_in(const char *directory, int major, struct str *path)
{
    static const char *const places[] = {
        "/libnvinfer.so.%d",
        "/lib/libnvinfer.so.%d",
        "/lib/python3*/site-packages/tensorrt_libs/libnvinfer.so.%d",
        "/lib/python3*/site-packages/tensorrt/libnvinfer.so.%d",
        "/lib/python3*/dist-packages/tensorrt_libs/libnvinfer.so.%d",
        "/lib/python3*/dist-packages/tensorrt/libnvinfer.so.%d",
        "/tensorrt_libs/libnvinfer.so.%d",
        "/tensorrt/libnvinfer.so.%d",
    };
    bool found = false;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !found; i++) {
        glob_t matches = {0};
        struct str pattern = STR_INIT;
        const char *number = strstr(places[i], "%d");
        str_append_cstr(&pattern, directory);
        str_append(&pattern, places[i], (size_t)(number - places[i]));
        str_append_i64(&pattern, major);
        if (!pattern.failed && glob(str_cstr(&pattern), 0, NULL, &matches) == 0) {
            str_clear(path);
            str_append_cstr(path, matches.gl_pathv[matches.gl_pathc - 1]);
            found = !path->failed;
            globfree(&matches);
        }
        str_fini(&pattern);
    }
    return found;
}

static void *open_library(const char *path)
{
    // Global, as those beside it look for its symbols.
    return dlopen(path, RTLD_NOW | RTLD_GLOBAL);
}

// One that the user named: it must open.
static struct nrd_status *open_named(const char *name, const char *who, struct str *path,
                                     void **handle)
{
    bool found = false;
    if (file_is_dir(name)) {
        for (int major = NEWEST; major >= OLDEST && !found; major--) {
            found = find_in(name, major, path);
        }
        if (!found) {
            return status_new(NRD_NOT_FOUND, "%s: there is no libnvinfer.so.* in '%s'", who, name);
        }
    } else {
        str_append_cstr(path, name);
    }
    *handle = open_library(str_cstr(path));
    return *handle != NULL
               ? NULL
               : status_new(NRD_NOT_FOUND, "%s: unable to open TensorRT: %s", who, dlerror());
}

static bool open_in(const char *directory, int major, struct str *path, void **handle)
{
    if (directory == NULL || !find_in(directory, major, path)) {
        return false;
    }
    *handle = open_library(str_cstr(path));
    return *handle != NULL;
}

static bool open_system(int major, struct str *path, void **handle)
{
    str_clear(path);
    str_printf(path, "libnvinfer.so.%d", major);
    *handle = path->failed ? NULL : open_library(str_cstr(path));
    return *handle != NULL;
}

static struct nrd_status *open_anywhere(const struct trt_places *places, const struct shims *shims,
                                        struct str *path, void **handle)
{
    struct str beside = STR_INIT;
    str_printf(&beside, "%s/../../tensorrt", places->directory);
    bool found = false;
    for (int major = NEWEST; major >= OLDEST && !found; major--) {
        if (choose_shim(shims, major, 99) == NULL) {
            continue; // it could not be used
        }
        found = open_in(places->directory, major, path, handle) ||
                open_in(str_cstr(&beside), major, path, handle) ||
                open_system(major, path, handle) ||
                open_in(getenv("VIRTUAL_ENV"), major, path, handle) ||
                open_in("/usr/local", major, path, handle) || open_in("/usr", major, path, handle);
    }
    str_fini(&beside);
    return found ? NULL
                 : status_new(NRD_NOT_FOUND,
                              "unable to find TensorRT (libnvinfer.so.*, of a release that this "
                              "build has headers of): not beside the backend in '%s', not "
                              "installed in the system, not as a Python package; name it by "
                              "--backend-config=tensorrt,library-path=PATH or by NEREID_TENSORRT",
                              places->directory);
}

// A function by name; the member is typed, dlsym is not.
static void find_symbol(void *handle, const char *name, void *member, size_t size)
{
    void *symbol = handle == NULL ? NULL : dlsym(handle, name);
    memcpy(member, &symbol, size);
}
#define FIND(handle, symbols, member, name)                                                        \
    find_symbol(handle, name, &(symbols)->member, sizeof((symbols)->member))

// A library of the same release in the directory of libnvinfer, else wherever the system has it. Bound
// lazily: the plugins name cuBLAS and cuDNN, which who builds without those tactics need not have.
static void *open_beside(const struct trt_library *library, const char *stem, struct str *why)
{
    const char *path = str_cstr(&library->path);
    size_t directory = (size_t)(path_base(path) - path);
    struct str full = STR_INIT;
    str_append(&full, path, directory);
    str_printf(&full, "%s.so.%d", stem, library->major);
    bool there = directory > 0 && file_exists(str_cstr(&full));
    void *handle = dlopen(str_cstr(&full) + (there ? 0 : directory), RTLD_LAZY | RTLD_GLOBAL);
    if (handle == NULL) {
        str_append_cstr(why, dlerror());
    }
    str_fini(&full);
    return handle;
}

// The builder opens its resources by name only; once open, they are found wherever they lie.
static void open_resources(const struct trt_library *library)
{
    const char *path = str_cstr(&library->path);
    glob_t found = {0};
    struct str pattern = STR_INIT;
    str_append(&pattern, path, (size_t)(path_base(path) - path));
    str_append_cstr(&pattern, "libnvinfer_builder_resource*.so.*");
    if (!pattern.failed && glob(str_cstr(&pattern), 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            (void)dlopen(found.gl_pathv[i], RTLD_LAZY | RTLD_GLOBAL);
        }
        globfree(&found);
    }
    str_fini(&pattern);
}

static struct nrd_status *resolve(void *handle, const struct trt_places *places,
                                  const struct shims *shims, struct trt_library *library)
{
    struct trt_symbols *s = &library->symbols;
    int patch = 0;
    FIND(handle, s, create_runtime, "createInferRuntime_INTERNAL");
    FIND(handle, s, create_builder, "createInferBuilder_INTERNAL");
    FIND(handle, s, lib_version, "getInferLibVersion");
    if (s->create_runtime == NULL || s->lib_version == NULL) {
        return status_new(NRD_NOT_FOUND, "'%s' is not TensorRT's libnvinfer",
                          str_cstr(&library->path));
    }
    library->version = s->lib_version();
    trt_version_split(library->version, &library->major, &library->minor, &patch);
    const struct shim_file *shim = choose_shim(shims, library->major, library->minor);
    if (shim == NULL) {
        return status_new(NRD_UNSUPPORTED,
                          "TensorRT %d.%d.%d at '%s': Nereid was built without TensorRT headers of "
                          "that release or an older one of the same major; build it with "
                          "TENSORRT_INCLUDE=DIR",
                          library->major, library->minor, patch, str_cstr(&library->path));
    }
    NRD_TRY(open_shim(shim, &library->shim));
    void *plugin = open_beside(library, "libnvinfer_plugin", &library->plugin);
    FIND(plugin, s, init_plugins, "initLibNvInferPlugins");
    if (places->parser) {
        open_resources(library);
        void *parser = open_beside(library, "libnvonnxparser", &library->parser);
        FIND(parser, s, create_parser, "createNvOnnxParser_INTERNAL");
    }
    return NULL;
}

static struct nrd_status *open_with(const struct trt_places *places, const struct shims *shims,
                                    struct trt_library *library)
{
    void *handle = NULL;
    const char *variable = getenv("NEREID_TENSORRT");
    if (places->named.len > 0) {
        struct str name = STR_INIT;
        str_append_slice(&name, places->named);
        struct nrd_status *status =
            open_named(str_cstr(&name), "the library named", &library->path, &handle);
        str_fini(&name);
        NRD_TRY(status);
    } else if (variable != NULL && variable[0] != '\0') {
        NRD_TRY(open_named(variable, "NEREID_TENSORRT", &library->path, &handle));
    } else {
        NRD_TRY(open_anywhere(places, shims, &library->path, &handle));
    }
    return resolve(handle, places, shims, library);
}

struct nrd_status *trt_library_open(const struct trt_places *places, struct trt_library *library)
{
    struct shims shims = {.count = 0};
    *library = (struct trt_library){.shim = NULL};
    struct nrd_status *status = list_shims(places->directory, &shims);
    if (status == NULL && shims.count == 0) {
        status = status_new(NRD_UNSUPPORTED,
                            "Nereid was built without TensorRT headers: there is no "
                            "libnereid_trt_*.so in '%s'; build it with TENSORRT_INCLUDE=DIR, the "
                            "folder of NvInfer.h",
                            places->directory);
    }
    if (status == NULL) {
        status = open_with(places, &shims, library);
    }
    free_shims(&shims);
    return status;
}

void trt_library_fini(struct trt_library *library)
{
    str_fini(&library->path);
    str_fini(&library->plugin);
    str_fini(&library->parser);
}

struct nrd_status *trt_library_open_plugin(const char *path)
{
    return dlopen(path, RTLD_NOW | RTLD_GLOBAL) != NULL
               ? NULL
               : status_new(NRD_NOT_FOUND, "unable to load plugin library '%s': %s", path,
                            dlerror());
}
