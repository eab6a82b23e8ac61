// SPDX-License-Identifier: Apache-2.0
// JSON: a reader that makes a flat tape in an arena, and a writer that appends to a str.
//
// Reading. One pass over the text; the tape has one 16-byte node a value, in document order, so an array of numbers is a
// contiguous run and a document costs no allocation per value. Strings without escapes borrow the text (which must
// outlive the document); others are unescaped into the arena. Numbers keep what Triton's parser can tell apart:
// unsigned, negative integer, double. With JSON_NAN also NaN, Inf, -Inf, Infinity, -Infinity. Depth limit 1000, far above
// what Triton refuses itself (100 levels of a tensor's data, in its own words).
// Errors have Triton's texts: "failed to parse the request JSON buffer: Invalid value. at 0" is made by the caller from
// json_error's reason ("Invalid value.", "Missing a comma or '}' after an object member.", "The document is empty.", ...)
// and its byte offset. Start at json_parse() and json_get(). Thread: owner of the arena.
#ifndef NEREID_BASE_JSON_H
#define NEREID_BASE_JSON_H

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_UINT,   // 0 .. 2^64-1
    JSON_INT,    // negative integers
    JSON_DOUBLE, // everything else
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};
enum json_flags { JSON_STRICT = 0, JSON_NAN = 1 };

struct json_node {
    uint32_t type : 4;   // enum json_type
    uint32_t count : 28; // members or elements (saturates at 2^28 - 1)
    uint32_t span;       // string: its length; array and object: nodes below it, itself included
    union {
        uint64_t u;
        int64_t i;
        double d;
        const char *s; // not terminated
    } as;
};
_Static_assert(sizeof(struct json_node) == 16, "a tape node is 16 bytes");

struct json_error {
    const char *reason; // static text
    size_t offset;
};

// On success `*root` is the first node of the tape. False: `*error` says why. Text over 4 GiB is refused.
bool json_parse(struct arena *arena, struct slice text, unsigned flags,
                const struct json_node **root, struct json_error *error)
    __attribute__((warn_unused_result));
// Parses with a status: NRD_INTERNAL "failed to parse the `what` JSON buffer: REASON at OFFSET".
NRD_MUST_USE struct nrd_status *json_parse_status(struct arena *arena, struct slice text,
                                                  unsigned flags, const char *what,
                                                  const struct json_node **root);

// First child (object: a key string, its value follows) and the next sibling. Use with count:
//   const struct json_node *n = json_first(array); for (i = 0; i < array->count; i++, n = json_next(n)) ...
static inline const struct json_node *json_first(const struct json_node *container)
{
    return container + 1;
}
static inline const struct json_node *json_next(const struct json_node *node)
{
    return node->type >= JSON_ARRAY ? node + node->span : node + 1;
}
static inline struct slice json_text(const struct json_node *string)
{
    return (struct slice){string->as.s, string->span};
}
// The member's value, NULL when absent or when `object` is not an object. The first of duplicates.
const struct json_node *json_get(const struct json_node *object, const char *key);
bool json_is_number(const struct json_node *node);
// Conversions that refuse (false) what does not fit; `as_f64` takes all numbers.
bool json_as_u64(const struct json_node *node, uint64_t *value);
bool json_as_i64(const struct json_node *node, int64_t *value);
bool json_as_f64(const struct json_node *node, double *value);
bool json_as_bool(const struct json_node *node, bool *value);
// Typed members with Triton's error texts (NRD_INTERNAL): "attempt to access non-existing object member 'KEY'",
// "attempt to access JSON non-string as string", "... non-unsigned-integer as unsigned-integer", "... non-array as array",
// "... non-boolean as boolean", "... non-signed-integer as signed-integer", "... non-object as object".
NRD_MUST_USE struct nrd_status *json_member(const struct json_node *object, const char *key,
                                            const struct json_node **value);
NRD_MUST_USE struct nrd_status *json_want_string(const struct json_node *node, struct slice *value);
NRD_MUST_USE struct nrd_status *json_want_u64(const struct json_node *node, uint64_t *value);
NRD_MUST_USE struct nrd_status *json_want_i64(const struct json_node *node, int64_t *value);
NRD_MUST_USE struct nrd_status *json_want_f64(const struct json_node *node, double *value);
NRD_MUST_USE struct nrd_status *json_want_bool(const struct json_node *node, bool *value);
NRD_MUST_USE struct nrd_status *json_want_array(const struct json_node *node);
NRD_MUST_USE struct nrd_status *json_want_object(const struct json_node *node);

// Writing: compact, commas kept by the writer. Errors of memory show in the str (str_status).
struct json_writer {
    struct str *out;
    bool comma; // the next value needs one before it
};
void json_begin(struct json_writer *w, struct str *out);
void json_object_begin(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array_begin(struct json_writer *w);
void json_array_end(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);
void json_key_slice(struct json_writer *w, struct slice key);
void json_string(struct json_writer *w, struct slice text); // escaped; bytes >= 0x80 pass through
void json_cstring(struct json_writer *w, const char *text);
void json_u64(struct json_writer *w, uint64_t value);
void json_i64(struct json_writer *w, int64_t value);
void json_f64(struct json_writer *w, double value); // str_append_f64
void json_bool(struct json_writer *w, bool value);
void json_null(struct json_writer *w);
void json_raw(struct json_writer *w, struct slice json); // an already written value
// Appends `text` escaped and quoted (the string form alone).
void json_escape(struct str *out, struct slice text);
// Writes a parsed value again.
void json_write_node(struct json_writer *w, const struct json_node *node);

#endif
