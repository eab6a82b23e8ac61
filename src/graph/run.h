// SPDX-License-Identifier: Apache-2.0
// A run: from nrd_app_run() to its end. The end is exact: `tokens` counts everything that can make something happen: workers that are
// awake, workers that sleep until a timer, and outstanding events. A queued operator is in the queue of a pool that has a worker
// awake; so zero tokens means that nothing is queued, nothing runs, nothing is due, and nobody will ever say anything.
#ifndef NEREID_GRAPH_RUN_H
#define NEREID_GRAPH_RUN_H

#include <stdatomic.h>

#include "graph/plan.h"

// A run's phases only go up.
enum run_phase { RUN_NONE, RUN_GOING, RUN_DRAINING, RUN_OVER };

struct run {
    struct nrd_app *app;
    _Atomic(struct plan *) plan; // that runs; NULL: none
    bool stop_on_deadlock;
    int64_t quiet_timeout; // ns
    uint64_t deadline;     // of clock_now_ns(); 0: none
    struct worker *lead;   // the worker that the calling thread is; NULL: it only waits
    struct parking caller; // where it waits then
    _Atomic(struct nrd_status *) error;
    struct nrd_compute *failed;   // whose error it is; NULL: nobody's
    bool was_quiet;               // ended because nothing could happen any more
    bool was_drained;             // that was after a stop
    _Atomic uint64_t quiet_since; // of clock_now_ns(); 0: not quiet, or nobody waits for it

    _Alignas(CACHE_LINE) _Atomic int64_t tokens;
    _Alignas(CACHE_LINE) _Atomic uint32_t phase; // enum run_phase
    _Atomic uint32_t visitors; // from outside, who may be looking at the plan just now
};

NRD_MUST_USE struct nrd_status *run_create(struct nrd_app *app, struct run **run);
void run_destroy(struct run *run);

// One more by someone who holds one.
static inline void token_add(struct run *run)
{
    atomic_fetch_add_explicit(&run->tokens, 1, memory_order_relaxed);
}
// One less; the last one finds out whether that was the end.
void token_release(struct run *run);
// One for a worker that holds none. False: the run is over.
bool token_try_acquire(struct run *run) __attribute__((warn_unused_result));
// The same for somebody from outside, who may be anywhere when the run ends: the run waits for run_leave(). Not for long.
bool run_enter(struct run *run) __attribute__((warn_unused_result));
void run_leave(struct run *run); // after a run_enter() that said true

// The first error ends the run at once; takes `status`. `exec` may be NULL. Thread: any.
void run_fail(struct run *run, struct nrd_compute *exec, struct nrd_status *status);
// Thread: any; async-signal-safe.
void run_stop(struct run *run, bool drain);
// What the calling thread's worker does when run_alarm_time() has come: time limits. Thread: the caller of nrd_app_run().
uint64_t run_alarm_time(const struct run *run); // of clock_now_ns(); 0: none
void run_alarm(struct run *run);
// A clock was set forward by hand: timers may be due. Thread: any.
void run_clock_changed(struct nrd_resource *clock);

// How a run that went quiet is judged (verdict.c): NULL, or "deadlock: ..." where operators wait for each other with messages left.
NRD_MUST_USE struct nrd_status *run_verdict(struct run *run);

#endif
