// SPDX-License-Identifier: Apache-2.0
// GPU check: runs the tests, or with --timings measures, or is a child of a test.
// Exit status: 0 when nothing failed, also without a GPU; then every test is named as skipped.
#include "tests/gpu/gpu_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum check_result check_failed(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("[  ERROR   ] --- ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
    return CHECK_FAILED;
}

enum check_result check_skipped(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("             skipped: ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
    return CHECK_SKIPPED;
}

static int counts[3];

static void run_tests(const struct gpu_test *tests, struct gpu_machine *machine, const char *only)
{
    static const char *const labels[] = {"[       OK ]", "[  FAILED  ]", "[  SKIPPED ]"};
    for (const struct gpu_test *test = tests; test->name != NULL; test++) {
        if (only != NULL && strstr(test->name, only) == NULL) {
            continue;
        }
        printf("[ RUN      ] %s\n", test->name);
        fflush(stdout);
        enum check_result result = machine->system == NULL ? CHECK_SKIPPED : test->run(machine);
        printf("%s %s\n", labels[result], test->name);
        fflush(stdout);
        counts[result]++;
    }
}

static void describe(const struct gpu_machine *machine)
{
    for (int i = 0; i < gpu_system_count(machine->system); i++) {
        const struct gpu_device_info *info = gpu_device_info(gpu_system_device(machine->system, i));
        printf("GPU %d: %s, %s, compute capability %d.%d, %d multiprocessors, %llu MiB, PCI %s, "
               "NUMA node "
               "%d, driver's CUDA %d.%d\n",
               i, info->name, info->uuid, info->compute_major, info->compute_minor,
               info->multiprocessors, (unsigned long long)(info->memory_bytes >> 20),
               info->pci_bus_id, info->numa_node, gpu_driver_version() / 1000,
               gpu_driver_version() % 1000 / 10);
    }
}

int main(int argc, char **argv)
{
    struct gpu_machine machine = {.program = argv[0]};
    if (argc == 4 && strcmp(argv[1], "--child-open-memory") == 0) {
        return child_open_memory(argv[2], argv[3]);
    }
    if (argc == 2 && strcmp(argv[1], "--child-fault") == 0) {
        return child_fault();
    }
    struct nrd_status *status = gpu_system_open(&machine.system);
    if (status != NULL) {
        printf("**** NO GPU: every test below is skipped: %s ****\n", status_text(status));
        status_free(status);
    } else {
        machine.device = gpu_system_device(machine.system, 0);
        describe(&machine);
    }
    if (argc == 2 && strcmp(argv[1], "--timings") == 0) {
        int code = machine.system == NULL ? 0 : print_timings(&machine);
        gpu_system_close(machine.system);
        return code;
    }
    const char *only = argc == 2 ? argv[1] : NULL;
    run_tests(device_tests, &machine, only);
    run_tests(kernel_tests, &machine, only);
    gpu_system_close(machine.system);
    printf("%d passed, %d failed, %d skipped\n", counts[CHECK_PASSED], counts[CHECK_FAILED],
           counts[CHECK_SKIPPED]);
    return counts[CHECK_FAILED] == 0 ? 0 : 1;
}
