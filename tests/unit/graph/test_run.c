// SPDX-License-Identifier: Apache-2.0
// How runs end: by themselves, by an error in any phase, by a stop in any state, by time; and that they can begin again.
#include <pthread.h>
#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "units.h"

// ---- by itself ----

static void no_message_is_lost_in_many_runs_of_every_scheduler(void **state)
{
    (void)state; // [1] holoscan's false deadlock
    for (int i = 0; i < UNIT_SCHEDULER_COUNT; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i][0], UNIT_SCHEDULERS[i][1]);
        struct nrd_operator *tx = add_source(f, "tx", 200);
        struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
        flow(tx, rx);
        if (UNIT_SCHEDULERS[i][0][0] == 'E') {
            struct nrd_thread_pool *pool = NULL;
            struct nrd_thread_options pin = {.pin = true};
            ok(nrd_add_thread_pool(f, "pool", 2, &pool));
            ok(nrd_thread_pool_add(pool, rx, &pin));
        }
        for (int run = 0; run < 50; run++) {
            ok(nrd_app_run(app));
            assert_int_equal(unit_of(rx)->value_count, 200);
        }
        nrd_app_destroy(app);
    }
}

static void empty_application_ends_at_once(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    ok(nrd_app_run(app));
    set_scheduler(nrd_app_fragment(app), "EventBasedScheduler", "{worker_thread_number: 2}");
    ok(nrd_app_run(app));
    nrd_app_destroy(app);
    nrd_app_destroy(NULL);
}

static const struct nrd_port A_IN_B_FREE[] = {
    UNIT_PORT("a"),
    {.name = "b", .type = "number", .policy = NRD_QUEUE_FAULT, .flags = NRD_PORT_NO_CONDITION},
    {0}};
static const struct nrd_port OUT_AB[] = {
    UNIT_PORT("x"), {.name = "y", .type = "number", .policy = NRD_QUEUE_FAULT}, {0}};
static struct nrd_status *feedback_compute(struct nrd_compute *ctx, void *self)
{
    return unit_usual(ctx, self, 2, 2);
}
UNIT_CLASS(FEEDBACK, "Feedback", A_IN_B_FREE, OUT_AB, feedback_compute);

static void cycle_with_a_free_input_ends_with_its_source(void **state)
{
    (void)state; // [15]
    for (int i = 0; i < UNIT_SCHEDULER_COUNT; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i][0], UNIT_SCHEDULERS[i][1]);
        struct nrd_operator *tx = add_source(f, "tx", 40);
        struct nrd_operator *mix = add(f, &FEEDBACK, "mix", NULL);
        struct nrd_operator *back = add(f, &UNIT_PASS, "back", NULL);
        struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
        add_flow(tx, "", mix, "a");
        add_flow(mix, "x", back, "in");
        // The free input may be read late: with a queue of one, either could come to wait for room at the other.
        struct nrd_flow_options wide = {.capacity = 64, .policy = -1};
        ok(nrd_add_flow(back, "out", mix, "b", &wide));
        add_flow(mix, "y", rx, "in");
        ok(nrd_app_run(app));
        assert_int_equal(unit_of(rx)->value_count, 40);
        assert_int_equal(counts_of(mix).computes, 40);
        assert_int_equal(counts_of(back).computes, 40);
        nrd_app_destroy(app);
    }
}

// Sends one number, and then on what comes back. Stops the run after a while, and drains.
static struct nrd_status *wheel_compute(struct nrd_compute *ctx, void *self)
{
    struct unit *u = self;
    bool came = unit_take(ctx, u, 0);
    u->computes++;
    if (u->computes == 500) {
        nrd_operator_stop_run(nrd_compute_operator(ctx), true);
    }
    return came || u->sent == 0 ? unit_code(ctx, unit_send(ctx, u, 0)) : NULL;
}
UNIT_CLASS(WHEEL, "Wheel", UNIT_FREE, UNIT_OUT, wheel_compute);

static void message_that_goes_round_for_ever_does_not_keep_a_stop_from_ending(void **state)
{
    (void)state;
    for (int i = 0; i < UNIT_SCHEDULER_COUNT; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i][0], UNIT_SCHEDULERS[i][1]);
        // Added first, it counts for the root of what it is only behind: what it has is delivered all the same.
        struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
        struct nrd_operator *wheel = add(f, &WHEEL, "wheel", NULL);
        struct nrd_operator *back = add(f, &UNIT_PASS, "back", NULL);
        flow(wheel, back);
        flow(back, wheel);
        flow(back, rx);
        for (int run = 0; run < 2; run++) {
            ok(nrd_app_run(app));
            assert_int_equal(counts_of(rx).received, counts_of(back).emitted);
            assert_true(counts_of(wheel).computes < 600);
        }
        nrd_app_destroy(app);
    }
}

// A fork whose branches come together again, one of which swallows most messages: the join waits for it, and the fork for the join.
static struct nrd_status *swallow_compute(struct nrd_compute *ctx, void *self)
{
    struct unit *u = self;
    unit_take(ctx, u, 0);
    u->computes++;
    return u->computes % 4 == 0 ? unit_code(ctx, unit_send(ctx, u, 0)) : NULL;
}
UNIT_CLASS(SWALLOW, "Swallow", UNIT_IN, UNIT_OUT, swallow_compute);

static void operators_that_wait_for_each_other_are_named(void **state)
{
    (void)state;
    for (int i = 0; i < UNIT_SCHEDULER_COUNT; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i][0], UNIT_SCHEDULERS[i][1]);
        struct nrd_operator *tx = add_source(f, "tx", 40);
        struct nrd_operator *some = add(f, &SWALLOW, "some", NULL);
        struct nrd_operator *join = add(f, &UNIT_PAIR, "join", NULL);
        flow(tx, some);
        add_flow(tx, "", join, "a");
        add_flow(some, "", join, "b");
        for (int run = 0; run < 2; run++) {
            struct nrd_status *status = nrd_app_run(app);
            assert_int_equal(status_code(status), NRD_UNAVAILABLE);
            assert_string_equal(
                status_text(status),
                "deadlock: 'tx' waits for room for output 'out'; 'some' waits for messages on "
                "input "
                "'in'; 'join' waits for messages on input 'b'; messages left: 1 in 'tx.out' -> "
                "'join.a'");
            status_free(status);
        }
        nrd_app_destroy(app);
    }
}

// ---- errors ----

static void failing_operator_ends_the_run_in_every_phase(void **state)
{
    (void)state; // [14]
    static const enum unit_phase phases[] = {UNIT_START, UNIT_COMPUTE, UNIT_STOP};
    for (int i = 0; i < UNIT_SCHEDULER_COUNT * 3; i++) {
        const char *const *scheduler = UNIT_SCHEDULERS[i / 3];
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, scheduler[0], scheduler[1]);
        struct nrd_operator *ops[3] = {add_source(f, "tx", 100), add(f, &UNIT_PASS, "mid", NULL),
                                       add(f, &UNIT_SINK, "rx", NULL)};
        _Atomic int order = 1;
        for (int j = 0; j < 3; j++) {
            unit_of(ops[j])->order = &order;
        }
        unit_of(ops[1])->fails_in = phases[i % 3];
        unit_of(ops[1])->fails_at = 5;
        flow(ops[0], ops[1]);
        flow(ops[1], ops[2]);
        fails(nrd_app_run(app), "operator 'mid': told to fail");
        for (int j = 0; j < 3; j++) {
            const struct unit *u = unit_of(ops[j]);
            assert_int_equal(u->starts, u->stops);
            assert_true(u->starts <= 1);
        }
        if (phases[i % 3] == UNIT_COMPUTE && scheduler[0][0] == 'G') {
            // The one that failed stops first.
            assert_true(unit_of(ops[1])->stopped_as < unit_of(ops[0])->stopped_as);
            assert_true(unit_of(ops[1])->stopped_as < unit_of(ops[2])->stopped_as);
            assert_int_equal(unit_of(ops[2])->value_count, 5);
        }
        // Mended, the same application runs.
        unit_of(ops[1])->fails_in = UNIT_NOTHING;
        ok(nrd_app_run(app));
        assert_int_equal(unit_of(ops[2])->value_count, 100);
        nrd_app_destroy(app);
    }
}

static void initialize_that_fails_refuses_the_graph(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *op = add(f, &UNIT_LONER, "op", NULL);
    add_condition(op, "CountCondition", "{count: 1}");
    unit_of(op)->fails_in = UNIT_INITIALIZE;
    fails(nrd_app_compile(app), "operator 'op': told to fail");
    fails(nrd_app_run(app), "operator 'op': told to fail");
    assert_int_equal(unit_of(op)->starts, 0);
    unit_of(op)->fails_in = UNIT_NOTHING;
    ok(nrd_app_run(app));
    nrd_app_destroy(app);
}

static int destroyed;
static struct nrd_status *setup_fails(struct nrd_operator *op, void *self)
{
    (void)op;
    (void)self;
    return status_new(NRD_INTERNAL, "no setup");
}
static void note_destroy(struct nrd_operator *op, void *self)
{
    (void)op;
    (void)self;
    destroyed++;
}

static void setup_that_fails_is_destroyed_once(void **state)
{
    (void)state;
    static const struct nrd_operator_class table = {.abi = NRD_OPERATOR_ABI,
                                                    .name = "Broken",
                                                    .setup = setup_fails,
                                                    .compute = unit_loner_compute,
                                                    .destroy = note_destroy};
    destroyed = 0;
    struct nrd_app *app = make_app();
    fails(nrd_add_operator_class(nrd_app_fragment(app), &table, "op", NULL, NULL),
          "operator 'op': no setup");
    fails(nrd_app_run(app), "its setup failed");
    nrd_app_destroy(app);
    assert_int_equal(destroyed, 1);
}

// ---- stops ----

struct gate {
    struct parking reached;
    _Atomic int count;
};

static struct nrd_status *announce(struct nrd_compute *ctx, struct unit *u)
{
    struct gate *gate = u->arg;
    if (atomic_fetch_add(&gate->count, 1) == 100) {
        parking_wake(&gate->reached);
    }
    return unit_code(ctx, unit_send(ctx, u, 0));
}

static void stop_from_another_thread_with_and_without_what_is_on_its_way(void **state)
{
    (void)state;
    for (int i = 0; i < UNIT_SCHEDULER_COUNT * 2; i++) {
        bool drain = i % 2 == 0;
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i / 2][0], UNIT_SCHEDULERS[i / 2][1]);
        struct nrd_operator *tx = add(f, &UNIT_SOURCE, "tx", NULL);
        struct nrd_operator *mid = add(f, &UNIT_PASS, "mid", NULL);
        struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
        struct gate gate = {.count = 0};
        parking_init(&gate.reached);
        unit_of(tx)->act = announce;
        unit_of(tx)->arg = &gate;
        add_flow_of(tx, mid, 4, -1, false);
        add_flow_of(mid, rx, 4, -1, false);
        ok(nrd_app_run_async(app));
        fails(nrd_app_run(app), "is running already");
        parking_wait(&gate.reached, 0);
        nrd_app_stop(app, drain);
        ok(nrd_app_wait(app));
        assert_true(counts_of(tx).computes >= 100);
        if (drain) {
            assert_int_equal(counts_of(rx).received, counts_of(tx).computes);
        }
        assert_int_equal(unit_of(tx)->stops, 1);
        assert_int_equal(unit_of(rx)->stops, 1);
        nrd_app_destroy(app);
    }
}

static struct nrd_status *stop_after_ten(struct nrd_compute *ctx, struct unit *u)
{
    if (u->computes == 10) {
        nrd_operator_stop_run(nrd_compute_operator(ctx), u->arg != NULL);
    }
    return unit_code(ctx, unit_send(ctx, u, 0));
}

static void operator_may_stop_the_run(void **state)
{
    (void)state;
    for (int i = 0; i < UNIT_SCHEDULER_COUNT; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i][0], UNIT_SCHEDULERS[i][1]);
        struct nrd_operator *tx = add(f, &UNIT_SOURCE, "tx", NULL);
        struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
        unit_of(tx)->act = stop_after_ten;
        unit_of(tx)->arg = app;
        flow(tx, rx);
        ok(nrd_app_run(app));
        assert_int_equal(counts_of(tx).computes, 10);
        assert_int_equal(unit_of(rx)->value_count, 10);
        nrd_app_destroy(app);
    }
}

static struct nrd_status *stop_other(struct nrd_compute *ctx, struct unit *u)
{
    if (u->computes == 5) {
        nrd_fragment_stop(u->arg, "tx");
    }
    unit_take(ctx, u, 0);
    return NULL;
}

static void one_operator_may_be_stopped_alone(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add(f, &UNIT_SOURCE, "tx", NULL);
    struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
    unit_of(rx)->act = stop_other;
    unit_of(rx)->arg = f;
    flow(tx, rx);
    ok(nrd_app_run(app));
    assert_int_equal(unit_of(rx)->value_count, counts_of(tx).computes);
    assert_in_range(counts_of(tx).computes, 5, 6);
    nrd_app_destroy(app);
}

static struct nrd_app *signalled;
static void on_signal(int number)
{
    (void)number;
    nrd_app_stop(signalled, true);
}
static struct nrd_status *raise_after_ten(struct nrd_compute *ctx, struct unit *u)
{
    if (u->computes == 10) {
        raise(SIGUSR1);
    }
    return unit_code(ctx, unit_send(ctx, u, 0));
}

static void signal_handler_may_stop_the_run(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction before;
    sigaction(SIGUSR1, &action, &before);
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add(f, &UNIT_SOURCE, "tx", NULL);
    struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
    unit_of(tx)->act = raise_after_ten;
    flow(tx, rx);
    signalled = app;
    ok(nrd_app_run(app));
    assert_int_equal(unit_of(rx)->value_count, 10);
    nrd_app_destroy(app);
    sigaction(SIGUSR1, &before, NULL);
}

// A stop finds the run asleep: waiting for a timer, for an event, for somebody outside.
static void stop_finds_sleepers_of_every_kind(void **state)
{
    (void)state;
    static const char *const options[] = {"{}", "{stop_on_deadlock: false}",
                                          "{stop_on_deadlock_timeout: 1000000ms}"};
    for (int i = 0; i < 12; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        int kind = i % 3;
        set_scheduler(f, i < 6 ? "GreedyScheduler" : "EventBasedScheduler", options[kind]);
        struct nrd_operator *op = add(f, &UNIT_SOURCE, "op", NULL);
        struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
        flow(op, rx);
        struct gate gate = {.count = 100}; // the first compute announces itself
        parking_init(&gate.reached);
        unit_of(op)->act = announce;
        unit_of(op)->arg = &gate;
        if (kind == 0) {
            add_condition(op, "PeriodicCondition", "{recess_period: 1000s}");
        } else {
            add_condition(op, "CountCondition", "{count: 1}");
        }
        if (i % 2 == 1) {
            nrd_operator_async(rx, NRD_ASYNC_EVENT_WAITING);
        }
        ok(nrd_app_run_async(app));
        parking_wait(&gate.reached, 0);
        nrd_app_stop(app, i % 2 == 0); // to drain would be to wait for the event
        ok(nrd_app_wait(app));
        assert_int_equal(unit_of(op)->stops, 1);
        nrd_app_destroy(app);
    }
}

static void application_that_runs_is_stopped_by_its_end(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i % UNIT_SCHEDULER_COUNT][0],
                      UNIT_SCHEDULERS[i % UNIT_SCHEDULER_COUNT][1]);
        struct nrd_operator *tx = add(f, &UNIT_SOURCE, "tx", NULL);
        struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
        flow(tx, rx);
        ok(nrd_app_run_async(app));
        nrd_app_destroy(app); // perhaps before the first compute
    }
}

static void time_limit_ends_a_run_without_an_error(void **state)
{
    (void)state; // [23]
    for (int i = 0; i < 2; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, i == 0 ? "GreedyScheduler" : "EventBasedScheduler",
                      "{max_duration_ms: 5}");
        struct nrd_operator *tx = add(f, &UNIT_SOURCE, "tx", NULL);
        struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
        flow(tx, rx);
        uint64_t began = clock_now_ns();
        ok(nrd_app_run(app));
        assert_true(clock_now_ns() - began >= 5000000);
        nrd_app_destroy(app);
    }
}

static void quiet_run_waits_for_what_may_come_from_outside(void **state)
{
    (void)state; // [23]
    for (int i = 0; i < 2; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, i == 0 ? "GreedyScheduler" : "EventBasedScheduler",
                      "{stop_on_deadlock_timeout: 3}");
        struct nrd_operator *op = add(f, &UNIT_LONER, "op", NULL);
        add_condition(op, "CountCondition", "{count: 2}");
        uint64_t began = clock_now_ns();
        ok(nrd_app_run(app));
        assert_true(clock_now_ns() - began >= 3000000);
        assert_int_equal(counts_of(op).computes, 2);
        nrd_app_destroy(app);
    }
}

// ---- beginnings ----

static void operators_start_in_the_order_of_their_flows(void **state)
{
    (void)state; // [15]
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
    struct nrd_operator *mid = add(f, &UNIT_PASS, "mid", NULL);
    struct nrd_operator *tx = add_source(f, "tx", 3);
    _Atomic int order = 1;
    unit_of(rx)->order = unit_of(mid)->order = unit_of(tx)->order = &order;
    flow(tx, mid);
    flow(mid, rx);
    assert_int_equal(nrd_operator_get_status(rx), NRD_OPERATOR_NOT_STARTED);
    ok(nrd_app_run(app));
    assert_int_equal(unit_of(tx)->started_as, 1);
    assert_int_equal(unit_of(mid)->started_as, 2);
    assert_int_equal(unit_of(rx)->started_as, 3);
    assert_int_equal(nrd_operator_get_status(rx), NRD_OPERATOR_STOPPED);
    nrd_app_destroy(app);
}

static void application_may_grow_between_runs(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add_source(f, "tx", 5);
    struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
    flow(tx, rx);
    ok(nrd_app_run(app));
    struct nrd_operator *second = add(f, &UNIT_SINK, "second", NULL);
    flow(tx, second);
    ok(nrd_app_run(app));
    assert_string_equal(received(second), "1 2 3 4 5");
    assert_int_equal(unit_of(rx)->starts, 2);
    nrd_app_destroy(app);
}

static void findings_are_all_told_before_anything_runs(void **state)
{
    (void)state; // [16] [17]
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add(f, &UNIT_SOURCE, "tx", NULL);
    struct nrd_operator *pair = add(f, &UNIT_PAIR, "pair", NULL);
    struct nrd_operator *one = add(f, &UNIT_PASS, "one", NULL);
    struct nrd_operator *two = add(f, &UNIT_PASS, "two", NULL);
    fails(nrd_add_operator_class(f, &UNIT_SINK, "tx", NULL, NULL), "already has an operator");
    fails(nrd_add_operator_class(f, &UNIT_SINK, "a.b", NULL, NULL), "may not have");
    fails(nrd_add_flow(tx, "", pair, "", NULL), "more than one input, say which: 'a', 'b'");
    fails(nrd_add_flow(tx, "oat", pair, "a", NULL), "has no output 'oat', it has 'out'");
    fails(nrd_add_flow(pair, "", tx, "in", NULL), "operator 'pair' has no outputs");
    add_flow(tx, "", pair, "a");
    fails(nrd_add_flow(tx, "", pair, "a", NULL), "is there already");
    flow(one, two);
    flow(two, one);
    struct nrd_status *status = nrd_app_compile(app);
    assert_non_null(
        strstr(status_text(status), "operator 'pair' (Pair): no flow comes into input 'b'\n"));
    assert_non_null(strstr(status_text(status),
                           "operators that wait for each other from the start: 'one', 'two'"));
    status_free(status);
    nrd_app_destroy(app);
}

static const struct nrd_port OUT_TEXT[] = {{.name = "out", .type = "text"}, {0}};
UNIT_CLASS(TEXTER, "Texter", NULL, OUT_TEXT, unit_source_compute);

static void flow_of_two_types_is_refused(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add(f, &TEXTER, "tx", NULL);
    struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
    fails(nrd_add_flow(tx, "", rx, "", NULL), "the output sends 'text', the input takes 'number'");
    struct nrd_app *other = make_app();
    struct nrd_operator *far = add(nrd_app_fragment(other), &UNIT_SINK, "far", NULL);
    fails(nrd_add_flow(tx, "", far, "", NULL), "two applications");
    nrd_app_destroy(other);
    nrd_app_destroy(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_message_is_lost_in_many_runs_of_every_scheduler),
        cmocka_unit_test(empty_application_ends_at_once),
        cmocka_unit_test(cycle_with_a_free_input_ends_with_its_source),
        cmocka_unit_test(message_that_goes_round_for_ever_does_not_keep_a_stop_from_ending),
        cmocka_unit_test(operators_that_wait_for_each_other_are_named),
        cmocka_unit_test(failing_operator_ends_the_run_in_every_phase),
        cmocka_unit_test(initialize_that_fails_refuses_the_graph),
        cmocka_unit_test(setup_that_fails_is_destroyed_once),
        cmocka_unit_test(stop_from_another_thread_with_and_without_what_is_on_its_way),
        cmocka_unit_test(operator_may_stop_the_run),
        cmocka_unit_test(one_operator_may_be_stopped_alone),
        cmocka_unit_test(signal_handler_may_stop_the_run),
        cmocka_unit_test(stop_finds_sleepers_of_every_kind),
        cmocka_unit_test(application_that_runs_is_stopped_by_its_end),
        cmocka_unit_test(time_limit_ends_a_run_without_an_error),
        cmocka_unit_test(quiet_run_waits_for_what_may_come_from_outside),
        cmocka_unit_test(operators_start_in_the_order_of_their_flows),
        cmocka_unit_test(application_may_grow_between_runs),
        cmocka_unit_test(findings_are_all_told_before_anything_runs),
        cmocka_unit_test(flow_of_two_types_is_refused),
    };
    log_set_enabled(LOG_INFO, false);
    log_set_enabled(LOG_WARNING, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
