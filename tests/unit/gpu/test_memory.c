// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/gpu/gpu_fixture.h"

#include "base/thread.h"
#include "gpu/memory.h"

enum { MIB = 1 << 20 };

static struct gpu_pool *pool_of(enum nrd_memory kind, int ordinal, uint64_t limit, uint64_t chunk)
{
    struct gpu_pool *pool = NULL;
    struct gpu_pool_options options = {.kind = kind,
                                       .device = gpu(ordinal),
                                       .limit_bytes = limit,
                                       .chunk_bytes = chunk,
                                       .numa_node = -1};
    assert_ok(gpu_pool_create(&options, &pool));
    return pool;
}

static struct gpu_pool_usage usage_of(struct gpu_pool *pool)
{
    struct gpu_pool_usage usage;
    gpu_pool_usage(pool, &usage);
    return usage;
}

static void pool_grows_by_chunks_up_to_its_limit(void **state)
{
    (void)state;
    struct gpu_pool *pool = pool_of(NRD_MEMORY_GPU, 1, 4 * MIB, MIB);
    struct tensor_buffer *buffers[4];
    struct tensor_buffer *more = NULL;
    assert_int_equal(fake_cuda_memory_used(1), 0);
    for (int i = 0; i < 4; i++) {
        assert_ok(gpu_pool_get(pool, MIB - 100, &buffers[i]));
        assert_int_equal(buffers[i]->size, MIB - 100);
        assert_int_equal(buffers[i]->kind, NRD_MEMORY_GPU);
        assert_int_equal(buffers[i]->device_id, 1);
        assert_int_equal((uintptr_t)buffers[i]->data % 256, 0);
        assert_int_equal(fake_cuda_memory_used(1), (uint64_t)(i + 1) * MIB);
    }
    assert_error(gpu_pool_get(pool, 1, &more), NRD_UNAVAILABLE,
                 "GPU 1: CUDA memory pool of 4194304 bytes has no room for 256 bytes (4194304 in "
                 "use)");
    assert_error(gpu_pool_get(pool, 5 * MIB, &more), NRD_UNAVAILABLE,
                 "GPU 1: CUDA memory pool of 4194304 bytes has no room for 5242880 bytes");
    struct gpu_pool_usage usage = usage_of(pool);
    assert_int_equal(usage.limit_bytes, 4 * MIB);
    assert_int_equal(usage.used_bytes, 4 * MIB);
    assert_int_equal(usage.peak_bytes, 4 * MIB);
    assert_int_equal(usage.refused, 2);
    for (int i = 0; i < 4; i++) {
        buffer_unref(buffers[i]);
    }
    // Idle chunks make way for one that is as large as what is wanted.
    assert_ok(gpu_pool_get(pool, 4 * MIB, &more));
    assert_int_equal(fake_cuda_memory_used(1), 4 * MIB);
    buffer_unref(more);
    assert_int_equal(usage_of(pool).used_bytes, 0);
    gpu_pool_trim(pool);
    assert_int_equal(usage_of(pool).reserved_bytes, 0);
    assert_int_equal(fake_cuda_memory_used(1), 0);
    gpu_pool_destroy(pool);
}

static void pool_takes_less_from_a_device_that_is_nearly_full(void **state)
{
    (void)state;
    struct gpu_pool *pool = pool_of(NRD_MEMORY_GPU, 0, 64 * MIB, 16 * MIB);
    struct tensor_buffer *buffer = NULL;
    fake_cuda_set_used_by_others(0, ((uint64_t)1 << 30) - 2 * MIB);
    assert_ok(gpu_pool_get(pool, MIB, &buffer));
    assert_int_equal(usage_of(pool).reserved_bytes, MIB);
    struct tensor_buffer *more = NULL;
    assert_error(gpu_pool_get(pool, 2 * MIB, &more), NRD_UNAVAILABLE,
                 "GPU 0: GPU 0: cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY (out of memory)");
    buffer_unref(buffer);
    gpu_pool_destroy(pool);
}

static void pool_steady_state_calls_nobody(void **state)
{
    (void)state;
    struct gpu_pool *pool = pool_of(NRD_MEMORY_GPU, 0, 64 * MIB, 0);
    struct tensor_buffer *buffers[8];
    uint64_t before = 0;
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 8; i++) {
            assert_ok(gpu_pool_get(pool, 1000u << i, &buffers[i]));
        }
        for (int i = 0; i < 8; i++) {
            buffer_unref(buffers[(i * 5 + round) % 8]);
        }
        if (round == 10) {
            before = mem_count();
        }
    }
    assert_int_equal(mem_count(), before);
    assert_int_equal(fake_cuda_calls(GPU_FN_mem_alloc), 1);
    gpu_pool_destroy(pool);
}

static void pinned_pool_falls_back_to_pageable_memory(void **state)
{
    (void)state;
    struct gpu_pool *pool = pool_of(NRD_MEMORY_PINNED, 0, MIB, 0);
    struct tensor_buffer *pinned = NULL;
    struct tensor_buffer *pageable = NULL;
    log_set_enabled(LOG_WARNING, false);
    assert_ok(gpu_pool_get_or_host(pool, MIB, &pinned));
    assert_int_equal(pinned->kind, NRD_MEMORY_PINNED);
    memset(pinned->data, 1, MIB); // the host may write it
    assert_ok(gpu_pool_get_or_host(pool, 1, &pageable));
    assert_int_equal(pageable->kind, NRD_MEMORY_CPU);
    buffer_unref(pinned);
    buffer_unref(pageable);
    // A pool of nothing, and no pool, are the same to who asks.
    struct gpu_pool *none = NULL;
    struct gpu_pool_options options = {
        .kind = NRD_MEMORY_PINNED, .limit_bytes = MIB, .numa_node = -1};
    assert_ok(gpu_pool_create(&options, &none));
    assert_ok(gpu_pool_get_or_host(none, 10, &pageable));
    assert_int_equal(pageable->kind, NRD_MEMORY_CPU);
    buffer_unref(pageable);
    assert_error(gpu_pool_get(none, 10, &pageable), NRD_UNAVAILABLE,
                 "pinned memory pool of 0 bytes has no room for 10 bytes");
    assert_ok(gpu_pool_get_or_host(NULL, 10, &pageable));
    buffer_unref(pageable);
    gpu_pool_destroy(none);
    options.initial_bytes = 1;
    assert_error(gpu_pool_create(&options, &none), NRD_INVALID_ARG,
                 "a memory pool of at most 0 bytes cannot begin with 1");
    log_set_enabled(LOG_WARNING, true);
    gpu_pool_destroy(pool);
}

static void buffer_goes_back_only_after_its_streams(void **state)
{
    (void)state;
    struct gpu_pool *pool = pool_of(NRD_MEMORY_GPU, 0, MIB, 0);
    struct gpu_stream *streams[2];
    struct tensor_buffer *buffer = NULL;
    struct tensor_buffer *next = NULL;
    for (int i = 0; i < 2; i++) {
        assert_ok(gpu_stream_create(gpu(i), GPU_PRIORITY_NORMAL, &streams[i]));
        busy(gpu_stream_handle(streams[i]), gpu(i), 10000);
    }
    assert_ok(gpu_pool_get(pool, MIB, &buffer));
    assert_ok(gpu_buffer_use(buffer, streams[0]));
    assert_ok(gpu_buffer_use(buffer, streams[1]));
    void *data = buffer->data;
    buffer_unref(buffer);
    struct gpu_pool_usage usage = usage_of(pool);
    assert_int_equal(usage.used_bytes, MIB);
    assert_int_equal(usage.pending_bytes, MIB);
    fake_cuda_advance(5001); // GPU 1 is done, GPU 0 is not
    struct nrd_status *status = gpu_pool_get(pool, 1, &next);
    assert_int_equal(status_code(status), NRD_UNAVAILABLE);
    status_free(status);
    fake_cuda_advance(5001);
    assert_ok(gpu_pool_get(pool, MIB, &next));
    assert_ptr_equal(next->data, data);
    assert_int_equal(usage_of(pool).pending_bytes, 0);
    buffer_unref(next);
    gpu_stream_destroy(streams[0]);
    gpu_stream_destroy(streams[1]);
    gpu_pool_destroy(pool);
}

static void buffer_of_many_streams_waits_for_all(void **state)
{
    (void)state;
    enum { STREAMS = 7 };
    struct gpu_pool *pool = pool_of(NRD_MEMORY_GPU, 0, MIB, 0);
    struct gpu_stream *streams[STREAMS];
    struct tensor_buffer *buffer = NULL;
    assert_ok(gpu_pool_get(pool, MIB, &buffer));
    for (int i = 0; i < STREAMS; i++) {
        assert_ok(gpu_stream_create(gpu(0), GPU_PRIORITY_NORMAL, &streams[i]));
        busy(gpu_stream_handle(streams[i]), gpu(0), 1000);
        assert_ok(gpu_buffer_use(buffer, streams[i]));
    }
    buffer_unref(buffer);
    // Kernels of one GPU take turns, 1001 ns each. Two unanswered queries (of the unref and of the usage) make up for 2000.
    fake_cuda_advance((STREAMS - 2) * 1001);
    assert_int_equal(usage_of(pool).pending_bytes, MIB);
    fake_cuda_advance(1001);
    assert_int_equal(usage_of(pool).pending_bytes, 0);
    for (int i = 0; i < STREAMS; i++) {
        gpu_stream_destroy(streams[i]);
    }
    gpu_pool_destroy(pool);
}

static void buffer_is_ready_when_its_writer_is_done(void **state)
{
    (void)state;
    struct gpu_pool *pool = pool_of(NRD_MEMORY_GPU, 0, MIB, 0);
    struct gpu_stream *writer = NULL;
    struct gpu_stream *reader = NULL;
    struct tensor_buffer *buffer = NULL;
    assert_ok(gpu_stream_create(gpu(0), GPU_PRIORITY_NORMAL, &writer));
    assert_ok(gpu_stream_create(gpu(1), GPU_PRIORITY_NORMAL, &reader));
    assert_ok(gpu_pool_get(pool, 100, &buffer));
    assert_null(gpu_buffer_ready_event(buffer));
    assert_ok(gpu_buffer_wait(buffer, reader));
    busy(gpu_stream_handle(writer), gpu(0), 10000);
    assert_ok(gpu_buffer_set_ready(buffer, writer));
    assert_non_null(gpu_buffer_ready_event(buffer));
    assert_ok(gpu_buffer_wait(buffer, reader));
    busy(gpu_stream_handle(reader), gpu(1), 2);
    fake_cuda_advance(9000);
    assert_int_equal(fake_cuda_launches(1), 0);
    assert_ok(gpu_buffer_wait_host(buffer, 0));
    fake_cuda_run();
    assert_int_equal(fake_cuda_launches(1), 1);
    buffer_unref(buffer);
    // Memory of others is always ready, and using it is nothing.
    buffer = buffer_create(10);
    assert_ok(gpu_buffer_use(buffer, writer));
    assert_ok(gpu_buffer_set_ready(buffer, writer));
    assert_null(gpu_buffer_ready_event(buffer));
    buffer_unref(buffer);
    gpu_stream_destroy(writer);
    gpu_stream_destroy(reader);
    gpu_pool_destroy(pool);
}

static void lost_device_gives_its_memory_up(void **state)
{
    (void)state;
    struct gpu_pool *pool = pool_of(NRD_MEMORY_GPU, 0, MIB, 0);
    struct gpu_stream *stream = NULL;
    struct tensor_buffer *buffer = NULL;
    assert_ok(gpu_stream_create(gpu(0), GPU_PRIORITY_NORMAL, &stream));
    assert_ok(gpu_pool_get(pool, MIB, &buffer));
    busy(gpu_stream_handle(stream), gpu(0), 10000);
    assert_ok(gpu_buffer_use(buffer, stream));
    fake_cuda_lose(0, CU_ILLEGAL_ADDRESS);
    buffer_unref(buffer);
    assert_int_equal(usage_of(pool).used_bytes, 0);
    gpu_stream_destroy(stream);
    gpu_pool_destroy(pool);
}

static void async_pool_counts_and_orders(void **state)
{
    (void)state;
    struct gpu_async_pool *pool = NULL;
    struct gpu_stream *stream = NULL;
    struct tensor_buffer *buffer = NULL;
    struct tensor_buffer *more = NULL;
    struct gpu_pool_usage usage;
    struct gpu_async_pool_options options = {
        .device = gpu(0), .initial_bytes = MIB, .max_bytes = 4 * MIB, .release_threshold = 2 * MIB};
    assert_ok(gpu_async_pool_create(&options, &pool));
    assert_ok(gpu_async_pool_allow(pool, gpu(1)));
    assert_ok(gpu_stream_create(gpu(0), GPU_PRIORITY_NORMAL, &stream));
    assert_ok(gpu_async_pool_get(pool, stream, 3 * MIB, &buffer));
    assert_non_null(gpu_buffer_ready_event(buffer));
    assert_error(gpu_async_pool_get(pool, stream, 2 * MIB, &more), NRD_UNAVAILABLE,
                 "GPU 0: memory pool of 4194304 bytes has no room for 2097152 bytes (3145728 in "
                 "use)");
    gpu_async_pool_usage(pool, &usage);
    assert_int_equal(usage.used_bytes, 3 * MIB);
    assert_int_equal(usage.reserved_bytes, 3 * MIB);
    busy(gpu_stream_handle(stream), gpu(0), 10000);
    assert_ok(gpu_buffer_use(buffer, stream));
    gpu_stream_destroy(stream); // gone before its buffer
    buffer_unref(buffer);
    assert_int_equal(fake_cuda_memory_used(0), 3 * MIB); // not before the kernel is done
    fake_cuda_run();
    assert_int_equal(fake_cuda_memory_used(0), 0);
    gpu_async_pool_usage(pool, &usage);
    assert_int_equal(usage.used_bytes, 0);
    assert_int_equal(usage.reserved_bytes, 2 * MIB);
    assert_int_equal(usage.refused, 1);
    gpu_async_pool_destroy(pool);
    options.initial_bytes = 5 * MIB;
    assert_error(gpu_async_pool_create(&options, &pool), NRD_INVALID_ARG,
                 "GPU 0: a memory pool of at most 4194304 bytes cannot begin with 5242880");
}

static void pools_survive_failures_of_every_step(void **state)
{
    (void)state;
    struct gpu_pool_options options = {
        .kind = NRD_MEMORY_GPU, .device = gpu(0), .limit_bytes = MIB, .initial_bytes = MIB};
    struct gpu_async_pool_options async = {.device = gpu(0), .initial_bytes = 1000};
    assert_ok(gpu_device_open(gpu(0)));
    for (uint64_t n = 1;; n++) {
        struct gpu_pool *pool = NULL;
        struct gpu_async_pool *ordered = NULL;
        struct tensor_buffer *buffer = NULL;
        uint64_t before = mem_count();
        mem_fail_after(n);
        status_free(gpu_pool_create(&options, &pool));
        if (pool != NULL) {
            status_free(gpu_pool_get(pool, 100, &buffer));
            buffer_unref(buffer);
        }
        gpu_pool_destroy(pool);
        status_free(gpu_async_pool_create(&async, &ordered));
        gpu_async_pool_destroy(ordered);
        buffer = NULL;
        status_free(gpu_direct_get(gpu(0), 100, &buffer));
        buffer_unref(buffer);
        bool failed = mem_count() - before >= n;
        mem_fail_after(0);
        fake_cuda_run();
        if (!failed) {
            break;
        }
    }
    static const enum gpu_fn calls[] = {GPU_FN_mempool_create, GPU_FN_mempool_set_attribute,
                                        GPU_FN_mempool_alloc_async, GPU_FN_stream_create};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        struct gpu_async_pool *ordered = NULL;
        fake_cuda_fail(calls[i], 0, 1, CU_OUT_OF_MEMORY);
        struct nrd_status *status = gpu_async_pool_create(&async, &ordered);
        assert_int_equal(status_code(status), NRD_UNAVAILABLE);
        status_free(status);
    }
}

struct churn {
    struct gpu_pool *pool;
    struct gpu_stream *stream;
    unsigned seed;
};

static void churn_main(void *arg)
{
    struct churn *c = arg;
    struct tensor_buffer *held[8] = {NULL};
    for (int i = 0; i < 2000; i++) {
        c->seed = c->seed * 1664525u + 1013904223u;
        unsigned at = (c->seed >> 10) % 8;
        if (held[at] != NULL) {
            status_free(gpu_buffer_use(held[at], c->stream));
            buffer_unref(held[at]);
            held[at] = NULL;
        } else {
            status_free(gpu_pool_get(c->pool, 1 + (c->seed >> 14) % 100000, &held[at]));
        }
    }
    for (int i = 0; i < 8; i++) {
        buffer_unref(held[i]);
    }
}

static void pool_is_shared_by_threads(void **state)
{
    (void)state;
    machine_stop();
    struct fake_cuda_options options = {.count = 1, .time = FAKE_TIME_REAL};
    machine_start(&options);
    struct gpu_pool *pool = pool_of(NRD_MEMORY_GPU, 0, 2 * MIB, MIB);
    struct thread threads[4];
    struct churn churns[4];
    for (unsigned i = 0; i < 4; i++) {
        churns[i] = (struct churn){.pool = pool, .seed = i};
        assert_ok(gpu_stream_create(gpu(0), GPU_PRIORITY_NORMAL, &churns[i].stream));
        assert_ok(thread_start(&threads[i], "churn", 0, churn_main, &churns[i]));
    }
    for (int i = 0; i < 4; i++) {
        thread_join(&threads[i]);
        assert_ok(gpu_stream_sync(churns[i].stream, 0));
        gpu_stream_destroy(churns[i].stream);
    }
    assert_int_equal(usage_of(pool).used_bytes, 0);
    gpu_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GPU_TEST(pool_grows_by_chunks_up_to_its_limit),
        GPU_TEST(pool_takes_less_from_a_device_that_is_nearly_full),
        GPU_TEST(pool_steady_state_calls_nobody),
        GPU_TEST(pinned_pool_falls_back_to_pageable_memory),
        GPU_TEST(buffer_goes_back_only_after_its_streams),
        GPU_TEST(buffer_of_many_streams_waits_for_all),
        GPU_TEST(buffer_is_ready_when_its_writer_is_done),
        GPU_TEST(lost_device_gives_its_memory_up),
        GPU_TEST(async_pool_counts_and_orders),
        GPU_TEST(pools_survive_failures_of_every_step),
        GPU_TEST(pool_is_shared_by_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
