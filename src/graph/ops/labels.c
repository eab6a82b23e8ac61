// SPDX-License-Identifier: Apache-2.0
// Labels: read from a parameter, a file or a message's metadata; see labels.h. Start at labels_read().
#include "graph/ops/labels.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

#define FILE_MAX 1048576
#define LABELS_MAX 65536

static struct nrd_status *add(struct labels *labels, struct slice name)
{
    if (labels->count >= LABELS_MAX) {
        return status_new(NRD_INVALID_ARG, "more than %d labels", LABELS_MAX);
    }
    // Grown by powers of two: the capacity is known from the count.
    if ((labels->count & (labels->count - 1)) == 0) {
        size_t capacity = labels->count == 0 ? 1 : labels->count * 2;
        char **names = mem_realloc(labels->names, capacity * sizeof(*names));
        if (names == NULL) {
            return status_no_memory();
        }
        labels->names = names;
    }
    char *copy = mem_strndup(name.ptr == NULL ? "" : name.ptr, name.len);
    if (copy == NULL) {
        return status_no_memory();
    }
    labels->names[labels->count++] = copy;
    return NULL;
}

static struct nrd_status *read_file(const char *path, struct labels *labels)
{
    struct str text = STR_INIT;
    struct nrd_status *status = file_read(path, FILE_MAX, &text);
    struct slice rest = str_slice(&text), line;
    while (status == NULL && rest.len > 0 && slice_cut(&rest, '\n', &line)) {
        if (slice_ends(line, SLICE("\r"))) {
            line.len--;
        }
        status = add(labels, line);
    }
    str_fini(&text);
    return status_wrap(status, "labels: ");
}

static struct nrd_status *read_one(const struct nrd_value *value, struct labels *labels)
{
    if (nrd_value_kind(value) != NRD_VALUE_LIST) {
        return read_file(nrd_value_text(value), labels);
    }
    struct nrd_status *status = NULL;
    for (size_t i = 0; status == NULL && i < nrd_value_count(value); i++) {
        status = add(labels, slice_of(nrd_value_text(nrd_value_at(value, i))));
    }
    return status;
}

struct nrd_status *labels_read(const struct nrd_value *value, const char *tensor,
                               struct labels *labels)
{
    if (nrd_value_kind(value) == NRD_VALUE_MAP) {
        value = nrd_value_get(value, tensor);
    }
    if (value == NULL || nrd_value_kind(value) == NRD_VALUE_NULL) {
        return NULL;
    }
    struct nrd_status *status = NULL;
    if (nrd_value_kind(value) == NRD_VALUE_MAP) {
        status = status_new(NRD_INVALID_ARG, "labels of '%s' are a map: a list of names, or a path",
                            tensor);
    } else {
        status = read_one(value, labels);
    }
    if (status != NULL) {
        labels_fini(labels);
    }
    return status;
}

void labels_fini(struct labels *labels)
{
    for (size_t i = 0; i < labels->count; i++) {
        mem_free(labels->names[i]);
    }
    mem_free(labels->names);
    *labels = (struct labels){0};
}

const char *labels_name(const struct labels *labels, size_t index, char *text)
{
    if (index < labels->count && labels->names[index][0] != '\0') {
        return labels->names[index];
    }
    snprintf(text, LABEL_TEXT_MAX, "%zu", index);
    return text;
}
