// SPDX-License-Identifier: Apache-2.0
// Conditions of counts and times: Count, Boolean, Periodic, Timeout, Deadline.
#include "graph/condition_types.h"

// ---- Count ----

struct count_state {
    int64_t count; // negative: for ever
    int64_t left;
};

static void count_reset(struct nrd_condition *c, void *state)
{
    struct count_state *s = state;
    (void)c;
    s->left = s->count;
}

static enum nrd_condition_state count_check(struct nrd_condition *c, void *state, int64_t now,
                                            int64_t *target)
{
    const struct count_state *s = state;
    (void)c;
    (void)now;
    (void)target;
    return s->left == 0 ? NRD_CONDITION_NEVER : NRD_CONDITION_READY;
}

static void count_executed(struct nrd_condition *c, void *state, int64_t now)
{
    struct count_state *s = state;
    (void)c;
    (void)now;
    if (s->left > 0) {
        s->left--;
    }
}

static const struct nrd_param COUNT_PARAMS[] = {
    {.name = "count",
     .type = NRD_PARAM_INT,
     .offset = offsetof(struct count_state, count),
     .fallback = "1",
     .help = "Executions before the operator is done; negative: for ever."},
    {0}};

const struct condition_type condition_count = {
    .name = "CountCondition",
    .state_size = sizeof(struct count_state),
    .params = COUNT_PARAMS,
    .reset = count_reset,
    .check = count_check,
    .executed = count_executed,
};

// ---- Boolean ----

struct boolean_state {
    bool enable_tick;
    _Atomic bool enabled;
};

static void boolean_reset(struct nrd_condition *c, void *state)
{
    struct boolean_state *s = state;
    (void)c;
    atomic_store_explicit(&s->enabled, s->enable_tick, memory_order_relaxed);
}

static struct nrd_status *boolean_prepare(struct nrd_condition *c, void *state)
{
    boolean_reset(c, state);
    return NULL;
}

static enum nrd_condition_state boolean_check(struct nrd_condition *c, void *state, int64_t now,
                                              int64_t *target)
{
    const struct boolean_state *s = state;
    (void)c;
    (void)now;
    (void)target;
    return atomic_load_explicit(&s->enabled, memory_order_relaxed) ? NRD_CONDITION_READY
                                                                   : NRD_CONDITION_NEVER;
}

static const struct nrd_param BOOLEAN_PARAMS[] = {
    {.name = "enable_tick",
     .type = NRD_PARAM_BOOL,
     .offset = offsetof(struct boolean_state, enable_tick),
     .fallback = "true",
     .help = "Whether the operator runs; false is final once it was seen."},
    {0}};

const struct condition_type condition_boolean = {
    .name = "BooleanCondition",
    .state_size = sizeof(struct boolean_state),
    .params = BOOLEAN_PARAMS,
    .prepare = boolean_prepare,
    .reset = boolean_reset,
    .check = boolean_check,
};

void nrd_condition_set_enabled(struct nrd_condition *condition, bool enabled)
{
    if (condition->type != &condition_boolean) {
        return;
    }
    struct boolean_state *s = condition->state;
    struct nrd_compute *exec = condition->exec;
    if (exec == NULL ||
        !atomic_load_explicit(&condition->op->fragment->app->running, memory_order_acquire)) {
        s->enable_tick = enabled; // for the runs to come
    }
    atomic_store_explicit(&s->enabled, enabled, memory_order_relaxed);
    nrd_condition_notify(condition);
}

// ---- Periodic ----

enum { CATCH_UP, MIN_TIME_BETWEEN, NO_CATCH_UP };

struct periodic_state {
    int64_t recess_period;
    int policy;
    int64_t next; // time of the next tick
    bool began;
};

static void periodic_reset(struct nrd_condition *c, void *state)
{
    struct periodic_state *s = state;
    (void)c;
    s->began = false;
}

// The first tick is at once: the first look sets the grid.
static enum nrd_condition_state periodic_check(struct nrd_condition *c, void *state, int64_t now,
                                               int64_t *target)
{
    struct periodic_state *s = state;
    (void)c;
    if (!s->began) {
        s->began = true;
        s->next = now;
    }
    *target = s->next;
    return now >= s->next ? NRD_CONDITION_READY : NRD_CONDITION_WAIT_TIME;
}

static void periodic_executed(struct nrd_condition *c, void *state, int64_t now)
{
    struct periodic_state *s = state;
    int64_t due = s->next + s->recess_period;
    if (now >= due) {
        atomic_store_explicit(&c->exec->late,
                              atomic_load_explicit(&c->exec->late, memory_order_relaxed) + 1,
                              memory_order_relaxed);
    }
    switch (s->policy) {
    case MIN_TIME_BETWEEN:
        s->next = now + s->recess_period;
        break;
    case NO_CATCH_UP:
        // What was missed stays missed: the next tick of the grid that lies ahead.
        if (due <= now) {
            due += ((now - due) / s->recess_period + 1) * s->recess_period;
        }
        s->next = due;
        break;
    default:
        s->next = due;
    }
}

static struct nrd_status *periodic_prepare(struct nrd_condition *c, void *state)
{
    const struct periodic_state *s = state;
    (void)c;
    return s->recess_period > 0 ? NULL
                                : status_new(NRD_INVALID_ARG, "recess_period must be over 0");
}

bool condition_period(const struct nrd_condition *c, int64_t *period)
{
    if (c->type != &condition_periodic) {
        return false;
    }
    *period = ((const struct periodic_state *)c->state)->recess_period;
    return true;
}

static const char *const PERIODIC_POLICIES[] = {"CatchUpMissedTicks", "MinTimeBetweenTicks",
                                                "NoCatchUpMissedTicks", NULL};
static const struct nrd_param PERIODIC_PARAMS[] = {
    {.name = "recess_period",
     .type = NRD_PARAM_DURATION,
     .offset = offsetof(struct periodic_state, recess_period),
     .unit = "ns",
     .help = "Time from one execution to the next; the first is at once."},
    {.name = "policy",
     .type = NRD_PARAM_CHOICE,
     .offset = offsetof(struct periodic_state, policy),
     .fallback = "CatchUpMissedTicks",
     .choices = PERIODIC_POLICIES,
     .help = "What becomes of ticks that were missed."},
    {0}};

const struct condition_type condition_periodic = {
    .name = "PeriodicCondition",
    .state_size = sizeof(struct periodic_state),
    .params = PERIODIC_PARAMS,
    .is_timed = true,
    .prepare = periodic_prepare,
    .reset = periodic_reset,
    .check = periodic_check,
    .executed = periodic_executed,
};

// ---- Timeout: not before that long after the last execution, or, on a port, at the latest then ----

struct timeout_state {
    int64_t timeout;
    int64_t last;
    bool began;
};

static void timeout_reset(struct nrd_condition *c, void *state)
{
    struct timeout_state *s = state;
    (void)c;
    s->began = false;
}

static enum nrd_condition_state timeout_check(struct nrd_condition *c, void *state, int64_t now,
                                              int64_t *target)
{
    struct timeout_state *s = state;
    if (!s->began) {
        s->began = true;
        s->last = now;
    }
    uint64_t waiting = 0;
    for (uint32_t i = 0; i < c->flow_count; i++) {
        waiting += flow_available(c->flows[i]);
    }
    *target = s->last + s->timeout;
    return waiting != 0 || now >= *target ? NRD_CONDITION_READY : NRD_CONDITION_WAIT_TIME;
}

static void timeout_executed(struct nrd_condition *c, void *state, int64_t now)
{
    struct timeout_state *s = state;
    (void)c;
    s->last = now;
}

static const struct nrd_param TIMEOUT_PARAMS[] = {
    {.name = "timeout",
     .type = NRD_PARAM_DURATION,
     .offset = offsetof(struct timeout_state, timeout),
     .unit = "ns",
     .help =
         "The operator runs when a message is there, and at the latest that long after it ran."},
    {0}};

const struct condition_type condition_timeout = {
    .name = "TimeoutCondition",
    .state_size = sizeof(struct timeout_state),
    .params = TIMEOUT_PARAMS,
    .is_port = true,
    .is_timed = true,
    .reset = timeout_reset,
    .check = timeout_check,
    .executed = timeout_executed,
};

// ---- Deadline: the operator is done when that much time has passed since the run began ----

struct deadline_state {
    int64_t deadline;
    int64_t start;
    bool began;
};

static void deadline_reset(struct nrd_condition *c, void *state)
{
    struct deadline_state *s = state;
    (void)c;
    s->began = false;
}

static enum nrd_condition_state deadline_check(struct nrd_condition *c, void *state, int64_t now,
                                               int64_t *target)
{
    struct deadline_state *s = state;
    (void)c;
    (void)target;
    if (!s->began) {
        s->began = true;
        s->start = now;
    }
    return now - s->start >= s->deadline ? NRD_CONDITION_NEVER : NRD_CONDITION_READY;
}

static const struct nrd_param DEADLINE_PARAMS[] = {
    {.name = "deadline",
     .type = NRD_PARAM_DURATION,
     .offset = offsetof(struct deadline_state, deadline),
     .unit = "ns",
     .help = "Time from the operator's first look at its conditions to its end."},
    {0}};

const struct condition_type condition_deadline = {
    .name = "DeadlineCondition",
    .state_size = sizeof(struct deadline_state),
    .params = DEADLINE_PARAMS,
    .is_timed = true,
    .reset = deadline_reset,
    .check = deadline_check,
};
