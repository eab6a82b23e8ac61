// SPDX-License-Identifier: Apache-2.0
// The case in which Holoscan calls a run that goes on a deadlock and loses what is in flight: a source, an operator, a sink, default
// settings. 100 runs of 5000 messages with each scheduler, and each message counted.
#include "small_ops.h"

enum { RUNS = 100, MESSAGES = 5000 };

static void run_all(const char *scheduler, const char *params)
{
    for (int i = 0; i < RUNS; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, scheduler, params);
        struct nrd_operator *tx = add_source(f, "tx", MESSAGES);
        struct nrd_operator *mx = add(f, &pass_op, "mx", NULL);
        struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
        flow(tx, mx);
        flow(mx, rx);
        ok(nrd_app_run(app));
        assert_int_equal(small(rx)->got, MESSAGES);
        assert_int_equal(small(rx)->sum, (int64_t)MESSAGES * (MESSAGES - 1) / 2);
        nrd_app_destroy(app);
    }
}

static void greedy_loses_nothing(void **state)
{
    (void)state;
    run_all("GreedyScheduler", NULL);
}
static void event_based_loses_nothing(void **state)
{
    (void)state;
    run_all("EventBasedScheduler", NULL);
}
static void event_based_of_two_loses_nothing(void **state)
{
    (void)state;
    run_all("EventBasedScheduler", "{worker_thread_number: 2}");
}
static void multi_thread_of_two_loses_nothing(void **state)
{
    (void)state;
    run_all("MultiThreadScheduler", "{worker_thread_number: 2}");
}
static void multi_thread_of_four_loses_nothing(void **state)
{
    (void)state;
    run_all("MultiThreadScheduler", "{worker_thread_number: 4}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_loses_nothing),
        cmocka_unit_test(event_based_loses_nothing),
        cmocka_unit_test(event_based_of_two_loses_nothing),
        cmocka_unit_test(multi_thread_of_two_loses_nothing),
        cmocka_unit_test(multi_thread_of_four_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
