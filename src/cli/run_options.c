// SPDX-License-Identifier: Apache-2.0
// One table of options; a row is a name, its argument, its help and the function that takes it.
#include "cli/run_options.h"

#include <stdlib.h>
#include <string.h>

#include "base/slice.h"

struct row {
    const char *name;
    const char *argument; // NULL: none; "[X]": may be left out, given as --name=X
    const char *help;
    struct nrd_status *(*take)(struct run_options *o, const char *argument);
};

// ---- what each does -------------------------------------------------------------------------------------------------

static struct nrd_status *take_config(struct run_options *o, const char *argument)
{
    if (o->config != NULL) {
        return status_new(NRD_INVALID_ARG, "two applications are named: '%s' and '%s'", o->config,
                          argument);
    }
    o->config = argument;
    return NULL;
}

static struct nrd_status *take_source(struct run_options *o, const char *argument)
{
    return nrd_value_set(o->load, "source", nrd_value_string(argument));
}

static struct nrd_status *take_check(struct run_options *o, const char *argument)
{
    (void)argument;
    o->check = true;
    return NULL;
}

static struct nrd_status *take_graph(struct run_options *o, const char *argument)
{
    o->graph = argument;
    return NULL;
}

static struct nrd_status *take_list(struct run_options *o, const char *argument)
{
    (void)argument;
    o->action = RUN_ACTION_LIST;
    return NULL;
}

static struct nrd_status *take_describe(struct run_options *o, const char *argument)
{
    o->action = RUN_ACTION_DESCRIBE;
    o->describe = argument;
    return NULL;
}

static struct nrd_status *take_schema(struct run_options *o, const char *argument)
{
    (void)argument;
    o->action = RUN_ACTION_SCHEMA;
    return NULL;
}

static struct nrd_status *take_help(struct run_options *o, const char *argument)
{
    (void)argument;
    o->action = RUN_ACTION_HELP;
    return NULL;
}

// Sets a key of a map within the options, making the map first.
static struct nrd_status *set_in(struct run_options *o, const char *map, const char *key,
                                 struct nrd_value *value)
{
    const struct nrd_value *old = nrd_value_get(o->load, map);
    struct nrd_value *copy = old == NULL ? nrd_value_map() : nrd_value_copy(old);
    struct nrd_status *status = copy == NULL ? status_no_memory() : nrd_value_set(copy, key, value);
    if (status != NULL) {
        nrd_value_free(copy);
        return status;
    }
    return nrd_value_set(o->load, map, copy);
}

// OPERATOR.PARAMETER=VALUE; the value is YAML.
static struct nrd_status *take_set(struct run_options *o, const char *argument)
{
    const char *equals = strchr(argument, '=');
    char key[256];
    struct nrd_value *value = NULL;
    if (equals == NULL || memchr(argument, '.', (size_t)(equals - argument)) == NULL ||
        (size_t)(equals - argument) >= sizeof key) {
        return status_new(NRD_INVALID_ARG, "--set wants OPERATOR.PARAMETER=VALUE, not '%s'",
                          argument);
    }
    memcpy(key, argument, (size_t)(equals - argument));
    key[equals - argument] = '\0';
    NRD_TRY(nrd_value_parse(equals + 1, strlen(equals + 1), "--set", &value));
    return set_in(o, "set", key, value);
}

static struct nrd_status *take_scheduler(struct run_options *o, const char *argument)
{
    return set_in(o, "scheduler", "type", nrd_value_string(argument));
}

static struct nrd_status *take_workers(struct run_options *o, const char *argument)
{
    uint64_t count;
    if (!slice_to_u64(slice_of(argument), &count) || count < 1 || count > 1024) {
        return status_new(NRD_INVALID_ARG, "--workers wants a number from 1 to 1024, not '%s'",
                          argument);
    }
    return set_in(o, "scheduler", "worker_thread_number", nrd_value_int((int64_t)count));
}

// Seconds, or a number with ms, s, m or h after it.
static struct nrd_status *take_duration(struct run_options *o, const char *argument)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ms", 1}, {"min", 60e3}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"", 1e3}};
    struct slice text = slice_of(argument);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        struct slice unit = slice_of(units[i].unit);
        double number;
        if (slice_ends(text, unit) &&
            slice_to_f64(slice_make(text.ptr, text.len - unit.len), &number) && number > 0 &&
            number * units[i].ms < 1e15) {
            double ms = number * units[i].ms;
            o->duration_ms = ms < 1 ? 1 : (int64_t)ms;
            return NULL;
        }
    }
    return status_new(NRD_INVALID_ARG, "--duration wants seconds (or 500ms, 2m, 1h), not '%s'",
                      argument);
}

static struct nrd_status *take_track(struct run_options *o, const char *argument)
{
    o->track = true;
    o->track_csv = argument;
    return NULL;
}

static struct nrd_status *take_log_level(struct run_options *o, const char *argument)
{
    o->log_level = argument;
    return NULL;
}

static struct nrd_status *take_quiet(struct run_options *o, const char *argument)
{
    (void)argument;
    o->quiet = true;
    return NULL;
}

static const struct row rows[] = {
    {"config", "FILE",
     "The application; also as the only argument. HOLOSCAN_CONFIG_PATH when neither is given.",
     take_config},
    {"source", "PATH|camera|pattern",
     "What feeds an application of the form 'gxf_application': a picture, a directory of them, a "
     "video, a recording, a camera (also /dev/videoN), or a moving pattern. HOLOSCAN_INPUT_PATH "
     "when not given.",
     take_source},
    {"check", NULL,
     "Do not run: say all that is wrong with the application, with file, line and column.",
     take_check},
    {"graph", "FILE", "Draw the graph into an SVG file, before it is run (with --check: only).",
     take_graph},
    {"list-operators", NULL, "Print the operators that there are, with a sentence each.",
     take_list},
    {"describe", "OPERATOR",
     "Print an operator's ports, and its parameters with their types, defaults, units and ranges.",
     take_describe},
    {"schema", NULL, "Print the JSON schema of applications, for editors.", take_schema},
    {"set", "OPERATOR.PARAMETER=VALUE",
     "Set a parameter, whatever the file says; may be given again.", take_set},
    {"scheduler", "greedy|event|multi-thread", "The scheduler, whatever the file says.",
     take_scheduler},
    {"workers", "N", "Threads of the scheduler (the event scheduler unless one is named).",
     take_workers},
    {"duration", "SECONDS", "Stop after this long; also 500ms, 2m, 1h.", take_duration},
    {"track", "[FILE]",
     "Follow each message and print the latency of each path; with =FILE also as CSV.", take_track},
    {"log-level", "LEVEL",
     "TRACE, DEBUG, INFO, WARN, ERROR or OFF; HOLOSCAN_LOG_LEVEL when not given.", take_log_level},
    {"quiet", NULL, "No progress line and no table at the end.", take_quiet},
    {"help", NULL, "Print this.", take_help},
};

// ---- reading --------------------------------------------------------------------------------------------------------

static const struct row *find_row(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strlen(rows[i].name) == length && strncmp(rows[i].name, name, length) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

// One option; `*i` goes on to its argument.
static struct nrd_status *read_option(struct run_options *o, int argc, char **argv, int *i)
{
    const char *text = strcmp(argv[*i], "-h") == 0 ? "help" : argv[*i] + 2;
    const char *equals = strchr(text, '=');
    const struct row *row = find_row(text, equals == NULL ? strlen(text) : (size_t)(equals - text));
    if (row == NULL) {
        return status_new(NRD_INVALID_ARG, "there is no option '%s'", argv[*i]);
    }
    const char *argument = equals == NULL ? NULL : equals + 1;
    if (row->argument == NULL && argument != NULL) {
        return status_new(NRD_INVALID_ARG, "--%s takes no argument", row->name);
    }
    if (row->argument != NULL && row->argument[0] != '[' && argument == NULL) {
        if (*i + 1 >= argc) {
            return status_new(NRD_INVALID_ARG, "--%s wants %s", row->name, row->argument);
        }
        argument = argv[++*i];
    }
    return row->take(o, argument);
}

struct nrd_status *run_options_read(int argc, char **argv, struct run_options *options)
{
    *options = (struct run_options){.load = nrd_value_map()};
    if (options->load == NULL) {
        return status_no_memory();
    }
    for (int i = 1; i < argc; i++) {
        bool is_option = (argv[i][0] == '-' && argv[i][1] == '-') || strcmp(argv[i], "-h") == 0;
        NRD_TRY(is_option ? read_option(options, argc, argv, &i) : take_config(options, argv[i]));
    }
    if (options->config == NULL) {
        options->config = getenv("HOLOSCAN_CONFIG_PATH");
    }
    if (options->log_level == NULL) {
        options->log_level = getenv("HOLOSCAN_LOG_LEVEL");
    }
    if (options->config == NULL && options->action == RUN_ACTION_RUN) {
        return status_new(NRD_INVALID_ARG, "no application is named (run --help says how)");
    }
    return NULL;
}

void run_options_fini(struct run_options *options)
{
    nrd_value_free(options->load);
    options->load = NULL;
}

// ---- usage ----------------------------------------------------------------------------------------------------------

static void append_wrapped(struct str *out, const char *text)
{
    enum { INDENT = 6, WIDTH = 100 };
    size_t column = 0;
    struct slice rest = slice_of(text);
    struct slice word;
    while (slice_cut(&rest, ' ', &word)) {
        if (column == 0 || column + 1 + word.len > WIDTH) {
            str_printf(out, "%s%*s", column == 0 ? "" : "\n", INDENT, "");
            column = INDENT;
        } else {
            str_append_char(out, ' ');
            column++;
        }
        str_append_slice(out, word);
        column += word.len;
    }
    str_append_char(out, '\n');
}

void run_options_usage(const char *program, struct str *out)
{
    str_printf(out,
               "Usage: %s run [options] APP.yaml\n\nRuns a streaming graph: operators, and the "
               "flows between them, as docs/graphs.md has it.\n\nOptions:\n",
               program);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        str_printf(out, "  --%s", row->name);
        if (row->argument != NULL && row->argument[0] == '[') {
            str_printf(out, "[=%.*s]", (int)strlen(row->argument) - 2, row->argument + 1);
        } else if (row->argument != NULL) {
            str_printf(out, " %s", row->argument);
        }
        str_append_char(out, '\n');
        append_wrapped(out, row->help);
    }
    str_append_cstr(out, "\nCtrl-C stops the sources and lets what is in flight arrive; a second "
                         "one ends at once.\n");
}
