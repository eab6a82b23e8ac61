// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <math.h>
#include <stdio.h>

#include "base/json.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static const struct json_node *parse(const char *text)
{
    const struct json_node *root = NULL;
    struct json_error error = {0};
    bool good = json_parse(&arena, slice_of(text), JSON_NAN, &root, &error);
    if (!good) {
        print_error("%s: %s at %zu\n", text, error.reason, error.offset);
    }
    assert_true(good);
    return root;
}

static void json_reads_every_type(void **state)
{
    (void)state;
    const struct json_node *root =
        parse(" { \"a\" : null , \"b\":[true,false],\"c\":-1,\"d\":1.5,\"e\":\"x\",\"f\":{} }\n");
    assert_int_equal(root->type, JSON_OBJECT);
    assert_int_equal(root->count, 6);
    assert_int_equal(root->span, 15);
    assert_int_equal(json_get(root, "a")->type, JSON_NULL);
    const struct json_node *list = json_get(root, "b");
    assert_int_equal(list->count, 2);
    assert_int_equal(json_first(list)->type, JSON_TRUE);
    assert_int_equal(json_next(json_first(list))->type, JSON_FALSE);
    assert_true(json_get(root, "c")->as.i == -1);
    assert_true(json_get(root, "d")->as.d == 1.5);
    assert_slice(json_text(json_get(root, "e")), "x");
    assert_int_equal(json_get(root, "f")->count, 0);
    assert_null(json_get(root, "g"));
    assert_null(json_get(list, "a"));
    assert_null(json_get(NULL, "a"));
}

static void json_numbers_keep_their_kind(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum json_type type;
        double value;
    } cases[] = {
        {"0", JSON_UINT, 0},
        {"-0", JSON_UINT, 0},
        {"18446744073709551615", JSON_UINT, 18446744073709551615.0},
        {"18446744073709551616", JSON_DOUBLE, 18446744073709551616.0},
        {"99999999999999999999", JSON_DOUBLE, 1e20},
        {"10000000000000000000", JSON_UINT, 1e19},
        {"-9223372036854775808", JSON_INT, -9223372036854775808.0},
        {"-9223372036854775809", JSON_DOUBLE, -9223372036854775809.0},
        {"12345678", JSON_UINT, 12345678},
        {"123456789012", JSON_UINT, 123456789012.0},
        {"1.0", JSON_DOUBLE, 1},
        {"1e2", JSON_DOUBLE, 100},
        {"1E+2", JSON_DOUBLE, 100},
        {"100e-2", JSON_DOUBLE, 1},
        {"0.10000000149011612", JSON_DOUBLE, (double)0.1f},
        {"-0.0", JSON_DOUBLE, -0.0},
        {"1.7976931348623157e308", JSON_DOUBLE, 1.7976931348623157e308},
        {"0.00000000000000000000000000000000001e340", JSON_DOUBLE, 1e305},
        {"1e-400", JSON_DOUBLE, 0},
        {"18446744073709551615.5", JSON_DOUBLE, 18446744073709551616.0},
        {"123456789012345678901234567890", JSON_DOUBLE, 123456789012345678901234567890.0},
        {"Infinity", JSON_DOUBLE, (double)INFINITY},
        {"-Inf", JSON_DOUBLE, -(double)INFINITY},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct json_node *node = parse(cases[i].text);
        double value;
        assert_int_equal(node->type, cases[i].type);
        assert_true(json_as_f64(node, &value));
        assert_true(value == cases[i].value);
    }
    assert_true(isnan(parse("NaN")->as.d));
    assert_true(signbit(parse("-0.0")->as.d));
}

static void json_strings_borrow_or_unescape(void **state)
{
    (void)state;
    const char *plain = "\"a longer string without any escape \xc3\xa4 in it\"";
    const struct json_node *node = parse(plain);
    assert_ptr_equal(node->as.s, plain + 1);
    assert_int_equal(node->span, strlen(plain) - 2);

    assert_slice(json_text(parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"")), "\"\\/\b\f\n\r\t");
    assert_slice(json_text(parse("\"\\u0041\\u00e4\\u20AC\\ud83d\\ude00!\"")),
                 "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80!");
    node = parse("\"a\\u0000b\"");
    assert_int_equal(node->span, 3);
    assert_memory_equal(node->as.s, "a\0b", 3);
    assert_slice(
        json_text(parse("\"a string whose escape comes late in it: \\n and more text after\"")),
        "a string whose escape comes late in it: \n and more text after");
    assert_slice(json_text(parse("\"\"")), "");
    assert_slice(json_text(parse("\"\x7f\xff\"")), "\x7f\xff");
}

static void json_strings_of_every_length_are_scanned(void **state)
{
    (void)state;
    char text[128];
    for (size_t length = 0; length < 100; length++) {
        for (size_t escape = 0; escape <= length; escape += 9) {
            size_t at = 0;
            text[at++] = '"';
            for (size_t i = 0; i < length; i++) {
                if (i == escape) {
                    text[at++] = '\\';
                }
                text[at++] = i == escape ? 'n' : 'x';
            }
            text[at++] = '"';
            text[at] = '\0';
            const struct json_node *node = parse(text);
            assert_int_equal(node->span, length);
            for (size_t i = 0; i < length; i++) {
                assert_int_equal(node->as.s[i], i == escape ? '\n' : 'x');
            }
            arena_reset(&arena);
        }
    }
}

static void json_errors_have_rapidjsons_texts_and_offsets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *reason;
        size_t offset;
    } cases[] = {
        {"", "The document is empty.", 0},
        {" \n\t\r", "The document is empty.", 4},
        {"]", "The document is empty.", 0},
        {" }", "The document is empty.", 1},
        {",", "The document is empty.", 0},
        {":", "The document is empty.", 0},
        {"x", "Invalid value.", 0},
        {"{} x", "The document root must not be followed by other values.", 3},
        {"1 2", "The document root must not be followed by other values.", 2},
        {"01", "The document root must not be followed by other values.", 1},
        {"{", "Missing a name for object member.", 1},
        {"{1:2}", "Missing a name for object member.", 1},
        {"{\"a\":1,}", "Missing a name for object member.", 7},
        {"{\"a\"}", "Missing a colon after a name of object member.", 4},
        {"{\"a\"", "Missing a colon after a name of object member.", 4},
        {"{\"a\":", "Invalid value.", 5},
        {"{\"a\":}", "Invalid value.", 5},
        {"{\"a\":1", "Missing a comma or '}' after an object member.", 6},
        {"{\"a\":1 \"b\"", "Missing a comma or '}' after an object member.", 7},
        {"{\"a\":1]", "Missing a comma or '}' after an object member.", 6},
        {"[", "Invalid value.", 1},
        {"[1", "Missing a comma or ']' after an array element.", 2},
        {"[1 2]", "Missing a comma or ']' after an array element.", 3},
        {"[1}", "Missing a comma or ']' after an array element.", 2},
        {"[1,]", "Invalid value.", 3},
        {"[,1]", "Invalid value.", 1},
        {"nul", "Invalid value.", 3},
        {"nulx", "Invalid value.", 3},
        {"tru", "Invalid value.", 3},
        {"fals0", "Invalid value.", 4},
        {"-", "Invalid value.", 1},
        {"-x", "Invalid value.", 1},
        {"+1", "Invalid value.", 0},
        {".5", "Invalid value.", 0},
        {"Nax", "Invalid value.", 2},
        {"Infin", "Invalid value.", 5},
        {"1.", "Miss fraction part in number.", 2},
        {"1.e5", "Miss fraction part in number.", 2},
        {"1e", "Miss exponent in number.", 2},
        {"1e+", "Miss exponent in number.", 3},
        {"[1e309]", "Number too big to be stored in double.", 1},
        {"[-1e309]", "Number too big to be stored in double.", 1},
        {"1.8e308", "Number too big to be stored in double.", 0},
        {"0e309", "Number too big to be stored in double.", 0},
        {"\"abc", "Missing a closing quotation mark in string.", 4},
        {"\"a\\n", "Missing a closing quotation mark in string.", 4},
        {"\"\\", "Invalid escape character in string.", 1},
        {"\"a\\x\"", "Invalid escape character in string.", 2},
        {"\"\\u12g4\"", "Incorrect hex digit after \\u escape in string.", 1},
        {"\"\\u12\"", "Incorrect hex digit after \\u escape in string.", 1},
        {"\"\\udc00\"", "The surrogate pair in string is invalid.", 1},
        {"\"\\ud800\"", "The surrogate pair in string is invalid.", 1},
        {"\"\\ud800\\n\"", "The surrogate pair in string is invalid.", 1},
        {"\"\\ud800\\u0041\"", "The surrogate pair in string is invalid.", 1},
        {"\"a\nb\"", "Invalid escape character in string.", 2},
        {"\"a\\tb\x01\"", "Invalid escape character in string.", 5},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct json_node *root;
        struct json_error error = {0};
        assert_false(json_parse(&arena, slice_of(cases[i].text), JSON_NAN, &root, &error));
        assert_string_equal(error.reason, cases[i].reason);
        assert_int_equal(error.offset, cases[i].offset);
    }
    const struct json_node *root;
    struct nrd_status *status =
        json_parse_status(&arena, SLICE("{"), JSON_STRICT, "request", &root);
    assert_int_equal(status_code(status), NRD_INTERNAL);
    assert_string_equal(
        status_text(status),
        "failed to parse the request JSON buffer: Missing a name for object member. at 1");
    status_free(status);
    struct json_error error;
    assert_false(json_parse(&arena, SLICE("NaN"), JSON_STRICT, &root, &error));
    assert_false(json_parse(&arena, SLICE("-Inf"), JSON_STRICT, &root, &error));
    assert_int_equal(error.offset, 1);
}

static void json_ends_at_a_nul_and_skips_a_byte_order_mark(void **state)
{
    (void)state;
    const struct json_node *root;
    struct json_error error;
    assert_true(json_parse(&arena, SLICE("[1]\0garbage"), JSON_NAN, &root, &error));
    assert_int_equal(root->count, 1);
    assert_false(json_parse(&arena, SLICE("[1\0]"), JSON_NAN, &root, &error));
    assert_int_equal(error.offset, 2);
    assert_false(json_parse(&arena, SLICE("\"a\0\""), JSON_NAN, &root, &error));
    assert_string_equal(error.reason, "Missing a closing quotation mark in string.");
    assert_true(json_parse(&arena, SLICE("\xef\xbb\xbf{}"), JSON_NAN, &root, &error));
    assert_true(json_parse(&arena, SLICE("\xef\xbf{}"), JSON_NAN, &root, &error));
    assert_false(json_parse(&arena, SLICE("\xbb\xef"), JSON_NAN, &root, &error));
    assert_int_equal(error.offset, 1);
    assert_false(json_parse(&arena, SLICE("\xef\xbb\xbfx"), JSON_NAN, &root, &error));
    assert_int_equal(error.offset, 3);
}

static void json_depth_is_bounded(void **state)
{
    (void)state;
    char text[2002];
    memset(text, '[', 1000);
    memset(text + 1000, ']', 1000);
    text[2000] = '\0';
    const struct json_node *root = parse(text);
    assert_int_equal(root->span, 1000);
    memset(text, '[', 2001);
    text[2001] = '\0';
    struct json_error error;
    assert_false(json_parse(&arena, slice_of(text), JSON_NAN, &root, &error));
    assert_int_equal(error.offset, 1000);
}

static void json_never_reads_past_the_end(void **state)
{
    (void)state;
    // Every prefix in memory of exactly its size: AddressSanitizer watches.
    static const char text[] =
        "{\"inputs\":[{\"name\":\"IN\\u00e4\\ud83d\\ude00\",\"shape\":[1,16],\"data\":[1.5e-3,-"
        "12345678,true,"
        "null,NaN,-Infinity,0.12345678901234567]}],\"parameters\":{\"a\":false}}";
    for (size_t length = 0; length < sizeof(text) - 1; length++) {
        char *copy = mem_alloc(length);
        memcpy(copy, text, length);
        const struct json_node *root;
        struct json_error error;
        assert_false(json_parse(&arena, slice_make(copy, length), JSON_NAN, &root, &error));
        assert_true(error.offset <= length);
        mem_free(copy);
        arena_reset(&arena);
    }
}

static void json_wants_have_tritons_texts(void **state)
{
    (void)state;
    const struct json_node *root =
        parse("{\"s\":\"x\",\"u\":5,\"i\":-5,\"d\":1.5,\"b\":true,\"a\":[]}");
    const struct json_node *node;
    struct slice text;
    uint64_t u;
    int64_t i;
    double d;
    bool b;
    assert_null(json_member(root, "u", &node));
    assert_null(json_want_u64(node, &u));
    assert_null(json_want_i64(node, &i));
    assert_null(json_want_f64(node, &d));
    assert_true(u == 5 && i == 5 && d == 5.0);
    assert_null(json_want_i64(json_get(root, "i"), &i));
    assert_null(json_want_bool(json_get(root, "b"), &b));
    assert_true(i == -5 && b);
    assert_null(json_want_string(json_get(root, "s"), &text));
    assert_null(json_want_array(json_get(root, "a")));
    assert_null(json_want_object(root));

    const struct {
        struct nrd_status *status;
        const char *text;
    } cases[] = {
        {json_member(root, "zz", &node), "attempt to access non-existing object member 'zz'"},
        {json_want_string(root, &text), "attempt to access JSON non-string as string"},
        {json_want_u64(json_get(root, "i"), &u),
         "attempt to access JSON non-unsigned-integer as unsigned-integer"},
        {json_want_i64(json_get(root, "d"), &i),
         "attempt to access JSON non-signed-integer as signed-integer"},
        {json_want_f64(json_get(root, "s"), &d), "attempt to access JSON non-number as double"},
        {json_want_bool(json_get(root, "u"), &b), "attempt to access JSON non-boolean as boolean"},
        {json_want_array(root), "attempt to access JSON non-array as array"},
        {json_want_object(json_get(root, "a")), "attempt to access JSON non-object as object"},
    };
    for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        assert_int_equal(status_code(cases[n].status), NRD_INTERNAL);
        assert_string_equal(status_text(cases[n].status), cases[n].text);
        status_free(cases[n].status);
    }
}

static void json_writes_compactly(void **state)
{
    (void)state;
    struct str out = STR_INIT;
    struct json_writer w;
    json_begin(&w, &out);
    json_object_begin(&w);
    json_key(&w, "a");
    json_array_begin(&w);
    json_u64(&w, UINT64_MAX);
    json_i64(&w, -1);
    json_f64(&w, 0.5);
    json_f64(&w, (double)NAN);
    json_bool(&w, true);
    json_null(&w);
    json_array_begin(&w);
    json_array_end(&w);
    json_raw(&w, SLICE("{\"r\":1}"));
    json_array_end(&w);
    json_key(&w, "b\"");
    json_cstring(&w, "\x01\x1f\n\t/\\\xc3\xa4\x7f");
    json_key(&w, "c");
    json_object_begin(&w);
    json_object_end(&w);
    json_object_end(&w);
    assert_string_equal(str_cstr(&out),
                        "{\"a\":[18446744073709551615,-1,0.5,NaN,true,null,[],{\"r\":1}],"
                        "\"b\\\"\":\"\\u0001\\u001F\\n\\t/\\\\\xc3\xa4\x7f\",\"c\":{}}");
    str_fini(&out);
}

static void json_write_node_repeats_the_document(void **state)
{
    (void)state;
    const char *text =
        "{\"a\":[1,-2,2.5,[],[[\"x\\\"y\"]],{\"b\":{\"c\":null}}],\"d\":false,\"e\":NaN}";
    struct str out = STR_INIT;
    struct json_writer w;
    json_begin(&w, &out);
    json_write_node(&w, parse(text));
    assert_string_equal(str_cstr(&out), text);
    str_fini(&out);
}

static void json_first_of_duplicates_wins(void **state)
{
    (void)state;
    assert_true(json_get(parse("{\"a\":1,\"ab\":2,\"a\":3}"), "a")->as.u == 1);
}

static void json_survives_no_memory(void **state)
{
    (void)state;
    char text[9000] = "[\"\\n\"";
    size_t length = strlen(text);
    while (length < 8000) {
        length += (size_t)snprintf(text + length, sizeof(text) - length, ",%d", (int)(length % 10));
    }
    text[length++] = ']';
    unsigned failures = 0;
    TORTURE(n)
    {
        struct arena own;
        arena_init(&own, 256);
        const struct json_node *root;
        struct json_error error;
        if (!json_parse(&own, slice_make(text, length), JSON_NAN, &root, &error)) {
            assert_string_equal(error.reason, "Out of memory.");
            failures++;
        }
        arena_fini(&own);
    }
    assert_true(failures >= 3);
}

static void json_array_of_numbers_is_contiguous(void **state)
{
    (void)state;
    struct str text = STR_INIT;
    str_append_char(&text, '[');
    for (int i = 0; i < 10000; i++) {
        str_printf(&text, "%s%d", i == 0 ? "" : ", ", i);
    }
    str_append_char(&text, ']');
    const struct json_node *root = parse(str_cstr(&text));
    assert_int_equal(root->count, 10000);
    for (uint64_t i = 0; i < 10000; i++) {
        assert_true(root[i + 1].as.u == i);
    }
    str_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_reads_every_type),
        cmocka_unit_test(json_numbers_keep_their_kind),
        cmocka_unit_test(json_strings_borrow_or_unescape),
        cmocka_unit_test(json_strings_of_every_length_are_scanned),
        cmocka_unit_test(json_errors_have_rapidjsons_texts_and_offsets),
        cmocka_unit_test(json_ends_at_a_nul_and_skips_a_byte_order_mark),
        cmocka_unit_test(json_depth_is_bounded),
        cmocka_unit_test(json_never_reads_past_the_end),
        cmocka_unit_test(json_wants_have_tritons_texts),
        cmocka_unit_test(json_writes_compactly),
        cmocka_unit_test(json_write_node_repeats_the_document),
        cmocka_unit_test(json_first_of_duplicates_wins),
        cmocka_unit_test(json_survives_no_memory),
        cmocka_unit_test(json_array_of_numbers_is_contiguous),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
