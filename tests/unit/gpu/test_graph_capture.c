// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/gpu/gpu_fixture.h"

#include "gpu/copy.h"
#include "gpu/graph_capture.h"

static struct gpu_stream *stream_on(int ordinal)
{
    struct gpu_stream *stream = NULL;
    assert_ok(gpu_stream_create(gpu(ordinal), GPU_PRIORITY_NORMAL, &stream));
    return stream;
}

static void captured_work_runs_at_each_launch(void **state)
{
    (void)state;
    struct gpu_stream *stream = stream_on(0);
    struct gpu_graph *graph = NULL;
    assert_false(gpu_stream_is_capturing(stream));
    assert_ok(gpu_capture_begin(stream));
    assert_true(gpu_stream_is_capturing(stream));
    busy(gpu_stream_handle(stream), gpu(0), 1000);
    busy(gpu_stream_handle(stream), gpu(0), 1000);
    assert_ok(gpu_capture_end(stream, &graph));
    fake_cuda_run();
    assert_int_equal(fake_cuda_launches(0), 0);
    assert_int_equal(gpu_graph_node_count(graph), 2);
    for (int i = 1; i < 4; i++) {
        assert_ok(gpu_graph_launch(graph, stream));
        assert_ok(gpu_stream_sync(stream, 0));
        assert_int_equal(fake_cuda_launches(0), 2 * i);
    }
    gpu_graph_destroy(graph);
    gpu_graph_destroy(NULL);
    gpu_stream_destroy(stream);
}

static void capture_spreads_by_events(void **state)
{
    (void)state;
    struct gpu_stream *first = stream_on(0);
    struct gpu_stream *second = stream_on(0);
    struct gpu_event *fork = NULL;
    struct gpu_event *join = NULL;
    struct gpu_graph *graph = NULL;
    assert_ok(gpu_event_get(gpu(0), &fork));
    assert_ok(gpu_event_get(gpu(0), &join));
    assert_ok(gpu_capture_begin(first));
    assert_ok(gpu_event_record(fork, first));
    assert_ok(gpu_stream_wait_event(second, fork));
    assert_true(gpu_stream_is_capturing(second));
    busy(gpu_stream_handle(second), gpu(0), 1000);
    assert_ok(gpu_event_record(join, second));
    assert_ok(gpu_stream_wait_event(first, join));
    assert_ok(gpu_capture_end(first, &graph));
    assert_false(gpu_stream_is_capturing(second));
    assert_int_equal(gpu_graph_node_count(graph), 1);
    gpu_graph_destroy(graph);
    gpu_event_unref(fork);
    gpu_event_unref(join);
    gpu_stream_destroy(first);
    gpu_stream_destroy(second);
}

static void graph_takes_new_arguments_in_place_and_new_work_anew(void **state)
{
    (void)state;
    struct gpu_stream *stream = stream_on(0);
    struct gpu_graph *graph = NULL;
    bool anew = true;
    assert_ok(gpu_capture_begin(stream));
    busy(gpu_stream_handle(stream), gpu(0), 1000);
    assert_ok(gpu_capture_end(stream, &graph));
    assert_ok(gpu_capture_begin(stream));
    busy(gpu_stream_handle(stream), gpu(0), 5000);
    assert_ok(gpu_capture_update(stream, graph, &anew));
    assert_false(anew);
    assert_ok(gpu_graph_launch(graph, stream));
    assert_ok(gpu_stream_sync(stream, 0));
    assert_true(fake_cuda_busy_ns(0) > 4999);
    assert_ok(gpu_capture_begin(stream));
    busy(gpu_stream_handle(stream), gpu(0), 1);
    busy(gpu_stream_handle(stream), gpu(0), 1);
    assert_ok(gpu_capture_update(stream, graph, &anew));
    assert_true(anew);
    assert_int_equal(gpu_graph_node_count(graph), 2);
    gpu_graph_destroy(graph);
    gpu_stream_destroy(stream);
}

static void broken_capture_is_an_error_and_over(void **state)
{
    (void)state;
    struct gpu_stream *stream = stream_on(0);
    struct gpu_graph *graph = NULL;
    bool done = false;
    assert_ok(gpu_capture_begin(stream));
    struct nrd_status *status = gpu_stream_query(stream, &done);
    assert_non_null(status);
    status_free(status);
    assert_error(gpu_capture_end(stream, &graph), NRD_INTERNAL,
                 "GPU 0: cuStreamEndCapture: CUDA_ERROR_STREAM_CAPTURE_INVALIDATED (operation "
                 "failed due to a previous error during capture)");
    assert_false(gpu_stream_is_capturing(stream));
    assert_ok(gpu_capture_begin(stream));
    gpu_capture_abort(stream);
    assert_false(gpu_stream_is_capturing(stream));
    assert_ok(gpu_stream_query(stream, &done));
    gpu_stream_destroy(stream);
}

static void capture_survives_failures_of_every_step(void **state)
{
    (void)state;
    static const enum gpu_fn calls[] = {GPU_FN_capture_end, GPU_FN_graph_instantiate};
    struct gpu_stream *stream = stream_on(0);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        struct gpu_graph *graph = NULL;
        assert_ok(gpu_capture_begin(stream));
        busy(gpu_stream_handle(stream), gpu(0), 1);
        fake_cuda_fail(calls[i], -1, 1, CU_OUT_OF_MEMORY);
        struct nrd_status *status = gpu_capture_end(stream, &graph);
        assert_int_equal(status_code(status), NRD_UNAVAILABLE);
        status_free(status);
        gpu_capture_abort(
            stream); // after a refused end the capture goes on; after an accepted one this is nothing
    }
    assert_ok(gpu_capture_begin(stream));
    mem_fail_after(1);
    struct gpu_graph *graph = NULL;
    struct nrd_status *status = gpu_capture_end(stream, &graph);
    assert_int_equal(status_code(status), NRD_UNAVAILABLE);
    status_free(status);
    assert_false(gpu_stream_is_capturing(stream));
    gpu_stream_destroy(stream);
}

// Frameworks capture in the strictest mode, and memory is locked and allocated on other threads meanwhile.
static void memory_spoils_no_capture(void **state)
{
    (void)state;
    static char memory[4096];
    struct gpu_stream *stream = stream_on(0);
    struct gpu_pool *pool = NULL;
    struct tensor_buffer *buffer = NULL;
    struct cu_graph *graph = NULL;
    const struct gpu_driver *driver = fake_cuda_driver();
    struct gpu_pool_options options = {
        .kind = NRD_MEMORY_PINNED, .device = gpu(0), .limit_bytes = 1 << 20, .numa_node = -1};
    assert_ok(gpu_pool_create(&options, &pool));
    assert_int_equal(driver->capture_begin(gpu_stream_handle(stream), CU_CAPTURE_GLOBAL), 0);
    assert_ok(gpu_host_lock(gpu(0), memory, sizeof(memory)));
    assert_ok(gpu_pool_get(pool, 100, &buffer));
    buffer_unref(buffer);
    gpu_pool_destroy(pool);
    gpu_host_unlock(gpu(0), memory);
    assert_int_equal(driver->capture_end(gpu_stream_handle(stream), &graph), 0);
    assert_int_equal(driver->graph_destroy(graph), 0);
    // Done plainly, it would.
    void *plain = NULL;
    assert_int_equal(driver->capture_begin(gpu_stream_handle(stream), CU_CAPTURE_GLOBAL), 0);
    assert_int_equal(driver->mem_host_alloc(&plain, 100, 0), CU_STREAM_CAPTURE_UNSUPPORTED);
    assert_int_equal(driver->capture_end(gpu_stream_handle(stream), &graph),
                     CU_STREAM_CAPTURE_INVALIDATED);
    gpu_stream_destroy(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GPU_TEST(captured_work_runs_at_each_launch),
        GPU_TEST(capture_spreads_by_events),
        GPU_TEST(graph_takes_new_arguments_in_place_and_new_work_anew),
        GPU_TEST(broken_capture_is_an_error_and_over),
        GPU_TEST(capture_survives_failures_of_every_step),
        GPU_TEST(memory_spoils_no_capture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
