// SPDX-License-Identifier: Apache-2.0
// The GPUs of a server, on pretended ones.
#include "tests/unit/base/unit.h"

#include "base/mem.h"
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

static void page_locked_memory_has_half_of_the_limit(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    options->pinned_pool_bytes = 4 * BYTES;
    gpus_devices(gpus);
    char *memory = mem_map(3 * BYTES);
    struct gpu_pool_usage usage;
    struct gpus_host_lock *locks[2];
    void *most;
    for (int i = 0; i < 2; i++) {
        locks[i] = gpus_lock_host(gpus, memory + i * BYTES, BYTES);
        assert_non_null(locks[i]);
    }
    assert_null(gpus_lock_host(gpus, memory + 2 * BYTES, BYTES));
    gpus_pinned_usage(gpus, &usage);
    assert_int_equal(usage.used_bytes, 2 * BYTES);
    assert_int_equal(usage.reserved_bytes, 2 * BYTES);
    assert_int_equal(usage.refused, 1);
    assert_refused(gpus_allocate(gpus, NRD_MEMORY_PINNED, 0, 2 * BYTES + 1, &most), NRD_UNAVAILABLE,
                   "no room");
    assert_ok(gpus_allocate(gpus, NRD_MEMORY_PINNED, 0, 2 * BYTES, &most)); // the other half
    gpus_unlock_host(locks[0]);
    assert_null(gpus_lock_host(gpus, memory, BYTES + 1)); // half allows it, what is left does not
    locks[0] = gpus_lock_host(gpus, memory, BYTES);
    assert_non_null(locks[0]);
    assert_ok(gpus_free(gpus, most));
    gpus_unlock_host(locks[1]);
    gpus_unlock_host(locks[0]);
    gpus_pinned_usage(gpus, &usage);
    assert_int_equal(usage.used_bytes, 0);
    assert_int_equal(fake_cuda_calls(GPU_FN_mem_host_register),
                     fake_cuda_calls(GPU_FN_mem_host_unregister));
    mem_unmap(memory, 3 * BYTES);
}

static void memory_that_cannot_be_page_locked_is_not_counted(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    options->pinned_pool_bytes = 4 * BYTES;
    char *memory = mem_map(BYTES);
    struct gpu_pool_usage usage;
    assert_null(gpus_lock_host(gpus, memory, BYTES)); // nobody has looked
    gpus_devices(gpus);
    fake_cuda_fail(GPU_FN_mem_host_register, -1, 1, CU_OUT_OF_MEMORY);
    assert_null(gpus_lock_host(gpus, memory, BYTES));
    gpus_pinned_usage(gpus, &usage);
    assert_int_equal(usage.used_bytes, 0);
    struct gpus_host_lock *lock = gpus_lock_host(gpus, memory, BYTES);
    assert_non_null(lock);
    gpu_device_mark_lost(gpus_device(gpus, 1), "pulled out"); // it was locked there
    gpus_unlock_host(lock);
    gpus_pinned_usage(gpus, &usage);
    assert_int_equal(usage.used_bytes, 0);
    mem_unmap(memory, BYTES);
}

static void lost_gpu_is_left_out(void **state)
{
    (void)state;
    struct config_devices before = gpus_devices(gpus);
    assert_int_equal(gpus_lost(gpus), 0);
    assert_ok(gpus_report(gpus, 0, 0, "somebody saw something")); // the driver says otherwise
    assert_false(gpus_is_lost(gpus, 0));
    assert_refused(gpus_report(gpus, 7, 0, ""), NRD_INVALID_ARG, "there is no GPU 7");
    assert_refused(gpus_report(gpus, 0, CU_LAUNCH_FAILED, "my context died"), NRD_UNAVAILABLE,
                   "GPU 0 (GPU-00fafafa-fafa-fafa-fafa-fafafafafafa) is lost: my context died");
    assert_int_equal(gpus_lost(gpus), 1);
    assert_true(gpus_is_lost(gpus, 0));
    assert_false(gpus_is_lost(gpus, 1));
    struct config_devices after = gpus_devices(gpus);
    assert_true(after.gpus[0].lost && !after.gpus[1].lost);
    assert_false(before.gpus[0].lost); // who has the old list may read on
    void *memory;
    assert_refused(gpus_allocate(gpus, NRD_MEMORY_GPU, 0, 16, &memory), NRD_UNAVAILABLE, "is lost");
}

static void pinned_memory_is_had_from_a_gpu_that_works(void **state)
{
    (void)state;
    options->pinned_pool_bytes = 1u << 20;
    gpus_devices(gpus);
    void *old;
    void *fresh;
    struct gpu_pool_usage usage;
    assert_ok(gpus_allocate(gpus, NRD_MEMORY_PINNED, 0, 1000, &old));
    gpu_device_mark_lost(gpus_device(gpus, 0), "pulled out");
    assert_ok(gpus_allocate(gpus, NRD_MEMORY_PINNED, 0, 2000, &fresh));
    gpus_pinned_usage(gpus, &usage);
    assert_in_range(usage.used_bytes, 3000, 3072); // both
    assert_ok(gpus_free(gpus, old));
    assert_ok(gpus_free(gpus, fresh));
    gpu_device_mark_lost(gpus_device(gpus, 1), "pulled out, too");
    assert_refused(gpus_allocate(gpus, NRD_MEMORY_PINNED, 0, 2000, &fresh), NRD_UNAVAILABLE,
                   "is lost");
}

static void count_call(void *arg)
{
    ++*(unsigned *)arg;
}

static void loss_is_told_once_a_gpu(void **state)
{
    (void)state;
    unsigned told = 0;
    gpus_devices(gpus);
    gpus_tell_losses(gpus, count_call, &told);
    gpu_device_mark_lost(gpus_device(gpus, 1), "pulled out");
    gpu_device_mark_lost(gpus_device(gpus, 1), "again");
    assert_int_equal(told, 1);
    gpu_device_mark_lost(gpus_device(gpus, 0), "this one, too");
    assert_int_equal(told, 2);
    assert_int_equal(gpus_lost(gpus), 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gpus_are_looked_for_once_asked),
        TEST(memory_over_the_pool_comes_from_the_device),
        TEST(what_is_not_there_is_refused),
        TEST(pinned_memory_is_limited_and_counted),
        TEST(lost_gpu_is_left_out),
        TEST(pinned_memory_is_had_from_a_gpu_that_works),
        TEST(loss_is_told_once_a_gpu),
        TEST(page_locked_memory_has_half_of_the_limit),
        TEST(memory_that_cannot_be_page_locked_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
