// SPDX-License-Identifier: Apache-2.0
// With planes, the loop over pixels is the inner one and vectorises; with packed channels the loop over channels is. e^x is
// a polynomial (Cephes' expf: range reduction by ln 2 in two parts, degree 5), so that it vectorises as well.
#include "image/classes.h"

#include <math.h>
#include <string.h>

#define BLOCK 512

IMAGE_FAST static void argmax_planes(const struct image_scores *s, size_t at, size_t count,
                                     uint8_t *restrict to)
{
    size_t plane = (size_t)s->width * s->height;
    float best[BLOCK];
    int32_t classes[BLOCK]; // of the same width as `best`, so that both go into one blend
    for (size_t i = 0; i < count; i++) {
        best[i] = -INFINITY;
        classes[i] = 0;
    }
    for (uint32_t c = 0; c < s->channels; c++) {
        const float *restrict p = s->data + c * plane + at;
        for (size_t i = 0; i < count; i++) {
            bool more = p[i] > best[i];
            best[i] = more ? p[i] : best[i];
            classes[i] = more ? (int32_t)c : classes[i];
        }
    }
    for (size_t i = 0; i < count; i++) {
        to[i] = (uint8_t)classes[i];
    }
}

static void argmax_packed(const float *data, size_t pixels, uint32_t channels, uint8_t *to)
{
    for (size_t i = 0; i < pixels; i++, data += channels) {
        float best = -INFINITY;
        uint32_t which = 0;
        for (uint32_t c = 0; c < channels; c++) {
            if (data[c] > best) {
                best = data[c];
                which = c;
            }
        }
        to[i] = (uint8_t)which;
    }
}

void image_argmax(const struct image_scores *scores, uint8_t *to)
{
    size_t pixels = (size_t)scores->width * scores->height;
    if (scores->layout == IMAGE_HWC) {
        argmax_packed(scores->data, pixels, scores->channels, to);
        return;
    }
    for (size_t at = 0; at < pixels; at += BLOCK) {
        argmax_planes(scores, at, pixels - at < BLOCK ? pixels - at : BLOCK, to + at);
    }
}

IMAGE_FAST void image_threshold(const struct image_scores *scores, float threshold, uint8_t *to)
{
    size_t pixels = (size_t)scores->width * scores->height;
    size_t step = scores->layout == IMAGE_HWC ? scores->channels : 1;
    for (size_t i = 0; i < pixels; i++) {
        to[i] = scores->data[i * step] >= threshold;
    }
}

// For x in [-87, 88]; beyond, the nearest of these.
IMAGE_INLINE float exp_fast(float x)
{
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    // Adding 1.5 * 2^23 rounds to a whole number, which then lies in the lowest bits.
    float rounded = x * 1.44269504089f + 12582912.0f;
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof(bits));
    float n = rounded - 12582912.0f;
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    bits = (bits + 127u) << 23;
    float power;
    memcpy(&power, &bits, sizeof(power));
    return p * power;
}

IMAGE_FAST static void softmax_planes(float *data, size_t plane, uint32_t channels, size_t at,
                                      size_t count)
{
    float most[BLOCK], sum[BLOCK];
    for (size_t i = 0; i < count; i++) {
        most[i] = data[at + i];
        sum[i] = 0.0f;
    }
    for (uint32_t c = 1; c < channels; c++) {
        const float *restrict p = data + c * plane + at;
        for (size_t i = 0; i < count; i++) {
            most[i] = p[i] > most[i] ? p[i] : most[i];
        }
    }
    for (uint32_t c = 0; c < channels; c++) {
        float *restrict p = data + c * plane + at;
        for (size_t i = 0; i < count; i++) {
            p[i] = exp_fast(p[i] - most[i]);
            sum[i] += p[i];
        }
    }
    for (size_t i = 0; i < count; i++) {
        sum[i] = 1.0f / sum[i];
    }
    for (uint32_t c = 0; c < channels; c++) {
        float *restrict p = data + c * plane + at;
        for (size_t i = 0; i < count; i++) {
            p[i] *= sum[i];
        }
    }
}

IMAGE_FAST static void softmax_packed(float *data, size_t pixels, uint32_t channels)
{
    for (size_t i = 0; i < pixels; i++, data += channels) {
        float most = data[0], sum = 0.0f;
        for (uint32_t c = 1; c < channels; c++) {
            most = data[c] > most ? data[c] : most;
        }
        for (uint32_t c = 0; c < channels; c++) {
            data[c] = exp_fast(data[c] - most);
            sum += data[c];
        }
        for (uint32_t c = 0; c < channels; c++) {
            data[c] /= sum;
        }
    }
}

void image_softmax(const struct image_scores *scores, float *data)
{
    size_t pixels = (size_t)scores->width * scores->height;
    if (scores->layout == IMAGE_HWC) {
        softmax_packed(data, pixels, scores->channels);
        return;
    }
    for (size_t at = 0; at < pixels; at += BLOCK) {
        softmax_planes(data, pixels, scores->channels, at,
                       pixels - at < BLOCK ? pixels - at : BLOCK);
    }
}

IMAGE_FAST void image_sigmoid(float *data, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        data[i] = 1.0f / (1.0f + exp_fast(-data[i]));
    }
}

void image_count_classes(const uint8_t *map, size_t count, uint64_t *counts)
{
    // Four tables: neighbours are mostly of one class, and one counter would wait for itself.
    uint32_t parts[4][256];
    while (count > 0) {
        size_t block = count < (1u << 30) ? count : (1u << 30);
        memset(parts, 0, sizeof(parts));
        for (size_t i = 0; i < block; i++) {
            parts[i & 3u][map[i]]++;
        }
        for (int c = 0; c < 256; c++) {
            counts[c] += (uint64_t)parts[0][c] + parts[1][c] + parts[2][c] + parts[3][c];
        }
        map += block;
        count -= block;
    }
}
