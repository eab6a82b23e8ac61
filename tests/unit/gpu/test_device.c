// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/gpu/gpu_fixture.h"

#include "base/thread.h"
#include "gpu/memory.h"
#include "gpu/stream.h"

static void driver_that_is_not_there_is_a_status(void **state)
{
    (void)state;
    // No table, and this process is not started with the fake's library in its path.
    gpu_driver_replace(NULL);
    struct nrd_status *status = gpu_driver_open();
    if (status == NULL) {
        gpu_driver_replace(NULL);
        skip(); // there is a real driver here
    }
    assert_int_equal(status_code(status), NRD_UNAVAILABLE);
    struct nrd_status *again = gpu_driver_open();
    assert_string_equal(status_text(again), status_text(status));
    assert_memory_equal(status_text(status), "no ", 3);
    struct gpu_system *system = NULL;
    assert_error(gpu_system_open(&system), NRD_UNAVAILABLE, status_text(again));
    assert_int_equal(gpu_driver_version(), 0);
    status_free(status);
    status_free(again);
    gpu_driver_replace(NULL);
}

static void driver_that_fails_to_start_says_why(void **state)
{
    (void)state;
    struct fake_cuda_options options = {.count = 1};
    fake_cuda_start(&options);
    fake_cuda_fail(GPU_FN_init, -1, 1, CU_NO_DEVICE);
    gpu_driver_replace(fake_cuda_driver());
    assert_error(gpu_driver_open(), NRD_UNAVAILABLE,
                 "no GPU can be used: cuInit: CUDA_ERROR_NO_DEVICE (no CUDA-capable device is "
                 "detected)");
    assert_int_equal(fake_cuda_stop(), 0);
    gpu_driver_replace(NULL);
}

static void system_finds_devices_with_what_they_are(void **state)
{
    (void)state;
    assert_int_equal(gpu_system_count(machine), 3);
    assert_int_equal(gpu_driver_version(), 13000);
    const struct gpu_device_info *info = gpu_device_info(gpu(1));
    assert_int_equal(info->ordinal, 1);
    assert_string_equal(info->name, "Fake B");
    assert_string_equal(info->uuid, "GPU-01fafafa-fafa-fafa-fafa-fafafafafafa");
    assert_string_equal(info->pci_bus_id, "FFFF:01:1F.0");
    assert_int_equal(info->compute_major, 9);
    assert_int_equal(info->multiprocessors, 200);
    assert_int_equal(info->numa_node, -1);
    assert_string_equal(info->cpus, "");
    assert_int_equal(info->memory_bytes, 1 << 30);
    assert_true(info->has_memory_pools);
    assert_false(info->is_mig);
    assert_null(gpu(3));
    assert_null(gpu(-1));
    assert_ptr_equal(gpu_system_find(machine, SLICE("GPU-02fa")), gpu(2));
    assert_null(gpu_system_find(machine, SLICE("GPU-0"))); // of three
    assert_null(gpu_system_find(machine, SLICE("")));
    assert_int_equal(fake_cuda_live(), 0); // no context was made for all this
}

static void device_context_is_made_once_and_left_as_it_was(void **state)
{
    (void)state;
    struct gpu_scope outer;
    struct gpu_scope inner;
    struct cu_context *current = NULL;
    assert_ok(gpu_device_enter(gpu(0), &outer));
    assert_ok(gpu_device_enter(gpu(1), &inner));
    assert_int_equal(gpu_driver()->ctx_get_current(&current), CU_SUCCESS);
    assert_ptr_equal(current, gpu_device_context(gpu(1)));
    gpu_device_leave(&inner);
    assert_ok(gpu_device_enter(gpu(0), &inner)); // already current: not pushed
    assert_false(inner.pushed);
    gpu_device_leave(&inner);
    gpu_device_leave(&outer);
    assert_int_equal(gpu_driver()->ctx_get_current(&current), CU_SUCCESS);
    assert_null(current);
    assert_int_equal(fake_cuda_calls(GPU_FN_primary_retain), 2);
    uint64_t available;
    uint64_t total;
    fake_cuda_set_used_by_others(0, 1000);
    assert_ok(gpu_device_memory(gpu(0), &available, &total));
    assert_int_equal(total - available, 1000);
}

static void device_failure_names_call_error_and_device(void **state)
{
    (void)state;
    struct tensor_buffer *buffer = NULL;
    assert_error(gpu_direct_get(gpu(2), (size_t)2 << 30, &buffer), NRD_UNAVAILABLE,
                 "GPU 2: cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY (out of memory)");
    assert_false(gpu_device_is_lost(gpu(2)));
    fake_cuda_fail(GPU_FN_mem_alloc, 2, 1, 4242);
    assert_error(gpu_direct_get(gpu(2), 1, &buffer), NRD_INTERNAL,
                 "GPU 2: cuMemAlloc_v2: CUresult 4242");
    assert_ok(gpu_direct_get(gpu(2), 1, &buffer));
    buffer_unref(buffer);
}

static void call_that_a_driver_lacks_is_refused_by_name(void **state)
{
    (void)state;
    struct gpu_driver old = *fake_cuda_driver();
    old.graph_exec_update = NULL;
    gpu_driver_replace(&old);
    assert_error(GPU_CALL(NULL, graph_exec_update, (NULL, NULL, NULL)), NRD_UNSUPPORTED,
                 "cuGraphExecUpdate_v2: not in this driver (CUDA 13.0)");
    gpu_driver_replace(fake_cuda_driver());
}

static void peers_are_told_and_enabled_once(void **state)
{
    (void)state;
    machine_stop();
    struct fake_cuda_options options = {.count = 4, .peers_by_pair = true};
    machine_start(&options);
    assert_true(gpu_device_can_access(gpu(2), gpu(3)));
    assert_false(gpu_device_can_access(gpu(1), gpu(2)));
    assert_true(gpu_device_can_access(gpu(1), gpu(1)));
    assert_int_equal(gpu_device_link_rank(gpu(0), gpu(1)), 0);
    assert_int_equal(gpu_device_link_rank(gpu(0), gpu(2)), -1);
    assert_ok(gpu_device_enable_peer(gpu(0), gpu(1)));
    assert_ok(gpu_device_enable_peer(gpu(0), gpu(1)));
    assert_int_equal(fake_cuda_calls(GPU_FN_ctx_enable_peer), 1);
    assert_error(gpu_device_enable_peer(gpu(1), gpu(2)), NRD_UNSUPPORTED,
                 "GPU 1 cannot access the memory of GPU 2");
    // A framework did it first.
    struct gpu_scope scope;
    assert_ok(gpu_device_enter(gpu(1), &scope));
    assert_int_equal(gpu_driver()->ctx_enable_peer(gpu_device_context(gpu(0)), 0), CU_SUCCESS);
    gpu_device_leave(&scope);
    assert_ok(gpu_device_enable_peer(gpu(1), gpu(0)));
}

struct loss {
    int told;
    struct gpu_device *device;
    char reason[256];
};

static void note_loss(struct gpu_device *device, const char *reason, void *arg)
{
    struct loss *loss = arg;
    loss->told++;
    loss->device = device;
    strncpy(loss->reason, reason, sizeof(loss->reason) - 1);
}

static void sticky_error_loses_the_device_and_tells_once(void **state)
{
    (void)state;
    struct loss first = {0};
    struct loss second = {0};
    struct gpu_watch watch = {.lost = note_loss, .arg = &first};
    struct gpu_watch late = {.lost = note_loss, .arg = &second};
    struct tensor_buffer *buffer = NULL;
    gpu_device_watch(gpu(1), &watch);
    fake_cuda_fail(GPU_FN_mem_alloc, 1, 1, CU_ILLEGAL_ADDRESS);
    assert_error(gpu_direct_get(gpu(1), 1, &buffer), NRD_UNAVAILABLE,
                 "GPU 1: cuMemAlloc_v2: CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access was "
                 "encountered)");
    assert_true(gpu_device_is_lost(gpu(1)));
    assert_int_equal(first.told, 1);
    assert_ptr_equal(first.device, gpu(1));
    assert_string_equal(first.reason, "cuMemAlloc_v2: CUDA_ERROR_ILLEGAL_ADDRESS (an illegal "
                                      "memory access was encountered)");
    const char *lost = "GPU 1 (GPU-01fafafa-fafa-fafa-fafa-fafafafafafa) is lost: cuMemAlloc_v2: "
                       "CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access was encountered)";
    assert_error(gpu_device_health(gpu(1)), NRD_UNAVAILABLE, lost);
    assert_error(gpu_direct_get(gpu(1), 1, &buffer), NRD_UNAVAILABLE, lost);
    gpu_device_mark_lost(gpu(1), "again");
    assert_int_equal(first.told, 1);
    gpu_device_watch(gpu(1), &late); // told at once
    assert_int_equal(second.told, 1);
    assert_null(gpu_device_health(gpu(0)));
    gpu_device_unwatch(gpu(1), &watch);
    gpu_device_unwatch(gpu(1), &late);
}

static void watch_again(struct gpu_device *device, const char *reason, void *arg)
{
    (void)reason;
    gpu_device_watch(device, arg);
}

static void watcher_may_watch_from_its_call(void **state)
{
    (void)state;
    struct loss loss = {0};
    struct gpu_watch inner = {.lost = note_loss, .arg = &loss};
    struct gpu_watch outer = {.lost = watch_again, .arg = &inner};
    gpu_device_watch(gpu(0), &outer);
    gpu_device_mark_lost(gpu(0), "pulled out");
    assert_int_equal(loss.told, 1);
    assert_string_equal(loss.reason, "pulled out");
    gpu_device_unwatch(gpu(0), &outer);
    gpu_device_unwatch(gpu(0), &inner);
}

static void probe_sees_what_a_framework_ran_into(void **state)
{
    (void)state;
    struct gpu_stream *other = NULL;
    assert_ok(gpu_device_probe(gpu(0)));
    assert_int_equal(fake_cuda_calls(GPU_FN_primary_retain),
                     0); // a device that nobody uses is left alone
    assert_ok(gpu_stream_create(gpu(0), GPU_PRIORITY_NORMAL, &other));
    assert_ok(gpu_device_open(gpu(1)));
    fake_cuda_fail(GPU_FN_event_record, 0, 1, CU_OUT_OF_MEMORY);
    assert_ok(gpu_device_probe(gpu(0))); // not an error that lasts
    fake_cuda_lose(0, CU_LAUNCH_FAILED);
    assert_false(gpu_device_is_lost(gpu(0)));
    assert_error(gpu_device_probe(gpu(0)), NRD_UNAVAILABLE,
                 "GPU 0 (GPU-00fafafa-fafa-fafa-fafa-fafafafafafa) is lost: cuEventRecord: "
                 "CUDA_ERROR_LAUNCH_FAILED (unspecified launch failure)");
    assert_true(gpu_device_is_lost(gpu(0)));
    assert_ok(gpu_device_probe(gpu(1)));
    gpu_stream_destroy(other);
}

static void probe_of_a_framework_s_context_sees_its_fault_too(void **state)
{
    (void)state;
    struct cu_context *theirs = NULL;
    assert_int_equal(fake_cuda_driver()->primary_retain(&theirs, 2), CU_SUCCESS);
    assert_ok(gpu_device_probe(gpu(2)));
    fake_cuda_lose(2, CU_ECC_UNCORRECTABLE);
    struct nrd_status *status = gpu_device_probe(gpu(2));
    assert_int_equal(status_code(status), NRD_UNAVAILABLE);
    status_free(status);
    assert_int_equal(fake_cuda_driver()->primary_release(2), CU_SUCCESS);
}

static void mark_lost(void *arg)
{
    gpu_device_mark_lost(arg, "a thread says so");
}

static void device_is_lost_once_from_many_threads(void **state)
{
    (void)state;
    struct loss loss = {0};
    struct gpu_watch watch = {.lost = note_loss, .arg = &loss};
    struct thread threads[4];
    gpu_device_watch(gpu(0), &watch);
    for (int i = 0; i < 4; i++) {
        assert_ok(thread_start(&threads[i], "loser", 0, mark_lost, gpu(0)));
    }
    for (int i = 0; i < 4; i++) {
        thread_join(&threads[i]);
    }
    assert_int_equal(loss.told, 1);
    gpu_device_unwatch(gpu(0), &watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(driver_that_is_not_there_is_a_status),
        cmocka_unit_test(driver_that_fails_to_start_says_why),
        GPU_TEST(system_finds_devices_with_what_they_are),
        GPU_TEST(device_context_is_made_once_and_left_as_it_was),
        GPU_TEST(device_failure_names_call_error_and_device),
        GPU_TEST(call_that_a_driver_lacks_is_refused_by_name),
        GPU_TEST(peers_are_told_and_enabled_once),
        GPU_TEST(sticky_error_loses_the_device_and_tells_once),
        GPU_TEST(watcher_may_watch_from_its_call),
        GPU_TEST(probe_sees_what_a_framework_ran_into),
        GPU_TEST(probe_of_a_framework_s_context_sees_its_fault_too),
        GPU_TEST(device_is_lost_once_from_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
