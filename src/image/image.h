// SPDX-License-Identifier: Apache-2.0
// Image: a view of pixels in the host's memory, and what all of this folder shares.
//
// A view owns nothing: it says where rows lie. Pixels of a row are packed (channels of one pixel side by side); rows may be
// any number of bytes apart. Functions of this folder take views by pointer, read `from`, write `to`, allocate nothing unless
// they say so, and must not be given views that overlap unless they say that they may. Sizes are checked by the caller
// (operators check tensors once); a size of zero is fine everywhere and does nothing.
// Start at image_of() and the header of the work: convert, yuv, resize, demosaic, classes, blend, draw, text, colormap, encode.
#ifndef NEREID_IMAGE_IMAGE_H
#define NEREID_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tensor/dtype.h"

#define IMAGE_CHANNELS_MAX 4

struct image {
    void *data;
    uint32_t width, height, channels;
    size_t stride; // bytes from one row to the next
    enum nrd_dtype dtype;
};

// A view of rows without gaps. Thread: any.
static inline struct image image_of(void *data, uint32_t width, uint32_t height, uint32_t channels,
                                    enum nrd_dtype dtype)
{
    return (struct image){
        .data = data,
        .width = width,
        .height = height,
        .channels = channels,
        .stride = (size_t)width * channels * dtype_size(dtype),
        .dtype = dtype,
    };
}
static inline void *image_row(const struct image *image, uint32_t y)
{
    return (char *)image->data + (size_t)y * image->stride;
}
// The part of a view that begins at (x, y); it must lie within.
static inline struct image image_part(const struct image *image, uint32_t x, uint32_t y,
                                      uint32_t width, uint32_t height)
{
    struct image part = *image;
    part.data =
        (char *)image_row(image, y) + (size_t)x * image->channels * dtype_size(image->dtype);
    part.width = width;
    part.height = height;
    return part;
}

// Marks a loop's function: compiled for AVX2 too and chosen at start, where compiler and system can do that. No variant fuses
// multiply and add, so the results do not depend on the machine. Sanitizers cannot see through the choice.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) &&       \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(IMAGE_PLAIN)
#define IMAGE_FAST __attribute__((target_clones("avx2", "default")))
#else
#define IMAGE_FAST
#endif
#define IMAGE_INLINE static inline __attribute__((always_inline))

#endif
