// SPDX-License-Identifier: Apache-2.0
// YUV to packed RGB and back, in the same whole numbers as image/yuv.c: equal to it to the bit.
#include "common.cuh"

#define SHIFT 14

__device__ static inline u8 to_byte(int fixed, int shift, int plus)
{
    int v = ((fixed + (1 << (shift - 1))) >> shift) + plus;
    return (u8)(v < 0 ? 0 : v > 255 ? 255 : v);
}

// Luma and colour differences of four pixels from an even x on; never reads past a row.
__device__ static void gather(const kernel_yuv &p, unsigned x, unsigned y, unsigned count, u8 *luma,
                              u8 *us, u8 *vs)
{
    const u8 *row = p.planes[0] + p.strides[0] * y;
    bool packed = p.layout == KERNEL_YUYV || p.layout == KERNEL_UYVY;
    if (packed) {
        unsigned at_y = p.layout == KERNEL_YUYV ? 0 : 1;
        const u8 *q = row + (unsigned long long)x * 2;
#pragma unroll
        for (unsigned i = 0; i < 2; i++) {
            if (2 * i < count) {
                luma[2 * i] = q[4 * i + at_y];
                luma[2 * i + 1] = q[4 * i + 2 + at_y];
                us[i] = q[4 * i + 1 - at_y];
                vs[i] = q[4 * i + 3 - at_y];
            }
        }
        return;
    }
    if (count == GROUP && words_at(row + x)) {
        load_words<GROUP>(row + x, luma);
    } else {
#pragma unroll
        for (unsigned i = 0; i < GROUP; i++) {
            luma[i] = i < count ? row[x + i] : 0;
        }
    }
    const u8 *c = p.planes[1] + p.strides[1] * (y / 2);
    if (p.layout == KERNEL_NV12 && count == GROUP && words_at(c + x)) {
        __align__(4) u8 pairs[GROUP];
        load_words<GROUP>(c + x, pairs);
        us[0] = pairs[0];
        vs[0] = pairs[1];
        us[1] = pairs[2];
        vs[1] = pairs[3];
        return;
    }
#pragma unroll
    for (unsigned i = 0; i < 2; i++) {
        if (2 * i < count) {
            if (p.layout == KERNEL_NV12) {
                us[i] = c[x + 2 * i];
                vs[i] = c[x + 2 * i + 1];
            } else {
                us[i] = c[x / 2 + i];
                vs[i] = p.planes[2][p.strides[2] * (y / 2) + x / 2 + i];
            }
        }
    }
}

extern "C" __global__ void nereid_from_yuv(const kernel_yuv p)
{
    unsigned x;
    unsigned y;
    if (!group_at(p.rgb.width, p.rgb.height, &x, &y)) {
        return;
    }
    unsigned count = group_count(p.rgb.width, x);
    __align__(4) u8 luma[GROUP] = {0, 0, 0, 0};
    u8 us[2] = {0, 0};
    u8 vs[2] = {0, 0};
    gather(p, x, y, count, luma, us, vs);
    const kernel_yuv_matrix &m = p.matrix;
    __align__(4) u8 four[GROUP * 4];
    __align__(4) u8 three[GROUP * 3];
#pragma unroll
    for (unsigned i = 0; i < GROUP; i++) {
        int bright = ((int)luma[i] - m.y_offset) * m.y_scale;
        int u = (int)us[i / 2] - 128;
        int v = (int)vs[i / 2] - 128;
        u8 r = to_byte(bright + m.r_v * v, SHIFT, 0);
        u8 g = to_byte(bright + m.g_u * u + m.g_v * v, SHIFT, 0);
        u8 b = to_byte(bright + m.b_u * u, SHIFT, 0);
#pragma unroll
        for (unsigned c = 0; c < 4; c++) {
            int at = p.order[c];
            u8 value = at < 0 ? (u8)p.alpha : at == 0 ? r : at == 1 ? g : b;
            four[i * 4 + c] = value;
            if (c < 3) {
                three[i * 3 + c] = value;
            }
        }
    }
    u8 *to = row_of<u8>(p.rgb, y) + (unsigned long long)x * p.rgb.channels;
    if (p.rgb.channels == 4) {
        store_group<u8, 4>(to, four, count);
    } else {
        store_group<u8, 3>(to, three, count);
    }
}

// From RGB: a thread does the pixels of one sample of colour: two of a row, or two by two.
extern "C" __global__ void nereid_to_yuv(const kernel_yuv p)
{
    bool packed = p.layout == KERNEL_YUYV || p.layout == KERNEL_UYVY;
    unsigned pair = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned block = blockIdx.y * blockDim.y + threadIdx.y;
    unsigned x = pair * 2;
    unsigned y = packed ? block : block * 2;
    if (x >= p.rgb.width || y >= p.rgb.height) {
        return;
    }
    const kernel_yuv_matrix &m = p.matrix;
    unsigned red = (unsigned)p.order[0];
    unsigned rows = packed ? 1 : 2;
    int sum[3] = {0, 0, 0};
    u8 luma[2][2];
#pragma unroll
    for (unsigned j = 0; j < 2; j++) {
        if (j >= rows) {
            break;
        }
        unsigned at_y = y + j < p.rgb.height ? y + j : y;
#pragma unroll
        for (unsigned i = 0; i < 2; i++) {
            unsigned at_x = x + i < p.rgb.width ? x + i : x;
            const u8 *q = row_of<const u8>(p.rgb, at_y) + (unsigned long long)at_x * p.rgb.channels;
            int r = q[red];
            int g = q[1];
            int b = q[2 - red];
            luma[j][i] =
                to_byte(m.y_r * r + m.y_g * g + m.y_b * b + (m.y_offset << SHIFT), SHIFT, 0);
            sum[0] += r;
            sum[1] += g;
            sum[2] += b;
        }
    }
    int shift = SHIFT + (packed ? 1 : 2);
    u8 u = to_byte(m.u_r * sum[0] + m.u_g * sum[1] + m.u_b * sum[2], shift, 128);
    u8 v = to_byte(m.v_r * sum[0] + m.v_g * sum[1] + m.v_b * sum[2], shift, 128);
    if (packed) {
        unsigned at_y = p.layout == KERNEL_YUYV ? 0 : 1;
        u8 *to = p.planes[0] + p.strides[0] * y + (unsigned long long)pair * 4;
        to[at_y] = luma[0][0];
        to[2 + at_y] = luma[0][1];
        to[1 - at_y] = u;
        to[3 - at_y] = v;
        return;
    }
#pragma unroll
    for (unsigned j = 0; j < 2; j++) {
        if (y + j >= p.rgb.height) {
            break;
        }
        u8 *to = p.planes[0] + p.strides[0] * (y + j) + x;
        to[0] = luma[j][0];
        if (x + 1 < p.rgb.width) {
            to[1] = luma[j][1];
        }
    }
    u8 *c = p.planes[1] + p.strides[1] * block;
    if (p.layout == KERNEL_NV12) {
        c[x] = u;
        c[x + 1] = v;
    } else {
        c[pair] = u;
        p.planes[2][p.strides[2] * block + pair] = v;
    }
}
