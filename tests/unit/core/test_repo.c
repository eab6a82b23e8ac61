// SPDX-License-Identifier: Apache-2.0
// Repo: what is found in model repositories, on directories made for the test.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/repo.h"

static char root[] = "/tmp/nereid-test-repo-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    for (enum log_level level = LOG_ERROR; level <= LOG_INFO; level++) {
        log_set_enabled(level, false);
    }
    memcpy(root + strlen(root) - 6, "XXXXXX", 6);
    return mkdtemp(root) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    status_free(file_remove_tree(root));
    return 0;
}

static void make(const char *path, const char *content)
{
    struct str full = STR_INIT;
    str_printf(&full, "%s/%s", root, path);
    if (content == NULL) {
        assert_null(file_make_dirs(str_cstr(&full)));
    } else {
        assert_null(file_write(str_cstr(&full), slice_of(content)));
    }
    str_fini(&full);
}

static char *in_root(const char *path)
{
    return path_join(root, path);
}

static void expect_error(struct nrd_status *status, enum nrd_code code, const char *text)
{
    assert_non_null(status);
    assert_string_equal(status_text(status), text);
    assert_int_equal(status_code(status), code);
    status_free(status);
}

static const char config_text[] = "backend: \"identity\"\n"
                                  "input { name: \"I\" data_type: TYPE_FP32 dims: [ 1 ] }\n"
                                  "output { name: \"O\" data_type: TYPE_FP32 dims: [ 1 ] }\n";

// ---- paths ----------------------------------------------------------------------------------------------------------

static void remote_repositories_are_refused_by_name(void **state)
{
    (void)state;
    expect_error(repo_check_path("s3://bucket/models"), NRD_UNSUPPORTED,
                 "model repository 's3://bucket/models': S3 is not built yet");
    expect_error(repo_check_path("gs://bucket"), NRD_UNSUPPORTED,
                 "model repository 'gs://bucket': Google Cloud Storage is not built yet");
    expect_error(repo_check_path("as://bucket"), NRD_UNSUPPORTED,
                 "model repository 'as://bucket': Azure Storage is not built yet");
    expect_error(repo_check_path("/nonexist"), NRD_INTERNAL, "failed to stat file /nonexist");
    make("file", "x");
    char *path = in_root("file");
    expect_error(repo_check_path(path), NRD_INVALID_ARG,
                 "repository path is not a valid directory");
    mem_free(path);
    assert_null(repo_check_path(root));
}

static void model_is_found_once_or_not_at_all(void **state)
{
    (void)state;
    make("a/m", NULL);
    make("a/n", NULL);
    make("b/m", NULL);
    make("c/dir", NULL);
    struct repo_set set = {0};
    char *a = in_root("a"), *b = in_root("b"), *c = in_root("c"), *dir = in_root("c/dir");
    assert_null(text_list_add(&set.paths, a));
    assert_null(text_list_add(&set.paths, b));
    assert_null(text_list_add(&set.paths, c));
    assert_null(setting_list_add(&set.mappings, c, "mapped", dir));
    char *repository = NULL;
    char *directory = NULL;
    assert_false(repo_find(&set, "m", &repository, &directory));
    assert_null(directory);
    assert_false(repo_find(&set, "x", &repository, &directory));
    assert_false(repo_find(&set, "dir", &repository, &directory)); // it goes by another name
    assert_true(repo_find(&set, "mapped", &repository, &directory));
    assert_string_equal(directory, dir);
    mem_free(repository);
    mem_free(directory);
    assert_true(repo_find(&set, "n", &repository, &directory));
    assert_string_equal(repository, a);
    mem_free(repository);
    mem_free(directory);
    repo_set_fini(&set);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(dir);
}

// ---- versions -------------------------------------------------------------------------------------------------------

static void expect_versions(const char *policy, const int64_t *expected, size_t count)
{
    struct str text = STR_INIT;
    str_printf(&text, "name: \"v\" %s", policy);
    Inference__ModelConfig *config = NULL;
    assert_null(config_from_text(str_slice(&text), "test", &config));
    char *directory = in_root("v");
    int64_t *versions = NULL;
    size_t found = 0;
    struct nrd_status *status = repo_versions(directory, "v", config, &versions, &found);
    if (count == 0) {
        expect_error(status, NRD_INVALID_ARG,
                     "at least one version must be available under the version policy of model "
                     "'v'");
    } else {
        assert_null(status);
        assert_int_equal(found, count);
        assert_memory_equal(versions, expected, count * sizeof(*expected));
    }
    mem_free(versions);
    mem_free(directory);
    config_destroy(config);
    str_fini(&text);
}

static void version_policy_selects(void **state)
{
    (void)state;
    const char *names[] = {"0", "1", "3", "12", "02", "x1", "-4", "warmup", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[64] = "v/";
        strncat(path, names[i], sizeof(path) - 3);
        make(path, NULL);
    }
    make("v/7", "a file is no version");
    expect_versions("version_policy { all {} }", (const int64_t[]){0, 1, 3, 12}, 4);
    expect_versions("version_policy { latest { num_versions: 2 } }", (const int64_t[]){3, 12}, 2);
    expect_versions("version_policy { latest { num_versions: 9 } }", (const int64_t[]){0, 1, 3, 12},
                    4);
    expect_versions("version_policy { specific { versions: [12, 5, 1, 12] } }",
                    (const int64_t[]){1, 12}, 2);
    expect_versions("version_policy { specific { versions: [5] } }", NULL, 0);
}

// ---- models ---------------------------------------------------------------------------------------------------------

static struct nrd_status *look(const char *name, const char *directory, bool strict, bool previous,
                               int64_t previous_ns, const struct parameter *const *parameters,
                               size_t count, struct repo_model *model)
{
    struct server_options *options = server_options_create();
    options->strict_model_config = strict;
    struct repo_look look = {
        .options = options,
        .name = name,
        .repository = root,
        .directory = directory,
        .parameters = parameters,
        .parameter_count = count,
        .has_previous = previous,
        .previous_ns = previous_ns,
    };
    struct nrd_status *status = repo_read_model(&look, model);
    server_options_destroy(options);
    return status;
}

static void change_is_seen_by_the_newest_time(void **state)
{
    (void)state;
    make("m/1/deep", NULL);
    make("m/config.pbtxt", config_text);
    char *directory = in_root("m");
    struct repo_model model = {0};
    assert_null(look("m", directory, false, false, 0, NULL, 0, &model));
    assert_false(model.unmodified);
    assert_true(model.config_provided);
    assert_string_equal(model.config->name, "m");
    int64_t time = model.modified_ns;
    repo_model_fini(&model);
    assert_null(look("m", directory, false, true, time, NULL, 0, &model));
    assert_true(model.unmodified);
    repo_model_fini(&model);
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    make("m/1/deep/weights", "new");
    assert_null(look("m", directory, false, true, time, NULL, 0, &model));
    assert_false(model.unmodified);
    assert_true(model.modified_ns > time);
    repo_model_fini(&model);
    mem_free(directory);
}

// Twelve links to the directory they are in: followed without end, that is more paths than can be walked.
static void links_to_above_are_not_followed_for_ever(void **state)
{
    (void)state;
    make("m/1/deep", NULL);
    make("m/config.pbtxt", config_text);
    char *directory = in_root("m");
    for (int i = 0; i < 12; i++) {
        char link[512];
        snprintf(link, sizeof(link), "%s/loop%d", directory, i);
        assert_int_equal(symlink(".", link), 0);
    }
    struct repo_model model = {0};
    assert_null(look("m", directory, false, false, 0, NULL, 0, &model));
    assert_true(model.modified_ns > 0);
    repo_model_fini(&model);
    mem_free(directory);
}

static void bad_models_tell_why(void **state)
{
    (void)state;
    make("none/1", NULL);
    make("other/1", NULL);
    make("other/config.pbtxt", "name: \"another\" backend: \"identity\"");
    char *none = in_root("none"), *other = in_root("other");
    struct repo_model model = {0};
    struct nrd_status *status = look("none", none, true, false, 0, NULL, 0, &model);
    assert_non_null(status); // strict: there must be a file
    status_free(status);
    expect_error(look("other", other, false, false, 0, NULL, 0, &model), NRD_INVALID_ARG,
                 "unexpected directory name 'other' for model 'another', directory name must equal "
                 "model name");
    mem_free(none);
    mem_free(other);
}

static struct parameter text_parameter(char *name, char *value)
{
    return (struct parameter){.name = name,
                              .type = TRITONSERVER_PARAMETER_STRING,
                              .value.string = value,
                              .byte_size = strlen(value)};
}

static void files_of_a_load_live_as_long_as_they_are_used(void **state)
{
    (void)state;
    char config_name[] = "config", file_name[] = "file:1/sub/model.bin", climb[] = "file:1/../../x";
    char json[] = "{\"backend\":\"identity\"}";
    struct parameter config = text_parameter(config_name, json);
    struct parameter file = {.name = file_name,
                             .type = TRITONSERVER_PARAMETER_BYTES,
                             .value.bytes = "data",
                             .byte_size = 4};
    const struct parameter *both[] = {&config, &file};
    struct repo_model model = {0};
    assert_null(look("m", NULL, false, false, 0, both, 2, &model));
    assert_int_equal(model.modified_ns, 0);
    char *path = path_join(model.directory, "1/sub/model.bin");
    struct str text = STR_INIT;
    assert_null(file_read(path, 0, &text));
    assert_string_equal(str_cstr(&text), "data");
    str_fini(&text);
    struct repo_files *files = repo_files_ref(model.files);
    repo_model_fini(&model);
    assert_true(file_exists(path));
    repo_files_unref(files);
    assert_false(file_exists(path));
    mem_free(path);
    expect_error(look("m", NULL, false, false, 0, both + 1, 1, &model), NRD_INVALID_ARG,
                 "Load parameter 'config' must be specified for model file override");
    file.name = climb;
    struct nrd_status *status = look("m", NULL, false, false, 0, both, 2, &model);
    assert_int_equal(status_code(status), NRD_INVALID_ARG);
    assert_non_null(strstr(status_text(status), "must stay within model directory."));
    status_free(status);
}

static void unknown_load_parameters_are_refused(void **state)
{
    (void)state;
    make("m/1", NULL);
    make("m/config.pbtxt", config_text);
    char *directory = in_root("m");
    char name[] = "colour", value[] = "red";
    struct parameter colour = text_parameter(name, value);
    const struct parameter *one[] = {&colour};
    struct repo_model model = {0};
    expect_error(look("m", directory, false, false, 0, one, 1, &model), NRD_INVALID_ARG,
                 "Unrecognized load parameter 'colour' with type 'STRING'");
    mem_free(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(remote_repositories_are_refused_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(model_is_found_once_or_not_at_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(version_policy_selects, set_up, tear_down),
        cmocka_unit_test_setup_teardown(change_is_seen_by_the_newest_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(links_to_above_are_not_followed_for_ever, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(bad_models_tell_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_of_a_load_live_as_long_as_they_are_used, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(unknown_load_parameters_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
