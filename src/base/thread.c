// SPDX-License-Identifier: Apache-2.0
// Threads and parking.
//
// A parking place is one word:   EMPTY --wake--> TOKEN --wait--> EMPTY
//                                EMPTY --wait--> PARKED --wake--> TOKEN (and a futex wake)
// The waiter alone leaves PARKED and TOKEN, so that a wake is never lost and never counted twice.
#include "base/thread.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/slice.h"

enum { EMPTY, TOKEN, PARKED };

struct launch {
    thread_fn fn;
    void *arg;
    char name[16];
};

static void *run_launch(void *arg)
{
    struct launch launch = *(struct launch *)arg;
    mem_free(arg);
    pthread_setname_np(pthread_self(), launch.name);
    launch.fn(launch.arg);
    return NULL;
}

struct nrd_status *thread_start(struct thread *t, const char *name, size_t stack_size, thread_fn fn,
                                void *arg)
{
    *t = (struct thread){0};
    struct launch *launch = mem_alloc(sizeof(*launch));
    if (launch == NULL) {
        return status_no_memory();
    }
    *launch = (struct launch){.fn = fn, .arg = arg};
    snprintf(launch->name, sizeof(launch->name), "%s", name);

    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    if (stack_size != 0) {
        size_t least = (size_t)sysconf(_SC_THREAD_STACK_MIN);
        pthread_attr_setstacksize(&attributes, stack_size < least ? least : stack_size);
    }
    // The new thread inherits the mask: signals stay with the threads that ask for them.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&t->id, &attributes, run_launch, launch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error != 0) {
        mem_free(launch);
        return status_new(NRD_INTERNAL, "failed to start thread '%s': %s", name, strerror(error));
    }
    t->started = true;
    return NULL;
}

void thread_join(struct thread *t)
{
    if (t->started) {
        pthread_join(t->id, NULL);
        t->started = false;
    }
}

int thread_self_id(void)
{
    static _Thread_local int id;
    if (id == 0) {
        id = (int)syscall(SYS_gettid);
    }
    return id;
}

// "3" or "0-3" into `set`.
static bool add_range(struct slice part, cpu_set_t *set)
{
    struct slice first;
    struct slice rest = slice_trim(part);
    uint64_t low;
    uint64_t high;
    if (!slice_cut(&rest, '-', &first) || !slice_to_u64(first, &low)) {
        return false;
    }
    high = low;
    if ((rest.ptr != NULL && !slice_to_u64(rest, &high)) || high < low || high >= CPU_SETSIZE) {
        return false;
    }
    for (; low <= high; low++) {
        CPU_SET((size_t)low, set);
    }
    return true;
}

bool thread_read_cpus(struct slice list, cpu_set_t *set)
{
    CPU_ZERO(set);
    struct slice part;
    while (slice_cut(&list, ',', &part)) {
        if (!add_range(part, set)) {
            return false;
        }
    }
    return true;
}

struct nrd_status *thread_pin_self(const char *cpus)
{
    cpu_set_t set;
    if (!thread_read_cpus(slice_of(cpus), &set)) {
        return status_new(NRD_INVALID_ARG, "invalid list of processors '%s'", cpus);
    }
    int error = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    if (error != 0) {
        return status_new(NRD_INVALID_ARG, "failed to pin a thread to processors '%s': %s", cpus,
                          strerror(error));
    }
    return NULL;
}

struct nrd_status *thread_bind_memory(const char *node)
{
    enum { NODES_MAX = 1024, WORD_BITS = 8 * sizeof(unsigned long) };
    unsigned long mask[NODES_MAX / WORD_BITS] = {0};
    uint64_t number = 0;
    if (!slice_to_u64(slice_of(node), &number) || number >= NODES_MAX) {
        return status_new(NRD_INVALID_ARG, "invalid NUMA node '%s'", node);
    }
    mask[number / WORD_BITS] = 1ul << number % WORD_BITS;
    // The kernel takes one bit less than it is told.
    if (syscall(SYS_set_mempolicy, MPOL_BIND, mask, NODES_MAX + 1) != 0) {
        return status_new(NRD_INTERNAL, "Unable to set NUMA memory policy: %s", strerror(errno));
    }
    return NULL;
}

static long futex(_Atomic uint32_t *word, int operation, uint32_t value,
                  const struct timespec *deadline)
{
    return syscall(SYS_futex, word, operation, value, deadline, NULL, FUTEX_BITSET_MATCH_ANY);
}

void parking_init(struct parking *p)
{
    atomic_init(&p->state, EMPTY);
}

void parking_wake(struct parking *p)
{
    // Release: what the waker wrote before is seen by who takes the token.
    if (atomic_exchange_explicit(&p->state, TOKEN, memory_order_release) == PARKED) {
        futex(&p->state, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL);
    }
}

bool parking_wait(struct parking *p, uint64_t deadline_ns)
{
    uint32_t state = TOKEN;
    if (atomic_compare_exchange_strong_explicit(&p->state, &state, EMPTY, memory_order_acquire,
                                                memory_order_relaxed)) {
        return true;
    }
    state = EMPTY;
    if (!atomic_compare_exchange_strong_explicit(&p->state, &state, PARKED, memory_order_relaxed,
                                                 memory_order_relaxed)) {
        // A token came in between.
        atomic_exchange_explicit(&p->state, EMPTY, memory_order_acquire);
        return true;
    }
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                                .tv_nsec = (long)(deadline_ns % 1000000000u)};
    for (;;) {
        // FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time, the clock of clock_now_ns().
        long result = futex(&p->state, FUTEX_WAIT_BITSET_PRIVATE, PARKED,
                            deadline_ns == 0 ? NULL : &deadline);
        bool timed_out = result != 0 && errno == ETIMEDOUT;
        if (timed_out || atomic_load_explicit(&p->state, memory_order_relaxed) == TOKEN) {
            // On time-out too: a wake that came just now counts.
            return atomic_exchange_explicit(&p->state, EMPTY, memory_order_acquire) == TOKEN;
        }
    }
}
