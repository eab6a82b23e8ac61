// SPDX-License-Identifier: Apache-2.0
// Decode: JPEG and PNG bytes to pixels. Colours are taken as the file has them: no gamma, no profile.
#ifndef NEREID_IMAGE_DECODE_H
#define NEREID_IMAGE_DECODE_H

#include "base/status.h"
#include "image/image.h"

#define IMAGE_SIDE_MAX 65535 // pixels

struct image_head {
    uint32_t width, height;
    uint32_t channels; // the picture's own: 1 gray, 3 RGB (and CMYK), 4 RGBA
};

// Reads the head. NRD_INVALID_ARG: neither JPEG nor PNG, or damaged. Thread: any.
NRD_MUST_USE struct nrd_status *image_inspect(const void *bytes, size_t size,
                                              struct image_head *head);
// Decodes into `to`: U8 of the head's width and height and 1, 3 or 4 channels; where the picture has others it is converted (16 bits to
// 8, palettes to colours, gray by BT.601, opaque where there is no alpha). NRD_INVALID_ARG for damage too: data that ends early is never
// filled in; NRD_UNSUPPORTED: CMYK as gray. Memory for the decoder's own needs is the heap's. Thread: any.
NRD_MUST_USE struct nrd_status *image_read(const void *bytes, size_t size, const struct image *to);

#endif
