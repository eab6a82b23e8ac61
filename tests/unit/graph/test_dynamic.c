// SPDX-License-Identifier: Apache-2.0
#include "small_ops.h"

#include "graph/resource.h"

// ---- flows of control ----

static char order[64];

static struct nrd_status *step_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    const char *name = nrd_operator_name(nrd_compute_operator(ctx));
    size_t length = strlen(order);
    if (length + 1 < sizeof(order)) {
        order[length] = name[0];
        order[length + 1] = '\0';
    }
    return NULL;
}

static const struct nrd_operator_class step_op = {
    .abi = NRD_OPERATOR_ABI, .name = "Step", .compute = step_compute};

static void flows_of_control_run_steps_once_in_order(void **state)
{
    (void)state;
    order[0] = '\0';
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *a = add(f, &step_op, "a", NULL);
    struct nrd_operator *b = add(f, &step_op, "b", NULL);
    flow(nrd_start_operator(f), a);
    flow(a, b);
    assert_ptr_equal(nrd_start_operator(f), nrd_fragment_operator(f, "<|start|>"));
    ok(nrd_app_run(app));
    assert_string_equal(order, "ab");
    nrd_app_destroy(app);
}

// a -> b or c; b and c -> a: three rounds, then none is chosen and the run ends.
static void choose_b_then_c(struct nrd_operator *op, struct nrd_flow_choice *choice, void *arg)
{
    (void)op;
    int *round = arg;
    static const char *const NEXT[] = {"b", "c", "b"};
    if (*round < 3) {
        ok(nrd_flow_choose(choice, NEXT[*round]));
    }
    fails(nrd_flow_choose(choice, "z"),
          "operator 'a' has no flow to 'z' to choose; it has flows to 'b', 'c'");
    ++*round;
}

static void flows_that_are_chosen_make_loops_that_end(void **state)
{
    (void)state;
    static const char *const SCHEDULERS[][2] = {
        {"GreedyScheduler", NULL}, {"EventBasedScheduler", "{worker_thread_number: 2}"}};
    for (int i = 0; i < 2; i++) {
        int round = 0;
        order[0] = '\0';
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, SCHEDULERS[i][0], SCHEDULERS[i][1]);
        struct nrd_operator *a = add(f, &step_op, "a", NULL);
        struct nrd_operator *b = add(f, &step_op, "b", NULL);
        struct nrd_operator *c = add(f, &step_op, "c", NULL);
        flow(nrd_start_operator(f), a);
        flow(a, b);
        flow(a, c);
        flow(b, a);
        flow(c, a);
        ok(nrd_set_dynamic_flows(a, choose_b_then_c, &round));
        ok(nrd_app_run(app));
        assert_string_equal(order, "abacaba");
        nrd_app_destroy(app);
    }
}

// ---- flows of messages ----

static void choose_by_turns(struct nrd_operator *op, struct nrd_flow_choice *choice, void *arg)
{
    (void)op;
    int *turn = arg;
    int which = (*turn)++ % 4;
    if (which == 0 || which == 2) {
        ok(nrd_flow_choose(choice, "left"));
    }
    if (which == 1 || which == 2) {
        ok(nrd_flow_choose(choice, "right"));
    }
}

static void messages_go_out_on_chosen_flows_only(void **state)
{
    (void)state;
    int turn = 0;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add_source(f, "tx", 8);
    struct nrd_operator *left = add(f, &sink_op, "left", NULL);
    struct nrd_operator *right = add(f, &sink_op, "right", NULL);
    flow(tx, left);
    flow(tx, right);
    ok(nrd_set_dynamic_flows(tx, choose_by_turns, &turn));
    ok(nrd_app_run(app));
    assert_int_equal(small(left)->got, 4);
    assert_int_equal(small(left)->sum, 0 + 2 + 4 + 6);
    assert_int_equal(small(right)->got, 4);
    assert_int_equal(small(right)->sum, 1 + 2 + 5 + 6);
    nrd_app_destroy(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SMALL_TEST(flows_of_control_run_steps_once_in_order),
        SMALL_TEST(flows_that_are_chosen_make_loops_that_end),
        SMALL_TEST(messages_go_out_on_chosen_flows_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
