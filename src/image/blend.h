// SPDX-License-Identifier: Apache-2.0
// Blend: pictures and maps laid over a canvas.
//
// A canvas is U8 with 4 channels, RGBA, not premultiplied. Blending is "source over": with a the source's alpha times the
// opacity, color = a * source + (1 - a) * below, alpha = a + (1 - a) * below's. Each result is at most 1 from the exact one.
#ifndef NEREID_IMAGE_BLEND_H
#define NEREID_IMAGE_BLEND_H

#include "image/image.h"

struct image_rgba {
    uint8_t r, g, b, a;
};

// From floats of 0 to 1, clamped; a NaN is 0.
struct image_rgba image_rgba_of(float r, float g, float b, float a);

// Sets every pixel. Thread: any.
void image_fill(const struct image *canvas, struct image_rgba color);
// `over`: U8 of 1 (grey), 3 or 4 channels and of the canvas' size.
void image_blend(const struct image *canvas, const struct image *over, float opacity);
// `map`: one channel, U8, U16 or 32-bit numbers (dtype U32 or I32), of any size: each canvas pixel takes the map's pixel that lies under
// its centre, and its colour from `lut`; numbers past the table are its last entry.
void image_blend_lut(const struct image *canvas, const struct image *map,
                     const struct image_rgba *lut, uint32_t lut_count, float opacity);
// Blends one colour over part of one row: each of `count` pixels from x on with coverage[i] of 0 to 1. Within the canvas.
void image_blend_span(const struct image *canvas, uint32_t x, uint32_t y, const float *coverage,
                      uint32_t count, struct image_rgba color);

#endif
