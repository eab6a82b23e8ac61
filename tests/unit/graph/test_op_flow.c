// SPDX-License-Identifier: Apache-2.0
// Operators that shape flows: join, split, gate, throttle, tap; and the tensor and asynchronous pings.
#include "op_unit.h"

#include "graph/ops/ops.h"

static struct nrd_operator *add_tensor_source(struct nrd_fragment *f, const char *name,
                                              const char *params, const char *count)
{
    struct nrd_operator *op = add_named(f, "PingTensorTxOp", name, params);
    add_condition(op, "CountCondition", count);
    return op;
}

static void tensor_ping_sends_the_shape_and_bytes_asked_for(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct probe *p = add_probe(
        f,
        add_tensor_source(f, "tx",
                          "{batch_size: 2, rows: 3, columns: 0, channels: 4, data_type: int16_t, "
                          "tensor_name: t, data: [1, 2, 255]}",
                          "{count: 2}"),
        "");
    ok(nrd_app_run(app));
    assert_int_equal(p->count, 2);
    struct nrd_tensor *t = nrd_message_tensor(p->messages[1], "t");
    assert_non_null(t);
    assert_int_equal(t->dtype, NRD_DTYPE_I16);
    assert_int_equal(t->rank, 3);
    assert_int_equal(t->dims[0], 2);
    assert_int_equal(t->dims[1], 3);
    assert_int_equal(t->dims[2], 4);
    static const uint8_t want[48] = {1, 2, 255};
    assert_memory_equal(t->data, want, sizeof(want));
    nrd_app_destroy(app);

    app = make_app();
    struct nrd_operator *op = NULL;
    f = nrd_app_fragment(app);
    fails(nrd_add_operator_yaml(f, "PingTensorTxOp", "a", "{storage_type: device}", &op), "device");
    fails(nrd_add_operator_yaml(f, "PingTensorTxOp", "b", "{data: [256]}", &op), "data[0] is 256");
    nrd_app_destroy(app);
}

static void join_takes_the_tensors_of_all_flows(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *a = add_tensor_source(f, "a", "{data: [1]}", "{count: 5}");
    struct nrd_operator *b = add_tensor_source(f, "b", "{data: [2]}", "{count: 3}");
    struct nrd_operator *join = add_named(f, "JoinOp", "join", "{names: [left, right]}");
    flow(a, join);
    flow(b, join);
    struct probe *p = add_probe(f, join, "");
    ok(nrd_app_run(app));
    assert_int_equal(p->count, 3); // as many as the shorter has
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(nrd_message_tensor_count(p->messages[i]), 2);
        assert_int_equal(*(uint8_t *)nrd_message_tensor(p->messages[i], "left")->data, 1);
        assert_int_equal(*(uint8_t *)nrd_message_tensor(p->messages[i], "right")->data, 2);
    }
    nrd_app_destroy(app);
}

static void join_refuses_two_tensors_of_one_name(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *join = add_named(f, "JoinOp", "join", NULL);
    flow(add_tensor_source(f, "a", NULL, "{count: 1}"), join);
    flow(add_tensor_source(f, "b", NULL, "{count: 1}"), join);
    add_probe(f, join, "");
    fails(nrd_app_run(app), "flow 1 has a tensor 'tensor', and one before it too");
    nrd_app_destroy(app);

    app = make_app();
    f = nrd_app_fragment(app);
    join = add_named(f, "JoinOp", "join", "{names: [a, b]}");
    flow(add_tensor_source(f, "a", NULL, "{count: 1}"), join);
    add_probe(f, join, "");
    fails(nrd_app_compile(app), "there are 2 names for 1 flows");
    nrd_app_destroy(app);
}

static void split_sends_each_tensor_its_own_way(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *join = add_named(f, "JoinOp", "join", "{names: [x, y]}");
    struct nrd_operator *split =
        add_named(f, "SplitOp", "split", "{outputs: [first, second], tensors: [y, x]}");
    flow(add_tensor_source(f, "a", "{data: [1]}", "{count: 4}"), join);
    flow(add_tensor_source(f, "b", "{data: [2]}", "{count: 4}"), join);
    flow(join, split);
    struct probe *first = add_probe(f, split, "first"), *second = add_probe(f, split, "second");
    ok(nrd_app_run(app));
    assert_int_equal(first->count, 4);
    assert_int_equal(second->count, 4);
    assert_int_equal(*(uint8_t *)nrd_message_tensor(first->messages[3], "y")->data, 2);
    assert_int_equal(*(uint8_t *)nrd_message_tensor(second->messages[3], "x")->data, 1);
    assert_int_equal(nrd_message_tensor_count(first->messages[3]), 1);
    nrd_app_destroy(app);

    app = make_app();
    f = nrd_app_fragment(app);
    split = add_named(f, "SplitOp", "split", "{outputs: [none]}");
    flow(add_tensor_source(f, "a", NULL, "{count: 1}"), split);
    add_probe(f, split, "none");
    fails(nrd_app_run(app), "message has no tensor 'none' (it has 'tensor')");
    nrd_app_destroy(app);
}

static void a_closed_gate_drops_and_an_open_one_passes(void **state)
{
    (void)state;
    for (int open = 0; open < 2; open++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        struct nrd_operator *tx = add(f, &ping_tx_op, "tx", NULL);
        struct nrd_operator *gate =
            add_named(f, "GateOp", "gate", open ? "{open: true}" : "{open: false}");
        add_condition(tx, "CountCondition", "{count: 6}");
        flow(tx, gate);
        struct probe *p = add_probe(f, gate, "");
        ok(nrd_app_run(app));
        assert_int_equal(p->count, open ? 6 : 0);
        assert_int_equal(counts_of(gate).received, 6);
        nrd_app_destroy(app);
    }
}

// A source at 100 Hz behind a throttle with these parameters: what came through, of 40.
static struct nrd_app *run_throttle(const char *params, struct probe **p, struct nrd_operator **op)
{
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    use_manual_clock(f);
    struct nrd_operator *tx = add(f, &ping_tx_op, "tx", NULL);
    add_condition(tx, "CountCondition", "{count: 40}");
    add_condition(tx, "PeriodicCondition", "{recess_period: 100Hz}");
    *op = add_named(f, "ThrottleOp", "throttle", params);
    flow(tx, *op);
    *p = add_probe(f, *op, "");
    ok(nrd_app_run(app));
    return app;
}

static void a_throttle_drops_what_comes_too_early(void **state)
{
    (void)state;
    struct probe *p;
    struct nrd_operator *op;
    struct nrd_app *app = run_throttle("{rate: 25Hz}", &p, &op);
    assert_int_equal(p->count, 10);
    for (size_t i = 0; i < p->count; i++) {
        const int64_t *value = nrd_message_value(p->messages[i], NULL, NULL);
        assert_int_equal(*value, 1 + 4 * i);
    }
    assert_int_equal(counts_of(op).received, 40);
    nrd_app_destroy(app);
}

static void a_throttle_may_hold_the_sender_back_instead(void **state)
{
    (void)state;
    struct probe *p;
    struct nrd_operator *op;
    struct nrd_app *app = run_throttle("{rate: 50ms, mode: wait}", &p, &op);
    assert_int_equal(p->count, 40); // nothing is lost
    for (size_t i = 0; i < p->count; i++) {
        assert_int_equal(p->times[i] - p->times[0], i * 50000000);
    }
    nrd_app_destroy(app);
}

static void a_tap_shows_every_nth_and_never_waits(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add(f, &ping_tx_op, "tx", NULL);
    struct nrd_operator *tap = add_named(f, "FrameTapOp", "tap_op", "{every: 3}");
    add_condition(tx, "CountCondition", "{count: 10}");
    flow(tx, tap);
    struct probe *out = add_probe(f, tap, "out");
    struct probe *shown = add_probe(f, tap, "tap");
    ok(nrd_app_run(app));
    assert_int_equal(out->count, 10);
    assert_int_equal(shown->count, 4);
    assert_int_equal(*(const int64_t *)nrd_message_value(shown->messages[3], NULL, NULL), 10);
    nrd_app_destroy(app);

    // A viewer that takes one message and never another.
    app = make_app();
    f = nrd_app_fragment(app);
    tx = add(f, &ping_tx_op, "tx", NULL);
    tap = add_named(f, "FrameTapOp", "tap_op", NULL);
    add_condition(tx, "CountCondition", "{count: 10}");
    flow(tx, tap);
    out = add_probe(f, tap, "out");
    struct nrd_operator *slow = add(f, &probe_op, "slow", NULL);
    add_condition(slow, "CountCondition", "{count: 1}");
    ok(nrd_add_flow(tap, "tap", slow, "", NULL));
    ok(nrd_app_run(app));
    assert_int_equal(out->count, 10);
    nrd_app_destroy(app);
}

static void asynchronous_pings_deliver_each_number(void **state)
{
    (void)state;
    static const char *const schedulers[][2] = {
        {"GreedyScheduler", NULL},
        {"EventBasedScheduler", "{worker_thread_number: 2}"},
        {"MultiThreadScheduler", "{worker_thread_number: 2}"},
    };
    for (size_t s = 0; s < 3; s++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, schedulers[s][0], schedulers[s][1]);
        struct nrd_operator *tx = add_named(f, "AsyncPingTxOp", "tx", "{delay: 0, count: 200}");
        struct nrd_operator *rx = add_named(f, "AsyncPingRxOp", "rx", "{delay: 0, quiet: true}");
        flow(tx, rx);
        for (int run = 0; run < 2; run++) {
            ok(nrd_app_run(app));
            assert_int_equal(counts_of(tx).emitted, 200);
            assert_int_equal(counts_of(rx).received, 200);
        }
        nrd_app_destroy(app);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensor_ping_sends_the_shape_and_bytes_asked_for),
        cmocka_unit_test(join_takes_the_tensors_of_all_flows),
        cmocka_unit_test(join_refuses_two_tensors_of_one_name),
        cmocka_unit_test(split_sends_each_tensor_its_own_way),
        cmocka_unit_test(a_closed_gate_drops_and_an_open_one_passes),
        cmocka_unit_test(a_throttle_drops_what_comes_too_early),
        cmocka_unit_test(a_throttle_may_hold_the_sender_back_instead),
        cmocka_unit_test(a_tap_shows_every_nth_and_never_waits),
        cmocka_unit_test(asynchronous_pings_deliver_each_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
