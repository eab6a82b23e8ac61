// SPDX-License-Identifier: Apache-2.0
// The parts of `nereid run`: run.c runs, the others print.
#ifndef NEREID_CLI_RUN_H
#define NEREID_CLI_RUN_H

#include "base/status.h"
#include "base/str.h"
#include "nereid/graph.h"

// run_describe.c: what operators there are and what they take.
// Those there are, by name; the list is owned (mem_free). NULL: no memory.
const struct nrd_operator_class **run_sorted_operators(size_t *count);
void run_list_operators(struct str *out);
// NRD_NOT_FOUND names what is near.
NRD_MUST_USE struct nrd_status *run_describe_operator(const char *name, struct str *out);
// run_schema.c: the JSON schema of the full form, from the operators' tables.
void run_write_schema(struct str *out);

// run_report.c. A line on the terminal that is written over, twice a second, by a thread of its own; and what is said at the end.
struct run_progress;
NRD_MUST_USE struct nrd_status *run_progress_start(struct nrd_app *app,
                                                   struct run_progress **progress);
void run_progress_stop(struct run_progress *progress); // wipes the line; frees; NULL is fine
void run_report_operators(struct nrd_app *app, double seconds, struct str *out);
void run_report_places(struct nrd_app *app,
                       struct str *out); // of operators that say where they work; else nothing
void run_report_paths(struct nrd_app *app, struct str *out);

// run_place.c: findings of compile name operators, not places: puts "file:line:column: " before the lines of `text` whose operator
// is in the file. Appends to `out`.
void run_place_findings(const char *path, const char *text, struct str *out);

#endif
