// SPDX-License-Identifier: Apache-2.0
// `nereid run APP.yaml`, also `holoscan run --config APP.yaml`: loads an application, checks it, draws it, runs it.
//
//   options ─▶ load ─▶ compile ─▶ [drawing] ─▶ run ◀── SIGINT, SIGTERM: stop and let arrive; the second: end at once
//              └ findings ┘ (exit 1)            └─▶ tables
//
// Start at cli_run().
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/slice.h"
#include "cli/cli.h"
#include "cli/run.h"
#include "cli/run_options.h"

// ---- signals --------------------------------------------------------------------------------------------------------

// The application that signals stop: handlers have no argument (style: the one global of this file).
static struct nrd_app *_Atomic running;
static atomic_int signals;

static void say(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

static void on_signal(int number)
{
    struct nrd_app *app = atomic_load(&running);
    if (app == NULL || atomic_fetch_add(&signals, 1) > 0) {
        _exit(128 + number);
    }
    say("\nstopping: what is in flight arrives first (once more: at once)\n");
    nrd_app_stop(app, true);
}

// --duration is over. (max_duration_ms of a scheduler ends a run where it stands; here what is in flight arrives.)
static void on_alarm(int number)
{
    struct nrd_app *app = atomic_load(&running);
    (void)number;
    if (app != NULL) {
        nrd_app_stop(app, true);
    }
}

static void catch_signals(int64_t duration_ms)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction alarm = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigemptyset(&alarm.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); // who writes finds out, and what was recorded is finished
    if (signal(SIGHUP, SIG_IGN) != SIG_IGN) { // nohup has it ignored
        sigaction(SIGHUP, &action, NULL);
    }
    sigaction(SIGALRM, &alarm, NULL);
    if (duration_ms > 0) {
        struct itimerval timer = {
            .it_value = {duration_ms / 1000, duration_ms % 1000 * 1000},
        };
        setitimer(ITIMER_REAL, &timer, NULL);
    }
}

// ---- steps ----------------------------------------------------------------------------------------------------------

// Holoscan's names of levels. False: none of them.
static bool set_log_level(const char *text)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {
        {"TRACE", NRD_LOG_DEBUG},     {"DEBUG", NRD_LOG_DEBUG},
        {"INFO", NRD_LOG_INFO},       {"WARN", NRD_LOG_WARNING},
        {"WARNING", NRD_LOG_WARNING}, {"ERROR", NRD_LOG_ERROR},
        {"CRITICAL", NRD_LOG_ERROR},  {"OFF", -1},
    };
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (slice_equal_nocase(slice_of(text), slice_of(levels[i].name))) {
            nrd_log_set_level(levels[i].level);
            return true;
        }
    }
    return false;
}

// What the file calls the application; its errors are the loader's to tell.
static void read_name(const char *path, char *name, size_t size)
{
    struct nrd_value *root = NULL;
    status_free(nrd_value_load(path, &root));
    const struct nrd_value *graph = nrd_value_at(nrd_value_get(root, "gxf_application"), 0);
    const char *text = nrd_value_text(nrd_value_get(nrd_value_get(root, "application"), "name"));
    text = text[0] == '\0' ? nrd_value_text(nrd_value_get(graph, "name")) : text;
    snprintf(name, size, "%s", text[0] == '\0' ? "application" : text);
    nrd_value_free(root);
}

// Prints findings, each with its place if it has one. Takes `status`; returns the exit status.
static int fail(const struct run_options *o, struct nrd_status *status)
{
    struct str text = STR_INIT;
    run_place_findings(o->config, status_text(status), &text);
    fputs(str_cstr(&text), stderr);
    str_fini(&text);
    status_free(status);
    return 1;
}

static struct nrd_status *report(const struct run_options *o, struct nrd_app *app, double seconds)
{
    struct str text = STR_INIT;
    if (!o->quiet) {
        run_report_operators(app, seconds, &text);
        run_report_places(app, &text);
    }
    bool by_file = !o->quiet && nrd_app_path_count(app) > 0; // its `tracking:`
    if (o->track || by_file) {
        run_report_paths(app, &text);
    }
    bool failed = fputs(str_cstr(&text), stdout) < 0;
    failed = fflush(stdout) != 0 || ferror(stdout) != 0 || failed;
    str_fini(&text);
    return failed
               ? status_new(NRD_UNAVAILABLE, "cannot write to standard output: %s", strerror(errno))
               : NULL;
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

static struct nrd_status *run_app(const struct run_options *o, struct nrd_app *app)
{
    struct run_progress *progress = NULL;
    nrd_app_time_computes(app, !o->quiet);
    if (!o->quiet && isatty(STDERR_FILENO)) {
        NRD_TRY(run_progress_start(app, &progress));
    }
    uint64_t began = clock_now_ns();
    atomic_store(&running, app);
    catch_signals(o->duration_ms);
    struct nrd_status *status = nrd_app_run(app);
    atomic_store(&running, NULL);
    double seconds = (double)(clock_now_ns() - began) * 1e-9;
    run_progress_stop(progress);
    status = first_of(status, report(o, app, seconds));
    if (o->track && o->track_csv != NULL) {
        status = first_of(status, nrd_app_write_tracking(app, o->track_csv, true));
    }
    return status;
}

// Everything up to the run.
static struct nrd_status *prepare(const struct run_options *o, struct nrd_app *app)
{
    NRD_TRY(nrd_app_load_yaml(app, o->config, o->load));
    if (o->track) {
        struct nrd_track_options track = {0};
        NRD_TRY(nrd_app_track(app, &track));
    }
    NRD_TRY(nrd_app_compile(app));
    return o->graph == NULL ? NULL : nrd_app_write_svg(app, o->graph);
}

static int run(const struct run_options *o)
{
    char name[128];
    struct nrd_app *app = NULL;
    read_name(o->config, name, sizeof name);
    struct nrd_status *status = nrd_app_create(name, &app);
    if (status == NULL) {
        status = prepare(o, app);
    }
    if (status == NULL && o->check) {
        printf("%s: nothing is wrong with it\n", o->config);
    } else if (status == NULL) {
        status = run_app(o, app);
    }
    int exit_status = status == NULL ? 0 : fail(o, status);
    nrd_app_destroy(app);
    return exit_status;
}

static int print(struct str *text, struct nrd_status *status)
{
    int exit_status = 0;
    if (status != NULL) {
        fprintf(stderr, "%s\n", status_text(status));
        status_free(status);
        exit_status = 1;
    } else {
        fputs(str_cstr(text), stdout);
    }
    str_fini(text);
    return exit_status;
}

int cli_run(int argc, char **argv)
{
    struct run_options options;
    struct str text = STR_INIT;
    struct nrd_status *status = run_options_read(argc, argv, &options);
    int exit_status = 1;
    if (status == NULL && options.log_level != NULL && !set_log_level(options.log_level)) {
        status = status_new(NRD_INVALID_ARG, "there is no log level '%s'", options.log_level);
    }
    if (status != NULL) {
        fprintf(stderr, "nereid run: %s\n", status_text(status));
        status_free(status);
        run_options_fini(&options);
        return 1;
    }
    switch (options.action) {
    case RUN_ACTION_RUN:
        exit_status = run(&options);
        break;
    case RUN_ACTION_HELP:
        run_options_usage("nereid", &text);
        exit_status = print(&text, NULL);
        break;
    case RUN_ACTION_LIST:
        run_list_operators(&text);
        exit_status = print(&text, NULL);
        break;
    case RUN_ACTION_DESCRIBE:
        exit_status = print(&text, run_describe_operator(options.describe, &text));
        break;
    case RUN_ACTION_SCHEMA:
        run_write_schema(&text);
        exit_status = print(&text, NULL);
        break;
    }
    run_options_fini(&options);
    return exit_status;
}
