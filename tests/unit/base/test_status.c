// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/status.h"

static void status_holds_code_and_text(void **state)
{
    (void)state;
    struct nrd_status *status = status_new(NRD_NOT_FOUND, "model '%s' version %d", "m", 7);
    assert_int_equal(status_code(status), NRD_NOT_FOUND);
    assert_string_equal(status_text(status), "model 'm' version 7");
    status_free(status);
}

static void status_null_is_success(void **state)
{
    (void)state;
    assert_int_equal(status_code(NULL), NRD_OK);
    assert_string_equal(status_text(NULL), "");
    assert_null(status_copy(NULL));
    assert_null(status_wrap(NULL, "x"));
    status_free(NULL);
}

static void status_long_text_is_whole(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    struct nrd_status *status = status_new(NRD_INTERNAL, "%s!", text);
    assert_int_equal(strlen(status_text(status)), 1000);
    assert_int_equal(status_text(status)[999], '!');
    status_free(status);
}

static void status_wrap_puts_prefix_before(void **state)
{
    (void)state;
    struct nrd_status *status = status_new_text(NRD_UNSUPPORTED, "100%", 4);
    status = status_wrap(status, "in ensemble '%s', ", "e");
    assert_string_equal(status_text(status), "in ensemble 'e', 100%");
    assert_int_equal(status_code(status), NRD_UNSUPPORTED);
    struct nrd_status *copy = status_copy(status);
    assert_string_equal(status_text(copy), status_text(status));
    assert_int_equal(status_code(copy), NRD_UNSUPPORTED);
    status_free(copy);
    status_free(status);
}

static void status_survives_no_memory(void **state)
{
    (void)state;
    mem_fail_after(1);
    struct nrd_status *status = status_new(NRD_INTERNAL, "x");
    assert_ptr_equal(status, status_no_memory());
    assert_int_equal(status_code(status), NRD_UNAVAILABLE);
    assert_string_equal(status_text(status), "out of memory");
    status = status_wrap(status, "prefix");
    assert_ptr_equal(status, status_no_memory());
    status_free(status);

    TORTURE(n)
    {
        mem_fail_after(0);
        status = status_new(NRD_INTERNAL, "cause");
        mem_fail_after(n);
        status = status_wrap(status, "prefix ");
        assert_int_equal(status_code(status), NRD_INTERNAL);
        assert_non_null(strstr(status_text(status), "cause"));
        status_free(status);
    }
}

static void codes_have_their_counterparts(void **state)
{
    (void)state;
    static const struct {
        enum nrd_code code;
        const char *name;
        int http;
        int grpc;
    } rows[] = {
        {NRD_OK, "OK", 200, 0},
        {NRD_UNKNOWN, "Unknown", 400, 2},
        {NRD_INTERNAL, "Internal", 500, 13},
        {NRD_NOT_FOUND, "Not found", 404, 5},
        {NRD_INVALID_ARG, "Invalid argument", 400, 3},
        {NRD_UNAVAILABLE, "Unavailable", 503, 14},
        {NRD_UNSUPPORTED, "Unsupported", 501, 12},
        {NRD_ALREADY_EXISTS, "Already exists", 400, 6},
        {NRD_CANCELLED, "Cancelled", 400, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(code_name(rows[i].code), rows[i].name);
        assert_int_equal(code_http(rows[i].code), rows[i].http);
        assert_int_equal(code_grpc(rows[i].code), rows[i].grpc);
        assert_int_equal(code_from_grpc(rows[i].grpc), rows[i].code);
    }
    assert_string_equal(code_name((enum nrd_code)99), "<invalid code>");
    assert_int_equal(code_http((enum nrd_code)99), 400);
    static const struct {
        int status;
        enum nrd_code code;
    } https[] = {{200, NRD_OK},          {204, NRD_OK},          {302, NRD_UNKNOWN},
                 {400, NRD_INVALID_ARG}, {403, NRD_UNAVAILABLE}, {404, NRD_NOT_FOUND},
                 {413, NRD_INVALID_ARG}, {499, NRD_CANCELLED},   {500, NRD_INTERNAL},
                 {501, NRD_UNSUPPORTED}, {503, NRD_UNAVAILABLE}, {599, NRD_INTERNAL}};
    for (unsigned i = 0; i < sizeof(https) / sizeof(https[0]); i++) {
        assert_int_equal(code_from_http(https[i].status), https[i].code);
    }
    assert_int_equal(code_from_grpc(4), NRD_UNAVAILABLE);
    assert_int_equal(code_from_grpc(9), NRD_INVALID_ARG);
    assert_int_equal(code_from_grpc(99), NRD_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_holds_code_and_text),
        cmocka_unit_test(status_null_is_success),
        cmocka_unit_test(status_long_text_is_whole),
        cmocka_unit_test(status_wrap_puts_prefix_before),
        cmocka_unit_test(status_survives_no_memory),
        cmocka_unit_test(codes_have_their_counterparts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
