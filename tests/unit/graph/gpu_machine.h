// SPDX-License-Identifier: Apache-2.0
// A pretended machine of two GPUs for tests of graphs; after each test it counts what was not given back.
#ifndef NEREID_TESTS_UNIT_GRAPH_GPU_MACHINE_H
#define NEREID_TESTS_UNIT_GRAPH_GPU_MACHINE_H

#include "gpu/device.h"
#include "small_ops.h"
#include "tests/support/fake_cuda/fake_cuda.h"

static inline int machine_start(enum fake_time time)
{
    struct fake_cuda_options options = {.count = 2, .time = time, .poll_ns = 1000};
    fake_cuda_start(&options);
    gpu_driver_replace(fake_cuda_driver());
    nvml_replace(fake_cuda_nvml());
    return no_hooks(NULL);
}

// Work takes the time that it would, in a thread of the driver's.
static inline int machine_real(void **state)
{
    (void)state;
    return machine_start(FAKE_TIME_REAL);
}

// Time moves by 1 us with each unanswered query.
static inline int machine_manual(void **state)
{
    (void)state;
    return machine_start(FAKE_TIME_MANUAL);
}

static inline int machine_stop(void **state)
{
    (void)state;
    assert_int_equal(fake_cuda_stop(), 0);
    gpu_driver_replace(NULL);
    nvml_replace(NULL);
    return 0;
}

#define MACHINE_TEST(name) cmocka_unit_test_setup_teardown(name, machine_manual, machine_stop)
#define MACHINE_REAL_TEST(name) cmocka_unit_test_setup_teardown(name, machine_real, machine_stop)

#endif
