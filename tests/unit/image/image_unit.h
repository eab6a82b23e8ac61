// SPDX-License-Identifier: Apache-2.0
// What every unit test of image includes: cmocka, views over guarded memory, numbers that look random and are not.
#ifndef NEREID_TESTS_UNIT_IMAGE_UNIT_H
#define NEREID_TESTS_UNIT_IMAGE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "image/image.h"

#define GUARD 0xA5

static inline uint32_t unit_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

// A picture whose rows are `gap` bytes apart more than they need; the gaps and 32 bytes at both ends hold GUARD.
struct unit_picture {
    uint8_t *memory;
    size_t size;
    struct image view;
};
static inline struct unit_picture unit_picture(uint32_t width, uint32_t height, uint32_t channels,
                                               enum nrd_dtype dtype, size_t gap)
{
    struct unit_picture p;
    p.view = image_of(NULL, width, height, channels, dtype);
    p.view.stride += gap * dtype_size(dtype);
    p.size = 64 + p.view.stride * height;
    p.memory = mem_aligned(64, p.size + 64);
    assert_non_null(p.memory);
    memset(p.memory, GUARD, p.size);
    p.view.data = p.memory + 32;
    return p;
}
static inline void unit_fill(struct unit_picture *p, uint32_t *seed)
{
    for (uint32_t y = 0; y < p->view.height; y++) {
        for (uint32_t i = 0; i < p->view.width * p->view.channels; i++) {
            uint32_t v = unit_random(seed);
            void *row = image_row(&p->view, y);
            if (p->view.dtype == NRD_DTYPE_U8) {
                ((uint8_t *)row)[i] = (uint8_t)v;
            } else if (p->view.dtype == NRD_DTYPE_U16) {
                ((uint16_t *)row)[i] = (uint16_t)v;
            } else {
                ((float *)row)[i] = (float)(v & 0xFFFFu) / 65535.0f;
            }
        }
    }
}
// What was around the pixels is as it was; frees.
static inline void unit_check_and_free(struct unit_picture *p)
{
    size_t used = (size_t)p->view.width * p->view.channels * dtype_size(p->view.dtype);
    for (size_t i = 0; i < p->size; i++) {
        size_t at = i - 32;
        bool inside = i >= 32 && i < p->size - 32 && at % p->view.stride < used;
        if (!inside && p->memory[i] != GUARD) {
            fail_msg("byte %zu outside of the pixels was written", i);
        }
    }
    mem_free(p->memory);
}

#endif
