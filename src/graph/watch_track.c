// SPDX-License-Identifier: Apache-2.0
// Flow tracking of an application: the watcher that ties the tracker (track.h) to the plan, and the public calls.
// The tracker is kept from run to run of one plan, since messages may outlive a run; the results are those of the last run.
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "graph/resource.h"
#include "graph/track.h"
#include "graph/watch.h"

struct app_track {
    struct nrd_track_options options;
    char *log_path; // what options.log_path points to
    struct track *track;
    const struct plan *plan; // that `track` was made for
    // Of each of the plan's records, in its arena: whether the time of its computes' begins (ends) is needed.
    bool *times_begin, *times_end;
};

// ---- the plan as the tracker sees it -------------------------------------------------------------------------------

static int64_t now_of(void *arg)
{
    return fragment_now(arg);
}

// "op", or "fragment.op" outside of the first fragment. Into the arena; NULL: no memory.
static const char *qualified(const struct nrd_operator *op, struct arena *arena)
{
    if (op->fragment->index == 0) {
        return op->name;
    }
    struct str text = STR_INIT;
    str_printf(&text, "%s.%s", op->fragment->name, op->name);
    const char *name = text.failed ? NULL : arena_strdup(arena, str_slice(&text));
    str_fini(&text);
    return name;
}

static bool describe(const struct nrd_compute *exec, struct arena *arena,
                     struct track_spec_operator *spec)
{
    const char **outputs = arena_calloc(arena, exec->output_count + 1, sizeof(*outputs));
    uint32_t flows_out = 0;
    uint32_t flows_in = 0;
    spec->name = qualified(exec->op, arena);
    if (outputs == NULL || spec->name == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < exec->output_count; i++) {
        outputs[i] = exec->outputs[i].port->table.name;
        flows_out += exec->outputs[i].port->is_exec ? 0 : exec->outputs[i].flow_count;
    }
    for (uint32_t i = 0; i < exec->input_count; i++) {
        flows_in += exec->inputs[i].port->is_exec ? 0 : exec->inputs[i].flow_count;
    }
    spec->input_count = exec->flow_count;
    spec->output_count = exec->output_count;
    spec->outputs = outputs;
    spec->is_source = flows_in == 0;
    spec->is_sink = flows_out == 0;
    return true;
}

// A cycle ends at the begin of a compute.
static bool has_cycles(const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->flow_count; i++) {
        if (plan->flows[i].producer->index >= plan->flows[i].consumer->index) {
            return true;
        }
    }
    return false;
}

// Whether it may compute without having received anything: then what it emits begins there.
static bool may_begin(const struct nrd_operator *op)
{
    for (uint32_t i = 0; i < op->inputs.count; i++) {
        const struct graph_port *port = op->inputs.items[i];
        if (port->condition != PORT_CONDITION_DEFAULT) {
            return true;
        }
    }
    return op->conditions.count != 0;
}

// A look at the clock costs as much as the rest of a hop: only where a path begins or ends, unless a log wants them all.
static bool choose_times(struct app_track *a, struct plan *plan,
                         const struct track_spec_operator *operators)
{
    bool all_begins = a->options.log_path != NULL || has_cycles(plan);
    a->times_begin = arena_calloc(&plan->arena, plan->exec_count + 1, sizeof(*a->times_begin));
    a->times_end = arena_calloc(&plan->arena, plan->exec_count + 1, sizeof(*a->times_end));
    if (a->times_begin == NULL || a->times_end == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < plan->exec_count; i++) {
        a->times_begin[i] = all_begins || operators[i].is_source || may_begin(plan->execs[i].op);
        a->times_end[i] = operators[i].is_sink;
    }
    return true;
}

static struct nrd_status *make_track(struct app_track *a, struct plan *plan)
{
    struct track_spec spec = {.operator_count = plan->exec_count,
                              .options = a->options,
                              .now = now_of,
                              .now_arg = plan->app->fragments.items[0]};
    // Names live as long as the plan, for which the tracker is.
    struct track_spec_operator *operators =
        arena_calloc(&plan->arena, plan->exec_count + 1, sizeof(*operators));
    if (operators == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 0; i < plan->exec_count; i++) {
        if (!describe(&plan->execs[i], &plan->arena, &operators[i])) {
            return status_no_memory();
        }
    }
    if (!choose_times(a, plan, operators)) {
        return status_no_memory();
    }
    spec.operators = operators;
    return track_create(&spec, &a->track);
}

// ---- watching ------------------------------------------------------------------------------------------------------

static struct nrd_status *begin(void *self, struct plan *plan)
{
    struct app_track *a = self;
    // A plan that was made anew may lie where the one before did: its records have no tracker yet.
    bool is_known = a->plan == plan && plan->exec_count != 0 && plan->execs[0].watch != NULL;
    if (a->track == NULL || !is_known) {
        track_destroy(a->track);
        a->track = NULL;
        NRD_TRY(make_track(a, plan));
        a->plan = plan;
    } else {
        NRD_TRY(track_restart(a->track));
    }
    for (uint32_t i = 0; i < plan->exec_count; i++) {
        plan->execs[i].watch = track_operator_at(a->track, i);
    }
    return NULL;
}

static void began(void *self, struct nrd_compute *ctx)
{
    const struct app_track *a = self;
    track_begin(ctx->watch, a->times_begin[ctx->index] ? nrd_compute_now(ctx) : 0);
}

static void received(void *self, struct nrd_compute *ctx, const struct plan_flow *flow,
                     const struct nrd_message *message, bool again, int64_t now)
{
    (void)self;
    (void)now;
    if (!flow->flow->to->is_exec) {
        track_received(ctx->watch, (size_t)(flow - ctx->flows), message->way, again);
    }
}

static void emitted(void *self, struct nrd_compute *ctx, uint32_t output,
                    struct nrd_message *message, int64_t now)
{
    (void)self;
    (void)now;
    if (ctx->outputs[output].port->is_exec || !nrd_message_is_writable(message)) {
        return; // a message that could not be copied keeps the ways it has
    }
    if (message->way_is_given) {
        message->way_is_given = false;
        return;
    }
    struct track_way *way = track_emitted(ctx->watch, output);
    track_release(message->way);
    message->way = way;
}

static void answered(void *self, struct nrd_compute *ctx, uint32_t output,
                     struct nrd_message *const *questions, uint32_t count,
                     struct nrd_message *message)
{
    (void)self;
    track_answer(ctx->watch);
    for (uint32_t i = 0; i < count && i < ctx->flow_count; i++) {
        track_received(ctx->watch, i, questions[i]->way, false);
    }
    track_release(message->way);
    message->way = track_emitted(ctx->watch, output);
    message->way_is_given = true;
}

static void ended(void *self, struct nrd_compute *ctx)
{
    const struct app_track *a = self;
    if (a->times_end[ctx->index]) {
        track_end_compute(ctx->watch, nrd_compute_now(ctx));
    }
}

static struct nrd_status *end(void *self, struct plan *plan)
{
    (void)plan;
    struct app_track *a = self;
    struct nrd_status *status = track_end(a->track);
    if (track_lost(a->track) != 0) {
        LOG_WARN(
            "flow tracking: %llu ways of messages were left out: there are more than %d paths, "
            "or more than %d ways of one message",
            (unsigned long long)track_lost(a->track), TRACK_PATHS_MAX, TRACK_WAYS_MAX);
    }
    return status;
}

static void destroy(void *self)
{
    struct app_track *a = self;
    track_destroy(a->track);
    mem_free(a->log_path);
    mem_free(a);
}

static const struct watcher_class TRACK = {
    .marks = true,
    .begin = begin,
    .began = began,
    .received = received,
    .emitted = emitted,
    .answered = answered,
    .ended = ended,
    .end = end,
    .destroy = destroy,
};

// ---- public calls --------------------------------------------------------------------------------------------------

static const struct nrd_track_options DEFAULTS = {.skip_first = 10, .skip_last = 10};

static struct nrd_status *set_options(struct app_track *a, const struct nrd_track_options *options)
{
    char *path = NULL;
    options = options == NULL ? &DEFAULTS : options;
    if (options->skip_last > TRACK_SKIP_LAST_MAX) {
        return status_new(NRD_INVALID_ARG, "flow tracking: skip_last is %llu, at most %d",
                          (unsigned long long)options->skip_last, TRACK_SKIP_LAST_MAX);
    }
    if (options->log_path != NULL) {
        path = mem_strdup(options->log_path);
        if (path == NULL) {
            return status_no_memory();
        }
    }
    mem_free(a->log_path);
    a->log_path = path;
    a->options = *options;
    a->options.log_path = path;
    return NULL;
}

struct nrd_status *nrd_app_track(struct nrd_app *app, const struct nrd_track_options *options)
{
    struct app_track *a = app->track;
    if (a != NULL) {
        NRD_TRY(set_options(a, options));
        app_invalidate(app); // the next run makes a tracker of these options
        a->plan = NULL;
        return NULL;
    }
    a = mem_calloc(1, sizeof(*a));
    if (a == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = set_options(a, options);
    if (status == NULL) {
        status = app_add_watcher(app, NULL, &TRACK, a);
    }
    if (status != NULL) {
        destroy(a);
        return status;
    }
    app->track = a;
    return NULL;
}

static struct track *track_of(const struct nrd_app *app)
{
    const struct app_track *a = app->track;
    return a == NULL ? NULL : a->track;
}

size_t nrd_app_path_count(const struct nrd_app *app)
{
    const struct track *t = track_of(app);
    return t == NULL ? 0 : track_path_count(t);
}

bool nrd_app_path_report(const struct nrd_app *app, size_t index, struct nrd_path_report *report)
{
    const struct track *t = track_of(app);
    return t != NULL && track_path_report(t, index, report);
}

struct nrd_status *nrd_app_write_tracking(const struct nrd_app *app, const char *path, bool csv)
{
    const struct track *t = track_of(app);
    if (t == NULL) {
        return status_new(NRD_UNAVAILABLE, "application '%s' has not run with flow tracking",
                          app->name);
    }
    struct str text = STR_INIT;
    struct nrd_status *status = track_print(t, csv, &text);
    if (status == NULL) {
        status = file_write(path, str_slice(&text));
    }
    str_fini(&text);
    return status;
}
