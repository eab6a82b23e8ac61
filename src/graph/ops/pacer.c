// SPDX-License-Identifier: Apache-2.0
#include "graph/ops/pacer.h"

static enum nrd_condition_state check(void *self, int64_t now_ns, int64_t *target_ns)
{
    const struct pacer *p = self;
    if (p->ended) {
        return NRD_CONDITION_NEVER;
    }
    if (!p->begun || p->due_ns <= now_ns) {
        return NRD_CONDITION_READY;
    }
    *target_ns = p->due_ns;
    return NRD_CONDITION_WAIT_TIME;
}

static const struct nrd_condition_class pacer_condition = {.name = "next frame due",
                                                           .check = check};

struct nrd_status *pacer_add(struct nrd_operator *op, struct pacer *pacer)
{
    struct nrd_condition *condition = NULL;
    return nrd_add_condition_class(op, &pacer_condition, pacer, &condition);
}

int64_t pacer_time(int64_t start_ns, uint64_t index, double rate)
{
    return start_ns + (int64_t)((double)index * 1e9 / rate);
}
