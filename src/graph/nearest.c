// SPDX-License-Identifier: Apache-2.0
// Nearest name by edit distance (insert, delete, replace, swap of neighbours), ASCII case ignored: a third of the letters
// may be wrong.
#include "graph/nearest.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { LENGTH_MAX = 63 };

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Three rows of the usual table; SIZE_MAX for texts too long to be names.
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][LENGTH_MAX + 1];
    size_t a_length = strlen(a);
    size_t b_length = strlen(b);
    if (a_length > LENGTH_MAX || b_length > LENGTH_MAX) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b_length; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t same = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;
            row[j] = least(least(row[j - 1], above[j]) + 1, above[j - 1] + same);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1])) {
                row[j] = least(row[j], above2[j - 2] + 1);
            }
        }
    }
    return rows[a_length % 3][b_length];
}

void nearest_init(struct nearest *n, const char *name)
{
    *n = (struct nearest){name, NULL, SIZE_MAX};
}

void nearest_offer(struct nearest *n, const char *candidate)
{
    size_t allowed = strlen(n->name) / 3; // of one or two letters, any other would be near
    size_t distance = edit_distance(n->name, candidate);
    if (distance <= allowed && distance < n->distance) {
        n->best = candidate;
        n->distance = distance;
    }
}

const char *nearest_hint(const struct nearest *n, char *text, size_t size)
{
    text[0] = '\0';
    if (n->best != NULL) {
        snprintf(text, size, " (did you mean '%s'?)", n->best);
    }
    return text;
}
