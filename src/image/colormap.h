// SPDX-License-Identifier: Apache-2.0
// Colormap: colours for numbers, and colours that classes are told apart by.
#ifndef NEREID_IMAGE_COLORMAP_H
#define NEREID_IMAGE_COLORMAP_H

#include "base/slice.h"
#include "image/blend.h"

enum image_colormap {
    IMAGE_MAP_GRAY,
    IMAGE_MAP_HEAT,     // black, red, yellow, white: brightness grows evenly
    IMAGE_MAP_SEA,      // dark blue to green to yellow
    IMAGE_MAP_SPECTRUM, // blue, cyan, green, yellow, red
};
#define IMAGE_MAP_COUNT 4

// False: no such name ("gray", "heat", "sea", "spectrum").
bool image_colormap_named(struct slice name, enum image_colormap *map);
// `t` from 0 to 1, clamped; a NaN is 0. Opaque. Thread: any.
struct image_rgba image_colormap_at(enum image_colormap map, float t);
// The colour of class `index`: neighbouring numbers differ most. Opaque.
struct image_rgba image_class_color(uint32_t index);

#endif
