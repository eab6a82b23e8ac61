// SPDX-License-Identifier: Apache-2.0
// Chooses a model's file. See model_file.h. The driver is asked only where cc_model_filenames is
// given: a backend on the processor opens none.
#include "backends/common/model_file.h"

#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "gpu/driver.h"

// "9.0"
static struct nrd_status *read_capability(int device, char *text, size_t size)
{
    int handle = 0;
    int major = 0;
    int minor = 0;
    NRD_TRY(gpu_driver_open());
    NRD_TRY(GPU_CALL(NULL, device_get, (&handle, device)));
    NRD_TRY(GPU_CALL(NULL, device_attribute, (&major, CU_ATTR_COMPUTE_CAPABILITY_MAJOR, handle)));
    NRD_TRY(GPU_CALL(NULL, device_attribute, (&minor, CU_ATTR_COMPUTE_CAPABILITY_MINOR, handle)));
    snprintf(text, size, "%d.%d", major, minor);
    return NULL;
}

// A text of an object that is not empty.
static bool get_text(const struct json_node *object, const char *key, struct slice *text)
{
    const struct json_node *node = json_get(object, key);
    if (node == NULL || node->type != JSON_STRING || json_text(node).len == 0) {
        return false;
    }
    *text = json_text(node);
    return true;
}

static TRITONSERVER_Error *choose(const struct model_config *config, int device, struct slice *name)
{
    (void)get_text(config->root, "default_model_filename", name);
    const struct json_node *names = json_get(config->root, "cc_model_filenames");
    if (device < 0 || names == NULL || names->type != JSON_OBJECT || names->count == 0) {
        return NULL;
    }
    char capability[32];
    struct nrd_status *status = read_capability(device, capability, sizeof(capability));
    if (status != NULL) {
        TRITONSERVER_Error *error = backend_error_new(
            TRITONSERVER_ERROR_INTERNAL, "unable to get CUDA device properties for %s: %s",
            config->name, status_text(status));
        status_free(status);
        return error;
    }
    (void)get_text(names, capability, name);
    BACKEND_LOG(VERBOSE, "model '%s' on GPU %d (%s) uses artifact '%.*s'", config->name, device,
                capability, (int)name->len, name->ptr);
    return NULL;
}

TRITONSERVER_Error *backend_model_file(const struct model_config *config, int device,
                                       const char *usual, char **path)
{
    struct slice name = slice_of(usual);
    BACKEND_TRY(choose(config, device, &name));
    struct str text = STR_INIT;
    str_printf(&text, "%s/%llu/", config->directory, (unsigned long long)config->version);
    str_append_slice(&text, name);
    char *made = str_take(&text);
    str_fini(&text);
    if (made == NULL) {
        return backend_no_memory();
    }
    if (!file_exists(made)) {
        TRITONSERVER_Error *error =
            backend_error_new(TRITONSERVER_ERROR_UNAVAILABLE,
                              "unable to find '%s' for model instance '%s'", made, config->name);
        mem_free(made);
        return error;
    }
    *path = made;
    return NULL;
}

int backend_first_gpu(const struct model_config *config)
{
    const struct json_node *groups = json_get(config->root, "instance_group");
    if (groups == NULL || groups->type != JSON_ARRAY || groups->count == 0) {
        return MODEL_FILE_NO_GPU;
    }
    struct slice kind = {0};
    int64_t gpu = 0;
    const struct json_node *gpus = json_get(json_first(groups), "gpus");
    if (!get_text(json_first(groups), "kind", &kind) || !slice_is(kind, "KIND_GPU")) {
        return MODEL_FILE_NO_GPU;
    }
    if (gpus != NULL && gpus->type == JSON_ARRAY && gpus->count > 0) {
        (void)json_as_i64(json_first(gpus), &gpu);
    }
    return (int)gpu;
}
