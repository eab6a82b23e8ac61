// SPDX-License-Identifier: Apache-2.0
// A model on several devices, through scheduler, executors and a backend that waits at a gate of its device.
#include "tests/unit/base/unit.h"

#include <unistd.h>

#include "core/device_usage.h"
#include "nereid/ext/core.h"
#include "tests/unit/core/hot_client.h"

enum { GPUS = 4 };

static bool shut[GPUS];            // the gate of each GPU
static useconds_t nap_us[GPUS];    // how long an Execute takes
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
    if (nap_us[gpu] != 0) {
        usleep(nap_us[gpu]);
    }
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
    memset(nap_us, 0, sizeof(nap_us));
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

// ---- routed ---------------------------------------------------------------------------------------

static void slow_device_is_left_out_while_the_fast_one_is_idle(void **state)
{
    (void)state;
    nap_us[0] = 20000;
    nap_us[1] = 200;
    start(2);
    for (unsigned i = 0; i < 60; i++) {
        infer(i, 1);
        await(i + 1);
    }
    // Its first two batches, and now and then one when the machine was busy with something else.
    assert_in_range(answered_by[0], 2, 10);
}

static void slow_device_helps_with_a_long_queue(void **state)
{
    (void)state;
    nap_us[0] = 4000;
    nap_us[1] = 1000;
    start(2);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 60; i++) {
            calls[i].finals = 0;
            calls[i].releases = 0;
            infer(i, 1);
        }
        await(60);
    }
    // One to four would be 48 of 240.
    assert_in_range(answered_by[0], 12, 110);
}

// Its input is said to be 64 MB on GPU `gpu`, which nobody reads.
static void infer_far(unsigned i, int64_t gpu)
{
    const int64_t shape[1] = {1 << 24};
    TRITONSERVER_InferenceRequest *request = new_request(&calls[i], 1);
    NO_ERROR(TRITONSERVER_InferenceRequestRemoveAllInputs(request));
    NO_ERROR(
        TRITONSERVER_InferenceRequestAddInput(request, "INPUT0", TRITONSERVER_TYPE_FP32, shape, 1));
    NO_ERROR(TRITONSERVER_InferenceRequestAppendInputData(
        request, "INPUT0", calls[i].input, (size_t)4 << 24, TRITONSERVER_MEMORY_GPU, gpu));
    NO_ERROR(send(request));
}

static TRITONSERVER_Error *refuse_far(TRITONBACKEND_ModelInstance *instance,
                                      TRITONBACKEND_Request **requests, const uint32_t count)
{
    TRITONBACKEND_Input *input;
    uint64_t size;
    int32_t gpu;
    NO_ERROR(TRITONBACKEND_RequestInputByIndex(requests[0], 0, &input));
    NO_ERROR(TRITONBACKEND_InputProperties(input, NULL, NULL, NULL, NULL, &size, NULL));
    if (size == BYTES) {
        return work(instance, requests, count);
    }
    NO_ERROR(TRITONBACKEND_ModelInstanceDeviceId(instance, &gpu));
    pthread_mutex_lock(&mutex);
    answered_by[gpu]++;
    pthread_mutex_unlock(&mutex);
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNSUPPORTED, "too far");
}

static void device_of_the_data_is_preferred(void **state)
{
    (void)state;
    int64_t any = -1;
    fixture_init(&fixture, 0);
    fixture_input(&fixture, "INPUT0", TRITONSERVER_TYPE_FP32, 1, &any);
    fixture_output(&fixture, "OUTPUT0", TRITONSERVER_TYPE_FP32, 1, &any);
    fixture_start(&fixture, refuse_far, 0);
    for (int32_t i = 0; i < 3; i++) {
        nap_us[i] = 300;
        fixture_instance(&fixture, TRITONSERVER_INSTANCEGROUPKIND_GPU, i);
    }
    for (unsigned i = 0; i < 20; i++) {
        infer(i, 1);
        await(i + 1);
    }
    memset(answered_by, 0, sizeof(answered_by));
    for (unsigned i = 20; i < 60; i++) {
        infer_far(i, 1);
        await(i + 1);
        assert_int_equal(calls[i].code, TRITONSERVER_ERROR_UNSUPPORTED);
    }
    assert_in_range(answered_by[1], 36, 40);
}

// A slow device takes from behind the front of the queue, and its answers do not overtake.
static void order_is_preserved_across_devices(void **state)
{
    (void)state;
    nap_us[0] = 3000;
    nap_us[1] = 500;
    fixture_dynamic(&fixture);
    fixture.dynamic.preserve_ordering = true;
    fixture.config.max_batch_size = 2;
    start(2);
    for (unsigned round = 0; round < 4; round++) {
        order = 0;
        for (unsigned i = 0; i < 60; i++) {
            calls[i].finals = calls[i].releases = calls[i].responses = 0;
            infer(i, 1);
        }
        await(60);
        for (unsigned i = 0; i < 60; i++) {
            assert_int_equal(calls[i].order, (int)i);
        }
    }
    assert_true(answered_by[0] > 4);
}

static void routing_allocates_nothing_in_steady_state(void **state)
{
    (void)state;
    start(3);
    uint64_t before = 0;
    for (unsigned round = 0; round < 300; round++) {
        if (round == 100) {
            before = mem_count();
        }
        for (unsigned i = 0; i < 20; i++) {
            calls[i].finals = calls[i].releases = 0;
            infer(i, 1);
        }
        await(20);
    }
    // 4000 requests; pools may still grow, up to what 20 requests can need at once.
    assert_in_range(mem_count() - before, 0, 40);
}

// ---- staged ---------------------------------------------------------------------------------------

static TRITONBACKEND_Request *held[MAX_REQUESTS];
static unsigned held_count;
static bool finalized;

// Returns at once; the test answers.
static TRITONSERVER_Error *stage(TRITONBACKEND_ModelInstance *instance,
                                 TRITONBACKEND_Request **requests, const uint32_t count)
{
    int32_t gpu;
    NO_ERROR(TRITONBACKEND_ModelInstanceDeviceId(instance, &gpu));
    pthread_mutex_lock(&mutex);
    begun[gpu]++;
    for (uint32_t i = 0; i < count; i++) {
        held[held_count++] = requests[i];
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static TRITONSERVER_Error *allow_two(TRITONBACKEND_ModelInstance *instance)
{
    return nereid_instance_stage(instance, 2);
}

static TRITONSERVER_Error *note_finalize(TRITONBACKEND_ModelInstance *instance)
{
    (void)instance;
    pthread_mutex_lock(&mutex);
    finalized = true;
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static void start_staged(unsigned gpus)
{
    held_count = 0;
    finalized = false;
    fixture.backend.instance_initialize = allow_two;
    fixture.backend.instance_finalize = note_finalize;
    fixture_start(&fixture, stage, 0);
    for (unsigned i = 0; i < gpus; i++) {
        fixture_instance(&fixture, TRITONSERVER_INSTANCEGROUPKIND_GPU, (int32_t)i);
    }
}

static void answer_held(unsigned i)
{
    pthread_mutex_lock(&mutex);
    TRITONBACKEND_Request *request = held[i];
    pthread_mutex_unlock(&mutex);
    answer(request);
}

static void staging_backend_has_two_batches_and_never_three(void **state)
{
    (void)state;
    fixture_dynamic(&fixture);
    start_staged(1);
    infer(0, 1);
    await_begun(0, 1);
    infer(1, 1);
    await_begun(0, 2);
    for (unsigned i = 2; i < 7; i++) {
        infer(i, 1);
    }
    assert_int_equal(scheduler_pending(fixture.model.scheduler), 5);
    answer_held(0);
    await_begun(0, 3); // all that waited, as one batch
    assert_int_equal(held_count, 7);
    infer(7, 1);
    assert_int_equal(scheduler_pending(fixture.model.scheduler), 1);
    for (unsigned i = 1; i < 7; i++) {
        answer_held(i);
    }
    await_begun(0, 4);
    answer_held(7);
    await(8);
    assert_int_equal(begun[0], 4);
}

static void staged_batches_go_to_the_idle_device_first(void **state)
{
    (void)state;
    start_staged(2);
    // Both have done two batches of a few us, and none is known to be slow.
    for (unsigned i = 0; i < 8; i++) {
        infer(i, 1);
        pthread_mutex_lock(&mutex);
        while (held_count <= i) {
            pthread_cond_wait(&changed, &mutex);
        }
        pthread_mutex_unlock(&mutex);
        usleep(1000);
        answer_held(i);
        await(i + 1);
    }
    usleep(2000);
    unsigned before[2] = {begun[0], begun[1]};
    for (unsigned i = 8; i < 12; i++) {
        infer(i, 1);
    }
    await_begun(0, before[0] + 2);
    await_begun(1, before[1] + 2);
    infer(12, 1);
    assert_int_equal(scheduler_pending(fixture.model.scheduler), 1);
    for (unsigned i = 8; i < 12; i++) {
        answer_held(i);
    }
    pthread_mutex_lock(&mutex);
    while (held_count < 13) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
    answer_held(12);
    await(13);
}

static void destroy_first(void *arg)
{
    (void)arg;
    instance_destroy(fixture.instances[0]);
}

static void instance_is_finalized_after_its_staged_batches(void **state)
{
    (void)state;
    struct thread thread = {0};
    start_staged(1);
    infer(0, 1);
    infer(1, 1);
    await_begun(0, 2);
    fixture_check(thread_start(&thread, "destroy", 0, destroy_first, NULL));
    usleep(5000);
    pthread_mutex_lock(&mutex);
    assert_false(finalized);
    pthread_mutex_unlock(&mutex);
    answer_held(1);
    answer_held(0);
    await(2);
    thread_join(&thread);
    assert_true(finalized);
    fixture.model.instance_count = 0;
}

static void retired_device_gets_no_staged_batch(void **state)
{
    (void)state;
    start_staged(1);
    infer(0, 1);
    infer(1, 1);
    await_begun(0, 2);
    infer(2, 1);
    retire(0);
    assert_int_equal(calls[2].code, TRITONSERVER_ERROR_UNAVAILABLE);
    answer_held(0);
    answer_held(1);
    await(3);
    restore(0);
    infer(3, 1);
    await_begun(0, 3);
    answer_held(2);
    await(4);
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
        TEST(slow_device_is_left_out_while_the_fast_one_is_idle),
        TEST(slow_device_helps_with_a_long_queue),
        TEST(device_of_the_data_is_preferred),
        TEST(order_is_preserved_across_devices),
        TEST(routing_allocates_nothing_in_steady_state),
        TEST(staging_backend_has_two_batches_and_never_three),
        TEST(staged_batches_go_to_the_idle_device_first),
        TEST(instance_is_finalized_after_its_staged_batches),
        TEST(retired_device_gets_no_staged_batch),
        TEST(delay_is_kept_when_its_keeper_is_retired),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
