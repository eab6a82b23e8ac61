// SPDX-License-Identifier: Apache-2.0
// Demosaic: bilinear, as image/demosaic.c, equal to it to the bit. Neighbours come from the cache: each byte is read by
// nine threads of the same block or its neighbours.
#include "common.cuh"

// Pixels x0 - 1 to x0 + 4 of a row; beyond an edge lies its mirror image, and what no pixel needs is any.
template <typename T>
__device__ static void around(const T *row, unsigned x0, unsigned width, unsigned count,
                              unsigned *v)
{
    __align__(8) T middle[GROUP];
    if (count == GROUP && words_at(row + x0)) {
        load_words<GROUP * sizeof(T)>(row + x0, middle);
    } else {
#pragma unroll
        for (unsigned i = 0; i < GROUP; i++) {
            // The first one past the edge is a mirror image too, where the last pixel of the row is one of these.
            unsigned at = x0 + i < width ? x0 + i : x0 + i == width ? width - 2 : width - 1;
            middle[i] = row[at];
        }
    }
    v[0] = row[x0 == 0 ? 1 : x0 - 1];
    unsigned after = x0 + GROUP;
    v[5] = row[after < width ? after : after == width ? width - 2 : width - 1];
#pragma unroll
    for (unsigned i = 0; i < GROUP; i++) {
        v[i + 1] = middle[i];
    }
}

template <typename T> __device__ static void demosaic(const kernel_demosaic &p)
{
    unsigned x0;
    unsigned y;
    if (!group_at(p.from.width, p.from.height, &x0, &y)) {
        return;
    }
    unsigned width = p.from.width;
    unsigned height = p.from.height;
    unsigned count = group_count(width, x0);
    const T *up = row_of<const T>(p.from, y == 0 ? 1 : y - 1);
    const T *row = row_of<const T>(p.from, y);
    const T *down = row_of<const T>(p.from, y + 1 < height ? y + 1 : y - 1);
    // The six columns around the four pixels.
    unsigned a[6];
    unsigned b[6];
    unsigned d[6];
    around<T>(up, x0, width, count, a);
    around<T>(row, x0, width, count, b);
    around<T>(down, x0, width, count, d);
    bool with_red = (y & 1) == p.red_y;
    __align__(16) T four[GROUP * 4];
    __align__(16) T three[GROUP * 3];
#pragma unroll
    for (unsigned i = 0; i < GROUP; i++) {
        unsigned cross = (a[i + 1] + d[i + 1] + b[i] + b[i + 2] + 2) / 4;
        unsigned corners = (a[i] + a[i + 2] + d[i] + d[i + 2] + 2) / 4;
        unsigned sides = (b[i] + b[i + 2] + 1) / 2;
        unsigned ends = (a[i + 1] + d[i + 1] + 1) / 2;
        bool at_red_x = ((x0 + i) & 1) == p.red_x;
        unsigned r;
        unsigned g;
        unsigned bl;
        if (with_red) {
            r = at_red_x ? b[i + 1] : sides;
            g = at_red_x ? cross : b[i + 1];
            bl = at_red_x ? corners : ends;
        } else {
            r = at_red_x ? ends : corners;
            g = at_red_x ? b[i + 1] : cross;
            bl = at_red_x ? sides : b[i + 1];
        }
        three[i * 3] = four[i * 4] = (T)r;
        three[i * 3 + 1] = four[i * 4 + 1] = (T)g;
        three[i * 3 + 2] = four[i * 4 + 2] = (T)bl;
        four[i * 4 + 3] = (T)p.alpha;
    }
    T *to = row_of<T>(p.to, y) + (unsigned long long)x0 * p.to.channels;
    if (p.to.channels == 4) {
        store_group<T, 4>(to, four, count);
    } else {
        store_group<T, 3>(to, three, count);
    }
}

extern "C" __global__ void nereid_demosaic_u8(const kernel_demosaic p)
{
    demosaic<u8>(p);
}

extern "C" __global__ void nereid_demosaic_u16(const kernel_demosaic p)
{
    demosaic<u16>(p);
}
