// SPDX-License-Identifier: Apache-2.0
// GPU check: tests that need a real GPU, in one program without a test library, since the machines that have GPUs have few others.
// It prints what cmocka prints, so that tools/run_tests.py counts it. A test that cannot run says why, and counts as skipped.
#ifndef NEREID_TESTS_GPU_CHECK_H
#define NEREID_TESTS_GPU_CHECK_H

#include "gpu/device.h"

struct gpu_machine {
    struct gpu_system *system;
    struct gpu_device *device; // the first, which tests of one GPU use
    const char *program;       // argv[0], for children
};

enum check_result { CHECK_PASSED, CHECK_FAILED, CHECK_SKIPPED };
struct gpu_test {
    const char *name;
    enum check_result (*run)(struct gpu_machine *machine);
};

// Both end with an entry without a name.
extern const struct gpu_test device_tests[];
extern const struct gpu_test kernel_tests[];

// Prints a failure, or why a test is skipped, in one line.
NRD_PRINTF(1, 2) enum check_result check_failed(const char *format, ...);
NRD_PRINTF(1, 2) enum check_result check_skipped(const char *format, ...);

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            return check_failed("%s:%d: %s", __FILE__, __LINE__, #condition);                      \
        }                                                                                          \
    } while (0)
#define CHECK_OK(call)                                                                             \
    do {                                                                                           \
        struct nrd_status *status_ = (call);                                                       \
        if (status_ != NULL) {                                                                     \
            enum check_result result_ =                                                            \
                check_failed("%s:%d: %s: %s", __FILE__, __LINE__, #call, status_text(status_));    \
            status_free(status_);                                                                  \
            return result_;                                                                        \
        }                                                                                          \
    } while (0)

// What a child process does (argv[1] of the same program); its exit status.
int child_open_memory(const char *handle_hex, const char *offset);
int child_fault(void);

// Times, beside what the machine could do at best; to standard output.
int print_timings(struct gpu_machine *machine);

#endif
