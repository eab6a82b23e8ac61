// SPDX-License-Identifier: Apache-2.0
// Threads: named, joined, with all signals blocked, small stacks; and a parking place for one waiter.
#ifndef NEREID_BASE_THREAD_H
#define NEREID_BASE_THREAD_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

typedef void (*thread_fn)(void *arg);
struct thread {
    pthread_t id;
    bool started;
};

// Starts `fn(arg)`; `name` is cut to 15 bytes for the kernel. `stack_size` 0 is the system's default.
NRD_MUST_USE struct nrd_status *thread_start(struct thread *t, const char *name, size_t stack_size,
                                             thread_fn fn, void *arg);
void thread_join(struct thread *t); // nothing when not started
// Kernel thread id of the caller (cached).
int thread_self_id(void);
// The processors listed in `list` ("0-3,8"); false when it is no such list. Thread: any.
bool thread_read_cpus(struct slice list, cpu_set_t *set);
// Pins the calling thread to the processors listed in `cpus` ("0-3,8"). Error: names the text.
NRD_MUST_USE struct nrd_status *thread_pin_self(const char *cpus);
// Lets the calling thread take new memory from the NUMA node of that number only. Error: names the text, or the system's
// reason, with Triton's words.
NRD_MUST_USE struct nrd_status *thread_bind_memory(const char *node);

// Parking place: one thread waits, any thread wakes it; a wake before the wait is not lost. On Linux
// a futex; waking a thread that is not parked costs one atomic and no system call.
struct parking {
    _Atomic uint32_t state;
};
void parking_init(struct parking *p);
void parking_wake(struct parking *p); // Thread: any
// Waits for a wake, or until `deadline_ns` of clock_now_ns() (0: no deadline). False on time-out.
bool parking_wait(struct parking *p, uint64_t deadline_ns); // Thread: owner

#endif
