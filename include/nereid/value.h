/* SPDX-License-Identifier: Apache-2.0 */
/* Values: trees of scalars, lists and maps, as YAML and JSON write them. Parameters of operators, conditions, resources and
   schedulers are given as values; so is metadata. A value that was read from a file knows its line and column.
   A value is built by one thread and may then be read by any; it is freed with its root. */
#ifndef NEREID_VALUE_H
#define NEREID_VALUE_H

#include "nereid/types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct nrd_value;

enum nrd_value_kind {
    NRD_VALUE_NULL,
    NRD_VALUE_BOOL,
    NRD_VALUE_INT,
    NRD_VALUE_REAL,
    NRD_VALUE_STRING,
    NRD_VALUE_LIST,
    NRD_VALUE_MAP,
};

/* Makes a value. All return owned, NULL when memory is out. Texts are copied. Thread: any. */
NRD_API struct nrd_value *nrd_value_null(void);
NRD_API struct nrd_value *nrd_value_bool(bool value);
NRD_API struct nrd_value *nrd_value_int(int64_t value);
NRD_API struct nrd_value *nrd_value_real(double value);
NRD_API struct nrd_value *nrd_value_string(const char *text);
NRD_API struct nrd_value *nrd_value_list(void);
NRD_API struct nrd_value *nrd_value_map(void);
/* A deep copy with its positions. Returns owned; NULL when memory is out. Thread: any. */
NRD_API struct nrd_value *nrd_value_copy(const struct nrd_value *value);
/* Frees a root and all below it; takes. NULL is fine. Thread: owner. */
NRD_API void nrd_value_free(struct nrd_value *value);

/* Adds to a list, or sets a key of a map (the last of two equal keys wins, in the place of the first). Takes `item`, also
   on failure; a NULL item is "out of memory". NRD_INVALID_ARG when `to` is no list (no map). Thread: owner. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_value_append(struct nrd_value *to,
                                                         struct nrd_value *item);
NRD_API NRD_MUST_USE struct nrd_status *nrd_value_set(struct nrd_value *to, const char *key,
                                                      struct nrd_value *item);

/* Reads the first document of a YAML text (JSON is YAML); `file` names it in errors and positions ("app.yaml:3:7: ..."). Plain
   scalars are null, bool (true, yes, on, y and their opposites in YAML 1.1's spellings), int (decimal, 0x, 0o), real or
   string; quoted ones are strings. Anchors and aliases are followed (an alias counts each time: at most 1,000,000 nodes).
   Returns owned. Thread: any. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_value_parse(const char *text, size_t length,
                                                        const char *file, struct nrd_value **value);
/* The same of a file. NRD_NOT_FOUND, NRD_INVALID_ARG. Thread: any; reads the file. */
NRD_API NRD_MUST_USE struct nrd_status *nrd_value_load(const char *path, struct nrd_value **value);

/* Reading; none allocates. NULL reads as NRD_VALUE_NULL. Thread: any. */
NRD_API enum nrd_value_kind nrd_value_kind(const struct nrd_value *value);
/* What the file's author wrote for a scalar, or the value printed; "" for lists and maps. Borrowed. */
NRD_API const char *nrd_value_text(const struct nrd_value *value);
NRD_API bool nrd_value_get_bool(const struct nrd_value *value, bool *out); /* false: not one */
NRD_API bool nrd_value_get_int(const struct nrd_value *value, int64_t *out);
NRD_API bool nrd_value_get_real(const struct nrd_value *value, double *out); /* ints too */
/* Items of a list, entries of a map; 0 for scalars. */
NRD_API size_t nrd_value_count(const struct nrd_value *value);
/* Borrowed; NULL past the end. For a map the index-th entry in the file's order. */
NRD_API const struct nrd_value *nrd_value_at(const struct nrd_value *value, size_t index);
NRD_API const char *nrd_value_key(const struct nrd_value *map, size_t index);
/* Borrowed; NULL when `map` is no map or has no such key. */
NRD_API const struct nrd_value *nrd_value_get(const struct nrd_value *map, const char *key);
/* Where it was read: file name ("" when built in memory), line and column from 1 (0 then). */
NRD_API const char *nrd_value_file(const struct nrd_value *value);
NRD_API int nrd_value_line(const struct nrd_value *value);
NRD_API int nrd_value_column(const struct nrd_value *value);

#ifdef __cplusplus
}
#endif

#endif
