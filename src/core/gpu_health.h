// SPDX-License-Identifier: Apache-2.0
// GPU health: what is made of one look after another at a GPU. No clock and no driver of its own, so that tests hold both.
//
//            gone (NVML)                  gone again
//   WORKS ─────────────────▶ DOUBTED ─────────────────▶ LOST (for good)
//     ▲   ◀───────────────────┘ fine                      ▲
//     └──────────────────── broken (the context), at once ┘
//
// A context's sticky error is final by what CUDA says. NVML's word is believed when it is said twice: it has been heard while a
// driver restarted another GPU.
#ifndef NEREID_CORE_GPU_HEALTH_H
#define NEREID_CORE_GPU_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

enum gpu_health_state { GPU_HEALTH_WORKS, GPU_HEALTH_DOUBTED, GPU_HEALTH_LOST };
enum gpu_sight { GPU_SIGHT_FINE, GPU_SIGHT_GONE, GPU_SIGHT_BROKEN };

// All zero is a GPU that works and was never looked at.
struct gpu_health {
    enum gpu_health_state state;
    uint64_t next_ns; // when to look next; UINT64_MAX: never
};

enum { GPU_HEALTH_PERIOD_NS = 1000000000, GPU_HEALTH_DOUBT_NS = 250000000 };

static inline bool gpu_health_is_due(const struct gpu_health *health, uint64_t now_ns)
{
    return health->state != GPU_HEALTH_LOST && now_ns >= health->next_ns;
}

// What was seen at `now_ns`. True when the GPU is lost by this, and was not before. Thread: owner.
bool gpu_health_seen(struct gpu_health *health, enum gpu_sight sight, uint64_t now_ns);

#endif
