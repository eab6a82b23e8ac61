// SPDX-License-Identifier: Apache-2.0
// Reader of protobuf's text format: see text.h. Recursive descent over the descriptor; the
// look-ahead of one token decides where an error is placed, so fields are looked up after the token
// that follows their name was read, as protobuf does. Start at read_field().
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "proto/text.h"
#include "proto/text_token.h"

enum { MAX_DEPTH = 100 };

struct reader {
    struct text_tokenizer tokens;
    unsigned depth;
    struct str scratch;
};
#define CURRENT(r) ((r)->tokens.current)
#define TEXT_ARGS(slice_) (int)(slice_).len, (slice_).ptr

static bool looking_at(const struct reader *r, char symbol)
{
    return CURRENT(r).type == TEXT_TOKEN_SYMBOL && CURRENT(r).text.ptr[0] == symbol;
}

static bool try_take(struct reader *r, char symbol)
{
    if (!looking_at(r, symbol)) {
        return false;
    }
    text_token_next(&r->tokens);
    return true;
}

static bool expected(struct reader *r, const char *what)
{
    text_token_error(&r->tokens, "Expected %s, got: %.*s", what, TEXT_ARGS(CURRENT(r).text));
    return false;
}

static bool want(struct reader *r, char symbol)
{
    if (try_take(r, symbol)) {
        return true;
    }
    text_token_error(&r->tokens, "Expected \"%c\", found \"%.*s\".", symbol,
                     TEXT_ARGS(CURRENT(r).text));
    return false;
}

static bool want_identifier(struct reader *r, struct slice *name)
{
    if (CURRENT(r).type != TEXT_TOKEN_IDENTIFIER) {
        return expected(r, "identifier");
    }
    *name = CURRENT(r).text;
    text_token_next(&r->tokens);
    return true;
}

static bool no_memory(struct reader *r)
{
    r->scratch.failed = true;
    return false;
}

static bool read_unsigned(struct reader *r, uint64_t max, uint64_t *value)
{
    if (CURRENT(r).type != TEXT_TOKEN_INTEGER) {
        return expected(r, "integer");
    }
    if (!text_token_integer(CURRENT(r).text, max, value)) {
        text_token_error(&r->tokens, "Integer out of range (%.*s)", TEXT_ARGS(CURRENT(r).text));
        return false;
    }
    text_token_next(&r->tokens);
    return true;
}

static bool read_signed(struct reader *r, uint64_t max, int64_t *value)
{
    bool negative = try_take(r, '-');
    uint64_t magnitude;
    if (!read_unsigned(r, negative ? max + 1 : max, &magnitude)) {
        return false;
    }
    *value = (int64_t)(negative ? ~magnitude + 1 : magnitude);
    return true;
}

static bool read_double(struct reader *r, double *value)
{
    bool negative = try_take(r, '-');
    struct slice text = CURRENT(r).text;
    enum text_token_type type = CURRENT(r).type;
    char buffer[64];
    if (type == TEXT_TOKEN_INTEGER || type == TEXT_TOKEN_FLOAT) {
        bool leading_zero = type == TEXT_TOKEN_INTEGER && text.len > 1 && text.ptr[0] == '0';
        if (leading_zero) {
            text_token_error(&r->tokens, "Expect a decimal number, got: %.*s", TEXT_ARGS(text));
            return false;
        }
        str_clear(&r->scratch);
        str_append_slice(&r->scratch, text);
        *value = strtod(str_cstr(&r->scratch), NULL);
    } else if (type == TEXT_TOKEN_IDENTIFIER && text.len < sizeof(buffer) &&
               (slice_equal_nocase(text, SLICE("inf")) ||
                slice_equal_nocase(text, SLICE("infinity")))) {
        *value = HUGE_VAL;
    } else if (type == TEXT_TOKEN_IDENTIFIER && slice_equal_nocase(text, SLICE("nan"))) {
        *value = (double)NAN;
    } else {
        return expected(r, "double");
    }
    text_token_next(&r->tokens);
    if (negative) {
        *value = -*value;
    }
    return true;
}

static bool read_bool(struct reader *r, const ProtobufCFieldDescriptor *field, bool *value)
{
    if (CURRENT(r).type == TEXT_TOKEN_INTEGER) {
        uint64_t number;
        if (!read_unsigned(r, 1, &number)) {
            return false;
        }
        *value = number != 0;
        return true;
    }
    struct slice word;
    if (!want_identifier(r, &word)) {
        return false;
    }
    if (slice_is(word, "true") || slice_is(word, "True") || slice_is(word, "t")) {
        *value = true;
    } else if (slice_is(word, "false") || slice_is(word, "False") || slice_is(word, "f")) {
        *value = false;
    } else {
        text_token_error(&r->tokens, "Invalid value for boolean field \"%s\". Value: \"%.*s\".",
                         field->name, TEXT_ARGS(word));
        return false;
    }
    return true;
}

static bool read_enum(struct reader *r, const ProtobufCFieldDescriptor *field, int *value)
{
    if (CURRENT(r).type == TEXT_TOKEN_INTEGER || looking_at(r, '-')) {
        int64_t number;
        if (!read_signed(r, INT32_MAX, &number)) {
            return false;
        }
        *value = (int)number;
        return true;
    }
    if (CURRENT(r).type != TEXT_TOKEN_IDENTIFIER) {
        return expected(r, "integer or identifier");
    }
    struct slice name = CURRENT(r).text;
    text_token_next(&r->tokens);
    if (!proto_enum_value(field->descriptor, name, value)) {
        text_token_error(&r->tokens, "Unknown enumeration value of \"%.*s\" for field \"%s\".",
                         TEXT_ARGS(name), field->name);
        return false;
    }
    return true;
}

// Leaves the joined, unescaped text in r->scratch.
static bool read_string(struct reader *r)
{
    if (CURRENT(r).type != TEXT_TOKEN_STRING) {
        return expected(r, "string");
    }
    str_clear(&r->scratch);
    while (CURRENT(r).type == TEXT_TOKEN_STRING) {
        text_token_string(CURRENT(r).text, &r->scratch);
        text_token_next(&r->tokens);
    }
    return !r->scratch.failed;
}

static bool store_string(struct reader *r, const ProtobufCFieldDescriptor *field, void *place)
{
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        if (r->scratch.len > 0 && memchr(r->scratch.ptr, '\0', r->scratch.len) != NULL) {
            text_token_error(&r->tokens, "String for field \"%s\" has a NUL character.",
                             field->name);
            return false;
        }
        return proto_set_string(place, str_slice(&r->scratch)) || no_memory(r);
    }
    ProtobufCBinaryData *bytes = place;
    uint8_t *copy = mem_alloc(r->scratch.len + 1);
    if (copy == NULL) {
        return no_memory(r);
    }
    memcpy(copy, str_cstr(&r->scratch), r->scratch.len);
    mem_free(bytes->data);
    *bytes = (ProtobufCBinaryData){.len = r->scratch.len, .data = copy};
    return true;
}

// A value that was read but not yet stored: the message is touched only when the value is good.
union scalar {
    int64_t i;
    uint64_t u;
    double d;
    bool b;
    int e;
};

static bool read_scalar(struct reader *r, const ProtobufCFieldDescriptor *field, union scalar *v)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return read_signed(r, INT32_MAX, &v->i);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return read_signed(r, INT64_MAX, &v->i);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return read_unsigned(r, UINT32_MAX, &v->u);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return read_unsigned(r, UINT64_MAX, &v->u);
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        return read_double(r, &v->d);
    case PROTOBUF_C_TYPE_BOOL:
        return read_bool(r, field, &v->b);
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(r, field, &v->e);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    return read_string(r);
}

static bool store_scalar(struct reader *r, const ProtobufCFieldDescriptor *field,
                         const union scalar *v, void *place)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        *(int32_t *)place = (int32_t)v->i;
        return true;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        *(uint32_t *)place = (uint32_t)v->u;
        return true;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        *(int64_t *)place = v->i;
        return true;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        *(uint64_t *)place = v->u;
        return true;
    case PROTOBUF_C_TYPE_FLOAT:
        *(float *)place = (float)v->d;
        return true;
    case PROTOBUF_C_TYPE_DOUBLE:
        *(double *)place = v->d;
        return true;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)place = v->b;
        return true;
    case PROTOBUF_C_TYPE_ENUM:
        *(int *)place = v->e;
        return true;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    return store_string(r, field, place);
}

static bool read_field(struct reader *r, ProtobufCMessage *message);

static bool read_message(struct reader *r, ProtobufCMessage *message)
{
    if (r->depth == MAX_DEPTH) {
        text_token_error(&r->tokens,
                         "Message is too deep, the parser exceeded the configured recursion limit "
                         "of %d.",
                         MAX_DEPTH);
        return false;
    }
    char closing = '>';
    if (!try_take(r, '<')) {
        if (!want(r, '{')) {
            return false;
        }
        closing = '}';
    }
    r->depth++;
    while (!looking_at(r, '>') && !looking_at(r, '}')) {
        if (!read_field(r, message)) {
            return false;
        }
    }
    r->depth--;
    return want(r, closing);
}

// One value of `field`: a message in braces or a scalar.
static bool read_value(struct reader *r, ProtobufCMessage *message,
                       const ProtobufCFieldDescriptor *field)
{
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        ProtobufCMessage **place = proto_open(message, field);
        if (place == NULL) {
            return no_memory(r);
        }
        ProtobufCMessage *child = *place;
        if (!read_message(r, child)) {
            return false;
        }
        return !proto_is_map(message->descriptor, field) || proto_close_entry(message, field) ||
               no_memory(r);
    }
    union scalar value = {0};
    if (!read_scalar(r, field, &value)) {
        return false;
    }
    void *place = proto_open(message, field);
    if (place == NULL) {
        return no_memory(r);
    }
    return store_scalar(r, field, &value, place);
}

static bool read_list(struct reader *r, ProtobufCMessage *message,
                      const ProtobufCFieldDescriptor *field)
{
    if (try_take(r, ']')) {
        return true;
    }
    for (;;) {
        if (!read_value(r, message, field)) {
            return false;
        }
        if (try_take(r, ']')) {
            return true;
        }
        if (!want(r, ',')) {
            return false;
        }
    }
}

static bool refuse_second_value(struct reader *r, const ProtobufCMessage *message,
                                const ProtobufCFieldDescriptor *field)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return true;
    }
    if (proto_is_set(message, field)) {
        text_token_error(&r->tokens, "Non-repeated field \"%s\" is specified multiple times.",
                         field->name);
        return false;
    }
    if (proto_is_oneof(field) && *proto_oneof_case(message, field) != 0) {
        const ProtobufCFieldDescriptor *other =
            protobuf_c_message_descriptor_get_field(type, *proto_oneof_case(message, field));
        text_token_error(&r->tokens,
                         "Field \"%s\" is specified along with field \"%s\", another member of "
                         "oneof \"%s\".",
                         field->name, other == NULL ? "" : other->name,
                         proto_oneof_name(type, field));
        return false;
    }
    return true;
}

// `[name.of.extension]`: the schemas here have none, so this only ends in the right error.
static bool read_extension(struct reader *r, const ProtobufCMessageDescriptor *type)
{
    struct str name = STR_INIT;
    struct slice part;
    bool ok = want_identifier(r, &part);
    while (ok) {
        str_append_slice(&name, part);
        if (looking_at(r, '.') || looking_at(r, '/')) {
            str_append_slice(&name, CURRENT(r).text);
            text_token_next(&r->tokens);
            ok = want_identifier(r, &part);
        } else {
            break;
        }
    }
    if (ok && want(r, ']')) {
        text_token_error(&r->tokens,
                         "Extension \"%s\" is not defined or is not an extension of \"%s\".",
                         str_cstr(&name), type->name);
    }
    str_fini(&name);
    return false;
}

static bool read_field(struct reader *r, ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    if (try_take(r, '[')) {
        return read_extension(r, type);
    }
    struct slice name;
    if (!want_identifier(r, &name)) {
        return false;
    }
    const ProtobufCFieldDescriptor *field = proto_field(type, name);
    if (field == NULL) {
        text_token_error(&r->tokens, "Message type \"%s\" has no field named \"%.*s\".", type->name,
                         TEXT_ARGS(name));
        return false;
    }
    if (!refuse_second_value(r, message, field)) {
        return false;
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        (void)try_take(r, ':');
    } else if (!want(r, ':')) {
        return false;
    }
    bool list = field->label == PROTOBUF_C_LABEL_REPEATED && try_take(r, '[');
    if (list ? !read_list(r, message, field) : !read_value(r, message, field)) {
        return false;
    }
    (void)(try_take(r, ';') || try_take(r, ','));
    return true;
}

struct nrd_status *proto_text_read(struct slice text, ProtobufCMessage *message)
{
    struct str error = STR_INIT;
    struct reader r = {.scratch = STR_INIT};
    text_tokenizer_init(&r.tokens, text, &error);
    text_token_next(&r.tokens);
    bool ok = true;
    while (ok && CURRENT(&r).type != TEXT_TOKEN_END) {
        ok = read_field(&r, message);
    }
    struct nrd_status *status = NULL;
    if (r.scratch.failed || error.failed) {
        status = status_no_memory();
    } else if (error.len > 0) {
        status = status_new_text(NRD_INVALID_ARG, error.ptr, error.len);
    } else if (!ok) {
        status = status_new(NRD_INTERNAL, "text format: reading stopped without a reason");
    }
    str_fini(&r.scratch);
    str_fini(&error);
    return status;
}
