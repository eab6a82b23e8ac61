// SPDX-License-Identifier: Apache-2.0
// Syntax of the JSON that protobuf reads, which is looser than RFC 8259: single quotes, unquoted
// keys, a comma before a closing bracket. (base/json.h reads what Triton itself parses, which is
// strict.) Inside this folder only.
#ifndef NEREID_PROTO_JSON_TOKEN_H
#define NEREID_PROTO_JSON_TOKEN_H

#include "base/slice.h"
#include "base/str.h"

enum json_value_type {
    JSON_VALUE_NULL,
    JSON_VALUE_BOOL,
    JSON_VALUE_UINT,
    JSON_VALUE_INT, // negative
    JSON_VALUE_DOUBLE,
    JSON_VALUE_STRING, // in the scanner's `text`
    JSON_VALUE_OBJECT, // its opening brace was taken
    JSON_VALUE_ARRAY,  // its opening bracket was taken
};
struct json_value {
    enum json_value_type type;
    union {
        bool b;
        uint64_t u;
        int64_t i;
        double d;
    } as;
};
struct json_scanner {
    const char *begin;
    const char *at;
    const char *end;
    struct str text;  // the string or key that was read last
    struct str error; // not empty: reading failed; two more lines show where
};

void json_scanner_init(struct json_scanner *s, struct slice text);
void json_scanner_fini(struct json_scanner *s);
// All return false after an error, which is in `error` (or `text`/`error` failed for want of
// memory).
bool json_scan_value(struct json_scanner *s, struct json_value *value);
// The next key, with its colon, into `text`; `*closed` instead when the object ends. `first`: right
// after the opening brace.
bool json_scan_key(struct json_scanner *s, bool first, bool *closed);
// Whether another element follows; `*closed` when the array ends.
bool json_scan_element(struct json_scanner *s, bool first, bool *closed);
// Passes over a whole value, nested at most `depth` deep.
bool json_scan_skip(struct json_scanner *s, unsigned depth);
// Nothing but white space may follow.
bool json_scan_end(struct json_scanner *s);

#endif
