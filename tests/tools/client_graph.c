/* SPDX-License-Identifier: Apache-2.0 */
/* The applications of tests/support/holoscan_behaviours.py on Nereid: client_graph CASE prints one JSON line of what the operators did. Start at
   the table of cases. (Its name says that it is linked with libnereid.so alone.) */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "nereid/graph.h"

static char log_text[4096];
static size_t log_count;

#define LOG(...)                                                                                   \
    do {                                                                                           \
        size_t used = strlen(log_text);                                                            \
        snprintf(log_text + used, sizeof(log_text) - used, log_count++ > 0 ? ", " : "%s", "");     \
        used = strlen(log_text);                                                                   \
        snprintf(log_text + used, sizeof(log_text) - used, __VA_ARGS__);                           \
    } while (0)

struct state {
    int64_t value;
    int times;         /* emits in one compute */
    const char *fails; /* in which phase */
    int64_t started_ns;
};

static int64_t take(struct nrd_compute *ctx, size_t flow)
{
    struct nrd_message *message = nrd_receive_from(ctx, 0, flow);
    int64_t value = -1;
    if (message != NULL) {
        memcpy(&value, nrd_message_value(message, NULL, NULL), sizeof(value));
    }
    nrd_message_unref(message);
    return value;
}

static struct nrd_status *source_compute(struct nrd_compute *ctx, void *self)
{
    struct state *s = self;
    for (int i = 0; i < (s->times == 0 ? 1 : s->times); i++) {
        s->value++;
        enum nrd_code code = nrd_emit_value(ctx, 0, "int64", &s->value, sizeof(s->value));
        if (code != NRD_OK) {
            return nrd_compute_fail(ctx, code, "cannot send");
        }
    }
    return NULL;
}

static struct nrd_status *sink_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    int64_t value = take(ctx, 0);
    if (value < 0) {
        LOG("null");
    } else {
        LOG("%" PRId64, value);
    }
    return NULL;
}

static struct nrd_status *batch_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    int64_t v[3];
    for (int i = 0; i < 3; i++) {
        v[i] = take(ctx, 0);
    }
    LOG("[%" PRId64 ", %" PRId64 ", %" PRId64 "]", v[0], v[1], v[2]);
    return NULL;
}

static struct nrd_status *any_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    int64_t a = take(ctx, 0);
    int64_t b = take(ctx, 1);
    LOG("[%" PRId64 ", %" PRId64 "]", a, b);
    return NULL;
}

static struct nrd_status *slow_compute(struct nrd_compute *ctx, void *self)
{
    struct state *s = self;
    bool first = log_count == 0;
    int64_t now = nrd_compute_now(ctx);
    s->started_ns = first ? now : s->started_ns;
    LOG("%.6f", (double)(now - s->started_ns) * 1e-9);
    if (first) {
        nanosleep(&(struct timespec){.tv_nsec = 350000000}, NULL);
    }
    return NULL;
}

static struct nrd_status *fail_in(const struct state *s, struct nrd_compute *ctx, const char *phase)
{
    if (s->fails == NULL || strcmp(s->fails, phase) != 0) {
        return NULL;
    }
    return ctx != NULL ? nrd_compute_fail(ctx, NRD_INTERNAL, "it cannot compute")
                       : nrd_status_new(NRD_INTERNAL, "it cannot start");
}

static struct nrd_status *failing_start(struct nrd_operator *op, void *self)
{
    LOG("\"start %s\"", nrd_operator_name(op));
    return fail_in(self, NULL, "start");
}

static struct nrd_status *failing_compute(struct nrd_compute *ctx, void *self)
{
    LOG("%" PRId64, take(ctx, 0));
    return fail_in(self, ctx, "compute");
}

static struct nrd_status *failing_stop(struct nrd_operator *op, void *self)
{
    (void)self;
    LOG("\"stop %s\"", nrd_operator_name(op));
    return NULL;
}

#define PORT(...)                                                                                  \
    (const struct nrd_port[])                                                                      \
    {                                                                                              \
        {.type = "int64", .policy = NRD_QUEUE_FAULT, __VA_ARGS__},                                 \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
#define CLASS(...)                                                                                 \
    {                                                                                              \
        .abi = NRD_OPERATOR_ABI, .state_size = sizeof(struct state), __VA_ARGS__                   \
    }

static const struct nrd_operator_class source =
    CLASS(.name = "Source", .outputs = PORT(.name = "out"), .compute = source_compute);
static const struct nrd_operator_class sink =
    CLASS(.name = "Sink", .inputs = PORT(.name = "in"), .compute = sink_compute);
static const struct nrd_operator_class batch =
    CLASS(.name = "Batch", .inputs = PORT(.name = "in", .capacity = 3, .min_size = 3),
          .compute = batch_compute);
static const struct nrd_operator_class any =
    CLASS(.name = "Any", .inputs = PORT(.name = "in", .flags = NRD_PORT_ANY_SIZE),
          .compute = any_compute);
static const struct nrd_operator_class unconditional =
    CLASS(.name = "Free", .inputs = PORT(.name = "in", .flags = NRD_PORT_NO_CONDITION),
          .compute = sink_compute);
static const struct nrd_operator_class slow = CLASS(.name = "Slow", .compute = slow_compute);
static const struct nrd_operator_class failing =
    CLASS(.name = "Failing", .inputs = PORT(.name = "in"), .start = failing_start,
          .compute = failing_compute, .stop = failing_stop);

/* One operator of a case; conditions as YAML ("{count: 3}"). */
struct made {
    const struct nrd_operator_class *table;
    const char *name;
    struct state state;
    const char *conditions[2][2];
};
static const struct {
    const char *name;
    struct made operators[3]; /* the last one reads all before it */
} cases[] = {
#define COUNT(n)                                                                                   \
    {                                                                                              \
        "CountCondition", "{count: " n "}"                                                         \
    }
#define OFF                                                                                        \
    {                                                                                              \
        "BooleanCondition", "{enable_tick: false}"                                                 \
    }
    {"batch_leaves_the_rest", {{&source, "tx", {0}, {COUNT("7")}}, {&batch, "rx", {0}, {{0}}}}},
    {"any_size_ends_with_the_shortest",
     {{&source, "a", {0}, {COUNT("5")}},
      {&source, "b", {.value = 100}, {COUNT("3")}},
      {&any, "rx", {0}, {{0}}}}},
    {"source_waits_for_room", {{&source, "tx", {0}, {COUNT("9")}}, {&sink, "rx", {0}, {{0}}}}},
    {"shorter_count_ends",
     {{&source, "tx", {0}, {COUNT("10"), COUNT("20")}}, {&sink, "rx", {0}, {{0}}}}},
    {"boolean_false_never_runs",
     {{&source, "tx", {0}, {COUNT("5"), OFF}}, {&sink, "rx", {0}, {{0}}}}},
    {"empty_input_gives_nothing",
     {{&source, "tx", {0}, {OFF}}, {&unconditional, "rx", {0}, {COUNT("5")}}}},
    {"two_emits_fault", {{&source, "tx", {.times = 2}, {COUNT("3")}}, {&sink, "rx", {0}, {{0}}}}},
    {"failing_start",
     {{&source, "tx", {0}, {COUNT("3")}}, {&failing, "rx", {.fails = "start"}, {{0}}}}},
    {"failing_compute",
     {{&source, "tx", {0}, {COUNT("3")}}, {&failing, "rx", {.fails = "compute"}, {{0}}}}},
#define PERIODIC(policy)                                                                           \
    {                                                                                              \
        "periodic_" policy,                                                                        \
        {                                                                                          \
            {                                                                                      \
                &slow, "slow", {0},                                                                \
                {                                                                                  \
                    COUNT("5"),                                                                    \
                    {                                                                              \
                        "PeriodicCondition", "{recess_period: 100ms, policy: " policy "}"          \
                    }                                                                              \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
    PERIODIC("CatchUpMissedTicks"),
    PERIODIC("MinTimeBetweenTicks"),
    PERIODIC("NoCatchUpMissedTicks"),
};

static struct nrd_status *add(struct nrd_fragment *fragment, const struct made *m,
                              struct nrd_operator **op)
{
    NRD_TRY(nrd_add_operator_class(fragment, m->table, m->name, NULL, op));
    memcpy(nrd_operator_state(*op), &m->state, sizeof(m->state));
    for (int i = 0; i < 2 && m->conditions[i][0] != NULL; i++) {
        struct nrd_value *params = NULL;
        NRD_TRY(nrd_value_parse(m->conditions[i][1], strlen(m->conditions[i][1]), "", &params));
        struct nrd_status *status = nrd_add_condition(*op, m->conditions[i][0], NULL, params, NULL);
        nrd_value_free(params);
        NRD_TRY(status);
    }
    return NULL;
}

static struct nrd_status *compose(struct nrd_app *app, const struct made *operators)
{
    struct nrd_operator *made[3];
    int count = 0;
    while (count < 3 && operators[count].table != NULL) {
        NRD_TRY(add(nrd_app_fragment(app), &operators[count], &made[count]));
        count++;
    }
    for (int i = 0; i + 1 < count; i++) {
        NRD_TRY(nrd_add_flow(made[i], "", made[count - 1], "", NULL));
    }
    return NULL;
}

static struct nrd_status *run(const char *name)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(cases[i].name, name) == 0) {
            struct nrd_app *app = NULL;
            NRD_TRY(nrd_app_create("behaviours", &app));
            struct nrd_status *status = compose(app, cases[i].operators);
            if (status == NULL) {
                status = nrd_app_run(app);
            }
            nrd_app_destroy(app);
            return status;
        }
    }
    return nrd_status_new(NRD_NOT_FOUND, "there is no such case");
}

int main(int argc, char **argv)
{
    struct nrd_status *status = run(argc > 1 ? argv[1] : "");
    fprintf(stderr, "%s\n", nrd_status_text(status));
    printf("SAW {\"log\": [%s], \"failed\": %s}\n", log_text, status != NULL ? "true" : "false");
    nrd_status_free(status);
    return 0;
}
