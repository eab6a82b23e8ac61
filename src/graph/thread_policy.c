// SPDX-License-Identifier: Apache-2.0
// Real-time policies by sched_setattr(2), which the C library of older systems does not wrap: the structure is stated here.
#include "graph/thread_policy.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "graph/worker.h"

enum { POLICY_FIFO = 1, POLICY_RR = 2, POLICY_DEADLINE = 6, PRIORITY_MAX = 99 };

// Source: linux/sched/types.h.
struct scheduling {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime;
    uint64_t deadline;
    uint64_t period;
};

static bool is_none(const struct nrd_thread_options *options)
{
    return options == NULL || options->policy == NULL || options->policy[0] == '\0';
}

struct nrd_status *thread_policy_check(const struct nrd_thread_options *options)
{
    if (is_none(options)) {
        return options == NULL || options->priority == 0
                   ? NULL
                   : status_new(NRD_INVALID_ARG, "a priority (%d) needs a policy",
                                options->priority);
    }
    if (strcmp(options->policy, "deadline") == 0) {
        if (options->runtime_ns <= 0 || options->deadline_ns < options->runtime_ns ||
            options->period_ns < options->deadline_ns) {
            return status_new(NRD_INVALID_ARG,
                              "policy 'deadline' needs 0 < runtime (%lld ns) <= deadline (%lld ns) "
                              "<= period (%lld ns)",
                              (long long)options->runtime_ns, (long long)options->deadline_ns,
                              (long long)options->period_ns);
        }
        return NULL;
    }
    if (strcmp(options->policy, "fifo") != 0 && strcmp(options->policy, "rr") != 0) {
        return status_new(NRD_INVALID_ARG,
                          "unknown policy '%s'; there are 'fifo', 'rr' and 'deadline'",
                          options->policy);
    }
    if (options->priority < 1 || options->priority > PRIORITY_MAX) {
        return status_new(NRD_INVALID_ARG, "policy '%s' needs a priority from 1 to %d, not %d",
                          options->policy, PRIORITY_MAX, options->priority);
    }
    return NULL;
}

struct nrd_status *thread_policy_apply(const struct worker *worker)
{
    if (worker->cores != NULL) {
        struct nrd_status *status = thread_pin_self(worker->cores);
        if (status != NULL) {
            return status_wrap(status, "thread '%s': ", worker->name);
        }
    }
    const struct nrd_thread_options *options = worker->options;
    if (is_none(options)) {
        return NULL;
    }
    struct scheduling s = {.size = sizeof(s)};
    if (strcmp(options->policy, "deadline") == 0) {
        s.policy = POLICY_DEADLINE;
        s.runtime = (uint64_t)options->runtime_ns;
        s.deadline = (uint64_t)options->deadline_ns;
        s.period = (uint64_t)options->period_ns;
    } else {
        s.policy = strcmp(options->policy, "fifo") == 0 ? POLICY_FIFO : POLICY_RR;
        s.priority = (uint32_t)options->priority;
    }
    if (syscall(SYS_sched_setattr, 0, &s, 0) == 0) {
        return NULL;
    }
    bool refused = errno == EPERM;
    return status_new(refused ? NRD_UNSUPPORTED : NRD_INVALID_ARG,
                      "thread '%s': cannot have the real-time policy '%s' (priority %d): %s%s",
                      worker->name, options->policy, options->priority, strerror(errno),
                      !refused ? ""
                      : s.policy == POLICY_DEADLINE
                          ? "; it takes CAP_SYS_NICE, and a thread that is pinned to no processors"
                          : "; it takes CAP_SYS_NICE or a limit of real-time priority (ulimit -r)");
}
