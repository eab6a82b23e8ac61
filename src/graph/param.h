// SPDX-License-Identifier: Apache-2.0
// Parameters: a map of values becomes the fields of a state, by a table of struct nrd_param. Operators, conditions, resources
// and schedulers all have such tables, so all of them read, check, complain and are described alike.
//
// A finding reads "app.yaml:12:7: operator 'replayer' (VideoStreamReplayerOp): parameter 'frame_rate': '30x' is not a number".
// Start at param_apply().
#ifndef NEREID_GRAPH_PARAM_H
#define NEREID_GRAPH_PARAM_H

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"
#include "nereid/operator.h"

// What fields point to: texts and lists in an arena, and copies of values. Lives as long as the state.
struct param_store {
    struct arena arena;
    struct param_kept *kept;
};
void param_store_init(struct param_store *store);
void param_store_fini(struct param_store *store);

// Finds a resource of the fragment by its name; `kind` is what the table wants ("allocator"), NULL: any. Not found or of another
// kind: a status that says so (without the parameter's name, which is added). The result is borrowed.
typedef struct nrd_status *(*param_resource_fn)(void *arg, const char *name, const char *kind,
                                                struct nrd_resource **resource);

struct param_scope {
    const char *what; // whose they are, for messages: "operator 'replayer' (VideoStreamReplayerOp)"
    struct param_store *store;
    param_resource_fn resource; // NULL: there are none
    void *resource_arg;
};

// Sets every field of the table in `state`: from `map` (NULL or null: nothing given), else from the fallback, else (optional) left
// as it is. A null value counts as not given. Unknown keys, missing required ones, wrong types, texts, ranges and choices are
// NRD_INVALID_ARG; all findings are in the text, one a line. `state` may be half set then. Borrows `map`. Thread: owner.
NRD_MUST_USE struct nrd_status *param_apply(const struct param_scope *scope,
                                            const struct nrd_param *table,
                                            const struct nrd_value *map, void *state);

// Converts one value into `field`, which has the parameter's C type: for setting one while the graph runs, into a scratch field that is
// copied before the next compute (the types that may be dynamic are scalars of at most 8 bytes). Thread: owner of the store.
NRD_MUST_USE struct nrd_status *param_convert(const struct param_scope *scope,
                                              const struct nrd_param *param,
                                              const struct nrd_value *value, void *field);
// Bytes of the parameter's C type.
size_t param_size(enum nrd_param_type type);
// By name; NULL: none. `table` may be NULL.
const struct nrd_param *param_find(const struct nrd_param *table, const char *name);
// NRD_NOT_FOUND "WHAT: there is no parameter 'x' (did you mean 'y'?)"; NRD_INVALID_ARG when it is not dynamic and `running`.
NRD_MUST_USE struct nrd_status *param_find_settable(const struct param_scope *scope,
                                                    const struct nrd_param *table, const char *name,
                                                    bool running, const struct nrd_param **param);

// What people read of a type: "integer", "duration", "list of texts".
const char *param_type_name(enum nrd_param_type type);

// Durations and sizes as texts, also for others (command lines). False when `text` is neither a number nor a number with a unit.
// A bare number counts in `unit` ("ns", "us", "ms", "s", "min"; NULL: ns).
bool param_read_duration(const char *text, const char *unit, int64_t *ns);
bool param_read_bytes(const char *text, uint64_t *bytes);

#endif
