// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/config/config_fixture.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

static void assert_json(const Inference__ModelConfig *config, const char *expected)
{
    struct str out = STR_INIT;
    assert_null(config_to_json(config, 1, &out));
    assert_string_equal(str_cstr(&out), expected);
    str_fini(&out);
}

static void config_reads_what_users_write(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *name;
        const char *platform;
        int32_t max_batch_size;
        int32_t gpu;
    } rows[] = {
        {"name: \"unet_model\"\nplatform: \"tensorrt_plan\"\nmax_batch_size: 8\ninstance_group {\n "
         " "
         "kind: KIND_GPU\n  count: 1\n  gpus: [0]   # Assign to GPU 0\n}\n",
         "unet_model", "tensorrt_plan", 8, 0},
        {"name: \"resnet_model\"\nplatform: \"onnxruntime_onnx\"\nmax_batch_size: 16\n"
         "instance_group {\n  kind: KIND_GPU\n  count: 1\n  gpus: [1]   # Assign to GPU 1\n}\n",
         "resnet_model", "onnxruntime_onnx", 16, 1},
        {"name: \"densenet_model\"\nplatform: \"pytorch_libtorch\"\nmax_batch_size: 32\n"
         "instance_group {\n  kind: KIND_GPU\n  count: 1\n  gpus: [2]   # Assign to GPU 2\n}\n",
         "densenet_model", "pytorch_libtorch", 32, 2},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        Inference__ModelConfig *config = config_of(rows[i].text);
        assert_string_equal(config->name, rows[i].name);
        assert_string_equal(config->platform, rows[i].platform);
        assert_int_equal(config->max_batch_size, rows[i].max_batch_size);
        assert_int_equal(config->n_instance_group, 1);
        assert_int_equal(config->instance_group[0]->kind,
                         INFERENCE__MODEL_INSTANCE_GROUP__KIND__KIND_GPU);
        assert_int_equal(config->instance_group[0]->count, 1);
        assert_int_equal(config->instance_group[0]->n_gpus, 1);
        assert_int_equal(config->instance_group[0]->gpus[0], rows[i].gpu);
        config_destroy(config);
    }
}

static void config_text_error_is_short_and_logged(void **state)
{
    (void)state;
    char log[] = "/tmp/nereid-config-XXXXXX";
    int fd = mkstemp(log);
    assert_true(fd >= 0);
    close(fd);
    assert_null(log_set_file(log));
    Inference__ModelConfig *config = NULL;
    struct nrd_status *status =
        config_from_text(SLICE("name: 'a'\n  foo: 1"), "/m/config.pbtxt", &config);
    assert_null(log_set_file(""));
    assert_int_equal(status_code(status), NRD_INTERNAL);
    assert_string_equal(status_text(status), "failed to read text proto from /m/config.pbtxt");
    status_free(status);
    struct str text = STR_INIT;
    assert_null(file_read(log, 0, &text));
    assert_non_null(
        strstr(str_cstr(&text), "Error parsing text-format inference.ModelConfig: 2:6: "));
    str_fini(&text);
    unlink(log);
}

static void config_json_has_tritons_shape(void **state)
{
    (void)state;
    Inference__ModelConfig *config = config_create();
    assert_json(config, "");
    config_destroy(config);
    config = config_of("name: 'm' input { name: 'a' dims: -1 }");
    assert_json(
        config,
        "{\"name\":\"m\",\"platform\":\"\",\"backend\":\"\",\"runtime\":\"\",\"max_batch_"
        "size\":0,\"input\":[{\"name\":\"a\",\"data_type\":\"TYPE_INVALID\",\"format\":"
        "\"FORMAT_NONE\",\"dims\":[-1],\"is_shape_tensor\":false,\"allow_ragged_batch\":false,"
        "\"optional\":false,\"is_non_linear_format_io\":false}],\"output\":[],\"batch_input\":"
        "[],\"batch_output\":[],\"instance_group\":[],\"default_model_filename\":\"\",\"cc_"
        "model_filenames\":{},\"metric_tags\":{},\"parameters\":{},\"model_warmup\":[]}");
    struct str out = STR_INIT;
    struct nrd_status *status = config_to_json(config, 2, &out);
    assert_refused(status, "model configuration version 2 not supported, supported versions are: 1",
                   "version 2");
    config_destroy(config);
    str_fini(&out);
}

static void config_json_keeps_the_three_integers_that_triton_quotes(void **state)
{
    (void)state;
    Inference__ModelConfig *config = config_of(
        "sequence_batching { state { dims: 1 initial_state { dims: 2 } } } instance_group { "
        "secondary_devices { device_id: 3 } } optimization { cuda { graph_spec { input { key: 'i' "
        "value { dim: 4 } } } } }");
    struct str out = STR_INIT;
    assert_null(config_to_json(config, 1, &out));
    assert_non_null(strstr(str_cstr(&out), "\"dims\":[1]"));
    assert_non_null(strstr(str_cstr(&out), "\"dims\":[\"2\"]"));
    assert_non_null(strstr(str_cstr(&out), "\"device_id\":\"3\""));
    assert_non_null(strstr(str_cstr(&out), "\"dim\":[\"4\"]"));
    Inference__ModelConfig *again = NULL;
    assert_null(config_from_json(str_slice(&out), 1, &again));
    assert_true(config_equal(config, again));
    config_destroy(again);
    config_destroy(config);
    str_fini(&out);
}

// ---- files --------------------------------------------------------------------------------------------------------

static void config_load_takes_the_named_file_else_the_plain_one(void **state)
{
    (void)state;
    char dir[] = "/tmp/nereid-config-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char path[64];
    Inference__ModelConfig *config = NULL;
    bool provided = true;
    assert_null(config_load(dir, "", true, &config, &provided));
    assert_false(provided);
    assert_json(config, "");
    config_destroy(config);
    struct nrd_status *status = config_load(dir, "", false, &config, &provided);
    assert_non_null(status);
    status_free(status);

    snprintf(path, sizeof(path), "%s/config.pbtxt", dir);
    assert_null(file_write(path, SLICE("name: 'plain'")));
    snprintf(path, sizeof(path), "%s/configs", dir);
    assert_null(file_make_dirs(path));
    snprintf(path, sizeof(path), "%s/configs/h100.pbtxt", dir);
    assert_null(file_write(path, SLICE("name: 'named'")));
    static const char *const rows[][2] = {{"", "plain"}, {"h100", "named"}, {"absent", "plain"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_null(config_load(dir, rows[i][0], false, &config, &provided));
        assert_true(provided);
        assert_string_equal(config->name, rows[i][1]);
        config_destroy(config);
    }
    assert_null(file_remove_tree(dir));
}

// ---- merging ------------------------------------------------------------------------------------------------------

static void merge_takes_tensors_batching_and_nothing_else(void **state)
{
    (void)state;
    Inference__ModelConfig *config =
        config_of("name: 'm' backend: 'b' parameters { key: 'k' } input { name: 'old' }");
    assert_null(config_merge_backend(
        config,
        SLICE("{\"name\":\"x\",\"backend\":\"y\",\"max_batch_size\":4,\"input\":[{\"name\":\"i\"},{"
              "\"name\":\"j\"}],\"output\":[{\"name\":\"o\"}],\"dynamic_batching\":{},\"instance_"
              "group\":[{\"count\":3}],\"model_transaction_policy\":{\"decoupled\":true}}"),
        1));
    assert_string_equal(config->name, "m");
    assert_string_equal(config->backend, "b");
    assert_int_equal(config->n_parameters, 1);
    assert_int_equal(config->n_instance_group, 0);
    assert_int_equal(config->max_batch_size, 4);
    assert_int_equal(config->n_input, 2);
    assert_string_equal(config->input[0]->name, "i");
    assert_int_equal(config->n_output, 1);
    assert_true(config->model_transaction_policy->decoupled);
    assert_int_equal(config->scheduling_choice_case,
                     INFERENCE__MODEL_CONFIG__SCHEDULING_CHOICE_DYNAMIC_BATCHING);
    // Defaults were filled in again.
    assert_int_equal(config->dynamic_batching->n_preferred_batch_size, 1);
    assert_int_equal(config->dynamic_batching->preferred_batch_size[0], 4);
    config_destroy(config);
}

static void merge_keeps_the_scheduler_and_refuses_another(void **state)
{
    (void)state;
    Inference__ModelConfig *config =
        config_of("name: 'm' max_batch_size: 2 dynamic_batching { preferred_batch_size: 2 }");
    assert_null(
        config_merge_backend(config, SLICE("{\"max_batch_size\":8,\"dynamic_batching\":{}}"), 1));
    assert_int_equal(config->dynamic_batching->preferred_batch_size[0], 2);
    assert_int_equal(config->max_batch_size, 8);
    assert_refused(config_merge_backend(config, SLICE("{\"max_batch_size\":9}"), 1),
                   "Cannot update scheduling choice from 11 to 11 when auto-completing.", "none");
    assert_refused(config_merge_backend(config, SLICE("{\"foo\":1}"), 1), "foo: Cannot find field.",
                   "bad JSON");
    assert_int_equal(config->max_batch_size, 8);
    config_destroy(config);
}

// ---- comparing ----------------------------------------------------------------------------------------------------

static void reload_is_needed_unless_only_instances_or_versions_change(void **state)
{
    (void)state;
    static const struct {
        const char *before;
        const char *after;
        bool reload;
    } rows[] = {
        {"name: 'm'", "name: 'm' instance_group { count: 2 }", false},
        {"name: 'm'", "name: 'm' version_policy { all { } }", false},
        {"name: 'm'", "name: 'm' max_batch_size: 1", true},
        {"name: 'm'", "name: 'm' dynamic_batching { }", true},
        {"parameters { key: 'a' } parameters { key: 'b' }",
         "parameters { key: 'b' } parameters { key: 'a' }", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        Inference__ModelConfig *before = config_of(rows[i].before);
        Inference__ModelConfig *after = config_of(rows[i].after);
        assert_int_equal(config_change_needs_reload(before, after), rows[i].reload);
        config_destroy(before);
        config_destroy(after);
    }
}

static void groups_differ_by_all_but_name_and_count(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        bool same;
    } rows[] = {
        {"name: 'x' count: 1", "name: 'y' count: 4", true},
        {"kind: KIND_CPU", "kind: KIND_GPU", false},
        {"gpus: [0, 1]", "gpus: [1, 0]", false},
        {"rate_limiter { priority: 2 }", "", false},
        {"host_policy: 'p'", "host_policy: 'p' count: 3", true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[256];
        snprintf(text, sizeof(text), "instance_group { %s } instance_group { %s }", rows[i].a,
                 rows[i].b);
        Inference__ModelConfig *config = config_of(text);
        struct str a = STR_INIT;
        struct str b = STR_INIT;
        config_instance_signature(config->instance_group[0], &a);
        config_instance_signature(config->instance_group[1], &b);
        assert_int_equal(slice_equal(str_slice(&a), str_slice(&b)), rows[i].same);
        assert_int_equal(
            config_same_instances(config->instance_group[0], config->instance_group[1]),
            rows[i].same);
        str_fini(&a);
        str_fini(&b);
        config_destroy(config);
    }
}

static void config_survives_any_failed_allocation(void **state)
{
    (void)state;
    Inference__ModelConfig *config =
        config_of("name: 'm' input { name: 'a' } parameters { key: 'k' }");
    for (uint64_t n = 1; n < 200; n++) {
        Inference__ModelConfig *copy = config_copy(config);
        assert_non_null(copy);
        mem_fail_after(n);
        struct nrd_status *status =
            config_merge_backend(copy,
                                 SLICE("{\"max_batch_size\":4,\"input\":[{\"name\":\"i\",\"dims\":["
                                       "1]}],\"dynamic_batching\":{}}"),
                                 1);
        mem_fail_after(0);
        assert_int_equal(copy->max_batch_size, status == NULL ? 4 : 0);
        assert_string_equal(copy->input[0]->name, status == NULL ? "i" : "a");
        status_free(status);
        config_destroy(copy);
    }
    config_destroy(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_reads_what_users_write),
        cmocka_unit_test(config_text_error_is_short_and_logged),
        cmocka_unit_test(config_json_has_tritons_shape),
        cmocka_unit_test(config_json_keeps_the_three_integers_that_triton_quotes),
        cmocka_unit_test(config_load_takes_the_named_file_else_the_plain_one),
        cmocka_unit_test(merge_takes_tensors_batching_and_nothing_else),
        cmocka_unit_test(merge_keeps_the_scheduler_and_refuses_another),
        cmocka_unit_test(reload_is_needed_unless_only_instances_or_versions_change),
        cmocka_unit_test(groups_differ_by_all_but_name_and_count),
        cmocka_unit_test(config_survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
