// SPDX-License-Identifier: Apache-2.0
// Labels: names of classes, for operators that print or draw them.
//
// A parameter `labels` is a map from a tensor's name to a list of names, or to the path of a file with one a line; a list or a
// path alone is for every tensor. A message may bring them too: metadata "labels", of the same form (the parameter goes first).
#ifndef NEREID_GRAPH_OPS_LABELS_H
#define NEREID_GRAPH_OPS_LABELS_H

#include "nereid/operator.h"

struct labels {
    char **names; // owned
    size_t count;
};

// What `value` (NULL: nothing) says for `tensor`; leaves `labels` empty where it says nothing. Errors name the parameter, the file
// and the position. Allocates: for setup and a tensor's first sight. Thread: owner.
NRD_MUST_USE struct nrd_status *labels_read(const struct nrd_value *value, const char *tensor,
                                            struct labels *labels);
void labels_fini(struct labels *labels);
// The name of a class, or its number printed to `text` of at least LABEL_TEXT_MAX bytes. Thread: any.
#define LABEL_TEXT_MAX 24
const char *labels_name(const struct labels *labels, size_t index, char *text);

#endif
