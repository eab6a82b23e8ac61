// SPDX-License-Identifier: Apache-2.0
// Opens a built backend as a server would: by dlopen, next to this build's tests.
#ifndef NEREID_TESTS_UNIT_BACKENDS_PLUGIN_H
#define NEREID_TESTS_UNIT_BACKENDS_PLUGIN_H

#include <dlfcn.h>
#include <unistd.h>

#include "tests/unit/backends/host.h"

struct plugin {
    void *handle;
    TRITONSERVER_Error *(*initialize)(TRITONBACKEND_Backend *);
    TRITONSERVER_Error *(*finalize)(TRITONBACKEND_Backend *);
    TRITONSERVER_Error *(*model_initialize)(TRITONBACKEND_Model *);
    TRITONSERVER_Error *(*model_finalize)(TRITONBACKEND_Model *);
    TRITONSERVER_Error *(*instance_initialize)(TRITONBACKEND_ModelInstance *);
    TRITONSERVER_Error *(*instance_finalize)(TRITONBACKEND_ModelInstance *);
    TRITONSERVER_Error *(*execute)(TRITONBACKEND_ModelInstance *, TRITONBACKEND_Request **,
                                   const uint32_t);
    char directory[HOST_TEXT];
};

static inline void plugin_find(void *handle, const char *name, void *function)
{
    void *symbol = dlsym(handle, name);
    assert_non_null(symbol);
    memcpy(function, &symbol, sizeof(symbol));
}

// The folder of a backend, and its library.
static inline void plugin_find_files(const char *name, char *directory, size_t directory_size,
                                     char *path, size_t path_size)
{
    char self[HOST_TEXT] = {0};
    assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    // <build>/tests/unit/backends/test_x -> <build>
    for (int i = 0; i < 4; i++) {
        *strrchr(self, '/') = '\0';
    }
    (void)snprintf(directory, directory_size, "%.400s/lib/nereid/backends/%s", self, name);
    (void)snprintf(path, path_size, "%s/libtriton_%s.so", directory, name);
}

// Whether this build has the backend: one that needs a library to build may be absent.
static inline bool plugin_is_built(const char *name)
{
    char directory[HOST_TEXT];
    char path[2 * HOST_TEXT];
    plugin_find_files(name, directory, sizeof(directory), path, sizeof(path));
    return access(path, F_OK) == 0;
}

static inline void plugin_open(struct plugin *p, const char *name)
{
    char path[2 * HOST_TEXT];
    plugin_find_files(name, p->directory, sizeof(p->directory), path, sizeof(path));
    p->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (p->handle == NULL) {
        fail_msg("%s", dlerror());
    }
    plugin_find(p->handle, "TRITONBACKEND_Initialize", &p->initialize);
    plugin_find(p->handle, "TRITONBACKEND_Finalize", &p->finalize);
    plugin_find(p->handle, "TRITONBACKEND_ModelInitialize", &p->model_initialize);
    plugin_find(p->handle, "TRITONBACKEND_ModelFinalize", &p->model_finalize);
    plugin_find(p->handle, "TRITONBACKEND_ModelInstanceInitialize", &p->instance_initialize);
    plugin_find(p->handle, "TRITONBACKEND_ModelInstanceFinalize", &p->instance_finalize);
    plugin_find(p->handle, "TRITONBACKEND_ModelInstanceExecute", &p->execute);
}

// A backend with one model and one instance of it.
struct served {
    struct TRITONBACKEND_Backend backend;
    struct TRITONBACKEND_Model model;
    struct TRITONBACKEND_ModelInstance instance;
    bool on_gpu; // the instance is on GPU 0
};

static inline TRITONSERVER_Error *plugin_serve(struct plugin *p, struct served *s,
                                               const char *directory, const char *config,
                                               bool auto_complete)
{
    s->model = (struct TRITONBACKEND_Model){.backend = &s->backend,
                                            .name = "m",
                                            .directory = directory,
                                            .config = mem_strdup(config),
                                            .auto_complete = auto_complete};
    s->instance = (struct TRITONBACKEND_ModelInstance){
        .model = &s->model,
        .kind =
            s->on_gpu ? TRITONSERVER_INSTANCEGROUPKIND_GPU : TRITONSERVER_INSTANCEGROUPKIND_CPU};
    TRITONSERVER_Error *error = p->model_initialize(&s->model);
    if (error != NULL) {
        mem_free(s->model.config);
        return error;
    }
    error = p->instance_initialize(&s->instance);
    if (error != NULL) {
        assert_host_ok(p->model_finalize(&s->model));
        mem_free(s->model.config);
    }
    return error;
}

static inline void plugin_unserve(struct plugin *p, struct served *s)
{
    assert_host_ok(p->instance_finalize(&s->instance));
    assert_host_ok(p->model_finalize(&s->model));
    mem_free(s->model.config);
}

#endif
