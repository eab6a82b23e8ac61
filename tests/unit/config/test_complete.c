// SPDX-License-Identifier: Apache-2.0
#include "config_fixture.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"

static const struct {
    const char *before;
    const char
        *files; // in the model's directory, blanks between; one that ends with '/' is a directory
    const char *platform;
    const char *backend;
    const char *file;
} rows[] = {
    // told by content
    {"", "1/model.onnx", "onnxruntime_onnx", "onnxruntime", "model.onnx"},
    {"", "1/model.onnx/", "onnxruntime_onnx", "onnxruntime", "model.onnx"},
    {"", "1/model.plan", "tensorrt_plan", "tensorrt", "model.plan"},
    {"", "1/model.plan 1/model.onnx", "tensorrt_plan", "tensorrt", "model.plan"},
    {"", "1/model.plan/ 1/model.onnx", "onnxruntime_onnx", "onnxruntime", "model.onnx"},
    {"", "1/model.graphdef", "tensorflow_graphdef", "tensorflow", "model.graphdef"},
    {"", "1/model.savedmodel/", "tensorflow_savedmodel", "tensorflow", "model.savedmodel"},
    {"", "1/model.savedmodel/ 1/model.graphdef", "tensorflow_graphdef", "tensorflow",
     "model.graphdef"},
    {"", "1/model.savedmodel 1/model.py", "", "python", "model.py"},
    {"", "1/model.xml", "", "openvino", "model.xml"},
    {"", "1/model.py", "", "python", "model.py"},
    {"", "1/model.pt", "pytorch_libtorch", "pytorch", "model.pt"},
    {"", "1/model.pt2", "torch_aoti", "pytorch", "model.pt2"},
    {"", "1/model.py 2/model.onnx", "", "python", "model.py"},
    {"", "10/model.py 2/model.onnx", "", "python", "model.py"},
    // told by the configuration
    {"platform: 'onnxruntime_onnx'", "1/", "onnxruntime_onnx", "onnxruntime", "model.onnx"},
    {"backend: 'onnxruntime'", "", "onnxruntime_onnx", "onnxruntime", "model.onnx"},
    {"backend: 'onnxruntime' default_model_filename: 'x.onnx'", "", "onnxruntime_onnx",
     "onnxruntime", "x.onnx"},
    {"default_model_filename: 'model.onnx'", "", "onnxruntime_onnx", "onnxruntime", "model.onnx"},
    {"default_model_filename: 'other.onnx'", "1/other.onnx", "", "", "other.onnx"},
    {"platform: 'tensorrt_plan'", "1/model.plan", "tensorrt_plan", "tensorrt", "model.plan"},
    {"platform: 'pytorch_libtorch'", "1/model.pt", "pytorch_libtorch", "pytorch", "model.pt"},
    {"platform: 'libtorch'", "1/model.pt", "libtorch", "pytorch", "model.pt"},
    {"platform: 'torch_aoti'", "", "torch_aoti", "pytorch", "model.pt2"},
    {"backend: 'pytorch'", "1/model.pt", "pytorch_libtorch", "pytorch", "model.pt"},
    {"default_model_filename: 'model.pt2'", "", "pytorch_libtorch", "pytorch", "model.pt2"},
    {"platform: 'tensorflow_savedmodel'", "", "tensorflow_savedmodel", "tensorflow",
     "model.savedmodel"},
    {"backend: 'tensorflow'", "1/model.savedmodel/", "tensorflow_savedmodel", "tensorflow",
     "model.savedmodel"},
    {"backend: 'tensorflow'", "1/model.onnx", "", "tensorflow", ""},
    {"backend: 'tensorflow' default_model_filename: 'model.graphdef'", "", "tensorflow_graphdef",
     "tensorflow", "model.graphdef"},
    {"platform: 'x' default_model_filename: 'model.graphdef'", "", "x", "", "model.graphdef"},
    {"backend: 'python'", "", "", "python", "model.py"},
    {"backend: 'openvino'", "", "", "openvino", "model.xml"},
    {"backend: 'identity'", "1/model.onnx", "", "identity", ""},
    {"platform: 'ensemble'", "1/", "ensemble", "", ""},
    // a plan under another name
    {"", "1/model.trt", "tensorrt_plan", "tensorrt", "model.trt"},
    {"", "1/resnet.engine 1/notes.txt", "tensorrt_plan", "tensorrt", "resnet.engine"},
    {"", "1/a.trt 1/model.py", "", "python", "model.py"},
    {"platform: 'tensorrt_plan'", "1/model.trt", "tensorrt_plan", "tensorrt", "model.trt"},
    {"backend: 'tensorrt'", "1/x.plan", "tensorrt_plan", "tensorrt", "x.plan"},
    {"backend: 'tensorrt'", "1/x.plan 1/y.plan", "tensorrt_plan", "tensorrt", "model.plan"},
    {"backend: 'tensorrt'", "1/model.plan 1/y.trt", "tensorrt_plan", "tensorrt", "model.plan"},
    {"backend: 'tensorrt'", "1/x.plan/", "tensorrt_plan", "tensorrt", "model.plan"},
    {"backend: 'tensorrt' default_model_filename: 'z'", "1/x.plan", "tensorrt_plan", "tensorrt",
     "z"},
};

// A model directory in a temporary one; returns its path.
static void make_model(char *root, size_t size, const char *files)
{
    snprintf(root, size, "/tmp/nereid_complete_XXXXXX");
    assert_non_null(mkdtemp(root));
    struct slice rest = slice_of(files);
    struct slice part;
    while (rest.len > 0 && slice_cut(&rest, ' ', &part)) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%.*s", root, (int)part.len, part.ptr);
        char *slash = strrchr(path, '/');
        *slash = '\0';
        assert_null(file_make_dirs(path));
        *slash = '/';
        if (slash[1] != '\0') {
            assert_null(file_write(path, SLICE("x")));
        }
    }
}

static void complete_tells_the_framework(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char root[64];
        make_model(root, sizeof(root), rows[i].files);
        Inference__ModelConfig *config = config_of(rows[i].before);
        assert_refused(config_complete(config, "m", root), NULL, rows[i].before);
        if (strcmp(config->platform, rows[i].platform) != 0 ||
            strcmp(config->backend, rows[i].backend) != 0 ||
            strcmp(config->default_model_filename, rows[i].file) != 0) {
            fail_msg("row %zu {%s} {%s}: platform '%s', backend '%s', file '%s'", i, rows[i].before,
                     rows[i].files, config->platform, config->backend,
                     config->default_model_filename);
        }
        assert_string_equal(config->name, "m");
        assert_non_null(config->version_policy); // the defaults are filled too
        config_destroy(config);
        assert_null(file_remove_tree(root));
    }
}

static void complete_takes_a_custom_backend_from_the_name(void **state)
{
    (void)state;
    char root[64];
    make_model(root, sizeof(root), "1/model.trt");
    Inference__ModelConfig *config = config_of("name: 'given'");
    assert_null(config_complete(config, "model.my.own", root));
    assert_string_equal(config->name, "given");
    assert_string_equal(config->backend, "my.own");
    assert_string_equal(config->default_model_filename, "model.my.own");
    config_destroy(config);
    assert_null(file_remove_tree(root));
}

static void complete_refuses_what_it_cannot_tell(void **state)
{
    (void)state;
    char root[64];
    make_model(root, sizeof(root), "1/a.trt 1/b.trt");
    Inference__ModelConfig *config = config_of("");
    assert_refused(config_complete(config, "m", root),
                   "Invalid model name: Could not determine backend for model 'm' with no backend "
                   "in model configuration. Expected model name of the form "
                   "'model.<backend_name>'.",
                   "");
    assert_null(file_remove_tree(root));
    struct nrd_status *status = config_complete(config, "m", root); // no directory now
    assert_int_equal(status_code(status), NRD_INTERNAL);
    status_free(status);
    config_destroy(config);
}

static void complete_survives_any_failed_allocation(void **state)
{
    (void)state;
    char root[64];
    make_model(root, sizeof(root), "1/model.trt labels.txt");
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        Inference__ModelConfig *config = config_of("");
        mem_fail_after(n);
        struct nrd_status *status = config_complete(config, "m", root);
        mem_fail_after(0);
        done = status == NULL;
        status_free(status);
        config_destroy(config);
        assert_true(n < 200);
    }
    assert_null(file_remove_tree(root));
}

static void python_environment_is_set_once(void **state)
{
    (void)state;
    char root[64];
    make_model(root, sizeof(root), "pb_exec_env_model.py.tar.gz");
    Inference__ModelConfig *config = config_of("runtime: 'other.py'");
    assert_null(config_set_python_environment(config, root));
    assert_int_equal(config->n_parameters, 0);
    config_destroy(config);
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        config = config_of("runtime: 'model.py' parameters { key: 'a' value {} }");
        mem_fail_after(n);
        struct nrd_status *status = config_set_python_environment(config, root);
        mem_fail_after(0);
        done = status == NULL;
        status_free(status);
        assert_null(config_set_python_environment(config, root));
        assert_int_equal(config->n_parameters, 2);
        assert_string_equal(config->parameters[1]->key, "EXECUTION_ENV_PATH");
        assert_memory_equal(config->parameters[1]->value->string_value, root, strlen(root));
        assert_string_equal(config->parameters[1]->value->string_value + strlen(root),
                            "/pb_exec_env_model.py.tar.gz");
        config_destroy(config);
        assert_true(n < 100);
    }
    assert_null(file_remove_tree(root));
}

// The three configurations of a machine with one model a GPU, on one without any.
static void models_pinned_to_gpus_are_refused_or_fall_back(void **state)
{
    (void)state;
    static const struct {
        const char *name, *platform, *files;
        int gpu;
    } models[] = {
        {"unet_model", "tensorrt_plan", "1/model.trt", 0},
        {"resnet_model", "onnxruntime_onnx", "1/model.onnx", 1},
        {"densenet_model", "pytorch_libtorch", "1/model.pt", 2},
    };
    for (size_t i = 0; i < COUNT(models); i++) {
        char root[64], text[256], refused[256];
        make_model(root, sizeof(root), models[i].files);
        snprintf(text, sizeof(text),
                 "name: '%s' platform: '%s' max_batch_size: 8 instance_group { kind: KIND_GPU "
                 "count: 1 gpus: [%d] }",
                 models[i].name, models[i].platform, models[i].gpu);
        snprintf(refused, sizeof(refused),
                 "instance group %s_0 of model %s specifies invalid or unsupported gpu id %d. GPUs "
                 "with at least the minimum required CUDA compute compatibility of 6.000000 are: ",
                 models[i].name, models[i].name, models[i].gpu);
        for (int fallback = 0; fallback < 2; fallback++) {
            struct config_devices devices = {.min_compute_capability = 6.0,
                                             .gpu_fallback_cpu = fallback == 1};
            Inference__ModelConfig *config = config_of(text);
            assert_refused(config_complete(config, models[i].name, root), NULL, text);
            assert_refused(config_validate(config), NULL, text);
            assert_refused(config_normalize_instances(config, &devices, NULL, 0), NULL, text);
            assert_refused(config_validate_instances(config, &devices),
                           fallback == 1 ? NULL : refused, text);
            config_destroy(config);
        }
        assert_null(file_remove_tree(root));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(complete_tells_the_framework),
        cmocka_unit_test(complete_takes_a_custom_backend_from_the_name),
        cmocka_unit_test(complete_refuses_what_it_cannot_tell),
        cmocka_unit_test(complete_survives_any_failed_allocation),
        cmocka_unit_test(python_environment_is_set_once),
        cmocka_unit_test(models_pinned_to_gpus_are_refused_or_fall_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
