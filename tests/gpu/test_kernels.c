// SPDX-License-Identifier: Apache-2.0
// The kernels on a real GPU against src/image; once from the program's own PTX and once from their text.
#include "tests/gpu/gpu_check.h"

#include <stdlib.h>

#include "gpu/nvrtc.h"
#include "tests/support/kernel_checks/kernel_checks.h"

static enum check_result run(struct gpu_machine *m, bool (*check)(struct kernel_check *))
{
    struct kernel_check k = {
        .device = m->device, .seed = 3, .cases = 280, .max_width = 75, .max_height = 40};
    const char *cases = getenv("NEREID_KERNEL_CASES"); // a checker of kernels makes each one slow
    if (cases != NULL) {
        k.cases = (unsigned)strtoul(cases, NULL, 10);
    }
    CHECK_OK(gpu_stream_create(m->device, GPU_PRIORITY_NORMAL, &k.stream));
    bool good = check(&k);
    if (good) { // and some large ones
        k.cases /= 14;
        k.max_width = 2000;
        k.max_height = 1100;
        good = check(&k);
    }
    gpu_stream_destroy(k.stream);
    return good ? CHECK_PASSED : check_failed("%s", k.message);
}

static enum check_result kernel_convert(struct gpu_machine *m)
{
    return run(m, kernel_check_convert);
}
static enum check_result kernel_resize(struct gpu_machine *m)
{
    return run(m, kernel_check_resize);
}
static enum check_result kernel_yuv(struct gpu_machine *m)
{
    return run(m, kernel_check_yuv);
}
static enum check_result kernel_demosaic(struct gpu_machine *m)
{
    return run(m, kernel_check_demosaic);
}
static enum check_result kernel_classes(struct gpu_machine *m)
{
    return run(m, kernel_check_classes);
}
static enum check_result kernel_blend(struct gpu_machine *m)
{
    return run(m, kernel_check_blend);
}
static enum check_result kernel_refusals(struct gpu_machine *m)
{
    return run(m, kernel_check_refusals);
}

static enum check_result every_unit_loads(struct gpu_machine *m)
{
    for (int i = 0; i < GPU_UNIT_COUNT; i++) {
        CHECK_OK(gpu_kernels_prepare(m->device, (enum gpu_kernel_unit)i));
    }
    return CHECK_PASSED;
}

const struct gpu_test kernel_tests[] = {
    {"every_kernel_unit_loads", every_unit_loads},
    {"kernel_convert_equals_the_image_library", kernel_convert},
    {"kernel_resize_is_near_the_image_library", kernel_resize},
    {"kernel_yuv_equals_the_image_library", kernel_yuv},
    {"kernel_demosaic_equals_the_image_library", kernel_demosaic},
    {"kernel_classes_agree_with_the_image_library", kernel_classes},
    {"kernel_blend_equals_the_image_library", kernel_blend},
    {"kernel_arguments_are_checked", kernel_refusals},
    {NULL, NULL},
};
