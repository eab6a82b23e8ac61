// SPDX-License-Identifier: Apache-2.0
// Writer of the JSON form: see json.h.
#include <math.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"
#include "proto/json.h"

struct writer {
    struct json_writer json;
    proto_json_quoted_fn quoted;
};

static void write_message(struct writer *w, const ProtobufCMessage *message);

// Triton sends protobuf's number through a second JSON library: whole numbers stay without a
// fraction, others get that library's shortest form.
static void write_float(struct writer *w, double value, bool is_float)
{
    if (isnan(value) || isinf(value)) {
        json_cstring(&w->json, isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity");
        return;
    }
    char text[PROTO_NUMBER_LEN];
    proto_number(value, is_float, text);
    if (strpbrk(text, ".e") == NULL) {
        json_raw(&w->json, slice_of(text));
    } else {
        json_f64(&w->json, strtod(text, NULL));
    }
}

static void write_bytes(struct writer *w, const ProtobufCBinaryData *bytes)
{
    struct str text = STR_INIT;
    base64_encode(slice_make(bytes->data, bytes->len), &text);
    json_string(&w->json, str_slice(&text));
    w->json.out->failed = w->json.out->failed || text.failed;
    str_fini(&text);
}

static void write_wide(struct writer *w, const ProtobufCMessageDescriptor *type,
                       const ProtobufCFieldDescriptor *field, const void *value)
{
    bool is_signed = field->type == PROTOBUF_C_TYPE_INT64 ||
                     field->type == PROTOBUF_C_TYPE_SINT64 ||
                     field->type == PROTOBUF_C_TYPE_SFIXED64;
    struct str text = STR_INIT;
    if (is_signed) {
        str_append_i64(&text, *(const int64_t *)value);
    } else {
        str_append_u64(&text, *(const uint64_t *)value);
    }
    if (w->quoted != NULL && w->quoted(type, field)) {
        json_string(&w->json, str_slice(&text));
    } else {
        json_raw(&w->json, str_slice(&text));
    }
    w->json.out->failed = w->json.out->failed || text.failed;
    str_fini(&text);
}

static void write_value(struct writer *w, const ProtobufCMessageDescriptor *type,
                        const ProtobufCFieldDescriptor *field, const void *value)
{
    const char *name;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        json_i64(&w->json, *(const int32_t *)value);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        json_u64(&w->json, *(const uint32_t *)value);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        write_wide(w, type, field, value);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        write_float(w, (double)*(const float *)value, true);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        write_float(w, *(const double *)value, false);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        json_bool(&w->json, *(const protobuf_c_boolean *)value);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        name = proto_enum_name(field->descriptor, *(const int *)value);
        if (name != NULL) {
            json_cstring(&w->json, name);
        } else {
            json_i64(&w->json, *(const int *)value);
        }
        break;
    case PROTOBUF_C_TYPE_STRING:
        json_cstring(&w->json, *(const char *const *)value);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        write_bytes(w, value);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        write_message(w, *(ProtobufCMessage *const *)value);
        break;
    }
}

static void write_map_key(struct writer *w, const ProtobufCFieldDescriptor *key, const void *value)
{
    struct str text = STR_INIT;
    if (key->type == PROTOBUF_C_TYPE_STRING) {
        str_append_cstr(&text, *(const char *const *)value);
    } else if (key->type == PROTOBUF_C_TYPE_UINT64) {
        str_append_u64(&text, *(const uint64_t *)value);
    } else {
        struct writer plain = {.quoted = NULL};
        json_begin(&plain.json, &text);
        write_value(&plain, NULL, key, value);
    }
    json_key_slice(&w->json, str_slice(&text));
    w->json.out->failed = w->json.out->failed || text.failed;
    str_fini(&text);
}

static void write_map(struct writer *w, const ProtobufCMessage *message,
                      const ProtobufCFieldDescriptor *field)
{
    size_t count = *proto_count(message, field);
    json_object_begin(&w->json);
    size_t *order = proto_sorted_entries(message, field);
    w->json.out->failed = w->json.out->failed || (count > 0 && order == NULL);
    for (size_t i = 0; order != NULL && i < count; i++) {
        const ProtobufCMessage *entry =
            *(ProtobufCMessage *const *)proto_element(message, field, order[i]);
        const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0];
        const ProtobufCFieldDescriptor *value = &entry->descriptor->fields[1];
        write_map_key(w, key, proto_member(entry, key));
        if (value->type == PROTOBUF_C_TYPE_MESSAGE && !proto_is_set(entry, value)) {
            json_object_begin(&w->json);
            json_object_end(&w->json);
        } else {
            write_value(w, entry->descriptor, value, proto_member(entry, value));
        }
    }
    mem_free(order);
    json_object_end(&w->json);
}

static void write_list(struct writer *w, const ProtobufCMessage *message,
                       const ProtobufCFieldDescriptor *field)
{
    json_array_begin(&w->json);
    for (size_t i = 0; i < *proto_count(message, field); i++) {
        write_value(w, message->descriptor, field, proto_element(message, field, i));
    }
    json_array_end(&w->json);
}

static bool is_scalar_of_oneof(const ProtobufCFieldDescriptor *field)
{
    return proto_is_oneof(field) && field->type != PROTOBUF_C_TYPE_MESSAGE;
}

static void write_field(struct writer *w, const ProtobufCMessage *message,
                        const ProtobufCFieldDescriptor *field)
{
    json_key(&w->json, field->name);
    if (proto_is_map(message->descriptor, field)) {
        write_map(w, message, field);
    } else if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        write_list(w, message, field);
    } else {
        write_value(w, message->descriptor, field, proto_member(message, field));
    }
}

// As declared, but scalars of a oneof come last: protobuf lays out all defaults first, and those
// have none.
static void write_message(struct writer *w, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    json_object_begin(&w->json);
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = proto_declared(type, i);
        bool always =
            field->label == PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE;
        if (!is_scalar_of_oneof(field) && (always || proto_is_set(message, field))) {
            write_field(w, message, field);
        }
    }
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = proto_declared(type, i);
        if (is_scalar_of_oneof(field) && proto_is_set(message, field)) {
            write_field(w, message, field);
        }
    }
    json_object_end(&w->json);
}

void proto_json_write(const ProtobufCMessage *message, proto_json_quoted_fn quoted, struct str *out)
{
    struct writer w = {.quoted = quoted};
    json_begin(&w.json, out);
    write_message(&w, message);
}
