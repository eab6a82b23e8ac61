// SPDX-License-Identifier: Apache-2.0
// What a hop costs: graphs of empty operators on libnereid, one JSON line a measurement. bench/graph.py runs it beside Holoscan.
//
//     graph_hop [ping N | chain SECONDS | pinned N | fan N | lost RUNS | start]        nothing: all of them, with small numbers
//
// Latency of a hop in a chain: from the end of the sender's compute to the beginning of the receiver's, as the chain's end-to-end time
// divided by its hops. Start at main().
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#include "nereid/graph.h"

enum { CHAIN = 10, SAMPLES_MAX = 1 << 20 };

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static double cpu_seconds(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)r.ru_utime.tv_sec + (double)r.ru_stime.tv_sec +
           1e-6 * ((double)r.ru_utime.tv_usec + (double)r.ru_stime.tv_usec);
}

// Of this program alone: getrusage()'s number begins with what the process was before exec.
static double peak_mb(void)
{
    char line[256];
    long kb = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file != NULL && kb == 0 && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            kb = strtol(line + 6, NULL, 10);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return (double)kb / 1024.0;
}

static void check(struct nrd_status *status)
{
    if (status != NULL) {
        fprintf(stderr, "graph_hop: %s\n", nrd_status_text(status));
        exit(1);
    }
}

// ---- operators: a source of times, one that passes on, a sink that notes how old a message is ----

struct sink {
    int64_t *samples; // NULL: nothing is noted
    size_t count;
};

static struct nrd_status *source_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    int64_t now = now_ns();
    enum nrd_code code = nrd_emit_value(ctx, 0, "time", &now, sizeof(now));
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "emit");
}

static struct nrd_status *counter_compute(struct nrd_compute *ctx, void *self)
{
    int64_t *count = self;
    ++*count;
    enum nrd_code code = nrd_emit_value(ctx, 0, "time", count, sizeof(*count));
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "emit");
}

static struct nrd_status *pass_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    enum nrd_code code = nrd_emit(ctx, 0, nrd_receive(ctx, 0));
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "emit");
}

static struct nrd_status *sink_compute(struct nrd_compute *ctx, void *self)
{
    struct sink *sink = self;
    for (size_t i = 0; i < 4; i++) {
        struct nrd_message *m = nrd_receive(ctx, 0);
        if (m == NULL) {
            break;
        }
        if (sink->samples != NULL && sink->count < SAMPLES_MAX && i == 0) {
            sink->samples[sink->count++] =
                now_ns() - *(const int64_t *)nrd_message_value(m, NULL, NULL);
        }
        nrd_message_unref(m);
    }
    return NULL;
}

static const struct nrd_port IN[] = {{.name = "in", .policy = NRD_QUEUE_FAULT}, {0}};
static const struct nrd_port IN_ANY[] = {
    {.name = "in", .policy = NRD_QUEUE_FAULT, .flags = NRD_PORT_ANY_SIZE}, {0}};
static const struct nrd_port OUT[] = {{.name = "out", .policy = NRD_QUEUE_FAULT}, {0}};

static const struct nrd_operator_class SOURCE = {
    .abi = NRD_OPERATOR_ABI, .name = "Source", .outputs = OUT, .compute = source_compute};
static const struct nrd_operator_class COUNTER = {.abi = NRD_OPERATOR_ABI,
                                                  .name = "Counter",
                                                  .state_size = sizeof(int64_t),
                                                  .outputs = OUT,
                                                  .compute = counter_compute};
static const struct nrd_operator_class PASS = {
    .abi = NRD_OPERATOR_ABI, .name = "Pass", .inputs = IN, .outputs = OUT, .compute = pass_compute};
static const struct nrd_operator_class SINK = {.abi = NRD_OPERATOR_ABI,
                                               .name = "Sink",
                                               .state_size = sizeof(struct sink),
                                               .inputs = IN,
                                               .compute = sink_compute};
static const struct nrd_operator_class JOIN = {.abi = NRD_OPERATOR_ABI,
                                               .name = "Join",
                                               .state_size = sizeof(struct sink),
                                               .inputs = IN_ANY,
                                               .compute = sink_compute};

// ---- composing ----

static const struct scheduler {
    const char *label, *type, *params;
} SCHEDULERS[] = {
    {"greedy", "GreedyScheduler", NULL},
    {"event_based_1", "EventBasedScheduler", NULL},
    {"event_based_2", "EventBasedScheduler", "{worker_thread_number: 2}"},
    {"multi_thread_2", "MultiThreadScheduler", "{worker_thread_number: 2}"},
};
enum { SCHEDULER_COUNT = sizeof(SCHEDULERS) / sizeof(SCHEDULERS[0]) };

static struct nrd_value *parse(const char *text)
{
    struct nrd_value *value = NULL;
    if (text != NULL) {
        check(nrd_value_parse(text, strlen(text), "bench", &value));
    }
    return value;
}

static struct nrd_app *make_app(const char *type, const char *params)
{
    struct nrd_app *app = NULL;
    struct nrd_value *value = parse(params);
    check(nrd_app_create("bench", &app));
    check(nrd_set_scheduler(nrd_app_fragment(app), type, value));
    nrd_value_free(value);
    return app;
}

static struct nrd_operator *add(struct nrd_app *app, const struct nrd_operator_class *table,
                                const char *name)
{
    struct nrd_operator *op = NULL;
    check(nrd_add_operator_class(nrd_app_fragment(app), table, name, NULL, &op));
    return op;
}

static void condition(struct nrd_operator *op, const char *type, const char *param,
                      const char *number)
{
    char text[64];
    struct nrd_condition *c = NULL;
    snprintf(text, sizeof(text), "{%s: %s}", param, number);
    struct nrd_value *value = parse(text);
    check(nrd_add_condition(op, type, NULL, value, &c));
    nrd_value_free(value);
}

static void stop_after(struct nrd_operator *op, long long n)
{
    char number[24];
    snprintf(number, sizeof(number), "%lld", n);
    condition(op, "CountCondition", "count", number);
}

static void join_flow(struct nrd_operator *from, struct nrd_operator *to)
{
    check(nrd_add_flow(from, "", to, "", NULL));
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double percentile(const int64_t *sorted, size_t count, double part)
{
    if (count == 0) {
        return 0;
    }
    size_t at = (size_t)(part * (double)(count - 1) + 0.5);
    return (double)sorted[at] / 1000.0;
}

// ---- measurements ----

static void ping(const struct scheduler *s, long long n)
{
    struct nrd_app *app = make_app(s->type, s->params);
    struct nrd_operator *tx = add(app, &COUNTER, "tx");
    struct nrd_operator *rx = add(app, &SINK, "rx");
    stop_after(tx, n);
    join_flow(tx, rx);
    check(nrd_app_compile(app));
    double cpu = cpu_seconds();
    int64_t began = now_ns();
    check(nrd_app_run(app));
    double seconds = (double)(now_ns() - began) * 1e-9;
    struct nrd_operator_counts counts;
    nrd_operator_get_counts(rx, &counts);
    printf("{\"bench\": \"ping\", \"scheduler\": \"%s\", \"messages\": %llu, \"per_second\": %.0f, "
           "\"ns_per_message\": %.1f, \"cpu_s\": %.3f}\n",
           s->label, (unsigned long long)counts.received, (double)n / seconds,
           seconds * 1e9 / (double)n, cpu_seconds() - cpu);
    fflush(stdout);
    nrd_app_destroy(app);
}

// Two operators, each pinned to a thread of its own: every message crosses threads. `recess`: at rest between messages.
static void pinned(const char *label, const char *params, const char *recess, long long n)
{
    struct nrd_app *app = make_app("EventBasedScheduler", params);
    struct nrd_operator *tx = add(app, &SOURCE, "tx");
    struct nrd_operator *rx = add(app, &SINK, "rx");
    struct sink *sink = nrd_operator_state(rx);
    struct nrd_thread_pool *pool = NULL;
    struct nrd_thread_options options = {.pin = true};
    sink->samples = calloc(SAMPLES_MAX, sizeof(int64_t));
    stop_after(tx, n);
    condition(tx, "PeriodicCondition", "recess_period", recess);
    join_flow(tx, rx);
    check(nrd_add_thread_pool(nrd_app_fragment(app), "pool", 2, &pool));
    check(nrd_thread_pool_add(pool, tx, &options));
    check(nrd_thread_pool_add(pool, rx, &options));
    double cpu = cpu_seconds();
    check(nrd_app_run(app));
    qsort(sink->samples, sink->count, sizeof(int64_t), by_value);
    printf("{\"bench\": \"across_threads\", \"mode\": \"%s\", \"messages\": %zu, \"p50_us\": %.2f, "
           "\"p99_us\": %.2f, \"p999_us\": %.2f, \"max_us\": %.1f, \"cpu_s\": %.3f}\n",
           label, sink->count, percentile(sink->samples, sink->count, 0.5),
           percentile(sink->samples, sink->count, 0.99),
           percentile(sink->samples, sink->count, 0.999), percentile(sink->samples, sink->count, 1),
           cpu_seconds() - cpu);
    fflush(stdout);
    free(sink->samples);
    nrd_app_destroy(app);
}

static void chain(const struct scheduler *s, long long messages)
{
    struct nrd_app *app = make_app(s->type, s->params);
    struct nrd_operator *first = add(app, &SOURCE, "op0");
    struct nrd_operator *last = first;
    for (int i = 1; i < CHAIN; i++) {
        char name[16];
        snprintf(name, sizeof(name), "op%d", i);
        struct nrd_operator *next = add(app, i == CHAIN - 1 ? &SINK : &PASS, name);
        join_flow(last, next);
        last = next;
    }
    struct sink *sink = nrd_operator_state(last);
    sink->samples = calloc(SAMPLES_MAX, sizeof(int64_t));
    stop_after(first, messages);
    condition(first, "PeriodicCondition", "recess_period", "1ms");
    double cpu = cpu_seconds();
    check(nrd_app_run(app));
    qsort(sink->samples, sink->count, sizeof(int64_t), by_value);
    printf(
        "{\"bench\": \"chain_of_ten\", \"scheduler\": \"%s\", \"messages\": %zu, "
        "\"hop_p50_us\": %.3f, \"e2e_p50_us\": %.2f, \"e2e_p99_us\": %.2f, \"e2e_p999_us\": %.2f, "
        "\"e2e_max_us\": %.1f, \"cpu_s\": %.3f}\n",
        s->label, sink->count, percentile(sink->samples, sink->count, 0.5) / (CHAIN - 1),
        percentile(sink->samples, sink->count, 0.5), percentile(sink->samples, sink->count, 0.99),
        percentile(sink->samples, sink->count, 0.999), percentile(sink->samples, sink->count, 1),
        cpu_seconds() - cpu);
    fflush(stdout);
    free(sink->samples);
    nrd_app_destroy(app);
}

static void fan(const struct scheduler *s, long long n)
{
    struct nrd_app *app = make_app(s->type, s->params);
    struct nrd_operator *tx = add(app, &COUNTER, "tx");
    struct nrd_operator *join = add(app, &JOIN, "join");
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof(name), "branch%d", i);
        struct nrd_operator *branch = add(app, &PASS, name);
        join_flow(tx, branch);
        join_flow(branch, join);
    }
    stop_after(tx, n);
    check(nrd_app_compile(app));
    double cpu = cpu_seconds();
    int64_t began = now_ns();
    check(nrd_app_run(app));
    double seconds = (double)(now_ns() - began) * 1e-9;
    struct nrd_operator_counts counts;
    nrd_operator_get_counts(join, &counts);
    printf("{\"bench\": \"fan_out_join\", \"scheduler\": \"%s\", \"joins\": %llu, "
           "\"joins_per_second\": %.0f, \"us_per_join\": %.3f, \"cpu_s\": %.3f}\n",
           s->label, (unsigned long long)counts.computes, (double)counts.computes / seconds,
           seconds * 1e6 / (double)counts.computes, cpu_seconds() - cpu);
    fflush(stdout);
    nrd_app_destroy(app);
}

// Holoscan's false deadlock: how many of 5000 messages are missing, over many runs of the same application.
static void lost(const struct scheduler *s, long long runs)
{
    enum { MESSAGES = 5000 };
    struct nrd_app *app = make_app(s->type, s->params);
    struct nrd_operator *tx = add(app, &COUNTER, "tx");
    struct nrd_operator *mid = add(app, &PASS, "mid");
    struct nrd_operator *rx = add(app, &SINK, "rx");
    stop_after(tx, MESSAGES);
    join_flow(tx, mid);
    join_flow(mid, rx);
    unsigned long long missing = 0;
    for (long long i = 0; i < runs; i++) {
        struct nrd_operator_counts counts;
        check(nrd_app_run(app));
        nrd_operator_get_counts(rx, &counts);
        missing += MESSAGES - counts.received;
    }
    printf("{\"bench\": \"lost\", \"scheduler\": \"%s\", \"runs\": %lld, \"messages\": %d, "
           "\"lost\": %llu}\n",
           s->label, runs, MESSAGES, missing);
    fflush(stdout);
    nrd_app_destroy(app);
}

// From nothing to the end of a run of one message, and what the process holds then.
static void start(void)
{
    int64_t began = now_ns();
    struct nrd_app *app = make_app("GreedyScheduler", NULL);
    struct nrd_operator *tx = add(app, &COUNTER, "tx");
    struct nrd_operator *rx = add(app, &SINK, "rx");
    stop_after(tx, 1);
    join_flow(tx, rx);
    check(nrd_app_run(app));
    double ms = (double)(now_ns() - began) * 1e-6;
    printf("{\"bench\": \"start\", \"compose_to_end_ms\": %.3f, \"peak_rss_mb\": %.2f}\n", ms,
           peak_mb());
    fflush(stdout);
    nrd_app_destroy(app);
}

int main(int argc, char **argv)
{
    bool all = argc < 2;
    const char *what = all ? "" : argv[1];
    long long n = argc > 2 ? atoll(argv[2]) : 0;
    if (all || strcmp(what, "start") == 0) {
        start();
    }
    for (int i = 0; i < SCHEDULER_COUNT; i++) {
        if (all || strcmp(what, "ping") == 0) {
            ping(&SCHEDULERS[i], n > 0 ? n : 1000000);
        }
        if (all || strcmp(what, "chain") == 0) {
            chain(&SCHEDULERS[i], 1000 * (n > 0 ? n : 2));
        }
        if (all || strcmp(what, "lost") == 0) {
            lost(&SCHEDULERS[i], n > 0 ? n : 100);
        }
        if (all || strcmp(what, "fan") == 0) {
            fan(&SCHEDULERS[i], n > 0 ? n : 300000);
        }
    }
    if (all || strcmp(what, "pinned") == 0) {
        long long messages = n > 0 ? n : 2000;
        pinned("parked", NULL, "1ms", messages);
        pinned("spinning", "{spin: 5ms}", "100us", messages);
    }
    return 0;
}
