// SPDX-License-Identifier: Apache-2.0
#include "app_unit.h"

#include "graph/ops/ops.h"

static const char *const SCHEDULERS[][2] = {
    {"GreedyScheduler", NULL},
    {"EventBasedScheduler", NULL},
    {"EventBasedScheduler", "{worker_thread_number: 2}"},
    {"MultiThreadScheduler", "{worker_thread_number: 3}"},
    {"EventBasedScheduler", "{worker_thread_number: 2, spin: 20us}"},
};
enum { SCHEDULER_COUNT = sizeof(SCHEDULERS) / sizeof(SCHEDULERS[0]) };

static void ping_sends_each_number_once_under_every_scheduler(void **state)
{
    (void)state;
    for (int i = 0; i < SCHEDULER_COUNT; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, SCHEDULERS[i][0], SCHEDULERS[i][1]);
        struct nrd_operator *tx = add(f, &ping_tx_op, "tx", NULL);
        struct nrd_operator *rx = add(f, &ping_rx_op, "rx", "{quiet: true}");
        add_condition(tx, "CountCondition", "{count: 5000}");
        flow(tx, rx);
        for (int run = 0; run < 3; run++) {
            ok(nrd_app_run(app));
            assert_int_equal(counts_of(tx).computes, 5000);
            assert_int_equal(counts_of(tx).emitted, 5000);
            assert_int_equal(counts_of(rx).received, 5000);
            assert_int_equal(counts_of(rx).computes, 5000);
        }
        nrd_app_destroy(app);
    }
}

static void ping_is_found_by_its_names(void **state)
{
    (void)state;
    assert_ptr_equal(nrd_find_operator("PingTxOp"), &ping_tx_op);
    assert_ptr_equal(nrd_find_operator("holoscan::ops::PingTxOp"), &ping_tx_op);
    assert_ptr_equal(nrd_find_operator("nereid::PingRx"), &ping_rx_op);
    assert_null(nrd_find_operator("Ping"));
    struct nrd_app *app = make_app();
    fails(nrd_add_operator(nrd_app_fragment(app), "PingTyOp", "p", NULL, NULL), "PingTxOp");
    nrd_app_destroy(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ping_sends_each_number_once_under_every_scheduler),
        cmocka_unit_test(ping_is_found_by_its_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
