// SPDX-License-Identifier: Apache-2.0
// Nearest: which of the known names somebody may have meant. For messages only.
#ifndef NEREID_GRAPH_NEAREST_H
#define NEREID_GRAPH_NEAREST_H

#include <stddef.h>

struct nearest {
    const char *name; // what was written
    const char *best; // the nearest so far; NULL: none is near
    size_t distance;
};
void nearest_init(struct nearest *n, const char *name);
void nearest_offer(struct nearest *n, const char *candidate); // borrows while `n` is read

// " (did you mean 'x'?)" into `text`, or "" when nothing is near. Returns `text`.
const char *nearest_hint(const struct nearest *n, char *text, size_t size);

#endif
