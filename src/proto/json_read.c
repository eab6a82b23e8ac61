// SPDX-License-Identifier: Apache-2.0
// Reader of the JSON form: see json.h. The text is looked over for syntax, then read straight into
// the message. `path` names the place for errors, as protobuf does: "instance_group[0].kind". Start
// at read_object().
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/mem.h"
#include "proto/json.h"
#include "proto/json_token.h"

enum { MAX_DEPTH = 100 };

struct reader {
    struct json_scanner scan;
    struct str path;
    struct str error; // about meaning; syntax errors are in scan.error
    unsigned depth;
    bool no_memory;
};

static bool read_object(struct reader *r, ProtobufCMessage *message);
static bool read_field_value(struct reader *r, ProtobufCMessage *message,
                             const ProtobufCFieldDescriptor *field, const struct json_value *value);

static bool no_memory(struct reader *r)
{
    r->no_memory = true;
    return false;
}

// Begins an error; one that was there is forgotten, since protobuf goes on and tells the last.
static void put_path(struct reader *r)
{
    str_clear(&r->error);
    if (r->path.len > 0) {
        str_printf(&r->error, "(%s)", str_cstr(&r->path));
    }
}

// "(path) name: what": the name is wrong here.
static bool bad_name(struct reader *r, const char *name, const char *what)
{
    put_path(r);
    str_printf(&r->error, "%s%s: %s", r->path.len > 0 ? " " : "", name, what);
    return false;
}

// "(path): invalid value V for type T".
static bool bad_value(struct reader *r, const char *value, const char *type)
{
    put_path(r);
    str_printf(&r->error, ": invalid value %s for type %s", value, type);
    return false;
}

static void print_value(const struct reader *r, const struct json_value *value, struct str *out)
{
    char number[PROTO_NUMBER_LEN];
    switch (value->type) {
    case JSON_VALUE_BOOL:
        str_append_cstr(out, value->as.b ? "true" : "false");
        break;
    case JSON_VALUE_UINT:
        str_append_u64(out, value->as.u);
        break;
    case JSON_VALUE_INT:
        str_append_i64(out, value->as.i);
        break;
    case JSON_VALUE_DOUBLE:
        str_append_cstr(out, proto_number(value->as.d, false, number));
        break;
    case JSON_VALUE_STRING:
        str_printf(out, "\"%s\"", str_cstr(&r->scan.text));
        break;
    case JSON_VALUE_NULL:
    case JSON_VALUE_OBJECT:
    case JSON_VALUE_ARRAY:
        str_append_cstr(out, "null");
        break;
    }
}

static const char *const scalar_type_names[] = {
    [PROTOBUF_C_TYPE_INT32] = "TYPE_INT32",       [PROTOBUF_C_TYPE_SINT32] = "TYPE_SINT32",
    [PROTOBUF_C_TYPE_SFIXED32] = "TYPE_SFIXED32", [PROTOBUF_C_TYPE_INT64] = "TYPE_INT64",
    [PROTOBUF_C_TYPE_SINT64] = "TYPE_SINT64",     [PROTOBUF_C_TYPE_SFIXED64] = "TYPE_SFIXED64",
    [PROTOBUF_C_TYPE_UINT32] = "TYPE_UINT32",     [PROTOBUF_C_TYPE_FIXED32] = "TYPE_FIXED32",
    [PROTOBUF_C_TYPE_UINT64] = "TYPE_UINT64",     [PROTOBUF_C_TYPE_FIXED64] = "TYPE_FIXED64",
    [PROTOBUF_C_TYPE_FLOAT] = "TYPE_FLOAT",       [PROTOBUF_C_TYPE_DOUBLE] = "TYPE_DOUBLE",
    [PROTOBUF_C_TYPE_BOOL] = "TYPE_BOOL",         [PROTOBUF_C_TYPE_STRING] = "TYPE_STRING",
    [PROTOBUF_C_TYPE_BYTES] = "TYPE_BYTES",
};

static bool wrong_type(struct reader *r, const ProtobufCFieldDescriptor *field,
                       const struct json_value *value)
{
    struct str shown = STR_INIT;
    struct str type = STR_INIT;
    print_value(r, value, &shown);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessageDescriptor *message = field->descriptor;
        str_printf(&type, "type.googleapis.com/%s", message->name);
    } else if (field->type == PROTOBUF_C_TYPE_ENUM) {
        const ProtobufCEnumDescriptor *names = field->descriptor;
        str_printf(&type, "type.googleapis.com/%s", names->name);
    } else {
        str_append_cstr(&type, scalar_type_names[field->type]);
    }
    bad_value(r, str_cstr(&shown), str_cstr(&type));
    str_fini(&shown);
    str_fini(&type);
    return false;
}

// ---- scalars ------------------------------------------------------------------------------------------------------

// A whole number in [min, max], from an integer, a double without a fraction, or a string of
// either.
static bool as_integer(const struct reader *r, const struct json_value *value, int64_t min,
                       uint64_t max, uint64_t *bits)
{
    struct json_value number = *value;
    if (value->type == JSON_VALUE_STRING) {
        struct slice text = str_slice(&r->scan.text);
        if (slice_to_u64(text, &number.as.u)) {
            number.type = JSON_VALUE_UINT;
        } else if (slice_to_i64(text, &number.as.i)) {
            number.type = JSON_VALUE_INT;
        } else {
            return false;
        }
    }
    if (number.type == JSON_VALUE_DOUBLE) {
        double d = number.as.d;
        if (d < (double)min || d >= (double)max + 1.0 || trunc(d) < d || trunc(d) > d) {
            return false;
        }
        if (d < 0) {
            *bits = (uint64_t)(int64_t)d;
        } else {
            *bits = (uint64_t)d;
        }
        return true;
    }
    if (number.type == JSON_VALUE_UINT) {
        *bits = number.as.u;
        return number.as.u <= max;
    }
    *bits = (uint64_t)number.as.i;
    return number.type == JSON_VALUE_INT && number.as.i >= min;
}

static bool as_double(const struct reader *r, const struct json_value *value, double *number)
{
    switch (value->type) {
    case JSON_VALUE_UINT:
        *number = (double)value->as.u;
        return true;
    case JSON_VALUE_INT:
        *number = (double)value->as.i;
        return true;
    case JSON_VALUE_DOUBLE:
        *number = value->as.d;
        return true;
    case JSON_VALUE_STRING:
        if (slice_is(str_slice(&r->scan.text), "Infinity")) {
            *number = HUGE_VAL;
        } else if (slice_is(str_slice(&r->scan.text), "-Infinity")) {
            *number = -HUGE_VAL;
        } else if (slice_is(str_slice(&r->scan.text), "NaN")) {
            *number = (double)NAN;
        } else {
            return slice_to_f64(str_slice(&r->scan.text), number) && isfinite(*number);
        }
        return true;
    case JSON_VALUE_NULL:
    case JSON_VALUE_BOOL:
    case JSON_VALUE_OBJECT:
    case JSON_VALUE_ARRAY:
        break;
    }
    return false;
}

static bool as_float(const struct reader *r, const struct json_value *value, double *number)
{
    return as_double(r, value, number) && (!isfinite(*number) || isfinite((float)*number));
}

static bool as_bool(const struct reader *r, const struct json_value *value, bool *flag)
{
    static const char *const words[] = {"true", "t", "yes", "y", "1", "false", "f", "no", "n", "0"};
    if (value->type == JSON_VALUE_BOOL) {
        *flag = value->as.b;
        return true;
    }
    for (unsigned i = 0; value->type == JSON_VALUE_STRING && i < 10; i++) {
        if (slice_equal_nocase(str_slice(&r->scan.text), slice_of(words[i]))) {
            *flag = i < 5;
            return true;
        }
    }
    return false;
}

static bool as_enum(const struct reader *r, const ProtobufCEnumDescriptor *type,
                    const struct json_value *value, int *number)
{
    uint64_t bits;
    if (as_integer(r, value, INT32_MIN, INT32_MAX, &bits)) {
        *number = (int)(int64_t)bits;
        return true;
    }
    if (value->type != JSON_VALUE_STRING) {
        return false;
    }
    char name[64];
    struct slice text = str_slice(&r->scan.text);
    if (text.len >= sizeof(name)) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        name[i] = c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    return proto_enum_value(type, text, number) ||
           proto_enum_value(type, slice_make(name, text.len), number);
}

static bool store_text(struct reader *r, const ProtobufCFieldDescriptor *field, void *place)
{
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        return proto_set_string(place, str_slice(&r->scan.text)) || no_memory(r);
    }
    struct str bytes = STR_INIT;
    struct nrd_status *status = base64_decode(str_slice(&r->scan.text), &bytes);
    uint8_t *copy = status != NULL || bytes.failed ? NULL : mem_alloc(bytes.len + 1);
    bool is_bad = status != NULL;
    status_free(status);
    if (copy != NULL) {
        ProtobufCBinaryData *data = place;
        memcpy(copy, str_cstr(&bytes), bytes.len);
        mem_free(data->data);
        *data = (ProtobufCBinaryData){.len = bytes.len, .data = copy};
    }
    str_fini(&bytes);
    if (is_bad) {
        return wrong_type(r, field, &(struct json_value){.type = JSON_VALUE_STRING});
    }
    return copy != NULL || no_memory(r);
}

// Checks the value first, so that a bad one leaves no element behind.
static bool read_scalar(struct reader *r, ProtobufCMessage *message,
                        const ProtobufCFieldDescriptor *field, const struct json_value *value)
{
    uint64_t bits = 0;
    double number = 0;
    bool flag = false;
    int code = 0;
    bool ok = false;
    ProtobufCType type = field->type;
    bool is_wide = proto_element_size(type) == 8;
    bool is_signed = type == PROTOBUF_C_TYPE_INT32 || type == PROTOBUF_C_TYPE_SINT32 ||
                     type == PROTOBUF_C_TYPE_SFIXED32 || type == PROTOBUF_C_TYPE_INT64 ||
                     type == PROTOBUF_C_TYPE_SINT64 || type == PROTOBUF_C_TYPE_SFIXED64;
    bool is_text = type == PROTOBUF_C_TYPE_STRING || type == PROTOBUF_C_TYPE_BYTES;
    if (is_text) {
        ok = value->type == JSON_VALUE_STRING &&
             (type == PROTOBUF_C_TYPE_BYTES || r->scan.text.len == 0 ||
              memchr(r->scan.text.ptr, '\0', r->scan.text.len) == NULL);
    } else if (type == PROTOBUF_C_TYPE_ENUM) {
        ok = as_enum(r, field->descriptor, value, &code);
    } else if (type == PROTOBUF_C_TYPE_BOOL) {
        ok = as_bool(r, value, &flag);
    } else if (type == PROTOBUF_C_TYPE_DOUBLE) {
        ok = as_double(r, value, &number);
    } else if (type == PROTOBUF_C_TYPE_FLOAT) {
        ok = as_float(r, value, &number);
    } else if (is_signed) {
        ok = is_wide ? as_integer(r, value, INT64_MIN, INT64_MAX, &bits)
                     : as_integer(r, value, INT32_MIN, INT32_MAX, &bits);
    } else {
        ok = as_integer(r, value, 0, is_wide ? UINT64_MAX : UINT32_MAX, &bits);
    }
    if (!ok) {
        return wrong_type(r, field, value);
    }
    void *place = proto_open(message, field);
    if (place == NULL) {
        return no_memory(r);
    }
    if (is_text) {
        return store_text(r, field, place);
    }
    if (type == PROTOBUF_C_TYPE_ENUM) {
        *(int *)place = code;
    } else if (type == PROTOBUF_C_TYPE_BOOL) {
        *(protobuf_c_boolean *)place = flag;
    } else if (type == PROTOBUF_C_TYPE_DOUBLE) {
        *(double *)place = number;
    } else if (type == PROTOBUF_C_TYPE_FLOAT) {
        *(float *)place = (float)number;
    } else if (is_wide) {
        *(uint64_t *)place = bits;
    } else {
        *(uint32_t *)place = (uint32_t)bits;
    }
    return true;
}

// ---- objects, maps, lists -----------------------------------------------------------------------------------------

static bool enter(struct reader *r, const char *what)
{
    if (r->depth == MAX_DEPTH) {
        str_printf(&r->error, "Message too deep. Max recursion depth reached for %s", what);
        return false;
    }
    r->depth++;
    return true;
}

// Whether `key` is `name` in camel case.
static bool is_camel_case(struct slice key, const char *name)
{
    size_t at = 0;
    for (bool upper = false; *name != '\0'; name++) {
        if (*name == '_') {
            upper = true;
            continue;
        }
        char c = upper && *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;
        upper = false;
        if (at == key.len || key.ptr[at++] != c) {
            return false;
        }
    }
    return at == key.len;
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type,
                                                  struct slice key)
{
    const ProtobufCFieldDescriptor *field = proto_field(type, key);
    for (unsigned i = 0; field == NULL && i < type->n_fields; i++) {
        if (is_camel_case(key, type->fields[i].name)) {
            field = &type->fields[i];
        }
    }
    return field;
}

// After an error of meaning in the value that began at `start`: passes over that value, so that
// reading goes on. False for errors that end it.
static bool recover(struct reader *r, const char *start)
{
    if (r->no_memory || r->error.len == 0) {
        return false;
    }
    r->scan.at = start;
    return json_scan_skip(&r->scan, MAX_DEPTH);
}

static size_t push_path(struct reader *r, const char *name)
{
    size_t length = r->path.len;
    str_printf(&r->path, "%s%s", length > 0 ? "." : "", name);
    return length;
}

// Reads `text` as the key of a map entry.
static bool read_map_key(struct reader *r, ProtobufCMessage *entry)
{
    const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0];
    size_t length = push_path(r, "key");
    bool ok = read_scalar(r, entry, key, &(struct json_value){.type = JSON_VALUE_STRING});
    str_truncate(&r->path, length);
    return ok;
}

static bool read_map_entry(struct reader *r, ProtobufCMessage *message,
                           const ProtobufCFieldDescriptor *field)
{
    ProtobufCMessage **place = proto_open(message, field);
    if (place == NULL) {
        return no_memory(r);
    }
    ProtobufCMessage *entry = *place;
    size_t index = *proto_count(message, field) - 1;
    size_t length = r->path.len;
    str_printf(&r->path, "[%zu]", index);
    bool ok = read_map_key(r, entry);
    if (ok && proto_find_entry(message, field, index) != index) {
        // The place is that of the entry before.
        str_truncate(&r->path, length);
        str_printf(&r->path, "[%zu]", index - 1);
        char what[256];
        snprintf(what, sizeof(what), "Repeated map key: '%s' is already set.",
                 str_cstr(&r->scan.text));
        char name[128];
        snprintf(name, sizeof(name), "%s", str_cstr(&r->scan.text));
        ok = bad_name(r, name, what);
    }
    struct json_value value;
    ok = ok && json_scan_value(&r->scan, &value);
    if (ok) {
        size_t inner = push_path(r, "value");
        ok = value.type == JSON_VALUE_NULL ||
             read_field_value(r, entry, &entry->descriptor->fields[1], &value);
        str_truncate(&r->path, inner);
    }
    str_truncate(&r->path, length);
    return ok && (proto_close_entry(message, field) || no_memory(r));
}

static bool read_map(struct reader *r, ProtobufCMessage *message,
                     const ProtobufCFieldDescriptor *field)
{
    if (!enter(r, "a map")) {
        return false;
    }
    bool closed = false;
    for (bool first = true;; first = false) {
        if (!json_scan_key(&r->scan, first, &closed)) {
            return false;
        }
        if (closed) {
            r->depth--;
            return true;
        }
        const char *start = r->scan.at;
        if (!read_map_entry(r, message, field) && !recover(r, start)) {
            return false;
        }
    }
}

// The elements of a list go to the field; a list within a list is taken as if its elements stood in
// the outer one.
static bool read_list(struct reader *r, ProtobufCMessage *message,
                      const ProtobufCFieldDescriptor *field)
{
    if (!enter(r, "a list")) {
        return false;
    }
    size_t length = r->path.len;
    bool closed = false;
    for (size_t index = 0;; index++) {
        if (!json_scan_element(&r->scan, index == 0, &closed)) {
            return false;
        }
        if (closed) {
            r->depth--;
            return true;
        }
        struct json_value value;
        const char *start = r->scan.at;
        if (!json_scan_value(&r->scan, &value)) {
            return false;
        }
        str_printf(&r->path, "[%zu]", index);
        bool ok = value.type == JSON_VALUE_NULL ||
                  (value.type == JSON_VALUE_ARRAY ? read_list(r, message, field)
                                                  : read_field_value(r, message, field, &value));
        str_truncate(&r->path, length);
        if (!ok && !recover(r, start)) {
            return false;
        }
    }
}

// One value that is neither null nor a list. `path` names the field.
static bool read_field_value(struct reader *r, ProtobufCMessage *message,
                             const ProtobufCFieldDescriptor *field, const struct json_value *value)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return read_scalar(r, message, field, value);
    }
    if (value->type != JSON_VALUE_OBJECT) {
        return wrong_type(r, field, value);
    }
    if (proto_is_map(message->descriptor, field)) {
        return read_map(r, message, field);
    }
    ProtobufCMessage **place = proto_member(message, field);
    bool is_there = field->label != PROTOBUF_C_LABEL_REPEATED && proto_is_set(message, field);
    if (!is_there) {
        place = proto_open(message, field);
    }
    return place == NULL ? no_memory(r) : read_object(r, *place);
}

static bool refuse_second_member(struct reader *r, const ProtobufCMessage *message,
                                 const ProtobufCFieldDescriptor *field)
{
    if (!proto_is_oneof(field) || *proto_oneof_case(message, field) == 0 ||
        *proto_oneof_case(message, field) == field->id) {
        return true;
    }
    char what[256];
    snprintf(what, sizeof(what), "oneof field '%s' is already set. Cannot set '%s'",
             proto_oneof_name(message->descriptor, field), field->name);
    return bad_value(r, what, "oneof");
}

// The value after the key of `field`. Errors that concern the field as such name the path of the
// object that holds it.
static bool read_member(struct reader *r, ProtobufCMessage *message,
                        const ProtobufCFieldDescriptor *field)
{
    struct json_value value;
    if (!json_scan_value(&r->scan, &value)) {
        return false;
    }
    if (value.type == JSON_VALUE_NULL) {
        return true;
    }
    if (!refuse_second_member(r, message, field)) {
        return false;
    }
    if (value.type == JSON_VALUE_ARRAY && field->label != PROTOBUF_C_LABEL_REPEATED) {
        return bad_name(r, field->name, "Proto field is not repeating, cannot start list.");
    }
    if (value.type == JSON_VALUE_ARRAY && proto_is_map(message->descriptor, field)) {
        char what[256];
        snprintf(what, sizeof(what), "Cannot bind a list to map for field '%s'.", field->name);
        return bad_value(r, what, "Map");
    }
    if (value.type == JSON_VALUE_OBJECT && field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return bad_value(r, "Starting an object on a scalar field", field->name);
    }
    size_t length = push_path(r, field->name);
    bool ok = value.type == JSON_VALUE_ARRAY ? read_list(r, message, field)
                                             : read_field_value(r, message, field, &value);
    str_truncate(&r->path, length);
    return ok;
}

// The opening brace was taken.
static bool read_object(struct reader *r, ProtobufCMessage *message)
{
    if (!enter(r, "an object")) {
        return false;
    }
    bool closed = false;
    for (bool first = true;; first = false) {
        if (!json_scan_key(&r->scan, first, &closed)) {
            return false;
        }
        if (closed) {
            r->depth--;
            return true;
        }
        const char *start = r->scan.at;
        const ProtobufCFieldDescriptor *field =
            find_field(message->descriptor, str_slice(&r->scan.text));
        bool ok = field == NULL ? bad_name(r, str_cstr(&r->scan.text), "Cannot find field.")
                                : read_member(r, message, field);
        if (!ok && !recover(r, start)) {
            return false;
        }
    }
}

struct nrd_status *proto_json_read(struct slice json, ProtobufCMessage *message)
{
    struct reader r = {.path = STR_INIT};
    json_scanner_init(&r.scan, json);
    // Errors of syntax win over those of meaning, wherever they stand: so the whole text is looked
    // over first.
    struct json_value root;
    bool ok = json_scan_skip(&r.scan, MAX_DEPTH) && json_scan_end(&r.scan);
    r.scan.at = r.scan.begin;
    ok = ok && json_scan_value(&r.scan, &root);
    if (ok && root.type != JSON_VALUE_OBJECT) {
        ok = false;
        str_append_cstr(&r.error, ": Root element must be a message.");
    }
    ok = ok && read_object(&r, message) && r.error.len == 0;
    const struct str *error = r.error.len > 0 ? &r.error : &r.scan.error;
    struct nrd_status *status = NULL;
    if (r.no_memory || r.path.failed || error->failed || r.scan.text.failed) {
        status = status_no_memory();
    } else if (!ok) {
        status = status_new_text(NRD_INVALID_ARG, str_cstr(error), error->len);
    }
    str_fini(&r.path);
    str_fini(&r.error);
    json_scanner_fini(&r.scan);
    return status;
}
