// SPDX-License-Identifier: Apache-2.0
// What every unit test of gpu includes: cmocka, and a pretended machine that is taken down and counted after each test.
#ifndef NEREID_TESTS_UNIT_GPU_FIXTURE_H
#define NEREID_TESTS_UNIT_GPU_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "gpu/device.h"
#include "tests/support/fake_cuda/fake_cuda.h"

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        struct nrd_status *status_ = (call);                                                       \
        if (status_ != NULL) {                                                                     \
            fail_msg("%s: %s", #call, status_text(status_));                                       \
        }                                                                                          \
    } while (0)
#define assert_error(call, wanted_code, wanted_text)                                               \
    do {                                                                                           \
        struct nrd_status *status_ = (call);                                                       \
        assert_non_null(status_);                                                                  \
        assert_string_equal(status_text(status_), wanted_text);                                    \
        assert_int_equal(status_code(status_), wanted_code);                                       \
        status_free(status_);                                                                      \
    } while (0)

static struct gpu_system *machine;

static inline struct gpu_device *gpu(int ordinal)
{
    return gpu_system_device(machine, ordinal);
}

static inline void machine_start(const struct fake_cuda_options *options)
{
    fake_cuda_start(options);
    gpu_driver_replace(fake_cuda_driver());
    nvml_replace(fake_cuda_nvml());
    assert_ok(gpu_system_open(&machine));
}

static inline void machine_stop(void)
{
    gpu_system_close(machine);
    machine = NULL;
    assert_int_equal(fake_cuda_stop(), 0);
    gpu_driver_replace(NULL);
    nvml_replace(NULL);
}

// Three GPUs, the second twice as fast; time moves by hand, and by 1 us with each unanswered query.
static inline int machine_setup(void **state)
{
    (void)state;
    struct fake_cuda_options options = {
        .count = 3,
        .gpus = {{.name = "Fake A"}, {.name = "Fake B", .speed = 2}, {.name = "Fake C"}},
        .poll_ns = 1000,
    };
    log_set_enabled(LOG_ERROR, false); // devices are lost on purpose
    machine_start(&options);
    return 0;
}

static inline int machine_teardown(void **state)
{
    (void)state;
    machine_stop();
    return 0;
}

// Puts `ns` of a kernel's work (at speed 1) into a stream.
static inline void busy(struct cu_stream *stream, struct gpu_device *device, uint64_t ns)
{
    struct gpu_scope scope;
    struct cu_module *module = NULL;
    struct cu_function *function = NULL;
    void *params[] = {&ns};
    assert_ok(gpu_device_enter(device, &scope));
    assert_int_equal(gpu_driver()->module_load(&module, "any", 0, NULL, NULL), CU_SUCCESS);
    assert_int_equal(gpu_driver()->module_function(&function, module, "fake_busy"), CU_SUCCESS);
    assert_int_equal(
        gpu_driver()->launch_kernel(function, 1, 1, 1, 1, 1, 1, 0, stream, params, NULL),
        CU_SUCCESS);
    assert_int_equal(gpu_driver()->module_unload(module), CU_SUCCESS);
    gpu_device_leave(&scope);
}

#define GPU_TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

#endif
