// SPDX-License-Identifier: Apache-2.0
// What the kernels share. A thread does four pixels side by side: their bytes are whole words, which is what memory likes.
#include "params.h"

typedef unsigned char u8;
typedef unsigned short u16;
typedef float f32;

#define GROUP 4 // pixels a thread

// The first of a thread's pixels; true when it lies in the picture.
__device__ static inline bool group_at(unsigned width, unsigned height, unsigned *x, unsigned *y)
{
    *x = (blockIdx.x * blockDim.x + threadIdx.x) * GROUP;
    *y = blockIdx.y * blockDim.y + threadIdx.y;
    return *x < width && *y < height;
}

__device__ static inline unsigned group_count(unsigned width, unsigned x)
{
    return width - x < GROUP ? width - x : GROUP;
}

// Whole division; in 32 bits where those are enough, which is several times faster.
__device__ static inline unsigned long long ratio(unsigned long long top, unsigned long long bottom)
{
    return (top | bottom) >> 32 == 0 ? (unsigned)top / (unsigned)bottom : top / bottom;
}

template <typename T> __device__ static inline T *row_of(const kernel_image &image, unsigned y)
{
    return reinterpret_cast<T *>(image.data + image.stride * y);
}

__device__ static inline bool words_at(const void *p)
{
    return (reinterpret_cast<unsigned long long>(p) & 3) == 0;
}

// Copies BYTES (a multiple of 4) between aligned memory and a thread's own.
template <unsigned BYTES> __device__ static inline void load_words(const void *from, void *to)
{
#pragma unroll
    for (unsigned i = 0; i < BYTES / 4; i++) {
        static_cast<unsigned *>(to)[i] = static_cast<const unsigned *>(from)[i];
    }
}

// Stores the first `count` of a thread's elements. Unrolled, as every loop over a thread's own array here: a place that is
// not known to the compiler would put the array into memory.
template <typename T, unsigned MOST>
__device__ static inline void store_some(T *to, const T *v, unsigned count)
{
#pragma unroll
    for (unsigned i = 0; i < MOST; i++) {
        if (i < count) {
            to[i] = v[i];
        }
    }
}

// Stores four pixels of CHANNELS, or the first `count` of them, in words where `to` allows it.
template <typename T, unsigned CHANNELS>
__device__ static inline void store_group(T *to, const T *v, unsigned count)
{
    if (count == GROUP && words_at(to)) {
        load_words<GROUP * CHANNELS * sizeof(T)>(v, to);
    } else {
        store_some<T, GROUP * CHANNELS>(to, v, count * CHANNELS);
    }
}
