// SPDX-License-Identifier: Apache-2.0
// Writer of protobuf's text format: see text.h. Bytes outside printable ASCII are written as octal
// escapes.
#include <inttypes.h>

#include "base/mem.h"
#include "proto/text.h"

static void write_message(const ProtobufCMessage *message, unsigned indent, struct str *out);

static void write_indent(unsigned indent, struct str *out)
{
    for (unsigned i = 0; i < indent; i++) {
        str_append_cstr(out, "  ");
    }
}

static void write_quoted(struct slice text, struct str *out)
{
    static const char specials[] = "\n\r\t\"'\\";
    static const char codes[] = "nrt\"'\\";
    str_append_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        const char *special = c == '\0' ? NULL : strchr(specials, c);
        if (special != NULL) {
            str_append_char(out, '\\');
            str_append_char(out, codes[special - specials]);
        } else if (c < ' ' || c > '~') {
            str_printf(out, "\\%03o", (unsigned)(unsigned char)c);
        } else {
            str_append_char(out, c);
        }
    }
    str_append_char(out, '"');
}

static void write_scalar(const ProtobufCFieldDescriptor *field, const void *value, struct str *out)
{
    char number[PROTO_NUMBER_LEN];
    const char *name;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        str_append_i64(out, *(const int32_t *)value);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        str_append_u64(out, *(const uint32_t *)value);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        str_append_i64(out, *(const int64_t *)value);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        str_append_u64(out, *(const uint64_t *)value);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        str_append_cstr(out, proto_number((double)*(const float *)value, true, number));
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        str_append_cstr(out, proto_number(*(const double *)value, false, number));
        break;
    case PROTOBUF_C_TYPE_BOOL:
        str_append_cstr(out, *(const protobuf_c_boolean *)value ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_ENUM:
        name = proto_enum_name(field->descriptor, *(const int *)value);
        if (name != NULL) {
            str_append_cstr(out, name);
        } else {
            str_append_i64(out, *(const int *)value);
        }
        break;
    case PROTOBUF_C_TYPE_STRING:
        write_quoted(slice_of(*(const char *const *)value), out);
        break;
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *bytes = value;
        write_quoted(slice_make(bytes->data, bytes->len), out);
        break;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
}

static void write_value(const ProtobufCFieldDescriptor *field, const void *value, unsigned indent,
                        struct str *out)
{
    write_indent(indent, out);
    str_append_cstr(out, field->name);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        str_append_cstr(out, " {\n");
        write_message(*(ProtobufCMessage *const *)value, indent + 1, out);
        write_indent(indent, out);
        str_append_cstr(out, "}\n");
    } else {
        str_append_cstr(out, ": ");
        write_scalar(field, value, out);
        str_append_char(out, '\n');
    }
}

static void write_map(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                      unsigned indent, struct str *out)
{
    size_t *order = proto_sorted_entries(message, field);
    if (order == NULL) {
        out->failed = out->failed || *proto_count(message, field) > 0;
        return;
    }
    for (size_t i = 0; i < *proto_count(message, field); i++) {
        const ProtobufCMessage *entry =
            *(ProtobufCMessage *const *)proto_element(message, field, order[i]);
        write_indent(indent, out);
        str_append_cstr(out, field->name);
        str_append_cstr(out, " {\n");
        for (unsigned f = 0; f < 2; f++) {
            const ProtobufCFieldDescriptor *member = &entry->descriptor->fields[f];
            if (member->type != PROTOBUF_C_TYPE_MESSAGE || proto_is_set(entry, member)) {
                write_value(member, proto_member(entry, member), indent + 1, out);
            }
        }
        write_indent(indent, out);
        str_append_cstr(out, "}\n");
    }
    mem_free(order);
}

static void write_message(const ProtobufCMessage *message, unsigned indent, struct str *out)
{
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (!proto_is_set(message, field)) {
            continue;
        }
        if (proto_is_map(message->descriptor, field)) {
            write_map(message, field, indent, out);
        } else if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            for (size_t j = 0; j < *proto_count(message, field); j++) {
                write_value(field, proto_element(message, field, j), indent, out);
            }
        } else {
            write_value(field, proto_member(message, field), indent, out);
        }
    }
}

void proto_text_write(const ProtobufCMessage *message, struct str *out)
{
    write_message(message, 0, out);
}
