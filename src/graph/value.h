// SPDX-License-Identifier: Apache-2.0
// Values from the inside: how a node is laid out, and what the parser and the checks of parameters need beyond the public
// functions of nereid/value.h. Each node is an allocation of its own; texts belong to their node, the file's name is
// shared by all nodes that were read from it. Start at struct nrd_value.
#ifndef NEREID_GRAPH_VALUE_H
#define NEREID_GRAPH_VALUE_H

#include <stdatomic.h>

#include "base/map.h"
#include "base/slice.h"
#include "base/status.h"
#include "nereid/value.h"

#define VALUE_NODES_MAX 1000000 // of a document, aliases counted each time
#define VALUE_DEPTH_MAX 128
#define VALUE_FILE_MAX ((size_t)64 << 20)

// The name of a file, counted by the nodes that hold it. Thread: any.
struct value_file;
struct value_file *value_file_create(const char *name); // NULL: no memory
struct value_file *value_file_ref(struct value_file *file);
void value_file_unref(struct value_file *file);

struct value_position {
    int line, column; // from 1; 0: built in memory
};

struct value_entry {
    char *key;                      // NULL in a list
    struct value_position position; // of the key
    struct nrd_value *value;
};

struct nrd_value {
    enum nrd_value_kind kind;
    _Atomic uint32_t others; // owners but the first: see value_share()
    struct value_position position;
    struct value_file *file; // NULL: built in memory
    char *text;              // scalars: never NULL
    size_t nodes;            // itself and all below
    union {
        bool truth;
        int64_t integer;
        double real;
        struct {
            struct value_entry *entries;
            size_t count, cap;
            struct map *index; // of a large map: key to index + 1
        };
    };
};

// One more owner of `value`, which nobody may change from then on; each owner gives it to nrd_value_free(). Returns
// `value`; NULL stays NULL. Thread: any.
struct nrd_value *value_share(struct nrd_value *value);
bool value_is_shared(const struct nrd_value *value);
// A map (a list) of its own that shares its items. Returns owned; NULL: no memory. Thread: any.
struct nrd_value *value_copy_shallow(const struct nrd_value *value);

// What a plain scalar's text is: null, bool (yaml-cpp's spellings of YAML 1.1), int (decimal, 0x, 0o, 0), real or string.
// Fills the member of `out` that its kind has. Thread: any.
struct value_scalar {
    enum nrd_value_kind kind;
    bool truth;
    int64_t integer;
    double real;
};
void value_scan(const char *text, struct value_scalar *out);

// Adds like nrd_value_set() and nrd_value_append() (key NULL), with the key's position.
NRD_MUST_USE struct nrd_status *value_add(struct nrd_value *to, const char *key,
                                          struct value_position position, struct nrd_value *item);
// Position of a map's index-th key. Zero when built in memory or past the end.
struct value_position value_key_position(const struct nrd_value *map, size_t index);
// A status that begins with the value's position ("app.yaml:3:7: ") if it has one. Returns owned.
NRD_MUST_USE NRD_PRINTF(3, 4) struct nrd_status *value_error(enum nrd_code code,
                                                             const struct nrd_value *at,
                                                             const char *format, ...);
// The same at the index-th key of a map.
NRD_MUST_USE NRD_PRINTF(4, 5) struct nrd_status *value_key_error(enum nrd_code code,
                                                                 const struct nrd_value *map,
                                                                 size_t index, const char *format,
                                                                 ...);

// nrd_value_parse(), which also says whether another document follows. Thread: any.
NRD_MUST_USE struct nrd_status *value_parse_first(const char *text, size_t length, const char *file,
                                                  struct nrd_value **value, bool *more);

#endif
