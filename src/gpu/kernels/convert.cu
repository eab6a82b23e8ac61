// SPDX-License-Identifier: Apache-2.0
// Convert and resize: element types, scale, order of channels, packed or planes, nearest or linear sampling, in one pass.
// Reference: image/convert.c and image/resize.c. Without sampling the results are theirs to the bit (multiply and add are kept
// apart); linear sampling is within one step of bytes and 2e-4 of the range of floats.
#include "common.cuh"

struct position {
    unsigned first;
    unsigned second;
    float weight; // of the second
};

// The new position i lies at (i + 1/2) * from / to - 1/2 of the source: in whole numbers, so that large pictures lose nothing.
__device__ static position linear_at(unsigned i, unsigned from, unsigned to)
{
    long long top = (2ll * i + 1) * from - to;
    position at = {0, 0, 0.0f};
    if (top < 0) {
        return at;
    }
    unsigned long long bottom = 2ull * to;
    // 32 bits are enough for most pictures, and several times faster.
    if ((unsigned long long)top <= 0xffffffffull) {
        at.first = (unsigned)top / (unsigned)bottom;
        at.weight = (float)((unsigned)top % (unsigned)bottom) / (float)bottom;
    } else {
        at.first = (unsigned)(top / bottom);
        at.weight = (float)(top % bottom) / (float)bottom;
    }
    at.first = at.first < from ? at.first : from - 1;
    at.second = at.first + 1 < from ? at.first + 1 : from - 1;
    return at;
}

__device__ static unsigned nearest_at(unsigned i, unsigned from, unsigned to)
{
    unsigned at = (unsigned)ratio((2ull * i + 1) * from, 2ull * to);
    return at < from ? at : from - 1;
}

template <typename T> __device__ static inline T rounded(float v, float most)
{
    v = v > 0.0f ? v : 0.0f; // also for a NaN
    v = v < most ? v : most;
    return (T)(int)__fadd_rn(v, 0.5f);
}

// One element, as image/convert.c has it.
template <typename TO> struct element;
template <> struct element<float> {
    __device__ static float of(float v, const kernel_convert &p)
    {
        return p.keeps ? v : __fadd_rn(__fmul_rn(v, p.factor), p.offset);
    }
};
template <> struct element<u8> {
    __device__ static u8 of(float v, const kernel_convert &p)
    {
        return rounded<u8>(p.keeps ? v : __fadd_rn(__fmul_rn(v, p.factor), p.offset), 255.0f);
    }
};
template <> struct element<u16> {
    __device__ static u16 of(float v, const kernel_convert &)
    {
        return rounded<u16>(v, 65535.0f);
    }
};

// The channels of one sampled pixel.
template <typename FROM, int C>
__device__ static void sample(const kernel_convert &p, unsigned x, const position &y, float *v)
{
    if (p.sampling == KERNEL_LINEAR) {
        position at = linear_at(x, p.from.width, p.to.width);
        const FROM *upper = row_of<const FROM>(p.from, y.first);
        const FROM *lower = row_of<const FROM>(p.from, y.second);
#pragma unroll
        for (int c = 0; c < C; c++) {
            float a = (float)upper[at.first * C + c];
            float b = (float)upper[at.second * C + c];
            float d = (float)lower[at.first * C + c];
            float e = (float)lower[at.second * C + c];
            float above = a + (b - a) * at.weight;
            float below = d + (e - d) * at.weight;
            v[c] = above + (below - above) * y.weight;
        }
    } else {
        unsigned at = nearest_at(x, p.from.width, p.to.width);
        const FROM *row = row_of<const FROM>(p.from, y.first);
#pragma unroll
        for (int c = 0; c < C; c++) {
            v[c] = (float)row[at * C + c];
        }
    }
}

// Stores one channel of up to four pixels; `step` elements apart.
template <typename TO>
__device__ static void store_plane(TO *to, const TO *v, unsigned count, unsigned long long step)
{
    const unsigned bytes = GROUP * sizeof(TO);
    if (count == GROUP && step == 1 &&
        (reinterpret_cast<unsigned long long>(to) & (bytes - 1)) == 0) {
        if (sizeof(TO) == 4) {
            *reinterpret_cast<float4 *>(to) = *reinterpret_cast<const float4 *>(v);
        } else {
            load_words<bytes>(v, to);
        }
        return;
    }
#pragma unroll
    for (unsigned i = 0; i < GROUP; i++) {
        if (i < count) {
            to[i * step] = v[i];
        }
    }
}

// One channel of `to`, chosen from those of `from`.
template <typename TO, int C>
__device__ static inline TO channel_of(const kernel_convert &p, const float *v, int at)
{
    float value = v[0];
#pragma unroll
    for (int k = 1; k < C; k++) { // constant places only, so that v stays in registers
        value = at == k ? v[k] : value;
    }
    return at < 0 ? (TO)p.alpha : element<TO>::of(value, p);
}

// Packed floats: four numbers side by side a thread, so that a warp's stores are one piece. Four pixels a thread would be 48 bytes
// a thread, and each store of the warp in pieces all over 1536 bytes: four times slower.
template <typename FROM, typename TO, int C, unsigned D>
__device__ static void flat_numbers(const kernel_convert &p)
{
    unsigned numbers = p.to.width * D;
    unsigned at;
    unsigned y;
    if (!group_at(numbers, p.to.height, &at, &y)) {
        return;
    }
    unsigned count = group_count(numbers, at);
    const FROM *row = row_of<const FROM>(p.from, y);
    __align__(16) TO out[GROUP];
#pragma unroll
    for (unsigned i = 0; i < GROUP; i++) {
        unsigned number = at + (i < count ? i : count - 1);
        unsigned x = number / D;
        unsigned c = number - x * D;
        int from = c == 0 ? p.order[0] : c == 1 ? p.order[1] : c == 2 ? p.order[2] : p.order[3];
        float v = from < 0 ? 0.0f : (float)row[(unsigned long long)x * C + from];
        out[i] = from < 0 ? (TO)p.alpha : element<TO>::of(v, p);
    }
    store_plane<TO>(row_of<TO>(p.to, y) + at, out, count, 1);
}

template <typename FROM, typename TO, int C>
__device__ static void flat_group(const kernel_convert &p)
{
    return p.to.channels == 3 ? flat_numbers<FROM, TO, C, 3>(p) : flat_numbers<FROM, TO, C, 4>(p);
}

// Pictures of one size: four pixels a thread.
template <typename FROM, typename TO, int C>
__device__ static void convert_group(const kernel_convert &p)
{
    unsigned x;
    unsigned y;
    if (!group_at(p.to.width, p.to.height, &x, &y)) {
        return;
    }
    unsigned count = group_count(p.to.width, x);
    __align__(16) FROM raw[GROUP * C];
    const FROM *row = row_of<const FROM>(p.from, y) + (unsigned long long)x * C;
    if (count == GROUP && words_at(row)) {
        load_words<GROUP * C * sizeof(FROM)>(row, raw);
    } else {
#pragma unroll
        for (unsigned i = 0; i < GROUP * C; i++) {
            raw[i] = i < count * C ? row[i] : (FROM)0;
        }
    }
    float v[GROUP][C];
#pragma unroll
    for (int i = 0; i < GROUP * C; i++) {
        v[i / C][i % C] = (float)raw[i];
    }
    TO *out = row_of<TO>(p.to, y) + (unsigned long long)x * p.to.channels;
    __align__(16) TO four[GROUP * 4];
    __align__(16) TO three[GROUP * 3];
#pragma unroll
    for (unsigned c = 0; c < 4; c++) {
        if (c >= p.to.channels) {
            break;
        }
        __align__(16) TO plane[GROUP];
#pragma unroll
        for (int i = 0; i < GROUP; i++) {
            plane[i] = channel_of<TO, C>(p, v[i], p.order[c]);
            four[i * 4 + c] = plane[i];
            if (c < 3) {
                three[i * 3 + c] = plane[i];
            }
        }
        if (p.plane_bytes != 0) {
            TO *to = reinterpret_cast<TO *>(p.to.data + p.plane_bytes * c + p.to.stride * y) + x;
            store_plane<TO>(to, plane, count, 1);
        } else if (p.to.channels < 3) {
            store_plane<TO>(out + c, plane, count, p.to.channels);
        }
    }
    if (p.plane_bytes == 0 && p.to.channels == 3) {
        store_group<TO, 3>(out, three, count);
    } else if (p.plane_bytes == 0 && p.to.channels == 4) {
        store_group<TO, 4>(out, four, count);
    }
}

// Pictures of two sizes: one pixel a thread, since what it reads lies wherever the sizes say.
template <typename FROM, typename TO, int C>
__device__ static void sample_pixel(const kernel_convert &p)
{
    unsigned x = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= p.to.width || y >= p.to.height) {
        return;
    }
    position from_y = {0, 0, 0.0f};
    if (p.sampling == KERNEL_LINEAR) {
        from_y = linear_at(y, p.from.height, p.to.height);
    } else {
        from_y.first = nearest_at(y, p.from.height, p.to.height);
    }
    float v[C];
    sample<FROM, C>(p, x, from_y, v);
    TO *out = row_of<TO>(p.to, y);
#pragma unroll
    for (unsigned c = 0; c < 4; c++) {
        if (c >= p.to.channels) {
            break;
        }
        TO value = channel_of<TO, C>(p, v, p.order[c]);
        if (p.plane_bytes != 0) {
            reinterpret_cast<TO *>(p.to.data + p.plane_bytes * c + p.to.stride * y)[x] = value;
        } else {
            out[(unsigned long long)x * p.to.channels + c] = value;
        }
    }
}

#define DEFINE_KERNEL(NAME, FUNCTION, FROM, TO)                                                    \
    extern "C" __global__ void NAME(const kernel_convert p)                                        \
    {                                                                                              \
        switch (p.from.channels) {                                                                 \
        case 1:                                                                                    \
            return FUNCTION<FROM, TO, 1>(p);                                                       \
        case 2:                                                                                    \
            return FUNCTION<FROM, TO, 2>(p);                                                       \
        case 3:                                                                                    \
            return FUNCTION<FROM, TO, 3>(p);                                                       \
        default:                                                                                   \
            return FUNCTION<FROM, TO, 4>(p);                                                       \
        }                                                                                          \
    }
// One pair of types at a time, so that what is first used does not wait for what is not: NEREID_FROM and NEREID_TO are given
// on the compiler's command line (u8, u16, f32), and become part of the names.
#define JOIN_(NAME, FROM, TO) nereid_##NAME##_##FROM##_##TO
#define JOIN(NAME, FROM, TO) JOIN_(NAME, FROM, TO)
DEFINE_KERNEL(JOIN(convert, NEREID_FROM, NEREID_TO), convert_group, NEREID_FROM, NEREID_TO)
DEFINE_KERNEL(JOIN(resize, NEREID_FROM, NEREID_TO), sample_pixel, NEREID_FROM, NEREID_TO)
DEFINE_KERNEL(JOIN(flat, NEREID_FROM, NEREID_TO), flat_group, NEREID_FROM, NEREID_TO)
