// SPDX-License-Identifier: Apache-2.0
// The command line of `nereid run`, and what the environment says in its place.
#ifndef NEREID_CLI_RUN_OPTIONS_H
#define NEREID_CLI_RUN_OPTIONS_H

#include "base/status.h"
#include "base/str.h"
#include "nereid/value.h"

enum run_action {
    RUN_ACTION_RUN,
    RUN_ACTION_HELP,
    RUN_ACTION_LIST,     // --list-operators
    RUN_ACTION_DESCRIBE, // --describe
    RUN_ACTION_SCHEMA,   // --schema
};

struct run_options {
    enum run_action action;
    const char *config;   // --config, the argument, or HOLOSCAN_CONFIG_PATH
    const char *describe; // the operator
    const char *graph;    // where the drawing goes; NULL: none
    const char *track_csv;
    const char *log_level; // NULL: as it is
    int64_t duration_ms;   // 0: no limit
    bool check;
    bool track;
    bool quiet;
    struct nrd_value *load; // options of nrd_app_load_yaml(), owned
};

// Reads the arguments from argv[1] on; texts are borrowed from argv and the environment. NRD_INVALID_ARG names the argument.
// `options` is to be given to run_options_fini() in any case.
NRD_MUST_USE struct nrd_status *run_options_read(int argc, char **argv,
                                                 struct run_options *options);
void run_options_fini(struct run_options *options);
void run_options_usage(const char *program, struct str *out);

#endif
