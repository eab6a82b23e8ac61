// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

static void mem_zero_size_is_memory(void **state)
{
    (void)state;
    void *a = mem_alloc(0);
    void *b = mem_calloc(0, 8);
    void *c = mem_aligned(64, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    assert_int_equal((uintptr_t)c % 64, 0);
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(NULL);
}

static void mem_calloc_refuses_overflow(void **state)
{
    (void)state;
    volatile size_t huge = SIZE_MAX / 2;
    assert_null(mem_calloc(huge, 4));
}

static void mem_strndup_copies_and_terminates(void **state)
{
    (void)state;
    char *text = mem_strndup("abcdef", 3);
    assert_string_equal(text, "abc");
    mem_free(text);
    text = mem_strdup("");
    assert_string_equal(text, "");
    mem_free(text);
}

static void mem_fails_once_at_the_nth(void **state)
{
    (void)state;
    mem_fail_after(3);
    void *a = mem_alloc(1);
    void *b = mem_calloc(1, 1);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(mem_realloc(a, 10));
    void *c = mem_aligned(64, 1);
    assert_non_null(c);
    mem_free(a);
    mem_free(b);
    mem_free(c);
}

static void mem_count_counts(void **state)
{
    (void)state;
    uint64_t before = mem_count();
    void *a = mem_alloc(1);
    a = mem_realloc(a, 2);
    assert_int_equal(mem_count() - before, 2);
    mem_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mem_zero_size_is_memory),
        cmocka_unit_test(mem_calloc_refuses_overflow),
        cmocka_unit_test(mem_strndup_copies_and_terminates),
        cmocka_unit_test(mem_fails_once_at_the_nth),
        cmocka_unit_test(mem_count_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
