// SPDX-License-Identifier: Apache-2.0
// Clock: nanoseconds. Monotonic for durations, wall for what people read. Thread: any.
#ifndef NEREID_BASE_CLOCK_H
#define NEREID_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_now_ns(void);  // CLOCK_MONOTONIC
uint64_t clock_wall_ns(void); // since the epoch, UTC

#endif
