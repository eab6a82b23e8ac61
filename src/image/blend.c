// SPDX-License-Identifier: Apache-2.0
// Alpha in 1/256 steps per picture, then one multiply a channel; an opaque pixel over anything is a plain copy by the same
// formula, so there is no branch and the loops vectorise.
#include "image/blend.h"

#include <math.h>

static uint8_t byte_of(float v)
{
    return (uint8_t)((v > 0.0f ? (v < 1.0f ? v : 1.0f) : 0.0f) * 255.0f + 0.5f);
}

struct image_rgba image_rgba_of(float r, float g, float b, float a)
{
    return (struct image_rgba){byte_of(r), byte_of(g), byte_of(b), byte_of(a)};
}

void image_fill(const struct image *canvas, struct image_rgba color)
{
    for (uint32_t y = 0; y < canvas->height; y++) {
        struct image_rgba *row = image_row(canvas, y);
        for (uint32_t x = 0; x < canvas->width; x++) {
            row[x] = color;
        }
    }
}

// `a` of 0 to 255: over * a + below * (255 - a), divided by 255 and rounded (exactly so for all 16-bit sums).
IMAGE_INLINE uint8_t mix(uint32_t over, uint32_t below, uint32_t a)
{
    uint32_t v = over * a + below * (255u - a) + 128u;
    return (uint8_t)((v + (v >> 8)) >> 8);
}

// `opacity` of 0 to 256.
IMAGE_INLINE void blend_row(uint8_t *restrict to, const uint8_t *restrict over, size_t count,
                            uint32_t step, uint32_t opacity)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t *p = to + 4 * i;
        const uint8_t *q = over + step * i;
        uint32_t a = ((step == 4 ? q[3] : 255u) * opacity + 128u) >> 8;
        p[0] = mix(q[0], p[0], a);
        p[1] = mix(q[step == 1 ? 0 : 1], p[1], a);
        p[2] = mix(q[step == 1 ? 0 : 2], p[2], a);
        p[3] = mix(255u, p[3], a);
    }
}

IMAGE_FAST static void blend_row_of(uint8_t *to, const uint8_t *over, size_t count, uint32_t step,
                                    uint32_t opacity)
{
    if (step == 1) {
        blend_row(to, over, count, 1, opacity);
    } else if (step == 3) {
        blend_row(to, over, count, 3, opacity);
    } else {
        blend_row(to, over, count, 4, opacity);
    }
}

static uint32_t opacity_steps(float opacity)
{
    return (uint32_t)((opacity > 0.0f ? (opacity < 1.0f ? opacity : 1.0f) : 0.0f) * 256.0f + 0.5f);
}

void image_blend(const struct image *canvas, const struct image *over, float opacity)
{
    uint32_t steps = opacity_steps(opacity);
    for (uint32_t y = 0; y < canvas->height; y++) {
        blend_row_of(image_row(canvas, y), image_row(over, y), canvas->width, over->channels,
                     steps);
    }
}

// Walks floor((2 i + 1) * from / (2 * to)) for i = 0, 1, ... without a division.
struct walk {
    uint64_t at, rest, step, step_rest, whole;
};
static struct walk walk_begin(uint32_t from, uint32_t to)
{
    uint64_t whole = 2 * (uint64_t)to, step = 2 * (uint64_t)from;
    return (struct walk){from / whole, from % whole, step / whole, step % whole, whole};
}
IMAGE_INLINE void walk_on(struct walk *w)
{
    w->at += w->step;
    w->rest += w->step_rest;
    if (w->rest >= w->whole) {
        w->rest -= w->whole;
        w->at++;
    }
}

IMAGE_INLINE uint32_t number_at(const void *row, uint64_t x, size_t size)
{
    if (size == 1) {
        return ((const uint8_t *)row)[x];
    }
    if (size == 2) {
        return ((const uint16_t *)row)[x];
    }
    return ((const uint32_t *)row)[x]; // a negative number is past any table
}

IMAGE_INLINE void look_up(const void *row, size_t size, const struct image_rgba *lut,
                          uint32_t lut_count, struct walk *x, uint32_t count,
                          struct image_rgba *colors)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = number_at(row, x->at, size);
        colors[i] = lut[number < lut_count ? number : lut_count - 1];
        walk_on(x);
    }
}

void image_blend_lut(const struct image *canvas, const struct image *map,
                     const struct image_rgba *lut, uint32_t lut_count, float opacity)
{
    enum { BLOCK = 256 };
    if (map->width == 0 || map->height == 0 || lut_count == 0) {
        return;
    }
    uint32_t steps = opacity_steps(opacity);
    struct image_rgba colors[BLOCK];
    struct walk from_y = walk_begin(map->height, canvas->height);
    for (uint32_t y = 0; y < canvas->height; y++, walk_on(&from_y)) {
        const void *row = image_row(map, (uint32_t)from_y.at);
        struct walk from_x = walk_begin(map->width, canvas->width);
        for (uint32_t begin = 0; begin < canvas->width; begin += BLOCK) {
            uint32_t count = canvas->width - begin < BLOCK ? canvas->width - begin : BLOCK;
            if (map->dtype == NRD_DTYPE_U8) {
                look_up(row, 1, lut, lut_count, &from_x, count, colors);
            } else if (map->dtype == NRD_DTYPE_U16) {
                look_up(row, 2, lut, lut_count, &from_x, count, colors);
            } else {
                look_up(row, 4, lut, lut_count, &from_x, count, colors);
            }
            blend_row_of((uint8_t *)image_row(canvas, y) + (size_t)begin * 4,
                         (const uint8_t *)colors, count, 4, steps);
        }
    }
}

void image_blend_span(const struct image *canvas, uint32_t x, uint32_t y, const float *coverage,
                      uint32_t count, struct image_rgba color)
{
    uint8_t *p = (uint8_t *)image_row(canvas, y) + (size_t)x * 4;
    for (uint32_t i = 0; i < count; i++, p += 4) {
        uint32_t a = (uint32_t)(coverage[i] * (float)color.a + 0.5f);
        if (a != 0) {
            p[0] = mix(color.r, p[0], a);
            p[1] = mix(color.g, p[1], a);
            p[2] = mix(color.b, p[2], a);
            p[3] = mix(255u, p[3], a);
        }
    }
}
