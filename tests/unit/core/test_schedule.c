// SPDX-License-Identifier: Apache-2.0
// Requests through scheduler, executor and a backend that is a function here.
#include "tests/unit/base/unit.h"

#include <pthread.h>
#include <unistd.h>

#include "nereid/ext/core.h"
#include "tests/unit/core/hot_client.h"

// The backend's side of the tests.
static bool gate_open;
static unsigned executes;
static unsigned batch_sizes[MAX_REQUESTS];
static TRITONBACKEND_Request *held[MAX_REQUESTS];
static unsigned held_count;

// ---- backends -------------------------------------------------------------------------------------

static void wait_at_gate(uint32_t count)
{
    pthread_mutex_lock(&mutex);
    batch_sizes[executes++] = count;
    pthread_cond_broadcast(&changed);
    while (!gate_open) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
}

static void open_gate(void)
{
    pthread_mutex_lock(&mutex);
    gate_open = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static void await_executes(unsigned count)
{
    pthread_mutex_lock(&mutex);
    while (executes < count) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
}

static TRITONSERVER_Error *echo(TRITONBACKEND_ModelInstance *instance,
                                TRITONBACKEND_Request **requests, const uint32_t count)
{
    uint64_t start = clock_now_ns();
    wait_at_gate(count);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t now = clock_now_ns();
        NO_ERROR(TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[i], true, start,
                                                             start, now, now));
        answer(requests[i]);
    }
    uint64_t now = clock_now_ns();
    return TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, count, start, start, now,
                                                            now);
}

static TRITONSERVER_Error *refuse(TRITONBACKEND_ModelInstance *instance,
                                  TRITONBACKEND_Request **requests, const uint32_t count)
{
    (void)instance;
    (void)requests;
    wait_at_gate(count);
    return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, "no luck today");
}

static TRITONSERVER_Error *hold(TRITONBACKEND_ModelInstance *instance,
                                TRITONBACKEND_Request **requests, const uint32_t count)
{
    (void)instance;
    pthread_mutex_lock(&mutex);
    for (uint32_t i = 0; i < count; i++) {
        held[held_count++] = requests[i];
    }
    pthread_mutex_unlock(&mutex);
    wait_at_gate(count);
    return NULL;
}

// Releases first, then streams three responses through a factory and ends with flags alone.
static TRITONSERVER_Error *stream(TRITONBACKEND_ModelInstance *instance,
                                  TRITONBACKEND_Request **requests, const uint32_t count)
{
    (void)instance;
    for (uint32_t i = 0; i < count; i++) {
        TRITONBACKEND_ResponseFactory *factory;
        NO_ERROR(TRITONBACKEND_ResponseFactoryNew(&factory, requests[i]));
        NO_ERROR(TRITONBACKEND_RequestRelease(requests[i], TRITONSERVER_REQUEST_RELEASE_ALL));
        for (int r = 0; r < 3; r++) {
            TRITONBACKEND_Response *response;
            NO_ERROR(TRITONBACKEND_ResponseNewFromFactory(&response, factory));
            NO_ERROR(TRITONBACKEND_ResponseSetIntParameter(response, "turn", r));
            NO_ERROR(TRITONBACKEND_ResponseSend(response, 0, NULL));
        }
        NO_ERROR(
            TRITONBACKEND_ResponseFactorySendFlags(factory, TRITONSERVER_RESPONSE_COMPLETE_FINAL));
        NO_ERROR(TRITONBACKEND_ResponseFactoryDelete(factory));
    }
    return NULL;
}

// ---- around each test -----------------------------------------------------------------------------

static int set_up(void **state)
{
    (void)state;
    memset(batch_sizes, 0, sizeof(batch_sizes));
    executes = 0;
    held_count = 0;
    gate_open = true;
    client_init();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_fini();
    return 0;
}

// ---- tests ----------------------------------------------------------------------------------------

static void direct_answers_each_request_alone(void **state)
{
    (void)state;
    fixture_start(&fixture, echo, 2);
    for (unsigned i = 0; i < 20; i++) {
        infer(i, 2);
    }
    await(20);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(calls[i].responses, 1);
        assert_int_equal(batch_sizes[i], 1);
        assert_true(calls[i].output[0] == (float)i);
    }
}

static void batch_is_made_when_an_instance_becomes_free(void **state)
{
    (void)state;
    fixture_dynamic(&fixture);
    gate_open = false;
    fixture_start(&fixture, echo, 1);
    infer(0, 1);
    await_executes(1);
    for (unsigned i = 1; i < 8; i++) {
        infer(i, 1);
    }
    assert_int_equal(scheduler_pending(fixture.model.scheduler), 7);
    open_gate();
    await(8);
    assert_int_equal(executes, 2);
    assert_int_equal(batch_sizes[1], 7);
}

static void delay_is_kept_by_an_idle_executor(void **state)
{
    (void)state;
    fixture_dynamic(&fixture);
    // So long that a busy machine lets two requests come within it, and a whole batch be answered before it is over.
    fixture.dynamic.max_queue_delay_microseconds = 500000;
    fixture_start(&fixture, echo, 3);
    uint64_t before = clock_now_ns();
    infer(0, 1);
    infer(1, 1);
    await(2);
    assert_true(clock_now_ns() - before >= 500000000);
    assert_int_equal(executes, 1);
    assert_int_equal(batch_sizes[0], 2);
    // A full batch does not wait.
    before = clock_now_ns();
    for (unsigned i = 2; i < 10; i++) {
        infer(i, 1);
    }
    await(10);
    assert_true(clock_now_ns() - before < 500000000);
    assert_int_equal(batch_sizes[1], 8);
}

static void execute_error_answers_all(void **state)
{
    (void)state;
    fixture_dynamic(&fixture);
    gate_open = false;
    fixture_start(&fixture, refuse, 1);
    infer(0, 1);
    await_executes(1);
    for (unsigned i = 1; i < 5; i++) {
        infer(i, 1);
    }
    open_gate();
    await(5);
    for (unsigned i = 0; i < 5; i++) {
        assert_string_equal(calls[i].error, "no luck today");
        assert_int_equal(calls[i].releases, 1);
    }
    struct stats_snapshot stats;
    stats_snapshot(fixture.model.stats, &stats);
    assert_int_equal(stats.failures[FAIL_REASON_BACKEND], 5);
    assert_int_equal(stats.success.count, 0);
}

static void full_queue_refuses_and_leaves_the_request_with_its_owner(void **state)
{
    (void)state;
    fixture_dynamic(&fixture);
    fixture.policy.max_queue_size = 1;
    gate_open = false;
    fixture_start(&fixture, echo, 1);
    infer(0, 1);
    await_executes(1);
    infer(1, 1);
    TRITONSERVER_InferenceRequest *request = new_request(&calls[2], 1);
    TRITONSERVER_Error *error = send(request);
    assert_int_equal(TRITONSERVER_ErrorCode(error), TRITONSERVER_ERROR_UNAVAILABLE);
    assert_string_equal(TRITONSERVER_ErrorMessage(error),
                        "[request id: <id_unknown>] Exceeds maximum queue size");
    TRITONSERVER_ErrorDelete(error);
    open_gate();
    await(2);
    NO_ERROR(send(request)); // the same one, again
    await(3);
    struct stats_snapshot stats;
    stats_snapshot(fixture.model.stats, &stats);
    assert_int_equal(stats.failures[FAIL_REASON_REJECTED], 1);
    assert_int_equal(stats.success.count, 3);
}

static void cancelled_request_is_answered_without_execute(void **state)
{
    (void)state;
    fixture_dynamic(&fixture);
    gate_open = false;
    fixture_start(&fixture, echo, 1);
    infer(0, 1);
    await_executes(1);
    infer(1, 1);
    infer(2, 1);
    NO_ERROR(TRITONSERVER_InferenceRequestCancel(calls[1].request));
    open_gate();
    await(3);
    assert_int_equal(calls[1].code, TRITONSERVER_ERROR_CANCELLED);
    assert_int_equal(calls[2].code, 0);
    assert_int_equal(batch_sizes[1], 1);
    struct stats_snapshot stats;
    stats_snapshot(fixture.model.stats, &stats);
    assert_int_equal(stats.failures[FAIL_REASON_CANCELED], 1);
}

static void expired_request_is_rejected(void **state)
{
    (void)state;
    fixture_dynamic(&fixture);
    fixture.policy.default_timeout_microseconds = 200000; // the first has to begin within it
    gate_open = false;
    fixture_start(&fixture, echo, 1);
    infer(0, 1);
    await_executes(1);
    infer(1, 1);
    usleep(210000);
    open_gate();
    await(2);
    assert_string_equal(calls[1].error, "Request timeout expired");
    assert_int_equal(calls[1].code, TRITONSERVER_ERROR_UNAVAILABLE);
}

static void expired_request_is_rejected_while_all_are_busy(void **state)
{
    (void)state;
    fixture_dynamic(&fixture);
    fixture.policy.default_timeout_microseconds = 200000; // the first has to begin within it
    gate_open = false;
    fixture_start(&fixture, echo, 1);
    infer(0, 1);
    await_executes(1);
    infer(1, 1);
    pthread_mutex_lock(&mutex);
    while (calls[1].releases == 0) {
        pthread_cond_wait(&changed, &mutex); // the gate is still shut
    }
    pthread_mutex_unlock(&mutex);
    assert_string_equal(calls[1].error, "Request timeout expired");
    open_gate();
    await(2);
}

static void preserve_ordering_holds(void **state)
{
    (void)state;
    fixture_dynamic(&fixture);
    fixture.dynamic.preserve_ordering = true;
    fixture_start(&fixture, hold, 1);
    infer(0, 1);
    await_executes(1);
    for (unsigned i = 1; i < 6; i++) {
        infer(i, 1);
    }
    for (;;) {
        pthread_mutex_lock(&mutex);
        unsigned count = held_count;
        pthread_mutex_unlock(&mutex);
        if (count == 6) {
            break;
        }
        usleep(100);
    }
    for (unsigned i = 6; i-- > 0;) {
        answer(held[i]); // the last one first
        if (i > 0) {
            assert_int_equal(order, 0);
        }
    }
    await(6);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(calls[i].order, i);
    }
}

static void decoupled_responses_outlive_their_request(void **state)
{
    (void)state;
    fixture_start(&fixture, stream, 1);
    infer(0, 1);
    infer(1, 1);
    await(2);
    assert_int_equal(calls[0].responses, 3);
    assert_int_equal(calls[1].responses, 3);
    assert_int_equal(calls[1].finals, 1);
}

static void stopped_scheduler_refuses(void **state)
{
    (void)state;
    fixture_start(&fixture, echo, 1);
    scheduler_stop(fixture.model.scheduler);
    TRITONSERVER_InferenceRequest *request = new_request(&calls[0], 1);
    TRITONSERVER_Error *error = send(request);
    assert_string_equal(TRITONSERVER_ErrorMessage(error),
                        "[request id: <id_unknown>] Server is stopping, scheduler for model has "
                        "stopped accepting new inference requests");
    TRITONSERVER_ErrorDelete(error);
    NO_ERROR(TRITONSERVER_InferenceRequestDelete(request));
}

static void held_back_scheduler_waits_for_its_number(void **state)
{
    (void)state;
    setenv("TRITONSERVER_DELAY_SCHEDULER", "4", 1);
    fixture_dynamic(&fixture);
    fixture_start(&fixture, echo, 2);
    unsetenv("TRITONSERVER_DELAY_SCHEDULER");
    for (unsigned i = 0; i < 3; i++) {
        infer(i, 1);
    }
    usleep(5000);
    assert_int_equal(scheduler_pending(fixture.model.scheduler), 3);
    infer(3, 1);
    await(4);
    assert_int_equal(executes, 1);
    assert_int_equal(batch_sizes[0], 4);
}

static void statistics_have_tritons_fields(void **state)
{
    (void)state;
    fixture_start(&fixture, echo, 1);
    infer(0, 3);
    await(1);
    struct str json = STR_INIT;
    // The counters of the batch follow the release.
    struct stats_snapshot stats;
    do {
        stats_snapshot(fixture.model.stats, &stats);
    } while (stats.execution_count == 0);
    stats_json(fixture.model.stats, &json);
    const char *head = "{\"name\":\"m\",\"version\":\"1\",\"last_inference\":";
    assert_memory_equal(json.ptr, head, strlen(head));
    assert_non_null(strstr(str_cstr(&json), "\"inference_count\":3,\"execution_count\":1,"
                                            "\"inference_stats\":{\"success\":{\"count\":1,"));
    assert_non_null(strstr(str_cstr(&json), "\"batch_stats\":[{\"batch_size\":1,"));
    assert_non_null(strstr(str_cstr(&json), "\"memory_usage\":[]}"));
    str_fini(&json);
}

static void steady_state_allocates_nothing(void **state)
{
    (void)state;
    fixture_dynamic(&fixture);
    fixture_start(&fixture, echo, 2);
    uint64_t before = 0;
    gate_open = false; // all requests of the first round are there at once
    for (unsigned round = 0; round < 600; round++) {
        if (round == 100) {
            before = mem_count();
        }
        for (unsigned i = 0; i < 20; i++) {
            calls[i].finals = 0;
            calls[i].releases = 0;
            TRITONSERVER_InferenceRequest *request = new_request(&calls[i], 1);
            NO_ERROR(TRITONSERVER_InferenceRequestSetId(request, "0123456789abcdef"));
            NO_ERROR(TRITONSERVER_InferenceRequestAddRequestedOutput(request, "OUTPUT0"));
            NO_ERROR(TRITONSERVER_InferenceRequestSetIntParameter(request, "p", 1));
            NO_ERROR(send(request));
        }
        open_gate();
        await(20);
        pthread_mutex_lock(&mutex);
        executes = 0;
        pthread_mutex_unlock(&mutex);
    }
    // 10000 requests; the pool of responses may still grow, up to one with its arena for each instance.
    assert_in_range(mem_count() - before, 0, 4);
}

static unsigned flushes;
static bool deferred;
static void count_flush(void *userp)
{
    (void)userp;
    flushes++;
}
static TRITONSERVER_Error *deferring(TRITONBACKEND_ModelInstance *instance,
                                     TRITONBACKEND_Request **requests, const uint32_t count)
{
    deferred = nereid_defer(count_flush, NULL) && nereid_defer(count_flush, NULL);
    return echo(instance, requests, count);
}

static void deferred_wake_is_made_up_for_once(void **state)
{
    (void)state;
    flushes = 0;
    assert_false(nereid_defer(count_flush, NULL)); // not an executor's thread
    fixture_start(&fixture, deferring, 1);
    infer(0, 1);
    await(1);
    instance_destroy(fixture.instances[0]);
    fixture.model.instance_count = 0;
    assert_true(deferred);
    assert_int_equal(flushes, 1);
}

static pthread_t executed_on;
static TRITONSERVER_Error *noting_thread(TRITONBACKEND_ModelInstance *instance,
                                         TRITONBACKEND_Request **requests, const uint32_t count)
{
    executed_on = pthread_self();
    return echo(instance, requests, count);
}

static void infer_here(unsigned i)
{
    nereid_cork();
    infer(i, 1);
    nereid_uncork_here();
}

static void parked_executor_lends_its_work_to_the_caller(void **state)
{
    (void)state;
    fixture_start(&fixture, noting_thread, 1);
    infer(0, 1);
    await(1);
    assert_false(pthread_equal(executed_on, pthread_self()));
    // The executor parks a moment after its answer; from then on the caller does the work.
    bool here = false;
    for (unsigned i = 1; i < MAX_REQUESTS && !here; i++) {
        infer_here(i);
        await(i + 1);
        here = pthread_equal(executed_on, pthread_self()) != 0;
        usleep(1000);
    }
    assert_true(here);
}

static void busy_executor_is_not_lent(void **state)
{
    (void)state;
    gate_open = false;
    fixture_start(&fixture, echo, 1);
    infer(0, 1);
    await_executes(1);
    infer_here(1); // returns at once: the gate is shut
    open_gate();
    await(2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(direct_answers_each_request_alone),
        TEST(batch_is_made_when_an_instance_becomes_free),
        TEST(delay_is_kept_by_an_idle_executor),
        TEST(execute_error_answers_all),
        TEST(full_queue_refuses_and_leaves_the_request_with_its_owner),
        TEST(cancelled_request_is_answered_without_execute),
        TEST(expired_request_is_rejected),
        TEST(expired_request_is_rejected_while_all_are_busy),
        TEST(preserve_ordering_holds),
        TEST(decoupled_responses_outlive_their_request),
        TEST(stopped_scheduler_refuses),
        TEST(held_back_scheduler_waits_for_its_number),
        TEST(statistics_have_tritons_fields),
        TEST(steady_state_allocates_nothing),
        TEST(deferred_wake_is_made_up_for_once),
        TEST(parked_executor_lends_its_work_to_the_caller),
        TEST(busy_executor_is_not_lent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
