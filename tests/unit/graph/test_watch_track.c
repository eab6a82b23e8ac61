// SPDX-License-Identifier: Apache-2.0
// Flow tracking of whole graphs, on a manual clock that the operators themselves set forward.
#include "small_ops.h"

#include <unistd.h>

#include "base/file.h"

static struct nrd_resource *manual; // 1 us a compute

static struct nrd_status *source_takes_time(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    nrd_clock_advance(manual, 1000);
    return nrd_emit_value(ctx, 0, "int64", &(int64_t){1}, 8) == NRD_OK
               ? NULL
               : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static struct nrd_status *pass_takes_time(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    nrd_clock_advance(manual, 1000);
    return nrd_emit(ctx, 0, nrd_receive(ctx, 0)) == NRD_OK
               ? NULL
               : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static struct nrd_status *sink_takes_time(struct nrd_compute *ctx, struct small_op *self)
{
    struct nrd_message *m;
    nrd_clock_advance(manual, 1000);
    while ((m = nrd_receive(ctx, 0)) != NULL) {
        self->got++;
        nrd_message_unref(m);
    }
    return NULL;
}

static struct nrd_app *timed_app(void)
{
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    manual = add_resource(f, "ManualClock", "clock", NULL);
    set_scheduler(f, "GreedyScheduler", "{clock: clock}");
    source_hook = source_takes_time;
    pass_hook = pass_takes_time;
    sink_hook = sink_takes_time;
    return app;
}

static struct nrd_path_report report_of(const struct nrd_app *app, const char *path)
{
    struct nrd_path_report report = {0};
    for (size_t i = 0; nrd_app_path_report(app, i, &report); i++) {
        if (strcmp(report.path, path) == 0) {
            return report;
        }
    }
    fail_msg("no path %s", path);
    return report;
}

static const struct nrd_track_options ALL = {0};

static void track_of_a_chain_counts_every_message(void **state)
{
    (void)state;
    struct nrd_app *app = timed_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add_source(f, "tx", 50);
    struct nrd_operator *mx = add(f, &pass_op, "mx", NULL);
    struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
    flow(tx, mx);
    flow(mx, rx);
    ok(nrd_app_track(app, &ALL));
    for (int run = 0; run < 2; run++) {
        ok(nrd_app_run(app));
        assert_int_equal(nrd_app_path_count(app), 1);
        struct nrd_path_report r = report_of(app, "tx,mx,rx");
        assert_int_equal(r.count, 50);
        assert_true(r.min_ns >= 3000); // three computes of 1 us
        assert_true(r.max_ns <= 10000);
        assert_true(r.p50_ns >= r.min_ns && r.p999_ns <= r.max_ns);
    }
    struct nrd_track_options skip = {.skip_first = 10, .skip_last = 5};
    ok(nrd_app_track(app, &skip));
    ok(nrd_app_run(app));
    assert_int_equal(report_of(app, "tx,mx,rx").count, 35);
    nrd_app_destroy(app);
}

static void track_follows_a_graph_that_grows_between_runs(void **state)
{
    (void)state;
    struct nrd_app *app = timed_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add_source(f, "tx", 5);
    ok(nrd_app_track(app, &ALL));
    for (int i = 0; i < 6; i++) {
        char name[8];
        char path[16];
        snprintf(name, sizeof(name), "rx%d", i);
        snprintf(path, sizeof(path), "tx,rx%d", i);
        flow(tx, add(f, &sink_op, name, NULL));
        ok(nrd_app_run(app)); // the plan is made anew, perhaps where the last one lay
        assert_int_equal(nrd_app_path_count(app), i + 1);
        assert_int_equal(report_of(app, path).count, 5);
    }
    flow(tx, add(f, &sink_op, "last", NULL)); // results of the last run can still be written
    char path[64];
    snprintf(path, sizeof(path), "/tmp/nereid-tracking-%d.txt", (int)getpid());
    struct str text = STR_INIT;
    ok(nrd_app_write_tracking(app, path, false));
    ok(file_read(path, 0, &text));
    assert_non_null(strstr(str_cstr(&text), "tx->out: 5\n"));
    str_fini(&text);
    unlink(path);
    nrd_app_destroy(app);
}

// tx fans out to a, b and rx; a and b are joined by rx. All pass the same message on, so it is copied for each branch.
static void track_of_a_fan_out_and_join_has_one_path_a_branch(void **state)
{
    (void)state;
    struct nrd_app *app = timed_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add_source(f, "tx", 20);
    struct nrd_operator *a = add(f, &pass_op, "a", NULL);
    struct nrd_operator *b = add(f, &pass_op, "b", NULL);
    struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
    flow(tx, a);
    flow(tx, b);
    flow(tx, rx);
    flow(a, rx);
    flow(b, rx);
    ok(nrd_app_track(app, &ALL));
    ok(nrd_app_run(app));
    assert_int_equal(small(rx)->got, 60);
    assert_int_equal(nrd_app_path_count(app), 3);
    assert_int_equal(report_of(app, "tx,rx").count, 20);
    assert_int_equal(report_of(app, "tx,a,rx").count, 20);
    assert_int_equal(report_of(app, "tx,b,rx").count, 20);
    nrd_app_destroy(app);
}

static void track_writes_text_csv_and_log(void **state)
{
    (void)state;
    char path[64];
    char log[64];
    snprintf(path, sizeof(path), "/tmp/nereid-tracking-%d.txt", (int)getpid());
    snprintf(log, sizeof(log), "/tmp/nereid-tracking-%d.log", (int)getpid());
    struct nrd_app *app = timed_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx = add_source(f, "tx", 2);
    struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
    flow(tx, rx);
    struct nrd_track_options options = {.log_path = log};
    ok(nrd_app_track(app, &options));
    fails(nrd_app_write_tracking(app, path, false), "has not run with flow tracking");
    ok(nrd_app_run(app));
    struct str text = STR_INIT;
    ok(nrd_app_write_tracking(app, path, false));
    ok(file_read(path, 0, &text));
    assert_non_null(strstr(str_cstr(&text), "Path 1: tx,rx\nNumber of messages: 2\n"));
    assert_non_null(strstr(str_cstr(&text), "tx->out: 2\n"));
    str_clear(&text);
    ok(nrd_app_write_tracking(app, path, true));
    ok(file_read(path, 0, &text));
    assert_non_null(strstr(str_cstr(&text), "\n\"tx,rx\",2,"));
    str_clear(&text);
    ok(file_read(log, 0, &text));
    assert_true(slice_starts(str_slice(&text), slice_of("1:\n(tx,0,1) -> (rx,")));
    str_fini(&text);
    nrd_app_destroy(app);
    unlink(path);
    unlink(log);
}

static uint64_t allocations;
static struct nrd_status *sink_counts_allocations(struct nrd_compute *ctx, struct small_op *self)
{
    nrd_message_unref(nrd_receive(ctx, 0));
    if (self->computes == 100) {
        allocations = mem_count();
    } else if (self->computes == 5000) {
        allocations = mem_count() - allocations;
    }
    return NULL;
}

static void track_allocates_nothing_in_steady_state(void **state)
{
    (void)state;
    static const char *const SCHEDULERS[] = {"GreedyScheduler", "EventBasedScheduler"};
    for (int i = 0; i < 2; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        sink_hook = sink_counts_allocations;
        set_scheduler(f, SCHEDULERS[i], NULL);
        struct nrd_operator *tx = add_source(f, "tx", 5000);
        struct nrd_operator *mx = add(f, &pass_op, "mx", NULL);
        struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
        flow(tx, mx);
        flow(mx, rx);
        ok(nrd_app_track(app, NULL));
        ok(nrd_app_run(app));
        assert_int_equal(allocations, 0);
        assert_int_equal(report_of(app, "tx,mx,rx").count, 4980);
        nrd_app_destroy(app);
    }
}

static void track_is_exact_under_threads(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, "EventBasedScheduler", "{worker_thread_number: 4}");
        struct nrd_operator *tx = add_source(f, "tx", 500);
        struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
        for (int i = 0; i < 4; i++) {
            char name[2] = {(char)('a' + i), '\0'};
            struct nrd_operator *mx = add(f, &pass_op, name, NULL);
            flow(tx, mx);
            flow(mx, rx);
        }
        ok(nrd_app_track(app, &ALL));
        ok(nrd_app_run(app));
        assert_int_equal(nrd_app_path_count(app), 4);
        assert_int_equal(report_of(app, "tx,a,rx").count, 500);
        assert_int_equal(report_of(app, "tx,d,rx").count, 500);
        nrd_app_destroy(app);
    }
}

// ---- graphs at random ----

enum { NODES = 9 };

static uint32_t random_below(uint64_t *seed, uint32_t below)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(*seed >> 33) % below;
}

// Layers of a graph without cycles: operator 0 is the source; every other gets what one or more before it send. Those that nobody
// follows are sinks. The number of paths that end in each operator is known from those before it.
static void run_random_graph(uint64_t seed, const char *scheduler, const char *params)
{
    enum { MESSAGES = 20 };
    bool edge[NODES][NODES] = {{false}};
    bool has_next[NODES] = {false};
    uint64_t paths[NODES] = {1};
    for (int to = 1; to < NODES; to++) {
        uint32_t inputs = 1 + random_below(&seed, 3);
        for (uint32_t i = 0; i < inputs; i++) {
            uint32_t from = random_below(&seed, (uint32_t)to);
            paths[to] += edge[from][to] ? 0 : paths[from];
            edge[from][to] = true;
            has_next[from] = true;
        }
    }
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *ops[NODES];
    struct nrd_operator_class end_op = sink_op; // takes from any of its flows, not from all at once
    end_op.inputs = small_one_in;
    uint64_t expected = 0;
    set_scheduler(f, scheduler, params);
    for (int i = 0; i < NODES; i++) {
        char name[2] = {(char)('a' + i), '\0'};
        ops[i] = i == 0 ? add_source(f, name, MESSAGES)
                        : add(f, has_next[i] ? &pass_op : &end_op, name, NULL);
        expected += has_next[i] ? 0 : paths[i];
    }
    for (int from = 0; from < NODES; from++) {
        for (int to = 0; to < NODES; to++) {
            if (edge[from][to]) {
                flow(ops[from], ops[to]);
            }
        }
    }
    ok(nrd_app_track(app, &ALL));
    ok(nrd_app_run(app));
    assert_int_equal(nrd_app_path_count(app), expected);
    struct nrd_path_report r;
    for (size_t i = 0; nrd_app_path_report(app, i, &r); i++) {
        assert_int_equal(r.count, MESSAGES);
        assert_true(r.min_ns <= r.p50_ns && r.p50_ns <= r.p99_ns && r.p999_ns <= r.max_ns);
    }
    nrd_app_destroy(app);
}

static void track_of_graphs_at_random_counts_every_message_on_every_path(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        run_random_graph(seed, "GreedyScheduler", NULL);
        run_random_graph(seed, "EventBasedScheduler", "{worker_thread_number: 3}");
    }
}

// ---- cycles and latest values ----

static struct nrd_status *pass_takes_both(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    struct nrd_message *m = nrd_receive(ctx, 0);
    nrd_message_unref(nrd_receive(ctx, 1)); // what came back, if anything did
    return nrd_emit(ctx, 0, m) == NRD_OK ? NULL : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static void track_of_a_cycle_ends_where_it_comes_back(void **state)
{
    (void)state;
    static const struct nrd_port TWO_IN[] = {
        {.name = "in", .policy = NRD_QUEUE_FAULT},
        {.name = "back", .policy = NRD_QUEUE_POP, .flags = NRD_PORT_NO_CONDITION},
        {0}};
    struct nrd_operator_class head_op = pass_op;
    head_op.inputs = TWO_IN;
    head_op.compute = pass_compute;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    pass_hook = pass_takes_both;
    struct nrd_operator *tx = add_source(f, "tx", 10);
    struct nrd_operator *head = add(f, &head_op, "head", NULL);
    struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
    ok(nrd_add_flow(tx, "", head, "in", NULL));
    ok(nrd_add_flow(head, "", rx, "", NULL));
    ok(nrd_add_flow(head, "", head, "back", NULL));
    ok(nrd_app_track(app, &ALL));
    ok(nrd_app_run(app));
    assert_int_equal(report_of(app, "tx,head,rx").count, 10);
    assert_int_equal(report_of(app, "tx,head,head").count, 9); // the last one stays in the queue
    assert_int_equal(nrd_app_path_count(app), 2);
    nrd_app_destroy(app);
}

static struct nrd_status *sink_takes_one(struct nrd_compute *ctx, struct small_op *self)
{
    struct nrd_message *m = nrd_receive(ctx, 0);
    self->got += m != NULL;
    nrd_message_unref(m);
    return NULL;
}

static void track_says_which_messages_were_read_again(void **state)
{
    (void)state;
    struct nrd_flow_options latest = {.policy = -1, .latest = true};
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    sink_hook = sink_takes_one;
    struct nrd_operator *tx = add_source(f, "tx", 1);
    struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
    ok(nrd_add_flow(tx, "", rx, "", &latest));
    add_condition(rx, "CountCondition", "{count: 5}");
    ok(nrd_app_track(app, &ALL));
    ok(nrd_app_run(app));
    uint64_t again = small(rx)->got - 1;
    assert_true(again >= 1);
    assert_int_equal(report_of(app, "tx,rx").count, 1);
    assert_int_equal(report_of(app, "tx_old,rx").count, again);
    nrd_app_destroy(app);
}

static void track_names_operators_of_further_fragments_with_theirs(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *second = NULL;
    ok(nrd_app_add_fragment(app, "second", &second));
    struct nrd_operator *tx = add_source(nrd_app_fragment(app), "tx", 10);
    struct nrd_operator *rx = add(second, &sink_op, "rx", NULL);
    flow(tx, rx);
    ok(nrd_app_track(app, &ALL));
    ok(nrd_app_run(app));
    assert_int_equal(report_of(app, "tx,second.rx").count, 10);
    nrd_app_destroy(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SMALL_TEST(track_of_a_chain_counts_every_message),
        SMALL_TEST(track_follows_a_graph_that_grows_between_runs),
        SMALL_TEST(track_of_a_fan_out_and_join_has_one_path_a_branch),
        SMALL_TEST(track_writes_text_csv_and_log),
        SMALL_TEST(track_allocates_nothing_in_steady_state),
        SMALL_TEST(track_is_exact_under_threads),
        SMALL_TEST(track_of_graphs_at_random_counts_every_message_on_every_path),
        SMALL_TEST(track_of_a_cycle_ends_where_it_comes_back),
        SMALL_TEST(track_says_which_messages_were_read_again),
        SMALL_TEST(track_names_operators_of_further_fragments_with_theirs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
