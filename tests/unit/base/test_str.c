// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/str.h"

static void str_is_empty_before_the_first_append(void **state)
{
    (void)state;
    struct str s = STR_INIT;
    assert_string_equal(str_cstr(&s), "");
    assert_int_equal(str_slice(&s).len, 0);
    str_truncate(&s, 0);
    str_clear(&s);
    assert_null(str_status(&s));
    char *text = str_take(&s);
    assert_string_equal(text, "");
    mem_free(text);
    str_fini(&s);
}

static void str_appends_and_terminates(void **state)
{
    (void)state;
    struct str s = STR_INIT;
    for (int i = 0; i < 1000; i++) {
        str_append_char(&s, (char)('a' + i % 26));
        assert_int_equal(str_cstr(&s)[i + 1], '\0');
    }
    str_append_slice(&s, SLICE("-"));
    str_append(&s, "\0x", 2);
    assert_int_equal(s.len, 1003);
    assert_memory_equal(s.ptr + 1000, "-\0x", 4);
    str_truncate(&s, 3);
    assert_string_equal(str_cstr(&s), "abc");
    char *text = str_take(&s);
    assert_string_equal(text, "abc");
    mem_free(text);
    assert_int_equal(s.len, 0);
}

static void str_prints_long_text(void **state)
{
    (void)state;
    struct str s = STR_INIT;
    str_printf(&s, "%d %s", 5, "x");
    str_printf(&s, "%600d", 1);
    assert_int_equal(s.len, 603);
    assert_int_equal(s.ptr[602], '1');
    assert_int_equal(s.ptr[603], '\0');
    str_fini(&s);
}

static void str_reserve_gives_room_and_a_terminator(void **state)
{
    (void)state;
    struct str s = STR_INIT;
    char *to = str_reserve(&s, 64);
    assert_non_null(to);
    memset(to, 'x', 64);
    to[64] = '\0';
    s.len += 64;
    assert_int_equal(strlen(str_cstr(&s)), 64);
    assert_null(str_reserve(&s, SIZE_MAX - 10));
    assert_true(s.failed);
    str_fini(&s);
}

static void str_failed_append_leaves_it_valid(void **state)
{
    (void)state;
    TORTURE(n)
    {
        struct str s = STR_INIT;
        for (int i = 0; i < 300; i++) {
            str_append_cstr(&s, "ab");
        }
        str_printf(&s, "%400d", 1);
        assert_int_equal(strlen(str_cstr(&s)), s.len);
        if (s.failed) {
            struct nrd_status *status = str_status(&s);
            assert_ptr_equal(status, status_no_memory());
            assert_null(str_take(&s));
        } else {
            assert_int_equal(s.len, 1000);
        }
        str_fini(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(str_is_empty_before_the_first_append),
        cmocka_unit_test(str_appends_and_terminates),
        cmocka_unit_test(str_prints_long_text),
        cmocka_unit_test(str_reserve_gives_room_and_a_terminator),
        cmocka_unit_test(str_failed_append_leaves_it_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
