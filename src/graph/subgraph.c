// SPDX-License-Identifier: Apache-2.0
// Subgraphs: a function that composes part of a graph, used as often as needed. An instance leaves nothing behind in the plan: its
// operators are the fragment's, under "INSTANCE_name", and the ports it exposes are names for ports of theirs.
//
// Instances nest: what is composed within "outer" by an instance "inner" is called "outer_inner_name".
#include <string.h>

#include "graph/graph_private.h"
#include "graph/nearest.h"

struct subgraph_port {
    char *name;
    struct nrd_operator *op;
    const char *port; // "": its flow of control
    bool is_output;
};
struct nrd_subgraph {
    struct nrd_fragment *fragment;
    char *name;              // with those around it: "outer_inner"
    struct graph_list ports; // struct subgraph_port
};

static struct nrd_status *make_name(struct nrd_fragment *f, const char *instance, char **name)
{
    if (instance == NULL || instance[0] == '\0') {
        return status_new(NRD_INVALID_ARG, "a subgraph has no instance name");
    }
    if (strpbrk(instance, "/:.") != NULL) {
        return status_new(NRD_INVALID_ARG,
                          "subgraph '%s': a name may not have '.', ':' or '/' in it", instance);
    }
    struct str text = STR_INIT;
    str_printf(&text, "%s%s%s", f->prefix == NULL ? "" : f->prefix, f->prefix == NULL ? "" : "_",
               instance);
    *name = text.failed ? NULL : arena_strdup(&f->app->arena, str_slice(&text));
    str_fini(&text);
    if (*name == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 0; i < f->subgraphs.count; i++) {
        const struct nrd_subgraph *other = f->subgraphs.items[i];
        if (strcmp(other->name, *name) == 0) {
            return status_new(NRD_ALREADY_EXISTS, "the fragment already has a subgraph '%s'",
                              *name);
        }
    }
    return NULL;
}

struct nrd_status *nrd_add_subgraph(struct nrd_fragment *fragment, const char *instance,
                                    nrd_compose_fn compose, void *arg,
                                    struct nrd_subgraph **subgraph)
{
    struct nrd_subgraph *s = arena_calloc(&fragment->app->arena, 1, sizeof(*s));
    if (s == NULL) {
        return status_no_memory();
    }
    s->fragment = fragment;
    NRD_TRY(make_name(fragment, instance, &s->name));
    if (!graph_list_add(fragment->app, &fragment->subgraphs, s)) {
        return status_no_memory();
    }
    const char *around = fragment->prefix;
    fragment->prefix = s->name;
    struct nrd_status *status = compose(s, fragment, arg);
    fragment->prefix = around;
    if (status != NULL) {
        return status_wrap(status, "subgraph '%s': ", s->name);
    }
    if (subgraph != NULL) {
        *subgraph = s;
    }
    return NULL;
}

// ---- exposed ports -------------------------------------------------------------------------------------------------

static bool has_data_ports(const struct nrd_operator *op, bool output)
{
    const struct graph_list *ports = output ? &op->outputs : &op->inputs;
    for (uint32_t i = 0; i < ports->count; i++) {
        if (!((const struct graph_port *)ports->items[i])->is_exec) {
            return true;
        }
    }
    return false;
}

static struct nrd_status *expose(struct nrd_subgraph *s, const char *name, struct nrd_operator *op,
                                 const char *port, bool output)
{
    struct nrd_app *app = s->fragment->app;
    const char *kind = output ? "output" : "input";
    if (name == NULL || name[0] == '\0' || strpbrk(name, "/:.") != NULL) {
        return status_new(NRD_INVALID_ARG, "subgraph '%s': '%s' is no name for an exposed %s",
                          s->name, name == NULL ? "" : name, kind);
    }
    if (op->fragment != s->fragment) {
        return status_new(NRD_INVALID_ARG,
                          "subgraph '%s': %s '%s': operator '%s' is of another fragment", s->name,
                          kind, name, op->name);
    }
    for (uint32_t i = 0; i < s->ports.count; i++) {
        const struct subgraph_port *other = s->ports.items[i];
        if (strcmp(other->name, name) == 0) {
            return status_new(NRD_ALREADY_EXISTS, "subgraph '%s' already exposes a port '%s'",
                              s->name, name);
        }
    }
    const char *inner = "";
    if ((port != NULL && port[0] != '\0') || has_data_ports(op, output)) {
        struct graph_port *found = NULL;
        struct nrd_status *status = operator_find_port(op, port, output, &found);
        if (status != NULL) {
            return status_wrap(status, "subgraph '%s': %s '%s': ", s->name, kind, name);
        }
        inner = found->table.name;
    }
    struct subgraph_port *p = arena_calloc(&app->arena, 1, sizeof(*p));
    char *copy = arena_strdup(&app->arena, slice_of(name));
    if (p == NULL || copy == NULL) {
        return status_no_memory();
    }
    *p = (struct subgraph_port){.name = copy, .op = op, .port = inner, .is_output = output};
    return graph_list_add(app, &s->ports, p) ? NULL : status_no_memory();
}

struct nrd_status *nrd_subgraph_expose_input(struct nrd_subgraph *subgraph, const char *name,
                                             struct nrd_operator *op, const char *port)
{
    return expose(subgraph, name, op, port, false);
}

struct nrd_status *nrd_subgraph_expose_output(struct nrd_subgraph *subgraph, const char *name,
                                              struct nrd_operator *op, const char *port)
{
    return expose(subgraph, name, op, port, true);
}

struct nrd_status *nrd_subgraph_port(struct nrd_subgraph *subgraph, const char *name,
                                     struct nrd_operator **op, const char **port)
{
    struct nearest nearest;
    char hint[128];
    struct str list = STR_INIT;
    nearest_init(&nearest, name);
    for (uint32_t i = 0; i < subgraph->ports.count; i++) {
        const struct subgraph_port *p = subgraph->ports.items[i];
        if (strcmp(p->name, name) == 0) {
            *op = p->op;
            *port = p->port;
            str_fini(&list);
            return NULL;
        }
        nearest_offer(&nearest, p->name);
        str_printf(&list, "%s%s '%s'", list.len == 0 ? "" : ", ", p->is_output ? "output" : "input",
                   p->name);
    }
    struct nrd_status *status =
        list.len == 0 ? status_new(NRD_NOT_FOUND, "subgraph '%s' exposes no ports", subgraph->name)
                      : status_new(NRD_NOT_FOUND, "subgraph '%s' exposes no port '%s', it has %s%s",
                                   subgraph->name, name, str_cstr(&list),
                                   nearest_hint(&nearest, hint, sizeof(hint)));
    str_fini(&list);
    return status;
}
