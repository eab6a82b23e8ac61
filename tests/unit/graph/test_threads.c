// SPDX-License-Identifier: Apache-2.0
// Who runs what: thread pools, pinned operators, real-time policies, fragments, flows of control.
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "units.h"

static struct nrd_status *note_thread(struct nrd_compute *ctx, struct unit *u)
{
    (void)ctx;
    if (u->value_count < UNIT_NOTES) {
        u->values[u->value_count++] = thread_self_id();
    }
    return NULL;
}

static int64_t only_thread(struct nrd_operator *op)
{
    const struct unit *u = unit_of(op);
    for (size_t i = 1; i < u->value_count; i++) {
        assert_int_equal(u->values[i], u->values[0]);
    }
    return u->values[0];
}

static void pinned_operators_stay_on_their_threads(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    set_scheduler(f, "EventBasedScheduler", "{worker_thread_number: 2}");
    struct nrd_thread_pool *pool = NULL;
    ok(nrd_add_thread_pool(f, "pool", 3, &pool));
    struct nrd_operator *ops[4];
    for (int i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof(name), "op%d", i);
        ops[i] = add(f, &UNIT_LONER, name, NULL);
        unit_of(ops[i])->act = note_thread;
        add_condition(ops[i], "CountCondition", "{count: 300}");
        struct nrd_thread_options options = {.pin = i < 2};
        if (i < 3) {
            ok(nrd_thread_pool_add(pool, ops[i], &options));
        }
    }
    ok(nrd_app_run(app));
    int64_t first = only_thread(ops[0]);
    int64_t second = only_thread(ops[1]);
    int64_t loose = only_thread(ops[2]); // the one thread that is left
    assert_true(first != second && second != loose && first != loose);
    fails(nrd_thread_pool_add(pool, ops[0], NULL), "is in thread pool 'pool' already");
    fails(nrd_add_thread_pool(f, "none", 0, &pool), "0 threads");
    nrd_app_destroy(app);
}

static void more_pinned_operators_than_threads_share(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    set_scheduler(f, "EventBasedScheduler", NULL);
    struct nrd_thread_pool *pool = NULL;
    ok(nrd_add_thread_pool(f, "pool", 2, &pool));
    struct nrd_operator *last = NULL;
    for (int i = 0; i < 6; i++) {
        char name[8];
        snprintf(name, sizeof(name), "op%d", i);
        struct nrd_operator *op = i == 0   ? add_source(f, name, 500)
                                  : i == 5 ? add(f, &UNIT_SINK, name, NULL)
                                           : add(f, &UNIT_PASS, name, NULL);
        struct nrd_thread_options options = {.pin = i % 3 != 0};
        ok(nrd_thread_pool_add(pool, op, &options));
        if (last != NULL) {
            flow(last, op);
        }
        last = op;
    }
    ok(nrd_app_run(app));
    assert_int_equal(unit_of(last)->value_count, 500);
    nrd_app_destroy(app);
}

static void real_time_policy_is_given_or_refused_by_name(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    set_scheduler(f, "EventBasedScheduler", NULL);
    struct nrd_thread_pool *pool = NULL;
    ok(nrd_add_thread_pool(f, "rt", 1, &pool));
    struct nrd_operator *op = add(f, &UNIT_LONER, "op", NULL);
    add_condition(op, "CountCondition", "{count: 3}");
    struct nrd_thread_options options = {.pin = true, .policy = "fast", .priority = 5};
    fails(nrd_thread_pool_add(pool, op, &options), "unknown policy 'fast'");
    options.policy = "fifo";
    options.priority = 100;
    fails(nrd_thread_pool_add(pool, op, &options), "a priority from 1 to 99, not 100");
    options.policy = "";
    fails(nrd_thread_pool_add(pool, op, &options), "needs a policy");
    options = (struct nrd_thread_options){.policy = "deadline", .runtime_ns = 5};
    fails(nrd_thread_pool_add(pool, op, &options), "0 < runtime");
    options = (struct nrd_thread_options){.pin = true, .policy = "rr", .priority = 10};
    ok(nrd_thread_pool_add(pool, op, &options));
    struct nrd_status *status = nrd_app_run(app);
    if (status == NULL) {
        assert_int_equal(counts_of(op).computes, 3); // this user may
    } else {
        assert_non_null(strstr(status_text(status), "the real-time policy 'rr' (priority 10)"));
        assert_non_null(strstr(status_text(status), "CAP_SYS_NICE"));
        assert_int_equal(unit_of(op)->starts, 0);
        status_free(status);
    }
    nrd_app_destroy(app);
}

static void impossible_processor_is_named(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    set_scheduler(f, "EventBasedScheduler", "{pin_cores: [1023]}");
    struct nrd_operator *op = add(f, &UNIT_LONER, "op", NULL);
    add_condition(op, "CountCondition", "{count: 3}");
    fails(nrd_app_run(app), "failed to pin a thread to processors '1023'");
    assert_int_equal(unit_of(op)->starts, 0);
    nrd_app_destroy(app);
}

static void greedy_runs_on_the_callers_thread_in_a_fixed_order(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    _Atomic int order = 1;
    struct nrd_operator *ops[70];
    for (int i = 0; i < 70; i++) {
        char name[8];
        snprintf(name, sizeof(name), "op%d", i);
        ops[i] = add(f, &UNIT_LONER, name, NULL);
        unit_of(ops[i])->order = &order;
        unit_of(ops[i])->act = note_thread;
        add_condition(ops[i], "CountCondition", "{count: 2}");
    }
    ok(nrd_app_run(app));
    for (int i = 0; i < 70; i++) {
        assert_int_equal(unit_of(ops[i])->started_as, i + 1);
        assert_int_equal(only_thread(ops[i]), thread_self_id());
    }
    nrd_app_destroy(app);
}

static void fragments_have_schedulers_of_their_own_and_flows_between(void **state)
{
    (void)state;
    for (int i = 0; i < UNIT_SCHEDULER_COUNT * UNIT_SCHEDULER_COUNT; i++) {
        const char *const *a = UNIT_SCHEDULERS[i / UNIT_SCHEDULER_COUNT];
        const char *const *b = UNIT_SCHEDULERS[i % UNIT_SCHEDULER_COUNT];
        struct nrd_app *app = make_app();
        struct nrd_fragment *first = nrd_app_fragment(app);
        struct nrd_fragment *second = NULL;
        ok(nrd_app_add_fragment(app, "second", &second));
        set_scheduler(first, a[0], a[1]);
        set_scheduler(second, b[0], b[1]);
        struct nrd_operator *tx = add_source(first, "tx", 300);
        struct nrd_operator *mid = add(second, &UNIT_PASS, "mid", NULL);
        struct nrd_operator *rx = add(first, &UNIT_SINK, "rx", NULL);
        flow(tx, mid);
        flow(mid, rx);
        for (int run = 0; run < 3; run++) {
            ok(nrd_app_run(app));
            assert_int_equal(unit_of(rx)->value_count, 300);
        }
        fails(nrd_app_add_fragment(app, "second", &second), "already has a fragment");
        nrd_app_destroy(app);
    }
}

static void fragments_on_manual_clocks_wait_for_each_other(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f[2] = {nrd_app_fragment(app), NULL};
    ok(nrd_app_add_fragment(app, "second", &f[1]));
    struct nrd_operator *ops[2];
    for (int i = 0; i < 2; i++) {
        use_manual_clock(f[i], "EventBasedScheduler");
        ops[i] = add_source(f[i], i == 0 ? "tx" : "tick", 10);
        add_condition(ops[i], "PeriodicCondition",
                      i == 0 ? "{recess_period: 10ms}" : "{recess_period: 70ms}");
    }
    struct nrd_operator *rx = add(f[1], &UNIT_SINK, "rx", NULL);
    struct nrd_operator *log = add(f[1], &UNIT_SINK, "log", NULL);
    flow(ops[0], rx);
    flow(ops[1], log);
    ok(nrd_app_run(app));
    assert_int_equal(unit_of(rx)->value_count, 10);
    assert_string_equal(ticks(ops[1]), "0 70 140 210 280 350 420 490 560 630");
    assert_string_equal(ticks(ops[0]), "0 10 20 30 40 50 60 70 80 90");
    nrd_app_destroy(app);
}

// ---- timers ----

// A sender that waits until its reader has taken the message before, and sends the last one a millisecond later. So all is short
// and stays on one worker, while the others sleep, until it sets its timer and that worker goes on to the reader.
struct late_last {
    struct nrd_operator *tx, *rx;
    int64_t due;
};
enum { LATE_AT = 300 };

static enum nrd_condition_state late_check(void *self, int64_t now, int64_t *target)
{
    struct late_last *l = self;
    uint64_t sent = counts_of(l->tx).computes;
    if (sent > LATE_AT) {
        return NRD_CONDITION_NEVER;
    }
    if (sent < LATE_AT) {
        return nrd_operator_queued(l->rx, 0, 0) == 0 ? NRD_CONDITION_READY : NRD_CONDITION_WAIT;
    }
    l->due = l->due == 0 ? now + 1000000 : l->due;
    *target = l->due;
    return now < l->due ? NRD_CONDITION_WAIT_TIME : NRD_CONDITION_READY;
}

static const struct nrd_condition_class LATE_LAST = {.name = "late last", .check = late_check};

// Is long for the first time with the last message but two, and with the next waits until the last was sent.
static struct nrd_status *wait_for_last(struct nrd_compute *ctx, struct unit *u)
{
    const uint64_t patience = 5000000000;
    uint64_t began = clock_now_ns();
    while (u->computes == LATE_AT - 1 && clock_now_ns() - began < 200000) {
        sched_yield();
    }
    while (u->computes == LATE_AT && counts_of(u->arg).computes <= LATE_AT) {
        if (clock_now_ns() - began > patience) {
            return nrd_compute_fail(ctx, NRD_UNAVAILABLE, "nobody keeps the time");
        }
        sched_yield();
    }
    unit_take(ctx, u, 0);
    return NULL;
}

static void timer_is_kept_while_who_set_it_computes_for_long(void **state)
{
    (void)state;
    static const char *const schedulers[] = {"{worker_thread_number: 2}",
                                             "{worker_thread_number: 3}",
                                             "{worker_thread_number: 2, spin: 20us}"};
    for (size_t i = 0; i < 3 * sizeof(schedulers) / sizeof(schedulers[0]); i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, "EventBasedScheduler", schedulers[i / 3]);
        struct late_last late = {.tx = add(f, &UNIT_SOURCE, "tx", NULL),
                                 .rx = add(f, &UNIT_SINK, "rx", NULL)};
        struct nrd_condition *condition = NULL;
        ok(nrd_add_condition_class(late.tx, &LATE_LAST, &late, &condition));
        unit_of(late.rx)->act = wait_for_last;
        unit_of(late.rx)->arg = late.tx;
        add_flow_of(late.tx, late.rx, 2, -1, false);
        ok(nrd_app_run(app));
        assert_int_equal(unit_of(late.rx)->value_count, LATE_AT + 1);
        nrd_app_destroy(app);
    }
}

// ---- control ----

static void control_runs_those_without_ports_one_after_the_other(void **state)
{
    (void)state;
    for (int i = 0; i < UNIT_SCHEDULER_COUNT; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i][0], UNIT_SCHEDULERS[i][1]);
        struct nrd_operator *one = add(f, &UNIT_LONER, "one", NULL);
        struct nrd_operator *two = add(f, &UNIT_LONER, "two", NULL);
        struct nrd_operator *three = add(f, &UNIT_LONER, "three", NULL);
        flow(nrd_start_operator(f), one);
        flow(one, two);
        flow(two, three);
        ok(nrd_app_run(app));
        assert_int_equal(counts_of(one).computes, 1);
        assert_int_equal(counts_of(two).computes, 1);
        assert_int_equal(counts_of(three).computes, 1);
        nrd_app_destroy(app);
    }
}

static void loop_five_times(struct nrd_operator *op, struct nrd_flow_choice *choice, void *arg)
{
    struct nrd_operator *loop = arg;
    ok(nrd_flow_choose(choice, counts_of(loop).computes < 5 ? nrd_operator_name(loop) : "end"));
    (void)op;
}

static void control_may_loop(void **state)
{
    (void)state;
    for (int i = 0; i < UNIT_SCHEDULER_COUNT; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i][0], UNIT_SCHEDULERS[i][1]);
        struct nrd_operator *loop = add(f, &UNIT_LONER, "loop", NULL);
        struct nrd_operator *check = add(f, &UNIT_LONER, "check", NULL);
        struct nrd_operator *end = add(f, &UNIT_LONER, "end", NULL);
        flow(nrd_start_operator(f), loop);
        flow(loop, check);
        flow(check, loop);
        flow(check, end);
        ok(nrd_set_dynamic_flows(check, loop_five_times, loop));
        ok(nrd_app_run(app));
        assert_int_equal(counts_of(loop).computes, 5);
        assert_int_equal(counts_of(check).computes, 5);
        assert_int_equal(counts_of(end).computes, 1);
        nrd_app_destroy(app);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pinned_operators_stay_on_their_threads),
        cmocka_unit_test(more_pinned_operators_than_threads_share),
        cmocka_unit_test(real_time_policy_is_given_or_refused_by_name),
        cmocka_unit_test(impossible_processor_is_named),
        cmocka_unit_test(greedy_runs_on_the_callers_thread_in_a_fixed_order),
        cmocka_unit_test(fragments_have_schedulers_of_their_own_and_flows_between),
        cmocka_unit_test(fragments_on_manual_clocks_wait_for_each_other),
        cmocka_unit_test(timer_is_kept_while_who_set_it_computes_for_long),
        cmocka_unit_test(control_runs_those_without_ports_one_after_the_other),
        cmocka_unit_test(control_may_loop),
    };
    log_set_enabled(LOG_INFO, false);
    log_set_enabled(LOG_WARNING, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
