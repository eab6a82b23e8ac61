// SPDX-License-Identifier: Apache-2.0
// See redial.h.
#include "client/redial.h"

#include "base/list.h"

enum { PAUSE_MAX_MS = 10000, SHIFT_MAX = 16 };

static void pause_over(struct loop_timer *timer)
{
    struct redial *redial = CONTAINER_OF(timer, struct redial, timer);
    redial->waiting = false;
    redial->again(redial);
}

void redial_init(struct redial *redial, struct loop *loop, unsigned retries, uint32_t backoff_ms,
                 void (*again)(struct redial *redial))
{
    *redial = (struct redial){.retries = retries, .backoff_ms = backoff_ms, .again = again};
    loop_timer_init(&redial->timer, loop, pause_over);
}

bool redial_failed(struct redial *redial)
{
    if (redial->waiting) {
        return true; // several attempts at once count as one
    }
    if (redial->failures >= redial->retries) {
        redial->failures = 0;
        return false;
    }
    unsigned shift = redial->failures < SHIFT_MAX ? redial->failures : SHIFT_MAX;
    uint64_t pause = (uint64_t)redial->backoff_ms << shift;
    redial->failures++;
    redial->waiting = true;
    loop_timer_start(&redial->timer, pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS);
    return true;
}

void redial_connected(struct redial *redial)
{
    redial->failures = 0;
}

void redial_stop(struct redial *redial)
{
    if (redial->waiting) {
        redial->waiting = false;
        loop_timer_stop(&redial->timer);
    }
}
