// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/gpu/gpu_fixture.h"

#include "gpu/stream.h"

static void nvml_tells_how_busy_and_how_full(void **state)
{
    (void)state;
    struct nvml_sample sample;
    struct gpu_stream *stream = NULL;
    const char *uuid = gpu_device_info(gpu(0))->uuid;
    assert_ok(nvml_read(uuid, &sample)); // from here on
    assert_ok(gpu_stream_create(gpu(0), GPU_PRIORITY_NORMAL, &stream));
    busy(gpu_stream_handle(stream), gpu(0), 30000);
    fake_cuda_advance(100000);
    fake_cuda_set_used_by_others(0, 12345);
    assert_ok(nvml_read(uuid, &sample));
    assert_true(sample.has_utilization && sample.has_memory && sample.has_power_usage &&
                sample.has_power_limit && sample.has_energy);
    assert_true(sample.utilization > 0.29 && sample.utilization < 0.31);
    assert_int_equal(sample.memory_used_bytes, 12345);
    assert_int_equal(sample.memory_total_bytes, 1 << 30);
    assert_true(sample.power_usage_watts == 50 && sample.power_limit_watts == 350);
    assert_true(sample.energy_joules > 0.01 && sample.energy_joules < 0.02);
    gpu_stream_destroy(stream);
    assert_error(nvml_read("GPU-nobody", &sample), NRD_NOT_FOUND,
                 "nvmlDeviceGetHandleByUUID of GPU-nobody: Not Found");
    assert_ok(nvml_check_lost("GPU-nobody"));
    fake_cuda_lose(0, CU_ILLEGAL_ADDRESS); // a context's matter
    assert_ok(nvml_read(uuid, &sample));
    assert_ok(nvml_check_lost(uuid));
    fake_cuda_unplug(0);
    assert_error(nvml_check_lost(uuid), NRD_UNAVAILABLE,
                 "nvmlDeviceGetMemoryInfo of GPU-00fafafa-fafa-fafa-fafa-fafafafafafa: GPU is "
                 "lost");
    assert_error(nvml_read(uuid, &sample), NRD_UNAVAILABLE,
                 "nvmlDeviceGetUtilizationRates of GPU-00fafafa-fafa-fafa-fafa-fafafafafafa: GPU "
                 "is lost");
}

static void nvml_lists_the_slices_of_a_gpu(void **state)
{
    (void)state;
    machine_stop();
    struct fake_cuda_options options = {
        .count = 2,
        .gpus = {{.slices = 2, .memory_bytes = 8 << 20}, {.is_slice = true}},
    };
    machine_start(&options);
    struct nvml_slice slices[7];
    size_t count = 0;
    assert_ok(nvml_slices(gpu_device_info(gpu(0))->uuid, slices, 7, &count));
    assert_int_equal(count, 2);
    assert_string_equal(slices[1].uuid, "MIG-00fafafa-fafa-fafa-fafa-fafafafafa11");
    assert_int_equal(slices[1].gpu_instance, 2);
    assert_int_equal(slices[1].multiprocessors, 14);
    assert_int_equal(slices[1].memory_bytes, 4 << 20);
    assert_ok(nvml_slices(gpu_device_info(gpu(0))->uuid, slices, 1, &count));
    assert_int_equal(count, 2);
    // A slice has no utilisation; its power is the whole GPU's.
    struct nvml_sample sample;
    assert_ok(nvml_read(slices[0].uuid, &sample));
    assert_false(sample.has_utilization);
    assert_true(sample.has_power_usage);
    // Where CUDA shows a slice as a device, it is known by NVML's name.
    assert_true(gpu_device_info(gpu(1))->is_mig);
    assert_memory_equal(gpu_device_info(gpu(1))->uuid, "MIG-01", 6);
    assert_ok(nvml_slices(gpu_device_info(gpu(1))->uuid, slices, 7, &count));
    assert_int_equal(count, 0);
}

static void nvml_that_is_not_there_is_a_status(void **state)
{
    (void)state;
    nvml_replace(NULL);
    struct nvml_sample sample;
    struct nrd_status *status = nvml_read("GPU-x", &sample);
    assert_non_null(status);
    status_free(status);
    nvml_replace(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GPU_TEST(nvml_tells_how_busy_and_how_full),
        GPU_TEST(nvml_lists_the_slices_of_a_gpu),
        cmocka_unit_test(nvml_that_is_not_there_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
