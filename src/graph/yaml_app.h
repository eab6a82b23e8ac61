// SPDX-License-Identifier: Apache-2.0
// The loader of YAML applications, as its files share it.
//
//   yaml_app.c      the file, its includes, which form it has; the root's sections
//   yaml_section.c  what a fragment (or a subgraph) holds: resources, operators, conditions, scheduler, thread pools
//   yaml_flow.c     flows and their end points
//   yaml_seed.c     `gxf_application:`, whose operators get a source and a report each
//
// Nothing stops at the first finding: each is a line with file, line and column, and the rest is still looked at. Only the public
// interface of graphs is used. Start at nrd_app_load_yaml().
#ifndef NEREID_GRAPH_YAML_APP_H
#define NEREID_GRAPH_YAML_APP_H

#include "base/map.h"
#include "base/str.h"
#include "graph/param.h"
#include "graph/value.h"
#include "nereid/graph.h"

// The names of one fragment, or of one instance of a subgraph.
struct yaml_scope {
    const char *name; // of the fragment or the instance; "" for the first fragment
    struct nrd_fragment *fragment;
    struct map operators; // name to struct nrd_operator *
    struct map subgraphs; // name of an instance to struct nrd_subgraph *
    struct map
        failed; // names of operators with findings of their own: flows to them say nothing more
    struct map flowing; // "operator<port" and "operator>port" that a flow was given to
    const struct nrd_value *overrides; // of an instance: operator to parameters; NULL
    unsigned depth;                    // of instances in instances
};
void yaml_scope_init(struct yaml_scope *scope, const char *name, struct nrd_fragment *fragment);
void yaml_scope_fini(struct yaml_scope *scope);

struct yaml_loader {
    struct nrd_app *app;
    const struct nrd_value *options; // of the caller; NULL
    struct nrd_value *root;          // of the file, with its includes
    struct str findings;
    struct param_store store; // what the tables' texts live in
    struct yaml_scope first;
    struct map fragments; // name to struct yaml_scope *, owned
    struct map groups;    // parameter groups that operators have named
    struct map sets;      // overrides ("operator.parameter") that were used
};

// Adds a finding; takes `status`, NULL is none. With `at`, its position comes before a text that has none of its own.
void yaml_find(struct yaml_loader *l, const struct nrd_value *at, struct nrd_status *status);

// The entries of a section, a list of maps with `name:`, or a map from name to map. `name` may be "" in a list.
typedef void (*yaml_entry_fn)(struct yaml_loader *l, struct yaml_scope *scope, const char *name,
                              const struct nrd_value *entry);
void yaml_each(struct yaml_loader *l, struct yaml_scope *scope, const struct nrd_value *section,
               const char *what, yaml_entry_fn fn);
// Finds keys of a map that are not in the list (ended by NULL).
void yaml_check_keys(struct yaml_loader *l, const struct nrd_value *map, const char *what,
                     const char *const *known);
// The text of a map's key, "" when absent; a finding when it is no scalar.
const char *yaml_text(struct yaml_loader *l, const struct nrd_value *map, const char *key);
// The parameters in an entry: its `parameters:`, or all of its keys but `reserved` (ended by NULL). Returns owned; NULL: no memory.
struct nrd_value *yaml_parameters(const struct nrd_value *entry, const char *const *reserved);
// Sets the keys of `from` in `to`.
NRD_MUST_USE struct nrd_status *yaml_overlay(struct nrd_value *to, const struct nrd_value *from);

// `--set operator.parameter=value` of this operator (with its fragment's or instance's name before it), into its parameters.
NRD_MUST_USE struct nrd_status *yaml_overlay_sets(struct yaml_loader *l,
                                                  const struct yaml_scope *scope, const char *name,
                                                  struct nrd_value *params);
// Adds one operator with parameters from its group, its entry, its instance and the caller's options; NULL: findings were added.
struct nrd_operator *yaml_add_operator(struct yaml_loader *l, struct yaml_scope *scope,
                                       const char *name, const struct nrd_value *entry);
// All that a fragment's map holds; flows excepted, which come when all fragments are there.
void yaml_load_section(struct yaml_loader *l, struct yaml_scope *scope,
                       const struct nrd_value *section);
void yaml_load_scheduler(struct yaml_loader *l, struct yaml_scope *scope,
                         const struct nrd_value *scheduler);
void yaml_load_flows(struct yaml_loader *l, struct yaml_scope *scope,
                     const struct nrd_value *flows);
// An end of a flow: "operator", "operator.port", "instance.port", with "fragment." before it. False: a finding was added.
bool yaml_resolve(struct yaml_loader *l, struct yaml_scope *scope, const struct nrd_value *at,
                  struct slice text, bool output, struct nrd_operator **op, const char **port);
// The seed's form: first its operators; then, after flows that may stand beside it, sources and reports for ports without a flow.
void yaml_load_seed(struct yaml_loader *l, const struct nrd_value *graphs);
void yaml_complete_seed(struct yaml_loader *l, const struct nrd_value *graphs);

#endif
