// SPDX-License-Identifier: Apache-2.0
// Conditions, on a manual clock: nothing here sleeps. Numbers in brackets are those of holoscan's behaviours.
#include "base/log.h"
#include "base/thread.h"
#include "units.h"

static const int64_t MS = 1000000;

// ---- count, boolean ----

static void any_never_wins(void **state)
{
    (void)state; // [2]
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *op = add(f, &UNIT_LONER, "op", NULL);
    add_condition(op, "CountCondition", "{count: 20}");
    add_condition(op, "holoscan::CountCondition", "{count: 10}");
    ok(nrd_app_run(app));
    assert_int_equal(counts_of(op).computes, 10);
    nrd_app_destroy(app);
}

static void never_wins_inside_or_too(void **state)
{
    (void)state; // [2]
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *a = add_source(f, "a", 3);
    struct nrd_operator *b = add_source(f, "b", 8);
    struct nrd_operator *rx = add(f, &UNIT_PAIR, "rx", NULL);
    add_condition(rx, "CountCondition", "{count: 5}");
    add_flow(a, "", rx, "a");
    add_flow(b, "", rx, "b");
    const char *ports[] = {"a", "b"};
    ok(nrd_combine_or(rx, ports, 2));
    ok(nrd_app_run(app));
    assert_int_equal(counts_of(rx).computes, 5);
    nrd_app_destroy(app);
}

static void or_runs_on_either_input(void **state)
{
    (void)state;
    for (int i = 0; i < UNIT_SCHEDULER_COUNT; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i][0], UNIT_SCHEDULERS[i][1]);
        struct nrd_operator *a = add_source(f, "a", 3);
        struct nrd_operator *b = add_source(f, "b", 8);
        struct nrd_operator *rx = add(f, &UNIT_PAIR, "rx", NULL);
        add_flow(a, "", rx, "a");
        add_flow(b, "", rx, "b");
        const char *ports[] = {"a", "b"};
        ok(nrd_combine_or(rx, ports, 2));
        for (int run = 0; run < 2; run++) {
            ok(nrd_app_run(app));
            assert_int_equal(unit_of(rx)->value_count, 11); // 8 without the "or" would be 6
        }
        nrd_app_destroy(app);
    }
}

static struct nrd_status *disable_and_enable(struct nrd_compute *ctx, struct unit *u)
{
    (void)ctx;
    // Seen by nobody in between: nothing happened. [13]
    nrd_condition_set_enabled(u->arg, false);
    nrd_condition_set_enabled(u->arg, u->computes < 5);
    return NULL;
}

static struct nrd_status *enable_other(struct nrd_compute *ctx, struct unit *u)
{
    (void)ctx;
    nrd_condition_set_enabled(u->arg, u->computes > 3);
    return NULL;
}

static void boolean_false_is_final_once_it_was_seen(void **state)
{
    (void)state; // [13]
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *op = add(f, &UNIT_LONER, "op", NULL);
    struct nrd_operator *late = add(f, &UNIT_LONER, "late", NULL);
    struct nrd_operator *waker = add(f, &UNIT_LONER, "waker", NULL);
    unit_of(op)->arg = add_condition(op, "BooleanCondition", NULL);
    unit_of(op)->act = disable_and_enable;
    unit_of(waker)->arg = add_condition(late, "BooleanCondition", "{enable_tick: false}");
    unit_of(waker)->act = enable_other;
    add_condition(waker, "CountCondition", "{count: 10}");
    ok(nrd_app_run(app));
    assert_int_equal(counts_of(op).computes, 5);
    assert_int_equal(counts_of(late).computes, 0);
    ok(nrd_app_run(app)); // a new run begins as the condition was set up
    assert_int_equal(counts_of(op).computes, 5);
    nrd_app_destroy(app);
}

// ---- periodic ----

static struct nrd_status *first_takes_350_ms(struct nrd_compute *ctx, struct unit *u)
{
    (void)ctx;
    if (u->computes == 1) {
        nrd_clock_advance(u->arg, 350 * MS);
    }
    return NULL;
}

static void periodic(const char *scheduler, const char *params, const char *expected)
{
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_resource *clock = use_manual_clock(f, scheduler);
    struct nrd_operator *op = add(f, &UNIT_LONER, "op", NULL);
    unit_of(op)->act = first_takes_350_ms;
    unit_of(op)->arg = clock;
    add_condition(op, "PeriodicCondition", params);
    add_condition(op, "CountCondition", "{count: 6}");
    ok(nrd_app_run(app));
    assert_string_equal(ticks(op), expected);
    nrd_app_destroy(app);
}

static void periodic_ticks_at_once_and_catches_up_as_told(void **state)
{
    (void)state; // [12]
    const char *const schedulers[] = {"GreedyScheduler", "EventBasedScheduler",
                                      "MultiThreadScheduler"};
    for (int i = 0; i < 3; i++) {
        periodic(schedulers[i], "{recess_period: 100ms}", "0 350 350 350 400 500");
        periodic(schedulers[i], "{recess_period: 10Hz, policy: CatchUpMissedTicks}",
                 "0 350 350 350 400 500");
        periodic(schedulers[i], "{recess_period: 100000000, policy: MinTimeBetweenTicks}",
                 "0 350 450 550 650 750");
        periodic(schedulers[i], "{recess_period: 0.1s, policy: NoCatchUpMissedTicks}",
                 "0 350 400 500 600 700");
    }
}

static void periodic_counts_late_ticks(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_resource *clock = use_manual_clock(f, "GreedyScheduler");
    struct nrd_operator *op = add(f, &UNIT_LONER, "op", NULL);
    unit_of(op)->act = first_takes_350_ms;
    unit_of(op)->arg = clock;
    add_condition(op, "PeriodicCondition", "{recess_period: 100ms}");
    add_condition(op, "CountCondition", "{count: 6}");
    ok(nrd_app_run(app));
    assert_int_equal(counts_of(op).late,
                     2); // those due at 100 and 200 ran when the next was due too
    nrd_app_destroy(app);
}

static void many_periods_interleave_in_the_order_of_time(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        use_manual_clock(f, way == 0 ? "GreedyScheduler" : "EventBasedScheduler");
        struct nrd_operator *ops[20];
        for (int i = 0; i < 20; i++) {
            char name[16];
            char period[48];
            snprintf(name, sizeof(name), "op%d", i);
            snprintf(period, sizeof(period), "{recess_period: %dms}", 7 + (i * 13) % 20);
            ops[i] = add(f, &UNIT_LONER, name, NULL);
            add_condition(ops[i], "PeriodicCondition", period);
            add_condition(ops[i], "CountCondition", "{count: 50}");
        }
        ok(nrd_app_run(app));
        for (int i = 0; i < 20; i++) {
            const struct unit *u = unit_of(ops[i]);
            assert_int_equal(u->time_count, 50);
            for (int j = 0; j < 50; j++) {
                assert_int_equal(u->times[j] - u->times[0], j * (7 + (i * 13) % 20) * MS);
            }
        }
        nrd_app_destroy(app);
    }
}

static struct nrd_status *count_waker(struct nrd_compute *ctx, struct unit *u)
{
    (void)ctx;
    nrd_clock_advance(u->arg, 10 * MS);
    return NULL;
}

static void synthetic_clock_waits_for_who_sets_it(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        struct nrd_resource *clock = NULL;
        ok(nrd_add_resource(f, "SyntheticClock", "clock", NULL, &clock));
        set_scheduler(f, way == 0 ? "GreedyScheduler" : "EventBasedScheduler", "{clock: clock}");
        struct nrd_operator *op = add(f, &UNIT_LONER, "op", NULL);
        struct nrd_operator *setter = add(f, &UNIT_LONER, "setter", NULL);
        add_condition(op, "PeriodicCondition", "{recess_period: 30ms}");
        add_condition(op, "CountCondition", "{count: 4}");
        add_condition(setter, "CountCondition", "{count: 20}");
        unit_of(setter)->act = count_waker;
        unit_of(setter)->arg = clock;
        ok(nrd_app_run(app));
        assert_int_equal(counts_of(op).computes, 4);
        assert_int_equal(counts_of(setter).computes, 20);
        nrd_app_destroy(app);
    }
}

// ---- asynchronous ----

struct event_thread {
    struct thread thread;
    struct nrd_operator *op;
    struct parking asked;
    atomic_bool quit;
};

static void event_thread_main(void *arg)
{
    struct event_thread *t = arg;
    while (parking_wait(&t->asked, 0) && !t->quit) {
        nrd_operator_async(t->op, NRD_ASYNC_EVENT_DONE);
    }
}

static struct nrd_status *begin_event(struct nrd_compute *ctx, struct unit *u)
{
    struct event_thread *t = u->arg;
    if (u->computes == 200) {
        nrd_operator_async(nrd_compute_operator(ctx), NRD_ASYNC_NEVER);
        return NULL;
    }
    nrd_operator_async(nrd_compute_operator(ctx), NRD_ASYNC_EVENT_WAITING);
    parking_wake(&t->asked);
    return NULL;
}

static void outstanding_event_keeps_the_run_alive(void **state)
{
    (void)state;
    for (int i = 0; i < UNIT_SCHEDULER_COUNT; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i][0], UNIT_SCHEDULERS[i][1]);
        struct nrd_operator *op = add(f, &UNIT_LONER, "op", NULL);
        struct event_thread t = {.op = op};
        parking_init(&t.asked);
        ok(thread_start(&t.thread, "events", 0, event_thread_main, &t));
        unit_of(op)->act = begin_event;
        unit_of(op)->arg = &t;
        for (int run = 0; run < 2; run++) {
            ok(nrd_app_run(app));
            assert_int_equal(counts_of(op).computes, 200);
        }
        t.quit = true;
        parking_wake(&t.asked);
        thread_join(&t.thread);
        nrd_app_destroy(app);
    }
}

static struct nrd_status *say_wait(struct nrd_compute *ctx, struct unit *u)
{
    (void)u;
    nrd_operator_async(nrd_compute_operator(ctx), NRD_ASYNC_WAIT);
    return NULL;
}

static struct nrd_status *let_other_go(struct nrd_compute *ctx, struct unit *u)
{
    (void)ctx;
    nrd_operator_async(u->arg, NRD_ASYNC_READY);
    return NULL;
}

static void asynchronous_wait_can_be_taken_back(void **state)
{
    (void)state; // [13]
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *op = add(f, &UNIT_LONER, "op", NULL);
    struct nrd_operator *other = add(f, &UNIT_LONER, "other", NULL);
    unit_of(op)->act = say_wait;
    unit_of(other)->act = let_other_go;
    unit_of(other)->arg = op;
    add_condition(op, "AsynchronousCondition", NULL);
    add_condition(other, "CountCondition", "{count: 7}");
    ok(nrd_app_run(app));
    assert_int_equal(counts_of(op).computes, 8); // once by itself, then each time it was let
    nrd_app_destroy(app);
}

static struct nrd_status *event_done_at_once(struct nrd_compute *ctx, struct unit *u)
{
    if (u->computes < 5) {
        nrd_operator_async(nrd_compute_operator(ctx), NRD_ASYNC_EVENT_DONE);
    }
    return NULL;
}

static void event_that_is_done_runs_compute_once(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_operator *op = add(nrd_app_fragment(app), &UNIT_LONER, "op", NULL);
    unit_of(op)->act = event_done_at_once;
    ok(nrd_app_run(app));
    assert_int_equal(counts_of(op).computes, 5);
    nrd_app_destroy(app);
}

// ---- messages of one and several inputs ----

static struct nrd_status *take_what_there_is(struct nrd_compute *ctx, struct unit *u)
{
    size_t taken = 0;
    for (size_t port = 0; port < 2; port++) {
        while (unit_take(ctx, u, port)) {
            taken++;
        }
    }
    u->times[UNIT_NOTES - 1] = (int64_t)taken;
    return NULL;
}

static void multi_message_samples_by_sum_or_by_receiver(void **state)
{
    (void)state;
    static const char *const params[] = {
        "{sampling_mode: SumOfAll, min_sum: 4}",
        "{sampling_mode: PerReceiver, min_sizes: [1, 2]}",
    };
    static const int computes[] = {3, 3}; // 12 messages by four; six of b by two
    for (int i = 0; i < 2; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        struct nrd_operator *a = add_source(f, "a", 6);
        struct nrd_operator *b = add_source(f, "b", 6);
        struct nrd_operator *rx = add(f, &UNIT_PAIR, "rx", NULL);
        struct nrd_flow_options options = {.capacity = 2, .policy = -1};
        ok(nrd_add_flow(a, "", rx, "a", &options));
        ok(nrd_add_flow(b, "", rx, "b", &options));
        const char *ports[] = {"a", "b"};
        struct nrd_value *map = yaml(params[i]);
        ok(nrd_add_multi_port_condition(rx, "MultiMessageAvailableCondition", ports, 2, map));
        nrd_value_free(map);
        unit_of(rx)->act = take_what_there_is;
        ok(nrd_app_run(app));
        assert_int_equal(counts_of(rx).computes, computes[i]);
        assert_int_equal(unit_of(rx)->value_count, 12);
        nrd_app_destroy(app);
    }
}

static void first_pick_over_runs_for_whichever_came(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *a = add_source(f, "a", 2);
    struct nrd_operator *b = add_source(f, "b", 9);
    struct nrd_operator *rx = add(f, &UNIT_PAIR, "rx", NULL);
    add_flow(a, "", rx, "a");
    add_flow(b, "", rx, "b");
    const char *ports[] = {"a", "b"};
    ok(nrd_add_multi_port_condition(rx, "FirstPickOverCondition", ports, 2, NULL));
    unit_of(rx)->act = take_what_there_is;
    ok(nrd_app_run(app));
    assert_int_equal(unit_of(rx)->value_count, 11);
    fails(nrd_add_condition(rx, "FirstPickOverCondition", NULL, NULL, NULL), "several ports");
    nrd_app_destroy(app);
}

static void timeout_runs_with_what_there_is(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    use_manual_clock(f, "GreedyScheduler");
    struct nrd_operator *a = add_source(f, "a", 5);
    struct nrd_operator *rx = add(f, &UNIT_PAIR, "rx", NULL);
    add_condition(a, "PeriodicCondition", "{recess_period: 10ms}");
    add_condition(rx, "CountCondition", "{count: 6}");
    struct nrd_operator *b = add_source(f, "b", 0);
    struct nrd_flow_options options = {.capacity = 8, .policy = -1};
    ok(nrd_add_flow(a, "", rx, "a", &options));
    ok(nrd_add_flow(b, "", rx, "b", &options));
    const char *ports[] = {"a", "b"};
    struct nrd_value *map =
        yaml("{sampling_mode: SumOfAll, min_sum: 3, execution_frequency: 25ms}");
    ok(nrd_add_multi_port_condition(rx, "MultiMessageAvailableTimeoutCondition", ports, 2, map));
    nrd_value_free(map);
    unit_of(rx)->act = take_what_there_is;
    ok(nrd_app_run(app));
    // Three are there at 20; then two until 45; then none, every 25.
    assert_string_equal(ticks(rx), "0 25 50 75 100 125");
    assert_string_equal(received(rx), "1 2 3 4 5");
    nrd_app_destroy(app);
}

static struct nrd_status *send_dated(struct nrd_compute *ctx, struct unit *u)
{
    struct nrd_message *m = nrd_message_new(ctx);
    u->sent++;
    assert_int_equal(nrd_message_set_value(m, "number", &u->sent, sizeof(u->sent)), NRD_OK);
    nrd_message_set_acquired(m, nrd_compute_now(ctx));
    return unit_code(ctx, nrd_emit(ctx, 0, m));
}

static struct nrd_status *take_batch(struct nrd_compute *ctx, struct unit *u)
{
    while (unit_take(ctx, u, 0)) {
    }
    u->values[u->value_count++] = 0; // a mark between batches
    return NULL;
}

static const struct nrd_port FIVE[] = {
    {.name = "in", .type = "number", .policy = NRD_QUEUE_FAULT, .capacity = 5}, {0}};
UNIT_CLASS(QUEUE_OF_FIVE, "QueueOfFive", FIVE, NULL, unit_sink_compute);

static void expiring_message_is_passed_on_before_the_batch_is_full(void **state)
{
    (void)state; // [20]
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    use_manual_clock(f, "GreedyScheduler");
    struct nrd_operator *tx = add_source(f, "tx", 8);
    struct nrd_operator *rx = add(f, &QUEUE_OF_FIVE, "rx", NULL);
    add_condition(tx, "PeriodicCondition", "{recess_period: 10ms}");
    add_condition(rx, "ExpiringMessageAvailableCondition",
                  "{max_batch_size: 5, max_delay_ns: 25ms, receiver: in}");
    unit_of(tx)->act = send_dated;
    unit_of(rx)->act = take_batch;
    flow(tx, rx);
    ok(nrd_app_run(app));
    // Sent at 0, 10, 20 and taken at 25; 30, 40, 50 at 55; 60, 70 at 85.
    assert_string_equal(received(rx), "1 2 3 0 4 5 6 0 7 8 0");
    assert_string_equal(ticks(rx), "0 30 60");
    nrd_app_destroy(app);
}

static void full_batch_is_passed_on_at_once(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    use_manual_clock(f, "EventBasedScheduler");
    struct nrd_operator *tx = add_source(f, "tx", 7);
    struct nrd_operator *rx = add(f, &QUEUE_OF_FIVE, "rx", NULL);
    add_condition(rx, "ExpiringMessageAvailableCondition",
                  "{max_batch_size: 5, max_delay_ns: 25ms}");
    unit_of(tx)->act = send_dated;
    unit_of(rx)->act = take_batch;
    flow(tx, rx);
    ok(nrd_app_run(app));
    assert_string_equal(received(rx), "1 2 3 4 5 0 6 7 0");
    assert_string_equal(ticks(rx), "0 25");
    nrd_app_destroy(app);
}

// The producer may take the oldest message of such a queue, and free it, while the condition reads when it was acquired.
static void expiring_message_wants_a_queue_that_keeps_its_oldest(void **state)
{
    (void)state;
    for (int latest = 0; latest < 2; latest++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        struct nrd_operator *tx = add_source(f, "tx", 8);
        struct nrd_operator *rx = add(f, &QUEUE_OF_FIVE, "rx", NULL);
        add_condition(rx, "ExpiringMessageAvailableCondition",
                      "{max_batch_size: 1, max_delay_ns: 25ms}");
        add_flow_of(tx, rx, 0, latest ? -1 : NRD_QUEUE_POP, latest);
        fails(nrd_app_compile(app),
              latest ? "flow 'tx.out' -> 'rx.in' holds the latest message"
                     : "flow 'tx.out' -> 'rx.in' drops its oldest message (policy pop)");
        nrd_app_destroy(app);
    }
}

static void expiring_batch_needs_room_in_the_flow(void **state)
{
    (void)state;
    for (uint32_t capacity = 1; capacity <= 5; capacity += 4) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        struct nrd_operator *tx = add_source(f, "tx", 5);
        struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
        add_condition(rx, "ExpiringMessageAvailableCondition",
                      "{max_batch_size: 5, max_delay_ns: 25ms}");
        unit_of(tx)->act = send_dated;
        unit_of(rx)->act = take_batch;
        add_flow_of(tx, rx, capacity, -1, false);
        if (capacity < 5) {
            fails(nrd_app_run(app), "max_batch_size is 5, but the queue of input 'in' holds 1");
        } else {
            ok(nrd_app_run(app));
            assert_string_equal(received(rx), "1 2 3 4 5 0");
        }
        nrd_app_destroy(app);
    }
}

static void port_condition_replaces_the_default(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add_source(f, "tx", 9);
    struct nrd_operator *rx = add(f, &QUEUE_OF_FIVE, "rx", NULL);
    add_condition(rx, "MessageAvailableCondition", "{min_size: 4}");
    add_condition(tx, "DownstreamMessageAffordableCondition", "{min_size: 2}");
    unit_of(rx)->act = take_batch;
    flow(tx, rx);
    ok(nrd_app_run(app));
    // Room for two is left up to four in the queue.
    assert_string_equal(received(rx), "1 2 3 4 0 5 6 7 8 0");
    nrd_app_destroy(app);
}

static void removed_condition_lets_compute_run_without_messages(void **state)
{
    (void)state; // [8]
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add_source(f, "tx", 2);
    struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
    struct nrd_value *map = yaml("{receiver: in}");
    ok(nrd_add_condition(rx, "NoneCondition", NULL, map, NULL));
    nrd_value_free(map);
    add_condition(rx, "CountCondition", "{count: 50}");
    flow(tx, rx);
    ok(nrd_app_run(app));
    assert_int_equal(counts_of(rx).computes, 50);
    assert_string_equal(received(rx), "1 2");
    nrd_app_destroy(app);
}

// ---- time-outs, deadlines, own conditions ----

static void timeout_and_deadline(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    use_manual_clock(f, "GreedyScheduler");
    struct nrd_operator *tx = add_source(f, "tx", 2);
    struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
    add_condition(tx, "PeriodicCondition", "{recess_period: 45ms}");
    add_condition(rx, "TimeoutCondition", "{timeout: 20ms}");
    add_condition(rx, "DeadlineCondition", "{deadline: 100ms}");
    flow(tx, rx);
    ok(nrd_app_run(app));
    assert_string_equal(ticks(rx), "0 20 40 45 65 85");
    assert_string_equal(received(rx), "1 2");
    nrd_app_destroy(app);
}

struct own {
    int checks, left;
    struct nrd_condition *condition;
};

static enum nrd_condition_state own_check(void *self, int64_t now, int64_t *target)
{
    struct own *own = self;
    (void)now;
    (void)target;
    own->checks++;
    return own->left < 0    ? NRD_CONDITION_NEVER
           : own->left == 0 ? NRD_CONDITION_WAIT_EVENT
                            : NRD_CONDITION_READY;
}
static void own_executed(void *self, int64_t now)
{
    (void)now;
    ((struct own *)self)->left--;
}
static struct nrd_status *refill(struct nrd_compute *ctx, struct unit *u)
{
    struct own *own = u->arg;
    (void)ctx;
    own->left = u->computes == 3 ? -1 : 2;
    nrd_condition_notify(own->condition);
    return NULL;
}

static void condition_of_the_callers_own(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *op = add(f, &UNIT_LONER, "op", NULL);
    struct nrd_operator *other = add(f, &UNIT_LONER, "other", NULL);
    static const struct nrd_condition_class table = {
        .name = "own", .check = own_check, .executed = own_executed};
    struct own own = {.left = 1};
    ok(nrd_add_condition_class(op, &table, &own, &own.condition));
    add_condition(other, "CountCondition", "{count: 3}");
    unit_of(other)->act = refill;
    unit_of(other)->arg = &own;
    ok(nrd_app_run(app));
    assert_int_equal(own.left, -1);
    assert_int_equal(counts_of(op).computes, 3); // in turn with the other
    assert_true(own.checks < 20);                // nobody polls
    nrd_app_destroy(app);
}

static void memory_available_waits_for_blocks(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_resource *pool = NULL;
    struct nrd_value *params = yaml("{storage_type: 2, block_size: 64, num_blocks: 2}");
    ok(nrd_add_resource(f, "BlockMemoryPool", "pool", params, &pool));
    nrd_value_free(params);
    struct nrd_operator *op = add(f, &UNIT_LONER, "op", NULL);
    add_condition(op, "MemoryAvailableCondition", "{allocator: pool, min_blocks: 1}");
    add_condition(op, "CountCondition", "{count: 3}");
    ok(nrd_app_run(app));
    assert_int_equal(counts_of(op).computes, 3);
    fails(nrd_add_condition(op, "MemoryAvailableCondition", NULL, NULL, NULL), "allocator");
    nrd_app_destroy(app);
}

static void wrong_conditions_are_named(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *rx = add(f, &UNIT_PAIR, "rx", NULL);
    struct nrd_value *map = yaml("{receiver: c}");
    fails(nrd_add_condition(rx, "CountdownCondition", NULL, NULL, NULL), "unknown condition");
    fails(nrd_add_condition(rx, "MessageAvailableCondition", NULL, map, NULL),
          "has no input 'c', it has 'a', 'b'");
    fails(nrd_add_condition(rx, "MessageAvailableCondition", NULL, NULL, NULL),
          "more than one input, say which");
    fails(nrd_add_condition(rx, "PeriodicCondition", NULL, NULL, NULL), "recess_period");
    nrd_value_free(map);
    map = yaml("{count: ten}");
    fails(nrd_add_condition(rx, "CountCondition", "c", map, NULL), "operator 'rx': condition 'c'");
    nrd_value_free(map);
    nrd_app_destroy(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_never_wins),
        cmocka_unit_test(never_wins_inside_or_too),
        cmocka_unit_test(or_runs_on_either_input),
        cmocka_unit_test(boolean_false_is_final_once_it_was_seen),
        cmocka_unit_test(periodic_ticks_at_once_and_catches_up_as_told),
        cmocka_unit_test(periodic_counts_late_ticks),
        cmocka_unit_test(many_periods_interleave_in_the_order_of_time),
        cmocka_unit_test(synthetic_clock_waits_for_who_sets_it),
        cmocka_unit_test(outstanding_event_keeps_the_run_alive),
        cmocka_unit_test(asynchronous_wait_can_be_taken_back),
        cmocka_unit_test(event_that_is_done_runs_compute_once),
        cmocka_unit_test(multi_message_samples_by_sum_or_by_receiver),
        cmocka_unit_test(first_pick_over_runs_for_whichever_came),
        cmocka_unit_test(timeout_runs_with_what_there_is),
        cmocka_unit_test(expiring_message_is_passed_on_before_the_batch_is_full),
        cmocka_unit_test(full_batch_is_passed_on_at_once),
        cmocka_unit_test(expiring_message_wants_a_queue_that_keeps_its_oldest),
        cmocka_unit_test(expiring_batch_needs_room_in_the_flow),
        cmocka_unit_test(port_condition_replaces_the_default),
        cmocka_unit_test(removed_condition_lets_compute_run_without_messages),
        cmocka_unit_test(timeout_and_deadline),
        cmocka_unit_test(condition_of_the_callers_own),
        cmocka_unit_test(memory_available_waits_for_blocks),
        cmocka_unit_test(wrong_conditions_are_named),
    };
    log_set_enabled(LOG_INFO, false);
    log_set_enabled(LOG_WARNING, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
