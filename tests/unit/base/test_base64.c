// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/base64.h"

static void base64_follows_the_rfc(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct str out = STR_INIT;
        base64_encode(slice_of(pairs[i][0]), &out);
        assert_string_equal(str_cstr(&out), pairs[i][1]);
        str_clear(&out);
        assert_null(base64_decode(slice_of(pairs[i][1]), &out));
        assert_string_equal(str_cstr(&out), pairs[i][0]);
        str_fini(&out);
    }
}

static void base64_turns_all_bytes_round(void **state)
{
    (void)state;
    char bytes[256];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
    }
    struct str text = STR_INIT;
    struct str back = STR_INIT;
    base64_encode(slice_make(bytes, 256), &text);
    assert_null(base64_decode(str_slice(&text), &back));
    assert_int_equal(back.len, 256);
    assert_memory_equal(back.ptr, bytes, 256);
    str_fini(&text);
    str_fini(&back);
}

static void base64_passes_over_white_space_and_lacking_padding(void **state)
{
    (void)state;
    struct str out = STR_INIT;
    assert_null(base64_decode(SLICE(" Zm9v\r\n\tYg"), &out));
    assert_string_equal(str_cstr(&out), "foob");
    str_fini(&out);
}

static void base64_refuses_what_is_not(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Z", "Zg=", "Zg===", "=", "Zm9v=", "Zg==Zg==", "Zm9*", "Zm-_", "Zm9vY"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct str out = STR_INIT;
        str_append_cstr(&out, "before");
        struct nrd_status *status = base64_decode(slice_of(bad[i]), &out);
        assert_int_equal(status_code(status), NRD_INVALID_ARG);
        status_free(status);
        assert_string_equal(str_cstr(&out), "before");
        str_fini(&out);
    }
}

static void base64_survives_no_memory(void **state)
{
    (void)state;
    struct str out = STR_INIT;
    mem_fail_after(1);
    struct nrd_status *status = base64_decode(SLICE("Zm9v"), &out);
    assert_ptr_equal(status, status_no_memory());
    str_clear(&out);
    mem_fail_after(1);
    base64_encode(SLICE("foo"), &out);
    assert_true(out.failed);
    str_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_follows_the_rfc),
        cmocka_unit_test(base64_turns_all_bytes_round),
        cmocka_unit_test(base64_passes_over_white_space_and_lacking_padding),
        cmocka_unit_test(base64_refuses_what_is_not),
        cmocka_unit_test(base64_survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
