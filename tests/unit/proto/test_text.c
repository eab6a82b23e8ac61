// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/base/unit.h"

#include "proto/model_config.pb-c.h"
#include "proto/text.h"

static struct nrd_status *read_into(const char *text, size_t length,
                                    Inference__ModelConfig **config)
{
    *config = (Inference__ModelConfig *)proto_create(&inference__model_config__descriptor);
    return *config == NULL ? status_no_memory()
                           : proto_text_read(slice_make(text, length), &(*config)->base);
}

static Inference__ModelConfig *read(const char *text)
{
    Inference__ModelConfig *config;
    struct nrd_status *status = read_into(text, strlen(text), &config);
    if (status != NULL) {
        fail_msg("%s\nof: %s", status_text(status), text);
    }
    return config;
}

static void assert_writes(const char *text, const char *expected)
{
    Inference__ModelConfig *config = read(text);
    struct str out = STR_INIT;
    proto_text_write(&config->base, &out);
    assert_string_equal(str_cstr(&out), expected);
    // What is written reads back as the same.
    Inference__ModelConfig *again = read(str_cstr(&out));
    assert_true(proto_equal(&config->base, &again->base, NULL, 0));
    proto_destroy(&again->base);
    proto_destroy(&config->base);
    str_fini(&out);
}

static void text_reads_the_whole_grammar(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *written;
    } rows[] = {
        {"", ""},
        {"# only a comment", ""},
        {"name:\"a\"#c\nplatform : 'b'", "name: \"a\"\nplatform: \"b\"\n"},
        {"name: 'a' \"b\"\n'c'", "name: \"abc\"\n"},
        {"name: \"\\a\\b\\f\\n\\r\\t\\v\\\\\\?\\'\\\"\"",
         "name: \"\\007\\010\\014\\n\\r\\t\\013\\\\?\\'\\\"\"\n"},
        {"name: '\\101\\x42\\u0043\\U00000044\\7'", "name: \"ABCD\\007\"\n"},
        {"name: '\\ud83d\\ude00 \\u00e9'", "name: \"\\360\\237\\230\\200 \\303\\251\"\n"},
        {"max_batch_size: 0x10", "max_batch_size: 16\n"},
        {"max_batch_size: 010", "max_batch_size: 8\n"},
        {"max_batch_size: - 4", "max_batch_size: -4\n"},
        {"max_batch_size: -2147483648", "max_batch_size: -2147483648\n"},
        {"input { dims: [1, 2], dims: 3; dims: [] }",
         "input {\n  dims: 1\n  dims: 2\n  dims: 3\n}\n"},
        {"input: [{name: 'a'}, <name: 'b'>]",
         "input {\n  name: \"a\"\n}\ninput {\n  name: \"b\"\n}\n"},
        {"input { data_type: 11 } input { data_type: TYPE_FP32 } input { data_type: 77 }",
         "input {\n  data_type: TYPE_FP32\n}\ninput {\n  data_type: TYPE_FP32\n}\ninput {\n  "
         "data_type: 77\n}\n"},
        {"dynamic_batching { preserve_ordering: t }",
         "dynamic_batching {\n  preserve_ordering: true\n}\n"},
        {"dynamic_batching { preserve_ordering: 0x1 }",
         "dynamic_batching {\n  preserve_ordering: true\n}\n"},
        {"dynamic_batching { preserve_ordering: False }", "dynamic_batching {\n}\n"},
        {"dynamic_batching { priority_levels: 18446744073709551615 }",
         "dynamic_batching {\n  priority_levels: 18446744073709551615\n}\n"},
        {"sequence_batching { direct { minimum_slot_utilization: .5 } }",
         "sequence_batching {\n  direct {\n    minimum_slot_utilization: 0.5\n  }\n}\n"},
        {"sequence_batching { direct { minimum_slot_utilization: 1.5f } }",
         "sequence_batching {\n  direct {\n    minimum_slot_utilization: 1.5\n  }\n}\n"},
        {"sequence_batching { direct { minimum_slot_utilization: -Infinity } }",
         "sequence_batching {\n  direct {\n    minimum_slot_utilization: -inf\n  }\n}\n"},
        {"sequence_batching { direct { minimum_slot_utilization: 1e400 } }",
         "sequence_batching {\n  direct {\n    minimum_slot_utilization: inf\n  }\n}\n"},
        {"parameters { key: 'b' } parameters { key: 'a' value { string_value: '1' } } parameters { "
         "value { string_value: '2' } key: 'a' }",
         "parameters {\n  key: \"a\"\n  value {\n    string_value: \"2\"\n  }\n}\nparameters {\n  "
         "key: \"b\"\n  value {\n  }\n}\n"},
        {"max_batch_size: 0 max_batch_size: 2", "max_batch_size: 2\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_writes(rows[i].text, rows[i].written);
    }
}

static void text_errors_name_place_and_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *error;
    } rows[] = {
        {"foo: 1", "1:4: Message type \"inference.ModelConfig\" has no field named \"foo\"."},
        {"name: \"a\" name: \"b\"",
         "1:15: Non-repeated field \"name\" is specified multiple times."},
        {"\n\tmax_batch_size: \"3\"", "2:25: Expected integer, got: \"3\""},
        {"max_batch_size: 2147483648", "1:17: Integer out of range (2147483648)"},
        {"max_batch_size: -2147483649", "1:18: Integer out of range (2147483649)"},
        {"dynamic_batching { priority_levels: -1 }", "1:37: Expected integer, got: -"},
        {"dynamic_batching { } sequence_batching { }",
         "1:40: Field \"sequence_batching\" is specified along with field \"dynamic_batching\", "
         "another member of oneof \"scheduling_choice\"."},
        {"input { dims: [1 2] }", "1:18: Expected \",\", found \"2\"."},
        {"input { name: 'a' >", "1:19: Expected \"}\", found \">\"."},
        {"input { name: 'a'", "1:18: Expected identifier, got: "},
        {"name \"a\"", "1:6: Expected \":\", found \"\"a\"\"."},
        {"name: 'a", "1:9: Unexpected end of string."},
        {"name: '\\q'", "1:9: Invalid escape sequence in string literal."},
        {"input { data_type: FOO }",
         "1:24: Unknown enumeration value of \"FOO\" for field \"data_type\"."},
        {"[a.b/c.d]: 1", "1:10: Extension \"a.b/c.d\" is not defined or is not an extension of "
                         "\"inference.ModelConfig\"."},
        {"name: '\\x00'", "1:13: String for field \"name\" has a NUL character."},
        {"batch_output { source_input: '\\0' }",
         "1:35: String for field \"source_input\" has a NUL character."},
        {"max_batch_size: 10a", "1:19: Need space between number and identifier."},
        {"\xEF\xBB\xBFname: 'a'", "1:1: Interpreting non ascii codepoint 239."},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        Inference__ModelConfig *config;
        struct nrd_status *status = read_into(rows[i].text, strlen(rows[i].text), &config);
        assert_int_equal(status_code(status), NRD_INVALID_ARG);
        assert_string_equal(status_text(status), rows[i].error);
        status_free(status);
        proto_destroy(&config->base);
    }
}

static void text_of_every_prefix_is_read_or_refused(void **state)
{
    (void)state;
    static const char text[] =
        "name: 'a\\x41' input [{ dims: [1, -2] }, < data_type: TYPE_FP32 >]; parameters { key: 'k' "
        "value { string_value: \"v\" } } sequence_batching { direct { minimum_slot_utilization: "
        "-1.5e-3 } } # end";
    for (size_t length = 0; length < sizeof(text); length++) {
        Inference__ModelConfig *config;
        status_free(read_into(text, length, &config));
        proto_destroy(&config->base);
    }
}

static void text_reading_survives_any_failed_allocation(void **state)
{
    (void)state;
    static const char text[] = "name: 'a' input { dims: [1, 2] } parameters { key: 'a' } "
                               "parameters { key: 'a' } version_policy { latest { } } metric_tags "
                               "{ key: 'a' value: 'b' } batch_output { source_input: ['a', 'b'] }";
    TORTURE(n)
    {
        Inference__ModelConfig *config;
        struct nrd_status *status = read_into(text, sizeof(text) - 1, &config);
        if (config != NULL) {
            struct str out = STR_INIT;
            proto_text_write(&config->base, &out);
            str_fini(&out);
            proto_destroy(&config->base);
        }
        status_free(status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_reads_the_whole_grammar),
        cmocka_unit_test(text_errors_name_place_and_reason),
        cmocka_unit_test(text_of_every_prefix_is_read_or_refused),
        cmocka_unit_test(text_reading_survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
