// SPDX-License-Identifier: Apache-2.0
// URLs: what each form means, and what is refused.
#include "client_unit.h"

#include "client/url.h"

static void url_has_scheme_host_port_and_path(void **state)
{
    (void)state;
    static const struct {
        const char *text, *full, *host, *path;
        unsigned port;
        bool grpc, tls;
    } cases[] = {
        {"localhost", "http://localhost:8000", "localhost", "", 8000, false, false},
        {"localhost:8001", "http://localhost:8001", "localhost", "", 8001, false, false},
        {"http://a.b-c", "http://a.b-c:8000", "a.b-c", "", 8000, false, false},
        {"HTTPS://a:1/", "https://a:1", "a", "", 1, false, true},
        {"http://a:1/x/y/", "http://a:1", "a", "/x/y", 1, false, false},
        {"grpc://a", "grpc://a:8001", "a", "", 8001, true, false},
        {"grpcs://[::1]:9", "grpcs://[::1]:9", "::1", "", 9, true, true},
        {"http://[fe80::1%eth0]", "http://[fe80::1%eth0]:8000", "fe80::1%eth0", "", 8000, false,
         false},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client_url url;
        assert_ok(client_url_parse(cases[i].text, &url));
        assert_string_equal(str_cstr(&url.text), cases[i].full);
        assert_string_equal(str_cstr(&url.host), cases[i].host);
        assert_string_equal(str_cstr(&url.path), cases[i].path);
        assert_int_equal(url.port, cases[i].port);
        assert_int_equal(url.grpc, cases[i].grpc);
        assert_int_equal(url.tls, cases[i].tls);
        client_url_fini(&url);
    }
}

static void url_that_is_none_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "http://",
                                        "ftp://a",
                                        "http://a:",
                                        "http://a:0",
                                        "http://a:65536",
                                        "http://:1",
                                        "http://a:1x",
                                        "http://a b",
                                        "http://a\r\nX:1",
                                        "http://u@h",
                                        "grpc://a/x",
                                        "http://[::1",
                                        "http://[::1]x",
                                        "::1",
                                        "http://a/b c",
                                        "http://a?q",
                                        "http://a/x#y"};
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct client_url url;
        struct nrd_status *status = client_url_parse(texts[i], &url);
        if (status_code(status) != NRD_INVALID_ARG) {
            fail_msg("'%s' is taken", texts[i]);
        }
        assert_non_null(strstr(status_text(status), texts[i]));
        status_free(status);
        client_url_fini(&url);
    }
}

static void client_refuses_headers_that_are_more_than_one_line(void **state)
{
    (void)state;
    static const struct nrd_client_header bad[] = {{"a", "b\r\nc: d"}, {"a b", "c"}, {"", "c"},
                                                   {NULL, "c"},        {"a", NULL},  {"a:", "c"}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct nrd_client_options options = {.headers = &bad[i], .header_count = 1};
        struct nrd_client *client = NULL;
        struct nrd_status *status = nrd_client_create("http://a", &options, &client);
        assert_int_equal(status_code(status), NRD_INVALID_ARG);
        assert_null(client);
        status_free(status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(url_has_scheme_host_port_and_path),
        cmocka_unit_test(url_that_is_none_is_refused_by_name),
        cmocka_unit_test(client_refuses_headers_that_are_more_than_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
