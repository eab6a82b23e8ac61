// SPDX-License-Identifier: Apache-2.0
// GPU health: the state machine that the header draws.
#include "core/gpu_health.h"

bool gpu_health_seen(struct gpu_health *health, enum gpu_sight sight, uint64_t now_ns)
{
    if (health->state == GPU_HEALTH_LOST) {
        return false;
    }
    bool gone_twice = sight == GPU_SIGHT_GONE && health->state == GPU_HEALTH_DOUBTED;
    if (sight == GPU_SIGHT_BROKEN || gone_twice) {
        *health = (struct gpu_health){GPU_HEALTH_LOST, UINT64_MAX};
        return true;
    }
    bool fine = sight == GPU_SIGHT_FINE;
    health->state = fine ? GPU_HEALTH_WORKS : GPU_HEALTH_DOUBTED;
    health->next_ns = now_ns + (fine ? GPU_HEALTH_PERIOD_NS : GPU_HEALTH_DOUBT_NS);
    return false;
}
