// SPDX-License-Identifier: Apache-2.0
// Where an operator stands in its file, for findings that name operators only (those of compile: ports without a flow,
// types that do not match). The file is read again: the graph itself keeps no places.
#include <string.h>

#include "cli/run.h"

// An entry of that name in a list of operators (or components), or a map by name.
static const struct nrd_value *find_in(const struct nrd_value *section, struct slice name)
{
    for (size_t i = 0; i < nrd_value_count(section); i++) {
        const struct nrd_value *entry = nrd_value_at(section, i);
        const char *key = nrd_value_kind(section) == NRD_VALUE_MAP
                              ? nrd_value_key(section, i)
                              : nrd_value_text(nrd_value_get(entry, "name"));
        if (slice_is(name, key)) {
            return entry;
        }
    }
    return NULL;
}

static const struct nrd_value *find_operator(const struct nrd_value *root, struct slice name)
{
    const struct nrd_value *found = find_in(nrd_value_get(root, "operators"), name);
    const struct nrd_value *graphs = nrd_value_get(root, "gxf_application");
    const struct nrd_value *fragments = nrd_value_get(root, "fragments");
    for (size_t i = 0; found == NULL && i < nrd_value_count(graphs); i++) {
        found = find_in(nrd_value_get(nrd_value_at(graphs, i), "components"), name);
    }
    for (size_t i = 0; found == NULL && i < nrd_value_count(fragments); i++) {
        found = find_in(nrd_value_get(nrd_value_at(fragments, i), "operators"), name);
    }
    return found;
}

// The first text in single quotes after "operator ".
static bool operator_in(struct slice line, struct slice *name)
{
    const char *at = memmem(line.ptr, line.len, "operator '", 10);
    if (at == NULL) {
        return false;
    }
    at += 10;
    const char *end = memchr(at, '\'', line.len - (size_t)(at - line.ptr));
    if (end == NULL) {
        return false;
    }
    *name = (struct slice){at, (size_t)(end - at)};
    return true;
}

void run_place_findings(const char *path, const char *text, struct str *out)
{
    struct nrd_value *root = NULL;
    struct slice rest = slice_of(text);
    struct slice line;
    status_free(nrd_value_load(path, &root));
    while (slice_cut(&rest, '\n', &line)) {
        struct slice name;
        bool placed = slice_starts(line, slice_of(path));
        const struct nrd_value *at =
            !placed && operator_in(line, &name) ? find_operator(root, name) : NULL;
        if (at != NULL) {
            str_printf(out, "%s:%d:%d: ", path, nrd_value_line(at), nrd_value_column(at));
        }
        str_append_slice(out, line);
        str_append_char(out, '\n');
    }
    nrd_value_free(root);
}
