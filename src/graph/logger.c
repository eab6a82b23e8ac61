// SPDX-License-Identifier: Apache-2.0
// Data loggers: adding them, their parameters, and which ports they look at.
// Patterns are looked for in "op.port" ("op.port:1" for the second flow of an any-size input, with "fragment." before it outside
// of the first one). They are POSIX extended regular expressions, and \d is taken for a digit. A deny pattern that is found
// wins; then, if there are allow patterns, one of them must be.
#include "graph/logger.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "graph/nearest.h"

#define OPTION(field) offsetof(struct logger_options, field)
#define BASIC_PARAMS                                                                               \
    {.name = "log_inputs",                                                                         \
     .type = NRD_PARAM_BOOL,                                                                       \
     .offset = OPTION(log_inputs),                                                                 \
     .fallback = "true",                                                                           \
     .help = "Log what operators receive."},                                                       \
        {.name = "log_outputs",                                                                    \
         .type = NRD_PARAM_BOOL,                                                                   \
         .offset = OPTION(log_outputs),                                                            \
         .fallback = "true",                                                                       \
         .help = "Log what operators emit."},                                                      \
        {.name = "log_metadata",                                                                   \
         .type = NRD_PARAM_BOOL,                                                                   \
         .offset = OPTION(log_metadata),                                                           \
         .fallback = "true",                                                                       \
         .help = "Log metadata too."},                                                             \
        {.name = "log_tensor_data_content",                                                        \
         .type = NRD_PARAM_BOOL,                                                                   \
         .offset = OPTION(log_tensor_data_content),                                                \
         .fallback = "true",                                                                       \
         .help = "Log elements of tensors too, not only shapes and types."},                       \
        {.name = "allowlist_patterns",                                                             \
         .type = NRD_PARAM_STRING_LIST,                                                            \
         .offset = OPTION(allow),                                                                  \
         .fallback = "[]",                                                                         \
         .help = "Log only ports in whose name one of these is found."},                           \
        {.name = "denylist_patterns",                                                              \
         .type = NRD_PARAM_STRING_LIST,                                                            \
         .offset = OPTION(deny),                                                                   \
         .fallback = "[]",                                                                         \
         .help = "Do not log ports in whose name one of these is found."},                         \
        {.name = "max_elements",                                                                   \
         .type = NRD_PARAM_INT,                                                                    \
         .offset = OPTION(max_elements),                                                           \
         .fallback = "10",                                                                         \
         .min = 0,                                                                                 \
         .max = 1 << 20,                                                                           \
         .help = "Elements of a tensor to print."},                                                \
        {.name = "max_metadata_items",                                                             \
         .type = NRD_PARAM_INT,                                                                    \
         .offset = OPTION(max_metadata_items),                                                     \
         .fallback = "10",                                                                         \
         .min = 0,                                                                                 \
         .max = 1 << 20,                                                                           \
         .help = "Entries of metadata to print; 0: all."},                                         \
        {.name = "use_scheduler_clock",                                                            \
         .type = NRD_PARAM_BOOL,                                                                   \
         .offset = OPTION(use_scheduler_clock),                                                    \
         .fallback = "true",                                                                       \
         .help = "Print the graph's time; else the time since 1970."},                             \
    {                                                                                              \
        .name = "clock", .type = NRD_PARAM_RESOURCE, .flags = NRD_PARAM_OPTIONAL,                  \
        .offset = OPTION(clock), .choices = CLOCK, .help = "Print this clock's time instead."      \
    }

static const char *const CLOCK[] = {"clock", NULL};
static const char *const POLICIES[] = {"reject", "raise", NULL};

const struct nrd_param logger_basic_params[] = {BASIC_PARAMS, {0}};
const struct nrd_param logger_async_params[] = {
    BASIC_PARAMS,
    {.name = "max_queue_size",
     .type = NRD_PARAM_INT,
     .offset = OPTION(max_queue_size),
     .fallback = "50000",
     .min = 1,
     .max = 1e9,
     .help = "Messages that may wait to be logged."},
    {.name = "worker_sleep_time",
     .type = NRD_PARAM_DURATION,
     .offset = OPTION(worker_sleep_time),
     .fallback = "50000",
     .unit = "ns",
     .help = "Taken; the worker is woken and does not poll."},
    {.name = "queue_policy",
     .type = NRD_PARAM_CHOICE,
     .offset = OPTION(queue_policy),
     .fallback = "reject",
     .choices = POLICIES,
     .help = "When the queue is full: reject drops and counts, raise also logs an error."},
    {.name = "large_data_max_queue_size",
     .type = NRD_PARAM_INT,
     .offset = OPTION(large_data_max_queue_size),
     .fallback = "1000",
     .min = 1,
     .max = 1e9,
     .help = "The same of messages whose elements are logged."},
    {.name = "large_data_worker_sleep_time",
     .type = NRD_PARAM_DURATION,
     .offset = OPTION(large_data_worker_sleep_time),
     .fallback = "50000",
     .unit = "ns",
     .help = "Taken; the worker is woken and does not poll."},
    {.name = "large_data_queue_policy",
     .type = NRD_PARAM_CHOICE,
     .offset = OPTION(large_data_queue_policy),
     .fallback = "reject",
     .choices = POLICIES,
     .help = "As queue_policy; what does not fit is logged without its elements."},
    {.name = "enable_large_data_queue",
     .type = NRD_PARAM_BOOL,
     .offset = OPTION(enable_large_data_queue),
     .fallback = "true",
     .help = "Log elements of tensors, in a thread of their own."},
    {.name = "shutdown_wait_period_ms",
     .type = NRD_PARAM_INT,
     .offset = OPTION(shutdown_wait_period_ms),
     .fallback = "-1",
     .min = -1,
     .max = 1e9,
     .unit = "ms",
     .help = "How long the end of a run waits for lines; -1: for all of them."},
    {0},
};

// ---- patterns ------------------------------------------------------------------------------------------------------

// "(a)|(b)", with \d written out.
static void join_patterns(const struct nrd_string_list *patterns, struct str *out)
{
    for (size_t i = 0; i < patterns->count; i++) {
        str_append_cstr(out, i == 0 ? "(" : "|(");
        for (const char *at = patterns->items[i]; *at != '\0'; at++) {
            if (at[0] == '\\' && (at[1] == 'd' || at[1] == 'D')) {
                str_append_cstr(out, *++at == 'd' ? "[0-9]" : "[^0-9]");
            } else {
                str_append_char(out, *at);
                if (*at == '\\' && at[1] != '\0') {
                    str_append_char(out, *++at);
                }
            }
        }
        str_append_char(out, ')');
    }
}

static struct nrd_status *compile(const struct logger *l, const char *what,
                                  const struct nrd_string_list *patterns, regex_t *regex, bool *has)
{
    if (patterns->count == 0) {
        return NULL;
    }
    struct str text = STR_INIT;
    join_patterns(patterns, &text);
    struct nrd_status *status = str_status(&text);
    if (status == NULL) {
        int code = regcomp(regex, str_cstr(&text), REG_EXTENDED | REG_NOSUB);
        char reason[128];
        *has = code == 0;
        if (code != 0) {
            regerror(code, regex, reason, sizeof(reason));
            status = status_new(NRD_INVALID_ARG, "%s: %s: '%s': %s", l->name, what, str_cstr(&text),
                                reason);
        }
    }
    str_fini(&text);
    return status;
}

struct nrd_status *logger_init(struct logger *l, struct nrd_fragment *f, const char *name,
                               const struct nrd_param *table, const struct nrd_value *params)
{
    l->name = name;
    param_store_init(&l->store);
    arena_init(&l->arena, 0);
    struct str what = STR_INIT;
    str_printf(&what, "data logger (%s)", name);
    struct param_scope scope = {.what = str_cstr(&what),
                                .store = &l->store,
                                .resource = fragment_resolve_resource,
                                .resource_arg = f};
    struct nrd_status *status = param_apply(&scope, table, params, &l->options);
    if (status == NULL) {
        status = compile(l, "allowlist_patterns", &l->options.allow, &l->allow, &l->has_allow);
    }
    if (status == NULL) {
        status = compile(l, "denylist_patterns", &l->options.deny, &l->deny, &l->has_deny);
    }
    if (status != NULL) {
        logger_fini(l);
    }
    str_fini(&what);
    return status;
}

void logger_fini(struct logger *l)
{
    if (l->has_allow) {
        regfree(&l->allow);
    }
    if (l->has_deny) {
        regfree(&l->deny);
    }
    arena_fini(&l->arena);
    param_store_fini(&l->store);
}

// ---- ports ---------------------------------------------------------------------------------------------------------

// Sets `*id` to the port's name when it is logged.
static struct nrd_status *decide(struct logger *l, const struct graph_port *port, int64_t number,
                                 const char **id)
{
    if (port->is_exec || !(port->is_output ? l->options.log_outputs : l->options.log_inputs)) {
        return NULL;
    }
    const struct nrd_fragment *f = port->op->fragment;
    struct str text = STR_INIT;
    str_printf(&text, "%s%s%s.%s", f->index == 0 ? "" : f->name, f->index == 0 ? "" : ".",
               port->op->name, port->table.name);
    if (number >= 0) {
        str_printf(&text, ":%lld", (long long)number);
    }
    struct nrd_status *status = str_status(&text);
    const char *name = str_cstr(&text);
    if (status == NULL && (!l->has_deny || regexec(&l->deny, name, 0, NULL, 0) != 0) &&
        (!l->has_allow || regexec(&l->allow, name, 0, NULL, 0) == 0)) {
        *id = arena_strdup(&l->arena, slice_of(name));
        status = *id == NULL ? status_no_memory() : NULL;
    }
    str_fini(&text);
    return status;
}

struct nrd_status *logger_prepare(struct logger *l, const struct plan *plan)
{
    size_t outputs = 0;
    for (uint32_t i = 0; i < plan->exec_count; i++) {
        outputs += plan->execs[i].output_count;
    }
    arena_reset(&l->arena);
    l->flow_count = plan->flow_count;
    l->output_count = outputs;
    l->ids = arena_calloc(&l->arena, plan->flow_count + outputs + 1, sizeof(*l->ids));
    l->first_output = arena_calloc(&l->arena, plan->exec_count + 1, sizeof(*l->first_output));
    if (l->ids == NULL || l->first_output == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 0; i < plan->flow_count; i++) {
        const struct plan_flow *flow = &plan->flows[i];
        bool any_size = (flow->flow->to->table.flags & NRD_PORT_ANY_SIZE) != 0;
        NRD_TRY(decide(l, flow->flow->to, any_size ? (int64_t)flow->number : -1, &l->ids[i]));
    }
    size_t at = plan->flow_count;
    for (uint32_t i = 0; i < plan->exec_count; i++) {
        const struct nrd_compute *exec = &plan->execs[i];
        l->first_output[i] = at;
        for (uint32_t k = 0; k < exec->output_count; k++) {
            NRD_TRY(decide(l, exec->outputs[k].port, -1, &l->ids[at++]));
        }
    }
    return NULL;
}

const char *logger_input_id(const struct logger *l, const struct nrd_compute *ctx,
                            const struct plan_flow *flow)
{
    return l->ids[flow - ctx->plan->flows];
}

const char *logger_output_id(const struct logger *l, const struct nrd_compute *ctx, uint32_t output)
{
    return l->ids[l->first_output[ctx->index] + output];
}

int64_t logger_time(const struct logger *l, int64_t now)
{
    return l->options.clock != NULL         ? nrd_clock_now(l->options.clock)
           : l->options.use_scheduler_clock ? now
                                            : (int64_t)clock_wall_ns();
}

// ---- loggers of the caller's ---------------------------------------------------------------------------------------

struct user_logger {
    const struct nrd_logger_class *table;
    void *self;
};

static void user_received(void *self, struct nrd_compute *ctx, const struct plan_flow *flow,
                          const struct nrd_message *message, bool again, int64_t now)
{
    (void)again;
    struct user_logger *u = self;
    u->table->logged(u->self, ctx->op, flow->flow->to->table.name, false, message, now);
}

static void user_emitted(void *self, struct nrd_compute *ctx, uint32_t output,
                         struct nrd_message *message, int64_t now)
{
    struct user_logger *u = self;
    u->table->logged(u->self, ctx->op, ctx->outputs[output].port->table.name, true, message, now);
}

static void user_destroy(void *self)
{
    mem_free(self);
}

static const struct watcher_class USER = {
    .hop_times = true, .received = user_received, .emitted = user_emitted, .destroy = user_destroy};

struct nrd_status *nrd_app_add_logger(struct nrd_app *app, const struct nrd_logger_class *table,
                                      void *self)
{
    if (table == NULL || table->logged == NULL) {
        return status_new(NRD_INVALID_ARG, "data logger '%s' has no function 'logged'",
                          table == NULL || table->name == NULL ? "" : table->name);
    }
    struct user_logger *u = mem_calloc(1, sizeof(*u));
    if (u == NULL) {
        return status_no_memory();
    }
    u->table = table;
    u->self = self;
    struct nrd_status *status = app_add_watcher(app, NULL, &USER, u);
    if (status != NULL) {
        mem_free(u);
    }
    return status;
}

struct nrd_status *nrd_add_data_logger(struct nrd_fragment *fragment, const char *type,
                                       const struct nrd_value *params)
{
    static const struct {
        const char *type;
        struct nrd_status *(*create)(struct nrd_fragment *f, const struct nrd_value *params);
    } TYPES[] = {{"BasicConsoleLogger", logger_console_create},
                 {"GXFConsoleLogger", logger_console_create},
                 {"AsyncConsoleLogger", logger_async_create}};
    struct nearest nearest;
    char hint[128];
    if (strncmp(type, "holoscan::", 10) == 0) {
        type += 10;
    }
    nearest_init(&nearest, type);
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(*TYPES); i++) {
        if (strcmp(type, TYPES[i].type) == 0) {
            return TYPES[i].create(fragment, params);
        }
        nearest_offer(&nearest, TYPES[i].type);
    }
    return status_new(NRD_NOT_FOUND, "there is no data logger '%s'%s", type,
                      nearest_hint(&nearest, hint, sizeof(hint)));
}
