// SPDX-License-Identifier: Apache-2.0
// What tests of operators share: a folder of their own, a manual clock, and a probe that keeps what it receives.
#ifndef NEREID_TESTS_UNIT_GRAPH_OP_UNIT_H
#define NEREID_TESTS_UNIT_GRAPH_OP_UNIT_H

#include "app_unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/str.h"

static char unit_root[64];

static inline int unit_setup(void **state)
{
    (void)state;
    snprintf(unit_root, sizeof(unit_root), "/tmp/nereid-op-XXXXXX");
    return mkdtemp(unit_root) == NULL ? -1 : 0;
}

static inline int unit_teardown(void **state)
{
    (void)state;
    struct nrd_status *status = file_remove_tree(unit_root);
    int bad = status == NULL ? 0 : -1;
    status_free(status);
    return bad;
}

// Text with each $ replaced by the test's folder, in a buffer that the next call uses again.
static inline const char *in_root(const char *text)
{
    static struct str out;
    str_clear(&out);
    for (; *text != '\0'; text++) {
        if (*text == '$') {
            str_append_cstr(&out, unit_root);
        } else {
            str_append_char(&out, *text);
        }
    }
    return str_cstr(&out);
}

// A clock that jumps when nothing else can happen: paced graphs run at once.
static inline void use_manual_clock(struct nrd_fragment *f)
{
    struct nrd_resource *clock = NULL;
    ok(nrd_add_resource(f, "ManualClock", "clock", NULL, &clock));
    set_scheduler(f, "GreedyScheduler", "{clock: clock}");
}

enum { PROBE_MAX = 512 };
struct probe {
    size_t count;
    struct nrd_message *messages[PROBE_MAX]; // owned, copies
    int64_t times[PROBE_MAX];
};

// A message of the run goes back to it at its end: what is kept is a message of our own with the same tensors, value and metadata.
static inline struct nrd_message *probe_copy(struct nrd_compute *ctx,
                                             const struct nrd_message *message)
{
    struct nrd_message *copy = nrd_message_create();
    const char *name;
    const char *type;
    size_t size;
    assert_non_null(copy);
    for (size_t i = 0; i < nrd_message_tensor_count(message); i++) {
        struct nrd_tensor *tensor = nrd_message_tensor_at(message, i, &name);
        ok(nrd_message_add_tensor(copy, name, nrd_tensor_ref(tensor)));
    }
    const void *value = nrd_message_value(message, &type, &size);
    if (value != NULL) {
        assert_int_equal(nrd_message_set_value(copy, type, value, size), NRD_OK);
    }
    const struct nrd_value *metadata = nrd_metadata(ctx);
    for (size_t i = 0; i < nrd_value_count(metadata); i++) {
        ok(nrd_message_set_metadata(copy, nrd_value_key(metadata, i),
                                    nrd_value_copy(nrd_value_at(metadata, i))));
    }
    nrd_message_set_acquired(copy, nrd_message_acquired(message));
    return copy;
}

static struct nrd_status *probe_compute(struct nrd_compute *ctx, void *self)
{
    struct probe *p = self;
    struct nrd_message *message = nrd_receive(ctx, 0);
    if (message != NULL && p->count < PROBE_MAX) {
        p->times[p->count] = nrd_compute_now(ctx);
        p->messages[p->count++] = probe_copy(ctx, message);
    }
    nrd_message_unref(message);
    return NULL;
}

static inline void probe_clear(struct probe *p)
{
    for (size_t i = 0; i < p->count; i++) {
        nrd_message_unref(p->messages[i]);
    }
    p->count = 0;
}

static void probe_destroy(struct nrd_operator *op, void *self)
{
    (void)op;
    probe_clear(self);
}

static const struct nrd_port probe_inputs[] = {{.name = "in", .policy = NRD_QUEUE_FAULT}, {0}};
static const struct nrd_operator_class probe_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "ProbeOp",
    .summary = "Keeps what it receives.",
    .state_size = sizeof(struct probe),
    .inputs = probe_inputs,
    .compute = probe_compute,
    .destroy = probe_destroy,
};

static inline struct nrd_operator *add_named(struct nrd_fragment *f, const char *type,
                                             const char *name, const char *params)
{
    struct nrd_operator *op = NULL;
    ok(nrd_add_operator_yaml(f, type, name, params, &op));
    return op;
}

static inline struct probe *add_probe(struct nrd_fragment *f, struct nrd_operator *from,
                                      const char *output)
{
    struct nrd_operator *op = add(f, &probe_op, output[0] == '\0' ? "probe" : output, NULL);
    ok(nrd_add_flow(from, output, op, "", NULL));
    return nrd_operator_state(op);
}

// The only tensor of the index-th message.
static inline const struct nrd_tensor *probe_tensor(const struct probe *p, size_t index)
{
    struct nrd_tensor *tensor = NULL;
    assert_true(index < p->count);
    ok(nrd_message_find_tensor(p->messages[index], "", &tensor));
    return tensor;
}

#endif
