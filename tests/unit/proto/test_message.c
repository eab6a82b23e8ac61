// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/base/unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "proto/grpc_service.pb-c.h"
#include "proto/message.h"
#include "proto/model_config.pb-c.h"
#include "proto/text.h"

// ---- the tables against the .proto files --------------------------------------------------------------------------

static const ProtobufCMessageDescriptor *find_type(const ProtobufCMessageDescriptor *from,
                                                   const char *name, unsigned depth)
{
    if (strcmp(from->name, name) == 0) {
        return from;
    }
    for (unsigned i = 0; depth > 0 && i < from->n_fields; i++) {
        if (from->fields[i].type == PROTOBUF_C_TYPE_MESSAGE) {
            const ProtobufCMessageDescriptor *found =
                find_type(from->fields[i].descriptor, name, depth - 1);
            if (found != NULL) {
                return found;
            }
        }
    }
    return NULL;
}

static const ProtobufCMessageDescriptor *type_of(const char *name)
{
    static const ProtobufCMessageDescriptor *const roots[] = {
        &inference__model_config__descriptor,
        &inference__model_infer_request__descriptor,
        &inference__model_infer_response__descriptor,
        &inference__repository_model_load_request__descriptor,
        &inference__log_settings_request__descriptor,
        &inference__log_settings_response__descriptor,
        &inference__model_statistics_response__descriptor,
    };
    const ProtobufCMessageDescriptor *found = NULL;
    for (size_t i = 0; found == NULL && i < sizeof(roots) / sizeof(roots[0]); i++) {
        found = find_type(roots[i], name, 8);
    }
    return found;
}

struct level {
    char name[128]; // of the message
    bool is_enum;
    char oneof[64]; // not empty inside a oneof
    unsigned fields;
};

static void check_field(const struct level *message, const char *oneof, unsigned place,
                        const char *number)
{
    const ProtobufCMessageDescriptor *type = type_of(message->name);
    if (type == NULL) {
        return;
    }
    const ProtobufCFieldDescriptor *field = proto_declared(type, place);
    assert_non_null(field);
    if (field->id != (unsigned)strtoul(number, NULL, 10)) {
        fail_msg("%s: field %u is declared with number %s, the table says %u", message->name, place,
                 number, field->id);
    }
    assert_string_equal(proto_oneof_name(type, field), oneof);
}

static unsigned check_schema(const char *path)
{
    struct str text = STR_INIT;
    struct nrd_status *status = file_read(path, 0, &text);
    if (status != NULL) {
        status_free(status);
        skip(); // not run from the root of the source tree
    }
    struct level levels[8] = {{.name = "inference"}};
    unsigned depth = 0;
    unsigned checked = 0;
    struct slice rest = str_slice(&text);
    struct slice line;
    while (slice_cut(&rest, '\n', &line)) {
        line = slice_trim(line);
        char word[64], kind[64], third[64], number[64];
        char copy[256];
        snprintf(copy, sizeof(copy), "%.*s", (int)line.len, line.ptr);
        bool opens = line.len > 0 && line.ptr[line.len - 1] == '{';
        if (opens && sscanf(copy, "%63s %63s", kind, word) == 2) {
            struct level *next = &levels[++depth];
            *next = (struct level){.is_enum = strcmp(kind, "enum") == 0};
            if (strcmp(kind, "oneof") == 0) {
                *next = levels[depth - 1];
                snprintf(next->oneof, sizeof(next->oneof), "%s", word);
            } else {
                char joined[128];
                snprintf(joined, sizeof(joined), "%.60s.%.60s", levels[depth - 1].name, word);
                memcpy(next->name, joined, sizeof(joined));
            }
        } else if (line.len > 0 && line.ptr[0] == '}') {
            if (levels[depth].oneof[0] != '\0') {
                levels[depth - 1].fields = levels[depth].fields;
            }
            depth--;
        } else if (depth > 0 && !levels[depth].is_enum && strncmp(copy, "rpc", 3) != 0 &&
                   strchr(copy, '=') != NULL && copy[0] != '/' &&
                   sscanf(strchr(copy, '='), "= %63[0-9]%63s", number, third) == 2) {
            check_field(&levels[depth], levels[depth].oneof, levels[depth].fields++, number);
            checked++;
        }
    }
    str_fini(&text);
    return checked;
}

static void declared_order_and_oneofs_are_those_of_the_schema(void **state)
{
    (void)state;
    assert_true(check_schema("src/proto/model_config.proto") > 100);
    assert_true(check_schema("src/proto/grpc_service.proto") > 100);
}

// ---- maps, copies, comparisons ------------------------------------------------------------------------------------

static void maps_are_told_from_lists(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *type = &inference__model_config__descriptor;
    unsigned maps = 0;
    for (unsigned i = 0; i < type->n_fields; i++) {
        maps += proto_is_map(type, &type->fields[i]);
    }
    assert_int_equal(maps, 3);
    assert_true(proto_is_map(type, proto_field(type, SLICE("cc_model_filenames"))));
    assert_false(proto_is_map(type, proto_field(type, SLICE("input"))));
    type = &inference__model_infer_request__descriptor;
    assert_true(proto_is_map(type, proto_field(type, SLICE("parameters"))));
}

static Inference__ModelConfig *read(const char *text)
{
    ProtobufCMessage *message = proto_create(&inference__model_config__descriptor);
    assert_non_null(message);
    struct nrd_status *status = proto_text_read(slice_of(text), message);
    if (status != NULL) {
        fail_msg("%s", status_text(status));
    }
    return (Inference__ModelConfig *)message;
}

static const char rich[] =
    "name: 'n' max_batch_size: 4 input { name: 'a' dims: [1, -1] reshape { } }"
    "version_policy { specific { versions: [1, 3] } } dynamic_batching { priority_queue_policy { "
    "key: 2 value { max_queue_size: 1 } } } parameters { key: 'x' value { string_value: 'y' } }"
    "parameters { key: 'z' } instance_group { gpus: [0, 1] kind: KIND_GPU }";

static void copy_is_equal_and_apart(void **state)
{
    (void)state;
    Inference__ModelConfig *config = read(rich);
    ProtobufCMessage *copy = proto_copy(&config->base);
    assert_non_null(copy);
    assert_true(proto_equal(&config->base, copy, NULL, 0));
    ((Inference__ModelConfig *)copy)->input[0]->dims[1] = 2;
    assert_false(proto_equal(&config->base, copy, NULL, 0));
    const uint32_t input[] = {5};
    assert_true(proto_equal(&config->base, copy, input, 1));
    proto_destroy(copy);
    proto_destroy(&config->base);
}

static void equality_minds_presence_and_not_map_order(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        bool equal;
    } rows[] = {
        {"", "", true},
        {"max_batch_size: 0", "", true},
        {"dynamic_batching { }", "", false},
        {"dynamic_batching { }", "sequence_batching { }", false},
        {"input { reshape { } }", "input { }", false},
        {"parameters { key: 'a' } parameters { key: 'b' }",
         "parameters { key: 'b' } parameters { key: 'a' }", true},
        {"parameters { key: 'a' } parameters { key: 'b' }", "parameters { key: 'b' }", false},
        {"input { name: 'a' } input { name: 'b' }", "input { name: 'b' } input { name: 'a' }",
         false},
        {"version_policy { all { } }", "version_policy { latest { } }", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        Inference__ModelConfig *a = read(rows[i].a);
        Inference__ModelConfig *b = read(rows[i].b);
        if (proto_equal(&a->base, &b->base, NULL, 0) != rows[i].equal) {
            fail_msg("row %zu", i);
        }
        proto_destroy(&a->base);
        proto_destroy(&b->base);
    }
}

static void numbers_are_the_shortest_that_read_back(void **state)
{
    (void)state;
    static const struct {
        double value;
        bool is_float;
        const char *text;
    } rows[] = {
        {0, false, "0"},
        {1, true, "1"},
        {(double)0.1F, true, "0.1"},
        {0.1, false, "0.1"},
        {(double)0.1F, false, "0.10000000149011612"},
        {1e20, false, "1e+20"},
        {(double)16777216.0F, true, "16777216"},
        {1.0 / 3, false, "0.33333333333333331"},
        {1e308 * 10, false, "inf"},
        {-1e308 * 10, false, "-inf"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char buffer[PROTO_NUMBER_LEN];
        assert_string_equal(proto_number(rows[i].value, rows[i].is_float, buffer), rows[i].text);
    }
}

static void copying_survives_any_failed_allocation(void **state)
{
    (void)state;
    Inference__ModelConfig *config = read(rich);
    TORTURE(n)
    {
        ProtobufCMessage *copy = proto_copy(&config->base);
        proto_destroy(copy);
    }
    proto_destroy(&config->base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(declared_order_and_oneofs_are_those_of_the_schema),
        cmocka_unit_test(maps_are_told_from_lists),
        cmocka_unit_test(copy_is_equal_and_apart),
        cmocka_unit_test(equality_minds_presence_and_not_map_order),
        cmocka_unit_test(numbers_are_the_shortest_that_read_back),
        cmocka_unit_test(copying_survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
