// SPDX-License-Identifier: Apache-2.0
// Flow tracking, what people read: Holoscan's result text, the CSV, and the log of each message's way.
// Both texts keep Holoscan's words and order, so that scripts that read them go on working. The log is gathered in memory
// and written 64 KiB at a time by the thread that fills it up: a log costs that write.
#include "graph/track_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

enum { LOG_FLUSH = 64 * 1024 };

// ---- names and the log ---------------------------------------------------------------------------------------------

// The nodes of a path from its source on, at most operator_count + 1: a path ends where it comes back to an operator.
static uint32_t list_nodes(const struct track *t, uint32_t node, uint32_t *nodes)
{
    uint32_t count = t->nodes[node].depth;
    for (uint32_t at = count; at > 0; node = t->nodes[node].parent) {
        nodes[--at] = node;
    }
    return count;
}

char *track_path_name(const struct track *t, uint32_t node)
{
    uint32_t *nodes = mem_alloc((t->operator_count + 1) * sizeof(*nodes));
    if (nodes == NULL) {
        return NULL;
    }
    uint32_t count = list_nodes(t, node, nodes);
    struct str name = STR_INIT;
    for (uint32_t i = 0; i < count; i++) {
        bool old = i + 1 < count && t->nodes[nodes[i + 1]].again;
        str_printf(&name, "%s%s%s", i == 0 ? "" : ",", t->names[t->nodes[nodes[i]].op],
                   old ? "_old" : "");
    }
    mem_free(nodes);
    char *text = str_take(&name);
    str_fini(&name);
    return text;
}

struct nrd_status *track_log_open(struct track *t)
{
    const char *path = t->options.log_path;
    t->log.failed = false;
    t->log.number = 0;
    if (t->log.nodes == NULL) {
        t->log.nodes = mem_alloc((t->operator_count + 1) * sizeof(*t->log.nodes));
    }
    if (t->log.nodes == NULL) {
        return status_no_memory();
    }
    t->log.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (t->log.fd < 0) {
        return status_new(NRD_INTERNAL, "flow tracking: cannot write %s: %s", path,
                          strerror(errno));
    }
    return NULL;
}

static void flush(struct track *t)
{
    const char *at = t->log.text.ptr;
    size_t left = t->log.text.len;
    while (left > 0 && !t->log.failed) {
        ssize_t written = write(t->log.fd, at, left);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            t->log.failed = true;
            break;
        }
        at += written;
        left -= (size_t)written;
    }
    str_clear(&t->log.text);
}

struct nrd_status *track_log_close(struct track *t)
{
    if (t->log.fd < 0) {
        str_fini(&t->log.text);
        return NULL;
    }
    flush(t);
    bool failed = close(t->log.fd) != 0 || t->log.failed;
    t->log.fd = -1;
    str_fini(&t->log.text);
    return failed ? status_new(NRD_INTERNAL, "flow tracking: the log %s could not be written whole",
                               t->options.log_path)
                  : NULL;
}

void track_log_begin(struct track *t)
{
    pthread_mutex_lock(&t->log.lock);
    str_append_u64(&t->log.text, ++t->log.number);
    str_append_cstr(&t->log.text, ":\n");
}

void track_log_way(struct track *t, const struct track_entry *entry)
{
    struct str *out = &t->log.text;
    uint32_t *nodes = t->log.nodes;
    uint32_t count = list_nodes(t, entry->node, nodes);
    for (uint32_t i = 0; i < count; i++) {
        bool old = i + 1 < count && t->nodes[nodes[i + 1]].again;
        str_printf(out, "%s(%s%s,%lld,%lld)", i == 0 ? "" : " -> ", t->names[t->nodes[nodes[i]].op],
                   old ? "_old" : "", (long long)entry->times[2 * i] / 1000,
                   (long long)entry->times[2 * i + 1] / 1000);
    }
    str_append_char(out, '\n');
}

void track_log_end(struct track *t)
{
    str_append_char(&t->log.text, '\n');
    if (t->log.text.failed) {
        t->log.failed = true;
        str_clear(&t->log.text);
    } else if (t->log.text.len >= LOG_FLUSH) {
        flush(t);
    }
    pthread_mutex_unlock(&t->log.lock);
}

// ---- results -------------------------------------------------------------------------------------------------------

size_t track_path_count(const struct track *t)
{
    return atomic_load_explicit(&t->path_count, memory_order_acquire);
}

uint64_t track_lost(const struct track *t)
{
    return atomic_load_explicit(&t->lost, memory_order_relaxed);
}

static void report_path(const struct track_path *path, struct nrd_path_report *report)
{
    const struct latency *l = &path->latency;
    *report = (struct nrd_path_report){
        .path = path->name,
        .count = atomic_load_explicit(&l->count, memory_order_relaxed),
        .min_ns = atomic_load_explicit(&l->min_ns, memory_order_relaxed),
        .mean_ns = latency_mean(l),
        .max_ns = atomic_load_explicit(&l->max_ns, memory_order_relaxed),
        .p50_ns = latency_percentile(l, 0.5),
        .p90_ns = latency_percentile(l, 0.9),
        .p99_ns = latency_percentile(l, 0.99),
        .p999_ns = latency_percentile(l, 0.999),
        .min_message = atomic_load_explicit(&l->min_number, memory_order_relaxed),
        .max_message = atomic_load_explicit(&l->max_number, memory_order_relaxed),
    };
}

bool track_path_report(const struct track *t, size_t index, struct nrd_path_report *report)
{
    if (index >= track_path_count(t)) {
        return false;
    }
    report_path(t->paths[index], report);
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct track_path *const *left = a;
    const struct track_path *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static double ms(int64_t ns)
{
    return (double)ns / 1e6;
}

static void print_sources(const struct track *t, struct str *out)
{
    bool any = false;
    for (size_t i = 0; i < t->operator_count; i++) {
        const struct track_operator *op = &t->operators[i];
        for (size_t k = 0; op->is_source && k < op->output_count; k++) {
            if (!any) {
                str_append_cstr(out, "Number of source messages [format: source operator->"
                                     "transmitter name: number of messages]:\n");
                any = true;
            }
            uint64_t count = atomic_load_explicit(&op->output_counts[k], memory_order_relaxed);
            str_printf(out, "%s->%s: %llu\n", t->names[i], op->output_names[k],
                       (unsigned long long)count);
        }
    }
    if (!any) {
        str_append_cstr(out, "No source messages found.\n");
    }
}

static void print_text(const struct track *t, struct track_path *const *paths, size_t count,
                       struct str *out)
{
    str_printf(out, "Data Flow Tracking Results:\nTotal paths: %zu\n\n", count);
    for (size_t i = 0; i < count; i++) {
        struct nrd_path_report r;
        report_path(paths[i], &r);
        str_printf(out, "Path %zu: %s\n", i + 1, r.path);
        if (r.count == 0) {
            str_append_cstr(out, "No messages tracked for this path.\n");
            continue;
        }
        str_printf(out,
                   "Number of messages: %llu\nMin Latency Message No: %llu\n"
                   "Min end-to-end Latency (ms): %g\nAvg end-to-end Latency (ms): %g\n"
                   "Max Latency Message No: %llu\nMax end-to-end Latency (ms): %g\n\n",
                   (unsigned long long)r.count, (unsigned long long)r.min_message, ms(r.min_ns),
                   ms(r.mean_ns), (unsigned long long)r.max_message, ms(r.max_ns));
    }
    print_sources(t, out);
}

static void print_csv(struct track_path *const *paths, size_t count, struct str *out)
{
    str_append_cstr(out, "path,messages,min_ms,mean_ms,max_ms,p50_ms,p90_ms,p99_ms,p99.9_ms,"
                         "min_message,max_message\n");
    for (size_t i = 0; i < count; i++) {
        struct nrd_path_report r;
        report_path(paths[i], &r);
        str_printf(out, "\"%s\",%llu,%g,%g,%g,%g,%g,%g,%g,%llu,%llu\n", r.path,
                   (unsigned long long)r.count, ms(r.min_ns), ms(r.mean_ns), ms(r.max_ns),
                   ms(r.p50_ns), ms(r.p90_ns), ms(r.p99_ns), ms(r.p999_ns),
                   (unsigned long long)r.min_message, (unsigned long long)r.max_message);
    }
}

struct nrd_status *track_print(const struct track *t, bool csv, struct str *out)
{
    size_t count = track_path_count(t);
    struct track_path **paths = mem_alloc((count + 1) * sizeof(struct track_path *));
    if (paths == NULL) {
        return status_no_memory();
    }
    memcpy(paths, t->paths, count * sizeof(struct track_path *));
    qsort(paths, count, sizeof(*paths), by_name);
    if (csv) {
        print_csv(paths, count, out);
    } else {
        print_text(t, paths, count, out);
    }
    mem_free(paths);
    return str_status(out);
}
