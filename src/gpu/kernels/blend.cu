// SPDX-License-Identifier: Apache-2.0
// Blend: a picture, or a map of classes by a table of colours, over an RGBA canvas. Equal to image/blend.c to the bit.
#include "common.cuh"

__device__ static inline unsigned mix(unsigned over, unsigned below, unsigned a)
{
    unsigned v = over * a + below * (255u - a) + 128u;
    return ((v + (v >> 8)) >> 8) & 0xffu;
}

// Colours are words with R in the lowest byte.
__device__ static inline unsigned blend(unsigned over, unsigned below, unsigned opacity)
{
    unsigned a = ((over >> 24) * opacity + 128u) >> 8;
    return mix(over & 0xffu, below & 0xffu, a) |
           mix(over >> 8 & 0xffu, below >> 8 & 0xffu, a) << 8 |
           mix(over >> 16 & 0xffu, below >> 16 & 0xffu, a) << 16 | mix(255u, below >> 24, a) << 24;
}

__device__ static unsigned over_at(const kernel_blend &p, unsigned x, unsigned y)
{
    if (p.lut != 0) {
        unsigned map_x = (unsigned)ratio((2ull * x + 1) * p.over.width, 2ull * p.canvas.width);
        const u8 *row = row_of<const u8>(p.over, y);
        unsigned number = p.map_bytes == 1   ? row[map_x]
                          : p.map_bytes == 2 ? reinterpret_cast<const u16 *>(row)[map_x]
                                             : reinterpret_cast<const unsigned *>(row)[map_x];
        return p.lut[number < p.lut_count ? number : p.lut_count - 1];
    }
    const u8 *q = row_of<const u8>(p.over, y) + (unsigned long long)x * p.over.channels;
    if (p.over.channels == 1) {
        return q[0] * 0x010101u | 0xff000000u;
    }
    unsigned alpha = p.over.channels == 4 ? q[3] : 255u;
    return q[0] | q[1] << 8 | q[2] << 16 | alpha << 24;
}

extern "C" __global__ void nereid_blend(const kernel_blend p)
{
    unsigned x;
    unsigned y;
    if (!group_at(p.canvas.width, p.canvas.height, &x, &y)) {
        return;
    }
    unsigned count = group_count(p.canvas.width, x);
    unsigned over_y = y;
    if (p.lut != 0) {
        over_y = (unsigned)ratio((2ull * y + 1) * p.over.height, 2ull * p.canvas.height);
    }
    unsigned *row = row_of<unsigned>(p.canvas, y) + x;
    if (count == GROUP && (reinterpret_cast<unsigned long long>(row) & 15) == 0) {
        uint4 below = *reinterpret_cast<uint4 *>(row);
        below.x = blend(over_at(p, x, over_y), below.x, p.opacity);
        below.y = blend(over_at(p, x + 1, over_y), below.y, p.opacity);
        below.z = blend(over_at(p, x + 2, over_y), below.z, p.opacity);
        below.w = blend(over_at(p, x + 3, over_y), below.w, p.opacity);
        *reinterpret_cast<uint4 *>(row) = below;
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        row[i] = blend(over_at(p, x + i, over_y), row[i], p.opacity);
    }
}
