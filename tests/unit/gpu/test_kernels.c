// SPDX-License-Identifier: Apache-2.0
// The kernels' own text, run on the processor by the fake driver, against src/image. Skipped, loudly, where the library was built without nvcc
// and there is no libnvrtc either: then no kernel can be loaded.
#include "tests/unit/gpu/gpu_fixture.h"

#include "tests/support/host_kernels/host_kernels.h"
#include "tests/support/kernel_checks/kernel_checks.h"

static struct gpu_stream *stream;

static int kernels_setup(void **state)
{
    (void)state;
    struct fake_cuda_options options = {.count = 1, .poll_ns = 100000};
    machine_start(&options);
    host_kernels_register();
    assert_ok(gpu_stream_create(gpu(0), GPU_PRIORITY_NORMAL, &stream));
    return 0;
}

static int kernels_teardown(void **state)
{
    (void)state;
    gpu_stream_destroy(stream);
    machine_stop();
    return 0;
}

static void need_compiler(void)
{
    struct nrd_status *status = gpu_kernels_prepare(gpu(0), GPU_UNIT_yuv);
    bool none = status != NULL && strstr(status_text(status), "no CUDA compiler") != NULL;
    status_free(status);
    if (none) {
        skip();
    }
}

static void run(bool (*check)(struct kernel_check *), unsigned cases)
{
    if (check != kernel_check_refusals) { // which loads none
        need_compiler();
    }
    struct kernel_check k = {.device = gpu(0),
                             .stream = stream,
                             .seed = 11,
                             .cases = cases,
                             .max_width = 75,
                             .max_height = 19};
    if (!check(&k)) {
        fail_msg("%s", k.message);
    }
}

static void kernel_convert_equals_the_image_library(void **state)
{
    (void)state;
    run(kernel_check_convert, 280);
}

static void kernel_resize_is_near_the_image_library(void **state)
{
    (void)state;
    run(kernel_check_resize, 210);
}

static void kernel_yuv_equals_the_image_library(void **state)
{
    (void)state;
    run(kernel_check_yuv, 200);
}

static void kernel_demosaic_equals_the_image_library(void **state)
{
    (void)state;
    run(kernel_check_demosaic, 80);
}

static void kernel_classes_agree_with_the_image_library(void **state)
{
    (void)state;
    run(kernel_check_classes, 120);
}

static void kernel_blend_equals_the_image_library(void **state)
{
    (void)state;
    run(kernel_check_blend, 120);
}

static void kernel_arguments_are_checked_before_the_gpu_sees_them(void **state)
{
    (void)state;
    run(kernel_check_refusals, 1);
    assert_int_equal(fake_cuda_launches(0), 0);
}

static void kernel_units_are_loaded_once(void **state)
{
    (void)state;
    need_compiler();
    uint64_t before = fake_cuda_calls(GPU_FN_module_load);
    assert_ok(gpu_kernels_prepare(gpu(0), GPU_UNIT_blend));
    assert_ok(gpu_kernels_prepare(gpu(0), GPU_UNIT_blend));
    assert_int_equal(fake_cuda_calls(GPU_FN_module_load), before + 1);
}

static void every_unit_has_a_text(void **state)
{
    (void)state;
    for (int i = 0; i < GPU_UNIT_COUNT; i++) {
        const char *text = gpu_unit_text((enum gpu_kernel_unit)i);
        assert_memory_equal(text, "// SPDX", 7);
        assert_non_null(strstr(text, "nereid_"));
        assert_non_null(strstr(text, "__global__"));
    }
    assert_non_null(strstr(gpu_unit_common_text(), "params.h"));
    assert_non_null(strstr(gpu_unit_params_text(), "struct kernel_convert"));
}

#define KERNEL_TEST(name) cmocka_unit_test_setup_teardown(name, kernels_setup, kernels_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(kernel_convert_equals_the_image_library),
        KERNEL_TEST(kernel_resize_is_near_the_image_library),
        KERNEL_TEST(kernel_yuv_equals_the_image_library),
        KERNEL_TEST(kernel_demosaic_equals_the_image_library),
        KERNEL_TEST(kernel_classes_agree_with_the_image_library),
        KERNEL_TEST(kernel_blend_equals_the_image_library),
        KERNEL_TEST(kernel_arguments_are_checked_before_the_gpu_sees_them),
        KERNEL_TEST(kernel_units_are_loaded_once),
        cmocka_unit_test(every_unit_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
