// SPDX-License-Identifier: Apache-2.0
// Operators on pretended GPUs: order is by events, memory is given out again after its last use, and nothing waits on the CPU.
#include "gpu_machine.h"

#include "base/log.h"
#include "gpu/memory.h"
#include "graph/resource.h"
#include "graph/streams.h"

// Puts `ns` of a kernel's work into a stream.
static void busy(void *stream, int ordinal, uint64_t ns)
{
    struct gpu_system *system = NULL;
    struct gpu_scope scope;
    struct cu_module *module = NULL;
    struct cu_function *function = NULL;
    void *params[] = {&ns};
    ok(gpu_system_open(&system));
    ok(gpu_device_enter(gpu_system_device(system, ordinal), &scope));
    assert_int_equal(gpu_driver()->module_load(&module, "any", 0, NULL, NULL), 0);
    assert_int_equal(gpu_driver()->module_function(&function, module, "fake_busy"), 0);
    assert_int_equal(
        gpu_driver()->launch_kernel(function, 1, 1, 1, 1, 1, 1, 0, stream, params, NULL), 0);
    assert_int_equal(gpu_driver()->module_unload(module), 0);
    gpu_device_leave(&scope);
    gpu_system_close(system);
}

static struct nrd_tensor *allocate(struct nrd_compute *ctx, struct nrd_resource *r, int64_t bytes)
{
    struct nrd_tensor *t = NULL;
    ok(nrd_allocate(nrd_compute_operator(ctx), r, NRD_DTYPE_U8, &bytes, 1, NRD_MEMORY_GPU, 0, &t));
    return t;
}

static struct nrd_resource *pool; // NULL: the fragment's own

// Work of 1 ms that writes a tensor, which is sent before it is done.
static struct nrd_status *source_writes(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    void *stream = NULL;
    struct nrd_message *m = nrd_message_new(ctx);
    struct nrd_tensor *t = allocate(ctx, pool, 4096);
    ok(nrd_compute_stream(ctx, 0, &stream));
    assert_non_null(stream);
    void *again = NULL;
    ok(nrd_compute_stream(ctx, 0, &again));
    assert_ptr_equal(again, stream);
    busy(stream, 0, 1000000);
    ok(nrd_message_add_tensor(m, "t", t));
    return nrd_emit(ctx, 0, m) == NRD_OK ? NULL : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

// Work of 1 ms that reads it, in a stream of its own.
static struct nrd_status *pass_reads(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    void *stream = NULL;
    struct nrd_message *m = nrd_receive(ctx, 0);
    struct nrd_tensor *t = nrd_message_tensor(m, "t");
    assert_non_null(t->event);
    ok(nrd_compute_stream(ctx, 0, &stream));
    ok(nrd_stream_wait_tensor(ctx, stream, t));
    busy(stream, 0, 1000000);
    struct nrd_tensor *out = allocate(ctx, pool, 4096);
    struct nrd_message *on = nrd_message_new(ctx);
    ok(nrd_message_add_tensor(on, "t", out));
    nrd_message_unref(m);
    return nrd_emit(ctx, 0, on) == NRD_OK ? NULL : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static uint64_t arrived_at[64];
static uint64_t done_at[64];

static struct nrd_status *sink_synchronizes(struct nrd_compute *ctx, struct small_op *self)
{
    struct nrd_message *m = nrd_receive(ctx, 0);
    struct nrd_tensor *t = nrd_message_tensor(m, "t");
    bool ready = true;
    arrived_at[self->got] = fake_cuda_now();
    ok(tensor_is_ready(t, &ready));
    assert_false(ready); // it came here before the work that writes it was done
    ok(nrd_tensor_synchronize(t));
    done_at[self->got++] = fake_cuda_now();
    ok(tensor_is_ready(t, &ready));
    assert_true(ready);
    nrd_message_unref(m);
    return NULL;
}

static void streams_order_operators_without_a_wait_on_the_cpu(void **state)
{
    (void)state;
    source_hook = source_writes;
    pass_hook = pass_reads;
    sink_hook = sink_synchronizes;
    pool = NULL;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add_source(f, "tx", 1);
    struct nrd_operator *mx = add(f, &pass_op, "mx", NULL);
    struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
    flow(tx, mx);
    flow(mx, rx);
    uint64_t began = fake_cuda_now();
    ok(nrd_app_run(app));
    // Two kernels one after the other: 2 ms, of which the hops took next to nothing.
    assert_true(arrived_at[0] - began < 100000);
    assert_true(done_at[0] - began >= 2000000);
    nrd_app_destroy(app);
}

static struct nrd_status *pass_wants_a_stream(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    void *stream = NULL;
    nrd_message_unref(nrd_receive(ctx, 0));
    return nrd_compute_stream(ctx, 0, &stream);
}

static void streams_come_from_the_fragments_pool_within_its_maximum(void **state)
{
    (void)state;
    source_hook = source_writes;
    pass_hook = pass_wants_a_stream;
    pool = NULL;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    add_resource(f, "CudaStreamPool", "elsewhere", "{dev_id: 1}");
    add_resource(f, "CudaStreamPool", "streams", "{max_size: 1}");
    struct nrd_operator *tx = add_source(f, "tx", 1);
    struct nrd_operator *mx = add(f, &pass_op, "mx", NULL);
    flow(tx, mx);
    flow(mx, add(f, &sink_op, "rx", NULL));
    fails(nrd_app_run(app), "operator 'mx': resource 'streams' (CudaStreamPool): ");
    nrd_app_destroy(app);
}

static struct nrd_status *source_wants_no_gpu(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    void *stream = NULL;
    assert_fails(nrd_compute_stream(ctx, 7, &stream), NRD_UNAVAILABLE,
                 "there is no GPU 7: this machine has 2");
    assert_fails(nrd_compute_stream(ctx, 1000, &stream), NRD_UNAVAILABLE,
                 "there is no GPU 2147483647: this machine has 2");
    struct nrd_tensor *t = allocate(ctx, NULL, 16);
    assert_fails(nrd_stream_wait_tensor(ctx, &stream, t), NRD_INVALID_ARG,
                 "the stream to wait is none that nrd_compute_stream() gave to 'tx'");
    nrd_tensor_unref(t);
    return NULL;
}

static void streams_errors_name_the_gpu_and_the_operator(void **state)
{
    (void)state;
    source_hook = source_wants_no_gpu;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    flow(add_source(f, "tx", 1), add(f, &sink_op, "rx", NULL));
    ok(nrd_app_run(app));
    nrd_app_destroy(app);
}

// ---- memory --------------------------------------------------------------------------------------------------------

static void *first_data;
static struct nrd_status *source_uses_scratch(struct nrd_compute *ctx, struct small_op *self)
{
    void *stream = NULL;
    ok(nrd_compute_stream(ctx, 0, &stream));
    struct nrd_tensor *scratch = allocate(ctx, pool, 4096);
    if (self->computes == 1) {
        first_data = scratch->data;
        busy(stream, 0, 1000000);
    } else if (self->computes == 2) {
        // The work of the first compute still has the memory that the first gave back.
        assert_ptr_not_equal(scratch->data, first_data);
        fake_cuda_advance(5000000);
    } else {
        assert_ptr_equal(scratch->data, first_data); // and now nobody has
    }
    nrd_tensor_unref(scratch);
    return NULL;
}

static void memory_that_was_given_back_waits_for_the_work_that_has_it(void **state)
{
    (void)state;
    source_hook = source_uses_scratch;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    pool = NULL;
    flow(add_source(f, "tx", 3), add(f, &sink_op, "rx", NULL));
    ok(nrd_app_run(app));
    nrd_app_destroy(app);
}

static struct nrd_status *sink_reads(struct nrd_compute *ctx, struct small_op *self)
{
    struct nrd_message *m;
    void *stream = NULL;
    ok(nrd_compute_stream(ctx, 0, &stream));
    while ((m = nrd_receive(ctx, 0)) != NULL) {
        ok(nrd_stream_wait_tensor(ctx, stream, nrd_message_tensor(m, "t")));
        busy(stream, 0, 300000);
        nrd_message_unref(m);
        self->got++;
    }
    return NULL;
}

// More messages than blocks, with readers that are slower: the source waits for memory that GPUs still use.
static void run_with_few_blocks(const char *scheduler, const char *params, const char *type,
                                const char *pool_params)
{
    source_hook = source_writes;
    sink_hook = sink_reads;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    set_scheduler(f, scheduler, params);
    pool = add_resource(f, type, "pool", pool_params);
    struct nrd_operator *tx = add_source(f, "tx", 30);
    add_condition(tx, "MemoryAvailableCondition", "{allocator: pool, min_bytes: 4096}");
    struct nrd_operator *rx[2] = {add(f, &sink_op, "rx", NULL), add(f, &sink_op, "ry", NULL)};
    flow(tx, rx[0]);
    flow(tx, rx[1]);
    ok(nrd_app_run(app));
    assert_int_equal(small(rx[0])->got, 30);
    assert_int_equal(small(rx[1])->got, 30);
    nrd_app_destroy(app);
}

static void memory_available_waits_for_blocks_that_a_gpu_uses(void **state)
{
    (void)state;
    run_with_few_blocks("GreedyScheduler", NULL, "BlockMemoryPool",
                        "{storage_type: 1, block_size: 4096, num_blocks: 2}");
    run_with_few_blocks("EventBasedScheduler", "{worker_thread_number: 3}", "BlockMemoryPool",
                        "{storage_type: 1, block_size: 4096, num_blocks: 2}");
}

static void memory_of_a_stream_ordered_pool_is_there_in_the_operators_stream(void **state)
{
    (void)state;
    run_with_few_blocks("GreedyScheduler", NULL, "StreamOrderedAllocator", NULL);
    run_with_few_blocks("EventBasedScheduler", "{worker_thread_number: 3}", "RMMAllocator", NULL);
}

static uint64_t allocations;
static struct nrd_status *source_sends_fresh(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    void *stream = NULL;
    struct nrd_message *m = nrd_message_new(ctx);
    ok(nrd_compute_stream(ctx, 0, &stream));
    ok(nrd_message_add_tensor(m, "t", allocate(ctx, NULL, 4096)));
    return nrd_emit(ctx, 0, m) == NRD_OK ? NULL : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static struct nrd_status *sink_waits(struct nrd_compute *ctx, struct small_op *self)
{
    void *stream = NULL;
    struct nrd_message *m = nrd_receive(ctx, 0);
    ok(nrd_compute_stream(ctx, 0, &stream));
    ok(nrd_stream_wait_tensor(ctx, stream, nrd_message_tensor(m, "t")));
    nrd_message_unref(m);
    if (self->computes == 50) {
        allocations = mem_count();
    } else if (self->computes == 500) {
        allocations = mem_count() - allocations;
    }
    return NULL;
}

static void streams_allocate_nothing_in_steady_state(void **state)
{
    (void)state;
    source_hook = source_sends_fresh;
    sink_hook = sink_waits;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    flow(add_source(f, "tx", 500), add(f, &sink_op, "rx", NULL));
    ok(nrd_app_run(app));
    assert_int_equal(allocations, 0);
    nrd_app_destroy(app);
}

// ---- wrapped memory ------------------------------------------------------------------------------------------------

static char somewhere[64];
static struct nrd_status *source_wraps(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    void *stream = NULL;
    struct nrd_tensor *t = NULL;
    struct nrd_message *m = nrd_message_new(ctx);
    ok(nrd_compute_stream(ctx, 0, &stream));
    ok(nrd_tensor_wrap(somewhere, 64, NRD_DTYPE_U8, (int64_t[]){64}, 1, NRD_MEMORY_GPU, 0, NULL,
                       NULL, &t));
    busy(stream, 0, 1000000);
    ok(nrd_message_add_tensor(m, "t", t));
    return nrd_emit(ctx, 0, m) == NRD_OK ? NULL : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static void streams_mark_wrapped_memory_too(void **state)
{
    (void)state;
    source_hook = source_wraps;
    sink_hook = sink_synchronizes;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    flow(add_source(f, "tx", 2), add(f, &sink_op, "rx", NULL));
    ok(nrd_app_run(app));
    nrd_app_destroy(app);
}

// ---- conditions ----------------------------------------------------------------------------------------------------

static struct nrd_status *sink_finds_it_ready(struct nrd_compute *ctx, struct small_op *self)
{
    struct nrd_message *m;
    while ((m = nrd_receive(ctx, 0)) != NULL) {
        bool ready = false;
        ok(tensor_is_ready(nrd_message_tensor(m, "t"), &ready));
        assert_true(ready);
        nrd_message_unref(m);
        self->got++;
    }
    return NULL;
}

static void cuda_conditions_wait_until_the_bytes_are_there(void **state)
{
    (void)state;
    static const char *const CONDITIONS[][2] = {
        {"CudaStreamCondition", "{receiver: in}"},
        {"CudaStreamCondition", "{receiver: in, check_all_messages: true}"},
        {"CudaEventCondition", "{receiver: in, event_name: t}"},
        {"CudaBufferAvailableCondition", "{receiver: in}"}};
    static const char *const SCHEDULERS[][2] = {
        {"GreedyScheduler", NULL}, {"EventBasedScheduler", "{worker_thread_number: 2}"}};
    source_hook = source_writes;
    sink_hook = sink_finds_it_ready;
    pool = NULL;
    for (int i = 0; i < 8; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, SCHEDULERS[i % 2][0], SCHEDULERS[i % 2][1]);
        struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
        flow(add_source(f, "tx", 5), rx);
        add_condition(rx, CONDITIONS[i / 2][0], CONDITIONS[i / 2][1]);
        for (int run = 0; run < 2; run++) {
            ok(nrd_app_run(app));
            assert_int_equal(small(rx)->got, 5 * (run + 1));
        }
        nrd_app_destroy(app);
    }
}

static void lose_gpu(void)
{
    fake_cuda_lose(0, 719);
}

static struct nrd_status *source_writes_and_loses(struct nrd_compute *ctx, struct small_op *self)
{
    struct nrd_status *status = source_writes(ctx, self);
    lose_gpu();
    return status;
}

static struct nrd_status *sink_takes(struct nrd_compute *ctx, struct small_op *self)
{
    nrd_message_unref(nrd_receive(ctx, 0));
    self->got++;
    return NULL;
}

static void cuda_condition_of_a_lost_gpu_does_not_wait_for_ever(void **state)
{
    (void)state;
    log_set_enabled(LOG_ERROR, false);
    source_hook = source_writes_and_loses;
    sink_hook = sink_takes;
    pool = NULL;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
    flow(add_source(f, "tx", 1), rx);
    add_condition(rx, "CudaStreamCondition", "{receiver: in}");
    status_free(nrd_app_run(app)); // it ends, whatever it says
    nrd_app_destroy(app);
    log_set_enabled(LOG_ERROR, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MACHINE_TEST(streams_order_operators_without_a_wait_on_the_cpu),
        MACHINE_TEST(streams_come_from_the_fragments_pool_within_its_maximum),
        MACHINE_TEST(streams_errors_name_the_gpu_and_the_operator),
        MACHINE_TEST(memory_that_was_given_back_waits_for_the_work_that_has_it),
        MACHINE_REAL_TEST(memory_available_waits_for_blocks_that_a_gpu_uses),
        MACHINE_REAL_TEST(memory_of_a_stream_ordered_pool_is_there_in_the_operators_stream),
        MACHINE_TEST(streams_allocate_nothing_in_steady_state),
        MACHINE_TEST(streams_mark_wrapped_memory_too),
        MACHINE_REAL_TEST(cuda_conditions_wait_until_the_bytes_are_there),
        MACHINE_REAL_TEST(cuda_condition_of_a_lost_gpu_does_not_wait_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
