// SPDX-License-Identifier: Apache-2.0
// Classes: what a network says of each pixel, made into probabilities or one class number a pixel.
#ifndef NEREID_IMAGE_CLASSES_H
#define NEREID_IMAGE_CLASSES_H

#include "image/image.h"

enum image_layout { IMAGE_HWC, IMAGE_CHW };

// Numbers of `channels` classes for width x height pixels, FP32, without gaps.
struct image_scores {
    const float *data;
    uint32_t width, height, channels;
    enum image_layout layout;
};

// The class with the greatest score at each pixel, the first of equals; NaN counts as less than any number. At most 256
// channels. `to` has width * height bytes. Exact. Thread: any.
void image_argmax(const struct image_scores *scores, uint8_t *to);
// 1 where the first channel's score is at least `threshold`, else 0. Exact.
void image_threshold(const struct image_scores *scores, float threshold, uint8_t *to);
// In place: softmax over the channels of each pixel. Relative error at most 1e-5. Thread: any.
void image_softmax(const struct image_scores *scores, float *data);
// In place: 1 / (1 + e^-v) of each of `count` numbers. Absolute error at most 1e-6.
void image_sigmoid(float *data, size_t count);
// How many pixels of each class a map has, added to `counts` (256 of them).
void image_count_classes(const uint8_t *map, size_t count, uint64_t *counts);

#endif
