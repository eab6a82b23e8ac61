// SPDX-License-Identifier: Apache-2.0
// Conditions: when an operator may run. All of an operator's must be ready; the worst of their states is the operator's, in the
// order NEVER, WAIT_EVENT, WAIT, WAIT_TIME, READY; of several times the latest counts.
//
// A type is one row of the table in condition.c. A new one: a state struct, its parameters, a check, a row.
#ifndef NEREID_GRAPH_CONDITION_H
#define NEREID_GRAPH_CONDITION_H

#include "graph/plan.h"

struct condition_type {
    const char *name; // "CountCondition"
    size_t state_size;
    const struct nrd_param *params; // NULL: none
    bool is_port;      // may have `receiver` or `transmitter`: it replaces that port's default
    bool is_multi;     // over several inputs: nrd_add_multi_port_condition()
    bool is_timed;     // `now` is filled in for check and executed
    bool looks_at_all; // whatever comes into the operator is a reason to check: its own conditions
    // Ports are resolved, parameters are there. NULL: nothing to check.
    struct nrd_status *(*prepare)(struct nrd_condition *c, void *state);
    // All flows are there: appends a line for each thing that cannot work with them. NULL: nothing to check.
    void (*check_flows)(const struct nrd_condition *c, const void *state, struct str *out);
    void (*reset)(struct nrd_condition *c, void *state); // before each run
    // Thread: the worker that has the operator. Must not block.
    enum nrd_condition_state (*check)(struct nrd_condition *c, void *state, int64_t now,
                                      int64_t *target);
    // After a compute; `now` is when it began.
    void (*executed)(struct nrd_condition *c, void *state, int64_t now);
    void (*fini)(struct nrd_condition *c, void *state); // with the application
};

struct nrd_condition {
    const struct condition_type *type;
    struct nrd_operator *op;
    struct nrd_compute *exec; // NULL until compiled
    const char *name;
    void *state;
    struct param_store store;
    struct graph_port **ports; // those it looks at
    uint32_t port_count;
    struct plan_flow **flows; // of those ports; filled in when compiled
    uint32_t flow_count;
    struct nrd_condition *any; // a member of an "or" is checked by this one; NULL: by itself
};

// NULL: none. Names are found with "holoscan::" and the like before them too.
const struct condition_type *condition_type_find(const char *name);
// What the operator's asynchronous state (every operator has one, READY at first) says. Remembers what it saw for async_executed().
enum nrd_condition_state async_check(struct nrd_compute *exec);
// Whether that look saw an event that has come.
bool async_has_come(const struct nrd_compute *exec);
void async_executed(struct nrd_compute *exec);
// What a condition waits for, for people: "a message on input 'in'". Appends.
void condition_describe(const struct nrd_condition *c, struct str *out);

#endif
