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

static inline void plugin_open(struct plugin *p, const char *name)
{
    char self[HOST_TEXT] = {0};
    char path[2 * HOST_TEXT];
    assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    // <build>/tests/unit/backends/test_x -> <build>
    for (int i = 0; i < 4; i++) {
        *strrchr(self, '/') = '\0';
    }
    (void)snprintf(p->directory, sizeof(p->directory), "%.400s/lib/nereid/backends/%s", self, name);
    (void)snprintf(path, sizeof(path), "%s/libtriton_%s.so", p->directory, name);
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
    s->instance = (struct TRITONBACKEND_ModelInstance){.model = &s->model,
                                                       .kind = TRITONSERVER_INSTANCEGROUPKIND_CPU};
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
