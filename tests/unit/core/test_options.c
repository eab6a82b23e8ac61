// SPDX-License-Identifier: Apache-2.0
// Options: defaults, setters through the ABI, deep copies.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "core/options.h"

static void defaults_are_tritons(void **state)
{
    (void)state;
    struct server_options *options = server_options_create();
    assert_non_null(options);
    assert_string_equal(options->server_id, "triton");
    assert_string_equal(options->backend_directory, "/opt/tritonserver/backends");
    assert_true(options->strict_model_config);
    assert_true(options->exit_on_error);
    assert_true(options->strict_readiness);
    assert_int_equal(options->exit_timeout_s, 30);
    assert_int_equal(options->load_thread_count, 4);
    assert_int_equal(options->pinned_pool_bytes, 268435456);
    server_options_destroy(options);
}

static void copy_is_deep(void **state)
{
    (void)state;
    TRITONSERVER_ServerOptions *abi = NULL;
    assert_null(TRITONSERVER_ServerOptionsNew(&abi));
    assert_null(TRITONSERVER_ServerOptionsSetModelRepositoryPath(abi, "/a"));
    assert_null(TRITONSERVER_ServerOptionsSetModelRepositoryPath(abi, "/b"));
    assert_null(TRITONSERVER_ServerOptionsSetModelRepositoryPath(abi, "/a"));
    assert_null(TRITONSERVER_ServerOptionsSetBackendConfig(abi, "x", "k", "1"));
    assert_null(TRITONSERVER_ServerOptionsSetBackendConfig(abi, "x", "k", "2"));
    assert_null(TRITONSERVER_ServerOptionsAddRateLimiterResource(abi, "r", 4, -1));
    assert_null(TRITONSERVER_ServerOptionsAddRateLimiterResource(abi, "r", 2, -1));
    struct server_options *copy = server_options_copy((struct server_options *)abi);
    assert_null(TRITONSERVER_ServerOptionsDelete(abi));
    assert_non_null(copy);
    assert_int_equal(copy->repositories.count, 2);
    assert_string_equal(copy->repositories.items[1], "/b");
    assert_string_equal(setting_list_get(&copy->backend_config, "x", "k"), "2");
    assert_null(setting_list_get(&copy->backend_config, "", "k"));
    assert_int_equal(copy->resource_count, 1);
    assert_int_equal(copy->resources[0].count, 2);
    server_options_destroy(copy);
}

static void copy_fails_whole_when_memory_is_out(void **state)
{
    (void)state;
    struct server_options *options = server_options_create();
    assert_null(text_list_add(&options->repositories, "/a"));
    assert_null(setting_list_add(&options->host_policies, "p", "numa-node", "0"));
    for (uint64_t n = 1;; n++) {
        uint64_t before = mem_count();
        mem_fail_after(n);
        struct server_options *copy = server_options_copy(options);
        mem_fail_after(0);
        bool failed = mem_count() - before >= n;
        assert_true(failed == (copy == NULL));
        server_options_destroy(copy);
        if (!failed) {
            break;
        }
    }
    server_options_destroy(options);
}

static void bad_settings_are_refused(void **state)
{
    (void)state;
    TRITONSERVER_ServerOptions *abi = NULL;
    assert_null(TRITONSERVER_ServerOptionsNew(&abi));
    struct {
        TRITONSERVER_Error *error;
        const char *text;
    } cases[] = {
        {TRITONSERVER_ServerOptionsSetHostPolicy(abi, "p", "colour", "1"),
         "Unsupported host policy setting 'colour' is specified, supported settings are "
         "'numa-node', 'cpu-cores'"},
        {TRITONSERVER_ServerOptionsSetModelLoadDeviceLimit(abi, TRITONSERVER_INSTANCEGROUPKIND_CPU,
                                                           0, 0.5),
         "given device kind is not supported, got: CPU"},
        {TRITONSERVER_ServerOptionsSetModelLoadDeviceLimit(abi, TRITONSERVER_INSTANCEGROUPKIND_GPU,
                                                           0, 1.5),
         "expects limit fraction to be in range [0.0, 1.0], got 1.500000"},
        {TRITONSERVER_ServerOptionsSetBackendConfig(abi, "", "nereid-gpu-fallback", "maybe"),
         "unexpected value 'maybe' for setting 'nereid-gpu-fallback', expected 'cpu' or 'none'"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_non_null(cases[i].error);
        assert_string_equal(TRITONSERVER_ErrorMessage(cases[i].error), cases[i].text);
        TRITONSERVER_ErrorDelete(cases[i].error);
    }
    assert_null(TRITONSERVER_ServerOptionsSetBackendConfig(abi, "", "nereid-gpu-fallback", "cpu"));
    assert_true(((struct server_options *)abi)->gpu_fallback_cpu);
    assert_null(TRITONSERVER_ServerOptionsDelete(abi));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_tritons),
        cmocka_unit_test(copy_is_deep),
        cmocka_unit_test(copy_fails_whole_when_memory_is_out),
        cmocka_unit_test(bad_settings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
