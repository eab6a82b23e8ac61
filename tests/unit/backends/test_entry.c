// SPDX-License-Identifier: Apache-2.0
// backends/common/entry.c: what a host may do to any backend. (tensorrt needs more of a host than is here.)
#include "tests/unit/backends/plugin.h"

static void entry_lets_a_backend_that_failed_to_initialize_be_finalized(void **state)
{
    static const char *const names[] = {"identity", "onnxruntime", "pytorch", "tensorflow"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct plugin p = {0};
        struct TRITONBACKEND_Backend backend = {0};
        if (!plugin_is_built(names[i])) {
            continue;
        }
        plugin_open(&p, names[i]);
        host_fail("MessageSerializeToJson", 0);
        assert_host_error(p.initialize(&backend), "made to fail: MessageSerializeToJson");
        assert_null(backend.state);
        assert_host_ok(p.finalize(&backend));
        assert_int_equal(host.errors, 0);
    }
}

static void entry_gives_back_what_the_host_does_not_keep(void **state)
{
    struct plugin p = {0};
    struct served s = {0};
    (void)state;
    plugin_open(&p, "identity");
    host_fail("BackendSetState", 0);
    assert_host_error(p.initialize(&s.backend), "made to fail: BackendSetState");
    assert_host_ok(p.initialize(&s.backend));
    host_fail("ModelSetState", 0);
    assert_host_error(plugin_serve(&p, &s, "/models/m", "{\"name\":\"m\"}", false),
                      "made to fail: ModelSetState");
    assert_host_ok(p.finalize(&s.backend));
    assert_int_equal(host.errors, 0);
}

static void entry_takes_a_batch_of_nothing(void **state)
{
    struct plugin p = {0};
    struct served s = {0};
    (void)state;
    plugin_open(&p, "identity");
    assert_host_ok(p.initialize(&s.backend));
    assert_host_ok(plugin_serve(&p, &s, "/models/m", "{\"name\":\"m\"}", false));
    assert_host_ok(p.execute(&s.instance, NULL, 0));
    assert_int_equal(s.instance.succeeded + s.instance.failed, 0);
    plugin_unserve(&p, &s);
    assert_host_ok(p.finalize(&s.backend));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entry_lets_a_backend_that_failed_to_initialize_be_finalized),
        cmocka_unit_test(entry_gives_back_what_the_host_does_not_keep),
        cmocka_unit_test(entry_takes_a_batch_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
