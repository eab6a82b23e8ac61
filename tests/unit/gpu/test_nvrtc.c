// SPDX-License-Identifier: Apache-2.0
// The run-time compiler: with a pretended library, what is asked of it and what is kept; and with a real one, where there is
// one (it needs no GPU), that the kernels' texts compile.
#include "tests/unit/gpu/gpu_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "gpu/kernels/units.h"
#include "gpu/module.h"

// ---- a pretended library: "compiles" to its options and the text --------------------------------------------------

struct nvrtc_program {
    char code[512];
    char log[64];
};
static struct nvrtc_program program;
static int compilations;
static int known_archs[] = {75, 80, 90};

static int fake_version(int *major, int *minor)
{
    *major = 13;
    *minor = 0;
    return NVRTC_OK;
}
static const char *fake_error(int result)
{
    return result == 7 ? "NVRTC_ERROR_INVALID_PROGRAM" : NULL;
}
static int fake_arch_count(int *count)
{
    *count = 3;
    return NVRTC_OK;
}
static int fake_archs(int *archs)
{
    memcpy(archs, known_archs, sizeof(known_archs));
    return NVRTC_OK;
}
static int fake_create(struct nvrtc_program **out, const char *source, const char *name,
                       int header_count, const char *const *headers,
                       const char *const *header_names)
{
    (void)name;
    memset(&program, 0, sizeof(program));
    snprintf(program.code, sizeof(program.code), "%s|", source);
    for (int i = 0; i < header_count; i++) {
        size_t at = strlen(program.code);
        snprintf(program.code + at, sizeof(program.code) - at, "%s=%s|", header_names[i],
                 headers[i]);
    }
    *out = &program;
    return strcmp(source, "refused") == 0 ? 7 : NVRTC_OK;
}
static int fake_destroy(struct nvrtc_program **out)
{
    *out = NULL;
    return NVRTC_OK;
}
static int fake_compile(struct nvrtc_program *p, int option_count, const char *const *options)
{
    compilations++;
    for (int i = 0; i < option_count; i++) {
        size_t at = strlen(p->code);
        snprintf(p->code + at, sizeof(p->code) - at, "%s ", options[i]);
    }
    snprintf(p->log, sizeof(p->log), "x.cu(1): error: what is this");
    return strncmp(p->code, "wrong", 5) == 0 ? NVRTC_COMPILATION_FAILED : NVRTC_OK;
}
static int fake_log_size(struct nvrtc_program *p, size_t *size)
{
    *size = strlen(p->log) + 1;
    return NVRTC_OK;
}
static int fake_log(struct nvrtc_program *p, char *log)
{
    memcpy(log, p->log, strlen(p->log) + 1);
    return NVRTC_OK;
}
static int fake_code_size(struct nvrtc_program *p, size_t *size)
{
    *size = strlen(p->code);
    return NVRTC_OK;
}
static int fake_cubin(struct nvrtc_program *p, char *code)
{
    memcpy(code, p->code, strlen(p->code));
    return NVRTC_OK;
}
static int fake_ptx(struct nvrtc_program *p, char *code)
{
    memcpy(code, p->code, strlen(p->code));
    code[0] = 'P';
    return NVRTC_OK;
}
static const struct gpu_nvrtc fake_nvrtc = {
    .version = fake_version,
    .error_string = fake_error,
    .arch_count = fake_arch_count,
    .archs = fake_archs,
    .create = fake_create,
    .destroy = fake_destroy,
    .compile = fake_compile,
    .log_size = fake_log_size,
    .log = fake_log,
    .cubin_size = fake_code_size,
    .cubin = fake_cubin,
    .ptx_size = fake_code_size,
    .ptx = fake_ptx,
};

static char folder[64];

static int cache_setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/nereid-nvrtc-XXXXXX");
    assert_non_null(mkdtemp(folder));
    setenv("NEREID_CACHE_DIR", folder, 1);
    nvrtc_replace(&fake_nvrtc);
    compilations = 0;
    return 0;
}

static int cache_teardown(void **state)
{
    (void)state;
    assert_ok(file_remove_tree(folder));
    unsetenv("NEREID_CACHE_DIR");
    nvrtc_replace(NULL);
    return 0;
}

static void compile_expect(const struct nvrtc_source *source, int major, int minor,
                           const char *code)
{
    struct str out = STR_INIT;
    assert_ok(nvrtc_compile(source, major, minor, &out));
    assert_string_equal(str_cstr(&out), code);
    str_fini(&out);
}

static void text_is_compiled_once_for_each_target_and_option(void **state)
{
    (void)state;
    const char *names[] = {"a.h"};
    const char *headers[] = {"int a;"};
    const char *options[] = {"-DX=1"};
    struct nvrtc_source source = {.name = "x.cu",
                                  .text = "text",
                                  .header_names = names,
                                  .headers = headers,
                                  .header_count = 1};
    const char *code = "text|a.h=int a;|--gpu-architecture=sm_90 --std=c++17 ";
    for (int i = 0; i < 3; i++) {
        compile_expect(&source, 9, 0, code);
    }
    assert_int_equal(compilations, 1);
    compile_expect(&source, 8, 0, "text|a.h=int a;|--gpu-architecture=sm_80 --std=c++17 ");
    // A target that the library does not know gets PTX of the one below.
    compile_expect(&source, 8, 6, "Pext|a.h=int a;|--gpu-architecture=compute_80 --std=c++17 ");
    source.options = options;
    source.option_count = 1;
    compile_expect(&source, 9, 0, "text|a.h=int a;|--gpu-architecture=sm_90 --std=c++17 -DX=1 ");
    headers[0] = "int b;";
    compile_expect(&source, 9, 0, "text|a.h=int b;|--gpu-architecture=sm_90 --std=c++17 -DX=1 ");
    assert_int_equal(compilations, 5);
}

static void broken_file_in_the_cache_is_compiled_anew(void **state)
{
    (void)state;
    struct nvrtc_source source = {.name = "x.cu", .text = "text"};
    const char *code = "text|--gpu-architecture=sm_90 --std=c++17 ";
    compile_expect(&source, 9, 0, code);
    struct file_list list;
    char path[512];
    snprintf(path, sizeof(path), "%s/kernels", folder);
    assert_ok(file_list(path, &list));
    assert_int_equal(list.count, 1); // and no file beside it
    snprintf(path, sizeof(path), "%s/kernels/%s", folder, list.names[0]);
    file_list_fini(&list);
    static const char *const contents[] = {"", "short",
                                           "sixteen bytes and something that is no code"};
    for (int i = 0; i < 3; i++) {
        assert_ok(file_write(path, slice_of(contents[i])));
        compile_expect(&source, 9, 0, code);
        assert_int_equal(compilations, 2 + i);
    }
    compile_expect(&source, 9, 0, code);
    assert_int_equal(compilations, 4);
}

static void compiler_failures_are_told_with_its_words(void **state)
{
    (void)state;
    struct str out = STR_INIT;
    struct nvrtc_source source = {.name = "x.cu", .text = "wrong"};
    assert_error(nvrtc_compile(&source, 9, 0, &out), NRD_INVALID_ARG,
                 "x.cu does not compile: x.cu(1): error: what is this");
    source.text = "refused";
    assert_error(nvrtc_compile(&source, 9, 0, &out), NRD_INTERNAL,
                 "x.cu: nvrtcCreateProgram: NVRTC_ERROR_INVALID_PROGRAM");
    assert_error(nvrtc_compile(&source, 6, 1, &out), NRD_UNSUPPORTED,
                 "x.cu: the CUDA compiler has no target for compute capability 6.1");
    source.option_count = 33;
    assert_error(nvrtc_compile(&source, 9, 0, &out), NRD_INVALID_ARG,
                 "x.cu: 33 compiler options, at most 32");
    assert_int_equal(out.len, 0);
    str_fini(&out);
}

static void cache_that_cannot_be_written_is_done_without(void **state)
{
    (void)state;
    struct nvrtc_source source = {.name = "x.cu", .text = "text"};
    setenv("NEREID_CACHE_DIR", "/proc/nowhere", 1);
    compile_expect(&source, 9, 0, "text|--gpu-architecture=sm_90 --std=c++17 ");
    compile_expect(&source, 9, 0, "text|--gpu-architecture=sm_90 --std=c++17 ");
    assert_int_equal(compilations, 2);
}

// ---- modules ------------------------------------------------------------------------------------------------------

static void module_is_compiled_loaded_and_launched(void **state)
{
    (void)state;
    machine_setup(state);
    struct gpu_module *module = NULL;
    struct gpu_stream *stream = NULL;
    struct cu_function *function = NULL;
    struct nvrtc_source source = {.name = "x.cu", .text = "text"};
    uint64_t ns = 5000;
    void *params[] = {&ns};
    const struct gpu_grid grid = {.blocks = {1, 1, 1}, .threads = {32, 1, 1}};
    assert_ok(gpu_stream_create(gpu(0), GPU_PRIORITY_NORMAL, &stream));
    assert_ok(gpu_module_compile(gpu(0), &source, &module));
    assert_ok(gpu_module_function(module, "fake_busy", &function));
    assert_ok(gpu_launch(stream, function, &grid, params));
    assert_ok(gpu_stream_sync(stream, 0));
    assert_int_equal(fake_cuda_launches(0), 1);
    assert_error(gpu_module_function(module, "nothing", &function), NRD_NOT_FOUND,
                 "kernel nothing: GPU 0: cuModuleGetFunction: CUDA_ERROR_NOT_FOUND (named symbol "
                 "not found)");
    const struct gpu_grid large = {.blocks = {1, 1, 1}, .threads = {2048, 1, 1}};
    assert_error(gpu_launch(stream, function, &large, params), NRD_INVALID_ARG,
                 "GPU 0: cuLaunchKernel: CUDA_ERROR_INVALID_VALUE (invalid argument)");
    gpu_module_unload(module);
    gpu_module_unload(NULL);
    fake_cuda_fail(GPU_FN_module_load, 0, 1, CU_INVALID_IMAGE);
    assert_error(gpu_module_compile(gpu(0), &source, &module), NRD_INTERNAL,
                 "x.cu: GPU 0: cuModuleLoadDataEx: CUDA_ERROR_INVALID_IMAGE (device kernel image "
                 "is invalid)");
    gpu_stream_destroy(stream);
    machine_teardown(state);
}

// ---- the real one -------------------------------------------------------------------------------------------------

static void kernel_texts_compile_with_the_real_compiler(void **state)
{
    (void)state;
    nvrtc_replace(NULL);
    struct nrd_status *status = nvrtc_open();
    if (status != NULL) {
        print_message("no CUDA compiler here: %s\n", status_text(status));
        status_free(status);
        skip();
    }
    const char *names[] = {"common.cuh", "params.h"};
    const char *headers[] = {gpu_unit_common_text(), gpu_unit_params_text()};
    static const enum gpu_kernel_unit units[] = {GPU_UNIT_yuv, GPU_UNIT_demosaic, GPU_UNIT_classes,
                                                 GPU_UNIT_blend};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        struct str out = STR_INIT;
        struct nvrtc_source source = {.name = gpu_unit_name(units[i]),
                                      .text = gpu_unit_text(units[i]),
                                      .header_names = names,
                                      .headers = headers,
                                      .header_count = 2};
        assert_ok(nvrtc_compile(&source, 9, 0, &out));
        assert_memory_equal(out.ptr, "\177ELF", 4);
        str_fini(&out);
    }
}

#define CACHE_TEST(name) cmocka_unit_test_setup_teardown(name, cache_setup, cache_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CACHE_TEST(text_is_compiled_once_for_each_target_and_option),
        CACHE_TEST(broken_file_in_the_cache_is_compiled_anew),
        CACHE_TEST(compiler_failures_are_told_with_its_words),
        CACHE_TEST(cache_that_cannot_be_written_is_done_without),
        CACHE_TEST(module_is_compiled_loaded_and_launched),
        CACHE_TEST(kernel_texts_compile_with_the_real_compiler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
