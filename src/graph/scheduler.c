// SPDX-License-Identifier: Apache-2.0
// Schedulers and thread pools, as they are asked for. What they become is worker.h's: all three kinds are pools of workers, and
// differ in how many there are and who shares them.
#include <string.h>

#include "graph/graph_private.h"
#include "graph/registry.h"
#include "graph/thread_policy.h"

enum { THREADS_MAX = 1024 };

// Those of holoscan that say how it polls, steals and counts are taken and change nothing: nothing here polls.
struct scheduler_params {
    struct scheduler_options options;
    double check_recession_period_ms;
    bool ignored_bool;
    int64_t ignored_int;
};

#define AT(field) offsetof(struct scheduler_params, options.field)
#define PARAMS_OF_ALL                                                                              \
    {.name = "stop_on_deadlock",                                                                   \
     .type = NRD_PARAM_BOOL,                                                                       \
     .offset = AT(stop_on_deadlock),                                                               \
     .fallback = "true",                                                                           \
     .help = "Ends the run when nothing can happen any more."},                                    \
        {.name = "stop_on_deadlock_timeout",                                                       \
         .type = NRD_PARAM_DURATION,                                                               \
         .offset = AT(stop_on_deadlock_timeout),                                                   \
         .fallback = "0",                                                                          \
         .unit = "ms",                                                                             \
         .help = "Waits that long for something from outside first."},                             \
        {.name = "max_duration_ms",                                                                \
         .type = NRD_PARAM_DURATION,                                                               \
         .offset = AT(max_duration),                                                               \
         .fallback = "-1",                                                                         \
         .unit = "ms",                                                                             \
         .help = "Ends the run after that long; negative: no limit."},                             \
        {.name = "spin",                                                                           \
         .type = NRD_PARAM_DURATION,                                                               \
         .offset = AT(spin),                                                                       \
         .fallback = "0",                                                                          \
         .unit = "ns",                                                                             \
         .help = "Time that a thread looks for work before it sleeps."},                           \
        {.name = "clock",                                                                          \
         .type = NRD_PARAM_RESOURCE,                                                               \
         .flags = NRD_PARAM_OPTIONAL,                                                              \
         .offset = AT(clock),                                                                      \
         .choices = CLOCK_KIND,                                                                    \
         .help = "The clock; the real one by default."},                                           \
    {                                                                                              \
        .name = "network_connection_timeout", .type = NRD_PARAM_INT, .flags = NRD_PARAM_OPTIONAL,  \
        .offset = offsetof(struct scheduler_params, ignored_int),                                  \
        .help = "Changes nothing: fragments are of one process."                                   \
    }
#define PARAM_PERIOD                                                                               \
    {                                                                                              \
        .name = "check_recession_period_ms", .type = NRD_PARAM_REAL, .fallback = "0",              \
        .offset = offsetof(struct scheduler_params, check_recession_period_ms), .unit = "ms",      \
        .help = "Changes nothing: nothing polls."                                                  \
    }
#define PARAM_WORKERS                                                                              \
    {                                                                                              \
        .name = "worker_thread_number", .type = NRD_PARAM_INT, .offset = AT(worker_thread_number), \
        .fallback = "1", .min = 1, .max = THREADS_MAX,                                             \
        .help = "Threads that share the operators that are in no pool."                            \
    }
#define PARAM_IGNORED_BOOL(text)                                                                   \
    {                                                                                              \
        .name = text, .type = NRD_PARAM_BOOL, .flags = NRD_PARAM_OPTIONAL,                         \
        .offset = offsetof(struct scheduler_params, ignored_bool), .help = "Changes nothing."      \
    }
#define PARAM_IGNORED_INT(text)                                                                    \
    {                                                                                              \
        .name = text, .type = NRD_PARAM_INT, .flags = NRD_PARAM_OPTIONAL,                          \
        .offset = offsetof(struct scheduler_params, ignored_int), .help = "Changes nothing."       \
    }

static const char *const CLOCK_KIND[] = {"clock", NULL};

static const struct nrd_param GREEDY_PARAMS[] = {PARAMS_OF_ALL, PARAM_PERIOD, {0}};
static const struct nrd_param MULTI_THREAD_PARAMS[] = {
    PARAMS_OF_ALL,
    PARAM_PERIOD,
    PARAM_WORKERS,
    PARAM_IGNORED_BOOL("strict_job_thread_pinning"),
    {0}};
static const struct nrd_param EVENT_BASED_PARAMS[] = {
    PARAMS_OF_ALL,
    PARAM_WORKERS,
    {.name = "pin_cores",
     .type = NRD_PARAM_INT_LIST,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = AT(pin_cores),
     .min = 0,
     .max = 4095,
     .help = "Processors for the shared threads, one each in turn."},
    PARAM_IGNORED_BOOL("enable_queue_stealing"),
    PARAM_IGNORED_INT("steal_scan_limit"),
    PARAM_IGNORED_BOOL("enable_worker_postcheck_fastpath"),
    PARAM_IGNORED_INT("internal_event_shard_count"),
    PARAM_IGNORED_INT("dispatcher_internal_pop_batch_size"),
    PARAM_IGNORED_INT("wait_state_shard_count"),
    PARAM_IGNORED_BOOL("log_perf_stats"),
    {0}};

static const struct scheduler_type {
    const char *name;
    enum scheduler_kind kind;
    const struct nrd_param *params;
} TYPES[] = {
    {"GreedyScheduler", SCHEDULER_GREEDY, GREEDY_PARAMS},
    {"MultiThreadScheduler", SCHEDULER_MULTI_THREAD, MULTI_THREAD_PARAMS},
    {"EventBasedScheduler", SCHEDULER_EVENT_BASED, EVENT_BASED_PARAMS},
};

// "EventBasedScheduler", "event_based", "event-based", "greedy", "multi_thread".
static bool same_type(const char *name, const char *asked)
{
    for (; *asked != '\0'; asked++) {
        if (*asked == '_' || *asked == '-') {
            continue;
        }
        char a = *asked;
        char b = *name++;
        a = a >= 'A' && a <= 'Z' ? (char)(a - 'A' + 'a') : a;
        b = b >= 'A' && b <= 'Z' ? (char)(b - 'A' + 'a') : b;
        if (a != b) {
            return false;
        }
    }
    return *name == '\0' || strcmp(name, "Scheduler") == 0;
}

struct nrd_status *nrd_set_scheduler(struct nrd_fragment *fragment, const char *type,
                                     const struct nrd_value *params)
{
    const struct scheduler_type *found = NULL;
    const char *bare = registry_bare_name(type);
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
        found = same_type(TYPES[i].name, bare) ? &TYPES[i] : found;
    }
    if (found == NULL) {
        return status_new(NRD_NOT_FOUND,
                          "unknown scheduler '%s'; there are GreedyScheduler, MultiThreadScheduler "
                          "and EventBasedScheduler",
                          type);
    }
    struct str what = STR_INIT;
    str_printf(&what, "scheduler (%s)", found->name);
    struct param_scope scope = {.what = str_cstr(&what),
                                .store = &fragment->options_store,
                                .resource = fragment_resolve_resource,
                                .resource_arg = fragment};
    struct scheduler_params filled = {.options = {.worker_thread_number = 1}};
    struct nrd_status *status = param_apply(&scope, found->params, params, &filled);
    str_fini(&what);
    if (status == NULL) {
        fragment->scheduler = found->kind;
        fragment->options = filled.options;
        app_invalidate(fragment->app);
    }
    return status;
}

// ---- thread pools ----

struct nrd_status *nrd_add_thread_pool(struct nrd_fragment *fragment, const char *name,
                                       uint32_t threads, struct nrd_thread_pool **pool)
{
    if (threads < 1 || threads > THREADS_MAX) {
        return status_new(NRD_INVALID_ARG, "thread pool '%s': %u threads (1 to %d)", name, threads,
                          THREADS_MAX);
    }
    struct nrd_app *app = fragment->app;
    struct nrd_thread_pool *made = arena_calloc(&app->arena, 1, sizeof(*made));
    if (made == NULL) {
        return status_no_memory();
    }
    made->fragment = fragment;
    made->threads = threads;
    NRD_TRY(fragment_claim_name(fragment, "thread pool", name, made, &made->name));
    if (!graph_list_add(app, &fragment->pools, made)) {
        return status_no_memory();
    }
    app_invalidate(app);
    *pool = made;
    return NULL;
}

struct nrd_status *nrd_thread_pool_add(struct nrd_thread_pool *pool, struct nrd_operator *op,
                                       const struct nrd_thread_options *options)
{
    struct nrd_app *app = pool->fragment->app;
    if (op->fragment != pool->fragment) {
        return status_new(NRD_INVALID_ARG, "thread pool '%s': operator '%s' is of another fragment",
                          pool->name, op->name);
    }
    if (op->pool != NULL) {
        return status_new(NRD_ALREADY_EXISTS, "operator '%s' is in thread pool '%s' already",
                          op->name, op->pool->name);
    }
    struct nrd_status *status = thread_policy_check(options);
    if (status != NULL) {
        return status_wrap(status, "thread pool '%s': operator '%s': ", pool->name, op->name);
    }
    if (options != NULL) {
        op->thread = *options;
        if (options->policy != NULL) {
            op->thread.policy = arena_strdup(&app->arena, slice_of(options->policy));
        }
        if (options->cores != NULL) {
            op->thread.cores = arena_strdup(&app->arena, slice_of(options->cores));
        }
        if ((options->policy != NULL && op->thread.policy == NULL) ||
            (options->cores != NULL && op->thread.cores == NULL)) {
            return status_no_memory();
        }
    }
    if (!graph_list_add(app, &pool->operators, op)) {
        return status_no_memory();
    }
    op->pool = pool;
    app_invalidate(app);
    return NULL;
}
