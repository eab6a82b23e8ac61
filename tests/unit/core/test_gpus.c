// SPDX-License-Identifier: Apache-2.0
// The GPUs of a server, on pretended ones.
#include "tests/unit/base/unit.h"

#include "core/gpus.h"
#include "tests/support/fake_cuda/fake_cuda.h"

static void assert_ok(struct nrd_status *status)
{
    assert_string_equal(status_text(status), "");
    assert_null(status);
}

static void assert_refused(struct nrd_status *status, enum nrd_code code, const char *part)
{
    assert_int_equal(status_code(status), code);
    assert_non_null(strstr(status_text(status), part));
    status_free(status);
}

static struct server_options *options;
static struct gpus *gpus;

static int set_up(void **state)
{
    (void)state;
    const struct fake_cuda_options machine = {
        .count = 2,
        .gpus = {{.memory_bytes = 256u << 20}, {.memory_bytes = 256u << 20, .compute_major = 5}},
    };
    fake_cuda_start(&machine);
    gpu_driver_replace(fake_cuda_driver());
    options = server_options_create();
    gpus = gpus_create(options);
    return gpus == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    gpus_destroy(gpus);
    server_options_destroy(options);
    gpu_driver_replace(NULL);
    return (int)fake_cuda_stop(); // nothing may be left
}

static void gpus_are_looked_for_once_asked(void **state)
{
    (void)state;
    assert_int_equal(gpus_count(gpus), 0);
    assert_null(gpus_device(gpus, 0));
    struct config_devices devices = gpus_devices(gpus);
    assert_int_equal(devices.gpu_count, 2);
    assert_int_equal(devices.gpus[1].id, 1);
    assert_true(devices.gpus[0].compute_capability == 9.0);
    assert_true(devices.gpus[1].compute_capability == 5.0);
    assert_non_null(gpus_device(gpus, 1));
    assert_null(gpus_device(gpus, 2));
}

static void memory_over_the_pool_comes_from_the_device(void **state)
{
    (void)state;
    gpus_devices(gpus);
    void *small;
    void *large;
    assert_ok(gpus_allocate(gpus, NRD_MEMORY_GPU, 1, 1000, &small));
    assert_ok(gpus_allocate(gpus, NRD_MEMORY_GPU, 1, 100u << 20, &large)); // the pool has 64 MiB
    assert_ok(gpus_free(gpus, small));
    assert_ok(gpus_free(gpus, large));
    assert_refused(gpus_allocate(gpus, NRD_MEMORY_GPU, 1, 300u << 20, &large), NRD_UNAVAILABLE,
                   "memory");
}

static void what_is_not_there_is_refused(void **state)
{
    (void)state;
    void *memory;
    assert_refused(gpus_allocate(gpus, NRD_MEMORY_PINNED, 0, 16, &memory), NRD_UNSUPPORTED,
                   "Pinned memory allocation not supported"); // nobody has looked
    gpus_devices(gpus);
    assert_refused(gpus_allocate(gpus, NRD_MEMORY_GPU, 2, 16, &memory), NRD_UNSUPPORTED,
                   "GPU memory allocation not supported");
    assert_refused(gpus_free(gpus, &memory), NRD_INTERNAL, "was not given out");
}

static void pinned_memory_is_limited_and_counted(void **state)
{
    (void)state;
    options->pinned_pool_bytes = 1u << 20;
    gpus_devices(gpus);
    void *memory;
    struct gpu_pool_usage usage;
    assert_ok(gpus_allocate(gpus, NRD_MEMORY_PINNED, 0, 1000, &memory));
    gpus_pinned_usage(gpus, &usage);
    assert_int_equal(usage.limit_bytes, 1u << 20);
    assert_in_range(usage.used_bytes, 1000, 1024);
    void *more;
    assert_refused(gpus_allocate(gpus, NRD_MEMORY_PINNED, 0, 2u << 20, &more), NRD_UNAVAILABLE, "");
    assert_ok(gpus_free(gpus, memory));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gpus_are_looked_for_once_asked),
        TEST(memory_over_the_pool_comes_from_the_device),
        TEST(what_is_not_there_is_refused),
        TEST(pinned_memory_is_limited_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
