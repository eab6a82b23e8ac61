// SPDX-License-Identifier: Apache-2.0
// Yuv: pictures as luma and subsampled colour differences, to and from packed RGB.
#ifndef NEREID_IMAGE_YUV_H
#define NEREID_IMAGE_YUV_H

#include "image/image.h"

enum image_yuv_layout {
    IMAGE_YUYV,   // one plane: Y0 U Y1 V for two pixels
    IMAGE_UYVY,   // one plane: U Y0 V Y1
    IMAGE_NV12,   // Y, then U V side by side at half the size both ways
    IMAGE_YUV420, // Y, then U, then V, those at half the size both ways
};

// Which numbers stand for which colours. Sources: Rec. ITU-R BT.601-7 and BT.709-6; NPP's documentation of "Color Model Conversion".
enum image_yuv_matrix {
    IMAGE_YUV_ANALOG, // NPP's "YUV": U = 0.492 (B - Y) + 128, V = 0.877 (R - Y) + 128, full range
    IMAGE_YUV_BT601,  // Y 16..235, as cameras and MPEG send it
    IMAGE_YUV_BT601_FULL, // Y 0..255, as JPEG has it
    IMAGE_YUV_BT709,      // Y 16..235, HD video
    IMAGE_YUV_BT709_FULL,
};

// A picture of that layout. Chroma is half of the size, rounded up.
struct image_yuv {
    enum image_yuv_layout layout;
    uint32_t width, height;
    uint8_t *planes[3]; // as many as the layout has
    size_t strides[3];
};

// Bytes of a picture without gaps; 0 when it has no pixel.
size_t image_yuv_size(enum image_yuv_layout layout, uint32_t width, uint32_t height);
// The planes of a picture without gaps that begins at `data`.
struct image_yuv image_yuv_of(void *data, enum image_yuv_layout layout, uint32_t width,
                              uint32_t height);

// To U8 pixels of 3 or 4 channels: `order` says which channel of RGB (0, 1, 2) comes where, IMAGE_ALPHA for `alpha`. A colour
// sample stands for all the pixels that share it. At most 1 from the exact value, rounded. Thread: any.
void image_from_yuv(const struct image_yuv *from, enum image_yuv_matrix matrix,
                    const struct image *to, const int8_t *order, uint8_t alpha);
// From U8 pixels of 3 or 4 channels, red in channel `red` (0 or 2). A colour sample is the mean of the pixels that share it (of the
// upper row's pair for the two 4:2:2 layouts each row has its own). At most 1 from the exact value, rounded. Thread: any.
void image_to_yuv(const struct image *from, uint32_t red, enum image_yuv_matrix matrix,
                  const struct image_yuv *to);

#endif
