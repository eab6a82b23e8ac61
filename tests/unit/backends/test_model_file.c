// SPDX-License-Identifier: Apache-2.0
#include "backends/common/model_file.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "gpu/driver.h"
#include "tests/unit/backends/host.h"

// ---- a driver of two GPUs, of compute capability 8.0 and 9.0 ----

static int init(unsigned flags)
{
    return flags == 0 ? CU_SUCCESS : CU_INVALID_DEVICE;
}

static int driver_version(int *version)
{
    *version = 13000;
    return CU_SUCCESS;
}

static int device_get(int *device, int ordinal)
{
    *device = ordinal;
    return ordinal < 2 ? CU_SUCCESS : CU_INVALID_DEVICE;
}

static int device_attribute(int *value, int attribute, int device)
{
    *value = attribute == CU_ATTR_COMPUTE_CAPABILITY_MAJOR ? 8 + device : 0;
    return CU_SUCCESS;
}

static int error_text(int result, const char **text)
{
    (void)result;
    *text = "no such device";
    return CU_SUCCESS;
}

static char directory[64] = "/tmp/model_file.XXXXXX";
static struct arena arena;

static int make_files(void **state)
{
    static const char *const names[] = {"usual", "given", "for_80", "for_90"};
    (void)state;
    char path[128];
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/3", directory);
    struct nrd_status *status = file_make_dirs(path);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && status == NULL; i++) {
        (void)snprintf(path, sizeof(path), "%s/3/%s", directory, names[i]);
        status = file_write(path, SLICE("x"));
    }
    arena_init(&arena, 0);
    static struct gpu_driver driver = {.init = init,
                                       .driver_version = driver_version,
                                       .device_get = device_get,
                                       .device_attribute = device_attribute,
                                       .error_name = error_text,
                                       .error_string = error_text};
    gpu_driver_replace(&driver);
    return status == NULL ? 0 : -1;
}

static int remove_files(void **state)
{
    (void)state;
    gpu_driver_replace(NULL);
    arena_fini(&arena);
    status_free(file_remove_tree(directory));
    return 0;
}

static struct model_config config_of(const char *json)
{
    struct model_config config = {.name = "m", .version = 3, .directory = directory};
    assert_null(json_parse_status(&arena, slice_of(json), 0, "test", &config.root));
    return config;
}

// The name that is chosen; the file is there.
static void assert_chosen(const char *json, int device, const char *name)
{
    const struct model_config config = config_of(json);
    char *path = NULL;
    assert_null(backend_model_file(&config, device, "usual", &path));
    const char *last = strrchr(path, '/');
    assert_string_equal(last + 1, name);
    mem_free(path);
}

static void assert_refused(const char *json, int device, const char *part)
{
    const struct model_config config = config_of(json);
    char *path = NULL;
    TRITONSERVER_Error *error = backend_model_file(&config, device, "usual", &path);
    assert_non_null(error);
    assert_null(path);
    assert_non_null(strstr(TRITONSERVER_ErrorMessage(error), part));
    TRITONSERVER_ErrorDelete(error);
}

#define NAMES "\"cc_model_filenames\":{\"8.0\":\"for_80\",\"9.0\":\"for_90\",\"7.5\":\"gone\"}"

static void model_file_is_that_of_the_gpus_capability(void **state)
{
    (void)state;
    assert_chosen("{" NAMES "}", 0, "for_80");
    assert_chosen("{\"default_model_filename\":\"given\"," NAMES "}", 1, "for_90");
}

static void model_file_without_a_match_is_the_default(void **state)
{
    (void)state;
    assert_chosen("{}", 0, "usual");
    assert_chosen("{\"default_model_filename\":\"\",\"cc_model_filenames\":{}}", 0, "usual");
    assert_chosen(
        "{\"default_model_filename\":\"given\",\"cc_model_filenames\":{\"7.5\":\"gone\"}}", 1,
        "given");
}

static void model_file_off_the_gpu_asks_for_no_capability(void **state)
{
    (void)state;
    assert_chosen("{" NAMES "}", MODEL_FILE_NO_GPU, "usual");
    assert_chosen("{\"default_model_filename\":\"given\"," NAMES "}", -2, "given");
}

static void model_file_that_is_missing_is_named(void **state)
{
    (void)state;
    assert_refused("{\"cc_model_filenames\":{\"9.0\":\"gone\"}}", 1,
                   "/3/gone' for model instance 'm'");
    assert_refused("{\"default_model_filename\":\"nothing\"}", 0, "unable to find '/tmp/");
}

static void model_file_of_a_gpu_that_is_not_there_is_refused(void **state)
{
    (void)state;
    assert_refused("{" NAMES "}", 2, "unable to get CUDA device properties for m: ");
}

static void model_file_first_gpu_is_that_of_the_first_group(void **state)
{
    (void)state;
    static const struct {
        const char *groups;
        int gpu;
    } cases[] = {
        {"{\"kind\":\"KIND_GPU\",\"gpus\":[1,0]}", 1},
        {"{\"kind\":\"KIND_GPU\"}", 0},
        {"{\"kind\":\"KIND_CPU\"},{\"kind\":\"KIND_GPU\",\"gpus\":[1]}", MODEL_FILE_NO_GPU},
        {"", MODEL_FILE_NO_GPU},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str json = STR_INIT;
        str_printf(&json, "{\"instance_group\":[%s]}", cases[i].groups);
        const struct model_config config = config_of(str_cstr(&json));
        assert_int_equal(backend_first_gpu(&config), cases[i].gpu);
        str_fini(&json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_file_is_that_of_the_gpus_capability),
        cmocka_unit_test(model_file_without_a_match_is_the_default),
        cmocka_unit_test(model_file_off_the_gpu_asks_for_no_capability),
        cmocka_unit_test(model_file_that_is_missing_is_named),
        cmocka_unit_test(model_file_of_a_gpu_that_is_not_there_is_refused),
        cmocka_unit_test(model_file_first_gpu_is_that_of_the_first_group),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
