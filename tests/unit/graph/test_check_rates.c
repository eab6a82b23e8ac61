// SPDX-License-Identifier: Apache-2.0
// What compile says of rates and pools: which graphs are warned of and with what numbers, which are not, and that none is refused.
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "graph/check.h"
#include "units.h"

// What is said of the graph, which must compile all the same; valid until the next call.
static const char *said(struct nrd_app *app)
{
    static char text[2048];
    struct str out = STR_INIT;
    ok(nrd_app_compile(app));
    ok(check_rates(app, &out));
    assert_true(out.len < sizeof(text));
    snprintf(text, sizeof(text), "%s", str_cstr(&out));
    str_fini(&out);
    return text;
}

static struct nrd_operator *add_paced(struct nrd_fragment *f,
                                      const struct nrd_operator_class *table, const char *name,
                                      const char *period)
{
    char text[64];
    struct nrd_operator *op = add(f, table, name, NULL);
    snprintf(text, sizeof(text), "{recess_period: %s}", period);
    add_condition(op, "PeriodicCondition", text);
    return op;
}

static void join_of_two_rates_names_both_sources(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *fast = add_paced(f, &UNIT_SOURCE, "fast", "10ms");
    struct nrd_operator *slow = add_paced(f, &UNIT_SOURCE, "slow", "20Hz");
    struct nrd_operator *between = add(f, &UNIT_PASS, "between", NULL);
    struct nrd_operator *pair = add(f, &UNIT_PAIR, "pair", NULL);
    flow(fast, between);
    add_flow(between, "out", pair, "a");
    add_flow(slow, "out", pair, "b");
    assert_string_equal(
        said(app), "operator 'pair' waits for messages at two rates: on input 'a' at that of "
                   "'fast' (every 10 ms, 100 Hz), on input 'b' at that of 'slow' (every 50 ms, "
                   "20 Hz); 'between' waits for room, so it is slowed down to that\n");
    nrd_app_destroy(app);

    app = make_app(); // an input of any size: each of its flows is waited for
    f = nrd_app_fragment(app);
    struct nrd_operator *join = add(f, &UNIT_JOIN, "join", NULL);
    flow(add_paced(f, &UNIT_SOURCE, "s30", "30Hz"), join);
    flow(add_paced(f, &UNIT_SOURCE, "s25", "25Hz"), join);
    assert_non_null(strstr(said(app), "operator 'join' waits for messages at two rates: on input "
                                      "'in' at that of 's30' (every 33.33 ms, 30 Hz), on input "
                                      "'in' at that of 's25' (every 40 ms, 25 Hz)"));
    nrd_app_destroy(app);
}

static void warning_is_in_the_log_of_compile(void **state)
{
    (void)state;
    char path[] = "/tmp/nereid-rates-XXXXXX";
    char text[1024] = "";
    int file = mkstemp(path);
    assert_true(file >= 0);
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    flow(add_paced(f, &UNIT_SOURCE, "tx", "1ms"), add_paced(f, &UNIT_SINK, "rx", "2ms"));
    ok(log_set_file(path));
    log_set_enabled(LOG_WARNING, true);
    ok(nrd_app_compile(app));
    log_set_enabled(LOG_WARNING, false);
    ok(log_set_file(""));
    assert_true(read(file, text, sizeof(text) - 1) > 0);
    assert_non_null(strstr(text, "operator 'rx' is slower (every 2 ms, 500 Hz) than what comes"));
    assert_int_equal(text[0], 'W');
    close(file);
    unlink(path);
    nrd_app_destroy(app);
}

static void equal_rates_and_readers_that_do_not_wait_are_fine(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *join = add(f, &UNIT_JOIN, "join", NULL);
    struct nrd_operator *s30 = add_paced(f, &UNIT_SOURCE, "s30", "30Hz");
    flow(s30, join);
    flow(add_paced(f, &UNIT_SOURCE, "s33", "33.3ms"), join);
    add_flow_of(add_paced(f, &UNIT_SOURCE, "status", "1Hz"), join, 1, -1, true); // latest value
    flow(add(f, &UNIT_SOURCE, "free", NULL), join); // nobody knows its rate
    flow(s30, add_paced(f, &UNIT_READER, "reader", "1s"));
    flow(s30, add_paced(f, &UNIT_SINK, "quick", "1ms"));
    assert_string_equal(said(app), "");
    nrd_app_destroy(app);
}

static void any_of_two_inputs_is_no_wait_for_both(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *pair = add(f, &UNIT_PAIR, "pair", NULL);
    add_flow(add_paced(f, &UNIT_SOURCE, "fast", "1ms"), "out", pair, "a");
    add_flow(add_paced(f, &UNIT_SOURCE, "slow", "1s"), "out", pair, "b");
    ok(nrd_combine_or(pair, (const char *const[]){"a", "b"}, 2));
    assert_string_equal(said(app), "");
    nrd_app_destroy(app);
}

static void slow_reader_is_told_what_its_queue_does(void **state)
{
    (void)state;
    static const struct {
        int policy;
        bool free;
        const char *effect;
    } cases[] = {
        {NRD_QUEUE_FAULT, false, "(every 10 ms, 100 Hz); 'tx' waits for room, so it is slowed"},
        {NRD_QUEUE_POP, false, "'tx' waits for room, so it is slowed down to that\n"},
        {NRD_QUEUE_FAULT, true, "the queue of 4 is full, the run ends with an error (fault)\n"},
        {NRD_QUEUE_REJECT, true, "the queue of 4 is full, new messages are dropped\n"},
        {NRD_QUEUE_POP, true, "the queue of 4 is full, its oldest message is dropped\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        struct nrd_operator *tx = add_paced(f, &UNIT_SOURCE, "tx", "10ms");
        struct nrd_operator *rx = add_paced(f, &UNIT_SINK, "rx", "20ms");
        struct nrd_value *none = yaml("{transmitter: out}");
        add_flow_of(tx, rx, 4, cases[i].policy, false);
        if (cases[i].free) {
            ok(nrd_add_condition(tx, "NoneCondition", NULL, none, NULL));
        }
        nrd_value_free(none);
        const char *text = said(app);
        assert_non_null(strstr(text, "operator 'rx' is slower (every 20 ms, 50 Hz) than what comes "
                                     "into its input 'in' at the rate of 'tx'"));
        if (strstr(text, cases[i].effect) == NULL) {
            fail_msg("'%s' is not in '%s'", cases[i].effect, text);
        }
        nrd_app_destroy(app);
    }
}

// A reader of three at a time keeps up at a third of the rate; two sources into one queue add up.
static void batches_and_sums_count(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    flow(add_paced(f, &UNIT_SOURCE, "a", "10ms"), add_paced(f, &UNIT_BATCH, "third", "30ms"));
    flow(add_paced(f, &UNIT_SOURCE, "b", "10ms"), add_paced(f, &UNIT_BATCH, "late", "31ms"));
    struct nrd_operator *sink = add_paced(f, &UNIT_SINK, "sum", "10ms");
    flow(add_paced(f, &UNIT_SOURCE, "c", "15ms"), sink);
    flow(add_paced(f, &UNIT_SOURCE, "d", "15ms"), sink);
    const char *text = said(app);
    assert_null(strstr(text, "'third'"));
    assert_non_null(strstr(text, "'late' is slower (every 31 ms, 32.26 Hz)"));
    assert_non_null(strstr(text, "at the rate of 'b' (every 30 ms, 33.33 Hz, 3 at a time)"));
    assert_non_null(strstr(text,
                           "'sum' is slower (every 10 ms, 100 Hz) than what comes into its input "
                           "'in' at the rate of 'c' and others (every 7.5 ms, 133.3 Hz)"));
    nrd_app_destroy(app);
}

static const struct nrd_port SPARSE_OUT[] = {
    {.name = "out", .type = "number", .policy = NRD_QUEUE_FAULT, .flags = NRD_PORT_SPARSE}, {0}};
UNIT_CLASS(SPARSE, "Sparse", UNIT_IN, SPARSE_OUT, unit_pass_compute);

static void rate_ends_where_it_cannot_be_known(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *fast = add_paced(f, &UNIT_SOURCE, "fast", "1ms");
    struct nrd_operator *some = add(f, &SPARSE, "some", NULL);
    struct nrd_operator *join = add(f, &UNIT_JOIN, "join", NULL);
    flow(fast, some);
    flow(some, join);
    flow(add_paced(f, &UNIT_SOURCE, "slow", "1s"), join);
    struct nrd_operator *waiting = add(f, &UNIT_PASS, "waiting", NULL);
    add_condition(waiting, "AsynchronousCondition", NULL);
    flow(fast, waiting);
    flow(waiting, join);
    assert_string_equal(said(app), "");
    nrd_app_destroy(app);
}

static void times_of_two_clocks_are_not_compared(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_fragment *g = NULL;
    ok(nrd_app_add_fragment(app, "other", &g));
    use_manual_clock(g, "GreedyScheduler");
    flow(add_paced(f, &UNIT_SOURCE, "tx", "1ms"), add_paced(g, &UNIT_SINK, "rx", "1s"));
    assert_string_equal(said(app), "");
    nrd_app_destroy(app);
}

// ---- pools ----

struct maker {
    struct nrd_resource *allocator;
};
static struct nrd_status *maker_compute(struct nrd_compute *ctx, void *self)
{
    (void)ctx;
    (void)self;
    return NULL;
}
static const char *const ALLOCATOR[] = {"allocator", NULL};
static const struct nrd_param MAKER_PARAMS[] = {{.name = "allocator",
                                                 .type = NRD_PARAM_RESOURCE,
                                                 .flags = NRD_PARAM_OPTIONAL,
                                                 .offset = offsetof(struct maker, allocator),
                                                 .choices = ALLOCATOR},
                                                {0}};
static const struct nrd_operator_class MAKER = {.abi = NRD_OPERATOR_ABI,
                                                .name = "Maker",
                                                .state_size = sizeof(struct maker),
                                                .params = MAKER_PARAMS,
                                                .outputs = UNIT_OUT,
                                                .compute = maker_compute};

static void add_pool(struct nrd_fragment *f, int blocks)
{
    char text[80];
    snprintf(text, sizeof(text), "{storage_type: 2, block_size: 64, num_blocks: %d}", blocks);
    struct nrd_value *params = yaml(text);
    ok(nrd_add_resource(f, "BlockMemoryPool", "pool", params, NULL));
    nrd_value_free(params);
}

// Four in the queue and one in the reader's hand; the next is made when there is room for it.
static void pool_of_fewer_blocks_than_messages_is_named(void **state)
{
    (void)state;
    for (int blocks = 4; blocks <= 5; blocks++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        add_pool(f, blocks);
        struct nrd_operator *maker = add(f, &MAKER, "maker", "{allocator: pool}");
        add_flow_of(maker, add(f, &UNIT_SINK, "rx", NULL), 4, -1, false);
        add_flow_of(maker, add(f, &UNIT_SINK, "shares", NULL), 2, -1, false);
        assert_string_equal(
            said(app), blocks == 5
                           ? ""
                           : "resource 'pool' (BlockMemoryPool) has 4 blocks, and 5 messages of "
                             "'maker' can be on their way at once: an allocation may fail (more "
                             "blocks, smaller queues, or a MemoryAvailableCondition)\n");
        nrd_app_destroy(app);
    }
}

static void pool_of_several_operators_counts_all(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    add_pool(f, 3);
    struct nrd_operator *a = add(f, &MAKER, "a", "{allocator: pool}");
    struct nrd_operator *b = add(f, &MAKER, "b", "{allocator: pool}");
    flow(a, add(f, &UNIT_SINK, "of_a", NULL));
    flow(b, add(f, &UNIT_SINK, "of_b", NULL));
    assert_non_null(strstr(said(app), "has 3 blocks, and 4 messages of 'a', 'b' can be"));
    // One waits for a block now, and the other has enough of them.
    add_condition(a, "MemoryAvailableCondition", "{allocator: pool, min_blocks: 1}");
    assert_string_equal(said(app), "");
    nrd_app_destroy(app);
}

int main(void)
{
    log_set_enabled(LOG_INFO, false);
    log_set_enabled(LOG_WARNING, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(join_of_two_rates_names_both_sources),
        cmocka_unit_test(warning_is_in_the_log_of_compile),
        cmocka_unit_test(equal_rates_and_readers_that_do_not_wait_are_fine),
        cmocka_unit_test(any_of_two_inputs_is_no_wait_for_both),
        cmocka_unit_test(slow_reader_is_told_what_its_queue_does),
        cmocka_unit_test(batches_and_sums_count),
        cmocka_unit_test(rate_ends_where_it_cannot_be_known),
        cmocka_unit_test(times_of_two_clocks_are_not_compared),
        cmocka_unit_test(pool_of_fewer_blocks_than_messages_is_named),
        cmocka_unit_test(pool_of_several_operators_counts_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
