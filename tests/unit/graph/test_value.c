// SPDX-License-Identifier: Apache-2.0
#include "graph_unit.h"

#include <math.h>
#include <stdio.h>

#include "base/str.h"
#include "graph/value.h"

static void value_scalars_are_what_yaml_cpp_takes_them_for(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum nrd_value_kind kind;
        double number; // of int, real; 1 or 0 of bool
    } cases[] = {
        {"~", NRD_VALUE_NULL, 0},
        {"null", NRD_VALUE_NULL, 0},
        {"NULL", NRD_VALUE_NULL, 0},
        {"nULL", NRD_VALUE_STRING, 0},
        {"", NRD_VALUE_NULL, 0},
        {"y", NRD_VALUE_BOOL, 1},
        {"Yes", NRD_VALUE_BOOL, 1},
        {"ON", NRD_VALUE_BOOL, 1},
        {"true", NRD_VALUE_BOOL, 1},
        {"tRUE", NRD_VALUE_STRING, 0},
        {"n", NRD_VALUE_BOOL, 0},
        {"No", NRD_VALUE_BOOL, 0},
        {"off", NRD_VALUE_BOOL, 0},
        {"FALSE", NRD_VALUE_BOOL, 0},
        {"0", NRD_VALUE_INT, 0},
        {"-0", NRD_VALUE_INT, 0},
        {"42", NRD_VALUE_INT, 42},
        {"+42", NRD_VALUE_INT, 42},
        {"-42", NRD_VALUE_INT, -42},
        {"0x1F", NRD_VALUE_INT, 31},
        {"-0x10", NRD_VALUE_INT, -16},
        {"0o17", NRD_VALUE_INT, 15},
        {"017", NRD_VALUE_INT, 15},
        {"0xZ", NRD_VALUE_STRING, 0},
        {"0x", NRD_VALUE_STRING, 0},
        {"9223372036854775807", NRD_VALUE_INT, 9223372036854775807.0},
        {"9223372036854775808", NRD_VALUE_REAL, 9223372036854775808.0},
        {"0x8000000000000000", NRD_VALUE_STRING, 0},
        {"1.5", NRD_VALUE_REAL, 1.5},
        {"-.5", NRD_VALUE_REAL, -.5},
        {"1.", NRD_VALUE_REAL, 1},
        {"1e3", NRD_VALUE_REAL, 1000},
        {".inf", NRD_VALUE_REAL, INFINITY},
        {"-.Inf", NRD_VALUE_REAL, -INFINITY},
        {"inf", NRD_VALUE_STRING, 0},
        {"nan", NRD_VALUE_STRING, 0},
        {"-", NRD_VALUE_STRING, 0},
        {"1_000", NRD_VALUE_STRING, 0},
        {"1:30", NRD_VALUE_STRING, 0},
        {"20ms", NRD_VALUE_STRING, 0},
        {"1e", NRD_VALUE_STRING, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct value_scalar scalar;
        value_scan(cases[i].text, &scalar);
        if (scalar.kind != cases[i].kind) {
            print_error("'%s'\n", cases[i].text);
        }
        assert_int_equal(scalar.kind, cases[i].kind);
        double number = scalar.kind == NRD_VALUE_INT    ? (double)scalar.integer
                        : scalar.kind == NRD_VALUE_REAL ? scalar.real
                        : scalar.kind == NRD_VALUE_BOOL ? (double)scalar.truth
                                                        : 0;
        assert_true(number == cases[i].number);
    }
    struct value_scalar scalar;
    value_scan(".NaN", &scalar);
    assert_true(scalar.kind == NRD_VALUE_REAL && isnan(scalar.real));
}

static void value_parse_keeps_order_kinds_and_positions(void **state)
{
    (void)state;
    struct nrd_value *root = yaml("b: 1\na:\n  - x\n  - \"2\"\n  - {c: yes, d: ~}\n");
    assert_int_equal(nrd_value_kind(root), NRD_VALUE_MAP);
    assert_int_equal(nrd_value_count(root), 2);
    assert_string_equal(nrd_value_key(root, 0), "b");
    assert_string_equal(nrd_value_key(root, 1), "a");
    assert_null(nrd_value_key(root, 2));
    const struct nrd_value *list = nrd_value_get(root, "a");
    assert_int_equal(nrd_value_count(list), 3);
    assert_int_equal(nrd_value_kind(nrd_value_at(list, 1)), NRD_VALUE_STRING);
    assert_string_equal(nrd_value_text(nrd_value_at(list, 1)), "2");
    const struct nrd_value *inner = nrd_value_at(list, 2);
    bool truth = false;
    assert_true(nrd_value_get_bool(nrd_value_get(inner, "c"), &truth) && truth);
    assert_int_equal(nrd_value_kind(nrd_value_get(inner, "d")), NRD_VALUE_NULL);
    assert_int_equal(nrd_value_line(nrd_value_get(inner, "c")), 5);
    assert_int_equal(nrd_value_column(nrd_value_get(inner, "c")), 9);
    assert_int_equal(value_key_position(inner, 1).column, 14);
    assert_string_equal(nrd_value_file(inner), "t.yaml");
    assert_null(nrd_value_get(root, "z"));
    assert_null(nrd_value_get(list, "a"));
    assert_null(nrd_value_at(list, 3));
    nrd_value_free(root);
}

static void value_parse_names_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *error;
    } cases[] = {
        {"a: [1, 2\nb: 3\n", "t.yaml:2:2: did not find expected ',' or ']' (while parsing a flow "
                             "sequence at line 1)"},
        {"a: *b\n", "t.yaml:1:4: there is no anchor 'b' before this alias"},
        {"[a]: 1\n", "t.yaml:1:1: a key must be a scalar"},
        {"a: \"x\\0y\"\n", "t.yaml:1:4: a text may not hold a NUL"},
        {"x\n\xff\n", "t.yaml:2:1: invalid leading UTF-8 octet"},
        {"{} {}\n", "t.yaml:1:4: did not find expected <document start>"},
        {"<<: 3\n", "t.yaml:1:5: '<<' wants a map or a list of maps"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nrd_value *value = NULL;
        assert_fails(nrd_value_parse(cases[i].text, strlen(cases[i].text), "t.yaml", &value),
                     NRD_INVALID_ARG, cases[i].error);
        assert_null(value);
    }
}

static void value_parse_reads_json_and_the_first_document(void **state)
{
    (void)state;
    struct nrd_value *root = NULL;
    bool more = false;
    const char *text = "---\n{\"a\": [1, 2.5, null, true, \"\\u00e9\"]}\n---\nb: 2\n";
    assert_ok(value_parse_first(text, strlen(text), NULL, &root, &more));
    assert_true(more);
    assert_string_equal(nrd_value_text(nrd_value_at(nrd_value_get(root, "a"), 4)), "\xc3\xa9");
    assert_string_equal(nrd_value_file(root), "text");
    nrd_value_free(root);
    assert_ok(value_parse_first("a: 1\n", 5, NULL, &root, &more));
    assert_false(more);
    nrd_value_free(root);
    root = yaml("");
    assert_int_equal(nrd_value_kind(root), NRD_VALUE_NULL);
    nrd_value_free(root);
}

static void value_parse_last_duplicate_wins_in_the_first_place(void **state)
{
    (void)state;
    struct nrd_value *root = yaml("{a: 1, b: 2, a: {c: 3}}");
    assert_int_equal(nrd_value_count(root), 2);
    assert_int_equal(nrd_value_kind(nrd_value_at(root, 0)), NRD_VALUE_MAP);
    assert_int_equal(root->nodes, 4);
    nrd_value_free(root);
}

static void value_parse_follows_anchors_and_merges(void **state)
{
    (void)state;
    struct nrd_value *root = yaml("base: &b {x: 1, y: 2}\n"
                                  "other: &o {x: 7, z: 9}\n"
                                  "same: *b\n"
                                  "one: {<<: *b, y: 3}\n"
                                  "two: {<<: [*b, *o]}\n"
                                  "text: {\"<<\": 4}\n"
                                  "name: &n hello\n"
                                  "*n : 5\n");
    assert_string_equal(nrd_value_text(nrd_value_get(nrd_value_get(root, "same"), "y")), "2");
    assert_string_equal(nrd_value_text(nrd_value_get(nrd_value_get(root, "one"), "x")), "1");
    assert_string_equal(nrd_value_text(nrd_value_get(nrd_value_get(root, "one"), "y")), "3");
    assert_string_equal(nrd_value_text(nrd_value_get(nrd_value_get(root, "two"), "x")), "1");
    assert_string_equal(nrd_value_text(nrd_value_get(nrd_value_get(root, "two"), "z")), "9");
    assert_string_equal(nrd_value_text(nrd_value_get(nrd_value_get(root, "text"), "<<")), "4");
    assert_string_equal(nrd_value_text(nrd_value_get(root, "hello")), "5");
    nrd_value_free(root);
}

static void value_parse_bounds_what_aliases_make(void **state)
{
    (void)state;
    struct str text = STR_INIT;
    struct nrd_value *root = NULL;
    str_append_cstr(&text, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 9; i++) {
        str_printf(&text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++) {
            str_printf(&text, "%s*a%d", j == 0 ? "" : ",", i - 1);
        }
        str_append_cstr(&text, "]\n");
    }
    struct nrd_status *status = nrd_value_parse(text.ptr, text.len, "bomb.yaml", &root);
    assert_non_null(strstr(status_text(status), "more than 1000000 nodes (aliases counted)"));
    assert_memory_equal(status_text(status), "bomb.yaml:", 10);
    status_free(status);
    str_fini(&text);
}

static void value_parse_bounds_depth(void **state)
{
    (void)state;
    char text[300];
    struct nrd_value *root = NULL;
    memset(text, '[', sizeof text);
    assert_fails(nrd_value_parse(text, sizeof text, "d.yaml", &root), NRD_INVALID_ARG,
                 "d.yaml:1:129: nested deeper than 128 levels");
}

static void value_maps_with_many_keys_find_them_all(void **state)
{
    (void)state;
    struct nrd_value *map = nrd_value_map();
    char key[16];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1000; i++) {
            snprintf(key, sizeof key, "key%d", i);
            assert_ok(nrd_value_set(map, key, nrd_value_int(i + round)));
        }
    }
    assert_int_equal(nrd_value_count(map), 1000);
    struct nrd_value *copy = nrd_value_copy(map);
    nrd_value_free(map);
    for (int i = 0; i < 1000; i++) {
        int64_t number = 0;
        snprintf(key, sizeof key, "key%d", i);
        assert_true(nrd_value_get_int(nrd_value_get(copy, key), &number));
        assert_int_equal(number, i + 1);
    }
    nrd_value_free(copy);
}

static void value_made_in_memory_prints_itself(void **state)
{
    (void)state;
    struct nrd_value *list = nrd_value_list();
    assert_ok(nrd_value_append(list, nrd_value_int(-3)));
    assert_ok(nrd_value_append(list, nrd_value_real(0.5)));
    assert_ok(nrd_value_append(list, nrd_value_bool(true)));
    assert_ok(nrd_value_append(list, nrd_value_null()));
    assert_ok(nrd_value_append(list, nrd_value_string("x")));
    static const char *const texts[] = {"-3", "0.5", "true", "null", "x"};
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(nrd_value_text(nrd_value_at(list, i)), texts[i]);
        assert_int_equal(nrd_value_line(nrd_value_at(list, i)), 0);
        assert_string_equal(nrd_value_file(nrd_value_at(list, i)), "");
    }
    double real = 0;
    assert_true(nrd_value_get_real(nrd_value_at(list, 0), &real) && real == -3);
    assert_fails(nrd_value_set(list, "a", nrd_value_null()), NRD_INVALID_ARG,
                 "the value is no map");
    assert_fails(nrd_value_append(NULL, nrd_value_null()), NRD_INVALID_ARG, "the value is no list");
    nrd_value_free(list);
    assert_int_equal(nrd_value_kind(NULL), NRD_VALUE_NULL);
    assert_string_equal(nrd_value_text(NULL), "");
}

static void value_load_says_which_file_is_absent(void **state)
{
    (void)state;
    struct nrd_value *value = NULL;
    assert_fails(nrd_value_load("/nonexistent/a.yaml", &value), NRD_NOT_FOUND,
                 "there is no file '/nonexistent/a.yaml'");
}

static void value_parse_survives_each_failing_allocation(void **state)
{
    (void)state;
    static const char text[] = "a: &x {b: [1, two, 3.5], c: {<<: {d: 4}}}\ne: *x\n"
                               "f: {0: a, 1: a, 2: a, 3: a, 4: a, 5: a, 6: a, 7: a, 8: a, 9: a,"
                               " 10: a, 11: a, 12: a, 13: a, 14: a, 15: a, 16: a, 17: a}\n";
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        struct nrd_value *value = NULL;
        uint64_t before = mem_count();
        mem_fail_after(n);
        struct nrd_status *status = nrd_value_parse(text, sizeof text - 1, "t.yaml", &value);
        mem_fail_after(0);
        done = mem_count() - before < n;
        if (status != NULL) {
            assert_int_equal(status_code(status), NRD_UNAVAILABLE);
            assert_null(value);
        } else {
            assert_int_equal(nrd_value_count(nrd_value_get(value, "f")), 18);
        }
        assert_true(status != NULL || value != NULL);
        status_free(status);
        nrd_value_free(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_scalars_are_what_yaml_cpp_takes_them_for),
        cmocka_unit_test(value_parse_keeps_order_kinds_and_positions),
        cmocka_unit_test(value_parse_names_line_and_column),
        cmocka_unit_test(value_parse_reads_json_and_the_first_document),
        cmocka_unit_test(value_parse_last_duplicate_wins_in_the_first_place),
        cmocka_unit_test(value_parse_follows_anchors_and_merges),
        cmocka_unit_test(value_parse_bounds_what_aliases_make),
        cmocka_unit_test(value_parse_bounds_depth),
        cmocka_unit_test(value_maps_with_many_keys_find_them_all),
        cmocka_unit_test(value_made_in_memory_prints_itself),
        cmocka_unit_test(value_load_says_which_file_is_absent),
        cmocka_unit_test(value_parse_survives_each_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
