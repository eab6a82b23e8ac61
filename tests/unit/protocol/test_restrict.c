// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "protocol/restrict.h"

static void assert_status(struct nrd_status *status, const char *text)
{
    assert_string_equal(status_text(status), text);
    assert_int_equal(status_code(status), NRD_INVALID_ARG);
    status_free(status);
}

static void restrict_rules_hold_per_category(void **state)
{
    (void)state;
    struct restrict_rules r;
    restrict_init(&r);
    assert_null(
        restrict_add(&r, "api", "", SLICE("health,shared-memory"), SLICE("k1"), SLICE("v1")));
    assert_null(restrict_add(&r, "api", "triton-grpc-protocol-", SLICE("logging"), SLICE("k2"),
                             SLICE("v2")));
    const struct restrict_rule *rule = restrict_rule(&r, RESTRICT_SHARED_MEMORY);
    assert_string_equal(rule->key, "k1");
    assert_true(restrict_passes(rule, SLICE("v1")));
    assert_false(restrict_passes(rule, SLICE("v2")));
    assert_false(restrict_passes(rule, SLICE("v")));
    assert_false(restrict_passes(rule, SLICE("V1")));
    assert_false(restrict_passes(rule, slice_of(NULL)));
    assert_string_equal(restrict_rule(&r, RESTRICT_LOGGING)->key, "triton-grpc-protocol-k2");
    assert_null(restrict_rule(&r, RESTRICT_INFERENCE));
    restrict_fini(&r);
    assert_null(restrict_rule(&r, RESTRICT_HEALTH));
}

static void restrict_add_has_tritons_texts(void **state)
{
    (void)state;
    struct restrict_rules r;
    restrict_init(&r);
    assert_status(restrict_add(&r, "api", "", SLICE("health,nope"), SLICE("k"), SLICE("v")),
                  "unknown restricted api 'nope' ");
    assert_status(restrict_add(&r, "protocol", "", SLICE("health"), SLICE("k"), SLICE("v")),
                  "restricted protocol 'health' can not be specified in multiple config groups");
    restrict_fini(&r);
    for (int i = 0; i < RESTRICT_CATEGORY_COUNT; i++) {
        const char *name = restrict_category_name((enum restrict_category)i);
        assert_null(restrict_add(&r, "api", "", slice_of(name), SLICE("k"), SLICE("v")));
    }
    restrict_fini(&r);
}

static void restrict_survives_no_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 12; n++) {
        struct restrict_rules r;
        struct header_pattern *pattern = NULL;
        restrict_init(&r);
        mem_fail_after(n);
        status_free(restrict_add(&r, "api", "p-", SLICE("trace,health"), SLICE("k"), SLICE("v")));
        status_free(header_pattern_create("[a\\d]+", &pattern));
        mem_fail_after(0);
        header_pattern_destroy(pattern);
        restrict_fini(&r);
    }
}

static void header_pattern_searches_whatever_the_case(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *yes;
        const char *no;
    } cases[] = {
        {"my_header", "X-My_Header-2", "my-header"},
        {"^(my_header|other).*$", "otherwise", "another"},
        {"(?i)ABC", "xabcx", "ab"},
        {"x-(?:a|b)$", "X-B", "x-c"},
        {"h\\d+", "H12", "hd"},
        {"^\\D$", "a", "1"},
        {"a.*?b", "axxb", "ax"},
        {"a+?$", "caa", "b"},
        {"a{2}?$", "aa", "a"},
        {"^[\\w]+$", "a_1", "a-1"},
        {"^\\w+$", "a_1", "a-1"},
        {"^[\\-a]+$", "-a", "b"},
        {"^[\\]a]+$", "]a", "b"},
        {"^[\\^]$", "^", "a"},
        {"^[\\^\\-]$", "-", "a"},
        {"^[^\\-x]$", "a", "-"},
        {"^[[:digit:]x]+$", "1x", "y"},
        {"^[.$]$", ".", "a"},
        {"a\\.b", "a.b", "axb"},
        {"x-[a-c]", "X-C", "x-d"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct header_pattern *pattern = NULL;
        assert_null(header_pattern_create(cases[i].pattern, &pattern));
        assert_true(header_pattern_matches(pattern, slice_of(cases[i].yes)));
        assert_false(header_pattern_matches(pattern, slice_of(cases[i].no)));
        header_pattern_destroy(pattern);
    }
}

static void header_pattern_of_nothing_matches_nothing(void **state)
{
    (void)state;
    struct header_pattern *pattern = NULL;
    assert_null(header_pattern_create("", &pattern));
    assert_null(pattern);
    assert_null(header_pattern_create(NULL, &pattern));
    assert_false(header_pattern_matches(pattern, SLICE("a")));
    header_pattern_destroy(pattern);
    assert_null(header_pattern_create(".*", &pattern));
    assert_true(header_pattern_matches(pattern, SLICE("")));
    assert_false(header_pattern_matches(pattern, SLICE("a\0b")));
    header_pattern_destroy(pattern);
}

static void header_pattern_refuses_what_it_cannot_say(void **state)
{
    (void)state;
    static const char *const bad[] = {"(",     "[a",   "a\\",   "(?P<x>a)", "(?s)a",    "\\pL",
                                      "[\\x4", "[[:a", "(?=a)", "\\Aa",     "[\\Qa\\E]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct header_pattern *pattern = NULL;
        struct nrd_status *status = header_pattern_create(bad[i], &pattern);
        assert_int_equal(status_code(status), NRD_INVALID_ARG);
        assert_non_null(strstr(status_text(status), bad[i]));
        assert_null(pattern);
        status_free(status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restrict_rules_hold_per_category),
        cmocka_unit_test(restrict_add_has_tritons_texts),
        cmocka_unit_test(restrict_survives_no_memory),
        cmocka_unit_test(header_pattern_searches_whatever_the_case),
        cmocka_unit_test(header_pattern_of_nothing_matches_nothing),
        cmocka_unit_test(header_pattern_refuses_what_it_cannot_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
