// SPDX-License-Identifier: Apache-2.0
// What `nereid run` says about a run: a line that is written over while it goes on, tables when it is over. All from the counters that
// operators keep; nothing here is on a message's way.
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "cli/run.h"

// ---- all operators of an application --------------------------------------------------------------------------------

typedef void (*visit_fn)(struct nrd_operator *op, void *arg);

static void visit_operators(struct nrd_app *app, visit_fn visit, void *arg)
{
    struct nrd_fragment *fragment;
    for (size_t i = 0; (fragment = nrd_app_fragment_at(app, i)) != NULL; i++) {
        for (size_t j = 0; j < nrd_fragment_operator_count(fragment); j++) {
            visit(nrd_fragment_operator_at(fragment, j), arg);
        }
    }
}

// ---- the line -------------------------------------------------------------------------------------------------------

enum { INTERVAL_MS = 500, OPERATORS_SHOWN = 64 };

struct run_progress {
    struct nrd_app *app;
    struct thread thread;
    struct parking parking;
    _Atomic bool stop;
    uint64_t started_ns;
    uint64_t last_ns;
    uint64_t before[OPERATORS_SHOWN]; // computes when the last line was written
    size_t index;                     // of the operator that is visited
    double seconds;                   // since the last line
    uint64_t dropped;
    struct str line;
};

static void add_rate(struct nrd_operator *op, void *arg)
{
    struct run_progress *p = arg;
    struct nrd_operator_counts counts;
    if (p->index == OPERATORS_SHOWN) {
        return;
    }
    nrd_operator_get_counts(op, &counts);
    double rate = (double)(counts.computes - p->before[p->index]) / p->seconds;
    p->before[p->index++] = counts.computes;
    p->dropped += counts.dropped;
    str_printf(&p->line, "  %s %.*f/s", nrd_operator_name(op), rate < 100 ? 1 : 0, rate);
}

static size_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 8 ? size.ws_col : 80;
}

static void write_line(struct run_progress *p)
{
    uint64_t now = clock_now_ns();
    size_t width = terminal_width();
    p->seconds = (double)(now - p->last_ns) * 1e-9;
    p->last_ns = now;
    p->index = 0;
    p->dropped = 0;
    str_clear(&p->line);
    str_printf(&p->line, "\r%.1f s", (double)(now - p->started_ns) * 1e-9);
    visit_operators(p->app, add_rate, p);
    if (p->dropped > 0) {
        str_printf(&p->line, "  dropped %" PRIu64, p->dropped);
    }
    if (p->line.len > width) {
        str_truncate(&p->line, width - 1);
    }
    str_append_cstr(&p->line, "\x1b[K\r"); // what is printed next begins where the line does
    if (!p->line.failed) {
        (void)!write(STDERR_FILENO, p->line.ptr, p->line.len);
    }
}

static void progress_main(void *arg)
{
    struct run_progress *p = arg;
    while (!atomic_load_explicit(&p->stop, memory_order_acquire)) {
        uint64_t deadline = clock_now_ns() + (uint64_t)INTERVAL_MS * 1000000;
        if (!parking_wait(&p->parking, deadline)) {
            write_line(p);
        }
    }
}

struct nrd_status *run_progress_start(struct nrd_app *app, struct run_progress **progress)
{
    struct run_progress *p = mem_calloc(1, sizeof(*p));
    if (p == NULL) {
        return status_no_memory();
    }
    p->app = app;
    p->started_ns = clock_now_ns();
    p->last_ns = p->started_ns;
    atomic_init(&p->stop, false);
    parking_init(&p->parking);
    struct nrd_status *status = thread_start(&p->thread, "progress", 0, progress_main, p);
    if (status != NULL) {
        mem_free(p);
        return status;
    }
    *progress = p;
    return NULL;
}

void run_progress_stop(struct run_progress *progress)
{
    if (progress == NULL) {
        return;
    }
    atomic_store_explicit(&progress->stop, true, memory_order_release);
    parking_wake(&progress->parking);
    thread_join(&progress->thread);
    if (progress->line.len > 0) {
        (void)!write(STDERR_FILENO, "\r\x1b[K", 4);
    }
    str_fini(&progress->line);
    mem_free(progress);
}

// ---- the tables -----------------------------------------------------------------------------------------------------

struct report {
    struct table *table;
    double seconds;
    size_t rows;
};

NRD_PRINTF(2, 3) static void cell(struct table *table, const char *format, ...)
{
    char text[160];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    table_add(table, slice_of(text));
}

// A duration with three digits that count, and its unit.
static void duration_cell(struct table *table, double ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    int unit = 0;
    while (ns >= 1000 && unit < 3) {
        ns /= 1000;
        unit++;
    }
    cell(table, ns < 10 ? "%.2f %s" : ns < 100 ? "%.1f %s" : "%.0f %s", ns, units[unit]);
}

static void add_row(struct nrd_operator *op, void *arg)
{
    struct report *r = arg;
    struct nrd_operator_counts c;
    nrd_operator_get_counts(op, &c);
    cell(r->table, "%s", nrd_operator_name(op));
    cell(r->table, "%" PRIu64, c.computes);
    cell(r->table, "%.1f", r->seconds > 0 ? (double)c.computes / r->seconds : 0);
    cell(r->table, "%" PRIu64, c.received);
    cell(r->table, "%" PRIu64, c.emitted);
    cell(r->table, "%" PRIu64, c.dropped);
    if (c.computes > 0 && c.busy_ns > 0) {
        duration_cell(r->table, (double)c.busy_ns / (double)c.computes);
    } else {
        cell(r->table, "-");
    }
    cell(r->table, "%.1f %%", r->seconds > 0 ? (double)c.busy_ns * 1e-7 / r->seconds : 0);
}

void run_report_operators(struct nrd_app *app, double seconds, struct str *out)
{
    static const char *const heads[] = {"operator", "computes", "per second", "received",
                                        "sent",     "dropped",  "compute",    "busy"};
    struct report r = {.table = table_create(8), .seconds = seconds};
    if (r.table == NULL) {
        return;
    }
    for (size_t i = 0; i < 8; i++) {
        table_add(r.table, slice_of(heads[i]));
    }
    visit_operators(app, add_row, &r);
    str_printf(out, "%.3f s\n", seconds);
    table_print(r.table, out);
    table_destroy(r.table);
}

static void add_place(struct nrd_operator *op, void *arg)
{
    struct report *r = arg;
    if (nrd_operator_place(op)[0] != '\0') {
        table_add(r->table, slice_of(nrd_operator_name(op)));
        table_add(r->table, slice_of(nrd_operator_place(op)));
        r->rows++;
    }
}

void run_report_places(struct nrd_app *app, struct str *out)
{
    struct report r = {.table = table_create(2)};
    if (r.table == NULL) {
        return;
    }
    table_add(r.table, SLICE("operator"));
    table_add(r.table, SLICE("runs"));
    visit_operators(app, add_place, &r);
    if (r.rows > 0) {
        table_print(r.table, out);
    }
    table_destroy(r.table);
}

void run_report_paths(struct nrd_app *app, struct str *out)
{
    static const char *const heads[] = {"path", "messages", "min",   "mean",
                                        "p50",  "p99",      "p99.9", "max"};
    struct table *table = table_create(8);
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < 8; i++) {
        table_add(table, slice_of(heads[i]));
    }
    for (size_t i = 0; i < nrd_app_path_count(app); i++) {
        struct nrd_path_report r;
        if (!nrd_app_path_report(app, i, &r)) {
            continue;
        }
        table_add(table, slice_of(r.path));
        cell(table, "%" PRIu64, r.count);
        const int64_t times[] = {r.min_ns, r.mean_ns, r.p50_ns, r.p99_ns, r.p999_ns, r.max_ns};
        for (size_t j = 0; j < 6; j++) {
            if (r.count == 0) { // all of them skipped, or under the threshold
                cell(table, "-");
            } else {
                duration_cell(table, (double)times[j]);
            }
        }
    }
    table_print(table, out);
    table_destroy(table);
}
