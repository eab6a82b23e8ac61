// SPDX-License-Identifier: Apache-2.0
// Dynamic flows: after each compute an operator's function picks which of its flows are used this time; and the operator that
// is there in every fragment to start such graphs.
//
// What was emitted goes out on the picked flows only; a picked flow of control gets a signal. Picking none ends that way of
// control: when nothing else is left, the run ends.
#include "graph/dynamic.h"

#include <string.h>

#include "base/str.h"

struct nrd_flow_choice {
    struct nrd_compute *ctx;
};

struct nrd_status *nrd_set_dynamic_flows(struct nrd_operator *op, nrd_choose_fn choose, void *arg)
{
    op->choose = choose;
    op->choose_arg = arg;
    app_invalidate(op->fragment->app);
    return NULL;
}

static void clear(struct nrd_compute *ctx)
{
    for (uint32_t o = 0; o < ctx->output_count; o++) {
        for (uint32_t i = 0; i < ctx->outputs[o].flow_count; i++) {
            ctx->outputs[o].flows[i]->chosen = false;
        }
    }
}

void flows_choose(struct nrd_compute *ctx)
{
    struct nrd_flow_choice choice = {.ctx = ctx};
    clear(ctx);
    ctx->op->choose(ctx->op, &choice, ctx->op->choose_arg);
}

struct nrd_status *nrd_flow_choose(struct nrd_flow_choice *choice, const char *to_operator)
{
    const struct nrd_compute *ctx = choice->ctx;
    bool found = false;
    for (uint32_t o = 0; o < ctx->output_count; o++) {
        for (uint32_t i = 0; i < ctx->outputs[o].flow_count; i++) {
            struct plan_flow *flow = ctx->outputs[o].flows[i];
            if (strcmp(flow->consumer->op->name, to_operator) == 0) {
                flow->chosen = true;
                found = true;
            }
        }
    }
    if (found) {
        return NULL;
    }
    struct str list = STR_INIT;
    for (uint32_t o = 0; o < ctx->output_count; o++) {
        for (uint32_t i = 0; i < ctx->outputs[o].flow_count; i++) {
            str_printf(&list, "%s'%s'", list.len == 0 ? "" : ", ",
                       ctx->outputs[o].flows[i]->consumer->op->name);
        }
    }
    struct nrd_status *status =
        status_new(NRD_NOT_FOUND, "operator '%s' has no flow to '%s' to choose; it has flows to %s",
                   ctx->op->name, to_operator, list.len == 0 ? "none" : str_cstr(&list));
    str_fini(&list);
    return status;
}

// ---- "<|start|>" ---------------------------------------------------------------------------------------------------

static struct nrd_status *start_compute(struct nrd_compute *ctx, void *self)
{
    (void)ctx;
    (void)self;
    return NULL;
}

static const struct nrd_operator_class START = {
    .abi = NRD_OPERATOR_ABI,
    .name = "StartOp",
    .summary = "Runs once, to hand control to those that flow from it.",
    .compute = start_compute,
};

static struct nrd_status *add_start(struct nrd_fragment *f, struct nrd_operator **op)
{
    struct nrd_value *params = NULL;
    NRD_TRY(nrd_value_parse("{count: 1}", 10, "", &params));
    struct nrd_status *status = nrd_add_operator_class(f, &START, "<|start|>", NULL, op);
    if (status == NULL) {
        status = nrd_add_condition(*op, "CountCondition", "", params, NULL);
    }
    nrd_value_free(params);
    return status;
}

struct nrd_operator *nrd_start_operator(struct nrd_fragment *fragment)
{
    if (fragment->start == NULL) {
        struct nrd_operator *op = NULL;
        const char *prefix = fragment->prefix; // it is the fragment's, not a subgraph's
        fragment->prefix = NULL;
        struct nrd_status *status = add_start(fragment, &op);
        fragment->prefix = prefix;
        fragment->start = status == NULL ? op : NULL;
        status_free(status);
    }
    return fragment->start;
}
