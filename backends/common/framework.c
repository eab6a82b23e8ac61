// SPDX-License-Identifier: Apache-2.0
// Finds and opens a framework's library. See framework.h.
#include "backends/common/framework.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"

// The last match of a pattern: of several versions the highest name, of several Pythons the newest.
static bool last_match(const char *pattern, struct str *path)
{
    glob_t found = {0};
    bool ok = glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc > 0;
    if (ok) {
        str_clear(path);
        str_append_cstr(path, found.gl_pathv[found.gl_pathc - 1]);
        ok = !path->failed;
    }
    globfree(&found);
    return ok;
}

// The library inside a directory, or inside a Python environment whose root it is.
static bool find_in(const struct framework *f, const char *directory, struct str *path)
{
    bool found = false;
    for (size_t i = 0; f->places[i] != NULL && !found; i++) {
        struct str pattern = STR_INIT;
        str_append_cstr(&pattern, directory);
        str_append_cstr(&pattern, f->places[i]);
        found = !pattern.failed && last_match(str_cstr(&pattern), path);
        str_fini(&pattern);
    }
    return found;
}

// One that the user named: it must open.
static TRITONSERVER_Error *open_named(const struct framework *f, const char *name, const char *who,
                                      struct str *path, void **handle)
{
    if (file_is_dir(name)) {
        if (!find_in(f, name, path)) {
            return backend_error_new(TRITONSERVER_ERROR_NOT_FOUND, "%s: there is no %s in '%s'",
                                     who, f->file, name);
        }
    } else {
        str_clear(path);
        str_append_cstr(path, name);
    }
    *handle = dlopen(str_cstr(path), f->flags);
    if (*handle == NULL) {
        return backend_error_new(TRITONSERVER_ERROR_NOT_FOUND, "%s: unable to open %s: %s", who,
                                 f->title, dlerror());
    }
    return NULL;
}

static bool open_in(const struct framework *f, const char *directory, struct str *path,
                    void **handle)
{
    if (directory == NULL || !find_in(f, directory, path)) {
        return false;
    }
    *handle = dlopen(str_cstr(path), f->flags);
    if (*handle == NULL) {
        BACKEND_LOG(WARN, "unable to open %s at '%s': %s", f->title, str_cstr(path), dlerror());
    }
    return *handle != NULL;
}

static bool open_system(const struct framework *f, struct str *path, void **handle)
{
    for (size_t i = 0; f->names[i] != NULL; i++) {
        *handle = dlopen(f->names[i], f->flags);
        if (*handle != NULL) {
            str_clear(path);
            str_append_cstr(path, f->names[i]);
            return true;
        }
    }
    return false;
}

static TRITONSERVER_Error *open_anywhere(const struct framework *f, TRITONBACKEND_Backend *backend,
                                         struct str *path, void **handle)
{
    TRITONBACKEND_ArtifactType type = TRITONBACKEND_ARTIFACT_FILESYSTEM;
    const char *own = NULL;
    BACKEND_TRY(TRITONBACKEND_BackendArtifacts(backend, &type, &own));
    struct str beside = STR_INIT;
    str_printf(&beside, "%s/../../%s", own, f->backend);
    bool found = open_in(f, own, path, handle) || open_in(f, str_cstr(&beside), path, handle) ||
                 open_system(f, path, handle) || open_in(f, getenv("VIRTUAL_ENV"), path, handle) ||
                 open_in(f, "/usr/local", path, handle) || open_in(f, "/usr", path, handle) ||
                 open_in(f, "/usr/lib/python3/dist-packages", path, handle);
    str_fini(&beside);
    if (!found) {
        return backend_error_new(
            TRITONSERVER_ERROR_NOT_FOUND,
            "unable to find %s (%s): not beside the backend in '%s', not installed in the system, "
            "not as a Python package; name it by --backend-config=%s,library-path=PATH or by %s",
            f->title, f->file, own, f->backend, f->variable);
    }
    return NULL;
}

TRITONSERVER_Error *framework_open(const struct framework *f, TRITONBACKEND_Backend *backend,
                                   const struct backend_settings *settings, struct str *path,
                                   void **handle)
{
    struct slice setting = {0};
    const char *variable = getenv(f->variable);
    if (backend_setting(settings, "library-path", &setting)) {
        char *name = mem_strndup(setting.ptr, setting.len);
        if (name == NULL) {
            return backend_no_memory();
        }
        TRITONSERVER_Error *error = open_named(f, name, "setting 'library-path'", path, handle);
        mem_free(name);
        return error;
    }
    if (variable != NULL && variable[0] != '\0') {
        return open_named(f, variable, f->variable, path, handle);
    }
    return open_anywhere(f, backend, path, handle);
}
