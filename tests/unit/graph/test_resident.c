// SPDX-License-Identifier: Apache-2.0
// GPU-resident graphs on a pretended GPU, whose kernels really compute: each pass works on the memory that was captured.
#include "gpu_machine.h"

#include "base/log.h"
#include "nereid/resident.h"

// ---- kernels: to = from + by -----------------------------------------------------------------------------------------

struct add_params {
    const int64_t *from;
    int64_t *to;
    int64_t by;
};

static void add_run(const struct fake_launch *launch)
{
    const struct add_params *p = launch->params;
    *(int64_t *)fake_cuda_peek(p->to) = *(const int64_t *)fake_cuda_peek(p->from) + p->by;
}

static void launch_add(void *stream, const int64_t *from, int64_t *to, int64_t by)
{
    static const struct fake_kernel KERNEL = {
        .name = "add", .param_bytes = sizeof(struct add_params), .run = add_run, .cost_ns = 1000};
    struct gpu_system *system = NULL;
    struct gpu_scope scope;
    struct cu_module *module = NULL;
    struct cu_function *function = NULL;
    struct add_params value = {from, to, by};
    void *params[] = {&value};
    fake_cuda_kernel(&KERNEL);
    ok(gpu_system_open(&system));
    ok(gpu_device_enter(gpu_system_device(system, 0), &scope));
    assert_int_equal(gpu_driver()->module_load(&module, "any", 0, NULL, NULL), 0);
    assert_int_equal(gpu_driver()->module_function(&function, module, "add"), 0);
    assert_int_equal(
        gpu_driver()->launch_kernel(function, 1, 1, 1, 1, 1, 1, 0, stream, params, NULL), 0);
    assert_int_equal(gpu_driver()->module_unload(module), 0);
    gpu_device_leave(&scope);
    gpu_system_close(system);
}

// ---- operators -----------------------------------------------------------------------------------------------------

static struct nrd_tensor *input, *output; // fixed memory, of the first and of the last operator

static struct nrd_tensor *allocate(struct nrd_operator *op)
{
    struct nrd_tensor *t = NULL;
    ok(nrd_allocate(op, NULL, NRD_DTYPE_I64, (int64_t[]){1}, 1, NRD_MEMORY_GPU, 0, &t));
    return t;
}

static struct nrd_status *emit_add(struct nrd_compute *ctx, const struct nrd_tensor *from,
                                   int64_t by)
{
    void *stream = NULL;
    struct nrd_tensor *t = allocate(nrd_compute_operator(ctx));
    NRD_TRY(nrd_compute_stream(ctx, 0, &stream));
    NRD_TRY(nrd_stream_wait_tensor(ctx, stream, from));
    launch_add(stream, from->data, t->data, by);
    struct nrd_message *m = nrd_message_new(ctx);
    ok(nrd_message_add_tensor(m, "", t));
    return nrd_emit(ctx, 0, m) == NRD_OK ? NULL : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static struct nrd_status *source_adds_one(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    return emit_add(ctx, input, 1);
}

static struct nrd_status *pass_adds_ten(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    struct nrd_message *m = nrd_receive(ctx, 0);
    struct nrd_status *status = emit_add(ctx, nrd_message_tensor(m, ""), 10);
    nrd_message_unref(m);
    return status;
}

static struct nrd_status *sink_adds_hundred(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    void *stream = NULL;
    struct nrd_message *m;
    NRD_TRY(nrd_compute_stream(ctx, 0, &stream));
    while ((m = nrd_receive(ctx, 0)) != NULL) {
        launch_add(stream, nrd_message_tensor(m, "")->data, output->data, 100);
        nrd_message_unref(m);
    }
    return NULL;
}

static int starts, stops;
static struct nrd_status *start(struct nrd_operator *op, void *self)
{
    (void)self;
    starts++;
    if (strcmp(nrd_operator_name(op), "tx") == 0) {
        input = allocate(op);
        output = allocate(op);
    }
    return NULL;
}

static struct nrd_status *stop(struct nrd_operator *op, void *self)
{
    (void)self;
    stops++;
    if (strcmp(nrd_operator_name(op), "tx") == 0) {
        nrd_tensor_unref(input);
        nrd_tensor_unref(output);
    }
    return NULL;
}

// tx -> a -> b -> rx
static struct nrd_app *chain(void)
{
    static struct nrd_operator_class tables[3];
    const struct nrd_operator_class *from[] = {&source_op, &pass_op, &sink_op};
    for (int i = 0; i < 3; i++) {
        tables[i] = *from[i];
        tables[i].start = start;
        tables[i].stop = stop;
    }
    source_hook = source_adds_one;
    pass_hook = pass_adds_ten;
    sink_hook = sink_adds_hundred;
    starts = 0;
    stops = 0;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *ops[] = {add(f, &tables[0], "tx", NULL), add(f, &tables[1], "a", NULL),
                                  add(f, &tables[1], "b", NULL), add(f, &tables[2], "rx", NULL)};
    for (int i = 0; i < 3; i++) {
        flow(ops[i], ops[i + 1]);
    }
    return app;
}

static int64_t *at(const struct nrd_tensor *t)
{
    return fake_cuda_peek(t->data);
}

// ---- tests ---------------------------------------------------------------------------------------------------------

static void resident_graph_computes_anew_at_every_launch(void **state)
{
    (void)state;
    struct nrd_app *app = chain();
    struct nrd_resident *r = NULL;
    ok(nrd_resident_create(app, NULL, &r));
    assert_int_equal(starts, 4);
    assert_int_equal(nrd_resident_node_count(r), 4);
    assert_int_equal(nrd_resident_pass_count(r), 0);
    assert_non_null(nrd_resident_stream(r));
    for (int64_t i = 0; i < 50; i++) {
        bool ready = true;
        *at(input) = i * 1000;
        ok(nrd_resident_data_ready(r));
        ok(nrd_resident_result_ready(r, &ready));
        assert_false(ready);
        ok(nrd_resident_wait(r));
        ok(nrd_resident_result_ready(r, &ready));
        assert_true(ready);
        assert_int_equal(*at(output), i * 1000 + 121);
    }
    assert_int_equal(nrd_resident_pass_count(r), 50);
    assert_int_equal(fake_cuda_launches(0), 200); // none of them at the capture
    for (uint32_t i = 0; i < nrd_fragment_operator_count(nrd_app_fragment(app)); i++) {
        struct nrd_operator *op = nrd_fragment_operator_at(nrd_app_fragment(app), i);
        assert_int_equal(small(op)->computes, 1);
    }
    ok(nrd_resident_tear_down(r));
    assert_int_equal(stops, 4);
    nrd_app_destroy(app);
}

static void resident_launch_calls_the_driver_a_few_times_and_no_heap(void **state)
{
    (void)state;
    struct nrd_app *app = chain();
    struct nrd_resident *r = NULL;
    ok(nrd_resident_create(app, NULL, &r));
    for (int i = 0; i < 3; i++) {
        ok(nrd_resident_data_ready(r));
        ok(nrd_resident_wait(r));
    }
    uint64_t heap = mem_count();
    uint64_t launches = fake_cuda_calls(GPU_FN_graph_launch);
    uint64_t kernels = fake_cuda_calls(GPU_FN_launch_kernel);
    for (int i = 0; i < 100; i++) {
        ok(nrd_resident_data_ready(r));
    }
    assert_int_equal(mem_count(), heap);
    assert_int_equal(fake_cuda_calls(GPU_FN_graph_launch) - launches, 100);
    assert_int_equal(fake_cuda_calls(GPU_FN_launch_kernel), kernels);
    ok(nrd_resident_tear_down(r)); // waits for all of them
    nrd_app_destroy(app);
}

static void resident_application_runs_and_is_captured_again_afterwards(void **state)
{
    (void)state;
    struct nrd_app *app = chain();
    add_condition(nrd_fragment_operator(nrd_app_fragment(app), "tx"), "CountCondition",
                  "{count: 1}");
    struct nrd_resident *r = NULL;
    assert_fails(nrd_resident_create(app, NULL, &r), NRD_UNSUPPORTED,
                 "operator 'tx': in a resident graph it computes once a pass, so its "
                 "CountCondition cannot be kept");
    ok(nrd_app_run(app)); // as ever
    assert_int_equal(starts, 4);
    assert_int_equal(stops, 4);
    nrd_app_destroy(app);
    app = chain();
    for (int i = 0; i < 3; i++) {
        ok(nrd_resident_create(app, NULL, &r));
        assert_fails(nrd_app_run(app), NRD_ALREADY_EXISTS, "application 'test' is running already");
        ok(nrd_resident_data_ready(r));
        ok(nrd_resident_tear_down(r));
    }
    ok(nrd_resident_tear_down(NULL));
    nrd_app_destroy(app);
}

static void resident_graph_refuses_what_it_cannot_capture(void **state)
{
    (void)state;
    struct nrd_resident *r = NULL;
    struct nrd_resident_options far = {.device = 5};
    struct nrd_app *app = chain();
    struct nrd_fragment *f = nrd_app_fragment(app);
    assert_fails(nrd_resident_create(app, &far, &r), NRD_UNAVAILABLE,
                 "there is no GPU 5: this machine has 2");
    struct nrd_operator *loop = add(f, &pass_op, "loop", NULL);
    flow(loop, loop);
    add_condition(loop, "NoneCondition", "{receiver: in}");
    fails(nrd_resident_create(app, NULL, &r), "a resident graph has no cycles");
    nrd_app_destroy(app);
    app = chain();
    struct nrd_fragment *second = NULL;
    ok(nrd_app_add_fragment(app, "second", &second));
    flow(add_source(second, "other", 1), add(second, &sink_op, "end", NULL));
    assert_fails(nrd_resident_create(app, NULL, &r), NRD_UNSUPPORTED,
                 "application 'test': a resident graph is one fragment, it has 2");
    nrd_app_destroy(app);
}

static struct nrd_status *pass_drops(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    nrd_message_unref(nrd_receive(ctx, 0));
    return NULL;
}

static struct nrd_status *pass_fails(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    nrd_message_unref(nrd_receive(ctx, 0));
    return nrd_compute_fail(ctx, NRD_INTERNAL, "no more");
}

static void resident_graph_says_who_failed_in_the_capture(void **state)
{
    (void)state;
    struct nrd_resident *r = NULL;
    struct nrd_app *app = chain();
    pass_hook = pass_drops;
    assert_fails(nrd_resident_create(app, NULL, &r), NRD_UNSUPPORTED,
                 "operator 'b': nothing came to its input 'in' in the pass that is captured");
    assert_int_equal(stops, 4);
    pass_hook = pass_fails;
    assert_fails(nrd_resident_create(app, NULL, &r), NRD_INTERNAL, "operator 'a': no more");
    pass_hook = pass_adds_ten;
    ok(nrd_resident_create(app, NULL, &r));
    ok(nrd_resident_tear_down(r));
    nrd_app_destroy(app);
}

static void resident_graph_of_a_lost_gpu_is_torn_down(void **state)
{
    (void)state;
    struct nrd_resident *r = NULL;
    struct nrd_app *app = chain();
    log_set_enabled(LOG_ERROR, false);
    ok(nrd_resident_create(app, NULL, &r));
    ok(nrd_resident_data_ready(r));
    fake_cuda_lose(0, 719);
    struct nrd_status *status = nrd_resident_data_ready(r);
    assert_non_null(status);
    status_free(status);
    status = nrd_resident_tear_down(r);
    assert_non_null(status);
    status_free(status);
    assert_int_equal(stops, 4);
    log_set_enabled(LOG_ERROR, true);
    nrd_app_destroy(app);
}

static void resident_graph_survives_each_failing_allocation(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct nrd_app *app = chain();
        struct nrd_resident *r = NULL;
        // Operators that fail take their allocations from elsewhere: only what create itself makes may fail here.
        pass_hook = NULL;
        sink_hook = NULL;
        source_hook = NULL;
        ok(nrd_app_compile(app));
        mem_fail_after(n);
        struct nrd_status *status = nrd_resident_create(app, NULL, &r);
        mem_fail_after(0);
        bool done = status == NULL;
        status_free(status);
        status_free(nrd_resident_tear_down(r));
        nrd_app_destroy(app);
        if (done) {
            break;
        }
        assert_true(n < 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MACHINE_TEST(resident_graph_computes_anew_at_every_launch),
        MACHINE_TEST(resident_launch_calls_the_driver_a_few_times_and_no_heap),
        MACHINE_TEST(resident_application_runs_and_is_captured_again_afterwards),
        MACHINE_TEST(resident_graph_refuses_what_it_cannot_capture),
        MACHINE_TEST(resident_graph_says_who_failed_in_the_capture),
        MACHINE_TEST(resident_graph_of_a_lost_gpu_is_torn_down),
        MACHINE_TEST(resident_graph_survives_each_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
