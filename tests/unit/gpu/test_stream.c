// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/gpu/gpu_fixture.h"

#include "base/clock.h"
#include "gpu/event.h"

static struct gpu_stream *stream_on(int ordinal, enum gpu_priority priority)
{
    struct gpu_stream *stream = NULL;
    assert_ok(gpu_stream_create(gpu(ordinal), priority, &stream));
    return stream;
}

static void stream_is_done_when_its_work_is(void **state)
{
    (void)state;
    bool done = false;
    struct gpu_stream *stream = stream_on(1, GPU_PRIORITY_NORMAL);
    assert_ok(gpu_stream_query(stream, &done));
    assert_true(done);
    busy(gpu_stream_handle(stream), gpu(1), 20000); // this GPU is twice as fast
    assert_ok(gpu_stream_query(stream, &done));
    assert_false(done);
    fake_cuda_advance(10001);
    assert_ok(gpu_stream_query(stream, &done));
    assert_true(done);
    busy(gpu_stream_handle(stream), gpu(1), 1000000);
    assert_ok(gpu_stream_sync(stream, 0));
    assert_true(fake_cuda_now() >= 510000);
    gpu_stream_destroy(stream);
}

static void stream_sync_gives_up_at_its_deadline(void **state)
{
    (void)state;
    struct gpu_stream *stream = stream_on(0, GPU_PRIORITY_NORMAL);
    busy(gpu_stream_handle(stream), gpu(0), UINT64_C(1000000000000));
    assert_error(gpu_stream_sync(stream, clock_now_ns() + 1000000), NRD_UNAVAILABLE,
                 "GPU 0: waiting for a stream: time-out");
    fake_cuda_run();
    gpu_stream_destroy(stream);
}

static void event_orders_streams_across_devices(void **state)
{
    (void)state;
    bool reached = true;
    struct gpu_event *event = NULL;
    struct gpu_stream *first = stream_on(0, GPU_PRIORITY_NORMAL);
    struct gpu_stream *second = stream_on(2, GPU_PRIORITY_NORMAL);
    busy(gpu_stream_handle(first), gpu(0), 50000);
    assert_ok(gpu_event_after(first, &event));
    assert_ok(gpu_stream_wait_event(second, event));
    busy(gpu_stream_handle(second), gpu(2), 1000);
    assert_ok(gpu_event_query(event, &reached));
    assert_false(reached);
    fake_cuda_advance(40000);
    assert_int_equal(fake_cuda_launches(2), 0);
    assert_ok(gpu_event_wait(event, 0));
    fake_cuda_run();
    assert_int_equal(fake_cuda_launches(2), 1);
    assert_ok(gpu_event_query(event, &reached));
    assert_true(reached);
    gpu_event_unref(event);
    gpu_stream_destroy(first);
    gpu_stream_destroy(second);
}

static void event_waits_keep_the_point_they_were_queued_for(void **state)
{
    (void)state;
    struct gpu_event *event = NULL;
    struct gpu_stream *first = stream_on(0, GPU_PRIORITY_NORMAL);
    struct gpu_stream *second = stream_on(1, GPU_PRIORITY_NORMAL);
    bool done = false;
    busy(gpu_stream_handle(first), gpu(0), 1000);
    assert_ok(gpu_event_after(first, &event));
    assert_ok(gpu_stream_wait_event(second, event));
    gpu_event_unref(event); // idle now, and got again, and recorded later
    struct gpu_event *again = NULL;
    busy(gpu_stream_handle(first), gpu(0), 100000);
    assert_ok(gpu_event_after(first, &again));
    assert_ptr_equal(event, again);
    fake_cuda_advance(2000);
    assert_ok(gpu_stream_query(second, &done));
    assert_true(done);
    fake_cuda_run();
    gpu_event_unref(again);
    assert_int_equal(fake_cuda_calls(GPU_FN_event_create), 1);
    gpu_stream_destroy(first);
    gpu_stream_destroy(second);
}

static void event_wait_gives_up_at_its_deadline(void **state)
{
    (void)state;
    struct gpu_event *event = NULL;
    struct gpu_stream *stream = stream_on(0, GPU_PRIORITY_NORMAL);
    busy(gpu_stream_handle(stream), gpu(0), UINT64_C(1000000000000));
    assert_ok(gpu_event_after(stream, &event));
    assert_error(gpu_event_wait(event, clock_now_ns() + 1000000), NRD_UNAVAILABLE,
                 "GPU 0: waiting for an event: time-out");
    fake_cuda_run();
    assert_ok(gpu_event_wait(event, clock_now_ns() + 1000000000));
    gpu_event_unref(event);
    gpu_stream_destroy(stream);
}

static void timed_events_measure(void **state)
{
    (void)state;
    double ms = 0;
    struct gpu_event *begin = NULL;
    struct gpu_event *end = NULL;
    struct gpu_stream *stream = stream_on(0, GPU_PRIORITY_NORMAL);
    assert_ok(gpu_event_get_timed(gpu(0), &begin));
    assert_ok(gpu_event_get_timed(gpu(0), &end));
    assert_ok(gpu_event_record(begin, stream));
    busy(gpu_stream_handle(stream), gpu(0), 3000000);
    assert_ok(gpu_event_record(end, stream));
    fake_cuda_run();
    assert_ok(gpu_event_elapsed(begin, end, &ms));
    assert_true(ms > 2.99 && ms < 3.01);
    gpu_event_unref(begin);
    gpu_event_unref(end);
    gpu_stream_destroy(stream);
}

static void streams_of_high_priority_go_first(void **state)
{
    (void)state;
    bool done = false;
    struct gpu_stream *low = stream_on(0, GPU_PRIORITY_LOW);
    struct gpu_stream *high = stream_on(0, GPU_PRIORITY_HIGH);
    busy(gpu_stream_handle(low), gpu(0), 1000); // runs, and is not stopped
    busy(gpu_stream_handle(low), gpu(0), 1000);
    busy(gpu_stream_handle(high), gpu(0), 1000);
    fake_cuda_advance(2100);
    assert_ok(gpu_stream_query(high, &done));
    assert_true(done);
    assert_ok(gpu_stream_query(low, &done));
    assert_false(done);
    gpu_stream_destroy(low);
    gpu_stream_destroy(high);
    fake_cuda_run();
}

static void count_up(void *arg)
{
    ++*(int *)arg;
}

static void host_function_runs_in_its_turn(void **state)
{
    (void)state;
    int calls = 0;
    struct gpu_stream *stream = stream_on(0, GPU_PRIORITY_NORMAL);
    busy(gpu_stream_handle(stream), gpu(0), 1000);
    assert_ok(gpu_stream_call_host(stream, count_up, &calls));
    busy(gpu_stream_handle(stream), gpu(0), 1000);
    assert_ok(gpu_stream_call_host(stream, count_up, &calls));
    assert_int_equal(calls, 0);
    fake_cuda_advance(1500);
    assert_int_equal(calls, 1);
    assert_ok(gpu_stream_sync(stream, 0));
    assert_int_equal(calls, 2);
    gpu_stream_destroy(stream);
}

static void stream_of_somebody_else_is_left_alive(void **state)
{
    (void)state;
    struct gpu_stream *own = stream_on(0, GPU_PRIORITY_NORMAL);
    struct gpu_stream *view = NULL;
    bool done = false;
    assert_ok(gpu_stream_wrap(gpu(0), gpu_stream_handle(own), &view));
    assert_ptr_equal(gpu_stream_device(view), gpu(0));
    gpu_stream_destroy(view);
    assert_ok(gpu_stream_query(own, &done));
    gpu_stream_destroy(own);
    gpu_stream_destroy(NULL);
}

static void stream_pool_keeps_to_its_numbers(void **state)
{
    (void)state;
    struct gpu_stream_pool *pool = NULL;
    struct gpu_stream *streams[2];
    struct gpu_stream *third = NULL;
    assert_error(gpu_stream_pool_create(gpu(0), GPU_PRIORITY_NORMAL, 3, 2, &pool), NRD_INVALID_ARG,
                 "GPU 0: a stream pool of at most 2 streams cannot reserve 3");
    assert_ok(gpu_stream_pool_create(gpu(0), GPU_PRIORITY_NORMAL, 1, 2, &pool));
    assert_int_equal(fake_cuda_calls(GPU_FN_stream_create), 1);
    assert_ok(gpu_stream_pool_get(pool, &streams[0]));
    assert_ok(gpu_stream_pool_get(pool, &streams[1]));
    assert_error(gpu_stream_pool_get(pool, &third), NRD_UNAVAILABLE,
                 "GPU 0: all 2 streams of the pool are in use");
    gpu_stream_pool_put(pool, streams[1]);
    assert_ok(gpu_stream_pool_get(pool, &third));
    assert_ptr_equal(third, streams[1]);
    gpu_stream_pool_put(pool, third);
    gpu_stream_pool_put(pool, streams[0]);
    gpu_stream_pool_destroy(pool);
    gpu_stream_pool_destroy(NULL);
}

static void lost_device_ends_every_wait(void **state)
{
    (void)state;
    struct gpu_event *event = NULL;
    struct gpu_stream *lost = stream_on(0, GPU_PRIORITY_NORMAL);
    struct gpu_stream *other = stream_on(1, GPU_PRIORITY_NORMAL);
    busy(gpu_stream_handle(lost), gpu(0), 1000000);
    assert_ok(gpu_event_after(lost, &event));
    assert_ok(gpu_stream_wait_event(other, event));
    fake_cuda_lose(0, CU_LAUNCH_FAILED);
    assert_error(gpu_event_wait(event, 0), NRD_UNAVAILABLE,
                 "GPU 0: cuEventQuery: CUDA_ERROR_LAUNCH_FAILED (unspecified launch failure)");
    assert_true(gpu_device_is_lost(gpu(0)));
    struct nrd_status *status = gpu_stream_sync(lost, 0);
    assert_int_equal(status_code(status), NRD_UNAVAILABLE);
    status_free(status);
    assert_ok(gpu_stream_sync(other, 0)); // goes on
    gpu_event_unref(event);
    gpu_stream_destroy(lost);
    gpu_stream_destroy(other);
}

static void streams_and_events_survive_lack_of_memory(void **state)
{
    (void)state;
    struct gpu_stream *stream = NULL;
    struct gpu_event *event = NULL;
    assert_ok(gpu_device_open(gpu(0)));
    mem_fail_after(1);
    struct nrd_status *status = gpu_stream_create(gpu(0), GPU_PRIORITY_NORMAL, &stream);
    assert_int_equal(status_code(status), NRD_UNAVAILABLE);
    status_free(status);
    mem_fail_after(1);
    status = gpu_event_get(gpu(0), &event);
    assert_int_equal(status_code(status), NRD_UNAVAILABLE);
    status_free(status);
    fake_cuda_fail(GPU_FN_stream_create, 0, 1, CU_OUT_OF_MEMORY);
    status = gpu_stream_create(gpu(0), GPU_PRIORITY_NORMAL, &stream);
    assert_non_null(status);
    status_free(status);
    fake_cuda_fail(GPU_FN_event_create, 0, 1, CU_OUT_OF_MEMORY);
    status = gpu_event_get(gpu(0), &event);
    assert_non_null(status);
    status_free(status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GPU_TEST(stream_is_done_when_its_work_is),
        GPU_TEST(stream_sync_gives_up_at_its_deadline),
        GPU_TEST(event_orders_streams_across_devices),
        GPU_TEST(event_waits_keep_the_point_they_were_queued_for),
        GPU_TEST(event_wait_gives_up_at_its_deadline),
        GPU_TEST(timed_events_measure),
        GPU_TEST(streams_of_high_priority_go_first),
        GPU_TEST(host_function_runs_in_its_turn),
        GPU_TEST(stream_of_somebody_else_is_left_alive),
        GPU_TEST(stream_pool_keeps_to_its_numbers),
        GPU_TEST(lost_device_ends_every_wait),
        GPU_TEST(streams_and_events_survive_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
