// SPDX-License-Identifier: Apache-2.0
// What tests of picture operators share: a source that sends tensors of the test's own, the operator between, a sink that keeps
// what comes out.
#ifndef NEREID_TESTS_UNIT_GRAPH_PICTURE_UNIT_H
#define NEREID_TESTS_UNIT_GRAPH_PICTURE_UNIT_H

#include <stdio.h>

#include "app_unit.h"

#include "graph/ops/ops.h"
#include "graph/ops/picture_ops.h"

#define UNIT_TENSORS_MAX 16

// What the source sends, the same `sends` times.
struct unit_tensor {
    const char *name;
    struct nrd_tensor *tensor; // owned
};
static struct {
    struct unit_tensor tensors[UNIT_TENSORS_MAX];
    size_t count;
    int64_t sends;
    struct nrd_message *kept; // the newest message that came out; owned
    size_t kept_count;
    struct nrd_app *app; // of the last run, whose pool the message is of; owned
} unit;

static inline struct nrd_tensor *unit_give_shape(const char *name, enum nrd_dtype dtype,
                                                 const int64_t *dims, uint32_t rank)
{
    struct nrd_tensor *tensor = NULL;
    ok(nrd_tensor_create(dtype, dims, rank, &tensor));
    memset(tensor->data, 0, tensor->byte_size);
    unit.tensors[unit.count++] = (struct unit_tensor){name, tensor};
    return tensor;
}
// Adds a tensor to what is sent, zeroed; returns it, borrowed. unit_give("x", NRD_DTYPE_U8, 2, 3, 3)
#define unit_give(name, dtype, ...)                                                                \
    unit_give_shape(name, dtype, (const int64_t[]){__VA_ARGS__},                                   \
                    sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static inline struct nrd_status *unit_source_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    struct nrd_message *message = nrd_message_new(ctx);
    for (size_t i = 0; i < unit.count; i++) {
        NRD_TRY(nrd_message_add_tensor(message, unit.tensors[i].name,
                                       nrd_tensor_ref(unit.tensors[i].tensor)));
    }
    nrd_message_set_acquired(message, 12345);
    return nrd_emit(ctx, 0, message) == NRD_OK ? NULL : status_no_memory();
}
static const struct nrd_port unit_out[] = {
    {.name = "out", .type = "tensors", .policy = NRD_QUEUE_FAULT}, {.name = NULL}};
static const struct nrd_operator_class unit_source_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "UnitSource",
    .summary = "Sends what the test gave.",
    .outputs = unit_out,
    .compute = unit_source_compute,
};

static inline struct nrd_status *unit_sink_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    nrd_message_unref(unit.kept);
    unit.kept = nrd_receive(ctx, 0);
    unit.kept_count++;
    return NULL;
}
static const struct nrd_port unit_in[] = {
    {.name = "in", .type = "tensors", .policy = NRD_QUEUE_FAULT}, {.name = NULL}};
static const struct nrd_operator_class unit_sink_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "UnitSink",
    .summary = "Keeps what comes.",
    .inputs = unit_in,
    .compute = unit_sink_compute,
};

static inline void unit_end_app(void)
{
    nrd_message_unref(unit.kept);
    unit.kept = NULL;
    nrd_app_destroy(unit.app);
    unit.app = NULL;
}

static inline void unit_forget(void)
{
    unit_end_app();
    for (size_t i = 0; i < unit.count; i++) {
        nrd_tensor_unref(unit.tensors[i].tensor);
    }
    memset(&unit, 0, sizeof(unit));
}

// Runs source -> table (with YAML parameters) -> sink where it has an output. Returns what the run returned. The kept message stays until
// unit_forget(), which the test calls at its end.
static inline struct nrd_status *unit_run(const struct nrd_operator_class *table,
                                          const char *params)
{
    unit_end_app();
    struct nrd_app *app = unit.app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *source = add(f, &unit_source_op, "source", NULL), *op = NULL;
    char count[64];
    snprintf(count, sizeof(count), "{count: %lld}", unit.sends > 0 ? (long long)unit.sends : 1LL);
    add_condition(source, "CountCondition", count);
    struct nrd_value *map = params == NULL ? NULL : yaml(params);
    struct nrd_status *status = nrd_add_operator_class(f, table, "op", map, &op);
    nrd_value_free(map);
    if (status == NULL) {
        status = nrd_add_flow(source, "", op, table->inputs[0].name, NULL);
    }
    if (status == NULL && table->outputs != NULL) {
        struct nrd_operator *sink = add(f, &unit_sink_op, "sink", NULL);
        status = nrd_add_flow(op, "", sink, "", NULL);
    }
    if (status == NULL) {
        status = nrd_app_run(app);
    }
    return status;
}

// The only tensor of what came out, which must have this name, type and shape; borrowed.
static inline struct nrd_tensor *unit_result_shape(const char *name, enum nrd_dtype dtype,
                                                   const int64_t *dims, uint32_t rank)
{
    assert_non_null(unit.kept);
    struct nrd_tensor *tensor = nrd_message_tensor(unit.kept, name);
    assert_non_null(tensor);
    assert_int_equal(tensor->dtype, dtype);
    assert_int_equal(tensor->rank, rank);
    for (uint32_t i = 0; i < rank; i++) {
        assert_int_equal(tensor->dims[i], dims[i]);
    }
    assert_int_equal(nrd_message_acquired(unit.kept), 12345);
    return tensor;
}
#define unit_result(name, dtype, ...)                                                              \
    unit_result_shape(name, dtype, (const int64_t[]){__VA_ARGS__},                                 \
                      sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

#endif
