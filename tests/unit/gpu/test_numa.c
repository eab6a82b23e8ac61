// SPDX-License-Identifier: Apache-2.0
// NUMA, on a machine that files under a folder of the test's pretend.
#include "gpu/numa.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/str.h"
#include "base/thread.h"
#include "tests/unit/gpu/gpu_fixture.h"

static char root[64];

static int make_root(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof(root), "/tmp/numa.XXXXXX");
    return mkdtemp(root) == NULL || setenv("NEREID_SYSFS", root, 1) != 0 ? -1 : 0;
}

static int remove_root(void **state)
{
    (void)state;
    (void)unsetenv("NEREID_SYSFS");
    status_free(file_remove_tree(root));
    return 0;
}

static void put(const char *folder, const char *leaf, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", root, folder);
    assert_null(file_make_dirs(path));
    (void)snprintf(path, sizeof(path), "%s/%s/%s", root, folder, leaf);
    assert_null(file_write(path, slice_of(text)));
}

// The processor that this test runs on, and stays on.
static int stay(void)
{
    char text[16];
    int cpu = sched_getcpu();
    (void)snprintf(text, sizeof(text), "%d", cpu);
    status_free(thread_pin_self(text));
    return cpu;
}

static void numa_of_a_system_that_does_not_say_is_one_node(void **state)
{
    (void)state;
    struct gpu_numa numa;
    gpu_numa_read(&numa);
    assert_int_equal(numa.nodes, 1);
    assert_int_equal(gpu_numa_here(&numa), -1);
}

static void numa_nodes_have_their_processors(void **state)
{
    (void)state;
    struct gpu_numa numa;
    put("devices/system/node", "online", "0-1,3\n");
    put("devices/system/node/node0", "cpulist", "0-3,8-11\n");
    put("devices/system/node/node1", "cpulist", "4-7,12-15\n");
    put("devices/system/node/node3", "cpulist", "\n"); // memory alone
    gpu_numa_read(&numa);
    assert_int_equal(numa.nodes, 3);
    assert_int_equal(numa.node_of[0], 0);
    assert_int_equal(numa.node_of[11], 0);
    assert_int_equal(numa.node_of[12], 1);
    assert_int_equal(numa.node_of[16], -1);
}

static void numa_here_is_the_node_of_the_processor(void **state)
{
    (void)state;
    struct gpu_numa numa;
    char text[32];
    int cpu = stay();
    put("devices/system/node", "online", "0,5\n");
    (void)snprintf(text, sizeof(text), "%d\n", cpu);
    put("devices/system/node/node0", "cpulist", "1000\n");
    put("devices/system/node/node5", "cpulist", text);
    gpu_numa_read(&numa);
    assert_int_equal(gpu_numa_here(&numa), 5);
}

static void numa_cpus_are_the_gpus_that_the_process_may_use(void **state)
{
    (void)state;
    struct gpu_numa numa;
    struct gpu_device_info info = {.numa_node = 1};
    char text[64];
    char want[16];
    int cpu = stay(); // from here on the process may use this one only
    put("devices/system/node", "online", "0-1");
    put("devices/system/node/node0", "cpulist", "0");
    gpu_numa_read(&numa);
    (void)snprintf(info.cpus, sizeof(info.cpus), "0-1023");
    (void)snprintf(want, sizeof(want), "%d", cpu);
    assert_true(gpu_numa_cpus(&numa, &info, text, sizeof(text)));
    assert_string_equal(text, want);
    // None of the GPU's own, no place, a list that is none: nothing is to be done.
    (void)snprintf(info.cpus, sizeof(info.cpus), "%d", cpu == 1023 ? 0 : 1023);
    assert_false(gpu_numa_cpus(&numa, &info, text, sizeof(text)));
    (void)snprintf(info.cpus, sizeof(info.cpus), "x");
    assert_false(gpu_numa_cpus(&numa, &info, text, sizeof(text)));
    (void)snprintf(info.cpus, sizeof(info.cpus), "0-1023");
    info.numa_node = -1;
    assert_false(gpu_numa_cpus(&numa, &info, text, sizeof(text)));
}

static void numa_of_one_node_says_nothing(void **state)
{
    (void)state;
    struct gpu_numa numa;
    struct gpu_device_info info = {.numa_node = 0, .cpus = "0-1023"};
    char text[64];
    put("devices/system/node", "online", "0\n");
    put("devices/system/node/node0", "cpulist", "0-1023\n");
    gpu_numa_read(&numa);
    assert_int_equal(numa.nodes, 1);
    assert_int_equal(gpu_numa_here(&numa), -1);
    assert_false(gpu_numa_cpus(&numa, &info, text, sizeof(text)));
}

static void device_reads_its_place(void **state)
{
    (void)state;
    struct fake_cuda_options options = {.count = 2, .gpus[1].pci_bus_id = "0000:3B:00.0"};
    struct gpu_system *system = NULL;
    put("bus/pci/devices/0000:3b:00.0", "numa_node", "1\n");
    put("bus/pci/devices/0000:3b:00.0", "local_cpulist", "4-7,12-15\n");
    fake_cuda_start(&options);
    gpu_driver_replace(fake_cuda_driver());
    assert_null(gpu_system_open(&system));
    assert_int_equal(gpu_device_info(gpu_system_device(system, 0))->numa_node, -1);
    assert_int_equal(gpu_device_info(gpu_system_device(system, 1))->numa_node, 1);
    assert_string_equal(gpu_device_info(gpu_system_device(system, 1))->cpus, "4-7,12-15");
    gpu_system_close(system);
    assert_int_equal(fake_cuda_stop(), 0);
    gpu_driver_replace(NULL);
}

#define NUMA_TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NUMA_TEST(numa_of_a_system_that_does_not_say_is_one_node),
        NUMA_TEST(numa_nodes_have_their_processors),
        NUMA_TEST(numa_of_one_node_says_nothing),
        NUMA_TEST(device_reads_its_place),
        NUMA_TEST(numa_here_is_the_node_of_the_processor),
        NUMA_TEST(numa_cpus_are_the_gpus_that_the_process_may_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
