// SPDX-License-Identifier: Apache-2.0
// Workers and pools: who runs the records of a plan. A pool has some records and some workers (threads). A pool of one worker, which
// the greedy scheduler, pinned operators and one-thread schedulers are, keeps its ready set to itself: a hop within it
// costs no atomic exchange. A pool of several shares a lock-free queue. docs/internals/graph.md draws the states.
//
// Whoever is awake holds a token of the run (run.h); none left means that nothing can ever happen.
#ifndef NEREID_GRAPH_WORKER_H
#define NEREID_GRAPH_WORKER_H

#include <pthread.h>

#include "base/thread.h"
#include "graph/plan.h"
#include "graph/ready.h"
#include "graph/run.h"
#include "graph/timers.h"

struct clock_ops;

// What a worker's `idle` says; who wakes it takes it from there to AWAKE.
enum worker_idle { WORKER_AWAKE, WORKER_ASLEEP, WORKER_ASLEEP_WITH_TOKEN };

struct worker {
    struct pool *pool;
    struct nrd_compute *next; // pools of several: what this worker runs next, whatever is queued
    uint32_t next_uses;       // in a row
    bool
        soon; // it looks into the queue soon: what it runs now, if anything, is expected to be short
    uint64_t clock;     // clock_now_ns() at the end of its last compute; 0: it has slept since
    bool searching;     // counted in the pool's `searching`
    bool keeps_token;   // asleep with its token: it keeps the time
    bool given;         // pools of several: woken by someone who saw to the token
    int64_t keeps_time; // the timer it sleeps for; INT64_MAX: none
    uint32_t seen_phase;
    const char *cores;                        // to pin to; NULL: any
    const struct nrd_thread_options *options; // real-time policy; NULL: none
    struct thread thread;
    char name[16];
    _Alignas(CACHE_LINE) _Atomic uint32_t idle; // enum worker_idle
    struct parking parking;
};

struct pool {
    struct run *run;
    struct nrd_fragment *fragment;
    const char *name;
    bool solo;                     // one worker
    bool jumps;                    // its clock jumps to the next timer when nothing else can happen
    int64_t spin;                  // ns
    const struct clock_ops *clock; // NULL: the real one
    void *clock_self;
    struct worker *workers;
    uint32_t worker_count;
    struct nrd_compute **execs;
    uint32_t exec_count;
    struct timers timers; // of several: under `lock`

    // One worker: bit `slot` of the ready set; what others wake comes through the inbox.
    uint64_t *ready;
    uint32_t ready_words;
    uint32_t cursor; // the slot to look at next
    struct queue inbox;

    // Several.
    struct ready_queue queue;
    pthread_mutex_t lock;
    struct worker **sleepers; // a stack; those that keep the time at the bottom
    uint32_t sleeper_count;
    int64_t kept_time; // the earliest timer that a sleeper keeps; INT64_MAX: none
    _Alignas(
        CACHE_LINE) _Atomic uint32_t sleeping; // sleeper_count, for those who do not hold the lock
    _Atomic uint32_t searching; // workers that are awake and about to look into the queue
    _Atomic uint32_t seen_phase;
};

// Sizes of `workers` and `execs` are set; allocates the rest in the plan's arena. NRD_UNAVAILABLE: no memory.
NRD_MUST_USE struct nrd_status *pool_init(struct pool *pool, struct arena *arena);
void pool_fini(struct pool *pool);
// Before each run: everything may run.
void pool_reset(struct pool *pool);
int64_t pool_now(const struct pool *pool);
// Runs until the run is over. The calling thread is the worker's.
void worker_run(struct worker *worker);
// Wakes one sleeping worker, if there is any, because of something that it will find. Callers hold a token.
void pool_kick(struct pool *pool);
// Whether the operator may run now (the worst of its conditions), and when if that is known. Thread: its worker; or any when nothing
// runs.
enum nrd_condition_state exec_look(struct nrd_compute *exec, int64_t *target);

#endif
