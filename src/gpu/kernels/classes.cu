// SPDX-License-Identifier: Apache-2.0
// Classes: argmax, threshold, softmax and sigmoid over the channels of each pixel, packed or in planes. A thread does one pixel:
// with planes, neighbours read neighbours; with packed channels, the cache keeps the line for the next channel.
// Reference: image/classes.c. argmax and threshold are exact.
#include "common.cuh"

__device__ static inline unsigned long long pixel_at(void)
{
    return (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ static inline float minus_infinity(void)
{
    return __int_as_float((int)0xff800000u);
}

extern "C" __global__ void nereid_argmax(const kernel_classes p)
{
    unsigned long long i = pixel_at();
    if (i >= p.pixels) {
        return;
    }
    const float *at = p.scores + i * p.pixel_step;
    float best = minus_infinity();
    unsigned which = 0;
    for (unsigned c = 0; c < p.channels; c++, at += p.channel_step) {
        float v = *at;
        if (v > best) { // the first of equals; a NaN is never more
            best = v;
            which = c;
        }
    }
    p.to[i] = (u8)which;
}

extern "C" __global__ void nereid_threshold(const kernel_classes p)
{
    unsigned long long i = pixel_at();
    if (i < p.pixels) {
        p.to[i] = p.scores[i * p.pixel_step] >= p.threshold;
    }
}

// The greatest score and the sum of exponentials in one pass: when a greater one comes, the sum so far is scaled down.
extern "C" __global__ void nereid_softmax(const kernel_classes p)
{
    unsigned long long i = pixel_at();
    if (i >= p.pixels) {
        return;
    }
    const float *at = p.scores + i * p.pixel_step;
    float most = at[0];
    float sum = 1.0f;
    for (unsigned c = 1; c < p.channels; c++) {
        float v = at[c * p.channel_step];
        if (v > most) {
            sum = sum * expf(most - v) + 1.0f;
            most = v;
        } else {
            sum += expf(v - most);
        }
    }
    float *to = p.floats + i * p.pixel_step;
    float whole = 1.0f / sum;
    for (unsigned c = 0; c < p.channels; c++) {
        to[c * p.channel_step] = expf(at[c * p.channel_step] - most) * whole;
    }
}

__device__ static inline float sigmoid(float v)
{
    return __fdividef(1.0f,
                      1.0f + __expf(-v)); // both far below 1e-6 where the result is not 0 or 1
}

extern "C" __global__ void nereid_sigmoid(const kernel_classes p)
{
    unsigned long long i = pixel_at() * GROUP;
    if (i >= p.pixels) {
        return;
    }
    const float *from = p.scores + i;
    float *to = p.floats + i;
    bool whole = i + GROUP <= p.pixels;
    if (whole &&
        ((reinterpret_cast<unsigned long long>(from) | reinterpret_cast<unsigned long long>(to)) &
         15) == 0) {
        float4 v = *reinterpret_cast<const float4 *>(from);
        v.x = sigmoid(v.x);
        v.y = sigmoid(v.y);
        v.z = sigmoid(v.z);
        v.w = sigmoid(v.w);
        *reinterpret_cast<float4 *>(to) = v;
        return;
    }
    for (unsigned j = 0; j < GROUP && i + j < p.pixels; j++) {
        to[j] = sigmoid(from[j]);
    }
}
