// SPDX-License-Identifier: Apache-2.0
// A model on several devices, through scheduler, executors and a backend that waits at a gate of its device.
#include "tests/unit/base/unit.h"

#include "core/device_usage.h"
#include "tests/unit/core/hot_client.h"

enum { GPUS = 4 };

static bool shut[GPUS];            // the gate of each GPU
static unsigned begun[GPUS];       // Executes
static unsigned answered_by[GPUS]; // requests

static TRITONSERVER_Error *work(TRITONBACKEND_ModelInstance *instance,
                                TRITONBACKEND_Request **requests, const uint32_t count)
{
    int32_t gpu;
    NO_ERROR(TRITONBACKEND_ModelInstanceDeviceId(instance, &gpu));
    pthread_mutex_lock(&mutex);
    begun[gpu]++;
    answered_by[gpu] += count;
    pthread_cond_broadcast(&changed);
    while (shut[gpu]) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
    uint64_t now = clock_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        NO_ERROR(TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[i], true, now, now,
                                                             now, now));
        answer(requests[i]);
    }
    return TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, count, now, now, now + 100,
                                                            now + 100);
}

static void set_gate(int32_t gpu, bool is_shut)
{
    pthread_mutex_lock(&mutex);
    shut[gpu] = is_shut;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void await_begun(int32_t gpu, unsigned count)
{
    pthread_mutex_lock(&mutex);
    while (begun[gpu] < count) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
}

static int set_up(void **state)
{
    (void)state;
    memset(shut, 0, sizeof(shut));
    memset(begun, 0, sizeof(begun));
    memset(answered_by, 0, sizeof(answered_by));
    client_init();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_fini();
    return 0;
}

static void start(unsigned gpus)
{
    fixture_start(&fixture, work, 0);
    for (unsigned i = 0; i < gpus; i++) {
        fixture_instance(&fixture, TRITONSERVER_INSTANCEGROUPKIND_GPU, (int32_t)i);
    }
}

static void retire(int32_t gpu)
{
    scheduler_retire_device(fixture.model.scheduler, TRITONSERVER_INSTANCEGROUPKIND_GPU, gpu);
}

static void restore(int32_t gpu)
{
    scheduler_restore_device(fixture.model.scheduler, TRITONSERVER_INSTANCEGROUPKIND_GPU, gpu);
}

static void assert_in_service(uint32_t expected_all, uint32_t expected)
{
    uint32_t all;
    uint32_t in_service;
    scheduler_count_devices(fixture.model.scheduler, &all, &in_service);
    assert_int_equal(all, expected_all);
    assert_int_equal(in_service, expected);
}

// ---- out of service -------------------------------------------------------------------------------

static void retired_device_takes_no_more(void **state)
{
    (void)state;
    start(2);
    retire(0);
    retire(0);
    retire(3); // has no instance
    assert_in_service(2, 1);
    for (unsigned i = 0; i < 20; i++) {
        infer(i, 1);
    }
    await(20);
    assert_int_equal(answered_by[0], 0);
    assert_int_equal(answered_by[1], 20);
}

static void what_waits_for_a_retired_device_goes_to_the_others(void **state)
{
    (void)state;
    set_gate(0, true);
    set_gate(1, true);
    start(2);
    infer(0, 1);
    infer(1, 1);
    await_begun(0, 1);
    await_begun(1, 1);
    for (unsigned i = 2; i < 20; i++) {
        infer(i, 1);
    }
    retire(1);
    set_gate(1, false); // what it executes it finishes
    set_gate(0, false);
    await(20);
    assert_int_equal(answered_by[0], 19);
    assert_int_equal(answered_by[1], 1);
}

static void last_device_retired_answers_unavailable(void **state)
{
    (void)state;
    set_gate(0, true);
    set_gate(1, true);
    start(2);
    infer(0, 1);
    infer(1, 1);
    await_begun(0, 1);
    await_begun(1, 1);
    infer(2, 1);
    retire(0);
    assert_int_equal(calls[2].finals, 0);
    retire(1);
    const char *text = "model 'm' has no device in service: GPU 0, GPU 1 are out of service";
    assert_int_equal(calls[2].finals, 1);
    assert_int_equal(calls[2].code, TRITONSERVER_ERROR_UNAVAILABLE);
    assert_string_equal(calls[2].error, text);
    TRITONSERVER_InferenceRequest *request = new_request(&calls[3], 1);
    TRITONSERVER_Error *error = send(request);
    assert_non_null(strstr(TRITONSERVER_ErrorMessage(error), text));
    assert_int_equal(TRITONSERVER_ErrorCode(error), TRITONSERVER_ERROR_UNAVAILABLE);
    TRITONSERVER_ErrorDelete(error);
    NO_ERROR(TRITONSERVER_InferenceRequestDelete(request));
    set_gate(0, false);
    set_gate(1, false);
    await(3);
    assert_in_service(2, 0);
}

static void restored_device_serves_again(void **state)
{
    (void)state;
    start(1);
    infer(0, 1);
    await(1);
    retire(0);
    assert_in_service(1, 0);
    restore(0);
    assert_in_service(1, 1);
    for (unsigned i = 1; i < 5; i++) {
        infer(i, 1);
    }
    await(5);
    assert_int_equal(answered_by[0], 5);
}

static void usage_is_counted_by_device(void **state)
{
    (void)state;
    set_gate(0, true);
    start(2);
    fixture_instance(&fixture, TRITONSERVER_INSTANCEGROUPKIND_GPU, 1);
    retire(1);
    infer(0, 2);
    await_begun(0, 1);
    infer(1, 2);
    infer(2, 2);
    struct device_usage usage[3];
    assert_int_equal(model_device_usage(&fixture.model, usage, 1), 1);
    assert_int_equal(model_device_usage(&fixture.model, usage, 3), 2);
    assert_int_equal(usage[0].device_id, 0);
    assert_int_equal(usage[0].queued_requests, 2);
    assert_true(usage[0].in_service);
    assert_int_equal(usage[1].device_id, 1);
    assert_int_equal(usage[1].queued_requests, 0);
    assert_int_equal(usage[1].instances, 2);
    assert_false(usage[1].in_service);
    set_gate(0, false);
    await(3);
    // The counters of the last batch follow its answer.
    do {
        model_device_usage(&fixture.model, usage, 3);
    } while (usage[0].done.batches < 3);
    assert_int_equal(usage[0].done.requests, 3);
    assert_int_equal(usage[0].done.rows, 6);
    assert_int_equal(usage[0].done.busy_ns, 300);
    assert_int_equal(usage[1].done.batches, 0);
}

// The delay of a batch is kept by an idle executor; when its device goes, another one has to.
static void delay_is_kept_when_its_keeper_is_retired(void **state)
{
    (void)state;
    fixture_dynamic(&fixture);
    fixture.dynamic.max_queue_delay_microseconds = 20000;
    start(2);
    infer(0, 1);
    retire(0);
    restore(0);
    retire(1);
    await(1);
    assert_string_equal(calls[0].error, "");
    assert_int_equal(begun[0], 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(retired_device_takes_no_more),
        TEST(what_waits_for_a_retired_device_goes_to_the_others),
        TEST(last_device_retired_answers_unavailable),
        TEST(restored_device_serves_again),
        TEST(usage_is_counted_by_device),
        TEST(delay_is_kept_when_its_keeper_is_retired),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
