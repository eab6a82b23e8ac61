// SPDX-License-Identifier: Apache-2.0
#include "small_ops.h"

// An operator's own condition in place of its port's default one: it wants two messages, or the last ones.
struct pairs {
    struct nrd_operator *op;
    uint64_t checks;
};

static enum nrd_condition_state two_wait(void *self, int64_t now_ns, int64_t *target_ns)
{
    struct pairs *pairs = self;
    (void)now_ns;
    (void)target_ns;
    pairs->checks++;
    return nrd_operator_queued(pairs->op, 0, 0) >= 2 ? NRD_CONDITION_READY : NRD_CONDITION_WAIT;
}

static const struct nrd_condition_class two_class = {.name = "TwoWait", .check = two_wait};

static const struct nrd_port open_input[] = {
    {.name = "in", .capacity = 2, .policy = NRD_QUEUE_FAULT, .flags = NRD_PORT_NO_CONDITION}, {0}};
static const struct nrd_operator_class open_sink = {.abi = NRD_OPERATOR_ABI,
                                                    .name = "OpenSinkOp",
                                                    .state_size = sizeof(struct small_op),
                                                    .inputs = open_input,
                                                    .compute = sink_compute};

static void own_condition_is_asked_when_a_message_comes(void **state)
{
    (void)state;
    static const char *const schedulers[] = {"GreedyScheduler", "EventBasedScheduler",
                                             "MultiThreadScheduler"};
    for (size_t i = 0; i < sizeof schedulers / sizeof schedulers[0]; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, schedulers[i], NULL);
        struct nrd_operator *source = add_source(f, "source", 10);
        struct nrd_operator *sink = add(f, &open_sink, "sink", NULL);
        flow(source, sink);
        struct pairs pairs = {sink, 0};
        struct nrd_condition *condition = NULL;
        ok(nrd_add_condition_class(sink, &two_class, &pairs, &condition));
        ok(nrd_app_run(app));
        const struct small_op *got = nrd_operator_state(sink);
        assert_int_equal(got->got, 10);
        assert_int_equal(got->computes, 5);
        assert_true(pairs.checks >= 5);
        nrd_app_destroy(app);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_condition_is_asked_when_a_message_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
