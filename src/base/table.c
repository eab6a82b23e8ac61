// SPDX-License-Identifier: Apache-2.0
// Table: cells kept as text, laid out when printed.
//
// A column is as wide as its longest line, up to its share of 500 columns: what is shorter than its even share leaves
// the rest to the wider ones, and what is still too long is cut into several lines.
#include "base/log.h"

#include "base/mem.h"
#include "base/str.h"

enum { TABLE_WIDTH = 500 };

struct table {
    unsigned columns;
    bool failed;
    size_t count;
    size_t cap;
    char **cells;
};

struct table *table_create(unsigned columns)
{
    struct table *t = mem_calloc(1, sizeof(*t));
    if (t != NULL) {
        t->columns = columns == 0 ? 1 : columns;
    }
    return t;
}

void table_destroy(struct table *t)
{
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->count; i++) {
        mem_free(t->cells[i]);
    }
    mem_free(t->cells);
    mem_free(t);
}

void table_add(struct table *t, struct slice cell)
{
    if (t->count == t->cap) {
        size_t cap = t->cap == 0 ? 16 : t->cap * 2;
        char **cells = mem_realloc(t->cells, cap * sizeof(*cells));
        if (cells == NULL) {
            t->failed = true;
            return;
        }
        t->cells = cells;
        t->cap = cap;
    }
    char *copy = mem_strndup(cell.ptr, cell.len);
    if (copy == NULL) {
        t->failed = true;
        return;
    }
    t->cells[t->count++] = copy;
}

// The next printed line of a cell: up to a newline or `width` bytes.
static bool next_line(struct slice *rest, size_t width, struct slice *line)
{
    if (rest->len == 0) {
        return false;
    }
    const char *newline = memchr(rest->ptr, '\n', rest->len);
    size_t length = newline == NULL ? rest->len : (size_t)(newline - rest->ptr);
    size_t skip = length + (newline == NULL ? 0 : 1);
    if (length > width) {
        length = width;
        skip = width;
    }
    *line = (struct slice){rest->ptr, length};
    rest->ptr += skip;
    rest->len -= skip;
    return true;
}

static size_t widest_line(const char *cell)
{
    size_t widest = 0;
    struct slice rest = slice_of(cell);
    struct slice line;
    while (next_line(&rest, SIZE_MAX, &line)) {
        widest = line.len > widest ? line.len : widest;
    }
    return widest;
}

// Gives each column what it needs, narrowest first; what they leave is shared by the others.
static void share_width(size_t *widths, bool *done, unsigned columns)
{
    size_t overhead = 3 * (size_t)columns + 1;
    size_t left = TABLE_WIDTH > overhead + columns ? TABLE_WIDTH - overhead : columns;
    for (unsigned open = columns; open > 0; open--) {
        unsigned least = columns;
        for (unsigned i = 0; i < columns; i++) {
            if (!done[i] && (least == columns || widths[i] < widths[least])) {
                least = i;
            }
        }
        size_t share = left / open;
        if (widths[least] > share) {
            widths[least] = share == 0 ? 1 : share;
        }
        left -= widths[least] < left ? widths[least] : left;
        done[least] = true;
    }
}

static void put_rule(const size_t *widths, unsigned columns, struct str *out)
{
    for (unsigned i = 0; i < columns; i++) {
        str_append_char(out, '+');
        for (size_t j = 0; j < widths[i] + 2; j++) {
            str_append_char(out, '-');
        }
    }
    str_append_cstr(out, "+\n");
}

static void put_row(const struct table *t, size_t first, const size_t *widths, struct slice *rest,
                    struct str *out)
{
    for (unsigned i = 0; i < t->columns; i++) {
        rest[i] = slice_of(first + i < t->count ? t->cells[first + i] : "");
    }
    bool more = true;
    while (more) {
        more = false;
        for (unsigned i = 0; i < t->columns; i++) {
            struct slice line = {"", 0};
            next_line(&rest[i], widths[i], &line);
            str_append_cstr(out, i == 0 ? "| " : " | ");
            str_append_slice(out, line);
            for (size_t j = line.len; j < widths[i]; j++) {
                str_append_char(out, ' ');
            }
            more = more || rest[i].len > 0;
        }
        str_append_cstr(out, " |\n");
    }
}

void table_print(const struct table *t, struct str *out)
{
    size_t *widths = mem_calloc(t->columns, sizeof(*widths));
    bool *done = mem_calloc(t->columns, sizeof(*done));
    struct slice *rest = mem_calloc(t->columns, sizeof(*rest));
    if (widths == NULL || done == NULL || rest == NULL || t->failed) {
        out->failed = true;
    } else {
        for (size_t i = 0; i < t->count; i++) {
            size_t width = widest_line(t->cells[i]);
            if (width > widths[i % t->columns]) {
                widths[i % t->columns] = width;
            }
        }
        share_width(widths, done, t->columns);
        put_rule(widths, t->columns, out);
        for (size_t first = 0; first < t->count; first += t->columns) {
            put_row(t, first, widths, rest, out);
            if (first == 0) {
                put_rule(widths, t->columns, out);
            }
        }
        put_rule(widths, t->columns, out);
    }
    mem_free(widths);
    mem_free(done);
    mem_free(rest);
}
