// SPDX-License-Identifier: Apache-2.0
// Requests whose GPU is lost under them: executors, scheduler and a backend of the test, on pretended GPUs.
#include "tests/unit/base/unit.h"

#include "core/gpus.h"
#include "core/retry.h"
#include "tests/support/fake_cuda/fake_cuda.h"
#include "tests/unit/core/hot_client.h"

enum { GPUS = 3 };

// What the backend does when it loses its GPU, or only fails.
enum manner {
    ANSWERS, // each request with an error, and reports and releases it
    RETURNS, // the error from Execute
    SENDS_A_PART_BEFORE,
    RELEASES_BEFORE,
    ANSWERS_AND_RETURNS, // which it must not
};

static struct server_options *options;
static enum manner manner;
static int lose[GPUS]; // the CUresult by which the next Execute on that GPU loses it; 0: it works
static int lose_first; // the same for the next Execute on any GPU
static bool fail;      // the next Execute fails, and nothing is lost
static unsigned executed[GPUS];

static TRITONBACKEND_Response *part(TRITONBACKEND_Request *request)
{
    TRITONBACKEND_Response *response = NULL;
    TRITONBACKEND_Output *output = NULL;
    TRITONSERVER_MemoryType type = TRITONSERVER_MEMORY_CPU;
    const int64_t shape[2] = {1, FLOATS};
    int64_t id = 0;
    void *to = NULL;
    NO_ERROR(TRITONBACKEND_ResponseNew(&response, request));
    NO_ERROR(TRITONBACKEND_ResponseOutput(response, &output, "OUTPUT0", TRITONSERVER_TYPE_FP32,
                                          shape, 2));
    NO_ERROR(TRITONBACKEND_OutputBuffer(output, &to, BYTES, &type, &id));
    memset(to, 0xee, BYTES); // what is half done
    return response;
}

static void fail_one(TRITONBACKEND_ModelInstance *instance, TRITONBACKEND_Request *request,
                     TRITONSERVER_Error *error)
{
    const uint32_t final = TRITONSERVER_RESPONSE_COMPLETE_FINAL;
    if (manner == SENDS_A_PART_BEFORE) {
        NO_ERROR(TRITONBACKEND_ResponseSend(part(request), 0, NULL));
    }
    TRITONBACKEND_Response *response = part(request);
    if (manner == RELEASES_BEFORE) {
        NO_ERROR(TRITONBACKEND_RequestRelease(request, TRITONSERVER_REQUEST_RELEASE_ALL));
        NO_ERROR(TRITONBACKEND_ResponseSend(response, final, error));
        return;
    }
    NO_ERROR(TRITONBACKEND_ResponseSend(response, final, error));
    NO_ERROR(TRITONBACKEND_ModelInstanceReportStatistics(instance, request, false, 1, 2, 3, 4));
    if (manner != ANSWERS_AND_RETURNS) {
        NO_ERROR(TRITONBACKEND_RequestRelease(request, TRITONSERVER_REQUEST_RELEASE_ALL));
    }
}

static TRITONSERVER_Error *work(TRITONBACKEND_ModelInstance *instance,
                                TRITONBACKEND_Request **requests, const uint32_t count)
{
    int32_t gpu;
    NO_ERROR(TRITONBACKEND_ModelInstanceDeviceId(instance, &gpu));
    pthread_mutex_lock(&mutex);
    int result = lose[gpu] != 0 ? lose[gpu] : lose_first;
    bool fails = fail || result != 0;
    lose[gpu] = 0;
    lose_first = 0;
    fail = false;
    executed[gpu] += count;
    pthread_mutex_unlock(&mutex);
    if (result != 0) {
        fake_cuda_lose(gpu, result);
    }
    if (!fails) {
        for (uint32_t i = 0; i < count; i++) {
            NO_ERROR(TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[i], true, 1, 2,
                                                                 3, 4));
            answer(requests[i]);
        }
        return NULL;
    }
    TRITONSERVER_Error *error =
        TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, "the framework failed");
    for (uint32_t i = 0; i < count && manner != RETURNS; i++) {
        fail_one(instance, requests[i], error);
    }
    if (manner == RETURNS || manner == ANSWERS_AND_RETURNS) {
        return error;
    }
    TRITONSERVER_ErrorDelete(error);
    return NULL;
}

static int set_up(void **state)
{
    (void)state;
    const struct fake_cuda_options machine = {.count = GPUS};
    fake_cuda_start(&machine);
    gpu_driver_replace(fake_cuda_driver());
    memset(lose, 0, sizeof(lose));
    memset(executed, 0, sizeof(executed));
    manner = ANSWERS;
    lose_first = 0;
    fail = false;
    client_init();
    options = server_options_create();
    fixture.server.gpus = gpus_create(options);
    assert_int_equal(gpus_devices(fixture.server.gpus).gpu_count, GPUS);
    for (int i = 0; i < GPUS; i++) {
        fixture_check(gpu_device_open(gpus_device(fixture.server.gpus, i)));
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_fini();
    gpus_destroy(fixture.server.gpus);
    server_options_destroy(options);
    gpu_driver_replace(NULL);
    return (int)fake_cuda_stop(); // nothing may be left
}

// A model with an instance on each of so many GPUs.
static void start(unsigned gpus)
{
    fixture_start(&fixture, work, 0);
    for (unsigned i = 0; i < gpus; i++) {
        fixture_instance(&fixture, TRITONSERVER_INSTANCEGROUPKIND_GPU, (int32_t)i);
    }
}

// Each GPU is lost by its next Execute.
static void lose_next(unsigned gpus, int result)
{
    for (unsigned i = 0; i < gpus; i++) {
        lose[i] = result;
    }
}

static void assert_answered(unsigned i)
{
    assert_int_equal(calls[i].responses, 1);
    assert_int_equal(calls[i].finals, 1);
    assert_int_equal(calls[i].releases, 1);
    assert_string_equal(calls[i].error, "");
    assert_true(calls[i].output[0] == (float)i);
}

static void assert_failed(unsigned i, const char *text)
{
    assert_int_equal(calls[i].finals, 1);
    assert_int_equal(calls[i].releases, 1);
    assert_non_null(strstr(calls[i].error, text));
}

static struct stats_snapshot counted(void)
{
    struct stats_snapshot stats;
    stats_snapshot(fixture.model.stats, &stats);
    return stats;
}

// ---- tests ----------------------------------------------------------------------------------------

static void try_again(enum manner how)
{
    manner = how;
    start(2);
    lose_first = CU_ILLEGAL_ADDRESS;
    for (unsigned i = 0; i < 40; i++) {
        infer(i, 1);
    }
    await(40);
    for (unsigned i = 0; i < 40; i++) {
        assert_answered(i);
    }
    int lost = gpus_is_lost(fixture.server.gpus, 0) ? 0 : 1;
    assert_int_equal(gpus_lost(fixture.server.gpus), 1 << lost);
    assert_true(executed[lost] > 0);
    assert_int_equal(executed[lost] + executed[1 - lost],
                     40 + atomic_load(&fixture.model.retried_requests));
    assert_int_equal(counted().success.count, 40);
    assert_int_equal(counted().fail.count, 0);
}

static void requests_of_a_lost_gpu_are_executed_on_another(void **state)
{
    (void)state;
    try_again(ANSWERS);
}

static void requests_that_execute_returned_are_too(void **state)
{
    (void)state;
    try_again(RETURNS);
}

static void requests_answered_and_returned_have_one_answer(void **state)
{
    (void)state;
    try_again(ANSWERS_AND_RETURNS);
}

static void second_loss_is_told(void **state)
{
    (void)state;
    start(3);
    lose_next(3, CU_LAUNCH_FAILED);
    infer(0, 1);
    await(1);
    assert_failed(0, "the framework failed");
    assert_int_equal(executed[0] + executed[1] + executed[2], 2); // once more, and not a third time
    assert_int_equal(calls[0].responses, 1);
    assert_int_equal(counted().fail.count, 1);
}

static void assertion_speaks_against_the_data(void **state)
{
    (void)state;
    start(2);
    lose_next(2, CU_ASSERT);
    infer(0, 1);
    await(1);
    assert_failed(0, "the framework failed");
    assert_int_equal(executed[0] + executed[1], 1);
    assert_int_equal(counted().fail.count, 1);
}

static void error_on_a_gpu_that_works_is_told(void **state)
{
    (void)state;
    start(2);
    fail = true;
    infer(0, 1);
    await(1);
    assert_failed(0, "the framework failed");
    infer(1, 1);
    await(2);
    assert_answered(1);
    assert_int_equal(gpus_lost(fixture.server.gpus), 0);
    assert_int_equal(atomic_load(&fixture.model.retried_requests), 0);
}

static void answer_that_has_begun_is_not_begun_again(void **state)
{
    (void)state;
    manner = SENDS_A_PART_BEFORE;
    start(2);
    lose_next(2, CU_ILLEGAL_ADDRESS);
    infer(0, 1);
    await(1);
    assert_failed(0, "the framework failed");
    assert_int_equal(calls[0].responses, 2);
    assert_int_equal(executed[0] + executed[1], 1);
}

static void request_that_was_released_is_gone(void **state)
{
    (void)state;
    manner = RELEASES_BEFORE;
    start(2);
    lose_next(2, CU_ILLEGAL_ADDRESS);
    infer(0, 1);
    await(1);
    assert_failed(0, "the framework failed");
    assert_int_equal(executed[0] + executed[1], 1);
}

static void input_that_was_overwritten_is_gone(void **state)
{
    (void)state;
    start(2);
    lose_next(2, CU_ILLEGAL_ADDRESS);
    TRITONSERVER_InferenceRequest *request = new_request(&calls[0], 1);
    NO_ERROR(TRITONSERVER_InferenceRequestRemoveAllInputData(request, "INPUT0"));
    NO_ERROR(TRITONSERVER_InferenceRequestAppendInputData(request, "INPUT0", calls[0].output, BYTES,
                                                          TRITONSERVER_MEMORY_CPU, 0));
    NO_ERROR(send(request));
    await(1);
    assert_failed(0, "the framework failed");
    assert_int_equal(executed[0] + executed[1], 1);
}

static void input_in_the_memory_of_a_lost_gpu_is_refused(void **state)
{
    (void)state;
    start(2);
    gpu_device_mark_lost(gpus_device(fixture.server.gpus, 0), "pulled out");
    TRITONSERVER_InferenceRequest *request = new_request(&calls[0], 1);
    NO_ERROR(TRITONSERVER_InferenceRequestRemoveAllInputData(request, "INPUT0"));
    NO_ERROR(TRITONSERVER_InferenceRequestAppendInputData(request, "INPUT0", calls[0].input, BYTES,
                                                          TRITONSERVER_MEMORY_GPU, 0));
    TRITONSERVER_Error *error = send(request);
    assert_string_equal(TRITONSERVER_ErrorMessage(error),
                        "[request id: <id_unknown>] input 'INPUT0' lies in the memory of a GPU "
                        "that is lost");
    assert_int_equal(TRITONSERVER_ErrorCode(error), TRITONSERVER_ERROR_UNAVAILABLE);
    TRITONSERVER_ErrorDelete(error);
    NO_ERROR(TRITONSERVER_InferenceRequestDelete(request));
    infer(1, 1); // GPU 0 takes none of it any more
    infer(0, 1);
    await(2);
    assert_answered(1);
    assert_int_equal(executed[0], 0);
}

static void request_without_a_device_left_waits_and_is_refused(void **state)
{
    (void)state;
    start(1);
    lose[0] = CU_ECC_UNCORRECTABLE;
    infer(0, 1);
    while (scheduler_pending(fixture.model.scheduler) == 0 ||
           atomic_load(&fixture.model.retried_requests) == 0) {
    }
    infer(1, 1);
    assert_int_equal(calls[0].finals, 0);
    scheduler_retire_device(fixture.model.scheduler, TRITONSERVER_INSTANCEGROUPKIND_GPU, 0);
    await(2);
    assert_failed(0, "has no device in service: GPU 0 is out of service");
    assert_failed(1, "has no device in service: GPU 0 is out of service");
    assert_int_equal(executed[0], 1);
}

static void instance_made_meanwhile_takes_what_waits(void **state)
{
    (void)state;
    start(1);
    lose[0] = CU_ILLEGAL_ADDRESS;
    infer(0, 1);
    infer(1, 1);
    while (atomic_load(&fixture.model.retried_requests) == 0) {
    }
    fixture_instance(&fixture, TRITONSERVER_INSTANCEGROUPKIND_GPU, 2);
    scheduler_retire_device(fixture.model.scheduler, TRITONSERVER_INSTANCEGROUPKIND_GPU, 0);
    await(2);
    assert_answered(0);
    assert_answered(1);
    assert_int_equal(executed[2], 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_of_a_lost_gpu_are_executed_on_another),
        TEST(requests_that_execute_returned_are_too),
        TEST(requests_answered_and_returned_have_one_answer),
        TEST(second_loss_is_told),
        TEST(assertion_speaks_against_the_data),
        TEST(error_on_a_gpu_that_works_is_told),
        TEST(answer_that_has_begun_is_not_begun_again),
        TEST(request_that_was_released_is_gone),
        TEST(input_that_was_overwritten_is_gone),
        TEST(input_in_the_memory_of_a_lost_gpu_is_refused),
        TEST(request_without_a_device_left_waits_and_is_refused),
        TEST(instance_made_meanwhile_takes_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
