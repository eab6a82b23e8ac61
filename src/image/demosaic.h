// SPDX-License-Identifier: Apache-2.0
// Demosaic: one colour a pixel, as a camera's sensor has it, to three.
#ifndef NEREID_IMAGE_DEMOSAIC_H
#define NEREID_IMAGE_DEMOSAIC_H

#include "image/image.h"

// The colours of the upper left four pixels, row by row. NPP's numbers.
enum image_bayer { IMAGE_BAYER_BGGR, IMAGE_BAYER_RGGB, IMAGE_BAYER_GBRG, IMAGE_BAYER_GRBG };

// `from`: U8 or U16, one channel, at least 2x2; `to`: the same type and size, 3 (RGB) or 4 channels (with `alpha`). Bilinear: a
// missing colour is the mean, rounded (halves up), of its two or four nearest neighbours; beyond an edge lies its mirror
// image (row -1 is row 1). Exact. Thread: any.
void image_demosaic(const struct image *from, enum image_bayer grid, const struct image *to,
                    uint32_t alpha);

#endif
