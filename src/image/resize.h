// SPDX-License-Identifier: Apache-2.0
// Resize: pictures to another size. A resizer is made for one pair of sizes and then allocates nothing.
#ifndef NEREID_IMAGE_RESIZE_H
#define NEREID_IMAGE_RESIZE_H

#include "base/status.h"
#include "image/image.h"

enum image_resize_mode {
    IMAGE_RESIZE_NEAREST, // the pixel whose area holds the centre of the new one
    IMAGE_RESIZE_LINEAR,  // triangle, two taps
    IMAGE_RESIZE_CUBIC,   // Catmull-Rom (a = -0.5), four taps
    IMAGE_RESIZE_LANCZOS, // a = 3, six taps
    IMAGE_RESIZE_AREA,    // mean over the area of the new pixel
};

struct image_resize_options {
    uint32_t from_width, from_height, to_width, to_height; // none zero, at most 65536
    uint32_t channels;                                     // 1 to 4
    enum nrd_dtype dtype;                                  // U8, U16 or F32
    enum image_resize_mode mode;
    bool antialias; // where the picture gets smaller, widen the filter by that factor (as PIL does)
};

struct image_resizer;
// NRD_INVALID_ARG names what is wrong. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *image_resizer_create(const struct image_resize_options *options,
                                                     struct image_resizer **resizer);
// Whether it was made with these options. Thread: any.
bool image_resizer_is_for(const struct image_resizer *resizer,
                          const struct image_resize_options *options);
void image_resizer_destroy(struct image_resizer *resizer); // NULL is fine
// Views of the sizes, channels and type that it was made for. Pixel centres are at halves; edge pixels go on outwards. Integers are
// rounded to the nearest and saturated. Thread: owner.
void image_resizer_run(struct image_resizer *resizer, const struct image *from,
                       const struct image *to);

// Where a picture lies in a frame that it must fit into with its proportions kept (letterbox).
struct image_rect {
    uint32_t x, y, width, height;
};
struct image_rect image_fit(uint32_t width, uint32_t height, uint32_t into_width,
                            uint32_t into_height);
// Fills what of `frame` is not in `hole` with one pixel (of the frame's type and channels). Thread: any.
void image_fill_around(const struct image *frame, struct image_rect hole, const void *pixel);

#endif
