// SPDX-License-Identifier: Apache-2.0
// Test pictures: pixels that are a function of a seed and the frame's number, the same on every machine.
#ifndef NEREID_GRAPH_OPS_PATTERN_H
#define NEREID_GRAPH_OPS_PATTERN_H

#include <stddef.h>
#include <stdint.h>

enum pattern_kind { PATTERN_BARS, PATTERN_CHECKER, PATTERN_GRADIENT, PATTERN_NOISE };

struct pattern {
    enum pattern_kind kind;
    uint32_t width, height, channels; // 1, 3 or 4; the fourth is 255
    uint64_t seed;
};

// Fills `to` (height * width * channels bytes) with frame `index`. Bars, squares and slopes move with it; noise is new in each. Thread: any.
void pattern_fill(const struct pattern *p, uint64_t index, uint8_t *to);

#endif
