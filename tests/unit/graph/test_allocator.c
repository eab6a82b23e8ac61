// SPDX-License-Identifier: Apache-2.0
// Allocators on a machine without a GPU, but for the last ones, which pretend some.
#include "small_ops.h"

#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "gpu_machine.h"
#include "graph/resource.h"

static struct nrd_operator *any_operator(struct nrd_app *app)
{
    struct nrd_operator *op = nrd_fragment_operator(nrd_app_fragment(app), "op");
    return op != NULL ? op : add(nrd_app_fragment(app), &source_op, "op", NULL);
}

static struct nrd_status *try_allocate(struct nrd_app *app, struct nrd_resource *r, size_t bytes,
                                       enum nrd_memory memory, int32_t device,
                                       struct nrd_tensor **t)
{
    int64_t dims[] = {(int64_t)bytes};
    *t = NULL;
    return nrd_allocate(any_operator(app), r, NRD_DTYPE_U8, dims, 1, memory, device, t);
}

static struct nrd_tensor *allocate(struct nrd_app *app, struct nrd_resource *r, size_t bytes)
{
    struct nrd_tensor *t;
    ok(try_allocate(app, r, bytes, NRD_MEMORY_CPU, 0, &t));
    assert_int_equal(t->byte_size, bytes);
    assert_int_equal((uintptr_t)t->data % 64, 0);
    memset(t->data, 1, bytes);
    return t;
}

// ---- the host ----

static void allocator_of_the_fragment_reuses_what_comes_back(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_resource *named =
        add_resource(nrd_app_fragment(app), "UnboundedAllocator", "pool", NULL);
    struct nrd_resource *allocators[] = {NULL, named};
    for (int i = 0; i < 2; i++) {
        uint64_t before = 0;
        for (int round = 0; round < 100; round++) {
            if (round == 3) {
                before = mem_count();
            }
            struct nrd_tensor *large = allocate(app, allocators[i], 3000000);
            struct nrd_tensor *small_one = allocate(app, allocators[i], 100);
            nrd_tensor_unref(large);
            nrd_tensor_unref(small_one);
        }
        assert_int_equal(mem_count(), before);
    }
    nrd_app_destroy(app);
}

static void allocator_lends_tensors_that_outlive_their_application(void **state)
{
    (void)state;
    static const char *const TYPES[][2] = {
        {"UnboundedAllocator", "{}"},
        {"BlockMemoryPool", "{storage_type: 2, block_size: 4096, num_blocks: 4}"}};
    for (int i = 0; i < 2; i++) {
        struct nrd_app *app = make_app();
        struct nrd_resource *r =
            add_resource(nrd_app_fragment(app), TYPES[i][0], "pool", TYPES[i][1]);
        struct nrd_tensor *t = allocate(app, r, 4000);
        struct nrd_tensor *view = NULL;
        ok(nrd_tensor_view(t, 100, NRD_DTYPE_U8, (int64_t[]){10}, 1, &view));
        nrd_tensor_unref(t);
        nrd_app_destroy(app);
        assert_int_equal(((const char *)view->data)[9], 1);
        nrd_tensor_unref(view);
    }
}

static void allocator_refuses_shapes_and_what_is_no_allocator(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_tensor *t = NULL;
    struct nrd_operator *op = any_operator(app);
    assert_fails(
        nrd_allocate(op, NULL, NRD_DTYPE_F32, (int64_t[]){2, -1}, 2, NRD_MEMORY_CPU, 0, &t),
        NRD_INVALID_ARG, "no tensor of type FP32 can have the shape [2,-1]");
    struct nrd_resource *clock = add_resource(nrd_app_fragment(app), "ManualClock", "c", NULL);
    assert_fails(try_allocate(app, clock, 1, NRD_MEMORY_CPU, 0, &t), NRD_INVALID_ARG,
                 "resource 'c' is a ManualClock, and no allocator");
    nrd_app_destroy(app);
}

static void block_pool_is_used_up_with_its_numbers_and_comes_back(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_resource *r = add_resource(nrd_app_fragment(app), "BlockMemoryPool", "pool",
                                          "{storage_type: 2, block_size: 1000, num_blocks: 3}");
    struct nrd_tensor *held[3];
    struct nrd_tensor *t;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++) {
            held[i] = allocate(app, r, 1000 - (size_t)i);
            for (int k = 0; k < i; k++) {
                assert_true((char *)held[i]->data >= (char *)held[k]->data + 1000 ||
                            (char *)held[k]->data >= (char *)held[i]->data + 1000);
            }
        }
        assert_fails(try_allocate(app, r, 1, NRD_MEMORY_CPU, 0, &t), NRD_UNAVAILABLE,
                     "resource 'pool' (BlockMemoryPool): all 3 blocks of 1000 bytes are in use");
        for (int i = 0; i < 3; i++) {
            nrd_tensor_unref(held[i]);
        }
    }
    assert_fails(
        try_allocate(app, r, 1001, NRD_MEMORY_CPU, 0, &t), NRD_INVALID_ARG,
        "resource 'pool' (BlockMemoryPool): a tensor of 1001 bytes does not fit a block of "
        "1000 bytes");
    assert_fails(try_allocate(app, r, 10, NRD_MEMORY_GPU, 0, &t), NRD_INVALID_ARG,
                 "resource 'pool' (BlockMemoryPool): its blocks are system memory of device 0, a "
                 "tensor in device memory of device 0 was asked for");
    nrd_app_destroy(app);
}

static void block_pool_steady_state_allocates_nothing(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_resource *r = add_resource(nrd_app_fragment(app), "BlockMemoryPool", "pool",
                                          "{storage_type: 2, block_size: 1000, num_blocks: 3}");
    nrd_tensor_unref(allocate(app, r, 1000));
    uint64_t before = mem_count();
    for (int i = 0; i < 100; i++) {
        nrd_tensor_unref(allocate(app, r, 1000));
    }
    assert_int_equal(mem_count(), before);
    nrd_app_destroy(app);
}

static void allocator_without_a_gpu_refuses_device_memory_by_name(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_tensor *t;
    fails(try_allocate(app, NULL, 10, NRD_MEMORY_GPU, 0, &t), "there is no GPU 0: ");
    struct nrd_value *params = yaml("{storage_type: 1, block_size: 8, num_blocks: 2}");
    fails(nrd_add_resource(f, "BlockMemoryPool", "pool", params, NULL),
          "resource 'pool' (BlockMemoryPool): storage_type 1 (device): there is no GPU 0: ");
    nrd_value_free(params);
    fails(nrd_add_resource(f, "StreamOrderedAllocator", "so", NULL, NULL),
          "resource 'so' (StreamOrderedAllocator): there is no GPU 0: ");
    struct nrd_resource *rmm =
        add_resource(f, "RMMAllocator", "rmm", "{host_memory_max_size: 16MB}");
    fails(try_allocate(app, rmm, 10, NRD_MEMORY_GPU, 0, &t),
          "resource 'rmm' (RMMAllocator): there is no GPU 0: ");
    struct nrd_tensor *most = allocate(app, rmm, 16000000);
    assert_fails(try_allocate(app, rmm, 1000000, NRD_MEMORY_CPU, 0, &t), NRD_UNAVAILABLE,
                 "resource 'rmm' (RMMAllocator): host memory pool of 16777216 bytes has no room "
                 "for 1000000 bytes (16000000 in use)");
    nrd_tensor_unref(most);
    nrd_tensor_unref(allocate(app, rmm, 1000000));
    nrd_app_destroy(app);
}

static void allocator_without_a_gpu_takes_system_memory_for_pinned_and_says_so_once(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/nereid-allocator-%d.log", (int)getpid());
    ok(log_set_file(path));
    struct nrd_app *app = make_app();
    struct nrd_resource *pool = add_resource(nrd_app_fragment(app), "BlockMemoryPool", "pool",
                                             "{storage_type: 0, block_size: 8, num_blocks: 2}");
    struct nrd_resource *allocators[] = {NULL, pool};
    for (int i = 0; i < 6; i++) {
        struct nrd_tensor *t;
        ok(try_allocate(app, allocators[i % 2], 8, NRD_MEMORY_PINNED, 0, &t));
        assert_int_equal(t->memory, NRD_MEMORY_CPU);
        nrd_tensor_unref(t);
    }
    nrd_app_destroy(app);
    ok(log_set_file(""));
    struct str text = STR_INIT;
    ok(file_read(path, 0, &text));
    size_t lines = 0;
    for (size_t i = 0; i < text.len; i++) {
        lines += text.ptr[i] == '\n';
    }
    assert_int_equal(lines, 2); // one an allocator
    assert_non_null(strstr(str_cstr(&text), "resource 'pool' (BlockMemoryPool): there is no GPU, "
                                            "its pinned memory is system memory"));
    str_fini(&text);
    unlink(path);
}

// ---- MemoryAvailable ----

static struct nrd_resource *pool_of_two;
static struct nrd_message *kept[8];
static size_t kept_count;

static struct nrd_status *source_takes_a_block(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    struct nrd_tensor *t = NULL;
    NRD_TRY(nrd_allocate(nrd_compute_operator(ctx), pool_of_two, NRD_DTYPE_U8, (int64_t[]){64}, 1,
                         NRD_MEMORY_CPU, 0, &t));
    struct nrd_message *m = nrd_message_new(ctx);
    ok(nrd_message_add_tensor(m, "", t));
    return nrd_emit(ctx, 0, m) == NRD_OK ? NULL : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

// Keeps two messages and then lets both go: the source has to wait for that.
static struct nrd_status *sink_keeps_two(struct nrd_compute *ctx, struct small_op *self)
{
    struct nrd_message *m;
    while ((m = nrd_receive(ctx, 0)) != NULL) {
        self->got++;
        kept[kept_count++] = m;
    }
    if (kept_count == 2) {
        while (kept_count > 0) {
            nrd_message_unref(kept[--kept_count]);
        }
    }
    return NULL;
}

static void memory_available_lets_a_source_wait_for_blocks(void **state)
{
    (void)state;
    static const char *const SCHEDULERS[][2] = {
        {"GreedyScheduler", NULL}, {"EventBasedScheduler", "{worker_thread_number: 2}"}};
    source_hook = source_takes_a_block;
    sink_hook = sink_keeps_two;
    for (int i = 0; i < 2; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, SCHEDULERS[i][0], SCHEDULERS[i][1]);
        pool_of_two = add_resource(f, "BlockMemoryPool", "pool",
                                   "{storage_type: 2, block_size: 64, num_blocks: 2}");
        struct nrd_operator *tx = add_source(f, "tx", 1000);
        struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
        flow(tx, rx);
        add_condition(tx, "MemoryAvailableCondition", "{allocator: pool, min_blocks: 1}");
        ok(nrd_app_run(app));
        assert_int_equal(small(rx)->got, 1000);
        nrd_app_destroy(app);
    }
}

// Only keeps: whoever waits for memory has nobody but the allocator to tell it.
static struct nrd_status *sink_keeps(struct nrd_compute *ctx, struct small_op *self)
{
    struct nrd_message *m;
    while ((m = nrd_receive(ctx, 0)) != NULL) {
        self->got++;
        kept[kept_count++] = m;
    }
    return NULL;
}

static struct nrd_status *other_source_lets_one_go(struct nrd_compute *ctx, struct small_op *self)
{
    if (strcmp(nrd_operator_name(nrd_compute_operator(ctx)), "tx") == 0) {
        return source_takes_a_block(ctx, self);
    }
    if (kept_count > 0) {
        nrd_message_unref(kept[--kept_count]);
    }
    return NULL;
}

static void memory_available_is_told_when_a_block_comes_back(void **state)
{
    (void)state;
    source_hook = other_source_lets_one_go;
    sink_hook = sink_keeps;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    add_resource(f, "ManualClock", "clock", NULL);
    set_scheduler(f, "GreedyScheduler", "{clock: clock}");
    pool_of_two = add_resource(f, "BlockMemoryPool", "pool",
                               "{storage_type: 2, block_size: 64, num_blocks: 2}");
    struct nrd_operator *tx = add_source(f, "tx", 10);
    struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
    struct nrd_operator *timer = add_source(f, "timer", 20);
    flow(tx, rx);
    flow(timer, add(f, &sink_op, "unused", NULL));
    add_condition(timer, "PeriodicCondition", "{recess_period: 1s}");
    add_condition(tx, "MemoryAvailableCondition", "{allocator: pool, min_bytes: 64}");
    ok(nrd_app_run(app));
    assert_int_equal(small(rx)->got, 10);
    while (kept_count > 0) {
        nrd_message_unref(kept[--kept_count]);
    }
    nrd_app_destroy(app);
}

static void block_pool_survives_each_failing_allocation(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_resource *pool = add_resource(nrd_app_fragment(app), "BlockMemoryPool", "pool",
                                             "{storage_type: 2, block_size: 8, num_blocks: 1}");
    any_operator(app);
    struct nrd_resource *allocators[] = {pool, NULL};
    for (int i = 0; i < 2; i++) {
        TORTURE_LOOP(n)
        {
            struct nrd_tensor *t;
            struct nrd_status *status = try_allocate(app, allocators[i], 8, NRD_MEMORY_CPU, 0, &t);
            status_free(status);
            nrd_tensor_unref(t);
        }
        nrd_tensor_unref(allocate(app, allocators[i], 8)); // no block was lost on the way
    }
    nrd_app_destroy(app);
}

// ---- pretended GPUs ----

static struct nrd_tensor *allocate_on(struct nrd_app *app, struct nrd_resource *r, size_t bytes,
                                      enum nrd_memory memory, int32_t device)
{
    struct nrd_tensor *t;
    ok(try_allocate(app, r, bytes, memory, device, &t));
    assert_int_equal(t->memory, memory);
    assert_int_equal(t->device, memory == NRD_MEMORY_GPU ? device : 0);
    return t;
}

static void allocator_of_the_fragment_has_memory_of_every_gpu(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    for (int round = 0; round < 3; round++) {
        struct nrd_tensor *a = allocate_on(app, NULL, 5000, NRD_MEMORY_GPU, 0);
        struct nrd_tensor *b = allocate_on(app, NULL, 5000, NRD_MEMORY_GPU, 1);
        struct nrd_tensor *c = allocate_on(app, NULL, 5000, NRD_MEMORY_PINNED, 0);
        memset(c->data, 7, 5000);
        nrd_tensor_unref(a);
        nrd_tensor_unref(b);
        nrd_tensor_unref(c);
    }
    struct nrd_tensor *t;
    assert_fails(try_allocate(app, NULL, 8, NRD_MEMORY_GPU, 2, &t), NRD_UNAVAILABLE,
                 "there is no GPU 2: this machine has 2");
    nrd_app_destroy(app);
}

static void allocators_of_a_gpu_keep_their_limits(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_resource *blocks =
        add_resource(f, "BlockMemoryPool", "blocks",
                     "{storage_type: 1, block_size: 1000, num_blocks: 2, dev_id: 1}");
    struct nrd_resource *ordered =
        add_resource(f, "StreamOrderedAllocator", "ordered",
                     "{device_memory_initial_size: 1MB, device_memory_max_size: 2MB, dev_id: 1}");
    struct nrd_resource *rmm = add_resource(f, "RMMAllocator", "rmm", NULL);
    struct nrd_tensor *t;
    struct nrd_tensor *one = allocate_on(app, blocks, 1000, NRD_MEMORY_GPU, 1);
    struct nrd_tensor *two = allocate_on(app, blocks, 10, NRD_MEMORY_GPU, 1);
    assert_fails(try_allocate(app, blocks, 1, NRD_MEMORY_GPU, 1, &t), NRD_UNAVAILABLE,
                 "resource 'blocks' (BlockMemoryPool): all 2 blocks of 1000 bytes are in use");
    fails(try_allocate(app, blocks, 1, NRD_MEMORY_GPU, 0, &t), "of device 0 was asked for");
    struct nrd_tensor *most = allocate_on(app, ordered, 2000000, NRD_MEMORY_GPU, 1);
    fails(try_allocate(app, ordered, 200000, NRD_MEMORY_GPU, 1, &t),
          "resource 'ordered' (StreamOrderedAllocator): GPU 1: memory pool of 2097152 bytes has no "
          "room for 200000 bytes (2000000 in use)");
    fails(try_allocate(app, ordered, 8, NRD_MEMORY_CPU, 0, &t),
          "it has device memory only, and no system memory");
    struct nrd_tensor *pinned = allocate_on(app, rmm, 100, NRD_MEMORY_PINNED, 0);
    struct nrd_tensor *device = allocate_on(app, rmm, 100, NRD_MEMORY_GPU, 0);
    fails(try_allocate(app, rmm, 8, NRD_MEMORY_GPU, 1, &t), "its memory is of GPU 0, not of GPU 1");
    nrd_app_destroy(app); // and what was lent comes back after it
    nrd_tensor_unref(one);
    nrd_tensor_unref(two);
    nrd_tensor_unref(most);
    nrd_tensor_unref(pinned);
    nrd_tensor_unref(device);
}

static void allocators_of_a_gpu_survive_each_failing_allocation(void **state)
{
    (void)state;
    static const char *const TYPES[][2] = {
        {"BlockMemoryPool", "{storage_type: 1, block_size: 64, num_blocks: 2}"},
        {"BlockMemoryPool", "{storage_type: 0, block_size: 64, num_blocks: 2}"},
        {"StreamOrderedAllocator", "{}"},
        {"RMMAllocator", "{}"}};
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(*TYPES); i++) {
        struct nrd_value *params = yaml(TYPES[i][1]);
        enum nrd_memory memory = i == 1 ? NRD_MEMORY_PINNED : NRD_MEMORY_GPU;
        TORTURE_LOOP(n)
        {
            struct nrd_app *app = NULL;
            struct nrd_resource *r = NULL;
            struct nrd_operator *op = NULL;
            struct nrd_tensor *t = NULL;
            struct nrd_status *status = nrd_app_create("t", &app);
            if (status == NULL) {
                status = nrd_add_operator_class(nrd_app_fragment(app), &source_op, "op", NULL, &op);
            }
            if (status == NULL) {
                status = nrd_add_resource(nrd_app_fragment(app), TYPES[i][0], "r", params, &r);
            }
            if (status == NULL) {
                status = nrd_allocate(op, r, NRD_DTYPE_U8, (int64_t[]){64}, 1, memory, 0, &t);
            }
            status_free(status);
            nrd_tensor_unref(t);
            nrd_app_destroy(app);
        }
        nrd_value_free(params);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SMALL_TEST(allocator_of_the_fragment_reuses_what_comes_back),
        SMALL_TEST(allocator_lends_tensors_that_outlive_their_application),
        SMALL_TEST(allocator_refuses_shapes_and_what_is_no_allocator),
        SMALL_TEST(block_pool_is_used_up_with_its_numbers_and_comes_back),
        SMALL_TEST(block_pool_steady_state_allocates_nothing),
        SMALL_TEST(allocator_without_a_gpu_refuses_device_memory_by_name),
        SMALL_TEST(allocator_without_a_gpu_takes_system_memory_for_pinned_and_says_so_once),
        SMALL_TEST(memory_available_lets_a_source_wait_for_blocks),
        SMALL_TEST(memory_available_is_told_when_a_block_comes_back),
        SMALL_TEST(block_pool_survives_each_failing_allocation),
        MACHINE_TEST(allocator_of_the_fragment_has_memory_of_every_gpu),
        MACHINE_TEST(allocators_of_a_gpu_keep_their_limits),
        MACHINE_TEST(allocators_of_a_gpu_survive_each_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
