// SPDX-License-Identifier: Apache-2.0
// When a source may run: not before its next frame is due by the graph's clock, and never again after its last. A condition of the
// operator's own, so that nothing sleeps in compute and a clock that is set by hand drives it.
//
// start(): pacer_begin(); at the end of each compute: pacer_due() or pacer_end(); stop(): pacer_reset().
#ifndef NEREID_GRAPH_OPS_PACER_H
#define NEREID_GRAPH_OPS_PACER_H

#include "nereid/graph.h"

struct pacer {
    bool begun; // before start, the condition holds: start happens on the way to the first compute
    bool ended;
    int64_t due_ns; // of the graph's clock; 0: at once
};

// In setup. `pacer` lies in the operator's state.
NRD_MUST_USE struct nrd_status *pacer_add(struct nrd_operator *op, struct pacer *pacer);

static inline void pacer_begin(struct pacer *p)
{
    *p = (struct pacer){.begun = true};
}
static inline void pacer_due(struct pacer *p, int64_t due_ns)
{
    p->due_ns = due_ns;
}
static inline void pacer_end(struct pacer *p)
{
    p->ended = true;
}
static inline void pacer_reset(struct pacer *p)
{
    *p = (struct pacer){0};
}
// start + index / rate, without a drift.
int64_t pacer_time(int64_t start_ns, uint64_t index, double rate);

#endif
