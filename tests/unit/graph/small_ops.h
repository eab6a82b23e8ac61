// SPDX-License-Identifier: Apache-2.0
// Small operators for tests of whole graphs: a source that counts, one that passes on what it received, a sink that counts, and
// hooks by which a test does more in each compute.
#ifndef NEREID_TESTS_UNIT_GRAPH_SMALL_OPS_H
#define NEREID_TESTS_UNIT_GRAPH_SMALL_OPS_H

#include <stdio.h>

#include "app_unit.h"

struct small_op {
    int64_t limit; // a source says NEVER after so many
    uint64_t computes;
    int64_t sum; // of the numbers that a sink got
    uint64_t got;
};

// What a test does in a compute, by the operator's name; NULL: what the class does anyway.
typedef struct nrd_status *(*small_hook_fn)(struct nrd_compute *ctx, struct small_op *self);
static small_hook_fn source_hook, pass_hook, sink_hook;

static struct nrd_status *source_compute(struct nrd_compute *ctx, void *state)
{
    struct small_op *self = state;
    int64_t number = (int64_t)self->computes++;
    if (source_hook != NULL) {
        return source_hook(ctx, self);
    }
    return nrd_emit_value(ctx, 0, "int64", &number, sizeof(number)) == NRD_OK
               ? NULL
               : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static struct nrd_status *pass_compute(struct nrd_compute *ctx, void *state)
{
    struct small_op *self = state;
    self->computes++;
    if (pass_hook != NULL) {
        return pass_hook(ctx, self);
    }
    return nrd_emit(ctx, 0, nrd_receive(ctx, 0)) == NRD_OK
               ? NULL
               : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static struct nrd_status *sink_compute(struct nrd_compute *ctx, void *state)
{
    struct small_op *self = state;
    self->computes++;
    if (sink_hook != NULL) {
        return sink_hook(ctx, self);
    }
    struct nrd_message *m;
    while ((m = nrd_receive(ctx, 0)) != NULL) {
        const int64_t *number = nrd_message_value(m, NULL, NULL);
        self->sum += number == NULL ? 0 : *number;
        self->got++;
        nrd_message_unref(m);
    }
    return NULL;
}

static const struct nrd_port small_in[] = {
    {.name = "in", .policy = NRD_QUEUE_FAULT, .flags = NRD_PORT_ANY_SIZE}, {0}};
static const struct nrd_port small_one_in[] = {{.name = "in", .policy = NRD_QUEUE_FAULT}, {0}};
static const struct nrd_port small_out[] = {{.name = "out", .policy = NRD_QUEUE_FAULT}, {0}};

static const struct nrd_operator_class source_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "SmallSource",
    .state_size = sizeof(struct small_op),
    .outputs = small_out,
    .compute = source_compute,
};
static const struct nrd_operator_class pass_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "SmallPass",
    .state_size = sizeof(struct small_op),
    .inputs = small_one_in,
    .outputs = small_out,
    .compute = pass_compute,
};
static const struct nrd_operator_class sink_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "SmallSink",
    .state_size = sizeof(struct small_op),
    .inputs = small_in,
    .compute = sink_compute,
};

static inline struct nrd_operator *add_source(struct nrd_fragment *f, const char *name, int count)
{
    char params[32];
    struct nrd_operator *op = add(f, &source_op, name, NULL);
    snprintf(params, sizeof(params), "{count: %d}", count);
    add_condition(op, "CountCondition", params);
    return op;
}

static inline struct small_op *small(struct nrd_operator *op)
{
    return nrd_operator_state(op);
}

// Runs the body once for each allocation it makes, with that one failing, until it made fewer than n.
#define TORTURE_LOOP(n)                                                                            \
    for (uint64_t n = 1, before_ = 0; before_ = mem_count(), mem_fail_after(n), n != 0;            \
         n = mem_count() - before_ >= n ? n + 1 : 0, mem_fail_after(0))

static inline int no_hooks(void **state)
{
    (void)state;
    source_hook = NULL;
    pass_hook = NULL;
    sink_hook = NULL;
    return 0;
}
#define SMALL_TEST(name) cmocka_unit_test_setup(name, no_hooks)

static inline struct nrd_resource *add_resource(struct nrd_fragment *f, const char *type,
                                                const char *name, const char *params)
{
    struct nrd_value *map = params == NULL ? NULL : yaml(params);
    struct nrd_resource *r = NULL;
    ok(nrd_add_resource(f, type, name, map, &r));
    nrd_value_free(map);
    return r;
}

#endif
