// SPDX-License-Identifier: Apache-2.0
// Runs: threads are started, the end is found, operators are stopped, what is left is given back.
//
//     NONE ──run──▶ GOING ──stop(drain)──▶ DRAINING ──┐
//                     └── no token left, an error, stop, time is up ──▶ OVER ──▶ NONE
#include "graph/run.h"

#include <sched.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "graph/compute.h"
#include "graph/resource.h"
#include "graph/thread_policy.h"
#include "graph/watch.h"
#include "graph/worker.h"

// What `tokens` is once the run is over: no addition brings it back over zero.
static const int64_t TOKENS_OVER = INT64_MIN / 2;

struct nrd_status *run_create(struct nrd_app *app, struct run **run)
{
    struct run *made = mem_aligned(CACHE_LINE, sizeof(*made));
    if (made == NULL) {
        return status_no_memory();
    }
    memset(made, 0, sizeof(*made));
    made->app = app;
    atomic_init(&made->tokens, TOKENS_OVER);
    atomic_init(&made->phase, RUN_NONE);
    parking_init(&made->caller);
    *run = made;
    return NULL;
}

void run_destroy(struct run *run)
{
    mem_free(run);
}

// ---- tokens ----

static void wake_all(struct run *run)
{
    atomic_fetch_add_explicit(&run->visitors, 1, memory_order_seq_cst);
    const struct plan *plan = atomic_load_explicit(&run->plan, memory_order_seq_cst);
    for (uint32_t i = 0; plan != NULL && i < plan->pool_count; i++) {
        for (uint32_t j = 0; j < plan->pools[i]->worker_count; j++) {
            parking_wake(&plan->pools[i]->workers[j].parking);
        }
    }
    parking_wake(&run->caller);
    atomic_fetch_sub_explicit(&run->visitors, 1, memory_order_release);
}

static void end(struct run *run)
{
    atomic_store_explicit(&run->phase, RUN_OVER, memory_order_release);
    wake_all(run);
}

bool token_try_acquire(struct run *run)
{
    int64_t tokens = atomic_load_explicit(&run->tokens, memory_order_relaxed);
    while (tokens >= 0) {
        if (atomic_compare_exchange_weak_explicit(&run->tokens, &tokens, tokens + 1,
                                                  memory_order_acquire, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

bool run_enter(struct run *run)
{
    atomic_fetch_add_explicit(&run->visitors, 1, memory_order_seq_cst);
    if (token_try_acquire(run)) {
        atomic_store_explicit(&run->quiet_since, 0, memory_order_relaxed);
        return true;
    }
    atomic_fetch_sub_explicit(&run->visitors, 1, memory_order_release);
    return false;
}

void run_leave(struct run *run)
{
    token_release(run);
    atomic_fetch_sub_explicit(&run->visitors, 1, memory_order_release);
}

// Clocks that jump: sets the one whose next timer is nearest to that time, and wakes who waits for it. False: there is none.
// The caller has the only token, so no worker is awake, and the heaps stand still.
static bool jump(struct run *run)
{
    struct pool *first = NULL;
    int64_t least = INT64_MAX;
    for (uint32_t i = 0; i < run->plan->pool_count; i++) {
        struct pool *pool = run->plan->pools[i];
        int64_t top = atomic_load_explicit(&pool->timers.top, memory_order_relaxed);
        if (pool->jumps && top != INT64_MAX) {
            int64_t now = pool_now(pool);
            int64_t wait = top > now ? top - now : 0;
            if (first == NULL || wait < least) {
                first = pool;
                least = wait;
            }
        }
    }
    if (first == NULL) {
        return false;
    }
    int64_t now = pool_now(first);
    if (least > 0) {
        first->clock->jump(first->clock_self, now + least);
    }
    for (uint32_t i = 0; i < run->plan->pool_count; i++) {
        struct pool *pool = run->plan->pools[i];
        if (pool->jumps && pool->clock_self == first->clock_self &&
            atomic_load_explicit(&pool->timers.top, memory_order_relaxed) <= now + least) {
            pool_kick(pool);
        }
    }
    return true;
}

// Nothing is left that could make something happen. Is that the end?
static void went_quiet(struct run *run)
{
    int64_t none = 0;
    if (!atomic_compare_exchange_strong_explicit(&run->tokens, &none, 1, memory_order_acq_rel,
                                                 memory_order_relaxed)) {
        return; // somebody from outside came in
    }
    // The one token is this function's now.
    if (jump(run)) {
        token_release(run);
        return;
    }
    uint32_t phase = atomic_load_explicit(&run->phase, memory_order_relaxed);
    bool waits = phase == RUN_GOING && (!run->stop_on_deadlock || run->quiet_timeout > 0);
    if (waits) {
        // Only somebody from outside can go on, and the caller's thread counts the time until that.
        uint64_t never = 0;
        bool began = atomic_compare_exchange_strong_explicit(
            &run->quiet_since, &never, clock_now_ns(), memory_order_relaxed, memory_order_relaxed);
        int64_t one = 1;
        if (!atomic_compare_exchange_strong_explicit(&run->tokens, &one, 0, memory_order_acq_rel,
                                                     memory_order_relaxed)) {
            token_release(run);
        } else if (began) {
            parking_wake(run->lead == NULL ? &run->caller : &run->lead->parking);
        }
        return;
    }
    int64_t one = 1;
    if (atomic_compare_exchange_strong_explicit(&run->tokens, &one, TOKENS_OVER,
                                                memory_order_acq_rel, memory_order_relaxed)) {
        run->was_quiet = true;
        run->was_drained = phase == RUN_DRAINING;
        end(run);
    } else {
        token_release(run);
    }
}

void token_release(struct run *run)
{
    if (atomic_fetch_sub_explicit(&run->tokens, 1, memory_order_acq_rel) == 1) {
        went_quiet(run);
    }
}

// ---- alarms: time limits, which the caller's thread keeps ----

uint64_t run_alarm_time(const struct run *run)
{
    uint64_t alarm = run->deadline;
    uint64_t since = atomic_load_explicit(&run->quiet_since, memory_order_relaxed);
    if (since != 0 && run->stop_on_deadlock) {
        uint64_t quiet = since + (uint64_t)run->quiet_timeout;
        alarm = alarm == 0 || quiet < alarm ? quiet : alarm;
    }
    return alarm;
}

void run_alarm(struct run *run)
{
    uint64_t now = clock_now_ns();
    if (run->deadline != 0 && now >= run->deadline) {
        run_stop(run, false);
        return;
    }
    uint64_t since = atomic_load_explicit(&run->quiet_since, memory_order_relaxed);
    if (since != 0 && run->stop_on_deadlock && now >= since + (uint64_t)run->quiet_timeout) {
        atomic_store_explicit(&run->quiet_since, 0, memory_order_relaxed);
        int64_t own = run->lead == NULL ? 0 : 1; // the caller's, when it is a worker
        if (atomic_compare_exchange_strong_explicit(&run->tokens, &own, TOKENS_OVER,
                                                    memory_order_acq_rel, memory_order_relaxed)) {
            run->was_quiet = true;
            end(run);
        }
    }
}

void run_clock_changed(struct nrd_resource *clock)
{
    struct run *run = clock->fragment->app->run;
    if (!run_enter(run)) {
        return;
    }
    const struct plan *plan = run->plan;
    for (uint32_t i = 0; i < plan->pool_count; i++) {
        struct pool *pool = plan->pools[i];
        if (pool->clock_self == clock->state) {
            pool_kick(pool);
        }
    }
    run_leave(run);
}

// ---- ending ----

void run_fail(struct run *run, struct nrd_compute *exec, struct nrd_status *status)
{
    struct nrd_status *none = NULL;
    struct nrd_status *whole =
        exec == NULL ? status : status_wrap(status, "operator '%s': ", exec->op->name);
    if (atomic_compare_exchange_strong(&run->error, &none, whole)) {
        run->failed = exec;
    } else {
        status_free(whole);
    }
    if (atomic_load(&run->phase) != RUN_OVER) {
        end(run);
    }
}

void run_stop(struct run *run, bool drain)
{
    uint32_t to = drain ? RUN_DRAINING : RUN_OVER;
    uint32_t phase = atomic_load_explicit(&run->phase, memory_order_acquire);
    while (phase != RUN_NONE && phase < to) {
        if (atomic_compare_exchange_weak_explicit(&run->phase, &phase, to, memory_order_acq_rel,
                                                  memory_order_acquire)) {
            wake_all(run);
            return;
        }
    }
}

void nrd_app_stop(struct nrd_app *app, bool drain)
{
    run_stop(app->run, drain);
}

void nrd_operator_stop_run(struct nrd_operator *op, bool drain)
{
    run_stop(op->fragment->app->run, drain);
}

void nrd_fragment_stop(struct nrd_fragment *fragment, const char *operator_name)
{
    bool all = operator_name == NULL || operator_name[0] == '\0';
    for (uint32_t i = 0; i < fragment->operators.count; i++) {
        struct nrd_operator *op = fragment_op(fragment, i);
        if (op->exec != NULL && (all || strcmp(op->name, operator_name) == 0)) {
            atomic_store_explicit(&op->exec->stop_asked, true, memory_order_relaxed);
            exec_wake_outside(op->exec);
        }
    }
}

// ---- a run ----

static void set_limits(struct run *run)
{
    int64_t shortest = -1;
    run->stop_on_deadlock = true;
    run->quiet_timeout = 0;
    for (uint32_t i = 0; i < run->app->fragments.count; i++) {
        const struct nrd_fragment *f = run->app->fragments.items[i];
        run->stop_on_deadlock &= f->options.stop_on_deadlock;
        if (f->options.stop_on_deadlock_timeout > run->quiet_timeout) {
            run->quiet_timeout = f->options.stop_on_deadlock_timeout;
        }
        if (f->options.max_duration >= 0 && (shortest < 0 || f->options.max_duration < shortest)) {
            shortest = f->options.max_duration;
        }
    }
    run->deadline = shortest < 0 ? 0 : clock_now_ns() + (uint64_t)shortest;
}

static void reset(struct run *run, struct plan *plan)
{
    run->failed = NULL;
    run->was_quiet = false;
    run->was_drained = false;
    atomic_store(&run->error, NULL);
    atomic_store(&run->quiet_since, 0);
    parking_init(&run->caller);
    run->lead = NULL;
    plan_reset(plan);
    uint32_t workers = 0;
    for (uint32_t i = 0; i < plan->pool_count; i++) {
        pool_reset(plan->pools[i]);
        workers += plan->pools[i]->worker_count;
    }
    const struct nrd_fragment *first = run->app->fragments.items[0];
    if (first->scheduler == SCHEDULER_GREEDY && plan->pool_count != 0 &&
        plan->pools[0]->fragment == first) {
        run->lead = &plan->pools[0]->workers[0];
    }
    set_limits(run);
    atomic_store(&run->plan, plan);                   // from here on a stop wakes its workers
    atomic_store(&run->tokens, (int64_t)workers + 1); // every one of them begins awake; and go()
}

static void worker_main(void *arg)
{
    struct worker *w = arg;
    struct nrd_status *status = thread_policy_apply(w);
    if (status != NULL) {
        run_fail(w->pool->run, NULL, status);
        return;
    }
    worker_run(w);
}

static void start_threads(struct run *run)
{
    for (uint32_t i = 0; i < run->plan->pool_count; i++) {
        struct pool *pool = run->plan->pools[i];
        for (uint32_t j = 0; j < pool->worker_count; j++) {
            struct worker *w = &pool->workers[j];
            if (w == run->lead) {
                continue;
            }
            struct nrd_status *status = thread_start(&w->thread, w->name, 0, worker_main, w);
            if (status != NULL) {
                run_fail(run, NULL, status);
                return;
            }
        }
    }
}

static void wait_for_end(struct run *run)
{
    if (run->lead != NULL) {
        worker_run(run->lead);
    }
    while (atomic_load_explicit(&run->phase, memory_order_acquire) != RUN_OVER) {
        uint64_t alarm = run_alarm_time(run);
        if (alarm != 0 && clock_now_ns() >= alarm) {
            run_alarm(run);
        } else {
            parking_wait(&run->caller, alarm);
        }
    }
    for (uint32_t i = 0; i < run->plan->pool_count; i++) {
        for (uint32_t j = 0; j < run->plan->pools[i]->worker_count; j++) {
            thread_join(&run->plan->pools[i]->workers[j].thread);
        }
    }
}

static void stop_operator(struct run *run, struct nrd_compute *exec)
{
    if (!exec->started) {
        return;
    }
    struct nrd_operator *op = exec->op;
    exec->started = false;
    atomic_store_explicit(&exec->status, NRD_OPERATOR_STOP_PENDING, memory_order_relaxed);
    struct nrd_status *status = op->class->stop == NULL ? NULL : op->class->stop(op, exec->self);
    atomic_store_explicit(&exec->status, NRD_OPERATOR_STOPPED, memory_order_relaxed);
    if (status != NULL) {
        run_fail(run, exec, status);
    }
}

// The one that failed first, then all in topological order.
static void stop_operators(struct run *run)
{
    if (run->failed != NULL) {
        stop_operator(run, run->failed);
    }
    for (uint32_t i = 0; i < run->plan->exec_count; i++) {
        stop_operator(run, &run->plan->execs[i]);
    }
}

static void start_clocks(struct nrd_app *app)
{
    for (uint32_t i = 0; i < app->fragments.count; i++) {
        const struct nrd_fragment *f = app->fragments.items[i];
        for (uint32_t j = 0; j < f->resources.count; j++) {
            const struct nrd_resource *r = f->resources.items[j];
            const struct clock_ops *ops = r->class->ops;
            if (strcmp(r->class->kind, "clock") == 0 && ops->start != NULL) {
                ops->start(r->state);
            }
        }
    }
}

// However it ended: from outside nobody comes in any more, and those who are in leave soon.
static void close_to_visitors(struct run *run)
{
    atomic_store(&run->tokens, TOKENS_OVER);
    while (atomic_load(&run->visitors) != 0) {
        sched_yield();
    }
}

static void go(struct run *run)
{
    start_threads(run);
    token_release(run); // a run without operators ends here
    wait_for_end(run);
}

// The first of two errors. Takes both.
static struct nrd_status *first_of(struct nrd_status *status, struct nrd_status *later)
{
    if (status == NULL) {
        return later;
    }
    status_free(later);
    return status;
}

static struct nrd_status *run_plan(struct run *run, struct plan *plan)
{
    struct nrd_status *status = NULL;
    uint32_t begun = 0;
    start_clocks(run->app);
    reset(run, plan);
    for (; begun < plan->watcher_count && status == NULL; begun++) {
        const struct watcher *w = plan->watchers[begun];
        status = w->class->begin == NULL ? NULL : w->class->begin(w->self, plan);
    }
    if (status != NULL) {
        begun--; // that one did not begin
        run_fail(run, NULL, status);
    } else {
        go(run);
    }
    close_to_visitors(run);
    stop_operators(run);
    struct nrd_status *verdict = run->was_quiet ? run_verdict(run) : NULL;
    plan_drain(plan);
    while (begun-- > 0) {
        const struct watcher *w = plan->watchers[begun];
        if (w->class->end != NULL) {
            verdict = first_of(verdict, w->class->end(w->self, plan));
        }
    }
    status = first_of(atomic_exchange(&run->error, NULL), verdict);
    atomic_store(&run->plan, NULL);
    close_to_visitors(run); // who stops just now may be waking the plan's workers
    return status;
}

struct nrd_status *nrd_app_compile(struct nrd_app *app)
{
    return app->plan != NULL ? NULL : plan_create(app, &app->plan);
}

// One at a time. From here on a stop is heard, also one that comes before the first operator has started.
static struct nrd_status *begin_running(struct nrd_app *app)
{
    bool running = false;
    if (!atomic_compare_exchange_strong(&app->running, &running, true)) {
        return status_new(NRD_ALREADY_EXISTS, "application '%s' is running already", app->name);
    }
    atomic_store(&app->run->phase, RUN_GOING);
    return NULL;
}

static void end_running(struct nrd_app *app)
{
    atomic_store(&app->run->phase, RUN_NONE);
    atomic_store(&app->running, false);
}

static struct nrd_status *run_app(struct nrd_app *app)
{
    struct nrd_status *status = nrd_app_compile(app);
    if (status == NULL) {
        status = run_plan(app->run, app->plan);
    }
    end_running(app);
    return status;
}

struct nrd_status *nrd_app_run(struct nrd_app *app)
{
    NRD_TRY(begin_running(app));
    return run_app(app);
}

static void run_async(void *arg)
{
    struct nrd_app *app = arg;
    app->async_result = run_app(app);
}

struct nrd_status *nrd_app_run_async(struct nrd_app *app)
{
    NRD_TRY(begin_running(app));
    thread_join(&app->async); // of a run before, whose result nobody wanted
    status_free(app->async_result);
    app->async_result = NULL;
    struct nrd_status *status = thread_start(&app->async, "nereid-run", 0, run_async, app);
    if (status != NULL) {
        end_running(app);
    }
    return status;
}

struct nrd_status *nrd_app_wait(struct nrd_app *app)
{
    thread_join(&app->async);
    struct nrd_status *status = app->async_result;
    app->async_result = NULL;
    return status;
}

// ---- looking on ----

enum nrd_operator_status nrd_operator_get_status(const struct nrd_operator *op)
{
    return op->exec == NULL ? NRD_OPERATOR_NOT_STARTED
                            : (enum nrd_operator_status)atomic_load_explicit(&op->exec->status,
                                                                             memory_order_relaxed);
}

void nrd_operator_get_counts(const struct nrd_operator *op, struct nrd_operator_counts *counts)
{
    *counts = (struct nrd_operator_counts){0};
    const struct nrd_compute *exec = op->exec;
    if (exec == NULL) {
        return;
    }
    counts->computes = atomic_load_explicit(&exec->computes, memory_order_relaxed);
    counts->received = atomic_load_explicit(&exec->received, memory_order_relaxed);
    counts->emitted = atomic_load_explicit(&exec->emitted, memory_order_relaxed);
    counts->busy_ns = atomic_load_explicit(&exec->busy_ns, memory_order_relaxed);
    counts->late = atomic_load_explicit(&exec->late, memory_order_relaxed);
    for (uint32_t i = 0; i < exec->flow_count; i++) {
        counts->dropped += atomic_load_explicit(&exec->flows[i].dropped, memory_order_relaxed);
    }
}
