// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "protocol/shm.h"

static char key[64];
enum { SIZE = 3 * 4096 };

static int setup(void **state)
{
    snprintf(key, sizeof(key), "/nereid-test-%d", (int)getpid());
    int fd = shm_open(key, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || ftruncate(fd, SIZE) != 0) {
        return -1;
    }
    *state = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return *state == MAP_FAILED ? -1 : 0;
}

static int teardown(void **state)
{
    munmap(*state, SIZE);
    return shm_unlink(key);
}

static void assert_status(struct nrd_status *status, enum nrd_code code, const char *text)
{
    assert_string_equal(status_text(status), text);
    assert_int_equal(status_code(status), code);
    status_free(status);
}

static void list(void *arg, const struct shm_info *info)
{
    struct str *out = arg;
    str_printf(out, "%.*s@%llu+%llu;", (int)info->name.len, info->name.ptr,
               (unsigned long long)info->offset, (unsigned long long)info->byte_size);
    assert_true(slice_is(info->key, key));
}

static void assert_listed(struct shm_manager *m, const char *text)
{
    struct str out = STR_INIT;
    assert_null(shm_status(m, SHM_SYSTEM, SLICE(""), list, &out));
    assert_string_equal(str_cstr(&out), text);
    str_fini(&out);
}

static void shm_region_shows_the_clients_bytes(void **state)
{
    char *mine = *state;
    struct shm_manager *m = shm_manager_create(true);
    struct shm_lease lease;
    mine[4096 + 10] = 'x';
    assert_null(shm_register(m, SLICE("r"), slice_of(key), 4096, 4096));
    assert_null(shm_lease(m, SLICE("r"), 10, 4086, &lease));
    assert_int_equal(*(char *)lease.base, 'x');
    assert_int_equal(lease.memory_type, TRITONSERVER_MEMORY_CPU);
    *(char *)lease.base = 'y';
    assert_int_equal(mine[4096 + 10], 'y');
    shm_release(lease.region);
    shm_release(NULL);
    shm_manager_destroy(m);
    shm_manager_destroy(NULL);
}

static void shm_is_refused_unless_allowed(void **state)
{
    (void)state;
    static const char text[] = "Client shared memory is disabled. Start the server with "
                               "'--allow-client-shm=true' to enable.";
    struct shm_manager *m = shm_manager_create(false);
    struct shm_lease lease;
    assert_false(shm_allowed(m));
    assert_status(shm_register(m, SLICE("r"), slice_of(key), 0, 1), NRD_UNSUPPORTED, text);
    assert_status(shm_register_cuda(m, SLICE("r"), SLICE("h"), 0, 8), NRD_UNSUPPORTED, text);
    assert_status(shm_unregister(m, SHM_SYSTEM, SLICE("r")), NRD_UNSUPPORTED, text);
    assert_listed(m, "");
    assert_status(shm_lease(m, SLICE("r"), 0, 1, &lease), NRD_NOT_FOUND,
                  "Unable to find shared memory region: 'r'");
    shm_manager_destroy(m);
}

static void shm_register_checks_its_arguments(void **state)
{
    (void)state;
    struct shm_manager *m = shm_manager_create(true);
    struct slice name = SLICE("r");
    assert_status(shm_register(m, name, SLICE("/nokey"), 0, 1), NRD_INTERNAL,
                  "Unable to open shared memory region: '/nokey'");
    assert_status(shm_register(m, name, SLICE("//"), 0, 1), NRD_INVALID_ARG,
                  "cannot register shared memory region 'r' - invalid shm key '//'");
    assert_status(shm_register(m, name, SLICE(""), 0, 1), NRD_INVALID_ARG,
                  "cannot register shared memory region 'r' - invalid shm key ''");
    assert_status(shm_register(m, name, SLICE("/triton_python_backend_shm_region_1"), 0, 1),
                  NRD_INVALID_ARG,
                  "cannot register shared memory region 'r' with key "
                  "'/triton_python_backend_shm_region_1' as the key contains the reserved prefix "
                  "'triton_python_backend_shm_region_'");
    static const uint64_t ranges[][2] = {
        {0, SIZE + 1},  {SIZE, 1}, {4096, SIZE}, {UINT64_MAX, 2}, {4096, UINT64_MAX - 4095},
        {2, UINT64_MAX}};
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        assert_status(shm_register(m, name, slice_of(key), ranges[i][0], ranges[i][1]),
                      NRD_INVALID_ARG, "failed to register shared memory region 'r': invalid args");
    }
    assert_status(shm_register(m, name, slice_of(key), 0, 0), NRD_INVALID_ARG,
                  "failed to register shared memory region 'r': unable to process address "
                  "spaceInvalid argument");
    assert_null(shm_register(m, name, slice_of(key), 0, SIZE));
    assert_status(shm_register(m, name, slice_of(key), 0, SIZE), NRD_ALREADY_EXISTS,
                  "shared memory region 'r' already in manager");
    assert_status(shm_register_cuda(m, SLICE("c"), SLICE("h"), 0, 8), NRD_INVALID_ARG,
                  "failed to register CUDA shared memory region: 'c', GPUs not supported");
    shm_manager_destroy(m);
}

static void shm_lease_checks_its_range(void **state)
{
    (void)state;
    struct shm_manager *m = shm_manager_create(true);
    struct shm_lease lease;
    assert_null(shm_register(m, SLICE("r"), slice_of(key), 0, 100));
    assert_status(shm_lease(m, SLICE("r"), 100, 0, &lease), NRD_INVALID_ARG,
                  "Invalid offset for shared memory region: 'r'");
    assert_status(shm_lease(m, SLICE("r"), 50, 51, &lease), NRD_INVALID_ARG,
                  "Invalid offset + byte size for shared memory region: 'r'");
    assert_status(shm_lease(m, SLICE("r"), 50, UINT64_MAX, &lease), NRD_INVALID_ARG,
                  "Integer overflow detected: byte_size (18446744073709551615) + offset (50) "
                  "exceeds maximum value (18446744073709551615) for region 'r'");
    assert_status(shm_lease(m, SLICE("q"), 0, 1, &lease), NRD_NOT_FOUND,
                  "Unable to find shared memory region: 'q'");
    shm_manager_destroy(m);
}

static void shm_status_is_sorted_and_names_what_is_missing(void **state)
{
    (void)state;
    struct shm_manager *m = shm_manager_create(true);
    struct str out = STR_INIT;
    assert_null(shm_register(m, SLICE("b"), slice_of(key), 0, 100));
    assert_null(shm_register(m, SLICE("a"), slice_of(key), 4096, 10));
    assert_listed(m, "a@4096+10;b@0+100;");
    assert_null(shm_status(m, SHM_SYSTEM, SLICE("b"), list, &out));
    assert_string_equal(str_cstr(&out), "b@0+100;");
    assert_null(shm_status(m, SHM_CUDA, SLICE(""), list, &out));
    assert_status(shm_status(m, SHM_SYSTEM, SLICE("x"), list, &out), NRD_NOT_FOUND,
                  "Unable to find system shared memory region: 'x'");
    assert_status(shm_status(m, SHM_CUDA, SLICE("x"), list, &out), NRD_NOT_FOUND,
                  "Unable to find cuda shared memory region: 'x'");
    assert_status(shm_status(m, SHM_CUDA, SLICE("a"), list, &out), NRD_NOT_FOUND,
                  "The region named 'a' is registered as system shared memory, not CUDA shared "
                  "memory");
    assert_string_equal(str_cstr(&out), "b@0+100;");
    str_fini(&out);
    assert_null(shm_unregister(m, SHM_CUDA, SLICE("a")));
    assert_null(shm_unregister(m, SHM_SYSTEM, SLICE("unknown")));
    assert_null(shm_unregister(m, SHM_SYSTEM, SLICE("a")));
    assert_listed(m, "b@0+100;");
    assert_null(shm_unregister(m, SHM_SYSTEM, SLICE("")));
    assert_listed(m, "");
    shm_manager_destroy(m);
}

static void shm_unregister_waits_for_leases(void **state)
{
    (void)state;
    struct shm_manager *m = shm_manager_create(true);
    struct shm_lease first;
    struct shm_lease second;
    assert_null(shm_register(m, SLICE("r"), slice_of(key), 0, 100));
    assert_null(shm_lease(m, SLICE("r"), 0, 100, &first));
    assert_null(shm_unregister(m, SHM_SYSTEM, SLICE("r")));
    assert_listed(m, "r@0+100;");
    assert_status(shm_register(m, SLICE("r"), slice_of(key), 0, 100), NRD_ALREADY_EXISTS,
                  "shared memory region 'r' already in manager");
    assert_null(shm_lease(m, SLICE("r"), 0, 100, &second));
    shm_release(first.region);
    assert_listed(m, "r@0+100;");
    memset(second.base, 1, 100);
    shm_release(second.region);
    assert_listed(m, "");
    assert_null(shm_register(m, SLICE("r"), slice_of(key), 0, 100));
    assert_null(shm_lease(m, SLICE("r"), 0, 100, &first));
    shm_manager_destroy(m); // the lease keeps region and manager
    memset(first.base, 1, 100);
    shm_release(first.region);
}

static void shm_survives_no_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 30; n++) {
        mem_fail_after(n);
        struct shm_manager *m = shm_manager_create(true);
        if (m != NULL) {
            struct shm_lease lease;
            struct nrd_status *status = shm_register(m, SLICE("r"), slice_of(key), 0, 100);
            if (status == NULL) {
                status = shm_lease(m, SLICE("r"), 0, 100, &lease);
                if (status == NULL) {
                    shm_release(lease.region);
                }
            }
            status_free(status);
            struct str out = STR_INIT;
            status_free(shm_status(m, SHM_SYSTEM, SLICE(""), list, &out));
            str_fini(&out);
            shm_manager_destroy(m);
        }
        mem_fail_after(0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shm_region_shows_the_clients_bytes),
        cmocka_unit_test(shm_is_refused_unless_allowed),
        cmocka_unit_test(shm_register_checks_its_arguments),
        cmocka_unit_test(shm_lease_checks_its_range),
        cmocka_unit_test(shm_status_is_sorted_and_names_what_is_missing),
        cmocka_unit_test(shm_unregister_waits_for_leases),
        cmocka_unit_test(shm_survives_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
