// SPDX-License-Identifier: Apache-2.0
// Convert: element types, numbers and orders of channels, packed to planes.
#ifndef NEREID_IMAGE_CONVERT_H
#define NEREID_IMAGE_CONVERT_H

#include "image/image.h"

#define IMAGE_ALPHA (-1) // in `order`: the channel is filled with `alpha`

// What happens to a pixel: to[c] = scaled(from[order[c]]), or `alpha` where order[c] is IMAGE_ALPHA.
// Scaling maps the whole range of an integer type to [scale_min, scale_max] of float and back (with rounding to the nearest,
// halves away from zero, and saturation), as NPP's nppiScale does; U16 to U8 keeps v * 255 / 65535; equal types copy.
struct image_conversion {
    int8_t order[IMAGE_CHANNELS_MAX]; // one for each channel of `to`; within those of `from`
    float scale_min, scale_max;       // not equal where a float is read or written
    float alpha;                      // in units of `to`
};
// { 0, 1, 2, 3 } and alpha where `from` has no fourth; one grey channel goes to all colours.
struct image_conversion image_conversion_default(uint32_t from_channels, uint32_t to_channels);

// Whether image_convert() can go from one type to the other: U8, U16 and F32 to U8, F32, or themselves.
bool image_can_convert(enum nrd_dtype from, enum nrd_dtype to);
// Equal sizes; channels 1 to 4. `to` may be `from` when both have the same type and channels. Thread: any.
void image_convert(const struct image *from, const struct image *to,
                   const struct image_conversion *how);
// The same, but `planes` (of to_channels) lie one after the other, each width * height elements of `dtype`. Thread: any.
void image_convert_planar(const struct image *from, void *planes, uint32_t to_channels,
                          enum nrd_dtype dtype, const struct image_conversion *how);
// Planes (one after the other, without gaps) to packed pixels of the same type. Thread: any.
void image_pack_planes(const void *planes, const struct image *to);
// Grey by BT.601's weights: (77 R + 150 G + 29 B + 128) / 256. `from` U8 with 3 or 4 channels, RGB first. Thread: any.
void image_to_gray(const struct image *from, const struct image *to);

#endif
