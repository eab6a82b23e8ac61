// SPDX-License-Identifier: Apache-2.0
// How this folder waits for a device: the driver's own waits have no deadline, so it asks again and again.
#ifndef NEREID_GPU_WAIT_PRIVATE_H
#define NEREID_GPU_WAIT_PRIVATE_H

#include <stdbool.h>
#include <time.h>

#include "base/clock.h"

// Spins for the first 50 us, since much of what is waited for is nearly done; then sleeps for a tenth of what was waited,
// at most 200 us: so a wait of any length is a tenth longer at worst. False once the deadline is past (0: none).
static inline bool gpu_wait_step(uint64_t begin_ns, uint64_t deadline_ns)
{
    enum { SPIN_NS = 50000, SLEEP_MAX_NS = 200000 };
    uint64_t now = clock_now_ns();
    uint64_t waited = now - begin_ns;
    if (deadline_ns != 0 && now >= deadline_ns) {
        return false;
    }
    if (waited > SPIN_NS) {
        uint64_t pause = waited / 10 < SLEEP_MAX_NS ? waited / 10 : SLEEP_MAX_NS;
        if (deadline_ns != 0 && pause > deadline_ns - now) {
            pause = deadline_ns - now;
        }
        struct timespec time = {.tv_nsec = (long)pause};
        nanosleep(&time, NULL);
    }
    return true;
}

#endif
