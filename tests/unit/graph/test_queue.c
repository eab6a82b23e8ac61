// SPDX-License-Identifier: Apache-2.0
// Queues: what waits for what, what is dropped when, who sees what. Numbers in brackets are those of holoscan's behaviours.
#include "base/log.h"
#include "units.h"

static void source_waits_for_room_and_nothing_is_dropped(void **state)
{
    (void)state; // [4]
    for (int i = 0; i < UNIT_SCHEDULER_COUNT; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i][0], UNIT_SCHEDULERS[i][1]);
        struct nrd_operator *tx = add_source(f, "tx", 1000);
        struct nrd_operator *mid = add(f, &UNIT_PASS, "mid", NULL);
        struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
        flow(tx, mid);
        flow(mid, rx);
        ok(nrd_app_run(app));
        assert_int_equal(unit_of(rx)->value_count, 1000);
        for (int j = 0; j < 1000; j++) {
            assert_int_equal(unit_of(rx)->values[j], j + 1);
        }
        assert_int_equal(counts_of(rx).dropped, 0);
        nrd_app_destroy(app);
    }
}

static void reader_that_is_done_ends_the_run(void **state)
{
    (void)state;
    for (int i = 0; i < UNIT_SCHEDULER_COUNT; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i][0], UNIT_SCHEDULERS[i][1]);
        struct nrd_operator *tx = add(f, &UNIT_SOURCE, "tx", NULL); // for ever
        struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
        add_condition(rx, "CountCondition", "{count: 3}");
        flow(tx, rx);
        ok(nrd_app_run(app));
        assert_string_equal(received(rx), "1 2 3");
        assert_int_equal(counts_of(tx).computes, 4); // the fourth is in the queue
        nrd_app_destroy(app);
    }
}

// ---- policies ----

static struct nrd_status *send_three(struct nrd_compute *ctx, struct unit *u)
{
    enum nrd_code code = NRD_OK;
    for (int i = 0; i < 3 && code == NRD_OK; i++) {
        code = unit_send(ctx, u, 0);
    }
    return unit_code(ctx, code);
}

static const struct nrd_port OUT_POP[] = {{.name = "out", .policy = NRD_QUEUE_POP}, {0}};
static const struct nrd_port OUT_REJECT[] = {{.name = "out", .policy = NRD_QUEUE_REJECT}, {0}};
static const struct nrd_port OUT_OF_THREE[] = {
    {.name = "out", .policy = NRD_QUEUE_FAULT, .capacity = 3}, {0}};
UNIT_CLASS(POPPER, "Popper", NULL, OUT_POP, unit_source_compute);
UNIT_CLASS(REJECTER, "Rejecter", NULL, OUT_REJECT, unit_source_compute);
UNIT_CLASS(BURST, "Burst", NULL, OUT_OF_THREE, unit_source_compute);

static struct nrd_app *burst(const struct nrd_operator_class *table, uint32_t capacity, int policy,
                             struct nrd_operator **rx)
{
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add(f, table, "tx", NULL);
    *rx = add(f, &UNIT_SINK, "rx", NULL);
    unit_of(tx)->act = send_three;
    add_condition(tx, "CountCondition", "{count: 1}");
    add_flow_of(tx, *rx, capacity, policy, false);
    return app;
}

static void emits_beyond_an_outputs_capacity_fault_or_are_dropped(void **state)
{
    (void)state; // [9]
    struct nrd_operator *rx;
    struct nrd_app *app = burst(&UNIT_SOURCE, 5, -1, &rx);
    fails(nrd_app_run(app), "operator 'tx': ");
    fails(nrd_app_run(app), "cannot send");
    nrd_app_destroy(app);
    app = burst(&POPPER, 5, -1, &rx);
    ok(nrd_app_run(app));
    assert_string_equal(received(rx), "3");
    nrd_app_destroy(app);
    app = burst(&REJECTER, 5, -1, &rx);
    ok(nrd_app_run(app));
    assert_string_equal(received(rx), "1");
    nrd_app_destroy(app);
}

static struct nrd_status *send_three_regardless(struct nrd_compute *ctx, struct unit *u)
{
    for (int i = 0; i < 3; i++) {
        enum nrd_code code = unit_send(ctx, u, 0);
        (void)code;
    }
    return NULL;
}

static void emit_that_faulted_ends_the_run_even_if_compute_goes_on(void **state)
{
    (void)state;
    struct nrd_operator *rx;
    struct nrd_app *app = burst(&UNIT_SOURCE, 5, -1, &rx);
    unit_of(nrd_fragment_operator(nrd_app_fragment(app), "tx"))->act = send_three_regardless;
    fails(nrd_app_run(app), "more messages were emitted on output 'out'");
    assert_int_equal(unit_of(rx)->value_count, 0);
    nrd_app_destroy(app);
}

static void full_input_queue_pops_rejects_or_faults(void **state)
{
    (void)state; // [9]
    struct nrd_operator *rx;
    struct nrd_app *app = burst(&BURST, 1, NRD_QUEUE_POP, &rx);
    ok(nrd_app_run(app));
    assert_string_equal(received(rx), "3");
    assert_int_equal(counts_of(rx).dropped, 2);
    nrd_app_destroy(app);
    app = burst(&BURST, 2, NRD_QUEUE_REJECT, &rx);
    ok(nrd_app_run(app));
    assert_string_equal(received(rx), "1 2");
    assert_int_equal(counts_of(rx).dropped, 1);
    nrd_app_destroy(app);
    app = burst(&BURST, 2, NRD_QUEUE_FAULT, &rx);
    fails(nrd_app_run(app), "the queue of 'rx.in' is full (capacity 2, policy fault)");
    nrd_app_destroy(app);
    app = burst(&BURST, 3, NRD_QUEUE_FAULT, &rx);
    ok(nrd_app_run(app));
    assert_string_equal(received(rx), "1 2 3");
    nrd_app_destroy(app);
}

static void queue_that_pops_loses_only_what_it_counts_across_threads(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    set_scheduler(f, "EventBasedScheduler", "{worker_thread_number: 2}");
    struct nrd_operator *tx = add_source(f, "tx", 20000);
    struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
    struct nrd_thread_pool *pool = NULL;
    struct nrd_thread_options pin = {.pin = true};
    ok(nrd_add_thread_pool(f, "pool", 2, &pool));
    ok(nrd_thread_pool_add(pool, tx, &pin));
    ok(nrd_thread_pool_add(pool, rx, &pin));
    add_flow_of(tx, rx, 2, NRD_QUEUE_POP, false);
    ok(nrd_app_run(app));
    assert_int_equal(counts_of(rx).received + counts_of(rx).dropped, 20000);
    const struct unit *u = unit_of(rx);
    for (size_t i = 1; i < u->value_count; i++) {
        assert_true(u->values[i] > u->values[i - 1]);
    }
    nrd_app_destroy(app);
}

// ---- several flows ----

static void any_size_waits_for_all_and_stops_with_the_shortest(void **state)
{
    (void)state; // [6]
    for (int i = 0; i < UNIT_SCHEDULER_COUNT; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i][0], UNIT_SCHEDULERS[i][1]);
        struct nrd_operator *join = add(f, &UNIT_JOIN, "join", NULL);
        struct nrd_operator *a = add_source(f, "a", 5);
        struct nrd_operator *b = add_source(f, "b", 2);
        unit_of(b)->sent = 0;
        flow(b, join);
        flow(a, join);
        ok(nrd_app_run(app));
        assert_int_equal(counts_of(join).computes, 2);
        assert_string_equal(received(join), "1 1 2 2");
        assert_int_equal(nrd_operator_input_flows(join, 0), 2);
        nrd_app_destroy(app);
    }
}

static struct nrd_status *note_order(struct nrd_compute *ctx, struct unit *u)
{
    unit_take(ctx, u, 0);
    unit_take(ctx, u, 0);
    return NULL;
}
static struct nrd_status *send_ten(struct nrd_compute *ctx, struct unit *u)
{
    u->sent += 9;
    return unit_code(ctx, unit_send(ctx, u, 0));
}

static void any_size_receives_in_the_order_of_connection(void **state)
{
    (void)state; // [6]
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *a = add_source(f, "a", 1);
    struct nrd_operator *b = add_source(f, "b", 1);
    struct nrd_operator *join = add(f, &UNIT_JOIN, "join", NULL);
    unit_of(join)->act = note_order;
    unit_of(b)->act = send_ten;
    flow(b, join);
    flow(a, join);
    ok(nrd_app_run(app));
    assert_string_equal(received(join), "10 1");
    nrd_app_destroy(app);
}

static void two_flows_into_one_input_take_turns(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *a = add_source(f, "a", 50);
    struct nrd_operator *b = add_source(f, "b", 50);
    struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
    add_flow_of(a, rx, 8, -1, false);
    add_flow_of(b, rx, 8, -1, false);
    ok(nrd_app_run(app));
    assert_int_equal(unit_of(rx)->value_count, 100);
    // Both have sent the same number, give or take one, at any time: none starves.
    int64_t last[2] = {0, 0};
    for (size_t i = 0; i < 100; i++) {
        int64_t value = unit_of(rx)->values[i];
        int which = value == last[0] + 1 ? 0 : 1;
        assert_int_equal(value, last[which] + 1);
        last[which] = value;
        assert_true(last[0] - last[1] <= 1 && last[1] - last[0] <= 1);
    }
    nrd_app_destroy(app);
}

static struct nrd_status *take_all(struct nrd_compute *ctx, struct unit *u)
{
    while (unit_take(ctx, u, 0)) {
    }
    return NULL;
}

static void batch_of_three_leaves_a_shorter_rest(void **state)
{
    (void)state; // [5]
    for (int i = 0; i < UNIT_SCHEDULER_COUNT; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i][0], UNIT_SCHEDULERS[i][1]);
        struct nrd_operator *tx = add_source(f, "tx", 7);
        struct nrd_operator *rx = add(f, &UNIT_BATCH, "rx", NULL);
        unit_of(rx)->act = take_all;
        flow(tx, rx);
        ok(nrd_app_run(app));
        assert_string_equal(received(rx), "1 2 3 4 5 6");
        assert_int_equal(counts_of(rx).computes, 2);
        nrd_app_destroy(app);
    }
}

// ---- receiving ----

static struct nrd_status *do_nothing(struct nrd_compute *ctx, struct unit *u)
{
    (void)u;
    assert_int_equal(nrd_available(ctx, 0), 1);
    return NULL;
}

static void message_that_is_not_received_stays_and_makes_ready_again(void **state)
{
    (void)state; // [7]
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add_source(f, "tx", 1);
    struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
    unit_of(rx)->act = do_nothing;
    add_condition(rx, "CountCondition", "{count: 100}");
    flow(tx, rx);
    ok(nrd_app_run(app));
    assert_int_equal(counts_of(rx).computes, 100);
    assert_int_equal(counts_of(rx).received, 0);
    nrd_app_destroy(app);
}

static struct nrd_status *receive_nothing(struct nrd_compute *ctx, struct unit *u)
{
    (void)u;
    assert_null(nrd_receive(ctx, 0));
    assert_null(nrd_receive(ctx, 7));
    assert_null(nrd_receive_from(ctx, 0, 3));
    assert_int_equal(nrd_available(ctx, 0), 0);
    return NULL;
}

static void receive_on_an_empty_input_returns_nothing(void **state)
{
    (void)state; // [8]
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *rx = add(f, &UNIT_READER, "rx", NULL);
    unit_of(rx)->act = receive_nothing;
    add_condition(rx, "CountCondition", "{count: 10}");
    ok(nrd_app_run(app));
    assert_int_equal(counts_of(rx).computes, 10);
    nrd_app_destroy(app);
}

static const struct nrd_port LOOP_IN[] = {
    {.name = "in", .policy = NRD_QUEUE_FAULT, .capacity = 4, .flags = NRD_PORT_NO_CONDITION}, {0}};
UNIT_CLASS(LOOP, "Loop", LOOP_IN, UNIT_OUT, unit_pass_compute);

static struct nrd_status *send_then_look(struct nrd_compute *ctx, struct unit *u)
{
    size_t before = nrd_available(ctx, 0);
    assert_int_equal(unit_send(ctx, u, 0), NRD_OK);
    assert_int_equal(nrd_available(ctx, 0), before); // its own message is for the next compute
    assert_int_equal(before, u->computes == 1 ? 0 : 1);
    unit_take(ctx, u, 0);
    assert_int_equal(nrd_available(ctx, 0), 0);
    return NULL;
}

static void what_arrives_during_a_compute_is_seen_by_the_next(void **state)
{
    (void)state; // [10]
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *loop = add(f, &LOOP, "loop", NULL);
    unit_of(loop)->act = send_then_look;
    add_condition(loop, "CountCondition", "{count: 5}");
    flow(loop, loop);
    ok(nrd_app_run(app));
    assert_string_equal(received(loop), "1 2 3 4");
    nrd_app_destroy(app);
}

static struct nrd_status *note_address(struct nrd_compute *ctx, struct unit *u)
{
    struct nrd_message *m = nrd_receive(ctx, 0);
    u->values[u->value_count++] = (int64_t)(intptr_t)nrd_message_value(m, NULL, NULL);
    nrd_message_unref(m);
    return NULL;
}

static void fan_out_shares_one_message(void **state)
{
    (void)state; // [11]
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add_source(f, "tx", 1);
    struct nrd_operator *rx[4];
    for (int i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof(name), "rx%d", i);
        rx[i] = add(f, &UNIT_SINK, name, NULL);
        unit_of(rx[i])->act = note_address;
        flow(tx, rx[i]);
    }
    ok(nrd_app_run(app));
    for (int i = 1; i < 4; i++) {
        assert_int_equal(unit_of(rx[i])->values[0], unit_of(rx[0])->values[0]);
    }
    nrd_app_destroy(app);
}

// ---- latest value ----

static struct nrd_status *note_latest(struct nrd_compute *ctx, struct unit *u)
{
    if (!unit_take(ctx, u, 0)) {
        u->values[u->value_count++] = 0;
    }
    return NULL;
}

static void latest_value_is_read_again_and_never_blocks(void **state)
{
    (void)state; // [24]
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    use_manual_clock(f, "GreedyScheduler");
    struct nrd_operator *tx = add_source(f, "tx", 4);
    struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
    add_condition(tx, "PeriodicCondition", "{recess_period: 30ms}");
    add_condition(rx, "PeriodicCondition", "{recess_period: 10ms}");
    add_condition(rx, "CountCondition", "{count: 8}");
    unit_of(rx)->act = note_latest;
    add_flow_of(tx, rx, 0, -1, true);
    ok(nrd_app_run(app));
    assert_string_equal(received(rx), "1 1 1 2 2 2 3 3");
    assert_int_equal(counts_of(tx).computes, 4);
    ok(nrd_app_run(app));
    assert_string_equal(received(rx), "1 1 1 2 2 2 3 3");
    nrd_app_destroy(app);
}

static void latest_value_input_has_one_writer(void **state)
{
    (void)state; // [24]
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *a = add_source(f, "a", 1);
    struct nrd_operator *b = add_source(f, "b", 1);
    struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
    add_flow_of(a, rx, 0, -1, true);
    add_flow_of(b, rx, 0, -1, true);
    fails(nrd_app_compile(app), "input 'in' has a latest-value flow and others");
    nrd_app_destroy(app);
}

static struct nrd_status *read_latest(struct nrd_compute *ctx, struct unit *u)
{
    struct nrd_message *m = nrd_receive(ctx, 0);
    if (m != NULL) {
        int64_t value = *(const int64_t *)nrd_message_value(m, NULL, NULL);
        assert_true(value >= u->values[0]);
        u->values[0] = value;
        nrd_message_unref(m);
    }
    if (u->values[0] == 20000) {
        nrd_operator_stop_run(nrd_compute_operator(ctx), false);
    }
    return NULL;
}

static void latest_value_goes_up_across_threads_until_the_last(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    set_scheduler(f, "EventBasedScheduler", "{worker_thread_number: 2}");
    struct nrd_operator *tx = add_source(f, "tx", 20000);
    struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
    unit_of(rx)->act = read_latest;
    add_flow_of(tx, rx, 0, -1, true);
    ok(nrd_app_run(app));
    assert_int_equal(unit_of(rx)->values[0], 20000);
    nrd_app_destroy(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(source_waits_for_room_and_nothing_is_dropped),
        cmocka_unit_test(reader_that_is_done_ends_the_run),
        cmocka_unit_test(emits_beyond_an_outputs_capacity_fault_or_are_dropped),
        cmocka_unit_test(emit_that_faulted_ends_the_run_even_if_compute_goes_on),
        cmocka_unit_test(full_input_queue_pops_rejects_or_faults),
        cmocka_unit_test(queue_that_pops_loses_only_what_it_counts_across_threads),
        cmocka_unit_test(any_size_waits_for_all_and_stops_with_the_shortest),
        cmocka_unit_test(any_size_receives_in_the_order_of_connection),
        cmocka_unit_test(two_flows_into_one_input_take_turns),
        cmocka_unit_test(batch_of_three_leaves_a_shorter_rest),
        cmocka_unit_test(message_that_is_not_received_stays_and_makes_ready_again),
        cmocka_unit_test(receive_on_an_empty_input_returns_nothing),
        cmocka_unit_test(what_arrives_during_a_compute_is_seen_by_the_next),
        cmocka_unit_test(fan_out_shares_one_message),
        cmocka_unit_test(latest_value_is_read_again_and_never_blocks),
        cmocka_unit_test(latest_value_input_has_one_writer),
        cmocka_unit_test(latest_value_goes_up_across_threads_until_the_last),
    };
    log_set_enabled(LOG_INFO, false);
    log_set_enabled(LOG_WARNING, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
