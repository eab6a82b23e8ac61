// SPDX-License-Identifier: Apache-2.0
#include <stdatomic.h>

#include "base/thread.h"
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

// ---- answers that are outstanding when a run is asked to end --------------------------------------------------------

// Takes messages in, has each answered on another thread, and sends the answers on: what operators that ask models do.
static struct asker {
    struct nrd_operator *op;
    struct nrd_condition *condition;
    struct thread thread;
    struct parking parking;
    atomic_bool ended;
    atomic_int wanted, answered; // messages that wait for an answer, those that have one
    int sent;
} asker;

static enum nrd_condition_state asker_check(void *self, int64_t now_ns, int64_t *target_ns)
{
    (void)self;
    (void)now_ns;
    (void)target_ns;
    if (atomic_load(&asker.answered) > asker.sent || nrd_operator_queued(asker.op, 0, 0) > 0) {
        return NRD_CONDITION_READY;
    }
    if (atomic_load(&asker.wanted) == asker.sent) {
        return NRD_CONDITION_WAIT;
    }
    parking_wake(&asker.parking); // only now the answer is on its way
    return NRD_CONDITION_WAIT_EVENT;
}

static const struct nrd_condition_class asker_class = {.name = "Asker", .check = asker_check};

static void answer(void *arg)
{
    (void)arg;
    while (!atomic_load(&asker.ended)) {
        (void)parking_wait(&asker.parking, 0);
        if (atomic_load(&asker.answered) < atomic_load(&asker.wanted)) {
            atomic_fetch_add(&asker.answered, 1);
            nrd_condition_notify(asker.condition);
        }
    }
}

static struct nrd_status *ask(struct nrd_compute *ctx, void *state)
{
    (void)state;
    struct nrd_message *message = nrd_receive(ctx, 0);
    if (message != NULL) {
        atomic_fetch_add(&asker.wanted, 1);
        nrd_message_unref(message);
    }
    if (atomic_load(&asker.answered) > asker.sent) {
        int64_t number = asker.sent++;
        if (nrd_emit_value(ctx, 0, "int64", &number, sizeof(number)) != NRD_OK) {
            return nrd_status_new(NRD_UNAVAILABLE, "emit");
        }
    }
    return NULL;
}

static const struct nrd_operator_class ask_op = {.abi = NRD_OPERATOR_ABI,
                                                 .name = "AskOp",
                                                 .state_size = 1,
                                                 .inputs = open_input,
                                                 .outputs = small_out,
                                                 .compute = ask};

static struct nrd_status *send_and_stop(struct nrd_compute *ctx, struct small_op *self)
{
    if (self->computes == 4) {
        nrd_operator_stop_run(nrd_compute_operator(ctx), true);
    }
    return nrd_emit_value(ctx, 0, "int64", &self->computes, sizeof(int64_t)) == NRD_OK
               ? NULL
               : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static void stop_with_drain_waits_for_answers_that_are_outstanding(void **state)
{
    (void)state;
    static const char *const schedulers[] = {"GreedyScheduler", "EventBasedScheduler"};
    for (size_t i = 0; i < sizeof schedulers / sizeof schedulers[0]; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, schedulers[i], NULL);
        source_hook = send_and_stop;
        struct nrd_operator *source = add(f, &source_op, "source", NULL);
        struct nrd_operator *sink = add(f, &sink_op, "sink", NULL);
        asker = (struct asker){.op = add(f, &ask_op, "ask", NULL)};
        parking_init(&asker.parking);
        ok(nrd_add_condition_class(asker.op, &asker_class, NULL, &asker.condition));
        flow(source, asker.op);
        flow(asker.op, sink);
        ok(nrd_app_compile(app));
        ok(thread_start(&asker.thread, "answer", 0, answer, NULL));
        struct nrd_status *status = nrd_app_run(app);
        atomic_store(&asker.ended, true);
        parking_wake(&asker.parking);
        thread_join(&asker.thread);
        ok(status);
        assert_int_equal(small(source)->computes, 4);
        assert_int_equal(small(sink)->got, 4);
        nrd_app_destroy(app);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SMALL_TEST(own_condition_is_asked_when_a_message_comes),
        SMALL_TEST(stop_with_drain_waits_for_answers_that_are_outstanding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
