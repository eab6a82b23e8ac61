// SPDX-License-Identifier: Apache-2.0
// See message.h.
//
// Why the tables: protoc-c keeps neither declaration order nor oneof names. JSON keys are printed
// as declared and errors name oneofs, so the few messages whose declaration is not in order of
// numbers, and the few oneofs, are listed here; tests/unit/proto/test_message.c reads the .proto
// files and fails when a list is stale. Maps are told by the name that protoc gives to their entry
// type.
#include "proto/message.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

// ---- what the descriptors lack ------------------------------------------------------------------------------------

struct declared {
    const char *type;
    unsigned count;
    uint8_t numbers[28];
};
static const struct declared declared_orders[] = {
    {"inference.ModelInstanceGroup", 9, {1, 4, 2, 6, 3, 8, 5, 7, 9}},
    {"inference.ModelOutput", 7, {1, 2, 3, 5, 4, 6, 7}},
    {"inference.ModelSequenceBatching.Control", 5, {1, 2, 3, 5, 4}},
    {"inference.ModelSequenceBatching", 6, {3, 4, 1, 2, 5, 6}},
    {"inference.ModelConfig", 25, {1,  2, 17, 25, 3,  4,  5,  6,  20, 21, 12, 11, 13,
                                   15, 7, 8,  9,  10, 14, 16, 18, 19, 23, 24, 26}},
};
static const struct {
    const char *type;
    const char *oneof;
} oneof_names[] = {
    {"inference.ModelVersionPolicy", "policy_choice"},
    {"inference.ModelSequenceBatching", "strategy_choice"},
    {"inference.ModelSequenceBatching.InitialState", "state_data"},
    {"inference.ModelWarmup.Input", "input_data_type"},
    {"inference.ModelMetrics.MetricControl", "metric_options"},
    {"inference.ModelConfig", "scheduling_choice"},
    {"inference.InferParameter", "parameter_choice"},
    {"inference.ModelRepositoryParameter", "parameter_choice"},
    {"inference.LogSettingsRequest.SettingValue", "parameter_choice"},
    {"inference.LogSettingsResponse.SettingValue", "parameter_choice"},
};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

const ProtobufCFieldDescriptor *proto_declared(const ProtobufCMessageDescriptor *type,
                                               unsigned index)
{
    for (size_t i = 0; i < COUNT(declared_orders); i++) {
        const struct declared *order = &declared_orders[i];
        if (order->count == type->n_fields && strcmp(order->type, type->name) == 0) {
            return protobuf_c_message_descriptor_get_field(type, order->numbers[index]);
        }
    }
    return &type->fields[index];
}

const char *proto_oneof_name(const ProtobufCMessageDescriptor *type,
                             const ProtobufCFieldDescriptor *field)
{
    for (size_t i = 0; proto_is_oneof(field) && i < COUNT(oneof_names); i++) {
        if (strcmp(oneof_names[i].type, type->name) == 0) {
            return oneof_names[i].oneof;
        }
    }
    return "";
}

// Whether `entry` is `field` in camel case with "Entry" after it.
static bool is_entry_name(const char *entry, const char *field)
{
    bool upper = true;
    for (; *field != '\0'; field++) {
        if (*field == '_') {
            upper = true;
            continue;
        }
        char c = *field;
        if (upper && c >= 'a' && c <= 'z') {
            c = (char)(c - 'a' + 'A');
        }
        upper = false;
        if (*entry++ != c) {
            return false;
        }
    }
    return strcmp(entry, "Entry") == 0;
}

bool proto_is_map(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return false;
    }
    const ProtobufCMessageDescriptor *entry = field->descriptor;
    size_t prefix = strlen(type->name);
    return entry->n_fields == 2 && entry->fields[0].id == 1 && entry->fields[1].id == 2 &&
           strcmp(entry->fields[0].name, "key") == 0 &&
           strcmp(entry->fields[1].name, "value") == 0 &&
           strncmp(entry->name, type->name, prefix) == 0 && entry->name[prefix] == '.' &&
           is_entry_name(entry->name + prefix + 1, field->name);
}

// ---- members ------------------------------------------------------------------------------------------------------

static const char *at_offset(const ProtobufCMessage *message, unsigned offset)
{
    return (const char *)message + offset;
}

void *proto_member(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    return (void *)(uintptr_t)at_offset(message, field->offset);
}

size_t *proto_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    return (size_t *)(uintptr_t)at_offset(message, field->quantifier_offset);
}

uint32_t *proto_oneof_case(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    return (uint32_t *)(uintptr_t)at_offset(message, field->quantifier_offset);
}

bool proto_is_oneof(const ProtobufCFieldDescriptor *field)
{
    return (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

size_t proto_element_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
        return 4;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    }
    return 0;
}

void *proto_element(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                    size_t index)
{
    char *const *items = proto_member(message, field);
    return *items + index * proto_element_size(field->type);
}

static bool value_is_default(const void *value, ProtobufCType type)
{
    static const char zero[sizeof(ProtobufCBinaryData)];
    if (type == PROTOBUF_C_TYPE_STRING) {
        const char *text = *(const char *const *)value;
        return text == NULL || text[0] == '\0';
    }
    if (type == PROTOBUF_C_TYPE_BYTES) {
        return ((const ProtobufCBinaryData *)value)->len == 0;
    }
    return memcmp(value, zero, proto_element_size(type)) == 0;
}

bool proto_is_set(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return *proto_count(message, field) > 0;
    }
    if (proto_is_oneof(field)) {
        return *proto_oneof_case(message, field) == field->id;
    }
    return !value_is_default(proto_member(message, field), field->type);
}

bool proto_set_string(char **member, struct slice text)
{
    char *copy = mem_strndup(text.ptr == NULL ? "" : text.ptr, text.len);
    if (copy == NULL) {
        return false;
    }
    if (*member != protobuf_c_empty_string) {
        mem_free(*member);
    }
    *member = copy;
    return true;
}

void *proto_grow(void *items, size_t *count, size_t element_size)
{
    char **array = items;
    char *larger = mem_realloc(*array, (*count + 1) * element_size);
    if (larger == NULL) {
        return NULL;
    }
    *array = larger;
    void *place = larger + *count * element_size;
    memset(place, 0, element_size);
    *count += 1;
    return place;
}

// protobuf-c frees each element of a list, also the string that stands for "none" elsewhere: a new one is a string of its own.
static void *grow_strings(void *items, size_t *count)
{
    char *empty = mem_strndup("", 0);
    char **place = empty == NULL ? NULL : proto_grow(items, count, sizeof(*place));
    if (place == NULL) {
        mem_free(empty);
        return NULL;
    }
    *place = empty;
    return place;
}

void *proto_open(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
    ProtobufCMessage *child = NULL;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        child = proto_create(field->descriptor);
        if (child == NULL) {
            return NULL;
        }
    }
    void *place;
    if (repeated && field->type == PROTOBUF_C_TYPE_STRING) {
        return grow_strings(proto_member(message, field), proto_count(message, field));
    }
    if (repeated) {
        place = proto_grow(proto_member(message, field), proto_count(message, field),
                           proto_element_size(field->type));
        if (place == NULL) {
            proto_destroy(child);
            return NULL;
        }
    } else {
        place = proto_member(message, field);
        if (proto_is_oneof(field) && *proto_oneof_case(message, field) != field->id) {
            memset(place, 0, proto_element_size(field->type));
            if (field->type == PROTOBUF_C_TYPE_STRING) {
                const char *empty = protobuf_c_empty_string;
                memcpy(place, &empty, sizeof(empty));
            }
            *proto_oneof_case(message, field) = field->id;
        }
    }
    if (child != NULL) {
        ProtobufCMessage **slot = place;
        proto_destroy(*slot);
        *slot = child;
    }
    return place;
}

// ---- look-ups by name ---------------------------------------------------------------------------------------------

enum { NAME_MAX_LEN = 127 };

const ProtobufCFieldDescriptor *proto_field(const ProtobufCMessageDescriptor *type,
                                            struct slice name)
{
    char buffer[NAME_MAX_LEN + 1];
    if (name.len > NAME_MAX_LEN || name.len == 0) {
        return NULL;
    }
    memcpy(buffer, name.ptr, name.len);
    buffer[name.len] = '\0';
    return protobuf_c_message_descriptor_get_field_by_name(type, buffer);
}

const char *proto_enum_name(const ProtobufCEnumDescriptor *type, int value)
{
    const ProtobufCEnumValue *found = protobuf_c_enum_descriptor_get_value(type, value);
    return found == NULL ? NULL : found->name;
}

bool proto_enum_value(const ProtobufCEnumDescriptor *type, struct slice name, int *value)
{
    for (unsigned i = 0; i < type->n_values; i++) {
        if (slice_is(name, type->values[i].name)) {
            *value = type->values[i].value;
            return true;
        }
    }
    return false;
}

// ---- whole messages -----------------------------------------------------------------------------------------------

ProtobufCMessage *proto_create(const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = mem_calloc(1, type->sizeof_message);
    if (message != NULL) {
        protobuf_c_message_init(type, message);
    }
    return message;
}

void proto_destroy(ProtobufCMessage *message)
{
    if (message != NULL) {
        protobuf_c_message_free_unpacked(message, proto_allocator());
    }
}

ProtobufCMessage *proto_copy(const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = mem_alloc(size + 1);
    if (bytes == NULL) {
        return NULL;
    }
    protobuf_c_message_pack(message, bytes);
    ProtobufCMessage *copy =
        protobuf_c_message_unpack(message->descriptor, proto_allocator(), size, bytes);
    mem_free(bytes);
    return copy;
}

bool proto_is_empty(const ProtobufCMessage *message)
{
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        if (proto_is_set(message, &message->descriptor->fields[i])) {
            return false;
        }
    }
    return true;
}

static bool value_equal(const void *a, const void *b, ProtobufCType type)
{
    if (type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *left = *(ProtobufCMessage *const *)a;
        const ProtobufCMessage *right = *(ProtobufCMessage *const *)b;
        return left == NULL || right == NULL ? left == right : proto_equal(left, right, NULL, 0);
    }
    if (type == PROTOBUF_C_TYPE_STRING) {
        return strcmp(*(const char *const *)a, *(const char *const *)b) == 0;
    }
    if (type == PROTOBUF_C_TYPE_BYTES) {
        const ProtobufCBinaryData *left = a;
        const ProtobufCBinaryData *right = b;
        return left->len == right->len &&
               (left->len == 0 || memcmp(left->data, right->data, left->len) == 0);
    }
    return memcmp(a, b, proto_element_size(type)) == 0;
}

static bool map_equal(const ProtobufCMessage *a, const ProtobufCMessage *b,
                      const ProtobufCFieldDescriptor *field)
{
    size_t count = *proto_count(a, field);
    for (size_t i = 0; i < count; i++) {
        const void *entry = proto_element(a, field, i);
        bool found = false;
        for (size_t j = 0; j < count && !found; j++) {
            found = value_equal(entry, proto_element(b, field, j), PROTOBUF_C_TYPE_MESSAGE);
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static bool field_equal(const ProtobufCMessage *a, const ProtobufCMessage *b,
                        const ProtobufCFieldDescriptor *field)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t count = *proto_count(a, field);
        if (count != *proto_count(b, field)) {
            return false;
        }
        if (proto_is_map(a->descriptor, field)) {
            return map_equal(a, b, field);
        }
        for (size_t i = 0; i < count; i++) {
            if (!value_equal(proto_element(a, field, i), proto_element(b, field, i), field->type)) {
                return false;
            }
        }
        return true;
    }
    bool set = proto_is_set(a, field);
    if (set != proto_is_set(b, field)) {
        return false;
    }
    return !set || value_equal(proto_member(a, field), proto_member(b, field), field->type);
}

bool proto_equal(const ProtobufCMessage *a, const ProtobufCMessage *b, const uint32_t *ignored,
                 size_t ignored_count)
{
    if (a->descriptor != b->descriptor) {
        return false;
    }
    for (unsigned i = 0; i < a->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &a->descriptor->fields[i];
        bool skip = false;
        for (size_t j = 0; j < ignored_count; j++) {
            skip = skip || ignored[j] == field->id;
        }
        if (!skip && !field_equal(a, b, field)) {
            return false;
        }
    }
    return true;
}

// ---- map entries --------------------------------------------------------------------------------------------------

static int compare_keys(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    const ProtobufCFieldDescriptor *key = &a->descriptor->fields[0];
    const void *left = proto_member(a, key);
    const void *right = proto_member(b, key);
    if (key->type == PROTOBUF_C_TYPE_STRING) {
        return strcmp(*(const char *const *)left, *(const char *const *)right);
    }
    if (proto_element_size(key->type) == 8) {
        uint64_t x = *(const uint64_t *)left;
        uint64_t y = *(const uint64_t *)right;
        return x < y ? -1 : x > y;
    }
    uint32_t x = *(const uint32_t *)left;
    uint32_t y = *(const uint32_t *)right;
    return x < y ? -1 : x > y;
}

size_t proto_find_entry(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                        size_t index)
{
    ProtobufCMessage *const *entries = *(ProtobufCMessage * *const *)proto_member(message, field);
    for (size_t i = 0; i < index; i++) {
        if (compare_keys(entries[i], entries[index]) == 0) {
            return i;
        }
    }
    return index;
}

bool proto_close_entry(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    size_t *count = proto_count(message, field);
    ProtobufCMessage **entries = *(ProtobufCMessage ***)proto_member(message, field);
    size_t last = *count - 1;
    const ProtobufCFieldDescriptor *value = &entries[last]->descriptor->fields[1];
    if (value->type == PROTOBUF_C_TYPE_MESSAGE && !proto_is_set(entries[last], value) &&
        proto_open(entries[last], value) == NULL) {
        return false;
    }
    size_t earlier = proto_find_entry(message, field, last);
    if (earlier != last) {
        proto_destroy(entries[earlier]);
        entries[earlier] = entries[last];
        *count = last;
    }
    return true;
}

static int compare_indices(const void *a, const void *b, void *entries)
{
    ProtobufCMessage *const *all = entries;
    return compare_keys(all[*(const size_t *)a], all[*(const size_t *)b]);
}

size_t *proto_sorted_entries(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    size_t count = *proto_count(message, field);
    if (count == 0) {
        return NULL;
    }
    size_t *order = mem_calloc(count, sizeof(*order));
    if (order == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        order[i] = i;
    }
    qsort_r(order, count, sizeof(*order), compare_indices, *(void **)proto_member(message, field));
    return order;
}

// ---- numbers ------------------------------------------------------------------------------------------------------

const char *proto_number(double value, bool is_float, char buffer[PROTO_NUMBER_LEN])
{
    if (isnan(value) || isinf(value)) {
        snprintf(buffer, PROTO_NUMBER_LEN, "%s", isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return buffer;
    }
    snprintf(buffer, PROTO_NUMBER_LEN, "%.*g", is_float ? 6 : 15, value);
    double back = strtod(buffer, NULL);
    bool same = is_float ? (float)back == (float)value : !(back < value || back > value);
    if (!same) {
        snprintf(buffer, PROTO_NUMBER_LEN, "%.*g", is_float ? 9 : 17, value);
    }
    return buffer;
}
