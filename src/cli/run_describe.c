// SPDX-License-Identifier: Apache-2.0
// What operators there are, and what one takes, out of their tables.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/run.h"

static int by_name(const void *a, const void *b)
{
    const struct nrd_operator_class *const *left = a;
    const struct nrd_operator_class *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

const struct nrd_operator_class **run_sorted_operators(size_t *count)
{
    size_t n = 0;
    while (nrd_operator_class_at(n) != NULL) {
        n++;
    }
    const struct nrd_operator_class **all = mem_calloc(n + 1, sizeof(*all));
    for (size_t i = 0; all != NULL && i < n; i++) {
        all[i] = nrd_operator_class_at(i);
    }
    if (all != NULL) {
        qsort(all, n, sizeof(*all), by_name);
    }
    *count = all == NULL ? 0 : n;
    return all;
}

void run_list_operators(struct str *out)
{
    size_t count;
    const struct nrd_operator_class **all = run_sorted_operators(&count);
    size_t width = 0;
    for (size_t i = 0; i < count; i++) {
        width = strlen(all[i]->name) > width ? strlen(all[i]->name) : width;
    }
    for (size_t i = 0; i < count; i++) {
        str_printf(out, "%-*s  %s\n", (int)width, all[i]->name,
                   all[i]->summary == NULL ? "" : all[i]->summary);
    }
    mem_free(all);
}

static const char *type_name(enum nrd_param_type type)
{
    static const char *const names[] = {
        [NRD_PARAM_BOOL] = "true or false",
        [NRD_PARAM_INT] = "integer",
        [NRD_PARAM_REAL] = "number",
        [NRD_PARAM_STRING] = "text",
        [NRD_PARAM_DURATION] = "duration (20ms, 1.5s, 10Hz)",
        [NRD_PARAM_BYTES] = "size (64KB, 16MB)",
        [NRD_PARAM_CHOICE] = "one of",
        [NRD_PARAM_INT_LIST] = "list of integers",
        [NRD_PARAM_REAL_LIST] = "list of numbers",
        [NRD_PARAM_STRING_LIST] = "list of texts",
        [NRD_PARAM_VALUE] = "any value",
        [NRD_PARAM_RESOURCE] = "name of a resource",
    };
    return (size_t)type < sizeof names / sizeof names[0] ? names[type] : "";
}

static void describe_param(const struct nrd_param *p, struct str *out)
{
    str_printf(out, "  %s: %s", p->name, type_name(p->type));
    if (p->type == NRD_PARAM_CHOICE) {
        for (size_t i = 0; p->choices != NULL && p->choices[i] != NULL; i++) {
            str_printf(out, "%s %s", i == 0 ? "" : ",", p->choices[i]);
        }
    } else if (p->type == NRD_PARAM_RESOURCE && p->choices != NULL) {
        str_printf(out, " (%s)", p->choices[0]);
    }
    bool counts = p->type == NRD_PARAM_INT || p->type == NRD_PARAM_REAL ||
                  p->type == NRD_PARAM_INT_LIST || p->type == NRD_PARAM_REAL_LIST;
    if (counts && p->min != p->max) { // NOLINT: both are written in the table
        str_printf(out, isinf(p->max) ? ", at least %.15g" : ", %.15g to %.15g", p->min, p->max);
    }
    if (p->unit != NULL && p->type != NRD_PARAM_DURATION) {
        str_printf(out, ", in %s", p->unit);
    }
    if (p->fallback != NULL) {
        str_printf(out, " [%s]", p->fallback);
    } else {
        str_append_cstr(out, (p->flags & NRD_PARAM_OPTIONAL) != 0 ? " [none]" : " (required)");
    }
    str_append_cstr(out, (p->flags & NRD_PARAM_DYNAMIC) != 0 ? ", may change while it runs" : "");
    str_printf(out, "\n      %s\n", p->help == NULL ? "" : p->help);
}

static void describe_ports(const char *title, const struct nrd_port *ports, struct str *out)
{
    if (ports == NULL || ports->name == NULL) {
        return;
    }
    str_printf(out, "\n%s:\n", title);
    for (const struct nrd_port *p = ports; p->name != NULL; p++) {
        str_printf(out, "  %s: %s", p->name, p->type == NULL ? "any message" : p->type);
        if (p->capacity > 1) {
            str_printf(out, ", queue of %u", p->capacity);
        }
        str_append_cstr(out, (p->flags & NRD_PORT_ANY_SIZE) != 0 ? ", any number of flows" : "");
        str_append_cstr(out, (p->flags & NRD_PORT_OPTIONAL) != 0 ? ", optional" : "");
        str_printf(out, "\n      %s\n", p->help == NULL ? "" : p->help);
    }
}

struct nrd_status *run_describe_operator(const char *name, struct str *out)
{
    const struct nrd_operator_class *table = nrd_find_operator(name);
    if (table == NULL) {
        return status_new(NRD_NOT_FOUND,
                          "there is no operator '%s' (--list-operators prints those there are)",
                          name);
    }
    str_printf(out, "%s: %s\n", table->name, table->summary == NULL ? "" : table->summary);
    describe_ports("Inputs", table->inputs, out);
    describe_ports("Outputs", table->outputs, out);
    if (table->params != NULL && table->params->name != NULL) {
        str_append_cstr(out, "\nParameters [default]:\n");
        for (const struct nrd_param *p = table->params; p->name != NULL; p++) {
            describe_param(p, out);
        }
    }
    return NULL;
}
